//! Looks up what entries refer to, in the engine's state and the journal.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use engine::{Entry, Fact, PolicyActivated};
use journal::{ContextSource, EntryInContext, Fault};
use ledger::Assets;
use types::Seq;

use crate::Core;

/// Most policies that are cached.
const POLICIES_MAX: usize = 16;

/// The most recently used policies, by the entry that activated each.
#[derive(Debug, Default)]
pub(super) struct Policies(Mutex<VecDeque<(Seq, Arc<PolicyActivated>)>>);

impl Policies {
    fn lock(&self) -> MutexGuard<'_, VecDeque<(Seq, Arc<PolicyActivated>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, activated: Seq) -> Option<Arc<PolicyActivated>> {
        self.lock().iter().find(|(seq, _)| *seq == activated).map(|(_, policy)| Arc::clone(policy))
    }

    fn keep(&self, activated: Seq, policy: &Arc<PolicyActivated>) {
        let mut policies = self.lock();
        policies.truncate(POLICIES_MAX - 1);
        policies.push_front((activated, Arc::clone(policy)));
    }
}

impl ContextSource for Core {
    /// The engine knows the ledgers of an entry before the entry is durable.
    fn assets(&self) -> Arc<Assets> {
        self.assets()
    }

    fn policy(&self, activated: Seq) -> Result<Option<Arc<PolicyActivated>>, Fault> {
        let policies = &self.tail().policies;
        if let Some(policy) = policies.get(activated) {
            return Ok(Some(policy));
        }
        let Some(Entry { fact: Fact::PolicyActivated(policy), .. }) = self.shared().reader.entry(activated)? else {
            return Ok(None);
        };
        policies.keep(activated, &policy);
        Ok(Some(policy))
    }
}

impl Core {
    /// One durable entry.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub async fn entry(&self, seq: Seq) -> Result<Option<Entry>, Fault> {
        self.read_here(move |core| core.shared().reader.entry(seq)).await
    }

    /// Adds the context to an entry.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub(crate) async fn in_context(&self, entry: Entry) -> Result<EntryInContext, Fault> {
        self.read_here(move |core| EntryInContext::of(entry, core)).await
    }

    /// Reads on a blocking thread.
    async fn read_here<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Self) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        let core = self.clone();
        let read = tokio::task::spawn_blocking(move || read(&core)).await;
        let read = read.unwrap_or_else(|panicked| Err(Fault::Poisoned(panicked.to_string())));
        read.inspect_err(|fault| self.shared().guard.note_fault(fault))
    }
}
