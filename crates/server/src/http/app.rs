//! What the handlers of a tenant share.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use api::CursorOrigin;
use api::responses::Unknown;
use edge::{Edge, Installation as Identity};
use tokio::sync::Semaphore;
use types::{ActorId, TokenSubject};

use crate::Core;
use crate::http::events::STREAMS_MAX;
use crate::http::failure::{Failure, internal};
use crate::http::host::Proven;
use crate::http::sources::Running;
use crate::tenants::{Installation, Refused};

/// An open tenant. Requests hold it while they run, and it is not closed before they end.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) core: Core,
    pub(crate) streams: Arc<Semaphore>,
    pub(crate) edge: Edge<Running>,
    installation: Arc<Installation>,
    /// The principals of the subjects of tokens, as far as they had requests.
    subjects: RwLock<BTreeMap<TokenSubject, ActorId>>,
}

impl App {
    pub(crate) fn new(core: Core, installation: Arc<Installation>) -> Arc<Self> {
        let history = CursorOrigin { origin: core.identity().origin, shard: core.shard() };
        let shared = core.shared();
        let identity = Identity::new(core.tenant(), history, &*shared.keys).with_keys_of(shared.key_tenant);
        Arc::new(Self {
            edge: Edge { installation: identity, sources: Running(core.clone()) },
            core,
            streams: Arc::new(Semaphore::new(STREAMS_MAX)),
            installation,
            subjects: RwLock::default(),
        })
    }

    /// The history and shard that cursors name.
    pub(crate) fn history(&self) -> CursorOrigin {
        self.edge.installation.history
    }

    /// Checks that a caller that was accepted before still is: the tenant is not suspended, and the credential or token is valid.
    ///
    /// # Errors
    /// If one of them is not.
    pub(crate) fn check(&self, proven: &Proven) -> Result<(), Refused> {
        if self.installation.is_suspended(self.core.tenant()) {
            return Err(Refused::Suspended(self.core.tenant()));
        }
        match proven {
            Proven::Nothing => Ok(()),
            Proven::ApiKey(credential) => Ok(self.core.check_credential(*credential)?),
            Proven::Token(token) => self
                .installation
                .identity
                .check(token, self.core.now())
                .map_err(|problem| Refused::Token(Box::new(problem))),
        }
    }

    /// The principal of a token's subject that had a request before.
    pub(crate) fn subject(&self, subject: &TokenSubject) -> Option<ActorId> {
        self.subjects.read().unwrap_or_else(PoisonError::into_inner).get(subject).copied()
    }

    /// Remembers the principal of a subject. The engine bounds how many there are.
    pub(crate) fn note_subject(&self, subject: TokenSubject, actor: ActorId) {
        self.subjects.write().unwrap_or_else(PoisonError::into_inner).insert(subject, actor);
    }
}

impl From<Unknown> for Failure {
    fn from(unknown: Unknown) -> Self {
        internal(unknown.what())
    }
}
