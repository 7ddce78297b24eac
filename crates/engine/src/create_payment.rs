//! Deciding a payment: features, rules and models say what should happen, the ledger says whether it can happen, and
//! one entry records all of it.

use std::cell::Cell;
use std::sync::{Arc, LazyLock};

use features::{Candidate, Key, Missing, RecordChange, StreamId, Update, View, Window, Windows};
use ledger::{AccountFlags, NewAccount, NewTransfer, Outcome, Plan, TransferFlags, TransferKey};
use policy::cel::Listed;
use policy::reason::LEG_FAILED;
use policy::{
    AccountRef, AccountTemplate, AttributeKind, AttributeValue, Capture, CaptureExpiry, Counts, Effect, EntityValue,
    Evaluation, Facts, FeatureValue, LegPlan, ListIdx, PaymentType, PaymentTypeIdx, Policy, Reason, ReviewExpiry,
    StreamIdx, Verdict, WindowSource,
};
use types::{
    AccountId, Amount, Digest, DigestBuilder, LedgerId, Name, PaymentId, RequestId, Sealed, Seq, Timestamp, Token,
};

use crate::command::Execute;
use crate::decide::{Decide, Decided, Recording};
use crate::entity_attributes::EntityAttributes;
use crate::entry::{
    AtDeadline, CaptureTerms, Deadline, DecisionForm, Entry, Fact, LegRefusal, PaymentDecided, PaymentStatus,
    PlainValue, StreamOpened,
};
use crate::guard::Guarding;
use crate::lists::Lists;
use crate::state::State;
use crate::{Answered, Engine, Made, Payment, PaymentReply, Refusal, Request, Sink};

/// Decide a payment, and post, hold or refuse it.
#[derive(Debug, Clone)]
pub struct CreatePayment(pub Box<NewPayment>);

/// Decide a batch of payments, one after another. Each has its own answer, the same as if it had been sent alone.
#[derive(Debug, Clone)]
pub struct CreatePaymentBatch(pub Vec<CreatePayment>);

/// The most payments of a batch.
pub const PAYMENTS_MAX: usize = 1_000;

/// A payment to decide. Its `Debug` form shows no attributes, because some of them are personal.
#[derive(Clone)]
pub struct NewPayment {
    pub payment: PaymentId,
    /// A keyed hash of the request's own fields in canonical form.
    pub content: Digest,
    /// The policy with which the attributes were parsed. If another policy is active by now, the answer is
    /// [`crate::Refusal::PolicyChanged`], and the edge parses the payment again.
    pub policy: Digest,
    /// The payment type in that policy.
    pub payment_type: PaymentTypeIdx,
    /// The amount in minor units of the type's ledger.
    pub amount: Amount,
    /// The time that the client declared, if the payment type accepts it.
    pub occurred_at: Option<Timestamp>,
    /// The values in the order of the payment type, with tokens in place of entity keys. Rules read the personal ones;
    /// no entry keeps them.
    pub attributes: Vec<Option<AttributeValue>>,
    /// The sealed personal values and entity keys.
    pub sealed: Option<Sealed>,
}

impl std::fmt::Debug for NewPayment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewPayment").field("payment", &self.payment).finish_non_exhaustive()
    }
}

/// The feature windows, lists and attributes of entities. Windows and lists are addressed by the numbers of one policy.
pub(crate) struct StreamHistory<'a> {
    pub(crate) windows: &'a Windows,
    pub(crate) streams: &'a [StreamOpened],
    /// The payment that is decided again, whose own records do not count.
    pub(crate) without: Option<&'a Payment>,
    pub(crate) lists: &'a Lists,
    pub(crate) attributes: &'a EntityAttributes,
    /// The lists that were looked into, one bit each.
    pub(crate) looked: Cell<u64>,
}

// A bit for each list.
const _: () = assert!(policy::limits::LISTS_MAX <= u64::BITS as usize);

impl<'a> StreamHistory<'a> {
    /// The windows, lists and attributes as they are now.
    pub(crate) fn now(state: &'a State, streams: &'a [StreamOpened], without: Option<&'a Payment>) -> Self {
        Self { without, ..Self::of((&state.windows, &state.lists, &state.entity_attributes), streams) }
    }

