//! What a request for an API key may say, and what an answer shows.

use api::api_keys::{ApiKey, CreatedApiKey, NewApiKey, key_id, new_key};
use api::{Problem, Role, Scope};
use engine::{
    Credential, CredentialAdded, CredentialKind, CredentialReply, CredentialStatus, IdentityRefusal, KeyOwner,
    Principal, PrincipalKind, Refusal,
};
use types::{ActorId, CredentialId, Digest, Timestamp};

use crate::support::check;

const AT: Timestamp = Timestamp::from_ns(1_795_000_000_000_000_000);

fn read(body: &str) -> Result<NewApiKey, Problem> {
    new_key(body.as_bytes())
}

#[test]
fn a_key_is_for_a_principal_and_has_listed_scopes_or_those_of_a_role() {
    let listed = read(
        r#"{"name": "checkout", "principal": 4, "scopes": ["payments:read", "payments:write"],
            "expires_at": "2026-11-18T11:06:40Z"}"#,
    );
    let NewApiKey { name, owner, scopes, expires_at } = listed.expect("a key");
    assert_eq!((&*name, owner), ("checkout", KeyOwner::Known(ActorId::new(4))));
    assert_eq!(scopes, Scope::PAYMENTS_READ.and(Scope::PAYMENTS_WRITE));
    assert_eq!(expires_at, Some(AT));
    let of_role = read(r#"{"name": "a", "new_principal": {"kind": "person", "name": "Ann"}, "role": "auditor"}"#);
    let NewApiKey { owner, scopes, expires_at, .. } = of_role.expect("a key");
    assert_eq!(owner, KeyOwner::New { kind: PrincipalKind::Person, name: "Ann".into() });
    assert_eq!((Some(scopes), expires_at), (Role::named("auditor").map(|role| role.scopes), None));
}

#[test]
fn an_error_says_what_was_found_and_what_was_expected() {
    let owned = |rest: &str| read(&format!(r#"{{"name": "k", "principal": 1{rest}}}"#));
    check(owned(""), "missing_field", "/scopes", "expected `scopes` or `role`, found neither");
    check(
        owned(r#", "role": "auditor", "scopes": ["events:read"]"#),
        "invalid_field",
        "/role",
        "expected `scopes` or `role`, found both",
    );
    check(
        owned(r#", "role": "root""#),
        "invalid_field",
        "/role",
        "found `root`, expected one of administrator, operator, developer, analyst, reviewer, auditor",
    );
    let unknown = owned(r#", "scopes": ["events:read", "events"]"#).expect_err("no scope");
    assert_eq!((unknown.code().as_str(), unknown.field()), ("invalid_field", Some("/scopes/1")));
    assert!(unknown.detail().starts_with("found `events`, expected one of ledger:read, "), "{}", unknown.detail());
    check(
        owned(r#", "scopes": []"#),
        "invalid_field",
        "/scopes",
        "found an array of 0, expected an array of 1 to 32 scopes",
    );
    check(
        read(r#"{"name": "k", "role": "auditor"}"#),
        "missing_field",
        "/principal",
        "expected `principal` or `new_principal`, found neither",
    );
    check(
        owned(r#", "new_principal": {"kind": "person", "name": "Ann"}, "role": "auditor""#),
        "invalid_field",
        "/new_principal",
        "expected `principal` or `new_principal`, found both",
    );
    check(
        read(r#"{"name": "k", "new_principal": {"kind": "system", "name": "me"}, "role": "auditor"}"#),
        "invalid_field",
        "/new_principal/kind",
        "found `system`, expected `service` or `person`",
    );
    check(
        read(r#"{"name": " ", "principal": 1, "role": "auditor"}"#),
        "invalid_field",
        "/name",
        "found an empty string, expected a string of 1 to 128 bytes",
    );
    check(key_id("x"), "invalid_parameter", "id", "found `x`, expected a whole number from 1 to 18446744073709551615");
}

#[test]
fn a_key_that_another_one_cannot_give_names_the_scopes() {
    let missing = Scope::PAYMENTS_WRITE.and(Scope::KEYS_MANAGE).bits();
    let problem = Problem::from(&Refusal::Identity(IdentityRefusal::ScopesNotHeld { missing }));
    assert_eq!((problem.status(), problem.code().as_str(), problem.field()), (403, "scopes_not_held", Some("/scopes")));
    let detail = "the API key of the request lacks payments:write, keys:manage, so it cannot give it to another key";
    assert_eq!(problem.detail(), detail);
}

#[test]
fn a_secret_is_in_one_answer_and_in_no_log() {
    let added = CredentialAdded {
        credential: CredentialId::new(9),
        principal: ActorId::new(4),
        kind: CredentialKind::ApiKey { hash: Digest::of(b"key") },
        scopes: Scope::EVENTS_READ.bits(),
        name: "laptop".into(),
        expires_at: None,
    };
    let principal = Principal { kind: PrincipalKind::Person, name: "Ann".into(), subject: None, added_at: AT };
    let credential = Credential { added, added_at: AT, revoked_at: None };
    let reply = CredentialReply { credential, principal, status: CredentialStatus::Active };
    let shown = ApiKey::new(&reply, Some(AT));
    let expected = serde_json::json!({
        "id": 9, "name": "laptop", "principal": {"id": 4, "kind": "person", "name": "Ann"},
        "scopes": ["events:read"], "status": "active", "created_at": "2026-11-18T11:06:40Z", "expires_at": null,
        "revoked_at": null, "last_used_at": "2026-11-18T11:06:40Z",
    });
    assert_eq!(serde_json::to_value(&shown).expect("JSON"), expected);
    let created = CreatedApiKey::new(shown.clone(), Some("fin_9_secret".to_owned()));
    assert_eq!(serde_json::to_value(&created).expect("JSON")["key"], "fin_9_secret");
    assert!(!format!("{created:?}").contains("secret"));
    let again = serde_json::to_value(CreatedApiKey::new(shown, None)).expect("JSON");
    assert!(again["key"].is_null());
    assert!(again["note"].as_str().is_some_and(|note| note.contains("cannot") || note.contains("nobody can")));
}
