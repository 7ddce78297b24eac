//! A running shard: its journal, its engine and its threads. The first tenant, the system journal and every other tenant
//! that is open is one.

use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;

use datadir::{
    INDEX, JOURNAL, KEY_OWNER, KEYS, KeyStore, PROOFS, Pace, Secret, ShardPlace, Started, Terms, new_origin, random,
    recover, system_random,
};
use disk::Directory;
use edge::auth::ApiKeys;
use engine::{Command, CredentialAdded, CredentialKind, Engine, PrincipalAdded, PrincipalKind, Request};
use index::Index;
use journal::{DurableLog as _, FileJournal, Recovered, SegmentStore as _, TailBounds};
use pipeline::{Ask, Decider, Writer};
use policy::{Bundle, Policy};
use tokio::sync::{oneshot, watch as latest};
use types::{ActorId, CredentialId, RequestId, Seq, Span, TenantId, Timestamp};
use vault::{ApiKey, KeyTenant};

use crate::background::Background;
use crate::clock::Clocks;
use crate::core::{Core, Shared};
use crate::guard::{Guard, GuardOf};
use crate::metrics::Metrics;
use crate::open::{KeyFor, NewKey, OpenError, Options, Stopped};
use crate::policies::Policies;
use crate::proofs::{self, ProofError, Prover};
use crate::readers::Readers;
use crate::scrub::Scrub;
use crate::tail::Tail;
use crate::tenants::Installation;
use crate::threads::{CommitError, FailOnPanic, Inbox, ReplyTo, Threads, Wiring};
use crate::watch::{self, Reserve};

/// Which shard is opened, and what it has that others do not.
#[derive(Debug)]
pub(crate) struct Setup {
    pub(crate) place: ShardPlace,
    /// The folder of the journal, which may be locked before anything else is opened.
    pub(crate) journal: Directory,
    pub(crate) key_tenant: KeyTenant,
    pub(crate) first_key: FirstKey,
    /// The settings of the installation. If this is the system journal, they follow it.
    pub(crate) installation: Arc<Installation>,
}

/// Whether opening a shard may make an API key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FirstKey {
    /// If the shard has none.
    IfNone,
    /// In any case, for this principal.
    For(KeyFor),
    Never,
}

/// A running shard, and what its start found.
#[derive(Debug)]
pub(crate) struct Shard {
    pub(crate) core: Core,
    /// The API key that this start created, if any.
    pub(crate) api_key: Option<NewKey>,
    /// What recovery found in the journal.
    pub(crate) recovered: Recovered,
    threads: Threads,
    background: Background,
    prover: Option<JoinHandle<Result<(), ProofError>>>,
}

