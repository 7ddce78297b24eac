//! The clients of the demo: blocking HTTP with a connection per client, like any external client.

use std::time::Duration;

use anyhow::{Context as _, bail};
use api::PAGE_MAX;
use serde_json::{Value, json};
use server::Stopwatch;
use ureq::http::Response;
use ureq::{Agent, Body};

use super::simulator::Action;
use super::staff::{Login, Token};

/// The limit for a response, after which the demo fails.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The status of a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Posted,
    Held,
    InReview,
    Declined,
    /// Refused, because there was not enough money.
    Refused,
    Voided,
    Refunded,
}

impl Status {
    fn parse(name: &str) -> anyhow::Result<Self> {
        Ok(match name {
            "posted" => Self::Posted,
            "held" => Self::Held,
            "in_review" => Self::InReview,
            "declined" => Self::Declined,
            "refused" => Self::Refused,
            "voided" => Self::Voided,
            "refunded" => Self::Refunded,
            other => bail!("the server returned the unexpected payment status `{other}`"),
        })
    }
}

/// The response to a payment.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: Status,
    /// The whole body, to compare with the response to a retry.
    pub(super) body: Value,
    /// Whether the server marked the response as a repetition.
    pub(super) replayed: bool,
    /// The time from the first byte of the request to the last byte of the response.
    pub(super) latency: Duration,
}

/// The trial balance of a ledger, in cents.
#[derive(Debug, Clone, Copy)]
pub(super) struct TrialBalance {
    pub(super) accounts: u64,
    pub(super) debits_posted: u64,
    pub(super) credits_posted: u64,
    pub(super) debits_pending: u64,
    pub(super) credits_pending: u64,
}

/// What a client authenticates with.
#[derive(Debug, Clone, Copy)]
pub(super) enum Credential<'a> {
    ApiKey(&'a str),
    /// The access tokens of a program.
    Login(&'a Login),
}

#[derive(Debug)]
pub(super) struct Client<'a> {
    agent: Agent,
    base: String,
    credential: Credential<'a>,
}

