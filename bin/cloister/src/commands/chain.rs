//! Flags that describe a development chain, and the genesis that they make.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    time::{SystemTime, UNIX_EPOCH},
};

use alloy_primitives::{U256, utils::parse_ether};
use clap::Args;
use cloister_devtools::{DevAccounts, MAX_ACCOUNTS, TEST_MNEMONIC};
use cloister_node::ExitCode;
use cloister_primitives::{
    BaseFeePolicy, ChainSpec, Confidentiality, DEVELOPMENT_CHAIN_ID, DEVELOPMENT_GAS_LIMIT, DevBaseFee, DevChain,
    Genesis, GenesisAccount, HardforkName, mark_imported,
};

use crate::{
    failure::Failure,
    folder::{Folder, read_genesis},
    genesis_json, output,
};

/// What `--disable-code-size-limit` allows: the most that a genesis can say.
const UNLIMITED_CODE_BYTES: usize = 16 * 1024 * 1024;

/// Accounts whose keys the node holds.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Accounts")]
pub(crate) struct AccountArgs {
    /// How many accounts to fund and unlock
    #[arg(short = 'a', long, value_name = "COUNT", default_value_t = 10,
          value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_ACCOUNTS)))]
    pub(crate) accounts: u32,

    /// What each account begins with, in ether
    #[arg(long, value_name = "ETHER", default_value = "10000", value_parser = ether)]
    pub(crate) balance: U256,

    /// The BIP-39 mnemonic that the accounts are derived from
    #[arg(short = 'm', long, value_name = "WORDS", default_value = TEST_MNEMONIC)]
    pub(crate) mnemonic: String,

    /// Derive the accounts from a new mnemonic that nobody has seen before
    #[arg(long, conflicts_with = "mnemonic")]
    pub(crate) mnemonic_random: bool,
}

/// Rules and genesis of a development chain.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Chain")]
pub(crate) struct ChainArgs {
    /// Chain id (EIP-155) [default: 31337]
    #[arg(long, value_name = "ID", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) chain_id: Option<u64>,

    /// Gas limit of a block [default: 30000000]
    #[arg(long, alias = "block-gas-limit", value_name = "GAS")]
    pub(crate) gas_limit: Option<u64>,

    /// Base fee of the genesis block in wei per gas; later ones follow EIP-1559 [default: 1000000000]
    #[arg(long, visible_alias = "block-base-fee-per-gas", value_name = "WEI")]
    pub(crate) base_fee: Option<u64>,

    /// Newest fork that is active [default: osaka]
    #[arg(long, value_name = "NAME")]
    pub(crate) hardfork: Option<HardforkName>,

    /// Largest code of a contract in bytes, instead of the fork's 24576
    #[arg(long, value_name = "BYTES", value_parser = code_size)]
    pub(crate) code_size_limit: Option<usize>,

    /// Allow contracts of any size (up to 16 MiB)
    #[arg(long, conflicts_with = "code_size_limit")]
    pub(crate) disable_code_size_limit: bool,

    /// Show each caller what concerns the accounts he signed in with, and nothing else; without development methods
    #[arg(long)]
    pub(crate) confidential: bool,

    /// Time of the genesis block, seconds since 1970 [default: now]
    #[arg(long, value_name = "SECONDS")]
    pub(crate) timestamp: Option<u64>,

    /// Genesis file in geth's format, instead of the chain that the other flags describe
    #[arg(long, visible_alias = "init", value_name = "FILE",
          conflicts_with_all = ["chain_id", "gas_limit", "base_fee", "hardfork", "code_size_limit",
                                "disable_code_size_limit", "confidential", "timestamp"])]
    pub(crate) genesis: Option<PathBuf>,
}

impl AccountArgs {
    /// The accounts.
    pub(crate) fn accounts(&self) -> Result<DevAccounts, Failure> {
        Ok(if self.mnemonic_random {
            DevAccounts::random(self.accounts)?
        } else {
            DevAccounts::from_mnemonic(&self.mnemonic, self.accounts)?
        })
    }
}

/// A genesis and what it says.
#[derive(Clone, Debug)]
pub(crate) struct ChosenGenesis {
    /// The file.
    pub(crate) json: String,
    /// The chain.
    pub(crate) spec: ChainSpec,
    /// Whether the data folder does not have it yet.
    pub(crate) is_new: bool,
}

