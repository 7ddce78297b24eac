//! Commands about four eyes: setting the rules, proposing an operation, and ending a proposal.

use ledger::{ImportState, Limits, NewTransfer, Plan, TransferFlags, TransferKey};
use types::{ImportId, LedgerId, ProposalId, RequestId, Span, Timestamp, TransferId};

use crate::api_keys::Sender;
use crate::approvals::{
    ApprovalFact, ApprovalRefusal, ApprovalRules, Proposal, ProposalEnd, ProposalEnded, ProposalMade, ProposalStatus,
    Proposed,
};
use crate::change::SetLimits;
use crate::command::{Execute, Look};
use crate::decide::{Decide, Decided, Recording};
use crate::details::{head, named};
use crate::entry::{Entry, Fact};
use crate::guard::Guarding;
use crate::order::{TransferOrder, in_its_ledger, made};
use crate::query;
use crate::reverse_transfer::ReverseTransfer;
use crate::{Answered, Engine, Made, PAGE_MAX, Page, Refusal, Request, Sink};

/// Set which operations need an approval, replacing earlier rules. Rules that demand fewer approvals need one themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetApprovalRules(pub ApprovalRules);

/// The rules that are in force, and their version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApprovalRulesReply {
    pub rules: ApprovalRules,
    pub version: u64,
}

/// Propose an operation. A retry by the same principal gets the same proposal.
#[derive(Debug, Clone)]
pub struct Propose {
    pub proposal: ProposalId,
    pub operation: Proposable,
    /// Why, for people to read; not personal data. At most [`crate::REASON_BYTES_MAX`].
    pub reason: Box<str>,
    /// How long it is open, at most [`crate::PROPOSAL_LIFETIME_MAX`].
    pub lifetime: Span,
}

/// An operation as a client proposes it.
#[derive(Debug, Clone)]
pub enum Proposable {
    /// It has a client's id and no metadata, and is neither linked, imported nor scheduled.
    Transfer(Box<TransferOrder>),
    SetLimits(SetLimits),
    Reverse(TransferId),
    OpenImport(ImportId),
    SetRules(ApprovalRules),
}

/// End a proposal. To end it again in the same way changes nothing.
#[derive(Debug, Clone)]
pub struct EndProposal {
    /// Who asks.
    pub sender: Sender,
    pub proposal: ProposalId,
    pub end: ProposalEnd,
}

/// A proposal, and what became of it when the engine answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProposalReply {
    pub proposal: Proposal,
    pub status: ProposalStatus,
}

impl ProposalReply {
    fn of(proposal: &Proposal, at: Timestamp) -> Box<Self> {
        Box::new(Self { proposal: proposal.clone(), status: proposal.status_at(at) })
    }
}

/// An upper bound of the bytes that a fact of an approval takes in a frame, beyond those of a transfer.
fn extra_bytes(fact: &Fact) -> usize {
    /// A bound on reversals: a code, its length, a scale and an amount.
    const BOUND_BYTES: usize = 64;
    /// A run of accounts: two numbers.
    const RUN_BYTES: usize = 20;
    match fact {
        Fact::Approval(ApprovalFact::RulesSet(rules)) => rules.reversals_above.len().saturating_mul(BOUND_BYTES),
        Fact::Ledger(ledger::Fact::ImportNoted { progress, .. }) => progress.places.len().saturating_mul(RUN_BYTES),
        Fact::Ledger(_)
        | Fact::Approval(_)
        | Fact::JournalStarted { .. }
        | Fact::JournalContinued { .. }
        | Fact::PaymentDecided(_)
        | Fact::PaymentChanged(_)
        | Fact::LabelRecorded(_)
        | Fact::ArtifactStored(_)
        | Fact::PolicyActivated(_)
        | Fact::Identity(_)
        | Fact::Setting(_)
        | Fact::List(_)
        | Fact::EntityAttributes(_)
        | Fact::PersonalDataRead(_)
        | Fact::KeyUsed(_)
        | Fact::StateDigest(_) => 0,
    }
}

