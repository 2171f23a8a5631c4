//! The root key of one machine.

use cloister_crypto::{EntropySource, KEY_LEN, Key, Secret};

/// The platform sealing key: the root of everything this machine writes.
///
/// On the virtual platform it is the content of a file that only the enclave process opens; on hardware the platform
/// derives it. Whoever loses it loses the data folder.
pub struct PlatformKey(Key);

/// Why bytes are no platform key. Fatal: there is nothing to start with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// A key file holds exactly 32 bytes.
    #[error("the platform key is {found} bytes long, not {KEY_LEN}")]
    Length {
        /// Bytes found.
        found: usize,
    },
    /// Only zeros: what a file shows after a torn write, never what an entropy source gives.
    #[error("the platform key is all zeros: the file was never written completely")]
    Zeros,
}

impl PlatformKey {
    /// Takes the raw bytes of a key. The caller wipes its own copy.
    ///
    /// # Errors
    /// [`KeyError`] if the length is wrong or all bytes are zero.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
        if bytes.len() != KEY_LEN {
            return Err(KeyError::Length { found: bytes.len() });
        }
        if bytes.iter().all(|byte| *byte == 0) {
            return Err(KeyError::Zeros);
        }
        Ok(Self(Secret::init(|key| key.copy_from_slice(bytes))))
    }

    /// Draws a new key.
    #[must_use]
    pub fn generate(entropy: &mut dyn EntropySource) -> Self {
        Self(Secret::init(|key| entropy.fill(key)))
    }

    /// The raw bytes, for the virtual platform to store. They must go nowhere else.
    #[must_use]
    pub fn expose(&self) -> &[u8; KEY_LEN] {
        self.0.expose()
    }

    pub(crate) const fn key(&self) -> &Key {
        &self.0
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use cloister_crypto::simulation::SeededEntropy;

    #[test]
    fn stores_and_loads() {
        let key = PlatformKey::generate(&mut SeededEntropy::new(1));
        let again = PlatformKey::from_bytes(key.expose()).unwrap();
        assert_eq!(key.expose(), again.expose());
    }

    #[test]
    fn a_wrong_length_or_zeros_are_refused() {
        let refused = |bytes: &[u8]| PlatformKey::from_bytes(bytes).err();
        assert_eq!(refused(&[]), Some(KeyError::Length { found: 0 }));
        assert_eq!(refused(&[1; 31]), Some(KeyError::Length { found: 31 }));
        assert_eq!(refused(&[1; 33]), Some(KeyError::Length { found: 33 }));
        assert_eq!(refused(&[0; 32]), Some(KeyError::Zeros));
    }
}
