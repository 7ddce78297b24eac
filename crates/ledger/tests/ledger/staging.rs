//! Imports of existing books: staged rows stay hidden until the import is opened.

use ledger::{
    Account, AccountFlags, AccountStatus, Fact, IMPORTS_STAGED_MAX, ImportRefusal, ImportState, Ledger, NewAccount,
    NewTransfer, Outcome, Planned, Touched, TransferFlags, TransferKey, TransferStatus,
};
use types::{AccountId, Amount, Asset, Code, Digest, ImportId, LedgerId, Timestamp, TransferId};

use crate::past::Remembered;

const BOOK: LedgerId = LedgerId::new(1);
const IMPORT: ImportId = ImportId::new(7);

/// A ledger with one book, in which accounts 1 and 2 are open and a transfer of 5 was made.
struct World {
    ledger: Ledger,
    facts: Vec<Fact>,
    now: u64,
}

impl World {
    fn new() -> Self {
        let mut world = Self { ledger: Ledger::default(), facts: Vec::new(), now: 1_000_000 };
        let mut plan = world.ledger.plan(Timestamp::from_ns(world.now));
        plan.open_book(BOOK, Asset::new("EUR", 2).expect("an asset"));
        plan.into_facts().into_iter().for_each(|fact| {
            world.apply(fact);
        });
        world.live_account(1);
        world.live_account(2);
        assert!(matches!(world.live_transfer(1, 1, 2, 5), Outcome::Created { .. }));
        world
    }

    fn at(&mut self) -> Timestamp {
        self.now += 1;
        Timestamp::from_ns(self.now)
    }

    fn apply(&mut self, fact: Fact) -> Touched {
        let touched = self.ledger.apply(&fact);
        self.facts.push(fact);
        touched
    }

    fn take<S: Copy>(&mut self, planned: Planned<S>) -> Outcome<S> {
        if let Some(fact) = planned.fact {
            self.apply(fact);
        }
        planned.outcome
    }

    fn live_account(&mut self, id: u128) -> Outcome<AccountStatus> {
        let at = self.at();
        let planned = self.ledger.plan_account(at, &account(id, 0));
        self.take(planned)
    }

    fn live_transfer(&mut self, id: u128, debit: u128, credit: u128, amount: u128) -> Outcome<TransferStatus> {
        let at = self.at();
        let planned = self.ledger.plan_transfer(at, &transfer(id, (debit, credit), amount, 0));
        self.take(planned)
    }

    fn start(&mut self, id: ImportId) -> Result<Option<Fact>, ImportRefusal> {
        let at = self.at();
        let planned = self.ledger.plan_import(at, (id, BOOK, Digest::default()));
        if let Ok(Some(fact)) = &planned {
            self.apply(fact.clone());
        }
        planned
    }

    fn end(&mut self, id: ImportId, state: ImportState) {
        let fact = self.ledger.plan_import_end(id, state).expect("it is staged");
        self.apply(fact.expect("it was not ended before"));
    }

    fn stage_account(&mut self, id: u128, at: u64) -> Result<(), AccountStatus> {
        let (now, number) = (self.at(), self.number(IMPORT));
        let planned = self.ledger.plan_staged_account(now, number, &account(id, at));
        status(self.take(planned))
    }

    fn stage_transfer(&mut self, id: u128, sides: (u128, u128), amount: u128, at: u64) -> Result<(), TransferStatus> {
        let (now, number) = (self.at(), self.number(IMPORT));
        let planned = self.ledger.plan_staged_transfer(now, number, &transfer(id, sides, amount, at));
        status(self.take(planned))
    }

    fn number(&self, id: ImportId) -> ledger::ImportNumber {
        self.ledger.import(id).expect("it was started").import.number
    }

    /// Stages two accounts, 11 and 12, and transfers of 40 and 2 between them.
    fn stage_all(&mut self) {
        self.start(IMPORT).expect("it starts");
        self.stage_account(11, 10).expect("it is staged");
        self.stage_account(12, 20).expect("it is staged");
        self.stage_transfer(21, (11, 12), 40, 30).expect("it is staged");
        self.stage_transfer(22, (12, 11), 2, 40).expect("it is staged");
    }

    /// What is visible: the ids in the order of the list, the book's posted debits and its number of accounts.
    fn seen(&self) -> (Vec<u128>, u128, usize) {
        let ids = |ledger| -> Vec<u128> {
            let accounts = self.ledger.accounts_after(ledger, Timestamp::ZERO, 100);
            accounts.iter().map(|account| account.id.get()).collect()
        };
        assert_eq!(ids(None), ids(Some(BOOK)));
        let sums = self.ledger.trial_balance(BOOK).expect("the book is open");
        assert_eq!(sums.debits_posted, sums.credits_posted);
        (ids(None), sums.debits_posted.get(), sums.accounts)
    }

