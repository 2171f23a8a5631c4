//! Networks of several nodes on this machine, each of two processes, with links between their enclaves.
//!
//! The nodes are those of `cloister devnet`; here each can be killed and started again, and its way to another one can lead
//! through whatever listens in between.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use alloy_primitives::{Address, B256};
use cloister_network::TransportKey;
use cloister_primitives::fork_keys;
use cloister_shell::node_identity;
use eyre::{Result, WrapErr, ensure, eyre};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::http::Endpoint;
use crate::node::{Node, free_port};
use crate::probe::Group;
use crate::rpc::{Client, parse_quantity};
use crate::wallet::Account;

/// Chain id (EIP-155), as of every development network.
pub const CHAIN_ID: u64 = 31_337;
/// Block gas limit, as on Ethereum.
const GAS_LIMIT: u64 = 60_000_000;
/// What each development account has: a million ether.
const BALANCE: &str = "0xd3c21bcecceda1000000";
/// How long a node may take to reach a state that it must reach, unless told otherwise.
const PATIENCE: Duration = Duration::from_secs(120);
/// Pause between two looks at a node.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// A network. Its nodes are numbered from 0 on and are killed when it is dropped.
#[derive(Debug)]
pub struct Cluster {
    program: PathBuf,
    logs: PathBuf,
    folder: TempDir,
    members: Vec<Member>,
    patience: Duration,
    /// How nodes log.
    output: &'static str,
}

#[derive(Debug)]
struct Member {
    http_port: u16,
    peer_port: u16,
    /// The name of its transport's key.
    peer_id: String,
    /// Where each of the others is reached.
    routes: Vec<SocketAddr>,
    node: Option<Node>,
}

/// What a node says of itself (`cloister_networkStatus`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Numbers of the nodes that vote, as it knows them.
    pub voters: Vec<u64>,
    /// Such as "leader".
    pub role: String,
    /// Term of the ordering engine.
    pub term: u64,
    /// Newest committed height.
    pub head: u64,
}

/// What a network begins with.
#[derive(Clone, Copy, Debug)]
pub struct Founding<'a> {
    /// How many nodes there are.
    pub size: usize,
    /// How many of them, the first ones, genesis names.
    pub founders: usize,
    /// Who has money besides the development accounts.
    pub funded: &'a [Address],
    /// Who decides about nodes.
    pub governors: &'a [Address],
}

impl Cluster {
    /// Writes the files of a network of `size` nodes, of which none runs yet. Logs go to `logs`. Besides the development
    /// accounts, `funded` have money.
    ///
    /// # Errors
    /// When a file cannot be written, or no port is free.
    pub fn new(program: &Path, logs: &Path, size: usize, funded: &[Address]) -> Result<Self> {
        Self::found(program, logs, Founding { size, founders: size, funded, governors: &[] })
    }

