//! The only way out of the ledger: every value handed out has passed [`Access::view`].

use std::sync::Arc;

use alloy_consensus::Header;
use alloy_eips::eip4895::Withdrawals;
use alloy_primitives::{Address, B256, Bytes, Log, TxKind, U256, uint};
use cloister_access::{Access, Caller, Resource, Shown, TransactionFacts, Visibility};
use cloister_execution::FrameGuard;
use cloister_primitives::{Block, Commitments, Height, Protection, Receipt, RecoveredTransaction};
use cloister_state::{Account, AccountProof, StateError, StateView};

use crate::{BlockLogs, Ledger, LogPlaces, LogSection, Position, ledger::Resident, log_section_end};

/// Where something stands that was asked for.
#[derive(Clone, Debug)]
pub enum Lookup<T> {
    /// It is at hand.
    Found(T),
    /// It is in the block at this height, which has to be read from the sealed log first
    /// ([`crate::RequestBody::Load`], then [`Reader::open`]).
    Stored(Height),
    /// It does not exist, or the caller may not know that it does.
    Absent,
}

/// A block read back from the sealed log; opaque until a [`Reader`] opens it for a caller.
#[derive(Clone, Debug)]
pub struct StoredBlock(pub(crate) Resident);

impl StoredBlock {
    /// The block's height, which is public.
    #[must_use]
    pub fn height(&self) -> Height {
        self.0.block.height()
    }
}

/// How far apart the log numbers of two transactions in a block are on a confidential chain.
const LOG_NUMBERS_PER_TRANSACTION: u64 = 1 << 16;

/// Slots of implementation, beacon and admin (EIP-1967).
const PROXY_SLOTS: [U256; 3] = [
    uint!(0x360894a13ba1a3210667c828492db98dca3e2076cc3735a920a3ca505d382bbc_U256),
    uint!(0xa3f0ad74e5423aebfd80d3ef4346578335a9a72aeaee59ff6cb3582b35133d50_U256),
    uint!(0xb53127684a568b3173ae13b9f8a6016e243e63b6e8ee1178d6a717850b5d6103_U256),
];

