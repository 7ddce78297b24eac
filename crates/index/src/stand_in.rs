//! What the journal and the ledger offer.

pub use journal::{Position, StartAt};
pub use ledger::{AccountPlace, Past, PastTransfer};
