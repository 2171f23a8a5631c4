//! Mutated bytes at every entrance of hostile bytes: nothing panics, whatever is accepted is what was meant.
//!
//! A moment each in `make test`, longer by `make fuzz`; a finding prints the seed that repeats it.

#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod links;

use std::{
    collections::VecDeque,
    slice, str,
    sync::Arc,
    time::{Duration, Instant},
};

use alloy::{
    consensus::{TxEip1559, TxEip2930, TxEip7702, TxEnvelope, TxLegacy},
    eips::eip2718::Encodable2718 as _,
    primitives::{Address, B256, Bytes, TxKind, U256},
    signers::{SignerSync as _, local::PrivateKeySigner},
};
use cloister_attestation::{
    AttestedCertificate, Claims, ENDORSEMENTS_OID, EVIDENCE_OID, Evidence, Manifest, PeerId, Role,
    endorsements_extension, evidence_extension, key_hash, verify,
};
use cloister_boundary::{FromEnclave, Record, StartInfo, ToEnclave, encode};
use cloister_execution::{decode, recover};
use cloister_keys::{BlockAad, BlockBlob, Epoch, LedgerKeys, OpenError, PlatformKey, Sealed};
use cloister_primitives::{ChainSpec, Code, Genesis, Height, Seq};
use cloister_tests::{
    fuzz,
    node::{Node, Target},
    requests::Requests,
};
use cloister_virtual_platform::{Machine, attest};
use rcgen::{CertificateParams, CustomExtension, KeyPair, PublicKeyData as _};
use serde_json::json;

const MAX_BYTES: usize = 128 * 1024;

fn frame<M: cloister_boundary::Message>(message: &M) -> Vec<u8> {
    let mut bytes = vec![7];
    encode(message, &mut bytes).unwrap();
    bytes
}

#[test]
fn boundary_frames() {
    let conn = cloister_boundary::ConnId(1);
    let seeds = [
        frame(&ToEnclave::Hello { version: 1 }),
        frame(&ToEnclave::Start(StartInfo { genesis: b"{}".to_vec(), ..StartInfo::default() })),
        frame(&ToEnclave::Persisted { seq: Seq(7) }),
        frame(&ToEnclave::Data { conn, bytes: vec![1, 2, 3] }),
        frame(&ToEnclave::Blocks { id: cloister_boundary::ReadId(3), blocks: vec![None, Some(vec![9])] }),
        frame(&FromEnclave::Persist {
            seq: Seq(1),
            record: Record::Block { height: Height(1), sealed: vec![5; 40].into() },
        }),
        frame(&FromEnclave::ReadBlocks { id: cloister_boundary::ReadId(1), from: Height(0), count: 9 }),
        frame(&FromEnclave::ReadLogSection { id: cloister_boundary::ReadId(2), last: Height(255) }),
        frame(&ToEnclave::LogSection { id: cloister_boundary::ReadId(2), bytes: Some(vec![4; 9]) }),
        frame(&FromEnclave::Credit { conn, bytes: 77 }),
    ];
    let count = fuzz::run("boundary frames", &seeds, cloister_boundary::fuzz_frame);
    assert!(count > 0);
}

#[test]
fn sealed_blobs() {
    let platform = PlatformKey::from_bytes(&[3; 32]).unwrap();
    let keys = Arc::new(LedgerKeys::derive(&platform, 1, B256::ZERO, Epoch(0)));
    let aad = BlockAad { height: Height(4), incarnation: [6; 16], parent_hash: B256::repeat_byte(1) };
    let genuine = [b"one".to_vec(), vec![0; 3_000]].map(|record| {
        let sealed = keys.seal_block([9; 12], &aad, record).unwrap();
        sealed.into_bytes()
    });
    let count = fuzz::run("sealed blobs", &genuine.clone(), |bytes| {
        let opened = Sealed::<BlockBlob>::from_bytes(bytes.to_vec()).and_then(|sealed| {
            let aad = BlockAad { incarnation: sealed.incarnation(), ..aad };
            keys.open_block(&aad, sealed)
        });
        match opened {
            Ok(_) => assert!(genuine.iter().any(|blob| blob == bytes), "a changed blob opened"),
            Err(OpenError::BadPadding) => panic!("an authentic blob with wrong padding"),
            Err(_) => {}
        }
    });
    assert!(count > 0);
}

fn signed<T: alloy::consensus::SignableTransaction<alloy::primitives::Signature>>(transaction: T) -> Vec<u8>
where
    TxEnvelope: From<alloy::consensus::Signed<T>>,
{
    let key = PrivateKeySigner::from_bytes(&B256::repeat_byte(0x11)).unwrap();
    let signature = key.sign_hash_sync(&transaction.signature_hash()).unwrap();
    TxEnvelope::from(transaction.into_signed(signature)).encoded_2718()
}

