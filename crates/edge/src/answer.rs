//! The edge itself: dispatches each request to its handler, and gives handlers access to the engine.

use api::requests::Parsed;
use api::responses::Unknown;
use api::{ErrorCode, IdSource, Operation, Problem};
use engine::{Answered, Dry, DryRun, Guard, Guardable, Guarded, Refusal, Verb};
use ledger::Assets;
use types::RequestId;

use crate::call::{Call, Trial, unnamed};
use crate::response::Response;
use crate::sources::{Installation, Past, Sources};
use crate::{
    api_keys, approvals, audit, changes, entities, imports, ledgers, lists, orders, packed, past, payment_batch,
    payments, personal, policies,
};

/// The result of a handler.
pub(crate) type Handled<F> = Result<Response, F>;

/// Parses requests and renders responses for one installation.
#[derive(Debug)]
pub struct Edge<S> {
    pub installation: Installation,
    pub sources: S,
}

impl<S: Sources + Sync> Edge<S> {
    /// Answers a request with the help of the engine. Returns `None` for operations that need more than the engine: queries
    /// about the past, proofs, events and files.
    ///
    /// # Errors
    /// Fails if the request is refused, or if the sources fail.
    pub async fn answer(&self, call: &Call<'_>) -> Result<Option<Response>, S::Failure> {
        let response = match call.head.route.operation {
            Operation::OpenLedger => ledgers::open_ledger(self, call).await,
            Operation::ListLedgers => ledgers::list_ledgers(self, call).await,
            Operation::GetLedger => ledgers::get_ledger(self, call).await,
            Operation::GetTrialBalance if call.parameters().get("at").is_none() => {
                ledgers::get_trial_balance(self, call).await
            }
            Operation::OpenAccount => orders::open_account(self, call).await,
            Operation::OpenAccountBatch => orders::open_accounts(self, call).await,
            Operation::ListAccounts => ledgers::list_accounts(self, call).await,
            Operation::GetAccount => ledgers::get_account(self, call).await,
            Operation::CreateTransfer => orders::create_transfer(self, call).await,
            Operation::CreateTransferBatch => orders::create_transfers(self, call).await,
            Operation::ReverseTransfer => orders::reverse_transfer(self, call).await,
            Operation::SetAddress => changes::set_address(self, call).await,
            Operation::SetLimits => changes::set_limits(self, call).await,
            Operation::SetAccountMetadata => changes::set_account_metadata(self, call).await,
            Operation::SetTransferMetadata => changes::set_transfer_metadata(self, call).await,
            Operation::SetPaymentMetadata => changes::set_payment_metadata(self, call).await,
            Operation::CancelTransfer => changes::cancel_transfer(self, call).await,
            Operation::ListScheduled => changes::list_scheduled(self, call).await,
            Operation::ChooseIndexes => changes::choose_indexes(self, call).await,
            Operation::ListPending => ledgers::list_pending(self, call).await,
            Operation::GetAddressBalances => ledgers::get_address_balances(self, call).await,
            Operation::GetTransfer => ledgers::get_transfer(self, call).await,
            Operation::CreateAccounts => packed::create_accounts(self, call).await,
            Operation::CreateTransfers => packed::create_transfers(self, call).await,
            Operation::LookupAccounts => packed::lookup_accounts(self, call).await,
            Operation::LookupTransfers => packed::lookup_transfers(self, call).await,
            Operation::StartImport => imports::start(self, call).await,
            Operation::ListImports => imports::list(self, call).await,
            Operation::GetImport => imports::get(self, call).await,
            Operation::StageRows => imports::stage(self, call).await,
            Operation::OpenImport => imports::open(self, call).await,
            Operation::DiscardImport => imports::discard(self, call).await,
            Operation::QueryAccounts => packed::query_accounts(self, call).await,
            Operation::CreatePayment => payments::create(self, call).await,
            Operation::CreatePaymentBatch => payment_batch::create(self, call).await,
            Operation::GetPayment => payments::get(self, call).await,
            Operation::GetDecision => payments::get_decision(self, call).await,
            Operation::GetPersonalData => personal::get(self, call).await,
            Operation::ChangePayment(Verb::Increment) => payments::increment(self, call).await,
            Operation::ChangePayment(verb) => payments::change(self, call, verb).await,
            Operation::ChangePaymentBatch => payment_batch::change(self, call).await,
            Operation::RecordLabel => payments::record_label(self, call).await,
            Operation::ActivatePolicy => policies::activate(self, call).await,
            Operation::GetActivePolicy => policies::get_active(self, call).await,
            Operation::CreateList => lists::create(self, call).await,
            Operation::ListLists => lists::list(self, call).await,
            Operation::GetList => lists::get(self, call).await,
            Operation::DeleteList => lists::delete(self, call).await,
            Operation::AddListValues => lists::add(self, call).await,
            Operation::RemoveListValues => lists::remove(self, call).await,
            Operation::ListListValues => lists::values(self, call).await,
            Operation::GetListValue => lists::value(self, call).await,
            Operation::SetEntityAttributes => entities::set_attributes(self, call).await,
            Operation::CreateApiKey => api_keys::create(self, call).await,
            Operation::ListApiKeys => api_keys::list(self, call).await,
            Operation::GetApiKey => api_keys::get(self, call).await,
            Operation::RevokeApiKey => api_keys::revoke(self, call).await,
            Operation::GetApprovalRules => approvals::get_rules(self, call).await,
            Operation::SetApprovalRules => approvals::set_rules(self, call).await,
            Operation::CreateProposal => approvals::propose(self, call).await,
            Operation::ListProposals => approvals::list(self, call).await,
            Operation::GetProposal => approvals::get(self, call).await,
            Operation::EndProposal(end) => approvals::end(self, call, end).await,
            Operation::ListPayments
            | Operation::GetExplanation
            | Operation::StartBacktest
            | Operation::ListBacktests
            | Operation::GetBacktest
            | Operation::ListBacktestPayments
            | Operation::CancelBacktest
            | Operation::ListAudit
            | Operation::ListInstallationAudit
            | Operation::GetEntity
            | Operation::GetTrialBalance
            | Operation::ListAccountTransfers
            | Operation::ListAccountBalances
            | Operation::GetAccountBalance
            | Operation::GetStatement
            | Operation::ListTransfers
            | Operation::AccountTransfers
            | Operation::AccountBalances
            | Operation::QueryTransfers
            | Operation::CreateTenant
            | Operation::ListTenants
            | Operation::GetTenant
            | Operation::SuspendTenant
            | Operation::ResumeTenant
            | Operation::SetTenantQuotas
            | Operation::RemoveTenant
            | Operation::CreateClient
            | Operation::ListClients
            | Operation::GetClient
            | Operation::RevokeClient
            | Operation::RotateClientSecret
            | Operation::PutIssuer
            | Operation::ListIssuers
            | Operation::GetIssuer
            | Operation::RemoveIssuer
            | Operation::PutRole
            | Operation::ListRoles
            | Operation::RemoveRole
            | Operation::RotateSigningKeys
            | Operation::WithdrawSigningKey
            | Operation::GetIssuerMetadata
            | Operation::GetOpenIdConfiguration
            | Operation::GetIssuerKeys
            | Operation::IssueToken
            | Operation::IntrospectToken
            | Operation::RevokeToken
            | Operation::GetIndex
            | Operation::ListEvents
            | Operation::ConfirmClock
            | Operation::ProveTransfer
            | Operation::ProvePayment
            | Operation::ProveEntry
            | Operation::ProveConsistency
            | Operation::GetCheckpoint
            | Operation::GetProofKeys
            | Operation::GetTile
            | Operation::ListSegments
            | Operation::ReadSegment
            | Operation::ListInstallationSegments
            | Operation::ReadInstallationSegment
            | Operation::Health
            | Operation::Ready
            | Operation::Metrics
            | Operation::OpenApi => return Ok(None),
        };
        response.map(Some)
    }

