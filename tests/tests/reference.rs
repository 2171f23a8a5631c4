//! The reference: what is served is documented, and the page in `docs/` says what is served.

#![allow(clippy::unwrap_used)]

use std::{collections::BTreeSet, fs};

use cloister_tests::{
    node::{Node, Target},
    reference::{markdown, methods, schema_name},
    repository,
};
use serde_json::{Value, json};

fn discover(node: &Node) -> Value {
    node.rpc().expect("rpc.discover", json!([]))
}

/// Every string behind a `$ref`.
fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(path) if name == "$ref" => found.push(path),
                    value => references(value, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

/// The rules of the OpenRPC specification, as far as the document uses it.
fn check_openrpc(document: &Value) {
    let version = document["openrpc"].as_str().unwrap();
    assert!(version.starts_with("1.") && version.split('.').count() == 3, "{version}");
    assert!(document["info"]["title"].is_string() && document["info"]["version"].is_string());
    let mut names = BTreeSet::new();
    for method in methods(document) {
        let name = method["name"].as_str().unwrap();
        assert!(names.insert(name), "{name} twice");
        let mut params = BTreeSet::new();
        let mut optional = false;
        for param in method["params"].as_array().unwrap() {
            assert!(params.insert(param["name"].as_str().unwrap()), "{name}: a parameter twice");
            assert!(param["schema"].is_object(), "{name}");
            assert!(!(optional && param["required"] == true), "{name}: required after optional");
            optional |= param["required"] == false;
        }
        assert!(method["result"]["name"].is_string() && method["result"]["schema"].is_object(), "{name}");
    }
    let mut found = Vec::new();
    references(document, &mut found);
    for path in found {
        let pointer = path.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{path} leads nowhere");
    }
}

#[test]
fn the_document_is_valid_and_describes_every_method() {
    let node = Node::start_default(Target::Dev);
    let document = discover(&node);
    check_openrpc(&document);
    for method in methods(&document) {
        let name = method["name"].as_str().unwrap();
        let summary = method["summary"].as_str().unwrap();
        assert!(summary.len() > 5 && summary.ends_with('.'), "{name} lacks a description: {summary:?}");
        for param in method["params"].as_array().unwrap() {
            let word = param["name"].as_str().unwrap();
            assert_ne!(
                schema_name(param),
                "Any",
                "{name}: no kind of value is known for the parameter \"{word}\"; see WORDS in rpc/src/reference/schemas.rs"
            );
        }
        if method["x-callers"] == "everyone" {
            assert_ne!(schema_name(&method["result"]), "Any", "{name} does not say what it answers");
        }
    }
    let names: Vec<&str> = methods(&document).map(|method| method["name"].as_str().unwrap()).collect();
    for name in ["eth_getBalance", "eth_subscribe", "rpc.discover", "eth_simulateV1", "hardhat_setBalance", "evm_mine"]
    {
        assert!(names.contains(&name), "{name}");
    }
    let modules = node.rpc().expect("rpc_modules", json!([]));
    for namespace in ["eth", "net", "web3", "txpool", "rpc", "evm", "hardhat", "anvil"] {
        assert_eq!(modules[namespace], "1.0", "{modules}");
    }
    assert_eq!(node.rpc().refuse("rpc.discover", json!([1])).code, -32602);
}

#[test]
fn the_page_says_what_is_served() {
    let page = markdown(&discover(&Node::start_default(Target::Dev)));
    let path = repository().join("docs/rpc.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, &page).unwrap();
    }
    let checked_in = fs::read_to_string(&path).unwrap_or_default();
    assert!(page == checked_in, "docs/rpc.md is out of date: run `make docs`");
}
