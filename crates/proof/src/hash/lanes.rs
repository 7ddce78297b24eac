//! Computes SHA-256 of two messages at once.
//!
//! Within a message, each SHA-256 instruction of the processor waits for the one before. With two messages, one
//! instruction works while the other waits, so that two hashes take little longer than one. If the processor has no
//! such instructions, or if the messages have different numbers of blocks, the library hashes them one after the other.

use sha2::{Digest as _, Sha256};

use crate::hash::Hash;

/// Returns the hashes of two messages.
pub(crate) fn digest_two(one: &[u8], other: &[u8]) -> (Hash, Hash) {
    #[cfg(target_arch = "x86_64")]
    if shape(one) == shape(other)
        && std::arch::is_x86_feature_detected!("sha")
        && std::arch::is_x86_feature_detected!("ssse3")
        && std::arch::is_x86_feature_detected!("sse4.1")
    {
        #[expect(unsafe_code, reason = "the compiler does not know which instructions the processor has")]
        // SAFETY: the processor has every instruction set that the function is compiled for, as checked above.
        return unsafe { x86::digest_two(one, other) };
    }
    (Sha256::digest(one).into(), Sha256::digest(other).into())
}

/// The number of whole blocks in a message, and the number of blocks that the rest takes with its padding.
fn shape(message: &[u8]) -> (usize, usize) {
    let (blocks, rest) = message.as_chunks::<64>();
    (blocks.len(), if rest.len() < 56 { 1 } else { 2 })
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        __m128i, _mm_add_epi32, _mm_alignr_epi8, _mm_extract_epi32, _mm_set_epi32, _mm_set_epi64x,
        _mm_sha256msg1_epu32, _mm_sha256msg2_epu32, _mm_sha256rnds2_epu32, _mm_shuffle_epi8, _mm_shuffle_epi32,
    };

    use super::{Hash, shape};

    /// The initial hash value, from the square roots of the first eight primes: FIPS 180-4, section 5.3.3.
    const START: [u32; 8] =
        [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

    /// The round constants, from the cube roots of the first 64 primes, in groups of four: section 4.2.2.
    const ROUNDS: [[u32; 4]; 16] = [
        [0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5],
        [0x3956_c25b, 0x59f1_11f1, 0x923f_82a4, 0xab1c_5ed5],
        [0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3],
        [0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7, 0xc19b_f174],
        [0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc],
        [0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da],
        [0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7],
        [0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967],
        [0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13],
        [0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85],
        [0xa2bf_e8a1, 0xa81a_664b, 0xc24b_8b70, 0xc76c_51a3],
        [0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070],
        [0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5],
        [0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3],
        [0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208],
        [0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7, 0xc671_78f2],
    ];

    /// The eight words of a state in the order that the instructions expect: a, b, e, f and c, d, g, h.
    type State = [__m128i; 2];

    /// Both messages must have the same [`shape`].
    #[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
    pub(super) fn digest_two(one: &[u8], other: &[u8]) -> (Hash, Hash) {
        let mut states = [start(), start()];
        let ((blocks_of_one, rest_of_one), (blocks_of_other, rest_of_other)) = (one.as_chunks(), other.as_chunks());
        for (one, other) in blocks_of_one.iter().zip(blocks_of_other) {
            compress(&mut states, [one, other]);
        }
        let (_, last) = shape(one);
        let ends = [padded(rest_of_one, one.len()), padded(rest_of_other, other.len())];
        for (one, other) in ends[0].iter().zip(&ends[1]).skip(2 - last) {
            compress(&mut states, [one, other]);
        }
        let [one, other] = states;
        (finish(one), finish(other))
    }

    /// The bytes after the last whole block, with the padding of a message of `bytes` bytes. If one block is enough, it
    /// is the second.
    fn padded(rest: &[u8], bytes: usize) -> [[u8; 64]; 2] {
        let mut blocks = [[0; 64]; 2];
        let start = if rest.len() < 56 { 64 } else { 0 };
        let flat = blocks.as_flattened_mut();
        flat[start..start + rest.len()].copy_from_slice(rest);
        flat[start + rest.len()] = 0x80;
        flat[120..].copy_from_slice(&(bytes as u64 * 8).to_be_bytes());
        blocks
    }

    #[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
    fn four([a, b, c, d]: [u32; 4]) -> __m128i {
        _mm_set_epi32(d.cast_signed(), c.cast_signed(), b.cast_signed(), a.cast_signed())
    }

    #[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
    fn start() -> State {
        let [a, b, c, d, e, f, g, h] = START;
        [four([f, e, b, a]), four([h, g, d, c])]
    }

    #[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
    fn finish([abef, cdgh]: State) -> Hash {
        let words = [
            _mm_extract_epi32::<3>(abef),
            _mm_extract_epi32::<2>(abef),
            _mm_extract_epi32::<3>(cdgh),
            _mm_extract_epi32::<2>(cdgh),
            _mm_extract_epi32::<1>(abef),
            _mm_extract_epi32::<0>(abef),
            _mm_extract_epi32::<1>(cdgh),
            _mm_extract_epi32::<0>(cdgh),
        ];
        let mut hash = Hash::default();
        let (places, _) = hash.as_chunks_mut::<4>();
        for (place, word) in places.iter_mut().zip(words) {
            *place = word.to_be_bytes();
        }
        hash
    }

    /// Processes one block of each message.
    #[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
    fn compress<const N: usize>(states: &mut [State; N], blocks: [&[u8; 64]; N]) {
        let before = *states;
        let mut waiting = blocks.map(|block| words(block));
        for (round, constants) in ROUNDS.iter().enumerate() {
            let constants = four(*constants);
            for (state, words) in states.iter_mut().zip(&mut waiting) {
                let [first, second, third, fourth] = *words;
                let keyed = _mm_add_epi32(first, constants);
                let [abef, cdgh] = *state;
                let cdgh = _mm_sha256rnds2_epu32(cdgh, abef, keyed);
                let abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32::<0x0e>(keyed));
                *state = [abef, cdgh];
                let next = if round < 12 { next_words(*words) } else { first };
                *words = [second, third, fourth, next];
            }
        }
        for ([abef, cdgh], [abef_before, cdgh_before]) in states.iter_mut().zip(before) {
            *abef = _mm_add_epi32(*abef, abef_before);
            *cdgh = _mm_add_epi32(*cdgh, cdgh_before);
        }
    }

    /// The sixteen words of a block, in groups of four.
    #[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
    fn words(block: &[u8; 64]) -> [__m128i; 4] {
        let (halves, _) = block.as_chunks::<8>();
        let swap = _mm_set_epi64x(0x0c0d_0e0f_0809_0a0b, 0x0405_0607_0001_0203);
        std::array::from_fn(|place| {
            let (low, high) = (i64::from_le_bytes(halves[2 * place]), i64::from_le_bytes(halves[2 * place + 1]));
            _mm_shuffle_epi8(_mm_set_epi64x(high, low), swap)
        })
    }

    /// The next four words of the message schedule after these sixteen.
    #[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
    fn next_words([first, second, third, fourth]: [__m128i; 4]) -> __m128i {
        let sum = _mm_add_epi32(_mm_sha256msg1_epu32(first, second), _mm_alignr_epi8::<4>(fourth, third));
        _mm_sha256msg2_epu32(sum, fourth)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn alone(message: &[u8]) -> Hash {
        Sha256::digest(message).into()
    }

    #[test]
    fn two_messages_of_any_length_hash_like_one() {
        let bytes: Vec<u8> = (0..400_u16).map(|number| number.to_le_bytes()[0] ^ 0x5a).collect();
        for length in 0..300 {
            let (one, other) = (&bytes[..length], &bytes[100..100 + length]);
            assert_eq!(digest_two(one, other), (alone(one), alone(other)), "{length} bytes");
        }
    }

    proptest! {
        #[test]
        fn two_random_messages_hash_like_one(
            one in prop::collection::vec(any::<u8>(), 0..400),
            other in prop::collection::vec(any::<u8>(), 0..400),
        ) {
            prop_assert_eq!(digest_two(&one, &other), (alone(&one), alone(&other)));
        }
    }
}
