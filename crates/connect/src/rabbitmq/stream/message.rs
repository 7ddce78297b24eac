//! Messages in the format of AMQP 1.0, in which streams keep them. Clients of all protocols read them.

use types::Seq;

use super::wire::Reading;
use crate::copied::{COPY, SEQUENCE};
use crate::events::CLOUD_EVENT;

/// The sections of a message.
const PROPERTIES: u8 = 0x73;
const APPLICATION_PROPERTIES: u8 = 0x74;
const DATA: u8 = 0x75;
/// Sections before them, which a connector does not write.
const HEADER: u8 = 0x70;
const DELIVERY_ANNOTATIONS: u8 = 0x71;
const MESSAGE_ANNOTATIONS: u8 = 0x72;

/// How values are encoded. The second form of each has a length of four bytes.
const NULL: u8 = 0x40;
const EMPTY_LIST: u8 = 0x45;
const BINARY: [u8; 2] = [0xa0, 0xb0];
const TEXT: [u8; 2] = [0xa1, 0xb1];
const SYMBOL: [u8; 2] = [0xa3, 0xb3];
const LIST: [u8; 2] = [0xc0, 0xd0];
const MAP: [u8; 2] = [0xc1, 0xd1];

/// An event as a message. `copied` is the text of a [`crate::copied::Copied`].
pub(super) fn encode(id: &str, subject: Option<&str>, seq: Seq, copied: &str, payload: &[u8]) -> Vec<u8> {
    let mut message = Vec::with_capacity(payload.len() + copied.len() + 256);
    // The message id, the user, the address, the subject, where to answer, the id of the question, the content type.
    let mut properties = Vec::with_capacity(192);
    value(&mut properties, TEXT, id.as_bytes());
    properties.extend_from_slice(&[NULL, NULL]);
    match subject {
        Some(subject) => value(&mut properties, TEXT, subject.as_bytes()),
        None => properties.push(NULL),
    }
    properties.extend_from_slice(&[NULL, NULL]);
    value(&mut properties, SYMBOL, CLOUD_EVENT.as_bytes());
    section(&mut message, PROPERTIES);
    compound(&mut message, LIST, 7, &properties);
    let mut own = Vec::with_capacity(copied.len() + 64);
    for (name, text) in [(SEQUENCE, seq.to_string().as_str()), (COPY, copied)] {
        value(&mut own, TEXT, name.as_bytes());
        value(&mut own, TEXT, text.as_bytes());
    }
    section(&mut message, APPLICATION_PROPERTIES);
    compound(&mut message, MAP, 4, &own);
    section(&mut message, DATA);
    value(&mut message, BINARY, payload);
    message
}

fn section(message: &mut Vec<u8>, kind: u8) {
    // A description by a small number.
    message.extend_from_slice(&[0, 0x53, kind]);
}

/// A value with its length before it. `forms` are those with a length of one byte and of four bytes.
fn value(to: &mut Vec<u8>, [short, long]: [u8; 2], bytes: &[u8]) {
    match u8::try_from(bytes.len()) {
        Ok(length) => to.extend_from_slice(&[short, length]),
        Err(_longer) => {
            to.push(long);
            to.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
        }
    }
    to.extend_from_slice(bytes);
}

/// A list or a map with `count` values.
fn compound(to: &mut Vec<u8>, [_short, long]: [u8; 2], count: u32, values: &[u8]) {
    to.push(long);
    to.extend_from_slice(&u32::try_from(values.len() + 4).unwrap_or(u32::MAX).to_be_bytes());
    to.extend_from_slice(&count.to_be_bytes());
    to.extend_from_slice(values);
}

/// A message, as far as a connector reads it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Message<'m> {
    /// The application properties that are texts.
    properties: Vec<(&'m str, &'m str)>,
    pub(super) payload: &'m [u8],
}

