//! The other chain: plain revm on ordered maps, with headers, receipts and roots of its own.

mod fees;
mod receipt;
mod trace;
mod world;

use alloy_consensus::{EMPTY_OMMER_ROOT_HASH, Header};
use alloy_eips::eip7685::{EMPTY_REQUESTS_HASH, Requests};
use alloy_eips::{eip2935, eip4788, eip7002, eip7251};
use alloy_primitives::{Address, B256, Bloom, Bytes, U256, keccak256};
use alloy_trie::EMPTY_ROOT_HASH;
use revm::context::result::{EVMError, ExecutionResult};
use revm::context::{BlockEnv, CfgEnv, Context};
use revm::context_interface::block::BlobExcessGasAndPrice;
use revm::context_interface::cfg::gas_params::GasId;
use revm::handler::{MainnetContext, MainnetEvm};
use revm::primitives::hardfork::SpecId;
use revm::{ExecuteCommitEvm, ExecuteEvm, MainBuilder, MainContext, SystemCallCommitEvm};

use super::case::{BaseFee, CHAIN_ID, Case, Fork, GENESIS_TIME};
use super::wallet::SignedTransaction;
pub(super) use receipt::Receipt;
pub(super) use trace::Traced;
pub(super) use world::World;

/// EIP-7825.
const TRANSACTION_GAS_CAP: u64 = 1 << 24;
/// Slots of the ring buffers of EIP-2935 and EIP-4788.
const RING: u64 = 8_191;

/// A mistake that the reference makes on purpose, to prove that it would be seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// None.
    #[default]
    None,
    /// SSTORE costs one gas more.
    StoreCostsMore,
    /// What destroyed itself stays.
    SelfdestructForgotten,
    /// Refunds are a fifth of the gas at most (EIP-3529); here a quarter.
    RefundsMore,
}

/// What a block has from its time and its maker.
#[derive(Clone, Copy, Debug)]
pub(super) struct Surroundings {
    pub(super) timestamp: u64,
    pub(super) beneficiary: Address,
}

/// A block, as the reference makes it.
#[derive(Clone, Debug)]
pub(super) struct Made {
    pub(super) header: Header,
    pub(super) receipts: Vec<Receipt>,
}

/// The reference chain at its head.
#[derive(Clone, Debug)]
pub(super) struct Reference<'a> {
    case: &'a Case,
    fault: Fault,
    pub(super) world: World,
    pub(super) head: Header,
    /// What can be come back to, if the case does so.
    earlier: Vec<(World, Header)>,
}

type ReferenceEvm<'w> = MainnetEvm<MainnetContext<&'w mut World>>;

impl<'a> Reference<'a> {
    pub(super) fn new(case: &'a Case, fault: Fault) -> Self {
        let mut world = World::new(&case.alloc(), fault);
        let from = |fork, value| (case.fork >= fork).then_some(value);
        let base_fee = match case.base_fee {
            BaseFee::Initial(fee) | BaseFee::Fixed(fee) => fee,
        };
        let head = Header {
            ommers_hash: EMPTY_OMMER_ROOT_HASH,
            beneficiary: case.beneficiary,
            state_root: world.root(),
            gas_limit: case.gas_limit,
            timestamp: GENESIS_TIME,
            base_fee_per_gas: from(Fork::London, base_fee),
            withdrawals_root: (case.fork >= Fork::Shanghai).then_some(EMPTY_ROOT_HASH),
            blob_gas_used: from(Fork::Cancun, 0),
            excess_blob_gas: from(Fork::Cancun, case.excess_blob_gas),
            parent_beacon_block_root: (case.fork >= Fork::Cancun).then_some(B256::ZERO),
            requests_hash: (case.fork >= Fork::Prague).then_some(EMPTY_REQUESTS_HASH),
            ..Header::default()
        };
        world.add_hash(head.hash_slow());
        Self { case, fault, world, head, earlier: Vec::new() }
    }

