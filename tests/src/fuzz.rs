//! Mutation fuzzing on the stable toolchain: seeds, random edits, a time box. What it finds is replayable from the printed seed.

use std::time::{Duration, Instant};

/// A small fast generator (SplitMix64): the same seed always gives the same inputs.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// A generator that repeats itself for equal seeds.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, or 0 if that is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        if bound == 0 { 0 } else { usize::try_from(self.next() % bound as u64).expect("below a usize") }
    }
}

/// Values that parsers get wrong: edges of lengths, signs and RLP prefixes.
const EDGES: [u8; 12] = [0x00, 0x01, 0x7f, 0x80, 0x81, 0xb7, 0xb8, 0xbf, 0xc0, 0xf7, 0xf8, 0xff];

/// `input` with one to eight random edits.
#[must_use]
pub fn mutate(input: &[u8], others: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut bytes = input.to_vec();
    for _ in 0..=random.below(8) {
        let at = random.below(bytes.len());
        match random.below(8) {
            0 if !bytes.is_empty() => bytes[at] ^= 1 << random.below(8),
            1 if !bytes.is_empty() => bytes[at] = EDGES[random.below(EDGES.len())],
            2 => bytes.truncate(at),
            3 if !bytes.is_empty() => drop(bytes.drain(at..(at + 1 + random.below(8)).min(bytes.len()))),
            4 => {
                drop(bytes.splice(
                    at..at,
                    (0..=random.below(8)).map(|_| EDGES[random.below(EDGES.len())]).collect::<Vec<_>>(),
                ))
            }
            5 if !bytes.is_empty() => {
                let end = (at + 1 + random.below(32)).min(bytes.len());
                let copy = bytes[at..end].to_vec();
                drop(bytes.splice(at..at, copy));
            }
            6 if !others.is_empty() => {
                let other = &others[random.below(others.len())];
                bytes.truncate(at);
                bytes.extend_from_slice(&other[random.below(other.len())..]);
            }
            _ => bytes.extend((0..=random.below(4)).map(|_| random.next().to_le_bytes()[0])),
        }
    }
    bytes
}

/// How long each target runs: `FUZZ_SECONDS`, or 2.
#[must_use]
pub fn time_box() -> Duration {
    Duration::from_secs(crate::number_from("FUZZ_SECONDS").unwrap_or(2))
}

/// Where inputs start from: `FUZZ_SEED`, or another one each time.
#[must_use]
pub fn seed() -> u64 {
    crate::number_from("FUZZ_SEED").unwrap_or_else(|| u64::from(std::process::id()))
}

/// Feeds `target` mutations of `seeds` until the time box ends, and returns how many. A finding is a panic of `target`; the input is shown.
///
/// # Panics
/// If `target` panics.
pub fn run(name: &str, seeds: &[Vec<u8>], mut target: impl FnMut(&[u8])) -> u64 {
    let seed = seed();
    let mut random = Random::new(seed);
    for input in seeds {
        target(input);
    }
    let deadline = Instant::now() + time_box();
    let mut count = 0;
    while Instant::now() < deadline {
        // Asking the clock is slow beside a parser.
        for _ in 0..64 {
            let input = mutate(&seeds[random.below(seeds.len())], seeds, &mut random);
            let shown = Shown { name, seed, input: &input };
            target(shown.input);
            count += 1;
        }
    }
    eprintln!("{name}: {count} inputs from seed {seed}");
    count
}

/// Says which input it was when the target unwinds past it.
struct Shown<'a> {
    name: &'a str,
    seed: u64,
    input: &'a [u8],
}

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}: found with FUZZ_SEED={}: 0x{}", self.name, self.seed, hex::encode(self.input));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_inputs_and_they_differ() {
        let inputs = |seed| {
            let mut random = Random::new(seed);
            (0..100).map(|_| mutate(b"seed input", &[b"other".to_vec()], &mut random)).collect::<Vec<_>>()
        };
        assert_eq!(inputs(1), inputs(1));
        assert_ne!(inputs(1), inputs(2));
        assert!(inputs(1).iter().filter(|input| input.as_slice() != b"seed input").count() > 90);
    }

    #[test]
    #[should_panic(expected = "found it")]
    fn a_planted_bug_is_found() {
        run("planted", &[b"abcdefgh".to_vec()], |input| assert!(!(input.len() > 8 && input[0] == 0xff), "found it"));
    }
}
