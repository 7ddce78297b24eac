//! One simulated run: clients, network, clocks, disk and process, all driven by one seed.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use engine::Engine;
use features::{RestoredRecord, StreamBounds, StreamId};
use journal::{Fault, Reader as _};
use pipeline::{Reading, Step};
use types::{Seq, Span, Timestamp, Token};

use crate::checker::{Checker, Violation};
use crate::clients::{Clients, Kind};
use crate::coverage::{Coverage, FaultKind, When};
use crate::edge::Failure;
use crate::network::Network;
use crate::plants::Plant;
use crate::process::{self, Answered, Death, LookedUp, Machine, Process, StepError};
use crate::sim_disk::Rot;
use crate::{Crash, Rng};

mod faults;

/// Minimum number of requests in every run.
pub const REQUESTS_MIN: usize = 1_000;
/// Minimum number of machine crashes in every run.
pub const CRASHES_MIN: u32 = 3;
/// The reason with which a process ends when its engine could not read the index.
const UNWOUND: &str = "the index cannot be read";
/// The usual free space on the disk.
const ROOM_BYTES: u64 = 1 << 30;

/// One simulated run from one seed.
#[derive(Debug)]
pub struct World {
    seed: u64,
    step: u32,
    rng: Rng,
    crashes: Vec<Crash>,
    plant: Option<Plant>,
    machine: Machine,
    /// The wall clock. Operators and faults can change it.
    wall: Timestamp,
    /// The monotonic clock.
    passed: Span,
    /// Free bytes on the disk, as the server measures them.
    free_bytes: u64,
    clients: Clients,
    /// Requests in transit, by number.
    requests: Network<usize>,
    /// Replies in transit, by the number of their request.
    replies: Network<usize>,
    checker: Checker,
    /// The state of the engine that ended last. If no entry was lost, the next start must restore the same state.
    left: Option<Held>,
    /// Whether the previous process stopped properly.
    stopped: bool,
    /// A flipped bit that is not repaired yet.
    rot: Option<(Rot, FaultKind)>,
    /// Whether syncs take seconds.
    slow_disk: bool,
    /// The number of requests after which the next crash comes at the latest.
    crash_at: usize,
    /// The number of segments before the last step.
    segments: usize,
    /// Clients send no new requests before this step.
    quiet_until: u32,
    /// Whether index files were damaged while the process runs.
    bad_index: bool,
    summary: Summary,
}

/// What happened in a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// The kinds of entries and the payment statuses that occurred.
    pub kinds: BTreeSet<&'static str>,
    /// Requests that clients sent.
    pub requests: usize,
    /// Answers that clients received.
    pub answers: usize,
    /// Entries at the end of the run.
    pub entries: u64,
    /// How often the machine crashed.
    pub crashes: u32,
    /// How often the process was killed.
    pub kills: u32,
    /// How often the process stopped properly.
    pub stops: u32,
    /// Starts and runs that ended because the disk failed.
    pub failures: u32,
    /// Segments of the journal at the end of the run.
    pub segments: usize,
    /// Starts that found fewer entries than the engine had made.
    pub losses: u32,
    /// Flipped bits that a start or a reader detected.
    pub damages: u32,
    /// Starts that began from the tables of an index.
    pub restores: u32,
    /// Which faults occurred in which states.
    pub coverage: Coverage,
}

/// The state of an engine that is visible from outside: the last entry, its clock, what is due next, and the contents
/// of the windows.
type Held = (Seq, Timestamp, Option<Timestamp>, Vec<StreamBounds>, Vec<(StreamId, Token, RestoredRecord)>);

impl World {
    /// Creates the world of this seed. Its machine crashes in the given ways.
    pub fn new(seed: u64, crashes: &[Crash]) -> Self {
        let mut rng = Rng::new(seed);
        Self {
            seed,
            step: 0,
            crash_at: 100 + rng.place(150),
            rng,
            crashes: crashes.to_vec(),
            plant: None,
            machine: Machine::default(),
            wall: Timestamp::from_ns(1_795_000_000_000_000_000),
            passed: Span::ZERO,
            free_bytes: ROOM_BYTES,
            clients: Clients::default(),
            requests: Network::default(),
            replies: Network::default(),
            checker: Checker::default(),
            left: None,
            stopped: false,
            rot: None,
            slow_disk: false,
            segments: 0,
            quiet_until: 0,
            bad_index: false,
            summary: Summary::default(),
        }
    }

    /// Adds a bug to this world that the checker must find.
    #[must_use]
    pub fn with(mut self, plant: Plant) -> Self {
        self.plant = Some(plant);
        if plant == Plant::SkipsSync {
            self.machine.disk.skip_one_sync_of(4);
        }
        self
    }

