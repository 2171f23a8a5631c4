//! The house's dependency rules as data, and a checker that names every edge that breaks one.
//!
//! The rules are those of the architecture page: dependencies point down, the wall between `trusted/*` and `host/*` is crossed only by
//! words of `boundary`, and what is measured links only what it must.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde::Deserialize;

use crate::repository;

/// Which side of the wall a package is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Inside the enclave.
    Trusted,
    /// Around it.
    Host,
    /// Both sides speak it, or a client does.
    Common,
    /// A binary, or a package of tests.
    Top,
}

/// One row of the table: a package, its side, and the workspace packages it may depend on.
pub type Row = (&'static str, Side, &'static [&'static str]);

use Side::{Common, Host, Top, Trusted};

/// Every package of the workspace. A new package needs a row; a new edge needs a word in it, and a reason in the architecture page.
pub const HOUSE: &[Row] = &[
    ("cloister-primitives", Common, &[]),
    ("cloister-boundary", Common, &["cloister-primitives"]),
    ("cloister-attestation", Common, &["cloister-primitives"]),
    // A client seals with the ciphers that the enclave opens with: there is one place that names them.
    ("cloister-client", Common, &["cloister-attestation", "cloister-crypto", "cloister-primitives"]),
    // What makes evidence where there is no hardware: beside the shell, linked by programs, never by libraries.
    ("cloister-virtual-platform", Trusted, &["cloister-attestation", "cloister-primitives"]),
    ("cloister-keccak", Trusted, &[]),
    ("cloister-crypto", Trusted, &["cloister-primitives"]),
    ("cloister-keys", Trusted, &["cloister-crypto", "cloister-primitives"]),
    ("cloister-state", Trusted, &["cloister-keccak", "cloister-keys", "cloister-crypto", "cloister-primitives"]),
    (
        "cloister-execution",
        Trusted,
        &["cloister-state", "cloister-keccak", "cloister-keys", "cloister-crypto", "cloister-primitives"],
    ),
    ("cloister-governance", Trusted, &["cloister-state", "cloister-primitives"]),
    ("cloister-pool", Trusted, &["cloister-execution", "cloister-state", "cloister-primitives"]),
    ("cloister-ordering", Trusted, &["cloister-primitives"]),
    (
        "cloister-access",
        Trusted,
        &["cloister-execution", "cloister-governance", "cloister-state", "cloister-primitives"],
    ),
    (
        "cloister-core",
        Trusted,
        &[
            "cloister-access",
            "cloister-pool",
            "cloister-ordering",
            "cloister-boundary",
            "cloister-attestation",
            "cloister-execution",
            "cloister-governance",
            "cloister-state",
            "cloister-keys",
            "cloister-crypto",
            "cloister-primitives",
        ],
    ),
    (
        "cloister-rpc",
        Trusted,
        &[
            "cloister-core",
            "cloister-access",
            "cloister-pool",
            "cloister-execution",
            "cloister-governance",
            "cloister-state",
            "cloister-primitives",
        ],
    ),
    (
        "cloister-shell",
        Trusted,
        &[
            "cloister-rpc",
            "cloister-core",
            "cloister-boundary",
            "cloister-attestation",
            "cloister-access",
            "cloister-keys",
            "cloister-crypto",
            "cloister-primitives",
        ],
    ),
    (
        "cloister-devtools",
        Trusted,
        &[
            "cloister-rpc",
            "cloister-core",
            "cloister-access",
            "cloister-pool",
            "cloister-execution",
            "cloister-state",
            "cloister-primitives",
        ],
    ),
    ("cloister-storage", Host, &["cloister-boundary", "cloister-primitives"]),
    ("cloister-network", Host, &["cloister-boundary", "cloister-primitives"]),
    ("cloister-node", Host, &["cloister-storage", "cloister-network", "cloister-boundary", "cloister-primitives"]),
    (
        "cloister",
        Top,
        &[
            "cloister-node",
            "cloister-client",
            "cloister-attestation",
            "cloister-shell",
            "cloister-devtools",
            "cloister-virtual-platform",
            "cloister-boundary",
            "cloister-primitives",
        ],
    ),
    (
        "cloister-enclave",
        Top,
        &["cloister-shell", "cloister-virtual-platform", "cloister-boundary", "cloister-primitives"],
    ),
    (
        "cloister-enclave-dev",
        Top,
        &[
            "cloister-shell",
            "cloister-devtools",
            "cloister-virtual-platform",
            "cloister-boundary",
            "cloister-primitives",
        ],
    ),
    ("cloister-tests", Top, ANYTHING),
    ("cloister-benches", Top, ANYTHING),
];

/// A row that allows every edge: packages that measure and test all the others.
pub const ANYTHING: &[&str] = &["*"];

/// The one binary in which both sides meet, for development only.
pub const BOTH_SIDES: &str = "cloister";
/// What is attested: only code that must hold plaintext.
pub const MEASURED: &str = "cloister-enclave";
/// What must not be in it, and why.
pub const NOT_MEASURED: &[(&str, &str)] = &[
    ("cloister-devtools", "development methods"),
    ("rocksdb", "a C++ database"),
    ("librocksdb-sys", "a C++ database"),
    ("libp2p", "a network stack"),
];

/// Packages with no clock, sockets, files, threads or ambient randomness.
pub const DETERMINISTIC: &[&str] = &[
    "cloister-keccak",
    "cloister-primitives",
    "cloister-crypto",
    "cloister-keys",
    "cloister-state",
    "cloister-execution",
    "cloister-governance",
    "cloister-pool",
    "cloister-ordering",
    "cloister-access",
    "cloister-core",
];
/// Async runtimes and clocks: none of them below the deterministic packages.
pub const NOT_DETERMINISTIC: &[&str] = &["tokio", "async-std", "smol", "mio"];

/// The one package that names a cipher's implementation, and the packages that would be named.
pub const CIPHERS: (&str, &[&str]) =
    ("cloister-crypto", &["aws-lc-rs", "aws-lc-sys", "ring", "aes-gcm-siv", "chacha20poly1305", "hpke", "aes-gcm"]);

/// How one package depends on another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Linked in, or run while building.
    Normal,
    /// For its own tests only.
    Dev,
}

/// The workspace's packages and what each names in its `Cargo.toml`, by package name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Graph {
    /// For each workspace package the direct dependencies, outside ones included.
    pub packages: BTreeMap<String, BTreeSet<(String, Kind)>>,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_members: Vec<String>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    id: String,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    kind: Option<String>,
}

