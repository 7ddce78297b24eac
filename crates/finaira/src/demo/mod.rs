//! `finaira demo` starts a real server, simulates customers and fraudsters who use it over HTTP, and prints the
//! results.

mod bundle;
mod client;
mod fraud;
pub(crate) mod random;
mod report;
mod run;
mod simulator;
mod staff;
mod town;

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, anyhow};
use indicatif::{ProgressBar, ProgressState, ProgressStyle};
use serde_json::json;
use server::{Clock, Limits, Opened, Options, Stopped, Stopwatch};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use types::{Span, Timestamp};

use self::client::{Client, Credential};
use self::report::Report;
use self::run::Run;
use self::simulator::{Month, REVIEWER_RIGHT_PERCENT};
use self::staff::Staff;
use self::town::{DAY, DAYS};
use crate::serve::stop_signal;
use crate::stdio::outln;

/// The ledger of the retail policy.
const LEDGER: u32 = 978;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Exit after the results are shown, instead of keeping the server running until Ctrl-C
    #[arg(long)]
    exit: bool,
    /// Number of payments to simulate, besides those that first put money into wallets
    #[arg(long, value_name = "COUNT", default_value_t = 4_000, value_parser = clap::value_parser!(u32).range(200..=100_000))]
    payments: u32,
    /// Seed of the simulated month: the same number gives the same payments
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
    /// Port to listen on, on 127.0.0.1; 0 picks a free one
    #[arg(long, default_value_t = 0)]
    port: u16,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let folder =
        tempfile::Builder::new().prefix("finaira-demo-").tempdir().context("cannot create a temporary directory")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut server = Server::start(&runtime, folder.path(), arguments.port)?;
    let played = play(arguments, &server).and_then(|()| {
        if !arguments.exit {
            outln!("The server keeps running. Ctrl-C stops it and removes its data.")?;
            runtime.block_on(server.interrupted_or_dead());
        }
        Ok(())
    });
    let stopped = server.stop(&runtime);
    folder.close().context("cannot remove the temporary directory")?;
    played.and(stopped)
}

fn play(arguments: &Arguments, server: &Server) -> anyhow::Result<()> {
    let Server { base, key, interrupted, .. } = server;
    let month = Month::new(arguments.seed, usize::try_from(arguments.payments)?);
    outln!(
        "Finaira listens on {base}, with its data in a temporary directory and the\n\
         built-in policy policies/retail."
    )?;
    let staff = Staff::register(base, key)?;
    Client::new(base, Credential::Login(&staff.analyst)).activate(&bundle::archive()?)?;
    outln!(
        "This simulates {DAYS} days; every payment declares when it happened. The customers are invented. The\n\
         reviewer is simulated too, and recognises what a payment really is in {REVIEWER_RIGHT_PERCENT} % of cases."
    )?;
    let progress = ProgressBar::new(u64::try_from(month.payments.len())?);
    let rate = |state: &ProgressState, out: &mut dyn fmt::Write| {
        // If drawing a line fails, it is drawn again soon.
        write!(out, "{:.0}/s", state.per_sec()).unwrap_or_default();
    };
    let style = ProgressStyle::with_template("{bar:16} {pos}/{len} {rate} {wide_msg}")?.with_key("rate", rate);
    progress.set_style(style);
    let stopwatch = Stopwatch::start();
    let run = Run::new(&month, month_start(Clock.now()), (base, &staff), interrupted, progress.clone());
    let played = run.play();
    let elapsed = stopwatch.elapsed();
    progress.finish_and_clear();
    played?;
    let changed_code = run.change_the_past()?;
    let (fates, retries) = run.results();
    let books = Client::new(base, Credential::Login(&staff.auditor)).trial_balance(LEDGER)?;
    let actors = staff.actors(base)?;
    let report = Report { month: &month, fates, retries, changed_code, books, actors, elapsed };
    outln!("{}", report.text())?;
    report.sound().map_err(|fault| anyhow!(fault))?;
    if !arguments.exit {
        outln!("{}", try_next(server, &developer_key(server)?, &report))?;
    }
    Ok(())
}

