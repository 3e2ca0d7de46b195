//! Chance that can be repeated.

/// SplitMix64: the same seed, the same sequence.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// Starts a sequence.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `sides`; zero if that is zero.
    pub fn throw(&mut self, sides: usize) -> usize {
        usize::try_from(self.next() >> 16).unwrap_or_default().checked_rem(sides).unwrap_or_default()
    }

    /// True in so many of a hundred cases.
    pub fn percent(&mut self, percent: usize) -> bool {
        self.throw(100) < percent
    }

    /// One of them; none if there is none.
    pub fn of<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        all.get(self.throw(all.len()))
    }

    /// One of them, each as likely as its weight says; none if all weights are zero.
    pub fn weighted<T: Copy>(&mut self, all: &[(usize, T)]) -> Option<T> {
        let mut rest = self.throw(all.iter().map(|(weight, _)| weight).sum());
        for (weight, one) in all {
            if rest < *weight {
                return Some(*one);
            }
            rest -= weight;
        }
        None
    }
}
