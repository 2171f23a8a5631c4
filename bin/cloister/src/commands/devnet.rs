//! `cloister devnet`

use std::{
    fs::File,
    io::{IsTerminal as _, Read as _},
    net::TcpListener,
    ops::Range,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use alloy_primitives::U256;
use clap::Args;
use cloister_devtools::{DevAccounts, TEST_MNEMONIC};
use cloister_node::{ExitCode, SealingKey, Store, StoreOptions, transport_key};
use cloister_primitives::{Confidentiality, GenesisAccount};
use cloister_shell::node_identity;
use tokio::signal::unix::{SignalKind, signal};

use super::status::{Row, table};
use crate::{
    consortium::{Decisions, Draft, NamedNode, Report},
    failure::Failure,
    folder::{GENESIS_FILE, NETWORK_KEY_FILE, create_new},
    output, running,
};

const AFTER_HELP: &str = "\
Examples:
  cloister devnet                          three nodes on ports 8545 to 8547
  cloister devnet --nodes 5 --port 0       five nodes, on any free ports
  cloister devnet --datadir net            go on next time where this ends

All nodes run on this machine under this user: a network to try things on, which protects nothing.";

/// Accounts of the mnemonic that everybody knows, which have money.
const ACCOUNTS: u32 = 10;

/// What each of them has: 10,000 ether.
const BALANCE_WEI: u128 = 10_000 * 10_u128.pow(18);

/// Time between two looks at the nodes.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Time that nodes have to end.
const PATIENCE: Duration = Duration::from_secs(10);

/// Ports that systems do not hand out by themselves: no node's way to another one takes what a third is about to listen on.
const PORTS: Range<u16> = 20_000..32_000;

/// Arguments of `cloister devnet`.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Devnet {
    /// How many nodes
    #[arg(long, value_name = "COUNT", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=9))]
    nodes: u16,

    /// Port of the first node's clients; those of the others follow. 0 for any free ports
    #[arg(long, value_name = "PORT", default_value_t = 8545)]
    port: u16,

    /// Chain id (EIP-155)
    #[arg(long, value_name = "ID", default_value_t = 31_337)]
    chain_id: u64,

    /// Keep the network in this folder; without it nothing is kept
    #[arg(long, value_name = "FOLDER")]
    datadir: Option<PathBuf>,
}

/// One node to run.
struct Member {
    name: String,
    folder: PathBuf,
    identity: String,
    peer_id: String,
    port: u16,
    network_port: u16,
}

impl Devnet {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let temporary = match &self.datadir {
            Some(_) => None,
            None => Some(Temporary::new()?),
        };
        let folder = match (&self.datadir, &temporary) {
            (Some(folder), _) => folder.clone(),
            (None, Some(temporary)) => temporary.0.clone(),
            (None, None) => PathBuf::from("."),
        };
        let asked_for = self.port..self.port.saturating_add(self.nodes);
        let mut ports = free_ports().filter(|port| !asked_for.contains(port));
        let members =
            (1..=self.nodes).map(|number| self.member(&folder, number, &mut ports)).collect::<Result<Vec<_>, _>>()?;
        self.write_files(&folder, &members)?;
        let mut children = Vec::new();
        for (index, member) in members.iter().enumerate() {
            children.push(Running(start(&folder, index, member, &members)?));
        }
        let urls: Vec<_> = members.iter().map(|member| format!("http://127.0.0.1:{}", member.port)).collect();
        let pids: Vec<_> = children.iter().map(|child| child.0.id()).collect();
        output::say(&announcement(&folder, &urls, &pids));
        let watched = running::on_runtime(watch(urls));
        children.iter_mut().for_each(Running::end);
        watched
    }

    /// Makes a node's keys, unless it has them.
    fn member(&self, folder: &Path, number: u16, ports: &mut impl Iterator<Item = u16>) -> Result<Member, Failure> {
        let name = format!("node{number}");
        let own = folder.join(&name);
        let store = Store::open(&own, StoreOptions::default())?;
        let key = SealingKey::of_folder(&own, &store)?;
        let identity = node_identity(&key.to_bytes())
            .map_err(|_| Failure::new(ExitCode::SealingKey, "the node's key gives no identity"))?
            .to_string();
        let peer_id = transport_key(&own)?.peer_id().to_string();
        let mut free = || {
            let none =
                || Failure::new(ExitCode::Listen, format!("no port between {} and {} is free", PORTS.start, PORTS.end));
            ports.next().ok_or_else(none)
        };
        let port = if self.port == 0 { free()? } else { self.port.saturating_add(number - 1) };
        Ok(Member { name, folder: own, identity, peer_id, port, network_port: free()? })
    }

    /// Writes the genesis and the network's key, unless they are there.
    fn write_files(&self, folder: &Path, members: &[Member]) -> Result<(), Failure> {
        let nodes = members
            .iter()
            .map(|member| format!("{}={}", member.name, member.identity).parse::<NamedNode>())
            .collect::<Result<Vec<_>, _>>()
            .map_err(Failure::usage)?;
        let decisions = Decisions {
            chain_id: self.chain_id,
            hardfork: None,
            confidentiality: Confidentiality::Off,
            gas_limit: 60_000_000,
            timestamp: 0,
            sign_in: None,
            members: Vec::new(),
            nodes,
        };
        let mut draft = Draft::blank();
        for account in DevAccounts::from_mnemonic(TEST_MNEMONIC, ACCOUNTS)?.all() {
            let funded = GenesisAccount { balance: U256::from(BALANCE_WEI), ..GenesisAccount::default() };
            draft.genesis.alloc.insert(account.address(), funded);
        }
        let genesis = draft.decide(decisions, &mut Report::default())?;
        create_new(&folder.join(GENESIS_FILE), &genesis)?;
        SealingKey::of_new_file(&folder.join(NETWORK_KEY_FILE))?;
        Ok(())
    }
}

