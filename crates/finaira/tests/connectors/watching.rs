//! A running connector says how far it is, and the benchmark of targets runs. The target is a directory, so this needs no server of others.

use std::time::Duration;

use crate::endpoint::{free_address, get, metric, with_endpoint};
use crate::harness::{eventually_within, finaira};
use crate::mounted::{MIB, Mounted};
use crate::suite::{Scene, waits_for_room};

const PATIENCE: Duration = Duration::from_secs(30);

/// A directory as a target.
fn target(directory: &std::path::Path) -> String {
    format!(
        "[[targets]]\nname = \"tried\"\ntenant = \"main\"\nkind = \"parquet\"\nurl = \"file://{}\"\nwait_s_max = 1",
        directory.display()
    )
}

#[test]
fn a_running_connector_says_how_far_it_is() {
    let folder = tempfile::tempdir().expect("a directory");
    let mut scene = Scene::with(&target(folder.path()), 61);
    let address = free_address();
    with_endpoint(&scene.config, &scene.config, &address);
    let config = scene.config.to_string_lossy().into_owned();
    let (answered, said) = finaira(&["connect", "status", "--config", &config]);
    assert!(!answered && said.contains("is `finaira connect` running?"), "{said}");

    scene.traffic.send(40);
    let connector = scene.connect(&[]);
    let last = eventually_within(PATIENCE, || {
        let (status, metrics) = get(&address, "/metrics")?;
        assert_eq!(status, 200, "{metrics}");
        let is_there = metric(&metrics, "lag_entries")? == 0.0 && metric(&metrics, "position")? > 40.0;
        (is_there && metric(&metrics, "rows_total")? > 40.0).then(|| metric(&metrics, "journal_position"))?
    });
    assert_eq!(get(&address, "/healthz"), Some((200, "ok\n".to_owned())));
    let (answered, said) = finaira(&["connect", "status", "--config", &config]);
    assert!(answered && said.contains("tried") && said.contains("TARGET"), "{said}");

    // While the server is gone, the copy gets older, which the lag does not show.
    scene.server.signal("STOP");
    eventually_within(PATIENCE, || {
        let (_, metrics) = get(&address, "/metrics")?;
        assert!(metric(&metrics, "journal_position")? >= last);
        (metric(&metrics, "copy_age_seconds")? > 3.0).then_some(())
    });
    scene.server.signal("CONT");
    eventually_within(PATIENCE, || {
        let (_, metrics) = get(&address, "/metrics")?;
        (metric(&metrics, "copy_age_seconds")? < 3.0).then_some(())
    });

    // A target that cannot be written to.
    let away = folder.path().with_extension("away");
    std::fs::rename(folder.path(), &away).expect("it is moved");
    std::fs::write(folder.path(), "a file where the directory was").expect("a file");
    scene.traffic.send(10);
    let (_, unhealthy) = eventually_within(PATIENCE, || get(&address, "/healthz").filter(|(status, _)| *status == 503));
    assert!(unhealthy.starts_with("tried: "), "{unhealthy}");
    std::fs::remove_file(folder.path()).expect("it is removed");
    std::fs::rename(&away, folder.path()).expect("it is moved back");
    eventually_within(Duration::from_secs(60), || get(&address, "/healthz").filter(|(status, _)| *status == 200));
    connector.kill();
    assert!(scene.server.stop().success());
}

#[test]
fn files_wait_until_their_disk_has_room() {
    let Some(disk) = Mounted::of_bytes(4 * MIB) else { return };
    let mut scene = Scene::with(&target(&disk.path.join("copy")), 63);
    waits_for_room(&mut scene, &disk);
    assert!(scene.server.stop().success());
}

#[test]
fn settings_that_do_not_fit_a_target_are_refused_before_it_is_opened() {
    let folder = tempfile::tempdir().expect("a directory");
    let copy = folder.path().join("copy");
    for (setting, expected) in
        [("from = 5", "`from` is only for targets that keep events"), ("ledgers = [1]", "`ledgers`, `payment_types`")]
    {
        let scene = Scene::with(&format!("{}\n{setting}", target(&copy)), 62);
        let log = scene.connect_saying(Duration::from_secs(2));
        assert!(log.contains(expected), "{log}");
        let (done, said) = scene.verify();
        assert!(!done && said.contains("holds no copy yet"), "nothing was opened: {said}");
        assert!(scene.server.stop().success());
    }
}

#[test]
fn a_target_is_measured_only_while_it_is_empty() {
    let folder = tempfile::tempdir().expect("a directory");
    let (copy, config) = (folder.path().join("copy"), folder.path().join("connect.toml"));
    let tenant = "[[tenants]]\nname = \"main\"\nserver = \"http://127.0.0.1:1\"\napi_key_env = \"NONE\"";
    let text = format!("directory = {:?}\n{tenant}\n{}", folder.path().join("local"), target(&copy));
    std::fs::write(&config, text).expect("the configuration is written");
    let config = config.to_string_lossy();
    let bench = ["bench", "connect", "--config", &config, "--target", "tried", "--count", "20000", "--accounts", "50"];
    let (done, said) = finaira(&[&bench[..], &["--lag-seconds", "2", "--beside", "10000", "--json"]].concat());
    assert!(done, "{said}");
    let figures: serde_json::Value = said
        .lines()
        .find_map(|line| {
            serde_json::from_str(line).ok().filter(|found: &serde_json::Value| found["benchmark"] == "connect")
        })
        .expect("a line of JSON");
    assert!(figures["targets"][0]["entries_per_second"].as_f64().is_some_and(|rate| rate > 100.0), "{figures}");
    assert!(figures["targets"][0]["lag_s_p99"].as_f64().is_some(), "{figures}");
    assert!(figures["transfers_per_second_beside"].as_f64().is_some(), "{figures}");
    let (done, said) = finaira(&bench);
    assert!(!done && said.contains("holds a copy already"), "{said}");
}
