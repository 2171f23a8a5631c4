//! Wrong requests over real sockets: each gets geth's error code, and the node goes on serving everyone else.
//!
//! Where anvil answers otherwise than geth, geth is right: reference runs leave those checks out, each with its reason.

use alloy::consensus::{SignableTransaction, Signed, TxEip1559, TxEip4844, TxLegacy};
use alloy::eips::eip2718::Encodable2718;
use alloy::signers::SignerSync;
use alloy::signers::local::PrivateKeySigner;
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256, address};
use cloister_tests::node::{Node, NodeOptions, Target, is_reference_run, receipt_of};
use cloister_tests::rpc::{RpcClient, RpcError, outcome};
use cloister_tests::transactions::{Account, eip1559, legacy, raw, send_params, signer};
use cloister_tests::websocket::{Frame, WebSocket};
use serde_json::{Value, json};

const STRANGER: Address = address!("0x00000000000000000000000000000000000a11ce");

fn node() -> Node {
    Node::start_default(Target::Dev)
}

/// The error of a body that may be no request at all.
fn refusal(rpc: &RpcClient, body: &str) -> RpcError {
    let answer = rpc.post(body.as_bytes()).unwrap_or_else(|e| panic!("{body}: no answer: {e}")).json();
    outcome(&answer).expect_err(&format!("{body} was taken: {answer}"))
}

fn assert_alive(rpc: &RpcClient) {
    assert_eq!(rpc.expect("eth_chainId", json!([])), "0x7a69");
}

#[test]
fn what_is_no_json_is_a_parse_error() {
    let node = node();
    for body in
        ["{", "", "not json", "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"eth_chainId\"", "[{]", "\u{0}", "{'a':1}"]
    {
        if is_reference_run() && body.is_empty() {
            continue;
        }
        let code = refusal(node.rpc(), body).code;
        // anvil calls it an invalid request.
        assert!(code == -32700 || (is_reference_run() && code == -32600), "{body:?}: {code}");
    }
    let invalid_utf8 =
        node.rpc().post(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\xff\xfe\"}").expect("an answer").json();
    assert!(outcome(&invalid_utf8).is_err());
    assert_alive(node.rpc());
}

#[test]
fn what_is_no_request_is_invalid() {
    let node = node();
    for body in ["{\"jsonrpc\":\"2.0\",\"id\":1}", "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":5}"] {
        let error = refusal(node.rpc(), body);
        assert_eq!(error.code, -32600, "{body}: {error}");
    }
    // JSON, but nothing like a request; parsers may stop one step earlier.
    for body in ["{}", "5", "\"text\"", "null", "true"] {
        assert!([-32600, -32700].contains(&refusal(node.rpc(), body).code), "{body}");
    }
    // Nesting to exhaust a parser's stack.
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let answer = node.rpc().post(deep.as_bytes()).expect("an answer");
    assert!(!String::from_utf8_lossy(&answer.body).contains("\"result\""));
    assert_alive(node.rpc());
}

#[test]
fn batches_answer_each_entry_by_itself() {
    let node = node();
    assert_eq!(refusal(node.rpc(), "[]").code, -32600, "an empty batch");
    if is_reference_run() {
        return; // anvil refuses the whole batch for one bad entry
    }
    let body = r#"[{"jsonrpc":"2.0","id":1,"method":"eth_chainId"}, 5, {"jsonrpc":"2.0","id":"two","method":"eth_noSuch"}, {"jsonrpc":"2.0","method":"eth_chainId"}]"#;
    let answers = node.rpc().post(body.as_bytes()).expect("an answer").json();
    let answers = answers.as_array().expect("a batch of answers");
    let of = |id: Value| {
        answers.iter().find(|answer| answer["id"] == id).unwrap_or_else(|| panic!("no answer to {id}: {answers:?}"))
    };
    assert_eq!(of(json!(1))["result"], "0x7a69");
    assert_eq!(of(json!("two"))["error"]["code"], -32601);
    assert_eq!(of(Value::Null)["error"]["code"], -32600);
    assert_eq!(answers.len(), 3, "a notification is not answered: {answers:?}");
}