#[test]
fn raw_transactions() {
    let to = TxKind::Call(Address::repeat_byte(2));
    let input = Bytes::from_static(&[1, 2, 3, 4, 5]);
    let seeds = [
        signed(TxLegacy { chain_id: Some(1), gas_limit: 21_000, to, input: input.clone(), ..TxLegacy::default() }),
        signed(TxEip2930 { chain_id: 1, gas_limit: 50_000, to, value: U256::from(7), ..TxEip2930::default() }),
        signed(TxEip1559 { chain_id: 1, gas_limit: 60_000, to: TxKind::Create, input, ..TxEip1559::default() }),
        signed(TxEip7702 { chain_id: 1, gas_limit: 90_000, ..TxEip7702::default() }),
    ];
    let count = fuzz::run("raw transactions", &seeds, |bytes| {
        if let Ok(transaction) = decode(bytes, MAX_BYTES) {
            assert_eq!(transaction.encoded_2718(), bytes, "one transaction, one encoding");
        }
        if let Ok(recovered) = recover(bytes, MAX_BYTES) {
            assert_eq!(recovered.inner().encoded_2718(), bytes);
        }
    });
    assert!(count > 0);
}

#[test]
fn genesis_files() {
    let seeds = [
        br#"{"config":{"chainId":1,"homesteadBlock":0,"londonBlock":0,"terminalTotalDifficulty":0,"shanghaiTime":0,
             "cloister":{"confidentiality":"off","baseFee":{"fixed":"0x0"},"maxCodeSize":49152}},
             "gasLimit":"0x1c9c380","difficulty":"0x0","alloc":{"0x0000000000000000000000000000000000000001":
             {"balance":"0x1","nonce":"0x2","code":"0x6001","storage":{"0x01":"0x02"}}}}"#
            .to_vec(),
        br#"{"config":{"chainId":5},"gasLimit":"30000000","extraData":"0x","alloc":{}}"#.to_vec(),
    ];
    let count = fuzz::run("genesis files", &seeds, |bytes| {
        if let Ok(text) = str::from_utf8(bytes)
            && let Ok((genesis, _)) = Genesis::parse(text)
        {
            let _ = ChainSpec::new(genesis);
        }
    });
    assert!(count > 0);
}

/// A certificate as an enclave shows it, and the claims in it.
fn attested_certificate(now_s: u64) -> (Vec<u8>, Claims) {
    let key = KeyPair::generate().unwrap();
    let claims = Claims {
        role: Role::Server,
        chain_id: 7,
        genesis_hash: B256::repeat_byte(1),
        ledger_binding: B256::repeat_byte(2),
        tls_key: key_hash(&key.subject_public_key_info()),
        sealing_keys: B256::repeat_byte(3),
        peer: PeerId::NONE,
        not_before_s: now_s - 60,
        not_after_s: now_s + 60,
        nonce: [4; 32],
    };
    let attested = attest(&Machine::running([5; 48].into(), now_s), &claims.report_data()).unwrap();
    let evidence = Evidence { quote: attested.quote, claims: claims.encode() };
    let mut params = CertificateParams::default();
    params.custom_extensions = vec![
        CustomExtension::from_oid_content(&EVIDENCE_OID, evidence_extension(&evidence)),
        CustomExtension::from_oid_content(&ENDORSEMENTS_OID, endorsements_extension(&attested.endorsements)),
    ];
    (params.self_signed(&key).unwrap().der().to_vec(), claims)
}

#[test]
fn certificates_with_evidence() {
    let now_s = 1_800_000_000;
    let (der, claims) = attested_certificate(now_s);
    let json = json!({
        "chainId": 7, "genesisHash": claims.genesis_hash, "ledgerBinding": claims.ledger_binding,
        "platforms": { "virtual": {} },
    });
    let policy = Manifest::parse(json.to_string().as_bytes()).unwrap().policy();
    let verified = |bytes: &[u8]| {
        let certificate = AttestedCertificate::parse(bytes)?;
        verify(&certificate.evidence, &certificate.endorsements, &policy, &certificate.spki_der, now_s)
    };
    assert_eq!(verified(&der).map(|verified| verified.claims), Ok(claims.clone()));
    let count = fuzz::run("certificates with evidence", &[der], |bytes| {
        // What no signature covers may change, what is vouched for may not.
        if let Ok(verified) = verified(bytes) {
            assert_eq!(verified.claims, claims);
        }
    });
    assert!(count > 0);
    let genuine = claims.encode();
    let count = fuzz::run("claims", slice::from_ref(&genuine), |bytes| {
        if let Ok(claims) = Claims::decode(bytes) {
            assert_eq!(claims.encode(), bytes, "one set of claims, one encoding");
        }
    });
    assert!(count > 0);
    fuzz::run("manifests", &[json.to_string().into_bytes()], |bytes| {
        if let Ok(manifest) = Manifest::parse(bytes) {
            assert!(!manifest.policy().platforms.is_empty());
        }
    });
}

