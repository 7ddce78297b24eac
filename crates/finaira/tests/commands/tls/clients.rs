//! The commands that talk to a server, over TLS.

use std::process::{Command, Output};

use serde_json::json;

use super::authority::Authority;

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_finaira")).args(arguments).output().expect("the binary runs")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

#[test]
fn backup_prove_import_and_admin_speak_tls_and_take_the_key_from_a_file() {
    let authority = Authority::new();
    authority.install(&authority.issue());
    let own = authority.issue();
    authority.write("client.pem", &own.certificate);
    authority.write("client.key", &own.key);
    let data = tempfile::tempdir().expect("a directory");
    let [ca, certificate, key] = ["ca.pem", "client.pem", "client.key"].map(|name| authority.argument(name));
    let server = authority.start(data.path(), &["--tls-client-auth", "required", "--tls-client-ca", &ca]);
    let text = server.key.clone().expect("the first start prints an API key");
    authority.write("api.key", &format!("{text}\n"));
    let api_key = authority.argument("api.key");
    let client = server.client_over(&text, authority.trust(Some(&own)));
    assert_eq!(client.post("/v1/ledgers", &json!({"id": 1, "asset": "EUR/2"})).status, 201);

    let out = tempfile::tempdir().expect("a directory");
    let place = |name: &str| out.path().join(name).to_str().expect("UTF-8").to_owned();
    let of_server = ["--server", &server.address, "--api-key-file", &api_key];
    let shown = ["--client-certificate", &certificate, "--client-key", &key];
    let whole = [&of_server[..], &["--ca", &ca], &shown].concat();

    let copy = run(&[&["backup", "--to", &place("copy")], &whole[..]].concat());
    assert!(copy.status.success(), "{}", said(&copy));
    let proof = run(&[&["prove", "entry", "1", "--out", &place("proof")], &whole[..]].concat());
    assert!(proof.status.success(), "{}", said(&proof));
    let point = run(&[&["checkpoint"], &whole[..]].concat());
    assert!(point.status.success(), "{}", said(&point));
    let status = run(&[&["import", "status", "7"], &whole[..]].concat());
    assert!(said(&status).contains("the server has no import"), "{}", said(&status));

    let of_admin = ["admin", "key", "list", "--url", &server.address, "--api-key-file", &api_key];
    let listed = run(&[&of_admin[..], &["--ca", &ca], &shown].concat());
    assert!(listed.status.success() && said(&listed).contains("1 "), "{}", said(&listed));
    let refused = run(&[&of_admin[..], &shown].concat());
    assert!(!refused.status.success() && said(&refused).contains("UnknownIssuer"), "{}", said(&refused));

    for (arguments, told) in [
        ([&of_server[..], &shown].concat(), "UnknownIssuer"),
        ([&of_server[..], &["--ca", &ca]].concat(), "cannot reach"),
        ([&of_server[..2], &["--api-key", "x", "--ca", "nowhere.pem"]].concat(), "cannot read nowhere.pem"),
        ([&["--server", "http://127.0.0.1:9", "--api-key", "x"], &["--ca", &ca][..]].concat(), "expected https://"),
        (vec!["--server", &server.address], "--api-key"),
        ([&whole[..4], &["--client-certificate", &certificate]].concat(), "--client-key"),
    ] {
        let refused = run(&[&["checkpoint"], &arguments[..]].concat());
        assert!(!refused.status.success() && said(&refused).contains(told), "{told}: {}", said(&refused));
        assert!(!said(&refused).contains(&text), "no message shows the key");
    }
    std::fs::set_permissions(authority.path("api.key"), std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .expect("permissions");
    let refused = run(&[&["checkpoint"], &whole[..]].concat());
    assert!(said(&refused).contains("is open to all users of this machine"), "{}", said(&refused));
    assert!(server.stop().success());
}

#[test]
fn a_benchmark_measures_over_tls() {
    let authority = Authority::new();
    authority.install(&authority.issue());
    let [certificate, key] = ["server.pem", "server.key"].map(|name| authority.argument(name));
    let tls = ["--tls-certificate", &certificate, "--tls-key", &key];
    let small = ["bench", "transfers", "--count", "20000", "--accounts", "100", "--clients", "3", "--queries", "5"];
    let output = run(&[&small[..], &tls].concat());
    assert!(output.status.success(), "{}", said(&output));
    let small = ["bench", "payments", "--count", "2000", "--customers", "50", "--transfers", "1000"];
    let output = run(&[&small[..], &tls].concat());
    assert!(output.status.success(), "{}", said(&output));
}
