//! Four eyes: what needs an approval, who may give it, and what it does.

use engine::{
    AccountName, AccountOrder, Answered, Applied, ApprovalFact, ApprovalRefusal, ApprovalRules, CreateTransfer,
    CredentialAdded, CredentialKind, CredentialStatus, Demand, EndProposal, Engine, Entry, Fact, IdentityRefusal,
    ImportCommand, Made, OpenAccount, OpenLedger, Operation, PROPOSALS_ENDED_MAX, PROPOSALS_OPEN_MAX, PrincipalAdded,
    PrincipalKind, Proposable, ProposalEnd, ProposalReply, ProposalStatus, Propose, Refusal, Request, ReverseTransfer,
    RevokeCredential, Sender, SetApprovalRules, SetLimits, Sink, query, reversal_id,
};
use ledger::{
    AccountFlags, Address, ImportRefusal, Limits, NewAccount, NewTransfer, TransferFlags, TransferKey, TransferStatus,
};
use types::{
    AccountId, ActorId, Amount, Asset, Code, CredentialId, Digest, ImportId, LedgerId, Origin, ProposalId, RequestId,
    ShardId, Span, TenantId, Timestamp, TransferId,
};

const START: Timestamp = Timestamp::from_ns(1_767_225_600_000_000_000);
pub(crate) const PROPOSER: u64 = 1;
const APPROVER: u64 = 2;
/// Accounts 1 and 3 are ordinary ones; only payments move money on accounts 2 and 4.
pub(crate) const POLICY_ONLY: [u128; 2] = [2, 4];

/// All entries, and where the engine asked for some to stay together: the number of entries before, and how many.
#[derive(Default)]
pub(crate) struct Log {
    entries: Vec<Entry>,
    held: Vec<(usize, usize)>,
}

impl Sink for Log {
    fn take(&mut self, applied: Applied<'_>) {
        self.entries.push(applied.entry.clone());
    }

    fn hold_together(&mut self, count: usize, _: usize) {
        self.held.push((self.entries.len(), count));
    }
}

pub(crate) struct World {
    pub(crate) engine: Engine,
    pub(crate) log: Log,
    pub(crate) now: Timestamp,
}

impl World {
    fn new() -> Self {
        let engine = Engine::new(ShardId::new(0), TenantId::new(1));
        let mut world = Self { engine, log: Log::default(), now: START };
        world.engine.start(START, Origin::new(7), &mut world.log);
        world.ask(PROPOSER, OpenLedger { id: LedgerId::new(1), asset: euro() }).expect("a ledger");
        for id in 1..=4 {
            let flags = if POLICY_ONLY.contains(&id) { AccountFlags::POLICY_ONLY } else { AccountFlags::NONE };
            world.ask(PROPOSER, OpenAccount(Box::new(account(id, flags).into()))).expect("an account");
        }
        world
    }

    /// With these rules.
    pub(crate) fn under(rules: ApprovalRules) -> Self {
        let mut world = Self::new();
        assert_eq!(world.set_rules(PROPOSER, rules), Ok(Made::Now));
        world
    }

    pub(crate) fn ask<O: Operation>(&mut self, actor: u64, operation: O) -> Answered<O> {
        let (tenant, command) = (TenantId::new(1), operation.into());
        let request = Request { tenant, actor: ActorId::new(actor), id: RequestId::default(), command };
        O::answer(self.engine.execute(self.now, &request, &mut self.log))
    }

    pub(crate) fn set_rules(&mut self, actor: u64, rules: ApprovalRules) -> Result<Made, Refusal> {
        self.ask(actor, SetApprovalRules(rules)).map(|(made, _)| made)
    }

    pub(crate) fn propose(&mut self, actor: u64, id: u128, operation: Proposable) -> Result<Made, Refusal> {
        self.ask(actor, proposal(id, operation)).map(|(made, _)| made)
    }

    pub(crate) fn end(&mut self, actor: u64, id: u128, end: ProposalEnd) -> Result<Made, Refusal> {
        self.end_with(Sender::Token { scopes: u32::MAX }, actor, id, end)
    }

    fn end_with(&mut self, sender: Sender, actor: u64, id: u128, end: ProposalEnd) -> Result<Made, Refusal> {
        self.ask(actor, EndProposal { sender, proposal: ProposalId::new(id), end }).map(|(made, _)| made)
    }

