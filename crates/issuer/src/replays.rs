//! The memory of the client assertions that were used.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Mutex, PoisonError};

use oauth::{ASSERTION_AHEAD_MAX, ASSERTION_LIFE_MAX, Authenticated};
use types::{Span, TenantId, Timestamp};

use crate::refusal::Refusal;

/// The most assertions that are remembered: 40 bytes each. A tenant has at most as many of them as it leaves free for others, so
/// the clients of one tenant together can take half of the room.
pub const ASSERTIONS_MAX: usize = 1 << 18;
/// The most assertions of one client that are remembered, so that one client cannot take the room of the others. It can get 13
/// tokens a second without end.
pub const ASSERTIONS_PER_CLIENT_MAX: usize = 1 << 12;

/// How often a full memory is searched for assertions that have expired.
const PRUNE_EVERY: Span = Span::from_secs(1);

/// Sees to it that each client assertion counts once.
///
/// An assertion is remembered until it expires. **After a restart** the memory is empty, but two bounds tell which assertions
/// an earlier process cannot have accepted: it accepted none that expires more than [`ASSERTION_LIFE_MAX`] later, and none
/// that was made later; both with the allowance [`ASSERTION_AHEAD_MAX`] for the clocks of clients. An assertion that expires or was
/// made after these bounds of the start is new. All others are refused, as something to try again with a new assertion. So
/// nothing has to be stored, and for a client whose clock is right it is over after at most 10 s. Without `iat`, only the expiry tells,
/// and a client whose assertions are short-lived waits for longer.
///
/// Rejected was a write to disk for each token: it costs a sync each time, to spare some clients one more try after a restart.
pub struct Replays {
    key: [u8; 32],
    started_at: Timestamp,
    used: Mutex<Used>,
}

#[derive(Default)]
struct Used {
    by_client: BTreeMap<Box<str>, OfClient>,
    /// How many are of the clients of each tenant.
    of_tenants: BTreeMap<TenantId, usize>,
    count: usize,
    /// The latest time. It never decreases: if the clock is set back, what was forgotten must stay refused.
    now: Timestamp,
    pruned_at: Timestamp,
}

struct OfClient {
    tenant: TenantId,
    /// The hashes of its assertions, and until when they are remembered.
    ids: HashMap<u128, Timestamp, foldhash::fast::RandomState>,
}

impl Replays {
    /// `started_at` must not be before any time that an earlier process took for the present. `key` must be random.
    pub fn new(started_at: Timestamp, key: [u8; 32]) -> Self {
        Self { key, started_at, used: Mutex::default() }
    }

    /// Remembers an assertion of `client`, which is one of `tenant`.
    ///
    /// # Errors
    /// Fails if it was used before, or may have been before the start, or if the client or its tenant has no room left.
    pub fn use_once(
        &self,
        (tenant, client): (TenantId, &str),
        assertion: &Authenticated,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        if self.may_be_older(assertion) {
            return Err(Refusal::BeforeStart);
        }
        let id = self.hash(client, &assertion.id);
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.now = used.now.max(now);
        if assertion.expires_at <= used.now {
            return Err(Refusal::Replayed);
        }
        if used.by_client.get(client).is_some_and(|known| known.ids.contains_key(&id)) {
            return Err(Refusal::Replayed);
        }
        let is_full = |used: &Used| {
            let of_client = used.by_client.get(client).map_or(0, |known| known.ids.len());
            let of_tenant = used.of_tenants.get(&tenant).copied().unwrap_or_default();
            of_client >= ASSERTIONS_PER_CLIENT_MAX || of_tenant >= ASSERTIONS_MAX.saturating_sub(used.count)
        };
        if is_full(&used) {
            used.prune();
            if is_full(&used) {
                return Err(Refusal::ManyAssertions);
            }
        }
        let of_client = used.by_client.entry(client.into());
        let of_client = of_client.or_insert_with(|| OfClient { tenant, ids: HashMap::default() });
        of_client.ids.insert(id, assertion.expires_at);
        let of_tenant = used.of_tenants.entry(tenant).or_default();
        *of_tenant = of_tenant.saturating_add(1);
        used.count = used.count.saturating_add(1);
        Ok(())
    }

    /// How many assertions are remembered, expired ones among them.
    pub fn len(&self) -> usize {
        self.used.lock().unwrap_or_else(PoisonError::into_inner).count
    }

    /// Whether no assertion is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether a process before this one may have accepted the assertion.
    fn may_be_older(&self, assertion: &Authenticated) -> bool {
        let issued = self.started_at.saturating_add(ASSERTION_AHEAD_MAX);
        let expires = issued.saturating_add(ASSERTION_LIFE_MAX);
        assertion.expires_at <= expires && assertion.issued_at.is_none_or(|at| at <= issued)
    }

    fn hash(&self, client: &str, id: &str) -> u128 {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(client.as_bytes()).update(&[0]).update(id.as_bytes());
        let mut hash = [0; 16];
        hasher.finalize_xof().fill(&mut hash);
        u128::from_be_bytes(hash)
    }
}

impl Used {
    fn prune(&mut self) {
        if self.now < self.pruned_at.saturating_add(PRUNE_EVERY) {
            return;
        }
        self.pruned_at = self.now;
        let now = self.now;
        self.by_client.retain(|_, known| {
            known.ids.retain(|_, until| now < *until);
            !known.ids.is_empty()
        });
        self.count = self.by_client.values().map(|known| known.ids.len()).sum();
        self.of_tenants.clear();
        for known in self.by_client.values() {
            let of_tenant = self.of_tenants.entry(known.tenant).or_default();
            *of_tenant = of_tenant.saturating_add(known.ids.len());
        }
    }
}

