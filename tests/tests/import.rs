//! `cloister import` on bad input: it stops at the first wrong block with its height, the field, what was expected and
//! what was found, and what was imported before stays usable.

#![allow(clippy::unwrap_used, clippy::print_stderr)]

use std::fs;
use std::path::{Path, PathBuf};

use alloy_primitives::{Address, B64, B256, Bloom, Bytes, U256};
use alloy_rlp::{Decodable as _, Encodable as _};
use cloister_primitives::Transaction;
use cloister_tests::execution_apis::suite;
use cloister_tests::node::{Node, NodeOptions, StartFailure, Target, run_cloister};
use serde_json::{Value, json};
use tempfile::TempDir;

type Block = alloy_consensus::Block<Transaction>;

/// Exit code for a block that is wrong.
const WRONG_BLOCK: i32 = 18;
/// Exit code for a folder of another chain.
const FOREIGN_FOLDER: i32 = 12;
/// Blocks of the suite's chain, without genesis.
const BLOCKS: usize = 54;
/// A block after every fork, and one before the merge.
const NEW: usize = 50;
const MINED: usize = 20;

/// The suite's chain in a folder of the test's own.
struct Bench {
    folder: TempDir,
    genesis: PathBuf,
    blocks: Vec<Vec<u8>>,
}

impl Bench {
    fn new() -> Option<Self> {
        let suite = suite().inspect_err(|reason| eprintln!("skipped: {reason}")).ok()?;
        let bytes = fs::read(suite.join("chain.rlp")).unwrap();
        let mut rest = bytes.as_slice();
        let mut blocks = Vec::new();
        while !rest.is_empty() {
            let before = rest;
            Block::decode(&mut rest).unwrap();
            blocks.push(before[..before.len() - rest.len()].to_vec());
        }
        assert_eq!(blocks.len(), BLOCKS);
        Some(Self { folder: tempfile::tempdir().unwrap(), genesis: suite.join("genesis.json"), blocks })
    }

    fn datadir(&self) -> PathBuf {
        self.folder.path().join("chain")
    }

    fn import(&self, blocks: &[Vec<u8>]) -> Result<String, StartFailure> {
        self.import_bytes(&blocks.concat())
    }

    fn import_bytes(&self, bytes: &[u8]) -> Result<String, StartFailure> {
        let file = self.folder.path().join("blocks.rlp");
        fs::write(&file, bytes).unwrap();
        import(&self.genesis, &self.datadir(), &file)
    }

    /// The block at this index, decoded.
    fn block(&self, index: usize) -> Block {
        Block::decode(&mut self.blocks[index].as_slice()).unwrap()
    }

    /// The good blocks before `index` and then this one.
    fn ending_with(&self, index: usize, last: &Block) -> Vec<Vec<u8>> {
        let mut blocks = self.blocks[..index].to_vec();
        blocks.push(alloy_rlp::encode(last));
        blocks
    }

    /// What was imported is there, the rest can follow, and a node serves all of it.
    fn is_usable(&self) {
        let said = self.import(&self.blocks).unwrap();
        assert!(said.contains(&format!("Newest block  {BLOCKS} ")), "{said}");
        let verified = run_cloister(&["verify", "--datadir", text(&self.datadir()), "--json"]).unwrap();
        assert_eq!(json_of(&verified)["blocks"], json!(BLOCKS + 1));
        let node = self.serve();
        assert_eq!(node.rpc().expect("eth_blockNumber", json!([])), json!("0x36"));
        assert!(node.terminate().success());
    }

