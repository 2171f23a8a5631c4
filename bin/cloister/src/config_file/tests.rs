#![allow(clippy::unwrap_used)]

use clap::Args as _;

use super::*;
use crate::commands::node::Node;

fn command() -> Command {
    Node::augment_args(Command::new("node"))
}

fn parse(text: &str, given: &[&str]) -> Result<ConfigFile, Failure> {
    let command = command();
    let given = command.clone().try_get_matches_from([&["node"], given].concat()).unwrap();
    Source { path: Path::new("conf/cloister.toml"), text }.parse(&command, &given)
}

fn flags(text: &str, given: &[&str]) -> Vec<String> {
    let file = parse(text, given).unwrap();
    assert_eq!(file.network, None);
    file.flags.into_iter().map(|flag| flag.into_string().unwrap()).collect()
}

fn refusal(text: &str) -> String {
    let failure = parse(text, &[]).unwrap_err();
    assert_eq!(failure.code(), ExitCode::Genesis);
    failure.message().to_owned()
}

const NETWORK: &str = r#"node_id = 1

[network]
listen = "0.0.0.0:30303"

[[network.peers]]
id = 2
address = "beta.example:30303"
peer_id = "12D3KooWBmwXN3rsVfnLsZKbXeBrSLfczHxZHwVjPrbKwpLfYm3t"

[[network.peers]]
id = 3
address = "10.0.0.3:30303"
peer_id = "12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN"
"#;

#[test]
fn every_flag_has_a_key() {
    for (key, arg) in keys(&command()) {
        let value = match (arg.get_action(), key.as_str()) {
            (ArgAction::SetTrue, _) => "true",
            (_, "tls") => "\"on\"",
            (_, "history") => "\"full\"",
            (_, "host") => "\"127.0.0.1\"",
            (_, "metrics_address") => "\"127.0.0.1:9545\"",
            (_, "hardfork") => "\"osaka\"",
            (_, "mnemonic" | "enclave" | "manifest_out" | "datadir" | "genesis") => "\"x\"",
            (_, "audit_share") => "0.5",
            _ => "7",
        };
        assert_eq!(flags(&format!("{key} = {value}"), &[]).len(), 1, "{key}");
    }
}

#[test]
fn values_become_flags_and_paths_start_at_the_file() {
    let text = "# a node\nport = 1_000\nhost = \"0.0.0.0\"\nblock_time = 0.5\ndatadir = \"data\"\ngenesis = \"/etc/g.json\"\n\
                quiet = true\nno_mining = false\ngas_limit = 5000";
    let expected = [
        "--port=1000",
        "--host=0.0.0.0",
        "--block-time=0.5",
        "--datadir=conf/data",
        "--genesis=/etc/g.json",
        "--quiet",
    ];
    assert_eq!(flags(&text.replace("\ngas_limit = 5000", ""), &[]), expected);
    assert_eq!(
        refusal(text),
        "conf/cloister.toml, line 9: gas_limit contradicts genesis in line 6: take one of them out"
    );
}

#[test]
fn the_command_line_wins() {
    let text = "port = 1\nblock_time = 2\njson_logs = true";
    assert_eq!(flags(text, &["--port", "9"]), ["--block-time=2", "--json-logs"]);
    assert_eq!(flags(text, &["--no-mining", "-q"]), ["--port=1"]);
}

#[test]
fn what_is_wrong_is_said_with_its_line() {
    for (text, message) in [
        ("\nprot = 1", "conf/cloister.toml, line 2: there is no key prot; the keys are accounts, "),
        ("config = \"x\"", "conf/cloister.toml, line 1: there is no key config"),
        ("port = 1\nport = 2", "conf/cloister.toml, line 2: duplicate key"),
        ("port = ", "conf/cloister.toml, line 1: "),
        ("\n\nport = 70000", "conf/cloister.toml, line 3: port: invalid value '70000' for '--port <PORT>'"),
        ("port = [1]", "conf/cloister.toml, line 1: port is a number or a text in quotes"),
        ("quiet = 1", "conf/cloister.toml, line 1: quiet is true or false"),
        ("history = \"all\"", "conf/cloister.toml, line 1: history: invalid value 'all'"),
        ("quiet = true\njson_logs = true", "conf/cloister.toml, line 2: json_logs contradicts quiet in line 1"),
        ("[chain]\nid = 1", "conf/cloister.toml, line 1: there is no key chain"),
    ] {
        let error = refusal(text);
        assert!(error.starts_with(message), "{text}: {error}");
    }
    assert!(refusal("prot = 1").contains("network, network_key_file"));
}

#[test]
fn the_network_is_read() {
    let file = parse(NETWORK, &[]).unwrap();
    assert_eq!(file.flags, [""; 0]);
    let network = file.network.unwrap();
    assert_eq!((network.node_id, network.listen.port()), (1, 30303));
    assert_eq!(network.key_file, Path::new("conf/network.key"));
    let peers: Vec<_> = network.peers.iter().map(|peer| (peer.id, peer.address.to_string())).collect();
    assert_eq!(peers, [(2, "beta.example:30303".to_owned()), (3, "10.0.0.3:30303".to_owned())]);
    let named = parse(&format!("network_key_file = \"/k\"\n{NETWORK}"), &[]).unwrap().network.unwrap();
    assert_eq!(named.key_file, Path::new("/k"));
}

#[test]
fn what_is_wrong_with_the_network_is_said_with_its_line() {
    for (from, to, message) in [
        ("node_id = 1", "", "line 3: a node of a network has a node_id"),
        ("node_id = 1", "node_id = 0", "line 1: node_id is 0"),
        ("node_id = 1", "node_id = -1", "line 1: "),
        ("node_id = 1", "node_id = 3", "line 11: peer 3: that is this node's own node_id"),
        ("id = 3", "id = 2", "line 11: peer 2: the id is listed twice"),
        ("listen = \"0.0.0.0:30303\"", "listen = \"here\"", "line 4: listen is an IP address and a port"),
        ("listen = \"0.0.0.0:30303\"", "", "line 3: missing field `listen`"),
        ("listen =", "listens =", "line 4: unknown field `listens`, expected `listen` or `peers`"),
        ("10.0.0.3:30303", "10.0.0.3", "line 13: address: want a host and a port"),
        ("address = \"10.0.0.3", "host = \"10.0.0.3", "line 13: unknown field `host`"),
        ("XN3rs", "…", "line 6: peer 2: peer_id is none"),
    ] {
        assert!(NETWORK.contains(from));
        let error = refusal(&NETWORK.replace(from, to));
        assert!(error.starts_with(&format!("conf/cloister.toml, {message}")), "{to}: {error}");
    }
    let lone = refusal("\nnode_id = 1");
    assert!(lone.starts_with("conf/cloister.toml, line 2: node_id has a meaning in a network"), "{lone}");
}
