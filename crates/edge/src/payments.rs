//! Payments: parsing them with the active policy, replacing entity keys with tokens, sealing personal data; rendering
//! payments and decisions.

use std::sync::Arc;

use api::decisions::{DecidedAt, Decision, Payment};
use api::explanations::{Explanation, NoPolicy};
use api::payments::{ParsedPayment, PaymentRequest};
use api::requests::{self, Parsed};
use api::responses::{Label, Page, Unknown};
use api::{EntityNamed, ErrorCode, List, PaymentFilter, Problem};
use engine::{
    ChangePayment, CreatePayment, Entry, Fact, IncrementPayment, Incremented, NewPayment, NotIncrementable,
    PaymentDecided, PaymentReply, PlainValue, Refusal, Verb, query,
};
use journal::EntryInContext;
use policy::{AttributeValue, Policy};
use types::{Amount, Digest, Name, PaymentId, Seq, Token};
use vault::Keys as _;

use crate::answer::{Edge, Handled, refused};
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
    let id = call.head.id()?;
    let reply = edge.sources.payment(id).await?.ok_or_else(|| not_found(id))?;
    Ok(Response::found(&edge.shown_payment(&reply).await?).tagged(reply.version()))
}

pub(crate) async fn list<S: Past + Sync>(edge: &Edge<S>, call: &Call<'_>) -> Handled<S::Failure> {
    let history = edge.installation.history;
    let limit = call.parameters().limit()?;
    let after = call.parameters().cursor_if_given(history, List::Payments)?.map(Seq::new);
    let known: Vec<&str> = call.head.route.parameters.iter().map(|parameter| parameter.name).collect();
    let filter = PaymentFilter::read(call.parameters(), &known, edge.sources.policy().as_deref())?;
    let tokens: Option<Vec<Token>> = filter.entities.iter().map(|entity| edge.known_token(entity)).collect();
    let page = match tokens {
        Some(entities) => {
            let wanted = PaymentsWanted { filter, entities, after, limit };
            edge.sources.payments(wanted, edge.sources.now()).await?
        }
        // No payment names an entity that has no token.
        None => engine::Page { items: Vec::new(), next: None },
    };
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

/// Explains a decision with the policy that made it, also if another one is active now.
pub(crate) async fn explanation<S: Past + Sync>(edge: &Edge<S>, call: &Call<'_>) -> Handled<S::Failure> {
    let (entry, decided) = edge.decision_of(call).await?;
    let EntryInContext { entry, context } = edge.sources.in_context(entry).await?;
    let unknown = || edge.sources.internal(Unknown::Policy(decided.policy).what());
    let names = context.policy.ok_or_else(unknown)?;
    let (at, activated, artifact) = (DecidedAt::from(&entry.header), decided.policy, names.artifact);
    let explain = move |policy: Result<&Policy, &NoPolicy>| Explanation::new(at, &decided, &names, policy);
    Ok(Response::found(&edge.sources.with_policy(activated, artifact, explain).await?))
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

impl<S: Sources + Sync> Edge<S> {
    /// Reads the entry that decided the payment in the path.
    pub async fn decision_of(&self, call: &Call<'_>) -> Result<(Entry, Arc<PaymentDecided>), S::Failure> {
        let id = call.head.id()?;
        self.decision(id).await?.ok_or_else(|| not_found(id))
    }

    async fn decision(&self, id: PaymentId) -> Result<Option<(Entry, Arc<PaymentDecided>)>, S::Failure> {
        let Some(found) = self.sources.decision(id).await? else { return Ok(None) };
        let Fact::PaymentDecided(decided) = &found.fact else {
            return Err(self.sources.internal("the entry that decided a payment is not a payment decision"));
        };
        let decided = Arc::clone(decided);
        Ok(Some((found, decided)))
    }

    /// A payment as it was asked for, with an incremented amount, parsed with the active policy; or why that is not possible.
    async fn again(&self, known: &PaymentReply, amount: Amount) -> Result<Result<NewPayment, Problem>, S::Failure> {
        let payment = &known.payment;
        let not = |why: String| Problem::new(ErrorCode::IncrementNotPossible, why);
        let Some(policy) = self.sources.policy() else { return Ok(Err(Problem::from(&Refusal::NoActivePolicy))) };
        let found = self.decision(payment.id).await?;
        let unknown = || self.sources.internal("the index does not know a payment that was decided");
        let (entry, decided) = found.ok_or_else(unknown)?;
        let opened = personal::opened(self, &entry, &decided)?;
        if !opened.erased.is_empty() {
            let erased = opened.erased.join(", ");
            return Ok(Err(not(format!("the policy needs personal data of it that was erased: {erased}"))));
        }
        let total = payment.amount.checked_add(amount).unwrap_or(Amount::MAX);
        let asset = self.show(|assets| Ok(assets.of(payment.ledger)?))?;
        let request = PaymentRequest::again(&decided, &opened.attributes, (total, asset));
        // A trial makes no keys: only the entities that the payment was decided with can be in it.
        let new = match request.against(&policy) {
            Ok(parsed) => self.tokenised(parsed, payment.content, Trial::Dry),
            Err(problem) => Err(not(format!("the active policy does not accept it: {}", problem.detail()))),
        };
        let was_decided_with = |token: Token| {
            decided.attributes.iter().any(|(_, value)| matches!(value, PlainValue::Entity(known) if *known == token))
        };
        let is_other = |value: &Option<AttributeValue>| matches!(value, Some(AttributeValue::Entity { token, .. }) if !was_decided_with(*token));
        Ok(new.and_then(|new| match new.attributes.iter().any(is_other) {
            true => Err(not("the active policy reads an entity in it that is not one it was decided with".to_owned())),
            false => Ok(new),
        }))
    }

    /// Renders a payment with its decision, which is read from the journal if the reply does not have it.
    pub(crate) async fn shown_payment(&self, reply: &PaymentReply) -> Result<Payment, S::Failure> {
        let decided = match &reply.decided {
            Some(decided) => Arc::clone(decided),
            None => {
                let found = self.decision(reply.payment.id).await?;
                found.ok_or_else(|| self.sources.internal("the index does not know a payment that was decided"))?.1
            }
        };
        let mut shown = self.show(|assets| Payment::new(&reply.payment, Some(&decided), assets))?;
        let increments = self.increments(reply).await?;
        for (place, decided) in increments.iter().enumerate() {
            shown = shown.with_increment(place, decided);
        }
        Ok(shown.with_metadata(&reply.metadata))
    }

    /// The decisions about all increments of a payment. Those that the reply lacks are read from the journal.
    async fn increments(&self, reply: &PaymentReply) -> Result<Vec<Arc<Incremented>>, S::Failure> {
        let count = reply.payment.increments.len();
        let missing = count.saturating_sub(reply.increments.len());
        let mut increments = match missing {
            0 => Vec::new(),
            _ => self.sources.payment(reply.payment.id).await?.map(|known| known.increments).unwrap_or_default(),
        };
        increments.truncate(missing);
        increments.extend(reply.increments.iter().cloned());
        if increments.len() != count {
            return Err(self.sources.internal("the entry that decided an increment does not exist"));
        }
        Ok(increments)
    }

    /// The token of an entity, if a payment may name it.
    pub(crate) fn known_token(&self, EntityNamed { kind, value, personal }: &EntityNamed) -> Option<Token> {
        self.sources.keys().known_token(self.installation.tenant, kind.as_str(), value, *personal)
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
                let seal = |subject: Option<(&str, &str)>, parts: &[vault::Part<'_>]| {
                    keys.seal_section(tenant, subject, &context, parts)
                };
                Some(personal::seal(to_seal, seal).map_err(no_room)?)
            }
            None => None,
        };
        let token = |kind: &Name, value: &str, personal| keys.token(tenant, kind.as_str(), value, personal);
        parsed.tokenised(content, sealed, token).map_err(no_room)
    }
}

fn not_found<F: From<Problem>>(id: PaymentId) -> F {
    refused(Refusal::PaymentNotFound(id))
}

pub(crate) fn no_room(full: vault::Full) -> Problem {
    Problem::new(ErrorCode::KeyStoreFull, full.to_string())
}
