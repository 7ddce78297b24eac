//! Tests of the language as its users see it: a source, a row and the result.

mod conformance;
mod errors;
mod random;
mod values;

use types::{AccountId, Timestamp, Token};

use super::{CompileError, EvalError, Program, Row, Schema, Slot, Type, Value, compile};

/// A payment with its features. `None` means missing.
struct Payment {
    schema: Schema,
    values: Vec<Option<Value<'static>>>,
}

impl Row for Payment {
    fn get(&self, slot: Slot) -> Option<Value<'_>> {
        self.values.get(usize::from(slot.0)).copied().flatten()
    }
}

impl Payment {
    fn example() -> Self {
        let at = Timestamp::from_ns(1_795_368_645_500_000_000); // Sunday 2026-11-22 17:30:45.5
        let names = [
            ("payment.amount", Type::Int, Some(Value::Int(1250))),
            ("payment.rate", Type::Double, Some(Value::Double(2.5))),
            ("payment.country", Type::Text, Some(Value::Text("NO"))),
            ("payment.word", Type::Text, Some(Value::Text("smørbrød"))),
            ("payment.vip", Type::Bool, Some(Value::Bool(true))),
            ("payment.at", Type::Time, Some(Value::Time(at.into()))),
            ("payment.age", Type::Duration, Some(Value::Duration(-5_400_000_000_000))),
            ("payment.from", Type::Account, Some(Value::Account(AccountId::new(1)))),
            ("payment.to", Type::Account, Some(Value::Account(AccountId::new(2)))),
            ("payment.customer", Type::Entity(0), Some(Value::Entity(Token::new(7), "alice"))),
            ("payment.payer", Type::Entity(0), Some(Value::Entity(Token::new(7), "alice"))),
            ("payment.card", Type::Entity(1), Some(Value::Entity(Token::new(7), "4111"))),
            ("payment.smallest", Type::Int, Some(Value::Int(i64::MIN))),
            ("payment.nan", Type::Double, Some(Value::Double(f64::NAN))),
            ("payment.mistyped", Type::Int, Some(Value::Text("5"))),
            ("features.count", Type::Int, None),
            ("features.email", Type::Text, None),
            ("features.flag", Type::Bool, None),
            ("features.device", Type::Entity(2), None),
        ];
        let mut schema = Schema::new();
        schema.entity_names(["customer", "card", "device"].map(str::to_owned));
        for (path, ty, value) in names {
            schema.declare(path, ty, value.is_none());
        }
        Self { schema, values: names.into_iter().map(|(_, _, value)| value).collect() }
    }

    fn compile(&self, source: &str) -> Result<Program, CompileError> {
        compile(source, &self.schema, &[])
    }

    /// The result of evaluating `source`, as the tables write it.
    fn answer(&self, source: &str) -> String {
        match self.compile(source) {
            Ok(program) => program.eval(self, |value| match value {
                Ok(value) => show(value),
                Err(error) => self.show_error(error),
            }),
            Err(error) => error.to_string(),
        }
    }

    fn show_error(&self, error: EvalError) -> String {
        match error {
            EvalError::Missing(slot) => format!("missing {}", self.schema.path(slot).unwrap_or("?")),
            EvalError::Mistyped(_)
            | EvalError::Overflow
            | EvalError::DivisionByZero
            | EvalError::InvalidConversion
            | EvalError::NoOverload
            | EvalError::NotFound
            | EvalError::DuplicateKey
            | EvalError::TooLong
            | EvalError::WrongResult => error.to_string(),
        }
    }
}

fn show(value: Value<'_>) -> String {
    match value {
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Double(value) => format!("{value:?}"),
        Value::Text(value) => format!("'{value}'"),
        Value::Time(value) => value.to_string(),
        Value::Duration(ns) => format!("{ns}ns"),
        Value::Account(value) => format!("account {}", value.get()),
        Value::Entity(token, text) => format!("entity {} {text}", token.get()),
        Value::Null => "null".to_owned(),
        Value::Uint(value) => format!("{value}u"),
        Value::Bytes(bytes) => format!("b'{}'", bytes.escape_ascii()),
        Value::Type(ty) => format!("type {}", Schema::new().type_name(ty)),
        Value::List(list) => format!("[{}]", list.iter().map(show).collect::<Vec<_>>().join(", ")),
        Value::Map(map) => {
            let entry = |(key, value)| format!("{}: {}", show(key), show(value));
            format!("{{{}}}", map.iter().map(entry).collect::<Vec<_>>().join(", "))
        }
    }
}

/// Checks a table in which each line is `source => answer`.
#[track_caller]
fn check(table: &str) {
    let payment = Payment::example();
    let lines = table.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let cases = lines.map(|line| line.rsplit_once(" => ").expect("source => answer"));
    let (mut expected, mut found) = (String::new(), String::new());
    for (source, answer) in cases {
        expected += &format!("{} => {}\n", source.trim(), answer.trim());
        found += &format!("{} => {}\n", source.trim(), payment.answer(source.trim()));
    }
    assert!(expected == found, "expected:\n{expected}\nfound:\n{found}");
}