/// What one caller may read.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    pub(crate) ledger: &'a Ledger,
    pub(crate) caller: &'a Caller,
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(ledger: &'a Ledger, caller: &'a Caller) -> Self {
        Self { ledger, caller }
    }

    /// The committed head's block.
    ///
    /// # Errors
    /// [`StateError::NotYetApplied`] before the node has any block.
    pub fn head(&self) -> Result<SeenBlock, StateError> {
        self.ledger
            .head_resident()
            .map(|resident| self.see(resident))
            .ok_or(StateError::NotYetApplied { height: Height::GENESIS })
    }

    /// The block at a height.
    #[must_use]
    pub fn block(&self, height: Height) -> Lookup<SeenBlock> {
        match self.ledger.resident(height) {
            Some(resident) => Lookup::Found(self.see(resident)),
            None if height <= self.ledger.head() => Lookup::Stored(height),
            None => Lookup::Absent,
        }
    }

    /// The height of the block with this hash. Hashes are public.
    ///
    /// A hit may belong to another hash that shares a prefix: compare the block's hash.
    #[must_use]
    pub fn height_of(&self, hash: &B256) -> Option<Height> {
        self.ledger.height_of(hash)
    }

    /// The hash of the block at a height, resident or not. Hashes are public.
    #[must_use]
    pub fn hash_at(&self, height: Height) -> Option<B256> {
        self.ledger.hash_at(height)
    }

    /// Where the transaction with this hash stands; check the hash of what is found there.
    #[must_use]
    pub fn position_of(&self, hash: &B256) -> Option<Position> {
        self.ledger.position_of(hash)
    }

    /// The transaction with this hash.
    #[must_use]
    pub fn transaction(&self, hash: &B256) -> Lookup<SeenTransaction> {
        let Some(position) = self.position_of(hash) else {
            return Lookup::Absent;
        };
        match self.block(position.height) {
            Lookup::Found(block) => block
                .transaction(position.index)
                .filter(|transaction| transaction.hash() == *hash)
                .map_or(Lookup::Absent, Lookup::Found),
            Lookup::Stored(height) => Lookup::Stored(height),
            Lookup::Absent => Lookup::Absent,
        }
    }

    /// The section of the log index that `height` is in. `Stored` names it for
    /// [`crate::RequestBody::LoadLogSection`]. `Absent` where every block has to be looked into: the section is not
    /// finished, or the caller may not see all logs.
    #[must_use]
    pub fn log_section(&self, height: Height) -> Lookup<LogSection> {
        let last = log_section_end(height);
        if last > self.ledger.head() || !self.ledger.access.sees_every_log(self.caller) {
            return Lookup::Absent;
        }
        self.ledger.log_section(last).map_or(Lookup::Stored(last), |section| Lookup::Found(LogSection(section)))
    }

    /// Addresses and topics by position, as [`Self::candidates`] takes them; nothing in a place means anything.
    #[must_use]
    pub fn log_places(&self, addresses: &[Address], topics: &[Vec<B256>]) -> LogPlaces {
        self.ledger.log_places(addresses, topics)
    }

    /// The blocks from `first` to `last` in a section that may have logs at these places: all that have some, and a few
    /// that have not. `None` if the section is of no use to the caller, or not about blocks of this chain any more.
    #[must_use]
    pub fn candidates(
        &self,
        section: &LogSection,
        places: &LogPlaces,
        first: Height,
        last: Height,
    ) -> Option<Vec<Height>> {
        let usable = self.ledger.access.sees_every_log(self.caller) && self.ledger.is_current(&section.0);
        usable.then(|| section.0.candidates(places, first, last))
    }

    /// The transactions of a block that may have logs at these places, in order; all, where the caller may not see all
    /// logs.
    #[must_use]
    pub fn log_candidates(&self, logs: &BlockLogs, places: &LogPlaces) -> Vec<u32> {
        if self.ledger.access.sees_every_log(self.caller) { logs.candidates(places) } else { logs.all() }
    }

    /// Looks into a block that was read back from the sealed log.
    #[must_use]
    pub fn open(&self, stored: &StoredBlock) -> SeenBlock {
        self.see(stored.0.clone())
    }

    /// The state after the block at `height`.
    ///
    /// # Errors
    /// [`StateError::NotYetApplied`] if the height is beyond the head, and
    /// [`StateError::HistoryUnavailable`] if it is older than the history kept.
    pub fn state(&self, height: Height) -> Result<SeenState, StateError> {
        if height > self.ledger.head() {
            return Err(StateError::NotYetApplied { height });
        }
        Ok(self.see_state(self.ledger.state.view(height)?))
    }

    /// The oldest height whose state is resident; public.
    #[must_use]
    pub fn oldest_state(&self) -> Height {
        self.ledger.state.oldest()
    }

    /// A state that was rebuilt from the sealed log.
    #[must_use]
    pub fn replayed(&self, replayed: ReplayedState) -> SeenState {
        self.see_state(replayed.0)
    }

    fn see_state(&self, view: StateView) -> SeenState {
        SeenState { access: self.ledger.access(Some(&view)), view, caller: self.caller.clone() }
    }

    /// Whether the caller may see pending transactions of `sender`.
    #[must_use]
    pub fn sees_pool_of(&self, sender: Address) -> bool {
        self.ledger.access.view(self.caller, Resource::Pool { sender }).is_visible()
    }

    /// Whether the caller may have a call made in the name of `from`.
    #[must_use]
    pub fn may_call_as(&self, from: Address) -> bool {
        self.ledger.access.may_call_as(self.caller, from)
    }

    /// Whether the development methods exist for the caller.
    #[must_use]
    pub fn sees_development(&self) -> bool {
        self.ledger.access.view(self.caller, Resource::Development).is_visible()
    }

    fn see(&self, resident: Resident) -> SeenBlock {
        SeenBlock { resident, access: self.ledger.access(None), caller: self.caller.clone() }
    }
}

