//! The HTTP adapter. Every route of [`api::ROUTES`] is received by [`call::Call`], which authenticates the caller and reads
//! the body. Then the crate `edge` answers it, or a handler here for what needs files or streams.

mod app;
mod backtests;
mod bodies;
mod call;
mod connections;
mod doors;
mod events;
pub(crate) mod failure;
mod framing;
mod host;
mod identity;
mod issuing;
mod local;
mod observe;
mod operations;
mod proofs;
mod segments;
mod sources;
mod tenants;

use std::future::Future;
use std::sync::Arc;

use api::routes::Method;
use api::{ErrorCode, Operation, Problem, ROUTES, Route};
use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, Uri, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodFilter, on};
use tokio::net::TcpListener;
use types::shorten;

use crate::descriptors;
pub(crate) use crate::http::app::App;
use crate::http::call::Call;
use crate::http::failure::{Failure, Handled};
pub(crate) use crate::http::host::Host;
pub(crate) use crate::http::local::Local;
use crate::tenants::Change;
use crate::tls::Tls;

const DPOP: HeaderName = HeaderName::from_static("dpop");
const DPOP_NONCE: HeaderName = HeaderName::from_static("dpop-nonce");

/// Where the server accepts connections, and what they need for TLS.
#[derive(Debug)]
pub struct Listening {
    pub listener: TcpListener,
    /// `None` for plain HTTP.
    pub tls: Option<Arc<Tls>>,
}

impl From<TcpListener> for Listening {
    /// Plain HTTP.
    fn from(listener: TcpListener) -> Self {
        Self { listener, tls: None }
    }
}

/// Answers requests until `until` resolves. Then it finishes open requests; see [`connections::serve`].
pub(crate) async fn serve(host: Arc<Host>, listening: Listening, until: impl Future<Output = ()> + Send + 'static) {
    let Listening { listener, tls } = listening;
    let metrics = Arc::clone(&host.home().core.shared().metrics);
    let following = tls.clone().map(|tls| tokio::spawn(tls.follow_files(metrics)));
    let active = Arc::clone(&host);
    let awake = tokio::spawn(async move { active.activity.stay_awake().await });
    let watch = tokio::spawn(doors::watch(Arc::clone(&host)));
    let connections_max = descriptors::Shares::now(host.tenants.open_wanted()).connections;
    let bounds = connections::Bounds { connections_max, patience: connections::Patience::STANDARD };
    connections::serve(&host, (listener, tls), bounds, until).await;
    awake.abort();
    watch.abort();
    if let Some(following) = following {
        following.abort();
    }
}

/// The router: every route of the table, behind the layers that all requests pass.
pub(crate) fn router(host: Arc<Host>) -> Router {
    let mut router = Router::new();
    for route in ROUTES {
        let filter = match route.method {
            Method::Get => MethodFilter::GET,
            Method::Post => MethodFilter::POST,
            Method::Put => MethodFilter::PUT,
        };
        let host = Arc::clone(&host);
        let handler = move |request: Request| answer(Arc::clone(&host), route, request);
        // A tile's path contains slashes.
        router = router.route(&route.path.replace("{tile}", "{*tile}"), on(filter, handler));
    }
    router
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(axum::middleware::from_fn_with_state(host, observe::observe))
}

async fn answer(host: Arc<Host>, route: &'static Route, request: Request) -> Response {
    let asks_for_nonce = request.headers().contains_key(DPOP);
    let mut response = answer_to(Arc::clone(&host), route, request).await;
    if asks_for_nonce {
        add_nonce(&host, &mut response);
    }
    response
}

/// Adds a nonce to the answer to a request with a proof. RFC 9449, section 8.2: a client always has one that counts.
fn add_nonce(host: &Host, response: &mut Response) {
    if let Ok(nonce) = HeaderValue::from_str(&host.identity().nonce(host.home().core.now())) {
        response.headers_mut().insert(DPOP_NONCE, nonce);
    }
}

async fn answer_to(host: Arc<Host>, route: &'static Route, request: Request) -> Response {
    let mut admitted = None;
    let mut response = match Call::receive(Arc::clone(&host), route, request, &mut admitted).await {
        Ok(call) => {
            let by = (call.app.core.tenant(), call.caller.actor);
            let response = match Box::pin(handle(call)).await {
                Ok(response) => response,
                Err(failure) => {
                    // The endpoints of the issuer know only then who asks.
                    let waited = host.doors.hold_back(&failure, &host.home().core).await;
                    observe::waited(waited, failure.into_response())
                }
            };
            observe::by(by, response)
        }
        Err(failure) => {
            let waited = host.doors.hold_back(&failure, &host.home().core).await;
            observe::waited(waited, failure.into_response())
        }
    };
    if let Some(admitted) = admitted {
        host.doors.answered(&admitted, response.headers_mut());
    }
    response
}