    /// Adds an API key of the approver.
    fn key(&mut self, number: u64, expires_at: Option<Timestamp>) -> CredentialId {
        let (credential, actor) = (CredentialId::new(number), ActorId::new(APPROVER));
        let principal = PrincipalAdded { actor, kind: PrincipalKind::Person, name: "rita".into(), subject: None };
        self.ask(0, principal).expect("a principal");
        let kind = CredentialKind::ApiKey { hash: Digest::of(&number.to_le_bytes()) };
        let (principal, scopes, name) = (actor, u32::MAX, "key".into());
        self.ask(0, CredentialAdded { credential, principal, kind, scopes, name, expires_at }).expect("a key");
        credential
    }

    fn approve(&mut self, actor: u64, id: u128) -> Result<Made, Refusal> {
        self.end(actor, id, ProposalEnd::Approved)
    }

    /// Proposes an operation, and another principal approves it.
    pub(crate) fn carry_out(&mut self, id: u128, operation: Proposable) {
        assert_eq!(self.propose(PROPOSER, id, operation), Ok(Made::Now));
        assert_eq!(self.approve(APPROVER, id), Ok(Made::Now));
    }

    pub(crate) fn transfer(&mut self, new: NewTransfer) -> Result<Made, Refusal> {
        self.ask(PROPOSER, CreateTransfer(Box::new(new.into()))).map(|(made, _)| made)
    }

    pub(crate) fn set_limits(&mut self, account: u128, floor: i128) -> Result<Made, Refusal> {
        self.ask(PROPOSER, limits(account, floor)).map(|(made, _)| made)
    }

    fn shown(&mut self, id: u128) -> ProposalReply {
        *self.ask(PROPOSER, query::Proposal(ProposalId::new(id))).expect("a proposal")
    }

    pub(crate) fn account(&mut self, id: u128) -> engine::AccountReply {
        *self.ask(PROPOSER, query::Account(AccountName::Id(AccountId::new(id)))).expect("an account")
    }

    fn listed(&mut self, status: Option<ProposalStatus>) -> Vec<u128> {
        let all = query::Proposals { status, after: types::Seq::ZERO, limit: 1_000 };
        let page = self.ask(PROPOSER, all).expect("a page");
        page.items.iter().map(|reply| reply.proposal.made.proposal.get()).collect()
    }

    /// Whether a replay of the entries gives the same state.
    pub(crate) fn replays(&mut self) {
        let mut replayed = Engine::new(ShardId::new(0), TenantId::new(1));
        for entry in &self.log.entries {
            replayed.apply(entry);
        }
        assert_eq!(replayed.digest(), self.engine.digest());
        let mut other = World { engine: replayed, log: Log::default(), now: self.now };
        assert_eq!(other.listed(None), self.listed(None));
        for id in self.listed(None) {
            assert_eq!(other.shown(id), self.shown(id));
        }
        let rules = self.ask(PROPOSER, query::ApprovalRules).expect("rules");
        assert_eq!(other.ask(PROPOSER, query::ApprovalRules).expect("rules"), rules);
    }
}

pub(crate) fn euro() -> Asset {
    Asset::new("EUR", 2).expect("an asset")
}

pub(crate) fn account(id: u128, flags: AccountFlags) -> NewAccount {
    let (id, ledger, code) = (AccountId::new(id), LedgerId::new(1), Code::new(1));
    NewAccount { id, ledger, code, flags, ..NewAccount::default() }
}

pub(crate) fn transfer(id: u128, debit: u128, credit: u128, amount: u128) -> NewTransfer {
    NewTransfer {
        debit: AccountId::new(debit),
        credit: AccountId::new(credit),
        amount: Amount::new(amount),
        ledger: LedgerId::new(1),
        code: Code::new(1),
        ..NewTransfer::named(TransferKey::Client(TransferId::new(id)))
    }
}

pub(crate) fn resolution(id: u128, pending: u128, flags: TransferFlags) -> NewTransfer {
    let pending = Some(TransferKey::Client(TransferId::new(pending)));
    let amount = if flags == TransferFlags::POST_PENDING_TRANSFER { Amount::MAX } else { Amount::ZERO };
    NewTransfer { pending, flags, amount, ..NewTransfer::named(TransferKey::Client(TransferId::new(id))) }
}