/// A state rebuilt from the sealed log; opaque until a [`Reader`] opens it for a caller.
#[derive(Clone, Debug)]
pub struct ReplayedState(pub(crate) StateView);

/// A block as one caller sees it.
#[derive(Clone, Debug)]
pub struct SeenBlock {
    resident: Resident,
    access: Access,
    caller: Caller,
}

impl SeenBlock {
    fn block(&self) -> &Block {
        &self.resident.block
    }

    /// The public header.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.block().header
    }

    /// The block's hash.
    #[must_use]
    pub fn hash(&self) -> B256 {
        self.block().hash
    }

    /// The block's height.
    #[must_use]
    pub fn height(&self) -> Height {
        self.block().height()
    }

    /// What the public header commits to; salts are for auditors of the whole ledger.
    #[must_use]
    pub fn commitments(&self) -> &Commitments {
        &self.block().commitments
    }

    /// Ommers; only imported blocks of proof of work have any.
    #[must_use]
    pub fn ommers(&self) -> &[Header] {
        &self.block().ommers
    }

    /// Withdrawals (EIP-4895); `None` before Shanghai.
    #[must_use]
    pub fn withdrawals(&self) -> Option<&Withdrawals> {
        self.block().withdrawals.as_ref()
    }

    /// The true number of transactions; public.
    #[must_use]
    pub fn transaction_count(&self) -> usize {
        self.block().transactions.len()
    }

    /// All transaction hashes in order; public.
    pub fn transaction_hashes(&self) -> impl Iterator<Item = B256> {
        self.block().transactions.iter().map(|transaction| *transaction.tx_hash())
    }

    /// The hash of the transaction at an index; public.
    #[must_use]
    pub fn transaction_hash(&self, index: u32) -> Option<B256> {
        self.block().transactions.get(index as usize).map(|transaction| *transaction.tx_hash())
    }

    /// The transaction at an index, if there is one and the caller may see it.
    #[must_use]
    pub fn transaction(&self, index: u32) -> Option<SeenTransaction> {
        let transaction = self.block().transactions.get(index as usize)?;
        let facts = facts(transaction, self.height());
        match self.access.view(&self.caller, Resource::Transaction(facts)) {
            Visibility::Absent => None,
            visibility => Some(SeenTransaction { block: self.clone(), index, visibility }),
        }
    }

    /// The transactions the caller may see, in order.
    pub fn transactions(&self) -> impl Iterator<Item = SeenTransaction> {
        (0..).take(self.block().transactions.len()).filter_map(|index| self.transaction(index))
    }

    /// The transactions that are run again to trace the one at an index: those before it, and itself last.
    /// `None` if there is none or the caller may not see it traced. What the earlier ones do is not the
    /// caller's to see.
    #[must_use]
    pub fn traced(&self, index: u32) -> Option<&[RecoveredTransaction]> {
        let transactions = self.block().transactions.get(..=index as usize)?;
        let resource = Resource::Trace(facts(transactions.last()?, self.height()));
        self.access.view(&self.caller, resource).is_visible().then_some(transactions)
    }

    /// The logs of the transaction at an index that the caller may see and that are `wanted`, whether or not he may see
    /// the transaction: who is named in a log need not have taken part in what led to it.
    pub fn logs_where<'s>(
        &'s self,
        index: u32,
        wanted: impl Fn(&Log) -> bool + 's,
    ) -> impl Iterator<Item = SeenLog<'s>> + 's {
        let receipt = self.block().receipts.get(index as usize);
        let logs = receipt.map(|receipt| receipt.logs()).unwrap_or_default();
        // Numbering walks the block: only where it is of use.
        let first = if logs.iter().any(&wanted) { self.first_log_index(index) } else { 0 };
        let height = self.height();
        logs.iter()
            .filter(move |log| {
                let resource =
                    Resource::Log { address: log.address, topics: log.topics(), data: &log.data.data, height };
                self.access.view(&self.caller, resource).is_visible()
            })
            // On an open chain nothing is left out, so this counts all logs.
            .zip(first..)
            .filter(move |(log, _)| wanted(log))
            .map(|(log, log_index)| SeenLog { log, log_index })
    }

    /// Number of a transaction's first log. Where not everybody sees all logs, numbers leave room for any that are not
    /// shown: how many logs the transactions before this one have is not the caller's to know.
    fn first_log_index(&self, index: u32) -> u64 {
        if self.access.is_confidential() && Protection::LogNumbers.holds() {
            return u64::from(index) * LOG_NUMBERS_PER_TRANSACTION;
        }
        self.resident.first_log(index as usize)
    }

    /// The block as Ethereum encodes it, where everything in it is visible to the caller.
    #[must_use]
    pub fn whole(&self) -> Option<&Block> {
        let visible = |transaction: &RecoveredTransaction| {
            let facts = facts(transaction, self.height());
            self.access.view(&self.caller, Resource::Transaction(facts)) == Visibility::Full
        };
        self.block().transactions.iter().all(visible).then_some(self.block())
    }
}

