//! A place in an object store, by its address.

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use datadir::Secret;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    BackoffConfig, Certificate, ClientOptions, Error, ObjectStore, ObjectStoreExt as _, PutMode, PutPayload,
    RetryConfig,
};
use serde::Deserialize;

use super::Object;
use crate::runtime::Blocking;
use crate::target::Fault;
use crate::targets::secret;

/// How long a connection may take.
const CONNECT_TIME_OUT: Duration = Duration::from_secs(5);
/// How often a request is sent again before the connector hears of it. It tries again by itself.
const RETRIES_MAX: usize = 2;
/// The longest pause between two of them.
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(2);
/// Requests that are under way at once.
const REQUESTS_MAX: usize = 8;
const TIME_OUT_S_MAX: u64 = 3_600;
/// A day.
const WAIT_S_MAX: u64 = 86_400;

/// The settings of a target: the place, and how long entries wait.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Settings {
    /// `s3://bucket/prefix`, `gs://bucket/prefix`, `az://container/prefix` or `file:///directory`.
    pub(super) url: String,
    /// The address of a store that is compatible with S3, Google Cloud Storage or Azure Blob.
    endpoint: Option<String>,
    /// The region of a bucket in S3.
    region: Option<String>,
    /// Whether the bucket comes in the path of a request to S3. Otherwise it is in the name of the host.
    #[serde(default)]
    path_style: bool,
    /// S3: the id of the access key. Azure: the storage account. Without a secret, what the store's own tools use is taken.
    account: Option<String>,
    /// A file whose first line is the secret: of S3 the secret access key, of Azure the account's key. Of Google Cloud Storage, the file with
    /// the key of a service account, in JSON.
    secret_file: Option<PathBuf>,
    /// The environment variable that holds the secret.
    secret_env: Option<String>,
    /// Whether requests carry no credentials.
    #[serde(default)]
    anonymous: bool,
    /// The authorities that may have issued the store's certificate, in PEM.
    ca: Option<PathBuf>,
    /// How long one request may take, in seconds.
    #[serde(default = "default_time_out_s")]
    time_out_s: u64,
    /// How long entries may wait until a batch is full, in seconds. Shorter waits make more and smaller objects.
    #[serde(default = "default_wait_s_max")]
    pub(super) wait_s_max: u64,
}

const fn default_time_out_s() -> u64 {
    120
}

const fn default_wait_s_max() -> u64 {
    60
}

/// Which store an address names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    S3,
    Google,
    Azure,
    File,
}

impl Settings {
    /// What the address names: the store, the bucket or container, and the prefix or directory.
    fn parts(&self) -> Result<(Kind, &str, &str), String> {
        let wrong = || {
            let expected = "`s3://bucket/prefix`, `gs://bucket/prefix`, `az://container/prefix` or `file:///directory`";
            format!("found the url `{}`, expected {expected}", self.url)
        };
        let (scheme, rest) = self.url.split_once("://").ok_or_else(wrong)?;
        let kind = match scheme {
            "s3" => Kind::S3,
            "gs" => Kind::Google,
            "az" => Kind::Azure,
            "file" => Kind::File,
            _ => return Err(wrong()),
        };
        if kind == Kind::File {
            return if rest.starts_with('/') && rest.len() > 1 { Ok((kind, "", rest)) } else { Err(wrong()) };
        }
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() { Err(wrong()) } else { Ok((kind, bucket, prefix.trim_matches('/'))) }
    }