    /// Answers a query about the past. Returns `None` for other operations.
    ///
    /// # Errors
    /// Fails if the request is refused, or if the sources fail.
    pub async fn answer_from_the_past(&self, call: &Call<'_>) -> Result<Option<Response>, S::Failure>
    where
        S: Past,
    {
        let response = match call.head.route.operation {
            Operation::ListPayments => payments::list(self, call).await,
            Operation::GetExplanation => payments::explanation(self, call).await,
            Operation::GetEntity => entities::get(self, call).await,
            Operation::ListAudit => audit::list(self, call).await,
            Operation::GetTrialBalance => past::get_trial_balance(self, call).await,
            Operation::ListAccountTransfers => past::list_account_transfers(self, call).await,
            Operation::ListAccountBalances => past::list_account_balances(self, call).await,
            Operation::GetAccountBalance => past::get_account_balance(self, call).await,
            Operation::GetStatement => past::get_statement(self, call).await,
            Operation::ListTransfers => past::list_transfers(self, call).await,
            Operation::AccountTransfers => packed::account_transfers(self, call).await,
            Operation::AccountBalances => packed::account_balances(self, call).await,
            Operation::QueryTransfers => packed::query_transfers(self, call).await,
            Operation::OpenLedger
            | Operation::ListLedgers
            | Operation::GetLedger
            | Operation::OpenAccount
            | Operation::ListAccounts
            | Operation::GetAccount
            | Operation::OpenAccountBatch
            | Operation::CreateTransfer
            | Operation::CreateTransferBatch
            | Operation::ReverseTransfer
            | Operation::SetAddress
            | Operation::SetLimits
            | Operation::SetAccountMetadata
            | Operation::SetTransferMetadata
            | Operation::SetPaymentMetadata
            | Operation::CancelTransfer
            | Operation::ListScheduled
            | Operation::ChooseIndexes
            | Operation::ListPending
            | Operation::GetAddressBalances
            | Operation::GetTransfer
            | Operation::CreateAccounts
            | Operation::CreateTransfers
            | Operation::LookupAccounts
            | Operation::LookupTransfers
            | Operation::StartImport
            | Operation::ListImports
            | Operation::GetImport
            | Operation::StageRows
            | Operation::OpenImport
            | Operation::DiscardImport
            | Operation::QueryAccounts
            | Operation::ListInstallationAudit
            | Operation::CreateTenant
            | Operation::ListTenants
            | Operation::GetTenant
            | Operation::SuspendTenant
            | Operation::ResumeTenant
            | Operation::SetTenantQuotas
            | Operation::RemoveTenant
            | Operation::CreateClient
            | Operation::ListClients
            | Operation::GetClient
            | Operation::RevokeClient
            | Operation::RotateClientSecret
            | Operation::PutIssuer
            | Operation::ListIssuers
            | Operation::GetIssuer
            | Operation::RemoveIssuer
            | Operation::PutRole
            | Operation::ListRoles
            | Operation::RemoveRole
            | Operation::RotateSigningKeys
            | Operation::WithdrawSigningKey
            | Operation::GetIssuerMetadata
            | Operation::GetOpenIdConfiguration
            | Operation::GetIssuerKeys
            | Operation::IssueToken
            | Operation::IntrospectToken
            | Operation::RevokeToken
            | Operation::GetIndex
            | Operation::CreatePayment
            | Operation::CreatePaymentBatch
            | Operation::GetPayment
            | Operation::GetDecision
            | Operation::GetPersonalData
            | Operation::ChangePayment(_)
            | Operation::ChangePaymentBatch
            | Operation::RecordLabel
            | Operation::ActivatePolicy
            | Operation::GetActivePolicy
            | Operation::StartBacktest
            | Operation::ListBacktests
            | Operation::GetBacktest
            | Operation::ListBacktestPayments
            | Operation::CancelBacktest
            | Operation::CreateList
            | Operation::ListLists
            | Operation::GetList
            | Operation::DeleteList
            | Operation::AddListValues
            | Operation::RemoveListValues
            | Operation::ListListValues
            | Operation::GetListValue
            | Operation::SetEntityAttributes
            | Operation::CreateApiKey
            | Operation::ListApiKeys
            | Operation::GetApiKey
            | Operation::RevokeApiKey
            | Operation::GetApprovalRules
            | Operation::SetApprovalRules
            | Operation::CreateProposal
            | Operation::ListProposals
            | Operation::GetProposal
            | Operation::EndProposal(_)
            | Operation::ListEvents
            | Operation::ConfirmClock
            | Operation::ProveTransfer
            | Operation::ProvePayment
            | Operation::ProveEntry
            | Operation::ProveConsistency
            | Operation::GetCheckpoint
            | Operation::GetProofKeys
            | Operation::GetTile
            | Operation::ListSegments
            | Operation::ReadSegment
            | Operation::ListInstallationSegments
            | Operation::ReadInstallationSegment
            | Operation::Health
            | Operation::Ready
            | Operation::Metrics
            | Operation::OpenApi => return Ok(None),
        };
        response.map(Some)
    }

    /// The id of a request to create something: derived from its `Idempotency-Key`. Without one, it is 0, and no retry is
    /// recognised.
    pub fn request_of(&self, call: &Call<'_>) -> RequestId {
        self.ids(call).request(call.head.route.path)
    }

    /// Derives the ids that the body leaves out.
    pub(crate) fn ids<'c>(&self, call: &Call<'c>) -> IdSource<'c> {
        let Installation { tenant, id_secret, .. } = self.installation;
        IdSource { secret: id_secret, tenant, key: call.head.key() }
    }

    /// The guard that the headers of a request ask for. The body was parsed already.
    fn guard(&self, call: &Call<'_>) -> Result<Guard, Problem> {
        let key = self.ids(call).key(call.head.route.path, call.head.path_id(), call.body)?;
        Ok(Guard { key, if_match: call.head.if_match().cloned() })
    }

    /// Asks for an operation under the guard that the headers ask for.
    pub(crate) async fn ask_guarded<O>(&self, call: &Call<'_>, parsed: Parsed<O>) -> Result<O::Reply, S::Failure>
    where
        O: engine::Operation + Into<Guardable> + Send,
    {
        self.answer_guarded(call, parsed).await?.map_err(refused)
    }

    /// Like [`Edge::ask_guarded`], with the engine's answer, which may be a refusal.
    pub(crate) async fn answer_guarded<O>(&self, call: &Call<'_>, parsed: Parsed<O>) -> Result<Answered<O>, S::Failure>
    where
        O: engine::Operation + Into<Guardable> + Send,
    {
        let guard = self.guard(call)?;
        if guard.key.is_none() && guard.if_match.is_none() {
            return self.answer_to(call, parsed).await;
        }
        let Parsed { request, operation } = parsed;
        self.answer_to(call, Parsed { request, operation: Guarded { guard, operation } }).await
    }

    /// Asks the engine on the caller's behalf.
    pub(crate) async fn ask<O>(&self, call: &Call<'_>, parsed: Parsed<O>) -> Result<O::Reply, S::Failure>
    where
        O: engine::Operation + Send,
    {
        self.answer_to(call, parsed).await?.map_err(refused)
    }

    pub(crate) async fn ask_unnamed<O>(&self, call: &Call<'_>, operation: O) -> Result<O::Reply, S::Failure>
    where
        O: engine::Operation + Send,
    {
        self.ask(call, unnamed(operation)).await
    }

    /// Returns the engine's answer, which may be a refusal.
    pub(crate) async fn answer_to<O>(&self, call: &Call<'_>, parsed: Parsed<O>) -> Result<Answered<O>, S::Failure>
    where
        O: engine::Operation + Send,
    {
        self.sources.ask(call.actor, parsed.request, parsed.operation).await
    }

    /// Asks for an operation, or for a dry run of it.
    pub(crate) async fn try_out<O>(
        &self,
        call: &Call<'_>,
        Parsed { request, operation }: Parsed<O>,
        trial: Trial,
    ) -> Result<Answered<O>, S::Failure>
    where
        O: engine::Operation + Into<DryRun> + Send,
    {
        match trial {
            Trial::Real => self.answer_to(call, Parsed { request, operation }).await,
            Trial::Dry => self.answer_to(call, Parsed { request, operation: Dry(operation) }).await,
        }
    }

    /// Asks for an operation under the guard that the headers ask for, or for a dry run of it.
    pub(crate) async fn try_out_guarded<O>(
        &self,
        call: &Call<'_>,
        parsed: Parsed<O>,
        trial: Trial,
    ) -> Result<Answered<O>, S::Failure>
    where
        O: engine::Operation + Into<DryRun> + Into<Guardable> + Send,
    {
        match trial {
            Trial::Real => self.answer_guarded(call, parsed).await,
            Trial::Dry => self.try_out(call, parsed, trial).await,
        }
    }

    /// Renders something that names ledgers.
    pub(crate) fn show<T>(&self, show: impl FnOnce(&Assets) -> Result<T, Unknown>) -> Result<T, S::Failure> {
        show(&self.sources.assets()).map_err(|unknown| self.sources.internal(unknown.what()))
    }
}

/// Converts a refusal to the problem that the client receives.
pub(crate) fn refused<F: From<Problem>>(refusal: Refusal) -> F {
    Problem::from(&refusal).into()
}

/// A problem with a query parameter.
pub(crate) fn parameter(name: &str, detail: impl Into<String>) -> Problem {
    Problem::new(ErrorCode::InvalidParameter, detail).at(name)
}