    /// Runs until there were enough requests of every kind and enough crashes. Then stops the process properly and
    /// checks everything a last time.
    ///
    /// # Errors
    /// Returns the violation that the checker found. A panic in the code under test counts as a violation.
    pub fn run(mut self) -> Result<Summary, Violation> {
        let ran = catch_unwind(AssertUnwindSafe(|| self.run_to_the_end()));
        let (seed, step) = (self.seed, self.step);
        match ran {
            Ok(Ok(())) => Ok(self.summary),
            Ok(Err(what)) => Err(Violation { seed, step, what }),
            Err(panic) => Err(Violation { seed, step, what: format!("SIM-0: a panic: {}", message(&*panic)) }),
        }
    }

    fn run_to_the_end(&mut self) -> Result<(), String> {
        let mut running = None;
        while !self.is_enough() {
            self.step += 1;
            if self.step > 60_000 {
                return Err("SIM-0: the run did not finish within 60,000 steps".to_owned());
            }
            running = self.go_on(running)?;
        }
        self.machine.disk.relieve();
        if let Some(process) = running {
            self.stop(*process)?;
        }
        self.mend();
        let process = loop {
            // The damage that this start finds is repaired before the next start.
            self.machine.disk.relieve();
            if let Some(process) = self.start()? {
                break process;
            }
        };
        self.summary.kinds.extend(&self.checker.kinds);
        self.summary.entries = process.engine().applied().get();
        self.summary.segments = self.machine.disk.segments();
        Ok(())
    }

    /// Reads both clocks.
    fn reading(&self) -> Reading {
        Reading { wall: self.wall, monotonic: self.passed, is_synchronised: false }
    }

    fn is_enough(&self) -> bool {
        self.summary.requests >= REQUESTS_MIN
            && self.summary.crashes >= CRASHES_MIN
            && Kind::ALL.iter().all(|kind| self.clients.kinds.contains_key(kind))
    }

    /// Performs one step, and returns the process if it is still running.
    fn go_on(&mut self, running: Option<Box<Process>>) -> Result<Option<Box<Process>>, String> {
        self.pass_time(running.as_deref());
        let Some(mut process) = running else { return self.start() };
        self.operate(&mut process);
        if self.summary.requests >= self.crash_at {
            self.crash_at += 200 + self.rng.place(130);
            self.end(&process, true);
            return Ok(None);
        }
        match self.rng.below(4_000) {
            0..3 => {
                self.stop(*process)?;
                return Ok(None);
            }
            3..9 => {
                self.end(&process, false);
                return Ok(None);
            }
            9..19 => self.make_trouble(),
            19..23 => self.turn_a_bit_while_running(&mut process)?,
            _ => match self.drive(&mut process) {
                Ok(()) => {}
                Err(StepError::Died(death)) => {
                    self.die(&process, &death)?;
                    return Ok(None);
                }
                Err(StepError::Violated(what)) => return Err(what),
            },
        }
        Ok(Some(process))
    }

    /// Performs one randomly chosen action of the server's threads or its clients.
    fn drive(&mut self, process: &mut Process) -> Result<(), StepError> {
        self.segments = self.machine.disk.segments();
        if self.rng.below(400) == 0 {
            self.quiet_until = self.step + 150;
        }
        let is_quiet = self.step < self.quiet_until;
        match self.rng.below(100) {
            0..16 if is_quiet => {}
            0..16 => {
                let number = self.clients.ask(self.wall, &mut self.rng);
                self.send(number, process);
            }
            16..40 => {
                if let Some(number) = self.requests.arrive(self.passed, &mut self.rng) {
                    self.summary.requests += 1;
                    // A client whose request is rejected, because of a problem or a full queue, may try again.
                    if let Ok(Some(looked_up)) = process.offer(number, self.clients.sent(number)) {
                        self.looked_up(process, number, &looked_up)?;
                    }
                }
            }
            40..56 => {
                let events = self.rng.place(10);
                if !self.decide(process, events)? {
                    return Err(Death::Journal(Fault::Poisoned(UNWOUND.to_owned())).into());
                }
                if self.rng.percent(20) {
                    process.write_at_once(self.passed)?;
                }
            }
            56..62 => process.commit(self.passed)?,
            62..68 => process.take(),
            68..87 => {
                if process.next_step(self.passed).is_some_and(|step| step != Step::Index) {
                    self.wait_for_the_disk(process);
                }
                process.step(self.passed)?;
            }
            87..93 => {
                let answered = process.release();
                self.answered(process, answered)?;
            }
            93..95 => process.mark_in_time(self.passed)?,
            95..97 => while self.replies.arrive(self.passed, &mut self.rng).is_some() {},
            97..99 => {
                process.shared.index.work().map_err(Death::from)?;
                // When the disk is full, the index waits for space; the process does not end.
                let struck = self.machine.disk.struck();
                self.count_struck(struck, When::Sealing);
            }
            _ => self.read(process)?,
        }
        Ok(())
    }