    /// A ledger that is restored from derived data instead of from every fact.
    fn restored(&self) -> Ledger {
        let mut ledger = Ledger::default();
        ledger.set_past(Box::new(Remembered::of(&self.facts)));
        let places = 0..u32::try_from(self.ledger.accounts_count()).expect("few");
        ledger.restore_accounts(places.map(|place| *self.ledger.account_at(ledger::AccountPlace(place))));
        self.facts.iter().for_each(|fact| ledger.restore_fact(fact));
        self.ledger.note_imports().iter().for_each(|fact| ledger.restore_fact(fact));
        ledger.finish_restore(self.ledger.recorded(), self.ledger.last_transfer_timestamp());
        ledger
    }
}

fn status<S>(outcome: Outcome<S>) -> Result<(), S> {
    match outcome {
        Outcome::Created { .. } => Ok(()),
        Outcome::Exists { .. } => panic!("rows of imports are new or refused"),
        Outcome::Refused(refusal) => Err(refusal.status),
    }
}

fn account(id: u128, timestamp_ns: u64) -> NewAccount {
    NewAccount { id: AccountId::new(id), ledger: BOOK, code: Code::new(1), timestamp_ns, ..NewAccount::default() }
}

fn transfer(id: u128, (debit, credit): (u128, u128), amount: u128, timestamp_ns: u64) -> NewTransfer {
    NewTransfer {
        debit: AccountId::new(debit),
        credit: AccountId::new(credit),
        amount: Amount::new(amount),
        ledger: BOOK,
        code: Code::new(1),
        timestamp_ns,
        ..NewTransfer::named(TransferKey::Client(TransferId::new(id)))
    }
}

#[test]
fn nobody_sees_what_is_staged() {
    let mut world = World::new();
    world.stage_all();
    assert_eq!(world.seen(), (vec![1, 2], 5, 2));
    assert_eq!(world.ledger.account(AccountId::new(11)), None);
    assert_eq!(world.ledger.transfer(TransferKey::Client(TransferId::new(21))), None);
    let refused = |outcome| status(outcome).expect_err("it is refused");
    assert_eq!(status(world.live_account(11)), Err(AccountStatus::IdReservedByImport));
    assert_eq!(refused(world.live_transfer(21, 1, 2, 1)), TransferStatus::IdReservedByImport);
    assert_eq!(refused(world.live_transfer(50, 11, 2, 1)), TransferStatus::DebitAccountNotFound);
    assert_eq!(world.stage_transfer(23, (11, 1), 1, 50), Err(TransferStatus::CreditAccountNotFound));
    assert_eq!(world.seen(), (vec![1, 2], 5, 2));
}

#[test]
fn opening_shows_all_of_it_at_once() {
    let mut world = World::new();
    world.stage_all();
    world.live_account(3);
    world.end(IMPORT, ImportState::Opened);
    assert_eq!(world.seen(), (vec![11, 12, 1, 2, 3], 47, 5));
    let opened = *world.ledger.account(AccountId::new(11)).expect("it is open");
    assert_eq!((opened.debits_posted, opened.credits_posted), (Amount::new(40), Amount::new(2)));
    assert_eq!((opened.timestamp, opened.flags), (Timestamp::from_ns(10), AccountFlags::IMPORTED));
    let found = world.ledger.transfer(TransferKey::Client(TransferId::new(21))).expect("it is open");
    assert_eq!((found.timestamp, found.flags), (Timestamp::from_ns(30), TransferFlags::IMPORTED));
    assert!(matches!(world.live_transfer(60, 11, 3, 7), Outcome::Created { .. }));
    assert_eq!(world.seen().1, 54);
    let again = world.ledger.plan_import_end(IMPORT, ImportState::Opened);
    assert_eq!(again, Ok(None), "opening it a second time is a retry");
    let ended = ImportRefusal::Ended { id: IMPORT, state: ImportState::Opened };
    assert_eq!(world.ledger.plan_import_end(IMPORT, ImportState::Discarded), Err(ended));
}

