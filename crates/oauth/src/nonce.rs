//! Nonces for DPoP proofs (RFC 9449, section 8), and the memory of the proofs that were used.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::{Mutex, PoisonError};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use types::{Span, TenantId, Timestamp};

use crate::base64url;
use crate::jwk::Thumbprint;

/// How long one nonce is the current one. It is accepted until the next one's time is over too.
pub const NONCE_PERIOD: Span = Span::from_secs(60);
/// How many proofs a process remembers for one nonce unless it is told otherwise, in at most 72 MiB. A third of them can be those
/// of one client, which is 11,000 a second.
pub const PROOFS_PER_NONCE_MAX: usize = 1 << 21;
/// Clients are counted in this many places. Two that fall into the same place by chance share what one of them has.
const PLACES: usize = 1 << 16;

/// The number of a period of time: how often [`NONCE_PERIOD`] fits into the time since 1970.
type Period = u64;

const MAC_BYTES: usize = 16;
const NONCE_BYTES: usize = size_of::<Period>() + MAC_BYTES;

/// Issues nonces, and refuses a proof that was used before.
///
/// A nonce is the number of its period and a MAC of it, made with a key that the process draws at its start, so nothing is
/// stored for it. It is accepted during its own period and the next one, which bounds how long a proof can be used:
/// the proofs of a nonce are remembered exactly as long as the nonce is accepted.
///
/// **After a restart** the memory is empty. But the key is another one, so the nonces of all earlier proofs are refused, and
/// with them the proofs. That needs no clock and no disk. It costs each client one further round trip after a restart, which every DPoP
/// client must be able to make anyway. Rejected was to refuse proofs with an `iat` before the start: it trusts the clocks of
/// clients to the second.
pub(crate) struct Nonces {
    key: [u8; 32],
    used_max: usize,
    used: Mutex<Used>,
}

/// Who uses a proof up: the tenant of a request, and who its token is about or will be about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spender<'a> {
    /// The tenant.
    pub tenant: TenantId,
    /// The issuer of the token.
    pub issuer: &'a str,
    /// The issuer's name for who sent the request.
    pub subject: &'a str,
}

/// The proofs that were used with the nonces that are accepted.
#[derive(Default)]
struct Used {
    /// The current period. It never decreases: if the clock is set back, proofs that were forgotten must stay refused.
    current: Period,
    with_current: Spent,
    with_previous: Spent,
}

/// The proofs that were used with one nonce.
///
/// A used proof has to be remembered, so a flood cannot be answered by forgetting. Instead, nobody can fill the memory: a tenant
/// can use as many proofs as the free places that it leaves for others, and a client of it as many as the tenant then still has. So
/// one client gets at most a third of all places, one tenant half of them, and however many tenants have a flood, another one finds
/// room for a part of what they left.
#[derive(Default)]
struct Spent {
    ids: HashSet<u128, foldhash::fast::RandomState>,
    /// How many are of each tenant.
    of_tenants: BTreeMap<TenantId, usize>,
    /// How many are of the clients in each place.
    of_clients: Vec<usize>,
}

/// What became of a proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    First,
    Again,
    /// The nonce is not accepted any more.
    Late,
    /// The client or its tenant used as many proofs with this nonce as they can.
    Full,
}

impl Nonces {
    pub(crate) fn new(key: [u8; 32], used_max: usize) -> Self {
        Self { key, used_max, used: Mutex::default() }
    }

    /// The nonce for the next proof.
    pub(crate) fn issue(&self, now: Timestamp) -> String {
        let current = self.advance(period_of(now)).current;
        let mut bytes = [0; NONCE_BYTES];
        let (number, mac) = bytes.split_at_mut(size_of::<Period>());
        number.copy_from_slice(&current.to_be_bytes());
        mac.copy_from_slice(&self.mac(current));
        base64url::encode(&bytes)
    }

    /// The period of a nonce that this process issued and that is still accepted.
    pub(crate) fn accept(&self, nonce: &str, now: Timestamp) -> Option<Period> {
        let bytes: [u8; NONCE_BYTES] = base64url::decode(nonce)?.try_into().ok()?;
        let (number, mac) = bytes.split_first_chunk()?;
        let period = Period::from_be_bytes(*number);
        if verify_slices_are_equal(mac, &self.mac(period)).is_err() {
            return None;
        }
        let current = self.advance(period_of(now)).current;
        (period == current || period.checked_add(1) == Some(current)).then_some(period)
    }

