//! What the OpenAPI document says about a body is what its parser takes: the same fields, and the same of them required.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use api::routes::Body;
use api::{CursorOrigin, ErrorCode, Problem, ROUTES, Route, Scope};
use edge::{Call, Edge, Head, Headers, Installation, Installed, Installer, Response, Sources};
use engine::{Answered, Entry, Operation, PaymentReply};
use journal::EntryInContext;
use ledger::Assets;
use policy::{Bundle, Policy};
use serde_json::{Map, Value, json};
use types::{ActorId, CredentialId, Digest, Origin, PaymentId, RequestId, Sealed, ShardId, TenantId, Timestamp, Token};

const TENANT: TenantId = TenantId::new(1);

/// Sources that nobody needs who only parses.
#[derive(Debug)]
struct Nothing;

#[derive(Debug)]
enum Failure {
    Problem(Problem),
    /// The body was parsed: the engine was asked.
    Asked,
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl Sources for Nothing {
    type Failure = Failure;
    type Keys = Self;

    fn internal(&self, what: &'static str) -> Failure {
        panic!("{what}")
    }

    fn keys(&self) -> &Self {
        self
    }

    fn fill_with_random(&self, _: &mut [u8]) {
        panic!("nothing random is needed")
    }

    fn last_used(&self, _: CredentialId) -> Option<Timestamp> {
        None
    }

    fn policy(&self) -> Option<Arc<Policy>> {
        None
    }

    async fn policy_changes(&self) {}

    fn assets(&self) -> Arc<Assets> {
        Arc::default()
    }

    async fn ask<O: Operation + Send>(&self, _: ActorId, _: RequestId, _: O) -> Result<Answered<O>, Failure> {
        Err(Failure::Asked)
    }

    async fn install(&self, _: Installer, _: Bundle) -> Result<Installed, Failure> {
        Err(Failure::Asked)
    }

    async fn payment(&self, _: PaymentId) -> Result<Option<PaymentReply>, Failure> {
        Ok(None)
    }

    async fn decision(&self, _: PaymentId) -> Result<Option<Entry>, Failure> {
        Ok(None)
    }

    async fn in_context(&self, _: Entry) -> Result<EntryInContext, Failure> {
        Err(Failure::Asked)
    }
}

impl vault::Keys for Nothing {
    fn token(&self, _: TenantId, _: &str, _: &str, _: bool) -> Result<Token, vault::Full> {
        Ok(Token::new(1))
    }

    fn known_token(&self, _: TenantId, _: &str, _: &str, _: bool) -> Option<Token> {
        None
    }

    fn request_hash(&self, _: TenantId, canonical: &[u8]) -> Digest {
        Digest::of(canonical)
    }

    fn seal_section(
        &self,
        _: TenantId,
        _: Option<(&str, &str)>,
        _: &[u8],
        _: &[vault::Part<'_>],
    ) -> Result<Sealed, vault::Full> {
        panic!("a body is only parsed here; sealing it is a bug of this test")
    }

    fn unseal_section(&self, _: TenantId, _: &[u8], _: &Sealed) -> Result<Vec<vault::OpenedPart>, vault::UnsealError> {
        panic!("a body is only parsed here; unsealing it is a bug of this test")
    }

    fn unseal(&self, _: TenantId, _: &[u8], _: &Sealed) -> Result<Vec<u8>, vault::UnsealError> {
        panic!("a body is only parsed here; unsealing it is a bug of this test")
    }
}

/// Sends a body with all scopes; the problem with it, if the parser finds one.
fn send(route: &'static Route, body: &Value) -> Result<(), Problem> {
    match answer(route, body, Scope::ALL) {
        // The body was read before the policy is needed, which is not there.
        Poll::Ready(Err(Failure::Problem(problem))) if problem.code() == ErrorCode::NoActivePolicy.into() => Ok(()),
        Poll::Ready(Err(Failure::Problem(problem))) => Err(problem),
        // Some bodies are not the engine's: their parser is called by the server.
        Poll::Ready(Err(Failure::Asked)) => Ok(()),
        Poll::Ready(Ok(None)) => {
            let body = serde_json::to_vec(body).unwrap();
            match route.path {
                "/v1/tenants" => api::installation::new_tenant(&body).map(drop),
                "/v1/tenants/{id}/quotas" => api::installation::quotas(&body).map(drop),
                "/v1/clients" => api::installation::new_client(&body).map(drop),
                "/v1/issuers" => api::installation::new_issuer(&body).map(drop),
                "/v1/roles" => api::installation::new_role(&body).map(drop),
                _ => api::requests::verb(&body),
            }
        }
        other @ (Poll::Ready(Ok(Some(_))) | Poll::Pending) => panic!("{}: {other:?}", route.path),
    }
}

fn answer(route: &'static Route, body: &Value, scopes: Scope) -> Poll<Result<Option<Response>, Failure>> {
    let key: Option<&[u8]> = matches!(route.key, api::routes::Key::Verb).then_some(b"again");
    // Lists have names instead of numbers.
    let id = if route.path.starts_with("/v1/lists/") { "blocked" } else { "7" };
    let head = Head::read(route, &route.path.replace("{id}", id), "", Headers { key, if_match: None });
    let head = match head {
        Ok(head) => head,
        Err(problem) => return Poll::Ready(Err(problem.into())),
    };
    let history = CursorOrigin { origin: Origin::new(1), shard: ShardId::new(0) };
    let edge = Edge { installation: Installation::new(TENANT, history, &Nothing), sources: Nothing };
    let body = serde_json::to_vec(body).unwrap();
    let call = Call { head: &head, actor: ActorId::new(1), sender: CredentialId::new(1).into(), scopes, body: &body };
    let answering = pin!(edge.answer(&call));
    answering.poll(&mut Context::from_waker(Waker::noop()))
}

/// An object inside a body: its schema, and how the body around it is made of it.
struct Object<'d> {
    route: &'static Route,
    schema: &'d Value,
    pointer: String,
    around: Box<dyn Fn(Value) -> Value + 'd>,
}

impl<'d> Object<'d> {
    fn properties(&self) -> impl Iterator<Item = (&'d String, &'d Value)> {
        self.schema["properties"].as_object().into_iter().flatten()
    }

