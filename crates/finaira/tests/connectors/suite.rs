//! What every target must do, with the real server, the real `finaira connect` and the real target.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::endpoint::{free_address, get, metric, with_endpoint};
use crate::harness::{Client, Server, eventually_within, finaira};
use crate::mounted::Mounted;
use crate::traffic::Traffic;

/// Entries in a batch: few, so that there are many.
pub(crate) const BATCH_ENTRIES: usize = 200;
/// How long the first of two connectors may take to notice the second one, in seconds.
const FENCED_WITHIN_S: u32 = 60;
/// How often the target is killed while a connector writes.
const TARGET_KILLS: usize = 5;

/// How often the connector is killed while it writes: `FINAIRA_CONNECTOR_KILLS`, by default 100.
pub(crate) fn kills() -> usize {
    let Ok(kills) = std::env::var("FINAIRA_CONNECTOR_KILLS") else { return 100 };
    kills.parse().expect("FINAIRA_CONNECTOR_KILLS is a number")
}

/// A target that can be tried.
pub(crate) trait Tried {
    /// The settings of the target in the configuration: its kind, address and so on.
    fn settings(&self) -> String;

    /// The process of the target.
    fn pid(&self) -> u32;

    /// Starts the target again, on its data, after it was killed.
    fn restart(&mut self);

    /// Keeps a copy of everything in the target.
    fn save(&self);

    /// Replaces everything in the target by what [`Tried::save`] kept.
    fn restore_saved(&self);

    /// All accounts, each with its `id` and its balances as texts.
    fn accounts(&self) -> Vec<Value>;

    /// All payments, each with its `id`, `status`, `amount` and sums as texts; none if the target does not keep them.
    fn payments(&self) -> Vec<Value>;

    /// Changes the balance of one account, deletes a transfer and changes the status of a payment, behind the connector's back. Returns how
    /// many rows differ now.
    fn tamper(&self) -> u64;

    /// How much longer each run of a connector is than the one before, while an import is opened: a small part of what a batch of it takes.
    fn longer_each_time(&self) -> Duration {
        Duration::from_millis(13)
    }

    /// Transfers in the import that is opened. They are in several frames, because a batch has at least one.
    fn import_transfers(&self) -> usize {
        40_000
    }
}

/// A server with some traffic, and the configuration of a connector.
pub(crate) struct Scene {
    _folder: tempfile::TempDir,
    pub(crate) config: PathBuf,
    pub(crate) server: Server,
    pub(crate) client: Client,
    pub(crate) traffic: Traffic,
}

impl Scene {
    /// `settings` are those of the target: its kind, address and so on.
    pub(crate) fn start(settings: &str, seed: u64) -> Self {
        Self::with(
            &format!("[[targets]]\nname = \"tried\"\ntenant = \"main\"\nbatch_entries = {BATCH_ENTRIES}\n{settings}"),
            seed,
        )
    }

    /// `tables` follow the table of the tenant in the configuration.
    pub(crate) fn with(tables: &str, seed: u64) -> Self {
        let folder = tempfile::tempdir().expect("a directory");
        let server = Server::start(&folder.path().join("data"));
        let key = server.key.clone().expect("the first start prints an API key");
        let client = server.client(&key);
        let (key_file, config) = (folder.path().join("api.key"), folder.path().join("connect.toml"));
        write_secret(&key_file, &key);
        let text = format!(
            "directory = {:?}\n[[tenants]]\nname = \"main\"\nserver = \"{}\"\napi_key_file = {:?}\n{tables}\n",
            folder.path().join("connect"),
            server.address,
            key_file,
        );
        std::fs::write(&config, text).expect("the configuration is written");
        let traffic = Traffic::begin(&client, seed);
        Self { _folder: folder, config, server, client, traffic }
    }

    /// Starts a connector.
    pub(crate) fn connect(&self, arguments: &[&str]) -> Connect {
        self.connect_in(&self.config, arguments)
    }

    fn connect_in(&self, config: &Path, arguments: &[&str]) -> Connect {
        let mut command = Command::new(env!("CARGO_BIN_EXE_finaira"));
        command.arg("connect").arg("--config").arg(config).args(arguments);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
        Connect(child.expect("the binary starts"))
    }

    /// Runs a connector for a while, and returns what it said.
    pub(crate) fn connect_saying(&self, during: Duration) -> String {
        let mut connector = self.connect(&[]);
        std::thread::sleep(during);
        connector.0.kill().expect("the process can be killed");
        connector.wait().1
    }

