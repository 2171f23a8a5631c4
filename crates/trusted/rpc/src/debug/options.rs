//! What a trace is asked for: geth's `TraceConfig` and `TraceCallConfig`.

use std::collections::BTreeMap;

use cloister_execution::{Tracer, tracing::GethDefaultTracingOptions};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::value::RawValue;

use crate::{
    calls::{BlockOverridesArg, StateOverridesArg},
    errors::{self, RpcResult},
    params::{Field, Param, object},
};

/// The last parameter of the `debug_trace*` methods.
///
/// `timeout` and `reexec` are taken and have no effect: what bounds a trace here is its gas and its size,
/// and states are found without executing blocks again.
#[derive(Clone, Debug, Default)]
pub(super) struct TraceOptions {
    tracer: Option<String>,
    tracer_config: Option<Box<RawValue>>,
    instructions: GethDefaultTracingOptions,
    /// What a traced call shall see differently; transactions see what they saw.
    pub(super) state_overrides: Option<StateOverridesArg>,
    /// The block that a traced call shall see.
    pub(super) block_overrides: Option<BlockOverridesArg>,
    /// A call is traced on the state before the transaction at this index of the block.
    pub(super) tx_index: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Object {
    tracer: Option<String>,
    tracer_config: Option<Box<RawValue>>,
    #[serde(rename = "timeout")]
    _timeout: Option<String>,
    #[serde(rename = "reexec")]
    _reexec: Option<u64>,
    state_overrides: Option<Box<RawValue>>,
    block_overrides: Option<Box<RawValue>>,
    tx_index: Option<Field<u64>>,
}

impl Param for TraceOptions {
    fn decode(json: &str) -> Result<Self, String> {
        const GO_TYPE: &str = "tracers.TraceConfig";
        let fields: Object = object(json, GO_TYPE)?;
        Ok(Self {
            tracer: fields.tracer,
            tracer_config: fields.tracer_config,
            instructions: object(json, GO_TYPE)?,
            state_overrides: field(fields.state_overrides)?,
            block_overrides: field(fields.block_overrides)?,
            tx_index: fields.tx_index.map(|Field(index)| index),
        })
    }
}

fn field<T: Param>(json: Option<Box<RawValue>>) -> Result<Option<T>, String> {
    json.map(|json| T::decode(json.get())).transpose()
}

impl TraceOptions {
    /// Whether something shall be different from what it is.
    pub(super) const fn changes_anything(&self) -> bool {
        self.state_overrides.is_some() || self.block_overrides.is_some() || self.tx_index.is_some()
    }

    /// The tracer that is asked for.
    ///
    /// # Errors
    /// `tracer not found`, or `-32602` if its configuration is not one.
    pub(super) fn tracer(&self) -> RpcResult<Tracer> {
        match self.tracer.as_deref().filter(|name| !name.is_empty()) {
            None => Ok(Tracer::Instructions(self.instructions)),
            Some(name) => tracer(name, self.tracer_config.as_deref(), Place::Alone),
        }
    }
}

/// Where a tracer is named.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Alone,
    InMux,
}

fn tracer(name: &str, config: Option<&RawValue>, place: Place) -> RpcResult<Tracer> {
    Ok(match name {
        "callTracer" => Tracer::Calls(configuration(name, config)?),
        "flatCallTracer" => Tracer::FlatCalls(configuration(name, config)?),
        "prestateTracer" => Tracer::Prestate(configuration(name, config)?),
        "4byteTracer" => Tracer::FourByte,
        "noopTracer" => Tracer::Noop,
        "muxTracer" if place == Place::Alone => {
            let named: BTreeMap<String, Option<Box<RawValue>>> = configuration(name, config)?;
            let tracers = named.iter().map(|(name, config)| tracer(name, config.as_deref(), Place::InMux));
            Tracer::Mux(tracers.collect::<RpcResult<_>>()?)
        }
        "muxTracer" => return Err(errors::invalid_params("invalid tracerConfig: a muxTracer cannot run another")),
        // Names that geth does not know are JavaScript to it, which this client does not run.
        _ => return Err(errors::server_error("tracer not found")),
    })
}

