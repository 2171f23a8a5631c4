//! Inputs that precompiles make something of.

use alloy_primitives::{Bytes, U256, hex};

use crate::fuzz::Random;

/// Last precompile of the fork that has most, but for the one of EIP-7951.
pub(super) const LAST: u16 = 0x11;
/// EIP-7951.
pub(super) const P256: u16 = 0x100;

/// A recoverable signature: hash, v, r, s.
const ECRECOVER: &str = "456e9aea5e197a1f1af7a3e85a3212fa4049a3ba34c2289b4c860fc0b0c64ef3000000000000000000000000000000000000000000000000000000000000001c9242685bf161793cc25603c231bc2f568eb630ea16aa137d2664ac80388256084f8ae3bd7535248d0bd448298cc2e2071e56992d0774dc340c368ae950852ada";
/// Rounds, state, message, counter and flag (EIP-152).
const BLAKE2F: &str = "0000000c48c9bdf267e6096a3ba7ca8485ae67bb2bf894fe72f36e3cf1361d5f3af54fa5d182e6ad7f520e511f6c3e2b8c68059b6bbd41fbabd9831f79217e1319cde05b61626300000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000300000000000000000000000000000001";
/// The generator of G1 of BLS12-381, as EIP-2537 encodes it.
const BLS_G1: &str = "0000000000000000000000000000000017f1d3a73197d7942695638c4fa9ac0fc3688c4f9774b905a14e3a3f171bac586c55e83ff97a1aeffb3af00adb22c6bb0000000000000000000000000000000008b3f481e3aaa0f1a09e30ed741d8ae4fcf5e095d5d00af600db18cb2c04b3edd03cc744a2888ae40caa232946c5e7e1";

/// An input for the precompile at an address: mostly a good one, sometimes cut or with a changed byte.
pub(super) fn input(address: u16, random: &mut Random) -> Bytes {
    let mut bytes = good(address, random);
    match random.below(6) {
        0 => bytes.truncate(random.below(bytes.len() + 1)),
        1 if !bytes.is_empty() => {
            let at = random.below(bytes.len());
            bytes[at] ^= 1 << random.below(8);
        }
        2 => bytes.extend([0; 40]),
        _ => {}
    }
    bytes.into()
}

fn good(address: u16, random: &mut Random) -> Vec<u8> {
    match address {
        1 => decoded(ECRECOVER),
        5 => modexp(random),
        // The generator of G1 is (1, 2); its multiples are found by the precompiles themselves.
        6 => words(&[1, 2, 1, 2]),
        7 => words(&[1, 2, random.next() % 1_000]),
        // No pairs: the product is one.
        8 => Vec::new(),
        9 => decoded(BLAKE2F),
        0xb => [decoded(BLS_G1), decoded(BLS_G1)].concat(),
        0xc => [decoded(BLS_G1), words(&[random.next() % 1_000])].concat(),
        0xd => vec![0; 512],
        0xe => vec![0; 288],
        0xf => vec![0; 384],
        0x10 => words(&[0, random.next()]),
        0x11 => words(&[0, random.next(), 0, random.next()]),
        P256 => vec![1; 160],
        // Hashes and the identity take anything.
        _ => (0..random.below(100)).map(|_| random.next().to_le_bytes()[0]).collect(),
    }
}

fn decoded(text: &str) -> Vec<u8> {
    hex::decode(text).expect("a constant in hexadecimal")
}

fn words(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| U256::from(*word).to_be_bytes::<32>()).collect()
}

/// Small lengths mostly, and now and then one that is beyond all bounds (EIP-7823).
fn modexp(random: &mut Random) -> Vec<u8> {
    let lengths = [random.below(40), random.below(40), random.below(40)].map(|length| length as u64);
    let mut bytes = words(&lengths);
    if random.below(10) == 0 {
        bytes[random.below(96)] = 1;
    }
    let total: u64 = lengths.iter().sum();
    bytes.extend((0..total).map(|_| random.next().to_le_bytes()[0]));
    bytes
}
