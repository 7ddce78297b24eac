use std::collections::BTreeSet;

use engine::{Engine, Entry, Fact};
use journal::{Fault, FileJournal, Journal, Reader};
use types::{Origin, Seq, Span, Timestamp};

use crate::checker::{Answered, Checker, Violation};
use crate::clients::Clients;
use crate::process::{self, Process};
use crate::{Crash, Rng, SimDisk, Trouble};

/// One run of everything, from one seed.
#[derive(Debug)]
pub struct World {
    seed: u64,
    step: u32,
    rng: Rng,
    crashes: Vec<Crash>,
    disk: SimDisk,
    now: Timestamp,
    clients: Clients,
    checker: Checker,
    /// What the engine held that was killed last, and what a start must find again if no entry was lost.
    left: Option<Held>,
    /// The process before this one stopped properly.
    stopped: bool,
    summary: Summary,
}

/// What a run went through.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// The kinds of entries, and the statuses that payments had.
    pub kinds: BTreeSet<&'static str>,
    /// Answers that clients got.
    pub answers: usize,
    /// Entries at the end.
    pub entries: u64,
    /// Times the machine crashed.
    pub crashes: u32,
    /// Times the process was killed.
    pub kills: u32,
    /// Times it stopped properly.
    pub stops: u32,
    /// Writes and syncs that failed.
    pub failures: u32,
    /// Segments of the journal at the end.
    pub segments: usize,
    /// Starts that found fewer entries than the engine had made.
    pub losses: u32,
}

/// What can be seen of an engine from outside: the last entry, its clock, what is due next, what the windows hold.
type Held = (Seq, Timestamp, Option<Timestamp>, (u64, u64));

/// A step that did not work: the process is dead, or the checker found something.
enum Stumble {
    Fault(Fault),
    Broken(String),
}

impl From<Fault> for Stumble {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl World {
    /// The world of this seed. Its machine crashes in these ways.
    pub fn new(seed: u64, crashes: &[Crash]) -> Self {
        Self {
            seed,
            step: 0,
            rng: Rng::new(seed),
            crashes: crashes.to_vec(),
            disk: SimDisk::default(),
            now: Timestamp::from_ns(1_795_000_000_000_000_000),
            clients: Clients::default(),
            checker: Checker::default(),
            left: None,
            stopped: false,
            summary: Summary::default(),
        }
    }

    /// Goes so many steps, stops properly, and checks a last time. `wrap` may spoil the journal.
    ///
    /// # Errors
    /// What the checker found.
    pub fn run<J: Journal>(
        mut self,
        steps: u32,
        wrap: impl Fn(FileJournal<SimDisk>) -> J,
    ) -> Result<Summary, Violation> {
        let mut running = None;
        while self.step < steps {
            self.step += 1;
            running = self.go_on(running, &wrap).map_err(|what| self.violation(what))?;
        }
        if let Some(process) = running {
            self.stop(process).map_err(|what| self.violation(what))?;
        }
        self.disk.relieve();
        self.start(&wrap).map_err(|what| self.violation(what))?;
        self.summary.answers = self.checker.answers();
        Ok(self.summary)
    }

    fn violation(&self, what: String) -> Violation {
        Violation { seed: self.seed, step: self.step, what }
    }

    /// One step; afterwards the process runs, or does not any more.
    fn go_on<J: Journal>(
        &mut self,
        running: Option<Process<J>>,
        wrap: &impl Fn(FileJournal<SimDisk>) -> J,
    ) -> Result<Option<Process<J>>, String> {
        self.pass_time();
        let Some(mut process) = running else { return self.start(wrap) };
        match self.rng.below(300) {
            0..2 => {
                self.stop(process)?;
                return Ok(None);
            }
            2..5 => {
                self.end(&process);
                return Ok(None);
            }
            5 => self.make_trouble(),
            _ => match self.drive(&mut process) {
                Ok(()) => {}
                Err(Stumble::Broken(what)) => return Err(what),
                Err(Stumble::Fault(Fault::Io { .. } | Fault::Poisoned(_))) => {
                    self.summary.failures += 1;
                    self.end(&process);
                    return Ok(None);
                }
                Err(Stumble::Fault(fault)) => return Err(format!("SIM-6: {fault}")),
            },
        }
        Ok(Some(process))
    }

    /// Mostly a little; sometimes long enough for timeouts and deadlines; now and then backwards.
    fn pass_time(&mut self) {
        let ns = match self.rng.below(100) {
            0 => {
                let back = Span::from_ns(self.rng.below(2_000_000_000));
                self.now = self.now.checked_sub(back).unwrap_or_default();
                return;
            }
            1..4 => self.rng.below(100_000_000_000),
            4..20 => 0,
            _ => self.rng.below(10_000_000),
        };
        self.now = self.now.saturating_add(Span::from_ns(ns));
    }

    fn make_trouble(&mut self) {
        let trouble = *self.rng.pick(&[Trouble::Write, Trouble::Sync, Trouble::NoSpace, Trouble::PowerLoss]);
        self.disk.trouble(trouble, u32::try_from(self.rng.below(6)).unwrap_or(0));
    }

