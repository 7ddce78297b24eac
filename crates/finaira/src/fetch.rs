//! Gets the documents of token issuers, over HTTPS or from a loopback address.

use std::path::Path;
use std::time::Duration;

use server::Fetch;

use crate::remote;

/// How long one document may take. An issuer has two, and its keys count as not fetched after 10 s.
const TIMEOUT: Duration = Duration::from_secs(4);

/// A client without cookies and redirects.
#[derive(Debug)]
pub(crate) struct Fetcher(ureq::Agent);

impl Fetcher {
    /// A client that trusts the authorities in `ca`, or else those that the machine trusts. Without any, it only gets documents from
    /// loopback addresses over plain HTTP.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub(crate) fn new(ca: Option<&Path>) -> anyhow::Result<Self> {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(TIMEOUT))
            .max_redirects(0)
            .max_redirects_will_error(true)
            .http_status_as_error(true);
        let config = match (remote::trusting(ca, None), ca) {
            (Ok(tls), _) => config.tls_config(tls),
            (Err(error), Some(_)) => return Err(error),
            (Err(error), None) => {
                tracing::info!(%error, "keys of token issuers cannot be fetched over HTTPS");
                config
            }
        };
        Ok(Self(config.build().into()))
    }
}

impl Fetch for Fetcher {
    fn get(&self, url: &str, bytes_max: usize) -> Result<Vec<u8>, String> {
        let mut response =
            self.0.get(url).header("Accept", "application/json").call().map_err(|error| error.to_string())?;
        let bytes_max = u64::try_from(bytes_max).unwrap_or(u64::MAX);
        response.body_mut().with_config().limit(bytes_max).read_to_vec().map_err(|error| error.to_string())
    }
}