    /// Remembers the proof `jti` of the sender with `key`, made with the nonce of `period`.
    pub(crate) fn use_once(
        &self,
        period: Period,
        proof: (&Thumbprint, &str),
        spender: Spender<'_>,
        now: Timestamp,
    ) -> Use {
        self.with_spent(period, proof, spender, now, |spent, id, of, max| {
            let found = spent.look(id, of, max);
            if found == Use::First {
                spent.add(id, of);
            }
            found
        })
    }

    /// What [`Nonces::use_once`] would say at this moment. Nothing is remembered.
    pub(crate) fn look(&self, period: Period, proof: (&Thumbprint, &str), spender: Spender<'_>, now: Timestamp) -> Use {
        self.with_spent(period, proof, spender, now, |spent, id, of, max| spent.look(id, of, max))
    }

    /// When the next nonce begins, with an empty memory.
    pub(crate) fn next_in(&self, now: Timestamp) -> Span {
        let next = self.advance(period_of(now)).current.saturating_add(1);
        Timestamp::from_ns(next.saturating_mul(NONCE_PERIOD.ns())).since(now)
    }

    fn with_spent(
        &self,
        period: Period,
        (key, jti): (&Thumbprint, &str),
        spender: Spender<'_>,
        now: Timestamp,
        with: impl FnOnce(&mut Spent, u128, (TenantId, usize), usize) -> Use,
    ) -> Use {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(b"proof").update(key.as_bytes()).update(jti.as_bytes());
        let mut id = [0; 16];
        hasher.finalize_xof().fill(&mut id);
        let place = self.place(spender);
        let mut used = self.advance(period_of(now));
        let spent = match used.current.checked_sub(period) {
            Some(0) => &mut used.with_current,
            Some(1) => &mut used.with_previous,
            _ => return Use::Late,
        };
        with(spent, u128::from_be_bytes(id), (spender.tenant, place), self.used_max)
    }

    /// The place in which a client is counted. Nobody can choose it.
    fn place(&self, Spender { tenant, issuer, subject }: Spender<'_>) -> usize {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(b"spender").update(&tenant.get().to_be_bytes());
        hasher.update(issuer.as_bytes()).update(&[0]).update(subject.as_bytes());
        let mut place = [0; size_of::<u16>()];
        hasher.finalize_xof().fill(&mut place);
        usize::from(u16::from_be_bytes(place))
    }

    /// Forgets the proofs of nonces that are not accepted any more.
    fn advance(&self, now: Period) -> std::sync::MutexGuard<'_, Used> {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if now > used.current {
            let last = std::mem::take(&mut used.with_current);
            used.with_previous = if now.checked_sub(1) == Some(used.current) { last } else { Spent::default() };
            used.current = now;
        }
        used
    }

    fn mac(&self, period: Period) -> [u8; MAC_BYTES] {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(b"nonce").update(&period.to_be_bytes());
        let mut mac = [0; MAC_BYTES];
        hasher.finalize_xof().fill(&mut mac);
        mac
    }
}

impl Spent {
    fn look(&self, id: u128, (tenant, place): (TenantId, usize), max: usize) -> Use {
        if self.ids.contains(&id) {
            return Use::Again;
        }
        let of_tenant = self.of_tenants.get(&tenant).copied().unwrap_or_default();
        let of_client = self.of_clients.get(place).copied().unwrap_or_default();
        let left = max.saturating_sub(self.ids.len()).saturating_sub(of_tenant);
        if of_client < left { Use::First } else { Use::Full }
    }

    /// Adds a proof that is [`Use::First`].
    fn add(&mut self, id: u128, (tenant, place): (TenantId, usize)) {
        if self.of_clients.is_empty() {
            self.of_clients = vec![0; PLACES];
        }
        if let Some(of_client) = self.of_clients.get_mut(place) {
            *of_client = of_client.saturating_add(1);
        }
        let of_tenant = self.of_tenants.entry(tenant).or_default();
        *of_tenant = of_tenant.saturating_add(1);
        self.ids.insert(id);
    }
}

const fn period_of(now: Timestamp) -> Period {
    now.ns() / NONCE_PERIOD.ns()
}

impl fmt::Debug for Nonces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nonces").field("used_max", &self.used_max).finish_non_exhaustive()
    }
}
