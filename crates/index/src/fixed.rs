//! Values and rows of a fixed number of bytes, little-endian.

/// A value that takes the same number of bytes wherever it is written.
pub(crate) trait Fixed: Copy {
    /// How many.
    const BYTES: usize;

    /// Writes it to the first [`Fixed::BYTES`] bytes.
    fn put(self, into: &mut [u8]);

    /// Reads it from the first [`Fixed::BYTES`] bytes.
    fn get(from: &[u8]) -> Self;
}

/// A row of a sorted table.
pub(crate) trait Row: Fixed {
    /// What the table is sorted by.
    type Key: Fixed + Ord;

    /// This row's.
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

/// A number below 2^48, in six bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Six(pub(crate) u64);

/// One more than the largest [`Six`].
pub(crate) const SIX_END: u64 = 1 << 48;

impl Fixed for Six {
    const BYTES: usize = 6;

    #[inline]
    fn put(self, into: &mut [u8]) {
        debug_assert!(self.0 < SIX_END, "{} does not fit six bytes", self.0);
        into[..6].copy_from_slice(&self.0.to_le_bytes()[..6]);
    }

    #[inline]
    fn get(from: &[u8]) -> Self {
        let mut bytes = [0; 8];
        bytes[..6].copy_from_slice(&from[..6]);
        Self(u64::from_le_bytes(bytes))
    }
}

/// Implements [`Fixed`] for a struct field by field, in the order given; `spare` bytes of zeros follow.
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

/// A count or an offset as memory is addressed.
#[inline]
pub(crate) fn to_usize(number: u64) -> usize {
    usize::try_from(number).expect("the index needs a machine of 64 bits")
}

/// A count that has a bound far below 2^32.
#[inline]
pub(crate) fn to_u32(number: usize) -> u32 {
    u32::try_from(number).expect("a generation holds fewer than 2^32 of anything")
}
