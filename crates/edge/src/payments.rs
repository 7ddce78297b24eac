//! Payments: parsing them with the active policy, replacing entity keys with tokens, sealing personal data; rendering
//! payments and decisions.

use std::sync::Arc;

use api::decisions::{Decision, Payment};
use api::payments::{ParsedPayment, PaymentRequest};
use api::requests::{self, Parsed};
use api::responses::{Label, Page, Unknown};
use api::{ErrorCode, List, Problem};
use engine::{
    ChangePayment, CreatePayment, Entry, Fact, IncrementPayment, Incremented, NewPayment, NotIncrementable,
    PaymentDecided, PaymentReply, PaymentStatus, Refusal, Verb, query,
};
use journal::EntryInContext;
use types::{Amount, Digest, Name, PaymentId, Seq, Token, shorten};
use vault::Keys as _;

use crate::answer::{Edge, Handled, parameter, refused};
use crate::call::{Call, Trial, unnamed};
use crate::personal;
use crate::response::Response;
use crate::sources::{Past, PaymentsWanted, Sources};

/// How often a payment is parsed if the policy keeps changing before the engine decides it.
pub(crate) const PARSES_MAX: u32 = 5;

pub(crate) async fn create<S: Sources + Sync>(edge: &Edge<S>, call: &Call<'_>) -> Handled<S::Failure> {
    let request = PaymentRequest::parse(&edge.ids(call), call.body)?;
    let trial = call.trial()?;
    let content = edge.sources.keys().request_hash(edge.installation.tenant, &request.canonical());
    for _ in 0..PARSES_MAX {
        let parsed = match edge.sources.policy() {
            Some(policy) => request.against(&policy),
            None => Err(Problem::from(&Refusal::NoActivePolicy)),
        };
        let new = match parsed {
            Ok(parsed) => edge.tokenised(parsed, content, trial)?,
            // A payment that was decided earlier keeps its answer, even if the active policy would not accept it.
            Err(problem) => return decided_before(edge, call, (request.payment, content), problem).await,
        };
        let operation = CreatePayment(Box::new(new));
        match edge.try_out(call, Parsed { request: request.request_id(), operation }, trial).await? {
            Ok((made, reply)) => {
                let shown = edge.shown_payment(&reply).await?;
                return Ok(trial.created(made, format!("/v1/payments/{}", shown.id()), &shown));
            }
            Err(Refusal::PolicyChanged) => edge.sources.policy_changes().await,
            Err(refusal) => return Err(refused(refusal)),
        }
    }
    Err(refused(Refusal::PolicyChanged))
}

/// Returns the stored answer if this payment was decided earlier, otherwise `problem`.
async fn decided_before<S: Sources + Sync>(
    edge: &Edge<S>,
    call: &Call<'_>,
    (id, content): (PaymentId, Digest),
    problem: Problem,
) -> Handled<S::Failure> {
    match edge.answer_to(call, unnamed(query::Payment(id))).await? {
        Ok(reply) if reply.payment.content == content => {
            Ok(Response::found(&edge.shown_payment(&reply).await?).replayed())
        }
        Ok(_) => Err(refused(Refusal::PaymentExistsWithDifferentContent(id))),
        Err(_not_found) => Err(problem.into()),
    }
}

pub(crate) async fn get<S: Sources + Sync>(edge: &Edge<S>, call: &Call<'_>) -> Handled<S::Failure> {
    let reply = edge.ask_unnamed(call, query::Payment(call.head.id()?)).await?;
    Ok(Response::found(&edge.shown_payment(&reply).await?).tagged(reply.version()))
}

pub(crate) async fn list<S: Past + Sync>(edge: &Edge<S>, call: &Call<'_>) -> Handled<S::Failure> {
    let history = edge.installation.history;
    let limit = call.parameters().limit()?;
    let after = Seq::new(call.parameters().cursor(history, List::Payments)?);
    let status = call.parameters().get("status").map(status_named).transpose()?;
    let wanted = PaymentsWanted { status, after, limit };
    let page = edge.sources.payments(wanted, edge.sources.now()).await?;
    let show = |assets: &_| page.items.iter().map(|payment| Payment::new(payment, None, assets)).collect();
    let items = edge.show(show)?;
    let next_cursor = page.next.map(|seq| history.cursor(List::Payments, seq.get()));
    Ok(Response::found(&Page { items, next_cursor }))
}

