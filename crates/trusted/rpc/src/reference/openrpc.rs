//! The reference as an OpenRPC document (<https://spec.open-rpc.org>).

use serde_json::{Map, Value, json};

use super::{Callers, schemas::Schema};
use crate::MethodInfo;

/// The version of the specification that the document follows.
const OPENRPC: &str = "1.3.2";

/// A document about these methods.
pub(super) fn document(methods: &[MethodInfo]) -> Value {
    let schemas: Map<String, Value> =
        Schema::ALL.iter().map(|schema| (schema.name().to_owned(), schema.json())).collect();
    json!({
        "openrpc": OPENRPC,
        "info": {
            "title": "Cloister JSON-RPC",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": env!("CARGO_PKG_LICENSE") },
        },
        "methods": methods.iter().map(method).collect::<Vec<_>>(),
        "components": { "schemas": schemas },
    })
}

fn method(info: &MethodInfo) -> Value {
    let signature = info.signature();
    let params: Vec<Value> = signature
        .params
        .iter()
        .map(|param| json!({"name": param.name, "required": param.required, "schema": reference(param.schema)}))
        .collect();
    let callers = match info.callers {
        Callers::Everyone => "everyone",
        Callers::Developer => "developer",
    };
    json!({
        "name": info.name,
        "summary": info.doc,
        "tags": [{ "name": info.namespace() }],
        "paramStructure": "by-position",
        "params": params,
        "result": { "name": signature.answer, "schema": reference(signature.result) },
        "x-callers": callers,
    })
}

fn reference(schema: Schema) -> Value {
    json!({ "$ref": format!("#/components/schemas/{}", schema.name()) })
}
