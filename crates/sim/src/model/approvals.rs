//! Four eyes, by its rules: what needs an approval, who may give it, and what it does.

use std::collections::BTreeMap;

use engine::{
    AccountName, Answer, ApprovalFact, ApprovalRules, Command, Demand, EndProposal, Engine, Fact, Header, Proposable,
    ProposalEnd, ProposalEnded, ProposalMade, ProposalReply, ProposalStatus, Propose, Proposed, SetLimits,
};
use ledger::{Fact as Moved, ImportState, NewTransfer, TransferFlags as F, TransferKey};
use types::{ActorId, ImportId, LedgerId, ProposalId, RequestId, Timestamp};

use super::books::Books;
use super::ensure;
use super::orders::{Judge as _, judge_change, reversal};
use super::rules::{Books as _, Moment};
use super::turn::{Turn, says};

/// The rules, and all proposals.
#[derive(Debug, Default, Clone)]
pub(crate) struct Approvals {
    pub(crate) rules: ApprovalRules,
    proposals: BTreeMap<ProposalId, Known>,
}

#[derive(Debug, Clone)]
struct Known {
    made: ProposalMade,
    by: ActorId,
    at: Timestamp,
    ended: Option<(ProposalEnd, ActorId, Timestamp)>,
}

impl Known {
    fn status(&self, at: Timestamp) -> ProposalStatus {
        match self.ended {
            Some((ProposalEnd::Approved, ..)) => ProposalStatus::Approved,
            Some((ProposalEnd::Rejected, ..)) => ProposalStatus::Rejected,
            Some((ProposalEnd::Withdrawn, ..)) => ProposalStatus::Withdrawn,
            None if self.made.expires_at <= at => ProposalStatus::Expired,
            None => ProposalStatus::Open,
        }
    }
}

impl Approvals {
    /// Whether an approval of this proposal caused a request.
    pub(crate) fn knows(&self, request: RequestId) -> bool {
        self.proposals.contains_key(&ProposalId::new(request.get()))
    }

    /// Whether an open proposal would open this import.
    pub(crate) fn would_open(&self, id: ImportId, at: Timestamp) -> bool {
        let opens = |known: &&Known| matches!(known.made.operation, Proposed::OpenImport(import) if import == id);
        self.proposals.values().filter(opens).any(|known| known.status(at) == ProposalStatus::Open)
    }

    pub(crate) fn apply(&mut self, header: &Header, fact: &ApprovalFact) -> Result<(), String> {
        let seq = header.seq;
        match fact {
            ApprovalFact::RulesSet(rules) => {
                self.rules = rules.clone();
                Ok(())
            }
            ApprovalFact::ProposalMade(made) => {
                let known = Known { made: (**made).clone(), by: header.actor, at: header.decided_at, ended: None };
                let taken = self.proposals.insert(made.proposal, known);
                ensure(taken.is_none(), "SIM-2", || format!("entry {seq} makes a proposal again"))
            }
            ApprovalFact::ProposalEnded(ProposalEnded { proposal, end }) => {
                let known = self.proposals.get_mut(proposal).ok_or("SIM-2: a proposal ends that nobody made")?;
                let own = known.by == header.actor;
                ensure(own == (*end == ProposalEnd::Withdrawn), "SIM-2", || {
                    format!("entry {seq} ends a proposal of {} as {end:?} by {}", known.by, header.actor)
                })?;
                let before = known.ended.replace((*end, header.actor, header.decided_at));
                ensure(before.is_none(), "SIM-2", || format!("entry {seq} ends a proposal again"))
            }
        }
    }

    /// Whether a reply shows a proposal as it is.
    pub(crate) fn shows(&self, at: Timestamp, told: &ProposalReply) -> bool {
        let shown = &told.proposal;
        self.proposals.get(&shown.made.proposal).is_some_and(|known| {
            // What was ended by the request of this answer ended a moment before `at`.
            let status = known.ended.map_or_else(|| known.status(at), |_| known.status(Timestamp::ZERO));
            (&known.made, known.by, known.at, known.ended) == (&shown.made, shown.made_by, shown.made_at, shown.ended)
                && (status == told.status || told.status == ProposalStatus::Open && known.ended.is_none())
        })
    }

    pub(crate) fn is_known(&self, proposal: ProposalId) -> bool {
        self.proposals.contains_key(&proposal)
    }

    /// The number of proposals with this status.
    pub(crate) fn count(&self, status: Option<ProposalStatus>, at: Timestamp) -> usize {
        self.proposals.values().filter(|known| status.is_none_or(|status| known.status(at) == status)).count()
    }

