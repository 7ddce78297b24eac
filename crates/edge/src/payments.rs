//! Payments: parsing them with the active policy, replacing entity keys with tokens, sealing personal data; rendering
//! payments and decisions.

use std::sync::Arc;

use api::decisions::{Decision, Payment};
use api::payments::{ParsedPayment, PaymentRequest};
use api::requests::{self, Parsed};
use api::responses::{Label, Page, Unknown};
use api::{Entity, EntityNamed, ErrorCode, List, PaymentFilter, Problem};
use engine::{
    ChangePayment, CreatePayment, Entry, Fact, NewPayment, PaymentDecided, PaymentReply, Refusal, Verb, query,
};
use journal::EntryInContext;
use types::{Digest, Name, PaymentId, Seq, Token, shorten};
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

/// Shows an entity, such as a customer, with its newest payments.
pub(crate) async fn entity<S: Past + Sync>(edge: &Edge<S>, call: &Call<'_>) -> Handled<S::Failure> {
    let (kind, key) = (call.head.path_part(0), call.head.path_part(1));
    let limit = call.parameters().limit()?;
    let policy = edge.sources.policy();
    let named = EntityNamed::of(policy.as_deref(), kind, key).ok_or_else(|| {
        let kinds: Vec<&str> =
            policy.iter().flat_map(|policy| policy.entities()).map(|one| one.name.as_str()).collect();
        let detail =
            format!("found `{}`, expected an entity of the active policy: {}", shorten(kind), kinds.join(", "));
        Problem::new(ErrorCode::EntityNotFound, detail)
    })?;
    let absent = || Problem::new(ErrorCode::EntityNotFound, format!("no payment names this {}", named.kind));
    let token = edge.known_token(&named).ok_or_else(absent)?;
    let totals = edge.sources.entity(token, limit, edge.sources.now()).await?;
    let features = edge.ask_unnamed(call, query::Features(named.kind.clone(), token)).await?;
    let shown = edge.show(|assets| Entity::new(&named.kind, &totals, &features, assets))?;
    Ok(Response::found(&shown.ok_or_else(absent)?))
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

    /// Renders a payment with its decision, which is read from the journal if the reply does not have it.
    pub(crate) async fn shown_payment(&self, reply: &PaymentReply) -> Result<Payment, S::Failure> {
        let decided = match &reply.decided {
            Some(decided) => Arc::clone(decided),
            None => {
                let found = self.decision(reply.payment.id).await?;
                found.ok_or_else(|| self.sources.internal("the index does not know a payment that was decided"))?.1
            }
        };
        let shown = self.show(|assets| Payment::new(&reply.payment, Some(&decided), assets))?;
        Ok(shown.with_metadata(&reply.metadata))
    }

    /// The token of an entity, if a payment may name it.
    fn known_token(&self, EntityNamed { kind, value, personal }: &EntityNamed) -> Option<Token> {
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

fn no_room(full: vault::Full) -> Problem {
    Problem::new(ErrorCode::KeyStoreFull, full.to_string())
}