    /// The same for a network that not all nodes belong to from the beginning.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn found(program: &Path, logs: &Path, founding: Founding<'_>) -> Result<Self> {
        let Founding { size, .. } = founding;
        let folder = tempfile::tempdir().wrap_err("no temporary folder")?;
        let mut members = Vec::new();
        for index in 0..size {
            let (datadir, key) = (folder.path().join(format!("node{}", index + 1)), key_of(index)?);
            fs::create_dir(&datadir)?;
            for name in KEYS {
                write_key(&datadir.join(name), key)?;
            }
            let peer_id = TransportKey::from_seed(key).ok_or_else(|| eyre!("not a key"))?.peer_id().to_string();
            let (http_port, peer_port) = (free_port()?, free_port()?);
            members.push(Member { http_port, peer_port, peer_id, routes: Vec::new(), node: None });
        }
        let direct: Vec<_> =
            members.iter().map(|member| SocketAddr::from(([127, 0, 0, 1], member.peer_port))).collect();
        for member in &mut members {
            member.routes.clone_from(&direct);
        }
        fs::write(folder.path().join("genesis.json"), genesis(&founding)?.to_string())?;
        let (program, logs, patience) = (program.to_owned(), logs.to_owned(), PATIENCE);
        let cluster = Self { program, logs, folder, members, patience, output: "--quiet" };
        write_key(&cluster.network_key(), [99; 32])?;
        for index in 0..size {
            // Every start adds to the log.
            let _ = fs::remove_file(cluster.log(index));
        }
        Ok(cluster)
    }

    /// Waits longer, or less long, for whatever its nodes are to do.
    pub const fn set_patience(&mut self, patience: Duration) {
        self.patience = patience;
    }

    /// From their next start on, nodes log the events of their network as well, in JSON.
    pub const fn log_events(&mut self) {
        self.output = "--json-logs";
    }

    /// Number of nodes.
    #[must_use]
    pub const fn size(&self) -> usize {
        self.members.len()
    }

    /// Where a node listens for the others.
    #[must_use]
    pub fn peer_address(&self, index: usize) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.members[index].peer_port))
    }

    /// From its next start on, node `from` reaches `to` through `address`.
    pub fn route(&mut self, from: usize, to: usize, address: SocketAddr) {
        self.members[from].routes[to] = address;
    }

    /// Starts a node without waiting for it.
    ///
    /// # Errors
    /// When it runs already or cannot be started.
    pub fn spawn(&mut self, index: usize) -> Result<()> {
        ensure!(self.members[index].node.is_none(), "node {} runs", index + 1);
        let http_port = self.members[index].http_port;
        let arguments = self.arguments(index, &self.datadir(index), http_port, self.peer_address(index));
        let node = Node::spawn(&self.program, &arguments, http_port, &self.log(index))?;
        self.members[index].node = Some(node);
        Ok(())
    }

    /// Starts a second process as a node that runs or ran, from a copy of its folder. It can reach the others, and they call
    /// the first one.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn_copy(&self, index: usize, datadir: &Path, log: &Path) -> Result<Node> {
        let (http_port, peer_port) = (free_port()?, free_port()?);
        let arguments = self.arguments(index, datadir, http_port, SocketAddr::from(([127, 0, 0, 1], peer_port)));
        Node::spawn(&self.program, &arguments, http_port, log)
    }

    /// How a node's process ended, if it did.
    ///
    /// # Errors
    /// When it was not started.
    pub fn ended(&mut self, index: usize) -> Result<Option<i32>> {
        self.running(index)?.ended()
    }

    /// Starts a node and waits until it serves, for which it must have found enough of the others.
    ///
    /// # Errors
    /// When it ends, or does not serve in time.
    pub fn start(&mut self, index: usize) -> Result<()> {
        self.spawn(index)?;
        self.serves(index)
    }

    /// Starts all nodes and waits until they serve.
    ///
    /// # Errors
    /// When one of them does not.
    pub fn start_all(&mut self) -> Result<()> {
        for index in 0..self.size() {
            self.spawn(index)?;
        }
        for index in 0..self.size() {
            self.serves(index)?;
        }
        Ok(())
    }

    fn serves(&mut self, index: usize) -> Result<()> {
        let patience = self.patience;
        self.running(index)?.answers(patience, Ok)
    }

    /// SIGKILL.
    ///
    /// # Errors
    /// When it does not run.
    pub fn kill(&mut self, index: usize) -> Result<()> {
        self.taken(index).map(Node::kill)
    }

    /// SIGTERM, and waits for its end.
    ///
    /// # Errors
    /// When it does not run, or does not end.
    pub fn stop(&mut self, index: usize) -> Result<()> {
        self.taken(index)?.stop()
    }

    /// Numbers of the nodes that run.
    #[must_use]
    pub fn alive(&self) -> Vec<usize> {
        (0..self.size()).filter(|index| self.members[*index].node.is_some()).collect()
    }

    /// Where a node's clients connect.
    #[must_use]
    pub fn endpoint(&self, index: usize) -> Endpoint {
        Endpoint::local(self.members[index].http_port)
    }

    /// The same for all nodes, also for those that do not run.
    #[must_use]
    pub fn endpoints(&self) -> Vec<Endpoint> {
        (0..self.size()).map(|index| self.endpoint(index)).collect()
    }

    /// The processes of a node that runs.
    #[must_use]
    pub fn group(&self, index: usize) -> Option<Group> {
        self.members[index].node.as_ref().map(|node| node.group)
    }

    /// What a node says of itself.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn standing(&self, index: usize) -> Result<Standing> {
        let status: Value = Client::connect(&self.endpoint(index))?.call("cloister_networkStatus", json!([]))?;
        let text = |name: &str| status[name].as_str().ok_or_else(|| eyre!("no {name} in {status}"));
        let voters = status["voters"].as_array().into_iter().flatten();
        Ok(Standing {
            voters: voters.filter_map(|voter| parse_quantity(voter.as_str()?).ok()).collect(),
            role: text("role")?.to_owned(),
            term: parse_quantity(text("term")?)?,
            head: parse_quantity(text("head")?)?,
        })
    }

    /// Waits until one `among` the nodes says that it leads; of two that say so, the one of the later term.
    ///
    /// # Errors
    /// When none does in time.
    pub fn leader(&self, among: &[usize]) -> Result<usize> {
        eventually("a leader", self.patience, || {
            let standings = among.iter().filter_map(|index| Some((*index, self.standing(*index).ok()?)));
            let leaders = standings.filter(|(_, standing)| standing.role == "leader");
            leaders.max_by_key(|(_, standing)| standing.term).map(|(index, _)| index)
        })
    }

    /// Waits until a node has the block at `height` and takes part: after a start it first hears how far the others are.
    ///
    /// # Errors
    /// When it has not in time.
    pub fn reaches(&self, index: usize, height: u64) -> Result<()> {
        eventually(&format!("node {} at block {height}", index + 1), self.patience, || {
            let standing = self.standing(index).ok()?;
            (standing.head >= height && standing.role != "waiting").then_some(())
        })
    }

    /// Waits until all nodes that run have the same newest block, with the same state root, and returns its height. For a
    /// network that nobody writes to.
    ///
    /// # Errors
    /// When they have not in time.
    pub fn agreement(&self) -> Result<u64> {
        let newest = |index| -> Result<Value> {
            Client::connect(&self.endpoint(index))?.call("eth_getBlockByNumber", json!(["latest", false]))
        };
        eventually("the same newest block on all nodes", self.patience, || {
            let blocks = self.alive().into_iter().map(newest).collect::<Result<Vec<_>>>().ok()?;
            let first = blocks.first()?;
            let is_same = |name: &str| blocks.iter().all(|block| block[name] == first[name] && block[name].is_string());
            (is_same("hash") && is_same("stateRoot")).then(|| parse_quantity(first["number"].as_str()?).ok()).flatten()
        })
    }

    /// All that a node has logged, over its starts.
    #[must_use]
    pub fn log_text(&self, index: usize) -> String {
        fs::read_to_string(self.log(index)).unwrap_or_default()
    }

    /// The end of each node's log.
    #[must_use]
    pub fn last_words(&self) -> String {
        let tail = |index| {
            let text = self.log_text(index);
            let lines: Vec<_> = text.lines().collect();
            format!("node {}:\n{}\n", index + 1, lines[lines.len().saturating_sub(30)..].join("\n"))
        };
        (0..self.size()).map(tail).collect()
    }

    /// The file with the key of the network's ledger.
    #[must_use]
    pub fn network_key(&self) -> PathBuf {
        self.folder.path().join("network.key")
    }

    /// The folder of a node.
    #[must_use]
    pub fn datadir(&self, index: usize) -> PathBuf {
        self.folder.path().join(format!("node{}", index + 1))
    }

    fn log(&self, index: usize) -> PathBuf {
        self.logs.join(format!("cluster-node{}.log", index + 1))
    }

    fn running(&mut self, index: usize) -> Result<&mut Node> {
        self.members[index].node.as_mut().ok_or_else(|| eyre!("node {} does not run", index + 1))
    }

    fn taken(&mut self, index: usize) -> Result<Node> {
        self.members[index].node.take().ok_or_else(|| eyre!("node {} does not run", index + 1))
    }

    fn arguments(&self, index: usize, datadir: &Path, http_port: u16, listen: SocketAddr) -> Vec<String> {
        let member = &self.members[index];
        let path = |name: &str| self.folder.path().join(name).display().to_string();
        let mut arguments: Vec<String> = ["node", "--tls", "off", self.output].map(String::from).to_vec();
        let mut flag = |name: &str, value: String| arguments.extend([name.to_owned(), value]);
        flag("--datadir", datadir.display().to_string());
        flag("--genesis", path("genesis.json"));
        flag("--network-key-file", self.network_key().display().to_string());
        flag("--port", http_port.to_string());
        flag("--node-id", (index + 1).to_string());
        flag("--network-listen", listen.to_string());
        for (other, peer) in self.members.iter().enumerate().filter(|(other, _)| *other != index) {
            flag("--network-peer", format!("{}={}/{}", other + 1, member.routes[other], peer.peer_id));
        }
        arguments
    }
}

