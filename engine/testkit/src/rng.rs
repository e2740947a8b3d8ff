//! Random numbers from a seed, and hashes by the same mixing. Not for secrets: the same seed gives the same numbers on
//! every machine and in every build, which is all that a simulation needs.

use std::hash::{Hash, Hasher};

/// SplitMix64. Source: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// A generator whose whole sequence follows from the seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        scramble(self.0)
    }

    /// A number below `end`; 0 if `end` is 0.
    pub fn below(&mut self, end: usize) -> usize {
        if end == 0 { 0 } else { (self.draw() % end as u64) as usize }
    }

    /// A number from `from` up to and including `to`.
    pub fn between(&mut self, from: usize, to: usize) -> usize {
        from + self.below(to.saturating_sub(from) + 1)
    }

    /// True in `permille` of 1000 cases.
    pub fn chance(&mut self, permille: usize) -> bool {
        self.below(1000) < permille
    }

    /// The place of one of the weights, each as likely as it is heavy; `None` if all are 0.
    pub fn weighted(&mut self, weights: &[usize]) -> Option<usize> {
        let mut rest = self.below(weights.iter().sum());
        weights.iter().position(|weight| {
            let hit = rest < *weight;
            rest = rest.saturating_sub(*weight);
            hit
        })
    }
}

/// A hash of numbers, the same everywhere.
pub fn mix(parts: &[u64]) -> u64 {
    parts.iter().fold(0x51_7c_c1_b7, |hash: u64, part| {
        scramble(hash.rotate_left(23) ^ part.wrapping_add(0x9e37_79b9))
    })
}

/// A hash of any value, the same on every machine of one byte order.
pub fn digest(value: &impl Hash) -> u64 {
    let mut hasher = Mixer(0);
    value.hash(&mut hasher);
    hasher.finish()
}

fn scramble(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

struct Mixer(u64);

impl Hasher for Mixer {
    fn finish(&self) -> u64 {
        scramble(self.0)
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u8(&mut self, number: u8) {
        self.write_u64(u64::from(number));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0.rotate_left(5) ^ number).wrapping_mul(0x517c_c1b7_2722_0a95);
    }

    fn write_usize(&mut self, number: usize) {
        self.write_u64(number as u64);
    }

    fn write_isize(&mut self, number: isize) {
        self.write_u64(number as u64);
    }
}