#[test]
fn a_notification_is_not_answered() {
    if is_reference_run() {
        return; // anvil leaves the HTTP request without an answer
    }
    let node = node();
    let answer = node.rpc().post(br#"{"jsonrpc":"2.0","method":"eth_chainId","params":[]}"#).expect("an HTTP answer");
    assert!(answer.body.is_empty(), "{}", String::from_utf8_lossy(&answer.body));
    assert_alive(node.rpc());
}

#[test]
fn an_oversized_batch_is_refused_as_a_whole() {
    let node = node();
    let entry = r#"{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":[]}"#;
    let hundred = node.rpc().post(format!("[{}]", vec![entry; 100].join(",")).as_bytes()).expect("an answer").json();
    assert_eq!(hundred.as_array().map(Vec::len), Some(100));
    if is_reference_run() {
        return; // anvil has no limit
    }
    let answer = node.rpc().post(format!("[{}]", vec![entry; 20_000].join(",")).as_bytes()).expect("an answer").json();
    let error = outcome(answer.get(0).unwrap_or(&answer)).expect_err("refused");
    assert_eq!(error.code, -32600, "{error}");
    assert_alive(node.rpc());
}

#[test]
fn an_oversized_body_is_refused_without_being_kept() {
    let node = node();
    let before = resident_kib(node.id());
    let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"web3_sha3","params":["0x{}"]}}"#, "00".repeat(32 << 20));
    match node.rpc().post(body.as_bytes()) {
        Ok(answer) => assert!(answer.status == 413 || answer.json().get("error").is_some(), "status {}", answer.status),
        // The server may close while we are still writing.
        Err(error) => assert!(
            matches!(error.kind(), std::io::ErrorKind::BrokenPipe | std::io::ErrorKind::ConnectionReset),
            "{error}"
        ),
    }
    assert_alive(&RpcClient::new(node.address()));
    if !is_reference_run() {
        let grown = resident_kib(node.id()).saturating_sub(before);
        assert!(grown < 48 << 10, "a refused body of 64 MiB left {grown} KiB");
    }
}

