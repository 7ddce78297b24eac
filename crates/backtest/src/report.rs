//! What a backtest found.

use std::collections::BTreeMap;

use engine::{Header, NotDecided, PaymentDecided, PaymentStatus, PlainValue};
use policy::{Evaluation, Reason, Verdict};
use types::{Asset, Digest, LedgerId, Name, PaymentId, Seq, Timestamp};

use crate::Wanted;

/// The most payments that a report keeps one by one. The numbers count all.
pub const PAYMENTS_KEPT_MAX: usize = 50_000;
/// Most reasons of these payments together: no more are listed once there are so many.
const REASONS_KEPT_MAX: usize = 500_000;
/// The most values of an attribute by which payments are counted. Payments with further values are counted together.
pub const SEGMENT_VALUES_MAX: usize = 100;

const DAY_NS: u64 = 86_400_000_000_000;

/// A number of payments and their total amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sum {
    pub payments: u64,
    /// In minor units.
    pub amount: u128,
}

impl Sum {
    fn add(&mut self, decided: &PaymentDecided) {
        self.payments = self.payments.saturating_add(1);
        self.amount = self.amount.saturating_add(decided.amount.get());
    }
}

/// The verdict that was given, and the one that the other policy gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Transition {
    pub before: Verdict,
    pub after: Verdict,
}

impl Transition {
    /// All transitions, in order.
    pub fn all() -> impl Iterator<Item = Self> {
        Verdict::ALL.into_iter().flat_map(|before| Verdict::ALL.map(|after| Self { before, after }))
    }

    /// The stable name, such as `approve_to_decline`.
    pub fn name(self) -> String {
        format!("{}_to_{}", self.before.name(), self.after.name())
    }

    pub fn is_change(self) -> bool {
        self.before != self.after
    }
}

/// A number before and after.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Change {
    pub before: u64,
    pub after: u64,
}

impl Change {
    fn add(&mut self, before: bool, after: bool) {
        self.before = self.before.saturating_add(u64::from(before));
        self.after = self.after.saturating_add(u64::from(after));
    }
}

/// How often each verdict was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Verdicts {
    pub approve: Change,
    pub review: Change,
    pub decline: Change,
}

impl Verdicts {
    fn add(&mut self, Transition { before, after }: Transition) {
        for (count, verdict) in [
            (&mut self.approve, Verdict::Approve),
            (&mut self.review, Verdict::Review),
            (&mut self.decline, Verdict::Decline),
        ] {
            count.add(before == verdict, after == verdict);
        }
    }
}

/// The payments of a day (UTC), and the alerts: those that were reviewed or declined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Day {
    pub payments: u64,
    pub alerts: Change,
}

/// How often a reason or a tag applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Fired {
    pub payments: Change,
    /// Payments for which it applied only then, and only now.
    pub only: Change,
    /// Payments for which it applied, and which turned out to be fraud.
    pub fraud: Change,
    /// The same for those that turned out to be legitimate.
    pub legitimate: Change,
}

impl Fired {
    fn add(&mut self, before: bool, after: bool, label: Option<bool>) {
        self.payments.add(before, after);
        self.only.add(before && !after, after && !before);
        match label {
            Some(true) => self.fraud.add(before, after),
            Some(false) => self.legitimate.add(before, after),
            None => {}
        }
    }
}

/// The payments of one type, or with one value of an attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Segment {
    pub payments: u64,
    pub verdicts: Verdicts,
    /// How many have another verdict.
    pub changed: u64,
    /// Payments that turned out to be fraud.
    pub fraud: u64,
    /// Those of them that were reviewed or declined.
    pub fraud_caught: Change,
}

impl Segment {
    fn add(&mut self, transition: Transition, label: Option<bool>) {
        self.payments = self.payments.saturating_add(1);
        self.verdicts.add(transition);
        self.changed = self.changed.saturating_add(u64::from(transition.is_change()));
        if label == Some(true) {
            self.fraud = self.fraud.saturating_add(1);
            self.fraud_caught.add(is_alert(transition.before), is_alert(transition.after));
        }
    }
}