impl ChainArgs {
    /// The genesis of the file given, of the chain in the folder, or of a new chain, in that order.
    pub(crate) fn genesis(
        &self,
        accounts: &DevAccounts,
        balance: U256,
        folder: Option<&Folder>,
    ) -> Result<ChosenGenesis, Failure> {
        let kept = folder.map(Folder::genesis).transpose()?.flatten();
        let is_new = kept.is_none();
        let (json, spec) = match (&self.genesis, kept) {
            (Some(file), kept) => {
                let given = read_genesis(file)?;
                let spec = parse(&given)?;
                match kept.filter(|kept| is_imported_from(kept, &spec)) {
                    Some(kept) => {
                        let spec = parse(&kept)?;
                        (kept, spec)
                    }
                    None => (given, spec),
                }
            }
            (None, Some(json)) => {
                let spec = parse(&json)?;
                self.check_agrees(&spec)?;
                (json, spec)
            }
            (None, None) => {
                let json = genesis_json::development(self.development(accounts, balance))?;
                let spec = parse(&json)?;
                (json, spec)
            }
        };
        Ok(ChosenGenesis { json, spec, is_new })
    }

    fn development(&self, accounts: &DevAccounts, balance: U256) -> DevChain {
        let funded = GenesisAccount { balance, ..GenesisAccount::default() };
        let alloc: BTreeMap<_, _> = accounts.all().iter().map(|account| (account.address(), funded.clone())).collect();
        let base_fee = match self.base_fee {
            // From zero EIP-1559 cannot grow: gas stays free.
            Some(0) => DevBaseFee::Fixed(0),
            Some(fee) => DevBaseFee::Initial(fee),
            None => DevChain::default().base_fee,
        };
        DevChain {
            chain_id: self.chain_id.unwrap_or(DEVELOPMENT_CHAIN_ID),
            hardfork: self.hardfork.unwrap_or_default(),
            gas_limit: self.gas_limit.unwrap_or(DEVELOPMENT_GAS_LIMIT),
            code_size_limit: self.code_size_override(),
            base_fee,
            confidentiality: if self.confidential { Confidentiality::On } else { Confidentiality::Off },
            timestamp: self.timestamp.unwrap_or_else(now_s),
            alloc,
        }
    }

    fn code_size_override(&self) -> Option<usize> {
        if self.disable_code_size_limit { Some(UNLIMITED_CODE_BYTES) } else { self.code_size_limit }
    }

    /// Flags that describe a chain must describe the one in the folder.
    fn check_agrees(&self, kept: &ChainSpec) -> Result<(), Failure> {
        let genesis = kept.genesis();
        let fee = match kept.base_fee_policy() {
            BaseFeePolicy::Fixed(fee) => Some(fee),
            BaseFeePolicy::Eip1559(_) => genesis.base_fee_per_gas,
        };
        let fork = HardforkName(kept.hardfork_at(0, genesis.timestamp));
        let code_size = self.code_size_override();
        check("--chain-id", self.chain_id, kept.chain_id())?;
        check("--gas-limit", self.gas_limit, kept.gas_limit())?;
        check("--timestamp", self.timestamp, genesis.timestamp)?;
        check("--hardfork", self.hardfork, fork)?;
        check("--code-size-limit", code_size, kept.limits().max_code_size_bytes)?;
        match fee {
            Some(fee) => check("--base-fee", self.base_fee, fee),
            None => Ok(()),
        }
    }
}

fn check<T: PartialEq + core::fmt::Display>(flag: &str, given: Option<T>, kept: T) -> Result<(), Failure> {
    match given {
        Some(given) if given != kept => Err(Failure::new(
            ExitCode::ForeignChain,
            format!(
                "{flag} {given} does not fit the chain in the data folder, which has {kept}; leave \
                 the flag out, or choose another folder"
            ),
        )),
        _ => Ok(()),
    }
}

/// Whether a folder's chain was imported from this genesis, which then does not say so itself.
fn is_imported_from(kept: &str, given: &ChainSpec) -> bool {
    let Ok((mut kept, _)) = Genesis::parse(kept) else {
        return false;
    };
    let imported = core::mem::replace(&mut kept.config.cloister.imported, given.is_imported());
    imported && kept == *given.genesis()
}

/// The genesis that a chain is imported on: the one given, marked as such, or the one of the chain in the folder.
pub(crate) fn imported_genesis(given: Option<String>, kept: Option<&str>) -> Result<String, Failure> {
    let marked = given.as_deref().map(mark_imported).transpose()?;
    let spec = marked.as_deref().map(parse).transpose()?;
    match (marked, kept) {
        (Some(marked), None) => Ok(marked),
        (Some(_), Some(kept)) if spec.is_some_and(|spec| is_imported_from(kept, &spec)) => Ok(kept.to_owned()),
        (None, Some(kept)) if parse(kept)?.is_imported() => Ok(kept.to_owned()),
        (None, None) => Err(Failure::usage("name the chain's genesis file with --genesis")),
        (Some(_), Some(_)) => {
            let message = "the data folder holds a chain with another genesis (foreign-genesis); choose another folder";
            Err(Failure::new(ExitCode::ForeignChain, message))
        }
        (None, Some(_)) => {
            let message = "the data folder holds a chain of this client's own; choose another folder to import into";
            Err(Failure::new(ExitCode::ForeignChain, message))
        }
    }
}

