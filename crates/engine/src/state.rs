//! The state: the fold of all entries. `apply` is the only writer; it cannot fail, and does the same on every machine.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use features::{RecordChange, StoredUpdate, Stream, StreamId, Update, UpdateOutcome, Windows};
use ledger::{Account, AccountPlace, Ledger, MetadataOf, Touched};
use types::{Amount, Digest, DigestBuilder, Origin, PaymentId, RequestId, Seq, Timestamp};

use crate::Applied;
use crate::approvals::Approvals;
use crate::artifact::Artifact;
use crate::entity_attributes::EntityAttributes;
use crate::entry::{
    CaptureTerms, Cause, Entry, Fact, Header, LabelRecorded, PaymentChanged, PaymentDecided, PaymentSums,
    PolicyActivated, Portion, StateDigest,
};
use crate::guard::Keys;
use crate::identity::Identities;
use crate::lists::Lists;
use crate::payment::{Asked, Increment, Label, Leg, Payment, Recorded};
use crate::payments::{PastPayment, Payments};
use crate::reply::ActivePolicy;
use crate::settings::Settings;
use crate::take_orders::request_of;

/// The number of entries from one digest of the state to the next.
pub const DIGEST_INTERVAL_ENTRIES: u64 = 65_536;

/// How this release computes a [`StateDigest`]: BLAKE3 in key-derivation mode over the previous digest; then, for every
/// entry, its sequence, its time, and the new state of what it changed apart from accounts; then the new state of every
/// account that changed, each account once, in order of opening. Plain transfers add only their sequence and time,
/// because the accounts show what they did. Older journals contain digests of scheme 1, which covered the new state of
/// the accounts with every entry. In scheme 2, metadata of a payment did not change the payment, and entities about which a feature
/// stream knew nothing any more could still count as known.
pub const DIGEST_SCHEME: u16 = 3;
const DIGEST_CONTEXT: &str = "finaira 2026-11 state digest scheme 3";

/// Everything that decisions are based on.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) origin: Option<Origin>,
    pub(crate) applied: Seq,
    /// The last time that an entry or a step of it has; the next time is later.
    pub(crate) clock: Timestamp,
    /// The last entry with a digest.
    pub(crate) digested: Seq,
    /// The number of entries from one digest to the next.
    pub(crate) digest_interval: u64,
    pub(crate) ledger: Ledger,
    /// What each ledger fact of the last entry touched. It is not part of the state.
    touched: Vec<Touched>,
    /// During a restore, ledger facts do not change what comes from the index.
    is_restoring: bool,
    pub(crate) windows: Windows,
    /// The updates of the last entry that changed windows. They are not part of the state.
    stored: Vec<StoredUpdate>,
    pub(crate) payments: Payments,
    /// Whether a payment was ever decided.
    pub(crate) has_payments: bool,
    pub(crate) deadlines: BTreeSet<(Timestamp, PaymentId)>,
    pub(crate) artifacts: BTreeMap<Digest, Artifact>,
    pub(crate) policy: Option<ActivePolicy>,
    /// The streams of the active policy.
    pub(crate) streams: BTreeMap<Digest, StreamId>,
    /// The number of the next new stream.
    pub(crate) next_stream: u32,
    pub(crate) identities: Identities,
    pub(crate) approvals: Approvals,
    pub(crate) settings: Settings,
    pub(crate) lists: Lists,
    pub(crate) entity_attributes: EntityAttributes,
    pub(crate) keys: Keys,
    /// How many window records were dropped at a bound since the start, for a metric.
    pub(crate) records_dropped: u64,
    since_digest: DigestBuilder,
}

impl Default for State {
    fn default() -> Self {
        Self {
            origin: None,
            applied: Seq::ZERO,
            clock: Timestamp::ZERO,
            digested: Seq::ZERO,
            digest_interval: DIGEST_INTERVAL_ENTRIES,
            ledger: Ledger::default(),
            touched: Vec::new(),
            is_restoring: false,
            windows: Windows::default(),
            stored: Vec::new(),
            payments: Payments::default(),
            has_payments: false,
            deadlines: BTreeSet::new(),
            artifacts: BTreeMap::new(),
            policy: None,
            streams: BTreeMap::new(),
            next_stream: 0,
            identities: Identities::default(),
            approvals: Approvals::default(),
            settings: Settings::default(),
            lists: Lists::default(),
            entity_attributes: EntityAttributes::default(),
            keys: Keys::default(),
            records_dropped: 0,
            since_digest: chained_from(Digest::default()),
        }
    }
}

