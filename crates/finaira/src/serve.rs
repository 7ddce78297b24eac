//! `finaira serve` runs the engine and its HTTP API.

use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use datadir::{KeySource, NewSecretFile, Secret};
use disk::DirectoryError;
use journal::Layout;
use pipeline::ClockBounds;
use server::{ClientAuth, KeyFor, Limits, Listening, OpenError, Opened, Options, Stopped, Stopwatch, Tls, TlsFiles};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use types::{ActorId, Span};

use crate::stdio::outln;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Configuration file, in TOML; flags and the environment count before it
    #[arg(long, env = "FINAIRA_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Data directory, for the journal and the keys; created if it does not exist
    #[arg(long, env = "FINAIRA_DATA", value_name = "DIR")]
    data: PathBuf,
    /// Address and port to listen on, such as 127.0.0.1:7070 or localhost:7070; port 0 picks a free one
    #[arg(long, env = "FINAIRA_LISTEN", value_name = "ADDRESS", default_value_t = server::DEFAULT_ADDRESS.to_string())]
    listen: String,
    /// Speak plain HTTP on an address that other machines can reach, for example behind a proxy that speaks TLS
    #[arg(long, env = "FINAIRA_ALLOW_PLAIN_HTTP", value_enum, value_name = "SWITCH", num_args = 0..=1, require_equals = true, default_value_t = Switch::Off, default_missing_value = "on")]
    allow_plain_http: Switch,
    /// File with the server's certificate and the intermediate ones, in PEM; turns on TLS 1.3. A new file is used without
    /// a restart
    #[arg(long, env = "FINAIRA_TLS_CERTIFICATE", value_name = "FILE")]
    tls_certificate: Option<PathBuf>,
    /// File with the private key of the certificate, in PEM (PKCS #8, SEC 1 or PKCS #1); only its owner and its group may
    /// have access
    #[arg(long, env = "FINAIRA_TLS_KEY", value_name = "FILE")]
    tls_key: Option<PathBuf>,
    /// Whether clients show certificates
    #[arg(long, env = "FINAIRA_TLS_CLIENT_AUTH", value_enum, value_name = "MODE", default_value_t = ClientCertificates::Off)]
    tls_client_auth: ClientCertificates,
    /// File with the authorities that issue the certificates of clients, in PEM
    #[arg(long, env = "FINAIRA_TLS_CLIENT_CA", value_name = "FILE")]
    tls_client_ca: Option<PathBuf>,
    /// File for the API key that the first start, or --new-api-key, generates, instead of standard output; it must not
    /// exist at that moment
    #[arg(long, env = "FINAIRA_FIRST_CREDENTIAL_FILE", value_name = "FILE")]
    first_credential_file: Option<PathBuf>,
    /// File whose first line is the API key that the first start makes valid, instead of a generated one: `fin_1_` and 32 random
    /// bytes in base64url without padding. Later starts do not read it
    #[arg(long, env = "FINAIRA_FIRST_API_KEY_FILE", value_name = "FILE")]
    first_api_key_file: Option<PathBuf>,
    /// Most events that may wait for the engine; each event of a batch counts, and requests beyond this get status 503
    #[arg(long, env = "FINAIRA_QUEUE", value_name = "EVENTS", default_value_t = 65_536, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    queue: u32,
    /// Most requests in a second of one client, which is an API key or the subject of a token; 0 for no limit
    #[arg(long, env = "FINAIRA_CLIENT_REQUESTS_PER_SECOND", value_name = "REQUESTS", default_value_t = Limits::STANDARD.client_per_second)]
    client_requests_per_second: u32,
    /// Most requests in a second of one tenant that has no quota of its own; 0 for no limit
    #[arg(long, env = "FINAIRA_TENANT_REQUESTS_PER_SECOND", value_name = "REQUESTS", default_value_t = Limits::STANDARD.tenant_per_second)]
    tenant_requests_per_second: u32,
    /// Most requests in a second of one address that cannot be authenticated; 0 for no limit
    #[arg(long, env = "FINAIRA_FAILED_REQUESTS_PER_SECOND", value_name = "REQUESTS", default_value_t = Limits::STANDARD.failures_per_second)]
    failed_requests_per_second: u32,
    /// How late the server may look at requests before it refuses a part of them; 0s for never
    #[arg(long, env = "FINAIRA_LAG_MAX", value_name = "TIME", default_value_t = Limits::STANDARD.lag_max)]
    lag_max: Span,
    /// How long requests may wait for the engine before the server refuses a part of them; 0s for never
    #[arg(long, env = "FINAIRA_QUEUE_WAIT_MAX", value_name = "TIME", default_value_t = Limits::STANDARD.queue_wait_max)]
    queue_wait_max: Span,
    /// Generate another API key and print it, in case one was lost
    #[arg(long)]
    new_api_key: bool,
    /// Number of the principal that gets the new API key; needed if there are several
    #[arg(long, value_name = "NUMBER", requires = "new_api_key")]
    principal: Option<u64>,
    /// Keep a Merkle tree over the journal and sign checkpoints, so that entries can be proved to others
    #[arg(long, env = "FINAIRA_PROOFS", value_enum, default_value_t = Switch::On)]
    proofs: Switch,
    /// File with the key that signs checkpoints: its last line is 32 bytes in base64; without it, the server generates
    /// and stores a key
    #[arg(long, env = "FINAIRA_PROOF_KEY", value_name = "FILE", conflicts_with = "new_proof_key")]
    proof_key: Option<PathBuf>,
    /// Replace the stored key that signs checkpoints with a new one; both sign a handover
    #[arg(long)]
    new_proof_key: bool,
    /// Size of a journal segment file in bytes, at least 1048576
    #[arg(long, env = "FINAIRA_SEGMENT_BYTES", value_name = "BYTES", default_value_t = Layout::STANDARD.segment_bytes, value_parser = clap::value_parser!(u64).range(1_048_576..=Layout::SEGMENT_BYTES_MAX))]
    segment_bytes: u64,
    /// Bytes to keep free on the disk; below that, the server refuses writes but still answers reads
    #[arg(long, env = "FINAIRA_DISK_RESERVE", value_name = "BYTES", default_value_t = Options::DISK_RESERVE_BYTES)]
    disk_reserve: u64,
    /// How far the clock may jump ahead of the monotonic clock before the server refuses writes; above 0
    #[arg(long, env = "FINAIRA_CLOCK_AHEAD_MAX", value_name = "TIME", default_value = "10s", value_parser = some_time)]
    clock_ahead_max: Span,
    /// How far the clock may be behind the time of the journal before the server refuses writes
    #[arg(long, env = "FINAIRA_CLOCK_BEHIND_MAX", value_name = "TIME", default_value = "60s")]
    clock_behind_max: Span,
    /// Longest time from the last entry to a start; after a longer one, the server refuses writes until the clock is
    /// confirmed, unless the kernel reports that it is synchronised
    #[arg(long, env = "FINAIRA_CLOCK_GAP_MAX", value_name = "TIME", default_value = "24h")]
    clock_gap_max: Span,
    /// Whether a start believes the kernel's report that the clock is synchronised
    #[arg(long, env = "FINAIRA_CLOCK_TRUST_SYNC", value_enum, default_value_t = Switch::On)]
    clock_trust_sync: Switch,
    /// Confirm the clock at this start, however long ago the last entry was
    #[arg(long)]
    confirm_clock: bool,
    /// Period within which every sealed segment is read again, at least 1s
    #[arg(long, env = "FINAIRA_SCRUB_PERIOD", value_name = "TIME", default_value = "24h", value_parser = scrub_period)]
    scrub_period: Span,
    /// How long a tenant other than the first stays open without a request; the next request opens it again
    #[arg(long, env = "FINAIRA_TENANT_IDLE", value_name = "TIME", default_value = "10m")]
    tenant_idle: Span,
    /// Most tenants other than the first that are open at the same time; beyond it, the one that had no request for longest is closed
    #[arg(long, env = "FINAIRA_OPEN_TENANTS", value_name = "TENANTS", default_value_t = 256, value_parser = clap::value_parser!(u16).range(1..=1_024))]
    open_tenants: u16,
    /// Address that clients use, such as `https://pay.example`: the name of the built-in issuer of access tokens; without it, the
    /// address that the server listens on, if that is a loopback address
    #[arg(long, env = "FINAIRA_PUBLIC_URL", value_name = "URL")]
    public_url: Option<String>,
    /// File with the authorities (PEM) that certify the identity servers whose access tokens are accepted; without it, those that this
    /// machine trusts
    #[arg(long, env = "FINAIRA_ISSUER_CA", value_name = "FILE")]
    issuer_ca: Option<PathBuf>,
    #[command(flatten)]
    logs: Logs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Switch {
    On,
    Off,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum ClientCertificates {
    /// The server does not ask for one
    Off,
    /// A client may show one; one of another authority is refused
    Optional,
    /// Every client must show one
    Required,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum LogFormat {
    /// Text on a terminal, JSON otherwise
    Auto,
    /// One line of text per event
    Text,
    /// One JSON object per event
    Json,
}

impl Arguments {
    /// Checks what single values do not show.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        self.tls()?;
        ensure!(
            self.proof_key.is_none() || !self.new_proof_key,
            "found --new-proof-key and a file with the key (--proof-key), expected one of them"
        );
        ensure!(
            self.first_api_key_file.is_none() || self.first_credential_file.is_none(),
            "found a file with the first API key (--first-api-key-file) and one to write it to (--first-credential-file), expected one of them"
        );
        Ok(())
    }

    /// The files of TLS; `None` for plain HTTP.
    fn tls(&self) -> anyhow::Result<Option<TlsFiles>> {
        let (certificate, key) = match (&self.tls_certificate, &self.tls_key) {
            (Some(certificate), Some(key)) => (certificate.clone(), key.clone()),
            (Some(_), None) => bail!("found --tls-certificate without --tls-key, expected both or none"),
            (None, Some(_)) => bail!("found --tls-key without --tls-certificate, expected both or none"),
            (None, None) => {
                ensure!(
                    self.tls_client_auth == ClientCertificates::Off,
                    "certificates of clients need TLS; expected --tls-certificate and --tls-key"
                );
                return Ok(None);
            }
        };
        let clients = match (self.tls_client_auth, &self.tls_client_ca) {
            (ClientCertificates::Off, None) => ClientAuth::Off,
            (ClientCertificates::Off, Some(_)) => {
                bail!("found --tls-client-ca, expected --tls-client-auth optional or required with it")
            }
            (ClientCertificates::Optional, Some(file)) => ClientAuth::Optional(file.clone()),
            (ClientCertificates::Required, Some(file)) => ClientAuth::Required(file.clone()),
            (ClientCertificates::Optional | ClientCertificates::Required, None) => {
                bail!("found --tls-client-auth without --tls-client-ca, expected the authorities of the clients")
            }
        };
        Ok(Some(TlsFiles { certificate, key, clients }))
    }

    /// The file for the API key that this start generates; `None` if it goes to standard output, or if there is none.
    fn first_credential_file(&self) -> anyhow::Result<Option<NewSecretFile>> {
        let Some(file) = &self.first_credential_file else { return Ok(None) };
        let owner = self.data.join(datadir::KEYS).join(datadir::KEY_OWNER);
        let is_first = !owner.try_exists().with_context(|| format!("cannot access {}", owner.display()))?;
        Ok(if is_first || self.new_api_key { Some(NewSecretFile::create(file)?) } else { None })
    }
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    arguments.check()?;
    arguments.logs.start();
    let mut options = Options {
        data: arguments.data.clone(),
        layout: Layout { segment_bytes: arguments.segment_bytes, ..Layout::STANDARD },
        queue_events_max: usize::try_from(arguments.queue).unwrap_or(usize::MAX),
        limits: Limits {
            client_per_second: arguments.client_requests_per_second,
            tenant_per_second: arguments.tenant_requests_per_second,
            failures_per_second: arguments.failed_requests_per_second,
            lag_max: arguments.lag_max,
            queue_wait_max: arguments.queue_wait_max,
        },
        first_api_key_file: arguments.first_api_key_file.clone(),
        new_api_key: arguments.new_api_key.then(|| match arguments.principal {
            Some(number) => KeyFor::Principal(ActorId::new(number)),
            None => KeyFor::OnlyPrincipal,
        }),
        clock: ClockBounds {
            ahead_max: arguments.clock_ahead_max,
            behind_max: arguments.clock_behind_max,
            gap_max: arguments.clock_gap_max,
            is_sync_trusted: arguments.clock_trust_sync == Switch::On,
        },
        confirm_clock: arguments.confirm_clock,
        disk_reserve_bytes: arguments.disk_reserve,
        scrub_period: arguments.scrub_period,
        tenant_idle: arguments.tenant_idle,
        open_tenants: usize::from(arguments.open_tenants),
        proofs: match (arguments.proofs, &arguments.proof_key) {
            (Switch::Off, _) => None,
            (Switch::On, Some(file)) => Some(KeySource::File(file.clone())),
            (Switch::On, None) if arguments.new_proof_key => Some(KeySource::Renewed),
            (Switch::On, None) => Some(KeySource::Kept),
        },
        public_url: arguments.public_url.clone(),
        takes_certificates: arguments.tls_client_auth != ClientCertificates::Off,
        fetch: Some(std::sync::Arc::new(crate::fetch::Fetcher::new(arguments.issuer_ca.as_deref())?)),
    };
    // One processor is left to the engine thread.
    let workers = std::thread::available_parallelism().map_or(1, usize::from).saturating_sub(1).max(1);
    let runtime = runtime(workers)?;
    server::raise_descriptor_limit();
    runtime.block_on(async {
        let mut stop = stop_signal()?;
        // Bind the address first: a first start prints its API key only once, so it should not fail after that.
        let tls = arguments.tls()?.map(Tls::load).transpose()?;
        if let Some(tls) = &tls {
            note_validity(tls);
        }
        let may_be_reached = tls.is_some() || arguments.allow_plain_http == Switch::On;
        let listener = listen(&arguments.listen, may_be_reached).await;
        let listener = listener.with_context(|| format!("cannot listen on {}", arguments.listen))?;
        let address = listener.local_addr()?;
        let listener = listener.into_std()?;
        if options.public_url.is_none() && address.ip().is_loopback() {
            let scheme = if arguments.tls_certificate.is_some() { "https" } else { "http" };
            options.public_url = Some(format!("{scheme}://{address}"));
        }
        let credential_file = arguments.first_credential_file()?;
        let mut opened = Opened::open(&options)?;
        tracing::info!(%address, last = opened.recovered.last.get(), "serving");
        if let Some(key) = &opened.api_key {
            let (principal, name) = &key.principal;
            match credential_file {
                Some(file) => {
                    file.write(&Secret::new(key.key.clone()))?;
                    outln!("The API key of principal {principal}, {name}, is in the file that --first-credential-file names")?;
                }
                None => outln!("API key of principal {principal}, {name} (shown once, keep it): {}", key.key)?,
            }
        }
        let scheme = if tls.is_some() { "https" } else { "http" };
        outln!("Listening on {scheme}://{address}")?;
        let mut damages = 0;
        loop {
            let listener = tokio::net::TcpListener::from_std(listener.try_clone()?)?;
            let listening = Listening { listener, tls: tls.clone() };
            let confirm_clock = match opened.serve(listening, stop).await {
                Err(Stopped::IndexDamaged { fault, is_clock_believed }) => {
                    tracing::warn!(%fault, "rebuilding the index");
                    is_clock_believed
                }
                ended => {
                    ended?;
                    tracing::info!("stopped");
                    return Ok(());
                }
            };
            damages += 1;
            anyhow::ensure!(
                damages < DAMAGES_MAX,
                "the index was damaged {damages} times since the start; check its disk"
            );
            stop = stop_signal()?;
            // Do not repeat one-time options.
            let proofs = options.proofs.clone().map(|source| match source {
                KeySource::Renewed => KeySource::Kept,
                KeySource::Kept | KeySource::File(_) => source,
            });
            opened = reopen(&Options { new_api_key: None, confirm_clock, proofs, ..options.clone() }).await?;
            tracing::info!(last = opened.recovered.last.get(), "serving again");
        }
    })
}

/// Most sockets that are looked at before the tasks that they woke have run.
const SOCKETS_AT_ONCE: u32 = 64;

/// A runtime that serves requests in the order in which they arrived, also while more arrive than it can serve: after each task that a socket
/// woke, it runs one that the engine woke.
///
/// By default, a worker puts up to 1,024 tasks that sockets woke before those that the engine woke, and takes one of the latter for some
/// twenty of the former. Under a flood, the answers to accepted requests then wait for seconds behind requests that will be refused.
pub(crate) fn runtime(workers: usize) -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .global_queue_interval(2)
        .event_interval(SOCKETS_AT_ONCE)
        .max_io_events_per_tick(SOCKETS_AT_ONCE as usize)
        .enable_all()
        .build()
}

