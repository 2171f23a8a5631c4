//! Transactions that only the enclave reads, with the real command and over the real binaries.

use std::io::Write as _;
use std::process::{Command, Stdio};

use alloy_primitives::{Address, hex, keccak256};
use cloister_tests::node::{Node, Target, binary};
use cloister_tests::rpc::quantity;
use cloister_tests::transactions::Account;
use serde_json::{Value, json};

const TO: Address = Address::repeat_byte(0x77);
const REFUSED: i64 = -32045;

/// Runs `cloister seal` with transactions on its standard input; answers its lines.
fn seal(node: &Node, arguments: &[&str], transactions: &[String]) -> Result<Vec<String>, String> {
    let mut command = Command::new(binary("cloister"));
    command.args(["seal", "--url", &node.http_url()]).args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = command.spawn().expect("the command starts");
    let mut input = running.stdin.take().expect("a pipe");
    let text = transactions.iter().map(|transaction| format!("{transaction}\n")).collect::<String>();
    // A command that refuses its arguments may be gone before it reads.
    let _ = input.write_all(text.as_bytes());
    drop(input);
    let output = running.wait_with_output().expect("it ends");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() {
        Ok(text(&output.stdout).lines().map(str::to_owned).collect())
    } else {
        Err(text(&output.stderr))
    }
}

fn balance(node: &Node) -> u64 {
    quantity(&node.rpc().expect("eth_getBalance", json!([TO, "latest"])))
}

fn transfers(account: &mut Account, count: usize) -> Vec<String> {
    (0..count).map(|_| hex::encode_prefixed(account.transfer(TO, 1))).collect()
}

fn the_command_seals_and_sends(target: Target) {
    let node = Node::start_default(target);
    let mut account = Account::new(2);
    for suite in ["x25519", "x-wing"] {
        let before = balance(&node);
        let transactions = transfers(&mut account, 3);
        let hashes = seal(&node, &["--suite", suite, "--send"], &transactions).expect("they are taken");
        let expected: Vec<_> = transactions
            .iter()
            .map(|transaction| keccak256(hex::decode(transaction).expect("hexadecimal")).to_string())
            .collect();
        assert_eq!(hashes, expected);
        assert_eq!(balance(&node), before + 3);
    }
}

#[test]
fn the_command_seals_and_sends_dev() {
    the_command_seals_and_sends(Target::Dev);
}

#[test]
fn the_command_seals_and_sends_two_process() {
    the_command_seals_and_sends(Target::TwoProcess);
}

#[test]
fn an_envelope_goes_where_a_transaction_goes_and_what_is_wrong_with_it_is_not_told() {
    let node = Node::start_default(Target::Dev);
    let rpc = node.rpc();
    let mut account = Account::new(2);
    let transactions = transfers(&mut account, 3);
    let envelopes = seal(&node, &[], &transactions).expect("they are sealed");
    assert!(envelopes.iter().all(|envelope| envelope.starts_with("0x9e010101")), "each in a context of its own");
    assert!(!envelopes[0].contains(&transactions[0][10..50]));

    let receipt = rpc.expect("eth_sendRawTransactionSync", json!([envelopes[0]]));
    assert_eq!(receipt["transactionHash"], json!(keccak256(hex::decode(&transactions[0]).expect("hexadecimal"))));
    rpc.expect("eth_sendRawTransaction", json!([envelopes[1]]));
    assert_eq!(balance(&node), 2);

    let unfunded = Account { signer: alloy::signers::local::PrivateKeySigner::random(), nonce: 0 }.transfer(TO, 1);
    let poor = seal(&node, &[&hex::encode_prefixed(unfunded)], &[]).expect("it is sealed").remove(0);
    let mut flipped = hex::decode(&envelopes[2]).expect("hexadecimal");
    flipped[100] ^= 1;
    let wrong: [Value; 4] = [json!(envelopes[0]), json!(poor), json!(hex::encode_prefixed(&flipped)), json!("0x9e01")];
    let errors = wrong.map(|envelope| rpc.refuse("eth_sendRawTransaction", json!([envelope])));
    for error in &errors {
        assert_eq!((error.code, &error.message), (REFUSED, &errors[0].message));
        assert_eq!(error.data, errors[0].data);
    }
    assert_eq!(balance(&node), 2);
}

#[test]
fn an_envelope_opens_at_the_node_it_was_made_for_alone() {
    let (here, there) = (Node::start_default(Target::Dev), Node::start_default(Target::Dev));
    let envelope = seal(&here, &[], &transfers(&mut Account::new(2), 1)).expect("it is sealed").remove(0);
    assert_eq!(there.rpc().refuse("eth_sendRawTransaction", json!([envelope])).code, REFUSED);
    here.rpc().expect("eth_sendRawTransaction", json!([envelope]));
}

#[test]
fn the_command_says_what_is_wrong_with_its_input() {
    let node = Node::start_default(Target::Dev);
    let error = seal(&node, &[], &["0x02f".to_owned()]).expect_err("half a byte");
    assert!(error.contains("cast mktx"), "{error}");
    let error = seal(&node, &["--send"], &["0x02ff".to_owned()]).expect_err("no transaction");
    assert!(error.contains("sealed transaction refused"), "{error}");
    let error = seal(&node, &["--suite", "rot13"], &[]).expect_err("no suite");
    assert!(error.contains("x-wing"), "{error}");
}
