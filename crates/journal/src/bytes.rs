//! The primitive encodings of the format: little-endian numbers, LEB128 variable-length numbers, counted bytes.

/// The most ids that later ones can refer to.
const KNOWN_IDS_MAX: usize = 64;

/// Appends values to a byte string.
#[derive(Debug, Default, Clone)]
pub(crate) struct Encoder {
    pub(crate) bytes: Vec<u8>,
    /// The ids that [`Encoder::id`] wrote, while it refers to them.
    known_ids: Option<Vec<u128>>,
}

impl Encoder {
    /// An encoder that appends to these bytes.
    pub(crate) fn appending(bytes: Vec<u8>) -> Self {
        Self { bytes, known_ids: None }
    }

    /// From here to [`Encoder::end_references`], writes an id that is the same as an earlier one as a reference to that one. `first`
    /// is the first such id, which has been written in full.
    pub(crate) fn begin_references(&mut self, first: u128) {
        self.known_ids = Some(vec![first]);
    }

    pub(crate) fn end_references(&mut self) {
        self.known_ids = None;
    }

    /// An id: 16 bytes. Between [`Encoder::begin_references`] and its end: the number of an equal id before it, from 1, or 0
    /// and the 16 bytes. The first [`KNOWN_IDS_MAX`] different ids have numbers.
    pub(crate) fn id(&mut self, id: u128) {
        if let Some(known) = &mut self.known_ids {
            if let Some(place) = known.iter().position(|other| *other == id) {
                self.count(place + 1);
                return;
            }
            if known.len() < KNOWN_IDS_MAX {
                known.push(id);
            }
            self.u8(0);
        }
        self.u128(id);
    }

    pub(crate) fn uses_references(&self) -> bool {
        self.known_ids.is_some()
    }

    pub(crate) fn u8(&mut self, value: u8) {
        self.bytes.push(value);
    }

    pub(crate) fn u16(&mut self, value: u16) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn u32(&mut self, value: u32) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn u64(&mut self, value: u64) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn u128(&mut self, value: u128) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// Seven bits per byte, lowest first; the high bit says that more bytes follow.
    pub(crate) fn varint(&mut self, value: impl Into<u128>) {
        let mut rest: u128 = value.into();
        // Most numbers are small, and shifting wide integers is slow.
        while rest > u128::from(u64::MAX) {
            self.bytes.push(low_bits(rest) | 0x80);
            rest >>= 7;
        }
        let mut rest = u64::try_from(rest).unwrap_or_default();
        while rest > 0x7f {
            self.bytes.push(low_bits(rest) | 0x80);
            rest >>= 7;
        }
        self.bytes.push(low_bits(rest));
    }

    /// A signed number as a variable-length one; small magnitudes take few bytes.
    pub(crate) fn zigzag(&mut self, value: i64) {
        self.varint(((value << 1) ^ (value >> 63)).cast_unsigned());
    }

    pub(crate) fn count(&mut self, count: usize) {
        self.varint(count as u64);
    }

    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    pub(crate) fn counted(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.raw(bytes);
    }
}

fn low_bits(value: impl Into<u128>) -> u8 {
    value.into().to_le_bytes()[0] & 0x7f
}

/// Why bytes cannot be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error("the bytes end too early")]
    Truncated,
    /// Bytes remain after the value.
    #[error("{0} bytes are left over")]
    LeftOver(usize),
    /// A value that is not valid for the field.
    #[error("{value} is not a {what}")]
    Unknown {
        /// The name of the field.
        what: &'static str,
        /// The value that was found.
        value: u64,
    },
    /// A kind of entry, or a version of one, that this release does not know; a later release may.
    #[error("entries of kind {kind} version {version} need a later release")]
    LaterRelease { kind: u64, version: u64 },
}

/// Reads values from the front of a byte string.
#[derive(Debug, Clone)]
pub(crate) struct Decoder<'a> {
    rest: &'a [u8],
    /// The ids that [`Decoder::id`] read, while it follows references to them.
    known_ids: Option<Vec<u128>>,
}

