//! Every status of the packed interface: the record that gets it, and of two that a record deserves the earlier one.

mod table;

use std::collections::{BTreeMap, BTreeSet};

use api::packed::{self, AccountRecord, ResultRecord, TransferRecord};
use ledger::{AccountFlags, AccountStatus, CHAIN_EVENTS_MAX, TransferFlags, TransferStatus};
use serde_json::json;

use crate::harness::{Client, Server, eventually};
use table::{Case, Form, Kind, cases, lines};

/// Accounts in order of precedence. Bases: `p` a plain one, `i` one in an import.
const ACCOUNTS: &str = "
    2    linked_event_chain_open                     pi  open
    1    linked_event_failed                         pi  broken
    22   imported_event_expected                     i   -imported
    23   imported_event_not_expected                 p   +imported
    3    timestamp_must_be_zero                      p   timestamp=*5 -imported
    24   imported_event_timestamp_out_of_range       i   timestamp=0 +imported
    24   imported_event_timestamp_out_of_range       i   timestamp=9223372036854775808 +imported
    25   imported_event_timestamp_must_not_advance   i   timestamp=9223372036854775807 +imported
    4    reserved_field                              pi  reserved=1
    5    reserved_flag                               pi  +bit9
    6    id_must_not_be_zero                         pi  id=0
    7    id_must_not_be_int_max                      pi  id=max
    15   exists_with_different_flags                 p   id=RECORDED flags=*history
    15   exists_with_different_flags                 p   id=CLOSED_SINCE
    15   exists_with_different_flags                 i   id=IMPORTED flags=*history
    16   exists_with_different_user_data_128         p   id=RECORDED user_data_128=*1
    16   exists_with_different_user_data_128         i   id=IMPORTED user_data_128=*1
    17   exists_with_different_user_data_64          p   id=RECORDED user_data_64=*1
    18   exists_with_different_user_data_32          p   id=RECORDED user_data_32=*1
    19   exists_with_different_ledger                p   id=RECORDED ledger=*2
    20   exists_with_different_code                  p   id=RECORDED code=*9
    17   exists_with_different_user_data_64          i   id=IMPORTED user_data_64=*1
    18   exists_with_different_user_data_32          i   id=IMPORTED user_data_32=*1
    19   exists_with_different_ledger                i   id=IMPORTED ledger=*2
    20   exists_with_different_code                  i   id=IMPORTED code=*9
    21   exists                                      p   id=RECORDED same
    21   exists                                      i   id=IMPORTED same
    8    flags_are_mutually_exclusive                pi  +debits_must_not_exceed_credits +credits_must_not_exceed_debits
    9    debits_pending_must_be_zero                 pi  debits_pending=1
    10   debits_posted_must_be_zero                  pi  debits_posted=1
    11   credits_pending_must_be_zero                pi  credits_pending=max
    12   credits_posted_must_be_zero                 pi  credits_posted=1
    13   ledger_must_not_be_zero                     pi  ledger=0
    1001 ledger_not_found                            pi  ledger=7
    14   code_must_not_be_zero                       pi  code=0
    26   imported_event_timestamp_must_not_regress   i   timestamp=10
    26   imported_event_timestamp_must_not_regress   i   timestamp=LAST
";

/// Statuses of accounts that a single record cannot bring about by itself; each has a test below.
const ACCOUNTS_APART: &[&str] = &["linked_chain_too_long", "imported_event_timestamp_must_not_pass_event"];

/// Neighbours in order of precedence that no account deserves both, and why.
const ACCOUNTS_EXCLUSIVE: &[(&str, &str, &str)] = &[
    ("linked_event_failed", "linked_chain_too_long", "one event breaks a chain, and its status is another"),
    ("imported_event_expected", "imported_event_not_expected", "the batch is an import or it is not"),
    ("imported_event_not_expected", "timestamp_must_be_zero", "the account is imported or it is not"),
    ("timestamp_must_be_zero", "imported_event_timestamp_out_of_range", "the account is imported or it is not"),
    ("imported_event_timestamp_out_of_range", "imported_event_timestamp_must_not_advance", "ranges next to each other"),
    ("id_must_not_be_zero", "id_must_not_be_int_max", "one id"),
    ("id_must_not_be_int_max", "exists_with_different_flags", "no account has that id"),
    ("exists_with_different_code", "exists", "the code is another or it is not"),
    ("exists", "flags_are_mutually_exclusive", "no account has both flags"),
    ("ledger_must_not_be_zero", "ledger_not_found", "0 is no ledger to look for"),
    (
        "imported_event_timestamp_must_not_pass_event",
        "imported_event_timestamp_must_not_regress",
        "what comes after now comes after all that is recorded",
    ),
];

