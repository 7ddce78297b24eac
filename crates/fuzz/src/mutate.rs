//! Creates inputs by mutating other inputs. The same seed creates the same inputs.

use sim::Rng;

/// The largest size of a mutated input, in bytes.
const INPUT_BYTES_MAX: usize = 64 << 10;
/// The most changes to one input.
const CHANGES_MAX: u64 = 6;
/// Numbers at which code that reads lengths, counts and ids tends to fail.
const EDGES: [u64; 12] =
    [0, 1, 2, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 0x7fff_ffff, 0xffff_ffff, i64::MAX as u64, u64::MAX];

/// Creates mutations of a corpus.
#[derive(Debug)]
pub struct Mutator<'a> {
    rng: Rng,
    corpus: &'a [Vec<u8>],
}

impl<'a> Mutator<'a> {
    /// Creates a mutator for these inputs. There must be at least one.
    pub fn new(seed: u64, corpus: &'a [Vec<u8>]) -> Self {
        assert!(!corpus.is_empty(), "the corpus has at least one input");
        Self { rng: Rng::new(seed), corpus }
    }

    /// Returns the next mutated input.
    pub fn next_input(&mut self) -> Vec<u8> {
        let mut input = self.rng.pick(self.corpus).clone();
        for _ in 0..=self.rng.below(CHANGES_MAX) {
            self.change(&mut input);
        }
        input.truncate(INPUT_BYTES_MAX);
        input
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        if input.is_empty() {
            input.push(self.byte());
            return;
        }
        let at = self.rng.place(input.len());
        match self.rng.below(12) {
            0..=2 => input[at] ^= 1 << self.rng.below(8),
            3 => input[at] = self.byte(),
            4 => input.truncate(at),
            5 => {
                let until = at + self.rng.place((input.len() - at).min(64)) + 1;
                input.drain(at..until);
            }
            6 => {
                let until = at + self.rng.place((input.len() - at).min(256)) + 1;
                let again = input[at..until].to_vec();
                input.splice(at..at, again);
            }
            7 => self.number(input, at),
            8 => self.digits(input, at),
            9 => {
                let bytes: Vec<u8> = (0..=self.rng.below(8)).map(|_| self.byte()).collect();
                input.splice(at..at, bytes);
            }
            10 => {
                let other = self.rng.pick(self.corpus).clone();
                if !other.is_empty() {
                    let from = self.rng.place(other.len());
                    let until = from + self.rng.place(other.len() - from) + 1;
                    let replaced = (input.len() - at).min(until - from);
                    let until_here = at + if self.rng.percent(50) { replaced } else { 0 };
                    input.splice(at..until_here, other[from..until].iter().copied());
                }
            }
            _ => {
                let from = self.rng.place(input.len());
                let count = (self.rng.place(16) + 1).min(input.len() - at.max(from));
                input.copy_within(from..from + count, at);
            }
        }
    }

    /// Overwrites a number of 1, 2, 4 or 8 bytes with an edge value or with a value close to the old one.
    fn number(&mut self, input: &mut [u8], at: usize) {
        let width = *self.rng.pick(&[1_usize, 2, 4, 8]);
        let Some(field) = input.get_mut(at..at + width) else { return };
        let mut bytes = [0; 8];
        bytes[..width].copy_from_slice(field);
        let there = u64::from_le_bytes(bytes);
        let number = match self.rng.below(3) {
            0 => *self.rng.pick(&EDGES),
            1 => there.wrapping_add(self.rng.below(8) + 1),
            _ => there.wrapping_sub(self.rng.below(8) + 1),
        };
        field.copy_from_slice(&number.to_le_bytes()[..width]);
    }

    /// Replaces a number that is written in digits.
    fn digits(&mut self, input: &mut Vec<u8>, at: usize) {
        let from = at + input[at..].iter().position(u8::is_ascii_digit).unwrap_or(0);
        let until = from + input[from..].iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(0);
        let number = match self.rng.below(4) {
            0 => format!("{}", *self.rng.pick(&EDGES)),
            1 => format!("{}", u128::MAX - u128::from(self.rng.below(3))),
            2 => format!("-{}", self.rng.below(1000)),
            _ => format!("{}e{}", self.rng.below(100), self.rng.below(400)),
        };
        input.splice(from..until, number.into_bytes());
    }

    fn byte(&mut self) -> u8 {
        *self.rng.pick(b"\0\x01\x7f\x80\xff\"\\{}[],:'0123456789-+.eE \n\t/%&=azAZ_\xc3\x28\xf0\x9f")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_seeds_give_equal_inputs_and_different_seeds_different_ones() {
        let corpus = [b"one".to_vec(), b"{\"two\": 22}".to_vec(), Vec::new()];
        let inputs = |seed| {
            let mut mutator = Mutator::new(seed, &corpus);
            (0..2_000).map(|_| mutator.next_input()).collect::<Vec<_>>()
        };
        assert_eq!(inputs(1), inputs(1));
        assert_ne!(inputs(1), inputs(2));
        let mut different = inputs(1);
        different.sort_unstable();
        different.dedup();
        assert!(different.len() > 1_000, "{} different inputs", different.len());
    }
}
