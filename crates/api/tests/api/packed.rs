//! The packed records: every field is in its place, and decoding loses nothing that encoding wrote.

use api::packed::{
    self, AccountFilter, AccountRecord, BalanceRecord, Balances, QueryFilter, ResultRecord, TransferRecord,
};
use engine::{EventResult, EventStatus};
use ledger::{Account, NewAccount, NewTransfer, TransferFlags, TransferKey, TransferStatus};
use proptest::prelude::*;
use types::{AccountId, Amount, Timestamp, TransferId};

/// Fields of these sizes in bytes, each filled with its number, counted from 1.
fn numbered(bytes: &[usize]) -> Vec<u8> {
    bytes.iter().zip(1_u8..).flat_map(|(bytes, number)| std::iter::repeat_n(number, *bytes)).collect()
}

const fn filled(byte: u8) -> u128 {
    u128::from_le_bytes([byte; 16])
}

#[test]
fn a_transfer_has_its_fields_in_the_order_of_the_reference() {
    let bytes: [u8; 128] = numbered(&[16, 16, 16, 16, 16, 16, 8, 4, 4, 4, 2, 2, 8]).try_into().expect("128 bytes");
    let transfer = TransferRecord {
        id: filled(1),
        debit_account_id: filled(2),
        credit_account_id: filled(3),
        amount: filled(4),
        pending_id: filled(5),
        user_data_128: filled(6),
        user_data_64: 0x0707_0707_0707_0707,
        user_data_32: 0x0808_0808,
        timeout: 0x0909_0909,
        ledger: 0x0a0a_0a0a,
        code: 0x0b0b,
        flags: 0x0c0c,
        timestamp: 0x0d0d_0d0d_0d0d_0d0d,
    };
    assert_eq!(TransferRecord::decode(&bytes), transfer);
    assert_eq!(transfer.encode(), bytes);
}

#[test]
fn an_account_has_its_fields_in_the_order_of_the_reference() {
    let bytes: [u8; 128] = numbered(&[16, 16, 16, 16, 16, 16, 8, 4, 4, 4, 2, 2, 8]).try_into().expect("128 bytes");
    let account = AccountRecord {
        id: filled(1),
        debits_pending: filled(2),
        debits_posted: filled(3),
        credits_pending: filled(4),
        credits_posted: filled(5),
        user_data_128: filled(6),
        user_data_64: 0x0707_0707_0707_0707,
        user_data_32: 0x0808_0808,
        reserved: 0x0909_0909,
        ledger: 0x0a0a_0a0a,
        code: 0x0b0b,
        flags: 0x0c0c,
        timestamp: 0x0d0d_0d0d_0d0d_0d0d,
    };
    assert_eq!(AccountRecord::decode(&bytes), account);
    assert_eq!(account.encode(), bytes);
}

#[test]
fn a_filter_has_its_fields_in_the_order_of_the_reference() {
    let bytes: [u8; 128] = numbered(&[16, 16, 8, 4, 2, 58, 8, 8, 4, 4]).try_into().expect("128 bytes");
    let filter = AccountFilter::decode(&bytes);
    assert_eq!((filter.account_id, filter.user_data_128), (filled(1), filled(2)));
    assert_eq!((filter.code, filter.reserved, filter.timestamp_min), (0x0505, [6; 58], 0x0707_0707_0707_0707));
    assert_eq!((filter.limit, filter.flags), (0x0909_0909, 0x0a0a_0a0a));
    assert_eq!(filter.encode(), bytes);
    let bytes: [u8; 64] = numbered(&[16, 8, 4, 4, 2, 6, 8, 8, 4, 4]).try_into().expect("64 bytes");
    let filter = QueryFilter::decode(&bytes);
    assert_eq!((filter.ledger, filter.code, filter.reserved), (0x0404_0404, 0x0505, [6; 6]));
    assert_eq!((filter.limit, filter.flags), (0x0909_0909, 0x0a0a_0a0a));
    assert_eq!(filter.encode(), bytes);
}

