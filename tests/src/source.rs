//! Rules about source text: what deterministic packages must not mention, and how long a file may be.

use std::fs;
use std::path::{Path, PathBuf};

/// Files longer than this are two rooms behind one door.
pub const MAX_LINES: usize = 600;

/// Modules of `std` that let the outside world in.
const OUTSIDE_MODULES: [&str; 6] = ["fs", "net", "time", "thread", "process", "env"];
/// A name that is never needed where nothing may read a clock. (`Instant` alone may be a variant of ours.)
const OUTSIDE_NAME: &str = "SystemTime";
/// Crates of ambient randomness.
const OUTSIDE_CRATES: [&str; 3] = ["rand", "getrandom", "fastrand"];

/// Where protections are named, and the switch that takes one away.
const PROTECTIONS: &str = "crates/primitives/src/protection.rs";
/// What that switch is called: its module, and its function.
const SWITCHES: [&str; 2] = ["canary", "take_away"];

/// One piece of Rust text with the line it starts on.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Token {
    text: String,
    line: usize,
}

/// Mentions of the outside world in a file's text, as `line: what`; code under `#[cfg(test)]` may do as it likes.
#[must_use]
pub fn mentions_of_outside(text: &str) -> Vec<String> {
    let tokens = without_tests(&tokens_of(text));
    let mut found = Vec::new();
    let at = |i: usize| tokens.get(i).map_or("", |t| t.text.as_str());
    for (i, token) in tokens.iter().enumerate() {
        let mut report = |what: String| found.push(format!("{}: {what}", token.line));
        let word = token.text.as_str();
        if word == OUTSIDE_NAME || (word == "Instant" && at(i + 1) == "::" && at(i + 2) == "now") {
            report(word.to_owned());
        }
        if at(i + 1) != "::" {
            continue;
        }
        if OUTSIDE_CRATES.contains(&word) {
            report(format!("{word}::"));
        }
        if word == "std" {
            for module in
                modules_after(&tokens[i + 2..]).iter().filter(|module| OUTSIDE_MODULES.contains(&module.as_str()))
            {
                report(format!("std::{module}"));
            }
        }
    }
    found
}

/// Where a name that programs and libraries must not know stands in their sources, tests in them included.
#[must_use]
pub fn check_switches(files: &[PathBuf]) -> Vec<String> {
    let mut found = Vec::new();
    for file in files.iter().filter(|file| !file.ends_with(PROTECTIONS)) {
        let text = fs::read_to_string(file).unwrap_or_else(|e| panic!("cannot read {}: {e}", file.display()));
        let tokens = tokens_of(&text);
        let named = tokens.iter().filter(|token| SWITCHES.contains(&token.text.as_str()));
        found.extend(named.map(|token| {
            format!("{}:{}: only tests take a protection away, by `{}`", file.display(), token.line, token.text)
        }));
    }
    found
}

/// The first names after `std::`: one, or several in braces.
fn modules_after(tokens: &[Token]) -> Vec<String> {
    let Some(first) = tokens.first() else {
        return Vec::new();
    };
    if first.text != "{" {
        return vec![first.text.clone()];
    }
    let mut depth = 0;
    let mut modules = Vec::new();
    for pair in tokens.windows(2) {
        match pair[0].text.as_str() {
            "{" => depth += 1,
            "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            break;
        }
        if depth == 1 && matches!(pair[0].text.as_str(), "{" | ",") {
            modules.push(pair[1].text.clone());
        }
    }
    modules
}

