//! Commands from a topic and from a queue: each has one effect, whatever is killed, and those that are refused become dead letters.

use std::collections::HashMap;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::events_suite::of_the_api;
use crate::harness::{eventually_within, payment};
use crate::service::Service;
use crate::suite::{Scene, rows, write_secret};

/// How often the connector is killed while messages arrive.
const KILLS: u128 = 20;
/// The messages of this many kills are sent at once.
const ROUNDS_AT_ONCE: u128 = 5;
/// Payments that arrive before each kill.
const PAYMENTS: u128 = 10;
/// How long everything that has arrived may take.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn kafka_commands_have_one_effect() {
    let Some(service) = Service::up("kafka", "FINAIRA_REQUIRE_KAFKA") else { return };
    let brokers = service.text("/url").to_owned();
    let settings = format!(
        "kind = \"kafka\"\nbrokers = {brokers:?}\ntopic = \"commands\"\ngroup = \"finaira\"\ndead_letters = \"dead\""
    );
    let kafka = Kafka { service };
    for topic in ["commands", "dead"] {
        kafka.create(topic);
    }
    each_has_one_effect(&kafka, &settings);
}

#[test]
fn rabbitmq_commands_have_one_effect() {
    let Some(service) = Service::up("rabbitmq", "FINAIRA_REQUIRE_RABBITMQ") else { return };
    let folder = tempfile::tempdir().expect("a directory");
    let password: PathBuf = folder.path().join("password");
    write_secret(&password, service.text("/password"));
    let (user, host, port) = (service.text("/user"), service.text("/host"), &service.description["port"]);
    let settings = format!(
        "kind = \"rabbitmq\"\nurl = \"amqp://{user}@{host}:{port}\"\npassword_file = {password:?}\nqueue = \"commands\"\n\
         dead_letters = \"dead\""
    );
    each_has_one_effect(&RabbitMq { service }, &settings);
}

/// A broker that commands come from.
trait Broker {
    /// Sends messages, in this order.
    fn send(&self, messages: &[String]);

    /// The problem document and the body of each dead letter.
    fn dead_letters(&self) -> Vec<(String, String)>;
}

/// The messages of a round: payments, a label for the first of them, a value for a list, one that is no command, and a payment whose id is taken.
fn messages(round: u128) -> Vec<String> {
    let first = 1_000_000 + round * PAYMENTS;
    let body =
        |id: u128, amount: u64| payment(id, "top_up", amount, &json!({"customer": format!("customer {}", id % 7)}));
    let mut messages: Vec<String> =
        (first..first + PAYMENTS).map(|id| json!({"payment": body(id, 100)}).to_string()).collect();
    messages.push(json!({"label": {"payment": first.to_string(), "label": "fraud"}}).to_string());
    let add = json!({"values": [{"value": format!("value {round}")}]});
    messages.push(json!({"list": "seen", "add": add}).to_string());
    messages.push(format!("{{\"order\": {round}}}"));
    messages.push(json!({"payment": body(first, 999)}).to_string());
    messages
}

fn each_has_one_effect(broker: &impl Broker, settings: &str) {
    let scene =
        Scene::with(&format!("[[commands]]\nname = \"tried\"\ntenant = \"main\"\nin_flight = 16\n{settings}"), 51);
    let list = json!({"name": "seen", "holds": "text", "purpose": "watch"});
    assert_eq!(scene.client.post("/v1/lists", &list).status, 201);
    for round in 0..KILLS {
        // Several rounds at once, because the programs that send them start slowly.
        if round % ROUNDS_AT_ONCE == 0 {
            broker.send(&(round..round + ROUNDS_AT_ONCE).flat_map(messages).collect::<Vec<_>>());
        }
        let connector = scene.connect(&[]);
        // From before it has connected until after everything was done.
        std::thread::sleep(Duration::from_millis(u64::try_from(round).expect("a small number") * 97 % 1_500));
        connector.kill();
    }
    let connector = scene.connect(&[]);
    let is = |event: &Value, kind: &str| event["kind"] == kind;
    let payments = usize::try_from(KILLS * PAYMENTS).expect("a small number");
    let labels = usize::try_from(KILLS).expect("a small number");
    let arrive = |payments: usize, labels: usize| {
        eventually_within(PATIENCE, || {
            let found = of_the_api(&scene, |event| is(event, "payment_decided")).len();
            let labelled = of_the_api(&scene, |event| is(event, "label_recorded")).len();
            let listed = of_the_api(&scene, |event| is(event, "list_values_added")).len();
            println!(
                "{found} of {payments} payments, {labelled} and {listed} of {labels} labels and changes of the list"
            );
            (found >= payments && labelled >= labels && listed >= labels).then_some(())
        });
    };
    arrive(payments, labels);

    // The server does not answer for a while.
    scene.server.signal("STOP");
    broker.send(&messages(KILLS));
    std::thread::sleep(Duration::from_secs(2));
    scene.server.signal("CONT");
    arrive(payments + usize::try_from(PAYMENTS).expect("a small number"), labels + 1);

    let problems = eventually_within(PATIENCE, || {
        let found = problems(broker);
        println!("{} of {} dead letters", found.len(), 2 * (labels + 1));
        (found.len() == 2 * (labels + 1)).then_some(found)
    });
    connector.kill();
    for round in 0..=KILLS {
        let messages = messages(round);
        let code = |message: &String| problems.get(message).map(|problem| problem["code"].clone());
        let [.., order, taken] = messages.as_slice() else { panic!("{messages:?}") };
        assert_eq!(code(order), Some(json!("invalid_field")), "{problems:?}");
        assert_eq!(problems[taken]["status"], 409, "{problems:?}");
    }

    let listed = of_the_api(&scene, |event| is(event, "list_values_added")).len();
    assert_eq!(listed, labels + 1, "each change of the list has one effect");
    let mut effects: HashMap<String, usize> = HashMap::new();
    for event in of_the_api(&scene, |event| is(event, "payment_decided") || is(event, "label_recorded")) {
        let id = event["data"]["payment"]["id"]
            .as_str()
            .or(event["data"]["payment"].as_str())
            .or(event["data"]["id"].as_str());
        let id = id.unwrap_or_else(|| panic!("{event}"));
        *effects.entry(format!("{} {id}", event["kind"])).or_default() += 1;
    }
    assert_eq!(effects.len(), payments + labels + 11);
    assert!(effects.values().all(|count| *count == 1), "{effects:?}");
}

