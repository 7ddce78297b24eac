//! An engine with a short history and the edge before it, which answer requests from fuzz input.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};

use api::audit::Deed;
use api::explanations::NoPolicy;
use api::past::{Instant, Sums, TransferFilter};
use api::{CursorOrigin, Operation, Problem, Scope};
use edge::{
    Body, Call as Asked, Edge, Head, Installation, Installed, Installer, Sources, StatementPage, Wanted, WithState,
};
use engine::{
    AdmitSubject, Answered, Applied, CreatePayment, CredentialAdded, CredentialKind, Engine, Entry, Expected, Fact,
    NewPayment, Page, PastPayment, PaymentReply, PersonalDataRead, PolicyActivated, PrincipalAdded, PrincipalKind,
    PutSetting, RemoveSetting, Request, SettingKind,
};
use journal::{ContextSource, EntryInContext, Fault, FrameBuilder};
use ledger::{Account, Assets, Transfer};
use policy::{Bundle, Policy};
use types::{
    AccountId, ActorId, CredentialId, Digest, KeyId, LedgerId, Origin, PaymentId, RequestId, Sealed, Seq, ShardId,
    Span, TenantId, Timestamp, Token, TokenSubject, TransferId,
};

use crate::history;
use crate::request::Call;
use crate::{Verdict, check_line};

pub(crate) const SHARD: ShardId = ShardId::new(0);
pub(crate) const TENANT: TenantId = TenantId::new(1);
/// The history that cursors belong to.
pub(crate) const HISTORY: CursorOrigin = CursorOrigin { origin: Origin::new(0x1234), shard: SHARD };
/// The time at which the engine's history begins.
const START: Timestamp = Timestamp::from_ns(1_795_000_000_000_000_000);
const ACTOR: ActorId = ActorId::new(1);
/// The API key of every request.
const CREDENTIAL: CredentialId = CredentialId::new(1);

/// The state from which every run starts.
#[derive(Debug)]
pub(crate) struct Past {
    pub(crate) policy: Arc<Policy>,
    pub(crate) entries: Vec<Entry>,
}

/// An engine that has replayed the past, with the edge before it.
#[derive(Debug)]
pub(crate) struct Desk(Edge<Room>);

/// What the edge uses. The engine answers at once, and only the engine stores transfers.
#[derive(Debug)]
pub(crate) struct Room {
    policy: Option<Arc<Policy>>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    engine: Engine,
    /// The entries since the past.
    made: Vec<Entry>,
}

static PAST: OnceLock<Past> = OnceLock::new();

/// The entries of the past. There are none while it is being built.
fn past_entries() -> &'static [Entry] {
    PAST.get().map_or(&[], |past| &past.entries)
}

/// Returns the past, which is built once from requests of the API.
pub(crate) fn past() -> &'static Past {
    PAST.get_or_init(|| {
        let bundle = fixtures::bundle(&history::policy());
        let policy = fixtures::compile(&bundle);
        let desk = Desk::empty(Some(Arc::clone(&policy)));
        desk.install(&bundle, &policy).expect("the policy is installed");
        desk.add_the_key();
        let accounts = history::imported_accounts();
        for request in history::REQUESTS.iter().map(|request| request.as_bytes()).chain([accounts.as_slice()]) {
            let shown = String::from_utf8_lossy(request);
            let call = Call::read(request).unwrap_or_else(|problem| panic!("{shown}: {}", problem.detail()));
            assert_eq!(call.answer(&desk), Verdict::Accepted, "{shown}");
        }
        desk.add_settings();
        let entries = std::mem::take(&mut desk.0.sources.state().made);
        Past { policy, entries }
    })
}

impl Desk {
    pub(crate) fn open() -> Self {
        let Past { policy, entries } = past();
        let mut engine = Engine::new(SHARD, TENANT);
        for entry in entries {
            engine.apply(entry);
        }
        engine.stage_policy(Arc::clone(policy));
        Self::of(engine, Vec::new(), Some(Arc::clone(policy)))
    }