#[test]
fn a_balance_and_a_result_have_their_fields_in_order() {
    let bytes: [u8; 128] = numbered(&[16, 16, 16, 16, 8, 56]).try_into().expect("128 bytes");
    let balance = BalanceRecord::decode(&bytes);
    assert_eq!((balance.credits_posted, balance.timestamp), (filled(4), 0x0505_0505_0505_0505));
    assert_eq!(balance.encode(), bytes);
    let result = ResultRecord { timestamp: 7, status: ResultRecord::CREATED, reserved: 0 };
    assert_eq!(result.encode(), [7, 0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255, 0, 0, 0, 0]);
    assert_eq!((ResultRecord::ACCOUNT_EXISTS, ResultRecord::TRANSFER_EXISTS), (21, 46));
}

#[test]
fn records_become_accounts_and_transfers_for_the_ledger() {
    let mut bytes = [0; 256];
    bytes[0] = 9;
    bytes[48] = 100;
    bytes[118] = 2;
    bytes[120] = 7;
    bytes[128 + 64] = 9;
    let [first, second] = packed::transfers(&bytes).expect("two records").try_into().expect("two records");
    let key = TransferKey::Client(TransferId::new(9));
    let (amount, flags) = (Amount::new(100), TransferFlags::PENDING);
    let expected = NewTransfer { amount, flags, timestamp_ns: 7, ..NewTransfer::named(key) };
    assert_eq!(first, expected);
    assert_eq!(second.pending, Some(key));
    let [account, _] = packed::accounts(&bytes).expect("two records").try_into().expect("two records");
    let id = AccountId::new(9);
    let flags = ledger::AccountFlags::from_bits(2);
    // A reserved field that is not 0 is passed on, because the ledger refuses it.
    assert_eq!(
        account,
        NewAccount { id, flags, credits_pending: Amount::new(100), timestamp_ns: 7, ..NewAccount::default() }
    );
    assert_eq!(packed::account_ids(&bytes[..32]).expect("two ids"), [id, AccountId::new(0)]);
    assert_eq!(packed::transfer_ids(&[]).expect("no ids"), []);
}

#[track_caller]
fn check<T: std::fmt::Debug>(parsed: Result<T, api::Problem>, code: &str, detail: &str) {
    let problem = parsed.expect_err("the length is wrong");
    assert_eq!((problem.code().as_str(), problem.detail(), problem.status()), (code, detail, 400));
}

#[test]
fn a_wrong_length_says_what_was_found_and_expected() {
    check(packed::transfers(&[0; 127]), "invalid_batch_length", "found 127 bytes, expected a multiple of 128");
    check(packed::account_ids(&[0; 17]), "invalid_batch_length", "found 17 bytes, expected a multiple of 16");
    check(packed::query_filter(&[0; 128]), "invalid_batch_length", "found 128 bytes, expected one filter of 64");
    check(packed::account_filter(&[]), "invalid_batch_length", "found 0 bytes, expected one filter of 128");
    let many = vec![0; 8_191 * 128];
    check(packed::accounts(&many), "too_many_events", "found 8191 records of 128 bytes, expected at most 8190");
    assert_eq!(packed::accounts(&many[128..]).map(|accounts| accounts.len()).ok(), Some(8_190));
}

