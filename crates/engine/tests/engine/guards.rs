//! Guards: a retry never overwrites what others set since, a key belongs to one content, and `If-Match` names a version.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use engine::{
    AccountOrder, CreateTransferBatch, Guard, Guardable, Guarded, IfMatch, KEYS_MAX, Key, KeyUsed, Made, OpenAccount,
    OpenAccountBatch, Operation, Refusal, SetAccountMetadata, SetLimits, TransferOrder, WritesClosed, query,
};
use ledger::{Limits, NewAccount, NewTransfer, TransferKey};
use types::{AccountId, Amount, Code, RequestId, TransferId};

use crate::orders::{EUR, World};

/// A key that is used for a request whose content are these parts.
fn key(id: u128, items: u32, parts: &[u64]) -> Guard {
    let names = (0..parts.len()).map(|place| format!("/{place}")).collect();
    let used = KeyUsed { items, parts: parts.into() };
    Guard { key: Some(Key { id: RequestId::new(id), used, names }), if_match: None }
}

fn limits(min_balance: i128) -> SetLimits {
    SetLimits {
        account: AccountId::new(1).into(),
        limits: Limits { min_balance: Some(min_balance), max_balance: None },
    }
}

impl World {
    fn with_accounts() -> Self {
        let mut world = Self::new();
        for id in [1, 2] {
            world.ask(id, OpenAccount(Box::new(account(id)))).unwrap();
        }
        world
    }

    fn guarded<O: Operation + Into<Guardable>>(&mut self, guard: Guard, operation: O) -> engine::Answered<O> {
        self.ask(0, Guarded { guard, operation })
    }

    /// Sets the minimum with a key; `made` and the minimum after it.
    #[track_caller]
    fn set(&mut self, key: Guard, min_balance: i128, expected: (Made, i128)) {
        let (made, account) = self.guarded(key, limits(min_balance)).unwrap();
        assert_eq!((made, account.limits.min_balance), (expected.0, Some(expected.1)));
    }
}

fn account(id: u128) -> AccountOrder {
    NewAccount { id: AccountId::new(id), ledger: EUR, code: Code::new(1), ..NewAccount::default() }.into()
}

fn transfer(id: u128, amount: u128) -> TransferOrder {
    let new = NewTransfer {
        debit: AccountId::new(1),
        credit: AccountId::new(2),
        amount: Amount::new(amount),
        code: Code::new(1),
        ..NewTransfer::named(TransferKey::Client(TransferId::new(id)))
    };
    new.into()
}

#[test]
fn a_late_retry_does_not_overwrite_what_others_set_since() {
    let mut world = World::with_accounts();
    world.set(key(50, 0, &[1]), -1, (Made::Now, -1));
    world.set(key(51, 0, &[2]), -2, (Made::Now, -2));
    for _ in 0..2 {
        let entries = world.entries.len();
        world.set(key(50, 0, &[1]), -1, (Made::Before, -2));
        world.set(key(51, 0, &[2]), -2, (Made::Before, -2));
        assert_eq!(world.entries.len(), entries, "a retry leaves no entry");
        world.restart();
    }
}

#[test]
fn a_key_counts_even_if_its_request_changed_nothing() {
    let mut world = World::with_accounts();
    world.ask(0, limits(-1)).unwrap();
    world.set(key(50, 0, &[1]), -1, (Made::Before, -1));
    world.ask(0, limits(-2)).unwrap();
    world.restart();
    world.set(key(50, 0, &[1]), -1, (Made::Before, -2));
}

#[test]
fn a_refused_request_does_not_use_its_key_up() {
    let mut world = World::with_accounts();
    let missing = SetLimits { account: AccountId::new(9).into(), ..limits(-1) };
    for _ in 0..2 {
        let refused = world.guarded(key(50, 0, &[1]), missing.clone()).unwrap_err();
        assert_eq!(refused, Refusal::AccountNotFound(AccountId::new(9)));
    }
    world.set(key(50, 0, &[7]), -1, (Made::Now, -1));
}

#[test]
fn a_key_with_other_content_is_refused_with_what_differs() {
    let mut world = World::with_accounts();
    world.set(key(50, 0, &[1, 2]), -1, (Made::Now, -1));
    for _ in 0..2 {
        let entries = world.entries.len();
        for (parts, differs) in [(&[1, 3][..], "/1"), (&[9, 2], "/0"), (&[1, 2, 3], "/2"), (&[1], "/0")] {
            let refused = world.guarded(key(50, 0, parts), limits(-5)).unwrap_err();
            assert_eq!(refused, Refusal::KeyUsedWithOtherContent(differs.to_owned()));
        }
        assert_eq!(world.entries.len(), entries);
        world.restart();
    }
}

