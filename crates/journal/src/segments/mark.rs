//! The mark: a small file that says up to which sequence the journal was acknowledged.
//!
//! It has two slots, at bytes 0 and 4096, which are written in turn, so that a crash during a write leaves the other
//! slot intact. Each slot contains: magic `FNMK`, CRC-32C of the 40 bytes that follow, counter (8), origin (16), epoch
//! (8), durable sequence (8).

use types::{Epoch, Origin, Seq};

use crate::bytes::{Decoder, Encoder};
use crate::fault::Fault;
use crate::identity::Identity;
use disk::{Disk, DiskFile};

const NAME: &str = "mark";
const MAGIC: [u8; 4] = *b"FNMK";
const SLOT_STRIDE_BYTES: u64 = 4096;
const BODY_BYTES: usize = 40;

#[derive(Debug)]
pub(crate) struct Mark<F> {
    file: F,
    counter: u64,
    marked: Option<(Identity, Seq)>,
    /// False until this process has synced: after a failed sync, what an earlier process wrote may be only in memory.
    is_synced: bool,
}

impl<F: DiskFile> Mark<F> {
    /// Opens the mark of a journal, or starts one. Ignores a mark that another history left.
    pub(crate) fn open<D: Disk<File = F>>(disk: &D) -> Result<(Self, Option<(Identity, Seq)>), Fault> {
        let io_fault = |action| move |cause| Fault::Io { action, file: NAME.to_owned(), cause };
        let Some(file) = disk.open(NAME).map_err(io_fault("open"))? else {
            let file = disk.create(NAME).map_err(io_fault("create"))?;
            disk.sync_directory().map_err(io_fault("sync the directory of"))?;
            return Ok((Self { file, counter: 0, marked: None, is_synced: true }, None));
        };
        let newest = read_newest(&file)?;
        let counter = newest.map_or(0, |(counter, ..)| counter);
        let marked = newest.map(|(_, identity, seq)| (identity, seq));
        Ok((Self { file, counter, marked, is_synced: false }, marked))
    }

    /// Reads the mark of a journal without changing it.
    pub(crate) fn read<D: Disk<File = F>>(disk: &D) -> Result<Option<(Identity, Seq)>, Fault> {
        let io_fault = |cause| Fault::Io { action: "open", file: NAME.to_owned(), cause };
        let Some(file) = disk.open(NAME).map_err(io_fault)? else { return Ok(None) };
        Ok(read_newest(&file)?.map(|(_, identity, seq)| (identity, seq)))
    }

    /// Writes and syncs a new position. If the mark contains this position already, only syncs it, once.
    pub(crate) fn write(&mut self, identity: Identity, durable: Seq) -> Result<(), Fault> {
        let is_new = self.marked != Some((identity, durable));
        if !is_new && self.is_synced {
            return Ok(());
        }
        let counter = self.counter + u64::from(is_new);
        let io_fault = |action| move |cause| Fault::Io { action, file: NAME.to_owned(), cause };
        let mut body = Encoder::default();
        body.u64(counter);
        body.u128(identity.origin.get());
        body.u64(identity.epoch.get());
        body.u64(durable.get());
        let mut slot = Encoder::default();
        slot.raw(&MAGIC);
        slot.u32(crc32c::crc32c(&body.bytes));
        slot.raw(&body.bytes);
        // The first counter is 1 and goes to the first slot.
        let place = (counter.saturating_sub(1) % 2) * SLOT_STRIDE_BYTES;
        self.file.write_at(&slot.bytes, place).map_err(io_fault("write"))?;
        self.file.sync().map_err(io_fault("sync"))?;
        (self.counter, self.marked, self.is_synced) = (counter, Some((identity, durable)), true);
        Ok(())
    }
}

/// The intact slot with the higher counter.
fn read_newest(file: &impl DiskFile) -> Result<Option<(u64, Identity, Seq)>, Fault> {
    let mut newest: Option<(u64, Identity, Seq)> = None;
    let mut written = false;
    for slot in 0..2 {
        let mut bytes = [0_u8; BODY_BYTES + 8];
        let io_fault = |cause| Fault::Io { action: "read", file: NAME.to_owned(), cause };
        let count = file.read_at(&mut bytes, slot * SLOT_STRIDE_BYTES).map_err(io_fault)?;
        written |= bytes.iter().take(count).any(|&byte| byte != 0);
        let Some(found) = parse(&bytes) else { continue };
        if newest.as_ref().is_none_or(|(counter, ..)| found.0 > *counter) {
            newest = Some(found);
        }
    }
    if newest.is_none() && written {
        return Err(Fault::Damaged {
            file: NAME.to_owned(),
            offset: 0,
            seq: Seq::ZERO,
            what: "neither of its two slots is intact".to_owned(),
        });
    }
    Ok(newest)
}

fn parse(bytes: &[u8]) -> Option<(u64, Identity, Seq)> {
    let mut decoder = Decoder::new(bytes);
    let magic: [u8; 4] = decoder.array().ok()?;
    let checksum = decoder.u32().ok()?;
    let intact = magic == MAGIC && checksum == crc32c::crc32c(bytes.get(8..)?);
    let counter = decoder.u64().ok()?;
    let origin = Origin::new(decoder.u128().ok()?);
    let epoch = Epoch::new(decoder.u64().ok()?);
    let seq = Seq::new(decoder.u64().ok()?);
    intact.then_some((counter, Identity { origin, epoch }, seq))
}
