//! Which method tells what to whom: every method of the registry, called as each role on a confidential chain.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use alloy_primitives::{Address, B256, Bytes, keccak256};
use cloister_access::Caller;
use serde_json::{Value, json};

use super::audits::tracer;
use super::cast::Who;
use super::code;
use super::nodes::{ALONE, Nodes};
use super::workload::{Creations, Sent, Shape, Workload};
use super::world::Question;

/// Who calls, in the order of the columns.
const ROLES: [&str; ROLE_COUNT] =
    ["not signed in", "signed in, not concerned", "recipient", "sender", "member", "auditor of everything", "operator"];
const ROLE_COUNT: usize = 7;
const SENDER: usize = 3;
const AUDITOR: usize = 5;

/// A cell for each role.
type Cells = [&'static str; ROLE_COUNT];

/// What a method is about, which says what each role gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Everybody gets the same: constants, and what headers say.
    Same,
    /// A transaction: its sender gets all of it, its recipient all but what is the sender's alone.
    Transaction,
    /// Something of one account, or of one session: nobody else learns whether there is any.
    Own,
    /// Something to come back to; everybody gets his own.
    Handle,
    /// What a session knows of itself.
    Session,
    /// Something that is nobody's, and that an auditor of the whole ledger is told.
    Audited,
    /// How something of one sender executes: as if there were no such method for everybody else.
    Traced,
    /// Not there on a confidential chain, but for an auditor of the whole ledger.
    Proved,
    /// Not there on a confidential chain.
    Withheld,
}

/// Methods that can be asked under an audit: those are asked so by who audits.
const UNDER_AUDIT: [&str; 14] = [
    "debug_traceBlockByNumber",
    "debug_traceCall",
    "debug_traceTransaction",
    "eth_call",
    "eth_getBalance",
    "eth_getBlockByHash",
    "eth_getBlockByNumber",
    "eth_getBlockReceipts",
    "eth_getCode",
    "eth_getLogs",
    "eth_getProof",
    "eth_getStorageAt",
    "eth_getTransactionByHash",
    "eth_getTransactionReceipt",
];

/// What there is on the chain that is asked about, and what never was.
struct Scene {
    hash: B256,
    raw: Bytes,
    block: B256,
    account: Address,
    filter: String,
    is_real: bool,
}

type Params = fn(&Scene) -> Value;

