//! A server that takes the tokens of an identity server, and what is checked with them.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::client::{ClientKey, token};
use crate::harness::{Client, Reply, Server, eventually_within, first_start};
use crate::service::Service;

/// Keys are fetched at most once in 30 s because of an unknown one, and the machine is busy during tests.
const SOON: Duration = Duration::from_secs(90);
/// So long after a fetch, an unknown key makes the server fetch again.
const BETWEEN_FETCHES: Duration = Duration::from_secs(31);
/// How many threads send transfers while the keys change.
const SENDERS: usize = 4;

pub(crate) struct Scene<'a> {
    service: &'a Service,
    settings: Value,
    server: Server,
    admin: Client,
    key: ClientKey,
    _data: tempfile::TempDir,
}

impl<'a> Scene<'a> {
    /// Starts a server with two accounts, which trusts the issuer. `settings` lacks the names of the issuer and of the audience.
    pub(crate) fn start(service: &'a Service, mut settings: Value) -> Self {
        let (data, server, admin) = first_start(&[]);
        let role = json!({"name": "till", "scopes": ["ledger:read", "transfers:write"]});
        assert_eq!(admin.post("/v1/roles", &role).status, 201);
        assert_eq!(admin.post("/v1/ledgers", &json!({"id": 1, "asset": "EUR/2"})).status, 201);
        for account in ["1", "2"] {
            assert_eq!(admin.post("/v1/accounts", &json!({"id": account, "ledger": 1, "code": 1})).status, 201);
        }
        settings["issuer"] = service.text("/issuer").into();
        settings["audience"] = service.text("/audience").into();
        Self { service, settings, server, admin, key: ClientKey::generate(), _data: data }
    }

    fn described(&self, client: &str) -> &Value {
        let clients = self.service.description["clients"].as_array().unwrap();
        clients.iter().find(|described| described["client_id"] == client).unwrap()
    }

    fn token(&self, client: &str) -> String {
        token(self.service.text("/issuer"), self.service.text("/token_endpoint"), self.described(client), &self.key)
    }

    fn put_issuer(&self, settings: &Value) {
        let put = self.admin.post("/v1/issuers", settings);
        assert_eq!(put.status, 201, "{put:?}");
    }

    /// The answer once the keys of the issuer are there.
    fn once_fetched(&self, mut ask: impl FnMut() -> Reply) -> Reply {
        eventually_within(SOON, || {
            let reply = ask();
            assert!(reply.status < 500 || reply.code() == "issuer_unavailable", "{reply:?}");
            (reply.status != 503).then_some(reply)
        })
    }

    fn ledgers(&self, token: &str) -> Reply {
        self.server.client(token).get("/v1/ledgers")
    }

    fn transfer(&self, token: &str, id: u64) -> Reply {
        self.server.client(token).post("/v1/transfers", &transfer(id))
    }

    /// A token counts neither without its issuer nor for another audience.
    pub(crate) fn check_audience(&self, client: &str) {
        let text = self.token(client);
        let unknown = self.ledgers(&text);
        assert_eq!((unknown.status, unknown.code()), (401, "invalid_token"), "{unknown:?}");
        let mut elsewhere = self.settings.clone();
        elsewhere["audience"] = "https://elsewhere.test".into();
        self.put_issuer(&elsewhere);
        let refused = self.once_fetched(|| self.ledgers(&text));
        assert_eq!((refused.status, refused.code()), (401, "invalid_token"), "{refused:?}");
        assert!(refused.text("detail").contains("audience"), "{refused:?}");
        self.put_issuer(&self.settings);
        let accepted = self.once_fetched(|| self.ledgers(&text));
        assert_eq!(accepted.status, 200, "{accepted:?}");
    }

