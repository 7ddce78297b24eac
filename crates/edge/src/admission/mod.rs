//! Admission: which requests are served, and which are refused before their body is read.
//!
//! There are three reasons to refuse a request. A client or a tenant exceeds a fixed limit. An address sent too many requests
//! that could not be authenticated. Or the server is overloaded: then what it can do is divided by water-filling, first among
//! tenants and then among the clients of each, so that whoever asks for little gets all of it.
//!
//! Everything here is computed from times and counts that the caller passes.

mod bucket;
mod controller;
mod fields;
mod refusal;
mod share;
mod table;

#[cfg(test)]
#[expect(
    clippy::arithmetic_side_effects,
    clippy::integer_division,
    clippy::indexing_slicing,
    reason = "small numbers in tests"
)]
mod model;

#[cfg(test)]
#[expect(
    clippy::arithmetic_side_effects,
    clippy::integer_division,
    clippy::indexing_slicing,
    reason = "small numbers in tests"
)]
mod tests;

use std::net::IpAddr;

use types::{CredentialId, Digest, DigestBuilder, Span, TenantId, TokenSubject};

pub use self::controller::Observed;
pub use self::fields::{Quota, RATE_LIMIT, RATE_LIMIT_POLICY, Standing};
pub use self::refusal::{By, Refusal};

use self::bucket::{Bucket, Rate, SECOND_NS};
use self::controller::{Controller, middle};
use self::share::level;
use self::table::Table;

/// Most clients that have limits of their own at the same time. Further ones share theirs.
pub const CLIENTS_MAX: usize = 16_384;
/// Most tenants that have limits of their own at the same time.
pub const TENANTS_MAX: usize = 4_096;
/// Most addresses whose failures are counted on their own at the same time.
pub const ADDRESSES_MAX: usize = 16_384;
/// A request counts as one for each begun piece of its body of this size, so that a batch does not pass as one request. A packed
/// transfer has 128 bytes and a payment in JSON about 400, so a unit is 32 of the former and 10 of the latter.
pub const UNIT_BYTES: u64 = 4 << 10;
/// Fixed limits admit this much at once after a pause.
const FIXED_WINDOW: Span = Span::from_secs(1);
/// Failures of an address are counted over this time, because programs with a wrong key retry in bursts.
const FAILURES_WINDOW: Span = Span::from_secs(10);
/// A share during an overload admits this much at once after a pause.
const SHARE_WINDOW: Span = Span::from_ns(200_000_000);
/// A client that was refused more often than this in a second ignores the answers, so that they may be delayed.
const REFUSALS_PER_SECOND: u64 = 100;
/// All clients together get at least so many refusals at once in a second, and at most this fraction of the rate that is served. Refusing
/// costs a part of serving, so without a bound, many clients that each stay below theirs would leave little for what is served.
const REFUSALS_AT_ONCE_MIN: u64 = 1_000;
const REFUSALS_AT_ONCE_FRACTION: u64 = 4;
/// How late the answers to a client are that ignores refusals: about the second that it was told to wait. They are spread over a
/// time, so that those who were refused together do not come back together.
const LATE_MIN: Span = Span::from_ns(500_000_000);
const LATE_SPREAD_NS: u64 = 1_000_000_000;
/// Steps of this size fill the time evenly, however many there are: it is the time divided by the golden ratio.
const LATE_STEP_NS: u64 = 618_033_989;

/// The limits of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most requests of a client in a second; 0 for no limit.
    pub client_per_second: u32,
    /// Most requests of a tenant in a second, unless the tenant has a quota; 0 for no limit.
    pub tenant_per_second: u32,
    /// Most requests of an address in a second that cannot be authenticated; 0 for no limit.
    pub failures_per_second: u32,
    /// How late the tasks of the server may be before it sheds load; 0 for never.
    pub lag_max: Span,
    /// How long requests may wait for the engine of a tenant before load of this tenant is shed; 0 for never.
    pub queue_wait_max: Span,
}

impl Limits {
    /// No fixed limits, and waits that no benchmark of a server with enough capacity reaches.
    pub const STANDARD: Self = Self {
        client_per_second: 0,
        tenant_per_second: 0,
        failures_per_second: 100,
        lag_max: Span::from_ns(50_000_000),
        queue_wait_max: Span::from_ns(100_000_000),
    };
    /// As [`Limits::STANDARD`], for a server that nobody else uses, which never refuses because it is slow.
    pub const WITHOUT_SHEDDING: Self = Self { lag_max: Span::ZERO, queue_wait_max: Span::ZERO, ..Self::STANDARD };
}

/// What has a limit of its own within a tenant: an API key, or the subject of access tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Client {
    pub tenant: TenantId,
    credential: Credential,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Credential {
    ApiKey(CredentialId),
    Subject(Digest),
}

