#![allow(clippy::unwrap_used)]

use serde_json::json;

use super::explain::words;
use super::*;

fn erc20() -> Interface {
    let address = |name: &str| json!({ "name": name, "type": "address" });
    let indexed = |name: &str| json!({ "name": name, "type": "address", "indexed": true });
    let amount = json!({ "name": "value", "type": "uint256" });
    let function = |name: &str, mutability: &str, inputs: Vec<Value>| json!({ "type": "function", "name": name, "stateMutability": mutability, "inputs": inputs });
    let event = |name: &str, one: &str, other: &str| json!({ "type": "event", "name": name, "inputs": [indexed(one), indexed(other), amount] });
    let entries = json!([
        function("name", "view", vec![]),
        function("symbol", "view", vec![]),
        function("decimals", "pure", vec![]),
        function("totalSupply", "view", vec![]),
        function("balanceOf", "view", vec![address("account")]),
        function("allowance", "view", vec![address("owner"), address("spender")]),
        function("transfer", "nonpayable", vec![address("to"), amount.clone()]),
        function("transferFrom", "nonpayable", vec![address("from"), address("to"), amount.clone()]),
        function("approve", "nonpayable", vec![address("spender"), amount.clone()]),
        function("nonces", "view", vec![address("owner")]),
        function("version", "view", vec![]),
        event("Transfer", "from", "to"),
        event("Approval", "owner", "spender"),
    ]);
    Interface::parse(&json!({ "abi": entries })).unwrap()
}

const SHIPPED: &str = include_str!("../../../../contracts/policies/erc20.json");

fn parse(file: &Value, interface: &Interface) -> Result<Policy, Refused> {
    Policy::parse(&file.to_string(), interface)
}

#[test]
fn the_shipped_file_says_who_sees_what_of_a_token() {
    let policy = Policy::parse(SHIPPED, &erc20()).unwrap();
    let rules = |name: &str| {
        let rules = policy.functions.iter().find(|rules| rules.function.name == name).unwrap();
        let parameters = &rules.function.parameters;
        (words(&rules.query, parameters, &policy), words(&rules.execute, parameters, &policy))
    };
    let both = |rule: &str| (rule.to_owned(), rule.to_owned());
    assert_eq!(rules("balanceOf"), both("caller == account or role 0 or auditor"));
    assert_eq!(rules("allowance"), both("caller == owner or caller == spender or role 0 or auditor"));
    assert_eq!(rules("transfer"), ("session".to_owned(), "public".to_owned()));
    assert_eq!(rules("nonces"), both("caller == owner or role 0 or auditor"), "not every token has it");
    assert_eq!(rules("version"), both("deny"), "what the file does not name");
    let (event, rule) = &policy.events[0];
    assert_eq!(rule, &[[3, 0x81], [3, 0x82], [5, 0], AUDITOR]);
    assert_eq!(event.signature, "Transfer(address,address,uint256)");
    assert_eq!(policy.facts, [NOBODY, PUBLIC, NOBODY]);
}

#[test]
fn what_cannot_be_meant_is_said() {
    let refused = |file: Value| parse(&file, &erc20()).unwrap_err().reason;
    for (file, expected) in [
        (json!([]), "the policy: expected an object"),
        (json!({ "function": {} }), "the policy: `function` is not known here"),
        (
            json!({ "functions": { "mint": {} } }),
            "the contract's interface has no `mint`, or more than one and none is named by signature",
        ),
        (json!({ "functions": { "name": { "query": ["all"] } } }), "functions.name.query: `all` is no term"),
        (json!({ "functions": { "name": { "query": ["custom"] } } }), "functions.name.query: `custom` is no term"),
        (
            json!({ "functions": { "transfer": { "query": ["caller == value"] } } }),
            "functions.transfer.query: `value` is no address within reach",
        ),
        (
            json!({ "functions": { "transfer": { "query": ["caller == me"] } } }),
            "functions.transfer.query: there is no parameter `me`",
        ),
        (json!({ "events": { "Transfer": ["deny", "public"] } }), "events.Transfer: `deny` stands alone"),
        (json!({ "events": { "Transfer": vec!["public"; 8] } }), "events.Transfer: at most 7 terms"),
        (
            json!({ "functions": { "name": { "query": "role 256" } } }),
            "functions.name.query: `256` is no role from 0 to 255",
        ),
        (json!({ "code": "session" }), "code: an account's facts have no `session`"),
        (
            json!({ "functions": { "name": { "query": "custom 12" } } }),
            "functions.name.query: `12` is no address of a contract",
        ),
        (
            json!({ "events": { "Transfer": "custom 0x5FbDB2315678afecb367f032d93F642f64180aa3" } }),
            "events.Transfer: no contract is asked about this",
        ),
        (json!({ "functions": { "name": { "query": 1 } } }), "functions.name.query: expected a list of terms"),
        (
            json!({ "functions": { "name": { "query": [["public"]] } } }),
            "functions.name.query: expected a list of terms",
        ),
        (json!({ "functions": { "name": { "commitOnly": 1 } } }), "functions.name.commitOnly: expected true or false"),
        (json!({ "functions": [] }), "functions: expected an object"),
        (json!({ "functions": { "name": {}, "name()": {} } }), "`name` is named twice"),
    ] {
        assert_eq!(refused(file), expected);
    }
}

