//! Bugs that the checker must find, put in by wrappers around what is run: none of them is in the product's own code.

use engine::{Entry, Fact, Header, IdentityFact};
use journal::{DurableLog as _, FrameBuilder};
use ledger::TransferKey;
use types::{PaymentId, Span};

use crate::process::Opened;

/// A bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plant {
    /// The disk does nothing at some syncs, and says it did.
    SkipsSync,
    /// A start accepts a frame that a crash had taken away, though it does not follow the last one.
    DropsChainCheck,
    /// A replay folds a transfer twice.
    AppliesTwice,
    /// Reads are answered before what they show is durable.
    AnswersReadsEarly,
}

impl Opened {
    /// Lets the journal have an entry behind its last one that was lost in a crash: as if a frame that does not follow
    /// had passed for the next one.
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
            // Others have times inside that would no longer fit, or need what was lost with them.
            _ => return Ok(()),
        }
        let mut builder = FrameBuilder::default();
        builder.push(&foreign);
        let Some(frame) = builder.finish() else { return Ok(()) };
        let written = self.journal.append(&frame).and_then(|_| self.journal.sync());
        written.map_err(|fault| fault.to_string())?;
        Ok(())
    }

    /// Folds a transfer once more.
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

    /// An entry that could come next.
    fn next(&self, fact: Fact, like: &Entry) -> Entry {
        let decided_at = self.engine.clock().saturating_add(Span::from_ns(1));
        let seq = self.engine.applied().next();
        Entry { header: Header { seq, decided_at, ..like.header }, fact, sealed: like.sealed.clone() }
    }
}
