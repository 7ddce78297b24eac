//! `finaira bench lists`: how much memory a value of a list takes, what a look-up costs, and how long a replay of its entries takes.

use std::hint::black_box;
use std::sync::Arc;

use anyhow::ensure;
use engine::{
    AddToList, AddedValue, Applied, Command, Engine, Entry, LIST_CHANGES_MAX, ListOf, ListPurpose, ListValue, MakeList,
    Request,
};
use policy::cel::Listed;
use serde_json::json;
use server::Stopwatch;
use types::{ActorId, Digest, Name, Origin, RequestId, ShardId, TenantId, Timestamp, Token};

use super::features::resident_bytes;
use super::tokens::processor;
use crate::backtest::table::thousands;
use crate::stdio::outln;

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Settings {
    /// Number of values of each list
    #[arg(long, value_name = "VALUES", default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1_000..=2_000_000))]
    values: u32,
    /// Print one JSON object on the last line
    #[arg(long)]
    json: bool,
}

/// How many look-ups are measured.
const LOOK_UPS: u32 = 4_000_000;
const NOW: Timestamp = Timestamp::from_ns(1_795_000_000_000_000_000);

pub(super) fn run(settings: &Settings) -> anyhow::Result<()> {
    outln!("{}, one thread, {} values", processor(), thousands(settings.values.into()))?;
    let mut figures = serde_json::Map::new();
    // Nothing is freed until all lists are replayed: a list that takes memory which was used before would seem to take none.
    let mut kept = Vec::new();
    let mut lists = Vec::new();
    for (what, of) in [("entities", ListOf::Entity("device".parse()?)), ("texts", ListOf::Text)] {
        let list: Name = "values".parse()?;
        let (entries, source) = entries(settings, &list, &of)?;
        let mut replayed = Engine::new(ShardId::new(0), TenantId::new(1));
        let before = resident_bytes()?;
        let stopwatch = Stopwatch::start();
        for entry in &entries {
            replayed.apply(entry);
        }
        let replay_s = stopwatch.elapsed().as_secs_f64();
        let each = (resident_bytes()? - before) / f64::from(settings.values);
        kept.push((entries, source));
        lists.push((what, list, of, replayed, each, replay_s));
    }
    drop(kept);
    for (what, list, of, replayed, each, replay_s) in lists {
        // A few numbers in a row, far from the last ones, so that caches help as little as they do between payments.
        let look_up_ns = |first: u32| {
            let names: Vec<ListValue> =
                (0..LOOK_UPS / 4).map(|number| value(&of, first + spread(number, settings))).collect();
            let stopwatch = Stopwatch::start();
            let mut found = 0_u32;
            for name in names.iter().cycle().take(LOOK_UPS as usize) {
                let listed = match name {
                    ListValue::Text(text) => Listed::Text(text),
                    ListValue::Entity(token) => Listed::Entity(*token),
                };
                found += u32::from(replayed.list_has(&list, black_box(listed), NOW));
            }
            (stopwatch.elapsed().as_secs_f64() * 1e9 / f64::from(LOOK_UPS), found)
        };
        let (present_ns, present) = look_up_ns(0);
        let (absent_ns, absent) = look_up_ns(settings.values);
        ensure!((present, absent) == (LOOK_UPS, 0), "the list has what was added and nothing else");
        outln!("A list of {what}: {each:.1} bytes a value, replayed in {replay_s:.2} s")?;
        outln!("  a value that is in the list {present_ns:>10.0} ns")?;
        outln!("  a value that is not         {absent_ns:>10.0} ns")?;
        figures.insert(
            what.to_owned(),
            json!({
                "bytes": each, "replay_s": replay_s, "present_ns": present_ns, "absent_ns": absent_ns,
            }),
        );
    }
    if settings.json {
        outln!("{}", json!({"processor": processor(), "values": settings.values, "figures": figures}))?;
    }
    Ok(())
}

/// Numbers below the number of values, in an order that looks random.
fn spread(number: u32, settings: &Settings) -> u32 {
    let mixed = u64::from(number).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
    u32::try_from(mixed % u64::from(settings.values)).unwrap_or_default()
}

/// A value by its number.
fn value(of: &ListOf, number: u32) -> ListValue {
    match of {
        ListOf::Text => ListValue::Text(format!("value {number}").into()),
        // Real tokens look random too.
        ListOf::Entity(_) => ListValue::Entity(Token::new(Digest::of(&number.to_le_bytes()).head_u128())),
    }
}

/// The entries of a list that is loaded in pieces of the largest size, and the engine that decided them.
fn entries(settings: &Settings, list: &Name, of: &ListOf) -> anyhow::Result<(Vec<Entry>, Engine)> {
    let mut entries = Vec::new();
    let mut engine = Engine::new(ShardId::new(0), TenantId::new(1));
    engine.start(NOW, Origin::new(1), &mut |applied: Applied<'_>| entries.push(applied.entry.clone()));
    let mut ask = |command: Command, entries: &mut Vec<Entry>| {
        let request = Request { tenant: TenantId::new(1), actor: ActorId::new(1), id: RequestId::default(), command };
        engine.execute(NOW, &request, &mut |applied: Applied<'_>| entries.push(applied.entry.clone()))
    };
    let (purpose, description) = (ListPurpose::Block, "".into());
    ask(MakeList { name: list.clone(), of: of.clone(), purpose, description }.into(), &mut entries)?;
    let reason: Arc<str> = Arc::from("a file");
    let numbers: Vec<u32> = (0..settings.values).collect();
    for piece in numbers.chunks(LIST_CHANGES_MAX) {
        let added =
            |number: &u32| AddedValue { value: value(of, *number), expires_at: None, reason: Arc::clone(&reason) };
        let values = piece.iter().map(added).collect();
        ask(AddToList { list: list.clone(), of: of.clone(), values }.into(), &mut entries)?;
    }
    Ok((entries, engine))
}
