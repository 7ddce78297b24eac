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
        'a'.b                   => 1:4: only names and maps with string keys have fields, such as payment.amount
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
        -payment.country                => 1:2: expected int or double or duration, found string
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
        payment.amount in payment.country  => 1:19: expected list or map, found string
        payment.amount.getHours()       => 1:1: expected timestamp or duration, found int
        payment.age.getDate()           => 1:1: expected timestamp, found duration
        payment.amount.size()           => 1:1: expected string or bytes or list or map, found int
        payment.word.startsWith(5)      => 1:25: expected string, found int
        int(true)                       => 1:5: expected int or uint or double or string or timestamp, found bool
        double(true)                    => 1:8: expected double or int or uint or string, found bool
        math.abs('a')                   => 1:10: expected int or uint or double, found string
        math.least('a', 2)              => 1:12: expected int or uint or double, found string
        ",
    );
}

#[test]
fn arithmetic_does_not_mix() {
    check(
        "
        payment.amount * 1.5    => 1:16: expected int on both sides or double on both sides; convert one with int(…) or double(…), found int * double
        1.5 % 0.5               => 1:5: expected two ints or two uints, found double % double
        payment.at + payment.at => 1:12: expected two numbers of one type, two strings, two lists, or timestamps and durations that can be combined, found timestamp + timestamp
        true * 2                => 1:6: expected two numbers of one type, found bool * int
        ",
    );
}

#[test]
fn what_is_not_supported_is_named() {
    check(
        r#"
        Payment{amount: 1}              => 1:8: messages are not supported
        payment.amount[0]               => 1:1: expected list or map, found int
        payment.word.startWith('a')     => 1:14: there is no function 'startWith'; did you mean 'startsWith'?
        math.lest(1, 2)                 => 1:1: there is no function 'math.lest'; did you mean 'math.least'?
        frobnicate(1)                   => 1:1: there is no function 'frobnicate'; there are has, size, int, uint, double, string, bytes, bool, timestamp, duration, type, dyn, math.abs, math.least, math.greatest, math.ceil, math.floor, math.round, math.trunc, math.sign, math.sqrt, math.isNaN, math.isInf, math.isFinite
        'a'.format([1])                 => 1:5: 'format' is not supported; join strings with + and convert other values with string(…)
        'a'.reverse()                   => 1:5: 'reverse' is not supported; it belongs to an extension of CEL
        payment.word.contains()         => 1:14: contains() takes 1 string, found 0 values
        payment.word.size(1)            => 1:14: size() takes no arguments, found 1 value
        size('a', 'b')                  => 1:1: size() takes 1 value, found 2
        payment.word.substring()        => 1:14: substring() takes 1 or 2 ints, found 0 values
        payment.word.replace('a')       => 1:14: replace() takes 2 strings, found 1 value
        has(1)                          => 1:5: expected has(name) with a declared name, or has(map.key)
        has(payment.word.size())        => 1:22: expected has(name) with a declared name, or has(map.key)
        has(payment.word.size)          => 1:1: 'payment.word.size' is not declared; did you mean 'payment.word'?
        has('a'.size)                   => 1:5: expected has(name) with a declared name, or has(map.key)
        timestamp('2026-11-22')         => 1:11: `2026-11-22` is not an RFC 3339 time between the years 1 and 9999, such as "2026-11-22T17:30:00Z"
        duration('1 hour')              => 1:10: "1 hour" is not a duration of up to 292 years, such as "1h30m" or "7d"
        "#,
    );
}

#[test]
fn what_must_be_constant_is_checked() {
    check(
        r#"
        payment.word.matches(payment.word)  => 1:22: expected a regular expression in quotes, because it is compiled with the expression
        payment.word.matches('(')           => 1:22: the regular expression cannot be read: unclosed group
        payment.word.matches(1)             => 1:22: expected a regular expression in quotes, because it is compiled with the expression
        payment.word.matches()              => 1:14: matches() takes 1 regular expression, found 0 values
        payment.at.getHours(payment.word)   => 1:21: expected a time zone in quotes, because it is looked up when the expression is compiled
        payment.at.getHours('Europe/Olso')  => 1:21: expected a time zone such as 'Europe/Berlin' or an offset such as '+01:00', found 'Europe/Olso'; did you mean 'Europe/Oslo'?
        payment.at.getHours('CET', 1)       => 1:12: getHours() takes at most a time zone, found 2 values
        payment.age.getHours('CET')         => 1:1: expected timestamp, found duration
        payment.age.getDate()               => 1:1: expected timestamp, found duration
        "#,
    );
}

