//! `cloister gateway` between unmodified clients and a confidential chain.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;

use alloy_primitives::{Address, Bytes, U256, hex};
use cloister_tests::gateway::{Gateway, Wire};
use cloister_tests::node::{Node, NodeOptions, Target, binary, free_port, signal};
use cloister_tests::rpc::quantity;
use cloister_tests::tools::{Tool, native};
use cloister_tests::transactions::{Account, KEYS, signer};
use cloister_tests::websocket::WebSocket;
use serde_json::json;

const TO: Address = Address::repeat_byte(0x77);
const ETHER: u64 = 1_000_000_000_000_000_000;

fn confidential(port: Option<u16>) -> Node {
    Node::start(Target::Dev, &NodeOptions { extra: vec!["--confidential".into()], port, ..NodeOptions::default() })
}

#[test]
fn unmodified_tools_are_signed_in() {
    let node = confidential(None);
    let gateway = Gateway::start(&node.http_url(), &[]);
    let own = signer(0).address();
    assert_eq!(gateway.rpc.expect("eth_accounts", json!([])), json!([format!("{own:#x}")]));
    assert!(quantity(&node.rpc().expect("eth_getBalance", json!([own, "latest"]))) == 0, "nobody sees it");
    let folder = tempfile::tempdir().expect("a folder");
    let cast = Tool::new(native("cast"), folder.path()).with("ETH_RPC_URL", gateway.url());
    let balance = cast.run(["balance", &own.to_string()]);
    assert_eq!(balance.text(), (U256::from(10_000) * U256::from(ETHER)).to_string(), "{}", balance.stderr);
    let sent =
        cast.run(["send", "--json", "--private-key", KEYS[0], &TO.to_string(), "--value", "5", "--gas-limit", "21000"]);
    assert_eq!(sent.json()["status"], "0x1", "{}", sent.stderr);
    assert_eq!(gateway.rpc.expect("eth_getTransactionCount", json!([own, "latest"])), "0x1");
}

#[test]
fn websockets_are_passed_on() {
    let node = confidential(None);
    let gateway = Gateway::start(&node.http_url(), &[]);
    let mut socket = WebSocket::open(gateway.address()).expect("a WebSocket");
    let own = format!("{:#x}", signer(0).address());
    assert_eq!(socket.call("eth_accounts", &json!([])), Ok(json!([own])));
    let heads = socket.call("eth_subscribe", &json!(["newHeads"])).expect("a subscription");
    let raw = hex::encode_prefixed(Account::new(0).transfer(TO, 1));
    gateway.rpc.expect("eth_sendRawTransaction", json!([raw]));
    assert_eq!(socket.notification(&heads)["number"], "0x1");
}

#[test]
fn pages_of_other_origins_and_names_that_lead_here_are_refused() {
    let node = confidential(None);
    let gateway = Gateway::start(&node.http_url(), &["--allow-origin", "https://app.example"]);
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "eth_accounts", "params": [] }).to_string();
    // A browser names the host that is in the page's URL.
    let ask = |host: &str, headers: &str| {
        let mut stream = TcpStream::connect(gateway.address()).expect("a connection");
        let port = gateway.address().port();
        let head = format!("POST / HTTP/1.1\r\nhost: {host}:{port}\r\ncontent-length: {}\r\n{headers}", body.len());
        let request = format!("{head}connection: close\r\n\r\n{body}");
        stream.write_all(request.as_bytes()).expect("it is sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer
    };
    assert!(ask("localhost", "").starts_with("HTTP/1.1 200"));
    let listed = ask("127.0.0.1", "origin: https://app.example\r\n");
    assert!(listed.starts_with("HTTP/1.1 200") && listed.contains("access-control-allow-origin: https://app.example"));
    for origin in ["https://evil.example", "null"] {
        let answer = ask("127.0.0.1", &format!("origin: {origin}\r\n"));
        assert!(answer.starts_with("HTTP/1.1 403") && answer.contains("--allow-origin"), "{answer}");
    }
    assert!(ask("evil.example", "").starts_with("HTTP/1.1 403"));
    let upgrade = WebSocket::open_with(
        TcpStream::connect(gateway.address()).expect("a connection"),
        "/",
        &[("origin", "https://evil.example")],
    );
    assert!(upgrade.is_err(), "a WebSocket of a strange page");
}

#[test]
fn transactions_leave_sealed_and_nothing_else_changes() {
    let node = confidential(None);
    let wire = Wire::tap(node.address());
    // It signs in to the site that it is told: the node's, not the wire's.
    let (domain, uri) = (node.address().to_string(), node.http_url());
    let gateway = Gateway::start(&format!("http://{}", wire.address), &["--seal", "--domain", &domain, "--uri", &uri]);
    let mut account = Account::new(0);
    let raws: Vec<Bytes> = (0..4).map(|_| account.transfer(TO, 1)).collect();
    for raw in &raws {
        let hash = gateway.rpc.expect("eth_sendRawTransaction", json!([raw]));
        let receipt = gateway.rpc.expect("eth_getTransactionReceipt", json!([hash]));
        assert_eq!(receipt["status"], "0x1");
    }
    let heard = wire.heard();
    assert_eq!(heard.matches("0x9e0101").count(), 4, "four envelopes");
    assert_eq!(heard.matches("0x9e010101").count(), 1, "one context");
    for raw in &raws {
        assert!(!heard.contains(&hex::encode(&raw[20..])), "a transaction in the clear");
    }
    let error = WebSocket::open(gateway.address()).expect_err("transactions would go out of it unsealed");
    assert!(error.to_string().contains("501"), "{error}");
}

#[test]
fn a_node_that_was_started_anew_is_signed_in_to_again_and_sealed_for_anew() {
    let port = free_port();
    let node = confidential(Some(port));
    let gateway = Gateway::start(&node.http_url(), &["--seal"]);
    let mut account = Account::new(0);
    for _ in 0..2 {
        gateway.rpc.expect("eth_sendRawTransaction", json!([account.transfer(TO, 1)]));
    }
    node.kill();
    // Keys, contexts and tokens are gone with it, and so is its chain.
    let _node = confidential(Some(port));
    let own = signer(0).address();
    assert_eq!(gateway.rpc.expect("eth_accounts", json!([])), json!([format!("{own:#x}")]));
    gateway.rpc.expect("eth_sendRawTransaction", json!([Account::new(0).transfer(TO, 1)]));
    assert_eq!(gateway.rpc.expect("eth_getTransactionCount", json!([own, "latest"])), "0x1");
}

#[test]
fn it_listens_where_others_cannot_reach_it_and_ends_when_asked() {
    let node = confidential(None);
    let refused = Command::new(binary("cloister"))
        .args(["gateway", "--url", &node.http_url(), "--key", "env:KEY", "--listen", "0.0.0.0:0"])
        .env("KEY", KEYS[0])
        .output()
        .expect("it runs");
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("can be reached by others"));
    let mut gateway = Gateway::start(&node.http_url(), &[]);
    let process = gateway.process();
    signal("INT", process.id());
    assert!(process.wait().expect("it ends").success());
}
