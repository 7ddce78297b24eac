//! What an error of Cassandra means for a connector.

use scylla::client::pager::{NextPageError, NextRowError};
use scylla::errors::{
    DbError, ExecutionError, NewSessionError, PagerExecutionError, PrepareError, RequestAttemptError, RequestError,
};

use crate::target::Fault;

/// An error of a connection that was not made.
pub(super) fn of_session(error: &NewSessionError) -> Fault {
    let what = error.to_string();
    // The library has the reasons of all nodes in one text.
    let refused = ["AuthenticationError", "Authentication", "Unauthorized", "credentials", "unsupported"];
    if refused.iter().any(|word| what.contains(word)) { Fault::Refused(what) } else { Fault::Unreachable(what) }
}

/// An error of a statement that could not be prepared.
pub(super) fn of_prepare(error: &PrepareError) -> Fault {
    // The library may add kinds in any release.
    #[expect(clippy::wildcard_enum_match_arm, reason = "the enum belongs to the client library")]
    match error {
        PrepareError::AllAttemptsFailed { first_attempt } => of_attempt(first_attempt),
        _ => Fault::Unreachable(error.to_string()),
    }
}

/// An error of a statement.
pub(super) fn of_execution(error: &ExecutionError) -> Fault {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the enum belongs to the client library")]
    match error {
        ExecutionError::LastAttemptError(attempt) => of_attempt(attempt),
        ExecutionError::PrepareError(error) => of_prepare(error),
        ExecutionError::BadQuery(_) => Fault::Refused(error.to_string()),
        _ => Fault::Unreachable(error.to_string()),
    }
}

/// An error before the first page of a result.
pub(super) fn of_pages(error: &PagerExecutionError) -> Fault {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the enum belongs to the client library")]
    match error {
        PagerExecutionError::PrepareError(error) => of_prepare(error),
        PagerExecutionError::NextPageError(error) => of_page(error),
        _ => Fault::Unreachable(error.to_string()),
    }
}

/// An error between the rows of a result.
pub(super) fn of_row(error: &NextRowError) -> Fault {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the enum belongs to the client library")]
    match error {
        NextRowError::NextPageError(error) => of_page(error),
        _ => Fault::Contradicts(error.to_string()),
    }
}

fn of_page(error: &NextPageError) -> Fault {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the enum belongs to the client library")]
    match error {
        NextPageError::RequestFailure(RequestError::LastAttemptError(attempt)) => of_attempt(attempt),
        _ => Fault::Unreachable(error.to_string()),
    }
}

fn of_attempt(error: &RequestAttemptError) -> Fault {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the enum belongs to the client library")]
    match error {
        RequestAttemptError::DbError(kind, message) if !message.is_empty() => {
            of_kind(kind, format!("{message} ({kind})"))
        }
        RequestAttemptError::DbError(kind, _) => of_kind(kind, kind.to_string()),
        RequestAttemptError::SerializationError(_) | RequestAttemptError::CqlRequestSerialization(_) => {
            Fault::Refused(error.to_string())
        }
        _ => Fault::Unreachable(error.to_string()),
    }
}

fn of_kind(kind: &DbError, what: String) -> Fault {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the enum belongs to the client library")]
    match kind {
        // The nodes are too few, too busy or too slow at the moment.
        DbError::Unavailable { .. }
        | DbError::Overloaded
        | DbError::IsBootstrapping
        | DbError::TruncateError
        | DbError::ReadTimeout { .. }
        | DbError::WriteTimeout { .. }
        | DbError::ReadFailure { .. }
        | DbError::WriteFailure { .. }
        | DbError::Unprepared { .. }
        | DbError::RateLimitReached { .. }
        | DbError::ServerError => Fault::Unreachable(what),
        _ => Fault::Refused(what),
    }
}

#[cfg(test)]
mod tests {
    use scylla::frame::types::Consistency;

    use super::*;

    #[test]
    fn what_passes_is_tried_again() {
        let of = |kind| of_attempt(&RequestAttemptError::DbError(kind, "why".to_owned()));
        let few = DbError::Unavailable { consistency: Consistency::Quorum, required: 2, alive: 1 };
        assert!(matches!(of(few), Fault::Unreachable(what) if what.starts_with("why (")));
        assert!(matches!(of(DbError::Overloaded), Fault::Unreachable(_)));
        assert!(matches!(of(DbError::Unauthorized), Fault::Refused(_)));
        assert!(matches!(of(DbError::Invalid), Fault::Refused(what) if what.starts_with("why (")));
        let late = ExecutionError::RequestTimeout(std::time::Duration::from_secs(30));
        assert!(matches!(of_execution(&late), Fault::Unreachable(_)));
    }
}
