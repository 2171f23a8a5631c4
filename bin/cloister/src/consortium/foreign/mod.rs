//! Genesis files of geth, Besu and GoQuorum: what of them begins a chain of ours, and what does not.
//!
//! Only rules and accounts are taken over. Who orders blocks, and how, is this client's own affair; what the file says of that is
//! reported and dropped.

mod file;
mod settings;
mod validators;

use alloy_primitives::{Address, B256, Bytes, U256};
use cloister_node::ExitCode;
use cloister_primitives::{Genesis, GenesisError};

use super::{Draft, Report};
use crate::failure::Failure;
use file::File;
use validators::validators;

/// Chain ids of public networks: on a chain with one of them, what was signed for that network could be sent too.
const PUBLIC_CHAIN_IDS: [u64; 4] = [1, 11_155_111, 17_000, 560_048];

/// The client that a genesis file was written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Client {
    /// geth.
    Geth,
    /// Hyperledger Besu.
    Besu,
    /// GoQuorum.
    GoQuorum,
}

impl Client {
    const fn name(self) -> &'static str {
        match self {
            Self::Geth => "geth",
            Self::Besu => "Besu",
            Self::GoQuorum => "GoQuorum",
        }
    }
}

/// Reads another client's genesis.
///
/// # Errors
/// If it cannot be read, or is one of this client's own.
pub(crate) fn read(json: &str) -> Result<(Draft, Report), Failure> {
    // What is given twice does not survive being taken apart.
    if let Err(error @ (GenesisError::Duplicate { .. } | GenesisError::Json { .. } | GenesisError::TooLarge { .. })) =
        Genesis::parse(json)
    {
        return Err(error.into());
    }
    let mut file = File::read(json)?;
    if file.config.contains_key("cloister") {
        let message = "the genesis file has config.cloister, so it is one of this client's own already: copy it, and \
                       change in the copy what has to be different";
        return Err(Failure::new(ExitCode::Genesis, message));
    }
    let client = client(&file);
    let mut report = Report::default();
    let consensus = settings::consensus(&mut file, &mut report);
    let rules = settings::rules(&mut file, &mut report)?;
    if client == Client::Besu {
        settings::fill_forks(&mut file, &mut report)?;
    }
    file.drop_remarks(&mut report);
    let (mut genesis, warnings) = Genesis::parse(&file.write()?)?;
    for warning in warnings {
        report.ignore(warning.to_string());
    }
    genesis.config.cloister.fixed_base_fee = rules.fixed_base_fee;
    genesis.config.cloister.max_code_size = rules.max_code_size;
    reset_header(&mut genesis, consensus, &mut report);
    report_taken(&genesis, &mut report);
    let chain_id = genesis.config.chain_id;
    let draft = Draft { genesis, chain_id: Some(chain_id), client: Some(client.name()) };
    Ok((draft, report))
}

/// Whose file it is, by the keys that only one of them has.
fn client(file: &File) -> Client {
    let has = |key: &str| file.config.contains_key(key);
    if file.flag("isQuorum") || ["istanbul", "ibft", "maxCodeSizeConfig", "txnSizeLimit"].into_iter().any(has) {
        Client::GoQuorum
    } else if ["qbft", "ibft2", "contractSizeLimit", "zeroBaseFee", "discovery"].into_iter().any(has)
        || file.section("clique").is_some_and(|clique| clique.contains_key("blockperiodseconds"))
    {
        Client::Besu
    } else {
        Client::Geth
    }
}

/// Takes out of the header what another consensus left there. Without one it is the header of a chain that nobody orders,
/// whose extra data may say anything.
fn reset_header(genesis: &mut Genesis, consensus: Option<&str>, report: &mut Report) {
    if let Some(validators) = consensus.and_then(|consensus| validators(consensus, &genesis.extra_data)) {
        let listed: Vec<_> = validators.iter().map(|address| address.to_checksum(None)).collect();
        report.ignore(format!(
            "extraData: its validators order nothing here: {}; nodes are named by --node, accounts that govern by \
             --member",
            listed.join(", ")
        ));
        genesis.extra_data = Bytes::new();
    } else if consensus.is_some() && !genesis.extra_data.is_empty() {
        report.ignore("extraData: whatever the old consensus kept there");
        genesis.extra_data = Bytes::new();
    }
    let left = [
        ("nonce", genesis.nonce != 0),
        ("difficulty", !genesis.difficulty.is_zero()),
        ("mixHash", !genesis.mix_hash.is_zero()),
        ("coinbase", !genesis.coinbase.is_zero()),
        ("parentHash", !genesis.parent_hash.is_zero()),
    ];
    let left: Vec<_> = left.into_iter().filter_map(|(key, set)| set.then_some(key)).collect();
    if !left.is_empty() {
        report.ignore(format!("{}: zero here, where nobody mines", left.join(", ")));
    }
    (genesis.nonce, genesis.difficulty, genesis.mix_hash) = (0, U256::ZERO, B256::ZERO);
    (genesis.coinbase, genesis.parent_hash) = (Address::ZERO, B256::ZERO);
}

fn report_taken(genesis: &Genesis, report: &mut Report) {
    let config = &genesis.config;
    let contracts = genesis.alloc.values().filter(|account| !account.code.is_empty()).count();
    report.take(format!("accounts: {}, of them contracts: {contracts}", genesis.alloc.len()));
    if let Some(bytes) = config.cloister.max_code_size {
        report.take(format!("contracts of up to {bytes} bytes"));
    }
    if let Some(fee) = config.cloister.fixed_base_fee {
        report.take(format!("a base fee of {fee} for good"));
    }
    report.ignore("blocks: the chain begins anew; what happened on the old one since its genesis is not in this file");
    if PUBLIC_CHAIN_IDS.contains(&config.chain_id) {
        report.open(format!("chain id: {} is a public network's; --chain-id ID", config.chain_id));
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
