//! Signing in with Ethereum, and what tokens are good for, over the real binaries.

use std::io::BufReader;
use std::net::SocketAddr;
use std::process::Command;

use cloister_primitives::{DETERMINISTIC_DEPLOYER_ADDRESS, MULTICALL3_ADDRESS, VISIBILITY_ADDRESS};
use cloister_tests::confidential::{Reach, Way};
use cloister_tests::foundry::Scene;
use cloister_tests::node::{Node, NodeOptions, Target, binary};
use cloister_tests::rpc::{RpcClient, connect};
use cloister_tests::sign_in::{
    Message, bearer, call_as, exchange, exchange_on, nonce, now_s, post, rfc3339, sign, sign_in, token,
};
use cloister_tests::tools::Workspace;
use cloister_tests::transactions::{KEYS, signer};
use cloister_tests::websocket::WebSocket;
use serde_json::{Value, json};

/// Creation code that deploys its caller's address: a call without recipient that runs it answers who it is made as.
const CALLER_CODE: &str = "0x3360005260206000f3";

/// JSON-RPC codes of what is wrong with a session.
const INVALID: i64 = -32040;
const EXPIRED: i64 = -32041;
const REVOKED: i64 = -32042;
const PATH_TOKEN: i64 = -32043;
const REFUSED: i64 = -32044;

fn lower(index: usize) -> String {
    format!("{:#x}", signer(index).address())
}

/// Who a call without `from` is made as.
fn made_as(node: SocketAddr, token: &str) -> String {
    let word = call_as(node, token, "eth_call", &json!([{ "input": CALLER_CODE }])).expect("a call");
    format!("0x{}", &word.as_str().expect("a word")[26..])
}

/// Status, code and reason of a refusal.
fn refusal(answer: &cloister_tests::rpc::HttpAnswer) -> (u16, i64, String) {
    let error = &answer.json()["error"];
    let reason = error["data"]["reason"].as_str().unwrap_or_default().to_owned();
    (answer.status, error["code"].as_i64().unwrap_or_default(), reason)
}

fn accounts_become_a_session(target: Target) {
    let node = Node::start_default(target);
    let at = node.address();
    let first = token(&sign_in(at, &signer(3), None));
    assert_eq!(call_as(at, &first, "eth_accounts", &json!([])), Ok(json!([lower(3)])));
    assert_eq!(made_as(at, &first), lower(3));

    let answer = sign_in(at, &signer(5), Some(&first));
    assert_eq!(answer["accounts"], json!([lower(3), lower(5)]));
    let both = token(&answer);
    assert_eq!(call_as(at, &both, "eth_accounts", &json!([])), Ok(json!([lower(3), lower(5)])));
    assert_eq!(made_as(at, &both), lower(3), "the first account stays the first");
    let given = json!([{ "input": CALLER_CODE, "from": lower(5) }]);
    let word = call_as(at, &both, "eth_call", &given).expect("a call");
    assert!(word.as_str().is_some_and(|word| word.ends_with(&lower(5)[2..])), "{word}");
    assert_eq!(call_as(at, &first, "eth_accounts", &json!([])), Ok(json!([lower(3)])), "the older token is as it was");

    // Who shows nothing is the developer; who has signed in is not.
    assert!(node.rpc().expect("eth_accounts", json!([])).as_array().is_some_and(|accounts| accounts.len() == 10));
    let error = call_as(at, &both, "evm_mine", &json!([])).expect_err("not for a session");
    assert_eq!(error.code, -32601);
}

#[test]
fn accounts_become_a_session_dev() {
    accounts_become_a_session(Target::Dev);
}

#[test]
fn accounts_become_a_session_two_process() {
    accounts_become_a_session(Target::TwoProcess);
}

