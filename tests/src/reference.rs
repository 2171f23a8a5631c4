//! `docs/rpc.md` from what `rpc.discover` answers.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::Value;

/// What stands above the tables.
const HEAD: &str = "# JSON-RPC reference

Written by `make docs` from what the node itself serves as an OpenRPC document under `rpc.discover`; do not edit.
Methods answer as geth does unless the notes say otherwise. What an answer holds is decided per caller.
";

/// What stands above the development namespaces.
const DEVELOPMENT: &str = "
## Development networks

These exist in `cloister dev` and `cloister node --dev` only, for whoever reaches the port. Names and answers are Hardhat's and
anvil's.
";

/// The document as a page of Markdown: standard methods, development methods, kinds of values.
#[must_use]
pub fn markdown(document: &Value) -> String {
    let mut page = HEAD.to_owned();
    let of = |callers: &str| {
        let mut namespaces: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
        for method in methods(document).filter(|method| method["x-callers"] == callers) {
            namespaces.entry(text(&method["tags"][0]["name"])).or_default().push(method);
        }
        namespaces
    };
    page.push_str("\n## Methods\n");
    tables(&mut page, &of("everyone"), "everyone");
    page.push_str(DEVELOPMENT);
    tables(&mut page, &of("developer"), "developer");
    page.push_str("\n## Values\n\n| name | |\n| --- | --- |\n");
    for (name, schema) in document["components"]["schemas"].as_object().into_iter().flatten() {
        let _ = writeln!(page, "| {name} | {} |", text(&schema["description"]));
    }
    page
}

/// The methods of a document.
pub fn methods(document: &Value) -> impl Iterator<Item = &Value> {
    document["methods"].as_array().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The kind of value behind a reference into the document's components.
#[must_use]
pub fn schema_name(described: &Value) -> &str {
    let path = text(&described["schema"]["$ref"]);
    path.rsplit('/').next().unwrap_or_default()
}

fn tables(page: &mut String, namespaces: &BTreeMap<&str, Vec<&Value>>, callers: &str) {
    for (namespace, methods) in namespaces {
        let _ = writeln!(page, "\n### `{namespace}`\n\n| method | parameters | answer | who may call | notes |");
        page.push_str("| --- | --- | --- | --- | --- |\n");
        for method in methods {
            let params = method["params"].as_array().into_iter().flatten();
            let params: Vec<String> = params
                .map(|param| {
                    let optional = if param["required"] == true { "" } else { "?" };
                    format!("{}{optional}: {}", text(&param["name"]), schema_name(param))
                })
                .collect();
            let answer = schema_name(&method["result"]);
            let (name, note) = (text(&method["name"]), text(&method["summary"]));
            let _ = writeln!(page, "| `{name}` | {} | {answer} | {callers} | {note} |", params.join(", "));
        }
    }
}
