//! DPoP proofs, certificates, and the attacks on both.

use aws_lc_rs::hmac;
use oauth::{
    Algorithm, Code, HttpUri, NONCE_PERIOD, PROOFS_PER_NONCE_MAX, ProofError, Proofs, Scheme, Sender, SenderError,
    Target, Thumbprint, VerifiedToken,
};
use serde_json::{Value, json};
use types::{Span, TenantId, Timestamp};

use crate::support::{NOW, NOW_S, Signer, remove, text, thumbprint_text, token, verifier, world};

const ADDRESS: &str = "https://pay.example/v1/payments";

/// A client with a key, its token, and a server.
struct Scene {
    client: Signer,
    token: String,
    verified: VerifiedToken,
    proofs: Proofs,
}

fn new_process() -> Proofs {
    let key: [u8; 32] = std::array::from_fn(|_| rand_byte());
    Proofs::new(vec![Algorithm::Es256, Algorithm::Es384, Algorithm::EdDsa, Algorithm::Rs256], key, PROOFS_PER_NONCE_MAX)
}

fn rand_byte() -> u8 {
    let mut byte = [0];
    aws_lc_rs::rand::fill(&mut byte).unwrap();
    byte[0]
}

/// The thumbprint of RFC 7638: the required members in order, without spaces.
fn thumbprint_of(jwk: &Value) -> String {
    let members: std::collections::BTreeMap<String, Value> = serde_json::from_value(jwk.clone()).unwrap();
    thumbprint_text(serde_json::to_string(&members).unwrap().as_bytes())
}

impl Scene {
    fn new(algorithm: Algorithm) -> Self {
        let client = Signer::generate(algorithm);
        let token = token(|_, claims| claims["cnf"] = json!({"jkt": thumbprint_of(&client.jwk())}));
        let verified = (*verifier().verify(&token, NOW).unwrap().token).clone();
        Self { client, token, verified, proofs: new_process() }
    }

    fn header(&self) -> Value {
        json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": self.client.jwk()})
    }

    fn claims(&self, jti: &str) -> Value {
        json!({
            "jti": jti, "htm": "POST", "htu": ADDRESS, "iat": NOW_S, "ath": thumbprint_text(self.token.as_bytes()),
            "nonce": self.proofs.nonce(NOW)
        })
    }

    fn proof(&self, change: impl FnOnce(&mut Value, &mut Value)) -> String {
        let (mut header, mut claims) = (self.header(), self.claims("a"));
        change(&mut header, &mut claims);
        self.client.jws(Algorithm::Es256, &header.to_string(), &claims.to_string())
    }

    fn check(&self, proof: &str, now: Timestamp) -> Result<(), SenderError> {
        self.check_all(&[proof.as_bytes()], Scheme::Dpop, now)
    }

    fn check_all(&self, proofs: &[&[u8]], scheme: Scheme, now: Timestamp) -> Result<(), SenderError> {
        let uri = HttpUri::parse(ADDRESS).unwrap();
        let sender = Sender { scheme, certificate: None, proofs, target: Target { method: "POST", uri: &uri } };
        sender.check(&self.token, &self.verified, &self.proofs, now)
    }
}

#[test]
fn a_proof_of_every_accepted_algorithm_passes_once() {
    for algorithm in [Algorithm::Es256, Algorithm::Es384, Algorithm::EdDsa, Algorithm::Rs256] {
        let scene = Scene::new(algorithm);
        let header = json!({"typ": "dpop+jwt", "alg": algorithm.name(), "jwk": scene.client.jwk()}).to_string();
        let proof = scene.client.jws(algorithm, &header, &scene.claims("a").to_string());
        assert_eq!(scene.check(&proof, NOW), Ok(()), "{}", algorithm.name());
        assert_eq!(scene.check(&proof, NOW), Err(SenderError::Proof(ProofError::Replayed)));
    }
}

