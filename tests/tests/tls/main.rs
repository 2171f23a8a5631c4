//! TLS that ends in the enclave: unmodified tools through the gateway, and everything that is not taken for the
//! network's node.

mod impostor;
mod network;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use alloy::consensus::TxEip1559;
use alloy_primitives::{Address, B256, Bytes, U256, hex, keccak256};
use cloister_tests::gateway::{Gateway, Wire};
use cloister_tests::node::{CHAIN_ID, Node, NodeOptions, Target, children_of, file_limit, run_cloister, signal};
use cloister_tests::tools::{Tool, Workspace, native};
use cloister_tests::transactions::{Account, KEYS, eip1559, raw, signer};
use cloister_tests::websocket::WebSocket;
use serde_json::json;

use impostor::{Impostor, Kind};
use network::{Network, SITE, TlsNode};

const TO: Address = Address::repeat_byte(0x77);
const ETHER: u64 = 1_000_000_000_000_000_000;

/// Flags of a gateway to the network's site, with the node's manifest.
fn trusting<'a>(manifest: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["--manifest", manifest, "--domain", SITE], more].concat()
}

#[test]
fn unmodified_tools_reach_the_enclave_and_the_host_sees_records_only() {
    let network = Network::confidential();
    let node = TlsNode::start(&network, &[]);
    let wire = Wire::tap(node.address);
    let gateway = Gateway::start(&format!("https://{}", wire.address), &trusting(&node.manifest(), &[]));
    assert!(gateway.announcement().contains("platform \"virtual\", program 0x"), "{}", gateway.announcement());
    assert!(gateway.announcement().contains("no hardware underneath"), "{}", gateway.announcement());

    let own = signer(0).address();
    let folder = tempfile::tempdir().expect("a folder");
    let cast = Tool::new(native("cast"), folder.path()).with("ETH_RPC_URL", gateway.url());
    let balance = cast.run(["balance", &own.to_string()]);
    assert_eq!(balance.text(), (U256::from(10_000) * U256::from(ETHER)).to_string(), "{}", balance.stderr);
    let arguments =
        ["send", "--json", "--private-key", KEYS[0], &TO.to_string(), "--value", "5", "--gas-limit", "21000"];
    let sent = cast.run(arguments);
    assert_eq!(sent.json()["status"], "0x1", "{}", sent.stderr);

    let workspace = Workspace::of_suite("js");
    let script = "import { JsonRpcProvider, Wallet } from 'ethers';
        const provider = new JsonRpcProvider(process.env.RPC_URL);
        const wallet = new Wallet(process.env.KEY, provider);
        const sent = await wallet.sendTransaction({ to: process.env.TO, value: 7n, gasLimit: 21000n });
        console.log((await sent.wait()).status, await provider.getTransactionCount(wallet.address));
        provider.destroy();";
    let ethers = workspace.tool("node").with("RPC_URL", gateway.url()).with("KEY", KEYS[0]).with("TO", TO.to_string());
    let said = ethers.run(["--input-type=module", "--eval", script]);
    assert_eq!(said.text(), "1 2", "{}", said.stderr);

    let mut socket = WebSocket::open(gateway.address()).expect("a WebSocket");
    assert_eq!(socket.call("eth_accounts", &json!([])), Ok(json!([format!("{own:#x}")])));
    drop(socket);

    let connections = wire.kept();
    assert!(connections.len() >= 3, "{} connections", connections.len());
    for connection in &connections {
        for way in connection {
            network::assert_records_only(way);
        }
        for needle in ["eth_", "jsonrpc", "POST /", "200 OK", SITE, &hex::encode(own), "Bearer"] {
            let seen =
                |way: &Vec<u8>| way.windows(needle.len()).any(|window| window.eq_ignore_ascii_case(needle.as_bytes()));
            assert!(!connection.iter().any(seen), "{needle} on the wire");
        }
    }
    // The client's word and the host's: what the enclave's own process says it is.
    let enclave = *children_of(node.id()).first().expect("the host has started an enclave");
    let name = std::fs::read_to_string(format!("/proc/{enclave}/comm")).expect("its name");
    assert!("cloister-enclave".starts_with(name.trim()), "{name}");
}

#[test]
fn what_clients_send_and_are_answered_is_nowhere_in_the_hosts_memory() {
    let network = Network::confidential();
    let node = TlsNode::start(&network, &[]);
    let gateway = Gateway::start(&node.url(), &trusting(&node.manifest(), &[]));
    let mut account = Account::new(0);
    let secrets: Vec<B256> =
        (0..8_u8).map(|number| keccak256([b"a secret of this test", &[number][..]].concat())).collect();
    for secret in &secrets {
        let transfer = eip1559(TO, 1);
        let input = Bytes::copy_from_slice(secret.as_slice());
        let signed = account.sign(TxEip1559 { nonce: account.nonce, gas_limit: 30_000, input, ..transfer });
        account.nonce += 1;
        let hash = gateway.rpc.expect("eth_sendRawTransaction", json!([raw(signed)]));
        let answer = gateway.rpc.expect("eth_getTransactionByHash", json!([hash]));
        assert_eq!(answer["input"], json!(secret), "the sender is answered");
    }
    let needles: Vec<Vec<u8>> =
        secrets.iter().flat_map(|secret| [secret.to_vec(), hex::encode(secret).into_bytes()]).collect();
    // Its own command line is there: the search finds what is.
    let control = node.manifest().into_bytes();
    let mut found = 0;
    let bytes = network::search_memory(node.id(), &mut |region| {
        let holds = |needle: &[u8]| region.windows(needle.len()).any(|window| window == needle);
        found += usize::from(holds(&control));
        for needle in &needles {
            assert!(!holds(needle), "what a client sent is in the host's memory");
        }
    });
    assert!(found > 0 && bytes > 1 << 20, "{found} found in {bytes} bytes");
}

