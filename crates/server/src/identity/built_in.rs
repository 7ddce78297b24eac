//! The built-in issuer in a running server: its keys in a file, and their rotation.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use api::Scope;
use api::installation::SigningKeysShown;
use disk::Directory;
use issuer::{Issuer, KeyError, KeyRing, Replays, RotationError, Settings, SigningAlgorithm, SigningKey};
use oauth::{Keys, Need, ScopeRule, Scopes, Values, Verifier};
use types::Timestamp;

/// The file of the keys, in a folder that only the operator can read.
const FILE: &str = "signing.keys";

/// The built-in issuer and its keys.
#[derive(Debug)]
pub(crate) struct BuiltIn {
    pub(crate) issuer: Issuer,
    /// The present keys. Nobody waits for them: a change is on disk before it takes their place.
    keys: RwLock<Arc<KeyRing>>,
    /// Held during a change, so that there is one at a time.
    changes: Mutex<()>,
    directory: Directory,
}

/// Why the keys of the built-in issuer cannot be used or changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeysError {
    #[error("cannot open the folder of the signing keys: {0}")]
    Directory(#[from] disk::DirectoryError),
    #[error("cannot read the signing keys of {0}: {1}")]
    Read(PathBuf, std::io::Error),
    #[error("{0}: {1}; restore the file, or remove it to start with new keys, which ends all tokens of this issuer")]
    Document(PathBuf, issuer::DocumentError),
    #[error("cannot write the signing keys: {0}")]
    Write(String),
    #[error("the issuer cannot be configured: {0}")]
    Settings(#[from] issuer::SettingsError),
    #[error(transparent)]
    Rotation(#[from] RotationError),
}

impl BuiltIn {
    /// Opens the issuer of a server with this public origin. Its first start makes keys.
    ///
    /// # Errors
    /// If the keys cannot be read or written, or the origin is not the address of a server.
    pub(crate) fn open(
        folder: &Path,
        (origin, takes_certificates): (&str, bool),
        now: Timestamp,
    ) -> Result<Self, KeysError> {
        let settings = Settings {
            origin: origin.to_owned(),
            scopes: Scope::TABLE.iter().map(|(_, name, _)| (*name).to_owned()).collect(),
            token_lifetime: issuer::TOKEN_LIFETIME_DEFAULT,
            takes_certificates,
        };
        let mut key = [0; 32];
        datadir::random(&mut key);
        let issuer = Issuer::new(settings, Replays::new(now, key))?;
        let directory = Directory::open(folder)?;
        let path = folder.join(FILE);
        let found = read(&directory).map_err(|error| KeysError::Read(path.clone(), error))?;
        let keys = match found {
            Some(bytes) => KeyRing::from_document(&bytes).map_err(|error| KeysError::Document(path, error))?,
            None => KeyRing::new(new_key(), new_key(), now)?,
        };
        let built_in = Self { issuer, keys: RwLock::new(Arc::new(keys)), changes: Mutex::default(), directory };
        built_in.change(|keys| {
            keys.expire(now);
            Ok(())
        })?;
        Ok(built_in)
    }

    pub(crate) fn name(&self) -> &str {
        self.issuer.name()
    }

    /// The present keys.
    pub(crate) fn keys(&self) -> Arc<KeyRing> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn shown(&self) -> SigningKeysShown {
        let keys = self.keys();
        SigningKeysShown {
            active: keys.active().kid().to_owned(),
            next: keys.next().kid().to_owned(),
            retired: keys.kids().skip(2).map(str::to_owned).collect(),
        }
    }

    /// The next key starts to sign. It blocks on the disk.
    pub(crate) fn rotate(&self, now: Timestamp) -> Result<(), KeysError> {
        self.change(|keys| keys.rotate(now, new_key()))
    }

    /// Takes a key out of use whose secret became known. It blocks on the disk.
    pub(crate) fn withdraw(&self, kid: &str, now: Timestamp) -> Result<(), KeysError> {
        self.change(|keys| keys.withdraw(kid, now, new_key()))
    }

    /// Whether a key is to be replaced, or to be published no longer.
    pub(crate) fn is_due(&self, now: Timestamp) -> (bool, bool) {
        let keys = self.keys();
        (keys.rotate_at() <= now, keys.expire_at().is_some_and(|at| at <= now))
    }

    /// Removes keys whose tokens have all expired.
    pub(crate) fn expire(&self, now: Timestamp) -> Result<(), KeysError> {
        self.change(|keys| {
            keys.expire(now);
            Ok(())
        })
    }

    /// Changes the keys. They are on disk before anything is signed with them; until then, the earlier ones sign.
    fn change(&self, change: impl FnOnce(&mut KeyRing) -> Result<(), RotationError>) -> Result<(), KeysError> {
        let _one_at_a_time = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        // Keys cannot be copied, so the change happens on what is read back from their document.
        let mut changed = KeyRing::from_document(&self.keys().to_document())
            .map_err(|error| KeysError::Document(FILE.into(), error))?;
        change(&mut changed)?;
        let written = disk::write_atomically(&self.directory, FILE, &changed.to_document());
        written.map_err(|error| KeysError::Write(format!("{error:?}")))?;
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(changed);
        Ok(())
    }

    /// Tells a verifier the keys.
    pub(super) fn publish(&self, verifier: &mut Verifier, now: Timestamp) {
        if let Err(error) = verifier.put(self.issuer.verifier_settings(rules())) {
            tracing::error!(%error, "tokens of the built-in issuer cannot be verified");
        }
        let jwks = self.keys().jwks();
        if let Some(set) = verifier.keys(self.name()) {
            set.start_fetch(now, Need::Age);
            set.fetched(now, Keys::parse(jwks.as_bytes()).ok());
        }
    }
}

/// Each scope of the API has its own name in `scope`.
fn rules() -> Vec<ScopeRule> {
    let rule = |(scope, name, _): &(Scope, &str, &str)| ScopeRule {
        path: vec!["scope".to_owned()],
        values: Values::Spaced,
        value: (*name).to_owned(),
        scopes: Scopes(scope.bits()),
    };
    Scope::TABLE.iter().map(rule).collect()
}

fn new_key() -> SigningKey {
    loop {
        let mut random = [0; 32];
        datadir::random(&mut random);
        match SigningKey::generate(SigningAlgorithm::Es256, random) {
            Ok(key) => return key,
            // One in 2^32 is no key.
            Err(KeyError::Random) => {}
            Err(error) => unreachable!("a new key has no other fault: {error}"),
        }
    }
}

fn read(directory: &Directory) -> std::io::Result<Option<Vec<u8>>> {
    match std::fs::read(directory.path().join(FILE)) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    #[test]
    fn keys_sign_while_others_are_written_to_disk() {
        let folder = tempfile::tempdir().unwrap();
        let now = Timestamp::from_ns(1_795_000_000_000_000_000);
        let built_in = BuiltIn::open(folder.path(), ("https://pay.example", false), now).unwrap();
        let before = built_in.keys().next().kid().to_owned();
        let (asked, answered) = mpsc::sync_channel(1);
        let changed = std::thread::scope(|scope| {
            built_in.change(|keys| {
                scope.spawn(|| asked.send(built_in.keys().active().kid().to_owned()));
                let active = keys.active().kid().to_owned();
                assert_eq!(answered.recv_timeout(Duration::from_secs(20)), Ok(active), "nobody waits for the change");
                keys.rotate(now, new_key())
            })
        });
        changed.unwrap();
        assert_eq!(built_in.keys().active().kid(), before);
        let jwks = built_in.keys().jwks();
        // The folder is locked while it is open.
        drop(built_in);
        let again = BuiltIn::open(folder.path(), ("https://pay.example", false), now).unwrap();
        assert_eq!(again.keys().jwks(), jwks, "the keys are on disk");
    }
}
