//! The genesis of a consortium's network: what its members decided, on top of defaults or of another client's genesis.

pub(crate) mod foreign;
pub(crate) mod questions;
mod report;

use alloy_primitives::{Address, B256};
use cloister_primitives::{
    ChainSpec, Confidentiality, EthereumHardfork, ForkCondition, ForkSchedule, GasSchedule, Genesis, GenesisError,
    HardforkName, RaftGenesis, RaftNode, SignIn, development_contracts, system_contracts,
};

use crate::genesis_json;

pub(crate) use report::Report;

/// Gas limit of a block unless somebody decides otherwise.
const GAS_LIMIT: u64 = 60_000_000;

/// A genesis about which nothing has been decided yet.
#[derive(Debug)]
pub(crate) struct Draft {
    /// What is there to begin with.
    pub(crate) genesis: Genesis,
    /// The chain id, where there is one to begin with.
    pub(crate) chain_id: Option<u64>,
    /// Another client, whose genesis it was.
    pub(crate) client: Option<&'static str>,
}

/// What the members decided.
#[derive(Clone, Debug)]
pub(crate) struct Decisions {
    /// EIP-155 chain id.
    pub(crate) chain_id: u64,
    /// The newest fork, with which the chain starts; `None` for what the draft has.
    pub(crate) hardfork: Option<HardforkName>,
    /// Whether the chain keeps what happens on it from those it does not concern.
    pub(crate) confidentiality: Confidentiality,
    /// Gas limit of a block.
    pub(crate) gas_limit: u64,
    /// Time of the genesis block, seconds since 1970.
    pub(crate) timestamp: u64,
    /// Where clients sign in.
    pub(crate) sign_in: Option<SignIn>,
    /// Accounts that govern the network.
    pub(crate) members: Vec<Address>,
    /// The nodes that order blocks, in the order of their ids; none for a network of one node.
    pub(crate) nodes: Vec<NamedNode>,
}

/// A node as one types it: `alpha=0x…`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NamedNode {
    name: String,
    identity: B256,
}

impl core::str::FromStr for NamedNode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || "want NAME=IDENTITY, such as alpha=0x… with the 64 digits that `cloister init` prints".to_owned();
        let (name, identity) = text.split_once('=').ok_or_else(wrong)?;
        let identity = identity.strip_prefix("0x").ok_or_else(wrong)?.parse().map_err(|_| wrong())?;
        let node = Self { name: name.to_owned(), identity };
        match raft(core::slice::from_ref(&node)).check() {
            Ok(()) => Ok(node),
            Err(_) => Err("want a name of 1 to 32 characters out of a-z, 0-9 and - before the =".to_owned()),
        }
    }
}

/// The section of genesis that names these nodes; ids count from 1.
pub(crate) fn raft(nodes: &[NamedNode]) -> RaftGenesis {
    let node = |(id, node): (u64, &NamedNode)| RaftNode { id, name: node.name.clone(), identity: node.identity };
    RaftGenesis { nodes: (1..).zip(nodes).map(node).collect() }
}

impl Draft {
    /// A chain with every fork from the start, on which gas is free and nobody has anything.
    pub(crate) fn blank() -> Self {
        let mut genesis = Genesis { gas_limit: GAS_LIMIT, ..Genesis::default() };
        genesis.config.forks = ForkSchedule::all_up_to(HardforkName::default().0);
        genesis.config.cloister.fixed_base_fee = Some(0);
        Self { genesis, chain_id: None, client: None }
    }

    /// The genesis file that follows from the decisions. What they change of the draft, and what is still open, is added
    /// to the report.
    ///
    /// # Errors
    /// If the decisions contradict each other or the draft.
    pub(crate) fn decide(self, decisions: Decisions, report: &mut Report) -> Result<String, GenesisError> {
        let mut genesis = self.genesis;
        if let Some(client) = self.client {
            report_rules(&decisions, &genesis, client, report);
            report_open_rules(&decisions, &genesis, client, report);
        }
        report_open(&decisions, report);
        let is_confidential = decisions.confidentiality == Confidentiality::On;
        let config = &mut genesis.config;
        config.chain_id = decisions.chain_id;
        if let Some(hardfork) = decisions.hardfork_instead_of(&config.forks) {
            config.forks = ForkSchedule::all_up_to(hardfork.0);
            config.blob_schedule.clear();
        }
        let newest = HardforkName::default();
        if is_confidential && !active_at_start(&config.forks, newest.0, decisions.timestamp) {
            return Err(GenesisError::Contradiction {
                path: "config".to_owned(),
                reason: format!(
                    "the contracts that hold a confidential chain's rules are made for {newest}: leave --hardfork out, or \
                     choose --confidentiality off"
                ),
            });
        }
        config.cloister.confidentiality = decisions.confidentiality;
        config.cloister.gas_schedule = if is_confidential { GasSchedule::Flat } else { GasSchedule::Ethereum };
        config.cloister.allow_equal_timestamps = true;
        if is_confidential && config.cloister.fixed_base_fee.is_none() {
            report.change("base fee: 0 for good, because one that follows use tells of use".to_owned());
            config.cloister.fixed_base_fee = Some(0);
        }
        config.sign_in = decisions.sign_in;
        config.members = decisions.members;
        config.members.sort_unstable();
        config.raft = (!decisions.nodes.is_empty()).then(|| raft(&decisions.nodes));
        if config.cloister.fixed_base_fee.is_some() {
            genesis.base_fee_per_gas = None;
        }
        genesis.gas_limit = decisions.gas_limit;
        genesis.timestamp = decisions.timestamp;
        add_contracts(&mut genesis);
        let file = genesis_json::file(&genesis);
        // What a node will make of it, not what we meant.
        let (read, _) = Genesis::parse(&file)?;
        ChainSpec::new(read)?;
        Ok(file)
    }
}

