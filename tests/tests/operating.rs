//! What an operator sees of a node: whether it lives and is ready, its metrics, the events in its log.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use alloy_primitives::Address;
use cloister_tests::metrics::Metrics;
use cloister_tests::network::{Member, Network};
use cloister_tests::node::{Node, NodeOptions, Target, eventually, receipt_of};
use cloister_tests::rpc::get;
use cloister_tests::transactions::Account;
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(60);

/// Labels that there may be: none is an account, a contract, a method or a client.
const LABELS: [&str; 7] = ["fault", "kind", "le", "node", "process", "role", "version"];

/// Status code and body of an answer.
fn probe(address: SocketAddr, path: &str) -> (u16, Value) {
    let answer = get(address, path).expect("an answer");
    (answer.status, serde_json::from_slice(&answer.body).unwrap_or_default())
}

fn is_up(address: SocketAddr, path: &str) {
    assert_eq!(probe(address, path), (200, json!({ "status": "UP" })), "{path}");
}

fn node_with_metrics(target: Target, flags: &[&str]) -> (Node, SocketAddr) {
    let flags = [&["--metrics-address", "127.0.0.1:0"], flags].concat();
    let extra = flags.into_iter().map(str::to_owned).collect();
    let node = Node::start(target, &NodeOptions { extra, ..NodeOptions::default() });
    let address = node.metrics_address().unwrap_or_else(|| panic!("it does not say where: {}", node.log_text()));
    (node, address)
}