impl Engine {
    fn approval_rules_reply(&self) -> Box<ApprovalRulesReply> {
        let rules = self.approval_rules().clone();
        let mut builder = types::DigestBuilder::new("finaira 2026-11 version of approval rules");
        rules.digest_into(&mut builder);
        Box::new(ApprovalRulesReply { rules, version: head(&builder) })
    }
}

impl Decide for SetApprovalRules {
    fn decide(&self, engine: &Engine, _: Timestamp, _: RequestId) -> Result<Decided<Self::Reply>, Refusal> {
        let Self(rules) = self;
        let present = engine.approval_rules();
        if rules == present {
            return Ok(Decided::Before((Made::Before, engine.approval_rules_reply())));
        }
        if !rules.keep(present) {
            return Err(ApprovalRefusal::Required("demanding fewer approvals").into());
        }
        Ok(Decided::Now(Recording::of(Fact::Approval(ApprovalFact::RulesSet(rules.clone())))))
    }

    fn made(&self, engine: &mut Engine, _: &Entry) -> Answered<Self> {
        Ok((Made::Now, engine.approval_rules_reply()))
    }
}

impl Guarding for SetApprovalRules {
    fn view(&self, engine: &Engine, _: Timestamp) -> Option<Answered<Self>> {
        Some(Ok((Made::Before, engine.approval_rules_reply())))
    }

    fn version(&self, engine: &Engine, _: Timestamp) -> Result<Option<u64>, Refusal> {
        Ok(Some(engine.approval_rules_reply().version))
    }
}

impl Propose {
    /// The fact that makes the proposal, or the equal proposal that the same principal made before.
    fn judge<'e>(
        &self,
        engine: &'e Engine,
        at: Timestamp,
        request: &Request,
    ) -> Result<Decided<&'e Proposal, ProposalMade>, Refusal> {
        let approvals = &engine.state.approvals;
        let operation = self.operation.resolved(engine, at)?;
        if let Ok(known) = approvals.get(self.proposal) {
            let expires_at = known.made_at.saturating_add(self.lifetime);
            let asked = ProposalMade { proposal: self.proposal, operation, reason: self.reason.clone(), expires_at };
            if known.made != asked || known.made_by != request.actor {
                return Err(ApprovalRefusal::ExistsWithDifferentContent(self.proposal).into());
            }
            return Ok(Decided::Before(known));
        }
        approvals.check_room(at)?;
        Ok(Decided::Now(ProposalMade {
            proposal: self.proposal,
            operation,
            reason: self.reason.clone(),
            expires_at: at.saturating_add(self.lifetime),
        }))
    }
}

impl Proposable {
    /// The operation with every account and ledger named by its id. Whether it can be carried out is judged when it is
    /// approved.
    fn resolved(&self, engine: &Engine, at: Timestamp) -> Result<Proposed, Refusal> {
        let plan = engine.state.ledger.plan(at);
        Ok(match self {
            Self::Transfer(order) => Proposed::Transfer(Box::new(resolved(&plan, order)?)),
            Self::SetLimits(SetLimits { account, limits }) => {
                Proposed::SetLimits { account: named(&plan, account)?.id, limits: *limits }
            }
            Self::Reverse(transfer) => {
                plan.transfer(TransferKey::Client(*transfer)).ok_or(Refusal::TransferNotFound(*transfer))?;
                Proposed::Reverse(*transfer)
            }
            Self::OpenImport(import) => {
                engine.import_status(*import)?;
                Proposed::OpenImport(*import)
            }
            Self::SetRules(rules) => Proposed::SetRules(rules.clone()),
        })
    }
}

