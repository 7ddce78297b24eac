//! In which partition an event is.

/// The partition of a key: the one that the Java client chooses by default, so that programs which write or join by the same key meet these
/// events. Events without a key are in the first one, where they keep their order.
pub(super) fn partition_of(key: Option<&str>, partitions: i32) -> i32 {
    let Some(key) = key else { return 0 };
    let positive = i32::try_from(murmur2(key.as_bytes()) & 0x7fff_ffff).unwrap_or_default();
    positive.checked_rem(partitions).unwrap_or_default()
}

/// MurmurHash 2 with the seed of Kafka.
fn murmur2(bytes: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let mut hash = SEED ^ length;
    let (words, rest) = bytes.as_chunks::<4>();
    for word in words {
        let mut word = u32::from_le_bytes(*word).wrapping_mul(M);
        word ^= word >> 24;
        hash = hash.wrapping_mul(M) ^ word.wrapping_mul(M);
    }
    if !rest.is_empty() {
        for (byte, shift) in rest.iter().zip([0, 8, 16]) {
            hash ^= u32::from(*byte) << shift;
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_that_of_the_java_client() {
        // The cases of the test of Kafka's own `Utils.murmur2`.
        for (text, expected) in [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(text.as_bytes()).cast_signed(), expected, "{text}");
        }
    }

    #[test]
    fn an_event_without_a_key_is_in_the_first_partition() {
        assert_eq!(partition_of(None, 12), 0);
        assert_eq!(partition_of(Some("21"), 1), 0);
        // -973,932,308 without its sign bit is 1,173,551,340.
        assert_eq!(partition_of(Some("21"), 7), 1_173_551_340 % 7);
    }
}