    /// The header of the next block, as far as it is known before execution.
    fn draft(&self, around: Surroundings) -> Header {
        let (case, parent) = (self.case, &self.head);
        let (number, timestamp) = (parent.number + 1, around.timestamp);
        let fork = case.fork_at(number, timestamp);
        let parent_hash = parent.hash_slow();
        Header {
            parent_hash,
            beneficiary: around.beneficiary,
            number,
            gas_limit: parent.gas_limit,
            timestamp,
            mix_hash: keccak256(parent_hash),
            base_fee_per_gas: (fork >= Fork::London).then(|| fees::base_fee(case.base_fee, parent)),
            blob_gas_used: (fork >= Fork::Cancun).then_some(0),
            excess_blob_gas: (fork >= Fork::Cancun).then(|| fees::excess_blob_gas(fork, parent)),
            parent_beacon_block_root: (fork >= Fork::Cancun).then_some(B256::ZERO),
            withdrawals_root: (fork >= Fork::Shanghai).then_some(EMPTY_ROOT_HASH),
            ..Header::default()
        }
    }

    /// Base fee of the next block; zero before London.
    pub(super) fn next_base_fee(&self, around: Surroundings) -> u64 {
        self.draft(around).base_fee_per_gas.unwrap_or(0)
    }

    /// Whether the next block could begin with this transaction.
    pub(super) fn admits(&mut self, around: Surroundings, transaction: &SignedTransaction) -> bool {
        let header = self.draft(around);
        let mut evm = evm(self.case, self.fault, &header, &mut self.world);
        evm.transact(transaction.environment.clone()).is_ok()
    }

    /// Makes the next block of exactly these transactions.
    pub(super) fn make(&mut self, around: Surroundings, transactions: &[&SignedTransaction]) -> Result<Made, String> {
        if self.case.steps.iter().any(|step| matches!(step, super::case::Step::Rollback(_))) {
            self.earlier.push((self.world.clone(), self.head.clone()));
        }
        let mut header = self.draft(around);
        let fork = self.case.fork_at(header.number, header.timestamp);
        begin(&mut self.world, fork, &header);
        let mut evm = evm(self.case, self.fault, &header, &mut self.world);
        let mut receipts = Vec::with_capacity(transactions.len());
        for (index, transaction) in transactions.iter().enumerate() {
            if transaction.environment.gas_limit > header.gas_limit - header.gas_used {
                return Err(format!("transaction {index} does not fit into the block"));
            }
            let result = evm.transact_commit(transaction.environment.clone());
            let result = result.map_err(|error| format!("transaction {index}: {error}"))?;
            header.gas_used += result.tx_gas_used();
            receipts.push(Receipt::new(transaction.environment.tx_type, &result, header.gas_used));
        }
        if fork >= Fork::Prague {
            header.requests_hash = Some(requests(&mut evm)?.requests_hash());
        }
        header.state_root = self.world.root();
        let raws: Vec<_> = transactions.iter().map(|transaction| transaction.raw.to_vec()).collect();
        header.transactions_root = world::root_of_list(&raws);
        header.receipts_root = world::root_of_list(&receipts.iter().map(Receipt::encode).collect::<Vec<_>>());
        header.logs_bloom = receipts.iter().fold(Bloom::ZERO, |bloom, receipt| bloom | receipt.bloom);
        self.world.add_hash(header.hash_slow());
        self.head = header.clone();
        Ok(Made { header, receipts })
    }

    /// Takes back the newest blocks, if there are so many.
    pub(super) fn roll_back(&mut self, blocks: u64) -> bool {
        let kept = usize::try_from(blocks).ok().and_then(|blocks| self.earlier.len().checked_sub(blocks));
        let Some(kept) = kept else {
            return false;
        };
        if let Some((world, head)) = self.earlier.drain(kept..).next() {
            (self.world, self.head) = (world, head);
        }
        true
    }
}

