//! Lists of payments. The index finds candidates by their terms; each is read from its entries and checked.

use api::{EntityTotals, PaymentFilter};
use edge::PaymentsWanted;
use engine::{Page, PastPayment, Payment, PlainValue};
use index::{Candidate, PaymentsFound, Term};
use journal::Position;
use types::{Amount, Seq, Span, Timestamp, Token};

use super::{PastError, PastReader};

/// Most payments that are read for one page, so that a filter with few matches cannot run without end.
const EXAMINED_MAX: usize = 2_000;
/// Most looks into lists of the index for one page.
const STEPS_MAX: usize = 20_000;

impl PastReader<'_> {
    /// A page of payments as they are at `at`. A page that is not full may still have a place to continue from.
    ///
    /// # Errors
    /// If a read fails, or if the first page would be empty although there may be matches: the filter would scan.
    pub fn payments(&mut self, wanted: &PaymentsWanted, at: Timestamp) -> Result<Page<Payment, Seq>, PastError> {
        let PaymentsWanted { filter, entities, after, limit } = wanted;
        let mut search = index::PaymentsWanted {
            conditions: conditions(filter, entities),
            open: filter.status.is_some_and(engine::PaymentStatus::is_open),
            within: self.decided_within(filter)?,
            reversed: filter.reversed,
        };
        if let Some(after) = after {
            let (first, last) = &mut search.within;
            if filter.reversed {
                let Some(before) = after.get().checked_sub(1) else {
                    return Ok(Page { items: Vec::new(), next: None });
                };
                *last = (*last).min(Seq::new(before));
            } else {
                *first = (*first).max(after.next());
            }
        }
        let mut found = self.index.find_payments(&search);
        let (mut items, mut examined, mut steps) = (Vec::new(), 0_usize, STEPS_MAX);
        // The last payment that is on this page or examined.
        let mut last = *after;
        let next = loop {
            match found.next(&mut steps)? {
                Candidate::End => return Ok(Page { items, next: None }),
                Candidate::At(..) if items.len() >= *limit || examined >= EXAMINED_MAX => break last,
                Candidate::Tired(seq) => break Some(if filter.reversed { seq.next() } else { before(seq) }),
                Candidate::At(seq, position) => {
                    examined += 1;
                    last = Some(seq);
                    let Some(PastPayment { payment, decided, metadata, .. }) =
                        self.payment_of(&found, position, entities)?
                    else {
                        continue;
                    };
                    let payment = payment.as_of(at);
                    if filter.fits(&payment, &decided, &metadata) {
                        items.push(payment);
                    }
                }
            }
        };
        if items.is_empty() && after.is_none() {
            return Err(PastError::WouldScan {
                names: filter.names(),
                examined,
                steps: STEPS_MAX.saturating_sub(steps),
            });
        }
        Ok(Page { items, next })
    }

    /// Counts the payments of an entity, as they are at `at`: all of them, or the newest.
    ///
    /// # Errors
    /// If a read fails.
    pub fn entity(&mut self, entity: Token, limit: usize, at: Timestamp) -> Result<EntityTotals, PastError> {
        let mut totals = EntityTotals::default();
        let mut search = index::PaymentsWanted {
            conditions: vec![vec![Term::of_entity(entity)]],
            reversed: true,
            ..index::PaymentsWanted::default()
        };
        let mut newest = self.index.find_payments(&search);
        let mut steps = STEPS_MAX;
        while totals.payments < EXAMINED_MAX as u64 {
            let position = match newest.next(&mut steps)? {
                Candidate::At(_, position) => position,
                Candidate::Tired(_) => break,
                Candidate::End => {
                    totals.complete = true;
                    break;
                }
            };
            let Some(PastPayment { payment, .. }) = self.payment_of(&newest, position, &[entity])? else { continue };
            let (first, last) = totals.seen.unwrap_or((payment.decided_at, payment.decided_at));
            totals.seen = Some((payment.decided_at.min(first), last));
            totals.payments += 1;
            *totals.decisions.entry(payment.verdict.name()).or_default() += 1;
            if let Some(label) = &payment.label {
                *totals.labels.entry(label.name.clone()).or_default() += 1;
            }
            if totals.newest.len() < limit {
                totals.newest.push(payment.as_of(at));
            }
        }
        search.reversed = false;
        let mut oldest = self.index.find_payments(&search);
        while let (false, Some((first, _))) = (totals.complete, &mut totals.seen) {
            let Candidate::At(_, position) = oldest.next(&mut steps)? else { break };
            if let Some(PastPayment { payment, .. }) = self.payment_of(&oldest, position, &[entity])? {
                *first = payment.decided_at;
                break;
            }
        }
        Ok(totals)
    }

    /// Reads the payment that the entry at `position` decided, if it names all these entities.
    fn payment_of(
        &self,
        search: &PaymentsFound,
        position: Position,
        entities: &[Token],
    ) -> Result<Option<PastPayment>, PastError> {
        self.go_on()?;
        let found = search.read(position)?;
        let has =
            |token: &Token| found.decided.attributes.iter().any(|(_, value)| *value == PlainValue::Entity(*token));
        Ok(entities.iter().all(has).then_some(found))
    }

    /// The first and the last entry that decided payments within the times of a filter.
    fn decided_within(&self, filter: &PaymentFilter) -> Result<(Seq, Seq), PastError> {
        let (mut first, mut last) = index::PaymentsWanted::default().within;
        if filter.min_timestamp > Timestamp::ZERO {
            first = self.index.first_decided_from(filter.min_timestamp)?;
        }
        if filter.max_timestamp < Timestamp::MAX {
            let behind = filter.max_timestamp.saturating_add(Span::from_ns(1));
            last = before(self.index.first_decided_from(behind)?);
        }
        Ok((first, last))
    }
}

fn before(seq: Seq) -> Seq {
    Seq::new(seq.get().saturating_sub(1))
}

/// The conditions of a filter as terms. Those that usually fewest payments meet come first.
fn conditions(filter: &PaymentFilter, entities: &[Token]) -> Vec<Vec<Term>> {
    let mut conditions: Vec<Vec<Term>> = entities.iter().map(|token| vec![Term::of_entity(*token)]).collect();
    conditions.extend(filter.metadata.iter().map(|(key, json)| vec![Term::of_metadata(key, json)]));
    conditions.extend(filter.label.as_ref().map(|label| vec![Term::of_label(label.as_str())]));
    conditions.extend(filter.tag.as_deref().map(|tag| vec![Term::of_tag(tag)]));
    conditions.extend(filter.reason.as_ref().map(|reason| vec![Term::of_reason(reason.as_str())]));
    if (filter.min_amount, filter.max_amount) != (Amount::ZERO, Amount::MAX) {
        conditions.push(Term::of_amounts(filter.min_amount, filter.max_amount));
    }
    conditions.extend(filter.status.map(|status| vec![Term::of_status(status)]));
    conditions.extend(filter.decision.map(|verdict| vec![Term::of_decision(verdict.name())]));
    conditions.extend(filter.payment_type.as_ref().map(|name| vec![Term::of_type(name.as_str())]));
    conditions.extend(filter.ledger.map(|ledger| vec![Term::of_ledger(ledger)]));
    conditions
}