/// Labelled payments in one asset: whether they were caught, which means reviewed or declined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Caught {
    /// Payments that turned out to be fraud.
    pub fraud: Sum,
    pub fraud_caught_before: Sum,
    pub fraud_caught_after: Sum,
    /// Fraud that only the other policy catches.
    pub fraud_gained: Sum,
    /// Fraud that the other policy lets pass, and that was caught.
    pub fraud_lost: Sum,
    /// Payments that turned out to be legitimate.
    pub legitimate: Sum,
    pub legitimate_stopped_before: Sum,
    pub legitimate_stopped_after: Sum,
}

impl Caught {
    fn add(&mut self, decided: &PaymentDecided, transition: Transition, is_fraud: bool) {
        let (before, after) = (is_alert(transition.before), is_alert(transition.after));
        let sums: [(&mut Sum, bool); 5] = if is_fraud {
            [
                (&mut self.fraud, true),
                (&mut self.fraud_caught_before, before),
                (&mut self.fraud_caught_after, after),
                (&mut self.fraud_gained, after && !before),
                (&mut self.fraud_lost, before && !after),
            ]
        } else {
            let unused = (&mut self.fraud_gained, false);
            let none = (&mut self.fraud_lost, false);
            [
                (&mut self.legitimate, true),
                (&mut self.legitimate_stopped_before, before),
                (&mut self.legitimate_stopped_after, after),
                unused,
                none,
            ]
        };
        sums.into_iter().filter(|(_, counts)| *counts).for_each(|(sum, _)| sum.add(decided));
    }
}

/// A payment that the other policy decides differently, or for another reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaymentChange {
    pub payment: PaymentId,
    /// The entry that decided it.
    pub seq: Seq,
    pub decided_at: Timestamp,
    pub payment_type: Name,
    pub amount: u128,
    pub asset: Option<Asset>,
    pub transition: Transition,
    pub score: (u16, u16),
    /// Whether it turned out to be fraud, if that is known.
    pub fraud: Option<bool>,
    /// The reasons that only the decision then has.
    pub reasons_before: Box<[Name]>,
    /// The reasons that only the other policy gives.
    pub reasons_after: Box<[Name]>,
    /// Those that both give.
    pub reasons_both: Box<[Name]>,
}

/// A decision that was made.
pub(crate) struct Decision<'e> {
    pub(crate) header: &'e Header,
    pub(crate) decided: &'e PaymentDecided,
    /// Whether the payment turned out to be fraud, if that is known.
    pub(crate) label: Option<bool>,
}

/// What a backtest found.
#[derive(Debug, Clone)]
pub struct Report {
    /// The name and the digest of the policy.
    pub policy: (Name, Digest),
    pub from: Option<Timestamp>,
    pub until: Option<Timestamp>,
    /// The last entry of the journal when the backtest began.
    pub last: Seq,
    /// The times of the first and the last payment that was compared.
    pub times: Option<(Timestamp, Timestamp)>,
    /// How many payments were compared.
    pub payments: u64,
    /// How many were not, and why.
    pub not_decided: BTreeMap<NotDecided, u64>,
    /// Compared payments by their verdicts and their asset.
    pub transitions: BTreeMap<(Transition, Option<Asset>), Sum>,
    /// How many payments have another verdict.
    pub changed: u64,
    /// How many have the same verdict, for other reasons.
    pub other_reasons: u64,
    /// How many have the same verdict for the same reasons, and another score or other tags.
    pub other_scores: u64,
    pub alerts: Change,
    /// By days since 1970.
    pub days: BTreeMap<u64, Day>,
    pub reasons: BTreeMap<Name, Fired>,
    pub tags: BTreeMap<String, Fired>,
    pub types: BTreeMap<Name, Segment>,
    /// The attribute of [`Wanted::segment`], and the payments by its values. `None` are those without a value.
    pub segments: Option<(Name, BTreeMap<Option<String>, Segment>)>,
    /// Payments with further values than [`SEGMENT_VALUES_MAX`].
    pub other_segments: Segment,
    /// Labelled payments, by asset.
    pub caught: BTreeMap<Option<Asset>, Caught>,
    /// Payments that the policy did not decline then, and that the ledger refused.
    pub refused: u64,
    /// Payments before `from` that lack attributes which the policy reads, so that features may miss them.
    pub gaps: u64,
    /// Window records that were dropped because of the limits of their streams.
    pub records_dropped: u64,
    /// The payments with another verdict or other reasons, in order of their decisions, at most [`PAYMENTS_KEPT_MAX`], and fewer if they have many reasons.
    pub kept: Vec<PaymentChange>,
    /// The number of reasons of the kept payments.
    kept_reasons: usize,
    /// The last entry that was read.
    pub read_until: Timestamp,
    assets: BTreeMap<LedgerId, Asset>,
}

