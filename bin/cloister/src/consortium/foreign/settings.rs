//! What other clients say in `config` that Ethereum's own format has no word for.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::Report;
use super::file::File;
use crate::failure::Failure;

/// Most bytes of a contract that a genesis of ours can allow.
const MAX_CODE_BYTES: usize = 16 * 1024 * 1024;
/// GoQuorum counts in these.
const KIB: usize = 1024;

/// Keys that say who orders blocks, and how.
const CONSENSUS: [&str; 5] = ["qbft", "ibft2", "ibft", "istanbul", "clique"];
/// Keys that say how long a block takes, in seconds: Besu's and GoQuorum's, and geth's.
const PERIOD: [&str; 2] = ["blockperiodseconds", "period"];
/// The key of a contract that says who orders blocks.
const VALIDATOR_CONTRACT: &str = "validatorcontractaddress";

/// Keys of the forks that others build on, oldest first.
const FORKS: [&str; 14] = [
    "homesteadBlock",
    "eip150Block",
    "eip155Block",
    "eip158Block",
    "byzantiumBlock",
    "constantinopleBlock",
    "petersburgBlock",
    "istanbulBlock",
    "berlinBlock",
    "londonBlock",
    "shanghaiTime",
    "cancunTime",
    "pragueTime",
    "osakaTime",
];

/// Keys that have no effect here, and why.
const WITHOUT_EFFECT: [(&str, &str); 12] = [
    ("discovery", "nodes find each other by their own configuration files"),
    ("checkpoint", "there is nothing to synchronise from"),
    ("transitions", "they change the old consensus, at heights of the old chain"),
    ("evmStackSize", "the stack has Ethereum's 1024 words"),
    ("ethash", "nobody mines"),
    ("isMPS", "a chain is confidential or open as a whole: there are no private states beside it"),
    ("privacyEnhancementsBlock", "a chain is confidential or open as a whole: there are no private transactions"),
    ("privacyPrecompileBlock", "a chain is confidential or open as a whole: there are no private transactions"),
    ("qip714Block", "which nodes belong to the network is said by --node, who governs it by --member"),
    ("txnSizeLimit", "the limit on transactions follows from that on contracts"),
    ("transactionSizeLimit", "the limit on transactions follows from that on contracts"),
    ("terminalTotalDifficultyPassed", "it follows from the forks"),
];

/// Rules of the old chain that have a word in ours.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Rules {
    /// Wei per gas of every block; `None` for EIP-1559.
    pub(super) fixed_base_fee: Option<u64>,
    /// Bytes of a contract; `None` for EIP-170's.
    pub(super) max_code_size: Option<usize>,
}

/// Takes what says who ordered the old chain's blocks; its key, if there is one.
pub(super) fn consensus(file: &mut File, report: &mut Report) -> Option<&'static str> {
    let mut found = None;
    for key in CONSENSUS {
        let section = file.section(key).unwrap_or_default().into_iter();
        // GoQuorum does not mind the case of these.
        let section: BTreeMap<_, _> = section.map(|(name, value)| (name.to_ascii_lowercase(), value)).collect();
        if file.config.remove(key).is_none() {
            continue;
        }
        found.get_or_insert(key);
        let period = PERIOD.into_iter().find_map(|name| section.get(name)?.as_u64()).filter(|period| *period > 0);
        let pace = period.map_or_else(String::new, |period| {
            format!("; `cloister node --block-time {period}` makes one every {period} s as before")
        });
        report.ignore(format!(
            "config.{key}: this client's own consensus orders blocks, as soon as there are transactions{pace}"
        ));
        if let Some(address) = section.get(VALIDATOR_CONTRACT).and_then(Value::as_str) {
            report.ignore(format!(
                "config.{key}.{VALIDATOR_CONTRACT}: the contract {address} stays an account, but nobody asks it who orders \
                 blocks"
            ));
        }
    }
    found
}

