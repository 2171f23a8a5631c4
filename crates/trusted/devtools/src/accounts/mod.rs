//! The accounts whose keys a development node holds: derived from a mnemonic that is public.

mod derivation;
mod signing;

use alloy_primitives::{Address, hex};
use secp256k1::SecretKey;
use thiserror::Error;

pub use signing::{SigningError, personal_hash, typed_data_hash};

/// The mnemonic that anvil, Hardhat and ganache share: its keys are known to everyone.
pub const TEST_MNEMONIC: &str = "test test test test test test test test test test test junk";

/// Derivation path of the accounts; the index of the account follows (BIP-44, coin type 60).
pub const DERIVATION_PATH: &str = "m/44'/60'/0'/0/";

/// Most accounts that one node holds.
pub const MAX_ACCOUNTS: u32 = 100;

/// Bytes of entropy behind a mnemonic of twelve words.
const ENTROPY_BYTES: usize = 16;

/// Why accounts could not be derived.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum AccountsError {
    /// BIP-39 knows mnemonics of 12, 15, 18, 21 or 24 words only.
    #[error("a mnemonic has 12, 15, 18, 21 or 24 words, this one has {0}")]
    WordCount(usize),
    /// A word is not in the English list.
    #[error("word {} of the mnemonic is not in the English word list of BIP-39", .0 + 1)]
    UnknownWord(usize),
    /// The last word does not fit the others.
    #[error("the checksum of the mnemonic is wrong: a word is mistyped or in the wrong place")]
    Checksum,
    /// More accounts than [`MAX_ACCOUNTS`], or none.
    #[error("the number of accounts must be between 1 and {MAX_ACCOUNTS}, not {0}")]
    Count(u32),
    /// A key fell outside the curve's order; no known mnemonic leads there.
    #[error("this mnemonic derives a key that is not valid on secp256k1; choose another")]
    Key,
    /// The platform's generator failed.
    #[error("the operating system gives no random bytes")]
    Entropy,
}

/// One account and its key.
#[derive(Clone)]
pub struct DevAccount {
    address: Address,
    key: SecretKey,
}

impl core::fmt::Debug for DevAccount {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_tuple("DevAccount").field(&self.address).finish()
    }
}

impl DevAccount {
    fn new(key: SecretKey) -> Self {
        let public = key.public_key().serialize_uncompressed();
        // The first byte only says that the point is not compressed.
        Self { address: Address::from_raw_public_key(&public[1..]), key }
    }

    /// The account's address.
    #[must_use]
    pub const fn address(&self) -> Address {
        self.address
    }

    /// The private key as `0x` and 64 hex digits, for the banner.
    #[must_use]
    pub fn private_key_hex(&self) -> String {
        hex::encode_prefixed(self.key.to_secret_bytes())
    }
}

/// All accounts of a development node.
#[derive(Clone, Debug)]
pub struct DevAccounts {
    mnemonic: String,
    accounts: Vec<DevAccount>,
}

impl DevAccounts {
    /// The first `count` accounts of an English BIP-39 mnemonic, without a passphrase.
    ///
    /// # Errors
    /// [`AccountsError`] says which word, or what else, is wrong.
    pub fn from_mnemonic(mnemonic: &str, count: u32) -> Result<Self, AccountsError> {
        if !(1..=MAX_ACCOUNTS).contains(&count) {
            return Err(AccountsError::Count(count));
        }
        // Every English word is ASCII: lower case is all the normalisation that BIP-39 asks for.
        let lower = mnemonic.to_ascii_lowercase();
        let parsed = bip39::Mnemonic::parse_in_normalized(bip39::Language::English, &lower)?;
        let seed = parsed.to_seed_normalized("");
        let accounts = derivation::accounts(&seed, count)?.into_iter().map(DevAccount::new).collect();
        Ok(Self { mnemonic: parsed.words().collect::<Vec<_>>().join(" "), accounts })
    }