pub(crate) fn proposed(new: NewTransfer) -> Proposable {
    Proposable::Transfer(Box::new(new.into()))
}

pub(crate) fn limits(account: u128, floor: i128) -> SetLimits {
    let limits = Limits { min_balance: Some(floor), max_balance: None };
    SetLimits { account: AccountName::Id(AccountId::new(account)), limits }
}

fn proposal(id: u128, operation: Proposable) -> Propose {
    let (proposal, lifetime) = (ProposalId::new(id), Span::from_secs(60));
    Propose { proposal, operation, reason: "ticket 4711".into(), lifetime }
}

/// Everything needs an approval, and reversals of more than 100 do.
pub(crate) fn strict() -> ApprovalRules {
    ApprovalRules {
        limits: Demand::Approval,
        imports: Demand::Approval,
        reversals_above: [(euro(), Amount::new(100))].into(),
    }
}

fn policy_only<T>(account: u128) -> Result<T, Refusal> {
    let detail = ledger::Detail::Account(AccountId::new(account));
    Err(Refusal::Transfer(ledger::StatusRefusal { status: TransferStatus::AccountIsPolicyOnly, detail }))
}

fn needs_approval<T>(what: &'static str) -> Result<T, Refusal> {
    Err(ApprovalRefusal::Required(what).into())
}

fn by_proposer<T>() -> Result<T, Refusal> {
    Err(ApprovalRefusal::ByProposer { proposer: ActorId::new(PROPOSER) }.into())
}

fn ended<T>(id: u128, status: ProposalStatus) -> Result<T, Refusal> {
    Err(ApprovalRefusal::Ended { proposal: ProposalId::new(id), status }.into())
}

/// An approval waits in the queue behind the revocation of its key, so the transport has accepted it.
#[test]
fn an_approval_with_a_key_that_ended_before_it_does_nothing() {
    let mut world = World::new();
    let expiry = world.now.saturating_add(Span::from_secs(10));
    let (key, expiring, other) = (world.key(1, None), world.key(2, Some(expiry)), world.key(3, None));
    for id in [10, 11] {
        assert_eq!(world.propose(PROPOSER, id, proposed(transfer(id, 1, 2, 50))), Ok(Made::Now));
    }
    let revoke = RevokeCredential { sender: other.into(), credential: key };
    world.ask(APPROVER, revoke).expect("the key is revoked");
    world.now = expiry;
    let entries = world.log.entries.len();
    for (sender, status) in [(key, CredentialStatus::Revoked), (expiring, CredentialStatus::Expired)] {
        for end in [ProposalEnd::Approved, ProposalEnd::Rejected, ProposalEnd::Withdrawn] {
            let refused = Err(IdentityRefusal::SenderEnded { sender, status }.into());
            assert_eq!(world.end_with(sender.into(), APPROVER, 10, end), refused);
        }
    }
    let unknown = CredentialId::new(9);
    let refused = Err(IdentityRefusal::CredentialNotFound(unknown).into());
    assert_eq!(world.end_with(unknown.into(), APPROVER, 10, ProposalEnd::Approved), refused);
    assert_eq!(world.log.entries.len(), entries, "refusals leave no entry");
    assert_eq!(world.shown(10).status, ProposalStatus::Open);
    assert_eq!(world.end_with(other.into(), APPROVER, 10, ProposalEnd::Approved), Ok(Made::Now));
    assert_eq!(world.end_with(other.into(), APPROVER, 11, ProposalEnd::Rejected), Ok(Made::Now));
    world.replays();
}