#[test]
fn the_allowed_variants_pass() {
    let scene = Scene::new(Algorithm::Es256);
    type Change = fn(&mut Value, &mut Value);
    let variants: [Change; 8] = [
        |header, _| header["typ"] = "application/dpop+jwt".into(),
        |header, _| header["kid"] = "mine".into(),
        |header, _| header["jwk"]["kid"] = "mine".into(),
        |_, claims| claims["htu"] = "HTTPS://Pay.Example:443/v1/%70ayments?page=2#top".into(),
        |_, claims| claims["iat"] = (NOW_S - 120).into(),
        |_, claims| claims["iat"] = (NOW_S + 30).into(),
        |_, claims| claims["iat"] = json!(1_800_000_000.25),
        |_, claims| claims["x"] = json!({"y": [null]}),
    ];
    for (number, change) in variants.into_iter().enumerate() {
        let proof = scene.proof(|header, claims| {
            claims["jti"] = format!("proof {number}").into();
            change(header, claims);
        });
        assert_eq!(scene.check(&proof, NOW), Ok(()), "variant {number}");
    }
}

#[test]
fn no_attack_passes() {
    let scene = Scene::new(Algorithm::Es256);
    let foreign = new_process();
    let header = |change: &dyn Fn(&mut Value)| scene.proof(|header, _| change(header));
    let claims = |change: &dyn Fn(&mut Value)| scene.proof(|_, claims| change(claims));
    let set = |claim: &'static str, value: Value| claims(&|claims| claims[claim] = value.clone());
    let without = |claim: &'static str| claims(&|claims| remove(claims, claim));
    let by = |signer: &Signer, jwk: Value| {
        let header = json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": jwk}).to_string();
        signer.jws(Algorithm::Es256, &header, &scene.claims("a").to_string())
    };
    let hs256 = {
        let header = json!({"typ": "dpop+jwt", "alg": "HS256", "jwk": scene.client.jwk()}).to_string();
        let signed = format!("{}.{}", text(header.as_bytes()), text(scene.claims("a").to_string().as_bytes()));
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, b"secret"), signed.as_bytes());
        format!("{signed}.{}", text(tag.as_ref()))
    };
    let mut private = scene.client.jwk();
    private["d"] = "AAAA".into();
    let mut other_curve = scene.client.jwk();
    other_curve["crv"] = "P-384".into();
    let large = json!({"kty": "RSA", "n": text(&[0xff; 1024]), "e": "AQAB"});
    let small = json!({"kty": "RSA", "n": text(&[0xff; 128]), "e": "AQAB"});
    let by_rsa = |jwk: &Value| {
        header(&|header| {
            header["alg"] = "RS256".into();
            header["jwk"] = jwk.clone();
        })
    };
    let valid = scene.proof(|_, _| {});
    let twice = scene.claims("a").to_string().replace('{', "{\"htm\":\"GET\",");
    let twice = scene.client.jws(Algorithm::Es256, &scene.header().to_string(), &twice);
    let cut = valid.split_at(valid.len() - 4).0.to_owned();
    let attacks = [
        ("a token as proof", scene.token.clone(), "nothing as `jwk`"),
        ("no proof in the header", String::new(), "1 parts"),
        ("two proofs in one header", format!("{valid},{valid}"), "5 parts"),
        ("a plain JWT", header(&|header| header["typ"] = "JWT".into()), "is `JWT`; expected `dpop+jwt`"),
        ("an access token's type", header(&|header| header["typ"] = "at+jwt".into()), "is `at+jwt`"),
        ("no type", header(&|header| remove(header, "typ")), "type of the DPoP proof is missing"),
        ("none", header(&|header| header["alg"] = "none".into()), "algorithm is `none`"),
        ("HMAC", hs256, "algorithm is `HS256`"),
        ("an algorithm that is not accepted", header(&|header| header["alg"] = "PS256".into()), "signed with PS256"),
        ("no key", header(&|header| remove(header, "jwk")), "nothing as `jwk`"),
        ("a key that is text", header(&|header| header["jwk"] = "{}".into()), "text as `jwk`"),
        ("an address of a key", header(&|header| header["jku"] = "https://evil.example".into()), "parameter `jku`"),
        ("a certificate", header(&|header| header["x5c"] = json!(["MIIB"])), "parameter `x5c`"),
        ("critical extensions", header(&|header| header["crit"] = json!(["htm"])), "parameter `crit`"),
        ("a private key", by(&scene.client, private), "member `d` belongs to a private"),
        ("a symmetric key", header(&|header| header["jwk"] = json!({"kty": "oct", "k": "AA"})), "member `k`"),
        ("a point off its curve", by(&scene.client, other_curve), "numbers of the key"),
        ("a huge key", by_rsa(&large), "8192 bits; expected at most 4096"),
        ("a small key", by_rsa(&small), "1024 bits; expected 2048"),
        ("another key", by(&world().attacker, world().attacker.jwk()), "another key than the one"),
        ("the client's key, signed by another", by(&world().attacker, scene.client.jwk()), "signature"),
        ("a cut signature", cut, "signature"),
        ("claims that are a list", scene.client.jws(Algorithm::Es256, &scene.header().to_string(), "[]"), "a list"),
        ("two methods", twice, "member `htm` appears twice"),
        ("no id", without("jti"), "claim `jti` is missing"),
        ("an id that is a number", set("jti", json!(1)), "claim `jti` is a number"),
        ("an empty id", set("jti", "".into()), "claim `jti` is empty"),
        ("a long id", set("jti", "j".repeat(257).into()), "claim `jti` is longer"),
        ("no method", without("htm"), "claim `htm` is missing"),
        ("another method", set("htm", "GET".into()), "is for `GET`; expected `POST`"),
        ("a method in lower case", set("htm", "post".into()), "is for `post`; expected `POST`"),
        ("methods in a list", set("htm", json!(["POST"])), "claim `htm` is a list"),
        ("no address", without("htu"), "claim `htu` is missing"),
        ("another path", set("htu", format!("{ADDRESS}/1").into()), "payments/1`; expected"),
        ("a slash at the end", set("htu", format!("{ADDRESS}/").into()), "payments/`; expected"),
        ("another host", set("htu", "https://evil.example/v1/payments".into()), "is for `https://evil.example"),
        ("a host that begins alike", set("htu", "https://pay.example.evil/v1/payments".into()), "pay.example.evil"),
        ("without TLS", set("htu", "http://pay.example/v1/payments".into()), "is for `http://"),
        ("another port", set("htu", "https://pay.example:444/v1/payments".into()), ":444"),
        ("another user", set("htu", "https://pay.example@evil.example/v1/payments".into()), "host is not a name"),
        ("a path with dots", set("htu", "https://pay.example/v1/x/../payments".into()), "a segment `.` or `..`"),
        ("a path in capitals", set("htu", "https://pay.example/V1/payments".into()), "/V1/payments"),
        ("only a path", set("htu", "/v1/payments".into()), "no scheme"),
        ("an address that is null", set("htu", Value::Null), "claim `htu` is null"),
        ("no time", without("iat"), "claim `iat` is missing"),
        ("a time in text", set("iat", NOW_S.to_string().into()), "claim `iat` is text"),
        ("made 121 s ago", set("iat", (NOW_S - 121).into()), "was made at"),
        ("made in 31 s", set("iat", (NOW_S + 31).into()), "was made at"),
        ("made in 1970", set("iat", json!(0)), "was made at 1970"),
        ("no hash of the token", without("ath"), "claim `ath` is missing"),
        ("the hash of another token", set("ath", thumbprint_text(b"other").into()), "for another token"),
        ("the hash in hexadecimal", set("ath", "0".repeat(64).into()), "for another token"),
        (
            "the hash with padding",
            set("ath", format!("{}=", thumbprint_text(scene.token.as_bytes())).into()),
            "for another token",
        ),
        ("a nonce that is a number", set("nonce", json!(1)), "claim `nonce` is a number"),
        ("no nonce", without("nonce"), "no nonce that this server accepts"),
        ("an invented nonce", set("nonce", text(&[0; 24]).into()), "no nonce"),
        ("a nonce that is too long", set("nonce", "n".repeat(2_000).into()), "no nonce"),
        ("a nonce of another process", set("nonce", foreign.nonce(NOW).into()), "no nonce"),
    ];
    for (name, proof, reason) in attacks {
        let error = scene.check(&proof, NOW).expect_err(name);
        assert!(error.to_string().contains(reason), "{name}: {error}");
        let expected = if reason.starts_with("no nonce") { Code::UseDpopNonce } else { Code::InvalidDpopProof };
        assert_eq!((error.code(), error.code().http_status()), (expected, 401), "{name}");
        for part in proof.split('.').filter(|part| part.len() > 16) {
            assert!(!error.to_string().contains(part), "{name}: {error}");
        }
    }
    assert_eq!(scene.check(&valid, NOW), Ok(()), "none of the attacks used up the id of the proof");
}

