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
        int(payment.nan)                        => a value cannot be converted to the type
        int(9223372036854775808.0)              => a value cannot be converted to the type
        int(-9223372036854775808.0)             => a value cannot be converted to the type
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
        timestamp('2024-02-29T00:00:00+01').getDate()           => 28
        timestamp('2024-12-31T00:00:00Z').getDayOfYear()        => 365
        timestamp('2100-03-01T00:00:00Z').getDayOfYear()        => 59
        timestamp('1970-01-01T00:00:00Z').getDayOfWeek()        => 4
        payment.at + duration('1d')             => 2026-11-23T17:30:45.5Z
        duration('1d') + payment.at             => 2026-11-23T17:30:45.5Z
        payment.at - duration('17h30m45.5s')    => 2026-11-22T00:00:00Z
        payment.at - payment.at                 => 0ns
        payment.at - timestamp('2026-11-22T17:30:46Z') < duration('0s') => true
        payment.at > timestamp('2026-11-22T17:30:45Z')          => true
        payment.at + duration('-100000d')       => 1753-02-06T17:30:45.5Z
        payment.at + duration('100000d')        => 2300-09-07T17:30:45.5Z
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
fn time_zones() {
    check(
        "
        payment.at.getHours('UTC')              => 17
        payment.at.getHours('CET')              => 18
        payment.at.getHours('Asia/Tokyo')       => 2
        payment.at.getDate('Asia/Tokyo')        => 23
        payment.at.getDayOfWeek('Asia/Tokyo')   => 1
        payment.at.getMinutes('+05:45')         => 15
        payment.at.getHours('-18:00')           => 23
        payment.at.getDate('-18:00')            => 21
        payment.at.getMilliseconds()            => 500
        payment.at.getMilliseconds('CET')       => 500
        duration('1.75s').getMilliseconds()     => 750
        timestamp('2026-03-29T00:59:59Z').getHours('Europe/Berlin') => 1
        timestamp('2026-03-29T01:00:00Z').getHours('Europe/Berlin') => 3
        timestamp('1969-12-31T23:59:59Z').getHours()                => 23
        timestamp('1969-12-31T23:59:59Z').getDayOfWeek()            => 3
        timestamp('1969-12-31T23:59:59Z').getDayOfYear()            => 364
        timestamp('0001-01-01T00:00:00Z').getDate('-01:00')         => 31
        ",
    );
}

#[test]
fn lists() {
    check(
        "
        [payment.amount, 2]                     => [1250, 2]
        [payment.amount, 2.5, 'a', null]        => [1250, 2.5, 'a', null]
        [payment.amount, 2][1]                  => 2
        [payment.amount, 2][0] + 1              => 1251
        [payment.amount][1]                     => a list, map or string has nothing at the index or key
        [payment.amount][-1]                    => a list, map or string has nothing at the index or key
        [payment.amount, 2].size()              => 2
        size([payment.amount] + [1, 2])         => 3
        [payment.amount] + [2.5]                => [1250, 2.5]
        [payment.amount] == [1250]              => true
        [payment.amount] == [1250.0]            => true
        [payment.amount, 1] != [1250, 2]        => true
        [[payment.amount]] == [[1250]]          => true
        payment.amount in [payment.amount]      => true
        payment.rate in [1.0, 2.5]              => true
        payment.rate in [1, 2]                  => false
        payment.country in ['a', 1]             => false
        payment.country in [payment.word, 'NO'] => true
        payment.customer in [payment.payer]     => true
        payment.from in [payment.to]            => false
        [payment.customer, payment.payer].all(c, c == 'alice') => true
        [payment.customer][0] == payment.payer  => true
        payment.amount in [] || true            => true
        [features.count, 1]                     => missing features.count
        (payment.vip ? [payment.amount] : ['a'])[0] => 1250
        ",
    );
}