fn chained_from(previous: Digest) -> DigestBuilder {
    let mut builder = DigestBuilder::new(DIGEST_CONTEXT);
    builder.bytes(previous.as_bytes());
    builder
}

impl State {
    /// The digest of what changed since the last one, for the next entry.
    pub(crate) fn digest(&self) -> StateDigest {
        let mut builder = self.since_digest.clone();
        self.ledger.digest_changes(&mut builder);
        StateDigest { scheme: DIGEST_SCHEME, digest: builder.digest() }
    }

    /// From now on, no entry has a digest of the state.
    pub(crate) fn leave_out_digests(&mut self) {
        self.since_digest = DigestBuilder::discarding();
    }

    /// Whether the next entry must have a digest: at the first sequence that is a multiple of the interval, or soon
    /// after it if entries that belong together are there.
    pub(crate) fn digest_is_due(&self) -> bool {
        let interval = |seq: Seq| seq.get().checked_div(self.digest_interval);
        !self.since_digest.is_discarding() && interval(self.applied.next()) > interval(self.digested)
    }

    /// Whether the digest in an entry is the digest of this state. Digests of other schemes are not compared.
    pub(crate) fn matches(&self, carried: &StateDigest) -> bool {
        carried.scheme != DIGEST_SCHEME || *carried == self.digest()
    }

