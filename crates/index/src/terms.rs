//! Terms: what payments are found by. Every payment has a row for each of its terms, and a query intersects the lists of its terms.
//!
//! A term is a hash of a kind and a value, so two terms can share a list. A status, a label or a value of metadata has a row even
//! after it has changed. So a query finds candidates only, and whoever asks checks each of them against the payment itself.

use std::sync::Arc;

use engine::{Entry, Fact, PaymentStatus, PlainValue};
use ledger::MetadataOf;
use types::{Amount, LedgerId, Seq, Token};

use crate::array::Block;
use crate::event::IndexUpdate;
use crate::fault::Fault;
use crate::fixed::{Row, Six, fixed_struct};
use crate::table::Table;
use crate::view::View;

/// A hash of what payments are found by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Term(u64);

/// What a term is about. The numbers are part of the file format.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Type = 1,
    Ledger = 2,
    Decision = 3,
    Status = 4,
    Reason = 5,
    Tag = 6,
    Entity = 7,
    Label = 8,
    Metadata = 9,
    Octave = 10,
    Amount = 11,
    Incremented = 12,
}

/// Most narrow ranges of amounts that a query combines. A wider range is covered by octaves.
const AMOUNTS_MAX: usize = 64;

impl Term {
    /// Payments of a type.
    pub fn of_type(name: &str) -> Self {
        Self::new(Kind::Type, [name.as_bytes()])
    }

    /// Payments in a ledger.
    pub fn of_ledger(ledger: LedgerId) -> Self {
        Self::new(Kind::Ledger, [&ledger.get().to_le_bytes()[..]])
    }

    /// Payments with this verdict of the policy.
    pub fn of_decision(verdict: &str) -> Self {
        Self::new(Kind::Decision, [verdict.as_bytes()])
    }

    /// Payments that have or had this status.
    pub fn of_status(status: PaymentStatus) -> Self {
        Self::new(Kind::Status, [status.name().as_bytes()])
    }

    /// Payments whose decision has this reason.
    pub fn of_reason(code: &str) -> Self {
        Self::new(Kind::Reason, [code.as_bytes()])
    }

    /// Payments that a rule gave this tag.
    pub fn of_tag(tag: &str) -> Self {
        Self::new(Kind::Tag, [tag.as_bytes()])
    }

    /// Payments with this entity, in any of their attributes.
    pub fn of_entity(token: Token) -> Self {
        Self::new(Kind::Entity, [&token.get().to_le_bytes()[..]])
    }

    /// Payments that have or had this label.
    pub fn of_label(label: &str) -> Self {
        Self::new(Kind::Label, [label.as_bytes()])
    }

    /// Payments whose metadata has or had this JSON text under this key.
    pub fn of_metadata(key: &str, json: &str) -> Self {
        Self::new(Kind::Metadata, [key.as_bytes(), json.as_bytes()])
    }

    /// The terms of which every payment whose amount is in the range has one, though other payments may have one too.
    pub fn of_amounts(least: Amount, most: Amount) -> Vec<Self> {
        let narrow = Step::of(least).to(Step::of(most));
        let narrow: Vec<Self> = narrow.take(AMOUNTS_MAX + 1).map(Step::term).collect();
        let mut terms =
            if narrow.len() <= AMOUNTS_MAX { narrow } else { (octave(least)..=octave(most)).map(of_octave).collect() };
        terms.push(Self::incremented());
        terms
    }

    /// Payments whose amount is not the one that they were decided with. The entry of an increment does not contain the whole.
    fn incremented() -> Self {
        Self::new(Kind::Incremented, [])
    }

