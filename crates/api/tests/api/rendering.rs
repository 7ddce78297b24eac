//! Entries as clients see them: with names, and without personal data.

use std::sync::Arc;

use api::decisions::Decision;
use api::events::Event;
use api::responses::{Account, Assets, Unknown};
use api::{CursorOrigin, Scope};
use engine::{
    ApiKeyAdded, ApprovalFact, ApprovalRules, AtDeadline, CaptureTerms, Cause, CredentialAdded, CredentialKind,
    CredentialRevoked, Deadline, DecisionForm, Demand, Entry, Fact, Header, IdentityFact, LegRefusal, PaymentChanged,
    PaymentDecided, PaymentStatus, PaymentSums, PlainValue, PolicyActivated, Portion, PrincipalAdded, PrincipalKind,
    ProposalEnd, ProposalEnded, ProposalMade, Proposed, Verb,
};
use expect_test::{Expect, expect};
use journal::{Context, EntryInContext};
use ledger::{AccountFlags, Book, NewAccount, NewTransfer, TransferFlags, TransferKey, TransferStatus};
use policy::{Effect, Failure, FailureCause, FeatureValue, MissingReason, Part, Reason, Verdict};
use types::{
    AccountId, ActorId, Amount, CredentialId, Digest, KeyId, LedgerId, Name, Origin, PaymentId, ProposalId, RequestId,
    Sealed, Seq, ShardId, Span, TenantId, Timestamp, Token, TransferId,
};

const HISTORY: CursorOrigin = CursorOrigin { origin: Origin::new(9), shard: ShardId::new(0) };
const LEDGER: LedgerId = LedgerId::new(978);

fn name(text: &str) -> Name {
    text.parse().expect("a name")
}

fn assets() -> Assets {
    Assets::new(&[Book { id: LEDGER, asset: "EUR/2".parse().expect("an asset"), opened_at: Timestamp::ZERO }])
}

/// An entry with all that it refers to.
fn in_context(fact: Fact) -> EntryInContext {
    let context = Context { assets: Arc::new(assets()), policy: Some(Arc::new(names())) };
    EntryInContext { entry: entry(fact), context }
}

fn names() -> PolicyActivated {
    PolicyActivated {
        artifact: Digest::default(),
        name: name("retail"),
        features: vec![name("spend_1d"), name("mean_1d"), name("night")],
        models: vec![name("fraud")],
        lists: vec![name("blocked_devices"), name("sanctioned_countries")],
        streams: Vec::new(),
        ledger_facts: Vec::new(),
    }
}

fn transfer() -> ledger::Transfer {
    let new = NewTransfer::named(TransferKey::Leg { payment: PaymentId::new(7), number: 0 });
    ledger::Transfer {
        key: new.key,
        debit: AccountId::new(1),
        credit: AccountId::new(2),
        amount: Amount::new(1250),
        pending: None,
        user_data_128: 0,
        user_data_64: 0,
        user_data_32: 0,
        timeout_s: 0,
        ledger: LEDGER,
        code: types::Code::new(1),
        flags: TransferFlags::PENDING,
        timestamp: Timestamp::from_ns(1_000_000_001),
    }
}

