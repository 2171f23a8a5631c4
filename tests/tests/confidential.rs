//! A chain that keeps what happens on it from those it does not concern, over JSON-RPC.

use std::time::Duration;

use alloy::consensus::{TxEip1559, TxEip7702};
use alloy::signers::SignerSync as _;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256, hex, keccak256};
use cloister_tests::node::{CHAIN_ID, Node, NodeOptions, Target, eventually, run_cloister};
use cloister_tests::rpc::{RpcClient, RpcError, quantity};
use cloister_tests::sign_in::{call_as, sign_in, token};
use cloister_tests::tools::artifact;
use cloister_tests::transactions::{Account, authorize, raw, send_params, signer};
use cloister_tests::websocket::{Frame, WebSocket};
use serde_json::{Value, json};

fn options() -> NodeOptions {
    NodeOptions { extra: vec!["--confidential".into()], ..NodeOptions::default() }
}

fn transfer(account: &mut Account, to: Address, value: u64) -> Bytes {
    let transaction = TxEip1559 {
        chain_id: CHAIN_ID,
        nonce: account.nonce,
        gas_limit: 100_000,
        to: TxKind::Call(to),
        value: U256::from(value),
        ..TxEip1559::default()
    };
    account.nonce += 1;
    raw(account.sign(transaction))
}

fn head(rpc: &RpcClient) -> u64 {
    quantity(&rpc.expect("eth_blockNumber", json!([])))
}

/// Sends it and waits for the next block, which is all that a stranger hears of it.
fn send(rpc: &RpcClient, transaction: &Bytes) -> Value {
    let before = head(rpc);
    let hash = rpc.expect("eth_sendRawTransaction", send_params(transaction));
    eventually("a block", Duration::from_secs(20), || (head(rpc) > before).then_some(()));
    hash
}

#[test]
fn a_stranger_sees_headers_and_hashes_and_of_the_rest_as_much_as_of_what_never_was() {
    let node = Node::start(Target::Dev, &options());
    let rpc = node.rpc();
    let (mut alice, bob) = (Account::new(0), Account::new(1));
    let hash = send(rpc, &transfer(&mut alice, bob.address(), 1_000));

    let block = rpc.expect("eth_getBlockByNumber", json!(["latest", false]));
    assert_eq!(block["transactions"], json!([hash]));
    assert_eq!(block["logsBloom"], format!("0x{}", "ff".repeat(256)));
    assert_eq!(block["gasUsed"], "0x5208");
    assert_eq!(rpc.expect("eth_getBlockTransactionCountByNumber", json!(["latest"])), "0x1");
    let full = rpc.expect("eth_getBlockByNumber", json!(["latest", true]));
    assert_eq!(full["transactions"], json!([]));
    assert_eq!(rpc.expect("eth_getBlockReceipts", json!(["latest"])), json!([]));

    // The same for what is and for what never was.
    let (real, never) = (json!(hash), json!(keccak256("never")));
    let (rich, unused) = (json!(alice.address()), json!(Address::repeat_byte(0x77)));
    for (method, asked) in [
        ("eth_getTransactionByHash", [json!([real]), json!([never])]),
        ("eth_getTransactionReceipt", [json!([real]), json!([never])]),
        ("eth_getBalance", [json!([rich, "latest"]), json!([unused, "latest"])]),
        ("eth_getTransactionCount", [json!([rich, "latest"]), json!([unused, "latest"])]),
        ("eth_getTransactionCount", [json!([rich, "pending"]), json!([unused, "pending"])]),
        ("eth_getCode", [json!([rich, "latest"]), json!([unused, "latest"])]),
        ("eth_getStorageAt", [json!([rich, "0x0", "latest"]), json!([unused, "0x0", "latest"])]),
        ("eth_call", [json!([{ "to": rich }, "latest"]), json!([{ "to": unused }, "latest"])]),
        ("eth_call", [json!([{ "to": rich, "from": rich }, "latest"]), json!([{ "to": unused }, "latest"])]),
        ("eth_estimateGas", [json!([{ "to": rich }]), json!([{ "to": unused }])]),
    ] {
        let [seen, expected] = asked.map(|params| rpc.call(method, params));
        assert_eq!(format!("{seen:?}"), format!("{expected:?}"), "{method} tells what exists");
    }
    let refused = rpc.refuse("eth_call", json!([{ "to": rich }, "latest"]));
    assert_eq!(
        (refused.code, refused.data),
        (3, Some(json!(Bytes::copy_from_slice(&keccak256("NotAuthorized()")[..4]))))
    );
    let refused = rpc.refuse("eth_estimateGas", json!([{ "to": rich }]));
    assert_eq!((refused.code, refused.data), (3, Some(json!("0x"))));
}