/// The `tracerConfig` of the tracer `name`; its default if there is none.
fn configuration<T: DeserializeOwned + Default>(name: &str, json: Option<&RawValue>) -> RpcResult<T> {
    match json.map(RawValue::get) {
        None | Some("null") => Ok(T::default()),
        Some(json) => object(json, &format!("native.{name}Config"))
            .map_err(|error| errors::invalid_params(format!("invalid tracerConfig: {error}"))),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use cloister_execution::tracing::{CallConfig, PreStateConfig};

    use super::*;

    fn tracer_of(json: &str) -> Result<Tracer, (i32, String)> {
        let options = TraceOptions::decode(json).map_err(|error| (-32602, error))?;
        options.tracer().map_err(|error| (error.code(), error.message().to_owned()))
    }

    #[test]
    fn without_a_name_instructions_are_recorded() {
        let default = Tracer::Instructions(GethDefaultTracingOptions::default());
        assert_eq!(tracer_of("{}"), Ok(default.clone()));
        assert_eq!(tracer_of(r#"{"tracer":"","tracerConfig":{"onlyTopCall":true},"unknown":[1]}"#), Ok(default));
        let some = r#"{"enableMemory":true,"disableStack":true,"limit":5,"timeout":"10s","reexec":128}"#;
        assert_eq!(
            tracer_of(some),
            Ok(Tracer::Instructions(
                GethDefaultTracingOptions::default().enable_memory().disable_stack().with_limit(5)
            ))
        );
    }

    #[test]
    fn named_tracers_have_their_configurations() {
        let calls = Tracer::Calls(CallConfig::default().only_top_call().with_log());
        let json = r#"{"tracer":"callTracer","tracerConfig":{"onlyTopCall":true,"withLog":true}}"#;
        assert_eq!(tracer_of(json), Ok(calls.clone()));
        assert_eq!(tracer_of(r#"{"tracer":"4byteTracer","tracerConfig":null}"#), Ok(Tracer::FourByte));
        let json = r#"{"tracer":"muxTracer","tracerConfig":{"noopTracer":null,
            "callTracer":{"onlyTopCall":true,"withLog":true},"prestateTracer":{}}}"#;
        assert_eq!(
            tracer_of(json),
            Ok(Tracer::Mux(vec![calls, Tracer::Noop, Tracer::Prestate(PreStateConfig::default())]))
        );
    }

    #[test]
    fn hostile_configurations_are_refused() {
        let refused = |json: &str| tracer_of(json).unwrap_err();
        assert_eq!(refused(r#"{"tracer":"fooTracer"}"#), (-32000, "tracer not found".to_owned()));
        assert_eq!(refused(r#"{"tracer":"{result: function() {}}"}"#).1, "tracer not found");
        let mux = r#"{"tracer":"muxTracer","tracerConfig":{"fooTracer":{}}}"#;
        assert_eq!(refused(mux), (-32000, "tracer not found".to_owned()));
        for (json, what) in [
            (r#"{"tracer":5}"#, "invalid type: integer"),
            (r#"["callTracer"]"#, "cannot unmarshal array into Go value of type tracers.TraceConfig"),
            (r#"{"limit":-1}"#, "invalid value: integer `-1`"),
            (r#"{"disableStack":"yes"}"#, "invalid type: string"),
            (r#"{"txIndex":1}"#, "invalid type: integer"),
            (r#"{"stateOverrides":[]}"#, "cannot unmarshal array"),
            (r#"{"tracer":"callTracer","tracerConfig":[true,true]}"#, "cannot unmarshal array"),
            (r#"{"tracer":"callTracer","tracerConfig":{"withLog":1}}"#, "invalid type: integer"),
            (r#"{"tracer":"muxTracer","tracerConfig":{"muxTracer":{"callTracer":{}}}}"#, "cannot run another"),
            (r#"{"tracer":"muxTracer","tracerConfig":"callTracer"}"#, "cannot unmarshal string"),
        ] {
            let (code, message) = refused(json);
            assert!(code == -32602 && message.contains(what), "{json}: {code} {message}");
        }
    }

    #[test]
    fn nesting_costs_nothing() {
        let (open, close) = ("[".repeat(100_000), "]".repeat(100_000));
        for tracer in ["", "callTracer", "muxTracer"] {
            let deep = format!(r#"{{"tracer":"{tracer}","tracerConfig":{{"noopTracer":{open}{close}}}}}"#);
            assert!(tracer_of(&deep).is_ok(), "{tracer}");
        }
    }
}
