//! The interface through which the index reads the log.

use std::fmt;

use disk::Disk;
use engine::Entry;
use journal::{Fault, FileReader, Position};
use ledger::{Transfer, TransferKey};
use types::{Seq, Timestamp, TransferId};

/// Reads client transfers from the log, at positions that were published to the index.
pub trait Log: Send + Sync + fmt::Debug + 'static {
    /// Returns the transfer with this id in the entry at `position`.
    fn transfer_at(&self, position: Position, id: TransferId) -> Result<Transfer, Fault>;

    /// Returns the entry at `position`.
    fn entry_at(&self, position: Position) -> Result<Entry, Fault>;

    /// Visits the timestamp of every transfer, legs of payments included, in the entries from `first` to `last`, both inclusive.
    fn timestamps(&self, first: Position, last: Position, visit: &mut dyn FnMut(Timestamp)) -> Result<(), Fault>;

    /// Visits every client transfer in the entries from `first` to `last`, both inclusive, in order.
    fn transfers(
        &self,
        first: Position,
        last: Position,
        visit: &mut dyn FnMut(Position, &Transfer),
    ) -> Result<(), Fault>;
}

impl<D: Disk> Log for FileReader<D> {
    fn entry_at(&self, position: Position) -> Result<Entry, Fault> {
        FileReader::entry_at(self, position)
    }

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

    fn timestamps(&self, first: Position, last: Position, visit: &mut dyn FnMut(Timestamp)) -> Result<(), Fault> {
        self.entries_between(first, Position::from_number(last.get() + 1), &mut |_, entry| {
            for fact in entry.fact.ledger_facts() {
                if let ledger::Fact::TransferCreated(transfer) | ledger::Fact::TransferStaged { transfer, .. } = fact {
                    visit(transfer.timestamp);
                }
            }
            Ok(())
        })
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
