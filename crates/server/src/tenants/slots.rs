//! What is known about each tenant but the first: whether it is open, and when it must be.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

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

/// How long a tenant is kept for the request for which it was opened, whose client may have gone.
const TAKEN_WITHIN: Duration = Duration::from_secs(1);

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
    /// Being opened. The sender is dropped when that has ended.
    Opening(watch::Receiver<()>),
    /// Being closed. The sender is dropped when that has ended.
    Closing(watch::Receiver<()>),
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
    /// Set while the request for which it was opened has not taken it.
    pub(super) awaited: Option<Stopwatch>,
    /// Tells the keeper of the tenant to close it.
    pub(super) close: oneshot::Sender<watch::Sender<()>>,
}

/// Whether one more tenant may be opened.
#[derive(Debug)]
pub(super) enum Room {
    /// There is, once this tenant is closed. Its place is taken: the caller has to count as being opened at once.
    Free(Option<watch::Receiver<()>>),
    /// A tenant is being closed or opened. When that has ended, there may be room.
    Soon(watch::Receiver<()>),
    /// All tenants that may be open have requests in progress.
    None,
}

impl Slots {
    /// Room for one more tenant if at most `open_max` may be open. If as many are, this begins to close the one that had no
    /// request for longest. So each tenant that is to be opened has one that makes room for it.
    pub(super) fn room(&mut self, open_max: usize) -> Room {
        let is_counted = |slot: &&Slot| matches!(slot.state, State::Open(_)) || slot.state.moving().is_some();
        if self.known.values().filter(is_counted).count() < open_max {
            return Room::Free(None);
        }
        let idle = self.known.values_mut().filter_map(|slot| Some((slot.idle_for()?, slot)));
        if let Some((_, slot)) = idle.max_by_key(|(idle_for, _)| *idle_for) {
            slot.close_now();
            return Room::Free(slot.state.moving().cloned());
        }
        let is_closing = |slot: &&Slot| matches!(slot.state, State::Closing(_));
        let closing = self.known.values().find(is_closing);
        let moving = closing.or_else(|| self.known.values().find(|slot| slot.state.moving().is_some()));
        match moving.and_then(|slot| slot.state.moving()) {
            Some(moving) => Room::Soon(moving.clone()),
            None => Room::None,
        }
    }
}

impl State {
    /// Ends when a tenant that is being opened or closed no longer is.
    pub(super) fn moving(&self) -> Option<&watch::Receiver<()>> {
        match self {
            Self::Opening(moving) | Self::Closing(moving) => Some(moving),
            Self::Closed | Self::Open(_) | Self::Failed { .. } => None,
        }
    }
}

impl Slot {
    /// How long an open tenant had no request; `None` if it is not open, or if one is in progress.
    fn idle_for(&self) -> Option<Duration> {
        let State::Open(open) = &self.state else { return None };
        // Clones are made only while the slots are locked, or from other clones.
        let is_idle = Arc::strong_count(&open.app) == 1;
        let is_awaited = open.awaited.is_some_and(|since| since.elapsed() < TAKEN_WITHIN);
        (is_idle && !is_awaited).then(|| open.used.map_or(Duration::MAX, Stopwatch::elapsed))
    }

    /// The tenant, if it is open.
    pub(super) fn take_open(&mut self, why: For) -> Option<Arc<App>> {
        let State::Open(open) = &mut self.state else { return None };
        if why == For::Request {
            open.used = Some(Stopwatch::start());
        }
        if why != For::Due {
            open.awaited = None;
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
        if let State::Open(open) = std::mem::replace(&mut self.state, State::Closing(moving)) {
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
