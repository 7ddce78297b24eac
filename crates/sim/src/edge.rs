//! Requests on their way between the network and the queue. Each one is a future of [`edge::Edge::answer`], the
//! function that a server calls too. The process polls it when the request arrives and whenever the engine has answered
//! it.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use api::{CursorOrigin, Operation, Problem, Scope, packed};
use datadir::KeyStore;
use edge::{Body, Edge, Head, Headers, Installation, Installed, Installer, Response, Sources};
use engine::{
    Answer, Answered, AnyTransfer, Command, Engine, Entry, Fact, Operation as Asked, Page, PaymentReply,
    PolicyActivated, Reply, Request,
};
use index::Index;
use journal::{ContextSource, EntryInContext, Fault, FileReader};
use ledger::Assets;
use policy::{Bundle, Policy};
use serde_json::Value;
use types::{ActorId, CredentialId, Digest, PaymentId, RequestId, Seq, Timestamp};

use crate::SimDisk;
use crate::process::TENANT;

/// A request that a client sends, or that the server submits itself.
#[derive(Debug, Clone)]
pub(crate) enum Sent {
    /// A request over the network.
    Http(Http),
    /// A command that the server submits itself, such as a policy part, a principal or a credential.
    Within(Box<Command>),
}

impl Sent {
    pub(crate) fn within(command: impl Into<Command>) -> Self {
        Self::Within(Box::new(command.into()))
    }
}

/// A network request. It carries its actor instead of an API key.
#[derive(Debug, Clone)]
pub(crate) struct Http {
    pub(crate) operation: Operation,
    pub(crate) actor: ActorId,
    /// The credential that it claims to use.
    pub(crate) credential: CredentialId,
    pub(crate) key: Option<String>,
    /// The value of `{id}` in the route, or of `{entity}/{key}`.
    pub(crate) id: String,
    pub(crate) query: String,
    pub(crate) body: Vec<u8>,
}

/// State that all requests of one process share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) keys: KeyStore<SimDisk>,
    installation: Installation,
    reader: FileReader<SimDisk>,
    pub(crate) index: Index,
    known: Mutex<Known>,
    /// How much randomness was used, which makes each next piece differ.
    drawn: AtomicU64,
}

/// The state after the engine's last decision.
#[derive(Debug, Default)]
struct Known {
    /// The time of the last entry.
    now: Timestamp,
    policy: Option<Arc<Policy>>,
    assets: Arc<Assets>,
}

impl Shared {
    pub(crate) fn new(
        keys: KeyStore<SimDisk>,
        history: CursorOrigin,
        reader: FileReader<SimDisk>,
        index: Index,
    ) -> Self {
        let installation = Installation::new(TENANT, history, &keys);
        Self { keys, installation, reader, index, known: Mutex::default(), drawn: AtomicU64::new(0) }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The time by which look-ups see deadlines.
    pub(crate) fn now(&self) -> Timestamp {
        self.known().now
    }

    pub(crate) fn note(&self, engine: &Engine, policy: Option<Arc<Policy>>) {
        let mut known = self.known();
        known.now = engine.clock();
        if engine.ledgers().len() > known.assets.len() {
            known.assets = Arc::new(Assets::new(engine.ledgers()));
        }
        known.policy = policy;
    }

    fn read(&self, seq: Seq) -> Result<Option<Entry>, Fault> {
        self.reader.entry(seq)
    }
}

impl ContextSource for Shared {
    fn assets(&self) -> Arc<Assets> {
        Arc::clone(&self.known().assets)
    }