/// Every method that everybody may call, how it is called, and what it is. A method that is not here fails the test.
const METHODS: &[(&str, Class, Params)] = &[
    // A contract that nobody here audits.
    ("cloister_audit", Class::Same, |scene| {
        json!([Address::repeat_byte(0x55), "eth_getBalance", [scene.account, "latest"]])
    }),
    // Who calls does not matter, but who signed: this query nobody did.
    ("cloister_signedCall", Class::Same, |scene| {
        let query = json!({
            "account": scene.account, "to": scene.account, "data": "0x", "value": "0x0", "gas": "0x0",
            "fromBlock": "0x0", "toBlock": "0xffffffff", "expiry": "0xffffffffff",
        });
        json!([query, "0x"])
    }),
    ("cloister_networkStatus", Class::Same, |_| json!([])),
    ("cloister_sealingKeys", Class::Same, |_| json!([])),
    ("debug_traceBlockByHash", Class::Traced, |scene| json!([scene.block, tracer()])),
    ("debug_traceBlockByNumber", Class::Traced, |scene| json!([scene.tag(), tracer()])),
    ("debug_traceCall", Class::Traced, |scene| json!([{ "to": scene.account }, "latest", tracer()])),
    ("debug_traceTransaction", Class::Traced, |scene| json!([scene.hash, tracer()])),
    ("eth_accounts", Class::Session, |_| json!([])),
    ("eth_baseFee", Class::Same, |_| json!([])),
    ("eth_blobBaseFee", Class::Same, |_| json!([])),
    ("eth_blockNumber", Class::Same, |_| json!([])),
    ("eth_call", Class::Own, |scene| json!([{ "to": scene.account }, "latest"])),
    ("eth_capabilities", Class::Same, |_| json!([])),
    ("eth_chainId", Class::Same, |_| json!([])),
    ("eth_coinbase", Class::Same, |_| json!([])),
    ("eth_config", Class::Same, |_| json!([])),
    ("eth_createAccessList", Class::Withheld, |scene| json!([{ "to": scene.account }])),
    ("eth_estimateGas", Class::Own, |scene| json!([{ "to": scene.account }])),
    ("eth_feeHistory", Class::Same, |_| json!(["0x4", "latest", [50]])),
    (
        "eth_fillTransaction",
        Class::Own,
        |scene| json!([{ "from": scene.account, "to": scene.account, "value": "0x1" }]),
    ),
    ("eth_gasPrice", Class::Same, |_| json!([])),
    ("eth_getAccount", Class::Same, |scene| json!([scene.account, "latest"])),
    ("eth_getAccountInfo", Class::Own, |scene| json!([scene.account, "latest"])),
    ("eth_getBalance", Class::Own, |scene| json!([scene.account, "latest"])),
    ("eth_getBlockByHash", Class::Transaction, |scene| json!([scene.block, true])),
    ("eth_getBlockByNumber", Class::Transaction, |scene| json!([scene.tag(), true])),
    ("eth_getBlockReceipts", Class::Transaction, |scene| json!([scene.tag()])),
    ("eth_getBlockTransactionCountByHash", Class::Same, |scene| json!([scene.block])),
    ("eth_getBlockTransactionCountByNumber", Class::Same, |scene| json!([scene.tag()])),
    ("eth_getCode", Class::Own, |scene| json!([scene.account, "latest"])),
    ("eth_getFilterChanges", Class::Own, |scene| json!([scene.filter])),
    ("eth_getFilterLogs", Class::Own, |scene| json!([scene.filter])),
    ("eth_getHeaderByHash", Class::Same, |scene| json!([scene.block])),
    ("eth_getHeaderByNumber", Class::Same, |scene| json!([scene.tag()])),
    ("eth_getLogs", Class::Own, |scene| json!([{ "fromBlock": "0x1", "topics": [null, scene.account.into_word()] }])),
    ("eth_getProof", Class::Proved, |scene| json!([scene.account, [], "latest"])),
    ("eth_getRawTransactionByBlockHashAndIndex", Class::Own, |scene| json!([scene.block, "0x0"])),
    ("eth_getRawTransactionByBlockNumberAndIndex", Class::Own, |scene| json!([scene.tag(), "0x0"])),
    ("eth_getRawTransactionByHash", Class::Own, |scene| json!([scene.hash])),
    ("eth_getStorageAt", Class::Audited, |_| json!([code::LEDGER, "0x1", "latest"])),
    ("eth_getStorageValues", Class::Same, |_| json!([{ code::LEDGER.to_string(): ["0x1"] }, "latest"])),
    ("eth_getTransactionByBlockHashAndIndex", Class::Transaction, |scene| json!([scene.block, "0x0"])),
    ("eth_getTransactionByBlockNumberAndIndex", Class::Transaction, |scene| json!([scene.tag(), "0x0"])),
    ("eth_getTransactionByHash", Class::Transaction, |scene| json!([scene.hash])),
    ("eth_getTransactionCount", Class::Own, |scene| json!([scene.account, "latest"])),
    ("eth_getTransactionReceipt", Class::Transaction, |scene| json!([scene.hash])),
    ("eth_getUncleByBlockHashAndIndex", Class::Same, |scene| json!([scene.block, "0x0"])),
    ("eth_getUncleByBlockNumberAndIndex", Class::Same, |scene| json!([scene.tag(), "0x0"])),
    ("eth_getUncleCountByBlockHash", Class::Same, |scene| json!([scene.block])),
    ("eth_getUncleCountByBlockNumber", Class::Same, |scene| json!([scene.tag()])),
    ("eth_hashrate", Class::Same, |_| json!([])),
    ("eth_maxPriorityFeePerGas", Class::Same, |_| json!([])),
    ("eth_mining", Class::Same, |_| json!([])),
    ("eth_newBlockFilter", Class::Handle, |_| json!([])),
    ("eth_newFilter", Class::Handle, |_| json!([{}])),
    ("eth_newPendingTransactionFilter", Class::Handle, |_| json!([])),
    ("eth_pendingTransactions", Class::Own, |_| json!([])),
    ("eth_sendRawTransaction", Class::Own, |scene| json!([scene.raw])),
    ("eth_sendRawTransactionSync", Class::Transaction, |scene| json!([scene.raw, 1])),
    ("eth_simulateV1", Class::Own, |scene| {
        let call = json!({ "from": scene.account, "to": scene.account });
        json!([{ "blockStateCalls": [{ "calls": [call] }] }, "latest"])
    }),
    ("eth_subscribe", Class::Handle, |_| json!(["newHeads"])),
    ("eth_syncing", Class::Same, |_| json!([])),
    ("eth_unsubscribe", Class::Handle, |_| json!(["0x1"])),
    ("net_listening", Class::Same, |_| json!([])),
    ("net_peerCount", Class::Same, |_| json!([])),
    ("net_version", Class::Same, |_| json!([])),
    ("rpc.discover", Class::Same, |_| json!([])),
    ("rpc_modules", Class::Same, |_| json!([])),
    ("txpool_content", Class::Own, |_| json!([])),
    ("txpool_contentFrom", Class::Own, |scene| json!([scene.account])),
    ("txpool_inspect", Class::Own, |_| json!([])),
    ("txpool_status", Class::Own, |_| json!([])),
    ("web3_clientVersion", Class::Same, |_| json!([])),
    ("web3_sha3", Class::Same, |_| json!(["0x00"])),
    // Last, since it ends what others are asked about.
    ("eth_uninstallFilter", Class::Own, |scene| json!([scene.filter])),
];