/// Takes the rules that have another name with us, and what has no effect.
///
/// # Errors
/// If a value is of another kind than its key says.
pub(super) fn rules(file: &mut File, report: &mut Report) -> Result<Rules, Failure> {
    // Only says whose file it is.
    file.config.remove("isQuorum");
    rename_petersburg(file);
    drop_mining(file, report)?;
    for (key, why) in WITHOUT_EFFECT {
        if file.config.remove(key).is_some() {
            report.ignore(format!("config.{key}: {why}"));
        }
    }
    let max_code_size = max_code_size(file, report)?;
    let is_zero = file.take::<bool>("zeroBaseFee", "true or false")?.unwrap_or(false);
    let is_fixed = file.take::<bool>("fixedBaseFee", "true or false")?.unwrap_or(false);
    let fixed_base_fee = match (is_zero, is_fixed) {
        (true, _) => Some(0),
        (false, true) => Some(file.base_fee().unwrap_or(0)),
        (false, false) => None,
    };
    Ok(Rules { fixed_base_fee, max_code_size })
}

/// Besu's older name of the fork that took the unsafe part of Constantinople back.
fn rename_petersburg(file: &mut File) {
    if let Some(height) = file.config.remove("constantinopleFixBlock") {
        file.config.entry("petersburgBlock".to_owned()).or_insert(height);
    }
}

/// A chain of ours is never mined: it starts past the merge if it has forks from after it, or else never gets there.
fn drop_mining(file: &mut File, report: &mut Report) -> Result<(), Failure> {
    const KEY: &str = "terminalTotalDifficulty";
    let is_merged = file.config.keys().any(|key| key.ends_with("Time"));
    let given = file.config.get(KEY).map(|value| value.get().trim_matches('"').trim_start_matches("0x"));
    let is_zero = given.map(|digits| digits.bytes().all(|byte| byte == b'0'));
    if is_zero == Some(false) {
        file.config.remove(KEY);
        let how = if is_merged { "starts past the merge" } else { "keeps the rules from before the merge" };
        report.ignore(format!("config.{KEY}: nobody mines; the chain {how}"));
        if file.config.remove("mergeNetsplitBlock").is_some() {
            report.ignore("config.mergeNetsplitBlock: there is no merge to wait for");
        }
    }
    if is_merged {
        file.set(KEY, 0)?;
    }
    Ok(())
}

/// Gives forks that are not named the activation of the next later one, as Besu does: there a fork includes all before it.
///
/// # Errors
/// If the file cannot be written again.
pub(super) fn fill_forks(file: &mut File, report: &mut Report) -> Result<(), Failure> {
    let (mut later, mut filled) = (None, 0);
    for key in FORKS.into_iter().rev() {
        match (file.config.get(key), &later) {
            (Some(at), _) => later = Some((key, at.clone())),
            (None, None) => {}
            // A height and a time do not compare: what came before a fork with a time is there from the start.
            (None, Some((next, _))) if next.ends_with("Time") && key.ends_with("Block") => {
                file.set(key, 0)?;
                filled += 1;
            }
            (None, Some((_, at))) => {
                file.config.insert(key.to_owned(), at.clone());
                filled += 1;
            }
        }
    }
    if filled > 0 {
        report.take(format!("{filled} forks that are not named, each with the next later one, as in Besu"));
    }
    Ok(())
}

/// A step of GoQuorum's `maxCodeSizeConfig`.
#[derive(Deserialize)]
struct CodeSizeStep {
    size: usize,
}

/// Besu's `contractSizeLimit` in bytes; GoQuorum's `maxCodeSizeConfig` by heights and its older `maxCodeSize`, in KiB.
fn max_code_size(file: &mut File, report: &mut Report) -> Result<Option<usize>, Failure> {
    const STEPS: &str = "a list of objects with \"block\" and \"size\" in KiB";
    let bytes = file.take::<usize>("contractSizeLimit", "a number of bytes")?;
    let steps = file.take::<Vec<CodeSizeStep>>("maxCodeSizeConfig", STEPS)?.unwrap_or_default();
    let kib = file.take::<usize>("maxCodeSize", "a number of KiB")?;
    if steps.len() > 1 {
        report.change("config.maxCodeSizeConfig: the largest of its sizes from the start");
    }
    let largest = steps.iter().map(|step| step.size).max().or(kib).map(|size| size.saturating_mul(KIB));
    let given = bytes.or(largest).filter(|size| *size > 0);
    if given.is_some_and(|size| size > MAX_CODE_BYTES) {
        report.change(format!("contracts: up to {MAX_CODE_BYTES} bytes, which is the most there is"));
    }
    Ok(given.map(|size| size.min(MAX_CODE_BYTES)))
}