/// Names, `::` and single signs; comments, strings and characters are left out.
fn tokens_of(text: &str) -> Vec<Token> {
    let bytes = text.as_bytes();
    let (mut i, mut line) = (0, 1);
    let mut tokens = Vec::new();
    while i < bytes.len() {
        let rest = &text[i..];
        let length = match bytes[i] {
            b'/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            b'/' if rest.starts_with("/*") => block_comment(rest),
            b'"' => string(rest),
            b'r' if is_raw_string(rest) => raw_string(rest),
            b'\'' => character(rest),
            byte if byte == b'_' || byte.is_ascii_alphabetic() => {
                let end = rest.find(|c: char| c != '_' && !c.is_alphanumeric()).unwrap_or(rest.len());
                tokens.push(Token { text: rest[..end].to_owned(), line });
                end
            }
            b':' if rest.starts_with("::") => {
                tokens.push(Token { text: "::".to_owned(), line });
                2
            }
            byte if byte.is_ascii_whitespace() => 1,
            _ => {
                let end = rest.chars().next().map_or(1, char::len_utf8);
                tokens.push(Token { text: rest[..end].to_owned(), line });
                end
            }
        };
        line += rest[..length].matches('\n').count();
        i += length;
    }
    tokens
}

fn block_comment(text: &str) -> usize {
    let (mut depth, mut i) = (0, 0);
    while i < text.len() {
        let rest = &text.as_bytes()[i..];
        if rest.starts_with(b"/*") {
            depth += 1;
            i += 2;
        } else if rest.starts_with(b"*/") {
            depth -= 1;
            i += 2;
            if depth == 0 {
                return i;
            }
        } else {
            i += 1;
        }
    }
    text.len()
}

fn string(text: &str) -> usize {
    let mut escaped = false;
    for (i, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return i + 1,
            _ => {}
        }
    }
    text.len()
}

fn is_raw_string(text: &str) -> bool {
    text[1..].trim_start_matches('#').starts_with('"')
}

fn raw_string(text: &str) -> usize {
    let hashes = text[1..].bytes().take_while(|byte| *byte == b'#').count();
    let end = format!("\"{}", "#".repeat(hashes));
    let start = 2 + hashes;
    text[start..].find(&end).map_or(text.len(), |at| start + at + end.len())
}

/// A character literal, or the tick of a lifetime.
fn character(text: &str) -> usize {
    let mut chars = text.char_indices().skip(1);
    match chars.next() {
        // After the backslash one character is never the end: '\'' and '\\'.
        Some((_, '\\')) => text[3.min(text.len())..].find('\'').map_or(text.len(), |at| 3 + at + 1),
        Some(_) => match chars.next() {
            Some((at, '\'')) => at + 1,
            _ => 1,
        },
        None => 1,
    }
}

/// The tokens without items under `#[cfg(test)]`.
fn without_tests(tokens: &[Token]) -> Vec<Token> {
    let mut kept = Vec::new();
    let mut i = 0;
    while i < tokens.len() {
        if is_test_attribute(&tokens[i..]) {
            i = end_of_item(tokens, i + 7);
        } else {
            kept.push(tokens[i].clone());
            i += 1;
        }
    }
    kept
}

fn is_test_attribute(tokens: &[Token]) -> bool {
    tokens.len() >= 7 && tokens[..7].iter().map(|t| t.text.as_str()).eq(["#", "[", "cfg", "(", "test", ")", "]"])
}

/// Past the item that starts at `i`: its closing brace, or its semicolon.
fn end_of_item(tokens: &[Token], mut i: usize) -> usize {
    let mut depth = 0;
    while i < tokens.len() {
        match tokens[i].text.as_str() {
            "{" | "(" | "[" => depth += 1,
            "}" | ")" | "]" => {
                depth -= 1;
                if depth == 0 && tokens[i].text == "}" {
                    return i + 1;
                }
            }
            ";" if depth == 0 => return i + 1,
            _ => {}
        }
        i += 1;
    }
    i
}

/// Modules that a file declares under `#[cfg(test)]` with their text elsewhere: `#[cfg(test)] mod tests;`.
fn test_modules(text: &str) -> Vec<String> {
    let tokens = tokens_of(text);
    let mut modules = Vec::new();
    for i in 0..tokens.len() {
        if !is_test_attribute(&tokens[i..]) {
            continue;
        }
        let item = &tokens[i + 7..end_of_item(&tokens, i + 7)];
        let declared = item.iter().position(|t| t.text == "mod").filter(|_| item.last().is_some_and(|t| t.text == ";"));
        if let Some(name) = declared.and_then(|at| item.get(at + 1)) {
            modules.push(name.text.clone());
        }
    }
    modules
}