    /// Visits the terms that a payment gets with an entry.
    pub fn of_entry(entry: &Entry, mut visit: impl FnMut(Self)) {
        match &entry.fact {
            Fact::PaymentDecided(decided) => {
                visit(Self::of_type(decided.payment_type.as_str()));
                visit(Self::of_ledger(decided.ledger));
                visit(Self::of_decision(decided.verdict.name()));
                visit(Self::of_status(decided.status));
                visit(of_octave(octave(decided.amount)));
                visit(Step::of(decided.amount).term());
                decided.reasons.iter().for_each(|reason| visit(Self::of_reason(reason.code.as_str())));
                decided.tags.iter().for_each(|tag| visit(Self::of_tag(tag)));
                for (_, value) in &decided.attributes {
                    if let PlainValue::Entity(token) = value {
                        visit(Self::of_entity(*token));
                    }
                }
            }
            Fact::PaymentChanged(changed) => {
                visit(Self::of_status(changed.status));
                if changed.increment.as_ref().is_some_and(|increment| increment.legs.is_some()) {
                    visit(Self::incremented());
                }
            }
            Fact::LabelRecorded(recorded) => visit(Self::of_label(recorded.label.as_str())),
            Fact::Ledger(ledger::Fact::MetadataSet { of: MetadataOf::Payment(_), values }) => {
                let set = values.iter().filter_map(|(key, value)| Some((key, value.as_deref()?)));
                set.for_each(|(key, json)| visit(Self::of_metadata(key, json)));
            }
            Fact::JournalStarted { .. }
            | Fact::JournalContinued { .. }
            | Fact::Ledger(_)
            | Fact::ArtifactStored(_)
            | Fact::PolicyActivated(_)
            | Fact::StateDigest(_)
            | Fact::Identity(_)
            | Fact::Approval(_)
            | Fact::Setting(_)
            | Fact::List(_)
            | Fact::EntityAttributes(_)
            | Fact::PersonalDataRead(_)
            | Fact::KeyUsed(_) => {}
        }
    }

    fn new<const N: usize>(kind: Kind, parts: [&[u8]; N]) -> Self {
        let mut state = FACTORS[0] ^ kind as u64;
        for part in parts {
            for word in part.chunks(8) {
                let mut bytes = [0; 8];
                bytes[..word.len()].copy_from_slice(word);
                state = mix(state ^ u64::from_le_bytes(bytes), FACTORS[1]);
            }
            // So that the border between two parts counts.
            state = mix(state ^ part.len() as u64, FACTORS[2]);
        }
        Self(state)
    }
}

const FACTORS: [u64; 3] = [0xa076_1d64_78bd_642f, 0xe703_7ed1_a0b4_28db, 0x8ebc_6af0_9c88_c6e3];

/// Multiplies, and combines both halves of the product. Files contain the results, so this must never change.
#[inline]
fn mix(one: u64, other: u64) -> u64 {
    let product = u128::from(one) * u128::from(other);
    let low = u64::try_from(product & u128::from(u64::MAX)).unwrap_or_default();
    low ^ u64::try_from(product >> 64).unwrap_or_default()
}

/// The number of bits of an amount.
fn octave(amount: Amount) -> u8 {
    u8::try_from(u128::BITS - amount.get().leading_zeros()).unwrap_or(u8::MAX)
}

fn of_octave(octave: u8) -> Term {
    Term::new(Kind::Octave, [&[octave][..]])
}

/// A narrow range of amounts: those whose upper bits are `upper` after a shift. Below 512 each amount has its own; above, 256 ranges
/// divide each octave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Step {
    shift: u8,
    upper: u16,
}

impl Step {
    const UPPER_END: u16 = 512;

    fn of(amount: Amount) -> Self {
        let shift = octave(amount).saturating_sub(9);
        Self { shift, upper: u16::try_from(amount.get() >> shift).unwrap_or(u16::MAX) }
    }

    /// From this range to another, both included.
    fn to(self, last: Self) -> impl Iterator<Item = Self> {
        let next = |step: &Self| {
            let Self { shift, upper } = *step;
            let within = upper + 1 < Self::UPPER_END;
            Some(if within {
                Self { shift, upper: upper + 1 }
            } else {
                Self { shift: shift + 1, upper: Self::UPPER_END / 2 }
            })
        };
        std::iter::successors(Some(self), next).take_while(move |step| *step <= last)
    }

    fn term(self) -> Term {
        Term::new(Kind::Amount, [&[self.shift][..], &self.upper.to_le_bytes()[..]])
    }
}

/// A term of a payment, and the entry that decided the payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TermRow {
    term: u64,
    seq: Six,
}

fixed_struct!(TermRow { term: u64, seq: Six, } spare 0);

impl Row for TermRow {
    type Key = Self;

    #[inline]
    fn key(&self) -> Self {
        *self
    }
}

impl TermRow {
    pub(crate) fn new(term: Term, seq: Seq) -> Self {
        Self { term: term.0, seq: Six(seq.get()) }
    }
}

