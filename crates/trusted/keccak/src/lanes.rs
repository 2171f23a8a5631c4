//! Keccak-f\[1600\] on four states at once, one in each 64-bit lane of AVX2's registers.

use core::arch::x86_64::{
    __m256i, _mm256_and_si256, _mm256_andnot_si256, _mm256_extract_epi64, _mm256_or_si256, _mm256_set_epi64x,
    _mm256_set1_epi64x, _mm256_setzero_si256, _mm256_slli_epi64, _mm256_srli_epi64, _mm256_xor_si256,
};

/// Bytes that one permutation takes in, at the capacity of 512 bits that a digest of 256 bits asks for.
pub(crate) const RATE: usize = 136;

/// Messages hashed at one time.
pub(crate) const LANES: usize = 4;

/// 64-bit words in a digest.
const WORDS: usize = 4;

/// Constants of the step ι, FIPS 202 §3.2.5.
const ROUND_CONSTANTS: [u64; 24] = [
    0x0000_0000_0000_0001,
    0x0000_0000_0000_8082,
    0x8000_0000_0000_808a,
    0x8000_0000_8000_8000,
    0x0000_0000_0000_808b,
    0x0000_0000_8000_0001,
    0x8000_0000_8000_8081,
    0x8000_0000_0000_8009,
    0x0000_0000_0000_008a,
    0x0000_0000_0000_0088,
    0x0000_0000_8000_8009,
    0x0000_0000_8000_000a,
    0x0000_0000_8000_808b,
    0x8000_0000_0000_008b,
    0x8000_0000_0000_8089,
    0x8000_0000_0000_8003,
    0x8000_0000_0000_8002,
    0x8000_0000_0000_0080,
    0x0000_0000_0000_800a,
    0x8000_0000_8000_000a,
    0x8000_0000_8000_8081,
    0x8000_0000_0000_8080,
    0x0000_0000_8000_0001,
    0x8000_0000_8000_8008,
];

/// What a lane is to take in next.
#[derive(Clone, Copy)]
pub(crate) struct Block<'a> {
    pub(crate) bytes: &'a [u8; RATE],
    /// It is the first of its message.
    pub(crate) begins: bool,
}

/// Four states; word `x + 5·y` of each is in one register.
pub(crate) struct States([__m256i; 25]);

impl States {
    #[target_feature(enable = "avx2")]
    pub(crate) fn new() -> Self {
        Self([_mm256_setzero_si256(); 25])
    }

