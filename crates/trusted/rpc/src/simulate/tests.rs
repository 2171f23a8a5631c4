#![allow(clippy::unwrap_used)]

use std::{fs, path::Path, sync::Arc};

use alloy_consensus::Header;
use alloy_primitives::B256;
use cloister_execution::{Claimed, Executor, Open, Parent, genesis_block, genesis_delta, recover_batch};
use cloister_primitives::{ChainSpec, Genesis, Height};
use cloister_state::{HistoryLimits, State};
use serde_json::{Value, json};

use super::*;
use crate::{
    params::FromParams as _,
    vectors::{blocks, pairs, suite},
};

/// The suite's chain, executed block by block.
struct Chain {
    executor: Executor,
    state: State,
    headers: Vec<(Header, B256)>,
}

impl Chain {
    fn import(suite: &Path) -> Self {
        let text = fs::read_to_string(suite.join("genesis.json")).unwrap();
        let (genesis, _) = Genesis::parse(&text).unwrap();
        let spec = Arc::new(ChainSpec::new(genesis).unwrap());
        let state = State::new(HistoryLimits::default());
        let root = state.apply(Height(0), &genesis_delta(&spec)).unwrap();
        let genesis = genesis_block(&spec, root);
        let mut chain = Self {
            executor: Executor::new(spec, Arc::new(Open)),
            state,
            headers: vec![(genesis.header, genesis.hash)],
        };
        for block in blocks(suite) {
            chain.push(block);
        }
        chain
    }

    fn push(&mut self, block: crate::vectors::Block) {
        let (parent, hash) = self.headers.last().unwrap();
        let view = self.state.view(Height(parent.number)).unwrap();
        let transactions: Vec<_> = recover_batch(block.body.transactions).into_iter().map(Result::unwrap).collect();
        let withdrawals = block.body.withdrawals.unwrap_or_default();
        let claimed = Claimed {
            header: &block.header,
            ommers: &block.body.ommers,
            transactions: &transactions,
            withdrawals: &withdrawals,
        };
        let hashes = |height: u64| self.headers.get(usize::try_from(height).ok()?).map(|(_, hash)| *hash);
        let parent = Parent { header: parent, hash: *hash };
        let built = self.executor.reexecute(parent, claimed, &view, &hashes).unwrap();
        let root = self.state.apply(Height(block.header.number), &built.delta).unwrap();
        assert_eq!(root, block.header.state_root, "block {}", block.header.number);
        let hash = block.header.hash_slow();
        self.headers.push((block.header, hash));
    }

    fn answer(&self, params: &Value) -> Result<Value, jsonrpsee::types::ErrorObjectOwned> {
        let text = params.to_string();
        let (Payload { simulation, bodies }, id) = <(Payload, Option<BlockId>)>::from_params(Some(&text))?;
        check(&simulation)?;
        let head = self.headers.len() - 1;
        let height = match id {
            Some(BlockId::Number(alloy_eips::BlockNumberOrTag::Number(number))) => usize::try_from(number).unwrap(),
            _ => head,
        };
        let Some((header, hash)) = self.headers.get(height) else {
            return Err(errors::code(Code::HeaderNotFound));
        };
        let hashes = |height: u64| self.headers.get(usize::try_from(height).ok()?).map(|(_, hash)| *hash);
        let guard: Arc<dyn cloister_execution::FrameGuard> = Arc::new(Open);
        let base = SimulationBase {
            parent: Parent { header, hash: *hash },
            view: &self.state.view(Height(header.number)).unwrap(),
            hashes: &hashes,
            guard: &guard,
            gas_cap: 50_000_000,
        };
        let simulated = self.executor.simulate(base, &simulation).map_err(|error| errors::execution(&error))?;
        let shown: Vec<_> =
            simulated.into_iter().map(|block| SimulatedBlockJson::new(block, bodies, Size::Encoded)).collect();
        Ok(serde_json::to_value(shown).unwrap())
    }
}

#[test]
fn every_pair_of_the_suite_is_answered_to_the_letter() {
    let Some(suite) = suite() else { return };
    let chain = Chain::import(&suite);
    let mut wrong = Vec::new();
    let pairs = pairs(&suite, "eth_simulateV1");
    for (name, request, expected) in &pairs {
        let answer = match chain.answer(&request["params"]) {
            Ok(result) => json!({"jsonrpc": "2.0", "id": request["id"], "result": result}),
            Err(error) => json!({"jsonrpc": "2.0", "id": request["id"], "error": error}),
        };
        if answer != *expected {
            wrong.push(format!("{name}\n  expected {expected}\n  got      {answer}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {} pairs differ:\n{}", wrong.len(), pairs.len(), wrong.join("\n"));
}

fn decode(json: &str) -> Result<Payload, String> {
    Payload::decode(json)
}

#[test]
fn payloads_are_read_as_geth_reads_them() {
    let Payload { simulation, bodies } = decode(
        r#"{"blockStateCalls":[{"blockOverrides":{"number":"0x5","withdrawals":[]},"calls":[{},{"value":"0x1"}]},{}],
            "validation":true,"traceTransfers":true,"returnFullTransactions":true,"unknown":1}"#,
    )
    .unwrap();
    assert_eq!(simulation.blocks.len(), 2);
    assert_eq!(simulation.blocks[0].block.number, Some(5));
    assert_eq!(simulation.blocks[0].calls.len(), 2);
    assert_eq!((simulation.checks, simulation.transfers), (Checks::Full, Transfers::Logged));
    assert_eq!(bodies, Bodies::Full);
    let nulls = r#"{"blockStateCalls":[{"blockOverrides":null,"stateOverrides":null,"calls":null}],"validation":null}"#;
    assert_eq!(decode(nulls).unwrap().simulation.blocks, [SimulatedCalls::default()]);
}

#[test]
fn payloads_that_are_none_are_refused() {
    for (json, message) in [
        ("[]", "json: cannot unmarshal array into Go value of type ethapi.simOpts"),
        ("\"0x\"", "json: cannot unmarshal string into Go value of type ethapi.simOpts"),
        (r#"{"blockStateCalls":[[]]}"#, "json: cannot unmarshal array into Go value of type ethapi.simBlock"),
        (
            r#"{"blockStateCalls":[{"calls":[5]}]}"#,
            "json: cannot unmarshal number into Go value of type ethapi.TransactionArgs",
        ),
    ] {
        assert_eq!(decode(json).err().unwrap(), message, "{json}");
    }
    for json in [
        r#"{"blockStateCalls":{}}"#,
        r#"{"blockStateCalls":[{"calls":{}}]}"#,
        r#"{"validation":"yes"}"#,
        r#"{"blockStateCalls":[{"blockOverrides":{"number":5}}]}"#,
        r#"{"blockStateCalls":[{"stateOverrides":{"0x12":{}}}]}"#,
        r#"{"blockStateCalls":[{"blockOverrides":{"withdrawals":[{}]}}]}"#,
    ] {
        assert!(decode(json).is_err(), "{json}");
    }
    let empty = check(&decode("{}").unwrap().simulation).unwrap_err();
    assert_eq!((empty.code(), empty.message()), (-32602, "empty input"));
    let many = format!(r#"{{"blockStateCalls":[{}{{}}]}}"#, "{},".repeat(100_000));
    let many = check(&decode(&many).unwrap().simulation).unwrap_err();
    assert_eq!((many.code(), many.message()), (-38026, "too many blocks"));
}