impl<'m> Message<'m> {
    pub(super) fn property(&self, name: &str) -> Option<&'m str> {
        self.properties.iter().find(|(found, _)| *found == name).map(|(_, text)| *text)
    }
}

/// Reads a message; `None` if it is none, or has properties that are not texts.
pub(super) fn decode(message: &[u8]) -> Option<Message<'_>> {
    let mut rest = Reading(message);
    let mut properties = Vec::new();
    loop {
        if rest.take(2)? != [0, 0x53] {
            return None;
        }
        match rest.u8()? {
            DATA => return Some(Message { properties, payload: sized(&mut rest, BINARY)? }),
            APPLICATION_PROPERTIES => {
                let (count, values) = counted(&mut rest, MAP)?;
                let mut values = Reading(values);
                for _ in 0..count / 2 {
                    let name = text(&mut values)?;
                    properties.push((name, text(&mut values)?));
                }
            }
            PROPERTIES if rest.0.first() == Some(&EMPTY_LIST) => drop(rest.u8()?),
            PROPERTIES => drop(counted(&mut rest, LIST)?),
            HEADER => drop(counted(&mut rest, LIST)?),
            DELIVERY_ANNOTATIONS | MESSAGE_ANNOTATIONS => drop(counted(&mut rest, MAP)?),
            _ => return None,
        }
    }
}

/// A value with its length before it.
fn sized<'m>(from: &mut Reading<'m>, [short, long]: [u8; 2]) -> Option<&'m [u8]> {
    let form = from.u8()?;
    let length = if form == short {
        usize::from(from.u8()?)
    } else if form == long {
        from.count()?
    } else {
        return None;
    };
    from.take(length)
}

/// A list or a map: how many values it has, and their bytes.
fn counted<'m>(from: &mut Reading<'m>, [short, long]: [u8; 2]) -> Option<(usize, &'m [u8])> {
    let is_long = from.0.first() == Some(&long);
    let mut inner = Reading(sized(from, [short, long])?);
    let count = if is_long { inner.count()? } else { inner.u8()?.into() };
    Some((count, inner.0))
}

fn text<'m>(from: &mut Reading<'m>) -> Option<&'m str> {
    std::str::from_utf8(sized(from, TEXT)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_read_as_it_was_written() {
        for payload in [b"{}".to_vec(), vec![b'a'; 300]] {
            for subject in [None, Some("accounts/1")] {
                let encoded = encode("o/12", subject, Seq::new(12), "{\"position\":7}", &payload);
                let message = decode(&encoded).expect("a message");
                assert_eq!(message.payload, payload);
                assert_eq!(message.property("finaira-sequence"), Some("12"));
                assert_eq!(message.property("finaira-copy"), Some("{\"position\":7}"));
                assert_eq!(message.property("other"), None);
                for cut in 0..encoded.len() {
                    assert_eq!(decode(&encoded[..cut]), None, "{cut} bytes of it");
                }
            }
        }
    }

    #[test]
    fn messages_of_others_are_read_as_far_as_possible() {
        // A header, an empty list of properties, and one short application property.
        let other = [
            &[0, 0x53, 0x70, 0xc0, 2, 1, 0x41][..],
            &[0, 0x53, 0x73, EMPTY_LIST],
            &[0, 0x53, 0x74, 0xc1, 7, 2, 0xa1, 1, b'a', 0xa1, 1, b'b'],
            &[0, 0x53, 0x75, 0xa0, 1, b'x'],
        ];
        let other = other.concat();
        let message = decode(&other).expect("a message");
        assert_eq!((message.property("a"), message.payload), (Some("b"), &b"x"[..]));
        // A number instead of a text, and a value instead of bytes.
        assert_eq!(decode(&[0, 0x53, 0x74, 0xc1, 6, 2, 0xa1, 1, b'a', 0x54, 1]), None);
        assert_eq!(decode(&[0, 0x53, 0x77, 0xa1, 1, b'x']), None);
    }
}
