//! Real identity servers: oidc-provider and Keycloak hand out tokens, `finaira serve` takes them, and their keys change meanwhile.
//!
//! Each test is skipped unless a variable says that it must run, because it downloads and starts a server:
//! `FINAIRA_REQUIRE_OIDC_PROVIDER=1` (Node.js, a minute) and `FINAIRA_REQUIRE_KEYCLOAK=1` (Java and Maven, two minutes or more).
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test may panic, and prints what it skips")]

#[path = "../../../oauth/tests/identity_servers/client.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod client;
#[path = "../commands/harness.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod harness;
#[path = "../../../oauth/tests/identity_servers/keycloak.rs"]
mod keycloak;
mod scene;
#[path = "../../../oauth/tests/identity_servers/service.rs"]
mod service;

use serde_json::{Value, json};

use scene::Scene;
use service::Service;

#[test]
fn tokens_of_oidc_provider_move_money_while_its_keys_change() {
    let Some(service) = Service::up("oidc-provider", "FINAIRA_REQUIRE_OIDC_PROVIDER") else { return };
    let rules = json!([
        {"claim": "scope", "values": "spaced", "value": "ledger:read", "scopes": ["ledger:read"]},
        {"claim": "scope", "values": "spaced", "value": "transfers:write", "scopes": ["transfers:write"]},
    ]);
    let algorithms = json!(["RS256", "ES256", "EdDSA"]);
    let scene = Scene::start(&service, json!({"algorithms": algorithms, "rules": rules, "tenants": {"fixed": 1}}));
    scene.check_audience("payments");
    scene.check_scopes("payments", true);
    scene.check_bound_tokens("terminal");
    let post = |command: &str| assert_eq!(ureq::post(service.text(command)).send_empty().unwrap().status(), 204);
    scene.check_new_keys(
        &["payments", "reports"],
        || post("/admin/publish"),
        || post("/admin/use"),
        || post("/admin/withdraw"),
    );
    scene.check_tenants_of_a_claim();
}

#[test]
fn tokens_of_keycloak_move_money_while_its_keys_change() {
    let Some(service) = Service::up("keycloak", "FINAIRA_REQUIRE_KEYCLOAK") else { return };
    let roles = json!(["realm_access", "roles"]);
    let rules = json!([
        {"claim": roles, "value": "payments-reader", "scopes": ["ledger:read"]},
        {"claim": roles, "value": "payments-operator", "role": "till"},
    ]);
    let settings = json!({"algorithms": ["RS256"], "profile": "plain_jwt", "rules": rules, "tenants": {"fixed": 1}});
    let scene = Scene::start(&service, settings);
    scene.check_audience("payments");
    scene.check_scopes("payments", true);
    scene.check_bound_tokens("terminal");
    let realm = keycloak::Realm { service: &service };
    let new_key = service.description["admin"]["new_key"].clone();
    let mut passive = new_key.clone();
    passive["config"]["active"] = json!(["false"]);
    scene.check_new_keys(
        &["payments"],
        || realm.add(&passive),
        || {
            let mut active = new_key.clone();
            active["id"] = Value::from(realm.id_of("next"));
            realm.replace("next", &active);
        },
        || realm.remove("rsa-generated"),
    );
}

/// What a client needs to make proofs.
fn seconds_now() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "the clock of a client")]
    let now = std::time::SystemTime::now();
    now.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}