#[test]
fn another_principal_carries_out_a_transfer_that_nobody_makes_alone() {
    let mut world = World::new();
    let pay = transfer(10, 1, 2, 50);
    assert_eq!(world.transfer(pay), policy_only(2));
    assert_eq!(world.propose(PROPOSER, 7, proposed(pay)), Ok(Made::Now));
    assert_eq!(world.transfer(pay), policy_only(2), "a proposal alone changes nothing");
    assert_eq!(world.approve(PROPOSER, 7), by_proposer());
    assert_eq!(world.end(PROPOSER, 7, ProposalEnd::Rejected), by_proposer());

    let before = world.log.entries.len();
    assert_eq!(world.approve(APPROVER, 7), Ok(Made::Now));
    let made = &world.log.entries[before..];
    let [Fact::Ledger(ledger::Fact::TransferCreated(created)), Fact::Approval(ApprovalFact::ProposalEnded(end))] =
        [&made[0].fact, &made[1].fact]
    else {
        panic!("{made:?}")
    };
    assert_eq!((made.len(), created.key, end.end), (2, pay.key, ProposalEnd::Approved));
    assert_eq!(created.timestamp, made[0].header.decided_at);
    for entry in made {
        assert_eq!((entry.header.request, entry.header.actor), (RequestId::new(7), ActorId::new(APPROVER)));
    }
    assert_eq!(world.log.held.last(), Some(&(before, 2)), "a crash keeps both entries or none");

    assert_eq!(world.account(2).account.credits_posted, Amount::new(50));
    assert_eq!(world.approve(APPROVER, 7), Ok(Made::Before));
    assert_eq!(world.approve(3, 7), ended(7, ProposalStatus::Approved));
    assert_eq!(world.end(APPROVER, 7, ProposalEnd::Rejected), ended(7, ProposalStatus::Approved));
    assert_eq!(world.transfer(pay), Ok(Made::Before), "a retry of the transfer finds it");
    let shown = world.shown(7);
    assert_eq!(shown.status, ProposalStatus::Approved);
    assert_eq!(shown.proposal.ended.map(|(_, by, _)| by), Some(ActorId::new(APPROVER)));
    world.replays();
}

#[test]
fn what_the_ledger_refuses_leaves_the_proposal_open() {
    let mut world = World::new();
    assert_eq!(world.set_limits(1, 0), Ok(Made::Now));
    world.propose(PROPOSER, 7, proposed(transfer(10, 1, 2, 50))).expect("a proposal");
    let entries = world.log.entries.len();
    let refused = world.approve(APPROVER, 7).expect_err("nothing is on the account");
    assert!(matches!(&refused, Refusal::Transfer(why) if why.status == TransferStatus::ExceedsMinBalance), "{refused}");
    assert_eq!((world.log.entries.len(), world.shown(7).status), (entries, ProposalStatus::Open));

    world.transfer(transfer(11, 3, 1, 50)).expect("money");
    assert_eq!(world.approve(APPROVER, 7), Ok(Made::Now), "the refusal did not spend the id of the transfer");
    world.replays();
}

#[test]
fn what_a_client_reserved_with_an_approval_needs_another_one_to_move() {
    let mut world = World::new();
    let hold = NewTransfer { flags: TransferFlags::PENDING, ..transfer(10, 2, 1, 50) };
    world.carry_out(7, proposed(hold));
    for flags in [TransferFlags::POST_PENDING_TRANSFER, TransferFlags::VOID_PENDING_TRANSFER] {
        assert_eq!(world.transfer(resolution(11, 10, flags)), policy_only(2));
    }
    world.carry_out(8, proposed(resolution(11, 10, TransferFlags::POST_PENDING_TRANSFER)));
    assert_eq!(world.account(2).account.debits_posted, Amount::new(50));
    world.replays();
}

#[test]
fn limits_wait_for_an_approval() {
    let mut world = World::new();
    assert_eq!(world.set_limits(1, -5), Ok(Made::Now), "by default, one principal sets them");
    world.set_rules(PROPOSER, ApprovalRules { limits: Demand::Approval, ..ApprovalRules::default() }).expect("rules");
    assert_eq!(world.set_limits(1, -5), Ok(Made::Before), "they are so already");
    assert_eq!(world.set_limits(1, -500), needs_approval("setting limits of an account"));
    world.carry_out(7, Proposable::SetLimits(limits(1, -500)));
    assert_eq!(world.account(1).limits.min_balance, Some(-500));
    assert_eq!(world.set_limits(1, -500), Ok(Made::Before));
    world.carry_out(8, Proposable::SetLimits(limits(1, -500)));
    assert_eq!(world.shown(8).status, ProposalStatus::Approved, "also if nothing had to change");
    let unknown = world.propose(PROPOSER, 9, Proposable::SetLimits(limits(99, 0)));
    assert_eq!(unknown, Err(Refusal::AccountNotFound(AccountId::new(99))));
    world.replays();
}

