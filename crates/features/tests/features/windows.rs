//! Tables of what windows answer. Instants and spans are in nanoseconds; a record is written `instant#sequence`.

use std::collections::BTreeMap;

use features::{Item, Missing, RecordChange, Stream, StreamId, Update, UpdateOutcome, Window, Windows};
use types::{DigestBuilder, Seq, Span, Timestamp, Token};

const STREAM: StreamId = StreamId::new(7);

#[test]
fn a_window_excludes_its_start_and_includes_its_end() {
    check(
        "
        open retention=100
        A insert 10#1 1                    -> kept
        A insert 20#2 20                   -> kept
        A insert 30#3 300                  -> kept
        A at 30 length=10                  -> 1 300 0
        A at 30 length=11                  -> 2 320 0
        A at 30 length=20                  -> 2 320 0
        A at 29 length=10                  -> 1 20 0
        A at 29 length=20                  -> 2 21 0
        A at 40 length=10                  -> 0 0 0
        B at 30 length=30                  -> 0 0 0
        ",
    );
}

#[test]
fn a_delayed_window_ends_earlier() {
    check(
        "
        open retention=100
        A insert 10#1 1                    -> kept
        A insert 20#2 20                   -> kept
        A insert 30#3 300                  -> kept
        A at 30 length=10 delay=10         -> 1 20 0
        A at 30 length=20 delay=10         -> 2 21 0
        A at 39 length=10 delay=10         -> 1 20 0
        A at 40 length=10 delay=10         -> 1 300 0
        ",
    );
}

#[test]
fn the_candidate_counts_where_its_instant_is_inside() {
    check(
        "
        open retention=100
        A insert 30#1 300                  -> kept
        A at 30 length=10 candidate=-7     -> 2 293 0
        A at 40 length=10 candidate=-7     -> 1 -7 0
        A at 40 length=10 delay=10 candidate=-7 -> 1 300 0
        A at 30 length=0 candidate=-7      -> 0 0 0
        B at 30 length=10 candidate=-7     -> 1 -7 0
        ",
    );
}

#[test]
fn what_lies_before_1970_is_empty() {
    check(
        "
        open retention=100
        A insert 0#1 1                     -> kept
        A insert 5#2 20                    -> kept
        A at 5 length=5                    -> 1 20 0
        A at 5 length=6                    -> 2 21 0
        A at 5 length=18446744073709551615 -> 2 21 0
        A at 5 length=9 delay=5            -> 1 1 0
        A at 5 length=9 delay=6            -> 0 0 0
        A at 5 length=9 delay=18446744073709551615 candidate=1 -> 0 0 0
        ",
    );
}

#[test]
fn a_label_counts_from_its_own_update_on_in_the_window_of_its_record() {
    check(
        "
        open retention=100
        A insert 10#1 1                    -> kept
        A insert 20#2 20                   -> kept
        A at 30 length=15 delay=10         -> 2 21 0
        A label 10#1                       -> kept
        A label 10#1                       -> kept
        A at 30 length=15 delay=10         -> 2 21 1
        A at 30 length=15                  -> 1 20 0
        A label 20#2                       -> kept
        A at 30 length=15 delay=10         -> 2 21 2
        A unlabel 10#1                     -> kept
        A unlabel 10#1                     -> kept
        A at 30 length=15 delay=10         -> 2 21 1
        A label 11#1                       -> unchanged
        A unlabel 11#1                     -> unchanged
        B label 10#1                       -> unchanged
        A at 30 length=30                  -> 2 21 1
        ",
    );
}

#[test]
fn records_of_one_instant_are_told_apart_by_sequence() {
    check(
        "
        open retention=100
        A insert 10#5 500                  -> kept
        A insert 10#2 20                   -> kept
        A insert 10#9 9000                 -> kept
        A label 10#5                       -> kept
        A at 10 length=1                   -> 3 9520 1
        A remove 10#2                      -> kept
        A at 10 length=1                   -> 2 9500 1
        A remove 10#5                      -> kept
        A at 10 length=1                   -> 1 9000 0
        ",
    );
}