    /// What the entry that was just applied changed.
    pub(crate) fn applied_now<'a>(
        &'a self,
        entry: &'a Entry,
        changes: Option<Vec<(AccountPlace, Account)>>,
    ) -> Applied<'a> {
        Applied {
            entry,
            touched: &self.touched,
            windows: &self.stored,
            changes,
            ledger: &self.ledger,
            streams: &self.windows,
            decided: entry.fact.payment().and_then(|id| self.payments.get(id)).map(|payment| payment.seq),
        }
    }

    /// Applies one entry. If it has a digest, returns the accounts that changed since the previous digest.
    ///
    /// # Panics
    /// If the entry does not follow the last one (ENG-1), or if its time is not later (ENG-2). For entries from
    /// outside, callers first check with [`State::matches`] that a digest is the digest of this state (ENG-3).
    pub(crate) fn apply(&mut self, entry: &Entry) -> Option<Vec<(AccountPlace, Account)>> {
        let header = &entry.header;
        assert_eq!(header.seq, self.applied.next(), "ENG-1: entries are applied once, in order");
        assert!(header.decided_at > self.clock, "ENG-2: time moves forward with every entry");
        self.applied = header.seq;
        self.clock = header.decided_at;
        self.touched.clear();
        self.stored.clear();
        let mut changes = None;
        if let Fact::StateDigest(carried) = &entry.fact {
            debug_assert!(
                self.matches(carried),
                "ENG-3: a replay reproduces the state digests that its journal contains"
            );
            self.since_digest = chained_from(carried.digest);
            self.digested = header.seq;
            changes = Some(self.ledger.take_changes());
        }
        self.since_digest.u64(header.seq.get()).u64(header.decided_at.ns());
        self.fold(entry);
        self.clock = self.clock.max(self.ledger.last_timestamp());
        changes
    }

    /// Applies an entry that the tables of the index do not restore. If the tables restored one of its ledger facts, that
    /// fact changes nothing.
    pub(crate) fn restore(&mut self, entry: &Entry) {
        self.is_restoring = true;
        self.fold(entry);
        self.is_restoring = false;
    }

    /// Ends the restore. The last entry that the index contains has a digest.
    pub(crate) fn finish_restore(&mut self, (last, decided_at, digest): (Seq, Timestamp, Digest)) {
        self.payments.forget_through(last, |_| {});
        self.applied = last;
        self.clock = decided_at.max(self.ledger.last_timestamp());
        self.digested = last;
        self.since_digest = chained_from(digest);
        self.since_digest.u64(last.get()).u64(decided_at.ns());
    }

    fn fold(&mut self, entry: &Entry) {
        let header = &entry.header;
        match &entry.fact {
            Fact::JournalStarted { origin } => {
                self.origin = Some(*origin);
                self.since_digest.u128(origin.get());
            }
            Fact::JournalContinued { origin, departed } => {
                self.origin = Some(*origin);
                self.since_digest.u128(origin.get()).u128(departed.origin.get()).u64(departed.size);
                self.since_digest.bytes(departed.root.as_bytes());
            }
            Fact::Ledger(fact) => {
                if header.request != request_of(fact) {
                    self.ledger.keep_opening(fact);
                }
                if let ledger::Fact::MetadataSet { of: MetadataOf::Payment(id), .. } = fact {
                    self.touch_payment(*id, |payment| payment.changed_seq = header.seq);
                }
                self.apply_ledger(std::slice::from_ref(fact));
            }
            Fact::PaymentDecided(decided) => self.apply_decided(header, decided),
            Fact::PaymentChanged(changed) => self.apply_changed(header, changed),
            Fact::LabelRecorded(recorded) => self.apply_label(header, recorded),
            Fact::ArtifactStored(chunk) => {
                self.artifacts.entry(chunk.artifact).or_default().store(chunk);
                self.since_digest.bytes(chunk.artifact.as_bytes()).u64(u64::from(chunk.index));
                self.since_digest.u64(u64::from(chunk.count)).bytes(&chunk.bytes);
            }
            Fact::PolicyActivated(activated) => self.apply_policy(header, activated),
            Fact::Identity(fact) => {
                fact.digest_into(header, &mut self.since_digest);
                self.identities.apply(header, fact);
            }
            Fact::Approval(fact) => {
                fact.digest_into(header, &mut self.since_digest);
                self.approvals.apply(header, fact);
            }
            Fact::Setting(fact) => {
                fact.digest_into(header, &mut self.since_digest);
                self.settings.apply(header, fact);
            }
            Fact::List(fact) => {
                if !self.since_digest.is_discarding() {
                    fact.digest_into(header, &mut self.since_digest);
                }
                self.lists.apply(header, fact);
            }
            Fact::EntityAttributes(fact) => self.entity_attributes.apply(header, fact, &mut self.since_digest),
            Fact::KeyUsed(used) => {
                self.since_digest.u128(header.request.get()).u64(u64::from(used.items));
                for part in &used.parts {
                    self.since_digest.u64(*part);
                }
                self.keys.note(header.request, used);
            }
            Fact::PersonalDataRead(_) | Fact::StateDigest(_) => {}
        }
    }

    fn apply_ledger(&mut self, facts: &[ledger::Fact]) {
        for fact in facts {
            if self.is_restoring {
                self.ledger.restore_fact(fact);
                continue;
            }
            self.touched.push(self.ledger.apply(fact));
            if !self.since_digest.is_discarding() {
                self.ledger.digest_after(fact, &mut self.since_digest);
            }
        }
    }

    fn apply_updates(&mut self, updates: &[Update]) {
        if self.is_restoring {
            return;
        }
        for update in updates {
            let outcome = self.windows.apply(update);
            self.stored.extend(self.windows.stored(update, outcome));
            match outcome {
                UpdateOutcome::Dropped(_) | UpdateOutcome::Trimmed => self.records_dropped += 1,
                UpdateOutcome::Kept | UpdateOutcome::Unchanged => {}
            }
            if !self.since_digest.is_discarding() {
                self.windows.digest_after(update, &mut self.since_digest);
            }
        }
    }

    fn apply_decided(&mut self, header: &Header, decided: &Arc<PaymentDecided>) {
        self.apply_ledger(&decided.ledger_facts);
        self.apply_updates(&decided.updates);
        let payment = Payment::new(header, decided);
        if let Some(deadline) = payment.deadline {
            self.deadlines.insert((deadline.at, payment.id));
        }
        payment.digest_into(&mut self.since_digest);
        self.has_payments = true;
        assert!(self.payments.add(payment), "ENG-4: a payment is decided once");
    }

    fn apply_changed(&mut self, header: &Header, changed: &PaymentChanged) {
        self.apply_ledger(&changed.ledger_facts);
        self.apply_updates(&changed.updates);
        self.touch_payment(changed.payment, |payment| payment.change(header, changed));
    }

    fn apply_label(&mut self, header: &Header, recorded: &LabelRecorded) {
        self.apply_updates(&recorded.updates);
        self.touch_payment(recorded.payment, |payment| payment.label(header, recorded));
    }

    /// Changes a payment, which may be in the past.
    fn touch_payment(&mut self, id: PaymentId, change: impl FnOnce(&mut Payment)) {
        self.recall(id);
        let payment = self.payments.get_mut(id).expect("ENG-5: only a decided payment changes");
        if let Some(deadline) = payment.deadline {
            self.deadlines.remove(&(deadline.at, id));
        }
        change(payment);
        if let Some(deadline) = payment.deadline {
            self.deadlines.insert((deadline.at, id));
        }
        payment.digest_into(&mut self.since_digest);
        self.payments.note(id);
    }

    /// Brings a payment of the past back into memory, if there is one with this id.
    pub(crate) fn recall(&mut self, id: PaymentId) {
        if let Some(PastPayment { payment, metadata, .. }) = self.payments.find_past(id) {
            let is_new = self.payments.add(payment);
            assert!(is_new, "ENG-4: a payment is decided once");
            self.ledger.recall_metadata(MetadataOf::Payment(id), metadata);
        }
    }

    /// Takes a payment out of memory again that was brought back and did not change.
    pub(crate) fn release(&mut self, id: PaymentId) {
        if let Some(payment) = self.payments.forget(id) {
            forget_parts(&mut self.ledger, &payment);
        }
    }

    /// Takes out of memory what the past contains: the first `recorded` records of client transfers, and the payments that are
    /// not open and have not changed since the entry `covered`.
    pub(crate) fn forget_through(&mut self, recorded: u64, covered: Seq) {
        let Self { ledger, payments, .. } = self;
        ledger.forget_through(recorded);
        payments.forget_through(covered, |payment| forget_parts(ledger, payment));
    }

    fn apply_policy(&mut self, header: &Header, activated: &Arc<PolicyActivated>) {
        self.apply_ledger(&activated.ledger_facts);
        let is_active = |stream| activated.streams.iter().any(|opened| opened.id == stream);
        let unused: Vec<StreamId> =
            self.windows.bounds().map(|open| open.stream).filter(|id| !is_active(*id)).collect();
        for stream in unused {
            self.windows.close(stream);
        }
        self.streams.retain(|_, stream| is_active(*stream));
        for opened in &activated.streams {
            self.next_stream = self.next_stream.max(opened.id.get().saturating_add(1));
            self.streams.insert(opened.key, opened.id);
            self.windows.open(&Stream {
                id: opened.id,
                retention: opened.retention,
                records_max: opened.records_max,
                entities_max: opened.entities_max,
                recorded_since: opened.recorded_since,
            });
            self.since_digest.u64(u64::from(opened.id.get())).bytes(opened.key.as_bytes()).u64(opened.retention.ns());
            self.since_digest.u64(u64::from(opened.records_max)).u64(u64::from(opened.entities_max));
            self.since_digest.u64(opened.recorded_since.ns());
        }
        self.since_digest.bytes(activated.artifact.as_bytes());
        // A policy without lists adds nothing, so that it has the digest that releases before lists computed.
        for list in &activated.lists {
            self.since_digest.bytes(list.as_str().as_bytes());
        }
        self.lists.declare(&activated.lists);
        // Earlier bundles stay in the journal. Keeping them here as well would need more memory with every upload.
        self.artifacts.retain(|artifact, _| *artifact == activated.artifact);
        let active = ActivePolicy {
            seq: header.seq,
            at: header.decided_at,
            activated: Arc::clone(activated),
            as_of: header.decided_at,
            covered_since: Vec::new(),
        };
        self.policy = Some(active);
    }
}

