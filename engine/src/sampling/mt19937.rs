//! The Mersenne Twister MT19937 (Matsumoto and Nishimura 1998), the bit source of `torch`'s CPU
//! generator.

const WORDS: usize = 624;
const SHIFT: usize = 397;

/// A generator of uniform 32-bit words.
pub(super) struct Mt19937 {
    state: [u32; WORDS],
    next: usize,
}

impl Mt19937 {
    /// The generator in the state of `torch.Generator().manual_seed(seed)`.
    pub(super) fn new(seed: u32) -> Self {
        let mut state = [0; WORDS];
        let mut word = seed;
        for (i, slot) in (0u32..).zip(&mut state) {
            if i > 0 {
                word = (word ^ (word >> 30))
                    .wrapping_mul(1_812_433_253)
                    .wrapping_add(i);
            }
            *slot = word;
        }
        Self { state, next: WORDS }
    }

    /// The next word.
    pub(super) fn next_u32(&mut self) -> u32 {
        if self.next == WORDS {
            self.twist();
        }
        let mut word = self.state[self.next];
        self.next += 1;
        word ^= word >> 11;
        word ^= (word << 7) & 0x9d2c_5680;
        word ^= (word << 15) & 0xefc6_0000;
        word ^ (word >> 18)
    }

    /// The next two words, the first one in the high half.
    pub(super) fn next_u64(&mut self) -> u64 {
        let high = u64::from(self.next_u32());
        high << 32 | u64::from(self.next_u32())
    }

    /// Replaces all words of the state by their successors.
    fn twist(&mut self) {
        for i in 0..WORDS {
            let joined =
                (self.state[i] & 0x8000_0000) | (self.state[(i + 1) % WORDS] & 0x7fff_ffff);
            let matrix = if joined & 1 == 1 { 0x9908_b0df } else { 0 };
            self.state[i] = self.state[(i + SHIFT) % WORDS] ^ (joined >> 1) ^ matrix;
        }
        self.next = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::Mt19937;

    /// The 10,000th word of seed 5489 is part of the C++ standard (`std::mt19937`).
    #[test]
    fn ten_thousandth_word() {
        let mut words = Mt19937::new(5489);
        let last = (0..10_000).map(|_| words.next_u32()).last();
        assert_eq!(last, Some(4_123_659_995));
    }
}
