//! Object stores: Parquet files that DuckDB reads, and the archive of the journal, whatever is killed.
//!
//! The stores are a directory and Moto. Moto's service brings DuckDB. Those that take long to build are tried only where their variables are set.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::harness::finaira;
use crate::service::Service;
use crate::suite::{Scene, imports, is_fenced, number, opens_an_import, signal, survives_kills};

const MOTO: &str = "FINAIRA_REQUIRE_MOTO";

#[test]
fn parquet_files_in_a_directory_hold_what_the_journal_says() {
    let Some(moto) = Service::up("moto", MOTO) else { return };
    let folder = tempfile::tempdir().unwrap();
    let lake = folder.path().join("finaira");
    let mut scene = Scene::start(&settings("parquet", &in_directory(&lake)), 13);
    let python = moto.text("/python");
    begins(&mut scene);
    comes_to_rest(&scene);
    agrees_with_the_api(&scene, python, folder.path());

    finds_what_others_changed(&scene, python, &lake);
    survives_kills(&mut scene);
    scene.is_whole();
    is_fenced(&scene);
    scene.is_whole();
    opens_an_import(&mut scene, 40_000, Duration::from_millis(13));
    heals_from_an_old_copy(&mut scene, &lake);
    comes_to_rest(&scene);
    agrees_with_the_api(&scene, python, folder.path());
    assert!(scene.server.stop().success());
}

#[test]
fn parquet_files_in_s3_hold_what_the_journal_says() {
    let Some(moto) = Service::up("moto", MOTO) else { return };
    let mut scene = Scene::start(&settings("parquet", &in_s3(&moto, "finaira")), 14);
    begins(&mut scene);
    survives_kills(&mut scene);
    scene.is_whole();
    is_fenced(&scene);
    scene.is_whole();
    waits_for_a_stalled_store(&mut scene, &moto);
    comes_to_rest(&scene);
    let folder = tempfile::tempdir().unwrap();
    download(&moto, "finaira", folder.path());
    agrees_with_the_api(&scene, moto.text("/python"), folder.path());
    assert!(scene.server.stop().success());
}

#[test]
fn an_archive_in_a_directory_holds_the_journal() {
    let Some(_moto) = Service::up("moto", MOTO) else { return };
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("archive");
    let mut scene = Scene::start(&settings("archive", &in_directory(&archive)), 15);
    begins(&mut scene);
    is_fetched(&scene);
    survives_kills(&mut scene);
    scene.is_whole();
    is_fenced(&scene);
    heals_from_an_old_copy(&mut scene, &archive);
    imports(&scene, 40_000);
    scene.is_whole();
    is_the_journal_byte_for_byte(&scene, &archive);
    is_fetched(&scene);
    damage_is_found(&scene, &archive);
    assert!(scene.server.stop().success());
}

#[test]
fn an_archive_in_s3_holds_the_journal() {
    let Some(moto) = Service::up("moto", MOTO) else { return };
    let mut scene = Scene::start(&settings("archive", &in_s3(&moto, "finaira")), 16);
    begins(&mut scene);
    survives_kills(&mut scene);
    scene.is_whole();
    is_fenced(&scene);
    waits_for_a_stalled_store(&mut scene, &moto);
    is_fetched(&scene);
    assert!(scene.server.stop().success());
}

#[test]
fn other_stores_hold_what_the_journal_says() {
    type Place = fn(&Service, &str) -> String;
    // The emulator of Google Cloud Storage does not know the requests that the client makes.
    let stores: [(&str, &str, Place); 2] =
        [("s3", "FINAIRA_REQUIRE_S3", in_s3), ("azurite", "FINAIRA_REQUIRE_AZURITE", in_azurite)];
    for (name, variable, place) in stores {
        let Some(service) = Service::up(name, variable) else { continue };
        for kind in ["parquet", "archive"] {
            let settings = settings(kind, &place(&service, kind));
            let mut scene = Scene::start(&settings, 17);
            begins(&mut scene);
            for wait_ms in (0..10).map(|kill| kill * 37) {
                scene.traffic.send(3);
                let connector = scene.connect(&[]);
                std::thread::sleep(Duration::from_millis(wait_ms));
                connector.kill();
            }
            scene.is_whole();
            is_fenced(&scene);
            scene.is_whole();
            println!("{kind} in {name} holds what the journal says");
            assert!(scene.server.stop().success());
        }
    }
}

