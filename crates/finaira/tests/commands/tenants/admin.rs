//! `finaira admin`, on a data directory and on a running server.

use serde_json::{Value, json};

use super::{book, directory};
use crate::harness::{Server, finaira, first_start};

fn shown(said: &str) -> String {
    let line = said.lines().find_map(|line| line.split_once(" (shown once, keep it): "));
    line.map(|(_, key)| key.to_owned()).unwrap_or_else(|| panic!("no key in {said}"))
}

#[test]
fn tenants_and_keys_are_administered_without_a_server() {
    let (data, server, first) = first_start(&[]);
    let path = data.path().to_str().expect("text");
    let (is_done, said) = finaira(&["admin", "tenant", "list", "--data", path]);
    assert!(!is_done && said.contains("in use by another process"), "{said}");
    assert!(server.stop().success());

    let (is_done, said) =
        finaira(&["admin", "tenant", "create", "--name", "Shop", "--data", path, "--disk-bytes", "1073741824"]);
    assert!(is_done && said.contains("Created tenant 2."), "{said}");
    let shop = shown(&said);
    let (is_done, said) =
        finaira(&["admin", "key", "create", "--tenant", "2", "--name", "b", "--role", "developer", "--data", path]);
    assert!(is_done, "{said}");
    let developer = shown(&said);
    assert!(developer.starts_with("fin_t2_2_"), "{developer}");
    let (is_done, said) =
        finaira(&["admin", "key", "create", "--name", "c", "--scope", "tenants:read", "--data", path]);
    assert!(is_done, "{said}");
    let reader = shown(&said);
    assert!(reader.starts_with("fin_2_"), "of the first tenant: {reader}");
    let (is_done, said) = finaira(&["admin", "tenant", "list", "--json", "--data", path]);
    let tenants: Value = serde_json::from_str(&said).expect("JSON");
    assert!(is_done && tenants[1]["name"] == "Shop" && tenants[1]["quotas"]["disk_bytes"] == 1_073_741_824, "{said}");
    let (is_done, said) = finaira(&["admin", "key", "revoke", "2", "--tenant", "2", "--data", path]);
    assert!(is_done && said.contains("revoked"), "{said}");
    for (arguments, expected) in [
        (&["admin", "key", "list", "--tenant", "9", "--data", path][..], "tenant_not_found"),
        (&["admin", "tenant", "list", "--data", "/nonexistent"], "is not a data directory"),
        (&["admin", "tenant", "suspend", "1", "--data", path], "tenant_state_conflict"),
        (&["admin", "tenant", "remove", "2", "--confirm-name", "Shopp", "--data", path], "nothing was removed"),
    ] {
        let (is_done, said) = finaira(arguments);
        assert!(!is_done && said.contains(expected), "{arguments:?}: {said}");
    }

    let server = Server::start(data.path());
    book(&server.client(&shop), 1);
    assert_eq!(server.client(&developer).get("/v1/ledgers").code(), "api_key_revoked");
    assert_eq!(server.client(&reader).get("/v1/tenants").status, 200);
    assert_eq!(server.client(&reader).get("/v1/ledgers").status, 403);
    assert_eq!(server.client(&first.key).get("/v1/ledgers").status, 200);
    assert!(server.stop().success());
}

#[test]
fn tenants_and_keys_are_administered_on_a_running_server() {
    let (data, server, first) = first_start(&[]);
    let folder = tempfile::tempdir().expect("a directory");
    let file = folder.path().join("key");
    std::fs::write(&file, format!("{}\n", first.key)).expect("the file is written");
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("permissions");
    let file = file.to_str().expect("text");
    let admin = |arguments: &[&str]| {
        let all = [&["admin"], arguments, &["--url", &server.address, "--api-key-file", file]].concat();
        finaira(&all)
    };
    let (is_done, said) = admin(&["tenant", "create", "--name", "Shop", "--mode", "test"]);
    assert!(is_done, "{said}");
    let shop = server.client(&shown(&said));
    book(&shop, 1);
    let (is_done, said) = admin(&["tenant", "list"]);
    assert!(is_done && said.contains("2 Shop") && said.contains("test"), "{said}");
    assert!(admin(&["tenant", "suspend", "2"]).0);
    assert_eq!(shop.get("/v1/ledgers").code(), "tenant_suspended");
    assert!(admin(&["tenant", "resume", "2"]).0);
    assert_eq!(shop.get("/v1/ledgers").status, 200);
    let (is_done, said) = admin(&["tenant", "quotas", "2", "--requests-per-second", "9"]);
    assert!(is_done && said.contains('9'), "{said}");
    assert_eq!(first.get("/v1/tenants/2").body["quotas"], json!({"requests_per_second": 9, "disk_bytes": null}));
    let (is_done, said) = admin(&["key", "create", "--name", "b", "--role", "auditor"]);
    assert!(is_done && shown(&said).starts_with("fin_2_"), "{said}");
    assert!(admin(&["key", "list"]).1.contains("2 b"));
    assert!(admin(&["key", "revoke", "2"]).0);
    assert!(admin(&["tenant", "suspend", "2"]).0);
    let (is_done, said) = admin(&["tenant", "remove", "2", "--confirm-name", "Shop"]);
    assert!(is_done && said.contains("removed"), "{said}");
    assert!(!directory(data.path(), 2).is_dir());
    let (is_done, said) = admin(&["key", "list", "--tenant", "2"]);
    assert!(!is_done && said.contains("--tenant is for --data only"), "{said}");
    assert!(server.stop().success());
}
