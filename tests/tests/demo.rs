//! `make demo` tells the story that it promises, with the programs of this build.

use std::process::{Command, Stdio};

use cloister_tests::{binary_folder, repository};

#[test]
fn four_readers_get_four_answers_and_disk_and_wire_none() {
    let target = binary_folder().parent().expect("a target folder").to_path_buf();
    let output = Command::new("bash")
        .arg("scripts/demo")
        .current_dir(repository())
        .env("DEMO_BUILT", "1")
        .env("NO_COLOR", "1")
        .env("CARGO_TARGET_DIR", target)
        .stdin(Stdio::null())
        .output()
        .expect("bash runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    let row = |reader: &str| {
        // Names stand in other lines, too; the table comes last.
        let row = text.lines().rfind(|line| line.trim_start().starts_with(reader));
        let row = row.unwrap_or_else(|| panic!("no row of {reader}:\n{text}"));
        row.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(row("manufacturer"), ["manufacturer", "10000 at 1207", "20000 at 983", "2"]);
    assert_eq!(row("supplier-a "), ["supplier-a", "10000 at 1207", "not authorized", "1"]);
    assert_eq!(row("supplier-b "), ["supplier-b", "not authorized", "20000 at 983", "1"]);
    assert_eq!(row("auditor"), ["auditor", "10000 at 1207", "20000 at 983", "2"]);
    assert_eq!(row("stranger"), ["stranger", "not authorized", "not authorized", "0"]);
    assert!(text.contains("found 0 times"), "{text}");
}
