//! Four eyes: which operations need the approval of a second principal, and the proposals that wait for it.
//!
//! One principal proposes an operation, and another one carries it out by approving it. Both are facts. What an approval
//! does is judged when it is given, like a direct request.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use ledger::{Limits, NewTransfer, TransferKey};
use types::{
    AccountId, ActorId, Amount, Asset, DigestBuilder, ImportId, LedgerId, ProposalId, Seq, Span, Timestamp, TransferId,
};

use crate::entry::Header;

/// The most proposals of a tenant that are open at a time.
pub const PROPOSALS_OPEN_MAX: usize = 10_000;
/// The most proposals that the state keeps after they were ended or have expired. Older ones are found in the events.
pub const PROPOSALS_ENDED_MAX: usize = 10_000;
/// The longest time for which a proposal is open.
pub const PROPOSAL_LIFETIME_MAX: Span = Span::from_secs(30 * 24 * 3_600);
/// The most assets with a bound on reversals.
pub const REVERSAL_BOUNDS_MAX: usize = 256;
/// The longest reason of a proposal, in bytes.
pub const REASON_BYTES_MAX: usize = 512;

/// A fact about four eyes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ApprovalFact {
    /// The rules were set; they replace earlier ones.
    RulesSet(ApprovalRules),
    /// A principal proposed an operation.
    ProposalMade(Box<ProposalMade>),
    /// A proposal ended. If it was approved, the entries around it hold what it did.
    ProposalEnded(ProposalEnded),
}

/// Whether an operation takes effect when one principal sends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Demand {
    /// It takes effect at once.
    #[default]
    Direct,
    /// It must be proposed, and approved by another principal.
    Approval,
}

impl Demand {
    /// All demands, in the order of their numbers, which is also that of their strength.
    pub const ALL: [Self; 2] = [Self::Direct, Self::Approval];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Approval => "approval",
        }
    }

    /// Refuses a direct request for `what` if this demands an approval.
    pub(crate) const fn check(self, what: &'static str) -> Result<(), ApprovalRefusal> {
        match self {
            Self::Direct => Ok(()),
            Self::Approval => Err(ApprovalRefusal::Required(what)),
        }
    }
}

/// Which operations of a tenant need an approval. By default none does.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ApprovalRules {
    /// Setting limits on the balance of an account.
    pub limits: Demand,
    /// Opening an import, whose rows may move money on accounts with the flag `policy_only`.
    pub imports: Demand,
    /// The most that one reversal moves without an approval, by asset. Reversals in other assets need none.
    pub reversals_above: BTreeMap<Asset, Amount>,
}

impl ApprovalRules {
    /// Whether every operation that needs an approval under the rules `before` also needs one under these.
    pub(crate) fn keep(&self, before: &Self) -> bool {
        let is_kept =
            |(asset, bound): (&Asset, &Amount)| self.reversals_above.get(asset).is_some_and(|now| now <= bound);
        self.limits >= before.limits && self.imports >= before.imports && before.reversals_above.iter().all(is_kept)
    }

    pub(crate) fn digest_into(&self, builder: &mut DigestBuilder) {
        let Self { limits, imports, reversals_above } = self;
        builder.bytes(limits.name().as_bytes()).bytes(imports.name().as_bytes()).u64(reversals_above.len() as u64);
        for (asset, bound) in reversals_above {
            builder.bytes(asset.to_string().as_bytes()).u128(bound.get());
        }
    }
}

/// A principal proposed an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProposalMade {
    pub proposal: ProposalId,
    pub operation: Proposed,
    /// Why, for people to read. It is not encrypted, so it must not contain personal data.
    pub reason: Box<str>,
    /// From when on it can no longer be approved. No entry is made then: the fact and the time say so.
    pub expires_at: Timestamp,
}

/// An operation as the entry holds it: every account and ledger is named by its id, so that what is approved is what was
/// proposed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proposed {
    /// A transfer with a client's id, also on accounts with the flag `policy_only`. It is neither imported nor scheduled.
    Transfer(Box<NewTransfer>),
    SetLimits {
        account: AccountId,
        limits: Limits,
    },
    /// Reverse this transfer.
    Reverse(TransferId),
    OpenImport(ImportId),
    SetRules(ApprovalRules),
}

