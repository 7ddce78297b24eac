//! The commands that the ledger and its model get: anything at all, in any order.

use ledger::{Limits, NewTransfer, TransferFlags as F, TransferKey};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use types::{AccountId, Amount, Code, LedgerId, PaymentId};

use super::naive::{Model, Moved, client};

#[derive(Debug, Clone)]
pub(super) enum Command {
    Wait(u64),
    Expire(usize),
    /// Account 8 does not exist before this.
    OpenA8,
    /// Steps of one plan.
    Transfers(Vec<Step>),
    /// Events of a batch that comes after `wait` nanoseconds.
    BatchContext {
        wait: u64,
        is_import: bool,
        events: Vec<BatchEvent>,
    },
    /// Imports an account with this id and time.
    Import(u128, When),
    Limits(u128, Limits),
    Address(u128, &'static str),
    /// Sets metadata of an account, or of something requested earlier.
    Metadata {
        account: Option<u128>,
        which: Index,
        key: &'static str,
        value: Option<&'static str>,
    },
    /// Schedules a transfer for this many nanoseconds later.
    Schedule(Step, u64),
    Cancel(Index),
    /// Carries out at most this many scheduled transfers that are due.
    Execute(usize),
    /// Removes all transfers from the ledger's memory.
    Forget,
}

#[derive(Debug, Clone)]
pub(super) struct BatchEvent {
    step: Step,
    is_linked: bool,
    /// Whether the event is not flagged `imported` in an import, or is flagged in another batch.
    is_odd: bool,
    when: When,
}

/// The timestamp of something imported.
#[derive(Debug, Clone, Copy)]
pub(super) enum When {
    /// This long after the last one on record.
    AfterLast(u64),
    /// The time at which this account was opened.
    OfAccount(u128),
    BeforeNow(u64),
    AfterNow(u64),
    Exactly(u64),
}

impl When {
    pub(super) fn at(self, model: &Model, now: u64, last: u64) -> u64 {
        match self {
            Self::AfterLast(span) => last + span,
            Self::OfAccount(id) => model.account(AccountId::new(id)).map_or(7, |account| account.timestamp.ns()),
            Self::BeforeNow(span) => now.saturating_sub(span),
            Self::AfterNow(span) => now + span,
            Self::Exactly(at) => at,
        }
    }
}

impl Command {
    /// The events of a batch that begins at `now`.
    pub(super) fn events(
        is_import: bool,
        events: &[BatchEvent],
        asked: &[NewTransfer],
        model: &Model,
        now: u64,
    ) -> Vec<NewTransfer> {
        let mut last = model.last_transfer();
        let request = |event: &BatchEvent| {
            let mut new = event.step.request(asked, &model.moves);
            let kept = new.flags.without(F::LINKED).without(F::IMPORTED);
            new.flags = if event.is_linked { kept.with(F::LINKED) } else { kept };
            if is_import != event.is_odd {
                new.flags = new.flags.with(F::IMPORTED);
                new.timestamp_ns = event.when.at(model, now, last);
                last = last.max(new.timestamp_ns.min(now));
            }
            new
        };
        events.iter().map(request).collect()
    }
}

#[derive(Debug, Clone)]
pub(super) enum Step {
    New(NewTransfer),
    /// Posts or voids a pending transfer, whatever became of it.
    Resolve {
        which: Index,
        new: NewTransfer,
    },
    /// Repeats an earlier request, with one field taken from another request.
    Again {
        which: Index,
        other: NewTransfer,
        field: usize,
    },
}

impl Step {
    pub(super) fn request(&self, asked: &[NewTransfer], moves: &[Moved]) -> NewTransfer {
        match self {
            Self::New(new) => *new,
            Self::Resolve { which, new } => {
                let held: Vec<_> = moves.iter().filter(|moved| moved.new.flags.contains(F::PENDING)).collect();
                let pending = if held.is_empty() { new.pending } else { Some(which.get(&held).new.key) };
                NewTransfer { pending, ..*new }
            }
            Self::Again { other, .. } if asked.is_empty() => *other,
            Self::Again { which, other, field } => {
                let mut again = *which.get(asked);
                match field {
                    0 => again.flags = other.flags,
                    1 => again.pending = other.pending,
                    2 => again.timeout_s = other.timeout_s,
                    3 => again.debit = other.debit,
                    4 => again.credit = other.credit,
                    5 => again.amount = other.amount,
                    6 => again.user_data_128 = other.user_data_128,
                    7 => again.user_data_64 = other.user_data_64,
                    8 => again.user_data_32 = other.user_data_32,
                    9 => again.ledger = other.ledger,
                    10 => again.code = other.code,
                    _ => {}
                }
                again
            }
        }
    }
}

pub(super) fn command() -> impl Strategy<Value = Command> {
    let step = prop_oneof![
        4 => movement().prop_map(Step::New),
        1 => resolution().prop_map(Step::New),
        3 => (any::<Index>(), resolution()).prop_map(|(which, new)| Step::Resolve { which, new }),
        1 => wild().prop_map(Step::New),
        2 => (any::<Index>(), wild(), 0..14_usize).prop_map(|(which, other, field)| Step::Again { which, other, field }),
    ];
    let event = (step.clone(), prop::bool::weighted(0.3), prop::bool::weighted(0.05), when());
    let event = event.prop_map(|(step, is_linked, is_odd, when)| BatchEvent { step, is_linked, is_odd, when });
    prop_oneof![
        12 => prop::collection::vec(step.clone(), 1..4).prop_map(Command::Transfers),
        8 => (0..60_u64, any::<bool>(), prop::collection::vec(event, 1..7))
            .prop_map(|(wait, is_import, events)| Command::BatchContext { wait, is_import, events }),
        1 => (8..14_u128, when()).prop_map(|(id, when)| Command::Import(id, when)),
        2 => (0..7_u128, bound(), bound()).prop_map(|(id, min_balance, max_balance)| {
            Command::Limits(id, Limits { min_balance, max_balance })
        }),
        2 => (0..9_u128, select(ADDRESSES)).prop_map(|(id, address)| Command::Address(id, address)),
        2 => (prop::option::of(0..9_u128), any::<Index>(), select(vec!["k", "l"]), select(VALUES)).prop_map(
            |(account, which, key, value)| Command::Metadata { account, which, key, value }
        ),
        3 => (step, 0..2_000_u64).prop_map(|(step, later)| Command::Schedule(step, later)),
        1 => any::<Index>().prop_map(Command::Cancel),
        2 => (0..4_usize).prop_map(Command::Execute),
        1 => Just(Command::Forget),
        2 => (0..2_000_000_000_u64).prop_map(Command::Wait),
        1 => (0..4_usize).prop_map(Command::Expire),
        1 => Just(Command::OpenA8),
    ]
}

const ADDRESSES: &[&str] = &["a", "a:b", "a:b:c", "ab", "c"];
const VALUES: &[Option<&str>] = &[Some("1"), Some("\"x\""), None];

fn bound() -> impl Strategy<Value = Option<i128>> {
    prop_oneof![3 => Just(None), 4 => (-30..30_i128).prop_map(Some), 1 => select(vec![i128::MIN, i128::MAX]).prop_map(Some)]
}

fn when() -> impl Strategy<Value = When> {
    prop_oneof![
        12 => (1..3_u64).prop_map(When::AfterLast),
        1 => Just(When::AfterLast(0)),
        1 => (0..9_u128).prop_map(When::OfAccount),
        2 => (0..9_u64).prop_map(When::BeforeNow),
        2 => (0..9_u64).prop_map(When::AfterNow),
        1 => select(vec![0, 1, i64::MAX as u64, i64::MAX as u64 + 1]).prop_map(When::Exactly),
    ]
}

fn movement() -> impl Strategy<Value = NewTransfer> {
    let closing = [F::CLOSING_DEBIT, F::CLOSING_CREDIT, F::CLOSING_DEBIT | F::CLOSING_CREDIT];
    let flags = prop_oneof![
        8 => Just(F::NONE),
        12 => Just(F::PENDING),
        1 => select(closing.map(|closing| closing | F::PENDING).to_vec()),
        2 => select(vec![F::BALANCING_DEBIT, F::BALANCING_CREDIT, F::BALANCING_DEBIT | F::BALANCING_CREDIT]),
        1 => Just(F::PENDING | F::BALANCING_DEBIT),
    ];
    let accounts = || prop_oneof![8 => 1..3_u128, 4 => 3..5_u128, 1 => 5..9_u128];
    let timeout = select(vec![0, 0, 1, 2]);
    (key(), accounts(), accounts(), amount(), flags, timeout, user_data()).prop_map(
        |(key, debit, credit, amount, flags, timeout_s, (user_data_128, user_data_64, user_data_32))| NewTransfer {
            debit: AccountId::new(debit),
            credit: AccountId::new(if debit == credit { debit % 4 + 1 } else { credit }),
            amount,
            timeout_s: if flags.contains(F::PENDING) { timeout_s } else { 0 },
            ledger: LedgerId::new(1),
            code: Code::new(1),
            flags,
            user_data_128,
            user_data_64,
            user_data_32,
            ..NewTransfer::named(key)
        },
    )
}

fn resolution() -> impl Strategy<Value = NewTransfer> {
    let flags = select(vec![F::POST_PENDING_TRANSFER, F::VOID_PENDING_TRANSFER]);
    let amount = prop_oneof![2 => Just(Amount::MAX), 2 => Just(Amount::ZERO), 1 => amount()];
    let given = || prop_oneof![8 => Just(0), 2 => Just(1), 1 => Just(2)];
    (key(), key(), amount, flags, user_data(), [given(), given(), given(), given()]).prop_map(
        |(key, pending, amount, flags, data, [debit, credit, ledger, code])| NewTransfer {
            key,
            debit: AccountId::new(debit.into()),
            credit: AccountId::new(credit.into()),
            amount: if flags == F::VOID_PENDING_TRANSFER && amount == Amount::MAX { Amount::ZERO } else { amount },
            pending: Some(pending),
            user_data_128: data.0,
            user_data_64: data.1,
            user_data_32: data.2,
            timeout_s: 0,
            ledger: LedgerId::new(ledger.into()),
            code: Code::new(code),
            flags,
            timestamp_ns: 0,
        },
    )
}

/// Requests that are wrong in many ways.
fn wild() -> impl Strategy<Value = NewTransfer> {
    let account = || select(vec![0, 1, 2, 3, 9, u128::MAX]);
    let id = || prop_oneof![4 => key(), 1 => Just(client(0)), 1 => Just(client(u128::MAX))];
    let rest = (prop::option::of(id()), select(vec![0, 1, u32::MAX]), 0..3_u32, 0..3_u16, user_data());
    (id(), account(), account(), amount(), 0..0x400_u16, rest).prop_map(
        |(key, debit, credit, amount, bits, (pending, timeout_s, ledger, code, data))| NewTransfer {
            key,
            debit: AccountId::new(debit),
            credit: AccountId::new(credit),
            amount,
            pending,
            user_data_128: data.0,
            user_data_64: data.1,
            user_data_32: data.2,
            timeout_s,
            ledger: LedgerId::new(ledger),
            code: Code::new(code),
            // Half of them have no flags that are refused at once.
            flags: F::from_bits(if bits & 0x200 == 0 { bits & 0xfe } else { bits }),
            timestamp_ns: if bits & 0x240 == 0x240 { 5 } else { 0 },
        },
    )
}

fn key() -> impl Strategy<Value = TransferKey> {
    let leg = |number| TransferKey::Leg { payment: PaymentId::new(1), number };
    prop_oneof![5 => (1..200_u128).prop_map(client), 1 => (0..40_u16).prop_map(leg)]
}

fn amount() -> impl Strategy<Value = Amount> {
    let near_max = (0..20_u128).prop_map(|less| u128::MAX - less);
    prop_oneof![12 => 0..20_u128, 1 => near_max].prop_map(Amount::new)
}

fn user_data() -> impl Strategy<Value = (u128, u64, u32)> {
    let rarely = |given: bool| u8::from(given);
    let some = || prop::bool::weighted(0.1).prop_map(rarely);
    (some(), some(), some()).prop_map(|(a, b, c)| (a.into(), b.into(), c.into()))
}
