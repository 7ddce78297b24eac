//! How commands reach a running server: its address, the API key, and whom to trust over TLS.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use datadir::{Secret, read_secret_file};
use serde_json::Value;
use ureq::config::ConfigBuilder;
use ureq::http::Response;
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};
use ureq::typestate::AgentScope;
use ureq::{Agent, Body};

/// The limit for a response.
const TIMEOUT: Duration = Duration::from_secs(120);
/// How often a request is sent again while the server is full.
const ATTEMPTS: u32 = 50;
const PAUSE: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// Most bytes of a file with certificates.
const FILE_BYTES_MAX: usize = 4 << 20;

#[derive(Debug, clap::Args)]
pub(crate) struct Server {
    /// Address of the server, with http:// or https://
    #[arg(long, env = "FINAIRA_SERVER", value_name = "URL", default_value = "http://127.0.0.1:7070", value_parser = url)]
    server: String,
    /// An API key; the command line shows it to other users of this machine, so prefer the environment or --api-key-file
    #[arg(
        long,
        env = "FINAIRA_API_KEY",
        value_name = "KEY",
        hide_env_values = true,
        required_unless_present = "api_key_file"
    )]
    api_key: Option<Secret>,
    /// File whose first line is the API key; it counts before --api-key
    #[arg(long, env = "FINAIRA_API_KEY_FILE", value_name = "FILE")]
    api_key_file: Option<PathBuf>,
    #[command(flatten)]
    trust: Trust,
}

/// Whom to trust over TLS, and what to show to the server.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Trust {
    /// File with the authorities that may have issued the server's certificate, in PEM; by default, those that this
    /// machine trusts
    #[arg(long, env = "FINAIRA_CA", value_name = "FILE")]
    ca: Option<PathBuf>,
    /// File with the certificate to show to the server, and intermediate ones, in PEM
    #[arg(long, env = "FINAIRA_CLIENT_CERTIFICATE", value_name = "FILE", requires = "client_key")]
    client_certificate: Option<PathBuf>,
    /// File with the private key of that certificate, in PEM
    #[arg(long, env = "FINAIRA_CLIENT_KEY", value_name = "FILE", requires = "client_certificate")]
    client_key: Option<PathBuf>,
}

/// Parses the address of a server.
pub(crate) fn url(text: &str) -> Result<String, String> {
    let host = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    match host.map(|host| host.trim_end_matches('/')) {
        Some(host) if !host.is_empty() => Ok(text.trim_end_matches('/').to_owned()),
        Some(_) | None => Err("expected http:// or https://, and a host".to_owned()),
    }
}

impl Server {
    /// A server of a configuration file.
    #[cfg(feature = "connect")]
    pub(crate) fn configured(address: &str, api_key: Secret, ca: Option<PathBuf>) -> anyhow::Result<Self> {
        let server = url(address).map_err(|expected| anyhow::anyhow!("found the address `{address}`, {expected}"))?;
        let trust = Trust { ca, client_certificate: None, client_key: None };
        Ok(Self { server, api_key: Some(api_key), api_key_file: None, trust })
    }

    /// A server at an address that [`url`] has parsed.
    pub(crate) fn at(server: String, api_key_file: PathBuf, trust: Trust) -> Self {
        Self { server, api_key: None, api_key_file: Some(api_key_file), trust }
    }

    /// The address, without a slash at its end.
    pub(crate) fn url(&self) -> &str {
        &self.server
    }

    /// The value of the header `Authorization`.
    pub(crate) fn authorization(&self) -> anyhow::Result<Secret> {
        let key = match (&self.api_key_file, &self.api_key) {
            (Some(file), _) => Secret::read(file)?,
            (None, Some(key)) => key.clone(),
            (None, None) => bail!("found no API key, expected --api-key-file, or FINAIRA_API_KEY in the environment"),
        };
        Ok(Secret::new(format!("Bearer {}", key.reveal())))
    }

    /// A client with this configuration that trusts whom the options name.
    pub(crate) fn agent(&self, config: ConfigBuilder<AgentScope>) -> anyhow::Result<Agent> {
        let config = if self.server.starts_with("https://") {
            config.tls_config(self.tls()?)
        } else {
            ensure!(self.trust.ca.is_none(), "found --ca and an address with http://, expected https://");
            let shows = self.trust.client_certificate.is_some();
            ensure!(!shows, "found --client-certificate and an address with http://, expected https://");
            config
        };
        Ok(config.build().into())
    }

    fn tls(&self) -> anyhow::Result<TlsConfig> {
        let own = match (&self.trust.client_certificate, &self.trust.client_key) {
            (Some(certificate), Some(key)) => {
                let chain = certificates(certificate, &read(certificate)?)?;
                Some(ClientCert::new_with_certs(&chain, private_key(key)?))
            }
            (Some(_), None) | (None, Some(_)) | (None, None) => None,
        };
        trusting(self.trust.ca.as_deref(), own)
    }
}

/// Sends requests to a server, again after a pause while it is full.
#[derive(Debug)]
pub(crate) struct Requests {
    agent: Agent,
    server: String,
    authorization: Secret,
}

