//! Commands that make at most one entry: what each decides, and what it answers.

use ledger::{Book, Outcome};
use types::{ActorId, Asset, LedgerId, PaymentId, RequestId, Sealed, TenantId, Timestamp};

use crate::command::Execute;
use crate::entry::{ArtifactChunk, Entry, Fact};
use crate::{Answered, Engine, Made, Operation, Refusal, Request, Sink};

/// A command that makes at most one entry.
pub(crate) trait Decide: Operation {
    /// The payment that it is about, which may have to be brought back into memory.
    fn payment(&self) -> Option<PaymentId> {
        None
    }

    /// Decides the command at `at`, the time of its entry. Only reads.
    fn decide(&self, engine: &Engine, at: Timestamp, request: RequestId) -> Result<Decided<Self::Reply>, Refusal>;

    /// The answer, right after the entry was applied.
    fn made(&self, engine: &mut Engine, entry: &Entry) -> Answered<Self>;

    /// Decides the command and makes its entry, if there is one.
    fn carry_out(
        &self,
        engine: &mut Engine,
        now: Timestamp,
        (actor, request): (ActorId, RequestId),
        sink: &mut dyn Sink,
    ) -> Answered<Self> {
        match self.decide(engine, engine.next_instant(now), request)? {
            Decided::Before(reply) => Ok(reply),
            Decided::Now(recording) => {
                let entry = engine.commit(now, actor, request, recording, sink);
                let answer = self.made(engine, &entry);
                engine.journal_digest(now, sink);
                answer
            }
        }
    }
}

/// The decision about a command that is not refused.
pub(crate) enum Decided<R, F = Recording> {
    /// Nothing changes, because it happened before.
    Before(R),
    /// This happens now.
    Now(F),
}

/// The content of an entry, apart from its header.
pub(crate) struct Recording {
    pub(crate) fact: Fact,
    pub(crate) occurred_at: Option<Timestamp>,
    pub(crate) sealed: Option<Sealed>,
    /// The tenant of the entry, if it is not that of the engine.
    pub(crate) tenant: Option<TenantId>,
}

impl Recording {
    pub(crate) fn of(fact: Fact) -> Self {
        Self { fact, occurred_at: None, sealed: None, tenant: None }
    }
}

impl<D: Decide> Execute for D {
    fn payment(&self) -> Option<PaymentId> {
        Decide::payment(self)
    }

    fn execute(&self, engine: &mut Engine, now: Timestamp, request: &Request, sink: &mut dyn Sink) -> Answered<Self> {
        self.carry_out(engine, now, (request.actor, request.id), sink)
    }

    fn without_entry(&self, engine: &Engine, at: Timestamp, request: &Request) -> Option<Answered<Self>> {
        match self.decide(engine, at, request.id) {
            Ok(Decided::Before(reply)) => Some(Ok(reply)),
            Ok(Decided::Now(_)) => None,
            Err(refusal) => Some(Err(refusal)),
        }
    }
}

/// Open a ledger: a book of accounts in one asset.
#[derive(Debug, Clone)]
pub struct OpenLedger {
    pub id: LedgerId,
    pub asset: Asset,
}

impl Decide for OpenLedger {
    fn decide(&self, engine: &Engine, at: Timestamp, _: RequestId) -> Result<Decided<(Made, Book)>, Refusal> {
        let mut plan = engine.state.ledger.plan(at);
        match plan.open_book(self.id, self.asset) {
            Outcome::Created { .. } => {
                let fact = plan.into_facts().pop().expect("a plan that created something has a fact");
                Ok(Decided::Now(Recording::of(Fact::Ledger(fact))))
            }
            Outcome::Exists { .. } => Ok(Decided::Before((Made::Before, engine.book(self.id)?))),
            Outcome::Refused(_) => Err(Refusal::LedgerExistsWithDifferentAsset {
                given: self.asset,
                ledger: self.id,
                actual: engine.book(self.id)?.asset,
            }),
        }
    }

    fn made(&self, engine: &mut Engine, _: &Entry) -> Answered<Self> {
        Ok((Made::Now, engine.book(self.id)?))
    }
}

impl Decide for ArtifactChunk {
    fn decide(&self, engine: &Engine, _: Timestamp, _: RequestId) -> Result<Decided<Made>, Refusal> {
        let known = engine.state.artifacts.get(&self.artifact).is_some_and(|artifact| artifact.has(self));
        Ok(if known {
            Decided::Before(Made::Before)
        } else {
            Decided::Now(Recording::of(Fact::ArtifactStored(self.clone())))
        })
    }

    fn made(&self, _: &mut Engine, _: &Entry) -> Answered<Self> {
        Ok(Made::Now)
    }
}