impl Decisions {
    /// The fork that the chain starts with, where it does not have those of its draft.
    fn hardfork_instead_of(&self, forks: &ForkSchedule) -> Option<HardforkName> {
        // The contracts that hold a confidential chain's rules are compiled for the newest fork.
        let newest = HardforkName::default();
        let needs_newest = self.confidentiality == Confidentiality::On;
        self.hardfork.or((needs_newest && !active_at_start(forks, newest.0, self.timestamp)).then_some(newest))
    }
}

/// What stays of another client's rules, and what does not.
fn report_rules(decisions: &Decisions, genesis: &Genesis, client: &str, report: &mut Report) {
    let forks = &genesis.config.forks;
    for (what, now, before) in [
        ("chain id", decisions.chain_id, genesis.config.chain_id),
        ("gas limit", decisions.gas_limit, genesis.gas_limit),
        ("timestamp", decisions.timestamp, genesis.timestamp),
    ] {
        if now == before {
            report.take(format!("{what} {now}, of {client}'s genesis"));
        } else {
            report.change(format!("{what}: {now} instead of {before}"));
        }
    }
    let scheduled = EthereumHardfork::VARIANTS.iter().rev();
    let newest = scheduled.copied().find(|fork| forks.condition(*fork) != ForkCondition::Never);
    let newest = HardforkName(newest.unwrap_or(EthereumHardfork::Frontier));
    match decisions.hardfork_instead_of(forks) {
        None => report.take(format!("forks up to {newest}, at their heights and times")),
        Some(hardfork) => {
            let why = if decisions.hardfork.is_none() {
                ", because the contracts that hold a confidential chain's rules are made for it"
            } else {
                ""
            };
            report.change(format!("forks: every one up to {hardfork} from the start instead of {newest}{why}"));
        }
    }
}

/// Contracts that forks and tools expect on any chain, unless the draft has something at their addresses.
fn add_contracts(genesis: &mut Genesis) {
    if genesis.config.forks.condition(EthereumHardfork::Cancun) != ForkCondition::Never {
        for (address, contract) in system_contracts() {
            genesis.alloc.entry(address).or_insert(contract);
        }
    }
    for (address, contract) in development_contracts() {
        genesis.alloc.entry(address).or_insert(contract);
    }
}

fn active_at_start(forks: &ForkSchedule, fork: EthereumHardfork, timestamp: u64) -> bool {
    let condition = forks.condition(fork);
    condition.active_at_block(0) || condition.active_at_timestamp(timestamp)
}

/// What nobody has decided, although it cannot be changed any more once the chain runs.
fn report_open(decisions: &Decisions, report: &mut Report) {
    let is_confidential = decisions.confidentiality == Confidentiality::On;
    if decisions.nodes.is_empty() {
        report
            .open("nodes: none are named, so one node orders blocks alone; --node NAME=IDENTITY names each of several");
    }
    if is_confidential && decisions.sign_in.is_none() {
        report.open("sign-in: no site is named, so nobody can sign in and see anything of his own; --sign-in DOMAIN");
    }
    if is_confidential && decisions.members.is_empty() {
        report.open("members: none are named, so nobody can approve audits of what has passed; --member ADDRESS");
    }
}

