//! What the operator may choose about a node, as JSON in the host's `Start`.

use cloister_access::Development;
use cloister_core::{
    Archive, AuditShare, CoreOptions, HistoryLimits, Pace, RecoveryRequest, RefuseTails, ResidentLimits,
};
use cloister_primitives::SignedRecovery;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// How far back states can be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HistoryOption {
    /// The resident history: at least 128 blocks.
    #[default]
    Recent,
    /// Any height, rebuilt from the nearest snapshot.
    Full,
}

/// When blocks are made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PaceOption {
    /// As soon as there is work.
    #[default]
    Instant,
    /// Every so many milliseconds.
    IntervalMs(u64),
    /// Only when asked to.
    Manual,
}

/// What connections begin with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TlsOption {
    /// HTTP in the clear, which the host reads.
    #[default]
    Off,
    /// TLS that ends in the enclave.
    On,
}

/// What a start is to do about the recovery of its network, in place of serving anybody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RecoveryOption {
    /// Say what members have to sign.
    Propose,
    /// Carry out what they signed.
    Apply(SignedRecovery),
}

/// Options of a node. Unknown keys are refused: a misspelt option must not be silently ignored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct NodeOptions {
    /// How far back states can be read.
    pub history: HistoryOption,
    /// When blocks are made.
    pub pace: PaceOption,
    /// What connections begin with.
    pub tls: TlsOption,
    /// Whether development methods may exist; the genesis must allow them too.
    pub development: bool,
    /// A snapshot is cut at heights divisible by this; absent for the default.
    pub snapshot_every_blocks: Option<u64>,
    /// Budget of the resident history in bytes; absent for the default.
    pub history_bytes: Option<usize>,
    /// Budget of the resident blocks in bytes; absent for the default.
    pub block_bytes: Option<usize>,
    /// Of a million blocks that other nodes execute, how many this one executes as well; absent for the default.
    pub audit_share_millionths: Option<u32>,
    /// Tests only: refuse one in so many speculative tails, drawn from this seed.
    pub refuse_tails: Option<(u64, u64)>,
    /// What to do about a recovery, and nothing else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recovery: Option<RecoveryOption>,
}

/// Why options are refused.
#[derive(Debug, Error)]
pub enum OptionsError {
    /// Not JSON of the expected shape.
    #[error("the node's options cannot be read: {0}")]
    Malformed(#[from] serde_json::Error),
}

impl NodeOptions {
    /// Reads options; no bytes at all mean the defaults.
    ///
    /// # Errors
    /// [`OptionsError`] names the key that is wrong.
    pub fn parse(json: &[u8]) -> Result<Self, OptionsError> {
        if json.is_empty() {
            return Ok(Self::default());
        }
        Ok(serde_json::from_slice(json)?)
    }
}

impl From<NodeOptions> for CoreOptions {
    fn from(options: NodeOptions) -> Self {
        let defaults = Self::default();
        Self {
            archive: match options.history {
                HistoryOption::Recent => Archive::Recent,
                HistoryOption::Full => Archive::Full,
            },
            pace: match options.pace {
                PaceOption::Instant => Pace::Instant,
                PaceOption::IntervalMs(period_ms) => Pace::Interval { period_ms },
                PaceOption::Manual => Pace::Manual,
            },
            development: match options.development {
                true => Development::Allowed,
                false => Development::Refused,
            },
            resident: ResidentLimits {
                bytes: options.block_bytes.unwrap_or(defaults.resident.bytes),
                ..defaults.resident
            },
            snapshot_every_blocks: options.snapshot_every_blocks.unwrap_or(defaults.snapshot_every_blocks),
            history: HistoryLimits {
                bytes: options.history_bytes.unwrap_or(defaults.history.bytes),
                ..defaults.history
            },
            audit_share: options.audit_share_millionths.map_or(defaults.audit_share, AuditShare::from_millionths),
            recovery: options.recovery.map(|option| match option {
                RecoveryOption::Propose => RecoveryRequest::Propose,
                RecoveryOption::Apply(signed) => RecoveryRequest::Apply(signed),
            }),
            refuse_tails: options.refuse_tails.map(|(seed, one_in)| RefuseTails { seed, one_in }),
            ..defaults
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn nothing_means_the_defaults_and_unknown_keys_are_named() {
        assert_eq!(NodeOptions::parse(b"").unwrap(), NodeOptions::default());
        let error = NodeOptions::parse(br#"{"oldStates":"full"}"#).unwrap_err();
        assert!(error.to_string().contains("oldStates"), "{error}");
    }

    #[test]
    fn options_survive_their_own_json() {
        let options = NodeOptions {
            history: HistoryOption::Full,
            pace: PaceOption::IntervalMs(2_000),
            development: true,
            ..NodeOptions::default()
        };
        let json = serde_json::to_vec(&options).unwrap();
        assert_eq!(NodeOptions::parse(&json).unwrap(), options);
        let core = CoreOptions::from(options);
        assert_eq!(core.pace, Pace::Interval { period_ms: 2_000 });
    }
}
