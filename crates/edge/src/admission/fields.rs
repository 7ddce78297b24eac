//! The fields that tell a client about its limits, in the form of draft-ietf-httpapi-ratelimit-headers-10: two lists of
//! structured fields (RFC 9651), with a member for each limit.

use std::fmt::Write as _;

use types::Span;

use super::bucket::SECOND_NS;

/// Which limits a client has, as `"client";q=100;w=1`: at most 100 requests in a second.
pub const RATE_LIMIT_POLICY: &str = "ratelimit-policy";
/// What is left of them, as `"client";r=99;t=1`: 99 requests now, and all again in a second.
pub const RATE_LIMIT: &str = "ratelimit";

/// A limit in requests per second, and what is left of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    pub per_second: u64,
    pub left: u64,
    /// The time until all of it is there again.
    pub full_in: Span,
}

/// How a client stands with its fixed limits. `None` is a limit that does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Standing {
    pub client: Option<Quota>,
    pub tenant: Option<Quota>,
}

impl Standing {
    fn quotas(self) -> impl Iterator<Item = (&'static str, Quota)> {
        [("client", self.client), ("tenant", self.tenant)].into_iter().filter_map(|(name, quota)| Some((name, quota?)))
    }

    /// The values of `RateLimit-Policy` and `RateLimit`; `None` without a fixed limit.
    pub fn fields(self) -> Option<(String, String)> {
        let (mut policy, mut state) = (String::new(), String::new());
        for (name, quota) in self.quotas() {
            let comma = if policy.is_empty() { "" } else { ", " };
            let Quota { per_second, left, full_in } = quota;
            let reset_s = seconds(full_in);
            // Writing to a string cannot fail.
            write!(policy, "{comma}\"{name}\";q={per_second};w=1").unwrap_or_default();
            write!(state, "{comma}\"{name}\";r={left};t={reset_s}").unwrap_or_default();
        }
        (!policy.is_empty()).then_some((policy, state))
    }
}

/// A span in whole seconds, rounded up.
pub(super) const fn seconds(span: Span) -> u64 {
    span.ns().div_ceil(SECOND_NS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_is_a_member_of_both_lists() {
        let quota = |per_second, left, ns| Some(Quota { per_second, left, full_in: Span::from_ns(ns) });
        assert_eq!(Standing::default().fields(), None);
        let both = Standing { client: quota(100, 99, 10_000_000), tenant: quota(500, 0, 1_000_000_001) };
        let (policy, state) = both.fields().unwrap();
        assert_eq!(policy, "\"client\";q=100;w=1, \"tenant\";q=500;w=1");
        assert_eq!(state, "\"client\";r=99;t=1, \"tenant\";r=0;t=2");
    }
}
