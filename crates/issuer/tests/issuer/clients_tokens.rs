//! What a client learns about tokens, and how it ends them.

use issuer::{Code, Refusal};
use serde_json::{Value, json};
use types::{Span, TenantId};

use crate::support::{NOW, NOW_S, ORIGIN, Scene, by_assertion, by_secret, by_secret_of, later};

fn introspect(scene: &Scene, client: &str, token: &str) -> Value {
    let form = by_secret_of(client, &format!("&token={token}"));
    let found = scene.introspect_at(&form, NOW).unwrap();
    let body: Value = serde_json::from_str(&found.to_json()).unwrap();
    assert_eq!(body["active"], found.is_active());
    body
}

#[test]
fn a_client_learns_about_tokens_of_its_tenant() {
    let mut scene = Scene::new();
    let granted = scene.post(&by_secret("&scope=payments:read")).unwrap();
    let expected = json!({
        "active": true, "iss": ORIGIN, "aud": ORIGIN, "sub": "checkout", "client_id": "checkout", "jti": granted.id,
        "iat": NOW_S, "exp": NOW_S + 600, "scope": "payments:read", "tenant": "2", "token_type": "Bearer"
    });
    assert_eq!(introspect(&scene, "bound", &granted.access_token), expected);
    let inactive = json!({"active": false});
    assert_eq!(introspect(&scene, "other-tenant", &granted.access_token), inactive);
    for other in ["x", "a.b.c", &format!("{}x", granted.access_token)] {
        assert_eq!(introspect(&scene, "bound", other), inactive, "{other}");
    }
    scene.clients.revoked.insert(granted.id);
    assert_eq!(introspect(&scene, "bound", &granted.access_token), inactive);
}

#[test]
fn a_token_ends_with_its_client() {
    let mut scene = Scene::new();
    let token = scene.post(&by_secret("")).unwrap().access_token;
    let verified = scene.verifier().verify(&token, NOW).unwrap().token;
    assert!(scene.issuer.is_current(&verified, &scene.clients));
    let client = |scene: &mut Scene, change: fn(&mut issuer::Client)| {
        change(std::sync::Arc::get_mut(scene.clients.clients.get_mut("checkout").unwrap()).unwrap());
    };
    client(&mut scene, |client| client.is_revoked = true);
    assert!(!scene.issuer.is_current(&verified, &scene.clients));
    client(&mut scene, |client| (client.is_revoked, client.tenant) = (false, TenantId::new(3)));
    assert!(!scene.issuer.is_current(&verified, &scene.clients));
    scene.clients.clients.remove("checkout");
    assert!(!scene.issuer.is_current(&verified, &scene.clients));
}

#[test]
fn a_client_revokes_its_own_tokens() {
    let scene = Scene::new();
    let revoke = |client: &str, token: &str| {
        let form = by_secret_of(client, &format!("&token={token}&token_type_hint=refresh_token"));
        scene.revoke(&form)
    };
    let granted = scene.post(&by_secret("")).unwrap();
    let revocation = revoke("checkout", &granted.access_token).unwrap().unwrap();
    assert_eq!((revocation.id, revocation.client_id), (granted.id, "checkout".to_owned()));
    assert_eq!(revocation.expires_at, later(600));
    assert_eq!(revoke("checkout", "no.such.token"), Ok(None));
    assert_eq!(revoke("bound", &granted.access_token), Err(Refusal::OtherClient));
    assert_eq!(revoke("revoked", &granted.access_token), Err(Refusal::Client));
    let form = by_secret("");
    let missing = scene.revoke(&form);
    assert_eq!(missing, Err(Refusal::Missing("token")));
}

#[test]
fn an_assertion_counts_once_at_all_endpoints_together() {
    let scene = Scene::new();
    let form = format!("{}&token=x", by_assertion(&scene.assertion(|_, _| {})));
    assert!(scene.introspect_at(&form, NOW).is_ok());
    assert_eq!(scene.post(&form).map(drop), Err(Refusal::Replayed));
    let again = scene.revoke(&form);
    assert_eq!(again, Err(Refusal::Replayed));
}

#[test]
fn keys_that_were_not_fetched_are_the_servers_fault() {
    let scene = Scene::new();
    let token = scene.post(&by_secret("")).unwrap().access_token;
    let form = by_secret(&format!("&token={token}"));
    let stale = NOW.saturating_add(Span::from_secs(7 * 60 * 60));
    let found = scene.introspect_at(&form, stale);
    let refusal = found.unwrap_err();
    assert_eq!((refusal.code(), refusal.code().http_status()), (Code::TemporarilyUnavailable, 503));
    assert!(refusal.retry_after().is_some());
}
