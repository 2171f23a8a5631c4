//! The files in `scripts/operate` and the commands in the runbook: what they name is there, and what they run is understood.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use cloister_tests::metrics::Metrics;
use cloister_tests::network::Network;
use cloister_tests::node::{binary, eventually, free_port, run_cloister};
use cloister_tests::repository;
use cloister_tests::tools::python;
use serde_json::Value;

fn operate() -> PathBuf {
    repository().join("scripts/operate")
}

fn text(path: impl AsRef<Path>) -> String {
    let path = path.as_ref();
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A file in YAML, as JSON.
fn yaml(name: &str) -> Value {
    let program = "import json, sys, yaml; json.dump(yaml.safe_load(sys.stdin), sys.stdout)";
    let mut child = Command::new(python())
        .args(["-c", program])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("Python runs");
    child.stdin.take().expect("a pipe").write_all(text(operate().join(name)).as_bytes()).expect("it is written");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{name} is no YAML");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn strings(value: &Value) -> Vec<&str> {
    value.as_array().unwrap_or_else(|| panic!("no list: {value}")).iter().filter_map(Value::as_str).collect()
}

/// That the command exists and has all these flags.
fn understood(arguments: &[&str]) {
    let command: Vec<_> = arguments.iter().take_while(|argument| !argument.starts_with('-')).copied().collect();
    let help = run_cloister(&[&command[..], &["--help"]].concat()).unwrap_or_else(|failure| panic!("{failure}"));
    let words: BTreeSet<_> = help.split([' ', ',', '\n', '[', ']', '`']).collect();
    for flag in arguments.iter().filter(|argument| argument.starts_with('-')) {
        let flag = flag.split('=').next().unwrap_or(flag);
        assert!(words.contains(flag), "`cloister {}` has no {flag}", command.join(" "));
    }
}

/// All words of a text that begin like a metric's name of ours.
fn named_metrics(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words.filter(|word| word.starts_with("cloister_") && *word != "cloister_networkStatus").collect()
}

#[test]
fn every_metric_that_is_shown_or_alerted_on_is_told_by_a_node_of_a_network() {
    let dashboard = text(operate().join("grafana-dashboard.json"));
    let parsed: Value = serde_json::from_str(&dashboard).expect("JSON");
    let panels = parsed["panels"].as_array().expect("panels");
    let ids: BTreeSet<_> = panels.iter().filter_map(|panel| panel["id"].as_u64()).collect();
    assert_eq!(ids.len(), panels.len(), "each panel has an id of its own");
    let runbook = text(repository().join("docs/guides/runbook.md"));
    let operators = text(repository().join("docs/guides/operators.md"));
    let shown: BTreeSet<_> =
        [&dashboard, &runbook, &operators].into_iter().flat_map(|text| named_metrics(text)).collect();
    assert!(shown.len() > 20, "{shown:?}");

    let network = Network::new(&["alpha", "beta", "gamma"], &["--confidentiality", "off"]);
    let mut members = [network.start(1, &[]), network.start(2, &[]), network.start(3, &[])];
    let (_, address) = members[0].place();
    // A name is told from the first time on that something of its kind has happened; failures need not.
    let happen = ["cloister_store_failures_total"];
    let missing = || {
        let metrics = Metrics::of(address);
        let told = metrics.names();
        let missing: Vec<_> = shown.iter().filter(|name| !told.contains(*name) && !happen.contains(*name)).collect();
        missing.into_iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()
    };
    let found = eventually("a link to another node", Duration::from_secs(60), || {
        let missing = missing();
        (!missing.iter().any(|name| name.starts_with("cloister_peer_"))).then_some(missing)
    });
    assert_eq!(found, Vec::<String>::new(), "nobody tells these");
}

#[test]
fn the_nodes_of_the_compose_file_run_commands_that_are_understood_on_files_that_are_there() {
    let compose = yaml("compose.yaml");
    let services = compose["services"].as_object().expect("services");
    let nodes: BTreeMap<&str, &Value> = services
        .iter()
        .filter(|(_, service)| service["image"] == "cloister" && service["profiles"].is_null())
        .map(|(name, service)| (name.as_str(), service))
        .collect();
    assert_eq!(nodes.keys().copied().collect::<Vec<_>>(), ["alpha", "beta", "gamma"]);
    let entry = &strings(&services["files"]["entrypoint"])[..];
    let ["cloister-new-network", "/network", names @ .., "--"] = entry else { panic!("{entry:?}") };
    assert_eq!(names, ["alpha", "beta", "gamma"]);
    for (name, node) in &nodes {
        understood(&strings(&node["command"]));
        assert_eq!(strings(&node["volumes"]), [format!("./network/{name}:/data")]);
        let build = &node["build"];
        let context = operate().join(build["context"].as_str().expect("a folder"));
        let file = context.join(build["dockerfile"].as_str().expect("a file"));
        assert!(file.is_file(), "{}", file.display());
        assert!(strings(&node["healthcheck"]["test"]).contains(&"https://127.0.0.1:8545/health"));
    }
    understood(&[&["genesis", "new"], &strings(&services["files"]["command"])[..]].concat());
    for volume in strings(&services["prometheus"]["volumes"]) {
        let file = operate().join(volume.split(':').next().expect("a path"));
        assert!(file.is_file(), "{}", file.display());
    }
    let targets: Vec<_> = nodes.keys().map(|name| format!("{name}:9545")).collect();
    assert_eq!(strings(&yaml("prometheus.yml")["scrape_configs"][0]["static_configs"][0]["targets"]), targets);
}

#[test]
fn the_containerfile_copies_what_there_is_and_builds_what_is_a_package() {
    let file = text(operate().join("Containerfile"));
    let packages: Vec<_> = file.split("--package ").skip(1).filter_map(|rest| rest.split_whitespace().next()).collect();
    assert_eq!(packages, ["cloister", "cloister-enclave"]);
    for package in packages {
        assert!(repository().join("bin").join(package).is_dir(), "{package}");
        assert!(file.contains(&format!("/source/target/release/{package}")), "{package} is not copied");
    }
    for line in file.lines().filter(|line| line.starts_with("COPY ") && !line.contains("--from")) {
        let source = line.split_whitespace().nth(1).expect("a source");
        assert!(repository().join(source).exists(), "{line}");
    }
    let channel = text(repository().join("rust-toolchain.toml"));
    let rust = file.split("rust:").nth(1).and_then(|rest| rest.split('-').next()).expect("a version");
    assert!(channel.contains(&format!("channel = \"{rust}")), "Rust {rust} is not the workspace's");
}

#[test]
fn the_systemd_unit_runs_a_command_that_is_understood_and_gives_up_on_codes_that_exist() {
    let unit = text(operate().join("cloister.service"));
    let value = |key: &str| {
        let line = unit.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        line.unwrap_or_else(|| panic!("no {key}"))
    };
    let command: Vec<_> = value("ExecStart").split(' ').collect();
    assert_eq!(command[0], "/usr/local/bin/cloister");
    understood(&command[1..]);
    let help = run_cloister(&["--help"]).unwrap_or_else(|failure| panic!("{failure}"));
    for code in value("RestartPreventExitStatus").split(' ') {
        assert!(help.lines().any(|line| line.trim_start().starts_with(&format!("{code}  "))), "no exit code {code}");
    }
    // Keys stand once, and sections are those of a service.
    let sections: Vec<_> = unit.lines().filter(|line| line.starts_with('[')).collect();
    assert_eq!(sections, ["[Unit]", "[Service]", "[Install]"]);
    let keys: Vec<_> =
        unit.lines().filter(|line| !line.starts_with('#')).filter_map(|line| Some(line.split_once('=')?.0)).collect();
    assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), keys.len(), "{keys:?}");
}

