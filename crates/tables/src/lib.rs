//! Reads CSV and Parquet files from other systems. [`Input`] reads them in batches of columns with bounded memory,
//! [`Cell`] converts their values, and [`Payments`] turns their rows into payments of a policy.
//!
//! Files are not trusted. A problem with the whole file is an error; a problem with a row is reported with that row.

mod cell;
mod forms;
mod input;
mod labels;
mod payments;

use types::TenantId;

pub use cell::Cell;
pub use input::{Batches, BrokenRow, Column, IdKind, Input, RowGroup, Texts, shown};
pub use labels::{Label, Labels};
pub use payments::{Id, Payments, Row};

/// The tenant that the payments of a file belong to.
pub const TENANT: TenantId = TenantId::new(1);