    fn policy(&self, activated: Seq) -> Result<Option<Arc<PolicyActivated>>, Fault> {
        Ok(match self.read(activated)?.map(|entry| entry.fact) {
            Some(Fact::PolicyActivated(policy)) => Some(policy),
            None
            | Some(
                Fact::JournalStarted { .. }
                | Fact::JournalContinued { .. }
                | Fact::Ledger(_)
                | Fact::PaymentDecided(_)
                | Fact::PaymentChanged(_)
                | Fact::LabelRecorded(_)
                | Fact::ArtifactStored(_)
                | Fact::Identity(_)
                | Fact::Approval(_)
                | Fact::Setting(_)
                | Fact::List(_)
                | Fact::EntityAttributes(_)
                | Fact::PersonalDataRead(_)
                | Fact::KeyUsed(_)
                | Fact::StateDigest(_),
            ) => None,
        })
    }
}

/// Why a request has no response.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The client receives the problem.
    Problem(Problem),
    /// The journal cannot be read.
    Unread(Fault),
    /// The index cannot be read.
    NoIndex(index::Fault),
    /// An internal error.
    Internal(&'static str),
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl Failure {
    fn of_index(fault: index::Fault) -> Self {
        match fault {
            index::Fault::Log(fault) => Self::Unread(fault),
            fault => Self::NoIndex(fault),
        }
    }
}

/// The connection between a request and the engine.
#[derive(Debug, Default)]
struct Line {
    asked: Option<Request>,
    answer: Option<Answer>,
}

/// The sources of one request's edge.
#[derive(Debug)]
struct Desk {
    shared: Arc<Shared>,
    line: Arc<Mutex<Line>>,
}

impl Sources for Desk {
    type Failure = Failure;
    type Keys = KeyStore<SimDisk>;

    fn internal(&self, what: &'static str) -> Failure {
        Failure::Internal(what)
    }

    fn keys(&self) -> &Self::Keys {
        &self.shared.keys
    }

    fn fill_with_random(&self, bytes: &mut [u8]) {
        let drawn = self.shared.drawn.fetch_add(1, Ordering::Relaxed);
        let random = Digest::of(&drawn.to_le_bytes());
        for (byte, random) in bytes.iter_mut().zip(random.as_bytes().iter().cycle()) {
            *byte = *random;
        }
    }

    fn last_used(&self, _: CredentialId) -> Option<Timestamp> {
        None
    }

    fn policy(&self) -> Option<Arc<Policy>> {
        self.shared.known().policy.clone()
    }

    /// The new policy is already active when the engine has answered.
    async fn policy_changes(&self) {}

    fn assets(&self) -> Arc<Assets> {
        ContextSource::assets(&*self.shared)
    }

    async fn ask<O: Asked + Send>(&self, actor: ActorId, id: RequestId, asked: O) -> Result<Answered<O>, Failure> {
        let line = || self.line.lock().unwrap_or_else(PoisonError::into_inner);
        line().asked = Some(Request { tenant: TENANT, actor, id, command: asked.into() });
        let answer = std::future::poll_fn(|_| line().answer.take().map_or(Poll::Pending, Poll::Ready)).await;
        Ok(O::answer(answer))
    }

    async fn install(&self, by: Installer, bundle: Bundle) -> Result<Installed, Failure> {
        let policy = Policy::compile(&bundle).map_err(Problem::invalid_policy)?;
        edge::install(self, by, &bundle, Arc::new(policy)).await
    }

    async fn payment(&self, id: PaymentId) -> Result<Option<PaymentReply>, Failure> {
        let found = self.shared.index.read_payment(id).map_err(Failure::of_index)?;
        Ok(found.map(|found| found.reply(self.shared.now())))
    }

    async fn decision(&self, id: PaymentId) -> Result<Option<Entry>, Failure> {
        self.shared.index.read_decision(id).map_err(Failure::of_index)
    }

    async fn in_context(&self, entry: Entry) -> Result<EntryInContext, Failure> {
        EntryInContext::of(entry, &*self.shared).map_err(Failure::Unread)
    }
}

type Answering = Pin<Box<dyn Future<Output = Result<Option<Response>, Failure>>>>;

/// A request in progress.
pub(crate) struct Exchange {
    line: Arc<Mutex<Line>>,
    answering: Answering,
    /// The engine's answers so far.
    answers: Vec<Answer>,
}

impl std::fmt::Debug for Exchange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exchange").field("answers", &self.answers).finish_non_exhaustive()
    }
}

/// The state of a request after it was polled.
#[derive(Debug)]
pub(crate) enum Went {
    /// The request waits for an answer of the engine.
    Asks(Request),
    /// The request is finished.
    Over(Result<Response, Failure>),
}

