//! Expressions that do not compile, and the messages that say why and where.

use super::super::{COST_MAX, NODES_MAX, SOURCE_BYTES_MAX};
use super::*;

#[test]
fn names_must_be_declared() {
    check(
        "
        payment.amont > 5       => 1:1: 'payment.amont' is not declared; did you mean 'payment.amount'?
        1 + payment.ammount     => 1:5: 'payment.ammount' is not declared; did you mean 'payment.amount'?
        nothing.like.it         => 1:1: 'nothing.like.it' is not declared
        payment                 => 1:1: 'payment' is a group of names, not a value; one of them is 'payment.amount'
        payment.amount.x        => 1:1: 'payment.amount.x' is not declared; did you mean 'payment.amount'?
        has(features.cout)      => 1:1: 'features.cout' is not declared; did you mean 'features.count'?
        'a'.b                   => 1:4: only names have fields, such as payment.amount
        ",
    );
}

#[test]
fn types_must_fit() {
    check(
        "
        payment.amount && true          => 1:1: expected bool, found int
        true || 'a'                     => 1:9: expected bool, found string
        !payment.amount                 => 1:2: expected bool, found int
        -payment.country                => 1:2: expected int or double, found string
        1 ? 2 : 3                       => 1:1: expected bool, found int
        true ? 2 : 'a'                  => 1:12: expected int, found string
        payment.country == 5            => 1:17: expected two values of one type to compare, found string and int
        payment.at < 'today'            => 1:12: expected two values of one type to compare, found timestamp and string
        payment.customer == payment.card => 1:18: expected two values of one type to compare, found entity(customer) and entity(card)
        payment.customer < payment.payer => 1:18: entity(customer) can only be compared with == and !=
        payment.from <= payment.to      => 1:14: account can only be compared with == and !=
        payment.card < 'x'              => 1:14: entity(card) can only be compared with string by ==, != and 'in'
        'x' >= payment.card             => 1:5: string can only be compared with entity(card) by ==, != and 'in'
        payment.card == 1               => 1:14: expected two values of one type to compare, found entity(card) and int
        payment.amount in ['a']         => 1:20: expected int, found string
        payment.country in ['a', 1]     => 1:26: expected string, found int
        payment.rate in [1.0]           => 1:1: expected int or string, found double
        payment.amount in [payment.amount] => 1:20: expected a constant: lists cannot contain names
        payment.amount in payment.country  => 1:26: expected a list such as ['NO', 'SE'] to the right of 'in'
        payment.amount.getHours()       => 1:1: expected timestamp or duration, found int
        payment.age.getDate()           => 1:1: expected timestamp, found duration
        payment.amount.size()           => 1:1: expected string, found int
        payment.word.startsWith(5)      => 1:25: expected string, found int
        int(true)                       => 1:5: expected int or double or timestamp, found bool
        int('5')                        => 1:5: expected int or double or timestamp, found string
        double(true)                    => 1:8: expected int or double, found bool
        math.abs('a')                   => 1:10: expected int or double, found string
        math.least(1, 2.0)              => 1:15: expected int, found double
        math.least('a', 2)              => 1:12: expected int or double, found string
        ",
    );
}

#[test]
fn arithmetic_does_not_mix() {
    check(
        "
        payment.country + 'x'   => 1:17: strings cannot be joined: an expression cannot build a new string, found string + string
        payment.amount * 1.5    => 1:16: expected int on both sides or double on both sides; convert one with int(…) or double(…), found int * double
        1.5 % 0.5               => 1:5: expected int % int, found double % double
        payment.at + payment.at => 1:12: expected two ints, two doubles, or timestamps and durations that can be combined, found timestamp + timestamp
        true * 2                => 1:6: expected int on both sides or double on both sides, found bool * int
        -payment.age            => 1:2: expected int or double, found duration
        ",
    );
}

