//! Bugs that the checker must find. Wrappers around the product's code add them; the product itself contains none of
//! them.

use engine::{Entry, Fact, Header, IdentityFact};
use journal::{DurableLog as _, FrameBuilder};
use ledger::TransferKey;
use types::{PaymentId, Span};

use crate::process::Opened;

/// A planted bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plant {
    /// The disk does nothing at some syncs, and reports success.
    SkipsSync,
    /// A start accepts a frame that a crash removed, although it does not follow the last frame.
    DropsChainCheck,
    /// A replay folds a transfer twice.
    AppliesTwice,
    /// Reads are answered before what they show is durable.
    AnswersReadsEarly,
}

impl Opened {
    /// Appends an entry that a crash removed to the journal, as if a frame that does not follow the last one had passed
    /// the chain check.
    pub(crate) fn accept(&mut self, lost: &Entry) -> Result<(), String> {
        let mut foreign = self.next(lost.fact.clone(), lost);
        let at = foreign.header.decided_at;
        match &mut foreign.fact {
            Fact::Ledger(ledger::Fact::TransferCreated(transfer)) => transfer.timestamp = at,
            Fact::Ledger(ledger::Fact::AccountOpened(account)) => account.timestamp = at,
            Fact::ArtifactStored(_)
            | Fact::LabelRecorded(_)
            | Fact::Identity(IdentityFact::PrincipalAdded(_))
            | Fact::StateDigest(_) => {}
            // Other facts contain timestamps that would no longer fit, or need entries that were lost with them.
            _ => return Ok(()),
        }
        let mut builder = FrameBuilder::default();
        builder.push(&foreign);
        let Some(frame) = builder.finish() else { return Ok(()) };
        let written = self.journal.append(&frame).and_then(|_| self.journal.sync());
        written.map_err(|fault| fault.to_string())?;
        Ok(())
    }

    /// Applies a transfer a second time.
    pub(crate) fn fold_again(&mut self, entries: &[Entry]) {
        let is_moved = |entry: &&Entry| match &entry.fact {
            Fact::Ledger(ledger::Fact::TransferCreated(transfer)) => {
                !transfer.is_pending() && transfer.pending.is_none() && !transfer.amount.is_zero()
            }
            _ => false,
        };
        let Some(moved) = entries.iter().rev().find(is_moved) else { return };
        let Fact::Ledger(ledger::Fact::TransferCreated(transfer)) = &moved.fact else { return };
        let key = TransferKey::Leg { payment: PaymentId::new(3), number: 0 };
        let mut again = self.next(moved.fact.clone(), moved);
        let timestamp = again.header.decided_at;
        again.fact = Fact::Ledger(ledger::Fact::TransferCreated(ledger::Transfer { key, timestamp, ..*transfer }));
        self.engine.apply(&again);
    }

    /// An entry that could follow the last one.
    fn next(&self, fact: Fact, like: &Entry) -> Entry {
        let decided_at = self.engine.clock().saturating_add(Span::from_ns(1));
        let seq = self.engine.applied().next();
        Entry { header: Header { seq, decided_at, ..like.header }, fact, sealed: like.sealed.clone() }
    }
}
