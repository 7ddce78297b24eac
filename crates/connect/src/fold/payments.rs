//! The fold of payments.

use std::sync::Arc;

use engine::{Cause, Entry, Fact, PaymentChanged, PaymentSums, Portion};
use journal::EntryInContext;
use ledger::MetadataOf;
use types::{Amount, PaymentId, Seq};

use super::Map;
use crate::documents::{Documents, parse};
use crate::filter::Filter;
use crate::rows::{ChangeRow, LabelRow, PaymentNow, PaymentRow, Rows};
use crate::target::{Fault, Wanted};

/// The payments that a batch decides or changes.
#[derive(Debug, Default)]
pub(super) struct Payments {
    /// The amounts of those payments of earlier batches whose amount matters, each with the last entry that the row includes.
    amounts: Map<PaymentId, (Amount, Seq)>,
    /// The places in the rows of those that the batch decides.
    decided: Map<PaymentId, usize>,
    /// Those of earlier batches that the batch changes, and their places in `changed`.
    places: Map<PaymentId, usize>,
    changed: Vec<(PaymentId, PaymentNow)>,
    /// Whether changes of payments are left out.
    is_only_new: bool,
    filter: Arc<Filter>,
    /// The payments that the target keeps, of those that the entries are about; only with a filter.
    kept: Map<PaymentId, ()>,
}

impl Payments {
    /// Reads the amounts that the entries need.
    pub(super) fn load(
        entries: &[&EntryInContext],
        filter: &Arc<Filter>,
        load: &mut dyn FnMut(&Wanted) -> Result<Documents, Fault>,
    ) -> Result<Self, Fault> {
        let is_partial = !filter.keeps_all();
        let mut wanted = Wanted::default();
        let mut payments = Self { filter: Arc::clone(filter), ..Self::default() };
        let mut known = Map::<PaymentId, ()>::default();
        for item in entries {
            if let Fact::PaymentDecided(decided) = &item.entry.fact {
                known.insert(decided.payment, ());
                if is_partial && filter.keeps_payment(decided) {
                    payments.kept.insert(decided.payment, ());
                }
            }
            // With a filter, only the target knows whether a payment is kept.
            let wants = match changed_by(&item.entry.fact) {
                Some(changed) if is_partial || needs_amount(changed) => Some(changed.payment),
                None if is_partial => named_by(&item.entry.fact),
                Some(_) | None => None,
            };
            if let Some(payment) = wants
                && known.insert(payment, ()).is_none()
            {
                wanted.payments.push(payment);
            }
        }
        if !wanted.is_empty() {
            for document in load(&wanted)?.payments {
                let (id, amount) = (parse("id", &document.id)?, parse("amount", &document.amount)?);
                let included = document.amount_sequence.unwrap_or(document.changed_sequence);
                payments.amounts.insert(id, (amount, Seq::new(included)));
                if is_partial {
                    payments.kept.insert(id, ());
                }
            }
        }
        Ok(payments)
    }

    /// Leaves out all changes of payments.
    pub(super) fn only_new(filter: &Arc<Filter>) -> Self {
        Self { is_only_new: true, filter: Arc::clone(filter), ..Self::default() }
    }

    /// Whether the target keeps a payment that the entries are about.
    pub(super) fn has(&self, payment: PaymentId) -> bool {
        self.filter.keeps_all() || self.kept.contains_key(&payment)
    }

    pub(super) fn fold(&mut self, item: &EntryInContext, rows: &mut Rows) -> Result<(), Fault> {
        let entry = &item.entry;
        match &entry.fact {
            Fact::PaymentDecided(decided) if !self.filter.keeps_payment(decided) => {}
            Fact::PaymentDecided(decided) => {
                let policy = item.context.policy.clone();
                let missing = || Fault::Contradicts(format!("the policy of entry {} is missing", entry.header.seq));
                let now = PaymentNow {
                    status: Some(decided.status),
                    amount: Some(decided.amount),
                    sums: Some(PaymentSums::at_decision(decided.amount, decided.status)),
                    deadline: Some(decided.deadline),
                    label: None,
                    sequence: entry.header.seq,
                };
                self.decided.insert(decided.payment, rows.payments.len());
                rows.payments.push(PaymentRow {
                    header: entry.header,
                    decided: decided.clone(),
                    policy: policy.ok_or_else(missing)?,
                    now,
                    without: self.filter.without,
                });
            }
            Fact::PaymentChanged(_) | Fact::LabelRecorded(_) if self.is_only_new => {}
            Fact::PaymentChanged(changed) if !self.has(changed.payment) => {}
            Fact::LabelRecorded(recorded) if !self.has(recorded.payment) => {}
            Fact::PaymentChanged(changed) => self.change(entry, changed, rows)?,
            Fact::LabelRecorded(recorded) => {
                let header = entry.header;
                self.now(recorded.payment, header.seq, rows).label = Some((recorded.label.clone(), recorded.positive));
                rows.labels.push(LabelRow {
                    sequence: header.seq,
                    payment: recorded.payment,
                    label: recorded.label.clone(),
                    positive: recorded.positive,
                    at: header.decided_at,
                    actor: header.actor.get(),
                });
            }
            Fact::JournalStarted { .. }
            | Fact::JournalContinued { .. }
            | Fact::Ledger(_)
            | Fact::ArtifactStored(_)
            | Fact::PolicyActivated(_)
            | Fact::Identity(_)
            | Fact::Approval(_)
            | Fact::Setting(_)
            | Fact::List(_)
            | Fact::EntityAttributes(_)
            | Fact::PersonalDataRead(_)
            | Fact::KeyUsed(_)
            | Fact::StateDigest(_) => {}
        }
        Ok(())
    }

