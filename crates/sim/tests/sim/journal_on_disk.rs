//! The file journal on the simulated disk, with one fault at a time.

use engine::{ArtifactChunk, Entry, Fact, Header};
use journal::{DurableLog, Fault, FileJournal, Frame, FrameBuilder, Layout, Position, Recovered, SegmentStore};
use sim::{Crash, Rng, SimDisk, Trouble};
use types::{ActorId, Digest, Origin, RequestId, Seq, ShardId, TenantId, Timestamp};

/// A frame with one entry of this many bytes.
fn frame(seq: u64, bytes: usize) -> Frame {
    let at = Timestamp::from_ns(1_000 + seq);
    let header = Header {
        shard: ShardId::new(0),
        seq: Seq::new(seq),
        tenant: TenantId::new(1),
        actor: ActorId::SYSTEM,
        request: RequestId::new(u128::from(seq)),
        decided_at: at,
        occurred_at: at,
    };
    let artifact = Digest::of(&seq.to_le_bytes());
    let chunk = ArtifactChunk { artifact, index: 0, count: 1, bytes: vec![1; bytes].into() };
    let mut builder = FrameBuilder::default();
    builder.push(&Entry { header, fact: Fact::ArtifactStored(chunk), sealed: None });
    builder.finish().expect("one entry")
}

const SMALL: usize = 700;
/// Two entries of this size do not fit into one segment.
const LARGE: usize = 800 * 1024;

fn try_open(disk: &SimDisk) -> Result<(FileJournal<SimDisk>, Recovered), Fault> {
    let mut last = Seq::ZERO;
    let mut visit = |entry: &Entry, _: Position, _: Option<journal::StartAt>| {
        assert_eq!(entry.header.seq, last.next());
        last = last.next();
        Ok(())
    };
    FileJournal::open(disk.clone(), Layout::TINY, ShardId::new(0), || Origin::new(7), None, &mut visit)
}

#[track_caller]
fn open(disk: &SimDisk, last: u64) -> FileJournal<SimDisk> {
    let (journal, recovered) = try_open(disk).expect("the journal opens");
    assert_eq!(recovered.last, Seq::new(last));
    journal
}

/// A journal with one large entry, acknowledged and marked.
fn with_one() -> (SimDisk, FileJournal<SimDisk>) {
    let disk = SimDisk::default();
    let mut journal = open(&disk, 0);
    journal.append(&frame(1, LARGE)).expect("append");
    journal.sync().expect("sync");
    journal.mark().expect("mark");
    (disk, journal)
}

fn drop_unsynced(disk: &SimDisk) {
    disk.crash(Crash::DropsUnsynced, &mut Rng::new(1));
}

#[test]
fn a_journal_that_failed_is_poisoned() {
    for trouble in [Trouble::Sync, Trouble::Write] {
        let (disk, mut journal) = with_one();
        disk.trouble(trouble, 0);
        let failed = journal.append(&frame(2, SMALL)).and_then(|_| journal.sync());
        assert!(matches!(failed, Err(Fault::Io { .. })), "{trouble:?}");
        for seq in [2, 3] {
            assert!(matches!(journal.append(&frame(seq, SMALL)), Err(Fault::Poisoned(_))), "{trouble:?}");
        }
        assert!(matches!(journal.sync(), Err(Fault::Poisoned(_))), "{trouble:?}");
        assert!(matches!(journal.mark(), Err(Fault::Poisoned(_))), "{trouble:?}");
        assert_eq!(journal.durable(), Seq::new(1), "{trouble:?}");
        drop(journal);
        drop_unsynced(&disk);
        open(&disk, 1);
    }
}