fn start(folder: &Path, index: usize, member: &Member, members: &[Member]) -> Result<Child, Failure> {
    let failed = |error: std::io::Error| {
        Failure::new(ExitCode::Enclave, format!("node {} cannot be started: {error}", member.name))
    };
    let program = std::env::current_exe().map_err(failed)?;
    let log = File::create(member.folder.join("node.log")).map_err(failed)?;
    let mut command = Command::new(program);
    command
        .arg("node")
        .arg("--datadir")
        .arg(&member.folder)
        .arg("--genesis")
        .arg(folder.join(GENESIS_FILE))
        .args(["--port", &member.port.to_string(), "--tls", "off"])
        .args(["--node-id", &(index + 1).to_string()])
        .args(["--network-listen", &format!("127.0.0.1:{}", member.network_port)])
        .arg("--network-key-file")
        .arg(folder.join(NETWORK_KEY_FILE));
    for (other, peer) in members.iter().enumerate().filter(|(other, _)| *other != index) {
        let peer = format!("{}=127.0.0.1:{}/{}", other + 1, peer.network_port, peer.peer_id);
        command.args(["--network-peer", &peer]);
    }
    let stderr = log.try_clone().map_err(failed)?;
    command.stdin(Stdio::null()).stdout(log).stderr(stderr).spawn().map_err(failed)
}

fn announcement(folder: &Path, urls: &[String], pids: &[u32]) -> String {
    let mut text = format!("A network of {} nodes, in {}\n\n", urls.len(), folder.display());
    for (number, (url, pid)) in (1..).zip(urls.iter().zip(pids)) {
        text += &format!("  node {number}  {url}  process {pid}, log node{number}/node.log\n");
    }
    let first = urls.first().map_or("", String::as_str);
    text += &format!(
        "\nGas is free. Any node takes any request; try:\n  cast block-number --rpc-url {first}\n  cast send --rpc-url {first} \
         --mnemonic \"{TEST_MNEMONIC}\" 0x000000000000000000000000000000000000dEaD\n  kill -9 PROCESS   and look \
         what the others do\n\nCtrl-C ends all of them.\n\n"
    );
    text
}

/// Shows how the nodes are until somebody ends it.
async fn watch(urls: Vec<String>) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::new(ExitCode::Enclave, format!("signals cannot be heard: {error}"));
    let mut interrupted = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminated = signal(SignalKind::terminate()).map_err(failed)?;
    let is_terminal = std::io::stdout().is_terminal();
    let mut shown = String::new();
    let mut was_up = false;
    loop {
        let mut rows = Vec::new();
        for url in &urls {
            rows.push(Row::ask_url(url).await);
        }
        let text = table(&rows);
        if is_terminal {
            // Over what was shown before: up as many lines, and clear each.
            let up = shown.lines().count();
            let back = if up > 0 { format!("\x1b[{up}A") } else { String::new() };
            let cleared: String = text.lines().map(|line| format!("\x1b[2K{line}\n")).collect();
            output::say(&(back + &cleared));
            shown = text;
        } else if !was_up && rows.iter().all(Row::is_up) {
            was_up = true;
            output::say(&(text + "All nodes are up.\n"));
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            _ = interrupted.recv() => return Ok(()),
            _ = terminated.recv() => return Ok(()),
        }
    }
}

/// A process that ends with this one.
struct Running(Child);

impl Running {
    /// Asks it to end, and ends it if it does not.
    fn end(&mut self) {
        let asked = rustix::process::Pid::from_child(&self.0);
        let _ = rustix::process::kill_process(asked, rustix::process::Signal::TERM);
        let until = std::time::Instant::now() + PATIENCE;
        while std::time::Instant::now() < until {
            if !matches!(self.0.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            self.end();
        }
    }
}

/// A folder that is removed in the end.
struct Temporary(PathBuf);

impl Temporary {
    fn new() -> Result<Self, Failure> {
        let failed = |error: std::io::Error| {
            Failure::new(ExitCode::Storage, format!("no temporary folder can be made: {error}"))
        };
        let mut name = [0; 8];
        File::open("/dev/urandom").and_then(|mut source| source.read_exact(&mut name)).map_err(failed)?;
        let path = std::env::temp_dir().join(format!("cloister-devnet-{:016x}", u64::from_be_bytes(name)));
        std::fs::create_dir(&path).map_err(failed)?;
        Ok(Self(path))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Ports that nothing listens on, none of them twice.
fn free_ports() -> impl Iterator<Item = u16> {
    // Networks that are started beside each other begin in different places.
    let first = std::process::id().wrapping_mul(61) as usize % PORTS.len();
    PORTS.cycle().skip(first).take(PORTS.len()).filter(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
}
