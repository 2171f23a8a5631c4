//! What those who observe ask: everything there is to ask, about everything that happens in either world.

use alloy_primitives::{Address, B256, U256};
use serde_json::{Value, json};

use super::audits::tracer;
use super::cast::Who;
use super::code::{self, prompt};
use super::world::Question;
use cloister_access::Caller;

/// What there is to ask about.
pub(super) struct Chain<'a> {
    /// Hashes of the transactions of each new block, by height.
    pub(super) blocks: &'a [(u64, Vec<B256>)],
    /// Accounts that anything may happen to.
    pub(super) touched: &'a [Address],
    /// Filters of the observer, and then of a party.
    pub(super) filters: &'a [String],
}

/// What one observer installs when it comes.
pub(super) fn filters(caller: &Caller) -> Vec<Question> {
    vec![
        (caller.clone(), "eth_newBlockFilter", json!([])),
        (caller.clone(), "eth_newFilter", json!([{ "fromBlock": "0x0" }])),
        (caller.clone(), "eth_newPendingTransactionFilter", json!([])),
    ]
}

/// What one observer subscribes to.
pub(super) fn subscriptions() -> [Value; 4] {
    [
        json!(["newHeads"]),
        json!(["logs", {}]),
        json!(["newPendingTransactions"]),
        json!(["newPendingTransactions", true]),
    ]
}