impl fmt::Debug for Replays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replays").field("started_at", &self.started_at).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_ns(1_800_000_000_000_000_000);

    const A: (TenantId, &str) = (TenantId::new(1), "a");
    const B: (TenantId, &str) = (TenantId::new(1), "b");

    fn at(seconds: u64) -> Timestamp {
        START.saturating_add(Span::from_secs(seconds))
    }

    fn assertion(id: &str, issued: Option<u64>, expires: u64) -> Authenticated {
        Authenticated { id: id.into(), issued_at: issued.map(at), expires_at: at(expires) }
    }

    #[test]
    fn an_assertion_counts_once() {
        let replays = Replays::new(START, [1; 32]);
        let one = assertion("1", Some(60), 120);
        assert_eq!(replays.use_once(A, &one, at(60)), Ok(()));
        assert_eq!(replays.use_once(A, &one, at(61)), Err(Refusal::Replayed));
        assert_eq!(replays.use_once(B, &one, at(61)), Ok(()), "another client may choose the same name");
        assert_eq!(replays.use_once(A, &one, at(120)), Err(Refusal::Replayed), "expired");
        assert_eq!(replays.use_once(A, &assertion("2", Some(60), 119), at(60)), Err(Refusal::Replayed), "clock back");
    }

    #[test]
    fn what_may_have_been_used_before_the_start_is_refused() {
        let replays = Replays::new(START, [1; 32]);
        let mut number = 0;
        let mut uses = |issued, expires| {
            number += 1;
            replays.use_once(A, &assertion(&number.to_string(), issued, expires), at(5))
        };
        assert_eq!(uses(Some(5), 65), Err(Refusal::BeforeStart));
        assert_eq!(uses(Some(10), 70), Err(Refusal::BeforeStart));
        assert_eq!(uses(Some(11), 71), Ok(()));
        assert_eq!(uses(None, 310), Err(Refusal::BeforeStart));
        assert_eq!(uses(None, 311), Ok(()));
        assert_eq!(uses(Some(5), 311), Ok(()), "no earlier process accepted one that lives for so long");
    }

    #[test]
    fn the_memory_is_bounded_and_forgets() {
        let replays = Replays::new(START, [1; 32]);
        for number in 0..ASSERTIONS_PER_CLIENT_MAX {
            assert_eq!(replays.use_once(A, &assertion(&number.to_string(), Some(20), 100), at(20)), Ok(()));
        }
        assert_eq!(replays.use_once(A, &assertion("x", Some(20), 100), at(20)), Err(Refusal::ManyAssertions));
        assert_eq!(replays.use_once(B, &assertion("x", Some(20), 100), at(20)), Ok(()), "others have room");
        assert_eq!(replays.use_once(A, &assertion("x", Some(100), 200), at(100)), Ok(()));
        assert_eq!(replays.len(), 1);
    }

    #[test]
    fn the_clients_of_one_tenant_leave_room_for_those_of_another() {
        let replays = Replays::new(START, [1; 32]);
        let flood = |tenant: u32, client: &str| {
            let uses = (0..ASSERTIONS_PER_CLIENT_MAX).map(|number| {
                replays.use_once(
                    (TenantId::new(tenant), client),
                    &assertion(&number.to_string(), Some(20), 100),
                    at(20),
                )
            });
            uses.filter(Result::is_ok).count()
        };
        let of_tenant: usize = (0..80).map(|number| flood(1, &format!("c{number}"))).sum();
        assert_eq!(of_tenant.saturating_mul(2), ASSERTIONS_MAX);
        assert_eq!(flood(2, "d"), ASSERTIONS_PER_CLIENT_MAX);
        assert_eq!(
            replays.use_once((TenantId::new(1), "c80"), &assertion("1", Some(100), 200), at(100)),
            Ok(()),
            "forgotten"
        );
    }

    proptest::proptest! {
        /// Whenever a process stops and the next one starts, no assertion is accepted by both.
        #[test]
        fn no_assertion_counts_in_two_processes(
            issued in proptest::option::of(0_u64..1_400), life in 1_u64..400, used in 0_u64..1_000,
            down in 0_u64..400, pause in 0_u64..400,
        ) {
            let expires = issued.unwrap_or(used).saturating_add(life);
            let one = assertion("1", issued, expires);
            let (used, stop) = (at(used), at(used.saturating_add(down)));
            let again = stop.saturating_add(Span::from_secs(pause));
            // What `oauth::Assertion::verify` accepts.
            let counts = |now: Timestamp| {
                let ahead = now.saturating_add(ASSERTION_AHEAD_MAX);
                now < one.expires_at
                    && one.expires_at <= ahead.saturating_add(ASSERTION_LIFE_MAX)
                    && one.issued_at.is_none_or(|issued| issued <= ahead)
            };
            let first = Replays::new(Timestamp::ZERO, [1; 32]);
            let second = Replays::new(stop, [2; 32]);
            let accepted = |replays: &Replays, now| counts(now) && replays.use_once(A, &one, now).is_ok();
            proptest::prop_assert!(!(accepted(&first, used) && accepted(&second, again)));
        }
    }
}