fn facts(transaction: &RecoveredTransaction, height: Height) -> TransactionFacts {
    use alloy_consensus::Transaction as _;
    TransactionFacts {
        sender: transaction.signer(),
        recipient: match transaction.kind() {
            TxKind::Call(to) => Some(to),
            TxKind::Create => None,
        },
        height,
    }
}

/// A transaction in a block as one caller sees it.
#[derive(Clone, Debug)]
pub struct SeenTransaction {
    block: SeenBlock,
    index: u32,
    visibility: Visibility,
}

/// A log as one caller sees it.
#[derive(Clone, Copy, Debug)]
pub struct SeenLog<'a> {
    /// The log itself.
    pub log: &'a Log,
    /// `logIndex` within the block.
    pub log_index: u64,
}

impl SeenTransaction {
    fn recovered(&self) -> &RecoveredTransaction {
        &self.block.block().transactions[self.index as usize]
    }

    /// The block it stands in.
    #[must_use]
    pub const fn block(&self) -> &SeenBlock {
        &self.block
    }

    /// Its index in the block.
    #[must_use]
    pub const fn index(&self) -> u32 {
        self.index
    }

    /// Its hash.
    #[must_use]
    pub fn hash(&self) -> B256 {
        *self.recovered().tx_hash()
    }

    /// How it may be shown: redacted means without nonce, gas and fees.
    #[must_use]
    pub const fn visibility(&self) -> Visibility {
        self.visibility
    }

    /// The signed transaction and its sender.
    #[must_use]
    pub fn transaction(&self) -> &RecoveredTransaction {
        self.recovered()
    }

    /// The receipt, with which logs only [`Self::logs`] may be shown.
    #[must_use]
    pub fn receipt(&self) -> Option<&Receipt> {
        let facts = facts(self.recovered(), self.block.height());
        self.block
            .access
            .view(&self.block.caller, Resource::Receipt(facts))
            .is_visible()
            .then(|| self.block.block().receipts.get(self.index as usize))
            .flatten()
    }

    /// Gas used by the block up to and including this transaction, as its receipt says; by this transaction alone where
    /// the rest is not the caller's to know.
    #[must_use]
    pub fn cumulative_gas_used(&self) -> u64 {
        if self.block.access.is_confidential() && Protection::CumulativeGas.holds() {
            return self.gas_used();
        }
        let receipts = &self.block.block().receipts;
        receipts.get(self.index as usize).map_or(0, |receipt| receipt.cumulative_gas_used())
    }

    /// Gas used by this transaction alone.
    #[must_use]
    pub fn gas_used(&self) -> u64 {
        let receipts = &self.block.block().receipts;
        let cumulative = |index: usize| receipts.get(index).map_or(0, |receipt| receipt.cumulative_gas_used());
        let index = self.index as usize;
        let before = index.checked_sub(1).map_or(0, cumulative);
        cumulative(index).saturating_sub(before)
    }

    /// The logs the caller may see.
    pub fn logs(&self) -> impl Iterator<Item = SeenLog<'_>> {
        self.block.logs_where(self.index, |_| true)
    }
}