    /// These windows, lists and attributes.
    pub(crate) fn of(
        (windows, lists, attributes): (&'a Windows, &'a Lists, &'a EntityAttributes),
        streams: &'a [StreamOpened],
    ) -> Self {
        Self { windows, streams, without: None, lists, attributes, looked: Cell::new(0) }
    }

    /// The lists that were looked into, each with its version.
    pub(crate) fn looked_into(&self) -> Vec<(u16, Seq)> {
        let looked = self.looked.get();
        let numbers = (0_u16..64).filter(|number| looked >> number & 1 == 1);
        numbers.map(|number| (number, self.lists.version(usize::from(number)))).collect()
    }
}

impl StreamHistory<'_> {
    pub(crate) fn id(&self, stream: StreamIdx) -> StreamId {
        self.streams.get(stream.get()).expect("ENG-10: an active policy's streams are open").id
    }
}

impl WindowSource for StreamHistory<'_> {
    fn view(
        &self,
        stream: StreamIdx,
        entity: Token,
        window: Window,
        at: Timestamp,
        candidate: Option<Candidate>,
    ) -> Result<View<'_>, Missing> {
        let stream = self.id(stream);
        let own = self.without.and_then(|payment| {
            let records = &mut payment.records.iter();
            let record = records.find(|record| (record.stream, record.entity) == (stream, entity))?;
            Some(Key { at: record.at, seq: payment.seq })
        });
        self.windows.view(stream, entity, window, at, (own, candidate))
    }

    fn list_has(&self, list: ListIdx, value: Listed<'_>, at: Timestamp) -> bool {
        self.looked.set(self.looked.get() | 1 << list.number());
        self.lists.has(list.get(), value, at)
    }

    fn attribute(&self, kind: &Name, attribute: &Name, entity: Token) -> Option<&EntityValue> {
        self.attributes.get(kind, attribute, entity)
    }
}

impl Engine {
    /// The values that the features of the active policy have at `at` for an entity of a kind.
    pub(crate) fn features_of(&self, kind: &Name, entity: Token, at: Timestamp) -> Vec<(Name, FeatureValue)> {
        let (Some(active), Some(policy)) = (&self.state.policy, self.policy.as_deref()) else { return Vec::new() };
        if active.activated.artifact != policy.digest() {
            return Vec::new();
        }
        let history = StreamHistory::now(&self.state, &active.activated.streams, None);
        policy.features_of(kind, entity, at, &history)
    }
}

/// What the ledger did with the legs.
struct Moved {
    status: PaymentStatus,
    refusal: Option<LegRefusal>,
    facts: Vec<ledger::Fact>,
}

impl Decide for CreatePayment {
    fn payment(&self) -> Option<PaymentId> {
        Some(self.0.payment)
    }

    fn decide(&self, engine: &Engine, at: Timestamp, _: RequestId) -> Result<Decided<Self::Reply>, Refusal> {
        let new = &*self.0;
        Ok(match engine.decide_payment(at, new)? {
            Decided::Before(reply) => Decided::Before((Made::Before, reply)),
            Decided::Now(decided) => Decided::Now(Recording {
                fact: Fact::PaymentDecided(decided),
                // The header keeps what the client declared, even if it was too late to count.
                occurred_at: new.occurred_at,
                sealed: new.sealed.clone(),
                tenant: None,
            }),
        })
    }

    fn made(&self, engine: &mut Engine, entry: &Entry) -> Answered<Self> {
        let mut reply = engine.payment_reply(self.0.payment, engine.state.clock)?;
        if let Fact::PaymentDecided(decided) = &entry.fact {
            reply.decided = Some(Arc::clone(decided));
        }
        Ok((Made::Now, reply))
    }
}

impl Execute for CreatePaymentBatch {
    fn events_count(&self) -> usize {
        self.0.len()
    }

    fn execute(&self, engine: &mut Engine, now: Timestamp, request: &Request, sink: &mut dyn Sink) -> Answered<Self> {
        let decide = |payment: &CreatePayment| {
            let id = payment.0.payment;
            engine.with_payment(Some(id), |engine| {
                payment.carry_out(engine, now, (request.actor, RequestId::new(id.get())), sink)
            })
        };
        Ok(self.0.iter().map(decide).collect())
    }