#[test]
fn there_is_one_header() {
    let scene = Scene::new(Algorithm::Es256);
    let proof = scene.proof(|_, _| {});
    let proof = proof.as_bytes();
    for headers in [&[][..], &[proof, proof], &[proof, b""], &[proof, b"x"]] {
        let error = scene.check_all(headers, Scheme::Dpop, NOW).unwrap_err();
        assert_eq!(error, SenderError::Proof(ProofError::Count(headers.len())));
        assert_eq!(error.code(), Code::InvalidDpopProof);
    }
    assert!(scene.check_all(&[b"\xff.\xff.\xff"], Scheme::Dpop, NOW).is_err());
    assert_eq!(scene.check_all(&[proof], Scheme::Dpop, NOW), Ok(()));
}

#[test]
fn a_bound_token_is_not_a_bearer_token() {
    let scene = Scene::new(Algorithm::Es256);
    let proof = scene.proof(|_, _| {});
    for proofs in [&[][..], &[proof.as_bytes()]] {
        let error = scene.check_all(proofs, Scheme::Bearer, NOW).unwrap_err();
        assert_eq!((&error, error.code()), (&SenderError::Downgraded, Code::InvalidToken));
    }
    // And a proof does not make a token without a key into one with a key.
    let mut unbound = Scene::new(Algorithm::Es256);
    unbound.token = token(|_, _| {});
    unbound.verified = (*verifier().verify(&unbound.token, NOW).unwrap().token).clone();
    let proof = unbound.proof(|_, _| {});
    assert_eq!(unbound.check(&proof, NOW), Err(SenderError::NotBound));
    assert_eq!(unbound.check_all(&[], Scheme::Bearer, NOW), Ok(()));
}

