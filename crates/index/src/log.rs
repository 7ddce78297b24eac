//! The interface through which the index reads the log.

use std::fmt;

use disk::Disk;
use journal::{Fault, FileReader, Position};
use ledger::{Transfer, TransferKey};
use types::{Seq, TransferId};

/// Reads client transfers from the log, at positions that were published to the index.
pub trait Log: Send + Sync + fmt::Debug + 'static {
    /// Returns the transfer with this id in the entry at `position`.
    fn transfer_at(&self, position: Position, id: TransferId) -> Result<Transfer, Fault>;

    /// Visits every client transfer in the entries from `first` to `last`, both inclusive, in order.
    fn transfers(
        &self,
        first: Position,
        last: Position,
        visit: &mut dyn FnMut(Position, &Transfer),
    ) -> Result<(), Fault>;
}

impl<D: Disk> Log for FileReader<D> {
    fn transfer_at(&self, position: Position, id: TransferId) -> Result<Transfer, Fault> {
        let mut found = None;
        if position.is_row() {
            found = Some(FileReader::transfer_at(self, position)?);
        } else {
            self.transfers(position, position, &mut |_, transfer| found = Some(*transfer))?;
        }
        found
            .filter(|transfer| transfer.key == TransferKey::Client(id))
            .ok_or_else(|| Fault::damaged_at(position, Seq::ZERO, format!("transfer {id} is not in this entry")))
    }

    fn transfers(
        &self,
        first: Position,
        last: Position,
        visit: &mut dyn FnMut(Position, &Transfer),
    ) -> Result<(), Fault> {
        let end = Position::from_number(last.get() + 1);
        self.rows(first, end, &mut |position, transfer| {
            visit(position, transfer);
            Ok(())
        })
    }
}
