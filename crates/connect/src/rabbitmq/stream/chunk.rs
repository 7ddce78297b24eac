//! The chunks in which a stream is stored and delivered.

use super::wire::Reading;

/// The first byte of a chunk: the magic number and the version.
const BEGIN: u8 = 0x50;
/// The kind of a chunk with messages.
const MESSAGES: u8 = 0;
/// This bit of the length of an entry marks several messages that are compressed together.
const TOGETHER: u32 = 1 << 31;

/// The last message of a chunk; `None` if the chunk cannot be read.
pub(super) fn last_message(mut chunk: Reading<'_>) -> Option<&[u8]> {
    let (begin, kind, entries) = (chunk.u8()?, chunk.u8()?, chunk.u16()?);
    let (_records, _timestamp, _epoch, _offset) = (chunk.u32()?, chunk.u64()?, chunk.u64()?, chunk.u64()?);
    let (_checksum, _data_bytes, _trailer_bytes, _reserved) = (chunk.u32()?, chunk.u32()?, chunk.u32()?, chunk.u32()?);
    if begin != BEGIN || kind != MESSAGES {
        return None;
    }
    let mut last = None;
    for _ in 0..entries {
        let length = chunk.u32()?;
        // A connector never sends several messages together.
        if length & TOGETHER != 0 {
            return None;
        }
        last = Some(chunk.take(length.try_into().ok()?)?);
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(kind: u8, entries: u16, data: &[u8]) -> Vec<u8> {
        let mut chunk = vec![BEGIN, kind];
        chunk.extend_from_slice(&entries.to_be_bytes());
        chunk.extend_from_slice(&[0; 4 + 8 + 8 + 8 + 16]);
        chunk.extend_from_slice(data);
        chunk
    }

    #[test]
    fn the_last_message_is_found() {
        let two = chunk(MESSAGES, 2, &[0, 0, 0, 1, b'a', 0, 0, 0, 2, b'b', b'c']);
        assert_eq!(last_message(Reading(&two)), Some(&b"bc"[..]));
        for other in [
            chunk(MESSAGES, 2, &[0, 0, 0, 1, b'a', 0, 0, 0, 2, b'b']),
            chunk(MESSAGES, 1, &[0x80, 0, 0, 1, b'a']),
            chunk(1, 1, &[0, 0, 0, 1, b'a']),
            vec![BEGIN],
        ] {
            assert_eq!(last_message(Reading(&other)), None);
        }
    }
}