/// Midnight of a day that is long enough ago for the whole month to be in the past.
fn month_start(now: Timestamp) -> Timestamp {
    let day = Span::from_secs(DAY).ns();
    let midnight = Timestamp::from_ns(now.ns() / day * day);
    midnight.checked_sub(Span::from_secs(DAYS * DAY)).unwrap_or_default()
}

/// A payment for users to try.
const OWN_PAYMENT: &str = r#"{"type": "transfer", "amount": "250", "asset": "EUR/2", "attributes": {
      "customer": "customer_0001", "recipient": "customer_0002", "device": "my_phone"}}"#;

/// Makes an API key with the role `developer`, for whoever tries the server: unlike a token, it does not expire in a few minutes.
fn developer_key(server: &Server) -> anyhow::Result<String> {
    let body = json!({"name": "you", "role": "developer", "new_principal": {"kind": "person", "name": "you"}});
    Client::new(&server.base, Credential::ApiKey(&server.key)).create("/v1/api-keys", &body, "key")
}

/// Lists requests to try with the running server, with this API key.
fn try_next(server: &Server, developer: &str, report: &Report<'_>) -> String {
    let Server { base, key, .. } = server;
    let curl = format!("curl -s -H 'Authorization: Bearer {developer}'");
    let mut out = format!(
        "TRY, with an API key that has the role developer\n\
         The administrator's key, which may do everything: {key}\n"
    );
    let mut add = |what: &str, request: &str| out.push_str(&format!("{what}:\n  {curl} \\\n    {request}\n"));
    if let Some(payment) = report.caught() {
        let pattern = payment.fraud.map_or("fraud", simulator::Pattern::name);
        let what = format!("See why a payment was stopped ({pattern})");
        add(&what, &format!("{base}/v1/payments/{}/decision", payment.id));
    }
    let headers = "-H 'Idempotency-Key: my-first' -H 'Content-Type: application/json'";
    add(
        "Make your own payment; send it twice to see a retry",
        &format!("{base}/v1/payments {headers} \\\n    -d '{OWN_PAYMENT}'"),
    );
    add("All events, in order", &format!("'{base}/v1/events?limit=5'"));
    out
}

/// The server in this process.
struct Server {
    base: String,
    key: String,
    /// Set by Ctrl-C.
    interrupted: Arc<AtomicBool>,
    interrupt: oneshot::Receiver<()>,
    serving: JoinHandle<Result<(), Stopped>>,
    stop: oneshot::Sender<()>,
}

impl Server {
    fn start(runtime: &Runtime, data: &std::path::Path, port: u16) -> anyhow::Result<Self> {
        runtime.block_on(async {
            let stop_signal = stop_signal()?;
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            let listener = TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
            let base = format!("http://{}", listener.local_addr()?);
            let limits = Limits::WITHOUT_SHEDDING;
            let options = Options { public_url: Some(base.clone()), limits, ..Options::new(data) };
            let mut opened = Opened::open(&options)?;
            let key = opened.api_key.take().context("the new server generated no API key")?.key;
            let (stop, stopping) = oneshot::channel();
            // The server stops when it is asked to, or when the sender is dropped.
            let until = async move { drop(stopping.await) };
            let serving = tokio::spawn(opened.serve(listener, until));
            let interrupted = Arc::new(AtomicBool::new(false));
            let (interrupting, interrupt) = oneshot::channel();
            let flag = Arc::clone(&interrupted);
            tokio::spawn(async move {
                stop_signal.await;
                flag.store(true, Ordering::Relaxed);
                drop(interrupting);
            });
            Ok(Self { base, key, interrupted, interrupt, serving, stop })
        })
    }

    /// Waits for Ctrl-C, or until the server ends by itself.
    async fn interrupted_or_dead(&mut self) {
        while !self.serving.is_finished() {
            let soon = std::time::Duration::from_millis(200);
            if tokio::time::timeout(soon, &mut self.interrupt).await.is_ok() {
                return;
            }
        }
    }

    /// Stops the server cleanly.
    fn stop(self, runtime: &Runtime) -> anyhow::Result<()> {
        drop(self.stop);
        runtime.block_on(self.serving)??;
        Ok(())
    }
}
