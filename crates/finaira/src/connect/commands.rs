//! Sends the commands of topics and queues to the server.
//!
//! One thread takes messages from the broker, and tells it what became of them. Others send the commands, each of them one after the other. Commands about the same payment go
//! to the same thread, so they keep their order. A message is done when the server has answered, because what it answers is
//! durable. If the connector or the server is killed before, the message comes again, and the server recognises the command by its id.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use api::{ErrorCode, Problem};
use connect::{Command, Fault, Inlet, Message, Stop};
use datadir::Secret;
use serde::Deserialize;
use serde::de::IgnoredAny;
use ureq::Agent;

use super::config::{CommandsConfig, Tenant};
use crate::remote::Server;

/// How long the server may take for one command.
const TIMEOUT: Duration = Duration::from_secs(30);
/// How long one turn waits for a message or an answer.
const WAIT: Duration = Duration::from_millis(100);
/// How long it waits for a message while commands are with the server.
const GLANCE: Duration = Duration::from_millis(1);
/// The first pause after a fault. Each further one is twice as long, up to the longest.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// Most threads that send commands.
const SENDERS_MAX: usize = 32;
/// Most bytes of an answer. Only those of problems are read.
const ANSWER_BYTES_MAX: u64 = 1 << 20;

/// How far the commands of one topic or queue are.
#[derive(Debug)]
pub(super) struct Progress {
    name: String,
    done: AtomicU64,
    refused: AtomicU64,
    /// What went wrong last, until a message is done again.
    fault: Mutex<Option<String>>,
}

impl Progress {
    fn new(name: &str) -> Self {
        Self { name: name.to_owned(), done: AtomicU64::new(0), refused: AtomicU64::new(0), fault: Mutex::default() }
    }

    fn set_fault(&self, fault: Option<String>) {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }

    /// One line for people.
    pub(super) fn line(&self) -> String {
        let (done, refused) = (self.done.load(Ordering::Relaxed), self.refused.load(Ordering::Relaxed));
        let fault = self.fault.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let fault = fault.map(|fault| format!("; {fault}")).unwrap_or_default();
        format!("{}: {done} commands done, {refused} refused{fault}", self.name)
    }
}

/// What sends the commands of one topic or queue.
pub(super) struct Work {
    inlet: Box<dyn Inlet>,
    server: Arc<Sender>,
    in_flight: usize,
    progress: Arc<Progress>,
    stop: Arc<Stop>,
}

/// A client of the server.
struct Sender {
    agent: Agent,
    url: String,
    authorization: Secret,
}

/// A message whose command is with a sender.
struct Task {
    message: Message,
    command: Command,
}

/// What became of a command.
enum Outcome {
    /// It has its effect.
    Done,
    /// The server will never carry it out; the problem document.
    Refused(String),
    /// It may have its effect later; the reason, and how long to wait.
    Again(String, Option<Duration>),
}

impl Work {
    pub(super) fn new(config: &CommandsConfig, tenant: &Tenant, stop: Arc<Stop>) -> anyhow::Result<Self> {
        let name = &config.name;
        let inlet = connect::inlet(&config.kind, config.settings.clone(), config.in_flight)
            .map_err(|error| anyhow!("commands `{name}`: {error}"))?;
        let key = config.api_key().transpose().unwrap_or_else(|| tenant.api_key())?;
        let server = Server::configured(&tenant.server, key, tenant.ca.clone())
            .with_context(|| format!("tenant `{}`", tenant.name))?;
        let agent = Agent::config_builder().http_status_as_error(false).max_redirects(0).timeout_global(Some(TIMEOUT));
        let server = Sender {
            agent: server.agent(agent)?,
            url: server.url().to_owned(),
            authorization: server.authorization()?,
        };
        let progress = Arc::new(Progress::new(name));
        Ok(Self { inlet, server: Arc::new(server), in_flight: config.in_flight, progress, stop })
    }