impl<'a> Client<'a> {
    pub(super) fn new(base: &str, credential: Credential<'a>) -> Self {
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(TIMEOUT))
            .proxy(None)
            .build()
            .new_agent();
        Self { agent, base: base.to_owned(), credential }
    }

    fn authorization(&self) -> anyhow::Result<String> {
        match self.credential {
            Credential::ApiKey(key) => Ok(format!("Bearer {key}")),
            Credential::Login(login) => Ok(format!("Bearer {}", login.token(self)?)),
        }
    }

    /// Gets an access token for a program. Neither part of the form needs encoding.
    pub(super) fn ask_token(&self, id: &str, secret: &str) -> anyhow::Result<Token> {
        let form = format!("grant_type=client_credentials&client_id={id}&client_secret={secret}");
        let request = self.agent.post(format!("{}/oauth/token", self.base));
        let response = request.content_type("application/x-www-form-urlencoded").send(&form)?;
        let body = success(response).with_context(|| format!("the program `{id}` gets no access token"))?;
        let lifetime_s = body["expires_in"].as_u64().context("the server's response has no `expires_in`")?;
        Ok(Token { text: text(&body, "access_token")?, lifetime: Duration::from_secs(lifetime_s) })
    }

    /// Creates something, and returns a field of the response.
    pub(super) fn create(&self, path: &str, body: &Value, field: &str) -> anyhow::Result<String> {
        let created = success(self.post(path, body)?).with_context(|| format!("cannot create one of {path}"))?;
        text(&created, field)
    }

    /// Visits the items of all pages of a list.
    pub(super) fn each(&self, path: &str, mut visit: impl FnMut(&Value)) -> anyhow::Result<()> {
        let mut cursor = String::new();
        loop {
            let request = self.agent.get(format!("{}{path}?limit={PAGE_MAX}{cursor}", self.base));
            let response = request.header("Authorization", self.authorization()?).call()?;
            let page = success(response).with_context(|| format!("cannot list {path}"))?;
            let items = page["items"].as_array().with_context(|| format!("a page of {path} has no `items`"))?;
            items.iter().for_each(&mut visit);
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return Ok(()),
            }
        }
    }

    /// Uploads a policy as a tar archive, and returns its digest.
    pub(super) fn activate(&self, archive: &[u8]) -> anyhow::Result<String> {
        let request = self.agent.post(format!("{}/v1/policies", self.base));
        let request = request.header("Authorization", self.authorization()?).content_type("application/x-tar");
        let body = success(request.send(archive)?).context("cannot activate the policy")?;
        text(&body, "digest")
    }

    pub(super) fn pay(&self, payment: &Value) -> anyhow::Result<Answer> {
        let stopwatch = Stopwatch::start();
        let response = self.post("/v1/payments", payment)?;
        let replayed = response.headers().contains_key("Idempotent-Replayed");
        let body = success(response).context("cannot make a payment")?;
        let latency = stopwatch.elapsed();
        Ok(Answer { status: Status::parse(&text(&body, "status")?)?, body, replayed, latency })
    }

    /// Sends a payment that the server must refuse, and returns the error code.
    pub(super) fn pay_refused(&self, payment: &Value) -> anyhow::Result<String> {
        let mut response = self.post("/v1/payments", payment)?;
        if response.status().is_success() {
            bail!("the server accepted a payment that it should have refused");
        }
        text(&response.body_mut().read_json()?, "code")
    }

    /// Applies a verb to a payment.
    pub(super) fn change(&self, id: &str, verb: &str) -> anyhow::Result<Status> {
        let path = format!("{}/v1/payments/{id}/{verb}", self.base);
        let request = self.agent.post(path).header("Authorization", self.authorization()?);
        let response = request.header("Idempotency-Key", format!("{verb}-{id}")).send_empty()?;
        let body = success(response).with_context(|| format!("cannot {verb} payment {id}"))?;
        Status::parse(&text(&body, "status")?)
    }

    /// Reports a payment as fraud.
    pub(super) fn label(&self, id: &str) -> anyhow::Result<()> {
        let response = self.post("/v1/labels", &json!({"payment": id, "label": "fraud"}))?;
        success(response).map(drop).with_context(|| format!("cannot label payment {id}"))
    }

    pub(super) fn trial_balance(&self, ledger: u32) -> anyhow::Result<TrialBalance> {
        let request = self.agent.get(format!("{}/v1/ledgers/{ledger}/trial-balance", self.base));
        let body = success(request.header("Authorization", self.authorization()?).call()?)?;
        let cents = |name: &str| -> anyhow::Result<u64> { Ok(text(&body, name)?.parse()?) };
        Ok(TrialBalance {
            accounts: body["accounts"].as_u64().context("the trial balance has no `accounts`")?,
            debits_posted: cents("debits_posted")?,
            credits_posted: cents("credits_posted")?,
            debits_pending: cents("debits_pending")?,
            credits_pending: cents("credits_pending")?,
        })
    }

    fn post(&self, path: &str, body: &Value) -> anyhow::Result<Response<Body>> {
        let request = self.agent.post(format!("{}{path}", self.base)).header("Authorization", self.authorization()?);
        Ok(request.send_json(body)?)
    }
}

impl Action {
    /// The verb of the API. It is `None` for a review, whose verb depends on what the reviewer sees.
    pub(super) const fn verb(self) -> Option<&'static str> {
        match self {
            Self::Capture => Some("capture"),
            Self::Void => Some("void"),
            Self::Refund => Some("refund"),
            Self::Send | Self::Review | Self::Label => None,
        }
    }
}

/// Returns the body if the response is not an error.
fn success(mut response: Response<Body>) -> anyhow::Result<Value> {
    let status = response.status();
    let body: Value = response.body_mut().read_json().with_context(|| format!("the server responded with {status}"))?;
    if !status.is_success() {
        let field = |name: &str| body[name].as_str().unwrap_or("?").to_owned();
        bail!("the server responded with {status}, {}: {}", field("code"), field("detail"));
    }
    Ok(body)
}

fn text(body: &Value, name: &str) -> anyhow::Result<String> {
    let text = body[name].as_str().with_context(|| format!("the server's response has no `{name}`"))?;
    Ok(text.to_owned())
}
