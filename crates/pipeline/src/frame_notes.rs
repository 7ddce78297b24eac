//! What entries did, in the form that the index receives.

use engine::{Applied, Entry, Fact};
use features::{StoredUpdate, StreamBounds, Update};
use index::{AccountChanges, GENERATION_ENTRIES, IndexedFact, Term};
use journal::{EntryOffset, FrameAt, Position, StartAt};
use ledger::{
    AccountPlace, IndexedFields, MetadataOf, PendingState, RestoredFrom, Touched, Transfer, TransferFlags, TransferKey,
    TransferStatus, TrialBalance,
};
use types::{Digest, LedgerId, PaymentId, Seq, Timestamp};

/// What the entries of a frame did, and whether a generation of the index ends with it.
#[derive(Debug, Default)]
pub struct FrameNotes {
    events: Vec<Noted>,
    /// What payments are found by, each with the entry that decided the payment.
    terms: Vec<(Term, Seq)>,
    chosen: Vec<(LedgerId, IndexedFields)>,
    end: Option<GenerationEnd>,
}

#[derive(Debug)]
struct Noted {
    placed: EntryOffset,
    timestamp: Timestamp,
    event: IndexedFact,
}

/// The state at the end of a generation.
#[derive(Debug)]
struct GenerationEnd {
    last: Seq,
    decided_at: Timestamp,
    recorded: u64,
    last_transfer: Timestamp,
    digest: Digest,
    totals: Vec<(LedgerId, TrialBalance)>,
    changes: AccountChanges,
    streams: Vec<StreamBounds>,
}

impl FrameNotes {
    /// Ledgers with the fields of transfers that are indexed from here on.
    pub fn chosen(&self) -> &[(LedgerId, IndexedFields)] {
        &self.chosen
    }

    /// What the index receives for an entry that is replayed, as if its segment were one frame; `after` is the place
    /// after the entry's own.
    pub fn replayed(self, position: Position, after: StartAt) -> (index::IndexUpdate, Option<index::Generation>) {
        self.placed(FrameAt { segment: position.segment(), offset: 0 }, after)
    }

    /// What the index receives once the frame is durable. `at` is where it is stored, `after` the place after it.
    pub fn placed(self, at: FrameAt, after: StartAt) -> (index::IndexUpdate, Option<index::Generation>) {
        let mut batch = index::IndexUpdate::with_capacity(self.events.len());
        for noted in &self.events {
            let Noted { placed, timestamp, event } = *noted;
            batch.push(&index::IndexedEntry { position: at.position(placed), timestamp, event });
        }
        self.terms.into_iter().for_each(|(term, decided)| batch.add_term(term, decided));
        let generation = self.end.map(|end| index::Generation {
            end: index::GenerationEnd {
                last: end.last,
                decided_at: end.decided_at,
                recorded: end.recorded,
                last_timestamp: end.last_transfer,
                resume: after,
                digest: end.digest,
            },
            totals: end.totals,
            changes: end.changes,
            streams: end.streams,
        });
        (batch, generation)
    }
}

/// A generation with this many decided payments ends early, at the next digest: each payment takes about a kilobyte of memory until
/// its generation is in tables.
const PAYMENTS_PER_GENERATION: u64 = 32_768;

/// Notes what entries do, frame by frame.
#[derive(Debug)]
pub struct Notes {
    feed: FrameNotes,
    /// Accounts that changed in this generation, as its digests found them.
    changes: AccountChanges,
    /// The end of the previous generation.
    sealed: Seq,
    /// The payments that were decided in this generation.
    payments: u64,
    /// The approximate number of entries in a generation.
    generation: u64,
}

impl Notes {
    /// Notes that continue after the generation that ended with `sealed`.
    pub fn new(sealed: Seq) -> Self {
        Self {
            feed: FrameNotes::default(),
            changes: AccountChanges::default(),
            sealed,
            payments: 0,
            generation: GENERATION_ENTRIES,
        }
    }

    /// Ends a generation after about this number of entries (at least one) instead of [`GENERATION_ENTRIES`], for tests
    /// that need several generations.
    #[must_use]
    pub fn with_generations_of(mut self, entries: u64) -> Self {
        self.generation = entries.max(1);
        self
    }

