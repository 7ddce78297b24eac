//! CEL expressions. An expression that compiles is evaluated.

use policy::cel::{COST_MAX, EvalError, Row, Schema, Slot, Type, Value, compile};
use types::{AccountId, Timestamp, Token};

use crate::{Verdict, check_line};

struct Values(Vec<Option<Value<'static>>>);

impl Row for Values {
    fn get(&self, slot: Slot) -> Option<Value<'_>> {
        self.0.get(usize::from(slot.0)).copied().flatten()
    }
}

const NAMES: [(&str, Type, Value<'static>, bool); 12] = [
    ("payment.amount", Type::Int, Value::Int(1250), false),
    ("payment.rate", Type::Double, Value::Double(2.5), true),
    ("payment.country", Type::Text, Value::Text("smørbrød"), true),
    ("payment.trusted", Type::Bool, Value::Bool(true), true),
    ("payment.decided_at", Type::Time, Value::Null, false),
    ("payment.age", Type::Duration, Value::Duration(-5_400_000_000_000), false),
    ("payment.from", Type::Account, Value::Account(AccountId::new(1)), true),
    ("payment.customer", Type::Entity(0), Value::Entity(Token::new(7), "c42"), false),
    ("payment.device", Type::Entity(1), Value::Entity(Token::new(7), "phone"), true),
    ("features.smallest", Type::Int, Value::Int(i64::MIN), true),
    ("features.nan", Type::Double, Value::Double(f64::NAN), true),
    ("features.cards_1h", Type::Int, Value::Int(3), true),
];

pub(super) fn expression(bytes: &[u8]) -> Verdict {
    let Ok(source) = std::str::from_utf8(bytes) else { return Verdict::no_input() };
    let mut schema = Schema::new();
    schema.entity_names(["customer", "device"].map(str::to_owned));
    for (path, ty, _, optional) in NAMES {
        schema.declare(path, ty, optional);
    }
    let program = match compile(source, &schema, &[]) {
        Ok(program) => program,
        Err(error) => {
            let lines = u32::try_from(source.matches('\n').count()).unwrap_or(u32::MAX);
            assert!(
                (1..=lines.saturating_add(1)).contains(&error.line) && error.column > 0,
                "the position of {error} is inside {source:?}"
            );
            return check_line(error);
        }
    };
    assert!(program.cost() <= COST_MAX && program.source() == source, "the cost of {source:?} is bounded");
    let at = Value::Time(Timestamp::from_ns(1_795_368_645_500_000_000).into());
    let value = |value: Value<'static>| if value == Value::Null { at } else { value };
    let all = Values(NAMES.iter().map(|(_, _, given, _)| Some(value(*given))).collect());
    let few = Values(NAMES.iter().map(|(_, _, given, optional)| (!optional).then_some(value(*given))).collect());
    let ty = std::mem::discriminant(&program.ty());
    for row in [all, few] {
        program.eval(&row, |value| match value {
            Ok(value) => {
                let is_checked_later = program.ty() == Type::Dyn;
                assert!(is_checked_later || std::mem::discriminant(&value.ty()) == ty, "{source:?} gives {value:?}");
            }
            Err(error @ (EvalError::Mistyped(_) | EvalError::WrongResult)) => {
                panic!("{source:?} passed the type check but failed: {error}")
            }
            Err(error) => drop(check_line(error)),
        });
    }
    Verdict::Accepted
}

pub(super) fn seeds() -> Vec<(String, Vec<u8>)> {
    let sources = [
        ("velocity", "features.cards_1h > 5 && payment.amount >= 50000"),
        ("missing", "!has(payment.rate) || payment.rate * 2.0 > 1e3"),
        (
            "words",
            "payment.country in ['NO', 'SE', \"DK\"] || payment.country.startsWith('smør') || size(payment.country) == 8",
        ),
        (
            "times",
            "payment.decided_at - timestamp('2026-01-01T00:00:00Z') > duration('7d12h') && payment.age < duration('0s')",
        ),
        ("calendar", "payment.decided_at.getHours() < 6 || payment.decided_at.getDayOfWeek() == 0"),
        ("arithmetic", "(payment.amount / 10 + 3) % 7 - -2 * 0x1f"),
        ("conversion", "int(payment.rate) + int(double(features.smallest)) - 1"),
        ("choice", "payment.trusted ? payment.amount : features.smallest"),
        ("entities", "payment.customer == payment.customer && has(payment.device) && has(payment.from)"),
        ("values", "payment.customer == 'c42' || payment.device in ['phone', 'tablet']"),
        ("strings", "payment.country.contains('b\\u00e6\\n') || payment.country.endsWith('d')"),
        ("nan", "features.nan == features.nan || features.nan < 1"),
        ("lists", "[payment.amount, 2].filter(x, x > 2).map(x, [x, x + 1]).all(pair, pair[0] < pair[1])"),
        ("pairs", "{'a': payment.amount}.transformMap(k, v, k.size() + v).exists(k, v, v in [1u, dyn(2.5)])"),
        ("zones", "payment.decided_at.getHours('Europe/Berlin') > 6 && payment.decided_at.getDate('+05:45') == 1"),
        ("patterns", "payment.country.matches('^[A-Z]{2}\\\\d{0,30}$') || r'\\d'.size() == 2"),
        ("joined", "(payment.country + string(payment.rate)).upperAscii().substring(1, 3) + '''x''' != 'a'"),
        ("bytes", "bytes(payment.country) + b'\\xff' < b'a' || type(dyn(1u)) == uint || null == null"),
    ];
    sources.iter().map(|(name, source)| ((*name).to_owned(), source.as_bytes().to_vec())).collect()
}
