//! What one block changed, in the one form two nodes can compare byte by byte.

use alloy_primitives::{Address, Bytes, U256};
use alloy_rlp::{BufMut, Decodable, Encodable, Error as RlpError, Header};

use crate::{Account, DeltaError};

/// The changes of one block: plain keys, strictly sorted.
///
/// On the wire it is the RLP list `[accounts, codes]`; decoding refuses every form but the
/// canonical one. Use [`alloy_rlp::decode_exact`] to refuse trailing bytes as well.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StateDelta {
    /// Changed accounts in strictly ascending order of address.
    pub accounts: Vec<AccountDelta>,
    /// Code that accounts of this delta name for the first time, in strictly ascending order of
    /// bytes. Code the state already holds may be repeated.
    pub codes: Vec<Bytes>,
}

/// The changes of one account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountDelta {
    /// Whose changes these are.
    pub address: Address,
    /// The account after the block; `None` when it is gone, and then its storage is gone too.
    pub account: Option<Account>,
    /// Whether the account lost all its former slots before `storage` was written.
    pub storage_cleared: StorageCleared,
    /// Slots and their values after the block, in strictly ascending order of slot; zero deletes.
    pub storage: Vec<(U256, U256)>,
}

/// Whether an account's former storage vanished in a block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StorageCleared {
    /// Slots the delta does not name keep their values.
    #[default]
    No,
    /// Slots the delta does not name are zero.
    Yes,
}

impl StateDelta {
    /// Brings accounts, slots and codes into the canonical order.
    ///
    /// Duplicate codes collapse. Duplicate accounts or slots stay, for [`Self::check`] to refuse:
    /// which of two contradicting values holds is not this crate's to guess.
    pub fn sort(&mut self) {
        self.accounts.sort_by_key(|account| account.address);
        for account in &mut self.accounts {
            account.storage.sort_by_key(|(slot, _)| *slot);
        }
        self.codes.sort();
        self.codes.dedup();
    }

    /// Checks that the delta is canonical: sorted, free of duplicates and of contradictions.
    pub fn check(&self) -> Result<(), DeltaError> {
        for pair in self.accounts.windows(2) {
            if pair[0].address >= pair[1].address {
                return Err(DeltaError::AccountOrder(pair[1].address));
            }
        }
        for account in &self.accounts {
            account.check()?;
        }
        if self.codes.iter().any(|code| code.is_empty()) {
            return Err(DeltaError::EmptyCode);
        }
        if self.codes.windows(2).any(|pair| pair[0] >= pair[1]) {
            return Err(DeltaError::CodeOrder);
        }
        Ok(())
    }

    /// Whether nothing changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.accounts.is_empty() && self.codes.is_empty()
    }
}

impl AccountDelta {
    fn check(&self) -> Result<(), DeltaError> {
        let address = self.address;
        if self.account.is_none() && !self.storage.is_empty() {
            return Err(DeltaError::StorageOfGoneAccount(address));
        }
        for pair in self.storage.windows(2) {
            if pair[0].0 >= pair[1].0 {
                let slot = pair[1].0;
                return Err(DeltaError::SlotOrder { address, slot });
            }
        }
        Ok(())
    }
}

impl StateDelta {
    fn payload_length(&self) -> usize {
        self.accounts.length() + self.codes.length()
    }
}

impl Encodable for StateDelta {
    fn encode(&self, out: &mut dyn BufMut) {
        list(self.payload_length()).encode(out);
        self.accounts.encode(out);
        self.codes.encode(out);
    }

    fn length(&self) -> usize {
        list(self.payload_length()).length_with_payload()
    }
}

impl Decodable for StateDelta {
    fn decode(buf: &mut &[u8]) -> alloy_rlp::Result<Self> {
        let mut payload = Header::decode_bytes(buf, true)?;
        let delta = Self { accounts: Decodable::decode(&mut payload)?, codes: Decodable::decode(&mut payload)? };
        exhausted(payload)?;
        delta.check().map_err(|_| RlpError::Custom("the delta is not canonical"))?;
        Ok(delta)
    }
}

impl AccountDelta {
    fn payload_length(&self) -> usize {
        self.address.length()
            + list(self.account_length()).length_with_payload()
            + self.storage_cleared.length()
            + list(self.storage_length()).length_with_payload()
    }

    fn account_length(&self) -> usize {
        self.account.as_ref().map_or(0, Encodable::length)
    }

    fn storage_length(&self) -> usize {
        let slots = self.storage.iter();
        slots.map(|slot| list(pair_length(slot)).length_with_payload()).sum()
    }
}

/// `[address, [account] or [], 0 or 1, [[slot, value], ..]]`
impl Encodable for AccountDelta {
    fn encode(&self, out: &mut dyn BufMut) {
        list(self.payload_length()).encode(out);
        self.address.encode(out);
        list(self.account_length()).encode(out);
        if let Some(account) = &self.account {
            account.encode(out);
        }
        self.storage_cleared.encode(out);
        list(self.storage_length()).encode(out);
        for slot in &self.storage {
            list(pair_length(slot)).encode(out);
            slot.0.encode(out);
            slot.1.encode(out);
        }
    }

    fn length(&self) -> usize {
        list(self.payload_length()).length_with_payload()
    }
}

impl Decodable for AccountDelta {
    fn decode(buf: &mut &[u8]) -> alloy_rlp::Result<Self> {
        let mut payload = Header::decode_bytes(buf, true)?;
        let address = Address::decode(&mut payload)?;
        let mut optional = Header::decode_bytes(&mut payload, true)?;
        let account = if optional.is_empty() { None } else { Some(Account::decode(&mut optional)?) };
        exhausted(optional)?;
        let storage_cleared = StorageCleared::decode(&mut payload)?;
        let mut pairs = Header::decode_bytes(&mut payload, true)?;
        exhausted(payload)?;
        let mut storage = Vec::new();
        while !pairs.is_empty() {
            let mut pair = Header::decode_bytes(&mut pairs, true)?;
            storage.push((U256::decode(&mut pair)?, U256::decode(&mut pair)?));
            exhausted(pair)?;
        }
        Ok(Self { address, account, storage_cleared, storage })
    }
}

impl Encodable for StorageCleared {
    fn encode(&self, out: &mut dyn BufMut) {
        matches!(self, Self::Yes).encode(out);
    }

    fn length(&self) -> usize {
        1
    }
}

impl Decodable for StorageCleared {
    fn decode(buf: &mut &[u8]) -> alloy_rlp::Result<Self> {
        Ok(if bool::decode(buf)? { Self::Yes } else { Self::No })
    }
}

const fn list(payload_length: usize) -> Header {
    Header { list: true, payload_length }
}

fn pair_length((slot, value): &(U256, U256)) -> usize {
    slot.length() + value.length()
}

fn exhausted(payload: &[u8]) -> alloy_rlp::Result<()> {
    if payload.is_empty() { Ok(()) } else { Err(RlpError::UnexpectedLength) }
}