impl Scene {
    /// The block with the transaction, or one that has none.
    fn tag(&self) -> &'static str {
        if self.is_real { "0x1" } else { "0x7fffffff" }
    }
}

/// How a method is classified; methods of development networks are not there.
fn class_of(name: &str, is_for_developers: bool) -> Option<(Class, Option<Params>)> {
    let known = METHODS.iter().any(|(known, ..)| *known == name);
    if is_for_developers || (name.starts_with("debug_") && !known) {
        return Some((Class::Withheld, None));
    }
    METHODS.iter().find(|(known, ..)| *known == name).map(|(_, class, params)| (*class, Some(*params)))
}

/// What each role is expected to get.
fn expected(name: &str, class: Class) -> Cells {
    let nothing = ["nothing"; ROLE_COUNT];
    let missing = ["-32601"; ROLE_COUNT];
    let mut cells = match class {
        Class::Same => ["the same"; ROLE_COUNT],
        Class::Transaction => ["nothing", "nothing", "its part", "all", "nothing", "nothing", "nothing"],
        Class::Own | Class::Audited => nothing,
        Class::Handle => ["its own"; ROLE_COUNT],
        Class::Session => ["nothing", "its own", "its own", "its own", "its own", "its own", "nothing"],
        Class::Traced | Class::Proved | Class::Withheld => missing,
    };
    if matches!(class, Class::Own | Class::Traced) {
        cells[SENDER] = "its own";
    }
    if UNDER_AUDIT.contains(&name) {
        cells[AUDITOR] = "all";
    }
    cells
}

/// A method, whether only developers may call it, and what each role was found to get.
type Row = (String, Class, Cells);

/// Calls every method as each role and says what they get.
///
/// # Errors
/// The methods that nobody classified, or that do not do what their class says.
///
/// # Panics
/// If the node fails.
pub fn rows(methods: &[(String, bool)]) -> Result<Vec<Row>, Vec<String>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(async {
        let mut stage = Stage::set().await.unwrap_or_else(|fault| panic!("{fault}"));
        let known: BTreeSet<_> = methods.iter().map(|(name, _)| name.as_str()).collect();
        let gone = METHODS.iter().filter(|(name, ..)| !known.contains(name));
        let mut faults: Vec<_> = gone.map(|(name, ..)| format!("{name} is classified and does not exist")).collect();
        let mut rows = Vec::new();
        // In the order of the table, which ends with what has effects.
        let place = |name: &str| METHODS.iter().position(|(known, ..)| *known == name);
        let mut ordered: Vec<_> = methods.iter().collect();
        ordered.sort_by_key(|(name, _)| place(name));
        for (name, is_for_developers) in ordered {
            let Some((class, params)) = class_of(name, *is_for_developers) else {
                faults.push(format!("nobody classified {name}: see METHODS in tests/src/harness/matrix.rs"));
                continue;
            };
            let found = match (class, params) {
                // Subscriptions are no single answers.
                (Class::Handle, Some(_)) if name.contains("subscribe") => stage.subscribes().await,
                (Class::Handle, Some(params)) => stage.installs(name, params).await,
                (Class::Session, Some(params)) => stage.knows_itself(name, params).await,
                (class, params) => stage.found(name, class, params.unwrap_or(|_| json!([]))).await,
            }
            .unwrap_or_else(|fault| panic!("{name}: {fault}"));
            let wanted = expected(name, class);
            if found != wanted {
                faults.push(format!("{name} is {class:?}, so {wanted:?}, and does {found:?}"));
            }
            rows.push((name.clone(), class, found));
        }
        rows.sort_by(|(one, ..), (other, ..)| one.cmp(other));
        if faults.is_empty() { Ok(rows) } else { Err(faults) }
    })
}

