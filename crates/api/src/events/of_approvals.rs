//! Events about four eyes: rules and proposals.

use engine::{ApprovalFact, ProposalEnded as Ended};
use serde::Serialize;
use utoipa::ToSchema;

use super::EventData;
use crate::approvals::ProposedOperation;
use crate::responses::{Assets, Unknown};

/// A principal proposed an operation, which another one can approve.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct ProposalMade {
    /// The id of the proposal.
    proposal: String,
    #[serde(flatten)]
    proposed: ProposedOperation,
    /// Why, as the proposer wrote it; empty if no reason was given.
    reason: String,
    /// From when on it can no longer be approved. No event says so when that time comes.
    #[schema(format = "date-time")]
    expires_at: String,
}

/// A proposal ended. If it was approved, the events with the same `request` say what it did.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct ProposalEnded {
    /// The id of the proposal.
    proposal: String,
    /// `approved`, `rejected` or `withdrawn`, by the actor of the event.
    status: &'static str,
}

pub(super) fn approval_data(fact: &ApprovalFact, assets: &Assets) -> Result<(&'static str, EventData), Unknown> {
    Ok(match fact {
        ApprovalFact::RulesSet(rules) => ("approvals_set", EventData::ApprovalsSet(rules.into())),
        ApprovalFact::ProposalMade(made) => {
            let data = ProposalMade {
                proposal: made.proposal.to_string(),
                proposed: ProposedOperation::new(&made.operation, assets)?,
                reason: made.reason.to_string(),
                expires_at: made.expires_at.to_string(),
            };
            ("proposal_made", EventData::ProposalMade(Box::new(data)))
        }
        ApprovalFact::ProposalEnded(Ended { proposal, end }) => {
            let data = ProposalEnded { proposal: proposal.to_string(), status: end.status().name() };
            ("proposal_ended", EventData::ProposalEnded(data))
        }
    })
}