impl Exchange {
    pub(crate) fn new(shared: &Arc<Shared>, http: Http) -> Self {
        let line = Arc::default();
        let desk = Desk { shared: Arc::clone(shared), line: Arc::clone(&line) };
        let edge = Edge { installation: shared.installation, sources: desk };
        let answering = async move {
            let Http { operation, actor, credential, key, id, query, body } = &http;
            let route = api::ROUTES.iter().find(|route| route.operation == *operation);
            let route = route.expect("every operation has a route");
            let key = key.as_ref().map(String::as_bytes);
            let head = Head::read(
                route,
                &route.path.replace("{id}", id).replace("{entity}/{key}", id),
                query,
                Headers { key, if_match: None },
            )?;
            let (actor, sender) = (*actor, (*credential).into());
            edge.answer(&edge::Call { head: &head, actor, sender, scopes: Scope::ALL, body }).await
        };
        Self { line, answering: Box::pin(answering), answers: Vec::new() }
    }

    /// Passes an answer of the engine to the request and polls it.
    pub(crate) fn go_on(&mut self, answer: Option<Answer>) -> Went {
        self.answers.extend(answer.clone());
        self.line.lock().unwrap_or_else(PoisonError::into_inner).answer = answer;
        let polled = self.answering.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        match polled {
            Poll::Ready(Ok(Some(response))) => Went::Over(Ok(response)),
            Poll::Ready(Ok(None)) => Went::Over(Err(Failure::Internal("the engine does not answer this"))),
            Poll::Ready(Err(failure)) => Went::Over(Err(failure)),
            Poll::Pending => {
                let asked = self.line.lock().unwrap_or_else(PoisonError::into_inner).asked.take();
                Went::Asks(asked.expect("a request waits for the engine alone"))
            }
        }
    }

    /// Checks SIM-8: the bytes that a client receives match the engine's last answer.
    pub(crate) fn check(&self, over: &Result<Response, Failure>) -> Result<(), String> {
        let fails = |what: &str| Err(format!("SIM-8: {what} in {over:?} to {:?}", self.answers));
        match over {
            Ok(response) => match self.answers.last() {
                Some(Ok(reply)) => check_rendered(reply, response).or_else(|what| fails(&what)),
                _ => fails("the engine gave no successful answer"),
            },
            Err(Failure::Problem(problem)) => {
                let code = problem.code();
                let shown = serde_json::to_value(problem.body()).map_err(|error| format!("SIM-8: {error}"))?;
                let told = |answer: &Answer| answer.as_ref().err().map(|refusal| Problem::from(refusal).code());
                let mut refused = self.answers.iter().filter_map(told);
                let is_derived = code == api::ErrorCode::TransferNotCancellable.into()
                    || self.answers.last().is_some_and(|answer| is_of_a_payment(answer, problem))
                    // Values of an entity become tokens as the active policy says.
                    || (code == api::ErrorCode::EntityNotFound.into()
                        && matches!(self.answers.last(), Some(Ok(Reply::List(_)))));
                if shown["code"] != code.as_str() || !(is_derived || refused.any(|refused| refused == code)) {
                    return fails("the error code differs from the engine's");
                }
                Ok(())
            }
            Err(Failure::Internal(what)) => Err(format!("SIM-3: an answer cannot be rendered: {what}")),
            Err(Failure::Unread(fault)) => Err(format!("SIM-3: an answer cannot be rendered: {fault}")),
            Err(Failure::NoIndex(fault)) => Err(format!("SIM-3: an answer cannot be rendered: {fault}")),
        }
    }
}

/// Whether the edge itself found the problem: the active policy does not accept the payment.
fn is_of_a_payment(answer: &Answer, problem: &Problem) -> bool {
    match answer {
        Err(engine::Refusal::PaymentNotFound(_)) => true,
        Ok(Reply::Payment(_)) => problem.code().as_str() == "payment_exists_with_different_content",
        _ => false,
    }
}

