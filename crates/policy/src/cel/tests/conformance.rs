//! The conformance tests of the language. `cargo xtask cel-spec` gets them and says which variable to set; without it,
//! this test is skipped, unless `FINAIRA_REQUIRE_CEL_SPEC=1` says that it must run.
//!
//! Each case must pass, both when constants are computed by the compiler and when everything is computed by the
//! evaluation, or stand in `testdata/cel/unsupported.txt` with its reason. A case that stands there and passes is a
//! failure too, so that the list stays true.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde_json::Value as Json;

use super::super::check::{Folding, compile_with};
use super::super::{List, Map, Moment};
use super::*;

const LIST: &str = include_str!("../../../testdata/cel/unsupported.txt");

#[test]
#[expect(clippy::disallowed_methods, reason = "the variables say where the cases are and whether they must be there")]
fn every_case_passes_or_is_listed_with_its_reason() {
    let required = std::env::var("FINAIRA_REQUIRE_CEL_SPEC").is_ok_and(|value| value == "1");
    let Ok(path) = std::env::var("FINAIRA_CEL_SPEC") else {
        assert!(!required, "FINAIRA_REQUIRE_CEL_SPEC=1, but FINAIRA_CEL_SPEC does not name the tests");
        println!("skipped: FINAIRA_CEL_SPEC does not name the tests; `cargo xtask cel-spec` gets them");
        return;
    };
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("cannot read {path}: {error}"));
    let tests: Json = serde_json::from_str(&text).expect("the tests are JSON");
    let mut cases = Vec::new();
    collect(&tests, "", &mut cases);
    assert!(cases.len() > 2000, "found only {} cases", cases.len());
    let listed = listed();
    let mut counts: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    let (mut wrong, mut used) = (String::new(), BTreeSet::new());
    for (name, case) in &cases {
        let outcome = check_case(case);
        let (passed, total) = counts.entry(name.split('/').next().unwrap_or_default()).or_default();
        *total += 1;
        let entry = listed.get(name.as_str()).or_else(|| listed.get(format!("{}/*", parent(name)).as_str()));
        match (outcome, entry) {
            (Ok(()), None) => *passed += 1,
            (Ok(()), Some(line)) => {
                writeln!(wrong, "{name} passes, but line {line} of the list says that it does not").unwrap();
            }
            (Err(_), Some(line)) => drop(used.insert(*line)),
            (Err(message), None) => {
                let source = case.get("expr").and_then(Json::as_str).unwrap_or_default();
                writeln!(wrong, "{name}: {message}: {source:?}").unwrap();
            }
        }
    }
    for (name, line) in &listed {
        if !used.contains(line) {
            writeln!(wrong, "line {line} of the list names {name}, of which no case fails").unwrap();
        }
    }
    let sum = counts.values().fold((0, 0), |sum, count| (sum.0 + count.0, sum.1 + count.1));
    for (section, (passed, total)) in counts.into_iter().chain([("total", sum)]) {
        println!("{section:<16} {passed:>5} of {total:>5} pass");
    }
    assert!(wrong.is_empty(), "{wrong}");
}

fn parent(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(parent, _)| parent)
}

/// The names in the list, with their lines. Reasons stand above them, after a `#`.
fn listed() -> BTreeMap<&'static str, usize> {
    let mut names = BTreeMap::new();
    let mut has_reason = false;
    for (number, line) in (1..).zip(LIST.lines()) {
        if line.starts_with('#') || line.is_empty() {
            has_reason = line.starts_with('#') || has_reason && !line.is_empty();
        } else {
            assert!(has_reason, "line {number} of the list has no reason above it");
            assert!(names.insert(line, number).is_none(), "line {number} of the list repeats another one");
        }
    }
    names
}