    /// The first `count` accounts of a mnemonic that nobody has seen before.
    ///
    /// # Errors
    /// [`AccountsError::Count`], or [`AccountsError::Entropy`] if there is no randomness.
    pub fn random(count: u32) -> Result<Self, AccountsError> {
        let mut entropy = [0; ENTROPY_BYTES];
        getrandom::fill(&mut entropy).map_err(|_| AccountsError::Entropy)?;
        let mnemonic = bip39::Mnemonic::from_entropy(&entropy)?;
        Self::from_mnemonic(&mnemonic.words().collect::<Vec<_>>().join(" "), count)
    }

    /// The mnemonic, single spaces between its words.
    #[must_use]
    pub fn mnemonic(&self) -> &str {
        &self.mnemonic
    }

    /// The accounts in order of their index.
    #[must_use]
    pub fn all(&self) -> &[DevAccount] {
        &self.accounts
    }

    /// The account with this address.
    #[must_use]
    pub fn find(&self, address: &Address) -> Option<&DevAccount> {
        self.accounts.iter().find(|account| account.address == *address)
    }
}

impl From<bip39::Error> for AccountsError {
    fn from(error: bip39::Error) -> Self {
        match error {
            bip39::Error::BadWordCount(count) => Self::WordCount(count),
            bip39::Error::UnknownWord(index) => Self::UnknownWord(index),
            bip39::Error::InvalidChecksum => Self::Checksum,
            _ => Self::Entropy,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use alloy_primitives::address;

    #[test]
    fn the_test_mnemonic_gives_the_accounts_everyone_knows() {
        let accounts = DevAccounts::from_mnemonic(TEST_MNEMONIC, 10).unwrap();
        let all = accounts.all();
        assert_eq!(all.len(), 10);
        assert_eq!(all[0].address(), address!("f39Fd6e51aad88F6F4ce6aB8827279cffFb92266"));
        assert_eq!(all[0].private_key_hex(), "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80");
        assert_eq!(all[1].address(), address!("70997970C51812dc3A010C7d01b50e0d17dc79C8"));
        assert_eq!(all[9].address(), address!("a0Ee7A142d267C1f36714E4a8F75612F20a79720"));
        assert_eq!(all[9].private_key_hex(), "0x2a871d0798f97d79848a013d4936a73bf4cc922c825d33c1cf7073dff6d409c6");
        assert_eq!(accounts.find(&all[3].address()).map(DevAccount::address), Some(all[3].address()));
        assert!(accounts.find(&Address::ZERO).is_none());
    }

    #[test]
    fn case_and_spaces_do_not_matter() {
        let loud = TEST_MNEMONIC.to_uppercase().replace(' ', "  ");
        let accounts = DevAccounts::from_mnemonic(&loud, 1).unwrap();
        assert_eq!(accounts.mnemonic(), TEST_MNEMONIC);
        assert_eq!(accounts.all()[0].address(), address!("f39Fd6e51aad88F6F4ce6aB8827279cffFb92266"));
    }

    #[test]
    fn wrong_mnemonics_and_counts_are_named() {
        let error = |phrase: &str, count| DevAccounts::from_mnemonic(phrase, count).unwrap_err();
        assert_eq!(error("test junk", 1), AccountsError::WordCount(2));
        assert_eq!(error(&TEST_MNEMONIC.replace("junk", "junkk"), 1), AccountsError::UnknownWord(11));
        assert_eq!(error(&TEST_MNEMONIC.replace("junk", "test"), 1), AccountsError::Checksum);
        assert_eq!(error(TEST_MNEMONIC, 0), AccountsError::Count(0));
        assert_eq!(error(TEST_MNEMONIC, 101), AccountsError::Count(101));
        assert!(AccountsError::UnknownWord(11).to_string().starts_with("word 12 of"));
    }

    #[test]
    fn random_mnemonics_differ_and_parse() {
        let one = DevAccounts::random(2).unwrap();
        let two = DevAccounts::random(2).unwrap();
        assert_ne!(one.mnemonic(), two.mnemonic());
        let again = DevAccounts::from_mnemonic(one.mnemonic(), 2).unwrap();
        assert_eq!(again.all()[1].address(), one.all()[1].address());
    }

    #[test]
    fn debug_shows_no_key() {
        let accounts = DevAccounts::from_mnemonic(TEST_MNEMONIC, 1).unwrap();
        let shown = format!("{:?}", accounts.all());
        assert!(!shown.contains("ac0974"), "{shown}");
    }
}