    pub(super) fn check(&self) -> Result<(), String> {
        let (kind, _, prefix) = self.parts()?;
        if kind != Kind::File {
            Path::parse(prefix).map_err(|error| format!("found the url `{}`: {error}", self.url))?;
        }
        if !(1..=TIME_OUT_S_MAX).contains(&self.time_out_s) {
            return Err(format!("found `time_out_s` {}, expected 1 to {TIME_OUT_S_MAX}", self.time_out_s));
        }
        if self.wait_s_max > WAIT_S_MAX {
            return Err(format!("found `wait_s_max` {}, expected 0 to {WAIT_S_MAX}", self.wait_s_max));
        }
        let remote = [self.endpoint.is_some(), self.region.is_some(), self.account.is_some(), self.ca.is_some()];
        if kind == Kind::File && (remote.contains(&true) || self.path_style || self.anonymous || self.has_secret()) {
            return Err("a `file` address takes no endpoint, region, credentials or certificates".to_owned());
        }
        if self.has_secret() && self.account.is_none() && matches!(kind, Kind::S3 | Kind::Azure) {
            return Err("found a secret without `account`, expected both or neither".to_owned());
        }
        if let Some(endpoint) = &self.endpoint
            && !endpoint.starts_with("https://")
            && !endpoint.starts_with("http://")
        {
            return Err(format!("found the endpoint `{endpoint}`, expected `https://…` or `http://…`"));
        }
        Ok(())
    }

    const fn has_secret(&self) -> bool {
        self.secret_file.is_some() || self.secret_env.is_some()
    }

    fn secret(&self) -> Result<Option<Secret>, String> {
        secret(self.secret_file.as_deref(), self.secret_env.as_deref(), "secret")
    }

    fn options(&self) -> Result<ClientOptions, String> {
        let is_plain = self.endpoint.as_ref().is_some_and(|endpoint| endpoint.starts_with("http://"));
        let mut options = ClientOptions::new()
            .with_timeout(Duration::from_secs(self.time_out_s))
            .with_connect_timeout(CONNECT_TIME_OUT)
            .with_allow_http(is_plain);
        if let Some(ca) = &self.ca {
            let failed =
                |error: &dyn std::fmt::Display| format!("cannot use the certificates in {}: {error}", ca.display());
            let pem = std::fs::read(ca).map_err(|error| failed(&error))?;
            for certificate in Certificate::from_pem_bundle(&pem).map_err(|error| failed(&error))? {
                options = options.with_root_certificate(certificate);
            }
        }
        Ok(options)
    }

    /// The client of the store, and the prefix of all objects.
    fn client(&self) -> Result<(Arc<dyn ObjectStore>, Path), String> {
        let (kind, bucket, rest) = self.parts()?;
        let failed = |error: Error| error.to_string();
        let retry = RetryConfig {
            backoff: BackoffConfig { max_backoff: RETRY_PAUSE_MAX, ..BackoffConfig::default() },
            max_retries: RETRIES_MAX,
            retry_timeout: Duration::from_secs(self.time_out_s),
        };
        let prefix =
            if kind == Kind::File { Path::default() } else { Path::parse(rest).map_err(|error| error.to_string())? };
        match kind {
            Kind::File => {
                std::fs::create_dir_all(rest)
                    .map_err(|error| format!("cannot create the directory {rest}: {error}"))?;
                let store = LocalFileSystem::new_with_prefix(rest).map_err(failed)?.with_fsync(true);
                Ok((Arc::new(store), prefix))
            }
            Kind::S3 => {
                let mut builder = AmazonS3Builder::from_env().with_client_options(self.options()?).with_retry(retry);
                builder = builder.with_bucket_name(bucket).with_skip_signature(self.anonymous);
                builder = builder.with_virtual_hosted_style_request(!self.path_style);
                if let Some(region) = &self.region {
                    builder = builder.with_region(region);
                }
                if let Some(endpoint) = &self.endpoint {
                    builder = builder.with_endpoint(endpoint_of(endpoint, bucket, self.path_style));
                }
                if let (Some(account), Some(secret)) = (&self.account, self.secret()?) {
                    builder = builder.with_access_key_id(account).with_secret_access_key(secret.reveal());
                }
                Ok((Arc::new(builder.build().map_err(failed)?), prefix))
            }
            Kind::Google => {
                let mut builder = GoogleCloudStorageBuilder::from_env();
                builder = builder.with_client_options(self.options()?).with_retry(retry);
                builder = builder.with_bucket_name(bucket).with_skip_signature(self.anonymous);
                if let Some(endpoint) = &self.endpoint {
                    builder = builder.with_base_url(endpoint);
                }
                if self.anonymous {
                    // Otherwise the client asks for credentials where only machines of Google have them.
                    builder = builder.with_bearer_token("");
                }
                match (&self.secret_file, &self.secret_env) {
                    // The file has more than one line, so it is not read as a secret.
                    (Some(file), None) => {
                        builder = builder.with_service_account_path(file.to_string_lossy());
                    }
                    _ => {
                        if let Some(secret) = self.secret()? {
                            builder = builder.with_service_account_key(secret.reveal());
                        }
                    }
                }
                Ok((Arc::new(builder.build().map_err(failed)?), prefix))
            }
            Kind::Azure => {
                let mut builder = MicrosoftAzureBuilder::from_env();
                builder = builder.with_client_options(self.options()?).with_retry(retry);
                builder = builder.with_container_name(bucket).with_skip_signature(self.anonymous);
                if let Some(endpoint) = &self.endpoint {
                    builder = builder.with_endpoint(endpoint.clone());
                }
                if let Some(account) = &self.account {
                    builder = builder.with_account(account);
                }
                if let Some(secret) = self.secret()? {
                    builder = builder.with_access_key(secret.reveal());
                }
                Ok((Arc::new(builder.build().map_err(failed)?), prefix))
            }
        }
    }
}