#[test]
fn a_token_that_is_bound_to_a_certificate_needs_it() {
    let token = token(|_, claims| claims["cnf"] = json!({"x5t#S256": thumbprint_text(b"certificate")}));
    let verified = verifier().verify(&token, NOW).unwrap().token;
    let uri = HttpUri::parse(ADDRESS).unwrap();
    let check = |certificate: Option<&[u8]>, scheme| {
        let target = Target { method: "POST", uri: &uri };
        let sender = Sender { scheme, certificate: certificate.map(Thumbprint::of), proofs: &[], target };
        sender.check(&token, &verified, &new_process(), NOW)
    };
    assert_eq!(check(Some(b"certificate"), Scheme::Bearer), Ok(()));
    assert_eq!(check(Some(b"other"), Scheme::Bearer), Err(SenderError::OtherCertificate));
    assert_eq!(check(None, Scheme::Bearer), Err(SenderError::NoCertificate));
    assert_eq!(check(Some(b"certificate"), Scheme::Dpop), Err(SenderError::NotBound));
}

#[test]
fn a_token_that_is_bound_twice_needs_both() {
    let mut scene = Scene::new(Algorithm::Es256);
    let key = thumbprint_of(&scene.client.jwk());
    scene.token = token(|_, claims| claims["cnf"] = json!({"jkt": key, "x5t#S256": thumbprint_text(b"certificate")}));
    scene.verified = (*verifier().verify(&scene.token, NOW).unwrap().token).clone();
    let proof = scene.proof(|_, _| {});
    assert_eq!(scene.check(&proof, NOW), Err(SenderError::NoCertificate));
    let uri = HttpUri::parse(ADDRESS).unwrap();
    let target = Target { method: "POST", uri: &uri };
    let certificate = Some(Thumbprint::of(b"certificate"));
    let with = |scheme, proofs| Sender { scheme, certificate, proofs, target };
    let check = |sender: Sender<'_>| sender.check(&scene.token, &scene.verified, &scene.proofs, NOW);
    assert_eq!(check(with(Scheme::Bearer, &[])), Err(SenderError::Downgraded));
    assert_eq!(check(with(Scheme::Dpop, &[])), Err(SenderError::Proof(ProofError::Count(0))));
    assert_eq!(check(with(Scheme::Dpop, &[proof.as_bytes()])), Ok(()));
}

