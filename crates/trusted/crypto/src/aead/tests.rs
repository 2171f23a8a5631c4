#![allow(clippy::unwrap_used)]

use super::*;
use crate::Secret;
use proptest::prelude::*;

/// RFC 8452, appendices C.2 and C.3: key, nonce, plaintext, additional data, ciphertext ‖ tag.
const VECTORS: &[[&str; 5]] = &[
    [K1, N3, "", "", "07f5f4169bbf55a8400cd47ea6fd400f"],
    [K1, N3, "0100000000000000", "", "c2ef328e5c71c83b843122130f7364b761e0b97427e3df28"],
    [K1, N3, "010000000000000000000000", "", "9aab2aeb3faa0a34aea8e2b18ca50da9ae6559e48fd10f6e5c9ca17e"],
    [
        K1,
        N3,
        "01000000000000000000000000000000",
        "",
        "85a01b63025ba19b7fd3ddfc033b3e76c9eac6fa700942702e90862383c6c366",
    ],
    [
        K1,
        N3,
        "0100000000000000000000000000000002000000000000000000000000000000",
        "",
        "4a6a9db4c8c6549201b9edb53006cba821ec9cf850948a7c86c68ac7539d027f\
         e819e63abcd020b006a976397632eb5d",
    ],
    [
        K1,
        N3,
        "0100000000000000000000000000000002000000000000000000000000000000\
         0300000000000000000000000000000004000000000000000000000000000000",
        "",
        "c2d5160a1f8683834910acdafc41fbb1632d4a353e8b905ec9a5499ac34f96c7\
         e1049eb080883891a4db8caaa1f99dd004d80487540735234e3744512c6f90ce\
         112864c269fc0d9d88c61fa47e39aa08",
    ],
    [K1, N3, "0200000000000000", "01", "1de22967237a813291213f267e3b452f02d01ae33e4ec854"],
    [
        K1,
        N3,
        "02000000000000000000000000000000",
        "01",
        "c91545823cc24f17dbb0e9e807d5ec17b292d28ff61189e8e49f3875ef91aff7",
    ],
    [K1, N3, "02000000", "010000000000000000000000", "22b3f4cd1835e517741dfddccfa07fa4661b74cf"],
    [
        K1,
        N3,
        "0300000000000000000000000000000004000000",
        "010000000000000000000000000000000200",
        "43dd0163cdb48f9fe3212bf61b201976067f342bb879ad976d8242acc188ab59cabfe307",
    ],
    [
        "e66021d5eb8e4f4066d4adb9c33560e4f46e44bb3da0015c94f7088736864200",
        "e0eaf5284d884a0e77d31646",
        "",
        "",
        "169fbb2fbf389a995f6390af22228a62",
    ],
    [
        "bae8e37fc83441b16034566b7a806c46bb91c3c5aedb64a6c590bc84d1a5e269",
        "e4b47801afc0577e34699b9e",
        "671fdd4fbdc66f146545fc880c94a95198",
        "874296d5cc1fd16132",
        "9209cfae7372e0a3ec2e5d072d5e26b7b9f3acb73908e54cddf7be1864914e13cf",
    ],
    [
        "0b6920ce07787f86743b275d1ab32f6d1f0434d8848c1177441f195495860f04",
        "6787f3ea22c127aaf195d189",
        "4728b3fed1473c528b8426a582995929a1499e9ad8780c8d63d0ab4149c09f572c61",
        "4b4745914474e7c7c9882e5386fd9f92ec48",
        "8ad7deb4be91cdc4e75c77de1c746d816212b109c5a485c6cb79e3005d2e94355104\
         d71002b6a9de0addb173f49e34edab61",
    ],
    // C.3: the counter block wraps around within the message.
    [
        K0,
        N0,
        "000000000000000000000000000000004db923dc793ee6497c76dcc03a98e108",
        "",
        "f3f80f2cf0cb2dd9c5984fcda908456cc537703b5ba70324a6793a7bf218d3ea\
         ffffffff000000000000000000000000",
    ],
    [
        K0,
        N0,
        "eb3640277c7ffd1303c7a542d02d3e4c0000000000000000",
        "",
        "18ce4f0b8cb4d0cac65fea8f79257b20888e53e72299e56d\
         ffffffff000000000000000000000000",
    ],
];

const K0: &str = "0000000000000000000000000000000000000000000000000000000000000000";
const K1: &str = "0100000000000000000000000000000000000000000000000000000000000000";
const N0: &str = "000000000000000000000000";
const N3: &str = "030000000000000000000000";