/// Checks that a response matches the reply that it was rendered from.
fn check_rendered(reply: &Reply, response: &Response) -> Result<(), String> {
    let ensure = |same: bool, what: &str| if same { Ok(()) } else { Err(what.to_owned()) };
    let bytes = match (reply, &response.body) {
        (Reply::AccountResults(_) | Reply::TransferResults(_) | Reply::Accounts(_) | Reply::Transfers(_), body) => {
            let Body::Packed(bytes) = body else {
                return Err("the response is JSON, expected packed records".to_owned());
            };
            return check_packed(reply, bytes);
        }
        (_, Body::Json(bytes)) => bytes,
        (_, Body::Packed(_)) => return Err("the response is packed records, expected JSON".to_owned()),
    };
    let shown: Value = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    let text = |field: &str| shown[field].as_str();
    let items =
        |count: usize| ensure(shown["items"].as_array().map(Vec::len) == Some(count), "the number of items differs");
    let page = |count: usize, goes_on: bool| {
        items(count)?;
        ensure(shown["next_cursor"].is_string() == goes_on, "`next_cursor` is wrong")
    };
    let results = |made: Vec<bool>| {
        let told = shown["results"].as_array().into_iter().flatten();
        let told = told.map(|one| ["account", "transfer", "payment"].iter().any(|name| one[*name].is_object()));
        ensure(told.eq(made), "the results differ")
    };
    match reply {
        Reply::LedgerMade((_, book)) => ensure(shown["id"] == book.id.get(), "the ledger differs"),
        Reply::Ledgers(all) if shown["items"].is_array() => items(all.len()),
        Reply::Account(reply) | Reply::AccountMade((_, reply)) => {
            let account = &reply.account;
            // A list of accounts that is filtered by holder and contains one account.
            let shown = if shown["items"].is_array() { &shown["items"][0] } else { &shown };
            let sides = [
                ("debits_pending", account.debits_pending),
                ("debits_posted", account.debits_posted),
                ("credits_pending", account.credits_pending),
                ("credits_posted", account.credits_posted),
            ];
            let same = sides.iter().all(|(name, amount)| shown[name] == amount.to_string());
            ensure(same, "the balances differ")
        }
        Reply::Transfer(AnyTransfer::Made(reply))
        | Reply::TransferMade((_, AnyTransfer::Made(reply)))
        | Reply::TransferChanged((_, reply)) => {
            ensure(text("amount") == Some(&reply.transfer.amount.to_string()), "the amount differs")
        }
        Reply::Transfer(AnyTransfer::Scheduled(one)) | Reply::TransferMade((_, AnyTransfer::Scheduled(one))) => {
            ensure(text("id") == Some(&one.new.key.to_string()), "the scheduled transfer differs")
        }
        // The last question about a batch, of which some payments were decided earlier.
        Reply::Payment(_) if shown["results"].is_array() => Ok(()),
        Reply::Payment(reply) | Reply::PaymentMade((_, reply)) => {
            let payment = &reply.payment;
            let said = (text("status"), text("amount"));
            ensure(said == (Some(payment.status.name()), Some(&payment.amount.to_string())), "the payment differs")
        }
        Reply::Import(status) | Reply::ImportMade((_, status)) => {
            let same = text("state") == Some(status.state.name()) && shown["accounts"] == status.progress.accounts;
            ensure(same && shown["transfers"] == status.progress.transfers, "the import differs")
        }
        Reply::Sums((_, totals)) => {
            let said = (text("debits_posted"), text("credits_pending"));
            let expected = (totals.debits_posted.to_string(), totals.credits_pending.to_string());
            ensure(said == (Some(&*expected.0), Some(&*expected.1)), "the sums differ")
        }
        Reply::AccountOrders(answers) => results(answers.iter().map(Result::is_ok).collect()),
        Reply::TransferOrders(answers) => results(answers.iter().map(Result::is_ok).collect()),
        // Some payments of the batch may not have reached the engine.
        Reply::PaymentsMade(_) => Ok(()),
        Reply::AccountsPage(Page { items, next }) => page(items.len(), next.is_some()),
        Reply::Pending(Page { items, next }) => page(items.len(), next.is_some()),
        Reply::Scheduled(Page { items, next }) => page(items.len(), next.is_some()),
        Reply::Imports(all) => items(all.len()),
        Reply::Credential(told) => ensure(shown["id"] == told.credential.added.credential.get(), "the API key differs"),
        Reply::CredentialMade((made, told)) if shown["api_key"].is_object() => {
            let number = told.credential.added.credential.get();
            let prefix = format!("fin_{number}_");
            let is_shown = text("key").is_some_and(|key| key.starts_with(&prefix));
            let same = shown["api_key"]["id"] == number && is_shown == (*made == engine::Made::Now);
            ensure(same, "the new API key differs")
        }
        Reply::CredentialMade((_, told)) => {
            let id = told.credential.added.credential.get();
            ensure(shown["id"] == id && text("status") == Some("revoked"), "the revoked API key differs")
        }
        Reply::Credentials(Page { items, next }) => page(items.len(), next.is_some()),
        Reply::ApprovalRules(reply) | Reply::ApprovalRulesMade((_, reply)) => {
            ensure(text("limits") == Some(reply.rules.limits.name()), "the approval rules differ")
        }
        Reply::Proposal(told) | Reply::ProposalMade((_, told)) => {
            let id = told.proposal.made.proposal.to_string();
            ensure(text("id") == Some(&id) && text("status") == Some(told.status.name()), "the proposal differs")
        }
        Reply::Proposals(Page { items, next }) => page(items.len(), next.is_some()),
        Reply::Policy(active) | Reply::PolicyMade((_, active)) => {
            ensure(shown["sequence"] == active.seq.get(), "the policy differs")
        }
        Reply::List(told) | Reply::ListMade((_, told)) => {
            ensure(shown["version"] == told.version.get() && shown["values"] == told.values, "the list differs")
        }
        Reply::Lists(all) => items(all.len()),
        Reply::ListChanged(told) => ensure(
            shown["changed"] == told.changed && shown["list"]["version"] == told.list.version.get(),
            "the list differs",
        ),
        Reply::ListValues(Page { items, next }) => page(items.len(), next.is_some()),
        Reply::ListedValue(told) => ensure(shown["sequence"] == told.added.get(), "the value of a list differs"),
        Reply::EntityAttributes(told) | Reply::EntityAttributesMade((_, told)) => {
            let shown = shown["attributes"].as_array().map(Vec::len);
            ensure(shown == Some(told.attributes.len()), "the attributes differ")
        }
        Reply::Label((_, label)) => ensure(text("label") == Some(label.label.name.as_str()), "the label differs"),
        // A request for one ledger reads all of them. The other answers contain nothing to compare, or are packed.
        Reply::Ledgers(_)
        | Reply::NextCredential(_)
        | Reply::Principals(_)
        | Reply::Admitted(_)
        | Reply::Setting(_)
        | Reply::Settings(_)
        | Reply::SettingMade(_)
        | Reply::Made(_)
        | Reply::Cancelled(_)
        | Reply::Features(_)
        | Reply::TransferIds(_)
        | Reply::PendingStates(_)
        | Reply::AccountsOpened(_)
        | Reply::AccountResults(_)
        | Reply::TransferResults(_)
        | Reply::Accounts(_)
        | Reply::Transfers(_) => Ok(()),
    }
}

fn check_packed(reply: &Reply, bytes: &[u8]) -> Result<(), String> {
    let times = |size: usize| {
        let records = bytes.chunks(size);
        records.map(|record| record.first_chunk().map(|time| u64::from_le_bytes(*time))).collect::<Vec<_>>()
    };
    let same = match reply {
        Reply::TransferResults(made) => {
            let with_balances = !made.balances.is_empty();
            let size = if with_balances { packed::RESULT_WITH_BALANCES_BYTES } else { packed::ResultRecord::BYTES };
            times(size) == made.results.iter().map(|result| Some(result.timestamp.ns())).collect::<Vec<_>>()
        }
        Reply::AccountResults(results) => {
            let told = results.iter().map(|result| Some(result.timestamp.ns())).collect::<Vec<_>>();
            times(packed::ResultRecord::BYTES) == told
        }
        Reply::Accounts(all) => bytes.len() == all.len() * packed::AccountRecord::BYTES,
        Reply::Transfers(all) => bytes.len() == all.len() * packed::TransferRecord::BYTES,
        _ => false,
    };
    if same { Ok(()) } else { Err("the records differ".to_owned()) }
}
