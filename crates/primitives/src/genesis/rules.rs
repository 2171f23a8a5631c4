//! What must hold between the values of a genesis, whichever way it was made.

use alloy_eips::eip7840::BlobParams;
use alloy_hardforks::EthereumHardfork;
use alloy_primitives::Address;

use super::{ChainConfig, CloisterConfig, Confidentiality, Genesis, GenesisAccount, GenesisError, attestation, raft};

/// Least gas limit of a block (Yellow Paper, 4.4.4).
const MIN_GAS_LIMIT: u64 = 5_000;
/// Largest gas limit: with more, the base fee's arithmetic could leave 64 bits.
const MAX_GAS_LIMIT: u64 = i64::MAX as u64;

impl Genesis {
    /// Checks the values against each other.
    pub(crate) fn check(&self) -> Result<(), GenesisError> {
        if !(MIN_GAS_LIMIT..=MAX_GAS_LIMIT).contains(&self.gas_limit) {
            return Err(GenesisError::Value {
                path: "gasLimit".to_owned(),
                expected: format!("a number from {MIN_GAS_LIMIT} to {MAX_GAS_LIMIT}"),
                found: self.gas_limit.to_string(),
            });
        }
        if self.config.chain_id == 0 {
            return Err(GenesisError::Value {
                path: "config.chainId".to_owned(),
                expected: "a number above zero".to_owned(),
                found: "0".to_owned(),
            });
        }
        if let (Some(fixed), Some(first)) = (self.config.cloister.fixed_base_fee, self.base_fee_per_gas)
            && fixed != first
        {
            return Err(GenesisError::Contradiction {
                path: "baseFeePerGas".to_owned(),
                reason: format!("is {first}, but config.cloister.baseFee fixes it at {fixed}"),
            });
        }
        let cloister = &self.config.cloister;
        if cloister.confidentiality == Confidentiality::On && cloister.fixed_base_fee.is_none() {
            return Err(GenesisError::Contradiction {
                path: "config.cloister.baseFee".to_owned(),
                reason: "follows the blocks' use, which a confidential chain does not show: fix it, as in \
                         {\"fixed\": \"0x0\"}"
                    .to_owned(),
            });
        }
        let is_governed = cloister.confidentiality == Confidentiality::On || self.config.raft.is_some();
        if !is_governed && !self.config.members.is_empty() {
            return Err(GenesisError::Contradiction {
                path: "config.cloister.members".to_owned(),
                reason: "has a meaning on a confidential chain and in a network of several nodes only".to_owned(),
            });
        }
        self.config.cloister.check_imported()?;
        attestation::check(&self.config.cloister, self.config.attestation.as_ref())?;
        raft::check(&self.config.cloister, self.config.raft.as_ref())?;
        self.config.forks.check_order()?;
        self.config.check_blob_schedule()
    }

    /// Adds contracts that the chain cannot do without to the genesis state.
    pub(crate) fn predeploy<const N: usize>(
        &mut self,
        contracts: [(Address, GenesisAccount); N],
    ) -> Result<(), GenesisError> {
        for (address, contract) in contracts {
            let given = self.alloc.get(&address);
            if given.is_some_and(|given| given.code != contract.code || !given.storage.is_empty()) {
                return Err(GenesisError::Contradiction {
                    path: format!("alloc.{address}"),
                    reason: "a confidential chain has a contract of its own at this address: leave the entry out"
                        .to_owned(),
                });
            }
            let storage = contract.storage.clone();
            self.alloc.entry(address).or_insert(contract).storage = storage;
        }
        Ok(())
    }
}

impl CloisterConfig {
    /// Blocks of Ethereum follow Ethereum's rules; one of our own would refuse them.
    fn check_imported(&self) -> Result<(), GenesisError> {
        let own = [
            ("baseFee", self.fixed_base_fee.is_some()),
            ("allowEqualTimestamps", self.allow_equal_timestamps),
            ("maxCodeSize", self.max_code_size.is_some()),
            ("development", self.development),
            ("production", self.production),
        ];
        match own.into_iter().find(|(_, set)| self.imported && *set) {
            None => Ok(()),
            Some((key, _)) => Err(GenesisError::Contradiction {
                path: format!("config.cloister.{key}"),
                reason: "an imported chain follows Ethereum's rules alone".to_owned(),
            }),
        }
    }
}

impl ChainConfig {
    /// Blob parameters in force at `timestamp`; `None` before Cancun.
    pub(crate) fn blob_params_at(&self, timestamp: u64) -> Option<BlobParams> {
        const NEWEST_FIRST: [EthereumHardfork; 8] = [
            EthereumHardfork::Bpo5,
            EthereumHardfork::Bpo4,
            EthereumHardfork::Bpo3,
            EthereumHardfork::Bpo2,
            EthereumHardfork::Bpo1,
            EthereumHardfork::Osaka,
            EthereumHardfork::Prague,
            EthereumHardfork::Cancun,
        ];
        let fork = NEWEST_FIRST.into_iter().find(|fork| self.forks.condition(*fork).active_at_timestamp(timestamp))?;
        self.blob_params_of(fork)
    }

    /// What genesis says of `fork`, or else Ethereum's own numbers.
    fn blob_params_of(&self, fork: EthereumHardfork) -> Option<BlobParams> {
        if let Some(params) = self.blob_schedule.get(&fork) {
            return Some(*params);
        }
        match fork {
            EthereumHardfork::Cancun => Some(BlobParams::cancun()),
            EthereumHardfork::Prague => Some(BlobParams::prague()),
            // Osaka changes how excess is counted (EIP-7918), and keeps Prague's target and maximum.
            EthereumHardfork::Osaka => {
                let prague = self.blob_params_of(EthereumHardfork::Prague)?;
                let osaka = BlobParams::osaka();
                Some(BlobParams {
                    max_blobs_per_tx: osaka.max_blobs_per_tx,
                    blob_base_cost: osaka.blob_base_cost,
                    ..prague
                })
            }
            EthereumHardfork::Bpo1 => Some(BlobParams::bpo1()),
            EthereumHardfork::Bpo2 => Some(BlobParams::bpo2()),
            _ => None,
        }
    }

    /// BPO1 and BPO2 have Ethereum's numbers; those after have none unless genesis gives them.
    fn check_blob_schedule(&self) -> Result<(), GenesisError> {
        for (fork, key) in
            [(EthereumHardfork::Bpo3, "bpo3"), (EthereumHardfork::Bpo4, "bpo4"), (EthereumHardfork::Bpo5, "bpo5")]
        {
            if self.forks.condition(fork).is_timestamp() && !self.blob_schedule.contains_key(&fork) {
                return Err(GenesisError::Missing {
                    path: format!("config.blobSchedule.{key}"),
                    expected: "an object with target, max and baseFeeUpdateFraction",
                });
            }
        }
        Ok(())
    }
}