#[test]
fn a_key_belongs_to_a_whole_batch() {
    let mut world = World::with_accounts();
    let three: Vec<_> = (10..13).map(|id| transfer(id, 5)).collect();
    let made = |world: &mut World, guard, orders: &[TransferOrder]| -> Result<Vec<Made>, Refusal> {
        let answers = world.guarded(guard, CreateTransferBatch(orders.to_vec()))?;
        Ok(answers.into_iter().map(|answer| answer.unwrap().0).collect())
    };
    assert_eq!(made(&mut world, key(60, 3, &[1, 2, 3]), &three), Ok(vec![Made::Now; 3]));
    let four: Vec<_> = (10..14).map(|id| transfer(id, 5)).collect();
    for _ in 0..2 {
        assert_eq!(made(&mut world, key(60, 3, &[1, 2, 3]), &three), Ok(vec![Made::Before; 3]));
        let longer = made(&mut world, key(60, 4, &[1, 2, 3, 4]), &four);
        assert_eq!(longer, Err(Refusal::KeyUsedWithOtherItems { first: 3, now: 4 }));
        let shorter = made(&mut world, key(60, 2, &[1, 2]), &three[..2]);
        assert_eq!(shorter, Err(Refusal::KeyUsedWithOtherItems { first: 3, now: 2 }));
        let other = made(&mut world, key(60, 3, &[1, 9, 3]), &three);
        assert_eq!(other, Err(Refusal::KeyUsedWithOtherContent("/1".to_owned())));
        let account = world.ask(0, query::Account(AccountId::new(1).into())).unwrap();
        assert_eq!(account.account.debits_posted, Amount::new(15), "nothing else moved");
        world.restart();
    }
}

#[test]
fn a_key_counts_even_if_every_item_of_its_batch_was_refused() {
    let mut world = World::with_accounts();
    let wrong = AccountOrder { limits: Limits { min_balance: Some(2), max_balance: Some(1) }, ..account(3) };
    assert!(world.guarded(key(60, 1, &[1]), OpenAccountBatch(vec![wrong])).unwrap()[0].is_err());
    let other = world.guarded(key(60, 2, &[1, 2]), OpenAccountBatch(vec![account(3), account(4)])).map(drop);
    assert_eq!(other, Err(Refusal::KeyUsedWithOtherItems { first: 1, now: 2 }));
}

#[test]
fn a_change_needs_the_version_that_it_names() {
    let mut world = World::with_accounts();
    let if_match = |versions: &[u64]| Guard { key: None, if_match: Some(IfMatch::OneOf(versions.to_vec())) };
    let mut version = || world.ask(0, query::Account(AccountId::new(1).into())).unwrap().version();
    let first = version();
    let (_, changed) = world.guarded(if_match(&[3, first]), limits(-1)).unwrap();
    let second = changed.version();
    assert_ne!(first, second);
    let stale = world.guarded(if_match(&[first]), limits(-2)).map(drop);
    assert_eq!(stale, Err(Refusal::PreconditionFailed(second)));
    let values = vec![("k".to_owned(), Some("1".to_owned()))];
    let metadata = SetAccountMetadata { account: AccountId::new(1).into(), values };
    let stale = world.guarded(if_match(&[first]), metadata.clone()).map(drop);
    assert_eq!(stale, Err(Refusal::PreconditionFailed(second)));
    assert_ne!(world.guarded(if_match(&[second]), metadata).unwrap().1.version(), second);
    world.guarded(Guard { key: None, if_match: Some(IfMatch::Any) }, limits(-3)).unwrap();
    // The balance is not part of the version.
    let before = world.ask(0, query::Account(AccountId::new(1).into())).unwrap().version();
    assert!(world.ask(0, CreateTransferBatch(vec![transfer(10, 3)])).unwrap()[0].is_ok());
    assert_eq!(world.ask(0, query::Account(AccountId::new(1).into())).unwrap().version(), before);
}

#[test]
fn a_retry_keeps_its_answer_though_its_version_has_passed() {
    let mut world = World::with_accounts();
    let version = world.ask(0, query::Account(AccountId::new(1).into())).unwrap().version();
    let guard = || Guard { if_match: Some(IfMatch::OneOf(vec![version])), ..key(50, 0, &[1]) };
    world.set(guard(), -1, (Made::Now, -1));
    world.set(guard(), -1, (Made::Before, -1));
}

#[test]
fn retries_are_answered_while_writes_are_closed() {
    let mut world = World::with_accounts();
    world.set(key(50, 0, &[1]), -1, (Made::Now, -1));
    let closed = WritesClosed::JournalDamaged("bad".into());
    let (made, _) = world.ask_closed(Guarded { guard: key(50, 0, &[1]), operation: limits(-1) }, &closed).unwrap();
    assert_eq!(made, Made::Before);
    let new = world.ask_closed(Guarded { guard: key(51, 0, &[1]), operation: limits(-1) }, &closed).map(drop);
    assert_eq!(new, Err(Refusal::WritesClosed(closed)));
}

#[test]
fn the_oldest_keys_are_forgotten() {
    let mut world = World::with_accounts();
    world.set(key(50, 0, &[1]), -1, (Made::Now, -1));
    for id in 0..KEYS_MAX as u128 - 1 {
        world.guarded(key(1_000 + id, 0, &[1]), limits(-2)).unwrap();
    }
    world.set(key(50, 0, &[1]), -1, (Made::Before, -2));
    world.guarded(key(51, 0, &[1]), limits(-2)).unwrap();
    world.set(key(50, 0, &[1]), -1, (Made::Now, -1));
}
