//! Fetches the keys of issuers: when they are old, and when a token names one that is not known.
//!
//! Addresses come from the settings and from discovery documents that were checked (`oauth::key_set_uri`), never from a token.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use oauth::{DISCOVERY_BYTES_MAX, FETCH_TIMEOUT, KEY_SET_BYTES_MAX, Keys, Need, discovery_uri, key_set_uri};

use crate::tenants::Tenants;

/// How often to look whether keys are to be fetched.
const EVERY: Duration = Duration::from_secs(1);
/// How long a request waits for the keys that its token needs.
const WAIT_MAX: Duration = Duration::from_nanos(FETCH_TIMEOUT.ns());

/// Gets documents over HTTP.
pub trait Fetch: fmt::Debug + Send + Sync {
    /// Gets the document at `url`, of at most `bytes_max` bytes, within 5 s. It blocks. Redirects are not followed, because they
    /// could lead to where nobody may be asked.
    ///
    /// # Errors
    /// Says what went wrong, for the log.
    fn get(&self, url: &str, bytes_max: usize) -> Result<Vec<u8>, String>;
}

/// Fetches keys when they get old, until it is dropped.
pub(crate) async fn keep_keys(tenants: Arc<Tenants>) {
    let mut known: Vec<Arc<str>> = Vec::new();
    loop {
        let names = tenants.installation().identity.others();
        for name in &names {
            start(&tenants, name, Need::Age);
        }
        for gone in known.iter().filter(|name| !names.contains(name)) {
            tenants.home().core.shared().metrics.forget_issuer(gone);
        }
        known = names;
        tokio::time::sleep(EVERY).await;
    }
}

/// Waits for the keys of an issuer because a token needs one that was not there: fetches them if the limits allow it, or waits for
/// a fetch that is under way. The token is worth another look after that, also without a wait: a fetch may just have ended.
pub(crate) async fn fetch_now(tenants: &Arc<Tenants>, issuer: &Arc<str>) {
    let identity = &tenants.installation().identity;
    // From before the look at the state, so that no end of a fetch is missed.
    let mut ended = identity.fetches_ended.subscribe();
    start(tenants, issuer, Need::UnknownKey);
    let now = tenants.home().core.now();
    let is_fetching = || identity.verifier_mut().keys(issuer).is_some_and(|keys| keys.is_fetching(now));
    let waiting = async {
        while is_fetching() {
            if ended.changed().await.is_err() {
                return;
            }
        }
    };
    if tokio::time::timeout(WAIT_MAX, waiting).await.is_err() {
        tracing::debug!(%issuer, "the keys of an issuer were not fetched in time for a request");
    }
}

/// Starts to fetch the keys of an issuer, unless it is too soon.
fn start(tenants: &Arc<Tenants>, issuer: &Arc<str>, need: Need) {
    let Some(fetch) = tenants.fetch() else { return };
    let now = tenants.home().core.now();
    let starts = {
        let mut verifier = tenants.installation().identity.verifier_mut();
        verifier.keys(issuer).is_some_and(|keys| keys.start_fetch(now, need))
    };
    if !starts {
        return;
    }
    let (tenants, issuer) = (Arc::clone(tenants), Arc::clone(issuer));
    tokio::task::spawn_blocking(move || {
        let found = fetch_keys(&*fetch, &issuer);
        let now = tenants.home().core.now();
        if let Err(why) = &found {
            tracing::warn!(%issuer, why, "the keys of an issuer cannot be fetched");
        }
        let identity = &tenants.installation().identity;
        if let Some(keys) = identity.verifier_mut().keys(&issuer) {
            let is_fetched = found.is_ok();
            let gone = keys.fetched(now, found.ok());
            tenants.home().core.shared().metrics.count_key_fetch(&issuer, is_fetched.then_some(now));
            tracing::debug!(%issuer, gone, is_fetched, "the keys of an issuer were fetched");
        }
        identity.fetches_ended.send_modify(|count| *count = count.wrapping_add(1));
    });
}

fn fetch_keys(fetch: &dyn Fetch, issuer: &str) -> Result<Keys, String> {
    let document = fetch.get(&discovery_uri(issuer), DISCOVERY_BYTES_MAX)?;
    let uri = key_set_uri(issuer, &document).map_err(|error| error.to_string())?;
    let keys = Keys::parse(&fetch.get(&uri, KEY_SET_BYTES_MAX)?).map_err(|error| error.to_string())?;
    for (place, error) in &keys.skipped {
        tracing::debug!(issuer, place, %error, "a key of an issuer is not used");
    }
    if keys.usable().is_empty() { Err("the key set has no key that can be used".to_owned()) } else { Ok(keys) }
}