#[test]
fn a_proposal_names_accounts_that_exist_and_keeps_to_them() {
    let mut world = World::new();
    let address: Address = "till:1".parse().expect("an address");
    let name = AccountName::Address(address.clone());
    let bound = Limits { min_balance: Some(3), max_balance: None };
    let asked = Proposable::SetLimits(SetLimits { account: name, limits: bound });
    assert_eq!(world.propose(PROPOSER, 7, asked.clone()), Err(Refusal::AddressNotFound(address.clone())));
    let order = AccountOrder { address: Some(address), ..account(5, AccountFlags::NONE).into() };
    world.ask(PROPOSER, OpenAccount(Box::new(order))).expect("an account");
    world.carry_out(7, asked);
    assert_eq!(world.account(5).limits, bound);

    let unknown = world.propose(PROPOSER, 8, proposed(transfer(10, 99, 1, 5)));
    assert_eq!(unknown, Err(Refusal::AccountNotFound(AccountId::new(99))));
    let unknown = world.propose(PROPOSER, 8, proposed(resolution(11, 98, TransferFlags::POST_PENDING_TRANSFER)));
    assert_eq!(unknown, Err(Refusal::TransferNotFound(TransferId::new(98))));
    let without_ledger = NewTransfer { ledger: LedgerId::new(0), ..transfer(10, 1, 3, 5) };
    world.carry_out(8, proposed(without_ledger));
    assert_eq!(world.shown(8).proposal.made.operation.ledger(), Some(LedgerId::new(1)));
    world.replays();
}

#[test]
fn a_large_reversal_waits_for_an_approval() {
    let mut world = World::under(strict());
    world.transfer(transfer(10, 1, 3, 100)).expect("a transfer");
    world.transfer(transfer(11, 1, 3, 101)).expect("a transfer");
    let reverse = |world: &mut World, id| world.ask(PROPOSER, ReverseTransfer(TransferId::new(id)));
    assert_eq!(reverse(&mut world, 10).map(|(made, _)| made), Ok(Made::Now));
    assert_eq!(reverse(&mut world, 11).map(|(made, _)| made), needs_approval("a reversal of this amount"));
    world.carry_out(7, Proposable::Reverse(TransferId::new(11)));
    let (made, reply) = reverse(&mut world, 11).expect("a retry finds the reversal");
    assert_eq!((made, reply.transfer.key), (Made::Before, TransferKey::Client(reversal_id(TransferId::new(11)))));
    world.replays();
}

#[test]
fn a_transfer_on_an_account_of_the_policy_is_reversed_with_an_approval() {
    let mut world = World::new();
    world.carry_out(7, proposed(transfer(10, 1, 2, 50)));
    let reversed = world.ask(PROPOSER, ReverseTransfer(TransferId::new(10))).map(|(made, _)| made);
    assert_eq!(reversed, policy_only(2));
    world.carry_out(8, Proposable::Reverse(TransferId::new(10)));
    assert_eq!(world.account(2).account.debits_posted, Amount::new(50));
    world.replays();
}

/// Stages an import of two accounts of the policy, between which money moved.
pub(crate) fn stage(world: &mut World) -> ImportId {
    let id = ImportId::new(70);
    let ledger = LedgerId::new(1);
    let imported = |id| NewAccount {
        timestamp_ns: u64::try_from(id).expect("a number"),
        ..account(id, AccountFlags::POLICY_ONLY)
    };
    let moved = NewTransfer { timestamp_ns: 100, ..transfer(52, 50, 51, 9) };
    let steps = [
        ImportCommand::Start { id, ledger, content: Digest::default() },
        ImportCommand::StageAccounts { id, first: 0, rows: vec![imported(50), imported(51)] },
        ImportCommand::StageTransfers { id, first: 0, rows: vec![moved] },
    ];
    for step in steps {
        world.ask(PROPOSER, step).expect("rows");
    }
    id
}

