//! What every target that keeps events must do, with the real server, the real `finaira connect` and the real target.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use serde_json::Value;

use crate::harness::eventually_within;
use crate::suite::{BATCH_ENTRIES, Scene, is_fenced, kills, signal, survives_kills};

/// How often the target is killed while a connector writes.
const TARGET_KILLS: usize = 3;

/// A target of events that can be tried.
pub(crate) trait KeepsEvents {
    /// How the events arrive.
    const PROMISE: Promise;

    /// The settings of the target in the configuration: its kind, address and so on. `name` is that of a topic or a stream.
    fn settings(&self, name: &str) -> String;

    /// Makes what keeps events, if the target itself does not.
    fn prepare(&self, _name: &str) {}

    /// The process of the target.
    fn pid(&self) -> u32;

    /// Starts the target again, on its data, after it was killed.
    fn restart(&mut self);

    /// All events, in the order in which a reader gets them. Looks at headers and keys itself.
    fn events(&self, name: &str) -> Vec<Value>;
}

/// How events arrive.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Promise {
    /// Whether all events are in order; otherwise only those with the same subject.
    pub(crate) in_order: bool,
    /// Whether a connector that is killed repeats nothing.
    pub(crate) once_after_kills: bool,
    /// Whether nothing repeats events: also not two connectors at once, and no killed server.
    pub(crate) always_once: bool,
    /// Whether a verification can compare the events with the journal.
    pub(crate) is_compared: bool,
}

/// Tries a target with everything that may happen to it.
pub(crate) fn keeps_every_event<T: KeepsEvents>(mut tried: T, seed: u64) {
    const NAME: &str = "events";
    tried.prepare(NAME);
    let mut scene = Scene::start(&tried.settings(NAME), seed);
    scene.traffic.send(200);
    assert_eq!(has_every_event(&tried, NAME, &scene, |_| true), 0, "nothing was killed");

    survives_kills(&mut scene);
    let repeated = has_every_event(&tried, NAME, &scene, |_| true);
    println!("after the kills of the connector, {repeated} events are repeated");
    assert!(repeated == 0 || !T::PROMISE.once_after_kills, "a connector that is killed repeats nothing");
    assert!(repeated <= BATCH_ENTRIES * kills(), "a connector that is killed repeats one batch at most");

    let mut before = repeated;
    let mut always = |what: &str, repeated: usize| {
        println!("after {what}, {repeated} events are repeated");
        assert!(repeated == 0 || !T::PROMISE.always_once, "after {what}");
        let more = repeated - std::mem::replace(&mut before, repeated);
        assert!(more <= BATCH_ENTRIES * (TARGET_KILLS + 1), "after {what}, {more} more are repeated: it began anew");
    };
    is_fenced(&scene);
    always("two connectors at once", has_every_event(&tried, NAME, &scene, |_| true));

    for _ in 0..TARGET_KILLS {
        let following = scene.connect(&[]);
        scene.traffic.send(10);
        signal(tried.pid(), "KILL");
        scene.traffic.send(5);
        tried.restart();
        scene.traffic.send(5);
        following.kill();
    }
    always("the kills of the target", has_every_event(&tried, NAME, &scene, |_| true));

    let following = scene.connect(&[]);
    scene.traffic.send(10);
    signal(tried.pid(), "STOP");
    scene.traffic.send(10);
    std::thread::sleep(Duration::from_secs(2));
    signal(tried.pid(), "CONT");
    scene.traffic.send(10);
    following.kill();
    always("a stall", has_every_event(&tried, NAME, &scene, |_| true));

    is_compared(&tried, &scene);
    assert!(scene.server.stop().success());
}

/// A target with a filter has the events of these kinds, also when most batches have none of them.
pub(crate) fn keeps_some_kinds<T: KeepsEvents>(tried: &T, seed: u64) {
    const NAME: &str = "labels";
    tried.prepare(NAME);
    let mut scene = Scene::start(&format!("{}\nkinds = [\"label_recorded\"]", tried.settings(NAME)), seed);
    for _ in 0..4 {
        scene.traffic.send(60);
        let repeated = has_every_event(tried, NAME, &scene, |event| event["kind"] == "label_recorded");
        assert_eq!(repeated, 0, "nothing was killed");
    }
    is_compared(tried, &scene);
    assert!(scene.server.stop().success());
}