    /// Sends a request, sometimes twice. Its client may disconnect and reconnect.
    fn send(&mut self, number: usize, process: &Process) {
        self.requests.send(self.passed, number, &mut self.rng);
        let when = self.when(process);
        if self.rng.percent(6) {
            self.summary.coverage.count(FaultKind::Duplicate, when);
            self.requests.send(self.passed, number, &mut self.rng);
        }
        if self.rng.percent(4) {
            self.summary.coverage.count(FaultKind::Vanished, when);
            self.requests.send(self.passed.saturating_add(Span::from_secs(2)), number, &mut self.rng);
        }
    }

    /// Runs one step of the engine. Returns false if the engine panicked because it could not read the index.
    fn decide(&mut self, process: &mut Process, events: usize) -> Result<bool, String> {
        let now = process.observe(self.reading(), self.free_bytes);
        let decided = catch_unwind(AssertUnwindSafe(|| process.decide(now, events)));
        let Some(batch) = (match decided {
            Ok(decided) => decided,
            // The engine must not decide when it cannot read the history that it needs.
            Err(panic) if self.is_of_the_index(&*panic) => return Ok(false),
            Err(panic) => std::panic::resume_unwind(panic),
        }) else {
            return Ok(true);
        };
        let is_whole = !batch.is_cut;
        self.checker.decided(now, batch)?;
        if !is_whole {
            return if self.bad_index { Ok(false) } else { Err("SIM-3: a request gets no answer".to_owned()) };
        }
        if self.plant == Some(Plant::AnswersReadsEarly) {
            let answered = process.hasty_reads();
            self.answered(process, answered)?;
        }
        Ok(true)
    }

    /// Whether the engine stopped because it cannot read the history that it needs. The next start rebuilds the index.
    fn is_of_the_index(&self, panic: &(dyn std::any::Any + Send)) -> bool {
        let told = message(panic);
        self.bad_index && (told.is_empty() || told.starts_with("cannot look"))
    }

    fn answered(&mut self, process: &Process, answered: Vec<Answered>) -> Result<(), String> {
        for Answered { number, seq, answer, over } in answered {
            self.checker.told(seq);
            self.summary.answers += 1;
            match &over {
                // If data is damaged or cannot be read now, the client receives that error instead of an answer.
                Some((_, Err(Failure::Unread(fault)))) if self.is_excused(fault) => {}
                Some((exchange, over)) => exchange.check(over)?,
                None => {}
            }
            if self.rng.percent(5) {
                let when = self.when(process);
                self.summary.coverage.count(FaultKind::LostReply, when);
                self.requests.send(self.passed.saturating_add(Span::from_secs(1)), number, &mut self.rng);
            } else {
                self.clients.hear(&answer);
                self.replies.send(self.passed, number, &mut self.rng);
            }
        }
        Ok(())
    }

    fn looked_up(&mut self, process: &Process, number: usize, looked_up: &LookedUp) -> Result<(), String> {
        self.summary.answers += 1;
        let is_excused = match &looked_up.result {
            Err(Failure::Unread(fault)) => self.is_excused(fault),
            Err(Failure::NoIndex(index::Fault::Io { .. })) => true,
            Err(Failure::NoIndex(_)) => self.bad_index,
            Ok(_) | Err(Failure::Problem(_) | Failure::Internal(_)) => false,
        };
        if !is_excused {
            self.checker.looked_up(looked_up, &process.shared)?;
        }
        match self.checker.search(&process.shared.index, looked_up.through) {
            Ok(checked) => checked?,
            Err(index::Fault::Io { .. }) => {}
            Err(_) if self.bad_index => {}
            Err(fault) => return Err(format!("SIM-10: {fault}")),
        }
        self.replies.send(self.passed, number, &mut self.rng);
        Ok(())
    }

    /// Whether this world caused the fault.
    fn is_excused(&self, fault: &Fault) -> bool {
        match fault {
            Fault::Io { .. } | Fault::Poisoned(_) => true,
            Fault::Damaged { .. }
            | Fault::Undecodable { .. }
            | Fault::FormatVersion { .. }
            | Fault::OtherShard { .. }
            | Fault::StateDiffers { .. }
            | Fault::Fenced { .. } => self.rot.is_some(),
        }
    }

    /// Reads the journal while it is being written.
    fn read(&mut self, process: &Process) -> Result<(), String> {
        let reader = journal::SegmentStore::segments(process.journal());
        let durable = reader.durable();
        let from = Seq::new(self.rng.below(durable.get() + 2));
        let entries = match reader.read(from) {
            Ok(entries) => entries,
            Err(fault) if self.is_excused(&fault) => return Ok(()),
            Err(fault) => return Err(format!("SIM-6: {fault}")),
        };
        let seqs = entries.iter().map(|entry| entry.header.seq.get());
        let first = from.get().max(1);
        let in_order = seqs.clone().eq((first..).take(entries.len()));
        if !in_order || entries.is_empty() != (first > durable.get()) || seqs.max() > Some(durable.get()) {
            return Err(format!("SIM-1: reading from {from} gave {} entries", entries.len()));
        }
        self.checker.read(&entries)
    }

