//! Files of rows from elsewhere, CSV and Parquet: read in batches of columns with bounded memory ([`Input`]), their values
//! as what they are meant to be ([`Cell`]), and their rows as payments of a policy ([`Payments`]).
//!
//! A file is not trusted: what is wrong with it as a whole is an error, what is wrong with a row is told with that row.

mod cell;
mod input;
mod payments;

use types::TenantId;

pub use cell::Cell;
pub use input::{Batch, Batches, Column, IdKind, Input, Texts};
pub use payments::{Id, Payments, Row};

/// The tenant that the payments of a file belong to.
pub const TENANT: TenantId = TenantId::new(1);
