//! Finds out until when a certificate is valid. The TLS library checks this for the certificates of others, but does not say
//! it about the own one, and operators want to know it in time.

use types::Timestamp;

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
/// `version`, which certificates of the first version lack.
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// When a certificate in DER expires (`notAfter`, RFC 5280, section 4.1). `None` if it is not a certificate.
pub(super) fn not_after(der: &[u8]) -> Option<Timestamp> {
    let (certificate, _) = element(der, SEQUENCE)?;
    let (signed, _) = element(certificate, SEQUENCE)?;
    let rest = element(signed, VERSION).map_or(signed, |(_, rest)| rest);
    let (_, rest) = element(rest, INTEGER)?;
    let (_algorithm, rest) = element(rest, SEQUENCE)?;
    let (_issuer, rest) = element(rest, SEQUENCE)?;
    let (validity, _) = element(rest, SEQUENCE)?;
    let (_not_before, rest) = element(validity, UTC_TIME).or_else(|| element(validity, GENERALIZED_TIME))?;
    match element(rest, UTC_TIME) {
        Some((time, _)) => {
            let text = std::str::from_utf8(time).ok()?;
            // Two digits mean 1950 to 2049.
            let century = if text.get(..2)?.parse::<u8>().ok()? >= 50 { "19" } else { "20" };
            instant(&format!("{century}{text}"))
        }
        None => instant(std::str::from_utf8(element(rest, GENERALIZED_TIME)?.0).ok()?),
    }
}

/// Takes an element with this tag from the front. Returns its content, and what follows it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&[found, first], rest) = der.split_first_chunk()?;
    if found != tag {
        return None;
    }
    let (length, rest) = match first {
        0..0x80 => (usize::from(first), rest),
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first - 0x80))?;
            (digits.iter().fold(0, |length, &digit| length << 8 | usize::from(digit)), rest)
        }
        0x80 | 0x85.. => return None,
    };
    rest.split_at_checked(length)
}

/// Reads `YYYYMMDDhhmmssZ`. A time after the last one that Finaira knows counts as that one.
fn instant(text: &str) -> Option<Timestamp> {
    let digits = text.strip_suffix('Z').filter(|digits| digits.len() == 14)?;
    if !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let part = |from: usize, to: usize| digits.get(from..to).unwrap_or_default();
    if part(0, 4) >= "2200" {
        return Some(Timestamp::MAX);
    }
    let (date, time) =
        ([part(0, 4), part(4, 6), part(6, 8)].join("-"), [part(8, 10), part(10, 12), part(12, 14)].join(":"));
    format!("{date}T{time}Z").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        for (text, expected) in [
            ("20310203040506Z", Some("2031-02-03T04:05:06Z")),
            ("99991231235959Z", Some(&*Timestamp::MAX.to_string())),
            ("20310203040506", None),
            ("20311303040506Z", None),
            ("2031020304050xZ", None),
        ] {
            assert_eq!(instant(text).map(|time| time.to_string()).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn certificates_with_both_forms_of_time_are_read() {
        let key = rcgen::KeyPair::generate().unwrap();
        for (year, expected) in
            [(2031, "2031-05-06T00:00:00Z"), (2049, "2049-05-06T00:00:00Z"), (2050, "2050-05-06T00:00:00Z")]
        {
            let mut parameters = rcgen::CertificateParams::new(vec!["x".to_owned()]).unwrap();
            parameters.not_after = rcgen::date_time_ymd(year, 5, 6);
            let certificate = parameters.self_signed(&key).unwrap();
            assert_eq!(not_after(certificate.der()).unwrap().to_string(), expected);
            for length in 0..certificate.der().len() {
                // A part of a certificate is none, or has the same end; it never panics.
                assert!(not_after(&certificate.der()[..length]).is_none());
            }
        }
    }
}