impl Requests {
    pub(crate) fn new(server: &Server) -> anyhow::Result<Self> {
        let config = Agent::config_builder().http_status_as_error(false).timeout_global(Some(TIMEOUT));
        let (agent, authorization) = (server.agent(config)?, server.authorization()?);
        Ok(Self { agent, server: server.url().to_owned(), authorization })
    }

    /// The body of the answer to `GET path`; `None` if there is no such thing.
    pub(crate) fn find(&self, path: &str) -> anyhow::Result<Option<Vec<u8>>> {
        let mut response = self.answered(|| {
            let request = self.agent.get(format!("{}{path}", self.server));
            request.header("Authorization", self.authorization.reveal()).call()
        })?;
        if response.status() == 404 {
            return Ok(None);
        }
        successful(&mut response).map(Some)
    }

    /// The body of the answer to `POST path`.
    pub(crate) fn post(&self, path: &str, media_type: &str, body: &[u8]) -> anyhow::Result<Vec<u8>> {
        let mut response = self.answered(|| {
            let request = self.agent.post(format!("{}{path}", self.server)).content_type(media_type);
            request.header("Authorization", self.authorization.reveal()).send(body)
        })?;
        successful(&mut response)
    }

    /// The answer to a request, which is sent again as long as the server is full.
    #[expect(clippy::disallowed_methods, reason = "the request is sent to a full server again after a pause")]
    fn answered(&self, send: impl Fn() -> Result<Response<Body>, ureq::Error>) -> anyhow::Result<Response<Body>> {
        let mut attempts = 0;
        loop {
            let response = send().with_context(|| format!("cannot reach {}", self.server))?;
            attempts += 1;
            if ![429, 503].contains(&response.status().as_u16()) || attempts == ATTEMPTS {
                return Ok(response);
            }
            let wait = response.headers().get("Retry-After").and_then(|wait| wait.to_str().ok()?.parse().ok());
            std::thread::sleep(wait.map_or(PAUSE, Duration::from_secs).clamp(PAUSE, PAUSE_MAX));
        }
    }
}

/// Returns the body if the response is not an error.
fn successful(response: &mut Response<Body>) -> anyhow::Result<Vec<u8>> {
    let body = response.body_mut().with_config().limit(u64::MAX).read_to_vec()?;
    if response.status().is_success() {
        return Ok(body);
    }
    let problem: Value = serde_json::from_slice(&body).unwrap_or_default();
    let text = |field: &str| problem.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
    bail!("the server responded with {}: {} ({})", response.status().as_u16(), text("detail"), text("code"))
}

/// TLS with servers whose certificates come from the authorities in `ca`, or else from those that the machine trusts.
pub(crate) fn trusting(ca: Option<&Path>, own: Option<ClientCert>) -> anyhow::Result<TlsConfig> {
    let roots = match ca {
        Some(file) => certificates(file, &read(file)?)?,
        None => trusted_by_this_machine()?,
    };
    Ok(TlsConfig::builder()
        .root_certs(RootCerts::Specific(Arc::new(roots)))
        .client_cert(own)
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .build())
}

/// The authorities in the store of the operating system. `SSL_CERT_FILE` and `SSL_CERT_DIR` replace it.
fn trusted_by_this_machine() -> anyhow::Result<Vec<Certificate<'static>>> {
    let found = rustls_native_certs::load_native_certs();
    let all: Vec<_> = found.certs.iter().map(|der| Certificate::from_der(der).to_owned()).collect();
    if all.is_empty() {
        let why = found.errors.first().map_or_else(String::new, |error| format!(": {error}"));
        bail!("this machine has no certificates of authorities{why}; name a file with --ca");
    }
    Ok(all)
}

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    let bytes = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    ensure!(bytes.len() <= FILE_BYTES_MAX, "{} has more than {FILE_BYTES_MAX} bytes", file.display());
    Ok(bytes)
}

fn certificates(file: &Path, pem: &[u8]) -> anyhow::Result<Vec<Certificate<'static>>> {
    let mut found = Vec::new();
    for item in parse_pem(pem) {
        match item.with_context(|| format!("{} is not valid PEM", file.display()))? {
            PemItem::Certificate(certificate) => found.push(certificate),
            // A file may hold a certificate and its key.
            PemItem::PrivateKey(_) => {}
            _ => {}
        }
    }
    ensure!(!found.is_empty(), "{} contains no certificate in PEM, expected at least one", file.display());
    Ok(found)
}

fn private_key(file: &Path) -> anyhow::Result<PrivateKey<'static>> {
    let pem = read_secret_file(file)?;
    PrivateKey::from_pem(&pem).with_context(|| format!("{} contains no private key in PEM", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_name_a_scheme_and_a_host() {
        for (text, expected) in [
            ("http://127.0.0.1:7070", Some("http://127.0.0.1:7070")),
            ("https://finaira.example/", Some("https://finaira.example")),
            ("https://", None),
            ("https:///", None),
            ("ftp://finaira.example", None),
            ("finaira.example", None),
        ] {
            assert_eq!(url(text).ok().as_deref(), expected, "{text}");
        }
    }
}