    /// Runs a connector until the target has everything.
    #[track_caller]
    pub(crate) fn connect_once(&self) {
        let (done, said) = finaira(&["connect", "--once", "--config", &self.config.to_string_lossy()]);
        assert!(done, "{said}");
    }

    pub(crate) fn verify(&self) -> (bool, String) {
        finaira(&["verify", "--target", "tried", "--config", &self.config.to_string_lossy()])
    }

    /// The copy in the target must be equal to the journal.
    #[track_caller]
    pub(crate) fn is_whole(&self) {
        self.connect_once();
        let (right, said) = self.verify();
        assert!(right && said.contains("The copy is equal to the journal."), "{said}\n{}", self.server.log());
    }
}

pub(crate) fn write_secret(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::write(path, text).expect("the key is written");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).expect("its permissions are set");
}

/// A running connector, which is killed when this is dropped.
pub(crate) struct Connect(Child);

impl Connect {
    pub(crate) fn kill(mut self) {
        self.0.kill().expect("the process can be killed");
        self.0.wait().expect("the process ends");
    }

    fn has_ended(&mut self) -> bool {
        self.0.try_wait().expect("the process can be asked").is_some()
    }

    /// Waits until the process ends by itself; returns whether it succeeded and what it said.
    fn wait(mut self) -> (bool, String) {
        use std::io::Read as _;
        let mut said = String::new();
        self.0.stderr.take().expect("standard error is piped").read_to_string(&mut said).expect("text");
        (self.0.wait().expect("the process ends").success(), said)
    }
}

