//! Handlers for payments: create, read, verbs and labels.

use std::sync::Arc;
use std::time::Duration;

use api::decisions::{Decision, Payment};
use api::payments::{ParsedPayment, PaymentRequest};
use api::requests::{self, Parsed};
use api::responses::{Label, Page, Unknown};
use api::{ErrorCode, List, Problem};
use engine::{
    ChangePayment, CreatePayment, Fact, Made, NewPayment, PaymentDecided, PaymentReply, PaymentStatus, Refusal, Verb,
    query,
};
use journal::EntryInContext;
use types::{Digest, Name, PaymentId, Seq, Token};

use crate::http::call::Call;
use crate::http::failure::{Failure, Handled, created, found, internal, replayed};
use crate::http::ledgers::unnamed;
use crate::http::orders::Trial;
use crate::http::personal;

/// How often a payment is parsed again because the policy changed on the way.
const PARSES_MAX: u32 = 5;
/// The engine knows a new policy a moment before the handlers do.
const PARSE_AGAIN_AFTER: Duration = Duration::from_millis(5);

pub(crate) async fn create(call: Call) -> Handled {
    let request = PaymentRequest::parse(&call.ids(), &call.body)?;
    let trial = call.trial()?;
    let content = call.app.core.request_hash(&request.canonical());
    for _ in 0..PARSES_MAX {
        let parsed = match call.app.core.policy() {
            Some(policy) => request.against(&policy),
            None => Err(Problem::from(&Refusal::NoActivePolicy)),
        };
        let new = match parsed {
            Ok(parsed) => call.tokenised(parsed, content, trial)?,
            // What was decided once is answered for ever, also when today's policy would not take it.
            Err(problem) => return call.decided_before(request.payment, content, problem).await,
        };
        let operation = CreatePayment(Box::new(new));
        match call.try_out(Parsed { request: request.request_id(), operation }, trial).await? {
            Ok((made, reply)) => {
                let shown = call.shown(&reply).await?;
                return Ok(trial.show(made, &format!("/v1/payments/{}", shown.id()), &shown));
            }
            Err(Refusal::PolicyChanged) => tokio::time::sleep(PARSE_AGAIN_AFTER).await,
            Err(refusal) => return Err(refusal.into()),
        }
    }
    Err(Refusal::PolicyChanged.into())
}

pub(crate) async fn get(call: Call) -> Handled {
    let reply = call.payment(requests::path_id(call.path_id())?).await?;
    Ok(found(&call.shown(&reply).await?))
}

pub(crate) async fn list(call: Call) -> Handled {
    let history = call.app.history();
    let limit = call.parameters.limit()?;
    let after = Seq::new(call.parameters.cursor(history, List::Payments)?);
    let status = call.parameters.get("status").map(status_named).transpose()?;
    let query = query::Payments { status, after, limit };
    let engine::Page { items: payments, next } = call.ask_unnamed(query).await?;
    let show = |assets: &_| payments.iter().map(|payment| Payment::new(payment, None, assets)).collect();
    let items = call.app.show(show)?;
    let next_cursor = next.map(|seq| history.cursor(List::Payments, seq.get()));
    Ok(found(&Page { items, next_cursor }))
}

pub(crate) async fn get_decision(call: Call) -> Handled {
    let reply = call.payment(requests::path_id(call.path_id())?).await?;
    let (EntryInContext { entry, context }, decided) = call.decision(reply.payment.seq).await?;
    let decided_by = context.policy.ok_or(Unknown::Policy(decided.policy))?;
    let policy = call.app.core.policy();
    Ok(found(&Decision::new((&entry.header).into(), &decided, &decided_by, policy.as_deref())))
}