/// Takes out of memory what the ledger has of a payment.
fn forget_parts(ledger: &mut Ledger, payment: &Payment) {
    ledger.forget_payment(payment.id, payment.transfers);
}

impl Payment {
    pub(crate) fn new(header: &Header, decided: &PaymentDecided) -> Self {
        let transfers: Vec<&ledger::Transfer> = decided
            .ledger_facts
            .iter()
            .filter_map(|fact| if let ledger::Fact::TransferCreated(transfer) = fact { Some(transfer) } else { None })
            .collect();
        let leg = |transfer: &&ledger::Transfer| Leg {
            transfer: transfer.key,
            debit: transfer.debit,
            credit: transfer.credit,
            amount: transfer.amount,
            moved: Amount::ZERO,
            code: transfer.code,
        };
        Self {
            id: decided.payment,
            seq: header.seq,
            changed_seq: header.seq,
            content: decided.content,
            payment_type: decided.payment_type.clone(),
            ledger: decided.ledger,
            amount: decided.amount,
            decided_at: header.decided_at,
            occurred_at: header.occurred_at,
            verdict: decided.verdict,
            score: decided.score,
            status: decided.status,
            sums: PaymentSums::at_decision(decided.amount, decided.status),
            refusal: decided.refusal,
            capture: decided.capture,
            deadline: decided.deadline,
            legs: transfers.iter().map(leg).collect(),
            transfers: u16::try_from(transfers.len()).expect("ENG-6: a payment has few legs"),
            records: recorded(&decided.updates, &decided.accepted_updates),
            changes: Vec::new(),
            captured_before: Amount::ZERO,
            increments: Vec::new(),
            label: None,
        }
    }

