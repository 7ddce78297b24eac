//! Compiles any source at all, and compares expressions with another evaluator: the interpreter of the library whose
//! parser we use.

use cel::{Context, Program as Oracle, Value as OracleValue};
use proptest::prelude::*;

use super::super::check::{Folding, compile_with};
use super::*;

const WORDS: [&str; 70] = [
    "1",
    "0",
    "-1",
    "2.5",
    "1e400",
    "5u",
    "r'\\d'",
    "'''x'''",
    "dyn(",
    "string(",
    "timestamp(",
    ".map(x, ",
    ".matches(",
    ".transformMap(x, ",
    "{'a': 1}",
    "[1, 'a']",
    "0x",
    "9223372036854775808",
    "'a'",
    "\"b\"",
    "'",
    "'\\n'",
    "'\\ud800'",
    "b'x'",
    "true",
    "null",
    "payment.amount",
    "payment",
    "amount",
    "features.count",
    "math",
    "x",
    "if",
    "_",
    "`y`",
    "(",
    ")",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ",",
    ",",
    ".",
    ".",
    "?",
    ":",
    "+",
    "-",
    "*",
    "/",
    "%",
    "==",
    "!=",
    "<",
    ">=",
    "&&",
    "||",
    "!",
    "in",
    "=",
    "&",
    "has(",
    "all(x, ",
    ".size()",
    "//",
    "\n",
    "ø",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn any_text_gives_a_program_or_an_error(source in "\\PC{0,60}") {
        Payment::example().answer(&source);
    }

    #[test]
    fn any_words_give_a_program_or_an_error(words in prop::collection::vec(prop::sample::select(&WORDS[..]), 0..24)) {
        Payment::example().answer(&words.join(" "));
        Payment::example().answer(&words.concat());
    }

    #[test]
    fn any_expression_is_what_another_evaluator_says(source in boolean(), row in row()) {
        row.check(&source)?;
    }

    #[test]
    fn any_number_is_what_another_evaluator_says(source in prop_oneof![int(), double()], row in row()) {
        row.check(&source)?;
    }

    #[test]
    fn any_string_or_list_is_what_another_evaluator_says(source in prop_oneof![text(), list()], row in row()) {
        row.check(&source)?;
    }
}

fn boolean() -> impl Strategy<Value = String> {
    any_type().prop_map(|typed| typed.boolean)
}

fn int() -> impl Strategy<Value = String> {
    any_type().prop_map(|typed| typed.int)
}

fn double() -> impl Strategy<Value = String> {
    any_type().prop_map(|typed| typed.double)
}

fn text() -> impl Strategy<Value = String> {
    any_type().prop_map(|typed| typed.text)
}

fn list() -> impl Strategy<Value = String> {
    any_type().prop_map(|typed| typed.list)
}

/// One expression of each type, from which bigger ones are put together. Doubles stay small: the other evaluator
/// compares an int with a double after rounding the int, and calls a comparison with NaN an error.
#[derive(Debug, Clone)]
struct Typed {
    boolean: String,
    int: String,
    double: String,
    text: String,
    /// A list of ints.
    list: String,
}

fn any_type() -> impl Strategy<Value = Typed> {
    let pick = |choices: &'static [&'static str]| prop::sample::select(choices).prop_map(str::to_owned);
    let boolean = pick(&["p", "q", "true", "false", "f.missing"]);
    let int = pick(&["x", "y", "0", "1", "-1", "7", "9223372036854775807", "-9223372036854775808", "9007199254740993"]);
    let double = pick(&["d", "e", "0.0", "1.0", "-2.5", "0.125", "1e3"]);
    let text = pick(&["s", "t", "'NO'", "''", "'N'", "'ø'"]);
    let list = pick(&["[]", "[x]", "[1, 2, 3]", "[y, 0]", "[x, y, 7, -1]"]);
    let leaf = (boolean, int, double, text, list);
    let leaf = leaf.prop_map(|(boolean, int, double, text, list)| Typed { boolean, int, double, text, list });
    leaf.prop_recursive(5, 64, 2, |inner| {
        let parts = (inner.clone(), inner, 0..20_usize, 0..11_usize, 0..6_usize, 0..5_usize, 0..8_usize);
        parts.prop_map(|(a, b, of_bool, of_int, of_double, of_text, of_list)| {
            let (p, q, x, y, d, e, s, t) = (a.boolean, b.boolean, a.int, b.int, a.double, b.double, a.text, b.text);
            let (l, m) = (a.list, b.list);
            let boolean = match of_bool {
                0 => format!("({p} && {q})"),
                1 => format!("({p} || {q})"),
                2 => format!("!({p})"),
                3 => format!("({x} < {y})"),
                4 => format!("({x} == {y})"),
                5 => format!("({x} >= {d})"),
                6 => format!("({d} == {x})"),
                7 => format!("({d} <= {e})"),
                8 => format!("({s} != {t})"),
                9 => format!("({s} < {t})"),
                10 => format!("({s}).contains({t})"),
                11 => format!("({x} in {l})"),
                12 => format!("({l}).all(v, v < {y})"),
                13 => format!("({l}).exists(v, v == {y} || {p})"),
                14 => format!("({l}).exists_one(v, v > {y})"),
                15 => format!("({l} == {m})"),
                16 => format!("({l}).all(v, ({m}).exists(w, w == v))"),
                17 => format!("[{s}, {t}, 'NO'].exists(w, w.startsWith({s}))"),
                18 => format!("(dyn({x}) == dyn({t}))"),
                _ => format!("(({x}) in [1, 7, -1] ? {p} : {q})"),
            };
            let int = match of_int {
                0 => format!("({x} + {y})"),
                1 => format!("({x} - {y})"),
                2 => format!("({x} * {y})"),
                3 => format!("({x} / {y})"),
                4 => format!("({x} % {y})"),
                5 => format!("-({x})"),
                6 => format!("size({s})"),
                7 => format!("size({l})"),
                8 => format!("({l})[{x} % 3]"),
                9 => format!("{{{s}: {x}, 'key': {y}}}['key']"),
                _ => format!("({p} ? {x} : {y})"),
            };
            let double = match of_double {
                0 => format!("({d} + {e})"),
                1 => format!("({d} - {e})"),
                2 => format!("({d} * {e})"),
                3 => format!("({d} / 4.0)"),
                4 => format!("-({d})"),
                _ => format!("double({x} % 1000)"),
            };
            let text = match of_text {
                0 => s,
                1 => format!("({s} + {t})"),
                2 => format!("string({x})"),
                3 => format!("[{s}, {t}][({x}) % 2]"),
                _ => format!("({p} ? {s} : {t})"),
            };
            let list = match of_list {
                0 => l,
                1 => format!("[{x}, {y}]"),
                2 => format!("({l} + {m})"),
                3 => format!("({l}).map(v, v + {y})"),
                4 => format!("({l}).filter(v, v > {y})"),
                5 => format!("({l}).map(v, v != {x}, v * 2)"),
                6 => format!("({l}).map(v, size(({m}).filter(w, w > v)))"),
                _ => format!("({p} ? {l} : {m})"),
            };
            Typed { boolean, int, double, text, list }
        })
    })
}