pub(crate) async fn change(call: Call, verb: Verb) -> Handled {
    let payment: PaymentId = requests::path_id(call.path_id())?;
    requests::verb(&call.body)?;
    let request = call.ids().verb()?;
    let trial = call.trial()?;
    let operation = ChangePayment { payment, verb };
    let (made, reply) = call.try_out(Parsed { request, operation }, trial).await??;
    let response = trial.found(&call.shown(&reply).await?);
    Ok(match made {
        Made::Now => response,
        Made::Before => replayed(response),
    })
}

pub(crate) async fn record_label(call: Call) -> Handled {
    let parsed = requests::label(&call.ids(), &call.body)?;
    let (made, reply) = call.ask(parsed).await?;
    Ok(created(made, &format!("/v1/payments/{}", reply.payment), &Label::from(&reply)))
}

fn status_named(name: &str) -> Result<PaymentStatus, Problem> {
    PaymentStatus::ALL.into_iter().find(|status| status.name() == name).ok_or_else(|| {
        let names: Vec<&str> = PaymentStatus::ALL.iter().map(|status| status.name()).collect();
        let detail = format!("found another word, expected one of {}", names.join(", "));
        Problem::new(ErrorCode::InvalidParameter, detail).at("status")
    })
}

impl Call {
    pub(crate) async fn payment(&self, id: PaymentId) -> Result<PaymentReply, Failure> {
        Ok(*self.ask_unnamed(query::Payment(id)).await?)
    }

    /// The entry that decided a payment.
    pub(crate) async fn decision(&self, seq: Seq) -> Result<(EntryInContext, Arc<PaymentDecided>), Failure> {
        let found = self.app.core.entry(seq).await?;
        let found = found.ok_or_else(|| internal("a payment names an entry that is not there"))?;
        let Fact::PaymentDecided(decided) = &found.entry.fact else {
            return Err(internal("a payment names an entry that is no decision"));
        };
        let decided = Arc::clone(decided);
        Ok((found, decided))
    }

    /// A payment with its decision, which is read from the journal when the engine did not just make it.
    pub(crate) async fn shown(&self, reply: &PaymentReply) -> Result<Payment, Failure> {
        let decided = match &reply.decided {
            Some(decided) => Arc::clone(decided),
            None => self.decision(reply.payment.seq).await?.1,
        };
        let shown = self.app.show(|assets| Payment::new(&reply.payment, Some(&decided), assets))?;
        Ok(shown.with_metadata(&reply.metadata))
    }

    /// The payment without any personal data in the clear. A dry run makes no keys: it seals nothing, and somebody new
    /// gets a token that is theirs in this request alone.
    fn tokenised(&self, parsed: ParsedPayment, content: Digest, trial: Trial) -> Result<NewPayment, Failure> {
        let core = &self.app.core;
        if trial == Trial::Dry {
            let token = |kind: &Name, value: &str, personal| {
                let known = core.known_token(kind.as_str(), value, personal);
                let passing = || Token::new(core.request_hash(format!("{kind} {value}").as_bytes()).head_u128());
                Ok::<_, Failure>(known.unwrap_or_else(passing))
            };
            return parsed.tokenised(content, None, token);
        }
        let sealed = match &parsed.seal {
            Some(to_seal) => {
                let context = personal::context(parsed.payment);
                Some(personal::seal(to_seal, |subject, bytes| core.seal(subject, &context, bytes))?)
            }
            None => None,
        };
        Ok(parsed.tokenised(content, sealed, |kind, value, personal| core.token(kind.as_str(), value, personal))?)
    }

    /// The stored answer when this very payment was decided before; `problem` when it was not.
    async fn decided_before(&self, id: PaymentId, content: Digest, problem: Problem) -> Handled {
        match self.answer(unnamed(query::Payment(id))).await? {
            Ok(reply) if reply.payment.content == content => Ok(replayed(found(&self.shown(&reply).await?))),
            Ok(_) => Err(Refusal::PaymentExistsWithDifferentContent(id).into()),
            Err(_not_found) => Err(problem.into()),
        }
    }
}
