//! Everything that an auditor is shown of a contract, in files: sections of blocks, one JSON object a line, and a manifest
//! with the digest of each. A section is written whole or not at all, so that an export that was interrupted goes on.

use std::{
    fs,
    path::{Path, PathBuf},
};

use alloy_primitives::{Address, B256, U64, U256, hex};
use cloister_client::{
    ClientError,
    audit::{Auditor, Use},
    sha256,
};
use cloister_node::ExitCode;
use serde_json::{Value, json};

use crate::{failure::Failure, output};

/// Blocks of one section.
const SECTION_BLOCKS: u64 = 256;
/// Requests that a section takes besides those for each block: its logs.
const READS_PER_SECTION: u64 = 1;
/// Its body, and its receipts.
const READS_PER_BLOCK: u64 = 2;
/// Slots that may be named.
pub(crate) const MAX_SLOTS: usize = 1_024;
/// Largest section that is kept in memory, in bytes.
const MAX_SECTION_BYTES: usize = 512 << 20;

/// What is exported.
#[derive(Clone, Debug)]
pub(crate) struct Scope {
    /// The contract; zero for the whole ledger.
    pub(crate) contract: Address,
    /// The first block.
    pub(crate) first: u64,
    /// The last block.
    pub(crate) last: u64,
    /// Slots of the contract that are read after the last block.
    pub(crate) slots: Vec<U256>,
}

/// An export on its way.
pub(crate) struct Export {
    auditor: Auditor,
    scope: Scope,
    folder: PathBuf,
    /// Transactions that say what is asked.
    uses: Vec<B256>,
}

/// A section in a file.
struct Section {
    name: String,
    first: u64,
    last: u64,
}

impl Scope {
    fn sections(&self) -> Vec<Section> {
        let mut sections = Vec::new();
        let mut first = self.first;
        while first <= self.last {
            let last = self.last.min(first.saturating_add(SECTION_BLOCKS - 1));
            sections.push(Section { name: format!("blocks-{first:010}-{last:010}.jsonl"), first, last });
            let Some(next) = last.checked_add(1) else { break };
            first = next;
        }
        sections
    }
}

impl Section {
    fn reads(&self) -> u64 {
        (self.last - self.first + 1) * READS_PER_BLOCK + READS_PER_SECTION
    }
}

impl Export {
    pub(crate) const fn new(auditor: Auditor, scope: Scope, folder: PathBuf) -> Self {
        Self { auditor, scope, folder, uses: Vec::new() }
    }

    /// Writes all sections that are not there yet, and then the manifest.
    pub(crate) async fn run(mut self) -> Result<(), Failure> {
        fs::create_dir_all(&self.folder).map_err(|error| failed(&self.folder, &error))?;
        let manifest = self.folder.join("manifest.json");
        if manifest.exists() {
            return Err(Failure::usage(format!("{} is complete: export to another folder", self.folder.display())));
        }
        self.continue_or_begin()?;
        let sections = self.scope.sections();
        let missing = |section: &&Section| !self.folder.join(&section.name).exists();
        let mut reads: u64 = sections.iter().filter(missing).map(Section::reads).sum();
        reads += self.scope.slots.len() as u64;
        for (index, section) in sections.iter().enumerate() {
            let path = self.folder.join(&section.name);
            if !path.exists() {
                let text = self.section(section, &mut reads).await?;
                write_whole(&path, &text)?;
            }
            output::note(&format!(
                "blocks {} to {}: section {} of {}\n",
                section.first,
                section.last,
                index + 1,
                sections.len()
            ));
        }
        let mut names: Vec<_> = sections.into_iter().map(|section| section.name).collect();
        if !self.scope.slots.is_empty() {
            let text = self.storage(&mut reads).await?;
            write_whole(&self.folder.join("storage.jsonl"), &text)?;
            names.push("storage.jsonl".to_owned());
        }
        let text = format!("{:#}\n", self.manifest(&names).await?);
        write_whole(&manifest, text.as_bytes())?;
        output::say(&format!("{}  {}\n", hex::encode(sha256(text.as_bytes())), manifest.display()));
        Ok(())
    }

    /// What is in the folder is of the same export.
    fn continue_or_begin(&self) -> Result<(), Failure> {
        let path = self.folder.join("scope.json");
        let Scope { contract, first, last, slots } = &self.scope;
        let text = format!("{}\n", json!({ "contract": contract, "blocks": [first, last], "slots": slots }));
        match fs::read_to_string(&path) {
            Ok(before) if before == text => Ok(()),
            Ok(_) => Err(Failure::usage(format!("{} has an export of something else", self.folder.display()))),
            Err(_) => write_whole(&path, text.as_bytes()),
        }
    }

