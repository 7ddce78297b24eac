//! The model of payments decides them independently: it computes features from a plain list of payments, evaluates the
//! rules of the simulated policies as plain conditions, and makes legs by the rules of the ledger.

mod increments;
mod judged;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use engine::{
    AtDeadline, CaptureTerms, Cause, Deadline, Header, LabelRecorded, NewPayment, PaymentChanged, PaymentDecided,
    PaymentReply, PaymentStatus, PaymentSums, PlainValue, PolicyActivated, Portion, Verb,
};
use ledger::{Fact as Moved, NewTransfer, Transfer, TransferFlags as F, TransferKey};
use policy::{FeatureValue, MissingReason, Verdict};
use types::{AccountId, Amount, Code, Digest, LedgerId, Name, PaymentId, RequestId, Seq, Span, Timestamp, Token};

use super::attributes::EntityAttributes;
use super::books::{Books, made};
use super::ensure;
use super::lists::Lists;
use super::rules::{Books as _, Moment};
use crate::policies::{self, Variant};

/// All payments and policies.
#[derive(Debug, Default, Clone)]
pub(crate) struct Payments {
    pub(crate) all: BTreeMap<PaymentId, Paid>,
    pub(crate) active: Option<Active>,
    pub(crate) verbs: BTreeMap<(PaymentId, RequestId), (Verb, Portion)>,
    deadlines: BTreeSet<(Timestamp, PaymentId)>,
    /// The lists that policies look into.
    pub(crate) lists: Lists,
    /// The attributes that policies read.
    pub(crate) attributes: EntityAttributes,
}

/// The active policy.
#[derive(Debug, Clone)]
pub(crate) struct Active {
    pub(crate) seq: Seq,
    pub(crate) artifact: Digest,
    features: Vec<Name>,
    variant: &'static Variant,
    /// The time since which each stream has a record of every payment.
    since: BTreeMap<&'static str, Timestamp>,
}

impl Active {
    pub(crate) fn digest(&self) -> Digest {
        self.variant.policy.digest()
    }

    /// Whether the policy declares a list.
    pub(crate) fn declares_lists(&self) -> bool {
        self.variant.is_second()
    }
}

/// A payment and its outcome.
#[derive(Debug, Clone)]
pub(crate) struct Paid {
    pub(crate) seq: Seq,
    pub(crate) decided: Arc<PaymentDecided>,
    pub(crate) status: PaymentStatus,
    sums: PaymentSums,
    /// What was authorised, increments included.
    amount: Amount,
    /// What was captured of the payment when its hold was last raised.
    before: u128,
    pub(crate) label: Option<(Name, bool)>,
    deadline: Option<Deadline>,
    /// The transfers that move or reserve all that was authorised. The keys are those of the transfers that hold what is held now.
    legs: Vec<Transfer>,
    /// What was captured of each leg when the hold was last raised.
    moved: Vec<u128>,
    transfers: u16,
    changes: usize,
    /// The records that the payment adds to streams.
    records: Vec<Record>,
}

/// What a payment adds to a stream.
#[derive(Debug, Clone)]
struct Record {
    stream: &'static str,
    entity: Token,
    /// The merchant, in streams that keep one record for each pair or remember it.
    merchant: Option<Token>,
    at: Timestamp,
    value: i64,
    /// The record counts only while the payment is not declined, refused, voided or expired.
    if_accepted: bool,
}

struct Candidate<'a> {
    new: &'a NewPayment,
    payment_type: &'static str,
    customer: Token,
    merchant: Option<Token>,
    at: Timestamp,
    occurred_at: Timestamp,
    late: bool,
    /// Whether the payment is known, and its own records do not count.
    again: bool,
}

