//! Building a state from the chunks of a snapshot, which are hostile until the root agrees.

use alloy_primitives::{B256, U256, keccak256};
use cloister_primitives::Height;

use super::format::{ChunkReader, Record};
use crate::contents::Contents;
use crate::history::HistoryLimits;
use crate::trie::AccountId;
use crate::{Account, SnapshotError, State, StateError};

/// A state being loaded.
pub struct SnapshotLoader {
    contents: Contents,
    current: Option<Current>,
    pending: Option<PendingCode>,
    /// Accounts with slots.
    with_storage: Vec<B256>,
}

/// The account whose records are coming in.
struct Current {
    key: B256,
    id: AccountId,
    last_slot: Option<B256>,
}

/// Code of which some parts are still to come.
struct PendingCode {
    account: Account,
    bytes: Vec<u8>,
}

impl SnapshotLoader {
    /// Starts with an empty state.
    #[must_use]
    pub fn new(history: HistoryLimits) -> Self {
        Self { contents: Contents::new(history), current: None, pending: None, with_storage: Vec::new() }
    }

    /// Loads a chunk. Chunks come in the order they were cut. After an error the loader is of no
    /// use any more.
    pub fn push(&mut self, chunk: &[u8]) -> Result<(), StateError> {
        let mut records = ChunkReader::new(chunk)?;
        while let Some(record) = records.next()? {
            self.load(record)?;
        }
        Ok(())
    }

    /// Makes the loaded state the one at `height`, if it has the expected root.
    pub fn finish(mut self, height: Height, expected_root: B256) -> Result<State, StateError> {
        self.expect_no_code()?;
        let computed = self.contents.tries.settle(self.with_storage);
        if computed != expected_root {
            let expected = expected_root;
            return Err(StateError::RootMismatch { expected, computed });
        }
        self.contents.history.begin(height);
        self.contents.history.set_root(computed);
        self.contents.tip = Some(height);
        self.contents.tidy();
        Ok(State::from_contents(self.contents))
    }

    fn load(&mut self, record: Record<'_>) -> Result<(), SnapshotError> {
        match record {
            Record::CodePart(part) => {
                self.pending()?.bytes.extend_from_slice(part);
                Ok(())
            }
            Record::CodeEnd(part) => {
                self.pending()?.bytes.extend_from_slice(part);
                self.complete_code()
            }
            Record::Account(key, account) => {
                self.expect_no_code()?;
                self.load_account(key, account)
            }
            Record::Slot(key, value) => {
                self.expect_no_code()?;
                self.load_slot(key, value)
            }
        }
    }

    fn load_account(&mut self, key: B256, account: Account) -> Result<(), SnapshotError> {
        if self.current.as_ref().is_some_and(|last| key <= last.key) {
            return Err(SnapshotError::AccountOrder(key));
        }
        let id = self.contents.tries.put_account(key, account);
        self.current = Some(Current { key, id, last_slot: None });
        if account.has_code() && !self.contents.codes.contains(&account.code_hash) {
            let bytes = Vec::new();
            self.pending = Some(PendingCode { account, bytes });
        } else {
            self.contents.codes.name(&account);
        }
        Ok(())
    }

    fn load_slot(&mut self, key: B256, value: U256) -> Result<(), SnapshotError> {
        let Some(current) = &mut self.current else {
            return Err(SnapshotError::SlotWithoutAccount(key));
        };
        if value.is_zero() {
            return Err(SnapshotError::ZeroSlot(key));
        }
        match current.last_slot {
            None => self.with_storage.push(current.key),
            Some(last) if key <= last => return Err(SnapshotError::SlotOrder(key)),
            Some(_) => {}
        }
        current.last_slot = Some(key);
        self.contents.tries.put_slot(current.id, key, value);
        Ok(())
    }

    fn pending(&mut self) -> Result<&mut PendingCode, SnapshotError> {
        self.pending.as_mut().ok_or(SnapshotError::UnexpectedCode)
    }

    fn complete_code(&mut self) -> Result<(), SnapshotError> {
        let code = self.pending.take().ok_or(SnapshotError::UnexpectedCode)?;
        let expected = code.account.code_hash;
        let computed = keccak256(&code.bytes);
        if computed != expected {
            return Err(SnapshotError::CodeMismatch { expected, computed });
        }
        self.contents.codes.add(expected, code.bytes.into());
        self.contents.codes.name(&code.account);
        Ok(())
    }

    fn expect_no_code(&self) -> Result<(), SnapshotError> {
        match &self.pending {
            Some(code) => Err(SnapshotError::MissingCode(code.account.code_hash)),
            None => Ok(()),
        }
    }
}

impl core::fmt::Debug for SnapshotLoader {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let account = self.current.as_ref().map(|current| current.key);
        f.debug_struct("SnapshotLoader").field("account", &account).finish_non_exhaustive()
    }
}
