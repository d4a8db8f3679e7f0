//! Choices that a seed decides.

use fastrand::Rng;

/// One stream of choices; the same for the same seed and purpose.
pub(super) struct Dice(Rng);

impl Dice {
    /// Each purpose has its own stream, so that how often one is asked says nothing to another.
    pub(super) fn new(seed: u64, purpose: &str) -> Self {
        let mixed = purpose.bytes().fold(seed, |mixed, byte| {
            // FNV-1a, begun with the seed.
            (mixed ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Self(Rng::with_seed(mixed))
    }

    /// Whether what happens in so many of a hundred cases happens in this.
    pub(super) fn chance(&mut self, percent: u32) -> bool {
        self.0.u32(0..100) < percent
    }

    /// Both ends are meant.
    pub(super) fn between(&mut self, least: usize, most: usize) -> usize {
        self.0.usize(least..=most)
    }

    /// One of these, each as likely as its weight.
    pub(super) fn pick<T: Clone>(&mut self, choices: &[(u32, T)]) -> T {
        let mut left = self.0.u32(0..choices.iter().map(|(weight, _)| weight).sum());
        let chosen = choices.iter().find(|(weight, _)| {
            let here = left < *weight;
            left = left.saturating_sub(*weight);
            here
        });
        chosen.map(|(_, choice)| choice.clone()).expect("a weight above nothing")
    }

    pub(super) fn shuffle<T>(&mut self, all: &mut [T]) {
        self.0.shuffle(all);
    }
}
