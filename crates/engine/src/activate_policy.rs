//! Letting a policy decide from now on.

use std::sync::Arc;

use features::StreamId;
use ledger::Outcome;
use policy::{Policy, StreamClock, StreamSpec};
use types::{Digest, Span, Timestamp};

use crate::entry::{Fact, PolicyActivated, StreamOpened};
use crate::{Decided, Engine, Made, Refusal, Reply};

impl Engine {
    pub(crate) fn activate_policy(&self, at: Timestamp, artifact: Digest, policy: &Arc<Policy>) -> Decided {
        if let Some(active) = self.state.policy.as_ref().filter(|active| active.activated.artifact == artifact) {
            return Decided::Answer(Ok(Reply::Policy(Made::Before, active.clone())));
        }
        let stored = self.state.artifacts.get(&artifact).is_some_and(|artifact| artifact.is_whole());
        if !stored || policy.digest() != artifact {
            return Decided::Answer(Err(Refusal::ArtifactIncomplete(artifact)));
        }
        let mut plan = self.state.ledger.plan(at);
        for ledger in policy.ledgers() {
            if let Outcome::Refused(_) = plan.open_book(ledger.id, ledger.asset) {
                return Decided::Answer(Err(Refusal::PolicyLedgerConflict(ledger.id)));
            }
        }
        Decided::record(Fact::PolicyActivated(Arc::new(PolicyActivated {
            artifact,
            name: policy.name().clone(),
            features: policy.features().iter().map(|feature| feature.name.clone()).collect(),
            models: policy.models().iter().map(|model| model.name.clone()).collect(),
            streams: self.streams_of(at, policy),
            ledger_facts: plan.into_facts(),
        })))
    }

    /// An unchanged stream keeps its number and goes on; the others get new ones. What a stream did not see, because it
    /// is new or because the policy before did not have it, is missing from it.
    fn streams_of(&self, at: Timestamp, policy: &Policy) -> Vec<StreamOpened> {
        let mut fresh = (0_u32..).skip(self.state.streams.len()).map(StreamId::new);
        let active = self.state.policy.as_ref().map(|active| &active.activated.streams);
        let unseen = if self.state.payments.is_empty() { Timestamp::ZERO } else { at };
        let opened = |stream: &StreamSpec| {
            let going_on = active.and_then(|streams| streams.iter().find(|active| active.key == stream.key));
            StreamOpened {
                id: match self.state.streams.get(&stream.key) {
                    Some(known) => *known,
                    None => fresh.next().expect("ENG-14: there are fewer than 2^32 streams"),
                },
                key: stream.key,
                retention: stream.retention.saturating_add(clock_slack(policy, stream)),
                records_max: stream.records_max,
                entities_max: stream.entities_max,
                recorded_since: going_on.map_or(unseen, |stream| stream.recorded_since),
            }
        };
        policy.streams().iter().map(opened).collect()
    }
}

/// How far apart the times of payments may lie that are decided at the same moment: a window must still be whole for
/// the latest of them.
fn clock_slack(policy: &Policy, stream: &StreamSpec) -> Span {
    match stream.clock {
        StreamClock::DecidedAt => Span::ZERO,
        StreamClock::OccurredAt => {
            let bounds = || policy.payment_types().iter().filter_map(|payment_type| payment_type.occurred_at);
            let late = bounds().map(|bounds| bounds.late_max).max().unwrap_or_default();
            let ahead = bounds().map(|bounds| bounds.ahead_max).max().unwrap_or_default();
            late.saturating_add(ahead)
        }
    }
}