    fn change(&mut self, entry: &Entry, changed: &PaymentChanged, rows: &mut Rows) -> Result<(), Fault> {
        let (header, payment) = (entry.header, changed.payment);
        let amount = if needs_amount(changed) { Some(self.amount(entry, changed, rows)?) } else { None };
        let sums = match (changed.sums, amount) {
            (Some(sums), _) => sums,
            // Entries of releases that only changed whole payments.
            (None, amount) => PaymentSums::of_whole(amount.unwrap_or(Amount::ZERO), changed.status),
        };
        let now = self.now(payment, header.seq, rows);
        now.status = Some(changed.status);
        now.sums = Some(sums);
        now.deadline = Some(changed.deadline);
        if amount.is_some() {
            now.amount = amount;
        }
        let (cause, actor) = match changed.cause {
            Cause::Verb(verb) => (verb.name(), header.actor.get()),
            Cause::Deadline => ("deadline", 0),
        };
        let (sequence, at, status) = (header.seq, header.decided_at, changed.status);
        rows.changes.push(ChangeRow { sequence, payment, cause, status, sums, at, actor });
        Ok(())
    }

    /// The amount of a payment after a change.
    fn amount(&mut self, entry: &Entry, changed: &PaymentChanged, rows: &Rows) -> Result<Amount, Fault> {
        let (seq, payment) = (entry.header.seq, changed.payment);
        let in_batch = self.decided.get(&payment).and_then(|place| rows.payments.get(*place)?.now.amount);
        let (before, included) = match in_batch {
            Some(amount) => (amount, Seq::ZERO),
            None => *self.amounts.get(&payment).ok_or_else(|| {
                Fault::Contradicts(format!("entry {seq} changes the payment {payment}, which is missing"))
            })?,
        };
        if seq <= included {
            return Ok(before);
        }
        let after = match raised_by(changed) {
            None => Some(before),
            Some(more) => before.checked_add(more),
        };
        let after = after.ok_or_else(|| {
            Fault::Contradicts(format!("the amount of the payment {payment} cannot be the one before entry {seq}"))
        })?;
        if in_batch.is_none() {
            self.amounts.insert(payment, (after, included));
        }
        Ok(after)
    }

    /// What is known of a payment, to be changed.
    fn now<'r>(&'r mut self, payment: PaymentId, sequence: Seq, rows: &'r mut Rows) -> &'r mut PaymentNow {
        let now = match self.decided.get(&payment) {
            Some(place) => &mut rows.payments[*place].now,
            None => {
                let place = *self.places.entry(payment).or_insert_with(|| {
                    let unchanged =
                        PaymentNow { status: None, amount: None, sums: None, deadline: None, label: None, sequence };
                    self.changed.push((payment, unchanged));
                    self.changed.len() - 1
                });
                &mut self.changed[place].1
            }
        };
        now.sequence = sequence;
        now
    }

    pub(super) fn end(self, rows: &mut Rows) {
        rows.payments_changed = self.changed;
    }
}

/// The payment that a label or metadata is about.
fn named_by(fact: &Fact) -> Option<PaymentId> {
    if let Fact::LabelRecorded(recorded) = fact {
        return Some(recorded.payment);
    }
    fact.ledger_facts().iter().find_map(|fact| {
        if let ledger::Fact::MetadataSet { of: MetadataOf::Payment(payment), .. } = fact {
            Some(*payment)
        } else {
            None
        }
    })
}

fn changed_by(fact: &Fact) -> Option<&PaymentChanged> {
    if let Fact::PaymentChanged(changed) = fact { Some(changed) } else { None }
}

/// Whether the amount of the payment is needed to say what a change made of it.
fn needs_amount(changed: &PaymentChanged) -> bool {
    changed.sums.is_none() || raised_by(changed).is_some()
}

/// By how much a change raised the amount of the payment.
pub(crate) fn raised_by(changed: &PaymentChanged) -> Option<Amount> {
    let raised = changed.increment.as_ref().is_some_and(|increment| increment.legs.is_some());
    match changed.portion {
        Portion::Part(amount) if raised => Some(amount),
        Portion::All | Portion::Part(_) | Portion::Last(_) => None,
    }
}