#[test]
fn each_wrong_field_is_refused_with_its_reason() {
    let node = Node::start_default(Target::Dev);
    let (at, signer) = (node.address(), signer(0));
    let good = || Message::new(at, &signer);
    let later = |seconds| rfc3339(now_s() + seconds);
    let cases = [
        (Message { domain: "evil.example".into(), ..good() }, "domain", 403),
        (Message { domain: "https://localhost:3000".into(), ..good() }, "uri", 403),
        (Message { uri: "https://evil.example".into(), ..good() }, "uri", 403),
        (Message { version: "2".into(), ..good() }, "message", 400),
        (Message { chain_id: "1".into(), ..good() }, "chain-id", 403),
        (Message { nonce: "0123456789abcdef".into(), ..good() }, "nonce-unknown", 403),
        (Message { address: good().address.to_lowercase(), ..good() }, "message", 400),
        (Message { issued_at: "yesterday".into(), ..good() }, "message", 400),
        (Message { issued_at: later(3_600), ..good() }, "issued-in-future", 403),
        (Message { more: format!("\nExpiration Time: {}", rfc3339(now_s() - 60)), ..good() }, "message-expired", 403),
        (Message { more: format!("\nNot Before: {}", later(3_600)), ..good() }, "not-yet-valid", 403),
        (Message { more: "\nand more".into(), ..good() }, "message", 400),
    ];
    for (message, reason, status) in cases {
        let text = message.text();
        let answer = post(at, &text, &sign(&signer, &text), None);
        assert_eq!(refusal(&answer), (status, REFUSED, reason.to_owned()), "{text}");
    }
    let optional = format!("\nExpiration Time: {}\nNot Before: {}\nRequest ID: a1", later(60), rfc3339(now_s() - 60));
    let text = Message { more: optional, ..good() }.text();
    assert_eq!(post(at, &text, &sign(&signer, &text), None).status, 200);
}

#[test]
fn a_signature_proves_one_message_of_one_account_once() {
    let node = Node::start_default(Target::Dev);
    let (at, owner) = (node.address(), signer(0));
    let text = Message::new(at, &owner).text();
    let forged = sign(&signer(1), &text);
    assert_eq!(refusal(&post(at, &text, &forged, None)), (403, REFUSED, "signature-wrong".to_owned()));
    // The nonce went with it.
    assert_eq!(refusal(&post(at, &text, &sign(&owner, &text), None)), (403, REFUSED, "nonce-used".to_owned()));

    let text = Message::new(at, &owner).text();
    let good = sign(&owner, &text);
    assert_eq!(refusal(&post(at, &text, &malleable(&good), None)), (403, REFUSED, "signature-malleable".to_owned()));
    let text = Message::new(at, &owner).text();
    let good = sign(&owner, &text);
    assert_eq!(post(at, &text, &good, None).status, 200);
    assert_eq!(refusal(&post(at, &text, &good, None)), (403, REFUSED, "nonce-used".to_owned()), "a replay");

    let other = Node::start_default(Target::Dev);
    let text = Message { nonce: nonce(other.address()), ..Message::new(at, &owner) }.text();
    let answer = post(at, &text, &sign(&owner, &text), None);
    assert_eq!(refusal(&answer), (403, REFUSED, "nonce-unknown".to_owned()), "another node's nonce");
    let token_there = token(&sign_in(other.address(), &owner, None));
    let error = call_as(at, &token_there, "eth_chainId", &json!([])).expect_err("another chain's token");
    assert_eq!(error.code, INVALID);
}

/// The other signature that the same key could have made.
fn malleable(signature: &str) -> String {
    use alloy_primitives::{U256, uint};
    const ORDER: U256 = uint!(0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141_U256);
    let mut bytes = hex::decode(&signature[2..]).expect("a signature in hexadecimal");
    let s = ORDER - U256::from_be_slice(&bytes[32..64]);
    bytes[32..64].copy_from_slice(&s.to_be_bytes::<32>());
    bytes[64] = if bytes[64] == 27 { 28 } else { 27 };
    format!("0x{}", hex::encode(bytes))
}

