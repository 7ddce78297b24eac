//! Compares everything that is computed from the records of a window with a plain list of records: late, replaced, removed,
//! labelled, left out and dropped ones, enough of them to fill many blocks.

use std::collections::{BTreeMap, BTreeSet};

use features::{
    Aggregate, Candidate, Item, Key, Moments, Quantile, RecordChange, Stream, StreamId, Update, View, Wide, Window,
    Windows,
};
use proptest::prelude::*;
use types::{Seq, Span, Timestamp, Token};

const STREAM: StreamId = StreamId::new(1);
const ENTITY: Token = Token::new(7);
const RETENTION_NS: u64 = 150;
/// Items are numbered from 1.
const ITEMS: u64 = 6;

#[derive(Debug, Clone)]
enum Step {
    /// Time passes, then the entity gets a record that lies `late_ns` back.
    Insert { wait_ns: u64, late_ns: u64, value: i64, item: Option<Item> },
    /// The `back`th record from the end changes; it may be long forgotten.
    Change { back: usize, change: RecordChange },
}

#[derive(Debug, Clone)]
struct Question {
    ago_ns: u64,
    window: Window,
    candidate: Option<Candidate>,
    /// Leaves out the record with this place from the end.
    without: Option<usize>,
    quantile: Quantile,
}

/// A record as the plain list has it.
#[derive(Debug, Clone, Copy, Default)]
struct Plain {
    value: i64,
    item: Option<Item>,
    label: bool,
}

#[derive(Debug, Default)]
struct Model {
    now_ns: u64,
    newest_ns: u64,
    records: BTreeMap<Key, Plain>,
    inserted: Vec<Key>,
}

impl Model {
    fn update(&mut self, step: &Step) -> Option<Update> {
        let (key, change) = match *step {
            Step::Insert { wait_ns, late_ns, value, item } => {
                self.now_ns += wait_ns;
                let at = self.now_ns.saturating_sub(late_ns);
                self.newest_ns = self.newest_ns.max(at);
                let key = Key { at: Timestamp::from_ns(at), seq: Seq::new(self.inserted.len() as u64 + 1) };
                self.inserted.push(key);
                (key, RecordChange::Insert { value, item })
            }
            Step::Change { back, change } => (*self.inserted.iter().nth_back(back)?, change),
        };
        // What the retention has passed is forgotten, whatever happens to it.
        if key.at.ns() + RETENTION_NS > self.newest_ns {
            match change {
                RecordChange::Insert { value, item } => {
                    let record = self.records.entry(key).or_default();
                    *record = Plain { value, item, ..*record };
                }
                RecordChange::Remove => drop(self.records.remove(&key)),
                RecordChange::Label { positive } => {
                    self.records.entry(key).and_modify(|record| record.label = positive);
                }
            }
        }
        Some(Update { stream: STREAM, entity: ENTITY, at: key.at, seq: key.seq, change })
    }

    fn asked_at(&self, question: &Question) -> Timestamp {
        Timestamp::from_ns((self.now_ns + 2).saturating_sub(question.ago_ns))
    }

    fn left_out(&self, question: &Question) -> Option<Key> {
        self.inserted.iter().nth_back(question.without?).copied()
    }

    /// The records in the window with their instants, the oldest first.
    fn inside(&self, question: &Question) -> Vec<(u64, Plain)> {
        let at = i128::from(self.asked_at(question).ns());
        let end = at - i128::from(question.window.delay.ns());
        let start = end - i128::from(question.window.length.ns());
        let left_out = self.left_out(question);
        let inside = |key: &Key| (start + 1..=end).contains(&i128::from(key.at.ns())) && Some(*key) != left_out;
        let recorded = self.records.iter().filter(|(key, _)| inside(key));
        recorded.map(|(key, record)| (key.at.ns(), *record)).collect()
    }

    fn candidate(question: &Question) -> Option<Candidate> {
        question.candidate.filter(|_| question.window.delay == Span::ZERO && question.window.length > Span::ZERO)
    }
}

/// A number as digits of base 2^32, the lowest first: long multiplication as it is done on paper.
fn square(value: i64) -> [u64; 8] {
    product(&digits(value.unsigned_abs().into()), &digits(value.unsigned_abs().into()))
}

fn digits(value: u128) -> [u64; 8] {
    let digit = |place: usize| u64::try_from(value >> (32 * place) & 0xFFFF_FFFF).expect("it has 32 bits");
    std::array::from_fn(|place| if place < 4 { digit(place) } else { 0 })
}