fn a_node_tells_how_it_is(target: Target) {
    let (node, address) = node_with_metrics(target, &[]);
    is_up(node.address(), "/health");
    is_up(node.address(), "/ready");
    let before = Metrics::of(address);
    assert_eq!(before.expect("cloister_ready"), 1.0);
    assert_eq!(before.expect("cloister_chain_height"), 0.0);
    let transfer = Account::new(0).transfer(Address::repeat_byte(7), 1);
    let hash = node.rpc().expect("eth_sendRawTransaction", json!([transfer]));
    let _ = receipt_of(node.rpc(), &hash);
    // What is told follows what is committed within a moment.
    let after = eventually("the block in the metrics", PATIENCE, || {
        Some(Metrics::of(address)).filter(|metrics| metrics.expect("cloister_chain_height") == 1.0)
    });
    assert_eq!(after.expect("cloister_chain_transactions_total"), 1.0);
    let blocks = r#"cloister_store_records_total{kind="block"}"#;
    assert_eq!(after.expect(blocks) - before.expect(blocks), 1.0);
    assert!(after.expect("cloister_store_commit_seconds_count") >= 1.0);
    assert!(after.expect("cloister_clients_accepted_total") >= 1.0);
    assert!(after.expect("cloister_boundary_messages_total") > before.expect("cloister_boundary_messages_total"));
    assert!(after.expect(r#"cloister_process_resident_memory_bytes{process="host"}"#) > 0.0);
    let enclave = after.get(r#"cloister_process_cpu_seconds_total{process="enclave"}"#);
    assert_eq!(enclave.is_some(), target == Target::TwoProcess);
    // A node by itself has no place in a network, and one that keeps nothing takes no disk.
    assert_eq!(after.get("cloister_network_term"), None);
    assert_eq!(after.get("cloister_store_size_bytes"), None);
}

#[test]
fn a_node_tells_how_it_is_dev() {
    a_node_tells_how_it_is(Target::Dev);
}

#[test]
fn a_node_tells_how_it_is_two_process() {
    a_node_tells_how_it_is(Target::TwoProcess);
}

#[test]
fn metrics_of_a_confidential_chain_name_nobody_and_count_nothing_that_waits() {
    let (node, address) = node_with_metrics(Target::TwoProcess, &["--confidential", "--no-mining"]);
    let transfer = Account::new(0).transfer(Address::repeat_byte(7), 1);
    let before = Metrics::of(address);
    let _ = node.rpc().expect("eth_sendRawTransaction", json!([transfer]));
    let after = Metrics::of(address);
    let labels = after.labels();
    assert!(labels.is_subset(&BTreeSet::from(LABELS)), "{labels:?}");
    assert_eq!(after.names(), before.names());
    let waiting = ["pool", "pending", "queue", "waiting", "transactions"];
    let told: Vec<_> =
        after.names().into_iter().filter(|name| waiting.iter().any(|word| name.contains(word))).collect();
    // Committed ones, as everybody sees them.
    assert_eq!(told, ["cloister_chain_transactions_total"]);
    assert_eq!(after.expect("cloister_chain_transactions_total"), 0.0);
}

#[test]
fn metrics_are_told_to_nobody_who_was_not_named_an_address_for_them() {
    let node = Node::start_default(Target::Dev);
    assert_eq!(node.metrics_address(), None);
    let answer = get(node.address(), "/metrics").expect("an answer");
    assert_eq!((answer.status, answer.body), (200, Vec::new()), "any path but two says that somebody is there");
}

/// The role that a node has in its metrics.
fn role(metrics: &Metrics) -> Option<&'static str> {
    let has = |role: &&str| metrics.get(&format!("cloister_network_role{{role=\"{role}\"}}")) == Some(1.0);
    ["leader", "follower", "learner", "catching up", "out", "waiting"].into_iter().find(has)
}

fn leader(members: &mut [Member]) -> usize {
    eventually("a leader", PATIENCE, || {
        members.iter_mut().position(|member| role(&Metrics::of(member.place().1)) == Some("leader"))
    })
}

#[test]
fn a_network_tells_who_leads_who_is_connected_and_that_a_majority_is_lost() {
    let network = Network::new(&["alpha", "beta", "gamma"], &["--confidentiality", "off"]);
    let mut members = vec![network.start(1, &[]), network.start(2, &[]), network.start(3, &[])];
    for (number, member) in (1..).zip(&mut members) {
        let (clients, address) = member.place();
        is_up(clients, "/health");
        eventually("a ready node", PATIENCE, || (probe(clients, "/ready").0 == 200).then_some(()));
        let metrics = eventually("two connected nodes", PATIENCE, || {
            Some(Metrics::of(address)).filter(|metrics| metrics.expect("cloister_network_connected") == 2.0)
        });
        assert_eq!(metrics.expect("cloister_network_voters"), 3.0);
        assert_eq!(metrics.expect("cloister_network_lag_blocks"), 0.0);
        assert!(metrics.expect("cloister_network_leader_changes_total") >= 1.0);
        let other = if number == 1 { 2 } else { 1 };
        assert!(metrics.expect(&format!("cloister_peer_received_bytes_total{{node=\"{other}\"}}")) > 0.0);
        assert!(metrics.expect("cloister_store_size_bytes") > 0.0);
        member.logs("peer-linked", |line| line["node"] == other);
        member.logs("leader-changed", |line| line["leader"].is_u64() && line["term"].is_u64());
    }
    let leads = leader(&mut members);
    let roles: Vec<_> = members.iter_mut().filter_map(|member| role(&Metrics::of(member.place().1))).collect();
    assert_eq!(roles.iter().filter(|role| **role == "leader").count(), 1, "{roles:?}");

    // A node that is stopped in good order is missed, and a majority that is lost makes the rest unready; yet it lives.
    let mut last = members.remove((leads + 1) % 3);
    members.into_iter().for_each(Member::terminate);
    last.logs("peer-lost", |line| line["level"] == "WARN" && line["node"].is_u64());
    last.logs("leader-lost", |line| line["level"] == "WARN");
    let (clients, _) = last.place();
    let down = (503, json!({ "status": "DOWN", "reasons": ["no-leader"] }));
    eventually("a node without a leader", PATIENCE, || (probe(clients, "/ready") == down).then_some(()));
    is_up(clients, "/health");
}

#[test]
fn a_node_of_another_chain_is_refused_and_the_log_says_so() {
    let network = Network::new(&["alpha", "beta", "gamma"], &["--confidentiality", "off"]);
    // The same keys, and a genesis that differs.
    let genesis = fs::read_to_string(network.path("genesis.json")).expect("the genesis");
    let mut genesis: Value = serde_json::from_str(&genesis).expect("JSON");
    genesis["timestamp"] = json!("0x2");
    fs::write(network.path("other.json"), genesis.to_string()).expect("it is written");
    fs::remove_file(network.datadir(2).join("genesis.json")).expect("it is there");
    let other = network.path("other.json").display().to_string();
    let one = network.start(1, &[]);
    let _two = network.start(2, &["--genesis", &other]);
    let refused = one.logs("peer-refused", |line| line["node"] == 2);
    assert_eq!((&refused["level"], &refused["target"]), (&json!("WARN"), &json!("enclave")));
    let message = refused["message"].as_str().expect("text");
    assert!(message.contains("the enclave runs a chain with another genesis"), "{message}");
    one.logs("peer-unreachable", |line| line["node"] == 3 && line["level"] == "INFO");
}