#[test]
fn a_replay_is_refused_until_its_nonce_is_and_after_a_restart() {
    let mut scene = Scene::new(Algorithm::Es256);
    let replayed = Err(SenderError::Proof(ProofError::Replayed));
    let no_nonce = Err(SenderError::Proof(ProofError::Nonce));
    let proof = scene.proof(|_, claims| claims["iat"] = (NOW_S + 30).into());
    assert_eq!(scene.check(&proof, NOW), Ok(()));
    for second in 0..300 {
        let found = scene.check(&proof, NOW.saturating_add(Span::from_secs(second)));
        let still_in_time = second <= 150;
        assert!(
            found == replayed || found == no_nonce || !still_in_time && found.is_err(),
            "after {second} s: {found:?}"
        );
    }
    // The clock is set back: the proof was forgotten, but so was its nonce.
    assert_eq!(scene.check(&proof, NOW), no_nonce);
    // Another process knows no proof, and accepts no nonce of the first.
    let mut scene_of_old = Scene::new(Algorithm::Es256);
    let proof = scene_of_old.proof(|_, _| {});
    assert_eq!(scene_of_old.check(&proof, NOW), Ok(()));
    scene_of_old.proofs = new_process();
    assert_eq!(scene_of_old.check(&proof, NOW), no_nonce);
    // With the nonce of the new process, a new proof passes.
    scene.proofs = new_process();
    assert_eq!(scene.check(&scene.proof(|_, _| {}), NOW), Ok(()));
}

#[test]
fn a_nonce_is_accepted_in_its_period_and_the_next() {
    let scene = Scene::new(Algorithm::Es256);
    let start = NOW.ns() - NOW.ns() % NONCE_PERIOD.ns();
    let proof = |jti: &str| {
        scene.proof(|_, claims| {
            claims["jti"] = jti.into();
            claims["iat"] = (start / 1_000_000_000 + 60).into();
        })
    };
    let (first, second, third) = (proof("1"), proof("2"), proof("3"));
    let at = |ns: u64| Timestamp::from_ns(start + ns);
    assert_eq!(scene.check(&first, at(NONCE_PERIOD.ns() - 1)), Ok(()));
    assert_eq!(scene.check(&second, at(2 * NONCE_PERIOD.ns() - 1)), Ok(()));
    assert_eq!(scene.check(&first, at(2 * NONCE_PERIOD.ns() - 1)), Err(SenderError::Proof(ProofError::Replayed)));
    assert_eq!(scene.check(&third, at(2 * NONCE_PERIOD.ns())), Err(SenderError::Proof(ProofError::Nonce)));
    let nonce = scene.proofs.nonce(at(2 * NONCE_PERIOD.ns()));
    assert!(nonce.len() == 32 && nonce.bytes().all(|byte| byte.is_ascii_graphic()), "{nonce}");
}