    /// Notes an entry; returns true if a generation can end with it, in which case its frame must end too.
    pub fn note(&mut self, placed: EntryOffset, applied: Applied<'_>) -> bool {
        let Applied { entry, touched, windows, changes, ledger, streams, decided } = applied;
        self.payments += u64::from(matches!(entry.fact, Fact::PaymentDecided(_)));
        self.note_events(placed, entry, touched, decided);
        self.note_windows(placed, entry, windows);
        let (Fact::StateDigest(state), Some(changes)) = (&entry.fact, changes) else { return false };
        self.changes.push(changes);
        let generation = |seq: Seq| seq.get().checked_div(self.generation);
        if generation(entry.header.seq) == generation(self.sealed) && self.payments < PAYMENTS_PER_GENERATION {
            return false;
        }
        self.feed.end = Some(GenerationEnd {
            last: entry.header.seq,
            decided_at: entry.header.decided_at,
            recorded: ledger.recorded(),
            last_transfer: ledger.last_transfer_timestamp(),
            digest: state.digest,
            totals: ledger.books().filter_map(|book| Some((book.id, ledger.trial_balance(book.id)?))).collect(),
            changes: AccountChanges::default(),
            streams: streams.bounds().collect(),
        });
        true
    }

    /// What the frame that ends with the entry `last` did. A generation ends only at the end of a frame.
    pub fn take(&mut self, last: Seq) -> FrameNotes {
        let mut feed = std::mem::take(&mut self.feed);
        feed.end = feed.end.filter(|end| end.last == last);
        if let Some(end) = &mut feed.end {
            end.changes = std::mem::take(&mut self.changes);
            self.sealed = end.last;
            self.payments = 0;
        }
        feed
    }

    /// Like [`Notes::note`], for an entry that is replayed; use it with [`FrameNotes::replayed`].
    pub fn note_replayed(&mut self, position: Position, applied: Applied<'_>) {
        let offset = u32::try_from(position.offset()).expect("JRN-6: a segment is below 4 GiB");
        self.note(EntryOffset { offset, is_row: position.is_row() }, applied);
    }

    fn note_windows(&mut self, placed: EntryOffset, entry: &Entry, windows: &[StoredUpdate]) {
        let timestamp = entry.header.decided_at;
        for StoredUpdate { update, reach } in windows {
            let Update { stream, entity, .. } = *update;
            let reach = reach.map(|reach| IndexedFact::WindowReach { stream, entity, reach });
            let events = [IndexedFact::WindowRecord(*update)].into_iter().chain(reach);
            self.feed.events.extend(events.map(|event| Noted { placed, timestamp, event }));
        }
    }