pub(crate) async fn get_decision<S: Sources + Sync>(edge: &Edge<S>, call: &Call<'_>) -> Handled<S::Failure> {
    let (entry, decided) = edge.decision_of(call).await?;
    let EntryInContext { entry, context } = edge.sources.in_context(entry).await?;
    let unknown = || edge.sources.internal(Unknown::Policy(decided.policy).what());
    let decided_by = context.policy.ok_or_else(unknown)?;
    let policy = edge.sources.policy();
    Ok(Response::found(&Decision::new((&entry.header).into(), &decided, &decided_by, policy.as_deref())))
}

pub(crate) async fn change<S: Sources + Sync>(edge: &Edge<S>, call: &Call<'_>, verb: Verb) -> Handled<S::Failure> {
    let payment: PaymentId = call.head.id()?;
    let portion = requests::portion(verb, call.body)?;
    let request = edge.ids(call).verb()?;
    let trial = call.trial()?;
    let parsed = Parsed { request, operation: ChangePayment { payment, verb, portion } };
    let (made, reply) = edge.try_out(call, parsed, trial).await?.map_err(refused::<S::Failure>)?;
    Ok(trial.found(&edge.shown_payment(&reply).await?).made(made))
}

/// Raises what a payment holds. The policy decides the payment again, with the attributes that it was asked for with.
pub(crate) async fn increment<S: Sources + Sync>(edge: &Edge<S>, call: &Call<'_>) -> Handled<S::Failure> {
    let payment: PaymentId = call.head.id()?;
    let amount = requests::increment(call.body)?;
    let request = edge.ids(call).verb()?;
    let trial = call.trial()?;
    for _ in 0..PARSES_MAX {
        let known = edge.ask_unnamed(call, query::Payment(payment)).await?;
        let (again, problem) = match edge.again(&known, amount).await? {
            Ok(new) => (Some(Box::new(new)), None),
            Err(problem) => (None, Some(problem)),
        };
        let operation = IncrementPayment { payment, amount, again };
        match edge.try_out(call, Parsed { request, operation }, trial).await? {
            Ok((made, reply)) => return Ok(trial.found(&edge.shown_payment(&reply).await?).made(made)),
            Err(Refusal::PolicyChanged) => edge.sources.policy_changes().await,
            Err(refusal) => match (refusal, problem) {
                (Refusal::NotIncrementable(NotIncrementable::NotReadable), Some(problem)) => return Err(problem.into()),
                (refusal, _) => return Err(refused(refusal)),
            },
        }
    }
    Err(refused(Refusal::PolicyChanged))
}

pub(crate) async fn record_label<S: Sources + Sync>(edge: &Edge<S>, call: &Call<'_>) -> Handled<S::Failure> {
    let parsed = requests::label(&edge.ids(call), call.body)?;
    let (made, reply) = edge.ask_guarded(call, parsed).await?;
    Ok(Response::created(made, format!("/v1/payments/{}", reply.payment), &Label::from(&reply)).tagged(reply.version))
}

fn status_named(name: &str) -> Result<PaymentStatus, Problem> {
    PaymentStatus::ALL.into_iter().find(|status| status.name() == name).ok_or_else(|| {
        let names: Vec<&str> = PaymentStatus::ALL.iter().map(|status| status.name()).collect();
        parameter("status", format!("found `{}`, expected one of {}", shorten(name), names.join(", ")))
    })
}

impl<S: Sources + Sync> Edge<S> {
    /// Reads the entry that decided the payment in the path.
    pub async fn decision_of(&self, call: &Call<'_>) -> Result<(Entry, Arc<PaymentDecided>), S::Failure> {
        let reply = self.ask_unnamed(call, query::Payment(call.head.id()?)).await?;
        self.decision(reply.payment.seq).await
    }

    async fn decision(&self, seq: Seq) -> Result<(Entry, Arc<PaymentDecided>), S::Failure> {
        let found = self.sources.entry(seq).await?;
        let found = found.ok_or_else(|| self.sources.internal("the entry that decided a payment does not exist"))?;
        let Fact::PaymentDecided(decided) = &found.fact else {
            return Err(self.sources.internal("the entry that decided a payment is not a payment decision"));
        };
        let decided = Arc::clone(decided);
        Ok((found, decided))
    }