/// An EVM for the block with this header.
fn evm<'w>(case: &Case, fault: Fault, header: &Header, world: &'w mut World) -> ReferenceEvm<'w> {
    let fork = case.fork_at(header.number, header.timestamp);
    Context::mainnet()
        .with_db(world)
        .with_cfg(rules(fork, fault))
        .with_block(surroundings(fork, header))
        .build_mainnet()
}

fn rules(fork: Fork, fault: Fault) -> CfgEnv {
    let spec = match fork {
        Fork::Berlin => SpecId::BERLIN,
        Fork::London => SpecId::LONDON,
        Fork::Paris => SpecId::MERGE,
        Fork::Shanghai => SpecId::SHANGHAI,
        Fork::Cancun => SpecId::CANCUN,
        Fork::Prague => SpecId::PRAGUE,
        Fork::Osaka | Fork::Bpo1 | Fork::Bpo2 => SpecId::OSAKA,
    };
    let mut cfg = CfgEnv::new_with_spec(spec).with_chain_id(CHAIN_ID);
    cfg.tx_gas_limit_cap = (fork >= Fork::Osaka).then_some(TRANSACTION_GAS_CAP);
    cfg.blob_base_fee_update_fraction = (fork >= Fork::Cancun).then(|| fees::update_fraction(fork));
    let gas = &mut cfg.gas_params;
    match fault {
        Fault::StoreCostsMore => gas.override_gas([(GasId::sstore_static(), gas.get(GasId::sstore_static()) + 1)]),
        Fault::RefundsMore => gas.override_gas([(GasId::max_refund_quotient(), 4)]),
        Fault::None | Fault::SelfdestructForgotten => {}
    }
    cfg
}

fn surroundings(fork: Fork, header: &Header) -> BlockEnv {
    BlockEnv {
        number: U256::from(header.number),
        beneficiary: header.beneficiary,
        timestamp: U256::from(header.timestamp),
        gas_limit: header.gas_limit,
        basefee: header.base_fee_per_gas.unwrap_or(0),
        difficulty: U256::ZERO,
        prevrandao: (fork >= Fork::Paris).then_some(header.mix_hash),
        blob_excess_gas_and_price: header.excess_blob_gas.map(|excess_blob_gas| BlobExcessGasAndPrice {
            excess_blob_gas,
            blob_gasprice: fees::blob_base_fee(fork, excess_blob_gas),
        }),
        ..BlockEnv::default()
    }
}

/// What EIP-4788 and EIP-2935 have written before the first transaction.
fn begin(world: &mut World, fork: Fork, header: &Header) {
    if fork >= Fork::Prague {
        let slot = (header.number - 1) % RING;
        world.set(eip2935::HISTORY_STORAGE_ADDRESS, U256::from(slot), header.parent_hash.into());
    }
    if fork >= Fork::Cancun {
        let slot = header.timestamp % RING;
        world.set(eip4788::BEACON_ROOTS_ADDRESS, U256::from(slot), U256::from(header.timestamp));
        // No chain of ours has a beacon chain: the root is zero.
        world.set(eip4788::BEACON_ROOTS_ADDRESS, U256::from(slot + RING), U256::ZERO);
    }
}

/// What EIP-7002 and EIP-7251 ask for after the last transaction.
fn requests(evm: &mut ReferenceEvm<'_>) -> Result<Requests, String> {
    let mut requests = Requests::default();
    for (kind, address) in
        [(1, eip7002::WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS), (2, eip7251::CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS)]
    {
        let result = evm.system_call_commit(address, Bytes::new());
        let result = result.map_err(|error: EVMError<_>| format!("system call of {address}: {error}"))?;
        match result {
            ExecutionResult::Success { output, .. } if output.data().is_empty() => {}
            ExecutionResult::Success { output, .. } => requests.push_request_with_type(kind, output.into_data()),
            failed => return Err(format!("system call of {address}: {failed:?}")),
        }
    }
    Ok(requests)
}