    async fn section(&mut self, section: &Section, reads: &mut u64) -> Result<Vec<u8>, Failure> {
        let mut lines = Lines::default();
        for number in (section.first..=section.last).map(U64::from) {
            let block = self.ask("eth_getBlockByNumber", &json!([number, true]), reads).await?;
            let receipts = self.ask("eth_getBlockReceipts", &json!([number]), reads).await?;
            let header = json!({
                "number": block["number"], "hash": block["hash"], "parentHash": block["parentHash"],
                "timestamp": block["timestamp"], "stateRoot": block["stateRoot"],
            });
            lines.add("block", &header)?;
            // What is not shown is a hash alone.
            for transaction in list(&block["transactions"]).filter(|transaction| self.is_about(transaction)) {
                lines.add("transaction", transaction)?;
            }
            for receipt in list(&receipts).filter(|receipt| self.is_about(receipt)) {
                lines.add("receipt", receipt)?;
            }
        }
        let mut filter = json!({ "fromBlock": U64::from(section.first), "toBlock": U64::from(section.last) });
        if !self.scope.contract.is_zero() {
            filter["address"] = json!(self.scope.contract);
        }
        for log in list(&self.ask("eth_getLogs", &json!([filter]), reads).await?) {
            lines.add("log", log)?;
        }
        Ok(lines.0)
    }

    async fn storage(&mut self, reads: &mut u64) -> Result<Vec<u8>, Failure> {
        let mut lines = Lines::default();
        for slot in self.scope.slots.clone() {
            let number = U64::from(self.scope.last);
            let params = json!([self.scope.contract, B256::from(slot), number]);
            let value = self.ask("eth_getStorageAt", &params, reads).await?;
            lines.add("storage", &json!({ "slot": B256::from(slot), "value": value, "blockNumber": number }))?;
        }
        Ok(lines.0)
    }

    /// Whether a transaction or receipt is one of those that are audited, and not the auditor's own.
    fn is_about(&self, entry: &Value) -> bool {
        let contract = self.scope.contract;
        let to = entry["to"].as_str().and_then(|to| to.parse::<Address>().ok());
        entry.is_object() && (contract.is_zero() || to == Some(contract))
    }

    /// Asks, and where it has not been said that it will be, says so first.
    async fn ask(&mut self, method: &str, params: &Value, reads: &mut u64) -> Result<Value, Failure> {
        let contract = self.scope.contract;
        let answer = match self.auditor.ask(contract, method, params).await {
            Err(ClientError::AuditNotInUse { .. }) => {
                let Scope { first, last, .. } = self.scope;
                let left = u32::try_from((*reads).max(1)).unwrap_or(u32::MAX);
                self.uses.push(self.auditor.say(Use { contract, first, last, reads: left }).await?);
                self.auditor.ask(contract, method, params).await?
            }
            answer => answer?,
        };
        *reads = reads.saturating_sub(1);
        Ok(answer)
    }

    async fn manifest(&self, names: &[String]) -> Result<Value, Failure> {
        let mut files = Vec::new();
        for name in names {
            let path = self.folder.join(name);
            let text = fs::read(&path).map_err(|error| failed(&path, &error))?;
            let lines = text.iter().filter(|byte| **byte == b'\n').count();
            let digest = hex::encode(sha256(&text));
            files.push(json!({ "name": name, "bytes": text.len(), "lines": lines, "sha256": digest }));
        }
        let genesis = self.auditor.call("eth_getBlockByNumber", &json!(["0x0", false])).await?;
        let last = self.auditor.call("eth_getBlockByNumber", &json!([U64::from(self.scope.last), false])).await?;
        Ok(json!({
            "chainId": self.auditor.call("eth_chainId", &json!([])).await?,
            "genesisHash": genesis["hash"],
            "contract": self.scope.contract,
            "auditor": self.auditor.account(),
            "blocks": [self.scope.first, self.scope.last],
            "lastBlockHash": last["hash"],
            "uses": self.uses,
            "files": files,
        }))
    }
}

/// Lines of JSON.
#[derive(Default)]
struct Lines(Vec<u8>);

impl Lines {
    fn add(&mut self, kind: &str, value: &Value) -> Result<(), Failure> {
        let line = format!("{}\n", json!({ "kind": kind, "value": value }));
        if self.0.len() + line.len() > MAX_SECTION_BYTES {
            return Err(Failure::new(ExitCode::Failure, "one section takes more memory than an export may have"));
        }
        self.0.extend_from_slice(line.as_bytes());
        Ok(())
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn failed(path: &Path, error: &dyn core::fmt::Display) -> Failure {
    Failure::new(ExitCode::Failure, format!("{}: {error}", path.display()))
}

/// Writes a file whole or not at all.
fn write_whole(path: &Path, text: &[u8]) -> Result<(), Failure> {
    let partial = path.with_extension("partial");
    let written = fs::write(&partial, text).and_then(|()| fs::rename(&partial, path));
    written.map_err(|error| failed(path, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_cover_the_blocks_without_gaps() {
        let sections = |first, last| {
            let scope = Scope { contract: Address::ZERO, first, last, slots: Vec::new() };
            scope.sections().iter().map(|section| (section.first, section.last)).collect::<Vec<_>>()
        };
        assert_eq!(sections(5, 5), [(5, 5)]);
        assert_eq!(sections(0, 600), [(0, 255), (256, 511), (512, 600)]);
        assert_eq!(sections(u64::MAX, u64::MAX), [(u64::MAX, u64::MAX)]);
    }
}
