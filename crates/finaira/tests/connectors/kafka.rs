//! Kafka: every event is there, whatever is killed. The topic is read with Kafka's own console consumer.

use std::collections::{BTreeMap, HashMap};
use std::process::Command;

use serde_json::Value;

use crate::service::Service;
use crate::suite::{Scene, again, is_fenced, number, signal, survives_kills};

const PARTITIONS: u32 = 4;
/// How often the broker is killed while a connector writes.
const BROKER_KILLS: usize = 3;

#[test]
fn kafka_has_every_event() {
    let Some(service) = Service::up("kafka", "FINAIRA_REQUIRE_KAFKA") else { return };
    let mut topic = Topic { pid: number(&service.description, "pid"), service };
    let mut scene = Scene::start(&topic.settings(), 11);
    scene.traffic.send(200);
    assert_eq!(topic.has_every_event(&scene), 0, "nothing was killed");

    survives_kills(&mut scene);
    let twice = topic.has_every_event(&scene);
    println!("after the kills of the connector, {twice} records are repeated");
    assert_eq!(twice, 0, "a connector that is killed repeats nothing");

    is_fenced(&scene);
    println!("after two connectors at once, {} records are repeated", topic.has_every_event(&scene));

    for _ in 0..BROKER_KILLS {
        let following = scene.connect(&[]);
        scene.traffic.send(10);
        signal(topic.pid, "KILL");
        scene.traffic.send(5);
        topic.pid = number(&again("kafka"), "pid");
        scene.traffic.send(5);
        following.kill();
    }
    println!("after the kills of the broker, {} records are repeated", topic.has_every_event(&scene));

    let (right, said) = scene.verify();
    assert!(!right && said.contains("the target keeps events"), "nothing claims that it was compared: {said}");
    let Scene { server, .. } = scene;
    assert!(server.stop().success());
}

struct Topic {
    service: Service,
    pid: u32,
}

/// A record of the topic.
#[derive(Debug)]
struct Record {
    partition: u64,
    offset: u64,
    headers: String,
    key: String,
    event: Value,
}

impl Topic {
    fn settings(&self) -> String {
        let brokers = self.service.text("/url");
        format!("kind = \"kafka\"\nbrokers = {brokers:?}\ntopic = \"events\"\npartitions = {PARTITIONS}")
    }

    /// All records, in the order of each partition.
    fn records(&self) -> Vec<Record> {
        let mut java = Command::new("java");
        java.args(["-Xmx128m", "-XX:TieredStopAtLevel=1", "-cp", self.service.text("/tools")]);
        java.args(["org.apache.kafka.tools.consumer.ConsoleConsumer", "--bootstrap-server", self.service.text("/url")]);
        java.args(["--topic", "events", "--from-beginning", "--timeout-ms", "4000"]);
        for property in ["print.partition", "print.offset", "print.headers", "print.key"] {
            java.args(["--property", &format!("{property}=true")]);
        }
        let output = java.output().expect("the console consumer runs");
        let text = String::from_utf8(output.stdout).expect("text");
        // The consumer ends by a time-out, and prints that too.
        let mut records: Vec<Record> = text.lines().filter(|line| line.starts_with("Partition:")).map(record).collect();
        records.sort_by_key(|record| (record.partition, record.offset));
        records
    }

    /// Every event of the API must be there with the same content, and the first of each in the order of its subject. Returns how many records
    /// repeat an earlier one.
    #[track_caller]
    fn has_every_event(&self, scene: &Scene) -> usize {
        let sure = events(scene).len();
        scene.connect_once();
        let events = events(scene);
        let records = self.records();
        let (mut first, mut twice) = (BTreeMap::new(), 0);
        let mut newest: HashMap<String, u64> = HashMap::new();
        let mut partitions: HashMap<String, u64> = HashMap::new();
        for record in &records {
            let (event, id) = (&record.event, record.event["id"].as_str().expect("an id"));
            let sequence: u64 = event["sequence"].as_str().expect("a text").parse().expect("a number");
            assert!(record.headers.contains(&format!("finaira-sequence:{sequence},finaira-copy:")), "{record:?}");
            assert!(record.headers.contains("content-type:application/cloudevents+json"), "{record:?}");
            let subject = event["subject"].as_str().unwrap_or("null");
            assert_eq!(record.key, subject, "{record:?}");
            let place = *partitions.entry(subject.to_owned()).or_insert(record.partition);
            assert_eq!(place, record.partition, "{subject} is in two partitions");
            if let Some(earlier) = first.get(&sequence) {
                assert_eq!(*earlier, event, "a repeated record is the same event");
                twice += 1;
                continue;
            }
            let before = newest.insert(subject.to_owned(), sequence);
            assert!(before.is_none_or(|before| before < sequence), "{subject}: {sequence} comes after {before:?}");
            assert!(
                id.ends_with(&format!("/{sequence}")) && id.starts_with(event["source"].as_str().expect("a source")),
                "{id}"
            );
            first.insert(sequence, event);
        }
        // Pending transfers expire by themselves, so the journal may have grown after the connector ended.
        assert!(
            first.len() >= sure && first.len() <= events.len(),
            "{} events, expected {sure} to {}",
            first.len(),
            events.len()
        );
        for ((sequence, event), expected) in first.into_iter().zip(&events) {
            assert_eq!(Some(sequence), expected["sequence"].as_u64(), "an event is missing");
            assert_eq!(&event["data"], expected);
            assert_eq!(event["type"], format!("finaira.{}.v1", expected["kind"].as_str().expect("a kind")));
            assert_eq!(event["time"], expected["decided_at"]);
        }
        println!("{} records in the topic", records.len());
        twice
    }
}

/// One line of the console consumer.
#[track_caller]
fn record(line: &str) -> Record {
    let mut parts = line.splitn(5, '\t');
    let mut next = || parts.next().unwrap_or_else(|| panic!("{line}"));
    let [partition, offset, headers, key, value] = [next(), next(), next(), next(), next()];
    let number = |text: &str, name: &str| -> Option<u64> { text.strip_prefix(name)?.parse().ok() };
    Record {
        partition: number(partition, "Partition:").expect("a partition"),
        offset: number(offset, "Offset:").expect("an offset"),
        headers: headers.to_owned(),
        key: key.to_owned(),
        event: serde_json::from_str(value).expect("JSON"),
    }
}

/// All events of the API.
fn events(scene: &Scene) -> Vec<Value> {
    let mut events = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = scene.client.get(&format!("/v1/events?limit=1000{cursor}"));
        assert_eq!(page.status, 200, "{page:?}");
        let items = page.body["items"].as_array().expect("items");
        if items.is_empty() {
            return events;
        }
        events.extend(items.iter().cloned());
        cursor = format!("&cursor={}", page.body["next_cursor"].as_str().expect("a cursor"));
    }
}