/// Files of a node's keys: of its stored state, and of its host on the network.
const KEYS: [&str; 2] = ["sealing.key", "transport.key"];

fn key_of(index: usize) -> Result<[u8; 32]> {
    Ok([u8::try_from(index + 1)?; 32])
}

/// What the others know a node by.
///
/// # Errors
/// When there can be no such node.
pub fn identity(index: usize) -> Result<B256> {
    node_identity(&key_of(index)?).map_err(|_| eyre!("a key gives no identity"))
}

fn write_key(path: &Path, key: [u8; 32]) -> Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    Ok(file.write_all(&key)?)
}

fn genesis(founding: &Founding<'_>) -> Result<Value> {
    let mut nodes = Vec::new();
    for index in 0..founding.founders {
        let identity = identity(index)?;
        nodes.push(json!({ "id": index + 1, "name": format!("node{}", index + 1), "identity": identity }));
    }
    let mut alloc = serde_json::Map::new();
    let development = Account::development()?;
    for address in development.iter().map(|account| &account.address).chain(founding.funded) {
        alloc.insert(address.to_string(), json!({ "balance": BALANCE }));
    }
    let mut config = json!({
        "chainId": CHAIN_ID, "terminalTotalDifficulty": 0, "shanghaiTime": 0, "cancunTime": 0, "pragueTime": 0, "osakaTime": 0,
        "cloister": {
            "confidentiality": "off", "gasSchedule": "ethereum", "allowEqualTimestamps": true,
            "baseFee": { "fixed": "0x0" }, "raft": { "nodes": nodes }, "members": founding.governors,
        },
    });
    // The forks that came by height are there from the beginning as well.
    for (key, _) in fork_keys().filter(|(key, _)| key.ends_with("Block")) {
        config[key] = json!(0);
    }
    Ok(json!({ "config": config, "gasLimit": format!("{GAS_LIMIT:#x}"), "timestamp": "0x0", "alloc": alloc }))
}

/// Looks until `found` finds something.
///
/// # Errors
/// When it does not in time.
pub fn eventually<T>(what: &str, patience: Duration, mut found: impl FnMut() -> Option<T>) -> Result<T> {
    let start = Instant::now();
    loop {
        if let Some(found) = found() {
            return Ok(found);
        }
        ensure!(start.elapsed() < patience, "not within {} s: {what}", patience.as_secs());
        std::thread::sleep(LOOK_EVERY);
    }
}