/// VmRSS of a process; 0 where there is no /proc.
fn resident_kib(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

#[test]
fn unknown_methods_and_wrong_parameters_have_their_codes() {
    let node = node();
    let rpc = node.rpc();
    for method in [
        "eth_noSuchMethod",
        "noSuchNamespace_x",
        "",
        "eth_",
        "ETH_CHAINID",
        "engine_newPayloadV4",
        "admin_addPeer",
        "miner_start",
    ] {
        assert_eq!(rpc.refuse(method, json!([])).code, -32601, "{method:?}");
    }
    for (method, params) in [
        ("eth_getBalance", json!([])),
        ("eth_getBalance", json!(["0x1234", "latest"])),
        ("eth_getBalance", json!([5, "latest"])),
        ("eth_getBalance", json!(["0xzz00000000000000000000000000000000000000", "latest"])),
        ("eth_getBalance", json!([STRANGER, "newest"])),
        ("eth_getBalance", json!([STRANGER, "0xffffffffffffffffff"])),
        ("eth_getBlockByNumber", json!(["latest", "yes"])),
        ("eth_getBlockByNumber", json!([{}, false])),
        ("eth_getBlockByHash", json!(["0x12", false])),
        ("eth_getTransactionByHash", json!([])),
        ("eth_getTransactionByHash", json!(["latest"])),
        ("eth_getStorageAt", json!([STRANGER, {}, "latest"])),
        ("eth_call", json!([])),
        ("eth_call", json!(["data", "latest"])),
        ("eth_call", json!([{"to": "0x12"}, "latest"])),
        ("eth_call", json!([{"to": STRANGER, "data": "0x1"}, "latest"])),
        ("eth_estimateGas", json!([{"gas": "many"}])),
        ("eth_sendRawTransaction", json!([])),
        ("eth_sendRawTransaction", json!([7])),
        ("eth_getLogs", json!([])),
        ("eth_getLogs", json!([{"topics": "none"}])),
        ("eth_feeHistory", json!(["0x1", "latest", "all"])),
        ("web3_sha3", json!(["abc"])),
    ] {
        let error = rpc.refuse(method, params.clone());
        assert_eq!(error.code, -32602, "{method} {params}: {error}");
    }
    // Parameters by name instead of position.
    assert_eq!(rpc.refuse("eth_getBalance", json!({"address": STRANGER})).code, -32602);
}

#[test]
fn blocks_that_are_not_there() {
    let node = node();
    let rpc = node.rpc();
    assert_eq!(rpc.expect("eth_getBlockByNumber", json!(["0xffff", false])), Value::Null);
    assert_eq!(rpc.expect("eth_getBlockByHash", json!([B256::repeat_byte(1), false])), Value::Null);
    assert_eq!(rpc.expect("eth_getTransactionReceipt", json!([B256::repeat_byte(1)])), Value::Null);
    assert_eq!(rpc.expect("eth_getTransactionByBlockNumberAndIndex", json!(["latest", "0x10"])), Value::Null);
    if is_reference_run() {
        return; // anvil answers with other codes of its own
    }
    for (method, params) in [
        ("eth_getBalance", json!([STRANGER, "0xffff"])),
        ("eth_getBalance", json!([STRANGER, {"blockHash": B256::repeat_byte(1)}])),
        ("eth_call", json!([{"to": STRANGER}, "0xffff"])),
        ("eth_getStorageAt", json!([STRANGER, "0x0", "0xffff"])),
    ] {
        let error = rpc.refuse(method, params.clone());
        assert_eq!(error.code, -32000, "{method} {params}: {error}");
        assert!(
            ["header not found", "header for hash not found"].contains(&error.message.as_str()),
            "{method} {params}: {error}"
        );
    }
}

#[test]
fn log_ranges_that_make_no_sense() {
    let node = node();
    let rpc = node.rpc();
    for _ in 0..3 {
        rpc.expect("evm_mine", json!([]));
    }
    assert_eq!(rpc.expect("eth_getLogs", json!([{"fromBlock": "0x0", "toBlock": "latest"}])), json!([]));
    if is_reference_run() {
        return; // anvil answers them with nothing, or with codes of its own
    }
    let backwards = rpc.refuse("eth_getLogs", json!([{"fromBlock": "0x3", "toBlock": "0x1"}]));
    let both = rpc.refuse("eth_getLogs", json!([{"fromBlock": "0x0", "blockHash": B256::repeat_byte(1)}]));
    let topics = rpc.refuse("eth_getLogs", json!([{"topics": [null, null, null, null, null]}]));
    let unknown = rpc.refuse("eth_getLogs", json!([{"blockHash": B256::repeat_byte(1)}]));
    assert_eq!((backwards.code, backwards.message.as_str()), (-32602, "invalid block range params"));
    assert_eq!(both.code, -32602, "{both}");
    assert_eq!(topics.code, -32602, "{topics}");
    assert_eq!((unknown.code, unknown.message.as_str()), (-32000, "unknown block"));
    let beyond = rpc.refuse("eth_getLogs", json!([{"fromBlock": "0x0", "toBlock": "0xffffffff"}]));
    assert_eq!(beyond.code, -32602, "{beyond}");
    assert_eq!(rpc.refuse("eth_newFilter", json!([{"fromBlock": "0x3", "toBlock": "0x1"}])).code, -32602);
    assert_eq!(rpc.refuse("eth_getFilterChanges", json!(["0xdead"])).message, "filter not found");
}

/// A transaction and what its refusal says.
struct Wrong {
    what: &'static str,
    raw: Bytes,
    /// One of these is in the message; geth's words first.
    says: &'static [&'static str],
}