fn bytes<const N: usize>(text: &str) -> [u8; N] {
    hex::decode(text).unwrap().try_into().unwrap()
}

#[test]
fn rfc_8452_vectors() {
    for [key, nonce, plain, aad, expected] in VECTORS {
        let key = AeadKey::new(&Secret::new(bytes(key)));
        let (nonce, aad, plain) = (bytes(nonce), hex::decode(aad).unwrap(), hex::decode(plain).unwrap());

        let mut sealed = plain.clone();
        let tag = key.seal_in_place(nonce, &aad, &mut sealed).unwrap();
        sealed.extend_from_slice(&tag);
        assert_eq!(hex::encode(&sealed), *expected);

        assert_eq!(key.open_in_place(nonce, &aad, &mut sealed, 0).unwrap(), plain);
    }
}

#[test]
fn opening_shifts_the_plaintext_over_what_precedes_it() {
    let key = AeadKey::new(&Secret::new([7; 32]));
    let mut record = b"headersecret".to_vec();
    let tag = key.seal_in_place([1; 12], b"", &mut record[6..]).unwrap();
    record.extend_from_slice(&tag);
    assert_eq!(key.open_in_place([1; 12], b"", &mut record, 6).unwrap(), b"secret");
}

#[test]
fn a_wrong_key_nonce_or_additional_data_fails_authentication() {
    let key = AeadKey::new(&Secret::new([7; 32]));
    let other = AeadKey::new(&Secret::new([8; 32]));
    let mut record = b"secret".to_vec();
    let tag = key.seal_in_place([1; 12], b"here", &mut record).unwrap();
    record.extend_from_slice(&tag);

    let refused = Err(CryptoError::Authentication);
    assert_eq!(other.open_in_place([1; 12], b"here", &mut record.clone(), 0).map(|_| ()), refused);
    assert_eq!(key.open_in_place([2; 12], b"here", &mut record.clone(), 0).map(|_| ()), refused);
    assert_eq!(key.open_in_place([1; 12], b"there", &mut record.clone(), 0).map(|_| ()), refused);
    assert_eq!(key.open_in_place([1; 12], b"here", &mut record.clone(), 1).map(|_| ()), refused);
    assert_eq!(key.open_in_place([1; 12], b"here", &mut record, 0).map(|_| ()), Ok(()));
}

#[test]
fn too_short_for_a_tag_fails_authentication() {
    let key = AeadKey::new(&Secret::new([7; 32]));
    for len in 0..TAG_LEN {
        let opened = key.open_in_place([1; 12], b"", &mut vec![0; len], 0).map(|_| ());
        assert_eq!(opened, Err(CryptoError::Authentication));
    }
    let beyond = key.open_in_place([1; 12], b"", &mut [0; 20], 21).map(|_| ());
    assert_eq!(beyond, Err(CryptoError::Authentication));
}

#[test]
fn the_last_seal_works_and_the_next_does_not() {
    let key = AeadKey::new(&Secret::new([7; 32]));
    key.seals.store(MAX_SEALS_PER_KEY - 1, Ordering::Relaxed);
    assert!(key.seal_in_place([1; 12], b"", &mut [0; 4]).is_ok());

    let mut untouched = [9; 4];
    let refused = key.seal_in_place([2; 12], b"", &mut untouched);
    assert_eq!(refused, Err(CryptoError::KeyExhausted));
    assert_eq!(untouched, [9; 4]);
    assert_eq!(key.seals(), MAX_SEALS_PER_KEY + 1);
}

proptest! {
    #[test]
    fn round_trip_and_every_flip_refused(
        plain in proptest::collection::vec(any::<u8>(), 0..300),
        aad in proptest::collection::vec(any::<u8>(), 0..40),
        nonce: [u8; 12],
        key: [u8; 32],
        bit: prop::sample::Index,
    ) {
        let key = AeadKey::new(&Secret::new(key));
        let mut record = plain.clone();
        let tag = key.seal_in_place(nonce, &aad, &mut record).unwrap();
        record.extend_from_slice(&tag);

        let mut flipped = record.clone();
        let at = bit.index(flipped.len() * 8);
        flipped[at / 8] ^= 1 << (at % 8);
        prop_assert!(key.open_in_place(nonce, &aad, &mut flipped, 0).is_err());

        prop_assert_eq!(key.open_in_place(nonce, &aad, &mut record, 0).unwrap(), &plain[..]);
    }
}
