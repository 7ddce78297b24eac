//! Four eyes: one principal proposes, another one approves, over the API and across crashes.

use serde_json::{Value, json};

use crate::harness::{Client, Reply, Server, finaira, first_start};

/// A client with a key of a new principal.
fn person(server: &Server, admin: &Client, role: &str) -> (u64, Client) {
    let body = json!({"name": role, "new_principal": {"kind": "person", "name": role}, "role": role});
    let made = admin.post("/v1/api-keys", &body);
    assert_eq!(made.status, 201, "{:?}", made.body);
    let principal = made.body["api_key"]["principal"]["id"].as_u64().expect("a number");
    (principal, server.client(made.text("key")))
}

/// Opens a ledger, account 1, and account 2 on which only payments move money.
fn open(admin: &Client) {
    assert_eq!(admin.post("/v1/ledgers", &json!({"id": 1, "asset": "EUR/2"})).status, 201);
    for (id, flags) in [("1", json!([])), ("2", json!(["policy_only"]))] {
        let account = json!({"id": id, "ledger": 1, "code": 1, "flags": flags});
        assert_eq!(admin.post("/v1/accounts", &account).status, 201);
    }
}

fn transfer(id: &str, amount: &str) -> Value {
    json!({"id": id, "debit_account": "1", "credit_account": "2", "amount": amount, "asset": "EUR/2", "code": 1})
}

fn approve(client: &Client, id: &str) -> Reply {
    client.post(&format!("/v1/proposals/{id}/approve"), &json!({}))
}

#[track_caller]
fn refused(reply: &Reply, status: u16, code: &str) {
    assert_eq!((reply.status, reply.code()), (status, code), "{:?}", reply.body);
}

#[test]
fn a_proposal_waits_through_a_crash_until_another_principal_approves_it() {
    let (data, server, admin) = first_start(&[]);
    open(&admin);
    let (olga, operator) = person(&server, &admin, "operator");
    let (rita, reviewer) = person(&server, &admin, "reviewer");
    let (_, auditor) = person(&server, &admin, "auditor");
    let body = json!({"name": "another", "principal": olga, "scopes": ["proposals:approve"]});
    let other_key = admin.post("/v1/api-keys", &body).text("key").to_owned();

    refused(&admin.post("/v1/transfers", &transfer("10", "50")), 422, "account_is_policy_only");
    let proposal = json!({"transfer": transfer("10", "50"), "reason": "ticket 4711"});
    let headers = [("Idempotency-Key", "first"), ("Content-Type", "application/json")];
    let text = serde_json::to_vec(&proposal).expect("JSON");
    let made = operator.send("/v1/proposals", &headers, &text);
    assert_eq!(
        (made.status, made.text("status"), made.text("operation")),
        (201, "open", "transfer"),
        "{:?}",
        made.body
    );
    let again = operator.send("/v1/proposals", &headers, &text);
    assert_eq!((again.status, again.replayed, &again.body), (200, true, &made.body));
    let id = made.text("id").to_owned();
    refused(&reviewer.post("/v1/proposals", &proposal), 403, "insufficient_scope");
    refused(&approve(&operator, &id), 403, "insufficient_scope");
    refused(&approve(&server.client(&other_key), &id), 403, "approval_by_proposer");
    refused(&reviewer.post(&format!("/v1/proposals/{id}/withdraw"), &json!({})), 403, "insufficient_scope");

    server.kill();
    let server = Server::start(data.path());
    let at = |client: &Client| server.client(&client.key);
    let open = at(&auditor).get("/v1/proposals?status=open");
    assert_eq!(open.body["items"], json!([made.body]), "the proposal survived");
    refused(&admin_transfer(&at(&admin)), 422, "account_is_policy_only");
    let approved = approve(&at(&reviewer), &id);
    assert_eq!((approved.status, approved.text("status")), (200, "approved"), "{:?}", approved.body);
    assert_eq!((&approved.body["proposed_by"], &approved.body["ended_by"]), (&json!(olga), &json!(rita)));
    let again = approve(&at(&reviewer), &id);
    assert_eq!((again.status, again.replayed, &again.body), (200, true, &approved.body));
    refused(&approve(&at(&admin), &id), 409, "proposal_ended");

    server.kill();
    let server = Server::start(data.path());
    let at = |client: &Client| server.client(&client.key);
    assert!(approve(&at(&reviewer), &id).replayed, "the approval survived");
    assert_eq!(at(&admin).get("/v1/accounts/2").text("credits_posted"), "50");
    assert_eq!(at(&auditor).get("/v1/proposals?status=open").body["items"], json!([]));
    let events = at(&admin).get("/v1/events?limit=1000");
    let events = events.body["items"].as_array().expect("events").iter();
    let told: Vec<_> = events.skip_while(|event| event["kind"] != "proposal_made").collect();
    let kinds = told.iter().map(|event| (event["kind"].as_str(), event["actor"].as_u64()));
    let expected = [("proposal_made", olga), ("transfer_created", rita), ("proposal_ended", rita)];
    assert!(kinds.eq(expected.map(|(kind, actor)| (Some(kind), Some(actor)))), "{told:?}");
    assert!(told.iter().all(|event| event["request"] == id.as_str()), "{told:?}");
    assert_eq!(told[0]["data"]["transfer"]["amount"], "50");
    assert!(server.stop().success());
    let (sound, report) = finaira(&["verify", &data.path().display().to_string()]);
    assert!(sound, "{report}");
}

