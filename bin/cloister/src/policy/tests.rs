#![allow(clippy::unwrap_used)]

use serde_json::json;

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
        event("Transfer", "from", "to"),
        event("Approval", "owner", "spender"),
    ]);
    Interface::parse(&json!({ "abi": entries })).unwrap()
}

fn shipped() -> Value {
    serde_json::from_str(include_str!("../../../../contracts/policies/erc20.json")).unwrap()
}

#[test]
fn the_shipped_file_says_who_sees_what_of_a_token() {
    let policy = Policy::parse(&shipped(), &erc20()).unwrap();
    let rules = |name: &str| {
        let rules = policy.functions.iter().find(|rules| rules.function.name == name).unwrap();
        let parameters = &rules.function.parameters;
        (words(&rules.query, parameters), words(&rules.execute, parameters))
    };
    let both = |rule: &str| (rule.to_owned(), rule.to_owned());
    assert_eq!(rules("balanceOf"), both("caller == account or role 0"));
    assert_eq!(rules("allowance"), both("caller == owner or caller == spender or role 0"));
    assert_eq!(rules("transfer"), ("session".to_owned(), "public".to_owned()));
    assert_eq!(rules("nonces"), both("deny"), "what the file does not name");
    let (event, rule) = &policy.events[0];
    assert_eq!(rule, &[[3, 0x81], [3, 0x82], [5, 0]]);
    assert_eq!(event.signature, "Transfer(address,address,uint256)");
    assert_eq!(policy.facts, [NOBODY, PUBLIC, NOBODY]);
}

#[test]
fn what_cannot_be_meant_is_said() {
    let refused = |file: Value| Policy::parse(&file, &erc20()).unwrap_err();
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
    ] {
        assert_eq!(refused(file), expected);
    }
}

#[test]
fn commit_only_is_refused_outside_transactions() {
    let file = json!({ "functions": { "name": { "query": ["public"], "commitOnly": true } } });
    let policy = Policy::parse(&file, &erc20()).unwrap();
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
    let named = |name: &str| Policy::parse(&json!({ "functions": { name: { "query": "public" } } }), &interface);
    assert!(named("g").is_err());
    let policy = named("g(uint256)").unwrap();
    assert_eq!((policy.functions[1].query.len(), policy.functions[2].query.len()), (0, 1));
}