async fn handle(call: Call) -> Handled {
    match call.head.route.operation {
        Operation::CreateApiKey if call.is_local => local::create_key(&call).await,
        Operation::RevokeApiKey if call.is_local => local::revoke_key(&call).await,
        Operation::GetIndex => Ok(operations::index(&call)),
        Operation::ListEvents => events::list(call).await,
        Operation::ConfirmClock => operations::confirm_clock(&call),
        Operation::ProveTransfer => proofs::of_transfer(call).await,
        Operation::ProvePayment => proofs::of_payment(call).await,
        Operation::ProveEntry => proofs::of_entry(call).await,
        Operation::ProveConsistency => proofs::of_consistency(call).await,
        Operation::GetCheckpoint => proofs::checkpoint(call).await,
        Operation::GetProofKeys => proofs::keys(&call),
        Operation::GetTile => proofs::tile(call).await,
        Operation::ListSegments | Operation::ListInstallationSegments => segments::list(call).await,
        Operation::ReadSegment | Operation::ReadInstallationSegment => segments::read(call).await,
        Operation::StartBacktest => backtests::start(call).await,
        Operation::ListBacktests => Ok(backtests::list(&call)),
        Operation::GetBacktest => backtests::get(&call),
        Operation::ListBacktestPayments => backtests::payments(&call),
        Operation::CancelBacktest => backtests::cancel(&call),
        Operation::CreateTenant => tenants::create(call).await,
        Operation::ListTenants => tenants::list(&call),
        Operation::ListInstallationAudit => tenants::audit(call).await,
        Operation::GetTenant => tenants::get(call).await,
        Operation::SuspendTenant => tenants::change(call, Change::Suspend).await,
        Operation::ResumeTenant => tenants::change(call, Change::Resume).await,
        Operation::RemoveTenant => tenants::change(call, Change::Remove).await,
        Operation::SetTenantQuotas => tenants::set_quotas(call).await,
        Operation::CreateClient => identity::create_client(call).await,
        Operation::ListClients => identity::list_clients(&call),
        Operation::GetClient => identity::get_client(&call),
        Operation::RevokeClient => identity::revoke_client(call).await,
        Operation::RotateClientSecret => identity::rotate_client_secret(call).await,
        Operation::PutIssuer => identity::put_issuer(call).await,
        Operation::ListIssuers => identity::list_issuers(&call),
        Operation::GetIssuer => identity::get_issuer(&call),
        Operation::RemoveIssuer => identity::remove_issuer(call).await,
        Operation::PutRole => identity::put_role(call).await,
        Operation::ListRoles => identity::list_roles(&call),
        Operation::RemoveRole => identity::remove_role(call).await,
        Operation::RotateSigningKeys => identity::rotate_signing_keys(call).await,
        Operation::WithdrawSigningKey => identity::withdraw_signing_key(call).await,
        Operation::GetIssuerMetadata | Operation::GetOpenIdConfiguration => issuing::metadata(&call),
        Operation::GetIssuerKeys => issuing::keys(&call),
        Operation::IssueToken => issuing::token(&call),
        Operation::IntrospectToken => issuing::introspect(&call),
        Operation::RevokeToken => issuing::revoke(call).await,
        Operation::Health => Ok(operations::health()),
        Operation::Ready => operations::ready(&call),
        Operation::Metrics => Ok(operations::metrics(&call)),
        Operation::OpenApi => Ok(operations::openapi()),
        Operation::OpenLedger
        | Operation::ListLedgers
        | Operation::GetLedger
        | Operation::GetTrialBalance
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
        | Operation::ListAccountTransfers
        | Operation::ListAccountBalances
        | Operation::GetAccountBalance
        | Operation::GetStatement
        | Operation::ListPending
        | Operation::GetAddressBalances
        | Operation::ListTransfers
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
        | Operation::AccountTransfers
        | Operation::AccountBalances
        | Operation::QueryAccounts
        | Operation::QueryTransfers
        | Operation::CreatePayment
        | Operation::CreatePaymentBatch
        | Operation::ListPayments
        | Operation::GetPayment
        | Operation::GetDecision
        | Operation::GetExplanation
        | Operation::GetPersonalData
        | Operation::GetEntity
        | Operation::ListAudit
        | Operation::ChangePayment(_)
        | Operation::ChangePaymentBatch
        | Operation::RecordLabel
        | Operation::ActivatePolicy
        | Operation::GetActivePolicy
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
        | Operation::EndProposal(_) => answer_at_the_edge(&call).await,
    }
}

async fn answer_at_the_edge(call: &Call) -> Handled {
    let edge = &call.app.edge;
    let answered = match edge.answer(&call.at_the_edge()).await? {
        None => edge.answer_from_the_past(&call.at_the_edge()).await?,
        answered => answered,
    };
    answered.map(failure::rendered).ok_or_else(|| failure::internal("the edge does not answer one of its operations"))
}

async fn not_found(uri: Uri) -> Response {
    let detail = format!("there is no route {}", shorten(uri.path()));
    Failure::from(Problem::new(ErrorCode::NotFound, detail)).into_response()
}

async fn method_not_allowed(method: axum::http::Method, uri: Uri) -> Response {
    let of_path = ROUTES.iter().filter(|route| matches(route.path, uri.path())).map(|route| route.method.name());
    let allowed = of_path.collect::<Vec<_>>().join(", ");
    let (path, method) = (shorten(uri.path()), shorten(method.as_str()));
    let detail = format!("{path} does not have {method}, it has {allowed}");
    let mut response = Failure::from(Problem::new(ErrorCode::MethodNotAllowed, detail)).into_response();
    if let Ok(allowed) = HeaderValue::from_str(&allowed) {
        response.headers_mut().insert(header::ALLOW, allowed);
    }
    response
}

/// Whether a path matches a template such as `/v1/payments/{id}`.
fn matches(template: &str, path: &str) -> bool {
    (template.ends_with("{tile}") || template.split('/').count() == path.split('/').count())
        && template
            .split('/')
            .zip(path.split('/'))
            .all(|(expected, part)| expected.starts_with('{') || expected == part)
}
