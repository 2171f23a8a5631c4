//! Nodes of one network, as real processes over real sockets: who is let in, and who is not.
#![allow(clippy::print_stderr)] // a failing test shows what the nodes said

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use cloister_network::TransportKey;
use cloister_shell::node_identity;
use cloister_tests::node::{START_TIMEOUT, binary, free_port};
use cloister_tests::rpc::{RpcClient, quantity};
use serde_json::{Value, json};
use tempfile::TempDir;

const CHAIN_ID: u64 = 7_331;

/// The files of a network of three nodes.
struct Network {
    folder: TempDir,
    ports: [u16; 3],
}

/// The byte that a node's sealing key and its transport's key consist of.
const fn key_byte(node: u64) -> u8 {
    10 + node as u8
}

fn write_key(path: &Path, byte: u8) {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path).expect("a file");
    file.write_all(&[byte; 32]).expect("it is written");
}

fn genesis(timestamp: u64) -> Value {
    let node = |id: u64| {
        let identity = node_identity(&[key_byte(id); 32]).expect("a key");
        json!({ "id": id, "name": format!("n{id}"), "identity": identity })
    };
    json!({
        "config": { "chainId": CHAIN_ID, "cloister": { "raft": { "nodes": [node(1), node(2), node(3)] } } },
        "gasLimit": "0x1c9c380", "timestamp": format!("{timestamp:#x}"), "alloc": {},
    })
}

impl Network {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let network = Self { folder, ports: [free_port(), free_port(), free_port()] };
        write_key(&network.path("network.key"), 99);
        fs::write(network.path("genesis.json"), genesis(1).to_string()).expect("it is written");
        for node in 1..=3 {
            fs::create_dir(network.datadir(node)).expect("a folder");
            write_key(&network.datadir(node).join("sealing.key"), key_byte(node));
            write_key(&network.datadir(node).join("transport.key"), key_byte(node));
        }
        network
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn datadir(&self, node: u64) -> PathBuf {
        self.path(&format!("n{node}"))
    }

    fn port(&self, node: u64) -> u16 {
        self.ports[node as usize - 1]
    }

    /// Starts a node with another genesis than the others, where one is named.
    fn start(&self, node: u64, genesis: Option<&Path>) -> Running {
        let log = self.path(&format!("n{node}.log"));
        let mut command = Command::new(binary("cloister"));
        command.args(["node", "--port", "0", "--tls", "off", "--quiet"]);
        command.arg("--genesis").arg(genesis.unwrap_or(&self.path("genesis.json")));
        command.arg("--datadir").arg(self.datadir(node)).arg("--network-key-file").arg(self.path("network.key"));
        command.args(["--node-id", &node.to_string()]);
        command.args(["--network-listen", &format!("127.0.0.1:{}", self.port(node))]);
        for other in (1..=3).filter(|other| *other != node) {
            let key = TransportKey::from_seed([key_byte(other); 32]).expect("a key");
            command.args(["--network-peer", &format!("{other}=localhost:{}/{}", self.port(other), key.peer_id())]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        command.stderr(File::create(&log).expect("a log file"));
        let mut child = command.spawn().expect("the node starts");
        let output = BufReader::new(child.stdout.take().expect("a pipe"));
        Running { child, output, log }
    }
}

/// A node that was started; killed when it is dropped.
struct Running {
    child: Child,
    output: BufReader<ChildStdout>,
    log: PathBuf,
}

impl Running {
    /// Waits until it serves clients, for which it must have found the others.
    fn serving(&mut self) -> RpcClient {
        let lines = (&mut self.output).lines();
        let listening =
            lines.map_while(Result::ok).find_map(|line| Some(line.strip_prefix("Listening on ")?.to_owned()));
        let Some(listening) = listening else { panic!("it ended: {}", self.log_text()) };
        let address: SocketAddr = listening.parse().expect("an address");
        RpcClient::new(address)
    }

    fn log_text(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until it has logged a line with all these words.
    fn logs(&self, words: &[&str]) {
        let deadline = Instant::now() + START_TIMEOUT;
        while !self.log_text().lines().any(|line| words.iter().all(|word| line.contains(word))) {
            assert!(Instant::now() < deadline, "{words:?} is not in the log:\n{}", self.log_text());
            sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("{}:\n{}", self.log.display(), self.log_text());
        }
    }
}

#[test]
fn three_nodes_come_up_together_and_one_that_was_killed_finds_the_others_again() {
    let network = Network::new();
    let mut nodes = [1, 2, 3].map(|node| network.start(node, None));
    for node in &mut nodes {
        let rpc = node.serving();
        assert_eq!(quantity(&rpc.expect("eth_chainId", json!([]))), CHAIN_ID);
    }
    let [_one, two, _three] = nodes;
    drop(two);
    let mut two = network.start(2, None);
    let rpc = two.serving();
    assert_eq!(rpc.expect("eth_blockNumber", json!([])), "0x0");
}

#[test]
fn a_node_with_another_genesis_gets_nothing_but_a_refusal() {
    let network = Network::new();
    let other = network.path("other.json");
    fs::write(&other, genesis(2).to_string()).expect("it is written");
    let one = network.start(1, None);
    let stranger = network.start(3, Some(&other));
    let closed = "a link to a node is closed: the handshake failed: ";
    one.logs(&[closed, "the enclave runs a chain with another genesis (genesis)", "node=3"]);
    stranger.logs(&[closed, "it refuses this node", "node=1"]);
}

#[test]
fn a_node_that_is_not_the_one_in_the_genesis_does_not_start() {
    let network = Network::new();
    write_key(&network.datadir(2).join("sealing.key"), 77);
    let mut two = network.start(2, None);
    let status = two.child.wait().expect("it ends");
    assert_eq!(status.code(), Some(15), "{}", two.log_text());
    assert!(two.log_text().contains("the genesis lists another identity for this node"), "{}", two.log_text());
}
