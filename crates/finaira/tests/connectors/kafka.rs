//! Kafka: every event is there, whatever is killed. The topic is read with Kafka's own console consumer.

use std::collections::HashMap;
use std::process::Command;

use serde_json::Value;

use crate::events_suite::{KeepsEvents, Promise, keeps_every_event, keeps_some_kinds, sequence};
use crate::service::Service;
use crate::suite::{again, number};

const PARTITIONS: u32 = 4;

#[test]
fn kafka_has_every_event() {
    let Some(service) = Service::up("kafka", "FINAIRA_REQUIRE_KAFKA") else { return };
    let kafka = Kafka { pid: number(&service.description, "pid"), service };
    keeps_some_kinds(&kafka, 12);
    keeps_every_event(kafka, 11);
}

struct Kafka {
    service: Service,
    pid: u32,
}

impl KeepsEvents for Kafka {
    const PROMISE: Promise = Promise { in_order: false, once_after_kills: true, always_once: false, is_compared: true };

    fn settings(&self, name: &str) -> String {
        let brokers = self.service.text("/url");
        format!("kind = \"kafka\"\nbrokers = {brokers:?}\ntopic = {name:?}\npartitions = {PARTITIONS}")
    }

    fn pid(&self) -> u32 {
        self.pid
    }

    fn restart(&mut self) {
        self.pid = number(&again("kafka"), "pid");
    }

    fn events(&self, name: &str) -> Vec<Value> {
        let mut partitions: HashMap<String, u64> = HashMap::new();
        let events = self.records(name).into_iter().map(|record| {
            let sequence = sequence(&record.event);
            assert!(record.headers.contains(&format!("finaira-sequence:{sequence},finaira-copy:")), "{record:?}");
            assert!(record.headers.contains("content-type:application/cloudevents+json"), "{record:?}");
            let subject = record.event["subject"].as_str().unwrap_or("null");
            assert_eq!(record.key, subject, "{record:?}");
            let place = *partitions.entry(subject.to_owned()).or_insert(record.partition);
            assert_eq!(place, record.partition, "{subject} is in two partitions");
            record.event
        });
        events.collect()
    }
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

impl Kafka {
    /// All records, in the order of each partition.
    fn records(&self, name: &str) -> Vec<Record> {
        let mut java = Command::new("java");
        java.args(["-Xmx128m", "-XX:TieredStopAtLevel=1", "-cp", self.service.text("/tools")]);
        java.args(["org.apache.kafka.tools.consumer.ConsoleConsumer", "--bootstrap-server", self.service.text("/url")]);
        java.args(["--topic", name, "--from-beginning", "--timeout-ms", "4000"]);
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