    pub(super) fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    /// Works until it is stopped, or until another connector takes the messages over.
    pub(super) fn run(mut self) -> anyhow::Result<()> {
        let mut pause = PAUSE_MIN;
        while !self.stop.is_set() {
            let before = self.progress.done.load(Ordering::Relaxed);
            let Err(fault) = self.connected() else { break };
            if self.progress.done.load(Ordering::Relaxed) != before {
                pause = PAUSE_MIN;
            }
            self.progress.set_fault(Some(fault.to_string()));
            if fault == Fault::Fenced {
                return Err(fault.into());
            }
            tracing::warn!(commands = self.progress.name, %fault, pause_s = pause.as_secs_f64(), "trying again");
            self.stop.pause(pause);
            pause = pause.saturating_mul(2).min(PAUSE_MAX);
        }
        Ok(())
    }

    /// Works with one connection to the broker, until it fails or a stop begins.
    fn connected(&mut self) -> Result<(), Fault> {
        self.inlet.open()?;
        // Tells the senders to end, also those that wait for the server.
        let ended = Stop::default();
        let (answer, answers) = sync_channel(self.in_flight);
        let (server, progress) = (Arc::clone(&self.server), Arc::clone(&self.progress));
        let (server, progress, ended) = (&*server, &*progress, &ended);
        std::thread::scope(|scope| {
            let mut lanes = Vec::new();
            for _ in 0..self.in_flight.min(SENDERS_MAX) {
                // All commands may be about one payment.
                let (lane, tasks) = sync_channel(self.in_flight);
                lanes.push(lane);
                let answer = answer.clone();
                scope.spawn(move || send(tasks, &answer, server, progress, ended));
            }
            drop(answer);
            let result = self.pump(&lanes, &answers);
            ended.set();
            drop(lanes);
            // What the server has answered meanwhile need not come again.
            let rest = answers.iter().try_for_each(|(task, outcome)| self.finish(&task, outcome));
            result.and(rest)
        })
    }

    /// Hands messages to the senders, and tells the broker what became of them.
    fn pump(&mut self, lanes: &[SyncSender<Task>], answers: &Receiver<(Task, Outcome)>) -> Result<(), Fault> {
        let mut waiting = 0_usize;
        while !self.stop.is_set() {
            let mut patience = if waiting < self.in_flight { Duration::ZERO } else { WAIT };
            while let Ok((task, outcome)) = answers.recv_timeout(patience) {
                waiting = waiting.saturating_sub(1);
                self.finish(&task, outcome)?;
                patience = Duration::ZERO;
            }
            if waiting >= self.in_flight {
                continue;
            }
            let Some(message) = self.inlet.next(if waiting > 0 { GLANCE } else { WAIT })? else { continue };
            match Command::read(&message) {
                Ok(command) => {
                    let mut hasher = DefaultHasher::new();
                    command.about.hash(&mut hasher);
                    let lane = usize::try_from(hasher.finish()).unwrap_or_default().checked_rem(lanes.len());
                    let lane = lane.and_then(|lane| lanes.get(lane));
                    if lane.is_none_or(|lane| lane.send(Task { message, command }).is_err()) {
                        return Err(Fault::Unreachable("a thread that sends commands has ended".to_owned()));
                    }
                    waiting += 1;
                }
                Err(why) => {
                    let is_json = serde_json::from_slice::<IgnoredAny>(&message.body).is_ok();
                    let code = if is_json { ErrorCode::InvalidField } else { ErrorCode::MalformedJson };
                    let problem = serde_json::to_string(&Problem::new(code, why).body()).unwrap_or_default();
                    self.refuse(&message, &problem)?;
                }
            }
        }
        Ok(())
    }

    fn finish(&mut self, task: &Task, outcome: Outcome) -> Result<(), Fault> {
        match outcome {
            Outcome::Done => {
                self.inlet.done(task.message.place)?;
                self.progress.done.fetch_add(1, Ordering::Relaxed);
                self.progress.set_fault(None);
                Ok(())
            }
            Outcome::Refused(problem) => self.refuse(&task.message, &problem),
            // A stop came first, and the message comes again.
            Outcome::Again(..) => Ok(()),
        }
    }