/// Drops rows that equal the one before.
pub(crate) fn distinct<E>(rows: impl Iterator<Item = Result<TermRow, E>>) -> impl Iterator<Item = Result<TermRow, E>> {
    let mut last = None;
    rows.filter(move |row| match row {
        Ok(row) => last.replace(*row) != Some(*row),
        Err(_) => true,
    })
}

/// The order of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    OldestFirst,
    NewestFirst,
}

impl Order {
    pub(crate) fn of(reversed: bool) -> Self {
        if reversed { Self::NewestFirst } else { Self::OldestFirst }
    }

    /// The one of two sequences that comes first.
    pub(crate) fn first(self, one: u64, other: u64) -> u64 {
        match self {
            Self::OldestFirst => one.min(other),
            Self::NewestFirst => one.max(other),
        }
    }

    /// Whether a sequence comes before another one.
    pub(crate) fn is_before(self, one: u64, other: u64) -> bool {
        one != other && self.first(one, other) == one
    }
}

/// The payments that have any of several terms, read from all runs and batches of a view.
#[derive(Debug)]
pub(crate) struct TermList {
    sources: Vec<Source>,
    order: Order,
}

/// The rows of one term in one run or batch.
#[derive(Debug)]
struct Source {
    rows: Rows,
    term: u64,
    /// No row is of a payment that was decided after this entry.
    last: u64,
    head: Head,
}

#[derive(Debug)]
enum Rows {
    /// The run with this number in the view, and the block that was read last.
    Run(usize, Option<(usize, Box<Block<TermRow>>)>),
    Batch(Arc<IndexUpdate>),
}

/// The row that comes next.
#[derive(Debug, Clone, Copy)]
enum Head {
    Unread,
    At(u64),
    Ended,
}

impl TermList {
    pub(crate) fn new(view: &View, terms: &[Term], order: Order) -> Self {
        let runs = view
            .runs
            .iter()
            .enumerate()
            .map(|(number, listed)| (Rows::Run(number, None), listed.run.end().end().last.get()));
        let batches = view.batches().map(|batch| (Rows::Batch(Arc::clone(batch)), u64::MAX));
        let mut sources = Vec::new();
        for (rows, last) in runs.chain(batches) {
            for term in terms {
                let rows = match &rows {
                    Rows::Run(number, _) => Rows::Run(*number, None),
                    Rows::Batch(batch) if batch.payments.has_term(term.0) => Rows::Batch(Arc::clone(batch)),
                    Rows::Batch(_) => continue,
                };
                sources.push(Source { rows, term: term.0, last, head: Head::Unread });
            }
        }
        // The newest come first, so that those behind the one that has the answer need not be read.
        sources.reverse();
        Self { sources, order }
    }

    /// The first payment in order, from `from` on.
    pub(crate) fn seek(&mut self, view: &View, from: u64) -> Result<Option<u64>, Fault> {
        let Self { sources, order } = self;
        let mut first: Option<u64> = None;
        for source in sources.iter_mut() {
            if *order == Order::NewestFirst && first.is_some_and(|first| first >= source.last) {
                break;
            }
            if let Some(seq) = source.seek(view, from, *order)? {
                first = Some(first.map_or(seq, |first| order.first(first, seq)));
            }
        }
        sources.retain(|source| !matches!(source.head, Head::Ended));
        Ok(first)
    }
}

impl Source {
    fn seek(&mut self, view: &View, from: u64, order: Order) -> Result<Option<u64>, Fault> {
        match self.head {
            Head::Ended => return Ok(None),
            Head::At(seq) if !order.is_before(seq, from) => return Ok(Some(seq)),
            Head::At(_) | Head::Unread => {}
        }
        let key = TermRow { term: self.term, seq: Six(from) };
        let found = match &mut self.rows {
            Rows::Run(number, held) => {
                let table = &view.runs[*number].run.payments.terms;
                match order {
                    Order::OldestFirst => first_from(table, key, held)?,
                    Order::NewestFirst => last_to(table, key, held)?,
                }
            }
            Rows::Batch(batch) => batch.payments.term_row(key, order),
        };
        let found = found.filter(|row| row.term == self.term).map(|row| row.seq.0);
        self.head = found.map_or(Head::Ended, Head::At);
        Ok(found)
    }
}

type Held = Option<(usize, Box<Block<TermRow>>)>;