impl Report {
    pub(crate) fn new(wanted: &Wanted, last: Seq, assets: BTreeMap<LedgerId, Asset>) -> Self {
        Self {
            policy: (wanted.policy.name().clone(), wanted.policy.digest()),
            from: wanted.from,
            until: wanted.until,
            last,
            times: None,
            payments: 0,
            not_decided: BTreeMap::new(),
            transitions: BTreeMap::new(),
            changed: 0,
            other_reasons: 0,
            other_scores: 0,
            alerts: Change::default(),
            days: BTreeMap::new(),
            reasons: wanted
                .policy
                .rules()
                .iter()
                .filter(|rule| !is_tag(rule))
                .map(|rule| (rule.name.clone(), Fired::default()))
                .collect(),
            tags: BTreeMap::new(),
            types: BTreeMap::new(),
            segments: wanted.segment.clone().map(|name| (name, BTreeMap::new())),
            other_segments: Segment::default(),
            caught: BTreeMap::new(),
            refused: 0,
            gaps: 0,
            records_dropped: 0,
            kept: Vec::new(),
            kept_reasons: 0,
            read_until: Timestamp::ZERO,
            assets,
        }
    }

    /// How many payments have another verdict or other reasons.
    pub const fn differing(&self) -> u64 {
        self.changed.saturating_add(self.other_reasons)
    }

    pub(crate) fn note_time(&mut self, at: Timestamp) {
        self.read_until = at;
    }

    pub(crate) const fn note_gap(&mut self) {
        self.gaps = self.gaps.saturating_add(1);
    }

    pub(crate) const fn finish(&mut self, records_dropped: u64) {
        self.records_dropped = records_dropped;
    }

    /// Adds a payment.
    pub(crate) fn add(&mut self, then: &Decision<'_>, now: Result<Evaluation, NotDecided>) {
        let now = match now {
            Ok(now) => now,
            Err(why) => {
                let count = self.not_decided.entry(why).or_default();
                *count = count.saturating_add(1);
                return;
            }
        };
        let Decision { header, decided, label } = *then;
        let transition = Transition { before: decided.verdict, after: now.verdict };
        let asset = self.assets.get(&decided.ledger).copied();
        self.payments = self.payments.saturating_add(1);
        let at = header.decided_at;
        self.times = Some((self.times.map_or(at, |(first, _)| first), at));
        self.transitions.entry((transition, asset)).or_default().add(decided);
        let alerts = (is_alert(transition.before), is_alert(transition.after));
        self.alerts.add(alerts.0, alerts.1);
        let day = self.days.entry(at.ns().div_euclid(DAY_NS)).or_default();
        day.payments = day.payments.saturating_add(1);
        day.alerts.add(alerts.0, alerts.1);
        if decided.status == PaymentStatus::Refused {
            self.refused = self.refused.saturating_add(1);
        }
        if let Some(is_fraud) = label {
            self.caught.entry(asset).or_default().add(decided, transition, is_fraud);
        }
        entry_of(&mut self.types, &decided.payment_type).add(transition, label);
        self.add_to_segment(decided, transition, label);
        self.add_reasons(&decided.reasons, &now.reasons, label);
        let tags_differ = self.add_tags(&decided.tags, &now.tags, label);

        let (only_before, both) = parted(&decided.reasons, &now.reasons);
        let (only_after, _) = parted(&now.reasons, &decided.reasons);
        let has_other_reasons = !only_before.is_empty() || !only_after.is_empty();
        if transition.is_change() {
            self.changed = self.changed.saturating_add(1);
        } else if has_other_reasons {
            self.other_reasons = self.other_reasons.saturating_add(1);
        } else if tags_differ || decided.score != now.score.get() {
            self.other_scores = self.other_scores.saturating_add(1);
        }
        if (transition.is_change() || has_other_reasons)
            && self.kept.len() < PAYMENTS_KEPT_MAX
            && self.kept_reasons < REASONS_KEPT_MAX
        {
            let reasons = [&only_before, &only_after, &both].iter().map(|codes| codes.len()).sum();
            self.kept_reasons = self.kept_reasons.saturating_add(reasons);
            self.kept.push(PaymentChange {
                payment: decided.payment,
                seq: header.seq,
                decided_at: at,
                payment_type: decided.payment_type.clone(),
                amount: decided.amount.get(),
                asset,
                transition,
                score: (decided.score, now.score.get()),
                fraud: label,
                reasons_before: only_before,
                reasons_after: only_after,
                reasons_both: both,
            });
        }
    }

