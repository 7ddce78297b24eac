//! Entries as bytes.

use engine::{Entry, Fact};
use journal::{CanonicalRun, EntryOffset, Frame, FrameBuilder, PAYLOAD_BYTES_MAX, canonical, leaf_hash};
use ledger::{Transfer, TransferKey};
use proptest::prelude::*;
use types::{AccountId, ActorId, Code, RequestId, Sealed, Span, TransferId};

use crate::support::{
    FRAME_HEADER_BYTES, chunk, entries_of_one_place, entry_run, flipped, frame, header, small, transfer,
};

/// The canonical encodings of a frame, as they are read in one go.
fn together(frame: &Frame) -> Vec<Vec<u8>> {
    let mut run = CanonicalRun::default();
    frame.canonical(&mut run).unwrap();
    assert_eq!((run.first(), run.len()), (frame.first, frame.count as usize));
    run.iter().map(<[u8]>::to_vec).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 160, ..ProptestConfig::default() })]

    #[test]
    fn entries_read_as_they_are_written(entries in entry_run()) {
        let frame = frame(&entries);
        prop_assert_eq!(frame.entries(), Ok(entries.clone()));
        prop_assert_eq!(frame.last(), entries[entries.len() - 1].header.seq);
        prop_assert_eq!(usize::try_from(frame.count), Ok(entries.len()));
    }

    #[test]
    fn framing_leaves_no_trace_in_an_entry(entries in entry_run(), cut in 0_usize..8) {
        let (before, after) = entries.split_at(cut.min(entries.len()));
        let halves = [before, after].into_iter().filter(|half| !half.is_empty());
        let read: Vec<Entry> = halves.flat_map(|half| frame(half).entries().unwrap()).collect();
        for (read, written) in read.iter().zip(&entries) {
            prop_assert_eq!(canonical(read), canonical(written));
            prop_assert_eq!(leaf_hash(read), leaf_hash(written));
        }
        prop_assert_eq!(read, entries);
    }

    #[test]
    fn rows_and_ordinary_encodings_give_the_same_leaf(
        rows in prop::collection::vec((transfer(), any::<bool>(), any::<bool>()), 1..40)
    ) {
        let entries: Vec<Entry> = (1..).zip(&rows).map(|(seq, (transfer, by_id, sealed))| {
            let (mut entry, row) = (small(seq), small_transfer(seq, transfer));
            entry.header.request = RequestId::new(if *by_id { transfer.debit.get() } else { 77 });
            entry.fact = Fact::Ledger(ledger::Fact::TransferCreated(row));
            // A sealed section keeps a transfer out of the rows and is the only difference.
            entry.sealed = sealed.then(|| Sealed { keys: Vec::new(), ciphertext: [].into() });
            entry
        }).collect();
        let read = frame(&entries).entries().unwrap();
        prop_assert_eq!(&read, &entries);
        for (read, written) in read.iter().zip(&entries) {
            let plain = Entry { sealed: None, ..written.clone() };
            prop_assert_eq!(canonical(read), canonical(&plain));
        }
        prop_assert_eq!(together(&frame(&entries)), entries.iter().map(canonical).collect::<Vec<_>>());
    }

    #[test]
    fn canonical_encodings_are_read_without_the_entries(entries in entry_run()) {
        prop_assert_eq!(together(&frame(&entries)), entries.iter().map(canonical).collect::<Vec<_>>());
    }

    #[test]
    fn an_entry_stands_where_adding_it_said(entries in entry_run()) {
        let mut builder = FrameBuilder::default();
        let said: Vec<EntryOffset> = entries.iter().map(|entry| builder.push(entry)).collect();
        let frame = builder.finish().unwrap();
        let found: Vec<EntryOffset> = frame.iter().map(|read| read.unwrap().1).collect();
        prop_assert_eq!(found, said);
    }

    #[test]
    fn different_entries_have_different_canonical_encodings((one, other) in entries_of_one_place()) {
        prop_assert_eq!(canonical(&one) == canonical(&other), one == other);
        prop_assert_eq!(leaf_hash(&one) == leaf_hash(&other), one == other);
    }

}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn cut_off_bytes_are_refused(entries in entry_run()) {
        let whole = frame(&entries);
        for kept in 0..whole.payload.len() {
            let cut = Frame { payload: whole.payload[..kept].to_vec(), ..whole.clone() };
            prop_assert!(cut.entries().is_err(), "{} of {} bytes", kept, whole.payload.len());
        }
        let longer = Frame { payload: [&whole.payload[..], &[0]].concat(), ..whole };
        prop_assert!(longer.entries().is_err());
    }

    // What a checksum lets through once in four billion times must at least not bring the process down.
    #[test]
    fn no_bytes_make_the_decoder_panic(entries in entry_run(), noise in prop::collection::vec(any::<u8>(), 0..200)) {
        let whole = frame(&entries);
        for at in (0..whole.payload.len()).step_by(3) {
            let spoilt = Frame { payload: flipped(&whole.payload, at, at), ..whole.clone() };
            drop(spoilt.entries());
        }
        drop(Frame { payload: noise, count: u32::MAX, ..whole }.entries());
    }

    #[test]
    fn a_plain_transfer_takes_at_most_128_bytes(transfers in prop::collection::vec((transfer(), any::<[u64; 2]>()), 1..20)) {
        let mut builder = FrameBuilder::default();
        let mut seq = 0;
        // Random user data, codes, accounts and request ids, a millisecond apart: nothing repeats, nothing is small.
        while builder.payload_bytes() + 256 < PAYLOAD_BYTES_MAX && seq < 500 {
            for (transfer, [ledger, amount]) in &transfers {
                seq += 1;
                builder.push(&plain(seq, transfer, *ledger, *amount));
            }
        }
        let whole = builder.finish().unwrap();
        let bytes = whole.payload.len() + FRAME_HEADER_BYTES;
        prop_assert!(bytes <= 128 * usize::try_from(whole.count).unwrap(), "{bytes} bytes, {} transfers", whole.count);
    }
}