#[test]
fn an_invalid_filter_is_recognised() {
    let valid = AccountFilter {
        account_id: 1,
        user_data_128: 0,
        user_data_64: 0,
        user_data_32: 0,
        code: 0,
        reserved: [0; 58],
        timestamp_min: 5,
        timestamp_max: 5,
        limit: 1,
        flags: AccountFilter::DEBITS | AccountFilter::REVERSED,
    };
    assert!(valid.is_valid());
    assert!(AccountFilter { timestamp_max: 0, ..valid }.is_valid(), "0 disables the bound");
    assert!(AccountFilter { timestamp_max: (1 << 63) - 1, ..valid }.is_valid(), "the latest time of a ledger");
    let mut reserved = [0; 58];
    reserved[57] = 1;
    let invalid = [
        AccountFilter { account_id: 0, ..valid },
        AccountFilter { account_id: u128::MAX, ..valid },
        AccountFilter { timestamp_max: 4, ..valid },
        AccountFilter { timestamp_min: 1 << 63, timestamp_max: 0, ..valid },
        AccountFilter { timestamp_max: 1 << 63, ..valid },
        AccountFilter { timestamp_max: u64::MAX - 1, ..valid },
        AccountFilter { timestamp_min: u64::MAX, timestamp_max: u64::MAX, ..valid },
        AccountFilter { limit: 0, ..valid },
        AccountFilter { flags: AccountFilter::REVERSED, ..valid },
        AccountFilter { flags: 9, ..valid },
        AccountFilter { reserved, ..valid },
    ];
    for filter in invalid {
        assert!(!filter.is_valid(), "{filter:?}");
    }
    let valid = QueryFilter { limit: 1, ..QueryFilter::decode(&[0; 64]) };
    assert!(valid.is_valid() && QueryFilter { flags: QueryFilter::REVERSED, ..valid }.is_valid());
    for filter in [
        QueryFilter { limit: 0, ..valid },
        QueryFilter { flags: 2, ..valid },
        QueryFilter { reserved: [1; 6], ..valid },
        QueryFilter { timestamp_min: 2, timestamp_max: 1, ..valid },
        QueryFilter { timestamp_min: 1 << 63, ..valid },
        QueryFilter { timestamp_max: 1 << 63, ..valid },
    ] {
        assert!(!filter.is_valid(), "{filter:?}");
    }
}

proptest! {
    #[test]
    fn any_bytes_survive_decoding_and_encoding(bytes: Vec<u8>) {
        let mut record = [0; 128];
        let length = bytes.len().min(128);
        record[..length].copy_from_slice(&bytes[..length]);
        prop_assert_eq!(TransferRecord::decode(&record).encode(), record);
        prop_assert_eq!(AccountRecord::decode(&record).encode(), record);
        prop_assert_eq!(AccountFilter::decode(&record).encode(), record);
        prop_assert_eq!(BalanceRecord::decode(&record).encode(), record);
    }
}

#[test]
fn results_carry_their_status_and_the_balances_that_were_asked_for() {
    let at = Timestamp::from_ns(5);
    let refused = ledger::StatusRefusal { status: TransferStatus::ExceedsCredits, detail: ledger::Detail::None };
    let statuses = [EventStatus::Created, EventStatus::Exists, EventStatus::Refused(refused)];
    let results = statuses.map(|status| EventResult { status, timestamp: at });
    let plain = packed::transfer_results(&results, &[]);
    let (records, _) = plain.as_chunks();
    let statuses: Vec<u32> = records.iter().map(|record| ResultRecord::decode(record).status).collect();
    assert_eq!(statuses, [ResultRecord::CREATED, 46, 54]);
    let new = NewAccount { id: AccountId::new(1), ..NewAccount::default() };
    let debit = Account { debits_posted: Amount::new(7), ..Account::open(&new, at) };
    let credit = Account { credits_posted: Amount::new(8), ..Account::open(&new, at) };
    let with = packed::transfer_results(&results, &[Some([debit, credit]), None, None]);
    assert_eq!(with.len(), 3 * packed::RESULT_WITH_BALANCES_BYTES);
    assert_eq!(with[..16], plain[..16]);
    let (balances, _) = with[16..].as_chunks();
    assert_eq!(Balances::decode(&balances[0]).debits_posted, 7);
    assert_eq!(Balances::decode(&balances[1]).credits_posted, 8);
    assert_eq!(with[144 + 16..288], [0; 128]);
}
