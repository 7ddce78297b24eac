//! File descriptors: how many the process may have, and what they are for.
//!
//! Connections and files share one limit. If connections could use all of it, the journal could not open its next segment.
//! So connections get what is left after a reserve for files.

use std::io;

use rustix::process::{Resource, getrlimit, setrlimit};

/// Descriptors that are kept for files of the process, of the first tenant and of the system journal: a journal keeps at most some
/// 70 open, an index one for each run.
const FILES: u64 = 512;
/// Descriptors that are kept for each other tenant that may be open. A new one has 9, and one with 20 segments, which is about a
/// gigabyte, some 30. Larger ones make use of what smaller ones do not need, so this is an estimate and no bound.
const FILES_OF_TENANT: u64 = 32;
/// More connections than this need more memory than they are worth.
const CONNECTIONS_MAX: u64 = 20_000;

/// Raises the limit on open descriptors as far as the system allows, and returns it.
pub fn raise_limit() -> u64 {
    let found = getrlimit(Resource::Nofile);
    if found.current != found.maximum {
        let raised = rustix::process::Rlimit { current: found.maximum, ..found };
        if let Err(error) = setrlimit(Resource::Nofile, raised) {
            tracing::warn!(%error, "cannot raise the limit on open file descriptors");
        }
    }
    limit()
}

/// The limit on open descriptors.
pub(crate) fn limit() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// What the descriptors of the process are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shares {
    /// Most connections.
    pub(crate) connections: usize,
    /// Most tenants that are open at the same time, the first not counted.
    pub(crate) tenants: usize,
}

impl Shares {
    /// The shares below the present limit.
    pub(crate) fn now(tenants_wanted: usize) -> Self {
        Self::below(limit(), tenants_wanted)
    }

    /// Files get what the first tenant and all other open tenants need, but at most half of the limit. If that is less, fewer
    /// tenants can be open.
    fn below(limit: u64, tenants_wanted: usize) -> Self {
        let half = limit.div_ceil(2);
        let first = FILES.min(half.div_ceil(2));
        let wanted = u64::try_from(tenants_wanted).unwrap_or(u64::MAX);
        let tenants = wanted.min((half - first) / FILES_OF_TENANT).max(1);
        let files = first.saturating_add(tenants.saturating_mul(FILES_OF_TENANT)).min(half);
        let connections = (limit - files).min(CONNECTIONS_MAX);
        let count = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        Self { connections: count(connections), tenants: count(tenants) }
    }
}

/// Whether an error means that the process or the system has no descriptor left.
pub(crate) fn are_used_up(error: &io::Error) -> bool {
    disk::lacks_descriptors(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_descriptors_for_files_and_tenants() {
        for (limit, wanted, connections, tenants) in [
            (0, 256, 0, 1),
            (1, 256, 0, 1),
            (128, 256, 64, 1),
            (1_024, 256, 512, 8),
            (1_024, 1, 736, 1),
            (4_096, 256, 2_048, 48),
            (20_000, 256, 11_296, 256),
            (u64::MAX, 1_024, 20_000, 1_024),
        ] {
            assert_eq!(Shares::below(limit, wanted), Shares { connections, tenants }, "{wanted} tenants below {limit}");
        }
    }
}