/// Values of the names that the expressions use. `f.missing` has none.
#[derive(Debug, Clone)]
struct Names {
    bools: [bool; 2],
    ints: [i64; 2],
    doubles: [f64; 2],
    texts: [&'static str; 2],
}

fn row() -> impl Strategy<Value = Names> {
    let int = prop_oneof![-3..9_i64, any::<i64>()];
    let double = -3.0..9.0_f64;
    let text = prop::sample::select(&["", "N", "NO", "smørbrød"][..]);
    let parts = (any::<[bool; 2]>(), [int.clone(), int], [double.clone(), double], [text.clone(), text]);
    parts.prop_map(|(bools, ints, doubles, texts)| Names { bools, ints, doubles, texts })
}

impl Row for Names {
    fn get(&self, slot: Slot) -> Option<Value<'_>> {
        let (bools, ints) = (self.bools.map(Value::Bool), self.ints.map(Value::Int));
        let (doubles, texts) = (self.doubles.map(Value::Double), self.texts.map(Value::Text));
        [bools, ints, doubles, texts].concat().get(usize::from(slot.0)).copied()
    }
}

impl Names {
    fn check(&self, source: &str) -> Result<(), TestCaseError> {
        let mut schema = Schema::new();
        let names = [("p", "q", Type::Bool), ("x", "y", Type::Int), ("d", "e", Type::Double), ("s", "t", Type::Text)];
        for (first, second, ty) in names {
            schema.declare(first, ty, false);
            schema.declare(second, ty, false);
        }
        schema.declare("f.missing", Type::Bool, true);
        let program = match compile(source, &schema, &[]) {
            Ok(program) => program,
            Err(error) if error.message.contains("nests deeper") || error.message.contains("at most") => return Ok(()),
            Err(error) => return Err(TestCaseError::fail(format!("{source}: {error}"))),
        };
        let ours = program.eval(self, |value| value.ok().map(show));
        if program.eval(self, |value| value.err()) == Some(EvalError::TooLong) {
            return Ok(());
        }
        prop_assert_eq!(&ours, &self.oracle(source), "{} {:?}", source, self);
        // Constants have the same value whether they are computed before or by the evaluation.
        if let Ok(unfolded) = compile_with(source, &schema, &[], Folding::Keep) {
            prop_assert_eq!(ours, unfolded.eval(self, |value| value.ok().map(show)), "{} {:?}", source, self);
        }
        Ok(())
    }

    fn oracle(&self, source: &str) -> Option<String> {
        let mut context = Context::default();
        for (name, value) in ["p", "q"].into_iter().zip(self.bools) {
            context.add_variable_from_value(name, value);
        }
        for (name, value) in ["x", "y"].into_iter().zip(self.ints) {
            context.add_variable_from_value(name, value);
        }
        for (name, value) in ["d", "e"].into_iter().zip(self.doubles) {
            context.add_variable_from_value(name, value);
        }
        for (name, value) in ["s", "t"].into_iter().zip(self.texts) {
            context.add_variable_from_value(name, value.to_owned());
        }
        Oracle::compile(source).unwrap().execute(&context).ok().map(show_oracle)
    }
}

fn show_oracle(value: OracleValue) -> String {
    if let OracleValue::Bool(value) = value {
        show(Value::Bool(value))
    } else if let OracleValue::Int(value) = value {
        show(Value::Int(value))
    } else if let OracleValue::Float(value) = value {
        show(Value::Double(value))
    } else if let OracleValue::String(value) = value {
        show(Value::Text(&value))
    } else if let OracleValue::List(values) = value {
        format!("[{}]", values.iter().cloned().map(show_oracle).collect::<Vec<_>>().join(", "))
    } else {
        format!("{value:?}")
    }
}