impl<'a> Decoder<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, known_ids: None }
    }

    /// Reads ids as they are written after [`Encoder::begin_references`].
    pub(crate) fn begin_references(&mut self, first: u128) {
        self.known_ids = Some(vec![first]);
    }

    pub(crate) fn uses_references(&self) -> bool {
        self.known_ids.is_some()
    }

    /// Reads an id as [`Encoder::id`] writes it.
    pub(crate) fn id(&mut self) -> Result<u128, DecodeError> {
        if self.known_ids.is_none() {
            return self.u128();
        }
        let number: usize = self.varint()?;
        if let Some(place) = number.checked_sub(1) {
            let unknown = DecodeError::Unknown { what: "reference to an id", value: number as u64 };
            return self.known_ids.as_ref().and_then(|known| known.get(place)).copied().ok_or(unknown);
        }
        let id = self.u128()?;
        if let Some(known) = self.known_ids.as_mut().filter(|known| known.len() < KNOWN_IDS_MAX) {
            known.push(id);
        }
        Ok(id)
    }

    pub(crate) fn raw(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(*taken)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, DecodeError> {
        self.array().map(u8::from_le_bytes)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, DecodeError> {
        self.array().map(u64::from_le_bytes)
    }

    pub(crate) fn u128(&mut self) -> Result<u128, DecodeError> {
        self.array().map(u128::from_le_bytes)
    }

    /// A variable-length number that fits `T`. Only the shortest form is valid, so that each value has exactly one
    /// encoding.
    pub(crate) fn varint<T: TryFrom<u128>>(&mut self) -> Result<T, DecodeError> {
        const OVERLONG: DecodeError = DecodeError::Unknown { what: "variable-length number", value: 0 };
        let mut value: u128 = 0;
        for shift in (0..u128::BITS).step_by(7) {
            let byte = self.u8()?;
            let low = u128::from(byte & 0x7f);
            if low.leading_zeros() < shift || (byte == 0 && shift > 0) {
                return Err(OVERLONG);
            }
            value |= low << shift;
            if byte & 0x80 == 0 {
                return T::try_from(value).map_err(|_wider| OVERLONG);
            }
        }
        Err(OVERLONG)
    }

    pub(crate) fn zigzag(&mut self) -> Result<i64, DecodeError> {
        let value: u64 = self.varint()?;
        Ok((value >> 1).cast_signed() ^ -((value & 1).cast_signed()))
    }

    /// A count of items that take at least one byte each. The limit stops a hostile count from reserving too much
    /// memory.
    pub(crate) fn count(&mut self) -> Result<usize, DecodeError> {
        let count: usize = self.varint()?;
        if count > self.rest.len() { Err(DecodeError::Truncated) } else { Ok(count) }
    }

    pub(crate) fn counted(&mut self) -> Result<&'a [u8], DecodeError> {
        let count = self.count()?;
        self.raw(count)
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(crate) fn finish(self) -> Result<(), DecodeError> {
        if self.rest.is_empty() { Ok(()) } else { Err(DecodeError::LeftOver(self.rest.len())) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_read_as_they_are_written(wide: u128, narrow: u64, signed: i64) {
            let mut encoder = Encoder::default();
            encoder.varint(wide);
            encoder.varint(narrow);
            encoder.zigzag(signed);
            let mut decoder = Decoder::new(&encoder.bytes);
            prop_assert_eq!(decoder.varint::<u128>(), Ok(wide));
            prop_assert_eq!(decoder.varint::<u64>(), Ok(narrow));
            prop_assert_eq!(decoder.zigzag(), Ok(signed));
            prop_assert_eq!(decoder.finish(), Ok(()));
        }
    }

    #[test]
    fn a_number_has_one_encoding() {
        assert_eq!(
            Decoder::new(&[0x80, 0x00]).varint::<u64>(),
            Err(DecodeError::Unknown { what: "variable-length number", value: 0 })
        );
        assert!(Decoder::new(&[0xff; 19]).varint::<u128>().is_err());
        assert!(Decoder::new(&[0xff, 0xff, 0x03]).varint::<u8>().is_err());
        assert_eq!(Decoder::new(&[0x80]).varint::<u64>(), Err(DecodeError::Truncated));
    }
}
