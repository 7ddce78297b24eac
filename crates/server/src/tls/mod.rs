//! TLS: the server's certificate and key, the authorities of client certificates, and their reload while connections run.
//!
//! Only TLS 1.3 is spoken. Connections keep the configuration with which they began; new ones get the newest that was valid.

mod files;
mod validity;

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use oauth::Thumbprint;
use rustls::ServerConfig;
use types::{Digest, Timestamp};

use crate::metrics::Metrics;
pub use crate::tls::files::{ClientAuth, TlsError, TlsFiles};
use crate::tls::files::{Contents, Loaded};

/// Time between two looks at the files.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// The certificate of a client, which the server verified in the handshake. It is an extension of every request that comes over
/// such a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ClientCertificate {
    /// The SHA-256 of the certificate in DER, as RFC 8705 compares it.
    pub(crate) thumbprint: Thumbprint,
}

/// What connections need for TLS. It follows the files.
#[derive(Debug)]
pub struct Tls {
    files: TlsFiles,
    current: RwLock<Current>,
}

#[derive(Debug)]
struct Current {
    loaded: Loaded,
    /// The digest of the files' contents at the last look that found something new.
    seen: Digest,
    /// Why the contents at the last look are not used. They are reported if they are still there at the next look, because
    /// a certificate and its key cannot be replaced at once.
    broken: Option<Broken>,
}

#[derive(Debug)]
struct Broken {
    error: TlsError,
    is_reported: bool,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// If they cannot be read, or do not belong together.
    pub fn load(files: TlsFiles) -> Result<Arc<Self>, TlsError> {
        let contents = Contents::read(&files)?;
        let loaded = contents.load(&files)?;
        let current = RwLock::new(Current { loaded, seen: contents.digest(), broken: None });
        Ok(Arc::new(Self { files, current }))
    }

    /// When the certificate expires.
    pub fn not_after(&self) -> Timestamp {
        self.current.read().unwrap_or_else(PoisonError::into_inner).loaded.not_after
    }

    /// The configuration for a new connection.
    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner).loaded.config)
    }

    /// Looks at the files again and again. It never ends.
    pub(crate) async fn follow_files(self: Arc<Self>, metrics: Arc<Metrics>) {
        metrics.note_certificate(self.not_after());
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let (tls, metrics) = (Arc::clone(&self), Arc::clone(&metrics));
            // A panic there is a bug, which was reported; the old certificate stays.
            drop(tokio::task::spawn_blocking(move || tls.look(&metrics)).await);
        }
    }

    /// Looks at the files once. A pair that cannot be used changes nothing.
    fn look(&self, metrics: &Metrics) {
        let read = Contents::read(&self.files);
        let seen = read.as_ref().map_or_else(|error| Digest::of(error.to_string().as_bytes()), Contents::digest);
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if seen == current.seen {
            if let Some(broken) = current.broken.as_mut().filter(|broken| !broken.is_reported) {
                broken.is_reported = true;
                metrics.count_tls_reload("failed");
                let error = &broken.error;
                tracing::error!(%error, "the new TLS certificate cannot be used; the old one stays");
            }
            return;
        }
        current.seen = seen;
        match read.and_then(|contents| contents.load(&self.files)) {
            Ok(loaded) => {
                let not_after = loaded.not_after;
                current.loaded = loaded;
                current.broken = None;
                metrics.count_tls_reload("loaded");
                metrics.note_certificate(not_after);
                tracing::info!(%not_after, "loaded the new TLS certificate");
            }
            Err(error) => current.broken = Some(Broken { error, is_reported: false }),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    use super::*;

    fn write_pair(folder: &Path, name: &str) -> (String, String) {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut parameters = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
        parameters.not_after = rcgen::date_time_ymd(2031, 2, 3);
        let certificate = parameters.self_signed(&key).unwrap().pem();
        write(folder, "cert.pem", &certificate);
        write(folder, "key.pem", &key.serialize_pem());
        (certificate, key.serialize_pem())
    }

    fn write(folder: &Path, name: &str, text: &str) {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    }

    fn files(folder: &Path) -> TlsFiles {
        TlsFiles { certificate: folder.join("cert.pem"), key: folder.join("key.pem"), clients: ClientAuth::Off }
    }

    fn value(metrics: &Metrics, name: &str) -> String {
        let text = metrics.text();
        let found = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ').map(str::to_owned));
        found.unwrap_or_else(|| "none".to_owned())
    }

    #[test]
    fn a_new_pair_replaces_the_old_one_and_a_broken_one_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let metrics = Metrics::new();
        write_pair(folder.path(), "one");
        let tls = Tls::load(files(folder.path())).unwrap();
        assert_eq!(tls.not_after().to_string(), "2031-02-03T00:00:00Z");
        let first = tls.config();
        tls.look(&metrics);
        assert!(Arc::ptr_eq(&first, &tls.config()), "nothing changed");
        let (certificate, key) = write_pair(folder.path(), "two");
        tls.look(&metrics);
        let second = tls.config();
        assert!(!Arc::ptr_eq(&first, &second));
        assert_eq!(value(&metrics, "finaira_tls_reloads_total{result=\"loaded\"}"), "1");

        let failed = || value(&metrics, "finaira_tls_reloads_total{result=\"failed\"}");
        let other = rcgen::KeyPair::generate().unwrap().serialize_pem();
        for (times, broken) in (1..).zip(["", "no PEM", &other, &key[..100]]) {
            write(folder.path(), "key.pem", broken);
            tls.look(&metrics);
            let before = if times == 1 { "none".to_owned() } else { (times - 1).to_string() };
            assert_eq!(failed(), before, "a pair may be half written at the first look");
            tls.look(&metrics);
            tls.look(&metrics);
            assert_eq!(failed(), times.to_string(), "a broken pair counts once");
            assert!(Arc::ptr_eq(&second, &tls.config()), "the old pair stays");
        }
        std::fs::remove_file(folder.path().join("key.pem")).unwrap();
        tls.look(&metrics);
        write(folder.path(), "cert.pem", &certificate);
        write(folder.path(), "key.pem", &key);
        tls.look(&metrics);
        assert!(!Arc::ptr_eq(&second, &tls.config()), "the same pair again is valid again");
    }

    #[test]
    fn files_that_are_no_pair_are_refused_with_a_reason() {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = write_pair(folder.path(), "one");
        let refusal = || Tls::load(files(folder.path())).unwrap_err().to_string();
        write(folder.path(), "cert.pem", &key);
        assert!(refusal().contains("cert.pem contains no certificate in PEM"), "{}", refusal());
        write(folder.path(), "cert.pem", &certificate);
        write(folder.path(), "key.pem", &certificate);
        assert!(refusal().contains("key.pem contains no private key in PEM"), "{}", refusal());
        write(folder.path(), "key.pem", &rcgen::KeyPair::generate().unwrap().serialize_pem());
        assert!(refusal().contains("do not belong together"), "{}", refusal());
        write(folder.path(), "key.pem", &key);
        std::fs::set_permissions(folder.path().join("key.pem"), Permissions::from_mode(0o644)).unwrap();
        assert!(refusal().contains("open to all users"), "{}", refusal());
        let required =
            TlsFiles { clients: ClientAuth::Required(folder.path().join("key.pem")), ..files(folder.path()) };
        std::fs::set_permissions(folder.path().join("key.pem"), Permissions::from_mode(0o600)).unwrap();
        let refusal = Tls::load(required).unwrap_err().to_string();
        assert!(refusal.contains("contains no certificate"), "{refusal}");
    }
}