    fn required(&self) -> BTreeSet<&'d str> {
        self.schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
    }

    fn send(&self, object: Value) -> Result<(), Problem> {
        send(self.route, &(self.around)(object))
    }

    /// Objects with all their fields, whose values go together.
    fn examples(&self, document: &Value) -> Vec<Map<String, Value>> {
        let all: Map<String, Value> =
            self.properties().map(|(name, schema)| (name.clone(), field(document, name, schema))).collect();
        choices(all)
    }

    /// What the parser requires: without it, no example is complete.
    fn parser_requires(&self, name: &str, examples: &[Map<String, Value>]) -> bool {
        let at = format!("{}/{name}", self.pointer);
        examples.iter().all(|example| {
            let mut without = example.clone();
            without.remove(name);
            let missing = |problem: &Problem| {
                problem.code() == ErrorCode::MissingField.into() && problem.field() == Some(at.as_str())
            };
            self.send(Value::Object(without)).is_err_and(|problem| missing(&problem))
        })
    }

    #[track_caller]
    fn check(&self, document: &Value) {
        let place = format!("{} {}", self.route.path, self.pointer);
        let problem = self.send(json!({"no_such_field": 1})).unwrap_err();
        assert_eq!(problem.code(), ErrorCode::UnknownField.into(), "{place}: {problem:?}");
        let (_, known) = problem.detail().rsplit_once("expected ").unwrap();
        let known = known.strip_prefix("one of ").unwrap_or_default();
        let known: BTreeSet<&str> = known.split(", ").filter(|name| !name.is_empty()).collect();
        let documented: BTreeSet<&str> = self.properties().map(|(name, _)| name.as_str()).collect();
        assert_eq!(known, documented, "{place}: the fields that are read, and those in the document");
        let examples = self.examples(document);
        for example in &examples {
            let sent = self.send(Value::Object(example.clone()));
            assert!(sent.is_ok(), "{place}: {sent:?} of {example:?}");
        }
        let required: BTreeSet<&str> =
            documented.into_iter().filter(|name| self.parser_requires(name, &examples)).collect();
        assert_eq!(required, self.required(), "{place}: the fields that must be there, and those in the document");
    }
}

/// Which of all these fields go together: one object for each way to choose.
fn choices(mut all: Map<String, Value>) -> Vec<Map<String, Value>> {
    if all.contains_key("new_principal") {
        // One principal, and either scopes or a role.
        let without = |names: [&str; 2]| {
            let mut some = all.clone();
            some.retain(|name, _| !names.contains(&name.as_str()));
            some
        };
        return vec![without(["principal", "role"]), without(["new_principal", "scopes"])];
    }
    let operations = ["transfer", "set_limits", "reverse", "open_import", "approval_rules"];
    if operations.iter().all(|name| all.contains_key(*name)) {
        // A proposal has exactly one operation.
        let one = |operation: &&str| {
            let mut some = all.clone();
            some.retain(|name, _| name == operation || !operations.contains(&name.as_str()));
            some
        };
        return operations.iter().map(one).collect();
    }
    // An object has the ones or the others.
    for (ones, others) in
        [(&["scopes"][..], &["role"][..]), (&["fixed"], &["claim", "values"]), (&["value"], &["token"])]
    {
        if ones.iter().chain(others).all(|name| all.contains_key(*name)) {
            if all.contains_key("fixed") {
                all.insert("values".to_owned(), json!({"acme": 2}));
            }
            let without = |names: &[&str]| {
                let mut some = all.clone();
                some.retain(|name, _| !names.contains(&name.as_str()));
                some
            };
            return vec![without(others), without(ones)];
        }
    }
    if all.contains_key("jwks") {
        // A client that signs has keys, and one with a secret has none.
        let mut signs = all.clone();
        signs.insert("method".to_owned(), json!("private_key_jwt"));
        let mut secret = all;
        secret.remove("jwks");
        return vec![signs, secret];
    }
    let mut examples = vec![all.clone()];
    if all.contains_key("pending_id") {
        let mut void = all;
        void.insert("flags".to_owned(), json!(["void_pending_transfer"]));
        examples.push(void);
    }
    examples
}

