//! The house's rules hold for the workspace as it is, and the checker sees each way to break them.

use std::collections::{BTreeMap, BTreeSet};

use cloister_tests::layers::{
    BOTH_SIDES, DETERMINISTIC, Graph, HOUSE, Kind, MEASURED, check_ciphers, check_deterministic, check_edges,
    check_measured, check_wall, linked_into,
};
use cloister_tests::repository;
use cloister_tests::source::{MAX_LINES, check_lengths, check_sources, check_switches, rust_files};

fn none(findings: &[String]) {
    assert!(findings.is_empty(), "{} findings:\n{}", findings.len(), findings.join("\n"));
}

#[test]
fn every_edge_is_in_the_table() {
    none(&check_edges(HOUSE, &Graph::of_workspace()));
}

#[test]
fn both_sides_meet_only_in_cloister_dev() {
    let graph = Graph::of_workspace();
    assert!(graph.packages.contains_key(BOTH_SIDES), "the exception names a package that is not there");
    none(&check_wall(HOUSE, &graph));
}

#[test]
fn the_measured_binary_links_no_database_no_network_and_no_development_methods() {
    let linked = linked_into(MEASURED);
    assert!(linked.contains("cloister-core"), "the measured binary does not even link the core: {linked:?}");
    none(&check_measured(&linked));
}

#[test]
fn deterministic_packages_link_no_runtime() {
    let graph = Graph::of_workspace();
    for package in DETERMINISTIC.iter().filter(|package| graph.packages.contains_key(**package)) {
        none(&check_deterministic(package, &linked_into(package)));
    }
}

#[test]
fn deterministic_sources_mention_no_clock_file_socket_thread_or_randomness() {
    let graph = Graph::of_workspace();
    let mut read = 0;
    for package in DETERMINISTIC.iter().filter(|package| graph.packages.contains_key(**package)) {
        let name = package.trim_start_matches("cloister-");
        let trusted = repository().join("crates/trusted").join(name);
        let folder = if trusted.is_dir() { trusted } else { repository().join("crates").join(name) };
        none(&check_sources(&folder));
        read += rust_files(&folder).len();
    }
    assert!(read >= DETERMINISTIC.len() - 1, "only {read} files were read");
}

#[test]
fn only_crypto_names_a_cipher() {
    none(&check_ciphers(&Graph::of_workspace()));
}

#[test]
fn no_file_is_longer_than_the_limit() {
    let mut files = rust_files(&repository().join("crates"));
    files.extend(rust_files(&repository().join("bin")));
    files.extend(rust_files(&repository().join("tests")));
    none(&check_lengths(&files));
}

#[test]
fn no_program_and_no_library_takes_a_protection_away() {
    let mut files = rust_files(&repository().join("crates"));
    files.extend(rust_files(&repository().join("bin")));
    files.extend(rust_files(&repository().join("benches")));
    assert!(files.iter().any(|file| file.ends_with("primitives/src/protection.rs")), "protections are elsewhere");
    none(&check_switches(&files));
}

/// A workspace of a few packages with the given edges.
fn graph(edges: &[(&str, &[(&str, Kind)])]) -> Graph {
    let mut packages: BTreeMap<String, BTreeSet<(String, Kind)>> = BTreeMap::new();
    for (package, dependencies) in edges {
        let named = dependencies.iter().map(|(name, kind)| ((*name).to_owned(), *kind));
        packages.entry((*package).to_owned()).or_default().extend(named);
        for (name, _) in *dependencies {
            if name.starts_with("cloister") {
                packages.entry((*name).to_owned()).or_default();
            }
        }
    }
    Graph { packages }
}