/// Logs until when the certificate is valid.
fn note_validity(tls: &Tls) {
    let not_after = tls.not_after();
    if not_after <= server::Clock.now() {
        tracing::warn!(%not_after, "the TLS certificate has expired; clients will refuse it");
    } else {
        tracing::info!(%not_after, "serving TLS 1.3 with a certificate");
    }
}

/// Connections that the system completes before the server accepts them. More wait or are refused by the system.
const BACKLOG: u32 = 4_096;

/// Listens on the first address of a name that works. IPv4 comes first, because a client that looks up `localhost` tries both.
///
/// Without TLS, everybody between a client and the server can read API keys. So plain HTTP is only for this machine, unless the
/// operator knows better.
async fn listen(address: &str, may_be_reached: bool) -> anyhow::Result<tokio::net::TcpListener> {
    let found = tokio::net::lookup_host(address).await;
    let found = found.context("expected an address or a name, and a port, such as 127.0.0.1:7070")?;
    let mut addresses: Vec<SocketAddr> = found.collect();
    addresses.sort_by_key(SocketAddr::is_ipv6);
    let mut failed = anyhow::anyhow!("the name has no address");
    for address in addresses {
        ensure!(
            may_be_reached || address.ip().is_loopback(),
            "other machines can reach {address}, and plain HTTP shows them API keys and payments; expected --tls-certificate and \
             --tls-key, an address such as 127.0.0.1, or --allow-plain-http if something else encrypts the connections"
        );
        match bind(address) {
            Ok(listener) => return Ok(listener),
            Err(error) => failed = error.into(),
        }
    }
    Err(failed)
}