    /// Takes a block into each lane, after clearing the lanes where a message begins.
    #[target_feature(enable = "avx2")]
    pub(crate) fn absorb(&mut self, blocks: &[Block<'_>; LANES]) {
        if blocks.iter().any(|block| block.begins) {
            let keep = |lane: usize| if blocks[lane].begins { 0 } else { -1 };
            let mask = _mm256_set_epi64x(keep(3), keep(2), keep(1), keep(0));
            for word in &mut self.0 {
                *word = _mm256_and_si256(*word, mask);
            }
        }
        for (at, word) in self.0[..RATE / 8].iter_mut().enumerate() {
            let of = |lane: usize| {
                let bytes = blocks[lane].bytes.as_chunks::<8>().0;
                i64::from_le_bytes(bytes[at])
            };
            *word = _mm256_xor_si256(*word, _mm256_set_epi64x(of(3), of(2), of(1), of(0)));
        }
        self.permute();
    }

    /// The digests, as far as messages have ended.
    #[target_feature(enable = "avx2")]
    pub(crate) fn digests(&self) -> [[u8; 32]; LANES] {
        let mut digests = [[0; 32]; LANES];
        for at in 0..WORDS {
            let word = self.0[at];
            let lanes = [
                _mm256_extract_epi64::<0>(word),
                _mm256_extract_epi64::<1>(word),
                _mm256_extract_epi64::<2>(word),
                _mm256_extract_epi64::<3>(word),
            ];
            for (digest, lane) in digests.iter_mut().zip(lanes) {
                digest[8 * at..8 * at + 8].copy_from_slice(&lane.to_le_bytes());
            }
        }
        digests
    }

    #[target_feature(enable = "avx2")]
    fn permute(&mut self) {
        let mut even = self.0;
        for pair in ROUND_CONSTANTS.as_chunks::<2>().0 {
            let odd = round(&even, pair[0]);
            even = round(&odd, pair[1]);
        }
        self.0 = even;
    }
}

/// Turns each lane left by `LEFT` bits; `RIGHT` is 64 less that.
#[target_feature(enable = "avx2")]
#[inline]
fn turn<const LEFT: i32, const RIGHT: i32>(word: __m256i) -> __m256i {
    const { assert!(LEFT + RIGHT == 64) };
    _mm256_or_si256(_mm256_slli_epi64::<LEFT>(word), _mm256_srli_epi64::<RIGHT>(word))
}

/// The step χ on one row.
#[target_feature(enable = "avx2")]
#[inline]
fn chi(row: [__m256i; 5]) -> [__m256i; 5] {
    let [a, b, c, d, e] = row;
    [
        _mm256_xor_si256(a, _mm256_andnot_si256(b, c)),
        _mm256_xor_si256(b, _mm256_andnot_si256(c, d)),
        _mm256_xor_si256(c, _mm256_andnot_si256(d, e)),
        _mm256_xor_si256(d, _mm256_andnot_si256(e, a)),
        _mm256_xor_si256(e, _mm256_andnot_si256(a, b)),
    ]
}

/// The steps θ, ρ, π, χ and ι, FIPS 202 §3.2; the offsets of ρ are those of its table 2.
#[target_feature(enable = "avx2")]
#[inline]
fn round(a: &[__m256i; 25], constant: u64) -> [__m256i; 25] {
    let xor = |a, b| _mm256_xor_si256(a, b);
    let column = |x: usize| xor(xor(xor(a[x], a[x + 5]), xor(a[x + 10], a[x + 15])), a[x + 20]);
    let c = [column(0), column(1), column(2), column(3), column(4)];
    let parity = |x: usize| xor(c[(x + 4) % 5], turn::<1, 63>(c[(x + 1) % 5]));
    let d = [parity(0), parity(1), parity(2), parity(3), parity(4)];
    let at = |x: usize, y: usize| xor(a[x + 5 * y], d[x]);

    let [r0, r1, r2, r3, r4] = chi([
        at(0, 0),
        turn::<44, 20>(at(1, 1)),
        turn::<43, 21>(at(2, 2)),
        turn::<21, 43>(at(3, 3)),
        turn::<14, 50>(at(4, 4)),
    ]);
    let r0 = xor(r0, _mm256_set1_epi64x(constant.cast_signed()));
    let [r5, r6, r7, r8, r9] = chi([
        turn::<28, 36>(at(3, 0)),
        turn::<20, 44>(at(4, 1)),
        turn::<3, 61>(at(0, 2)),
        turn::<45, 19>(at(1, 3)),
        turn::<61, 3>(at(2, 4)),
    ]);
    let [r10, r11, r12, r13, r14] = chi([
        turn::<1, 63>(at(1, 0)),
        turn::<6, 58>(at(2, 1)),
        turn::<25, 39>(at(3, 2)),
        turn::<8, 56>(at(4, 3)),
        turn::<18, 46>(at(0, 4)),
    ]);
    let [r15, r16, r17, r18, r19] = chi([
        turn::<27, 37>(at(4, 0)),
        turn::<36, 28>(at(0, 1)),
        turn::<10, 54>(at(1, 2)),
        turn::<15, 49>(at(2, 3)),
        turn::<56, 8>(at(3, 4)),
    ]);
    let [r20, r21, r22, r23, r24] = chi([
        turn::<62, 2>(at(2, 0)),
        turn::<55, 9>(at(3, 1)),
        turn::<39, 25>(at(4, 2)),
        turn::<41, 23>(at(0, 3)),
        turn::<2, 62>(at(1, 4)),
    ]);
    [r0, r1, r2, r3, r4, r5, r6, r7, r8, r9, r10, r11, r12, r13, r14, r15, r16, r17, r18, r19, r20, r21, r22, r23, r24]
}
