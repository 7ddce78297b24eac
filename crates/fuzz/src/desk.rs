//! An engine with a short history that executes requests parsed from fuzz input.

use std::sync::{Arc, OnceLock};

use api::{History, IdSource, Problem};
use engine::{Answer, Applied, Command, Engine, Entry, Request};
use journal::FrameBuilder;
use policy::{Bundle, Policy};
use types::{ActorId, Digest, Origin, RequestId, ShardId, Span, TenantId, Timestamp};

use crate::history;
use crate::request::{Asked, Call};
use crate::{Verdict, check_line};

pub(crate) const SHARD: ShardId = ShardId::new(0);
pub(crate) const TENANT: TenantId = TenantId::new(1);
/// The history that cursors belong to.
pub(crate) const HISTORY: History = History { origin: Origin::new(0x1234), shard: SHARD };
/// The time at which the engine's history begins.
const START: Timestamp = Timestamp::from_ns(1_795_000_000_000_000_000);
const ACTOR: ActorId = ActorId::new(1);

/// The state from which every run starts.
#[derive(Debug)]
pub(crate) struct Past {
    pub(crate) policy: Arc<Policy>,
    pub(crate) entries: Vec<Entry>,
}

/// An engine that has replayed the past.
#[derive(Debug)]
pub(crate) struct Desk {
    engine: Engine,
    made: Vec<Entry>,
}

pub(crate) fn ids<'a>() -> IdSource<'a> {
    IdSource { secret: Digest::of(b"secret of derived ids"), tenant: TENANT, key: None }
}

/// Returns the past, which is built once from requests of the API.
pub(crate) fn past() -> &'static Past {
    static PAST: OnceLock<Past> = OnceLock::new();
    PAST.get_or_init(|| {
        let bundle = fixtures::bundle(&history::policy());
        let policy = fixtures::compile(&bundle);
        let mut desk = Desk { engine: Engine::new(SHARD, TENANT), made: Vec::new() };
        let (engine, made) = (&mut desk.engine, &mut desk.made);
        engine.start(START, HISTORY.origin, &mut |applied: Applied<'_>| made.push(applied.entry.clone()));
        for command in installation(&bundle, &policy) {
            desk.execute(RequestId::default(), command).expect("the policy is installed");
        }
        let accounts = history::imported_accounts();
        for request in history::REQUESTS.iter().map(|request| request.as_bytes()).chain([accounts.as_slice()]) {
            let shown = String::from_utf8_lossy(request);
            let asked = Call::read(request).and_then(|call| call.parse(&policy));
            let asked = asked.unwrap_or_else(|problem| panic!("{shown}: {}", problem.detail()));
            for Asked { request: id, command } in asked {
                let answer = desk.execute(id, command);
                assert!(answer.is_ok(), "{shown}: {answer:?}");
            }
        }
        Past { policy, entries: desk.made }
    })
}

impl Desk {
    pub(crate) fn open() -> Self {
        let Past { policy, entries } = past();
        let mut engine = Engine::new(SHARD, TENANT);
        for entry in entries {
            engine.apply(entry);
        }
        engine.stage_policy(Arc::clone(policy));
        Self { engine, made: Vec::new() }
    }

    fn execute(&mut self, id: RequestId, command: Command) -> Answer {
        let Self { engine, made } = self;
        let now = engine.clock().saturating_add(Span::from_ns(1_000_000_000));
        let mut sink = |applied: Applied<'_>| made.push(applied.entry.clone());
        // As in a server, everything that is due is executed first.
        while engine.execute_due(now, &mut sink) {}
        engine.execute(now, &Request { tenant: TENANT, actor: ACTOR, id, command }, &mut sink)
    }

    /// Decides a parsed command. This must succeed, whatever the command is.
    pub(crate) fn ask(&mut self, asked: Asked) -> Verdict {
        let Asked { request, command } = asked;
        match self.execute(request, command) {
            Ok(_) => Verdict::Accepted,
            Err(refusal) => check_problem(&Problem::from(&refusal)),
        }
    }

    /// Checks that every entry can be journaled, reads back unchanged, and replays to the same state.
    pub(crate) fn close(mut self) {
        let mut builder = FrameBuilder::default();
        let mut frames = Vec::new();
        for entry in &self.made {
            if builder.try_push(entry).is_none() {
                frames.extend(builder.finish());
                builder.push(entry);
            }
        }
        frames.extend(builder.finish());
        let read: Vec<Entry> =
            frames.iter().flat_map(|frame| frame.entries().expect("journaled entries can be read")).collect();
        assert!(read == self.made, "entries read back unchanged: {:?} and {read:?}", self.made);
        let mut replayed = Self::open();
        for entry in &read {
            assert!(replayed.engine.agrees_with(entry), "a replay agrees with {entry:?}");
            replayed.engine.apply(entry);
        }
        assert_eq!(replayed.engine.digest(), self.engine.digest(), "a replay gives the same state");
        self.made.clear();
    }
}

/// Checks that a client may see this problem.
pub(crate) fn check_problem(problem: &Problem) -> Verdict {
    assert!((400..600).contains(&problem.status()), "{problem:?}");
    serde_json::to_vec(&problem.body()).expect("a problem is JSON");
    check_line(problem.detail())
}

fn installation(bundle: &Bundle, policy: &Arc<Policy>) -> [Command; 2] {
    let (artifact, activation) = fixtures::installation(bundle, policy);
    [artifact.into(), activation.into()]
}

/// Checks that a compiled policy can be activated in a new engine.
pub(crate) fn activate(bundle: &Bundle, policy: &Arc<Policy>) {
    let mut desk = Desk { engine: Engine::new(SHARD, TENANT), made: Vec::new() };
    let made = &mut desk.made;
    desk.engine.start(START, HISTORY.origin, &mut |applied: Applied<'_>| made.push(applied.entry.clone()));
    for command in installation(bundle, policy) {
        if let Err(refusal) = desk.execute(RequestId::default(), command) {
            check_problem(&Problem::from(&refusal));
        }
    }
}