#[test]
fn a_wrong_token_is_never_nobody() {
    let node = Node::start_default(Target::Dev);
    let at = node.address();
    let good = token(&sign_in(at, &signer(0), None));
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": []}).to_string();
    let flipped = if good.ends_with('A') {
        format!("{}B", &good[..good.len() - 1])
    } else {
        format!("{}A", &good[..good.len() - 1])
    };
    for wrong in [&good[1..], &good[..good.len() - 1], &flipped, "", "x"] {
        let answer = exchange(at, "POST", "/", &[("Authorization", &bearer(wrong))], &call);
        assert_eq!(refusal(&answer), (401, INVALID, "token-invalid".to_owned()), "{wrong}");
        assert_eq!(answer.json()["id"], Value::Null);
    }
    let basic = exchange(at, "POST", "/", &[("Authorization", "Basic Zm9vOmJhcg==")], &call);
    assert_eq!(refusal(&basic), (401, INVALID, "token-invalid".to_owned()));
    let two = [("Authorization", bearer(&good)), ("Authorization", bearer(&good))];
    let two: Vec<_> = two.iter().map(|(name, value)| (*name, value.as_str())).collect();
    assert_eq!(exchange(at, "POST", "/", &two, &call).status, 401);
    let handshake = WebSocket::open_with(connect(at).expect("a connection"), "/", &[("Authorization", "Bearer x")]);
    assert!(handshake.is_err_and(|error| error.to_string().contains("401")));
}

#[test]
fn sessions_end_in_block_time_or_when_they_are_revoked() {
    let node = Node::start_default(Target::Dev);
    let at = node.address();
    let (revoked, kept) = (token(&sign_in(at, &signer(0), None)), token(&sign_in(at, &signer(0), None)));
    let answer = exchange(at, "POST", "/auth/revoke", &[("Authorization", &bearer(&revoked))], "{}");
    assert_eq!((answer.status, answer.json()), (200, json!({"revoked": true})));
    let error = call_as(at, &revoked, "eth_chainId", &json!([])).expect_err("it was revoked");
    assert_eq!(error.code, REVOKED);
    assert!(call_as(at, &kept, "eth_chainId", &json!([])).is_ok());
    assert_eq!(exchange(at, "POST", "/auth/revoke", &[], "{}").status, 401, "whose?");

    node.rpc().expect("evm_increaseTime", json!([8 * 60 * 60 + 600]));
    assert!(call_as(at, &kept, "eth_chainId", &json!([])).is_ok(), "no block has that time yet");
    node.rpc().expect("evm_mine", json!([]));
    let error = call_as(at, &kept, "eth_chainId", &json!([])).expect_err("it is over");
    assert_eq!(error.code, EXPIRED);
    let renewed = token(&sign_in(at, &signer(0), None));
    assert!(call_as(at, &renewed, "eth_chainId", &json!([])).is_ok());
}

#[test]
fn what_was_revoked_stays_so_over_a_restart() {
    for target in [Target::Dev, Target::TwoProcess] {
        let folder = tempfile::tempdir().expect("a folder");
        let options = NodeOptions { datadir: Some(folder.path().join("data")), ..NodeOptions::default() };
        let node = Node::start(target, &options);
        let at = node.address();
        let (revoked, kept) = (token(&sign_in(at, &signer(0), None)), token(&sign_in(at, &signer(0), None)));
        let answer = exchange(at, "POST", "/auth/revoke", &[("Authorization", &bearer(&revoked))], "{}");
        assert_eq!(answer.status, 200);
        // What was answered is durable.
        node.kill();
        let node = Node::start(target, &options);
        let error = call_as(node.address(), &revoked, "eth_chainId", &json!([])).expect_err("it was revoked");
        assert_eq!(error.code, REVOKED);
        assert!(call_as(node.address(), &kept, "eth_chainId", &json!([])).is_ok());
    }
}

/// Opens a WebSocket with a session and subscribes to blocks.
fn subscribed(node: SocketAddr, token: &str) -> (WebSocket, Value) {
    let connection = connect(node).expect("a connection");
    let mut socket = WebSocket::open_with(connection, "/", &[("Authorization", &bearer(token))]).expect("a WebSocket");
    assert_eq!(socket.call("eth_accounts", &json!([])), Ok(json!([lower(4)])));
    let id = socket.call("eth_subscribe", &json!(["newHeads"])).expect("a subscription");
    (socket, id)
}