/// The decision that the model expects.
pub(crate) struct Expected {
    features: Vec<(&'static str, FeatureValue)>,
    verdict: Verdict,
    score: u16,
    reasons: Vec<&'static str>,
    status: PaymentStatus,
    deadline: Option<Deadline>,
    facts: Vec<Moved>,
    refusal: Option<(u16, &'static str)>,
    late: bool,
    /// The lists that the decision looks into, by their numbers, with their versions.
    lists: Vec<(u16, Seq)>,
}

const fn comes_to_something(status: PaymentStatus) -> bool {
    !matches!(status, PaymentStatus::Declined | PaymentStatus::Refused | PaymentStatus::Voided | PaymentStatus::Expired)
}

impl Payments {
    pub(crate) fn is_known(&self, id: PaymentId) -> bool {
        self.all.contains_key(&id)
    }

    /// The payment with the earliest deadline.
    pub(crate) fn next_deadline(&self) -> Option<(Timestamp, PaymentId)> {
        self.deadlines.first().copied()
    }

    pub(super) fn activate(&mut self, header: &Header, activated: &PolicyActivated) -> Result<(), String> {
        let variant =
            policies::variant(activated.artifact).ok_or("SIM-2: nobody knows the policy that is activated")?;
        let unseen = if self.all.is_empty() { Timestamp::ZERO } else { header.decided_at };
        let before = self.active.as_ref();
        let since = |stream| before.and_then(|active| active.since.get(stream).copied()).unwrap_or(unseen);
        self.active = Some(Active {
            seq: header.seq,
            artifact: activated.artifact,
            features: activated.features.clone(),
            variant,
            since: variant.streams().map(|stream| (stream, since(stream))).collect(),
        });
        Ok(())
    }

    pub(super) fn decide(&mut self, header: &Header, decided: &Arc<PaymentDecided>) -> Result<(), String> {
        let active = self.active.as_ref().ok_or("SIM-2: a payment is decided without a policy")?;
        let entity = |wanted: &str| {
            let found = decided.attributes.iter().find(|(name, _)| name.as_str() == wanted);
            if let Some((_, PlainValue::Entity(token))) = found { Some(*token) } else { None }
        };
        let customer = entity("customer").ok_or("SIM-2: a payment has no customer")?;
        let occurred_at = if decided.late { header.decided_at } else { header.occurred_at };
        let records = records(
            active.variant,
            decided.payment_type.as_str(),
            (customer, entity("merchant")),
            decided.amount,
            (header.decided_at, occurred_at),
        );
        let accepted = comes_to_something(decided.status);
        let legs: Vec<Transfer> = created(&decided.ledger_facts);
        let paid = Paid {
            seq: header.seq,
            decided: Arc::clone(decided),
            status: decided.status,
            sums: PaymentSums {
                captured: if decided.status == PaymentStatus::Posted { decided.amount } else { Amount::ZERO },
                ..PaymentSums::default()
            },
            amount: decided.amount,
            before: 0,
            label: None,
            deadline: decided.deadline,
            moved: vec![0; legs.len()],
            transfers: u16::try_from(legs.len()).unwrap_or(u16::MAX),
            legs,
            changes: 0,
            records: records.into_iter().filter(|record| accepted || !record.if_accepted).collect(),
        };
        self.deadlines.extend(paid.deadline.map(|deadline| (deadline.at, decided.payment)));
        let taken = self.all.insert(decided.payment, paid);
        ensure(taken.is_none(), "SIM-2", || format!("payment {} is decided again", decided.payment))?;
        let idle = accepted || decided.ledger_facts.is_empty();
        ensure(idle, "SIM-4", || format!("payment {} is {:?} and moves", decided.payment, decided.status))
    }

    pub(super) fn change(&mut self, header: &Header, changed: &PaymentChanged) -> Result<(), String> {
        let id = changed.payment;
        let paid = self.all.get_mut(&id).ok_or_else(|| format!("SIM-2: {id} changes and is not there"))?;
        match changed.cause {
            Cause::Verb(verb) => {
                paid.changes += 1;
                let taken = self.verbs.insert((id, header.request), (verb, changed.portion));
                ensure(taken.is_none(), "SIM-2", || format!("request {} moves payment {id} again", header.request))?;
            }
            Cause::Deadline => {
                let passed = paid.deadline.is_some_and(|deadline| deadline.at <= header.decided_at);
                ensure(passed, "SIM-4", || format!("the deadline of payment {id} has not come"))?;
            }
        }
        if let Some(deadline) = paid.deadline {
            self.deadlines.remove(&(deadline.at, id));
        }
        let moved = created(&changed.ledger_facts);
        if let (Some(increment), Portion::Part(amount)) = (&changed.increment, changed.portion)
            && let Some(legs) = &increment.legs
        {
            let active = self.active.as_ref().ok_or("SIM-2: a payment is incremented without a policy")?;
            paid.raise(active.variant, header.decided_at, (amount, legs))?;
        }
        paid.status = changed.status;
        paid.sums = changed.sums.ok_or("SIM-4: a change has no sums")?;
        let PaymentSums { captured, released, refunded } = paid.sums;
        let within = captured.get() + released.get() <= paid.amount.get() && refunded <= captured;
        ensure(within, "SIM-4", || format!("payment {id} of {} has {:?}", paid.amount, paid.sums))?;
        paid.deadline = changed.deadline;
        self.deadlines.extend(paid.deadline.map(|deadline| (deadline.at, id)));
        paid.transfers += u16::try_from(moved.len()).unwrap_or(u16::MAX);
        for held in moved.iter().filter(|transfer| transfer.is_pending()) {
            // The legs of a payment have different codes.
            let leg = paid.legs.iter_mut().find(|leg| leg.code == held.code);
            leg.ok_or_else(|| format!("SIM-4: payment {id} holds money that it did not hold"))?.key = held.key;
        }
        if !comes_to_something(paid.status) {
            paid.records.retain(|record| !record.if_accepted);
        }
        Ok(())
    }

    pub(super) fn label(&mut self, header: &Header, recorded: &LabelRecorded) -> Result<(), String> {
        let paid = self.all.get_mut(&recorded.payment);
        let paid = paid.ok_or_else(|| format!("SIM-2: entry {} labels a payment that is not there", header.seq))?;
        paid.label = Some((recorded.label.clone(), recorded.positive));
        Ok(())
    }

    /// Checks that a reply shows the payment as it is. A payment past its deadline shows its next status at once.
    pub(crate) fn shows(&self, at: Timestamp, told: &PaymentReply) -> Result<(), String> {
        let payment = &told.payment;
        let paid = self.all.get(&payment.id).ok_or_else(|| format!("SIM-3: payment {} is not there", payment.id))?;
        let decided = &paid.decided;
        let next = (payment.status, payment.sums);
        let shown = (next == (paid.status, paid.sums) || next == paid.as_of(at))
            && (payment.seq, payment.content) == (paid.seq, decided.content)
            && (payment.amount, payment.verdict, payment.score) == (paid.amount, decided.verdict, decided.score)
            && payment.label.as_ref().map(|label| (label.name.clone(), label.positive)) == paid.label
            && told.decided.as_ref().is_none_or(|told| told == decided);
        ensure(shown, "SIM-3", || format!("payment {} is {paid:?}", payment.id))
    }

    /// Computes a feature over all known payments and the one that is being decided.
    fn feature(&self, active: &Active, name: &'static str, candidate: &Candidate<'_>, own: &[Record]) -> FeatureValue {
        let spec = policies::feature(name);
        if spec.aggregate == "attribute" {
            return self.attributes.feature(name, candidate.customer, candidate.at);
        }
        let on_clients_clock = matches!(spec.stream, "shops" | "regulars");
        let now = if on_clients_clock { candidate.occurred_at } else { candidate.at };
        let entity = if spec.stream == "shops" { candidate.merchant } else { Some(candidate.customer) };
        let Some(entity) = entity else { return FeatureValue::Missing(MissingReason::AttributeAbsent) };
        let end = now.ns().saturating_sub(spec.delay.ns());
        let start = end.saturating_sub(spec.window.ns());
        if start.saturating_add(1) < active.since.get(spec.stream).copied().unwrap_or_default().ns() {
            return FeatureValue::Missing(MissingReason::WindowTruncated);
        }
        let (mut count, mut sum, mut positives) = (0_u64, 0_i128, 0_u64);
        let (mut merchants, mut largest) = (BTreeSet::new(), None);
        let is_same_pair = |record: &Record| spec.stream != "regulars" || record.merchant == candidate.merchant;
        let inside = |record: &Record| {
            let is_in_time = start < record.at.ns() && record.at.ns() <= end;
            (record.stream, record.entity) == (spec.stream, entity) && is_same_pair(record) && is_in_time
        };
        for paid in self.all.values().filter(|paid| !candidate.again || paid.decided.payment != candidate.new.payment) {
            for record in paid.records.iter().filter(|record| inside(record)) {
                count += 1;
                sum += i128::from(record.value);
                positives += u64::from(paid.label.as_ref().is_some_and(|(_, positive)| *positive));
                merchants.insert(record.merchant);
                largest = largest.max(Some(record.value));
            }
        }
        let is_known = merchants.contains(&candidate.merchant);
        for record in own.iter().filter(|record| spec.delay == Span::ZERO && inside(record)) {
            count += 1;
            sum += i128::from(record.value);
            merchants.insert(record.merchant);
            largest = largest.max(Some(record.value));
        }
        let int = |value: i128| FeatureValue::Int(i64::try_from(value).unwrap_or(i64::MAX));
        #[expect(clippy::cast_precision_loss, reason = "the nearest double is what is meant")]
        let share = |part: i128| FeatureValue::Double(if count == 0 { 0.0 } else { part as f64 / count as f64 });
        match spec.aggregate {
            "count" => int(count.into()),
            "sum" => int(sum),
            "mean" => share(sum),
            "label_count" => int(positives.into()),
            "distinct" => int(i128::try_from(merchants.len()).unwrap_or(i128::MAX)),
            "seen" => FeatureValue::Bool(is_known),
            "max" => largest.map_or(FeatureValue::Missing(MissingReason::TooFewRecords), FeatureValue::Int),
            _ => share(positives.into()),
        }
    }

    /// The decision that the model expects for a payment.
    fn expected(&self, active: &Active, books: &Books, candidate: &Candidate<'_>) -> Expected {
        let new = candidate.new;
        let own = records(
            active.variant,
            candidate.payment_type,
            (candidate.customer, candidate.merchant),
            new.amount,
            (candidate.at, candidate.occurred_at),
        );
        let names = active.variant.features_of(candidate.payment_type);
        let features: Vec<(&'static str, FeatureValue)> =
            names.map(|name| (name, self.feature(active, name, candidate, &own))).collect();
        let mut lists = Vec::new();
        let (verdict, score, reasons) = {
            let (is_blocked, version) = self.lists.blocks(candidate.customer, candidate.at);
            let looks = active.variant.is_second() && candidate.payment_type == "card";
            lists.extend(looks.then_some((0, version)));
            active.variant.judge(candidate.payment_type, new.amount, &features, is_blocked)
        };
        let (status, flags) = match (verdict, candidate.payment_type) {
            (Verdict::Decline, _) => (PaymentStatus::Declined, F::NONE),
            (Verdict::Review, _) => (PaymentStatus::InReview, F::PENDING),
            (Verdict::Approve, "card") => (PaymentStatus::Held, F::PENDING),
            (Verdict::Approve, _) => (PaymentStatus::Posted, F::NONE),
        };
        let (mut status, mut facts, mut refusal) = (status, Vec::new(), None);
        if verdict != Verdict::Decline {
            match legs(books, candidate, flags) {
                Ok(moved) => facts = moved,
                Err(refused) => (status, refusal) = (PaymentStatus::Refused, Some(refused)),
            }
        }
        let deadline = active.variant.deadline(candidate.payment_type, status, candidate.at);
        Expected { features, verdict, score, reasons, status, deadline, facts, refusal, late: candidate.late, lists }
    }
}

fn is_manual(paid: &Paid) -> bool {
    matches!(paid.decided.capture, CaptureTerms::Manual { .. })
}

fn created(facts: &[Moved]) -> Vec<Transfer> {
    let transfer = |fact: &Moved| if let Moved::TransferCreated(transfer) = fact { Some(*transfer) } else { None };
    facts.iter().filter_map(transfer).collect()
}

/// The records that a payment adds to streams if it is accepted.
fn records(
    variant: &Variant,
    payment_type: &str,
    (customer, merchant): (Token, Option<Token>),
    amount: Amount,
    (decided_at, occurred_at): (Timestamp, Timestamp),
) -> Vec<Record> {
    let value = i64::try_from(amount.get()).unwrap_or(i64::MAX);
    let by = |stream, entity, at, if_accepted| Record { stream, entity, merchant, at, value, if_accepted };
    let mut records = vec![by("tries", customer, decided_at, false)];
    if payment_type == "card" {
        records.push(by("cards", customer, decided_at, true));
        records.extend(merchant.map(|merchant| by("shops", merchant, occurred_at, false)));
        records.push(by("visits", customer, decided_at, true));
        records.push(by("regulars", customer, occurred_at, false));
        if variant.is_second() && value < 300 {
            records.push(by("small", customer, decided_at, false));
        }
    }
    records
}

/// The transfers of a payment, with the accounts they open, or the leg that is refused and the reason.
fn legs(books: &Books, candidate: &Candidate<'_>, flags: F) -> Result<Vec<Moved>, (u16, &'static str)> {
    let amount = candidate.new.amount.get();
    let wanted: &[(u16, &str, &str, u128, u16)] = match candidate.payment_type {
        "card" => &[(0, "wallet", "shop", amount, 2), (1, "shop", "bank", amount / 10, 3)],
        _ => &[(0, "bank", "wallet", amount, 4)],
    };
    let (mut books, mut facts, mut now, mut number) = (books.overlay(std::iter::empty()), Vec::new(), candidate.at, 0);
    for &(leg, debit, credit, amount, code) in wanted.iter().filter(|(_, _, _, amount, _)| *amount > 0) {
        let mut ids = [AccountId::default(); 2];
        for (template, id) in [debit, credit].into_iter().zip(&mut ids) {
            let account = policies::account(template, candidate.customer);
            *id = account.id;
            if books.account(account.id).is_none() {
                let opened = Moved::AccountOpened(ledger::Account::open(&account, now));
                books.apply(now, &opened).expect("a new account opens");
                facts.push(opened);
                now = now.saturating_add(Span::from_ns(1));
            }
        }
        let mut new = NewTransfer {
            debit: ids[0],
            credit: ids[1],
            amount: Amount::new(amount),
            ledger: LedgerId::new(978),
            code: Code::new(code),
            flags,
            ..NewTransfer::named(TransferKey::Leg { payment: candidate.new.payment, number })
        };
        number += 1;
        match books.judge(&mut new, Moment { now: now.ns(), is_import: false, last: now.ns(), is_approved: false }) {
            "created" => {
                let created = Moved::TransferCreated(made(&new, now));
                books.apply(now, &created).expect("what was judged can be folded");
                facts.push(created);
                now = now.saturating_add(Span::from_ns(1));
            }
            status => return Err((leg, status)),
        }
    }
    Ok(facts)
}

/// The status and the sums of a payment after a change.
type Next = (PaymentStatus, PaymentSums);

impl Paid {
    /// What a verb makes of the payment, or the reason why it is refused.
    fn next(&self, verb: Verb, portion: Portion) -> Result<Next, &'static str> {
        let (status, sums, total) = (self.status, self.sums, self.amount.get());
        let [captured, released, refunded] = [sums.captured, sums.released, sums.refunded].map(Amount::get);
        let held = total - captured - released;
        let of = |left: u128, refusal| match portion {
            Portion::All => Ok(left),
            Portion::Part(amount) | Portion::Last(amount) if amount.get() > left => Err(refusal),
            Portion::Part(amount) | Portion::Last(amount) => Ok(amount.get()),
        };
        Ok(match (status, verb) {
            (PaymentStatus::InReview, Verb::Approve) if is_manual(self) => (PaymentStatus::Held, sums),
            (PaymentStatus::InReview, Verb::Approve) => {
                (PaymentStatus::Posted, PaymentSums { captured: Amount::new(total - released), ..sums })
            }
            (PaymentStatus::InReview, Verb::Decline) => self.given_up(PaymentStatus::Declined),
            (PaymentStatus::Held, Verb::Capture) => {
                let amount = of(held, "amount_exceeds_held")?;
                let is_last = amount == held || matches!(portion, Portion::Last(_));
                let captured = captured + amount;
                let released = if is_last { total - captured } else { released };
                let [captured, released] = [captured, released].map(Amount::new);
                let status = if is_last { PaymentStatus::Posted } else { status };
                (status, PaymentSums { captured, released, ..sums })
            }
            (PaymentStatus::InReview | PaymentStatus::Held, Verb::Void) => match of(held, "amount_exceeds_held")? {
                amount if amount == held => self.given_up(PaymentStatus::Voided),
                amount => (status, PaymentSums { released: Amount::new(released + amount), ..sums }),
            },
            (PaymentStatus::Posted, Verb::Refund) => {
                let refunded = refunded + of(captured - refunded, "amount_exceeds_captured")?;
                let status = if refunded == captured { PaymentStatus::Refunded } else { status };
                (status, PaymentSums { refunded: Amount::new(refunded), ..sums })
            }
            _ => return Err("payment_status_conflict"),
        })
    }

    /// What the payment is when what is held is released.
    fn given_up(&self, status: PaymentStatus) -> Next {
        let captured = self.sums.captured;
        let status = if captured == Amount::ZERO { status } else { PaymentStatus::Posted };
        (status, PaymentSums { released: Amount::new(self.amount.get() - captured.get()), ..self.sums })
    }

    /// The payment at an instant. A payment past its deadline has already moved to its next status.
    fn as_of(&self, at: Timestamp) -> Next {
        let now = (self.status, self.sums);
        match self.deadline.filter(|deadline| deadline.at <= at) {
            None => now,
            Some(Deadline { then: AtDeadline::Expire, .. }) => self.given_up(PaymentStatus::Expired),
            Some(_) if self.status == PaymentStatus::InReview => self.next(Verb::Approve, Portion::All).unwrap_or(now),
            Some(_) => self.next(Verb::Capture, Portion::All).unwrap_or(now),
        }
    }

    /// What a leg has captured, held and refunded: its shares of the sums, rounded half up. What moved before the hold was last
    /// raised stays, and the rest of the leg is for the rest of the payment.
    fn shares(&self, leg: &Transfer, moved: u128, sums: PaymentSums) -> [u128; 3] {
        let (total, leg) = (self.amount.get(), leg.amount.get());
        let share = |leg: u128, part: u128, whole: u128| (2 * leg * part + whole) / (2 * whole);
        let of = |part: u128| moved + share(leg - moved, part - self.before, total - self.before);
        let captured = of(sums.captured.get());
        // After an increment, what goes back is a share of what the leg captured.
        let refunded = match (sums.refunded == sums.captured, self.before) {
            (true, _) => captured,
            (false, 0) => share(leg, sums.refunded.get(), total).min(captured),
            (false, _) => share(captured, sums.refunded.get(), sums.captured.get()),
        };
        [captured, of(total - sums.released.get()) - captured, refunded]
    }

    /// The transfers that a change makes, or the reason why it is refused.
    fn moves(&self, books: &Books, id: PaymentId, next: &Next, at: Timestamp) -> Result<Vec<Moved>, &'static str> {
        let (mut forth, mut back) = (Vec::new(), Vec::new());
        for (leg, moved) in self.legs.iter().zip(&self.moved) {
            let of_leg = |amount| NewTransfer {
                debit: leg.debit,
                credit: leg.credit,
                amount: Amount::new(amount),
                ledger: leg.ledger,
                code: leg.code,
                ..NewTransfer::named(leg.key)
            };
            let resolving = |flags, amount| NewTransfer {
                pending: Some(leg.key),
                flags,
                amount: Amount::new(amount),
                ..NewTransfer::named(leg.key)
            };
            let ([captured, held, refunded], now) =
                (self.shares(leg, *moved, next.1), self.shares(leg, *moved, self.sums));
            if captured > now[0] {
                forth.push(resolving(F::POST_PENDING_TRANSFER, captured - now[0]));
            } else if held < now[1] {
                forth.push(resolving(F::VOID_PENDING_TRANSFER, 0));
            }
            if 0 < held && held < now[1] {
                forth.push(NewTransfer { flags: F::PENDING, ..of_leg(held) });
            }
            if refunded > now[2] {
                back.push(NewTransfer { debit: leg.credit, credit: leg.debit, ..of_leg(refunded - now[2]) });
            }
        }
        let (mut books, mut facts, mut now) = (books.overlay(self.legs.iter().map(|leg| leg.key)), Vec::new(), at);
        for (number, new) in (self.transfers..).zip(forth.into_iter().chain(back.into_iter().rev())) {
            let mut new = NewTransfer { key: TransferKey::Leg { payment: id, number }, ..new };
            match books.judge(&mut new, Moment { now: now.ns(), is_import: false, last: now.ns(), is_approved: false })
            {
                "created" => {
                    let created = Moved::TransferCreated(made(&new, now));
                    books.apply(now, &created).expect("what was judged can be folded");
                    facts.push(created);
                    now = now.saturating_add(Span::from_ns(1));
                }
                status => return Err(status),
            }
        }
        Ok(facts)
    }
}

impl Paid {
    /// The customer of the payment, and its merchant if it has one.
    pub(crate) fn entities(&self) -> Option<(Token, Option<Token>)> {
        let of = |stream: &str| self.records.iter().find(|record| record.stream == stream).map(|record| record.entity);
        Some((of("tries")?, of("shops")))
    }
}