fn names(list: &[&str]) -> BTreeSet<String> {
    list.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn canary_an_upward_edge_is_named() {
    let findings = check_edges(HOUSE, &graph(&[("cloister-state", &[("cloister-core", Kind::Normal)])]));
    assert_eq!(findings, ["cloister-state must not depend on cloister-core: the house has no such edge"]);
}

#[test]
fn canary_an_edge_through_the_wall_is_named_also_in_tests() {
    let findings = check_edges(
        HOUSE,
        &graph(&[("cloister-storage", &[("cloister-state", Kind::Dev), ("cloister-crypto", Kind::Normal)])]),
    );
    assert_eq!(
        findings,
        [
            "cloister-storage must not depend on cloister-crypto: the house has no such edge",
            "cloister-storage must not depend on cloister-state, not even in its tests: the wall is between them",
        ]
    );
}

#[test]
fn canary_a_package_without_a_row_is_named() {
    let findings = check_edges(HOUSE, &graph(&[("cloister-sideways", &[])]));
    assert_eq!(
        findings,
        ["cloister-sideways has no row in the table of layers: say where it lives and what it may use"]
    );
}

#[test]
fn canary_two_sides_in_one_binary_are_named_however_far_down() {
    let both = graph(&[
        ("cloister-enclave", &[("cloister-shell", Kind::Normal), ("cloister-boundary", Kind::Normal)]),
        ("cloister-boundary", &[("cloister-storage", Kind::Normal)]),
    ]);
    let findings = check_wall(HOUSE, &both);
    assert_eq!(
        findings,
        [
            "cloister-enclave links cloister-shell (trusted) and cloister-storage (host): only `cloister dev` may hold both"
        ]
    );
    // A dev-dependency links nothing into the binary.
    let tested = graph(&[("cloister-enclave", &[("cloister-shell", Kind::Normal), ("cloister-storage", Kind::Dev)])]);
    assert_eq!(check_wall(HOUSE, &tested), Vec::<String>::new());
}

#[test]
fn canary_what_must_not_be_measured_is_named() {
    let findings = check_measured(&names(&["cloister-core", "cloister-devtools", "librocksdb-sys", "libp2p-tcp"]));
    assert_eq!(findings.len(), 3, "{findings:?}");
    assert!(
        findings[0].contains("cloister-devtools")
            && findings[1].contains("librocksdb-sys")
            && findings[2].contains("libp2p")
    );
}

#[test]
fn canary_a_runtime_under_the_core_is_named() {
    let findings = check_deterministic("cloister-core", &names(&["alloy-primitives", "tokio"]));
    assert_eq!(findings, ["cloister-core links tokio: deterministic packages have no runtime and no clock"]);
    // The shell does link one: what `cargo tree` says is not empty by mistake.
    assert!(!check_deterministic("cloister-shell", &linked_into("cloister-shell")).is_empty());
}

#[test]
fn canary_a_second_place_that_names_a_cipher_is_named() {
    let findings = check_ciphers(&graph(&[
        ("cloister-crypto", &[("aws-lc-rs", Kind::Normal)]),
        ("cloister-shell", &[("aws-lc-rs", Kind::Dev)]),
    ]));
    assert_eq!(findings, ["cloister-shell names aws-lc-rs: only cloister-crypto names a cipher"]);
}

#[test]
fn canary_a_long_file_and_a_clock_are_named() {
    let package = tempfile::tempdir().expect("a temporary folder");
    let source = package.path().join("src");
    std::fs::create_dir(&source).expect("a folder in a temporary folder");
    std::fs::write(source.join("lib.rs"), "mod clock;\n#[cfg(test)]\nmod tests;\n").expect("a file in it");
    std::fs::write(source.join("clock.rs"), "pub fn now() -> std::time::Instant { todo!() }\n".repeat(MAX_LINES + 1))
        .expect("a file in it");
    std::fs::write(source.join("tests.rs"), "use std::fs;\n").expect("a file in it");

    let mentions = check_sources(package.path());
    assert!(mentions.iter().all(|what| what.contains("clock.rs:")), "{mentions:?}");
    assert_eq!(mentions.len(), MAX_LINES + 1, "each line names std::time");
    let lengths = check_lengths(&rust_files(package.path()));
    assert_eq!(lengths.len(), 1);
    assert!(lengths[0].contains("clock.rs has 601 lines"), "{lengths:?}");
}

#[test]
fn canary_a_program_that_takes_a_protection_away_is_named() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("main.rs");
    std::fs::write(
        &file,
        "// canary without meaning\nfn main() {\n    let _missing = cloister_primitives::protection::canary::take_away(protection);\n}\n",
    )
    .expect("a file in it");
    let findings = check_switches(&[file]);
    assert_eq!(findings.len(), 2, "{findings:?}");
    assert!(findings.iter().all(|finding| finding.contains("main.rs:3: ")), "{findings:?}");
}
