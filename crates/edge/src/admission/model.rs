//! A model of a server under load, computed without a clock: one thread runs the tasks of all connections in the order in which
//! they become ready, another one is the engine. Costs, senders and times are made up; what is admitted is not.

use std::collections::{BTreeMap, VecDeque};

use super::*;

const MS: u64 = 1_000_000;
const US: u64 = 1_000;
const WINDOW: u64 = 100 * MS;
const TICK: u64 = 10 * MS;
/// Requests that were sent before are not counted, because the server has to notice the overload first.
const NOTICED: u64 = 2_000 * MS;
/// How long a load is played.
const SECONDS: u64 = 10;

/// What the steps of a request cost, in nanoseconds of the thread that does them.
#[derive(Debug, Clone, Copy)]
struct Costs {
    /// To read the head of a request and to find out who sent it.
    head: u64,
    /// To answer that it is refused.
    refusal: u64,
    /// To read and parse the body of a request that is admitted.
    body: u64,
    /// To send its answer.
    answer: u64,
    engine: u64,
}

impl Costs {
    /// How many requests a second the slower of the two threads can serve.
    fn capacity(self) -> u64 {
        SECOND_NS / (self.head + self.body + self.answer).max(self.engine)
    }
}

/// Clients that send requests at a rate whatever the answers are, each over a connection that has no request in progress.
#[derive(Debug, Clone, Copy)]
struct Sender {
    client: Client,
    /// The quota of its tenant.
    quota: Option<u32>,
    connections: usize,
    per_second: u64,
}

#[derive(Debug, Default)]
struct Outcome {
    /// The latencies of what was accepted and refused.
    accepted: Vec<u64>,
    refused: Vec<u64>,
}

/// The latency that 99 of 100 have at most.
fn p99_ns(latencies: &[u64]) -> u64 {
    let mut sorted = latencies.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len().saturating_sub(1) * 99 / 100).copied().unwrap_or_default()
}

fn p99_ms(latencies: &[u64]) -> u64 {
    p99_ns(latencies) / MS
}

#[derive(Debug, Clone, Copy)]
struct Request {
    sender: usize,
    sent: u64,
}

#[derive(Debug, Clone, Copy)]
enum Task {
    Head(Request),
    Refusal(Request),
    Answer(Request),
    /// Measures how late tasks are.
    Tick(u64),
}

#[derive(Debug, Clone, Copy)]
enum Event {
    Send(usize),
    Ready(Task),
    TaskDone,
    Ask(Request),
    BatchDone,
    Refused(Request),
    Answered(Request),
}

#[derive(Debug)]
struct Model {
    admission: Admission,
    costs: Costs,
    senders: Vec<Sender>,
    free: Vec<usize>,
    outcomes: Vec<Outcome>,
    now: u64,
    events: BTreeMap<(u64, u64), Event>,
    next: u64,
    tasks: VecDeque<Task>,
    is_busy: bool,
    /// What waits for the engine, since when, and what it works on.
    waiting: VecDeque<(u64, Request)>,
    batch: Vec<Request>,
    /// The shortest of this window.
    lag: u64,
    wait: u64,
    window: u64,
    random: u64,
}

impl Model {
    fn new(limits: Limits, costs: Costs, senders: &[Sender]) -> Self {
        let mut model = Self {
            admission: Admission::new(limits),
            costs,
            free: senders.iter().map(|sender| sender.connections).collect(),
            outcomes: senders.iter().map(|_| Outcome::default()).collect(),
            senders: senders.to_vec(),
            now: 0,
            events: BTreeMap::new(),
            next: 0,
            tasks: VecDeque::new(),
            is_busy: false,
            waiting: VecDeque::new(),
            batch: Vec::new(),
            lag: u64::MAX,
            wait: u64::MAX,
            window: 0,
            random: 7,
        };
        (0..senders.len()).for_each(|sender| model.after(0, Event::Send(sender)));
        model.after(TICK, Event::Ready(Task::Tick(TICK)));
        model
    }