#[test]
fn of_one_instant_the_lower_sequences_are_dropped_first() {
    check(
        "
        open retention=100 records_max=2
        A insert 10#5 500                  -> kept
        A insert 20#6 1                    -> kept
        A insert 20#3 20                   -> trimmed
        A at 20 length=10                  -> 2 21 0
        A at 20 length=11                  -> window_truncated
        A insert 20#4 300                  -> trimmed
        A at 20 length=10                  -> window_truncated
        A at 25 length=5                   -> 0 0 0
        ",
    );
}

#[test]
fn a_removed_record_and_its_label_never_counted() {
    check(
        "
        open retention=100
        A insert 10#1 1                    -> kept
        A insert 20#2 20                   -> kept
        A insert 30#3 300                  -> kept
        A label 20#2                       -> kept
        A remove 20#2                      -> kept
        A remove 20#2                      -> unchanged
        A label 20#2                       -> unchanged
        B remove 20#2                      -> unchanged
        A at 30 length=30                  -> 2 301 0
        A at 30 length=20                  -> 1 300 0
        A insert 20#2 20                   -> kept
        A at 30 length=30                  -> 3 321 0
        ",
    );
}

#[test]
fn inserting_again_replaces_the_value_and_keeps_the_label() {
    check(
        "
        open retention=100
        A insert 10#1 1                    -> kept
        A insert 20#2 20                   -> kept
        A label 10#1                       -> kept
        A insert 10#1 -5                   -> kept
        A at 30 length=30                  -> 2 15 1
        A at 15 length=15                  -> 1 -5 1
        A at 30 length=15                  -> 1 20 0
        held records=2 entities=1
        ",
    );
}

#[test]
fn a_late_insert_finds_its_place() {
    check(
        "
        open retention=100
        A insert 30#1 300                  -> kept
        A insert 10#2 1                    -> kept
        A insert 20#3 20                   -> kept
        A at 30 length=10                  -> 1 300 0
        A at 20 length=10                  -> 1 20 0
        A at 10 length=10                  -> 1 1 0
        A at 30 length=30                  -> 3 321 0
        ",
    );
}

#[test]
fn sums_beyond_64_bits_are_exact() {
    check(
        "
        open retention=100
        A insert 1#1 9223372036854775807   -> kept
        A insert 2#2 9223372036854775807   -> kept
        A insert 3#3 -9223372036854775808  -> kept
        A at 2 length=2                    -> 2 18446744073709551614 0
        A at 3 length=3                    -> 3 9223372036854775806 0
        A insert 1#1 -9223372036854775808  -> kept
        A at 2 length=2                    -> 2 -1 0
        A at 3 length=1 candidate=-9223372036854775808 -> 2 -18446744073709551616 0
        ",
    );
}

#[test]
fn beyond_the_retention_a_window_is_missing_not_short() {
    check(
        "
        open retention=20
        A insert 10#1 1                    -> kept
        A insert 20#2 20                   -> kept
        A label 10#1                       -> kept
        A insert 30#3 300                  -> kept
        A at 30 length=20                  -> 2 320 0
        A at 30 length=21                  -> window_truncated
        A at 29 length=20                  -> window_truncated
        A at 29 length=10 delay=9          -> 1 20 0
        A at 29 length=10 delay=10         -> window_truncated
        A at 50 length=40                  -> 2 320 0
        A insert 10#4 1                    -> unchanged
        A label 10#1                       -> unchanged
        A remove 10#1                      -> unchanged
        B at 29 length=20                  -> window_truncated
        held records=2 entities=1
        ",
    );
}

#[test]
fn the_retention_counts_from_the_newest_record_of_any_entity() {
    check(
        "
        open retention=20
        A insert 10#1 1                    -> kept
        A insert 15#2 20                   -> kept
        B insert 30#3 300                  -> kept
        A at 30 length=20                  -> 1 20 0
        A at 29 length=20                  -> window_truncated
        A label 10#1                       -> unchanged
        A insert 20#4 4000                 -> kept
        A at 30 length=20                  -> 2 4020 0
        ",
    );
}