impl Graph {
    /// Reads the output of `cargo metadata --format-version 1`.
    ///
    /// # Panics
    /// If it is something else.
    #[must_use]
    pub fn parse(json: &[u8]) -> Self {
        let metadata: Metadata = serde_json::from_slice(json).expect("cargo metadata, format version 1");
        let members: BTreeSet<String> = metadata.workspace_members.into_iter().collect();
        let ours = metadata.packages.into_iter().filter(|package| members.contains(&package.id));
        let packages = ours.map(|package| {
            let kind_of = |dependency: &Dependency| {
                if dependency.kind.as_deref() == Some("dev") { Kind::Dev } else { Kind::Normal }
            };
            (package.name, package.dependencies.iter().map(|d| (d.name.clone(), kind_of(d))).collect())
        });
        Self { packages: packages.collect() }
    }

    /// The workspace as it is.
    ///
    /// # Panics
    /// If cargo cannot say.
    #[must_use]
    pub fn of_workspace() -> Self {
        Self::parse(&cargo(&["metadata", "--format-version", "1", "--no-deps", "--offline"]))
    }

    /// Every workspace package that `package` links, itself included.
    #[must_use]
    pub fn closure(&self, package: &str) -> BTreeSet<String> {
        let mut reached = BTreeSet::new();
        let mut waiting = vec![package.to_owned()];
        while let Some(next) = waiting.pop() {
            if let Some(dependencies) = self.packages.get(&next)
                && reached.insert(next)
            {
                waiting.extend(
                    dependencies.iter().filter(|(_, kind)| *kind == Kind::Normal).map(|(name, _)| name.clone()),
                );
            }
        }
        reached
    }
}