    /// One of the things that the threads of a server do.
    fn drive<J: Journal>(&mut self, process: &mut Process<J>) -> Result<(), Stumble> {
        match self.rng.below(100) {
            0..40 => {
                let (number, request) = self.clients.ask(&mut self.rng);
                // A client whom a full queue turned away may come again.
                let _taken = process.offer(number, request);
            }
            40..55 => process.decide(self.now, self.rng.place(8)),
            55..65 => process.take(),
            65..80 => process.append()?,
            80..88 => process.sync()?,
            88..95 => {
                let answered = process.release();
                self.answered(answered);
            }
            95..97 => process.journal.mark()?,
            _ => self.read(process)?,
        }
        Ok(())
    }

    fn answered(&mut self, answered: Vec<Answered>) {
        for Answered { number, seq, answer } in answered {
            self.clients.hear(&answer);
            self.checker.answered(self.clients.request(number), seq, answer);
        }
    }

    /// Somebody reads the journal while it is written.
    fn read<J: Journal>(&mut self, process: &Process<J>) -> Result<(), Stumble> {
        let reader = process.journal.reader();
        let durable = reader.durable();
        let from = Seq::new(self.rng.below(durable.get() + 2));
        let entries = reader.read(from)?;
        let seqs = entries.iter().map(|entry| entry.header.seq.get());
        let first = from.get().max(1);
        let in_order = seqs.clone().eq((first..).take(entries.len()));
        if !in_order || entries.is_empty() != (first > durable.get()) || seqs.max() > Some(durable.get()) {
            return Err(Stumble::Broken(format!("SIM-1: reading from {from} gave {} entries", entries.len())));
        }
        self.checker.read(entries);
        Ok(())
    }

    /// Opens the journal, checks all that is in it, and begins to serve.
    fn start<J: Journal>(&mut self, wrap: &impl Fn(FileJournal<SimDisk>) -> J) -> Result<Option<Process<J>>, String> {
        let origin = Origin::new(u128::from(self.rng.next()) + 1);
        let mut opened = match process::open(&self.disk, origin) {
            Ok(opened) => opened,
            // Starting can fail half-way as well; the next one must find its way.
            Err(Fault::Io { .. }) => {
                self.summary.failures += 1;
                self.power();
                return Ok(None);
            }
            Err(fault) => return Err(format!("SIM-6: {fault}")),
        };
        if let (true, Some(torn)) = (std::mem::take(&mut self.stopped), &opened.torn) {
            return Err(format!("SIM-6: after a proper stop there is {torn:?}"));
        }
        self.checker.check(&opened.entries, &mut opened.engine)?;
        self.check_held(&opened.engine)?;
        self.summary.kinds.extend(opened.entries.iter().flat_map(kinds));
        self.summary.entries = opened.engine.applied().get();
        self.summary.segments = self.disk.segments();
        let mut process = Process::new(opened.engine, wrap(opened.journal));
        match process.start(self.now) {
            Ok(()) => Ok(Some(process)),
            Err(_) => {
                self.end(&process);
                Ok(None)
            }
        }
    }

    /// SIM-5 across a start.
    fn check_held(&mut self, engine: &Engine) -> Result<(), String> {
        let Some(left) = self.left.take() else { return Ok(()) };
        if engine.applied() < left.0 {
            self.summary.losses += 1;
            return Ok(());
        }
        let found = held(engine);
        if found == left { Ok(()) } else { Err(format!("SIM-5: the engine held {left:?}, replayed {found:?}")) }
    }

    /// The process ends without warning.
    fn end<J: Journal>(&mut self, process: &Process<J>) {
        self.left = Some(held(process.engine()));
        self.power();
    }

    /// The process is gone; now and then the machine goes down with it. The next start may meet trouble of its own.
    fn power(&mut self) {
        if self.rng.percent(60) {
            self.summary.crashes += 1;
            let crash = *self.rng.pick(&self.crashes);
            self.disk.crash(crash, &mut self.rng);
        } else {
            self.summary.kills += 1;
            self.disk.restart(self.rng.percent(50));
        }
        if self.rng.percent(20) {
            self.make_trouble();
        }
    }

    /// A proper stop: what waits is decided, and the mark covers everything.
    fn stop<J: Journal>(&mut self, mut process: Process<J>) -> Result<(), String> {
        match process.drain(self.now) {
            Ok(answered) => {
                self.summary.stops += 1;
                self.left = Some(held(process.engine()));
                self.stopped = true;
                self.answered(answered);
                self.disk.restart(true);
                Ok(())
            }
            Err(Fault::Io { .. } | Fault::Poisoned(_)) => {
                self.summary.failures += 1;
                self.end(&process);
                Ok(())
            }
            Err(fault) => Err(format!("SIM-6: {fault}")),
        }
    }
}

fn kinds(entry: &Entry) -> impl Iterator<Item = &'static str> {
    let status = match &entry.fact {
        Fact::PaymentDecided(decided) => Some(decided.status.name()),
        Fact::PaymentChanged(changed) => Some(changed.status.name()),
        Fact::JournalStarted { .. }
        | Fact::JournalContinued { .. }
        | Fact::Ledger(_)
        | Fact::LabelRecorded(_)
        | Fact::ArtifactStored(_)
        | Fact::PolicyActivated(_)
        | Fact::ApiKeyAdded(_)
        | Fact::StateDigest(_) => None,
    };
    [journal::kind_name(entry)].into_iter().chain(status)
}

fn held(engine: &Engine) -> Held {
    (engine.applied(), engine.clock(), engine.next_due(), engine.window_sizes())
}