#[test]
fn past_records_max_windows_that_need_what_was_dropped_are_missing() {
    check(
        "
        open retention=100 records_max=2
        A insert 10#1 1                    -> kept
        A insert 20#2 20                   -> kept
        A label 10#1                       -> kept
        A insert 30#3 300                  -> trimmed
        A at 30 length=20                  -> 2 320 0
        A at 30 length=21                  -> window_truncated
        A at 15 length=5                   -> 0 0 0
        A at 15 length=6                   -> window_truncated
        A insert 10#4 1                    -> window_truncated
        A insert 11#5 1                    -> trimmed
        A at 30 length=19                  -> 2 320 0
        A at 30 length=20                  -> window_truncated
        A remove 30#3                      -> kept
        A insert 31#6 4000                 -> kept
        A at 31 length=20                  -> 2 4020 0
        A at 31 length=21                  -> window_truncated
        B at 31 length=31                  -> 0 0 0
        held records=2 entities=1
        ",
    );
}

#[test]
fn records_that_the_retention_passed_leave_room_before_records_max_drops() {
    check(
        "
        open retention=20 records_max=2
        A insert 10#1 1                    -> kept
        A insert 20#2 20                   -> kept
        A insert 30#3 300                  -> kept
        A at 30 length=20                  -> 2 320 0
        ",
    );
}

#[test]
fn past_entities_max_unknown_entities_are_missing_until_the_window_has_passed_the_refusal() {
    check(
        "
        open retention=20 entities_max=2
        A insert 10#1 1                    -> kept
        B insert 11#2 20                   -> kept
        C at 12 length=20 candidate=5      -> 1 5 0
        C insert 12#3 300                  -> too_many_entities
        C label 12#3                       -> unchanged
        C at 13 length=1                   -> 0 0 0
        C at 13 length=2                   -> too_many_entities
        D at 13 length=2                   -> too_many_entities
        A at 13 length=13                  -> 1 1 0
        A insert 13#4 4000                 -> kept
        A at 13 length=13                  -> 2 4001 0
        held records=3 entities=2
        ",
    );
}

#[test]
fn an_entity_that_fell_idle_makes_room_for_another() {
    check(
        "
        open retention=20 entities_max=2
        A insert 10#1 1                    -> kept
        B insert 11#2 20                   -> kept
        C insert 25#3 300                  -> too_many_entities
        A insert 29#4 4000                 -> kept
        C insert 30#5 50000                -> too_many_entities
        C insert 31#6 600000               -> kept
        B at 31 length=20                  -> too_many_entities
        C at 31 length=1                   -> 1 600000 0
        C at 31 length=2                   -> window_truncated
        C insert 30#7 1                    -> window_truncated
        A at 31 length=20                  -> 1 4000 0
        held records=2 entities=2
        ",
    );
}

#[test]
fn an_emptied_entity_leaves_its_place_unless_it_dropped_something() {
    check(
        "
        open retention=20 entities_max=1 records_max=1
        A insert 10#1 1                    -> kept
        A remove 10#1                      -> kept
        held records=0 entities=0
        B insert 11#2 20                   -> kept
        B insert 12#3 20                   -> trimmed
        B remove 12#3                      -> kept
        held records=0 entities=1
        A insert 13#4 1                    -> too_many_entities
        A insert 32#5 300                  -> kept
        held records=1 entities=1
        ",
    );
}

#[test]
fn an_entity_is_not_forgotten_while_what_it_dropped_matters() {
    check(
        "
        open retention=20 records_max=1
        A insert 10#1 1                    -> kept
        A insert 25#2 20                   -> trimmed
        A insert 26#3 300                  -> trimmed
        A remove 26#3                      -> kept
        B insert 40#4 4000                 -> kept
        A at 40 length=20                  -> window_truncated
        A at 40 length=15                  -> 0 0 0
        B insert 46#5 4000                 -> trimmed
        A at 46 length=20                  -> 0 0 0
        held records=1 entities=1
        ",
    );
}

#[test]
fn opening_again_widens_and_brings_nothing_back() {
    check(
        "
        open retention=10 records_max=1 entities_max=1
        A insert 10#1 1                    -> kept
        A insert 30#2 20                   -> kept
        A insert 31#3 300                  -> trimmed
        B insert 31#4 4000                 -> too_many_entities
        open retention=40 records_max=2 entities_max=2
        open retention=5 records_max=1 entities_max=1
        A insert 40#5 50000                -> kept
        A at 40 length=10                  -> 2 50300 0
        A at 40 length=11                  -> window_truncated
        B at 40 length=10                  -> too_many_entities
        B insert 41#6 600000               -> kept
        B at 41 length=10                  -> 1 600000 0
        C at 41 length=21                  -> window_truncated
        A insert 65#7 7                    -> trimmed
        A at 65 length=25                  -> 1 7 0
        C at 65 length=35                  -> too_many_entities
        C at 65 length=34                  -> 0 0 0
        ",
    );
}