/// All questions of one observer.
pub(super) fn questions(caller: &Caller, chain: &Chain<'_>) -> Vec<Question> {
    let mut asked: Vec<(&'static str, Value)> = Vec::new();
    for (height, hashes) in chain.blocks {
        about_block(*height, hashes, &mut asked);
    }
    for address in chain.touched.iter().chain([&code::LEDGER, &code::probe(), &code::token()]) {
        about_account(*address, &mut asked);
    }
    // Of his own, that it is as it would be if nobody else had done anything.
    for account in caller.accounts().iter().filter(|account| !chain.touched.contains(account)) {
        about_account(*account, &mut asked);
    }
    for address in chain.touched {
        about_ruled(caller, *address, &mut asked);
    }
    about_chain(&mut asked);
    // Mallory audits her own contract; Eve audits the parties', but never said so on the ledger.
    for audited in [code::probe(), code::LEDGER, Address::ZERO] {
        let heights = chain.blocks.iter().map(|(height, _)| *height);
        let questions = super::audits::questions(audited, chain.touched, heights);
        asked.extend(questions.into_iter().map(|params| ("cloister_audit", params)));
    }
    for filter in chain.filters {
        asked.push(("eth_getFilterChanges", json!([filter])));
        asked.push(("eth_getFilterLogs", json!([filter])));
    }
    asked.into_iter().map(|(method, params)| (caller.clone(), method, params)).collect()
}

fn about_block(height: u64, hashes: &[B256], asked: &mut Vec<(&'static str, Value)>) {
    let tag = format!("{height:#x}");
    asked.push(("eth_getBlockByNumber", json!([tag, false])));
    asked.push(("eth_getBlockByNumber", json!([tag, true])));
    asked.push(("eth_getHeaderByNumber", json!([tag])));
    asked.push(("eth_getBlockReceipts", json!([tag])));
    asked.push(("eth_getBlockTransactionCountByNumber", json!([tag])));
    asked.push(("eth_getLogs", json!([{ "fromBlock": tag, "toBlock": tag }])));
    asked.push(("debug_traceBlockByNumber", json!([tag, tracer()])));
    for index in 0..=hashes.len() {
        asked.push(("eth_getTransactionByBlockNumberAndIndex", json!([tag, format!("{index:#x}")])));
        asked.push(("eth_getRawTransactionByBlockNumberAndIndex", json!([tag, format!("{index:#x}")])));
    }
    for hash in hashes {
        asked.push(("eth_getTransactionByHash", json!([hash])));
        asked.push(("eth_getTransactionReceipt", json!([hash])));
        asked.push(("eth_getRawTransactionByHash", json!([hash])));
        asked.push(("debug_traceTransaction", json!([hash])));
        asked.push(("debug_traceTransaction", json!([hash, tracer()])));
    }
}

fn about_account(address: Address, asked: &mut Vec<(&'static str, Value)>) {
    let call = json!({ "to": address });
    asked.push(("eth_getBalance", json!([address, "latest"])));
    asked.push(("eth_getBalance", json!([address, "0x0"])));
    asked.push(("eth_getTransactionCount", json!([address, "latest"])));
    asked.push(("eth_getTransactionCount", json!([address, "pending"])));
    asked.push(("eth_getCode", json!([address, "latest"])));
    asked.push(("eth_getAccount", json!([address, "latest"])));
    asked.push(("eth_getAccountInfo", json!([address, "latest"])));
    asked.push(("eth_getStorageAt", json!([address, "0x1", "latest"])));
    asked.push(("eth_getStorageValues", json!([{ address.to_string(): ["0x1"] }, "latest"])));
    asked.push(("eth_getProof", json!([address, ["0x1"], "latest"])));
    asked.push(("eth_call", json!([call, "latest"])));
    asked.push(("eth_call", json!([{ "to": address, "from": address }, "latest"])));
    asked.push(("eth_call", json!([{ "to": address, "from": Who::Alice.address() }, "latest"])));
    asked.push(("eth_estimateGas", json!([call])));
    asked.push(("eth_createAccessList", json!([call])));
    // What one block left is there in the next.
    let simulated = json!({ "calls": [call, { "data": "0x" }] });
    asked.push(("eth_simulateV1", json!([{ "blockStateCalls": [simulated, simulated] }, "latest"])));
    asked.push(("debug_traceCall", json!([call, "latest", tracer()])));
    asked.push(("txpool_contentFrom", json!([address])));
    asked.push(("eth_fillTransaction", json!([{ "from": address, "to": address, "value": "0x1" }])));
    asked.push(("eth_getLogs", json!([{ "fromBlock": "0x0", "address": address }])));
    asked.push(("eth_getLogs", json!([{ "fromBlock": "0x0", "topics": [null, address.into_word()] }])));
    asked.push(("eth_getLogs", json!([{ "fromBlock": "0x0", "topics": [null, null, address.into_word()] }])));
}

/// Of the parties' token, and by the stranger's contract, which its owner may have run in a query.
fn about_ruled(caller: &Caller, about: Address, asked: &mut Vec<(&'static str, Value)>) {
    let word = about.into_word();
    let balance = code::token_call("balanceOf(address)", &[word]);
    let asker = caller.accounts().last().copied().unwrap_or_default();
    asked.push(("eth_call", json!([{ "to": code::token(), "from": asker, "data": balance }, "latest"])));
    asked.push(("eth_call", json!([{ "to": code::token(), "data": balance }, "0x1"])));
    asked.push(("eth_call", json!([{ "to": code::token(), "from": about, "data": balance }, "latest"])));
    let allowance = code::token_call("allowance(address,address)", &[word, Who::Eve.address().into_word()]);
    asked.push(("eth_estimateGas", json!([{ "to": code::token(), "data": allowance }])));
    for asks in [prompt::LOOK, prompt::ASK] {
        let data = code::call(asks, U256::from_be_bytes(word.0), U256::ZERO);
        asked.push(("eth_call", json!([{ "to": code::probe(), "data": data }, "latest"])));
    }
    asked.push(("eth_getLogs", json!([{ "fromBlock": "0x0", "address": code::token(), "topics": [null, [word]] }])));
}

fn about_chain(asked: &mut Vec<(&'static str, Value)>) {
    for method in [
        "eth_blockNumber",
        "eth_gasPrice",
        "eth_maxPriorityFeePerGas",
        "eth_baseFee",
        "eth_blobBaseFee",
        "eth_syncing",
        "eth_accounts",
        "eth_config",
        "eth_capabilities",
        "eth_pendingTransactions",
        "txpool_status",
        "txpool_content",
        "txpool_inspect",
        "net_version",
        "net_peerCount",
    ] {
        asked.push((method, json!([])));
    }
    asked.push(("eth_feeHistory", json!(["0x20", "latest", [10, 50, 90]])));
    asked.push(("eth_getBlockByNumber", json!(["pending", true])));
    asked.push(("eth_getLogs", json!([{ "fromBlock": "0x0" }])));
}

/// What the parties ask of their own, to see that there is a difference.
pub(super) fn own_questions(who: Who, chain: &Chain<'_>) -> Vec<Question> {
    let caller = who.session();
    let mut asked = vec![
        ("eth_getBalance", json!([who.address(), "latest"])),
        ("eth_getTransactionCount", json!([who.address(), "latest"])),
        ("eth_getLogs", json!([{ "fromBlock": "0x0" }])),
    ];
    for hash in chain.blocks.iter().flat_map(|(_, hashes)| hashes) {
        asked.push(("eth_getTransactionByHash", json!([hash])));
        asked.push(("eth_getTransactionReceipt", json!([hash])));
    }
    asked.into_iter().map(|(method, params)| (caller.clone(), method, params)).collect()
}