    pub(crate) fn label(&mut self, header: &Header, recorded: &LabelRecorded) {
        let label = Label { name: recorded.label.clone(), positive: recorded.positive, recorded_at: header.decided_at };
        self.label = Some(label);
        self.changed_seq = header.seq;
    }

    pub(crate) fn change(&mut self, header: &Header, changed: &PaymentChanged) {
        let mut resolved = None;
        for fact in &changed.ledger_facts {
            let ledger::Fact::TransferCreated(transfer) = fact else { continue };
            self.transfers = self.transfers.checked_add(1).expect("ENG-6: a payment makes few transfers");
            if let Some(pending) = transfer.pending {
                resolved = self.legs.iter_mut().find(|leg| leg.transfer == pending);
            } else if transfer.is_pending() && changed.increment.is_none() {
                // What is still held of a leg follows the transfer that resolved what was held of it before.
                resolved.take().expect("ENG-26: a hold follows another one").transfer = transfer.key;
            }
        }
        if let (Some(increment), Portion::Part(amount)) = (&changed.increment, changed.portion) {
            self.increments.push(Increment {
                seq: header.seq,
                decided_at: header.decided_at,
                amount,
                verdict: increment.verdict,
                score: increment.score,
                raised: increment.legs.is_some(),
            });
            if let Some(legs) = &increment.legs {
                self.amount = self.amount.checked_add(amount).expect("ENG-27: an incremented amount was checked");
                self.legs = legs.clone();
                self.captured_before = self.sums.captured;
                self.records = recorded(&changed.updates, &increment.accepted_updates);
            }
        }
        self.status = changed.status;
        self.sums = changed.sums.unwrap_or_else(|| PaymentSums::of_whole(self.amount, changed.status));
        assert!(self.sums.are_within(self.amount), "ENG-25: no more is captured, released or refunded than there was");
        self.deadline = changed.deadline;
        self.changed_seq = header.seq;
        if let Cause::Verb(verb) = changed.cause {
            self.changes.push((header.request, Asked { verb, portion: changed.portion }));
        }
        let removes = |update: &Update| update.change == RecordChange::Remove;
        if changed.increment.is_none() && changed.updates.iter().any(removes) {
            self.records = self.records.iter().filter(|record| !record.accepted).copied().collect();
        }
    }

