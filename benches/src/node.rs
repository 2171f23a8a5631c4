//! Starting and ending the nodes that are measured.

use std::fs::{self, File, OpenOptions};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use eyre::{Result, WrapErr, bail, ensure, eyre};

use crate::http::Endpoint;
use crate::probe::Group;
use crate::rpc::Client;

/// How long a node may take to answer its first request.
const START_TIMEOUT: Duration = Duration::from_secs(120);
/// Ports that systems do not hand out by themselves: one stays free until the node that it is for listens, and while that is down.
const PORTS: std::ops::Range<u16> = 20_000..32_000;
/// How long a node may take to end after SIGTERM.
const STOP_TIMEOUT: Duration = Duration::from_secs(60);

/// A node process started here, in a process group of its own; dropping it ends the group.
#[derive(Debug)]
pub struct Node {
    child: Child,
    /// Kills the group when this process ends, however it ends.
    guard: Child,
    /// Where it answers.
    pub endpoint: Endpoint,
    /// Its processes.
    pub group: Group,
    /// From the start of the process to the first answer.
    pub started_in: Duration,
    start: Instant,
    log: PathBuf,
}

impl Node {
    /// Starts `program` with `arguments` and waits until `port` answers `eth_chainId`. What the
    /// node prints goes to `log`.
    ///
    /// # Errors
    /// When the program cannot be started, ends, or does not answer within two minutes; the end of
    /// its log is in the message.
    pub fn start(program: &Path, arguments: &[String], port: u16, log: &Path) -> Result<Self> {
        Self::reached(program, arguments, port, log, Ok)
    }

    /// The same for a node that answers in another way than plain HTTP, once it has said in which.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn reached(
        program: &Path,
        arguments: &[String],
        port: u16,
        log: &Path,
        way: impl Fn(Endpoint) -> Result<Endpoint>,
    ) -> Result<Self> {
        File::create(log).wrap_err_with(|| format!("cannot write {}", log.display()))?;
        let mut node = Self::spawn(program, arguments, port, log)?;
        node.answers(START_TIMEOUT, way)?;
        Ok(node)
    }

    /// Starts `program` without waiting for it, for nodes that serve only once they have found each other. What it prints is
    /// added to `log`.
    ///
    /// # Errors
    /// When the program cannot be started, or the log cannot be written.
    pub fn spawn(program: &Path, arguments: &[String], port: u16, log: &Path) -> Result<Self> {
        let output = OpenOptions::new().create(true).append(true).open(log);
        let output = output.wrap_err_with(|| format!("cannot write {}", log.display()))?;
        let child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .process_group(0)
            .spawn()
            .wrap_err_with(|| format!("cannot start {}", program.display()))?;
        let group = Group::of(child.id())?;
        Ok(Self {
            guard: guard(child.id())?,
            child,
            endpoint: Endpoint::local(port),
            group,
            start: Instant::now(),
            started_in: Duration::ZERO,
            log: log.to_owned(),
        })
    }

    /// Waits until it answers `eth_chainId` over plain HTTP, or in another `way` once it has said in which.
    ///
    /// # Errors
    /// When it ends, or does not answer in time; the end of its log is in the message.
    pub fn answers(&mut self, patience: Duration, way: impl Fn(Endpoint) -> Result<Endpoint>) -> Result<()> {
        let port = self.endpoint.port();
        loop {
            if let Ok(endpoint) = way(Endpoint::local(port))
                && Client::connect(&endpoint).is_ok_and(|mut client| client.chain_id().is_ok())
            {
                self.endpoint = endpoint;
                self.started_in = self.start.elapsed();
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("the node on port {port} ended ({status}): {}", tail(&self.log));
            }
            if self.start.elapsed() > patience {
                bail!("the node on port {port} does not answer: {}", tail(&self.log));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The exit code, once it has ended.
    ///
    /// # Errors
    /// When its state cannot be read.
    pub fn ended(&mut self) -> Result<Option<i32>> {
        Ok(self.child.try_wait()?.and_then(|status| status.code()))
    }

    /// SIGKILL: no farewell, as a power cut would do it. An enclave in a process of its own ends when its link does.
    pub fn kill(mut self) {
        // At once; what is done when it is dropped begins with a shell.
        let _ = self.child.kill();
        drop(self);
    }

    /// Asks the node to end, and waits for it.
    ///
    /// # Errors
    /// When it has not ended within a minute (it is killed then).
    pub fn stop(mut self) -> Result<()> {
        signal(self.child.id(), "TERM")?;
        let start = Instant::now();
        while start.elapsed() < STOP_TIMEOUT {
            if self.child.try_wait()?.is_some() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        bail!("the node did not end within a minute of SIGTERM")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = signal(self.child.id(), "KILL");
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
        let _ = self.guard.kill();
        let _ = self.guard.wait();
    }
}

// The shell's own `kill` is everywhere; calling libc's would take unsafe code. The form with `-s`
// is the one that dash understands.

/// Sends a signal to the process group that `leader` leads.
fn signal(leader: u32, name: &str) -> Result<()> {
    let status = Command::new("sh").args(["-c", &format!("kill -s {name} -- -{leader}")]).status()?;
    ensure!(status.success(), "cannot send SIG{name} to group {leader}");
    Ok(())
}

/// A shell that waits for its standard input to close, which happens when this process ends, and
/// then kills the group that `leader` leads: no node outlives an interrupted run.
fn guard(leader: u32) -> Result<Child> {
    Command::new("sh")
        .args(["-c", &format!("read _; kill -s KILL -- -{leader}")])
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .wrap_err("cannot start a shell")
}

fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(8)..].join("\n")
}

/// A TCP port on loopback that nothing listens on, and that this process has not been given before.
///
/// # Errors
/// When all are taken.
pub fn free_port() -> Result<u16> {
    static GIVEN: AtomicU32 = AtomicU32::new(0);
    let count = u32::from(PORTS.end - PORTS.start);
    // Processes begin in different places, as those that run beside each other have numbers near each other.
    let first = std::process::id().wrapping_mul(61);
    for _ in 0..count {
        let next = first.wrapping_add(GIVEN.fetch_add(1, Ordering::Relaxed)) % count;
        let port = PORTS.start + u16::try_from(next)?;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no port between {} and {} is free", PORTS.start, PORTS.end)
}

/// Finds anvil: `ANVIL_BIN`, the tools folder that `make setup` fills, then `PATH`.
///
/// # Errors
/// When it is nowhere.
pub fn find_anvil() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("ANVIL_BIN") {
        return Ok(path.into());
    }
    let tools = std::env::var_os("CLOISTER_TOOLS_DIR").map_or_else(
        || {
            let home = std::env::var_os("HOME").unwrap_or_default();
            Path::new(&home).join(".cache/cloister/tools")
        },
        PathBuf::from,
    );
    find_below(&tools, 5)
        .or_else(|| on_path("anvil"))
        .ok_or_else(|| eyre!("anvil is neither in {} nor in PATH; set ANVIL_BIN", tools.display()))
}

/// The native binary in one of npm's per-platform packages: the `anvil` script beside them would
/// put a Node process into the measured group.
fn find_below(folder: &Path, depth: usize) -> Option<PathBuf> {
    for entry in fs::read_dir(folder).ok()?.flatten() {
        let path = entry.path();
        let name = entry.file_name();
        if name.to_string_lossy().starts_with("anvil-linux-") {
            let binary = path.join("bin/anvil");
            if binary.is_file() {
                return Some(binary);
            }
        }
        if depth > 0
            && entry.file_type().is_ok_and(|kind| kind.is_dir())
            && let Some(found) = find_below(&path, depth - 1)
        {
            return Some(found);
        }
    }
    None
}

fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|candidate| candidate.is_file())
}

