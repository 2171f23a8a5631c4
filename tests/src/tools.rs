//! Third-party tools: where `scripts/setup` put them, temporary copies of what they work on, and running them.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::node::is_reference_run;
use crate::{binary_folder, repository};

/// How long one invocation of a tool may take.
pub const TOOL_TIMEOUT: Duration = Duration::from_secs(240);

/// The npm packages of `tests/tools/package-lock.json`.
///
/// # Panics
/// If they are not installed.
#[must_use]
pub fn node_modules() -> PathBuf {
    installed("node_modules")
}

/// The npm packages of `tests/tools/hardhat3/package-lock.json`, and the Node that they were installed under.
///
/// # Panics
/// If they are not installed.
#[must_use]
pub fn hardhat3() -> (PathBuf, PathBuf) {
    (installed("hardhat3"), installed("node-hardhat3").join("node"))
}

/// The Python interpreter with the packages of `tests/tools/python/requirements.txt`.
///
/// # Panics
/// If they are not installed.
#[must_use]
pub fn python() -> PathBuf {
    installed("venv").join("bin/python")
}

fn installed(name: &str) -> PathBuf {
    let path = repository().join(".tools").join(name);
    assert!(path.exists(), "{} is missing: run `make setup` once", path.display());
    path
}

/// Chromium: where `CHROMIUM` says, or where Debian puts it. Nothing where it is missing, except on CI.
///
/// # Panics
/// On CI, if it is missing.
#[must_use]
pub fn chromium() -> Option<PathBuf> {
    let given = std::env::var_os("CHROMIUM").map(PathBuf::from);
    let path = given.unwrap_or_else(|| "/usr/bin/chromium".into());
    let is_there = path.is_file();
    let advice = "install Debian's package chromium, or set CHROMIUM to the program";
    assert!(is_there || std::env::var_os("CI").is_none(), "{} is missing: {advice}", path.display());
    if !is_there {
        eprintln!("skipped, {} is missing: {advice}", path.display());
    }
    is_there.then_some(path)
}

/// One of Foundry's programs: npm's on Linux on x86-64, elsewhere whatever the PATH has.
#[must_use]
pub fn native(name: &str) -> PathBuf {
    let pinned = node_modules().join(format!("@foundry-rs/{name}-linux-amd64/bin/{name}"));
    if pinned.is_file() { pinned } else { name.into() }
}

/// What a tool said.
#[derive(Clone, Debug)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Output {
    /// Standard output as JSON.
    ///
    /// # Panics
    /// If it is not JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|e| panic!("not JSON ({e}): {}\n{}", self.stdout, self.stderr))
    }

    /// Standard output without white space around it.
    #[must_use]
    pub fn text(&self) -> &str {
        self.stdout.trim()
    }
}

/// One invocation of a tool.
#[derive(Clone, Debug)]
pub struct Tool {
    program: PathBuf,
    folder: PathBuf,
    environment: BTreeMap<OsString, OsString>,
}

impl Tool {
    /// A program to run in `folder`.
    #[must_use]
    pub fn new(program: impl Into<PathBuf>, folder: impl Into<PathBuf>) -> Self {
        let mut tool = Self { program: program.into(), folder: folder.into(), environment: BTreeMap::new() };
        // No tool may ask, colour, phone home or wait for a terminal.
        for (name, value) in [
            ("CI", "true"),
            ("NO_COLOR", "1"),
            ("HARDHAT_DISABLE_TELEMETRY_PROMPT", "true"),
            ("FOUNDRY_DISABLE_NIGHTLY_WARNING", "1"),
        ] {
            tool = tool.with(name, value);
        }
        // What anvil does otherwise is skipped there, by name, in the suites' own words.
        if is_reference_run() { tool.with("REFERENCE", "anvil") } else { tool }
    }

    /// Sets a variable of its environment.
    #[must_use]
    pub fn with(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.environment.insert(name.as_ref().to_owned(), value.as_ref().to_owned());
        self
    }