    fn after(&mut self, ns: u64, event: Event) {
        self.next += 1;
        self.events.insert((self.now + ns, self.next), event);
    }

    /// The time to the next request: between half and one and a half times the mean.
    fn pause(&mut self, per_second: u64) -> u64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let mean = SECOND_NS / per_second;
        mean / 2 + (self.random >> 33) % mean.max(1)
    }

    fn play(mut self, seconds: u64) -> Vec<Outcome> {
        while let Some(((at, _), event)) = self.events.pop_first() {
            if at > seconds * SECOND_NS {
                break;
            }
            self.now = at;
            self.happen(event);
        }
        self.outcomes
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Send(sender) => {
                let pause = self.pause(self.senders[sender].per_second);
                self.after(pause, Event::Send(sender));
                if self.free[sender] == 0 {
                    return;
                }
                self.free[sender] -= 1;
                self.ready(Task::Head(Request { sender, sent: self.now }));
            }
            Event::Ready(task) => self.ready(task),
            Event::TaskDone => {
                self.is_busy = false;
                self.work();
            }
            Event::Ask(request) => {
                self.waiting.push_back((self.now, request));
                self.decide();
            }
            Event::BatchDone => {
                for request in std::mem::take(&mut self.batch) {
                    self.ready(Task::Answer(request));
                }
                self.decide();
            }
            Event::Refused(request) => self.count(request, false),
            Event::Answered(request) => {
                self.admission.answered(self.senders[request.sender].client.tenant, 1);
                self.count(request, true);
            }
        }
    }

    fn count(&mut self, request: Request, is_accepted: bool) {
        self.free[request.sender] += 1;
        if request.sent >= NOTICED {
            let outcome = &mut self.outcomes[request.sender];
            let latencies = if is_accepted { &mut outcome.accepted } else { &mut outcome.refused };
            latencies.push(self.now - request.sent);
        }
    }

    fn ready(&mut self, task: Task) {
        self.tasks.push_back(task);
        self.work();
    }

    /// The thread of the tasks takes the next one, if it is free.
    fn work(&mut self) {
        if self.is_busy {
            return;
        }
        let Some(task) = self.tasks.pop_front() else { return };
        let Costs { head, refusal, body, answer, .. } = self.costs;
        let cost = match task {
            Task::Head(request) => {
                let Sender { client, quota, .. } = self.senders[request.sender];
                match self.admission.ask(Span::from_ns(self.now), client, 1, quota) {
                    Ok(_) => {
                        self.after(head + body, Event::Ask(request));
                        head + body
                    }
                    Err(found) => {
                        self.after(head + found.late.ns(), Event::Ready(Task::Refusal(request)));
                        head
                    }
                }
            }
            Task::Refusal(request) => {
                self.after(refusal, Event::Refused(request));
                refusal
            }
            Task::Answer(request) => {
                self.after(answer, Event::Answered(request));
                answer
            }
            Task::Tick(due) => {
                self.lag = self.lag.min(self.now - due);
                if self.now - self.window >= WINDOW {
                    self.end_window();
                }
                self.after(TICK, Event::Ready(Task::Tick(self.now + TICK)));
                0
            }
        };
        self.is_busy = true;
        self.after(cost, Event::TaskDone);
    }

    /// The engine takes everything that waits, if it is free.
    fn decide(&mut self) {
        let Some((oldest, _)) = self.waiting.front().copied() else { return };
        if self.batch.is_empty() {
            self.wait = self.wait.min(self.now - oldest);
            self.batch = self.waiting.drain(..).map(|(_, request)| request).collect();
            self.after(self.costs.engine * self.batch.len() as u64, Event::BatchDone);
        }
    }

    fn end_window(&mut self) {
        let waits = if self.wait == u64::MAX { 0 } else { self.wait };
        let length = Span::from_ns(self.now - self.window);
        self.admission.end_window(Span::from_ns(self.now), length, Span::from_ns(self.lag), |_| Span::from_ns(waits));
        (self.window, self.lag, self.wait) = (self.now, u64::MAX, u64::MAX);
    }
}

