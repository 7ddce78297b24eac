//! What expressions evaluate to.

use super::super::typed::{Code, Expr};
use super::super::{COST_MAX, DEPTH_MAX};
use super::*;

#[test]
fn arithmetic_is_checked() {
    check(
        "
        1 + 2 * 3 - 10 / 4 % 2                  => 7
        -7 / 2                                  => -3
        -7 % 2                                  => -1
        -payment.amount                         => -1250
        0x10 + 1                                => 17
        -9223372036854775808                    => -9223372036854775808
        9223372036854775807 + payment.amount    => a result is out of range
        payment.smallest - 1                    => a result is out of range
        payment.smallest * -1                   => a result is out of range
        payment.smallest / -1                   => a result is out of range
        payment.smallest % -1                   => a result is out of range
        -payment.smallest                       => a result is out of range
        9223372036854775807 + 1                 => a result is out of range
        1 / 0                                   => division by zero
        payment.amount % 0                      => division by zero
        payment.rate * 2.0 - 0.5 / 4.0          => 4.875
        -payment.rate                           => -2.5
        1.0 / 0.0                               => inf
        .5e1                                    => 5.0
        math.abs(-5)                            => 5
        math.abs(payment.smallest)              => a result is out of range
        math.abs(-payment.rate)                 => 2.5
        math.least(payment.amount, 7)           => 7
        math.greatest(payment.amount, 7)        => 1250
        math.greatest(2.0, payment.rate)        => 2.5
        ",
    );
}

#[test]
fn values_of_one_type_compare() {
    check(
        "
        payment.amount == 1250                  => true
        payment.amount != 1250                  => false
        payment.amount < 1250                   => false
        payment.amount <= 1250                  => true
        payment.amount > 1249                   => true
        payment.amount >= 1251                  => false
        payment.country == 'NO'                 => true
        payment.country < 'NOK'                 => true
        'Z' < 'a'                               => true
        payment.word == \"smørbrød\"            => true
        payment.vip == true                     => true
        false < payment.vip                     => true
        payment.rate >= 2.5                     => true
        payment.nan == payment.nan              => false
        payment.nan != payment.nan              => true
        payment.nan < 1.0                       => false
        payment.nan >= 1.0                      => false
        payment.from == payment.to              => false
        payment.from != payment.to              => true
        payment.customer == payment.payer       => true
        payment.customer != payment.payer       => false
        payment.customer == 'alice'             => true
        'alice' != payment.customer             => false
        payment.customer == 'Alice'             => false
        payment.customer in ['bob', 'alice']    => true
        payment.customer in []                  => false
        ",
    );
}

#[test]
fn int_and_double_compare_by_their_exact_values() {
    check(
        "
        payment.amount == 1250.0                => true
        1250.5 > payment.amount                 => true
        payment.amount >= 1250.5                => false
        2 < payment.rate                        => true
        payment.rate < 3                        => true
        payment.rate <= 2                       => false
        9007199254740993 == 9007199254740992.0  => false
        9007199254740993 > 9007199254740992.0   => true
        1 == payment.nan                        => false
        1 != payment.nan                        => true
        payment.nan > 1                         => false
        ",
    );
}

#[test]
fn logic_is_commutative_over_errors() {
    check(
        "
        payment.vip && !payment.vip             => false
        payment.vip || features.flag            => true
        features.flag || payment.vip            => true
        !payment.vip && features.flag           => false
        features.flag && !payment.vip           => false
        payment.vip && features.flag            => missing features.flag
        features.flag && payment.vip            => missing features.flag
        !payment.vip || features.flag           => missing features.flag
        features.flag || !payment.vip           => missing features.flag
        # Of two errors the left one counts.
        features.flag && 1 / payment.amount / 0 == 1    => missing features.flag
        1 % (payment.amount - 1250) == 1 || features.flag => division by zero
        # Constants behave in the same way.
        false && features.flag                  => false
        features.flag && false                  => false
        true || features.flag                   => true
        features.flag || true                   => true
        true && features.flag                   => missing features.flag
        features.flag || false                  => missing features.flag
        1 / 0 == 1 && payment.vip               => division by zero
        1 / 0 == 1 || payment.vip               => true
        false && 1 / 0 == 1                     => false
        1 / 0 == 1 && false                     => false
        !features.flag                          => missing features.flag
        ",
    );
}