/// Rust files below `folder`, sorted.
///
/// # Panics
/// If it cannot be read.
#[must_use]
pub fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    for path in entries.filter_map(Result::ok).map(|entry| entry.path()) {
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// Mentions of the outside world in the sources of a deterministic package, as `file:line: what`.
///
/// # Panics
/// If a file cannot be read.
#[must_use]
pub fn check_sources(package: &Path) -> Vec<String> {
    let files = rust_files(&package.join("src"));
    let mut for_tests = Vec::new();
    for file in &files {
        let folder = folder_of_submodules(file);
        for module in test_modules(&read(file)) {
            for_tests.extend([folder.join(format!("{module}.rs")), folder.join(&module)]);
        }
    }
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| !for_tests.iter().any(|test| file.starts_with(test))) {
        findings.extend(mentions_of_outside(&read(file)).into_iter().map(|what| format!("{}:{what}", file.display())));
    }
    findings
}

/// Files of more than [`MAX_LINES`] lines, with their length.
///
/// # Panics
/// If a file cannot be read.
#[must_use]
pub fn check_lengths(files: &[PathBuf]) -> Vec<String> {
    let lengths = files.iter().map(|file| (file, read(file).lines().count()));
    lengths
        .filter(|(_, lines)| *lines > MAX_LINES)
        .map(|(file, lines)| format!("{} has {lines} lines: at most {MAX_LINES}", file.display()))
        .collect()
}

/// Where `mod x;` in this file looks for `x.rs`.
fn folder_of_submodules(file: &Path) -> PathBuf {
    let folder = file.parent().unwrap_or(file);
    let stem = file.file_stem().unwrap_or_default();
    if ["lib", "main", "mod"].iter().any(|root| stem == *root) { folder.to_path_buf() } else { folder.join(stem) }
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_to_reach_outside_is_seen() {
        for (text, what) in [
            ("use std::fs::File;", "1: std::fs"),
            ("\nuse std::{collections::BTreeMap, time::Duration};", "2: std::time"),
            ("use std::{sync::{Arc, Mutex}, thread};", "1: std::thread"),
            ("fn f() { std :: net :: TcpStream::connect(x); }", "1: std::net"),
            ("let now = Instant::now();", "1: Instant"),
            ("fn g(_: SystemTime) {}", "1: SystemTime"),
            ("let x: u8 = rand::random();", "1: rand::"),
        ] {
            assert_eq!(mentions_of_outside(text), [what], "{text}");
        }
    }

    #[test]
    fn words_in_comments_strings_and_tests_do_not_count() {
        for text in [
            "// std::fs is not used\n/* rand::x /* std::net */ Instant::now */ enum Sealing { Instant }",
            "let s = \"std::time \\\" SystemTime\"; let r = r#\"std::fs \" rand::\"#; let c = '\"'; let l: &'static str = \"Instant\";",
            "use std::collections::BTreeMap; fn operand() {} mod brand { } use brand::x;",
            "#[cfg(test)]\n#[allow(clippy::unwrap_used)]\nmod tests { use std::time::Instant; fn f() { { std::fs::read(x) } } }",
            "#[cfg(test)]\nuse std::thread;",
        ] {
            assert_eq!(mentions_of_outside(text), Vec::<String>::new(), "{text}");
        }
        // What follows a test module counts again.
        assert_eq!(mentions_of_outside("#[cfg(test)] mod tests { fn f() {} }\nuse std::fs;"), ["2: std::fs"]);
    }

    #[test]
    fn a_test_module_in_a_file_of_its_own_is_found() {
        assert_eq!(
            test_modules(
                "mod a; #[cfg(test)] mod tests; #[cfg(test)] mod inline { mod x; } #[cfg(test)] pub(crate) mod cases;"
            ),
            ["tests", "cases"]
        );
    }
}