fn decided() -> PaymentDecided {
    PaymentDecided {
        payment: PaymentId::new(7),
        content: Digest::default(),
        policy: Seq::new(3),
        payment_type: name("card"),
        ledger: LEDGER,
        amount: Amount::new(1250),
        attributes: vec![
            (name("customer"), PlainValue::Entity(Token::new(5))),
            (name("country"), PlainValue::Text("NO".into())),
        ],
        verdict: Verdict::Review,
        score: 720,
        reasons: vec![
            Reason { code: name("card_velocity"), effect: Effect::Score(200), failure: None },
            Reason { code: name("score_review"), effect: Effect::Review, failure: None },
            Reason {
                code: name("rule_failed"),
                effect: Effect::Review,
                failure: Some(Failure { part: Part::Rule(name("share")), cause: FailureCause::DivisionByZero }),
            },
        ],
        tags: vec!["new customer".to_owned()],
        features: vec![
            (0, FeatureValue::Int(125_000)),
            (1, FeatureValue::Missing(MissingReason::WindowTruncated)),
            (2, FeatureValue::Bool(true)),
        ],
        models: vec![(0, Some(0.52))],
        lists: vec![(0, Seq::new(7)), (1, Seq::ZERO)],
        late: false,
        status: PaymentStatus::InReview,
        refusal: None,
        capture: CaptureTerms::Manual { deadline: Span::from_secs(60), then: AtDeadline::Expire },
        deadline: Some(Deadline { at: Timestamp::from_ns(90_000_000_000), then: AtDeadline::Expire }),
        ledger_facts: vec![ledger::Fact::TransferCreated(transfer())],
        updates: Vec::new(),
        accepted_updates: Vec::new(),
        form: DecisionForm::Compact,
    }
}

fn entry(fact: Fact) -> Entry {
    let header = Header {
        shard: ShardId::new(0),
        seq: Seq::new(12),
        tenant: TenantId::new(1),
        actor: ActorId::new(4),
        request: RequestId::new(7),
        decided_at: Timestamp::from_ns(1_000_000_000),
        occurred_at: Timestamp::from_ns(1_000_000_000),
    };
    Entry { header, fact, sealed: Some(Sealed { keys: vec![KeyId::new(77)], ciphertext: b"personal"[..].into() }) }
}

#[track_caller]
fn check(fact: Fact, expected: &Expect) {
    let event = Event::new(&in_context(fact), HISTORY).expect("everything is known");
    expected.assert_eq(&serde_json::to_string_pretty(&event).expect("JSON"));
}