/// A chain with one transaction of one party to another.
struct Stage {
    node: Nodes,
    real: Scene,
    never: Scene,
}

/// Roles as the methods know them. The operator of a machine has no door of his own: he is whom nobody knows.
fn callers() -> [Caller; ROLE_COUNT] {
    [
        Caller::Anonymous,
        Who::Eve.session(),
        Who::Rita.session(),
        Who::Alice.session(),
        Who::Mallory.session(),
        Who::Bob.session(),
        Caller::Anonymous,
    ]
}

impl Stage {
    async fn set() -> Result<Self, String> {
        let workload = Workload {
            seed: 1,
            snapshot_every_blocks: 1_024,
            creations: Creations::Ruled,
            shape: Shape::Alone,
            rita_observes: true,
            steps: Vec::new(),
            touched: Vec::new(),
        };
        let mut node = Nodes::start(&workload, 1)?;
        let alice = Who::Alice.session();
        // A call that names the sender in a log and gives the recipient nothing of it.
        let sent = Sent { gas: 100_000, ..Sent::transfer(Who::Alice, Who::Rita.address(), 5) };
        let raw = sent.signed(0);
        let logs = Sent {
            input: code::call(code::ask::LOG, alloy_primitives::U256::from(1), alloy_primitives::U256::from(9)),
            gas: 300_000,
            ..Sent::transfer(Who::Alice, code::LEDGER, 0)
        };
        let delegates = Sent { kind: super::workload::Kind::Delegation, gas: 100_000, ..sent.clone() };
        for transaction in [&raw, &logs.signed(1), &delegates.signed(2)] {
            node.ask(ALONE, &[(alice.clone(), "eth_sendRawTransaction", json!([transaction]))]).await?;
        }
        // The only member lets Bob audit everything, and he says that he is going to.
        let granted = super::audits::grants(Address::ZERO, Who::Bob).signed(0);
        let said = super::audits::says(Who::Bob, Address::ZERO).signed(0);
        for (who, transaction) in [(Who::Mallory, granted), (Who::Bob, said)] {
            node.ask(ALONE, &[(who.session(), "eth_sendRawTransaction", json!([transaction]))]).await?;
        }
        // The delegation used up one nonce more; what comes after a gap waits.
        let waits = Sent { nonce_gap: 3, ..sent }.signed(4);
        let asked = [
            (alice.clone(), "eth_sendRawTransaction", json!([waits])),
            (alice, "eth_newFilter", json!([{ "fromBlock": "0x0" }])),
        ];
        let answers = node.ask(ALONE, &asked).await?;
        let filter: String = serde_json::from_str(&answers[1]).map_err(|error| error.to_string())?;
        let block = node.ahead().block_hash(1)?;
        let real = Scene { hash: keccak256(&raw), raw, block, account: Who::Alice.address(), filter, is_real: true };
        // By somebody who has sent nothing, and never does.
        let unsent = Sent { nonce_gap: 60, ..Sent::transfer(Who::Carol, Who::Bob.address(), 1) }.signed(0);
        let never = Scene {
            hash: keccak256(&unsent),
            raw: unsent,
            block: B256::repeat_byte(0x66),
            account: Address::repeat_byte(0x66),
            filter: "0x66666666666666666666666666666666".to_owned(),
            is_real: false,
        };
        Ok(Self { node, real, never })
    }

    /// The answer to a role, without what it was asked about.
    async fn answer(&mut self, role: usize, name: &str, params: Params, is_real: bool) -> Result<String, String> {
        let caller = callers()[role].clone();
        let scene = if is_real { &self.real } else { &self.never };
        let question: Question = if role == AUDITOR && UNDER_AUDIT.contains(&name) {
            (caller, "cloister_audit", json!([Address::ZERO, name, params(scene)]))
        } else {
            (caller, leaked(name), params(scene))
        };
        let (hash, account) = (scene.hash.to_string(), scene.account.to_string().to_lowercase());
        let answers = self.node.ask(ALONE, &[question]).await?;
        Ok(answers[0].replace(&hash, "HASH").replace(&account, "ACCOUNT"))
    }