    /// While writes are refused, a batch is refused as a whole: its payments may have to be brought back into memory first.
    fn without_entry(&self, _: &Engine, _: Timestamp, _: &Request) -> Option<Answered<Self>> {
        None
    }
}

impl Guarding for CreatePaymentBatch {
    const MAKES_MANY: bool = true;
}

impl Engine {
    /// Decides a payment, unless it was decided before.
    pub(crate) fn decide_payment(
        &self,
        at: Timestamp,
        new: &NewPayment,
    ) -> Result<Decided<Box<PaymentReply>, Arc<PaymentDecided>>, Refusal> {
        if let Some(payment) = self.state.payments.get(new.payment) {
            if payment.content != new.content {
                return Err(Refusal::PaymentExistsWithDifferentContent(new.payment));
            }
            return Ok(Decided::Before(self.payment_reply(new.payment, at)?));
        }
        let active = self.state.policy.as_ref().ok_or(Refusal::NoActivePolicy)?;
        let policy = self.policy.as_deref().ok_or(Refusal::NoActivePolicy)?;
        if policy.digest() != new.policy {
            return Err(Refusal::PolicyChanged);
        }
        let payment_type = policy.payment_types().get(new.payment_type.get());
        let payment_type = payment_type.expect("ENG-11: the edge parsed the payment with this policy");
        let (occurred_at, late) = occurred(at, new.occurred_at, payment_type)?;
        let facts = Facts {
            payment_type: new.payment_type,
            amount: new.amount,
            decided_at: at,
            occurred_at,
            attributes: &new.attributes,
        };
        let history = StreamHistory::now(&self.state, &active.activated.streams, None);
        let mut evaluation = policy.evaluate(&facts, &history);
        let capture = capture_terms(payment_type);
        let legs = legs_of(&mut evaluation);
        let moved = self.move_legs(at, policy, payment_type, new, evaluation.verdict, &legs);
        let seq = self.state.applied.next();
        let (updates, accepted_updates) = updates_of(&evaluation, &history, seq, moved.status);
        let ledger = ledger_of(policy, payment_type);
        let decided = PaymentDecided {
            payment: new.payment,
            content: new.content,
            policy: active.seq,
            payment_type: payment_type.name.clone(),
            ledger,
            amount: new.amount,
            attributes: plain_attributes(payment_type, &new.attributes),
            verdict: evaluation.verdict,
            score: evaluation.score.get(),
            reasons: evaluation.reasons,
            tags: evaluation.tags,
            features: evaluation.features.into_iter().map(|(idx, value)| (idx.number(), value)).collect(),
            models: evaluation.models.into_iter().map(|(idx, value)| (idx.number(), value)).collect(),
            lists: history.looked_into(),
            late,
            status: moved.status,
            refusal: moved.refusal,
            capture,
            deadline: first_deadline(at, moved.status, capture, payment_type),
            ledger_facts: moved.facts,
            updates,
            accepted_updates,
            form: DecisionForm::Compact,
        };
        Ok(Decided::Now(Arc::new(decided)))
    }

    /// Tries the legs on the ledger: they are posted, or held for a review or a capture. If one of them is refused, all
    /// of them are undone.
    fn move_legs(
        &self,
        at: Timestamp,
        policy: &Policy,
        payment_type: &PaymentType,
        new: &NewPayment,
        verdict: Verdict,
        legs: &[LegPlan],
    ) -> Moved {
        let (status, flags) = match (verdict, payment_type.capture) {
            (Verdict::Approve, Capture::Immediate) => (PaymentStatus::Posted, TransferFlags::NONE),
            (Verdict::Approve, Capture::Manual { .. }) => (PaymentStatus::Held, TransferFlags::PENDING),
            (Verdict::Review, _) => (PaymentStatus::InReview, TransferFlags::PENDING),
            (Verdict::Decline, _) => {
                return Moved { status: PaymentStatus::Declined, refusal: None, facts: Vec::new() };
            }
        };
        let mut plan = self.state.ledger.plan(at);
        let ledger = ledger_of(policy, payment_type);
        for (number, leg) in (0_u16..).zip(legs) {
            let refusal = |status| Some(LegRefusal { leg: leg.leg, status });
            let transfer = NewTransfer {
                debit: account_for(&mut plan, policy, leg.debit),
                credit: account_for(&mut plan, policy, leg.credit),
                amount: leg.amount,
                ledger,
                code: leg.code,
                flags,
                ..NewTransfer::named(TransferKey::Leg { payment: new.payment, number })
            };
            match plan.create_transfer(&transfer) {
                Outcome::Created { .. } => {}
                Outcome::Refused(refused) => {
                    let refusal = refusal(refused.status);
                    return Moved { status: PaymentStatus::Refused, refusal, facts: Vec::new() };
                }
                Outcome::Exists { .. } => unreachable!("ENG-4: a payment is decided once, so its legs are new"),
            }
        }
        Moved { status, refusal: None, facts: plan.into_facts() }
    }
}

