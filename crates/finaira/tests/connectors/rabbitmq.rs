//! RabbitMQ: every event is there, whatever is killed. Streams and queues are read with another client, pika, over AMQP 0.9.1.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::events_suite::{KeepsEvents, Promise, documented, keeps_every_event, keeps_some_kinds, sequence};
use crate::service::Service;
use crate::suite::{again, number, rows, write_secret};

#[test]
fn rabbitmq_stream_has_every_event() {
    let Some(rabbitmq) = RabbitMq::<true>::up() else { return };
    keeps_some_kinds(&rabbitmq, 32);
    keeps_every_event(rabbitmq, 31);
}

#[test]
fn rabbitmq_queue_has_every_event() {
    let Some(rabbitmq) = RabbitMq::<false>::up() else { return };
    keeps_some_kinds(&rabbitmq, 42);
    keeps_every_event(rabbitmq, 41);
}

/// RabbitMQ with streams, or with an exchange to which a queue is bound.
struct RabbitMq<const STREAM: bool> {
    service: Service,
    pid: u32,
    _folder: tempfile::TempDir,
    password: PathBuf,
}

/// Binds a queue to an exchange.
const BIND: &str = "
channel.exchange_declare(name, 'topic', durable=True)
channel.queue_declare(name, durable=True)
channel.queue_bind(name, name, '#')
";

/// Prints all messages of a stream or a queue. Those of a queue are not acknowledged, so they stay there.
const READ: &str = "
import json
channel.basic_qos(prefetch_count=1000 if stream else 0)
arguments = {'x-stream-offset': 'first'} if stream else {}
for method, properties, body in channel.consume(name, inactivity_timeout=3, arguments=arguments):
    if method is None:
        break
    if stream:
        channel.basic_ack(method.delivery_tag)
    print(json.dumps({'id': properties.message_id, 'content_type': properties.content_type, 'type': properties.type,
        'headers': properties.headers, 'key': method.routing_key, 'event': json.loads(body)}))
";

impl<const STREAM: bool> RabbitMq<STREAM> {
    fn up() -> Option<Self> {
        let service = Service::up("rabbitmq", "FINAIRA_REQUIRE_RABBITMQ")?;
        let folder = tempfile::tempdir().expect("a directory");
        let password = folder.path().join("password");
        write_secret(&password, service.text("/password"));
        Some(Self { pid: number(&service.description, "pid"), service, _folder: folder, password })
    }

    /// Runs a script with an open `channel`.
    #[track_caller]
    fn run(&self, name: &str, script: &str) -> String {
        let open = format!(
            "import pika\nname, stream = '{name}', {}\nconnection = pika.BlockingConnection(pika.URLParameters('{}'))\n\
             channel = connection.channel()\n",
            if STREAM { "True" } else { "False" },
            self.service.text("/url"),
        );
        let output = Command::new(self.service.text("/python")).arg("-c").arg(format!("{open}{script}")).output();
        let output = output.expect("Python runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }
}

impl<const STREAM: bool> KeepsEvents for RabbitMq<STREAM> {
    const PROMISE: Promise =
        Promise { in_order: true, once_after_kills: STREAM, always_once: STREAM, is_compared: false };

    fn settings(&self, name: &str) -> String {
        let (user, host) = (self.service.text("/user"), self.service.text("/host"));
        let (mode, scheme, port) =
            if STREAM { ("stream", "rabbitmq-stream", "stream_port") } else { ("exchange", "amqp", "port") };
        let port = &self.service.description[port];
        format!(
            "kind = \"rabbitmq\"\nmode = {mode:?}\nurl = \"{scheme}://{user}@{host}:{port}/%2f\"\npassword_file = {:?}\n\
             {mode} = {name:?}",
            self.password
        )
    }

    fn prepare(&self, name: &str) {
        if !STREAM {
            self.run(name, BIND);
        }
    }

    fn pid(&self) -> u32 {
        self.pid
    }

    fn restart(&mut self) {
        self.pid = number(&again("rabbitmq"), "pid");
    }

    fn events(&self, name: &str) -> Vec<Value> {
        let events = rows(&self.run(name, READ)).into_iter().map(|message| {
            let event = &message["event"];
            assert_eq!(message["id"], event["id"]);
            assert_eq!(message["headers"]["finaira-sequence"], sequence(event).to_string());
            let content_type = message["content_type"].as_str();
            assert!(content_type.is_some_and(|found| found.starts_with("application/cloudevents+json")), "{message}");
            for name in message["headers"].as_object().expect("headers").keys() {
                let expected = documented("## Events in RabbitMQ");
                assert!(expected.contains(&name.as_str()) || name.starts_with("x-"), "the page shows {name}");
            }
            if STREAM {
                assert!(message["headers"]["finaira-copy"].as_str().expect("a text").contains("\"position\":"));
            } else {
                assert_eq!(message["type"], event["type"]);
                assert_eq!(message["key"], event["data"]["kind"]);
                assert_eq!(message["headers"]["finaira-subject"], event["subject"]);
            }
            event.clone()
        });
        events.collect()
    }
}
