//! Starts a server: opens the first tenant and the system journal of a data directory.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use datadir::{JOURNAL, KeySource, KeyStoreError, RecoverError, ShardPlace};
use disk::{Directory, DirectoryError};
use edge::admission::Limits;
use engine::WritesClosed;
use journal::{Layout, Recovered};
use oauth::HttpUri;
use pipeline::ClockBounds;
use types::{ActorId, Span, TenantId, Timestamp};
use vault::KeyTenant;

use crate::clock::{Clock, Clocks};
use crate::core::Core;
use crate::http::{Host, Listening};
use crate::identity::{BuiltIn, Fetch};
use crate::proofs::ProofError;
use crate::shard::{FirstKey, Setup, Shard, has_journal, refuse_a_lost_journal};
use crate::tenants::{Installation, Tenants, newest_tenant_directory};
use crate::threads::CommitError;

/// The options of a start. None of them changes what is decided.
#[derive(Debug, Clone)]
pub struct Options {
    /// The data directory. It is created if it does not exist.
    pub data: PathBuf,
    /// The sizes of the journal's segment files.
    pub layout: Layout,
    /// Most events that wait for the engine. Each event of a batch counts. Further requests are refused.
    pub queue_events_max: usize,
    /// How many requests are admitted.
    pub limits: Limits,
    /// A file with the first API key of a new installation, instead of a generated one. It is read only if there is no key yet.
    pub first_api_key_file: Option<PathBuf>,
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
    /// How long a tenant other than the first stays open without a request.
    pub tenant_idle: Span,
    /// Most tenants that are open at the same time, the first not counted.
    pub open_tenants: usize,
    /// The key that signs checkpoints; `None` to run without proofs.
    pub proofs: Option<KeySource>,
    /// The address that clients use, such as `https://pay.example`: the name of the built-in issuer. Without it, the issuer is off.
    pub public_url: Option<String>,
    /// Whether TLS clients can show certificates, to which the built-in issuer then binds tokens.
    pub takes_certificates: bool,
    /// How to get the keys of other issuers. Without it, only the tokens of the built-in issuer count.
    pub fetch: Option<Arc<dyn Fetch>>,
}

impl Options {
    /// The default options for this directory.
    pub fn new(data: &Path) -> Self {
        Self {
            data: data.to_owned(),
            layout: Layout::STANDARD,
            queue_events_max: 65_536,
            limits: Limits::STANDARD,
            first_api_key_file: None,
            new_api_key: None,
            clock: ClockBounds::STANDARD,
            confirm_clock: false,
            disk_reserve_bytes: Self::DISK_RESERVE_BYTES,
            scrub_period: Self::SCRUB_PERIOD,
            tenant_idle: Self::TENANT_IDLE,
            open_tenants: Self::OPEN_TENANTS,
            proofs: Some(KeySource::Kept),
            public_url: None,
            takes_certificates: false,
            fetch: None,
        }
    }

    /// The options for the other shards of a data directory. One-time options are for the first tenant, and so is a key for
    /// checkpoints that is kept elsewhere: every history needs a key of its own.
    pub(crate) fn of_another_shard(&self) -> Self {
        Self {
            layout: self.layout.growing(),
            first_api_key_file: None,
            new_api_key: None,
            confirm_clock: false,
            proofs: self.proofs.as_ref().map(|_| KeySource::Kept),
            ..self.clone()
        }
    }

    /// 1 GiB, which is more than the work in progress when writes stop.
    pub const DISK_RESERVE_BYTES: u64 = 1 << 30;
    /// 10 minutes.
    pub const TENANT_IDLE: Span = Span::from_secs(600);
    /// 256.
    pub const OPEN_TENANTS: usize = 256;
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
    /// The directory has tenants but no system journal. With a new one, they would be unknown.
    #[error(
        "{0} has tenants, but no system journal, which says what they are: restore it from a copy with `finaira restore`; nothing was changed"
    )]
    SystemJournalMissing(PathBuf),
    /// The first API key that was given cannot be used.
    #[error("the first API key cannot be used: {0}")]
    FirstApiKey(String),
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
    /// No tenant of the installation can have this number.
    #[error("there is no tenant {0}")]
    NoSuchTenant(TenantId),
    /// The principal that should get the new API key does not exist, or is the system.
    #[error("principal {0} cannot get an API key; those that can are: {1}")]
    NoSuchPrincipal(ActorId, String),
    #[error(transparent)]
    Proofs(#[from] ProofError),
    /// The built-in issuer cannot start.
    #[error("the built-in issuer: {0}")]
    Issuer(String),
    #[error("cannot start a thread: {0}")]
    Thread(std::io::Error),
}

/// A running server, and what the start found.
#[derive(Debug)]
pub struct Opened {
    /// The first tenant.
    pub core: Core,
    /// The API key of the first tenant that this start created, if any.
    pub api_key: Option<NewKey>,
    /// What recovery found in the journal of the first tenant.
    pub recovered: Recovered,
    first: Shard,
    system: Shard,
    tenants: Arc<Tenants>,
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
    /// Opens a data directory: the system journal and the first tenant. Other tenants are opened when they are needed.
    ///
    /// # Errors
    /// If the directory is in use, damaged, from another version, or cannot be written.
    pub fn open(options: &Options) -> Result<Self, OpenError> {
        Self::open_by(options, Arc::new(Clock))
    }