/// The transfers that the policy computed. If they could not be computed, the payment is declined.
pub(crate) fn legs_of(evaluation: &mut Evaluation) -> Vec<LegPlan> {
    match std::mem::replace(&mut evaluation.legs, Ok(Vec::new())) {
        Ok(legs) => legs,
        Err(failure) => {
            let code: Name = LEG_FAILED.parse().expect("POL-5: a built-in reason code is a valid name");
            evaluation.reasons.push(Reason { code, effect: Effect::Decline, failure: Some(failure) });
            evaluation.verdict = Verdict::Decline;
            Vec::new()
        }
    }
}

/// The time that counts for a payment, and whether the client declared a time that is too late to count.
pub(crate) fn occurred(
    at: Timestamp,
    declared: Option<Timestamp>,
    payment_type: &PaymentType,
) -> Result<(Timestamp, bool), Refusal> {
    let Some(declared) = declared else { return Ok((at, false)) };
    let Some(bounds) = payment_type.occurred_at else {
        return Err(Refusal::OccurredNotDeclared(payment_type.name.clone()));
    };
    let latest = at.saturating_add(bounds.ahead_max);
    if declared > latest {
        return Err(Refusal::OccurredTooFarAhead { occurred_at: declared, latest });
    }
    let earliest = at.checked_sub(bounds.late_max).unwrap_or_default();
    Ok(if declared < earliest { (at, true) } else { (declared, false) })
}

pub(crate) fn ledger_of(policy: &Policy, payment_type: &PaymentType) -> LedgerId {
    policy.ledgers().get(payment_type.ledger.get()).expect("POL-3: a payment type's ledger is declared").id
}

fn capture_terms(payment_type: &PaymentType) -> CaptureTerms {
    match payment_type.capture {
        Capture::Immediate => CaptureTerms::Immediate,
        Capture::Manual { deadline, on_deadline } => CaptureTerms::Manual {
            deadline,
            then: match on_deadline {
                CaptureExpiry::Void => AtDeadline::Expire,
                CaptureExpiry::Capture => AtDeadline::Proceed,
            },
        },
    }
}

fn first_deadline(
    at: Timestamp,
    status: PaymentStatus,
    capture: CaptureTerms,
    payment_type: &PaymentType,
) -> Option<Deadline> {
    match (status, capture) {
        (PaymentStatus::InReview, _) => {
            let then = match payment_type.review.on_deadline {
                ReviewExpiry::Decline => AtDeadline::Expire,
                ReviewExpiry::Approve => AtDeadline::Proceed,
            };
            Some(Deadline { at: at.saturating_add(payment_type.review.deadline), then })
        }
        (PaymentStatus::Held, CaptureTerms::Manual { deadline, then }) => {
            Some(Deadline { at: at.saturating_add(deadline), then })
        }
        (_, _) => None,
    }
}

