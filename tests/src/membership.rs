//! Members that decide about the nodes of a network.

use std::io::{Read as _, Write as _};
use std::process::Command;
use std::time::Duration;

use alloy::consensus::TxEip1559;
use alloy_primitives::{Address, Bytes, TxKind, hex};
use cloister_benches::cluster::{Cluster, eventually, identity};
use cloister_benches::rpc::Client;
use cloister_primitives::NODES_ADDRESS;
use eyre::{Result, ensure};
use serde_json::{Value, json};

use crate::node::binary;
use crate::transactions::{Account, eip1559, raw};

/// How long a change of the voters may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// The data of a member's approval, as the command prints it, about the node with this index.
///
/// # Errors
/// When the command fails.
pub fn approval(index: usize, standing: &str) -> Result<Bytes> {
    let output = Command::new(binary("cloister"))
        .args(["member", "approve", "--data-only", "--as", standing])
        .args(["--node-id", &(index + 1).to_string(), "--name", &format!("node{}", index + 1)])
        .args(["--identity", &identity(index)?.to_string()])
        .output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(hex::decode(String::from_utf8(output.stdout)?.trim())?.into())
}

/// A member with a number sends its approval through a node; whether the contract took it.
///
/// # Errors
/// When the node does not answer.
pub fn approve(cluster: &Cluster, through: usize, member: usize, nonce: u64, data: &Bytes) -> Result<bool> {
    let mut client = Client::connect(&cluster.endpoint(through))?;
    let transaction = TxEip1559 {
        nonce,
        gas_limit: 500_000,
        to: TxKind::Call(NODES_ADDRESS),
        input: data.clone(),
        ..eip1559(Address::ZERO, 0)
    };
    let member = Account::new(member);
    let receipt: Value = client.call("eth_sendRawTransactionSync", json!([raw(member.sign(transaction)), 20_000]))?;
    Ok(receipt["status"] == "0x1")
}

/// Waits until these nodes vote, as the node with this index knows it.
///
/// # Errors
/// When they do not in time.
pub fn vote_like(cluster: &Cluster, index: usize, voters: &[u64]) -> Result<()> {
    eventually(&format!("voters {voters:?} on node {}", index + 1), PATIENCE, || {
        let mut seen = cluster.standing(index).ok()?.voters;
        seen.sort_unstable();
        (seen == voters).then_some(())
    })
}

/// That a node takes no client in: it says so after a while.
///
/// # Errors
/// When it answers anything else, or nothing.
pub fn serves_nobody(cluster: &Cluster, index: usize) -> Result<()> {
    let mut client = cluster.endpoint(index).open()?;
    client.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
    let mut answer = String::new();
    client.read_to_string(&mut answer)?;
    ensure!(answer.starts_with("HTTP/1.1 503 "), "node {} answers {answer}", index + 1);
    Ok(())
}
