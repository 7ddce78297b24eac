use std::collections::BTreeMap;

use engine::{
    AccountName, Answer, Cause, Command, Engine, Entry, Fact, Made, PaymentReply, Query, Refusal, Reply, Request,
    TransferReply,
};
use ledger::{Account, PendingState, TransferKey, TransferStatus};
use types::{AccountId, Seq};

use crate::fold::{Fold, ensure};

/// What went wrong, and how to see it again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}\n  seed {seed}, step {step}; to repeat: FINAIRA_SIM_SEED={seed} cargo test -p sim")]
pub struct Violation {
    /// Of the run.
    pub seed: u64,
    /// In the run.
    pub step: u32,
    /// The rule (see the crate's page) and what broke it.
    pub what: String,
}

/// An answer that a client got.
#[derive(Debug)]
pub(crate) struct Answered {
    /// Which request.
    pub(crate) number: usize,
    /// The last entry there was when the engine made the answer.
    pub(crate) seq: Seq,
    pub(crate) answer: Answer,
}

/// Remembers what anybody was told, and compares it with what a start finds.
#[derive(Debug, Default)]
pub struct Checker {
    /// By the entry they rest on.
    answers: BTreeMap<Seq, Vec<(Request, Answer)>>,
    /// Entries that readers of the journal saw.
    read: BTreeMap<Seq, Entry>,
}

impl Checker {
    /// How many answers were given.
    pub(crate) fn answers(&self) -> usize {
        self.answers.values().map(Vec::len).sum()
    }

    pub(crate) fn answered(&mut self, request: Request, seq: Seq, answer: Answer) {
        self.answers.entry(seq).or_default().push((request, answer));
    }

    pub(crate) fn read(&mut self, entries: Vec<Entry>) {
        self.read.extend(entries.into_iter().map(|entry| (entry.header.seq, entry)));
    }

    /// Checks everything, after a start that found these entries and folded them into `engine`.
    pub(crate) fn check(&self, entries: &[Entry], engine: &mut Engine) -> Result<(), String> {
        let last = entries.last().map_or(Seq::ZERO, |entry| entry.header.seq);
        let told = self.answers.keys().chain(self.read.keys()).max().copied().unwrap_or_default();
        ensure(told <= last, "SIM-1", || format!("answers rest on entry {told}, the journal ends with {last}"))?;
        let mut fold = Fold::default();
        for entry in entries {
            fold.apply(entry)?;
            let seq = entry.header.seq;
            if let Some(read) = self.read.get(&seq) {
                ensure(read == entry, "SIM-2", || format!("entry {seq} is not the one that was read before"))?;
            }
            for (request, answer) in self.answers.get(&seq).into_iter().flatten() {
                let told = check_answer(&fold, entry, request, answer);
                told.map_err(|what| format!("{what}\n  asked {request:?}\n  answered {answer:?}\n  at {entry:?}"))?;
            }
        }
        check_engine(&fold, engine)
    }
}