    /// A payment as it was asked for, with an incremented amount, parsed with the active policy; or why that is not possible.
    async fn again(&self, known: &PaymentReply, amount: Amount) -> Result<Result<NewPayment, Problem>, S::Failure> {
        let payment = &known.payment;
        let not = |why: String| Problem::new(ErrorCode::IncrementNotPossible, why);
        let Some(policy) = self.sources.policy() else { return Ok(Err(Problem::from(&Refusal::NoActivePolicy))) };
        let (entry, decided) = self.decision(payment.seq).await?;
        let opened = personal::opened(self, &entry, &decided)?;
        if !opened.erased.is_empty() {
            let erased = opened.erased.join(", ");
            return Ok(Err(not(format!("the policy needs personal data of it that was erased: {erased}"))));
        }
        let total = payment.amount.checked_add(amount).unwrap_or(Amount::MAX);
        let asset = self.show(|assets| Ok(assets.of(payment.ledger)?))?;
        let request = PaymentRequest::again(&decided, &opened.attributes, (total, asset));
        Ok(match request.against(&policy) {
            Ok(parsed) => self.tokenised(parsed, payment.content, Trial::Dry),
            Err(problem) => Err(not(format!("the active policy does not accept it: {}", problem.detail()))),
        })
    }

    /// Renders a payment with its decision, which is read from the journal unless the engine has just made it.
    pub(crate) async fn shown_payment(&self, reply: &PaymentReply) -> Result<Payment, S::Failure> {
        let decided = match &reply.decided {
            Some(decided) => Arc::clone(decided),
            None => self.decision(reply.payment.seq).await?.1,
        };
        let mut shown = self.show(|assets| Payment::new(&reply.payment, Some(&decided), assets))?;
        let increments = &reply.payment.increments;
        for (place, increment) in increments.iter().enumerate() {
            let is_last = place.checked_add(1) == Some(increments.len());
            let decided = match reply.increment.as_ref().filter(|_| is_last) {
                Some(decided) => Arc::clone(decided),
                None => self.increment(increment.seq).await?,
            };
            shown = shown.with_increment(place, &decided);
        }
        Ok(shown.with_metadata(&reply.metadata))
    }

    async fn increment(&self, seq: Seq) -> Result<Arc<Incremented>, S::Failure> {
        let found = self.sources.entry(seq).await?.map(|entry| entry.fact);
        match found {
            Some(Fact::PaymentChanged(changed)) => changed.increment,
            _ => None,
        }
        .ok_or_else(|| self.sources.internal("the entry that decided an increment does not exist"))
    }

    /// Replaces entity keys with tokens and seals personal data. A dry run creates no keys: it seals nothing, and an unknown
    /// entity gets a token that is valid only for this request.
    pub(crate) fn tokenised(
        &self,
        parsed: ParsedPayment,
        content: Digest,
        trial: Trial,
    ) -> Result<NewPayment, Problem> {
        let (tenant, keys) = (self.installation.tenant, self.sources.keys());
        if trial == Trial::Dry {
            let token = |kind: &Name, value: &str, personal| {
                let known = keys.known_token(tenant, kind.as_str(), value, personal);
                let hash = || keys.request_hash(tenant, format!("{kind} {value}").as_bytes());
                Ok(known.unwrap_or_else(|| Token::new(hash().head_u128())))
            };
            return parsed.tokenised(content, None, token);
        }
        let sealed = match &parsed.seal {
            Some(to_seal) => {
                let context = personal::context(parsed.payment);
                let seal = |subject: Option<(&str, &str)>, bytes: &[u8]| keys.seal(tenant, subject, &context, bytes);
                Some(personal::seal(to_seal, seal).map_err(no_room)?)
            }
            None => None,
        };
        let token = |kind: &Name, value: &str, personal| keys.token(tenant, kind.as_str(), value, personal);
        parsed.tokenised(content, sealed, token).map_err(no_room)
    }
}

fn no_room(full: vault::Full) -> Problem {
    Problem::new(ErrorCode::KeyStoreFull, full.to_string())
}