    /// Runs it to its end.
    ///
    /// # Panics
    /// If it cannot be started or takes longer than [`TOOL_TIMEOUT`].
    pub fn run<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Output {
        let arguments: Vec<OsString> = arguments.into_iter().map(|a| a.as_ref().to_owned()).collect();
        // Files, not pipes: nothing blocks however much it prints.
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (out, err) = (folder.path().join("out"), folder.path().join("err"));
        let mut command = Command::new(&self.program);
        command.args(&arguments).current_dir(&self.folder).envs(&self.environment).stdin(Stdio::null());
        command
            .stdout(File::create(&out).expect("a file for the output"))
            .stderr(File::create(&err).expect("a file for the errors"));
        let mut child = command.spawn().unwrap_or_else(|e| panic!("cannot run {}: {e}", self.program.display()));
        let deadline = Instant::now() + TOOL_TIMEOUT;
        let status = loop {
            if let Some(status) = child.try_wait().expect("a child can be asked whether it ended") {
                break status;
            }
            if Instant::now() >= deadline {
                child.kill().expect("a child can be killed");
                panic!(
                    "{} {arguments:?} took longer than {TOOL_TIMEOUT:?}:\n{}\n{}",
                    self.program.display(),
                    read(&out),
                    read(&err)
                );
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        Output { status, stdout: read(&out), stderr: read(&err) }
    }

    /// Starts it, its output unseen.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    pub fn start<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Running {
        let mut command = Command::new(&self.program);
        command.args(arguments).current_dir(&self.folder).envs(&self.environment);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Running(command.spawn().unwrap_or_else(|e| panic!("cannot run {}: {e}", self.program.display())))
    }

    /// Runs it and requires success.
    ///
    /// # Panics
    /// If it fails; with all it said.
    pub fn succeed<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Output {
        let arguments: Vec<OsString> = arguments.into_iter().map(|a| a.as_ref().to_owned()).collect();
        let output = self.run(&arguments);
        let name = self.program.display();
        assert!(
            output.status.success(),
            "{name} {arguments:?} failed ({}):\n{}\n{}",
            output.status,
            output.stdout,
            output.stderr
        );
        output
    }

    /// Runs it and requires failure.
    ///
    /// # Panics
    /// If it succeeds.
    pub fn fail<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Output {
        let arguments: Vec<OsString> = arguments.into_iter().map(|a| a.as_ref().to_owned()).collect();
        let output = self.run(&arguments);
        assert!(!output.status.success(), "{} {arguments:?} succeeded:\n{}", self.program.display(), output.stdout);
        output
    }
}

/// A tool that runs. Dropping it kills it.
#[derive(Debug)]
pub struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // An error means it had ended already.
        let _ = self.0.kill();
        self.0.wait().expect("a killed child can be waited for");
    }
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}

/// A temporary copy of what a tool works on.
#[derive(Debug)]
pub struct Workspace(TempDir);

impl Workspace {
    /// A copy of `contracts/` with its npm packages linked, its build output included: Foundry compiles nothing again.
    ///
    /// # Panics
    /// If it cannot be made.
    #[must_use]
    pub fn contracts() -> Self {
        let workspace = Self::empty();
        copy_folder(&compiled_contracts(), workspace.path());
        workspace.link_modules();
        workspace
    }

    /// A copy of `tests/tools/<name>` with npm packages linked.
    ///
    /// # Panics
    /// If it cannot be made.
    #[must_use]
    pub fn of_suite(name: &str) -> Self {
        let workspace = Self::empty();
        copy_folder(&repository().join("tests/tools").join(name), workspace.path());
        workspace.link_modules();
        workspace
    }

    /// A copy of a folder with these npm packages linked.
    ///
    /// # Panics
    /// If it cannot be made.
    #[must_use]
    pub fn copy_of(folder: &Path, modules: &Path) -> Self {
        let workspace = Self::empty();
        copy_folder(folder, workspace.path());
        link(modules, &workspace.path().join("node_modules"));
        workspace
    }

    fn empty() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Copies a folder of the repository into it.
    ///
    /// # Panics
    /// If it cannot be copied.
    pub fn add(&self, from: &str, to: &str) {
        copy_folder(&repository().join(from), &self.path().join(to));
    }

    fn link_modules(&self) {
        link(&node_modules(), &self.path().join("node_modules"));
    }

    /// A tool that runs in it.
    #[must_use]
    pub fn tool(&self, program: impl Into<PathBuf>) -> Tool {
        Tool::new(program, self.path())
    }

    /// One of Foundry's programs, with npm's compiler.
    #[must_use]
    pub fn foundry(&self, name: &str) -> Tool {
        with_solc(self.tool(native(name)))
    }
}

fn with_solc(tool: Tool) -> Tool {
    tool.with("FOUNDRY_SOLC", repository().join("scripts/solc-wrapper")).with("CLOISTER_NODE_MODULES", node_modules())
}

/// Creates a symbolic link.
///
/// # Panics
/// If it cannot be created.
pub fn link(target: &Path, at: &Path) {
    let target = target.canonicalize().unwrap_or_else(|e| panic!("{}: {e}", target.display()));
    std::os::unix::fs::symlink(&target, at).unwrap_or_else(|e| panic!("cannot link {}: {e}", at.display()));
}

