//! What `cloister dev` prints when it is ready.

use std::fmt::{self, Write as _};

use alloy_primitives::{B256, U256, utils::format_ether};
use cloister_primitives::Confidentiality;

use crate::accounts::{DERIVATION_PATH, DevAccounts};

/// What the banner tells.
#[derive(Clone, Debug)]
pub struct Banner<'a> {
    /// Accounts and their keys.
    pub accounts: &'a DevAccounts,
    /// Wei that each account began with.
    pub balance: U256,
    /// Where the node listens, `127.0.0.1:8545`.
    pub endpoint: &'a str,
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// Hash of the genesis block.
    pub genesis_hash: B256,
    /// Name of the newest active fork.
    pub hardfork: &'a str,
    /// Wei per gas of the first block.
    pub base_fee: u64,
    /// Gas limit of a block.
    pub gas_limit: u64,
    /// Whether callers see only what concerns them.
    pub confidentiality: Confidentiality,
    /// How blocks are made, in words.
    pub pace: &'a str,
    /// Newest block at the start.
    pub head: u64,
    /// Where the chain is kept; `None` if it is not.
    pub datadir: Option<&'a str>,
}

impl fmt::Display for Banner<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Cloister {}: development node\n", env!("CARGO_PKG_VERSION"))?;
        self.accounts(f)?;
        self.chain(f)?;
        match self.confidentiality {
            Confidentiality::Off => {
                self.next_steps(f)?;
                writeln!(
                    f,
                    "This node protects nothing. Its keys are known to everyone, its state is readable by\n\
                     everyone who reaches the port, and its clock and balances can be changed at will."
                )?;
            }
            Confidentiality::On => {
                self.first_session(f)?;
                writeln!(
                    f,
                    "This chain shows each caller what concerns him, so that what is built for it can be tried.\n\
                     It protects nothing: its keys are known to everyone."
                )?;
            }
        }
        writeln!(f, "Never send anything of value to these accounts on any network.\n")
    }
}

impl Banner<'_> {
    fn accounts(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ether = format_ether(self.balance);
        let ether = ether.trim_end_matches('0').trim_end_matches('.');
        writeln!(f, "Accounts, each with {ether} ETH, and their private keys")?;
        for (index, account) in self.accounts.all().iter().enumerate() {
            let label = format!("({index})");
            writeln!(f, "{label:>5} {}  {}", account.address().to_checksum(None), account.private_key_hex())?;
        }
        writeln!(f, "\nMnemonic         {}", self.accounts.mnemonic())?;
        writeln!(f, "Derivation path  {DERIVATION_PATH}<index>\n")
    }

    fn chain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kept = self.datadir.map_or("nowhere; it is gone when the node stops", |datadir| datadir);
        let rows = [
            ("Chain id", self.chain_id.to_string()),
            ("Genesis hash", self.genesis_hash.to_string()),
            ("Hardfork", self.hardfork.to_owned()),
            ("Base fee", format!("{} wei per gas", self.base_fee)),
            ("Gas limit", self.gas_limit.to_string()),
            ("Blocks", self.pace.to_owned()),
            ("Head", format!("block {}", self.head)),
            ("Chain kept in", kept.to_owned()),
            ("HTTP", format!("http://{}", self.endpoint)),
            ("WebSocket", format!("ws://{}", self.endpoint)),
        ];
        let mut table = String::new();
        for (name, value) in rows {
            writeln!(table, "{name:<16} {value}")?;
        }
        writeln!(f, "{table}")
    }

    fn first_session(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = self.accounts.all().first();
        let (key, address) =
            first.map(|first| (first.private_key_hex(), first.address().to_checksum(None))).unwrap_or_default();
        let url = format!("http://{}", self.endpoint);
        writeln!(
            f,
            "What to type next\n  \
             export KEY={key}\n  \
             export ETH_RPC_HEADERS=\"Authorization: Bearer $(cloister login --url {url} --key env:KEY)\"\n  \
             cast balance {address} --rpc-url {url}\n  \
             env -u ETH_RPC_HEADERS cast balance {address} --rpc-url {url}   # what others see\n"
        )
    }

    fn next_steps(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = self.accounts.all().first().map(|account| account.private_key_hex()).unwrap_or_default();
        let url = format!("http://{}", self.endpoint);
        writeln!(
            f,
            "What to type next\n  \
             cast block-number --rpc-url {url}\n  \
             forge create src/Counter.sol:Counter --broadcast --rpc-url {url} \\\n    \
             --private-key {key}\n  \
             npx hardhat test --network cloister\n    \
             with, in hardhat.config: networks: {{ cloister: {{ url: \"{url}\" }} }}\n"
        )
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::accounts::TEST_MNEMONIC;

    #[test]
    fn the_banner_has_everything_one_needs_to_begin() {
        let accounts = DevAccounts::from_mnemonic(TEST_MNEMONIC, 10).unwrap();
        let mut banner = Banner {
            accounts: &accounts,
            balance: U256::from(10_000) * U256::from(10).pow(U256::from(18)),
            endpoint: "127.0.0.1:8545",
            chain_id: 31337,
            genesis_hash: B256::repeat_byte(7),
            hardfork: "osaka",
            base_fee: 1_000_000_000,
            gas_limit: 30_000_000,
            confidentiality: Confidentiality::Off,
            pace: "as soon as there is a transaction",
            head: 0,
            datadir: None,
        };
        let text = banner.to_string();
        for part in [
            "each with 10000 ETH",
            "  (0) 0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266  0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80",
            "  (9) 0xa0Ee7A142d267C1f36714E4a8F75612F20a79720",
            TEST_MNEMONIC,
            "Chain id         31337\n",
            "HTTP             http://127.0.0.1:8545\n",
            "ws://127.0.0.1:8545",
            "gone when the node stops",
            "cast block-number --rpc-url http://127.0.0.1:8545",
            "forge create",
            "protects nothing",
        ] {
            assert!(text.contains(part), "{part:?} is missing in\n{text}");
        }
        banner.confidentiality = Confidentiality::On;
        let confidential = banner.to_string();
        assert!(confidential.contains("cloister login --url http://127.0.0.1:8545 --key env:KEY"), "{confidential}");
        assert!(!confidential.contains("clock and balances"), "{confidential}");
        banner.datadir = Some("/tmp/chain");
        assert!(banner.to_string().contains("Chain kept in    /tmp/chain\n"));
    }
}