    pub(crate) fn open_by(options: &Options, clocks: Arc<dyn Clocks>) -> Result<Self, OpenError> {
        refuse_a_lost_journal(&options.data)?;
        // Its lock is the lock of the whole data directory.
        let journal = Directory::open(&options.data.join(JOURNAL))?;
        let place = ShardPlace::found(&options.data, &journal).map_err(RecoverError::from)?;
        let installation = Arc::<Installation>::default();
        // First, because a first start shows its API key only once, so nothing should fail after the first tenant was opened.
        let system = open_system(&options.of_another_shard(), &installation, Arc::clone(&clocks))?;
        let key_tenant = KeyTenant::of(place.tenant, false);
        let first_key = options.new_api_key.map_or(FirstKey::IfNone, FirstKey::For);
        let setup = Setup { place, journal, key_tenant, first_key, installation: Arc::clone(&installation) };
        let mut first = match Shard::open(options, setup, Arc::clone(&clocks)) {
            Ok(first) => first,
            Err(error) => {
                system.core.stop();
                // Whatever ends the system journal now, the first tenant is the reason to report.
                drop(system.end());
                return Err(error);
            }
        };
        system.core.shared().guard.follow_clock_of(&first.core);
        if let Some(origin) = &options.public_url
            && let Err(error) =
                begin_identity(&options.data, (origin, options.takes_certificates), &installation, first.core.now())
        {
            first.core.stop();
            system.core.stop();
            drop(first.end().and(system.end()));
            return Err(error);
        }
        let options = options.of_another_shard();
        let (api_key, recovered) = (first.api_key.take(), first.recovered.clone());
        let core = first.core.clone();
        let tenants = Tenants::new(options, clocks, (core.clone(), system.core.clone()), installation);
        Ok(Self { core, api_key, recovered, first, system, tenants })
    }

    /// Serves HTTP on a bound socket until `stop` resolves or the journal of the first tenant or of the system fails. Then it
    /// finishes the requests in progress, writes the marks and returns.
    ///
    /// # Errors
    /// If a failure ended it.
    pub async fn serve(
        self,
        listening: impl Into<Listening>,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), Stopped> {
        let (first, system) = (self.core.clone(), self.system.core.clone());
        let tenants = Arc::clone(&self.tenants);
        let until = async move {
            tokio::select! {
                () = stop => {}
                () = first.failed() => {}
                () = system.failed() => {}
            }
            first.drain();
            tenants.drain();
        };
        let opening = tokio::spawn(Arc::clone(&self.tenants).run());
        let keeping = tokio::spawn(crate::identity::keep(Arc::clone(&self.tenants)));
        let fetching = tokio::spawn(crate::identity::keep_keys(Arc::clone(&self.tenants)));
        crate::http::serve(self.host(), listening.into(), until).await;
        opening.abort();
        keeping.abort();
        fetching.abort();
        self.end().await
    }

    /// Closes every tenant, the first one last.
    pub(crate) async fn end(self) -> Result<(), Stopped> {
        self.tenants.close().await;
        let joined = tokio::task::spawn_blocking(move || self.close()).await;
        joined.unwrap_or_else(|panicked| std::panic::resume_unwind(panicked.into_panic()))
    }

    /// Stops without having served.
    ///
    /// # Errors
    /// If the journal failed.
    pub fn close(self) -> Result<(), Stopped> {
        let Self { core, first, system, tenants, .. } = self;
        core.stop();
        system.core.stop();
        drop(tenants);
        let ended = system.end();
        first.end().and(ended)
    }

    /// What the router needs.
    pub(crate) fn host(&self) -> Arc<Host> {
        Host::new(Arc::clone(&self.tenants))
    }
}

/// Starts the built-in issuer.
fn begin_identity(
    data: &Path,
    (origin, takes_certificates): (&str, bool),
    installation: &Installation,
    now: Timestamp,
) -> Result<(), OpenError> {
    let origin = origin.trim_end_matches('/');
    let uri = HttpUri::parse(origin).map_err(|error| OpenError::Issuer(format!("{origin}: {error}")))?;
    let folder = ShardPlace::of_the_system(data).directory.join("issuer");
    let built_in = BuiltIn::open(&folder, (origin, takes_certificates), now);
    let built_in = built_in.map_err(|error| OpenError::Issuer(error.to_string()))?;
    installation.identity.begin(uri, Some(built_in), now);
    Ok(())
}

/// Opens the system journal, whose state is the settings of the installation.
fn open_system(
    options: &Options,
    installation: &Arc<Installation>,
    clocks: Arc<dyn Clocks>,
) -> Result<Shard, OpenError> {
    let place = ShardPlace::of_the_system(&options.data);
    refuse_a_lost_journal(&place.directory)?;
    if !has_journal(&place.directory) && newest_tenant_directory(&options.data).is_some() {
        return Err(OpenError::SystemJournalMissing(options.data.clone()));
    }
    let journal = Directory::open(&place.folder(JOURNAL))?;
    let setup = Setup {
        place,
        journal,
        key_tenant: KeyTenant::First,
        first_key: FirstKey::Never,
        installation: Arc::clone(installation),
    };
    Shard::open(options, setup, clocks)
}

impl Core {
    /// Resolves when the engine thread and the journal thread have ended.
    pub(crate) async fn failed(&self) {
        let mut running = self.shared().running.clone();
        while running.changed().await.is_ok() {}
    }
}

/// The default listen address.
pub const DEFAULT_ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 7070);
