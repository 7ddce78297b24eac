//! The routes of four eyes: rules and proposals.

use engine::ProposalEnd;

use super::build::{create, end_proposal, get, list, setting, shown};
use super::parameters::{CURSOR, LIMIT, PROPOSAL_STATUS};
use super::{Body, Key, Operation, Route, page, shape};
use crate::approvals::{ApprovalRulesBody, Proposal, ProposalBody, Rules};
use crate::scope::Scope;

pub(super) const GET_RULES: Route = shown(
    Operation::GetApprovalRules,
    "/v1/approval-rules",
    Scope::LEDGER_READ,
    shape::<Rules>(),
    "Show which operations need the approval of a second principal",
);

pub(super) const SET_RULES: Route = setting(
    Operation::SetApprovalRules,
    "/v1/approval-rules",
    Scope::APPROVALS_MANAGE,
    (Body::Json(shape::<ApprovalRulesBody>()), shape::<Rules>()),
    "Set which operations need the approval of a second principal; to demand fewer approvals needs one itself",
);

pub(super) const CREATE_PROPOSAL: Route = create(
    Operation::CreateProposal,
    "/v1/proposals",
    Scope::PROPOSALS_WRITE,
    Key::Id,
    (shape::<ProposalBody>(), shape::<Proposal>()),
    "Propose an operation, which takes effect when another principal approves it",
);

pub(super) const LIST_PROPOSALS: Route = list(
    Operation::ListProposals,
    "/v1/proposals",
    Scope::LEDGER_READ,
    &[CURSOR, LIMIT, PROPOSAL_STATUS],
    page::<Proposal>(),
    "List proposals in the order in which they were made: those that are open, and the last 10000 that are not",
);

pub(super) const GET_PROPOSAL: Route =
    get(Operation::GetProposal, "/v1/proposals/{id}", Scope::LEDGER_READ, shape::<Proposal>(), "Look up a proposal");

pub(super) const APPROVE: Route = end_proposal(
    ProposalEnd::Approved,
    "/v1/proposals/{id}/approve",
    Scope::PROPOSALS_APPROVE,
    "Approve and carry out what another principal proposed; if the ledger refuses it, the proposal stays open",
);

pub(super) const REJECT: Route = end_proposal(
    ProposalEnd::Rejected,
    "/v1/proposals/{id}/reject",
    Scope::PROPOSALS_APPROVE,
    "Reject what another principal proposed",
);

pub(super) const WITHDRAW: Route = end_proposal(
    ProposalEnd::Withdrawn,
    "/v1/proposals/{id}/withdraw",
    Scope::PROPOSALS_WRITE,
    "Withdraw a proposal that the own principal made",
);