/// Transfers in order of precedence. Bases: `p` a plain payment, `i` one in an import; `r` the post of a pending
/// transfer, `s` one in an import.
const TRANSFERS: &str = "
    2    linked_event_chain_open                       pirs  open
    1    linked_event_failed                           pirs  broken
    56   imported_event_expected                       is    -imported
    57   imported_event_not_expected                   pr    +imported
    3    timestamp_must_be_zero                        pr    timestamp=*5 -imported
    58   imported_event_timestamp_out_of_range         is    timestamp=0 +imported
    58   imported_event_timestamp_out_of_range         is    timestamp=9223372036854775808 +imported
    59   imported_event_timestamp_must_not_advance     is    timestamp=9223372036854775807 +imported
    4    reserved_flag                                 pirs  +bit9
    5    id_must_not_be_zero                           pirs  id=0
    6    id_must_not_be_int_max                        pirs  id=max
    36   exists_with_different_flags                   p     id=RECORDED flags=*balancing_debit
    36   exists_with_different_flags                   i     id=IMPORTED flags=*balancing_debit
    36   exists_with_different_flags                   rs    id=RECORDED
    40   exists_with_different_pending_id              p     id=RECORDED pending_id=*HELD
    40   exists_with_different_pending_id              i     id=IMPORTED pending_id=*HELD
    44   exists_with_different_timeout                 p     id=RECORDED timeout=*5
    44   exists_with_different_timeout                 i     id=IMPORTED timeout=*5
    37   exists_with_different_debit_account_id        p     id=RECORDED debit_account_id=*THIRD
    37   exists_with_different_debit_account_id        i     id=IMPORTED debit_account_id=*THIRD
    38   exists_with_different_credit_account_id       p     id=RECORDED credit_account_id=*THIRD
    38   exists_with_different_credit_account_id       i     id=IMPORTED credit_account_id=*THIRD
    39   exists_with_different_amount                  p     id=RECORDED amount=*11
    39   exists_with_different_amount                  i     id=IMPORTED amount=*11
    41   exists_with_different_user_data_128           p     id=RECORDED user_data_128=*1
    41   exists_with_different_user_data_128           i     id=IMPORTED user_data_128=*1
    42   exists_with_different_user_data_64            p     id=RECORDED user_data_64=*1
    42   exists_with_different_user_data_64            i     id=IMPORTED user_data_64=*1
    43   exists_with_different_user_data_32            p     id=RECORDED user_data_32=*1
    43   exists_with_different_user_data_32            i     id=IMPORTED user_data_32=*1
    67   exists_with_different_ledger                  p     id=RECORDED ledger=*2
    67   exists_with_different_ledger                  i     id=IMPORTED ledger=*2
    45   exists_with_different_code                    p     id=RECORDED code=*9
    45   exists_with_different_code                    i     id=IMPORTED code=*9
    46   exists                                        p     id=RECORDED same
    46   exists                                        i     id=IMPORTED same
    68   id_already_failed                             pirs  id=FAILED
    1006 id_already_scheduled                          pirs  id=SCHEDULED
    7    flags_are_mutually_exclusive                  rs    +post_pending_transfer +void_pending_transfer
    7    flags_are_mutually_exclusive                  rs    +post_pending_transfer +pending
    7    flags_are_mutually_exclusive                  rs    +post_pending_transfer +balancing_debit
    7    flags_are_mutually_exclusive                  rs    +post_pending_transfer +balancing_credit
    7    flags_are_mutually_exclusive                  rs    +post_pending_transfer +closing_debit
    7    flags_are_mutually_exclusive                  rs    -post_pending_transfer +void_pending_transfer +closing_credit
    8    debit_account_id_must_not_be_zero             pi    debit_account_id=0
    9    debit_account_id_must_not_be_int_max          pi    debit_account_id=max
    10   credit_account_id_must_not_be_zero            pi    credit_account_id=0
    11   credit_account_id_must_not_be_int_max         pi    credit_account_id=max
    12   accounts_must_be_different                    pi    debit_account_id=FIRST credit_account_id=FIRST
    13   pending_id_must_be_zero                       pi    pending_id=*HELD
    13   pending_id_must_be_zero                       pi    pending_id=max
    14   pending_id_must_not_be_zero                   rs    pending_id=0
    15   pending_id_must_not_be_int_max                rs    pending_id=max
    16   pending_id_must_be_different                  rs    id=ITSELF pending_id=ITSELF
    17   timeout_reserved_for_pending_transfer         pi    -pending timeout=*5
    17   timeout_reserved_for_pending_transfer         rs    timeout=*5
    64   closing_transfer_must_be_pending              pi    -pending +closing_debit
    64   closing_transfer_must_be_pending              pi    -pending +closing_credit
    19   ledger_must_not_be_zero                       pi    ledger=0
    20   code_must_not_be_zero                         pi    code=0
    21   debit_account_not_found                       pi    debit_account_id=NOBODY
    22   credit_account_not_found                      pi    credit_account_id=NOBODY_EITHER
    23   accounts_must_have_the_same_ledger            pi    credit_account_id=FOREIGN
    24   transfer_must_have_the_same_ledger_as_accounts  pi  ledger=2
    1000 account_is_policy_only                        pi    debit_account_id=POLICY_ONLY
    1000 account_is_policy_only                        pi    credit_account_id=POLICY_ONLY_TOO
    25   pending_transfer_not_found                    rs    pending_id=NOBODY
    25   pending_transfer_not_found                    rs    pending_id=FAILED
    25   pending_transfer_not_found                    rs    pending_id=SCHEDULED
    26   pending_transfer_not_pending                  rs    pending_id=RECORDED
    27   pending_transfer_has_different_debit_account_id   rs  debit_account_id=THIRD
    28   pending_transfer_has_different_credit_account_id  rs  credit_account_id=THIRD
    29   pending_transfer_has_different_ledger         rs    ledger=2
    30   pending_transfer_has_different_code           rs    code=9
    31   exceeds_pending_transfer_amount               rs    amount=51
    31   exceeds_pending_transfer_amount               rs    -post_pending_transfer +void_pending_transfer amount=51
    32   pending_transfer_has_different_amount         rs    -post_pending_transfer +void_pending_transfer amount=49|51
    33   pending_transfer_already_posted               rs    pending_id=POSTED
    34   pending_transfer_already_voided               rs    pending_id=VOIDED
    35   pending_transfer_expired                      rs    pending_id=EXPIRED
    1003 imported_event_must_not_resolve_timed_transfer  s   pending_id=TIMED|EXPIRED
    60   imported_event_timestamp_must_not_regress     is    timestamp=10
    60   imported_event_timestamp_must_not_regress     is    timestamp=LAST
    61   imported_event_timestamp_must_postdate_debit_account   i  debit_account_id=LATE
    62   imported_event_timestamp_must_postdate_credit_account  i  credit_account_id=LATER
    63   imported_event_timeout_must_be_zero           i     +pending timeout=*5
    65   debit_account_already_closed                  pi    debit_account_id=CLOSED
    65   debit_account_already_closed                  rs    pending_id=DEBIT_CLOSED
    66   credit_account_already_closed                 pi    credit_account_id=CLOSED_TOO
    66   credit_account_already_closed                 rs    pending_id=CREDIT_CLOSED
    47   overflows_debits_pending                      pi    +pending debit_account_id=ALL_HELD
    48   overflows_credits_pending                     pi    +pending credit_account_id=ALL_RESERVED
    49   overflows_debits_posted                       pi    debit_account_id=ALL_PAID
    50   overflows_credits_posted                      pi    credit_account_id=ALL_GAINED
    51   overflows_debits                              pi    debit_account_id=HALF_PAID amount=170141183460469231731687303715884105728
    52   overflows_credits                             pi    credit_account_id=HALF_GAINED amount=170141183460469231731687303715884105728
    54   exceeds_credits                               pi    debit_account_id=NO_CREDIT
    55   exceeds_debits                                pi    credit_account_id=NO_DEBIT
    1004 exceeds_min_balance                           pi    debit_account_id=FLOOR
    1005 exceeds_max_balance                           pi    credit_account_id=CEILING
