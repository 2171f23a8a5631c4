//! The tracers there are, and how each is set up.

use alloy_rpc_types_trace::geth::mux::MuxConfig;
use alloy_rpc_types_trace::geth::{
    CallConfig, FlatCallConfig, GethDebugBuiltInTracerType as BuiltIn, GethDebugTracerConfig, GethDebugTracingOptions,
    GethDefaultTracingOptions, PreStateConfig,
};
use revm_inspectors::tracing::DebugInspector;

use crate::error::ExecutionError;
use crate::evm::Detail;

/// Who watches an execution, and what of it is told. Names and answers are geth's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tracer {
    /// Every instruction: the default, without a name.
    Instructions(GethDefaultTracingOptions),
    /// `callTracer`: the tree of calls.
    Calls(CallConfig),
    /// `flatCallTracer`: the calls as Parity lists them.
    FlatCalls(FlatCallConfig),
    /// `prestateTracer`: the accounts that were needed, or what changed in them.
    Prestate(PreStateConfig),
    /// `4byteTracer`: how often each selector was called with how much calldata.
    FourByte,
    /// `noopTracer`: nothing.
    Noop,
    /// `muxTracer`: several at once; neither another mux nor instructions.
    Mux(Vec<Self>),
}

impl Tracer {
    /// What has to be told to it.
    pub(crate) const fn detail(&self) -> Detail {
        match self {
            Self::Instructions(_) => Detail::Steps,
            _ => Detail::Frames,
        }
    }

    /// Its name and configuration, as revm-inspectors takes them.
    fn built_in(&self) -> Option<(BuiltIn, GethDebugTracerConfig)> {
        Some(match self {
            Self::Instructions(_) => return None,
            Self::Calls(config) => (BuiltIn::CallTracer, (*config).into()),
            Self::FlatCalls(config) => (BuiltIn::FlatCallTracer, (*config).into()),
            Self::Prestate(config) => (BuiltIn::PreStateTracer, (*config).into()),
            Self::FourByte => (BuiltIn::FourByteTracer, GethDebugTracerConfig::default()),
            Self::Noop => (BuiltIn::NoopTracer, GethDebugTracerConfig::default()),
            Self::Mux(tracers) => {
                let named = tracers.iter().filter_map(Self::built_in);
                let tracers =
                    named.map(|(name, config)| (name.into(), Some(config).filter(|config| !config.is_null())));
                (BuiltIn::MuxTracer, MuxConfig(tracers.collect()).into())
            }
        })
    }

    /// An inspector that does what this tracer does.
    pub(crate) fn inspector(&self) -> Result<DebugInspector, ExecutionError> {
        let options = match (self, self.built_in()) {
            (Self::Instructions(options), _) => {
                GethDebugTracingOptions { config: *options, ..GethDebugTracingOptions::default() }
            }
            (_, Some((name, config))) => GethDebugTracingOptions::new_tracer(name).with_config(config),
            (_, None) => GethDebugTracingOptions::default(),
        };
        // A configuration of the right types is refused only for a mux in a mux.
        DebugInspector::new(options).map_err(|error| ExecutionError::Fatal(error.to_string()))
    }
}