/// Finds cloister: `CLOISTER_BIN`, else beside this program.
///
/// # Errors
/// When it is in neither place.
pub fn find_cloister() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("CLOISTER_BIN") {
        return Ok(path.into());
    }
    let beside = std::env::current_exe()?.with_file_name("cloister");
    if beside.is_file() {
        return Ok(beside);
    }
    Err(eyre!("{} is not built; set CLOISTER_BIN", beside.display()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_ends_is_reported_with_its_last_words() {
        let folder = tempfile::tempdir().unwrap();
        let arguments = ["-c".to_owned(), "echo port taken; exit 3".to_owned()];
        let log = folder.path().join("log");
        let error = Node::start(Path::new("/bin/sh"), &arguments, free_port().unwrap(), &log).unwrap_err().to_string();
        assert!(error.contains("port taken") && error.contains('3'), "{error}");
    }

    /// A shell that answers nothing; `Node` without the wait for an answer.
    fn silent_node() -> (Node, PathBuf) {
        let child = Command::new("sh").args(["-c", "sleep 100 & sleep 100"]).process_group(0).spawn().unwrap();
        let node = Node {
            group: Group::of(child.id()).unwrap(),
            guard: guard(child.id()).unwrap(),
            endpoint: Endpoint::local(1),
            start: Instant::now(),
            started_in: Duration::ZERO,
            log: PathBuf::new(),
            child,
        };
        let folder = PathBuf::from(format!("/proc/{}", node.child.id()));
        (node, folder)
    }

    #[test]
    fn stopping_ends_the_whole_group() {
        let (node, folder) = silent_node();
        let group = node.group;
        assert!(folder.exists());
        node.stop().unwrap();
        assert!(!folder.exists());
        let (node, folder) = silent_node();
        drop(node);
        assert!(!folder.exists());
        // A killed member may stay a zombie until init reaps it.
        for pid in group.members() {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            assert!(stat.is_empty() || stat.contains(") Z "), "{stat}");
        }
    }

    #[test]
    fn the_guard_kills_the_group_when_its_input_closes() {
        let (mut node, _) = silent_node();
        drop(node.guard.stdin.take());
        let status = node.child.wait().unwrap();
        assert!(!status.success());
    }

    #[test]
    fn finds_the_native_anvil_below_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let package = folder.path().join("node_modules/@foundry-rs/anvil-linux-amd64/bin");
        fs::create_dir_all(&package).unwrap();
        assert_eq!(find_below(folder.path(), 5), None);
        fs::write(package.join("anvil"), "").unwrap();
        assert_eq!(find_below(folder.path(), 5), Some(package.join("anvil")));
    }
}