/// Adds the cases of a suite. A name that a suite has twice gets a number.
fn collect<'a>(suite: &'a Json, path: &str, cases: &mut Vec<(String, &'a Json)>) {
    let items = |key: &str| suite.get(key).and_then(Json::as_array).map(Vec::as_slice).unwrap_or_default();
    for inner in items("suites") {
        let name = inner.get("name").and_then(Json::as_str).unwrap_or_default();
        let path = if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") };
        collect(inner, &path, cases);
    }
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for case in items("tests") {
        let case = case.get("original").expect("a case has its original form");
        let name = case.get("name").and_then(Json::as_str).unwrap_or_default();
        let count = seen.entry(name).or_default();
        *count += 1;
        let suffix = if *count == 1 { String::new() } else { format!("#{count}") };
        cases.push((format!("{path}/{name}{suffix}"), case));
    }
}

/// A case: its names, their values, and what it gives.
struct Bound(Vec<Option<Value<'static>>>);

impl Row for Bound {
    fn get(&self, slot: Slot) -> Option<Value<'_>> {
        self.0.get(usize::from(slot.0)).copied().flatten()
    }
}

fn check_case(case: &Json) -> Result<(), String> {
    let source = case.get("expr").and_then(Json::as_str).unwrap_or_default();
    let mut schema = Schema::new();
    let mut row = Bound(Vec::new());
    let bindings = case.get("bindings").and_then(Json::as_object);
    for (name, value) in bindings.into_iter().flatten() {
        let value = value.get("value").ok_or("a binding without a value")?;
        let value = value_of(value).ok_or_else(|| format!("'{name}' is bound to a value that is not supported"))?;
        schema.declare(name, value.ty(), false);
        row.0.push(Some(value));
    }
    for declared in case.get("typeEnv").and_then(Json::as_array).into_iter().flatten() {
        let name = declared.get("name").and_then(Json::as_str).unwrap_or_default();
        if schema.find(name).is_some() {
            continue;
        }
        let ty = declared.get("ident").and_then(|ident| ident.get("type")).and_then(type_of);
        let ty = ty.ok_or_else(|| format!("'{name}' is declared with a type that is not supported"))?;
        schema.declare(name, ty, true);
        row.0.push(None);
    }
    let is_error = case.get("evalError").is_some();
    for folding in [Folding::Fold, Folding::Keep] {
        let program = match compile_with(source, &schema, &[], folding) {
            Ok(program) => program,
            // An error that is expected may be found early, unless it is only that we do not know the construct.
            Err(error) if is_error && explains(&error, case) => continue,
            Err(error) => return Err(error.to_string()),
        };
        if case.get("checkOnly").is_some() {
            continue;
        }
        let expected = case.get("value").or_else(|| case.get("typedResult")?.get("result"));
        program.eval(&row, |found| match (found, expected) {
            (Err(_), _) if is_error => Ok(()),
            (Err(error), _) => Err(error.to_string()),
            (Ok(found), _) if is_error => Err(format!("gives {}, expected an error", show(found))),
            (Ok(found), Some(expected)) if is_value(found, expected) => Ok(()),
            (Ok(found), Some(expected)) => Err(format!("gives {}, expected {expected}", show(found))),
            (Ok(Value::Bool(true)), None) => Ok(()),
            (Ok(found), None) => Err(format!("gives {}, expected true", show(found))),
        })?;
    }
    Ok(())
}

/// Whether an error of the compiler is the one that the case expects, and not only about what we do not have.
fn explains(error: &CompileError, case: &Json) -> bool {
    if error.message.contains("not declared") || error.message.contains("there is no function") {
        let expected = case.get("evalError").map(ToString::to_string).unwrap_or_default();
        return ["undeclared", "unbound", "unknown variable"].iter().any(|words| expected.contains(words));
    }
    !error.message.contains("not supported")
}

/// Whether this is the value, of exactly its type.
fn is_value(found: Value<'_>, expected: &Json) -> bool {
    match (value_of(expected), found) {
        (Some(Value::Double(expected)), Value::Double(found)) => {
            expected.total_cmp(&found).is_eq() || expected.partial_cmp(&found).is_some_and(Ordering::is_eq)
        }
        (Some(expected), found) => expected == found,
        (None, _) => false,
    }
}