";

/// Statuses of transfers that a single record cannot bring about by itself; each has a test below.
const TRANSFERS_APART: &[&str] = &["linked_chain_too_long", "imported_event_timestamp_must_not_pass_event"];

/// Statuses that no packed record gets, and why.
const TRANSFERS_UNREACHABLE: &[(&str, &str)] = &[
    ("overflows_timeout", "the longest timeout, 136 years, ends before the year 2262 until 2126; an import has none"),
    ("scheduled_transfer_must_stand_alone", "transfers are scheduled over HTTP"),
    ("scheduled_time_must_be_later", "transfers are scheduled over HTTP"),
    ("scheduled_transfer_not_found", "scheduled transfers are cancelled over HTTP"),
    ("scheduled_transfer_cancelled", "what was cancelled is id_already_failed afterwards"),
];

/// Neighbours in order of precedence, those left out that no record gets, that no transfer deserves both, and why.
const TRANSFERS_EXCLUSIVE: &[(&str, &str, &str)] = &[
    ("linked_event_failed", "linked_chain_too_long", "one event breaks a chain, and its status is another"),
    ("imported_event_expected", "imported_event_not_expected", "the batch is an import or it is not"),
    ("imported_event_not_expected", "timestamp_must_be_zero", "the transfer is imported or it is not"),
    ("timestamp_must_be_zero", "imported_event_timestamp_out_of_range", "the transfer is imported or it is not"),
    ("imported_event_timestamp_out_of_range", "imported_event_timestamp_must_not_advance", "ranges next to each other"),
    ("id_must_not_be_zero", "id_must_not_be_int_max", "one id"),
    ("id_must_not_be_int_max", "exists_with_different_flags", "no transfer has that id"),
    ("exists_with_different_code", "exists", "the code is another or it is not"),
    ("exists", "id_already_failed", "an id is created or fails"),
    ("id_already_failed", "id_already_scheduled", "what waits has not failed"),
    ("flags_are_mutually_exclusive", "debit_account_id_must_not_be_zero", "a post may leave its accounts zero"),
    ("debit_account_id_must_not_be_zero", "debit_account_id_must_not_be_int_max", "one id"),
    ("credit_account_id_must_not_be_zero", "credit_account_id_must_not_be_int_max", "one id"),
    (
        "credit_account_id_must_not_be_int_max",
        "accounts_must_be_different",
        "both would be refused for the debit account",
    ),
    ("pending_id_must_be_zero", "pending_id_must_not_be_zero", "one id"),
    ("pending_id_must_not_be_zero", "pending_id_must_not_be_int_max", "one id"),
    ("pending_id_must_not_be_int_max", "pending_id_must_be_different", "no transfer has that id"),
    ("credit_account_not_found", "accounts_must_have_the_same_ledger", "nobody has no ledger"),
    ("account_is_policy_only", "pending_transfer_not_found", "the one is for payments, the other for posts and voids"),
    ("pending_transfer_not_found", "pending_transfer_not_pending", "what is not there is nothing"),
    ("pending_transfer_already_posted", "pending_transfer_already_voided", "it resolves once"),
    ("pending_transfer_already_voided", "pending_transfer_expired", "it resolves once"),
    (
        "imported_event_timestamp_must_not_pass_event",
        "imported_event_timestamp_must_not_regress",
        "what comes after now comes after all that is recorded",
    ),
];