#[test]
fn a_condition_evaluates_one_side() {
    check(
        "
        payment.vip ? 1 : 2                     => 1
        payment.vip ? 'a' : features.email      => 'a'
        !payment.vip ? features.email : 'b'     => 'b'
        payment.vip ? features.email : 'b'      => missing features.email
        features.flag ? 1 : 2                   => missing features.flag
        true ? 1 : 1 / 0                        => 1
        false ? 1 : 1 / 0                       => division by zero
        1 / 0 == 1 ? 1 : 2                      => division by zero
        has(features.count) ? features.count : 0 => 0
        payment.vip ? payment.from : payment.to => account 1
        payment.vip ? payment.customer : payment.payer => entity 7 alice
        (payment.vip ? payment.at : timestamp('2020-01-01T00:00:00Z')).getHours() => 17
        ",
    );
}

#[test]
fn membership_and_presence() {
    check(
        "
        payment.country in ['SE', 'NO', 'DK']   => true
        payment.country in ['SE', 'DK']         => false
        payment.amount in [3, 1250, 2, 1250]    => true
        payment.amount in [3, -1250, 1 + 1]     => false
        payment.amount in []                    => false
        features.count in []                    => missing features.count
        !(payment.country in ['SE'])            => true
        1 in [1]                                => true
        has(payment.country)                    => true
        has(features.count)                     => false
        has(features.device)                    => false
        has(payment.customer)                   => true
        !has(features.email) || features.email.size() > 3 => true
        features.count > 5                      => missing features.count
        payment.mistyped                        => value 14 is not of its declared type
        ",
    );
}

#[test]
fn texts() {
    check(
        r#"
        payment.word.startsWith('smør')         => true
        payment.word.startsWith(payment.country) => false
        payment.word.endsWith("brød")           => true
        payment.word.contains('ørb')            => true
        payment.word.contains('x')              => false
        payment.word.contains('')               => true
        payment.word.size()                     => 8
        size(payment.word)                      => 8
        'a\'b\n\u00e5\x41\101'.size()           => 7
        '\\d'                                   => '\d'
        "it's"                                  => 'it's'
        features.email.startsWith('a')          => missing features.email
        "#,
    );
}

#[test]
fn conversions() {
    check(
        "
        int(2.9)                                => 2
        int(-payment.rate)                      => -2
        int(payment.amount)                     => 1250
        int(payment.nan)                        => a double that is not a number or out of range was converted to int
        int(9223372036854775808.0)              => a double that is not a number or out of range was converted to int
        int(-9223372036854775808.0)             => -9223372036854775808
        int(payment.at)                         => 1795368645
        double(payment.amount) / 100.0          => 12.5
        double(payment.rate)                    => 2.5
        ",
    );
}

#[test]
fn times_are_in_utc() {
    check(
        "
        payment.at                              => 2026-11-22T17:30:45.5Z
        payment.at.getFullYear()                => 2026
        payment.at.getMonth()                   => 10
        payment.at.getDate()                    => 22
        payment.at.getDayOfMonth()              => 21
        payment.at.getDayOfWeek()               => 0
        payment.at.getDayOfYear()               => 325
        payment.at.getHours()                   => 17
        payment.at.getMinutes()                 => 30
        payment.at.getSeconds()                 => 45
        timestamp('2024-02-29T00:00:00+01:00').getDate()        => 28
        timestamp('2024-12-31T00:00:00Z').getDayOfYear()        => 365
        timestamp('2100-03-01T00:00:00Z').getDayOfYear()        => 59
        timestamp('1970-01-01T00:00:00Z').getDayOfWeek()        => 4
        payment.at + duration('1d')             => 2026-11-23T17:30:45.5Z
        duration('1d') + payment.at             => 2026-11-23T17:30:45.5Z
        payment.at - duration('17h30m45.5s')    => 2026-11-22T00:00:00Z
        payment.at - payment.at                 => 0ns
        payment.at - timestamp('2026-11-22T17:30:46Z') < duration('0s') => true
        payment.at > timestamp('2026-11-22T17:30:45Z')          => true
        payment.at + duration('-100000d')       => a result is out of range
        payment.at + duration('100000d')        => a result is out of range
        duration('1h') + duration('30m') == duration('90m')     => true
        duration('1h') - duration('90m')        => -1800000000000ns
        duration('106751d') + duration('106751d') => a result is out of range
        payment.age.getHours()                  => -1
        payment.age.getMinutes()                => -90
        payment.age.getSeconds()                => -5400
        payment.at >= timestamp('2018-04-01T00:00:00Z') && payment.at.getHours() <= 6 => false
        ",
    );
}