#[test]
fn methods_that_show_everything_do_not_exist() {
    let node = Node::start(Target::Dev, &options());
    for method in [
        "debug_traceTransaction",
        "debug_getRawBlock",
        "eth_getProof",
        "eth_createAccessList",
        "testing_buildBlockV1",
        "evm_mine",
        "hardhat_setBalance",
        "anvil_impersonateAccount",
        "eth_sendTransaction",
        "eth_sign",
    ] {
        assert_eq!(node.rpc().refuse(method, json!([])).code, -32601, "{method}");
    }
    assert_eq!(node.rpc().expect("eth_accounts", json!([])), json!([]));
}

#[test]
fn what_the_pool_makes_of_a_transaction_is_not_told_to_strangers() {
    let node = Node::start(Target::Dev, &options());
    let rpc = node.rpc();
    let mut alice = Account::new(0);
    let first = transfer(&mut alice, Address::repeat_byte(1), 1);
    let hash = send(rpc, &first);
    // Known already, a nonce too low, and more than there is: each answer is the hash.
    assert_eq!(rpc.expect("eth_sendRawTransaction", send_params(&first)), hash);
    alice.nonce = 0;
    let used = transfer(&mut alice, Address::repeat_byte(2), 1);
    assert_eq!(rpc.expect("eth_sendRawTransaction", send_params(&used)), json!(keccak256(&used)));
    let mut poor = Account::new(0);
    poor.nonce = 50;
    let distant = transfer(&mut poor, Address::repeat_byte(3), u64::MAX);
    assert_eq!(rpc.expect("eth_sendRawTransaction", send_params(&distant)), json!(keccak256(&distant)));
    // What no chain could take is named: that says nothing about this one.
    assert_eq!(rpc.refuse("eth_sendRawTransaction", json!(["0x02ff"])).code, -32000);
    assert_eq!(rpc.expect("txpool_status", json!([])), json!({ "pending": "0x0", "queued": "0x0" }));
}

#[test]
fn fees_are_constants() {
    let node = Node::start(Target::Dev, &options());
    let rpc = node.rpc();
    let ask = || {
        ["eth_gasPrice", "eth_maxPriorityFeePerGas", "eth_baseFee", "eth_blobBaseFee"]
            .map(|method| rpc.expect(method, json!([])))
    };
    let before = ask();
    let mut alice = Account::new(0);
    for _ in 0..5 {
        send(rpc, &transfer(&mut alice, Address::repeat_byte(1), 1));
    }
    assert_eq!(ask(), before);
    let history = rpc.expect("eth_feeHistory", json!(["0x5", "latest", [10, 90]]));
    assert_eq!(
        history["reward"],
        json!([["0x0", "0x0"], ["0x0", "0x0"], ["0x0", "0x0"], ["0x0", "0x0"], ["0x0", "0x0"]])
    );
    assert_eq!(history["gasUsedRatio"], json!([0, 0, 0, 0, 0]));
}