/// The client expects the bucket in the endpoint unless it is in the path.
fn endpoint_of(endpoint: &str, bucket: &str, path_style: bool) -> String {
    match endpoint.split_once("://") {
        Some((scheme, host)) if !path_style => format!("{scheme}://{bucket}.{}", host.trim_end_matches('/')),
        Some(_) | None => endpoint.trim_end_matches('/').to_owned(),
    }
}

/// What a conditional write did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Put {
    Created,
    /// There was an object with this name, which is as it was.
    Exists,
}

/// A place in an object store. Names are those after the prefix.
pub(super) struct Store {
    blocking: Blocking,
    client: Arc<dyn ObjectStore>,
    prefix: Path,
    /// How long one call may take, with all its retries.
    time_out: Duration,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("client", &self.client.to_string()).field("prefix", &self.prefix).finish()
    }
}

impl Store {
    /// A store that has not been asked anything yet.
    ///
    /// # Errors
    /// When a setting cannot be used.
    pub(super) fn new(settings: &Settings) -> Result<Self, Fault> {
        let blocking = Blocking::new()?;
        // Some clients look for a runtime when they are made.
        let made = {
            let _entered = blocking.enter();
            settings.client()
        };
        let (client, prefix) = made.map_err(Fault::Refused)?;
        Ok(Self { blocking, client, prefix, time_out: Duration::from_secs(settings.time_out_s.saturating_mul(2)) })
    }