fn bind(address: SocketAddr) -> std::io::Result<tokio::net::TcpListener> {
    let socket = if address.is_ipv6() { tokio::net::TcpSocket::new_v6() } else { tokio::net::TcpSocket::new_v4() }?;
    // A restart must not wait for connections of the previous process that are still closing.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// The number of times that the index may be damaged before the process ends.
const DAMAGES_MAX: usize = 4;
/// How long late requests may keep using the directory.
const REOPENED_WITHIN: Duration = Duration::from_secs(15);

/// Opens a directory that this process has already served.
async fn reopen(options: &Options) -> anyhow::Result<Opened> {
    let stopwatch = Stopwatch::start();
    loop {
        match Opened::open(options) {
            Err(OpenError::Directory(DirectoryError::InUse(_))) if stopwatch.elapsed() < REOPENED_WITHIN => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            opened => return Ok(opened?),
        }
    }
}

/// Parses the scrub period. A minimum leaves the scrub enough time.
fn scrub_period(text: &str) -> Result<Span, String> {
    let period: Span = text.parse().map_err(|error: types::SpanParseError| error.to_string())?;
    if period < Span::from_secs(1) { Err(format!("found {period}, expected at least 1s")) } else { Ok(period) }
}

fn some_time(text: &str) -> Result<Span, String> {
    let span: Span = text.parse().map_err(|error: types::SpanParseError| error.to_string())?;
    if span == Span::ZERO {
        Err("found 0, expected more: with 0, every write would be refused".to_owned())
    } else {
        Ok(span)
    }
}

/// Completes on Ctrl-C, on SIGTERM, and on SIGHUP, which a closed terminal sends.
pub(crate) fn stop_signal() -> anyhow::Result<impl Future<Output = ()> + Send + 'static> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hang_up.recv() => {}
        }
    })
}

