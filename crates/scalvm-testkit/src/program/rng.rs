//! Random numbers that are the same everywhere: SplitMix64.

/// A generator.
pub struct Rng(u64);

impl Rng {
    /// The generator of this seed.
    pub fn new(seed: u64) -> Rng {
        Rng(seed)
    }

    /// 64 random bits.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.draw() % end
    }

    /// One of several, each as often as its weight is large; these add up to `total`.
    pub fn choose<T: Copy>(&mut self, among: &[(T, u64)], total: u64) -> T {
        let mut pick = self.below(total);
        let chosen = among.iter().find(|(_, weight)| {
            let here = pick < *weight;
            pick = pick.wrapping_sub(*weight);
            here
        });
        chosen.expect("the pick is below the total").0
    }
}

/// Spreads the bits of a number over a word.
pub fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