/// A transfer with its accounts and its ledger. A transfer that posts or voids another one gets the ledger of that one, so that
/// the asset of its amount is known.
fn resolved(plan: &Plan<'_>, order: &TransferOrder) -> Result<NewTransfer, Refusal> {
    let new = in_its_ledger(plan, order)?;
    let resolves = new.flags.intersects(TransferFlags::POST_PENDING_TRANSFER | TransferFlags::VOID_PENDING_TRANSFER);
    let of_parts = match new.pending.filter(|_| resolves) {
        Some(pending @ TransferKey::Client(id)) => plan.transfer(pending).ok_or(Refusal::TransferNotFound(id))?.ledger,
        Some(TransferKey::Leg { payment, .. }) => return Err(Refusal::PaymentNotFound(payment)),
        None => plan.account(new.debit).ok_or(Refusal::AccountNotFound(new.debit))?.ledger,
    };
    let ledger = if new.ledger == LedgerId::new(0) { of_parts } else { new.ledger };
    plan.book(ledger).ok_or(Refusal::LedgerNotFound(ledger))?;
    Ok(NewTransfer { ledger, ..new })
}

impl Execute for Propose {
    fn execute(&self, engine: &mut Engine, now: Timestamp, request: &Request, sink: &mut dyn Sink) -> Answered<Self> {
        let at = engine.next_instant(now);
        let made = match self.judge(engine, at, request)? {
            Decided::Before(known) => return Ok((Made::Before, ProposalReply::of(known, at))),
            Decided::Now(made) => made,
        };
        let fact = Fact::Approval(ApprovalFact::ProposalMade(Box::new(made)));
        engine.commit(now, request.actor, RequestId::new(self.proposal.get()), Recording::of(fact), sink);
        let reply = ProposalReply::of(engine.state.approvals.get(self.proposal)?, at);
        engine.journal_digest(now, sink);
        Ok((Made::Now, reply))
    }

    fn without_entry(&self, engine: &Engine, at: Timestamp, request: &Request) -> Option<Answered<Self>> {
        match self.judge(engine, at, request) {
            Ok(Decided::Before(known)) => Some(Ok((Made::Before, ProposalReply::of(known, at)))),
            Ok(Decided::Now(_)) => None,
            Err(refusal) => Some(Err(refusal)),
        }
    }
}

impl EndProposal {
    /// The facts of what is proposed, if this ends the proposal now.
    fn judge<'e>(
        &self,
        engine: &'e Engine,
        at: Timestamp,
        request: &Request,
    ) -> Result<Decided<&'e Proposal, Vec<Fact>>, Refusal> {
        // Whoever lost the credential approves nothing any more, also with a request that was sent before.
        engine.state.identities.scopes_of(self.sender, at)?;
        let known = engine.state.approvals.get(self.proposal)?;
        let proposer = known.made_by;
        let is_proposer = request.actor == proposer;
        match self.end {
            ProposalEnd::Approved | ProposalEnd::Rejected if is_proposer => {
                return Err(ApprovalRefusal::ByProposer { proposer }.into());
            }
            ProposalEnd::Withdrawn if !is_proposer => return Err(ApprovalRefusal::NotProposer { proposer }.into()),
            ProposalEnd::Approved | ProposalEnd::Rejected | ProposalEnd::Withdrawn => {}
        }
        match (known.status_at(at), known.ended) {
            (ProposalStatus::Open, _) => {}
            (_, Some((end, by, _))) if end == self.end && by == request.actor => return Ok(Decided::Before(known)),
            (status, _) => return Err(ApprovalRefusal::Ended { proposal: self.proposal, status }.into()),
        }
        match self.end {
            ProposalEnd::Approved => engine.carry_out(at, &known.made.operation).map(Decided::Now),
            ProposalEnd::Rejected | ProposalEnd::Withdrawn => Ok(Decided::Now(Vec::new())),
        }
    }
}