/// The account of a leg. If the policy opens it on first use, the plan opens it.
pub(crate) fn account_for(plan: &mut Plan<'_>, policy: &Policy, account: AccountRef) -> AccountId {
    let (template, entity) = match account {
        AccountRef::Id(id) => return id,
        AccountRef::Single(template) => (template, None),
        AccountRef::Of(template, token) => (template, Some(token)),
    };
    let template = policy.accounts().get(template.get()).expect("POL-3: a leg's account template is declared");
    let ledger = policy.ledgers().get(template.ledger.get()).expect("POL-3: a template's ledger is declared").id;
    let id = account_id(&template.name, ledger, entity);
    if template.open_on_first_use && plan.account(id).is_none() {
        let new = new_account(id, ledger, template, entity);
        let opened = plan.open_account(&new);
        debug_assert!(
            matches!(opened, Outcome::Created { .. }),
            "ENG-12: an account that a validated template describes can be opened"
        );
    }
    id
}

fn new_account(id: AccountId, ledger: LedgerId, template: &AccountTemplate, entity: Option<Token>) -> NewAccount {
    let wanted = [
        (template.flags.debits_must_not_exceed_credits, AccountFlags::DEBITS_MUST_NOT_EXCEED_CREDITS),
        (template.flags.credits_must_not_exceed_debits, AccountFlags::CREDITS_MUST_NOT_EXCEED_DEBITS),
        (template.flags.history, AccountFlags::HISTORY),
    ];
    let flags =
        wanted.iter().filter(|(wanted, _)| *wanted).fold(AccountFlags::NONE, |flags, (_, flag)| flags.with(*flag));
    NewAccount {
        id,
        ledger,
        code: template.code,
        user_data_128: entity.map_or(0, Token::get),
        flags,
        ..NewAccount::default()
    }
}

/// The id of the account that a template of a policy describes: its single account, or that of an entity. The id
/// depends on the template's name and ledger, so that a new version of a policy continues with the same accounts.
pub fn account_id(template: &Name, ledger: LedgerId, entity: Option<Token>) -> AccountId {
    static CONTEXT: LazyLock<DigestBuilder> =
        LazyLock::new(|| DigestBuilder::new("finaira 2026-11 account of a policy template"));
    let mut builder = CONTEXT.clone();
    builder.bytes(template.as_str().as_bytes()).u64(u64::from(ledger.get())).u128(entity.map_or(0, Token::get));
    AccountId::new(builder.digest().head_u128().clamp(1, u128::MAX - 1))
}

/// What the payment adds to feature windows: to those that count attempts always, to those that count accepted payments
/// only if its money moved or is reserved.
pub(crate) fn updates_of(
    evaluation: &Evaluation,
    history: &StreamHistory<'_>,
    seq: Seq,
    status: PaymentStatus,
) -> (Vec<Update>, Vec<u16>) {
    let accepted = matches!(status, PaymentStatus::Posted | PaymentStatus::Held | PaymentStatus::InReview);
    let records = evaluation.records.iter().filter(|record| accepted || record.counts == Counts::Attempted);
    let mut updates = Vec::with_capacity(evaluation.records.len());
    let mut accepted_updates = Vec::new();
    for (position, record) in (0_u16..).zip(records) {
        if record.counts == Counts::Accepted {
            accepted_updates.push(position);
        }
        updates.push(Update {
            stream: history.id(record.stream),
            entity: record.entity,
            at: record.at,
            seq,
            change: RecordChange::Insert { value: record.value, item: record.item },
        });
    }
    (updates, accepted_updates)
}

/// The attributes that may be in an entry in the clear.
fn plain_attributes(payment_type: &PaymentType, values: &[Option<AttributeValue>]) -> Vec<(Name, PlainValue)> {
    let mut plain = Vec::new();
    for (attribute, value) in payment_type.attributes.iter().zip(values) {
        let opaque = matches!(attribute.kind, AttributeKind::Entity(_) | AttributeKind::Account);
        let Some(value) = value.as_ref().filter(|_| opaque || !attribute.personal) else { continue };
        let value = match value {
            AttributeValue::Text(text) => PlainValue::Text(text.clone()),
            AttributeValue::Int(int) => PlainValue::Int(*int),
            AttributeValue::Double(double) => PlainValue::Double(*double),
            AttributeValue::Bool(yes) => PlainValue::Bool(*yes),
            AttributeValue::Time(at) => PlainValue::Time(*at),
            AttributeValue::Entity { token, .. } => PlainValue::Entity(*token),
            AttributeValue::Account(id) => PlainValue::Account(*id),
        };
        plain.push((attribute.name.clone(), value));
    }
    plain
}