    fn refuse(&mut self, message: &Message, problem: &str) -> Result<(), Fault> {
        self.inlet.refuse(message, problem)?;
        self.progress.refused.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

/// Sends the commands of a lane one after the other, until there are no more.
fn send(
    tasks: Receiver<Task>,
    answer: &SyncSender<(Task, Outcome)>,
    server: &Sender,
    progress: &Progress,
    ended: &Stop,
) {
    for task in tasks {
        let mut pause = PAUSE_MIN;
        let outcome = loop {
            if ended.is_set() {
                break Outcome::Again("a stop has begun".to_owned(), None);
            }
            match server.send(&task.command) {
                Outcome::Again(why, wait) => {
                    progress.set_fault(Some(why));
                    ended.pause(wait.unwrap_or(pause).clamp(PAUSE_MIN, PAUSE_MAX));
                    pause = pause.saturating_mul(2).min(PAUSE_MAX);
                }
                outcome @ (Outcome::Done | Outcome::Refused(_)) => break outcome,
            }
        };
        // There is room for all commands that are in flight. Nobody reads only after a fault.
        if answer.send((task, outcome)).is_err() {
            return;
        }
    }
}

impl Sender {
    fn send(&self, command: &Command) -> Outcome {
        let mut request = self.agent.post(format!("{}{}", self.url, command.path)).content_type("application/json");
        request = request.header("Authorization", self.authorization.reveal());
        if let Some(key) = &command.idempotency_key {
            request = request.header("Idempotency-Key", key);
        }
        let mut response = match request.send(command.body.as_bytes()) {
            Ok(response) => response,
            // It was not sent, and never can be.
            Err(error @ (ureq::Error::Http(_) | ureq::Error::BadUri(_))) => {
                let problem = Problem::new(ErrorCode::InvalidHeader, error.to_string());
                return Outcome::Refused(serde_json::to_string(&problem.body()).unwrap_or_default());
            }
            Err(error) => return Outcome::Again(format!("cannot reach {}: {error}", self.url), None),
        };
        let status = response.status().as_u16();
        let wait = response.headers().get("Retry-After").and_then(|value| value.to_str().ok()?.parse().ok());
        if response.status().is_success() {
            return Outcome::Done;
        }
        let body = match response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_string() {
            Ok(body) => body,
            Err(error) => return Outcome::Again(format!("cannot read an answer of {}: {error}", self.url), None),
        };
        if is_about_the_command(status, &body) {
            Outcome::Refused(body)
        } else {
            Outcome::Again(format!("{} answered with {status}: {body}", self.url), wait.map(Duration::from_secs))
        }
    }
}

/// The code of a problem document.
#[derive(Deserialize)]
struct Coded {
    code: String,
}

/// Whether an answer says that the server will never carry out the command. Others are about the credential, the server, or the moment: a tenant
/// gets its first policy at some time, and what is no problem document comes from somebody between.
fn is_about_the_command(status: u16, body: &str) -> bool {
    let is_about_it = (400..500).contains(&status) && ![401, 403, 408, 429].contains(&status);
    let coded = serde_json::from_str(body);
    is_about_it && coded.is_ok_and(|Coded { code }| code != ErrorCode::NoActivePolicy.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_wrong_with_a_command_makes_it_a_dead_letter() {
        let problem = r#"{"code": "request_id_reused"}"#;
        for status in [400, 404, 409, 413, 422] {
            assert!(is_about_the_command(status, problem), "{status}");
            assert!(!is_about_the_command(status, "<html>"), "{status} of a proxy");
        }
        for status in [301, 401, 403, 408, 429, 500, 503] {
            assert!(!is_about_the_command(status, problem), "{status}");
        }
        assert!(!is_about_the_command(409, r#"{"code": "no_active_policy"}"#), "it gets one later");
    }

    #[test]
    fn progress_is_one_line() {
        let progress = Progress::new("payments");
        progress.done.store(12, Ordering::Relaxed);
        assert_eq!(progress.line(), "payments: 12 commands done, 0 refused");
        progress.set_fault(Some("cannot reach it".to_owned()));
        assert_eq!(progress.line(), "payments: 12 commands done, 0 refused; cannot reach it");
    }
}
