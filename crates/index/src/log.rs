use std::fmt;

use journal::Position;
use ledger::Transfer;
use types::TransferId;

/// Reads client transfers from the log, at the positions that were published.
pub trait Log: Send + Sync + fmt::Debug + 'static {
    /// The transfer with this id in the entry at `position`.
    fn transfer_at(&self, position: Position, id: TransferId) -> Result<Transfer, journal::Fault>;

    /// Visits every transfer of a client in the entries from `first` to `last`, both included, in order.
    fn transfers(
        &self,
        first: Position,
        last: Position,
        visit: &mut dyn FnMut(Position, &Transfer),
    ) -> Result<(), journal::Fault>;
}