    fn serve(&self) -> Node {
        Node::start(Target::Dev, &NodeOptions { datadir: Some(self.datadir()), ..NodeOptions::default() })
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn json_of(said: &str) -> Value {
    serde_json::from_str(said.lines().last().unwrap()).unwrap_or_else(|e| panic!("{e}: {said}"))
}

fn import(genesis: &Path, datadir: &Path, file: &Path) -> Result<String, StartFailure> {
    run_cloister(&["import", "--genesis", text(genesis), "--datadir", text(datadir), text(file)])
}

/// Asserts that the import stopped with this exit code and these words.
fn assert_stops(outcome: Result<String, StartFailure>, code: i32, words: &[&str]) {
    let failure = outcome.expect_err("the import has to stop");
    assert_eq!(failure.status.code(), Some(code), "{}", failure.output);
    for word in words {
        assert!(failure.output.contains(word), "{word:?} is missing: {}", failure.output);
    }
}

#[test]
fn an_import_goes_on_where_it_ended() {
    let Some(bench) = Bench::new() else { return };
    let said = bench.import(&bench.blocks[..30]).unwrap();
    assert!(said.starts_with("Imported 30 blocks") && said.contains("0 were there already"), "{said}");
    assert!(said.contains("Seals of proof of work were not verified"), "{said}");
    let said = bench.import(&bench.blocks).unwrap();
    assert!(said.starts_with("Imported 24 blocks") && said.contains("30 were there already"), "{said}");
    // Without a genesis file, and nothing left to do.
    let file = bench.folder.path().join("blocks.rlp");
    let said = run_cloister(&["import", "--datadir", text(&bench.datadir()), "--json", text(&file)]).unwrap();
    let said = json_of(&said);
    assert_eq!((&said["imported"], &said["skipped"], &said["head"]), (&json!(0), &json!(54), &json!(54)));
    bench.is_usable();
}

#[test]
fn blocks_can_be_checked_without_keeping_them() {
    let Some(bench) = Bench::new() else { return };
    let file = bench.folder.path().join("blocks.rlp");
    fs::write(&file, bench.blocks.concat()).unwrap();
    let said = run_cloister(&["import", "--genesis", text(&bench.genesis), text(&file)]).unwrap();
    assert!(said.starts_with("Checked, and kept nothing of, 54 blocks"), "{said}");
}

#[test]
fn a_file_that_ends_within_a_block() {
    let Some(bench) = Bench::new() else { return };
    let mut bytes = bench.blocks[..10].concat();
    bytes.truncate(bytes.len() - 5);
    let whole = bench.blocks[9].len();
    let words = format!("block 10: rlp: expected {whole} bytes, found {} (truncated-file)", whole - 5);
    assert_stops(bench.import_bytes(&bytes), WRONG_BLOCK, &[&words]);
    bench.is_usable();
}

#[test]
fn bytes_that_are_no_blocks() {
    let Some(bench) = Bench::new() else { return };
    let good = bench.blocks[..3].concat();
    let with = |more: &[u8]| [good.as_slice(), more].concat();
    assert_stops(bench.import_bytes(&with(b"blocks")), WRONG_BLOCK, &["block 4: rlp: expected a list", "0x62"]);
    assert_stops(bench.import_bytes(&with(&[0xc1, 0x80])), WRONG_BLOCK, &["expected a block", "(malformed-block)"]);
    let oversized = with(&[0xfb, 0x40, 0, 0, 0]);
    assert_stops(
        bench.import_bytes(&oversized),
        WRONG_BLOCK,
        &["block 4: size: expected at most", "(oversized-block)"],
    );
    let mut longer = bench.blocks[3].clone();
    // One more byte in the outer list, which no block has.
    let length = u16::from_be_bytes([longer[1], longer[2]]) + 1;
    longer[1..3].copy_from_slice(&length.to_be_bytes());
    longer.push(0x80);
    assert_stops(bench.import_bytes(&with(&longer)), WRONG_BLOCK, &["(malformed-block)"]);
    bench.is_usable();
}

#[test]
fn a_block_larger_than_osaka_allows() {
    let Some(bench) = Bench::new() else { return };
    let mut block = bench.block(NEW);
    let filler = alloy_consensus::TxLegacy { input: vec![1; 8_400_000].into(), ..Default::default() };
    let signature = alloy_primitives::Signature::test_signature();
    block.body.transactions.push(alloy_consensus::SignableTransaction::into_signed(filler, signature).into());
    let blocks = bench.ending_with(NEW, &block);
    let words = [format!("block {}: size: expected at most 8388608 bytes", NEW + 1)];
    assert_stops(bench.import(&blocks), WRONG_BLOCK, &[&words[0], "(invalid-block)"]);
    bench.is_usable();
}

#[test]
fn blocks_out_of_order() {
    let Some(bench) = Bench::new() else { return };
    let mut blocks = bench.blocks.clone();
    blocks.swap(20, 21);
    let words = ["block 22: number: expected 21, found 22 (out-of-order-block)"];
    assert_stops(bench.import(&blocks), WRONG_BLOCK, &words);
    // A block again is not wrong: it is there already.
    let twice = [&bench.blocks[..5], &bench.blocks[..8]].concat();
    assert!(bench.import(&twice).unwrap().contains("Newest block  8 "), "blocks that are there are skipped");
    bench.is_usable();
}

#[test]
fn another_branch() {
    let Some(bench) = Bench::new() else { return };
    bench.import(&bench.blocks[..40]).unwrap();
    // Another block at a height that is there.
    let mut other = bench.block(29);
    other.header.extra_data = Bytes::from_static(b"other");
    let (ours, theirs) = (bench.block(29).header.hash_slow(), other.header.hash_slow());
    let words = format!("block 30: hash: expected {ours}, found {theirs} (forked-block)");
    assert_stops(bench.import(&bench.ending_with(29, &other)), WRONG_BLOCK, &[&words]);
    // The next height, on another parent.
    let mut other = bench.block(40);
    other.header.parent_hash = B256::repeat_byte(7);
    let words = ["block 41: parentHash: expected", "(forked-block)"];
    assert_stops(bench.import(&[alloy_rlp::encode(&other)]), WRONG_BLOCK, &words);
    bench.is_usable();
}

#[test]
fn another_genesis() {
    let Some(bench) = Bench::new() else { return };
    let genesis = fs::read_to_string(&bench.genesis).unwrap();
    let other = bench.folder.path().join("other.json");
    fs::write(&other, genesis.replace("0x68697665636861696e", "0x00")).unwrap();
    let elsewhere = bench.folder.path().join("elsewhere");
    let file = bench.folder.path().join("blocks.rlp");
    bench.import(&bench.blocks).unwrap();
    let words = ["block 1: parentHash: expected", "(foreign-genesis)"];
    assert_stops(import(&other, &elsewhere, &file), WRONG_BLOCK, &words);
    assert_stops(import(&other, &bench.datadir(), &file), FOREIGN_FOLDER, &["another genesis"]);
    // A chain of the client's own takes no blocks.
    let own = bench.folder.path().join("own");
    let node = Node::start(Target::Dev, &NodeOptions { datadir: Some(own.clone()), ..NodeOptions::default() });
    assert!(node.terminate().success());
    let refused = run_cloister(&["import", "--datadir", text(&own), text(&file)]);
    assert_stops(refused, FOREIGN_FOLDER, &["of this client's own"]);
    bench.is_usable();
}

type Change = fn(&mut alloy_consensus::Header);

/// Fields whose value follows from the parent, the chain or the execution, each with another value.
const FIXED_LATE: [(&str, Change); 19] = [
    ("parentHash", |header| header.parent_hash = B256::ZERO),
    ("sha3Uncles", |header| header.ommers_hash = B256::ZERO),
    ("stateRoot", |header| header.state_root = B256::ZERO),
    ("transactionsRoot", |header| header.transactions_root = B256::ZERO),
    ("receiptsRoot", |header| header.receipts_root = B256::ZERO),
    ("logsBloom", |header| header.logs_bloom = Bloom::repeat_byte(1)),
    ("difficulty", |header| header.difficulty = U256::from(1)),
    ("number", |header| header.number += 1),
    ("gasLimit", |header| header.gas_limit *= 2),
    ("gasUsed", |header| header.gas_used += 1),
    ("timestamp", |header| header.timestamp = 0),
    ("extraData", |header| header.extra_data = vec![1; 33].into()),
    ("nonce", |header| header.nonce = B64::repeat_byte(1)),
    ("baseFeePerGas", |header| header.base_fee_per_gas = header.base_fee_per_gas.map(|fee| fee + 1)),
    ("blobGasUsed", |header| header.blob_gas_used = Some(131_072 * 2)),
    ("excessBlobGas", |header| header.excess_blob_gas = Some(1)),
    ("stateRoot", |header| header.parent_beacon_block_root = Some(B256::repeat_byte(9))),
    ("withdrawalsRoot", |header| header.withdrawals_root = Some(B256::repeat_byte(9))),
    ("requestsHash", |header| header.requests_hash = Some(B256::ZERO)),
];

const FIXED_MINED: [(&str, Change); 5] = [
    ("difficulty", |header| header.difficulty += U256::from(1)),
    ("stateRoot", |header| header.beneficiary = Address::repeat_byte(9)),
    ("gasLimit", |header| header.gas_limit -= header.gas_limit / 1_024),
    ("baseFeePerGas", |header| header.base_fee_per_gas = Some(7)),
    ("receiptsRoot", |header| header.receipts_root = B256::ZERO),
];

/// Fields that a miner or proposer chose freely: another value makes another block, which the next does not follow.
const FREE: [(usize, Change); 4] = [
    (MINED, |header| header.mix_hash = B256::repeat_byte(9)),
    (MINED, |header| header.nonce = B64::repeat_byte(9)),
    (MINED, |header| header.extra_data = Bytes::from_static(b"x")),
    (NEW, |header| header.mix_hash = B256::repeat_byte(9)),
];

#[test]
fn each_field_wrong_in_turn() {
    let Some(bench) = Bench::new() else { return };
    let late = FIXED_LATE.into_iter().map(|(field, change)| (NEW, field, change));
    let mined = FIXED_MINED.into_iter().map(|(field, change)| (MINED, field, change));
    for (index, field, change) in mined.chain(late) {
        let mut block = bench.block(index);
        change(&mut block.header);
        let height = if field == "number" { index + 2 } else { index + 1 };
        assert_ne!(block.header, bench.block(index).header, "{field} is as it was");
        let words = format!("block {height}: {field}: expected ");
        assert_stops(bench.import(&bench.ending_with(index, &block)), WRONG_BLOCK, &[&words, ", found "]);
    }
    bench.is_usable();
}

#[test]
fn fields_that_nothing_fixes_make_another_block() {
    let Some(bench) = Bench::new() else { return };
    for (index, change) in FREE {
        // Each in a folder of its own, since that block is right.
        let elsewhere = bench.folder.path().join(format!("free-{index}"));
        let _ = fs::remove_dir_all(&elsewhere);
        let mut block = bench.block(index);
        change(&mut block.header);
        let mut blocks = bench.ending_with(index, &block);
        blocks.push(bench.blocks[index + 1].clone());
        let file = bench.folder.path().join("free.rlp");
        fs::write(&file, blocks.concat()).unwrap();
        let words = format!("block {}: parentHash: expected {}", index + 2, block.header.hash_slow());
        assert_stops(import(&bench.genesis, &elsewhere, &file), WRONG_BLOCK, &[&words, "(forked-block)"]);
    }
}

#[test]
fn bodies_that_do_not_fit_their_header() {
    let Some(bench) = Bench::new() else { return };
    let with_transactions = (NEW..BLOCKS).find(|index| !bench.block(*index).body.transactions.is_empty()).unwrap();
    type BodyChange = fn(&mut Block);
    let changes: [(&str, BodyChange); 4] = [
        ("withdrawals", |block| block.body.withdrawals = None),
        ("sha3Uncles", |block| block.body.ommers.push(alloy_consensus::Header::default())),
        ("gasUsed", |block| _ = block.body.transactions.pop()),
        ("transactions[1]", |block| {
            let first = block.body.transactions[0].clone();
            block.body.transactions.insert(1, first);
        }),
    ];
    for (field, change) in changes {
        let mut block = bench.block(with_transactions);
        change(&mut block);
        let words = format!("block {}: {field}: expected ", with_transactions + 1);
        assert_stops(bench.import(&bench.ending_with(with_transactions, &block)), WRONG_BLOCK, &[&words]);
    }
    bench.is_usable();
}

#[test]
fn an_imported_chain_is_served_and_left_as_it_is() {
    let Some(bench) = Bench::new() else { return };
    bench.import(&bench.blocks).unwrap();
    // Given again, the genesis file is that of the folder's chain.
    let options = NodeOptions {
        datadir: Some(bench.datadir()),
        extra: vec!["--genesis".to_owned(), text(&bench.genesis).to_owned()],
        ..NodeOptions::default()
    };
    let node = Node::start(Target::Dev, &options);
    let mut length = Vec::new();
    bench.block(53).encode(&mut length);
    assert_eq!(node.rpc().expect("debug_getRawBlock", json!(["latest"])), json!(Bytes::from(length)));
    for tag in ["latest", "safe", "finalized"] {
        let block = node.rpc().expect("eth_getBlockByNumber", json!([tag, false]));
        assert_eq!(block["number"], json!("0x36"), "{tag}");
    }
    // Every block is given back as it came.
    for (index, block) in bench.blocks.iter().enumerate() {
        let raw = node.rpc().expect("debug_getRawBlock", json!([format!("{:#x}", index + 1)]));
        assert_eq!(raw, json!(Bytes::from(block.clone())), "block {}", index + 1);
    }
    // No block is made of what waits, until one is asked for.
    let raw = "0x02f8d0870c72dd9d5e883e038201f48401a2158b83013880947dcd17433742f4c0ca53122ab541d0ba67fc27df808401020304\
        f85bf859947dcd17433742f4c0ca53122ab541d0ba67fc27dff842a00000000000000000000000000000000000000000000000000000000000000000\
        a0010000000000000000000000000000000000000000000000000000000000000001a013441f796609349cf843b8a0b4f7eee7f898657a28aa226c8db\
        3383a4ad87c34a07edae97fbc1f2bcd8e62967b2568bbafe7577ff279d24f89dff6d75336246956";
    node.rpc().expect("eth_sendRawTransaction", json!([raw]));
    assert_eq!(node.rpc().expect("eth_blockNumber", json!([])), json!("0x36"));
    node.rpc().expect("evm_mine", json!([]));
    assert_eq!(node.rpc().expect("eth_blockNumber", json!([])), json!("0x37"));
    assert!(node.terminate().success());
    let verified = run_cloister(&["verify", "--datadir", text(&bench.datadir()), "--json"]).unwrap();
    assert_eq!(json_of(&verified)["head"], json!(55));
}