#[test]
fn maps() {
    check(
        "
        {'a': payment.amount, 'b': 2}           => {'a': 1250, 'b': 2}
        {'a': payment.amount}['a']              => 1250
        {'a': payment.amount}.a + 1             => 1251
        {'a': payment.amount}[payment.word]     => a list, map or string has nothing at the index or key
        {'NO': 100, 'SE': 200}[payment.country] => 100
        {1: 'a', 2u: 'b'}[2]                    => 'b'
        payment.country in {'NO': 1}            => true
        'DK' in {payment.country: 1}            => false
        {payment.country: 1, 'NO': 2}           => a map has a key twice
        {'a': payment.amount} == {'a': 1250.0}  => true
        size({'a': payment.amount})             => 1
        has({'a': payment.amount}.a)            => true
        has({'a': payment.amount}.b)            => false
        {'a': {'b': payment.amount}}.a.b        => 1250
        ",
    );
}

#[test]
fn macros() {
    check(
        "
        [payment.amount, 2].all(x, x > 1)       => true
        [payment.amount, 2].exists(x, x > 1250) => false
        [payment.amount, 2].exists_one(x, x > 2) => true
        [payment.amount, 2].filter(x, x > 2)    => [1250]
        [payment.amount, 2].map(x, x * 2)       => [2500, 4]
        [payment.amount, 2].map(x, x > 2, x + 1) => [1251]
        [payment.amount, 2].map(x, [x, 1].map(y, x + y)) => [[2500, 1251], [4, 3]]
        [payment.amount, 0].all(x, 10 / x > 5)  => false
        [0, payment.amount].exists(x, 10 / x < 5) => true
        [0, payment.amount].all(x, 10 / x < 5)  => division by zero
        [0, payment.amount].exists(x, 10 / x > 5) => division by zero
        [payment.amount, 0].exists_one(x, 10 / x < 5) => division by zero
        [features.count].exists(x, x > 1)       => missing features.count
        ['NO', payment.word].exists(c, c == payment.country) => true
        {payment.word: 1}.all(word, word.size() == 8) => true
        {payment.word: 1}.exists(word, n, n > 1) => false
        [payment.amount, 7].exists(i, x, i == 1 && x == 7) => true
        [payment.amount, 7].transformList(i, x, x + i) => [1250, 8]
        {'a': payment.amount}.transformMap(k, v, v + 1) => {'a': 1251}
        [1, 2].all(payment, payment > 0)        => true
        [[payment.amount], [1, 2]].map(x, x.size()) => [1, 2]
        [payment.amount].map(x, x)[0] + 1       => 1251
        payment.word.size() > 3 && ['smør', 'brød'].exists(part, payment.word.contains(part)) => true
        ",
    );
}

#[test]
fn strings_are_made() {
    check(
        r#"
        payment.country + '-' + payment.word    => 'NO-smørbrød'
        payment.country + 'x' == 'NOx'          => true
        string(payment.amount) + '!'            => '1250!'
        string(payment.rate)                    => '2.5'
        string(1e21)                            => '1e21'
        string(0.000001)                        => '0.000001'
        string(payment.nan)                     => 'NaN'
        string(payment.vip)                     => 'true'
        string(payment.at)                      => '2026-11-22T17:30:45.5Z'
        string(payment.age)                     => '-5400s'
        string(duration('1ms'))                 => '0.001s'
        string(payment.customer)                => 'alice'
        payment.word.upperAscii()               => 'SMøRBRøD'
        payment.country.lowerAscii()            => 'no'
        (' ' + payment.word + ' ').trim()       => 'smørbrød'
        payment.word.substring(3)               => 'rbrød'
        payment.word.substring(2, 4)            => 'ør'
        payment.word.substring(9)               => a list, map or string has nothing at the index or key
        payment.word.substring(4, 2)            => a list, map or string has nothing at the index or key
        payment.word.charAt(2)                  => 'ø'
        payment.word.charAt(8)                  => ''
        payment.word.charAt(9)                  => a list, map or string has nothing at the index or key
        payment.word.replace('ø', 'oe')         => 'smoerbroed'
        payment.word.matches('^sm.rbr.d$')      => true
        payment.word.matches('^\\w+$')          => false
        payment.word.matches('br')              => true
        [payment.word, payment.word].map(x, x + x)[1] => 'smørbrødsmørbrød'
        b'ab' + bytes(payment.country)          => b'abNO'
        b'a' < bytes(payment.country)           => false
        size(bytes(payment.word))               => 10
        string(b'\xc3\xb8')                     => 'ø'
        string(b'\xff')                         => a value cannot be converted to the type
        "#,
    );
    let payment = Payment::example();
    let long = "a".repeat(1020);
    let fits = format!("(payment.country + '{long}').size()");
    assert_eq!(payment.answer(&fits), "1022");
    let still_fits = format!("(payment.country + '{long}' + payment.country).size()");
    assert_eq!(payment.answer(&still_fits), "1024");
    let too_long = format!("(payment.country + '{long}' + payment.country + '!').size()");
    assert_eq!(payment.answer(&too_long), EvalError::TooLong.to_string());
}

