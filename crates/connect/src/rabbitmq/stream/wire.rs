//! The frames of RabbitMQ's protocol for streams: numbers in network order, texts and lists with their lengths before them.
//!
//! Only the commands that a connector needs are here. The protocol is described in `PROTOCOL.adoc` of RabbitMQ's plugin `rabbitmq_stream`.

/// The commands.
pub(super) const DECLARE_PUBLISHER: u16 = 1;
pub(super) const PUBLISH: u16 = 2;
pub(super) const PUBLISH_CONFIRM: u16 = 3;
pub(super) const PUBLISH_ERROR: u16 = 4;
pub(super) const QUERY_PUBLISHER_SEQUENCE: u16 = 5;
pub(super) const SUBSCRIBE: u16 = 7;
pub(super) const DELIVER: u16 = 8;
pub(super) const STORE_OFFSET: u16 = 10;
pub(super) const QUERY_OFFSET: u16 = 11;
pub(super) const UNSUBSCRIBE: u16 = 12;
pub(super) const CREATE: u16 = 13;
pub(super) const METADATA: u16 = 15;
pub(super) const METADATA_UPDATE: u16 = 16;
pub(super) const PEER_PROPERTIES: u16 = 17;
pub(super) const SASL_HANDSHAKE: u16 = 18;
pub(super) const SASL_AUTHENTICATE: u16 = 19;
pub(super) const TUNE: u16 = 20;
pub(super) const OPEN: u16 = 21;
pub(super) const CLOSE: u16 = 22;
pub(super) const HEARTBEAT: u16 = 23;
/// This bit of the command marks an answer.
pub(super) const ANSWER: u16 = 0x8000;
const VERSION: u16 = 1;

/// The codes of answers that are not only shown.
pub(super) const OK: u16 = 1;
pub(super) const NO_SUCH_STREAM: u16 = 2;
pub(super) const STREAM_EXISTS: u16 = 5;
pub(super) const STREAM_UNAVAILABLE: u16 = 6;
pub(super) const INTERNAL_ERROR: u16 = 15;
pub(super) const NO_OFFSET: u16 = 19;

/// What a code says.
pub(super) fn meaning(code: u16) -> &'static str {
    match code {
        OK => "done",
        NO_SUCH_STREAM => "the stream does not exist",
        STREAM_EXISTS => "the stream already exists",
        STREAM_UNAVAILABLE => "the stream is not available",
        7 => "the authentication mechanism is not supported",
        8 => "user or password are wrong",
        9 | 10 => "the authentication failed",
        11 => "this user may only connect from the machine of the broker",
        12 => "this user may not use the virtual host",
        13 => "the broker does not know the command",
        14 => "the frame is too large",
        INTERNAL_ERROR => "the broker has an internal error",
        16 => "this user may not do that",
        17 => "a precondition failed",
        18 => "the publisher does not exist",
        NO_OFFSET => "there is no offset",
        _ => "unknown",
    }
}

/// A frame that is being written.
#[derive(Debug)]
pub(super) struct Writing(Vec<u8>);

impl Writing {
    pub(super) fn new(command: u16) -> Self {
        // The first four bytes become the length.
        let mut frame = Self(vec![0; 4]);
        frame.u16(command).u16(VERSION);
        frame
    }

    pub(super) fn u8(&mut self, value: u8) -> &mut Self {
        self.0.push(value);
        self
    }

    pub(super) fn u16(&mut self, value: u16) -> &mut Self {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    pub(super) fn u32(&mut self, value: u32) -> &mut Self {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    pub(super) fn u64(&mut self, value: u64) -> &mut Self {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    /// A text of at most 32,767 bytes; a longer one is cut off.
    pub(super) fn text(&mut self, text: &str) -> &mut Self {
        let cut = text.get(..i16::MAX.unsigned_abs().into()).unwrap_or(text);
        self.u16(u16::try_from(cut.len()).unwrap_or(u16::MAX));
        self.0.extend_from_slice(cut.as_bytes());
        self
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.count(bytes.len());
        self.0.extend_from_slice(bytes);
        self
    }

    /// The number of the elements that follow.
    pub(super) fn count(&mut self, count: usize) -> &mut Self {
        self.u32(u32::try_from(count).unwrap_or(u32::MAX))
    }

    /// Bytes that are written already.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Replaces four bytes that were written before.
    pub(super) fn set_u32(&mut self, at: usize, value: u32) {
        if let Some(place) = self.0.get_mut(at..at + 4) {
            place.copy_from_slice(&value.to_be_bytes());
        }
    }

    /// The frame with its length.
    pub(super) fn finish(mut self) -> Vec<u8> {
        let length = u32::try_from(self.0.len() - 4).unwrap_or(u32::MAX);
        self.set_u32(0, length);
        self.0
    }
}

/// A frame, or a part of one, that is being read. `None` is returned where it is too short.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading<'f>(pub(super) &'f [u8]);

impl<'f> Reading<'f> {
    pub(super) fn take(&mut self, count: usize) -> Option<&'f [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_be_bytes)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    /// A text; the empty one if there is none.
    pub(super) fn text(&mut self) -> Option<&'f str> {
        let length = self.u16()?;
        if length == u16::MAX {
            return Some("");
        }
        std::str::from_utf8(self.take(length.into())?).ok()
    }

    /// The number of the elements that follow.
    pub(super) fn count(&mut self) -> Option<usize> {
        self.u32()?.try_into().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_read_as_it_was_written() {
        let mut frame = Writing::new(PUBLISH);
        frame.u8(7).text("stream").bytes(b"abc").u64(u64::MAX);
        let bytes = frame.finish();
        let mut reading = Reading(&bytes);
        assert_eq!(reading.u32().map(|length| length as usize), Some(bytes.len() - 4));
        assert_eq!((reading.u16(), reading.u16(), reading.u8()), (Some(PUBLISH), Some(VERSION), Some(7)));
        assert_eq!(reading.text(), Some("stream"));
        let count = reading.count().expect("a count");
        assert_eq!(reading.take(count), Some(&b"abc"[..]));
        assert_eq!((reading.u64(), reading.u8()), (Some(u64::MAX), None));
    }

    #[test]
    fn a_text_that_is_too_long_is_cut_off() {
        let mut frame = Writing::new(CREATE);
        frame.text(&"a".repeat(40_000));
        let bytes = frame.finish();
        assert_eq!(Reading(&bytes[8..]).text().map(str::len), Some(32_767));
    }
}
