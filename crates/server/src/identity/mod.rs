//! Access tokens: which ones count, and the issuer that is built into this server.
//!
//! What is configured are settings of the installation. [`Identity::follow`] is told about each change before it is answered, so
//! a client that was revoked, or an issuer that was removed, is refused from then on.

mod built_in;
mod fetching;
mod settings;
mod tokens;
mod upkeep;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use engine::{Setting, SettingKind};
use issuer::Registry;
use oauth::{Algorithm, HttpUri, PROOFS_PER_NONCE_MAX, Proofs, TokenCache, Verifier};
use tokio::sync::watch;
use types::{SettingName, Timestamp};

pub(crate) use built_in::{BuiltIn, KeysError};
pub use fetching::Fetch;
pub(crate) use fetching::{fetch_now, keep_keys};
pub(crate) use settings::{Added, REVOKED_OF_CLIENT_MAX, Settings, revoked_document};
pub(crate) use tokens::{Asked, LetIn, TokenRefusal};
pub(crate) use upkeep::keep;

/// Most verified tokens that are remembered: about 1 KiB each.
pub const TOKENS_MAX: usize = 1 << 16;
/// What DPoP proofs may be signed with.
const PROOF_ALGORITHMS: [Algorithm; 8] = issuer::ASSERTION_ALGORITHMS;

/// The issuers, the clients of the built-in one, the roles, and what is known about tokens.
/// Whoever needs several of its locks takes them in the order of the fields.
pub(crate) struct Identity {
    settings: RwLock<Settings>,
    verifier: RwLock<Verifier>,
    tokens: TokenCache,
    /// How many changes of issuers and roles there were. What earlier ones let in is asked again.
    issuer_changes: AtomicU64,
    /// How many fetches of keys ended, successful or not. Requests that need new keys wait for it.
    fetches_ended: watch::Sender<u64>,
    proofs: Proofs,
    /// The public address of this server, once it is known.
    origin: OnceLock<HttpUri>,
    /// The built-in issuer, if the public address is known.
    built_in: OnceLock<BuiltIn>,
}

impl Default for Identity {
    fn default() -> Self {
        let mut key = [0; 32];
        datadir::random(&mut key);
        Self {
            settings: RwLock::default(),
            verifier: RwLock::new(Verifier::default()),
            tokens: TokenCache::new(TOKENS_MAX),
            issuer_changes: AtomicU64::new(0),
            fetches_ended: watch::Sender::new(0),
            proofs: Proofs::new(PROOF_ALGORITHMS.to_vec(), key, PROOFS_PER_NONCE_MAX),
            origin: OnceLock::new(),
            built_in: OnceLock::new(),
        }
    }
}

impl Identity {
    /// Follows changes of settings. With `are_all`, what is known so far is forgotten first.
    pub(crate) fn follow(&self, are_all: bool, changed: &[(SettingKind, SettingName, Option<Setting>)]) {
        let mut settings = self.settings.write().unwrap_or_else(PoisonError::into_inner);
        if are_all {
            *settings = Settings::default();
        }
        let mut has_issuers = are_all;
        for (kind, name, setting) in changed {
            has_issuers |= matches!(kind, SettingKind::Issuer | SettingKind::Role);
            settings.note(*kind, name, setting.as_ref());
        }
        if are_all || changed.iter().any(|(kind, ..)| *kind == SettingKind::Role) {
            settings.resolve_roles();
        }
        if has_issuers {
            let mut verifier = self.verifier.write().unwrap_or_else(PoisonError::into_inner);
            let built_in = self.built_in().map(BuiltIn::name);
            let gone = |name: &&Arc<str>| !settings.issuers.contains_key(&***name) && Some(&***name) != built_in;
            let gone: Vec<_> = verifier.issuers().filter(gone).cloned().collect();
            for name in gone {
                verifier.revoke(&name);
            }
            let others = settings.issuers.values().filter(|added| Some(added.item.issuer.as_str()) != built_in);
            for Added { item, .. } in others {
                if let Err(error) = verifier.put(item.settings(&*settings)) {
                    tracing::error!(issuer = item.issuer, %error, "the settings of an issuer cannot be used; its tokens are refused");
                    verifier.revoke(&item.issuer);
                }
            }
            // A token that was remembered has the scopes of the earlier settings. No other is verified meanwhile.
            self.tokens.clear();
            self.issuer_changes.fetch_add(1, Ordering::Release);
        }
    }

    pub(crate) fn settings(&self) -> RwLockReadGuard<'_, Settings> {
        self.settings.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn verifier(&self) -> RwLockReadGuard<'_, Verifier> {
        self.verifier.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn verifier_mut(&self) -> RwLockWriteGuard<'_, Verifier> {
        self.verifier.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn proofs(&self) -> &Proofs {
        &self.proofs
    }

    /// The nonce for the next DPoP proof.
    pub(crate) fn nonce(&self, now: Timestamp) -> String {
        self.proofs.nonce(now)
    }

    /// The built-in issuer, if it is on.
    pub(crate) fn built_in(&self) -> Option<&BuiltIn> {
        self.built_in.get()
    }

    /// The names of the issuers whose keys are fetched.
    pub(crate) fn others(&self) -> Vec<Arc<str>> {
        let built_in = self.built_in().map(BuiltIn::name);
        self.verifier().issuers().filter(|name| Some(&***name) != built_in).cloned().collect()
    }

    /// Starts the built-in issuer of a server with this public address. Only the first call has an effect.
    pub(crate) fn begin(&self, origin: HttpUri, built_in: Option<BuiltIn>, now: Timestamp) {
        drop(self.origin.set(origin));
        if let Some(built_in) = built_in
            && self.built_in.set(built_in).is_ok()
        {
            self.publish_keys(now);
        }
    }

    /// Tells the verifier the keys of the built-in issuer. Called after each change of them, and often enough that they do not get
    /// stale.
    pub(crate) fn publish_keys(&self, now: Timestamp) {
        if let Some(built_in) = self.built_in() {
            built_in.publish(&mut self.verifier_mut(), now);
        }
    }
}

/// Each question takes the lock for itself, so that a change of settings does not wait until a signature is made or checked. Only for
/// those who hold none of the locks.
impl Registry for Identity {
    fn client(&self, id: &str) -> Option<Arc<issuer::Client>> {
        self.settings().client(id)
    }

    fn is_revoked(&self, jti: &str) -> bool {
        self.settings().is_revoked(jti)
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").field("built_in", &self.built_in).finish_non_exhaustive()
    }
}