/// Batches are written at once, so that there are many.
fn settings(kind: &str, place: &str) -> String {
    format!("kind = \"{kind}\"\nwait_s_max = 0\n{place}")
}

fn in_directory(directory: &Path) -> String {
    format!("url = \"file://{}\"", directory.display())
}

fn in_s3(service: &Service, prefix: &str) -> String {
    let [url, region, bucket, account, secret] =
        ["/url", "/region", "/bucket", "/access_key", "/secret_key"].map(|name| service.text(name));
    format!(
        "url = \"s3://{bucket}/{prefix}\"\nendpoint = \"{url}\"\nregion = \"{region}\"\npath_style = true\naccount = \"{account}\"\n\
         secret_file = {:?}\ntime_out_s = 10",
        secret_file(secret)
    )
}

fn in_azurite(service: &Service, prefix: &str) -> String {
    let [url, container, account, secret] = ["/url", "/container", "/account", "/key"].map(|name| service.text(name));
    format!(
        "url = \"az://{container}/{prefix}\"\nendpoint = \"{url}\"\naccount = \"{account}\"\nsecret_file = {:?}\ntime_out_s = 10",
        secret_file(secret)
    )
}

/// A file with a secret, which stays until the test process ends.
fn secret_file(secret: &str) -> PathBuf {
    use std::os::unix::fs::PermissionsExt as _;
    let (_, path) = tempfile::NamedTempFile::new().unwrap().keep().unwrap();
    std::fs::write(&path, secret).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path
}

fn begins(scene: &mut Scene) {
    let (right, said) = scene.verify();
    assert!(!right && said.contains("target `tried` holds no copy yet; run `finaira connect` first"), "{said}");
    scene.traffic.send(200);
    scene.is_whole();
}

/// Waits until pending transfers with a timeout of a second have expired, and copies that.
fn comes_to_rest(scene: &Scene) {
    std::thread::sleep(Duration::from_secs(2));
    scene.is_whole();
}

/// A store that does not answer for a while stops the connector only for that while.
fn waits_for_a_stalled_store(scene: &mut Scene, service: &Service) {
    let following = scene.connect(&[]);
    let pid = number(&service.description, "pid");
    scene.traffic.send(10);
    signal(pid, "STOP");
    scene.traffic.send(10);
    std::thread::sleep(Duration::from_secs(2));
    signal(pid, "CONT");
    scene.traffic.send(10);
    following.kill();
    scene.is_whole();
}

/// A connector whose copy is replaced by an older one continues from there.
fn heals_from_an_old_copy(scene: &mut Scene, directory: &Path) {
    let saved = directory.with_file_name("saved");
    scene.connect_once();
    copy(directory, &saved);
    scene.traffic.send(60);
    scene.connect_once();
    let following = scene.connect(&[]);
    // It writes nothing while the copy is replaced.
    std::thread::sleep(Duration::from_secs(2));
    std::fs::remove_dir_all(directory).unwrap();
    copy(&saved, directory);
    scene.traffic.send(20);
    std::thread::sleep(Duration::from_secs(1));
    following.kill();
    scene.is_whole();
}

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status();
    assert!(copied.unwrap().success());
}

