//! Starts a server: opens the keys and the journal, restores the state, and starts the threads.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;

use datadir::{
    INDEX, JOURNAL, KEY_OWNER, KEYS, KeySource, KeyStore, KeyStoreError, PROOFS, Pace, RecoverError, SHARD, Started,
    TENANT, Terms, new_origin, random, recover, system_random,
};
use disk::{Directory, DirectoryError};
use edge::auth::ApiKeys;
use engine::{Command, CredentialAdded, CredentialKind, Engine, PrincipalAdded, PrincipalKind, Request, WritesClosed};
use index::Index;
use journal::{DurableLog, FileJournal, Layout, Recovered, SegmentStore, TailBounds};
use pipeline::{Ask, ClockBounds, Decider, Writer};
use policy::{Bundle, Policy};
use tokio::sync::{oneshot, watch as latest};
use types::{ActorId, CredentialId, RequestId, Seq, Span};
use vault::ApiKey;

use crate::background::Background;
use crate::clock::{Clock, Clocks};
use crate::core::{Core, Shared};
use crate::guard::Guard;
use crate::http::Listening;
use crate::metrics::Metrics;
use crate::proofs::{self, ProofError, Prover};
use crate::readers::Readers;
use crate::scrub::Scrub;
use crate::tail::Tail;
use crate::threads::{CommitError, FailOnPanic, Inbox, ReplyTo, Threads, Wiring};
use crate::watch::{self, Reserve};

/// The options of a start. None of them changes what is decided.
#[derive(Debug, Clone)]
pub struct Options {
    /// The data directory. It is created if it does not exist.
    pub data: PathBuf,
    /// The sizes of the journal's segment files.
    pub layout: Layout,
    /// Most events that wait for the engine. Each event of a batch counts. Further requests are refused.
    pub queue_events_max: usize,
    /// Creates one more API key, in case one was lost.
    pub new_api_key: Option<KeyFor>,
    /// How far ahead the wall clock may be before writes are refused.
    pub clock: ClockBounds,
    /// Whether an operator confirmed the wall clock, however long after the last entry it is.
    pub confirm_clock: bool,
    /// Bytes that must stay free on the disk. With less, writes are refused.
    pub disk_reserve_bytes: u64,
    /// Period within which the scrub rereads every sealed segment.
    pub scrub_period: Span,
    /// The key that signs checkpoints; `None` to run without proofs.
    pub proofs: Option<KeySource>,
}

impl Options {
    /// The default options for this directory.
    pub fn new(data: &Path) -> Self {
        Self {
            data: data.to_owned(),
            layout: Layout::STANDARD,
            queue_events_max: 65_536,
            new_api_key: None,
            clock: ClockBounds::STANDARD,
            confirm_clock: false,
            disk_reserve_bytes: Self::DISK_RESERVE_BYTES,
            scrub_period: Self::SCRUB_PERIOD,
            proofs: Some(KeySource::Kept),
        }
    }

    /// 1 GiB, which is more than the work in progress when writes stop.
    pub const DISK_RESERVE_BYTES: u64 = 1 << 30;
    /// 24 hours.
    pub const SCRUB_PERIOD: Span = Span::from_secs(24 * 3_600);
}

/// Whose API key a start creates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyFor {
    /// The only principal, apart from the system.
    OnlyPrincipal,
    Principal(ActorId),
}

