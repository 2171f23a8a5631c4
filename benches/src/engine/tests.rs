//! The engine against a scripted node: what it reports follows from what the node did.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use alloy_consensus::{Transaction, TxEnvelope};
use alloy_eips::eip2718::Decodable2718;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256, hex};
use serde_json::{Value, json};

use super::*;
use crate::wallet::{Account, Draft, Fees, sign_lanes};

/// What the scripted node does wrong.
#[derive(Clone, Copy, Default)]
struct Faults {
    /// The first send of every transaction with this nonce is refused.
    refuse_once: Option<u64>,
    /// Every send of a transaction with this nonce is refused.
    refuse_always: Option<u64>,
    /// Receipts of transactions with this nonce say that they reverted.
    revert: Option<u64>,
    /// Every block repeats the hashes of the block before.
    repeat_blocks: bool,
}

#[derive(Default)]
struct Chain {
    faults: Faults,
    pending: Vec<B256>,
    blocks: Vec<Vec<B256>>,
    nonces: HashMap<B256, u64>,
    sends: HashMap<B256, u32>,
    most_pending: usize,
}

impl Chain {
    fn answer(&mut self, request: &Value) -> Value {
        let parameter = &request["params"][0];
        let outcome = match request["method"].as_str().unwrap() {
            "eth_blockNumber" => Ok(json!(format!("0x{:x}", self.blocks.len()))),
            "eth_sendRawTransaction" => self.send(parameter.as_str().unwrap()),
            "eth_getBlockByNumber" => Ok(self.block(parameter.as_str().unwrap())),
            "eth_getTransactionReceipt" => Ok(self.receipt(parameter.as_str().unwrap())),
            other => panic!("{other}"),
        };
        match outcome {
            Ok(result) => json!({"jsonrpc": "2.0", "id": request["id"], "result": result}),
            Err(message) => json!({"jsonrpc": "2.0", "id": request["id"],
                "error": {"code": -32000, "message": message}}),
        }
    }

    fn send(&mut self, raw: &str) -> Result<Value, &'static str> {
        let raw = hex::decode(raw).unwrap();
        let transaction = TxEnvelope::decode_2718(&mut &raw[..]).unwrap();
        let (hash, nonce) = (*transaction.tx_hash(), transaction.nonce());
        let sends = self.sends.entry(hash).or_default();
        *sends += 1;
        if self.faults.refuse_always == Some(nonce) || (self.faults.refuse_once == Some(nonce) && *sends == 1) {
            return Err("txpool is full");
        }
        self.nonces.insert(hash, nonce);
        self.pending.push(hash);
        self.most_pending = self.most_pending.max(self.pending.len());
        Ok(json!(hash))
    }

    /// A look for the next block makes it, if there is anything to put in.
    fn block(&mut self, height: &str) -> Value {
        let height = usize::from_str_radix(&height[2..], 16).unwrap();
        if height == self.blocks.len() + 1 && !self.pending.is_empty() {
            let mut hashes = std::mem::take(&mut self.pending);
            if let (true, Some(last)) = (self.faults.repeat_blocks, self.blocks.last()) {
                hashes.extend(last.clone());
            }
            self.blocks.push(hashes);
        }
        match self.blocks.get(height - 1) {
            Some(hashes) => json!({"number": height, "transactions": hashes}),
            None => Value::Null,
        }
    }

    fn receipt(&mut self, hash: &str) -> Value {
        let hash: B256 = hash.parse().unwrap();
        let place = self
            .blocks
            .iter()
            .enumerate()
            .find_map(|(block, hashes)| Some((block + 1, hashes.iter().position(|other| *other == hash)?)));
        let Some((block, index)) = place else {
            // So that a run without block reads makes progress too.
            self.block(&format!("0x{:x}", self.blocks.len() + 1));
            return Value::Null;
        };
        let status = if self.faults.revert == Some(self.nonces[&hash]) { "0x0" } else { "0x1" };
        json!({"transactionHash": hash, "status": status, "blockNumber": format!("0x{block:x}"),
            "transactionIndex": format!("0x{index:x}"), "logs": []})
    }
}

fn serve_connection(stream: TcpStream, chain: &Mutex<Chain>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut writer = stream;
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            if let Some(value) = line.strip_prefix("Content-Length: ") {
                length = value.trim().parse().unwrap();
            }
            if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let request: Value = serde_json::from_slice(&body).unwrap();
        let answer = {
            let mut chain = chain.lock().unwrap();
            match request.as_array() {
                // Backwards: answers of a batch may come in any order.
                Some(all) => all.iter().rev().map(|one| chain.answer(one)).collect(),
                None => chain.answer(&request),
            }
        };
        let text = answer.to_string();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", text.len());
        writer.write_all((head + &text).as_bytes()).unwrap();
    }
}

fn start_node(faults: Faults) -> (Endpoint, Arc<Mutex<Chain>>) {
    let chain = Arc::new(Mutex::new(Chain { faults, ..Chain::default() }));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = Endpoint::local(listener.local_addr().unwrap().port());
    let shared = Arc::clone(&chain);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || serve_connection(stream.unwrap(), &shared));
        }
    });
    (endpoint, chain)
}