#[test]
fn a_stream_that_is_not_open_says_so() {
    check(
        "
        A insert 10#1 1                    -> unchanged
        A at 10 length=1                   -> unknown_stream
        held records=0 entities=0
        ",
    );
}

#[test]
fn what_happened_before_a_stream_recorded_is_missing_not_zero() {
    check(
        "
        open retention=100 since=50
        A insert 60#1 5                    -> kept
        A at 60 length=10                  -> 1 5 0
        A at 60 length=12                  -> window_truncated
        B at 60 length=12                  -> window_truncated
        A at 70 length=20                  -> 1 5 0
        open retention=100 since=65
        A at 70 length=20                  -> window_truncated
        A at 80 length=15                  -> 0 0 0
        ",
    );
}

#[test]
fn streams_are_apart() {
    let mut windows = Windows::default();
    let stream = |id| Stream {
        id: StreamId::new(id),
        retention: Span::from_ns(9),
        records_max: 9,
        entities_max: 9,
        recorded_since: Timestamp::ZERO,
    };
    windows.open(&stream(1));
    windows.open(&stream(2));
    let (entity, at) = (Token::new(1), Timestamp::from_ns(5));
    let window = Window { length: Span::from_ns(5), delay: Span::ZERO };
    let mut digests = Vec::new();
    for id in [1, 2] {
        let count = |windows: &Windows, id| {
            windows.aggregate(StreamId::new(id), entity, window, at, None).map(|recorded| recorded.count)
        };
        assert_eq!(count(&windows, id), Ok(0));
        let change = RecordChange::Insert { value: 3, item: None };
        let update = Update { stream: StreamId::new(id), entity, at, seq: Seq::new(1), change };
        assert_eq!(windows.apply(&update), UpdateOutcome::Kept);
        assert_eq!(count(&windows, id), Ok(1));
        assert_eq!(count(&windows, 3), Err(Missing::UnknownStream));
        let mut digest = DigestBuilder::new("finaira features test");
        windows.digest_after(&update, &mut digest);
        digests.push(digest.digest());
    }
    assert_ne!(digests[0], digests[1]);
    assert_eq!((windows.records(), windows.entities()), (2, 2));
}

#[test]
fn the_digest_sees_every_part_of_an_update_and_of_its_entity() {
    let digest = |table: &str| {
        let (windows, update) = run(table);
        let mut builder = DigestBuilder::new("finaira features test");
        windows.digest_after(&update.expect("the table updates something"), &mut builder);
        builder.digest()
    };
    let differing = [
        "A insert 10#1 1 -> unchanged",
        "open retention=9\n A insert 10#1 1 -> kept",
        "open retention=8\n A insert 10#1 1 -> kept",
        "open retention=9\n B insert 10#1 1 -> kept",
        "open retention=9\n A insert 11#1 1 -> kept",
        "open retention=9\n A insert 10#2 1 -> kept",
        "open retention=9\n A insert 10#1 2 -> kept",
        "open retention=9\n A insert 10#1 1 5 -> kept",
        "open retention=9\n A insert 10#1 1 6 -> kept",
        "open retention=9\n A insert 9#3 0 -> kept\n A insert 10#1 1 -> kept",
        "open retention=9\n A insert 9#3 1 -> kept\n A insert 10#1 1 -> kept",
        "open retention=9\n A insert 9#3 0 -> kept\n A label 9#3 -> kept\n A insert 10#1 1 -> kept",
        "open retention=9\n A insert 10#1 1 -> kept\n A remove 10#1 -> kept",
        "open retention=9\n A insert 10#1 1 -> kept\n A label 10#1 -> kept",
        "open retention=9\n A insert 10#1 1 -> kept\n A unlabel 10#1 -> kept",
        "open retention=9\n A insert 10#1 1 -> kept\n A label 10#9 -> unchanged",
        "open retention=9\n A insert 10#1 1 -> kept\n A unlabel 10#9 -> unchanged",
    ];
    let mut seen = BTreeMap::new();
    for table in differing {
        assert_eq!(seen.insert(digest(table), table), None, "{table}");
    }
    let waiting = "open retention=9\n A insert 1#1 1 -> kept\n B insert 20#2 1 -> kept\n A label 1#1 -> unchanged";
    let forgotten = "open retention=9\n B insert 20#2 1 -> kept\n A label 1#1 -> unchanged";
    assert_eq!(digest(waiting), digest(forgotten), "the digest omits what can no longer be asked");
}