    /// A client may do what the rules give its tokens, and nothing else.
    pub(crate) fn check_scopes(&self, client: &str, sends: bool) {
        let text = self.token(client);
        assert_eq!(self.ledgers(&text).status, 200);
        assert_eq!(self.transfer(&text, 1 << 40).status, if sends { 201 } else { 403 });
        let more = self.server.client(&text).post("/v1/ledgers", &json!({"id": 2, "asset": "EUR/2"}));
        assert_eq!((more.status, more.code()), (403, "insufficient_scope"), "{more:?}");
        let payments = self.server.client(&text).get("/v1/payments");
        assert_eq!((payments.status, payments.code()), (403, "insufficient_scope"), "{payments:?}");
        let mut changed = text.into_bytes();
        let middle = changed.len() / 2;
        changed[middle] = if changed[middle] == b'A' { b'B' } else { b'A' };
        let changed = self.ledgers(&String::from_utf8(changed).unwrap());
        assert_eq!((changed.status, changed.code()), (401, "invalid_token"), "{changed:?}");
    }

    /// A token that is bound to a key counts with a fresh proof of that key, once.
    pub(crate) fn check_bound_tokens(&self, client: &str) {
        let text = self.token(client);
        let uri = format!("{}/v1/ledgers", self.server.address);
        let authorization = format!("DPoP {text}");
        let send = |authorization: &str, proof: &str| {
            let headers = [("Authorization", authorization), ("DPoP", proof), ("Content-Type", "application/json")];
            self.admin.send("/v1/ledgers", &headers, b"{}")
        };
        let unbound = self.ledgers(&text);
        assert_eq!((unbound.status, unbound.code()), (401, "invalid_token"), "{unbound:?}");
        let first = send(&authorization, &self.key.proof("POST", &uri, None, Some(&text)));
        assert_eq!((first.status, first.code()), (401, "use_dpop_nonce"), "{first:?}");
        let nonce = first.nonce.unwrap();
        let stolen = send(&authorization, &ClientKey::generate().proof("POST", &uri, Some(&nonce), Some(&text)));
        assert_eq!((stolen.status, stolen.code()), (401, "invalid_dpop_proof"), "{stolen:?}");
        let proof = self.key.proof("POST", &uri, Some(&nonce), Some(&text));
        let downgraded = send(&format!("Bearer {text}"), &proof);
        assert_eq!((downgraded.status, downgraded.code()), (401, "invalid_token"), "{downgraded:?}");
        // The proof is in order: what is missing is the scope.
        let accepted = send(&authorization, &proof);
        assert_eq!((accepted.status, accepted.code()), (403, "insufficient_scope"), "{accepted:?}");
        let again = send(&authorization, &proof);
        assert_eq!((again.status, again.code()), (401, "invalid_dpop_proof"), "{again:?}");
    }