impl Proposed {
    /// The name in the API.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Transfer(_) => "transfer",
            Self::SetLimits { .. } => "set_limits",
            Self::Reverse(_) => "reverse",
            Self::OpenImport(_) => "open_import",
            Self::SetRules(_) => "approval_rules",
        }
    }

    /// The ledger whose asset its amounts are in, if it names one.
    pub fn ledger(&self) -> Option<LedgerId> {
        match self {
            Self::Transfer(new) => Some(new.ledger),
            Self::SetLimits { .. } | Self::Reverse(_) | Self::OpenImport(_) | Self::SetRules(_) => None,
        }
    }

    fn digest_into(&self, builder: &mut DigestBuilder) {
        builder.bytes(self.name().as_bytes());
        match self {
            Self::Transfer(new) => {
                let id = |key| match key {
                    TransferKey::Client(id) => id.get(),
                    TransferKey::Leg { payment, .. } => payment.get(),
                };
                builder.u128(id(new.key)).u128(new.debit.get()).u128(new.credit.get()).u128(new.amount.get());
                builder.u128(new.pending.map_or(0, id)).u128(new.user_data_128).u64(new.user_data_64);
                builder.u64(u64::from(new.user_data_32)).u64(u64::from(new.timeout_s));
                builder.u64(u64::from(new.ledger.get())).u64(u64::from(new.code.get()));
                builder.u64(u64::from(new.flags.bits()));
            }
            Self::SetLimits { account, limits: Limits { min_balance, max_balance } } => {
                builder.u128(account.get());
                for bound in [min_balance, max_balance] {
                    builder.u64(u64::from(bound.is_some())).i128(bound.unwrap_or_default());
                }
            }
            Self::Reverse(transfer) => {
                builder.u128(transfer.get());
            }
            Self::OpenImport(import) => {
                builder.u128(import.get());
            }
            Self::SetRules(rules) => rules.digest_into(builder),
        }
    }
}

/// A proposal ended. The actor of the entry ended it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProposalEnded {
    pub proposal: ProposalId,
    pub end: ProposalEnd,
}

/// How a principal ends a proposal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProposalEnd {
    /// Another principal than the proposer carries it out.
    Approved,
    /// Another principal than the proposer refuses it.
    Rejected,
    /// The proposer takes it back.
    Withdrawn,
}

impl ProposalEnd {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 3] = [Self::Approved, Self::Rejected, Self::Withdrawn];

    /// The status of a proposal that ended so.
    pub const fn status(self) -> ProposalStatus {
        match self {
            Self::Approved => ProposalStatus::Approved,
            Self::Rejected => ProposalStatus::Rejected,
            Self::Withdrawn => ProposalStatus::Withdrawn,
        }
    }
}

/// What became of a proposal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProposalStatus {
    /// It waits for an approval.
    Open,
    Approved,
    Rejected,
    Withdrawn,
    /// Nobody ended it in time.
    Expired,
}

impl ProposalStatus {
    pub const ALL: [Self; 5] = [Self::Open, Self::Approved, Self::Rejected, Self::Withdrawn, Self::Expired];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Approved => "approved",
            Self::Rejected => "rejected",
            Self::Withdrawn => "withdrawn",
            Self::Expired => "expired",
        }
    }
}

/// Why a request about four eyes, or one that needs them, was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ApprovalRefusal {
    /// A rule demands an approval. It holds what the request would do.
    #[error("{0} needs the approval of another principal: propose it with POST /v1/proposals")]
    Required(&'static str),
    #[error("proposal {0} not found")]
    NotFound(ProposalId),
    #[error("proposal {0} exists with different content, or another principal made it")]
    ExistsWithDifferentContent(ProposalId),
    #[error(
        "principal {proposer} made this proposal, so another principal must approve or reject it; the proposer can withdraw it"
    )]
    ByProposer { proposer: ActorId },
    #[error("principal {proposer} made this proposal, and only that principal can withdraw it")]
    NotProposer { proposer: ActorId },
    #[error("proposal {proposal} is {}, not open", status.name())]
    Ended { proposal: ProposalId, status: ProposalStatus },
    #[error("{0} proposals are open, which is the limit; end some of them first")]
    TooManyOpen(usize),
    /// What is approved is what was proposed.
    #[error("a proposal to open import {0} is open, so it takes no further rows; withdraw the proposal first")]
    ImportProposed(ImportId),
}

/// A proposal as the state keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    pub made: ProposalMade,
    /// The entry that holds it.
    pub seq: Seq,
    pub made_by: ActorId,
    pub made_at: Timestamp,
    /// How it ended, by whom and when; `None` if nobody ended it.
    pub ended: Option<(ProposalEnd, ActorId, Timestamp)>,
}

impl Proposal {
    pub fn status_at(&self, at: Timestamp) -> ProposalStatus {
        match self.ended {
            Some((end, ..)) => end.status(),
            None if self.made.expires_at <= at => ProposalStatus::Expired,
            None => ProposalStatus::Open,
        }
    }
}

/// The rules, and all proposals that the state keeps: the fold of the facts about them.
#[derive(Debug, Default)]
pub(crate) struct Approvals {
    pub(crate) rules: ApprovalRules,
    /// In the order in which they were made.
    pub(crate) proposals: BTreeMap<Seq, Proposal>,
    by_id: BTreeMap<ProposalId, Seq>,
    /// Those that nobody ended, by their expiry. Those that have expired stay here until the next fact about a proposal.
    open: BTreeSet<(Timestamp, Seq)>,
    /// The imports that those would open.
    imports: BTreeSet<(ImportId, Timestamp, Seq)>,
    /// Those that ended, the earliest first.
    ended: VecDeque<Seq>,
}

