//! NATS JetStream: every event is there once, whatever is killed. The stream is read with the protocol of NATS itself, which is text.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use crate::events_suite::{KeepsEvents, Promise, documented, keeps_every_event, keeps_some_kinds, sequence};
use crate::service::Service;
use crate::suite::{again, number, write_secret};

#[test]
fn nats_has_every_event() {
    let Some(service) = Service::up("nats", "FINAIRA_REQUIRE_NATS") else { return };
    let folder = tempfile::tempdir().expect("a directory");
    let password = folder.path().join("password");
    write_secret(&password, service.text("/password"));
    let nats = Nats { pid: number(&service.description, "pid"), service, password };
    keeps_some_kinds(&nats, 22);
    keeps_every_event(nats, 21);
}

struct Nats {
    service: Service,
    pid: u32,
    password: PathBuf,
}

impl KeepsEvents for Nats {
    const PROMISE: Promise = Promise { in_order: true, once_after_kills: true, always_once: true, is_compared: true };

    fn settings(&self, name: &str) -> String {
        let (host, port, user) =
            (self.service.text("/host"), &self.service.description["port"], self.service.text("/user"));
        format!(
            "kind = \"nats\"\nservers = \"nats://{host}:{port}\"\nuser = {user:?}\npassword_file = {:?}\nstream = {name:?}\n\
             subject = \"tried.{name}\"",
            self.password
        )
    }

    fn pid(&self) -> u32 {
        self.pid
    }

    fn restart(&mut self) {
        self.pid = number(&again("nats"), "pid");
    }

    fn events(&self, name: &str) -> Vec<Value> {
        let events = self.messages(name).into_iter().map(|message| {
            let event: Value = serde_json::from_slice(&message.payload).expect("JSON");
            let header = |name: &str| message.headers.get(name).map(String::as_str);
            assert_eq!(header("finaira-sequence"), Some(sequence(&event).to_string().as_str()));
            assert_eq!(header("Nats-Msg-Id"), event["id"].as_str());
            assert_eq!(header("finaira-subject"), event["subject"].as_str());
            assert!(header("content-type").is_some_and(|found| found.starts_with("application/cloudevents+json")));
            assert!(
                header("finaira-copy").is_some_and(|found| found.contains("\"position\":")),
                "{:?}",
                message.headers
            );
            if event["subject"].is_string() {
                let mut names: Vec<&str> = message.headers.keys().map(String::as_str).collect();
                let mut expected = documented("## Events in NATS");
                names.sort_unstable();
                expected.sort_unstable();
                assert_eq!(names, expected, "the page shows them");
            }
            let kind = event["data"]["kind"].as_str().expect("a kind");
            assert_eq!(message.subject, format!("tried.{name}.{kind}"));
            event
        });
        events.collect()
    }
}

/// A message of the stream.
struct Message {
    subject: String,
    headers: HashMap<String, String>,
    payload: Vec<u8>,
}

impl Nats {
    /// The messages about events. Those about takeovers are on another subject.
    fn messages(&self, stream: &str) -> Vec<Message> {
        let mut connection = Connection::open(&self.service);
        let subject = format!("tried.{stream}.*");
        let described = connection.ask(&format!("$JS.API.STREAM.INFO.{stream}"), &json!({"subjects_filter": subject}));
        let count: u64 = described["state"]["subjects"]
            .as_object()
            .expect("subjects")
            .values()
            .map(|count| count.as_u64().expect("a number"))
            .sum();
        // Consumers of earlier connections live on for a while, and must not deliver here.
        let delivered = format!("delivered.{}", connection.0.get_ref().local_addr().expect("an address").port());
        connection.write(&format!("SUB {delivered} 2\r\n"));
        let config = json!({"deliver_subject": delivered, "deliver_policy": "all", "ack_policy": "none",
            "replay_policy": "instant", "filter_subject": subject});
        let consumer = json!({"stream_name": stream, "config": config});
        connection.send(&format!("$JS.API.CONSUMER.CREATE.{stream}"), &consumer);
        let mut messages = Vec::new();
        while (messages.len() as u64) < count {
            let (subscription, message) = connection.next();
            if subscription == "2" {
                messages.push(message);
            }
        }
        messages
    }
}

struct Connection(BufReader<TcpStream>);

impl Connection {
    fn open(service: &Service) -> Self {
        let address = format!("{}:{}", service.text("/host"), service.description["port"]);
        let socket = TcpStream::connect(address).expect("the server is there");
        socket.set_read_timeout(Some(Duration::from_secs(20))).expect("a time-out");
        let mut connection = Self(BufReader::new(socket));
        assert!(connection.line().starts_with("INFO "));
        let options = json!({"user": service.text("/user"), "pass": service.text("/password"), "verbose": false,
            "pedantic": false, "headers": true});
        connection.write(&format!("CONNECT {options}\r\nSUB answers 1\r\n"));
        connection
    }

    fn write(&mut self, text: &str) {
        self.0.get_mut().write_all(text.as_bytes()).expect("the server reads");
    }

    fn send(&mut self, subject: &str, body: &Value) {
        let body = body.to_string();
        self.write(&format!("PUB {subject} answers {}\r\n{body}\r\n", body.len()));
    }

    fn ask(&mut self, subject: &str, body: &Value) -> Value {
        self.send(subject, body);
        let (_, answer) = self.next();
        serde_json::from_slice(&answer.payload).expect("JSON")
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("the server answers");
        line.trim_end().to_owned()
    }

    /// The next message, and to which subscription it was sent.
    fn next(&mut self) -> (String, Message) {
        loop {
            let line = self.line();
            let words: Vec<&str> = line.split(' ').collect();
            let (headers_bytes, bytes) = match words.as_slice() {
                ["PING"] => {
                    self.write("PONG\r\n");
                    continue;
                }
                ["HMSG", .., headers, all] => (headers.parse().expect("a number"), all.parse().expect("a number")),
                ["MSG", .., all] => (0, all.parse().expect("a number")),
                _ => panic!("{line}"),
            };
            let (subject, subscription) = (words[1].to_owned(), words[2].to_owned());
            let mut payload: Vec<u8> = vec![0; bytes];
            self.0.read_exact(&mut payload).expect("the server sends everything");
            assert_eq!(self.line(), "");
            let headers: Vec<u8> = payload.drain(..headers_bytes).collect();
            let headers = String::from_utf8(headers).expect("text");
            let headers = headers.lines().filter_map(|line| line.split_once(": "));
            let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            return (subscription, Message { subject, headers, payload });
        }
    }
}
