//! Activating a policy.

use std::sync::Arc;

use features::StreamId;
use ledger::Outcome;
use policy::{Policy, StreamClock, StreamSpec};
use types::{Digest, RequestId, Span, Timestamp};

use crate::decide::{Decide, Decided, Recording};
use crate::entry::{Entry, Fact, PolicyActivated, StreamOpened};
use crate::guard::Guarding;
use crate::{ActivePolicy, Answered, Engine, Made, Refusal};

/// Activate a policy, whose bundle must be stored as an artifact.
#[derive(Debug, Clone)]
pub struct ActivatePolicy {
    /// The digest of the stored bundle.
    pub artifact: Digest,
    /// The same bundle, compiled.
    pub policy: Arc<Policy>,
}

impl Decide for ActivatePolicy {
    fn decide(&self, engine: &Engine, at: Timestamp, _: RequestId) -> Result<Decided<Self::Reply>, Refusal> {
        let Self { artifact, policy } = self;
        let state = &engine.state;
        if state.policy.as_ref().is_some_and(|active| active.activated.artifact == *artifact) {
            return Ok(Decided::Before((Made::Before, engine.active_policy()?)));
        }
        let stored = state.artifacts.get(artifact).is_some_and(|artifact| artifact.is_whole());
        if !stored || policy.digest() != *artifact {
            return Err(Refusal::ArtifactIncomplete(*artifact));
        }
        engine.check_lists(policy)?;
        let mut plan = state.ledger.plan(at);
        for ledger in policy.ledgers() {
            if let Outcome::Refused(_) = plan.open_book(ledger.id, ledger.asset) {
                let actual = engine.book(ledger.id)?.asset;
                return Err(Refusal::PolicyLedgerConflict { given: ledger.asset, ledger: ledger.id, actual });
            }
        }
        Ok(Decided::Now(Recording::of(Fact::PolicyActivated(Arc::new(PolicyActivated {
            artifact: *artifact,
            name: policy.name().clone(),
            features: policy.features().iter().map(|feature| feature.name.clone()).collect(),
            models: policy.models().iter().map(|model| model.name.clone()).collect(),
            lists: policy.lists().iter().map(|list| list.name.clone()).collect(),
            streams: engine.streams_of(at, policy),
            ledger_facts: plan.into_facts(),
        })))))
    }

    fn made(&self, engine: &mut Engine, _: &Entry) -> Answered<Self> {
        engine.use_policy(Arc::clone(&self.policy));
        Ok((Made::Now, engine.active_policy()?))
    }
}

impl Guarding for ActivatePolicy {
    fn view(&self, engine: &Engine, _: Timestamp) -> Option<Answered<Self>> {
        Some(engine.active_policy().map(|active| (Made::Before, active)))
    }
}

impl Engine {
    /// Decides with the compiled form of the active policy from now on.
    pub(crate) fn use_policy(&mut self, policy: Arc<Policy>) {
        let opened = self.state.policy.as_ref().map(|active| active.activated.streams.clone()).unwrap_or_default();
        for (stream, opened) in policy.streams().iter().zip(&opened) {
            if stream.keeps_spreads {
                self.state.windows.keep_spreads(opened.id);
            }
        }
        self.policy = Some(policy);
    }

    pub(crate) fn active_policy(&self) -> Result<ActivePolicy, Refusal> {
        let active = self.state.policy.clone().ok_or(Refusal::NoActivePolicy)?;
        let covered = |stream: &StreamOpened| self.state.windows.covered_since(stream.id).unwrap_or_default();
        let covered_since = active.activated.streams.iter().map(covered).collect();
        Ok(ActivePolicy { as_of: self.state.clock, covered_since, ..active })
    }

    /// A stream of the active policy keeps its number; any other gets a new one, even if an earlier policy had it. Such a stream has
    /// missed payments, so it counts as recorded only from `at`, or later if payments can be dated ahead.
    fn streams_of(&self, at: Timestamp, policy: &Policy) -> Vec<StreamOpened> {
        let mut fresh = (self.state.next_stream..).map(StreamId::new);
        let active = self.state.policy.as_ref().map(|active| &active.activated.streams);
        let policies = [self.policy.as_deref(), Some(policy)];
        let unseen = |stream: &StreamSpec| match stream.clock {
            _ if !self.state.has_payments => Timestamp::ZERO,
            StreamClock::DecidedAt => at,
            StreamClock::OccurredAt => {
                at.saturating_add(policies.into_iter().flatten().map(ahead_max).max().unwrap_or_default())
            }
        };
        let opened = |stream: &StreamSpec| {
            let going_on = active.and_then(|streams| streams.iter().find(|active| active.key == stream.key));
            StreamOpened {
                id: match self.state.streams.get(&stream.key) {
                    Some(known) => *known,
                    None => fresh.next().expect("ENG-14: there are fewer than 2^32 streams"),
                },
                key: stream.key,
                retention: retention(policy, stream),
                records_max: stream.records_max,
                entities_max: stream.entities_max,
                recorded_since: going_on.map_or_else(|| unseen(stream), |stream| stream.recorded_since),
            }
        };
        policy.streams().iter().map(opened).collect()
    }
}

/// How far back a stream keeps records.
pub(crate) fn retention(policy: &Policy, stream: &StreamSpec) -> Span {
    stream.retention.saturating_add(clock_slack(policy, stream))
}

/// How far apart the times of payments can be that are decided at the same moment. A window must be complete even for
/// the earliest of these times.
fn clock_slack(policy: &Policy, stream: &StreamSpec) -> Span {
    match stream.clock {
        StreamClock::DecidedAt => Span::ZERO,
        StreamClock::OccurredAt => {
            let bounds = || policy.payment_types().iter().filter_map(|payment_type| payment_type.occurred_at);
            let late = bounds().map(|bounds| bounds.late_max).max().unwrap_or_default();
            late.saturating_add(ahead_max(policy))
        }
    }
}

/// How far ahead a payment of a policy can be dated.
fn ahead_max(policy: &Policy) -> Span {
    let bounds = policy.payment_types().iter().filter_map(|payment_type| payment_type.occurred_at);
    bounds.map(|bounds| bounds.ahead_max).max().unwrap_or_default()
}