#[test]
fn discarding_frees_the_ids() {
    let mut world = World::new();
    world.stage_all();
    world.end(IMPORT, ImportState::Discarded);
    assert_eq!(world.seen(), (vec![1, 2], 5, 2));
    assert!(matches!(world.live_account(11), Outcome::Created { .. }));
    assert!(matches!(world.live_transfer(22, 11, 2, 3), Outcome::Created { .. }));
    assert!(matches!(world.live_transfer(21, 11, 2, 4), Outcome::Created { .. }));
    assert_eq!(world.seen(), (vec![1, 2, 11], 12, 3));
    assert!(matches!(world.live_transfer(21, 11, 2, 4), Outcome::Exists { .. }));
    let records = world.ledger.recorded();
    world.ledger.forget_through(records);
}

#[test]
fn rows_are_judged_like_imported_ones() {
    let mut world = World::new();
    world.stage_all();
    let future = world.now + 100;
    assert_eq!(world.stage_account(13, 20), Err(AccountStatus::ImportedEventTimestampMustNotRegress));
    assert_eq!(world.stage_account(13, 0), Err(AccountStatus::ImportedEventTimestampOutOfRange));
    assert_eq!(world.stage_account(13, future), Err(AccountStatus::ImportedEventTimestampMustNotAdvance));
    assert_eq!(world.stage_account(1, 50), Err(AccountStatus::Exists));
    assert_eq!(world.stage_transfer(1, (11, 12), 5, 50), Err(TransferStatus::ExistsWithDifferentFlags));
    assert_eq!(world.stage_transfer(23, (11, 12), 5, 40), Err(TransferStatus::ImportedEventTimestampMustNotRegress));
    let number = world.number(IMPORT);
    let pending = NewTransfer { flags: TransferFlags::PENDING, ..transfer(23, (11, 12), 5, 50) };
    let at = world.at();
    let planned = world.ledger.plan_staged_transfer(at, number, &pending);
    assert_eq!(status(planned.outcome), Err(TransferStatus::ImportTakesSinglePhaseOnly));
    let limited = NewAccount { flags: AccountFlags::DEBITS_MUST_NOT_EXCEED_CREDITS, ..account(13, 50) };
    let planned = world.ledger.plan_staged_account(at, number, &limited);
    assert_eq!(status(world.take(planned)), Ok(()));
    assert_eq!(world.stage_transfer(23, (13, 11), 1, 60), Err(TransferStatus::ExceedsCredits));
    assert_eq!(world.stage_transfer(23, (11, 13), 1, 60), Ok(()), "a refusal of an import spends no id");
}

#[test]
fn few_imports_are_staged_at_a_time() {
    let mut world = World::new();
    for id in 0..IMPORTS_STAGED_MAX {
        assert!(matches!(world.start(ImportId::new(100 + id as u128)), Ok(Some(_))));
    }
    assert_eq!(world.start(IMPORT), Err(ImportRefusal::TooMany(IMPORTS_STAGED_MAX)));
    assert_eq!(world.start(ImportId::new(100)), Ok(None), "the same import was started before");
    world.end(ImportId::new(100), ImportState::Discarded);
    assert!(matches!(world.start(IMPORT), Ok(Some(_))));
    let other = world.ledger.plan_import(Timestamp::MAX, (IMPORT, BOOK, Digest::new([1; 32])));
    assert_eq!(other, Err(ImportRefusal::ExistsWithDifferentContent(IMPORT)));
}

/// A ledger restored at any point continues like the one that applied every fact.
#[test]
fn a_restored_ledger_knows_its_imports() {
    for (state, retried) in [
        (None, false),
        (Some(ImportState::Opened), false),
        (Some(ImportState::Discarded), false),
        (Some(ImportState::Discarded), true),
    ] {
        let mut world = World::new();
        world.stage_all();
        world.live_account(3);
        world.stage_account(13, 50).expect("it is staged");
        if let Some(state) = state {
            world.end(IMPORT, state);
        }
        if retried {
            assert!(matches!(world.live_account(11), Outcome::Created { .. }));
        }
        let restored = world.restored();
        let live = world.seen();
        let accounts = |ledger: &Ledger| -> Vec<Account> {
            (0..100).filter_map(|id| ledger.account(AccountId::new(id)).copied()).collect()
        };
        assert_eq!(accounts(&restored), accounts(&world.ledger), "{state:?}");
        assert_eq!(restored.last_timestamp(), world.ledger.last_timestamp(), "{state:?}");
        world.ledger = restored;
        assert_eq!(world.seen(), live, "{state:?}");
        if state.is_none() {
            world.stage_transfer(23, (13, 11), 9, 60).expect("it goes on");
            world.end(IMPORT, ImportState::Opened);
            assert_eq!(world.seen().1, 56);
        }
    }
}