/// What nobody has decided of a chain that has another client's rules.
fn report_open_rules(decisions: &Decisions, genesis: &Genesis, client: &str, report: &mut Report) {
    let is_confidential = decisions.confidentiality == Confidentiality::On;
    if decisions.chain_id == genesis.config.chain_id {
        report.open(format!(
            "chain id: {} as before, so what was signed for the old chain can be sent to this one; --chain-id ID",
            decisions.chain_id
        ));
    }
    if is_confidential && genesis.alloc.values().any(|account| !account.code.is_empty()) {
        report.open(format!(
            "contracts: those of {client}'s genesis have no rules, so they answer transactions and no queries until \
             `cloister policy apply` gives them some; --confidentiality off shows everything to everybody"
        ));
    }
    let later = EthereumHardfork::VARIANTS.iter().filter(|fork| {
        genesis.config.forks.condition(**fork) != ForkCondition::Never
            && !active_at_start(&genesis.config.forks, **fork, decisions.timestamp)
    });
    let later: Vec<_> = later.map(|fork| HardforkName(*fork).to_string()).collect();
    if !is_confidential && decisions.hardfork.is_none() && !later.is_empty() {
        report.open(format!(
            "forks: {} come later, at heights and times of this chain now, not of the old one; --hardfork NAME starts \
             with all up to that",
            later.join(", ")
        ));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn decisions(confidentiality: Confidentiality) -> Decisions {
        Decisions {
            chain_id: 77,
            hardfork: None,
            confidentiality,
            gas_limit: GAS_LIMIT,
            timestamp: 5,
            sign_in: SignIn::at("a.example"),
            members: Vec::new(),
            nodes: Vec::new(),
        }
    }

    fn spec(file: &str) -> ChainSpec {
        let (genesis, warnings) = Genesis::parse(file).unwrap();
        assert_eq!(warnings, []);
        ChainSpec::new(genesis).unwrap()
    }

    #[test]
    fn the_example_network_is_what_one_gets_without_further_wishes() {
        let mut report = Report::default();
        let file = Draft::blank().decide(decisions(Confidentiality::On), &mut report).unwrap();
        let ours = spec(&file);
        let example = spec(include_str!("../../../../genesis/consortium.json"));
        assert_eq!(ours.forks(), example.forks());
        assert_eq!(ours.genesis().alloc, example.genesis().alloc);
        let differing = |spec: &ChainSpec| {
            let mut rules = spec.genesis().config.cloister;
            rules.max_transactions_per_block = None;
            (rules, spec.gas_limit())
        };
        assert_eq!(differing(&ours), differing(&example));
        assert_eq!((ours.chain_id(), ours.genesis().timestamp, ours.raft()), (77, 5, None));
    }

    #[test]
    fn members_and_nodes_stand_in_the_file() {
        let [one, two] = [1, 2].map(Address::repeat_byte);
        let nodes = [("alpha", 8), ("beta", 7)]
            .map(|(name, byte)| format!("{name}={}", B256::repeat_byte(byte)).parse().unwrap());
        let decisions = Decisions { members: vec![two, one], nodes: nodes.to_vec(), ..decisions(Confidentiality::On) };
        let mut report = Report::default();
        let spec = spec(&Draft::blank().decide(decisions, &mut report).unwrap());
        assert_eq!(spec.genesis().config.members, [one, two]);
        let named: Vec<_> = spec.raft().unwrap().nodes.iter().map(|node| (node.id, node.name.as_str())).collect();
        assert_eq!(named, [(1, "alpha"), (2, "beta")]);
        assert_eq!(report.to_string(), "");
    }

    #[test]
    fn an_open_chain_has_no_members_and_shows_what_is_open() {
        let mut report = Report::default();
        let file = Draft::blank().decide(decisions(Confidentiality::Off), &mut report).unwrap();
        assert_eq!(spec(&file).gas_schedule(), GasSchedule::Ethereum);
        assert!(report.to_string().contains("one node orders blocks alone"), "{report}");
        let members = vec![Address::repeat_byte(1)];
        let decisions = Decisions { members, ..decisions(Confidentiality::Off) };
        let error = Draft::blank().decide(decisions, &mut report).unwrap_err().to_string();
        assert!(error.starts_with("config.cloister.members: "), "{error}");
    }

    #[test]
    fn a_confidential_chain_has_the_forks_that_its_contracts_need() {
        let old = |confidentiality| {
            let hardfork = Some("cancun".parse().unwrap());
            Draft::blank().decide(Decisions { hardfork, ..decisions(confidentiality) }, &mut Report::default())
        };
        let error = old(Confidentiality::On).unwrap_err().to_string();
        assert!(error.contains("are made for osaka: leave --hardfork out"), "{error}");
        let open = spec(&old(Confidentiality::Off).unwrap());
        assert_eq!(HardforkName(open.hardfork_at(0, 5)).to_string(), "cancun");
    }

    #[test]
    fn nodes_as_they_are_typed() {
        let identity = B256::repeat_byte(3);
        let node = NamedNode { name: "a-1".to_owned(), identity };
        assert_eq!(format!("a-1={identity}").parse(), Ok(node));
        for wrong in ["", "a", "a=0x12", "=0x12", "a=12"] {
            assert!(wrong.parse::<NamedNode>().unwrap_err().starts_with("want NAME=IDENTITY"), "{wrong}");
        }
        let error = format!("A={identity}").parse::<NamedNode>().unwrap_err();
        assert!(error.starts_with("want a name of 1 to 32 characters"), "{error}");
    }
}
