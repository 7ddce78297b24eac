//! Following the log: every follower gets each entry once and in order; entries are decoded once for all, within
//! bounds.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::Arc;

use disk::Directory;
use engine::{DecisionForm, Entry, Fact, PaymentChanged, PaymentDecided, PaymentStatus, PolicyActivated, Verb};
use journal::{
    ContextSource, DurableLog as _, EntryInContext, EntryRun, Fault, FileJournal, FileReader, Follower, Followers,
    Frame, Look, RunBounds, Tail, TailBounds,
};
use ledger::{Assets, Book};
use proptest::collection::vec;
use proptest::prelude::*;
use types::{Amount, Asset, Digest, LedgerId, PaymentId, Seq, Timestamp};

use crate::support::{Folder, chunk, frame, header, small, small_frame};

/// Ledger 1 uses dollars, ledger 2 euros; entry 7 activated a policy. Records which policies were asked for.
#[derive(Debug, Default)]
struct Source {
    policies_asked: RefCell<Vec<u64>>,
}

fn policy() -> PolicyActivated {
    PolicyActivated {
        artifact: Digest::default(),
        name: "retail".parse().unwrap(),
        features: Vec::new(),
        models: Vec::new(),
        lists: Vec::new(),
        streams: Vec::new(),
        ledger_facts: Vec::new(),
    }
}

fn asset(text: &str) -> Asset {
    text.parse().unwrap()
}

impl ContextSource for Source {
    fn assets(&self) -> Arc<Assets> {
        let book = |id, text| Book { id: LedgerId::new(id), asset: asset(text), opened_at: Timestamp::ZERO };
        Arc::new(Assets::new(&[book(1, "USD/2"), book(2, "EUR/2")]))
    }

    fn policy(&self, activated: Seq) -> Result<Option<Arc<PolicyActivated>>, Fault> {
        self.policies_asked.borrow_mut().push(activated.get());
        Ok((activated == Seq::new(7)).then(|| Arc::new(policy())))
    }
}

fn bounds(recent: usize, older: usize) -> TailBounds {
    let bounds = |entries| RunBounds { entries, bytes: usize::MAX };
    TailBounds { recent: bounds(recent), older: bounds(older) }
}

/// A growing journal, and followers that share a tail. A read that has begun stays in progress until the test ends it.
struct World {
    _folder: Folder,
    journal: FileJournal<Directory>,
    reader: FileReader<Directory>,
    tail: Tail<Seq>,
    bounds: TailBounds,
    followers: Vec<Follower>,
    reads: VecDeque<Seq>,
    reads_done: u64,
    frames_written: u64,
    frames_decoded: u64,
    last: u64,
}

impl World {
    fn new(bounds: TailBounds) -> Self {
        let folder = Folder::new();
        let journal = folder.open().journal;
        let reader = journal.reader();
        Self {
            _folder: folder,
            journal,
            reader,
            tail: Tail::new(bounds),
            bounds,
            followers: Vec::new(),
            reads: VecDeque::new(),
            reads_done: 0,
            frames_written: 0,
            frames_decoded: 0,
            last: 0,
        }
    }

    fn write(&mut self, frame: &Frame) {
        self.journal.append(frame).unwrap();
        self.journal.sync().unwrap();
        self.last = frame.last().get();
        self.frames_written += 1;
    }

    fn write_small(&mut self, count: u64) {
        self.write(&small_frame(self.last + 1, count));
    }

    fn join(&mut self, after: u64) -> usize {
        self.followers.push(Follower::after(Seq::new(after)));
        self.followers.len() - 1
    }

    /// Lets a follower take entries until it has this many, reaches the end or must wait for a read; returns the number
    /// taken.
    fn take(&mut self, follower: usize, most: usize) -> usize {
        for taken in 0..most {
            let follower = &mut self.followers[follower];
            let wanted = follower.wanted();
            if follower.wants_run() {
                if wanted.get() > self.last {
                    return taken;
                }
                match self.tail.look(wanted) {
                    Look::Found(run) => follower.enter(run),
                    Look::Wait(read) => {
                        assert_eq!(read, wanted);
                        return taken;
                    }
                    Look::Read => {
                        self.tail.begin(wanted, wanted);
                        self.reads.push_back(wanted);
                        return taken;
                    }
                }
            }
            let given = follower.take().expect("it entered a run that holds it");
            // TAL-1: every entry once, in order, as it was written.
            assert_eq!(given.entry.header.seq, wanted);
            assert_eq!(follower.given(), wanted);
        }
        most
    }

    /// Ends the oldest read.
    fn finish_read(&mut self) {
        let Some(wanted) = self.reads.pop_front() else { return };
        let decoded = self.reader.runs(wanted, 1_000, &Source::default()).unwrap();
        let run = decoded.runs.iter().find(|run| run.get(wanted).is_some()).expect("a durable entry is read");
        for follower in &mut self.followers {
            if follower.wants_run() && follower.wanted() == wanted {
                follower.enter(Arc::clone(run));
            }
        }
        self.frames_decoded += decoded.frames;
        self.reads_done += 1;
        self.tail.keep(decoded.runs);
        self.tail.end(wanted, |read| *read == wanted);
        let (entries, _) = self.tail.kept();
        assert!(
            entries <= self.bounds.recent.entries.saturating_add(self.bounds.older.entries),
            "{entries} entries are kept"
        );
    }