impl Engine {
    /// The facts of an operation that is approved at `at`. None if what it asks for is already so.
    fn carry_out(&self, at: Timestamp, operation: &Proposed) -> Result<Vec<Fact>, Refusal> {
        let mut plan = self.state.ledger.plan(at).approved();
        match operation {
            Proposed::Transfer(new) => {
                made(plan.create_transfer(new), Refusal::Transfer)?;
            }
            Proposed::SetLimits { account, limits } => set_limits(&mut plan, *account, *limits)?,
            Proposed::Reverse(transfer) => {
                ReverseTransfer(*transfer).reverse(&mut plan)?;
            }
            Proposed::OpenImport(import) => {
                let opened = self.state.ledger.plan_import_end(*import, ImportState::Opened)?;
                return Ok(opened.into_iter().map(Fact::Ledger).collect());
            }
            Proposed::SetRules(rules) if rules == self.approval_rules() => {}
            Proposed::SetRules(rules) => return Ok(vec![Fact::Approval(ApprovalFact::RulesSet(rules.clone()))]),
        }
        Ok(plan.into_facts().into_iter().map(Fact::Ledger).collect())
    }
}

fn set_limits(plan: &mut Plan<'_>, account: types::AccountId, limits: Limits) -> Result<(), Refusal> {
    made(plan.set_limits(account, limits), Refusal::Change).map(drop)
}

impl Execute for EndProposal {
    /// The end of the proposal and what it does are in one frame, so that a crash keeps both or none. The request of their
    /// entries is the proposal. A refusal of the operation leaves no entry, and the proposal stays open.
    fn execute(&self, engine: &mut Engine, now: Timestamp, request: &Request, sink: &mut dyn Sink) -> Answered<Self> {
        let at = engine.next_instant(now);
        let facts = match self.judge(engine, at, request)? {
            Decided::Before(known) => return Ok((Made::Before, ProposalReply::of(known, at))),
            Decided::Now(facts) => facts,
        };
        if !facts.is_empty() {
            sink.hold_together(facts.len().saturating_add(1), facts.iter().map(extra_bytes).sum());
        }
        let ended = ProposalEnded { proposal: self.proposal, end: self.end };
        // What it does comes first: the time of a transfer is that of its entry.
        for fact in facts.into_iter().chain([Fact::Approval(ApprovalFact::ProposalEnded(ended))]) {
            engine.commit(now, request.actor, RequestId::new(self.proposal.get()), Recording::of(fact), sink);
        }
        let reply = ProposalReply::of(engine.state.approvals.get(self.proposal)?, at);
        engine.journal_digest(now, sink);
        Ok((Made::Now, reply))
    }

    fn without_entry(&self, engine: &Engine, at: Timestamp, request: &Request) -> Option<Answered<Self>> {
        match self.judge(engine, at, request) {
            Ok(Decided::Before(known)) => Some(Ok((Made::Before, ProposalReply::of(known, at)))),
            Ok(Decided::Now(_)) => None,
            Err(refusal) => Some(Err(refusal)),
        }
    }
}

impl Look for query::ApprovalRules {
    fn look(&self, engine: &Engine, _: Timestamp) -> Answered<Self> {
        Ok(engine.approval_rules_reply())
    }
}

impl Look for query::Proposal {
    fn look(&self, engine: &Engine, at: Timestamp) -> Answered<Self> {
        Ok(ProposalReply::of(engine.state.approvals.get(self.0)?, at))
    }
}

impl Look for query::Proposals {
    fn look(&self, engine: &Engine, at: Timestamp) -> Answered<Self> {
        let limit = self.limit.min(PAGE_MAX);
        let after = engine.state.approvals.proposals.range(self.after.next()..);
        let is_asked_for = |proposal: &Proposal| self.status.is_none_or(|status| proposal.status_at(at) == status);
        let mut left = after.map(|(_, proposal)| proposal).filter(|proposal| is_asked_for(proposal));
        let items: Vec<ProposalReply> = left
            .by_ref()
            .take(limit)
            .map(|proposal| ProposalReply { proposal: proposal.clone(), status: proposal.status_at(at) })
            .collect();
        let next = items.last().map(|last| last.proposal.seq).filter(|_| left.next().is_some());
        Ok(Page { items, next })
    }
}