fn wrong(what: &'static str, raw: Bytes, says: &'static [&'static str]) -> Wrong {
    Wrong { what, raw, says }
}

/// A transaction with a signature that is not its own.
fn forged(signature: Signature) -> Bytes {
    raw(Signed::new_unchecked(eip1559(STRANGER, 1), signature, B256::ZERO))
}

fn wrong_signatures(account: &Account) -> Vec<Wrong> {
    let good = account.signer.sign_hash_sync(&eip1559(STRANGER, 1).signature_hash()).expect("a local key signs");
    // EIP-2: the other signature of the same message, with s in the upper half and the parity flipped.
    let order = U256::from_str_radix("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141", 16)
        .expect("secp256k1's order");
    let high = Signature::new(good.r(), order - good.s(), !good.v());
    let foreign = TxEip1559 { chain_id: 1, ..eip1559(STRANGER, 1) };
    let foreign_legacy = TxLegacy { chain_id: Some(2), ..legacy(STRANGER, 1) };
    vec![
        wrong("signed for another chain", raw(account.sign(foreign)), &["invalid chain id", "chain ID does not match"]),
        wrong(
            "legacy, signed for another chain",
            raw(account.sign(foreign_legacy)),
            &["invalid chain id", "chain ID does not match"],
        ),
        wrong(
            "r = 0",
            forged(Signature::new(U256::ZERO, good.s(), good.v())),
            &["invalid sender", "Failed to decode", "recover", "signature"],
        ),
        wrong(
            "s = 0",
            forged(Signature::new(good.r(), U256::ZERO, good.v())),
            &["invalid sender", "Failed to decode", "recover", "signature"],
        ),
        wrong(
            "r above the order",
            forged(Signature::new(U256::MAX, good.s(), good.v())),
            &["invalid sender", "Failed to decode", "recover", "signature"],
        ),
        wrong("s in the upper half", forged(high), &["invalid sender", "recover", "signature"]),
    ]
}

fn wrong_amounts(account: &Account) -> Vec<Wrong> {
    let poor = PrivateKeySigner::from_bytes(&B256::repeat_byte(7)).expect("a valid key");
    let poor = Account { signer: poor, nonce: 0 };
    let base = || eip1559(STRANGER, 1);
    let creating =
        |size: usize| TxEip1559 { to: TxKind::Create, input: vec![0; size].into(), gas_limit: 16_000_000, ..base() };
    let data = |gas_limit| TxEip1559 { gas_limit, input: vec![0xff; 1000].into(), ..base() };
    vec![
        wrong(
            "from an account with nothing",
            raw(poor.sign(base())),
            &["insufficient funds for gas * price + value", "Insufficient funds for gas * price + value"],
        ),
        wrong(
            "more than the account has",
            raw(account.sign(TxEip1559 { value: U256::MAX >> 8, ..base() })),
            &["insufficient funds for gas * price + value", "Insufficient funds for gas * price + value"],
        ),
        wrong(
            "gas below the transfer's",
            raw(account.sign(TxEip1559 { gas_limit: 20_999, ..base() })),
            &["intrinsic gas too low"],
        ),
        wrong("gas below the calldata's", raw(account.sign(data(22_000))), &["intrinsic gas too low"]),
        wrong(
            "gas below the calldata floor (EIP-7623)",
            raw(account.sign(data(40_000))),
            &["insufficient gas for floor data gas cost", "intrinsic gas too low", "gas floor"],
        ),
        wrong(
            "gas above the cap of EIP-7825",
            raw(account.sign(TxEip1559 { gas_limit: 16_777_217, ..base() })),
            &["transaction gas limit too high", "intrinsic gas too high"],
        ),
        wrong(
            "gas above the block's",
            raw(account.sign(TxEip1559 {
                gas_limit: u64::MAX >> 1,
                max_fee_per_gas: 1,
                max_priority_fee_per_gas: 0,
                ..base()
            })),
            &["exceeds block gas limit", "intrinsic gas too high", "gas limit too high", "insufficient funds"],
        ),
        wrong("initcode beyond EIP-3860", raw(account.sign(creating(2 * 24_576 + 1))), &["max initcode size exceeded"]),
        wrong(
            "a tip above the fee",
            raw(account.sign(TxEip1559 { max_priority_fee_per_gas: 4_000_000_000, ..base() })),
            &["max priority fee per gas higher than max fee per gas"],
        ),
        wrong(
            "the last nonce",
            raw(account.sign(TxEip1559 { nonce: u64::MAX, ..base() })),
            &["nonce has max value", "nonce too high", "gap too large"],
        ),
    ]
}

fn wrong_encodings(account: &Account) -> Vec<Wrong> {
    let good = raw(account.sign(eip1559(STRANGER, 1)));
    let trailing: Bytes = [good.as_ref(), &[0]].concat().into();
    let blob = TxEip4844 {
        chain_id: 31_337,
        nonce: 0,
        gas_limit: 21_000,
        max_fee_per_gas: 3_000_000_000,
        max_priority_fee_per_gas: 1,
        to: STRANGER,
        value: U256::ZERO,
        access_list: Default::default(),
        blob_versioned_hashes: vec![B256::with_last_byte(1)],
        max_fee_per_blob_gas: 1,
        input: Bytes::new(),
    };
    let signature = account.signer.sign_hash_sync(&blob.signature_hash()).expect("a local key signs");
    let blob: Bytes = blob.into_signed(signature).encoded_2718().into();
    let says: &[&str] =
        &["rlp", "typed transaction too short", "transaction type not supported", "decode", "trailing", "empty"];
    vec![
        wrong("nothing", Bytes::new(), says),
        wrong("a type without a body", Bytes::from_static(&[2]), says),
        wrong("an unknown type", Bytes::from_static(&[0x42, 0xc0]), says),
        wrong("an empty list", Bytes::from_static(&[0xc0]), says),
        wrong("cut short", good.slice(..good.len() - 1), says),
        wrong("with a byte too many", trailing, says),
        wrong(
            "a length beyond all memory",
            Bytes::from_static(&[0x02, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
            says,
        ),
        wrong("a blob transaction", blob, &["blob", "transaction type not supported", "decode"]),
    ]
}

#[test]
fn transactions_that_must_not_get_in() {
    let node = node();
    let account = Account::new(0);
    // anvil takes these.
    let taken = [
        "with a byte too many",
        "s in the upper half",
        "legacy, signed for another chain",
        "gas below the calldata's",
        "gas below the calldata floor (EIP-7623)",
    ];
    let known_to_differ = |what: &str| is_reference_run() && taken.contains(&what);
    let all = [wrong_signatures(&account), wrong_amounts(&account), wrong_encodings(&account)].concat_all();
    for case in all.iter().filter(|case| !known_to_differ(case.what)) {
        let error = node.rpc().refuse("eth_sendRawTransaction", send_params(&case.raw));
        assert!(case.says.iter().any(|words| error.message.contains(words)), "{}: {error}", case.what);
        if !is_reference_run() {
            assert_eq!(error.code, -32000, "{}: {error}", case.what);
        }
    }
    assert_eq!(node.rpc().expect("eth_blockNumber", json!([])), "0x0", "nothing of it was mined");
    assert_eq!(node.rpc().expect("eth_getTransactionCount", json!([account.address(), "pending"])), "0x0");
}

trait ConcatAll<T> {
    fn concat_all(self) -> Vec<T>;
}

impl<T, const N: usize> ConcatAll<T> for [Vec<T>; N] {
    fn concat_all(self) -> Vec<T> {
        self.into_iter().flatten().collect()
    }
}

#[test]
fn nonces_too_low_known_gapped_and_too_far() {
    let node = node();
    let rpc = node.rpc();
    let mut account = Account::new(0);
    let first = account.transfer(STRANGER, 1);
    let hash = rpc.expect("eth_sendRawTransaction", send_params(&first));
    assert_eq!(receipt_of(rpc, &hash)["status"], "0x1");
    let low = rpc.refuse("eth_sendRawTransaction", send_params(&first));
    assert!(low.message.contains("nonce too low") || low.message.contains("already known"), "{low}");

    // A gap is held, not mined; what fills it brings both in, in order.
    let filler = account.transfer(STRANGER, 2);
    let gapped = account.transfer(STRANGER, 3);
    let waiting = rpc.expect("eth_sendRawTransaction", send_params(&gapped));
    assert_eq!(rpc.expect("eth_getTransactionReceipt", json!([waiting])), Value::Null);
    let again = rpc.refuse("eth_sendRawTransaction", send_params(&gapped));
    assert!(again.message.contains("already known") || again.message.contains("already imported"), "{again}");
    let filled = rpc.expect("eth_sendRawTransaction", send_params(&filler));
    let (filled, waiting) = (receipt_of(rpc, &filled), receipt_of(rpc, &waiting));
    let place = |receipt: &Value| {
        (receipt["blockNumber"].as_str().map(str::to_owned), receipt["transactionIndex"].as_str().map(str::to_owned))
    };
    assert!(place(&filled) < place(&waiting), "{filled} {waiting}");

    if is_reference_run() {
        return; // anvil holds any distance
    }
    let far = raw(account.sign(TxEip1559 { nonce: 1_000_000, ..eip1559(STRANGER, 1) }));
    let error = rpc.refuse("eth_sendRawTransaction", send_params(&far));
    assert!(error.code == -32000 && error.message.contains("nonce too high"), "{error}");
}

#[test]
fn replacements_must_pay_more() {
    let node = Node::start(Target::Dev, &NodeOptions { block_time: Some(3600), ..NodeOptions::default() });
    let rpc = node.rpc();
    let account = Account::new(0);
    let offer = |value: u64, percent: u128| {
        let base = eip1559(STRANGER, value);
        raw(account.sign(TxEip1559 {
            max_fee_per_gas: base.max_fee_per_gas * percent / 100,
            max_priority_fee_per_gas: base.max_priority_fee_per_gas * percent / 100,
            ..base
        }))
    };
    rpc.expect("eth_sendRawTransaction", send_params(&offer(1, 100)));
    if is_reference_run() {
        return; // anvil asks for no more than the same price
    }
    for percent in [50, 100, 109] {
        let error = rpc.refuse("eth_sendRawTransaction", send_params(&offer(2, percent)));
        assert!(error.message.contains("replacement transaction underpriced"), "{percent} %: {error}");
    }
    let taken = rpc.expect("eth_sendRawTransaction", send_params(&offer(3, 110)));
    rpc.expect("evm_mine", json!([]));
    assert_eq!(receipt_of(rpc, &taken)["status"], "0x1");
    assert_eq!(rpc.expect("eth_getBalance", json!([STRANGER, "latest"])), "0x3", "only the replacement was mined");
}

#[test]
fn calls_that_cannot_be_made() {
    let node = node();
    let rpc = node.rpc();
    let rich = signer(0).address();
    // More value than there is, more gas than a call may use.
    let error = rpc.refuse("eth_call", json!([{"from": STRANGER, "to": rich, "value": "0x1"}, "latest"]));
    assert!(error.code == -32000 || error.code == -32003 || is_reference_run(), "{error}");
    assert!(error.message.to_lowercase().contains("insufficient funds"), "{error}");
    if !is_reference_run() {
        let estimate = rpc.refuse("eth_estimateGas", json!([{"from": STRANGER, "to": rich, "value": "0x1"}]));
        assert!(
            estimate.message.to_lowercase().contains("insufficient funds")
                || estimate.message.contains("gas required exceeds allowance"),
            "{estimate}"
        );
    }
    // An endless loop ends at the gas cap: JUMPDEST PUSH1 0 JUMP, as creation code.
    let endless = rpc.refuse("eth_call", json!([{"from": rich, "data": "0x5b600056"}, "latest"]));
    assert!(endless.message.to_lowercase().contains("gas"), "{endless}");
    // The most memory that gas can buy, not what the offset asks for.
    let huge = rpc.refuse("eth_call", json!([{"from": rich, "data": format!("0x7f{}51", "ff".repeat(32))}, "latest"]));
    assert!(huge.code == -32000 || huge.code == 3 || is_reference_run(), "{huge}");
    assert_alive(rpc);
}

#[test]
fn an_unlocked_account_is_needed_to_send_for_someone() {
    let node = node();
    let error = node.rpc().refuse("eth_sendTransaction", json!([{"from": STRANGER, "to": STRANGER, "value": "0x0"}]));
    assert!(is_reference_run() || error.code == -32000, "{error}");
    let error = node.rpc().refuse("eth_sign", json!([STRANGER, "0x00"]));
    assert!(is_reference_run() || error.code == -32000, "{error}");
}

#[test]
fn a_websocket_takes_the_same_abuse() {
    let node = node();
    let mut socket = WebSocket::open(node.address()).expect("a WebSocket opens");
    socket.send(b"{").expect("it takes a message");
    let Frame::Message(answer) = socket.receive().expect("an answer") else { panic!("closed after malformed JSON") };
    let answer: Value = serde_json::from_slice(&answer).expect("JSON");
    assert!(answer["error"]["code"] == -32700 || (is_reference_run() && answer["error"]["code"] == -32600), "{answer}");
    if !is_reference_run() {
        assert_eq!(socket.call("eth_noSuchMethod", &json!([])).expect_err("unknown").code, -32601);
    }
    assert_eq!(
        socket.call("eth_subscribe", &json!(["noSuchSubscription"])).expect_err("unknown").code,
        if is_reference_run() { -32602 } else { -32601 }
    );
    assert_eq!(socket.call("eth_chainId", &json!([])), Ok(json!("0x7a69")), "the same connection goes on");
    if !is_reference_run() {
        assert_eq!(node.rpc().refuse("eth_subscribe", json!(["newHeads"])).code, -32601, "not over HTTP");
    }
    // A message beyond the limit ends that connection or is refused; nobody else notices.
    let mut greedy = WebSocket::open(node.address()).expect("a WebSocket opens");
    let sent = greedy.send(format!("{{\"x\":\"{}\"}}", "a".repeat(64 << 20)).as_bytes());
    let answer = greedy.receive();
    assert!(
        sent.is_err()
            || !matches!(&answer, Ok(Frame::Message(text)) if !String::from_utf8_lossy(text).contains("error")),
        "{answer:?}"
    );
    assert_eq!(socket.call("eth_chainId", &json!([])), Ok(json!("0x7a69")));
}

#[test]
fn subscriptions_end_with_their_connection_and_have_a_limit() {
    let node = node();
    let mut socket = WebSocket::open(node.address()).expect("a WebSocket opens");
    let id = socket.call("eth_subscribe", &json!(["newHeads"])).expect("a subscription");
    assert_eq!(socket.call("eth_unsubscribe", &json!([id])), Ok(json!(true)));
    let again = socket.call("eth_unsubscribe", &json!([id]));
    assert!(again == Ok(json!(false)) || again.is_err(), "{again:?}");
    if is_reference_run() {
        return; // anvil has no limit
    }
    let refused = (0..10_000).find_map(|_| socket.call("eth_subscribe", &json!(["newHeads"])).err());
    assert!(refused.is_some(), "ten thousand subscriptions on one connection");
    drop(socket);
    for _ in 0..3 {
        node.rpc().expect("evm_mine", json!([]));
    }
    assert_alive(node.rpc());
}

#[test]
fn code_that_every_block_needs_is_not_replaced() {
    let node = Node::start_default(Target::Dev);
    // EIP-7002 and EIP-7251: a block in which their system calls fail is invalid.
    for contract in ["0x00000961ef480eb55e80d19ad83579a64c007002", "0x0000bbddc7ce488642fb579f8b00f3a590007251"] {
        assert_eq!(node.rpc().refuse("hardhat_setCode", json!([contract, "0x5b600056"])).code, -32602);
        let code = node.rpc().expect("eth_getCode", json!([contract, "latest"]));
        node.rpc().expect("hardhat_setCode", json!([contract, code]));
    }
    node.rpc().expect("evm_mine", json!([]));
    assert_eq!(node.rpc().expect("eth_blockNumber", json!([])), "0x1");
}