    async fn found(&mut self, name: &str, class: Class, params: Params) -> Result<Cells, String> {
        let mut real = Vec::new();
        let mut never = Vec::new();
        for role in 0..ROLE_COUNT {
            // What never was comes first: it has no effects.
            never.push(self.answer(role, name, params, false).await?);
            real.push(self.answer(role, name, params, true).await?);
        }
        let is_missing = |answer: &str| answer == "no such method" || answer.starts_with("{\"code\":-32601,");
        // Where every transaction is in a block at once, there is nothing pending to be shown.
        let is_idle = name == "eth_pendingTransactions" && real.iter().all(|answer| answer == "[]");
        if is_idle {
            return Ok(expected(name, class));
        }
        let is_same = class == Class::Same && real.iter().all(|answer| *answer == real[0]);
        // What anybody is told: of an account, that there is nothing; of a block, what its header says.
        let told = &real[0];
        let is_exact = matches!(class, Class::Own | Class::Traced | Class::Proved | Class::Audited);
        let told_apart = |role: usize| is_exact && role != SENDER && role != AUDITOR && real[role] != never[role];
        Ok(core::array::from_fn(|role| match (role, class) {
            _ if is_same => "the same",
            _ if told_apart(role) => "something",
            _ if is_missing(&real[role]) => "-32601",
            _ if real[role] == *told => "nothing",
            (AUDITOR, _) | (SENDER, Class::Transaction) => "all",
            (SENDER, _) => "its own",
            _ => "its part",
        }))
    }

    async fn installs(&mut self, name: &str, params: Params) -> Result<Cells, String> {
        let mut ids = BTreeSet::new();
        for role in 0..ROLE_COUNT {
            ids.insert(self.answer(role, name, params, true).await?);
        }
        let all = ids.len() == ROLES.len() && ids.iter().all(|id| id.starts_with("\"0x"));
        Ok(if all { ["its own"; ROLE_COUNT] } else { ["nothing"; ROLE_COUNT] })
    }

    async fn subscribes(&self) -> Result<Cells, String> {
        for caller in callers() {
            self.node.subscribe(ALONE, &caller, &json!(["newHeads"])).await?;
        }
        Ok(["its own"; ROLE_COUNT])
    }

    async fn knows_itself(&mut self, name: &str, params: Params) -> Result<Cells, String> {
        let mut found = [""; ROLE_COUNT];
        for (cell, caller) in found.iter_mut().zip(callers()) {
            let question: Question = (caller.clone(), leaked(name), params(&self.real));
            let answer = self.node.ask(ALONE, &[question]).await?.remove(0);
            let own: Vec<Address> = serde_json::from_str(&answer).map_err(|error| error.to_string())?;
            *cell = match own.as_slice() {
                [] => "nothing",
                own if own == caller.accounts() => "its own",
                _ => "others'",
            };
        }
        Ok(found)
    }
}

/// The name for as long as the process runs: there are two hundred.
fn leaked(name: &str) -> &'static str {
    Box::leak(name.to_owned().into_boxed_str())
}

/// The methods of `docs/rpc.md`, and whether only developers may call them.
#[must_use]
pub fn methods_of(page: &str) -> Vec<(String, bool)> {
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.filter_map(|row| {
        let (name, rest) = row.split_once('`')?;
        Some((name.to_owned(), rest.contains("| developer |")))
    })
    .collect()
}

/// `docs/method-roles.md`.
#[must_use]
pub fn markdown(rows: &[Row]) -> String {
    let mut page = "# Methods and roles on a confidential chain

Written by `make docs` from calling every method as each role on a confidential chain without rules of contracts; do not edit. A method
that nobody classified fails the tests, so there is none that is not here.

The question is about one transaction, or its sender's account: *nothing* is word for word what is answered about what never was, or what
everybody is told of a block; *its part* lacks the sender's nonce, gas, fees and signature; *the same* is the same for everybody; -32601
says that there is no such method, as do all methods of development networks.

A member is an account that genesis lets vote; that opens no method to him, but he is shown the logs that say that an audit was granted or
used. An auditor asks by `cloister_audit` where that takes the method, and under no audit otherwise. The operator of a machine has no
method at all: who asks from his machine is not signed in.

"
    .to_owned();
    let _ = writeln!(page, "| method | {} |\n| --- |{}", ROLES.join(" | "), " --- |".repeat(ROLE_COUNT));
    for (name, _, found) in rows.iter().filter(|(name, class, _)| *class != Class::Withheld || is_standard(name)) {
        let _ = writeln!(page, "| `{name}` | {} |", found.join(" | "));
    }
    page
}

fn is_standard(name: &str) -> bool {
    name.starts_with("eth_get") || name.starts_with("debug_") || METHODS.iter().any(|(known, ..)| *known == name)
}
