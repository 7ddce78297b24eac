//! Drives the engine with the times of a file instead of a clock.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use anyhow::Context as _;
use engine::{
    ActivatePolicy, Applied, ArtifactChunk, Command, CreatePayment, Engine, Fact, NewPayment, PaymentDecided,
    RecordLabel, Request,
};
use foldhash::fast::RandomState;
use policy::{Bundle, Policy};
use tables::TENANT;
use types::{ActorId, Name, Origin, PaymentId, RequestId, Seq, ShardId, Span, Timestamp};

/// Decides payments one after another, and executes the deadlines and labels that fall between them.
#[derive(Debug)]
pub(crate) struct Replay {
    engine: Engine,
    fraud: Name,
    /// The time from a payment until its label is known.
    delay: Span,
    /// Labels that are not known yet, in order of the time when they become known, with the entries of their payments.
    labels: VecDeque<(Timestamp, PaymentId, Seq)>,
    /// The ids of all payments. The engine forgets payments that cannot change any more.
    ids: HashSet<PaymentId, RandomState>,
    /// The last entry.
    last: Seq,
}

/// The number of payments from one time that the engine forgets old ones to the next.
const FORGET_EVERY: usize = 4096;

impl Replay {
    /// Creates an engine in which the policy is active from the beginning, and in which these commands have made lists.
    ///
    /// # Errors
    /// Fails if the engine rejects the policy or a list.
    pub(crate) fn new(
        bundle: &Bundle,
        policy: &Arc<Policy>,
        lists: Vec<Command>,
        (fraud, delay): (Name, Span),
    ) -> anyhow::Result<Self> {
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
        for command in lists {
            let answer =
                engine.execute(Timestamp::ZERO, &request(RequestId::default(), command), &mut |_: Applied<'_>| {});
            answer.context("the lists cannot be used")?;
        }
        engine.leave_out_digests();
        Ok(Self { engine, fraud, delay, labels: VecDeque::new(), ids: HashSet::default(), last: Seq::ZERO })
    }

    /// Decides a payment at its own time, which must not be before the time of the previous payment.
    ///
    /// # Errors
    /// The reason why there is no decision, as a text for people.
    pub(crate) fn decide(
        &mut self,
        at: Timestamp,
        payment: NewPayment,
        positive: bool,
    ) -> Result<Arc<PaymentDecided>, String> {
        self.advance(at);
        let id = payment.payment;
        if self.ids.contains(&id) {
            return Err("an earlier payment of this file has the same id".to_owned());
        }
        let request = request(RequestId::new(id.get()), CreatePayment(Box::new(payment)));
        let mut decided = None;
        let answer = self.engine.execute(at, &request, &mut |applied: Applied<'_>| {
            if let Fact::PaymentDecided(made) = &applied.entry.fact {
                decided = Some((applied.entry.header.seq, Arc::clone(made)));
            }
        });
        let (seq, decided) = match (decided, answer) {
            (Some(decided), _) => decided,
            (None, Err(refusal)) => return Err(refusal.to_string()),
            (None, Ok(_)) => unreachable!("a payment with a new id is decided or refused"),
        };
        self.ids.insert(id);
        self.last = seq;
        // Only fraud labels affect windows, so no other label is needed.
        if positive {
            self.labels.push_back((at.saturating_add(self.delay), id, seq));
        }
        if self.ids.len().is_multiple_of(FORGET_EVERY) {
            self.forget();
        }
        Ok(decided)
    }

    /// Takes payments out of memory. Those that are open, and those from the first on that still gets a label, stay.
    fn forget(&mut self) {
        let before = self.labels.front().map(|(_, _, seq)| seq.get().saturating_sub(1));
        self.engine.forget_through(0, before.map_or(self.last, Seq::new));
    }

    /// Executes everything that is due by `at`, in order of time. At the same instant, deadlines come before labels, as
    /// in the server.
    fn advance(&mut self, at: Timestamp) {
        loop {
            let due = self.engine.next_due().filter(|due| *due <= at);
            let label = self.labels.front().copied().filter(|(known, ..)| *known <= at);
            match (due, label) {
                (Some(due), label) if label.is_none_or(|(known, ..)| due <= known) => {
                    assert!(self.engine.execute_due(due, &mut |_: Applied<'_>| {}), "a due deadline is executed");
                }
                (_, Some((known, payment, _))) => {
                    self.labels.pop_front();
                    let label = RecordLabel { payment, label: self.fraud.clone() };
                    let answer = self.engine.execute(
                        known,
                        &request(RequestId::new(payment.get()), label),
                        &mut |_: Applied<'_>| {},
                    );
                    answer.expect("a decided payment accepts a label");
                }
                (_, None) => return,
            }
        }
    }

    /// The number of window records that were dropped because of the limits of their streams.
    pub(crate) fn records_dropped(&self) -> u64 {
        self.engine.records_dropped()
    }
}

fn request(id: RequestId, operation: impl Into<Command>) -> Request {
    Request { tenant: TENANT, actor: ActorId::SYSTEM, id, command: operation.into() }
}