#[test]
fn lists_and_maps_are_checked() {
    check(
        r#"
        [1, 2]['a']                     => 1:8: expected int, found string
        {'a': 1}[1]                     => 1:10: expected string, found int
        {1.5: 'a'}                      => 1:2: expected bool or int or uint or string, found double
        {payment.from: 1}               => 1:2: expected bool or int or uint or string, found account
        {'a': 1}.a.b                    => 1:11: only names and maps with string keys have fields, such as payment.amount
        {1: 1}.a                        => 1:7: only names and maps with string keys have fields, such as payment.amount
        [1] == ['a']                    => 1:5: expected two values of one type to compare, found list(int) and list(string)
        [1] < [2]                       => 1:5: list(int) can only be compared with == and !=
        [1] + 2                         => 1:5: expected two numbers of one type, two strings, two lists, or timestamps and durations that can be combined, found list(int) + int
        'a' + 1                         => 1:5: expected two strings; convert the other value with string(…), found string + int
        [payment.customer, payment.card] => 1:20: expected entity(customer), found entity(card): accounts and entities of one kind cannot be mixed with others
        [payment.from, 1]               => 1:16: expected account, found int: accounts and entities of one kind cannot be mixed with others
        dyn(payment.customer)           => 1:5: entity(customer) cannot be of type dyn
        payment.card in [payment.customer] => 1:25: expected entity(card), found entity(customer)
        1 in {'a': 1}                   => 1:1: expected string, found int
        true ? [1] : {}                 => 1:14: expected list(int), found map(dyn, dyn)
        size(1)                         => 1:6: expected string or bytes or list or map, found int
        "#,
    );
}

#[test]
fn macros_are_checked() {
    check(
        r#"
        [1, 2].all(x, x)                => 1:15: expected bool, found int
        [1, 2].all(x, y > 1)            => 1:15: 'y' is not declared; did you mean 'x'?
        ['a'].exists(x, x > 1)          => 1:19: expected two values of one type to compare, found string and int
        ['a'].map(word, wrd + 'b')      => 1:17: 'wrd' is not declared; did you mean 'word'?
        payment.amount.all(x, true)     => 1:1: expected list or map, found int
        [1].all(x)                      => 1:5: all() takes a variable and a condition, such as (x, x > 0)
        [1].map()                       => 1:5: map() takes a variable and an expression, such as (x, x + 1)
        [1].map(1, 2)                   => 1:9: the first argument of a macro is the name of its variable, such as (x, x > 0)
        [1].exists(1, 2, true)          => 1:5: exists() takes two names of variables first, such as (i, x, …)
        [1].transformList(i, i)         => 1:5: transformList() takes two variables and an expression, such as (i, x, x + i)
        x + [1].map(x, x)[0]            => 1:1: 'x' is not declared
        [1].all(a, [1].all(b, [1].all(c, [1].all(d, [1].all(e, [1].all(f, [1].all(g, [1].all(h, [1].all(i, true))))))))) => 1:93: macros nest deeper than 8 variables
        [1, 2].all(x, [payment.amount, x].all(y, y > x)) || x => 1:53: 'x' is not declared
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
        `a`                     => 1:1: expected a value, found '`a`'
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
        ("int(1e19) == payment.amount", "always: 1:1: a value cannot be converted to the type"),
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
        assert!(!program.always_fails() || program.eval(&payment, |value| value.is_err()), "{source}");
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
            "1:2049: the expression has more than 1024 values and operators",
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

#[test]
fn constants_do_not_grow_without_bound() {
    let list = |len: usize| format!("[{}]", vec!["0"; len].join(", "));
    let nested = |inner: &str, name: &str| format!("{}.map({name}, {inner})", list(200));
    let source = format!("size({})", nested(&nested(&nested(&list(4), "c"), "b"), "a"));
    assert!(source.len() <= SOURCE_BYTES_MAX);
    // 32 million numbers, if every part were computed now.
    let error = Payment::example().compile(&source).expect_err("it is refused").to_string();
    assert!(error.contains("the expression costs up to"), "{error}");
}
