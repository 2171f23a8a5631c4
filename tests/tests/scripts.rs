//! What `scripts/setup` takes for the libraries it looks for.

use std::fs::File;
use std::process::Command;

use cloister_tests::repository;

/// Whether setup takes a folder that holds these files for one with libclang.
fn holds_libclang(files: &[&str]) -> bool {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for file in files {
        File::create(folder.path().join(file)).expect("an empty file");
    }
    let status = Command::new("bash")
        .args(["-c", ". scripts/setup && holds_libclang \"$0\""])
        .arg(folder.path())
        .current_dir(repository())
        .status();
    match status.expect("bash runs").code() {
        Some(0) => true,
        Some(1) => false,
        other => panic!("setup cannot be sourced: {other:?}"),
    }
}

#[test]
fn libclang_is_told_from_clangs_cpp_interface() {
    assert!(holds_libclang(&["libclang.so"]));
    assert!(holds_libclang(&["libclang-14.so.1"]));
    assert!(holds_libclang(&["libclang-cpp.so.14", "libclang.so.1"]));
    assert!(!holds_libclang(&[]));
    assert!(
        !holds_libclang(&["libclang-cpp.so.14", "libclang-cpp.so", "libclang_rt.asan.so"]),
        "a fresh Debian has these"
    );
}