    /// Lets a follower take all entries.
    fn take_all(&mut self, follower: usize) {
        while self.followers[follower].wanted().get() <= self.last {
            if self.take(follower, usize::MAX) == 0 {
                self.finish_read();
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn followers_get_every_entry_once_in_order(
        (recent, older) in (0..400_usize, 0..400_usize),
        starts in vec(any::<prop::sample::Index>(), 1..5),
        steps in vec((0..8_u8, any::<prop::sample::Index>(), 1..200_u8), 1..60),
    ) {
        let mut world = World::new(bounds(recent, older));
        world.write_small(200);
        for start in &starts {
            world.join(start.index(201) as u64);
        }
        for (what, which, count) in steps {
            match what {
                0 => world.write_small(1),
                1 => world.write_small(u64::from(count)),
                2 | 3 => world.finish_read(),
                _ => drop(world.take(which.index(starts.len()), usize::from(count))),
            }
        }
        for follower in 0..starts.len() {
            world.take_all(follower);
            prop_assert_eq!(world.followers[follower].lag_entries(Seq::new(world.last)), 0);
        }
    }
}

#[test]
fn frames_are_decoded_once_for_all_followers_that_keep_up() {
    let mut world = World::new(TailBounds::STANDARD);
    world.write_small(300);
    for _ in 0..50 {
        world.join(0);
    }
    for count in [1, 1, 40, 500, 1, 3] {
        world.write_small(count);
        for follower in 0..50 {
            world.take_all(follower);
        }
    }
    assert_eq!(world.frames_decoded, world.frames_written);
    assert_eq!(world.reads_done, 6, "one read per new frame group");
}

#[test]
fn followers_far_behind_read_dropped_entries_again_and_share_them() {
    let mut world = World::new(bounds(256, 1_024));
    let slow = [world.join(0), world.join(0)];
    let fast = world.join(0);
    world.write_small(10);
    for follower in [slow[0], slow[1], fast] {
        while world.take(follower, 5) < 5 {
            world.finish_read();
        }
    }
    for _ in 0..20 {
        world.write_small(100);
        world.take_all(fast);
    }
    assert_eq!(world.frames_decoded, 21);
    assert_eq!(world.followers[slow[0]].lag_entries(Seq::new(world.last)), 2_005);
    let reads_before = world.reads_done;
    while slow.iter().any(|&follower| world.followers[follower].wanted().get() <= world.last) {
        if world.take(slow[0], 50) + world.take(slow[1], 70) == 0 {
            world.finish_read();
        }
    }
    assert_eq!((world.frames_decoded, world.reads_done - reads_before), (21 + 20, 2), "one read for both");
}

#[test]
fn a_read_without_a_result_is_repeated() {
    let mut world = World::new(TailBounds::STANDARD);
    world.write_small(3);
    let (first, second) = (world.join(0), world.join(0));
    assert_eq!(world.take(first, 1), 0);
    assert_eq!((world.take(second, 1), world.reads.len()), (0, 1), "it waits for the read of the other");
    let wanted = world.reads.pop_front().unwrap();
    world.tail.end(wanted, |_| false);
    assert!(matches!(world.tail.look(wanted), Look::Wait(_)), "another read took the place of the one that ended");
    world.tail.end(wanted, |read| *read == wanted);
    assert_eq!((world.take(second, 1), world.reads.len()), (0, 1), "it begins again");
    world.finish_read();
    assert_eq!((world.take(first, 9), world.take(second, 9)), (3, 3));
}

#[test]
fn a_read_brings_whole_frames_in_short_runs() {
    let mut world = World::new(TailBounds::STANDARD);
    world.write_small(300);
    world.write_small(20);
    let lengths = |runs: &[Arc<EntryRun>]| runs.iter().map(|run| (run.first().get(), run.len())).collect::<Vec<_>>();
    let read = |from, enough| world.reader.runs(Seq::new(from), enough, &Source::default()).unwrap();
    let decoded = read(250, 1);
    assert_eq!((decoded.frames, lengths(&decoded.runs)), (1, vec![(1, 128), (129, 128), (257, 44)]));
    let decoded = read(0, 301);
    assert_eq!((decoded.frames, lengths(&decoded.runs)), (2, vec![(1, 128), (129, 128), (257, 64)]));
    assert_eq!(read(320, 1).frames, 1);
    let decoded = read(321, 1);
    assert_eq!((decoded.frames, decoded.runs.len()), (0, 0), "nothing there is durable");
    let mut world = World::new(TailBounds::STANDARD);
    world.write(&frame(&(1..=4).map(|seq| chunk(seq, 40_000)).collect::<Vec<_>>()));
    let decoded = world.reader.runs(Seq::new(1), 1, &Source::default()).unwrap();
    assert_eq!(lengths(&decoded.runs), [(1, 2), (3, 2)], "a slow follower keeps one run in memory");
    assert!(decoded.runs[0].bytes() > 80_000);
}

#[test]
fn decoded_entries_stay_within_the_byte_bound() {
    let bounds = RunBounds { entries: usize::MAX, bytes: 500_000 };
    let mut world = World::new(TailBounds { recent: bounds, older: bounds });
    let follower = world.join(0);
    for seq in 1..=40 {
        world.write(&frame(&[chunk(seq, 40_000)]));
        world.take_all(follower);
    }
    let (entries, bytes) = world.tail.kept();
    assert!((6..=12).contains(&entries) && bytes <= 500_000, "{entries} entries, {bytes} bytes");
}

#[test]
fn the_lag_is_that_of_the_slowest_remaining_follower() {
    let followers = Followers::default();
    let durable = Seq::new(100);
    assert_eq!(followers.lag_entries(durable), (0, 0));
    let (mut near, far) = (followers.join(Seq::new(90)), followers.join(Seq::new(40)));
    assert_eq!(followers.lag_entries(durable), (2, 60));
    drop(far);
    assert_eq!(followers.lag_entries(durable), (1, 10));
    near.go_to(Seq::new(99));
    assert_eq!((near.wanted(), followers.lag_entries(durable)), (durable, (1, 1)));
    near.go_to(durable);
    assert_eq!(followers.lag_entries(durable), (1, 0));
}

#[test]
#[should_panic(expected = "TAL-1")]
fn a_run_that_skips_an_entry_is_refused() {
    let run = EntryRun::new(vec![small(3), small(4)], 0, &Source::default()).unwrap();
    Follower::after(Seq::new(1)).enter(Arc::new(run));
}

/// A payment in ledger 2, decided by the policy that the entry `policy` activated.
fn decided(seq: u64, policy: u64) -> Entry {
    let decided = PaymentDecided {
        payment: PaymentId::new(1),
        content: Digest::default(),
        policy: Seq::new(policy),
        payment_type: "card".parse().unwrap(),
        ledger: LedgerId::new(2),
        amount: Amount::new(5),
        attributes: Vec::new(),
        verdict: policy::Verdict::Approve,
        score: 0,
        reasons: Vec::new(),
        tags: Vec::new(),
        features: Vec::new(),
        models: Vec::new(),
        lists: Vec::new(),
        late: false,
        status: PaymentStatus::Posted,
        refusal: None,
        capture: engine::CaptureTerms::Immediate,
        deadline: None,
        ledger_facts: Vec::new(),
        updates: Vec::new(),
        accepted_updates: Vec::new(),
        form: DecisionForm::Compact,
    };
    Entry { header: header(seq), fact: Fact::PaymentDecided(Arc::new(decided)), sealed: None }
}

#[test]
fn an_entry_comes_with_what_it_refers_to() {
    let source = Source::default();
    let changed = PaymentChanged {
        payment: PaymentId::new(1),
        cause: engine::Cause::Verb(Verb::Refund),
        portion: engine::Portion::All,
        status: PaymentStatus::Refunded,
        sums: None,
        deadline: None,
        ledger_facts: Vec::new(),
        updates: Vec::new(),
        increment: None,
    };
    let changed = Entry { header: header(13), fact: Fact::PaymentChanged(changed), sealed: None };
    let entries = vec![decided(10, 7), decided(11, 7), decided(12, 3), changed];
    let run = EntryRun::new(entries, 0, &source).unwrap();
    let policy_of = |seq| run.get(Seq::new(seq)).unwrap().context.policy.as_deref().cloned();
    assert_eq!([10, 11, 12, 13].map(policy_of), [Some(policy()), Some(policy()), None, None]);
    assert_eq!(*source.policies_asked.borrow(), [7, 3], "once for all payments that it decided");
    let context = &run.get(Seq::new(10)).unwrap().context;
    assert_eq!(context.assets.of(LedgerId::new(2)), Ok(asset("EUR/2")));
    assert_eq!(context.assets.len(), 1, "no other ledger is named");
    let alone = EntryInContext::of(decided(10, 7), &source).unwrap();
    assert_eq!((&alone.context.assets, alone.context.policy.as_deref()), (&context.assets, Some(&policy())));
    let alone = EntryInContext::of(small(1), &source).unwrap();
    assert_eq!(alone.context.assets.of(LedgerId::new(1)), Ok(asset("USD/2")));
    assert_eq!((alone.context.assets.len(), alone.context.policy), (1, None));
}

#[test]
fn the_last_entry_of_a_copy_follows_from_its_bytes() {
    let mut world = World::new(TailBounds::STANDARD);
    world.write_small(3);
    let first_ends = world.reader.durable_end().unwrap().offset;
    world.write_small(2);
    let end = world.reader.durable_end().unwrap();
    let held = |offset| world.reader.last_before(1, offset).unwrap().get();
    assert_eq!((held(0), held(4096), held(first_ends - 1)), (0, 0, 0));
    assert_eq!((held(first_ends), held(end.offset - 1), held(end.offset)), (3, 3, 5));
}