    /// Creates a desk without a past.
    fn empty(policy: Option<Arc<Policy>>) -> Self {
        let (mut engine, mut made) = (Engine::new(SHARD, TENANT), Vec::new());
        engine.start(START, HISTORY.origin, &mut |applied: Applied<'_>| made.push(applied.entry.clone()));
        Self::of(engine, made, policy)
    }

    fn of(engine: Engine, made: Vec<Entry>, policy: Option<Arc<Policy>>) -> Self {
        let sources = Room { policy, state: Mutex::new(State { engine, made }) };
        Self(Edge { installation: Installation::new(TENANT, HISTORY, &Plain), sources })
    }

    /// Adds the API key that every request uses.
    fn add_the_key(&self) {
        let principal =
            PrincipalAdded { actor: ACTOR, kind: PrincipalKind::Service, name: "fuzz".into(), subject: None };
        let credential = CredentialAdded {
            credential: CREDENTIAL,
            principal: ACTOR,
            kind: CredentialKind::ApiKey { hash: Digest::of(b"fuzz") },
            scopes: api::Scope::ALL.bits(),
            name: "fuzz".into(),
            expires_at: None,
        };
        let sources = &self.0.sources;
        sources.execute(ActorId::SYSTEM, RequestId::default(), principal).expect("the principal is added");
        sources.execute(ActorId::SYSTEM, RequestId::default(), credential).expect("the key is added");
    }

    /// Makes the entries that no route of the API makes.
    fn add_settings(&self) {
        let sources = &self.0.sources;
        let name = || "https://login.example.org".parse().expect("an address is a name");
        let document = r#"{"audience": "finaira"}"#.into();
        let kind = SettingKind::Issuer;
        let put = PutSetting { kind, name: name(), document, expected: Expected::Absent };
        sources.execute(ACTOR, RequestId::default(), put).expect("the setting is put");
        let remove = RemoveSetting { kind, name: name(), expected: Expected::Any };
        sources.execute(ACTOR, RequestId::default(), remove).expect("the setting is removed");
        let subject = TokenSubject::new("https://login.example.org", "3f2a").expect("short texts");
        let admit = AdmitSubject { subject, kind: PrincipalKind::Person, name: "Ann".into() };
        sources.execute(ACTOR, RequestId::default(), admit).expect("the principal is added");
        let read = PersonalDataRead { payment: PaymentId::new(21), attributes: [].into() };
        sources.execute(ACTOR, RequestId::new(9), read).expect("the read is recorded");
    }

    fn install(&self, bundle: &Bundle, policy: &Arc<Policy>) -> Result<(), Problem> {
        let by = Installer { actor: ActorId::SYSTEM, request: RequestId::default(), key: None };
        at_once(edge::install(&self.0.sources, by, bundle, Arc::clone(policy))).map(drop)
    }

    /// Answers a request. This must succeed, whatever the request is. Returns `None` if no engine answers it.
    pub(crate) fn answer(&self, head: &Head, body: &[u8]) -> Option<Verdict> {
        if head.route.operation == Operation::ActivatePolicy {
            // Another target covers policies.
            return None;
        }
        let call = Asked { head, actor: ACTOR, sender: CREDENTIAL.into(), scopes: Scope::ALL, body };
        let answered = match at_once(self.0.answer(&call)) {
            Ok(None) => at_once(self.0.answer_from_the_past(&call)),
            answered => answered,
        };
        match answered {
            Ok(None) => None,
            Ok(Some(response)) => {
                if let Body::Json(json) = &response.body {
                    let read = serde_json::from_slice::<serde_json::Value>(json);
                    assert!(read.is_ok_and(|json| json.is_object()), "a response is an object: {response:?}");
                }
                Some(Verdict::Accepted)
            }
            Err(problem) => Some(check_problem(&problem)),
        }
    }

    /// Decides a payment. This must succeed, whatever the payment is.
    pub(crate) fn create(&self, payment: Box<NewPayment>) -> Verdict {
        let id = RequestId::new(payment.payment.get());
        match self.0.sources.execute(ACTOR, id, CreatePayment(payment)) {
            Ok(_) => Verdict::Accepted,
            Err(refusal) => check_problem(&Problem::from(&refusal)),
        }
    }

    /// Checks that every entry can be journaled, reads back unchanged, and replays to the same state.
    pub(crate) fn close(self) {
        let State { engine, made } = self.0.sources.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut builder = FrameBuilder::default();
        let mut frames = Vec::new();
        for entry in &made {
            if builder.try_push(entry).is_none() {
                frames.extend(builder.finish());
                builder.push(entry);
            }
        }
        frames.extend(builder.finish());
        let read: Vec<Entry> =
            frames.iter().flat_map(|frame| frame.entries().expect("journaled entries can be read")).collect();
        assert!(read == made, "entries read back unchanged: {made:?} and {read:?}");
        let replayed = Self::open();
        let replayed = &mut replayed.0.sources.state().engine;
        for entry in &read {
            assert!(replayed.agrees_with(entry), "a replay agrees with {entry:?}");
            replayed.apply(entry);
        }
        assert_eq!(replayed.digest(), engine.digest(), "a replay gives the same state");
    }
}

/// Returns the result of a future that never waits.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => done,
        Poll::Pending => panic!("no future of the desk waits"),
    }
}

