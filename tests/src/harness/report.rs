//! `target/harness/summary.json`: the figures of all parts of a run.

use std::fs;

use serde_json::{Map, Value};

use crate::repository;

/// Writes down the figures of one part, beside those of the others.
///
/// # Panics
/// If they cannot be written.
pub fn part(name: &str, figures: &Value) {
    let folder = repository().join("target/harness");
    let parts = folder.join("parts");
    fs::create_dir_all(&parts).expect("a folder in the target folder");
    fs::write(parts.join(format!("{name}.json")), pretty(figures)).expect("a file in it");
    let mut summary = Map::new();
    for entry in fs::read_dir(&parts).expect("the folder just made").filter_map(Result::ok) {
        let text = fs::read(entry.path()).unwrap_or_default();
        // Another test may be writing it.
        if let Ok(Value::Object(figures)) = serde_json::from_slice(&text) {
            summary.extend(figures);
        }
    }
    fs::write(folder.join("summary.json"), pretty(&Value::Object(summary))).expect("a file in the target folder");
}

fn pretty(figures: &Value) -> String {
    serde_json::to_string_pretty(figures).expect("plain data") + "\n"
}