impl Drop for Connect {
    fn drop(&mut self) {
        // Killing fails if the process has already ended, which is fine.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Everything that a target with rows must do.
pub(crate) fn holds_what_the_journal_says<T: Tried>(mut tried: T) -> T {
    let mut scene = Scene::start(&tried.settings(), 7);
    let (right, said) = scene.verify();
    assert!(!right && said.contains("target `tried` holds no copy yet; run `finaira connect` first"), "{said}");
    scene.traffic.send(200);
    scene.is_whole();
    agrees_with_the_api(&scene, &tried);
    is_compared_with_a_backup(&scene);
    finds_what_others_changed(&scene, &tried);
    survives_kills(&mut scene);
    scene.is_whole();
    is_fenced(&scene);
    scene.is_whole();
    opens_an_import(&mut scene, tried.import_transfers(), tried.longer_each_time());
    heals_from_an_old_copy(&mut scene, &tried);
    survives_kills_of_the_target(&mut scene, &mut tried);
    waits_for_a_stalled_target(&mut scene, &tried);
    agrees_with_the_api(&scene, &tried);
    let Scene { server, .. } = scene;
    assert!(server.stop().success());
    tried
}

/// The rows of an import that is opened arrive in several batches. A connector that is killed between them goes on where it was.
pub(crate) fn opens_an_import(scene: &mut Scene, transfers: usize, longer_each_time: Duration) {
    imports(scene, transfers);
    let mut opening = 0;
    let mut time = Duration::from_millis(40);
    for _ in 0..100 {
        let connector = scene.connect(&[]);
        // Each run is a little longer than the one before, so that the first one which writes anything writes only a part.
        std::thread::sleep(time);
        time += longer_each_time;
        connector.kill();
        let (is_done, said) = scene.verify();
        opening += usize::from(said.contains("an import is being opened"));
        if opening > 0 && is_done {
            break;
        }
    }
    assert!(opening > 0, "no kill was between the batches of the import");
    scene.is_whole();
}

/// Imports a book with so many transfers, and opens it.
pub(crate) fn imports(scene: &Scene, transfers: usize) {
    const LEDGER: u32 = 55;
    let made = scene.client.post("/v1/ledgers", &serde_json::json!({"id": LEDGER, "asset": "EUR/2"}));
    assert_eq!(made.status, 201, "{made:?}");
    let file = |name: &str| scene.config.with_file_name(name).to_string_lossy().into_owned();
    let accounts = (1..=100).map(|id| format!("{},7,2020-01-01T00:00:00Z,history\n", 700_000 + id));
    let text = "id,code,timestamp,flags\n".to_owned() + &accounts.collect::<String>();
    std::fs::write(file("accounts.csv"), text).expect("a file");
    let transfers = (0..transfers).map(|number| {
        let (debit, credit) = (700_001 + number % 100, 700_001 + (number + 1) % 100);
        format!("{},{debit},{credit},{number},9,{}\n", 80_000_000 + number, 1_600_000_000_000_000_000 + number)
    });
    let text =
        "id,debit_account_id,credit_account_id,amount,code,timestamp\n".to_owned() + &transfers.collect::<String>();
    std::fs::write(file("transfers.csv"), text).expect("a file");
    let (ledger, address, key) = (LEDGER.to_string(), scene.server.address.clone(), file("api.key"));
    let (done, said) = finaira(&[
        "import",
        "run",
        "--server",
        &address,
        "--api-key-file",
        &key,
        "--ledger",
        &ledger,
        "--accounts",
        &file("accounts.csv"),
        "--transfers",
        &file("transfers.csv"),
    ]);
    assert!(done, "{said}");
}

/// A backup can be used instead of the copy that the connector keeps.
fn is_compared_with_a_backup(scene: &Scene) {
    let backup = scene.config.with_file_name("backup").to_string_lossy().into_owned();
    let key = scene.config.with_file_name("api.key").to_string_lossy().into_owned();
    let (done, said) = finaira(&["backup", "--server", &scene.server.address, "--api-key-file", &key, "--to", &backup]);
    assert!(done, "{said}");
    let config = scene.config.to_string_lossy();
    let (right, said) =
        finaira(&["verify", "--target", "tried", "--config", &config, "--copy", &backup, "--each", "3"]);
    assert!(right, "{said}");
}

/// A connector that is killed at any moment loses nothing and repeats nothing.
pub(crate) fn survives_kills(scene: &mut Scene) {
    let begun = Instant::now();
    let kills = kills();
    for kill in 0..kills {
        scene.traffic.send(3);
        let connector = scene.connect(&[]);
        // From before it has connected until after it has written.
        std::thread::sleep(Duration::from_millis((kill as u64 * 37) % 260));
        connector.kill();
    }
    println!("{kills} kills of the connector took {:.1?}", begun.elapsed());
    // The soak reads this line.
    println!("{}={kills}", std::thread::current().name().unwrap_or("kills"));
}

/// A second connector takes over, and the first stops.
pub(crate) fn is_fenced(scene: &Scene) {
    let (first_config, other) = (scene.config.with_file_name("first.toml"), scene.config.with_file_name("other.toml"));
    let (first_address, other_address) = (free_address(), free_address());
    with_endpoint(&scene.config, &first_config, &first_address);
    let text = std::fs::read_to_string(&scene.config).expect("the configuration");
    std::fs::write(&other, text.replacen("/connect\"", "/other\"", 1)).expect("the configuration is written");
    with_endpoint(&other, &other, &other_address);
    let one_more = |ledger: u32| {
        let made = scene.client.post("/v1/ledgers", &serde_json::json!({"id": ledger, "asset": "USD/2"}));
        assert!([200, 201, 503].contains(&made.status), "{made:?}");
    };

    // The first one writes, because a target of events shows it only in what it wrote.
    let mut first = scene.connect_in(&first_config, &[]);
    let position = has_written_after(0.0, &first_address);
    one_more(76);
    let position = has_written_after(position, &first_address);
    let second = scene.connect_in(&other, &[]);
    has_written_after(position - 1.0, &other_address);
    // Targets without fences show the second connector only in what it wrote before.
    for ledger in 77..77 + FENCED_WITHIN_S {
        if first.has_ended() {
            break;
        }
        one_more(ledger);
        std::thread::sleep(Duration::from_secs(1));
    }
    assert!(first.has_ended(), "the first connector goes on");
    let (succeeded, said) = first.wait();
    assert!(!succeeded && said.contains("another connector has taken over"), "{said}");
    second.kill();
}

/// Waits until the connector that answers at this address is past a position and at the end of the journal, and returns where that is.
fn has_written_after(position: f64, address: &str) -> f64 {
    eventually_within(Duration::from_secs(60), || {
        let (_, metrics) = get(address, "/metrics")?;
        let now = metric(&metrics, "position")?;
        (now > position && metric(&metrics, "lag_entries")? == 0.0).then_some(now)
    })
}

/// A target whose disk is full gets nothing until it has room again, and then everything.
pub(crate) fn waits_for_room(scene: &mut Scene, disk: &Mounted) {
    scene.traffic.send(40);
    scene.connect_once();
    let (config, address) = (scene.config.with_file_name("watched.toml"), free_address());
    with_endpoint(&scene.config, &config, &address);
    let ballast = disk.fill();
    let connector = scene.connect_in(&config, &[]);
    let patience = Duration::from_secs(60);
    let (_, unhealthy) = eventually_within(patience, || {
        scene.traffic.send(20);
        get(&address, "/healthz").filter(|(status, _)| *status == 503)
    });
    assert!(unhealthy.contains("No space left on device"), "{unhealthy}");
    std::fs::remove_file(ballast).expect("the file can be removed");
    eventually_within(patience, || get(&address, "/healthz").filter(|(status, _)| *status == 200));
    connector.kill();
    scene.is_whole();
}

/// A target that was restored from an old copy continues from there.
fn heals_from_an_old_copy(scene: &mut Scene, tried: &impl Tried) {
    scene.connect_once();
    tried.save();
    scene.traffic.send(60);
    scene.connect_once();
    let following = scene.connect(&[]);
    tried.restore_saved();
    scene.traffic.send(20);
    following.kill();
    scene.is_whole();
}

/// A target that is killed at any moment loses nothing that it acknowledged together with the cursor.
fn survives_kills_of_the_target(scene: &mut Scene, tried: &mut impl Tried) {
    for _ in 0..TARGET_KILLS {
        let following = scene.connect(&[]);
        scene.traffic.send(10);
        signal(tried.pid(), "KILL");
        scene.traffic.send(5);
        tried.restart();
        scene.traffic.send(5);
        following.kill();
    }
    scene.is_whole();
}

/// A target that does not answer for a while stops the connector only for that while.
fn waits_for_a_stalled_target(scene: &mut Scene, tried: &impl Tried) {
    let following = scene.connect(&[]);
    scene.traffic.send(10);
    signal(tried.pid(), "STOP");
    scene.traffic.send(10);
    std::thread::sleep(Duration::from_secs(2));
    signal(tried.pid(), "CONT");
    scene.traffic.send(10);
    following.kill();
    scene.is_whole();
}

/// A verification finds rows that somebody changed.
fn finds_what_others_changed(scene: &Scene, tried: &impl Tried) {
    tried.save();
    let changed = tried.tamper();
    let (right, said) = scene.verify();
    assert!(!right && said.contains(&format!("{changed} rows differ from the journal")), "{said}");
    tried.restore_saved();
    let (right, said) = scene.verify();
    assert!(right, "{said}");
}

/// The rows of the target are what the server itself answers. A verification compares them with the same fold that wrote them.
fn agrees_with_the_api(scene: &Scene, tried: &impl Tried) {
    // Until pending transfers with a timeout of a second have expired.
    std::thread::sleep(Duration::from_secs(2));
    scene.is_whole();
    let compare = |path: &str, row: &Value, fields: &[&str]| {
        let id = row["id"].as_str().expect("an id");
        let answer = scene.client.get(&format!("{path}/{id}"));
        for field in fields {
            assert_eq!(row[field], answer.body[field], "{field} of {path}/{id}: {row} {answer:?}");
        }
    };
    let accounts = tried.accounts();
    assert!(accounts.len() > 40, "{} accounts", accounts.len());
    for account in &accounts {
        compare("/v1/accounts", account, &["debits_pending", "debits_posted", "credits_pending", "credits_posted"]);
    }
    for payment in tried.payments() {
        compare("/v1/payments", &payment, &["status", "amount", "captured", "released", "refunded"]);
    }
}

pub(crate) fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status();
    assert!(sent.expect("kill runs").success());
}

/// Starts a server again after it was killed, on the data that it had and at the same address. Returns its new description.
pub(crate) fn again(name: &str) -> Value {
    let line = crate::service::xtask(&["up", name, "--keep"]).expect("the server starts again");
    serde_json::from_str(&line).expect("JSON")
}

/// Rows that a client of the target printed, one JSON object a line.
pub(crate) fn rows(printed: &str) -> Vec<Value> {
    printed.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

/// A member of a description that is a number.
#[track_caller]
pub(crate) fn number(description: &Value, name: &str) -> u32 {
    description[name]
        .as_u64()
        .and_then(|number| number.try_into().ok())
        .unwrap_or_else(|| panic!("{name}: {description}"))
}