impl Room {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, seq: Seq) -> Option<Entry> {
        let is_it = |entry: &&Entry| entry.header.seq == seq;
        let made = self.state().made.iter().find(is_it).cloned();
        made.or_else(|| past_entries().iter().find(is_it).cloned())
    }

    fn execute<O: engine::Operation>(&self, actor: ActorId, id: RequestId, operation: O) -> Answered<O> {
        let State { engine, made } = &mut *self.state();
        let now = engine.clock().saturating_add(Span::from_ns(1_000_000_000));
        let mut sink = |applied: Applied<'_>| made.push(applied.entry.clone());
        // As in a server, everything that is due is executed first.
        while engine.execute_due(now, &mut sink) {}
        let request = Request { tenant: TENANT, actor, id, command: operation.into() };
        O::answer(engine.execute(now, &request, &mut sink))
    }
}

impl Sources for Room {
    type Failure = Problem;
    type Keys = Plain;

    fn internal(&self, what: &'static str) -> Problem {
        panic!("{what}")
    }

    fn keys(&self) -> &Plain {
        &Plain
    }

    fn fill_with_random(&self, bytes: &mut [u8]) {
        bytes.fill(7);
    }

    fn last_used(&self, _: CredentialId) -> Option<Timestamp> {
        None
    }

    fn policy(&self) -> Option<Arc<Policy>> {
        self.policy.clone()
    }

    async fn policy_changes(&self) {}

    fn assets(&self) -> Arc<Assets> {
        Arc::new(Assets::new(self.state().engine.ledgers()))
    }

    async fn ask<O: engine::Operation + Send>(
        &self,
        actor: ActorId,
        id: RequestId,
        operation: O,
    ) -> Result<Answered<O>, Problem> {
        Ok(self.execute(actor, id, operation))
    }

    async fn install(&self, by: Installer, bundle: Bundle) -> Result<Installed, Problem> {
        let policy = Policy::compile(&bundle).map_err(Problem::invalid_policy)?;
        edge::install(self, by, &bundle, Arc::new(policy)).await
    }

    async fn payment(&self, id: PaymentId) -> Result<Option<PaymentReply>, Problem> {
        let mut found: Option<PastPayment> = None;
        for entry in past_entries().iter().chain(&self.state().made) {
            match &mut found {
                Some(found) => drop(found.follow(entry)),
                None => found = PastPayment::new(entry).filter(|found| found.payment.id == id),
            }
        }
        Ok(found.map(|found| found.reply(edge::Past::now(self))))
    }

    async fn decision(&self, id: PaymentId) -> Result<Option<Entry>, Problem> {
        let decides = |entry: &&Entry| matches!(&entry.fact, Fact::PaymentDecided(decided) if decided.payment == id);
        Ok(past_entries().iter().chain(&self.state().made).find(decides).cloned())
    }

    async fn in_context(&self, entry: Entry) -> Result<EntryInContext, Problem> {
        Ok(EntryInContext::of(entry, self).expect("everything is in memory"))
    }
}

impl ContextSource for Room {
    fn assets(&self) -> Arc<Assets> {
        Sources::assets(self)
    }

    fn policy(&self, activated: Seq) -> Result<Option<Arc<PolicyActivated>>, Fault> {
        let policy = |entry: Entry| {
            if let Fact::PolicyActivated(policy) = entry.fact { Some(policy) } else { None }
        };
        Ok(self.find(activated).and_then(policy))
    }
}

/// There is no index, so queries of the past find nothing.
impl edge::Past for Room {
    async fn payments(&self, _: edge::PaymentsWanted, _: Timestamp) -> Result<Page<engine::Payment, Seq>, Problem> {
        Ok(Page { items: Vec::new(), next: None })
    }

    async fn entity(&self, _: Token, _: usize, _: Timestamp) -> Result<api::EntityTotals, Problem> {
        let now = self.state().engine.clock();
        Ok(api::EntityTotals { seen: Some((now, now)), ..api::EntityTotals::default() })
    }

    fn now(&self) -> Timestamp {
        self.state().engine.clock()
    }