#[test]
fn a_decided_payment_is_shown_with_the_names_of_its_policy() {
    check(
        Fact::PaymentDecided(Arc::new(decided())),
        &expect![[r#"
            {
              "cursor": "00000000-0000-0000-0000-000000000009.0.12",
              "sequence": 12,
              "kind": "payment_decided",
              "decided_at": "1970-01-01T00:00:01Z",
              "occurred_at": "1970-01-01T00:00:01Z",
              "actor": 4,
              "request": "00000000-0000-0000-0000-000000000007",
              "data": {
                "type": "card",
                "ledger": 978,
                "amount": "1250",
                "asset": "EUR/2",
                "status": "in_review",
                "capture": "manual",
                "deadline": {
                  "at": "1970-01-01T00:01:30Z",
                  "then": "expire"
                },
                "payment": "00000000-0000-0000-0000-000000000007",
                "verdict": "review",
                "score": 720,
                "reasons": [
                  {
                    "code": "card_velocity",
                    "effect": "score",
                    "points": 200
                  },
                  {
                    "code": "score_review",
                    "effect": "review"
                  },
                  {
                    "code": "rule_failed",
                    "effect": "review",
                    "failure": {
                      "rule": "share",
                      "cause": "division_by_zero",
                      "detail": "rule share: division by zero"
                    }
                  }
                ],
                "tags": [
                  "new customer"
                ],
                "attributes": {
                  "country": "NO",
                  "customer": {
                    "token": "00000000-0000-0000-0000-000000000005"
                  }
                },
                "features": [
                  {
                    "name": "spend_1d",
                    "value": 125000
                  },
                  {
                    "name": "mean_1d",
                    "value": null,
                    "missing": "window_truncated"
                  },
                  {
                    "name": "night",
                    "value": true
                  }
                ],
                "models": [
                  {
                    "name": "fraud",
                    "probability": 0.52
                  }
                ],
                "lists": [
                  {
                    "name": "blocked_devices",
                    "version": 7
                  },
                  {
                    "name": "sanctioned_countries",
                    "version": 0
                  }
                ],
                "policy": {
                  "name": "retail",
                  "digest": "0000000000000000000000000000000000000000000000000000000000000000",
                  "sequence": 3
                },
                "decided_at": "1970-01-01T00:00:01Z",
                "occurred_at": "1970-01-01T00:00:01Z",
                "late": false,
                "sequence": 12,
                "accounts": [],
                "transfers": [
                  {
                    "payment": "00000000-0000-0000-0000-000000000007",
                    "number": 0,
                    "debit_account": "00000000-0000-0000-0000-000000000001",
                    "credit_account": "00000000-0000-0000-0000-000000000002",
                    "amount": "1250",
                    "asset": "EUR/2",
                    "ledger": 978,
                    "code": 1,
                    "flags": [
                      "pending"
                    ],
                    "created_at": "1970-01-01T00:00:01.000000001Z"
                  }
                ]
              }
            }"#]],
    );
}

#[test]
fn a_changed_payment_is_shown_with_its_cause() {
    let [captured, released, refunded] = [300, 200, 0].map(Amount::new);
    let changed = PaymentChanged {
        payment: PaymentId::new(7),
        cause: Cause::Verb(Verb::Capture),
        portion: Portion::Part(captured),
        status: PaymentStatus::Held,
        sums: Some(PaymentSums { captured, released, refunded }),
        deadline: None,
        ledger_facts: Vec::new(),
        updates: Vec::new(),
        increment: None,
    };
    check(
        Fact::PaymentChanged(changed),
        &expect![[r#"
        {
          "cursor": "00000000-0000-0000-0000-000000000009.0.12",
          "sequence": 12,
          "kind": "payment_changed",
          "decided_at": "1970-01-01T00:00:01Z",
          "occurred_at": "1970-01-01T00:00:01Z",
          "actor": 4,
          "request": "00000000-0000-0000-0000-000000000007",
          "data": {
            "payment": "00000000-0000-0000-0000-000000000007",
            "cause": "capture",
            "status": "held",
            "captured": "300",
            "released": "200",
            "refunded": "0",
            "transfers": []
          }
        }"#]],
    );
}

#[test]
fn an_opened_account_is_shown_with_its_balances_and_user_data() {
    let new = NewAccount {
        id: AccountId::new(1),
        ledger: LEDGER,
        code: types::Code::new(10),
        user_data_128: u128::MAX,
        flags: AccountFlags::DEBITS_MUST_NOT_EXCEED_CREDITS,
        ..NewAccount::default()
    };
    let account = ledger::Account::open(&new, Timestamp::from_ns(1));
    check(
        Fact::Ledger(ledger::Fact::AccountOpened(account)),
        &expect![[r#"
        {
          "cursor": "00000000-0000-0000-0000-000000000009.0.12",
          "sequence": 12,
          "kind": "account_opened",
          "decided_at": "1970-01-01T00:00:01Z",
          "occurred_at": "1970-01-01T00:00:01Z",
          "actor": 4,
          "request": "00000000-0000-0000-0000-000000000007",
          "data": {
            "id": "00000000-0000-0000-0000-000000000001",
            "ledger": 978,
            "asset": "EUR/2",
            "code": 10,
            "flags": [
              "debits_must_not_exceed_credits"
            ],
            "user_data_128": "340282366920938463463374607431768211455",
            "opened_at": "1970-01-01T00:00:00.000000001Z",
            "debits_pending": "0",
            "debits_posted": "0",
            "credits_pending": "0",
            "credits_posted": "0"
          }
        }"#]],
    );
}

#[test]
fn events_of_credentials_leave_out_the_hash_of_the_secret() {
    let told = |fact| {
        let event = Event::new(&in_context(Fact::Identity(fact)), HISTORY).expect("everything is known");
        let json = serde_json::to_value(event).expect("JSON");
        (json["kind"].as_str().map(str::to_owned), json["data"].clone())
    };
    let principal =
        PrincipalAdded { actor: ActorId::new(4), kind: PrincipalKind::Person, name: "Ann".into(), subject: None };
    let expected = serde_json::json!({"principal": 4, "kind": "person", "name": "Ann"});
    assert_eq!(told(IdentityFact::PrincipalAdded(principal)), (Some("principal_added".to_owned()), expected));
    let scopes = Scope::LEDGER_READ.bits() | Scope::EVENTS_READ.bits();
    let credential = CredentialAdded {
        credential: CredentialId::new(9),
        principal: ActorId::new(4),
        kind: CredentialKind::ApiKey { hash: Digest::of(b"key") },
        scopes,
        name: "laptop".into(),
        expires_at: None,
    };
    let expected = serde_json::json!({
        "credential": 9, "principal": 4, "kind": "api_key", "name": "laptop", "scopes": ["ledger:read", "events:read"],
    });
    let told_added = told(IdentityFact::CredentialAdded(credential.clone()));
    assert_eq!(told_added, (Some("credential_added".to_owned()), expected));
    let expiring = CredentialAdded { expires_at: Some(Timestamp::from_ns(1_795_000_000_000_000_000)), ..credential };
    let (_, data) = told(IdentityFact::CredentialAdded(expiring));
    assert_eq!(data["expires_at"], "2026-11-18T11:06:40Z");
    let revoked = IdentityFact::CredentialRevoked(CredentialRevoked { credential: CredentialId::new(9) });
    let expected = serde_json::json!({"credential": 9});
    assert_eq!(told(revoked), (Some("credential_revoked".to_owned()), expected));
    let earlier = ApiKeyAdded { key: ActorId::new(4), hash: Digest::of(b"key"), scopes, name: "made at start".into() };
    let expected = serde_json::json!({"key": 4, "name": "made at start", "scopes": ["ledger:read", "events:read"]});
    assert_eq!(told(IdentityFact::ApiKeyAdded(earlier)), (Some("api_key_added".to_owned()), expected));
}

#[test]
fn a_refused_leg_is_shown_with_its_position_and_status() {
    let refused = PaymentDecided {
        status: PaymentStatus::Refused,
        refusal: Some(LegRefusal { leg: 1, status: TransferStatus::ExceedsCredits }),
        ..decided()
    };
    let event = Event::new(&in_context(Fact::PaymentDecided(Arc::new(refused))), HISTORY);
    let json = serde_json::to_value(event.expect("everything is known")).expect("JSON");
    let expected = serde_json::json!({
        "leg": 1, "code": "exceeds_credits", "number": 54,
        "title": "the debits of the debit account would exceed its posted credits",
    });
    assert_eq!(json["data"]["refusal"], expected);
}

#[test]
fn rendering_reports_a_missing_policy_or_ledger() {
    let known = in_context(Fact::PaymentDecided(Arc::new(decided())));
    let unnamed = EntryInContext { context: Context { policy: None, ..known.context.clone() }, ..known.clone() };
    assert_eq!(Event::new(&unnamed, HISTORY).err(), Some(Unknown::Policy(Seq::new(3))));
    let unledgered = EntryInContext { context: Context { assets: Arc::default(), ..known.context.clone() }, ..known };
    let unledgered = Event::new(&unledgered, HISTORY);
    assert_eq!(unledgered.err(), Some(Unknown::Ledger(LEDGER)));
    let account = ledger::Account::open(&NewAccount { ledger: LEDGER, ..NewAccount::default() }, Timestamp::ZERO);
    assert_eq!(Account::new(&account, &Assets::default()).err(), Some(Unknown::Ledger(LEDGER)));
}

#[test]
fn a_decision_describes_the_rules_of_its_own_policy_only() {
    const POLICY: &str = r#"
        name = "retail"
        [ledgers.eur]
        id = 978
        asset = "EUR/2"
        [accounts.a]
        ledger = "eur"
        code = 1
        [accounts.b]
        ledger = "eur"
        code = 2
        [payments.card]
        ledger = "eur"
        [[payments.card.legs]]
        debit = { account = "a" }
        credit = { account = "b" }
        code = 1
        [[rules]]
        name = "card_velocity"
        when = "payment.amount > 5"
        then = { score = 200 }
        description = "Too many cards"
    "#;
    let compiled = fixtures::compile(&fixtures::bundle(POLICY));
    let entry = entry(Fact::PaymentDecided(Arc::new(decided())));
    let describe = |artifact| {
        let names = PolicyActivated { artifact, ..names() };
        let decision = Decision::new((&entry.header).into(), &decided(), &names, Some(&compiled));
        serde_json::to_value(decision).expect("JSON")["reasons"][0]["description"].clone()
    };
    assert_eq!(describe(compiled.digest()), "Too many cards");
    assert_eq!(describe(Digest::default()), serde_json::Value::Null);
}

#[test]
fn events_of_proposals_say_what_is_proposed() {
    let told = |fact| {
        let event = Event::new(&in_context(Fact::Approval(fact)), HISTORY).expect("everything is known");
        let json = serde_json::to_value(event).expect("JSON");
        (json["kind"].as_str().map(str::to_owned), json["data"].clone())
    };
    let eur: types::Asset = "EUR/2".parse().expect("an asset");
    let rules = ApprovalRules {
        limits: Demand::Approval,
        imports: Demand::Direct,
        reversals_above: [(eur, Amount::new(100))].into(),
    };
    let shown = serde_json::json!({"limits": "approval", "imports": "direct", "reversals_above": {"EUR/2": "100"}});
    assert_eq!(told(ApprovalFact::RulesSet(rules.clone())), (Some("approvals_set".to_owned()), shown.clone()));
    let post = NewTransfer {
        pending: Some(TransferKey::Client(TransferId::new(2))),
        amount: Amount::MAX,
        ledger: LEDGER,
        flags: TransferFlags::POST_PENDING_TRANSFER,
        ..NewTransfer::named(TransferKey::Client(TransferId::new(1)))
    };
    let limits = ledger::Limits { min_balance: Some(-5), max_balance: None };
    let id = |number: u32| format!("00000000-0000-0000-0000-{number:012}");
    let reversal = engine::reversal_id(TransferId::new(6)).to_string();
    let operations = [
        (Proposed::Transfer(Box::new(post)), serde_json::json!({"id": id(1), "amount": "max", "pending_id": id(2)})),
        (
            Proposed::SetLimits { account: AccountId::new(4), limits },
            serde_json::json!({"account": id(4), "min_balance": "-5", "max_balance": null}),
        ),
        (Proposed::Reverse(TransferId::new(6)), serde_json::json!({"transfer": id(6), "reversal": reversal})),
        (Proposed::OpenImport(types::ImportId::new(8)), serde_json::json!({"import": id(8)})),
        (Proposed::SetRules(rules), shown),
    ];
    for (operation, expected) in operations {
        let name = operation.name();
        let (proposal, reason) = (ProposalId::new(7), "ticket".into());
        let made = ProposalMade { proposal, operation, reason, expires_at: Timestamp::from_ns(9_000_000_000) };
        let (kind, data) = told(ApprovalFact::ProposalMade(Box::new(made)));
        let outer = (kind.as_deref(), &data["proposal"], &data["operation"], &data["reason"], &data["expires_at"]);
        let (seven, until) = (serde_json::json!(id(7)), serde_json::json!("1970-01-01T00:00:09Z"));
        assert_eq!(outer, (Some("proposal_made"), &seven, &name.into(), &"ticket".into(), &until));
        for (field, value) in expected.as_object().expect("an object") {
            assert_eq!(&data[name][field], value, "{data}");
        }
        let others = ["transfer", "set_limits", "reverse", "open_import", "approval_rules"];
        assert_eq!(others.iter().filter(|other| data[**other].is_object()).count(), 1, "{data}");
    }
    let ended = ApprovalFact::ProposalEnded(ProposalEnded { proposal: ProposalId::new(7), end: ProposalEnd::Rejected });
    let shown = serde_json::json!({"proposal": id(7), "status": "rejected"});
    assert_eq!(told(ended), (Some("proposal_ended".to_owned()), shown));
}
