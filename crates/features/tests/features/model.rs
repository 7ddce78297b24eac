//! Applies random updates, asks random questions, and compares the answers with a plain list of all records.

use std::collections::BTreeMap;

use features::{
    Aggregate, Candidate, Item, Key, Missing, RecordChange, RestoredRecord, StoredUpdate, Stream, StreamId, Update,
    UpdateOutcome, Window, Windows,
};
use proptest::prelude::*;
use types::{Digest, DigestBuilder, Seq, Span, Timestamp, Token};

const STREAM: StreamId = StreamId::new(1);
const RETENTION_NS: u64 = 40;
const ENTITIES: u128 = 3;

#[derive(Debug, Clone)]
enum Step {
    /// Time passes, then an entity gets a record that lies `late_ns` back.
    Insert { entity: u128, wait_ns: u64, late_ns: u64, value: i64 },
    /// The `back`th record from the end changes; it may be long forgotten.
    RecordChange { back: usize, change: RecordChange },
}

#[derive(Debug, Clone)]
struct Question {
    entity: u128,
    ago_ns: u64,
    window: Window,
    candidate: Option<i64>,
}

/// The truth, whatever was dropped.
#[derive(Debug, Default)]
struct Model {
    now_ns: u64,
    newest_ns: u64,
    /// Every record by (entity, instant, sequence), with value and label.
    records: BTreeMap<(u128, u64, u64), (i64, bool)>,
    inserted: Vec<(u128, u64, u64)>,
}

impl Model {
    /// The update of a step, or `None` if there is no record to change yet.
    fn update(&mut self, step: &Step) -> Option<Update> {
        let ((entity, at, seq), change) = match *step {
            Step::Insert { entity, wait_ns, late_ns, value } => {
                self.now_ns += wait_ns;
                let at = self.now_ns.saturating_sub(late_ns);
                self.newest_ns = self.newest_ns.max(at);
                let key = (entity, at, self.inserted.len() as u64 + 1);
                self.inserted.push(key);
                (key, RecordChange::Insert { value, item: item_of(value) })
            }
            Step::RecordChange { back, change } => (*self.inserted.iter().nth_back(back)?, change),
        };
        match change {
            RecordChange::Insert { value, .. } => {
                let label = self.records.get(&(entity, at, seq)).is_some_and(|(_, label)| *label);
                self.records.insert((entity, at, seq), (value, label));
            }
            RecordChange::Remove => {
                self.records.remove(&(entity, at, seq));
            }
            RecordChange::Label { positive } => {
                self.records.entry((entity, at, seq)).and_modify(|(_, label)| *label = positive);
            }
        }
        let (at, seq) = (Timestamp::from_ns(at), Seq::new(seq));
        Some(Update { stream: STREAM, entity: Token::new(entity), at, seq, change })
    }

    fn answer(&self, question: &Question) -> Aggregate {
        let at = i128::from(self.asked_at(question).ns());
        let end = at - i128::from(question.window.delay.ns());
        let start = end - i128::from(question.window.length.ns());
        let inside = |instant: i128| start < instant && instant <= end;
        let recorded = self
            .records
            .iter()
            .filter(|((entity, instant, _), _)| *entity == question.entity && inside(i128::from(*instant)));
        let candidate = question.candidate.filter(|_| inside(at)).map(|value| (value, false));
        recorded.map(|(_, record)| *record).chain(candidate).fold(Aggregate::default(), |sum, (value, label)| {
            Aggregate {
                count: sum.count + 1,
                sum: sum.sum + i128::from(value),
                positives: sum.positives + u64::from(label),
            }
        })
    }

    fn asked_at(&self, question: &Question) -> Timestamp {
        Timestamp::from_ns((self.now_ns + 5).saturating_sub(question.ago_ns))
    }

    /// Whether the retention still covers all of the window.
    fn covers(&self, question: &Question) -> bool {
        let at = i128::from(self.asked_at(question).ns());
        let start = at - i128::from(question.window.delay.ns()) - i128::from(question.window.length.ns());
        start.max(-1) >= i128::from(self.newest_ns) - i128::from(RETENTION_NS)
            || at < i128::from(question.window.delay.ns())
    }