    fn path(&self, name: &str) -> Result<Path, Fault> {
        let prefix = self.prefix.as_ref();
        let whole = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}/{name}") };
        Path::parse(&whole).map_err(|error| Fault::Refused(error.to_string()))
    }

    fn wait<T>(&self, what: &str, name: &str, call: impl Future<Output = Result<T, Error>>) -> Result<T, Fault> {
        let called = self.blocking.run(async { tokio::time::timeout(self.time_out, call).await });
        let failed = |error: &Error| fault(&format!("cannot {what} `{name}`"), error);
        let called = called.map_err(|_elapsed| {
            Fault::Unreachable(format!("cannot {what} `{name}`: no answer within {} s", self.time_out.as_secs()))
        })?;
        called.map_err(|error| failed(&error))
    }

    /// Writes an object unless there is one with this name.
    ///
    /// # Errors
    /// When it is unknown whether it was written, or the store refuses.
    pub(super) fn put(&self, name: &str, bytes: Vec<u8>) -> Result<Put, Fault> {
        let path = self.path(name)?;
        self.wait("write", name, put(Arc::clone(&self.client), path, bytes.into()))
    }

    /// Writes several objects, some at once, each unless there is one with its name. Returns what became of each, in order.
    ///
    /// # Errors
    /// As [`Store::put`]; some of the others may be written.
    pub(super) fn put_all(&self, objects: &[Object]) -> Result<Vec<Put>, Fault> {
        let mut calls = Vec::with_capacity(objects.len());
        for Object { name, bytes, .. } in objects {
            let (path, client, time_out) = (self.path(name)?, Arc::clone(&self.client), self.time_out);
            calls.push(async move {
                match tokio::time::timeout(time_out, put(client, path, bytes.clone().into())).await {
                    Ok(Ok(put)) => Ok(put),
                    Ok(Err(error)) => Err(fault(&format!("cannot write `{name}`"), &error)),
                    Err(_elapsed) => Err(Fault::Unreachable(format!(
                        "cannot write `{name}`: no answer within {} s",
                        time_out.as_secs()
                    ))),
                }
            });
        }
        self.blocking.run(stream::iter(calls).buffered(REQUESTS_MAX).try_collect())
    }

    /// Reads an object; `None` if there is none.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn get(&self, name: &str) -> Result<Option<Vec<u8>>, Fault> {
        let path = self.path(name)?;
        self.wait("read", name, get(&self.client, path))
    }

    /// Reads several objects, some at once, in order.
    ///
    /// # Errors
    /// When one of them cannot be read.
    pub(super) fn get_all(&self, objects: &[Object]) -> Result<Vec<Option<Vec<u8>>>, Fault> {
        let mut calls = Vec::with_capacity(objects.len());
        for Object { name, .. } in objects {
            calls.push(get(&self.client, self.path(name)?));
        }
        let first = objects.first().map(|object| object.name.as_str()).unwrap_or_default();
        self.wait("read", first, stream::iter(calls).buffered(REQUESTS_MAX).try_collect())
    }

    /// Whether there is an object with this name.
    ///
    /// # Errors
    /// When the store does not say.
    pub(super) fn has(&self, name: &str) -> Result<bool, Fault> {
        self.has_all(&[name])
    }

    /// Whether there are objects with all these names.
    ///
    /// # Errors
    /// When the store does not say.
    pub(super) fn has_all(&self, names: &[&str]) -> Result<bool, Fault> {
        let mut calls = Vec::with_capacity(names.len());
        for name in names {
            let path = self.path(name)?;
            calls.push(async move {
                match self.client.head(&path).await {
                    Ok(_) => Ok(true),
                    Err(Error::NotFound { .. }) => Ok(false),
                    Err(error) => Err(error),
                }
            });
        }
        let first = names.first().copied().unwrap_or_default();
        self.wait("find", first, async {
            let mut found = stream::iter(calls).buffered(REQUESTS_MAX);
            while let Some(found) = found.next().await {
                if !found? {
                    return Ok(false);
                }
            }
            Ok(true)
        })
    }

    /// The name of an object under `folder`, and after `after` if that is given. Names are compared as texts; any of those that fit is returned.
    ///
    /// # Errors
    /// When the store does not say.
    pub(super) fn any(&self, folder: &str, after: Option<&str>) -> Result<Option<String>, Fault> {
        let prefix = self.path(folder)?;
        let after = after.map(|after| self.path(after)).transpose()?;
        let found = self.wait("list", folder, async {
            let mut listed = match &after {
                None => self.client.list(Some(&prefix)),
                Some(after) => self.client.list_with_offset(Some(&prefix), after),
            };
            while let Some(found) = listed.next().await.transpose()? {
                // Some stores ignore where the list should begin.
                if after.as_ref().is_none_or(|after| found.location > *after) {
                    return Ok(Some(found));
                }
            }
            Ok(None)
        })?;
        Ok(found.map(|found| self.name(&found.location)))
    }

    /// The names of all objects under `folder`, in order.
    ///
    /// # Errors
    /// When the store does not list them.
    pub(super) fn names(&self, folder: &str) -> Result<Vec<String>, Fault> {
        let prefix = self.path(folder)?;
        let listed = self.wait("list", folder, self.client.list(Some(&prefix)).try_collect::<Vec<_>>())?;
        let mut names: Vec<String> = listed.iter().map(|found| self.name(&found.location)).collect();
        names.sort_unstable();
        Ok(names)
    }

    /// The name of an object, without the prefix.
    fn name(&self, path: &Path) -> String {
        let prefix = self.prefix.as_ref();
        let rest = path.as_ref().strip_prefix(prefix).unwrap_or(path.as_ref());
        rest.trim_start_matches('/').to_owned()
    }
}