#[test]
fn the_same_id_of_another_sender_is_another_proof() {
    let (one, mut other) = (Scene::new(Algorithm::Es256), Scene::new(Algorithm::Es256));
    other.proofs = Proofs::new(vec![Algorithm::Es256], [7; 32], 10);
    let one = Scene { proofs: Proofs::new(vec![Algorithm::Es256], [7; 32], 10), ..one };
    let proof = one.proof(|_, _| {});
    assert_eq!(one.check(&proof, NOW), Ok(()));
    let one = Scene { proofs: other.proofs, ..one };
    assert_eq!(one.check(&proof, NOW), Ok(()), "nothing is used up here yet");
    other.proofs = one.proofs;
    assert_eq!(other.check(&other.proof(|_, _| {}), NOW), Ok(()));
}

#[test]
fn the_memory_of_proofs_is_bounded_and_a_flood_leaves_room_for_others() {
    let mut scene = Scene::new(Algorithm::Es256);
    scene.proofs = Proofs::new(vec![Algorithm::Es256], [7; 32], 90);
    let number = std::cell::Cell::new(0);
    let proof = |scene: &Scene| {
        number.set(number.get() + 1);
        scene.proof(|_, claims| claims["jti"] = number.get().to_string().into())
    };
    // How many of 90 proofs of a client are accepted.
    let flood = |scene: &mut Scene, tenant: u32, subject: &str| {
        (scene.verified.tenant, scene.verified.subject) = (TenantId::new(tenant), subject.to_owned());
        (0..90).filter(|_| scene.check(&proof(scene), NOW).is_ok()).count()
    };
    assert_eq!(flood(&mut scene, 1, "a"), 30, "a third is what one client gets");
    let first = scene.proof(|_, claims| claims["jti"] = "1".into());
    assert_eq!(scene.check(&first, NOW), Err(SenderError::Proof(ProofError::Replayed)), "it forgets nothing");
    let error = scene.check(&proof(&scene), NOW).unwrap_err();
    assert_eq!((&error, error.code()), (&SenderError::Proof(ProofError::Full), Code::TemporarilyUnavailable));
    assert_eq!(flood(&mut scene, 1, "b"), 10);
    let of_tenant: usize = 40 + (0..50).map(|n| flood(&mut scene, 1, &n.to_string())).sum::<usize>();
    assert!(
        (40..=45).contains(&of_tenant),
        "half is what one tenant gets, whatever the number of its clients: {of_tenant}"
    );
    assert_eq!(flood(&mut scene, 2, "a"), 15, "a client of another tenant gets a third of what is left");
    let of_others: usize = (3..20).map(|tenant| flood(&mut scene, tenant, "a").min(1)).sum();
    assert!(of_others >= 4, "tenants that come later find room: {of_others}");
    // Whether there is room is known before the signature is checked, which costs more.
    let forged =
        |proof: &str| proof.rsplit_once('.').map(|(signed, _)| format!("{signed}.{}", "A".repeat(86))).unwrap();
    (scene.verified.tenant, scene.verified.subject) = (TenantId::new(1), "a".to_owned());
    for (proof, error) in [(proof(&scene), ProofError::Full), (first, ProofError::Replayed)] {
        assert_eq!(scene.check(&forged(&proof), NOW), Err(SenderError::Proof(error)));
    }
    let waits = [NOW, NOW.saturating_add(Span::from_secs(59))].map(|now| scene.proofs.room_in(now));
    assert_eq!(waits, [NONCE_PERIOD, Span::from_secs(1)], "until the next nonce");
    // A later nonce has room of its own.
    let later = NOW.saturating_add(NONCE_PERIOD);
    let next = scene.proof(|_, claims| claims["nonce"] = scene.proofs.nonce(later).into());
    assert_eq!(scene.check(&next, later), Ok(()));
}