const CREATED: u32 = ResultRecord::CREATED;
const FIRST: u128 = 1;
const SECOND: u128 = 2;
const THIRD: u128 = 3;
const HALF: u128 = 1 << 127;
/// Ids from here on are used once each.
const FRESH: u128 = 1_000_000;

const ACCOUNT: Kind = Kind {
    compared: &["user_data_128", "user_data_64", "user_data_32", "ledger", "code"],
    flag: |name| if name == "bit9" { 1 << 9 } else { named(AccountFlags::ALL, name).bits() },
};

const TRANSFER: Kind = Kind {
    compared: &[
        "pending_id",
        "timeout",
        "debit_account_id",
        "credit_account_id",
        "amount",
        "user_data_128",
        "user_data_64",
        "user_data_32",
        "ledger",
        "code",
    ],
    flag: |name| if name == "bit9" { 1 << 9 } else { named(TransferFlags::ALL, name).bits() },
};

fn named<F: Copy>(all: &[(&str, F)], name: &str) -> F {
    all.iter().find(|(known, _)| *known == name).unwrap_or_else(|| panic!("no such flag: {name}")).1
}

fn account_of(form: &Form) -> [u8; 128] {
    AccountRecord {
        id: form.get("id"),
        debits_pending: form.get("debits_pending"),
        debits_posted: form.get("debits_posted"),
        credits_pending: form.get("credits_pending"),
        credits_posted: form.get("credits_posted"),
        user_data_128: form.get("user_data_128"),
        user_data_64: form.take("user_data_64"),
        user_data_32: form.take("user_data_32"),
        reserved: form.take("reserved"),
        ledger: form.take("ledger"),
        code: form.take("code"),
        flags: form.flags | u16::from(form.open),
        timestamp: form.take("timestamp"),
    }
    .encode()
}

fn transfer_of(form: &Form) -> [u8; 128] {
    TransferRecord {
        id: form.get("id"),
        debit_account_id: form.get("debit_account_id"),
        credit_account_id: form.get("credit_account_id"),
        amount: form.get("amount"),
        pending_id: form.get("pending_id"),
        user_data_128: form.get("user_data_128"),
        user_data_64: form.take("user_data_64"),
        user_data_32: form.take("user_data_32"),
        timeout: form.take("timeout"),
        ledger: form.take("ledger"),
        code: form.take("code"),
        flags: form.flags | u16::from(form.open),
        timestamp: form.take("timestamp"),
    }
    .encode()
}

/// A server, and the operation that is tested on it.
struct Subject {
    client: Client,
    path: &'static str,
    pack: fn(&Form) -> [u8; 128],
    _server: Server,
    _data: tempfile::TempDir,
}

impl Subject {
    fn start(path: &'static str, pack: fn(&Form) -> [u8; 128]) -> Self {
        let data = tempfile::tempdir().expect("a directory");
        let server = Server::start(data.path());
        let client = server.client(server.key.as_deref().expect("the first start makes a key"));
        for (id, asset) in [(1, "EUR/2"), (2, "USD/2")] {
            assert_eq!(client.post("/v1/ledgers", &json!({"id": id, "asset": asset})).status, 201);
        }
        Self { client, path, pack, _server: server, _data: data }
    }

    fn results(&self, path: &str, records: &[[u8; 128]]) -> Vec<ResultRecord> {
        let answer = self.client.packed(path, &records.concat());
        answer.as_chunks().0.iter().map(ResultRecord::decode).collect()
    }

    /// Sends records that must all be created; the last of their timestamps.
    #[track_caller]
    fn create(&self, path: &str, records: &[[u8; 128]]) -> u64 {
        let results = self.results(path, records);
        assert!(results.iter().all(|result| result.status == CREATED), "{results:?}");
        results.iter().map(|result| result.timestamp).max().unwrap_or_default()
    }