#[test]
fn the_commands_of_the_runbook_are_understood() {
    let page = text(repository().join("docs/guides/runbook.md"));
    let shell = page.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    let lines: Vec<_> = shell.flat_map(str::lines).collect();
    let commands: Vec<Vec<&str>> =
        lines.iter().filter_map(|line| Some(line.strip_prefix("cloister ")?.split_whitespace().collect())).collect();
    assert!(commands.len() >= 7, "{lines:?}");
    commands.iter().for_each(|command| understood(command));
}

#[test]
fn a_new_network_has_nodes_that_find_each_other() {
    let folder = tempfile::tempdir().expect("a folder");
    let made = Command::new(operate().join("new-network"))
        .arg(folder.path().join("net"))
        .args(["alpha", "beta", "--", "--chain-id", "4242", "--sign-in", "localhost:8545"])
        .env("CLOISTER", binary("cloister"))
        .output()
        .expect("bash runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let net = folder.path().join("net");
    // Their names are the machines' in a network of containers; here both are on this one.
    let ports = [free_port(), free_port()];
    for (name, port, other, other_port) in
        [("alpha", ports[0], "beta", ports[1]), ("beta", ports[1], "alpha", ports[0])]
    {
        let file = net.join(name).join("cloister.toml");
        let config = text(&file);
        assert!(config.contains(&format!("address = \"{other}:30303\"")), "{config}");
        let config = config
            .replace("0.0.0.0:30303", &format!("127.0.0.1:{port}"))
            .replace(&format!("{other}:30303"), &format!("127.0.0.1:{other_port}"));
        fs::write(file, config).expect("it is written");
    }
    let start = |name: &str| {
        let mut command = Command::new(binary("cloister"));
        command.args(["node", "--port", "0", "--config"]).arg(net.join(name).join("cloister.toml"));
        Child(command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the node starts"))
    };
    let mut nodes = [start("alpha"), start("beta")];
    for node in &mut nodes {
        // As the health check asks: over TLS, whoever it is.
        let address = node.listening();
        let asked = Command::new("curl")
            .args(["--insecure", "--fail", "--silent", &format!("https://{address}/health")])
            .output()
            .expect("curl runs");
        assert_eq!(String::from_utf8_lossy(&asked.stdout), r#"{"status":"UP"}"#, "{:?}", asked.status);
    }
    let again = Command::new(operate().join("new-network"))
        .arg(&net)
        .args(["alpha", "--", "--chain-id", "1"])
        .env("CLOISTER", binary("cloister"))
        .output()
        .expect("bash runs");
    assert!(String::from_utf8_lossy(&again.stderr).contains("holds a network already"));
}

/// A process that ends with its test.
struct Child(std::process::Child);

impl Child {
    /// Where it listens, once it does.
    fn listening(&mut self) -> String {
        use std::io::{BufRead as _, BufReader};
        let lines = BufReader::new(self.0.stdout.take().expect("a pipe")).lines();
        let found = lines.map_while(Result::ok).find_map(|line| Some(line.strip_prefix("Listening on ")?.to_owned()));
        found.expect("it says where it listens")
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