/// The problems of the dead letters, by their bodies. A message may have become one more than once.
fn problems(broker: &impl Broker) -> HashMap<String, Value> {
    let letters = broker.dead_letters().into_iter();
    letters.map(|(problem, body)| (body, serde_json::from_str(&problem).expect("a problem document"))).collect()
}

struct Kafka {
    service: Service,
}

impl Kafka {
    fn java(&self, tool: &str) -> Command {
        let mut java = Command::new("java");
        java.args(["-Xmx128m", "-XX:TieredStopAtLevel=1", "-cp", self.service.text("/tools"), tool]);
        java.args(["--bootstrap-server", self.service.text("/url")]);
        java
    }
}

impl Kafka {
    fn create(&self, topic: &str) {
        let mut tool = self.java("org.apache.kafka.tools.TopicCommand");
        tool.args(["--create", "--topic", topic, "--partitions", "1"]).stdout(Stdio::null());
        assert!(tool.status().expect("the tool runs").success());
    }
}

impl Broker for Kafka {
    fn send(&self, messages: &[String]) {
        let mut producer = self.java("org.apache.kafka.tools.ConsoleProducer");
        // Each message waits for its acknowledgement, and none for others.
        producer.args(["--topic", "commands", "--sync", "--timeout", "0"]).stdin(Stdio::piped()).stdout(Stdio::null());
        let mut producer = producer.spawn().expect("the console producer starts");
        let mut input = producer.stdin.take().expect("its input is piped");
        input.write_all(format!("{}\n", messages.join("\n")).as_bytes()).expect("it reads");
        drop(input);
        assert!(producer.wait().expect("it ends").success());
    }

    fn dead_letters(&self) -> Vec<(String, String)> {
        let mut consumer = self.java("org.apache.kafka.tools.consumer.ConsoleConsumer");
        consumer.args(["--topic", "dead", "--from-beginning", "--timeout-ms", "4000"]);
        consumer.args(["--property", "print.headers=true"]);
        let output = consumer.output().expect("the console consumer runs");
        let text = String::from_utf8(output.stdout).expect("text");
        let letters = text.lines().filter_map(|line| line.split_once('\t'));
        let letters = letters.map(|(headers, body)| {
            let problem = headers.strip_prefix("finaira-problem:").expect("a problem comes first");
            let (problem, message) = problem.rsplit_once(",finaira-message:").expect("the name of the message");
            assert!(message.starts_with("commands/0/"), "{message}");
            (problem.to_owned(), body.to_owned())
        });
        letters.collect()
    }
}

struct RabbitMq {
    service: Service,
}

impl RabbitMq {
    #[track_caller]
    fn run(&self, script: &str, input: &str) -> String {
        let open = format!(
            "import json, pika, sys\nconnection = pika.BlockingConnection(pika.URLParameters('{}'))\n\
             channel = connection.channel()\n",
            self.service.text("/url"),
        );
        let mut python = Command::new(self.service.text("/python"));
        python.arg("-c").arg(format!("{open}{script}")).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut python = python.spawn().expect("Python starts");
        python.stdin.take().expect("its input is piped").write_all(input.as_bytes()).expect("it reads");
        let output = python.wait_with_output().expect("it ends");
        assert!(output.status.success());
        String::from_utf8(output.stdout).expect("text")
    }
}

/// Sends each line of standard input.
const SEND: &str = "
channel.queue_declare('commands', durable=True)
channel.confirm_delivery()
for line in sys.stdin:
    line = line.rstrip('\\n')
    properties = pika.BasicProperties(delivery_mode=2, message_id=str(hash(line)))
    channel.basic_publish('', 'commands', line, properties)
";

/// Prints all dead letters. They are not acknowledged, so they stay there.
const DEAD: &str = "
channel.queue_declare('dead', durable=True)
for method, properties, body in channel.consume('dead', inactivity_timeout=1):
    if method is None:
        break
    print(json.dumps({'problem': properties.headers['finaira-problem'], 'body': body.decode()}))
";

impl Broker for RabbitMq {
    fn send(&self, messages: &[String]) {
        self.run(SEND, &messages.join("\n"));
    }

    fn dead_letters(&self) -> Vec<(String, String)> {
        let text = |letter: &Value, name: &str| letter[name].as_str().expect("a text").to_owned();
        let letters = rows(&self.run(DEAD, ""));
        letters.iter().map(|letter| (text(letter, "problem"), text(letter, "body"))).collect()
    }
}
