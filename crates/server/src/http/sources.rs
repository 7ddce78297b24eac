//! Implements the edge's sources for a server: operations go through the engine's queue; the journal and the index are
//! read on blocking threads.

use std::sync::Arc;
use std::time::Duration;

use api::audit::Deed;
use api::explanations::NoPolicy;
use api::past::{Clock, Instant, Sums, TransferFilter};
use api::{EntityTotals, Problem};
use datadir::KeyStore;
use disk::Directory;
use edge::{AuditWanted, Installed, Installer, Past, PaymentsWanted, Sources, StatementPage, Wanted, WithState};
use engine::{Answered, Entry, Operation, Page, Payment, PaymentReply};
use journal::EntryInContext;
use ledger::{Account, Assets, Transfer};
use policy::{Bundle, Policy};
use types::{
    AccountId, ActorId, CredentialId, Digest, LedgerId, PaymentId, RequestId, Seq, Timestamp, Token, TransferId,
};

use crate::http::failure::{Failure, internal};
use crate::past::fits;
use crate::{Core, Unavailable};

/// The engine uses a new policy shortly before the handlers do.
const PARSE_AGAIN_AFTER: Duration = Duration::from_millis(5);

/// The running server, as the edge uses it.
#[derive(Debug, Clone)]
pub(crate) struct Running(pub(crate) Core);

impl Sources for Running {
    type Failure = Failure;
    type Keys = KeyStore<Directory>;

    fn internal(&self, what: &'static str) -> Failure {
        internal(what)
    }

    fn keys(&self) -> &Self::Keys {
        &self.0.shared().keys
    }

    fn fill_with_random(&self, bytes: &mut [u8]) {
        datadir::random(bytes);
    }

    fn last_used(&self, credential: CredentialId) -> Option<Timestamp> {
        self.0.last_used(credential)
    }

    fn policy(&self) -> Option<Arc<Policy>> {
        self.0.policy()
    }

    async fn policy_changes(&self) {
        tokio::time::sleep(PARSE_AGAIN_AFTER).await;
    }

    fn assets(&self) -> Arc<Assets> {
        self.0.assets()
    }

    async fn ask<O: Operation + Send>(
        &self,
        actor: ActorId,
        id: RequestId,
        operation: O,
    ) -> Result<Answered<O>, Failure> {
        Ok(self.0.ask(actor, id, operation).await?)
    }

    async fn install(&self, by: Installer, bundle: Bundle) -> Result<Installed, Failure> {
        let running = self.clone();
        // A task of its own: if the client disconnects in the middle, edge and engine must still end with the same policy.
        let installing = tokio::spawn(async move { running.install_policy(by, bundle).await });
        installing.await.map_err(|_panicked| Unavailable::Failed)?
    }

    async fn payment(&self, id: PaymentId) -> Result<Option<PaymentReply>, Failure> {
        let found = self.0.look_up(move |index| index.read_payment(id)).await?;
        Ok(found.map(|found| found.reply(self.0.now())))
    }

    async fn decision(&self, id: PaymentId) -> Result<Option<Entry>, Failure> {
        Ok(self.0.look_up(move |index| index.read_decision(id)).await?)
    }

    async fn in_context(&self, entry: Entry) -> Result<EntryInContext, Failure> {
        Ok(self.0.in_context(entry).await?)
    }
}

impl Past for Running {
    fn now(&self) -> Timestamp {
        self.0.now()
    }

    async fn transfers(&self, wanted: Wanted) -> Result<Page<Transfer, u64>, Failure> {
        Ok(self.0.past(move |history| history.transfers(&wanted)).await?)
    }

    async fn transfers_with_states(&self, wanted: Wanted, at: Timestamp) -> Result<Page<WithState, u64>, Failure> {
        let asked = self.0.past(move |history| {
            let Page { items, next } = history.transfers(&wanted)?;
            Ok(Page { items: history.with_states(items, at)?, next })
        });
        Ok(asked.await?)
    }

    async fn transfers_that_fit(
        &self,
        ids: Vec<TransferId>,
        filter: TransferFilter,
        account: Option<AccountId>,
        at: Timestamp,
    ) -> Result<Vec<WithState>, Failure> {
        let asked = self.0.past(move |history| {
            let mut transfers = history.client_transfers(&ids)?;
            transfers.retain(|transfer| fits(&filter, account, transfer));
            history.with_states(transfers, at)
        });
        Ok(asked.await?)
    }

    async fn balances(&self, account: Account, wanted: Wanted) -> Result<Page<(Transfer, Account), u64>, Failure> {
        Ok(self.0.past(move |history| history.balances(&account, &wanted)).await?)
    }

    async fn account_at(&self, account: Account, instant: Instant) -> Result<Account, Failure> {
        let asked = self.0.past(move |history| match instant.clock {
            Clock::Booked => history.account_at(&account, instant.at),
            Clock::Occurred => history.account_at_occurred(&account, instant.at),
        });
        Ok(asked.await?)
    }

    async fn statement(
        &self,
        account: Account,
        times: (Timestamp, Timestamp),
        limit: usize,
    ) -> Result<StatementPage, Failure> {
        Ok(self.0.past(move |history| history.statement(&account, times, limit)).await?)
    }

    async fn payments(&self, wanted: PaymentsWanted, at: Timestamp) -> Result<Page<Payment, Seq>, Failure> {
        Ok(self.0.past(move |history| history.payments(&wanted, at)).await?)
    }

    async fn entity(&self, entity: Token, limit: usize, at: Timestamp) -> Result<EntityTotals, Failure> {
        Ok(self.0.past(move |history| history.entity(entity, limit, at)).await?)
    }

    async fn with_policy<T: Send + 'static>(
        &self,
        activated: Seq,
        artifact: Digest,
        job: impl FnOnce(Result<&Policy, &NoPolicy>) -> T + Send + 'static,
    ) -> Result<T, Failure> {
        Ok(self.0.with_policy(activated, artifact, job).await?)
    }

    async fn audit(&self, wanted: AuditWanted) -> Result<Page<Deed, Seq>, Failure> {
        Ok(self.0.past(move |history| history.audit(&wanted)).await?)
    }

    async fn totals_at(&self, ledger: LedgerId, at: Timestamp) -> Result<Sums, Failure> {
        Ok(self.0.past(move |history| history.totals_at(ledger, at)).await?)
    }
}

impl Running {
    async fn install_policy(&self, by: Installer, bundle: Bundle) -> Result<Installed, Failure> {
        // One after the other, because the tests of a policy may take seconds.
        let compiling = self
            .0
            .shared()
            .readers
            .policies
            .run(move |_asker| engine::check_policy(&bundle).map(|policy| (policy, bundle)));
        let compiled = compiling.await.map_err(|_panicked| Unavailable::Failed)?;
        let (policy, bundle) = compiled.map_err(Problem::invalid_policy)?;
        let policy = Arc::new(policy);
        let _one_at_a_time = self.0.shared().installing.lock().await;
        let installed = edge::install(self, by, &bundle, Arc::clone(&policy)).await?;
        // A retry activates nothing if another policy was activated in the meantime.
        if installed.active.activated.artifact == policy.digest() {
            self.0.set_policy(policy);
        }
        Ok(installed)
    }
}