async fn get(client: &Arc<dyn ObjectStore>, path: Path) -> Result<Option<Vec<u8>>, Error> {
    match client.get(&path).await {
        Ok(found) => Ok(Some(found.bytes().await?.into())),
        Err(Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

async fn put(client: Arc<dyn ObjectStore>, path: Path, bytes: PutPayload) -> Result<Put, Error> {
    match client.put_opts(&path, bytes, PutMode::Create.into()).await {
        Ok(_) => Ok(Put::Created),
        Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => Ok(Put::Exists),
        Err(error) => Err(error),
    }
}

/// What an error of the client means for a connector.
fn fault(what: &str, error: &Error) -> Fault {
    // Trying again does not help against these until somebody changes the store, the rights or the configuration.
    let lasts = matches!(
        error,
        Error::PermissionDenied { .. }
            | Error::Unauthenticated { .. }
            | Error::NotFound { .. }
            | Error::InvalidPath { .. }
            | Error::NotSupported { .. }
            | Error::NotImplemented { .. }
            | Error::UnknownConfigurationKey { .. }
    );
    let text = format!("{what}: {error}");
    if lasts { Fault::Refused(text) } else { Fault::Unreachable(text) }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn settings(text: &str) -> Settings {
        toml::from_str(text).expect("settings")
    }

    #[test]
    fn an_address_names_a_store_a_bucket_and_a_prefix() {
        for (url, expected) in [
            ("s3://lake/finaira/main", (Kind::S3, "lake", "finaira/main")),
            ("s3://lake", (Kind::S3, "lake", "")),
            ("gs://lake/a/", (Kind::Google, "lake", "a")),
            ("az://lake/a", (Kind::Azure, "lake", "a")),
            ("file:///var/lake", (Kind::File, "", "/var/lake")),
        ] {
            assert_eq!(settings(&format!("url = {url:?}")).parts(), Ok(expected), "{url}");
        }
        for url in ["lake", "http://lake/a", "s3:///a", "file://lake", "file:///"] {
            let error = settings(&format!("url = {url:?}")).check().expect_err(url);
            assert!(error.contains(&format!("found the url `{url}`, expected `s3://bucket/prefix`")), "{error}");
        }
    }

    #[test]
    fn settings_are_checked() {
        for (text, expected) in [
            ("url = \"s3://lake/a//b\"", "found the url `s3://lake/a//b`: "),
            ("url = \"s3://lake\"\ntime_out_s = 0", "found `time_out_s` 0, expected 1 to 3600"),
            ("url = \"file:///lake\"\nregion = \"eu\"", "takes no endpoint"),
            ("url = \"s3://lake\"\nsecret_env = \"KEY\"", "found a secret without `account`"),
            ("url = \"s3://lake\"\nendpoint = \"lake.internal\"", "found the endpoint `lake.internal`"),
        ] {
            let error = settings(text).check().expect_err(expected);
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn an_object_is_never_replaced() {
        let folder = tempfile::tempdir().expect("a directory");
        let store = Store::new(&settings(&format!("url = \"file://{}\"", folder.path().display()))).expect("a store");
        assert_eq!(store.put("a/b", b"one".to_vec()), Ok(Put::Created));
        assert_eq!(store.put("a/b", b"two".to_vec()), Ok(Put::Exists));
        let object = |name: &str| Object { name: name.to_owned(), rows: 1, bytes: Bytes::from_static(b"2") };
        let puts = store.put_all(&[object("a/c"), object("a/b")]);
        assert_eq!(puts, Ok(vec![Put::Created, Put::Exists]));
        assert_eq!(store.get("a/b"), Ok(Some(b"one".to_vec())));
        assert_eq!(store.get("a/d"), Ok(None));
        assert_eq!((store.has("a/b"), store.has_all(&["a/b", "a/d"])), (Ok(true), Ok(false)));
        assert_eq!(store.names("a"), Ok(vec!["a/b".to_owned(), "a/c".to_owned()]));
        assert_eq!(store.any("a", Some("a/b")), Ok(Some("a/c".to_owned())));
        assert_eq!((store.any("a", Some("a/c")), store.any("z", None)), (Ok(None), Ok(None)));
    }
}