/// Runs cargo in the repository and takes its output.
fn cargo(arguments: &[&str]) -> Vec<u8> {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(program).args(arguments).current_dir(repository()).output().expect("cargo runs");
    assert!(output.status.success(), "cargo {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// Everything, ours or not, that is linked into `package` with the features it has when built by itself.
///
/// # Panics
/// If cargo cannot say.
#[must_use]
pub fn linked_into(package: &str) -> BTreeSet<String> {
    let tree = cargo(&[
        "tree",
        "--package",
        package,
        "--edges",
        "normal",
        "--prefix",
        "none",
        "--format",
        "{lib}|{p}",
        "--offline",
    ]);
    let text = String::from_utf8_lossy(&tree).into_owned();
    text.lines().filter_map(|line| line.split('|').nth(1)?.split_whitespace().next()).map(str::to_owned).collect()
}

fn row(house: &[Row], package: &str) -> Option<Row> {
    house.iter().find(|(name, ..)| *name == package).copied()
}

/// Every edge between workspace packages that the table does not allow; packages without a row.
#[must_use]
pub fn check_edges(house: &[Row], graph: &Graph) -> Vec<String> {
    let mut findings = Vec::new();
    for (package, dependencies) in &graph.packages {
        let Some((_, side, allowed)) = row(house, package) else {
            findings
                .push(format!("{package} has no row in the table of layers: say where it lives and what it may use"));
            continue;
        };
        if allowed == ANYTHING {
            continue;
        }
        for (dependency, kind) in dependencies.iter().filter(|(name, _)| graph.packages.contains_key(name)) {
            let other = row(house, dependency).map_or(Common, |(_, side, _)| side);
            let crosses = matches!((side, other), (Trusted, Host) | (Host, Trusted));
            match kind {
                Kind::Normal if !allowed.contains(&dependency.as_str()) => {
                    findings.push(format!("{package} must not depend on {dependency}: the house has no such edge"));
                }
                Kind::Dev if crosses => findings.push(format!(
                    "{package} must not depend on {dependency}, not even in its tests: the wall is between them"
                )),
                _ => {}
            }
        }
    }
    findings
}

/// Every package but the one exception in whose binaries both sides of the wall meet.
#[must_use]
pub fn check_wall(house: &[Row], graph: &Graph) -> Vec<String> {
    let mut findings = Vec::new();
    for package in graph.packages.keys() {
        let Some((_, _, allowed)) = row(house, package) else {
            continue;
        };
        if package == BOTH_SIDES || allowed == ANYTHING {
            continue;
        }
        let linked = graph.closure(package);
        let on = |wanted: Side| linked.iter().find(|name| row(house, name).is_some_and(|(_, side, _)| side == wanted));
        if let (Some(trusted), Some(host)) = (on(Trusted), on(Host)) {
            findings.push(format!(
                "{package} links {trusted} (trusted) and {host} (host): only `{BOTH_SIDES} dev` may hold both"
            ));
        }
    }
    findings
}

/// What is linked into the measured binary and must not be.
#[must_use]
pub fn check_measured(linked: &BTreeSet<String>) -> Vec<String> {
    let forbidden = NOT_MEASURED
        .iter()
        .filter(|(name, _)| linked.iter().any(|l| l == name || (*name == "libp2p" && l.starts_with("libp2p-"))));
    forbidden.map(|(name, what)| format!("{MEASURED} links {name}: {what} has no place in what is measured")).collect()
}

/// What is linked into a deterministic package and must not be.
#[must_use]
pub fn check_deterministic(package: &str, linked: &BTreeSet<String>) -> Vec<String> {
    let forbidden = NOT_DETERMINISTIC.iter().filter(|name| linked.contains(**name));
    forbidden
        .map(|name| format!("{package} links {name}: deterministic packages have no runtime and no clock"))
        .collect()
}

/// Packages that name a cipher's implementation and are not the one that may.
#[must_use]
pub fn check_ciphers(graph: &Graph) -> Vec<String> {
    let (owner, ciphers) = CIPHERS;
    let mut findings = Vec::new();
    for (package, dependencies) in graph.packages.iter().filter(|(package, _)| *package != owner) {
        for (name, _) in dependencies.iter().filter(|(name, _)| ciphers.contains(&name.as_str())) {
            findings.push(format!("{package} names {name}: only {owner} names a cipher"));
        }
    }
    findings
}
