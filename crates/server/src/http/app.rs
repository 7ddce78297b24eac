//! What the handlers of a tenant share.

use std::sync::Arc;

use api::CursorOrigin;
use api::responses::Unknown;
use edge::{Edge, Installation as Identity};
use tokio::sync::Semaphore;
use types::CredentialId;

use crate::Core;
use crate::http::events::STREAMS_MAX;
use crate::http::failure::{Failure, internal};
use crate::http::sources::Running;
use crate::tenants::{Installation, Refused};

/// An open tenant. Requests hold it while they run, and it is not closed before they end.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) core: Core,
    pub(crate) streams: Arc<Semaphore>,
    pub(crate) edge: Edge<Running>,
    installation: Arc<Installation>,
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
        })
    }

    /// The history and shard that cursors name.
    pub(crate) fn history(&self) -> CursorOrigin {
        self.edge.installation.history
    }

    /// Checks that a caller that was accepted before still is: the tenant is not suspended, and the credential is valid.
    ///
    /// # Errors
    /// If one of them is not.
    pub(crate) fn check(&self, credential: CredentialId) -> Result<(), Refused> {
        if self.installation.is_suspended(self.core.tenant()) {
            return Err(Refused::Suspended(self.core.tenant()));
        }
        Ok(self.core.check_credential(credential)?)
    }
}

impl From<Unknown> for Failure {
    fn from(unknown: Unknown) -> Self {
        internal(unknown.what())
    }
}