#[test]
fn a_confidential_chain_outlives_its_process() {
    let folder = tempfile::tempdir().expect("a folder");
    let datadir = folder.path().join("data");
    let options = NodeOptions { datadir: Some(datadir.clone()), ..options() };
    let mut alice = Account::new(0);
    let node = Node::start(Target::Dev, &options);
    for _ in 0..3 {
        send(node.rpc(), &transfer(&mut alice, Address::repeat_byte(1), 1));
    }
    let before = node.rpc().expect("eth_getBlockByNumber", json!(["latest", false]));
    node.kill();
    let verified = run_cloister(&["verify", "--datadir", &datadir.display().to_string()]).expect("it verifies");
    assert!(verified.contains(before["hash"].as_str().unwrap_or("?")), "{verified}");
    // The folder says what chain it has.
    let node = Node::start(Target::Dev, &NodeOptions { extra: vec![], ..options });
    assert_eq!(node.rpc().expect("eth_getBlockByNumber", json!(["latest", false])), before);
    assert_eq!(node.rpc().expect("eth_getBalance", json!([alice.address(), "latest"])), "0x0");
    send(node.rpc(), &transfer(&mut alice, Address::repeat_byte(1), 1));
    drop(node);
    // Whoever holds the folder may say that nothing is confidential; the enclave's keys then are others.
    let genesis = datadir.join("genesis.json");
    let text = std::fs::read_to_string(&genesis).expect("the folder has its genesis");
    let open = text.replace(r#""confidentiality": "on""#, r#""confidentiality": "off""#);
    assert_ne!(open, text, "{text}");
    std::fs::write(&genesis, open).expect("it can be written");
    let opened = Node::try_start(Target::Dev, &NodeOptions { datadir: Some(datadir), ..NodeOptions::default() });
    let failure = opened.expect_err("a ledger sealed as confidential is not opened as another");
    assert!(failure.output.contains("wrong-key"), "{}", failure.output);
}

const TOKEN_GAS: u64 = 5_000_000;

/// Deploys the example token; the block and the address that only its creator could look up.
fn deploy(rpc: &RpcClient, account: &mut Account, code: Vec<u8>) -> Address {
    let at = account.address().create(account.nonce);
    let creation = TxEip1559 {
        chain_id: CHAIN_ID,
        nonce: account.nonce,
        gas_limit: TOKEN_GAS,
        to: TxKind::Create,
        input: code.into(),
        ..TxEip1559::default()
    };
    account.nonce += 1;
    send(rpc, &raw(account.sign(creation)));
    at
}

fn call_contract(rpc: &RpcClient, account: &mut Account, to: Address, input: Vec<u8>) -> Value {
    let call = TxEip1559 {
        chain_id: CHAIN_ID,
        nonce: account.nonce,
        gas_limit: 300_000,
        to: TxKind::Call(to),
        input: input.into(),
        ..TxEip1559::default()
    };
    account.nonce += 1;
    send(rpc, &raw(account.sign(call)))
}

fn words(selector: &str, words: &[U256]) -> Vec<u8> {
    let mut input = keccak256(selector)[..4].to_vec();
    input.extend(words.iter().flat_map(|word| word.to_be_bytes::<32>()));
    input
}

fn word(address: Address) -> U256 {
    address.into_word().into()
}

/// Sessions of three accounts on one node.
struct Sessions {
    node: Node,
    tokens: [String; 3],
}

impl Sessions {
    fn start() -> Self {
        let node = Node::start(Target::Dev, &options());
        let tokens = [0, 1, 2].map(|index| token(&sign_in(node.address(), &signer(index), None)));
        Self { node, tokens }
    }

    fn ask(&self, who: usize, method: &str, params: Value) -> Result<Value, RpcError> {
        call_as(self.node.address(), &self.tokens[who], method, &params)
    }

    fn expect(&self, who: usize, method: &str, params: Value) -> Value {
        self.ask(who, method, params).unwrap_or_else(|error| panic!("{method}: {error}"))
    }
}

const ALICE: usize = 0;
const BOB: usize = 1;
const CAROL: usize = 2;

#[test]
fn participants_see_their_transfer_and_others_do_not() {
    let sessions = Sessions::start();
    let rpc = sessions.node.rpc();
    let (mut alice, bob) = (Account::new(ALICE), Account::new(BOB));
    let hash = send(rpc, &transfer(&mut alice, bob.address(), 1_000));
    let transaction = |who| sessions.expect(who, "eth_getTransactionByHash", json!([hash]));
    let receipt = |who| sessions.expect(who, "eth_getTransactionReceipt", json!([hash]));

    assert_eq!(transaction(ALICE)["gas"], "0x186a0");
    assert_eq!(receipt(ALICE)["gasUsed"], "0x5208");
    assert_eq!(transaction(BOB)["value"], "0x3e8");
    for (json, fields) in [
        (transaction(BOB), ["gas", "nonce", "gasPrice"]),
        (receipt(BOB), ["gasUsed", "cumulativeGasUsed", "effectiveGasPrice"]),
    ] {
        for field in fields {
            assert_eq!(json[field], "0x0", "{field} is the sender's alone");
        }
    }
    assert_eq!(receipt(BOB)["status"], "0x1");
    assert_eq!(transaction(CAROL), Value::Null);
    assert_eq!(receipt(CAROL), Value::Null);
    let bodies = |who| sessions.expect(who, "eth_getBlockByNumber", json!(["latest", true]))["transactions"].clone();
    assert_eq!([ALICE, BOB, CAROL].map(|who| bodies(who).as_array().map(Vec::len)), [Some(1), Some(1), Some(0)]);

    let balance = |who, of: Address| sessions.expect(who, "eth_getBalance", json!([of, "latest"]));
    assert_ne!(balance(BOB, bob.address()), "0x0");
    assert_eq!(balance(ALICE, bob.address()), "0x0");
    assert_eq!(sessions.expect(ALICE, "eth_getTransactionCount", json!([alice.address(), "latest"])), "0x1");
    assert_eq!(sessions.expect(BOB, "eth_getTransactionCount", json!([alice.address(), "latest"])), "0x0");
}

#[test]
fn a_token_on_the_ledger_shows_each_holder_his_own_transfers() {
    let sessions = Sessions::start();
    let rpc = sessions.node.rpc();
    let (mut alice, bob, carol) = (Account::new(ALICE), Account::new(BOB), Account::new(CAROL));
    let contract = deploy(rpc, &mut alice, token_initcode());
    for to in [bob.address(), carol.address()] {
        call_contract(rpc, &mut alice, contract, words("transfer(address,uint256)", &[word(to), U256::from(5)]));
    }
    let logs = |who| {
        let logs = sessions.expect(who, "eth_getLogs", json!([{ "fromBlock": "0x0", "address": contract }]));
        logs.as_array().cloned().unwrap_or_default()
    };
    let named = |logs: &[Value], account: Address| {
        let topic = account.into_word().to_string();
        logs.iter().all(|log| log["topics"].as_array().is_some_and(|topics| topics.contains(&json!(topic))))
    };
    assert!(logs(ALICE).len() >= 2);
    let (of_bob, of_carol) = (logs(BOB), logs(CAROL));
    assert_eq!((of_bob.len(), of_carol.len()), (1, 1), "one supplier cannot see the orders of another");
    assert!(named(&of_bob, bob.address()) && named(&of_carol, carol.address()));
    assert_eq!(rpc.expect("eth_getLogs", json!([{ "fromBlock": "0x0" }])), json!([]));

    // The sender's receipt counts from numbers that say nothing of the block.
    let mine = &logs(ALICE)[0];
    let receipt = sessions.expect(ALICE, "eth_getTransactionReceipt", json!([mine["transactionHash"]]));
    assert_eq!(receipt["cumulativeGasUsed"], receipt["gasUsed"]);
    assert_eq!(receipt["logs"][0]["logIndex"], "0x0");

    // Nobody may query it: there are no rules that say who may.
    let balance_of_bob = format!("0x{}", hex::encode(words("balanceOf(address)", &[word(bob.address())])));
    for who in [ALICE, BOB, CAROL] {
        let error =
            sessions.ask(who, "eth_call", json!([{ "to": contract, "data": balance_of_bob }])).expect_err("refused");
        assert_eq!((error.code, error.data), (3, Some(json!("0xea8e4eb5"))));
        let code = sessions.expect(who, "eth_getCode", json!([contract, "latest"]));
        assert_eq!(code, "0x");
        let error = sessions.ask(who, "eth_getStorageAt", json!([contract, "0x0", "latest"])).expect_err("refused");
        assert_eq!(error.code, -32001);
    }
}

#[test]
fn answers_over_http_have_one_of_a_few_lengths() {
    let node = Node::start(Target::Dev, &options());
    let length = |method: &str, params: Value| {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string();
        let answer = node.rpc().post(body.as_bytes()).expect("an answer");
        assert!(answer.json().get("jsonrpc").is_some());
        answer.body.len()
    };
    for (method, params) in [
        ("eth_chainId", json!([])),
        ("eth_getBalance", json!([signer(0).address(), "latest"])),
        ("eth_getTransactionReceipt", json!([keccak256("never")])),
        ("no_such_method", json!([])),
    ] {
        assert_eq!(length(method, params), 1_024, "{method}");
    }
    assert_eq!(length("eth_getBlockByNumber", json!(["latest", false])), 2_048);
}

/// A query that `account` signs (EIP-712), about `to` at any height.
fn signed_query(rpc: &RpcClient, account: &Account, to: Address) -> Value {
    let genesis = rpc.expect("eth_getBlockByNumber", json!(["0x0", false]))["hash"].clone();
    let genesis: B256 = serde_json::from_value(genesis).expect("a hash");
    let number = |value: u64| U256::from(value).to_be_bytes_vec();
    let hash = |text: &str| keccak256(text).to_vec();
    let domain = [
        hash("EIP712Domain(string name,string version,uint256 chainId,bytes32 salt)"),
        hash("Cloister"),
        hash("1"),
        number(CHAIN_ID),
        genesis.to_vec(),
    ];
    let kind = "Query(address account,address to,bytes data,uint256 value,uint64 gas,uint64 fromBlock,uint64 toBlock,uint64 expiry)";
    let of = |address: Address| address.into_word().to_vec();
    let query = [
        hash(kind),
        of(account.address()),
        of(to),
        hash(""),
        number(0),
        number(0),
        number(0),
        number(u64::MAX),
        number(u64::MAX),
    ];
    let [domain, query] = [domain.concat(), query.concat()].map(|words| keccak256(words).to_vec());
    let digest = keccak256([vec![0x19, 1], domain, query].concat());
    let signature = account.signer.sign_hash_sync(&digest).expect("a local key signs");
    let shown = json!({
        "account": account.address(), "to": to, "data": "0x", "value": "0x0", "gas": "0x0", "fromBlock": "0x0",
        "toBlock": format!("{:#x}", u64::MAX), "expiry": format!("{:#x}", u64::MAX),
    });
    json!([shown, Bytes::from(signature.as_bytes().to_vec())])
}

#[test]
fn a_signed_query_asks_as_its_account_and_as_nobody_else() {
    let node = Node::start(Target::Dev, &options());
    let (rpc, alice) = (node.rpc(), Account::new(0));
    let own = signed_query(rpc, &alice, alice.address());
    assert_eq!(rpc.expect("cloister_signedCall", own.clone()), "0x");
    let others = rpc.refuse("cloister_signedCall", signed_query(rpc, &alice, signer(1).address()));
    let nobodys = rpc.refuse("eth_call", json!([{ "to": signer(1).address() }]));
    assert_eq!((others.code, &others.data), (nobodys.code, &nobodys.data), "as any call that is not allowed");
    let mut foreign = own;
    foreign[0]["account"] = json!(signer(1).address());
    assert_eq!(rpc.refuse("cloister_signedCall", foreign).code, -32046);
}

#[test]
fn a_call_as_ones_own_account_asks_nobody_else() {
    let sessions = Sessions::start();
    let rpc = sessions.node.rpc();
    let mut carol = Account::new(CAROL);
    // Answers 42 whoever asks: staticcall(gas, 42's address) and return what came back.
    let answers = deploy(rpc, &mut carol, initcode(&hex!("602a5f5260205ff3")));
    let mut asks = hex!("60205f5f5f73").to_vec();
    asks.extend(answers);
    asks.extend(hex!("5afa5060205ff3"));
    let asks = deploy(rpc, &mut carol, initcode(&asks));
    // Carol's account runs that code from now on (EIP-7702).
    let authorization = authorize(&carol.signer, asks, carol.nonce + 1);
    let delegation = TxEip7702 {
        chain_id: CHAIN_ID,
        nonce: carol.nonce,
        gas_limit: 200_000,
        to: carol.address(),
        authorization_list: vec![authorization],
        ..TxEip7702::default()
    };
    send(rpc, &raw(carol.sign(delegation)));
    let call = json!([{ "to": carol.address(), "from": carol.address() }]);
    let answer = sessions.expect(CAROL, "eth_call", call);
    assert_eq!(answer, format!("0x{}", "00".repeat(32)), "what it called was refused");
    let stranger = json!([{ "to": carol.address(), "from": carol.address() }]);
    assert_eq!(sessions.ask(BOB, "eth_call", stranger).expect_err("not his account").code, 3);
    let created = json!([{ "data": "0x602a5f5260205ff3" }]);
    // Code of one's own computes, and asks others in its own name: contracts' rules say what comes of that.
    assert_eq!(sessions.expect(CAROL, "eth_call", created.clone()), format!("0x{:064x}", 42));
    let nobody = rpc.call("eth_call", created).expect_err("not for anybody");
    assert_eq!((nobody.code, nobody.data), (3, Some(json!("0xea8e4eb5"))));
    let overridden =
        json!([{ "to": carol.address() }, "latest", { (carol.address().to_string()): { "balance": "0x1" } }]);
    assert_eq!(sessions.ask(CAROL, "eth_call", overridden).expect_err("no overrides").code, -32602);
}

/// Creation code of a contract with this code.
fn initcode(runtime: &[u8]) -> Vec<u8> {
    let length = u8::try_from(runtime.len()).expect("short code");
    let mut code = vec![0x60, length];
    code.extend(hex!("8060095f395ff3"));
    code.extend(runtime);
    code
}

/// Creation code of the example token, which gives its creator a million.
fn token_initcode() -> Vec<u8> {
    let mut code = artifact("Token").bytecode.to_vec();
    let text = U256::from_be_slice(&[b"T".as_slice(), &[0; 31]].concat());
    let [one, name_at, symbol_at] = [1, 0x60, 0xa0].map(U256::from);
    for word in [name_at, symbol_at, U256::from(1_000_000), one, text, one, text] {
        code.extend(word.to_be_bytes::<32>());
    }
    code
}

/// Lengths of the next messages, whatever they are.
fn lengths(socket: &mut WebSocket, count: usize) -> Vec<usize> {
    let next = |_| match socket.receive().expect("a message in time") {
        Frame::Message(text) => {
            serde_json::from_slice::<Value>(&text).expect("padding is white space");
            text.len()
        }
        Frame::Close(code) => panic!("closed: {code:?}"),
    };
    (0..count).map(next).collect()
}

fn websocket_messages_are_of_size_classes(target: Target) {
    let node = Node::start(target, &options());
    let mut socket = WebSocket::open(node.address()).expect("a WebSocket");
    let ask = |method: &str, params: Value| {
        json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params }).to_string()
    };
    for (method, params, length) in [
        ("eth_blockNumber", json!([]), 1_024),
        ("eth_getTransactionReceipt", json!([B256::ZERO]), 1_024),
        ("eth_getBlockByNumber", json!(["latest", false]), 2_048),
        ("no_such", json!([]), 1_024),
        ("eth_subscribe", json!(["newHeads"]), 1_024),
    ] {
        socket.send(ask(method, params).as_bytes()).expect("it is sent");
        assert_eq!(lengths(&mut socket, 1), [length], "{method}");
    }
    let batch = format!("[{},{}]", ask("eth_blockNumber", json!([])), ask("net_version", json!([])));
    socket.send(batch.as_bytes()).expect("it is sent");
    assert_eq!(lengths(&mut socket, 1), [1_024]);
    // Longer than a frame whose length takes two bytes, and than one write.
    let block = ask("eth_getBlockByNumber", json!(["latest", false]));
    socket.send(format!("[{}]", vec![block.as_str(); 100].join(",")).as_bytes()).expect("it is sent");
    assert_eq!(lengths(&mut socket, 1), [192 << 10]);
    let mut account = Account::new(0);
    for _ in 0..3 {
        send(node.rpc(), &transfer(&mut account, Address::ZERO, 1));
    }
    assert_eq!(lengths(&mut socket, 3), [2_048; 3], "notifications");
}

#[test]
fn websocket_messages_are_of_size_classes_dev() {
    websocket_messages_are_of_size_classes(Target::Dev);
}

#[test]
fn websocket_messages_are_of_size_classes_two_process() {
    websocket_messages_are_of_size_classes(Target::TwoProcess);
}
