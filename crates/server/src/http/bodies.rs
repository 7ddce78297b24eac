//! The memory that the bodies of requests take, which is bounded: for the process, for each tenant, and for those who show no credential.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use api::{ErrorCode, Problem};
use types::{Span, TenantId};

use crate::http::failure::Failure;

/// Most bytes of all bodies together: 1 GiB.
const ALL_BYTES_MAX: usize = 1 << 30;
/// Most bytes of the bodies of one tenant: 512 MiB.
const TENANT_BYTES_MAX: usize = 512 << 20;
/// Most bytes of the bodies of requests without a credential: 64 MiB.
const STRANGERS_BYTES_MAX: usize = 64 << 20;
/// When to try again.
const RETRY_AFTER: Span = Span::from_secs(1);

/// The bodies in memory.
#[derive(Debug, Default)]
pub(crate) struct Bodies(Mutex<Counted>);

#[derive(Debug, Default)]
struct Counted {
    all: usize,
    /// By tenant; `None` for requests without a credential. Only those with bodies in memory are here.
    each: HashMap<Option<TenantId>, usize>,
}

/// The bytes of one body. They are given back when this is dropped.
#[derive(Debug)]
pub(crate) struct HeldBody {
    bodies: Arc<Bodies>,
    of: Option<TenantId>,
    bytes: usize,
}

impl Bodies {
    fn lock(&self) -> MutexGuard<'_, Counted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HeldBody {
    /// A body of which nothing has arrived yet.
    pub(crate) fn new(bodies: &Arc<Bodies>, of: Option<TenantId>) -> Self {
        Self { bodies: Arc::clone(bodies), of, bytes: 0 }
    }

    /// Counts more bytes of the body.
    ///
    /// # Errors
    /// If there is no room for them.
    pub(crate) fn grow(&mut self, bytes: usize) -> Result<(), Failure> {
        let mut counted = self.bodies.lock();
        let share = if self.of.is_some() { TENANT_BYTES_MAX } else { STRANGERS_BYTES_MAX };
        let all = counted.all.saturating_add(bytes);
        let own = counted.each.get(&self.of).copied().unwrap_or_default().saturating_add(bytes);
        let (whose, most) = match self.of {
            _ if all > ALL_BYTES_MAX => ("the server", ALL_BYTES_MAX),
            Some(_) if own > share => ("this tenant", share),
            None if own > share => ("requests without a credential", share),
            Some(_) | None => {
                counted.all = all;
                counted.each.insert(self.of, own);
                self.bytes = self.bytes.saturating_add(bytes);
                return Ok(());
            }
        };
        drop(counted);
        let detail =
            format!("the bodies of {whose} would take more than {} MiB of memory at the same time", most >> 20);
        Err(Failure::from(Problem::new(ErrorCode::Overloaded, detail)).retry_after(RETRY_AFTER))
    }
}

impl Drop for HeldBody {
    fn drop(&mut self) {
        if self.bytes == 0 {
            return;
        }
        let mut counted = self.bodies.lock();
        counted.all = counted.all.saturating_sub(self.bytes);
        let own = counted.each.get(&self.of).copied().unwrap_or_default().saturating_sub(self.bytes);
        if own == 0 {
            counted.each.remove(&self.of);
        } else {
            counted.each.insert(self.of, own);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_share_a_bounded_memory_and_give_it_back() {
        let bodies = Arc::new(Bodies::default());
        let body = |tenant: Option<u32>, bytes: usize| {
            let mut held = HeldBody::new(&bodies, tenant.map(TenantId::new));
            held.grow(bytes).map(|()| held)
        };
        let refused = |failure: Failure| (failure.status(), format!("{failure:?}"));
        let first = body(Some(1), TENANT_BYTES_MAX - 1).expect("room");
        let mut last = body(Some(1), 1).expect("room for one more byte");
        let (status, text) = refused(last.grow(1).expect_err("no room"));
        assert!(status == 503 && text.contains("this tenant would take more than 512 MiB"), "{text}");
        let _second = body(Some(2), TENANT_BYTES_MAX - 100).expect("another tenant has room");
        let (status, text) = refused(body(Some(3), 101).map(drop).expect_err("no room"));
        assert!(status == 503 && text.contains("the server would take more than 1024 MiB"), "{text}");
        drop((first, last));
        let (status, text) = refused(body(None, STRANGERS_BYTES_MAX + 1).map(drop).expect_err("no room"));
        assert!(status == 503 && text.contains("without a credential would take more than 64 MiB"), "{text}");
        assert!(body(Some(1), TENANT_BYTES_MAX).is_ok(), "everything was given back");
        assert_eq!(bodies.lock().each.len(), 1, "a tenant without bodies is forgotten");
    }
}