/// A verification says that the events are those of the journal, or that it cannot tell.
fn is_compared<T: KeepsEvents>(_tried: &T, scene: &Scene) {
    scene.connect_once();
    let (right, said) = scene.verify();
    if T::PROMISE.is_compared {
        assert!(right && said.contains("The copy is equal to the journal."), "{said}");
        let repeats = said.contains("events are there more than once");
        assert!(!repeats || !T::PROMISE.always_once, "{said}");
    } else {
        assert!(
            !right && said.contains("the events cannot be read back"),
            "nothing claims that it was compared: {said}"
        );
    }
}

/// Every event of the API must be there with the same content, and the first of each in order. Returns how many repeat an earlier one.
#[track_caller]
pub(crate) fn has_every_event<T: KeepsEvents>(
    tried: &T,
    name: &str,
    scene: &Scene,
    wanted: impl Fn(&Value) -> bool,
) -> usize {
    let sure = of_the_api(scene, &wanted).len();
    scene.connect_once();
    let expected = of_the_api(scene, &wanted);
    let found = tried.events(name);
    let (mut first, mut repeated) = (BTreeMap::new(), 0);
    let mut newest: HashMap<&str, u64> = HashMap::new();
    for event in &found {
        let id = event["id"].as_str().expect("an id");
        let sequence = sequence(event);
        if let Some(earlier) = first.get(&sequence) {
            assert_eq!(*earlier, event, "an event that is repeated is the same");
            repeated += 1;
            continue;
        }
        let subject = if T::PROMISE.in_order { "" } else { event["subject"].as_str().unwrap_or_default() };
        let before = newest.insert(subject, sequence);
        assert!(before.is_none_or(|before| before < sequence), "{subject}: {sequence} comes after {before:?}");
        let source = event["source"].as_str().expect("a source");
        assert_eq!(id, format!("{source}/{sequence}"));
        first.insert(sequence, event);
    }
    // Pending transfers expire by themselves, so the journal may have grown after the connector ended.
    let (there, most) = (first.len(), expected.len());
    assert!(there >= sure && there <= most, "{there} events, expected {sure} to {most}");
    for ((sequence, event), expected) in first.into_iter().zip(&expected) {
        assert_eq!(Some(sequence), expected["sequence"].as_u64(), "an event is missing");
        assert_eq!(&event["data"], expected);
        assert_eq!(event["type"], format!("finaira.{}.v1", expected["kind"].as_str().expect("a kind")));
        assert_eq!(event["time"], expected["decided_at"]);
    }
    println!("{} events in the target", found.len());
    repeated
}

/// The sequence of an event.
#[track_caller]
pub(crate) fn sequence(event: &Value) -> u64 {
    event["sequence"].as_str().expect("a text").parse().expect("a number")
}

/// All events of the API that are wanted.
pub(crate) fn of_the_api(scene: &Scene, wanted: impl Fn(&Value) -> bool) -> Vec<Value> {
    let mut events = Vec::new();
    let mut cursor = String::new();
    loop {
        // On a busy machine, the server may be overloaded for a moment.
        let page = eventually_within(Duration::from_secs(60), || {
            let page = scene.client.get(&format!("/v1/events?limit=1000{cursor}"));
            (page.status != 503).then_some(page)
        });
        assert_eq!(page.status, 200, "{page:?}");
        let items = page.body["items"].as_array().expect("items");
        if items.is_empty() {
            return events;
        }
        events.extend(items.iter().filter(|event| wanted(event)).cloned());
        cursor = format!("&cursor={}", page.body["next_cursor"].as_str().expect("a cursor"));
    }
}

/// The names of the headers in the example below a heading of `docs/connectors.md`.
pub(crate) fn documented(heading: &str) -> Vec<&'static str> {
    let page = include_str!("../../../../docs/connectors.md");
    let (_, section) = page.split_once(heading).expect("the heading");
    let (_, example) = section.split_once("```text\n").expect("an example");
    let (example, _) = example.split_once("```").expect("its end");
    example.lines().map(|line| line.split_once(": ").expect("a header").0).collect()
}