#[test]
fn a_websocket_is_its_session_and_ends_with_it() {
    let node = Node::start_default(Target::TwoProcess);
    let at = node.address();
    let end_of = |socket: &mut WebSocket, id: &Value, code: i64| {
        let error = socket.notification_error(id);
        assert_eq!(error, "subscription closed: the session is over, sign in again");
        let error = socket.call("eth_chainId", &json!([])).expect_err("the session is over");
        assert_eq!(error.code, code);
    };
    let session = token(&sign_in(at, &signer(4), None));
    let (mut socket, id) = subscribed(at, &session);
    node.rpc().expect("evm_mine", json!([]));
    assert_eq!(socket.notification(&id)["number"], "0x1");
    assert_eq!(exchange(at, "POST", "/auth/revoke", &[("Authorization", &bearer(&session))], "").status, 200);
    end_of(&mut socket, &id, REVOKED);

    let session = token(&sign_in(at, &signer(4), None));
    let (mut socket, id) = subscribed(at, &session);
    node.rpc().expect("evm_increaseTime", json!([8 * 60 * 60 + 600]));
    node.rpc().expect("evm_mine", json!([]));
    // What it hears of that block, or not, is the same to it: the subscription ends.
    end_of(&mut socket, &id, EXPIRED);
}

#[test]
fn a_token_may_stand_in_the_path_on_a_development_network() {
    let node = Node::start_default(Target::TwoProcess);
    let at = node.address();
    let session = token(&sign_in(at, &signer(4), None));
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "eth_accounts", "params": []}).to_string();
    let answer = exchange(at, "POST", &format!("/t/{session}"), &[], &call).json();
    assert_eq!(answer["result"], json!([lower(4)]));
    let other = token(&sign_in(at, &signer(4), None));
    let both = exchange(at, "POST", &format!("/t/{session}"), &[("Authorization", &bearer(&other))], &call);
    assert_eq!(both.status, 401, "two tokens are none");
    assert_eq!(exchange(at, "POST", "/t/x", &[], &call).status, 401);
    let mut socket =
        WebSocket::open_with(connect(at).expect("a connection"), &format!("/t/{session}"), &[]).expect("a WebSocket");
    assert_eq!(socket.call("eth_accounts", &json!([])), Ok(json!([lower(4)])));
    assert_eq!(exchange(at, "POST", &format!("/t/{session}/auth/revoke"), &[], "").status, 200);
    assert_eq!(exchange(at, "POST", &format!("/t/{session}"), &[], &call).status, 401);
}

#[test]
fn a_named_site_is_the_only_one_and_takes_no_token_in_the_path() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("genesis.json");
    let genesis = std::fs::read_to_string(cloister_tests::repository().join("genesis/development.json"))
        .expect("an example genesis");
    let mut genesis: Value = serde_json::from_str(&genesis).expect("an example is JSON");
    genesis["config"]["cloister"]["signIn"] = json!({"domain": "node.example", "tokenSeconds": 600});
    std::fs::write(&file, genesis.to_string()).expect("a file");
    let extra = vec!["--genesis".to_owned(), file.display().to_string()];
    let node = Node::start(Target::TwoProcess, &NodeOptions { extra, ..NodeOptions::default() });
    let (at, owner) = (node.address(), signer(0));
    let chain_id = node.rpc().expect("net_version", json!([])).as_str().expect("a number").to_owned();
    let good = || Message {
        domain: "node.example".into(),
        uri: "https://node.example/".into(),
        chain_id: chain_id.clone(),
        ..Message::new(at, &owner)
    };
    for (message, reason) in [
        (Message { domain: "localhost:3000".into(), ..good() }, "domain"),
        (Message { uri: "http://localhost:3000".into(), ..good() }, "uri"),
    ] {
        let text = message.text();
        assert_eq!(refusal(&post(at, &text, &sign(&owner, &text), None)).2, reason);
    }
    let text = good().text();
    let session = token(&post(at, &text, &sign(&owner, &text), None).json());
    assert_eq!(call_as(at, &session, "eth_accounts", &json!([])), Ok(json!([lower(0)])));
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "eth_accounts", "params": []}).to_string();
    let answer = exchange(at, "POST", &format!("/t/{session}"), &[], &call);
    assert_eq!(refusal(&answer), (401, PATH_TOKEN, "path-token".to_owned()));
}

