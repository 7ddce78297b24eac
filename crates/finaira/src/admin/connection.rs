//! Sends a request of the API to a running server, or to a data directory.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use api::routes::Method;
use datadir::Secret;
use journal::{Layout, Prepare};
use serde_json::Value;
use server::{Local, Options};
use tokio::runtime::Runtime;
use types::TenantId;

use super::Target;
use crate::remote;
use crate::stdio::outln;

/// The limit for a response. The removal of a large tenant takes longest.
const TIMEOUT: Duration = Duration::from_secs(300);

#[derive(Debug)]
pub(super) enum Connection {
    Online { agent: ureq::Agent, server: String, authorization: Secret },
    Offline { runtime: Runtime, local: Box<Local> },
}

impl Connection {
    pub(super) fn open(target: &Target) -> anyhow::Result<Self> {
        if let Some(url) = &target.url {
            let file = target.api_key_file.clone().context("expected --api-key-file with the API key")?;
            let server = remote::Server::at(url.clone(), file, target.trust.clone());
            let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(TIMEOUT));
            let (agent, authorization) = (server.agent(config)?, server.authorization()?);
            return Ok(Self::Online { agent, server: server.url().to_owned(), authorization });
        }
        let data = target.data.as_deref().context("expected --data or --url")?;
        Self::offline(data)
    }

    fn offline(data: &Path) -> anyhow::Result<Self> {
        ensure!(data.join(datadir::JOURNAL).is_dir(), "{} is not a data directory: it has no journal", data.display());
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let options = Options {
            // A server that starts later prepares its segments itself, in its own size.
            layout: Layout { prepare: Prepare::InPlace, ..Layout::STANDARD },
            // The next start of the server signs what is made here.
            proofs: None,
            ..Options::new(data)
        };
        let local = {
            let _in_runtime = runtime.enter();
            Local::open(&options)?
        };
        if let Some(key) = local.api_key() {
            outln!("API key of the first tenant (shown once, keep it): {}", key.key)?;
        }
        Ok(Self::Offline { runtime, local: Box::new(local) })
    }

    /// Sends a request, and returns the JSON of its answer. `tenant` is the tenant that it is about, if it is not the one of
    /// the API key or the first one; only a data directory has several.
    pub(super) fn send(
        &mut self,
        tenant: Option<TenantId>,
        method: Method,
        target: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<Value> {
        let body = body.map(serde_json::to_vec).transpose()?.unwrap_or_default();
        let (status, text) = match self {
            Self::Online { agent, server, authorization } => {
                ensure!(tenant.is_none(), "an API key names its tenant; --tenant is for --data only");
                let (url, authorization) = (format!("{server}{target}"), authorization.reveal());
                let response = match method {
                    Method::Get => agent.get(&url).header("Authorization", authorization).call(),
                    Method::Post | Method::Put => {
                        let request = if method == Method::Put { agent.put(&url) } else { agent.post(&url) };
                        let request = request.header("Authorization", authorization);
                        request.header("Content-Type", "application/json").send(&body)
                    }
                };
                let mut response = response.with_context(|| format!("cannot reach {server}"))?;
                (response.status().as_u16(), response.body_mut().read_to_vec()?)
            }
            Self::Offline { runtime, local } => {
                let answer = runtime.block_on(local.send(tenant, method, target.parse()?, body));
                (answer.status, answer.body.to_vec())
            }
        };
        let answer: Value = serde_json::from_slice(&text).with_context(|| format!("status {status} without JSON"))?;
        if !(200..300).contains(&status) {
            let said = |name: &str| answer[name].as_str().unwrap_or_default();
            bail!("{}: {}", said("code"), said("detail"));
        }
        Ok(answer)
    }

    pub(super) fn get(&mut self, tenant: Option<TenantId>, target: &str) -> anyhow::Result<Value> {
        self.send(tenant, Method::Get, target, None)
    }

    pub(super) fn post(&mut self, tenant: Option<TenantId>, target: &str, body: &Value) -> anyhow::Result<Value> {
        self.send(tenant, Method::Post, target, Some(body))
    }

    /// All items of a list.
    pub(super) fn list(&mut self, tenant: Option<TenantId>, path: &str) -> anyhow::Result<Vec<Value>> {
        let mut items = Vec::new();
        let mut target = format!("{path}?limit=1000");
        loop {
            let mut page = self.get(tenant, &target)?;
            if let Value::Array(more) = page["items"].take() {
                items.extend(more);
            }
            match page["next_cursor"].as_str() {
                Some(cursor) => target = format!("{path}?limit=1000&cursor={cursor}"),
                None => return Ok(items),
            }
        }
    }

    pub(super) fn close(self) -> anyhow::Result<()> {
        match self {
            Self::Online { .. } => Ok(()),
            Self::Offline { runtime, local } => Ok(runtime.block_on(local.close())?),
        }
    }
}