/// `contracts/`, compiled once for all tests of one state of its sources.
///
/// # Panics
/// If it does not compile.
#[must_use]
pub fn compiled_contracts() -> PathBuf {
    compiled("contracts", &repository().join("contracts"))
}

fn compiled(name: &str, source: &Path) -> PathBuf {
    let lock = repository().join("tests/tools/package-lock.json");
    let sources = [source.to_owned(), lock, repository().join("scripts/solc-wrapper")];
    built_once(name, &sources, |building| {
        copy_folder(source, building);
        link(&node_modules(), &building.join("node_modules"));
        with_solc(Tool::new(native("forge"), building)).succeed(["build"]);
        fs::remove_file(building.join("node_modules")).expect("the link made above");
    })
}

/// A folder that `build` fills, once for all tests of one state of `sources`.
///
/// # Panics
/// If it cannot be made.
pub fn built_once(name: &str, sources: &[PathBuf], build: impl FnOnce(&Path)) -> PathBuf {
    let mut fingerprint = Vec::new();
    for source in sources {
        collect(source, &mut fingerprint);
    }
    let digest = hex::encode(&alloy_primitives::keccak256(&fingerprint)[..8]);
    let finished = binary_folder().join(format!("cloister-test-{name}")).join(digest);
    if finished.is_dir() {
        return finished;
    }
    // Each test is a process of its own: all may build, one wins the rename.
    let parent = finished.parent().expect("named above");
    fs::create_dir_all(parent).expect("a folder in the target folder");
    let building = tempfile::tempdir_in(parent).expect("a temporary folder in the target folder");
    build(building.path());
    let building = building.keep();
    if fs::rename(&building, &finished).is_err() {
        assert!(finished.is_dir(), "cannot move what was built to {}", finished.display());
        fs::remove_dir_all(&building).expect("what was built twice can be removed");
    }
    finished
}

/// Compiled code and interface of an example contract.
#[derive(Clone, Debug)]
pub struct Artifact {
    /// The interface in Solidity's JSON.
    pub abi: Value,
    /// Creation code, without constructor arguments.
    pub bytecode: Vec<u8>,
}

/// Foundry's artifact of an example contract.
///
/// # Panics
/// If there is none of that name.
#[must_use]
pub fn artifact(contract: &str) -> Artifact {
    read_artifact(&compiled_contracts().join(format!("out/{contract}.sol/{contract}.json")))
}

/// Where the artifact of a contract in `tests/contracts` is.
///
/// # Panics
/// If they do not compile.
#[must_use]
pub fn test_artifact_path(file: &str, contract: &str) -> PathBuf {
    compiled("test-contracts", &repository().join("tests/contracts")).join(format!("out/{file}.sol/{contract}.json"))
}

/// Foundry's artifact of a contract in `tests/contracts`.
///
/// # Panics
/// If there is none of that name.
#[must_use]
pub fn test_artifact(file: &str, contract: &str) -> Artifact {
    read_artifact(&test_artifact_path(file, contract))
}

fn read_artifact(path: &Path) -> Artifact {
    let text = fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let json: Value = serde_json::from_slice(&text).expect("an artifact is JSON");
    let bytecode = json["bytecode"]["object"].as_str().expect("an artifact has creation code");
    Artifact {
        abi: json["abi"].clone(),
        bytecode: hex::decode(bytecode.trim_start_matches("0x")).expect("creation code is hex"),
    }
}

/// Names and contents below `path`, in order, without build output.
fn collect(path: &Path, into: &mut Vec<u8>) {
    if path.is_dir() {
        for entry in entries_of(path) {
            collect(&entry, into);
        }
    } else {
        into.extend_from_slice(path.to_string_lossy().as_bytes());
        into.extend_from_slice(&fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display())));
    }
}

/// Copies a folder with all that is in it.
///
/// # Panics
/// If it cannot be copied.
pub fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap_or_else(|e| panic!("{}: {e}", to.display()));
    for entry in entries_of(from) {
        let target = to.join(entry.file_name().expect("an entry has a name"));
        if entry.is_dir() {
            copy_folder(&entry, &target);
        } else {
            fs::copy(&entry, &target).unwrap_or_else(|e| panic!("cannot copy {}: {e}", entry.display()));
        }
    }
}

/// What is in a folder, sorted, without what tools leave in `contracts/` when a person runs them there.
fn entries_of(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.filter_map(Result::ok).map(|entry| entry.path()).collect();
    let in_repository = folder.starts_with(repository());
    paths.retain(|path| {
        let name = path.file_name().unwrap_or_default();
        !(in_repository
            && folder.ends_with("contracts")
            && ["out", "cache", "broadcast", "node_modules"].iter().any(|left| name == *left))
    });
    paths.sort();
    paths
}
