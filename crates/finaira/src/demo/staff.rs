//! The programs that play the month. The administrator registers each of them as a client of the built-in issuer, with the role
//! that its job needs. From then on each acts with access tokens, which it renews, as a program of a real installation does.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::bail;
use serde_json::{Value, json};
use server::Stopwatch;

use super::client::{Client, Credential};

/// The programs.
#[derive(Debug)]
pub(super) struct Staff {
    /// Sends payments, and captures, voids and refunds them.
    pub(super) shop: Login,
    /// Decides payments under review, and reports frauds.
    pub(super) review_desk: Login,
    /// Activates the policy.
    pub(super) analyst: Login,
    /// Reads the books, and who did what.
    pub(super) auditor: Login,
}

/// A client of the built-in issuer, with the token that it uses at present.
#[derive(Debug)]
pub(super) struct Login {
    /// The `client_id`, which becomes the name of the principal.
    pub(super) id: &'static str,
    pub(super) role: &'static str,
    secret: String,
    held: Mutex<Held>,
}

/// How often a principal acted, by the audit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Acted {
    pub(super) name: String,
    pub(super) role: &'static str,
    pub(super) entries: u64,
}

/// Who acted: the programs, and how often the administrator changed settings of the installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Actors {
    pub(super) programs: Vec<Acted>,
    pub(super) administered: u64,
}

impl Staff {
    /// Registers all programs with the administrator's key.
    pub(super) fn register(base: &str, key: &str) -> anyhow::Result<Self> {
        let administrator = Client::new(base, Credential::ApiKey(key));
        let register = |id, role| -> anyhow::Result<Login> {
            let authentication = json!({"method": "client_secret"});
            let body = json!({"client_id": id, "name": id, "role": role, "authentication": authentication});
            let secret = administrator.create("/v1/clients", &body, "client_secret")?;
            Ok(Login { id, role, secret, held: Mutex::new(Held::new()) })
        };
        Ok(Self {
            shop: register("shop", "developer")?,
            review_desk: register("review-desk", "reviewer")?,
            analyst: register("analyst", "analyst")?,
            auditor: register("auditor", "auditor")?,
        })
    }

    /// Who acted so far. The auditor asks. Fails if anybody else acted, such as the administrator.
    pub(super) fn actors(&self, base: &str) -> anyhow::Result<Actors> {
        let auditor = Client::new(base, Credential::Login(&self.auditor));
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        auditor.each("/v1/audit", |deed| {
            *counts.entry(name(deed)).or_default() += 1;
        })?;
        let mut administered = 0;
        auditor.each("/v1/installation/audit", |_| administered += 1)?;
        let acted = |login: &Login| Acted {
            name: login.id.to_owned(),
            role: login.role,
            entries: counts.get(login.id).copied().unwrap_or_default(),
        };
        let actors =
            Actors { programs: [&self.shop, &self.review_desk, &self.analyst].map(acted).into(), administered };
        let stranger = counts.keys().find(|name| actors.programs.iter().all(|acted| acted.name != **name));
        match stranger {
            Some(name) => bail!("the audit names `{name}`, who should not have acted"),
            None => Ok(actors),
        }
    }
}

fn name(deed: &Value) -> String {
    deed["actor"]["name"].as_str().unwrap_or("?").to_owned()
}

impl Login {
    /// The token to use now. Clients that share the login share it.
    pub(super) fn token(&self, client: &Client<'_>) -> anyhow::Result<String> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let now = held.since.elapsed();
        held.at(now, || client.ask_token(self.id, &self.secret))
    }
}

/// A token that the server gave.
#[derive(Debug)]
pub(super) struct Token {
    pub(super) text: String,
    pub(super) lifetime: Duration,
}

/// The token that a login uses, and when to replace it.
#[derive(Debug)]
struct Held {
    since: Stopwatch,
    token: Option<String>,
    renew_at: Duration,
}

impl Held {
    fn new() -> Self {
        Self { since: Stopwatch::start(), token: None, renew_at: Duration::ZERO }
    }

    /// The token at a time since the start. It is renewed after half of its lifetime, so that it never expires on its way.
    fn at(&mut self, now: Duration, ask: impl FnOnce() -> anyhow::Result<Token>) -> anyhow::Result<String> {
        if let Some(token) = self.token.as_ref().filter(|_| now < self.renew_at) {
            return Ok(token.clone());
        }
        let Token { text, lifetime } = ask()?;
        self.renew_at = now + lifetime / 2;
        self.token = Some(text.clone());
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_used_for_half_of_its_lifetime_and_then_renewed() {
        let mut held = Held::new();
        let mut asked = 0;
        let mut at = |second: u64| {
            let ask = || {
                asked += 1;
                Ok(Token { text: format!("token {asked}"), lifetime: Duration::from_secs(600) })
            };
            held.at(Duration::from_secs(second), ask).unwrap()
        };
        let used = [0, 299, 300, 599, 600, 5_000].map(&mut at);
        assert_eq!(used, ["token 1", "token 1", "token 2", "token 2", "token 3", "token 4"]);
    }
}
