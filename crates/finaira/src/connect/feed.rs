//! Keeps the local copy of a tenant's journal, and tells its source what arrives.

use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use connect::Source;
use disk::Directory;
use journal::{FileCopy, SegmentStore as _};
use server::{Clock, Stopwatch};
use types::{Seq, Timestamp};

use crate::backup::{Failure, Lag, Watch};

/// The source of a tenant, once there is one.
#[derive(Debug, Default)]
pub(super) struct Place {
    source: Mutex<Opened>,
    opened: Condvar,
}

#[derive(Debug, Default)]
enum Opened {
    #[default]
    NotYet,
    Yes(Arc<Source>),
    /// The copy ended before it was opened.
    Never,
}

impl Place {
    fn set(&self, opened: Opened) {
        *self.source.lock().unwrap_or_else(PoisonError::into_inner) = opened;
        self.opened.notify_all();
    }

    /// Waits for the source; `None` if there will be none.
    pub(super) fn wait(&self) -> Option<Arc<Source>> {
        let mut source = self.source.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match &*source {
                Opened::Yes(source) => return Some(Arc::clone(source)),
                Opened::Never => return None,
                Opened::NotYet => source = self.opened.wait(source).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    /// The copy gets no more entries.
    pub(super) fn end(&self) -> Result<(), connect::SourceError> {
        let source = match &*self.source.lock().unwrap_or_else(PoisonError::into_inner) {
            Opened::Yes(source) => Some(Arc::clone(source)),
            Opened::NotYet | Opened::Never => None,
        };
        match source {
            Some(source) => source.end(),
            None => {
                self.set(Opened::Never);
                Ok(())
            }
        }
    }
}

/// Watches a copy for its source.
#[derive(Debug)]
pub(super) struct Feed {
    /// The name of the tenant.
    tenant: String,
    /// The folder of what is derived from the copy.
    derived: PathBuf,
    place: Arc<Place>,
    source: Option<Arc<Source>>,
    since: Stopwatch,
    complete_until: Timestamp,
}

impl Feed {
    pub(super) fn new(tenant: String, derived: PathBuf, place: Arc<Place>) -> Self {
        Self { tenant, derived, place, source: None, since: Stopwatch::start(), complete_until: Timestamp::ZERO }
    }
}

impl Watch for Feed {
    fn opened(&mut self, copy: &FileCopy<Directory>) -> Result<(), Failure> {
        let reader = copy.segments();
        if let Some(source) = &self.source {
            source.reopened(reader);
            return Ok(());
        }
        let broken = |error: &dyn std::fmt::Display| Failure::Broken(error.to_string());
        let directory = Directory::open(&self.derived).map_err(|error| broken(&error))?;
        let source = Arc::new(Source::open(reader, directory).map_err(|error| broken(&error))?);
        source.advance(None).map_err(|error| broken(&error))?;
        self.source = Some(Arc::clone(&source));
        self.place.set(Opened::Yes(source));
        Ok(())
    }

    fn complete_until(&mut self, moment: Timestamp) {
        self.complete_until = self.complete_until.max(moment);
    }

    fn progress(&mut self, last: Seq, lag: Lag) -> Result<(), Failure> {
        let original = Seq::new(last.get().saturating_add(lag.entries));
        let Some(source) = &self.source else { return Ok(()) };
        source.copied_until(self.complete_until);
        source.advance(Some(original)).map_err(|error| Failure::Broken(error.to_string()))
    }

    fn age(&self) -> String {
        format!("{:.1} s", Duration::from_nanos(Clock.now().since(self.complete_until).ns()).as_secs_f64())
    }

    fn note(&self, text: &str) {
        tracing::warn!(tenant = self.tenant, "{text}");
    }

    fn finish(&self) -> Duration {
        self.since.elapsed()
    }
}