#[test]
fn opening_an_import_waits_for_an_approval() {
    let mut world = World::under(strict());
    let id = stage(&mut world);
    let opened = world.ask(PROPOSER, ImportCommand::Open(id)).map(|(made, _)| made);
    assert_eq!(opened, needs_approval("opening an import"));
    let unknown = world.propose(PROPOSER, 7, Proposable::OpenImport(ImportId::new(71)));
    assert_eq!(unknown, Err(ImportRefusal::NotFound(ImportId::new(71)).into()));
    world.carry_out(7, Proposable::OpenImport(id));
    assert_eq!(world.account(51).account.credits_posted, Amount::new(9));
    let again = world.ask(PROPOSER, ImportCommand::Open(id)).map(|(made, _)| made);
    assert_eq!(again, Ok(Made::Before));
    world.replays();
}

#[test]
fn an_import_takes_no_more_rows_while_its_opening_is_proposed() {
    let mut world = World::under(strict());
    let id = stage(&mut world);
    let stage = |world: &mut World, first, number: u128| {
        let moved = NewTransfer { timestamp_ns: 100 + first, ..transfer(number, 50, 51, 9) };
        world.ask(PROPOSER, ImportCommand::StageTransfers { id, first, rows: vec![moved] }).map(|(made, _)| made)
    };
    assert_eq!(world.propose(PROPOSER, 7, Proposable::OpenImport(id)), Ok(Made::Now));
    let barred = Err(ApprovalRefusal::ImportProposed(id).into());
    assert_eq!(stage(&mut world, 1, 53), barred);
    assert_eq!(stage(&mut world, 0, 52), Ok(Made::Now), "a repeated row adds nothing");
    assert_eq!(world.end(PROPOSER, 7, ProposalEnd::Withdrawn), Ok(Made::Now));
    assert_eq!(stage(&mut world, 1, 53), Ok(Made::Now));
    world.carry_out(8, Proposable::OpenImport(id));
    assert_eq!(world.account(51).account.credits_posted, Amount::new(18));
    world.replays();
}

#[test]
fn nobody_weakens_the_rules_alone() {
    let mut world = World::under(strict());
    let dollar = Asset::new("USD", 2).expect("an asset");
    let weaker = [
        ApprovalRules::default(),
        ApprovalRules { limits: Demand::Direct, ..strict() },
        ApprovalRules { imports: Demand::Direct, ..strict() },
        ApprovalRules { reversals_above: [(euro(), Amount::new(101))].into(), ..strict() },
        ApprovalRules { reversals_above: [(dollar, Amount::ZERO)].into(), ..strict() },
    ];
    for rules in weaker {
        assert_eq!(world.set_rules(PROPOSER, rules), needs_approval("demanding fewer approvals"));
    }
    assert_eq!(world.set_rules(PROPOSER, strict()), Ok(Made::Before));
    let bounds = [(euro(), Amount::new(99)), (dollar, Amount::new(5))];
    let stronger = ApprovalRules { reversals_above: bounds.into(), ..strict() };
    assert_eq!(world.set_rules(PROPOSER, stronger), Ok(Made::Now));
    world.carry_out(7, Proposable::SetRules(ApprovalRules::default()));
    assert_eq!(world.set_limits(1, 3), Ok(Made::Now));
    world.carry_out(8, Proposable::SetRules(ApprovalRules::default()));
    world.replays();
}

#[test]
fn a_proposal_ends_once() {
    let mut world = World::new();
    for id in 1..=4 {
        world.propose(PROPOSER, id, proposed(transfer(10 + id, 1, 2, 5))).expect("a proposal");
    }
    assert_eq!(world.end(APPROVER, 1, ProposalEnd::Rejected), Ok(Made::Now));
    assert_eq!(world.end(APPROVER, 1, ProposalEnd::Rejected), Ok(Made::Before));
    assert_eq!(world.approve(APPROVER, 1), ended(1, ProposalStatus::Rejected));
    let not_proposer = ApprovalRefusal::NotProposer { proposer: ActorId::new(PROPOSER) };
    assert_eq!(world.end(APPROVER, 2, ProposalEnd::Withdrawn), Err(not_proposer.into()));
    assert_eq!(world.end(PROPOSER, 2, ProposalEnd::Withdrawn), Ok(Made::Now));
    assert_eq!(world.end(PROPOSER, 2, ProposalEnd::Withdrawn), Ok(Made::Before));
    assert_eq!(world.approve(APPROVER, 2), ended(2, ProposalStatus::Withdrawn));
    assert_eq!(world.approve(APPROVER, 9), Err(ApprovalRefusal::NotFound(ProposalId::new(9)).into()));
    assert_eq!(world.listed(Some(ProposalStatus::Open)), [3, 4]);

    let entries = world.log.entries.len();
    world.now = world.shown(3).proposal.made.expires_at;
    for end in [ProposalEnd::Approved, ProposalEnd::Rejected] {
        assert_eq!(world.end(APPROVER, 3, end), ended(3, ProposalStatus::Expired));
    }
    assert_eq!(world.end(PROPOSER, 3, ProposalEnd::Withdrawn), ended(3, ProposalStatus::Expired));
    assert_eq!(world.approve(APPROVER, 4), Ok(Made::Now), "it was made a few nanoseconds later");
    assert_eq!(world.listed(Some(ProposalStatus::Expired)), [3]);
    assert_eq!(world.listed(None), [1, 2, 3, 4]);
    assert_eq!(world.log.entries.len(), entries + 2, "an expiry makes no entry");
    world.replays();
}

