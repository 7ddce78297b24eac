//! The engine, driven by the times of a file instead of a clock.

use std::collections::VecDeque;
use std::sync::Arc;

use anyhow::Context as _;
use engine::{
    ActivatePolicy, Applied, ArtifactChunk, Command, CreatePayment, Engine, Fact, NewPayment, PaymentDecided,
    RecordLabel, Request,
};
use policy::{Bundle, Policy};
use tables::TENANT;
use types::{ActorId, Name, Origin, PaymentId, RequestId, ShardId, Span, Timestamp};

/// Decides payments one after the other, and brings in between what time brings: deadlines and labels.
#[derive(Debug)]
pub(crate) struct Replay {
    engine: Engine,
    fraud: Name,
    /// How long after its payment a label is known.
    delay: Span,
    /// Labels that are not known yet, by the time when they are.
    labels: VecDeque<(Timestamp, PaymentId)>,
}

impl Replay {
    /// An engine in which the policy is active, at the beginning of time.
    ///
    /// # Errors
    /// When it does not accept the policy.
    pub(crate) fn new(bundle: &Bundle, policy: &Arc<Policy>, fraud: Name, delay: Span) -> anyhow::Result<Self> {
        let mut engine = Engine::new(ShardId::default(), TENANT);
        engine.start(Timestamp::ZERO, Origin::new(1), &mut |_: Applied<'_>| {});
        let artifact = policy.digest();
        let bytes = bundle.to_bytes();
        let parts = bytes.chunks(ArtifactChunk::BYTES_MAX);
        let count = u32::try_from(parts.len())?;
        let stored = (0..count)
            .zip(parts)
            .map(|(index, part)| Command::from(ArtifactChunk { artifact, index, count, bytes: part.into() }));
        let activate = Command::from(ActivatePolicy { artifact, policy: Arc::clone(policy) });
        for command in stored.chain([activate]) {
            let request = request(RequestId::default(), command);
            let answer = engine.execute(Timestamp::ZERO, &request, &mut |_: Applied<'_>| {});
            answer.context("the policy cannot be activated")?;
        }
        Ok(Self { engine, fraud, delay, labels: VecDeque::new() })
    }

    /// Decides a payment at its own time, which is not before that of the one before.
    ///
    /// # Errors
    /// Why there is no decision, for people.
    pub(crate) fn decide(
        &mut self,
        at: Timestamp,
        payment: NewPayment,
        positive: bool,
    ) -> Result<Arc<PaymentDecided>, String> {
        self.advance(at);
        let id = payment.payment;
        let request = request(RequestId::new(id.get()), CreatePayment(Box::new(payment)));
        let mut decided = None;
        let answer = self.engine.execute(at, &request, &mut |applied: Applied<'_>| {
            if let Fact::PaymentDecided(made) = &applied.entry.fact {
                decided = Some(Arc::clone(made));
            }
        });
        match (decided, answer) {
            (Some(decided), _) => {
                // A label of another value than fraud changes no window, so only this one has to be known in time.
                if positive {
                    self.labels.push_back((at.saturating_add(self.delay), id));
                }
                Ok(decided)
            }
            (_, Err(refusal)) => Err(refusal.to_string()),
            (_, Ok(_)) => Err("an earlier payment of this file has the same id".to_owned()),
        }
    }

    /// Brings what is due by `at`, in order of time; of one instant deadlines first, as the server does, then labels.
    fn advance(&mut self, at: Timestamp) {
        loop {
            let due = self.engine.next_due().filter(|due| *due <= at);
            let label = self.labels.front().copied().filter(|(known, _)| *known <= at);
            match (due, label) {
                (Some(due), label) if label.is_none_or(|(known, _)| due <= known) => {
                    assert!(
                        self.engine.execute_due(due, &mut |_: Applied<'_>| {}),
                        "what is due at an instant happens then"
                    );
                }
                (_, Some((known, payment))) => {
                    self.labels.pop_front();
                    let label = RecordLabel { payment, label: self.fraud.clone() };
                    let answer = self.engine.execute(
                        known,
                        &request(RequestId::new(payment.get()), label),
                        &mut |_: Applied<'_>| {},
                    );
                    answer.expect("a payment that was decided takes a label");
                }
                (_, None) => return,
            }
        }
    }

    /// Window records that declared bounds refused.
    pub(crate) fn records_dropped(&self) -> u64 {
        self.engine.records_dropped()
    }
}

fn request(id: RequestId, operation: impl Into<Command>) -> Request {
    Request { tenant: TENANT, actor: ActorId::SYSTEM, id, command: operation.into() }
}