#[test]
fn what_is_dynamic_is_checked_when_it_is_evaluated() {
    check(
        "
        dyn(payment.amount) + 1                 => 1251
        dyn(payment.amount) + 1.5               => a value is of a type that the operation does not take
        dyn(payment.amount) == 'a'              => false
        dyn(payment.amount) == 1250u            => true
        dyn(payment.amount) < 1250.5            => true
        dyn(payment.amount) < 'a'               => a value is of a type that the operation does not take
        dyn(payment.vip) && true                => true
        dyn(payment.amount) && true             => a value is of a type that the operation does not take
        dyn(payment.amount) && false            => false
        !dyn(payment.vip)                       => false
        -dyn(payment.amount)                    => -1250
        dyn(payment.word).size()                => 8
        dyn(payment.word).contains('b')         => true
        dyn(payment.amount).contains('b')       => a value is of a type that the operation does not take
        dyn(payment.vip) ? 1 : 2                => 1
        dyn([payment.amount])[0]                => 1250
        dyn({'a': payment.amount}).a            => 1250
        dyn([payment.amount]).exists(x, x == 1250) => true
        dyn(payment.amount).exists(x, x == 1)   => a value is of a type that the operation does not take
        [payment.amount, 'a'].exists(x, x == 'a') => true
        [payment.amount, 'a'].map(x, type(x))   => [type int, type string]
        type(payment.amount) == int             => true
        type(payment.at) == google.protobuf.Timestamp => true
        type(type(1))                           => type type
        null == null                            => true
        dyn(payment.amount) != null             => true
        math.greatest(payment.amount, 2.5, 7u)  => 1250
        math.least([payment.rate, 7.0])         => 2.5
        math.least(payment.amount, 'a' == 'a' ? dyn(1) : dyn('a')) => 1
        5u - 6u                                 => a result is out of range
        7u / 2u + 1u                            => 4u
        ",
    );
}

#[test]
fn rounding() {
    check(
        "
        math.ceil(payment.rate)                 => 3.0
        math.floor(payment.rate)                => 2.0
        math.round(payment.rate)                => 3.0
        math.trunc(-payment.rate)               => -2.0
        math.sign(-payment.rate)                => -1.0
        math.sign(-payment.amount)              => -1
        math.sign(0)                            => 0
        math.sqrt(6.25)                         => 2.5
        math.isNaN(payment.nan)                 => true
        math.isInf(payment.rate / 0.0)          => true
        math.isFinite(payment.rate)             => true
        ",
    );
}

#[test]
fn texts_convert() {
    check(
        "
        int('5')                                => 5
        int(payment.word)                       => a value cannot be converted to the type
        uint('5') + 1u                          => 6u
        uint(-payment.amount)                   => a value cannot be converted to the type
        double('2.5e1')                         => 25.0
        bool('TRUE')                            => true
        bool('yes')                             => a value cannot be converted to the type
        timestamp(string(payment.at)) == payment.at => true
        timestamp(payment.word)                 => a value cannot be converted to the type
        timestamp(payment.amount)               => 1970-01-01T00:20:50Z
        duration(string(payment.age))           => -5400000000000ns
        ",
    );
}

#[test]
fn every_day_has_the_date_that_its_text_has() {
    let payment = Payment::example();
    let row = |day: u64| Payment {
        schema: Schema::new(),
        values: vec![
            None,
            None,
            None,
            None,
            None,
            Some(Value::Time(Timestamp::from_ns(day * 86_400_000_000_000).into())),
        ],
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
            assert!(program.eval(&payment, |value| value.is_ok()) && program.cost() <= COST_MAX, "{source}");
        }
    });
    on_small_stack.unwrap().join().unwrap();
}
