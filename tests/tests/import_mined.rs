//! A mined chain with ommers: imported, served, read back.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::sync::Arc;

use alloy_consensus::proofs::calculate_ommers_root;
use alloy_consensus::{Block as EncodedBlock, BlockBody, Header};
use alloy_primitives::{Address, B256, Bytes, U256};
use cloister_execution::{Claimed, Executor, NoBlockHashes, Open, Parent, genesis_block, genesis_delta};
use cloister_primitives::{ChainSpec, Genesis, Height, Transaction, mark_imported};
use cloister_state::{HistoryLimits, State};
use cloister_tests::execution_apis::suite;
use cloister_tests::fuzz;
use cloister_tests::import::{Chain, Importer, Stop, import};
use cloister_tests::node::{Node, NodeOptions, Target, run_cloister};
use serde_json::{Value, json};

const GENESIS: &str = r#"{"config":{"chainId":77,"homesteadBlock":0,"eip150Block":0,"eip155Block":0,"eip158Block":0,
    "byzantiumBlock":0},"gasLimit":"0x1c9c380","difficulty":"0x20000","alloc":{}}"#;

/// Whoever mined a block of this kind.
const MINER: Address = Address::repeat_byte(0xaa);
const OMMERS_MINER: Address = Address::repeat_byte(0xbb);

/// Makes right blocks, except for their seals.
struct Miner {
    executor: Executor,
    state: State,
    headers: Vec<Header>,
    file: Vec<u8>,
}

impl Miner {
    fn new() -> Self {
        let (genesis, _) = Genesis::parse(&mark_imported(GENESIS).unwrap()).unwrap();
        let spec = Arc::new(ChainSpec::new(genesis).unwrap());
        let state = State::new(HistoryLimits::default());
        let root = state.apply(Height(0), &genesis_delta(&spec)).unwrap();
        let header = genesis_block(&spec, root).header;
        Self { executor: Executor::new(spec, Arc::new(Open)), state, headers: vec![header], file: Vec::new() }
    }

    /// A header on top of the block at this height; at 12 s a block, the least difficulty stays as it is.
    fn header(&self, parent: usize, beneficiary: Address) -> Header {
        let parent = &self.headers[parent];
        Header {
            parent_hash: parent.hash_slow(),
            beneficiary,
            number: parent.number + 1,
            timestamp: parent.timestamp + 12,
            gas_limit: parent.gas_limit,
            difficulty: U256::from(131_072),
            mix_hash: B256::repeat_byte(7),
            ..Header::default()
        }
    }

    fn mine(&mut self, ommers: Vec<Header>) {
        let height = self.headers.len() as u64;
        let mut header = self.header(self.headers.len() - 1, MINER);
        header.ommers_hash = calculate_ommers_root(&ommers);
        let parent = self.headers.last().unwrap();
        let parent = Parent { header: parent, hash: parent.hash_slow() };
        let claimed = Claimed { header: &header, ommers: &ommers, transactions: &[], withdrawals: &[] };
        let view = self.state.view(Height(height - 1)).unwrap();
        let built = self.executor.reexecute(parent, claimed, &view, &NoBlockHashes).unwrap();
        let root = self.state.apply(Height(height), &built.delta).unwrap();
        let header = built.seal(root).header;
        let body = BlockBody::<Transaction> { transactions: Vec::new(), ommers, withdrawals: None };
        self.file.extend(alloy_rlp::encode(EncodedBlock { header: header.clone(), body }));
        self.headers.push(header);
    }
}

/// Four blocks, of which the last has two ommers.
fn chain() -> (Miner, Vec<Header>) {
    let mut miner = Miner::new();
    for _ in 0..3 {
        miner.mine(Vec::new());
    }
    let ommers = vec![miner.header(2, OMMERS_MINER), miner.header(1, OMMERS_MINER)];
    miner.mine(ommers.clone());
    (miner, ommers)
}