    /// While transfers run, a new key is published and used, and the old one withdrawn: no transfer fails.
    pub(crate) fn check_new_keys(
        &self,
        clients: &[&str],
        publish: impl FnOnce(),
        sign: impl FnOnce(),
        withdraw: impl FnOnce(),
    ) {
        let old: Vec<String> = clients.iter().map(|client| self.token(client)).collect();
        let (next, rounds) = (AtomicU64::new(1), AtomicU64::new(0));
        let (uses_old, is_over) = (AtomicBool::new(true), AtomicBool::new(false));
        #[expect(clippy::disallowed_methods, reason = "the test waits until a limit of the server is over")]
        let since = Instant::now();
        let before = self.posted();
        let round = || {
            for (client, old) in clients.iter().zip(&old) {
                let fresh = self.token(client);
                let old = uses_old.load(Ordering::Relaxed).then_some(old);
                for text in [Some(&fresh), old].into_iter().flatten() {
                    let sent = self.transfer(text, next.fetch_add(1, Ordering::Relaxed));
                    assert_eq!(sent.status, 201, "{sent:?}");
                }
            }
            rounds.fetch_add(1, Ordering::Relaxed);
        };
        let send = || {
            while !is_over.load(Ordering::Relaxed) {
                round();
            }
        };
        std::thread::scope(|scope| {
            let _over = Over(&is_over);
            let senders: Vec<_> = (0..SENDERS).map(|_| scope.spawn(send)).collect();
            // Long enough that each sender began anew.
            let settle = || {
                let seen = rounds.load(Ordering::Relaxed);
                let enough = seen + 3 * u64::try_from(SENDERS).unwrap();
                eventually_within(SOON, || {
                    let has_failed = senders.iter().any(std::thread::ScopedJoinHandle::is_finished);
                    assert!(!has_failed, "a sender ended early");
                    (rounds.load(Ordering::Relaxed) > enough).then_some(())
                });
            };
            settle();
            publish();
            settle();
            // The server does not know the new key yet. The senders' tokens make it fetch the keys, once.
            eventually_within(SOON, || (since.elapsed() > BETWEEN_FETCHES).then_some(()));
            let known = self.fetched_at();
            sign();
            settle();
            assert!(self.fetched_at() > known, "the keys were fetched because of the new tokens");
            uses_old.store(false, Ordering::Relaxed);
            settle();
            withdraw();
            settle();
            // Nothing asks for the withdrawn key, so anything else has to make the server look.
            let invented = invented(&old[0]);
            let known = self.fetched_at();
            eventually_within(SOON, || {
                let refused = self.ledgers(&invented);
                assert_eq!((refused.status, refused.code()), (401, "invalid_token"), "{refused:?}");
                (self.fetched_at() > known).then_some(())
            });
            for text in &old {
                let refused = self.ledgers(text);
                assert_eq!((refused.status, refused.code()), (401, "invalid_token"), "{refused:?}");
                assert!(refused.text("detail").contains("key"), "{refused:?}");
            }
            settle();
        });
        let sent = next.load(Ordering::Relaxed) - 1;
        assert_eq!(self.posted() - before, sent, "every transfer counted once");
        println!("{sent} transfers were posted while the keys changed");
    }

    /// The tenant is what a claim says, and a token with another value gets in nowhere.
    pub(crate) fn check_tenants_of_a_claim(&self) {
        let created = self.admin.post("/v1/tenants", &json!({"name": "Globex", "mode": "live"}));
        assert_eq!(created.status, 201, "{created:?}");
        let mut settings = self.settings.clone();
        settings["tenants"] = json!({"claim": "tenant", "values": {"globex": created.body["tenant"]["id"]}});
        self.put_issuer(&settings);
        let (globex, acme) = (self.token("reports"), self.token("payments"));
        let other = self.once_fetched(|| self.ledgers(&globex));
        assert_eq!((other.status, &other.body["items"]), (200, &json!([])), "the ledger is in the first tenant");
        let nobody = self.once_fetched(|| self.ledgers(&acme));
        assert_eq!((nobody.status, nobody.code()), (401, "invalid_token"), "{nobody:?}");
    }

    /// When the keys were last fetched.
    fn fetched_at(&self) -> String {
        let issuers = self.admin.get("/v1/issuers").body;
        issuers["items"][0]["keys_fetched_at"].as_str().unwrap().to_owned()
    }

    /// How much was transferred.
    fn posted(&self) -> u64 {
        self.admin.get("/v1/accounts/1").text("debits_posted").parse().unwrap()
    }
}

/// Ends the senders, also when a check fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The token with a key that nobody has.
fn invented(token: &str) -> String {
    let (header, rest) = token.split_once('.').unwrap();
    let mut header: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).unwrap()).unwrap();
    header["kid"] = "invented".into();
    format!("{}.{rest}", URL_SAFE_NO_PAD.encode(header.to_string()))
}

fn transfer(id: u64) -> Value {
    json!({
        "id": id.to_string(), "debit_account": "1", "credit_account": "2", "amount": "1", "asset": "EUR/2", "code": 1
    })
}