impl Client {
    pub const fn of_api_key(tenant: TenantId, api_key: CredentialId) -> Self {
        Self { tenant, credential: Credential::ApiKey(api_key) }
    }

    /// The subject need not be a principal yet.
    pub fn of_subject(tenant: TenantId, subject: &TokenSubject) -> Self {
        let mut digest = DigestBuilder::new("finaira 2026-11 client with access tokens");
        digest.bytes(subject.issuer().as_bytes()).bytes(subject.subject().as_bytes());
        Self { tenant, credential: Credential::Subject(digest.digest()) }
    }
}

/// Where a connection comes from: an address, or for IPv6 its first 64 bits, because one host has all the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address(u128);

impl Address {
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self(address.to_bits().into()),
            IpAddr::V6(address) => Self(address.to_bits() & !u128::from(u64::MAX)),
        }
    }
}

/// The units of a request with a body of so many bytes.
pub const fn units(body_bytes: u64) -> u64 {
    let units = body_bytes.div_ceil(UNIT_BYTES);
    if units == 0 { 1 } else { units }
}

/// Decides which requests are admitted. Times are of one clock that starts anywhere and never goes back.
#[derive(Debug)]
pub struct Admission {
    limits: Limits,
    clients: Table<Client, ByClient>,
    tenants: Table<TenantId, ByTenant>,
    addresses: Table<Address, ByAddress>,
    whole: Controller,
    delays: Delays,
    /// The share of a tenant, and of a client of a tenant that does not exceed it; `None` without an overload.
    fair: Option<u64>,
}

#[derive(Debug, Default)]
struct ByClient {
    fixed: Bucket,
    share: Bucket,
    refusals: Bucket,
    /// Units that were asked for in this window.
    asked: u64,
    /// Units in a second that were asked for lately.
    demand: u64,
}

#[derive(Debug, Default)]
struct ByTenant {
    fixed: Bucket,
    controller: Controller,
    /// Units that were answered in this window.
    served: u64,
    /// The share of each client; `None` if the tenant does not exceed its own.
    level: Option<u64>,
    /// Whether others get all that they ask for, so that those who exceed their share take it from them.
    is_to_blame: bool,
    demand: u64,
}

#[derive(Debug, Default)]
struct ByAddress {
    failures: Bucket,
    refusals: Bucket,
}

/// The limits of a client at the moment; `None` for those that do not exist.
#[derive(Debug)]
struct Rates {
    client: Option<(u32, Rate)>,
    tenant: Option<(u32, Rate)>,
    share: Option<(u64, Rate)>,
}

impl Rates {
    fn of(limits: &Limits, quota: Option<u32>, level: Option<u64>) -> Self {
        let fixed =
            |per_second: u32| (per_second > 0).then(|| (per_second, Rate::new(per_second.into(), FIXED_WINDOW)));
        Self {
            client: fixed(limits.client_per_second),
            tenant: fixed(quota.unwrap_or(limits.tenant_per_second)),
            share: level.map(|level| (level, Rate::new(level, SHARE_WINDOW))),
        }
    }

    /// What refuses a request now, and for how long.
    fn refused(&self, now: Span, by_client: &ByClient, by_tenant: &ByTenant) -> Option<(By, Span)> {
        if let Some((per_second, rate)) = self.client
            && let Err(wait) = by_client.fixed.check(now, rate)
        {
            return Some((By::Client(per_second), wait));
        }
        if let Some((per_second, rate)) = self.tenant
            && let Err(wait) = by_tenant.fixed.check(now, rate)
        {
            return Some((By::Tenant(per_second), wait));
        }
        let (level, rate) = self.share?;
        let wait = by_client.share.check(now, rate).err()?;
        let by = if by_tenant.is_to_blame { By::Share(level) } else { By::Server };
        Some((by, wait.max(FIXED_WINDOW)))
    }
}

