//! One block on a state of its own: what a case describes, as the executor takes it.

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_consensus::Header;
use alloy_eips::eip4895::Withdrawal;
use alloy_primitives::{Address, B256, Log, U256, keccak256};
use cloister_execution::{
    BlockAttributes, BlockHashes, Built, Claimed, Executed, ExecutionError, Executor, Open, Parent, genesis_delta,
};
use cloister_primitives::{
    ChainConfig, ChainSpec, CloisterConfig, EthereumHardfork, ForkSchedule, Genesis, GenesisAccount, Height,
    RecoveredTransaction,
};
use cloister_state::{HistoryLimits, State, StateView};

/// Accounts by address.
pub type Alloc = BTreeMap<Address, GenesisAccount>;

/// Gas limit of the genesis, which no block looks at.
const GENESIS_GAS_LIMIT: u64 = 30_000_000;

/// What is around the transactions of a block.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// The rules in force.
    pub fork: EthereumHardfork,
    /// Height.
    pub number: u64,
    /// Seconds since 1970.
    pub timestamp: u64,
    /// Who gets the tips.
    pub beneficiary: Address,
    /// Gas limit of the block.
    pub gas_limit: u64,
    /// Wei per gas; without effect before London.
    pub base_fee: u64,
    /// Zero from the merge on.
    pub difficulty: U256,
    /// EIP-4399.
    pub prev_randao: B256,
    /// EIP-4844; without effect before Cancun.
    pub excess_blob_gas: u64,
    /// EIP-4788.
    pub parent_beacon_block_root: B256,
    /// EIP-2935.
    pub parent_hash: B256,
    /// EIP-6110.
    pub deposit_contract: Option<Address>,
    /// EIP-4895.
    pub withdrawals: Vec<Withdrawal>,
}

/// The hardfork that public vectors mean by a name.
#[must_use]
pub fn fork_of(name: &str) -> Option<EthereumHardfork> {
    Some(match name {
        "Frontier" => EthereumHardfork::Frontier,
        "Homestead" => EthereumHardfork::Homestead,
        "EIP150" => EthereumHardfork::Tangerine,
        "EIP158" => EthereumHardfork::SpuriousDragon,
        "Byzantium" => EthereumHardfork::Byzantium,
        "Constantinople" => EthereumHardfork::Constantinople,
        "ConstantinopleFix" => EthereumHardfork::Petersburg,
        "Istanbul" => EthereumHardfork::Istanbul,
        "Berlin" => EthereumHardfork::Berlin,
        "London" => EthereumHardfork::London,
        "Paris" => EthereumHardfork::Paris,
        "Shanghai" => EthereumHardfork::Shanghai,
        "Cancun" => EthereumHardfork::Cancun,
        "Prague" => EthereumHardfork::Prague,
        "Osaka" => EthereumHardfork::Osaka,
        "BPO1" => EthereumHardfork::Bpo1,
        "BPO2" => EthereumHardfork::Bpo2,
        _ => return None,
    })
}

/// A state, and a block to be executed on it.
#[derive(Debug)]
pub struct World {
    executor: Executor,
    state: State,
    surroundings: Surroundings,
    parent: Header,
}

impl World {
    /// `alloc` as the state of the block before the one that is described.
    ///
    /// # Errors
    /// If the description contradicts itself.
    pub fn new(surroundings: Surroundings, alloc: Alloc) -> Result<Self, String> {
        let spec = Arc::new(chain(&surroundings, alloc)?);
        let parent = parent_of(&surroundings, &spec)?;
        let state = State::new(HistoryLimits::default());
        let genesis = state.apply(Height(parent.number), &genesis_delta(&spec));
        genesis.map_err(|error| format!("the state before cannot be made: {error}"))?;
        Ok(Self { executor: Executor::new(spec, Arc::new(Open)), state, surroundings, parent })
    }

    /// The state root before the block.
    #[must_use]
    pub fn root(&self) -> B256 {
        self.state.root()
    }

    /// Executes a block of these transactions, undoes it, and returns what it was.
    ///
    /// # Errors
    /// [`ExecutionError::Rejected`] if one of the transactions cannot be in the block.
    pub fn execute(&self, transactions: Vec<RecoveredTransaction>) -> Result<Executed, ExecutionError> {
        let view = self.state.view(Height(self.parent.number))?;
        let built = if self.surroundings.difficulty.is_zero() {
            self.assemble(&view, transactions)?
        } else {
            // A block of proof of work is never made here, only executed again.
            self.reexecute(&view, &transactions)?
        };
        let root = self.state.apply(Height(self.surroundings.number), &built.delta)?;
        let before = self.state.rewind(Height(self.parent.number))?;
        assert_eq!(before, view.root(), "undoing the block gives the state before");
        Ok(built.seal(root))
    }