/// A verification finds rows and files that somebody changed, removed or added.
fn finds_what_others_changed(scene: &Scene, python: &str, lake: &Path) {
    let saved = lake.with_file_name("untouched");
    copy(lake, &saved);
    let restore = || {
        std::fs::remove_dir_all(lake).unwrap();
        copy(&saved, lake);
        let (right, said) = scene.verify();
        assert!(right, "{said}");
    };
    #[track_caller]
    fn finds(scene: &Scene, expected: &str) {
        let (right, said) = scene.verify();
        assert!(!right && said.contains(expected), "{said}");
    }
    let file = files(&lake.join("transfers")).swap_remove(0);
    let changed = file.with_extension("changed");
    query(
        python,
        lake,
        &format!(
            "copy (select * replace ((amount + if(sequence = (select max(sequence) from '{0}'), 1, 0))::decimal(38, 0) as amount) \
             from read_parquet('{0}', hive_partitioning = false) order by sequence) to '{1}' (format parquet); select 1",
            file.display(),
            changed.display()
        ),
    );
    std::fs::rename(&changed, &file).unwrap();
    finds(scene, "1 rows differ from the journal");
    restore();

    std::fs::remove_file(&file).unwrap();
    finds(scene, "is missing");
    restore();

    std::fs::copy(&file, file.with_file_name("more.parquet")).unwrap();
    finds(scene, "more.parquet` belongs to no batch");
    restore();

    std::fs::write(&file, b"PAR1").unwrap();
    finds(scene, "cannot be read");
    restore();
}

/// All objects in a folder and those below it, in order. What a killed connector had not written completely is not an object.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(self::files(&path));
        } else if !path.to_string_lossy().contains('#') {
            files.push(path);
        }
    }
    files.sort_unstable();
    files
}

