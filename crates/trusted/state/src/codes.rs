//! Contract code by hash, held as long as an account of the tip or of history names it.

use std::collections::BTreeMap;

use alloy_primitives::{B256, Bytes};

use crate::Account;

/// All code of one state.
#[derive(Default)]
pub(crate) struct Codes {
    codes: BTreeMap<B256, Code>,
    bytes: usize,
    /// Codes that had no name at some time since the last sweep.
    unnamed: Vec<B256>,
}

struct Code {
    bytes: Bytes,
    /// Accounts, at the tip and in history, that name it.
    names: u64,
}

impl Codes {
    pub(crate) fn get(&self, hash: &B256) -> Option<&Bytes> {
        self.codes.get(hash).map(|code| &code.bytes)
    }

    pub(crate) fn contains(&self, hash: &B256) -> bool {
        self.codes.contains_key(hash)
    }

    /// Adds code that no account names yet.
    pub(crate) fn add(&mut self, hash: B256, bytes: Bytes) {
        let length = bytes.len();
        self.codes.entry(hash).or_insert_with(|| {
            self.bytes += length;
            self.unnamed.push(hash);
            Code { bytes, names: 0 }
        });
    }

    /// Counts an account that names its code, if it has any.
    pub(crate) fn name(&mut self, account: &Account) {
        if let Some(code) = self.codes.get_mut(&account.code_hash) {
            code.names += 1;
        }
    }

    /// Takes an account out of the count. Code without names stays until [`Self::sweep`], as
    /// another account may be about to name it.
    pub(crate) fn unname(&mut self, account: &Account) {
        if let Some(code) = self.codes.get_mut(&account.code_hash) {
            code.names -= 1;
            if code.names == 0 {
                self.unnamed.push(account.code_hash);
            }
        }
    }

    /// Drops code that no account names.
    pub(crate) fn sweep(&mut self) {
        for hash in core::mem::take(&mut self.unnamed) {
            let unnamed = self.codes.get(&hash).is_some_and(|code| code.names == 0);
            if let Some(code) = unnamed.then(|| self.codes.remove(&hash)).flatten() {
                self.bytes -= code.bytes.len();
            }
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.codes.len()
    }

    /// Bytes allocated, about.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes + self.codes.len() * (size_of::<B256>() + size_of::<Code>())
    }

    /// A copy that outlives changes; the code itself is shared, not copied.
    pub(crate) fn share(&self) -> BTreeMap<B256, Bytes> {
        let codes = self.codes.iter();
        codes.map(|(hash, code)| (*hash, code.bytes.clone())).collect()
    }
}