#[test]
fn every_day_has_the_date_that_its_text_has() {
    let payment = Payment::example();
    let row = |day: u64| Payment {
        schema: Schema::new(),
        values: vec![None, None, None, None, None, Some(Value::Time(Timestamp::from_ns(day * 86_400_000_000_000)))],
    };
    let program = |source| payment.compile(source).unwrap();
    let (year, month) = (program("payment.at.getFullYear()"), program("payment.at.getMonth()"));
    let (date, of_year) = (program("payment.at.getDate()"), program("payment.at.getDayOfYear()"));
    let mut expected_of_year = 0;
    for day in 0..106_751 {
        let row = row(day);
        let parts = [&year, &month, &date].map(|program| program.eval_int(&row).unwrap());
        let text = Timestamp::from_ns(day * 86_400_000_000_000).to_string();
        assert_eq!(format!("{}-{:02}-{:02}T00:00:00Z", parts[0], parts[1] + 1, parts[2]), text);
        expected_of_year = if text.contains("-01-01T") { 0 } else { expected_of_year + 1 };
        assert_eq!(of_year.eval_int(&row), Ok(expected_of_year), "{text}");
    }
}

#[test]
fn results_are_given_as_their_type() {
    let payment = Payment::example();
    let program = |source| payment.compile(source).unwrap();
    assert_eq!(program("payment.vip").eval_bool(&payment), Ok(true));
    assert_eq!(program("payment.amount").eval_int(&payment), Ok(1250));
    assert_eq!(program("payment.amount").eval_number(&payment), Ok(1250.0));
    assert_eq!(program("payment.rate").eval_number(&payment), Ok(2.5));
    assert_eq!(program("payment.vip").eval_number(&payment), Ok(1.0));
    assert_eq!(program("payment.country").eval_number(&payment), Err(EvalError::WrongResult));
    assert_eq!(program("payment.rate").eval_int(&payment), Err(EvalError::WrongResult));
    assert_eq!(program("payment.amount").eval_bool(&payment), Err(EvalError::WrongResult));
    assert_eq!(program("payment.card").ty(), Type::Entity(1));
    assert_eq!(program(" payment.card").source(), " payment.card");
}

#[test]
fn a_program_knows_what_it_may_read() {
    let payment = Payment::example();
    let slots = |source| {
        let program = payment.compile(source).unwrap();
        program.slots().iter().filter_map(|slot| payment.schema.path(*slot)).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(slots("features.count > payment.amount || payment.amount == 2"), "payment.amount features.count");
    assert_eq!(slots("has(features.count) ? payment.word.size() : 0"), "payment.word features.count");
    assert_eq!(slots("false && features.flag || payment.vip"), "payment.vip");
    assert_eq!(slots("true ? 1 : features.count"), "");
    assert_eq!(slots("payment.country in ['NO']"), "payment.country");
}

#[test]
fn constants_are_computed_once() {
    let payment = Payment::example();
    let is_constant = |source| {
        let code = payment.compile(source).unwrap().code;
        matches!(code, Code::Bool(Expr::Const(_)) | Code::Int(Expr::Const(_)) | Code::Time(Expr::Const(_)))
    };
    for constant in
        ["60 * 60 * 24", "'a'.size() == 1", "timestamp('2020-01-01T00:00:00Z') + duration('1d')", "1 in [1]"]
    {
        assert!(is_constant(constant), "{constant}");
    }
    for computed in ["payment.amount", "1 / 0", "9223372036854775807 + 1"] {
        assert!(!is_constant(computed), "{computed}");
    }
    assert_eq!(payment.compile("payment.amount > 60 * 60 * 24").unwrap().cost(), 3);
    assert_eq!(payment.compile("payment.country == 'NO'").unwrap().cost(), 10);
    assert_eq!(payment.compile("payment.amount in [1, 2, 3, 4]").unwrap().cost(), 4);
}

#[test]
fn long_expressions_are_compiled_on_a_small_stack() {
    let payment = Payment::example();
    let inside = DEPTH_MAX - 2;
    let sources = [
        format!("{}1{}", "(".repeat(inside), ")".repeat(inside)),
        format!("{}true{}", "!(".repeat(inside / 3), ")".repeat(inside / 3)),
        format!("1{}", " + 1".repeat(inside)),
        format!("{}1", "true ? 1 : ".repeat(inside)),
        format!("{}1{}", "int(".repeat(inside / 2), ")".repeat(inside / 2)),
        format!("payment.vip{}", " && payment.vip".repeat(200)),
        format!("payment.amount in [0{}]", ", 1".repeat(900)),
    ];
    let on_small_stack = std::thread::Builder::new().stack_size(1 << 20).spawn(move || {
        for source in sources {
            let program = payment.compile(&source).map_err(|error| error.to_string());
            let program = program.unwrap_or_else(|error| panic!("{error}: {source}"));
            assert!(program.eval(&payment).is_ok() && program.cost() <= COST_MAX, "{source}");
        }
    });
    on_small_stack.unwrap().join().unwrap();
}