/// Runs SQL in DuckDB, and returns the rows of the last statement.
#[track_caller]
fn query(python: &str, directory: &Path, sql: &str) -> Vec<Vec<Value>> {
    const RUN: &str =
        "import sys, json, duckdb; print(json.dumps(duckdb.sql(sys.stdin.read()).fetchall(), default=str))";
    let mut command = Command::new(python);
    command.args(["-c", RUN]).current_dir(directory).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(sql.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{sql}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Copies all objects with a prefix into a directory, under their names. DuckDB would have to download an extension to read them from S3.
fn download(service: &Service, prefix: &str, to: &Path) {
    const RUN: &str = "import sys, os, boto3
url, bucket, prefix, to = sys.argv[1:]
s3 = boto3.client('s3', endpoint_url=url, region_name='us-east-1', aws_access_key_id='any', aws_secret_access_key='any')
for page in s3.get_paginator('list_objects_v2').paginate(Bucket=bucket, Prefix=prefix):
    for found in page['Contents']:
        path = os.path.join(to, found['Key'])
        os.makedirs(os.path.dirname(path), exist_ok=True)
        s3.download_file(bucket, found['Key'], path)";
    let mut command = Command::new(service.text("/python"));
    command.args(["-c", RUN, service.text("/url"), service.text("/bucket"), prefix]).arg(to);
    assert!(command.status().unwrap().success());
}

/// What DuckDB computes from the files is what the server answers. The balances are those of the example in the documentation.
#[track_caller]
fn agrees_with_the_api(scene: &Scene, python: &str, directory: &Path) {
    let page = include_str!("../../../../docs/connectors.md");
    let example = page.split("```sql").find(|block| block.contains("read_parquet")).unwrap();
    let balances = query(python, directory, example.split("```").next().unwrap());
    assert!(balances.len() > 40, "{} accounts", balances.len());
    for row in &balances {
        let [id, found @ ..] = row.as_slice() else { panic!("{row:?}") };
        let account = scene.client.get(&format!("/v1/accounts/{}", id.as_str().unwrap()));
        let fields = ["debits_pending", "debits_posted", "credits_pending", "credits_posted"];
        for (field, found) in fields.iter().zip(found) {
            assert_eq!(account.body[field].as_str(), found.as_str(), "{field} of {row:?}: {account:?}");
        }
    }
    let payments = query(
        python,
        directory,
        "with payments as (from read_parquet('finaira/payments/*/*.parquet')), \
         changes as (from read_parquet('finaira/payment_changes/*/*.parquet')) \
         select id, (amount + coalesce((select sum(raised_by) from changes where payment = id), 0))::varchar, \
         coalesce((select arg_max(status, sequence) from changes where payment = id), status), \
         (select arg_max(captured, sequence) from changes where payment = id)::varchar, verdict, \
         json_array_length(reasons), len(tags) from payments",
    );
    assert!(payments.len() > 20, "{} payments", payments.len());
    for row in &payments {
        let payment = scene.client.get(&format!("/v1/payments/{}", row[0].as_str().unwrap()));
        assert_eq!(payment.body["amount"], row[1], "{row:?} {payment:?}");
        assert_eq!(payment.body["status"], row[2], "{row:?} {payment:?}");
        if !row[3].is_null() {
            assert_eq!(payment.body["captured"], row[3], "{row:?} {payment:?}");
        }
    }
    // Each entry has its rows once, in the folder of its day.
    for (table, key) in [("transfers", "id"), ("payments", "id"), ("accounts", "id"), ("labels", "sequence")] {
        let counts = query(
            python,
            directory,
            &format!(
                "select count(*), count(distinct {key}), count(distinct day) \
                 from read_parquet('finaira/{table}/*/*.parquet', hive_partitioning = true)"
            ),
        );
        let [all, distinct, days] = counts[0].as_slice() else { panic!("{counts:?}") };
        assert_eq!(all, distinct, "{table}");
        assert!(days.as_u64().unwrap() >= 1, "{table}");
    }
}

/// The archive becomes a copy that `verify` and `restore` read.
#[track_caller]
fn is_fetched(scene: &Scene) {
    scene.is_whole();
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("copy").to_string_lossy().into_owned();
    let (done, said) = fetch(scene, &to);
    assert!(done, "{said}");
    let root =
        said.split("must be ").nth(1).and_then(|rest| rest.split(';').next()).unwrap_or_else(|| panic!("{said}"));
    let (right, verified) = finaira(&["verify", &to]);
    assert!(right && verified.contains(root), "{said}{verified}");
    // It can be continued.
    let (done, again) = fetch(scene, &to);
    assert!(done && again == said, "{again}");
    let data = folder.path().join("data").to_string_lossy().into_owned();
    let (done, said) = finaira(&["restore", "--from", &to, "--to", &data]);
    assert!(done && said.contains("left out       0 entries"), "{said}");
}

fn fetch(scene: &Scene, to: &str) -> (bool, String) {
    let config = scene.config.to_string_lossy();
    finaira(&["fetch-archive", "--config", &config, "--target", "tried", "--to", to])
}

/// The objects of a segment, one after another, are the segment of the journal, without the zeros at its end.
#[track_caller]
fn is_the_journal_byte_for_byte(scene: &Scene, archive: &Path) {
    let mut segments: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for file in files(&archive.join("segments")) {
        let segment = file.parent().unwrap().file_name().unwrap().to_string_lossy().into_owned();
        segments.entry(segment).or_default().extend(std::fs::read(&file).unwrap());
    }
    assert!(segments.len() > 1, "the journal has several segments");
    for (number, archived) in segments {
        let original = scene.config.with_file_name(format!("data/journal/segment-{number}"));
        let original = std::fs::read(original).unwrap();
        assert!(original.starts_with(&archived), "segment {number} with {} bytes", archived.len());
    }
}

/// Bytes that somebody changed are found by a verification, and are not fetched.
fn damage_is_found(scene: &Scene, archive: &Path) {
    let file = files(&archive.join("segments")).swap_remove(0);
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let (right, said) = scene.verify();
    assert!(!right && said.contains("has other bytes than the journal"), "{said}");
    let folder = tempfile::tempdir().unwrap();
    let (done, said) = fetch(scene, &folder.path().join("copy").to_string_lossy());
    assert!(!done && said.contains("damaged"), "{said}");
}
