//! Three real nodes on one machine, over real sockets: any takes any request, and the loss of one is not an event.

#![allow(clippy::expect_used)]

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    time::Duration,
};

use alloy_primitives::{Address, Bytes};
use cloister_tests::{
    node::{binary, eventually, signal},
    rpc::RpcClient,
    transactions::Account,
};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(60);

/// A node of the network, as the command prints it.
struct Member {
    rpc: RpcClient,
    process: u32,
}

struct Devnet {
    child: Child,
    members: Vec<Member>,
}

impl Devnet {
    fn start(nodes: usize) -> Self {
        let mut child = Command::new(binary("cloister"))
            .args(["devnet", "--port", "0", "--nodes", &nodes.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut members = Vec::new();
        let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        for line in lines.map_while(Result::ok) {
            if line == "All nodes are up." {
                break;
            }
            // `node 1  http://127.0.0.1:1234  process 4711, log …`
            let words: Vec<_> = line.split_whitespace().collect();
            if let ["node", _, url, "process", process, ..] = words[..]
                && url.starts_with("http://")
            {
                let process = process.trim_end_matches(',').parse().expect("a number");
                members.push(Member {
                    rpc: RpcClient::new(url.trim_start_matches("http://").parse().expect("an address")),
                    process,
                });
            }
        }
        assert_eq!(members.len(), nodes, "the network did not come up");
        Self { child, members }
    }

    fn leader(&self, among: &[usize]) -> usize {
        eventually("a leader", PATIENCE, || {
            among.iter().copied().find(|member| {
                let status = self.members[*member].rpc.try_call("cloister_networkStatus", json!([]));
                status.is_ok_and(|status| status.is_ok_and(|status| status["role"] == "leader"))
            })
        })
    }
}

impl Drop for Devnet {
    fn drop(&mut self) {
        signal("TERM", self.child.id());
        let _ = self.child.wait();
    }
}

/// Sends to one node and waits until all of these have the receipt.
fn committed(network: &Devnet, raw: &Bytes, through: usize, seen_by: &[usize]) -> Value {
    let hash = network.members[through].rpc.expect("eth_sendRawTransaction", json!([raw]));
    let mut receipts: Vec<Value> = seen_by
        .iter()
        .map(|member| {
            eventually("a receipt", PATIENCE, || {
                let receipt = network.members[*member].rpc.expect("eth_getTransactionReceipt", json!([hash]));
                (!receipt.is_null()).then_some(receipt)
            })
        })
        .collect();
    receipts.dedup();
    assert_eq!(receipts.len(), 1, "nodes disagree: {receipts:#?}");
    receipts.remove(0)
}

#[test]
fn any_node_takes_a_transaction_and_the_death_of_the_leader_loses_none() {
    let network = Devnet::start(3);
    let mut sender = Account::new(0);
    let all = [0, 1, 2];
    let leader = network.leader(&all);
    let before: Vec<_> = (0..4)
        .map(|count| committed(&network, &sender.transfer(Address::repeat_byte(7), 0), count % 3, &all))
        .collect();
    signal("KILL", network.members[leader].process);
    let left: Vec<_> = all.into_iter().filter(|member| *member != leader).collect();
    let after = committed(&network, &sender.transfer(Address::repeat_byte(7), 0), left[0], &left);
    assert!(after["blockNumber"] != before[3]["blockNumber"]);
    assert!(left.contains(&network.leader(&left)));
    for receipt in &before {
        let hash = &receipt["transactionHash"];
        for member in &left {
            let again = network.members[*member].rpc.expect("eth_getTransactionReceipt", json!([hash]));
            assert_eq!(again, *receipt);
        }
    }
}
