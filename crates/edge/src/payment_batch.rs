//! Batches of payments, and of verbs on payments. Each item has its own result, the same as if it had been sent alone.

use api::decisions::Payment;
use api::payments::PaymentRequest;
use api::requests::{self, Parsed};
use api::results::BatchResults;
use api::{Problem, Scope};
use engine::{ChangePaymentBatch, CreatePayment, CreatePaymentBatch, Made, NewPayment, PaymentReply, Refusal, Verb};
use policy::Policy;
use types::{Digest, RequestId};
use vault::Keys as _;

use crate::answer::{Edge, Handled, refused};
use crate::auth::permitted;
use crate::call::{Call, Trial, unnamed};
use crate::payments::PARSES_MAX;
use crate::response::Response;
use crate::sources::Sources;

/// A payment of the batch, with the keyed hash of its content.
type Item = (PaymentRequest, Digest);

pub(crate) async fn create<S: Sources + Sync>(edge: &Edge<S>, call: &Call<'_>) -> Handled<S::Failure> {
    let hash = |request: PaymentRequest| {
        let content = edge.sources.keys().request_hash(edge.installation.tenant, &request.canonical());
        (request, content)
    };
    let parsed = PaymentRequest::parse_batch(&edge.ids(call), call.body)?;
    let items: Vec<Item> = parsed.into_iter().map(hash).collect();
    for _ in 0..PARSES_MAX {
        let policy = edge.sources.policy();
        // Those that the active policy accepts go to the engine; the others may have been decided earlier.
        let (mut batch, mut problems) = (Vec::with_capacity(items.len()), Vec::with_capacity(items.len()));
        for item in &items {
            let parsed = edge.new_payment(item, policy.as_deref());
            problems.push(parsed.map(|new| batch.push(CreatePayment(Box::new(new)))).err());
        }
        let operation = CreatePaymentBatch(batch);
        let answers = match operation.0.is_empty() {
            true => Vec::new(),
            false => {
                let parsed = Parsed { request: RequestId::default(), operation };
                edge.answer_guarded(call, parsed).await?.map_err(refused::<S::Failure>)?
            }
        };
        if answers.iter().any(|answer| matches!(answer, Err(Refusal::PolicyChanged))) {
            edge.sources.policy_changes().await;
            continue;
        }
        let mut answers = answers.into_iter();
        let mut results = Vec::with_capacity(items.len());
        for (item, problem) in items.iter().zip(problems) {
            results.push(match problem {
                None => {
                    let answer = answers.next();
                    edge.shown(answer.ok_or_else(|| edge.sources.internal("an answer of a batch is missing"))?).await?
                }
                Some(problem) => edge.decided_earlier(call, item, problem).await?,
            });
        }
        if policy.is_none() && results.iter().all(Result::is_err) {
            return Err(refused(Refusal::NoActivePolicy));
        }
        return Ok(Response::found(&BatchResults::of_payments(results)));
    }
    Err(refused(Refusal::PolicyChanged))
}

/// Applies a batch of verbs. The results show the payments without the decisions, which would have to be read from the journal.
pub(crate) async fn change<S: Sources + Sync>(edge: &Edge<S>, call: &Call<'_>) -> Handled<S::Failure> {
    let items = requests::verbs(&edge.ids(call), call.body)?;
    let (mut batch, mut problems) = (Vec::with_capacity(items.len()), Vec::with_capacity(items.len()));
    for Parsed { request, operation } in items {
        let allowed = match operation.verb {
            verb @ (Verb::Approve | Verb::Decline) => permitted(call.scopes, Scope::REVIEWS_WRITE, verb.name()),
            Verb::Capture | Verb::Void | Verb::Refund | Verb::Increment => Ok(()),
        };
        problems.push(allowed.map(|()| batch.push((request, operation))).err());
    }
    let answers = match batch.is_empty() {
        true => Vec::new(),
        false => edge.ask_unnamed(call, ChangePaymentBatch(batch)).await?,
    };
    let mut answers = answers.into_iter();
    let mut results = Vec::with_capacity(problems.len());
    for problem in problems {
        results.push(match problem {
            Some(problem) => Err(problem),
            None => match answers.next() {
                None => return Err(edge.sources.internal("an answer of a batch is missing")),
                Some(Err(refusal)) => Err(Problem::from(&refusal)),
                Some(Ok((made, reply))) => {
                    let shown = edge.show(|assets| Payment::new(&reply.payment, None, assets))?;
                    Ok((made, shown.with_metadata(&reply.metadata)))
                }
            },
        });
    }
    Ok(Response::found(&BatchResults::of_verbs(results)))
}

impl<S: Sources + Sync> Edge<S> {
    fn new_payment(&self, (request, content): &Item, policy: Option<&Policy>) -> Result<NewPayment, Problem> {
        let policy = policy.ok_or_else(|| Problem::from(&Refusal::NoActivePolicy))?;
        self.tokenised(request.against(policy)?, *content, Trial::Real)
    }

    async fn shown(
        &self,
        answer: Result<(Made, Box<PaymentReply>), Refusal>,
    ) -> Result<Result<(Made, Payment), Problem>, S::Failure> {
        Ok(match answer {
            Ok((made, reply)) => Ok((made, self.shown_payment(&reply).await?)),
            Err(refusal) => Err(Problem::from(&refusal)),
        })
    }

    /// The stored answer if this payment was decided earlier, otherwise `problem`.
    async fn decided_earlier(
        &self,
        call: &Call<'_>,
        (request, content): &Item,
        problem: Problem,
    ) -> Result<Result<(Made, Payment), Problem>, S::Failure> {
        let answer = self.answer_to(call, unnamed(engine::query::Payment(request.payment))).await?;
        Ok(match answer {
            Ok(reply) if reply.payment.content == *content => Ok((Made::Before, self.shown_payment(&reply).await?)),
            Ok(reply) => Err(Problem::from(&Refusal::PaymentExistsWithDifferentContent(reply.payment.id))),
            Err(_not_found) => Err(problem),
        })
    }
}