fn admin_transfer(admin: &Client) -> Reply {
    admin.post("/v1/transfers", &transfer("10", "50"))
}

#[test]
fn rules_decide_what_one_principal_may_do() {
    let (_data, server, admin) = first_start(&[]);
    open(&admin);
    let (_, reviewer) = person(&server, &admin, "reviewer");
    let shown = admin.get("/v1/approval-rules");
    assert_eq!(shown.body, json!({"limits": "direct", "imports": "direct", "reversals_above": {}}));
    let strict = json!({"limits": "approval", "reversals_above": {"EUR/2": "100"}});
    refused(&reviewer.post("/v1/approval-rules", &strict), 403, "insufficient_scope");
    let set = admin.post("/v1/approval-rules", &strict);
    assert_eq!((set.status, set.text("limits"), set.replayed), (200, "approval", false), "{:?}", set.body);
    assert_ne!(set.tag, shown.tag);
    assert!(admin.post("/v1/approval-rules", &strict).replayed);

    let stronger =
        serde_json::to_vec(&json!({"limits": "approval", "imports": "approval", "reversals_above": {"EUR/2": "9"}}));
    let stale = [("If-Match", shown.tag.as_deref().expect("a tag")), ("Content-Type", "application/json")];
    refused(&admin.send("/v1/approval-rules", &stale, &stronger.expect("JSON")), 412, "precondition_failed");
    refused(&admin.post("/v1/approval-rules", &json!({})), 422, "approval_required");

    let limits = json!({"min_balance": "-500"});
    refused(&admin.post("/v1/accounts/1/limits", &limits), 422, "approval_required");
    for (id, amount) in [("11", "100"), ("12", "101")] {
        let raw = json!({"id": id, "debit_account": "1", "credit_account": "3", "amount": amount, "asset": "EUR/2", "code": 1});
        admin.post("/v1/accounts", &json!({"id": "3", "ledger": 1, "code": 1}));
        assert_eq!(admin.post("/v1/transfers", &raw).status, 201);
    }
    assert_eq!(admin.post("/v1/transfers/11/reverse", &json!({})).status, 201);
    refused(&admin.post("/v1/transfers/12/reverse?dry_run=true", &json!({})), 422, "approval_required");
    refused(&admin.post("/v1/transfers/12/reverse", &json!({})), 422, "approval_required");

    let proposals = [
        json!({"id": "21", "set_limits": {"account": "1", "min_balance": "-500"}}),
        json!({"id": "22", "reverse": {"transfer": "12"}}),
        json!({"id": "23", "approval_rules": {}}),
    ];
    for proposal in &proposals {
        assert_eq!(admin.post("/v1/proposals", proposal).status, 201);
        let id = proposal["id"].as_str().expect("an id");
        let approved = approve(&reviewer, id);
        assert_eq!((approved.status, approved.text("status")), (200, "approved"), "{:?}", approved.body);
    }
    assert_eq!(admin.get("/v1/accounts/1").body["limits"]["min_balance"], "-500");
    let reversal = admin.get("/v1/proposals/22").body["reverse"]["reversal"].as_str().expect("an id").to_owned();
    assert_eq!(admin.get(&format!("/v1/transfers/{reversal}")).text("amount"), "101");
    assert_eq!(admin.post("/v1/accounts/1/limits", &json!({"min_balance": "-600"})).status, 200);

    let bad = [
        (json!({"id": "30"}), "missing_field"),
        (json!({"id": "30", "reverse": {"transfer": "12"}, "open_import": {"import": "1"}}), "invalid_field"),
        (json!({"id": "30", "reverse": {"transfer": "99"}}), "transfer_not_found"),
        (json!({"id": "30", "open_import": {"import": "99"}}), "import_not_found"),
        (json!({"id": "30", "transfer": {"debit_account": "1"}}), "missing_field"),
        (json!({"id": "30", "reverse": {"transfer": "12"}, "expires_in_s": 2_592_001}), "invalid_field"),
        (json!({"reverse": {"transfer": "12"}}), "id_required"),
    ];
    for (body, code) in bad {
        assert_eq!(admin.post("/v1/proposals", &body).code(), code, "{body}");
    }
    assert_eq!(admin.get("/v1/proposals?status=closed").code(), "invalid_parameter");
    assert_eq!(admin.get("/v1/proposals/99").code(), "proposal_not_found");
}
