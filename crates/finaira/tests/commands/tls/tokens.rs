//! Access tokens and TLS: issuers over HTTPS, and tokens that are bound to the certificate of a client.

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;

use super::authority::{Authority, Pair};
use crate::harness::{Client, Reply, Server, eventually_within, first_start};

/// Registers a client with a secret. Returns the form with which it asks for a token.
fn register(admin: &Client, id: &str, binding: &str) -> String {
    let reply = admin.post(
        "/v1/clients",
        &json!({
            "client_id": id,
            "name": id,
            "scopes": ["ledger:read"],
            "authentication": {"method": "client_secret"},
            "binding": binding
        }),
    );
    assert_eq!(reply.status, 201, "{reply:?}");
    format!("grant_type=client_credentials&client_id={id}&client_secret={}", reply.text("client_secret"))
}

fn ask(client: &Client, form: &str) -> Reply {
    let headers = [("Content-Type", "application/x-www-form-urlencoded"), ("Authorization", "")];
    client.send("/oauth/token", &headers, form.as_bytes())
}

fn admin(server: &Server, authority: &Authority) -> Client {
    let key = server.key.as_deref().expect("the first start prints an API key");
    server.client_over(key, authority.trust(None))
}

#[test]
fn keys_of_an_issuer_are_fetched_over_https_from_whom_its_authority_certifies() {
    let [authority, other] = [(); 2].map(|()| Authority::new());
    authority.install(&authority.issue());
    let data = tempfile::tempdir().expect("a directory");
    let issuer = authority.start(data.path(), &[]);
    let issuer_admin = admin(&issuer, &authority);
    let form = register(&issuer_admin, "x", "optional");
    let reply = ask(&issuer_admin, &form);
    assert_eq!(reply.status, 200, "{reply:?}");
    let token = reply.text("access_token");
    let settings = json!({
        "issuer": issuer.address,
        "audience": issuer.address,
        "algorithms": ["ES256"],
        "tenants": {"fixed": 1},
        "rules": [{"claim": "scope", "values": "spaced", "value": "ledger:read", "scopes": ["ledger:read"]}]
    });

    let (_data, trusting, trusting_admin) = first_start(&["--issuer-ca", &authority.argument("ca.pem")]);
    assert_eq!(trusting_admin.post("/v1/issuers", &settings).status, 201);
    eventually_within(Duration::from_secs(30), || {
        let reply = trusting.client(token).get("/v1/ledgers");
        assert!([200, 503].contains(&reply.status), "{reply:?}");
        (reply.status == 200).then_some(())
    });
    let shown = trusting_admin.get("/v1/issuers").body;
    assert!(shown["items"][0]["keys_fetched_at"].is_string(), "{shown}");

    let count = |server: &Server, result: &str| {
        let text = server.client("").get("/metrics").body;
        let name = format!("finaira_issuer_key_fetches_total{{issuer=\"{}\",result=\"{result}\"}} ", issuer.address);
        let line = text.as_str().and_then(|text| text.lines().find_map(|line| line.strip_prefix(&name)?.parse().ok()));
        line.unwrap_or(0_u64)
    };
    let time = format!("finaira_issuer_keys_fetched_time_seconds{{issuer=\"{}\"}}", issuer.address);
    assert_eq!([count(&trusting, "fetched"), count(&trusting, "failed")], [1, 0]);
    assert!(trusting_admin.get("/metrics").body.as_str().is_some_and(|text| text.contains(&time)));

    // Whom another authority certifies could be anybody: its keys are not taken.
    let (_data, wary, wary_admin) = first_start(&["--issuer-ca", &other.argument("ca.pem")]);
    assert_eq!(wary_admin.post("/v1/issuers", &settings).status, 201);
    wary.logs("the keys of an issuer cannot be fetched");
    for _ in 0..3 {
        let reply = wary.client(token).get("/v1/ledgers");
        assert_eq!((reply.status, reply.code()), (503, "issuer_unavailable"), "{reply:?}");
        assert!(reply.retry_after.is_some(), "{reply:?}");
    }
    assert!(count(&wary, "failed") > 0);
    assert_eq!(count(&wary, "fetched"), 0);
    assert!(!wary_admin.get("/metrics").body.as_str().is_some_and(|text| text.contains(&time)));
    let log = wary.log();
    assert!(log.contains("invalid peer certificate") && log.contains(&issuer.address), "{log}");
    assert!(!log.contains(token), "no token is logged");
    let shown = wary_admin.get("/v1/issuers").body;
    assert!(shown["items"][0]["keys_fetched_at"].is_null(), "{shown}");
    assert_eq!(wary_admin.get("/v1/ledgers").status, 200, "API keys go on working");
}

#[test]
fn a_token_that_is_bound_to_a_certificate_counts_with_this_certificate_only() {
    let authority = Authority::new();
    authority.install(&authority.issue());
    let data = tempfile::tempdir().expect("a directory");
    let ca = authority.argument("ca.pem");
    let server = authority.start(data.path(), &["--tls-client-auth", "optional", "--tls-client-ca", &ca]);
    let admin = admin(&server, &authority);
    let (own, foreign) = (authority.issue(), authority.issue());
    let with = |key: &str, pair: Option<&Pair>| server.client_over(key, authority.trust(pair));
    let form = register(&admin, "till", "certificate");

    let without = ask(&with("", None), &form);
    assert!([400, 401].contains(&without.status) && without.body["access_token"].is_null(), "{without:?}");
    let granted = ask(&with("", Some(&own)), &form);
    assert_eq!((granted.status, granted.text("token_type")), (200, "Bearer"), "{granted:?}");
    let token = granted.text("access_token");
    let claims = token.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok()).expect("claims");
    let claims: Value = serde_json::from_slice(&claims).expect("JSON");
    let der = CertificateDer::from_pem_slice(own.certificate.as_bytes()).expect("a certificate");
    assert_eq!(claims["cnf"]["x5t#S256"], URL_SAFE_NO_PAD.encode(digest(&SHA256, &der)), "{claims}");

    // The thief's certificate comes from the same authority. The owner's is tried last and first: nothing is remembered wrongly.
    for (pair, status) in [(None, 401), (Some(&foreign), 401), (Some(&own), 200), (Some(&foreign), 401), (None, 401)] {
        let reply = with(token, pair).get("/v1/ledgers");
        assert_eq!(reply.status, status, "{reply:?}");
        if status == 401 {
            assert_eq!(reply.code(), "invalid_token", "{reply:?}");
        }
    }

    // A client whose tokens are not bound gets one that counts with any certificate.
    let reply = ask(&with("", Some(&own)), &register(&admin, "kiosk", "optional"));
    let plain = reply.text("access_token");
    assert_eq!([None, Some(&own), Some(&foreign)].map(|pair| with(plain, pair).get("/v1/ledgers").status), [200; 3]);
    assert!(server.stop().success());
}
