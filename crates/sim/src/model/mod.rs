//! A model of the system in the simplest form, independent of its code. It checks every command again, applies every
//! entry again and compares every answer. The documentation of the crate lists the rules.

mod answers;
mod approvals;
mod attributes;
mod books;
mod identities;
mod imports;
mod lists;
mod orders;
mod payments;
/// The rules of transfers, implemented a second time and shared with the tests of the ledger.
#[path = "../../../ledger/tests/ledger/model/rules.rs"]
mod rules;
mod settings;
mod turn;

use std::collections::BTreeMap;

use engine::{ArtifactChunk, Entry, Fact};
use types::{Digest, Seq, Timestamp};

pub(crate) use approvals::Approvals;
pub(crate) use books::Books;
pub(crate) use identities::Identities;
pub(crate) use payments::Payments;
pub(crate) use settings::Settings;
pub(crate) use turn::{Step, code as code_of};

/// The state that follows from all entries so far.
#[derive(Debug, Default, Clone)]
pub(crate) struct Model {
    pub(crate) seq: Seq,
    /// The latest timestamp given to anything so far.
    pub(crate) clock: Timestamp,
    pub(crate) books: Books,
    pub(crate) payments: Payments,
    pub(crate) chunks: BTreeMap<Digest, BTreeMap<u32, ArtifactChunk>>,
    pub(crate) identities: Identities,
    pub(crate) approvals: Approvals,
    pub(crate) settings: Settings,
    /// What each idempotency key was used for.
    pub(crate) keys: BTreeMap<types::RequestId, engine::KeyUsed>,
}

/// Fails with a message unless `ok` holds.
pub(crate) fn ensure(ok: bool, rule: &str, what: impl FnOnce() -> String) -> Result<(), String> {
    if ok { Ok(()) } else { Err(format!("{rule}: {}", what())) }
}

impl Model {
    /// Applies an entry. Fails if something happens twice or at the wrong time.
    pub(crate) fn apply(&mut self, entry: &Entry) -> Result<(), String> {
        let header = &entry.header;
        let seq = header.seq;
        ensure(seq == self.seq.next(), "SIM-1", || format!("entry {seq} follows {}", self.seq))?;
        ensure(header.decided_at > self.clock, "SIM-1", || format!("time does not move forward with entry {seq}"))?;
        self.seq = seq;
        self.clock = header.decided_at;
        match &entry.fact {
            Fact::JournalStarted { .. } => {
                ensure(seq == Seq::new(1), "SIM-2", || format!("the journal starts again with entry {seq}"))?;
            }
            Fact::JournalContinued { .. } => {
                return Err(format!(
                    "SIM-2: entry {seq} continues the journal as another history, which no simulated server does"
                ));
            }
            Fact::Ledger(fact) => {
                // The request id of an order is that of the object that it makes; a later change has none, or is approved.
                if header.request == types::RequestId::default() || self.approvals.knows(header.request) {
                    self.books.keep_opening(fact);
                }
                self.apply_facts(std::slice::from_ref(fact))?;
            }
            Fact::PaymentDecided(decided) => {
                self.payments.decide(header, decided)?;
                self.apply_facts(&decided.ledger_facts)?;
            }
            Fact::PaymentChanged(changed) => {
                self.payments.change(header, changed)?;
                self.apply_facts(&changed.ledger_facts)?;
            }
            Fact::LabelRecorded(recorded) => self.payments.label(header, recorded)?,
            Fact::ArtifactStored(chunk) => {
                let parts = self.chunks.entry(chunk.artifact).or_default();
                let taken = parts.insert(chunk.index, chunk.clone());
                ensure(taken.is_none(), "SIM-2", || format!("entry {seq} stores a part again"))?;
            }
            Fact::PolicyActivated(activated) => {
                self.payments.activate(header, activated)?;
                // The model keeps only the active artifact. Other artifacts are stored again when they are needed
                // again.
                self.chunks.retain(|artifact, _| *artifact == activated.artifact);
                self.apply_facts(&activated.ledger_facts)?;
            }
            Fact::Identity(fact) => self.identities.apply(header, fact)?,
            Fact::Approval(fact) => self.approvals.apply(header, fact)?,
            Fact::Setting(fact) => self.settings.apply(header, fact)?,
            Fact::List(fact) => self.payments.lists.apply(header, fact)?,
            Fact::EntityAttributes(fact) => self.payments.attributes.apply(header, fact)?,
            Fact::KeyUsed(used) => {
                self.keys.insert(header.request, used.clone());
            }
            Fact::PersonalDataRead(_) | Fact::StateDigest(_) => {}
        }
        Ok(())
    }

    fn apply_facts(&mut self, facts: &[ledger::Fact]) -> Result<(), String> {
        for fact in facts {
            self.books.apply(self.clock, fact)?;
            let given = match fact {
                ledger::Fact::AccountOpened(account) => account.timestamp,
                ledger::Fact::TransferCreated(transfer) => transfer.timestamp,
                _ => Timestamp::ZERO,
            };
            self.clock = self.clock.max(given);
        }
        Ok(())
    }

    /// Whether every part of an artifact is stored.
    pub(crate) fn is_whole(&self, artifact: Digest) -> bool {
        let parts = self.chunks.get(&artifact);
        let count = parts.and_then(|parts| parts.values().next()).map(|chunk| u64::from(chunk.count));
        parts.is_some_and(|parts| Some(parts.len() as u64) == count)
    }
}