#[test]
fn what_is_not_supported_is_named() {
    check(
        r#"
        5u                              => 1:1: uint is not supported; write 5 for an int, without the u
        b'a'                            => 1:1: raw strings and bytes are not supported; write a plain string
        r"a"                            => 1:1: raw strings and bytes are not supported; write a plain string
        '''a'''                         => 1:1: triple-quoted strings are not supported; write a plain string
        null                            => 1:1: null is not supported; use has(name) to test whether there is a value
        [1, 2]                          => 1:1: a list is only supported to the right of 'in'
        {'a': 1}                        => 1:1: maps are not supported
        Payment{amount: 1}              => 1:8: messages are not supported
        payment.amount[0]               => 1:15: [] after a value is not supported: there are no lists
        [1].all(x, x > 0)               => 1:5: 'all' is not supported: there are no lists to iterate over, only 'in'
        true && [1].exists(x, x > 0)    => 1:13: 'exists' is not supported: there are no lists to iterate over, only 'in'
        [1].map(x, x)                   => 1:5: 'map' is not supported: there are no lists to iterate over, only 'in'
        [1].filter(x, true)             => 1:5: 'filter' is not supported: there are no lists to iterate over, only 'in'
        payment.word.matches('a')       => 1:14: 'matches' is not supported: there are no regular expressions; use startsWith, endsWith or contains
        dyn(1)                          => 1:1: 'dyn' is not supported: every type is known when the expression is compiled
        string(1)                       => 1:1: 'string' is not supported: an expression cannot build a new string
        payment.word.lowerAscii()       => 1:14: 'lowerAscii' is not supported: an expression cannot build a new string
        payment.word.startWith('a')     => 1:14: 'startWith' is not supported; did you mean 'startsWith'?
        math.lest(1, 2)                 => 1:1: 'math.lest' is not supported; did you mean 'math.least'?
        frobnicate(1)                   => 1:1: 'frobnicate' is not supported; supported are has, size, int, double, timestamp, duration, math.abs, math.least, math.greatest
        payment.at.getHours('CET')      => 1:12: getHours() takes no time zone: times are in UTC
        payment.word.contains()         => 1:14: contains() takes 1 string, found 0 values
        payment.word.size(1)            => 1:14: size() takes no arguments
        size('a', 'b')                  => 1:1: size() takes 1 value, found 2
        has(1)                          => 1:5: expected has(name) with a declared name
        has(payment.word.size())        => 1:22: expected has(name) with a declared name
        timestamp(payment.word)         => 1:18: expected a string in quotes, because it is read when the expression is compiled
        timestamp('2026-11-22')         => 1:11: `2026-11-22` is not an RFC 3339 time between 1970 and 2262, such as "2026-11-22T17:30:00Z"
        duration('1 hour')              => 1:10: "1 hour" is not a duration of up to 292 years, such as "1h30m" or "7d"
        "#,
    );
}

#[test]
fn a_source_that_cannot_be_parsed_gets_a_one_line_error() {
    check(
        r#"
        1 +                     => 1:4: expected a value, found the end
        1 + * 2                 => 1:5: expected a value, found '*'
        payment.vip and true    => 1:13: expected an operator, found 'and'
        (1 + 2                  => 1:1: '(' is never closed
        1 + 2)                  => 1:6: ')' closes no open bracket
        (1 + 2]                 => 1:7: expected ')', found ']'
        payment.amount = 5      => 1:16: '=' is not an operator; did you mean '=='?
        true & false            => 1:6: '&' is not an operator; did you mean '&&'?
        1 # 2                   => 1:3: unexpected character '#'
        'abc                    => 1:1: the string is not closed on its line
        'a\q'                   => 1:3: unknown escape in the string; write \\ for a backslash
        '\xg0'                  => 1:2: the escape needs 2 digits of base 16
        '\ud800'                => 1:1: an escape in the string is not a character
        12ab                    => 1:1: '12ab' is not a number
        0x                      => 1:1: '0x' is not a number
        99999999999999999999    => 1:1: the number is out of range
        1e999                   => 1:1: the number is out of range
        if                      => 1:1: 'if' is a reserved word
        true ? 1                => 1:9: expected an operator, found the end
        payment.                => 1:9: expected a name, found the end
        size(,)                 => 1:6: expected a value, found ','
        payment.1               => 1:8: expected an operator, found '.1'
        payment.(1)             => 1:9: expected a name, found '('
        `a`                     => 1:1: unexpected character '`'
        payment.?amount         => 1:8: optional fields and elements with '?' are not supported
        "#,
    );
}

#[test]
fn positions_count_lines_and_characters() {
    let payment = Payment::example();
    assert_eq!(payment.answer("true &&\n  'ø' == payment.amont"), payment.answer_at(2, 10, "amont"));
    assert_eq!(payment.answer("true && // ø\r\n\tpayment.amont == 1"), payment.answer_at(2, 2, "amont"));
    assert_eq!(payment.answer("'øø' == 'ø' + )"), "1:15: ')' closes no open bracket");
    assert_eq!(payment.answer("'øø' == \n 'ø' * * 1"), "2:8: expected a value, found '*'");
    assert_eq!(payment.answer(""), "1:1: expected an expression, found nothing");
    assert_eq!(payment.answer(" \n // nothing"), "1:1: expected an expression, found nothing");
}

