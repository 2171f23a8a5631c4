//! Starting the node under test, in each of its shapes, and ending it.

use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::rpc::RpcClient;
use crate::{binary_folder, tools};

/// The mnemonic every development node of the field uses.
pub const MNEMONIC: &str = "test test test test test test test test test test test junk";
/// Its chain id.
pub const CHAIN_ID: u64 = 31_337;
/// How long a node may take until it answers.
pub const START_TIMEOUT: Duration = Duration::from_secs(60);

/// The shape of the node under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// `cloister dev`: enclave and host in one process.
    Dev,
    /// `cloister node --dev`: a host process and an enclave process over a Unix socket.
    TwoProcess,
    /// anvil, for a test that compares what the two answer.
    Reference,
}

/// Whether the suites run against anvil, to prove the suites themselves (`CLOISTER_TEST_NODE=anvil`).
#[must_use]
pub fn is_reference_run() -> bool {
    std::env::var("CLOISTER_TEST_NODE").is_ok_and(|node| node == "anvil")
}

/// What differs from a plain start; names follow anvil's flags.
#[derive(Clone, Debug, Default)]
pub struct NodeOptions {
    /// `--accounts`.
    pub accounts: Option<u32>,
    /// `--balance`, in ether.
    pub balance: Option<u64>,
    /// `--chain-id`.
    pub chain_id: Option<u64>,
    /// `--block-time`, in seconds.
    pub block_time: Option<u64>,
    /// `--gas-limit` of a block.
    pub gas_limit: Option<u64>,
    /// `--hardfork`, by name.
    pub hardfork: Option<String>,
    /// `--datadir`; without it nothing is kept.
    pub datadir: Option<PathBuf>,
    /// `--port`; without it a free one.
    pub port: Option<u16>,
    /// The enclave program of [`Target::TwoProcess`], instead of this build's.
    pub enclave: Option<PathBuf>,
    /// Whatever else, as it is.
    pub extra: Vec<String>,
}

impl NodeOptions {
    fn arguments(&self, port: u16) -> Vec<String> {
        let mut arguments = vec!["--host".into(), "127.0.0.1".into(), "--port".into(), port.to_string()];
        let mut flag = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                arguments.extend([name.to_owned(), value]);
            }
        };
        flag("--mnemonic", Some(MNEMONIC.to_owned()));
        flag("--accounts", self.accounts.map(|n| n.to_string()));
        flag("--balance", self.balance.map(|n| n.to_string()));
        flag("--chain-id", self.chain_id.map(|n| n.to_string()));
        flag("--block-time", self.block_time.map(|n| n.to_string()));
        flag("--gas-limit", self.gas_limit.map(|n| n.to_string()));
        flag("--hardfork", self.hardfork.clone());
        flag("--datadir", self.datadir.as_ref().map(|path| path.display().to_string()));
        arguments.extend(self.extra.iter().cloned());
        arguments
    }
}

/// A running node. Dropping it kills it; if the test is failing, its log is shown first.
#[derive(Debug)]
pub struct Node {
    child: Child,
    address: SocketAddr,
    log: PathBuf,
    rpc: RpcClient,
    _folder: TempDir,
}

impl Node {
    /// Starts a node and waits until it answers.
    ///
    /// # Panics
    /// If it exits, or does not answer within [`START_TIMEOUT`]; with its log.
    #[must_use]
    pub fn start(target: Target, options: &NodeOptions) -> Self {
        Self::try_start(target, options).unwrap_or_else(|failure| panic!("{failure}"))
    }

    /// A node with default options.
    #[must_use]
    pub fn start_default(target: Target) -> Self {
        Self::start(target, &NodeOptions::default())
    }

    /// Starts a node that may refuse to start.
    ///
    /// # Errors
    /// Its exit status and everything it printed, if it exits before it answers.
    ///
    /// # Panics
    /// If it neither exits nor answers within [`START_TIMEOUT`].
    pub fn try_start(target: Target, options: &NodeOptions) -> Result<Self, StartFailure> {
        loop {
            let port = options.port.unwrap_or_else(free_port);
            match Self::start_on(target, options, port) {
                // Another process may have taken the free port first; with a port of the caller's choice that is the finding.
                Err(failure) if options.port.is_none() && failure.says_port_taken() => {}
                other => return other,
            }
        }
    }