    /// Opens everything, checks its contents, and starts serving.
    fn start(&mut self) -> Result<Option<Box<Process>>, String> {
        self.requests.cut();
        self.replies.cut();
        self.rot_before_a_start();
        let opened = process::open(&self.machine, &mut self.rng);
        let struck = self.machine.disk.struck();
        let mut opened = match opened {
            Ok(opened) => opened,
            // A start can also fail half-way. The next start must still succeed.
            Err(death) if death.is_of_the_disk() => {
                self.count_struck(struck, When::Starting);
                self.summary.failures += 1;
                self.power(false);
                self.machine.disk.relieve();
                return Ok(None);
            }
            Err(death) => {
                self.damaged(&death)?;
                return Ok(None);
            }
        };
        if let (true, true, Some(torn)) = (std::mem::take(&mut self.stopped), self.rot.is_none(), &opened.torn) {
            return Err(format!("SIM-6: after a proper stop there is {torn:?}"));
        }
        if let (Some(Plant::DropsChainCheck), Some(lost)) = (self.plant, self.checker.lost.take()) {
            opened.accept(&lost)?;
        }
        let entries = match opened.entries() {
            Ok(entries) => entries,
            Err(fault) if self.is_excused(&fault) => {
                // A reader found this damage. The start did not, because it began after the damaged place.
                self.machine.disk.relieve();
                self.found(&fault);
                opened.entries().map_err(|fault| format!("SIM-6: {fault}"))?
            }
            Err(fault) => return Err(format!("SIM-6: {fault}")),
        };
        self.settle();
        self.machine.disk.relieve();
        if opened.index.sealed() > Seq::ZERO {
            self.summary.restores += 1;
        }
        if self.plant == Some(Plant::AppliesTwice) {
            opened.fold_again(&entries);
        }
        let check = || self.checker.check(&entries, &mut opened.engine, &mut self.rng);
        let is_lost = match catch_unwind(AssertUnwindSafe(check)) {
            Ok(checked) => checked?,
            Err(panic) if self.is_of_the_index(&*panic) => {
                // The losses are known by now, and the same entries cannot be lost again.
                self.left = None;
                self.power(false);
                return Ok(None);
            }
            Err(panic) => std::panic::resume_unwind(panic),
        };
        self.summary.losses += u32::from(is_lost);
        self.check_held(&opened.engine, is_lost)?;
        opened.check_keys(&entries)?;
        let mut process = Process::new(opened, self.reading());
        let now = process.observe(self.reading(), self.free_bytes);
        match process.begin(now) {
            Ok(begun) => {
                if let Some(batch) = begun {
                    self.checker.decided(now, batch)?;
                }
                Ok(Some(Box::new(process)))
            }
            Err(death) => {
                self.die(&process, &death)?;
                Ok(None)
            }
        }
    }

    /// Checks SIM-5 across a start.
    fn check_held(&mut self, engine: &Engine, is_lost: bool) -> Result<(), String> {
        let Some(left) = self.left.take().filter(|_| !is_lost) else { return Ok(()) };
        let found = held(engine);
        if found == left { Ok(()) } else { Err(format!("SIM-5: the engine held {left:?}, a start found {found:?}")) }
    }

    /// Stops the process properly: it decides all waiting requests, and the mark covers everything.
    fn stop(&mut self, mut process: Process) -> Result<(), String> {
        let now = process.observe(self.reading(), self.free_bytes);
        let checker = &mut self.checker;
        match process.drain((now, self.passed), |batch| checker.decided(now, batch)) {
            Ok(answered) => {
                self.summary.stops += 1;
                self.left = Some(held(process.engine()));
                self.answered(&process, answered)?;
                self.stopped = true;
                self.machine.disk.restart(true);
                Ok(())
            }
            Err(StepError::Died(death)) => self.die(&process, &death),
            Err(StepError::Violated(what)) => Err(what),
        }
    }
}

fn held(engine: &Engine) -> Held {
    let bounds: Vec<StreamBounds> = engine.windows().bounds().collect();
    let of_stream = |bounds: &StreamBounds| {
        let stream = bounds.stream;
        engine.windows().all(stream).map(move |(entity, record)| (stream, entity, record))
    };
    let mut records: Vec<_> = bounds.iter().flat_map(of_stream).collect();
    records.sort_unstable_by_key(|(stream, entity, record)| (*stream, *entity, record.key));
    (engine.applied(), engine.clock(), engine.next_due(), bounds, records)
}

fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
}