fn product(a: &[u64; 8], b: &[u64; 8]) -> [u64; 8] {
    let mut result = [0; 8];
    for (place, digit) in a.iter().enumerate() {
        let mut carry = 0;
        for other in 0..8 - place {
            let sum = result[place + other] + digit * b[other] + carry;
            (result[place + other], carry) = (sum & 0xFFFF_FFFF, sum >> 32);
        }
    }
    result
}

fn sum(a: &[u64; 8], b: &[u64; 8]) -> [u64; 8] {
    let mut carry = 0;
    std::array::from_fn(|place| {
        let sum = a[place] + b[place] + carry;
        carry = sum >> 32;
        sum & 0xFFFF_FFFF
    })
}

fn digits_of(wide: Wide) -> [u64; 8] {
    let words = wide.words();
    std::array::from_fn(|place| words[place / 2] >> (32 * (place % 2)) & 0xFFFF_FFFF)
}

fn compare(view: &View<'_>, model: &Model, question: &Question) {
    let (recorded, candidate, at) = (model.inside(question), Model::candidate(question), model.asked_at(question).ns());
    let values: Vec<i64> =
        recorded.iter().map(|(_, record)| record.value).chain(candidate.map(|candidate| candidate.value)).collect();
    let counted = Aggregate {
        count: values.len() as u64,
        sum: values.iter().map(|value| i128::from(*value)).sum(),
        positives: recorded.iter().filter(|(_, record)| record.label).count() as u64,
    };
    assert_eq!(view.aggregate(), counted);
    let mut sorted = values.clone();
    sorted.sort_unstable();
    assert_eq!(view.extremes(), sorted.first().copied().zip(sorted.last().copied()));
    let moments = view.moments();
    assert_eq!((moments.count, moments.sum), (counted.count, counted.sum));
    let squares = values.iter().fold([0; 8], |total, value| sum(&total, &square(*value)));
    assert_eq!(digits_of(moments.squares), squares);
    // n Σ x² = n² · variance + (Σ x)².
    let magnitude = digits(counted.sum.unsigned_abs());
    let whole = sum(&digits_of(moments.spread()), &product(&magnitude, &magnitude));
    assert_eq!(whole, product(&squares, &digits(u128::from(counted.count))));
    // Of the values in ascending order, the first one at which the share of all values so far reaches the quantile.
    let reaches =
        |place: usize| (place as u64 + 1) * 1_000_000 >= u64::from(question.quantile.millionths()) * counted.count;
    let nearest = (0..sorted.len()).find(|place| reaches(*place)).map(|place| sorted[place]);
    assert_eq!(view.quantile(question.quantile, &mut Vec::new()), nearest);
    assert_eq!(view.last(), values.last().copied());
    assert_eq!(view.previous(), values.iter().nth_back(1).copied());
    let since = |record: Option<&(u64, Plain)>| record.map(|(instant, _)| Span::from_ns(at - instant));
    assert_eq!(view.since_last(), since(recorded.last()));
    assert_eq!(view.since_first(), since(recorded.first()));
    assert_eq!(view.earlier().aggregate().count, recorded.len() as u64);
    let earlier: BTreeSet<Item> = recorded.iter().filter_map(|(_, record)| record.item).collect();
    let mut items = earlier.clone();
    items.extend(candidate.and_then(|candidate| candidate.item));
    assert_eq!(view.distinct(), items.len() as u64);
    for item in (1..=ITEMS).filter_map(Item::new) {
        assert_eq!(view.has_seen(item), earlier.contains(&item));
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let value = prop_oneof![8 => -50_i64..50, 1 => Just(i64::MIN), 1 => Just(i64::MAX), 1 => any::<i64>()];
    let insert = (0_u64..3, prop_oneof![4 => Just(0), 1 => 0_u64..180], value.clone(), item())
        .prop_map(|(wait_ns, late_ns, value, item)| Step::Insert { wait_ns, late_ns, value, item });
    let change = prop_oneof![
        Just(RecordChange::Remove),
        any::<bool>().prop_map(|positive| RecordChange::Label { positive }),
        (value, item()).prop_map(|(value, item)| RecordChange::Insert { value, item }),
    ];
    let change = (0_usize..200, change).prop_map(|(back, change)| Step::Change { back, change });
    prop::collection::vec(prop_oneof![5 => insert, 2 => change], 1..400)
}

/// No item in one of `ITEMS` + 1 cases.
fn item() -> impl Strategy<Value = Option<Item>> {
    (0..=ITEMS).prop_map(Item::new)
}

fn question() -> impl Strategy<Value = Question> {
    let window = (0_u64..170, prop_oneof![2 => Just(0), 1 => 0_u64..80])
        .prop_map(|(length, delay)| Window { length: Span::from_ns(length), delay: Span::from_ns(delay) });
    let quantile =
        prop_oneof![Just(0), Just(250_000), Just(500_000), Just(950_000), Just(1_000_000), 0_u32..=1_000_000]
            .prop_map(|millionths| Quantile::of_millionths(millionths).expect("a share"));
    let without = proptest::option::of(0_usize..100);
    let candidate = (any::<i64>(), item()).prop_map(|(value, item)| Candidate { value, item });
    (0_u64..20, window, proptest::option::of(candidate), without, quantile).prop_map(
        |(ago_ns, window, candidate, without, quantile)| Question { ago_ns, window, candidate, without, quantile },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_aggregate_is_that_of_a_plain_list(
        steps in steps(), questions in prop::collection::vec(question(), 1..12), keeps_spreads_from in 0_usize..300,
    ) {
        let (mut windows, mut model) = (Windows::default(), Model::default());
        windows.open(&Stream {
            id: STREAM,
            retention: Span::from_ns(RETENTION_NS),
            records_max: u32::MAX,
            entities_max: 1,
            recorded_since: Timestamp::ZERO,
        });
        for (number, step) in steps.iter().enumerate() {
            if number == keeps_spreads_from {
                windows.keep_spreads(STREAM);
            }
            let Some(update) = model.update(step) else { continue };
            prop_assert!(!matches!(windows.apply(&update), features::UpdateOutcome::Dropped(_)));
            for question in questions.iter().filter(|_| number % 7 == 0) {
                let without = (model.left_out(question), question.candidate);
                let asked = model.asked_at(question);
                if let Ok(view) = windows.view(STREAM, ENTITY, question.window, asked, without) {
                    compare(&view, &model, question);
                }
            }
        }
    }

    #[test]
    fn a_window_that_a_bound_cut_short_has_no_view(steps in steps(), length in 1_u64..170, records_max in 1_u32..60) {
        let (mut windows, mut model) = (Windows::default(), Model::default());
        windows.open(&Stream {
            id: STREAM,
            retention: Span::from_ns(RETENTION_NS),
            records_max,
            entities_max: 1,
            recorded_since: Timestamp::ZERO,
        });
        windows.keep_spreads(STREAM);
        let window = Window { length: Span::from_ns(length), delay: Span::ZERO };
        let quantile = Quantile::MEDIAN;
        let question = Question { ago_ns: 0, window, candidate: None, without: None, quantile };
        for update in steps.iter().filter_map(|step| model.update(step)).collect::<Vec<_>>() {
            let _outcome = windows.apply(&update);
        }
        if let Ok(view) = windows.view(STREAM, ENTITY, window, model.asked_at(&question), (None, None)) {
            compare(&view, &model, &question);
        }
    }
}

/// The most significant bits of n · Σ x² − (Σ x)² for these values.
#[track_caller]
fn check_significant(values: &[i64], expected: (u64, u32)) {
    let squares = values.iter().fold([0; 8], |total, value| sum(&total, &square(*value)));
    let mut windows = Windows::default();
    windows.open(&Stream {
        id: STREAM,
        retention: Span::from_ns(100),
        records_max: 100,
        entities_max: 1,
        recorded_since: Timestamp::ZERO,
    });
    for (seq, value) in (1..).zip(values) {
        let change = RecordChange::Insert { value: *value, item: None };
        let _kept = windows.apply(&Update {
            stream: STREAM,
            entity: ENTITY,
            at: Timestamp::from_ns(5),
            seq: Seq::new(seq),
            change,
        });
    }
    let window = Window { length: Span::from_ns(5), delay: Span::ZERO };
    let view = windows.view(STREAM, ENTITY, window, Timestamp::from_ns(5), (None, None)).expect("it is covered");
    let moments: Moments = view.moments();
    assert_eq!(digits_of(moments.squares), squares);
    assert_eq!(moments.spread().significant(), expected);
}

#[test]
fn the_most_significant_bits_say_whether_others_follow() {
    check_significant(&[], (0, 0));
    check_significant(&[5], (0, 0));
    check_significant(&[1, 2], (1, 0));
    // (2^63 + (2^63 − 1))² = (2^64 − 1)² = 2^128 − 2^65 + 1.
    check_significant(&[i64::MIN, i64::MAX], (u64::MAX, 64));
    // 2 · 2^63 · 2^62 + … : (2^63 + 2^62)² = 9 · 2^124.
    check_significant(&[i64::MIN, 1 << 62], (9 << 60, 64));
    // (2^32 + 1)² = 2^64 + 2^33 + 1, whose last bit is cut off but known.
    check_significant(&[0, (1 << 32) + 1], (1 << 63 | 1 << 32 | 1, 1));
}