/// The state after one block as one caller sees it.
#[derive(Clone, Debug)]
pub struct SeenState {
    view: StateView,
    access: Access,
    caller: Caller,
}

impl SeenState {
    fn sees(&self, resource: Resource<'_>) -> bool {
        self.access.view(&self.caller, resource).is_visible()
    }

    /// The height this state belongs to.
    #[must_use]
    pub fn height(&self) -> Height {
        self.view.height()
    }

    /// Balance, nonce and code hash; those of a never-used address where the caller may not know.
    ///
    /// # Errors
    /// [`StateError::HistoryUnavailable`] once the height has left the history.
    pub fn account(&self, address: Address) -> Result<Account, StateError> {
        if !self.sees(Resource::Account(address)) {
            return Ok(Account::default());
        }
        Ok(self.view.account(address)?.unwrap_or_default())
    }

    /// An account's code; empty where there is none or the caller may not know.
    ///
    /// # Errors
    /// [`StateError::HistoryUnavailable`] once the height has left the history.
    pub fn code(&self, address: Address) -> Result<Bytes, StateError> {
        if !self.sees(Resource::Code(address)) {
            return Ok(Bytes::new());
        }
        match self.view.account(address)? {
            Some(account) => Ok(self.view.code(account.code_hash)?.unwrap_or_default()),
            None => Ok(Bytes::new()),
        }
    }

    /// A storage slot; `None` where the caller may not ask.
    ///
    /// # Errors
    /// [`StateError::HistoryUnavailable`] once the height has left the history.
    pub fn storage(&self, address: Address, slot: U256) -> Result<Option<U256>, StateError> {
        let resource =
            if PROXY_SLOTS.contains(&slot) { Resource::ProxySlot(address) } else { Resource::Storage(address) };
        if !self.sees(resource) {
            return Ok(None);
        }
        self.view.storage(address, slot).map(Some)
    }

    /// A Merkle proof (EIP-1186); `None` where the caller may not ask.
    ///
    /// # Errors
    /// [`StateError::HistoryUnavailable`] once the height has left the history.
    pub fn proof(&self, address: Address, slots: &[U256]) -> Result<Option<AccountProof>, StateError> {
        if !self.sees(Resource::Proof(address)) {
            return Ok(None);
        }
        self.view.proof(address, slots).map(Some)
    }

    /// The view an EVM call runs on; the frame guard decides what the call may touch. `None` where
    /// the caller may not make the call at all.
    #[must_use]
    pub fn call_view(&self, from: Address, to: Option<Address>) -> Option<&StateView> {
        self.sees(Resource::Call { from, to }).then_some(&self.view)
    }

    /// What decides about the frames of calls on [`Self::call_view`].
    #[must_use]
    pub fn guard(&self) -> Arc<dyn FrameGuard> {
        self.access.guard(&self.caller)
    }

    /// The view that the transactions of the next block are traced on. `None` where the caller may not see the one at
    /// this index traced.
    #[must_use]
    pub fn replay_view(&self, block: &SeenBlock, index: u32) -> Option<&StateView> {
        let follows = block.height() == self.height().next();
        (follows && block.traced(index).is_some()).then_some(&self.view)
    }

    /// The view that a call is traced on. `None` where the caller may not see it traced.
    #[must_use]
    pub fn trace_view(&self, sender: Address, recipient: Option<Address>) -> Option<&StateView> {
        let facts = TransactionFacts { sender, recipient, height: self.height() };
        self.sees(Resource::Trace(facts)).then_some(&self.view)
    }

    /// What decides which frames are shown of traces of a block, by the rules of this state and those of today; `None`
    /// where all of them are.
    #[must_use]
    pub fn shown(&self, height: Height) -> Option<Shown> {
        self.access.shown(&self.caller, height)
    }

    /// Whether a log of the block at a height is shown.
    #[must_use]
    pub fn shows_log(&self, log: &Log, height: Height) -> bool {
        let (address, topics, data) = (log.address, log.topics(), &log.data.data);
        self.sees(Resource::Log { address, topics, data, height })
    }
}
