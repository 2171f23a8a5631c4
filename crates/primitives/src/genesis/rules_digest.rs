//! What the keys of a confidential ledger, or of one that several nodes keep, are bound to besides its genesis block,
//! whose hash says nothing of `config`.
//!
//! A host hands the genesis file to the enclave. One in which confidentiality is off, or another site is signed in to, must
//! not open the ledger that was sealed under the true one; one that names other nodes must not let them in.

use core::fmt::Write as _;

use alloy_hardforks::{EthereumHardfork, ForkCondition};
use alloy_primitives::{B256, keccak256};

use super::{ChainConfig, Confidentiality, GasSchedule, Site};

impl ChainConfig {
    /// A digest of every rule of a chain: line by line, in this order.
    pub(crate) fn rules_digest(&self) -> B256 {
        keccak256(self.rules().unwrap_or_default())
    }

    fn rules(&self) -> Result<String, core::fmt::Error> {
        let mut text = String::from("cloister/rules/1\n");
        for fork in EthereumHardfork::VARIANTS {
            match self.forks.condition(*fork) {
                ForkCondition::Block(at) => writeln!(text, "fork {fork} block {at}")?,
                ForkCondition::Timestamp(at) => writeln!(text, "fork {fork} time {at}")?,
                ForkCondition::TTD { total_difficulty, .. } => writeln!(text, "fork {fork} ttd {total_difficulty}")?,
                ForkCondition::Never => {}
            }
        }
        let ours = &self.cloister;
        let confidentiality = if ours.confidentiality == Confidentiality::On { "on" } else { "off" };
        let gas_schedule = if ours.gas_schedule == GasSchedule::Flat { "flat" } else { "ethereum" };
        writeln!(text, "confidentiality {confidentiality}\ngasSchedule {gas_schedule}")?;
        writeln!(text, "baseFee {:?}\nallowEqualTimestamps {}", ours.fixed_base_fee, ours.allow_equal_timestamps)?;
        writeln!(text, "limits {:?} {:?}", ours.max_transactions_per_block, ours.max_code_size)?;
        writeln!(text, "development {}", ours.development)?;
        if ours.production {
            writeln!(text, "production")?;
        }
        // Which programs is not said here: those change, and the ledger stays.
        for platform in self.attestation.iter().flat_map(|attestation| &attestation.platforms) {
            writeln!(text, "platform {platform}")?;
        }
        if let Some(sign_in) = &self.sign_in {
            let (seconds, in_path) = (sign_in.token_seconds, sign_in.tokens_in_path);
            match &sign_in.site {
                Site::Named { domain, uri } => writeln!(text, "signIn {seconds} {in_path} {domain} {uri}")?,
                Site::Loopback => writeln!(text, "signIn {seconds} {in_path}")?,
            }
        }
        for member in &self.members {
            writeln!(text, "member {member}")?;
        }
        for node in self.raft.iter().flat_map(|raft| &raft.nodes) {
            writeln!(text, "raft {} {} {}", node.id, node.identity, node.name)?;
        }
        Ok(text)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use alloy_primitives::B256;

    use crate::{ChainSpec, Genesis};

    fn binding(ours: &str, rest: &str) -> B256 {
        let until_london = [
            "homestead",
            "eip150",
            "eip155",
            "byzantium",
            "constantinople",
            "petersburg",
            "istanbul",
            "berlin",
            "london",
        ];
        let until_london: String = until_london.iter().map(|fork| format!("\"{fork}Block\":0,")).collect();
        let json = format!(
            r#"{{"config":{{"chainId":5,{until_london}"terminalTotalDifficulty":0,"shanghaiTime":{rest},
                "cloister":{{{ours}}}}},"gasLimit":"0x1c9c380","difficulty":"0x0","baseFeePerGas":"0x0","alloc":{{}}}}"#
        );
        let spec = ChainSpec::new(Genesis::parse(&json).unwrap().0).unwrap();
        spec.ledger_binding(B256::repeat_byte(1))
    }

    fn raft(id: u64, name: &str, identity: u8) -> String {
        let identity = B256::repeat_byte(identity);
        format!(r#""raft":{{"nodes":[{{"id":{id},"name":"{name}","identity":"{identity}"}}]}}"#)
    }

    #[test]
    fn a_network_of_nodes_is_bound_to_them_even_if_it_is_open() {
        let one = binding(&raft(1, "a", 1), "0");
        assert_ne!(one, B256::repeat_byte(1));
        for other in [raft(2, "a", 1), raft(1, "b", 1), raft(1, "a", 2)] {
            assert_ne!(binding(&other, "0"), one, "{other}");
        }
        assert_ne!(binding(&raft(1, "a", 1), "9"), one);
    }

    #[test]
    fn an_open_chain_is_bound_to_its_genesis_block_alone() {
        assert_eq!(binding(r#""confidentiality":"off""#, "0"), B256::repeat_byte(1));
    }

    #[test]
    fn every_rule_of_a_confidential_chain_changes_what_its_keys_are_bound_to() {
        let plain = binding(r#""confidentiality":"on""#, "0");
        assert_eq!(plain, binding(r#""gasSchedule":"flat","confidentiality":"on""#, "0"), "the order of keys");
        let site = r#""confidentiality":"on","signIn":{"domain":"a.example","uri":"https://a.example"}"#;
        let hardware =
            format!(r#""attestation":{{"platforms":["tdx"],"measurements":[{{"mrtd":"0x{}"}}]}}"#, "ab".repeat(48));
        let all = [
            plain,
            binding(r#""confidentiality":"off""#, "0"),
            binding(r#""confidentiality":"on""#, "9"),
            binding(r#""confidentiality":"on","gasSchedule":"ethereum""#, "0"),
            binding(r#""confidentiality":"on","allowEqualTimestamps":true"#, "0"),
            binding(r#""confidentiality":"on","development":true"#, "0"),
            binding(r#""confidentiality":"on","maxTransactionsPerBlock":7"#, "0"),
            binding(r#""confidentiality":"on","attestation":{"platforms":["virtual"]}"#, "0"),
            binding(&format!(r#""confidentiality":"on",{hardware}"#), "0"),
            binding(&format!(r#""confidentiality":"on","production":true,{hardware}"#), "0"),
            binding(site, "0"),
            binding(&site.replace("a.example", "b.example"), "0"),
            binding(&format!(r#""confidentiality":"on",{}"#, raft(1, "a", 1)), "0"),
            binding(&format!(r#""confidentiality":"on",{}"#, raft(1, "a", 2)), "0"),
        ];
        for (index, one) in all.iter().enumerate() {
            assert!(!all[..index].contains(one), "#{index}");
        }
    }
}