#[test]
fn commit_only_is_refused_outside_transactions() {
    let file = json!({ "functions": { "name": { "query": ["public"], "commitOnly": true } } });
    let policy = parse(&file, &erc20()).unwrap();
    assert_eq!((policy.functions[0].query.clone(), policy.functions[0].execute.clone()), (vec![], vec![PUBLIC]));
}

#[test]
fn arguments_are_counted_in_words_and_overloads_named_by_signature() {
    let pair = json!([{ "name": "x", "type": "uint8" }, { "name": "y", "type": "address" }]);
    let inputs = json!([
        { "name": "flags", "type": "bool[3]" },
        { "name": "pairs", "type": "tuple[2]", "components": pair },
        { "name": "text", "type": "string" },
        { "name": "who", "type": "address" },
    ]);
    let interface = Interface::parse(&json!([
        { "type": "function", "name": "f", "stateMutability": "view", "inputs": inputs },
        { "type": "function", "name": "g", "stateMutability": "view", "inputs": [] },
        { "type": "function", "name": "g", "stateMutability": "view", "inputs": [{ "name": "", "type": "uint256" }] },
    ]))
    .unwrap();
    assert_eq!(interface.functions[0].signature, "f(bool[3],(uint8,address)[2],string,address)");
    assert_eq!(interface.functions[0].parameters[3].operand, Some(8));
    let named = |name: &str| parse(&json!({ "functions": { name: { "query": "public" } } }), &interface);
    assert!(named("g").is_err());
    let policy = named("g(uint256)").unwrap();
    assert_eq!((policy.functions[1].query.len(), policy.functions[2].query.len()), (0, 1));
}

#[test]
fn refusals_name_the_line() {
    let refused = |file: &str| Policy::parse(file, &erc20()).unwrap_err().to_string();
    let cases = [
        ("", "line 1: not JSON: EOF while parsing a value at line 1 column 0"),
        ("{\n  \"functions\": {\n    \"name\": {,}\n", "line 3: not JSON: key must be a string at line 3 column 14"),
        ("{} {}", "line 1: not JSON: trailing characters at line 1 column 4"),
        ("\n[]", "line 2: the policy: expected an object"),
        (
            "{\n  \"functions\": {\n    \"mint\": {}\n  }\n}",
            "line 3: the contract's interface has no `mint`, or more than one and none is named by signature",
        ),
        (
            "{\n  \"functions\": {\n    \"name\": {\n      \"query\": [\n        \"public\",\n        \"all\"\n",
            "line 7: not JSON: EOF while parsing a list at line 7 column 0",
        ),
        (
            "{\n  \"functions\": { \"name\": {\n    \"query\": [\n      \"public\",\n      \"all\"\n] } } }",
            "line 5: functions.name.query: `all` is no term",
        ),
        ("{ \"code\": \"public\",\n  \"code\": \"deny\" }", "line 2: the policy: `code` is there twice"),
    ];
    for (file, expected) in cases {
        assert_eq!(refused(file), expected, "{file}");
    }
}

#[test]
fn a_policy_that_locks_its_owner_out_is_warned_of() {
    let warned = |file: Value| warnings(&parse(&file, &erc20()).unwrap());
    assert_eq!(warnings(&Policy::parse(SHIPPED, &erc20()).unwrap()), Vec::<String>::new());
    let locked = warned(json!({
        "functions": { "balanceOf": { "query": "caller == account" }, "transfer": { "execute": "deny" } },
        "events": { "Approval": "deny" },
    }));
    assert_eq!(
        locked,
        [
            "no query rule admits the owner of the rules as such: he locks himself out",
            "nobody, the owner included, can run transfer(address,uint256) in a transaction",
            "nobody, the owner included, is shown logs of Approval(address,address,uint256)",
        ]
    );
}

#[test]
fn each_caller_is_told_what_he_learns() {
    let text = explain(&Policy::parse(SHIPPED, &erc20()).unwrap());
    let balance = "balanceOf(address)  0x70a08231
  query    caller == account or role 0 or auditor
  execute  caller == account or role 0 or auditor
    anonymous: nothing
    signed in: nothing
    another contract: nothing
    owner: nothing
    who stands there (caller == account): asks and has transactions read, learns whether it reverts, and with what
    role 0: asks and has transactions read, learns whether it reverts, and with what
    auditor: asks, of the blocks of his audit: learns whether it reverts, and with what
";
    assert!(text.contains(balance), "{text}");
    assert!(
        text.contains("version()  0x54fd4d50\n  query    deny\n  execute  deny\n    anonymous: nothing\n"),
        "{text}"
    );
}

#[test]
fn judges_are_numbered_in_order_and_once() {
    let [one, other] = [1, 2].map(Address::repeat_byte);
    let rule = |judge: Address| format!("custom {judge}");
    let file = json!({ "functions": {
        "name": { "query": [rule(one), rule(other)] },
        "symbol": { "query": rule(other), "execute": rule(one) },
    } });
    let policy = parse(&file, &erc20()).unwrap();
    assert_eq!(policy.judges, [one, other]);
    assert_eq!(policy.functions[0].query, [[CUSTOM, 0], [CUSTOM, 1]]);
    assert_eq!(
        (policy.functions[1].query.clone(), policy.functions[1].execute.clone()),
        (vec![[CUSTOM, 1]], vec![[CUSTOM, 0]])
    );
}