    /// Checks that the engine knows the same rules and proposals.
    pub(crate) fn compare(&self, engine: &Engine) -> Result<(), String> {
        ensure(self.rules == *engine.approval_rules(), "SIM-5", || "the engine has other approval rules".to_owned())?;
        let known = |told: &engine::Proposal| {
            self.proposals.get(&told.made.proposal).is_some_and(|known| {
                (&known.made, known.by, known.at, known.ended) == (&told.made, told.made_by, told.made_at, told.ended)
            })
        };
        let same = engine.proposals().count() == self.proposals.len() && engine.proposals().all(known);
        ensure(same, "SIM-5", || "the engine has other proposals".to_owned())
    }
}

/// Whether everything that needs an approval by `before` also does by `now`.
fn keeps(now: &ApprovalRules, before: &ApprovalRules) -> bool {
    let stays = |now: Demand, before: Demand| before == Demand::Direct || now == Demand::Approval;
    let bounds = |asset| (now.reversals_above.get(asset), before.reversals_above.get(asset));
    let stands = |asset| matches!(bounds(asset), (Some(now), Some(before)) if now <= before);
    stays(now.limits, before.limits) && stays(now.imports, before.imports) && before.reversals_above.keys().all(stands)
}

/// The operation with ids instead of names, or why nothing can be proposed so.
fn resolved(books: &Books, operation: &Proposable) -> Result<Proposed, &'static str> {
    Ok(match operation {
        Proposable::Transfer(order) => {
            let mut new = order.new;
            for (address, id) in [(&order.debit, &mut new.debit), (&order.credit, &mut new.credit)] {
                if let Some(address) = address {
                    *id = books.at_address(address.as_str()).ok_or("address_not_found")?;
                }
            }
            let resolves = new.flags.intersects(F::POST_PENDING_TRANSFER | F::VOID_PENDING_TRANSFER);
            let pending = new.pending.filter(|_| resolves);
            let of_parts = match pending {
                Some(pending) => books.transfers.get(&pending).map(|made| made.transfer.ledger),
                None => books.account(new.debit).map(|account| account.ledger),
            };
            let given = Some(new.ledger).filter(|ledger| *ledger != LedgerId::new(0));
            let book = given.or(of_parts).and_then(|ledger| books.books.get(&ledger));
            if let (Some(asset), Some(book)) = (order.asset, book)
                && asset != book.asset
            {
                return Err("asset_mismatch");
            }
            let of_parts =
                of_parts.ok_or(if pending.is_some() { "transfer_not_found" } else { "account_not_found" })?;
            let ledger = given.unwrap_or(of_parts);
            if !books.books.contains_key(&ledger) {
                return Err("ledger_not_found");
            }
            Proposed::Transfer(Box::new(NewTransfer { ledger, ..new }))
        }
        Proposable::SetLimits(SetLimits { account, limits }) => {
            let account = match account {
                AccountName::Id(id) => books.account(*id).map(|account| account.id).ok_or("account_not_found")?,
                AccountName::Address(address) => books.at_address(address.as_str()).ok_or("address_not_found")?,
            };
            Proposed::SetLimits { account, limits: *limits }
        }
        Proposable::Reverse(id) if books.transfers.contains_key(&TransferKey::Client(*id)) => Proposed::Reverse(*id),
        Proposable::Reverse(_) => return Err("transfer_not_found"),
        Proposable::OpenImport(id) if books.import_of(*id).is_some() => Proposed::OpenImport(*id),
        Proposable::OpenImport(_) => return Err("import_not_found"),
        Proposable::SetRules(rules) => Proposed::SetRules(rules.clone()),
    })
}

impl Turn<'_, '_> {
    pub(super) fn set_rules(&mut self, rules: &ApprovalRules, answer: &Answer) -> Result<(), String> {
        let present = &self.model.approvals.rules;
        if rules == present {
            return says(answer, "before");
        }
        if !keeps(rules, present) {
            return says(answer, "approval_required");
        }
        says(answer, "now")?;
        self.expect(self.request().id, &Fact::Approval(ApprovalFact::RulesSet(rules.clone())))
    }

    pub(super) fn propose(&mut self, asked: &Propose, answer: &Answer) -> Result<(), String> {
        let Propose { proposal, operation, reason, lifetime } = asked;
        let operation = match resolved(&self.model.books, operation) {
            Ok(operation) => operation,
            Err(code) => return says(answer, code),
        };
        let at = self.model.approvals.proposals.get(proposal).map_or_else(|| self.next_at(), |known| known.at);
        let expires_at = at.saturating_add(*lifetime);
        let made = ProposalMade { proposal: *proposal, operation, reason: reason.clone(), expires_at };
        if let Some(known) = self.model.approvals.proposals.get(proposal) {
            let is_same = known.made == made && known.by == self.request().actor;
            return says(answer, if is_same { "before" } else { "proposal_exists_with_different_content" });
        }
        says(answer, "now")?;
        self.expect(RequestId::new(proposal.get()), &Fact::Approval(ApprovalFact::ProposalMade(Box::new(made))))
    }