/// The first row that is at least `key`.
fn first_from(table: &Table<TermRow>, key: TermRow, held: &mut Held) -> Result<Option<TermRow>, Fault> {
    let fences = table.fences();
    // The row is in the last block that begins below the key, or it is the first of the next block, which is its fence.
    let next = fences.partition_point(|fence| *fence < key);
    let Some(number) = next.checked_sub(1) else { return Ok(fences.first().copied()) };
    let block = read(table, number, held)?;
    let place = lower_bound(block, key);
    Ok(if place < block.rows { Some(block.row(place)) } else { fences.get(next).copied() })
}

/// The last row that is at most `key`.
fn last_to(table: &Table<TermRow>, key: TermRow, held: &mut Held) -> Result<Option<TermRow>, Fault> {
    let Some(number) = table.fences().partition_point(|fence| *fence <= key).checked_sub(1) else { return Ok(None) };
    let block = read(table, number, held)?;
    let place = lower_bound(block, key);
    let found = (place < block.rows).then(|| block.row(place)).filter(|row| *row == key);
    Ok(found.or_else(|| place.checked_sub(1).map(|place| block.row(place))))
}

fn read<'h>(table: &Table<TermRow>, number: usize, held: &'h mut Held) -> Result<&'h Block<TermRow>, Fault> {
    let kept = held.take().filter(|(of, _)| *of == number);
    let (_, block) = held.insert(match kept {
        Some(kept) => kept,
        None => (number, Box::new(table.block(number as u64)?)),
    });
    Ok(block)
}

/// The number of rows of a block that are below `key`.
fn lower_bound(block: &Block<TermRow>, key: TermRow) -> usize {
    let (mut low, mut high) = (0, block.rows);
    while low < high {
        let middle = low.midpoint(high);
        if block.row(middle) < key { low = middle + 1 } else { high = middle }
    }
    low
}

/// Whether rows in memory have a term. The rows are sorted.
pub(crate) fn has_term(rows: &[TermRow], term: u64) -> bool {
    rows.get(rows.partition_point(|row| row.term < term)).is_some_and(|row| row.term == term)
}

/// The first row in order, from `key` on. The rows are sorted.
pub(crate) fn seek_in(rows: &[TermRow], key: TermRow, order: Order) -> Option<TermRow> {
    match order {
        Order::OldestFirst => rows.get(rows.partition_point(|row| *row < key)).copied(),
        Order::NewestFirst => rows[..rows.partition_point(|row| *row <= key)].last().copied(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Files contain the results of this hash, so it must never change.
    #[test]
    fn the_hash_never_changes() {
        let terms = [Term::of_type("card"), Term::of_metadata("tier", "\"gold\""), Term::of_ledger(LedgerId::new(7))];
        assert_eq!(
            terms.map(|term| term.0),
            [2_370_200_291_034_354_075, 16_593_695_260_883_083_524, 7_067_492_114_069_250_496]
        );
    }

    #[test]
    fn the_border_between_key_and_value_counts() {
        assert_ne!(Term::of_metadata("ab", "c"), Term::of_metadata("a", "bc"));
        assert_ne!(Term::of_tag("a"), Term::of_reason("a"));
    }

    fn terms_of(amount: u128) -> [Term; 2] {
        let amount = Amount::new(amount);
        [of_octave(octave(amount)), Step::of(amount).term()]
    }

    proptest! {
        #[test]
        fn every_amount_of_a_range_has_one_of_its_terms(
            least in prop_oneof![0_u128..2_000, any::<u128>()],
            width in prop_oneof![0_u128..2_000, any::<u128>()],
            place in 0.0..1.0_f64,
        ) {
            let most = least.saturating_add(width);
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a place in the range")]
            let within = least + ((most - least) as f64 * place) as u128;
            let within = within.clamp(least, most);
            let terms = Term::of_amounts(Amount::new(least), Amount::new(most));
            // An octave for 0, one for each of 128 powers of two, and the increments.
            prop_assert!(terms.len() <= 130);
            for amount in [least, within, most] {
                prop_assert!(terms_of(amount).iter().any(|term| terms.contains(term)), "{amount} in {least}..={most}");
            }
        }
    }

    #[test]
    fn a_narrow_range_has_narrow_terms() {
        let terms = Term::of_amounts(Amount::new(100_000), Amount::new(110_000));
        assert!(terms.len() < 64 && !terms_of(99_000).iter().any(|term| terms.contains(term)), "{}", terms.len());
    }
}