#[test]
fn http_bodies() {
    let node = Node::start_default(Target::Dev);
    let seeds = [
        br#"{"jsonrpc":"2.0","id":1,"method":"eth_getBlockByNumber","params":["latest",true]}"#.to_vec(),
        br#"[{"jsonrpc":"2.0","id":1,"method":"eth_chainId"},{"jsonrpc":"2.0","method":"net_version"}]"#.to_vec(),
        br#"{"jsonrpc":"2.0","id":"a","method":"eth_call","params":[{"to":"0x0000000000000000000000000000000000000004","data":"0x00"},"latest",{}]}"#
            .to_vec(),
        br#"{"jsonrpc":"2.0","id":2,"method":"eth_getLogs","params":[{"fromBlock":"0x0","topics":[null,["0x00"]]}]}"#.to_vec(),
        br#"{"jsonrpc":"2.0","id":3,"method":"eth_sendTransaction","params":[{"from":"0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266","value":"0x1"}]}"#
            .to_vec(),
    ];
    let count = fuzz::run("HTTP bodies", &seeds, |bytes| {
        let answer = node.rpc().post(bytes).expect("an HTTP answer to every body");
        let well_formed = answer.body.is_empty() || serde_json::from_slice::<serde_json::Value>(&answer.body).is_ok();
        assert!(well_formed, "{}", String::from_utf8_lossy(&answer.body));
    });
    assert!(count > 0);
    assert_eq!(node.rpc().call("eth_chainId", serde_json::json!([])).unwrap(), "0x7a69");
}

/// Numbers that answers may carry: those of the stable codes, and what JSON-RPC servers add.
fn is_known(code: i64) -> bool {
    const SYNC_TIMEOUT: i64 = 4;
    // Subscriptions over HTTP, filters of nobody, bodies beyond the limit.
    const OTHERS: [i64; 4] = [SYNC_TIMEOUT, -32007, -32006, -32601];
    Code::ALL.iter().any(|known| i64::from(known.rpc_number()) == code) || OTHERS.contains(&code)
}

/// Requests shown when one of them is not answered as it should be.
const REQUESTS_SHOWN: usize = 25;

#[test]
fn every_method_with_made_up_parameters() {
    let node = Node::start_default(Target::Dev);
    let document = node.rpc().expect("rpc.discover", json!([]));
    let seed = fuzz::seed();
    let mut requests = Requests::new(&document, seed);
    let rounds = if std::env::var_os("FUZZ_SECONDS").is_some() { usize::MAX } else { 2_500 / requests.methods() + 1 };
    let deadline = Instant::now() + fuzz::time_box().max(Duration::from_secs(20));
    let mut count = 0_usize;
    // What a request does may show only with a later one.
    let mut before = VecDeque::new();
    'rounds: for _ in 0..rounds {
        for index in 0..requests.methods() {
            if Instant::now() > deadline {
                break 'rounds;
            }
            let request = requests.next(index);
            let body = json!({"jsonrpc": "2.0", "id": count, "method": request.method, "params": request.params});
            before.push_back(body.to_string().chars().take(2_000).collect::<String>());
            if before.len() > REQUESTS_SHOWN {
                before.pop_front();
            }
            let found =
                || format!("FUZZ_SEED={seed}, request {count}, the last of\n{}", Vec::from(before.clone()).join("\n"));
            let answer = node.rpc().post(body.to_string().as_bytes());
            let answer = answer.unwrap_or_else(|error| panic!("no answer ({error}): {}", found())).json();
            assert_eq!(answer["jsonrpc"], "2.0", "{answer}: {}", found());
            assert_eq!(answer["id"], count, "{answer}: {}", found());
            match (answer.get("result"), answer.get("error")) {
                (Some(result), None) => requests.remember(result),
                (None, Some(error)) => {
                    let code = error["code"].as_i64().unwrap_or_else(|| panic!("no code: {answer}: {}", found()));
                    assert!(is_known(code), "unknown code {code}: {answer}: {}", found());
                    let message =
                        error["message"].as_str().unwrap_or_else(|| panic!("no message: {answer}: {}", found()));
                    assert_ne!(message, Code::Internal.message(), "{answer}: {}", found());
                }
                _ => panic!("neither result nor error, or both: {answer}: {}", found()),
            }
            count += 1;
        }
    }
    eprintln!("{} methods: {count} requests from seed {seed}", requests.methods());
    assert!(count > requests.methods());
    assert_eq!(node.rpc().call("eth_chainId", json!([])).unwrap(), "0x7a69");
}
