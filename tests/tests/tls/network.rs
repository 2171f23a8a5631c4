//! A consortium's network of one node, in two processes, as `cloister node` starts it.

use std::fs::File;
use std::io::{BufRead, BufReader, Read as _, Seek as _, SeekFrom};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Mutex;

use cloister_tests::node::{CHAIN_ID, StartFailure, binary};
use cloister_tests::repository;
use cloister_tests::transactions::signer;
use serde_json::{Value, json};
use tempfile::TempDir;

/// What clients sign in to.
pub(crate) const SITE: &str = "node.example";

/// A genesis and a data folder.
pub(crate) struct Network {
    folder: TempDir,
}

impl Network {
    /// The example network, confidential.
    pub(crate) fn confidential() -> Self {
        Self::with(json!({}))
    }

    /// The same with more rules in `config.cloister`.
    pub(crate) fn with(rules: Value) -> Self {
        let example = std::fs::read(repository().join("genesis/consortium.json")).expect("the example");
        let mut genesis: Value = serde_json::from_slice(&example).expect("JSON");
        genesis["config"]["chainId"] = json!(CHAIN_ID);
        let ours = &mut genesis["config"]["cloister"];
        ours["confidentiality"] = json!("on");
        ours["signIn"] = json!({ "domain": SITE });
        for (key, value) in rules.as_object().expect("an object") {
            ours[key] = value.clone();
        }
        // Ten thousand ether.
        genesis["alloc"][signer(0).address().to_string()] = json!({ "balance": "0x21e19e0c9bab2400000" });
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("genesis.json"), genesis.to_string()).expect("it is written");
        Self { folder }
    }

    fn file(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    pub(crate) fn genesis(&self) -> String {
        self.file("genesis.json")
    }
}

/// A running node; killed when it is dropped.
#[derive(Debug)]
pub(crate) struct TlsNode {
    child: Mutex<Child>,
    id: u32,
    pub(crate) address: SocketAddr,
    log: PathBuf,
    manifest: String,
    folder: TempDir,
    _output: BufReader<ChildStdout>,
}

impl TlsNode {
    pub(crate) fn start(network: &Network, more: &[&str]) -> Self {
        Self::try_start(network, more).unwrap_or_else(|failure| panic!("{failure}"))
    }

    pub(crate) fn try_start(network: &Network, more: &[&str]) -> Result<Self, StartFailure> {
        let folder = tempfile::tempdir().expect("a folder");
        let manifest = folder.path().join("network.json").display().to_string();
        let (genesis, datadir) = (network.genesis(), network.file("data"));
        let mut arguments =
            vec!["node", "--genesis", &genesis, "--datadir", &datadir, "--manifest-out", &manifest, "--quiet"];
        if !more.contains(&"--port") {
            arguments.extend(["--port", "0"]);
        }
        arguments.extend(more);
        Self::run(&arguments, folder)
    }

    /// Any node that is started with these arguments.
    pub(crate) fn of(arguments: &[&str], folder: TempDir) -> Self {
        Self::run(arguments, folder).unwrap_or_else(|failure| panic!("{failure}"))
    }

    fn run(arguments: &[&str], folder: TempDir) -> Result<Self, StartFailure> {
        let log = folder.path().join("log");
        let mut command = Command::new(binary("cloister"));
        command.args(arguments).stdout(Stdio::piped()).stderr(File::create(&log).expect("a log file"));
        let mut child = command.spawn().expect("the node starts");
        let mut output = BufReader::new(child.stdout.take().expect("a pipe"));
        let Some(address) = announced(&mut output) else {
            let status = child.wait().expect("it ends");
            return Err(StartFailure { status, output: std::fs::read_to_string(&log).unwrap_or_default() });
        };
        let manifest = folder.path().join("network.json").display().to_string();
        let id = child.id();
        Ok(Self { child: Mutex::new(child), id, address, log, manifest, folder, _output: output })
    }

    pub(crate) fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    pub(crate) const fn id(&self) -> u32 {
        self.id
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The file that it wrote for clients.
    pub(crate) fn manifest(&self) -> String {
        self.manifest.clone()
    }

    /// A manifest that differs in one place.
    pub(crate) fn manifest_with(&self, place: &str, value: Value) -> String {
        let mut manifest: Value =
            serde_json::from_slice(&std::fs::read(&self.manifest).expect("it is there")).expect("JSON");
        let (parent, key) = place.rsplit_once('/').expect("a path");
        manifest.pointer_mut(parent).expect("the place")[key] = value;
        let file = self.folder.path().join(format!("not{}.json", place.replace('/', "-")));
        std::fs::write(&file, manifest.to_string()).expect("it is written");
        file.display().to_string()
    }

    /// Waits for it to end by itself.
    pub(crate) fn wait(&self) {
        let status = self.child.lock().expect("no panic").wait().expect("it ends");
        assert!(status.success(), "{status}: {}", self.log());
    }
}

impl Drop for TlsNode {
    fn drop(&mut self) {
        if let Ok(mut child) = self.child.lock() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Where a node says that it listens; `None` if it ends before.
fn announced(output: &mut impl BufRead) -> Option<SocketAddr> {
    loop {
        let mut line = String::new();
        if output.read_line(&mut line).expect("it can be read") == 0 {
            return None;
        }
        if let Some(address) = line.trim().strip_prefix("Listening on ") {
            return Some(address.parse().expect("an address"));
        }
    }
}

/// Shows all memory of a process that can be read, in pieces that overlap; how many bytes that is.
pub(crate) fn search_memory(process: u32, look: &mut impl FnMut(&[u8])) -> u64 {
    const PIECE: usize = 1 << 20;
    const OVERLAP: usize = 1 << 10;
    let maps = std::fs::read_to_string(format!("/proc/{process}/maps")).expect("what a child has mapped");
    let mut memory = File::open(format!("/proc/{process}/mem")).expect("the memory of a child");
    let mut total = 0;
    for line in maps.lines().filter(|line| !line.contains("[v")) {
        let mut fields = line.split_whitespace();
        let (range, rights) = (fields.next().unwrap_or_default(), fields.next().unwrap_or_default());
        let bounds = range.split_once('-').map(|(start, end)| [start, end].map(|text| u64::from_str_radix(text, 16)));
        let Some([Ok(start), Ok(end)]) = bounds.filter(|_| rights.starts_with("rw")) else { continue };
        let mut piece = Vec::new();
        if memory.seek(SeekFrom::Start(start)).is_err() {
            continue;
        }
        let mut rest = (&mut memory).take(end - start);
        loop {
            let kept = piece.len().min(OVERLAP);
            piece.drain(..piece.len() - kept);
            // A region may go away, or not let itself be read.
            let read = (&mut rest).take(PIECE as u64).read_to_end(&mut piece).unwrap_or(0);
            if read == 0 {
                break;
            }
            total += read as u64;
            // Most of it was never written to.
            if piece.iter().any(|byte| *byte != 0) {
                look(&piece);
            }
        }
    }
    total
}

/// Whether bytes are records of TLS from the first to the last (RFC 8446, 5.1); the last may be cut off.
pub(crate) fn assert_records_only(mut bytes: &[u8]) {
    while let [kind, 3, _, high, low, rest @ ..] = bytes {
        assert!((20..=23).contains(kind), "a record of the kind {kind}");
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        assert!(length <= (1 << 14) + 256, "a record of {length} bytes");
        bytes = rest.get(length..).unwrap_or_default();
    }
    assert!(bytes.len() < 5, "{} bytes are no record: {:?}", bytes.len(), &bytes[..5]);
}