    /// Sends every case and compares what is answered with what comes first of what it deserves. `leaders` are records
    /// that exist, of each base; as the first of a batch they say whether it is an import.
    #[track_caller]
    fn check(&self, cases: &mut [Case], leaders: &BTreeMap<char, Form>) {
        let mut fresh = FRESH;
        let mut wrong = vec![];
        for case in cases.iter_mut().filter(|case| case.form.get("id") == FRESH) {
            case.form.fields.insert("id", fresh);
            fresh += 1;
        }
        let is_import = |case: &Case| "is".contains(case.form.base);
        for import in [false, true] {
            let cases = || cases.iter().filter(|case| is_import(case) == import);
            let leader = |case: &Case| leaders[&case.form.base].clone();
            // The end of a batch is one record's place; all others stand together.
            let ends = cases().filter(|case| case.form.open).map(|case| vec![case]);
            let others: Vec<&Case> = cases().filter(|case| !case.form.open).collect();
            for batch in ends.chain(others.chunks(2_000).map(<[_]>::to_vec)) {
                let mut records = vec![(self.pack)(&leader(batch[0]))];
                let mut places = vec![];
                for case in &batch {
                    if case.form.broken {
                        let breaker = Form { flags: 1 << 9 | 1, ..leader(case) };
                        records.push((self.pack)(&breaker));
                    }
                    places.push(records.len());
                    records.push((self.pack)(&case.form));
                }
                let results = self.results(self.path, &records);
                assert_eq!(results.len(), records.len());
                for (case, place) in batch.iter().zip(places) {
                    if results[place].status != case.deserved[0].0 {
                        wrong.push(format!("found {}, expected the first of {case:?}", results[place].status));
                    }
                }
            }
        }
        assert!(
            wrong.is_empty(),
            "{} of {} differ\n{}",
            wrong.len(),
            cases.len(),
            wrong[..wrong.len().min(9)].join("\n")
        );
    }
}

