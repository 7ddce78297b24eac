//! The server that provides the proofs.

use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::Value;
use ureq::Agent;

use crate::remote::Server;

/// The limit for a response.
const TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Debug, clap::Args)]
pub(super) struct Remote {
    #[command(flatten)]
    server: Server,
}

impl Remote {
    pub(super) fn json(&self, path: &str) -> anyhow::Result<Value> {
        serde_json::from_str(&self.text(path)?).context("the server's response is not JSON")
    }

    pub(super) fn text(&self, path: &str) -> anyhow::Result<String> {
        let server = self.server.url();
        let config = Agent::config_builder().http_status_as_error(false).timeout_global(Some(TIMEOUT));
        let request = self.server.agent(config)?.get(format!("{server}{path}"));
        let response = request.header("Authorization", self.server.authorization()?.reveal()).call();
        let mut response = response.with_context(|| format!("cannot reach {server}"))?;
        let body = response.body_mut().read_to_string().context("the server's response is not text")?;
        if response.status().is_success() {
            return Ok(body);
        }
        let problem: Value = serde_json::from_str(&body).unwrap_or_default();
        let text = |field: &str| problem.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
        bail!("the server responded with {}: {} ({})", response.status().as_u16(), text("detail"), text("code"))
    }
}