/// An API key that a start created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewKey {
    /// The principal that it identifies, and its name.
    pub principal: (ActorId, Box<str>),
    /// The key itself, which is shown once and not stored.
    pub key: String,
}

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory has keys but no journal.
    #[error(
        "{0} has no journal, but there are keys that belong to one: put the journal back, mount its volume, or restore it from a copy with `finaira restore`; nothing was changed"
    )]
    JournalMissing(PathBuf),
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    #[error(transparent)]
    Keys(#[from] KeyStoreError),
    #[error(transparent)]
    Recover(#[from] RecoverError),
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// The active policy of the journal does not compile with this release.
    #[error("the active policy {name} does not compile with this release: {problem}")]
    Policy { name: String, problem: String },
    /// Writes are refused, for example because the clock is not believed.
    #[error("a new API key cannot be made now: {0}")]
    WritesClosed(WritesClosed),
    /// There are several principals, and nobody said which one gets the new API key.
    #[error("there are several principals; say which one gets the new API key, with --principal: {0}")]
    SeveralPrincipals(String),
    /// The principal that should get the new API key does not exist, or is the system.
    #[error("principal {0} cannot get an API key; those that can are: {1}")]
    NoSuchPrincipal(ActorId, String),
    #[error(transparent)]
    Proofs(#[from] ProofError),
    #[error("cannot start a thread: {0}")]
    Thread(std::io::Error),
}

/// A running engine, and what the start found.
#[derive(Debug)]
pub struct Opened {
    pub core: Core,
    /// The API key that this start created, if any.
    pub api_key: Option<NewKey>,
    /// What recovery found in the journal.
    pub recovered: Recovered,
    threads: Threads,
    background: Background,
    prover: Option<JoinHandle<Result<(), ProofError>>>,
}

/// Why a server ended.
#[derive(Debug, thiserror::Error)]
pub enum Stopped {
    /// The journal or the key store failed.
    #[error("stopped because of a failure: {0}")]
    Failed(CommitError),
    /// A part of the index is damaged and was removed. Opening the directory again rebuilds it from the journal.
    #[error("stopped because of a failure: the index failed: {fault}")]
    IndexDamaged {
        fault: index::Fault,
        /// Whether the clock was believed. If so, the next opening may accept it without an operator.
        is_clock_believed: bool,
    },
    /// The journal differs from the one for which checkpoints were signed.
    #[error("stopped: {0}")]
    Proofs(#[from] ProofError),
}

impl Opened {
    /// Opens a data directory and starts the threads.
    ///
    /// # Errors
    /// If the directory is in use, damaged, from another version, or cannot be written.
    pub fn open(options: &Options) -> Result<Self, OpenError> {
        Self::open_by(options, Arc::new(Clock))
    }

    pub(crate) fn open_by(options: &Options, clocks: Arc<dyn Clocks>) -> Result<Self, OpenError> {
        refuse_a_lost_journal(&options.data)?;
        let journal_directory = Directory::open(&options.data.join(JOURNAL))?;
        let keys_directory = Directory::open(&options.data.join(KEYS))?;
        let index_directory = Directory::open(&options.data.join(INDEX))?;
        let signed = proofs::signed_before_opening(&journal_directory, &keys_directory, SHARD)?;
        let terms = Terms { layout: options.layout, shard: SHARD, tenant: TENANT, pace: Pace::Standard, signed };
        let Started { mut engine, journal, recovered, index, notes } =
            recover(&journal_directory, &index_directory, terms, new_origin)?;
        let keys =
            Arc::new(KeyStore::open(&keys_directory, journal.lineage(), recovered.last > Seq::ZERO, system_random())?);
        let proofs_directory = Directory::open(&options.data.join(PROOFS))?;
        let place = proofs::Place {
            proofs: proofs_directory.clone(),
            keys: &keys_directory,
            identity: journal.identity(),
            shard: SHARD,
        };
        let metrics = Arc::new(Metrics::new());
        // Before anything is decided, because an operator must look at a journal that lost entries.
        let (prover, proofs) = match &options.proofs {
            Some(source) => {
                let (prover, proofs) = proofs::open(place, source, journal.segments(), Arc::clone(&metrics))?;
                (Some(prover), Some(proofs))
            }
            None => {
                proofs::check(place, journal.durable())?;
                (None, None)
            }
        };
        let policy = compile_active(&engine)?;
        if let Some(policy) = &policy {
            engine.stage_policy(Arc::clone(policy));
        }
        let last = (engine.applied() > Seq::ZERO).then(|| engine.clock());
        let guard = Guard::new(clocks, options.clock, last, Arc::clone(&metrics));
        if options.confirm_clock {
            guard.confirm_clock(ActorId::SYSTEM);
        }
        let reserve = Reserve {
            directories: vec![journal_directory.clone(), keys_directory, index_directory, proofs_directory],
            bytes: options.disk_reserve_bytes,
        };
        metrics.disk_reserve.set(i64::try_from(reserve.bytes).unwrap_or(i64::MAX));
        index.keep_free(reserve.bytes);
        let origin = journal.identity().origin;
        let scrub = Scrub::start(journal_directory, journal.segments(), origin, options.scrub_period, &guard);
        let mut decider = Decider::new(engine, notes);
        let mut writer = Writer::new(journal);
        let api_key = prepare(&mut decider, &mut writer, (&keys, &index), &guard, options.new_api_key)?;
        let journal = writer.journal();
        let api_keys = ApiKeys::default();
        api_keys.follow(decider.engine());
        let (durable_sender, durable) = latest::channel(journal.durable());
        let (running_sender, running) = latest::channel(());
        let core = Core::new(Shared {
            tenant: TENANT,
            shard: SHARD,
            identity: journal.identity(),
            inbox: Inbox::new(options.queue_events_max),
            reader: journal.segments(),
            index,
            readers: Readers::default(),
            durable,
            running,
            keys: Arc::clone(&keys),
            api_keys,
            policy: RwLock::new(policy),
            installing: tokio::sync::Mutex::new(()),
            metrics: Arc::clone(&metrics),
            guard,
            failure: Mutex::new(None),
            stopping: latest::Sender::new(false),
            tail: Tail::new(TailBounds::STANDARD),
            assets: RwLock::default(),
            opened_imports: RwLock::default(),
            proofs,
        });
        core.shared().note_decided(decider.engine());
        // Before the server accepts requests.
        watch::look(&core, &reserve);
        let background = Background::start(&core, reserve, scrub).map_err(OpenError::Thread)?;
        let wiring = Wiring { core: core.clone(), keys, metrics, durable: durable_sender, running: running_sender };
        let threads = Threads::start(decider, writer, wiring).map_err(OpenError::Thread)?;
        let prover = prover.map(|prover| start_prover(prover, core.clone())).transpose().map_err(OpenError::Thread)?;
        Ok(Self { core, api_key, recovered, threads, background, prover })
    }

    /// Serves HTTP on a bound socket until `stop` resolves or the journal fails. Then it finishes the requests in progress, writes
    /// the mark and returns.
    ///
    /// # Errors
    /// If a failure ended it.
    pub async fn serve(
        self,
        listening: impl Into<Listening>,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), Stopped> {
        let core = self.core.clone();
        let failed = core.clone();
        let until = async move {
            tokio::select! {
                () = stop => {}
                () = failed.failed() => {}
            }
            failed.drain();
        };
        crate::http::serve(core, listening.into(), until).await;
        self.core.stop();
        let joined = tokio::task::spawn_blocking(move || self.end()).await;
        joined.unwrap_or_else(|panicked| std::panic::resume_unwind(panicked.into_panic()))
    }

    /// Stops without having served.
    ///
    /// # Errors
    /// If the journal failed.
    pub fn close(self) -> Result<(), Stopped> {
        self.core.stop();
        self.end()
    }

    /// Waits until all threads have ended. The proofs thread ends last, so that its checkpoint covers everything that the others
    /// wrote.
    fn end(self) -> Result<(), Stopped> {
        let joined = self.threads.join();
        self.background.stop();
        let shared = self.core.shared();
        let proved = self.prover.map_or(Ok(Ok(())), JoinHandle::join);
        let given_up = shared.failure.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(failure) = joined.err().or(given_up) {
            let damage = if let CommitError::Index(fault) = &failure { fault.as_damage() } else { None };
            return Err(match damage {
                Some(fault) => Stopped::IndexDamaged { fault, is_clock_believed: shared.guard.is_clock_believed() },
                None => Stopped::Failed(failure),
            });
        }
        proved.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        Ok(())
    }
}

impl Core {
    /// Resolves when the engine thread and the journal thread have ended.
    async fn failed(&self) {
        let mut running = self.shared().running.clone();
        while running.changed().await.is_ok() {}
    }
}

/// Starts the proofs thread. If it finds that the journal differs from the one for which checkpoints were signed, the server
/// stops.
fn start_prover(prover: Prover, core: Core) -> std::io::Result<JoinHandle<Result<(), ProofError>>> {
    std::thread::Builder::new().name("proofs".to_owned()).spawn(move || {
        let _guard = FailOnPanic(&core.shared().inbox);
        prover.run(&core).inspect_err(|error| {
            tracing::error!(%error, "the journal is not the one that checkpoints were signed for");
            core.shared().inbox.fail();
        })
    })
}

/// Refuses a directory that has keys but no journal: the journal was lost, or its volume is not mounted. This is checked
/// before anything is created.
fn refuse_a_lost_journal(data: &Path) -> Result<(), OpenError> {
    let is_segment = |item: std::io::Result<std::fs::DirEntry>| {
        item.is_ok_and(|item| item.file_name().to_string_lossy().starts_with("segment-"))
    };
    let has_journal = std::fs::read_dir(data.join(JOURNAL)).is_ok_and(|mut items| items.any(is_segment));
    if !has_journal && data.join(KEYS).join(KEY_OWNER).is_file() {
        return Err(OpenError::JournalMissing(data.join(JOURNAL)));
    }
    Ok(())
}

fn compile_active(engine: &Engine) -> Result<Option<Arc<Policy>>, OpenError> {
    let Some((artifact, bytes)) = engine.active_artifact() else { return Ok(None) };
    let failed = |problem: String| OpenError::Policy { name: artifact.to_string(), problem };
    let bundle = Bundle::from_bytes(&bytes).map_err(|error| failed(error.to_string()))?;
    let compiled = Policy::recompile(&bundle);
    let policy = compiled.map_err(|problems| failed(problems.first().map(ToString::to_string).unwrap_or_default()))?;
    for warning in policy.warnings() {
        tracing::warn!(code = warning.code, %warning, "the active policy has a warning");
    }
    Ok(Some(Arc::new(policy)))
}

/// The principal that gets a new API key, and its name. `None` if there is no principal yet.
fn owner(engine: &Engine, wanted: KeyFor) -> Result<Option<(ActorId, Box<str>)>, OpenError> {
    let principals: Vec<(ActorId, Box<str>)> = engine
        .principals()
        .filter(|(_, principal)| principal.kind != PrincipalKind::System)
        .map(|(actor, principal)| (actor, principal.name.clone()))
        .collect();
    let listed = || principals.iter().map(|(actor, name)| format!("{actor} ({name})")).collect::<Vec<_>>().join(", ");
    match (wanted, principals.as_slice()) {
        (KeyFor::OnlyPrincipal, [] | [_]) => Ok(principals.into_iter().next()),
        (KeyFor::OnlyPrincipal, _) => Err(OpenError::SeveralPrincipals(listed())),
        (KeyFor::Principal(wanted), _) => match principals.iter().find(|(actor, _)| *actor == wanted) {
            Some(found) => Ok(Some(found.clone())),
            None => Err(OpenError::NoSuchPrincipal(wanted, listed())),
        },
    }
}

/// Writes the entries that a new journal needs: the first entry, and a principal with an API key. A further API key belongs
/// to an existing principal, so that its owner remains the same actor.
fn prepare(
    decider: &mut Decider,
    writer: &mut Writer<ReplyTo, FileJournal<Directory>>,
    (keys, index): (&KeyStore<Directory>, &Index),
    guard: &Guard,
    new_api_key: Option<KeyFor>,
) -> Result<Option<NewKey>, OpenError> {
    let (now, closed) = guard.observe();
    if decider.engine().applied() == Seq::ZERO {
        writer.hold(decider.start(now, writer.journal().identity().origin));
    }
    let newest = decider.engine().credentials().map(|known| known.added.credential.get()).max();
    let mut revealed = None;
    if newest.is_none() || new_api_key.is_some() {
        if let Some(closed) = closed {
            return Err(OpenError::WritesClosed(closed));
        }
        let mut commands: Vec<Command> = Vec::new();
        let owner = owner(decider.engine(), new_api_key.unwrap_or(KeyFor::OnlyPrincipal))?;
        let (principal, name) = owner.unwrap_or_else(|| {
            let (actor, name) = (ActorId::new(1), Box::from("made at start"));
            commands.push(
                PrincipalAdded { actor, kind: PrincipalKind::Service, name: Box::clone(&name), subject: None }.into(),
            );
            (actor, name)
        });
        let key = ApiKey::generate(CredentialId::new(newest.unwrap_or(0) + 1), &mut random);
        revealed = Some(NewKey { principal: (principal, name), key: key.reveal() });
        let added = CredentialAdded {
            credential: key.credential(),
            principal,
            kind: CredentialKind::ApiKey { hash: key.hash() },
            scopes: api::Scope::ALL.bits(),
            name: "made at start".into(),
            expires_at: None,
        };
        commands.push(added.into());
        let ask = |command| {
            let request = Request { tenant: TENANT, actor: ActorId::SYSTEM, id: RequestId::default(), command };
            // No caller waits for this answer.
            let (reply_to, _) = oneshot::channel();
            Ask { request, reply_to }
        };
        writer.hold(decider.work(now, commands.into_iter().map(ask)));
    }
    while writer.step(Span::ZERO, keys, index)?.is_some() {}
    writer.mark().map_err(CommitError::from)?;
    Ok(revealed)
}

/// The default listen address.
pub const DEFAULT_ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 7070);
