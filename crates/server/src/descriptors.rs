//! File descriptors: how many the process may have, and what they are for.
//!
//! Connections and files share one limit. If connections could use all of it, the journal could not open its next segment.
//! So connections get what is left after a reserve for files.

use std::io;

use rustix::process::{Resource, getrlimit, setrlimit};

/// Descriptors that are kept for files: the journal keeps at most some 70 open, the index one for each run.
const FILES: u64 = 512;
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

/// Most connections that fit below a limit on descriptors. Files get the reserve, or half of the limit if that is less.
pub(crate) fn connections_max(limit: u64) -> usize {
    let files = FILES.min(limit.div_ceil(2));
    usize::try_from((limit - files).min(CONNECTIONS_MAX)).unwrap_or(usize::MAX)
}

/// Whether an error means that the process or the system has no descriptor left.
pub(crate) fn are_used_up(error: &io::Error) -> bool {
    disk::lacks_descriptors(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_descriptors_for_files() {
        for (limit, connections) in [(0, 0), (1, 0), (128, 64), (1_024, 512), (4_096, 3_584), (u64::MAX, 20_000)] {
            assert_eq!(connections_max(limit), connections, "below {limit}");
        }
    }
}