    fn note_events(&mut self, placed: EntryOffset, entry: &Entry, touched: &[Touched], decided: Option<Seq>) {
        let FrameNotes { events, terms, chosen, .. } = &mut self.feed;
        let mut note = |timestamp, event| events.push(Noted { placed, timestamp, event });
        let at = entry.header.decided_at;
        let facts = entry.fact.ledger_facts();
        match entry.fact.restored_from() {
            RestoredFrom::Entry => note(at, IndexedFact::Other),
            RestoredFrom::Payment => {
                let decided = decided.expect("PIP-5: the payment that an entry is about is in memory");
                note(at, payment_event(entry, decided));
                Term::of_entry(entry, |term| terms.push((term, decided)));
            }
            RestoredFrom::Recent => note(at, IndexedFact::KeyUsed),
            RestoredFrom::Tables | RestoredFrom::Nothing => {}
        }
        for (fact, touched) in facts.iter().zip(touched) {
            match (fact, *touched) {
                (ledger::Fact::AccountOpened(account), Touched::Account(place)) => {
                    note(at, IndexedFact::Account { id: account.id.get(), place, import: None });
                }
                (ledger::Fact::AccountStaged { import, account }, Touched::Account(place)) => {
                    note(at, IndexedFact::Account { id: account.id.get(), place, import: Some(*import) });
                }
                (
                    ledger::Fact::TransferStaged {
                        import,
                        transfer: Transfer { key: TransferKey::Client(id), timestamp, .. },
                    },
                    Touched::Transfer { debit, credit },
                ) => note(*timestamp, IndexedFact::Staged { id: id.get(), debit, credit, import: *import }),
                (ledger::Fact::TransferCreated(transfer), Touched::Transfer { debit, credit }) => {
                    note(transfer.timestamp, transfer_event(transfer, debit, credit));
                }
                (ledger::Fact::TransferFailed { id, status }, _) => {
                    note(at, IndexedFact::Failed { id: id.get(), status: status.number() });
                }
                (ledger::Fact::ScheduledCancelled { id }, _) => {
                    let status = TransferStatus::ScheduledTransferCancelled.number();
                    note(at, IndexedFact::Failed { id: id.get(), status });
                }
                (ledger::Fact::IndexesChosen { ledger, fields }, _) => chosen.push((*ledger, *fields)),
                (ledger::Fact::TransferExpired(key), Touched::Transfer { debit, credit }) => {
                    if let TransferKey::Client(id) = key {
                        note(at, IndexedFact::Expired { id: id.get() });
                    }
                    // So that a reader who follows an account's balances sees this change.
                    note(at, IndexedFact::Leg { debit, credit });
                }
                (
                    ledger::Fact::BookOpened(_)
                    | ledger::Fact::LimitsSet { .. }
                    | ledger::Fact::AddressSet { .. }
                    | ledger::Fact::MetadataSet { .. }
                    | ledger::Fact::TransferScheduled(_)
                    | ledger::Fact::ImportStarted(_)
                    | ledger::Fact::ImportNoted { .. },
                    _,
                ) => {}
                (
                    ledger::Fact::AccountOpened(_)
                    | ledger::Fact::AccountStaged { .. }
                    | ledger::Fact::TransferCreated(_)
                    | ledger::Fact::TransferStaged { .. }
                    | ledger::Fact::TransferExpired(_),
                    touched,
                ) => unreachable!("{fact:?} touched {touched:?}"),
            }
        }
    }
}

/// What an entry about a payment did to it; `decided` is the entry that decided it.
fn payment_event(entry: &Entry, decided: Seq) -> IndexedFact {
    let changed = |id: PaymentId, closes| IndexedFact::PaymentChanged { id: id.get(), decided, closes };
    match &entry.fact {
        Fact::PaymentDecided(fact) => {
            IndexedFact::Payment { id: fact.payment.get(), seq: decided, is_open: fact.status.is_open() }
        }
        Fact::PaymentChanged(fact) => changed(fact.payment, !fact.status.is_open()),
        Fact::LabelRecorded(recorded) => changed(recorded.payment, false),
        Fact::Ledger(ledger::Fact::MetadataSet { of: MetadataOf::Payment(id), .. }) => changed(*id, false),
        Fact::JournalStarted { .. }
        | Fact::JournalContinued { .. }
        | Fact::Ledger(_)
        | Fact::ArtifactStored(_)
        | Fact::PolicyActivated(_)
        | Fact::StateDigest(_)
        | Fact::Setting(_)
        | Fact::List(_)
        | Fact::EntityAttributes(_)
        | Fact::PersonalDataRead(_)
        | Fact::KeyUsed(_)
        | Fact::Approval(_)
        | Fact::Identity(_) => unreachable!("a restart does not find it with a payment"),
    }
}

fn transfer_event(transfer: &Transfer, debit: AccountPlace, credit: AccountPlace) -> IndexedFact {
    let TransferKey::Client(id) = transfer.key else { return IndexedFact::Leg { debit, credit } };
    let posts = transfer.flags.contains(TransferFlags::POST_PENDING_TRANSFER);
    let state = if posts { PendingState::Posted } else { PendingState::Voided };
    let resolves = match transfer.pending {
        Some(TransferKey::Client(pending)) => Some((pending.get(), state)),
        Some(TransferKey::Leg { .. }) | None => None,
    };
    IndexedFact::Transfer { id: id.get(), debit, credit, is_pending: transfer.is_pending(), resolves }
}

#[cfg(test)]
mod tests;
