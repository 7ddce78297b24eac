//! Helpers: entries and frames, fixed and random, and a journal in a temporary folder that tests can inspect and
//! damage.

mod crashing;
mod entries;
pub(crate) mod facts;
mod folder;
mod narrow;
mod shelf;

use engine::{Entry, Fact, Header};
use journal::{Frame, FrameBuilder, Reader};
use ledger::{Transfer, TransferFlags, TransferKey};
use sha2::{Digest as _, Sha256};
use types::{AccountId, ActorId, Amount, Code, LedgerId, RequestId, Seq, Span, TenantId, Timestamp, TransferId};

pub(crate) use crashing::{Crashing, Loss};
pub(crate) use entries::{chunk, entries_of_one_place, entry_run, transfer};
pub(crate) use folder::{Folder, ORIGIN, SHARD, flipped};
pub(crate) use narrow::Narrow;
pub(crate) use shelf::Shelf;

pub(crate) const SEGMENT_HEADER_BYTES: usize = 4096;
pub(crate) const FRAME_HEADER_BYTES: usize = 128;
/// The time of the first entry.
pub(crate) const START: Timestamp = Timestamp::from_ns(1_795_000_000_000_000_000);

/// The header of the entry `seq`, a microsecond after the previous one.
pub(crate) fn header(seq: u64) -> Header {
    let at = START.saturating_add(Span::from_ns(seq.saturating_mul(1_000)));
    Header {
        shard: SHARD,
        seq: Seq::new(seq),
        tenant: TenantId::new(1),
        actor: ActorId::new(1),
        request: RequestId::new(u128::from(seq)),
        decided_at: at,
        occurred_at: at,
    }
}

/// A small entry: a transfer whose request id is its id.
pub(crate) fn small(seq: u64) -> Entry {
    let header = header(seq);
    let transfer = Transfer {
        key: TransferKey::Client(TransferId::new(u128::from(seq))),
        debit: AccountId::new(1),
        credit: AccountId::new(2),
        amount: Amount::new(100),
        pending: None,
        user_data_128: 0,
        user_data_64: 0,
        user_data_32: 0,
        timeout_s: 0,
        ledger: LedgerId::new(1),
        code: Code::new(1),
        flags: TransferFlags::NONE,
        timestamp: header.decided_at,
    };
    Entry { header, fact: Fact::Ledger(ledger::Fact::TransferCreated(transfer)), sealed: None }
}

/// One frame of these entries.
pub(crate) fn frame(entries: &[Entry]) -> Frame {
    let mut builder = FrameBuilder::default();
    for entry in entries {
        builder.push(entry);
    }
    builder.finish().expect("a frame has entries")
}

/// A frame of `count` small entries, starting with `first`.
pub(crate) fn small_frame(first: u64, count: u64) -> Frame {
    frame(&(first..first + count).map(small).collect::<Vec<_>>())
}

/// Everything that is durable, read page by page.
pub(crate) fn read_all(reader: &impl Reader) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    loop {
        let from = entries.last().map_or(Seq::ZERO, |last| last.header.seq.next());
        let page = reader.read(from).expect("the journal is intact");
        if page.is_empty() {
            return entries;
        }
        entries.extend(page);
    }
}

/// Where each frame of a first segment starts, and where the last one ends.
pub(crate) fn bounds(frames: &[Frame]) -> Vec<usize> {
    let mut bounds = vec![SEGMENT_HEADER_BYTES];
    for frame in frames {
        bounds.push(bounds[bounds.len() - 1] + FRAME_HEADER_BYTES + frame.payload.len());
    }
    bounds
}

/// Four entries in three frames.
pub(crate) fn three_frames() -> [Frame; 3] {
    [small_frame(1, 2), small_frame(3, 1), small_frame(4, 1)]
}

/// The sequences of entries, for short comparisons.
pub(crate) fn seqs(entries: &[Entry]) -> Vec<u64> {
    entries.iter().map(|entry| entry.header.seq.get()).collect()
}

/// The root of the RFC 6962 tree, computed by the definition in the standard.
pub(crate) fn root(leaves: &[[u8; 32]]) -> [u8; 32] {
    match leaves {
        [] => Sha256::digest([]).into(),
        [leaf] => *leaf,
        more => {
            let (left, right) = more.split_at(more.len().next_power_of_two() / 2);
            Sha256::new().chain_update([1]).chain_update(root(left)).chain_update(root(right)).finalize().into()
        }
    }
}
