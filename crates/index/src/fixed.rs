//! Values and rows that take a fixed number of bytes, little-endian.

/// A value that always takes the same number of bytes.
pub(crate) trait Fixed: Copy {
    /// The number of bytes.
    const BYTES: usize;

    /// Writes the value to the first [`Fixed::BYTES`] bytes of `into`.
    fn put(self, into: &mut [u8]);

    /// Reads a value from the first [`Fixed::BYTES`] bytes of `from`.
    fn get(from: &[u8]) -> Self;
}

/// A row of a sorted table.
pub(crate) trait Row: Fixed {
    /// The key by which the table is sorted.
    type Key: Fixed + Ord;

    fn key(&self) -> Self::Key;
}

macro_rules! numbers {
    ($($number:ty)*) => {
        $(impl Fixed for $number {
            const BYTES: usize = size_of::<Self>();

            #[inline]
            fn put(self, into: &mut [u8]) {
                into[..Self::BYTES].copy_from_slice(&self.to_le_bytes());
            }

            #[inline]
            fn get(from: &[u8]) -> Self {
                let mut bytes = [0; size_of::<Self>()];
                bytes.copy_from_slice(&from[..Self::BYTES]);
                Self::from_le_bytes(bytes)
            }
        })*
    };
}

numbers!(u8 u16 u32 u64 u128);

impl<const N: usize> Fixed for [u8; N] {
    const BYTES: usize = N;

    #[inline]
    fn put(self, into: &mut [u8]) {
        into[..N].copy_from_slice(&self);
    }

    #[inline]
    fn get(from: &[u8]) -> Self {
        let mut bytes = [0; N];
        bytes.copy_from_slice(&from[..N]);
        bytes
    }
}

/// A number below 2^48, stored in six bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Six(pub(crate) u64);

/// The smallest number that does not fit in a [`Six`].
pub(crate) const SIX_END: u64 = 1 << 48;

impl Fixed for Six {
    const BYTES: usize = 6;

    #[inline]
    fn put(self, into: &mut [u8]) {
        debug_assert!(self.0 < SIX_END, "{} does not fit in six bytes", self.0);
        into[..6].copy_from_slice(&self.0.to_le_bytes()[..6]);
    }

    #[inline]
    fn get(from: &[u8]) -> Self {
        let mut bytes = [0; 8];
        bytes[..6].copy_from_slice(&from[..6]);
        Self(u64::from_le_bytes(bytes))
    }
}

/// Implements [`Fixed`] for a struct, field by field in the given order, followed by `spare` zero bytes.
macro_rules! fixed_struct {
    ($name:ident { $($field:ident: $kind:ty,)* } spare $spare:literal) => {
        impl $crate::fixed::Fixed for $name {
            const BYTES: usize = $spare $(+ <$kind as $crate::fixed::Fixed>::BYTES)*;

            #[inline]
            fn put(self, mut into: &mut [u8]) {
                $(
                    $crate::fixed::Fixed::put(self.$field, into);
                    into = &mut into[<$kind as $crate::fixed::Fixed>::BYTES..];
                )*
                into[..$spare].fill(0);
            }

            #[inline]
            fn get(from: &[u8]) -> Self {
                let mut at = 0;
                $(
                    let $field = <$kind as $crate::fixed::Fixed>::get(&from[at..]);
                    at += <$kind as $crate::fixed::Fixed>::BYTES;
                )*
                debug_assert!(at + $spare <= from.len());
                Self { $($field),* }
            }
        }
    };
}

pub(crate) use fixed_struct;

/// Converts a count or an offset to the size type of memory.
#[inline]
pub(crate) fn to_usize(number: u64) -> usize {
    usize::try_from(number).expect("the index needs a 64-bit machine")
}

/// Converts a count whose bound is far below 2^32.
#[inline]
pub(crate) fn to_u32(number: usize) -> u32 {
    u32::try_from(number).expect("every count in a generation is below 2^32")
}