/// SIM-2 and SIM-3 for one answer, with the fold as it was and the entry that stood last when it was made.
fn check_answer(fold: &Fold, entry: &Entry, request: &Request, answer: &Answer) -> Result<(), String> {
    if made(answer) == Some(Made::Now) || spends_id(request, answer) {
        let header = &entry.header;
        let own = header.request == request.id && header.actor == request.actor && says(entry, request, answer);
        ensure(own, "SIM-2", || "the entry is not what the answer says".to_owned())?;
    }
    let shows = match (&request.command, answer) {
        (Command::OpenLedger { id, .. }, Ok(Reply::Ledger(_, book))) => fold.books.get(id) == Some(book),
        (Command::OpenLedger { id, asset }, Err(_)) => fold.books.get(id).is_some_and(|book| book.asset != *asset),
        (Command::OpenAccount(order), Ok(Reply::Account(_, account))) => {
            shows_account(fold, order.new.id, Some(&account.account))
        }
        (Command::Query(Query::Account(AccountName::Id(id))), Ok(Reply::Account(_, account))) => {
            shows_account(fold, *id, Some(&account.account))
        }
        (Command::Query(Query::Account(AccountName::Id(id))), Err(_)) => shows_account(fold, *id, None),
        (Command::CreateTransfer(order), Ok(Reply::Transfer(_, reply))) => shows_transfer(fold, order.new.key, reply),
        (Command::CreateTransfer(order), Err(Refusal::Transfer(refusal))) => {
            shows_refusal(fold, order.new.key, refusal.status)
        }
        (Command::Query(Query::Transfer(id)), Ok(Reply::Transfer(_, reply))) => {
            shows_transfer(fold, TransferKey::Client(*id), reply)
        }
        (Command::Query(Query::Transfer(id)), Err(_)) => !fold.transfers.contains_key(&TransferKey::Client(*id)),
        (Command::CreatePayment(new), Err(Refusal::PaymentExistsWithDifferentContent(id))) => {
            fold.payments.get(id).is_some_and(|payment| payment.decided.content != new.content)
        }
        (Command::CreatePayment(new), Err(_)) => !fold.payments.contains_key(&new.payment),
        (Command::CreatePayment(new), Ok(Reply::Payment(_, reply))) => {
            reply.payment.id == new.payment && reply.payment.content == new.content && shows_payment(fold, reply)
        }
        (Command::ChangePayment { payment, verb }, Ok(Reply::Payment(_, reply))) => {
            fold.verbs.get(&(*payment, request.id)) == Some(verb) && shows_payment(fold, reply)
        }
        (Command::Query(Query::Payment(id)), Ok(Reply::Payment(_, reply))) => {
            reply.payment.id == *id && shows_payment(fold, reply)
        }
        (
            Command::ChangePayment { payment: id, .. }
            | Command::RecordLabel { payment: id, .. }
            | Command::Query(Query::Payment(id)),
            Err(Refusal::PaymentNotFound(_)),
        ) => !fold.payments.contains_key(id),
        (Command::ChangePayment { payment, verb }, Err(refusal)) => match fold.verbs.get(&(*payment, request.id)) {
            // What a request once did stays its answer, whatever became of the payment since.
            Some(done) => done != verb && *refusal == Refusal::RequestIdReused(*done),
            None => true,
        },
        (Command::RecordLabel { payment, label }, Ok(Reply::Label(_, reply))) => {
            let known = fold.payments.get(payment).and_then(|payment| payment.label.as_ref());
            known == Some(label) && reply.label.name == *label
        }
        (Command::StoreArtifact(chunk), Ok(_)) => {
            fold.chunks.get(&chunk.artifact).and_then(|parts| parts.get(&chunk.index)) == Some(chunk)
        }
        (Command::ActivatePolicy { artifact, .. }, Ok(Reply::Policy(_, active))) => {
            fold.policy == Some((active.seq, *artifact)) && fold.is_whole(*artifact)
        }
        (Command::ActivatePolicy { artifact, .. }, Err(Refusal::ArtifactIncomplete(_))) => !fold.is_whole(*artifact),
        (Command::AddApiKey(key), Ok(_)) => fold.keys.contains(&key.key),
        (Command::Query(Query::TrialBalance(id)), Ok(Reply::TrialBalance(_, totals))) => {
            let sides = [totals.debits_pending, totals.debits_posted, totals.credits_pending, totals.credits_posted];
            fold.sums(*id) == (sides.map(types::Amount::get), totals.accounts)
        }
        (Command::Query(Query::TrialBalance(id)), Err(_)) => !fold.books.contains_key(id),
        // Refusals for what the present state forbids.
        (_, Err(_)) => true,
        (_, Ok(_)) => false,
    };
    ensure(shows, "SIM-3", || "the answer does not show what the entries gave".to_owned())
}

fn made(answer: &Answer) -> Option<Made> {
    match answer {
        Ok(
            Reply::Ledger(made, _)
            | Reply::Account(made, _)
            | Reply::Transfer(made, _)
            | Reply::Payment(made, _)
            | Reply::Label(made, _)
            | Reply::Artifact(made)
            | Reply::Policy(made, _)
            | Reply::Import(made, _)
            | Reply::ApiKey(made)
            | Reply::Scheduled(made, _)
            | Reply::Cancelled(made, ..)
            | Reply::Indexes(made, ..),
        ) => Some(*made),
        Ok(
            Reply::Ledgers(_)
            | Reply::Accounts(_)
            | Reply::AccountsPage { .. }
            | Reply::ScheduledPage { .. }
            | Reply::AddressSums(..)
            | Reply::Batch(_)
            | Reply::Transfers(_)
            | Reply::AccountResults(_)
            | Reply::TransferResults { .. }
            | Reply::Payments { .. }
            | Reply::Imports(_)
            | Reply::TrialBalance(..),
        )
        | Err(_) => None,
    }
}

/// Refusals of a client's transfer that are entries themselves. The legs of payments spend no client's id.
fn spends_id(request: &Request, answer: &Answer) -> bool {
    let transfer = matches!(request.command, Command::CreateTransfer(_));
    transfer && matches!(answer, Err(Refusal::Transfer(refusal)) if refusal.status.sticks())
}

