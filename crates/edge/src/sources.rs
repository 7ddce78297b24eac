//! What the edge needs from the process that runs it: the engine, the journal, keys and the active policy.

use std::future::Future;
use std::sync::Arc;

use api::audit::Deed;
use api::explanations::NoPolicy;
use api::past::{Instant, Sums, TransferFilter};
use api::{CursorOrigin, EntityTotals, PaymentFilter, Problem};
use engine::{Answered, Entry, Operation, Page, Payment, PaymentReply};
use journal::EntryInContext;
use ledger::{Account, Assets, PendingState, Transfer};
use policy::{Bundle, Policy};
use types::{
    AccountId, ActorId, CredentialId, Digest, LedgerId, PaymentId, RequestId, Seq, TenantId, Timestamp, Token,
    TransferId,
};
use vault::{KeyTenant, Keys};

use crate::audit::AuditWanted;
use crate::past::{StatementPage, Wanted};
use crate::policies::{Installed, Installer};

/// The identity of a tenant.
#[derive(Debug, Clone, Copy)]
pub struct Installation {
    pub tenant: TenantId,
    /// The tenant as the text of its API keys names it.
    pub key_tenant: KeyTenant,
    /// The history that cursors refer to.
    pub history: CursorOrigin,
    /// The key of the hash that derives ids from `Idempotency-Key` headers.
    pub(crate) id_secret: Digest,
}

impl Installation {
    /// The identity of a live tenant.
    pub fn new(tenant: TenantId, history: CursorOrigin, keys: &impl Keys) -> Self {
        let key_tenant = KeyTenant::of(tenant, false);
        Self { tenant, key_tenant, history, id_secret: keys.request_hash(tenant, b"finaira ids from idempotency keys") }
    }

    /// The same identity, with another text of API keys.
    #[must_use]
    pub const fn with_keys_of(self, key_tenant: KeyTenant) -> Self {
        Self { key_tenant, ..self }
    }
}

/// The engine and everything else that handlers use.
pub trait Sources {
    /// Why a request fails: a problem that the client sees, or a failure of the process.
    type Failure: From<Problem> + Send;
    type Keys: Keys;

    /// An internal error. The client learns only that there was one.
    fn internal(&self, what: &'static str) -> Self::Failure;

    fn keys(&self) -> &Self::Keys;

    /// Overwrites all of `bytes` with random bytes that nobody can predict.
    fn fill_with_random(&self, bytes: &mut [u8]);

    /// The minute in which a credential was last used, if that is known.
    fn last_used(&self, credential: CredentialId) -> Option<Timestamp>;

    /// The active policy. The engine may activate a new one shortly before this returns it.
    fn policy(&self) -> Option<Arc<Policy>>;

    /// Waits until [`Sources::policy`] may return the policy that the engine already uses.
    fn policy_changes(&self) -> impl Future<Output = ()> + Send;

    /// The assets of all ledgers that an answer so far can name.
    fn assets(&self) -> Arc<Assets>;

    /// Asks the engine. The future completes once every entry that the answer depends on is durable. Dropping it does not
    /// cancel the operation.
    fn ask<O: Operation + Send>(
        &self,
        actor: ActorId,
        id: RequestId,
        operation: O,
    ) -> impl Future<Output = Result<Answered<O>, Self::Failure>> + Send;

    /// Compiles, stores and activates a policy; see [`crate::install`].
    fn install(&self, by: Installer, bundle: Bundle) -> impl Future<Output = Result<Installed, Self::Failure>> + Send;

    /// Reads a payment as all acknowledged entries left it, with its decision, without asking the engine.
    fn payment(&self, id: PaymentId) -> impl Future<Output = Result<Option<PaymentReply>, Self::Failure>> + Send;

    /// Reads the durable entry that decided a payment, without asking the engine.
    fn decision(&self, id: PaymentId) -> impl Future<Output = Result<Option<Entry>, Self::Failure>> + Send;

    /// Looks up what an entry refers to. Fails if that cannot be read, even if the entry itself could.
    fn in_context(&self, entry: Entry) -> impl Future<Output = Result<EntryInContext, Self::Failure>> + Send;
}

/// Which payments a page contains.
#[derive(Debug, Clone)]
pub struct PaymentsWanted {
    pub filter: PaymentFilter,
    /// The tokens of the filter's entities.
    pub entities: Vec<Token>,
    /// The entry that decided the last payment of the previous page.
    pub after: Option<Seq>,
    pub limit: usize,
}

/// A transfer with its state, if it was made as a pending one.
pub type WithState = (Transfer, Option<PendingState>);

/// Durable transfers and balances, now and at earlier times.
pub trait Past: Sources {
    /// The current time, as the clock guard determines it.
    fn now(&self) -> Timestamp;

    /// Returns a page of transfers.
    fn transfers(&self, wanted: Wanted) -> impl Future<Output = Result<Page<Transfer, u64>, Self::Failure>> + Send;

    /// Returns a page of transfers with the states that pending client transfers had at `at`.
    fn transfers_with_states(
        &self,
        wanted: Wanted,
        at: Timestamp,
    ) -> impl Future<Output = Result<Page<WithState, u64>, Self::Failure>> + Send;

    /// Returns those of the given client transfers that match the filter and the account, with their states at `at`.
    fn transfers_that_fit(
        &self,
        ids: Vec<TransferId>,
        filter: TransferFilter,
        account: Option<AccountId>,
        at: Timestamp,
    ) -> impl Future<Output = Result<Vec<WithState>, Self::Failure>> + Send;

    /// Returns a page of an account's transfers, each with the account right after it.
    fn balances(
        &self,
        account: Account,
        wanted: Wanted,
    ) -> impl Future<Output = Result<Page<(Transfer, Account), u64>, Self::Failure>> + Send;

    /// Returns an account as it was at an instant.
    fn account_at(
        &self,
        account: Account,
        instant: Instant,
    ) -> impl Future<Output = Result<Account, Self::Failure>> + Send;

    /// Returns what was posted on an account between two instants, both included.
    fn statement(
        &self,
        account: Account,
        times: (Timestamp, Timestamp),
        limit: usize,
    ) -> impl Future<Output = Result<StatementPage, Self::Failure>> + Send;

    /// Returns a page of payments that meet the filter, as they are at `at`, in the order in which they were decided.
    fn payments(
        &self,
        wanted: PaymentsWanted,
        at: Timestamp,
    ) -> impl Future<Output = Result<Page<Payment, Seq>, Self::Failure>> + Send;

    /// Counts the payments of an entity, as they are at `at`, and returns the newest `limit` of them.
    fn entity(
        &self,
        entity: Token,
        limit: usize,
        at: Timestamp,
    ) -> impl Future<Output = Result<EntityTotals, Self::Failure>> + Send;

    /// Runs a job off the threads that serve connections, with the policy that the entry `activated` activated, whose bundle has the
    /// digest `artifact`.
    fn with_policy<T: Send + 'static>(
        &self,
        activated: Seq,
        artifact: Digest,
        job: impl FnOnce(Result<&Policy, &NoPolicy>) -> T + Send + 'static,
    ) -> impl Future<Output = Result<T, Self::Failure>> + Send;

    /// Returns a page of what principals did.
    fn audit(&self, wanted: AuditWanted) -> impl Future<Output = Result<Page<Deed, Seq>, Self::Failure>> + Send;

    /// Returns the sums over the accounts of a ledger at an instant.
    fn totals_at(&self, ledger: LedgerId, at: Timestamp) -> impl Future<Output = Result<Sums, Self::Failure>> + Send;
}
