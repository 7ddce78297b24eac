//! The configuration file, and how the first credential reaches its owner.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::harness::{Server, finaira};

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

fn reserve(server: &Server) -> String {
    let metrics = server.client("").get("/metrics").body;
    let metrics = metrics.as_str().unwrap_or_default();
    let found = metrics.lines().find_map(|line| line.strip_prefix("finaira_disk_reserve_bytes "));
    found.unwrap_or("none").to_owned()
}

#[test]
fn flags_count_before_the_environment_and_that_before_the_file() {
    let folder = tempfile::tempdir().expect("a directory");
    let (file, data) = (folder.path().join("finaira.toml"), folder.path().join("data"));
    let settings = format!(
        "[storage]\ndata = {:?}\ndisk-reserve = 1\nsegment-bytes = 1048576\n\n[listen]\naddress = \"127.0.0.1:0\"\n\n[proofs]\nenabled = false\n",
        text(&data)
    );
    std::fs::write(&file, settings).expect("a file");
    let config = ["--config", text(&file)];
    for (flags, environment, expected) in [
        (&config[..], &[][..], "1"),
        (&[], &[("FINAIRA_CONFIG", text(&file))], "1"),
        (&config, &[("FINAIRA_DISK_RESERVE", "2")], "2"),
        (&[&config[..], &["--disk-reserve", "3"]].concat(), &[("FINAIRA_DISK_RESERVE", "2")], "3"),
    ] {
        let server = Server::start_as(flags, environment);
        assert_eq!(reserve(&server), expected, "{flags:?}, {environment:?}");
        assert!(server.stop().success());
    }
    let (checked, said) = finaira(&["config", "check", text(&file)]);
    assert!(checked && said.contains("sets 5 keys and is valid"), "{said}");
}

#[test]
fn a_file_with_a_fault_is_refused_with_its_line() {
    let folder = tempfile::tempdir().expect("a directory");
    let (file, data) = (folder.path().join("finaira.toml"), folder.path().join("data"));
    for (settings, told) in [
        ("[limits]\nqueeu = 5\n", ":2: there is no key limits.queeu; did you mean limits.queue?"),
        ("\n[listen]\naddress = 7070\n", ":3: listen.address: found a whole number, expected a text in quotes"),
        ("[tls]\nkey = \"k\"\n", "found --tls-key without --tls-certificate"),
    ] {
        std::fs::write(&file, settings).expect("a file");
        let started = finaira(&["serve", "--config", text(&file), "--data", text(&data)]);
        let checked = finaira(&["config", "check", text(&file)]);
        for (is_accepted, said) in [started, checked] {
            assert!(!is_accepted && said.contains(told), "{settings}: {said}");
        }
    }
    let (is_accepted, said) = finaira(&["serve", "--config", "nowhere.toml"]);
    assert!(!is_accepted && said.contains("cannot read nowhere.toml"), "{said}");
    assert!(!data.try_exists().expect("it can be looked up"), "nothing was created");
    let (is_printed, reference) = finaira(&["config", "reference"]);
    assert!(is_printed && reference.contains("\n#queue = 65536\n"), "{reference}");
}

#[test]
fn the_first_credential_goes_to_a_file_of_its_owner() {
    let folder = tempfile::tempdir().expect("a directory");
    let (file, data) = (folder.path().join("first.key"), folder.path().join("data"));
    let arguments = ["--first-credential-file", text(&file)];
    std::fs::write(&file, "mine").expect("a file");
    let (status, errors) = Server::failing_start_with(&data, &arguments);
    assert!(!status.success() && errors.contains("does not exist yet"), "{errors}");
    assert!(!data.join("journal").try_exists().expect("it can be looked up"), "no credential was made");
    std::fs::remove_file(&file).expect("it is there");

    let server = Server::start_with(&data, &arguments);
    assert_eq!(server.key, None, "nothing on standard output");
    let key = std::fs::read_to_string(&file).expect("the credential");
    let mode = std::fs::metadata(&file).expect("it is there").permissions().mode();
    assert_eq!((mode & 0o777, key.lines().count()), (0o600, 1));
    let client = server.client(key.trim_end());
    assert_eq!(client.get("/v1/ledgers").status, 200);
    assert!(server.stop().success());

    let server = Server::start_with(&data, &arguments);
    assert_eq!(server.client(key.trim_end()).get("/v1/ledgers").status, 200, "a later start makes none");
    assert!(server.stop().success());
    let (status, errors) = Server::failing_start_with(&data, &[&arguments[..], &["--new-api-key"]].concat());
    assert!(!status.success() && errors.contains("does not exist yet"), "{errors}");
}

#[test]
fn the_first_api_key_may_come_from_a_file() {
    let folder = tempfile::tempdir().expect("a directory");
    let (file, data) = (folder.path().join("first.key"), folder.path().join("data"));
    let secret = "BwcH".repeat(10) + "Bwc";
    let write = |text: &str, mode| {
        std::fs::write(&file, text).expect("a file");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).expect("its permissions");
    };
    let arguments = ["--first-api-key-file", text(&file)];
    for (key, mode, told) in [
        (format!("fin_1_{secret}"), 0o644, "is open to all users of this machine"),
        (format!("fin_2_{secret}"), 0o600, "expected a key that begins with fin_1_"),
        (format!("fin_t2_1_{secret}"), 0o600, "expected a key that begins with fin_1_"),
        ("fin_1_short".to_owned(), 0o600, "must have 43 characters"),
        ("hunter2".to_owned(), 0o600, "must have the form"),
        (String::new(), 0o600, "is empty"),
    ] {
        write(&key, mode);
        let (status, errors) = Server::failing_start_with(&data, &arguments);
        assert!(!status.success() && errors.contains(told), "{told}: {errors}");
        assert!(!errors.contains(&secret), "{errors}");
    }
    let both = [&arguments[..], &["--first-credential-file", "x"]].concat();
    let (status, errors) = Server::failing_start_with(&data, &both);
    assert!(!status.success() && errors.contains("expected one of them"), "{errors}");

    let key = format!("fin_1_{secret}");
    write(&format!("{key}\n"), 0o440);
    let server = Server::start_in(&data, &[], &[("FINAIRA_FIRST_API_KEY_FILE", &file)]);
    assert_eq!(server.key, None, "nothing on standard output");
    let client = server.client(&key);
    let listed = client.get("/v1/api-keys").body["items"].clone();
    assert_eq!(listed.as_array().map(Vec::len), Some(1), "{listed}");
    assert!(!server.log().contains(&secret), "{}", server.log());
    let other = client.post("/v1/api-keys", &serde_json::json!({"name": "b", "principal": 1, "role": "auditor"}));
    assert!(other.text("key").starts_with("fin_2_"), "{other:?}");
    assert!(server.stop().success());

    // A first start that is to make a new key makes this one.
    let new = [&arguments[..], &["--new-api-key"]].concat();
    let server = Server::start_with(&folder.path().join("other"), &new);
    assert_eq!((server.client(&key).get("/v1/ledgers").status, &server.key), (200, &None));
    assert!(server.stop().success());

    // Later starts do not read it.
    std::fs::remove_file(&file).expect("it is there");
    let server = Server::start_with(&data, &arguments);
    assert_eq!((server.client(&key).get("/v1/ledgers").status, &server.key), (200, &None));
    assert!(server.stop().success());
    let server = Server::start_with(&data, &new);
    assert!(server.key.as_ref().is_some_and(|key| key.starts_with("fin_3_")), "a further key is generated");
    assert!(server.stop().success());
}
