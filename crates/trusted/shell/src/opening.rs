//! From a loaded chain to connections that are served on it.

use std::sync::Arc;

use cloister_attestation::Attester;
use cloister_boundary::{Detail, FromEnclave, HaltCode};
use cloister_core::Ledger;
use cloister_rpc::CoreHandle;
use tokio::sync::watch;

use crate::{
    ShellConfig, TlsOption,
    offered::{HostTime, Offered},
    outbound::Outbound,
    server::ServerLimits,
    tls::{Renewal, Subject, Tls},
};

/// Why this enclave is not fit for the network.
pub(crate) type Unfit = (HaltCode, &'static str);

/// How connections begin.
pub(crate) enum Opening {
    /// In the clear.
    Clear,
    /// With TLS, and evidence of this.
    Attested { attester: Arc<Attester>, subject: Subject, limits: ServerLimits },
}

impl Opening {
    /// Decides how connections to this chain begin.
    ///
    /// # Errors
    /// The network asks for what this enclave or its host does not give.
    pub(crate) fn of(ledger: &Ledger, config: &mut ShellConfig) -> Result<Self, Unfit> {
        let spec = ledger.spec();
        let attestation = &spec.genesis().config.attestation;
        if let (Some(attestation), Some(attester)) = (attestation, &config.attester)
            && !attestation.platforms.contains(&attester.platform())
        {
            return Err((
                HaltCode::BadGenesis,
                "the genesis takes evidence of other platforms than the one that this enclave was built for",
            ));
        }
        match (config.tls, config.attester.take()) {
            (TlsOption::Off, _) if spec.is_production() => {
                Err((HaltCode::BadOptions, "a production network speaks TLS only: start the node with --tls on"))
            }
            (TlsOption::Off, _) => Ok(Self::Clear),
            (TlsOption::On, None) => Err((HaltCode::BadOptions, "this enclave has nothing to vouch for a TLS key")),
            (TlsOption::On, Some(attester)) => {
                let genesis_hash = ledger.genesis_hash();
                let ledger_binding = spec.ledger_binding(genesis_hash);
                let subject = Subject { chain_id: spec.chain_id(), genesis_hash, ledger_binding };
                Ok(Self::Attested { attester: Arc::new(attester), subject, limits: config.server.clone() })
            }
        }
    }

    /// Serves connections with `offered`, as soon as there is a certificate if they begin with TLS.
    pub(crate) fn open(
        self,
        offered: Offered,
        core: CoreHandle,
        host_time: HostTime,
        methods: watch::Sender<Option<Offered>>,
        outbound: Outbound,
    ) {
        let (attester, subject, limits) = match self {
            Self::Clear => {
                let _ = methods.send(Some(offered));
                return;
            }
            Self::Attested { attester, subject, limits } => (attester, subject, limits),
        };
        tokio::spawn(async move {
            let failed = match (Renewal { core, attester, subject, host_time }).start().await {
                Ok(current) => match Tls::new(current, &limits) {
                    Ok(tls) => {
                        let _ = methods.send(Some(Offered { tls: Some(Arc::new(tls)), ..offered }));
                        return;
                    }
                    Err(error) => error.to_string(),
                },
                Err(error) => error.to_string(),
            };
            tracing::error!("there is no TLS: {failed}");
            let detail = Detail::constant("the platform gives no evidence of this enclave");
            let _ = outbound.send(FromEnclave::Halt { code: HaltCode::Invariant, detail });
        });
    }
}
