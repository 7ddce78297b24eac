//! What the edge rests on: an engine, its journal, keys, and whoever runs them.

use std::future::Future;
use std::sync::Arc;

use api::past::{Instant, Sums, TransferFilter};
use api::{CursorOrigin, Problem};
use engine::{ActivePolicy, Answered, Made, Operation, Page};
use journal::EntryInContext;
use ledger::{Account, Assets, PendingState, Transfer};
use policy::{Bundle, Policy};
use types::{AccountId, ActorId, Digest, LedgerId, RequestId, Seq, TenantId, Timestamp, TransferId};
use vault::Keys;

use crate::past::{StatementPage, Wanted};

/// Which installation an edge stands before.
#[derive(Debug, Clone, Copy)]
pub struct Installation {
    pub tenant: TenantId,
    /// Which history cursors are of.
    pub history: CursorOrigin,
    /// What keys the ids that stand for an `Idempotency-Key`.
    pub(crate) id_secret: Digest,
}

impl Installation {
    pub fn new(tenant: TenantId, history: CursorOrigin, keys: &impl Keys) -> Self {
        Self { tenant, history, id_secret: keys.request_hash(tenant, b"finaira ids from idempotency keys") }
    }
}

/// The engine and what stands around it.
pub trait Sources {
    /// Why there is no answer.
    type Failure: From<Problem> + Send;
    type Keys: Keys;

    /// A fault of ours, which the client learns no more about than that it happened.
    fn internal(&self, what: &'static str) -> Self::Failure;

    fn keys(&self) -> &Self::Keys;

    /// The active policy, compiled. The engine may know a new one a moment earlier.
    fn policy(&self) -> Option<Arc<Policy>>;

    /// Waits for the policy that the engine knows already.
    fn policy_changes(&self) -> impl Future<Output = ()> + Send;

    /// What every ledger counts that an answer given so far can name.
    fn assets(&self) -> Arc<Assets>;

    /// Asks the engine. The answer comes when every entry it rests on is durable.
    fn ask<O: Operation + Send>(
        &self,
        actor: ActorId,
        id: RequestId,
        operation: O,
    ) -> impl Future<Output = Result<Answered<O>, Self::Failure>> + Send;

    /// Compiles a policy, stores it and lets it decide.
    fn install(
        &self,
        actor: ActorId,
        id: RequestId,
        bundle: Bundle,
    ) -> impl Future<Output = Result<(Made, ActivePolicy), Self::Failure>> + Send;

    /// One durable entry, and what it refers to.
    fn entry(&self, seq: Seq) -> impl Future<Output = Result<Option<EntryInContext>, Self::Failure>> + Send;
}

/// The transfers of the past, and balances as they were. All of it is durable.
pub trait Past: Sources {
    /// The time to go by.
    fn now(&self) -> Timestamp;

    /// The transfers that are wanted, and the place to go on from.
    fn transfers(&self, wanted: Wanted) -> impl Future<Output = Result<Page<Transfer, u64>, Self::Failure>> + Send;

    /// The same, each with what became of it by `at` when a client made it pending.
    fn transfers_with_states(
        &self,
        wanted: Wanted,
        at: Timestamp,
    ) -> impl Future<Output = Result<Page<(Transfer, Option<PendingState>), u64>, Self::Failure>> + Send;

    /// Of these transfers those that fit the filter and the account, each with what became of it by `at`.
    fn transfers_that_fit(
        &self,
        ids: Vec<TransferId>,
        filter: TransferFilter,
        account: Option<AccountId>,
        at: Timestamp,
    ) -> impl Future<Output = Result<Vec<(Transfer, Option<PendingState>)>, Self::Failure>> + Send;

    /// The transfers of an account that are wanted, each with the account right after it.
    fn balances(
        &self,
        account: Account,
        wanted: Wanted,
    ) -> impl Future<Output = Result<Page<(Transfer, Account), u64>, Self::Failure>> + Send;

    /// An account as it was.
    fn account_at(
        &self,
        account: Account,
        instant: Instant,
    ) -> impl Future<Output = Result<Account, Self::Failure>> + Send;

    /// What was posted on an account from one instant to another, both included.
    fn statement(
        &self,
        account: Account,
        times: (Timestamp, Timestamp),
        limit: usize,
    ) -> impl Future<Output = Result<StatementPage, Self::Failure>> + Send;

    /// What the accounts of a ledger added up to.
    fn totals_at(&self, ledger: LedgerId, at: Timestamp) -> impl Future<Output = Result<Sums, Self::Failure>> + Send;
}
