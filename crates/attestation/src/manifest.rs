//! What a client has to know of a network to trust it.

use std::collections::BTreeMap;

use alloy_primitives::B256;
use cloister_primitives::{ChainSpec, Measurement, PlatformName};
use dcap_qvl::TcbStatus;
use serde::{Deserialize, Serialize};

use crate::claims::Role;
use crate::policy::{AllowedPlatform, Measurements, Policy};

/// Longest manifest that is read, bytes.
const MAX_MANIFEST_BYTES: usize = 256 * 1024;

/// What a client has to know of a network to trust it. It comes from somebody whom the client trusts, or out of the
/// genesis file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Manifest {
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// Hash of the genesis block.
    pub genesis_hash: B256,
    /// Genesis and rules: what the ledger's keys are bound to.
    pub ledger_binding: B256,
    /// Whose evidence is taken, and for what.
    pub platforms: BTreeMap<PlatformName, PlatformRules>,
}

/// What is taken on one platform.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PlatformRules {
    /// Programs; without the list any, which only the virtual platform may have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measurements: Option<Vec<Measurement>>,
    /// States of the platform, by Intel's names.
    #[serde(default = "usual_statuses")]
    pub tcb_statuses: Vec<TcbStatus>,
}

/// Up to date, or so but for what the program has to care for itself.
fn usual_statuses() -> Vec<TcbStatus> {
    vec![TcbStatus::UpToDate, TcbStatus::SWHardeningNeeded]
}

/// Why a manifest is none.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Too long.
    #[error("a manifest has at most {MAX_MANIFEST_BYTES} bytes")]
    TooLong,
    /// Not JSON of the expected shape.
    #[error("the manifest cannot be read: {0}")]
    Json(#[from] serde_json::Error),
    /// No platform.
    #[error("the manifest takes no platform's evidence: no node could be connected to")]
    NoPlatform,
    /// Hardware whose programs are not named.
    #[error("the manifest takes any program of the platform \"{0}\": list its measurements")]
    AnyProgram(PlatformName),
}

impl Manifest {
    /// Reads a manifest.
    ///
    /// # Errors
    /// [`ManifestError`] names what is wrong.
    pub fn parse(json: &[u8]) -> Result<Self, ManifestError> {
        if json.len() > MAX_MANIFEST_BYTES {
            return Err(ManifestError::TooLong);
        }
        let manifest: Self = serde_json::from_slice(json)?;
        manifest.check()?;
        Ok(manifest)
    }

    fn check(&self) -> Result<(), ManifestError> {
        if self.platforms.is_empty() {
            return Err(ManifestError::NoPlatform);
        }
        let hardware = self.platforms.iter().filter(|(platform, _)| **platform != PlatformName::Virtual);
        match hardware.into_iter().find(|(_, rules)| rules.measurements.is_none()) {
            Some((platform, _)) => Err(ManifestError::AnyProgram(*platform)),
            None => Ok(()),
        }
    }

    /// What a genesis says: its platforms and measurements; where it says nothing, any program of the virtual platform.
    #[must_use]
    pub fn of_genesis(spec: &ChainSpec, genesis_hash: B256) -> Self {
        let attestation = spec.attestation();
        let rules = PlatformRules {
            measurements: (!attestation.measurements.is_empty()).then_some(attestation.measurements),
            tcb_statuses: usual_statuses(),
        };
        Self {
            chain_id: spec.chain_id(),
            genesis_hash,
            ledger_binding: spec.ledger_binding(genesis_hash),
            platforms: attestation.platforms.into_iter().map(|platform| (platform, rules.clone())).collect(),
        }
    }

    /// What is asked of a node that serves clients.
    #[must_use]
    pub fn policy(&self) -> Policy {
        let platforms = self.platforms.iter().map(|(platform, rules)| AllowedPlatform {
            platform: *platform,
            measurements: rules.measurements.clone().map_or(Measurements::Any, Measurements::Listed),
            tcb_statuses: rules.tcb_statuses.clone(),
        });
        Policy {
            platforms: platforms.collect(),
            role: Role::Server,
            chain_id: self.chain_id,
            genesis_hash: self.genesis_hash,
            ledger_binding: self.ledger_binding,
            peer: None,
            nonce: None,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn json(platforms: &str) -> Vec<u8> {
        let hash = B256::repeat_byte(7);
        format!(r#"{{"chainId":5,"genesisHash":"{hash}","ledgerBinding":"{hash}","platforms":{platforms}}}"#).into()
    }

    #[test]
    fn manifests_say_whose_evidence_is_taken() {
        let mrtd = format!("0x{}", "ab".repeat(48));
        let listed = format!(r#"{{"tdx":{{"measurements":[{{"mrtd":"{mrtd}","rtmr3":"{mrtd}"}}]}},"virtual":{{}}}}"#);
        let manifest = Manifest::parse(&json(&listed)).unwrap();
        assert_eq!(Manifest::parse(&serde_json::to_vec(&manifest).unwrap()).unwrap(), manifest);
        let policy = manifest.policy();
        assert_eq!(policy.platforms[0].measurements, Measurements::Any);
        let Measurements::Listed(tdx) = &policy.platforms[1].measurements else { panic!("{policy:?}") };
        assert_eq!((tdx[0].mrtd.0, tdx[0].rtmrs[2], tdx[0].rtmrs[3]), ([0xab; 48], None, Some([0xab; 48].into())));
        assert_eq!(policy.platforms[1].tcb_statuses, usual_statuses());
    }

    #[test]
    fn what_a_manifest_lacks_is_named() {
        let refused = |platforms: &str| Manifest::parse(&json(platforms)).unwrap_err().to_string();
        assert_eq!(refused("{}"), "the manifest takes no platform's evidence: no node could be connected to");
        assert_eq!(
            refused(r#"{"tdx":{}}"#),
            "the manifest takes any program of the platform \"tdx\": list its measurements"
        );
        assert!(refused(r#"{"sgx":{}}"#).contains("sgx"));
        assert!(refused(r#"{"virtual":{"measurement":[]}}"#).contains("measurement"));
        assert!(matches!(Manifest::parse(&vec![b' '; MAX_MANIFEST_BYTES + 1]), Err(ManifestError::TooLong)));
    }
}