#[test]
fn transactions_are_sealed_for_keys_that_the_evidence_vouches_for() {
    let network = Network::confidential();
    let node = TlsNode::start(&network, &[]);
    let gateway = Gateway::start(&node.url(), &trusting(&node.manifest(), &["--seal"]));
    let mut account = Account::new(0);
    for _ in 0..2 {
        let hash = gateway.rpc.expect("eth_sendRawTransaction", json!([account.transfer(TO, 1)]));
        assert_eq!(gateway.rpc.expect("eth_getTransactionReceipt", json!([hash]))["status"], "0x1");
    }
}

#[test]
fn a_genesis_file_is_enough_to_trust_a_network_and_commands_say_what_is_wrong_without() {
    let network = Network::confidential();
    let node = TlsNode::start(&network, &[]);
    let genesis = network.genesis();
    let login = ["login", "--url", &node.url(), "--key", KEYS[0], "--domain", SITE];
    let signed_in = run_cloister(&[&login[..], &["--genesis", &genesis, "--json"]].concat()).expect("a session");
    assert!(signed_in.contains("expiresAt"), "{signed_in}");
    let refused = run_cloister(&login).expect_err("nothing says whose evidence to take");
    assert_eq!(refused.status.code(), Some(2));
    assert!(refused.output.contains("name its --manifest or --genesis"), "{}", refused.output);
    let clear = format!("http://{}", node.address);
    let refused = run_cloister(&["login", "--url", &clear, "--key", KEYS[0], "--genesis", &genesis]);
    assert!(refused.expect_err("no evidence in the clear").output.contains("only https:// is taken"));
    let refused = run_cloister(&["login", "--url", "http://192.0.2.1:1", "--key", KEYS[0]]);
    assert!(refused.expect_err("others are in between").output.contains("plain HTTP to another machine"));
}

#[test]
fn a_node_of_another_network_or_with_another_program_is_refused_with_the_reason() {
    let network = Network::confidential();
    let node = TlsNode::start(&network, &[]);
    let zeros = format!("0x{}", "00".repeat(32));
    let others = [
        ("/chainId", json!(CHAIN_ID + 1), "(chain-id)"),
        ("/genesisHash", json!(zeros), "(genesis)"),
        ("/ledgerBinding", json!(zeros), "(rules)"),
        ("/platforms/virtual/measurements/0/mrtd", json!(format!("0x{}", "11".repeat(48))), "(measurement)"),
        ("/platforms/virtual/measurements/0/rtmr1", json!(format!("0x{}", "11".repeat(48))), "(measurement)"),
        ("/platforms/virtual/tcbStatuses", json!(["OutOfDate"]), "(tcb-status)"),
        ("/platforms", json!({ "tdx": { "measurements": [] } }), "(platform-not-taken)"),
    ];
    for (place, value, reason) in others {
        let manifest = node.manifest_with(place, value);
        let refused = Gateway::try_start(&node.url(), &trusting(&manifest, &[])).expect_err(reason);
        assert!(refused.contains(reason) && refused.contains("is not taken for a node of the network"), "{refused}");
    }
}

#[test]
fn impostors_are_refused_with_the_reason() {
    let network = Network::confidential();
    let node = TlsNode::start(&network, &[]);
    for (kind, reason) in [
        (Kind::WithoutEvidence, "(no-evidence)"),
        (Kind::ForeignRoot, "(unknown-root)"),
        (Kind::StolenEvidence, "(tls-key)"),
        (Kind::Expired, "(expired)"),
        (Kind::NotYetValid, "(not-yet-valid)"),
        (Kind::ExpiredCollateral, "(collateral-expired)"),
        (Kind::Debug, "(debug)"),
        (Kind::Peer, "(role)"),
    ] {
        let impostor = Impostor::start(kind, &node);
        let refused = Gateway::try_start(&impostor.url(), &trusting(&node.manifest(), &[])).expect_err(reason);
        assert!(refused.contains(reason), "{kind:?}: {refused}");
    }
}

