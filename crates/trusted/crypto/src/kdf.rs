//! HKDF-SHA256 (RFC 5869) and HMAC-SHA256 (RFC 2104).

use aws_lc_rs::{constant_time::verify_slices_are_equal, hkdf, hmac};

use crate::{CryptoError, Secret};

/// Length of every symmetric key in this project, in bytes.
pub const KEY_LEN: usize = 32;

/// A 256-bit symmetric key or the parent of some.
pub type Key = Secret<[u8; KEY_LEN]>;

/// The output length asked of aws-lc.
struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

/// HKDF-SHA256, extract and expand, into all of `out`; `info` is the concatenation of its parts.
///
/// # Errors
/// [`CryptoError::TooLong`] if `out` has more than 255 × 32 bytes (RFC 5869, 2.3).
pub fn hkdf_sha256(salt: &[u8], ikm: &[u8], info: &[&[u8]], out: &mut [u8]) -> Result<(), CryptoError> {
    hkdf::Salt::new(hkdf::HKDF_SHA256, salt)
        .extract(ikm)
        .expand(info, Length(out.len()))
        .and_then(|okm| okm.fill(out))
        .map_err(|_| CryptoError::TooLong)
}

/// HMAC-SHA256 of the concatenation of `parts`.
#[must_use]
pub fn hmac_sha256(key: &Key, parts: &[&[u8]]) -> [u8; 32] {
    hmac_with(key.expose(), parts)
}

/// Whether `mac` is the HMAC-SHA256 of the concatenation of `parts`; compares in constant time.
#[must_use]
pub fn is_hmac_sha256(key: &Key, parts: &[&[u8]], mac: &[u8]) -> bool {
    verify_slices_are_equal(&hmac_sha256(key, parts), mac).is_ok()
}

pub(crate) fn hmac_with(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    for part in parts {
        context.update(part);
    }
    let mut out = [0; 32];
    out.copy_from_slice(context.sign().as_ref());
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn hkdf_hex(salt: &str, ikm: &str, info: &str, len: usize) -> String {
        let [salt, ikm, info] = [salt, ikm, info].map(|text| hex::decode(text).unwrap());
        let mut out = vec![0; len];
        hkdf_sha256(&salt, &ikm, &[&info], &mut out).unwrap();
        hex::encode(out)
    }

    /// `first..=last` as hex, the shape of RFC 5869's long inputs.
    fn counting(first: u8, last: u8) -> String {
        hex::encode((first..=last).collect::<Vec<u8>>())
    }

    #[test]
    fn rfc_5869_case_1() {
        let okm = hkdf_hex("000102030405060708090a0b0c", &"0b".repeat(22), "f0f1f2f3f4f5f6f7f8f9", 42);
        let expected = "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865";
        assert_eq!(okm, expected);
    }

    #[test]
    fn rfc_5869_case_2_long() {
        let okm = hkdf_hex(&counting(0x60, 0xaf), &counting(0x00, 0x4f), &counting(0xb0, 0xff), 82);
        let expected = "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c\
                        59045a99cac7827271cb41c65e590e09da3275600c2f09b8367793a9aca3db71\
                        cc30c58179ec3e87c14c01d5c1f3434f1d87";
        assert_eq!(okm, expected);
    }

    #[test]
    fn rfc_5869_case_3_no_salt_no_info() {
        let okm = hkdf_hex("", &"0b".repeat(22), "", 42);
        let expected = "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8";
        assert_eq!(okm, expected);
    }

    #[test]
    fn info_parts_are_concatenated() {
        let (mut whole, mut parts) = ([0; 32], [0; 32]);
        hkdf_sha256(b"salt", b"ikm", &[b"label\0context"], &mut whole).unwrap();
        hkdf_sha256(b"salt", b"ikm", &[b"label", b"\0", b"context"], &mut parts).unwrap();
        assert_eq!(whole, parts);
    }

    #[test]
    fn more_than_255_blocks_is_refused() {
        assert_eq!(hkdf_sha256(b"", b"", &[], &mut [0; 255 * 32]), Ok(()));
        assert_eq!(hkdf_sha256(b"", b"", &[], &mut [0; 255 * 32 + 1]), Err(CryptoError::TooLong));
    }

    #[test]
    fn rfc_4231_case_2() {
        let mac = hmac_with(b"Jefe", &[b"what do ya want ", b"for nothing?"]);
        let expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(hex::encode(mac), expected);
    }
}