/// All statuses have a line in the table, in order of precedence, or a reason why not; so have all neighbours.
fn check_complete(
    table: &'static str,
    cases: &[Case],
    all: &[(u16, &'static str)],
    apart: &[&str],
    unreachable: &[(&str, &str)],
    exclusive: &[(&str, &str, &str)],
) {
    let listed: BTreeSet<(u16, &str)> = lines(table)
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .map(|words| (words[0].parse().expect("a number"), words[1]))
        .collect();
    let is_unreachable = |name: &str| unreachable.iter().any(|(known, _)| *known == name);
    for status in all {
        let ways = [listed.contains(status), apart.contains(&status.1), is_unreachable(status.1)];
        assert_eq!(ways.iter().filter(|way| **way).count(), 1, "{status:?} stands in one of the lists");
    }
    let others = apart.iter().chain(unreachable.iter().map(|(name, _)| name));
    assert_eq!(listed.len() + others.count(), all.len(), "nothing else stands in the lists");
    let gets: BTreeSet<u32> = cases.iter().map(|case| case.deserved[0].0).collect();
    assert!(
        listed.iter().all(|(number, _)| gets.contains(&u32::from(*number))),
        "every line has a record that gets it"
    );

    let reachable: Vec<&str> = all.iter().map(|(_, name)| *name).filter(|name| !is_unreachable(name)).collect();
    for pair in reachable.windows(2) {
        let both = |case: &Case| case.deserved.len() > 1 && [case.deserved[0].1, case.deserved[1].1] == *pair;
        let has_reason = exclusive.iter().any(|(first, second, _)| [*first, *second] == *pair);
        // Those that stand apart are compared with their neighbours in their own tests.
        let is_apart = pair.iter().any(|name| apart.contains(name));
        let is_tested = cases.iter().any(both);
        assert!(is_tested || has_reason || is_apart, "no record deserves both of {pair:?}");
        assert!(!(is_tested && has_reason), "there is a record that deserves both of {pair:?}");
    }
}

#[test]
fn every_status_of_an_account_comes_in_its_order() {
    let subject = Subject::start("/v1/packed/create-accounts", account_of);
    let of = |id, flags: u16, timestamp: u64| {
        let fields = [("id", id), ("ledger", 1), ("code", 10), ("timestamp", timestamp.into())];
        Form::new(if timestamp == 0 { 'p' } else { 'i' }, &fields, flags)
    };
    let open = |forms: &[Form]| subject.create(subject.path, &forms.iter().map(account_of).collect::<Vec<_>>());
    let last = open(&[of(FIRST, 0, 0), of(SECOND, 0, 0)]);
    let close = pay(5, ["SECOND", "FIRST"], 0, TransferFlags::PENDING.with(TransferFlags::CLOSING_DEBIT));
    subject.create("/v1/packed/create-transfers", &[transfer_of(&close)]);
    let imported = AccountFlags::IMPORTED.bits();
    let leader = of(THIRD, imported, last + 500);
    open(std::slice::from_ref(&leader));

    let names =
        [("RECORDED", FIRST), ("CLOSED_SINCE", SECOND), ("IMPORTED", THIRD), ("LAST", u128::from(last) + 500)].into();
    let bases = [of(FRESH, 0, 0), of(FRESH, imported, last + 1_000)];
    let mut cases = cases(&ACCOUNT, ACCOUNTS, &names, &bases);
    let all: Vec<_> = AccountStatus::ALL.iter().map(|status| (status.number(), status.name())).collect();
    check_complete(ACCOUNTS, &cases, &all, ACCOUNTS_APART, &[], ACCOUNTS_EXCLUSIVE);
    subject.check(&mut cases, &[('p', of(FIRST, 0, 0)), ('i', leader)].into());
    let ids: Vec<u8> = (FRESH..FRESH + 5_000).flat_map(u128::to_le_bytes).collect();
    assert!(subject.client.packed("/v1/packed/lookup-accounts", &ids).is_empty(), "what is refused is not there");
}

#[test]
fn every_status_of_a_transfer_comes_in_its_order() {
    let subject = Subject::start("/v1/packed/create-transfers", transfer_of);
    let world = World::make(&subject);
    let cases = &mut cases(&TRANSFER, TRANSFERS, &world.names, &world.bases);
    let all: Vec<_> = TransferStatus::ALL.iter().map(|status| (status.number(), status.name())).collect();
    check_complete(TRANSFERS, cases, &all, TRANSFERS_APART, TRANSFERS_UNREACHABLE, TRANSFERS_EXCLUSIVE);
    let ids: Vec<u8> = (1..100_u128).flat_map(u128::to_le_bytes).collect();
    let balances = || subject.client.packed("/v1/packed/lookup-accounts", &ids);
    let before = balances();
    subject.check(cases, &world.leaders);
    assert_eq!(balances(), before, "what is refused moves nothing");
    let ids: Vec<u8> = (FRESH..FRESH + 8_000).flat_map(u128::to_le_bytes).collect();
    assert!(subject.client.packed("/v1/packed/lookup-transfers", &ids).is_empty(), "what is refused is not there");
}

/// The event that makes a chain too long says so, unless the chain has no end, and whatever else is wrong with it; all
/// others fail with it.
#[test]
fn a_chain_that_is_too_long_says_so_where_it_became_too_long() {
    let subject = Subject::start("/v1/packed/create-transfers", transfer_of);
    open(&subject, WORLD_ACCOUNTS);
    let statuses = |records: &[[u8; 128]], path| -> Vec<u32> {
        subject.results(path, records).iter().map(|result| result.status).collect()
    };
    // The fault stands where the chain becomes too long: its import flag does not fit the batch.
    let fault = TransferFlags::IMPORTED.bits();
    let chain = |events: usize, open: bool, pack: &dyn Fn(u128, u16) -> [u8; 128]| -> Vec<[u8; 128]> {
        let flags = |place| u16::from(open || place + 1 < events) | if place == CHAIN_EVENTS_MAX { fault } else { 0 };
        (0..events).map(|place| pack(FRESH + place as u128, flags(place))).collect()
    };
    let transfer = |id, flags| transfer_of(&pay(id, ["FIRST", "SECOND"], 1, TransferFlags::from_bits(flags)));
    // The import flag of accounts is another bit.
    let account = |id, flags| {
        let flags = flags & 1 | if flags & fault != 0 { AccountFlags::IMPORTED.bits() } else { 0 };
        account_of(&Form::new('p', &[("id", id), ("ledger", 1), ("code", 1)], flags))
    };
    for (path, pack, number) in [
        ("/v1/packed/create-transfers", &transfer as &dyn Fn(u128, u16) -> [u8; 128], 1001),
        ("/v1/packed/create-accounts", &account, 1002),
    ] {
        for (events, open) in
            [(CHAIN_EVENTS_MAX + 1, false), (CHAIN_EVENTS_MAX + 3, false), (CHAIN_EVENTS_MAX + 3, true)]
        {
            let mut expected = vec![1; events];
            expected[CHAIN_EVENTS_MAX] = number;
            if open {
                expected[events - 1] = 2;
            }
            assert!(statuses(&chain(events, open, pack), path) == expected, "{path}, {events} events");
        }
        // The very event that is too many can be the end that is missing.
        let found = statuses(&chain(CHAIN_EVENTS_MAX + 1, true, pack), path);
        assert_eq!(found[CHAIN_EVENTS_MAX], 2);
        let longest = statuses(&chain(CHAIN_EVENTS_MAX, false, pack), path);
        assert!(longest == vec![CREATED; CHAIN_EVENTS_MAX], "the longest chain is fine");
    }
    let [first, ..] = subject.client.packed("/v1/packed/lookup-accounts", &FIRST.to_le_bytes()).as_chunks().0[..]
    else {
        panic!("the account is there")
    };
    assert_eq!(AccountRecord::decode(&first).debits_posted, CHAIN_EVENTS_MAX as u128);
}

/// Between the instant of an import's event and that of its batch's last one lie some microseconds. Of timestamps that
/// lie so close together that one of them must be there, all are refused as they come before, in, or after that gap.
#[test]
fn an_import_from_the_future_is_refused_by_the_microsecond() {
    let subject = Subject::start("/v1/packed/create-transfers", transfer_of);
    let world = World::make(&subject);
    let timed = |form: Form| form.with("timeout", 1);
    let paying = timed(Form { flags: world.bases[1].flags | TransferFlags::PENDING.bits(), ..world.bases[1].clone() });
    sweep(&subject, &world.leaders[&'i'], &paying, [63, 1002, 59]);
    sweep(&subject, &world.leaders[&'i'], &paying.clone().with("id", id("IMPORTED")), [36, 36, 59]);
    sweep(&subject, &world.leaders[&'i'], &paying.with("debit_account_id", id("POLICY_ONLY")), [1000, 1000, 59]);
    let posting = &world.bases[3];
    sweep(&subject, &world.leaders[&'s'], &posting.clone().with("pending_id", id("TIMED")), [1003, 1003, 59]);

    let subject = Subject::start("/v1/packed/create-accounts", account_of);
    let imported = AccountFlags::IMPORTED.bits();
    let leader = Form::new('i', &[("id", FIRST), ("ledger", 1), ("code", 1), ("timestamp", 10)], imported);
    subject.create(subject.path, &[account_of(&leader)]);
    let opening = leader.clone().with("id", FRESH);
    sweep(&subject, &leader, &opening.clone().with("code", 0), [14, 14, 25]);
    // The earliest timestamps come last, where they regress.
    sweep(&subject, &leader, &opening, [26, 1003, 25]);
}

/// Sends a batch of one record with timestamps that go down from the future to the past: statuses of those before,
/// within and behind the gap. Of what would be created only the first is.
#[track_caller]
fn sweep(subject: &Subject, leader: &Form, form: &Form, [before, within, behind]: [u32; 3]) {
    const STEP_NS: u128 = 8_000;
    let count = packed::EVENTS_MAX - 1;
    assert!(STEP_NS < count as u128, "no step is wider than the gap");
    let mut ahead_ns = 0;
    for _ in 0..20 {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_nanos();
        let newest = now + ahead_ns + STEP_NS * count as u128 / 2;
        let mut records = vec![(subject.pack)(leader)];
        let fresh = form.get("id") == FRESH;
        records.extend((0..count as u128).map(|place| {
            let form = form.clone().with("timestamp", newest - place * STEP_NS);
            (subject.pack)(&if fresh { form.with("id", FRESH + place) } else { form })
        }));
        let results = subject.results(subject.path, &records);
        let statuses: Vec<u32> = results[1..].iter().map(|result| result.status).collect();
        if statuses[0] == behind && (statuses[count - 1] == before) {
            let behind_count = statuses.iter().take_while(|status| **status == behind).count();
            let within_count = statuses[behind_count..].iter().take_while(|status| **status == within).count();
            assert!(within_count > 0, "{within} is missing between {behind} and {:?}", &statuses[behind_count..][..3]);
            let mut rest = statuses[behind_count + within_count..].iter().filter(|status| **status != CREATED);
            assert!(rest.all(|status| *status == before), "{before} before the gap");
            return;
        }
        // The batch was judged outside of what was swept: aim at when that was.
        ahead_ns = u128::from(results[0].timestamp.max(results[1].timestamp)).saturating_sub(now);
    }
    panic!("the server's time was never met");
}

/// The accounts of the world of transfers: name, id, ledger, flags.
const WORLD_ACCOUNTS: &[(&str, u128, u128, AccountFlags)] = &[
    ("FIRST", FIRST, 1, AccountFlags::NONE),
    ("SECOND", SECOND, 1, AccountFlags::NONE),
    ("THIRD", THIRD, 1, AccountFlags::NONE),
    ("FOREIGN", 4, 2, AccountFlags::NONE),
    ("POLICY_ONLY", 5, 1, AccountFlags::POLICY_ONLY),
    ("CLOSED", 6, 1, AccountFlags::CLOSED),
    ("CLOSED_TOO", 7, 1, AccountFlags::CLOSED),
    ("ALL_HELD", 8, 1, AccountFlags::NONE),
    ("ALL_RESERVED", 9, 1, AccountFlags::NONE),
    ("ALL_PAID", 10, 1, AccountFlags::NONE),
    ("ALL_GAINED", 11, 1, AccountFlags::NONE),
    ("HALF_PAID", 12, 1, AccountFlags::NONE),
    ("HALF_GAINED", 13, 1, AccountFlags::NONE),
    ("NO_CREDIT", 14, 1, AccountFlags::DEBITS_MUST_NOT_EXCEED_CREDITS),
    ("NO_DEBIT", 15, 1, AccountFlags::CREDITS_MUST_NOT_EXCEED_DEBITS),
    ("FLOOR", 16, 1, AccountFlags::NONE),
    ("CEILING", 17, 1, AccountFlags::NONE),
    ("CLOSES", 18, 1, AccountFlags::NONE),
    ("CLOSES_TOO", 19, 1, AccountFlags::NONE),
    ("POLICY_ONLY_TOO", 22, 1, AccountFlags::POLICY_ONLY),
];
/// Opened after every transfer.
const LATE_ACCOUNTS: &[(&str, u128, u128, AccountFlags)] =
    &[("LATE", 20, 1, AccountFlags::NONE), ("LATER", 21, 1, AccountFlags::NONE)];
/// Its transfers, and ids that are none.
const WORLD_TRANSFERS: &[(&str, u128)] = &[
    ("RECORDED", 101),
    ("FAILED", 102),
    ("SCHEDULED", 103),
    ("IMPORTED", 104),
    ("HELD", 105),
    ("POSTED", 106),
    ("VOIDED", 107),
    ("EXPIRED", 108),
    ("TIMED", 109),
    ("DEBIT_CLOSED", 110),
    ("CREDIT_CLOSED", 111),
    ("NOBODY", 900),
    ("NOBODY_EITHER", 901),
    ("ITSELF", 902),
];

fn id(name: &str) -> u128 {
    let accounts = WORLD_ACCOUNTS.iter().chain(LATE_ACCOUNTS).map(|(known, id, ..)| (*known, *id));
    let mut all = accounts.chain(WORLD_TRANSFERS.iter().copied());
    all.find(|(known, _)| *known == name).unwrap_or_else(|| panic!("{name} is nothing")).1
}

/// What the records of the tables are about.
struct World {
    names: BTreeMap<&'static str, u128>,
    bases: [Form; 4],
    leaders: BTreeMap<char, Form>,
}

impl World {
    fn make(subject: &Subject) -> Self {
        let (plain, pending) = (TransferFlags::NONE, TransferFlags::PENDING);
        let (post, void) = (TransferFlags::POST_PENDING_TRANSFER, TransferFlags::VOID_PENDING_TRANSFER);
        let [recorded, imported, held] = ["RECORDED", "IMPORTED", "HELD"].map(id);
        let pair = ["FIRST", "SECOND"];
        open(subject, WORLD_ACCOUNTS);
        let last = subject.create(
            subject.path,
            &[
                pay(recorded, pair, 10, plain),
                pay(held, pair, 50, pending),
                pay(id("POSTED"), pair, 50, pending),
                pay(id("VOIDED"), pair, 50, pending),
                pay(id("EXPIRED"), pair, 50, pending).with("timeout", 1),
                pay(id("TIMED"), pair, 50, pending).with("timeout", 1_000_000),
                resolve(201, id("POSTED"), post),
                resolve(202, id("VOIDED"), void).with("amount", 0),
                pay(203, ["ALL_HELD", "ALL_RESERVED"], u128::MAX, pending),
                pay(204, ["ALL_PAID", "ALL_GAINED"], u128::MAX, plain),
                pay(205, ["HALF_PAID", "HALF_GAINED"], HALF - 1, pending),
                pay(206, ["HALF_PAID", "HALF_GAINED"], HALF - 1, plain),
                pay(id("DEBIT_CLOSED"), ["CLOSES", "SECOND"], 50, pending),
                pay(id("CREDIT_CLOSED"), ["FIRST", "CLOSES_TOO"], 50, pending),
                pay(207, ["CLOSES", "SECOND"], 0, pending.with(TransferFlags::CLOSING_DEBIT)),
                pay(208, ["FIRST", "CLOSES_TOO"], 0, pending.with(TransferFlags::CLOSING_CREDIT)),
            ]
            .map(|form| transfer_of(&form)),
        );
        let failed = pay(id("FAILED"), ["FIRST", "NOBODY"], 10, plain);
        assert_eq!(subject.results(subject.path, &[transfer_of(&failed)])[0].status, 22);
        for (account, limits) in [("FLOOR", json!({"min_balance": "-9"})), ("CEILING", json!({"max_balance": "9"}))] {
            assert_eq!(subject.client.post(&format!("/v1/accounts/{}/limits", id(account)), &limits).status, 200);
        }
        let scheduled = json!({
            "id": id("SCHEDULED").to_string(), "debit_account": "1", "credit_account": "2", "amount": "10",
            "asset": "EUR/2", "code": 1, "scheduled_at": "2199-01-01T00:00:00Z",
        });
        let scheduled = subject.client.post("/v1/transfers", &scheduled);
        assert_eq!(scheduled.text("state"), "scheduled", "{scheduled:?}");
        open(subject, LATE_ACCOUNTS);
        let leader = import(pay(imported, pair, 10, plain), 'i', last + 500);
        subject.create(subject.path, &[transfer_of(&leader)]);
        let expired = format!("/v1/transfers/{}", id("EXPIRED"));
        eventually(|| (subject.client.get(&expired).text("state") == "expired").then_some(()));

        let (paying, posting) = (pay(FRESH, pair, 10, plain), resolve(FRESH, held, post));
        let imports = [import(paying.clone(), 'i', last + 1_000), import(posting.clone(), 's', last + 1_000)];
        let [import_paying, import_posting] = imports;
        let recorded = pay(recorded, pair, 10, plain);
        let leaders = [('p', recorded.clone()), ('r', recorded), ('i', leader.clone()), ('s', leader)].into();
        let accounts = WORLD_ACCOUNTS.iter().chain(LATE_ACCOUNTS).map(|(name, id, ..)| (*name, *id));
        let names = accounts.chain(WORLD_TRANSFERS.iter().copied()).chain([("LAST", u128::from(last) + 500)]);
        Self { names: names.collect(), bases: [paying, import_paying, posting, import_posting], leaders }
    }
}

fn open(subject: &Subject, accounts: &[(&str, u128, u128, AccountFlags)]) {
    let form = |(_, id, ledger, flags): &(_, _, _, AccountFlags)| {
        account_of(&Form::new('p', &[("id", *id), ("ledger", *ledger), ("code", 1)], flags.bits()))
    };
    subject.create("/v1/packed/create-accounts", &accounts.iter().map(form).collect::<Vec<_>>());
}

fn pay(number: u128, accounts: [&str; 2], amount: u128, flags: TransferFlags) -> Form {
    let [debit, credit] = accounts.map(id);
    let accounts = [("debit_account_id", debit), ("credit_account_id", credit)];
    Form::new('p', &[("id", number), ("amount", amount), ("ledger", 1), ("code", 1)], flags.bits()).with_all(&accounts)
}

/// Posts all of a pending transfer, or voids it.
fn resolve(number: u128, pending: u128, flags: TransferFlags) -> Form {
    Form::new('r', &[("id", number), ("pending_id", pending), ("amount", u128::MAX)], flags.bits())
}

fn import(form: Form, base: char, at: u64) -> Form {
    let form = form.with("timestamp", at.into());
    Form { base, flags: form.flags | TransferFlags::IMPORTED.bits(), ..form }
}