#[test]
fn sealing_keys_that_the_evidence_does_not_name_are_not_sealed_for() {
    let network = Network::confidential();
    let node = TlsNode::start(&network, &[]);
    let impostor = Impostor::start(Kind::ForeignSealingKeys, &node);
    let raw = hex::encode_prefixed(Account::new(0).transfer(TO, 1));
    let manifest = node.manifest();
    let seal = |url: &str| run_cloister(&["seal", "--url", url, "--manifest", &manifest, &raw]);
    let refused = seal(&impostor.url()).expect_err("keys of his own").output;
    assert!(refused.contains("(sealing-keys)"), "{refused}");
    let sealed = seal(&node.url()).expect("an envelope");
    assert!(sealed.starts_with("0x9e"), "{sealed}");
}

#[test]
fn tls_and_plain_http_tell_each_other_apart() {
    let network = Network::confidential();
    let node = TlsNode::start(&network, &[]);
    let mut stream = TcpStream::connect(node.address).expect("a connection");
    stream.write_all(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}").expect("it is sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("use https://"), "{answer}");

    let plain = Node::start(Target::TwoProcess, &NodeOptions::default());
    let url = format!("https://{}", plain.address());
    let refused = Gateway::try_start(&url, &trusting(&node.manifest(), &[])).expect_err("no TLS there");
    assert!(refused.contains("no TLS 1.3 with") && refused.contains("what it answers is no TLS"), "{refused}");
}

#[test]
fn half_open_connections_keep_nobody_out() {
    let network = Network::confidential();
    let node = TlsNode::start(&network, &[]);
    // More than the enclave keeps, where the system lets a process have as many.
    let count = 1_500.min(file_limit() - 200);
    let silent: Vec<TcpStream> = (0..count).map(|_| TcpStream::connect(node.address).expect("a connection")).collect();
    for mut stream in &silent {
        stream.write_all(&[22, 3, 1, 2, 0, 1]).expect("the beginning of a hello");
    }
    let gateway = Gateway::start(&node.url(), &trusting(&node.manifest(), &[]));
    assert_eq!(gateway.rpc.expect("eth_blockNumber", json!([])), "0x0");
    // It has made room, or its time is over.
    let mut oldest = &silent[0];
    assert_eq!(oldest.read(&mut [0; 16]).expect("an end, not an error"), 0);
}

#[test]
fn a_node_that_was_started_anew_has_another_key_and_is_taken() {
    let network = Network::confidential();
    let node = TlsNode::start(&network, &[]);
    let (port, manifest) = (node.address.port(), node.manifest());
    let gateway = Gateway::start(&node.url(), &trusting(&manifest, &["--seal"]));
    let mut account = Account::new(0);
    gateway.rpc.expect("eth_sendRawTransaction", json!([account.transfer(TO, 1)]));
    signal("TERM", node.id());
    node.wait();
    let _node = TlsNode::start(&network, &["--port", &port.to_string()]);
    gateway.rpc.expect("eth_sendRawTransaction", json!([account.transfer(TO, 1)]));
    let own = signer(0).address();
    assert_eq!(gateway.rpc.expect("eth_getTransactionCount", json!([own, "latest"])), "0x2");
}

#[test]
fn a_production_network_takes_no_evidence_without_hardware() {
    let tdx = json!({ "platforms": ["tdx"], "measurements": [{ "mrtd": format!("0x{}", "ab".repeat(48)) }] });
    let cases = [
        (json!({ "platforms": ["virtual"] }), "takes evidence of the virtual platform, whose root key everybody has"),
        (tdx, "takes evidence of other platforms than the one that this enclave was built for"),
    ];
    for (attestation, words) in cases {
        let network = Network::with(json!({ "production": true, "attestation": attestation }));
        let refused = TlsNode::try_start(&network, &[]).expect_err(words);
        assert_eq!(refused.status.code(), Some(15), "{}", refused.output);
        assert!(refused.output.contains(words), "{}", refused.output);
    }
}

#[test]
fn a_node_listens_in_the_clear_to_its_own_machine_only_and_says_so() {
    let network = Network::confidential();
    let refused = TlsNode::try_start(&network, &["--tls", "off", "--host", "0.0.0.0"]).expect_err("others reach it");
    assert_eq!(refused.status.code(), Some(2));
    assert!(refused.output.contains("can be reached from other machines"), "{}", refused.output);
    let node = TlsNode::start(&network, &["--tls", "off"]);
    let gateway = Gateway::start(&format!("http://{}", node.address), &["--domain", SITE]);
    assert!(gateway.announcement().contains("plain HTTP, within this machine"), "{}", gateway.announcement());
    assert!(node.log().contains("TLS is off"), "{}", node.log());
}

#[test]
fn a_development_node_speaks_tls_when_it_is_told_to() {
    let folder = tempfile::tempdir().expect("a folder");
    let manifest = folder.path().join("network.json").display().to_string();
    let node =
        TlsNode::of(&["dev", "--confidential", "--tls", "--port", "0", "--quiet", "--manifest-out", &manifest], folder);
    let gateway = Gateway::start(&node.url(), &["--manifest", &manifest]);
    assert_eq!(gateway.rpc.expect("eth_accounts", json!([])), json!([format!("{:#x}", signer(0).address())]));
}