#[test]
fn a_retry_gets_the_same_proposal() {
    let mut world = World::new();
    let asked = proposal(7, proposed(transfer(10, 1, 2, 5)));
    assert_eq!(world.ask(PROPOSER, asked.clone()).map(|(made, _)| made), Ok(Made::Now));
    let entries = world.log.entries.len();
    world.now = world.now.saturating_add(Span::from_secs(5));
    assert_eq!(world.ask(PROPOSER, asked.clone()).map(|(made, _)| made), Ok(Made::Before));
    let others = [
        Propose { operation: proposed(transfer(10, 1, 2, 6)), ..asked.clone() },
        Propose { reason: "another".into(), ..asked.clone() },
        Propose { lifetime: Span::from_secs(61), ..asked.clone() },
    ];
    let exists: Result<Made, Refusal> = Err(ApprovalRefusal::ExistsWithDifferentContent(ProposalId::new(7)).into());
    for other in others {
        assert_eq!(world.ask(PROPOSER, other).map(|(made, _)| made), exists);
    }
    assert_eq!(world.ask(APPROVER, asked.clone()).map(|(made, _)| made), exists, "it is of another principal");
    world.approve(APPROVER, 7).expect("an approval");
    assert_eq!(world.ask(PROPOSER, asked).map(|(made, _)| made), Ok(Made::Before), "also after it ended");
    assert_eq!(world.log.entries.len(), entries + 2);
}

#[test]
fn memory_keeps_a_bounded_number_of_proposals() {
    let mut world = World::new();
    let rules = || Proposable::SetRules(strict());
    for id in 1..=PROPOSALS_OPEN_MAX as u128 {
        world.propose(PROPOSER, id, rules()).expect("a proposal");
    }
    let next = PROPOSALS_OPEN_MAX as u128 + 1;
    let full: Result<Made, Refusal> = Err(ApprovalRefusal::TooManyOpen(PROPOSALS_OPEN_MAX).into());
    assert_eq!(world.propose(PROPOSER, next, rules()), full);
    world.end(PROPOSER, 5, ProposalEnd::Withdrawn).expect("an end");
    assert_eq!(world.propose(PROPOSER, next, rules()), Ok(Made::Now));
    assert_eq!(world.propose(PROPOSER, next + 1, rules()), full);
    // All of them expire, and make room.
    world.now = world.now.saturating_add(Span::from_secs(3_600));
    assert_eq!(world.propose(PROPOSER, next + 1, rules()), Ok(Made::Now));
    for id in next + 2..=next + 4 {
        world.propose(PROPOSER, id, rules()).expect("a proposal");
        world.end(PROPOSER, id, ProposalEnd::Withdrawn).expect("an end");
    }
    // The one that ended first was withdrawn; those that expired first were made first.
    let forgotten = PROPOSALS_OPEN_MAX + 1 + 3 - PROPOSALS_ENDED_MAX;
    assert_eq!(forgotten, 4);
    for id in [5, 1, 2, 3] {
        assert!(world.ask(PROPOSER, query::Proposal(ProposalId::new(id))).is_err(), "proposal {id}");
    }
    assert_eq!(world.shown(4).status, ProposalStatus::Expired);
    assert_eq!(world.propose(PROPOSER, 5, rules()), Ok(Made::Now), "its id counts as new");
    world.replays();
}
