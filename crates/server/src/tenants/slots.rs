//! What is known about each tenant but the first: whether it is open, and when it must be.

use std::collections::BTreeMap;
use std::sync::Arc;

use edge::auth::ApiKeys;
use tokio::sync::{oneshot, watch};
use types::{Span, TenantId, Timestamp};

use super::For;
use crate::clock::{Stopwatch, duration};
use crate::http::App;

/// The tenants that were asked for since the start.
#[derive(Debug, Default)]
pub(super) struct Slots {
    pub(super) known: BTreeMap<TenantId, Slot>,
    /// Whether the server stops, so that nothing is opened any more.
    pub(super) is_stopping: bool,
}

#[derive(Debug, Default)]
pub(super) struct Slot {
    pub(super) state: State,
    /// The API keys as of the last time that the tenant was open. While it is closed, nobody changes them, so a request
    /// without a valid key does not open it.
    pub(super) keys: Option<Arc<ApiKeys>>,
    pub(super) due: Due,
    /// How often the index was damaged since the start.
    pub(super) damages: usize,
}

/// When a tenant must be open without a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Due {
    /// Not known, because the tenant was not open since the start.
    #[default]
    Unknown,
    At(Timestamp),
    Never,
}

#[derive(Debug, Default)]
pub(super) enum State {
    #[default]
    Closed,
    /// Being opened or closed. The sender is dropped when that has ended.
    Moving(watch::Receiver<()>),
    Open(Open),
    Failed {
        why: Arc<str>,
        since: Stopwatch,
    },
}

/// An open tenant.
#[derive(Debug)]
pub(super) struct Open {
    /// Requests have clones of it. A tenant is closed only when there are none.
    pub(super) app: Arc<App>,
    /// The time since the last request; `None` if there was none.
    pub(super) used: Option<Stopwatch>,
    /// Tells the keeper of the tenant to close it.
    pub(super) close: oneshot::Sender<watch::Sender<()>>,
}

impl Slot {
    /// The tenant, if it is open.
    pub(super) fn take_open(&mut self, why: For) -> Option<Arc<App>> {
        let State::Open(open) = &mut self.state else { return None };
        if why == For::Request {
            open.used = Some(Stopwatch::start());
        }
        Some(Arc::clone(&open.app))
    }

    /// Closes an open tenant if no request uses it and `may` agrees.
    pub(super) fn close_if(&mut self, may: impl FnOnce(&Open) -> bool) {
        // Clones are made only while the slots are locked, or from other clones.
        if matches!(&self.state, State::Open(open) if Arc::strong_count(&open.app) == 1 && may(open)) {
            self.close_now();
        }
    }

    /// Closes an open tenant.
    pub(super) fn close_now(&mut self) {
        if !matches!(self.state, State::Open(_)) {
            return;
        }
        let (moved, moving) = watch::channel(());
        if let State::Open(open) = std::mem::replace(&mut self.state, State::Moving(moving)) {
            // The keeper waits for this as long as the tenant is open. If it does not, the tenant has just failed.
            drop(open.close.send(moved));
        }
    }
}

impl Open {
    /// Whether the tenant may be closed: it was not used for a time, and nothing is due within that time.
    pub(super) fn is_idle(&self, now: Timestamp, idle: Span) -> bool {
        let soon = now.saturating_add(idle);
        self.used.is_none_or(|used| used.elapsed() >= duration(idle))
            && self.app.core.next_due().is_none_or(|due| due > soon)
    }
}

impl Due {
    /// Whether something is due, or may be.
    pub(super) fn is_reached(self, now: Timestamp) -> bool {
        match self {
            Self::Unknown => true,
            Self::At(due) => due <= now,
            Self::Never => false,
        }
    }
}