impl Admission {
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            clients: Table::new(CLIENTS_MAX),
            tenants: Table::new(TENANTS_MAX),
            addresses: Table::new(ADDRESSES_MAX),
            whole: Controller::default(),
            delays: Delays::default(),
            fair: None,
        }
    }

    /// Asks for a request of so many units. `quota` is the quota of the tenant, if it has one.
    ///
    /// # Errors
    /// If the request is refused.
    pub fn ask(&mut self, now: Span, client: Client, units: u64, quota: Option<u32>) -> Result<Standing, Box<Refusal>> {
        let by_client = self.clients.of(client);
        let by_tenant = self.tenants.of(client.tenant);
        by_client.asked = by_client.asked.saturating_add(units);
        let rates = Rates::of(&self.limits, quota, by_tenant.level.or(self.fair));
        let refused = rates.refused(now, by_client, by_tenant);
        if refused.is_none() {
            let take = |bucket: &mut Bucket, rate: Option<Rate>| {
                rate.into_iter().for_each(|rate| bucket.take(now, units, rate))
            };
            take(&mut by_client.fixed, rates.client.map(|(_, rate)| rate));
            take(&mut by_tenant.fixed, rates.tenant.map(|(_, rate)| rate));
            take(&mut by_client.share, rates.share.map(|(_, rate)| rate));
        }
        let shown = |bucket: Bucket, rate: Option<(u32, Rate)>| {
            rate.map(|(per_second, rate)| Quota {
                per_second: per_second.into(),
                left: bucket.left(now, rate),
                full_in: bucket.full_in(now),
            })
        };
        let standing =
            Standing { client: shown(by_client.fixed, rates.client), tenant: shown(by_tenant.fixed, rates.tenant) };
        match refused {
            None => Ok(standing),
            Some((by, retry_after)) => {
                let late = self.delays.after_refusal(&mut by_client.refusals, now, self.whole.best());
                Err(Box::new(Refusal { by, retry_after, standing, late }))
            }
        }
    }

    /// Refuses a request if [`Admission::ask`] would. Otherwise nothing happens, and the request has yet to be asked for.
    pub fn refuse(&mut self, now: Span, client: Client, units: u64, quota: Option<u32>) -> Option<Box<Refusal>> {
        // Who was forgotten has not exceeded anything.
        let by_client = self.clients.get(client)?;
        let by_tenant = self.tenants.get(client.tenant)?;
        let rates = Rates::of(&self.limits, quota, by_tenant.level.or(self.fair));
        rates.refused(now, by_client, by_tenant)?;
        self.ask(now, client, units, quota).err()
    }

    /// Adds units to a request that was admitted before its size was known.
    pub fn add(&mut self, now: Span, client: Client, units: u64, quota: Option<u32>) {
        let by_client = self.clients.of(client);
        let by_tenant = self.tenants.of(client.tenant);
        by_client.asked = by_client.asked.saturating_add(units);
        let take = |bucket: &mut Bucket, per_second: u64, window: Span| {
            if per_second > 0 {
                bucket.take(now, units, Rate::new(per_second, window));
            }
        };
        take(&mut by_client.fixed, self.limits.client_per_second.into(), FIXED_WINDOW);
        take(&mut by_tenant.fixed, quota.unwrap_or(self.limits.tenant_per_second).into(), FIXED_WINDOW);
        take(&mut by_client.share, by_tenant.level.or(self.fair).unwrap_or_default(), SHARE_WINDOW);
    }

    /// Counts an admitted request that was answered.
    pub fn answered(&mut self, tenant: TenantId, units: u64) {
        let by_tenant = self.tenants.of(tenant);
        by_tenant.served = by_tenant.served.saturating_add(units);
    }

    /// Whether a credential from this address may be checked if the check is costly, such as a signature.
    ///
    /// # Errors
    /// If too many requests from there could not be authenticated.
    pub fn may_check(&mut self, now: Span, address: Address) -> Result<(), Box<Refusal>> {
        let per_second = self.limits.failures_per_second;
        if per_second == 0 {
            return Ok(());
        }
        let by_address = self.addresses.of(address);
        by_address.failures.check(now, Rate::new(per_second.into(), FAILURES_WINDOW)).map_err(|retry_after| {
            let late = self.delays.after_refusal(&mut by_address.refusals, now, self.whole.best());
            Box::new(Refusal { by: By::Address(per_second), retry_after, standing: Standing::default(), late })
        })
    }

    /// Counts a request that could not be authenticated.
    ///
    /// # Errors
    /// If there were too many from this address; then the sender should not learn more.
    pub fn failed(&mut self, now: Span, address: Address) -> Result<(), Box<Refusal>> {
        self.may_check(now, address)?;
        let per_second = self.limits.failures_per_second.into();
        if per_second > 0 {
            self.addresses.of(address).failures.take(now, 1, Rate::new(per_second, FAILURES_WINDOW));
        }
        Ok(())
    }

    /// Ends a window of time: `lag` is how late tasks were in it, and `waits` says how long requests waited for the engine of a
    /// tenant. Divides anew what is admitted, and forgets who sent nothing for a while.
    pub fn end_window(&mut self, now: Span, length: Span, lag: Span, waits: impl Fn(TenantId) -> Span) {
        let per_second = |units: u64| {
            let per_second = u128::from(units).saturating_mul(SECOND_NS.into()).checked_div(length.ns().into());
            per_second.map_or(0, |rate| u64::try_from(rate).unwrap_or(u64::MAX))
        };
        self.tenants.each().for_each(|(_, tenant)| tenant.demand = 0);
        for (key, client) in self.clients.each() {
            client.demand = middle(client.demand, per_second(std::mem::take(&mut client.asked)));
            // Those beyond the bound share the limits of a client, but may be of any tenant.
            if let Some(Client { tenant, .. }) = key {
                let tenant = self.tenants.of(tenant);
                tenant.demand = tenant.demand.saturating_add(client.demand);
            }
        }
        let mut whole = Observed { wait: lag, served: 0, offered: 0 };
        for (key, tenant) in self.tenants.each() {
            let served = per_second(std::mem::take(&mut tenant.served));
            let wait = key.map_or(Span::ZERO, &waits);
            tenant.controller.observe(self.limits.queue_wait_max, Observed { wait, served, offered: tenant.demand });
            whole.served = whole.served.saturating_add(served);
            whole.offered = whole.offered.saturating_add(tenant.demand);
        }
        self.whole.observe(self.limits.lag_max, whole);
        self.divide();
        self.clients.forget(|client| client.is_idle(now));
        self.tenants.forget(|tenant| tenant.is_idle(now));
        self.addresses.forget(|address| address.failures.is_full(now) && address.refusals.is_full(now));
    }

    fn divide(&mut self) {
        let capped =
            |tenant: &ByTenant| tenant.controller.limit().map_or(tenant.demand, |limit| limit.min(tenant.demand));
        self.fair = self.whole.limit().and_then(|limit| {
            let mut demands: Vec<u64> = self.tenants.each().map(|(_, tenant)| capped(tenant)).collect();
            level(&mut demands, limit).map(|level| level.max(1))
        });
        let fair = self.fair.unwrap_or(u64::MAX);
        let is_one_content = self.tenants.each().any(|(_, tenant)| tenant.demand > 0 && tenant.demand <= fair);
        let mut clients = self.clients.each().filter_map(|(key, client)| Some((key?.tenant, client.demand))).peekable();
        for (key, tenant) in self.tenants.each() {
            let mut demands = Vec::new();
            while let Some((_, demand)) = clients.next_if(|(of, _)| key.is_some_and(|key| *of <= key)) {
                demands.push(demand);
            }
            let level = level(&mut demands, capped(tenant).min(fair)).map(|level| level.max(1));
            let is_client_content =
                level.is_some_and(|level| demands.iter().any(|demand| (1..=level).contains(demand)));
            tenant.is_to_blame = is_client_content || (is_one_content && tenant.demand > fair);
            tenant.level = level;
        }
    }

    /// The rate that is admitted in all, in units per second; `None` without an overload of the whole server.
    pub fn limit(&self) -> Option<u64> {
        self.whole.limit()
    }

    /// The rate that is admitted for a tenant because requests wait too long for its engine.
    pub fn limit_of(&self, tenant: TenantId) -> Option<u64> {
        self.tenants.get(tenant)?.controller.limit()
    }

    /// Whether nothing is left to be measured: nobody asked for anything lately, and no limit is in effect.
    pub fn is_calm(&self) -> bool {
        let tracked = [self.clients.len(), self.tenants.len(), self.addresses.len()];
        tracked == [0; 3] && self.whole.limit().is_none()
    }
}

