//! Parses and checks the options of `finaira bench`.

use std::path::PathBuf;

use anyhow::bail;
use api::packed::EVENTS_MAX;

use super::tls::Tls;

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Settings {
    /// Number of transfers to create
    #[arg(long, value_name = "TRANSFERS", default_value_t = 10_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) count: u64,
    /// Number of accounts between which the transfers move money
    #[arg(long, value_name = "ACCOUNTS", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(2..=1_000_000_000))]
    pub(super) accounts: u64,
    /// Transfers per request; the default is 8189, or 1 with --http
    #[arg(long, value_name = "TRANSFERS", value_parser = clap::value_parser!(u64).range(1..=8_190))]
    pub(super) batch: Option<u64>,
    /// Number of connections, each with one request in flight
    #[arg(long, value_name = "CLIENTS", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(super) clients: u32,
    /// Whether ids rise with time or are random
    #[arg(long, value_enum, default_value_t = Ids::Time)]
    pub(super) ids: Ids,
    /// Draw accounts by Zipf's law with this exponent, above 0 and below 1, instead of uniformly
    #[arg(long, value_name = "EXPONENT", num_args = 0..=1, default_missing_value = "0.99", value_parser = exponent)]
    pub(super) zipf: Option<f64>,
    /// Percentage of the transfers that involve one particular account
    #[arg(long, value_name = "PERCENT", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=100))]
    pub(super) hot_percent: u8,
    /// Percentage of the transfers that are pending; the client's next request posts them
    #[arg(long, value_name = "PERCENT", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=100))]
    pub(super) pending_percent: u8,
    /// What to index besides ids, accounts and pending transfers
    #[arg(long, value_enum, default_value_t = Index::Standard)]
    pub(super) index: Index,
    /// Whether the server keeps proofs, a Merkle tree over its journal; the measured time includes that work
    #[arg(long, value_enum, default_value_t = Proofs::On)]
    pub(super) proofs: Proofs,
    /// One transfer per request over HTTP/JSON instead of packed batches
    #[arg(long)]
    pub(super) http: bool,
    /// Number of queries for an account's transfers
    #[arg(long, value_name = "QUERIES", default_value_t = 100)]
    pub(super) queries: u32,
    /// Keep the server's data in this directory, which must be empty or new; by default, use a temporary one
    #[arg(long, value_name = "DIR")]
    pub(super) data: Option<PathBuf>,
    /// Send access tokens of the built-in issuer instead of the API key
    #[arg(long)]
    pub(super) token: bool,
    #[command(flatten)]
    pub(super) tls: Tls,
    /// Print one JSON object on the last line
    #[arg(long)]
    pub(super) json: bool,
}

/// How ids are generated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Ids {
    /// The upper 64 bits rise with time
    Time,
    /// All 128 bits are random
    Random,
}

/// What is indexed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Index {
    /// Only what is always indexed
    Standard,
    /// User data, ledger and code as well
    All,
}

/// Whether the server keeps proofs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Proofs {
    On,
    Off,
}

impl Proofs {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::On => "on",
            Self::Off => "off",
        }
    }
}

impl Settings {
    /// The default settings for this number of transfers.
    pub(super) fn of(count: u64, proofs: Proofs) -> Self {
        Self {
            count,
            accounts: 10_000,
            batch: None,
            clients: 1,
            ids: Ids::Time,
            zipf: None,
            hot_percent: 0,
            pending_percent: 0,
            index: Index::Standard,
            proofs,
            http: false,
            queries: 0,
            data: None,
            token: false,
            tls: Tls::default(),
            json: false,
        }
    }

    /// The number of transfers per request.
    pub(super) fn batch(&self) -> u64 {
        self.batch.unwrap_or(if self.http { 1 } else { EVENTS_MAX as u64 - 1 })
    }

    pub(super) fn check(&self) -> anyhow::Result<()> {
        if self.http && self.batch() != 1 {
            bail!("found --batch {} with --http, but a JSON request has only one transfer", self.batch());
        }
        Ok(())
    }
}

fn exponent(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(exponent) if exponent > 0.0 && exponent < 1.0 => Ok(exponent),
        Ok(_) | Err(_) => Err("expected a number above 0 and below 1".to_owned()),
    }
}