impl Payment {
    fn answer_at(&self, line: u32, column: u32, name: &str) -> String {
        format!("{line}:{column}: 'payment.{name}' is not declared; did you mean 'payment.amount'?")
    }
}

#[test]
fn the_result_must_be_of_an_expected_type() {
    let payment = Payment::example();
    let message = |expected: &[Type]| {
        let error = compile(" payment.word", &payment.schema, expected).map(|_| ()).unwrap_err();
        error.to_string()
    };
    assert_eq!(message(&[Type::Bool]), "1:2: expected bool, found string");
    assert_eq!(message(&[Type::Int, Type::Entity(2)]), "1:2: expected int or entity(device), found string");
    assert!(compile("payment.word", &payment.schema, &[Type::Bool, Type::Text]).is_ok());
}

#[test]
fn what_can_never_be_computed_is_known() {
    let payment = Payment::example();
    for (source, expected) in [
        ("payment.amount > 1 / 0", "always: 1:18: division by zero"),
        ("has(payment.vip) && payment.amount > 1 / 0", "partly: 1:38: division by zero"),
        ("payment.amount > 5 || 7 % 0 == 1", "partly: 1:23: division by zero"),
        ("1 / 0 == 1 || 9223372036854775807 + 1 == 0", "always: 1:1: division by zero, 1:15: a result is out of range"),
        ("payment.vip ? 1 : 1 / 0", "partly: 1:19: division by zero"),
        ("payment.vip ? 2 / 0 : 1 / 0", "always: 1:15: division by zero, 1:23: division by zero"),
        ("payment.amount > 5 ? (1 / 0) + 1 : 1", "partly: 1:23: division by zero"),
        ("1 / 0 == 1 ? payment.amount : 1", "always: 1:1: division by zero"),
        (
            "int(1e19) == payment.amount",
            "always: 1:1: a double that is not a number or out of range was converted to int",
        ),
        ("!(1 / 0 in [1, 2])", "always: 1:3: division by zero"),
        ("math.abs(-9223372036854775807 - 1) > payment.amount", "always: 1:1: a result is out of range"),
        // What is decided without the part that fails never reaches it.
        ("false && 1 / 0 == 0", ""),
        ("true ? payment.amount : 1 / 0", ""),
        ("0.0 / 0.0 > payment.rate", ""),
        ("payment.amount / 0 > 1", ""),
    ] {
        let program = payment.compile(source).expect("it compiles");
        let parts: Vec<String> = program.failures().iter().map(ToString::to_string).collect();
        let how = match (program.always_fails(), parts.is_empty()) {
            (true, _) => "always: ",
            (false, false) => "partly: ",
            (false, true) => "",
        };
        assert_eq!(format!("{how}{}", parts.join(", ")), expected, "{source}");
        assert!(!program.always_fails() || program.eval(&payment).is_err(), "{source}");
    }
}

#[test]
fn every_bound_is_checked() {
    let deep = "1:65: the expression nests deeper than 64 operators, brackets or calls";
    let cases = [
        (format!("'{}'", "a".repeat(SOURCE_BYTES_MAX)), "1:1: the expression has 4098 bytes, at most 4096 are allowed"),
        ("(".repeat(SOURCE_BYTES_MAX), "1:64: the expression nests deeper than 64 operators, brackets or calls"),
        ("[".repeat(SOURCE_BYTES_MAX), "1:64: the expression nests deeper than 64 operators, brackets or calls"),
        ("!".repeat(SOURCE_BYTES_MAX), "1:64: the expression nests deeper than 64 operators, brackets or calls"),
        ("1+".repeat(2000), "1:128: the expression nests deeper than 64 operators, brackets or calls"),
        ("a?".repeat(2000), "1:128: the expression nests deeper than 64 operators, brackets or calls"),
        ("a.".repeat(2000), "1:128: the expression nests deeper than 64 operators, brackets or calls"),
        (format!("a{}", "[0]".repeat(1000)), "1:191: the expression nests deeper than 64 operators, brackets or calls"),
        (
            format!("1 in [{}0]", "0,".repeat(NODES_MAX)),
            "1:2051: the expression has more than 1024 values and operators",
        ),
    ];
    let payment = Payment::example();
    for (source, expected) in cases {
        assert_eq!(payment.answer(&source), expected, "{}", source.get(..20).unwrap_or_default());
    }
    let costly = vec!["payment.word==payment.word"; 120].join("||");
    let message = format!("1:1: the expression costs up to 1319 steps, at most {COST_MAX} are allowed");
    assert_eq!(payment.answer(&costly), message, "{deep}");
}