    /// Whether so few records and entities were ever inserted that the bounds cannot have dropped anything.
    fn within(&self, question: &Question, records_max: u32, entities_max: u32) -> bool {
        let records = self.inserted.iter().filter(|(entity, ..)| *entity == question.entity).count();
        records as u64 <= u64::from(records_max) && u128::from(entities_max) >= ENTITIES
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let value = prop_oneof![-9_i64..10, Just(i64::MIN), Just(i64::MAX)];
    let insert = (0..ENTITIES, 0_u64..4, prop_oneof![3 => Just(0), 1 => 0_u64..60], value.clone())
        .prop_map(|(entity, wait_ns, late_ns, value)| Step::Insert { entity, wait_ns, late_ns, value });
    let change = prop_oneof![
        Just(RecordChange::Remove),
        any::<bool>().prop_map(|positive| RecordChange::Label { positive }),
        value.prop_map(|value| RecordChange::Insert { value, item: item_of(value) }),
    ];
    let change = (0_usize..40, change).prop_map(|(back, change)| Step::RecordChange { back, change });
    prop::collection::vec(prop_oneof![3 => insert, 2 => change], 1..120)
}

fn questions() -> impl Strategy<Value = Vec<Question>> {
    let window = (0_u64..50, prop_oneof![Just(0), 0_u64..30])
        .prop_map(|(length, delay)| Window { length: Span::from_ns(length), delay: Span::from_ns(delay) });
    let question = (0..=ENTITIES, 0_u64..60, window, proptest::option::of(-9_i64..10))
        .prop_map(|(entity, ago_ns, window, candidate)| Question { entity, ago_ns, window, candidate });
    prop::collection::vec(question, 1..40)
}

fn opened(records_max: u32) -> Windows {
    let mut windows = Windows::default();
    windows.open(&Stream {
        id: STREAM,
        retention: Span::from_ns(RETENTION_NS),
        records_max,
        entities_max: u32::try_from(ENTITIES).expect("few"),
        recorded_since: Timestamp::ZERO,
    });
    windows
}

fn ask(windows: &Windows, model: &Model, question: &Question) -> Result<Aggregate, Missing> {
    let entity = Token::new(question.entity);
    windows.aggregate(STREAM, entity, question.window, model.asked_at(question), question.candidate)
}

/// Records have one of four items or none, as their value says, so that the model need not remember it.
fn item_of(value: i64) -> Option<Item> {
    Item::new(value.rem_euclid(5).unsigned_abs())
}

/// The number of different items in a window.
fn distinct(windows: &Windows, model: &Model, question: &Question) -> Result<u64, Missing> {
    let candidate = question.candidate.map(|value| Candidate { value, item: item_of(value) });
    let (entity, at) = (Token::new(question.entity), model.asked_at(question));
    windows.view(STREAM, entity, question.window, at, (None, candidate)).map(|view| view.distinct())
}

fn replayed(updates: &[Update], records_max: u32) -> (Vec<UpdateOutcome>, Digest) {
    let mut windows = opened(records_max);
    let mut digest = DigestBuilder::new("finaira features model test");
    let fold = |update: &Update| {
        let applied = windows.apply(update);
        windows.digest_after(update, &mut digest);
        applied
    };
    (updates.iter().map(fold).collect(), digest.digest())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn without_bounds_exactly_what_the_retention_covers_is_answered(steps in steps(), questions in questions()) {
        let (mut windows, mut model) = (opened(u32::MAX), Model::default());
        for step in &steps {
            if let Some(update) = model.update(step) {
                prop_assert!(!matches!(windows.apply(&update), UpdateOutcome::Dropped(_)));
            }
            for question in &questions {
                let truth = if model.covers(question) { Ok(model.answer(question)) } else { Err(Missing::WindowTruncated) };
                prop_assert_eq!(ask(&windows, &model, question), truth, "{:?}", question);
            }
        }
    }

    #[test]
    fn with_bounds_an_answer_is_exact_or_missing(
        steps in steps(), questions in questions(), records_max in 0_u32..12, entities_max in 1_u32..4,
    ) {
        let (mut windows, mut model) = (Windows::default(), Model::default());
        windows.open(&Stream { id: STREAM, retention: Span::from_ns(RETENTION_NS), records_max, entities_max, recorded_since: Timestamp::ZERO });
        for step in &steps {
            if let Some(update) = model.update(step) {
                prop_assert_ne!(windows.apply(&update), UpdateOutcome::Dropped(Missing::UnknownStream));
            }
            prop_assert!(windows.entities() <= u64::from(entities_max));
            prop_assert!(windows.records() <= u64::from(entities_max) * u64::from(records_max));
            for question in &questions {
                let answer = ask(&windows, &model, question);
                if answer.is_ok() || model.covers(question) && model.within(question, records_max, entities_max) {
                    prop_assert_eq!(answer, Ok(model.answer(question)), "{:?}", question);
                }
            }
        }
    }

    #[test]
    fn a_replay_gives_the_same_digest(steps in steps(), records_max in 0_u32..12) {
        let mut model = Model::default();
        let updates: Vec<Update> = steps.iter().filter_map(|step| model.update(step)).collect();
        prop_assert_eq!(replayed(&updates, records_max), replayed(&updates, records_max));
    }

    #[test]
    fn stored_records_restore_the_same_windows(
        steps in steps(), later in steps(), questions in questions(), records_max in 0_u32..80, entities_max in 1_u32..4,
    ) {
        let stream = Stream { id: STREAM, retention: Span::from_ns(RETENTION_NS), records_max, entities_max, recorded_since: Timestamp::ZERO };
        let (mut windows, mut model, mut stored) = (Windows::default(), Model::default(), Stored::default());
        windows.open(&stream);
        for update in steps.iter().filter_map(|step| model.update(step)).collect::<Vec<_>>() {
            stored.apply(&mut windows, &update);
        }
        let mut restored = stored.restored(&windows, &stream);
        for step in &later {
            let Some(update) = model.update(step) else { continue };
            prop_assert_eq!(restored.apply(&update), windows.apply(&update), "{:?}", update);
            let [one, other] = [&restored, &windows].map(|windows| {
                let mut digest = DigestBuilder::new("finaira features model test");
                windows.digest_after(&update, &mut digest);
                digest.digest()
            });
            prop_assert_eq!(one, other, "{:?}", update);
            for question in &questions {
                prop_assert_eq!(ask(&restored, &model, question), ask(&windows, &model, question), "{:?}", question);
                let items = distinct(&windows, &model, question);
                prop_assert_eq!(distinct(&restored, &model, question), items, "{:?}", question);
            }
        }
    }
}

/// What an index stores of the updates: the records that were held, and where the records of an entity begin.
#[derive(Default)]
struct Stored {
    records: BTreeMap<(Token, Key), (i64, bool)>,
    reaches: BTreeMap<Token, Timestamp>,
}

impl Stored {
    fn apply(&mut self, windows: &mut Windows, update: &Update) {
        let outcome = windows.apply(update);
        let Some(StoredUpdate { update, reach }) = windows.stored(update, outcome) else { return };
        let record = (update.entity, Key { at: update.at, seq: update.seq });
        match update.change {
            RecordChange::Insert { value, .. } => self.records.entry(record).or_default().0 = value,
            RecordChange::Remove => drop(self.records.remove(&record)),
            RecordChange::Label { positive } => self.records.entry(record).or_default().1 = positive,
        }
        let known = self.reaches.entry(update.entity).or_default();
        *known = reach.unwrap_or_default().max(*known);
    }

    fn restored(&self, windows: &Windows, stream: &Stream) -> Windows {
        let mut restored = Windows::default();
        restored.open(stream);
        windows.bounds().for_each(|bounds| restored.restore_bounds(&bounds));
        for (entity, reach) in &self.reaches {
            let records = self.records.iter().filter(|((of, _), _)| of == entity);
            let records: Vec<RestoredRecord> = records
                .map(|((_, key), (value, positive))| RestoredRecord {
                    key: *key,
                    value: *value,
                    item: item_of(*value),
                    positive: *positive,
                })
                .collect();
            restored.restore(STREAM, *entity, *reach, &records);
        }
        restored
    }
}