/// The chain of a genesis file; what has no effect in it is warned about.
pub(crate) fn parse(json: &str) -> Result<ChainSpec, Failure> {
    let (genesis, warnings) = Genesis::parse(json)?;
    for warning in warnings {
        output::warn(&format!("genesis: {warning}"));
    }
    Ok(ChainSpec::new(genesis)?)
}

/// Seconds since 1970.
pub(crate) fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn ether(text: &str) -> Result<U256, String> {
    parse_ether(text).map_err(|_| "want an amount of ether, such as 10000 or 0.5".to_owned())
}

fn code_size(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(bytes @ 1..=UNLIMITED_CODE_BYTES) => Ok(bytes),
        _ => Err(format!("want a number of bytes from 1 to {UNLIMITED_CODE_BYTES}")),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Flags {
        #[command(flatten)]
        accounts: AccountArgs,
        #[command(flatten)]
        chain: ChainArgs,
    }

    fn flags(arguments: &[&str]) -> Flags {
        Flags::try_parse_from([&["cloister"], arguments].concat()).unwrap()
    }

    fn chosen(arguments: &[&str], folder: Option<&Folder>) -> Result<ChosenGenesis, Failure> {
        let Flags { accounts, chain } = flags(arguments);
        chain.genesis(&accounts.accounts()?, accounts.balance, folder)
    }

    #[test]
    fn the_defaults_are_anvils() {
        let chosen = chosen(&[], None).unwrap();
        assert_eq!(chosen.spec.chain_id(), 31337);
        assert_eq!(chosen.spec.gas_limit(), 30_000_000);
        assert!(chosen.spec.is_development());
        let genesis = chosen.spec.genesis();
        assert_eq!(genesis.base_fee_per_gas, Some(1_000_000_000));
        let first = flags(&[]).accounts.accounts().unwrap().all()[0].address();
        let ten_thousand = parse_ether("10000").unwrap();
        assert_eq!(genesis.alloc[&first].balance, ten_thousand);
        let rich = genesis.alloc.values().filter(|account| account.balance == ten_thousand);
        assert_eq!(rich.count(), 10);
    }

    #[test]
    fn flags_reach_the_genesis() {
        let chosen = chosen(
            &[
                "-a",
                "3",
                "--balance",
                "0.5",
                "--chain-id",
                "7",
                "--gas-limit",
                "9000000",
                "--block-base-fee-per-gas",
                "5",
                "--hardfork",
                "cancun",
                "--timestamp",
                "1000",
                "--disable-code-size-limit",
            ],
            None,
        )
        .unwrap();
        let spec = &chosen.spec;
        assert_eq!((spec.chain_id(), spec.gas_limit()), (7, 9_000_000));
        assert_eq!(spec.genesis().timestamp, 1_000);
        assert_eq!(spec.genesis().base_fee_per_gas, Some(5));
        assert_eq!(HardforkName(spec.hardfork_at(0, 1_000)).to_string(), "cancun");
        assert_eq!(spec.limits().max_code_size_bytes, UNLIMITED_CODE_BYTES);
        let half = U256::from(500_000_000_000_000_000_u64);
        let rich = spec.genesis().alloc.values().filter(|account| account.balance == half);
        assert_eq!(rich.count(), 3);
    }

    #[test]
    fn a_kept_chain_is_taken_and_flags_must_agree_with_it() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = Folder::new(temporary.path().to_owned());
        let first = chosen(&["--chain-id", "7"], Some(&folder)).unwrap();
        assert!(first.is_new);
        folder.keep_genesis(&first.json).unwrap();
        let again = chosen(&[], Some(&folder)).unwrap();
        assert!(!again.is_new);
        assert_eq!(again.json, first.json);
        chosen(&["--chain-id", "7", "--hardfork", "osaka"], Some(&folder)).unwrap();
        let failure = chosen(&["--chain-id", "8"], Some(&folder)).unwrap_err();
        assert_eq!(failure.code(), ExitCode::ForeignChain);
        assert!(failure.message().starts_with("--chain-id 8 does not fit"));
    }

    #[test]
    fn bad_values_are_refused_by_the_parser() {
        for arguments in [
            ["--accounts", "0"],
            ["--accounts", "101"],
            ["--balance", "much"],
            ["--hardfork", "oska"],
            ["--chain-id", "0"],
            ["--code-size-limit", "0"],
        ] {
            let parsed = Flags::try_parse_from([&["cloister"], &arguments[..]].concat());
            assert_eq!(parsed.err().unwrap().exit_code(), 2, "{arguments:?}");
        }
        assert!(Flags::try_parse_from(["cloister", "--genesis", "f", "--chain-id", "1"]).is_err());
    }

    #[test]
    fn a_wrong_mnemonic_is_a_usage_error() {
        let failure = chosen(&["--mnemonic", "test test"], None).unwrap_err();
        assert_eq!(failure.code(), ExitCode::Usage);
    }
}
