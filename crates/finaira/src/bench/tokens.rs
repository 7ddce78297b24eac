//! `finaira bench tokens`: what the access token of a request costs the server.

use anyhow::{Context as _, ensure};
use api::routes::Method;
use journal::{Layout, Prepare};
use serde_json::{Value, json};
use server::{Local, Options, Stopwatch, TOKENS_MAX};

use crate::backtest::table::thousands;
use crate::stdio::outln;

/// How often all tokens are checked from the cache.
const CACHED_PASSES: u32 = 20;
/// The address that the tokens are for. Nothing listens there.
const ORIGIN: &str = "http://127.0.0.1:7070";
const CLIENT: &str = "bench";

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Settings {
    /// Number of different tokens
    #[arg(long, value_name = "TOKENS", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=TOKENS_MAX as i64 / 2))]
    count: u32,
    /// Print one JSON object on the last line
    #[arg(long)]
    json: bool,
}

pub(super) fn run(settings: &Settings) -> anyhow::Result<()> {
    let data =
        tempfile::Builder::new().prefix("finaira-bench-").tempdir().context("cannot create a temporary directory")?;
    let options = Options {
        layout: Layout { prepare: Prepare::InPlace, ..Layout::STANDARD },
        proofs: None,
        public_url: Some(ORIGIN.to_owned()),
        ..Options::new(data.path())
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let local = {
        let _in_runtime = runtime.enter();
        Local::open(&options)?
    };
    let measured = measure(settings, &local, &runtime);
    let closed = runtime.block_on(local.close());
    let (uncached_ns, cached_ns) = measured?;
    closed?;
    let (processor, count) = (processor(), settings.count);
    outln!("{processor}, one thread, {} access tokens of the built-in issuer (ES256)", thousands(count.into()))?;
    outln!("  verified for the first time   {:>8} ns a token", thousands(uncached_ns.into()))?;
    outln!("  from the cache                {:>8} ns a token", thousands(cached_ns.into()))?;
    outln!("The cache has room for {} tokens.", thousands(TOKENS_MAX as u128))?;
    if settings.json {
        let figures = json!({
            "processor": processor, "tokens": count, "uncached_ns": uncached_ns, "cached_ns": cached_ns,
            "cache_tokens_max": TOKENS_MAX,
        });
        outln!("{figures}")?;
    }
    Ok(())
}

/// Nanoseconds for each token: for the first time, and from the cache.
fn measure(settings: &Settings, local: &Local, runtime: &tokio::runtime::Runtime) -> anyhow::Result<(u64, u64)> {
    let client = json!({
        "client_id": CLIENT, "name": CLIENT, "role": "administrator", "token_lifetime_s": 3_600,
        "authentication": {"method": "client_secret"},
    });
    let answer =
        runtime.block_on(local.send(None, Method::Post, "/v1/clients".parse()?, client.to_string().into_bytes()));
    let body: Value = serde_json::from_slice(&answer.body)?;
    let secret = body["client_secret"].as_str().with_context(|| format!("the client cannot be registered: {body}"))?;
    let count = usize::try_from(settings.count)?;
    let tokens = local.tokens(CLIENT, secret, count).map_err(|why| anyhow::anyhow!("there are no tokens: {why}"))?;
    let check = |tokens: &[String]| -> anyhow::Result<(usize, u64)> {
        let stopwatch = Stopwatch::start();
        let known = local
            .check_tokens(tokens)
            .map_err(|problem| anyhow::anyhow!("a token is refused: {}", problem.detail()))?;
        Ok((known, u64::try_from(stopwatch.elapsed().as_nanos())?))
    };
    let (known, uncached_ns) = check(&tokens)?;
    ensure!(known == 0, "{known} tokens were in the cache before they were verified");
    let mut cached_ns = 0;
    for _ in 0..CACHED_PASSES {
        let (known, pass_ns) = check(&tokens)?;
        ensure!(known == count, "the cache had {known} of {count} tokens");
        cached_ns += pass_ns;
    }
    let count = u64::from(settings.count);
    Ok((uncached_ns / count, cached_ns / (count * u64::from(CACHED_PASSES))))
}

/// The name of the processor, as the system reports it.
pub(super) fn processor() -> String {
    let about = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = about.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    line.map_or_else(|| "a processor without a name".to_owned(), |(_, name)| name.trim().to_owned())
}
