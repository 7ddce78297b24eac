//! `finaira bench features`: what each aggregate over the records of a window costs, and how much memory a record takes.

use std::hint::black_box;

use anyhow::Context as _;
use features::{
    Candidate, Item, Quantile, RecordChange, Stream, StreamId, Update, UpdateOutcome, View, Window, Windows,
};
use serde_json::json;
use server::Stopwatch;
use types::{Seq, Span, Timestamp, Token};

use super::tokens::processor;
use crate::backtest::table::thousands;
use crate::stdio::outln;

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Settings {
    /// Number of records in each window
    #[arg(long, value_name = "RECORDS", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    records: u32,
    /// Number of entities, each with as many records
    #[arg(long, value_name = "ENTITIES", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
    entities: u32,
    /// Print one JSON object on the last line
    #[arg(long)]
    json: bool,
}

/// How a stream keeps its records.
#[derive(Debug, Clone, Copy)]
enum Keeps {
    Plain,
    Spreads,
    Items,
}

/// An aggregate and how it is asked for. The result only has to be used.
type Ask = fn(&View<'_>, &mut Vec<i64>) -> i64;

const PLAIN: [(&str, Ask); 7] = [
    ("count, sum, mean, labels", |view, _| view.aggregate().count.cast_signed()),
    ("last", |view, _| view.last().unwrap_or_default()),
    ("previous", |view, _| view.previous().unwrap_or_default()),
    ("since_last, since_first", |view, _| view.since_first().map_or(0, |span| span.ns().cast_signed())),
    ("median, quantile", |view, scratch| view.quantile(Quantile::MEDIAN, scratch).unwrap_or_default()),
    ("min, max without spreads", |view, _| view.extremes().map_or(0, |(min, _)| min)),
    ("stddev without spreads", |view, _| view.moments().squares.significant().0.cast_signed()),
];
const SPREADS: [(&str, Ask); 2] = [
    ("min, max", |view, _| view.extremes().map_or(0, |(min, _)| min)),
    ("stddev", |view, _| view.moments().spread().significant().0.cast_signed()),
];
const ITEMS: [(&str, Ask); 3] = [
    ("distinct", |view, _| view.distinct().cast_signed()),
    ("seen, with an item of the newest records", |view, _| Item::new(1).is_some_and(|item| view.has_seen(item)).into()),
    ("seen, with a new item", |view, _| Item::new(u64::MAX).is_some_and(|item| view.has_seen(item)).into()),
];

pub(super) fn run(settings: &Settings) -> anyhow::Result<()> {
    let (records, entities) = (settings.records, settings.entities);
    outln!(
        "{}, one thread, {} entities with {} records",
        processor(),
        thousands(entities.into()),
        thousands(records.into())
    )?;
    let mut figures = serde_json::Map::new();
    // All of them stay until the end, so that none gets memory that another one has left.
    let mut kept = Vec::new();
    for (what, keeps, asks) in [
        ("Records", Keeps::Plain, &PLAIN[..]),
        ("Records with spreads", Keeps::Spreads, &SPREADS[..]),
        ("Records with items", Keeps::Items, &ITEMS[..]),
    ] {
        let before = resident_bytes()?;
        let windows = filled(settings, keeps);
        let each = (resident_bytes()? - before) / (f64::from(records) * f64::from(entities));
        outln!("{what}: {each:.1} bytes each")?;
        figures.insert(format!("{keeps:?}").to_lowercase() + "_bytes", json!(each));
        for (name, ask) in asks {
            let ns = measure(settings, &windows, *ask)?;
            outln!("  {name:<42} {ns:>9.0} ns")?;
            figures.insert((*name).to_owned(), json!(ns));
        }
        kept.push(windows);
    }
    if settings.json {
        outln!("{}", json!({"processor": processor(), "records": records, "entities": entities, "figures": figures}))?;
    }
    Ok(())
}

const STREAM: StreamId = StreamId::new(1);
const SPACING: Span = Span::from_secs(60);

/// Numbers that repeat only after 2^64, from a seed: xorshift.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

fn window(settings: &Settings) -> Window {
    Window { length: Span::from_ns(SPACING.ns() * u64::from(settings.records)), delay: Span::ZERO }
}

/// Windows in which every entity has its records, in turn, as a server would get them.
fn filled(settings: &Settings, keeps: Keeps) -> Windows {
    let mut windows = Windows::default();
    windows.open(&Stream {
        id: STREAM,
        retention: window(settings).length,
        records_max: settings.records + 1,
        entities_max: settings.entities,
        recorded_since: Timestamp::ZERO,
    });
    if matches!(keeps, Keeps::Spreads) {
        windows.keep_spreads(STREAM);
    }
    let mut random = Random(20_261_130);
    for round in 1..=settings.records {
        let at = Timestamp::from_ns(SPACING.ns() * u64::from(round));
        for entity in 1..=settings.entities {
            let value = i64::try_from(random.next() % 1_000_000).unwrap_or_default();
            // One in eight records has an item of its own, the others one of sixteen.
            let number = random.next();
            let number = if number.is_multiple_of(8) { number } else { number % 16 + 1 };
            let item = if matches!(keeps, Keeps::Items) { Item::new(number) } else { None };
            let seq = Seq::new(u64::from(round) * u64::from(settings.entities) + u64::from(entity));
            let change = RecordChange::Insert { value, item };
            let outcome = windows.apply(&Update { stream: STREAM, entity: token(entity), at, seq, change });
            debug_assert_eq!(outcome, UpdateOutcome::Kept, "there is room for all records");
        }
    }
    windows
}

fn token(entity: u32) -> Token {
    Token::new(u128::from(entity) * 0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835)
}

/// Nanoseconds for one window and one aggregate, over entities in random order. The time of finding the window is included. It is
/// the median over rounds of a hundred, because other work on the machine interrupts some of them.
fn measure(settings: &Settings, windows: &Windows, ask: Ask) -> anyhow::Result<f64> {
    const SECONDS: f64 = 0.5;
    const ROUND: u32 = 100;
    let at = Timestamp::from_ns(SPACING.ns() * u64::from(settings.records) + 1);
    // The oldest record is just outside.
    let window = Window { length: Span::from_ns(window(settings).length.ns() - 1), delay: Span::ZERO };
    let candidate = Some(Candidate { value: 500_000, item: Item::new(2) });
    let (mut random, mut scratch, mut rounds) = (Random(7), Vec::new(), Vec::new());
    let whole = Stopwatch::start();
    while whole.elapsed().as_secs_f64() < SECONDS {
        let round = Stopwatch::start();
        for _ in 0..ROUND {
            let entity = u32::try_from(random.next() % u64::from(settings.entities)).unwrap_or_default() + 1;
            let view =
                windows.view(STREAM, token(entity), window, at, (None, candidate)).context("a window is missing")?;
            black_box(ask(black_box(&view), &mut scratch));
        }
        rounds.push(round.elapsed().as_secs_f64() * 1e9 / f64::from(ROUND));
    }
    rounds.sort_by(f64::total_cmp);
    rounds.get(rounds.len() / 2).copied().context("no round was measured")
}

/// The memory of this process.
pub(super) fn resident_bytes() -> anyhow::Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status").context("cannot read /proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS in /proc/self/status")?;
    let kib: u32 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(f64::from(kib) * 1024.0)
}
