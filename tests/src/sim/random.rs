//! The simulation's own dice.

/// SplitMix64 (Steele, Lea and Flood 2014).
#[derive(Clone, Debug)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) const fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from `from` to `upto`, both included.
    pub(super) const fn between(&mut self, from: u64, upto: u64) -> u64 {
        from + self.draw() % (upto - from + 1)
    }

    /// True so many times in a thousand.
    pub(super) const fn per_mille(&mut self, times: u64) -> bool {
        self.draw() % 1_000 < times
    }

    pub(super) fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        if from.is_empty() {
            return None;
        }
        let index = self.draw() % from.len() as u64;
        from.get(usize::try_from(index).unwrap_or_default())
    }
}