impl Approvals {
    pub(crate) fn get(&self, proposal: ProposalId) -> Result<&Proposal, ApprovalRefusal> {
        let found = self.by_id.get(&proposal).and_then(|seq| self.proposals.get(seq));
        found.ok_or(ApprovalRefusal::NotFound(proposal))
    }

    /// Checks that one more proposal may be open at `at`.
    pub(crate) fn check_room(&self, at: Timestamp) -> Result<(), ApprovalRefusal> {
        let is_full = self.open.len() >= PROPOSALS_OPEN_MAX && self.open.first().is_none_or(|(expiry, _)| *expiry > at);
        if is_full { Err(ApprovalRefusal::TooManyOpen(PROPOSALS_OPEN_MAX)) } else { Ok(()) }
    }

    /// Checks that no proposal to open this import is open at `at`.
    pub(crate) fn check_rows(&self, import: ImportId, at: Timestamp) -> Result<(), ApprovalRefusal> {
        let newest = (import, Timestamp::MAX, Seq::new(u64::MAX));
        match self.imports.range(..=newest).next_back() {
            Some((proposed, expiry, _)) if *proposed == import && *expiry > at => {
                Err(ApprovalRefusal::ImportProposed(import))
            }
            Some(_) | None => Ok(()),
        }
    }

    pub(crate) fn apply(&mut self, header: &Header, fact: &ApprovalFact) {
        match fact {
            ApprovalFact::RulesSet(rules) => self.rules = rules.clone(),
            ApprovalFact::ProposalMade(made) => {
                self.let_expire(header.decided_at);
                self.open.insert((made.expires_at, header.seq));
                if let Proposed::OpenImport(import) = made.operation {
                    self.imports.insert((import, made.expires_at, header.seq));
                }
                let earlier = self.by_id.insert(made.proposal, header.seq);
                assert!(earlier.is_none(), "ENG-40: a proposal that the engine remembers is made once");
                let (made_by, made_at) = (header.actor, header.decided_at);
                let proposal = Proposal { made: (**made).clone(), seq: header.seq, made_by, made_at, ended: None };
                self.proposals.insert(header.seq, proposal);
            }
            ApprovalFact::ProposalEnded(ProposalEnded { proposal, end }) => {
                let found = self.by_id.get(proposal).and_then(|seq| self.proposals.get_mut(seq));
                let known = found.expect("ENG-41: only a proposal that is open ends");
                let was_open = self.open.remove(&(known.made.expires_at, known.seq));
                assert!(was_open, "ENG-41: only a proposal that is open ends");
                known.ended = Some((*end, header.actor, header.decided_at));
                let seq = known.seq;
                if let Proposed::OpenImport(import) = known.made.operation {
                    self.imports.remove(&(import, known.made.expires_at, seq));
                }
                // It was open when the first entry of its approval was decided, a few nanoseconds before this one.
                self.let_expire(header.decided_at);
                self.note_end(seq);
            }
        }
    }

    /// Counts those that have expired at `at` as ended.
    fn let_expire(&mut self, at: Timestamp) {
        while let Some((expiry, seq)) = self.open.first().copied()
            && expiry <= at
        {
            self.open.pop_first();
            if let Some(Proposed::OpenImport(import)) = self.proposals.get(&seq).map(|known| &known.made.operation) {
                self.imports.remove(&(*import, expiry, seq));
            }
            self.note_end(seq);
        }
    }

    /// Forgets the proposals that ended first, beyond the bound.
    fn note_end(&mut self, seq: Seq) {
        self.ended.push_back(seq);
        while self.ended.len() > PROPOSALS_ENDED_MAX {
            let Some(forgotten) = self.ended.pop_front().and_then(|seq| self.proposals.remove(&seq)) else { return };
            self.by_id.remove(&forgotten.made.proposal);
        }
    }
}

impl ApprovalFact {
    /// Adds the new state to a digest.
    pub(crate) fn digest_into(&self, header: &Header, builder: &mut DigestBuilder) {
        builder.u64(header.actor.get());
        match self {
            Self::RulesSet(rules) => rules.digest_into(builder),
            Self::ProposalMade(made) => {
                let ProposalMade { proposal, operation, reason, expires_at } = &**made;
                builder.u128(proposal.get()).bytes(reason.as_bytes()).u64(expires_at.ns());
                operation.digest_into(builder);
            }
            Self::ProposalEnded(ProposalEnded { proposal, end }) => {
                builder.u128(proposal.get()).bytes(end.status().name().as_bytes());
            }
        }
    }
}