#[test]
fn what_a_failed_sync_left_in_memory_is_written_again() {
    let (disk, mut journal) = with_one();
    // This entry goes into a second segment, so that the failed sync also loses the segment's header.
    journal.append(&frame(2, LARGE)).unwrap();
    disk.trouble(Trouble::Sync, 0);
    assert!(journal.sync().is_err());
    drop(journal);
    // The machine stays up. The start reads everything from memory and accepts it, and the server may then acknowledge
    // it.
    disk.restart(false);
    drop(open(&disk, 2));
    drop_unsynced(&disk);
    open(&disk, 2);
}

#[test]
fn a_segment_whose_name_was_never_synced_is_not_trusted() {
    let (disk, mut journal) = with_one();
    // The process ends after it created the next segment and before it synced the directory.
    disk.trouble(Trouble::Sync, 0);
    assert!(journal.append(&frame(2, LARGE)).is_err());
    drop(journal);
    disk.restart(false);
    let mut journal = open(&disk, 1);
    journal.append(&frame(2, LARGE)).unwrap();
    assert_eq!(journal.sync().unwrap(), Seq::new(2));
    drop(journal);
    drop_unsynced(&disk);
    open(&disk, 2);
}

#[test]
fn a_full_disk_stops_the_journal_and_harms_nothing() {
    let (disk, mut journal) = with_one();
    disk.trouble(Trouble::NoSpace, 0);
    assert!(matches!(journal.append(&frame(2, LARGE)), Err(Fault::Io { .. })));
    drop(journal);
    // The prepared segment can still be used.
    let mut journal = open(&disk, 1);
    journal.append(&frame(2, SMALL)).unwrap();
    journal.sync().unwrap();
    drop(journal);
    disk.relieve();
    let mut journal = open(&disk, 2);
    journal.append(&frame(3, LARGE)).unwrap();
    journal.sync().unwrap();
    drop(journal);
    drop_unsynced(&disk);
    open(&disk, 3);
}

/// Runs two lives of a process, with a rotation in the first, and returns what was acknowledged.
fn live(disk: &SimDisk) -> Seq {
    let mut acknowledged = Seq::ZERO;
    let mut run = || -> Result<(), Fault> {
        for sizes in [&[SMALL, LARGE, LARGE][..], &[SMALL]] {
            let (mut journal, recovered) = try_open(disk)?;
            acknowledged = recovered.last;
            for &bytes in sizes {
                journal.append(&frame(acknowledged.get() + 1, bytes))?;
                journal.append(&frame(acknowledged.get() + 2, SMALL))?;
                acknowledged = journal.sync()?;
                if bytes == SMALL {
                    journal.mark()?;
                }
            }
        }
        Ok(())
    };
    // The power may fail at any point in between.
    drop(run());
    acknowledged
}

#[test]
fn the_power_may_go_at_any_operation() {
    let complete = live(&SimDisk::default());
    let mut operations = 0;
    loop {
        let crashes = [Crash::DropsUnsynced, Crash::TearsUnsynced];
        let mut last_acknowledged = Seq::ZERO;
        for (variant, crash) in (0..).zip(crashes) {
            let disk = SimDisk::default();
            disk.trouble(Trouble::PowerLoss, operations);
            last_acknowledged = live(&disk);
            disk.crash(crash, &mut Rng::new(u64::from(operations) + variant));
            let (journal, recovered) =
                try_open(&disk).unwrap_or_else(|fault| panic!("{operations}, {crash:?}: {fault}"));
            assert!(recovered.last >= last_acknowledged, "{operations}, {crash:?}: {recovered:?}, {last_acknowledged}");
            drop(journal);
            // What a start accepted is durable, because the server may have acknowledged it by now.
            drop_unsynced(&disk);
            let (_, again) = try_open(&disk).unwrap_or_else(|fault| panic!("{operations}, {crash:?}: {fault}"));
            assert_eq!(again, Recovered { last: recovered.last, torn: None }, "{operations}, {crash:?}");
        }
        if last_acknowledged == complete {
            break;
        }
        operations += 1;
    }
    assert!(operations > 60, "{operations} operations");
}