impl Shard {
    /// Opens a shard and starts its threads.
    ///
    /// # Errors
    /// If the directory is in use, damaged, from another version, or cannot be written.
    pub(crate) fn open(options: &Options, setup: Setup, clocks: Arc<dyn Clocks>) -> Result<Self, OpenError> {
        let Setup { place, journal: journal_directory, key_tenant, first_key, installation } = setup;
        let ShardPlace { shard, tenant, .. } = place;
        let keys_directory = Directory::open(&place.folder(KEYS))?;
        let index_directory = Directory::open(&place.folder(INDEX))?;
        let signed = proofs::signed_before_opening(&journal_directory, &keys_directory, shard)?;
        let terms = Terms { layout: options.layout, shard, tenant, pace: Pace::Standard, signed };
        let Started { mut engine, journal, recovered, index, notes } =
            recover(&journal_directory, &index_directory, terms, new_origin)?;
        let keys =
            Arc::new(KeyStore::open(&keys_directory, journal.lineage(), recovered.last > Seq::ZERO, system_random())?);
        let proofs_directory = Directory::open(&place.folder(PROOFS))?;
        let proven = proofs::Place {
            proofs: proofs_directory.clone(),
            keys: &keys_directory,
            identity: journal.identity(),
            shard,
        };
        let metrics = Arc::new(Metrics::new());
        // Before anything is decided, because an operator must look at a journal that lost entries.
        let (prover, proofs) = match &options.proofs {
            Some(source) => {
                let (prover, proofs) = proofs::open(proven, source, journal.segments(), Arc::clone(&metrics))?;
                (Some(prover), Some(proofs))
            }
            None => {
                proofs::check(proven, journal.durable())?;
                (None, None)
            }
        };
        let policy = compile_active(&engine)?;
        if let Some(policy) = &policy {
            engine.stage_policy(Arc::clone(policy));
        }
        let last = (engine.applied() > Seq::ZERO).then(|| engine.clock());
        let of = GuardOf { tenant, is_first: place.directory == options.data };
        let guard = Guard::new(of, clocks, options.clock, last, Arc::clone(&metrics));
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
        let first = (first_key, options.first_api_key_file.as_deref());
        let api_key = prepare(&mut decider, &mut writer, (&keys, &index), &guard, (tenant, key_tenant), first)?;
        let journal = writer.journal();
        let api_keys = Arc::<ApiKeys>::default();
        api_keys.follow(decider.engine());
        let (durable_sender, durable) = latest::channel(journal.durable());
        let (running_sender, running) = latest::channel(());
        let core = Core::new(Shared {
            tenant,
            shard,
            key_tenant,
            identity: journal.identity(),
            inbox: Inbox::new(options.queue_events_max),
            reader: journal.segments(),
            index,
            readers: Readers::default(),
            policies: Policies::default(),
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
            installation,
            next_due_ns: AtomicU64::new(decider.engine().next_due().map_or(u64::MAX, Timestamp::ns)),
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

    /// Waits until all threads have ended. The proofs thread ends last, so that its checkpoint covers everything that the others
    /// wrote.
    pub(crate) fn end(self) -> Result<(), Stopped> {
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
pub(crate) fn refuse_a_lost_journal(directory: &Path) -> Result<(), OpenError> {
    if !has_journal(directory) && directory.join(KEYS).join(KEY_OWNER).is_file() {
        return Err(OpenError::JournalMissing(directory.join(JOURNAL)));
    }
    Ok(())
}

/// Whether a directory has a journal with at least one segment.
pub(crate) fn has_journal(directory: &Path) -> bool {
    let is_segment = |item: std::io::Result<std::fs::DirEntry>| {
        item.is_ok_and(|item| item.file_name().to_string_lossy().starts_with("segment-"))
    };
    std::fs::read_dir(directory.join(JOURNAL)).is_ok_and(|mut items| items.any(is_segment))
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

/// The first API key that the operator chose. Its text must be what a generated one would have.
fn read_first_key(file: &Path, (tenant, credential): (KeyTenant, CredentialId)) -> Result<ApiKey, OpenError> {
    let text = Secret::read(file).map_err(|error| OpenError::FirstApiKey(error.to_string()))?;
    let key: ApiKey =
        text.reveal().parse().map_err(|error| OpenError::FirstApiKey(format!("{}: {error}", file.display())))?;
    if (key.tenant(), key.credential()) != (tenant, credential) {
        let detail = format!("{}: expected a key that begins with {tenant}{credential}_", file.display());
        return Err(OpenError::FirstApiKey(detail));
    }
    tracing::info!(file = %file.display(), "the first API key is the one in the file");
    Ok(key)
}

/// Writes the entries that a new journal needs: the first entry, and a principal with an API key, if it gets one. A further API
/// key belongs to an existing principal, so that its owner remains the same actor. Returns a key that was generated.
fn prepare(
    decider: &mut Decider,
    writer: &mut Writer<ReplyTo, FileJournal<Directory>>,
    (keys, index): (&KeyStore<Directory>, &Index),
    guard: &Guard,
    (tenant, key_tenant): (TenantId, KeyTenant),
    (first_key, given): (FirstKey, Option<&Path>),
) -> Result<Option<NewKey>, OpenError> {
    let (now, closed) = guard.observe();
    if decider.engine().applied() == Seq::ZERO {
        writer.hold(decider.start(now, writer.journal().identity().origin));
    }
    let newest = decider.engine().credentials().map(|known| known.added.credential.get()).max();
    let mut revealed = None;
    let owner_wanted = match first_key {
        FirstKey::IfNone => newest.is_none().then_some(KeyFor::OnlyPrincipal),
        FirstKey::For(owner) => Some(owner),
        FirstKey::Never => None,
    };
    if let Some(wanted) = owner_wanted {
        if let Some(closed) = closed {
            return Err(OpenError::WritesClosed(closed));
        }
        let mut commands: Vec<Command> = Vec::new();
        let owner = owner(decider.engine(), wanted)?;
        let (principal, name) = owner.unwrap_or_else(|| {
            let (actor, name) = (ActorId::new(1), Box::from("made at start"));
            commands.push(
                PrincipalAdded { actor, kind: PrincipalKind::Service, name: Box::clone(&name), subject: None }.into(),
            );
            (actor, name)
        });
        let credential = CredentialId::new(newest.unwrap_or(0) + 1);
        let key = match given.filter(|_| newest.is_none()) {
            Some(file) => read_first_key(file, (key_tenant, credential))?,
            None => {
                let key = ApiKey::generate(credential, &mut random).of(key_tenant);
                revealed = Some(NewKey { principal: (principal, name), key: key.reveal() });
                key
            }
        };
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
            let request = Request { tenant, actor: ActorId::SYSTEM, id: RequestId::default(), command };
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
