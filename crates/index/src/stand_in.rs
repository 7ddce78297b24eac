//! Where reading the journal can begin.

pub use journal::StartAt;