/// The schema that a reference leads to.
fn resolved<'d>(document: &'d Value, schema: &'d Value) -> &'d Value {
    let one_of = schema["oneOf"].as_array().into_iter().flatten().find(|part| part["$ref"].is_string());
    let reference = one_of.unwrap_or(schema)["$ref"].as_str();
    match reference.and_then(|reference| reference.strip_prefix('#')) {
        Some(pointer) => document.pointer(pointer).unwrap(),
        None => schema,
    }
}

/// Values of fields with a form of their own, which the document describes in words.
fn described(name: &str) -> Option<Value> {
    match name {
        "jwks" => Some(json!({"keys": [{
            "kty": "EC",
            "crv": "P-256",
            "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
            "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
        }]})),
        "claim" => Some(json!("tenant")),
        // At least one has to be named.
        "attributes" => Some(json!({"kyc_level": 2})),
        _ => None,
    }
}

/// A value that fits the schema of a field.
fn field(document: &Value, name: &str, schema: &Value) -> Value {
    described(name).unwrap_or_else(|| example(document, schema))
}

/// A value that fits a schema.
fn example(document: &Value, schema: &Value) -> Value {
    if let Some(example) = schema.get("example") {
        return example.clone();
    }
    let schema = resolved(document, schema);
    let kinds = &schema["type"];
    let is = |kind: &str| kinds == kind || kinds.as_array().is_some_and(|kinds| kinds.contains(&json!(kind)));
    match () {
        () if is("object") => {
            let properties = schema["properties"].as_object().into_iter().flatten();
            let all = properties.map(|(name, schema)| (name.clone(), field(document, name, schema))).collect();
            choices(all).swap_remove(0).into()
        }
        () if is("array") => json!([example(document, &schema["items"])]),
        () if is("integer") => json!(1),
        () if is("boolean") => json!(true),
        () if schema["format"] == "date-time" => json!("2026-01-01T00:00:00Z"),
        () if schema["pattern"] == "^[0-9a-f]{64}$" => json!("7".repeat(64)),
        () => json!("7"),
    }
}

/// An object and those inside it.
fn objects<'d>(document: &'d Value, outer: Object<'d>) -> Vec<Rc<Object<'d>>> {
    let outer = Rc::new(outer);
    let mut all = vec![Rc::clone(&outer)];
    for (name, schema) in outer.properties() {
        let target = resolved(document, schema);
        let items = resolved(document, &target["items"]);
        let (schema, is_list) = if items["properties"].is_object() { (items, true) } else { (target, false) };
        if !schema["properties"].is_object() {
            continue;
        }
        let around = Rc::clone(&outer);
        let around = move |object: Value| {
            let mut examples = around.examples(document);
            let place = examples.iter().position(|example| example.contains_key(name)).unwrap_or(0);
            let mut example = examples.swap_remove(place);
            example.insert(name.clone(), if is_list { json!([object]) } else { object });
            (around.around)(Value::Object(example))
        };
        let pointer = format!("{}/{name}{}", outer.pointer, if is_list { "/0" } else { "" });
        let object = Object { route: outer.route, schema, pointer, around: Box::new(around) };
        all.extend(objects(document, object));
    }
    all
}

#[test]
fn every_body_is_parsed_as_it_is_documented() {
    let document: Value = serde_json::from_str(&api::openapi_json()).unwrap();
    let mut checked = 0;
    for route in ROUTES {
        let (Body::Json(_) | Body::Batch(_) | Body::Empty(_)) = route.body else { continue };
        let method = format!("{:?}", route.method).to_lowercase();
        let body = &document["paths"][route.path][&method]["requestBody"]["content"]["application/json"]["schema"];
        let schema = resolved(&document, body);
        let whole = Object { route, schema, pointer: String::new(), around: Box::new(|object| object) };
        for object in objects(&document, whole) {
            object.check(&document);
            checked += 1;
        }
    }
    assert!(checked > 20, "{checked} objects");
}

#[test]
fn a_batch_of_verbs_gives_no_more_rights_than_single_verbs() {
    let route = ROUTES.iter().find(|route| route.path == "/v1/payments/verbs/batch").unwrap();
    let verb = |verb: &str| json!({"payment": "7", "verb": verb, "idempotency_key": verb});
    for verb in ["approve", "decline"].map(verb) {
        let Poll::Ready(Ok(Some(response))) = answer(route, &json!({"verbs": [verb]}), Scope::PAYMENTS_WRITE) else {
            panic!("{verb} reached the engine");
        };
        let edge::Body::Json(body) = response.body else { panic!("{response:?}") };
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["results"][0]["status"], "insufficient_scope", "{body}");
    }
    for verb in ["capture", "void", "refund"].map(verb) {
        let answered = answer(route, &json!({"verbs": [verb]}), Scope::PAYMENTS_WRITE);
        assert!(matches!(answered, Poll::Ready(Err(Failure::Asked))), "{answered:?}");
    }
}