    fn parent(&self) -> Parent<'_> {
        Parent { header: &self.parent, hash: self.surroundings.parent_hash }
    }

    fn assemble(&self, view: &StateView, transactions: Vec<RecoveredTransaction>) -> Result<Built, ExecutionError> {
        let around = &self.surroundings;
        let attributes = BlockAttributes {
            timestamp: around.timestamp,
            beneficiary: around.beneficiary,
            prev_randao: around.prev_randao,
            parent_beacon_block_root: Some(around.parent_beacon_block_root),
            withdrawals: around.withdrawals.clone(),
            gas_limit: around.gas_limit,
            ..BlockAttributes::default()
        };
        self.executor.assemble(self.parent(), attributes, view, &NumberHashes, transactions)
    }

    fn reexecute(&self, view: &StateView, transactions: &[RecoveredTransaction]) -> Result<Built, ExecutionError> {
        let around = &self.surroundings;
        let header = Header {
            parent_hash: around.parent_hash,
            number: around.number,
            timestamp: around.timestamp,
            beneficiary: around.beneficiary,
            gas_limit: around.gas_limit,
            difficulty: around.difficulty,
            ..Header::default()
        };
        let claimed = Claimed { header: &header, ommers: &[], transactions, withdrawals: &[] };
        let mut built = self.executor.reexecute(self.parent(), claimed, view, &NumberHashes)?;
        self.take_reward_back(view, &mut built)?;
        Ok(built)
    }

    /// Whoever describes single transactions means a block whose miner is paid nothing, and whose beneficiary
    /// is touched all the same.
    fn take_reward_back(&self, view: &StateView, built: &mut Built) -> Result<(), ExecutionError> {
        let around = &self.surroundings;
        let existed = view.account(around.beneficiary)?.is_some();
        let clears_empty = around.fork >= EthereumHardfork::SpuriousDragon;
        let reward = reward(around.fork);
        let accounts = &mut built.delta.accounts;
        let Some(at) = accounts.iter().position(|account| account.address == around.beneficiary) else {
            return Err(ExecutionError::Fatal("the miner was not paid".to_owned()));
        };
        if let Some(account) = &mut accounts[at].account {
            account.balance -= reward;
            if account.is_empty() && clears_empty {
                accounts[at].account = None;
                accounts[at].storage.clear();
            }
        }
        if accounts[at].account.is_none() && !existed {
            accounts.remove(at);
        }
        Ok(())
    }
}

/// What a miner is paid for a block, in wei (EIP-649, EIP-1234).
fn reward(fork: EthereumHardfork) -> U256 {
    let ether = if fork >= EthereumHardfork::Constantinople {
        2
    } else if fork >= EthereumHardfork::Byzantium {
        3
    } else {
        5
    };
    U256::from(ether) * U256::from(1_000_000_000_000_000_000_u64)
}

fn chain(around: &Surroundings, alloc: Alloc) -> Result<ChainSpec, String> {
    let london = around.fork >= EthereumHardfork::London;
    let config = ChainConfig {
        chain_id: around.chain_id,
        forks: ForkSchedule::all_up_to(around.fork),
        deposit_contract: around.deposit_contract,
        cloister: CloisterConfig {
            fixed_base_fee: london.then_some(around.base_fee),
            // The parent's time is not told.
            allow_equal_timestamps: true,
            ..CloisterConfig::default()
        },
        ..ChainConfig::default()
    };
    let genesis = Genesis { config, gas_limit: GENESIS_GAS_LIMIT, alloc, ..Genesis::default() };
    ChainSpec::new(genesis).map_err(|error| error.to_string())
}

/// A parent that the block described can follow.
fn parent_of(around: &Surroundings, spec: &ChainSpec) -> Result<Header, String> {
    let number = around.number.checked_sub(1).ok_or("the block has no parent")?;
    let params = spec.blob_params_at(around.timestamp);
    Ok(Header {
        number,
        gas_limit: around.gas_limit,
        base_fee_per_gas: (around.fork >= EthereumHardfork::London).then_some(0),
        // The parent used no blobs, which takes the target away from its excess.
        blob_gas_used: params.map(|_| 0),
        excess_blob_gas: params.map(|params| params.target_blob_gas_per_block() + around.excess_blob_gas),
        ..Header::default()
    })
}

/// Block hashes by [`number_hash`].
struct NumberHashes;

/// The hash of the block at a height by the convention of the public state tests: that of its decimal digits.
#[must_use]
pub fn number_hash(height: u64) -> B256 {
    keccak256(height.to_string())
}

impl BlockHashes for NumberHashes {
    fn block_hash(&self, height: u64) -> Option<B256> {
        Some(number_hash(height))
    }
}

/// Hash of the RLP of all logs of a block.
#[must_use]
pub fn logs_hash(executed: &Executed) -> B256 {
    let logs: Vec<&Log> = executed.receipts.iter().flat_map(alloy_consensus::TxReceipt::logs).collect();
    keccak256(alloy_rlp::encode(&logs))
}