/// A value from the form that protocol buffers give it in JSON.
fn value_of(json: &Json) -> Option<Value<'static>> {
    let (kind, value) = json.as_object()?.iter().next()?;
    let text = value.as_str();
    Some(match kind.as_str() {
        "nullValue" => Value::Null,
        "boolValue" => Value::Bool(value.as_bool()?),
        "int64Value" => Value::Int(text?.parse().ok()?),
        "uint64Value" => Value::Uint(text?.parse().ok()?),
        "doubleValue" => Value::Double(value.as_f64().or_else(|| text?.parse().ok())?),
        "stringValue" => Value::Text(text?.to_owned().leak()),
        "bytesValue" => Value::Bytes(from_base64(text?)?.leak()),
        "typeValue" => Value::Type(named_type(text?)?),
        "listValue" => {
            let values = value.get("values").and_then(Json::as_array).map(Vec::as_slice).unwrap_or_default();
            let values = values.iter().map(value_of).collect::<Option<Vec<_>>>()?;
            Value::List(List::built(values.leak()))
        }
        "mapValue" => {
            let entries = value.get("entries").and_then(Json::as_array).map(Vec::as_slice).unwrap_or_default();
            let parts = entries.iter().flat_map(|entry| [entry.get("key"), entry.get("value")]);
            let parts = parts.map(|part| part.and_then(value_of)).collect::<Option<Vec<_>>>()?;
            Value::Map(Map::built(parts.leak()))
        }
        "objectValue" => {
            let text = value.get("value")?.as_str()?;
            match value.get("@type")?.as_str()?.rsplit_once('/')?.1 {
                "google.protobuf.Timestamp" => Value::Time(Moment::parse(text)?),
                "google.protobuf.Duration" => Value::Duration(super::super::calendar::parse_duration(text)?),
                _ => return None,
            }
        }
        _ => return None,
    })
}

fn from_base64(text: &str) -> Option<Vec<u8>> {
    const DIGITS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bytes, mut bits, mut count) = (Vec::new(), 0_u32, 0);
    for digit in text.trim_end_matches('=').chars() {
        bits = bits << 6 | u32::try_from(DIGITS.find(digit)?).ok()?;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from(bits >> count & 0xff).ok()?);
        }
    }
    Some(bytes)
}

fn named_type(name: &str) -> Option<Type> {
    let all = [
        (Type::Null, "null_type"),
        (Type::Bool, "bool"),
        (Type::Int, "int"),
        (Type::Uint, "uint"),
        (Type::Double, "double"),
        (Type::Text, "string"),
        (Type::Bytes, "bytes"),
        (Type::Time, "google.protobuf.Timestamp"),
        (Type::Duration, "google.protobuf.Duration"),
        (Type::List, "list"),
        (Type::Map, "map"),
        (Type::Type, "type"),
    ];
    all.into_iter().find(|(_, known)| *known == name).map(|(ty, _)| ty)
}

/// The type of a declared name that has no value.
fn type_of(json: &Json) -> Option<Type> {
    let (kind, value) = json.as_object()?.iter().next()?;
    Some(match (kind.as_str(), value.as_str()) {
        ("primitive", Some("BOOL")) => Type::Bool,
        ("primitive", Some("INT64")) => Type::Int,
        ("primitive", Some("UINT64")) => Type::Uint,
        ("primitive", Some("DOUBLE")) => Type::Double,
        ("primitive", Some("STRING")) => Type::Text,
        ("primitive", Some("BYTES")) => Type::Bytes,
        ("null", _) => Type::Null,
        ("dyn", _) => Type::Dyn,
        ("listType", _) => Type::List,
        ("mapType", _) => Type::Map,
        _ => return None,
    })
}