    pub(super) fn end_proposal(&mut self, asked: &EndProposal, answer: &Answer) -> Result<(), String> {
        let EndProposal { sender, proposal, end } = *asked;
        if let Err(code) = self.model.identities.active(sender, self.next_at()) {
            return says(answer, code);
        }
        let Some(known) = self.model.approvals.proposals.get(&proposal).cloned() else {
            return says(answer, "proposal_not_found");
        };
        let own = known.by == self.request().actor;
        match end {
            ProposalEnd::Withdrawn if !own => return says(answer, "not_the_proposer"),
            ProposalEnd::Approved | ProposalEnd::Rejected if own => return says(answer, "approval_by_proposer"),
            ProposalEnd::Approved | ProposalEnd::Rejected | ProposalEnd::Withdrawn => {}
        }
        if known.status(self.next_at()) != ProposalStatus::Open {
            let again = known.ended.is_some_and(|(how, by, _)| (how, by) == (end, self.request().actor));
            return says(answer, if again { "before" } else { "proposal_ended" });
        }
        let request = RequestId::new(proposal.get());
        if end == ProposalEnd::Approved {
            if let Proposed::OpenImport(id) = known.made.operation {
                if self.model.books.import_of(id).is_some_and(|import| import.state == ImportState::Discarded) {
                    return says(answer, "import_ended");
                }
                if self.model.books.import_of(id).is_some_and(|import| import.state == ImportState::Staged) {
                    self.opens(id, request)?;
                }
            }
            let (word, facts) = self.approved(&known.made.operation);
            if word != "now" && word != "before" {
                return says(answer, word);
            }
            for fact in facts {
                self.expect(request, &fact)?;
            }
        }
        says(answer, "now")?;
        self.expect(request, &Fact::Approval(ApprovalFact::ProposalEnded(ProposalEnded { proposal, end })))
    }

    /// The outcome of an operation that is approved, and its facts. Imports are checked elsewhere.
    fn approved(&self, operation: &Proposed) -> (&'static str, Vec<Fact>) {
        let (books, at) = (&self.model.books, self.next_at());
        let of_ledger = |(word, facts): (&'static str, Vec<Moved>)| {
            let made = if word == "now" { facts } else { Vec::new() };
            (word, made.into_iter().map(Fact::Ledger).collect())
        };
        match operation {
            Proposed::Transfer(new) => {
                let moment = Moment { now: at.ns(), is_import: false, last: at.ns(), is_approved: true };
                if new.flags.contains(F::LINKED) {
                    return ("linked_event_chain_open", Vec::new());
                }
                of_ledger(new.judge(books, moment))
            }
            Proposed::SetLimits { account, limits } => {
                let change = SetLimits { account: AccountName::Id(*account), limits: *limits };
                let (word, fact) = judge_change(books, &Command::SetLimits(change), &|_| false);
                of_ledger((word, fact.into_iter().collect()))
            }
            Proposed::Reverse(id) => of_ledger(reversal(books, *id, at, true)),
            Proposed::OpenImport(_) => ("now", Vec::new()),
            Proposed::SetRules(rules) if *rules == self.model.approvals.rules => ("before", Vec::new()),
            Proposed::SetRules(rules) => ("now", vec![Fact::Approval(ApprovalFact::RulesSet(rules.clone()))]),
        }
    }

    /// The outcome of a direct request to change limits that would be set otherwise.
    pub(super) fn limits_need_approval(&self, asked: &SetLimits) -> bool {
        let books = &self.model.books;
        let account = match &asked.account {
            AccountName::Id(id) => books.account(*id).map(|account| account.id),
            AccountName::Address(address) => books.at_address(address.as_str()),
        };
        let changes = account.is_some_and(|account| books.bounds(account) != asked.limits);
        changes && self.model.approvals.rules.limits == Demand::Approval
    }

    /// The outcome of a direct request to reverse a transfer, from what the ledger says.
    pub(super) fn direct_reversal(&self, (word, facts): (&'static str, Vec<Moved>)) -> (&'static str, Vec<Moved>) {
        let is_above = |fact: &Moved| match fact {
            Moved::TransferCreated(transfer) => {
                let asset = self.model.books.books.get(&transfer.ledger).map(|book| book.asset);
                let bound = asset.and_then(|asset| self.model.approvals.rules.reversals_above.get(&asset));
                bound.is_some_and(|bound| transfer.amount > *bound)
            }
            _ => false,
        };
        if word == "now" && facts.iter().any(is_above) { ("approval_required", Vec::new()) } else { (word, facts) }
    }
}