impl ByClient {
    fn is_idle(&self, now: Span) -> bool {
        let buckets = [self.fixed, self.share, self.refusals];
        self.demand == 0 && self.asked == 0 && buckets.iter().all(|bucket| bucket.is_full(now))
    }
}

impl ByTenant {
    fn is_idle(&self, now: Span) -> bool {
        self.demand == 0 && self.fixed.is_full(now) && self.controller.limit().is_none()
    }
}

/// Chooses how late refusals are.
#[derive(Debug, Default)]
struct Delays {
    last_ns: u64,
    /// The refusals of all that were sent at once.
    at_once: Bucket,
}

impl Delays {
    /// Counts a refusal of a client or an address. If it got so many that it cannot heed them, or all together got too many, the answer
    /// is late. `served` is the rate that is served.
    fn after_refusal(&mut self, refusals: &mut Bucket, now: Span, served: u64) -> Span {
        let at_once = served.checked_div(REFUSALS_AT_ONCE_FRACTION).unwrap_or_default().max(REFUSALS_AT_ONCE_MIN);
        if refusals.try_take(now, Rate::new(REFUSALS_PER_SECOND, FIXED_WINDOW))
            && self.at_once.try_take(now, Rate::new(at_once, FIXED_WINDOW))
        {
            return Span::ZERO;
        }
        let next_ns = self.last_ns.saturating_add(LATE_STEP_NS);
        self.last_ns = next_ns.checked_rem(LATE_SPREAD_NS).unwrap_or_default();
        LATE_MIN.saturating_add(Span::from_ns(self.last_ns))
    }
}