/// What a process logs, and how.
#[derive(Debug, clap::Args)]
pub(crate) struct Logs {
    /// Format of the logs
    #[arg(long, env = "FINAIRA_LOG_FORMAT", value_enum, default_value_t = LogFormat::Auto)]
    log_format: LogFormat,
    /// Least severe level to log
    #[arg(long, env = "FINAIRA_LOG_LEVEL", default_value = "info")]
    log_level: LevelFilter,
}

impl Logs {
    /// Logs to standard error from here on.
    pub(crate) fn start(&self) {
        let (level, terminal) = (self.log_level, std::io::stderr().is_terminal());
        // A line that cannot be written is lost: to report that on standard error, the library would panic.
        let builder =
            tracing_subscriber::fmt().with_max_level(level).with_writer(std::io::stderr).log_internal_errors(false);
        // The libraries of HTTP and TLS would log pieces of requests, and clients of targets every step.
        let quiet = level.min(LevelFilter::WARN);
        let targets = Targets::new().with_default(level).with_targets(LIBRARIES.map(|library| (library, quiet)));
        match self.log_format {
            LogFormat::Text => builder.with_ansi(terminal).finish().with(targets).init(),
            LogFormat::Auto if terminal => builder.finish().with(targets).init(),
            LogFormat::Auto | LogFormat::Json => builder.json().finish().with(targets).init(),
        }
    }
}

/// Libraries that would log pieces of requests, or every step of a client.
const LIBRARIES: [&str; 13] = [
    "async_nats",
    "axum",
    "h2",
    "hyper",
    "hyper_util",
    "lapin",
    "mongodb",
    "object_store",
    "rdkafka",
    "reqwest",
    "rustls",
    "scylla",
    "tokio_postgres",
];