/// Whether the entry is the very fact that the answer is about.
fn says(entry: &Entry, request: &Request, answer: &Answer) -> bool {
    match (&entry.fact, &request.command, answer) {
        (Fact::Ledger(ledger::Fact::BookOpened(book)), _, Ok(Reply::Ledger(_, told))) => book == told,
        (Fact::Ledger(ledger::Fact::AccountOpened(account)), _, Ok(Reply::Account(_, told))) => {
            *account == told.account
        }
        (Fact::Ledger(ledger::Fact::TransferCreated(transfer)), _, Ok(Reply::Transfer(_, told))) => {
            *transfer == told.transfer
        }
        (
            Fact::Ledger(ledger::Fact::TransferFailed { id, status }),
            Command::CreateTransfer(order),
            Err(Refusal::Transfer(told)),
        ) => TransferKey::Client(*id) == order.new.key && *status == told.status,
        (Fact::PaymentDecided(decided), Command::CreatePayment(_), Ok(Reply::Payment(_, told))) => {
            told.decided.as_ref() == Some(decided) && entry.sealed.is_some() == told.payment.amount.is_zero()
        }
        (Fact::PaymentChanged(changed), Command::ChangePayment { payment, verb }, Ok(Reply::Payment(..))) => {
            changed.payment == *payment && changed.cause == Cause::Verb(*verb)
        }
        (Fact::LabelRecorded(recorded), Command::RecordLabel { payment, label }, Ok(_)) => {
            recorded.payment == *payment && recorded.label == *label
        }
        (Fact::ArtifactStored(stored), Command::StoreArtifact(chunk), Ok(_)) => stored == chunk,
        (Fact::PolicyActivated(activated), Command::ActivatePolicy { artifact, .. }, Ok(_)) => {
            activated.artifact == *artifact
        }
        (Fact::ApiKeyAdded(added), Command::AddApiKey(key), Ok(_)) => added == key,
        (_, _, _) => false,
    }
}

fn shows_account(fold: &Fold, id: AccountId, told: Option<&Account>) -> bool {
    fold.accounts.get(&id) == told
}

fn shows_transfer(fold: &Fold, key: TransferKey, told: &TransferReply) -> bool {
    let Some((transfer, state)) = fold.transfers.get(&key) else { return false };
    // What is past its time reads as expired before the entry that says so.
    let early = (*state, told.state) == (Some(PendingState::Pending), Some(PendingState::Expired));
    *transfer == told.transfer
        && (*state == told.state || early && transfer.timeout_s > 0)
        && shows_account(fold, transfer.debit, Some(&told.debit))
        && shows_account(fold, transfer.credit, Some(&told.credit))
}

fn shows_refusal(fold: &Fold, key: TransferKey, status: TransferStatus) -> bool {
    let created = fold.transfers.contains_key(&key);
    let failed = matches!(key, TransferKey::Client(id) if fold.failed.contains(&id));
    if status == TransferStatus::IdAlreadyFailed {
        failed && !created
    } else if status.name().starts_with("exists_with_different") {
        created && !failed
    } else {
        !created && failed == status.sticks()
    }
}

fn shows_payment(fold: &Fold, told: &PaymentReply) -> bool {
    let payment = &told.payment;
    let Some(folded) = fold.payments.get(&payment.id) else { return false };
    let decided = &folded.decided;
    (payment.seq, payment.status, payment.content) == (folded.seq, folded.status, decided.content)
        && (payment.amount, payment.verdict, payment.score) == (decided.amount, decided.verdict, decided.score)
        && payment.label.as_ref().map(|label| &label.name) == folded.label.as_ref()
}

/// SIM-5: the engine that was folded from the same entries holds the same.
fn check_engine(fold: &Fold, engine: &mut Engine) -> Result<(), String> {
    ensure(engine.applied() == fold.seq, "SIM-5", || format!("the engine is at {}", engine.applied()))?;
    let mut ask = |query| {
        let request = Request {
            tenant: crate::process::TENANT,
            actor: types::ActorId::SYSTEM,
            id: types::RequestId::default(),
            command: Command::Query(query),
        };
        let answer = engine.execute(engine.clock(), &request, &mut |_: engine::Applied<'_>| {});
        let told = answer.as_ref().map(|_| ()).map_err(ToString::to_string);
        let shows = told.and_then(|()| check_answer(fold, &nothing(), &request, &answer));
        shows.map_err(|what| format!("SIM-5: {what}\n  asked {request:?}\n  answered {answer:?}"))
    };
    for id in fold.accounts.keys() {
        ask(Query::Account((*id).into()))?;
    }
    for key in fold.transfers.keys() {
        if let TransferKey::Client(id) = key {
            ask(Query::Transfer(*id))?;
        }
    }
    for id in fold.payments.keys() {
        ask(Query::Payment(*id))?;
    }
    for id in fold.books.keys() {
        ask(Query::TrialBalance(*id))?;
    }
    let keys = engine.api_keys().map(|key| key.key).collect();
    ensure(fold.keys == keys, "SIM-5", || "the engine has other API keys".to_owned())
}

/// For answers that rest on no entry in particular.
fn nothing() -> Entry {
    let header = engine::Header {
        shard: crate::process::SHARD,
        seq: Seq::ZERO,
        tenant: crate::process::TENANT,
        actor: types::ActorId::SYSTEM,
        request: types::RequestId::default(),
        decided_at: types::Timestamp::ZERO,
        occurred_at: types::Timestamp::ZERO,
    };
    Entry { header, fact: Fact::JournalStarted { origin: types::Origin::default() }, sealed: None }
}
