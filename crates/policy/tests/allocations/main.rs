//! Evaluating an expression allocates nothing, whatever the expression does, and whether it has a value or fails.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::thread::AccessError;

use policy::cel::{EvalError, Row, Schema, Slot, Type, Value, compile};
use types::{AccountId, Timestamp, Token};

thread_local! {
    /// How often this thread has asked for memory.
    static ASKED: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn count() {
    // A thread that is ending may ask for memory after its counter was destroyed.
    let counted: Result<(), AccessError> = ASKED.try_with(|asked| asked.set(asked.get() + 1));
    counted.unwrap_or(());
}

#[expect(
    unsafe_code,
    reason = "only an allocator sees every allocation; this one forwards all of them to the system's allocator"
)]
// SAFETY: every method passes its arguments to the system's allocator and returns its result. The counting does not
// touch the caller's memory.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller upholds the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller upholds the contract of `alloc_zeroed`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        count();
        // SAFETY: the caller upholds the contract of `realloc`.
        unsafe { System.realloc(pointer, layout, bytes) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller upholds the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

struct Payment(Vec<Option<Value<'static>>>);

impl Row for Payment {
    fn get(&self, slot: Slot) -> Option<Value<'_>> {
        self.0.get(usize::from(slot.0)).copied().flatten()
    }
}

const SOURCES: [&str; 39] = [
    "amount > 1000 && country == 'NO' || rate / 3.0 < 1.0",
    "amount in [1, 2, 1250] && country in ['SE', 'NO']",
    "country.contains('O') && country.startsWith('N') && country.endsWith('O')",
    "has(features.missing) || country == 'NO'",
    "features.missing > 1",
    "amount / (amount - 1250)",
    "amount * 9223372036854775807",
    "at.getHours('Europe/Berlin') + at.getDayOfYear('America/New_York') + at.getMinutes('+05:45')",
    "at.getFullYear('Pacific/Auckland') > 2000 && at.getMilliseconds() == 500",
    "at - timestamp('2020-01-01T00:00:00Z') > duration('1d') && at + duration('1h') > at",
    "country.matches('^[A-Z]{2}$')",
    "word.matches('sm.r(b|r)+') || word.matches('(?i)BRØD')",
    "[amount, 2, 3].all(x, x > 1) && [amount, 2].exists(x, x == 2)",
    "[amount, 2].exists_one(x, x > 100)",
    "[amount, 2, 3].filter(x, x > 2).map(x, x * 2)[0]",
    "[[amount, 1], [2]].map(list, list.map(x, x + amount))[0][1]",
    "[amount, 2] + [3] == [1250, 2, 3]",
    "[amount, 2.5, 'a', null, true, b'x'].exists(x, x == 2.5)",
    "{'a': amount, 'b': 2}['a'] + {'NO': 1}[country]",
    "{'a': amount}.transformMap(k, v, v + 1).exists(k, v, v == 1251)",
    "{'a': amount}['b']",
    "[amount][5]",
    "[1, 2].all(x, x / (amount - 1250) == 1)",
    "country + '-' + word + string(amount) + string(rate) + string(at) + string(age) == ''",
    "word.upperAscii() + word.lowerAscii() + word.trim() + word.replace('ø', 'o') + word.substring(1, 3)",
    "string(1e300 * rate) + string(-0.0000001 * rate)",
    "int(word) == 1",
    "double(word) == 1.0",
    "timestamp(word) > at",
    "timestamp(string(at)) == at",
    "duration(word) < age",
    "bool(word)",
    "dyn(amount) + 1 == 1251 && dyn(word).size() == 8",
    "dyn(amount) + 1.5 == 1.0",
    "type(amount) == int && uint(amount) > 5u && bytes(word) != b''",
    "math.greatest(amount, rate, 7u) == 1250 && math.least([rate, 1.0]) == 1.0",
    "customer == 'alice' && customer in [customer] && from in [from]",
    // Three kilobytes do not fit the room for strings.
    "[word, word, word, word].map(x, x + long).size()",
    "(word + word + word + word).size() > 3 ? [word].map(w, w + w + w)[0] : country",
];

#[test]
fn no_evaluation_allocates() {
    let at = Timestamp::from_ns(1_795_368_645_500_000_000);
    let names = [
        ("amount", Type::Int, Some(Value::Int(1250))),
        ("rate", Type::Double, Some(Value::Double(2.5))),
        ("country", Type::Text, Some(Value::Text("NO"))),
        ("word", Type::Text, Some(Value::Text("smørbrød"))),
        ("long", Type::Text, Some(Value::Text("x".repeat(700).leak()))),
        ("at", Type::Time, Some(Value::Time(at.into()))),
        ("age", Type::Duration, Some(Value::Duration(-5_400_000_000_000))),
        ("from", Type::Account, Some(Value::Account(AccountId::new(1)))),
        ("customer", Type::Entity(0), Some(Value::Entity(Token::new(7), "alice"))),
        ("features.missing", Type::Int, None),
    ];
    let mut schema = Schema::new();
    for (path, ty, value) in names {
        schema.declare(path, ty, value.is_none());
    }
    let payment = Payment(names.into_iter().map(|(_, _, value)| value).collect());
    let (mut values, mut failures) = (0, Vec::new());
    for source in SOURCES {
        let program = compile(source, &schema, &[]).unwrap_or_else(|error| panic!("{source}: {error}"));
        assert!(program.constant_int().is_none(), "{source} would not be evaluated");
        let before = ASKED.get();
        let failure = program.eval(&payment, |value| value.err());
        let asked = ASKED.get() - before;
        assert_eq!(asked, 0, "{source} asked for memory");
        match failure {
            None => values += 1,
            Some(error) => failures.push(error),
        }
    }
    // The sources reach both ends, and every kind of failure.
    assert!(values > 20, "only {values} sources have a value: {failures:?}");
    for expected in [
        EvalError::Overflow,
        EvalError::DivisionByZero,
        EvalError::InvalidConversion,
        EvalError::NoOverload,
        EvalError::NotFound,
        EvalError::TooLong,
    ] {
        assert!(failures.contains(&expected), "{expected:?} is missing in {failures:?}");
    }
    let before = ASKED.get();
    drop(Box::new(before));
    assert_eq!(ASKED.get() - before, 1, "an allocation is counted");
}
