//! Values that people write: ids, amounts, assets, times, names, addresses and keys.

use std::fmt::Display;
use std::str::FromStr;

use api::IdempotencyKey;
use types::{AccountId, Amount, Asset, Digest, Name, Origin, PaymentId, SettingName, Span, Timestamp, TransferId};
use vault::ApiKey;

use crate::desk::check_problem;
use crate::{Verdict, check_line};

pub(super) fn text(bytes: &[u8]) -> Verdict {
    if let Err(problem) = IdempotencyKey::parse(bytes) {
        check_problem(&problem);
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return Verdict::no_input() };
    let verdicts = [
        stable::<Amount>(text),
        stable::<Asset>(text),
        stable::<Timestamp>(text),
        stable::<Span>(text),
        stable::<Name>(text),
        stable::<SettingName>(text),
        stable::<Digest>(text),
        stable::<Origin>(text),
        stable::<AccountId>(text),
        stable::<PaymentId>(text),
        stable::<TransferId>(text),
        stable::<ledger::Address>(text),
        stable::<engine::AccountName>(text),
        secret(text),
    ];
    let accepted = verdicts.contains(&Verdict::Accepted);
    if accepted { Verdict::Accepted } else { Verdict::Refused("the text is not a value of any kind".to_owned()) }
}

/// A parsed value has one written form, which parses to the same value.
pub(super) fn stable<T>(text: &str) -> Verdict
where
    T: FromStr<Err: Display> + Display + PartialEq + std::fmt::Debug,
{
    match text.parse::<T>() {
        Err(error) => check_line(error),
        Ok(value) => {
            let written = value.to_string();
            match written.parse::<T>() {
                Ok(again) => assert_eq!(again, value, "{text:?} is written as {written:?}"),
                Err(error) => panic!("{text:?} is written as {written:?}, which cannot be parsed: {error}"),
            }
            Verdict::Accepted
        }
    }
}

/// A key is written as it was parsed, and no error message quotes a key.
fn secret(text: &str) -> Verdict {
    match text.parse::<ApiKey>() {
        Ok(key) => {
            assert_eq!(key.reveal(), text, "a key has one form");
            Verdict::Accepted
        }
        Err(error) => {
            let told = error.to_string();
            assert!(text.len() < 24 || !told.contains(text), "an error message quotes no secret");
            check_line(told)
        }
    }
}

pub(super) fn seeds() -> Vec<(String, Vec<u8>)> {
    let mut fixed = |bytes: &mut [u8]| bytes.fill(7);
    let key = ApiKey::generate(types::CredentialId::new(3), &mut fixed).reveal();
    let texts = [
        ("amount", "340282366920938463463374607431768211455"),
        ("asset", "EUR/2"),
        ("time", "2026-11-25T16:20:00.123456789+02:00"),
        ("span", "250ms"),
        ("short-span", "90s"),
        ("name", "card_velocity_1h"),
        ("digest", "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"),
        ("uuid", "01234567-89ab-cdef-0123-456789abcdef"),
        ("decimal", "1"),
        ("address", "customers:c42:wallet"),
        ("api-key", key.as_str()),
    ];
    texts.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec())).collect()
}
