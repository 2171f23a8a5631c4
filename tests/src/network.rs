//! A network of several nodes, set up by the commands that its operators type.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::node::{CHAIN_ID, START_TIMEOUT, binary, eventually, free_port, run_cloister, signal};
use crate::rpc::RpcClient;

/// The files of a network: a folder for each node, with a configuration that finds the others.
#[derive(Debug)]
pub struct Network {
    folder: TempDir,
    names: Vec<String>,
}

fn run(arguments: &[&str]) -> String {
    run_cloister(arguments).unwrap_or_else(|failure| panic!("{arguments:?}: {failure}"))
}

impl Network {
    /// Makes keys, genesis and configurations; nodes have the numbers from 1 in the order of their names.
    ///
    /// # Panics
    /// If a command fails.
    #[must_use]
    pub fn new(names: &[&str], genesis_flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let network = Self { folder, names: names.iter().map(|name| (*name).to_owned()).collect() };
        // Two lines, and what to do with them.
        let made: Vec<_> =
            names.iter().map(|name| run(&["init", "--datadir", &network.name(name), "--name", name])).collect();
        let (identities, peer_ids): (Vec<_>, Vec<_>) = made.iter().map(|text| two_lines(text)).unzip();
        let (genesis, chain_id) = (network.name("genesis.json"), CHAIN_ID.to_string());
        let mut new = vec!["genesis", "new", "--chain-id", &chain_id, "--timestamp", "1", "--out", &genesis];
        identities.iter().for_each(|identity| new.extend(["--node", identity]));
        run(&[&new, genesis_flags].concat());
        let addresses: Vec<_> = names.iter().map(|_| format!("127.0.0.1:{}", free_port())).collect();
        for (own, name) in names.iter().enumerate() {
            let datadir = network.name(name);
            run(&["init", "--datadir", &datadir, "--genesis", &genesis, "--name", name]);
            write_key(&network.datadir(own + 1).join("network.key"), &[99; 32]);
            let file = network.config(own + 1);
            let mut config = fs::read_to_string(&file).expect("the configuration");
            config = config.replace("0.0.0.0:30303", &addresses[own]).replace("port = 8545", "port = 0");
            for (other, (address, peer_id)) in addresses.iter().zip(&peer_ids).enumerate() {
                if other != own {
                    let id = other + 1;
                    config +=
                        &format!("\n[[network.peers]]\nid = {id}\naddress = \"{address}\"\npeer_id = \"{peer_id}\"\n");
                }
            }
            fs::write(file, config).expect("it is written");
        }
        network
    }

    fn name(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// A file beside the folders of the nodes.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The data folder of a node.
    #[must_use]
    pub fn datadir(&self, node: usize) -> PathBuf {
        self.path(&self.names[node - 1])
    }

    /// The configuration of a node.
    #[must_use]
    pub fn config(&self, node: usize) -> PathBuf {
        self.datadir(node).join("cloister.toml")
    }

    /// Starts a node by its configuration, in the clear, with metrics and logs in JSON; and with these flags.
    ///
    /// # Panics
    /// If the program is not there.
    #[must_use]
    pub fn start(&self, node: usize, flags: &[&str]) -> Member {
        let log = self.path(&format!("{}.log", self.names[node - 1]));
        let mut command = Command::new(binary("cloister"));
        command.arg("node").arg("--config").arg(self.config(node)).args(["--tls", "off", "--json-logs"]);
        command.args(["--metrics-address", "127.0.0.1:0"]).args(flags);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(File::create(&log).expect("a log file"));
        let child = command.spawn().expect("the node starts");
        Member { child, log, place: None }
    }
}

fn two_lines(text: &str) -> (&str, &str) {
    let mut lines = text.lines();
    lines.next().zip(lines.next()).unwrap_or_else(|| panic!("no two lines: {text}"))
}

/// Writes a key that only its owner can read into a new file.
///
/// # Panics
/// If there is one already.
pub fn write_key(path: &Path, key: &[u8]) {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).expect("a file");
    file.write_all(key).expect("it is written");
}

/// A node of a network, as a process; killed when it is dropped.
#[derive(Debug)]
pub struct Member {
    child: Child,
    log: PathBuf,
    place: Option<(SocketAddr, SocketAddr)>,
}

impl Member {
    /// Waits until it serves clients, for which a majority must be there.
    ///
    /// # Panics
    /// If it ends instead; with its log.
    pub fn serving(&mut self) -> RpcClient {
        RpcClient::new(self.place().0)
    }

    /// Where it serves clients, and where it tells metrics.
    ///
    /// # Panics
    /// As [`Self::serving`].
    pub fn place(&mut self) -> (SocketAddr, SocketAddr) {
        if let Some(place) = self.place {
            return place;
        }
        let output = BufReader::new(self.child.stdout.take().expect("a pipe"));
        let ready = output.lines().map_while(Result::ok).find_map(|line| {
            let line: Value = serde_json::from_str(&line).ok()?;
            (line["event"] == "ready").then_some(line)
        });
        let Some(ready) = ready else { panic!("it ended: {}", self.log_text()) };
        let address = |key: &str| ready[key].as_str().and_then(|text| text.parse().ok()).expect("an address");
        *self.place.insert((address("endpoint"), address("metrics")))
    }

    /// Everything it has logged.
    #[must_use]
    pub fn log_text(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until it has logged an event of this name for which this holds.
    ///
    /// # Panics
    /// If it does not.
    pub fn logs(&self, event: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let wanted = format!("{event} in the log of {}", self.log.display());
        eventually(&wanted, START_TIMEOUT, || {
            let text = self.log_text();
            let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            lines.into_iter().find(|line| line["event"] == event && holds(line))
        })
    }

    /// Ends it as a supervisor does, and waits until it has ended in good order.
    ///
    /// # Panics
    /// If it does not.
    pub fn terminate(mut self) {
        signal("TERM", self.child.id());
        let ended = || self.child.try_wait().ok().flatten();
        let status = eventually("the end of the node", Duration::from_secs(30), ended);
        assert!(status.success(), "{status}");
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("{}:\n{}", self.log.display(), self.log_text());
        }
    }
}