#[test]
fn ommers_are_paid_kept_and_served() {
    let (miner, ommers) = chain();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    fs::write(path("genesis.json"), GENESIS).unwrap();
    fs::write(path("chain.rlp"), &miner.file).unwrap();
    let (genesis, datadir, file) = (path("genesis.json"), path("chain"), path("chain.rlp"));
    let said = run_cloister(&["import", "--genesis", &genesis, "--datadir", &datadir, &file]).unwrap();
    assert!(said.starts_with("Imported 4 blocks"), "{said}");
    run_cloister(&["verify", "--datadir", &datadir]).unwrap();
    let options = NodeOptions { datadir: Some(datadir.into()), ..NodeOptions::default() };
    let node = Node::start(Target::Dev, &options);
    let ask = |method: &str, params: Value| node.rpc().expect(method, params);
    let hashes: Vec<_> = ommers.iter().map(|ommer| json!(ommer.hash_slow())).collect();
    let block = ask("eth_getBlockByNumber", json!(["latest", false]));
    assert_eq!(block["uncles"], json!(hashes));
    assert_eq!(block["size"], json!(format!("{:#x}", last_block(&miner).len())));
    assert_eq!(ask("eth_getUncleCountByBlockNumber", json!(["0x4"])), json!("0x2"));
    assert_eq!(ask("eth_getUncleCountByBlockHash", json!([block["hash"]])), json!("0x2"));
    let uncle = ask("eth_getUncleByBlockHashAndIndex", json!([block["hash"], "0x1"]));
    assert_eq!((&uncle["hash"], &uncle["miner"]), (&hashes[1], &json!(OMMERS_MINER)));
    assert!(uncle.get("transactions").is_none());
    assert_eq!(ask("eth_getUncleByBlockNumberAndIndex", json!(["0x4", "0x2"])), Value::Null);
    assert_eq!(ask("debug_getRawBlock", json!(["latest"])), json!(last_block(&miner)));
    // 3 ether a block (EIP-649), 1/32 of it for each ommer, and 7/8 and 6/8 to those who mined them.
    let ether = U256::from(1_000_000_000_000_000_000_u64);
    let paid =
        |account: Address| ask("eth_getBalance", json!([account, "latest"])).as_str().unwrap().parse::<U256>().unwrap();
    assert_eq!(paid(MINER), ether * U256::from(12) + ether * U256::from(6) / U256::from(32));
    assert_eq!(paid(OMMERS_MINER), ether * U256::from(39) / U256::from(8));
}

/// The encoded block with the ommers.
fn last_block(miner: &Miner) -> Bytes {
    blocks_of(&miner.file).pop().unwrap()
}

#[test]
fn chains_can_be_imported_in_this_process() {
    let (miner, _) = chain();
    let newest = miner.headers.last().unwrap();
    let expected = Chain { height: 4, hash: newest.hash_slow(), state_root: newest.state_root };
    assert_eq!(import(GENESIS, &miner.file), (Some(expected), None));
    let (reached, stop) = import(GENESIS, &miner.file[..miner.file.len() - 1]);
    assert_eq!((reached.unwrap().height, stop), (3, Some(Stop::Bytes("input too short".to_owned()))));
    let other = GENESIS.replace("0x1c9c380", "0x1c9c381");
    let (reached, stop) = import(&other, &miner.file);
    assert_eq!(reached.unwrap().height, 0);
    assert!(matches!(stop, Some(Stop::Block(refusal)) if refusal.field == "parentHash"));
    assert!(matches!(import("{}", &[]).1, Some(Stop::Genesis(_))));
}

/// Blocks with random edits, on top of the chain that the block belongs to: refused or right, and never the core's end.
#[test]
fn edited_blocks_are_refused_or_right() {
    let (miner, _) = chain();
    let mined = (GENESIS.to_owned(), miner.file);
    let public = suite().ok().map(|suite| {
        (fs::read_to_string(suite.join("genesis.json")).unwrap(), fs::read(suite.join("chain.rlp")).unwrap())
    });
    for (genesis, file) in [Some(mined), public].into_iter().flatten() {
        let blocks = blocks_of(&file);
        let last = blocks.len() - 1;
        let before = || {
            let mut importer = Importer::begin(&genesis).unwrap();
            blocks[..last].iter().for_each(|block| importer.import(block.clone()).unwrap());
            importer
        };
        let mut importer = before();
        let seeds: Vec<_> = blocks[last.saturating_sub(3)..].iter().rev().map(|block| block.to_vec()).collect();
        fuzz::run("blocks to import", &seeds, |input| match importer.import(Bytes::copy_from_slice(input)) {
            Ok(()) if importer.chain().unwrap().height == last as u64 => {}
            Ok(()) => importer = before(),
            Err(Stop::Block(_)) => {}
            Err(stop) => panic!("{stop:?}"),
        });
    }
}

fn blocks_of(file: &[u8]) -> Vec<Bytes> {
    let mut rest = file;
    let mut blocks = Vec::new();
    while !rest.is_empty() {
        let start = rest;
        let header = alloy_rlp::Header::decode(&mut rest).unwrap();
        rest = &rest[header.payload_length..];
        blocks.push(Bytes::copy_from_slice(&start[..start.len() - rest.len()]));
    }
    blocks
}