/// A single-phase transfer as a client sends it, everything that is free for the client given.
fn plain(seq: u64, random: &Transfer, ledger: u64, amount: u64) -> Entry {
    let mut header = header(seq);
    header.decided_at = header.decided_at.saturating_add(Span::from_ns(seq * 1_000_000));
    header.occurred_at = header.decided_at;
    let id = random.debit.get() ^ u128::from(seq);
    header.request = RequestId::new(id);
    header.actor = ActorId::new(7);
    let fact = Transfer {
        key: TransferKey::Client(TransferId::new(id)),
        credit: AccountId::new(random.credit.get() | 1 << 127),
        amount: types::Amount::new(u128::from(amount)),
        pending: None,
        user_data_128: random.user_data_128 | 1,
        user_data_64: random.user_data_64 | 1,
        user_data_32: random.user_data_32 | 1,
        timeout_s: 0,
        ledger: types::LedgerId::new(u32::try_from(ledger % (1 << 32)).unwrap()),
        code: Code::new(random.code.get() | 1 << 15),
        flags: ledger::TransferFlags::NONE,
        timestamp: header.decided_at,
        ..*random
    };
    Entry { header, fact: Fact::Ledger(ledger::Fact::TransferCreated(fact)), sealed: None }
}

/// This transfer by a client, at the time of the entry `seq`.
fn small_transfer(seq: u64, random: &Transfer) -> Transfer {
    Transfer {
        key: TransferKey::Client(TransferId::new(random.debit.get())),
        timestamp: header(seq).decided_at,
        ..*random
    }
}

#[test]
fn a_batch_of_plain_transfers_takes_one_frame() {
    let mut builder = FrameBuilder::default();
    let batch = |request: u128| {
        move |seq: u64| {
            let mut entry = small(seq);
            entry.header.request = RequestId::new(request);
            entry
        }
    };
    for entry in (1..=8_189).map(batch(1 << 100)) {
        assert!(builder.try_push(&entry).is_some_and(|placed| placed.is_row));
    }
    assert_eq!(builder.payload_bytes(), 8_189 * 112 + 24);
    // Another batch starts another run, until the frame is full; then nothing changes any more.
    let mut seq = 8_190;
    while builder.try_push(&batch(1 << 101)(seq)).is_some() {
        seq += 1;
    }
    let bytes = builder.payload_bytes();
    assert!(PAYLOAD_BYTES_MAX - bytes < 200, "{bytes}");
    assert!(builder.try_push(&small(seq)).is_none());
    assert!(builder.try_push(&chunk(seq, 200)).is_none());
    assert!(builder.try_push(&chunk(seq, 20)).is_some(), "what is small enough still fits");
    let frame = builder.finish().unwrap();
    assert_eq!(u64::from(frame.count), seq);
    assert_eq!(frame.entries().unwrap().len(), usize::try_from(seq).unwrap());
    assert!(builder.try_push(&small(seq)).is_some(), "the next frame");
}

#[test]
fn what_entries_share_is_written_once() {
    let alone: usize = (1..=100).map(|seq| frame(&[small(seq)]).payload.len()).sum();
    let together = frame(&(1..=100).map(small).collect::<Vec<_>>()).payload.len();
    assert!(together < alone, "{together} and {alone} bytes");
}

#[test]
fn a_frame_takes_what_the_pipeline_puts_into_it_and_no_more() {
    let full = |count| {
        std::panic::catch_unwind(|| frame(&(1..=count).map(|seq| chunk(seq, 256 * 1024)).collect::<Vec<_>>())).is_ok()
    };
    assert!(full(3));
    assert!(!full(4), "JRN-2");
}

#[test]
#[should_panic(expected = "JRN-1")]
fn a_gap_between_entries_is_not_written() {
    frame(&[small(1), small(3)]);
}

#[test]
#[should_panic(expected = "JRN-4")]
fn time_that_goes_back_is_not_written() {
    let mut later = small(2);
    later.header.decided_at = small(1).header.decided_at.checked_sub(Span::from_ns(1)).unwrap();
    frame(&[small(1), later]);
}