const fn client(tenant: u32, credential: u64) -> Client {
    Client::of_api_key(TenantId::new(tenant), CredentialId::new(credential))
}

/// Costs where serving a request takes `serving` microseconds of the tasks' thread, and refusing it `percent` of that.
fn costs(serving: u64, percent: u64) -> Costs {
    let part = |percent: u64| serving * US * percent / 100;
    let head = percent * 2 / 3;
    Costs { head: part(head), refusal: part(percent - head), body: part(60 - head), answer: part(40), engine: US }
}

/// Plays twice the capacity, which as many clients share, with so many connections that requests could wait for four seconds.
fn at_twice_the_capacity(limits: Limits, costs: Costs, clients: u64) -> Outcome {
    let (per_second, connections) = (costs.capacity() * 2, costs.capacity() * 4);
    let connections = usize::try_from(connections / clients).unwrap();
    let sender =
        |number| Sender { client: client(1, number), quota: None, connections, per_second: per_second / clients };
    let senders: Vec<_> = (0..clients).map(sender).collect();
    let mut all = Outcome::default();
    for outcome in Model::new(limits, costs, &senders).play(SECONDS) {
        all.accepted.extend(outcome.accepted);
        all.refused.extend(outcome.refused);
    }
    all
}

#[test]
fn at_twice_the_capacity_what_is_accepted_is_answered_in_time_and_without_shedding_it_is_not() {
    let slow_engine = Costs { engine: 1_000 * US, ..costs(300, 20) };
    let cases =
        [(costs(300, 8), 75), (costs(300, 40), 25), (costs(1_500, 8), 75), (costs(1_500, 40), 25), (slow_engine, 75)];
    for (costs, least_percent) in cases {
        for clients in [1, 40] {
            let shed = at_twice_the_capacity(Limits::STANDARD, costs, clients);
            let not_shed = at_twice_the_capacity(Limits::WITHOUT_SHEDDING, costs, clients);
            let accepted_percent =
                shed.accepted.len() as u64 * 100 / (costs.capacity() * (SECONDS - NOTICED / SECOND_NS));
            let [p99, p99_refused, p99_not_shed] =
                [&shed.accepted, &shed.refused, &not_shed.accepted].map(|of| p99_ms(of));
            let shown = format!(
                "{costs:?}, {clients} clients: {accepted_percent} % accepted with p99 {p99} ms, others refused with p99 \
                 {p99_refused} ms; without shedding {p99_not_shed} ms"
            );
            eprintln!("{shown}");
            assert!(p99 < 600 && p99_refused < 2_000 && p99_not_shed > 2_000, "{shown}");
            assert!(accepted_percent >= least_percent, "{shown}");
        }
    }
}

#[test]
fn a_flood_beyond_the_quota_of_a_tenant_leaves_the_latency_of_another_and_without_a_quota_it_does_not() {
    let costs = costs(300, 40);
    let quiet = Sender { client: client(2, 2), quota: None, connections: 16, per_second: 200 };
    let flood = |quota| Sender { client: client(1, 1), quota, connections: 256, per_second: 20_000 };
    let p99_us = |senders: &[Sender]| {
        let outcome = Model::new(Limits::STANDARD, costs, senders).play(SECONDS).swap_remove(0);
        assert!(outcome.refused.is_empty(), "nothing of the quiet tenant is refused");
        p99_ns(&outcome.accepted) / US
    };
    let [alone, beside, without] = [&[quiet][..], &[quiet, flood(Some(100))], &[quiet, flood(None)]].map(p99_us);
    eprintln!("p99 alone {alone} us, beside a flood {beside} us, without a quota {without} us");
    assert!(beside <= alone * 2, "p99 alone {alone} us, beside a flood {beside} us");
    assert!(without > alone * 2, "p99 alone {alone} us, beside a flood without a quota {without} us");
}
