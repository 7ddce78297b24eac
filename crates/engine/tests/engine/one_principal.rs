//! Whatever one principal sends, it does nothing that needs the approval of another one.

use engine::{
    AccountName, AccountOrder, AnyTransfer, ApprovalRules, CreateTransfer, CreateTransferBatch, CreateTransfers,
    Demand, ImportCommand, OpenAccount, Proposable, ProposalEnd, ReverseTransfer, TransferOrder, query, reversal_id,
};
use ledger::{AccountFlags, NewTransfer, TransferFlags};
use proptest::prelude::*;
use types::{AccountId, Amount, ImportId, Span, TransferId};

use crate::approvals::{
    POLICY_ONLY, PROPOSER, World, account, euro, limits, proposed, resolution, stage, strict, transfer,
};

/// What one principal tries on its own.
#[derive(Debug, Clone)]
enum Attempt {
    Transfer(NewTransfer),
    Batch(Vec<NewTransfer>),
    Packed(Vec<NewTransfer>),
    Scheduled(NewTransfer),
    Limits(u128, i128),
    /// Opens an account that exists, with limits.
    Open(u128, i128),
    Reverse(u128),
    OpenImport,
    Rules(ApprovalRules),
    Propose(u128, NewTransfer),
    ProposeLimits(u128, u128, i128),
    ProposeReversal(u128, u128),
    ProposeRules(u128, ApprovalRules),
    ProposeImport(u128),
    End(u128, ProposalEnd),
    Wait(u64),
}

fn attempt() -> impl Strategy<Value = Attempt> {
    let flags = prop_oneof![
        3 => Just(TransferFlags::NONE),
        1 => Just(TransferFlags::PENDING),
        1 => Just(TransferFlags::LINKED),
        1 => Just(TransferFlags::BALANCING_DEBIT),
        1 => Just(TransferFlags::PENDING.with(TransferFlags::CLOSING_CREDIT)),
        1 => Just(TransferFlags::POST_PENDING_TRANSFER),
        1 => Just(TransferFlags::VOID_PENDING_TRANSFER),
    ];
    let moved =
        (10..20_u128, 1..=5_u128, 1..=5_u128, 0..300_u128, flags).prop_map(|(id, debit, credit, amount, flags)| {
            if flags.intersects(TransferFlags::POST_PENDING_TRANSFER | TransferFlags::VOID_PENDING_TRANSFER) {
                resolution(id, if debit < 3 { 900 } else { 10 + credit }, flags)
            } else {
                NewTransfer { flags, ..transfer(id, debit, credit, amount) }
            }
        });
    let moved = moved.boxed();
    let many = proptest::collection::vec(moved.clone(), 1..5).boxed();
    let demand = prop_oneof![Just(Demand::Direct), Just(Demand::Approval)];
    let rules = (demand.clone(), demand, proptest::option::of(0..300_u128)).prop_map(|(limits, imports, bound)| {
        let reversals_above = bound.map(|bound| (euro(), Amount::new(bound))).into_iter().collect();
        ApprovalRules { limits, imports, reversals_above }
    });
    let rules = rules.boxed();
    let end = prop_oneof![Just(ProposalEnd::Approved), Just(ProposalEnd::Rejected), Just(ProposalEnd::Withdrawn)];
    let proposal = 30..40_u128;
    prop_oneof![
        3 => moved.clone().prop_map(Attempt::Transfer),
        1 => many.clone().prop_map(Attempt::Batch),
        1 => many.prop_map(Attempt::Packed),
        1 => moved.clone().prop_map(Attempt::Scheduled),
        1 => (1..=5_u128, -300..300_i128).prop_map(|(account, floor)| Attempt::Limits(account, floor)),
        1 => (1..=5_u128, -300..300_i128).prop_map(|(account, floor)| Attempt::Open(account, floor)),
        2 => (10..20_u128).prop_map(Attempt::Reverse),
        1 => Just(Attempt::OpenImport),
        1 => rules.clone().prop_map(Attempt::Rules),
        2 => (proposal.clone(), moved).prop_map(|(id, new)| Attempt::Propose(id, new)),
        1 => (proposal.clone(), 1..=5_u128, -300..300_i128).prop_map(|(id, account, floor)| Attempt::ProposeLimits(id, account, floor)),
        1 => (proposal.clone(), 10..20_u128).prop_map(|(id, transfer)| Attempt::ProposeReversal(id, transfer)),
        1 => (proposal.clone(), rules).prop_map(|(id, rules)| Attempt::ProposeRules(id, rules)),
        1 => proposal.clone().prop_map(Attempt::ProposeImport),
        4 => (proposal, end).prop_map(|(id, end)| Attempt::End(id, end)),
        1 => (1..40_u64).prop_map(Attempt::Wait),
    ]
}