    fn add_to_segment(&mut self, decided: &PaymentDecided, transition: Transition, label: Option<bool>) {
        let Some((name, segments)) = &mut self.segments else { return };
        let value = decided.attributes.iter().find(|(attribute, _)| attribute == name).map(|(_, value)| shown(value));
        let is_full = segments.len() >= SEGMENT_VALUES_MAX && !segments.contains_key(&value);
        let segment = if is_full { &mut self.other_segments } else { segments.entry(value).or_default() };
        segment.add(transition, label);
    }

    fn add_reasons(&mut self, before: &[Reason], after: &[Reason], label: Option<bool>) {
        for reason in before {
            let is_in_both = has(after, &reason.code);
            entry_of(&mut self.reasons, &reason.code).add(true, is_in_both, label);
        }
        for reason in after.iter().filter(|reason| !has(before, &reason.code)) {
            entry_of(&mut self.reasons, &reason.code).add(false, true, label);
        }
    }

    /// Returns whether the tags differ.
    fn add_tags(&mut self, before: &[String], after: &[String], label: Option<bool>) -> bool {
        let mut differ = false;
        for tag in before {
            let is_in_both = after.contains(tag);
            differ |= !is_in_both;
            self.tags.entry(tag.clone()).or_default().add(true, is_in_both, label);
        }
        for tag in after.iter().filter(|tag| !before.contains(tag)) {
            differ = true;
            self.tags.entry(tag.clone()).or_default().add(false, true, label);
        }
        differ
    }
}

/// Whether a verdict makes work for somebody, or stops a payment.
fn is_alert(verdict: Verdict) -> bool {
    verdict != Verdict::Approve
}

const fn is_tag(rule: &policy::Rule) -> bool {
    matches!(rule.then, policy::RuleEffect::Tag(_))
}

fn has(reasons: &[Reason], code: &Name) -> bool {
    reasons.iter().any(|reason| reason.code == *code)
}

/// The codes of `reasons` that `others` do not have, and those that they have.
fn parted(reasons: &[Reason], others: &[Reason]) -> (Box<[Name]>, Box<[Name]>) {
    let codes = |wanted: bool| {
        reasons.iter().filter(|reason| has(others, &reason.code) == wanted).map(|reason| reason.code.clone()).collect()
    };
    (codes(false), codes(true))
}

fn entry_of<'m, V: Default>(map: &'m mut BTreeMap<Name, V>, name: &Name) -> &'m mut V {
    if !map.contains_key(name) {
        map.insert(name.clone(), V::default());
    }
    map.get_mut(name).expect("it was just added")
}

/// A value as people read it.
fn shown(value: &PlainValue) -> String {
    match value {
        PlainValue::Text(text) => text.to_string(),
        PlainValue::Int(value) => value.to_string(),
        PlainValue::Double(value) => value.to_string(),
        PlainValue::Bool(value) => value.to_string(),
        PlainValue::Time(at) => at.to_string(),
        PlainValue::Entity(token) => token.to_string(),
        PlainValue::Account(id) => id.to_string(),
    }
}