    fn start_on(target: Target, options: &NodeOptions, port: u16) -> Result<Self, StartFailure> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let log = folder.path().join("node.log");
        let out = File::create(&log).expect("a log file in the temporary folder");
        let mut command = command_of(target, options.enclave.as_deref());
        command.args(options.arguments(port)).stdin(Stdio::null());
        command.stdout(out.try_clone().expect("a second handle on the log")).stderr(out);
        let child = command.spawn().unwrap_or_else(|e| panic!("cannot start {command:?}: {e}"));
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut node = Self { child, address, log, rpc: RpcClient::new(address), _folder: folder };
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            if let Some(status) = node.child.try_wait().expect("a child can be asked whether it ended") {
                return Err(StartFailure { status, output: node.log_text() });
            }
            // It says where it listens; until then whoever answers on that port may be someone else.
            let listening = node.log_text().contains(&address.to_string());
            if listening && matches!(node.rpc.try_call("eth_chainId", json!([])), Ok(Ok(_))) {
                return Ok(node);
            }
            assert!(Instant::now() < deadline, "{command:?} did not answer within {START_TIMEOUT:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its HTTP endpoint.
    #[must_use]
    pub fn http_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Its WebSocket endpoint.
    #[must_use]
    pub fn ws_url(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// Where it tells metrics, if it was given an address for them.
    ///
    /// # Panics
    /// If what it says is no address.
    #[must_use]
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        let log = self.log_text();
        let address = log.lines().find_map(|line| line.strip_prefix("Metrics on http://")?.strip_suffix("/metrics"))?;
        Some(address.parse().expect("an address"))
    }

    /// A client on a connection of the node's own.
    #[must_use]
    pub const fn rpc(&self) -> &RpcClient {
        &self.rpc
    }

    /// The process id of the host (or only) process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Everything it printed so far.
    #[must_use]
    pub fn log_text(&self) -> String {
        fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// SIGKILL: no farewell, as a power cut would do it.
    pub fn kill(mut self) {
        self.end();
    }

    /// SIGKILL while others may still hold the node: their requests fail from now on.
    pub fn kill_now(&self) {
        signal("KILL", self.child.id());
    }

    /// Waits until it ends by itself.
    ///
    /// # Panics
    /// If it does not within `patience`.
    pub fn wait(&mut self, patience: Duration) -> ExitStatus {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(status) = self.child.try_wait().expect("a child can be asked whether it ended") {
                return status;
            }
            assert!(Instant::now() < deadline, "the node did not end within {patience:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// SIGTERM, and its exit status.
    ///
    /// # Panics
    /// If it does not end within ten seconds.
    pub fn terminate(mut self) -> ExitStatus {
        signal("TERM", self.child.id());
        self.wait(Duration::from_secs(10))
    }

    fn end(&mut self) {
        // An error means it had ended already.
        let _ = self.child.kill();
        self.child.wait().expect("a killed child can be waited for");
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.end();
        if std::thread::panicking() {
            let log = self.log_text();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!("--- the node's last lines of {}", lines.len());
            for line in &lines[lines.len().saturating_sub(40)..] {
                eprintln!("{line}");
            }
        }
    }
}

/// Why a node did not start.
#[derive(Clone, Debug)]
pub struct StartFailure {
    /// How it exited.
    pub status: ExitStatus,
    /// What it printed.
    pub output: String,
}

impl StartFailure {
    fn says_port_taken(&self) -> bool {
        // Ours has an exit code for it, anvil the system's words.
        self.status.code() == Some(10) || self.output.contains("Address already in use")
    }
}

impl std::fmt::Display for StartFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the node exited before it answered ({}):\n{}", self.status, self.output)
    }
}

/// The one place that knows how each shape is started.
fn command_of(asked_for: Target, enclave: Option<&Path>) -> Command {
    let target = if is_reference_run() { Target::Reference } else { asked_for };
    match target {
        Target::Dev => {
            let mut command = dying_with_us(&binary("cloister"));
            command.arg("dev");
            command
        }
        Target::TwoProcess => {
            let mut command = dying_with_us(&binary("cloister"));
            let own = binary("cloister-enclave-dev");
            command.args(["node", "--dev", "--enclave"]).arg(enclave.unwrap_or(&own));
            command
        }
        Target::Reference => {
            assert_ne!(
                asked_for,
                Target::TwoProcess,
                "anvil has no two-process shape: run the reference with `-E 'not test(two_process)'`"
            );
            dying_with_us(&tools::native("anvil"))
        }
    }
}

/// A test that is killed cannot clean up: the kernel then ends the node for it, where util-linux offers that.
fn dying_with_us(program: &Path) -> Command {
    let setpriv = Path::new("/usr/bin/setpriv");
    if !setpriv.exists() {
        return Command::new(program);
    }
    let mut command = Command::new(setpriv);
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}

/// A binary of this build: `CLOISTER_BIN` names `cloister` (its siblings lie beside it), or the target folder holds them.
///
/// # Panics
/// If it is in neither place.
#[must_use]
pub fn binary(name: &str) -> PathBuf {
    let given = std::env::var_os("CLOISTER_BIN").map(PathBuf::from);
    let path = match given {
        Some(path) if name == "cloister" => path,
        Some(path) => path.with_file_name(name),
        None => binary_folder().join(name),
    };
    assert!(path.is_file(), "{} is not built: run `make build`, or set CLOISTER_BIN", path.display());
    path
}

/// Runs `cloister` with `arguments` to its end.
///
/// # Errors
/// What it printed, if it failed.
pub fn run_cloister(arguments: &[&str]) -> Result<String, StartFailure> {
    let output = Command::new(binary("cloister")).args(arguments).stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|e| panic!("cannot run cloister {arguments:?}: {e}"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(text) } else { Err(StartFailure { status: output.status, output: text }) }
}

/// A port on loopback that nothing listens on and that no system hands out by itself.
///
/// # Panics
/// If the machine has none.
#[must_use]
pub fn free_port() -> u16 {
    cloister_benches::node::free_port().expect("a free port on loopback")
}

/// Sends a signal by name. The shell's own `kill` needs no package and no unsafe code.
///
/// # Panics
/// If there is no such process.
pub fn signal(name: &str, process: u32) {
    let status = Command::new("sh").args(["-c", &format!("kill -{name} {process}")]).status();
    assert!(status.is_ok_and(|status| status.success()), "cannot send SIG{name} to {process}");
}

/// Processes whose parent is `process`, from /proc.
#[must_use]
pub fn children_of(process: u32) -> Vec<u32> {
    let listing =
        fs::read_dir("/proc").map(|entries| entries.filter_map(Result::ok).collect::<Vec<_>>()).unwrap_or_default();
    let ids = listing.iter().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    ids.filter(|id| parent_of(*id).is_ok_and(|parent| parent == process)).collect()
}

fn parent_of(process: u32) -> io::Result<u32> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The command's name is in brackets and may hold spaces: fields count from the last bracket.
    let fields = stat.rsplit(')').next().unwrap_or_default();
    fields
        .split_whitespace()
        .nth(1)
        .and_then(|parent| parent.parse().ok())
        .ok_or_else(|| io::Error::other("unexpected /proc format"))
}

/// Whether a process runs; one that has ended and only waits to be reaped does not.
#[must_use]
pub fn is_running(process: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    stat.rsplit(')').next().and_then(|fields| fields.split_whitespace().next()).is_some_and(|state| state != "Z")
}

/// Sockets that a process holds; 0 where there is no /proc.
#[must_use]
pub fn open_sockets(process: u32) -> usize {
    let entries =
        fs::read_dir(format!("/proc/{process}/fd")).map(|entries| entries.filter_map(Result::ok).collect::<Vec<_>>());
    let links = entries.unwrap_or_default().into_iter().filter_map(|entry| fs::read_link(entry.path()).ok());
    links.filter(|target| target.to_string_lossy().starts_with("socket:")).count()
}

/// How many files this process may open: each connection is one here, and one in the node.
#[must_use]
pub fn file_limit() -> usize {
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(1024)
}

/// Memory that a process has in use; 0 where there is no /proc.
#[must_use]
pub fn resident_bytes(process: u32) -> usize {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<usize>().ok());
    kibibytes.map_or(0, |kibibytes| kibibytes << 10)
}

/// Polls `condition` every ten milliseconds until it yields something.
///
/// # Panics
/// If it does not within `patience`.
pub fn eventually<T>(what: &str, patience: Duration, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what} did not happen within {patience:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Waits until the transaction's receipt can be read, and returns it.
///
/// # Panics
/// If that takes more than ten seconds.
#[must_use]
pub fn receipt_of(rpc: &RpcClient, hash: &Value) -> Value {
    eventually("the receipt", Duration::from_secs(10), || {
        Some(rpc.expect("eth_getTransactionReceipt", json!([hash]))).filter(|receipt| !receipt.is_null())
    })
}