#[track_caller]
fn check(table: &str) {
    run(table);
}

/// Runs a table, and returns the final state and the last update. This is the only test code that knows the interface.
#[track_caller]
fn run(table: &str) -> (Windows, Option<Update>) {
    let mut windows = Windows::default();
    let mut updated = None;
    for line in table.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (command, expected) = line.split_once("->").unwrap_or((line, ""));
        let words: Vec<&str> = command.split_whitespace().collect();
        let option = |name: &str| {
            words.iter().find_map(|word| word.strip_prefix(name)?.strip_prefix('=')).map(|text| number(text, line))
        };
        let small = |name| option(name).map_or(100, |bound| u32::try_from(bound).expect(line));
        let span = |name| option(name).map_or(Span::ZERO, |ns| Span::from_ns(u64::try_from(ns).expect(line)));
        let got = match words[..] {
            ["open", ..] => {
                windows.open(&Stream {
                    id: STREAM,
                    retention: span("retention"),
                    records_max: small("records_max"),
                    entities_max: small("entities_max"),
                    recorded_since: Timestamp::from_ns(span("since").ns()),
                });
                String::new()
            }
            ["held", ..] => {
                let counted = (Some(i128::from(windows.records())), Some(i128::from(windows.entities())));
                assert_eq!(counted, (option("records"), option("entities")), "{line}");
                String::new()
            }
            [entity, "at", at, ..] => {
                let window = Window { length: span("length"), delay: span("delay") };
                let candidate = option("candidate").map(|value| i64::try_from(value).expect(line));
                match windows.aggregate(STREAM, token(entity), window, instant(at, line), candidate) {
                    Ok(sum) => format!("{} {} {}", sum.count, sum.sum, sum.positives),
                    Err(missing) => reason(missing).to_owned(),
                }
            }
            [entity, verb, record, ref rest @ ..] => {
                let (at, seq) = record.split_once('#').expect(line);
                let change = match (verb, rest) {
                    ("insert", [value]) => {
                        RecordChange::Insert { value: i64::try_from(number(value, line)).expect(line), item: None }
                    }
                    ("insert", [value, item]) => RecordChange::Insert {
                        value: i64::try_from(number(value, line)).expect(line),
                        item: Item::new(u64::try_from(number(item, line)).expect(line)),
                    },
                    ("remove", []) => RecordChange::Remove,
                    ("label", []) => RecordChange::Label { positive: true },
                    ("unlabel", []) => RecordChange::Label { positive: false },
                    _ => panic!("{line}"),
                };
                let seq = Seq::new(u64::try_from(number(seq, line)).expect(line));
                let update = Update { stream: STREAM, entity: token(entity), at: instant(at, line), seq, change };
                updated = Some(update);
                match windows.apply(&update) {
                    UpdateOutcome::Kept => "kept".to_owned(),
                    UpdateOutcome::Trimmed => "trimmed".to_owned(),
                    UpdateOutcome::Unchanged => "unchanged".to_owned(),
                    UpdateOutcome::Dropped(missing) => reason(missing).to_owned(),
                }
            }
            _ => panic!("{line}"),
        };
        assert_eq!(got, expected.trim(), "{line}");
    }
    (windows, updated)
}

fn token(entity: &str) -> Token {
    Token::new(entity.bytes().fold(0, |token, byte| token * 256 + u128::from(byte)))
}

#[track_caller]
fn instant(text: &str, line: &str) -> Timestamp {
    Timestamp::from_ns(u64::try_from(number(text, line)).expect(line))
}

#[track_caller]
fn number(text: &str, line: &str) -> i128 {
    text.parse().expect(line)
}

fn reason(missing: Missing) -> &'static str {
    match missing {
        Missing::WindowTruncated => "window_truncated",
        Missing::TooManyEntities => "too_many_entities",
        Missing::UnknownStream => "unknown_stream",
    }
}