    fn digest_into(&self, into: &mut DigestBuilder) {
        // Every field is named, so that whoever adds one must decide whether it is part of the state.
        let Self {
            id,
            seq,
            changed_seq,
            content,
            payment_type,
            ledger,
            amount,
            decided_at,
            occurred_at,
            verdict,
            score,
            status,
            sums: PaymentSums { captured, released, refunded },
            refusal,
            deadline,
            capture,
            legs,
            transfers,
            records,
            changes,
            captured_before,
            increments,
            label,
        } = self;
        into.u128(id.get()).u64(seq.get()).u64(changed_seq.get()).bytes(content.as_bytes());
        into.bytes(payment_type.as_str().as_bytes()).u64(u64::from(ledger.get())).u128(amount.get());
        into.u64(decided_at.ns()).u64(occurred_at.ns()).u64(*verdict as u64).u64(u64::from(*score)).u64(*status as u64);
        into.u128(captured.get()).u128(released.get()).u128(refunded.get());
        match refusal {
            None => into.u64(0),
            Some(refusal) => into.u64(1 + u64::from(refusal.leg)).u64(u64::from(refusal.status.number())),
        };
        match deadline {
            None => into.u64(0),
            Some(deadline) => into.u64(1 + deadline.then as u64).u64(deadline.at.ns()),
        };
        match capture {
            CaptureTerms::Immediate => into.u64(0),
            CaptureTerms::Manual { deadline, then } => into.u64(1 + *then as u64).u64(deadline.ns()),
        };
        into.u64(legs.len() as u64).u64(u64::from(*transfers));
        for leg in legs {
            let (payment, number) = match leg.transfer {
                ledger::TransferKey::Client(id) => (id.get(), 0),
                ledger::TransferKey::Leg { payment, number } => (payment.get(), 1 + u64::from(number)),
            };
            into.u128(payment).u64(number).u128(leg.debit.get()).u128(leg.credit.get());
            into.u128(leg.amount.get()).u64(u64::from(leg.code.get()));
        }
        // A payment that was never incremented adds nothing, so that it has the digest that releases before increments computed.
        for Increment { seq, decided_at, amount, verdict, score, raised } in increments {
            into.u64(seq.get()).u64(decided_at.ns()).u128(amount.get()).u64(*verdict as u64).u64(u64::from(*score));
            into.u64(u64::from(*raised));
        }
        if !increments.is_empty() {
            into.u64(increments.len() as u64).u128(captured_before.get());
            for leg in legs {
                into.u128(leg.moved.get());
            }
        }
        into.u64(records.len() as u64);
        for record in records {
            into.u64(u64::from(record.stream.get())).u128(record.entity.get()).u64(record.at.ns());
            into.u64(u64::from(record.accepted));
        }
        into.u64(changes.len() as u64);
        for (request, Asked { verb, portion }) in changes {
            into.u128(request.get()).u64(*verb as u64);
            match portion {
                Portion::All => into.u64(0),
                Portion::Part(amount) => into.u64(1).u128(amount.get()),
                Portion::Last(amount) => into.u64(2).u128(amount.get()),
            };
        }
        match label {
            None => into.u64(0),
            Some(label) => into
                .u64(1 + u64::from(label.positive))
                .bytes(label.name.as_str().as_bytes())
                .u64(label.recorded_at.ns()),
        };
    }

    /// What this request asked for, if it changed the payment.
    pub(crate) fn asked_by(&self, request: RequestId) -> Option<Asked> {
        self.changes.iter().find(|(by, _)| *by == request).map(|&(_, asked)| asked)
    }
}

/// The records that updates insert; `accepted` has the positions of those that count only while the payment is accepted.
fn recorded(updates: &[Update], accepted: &[u16]) -> Box<[Recorded]> {
    let inserts = |update: &Update| matches!(update.change, RecordChange::Insert { .. });
    let inserted = updates.iter().enumerate().filter(|(_, update)| inserts(update));
    let recorded = |(position, update): (usize, &Update)| Recorded {
        stream: update.stream,
        entity: update.entity,
        at: update.at,
        accepted: accepted.iter().any(|&accepted| usize::from(accepted) == position),
    };
    inserted.map(recorded).collect()
}