#[test]
fn sizes_and_rates_are_bounded() {
    let node = Node::start_default(Target::Dev);
    let (at, owner) = (node.address(), signer(0));
    let text = Message { more: format!("\nRequest ID: {}", "a".repeat(5_000)), ..Message::new(at, &owner) }.text();
    let answer = post(at, &text, &sign(&owner, &text), None);
    assert_eq!(refusal(&answer), (400, REFUSED, "message".to_owned()));
    let text = Message::new(at, &owner).text();
    let answer = post(at, &text, &format!("0x{}", "00".repeat(16_385)), None);
    assert_eq!(refusal(&answer), (403, REFUSED, "signature-too-long".to_owned()));
    let answer = post(at, "", &"0".repeat(70_000), None);
    assert_eq!(refusal(&answer), (413, -32600, "body-too-large".to_owned()));
    for body in ["", "[]", "{}", r#"{"message":"","signature":"0xzz"}"#, r#"{"message":"","signature":"0x","more":1}"#]
    {
        assert_eq!(refusal(&exchange(at, "POST", "/auth", &[], body)), (400, -32600, "body".to_owned()), "{body}");
    }
    assert_eq!(exchange(at, "GET", "/auth", &[], "").status, 405);
    assert_eq!(exchange(at, "POST", "/auth/x", &[], "").status, 404);

    let mut connection = BufReader::new(connect(at).expect("a connection"));
    let mut ask = || exchange_on(&mut connection, "POST", "/auth/nonce", &[], "").expect("an answer");
    let refused = (0..1_000).map(|_| ask()).find(|answer| answer.status != 200).expect("a bound");
    assert_eq!(refusal(&refused), (429, -32005, "too-many-requests".to_owned()));
    // Neither others nor other requests of the same connection notice.
    assert!(!nonce(at).is_empty());
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": []}).to_string();
    assert_eq!(exchange_on(&mut connection, "POST", "/", &[], &call).expect("an answer").status, 200);
}

/// Says yes to a signature whose first byte is 1, and sets a slot on the way (EIP-1271).
const WALLET: &str = "0x6001600055606435 60f81c60011463 1626ba7e60e01b0260005260206000f3";
/// Jumps to its own start for as long as there is gas.
const GAS_BOMB: &str = "0x5b600056";
/// Returns the magic value in one word too few bytes.
const SHORT: &str = "0x631626ba7e60e01b60005260046000f3";

#[test]
fn a_contract_says_itself_whose_signature_is_good() {
    let node = Node::start_default(Target::TwoProcess);
    let at = node.address();
    let wallet = |code: &str, byte: u8| {
        let address = alloy_primitives::Address::repeat_byte(byte);
        node.rpc().expect("hardhat_setCode", json!([address, code.replace(' ', "")]));
        address
    };
    let attempt = |address: alloy_primitives::Address, signature: &str| {
        let message = Message { address: address.to_checksum(None), ..Message::new(at, &signer(0)) };
        post(at, &message.text(), signature, None)
    };
    let (good, bomb, short) = (wallet(WALLET, 0xa1), wallet(GAS_BOMB, 0xa2), wallet(SHORT, 0xa3));
    let answer = attempt(good, "0x01aabb");
    assert_eq!(answer.json()["accounts"], json!([format!("{good:#x}")]));
    assert_eq!(made_as(at, &token(&answer.json())), format!("{good:#x}"));
    let slot = node.rpc().expect("eth_getStorageAt", json!([good, "0x0", "latest"]));
    assert_eq!(slot, json!(format!("0x{}", "0".repeat(64))), "what it changes is discarded");
    let nobody = alloy_primitives::Address::repeat_byte(0xa9);
    for (address, signature) in [(good, "0x02"), (good, "0x"), (bomb, "0x01"), (short, "0x01"), (nobody, "0x01")] {
        // One answer for all of them: it tells nobody where contracts are.
        assert_eq!(
            refusal(&attempt(address, signature)),
            (403, REFUSED, "signature-wrong".to_owned()),
            "{address} {signature}"
        );
    }
    assert!(RpcClient::new(at).call("eth_blockNumber", json!([])).is_ok());
}

/// Runs `cloister login` with the first keys in the environment.
fn login(url: &str, arguments: &[&str]) -> std::process::Output {
    let output = Command::new(binary("cloister"))
        .args(["login", "--url", url])
        .args(arguments)
        .env("KEY_A", KEYS[1])
        .env("KEY_B", KEYS[2])
        .output();
    output.expect("cloister runs")
}

#[test]
fn login_gives_foundry_its_token() {
    let scene = Scene::new(Target::Dev);
    let output = login(&scene.url, &["--key", "env:KEY_A", "--key", "env:KEY_B"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let session = String::from_utf8(output.stdout).expect("a token is text").trim().to_owned();
    assert!(!String::from_utf8_lossy(&output.stderr).contains(&session), "the token is on one stream only");
    let header = format!("Authorization: {}", bearer(&session));
    let cast = |arguments: &[&str]| {
        let output = scene.tool("cast").with("ETH_RPC_HEADERS", &header).succeed(arguments);
        output.text().trim().to_owned()
    };
    assert_eq!(cast(&["rpc", "eth_accounts"]), format!("[\"{}\",\"{}\"]", lower(1), lower(2)));
    assert_eq!(cast(&["call", "--create", CALLER_CODE]), format!("0x{}{}", "0".repeat(24), &lower(1)[2..]));
    let sent = scene
        .tool("cast")
        .with("ETH_RPC_HEADERS", &header)
        .succeed(["send", "--json", "--private-key", KEYS[1], &lower(7), "--value", "1"])
        .json();
    assert_eq!(sent["status"], "0x1");
    let refused = scene.tool("cast").with("ETH_RPC_HEADERS", "Authorization: Bearer x").fail(["chain-id"]);
    assert!(refused.stderr.contains("401"), "{}", refused.stderr);
}

#[test]
fn login_says_what_is_wrong() {
    let node = Node::start_default(Target::Dev);
    let json = login(&node.http_url(), &["--key", "env:KEY_A", "--json"]);
    let answer: Value = serde_json::from_slice(&json.stdout).expect("JSON");
    assert_eq!(answer["accounts"], json!([signer(1).address().to_checksum(None)]));
    for (arguments, code, words) in [
        (&["--key", "env:KEY_A", "--domain", "evil.example"][..], 1, "the message names another domain (domain)"),
        (&["--key", "env:NO_SUCH_KEY"], 2, "the environment has no variable NO_SUCH_KEY"),
        (&["--key", "0x01"], 2, "a private key is 32 bytes in hexadecimal"),
    ] {
        let output = login(&node.http_url(), arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains(words), "{said}");
    }
    assert_eq!(login("https://127.0.0.1:1", &["--key", "env:KEY_A"]).status.code(), Some(2));
    let closed = format!("http://127.0.0.1:{}", cloister_tests::node::free_port());
    let output = login(&closed, &["--key", "env:KEY_A"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no answer from"));
}

/// forge deploys to a confidential chain and cast reads what is its own; strangers are told what they are told of nothing.
fn foundry_on_a_confidential_chain(way: Way) {
    let reach = Reach::by(way);
    let workspace = Workspace::contracts();
    let tool = |name: &str| {
        let tool = workspace.foundry(name).with("ETH_RPC_URL", &reach.url);
        match &reach.authorization {
            Some(authorization) => tool.with("ETH_RPC_HEADERS", format!("Authorization: {authorization}")),
            None => tool,
        }
    };
    let source = "examples/src/Token.sol:Token";
    let create = ["create", source, "--rpc-url", &reach.url, "--private-key", KEYS[0], "--broadcast", "--json"];
    let arguments = ["--constructor-args", "Example", "EXA", "1000"];
    let created = tool("forge").succeed([&create[..], &arguments].concat()).json();
    let (coin, hash) = (created["deployedTo"].as_str().expect("an address"), &created["transactionHash"]);
    let cast = |arguments: &[&str]| tool("cast").succeed(arguments);
    let sent = cast(&[
        "send",
        "--json",
        "--private-key",
        KEYS[0],
        "--gas-limit",
        "300000",
        coin,
        "transfer(address,uint256)",
        &lower(7),
        "5",
    ]);
    assert_eq!((&sent.json()["status"], sent.json()["logs"].as_array().map(Vec::len)), (&json!("0x1"), Some(1)));
    assert_eq!(cast(&["receipt", "--json", hash.as_str().expect("a hash")]).json()["status"], "0x1");
    assert_ne!(cast(&["balance", &lower(0)]).text(), "0");
    assert_eq!(cast(&["nonce", &lower(0)]).text(), "2");
    let refused = tool("cast").fail(["call", coin, "balanceOf(address)(uint256)", &lower(0)]);
    assert!(refused.stderr.contains("revert"), "{}", refused.stderr);

    let stranger = reach.node.rpc();
    for method in ["eth_getTransactionReceipt", "eth_getTransactionByHash"] {
        assert_eq!(stranger.expect(method, json!([hash])), Value::Null);
    }
    assert_eq!(stranger.expect("eth_getBalance", json!([lower(0), "latest"])), "0x0");
    assert_eq!(stranger.expect("eth_getCode", json!([coin, "latest"])), "0x");
    assert_eq!(stranger.expect("eth_getLogs", json!([{ "fromBlock": "0x0" }])), json!([]));
}

#[test]
fn foundry_on_a_confidential_chain_with_a_token() {
    foundry_on_a_confidential_chain(Way::Header);
}

#[test]
fn foundry_on_a_confidential_chain_with_a_token_in_the_path() {
    foundry_on_a_confidential_chain(Way::Path);
}

#[test]
fn foundry_on_a_confidential_chain_by_a_gateway() {
    foundry_on_a_confidential_chain(Way::Gateway);
}

/// A script that deploys contracts of its own, one of them through the deterministic deployer, and uses them. Scripts ask over a
/// connection of their own that takes no headers: a token stands in the path, or a gateway in between.
fn scripts_on_a_confidential_chain(way: Way) {
    let reach = Reach::by(way);
    let workspace = Workspace::contracts();
    let arguments =
        ["script", "examples/script/Deploy.s.sol", "--rpc-url", &reach.url, "--private-key", KEYS[0], "--broadcast"];
    // Gas is measured at Ethereum's prices, and costs more here.
    let said = workspace.foundry("forge").succeed([&arguments[..], &["--gas-estimate-multiplier", "300"]].concat());
    assert!(said.stdout.contains("ONCHAIN EXECUTION COMPLETE & SUCCESSFUL"), "{}", said.stdout);
    let nonce = call_as(
        reach.node.address(),
        &token(&sign_in(reach.node.address(), &signer(0), None)),
        "eth_getTransactionCount",
        &json!([lower(0), "latest"]),
    );
    assert_eq!(nonce, Ok(json!("0x7")));
    let stranger = reach.node.rpc();
    assert_eq!(stranger.expect("eth_getLogs", json!([{ "fromBlock": "0x0" }])), json!([]));
    for published in [DETERMINISTIC_DEPLOYER_ADDRESS, MULTICALL3_ADDRESS, VISIBILITY_ADDRESS] {
        assert_ne!(stranger.expect("eth_getCode", json!([published, "latest"])), "0x");
        assert_eq!(stranger.expect("eth_getTransactionCount", json!([published, "latest"])), "0x0");
    }
}

#[test]
fn scripts_on_a_confidential_chain_with_a_token_in_the_path() {
    scripts_on_a_confidential_chain(Way::Path);
}

#[test]
fn scripts_on_a_confidential_chain_by_a_gateway() {
    scripts_on_a_confidential_chain(Way::Gateway);
}