fn lanes(senders: u64, each: u64) -> Vec<Vec<Signed>> {
    let accounts: Vec<_> = (0..senders).map(|index| Account::derived(9, index).unwrap()).collect();
    let draft = |nonce| Draft {
        nonce,
        to: TxKind::Call(Address::ZERO),
        value: U256::from(1),
        input: Bytes::new(),
        gas_limit: 21_000,
    };
    let fees = Fees { chain_id: 1, max_fee: 1, max_priority_fee: 0 };
    let drafts = (0..senders).map(|_| (0..each).map(draft).collect()).collect();
    sign_lanes(&accounts, drafts, fees)
}

fn limits(batch: usize) -> Limits {
    Limits {
        batch,
        connections: 3,
        lane_in_flight: 4,
        in_flight: 24,
        deadline: Duration::from_secs(20),
        ..Limits::default()
    }
}

const QUICK: Confirm = Confirm::Blocks { poll: Duration::from_millis(1) };

#[test]
fn every_transaction_is_sent_once_and_its_receipt_read_once() {
    for batch in [1, 8] {
        let (endpoint, chain) = start_node(Faults::default());
        let report = run(&endpoint, lanes(7, 10), &limits(batch), QUICK).unwrap();
        assert!(report.is_complete(), "{report:?}");
        assert_eq!((report.committed, report.receipt_reads), (70, 70));
        assert!(report.blocks > 0 && report.latency_ms.p50 > 0.0);
        let chain = chain.lock().unwrap();
        assert_eq!(chain.sends.len(), 70);
        assert!(chain.sends.values().all(|sends| *sends == 1));
        assert!(chain.most_pending <= 24);
        assert_eq!(report.fullest_block, chain.blocks.iter().map(Vec::len).max().unwrap() as u64);
    }
}

#[test]
fn a_sender_s_transactions_leave_in_nonce_order() {
    let (endpoint, chain) = start_node(Faults::default());
    run(&endpoint, lanes(1, 30), &limits(5), QUICK).unwrap();
    let chain = chain.lock().unwrap();
    let order: Vec<u64> = chain.blocks.iter().flatten().map(|hash| chain.nonces[hash]).collect();
    // Within a batch the scripted node works backwards; batches themselves are in order.
    let mut sorted = order.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, (0..30).collect::<Vec<_>>());
    for (at, nonce) in order.iter().enumerate() {
        assert!(nonce.abs_diff(at as u64) < 5, "{order:?}");
    }
}

#[test]
fn refusals_are_tried_again() {
    let (endpoint, chain) = start_node(Faults { refuse_once: Some(3), ..Faults::default() });
    let report = run(&endpoint, lanes(6, 5), &limits(4), QUICK).unwrap();
    assert!(report.is_complete(), "{report:?}");
    assert_eq!(report.resent, 6);
    let total: u32 = chain.lock().unwrap().sends.values().sum();
    assert_eq!(total, 36);
}

#[test]
fn what_is_refused_for_good_or_reverts_is_reported() {
    let (endpoint, _) = start_node(Faults { refuse_always: Some(4), revert: Some(2), ..Faults::default() });
    let report = run(&endpoint, lanes(2, 5), &limits(4), QUICK).unwrap();
    assert!(!report.is_complete());
    assert_eq!((report.committed, report.reverted, report.refused), (6, 2, 2));
    assert!(report.problems.iter().any(|line| line.contains("txpool is full")));
}

#[test]
fn a_transaction_in_two_blocks_is_a_duplicate() {
    let (endpoint, _) = start_node(Faults { repeat_blocks: true, ..Faults::default() });
    let report = run(&endpoint, lanes(7, 10), &limits(4), QUICK).unwrap();
    assert!(report.duplicates > 0);
    assert!(!report.is_complete());
}

#[test]
fn receipts_can_be_asked_for_without_following_blocks() {
    let (endpoint, _) = start_node(Faults::default());
    let confirm = Confirm::Receipts { poll: Duration::from_millis(1) };
    let report = run(&endpoint, lanes(3, 6), &limits(1), confirm).unwrap();
    assert!(report.is_complete(), "{report:?}");
    assert!(report.receipt_reads > 18);
    assert_eq!(report.blocks, 0);
}

#[test]
fn an_offered_load_is_not_sent_before_it_is_due() {
    let (endpoint, _) = start_node(Faults::default());
    let limits = Limits { offered_per_s: NonZeroU32::new(300), ..limits(1) };
    let report = run(&endpoint, lanes(3, 10), &limits, QUICK).unwrap();
    assert!(report.is_complete(), "{report:?}");
    assert!(report.elapsed_s >= 29.0 / 300.0, "{report:?}");
}

#[test]
fn a_run_ends_at_its_deadline() {
    let (endpoint, _) = start_node(Faults { refuse_always: Some(0), ..Faults::default() });
    let limits = Limits { deadline: Duration::from_millis(100), ..limits(4) };
    let report = run(&endpoint, lanes(2, 5), &limits, QUICK).unwrap();
    assert!(!report.is_complete());
    assert!(report.problems.iter().any(|line| line.contains("unconfirmed")));
}
