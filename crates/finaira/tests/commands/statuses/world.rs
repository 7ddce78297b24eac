//! The objects that the records of the tables refer to: accounts that are closed, full or limited, and transfers that
//! ended in every way.

use std::collections::BTreeMap;

use ledger::{AccountFlags, TransferFlags};
use serde_json::json;

use super::table::Form;
use super::{FIRST, FRESH, HALF, SECOND, Subject, THIRD, account_of, transfer_of};
use crate::harness::eventually;

/// The accounts for the transfer tests: name, id, ledger, flags.
pub(super) const WORLD_ACCOUNTS: &[(&str, u128, u128, AccountFlags)] = &[
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
/// Accounts that are opened after every transfer.
pub(super) const LATE_ACCOUNTS: &[(&str, u128, u128, AccountFlags)] =
    &[("LATE", 20, 1, AccountFlags::NONE), ("LATER", 21, 1, AccountFlags::NONE)];
/// The transfers, and ids that no transfer has.
pub(super) const WORLD_TRANSFERS: &[(&str, u128)] = &[
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

pub(super) fn id(name: &str) -> u128 {
    let accounts = WORLD_ACCOUNTS.iter().chain(LATE_ACCOUNTS).map(|(known, id, ..)| (*known, *id));
    let mut all = accounts.chain(WORLD_TRANSFERS.iter().copied());
    all.find(|(known, _)| *known == name).unwrap_or_else(|| panic!("nothing is named {name}")).1
}

/// The objects that the records of the tables refer to.
pub(super) struct World {
    pub(super) names: BTreeMap<&'static str, u128>,
    pub(super) bases: [Form; 4],
    pub(super) leaders: BTreeMap<char, Form>,
}

impl World {
    pub(super) fn make(subject: &Subject) -> Self {
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

pub(super) fn open(subject: &Subject, accounts: &[(&str, u128, u128, AccountFlags)]) {
    let form = |(_, id, ledger, flags): &(_, _, _, AccountFlags)| {
        account_of(&Form::new('p', &[("id", *id), ("ledger", *ledger), ("code", 1)], flags.bits()))
    };
    subject.create("/v1/packed/create-accounts", &accounts.iter().map(form).collect::<Vec<_>>());
}

pub(super) fn pay(number: u128, accounts: [&str; 2], amount: u128, flags: TransferFlags) -> Form {
    let [debit, credit] = accounts.map(id);
    let accounts = [("debit_account_id", debit), ("credit_account_id", credit)];
    Form::new('p', &[("id", number), ("amount", amount), ("ledger", 1), ("code", 1)], flags.bits()).with_all(&accounts)
}

/// Posts the whole amount of a pending transfer, or voids it.
pub(super) fn resolve(number: u128, pending: u128, flags: TransferFlags) -> Form {
    Form::new('r', &[("id", number), ("pending_id", pending), ("amount", u128::MAX)], flags.bits())
}

pub(super) fn import(form: Form, base: char, at: u64) -> Form {
    let form = form.with("timestamp", at.into());
    Form { base, flags: form.flags | TransferFlags::IMPORTED.bits(), ..form }
}