impl World {
    fn attempt(&mut self, attempt: &Attempt, import: ImportId) {
        match attempt.clone() {
            Attempt::Transfer(new) => drop(self.transfer(new)),
            Attempt::Batch(all) => {
                drop(self.ask(PROPOSER, CreateTransferBatch(all.into_iter().map(TransferOrder::from).collect())));
            }
            Attempt::Packed(events) => drop(self.ask(PROPOSER, CreateTransfers { events, balances: false })),
            Attempt::Scheduled(new) => {
                let at = Some(self.now.saturating_add(Span::from_secs(5)));
                let order = TransferOrder { scheduled_at: at, ..new.into() };
                drop(self.ask(PROPOSER, CreateTransfer(Box::new(order))));
            }
            Attempt::Limits(account, floor) => drop(self.set_limits(account, floor)),
            Attempt::Open(id, floor) => {
                let flags = if POLICY_ONLY.contains(&id) { AccountFlags::POLICY_ONLY } else { AccountFlags::NONE };
                let limits = limits(id, floor).limits;
                let order = AccountOrder { limits, ..account(id, flags).into() };
                drop(self.ask(PROPOSER, OpenAccount(Box::new(order))));
            }
            Attempt::Reverse(id) => drop(self.ask(PROPOSER, ReverseTransfer(TransferId::new(id)))),
            Attempt::OpenImport => drop(self.ask(PROPOSER, ImportCommand::Open(import))),
            Attempt::Rules(rules) => drop(self.set_rules(PROPOSER, rules)),
            Attempt::Propose(id, new) => drop(self.propose(PROPOSER, id, proposed(new))),
            Attempt::ProposeLimits(id, account, floor) => {
                drop(self.propose(PROPOSER, id, Proposable::SetLimits(limits(account, floor))));
            }
            Attempt::ProposeReversal(id, transfer) => {
                drop(self.propose(PROPOSER, id, Proposable::Reverse(TransferId::new(transfer))));
            }
            Attempt::ProposeRules(id, rules) => drop(self.propose(PROPOSER, id, Proposable::SetRules(rules))),
            Attempt::ProposeImport(id) => drop(self.propose(PROPOSER, id, Proposable::OpenImport(import))),
            Attempt::End(id, end) => drop(self.end(PROPOSER, id, end)),
            Attempt::Wait(seconds) => self.now = self.now.saturating_add(Span::from_secs(seconds)),
        }
        while self.engine.execute_due(self.now, &mut self.log) {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Whatever one principal sends, it neither moves money on an account of the policy, nor sets limits of an account that
    /// exists, nor reverses more than the bound, nor opens an import, nor weakens the rules.
    #[test]
    fn one_principal_does_nothing_that_needs_two(attempts in proptest::collection::vec(attempt(), 1..40)) {
        let mut world = World::under(strict());
        // Both principals reserved something on an account of the policy before.
        let hold = NewTransfer { flags: TransferFlags::PENDING, ..transfer(900, 2, 1, 40) };
        world.carry_out(29, proposed(hold));
        let import = stage(&mut world);
        let before: Vec<_> = POLICY_ONLY.map(|id| world.account(id).account).into();
        let limits: Vec<_> = (1..=4).map(|id| world.account(id).limits).collect();
        for attempt in &attempts {
            world.attempt(attempt, import);
        }
        let after: Vec<_> = POLICY_ONLY.map(|id| world.account(id).account).into();
        prop_assert_eq!(after, before);
        prop_assert_eq!((1..=4).map(|id| world.account(id).limits).collect::<Vec<_>>(), limits);
        let imported = world.ask(PROPOSER, query::Account(AccountName::Id(AccountId::new(50))));
        prop_assert!(imported.is_err(), "the import is open");
        let rules = world.ask(PROPOSER, query::ApprovalRules).expect("rules").rules;
        prop_assert_eq!((rules.limits, rules.imports), (Demand::Approval, Demand::Approval));
        prop_assert!(rules.reversals_above[&euro()] <= Amount::new(100));
        for id in 10..20 {
            if let Ok(reply) = world.ask(PROPOSER, query::Transfer(reversal_id(TransferId::new(id)))) {
                let AnyTransfer::Made(reversal) = reply else { panic!("{reply:?}") };
                prop_assert!(reversal.transfer.amount <= Amount::new(100));
            }
        }
        world.replays();
    }
}
