//! The routes that copy journals.

use super::build::list;
use super::parameters::{AFTER, BYTES, LIMIT, OFFSET, SEGMENT, WAIT_MS};
use super::{Answer, Operation, Route, shape};
use crate::scope::Scope;
use crate::segments::Segments;

pub(super) const LIST: Route = of_list(
    Operation::ListSegments,
    "/v1/journal/segments",
    "List the segments of the journal and its durable end, at once or when there are new entries",
);

pub(super) const READ: Route = of_bytes(
    Operation::ReadSegment,
    "/v1/journal/segments/{id}",
    "Read the bytes of a segment, for a copy of the journal",
);

/// The handlers also check `tenants:read`: a route has one scope.
pub(super) const LIST_OF_INSTALLATION: Route = of_list(
    Operation::ListInstallationSegments,
    "/v1/installation/journal/segments",
    "List the segments of the system journal, which has the settings of the installation, and its durable end. Only for the \
     first tenant, and with the scope `tenants:read` as well",
);

pub(super) const READ_OF_INSTALLATION: Route = of_bytes(
    Operation::ReadInstallationSegment,
    "/v1/installation/journal/segments/{id}",
    "Read the bytes of a segment of the system journal, for a copy of it. Only for the first tenant, and with the scope \
     `tenants:read` as well",
);

const fn of_list(operation: Operation, path: &'static str, summary: &'static str) -> Route {
    list(operation, path, Scope::JOURNAL_READ, &[SEGMENT, LIMIT, AFTER, WAIT_MS], shape::<Segments>(), summary)
}

const fn of_bytes(operation: Operation, path: &'static str, summary: &'static str) -> Route {
    Route {
        answer: Answer::Bytes("The bytes of the file as they are on disk, up to the durable end; empty at that end."),
        ..list(operation, path, Scope::JOURNAL_READ, &[OFFSET, BYTES], shape::<Segments>(), summary)
    }
}