    async fn with_policy<T: Send + 'static>(
        &self,
        _: Seq,
        artifact: Digest,
        job: impl FnOnce(Result<&Policy, &NoPolicy>) -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let policy = self.policy.as_deref().filter(|policy| policy.digest() == artifact);
        Ok(job(policy.ok_or(&NoPolicy::Incomplete)))
    }

    async fn transfers(&self, _: Wanted) -> Result<Page<Transfer, u64>, Problem> {
        Ok(Page { items: Vec::new(), next: None })
    }

    async fn transfers_with_states(&self, _: Wanted, _: Timestamp) -> Result<Page<WithState, u64>, Problem> {
        Ok(Page { items: Vec::new(), next: None })
    }

    async fn transfers_that_fit(
        &self,
        _: Vec<TransferId>,
        _: TransferFilter,
        _: Option<AccountId>,
        _: Timestamp,
    ) -> Result<Vec<WithState>, Problem> {
        Ok(Vec::new())
    }

    async fn balances(&self, _: Account, _: Wanted) -> Result<Page<(Transfer, Account), u64>, Problem> {
        Ok(Page { items: Vec::new(), next: None })
    }

    async fn account_at(&self, account: Account, _: Instant) -> Result<Account, Problem> {
        Ok(account)
    }

    async fn statement(&self, _: Account, _: (Timestamp, Timestamp), _: usize) -> Result<StatementPage, Problem> {
        Ok(StatementPage { opening: Sums::default(), lines: Vec::new(), next: None })
    }

    async fn audit(&self, wanted: edge::AuditWanted) -> Result<Page<Deed, Seq>, Problem> {
        let state = self.state();
        let fitting = past_entries().iter().chain(&state.made).filter(|entry| wanted.filter.fits(entry));
        Ok(Page { items: fitting.take(wanted.limit).map(Deed::from).collect(), next: None })
    }

    async fn totals_at(&self, _: LedgerId, _: Timestamp) -> Result<Sums, Problem> {
        Ok(Sums::default())
    }
}

/// Keys that protect nothing: tokens are plain hashes, and sealed data is the plaintext.
#[derive(Debug)]
pub(crate) struct Plain;

impl vault::Keys for Plain {
    fn token(&self, _: TenantId, kind: &str, value: &str, _: bool) -> Result<Token, vault::Full> {
        Ok(Token::new(Digest::of(format!("{kind} {value}").as_bytes()).head_u128()))
    }

    fn known_token(&self, tenant: TenantId, kind: &str, value: &str, personal: bool) -> Option<Token> {
        self.token(tenant, kind, value, personal).ok()
    }

    fn request_hash(&self, _: TenantId, canonical: &[u8]) -> Digest {
        Digest::of(canonical)
    }

    fn seal_section(
        &self,
        _: TenantId,
        _: Option<(&str, &str)>,
        _: &[u8],
        parts: &[vault::Part<'_>],
    ) -> Result<Sealed, vault::Full> {
        let parts: Vec<(&[u8], &[u8])> = parts.iter().map(|part| (part.label, part.value)).collect();
        let ciphertext = serde_json::to_vec(&parts).expect("bytes are JSON");
        Ok(Sealed { keys: vec![KeyId::new(1)], ciphertext: ciphertext.into() })
    }

    fn unseal_section(
        &self,
        _: TenantId,
        _: &[u8],
        sealed: &Sealed,
    ) -> Result<Vec<vault::OpenedPart>, vault::UnsealError> {
        let parts: Vec<(Vec<u8>, Vec<u8>)> =
            serde_json::from_slice(&sealed.ciphertext).or(Err(vault::UnsealError::Damaged))?;
        Ok(parts.into_iter().map(|(label, value)| vault::OpenedPart { label, value: Some(value) }).collect())
    }

    fn unseal(&self, _: TenantId, _: &[u8], sealed: &Sealed) -> Result<Vec<u8>, vault::UnsealError> {
        Ok(sealed.ciphertext.to_vec())
    }
}

/// Checks that a client may see this problem.
pub(crate) fn check_problem(problem: &Problem) -> Verdict {
    assert!((400..600).contains(&problem.status()), "{problem:?}");
    serde_json::to_vec(&problem.body()).expect("a problem is JSON");
    check_line(problem.detail())
}

/// Checks that a compiled policy can be activated in a new engine.
pub(crate) fn activate(bundle: &Bundle, policy: &Arc<Policy>) {
    if let Err(problem) = Desk::empty(None).install(bundle, policy) {
        check_problem(&problem);
    }
}
