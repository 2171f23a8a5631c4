//! What is asked of evidence.

use alloy_primitives::B256;
use cloister_primitives::{Measurement, PlatformName};
use dcap_qvl::TcbStatus;
use dcap_qvl::quote::TDReport10;

use crate::claims::{PeerId, Role};

/// Longest time that evidence may be valid for, seconds.
pub const MAX_VALIDITY_S: u64 = 24 * 60 * 60;

/// Which programs are taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Measurements {
    /// Any: says nothing about the program.
    Any,
    /// These.
    Listed(Vec<Measurement>),
}

/// A platform that is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedPlatform {
    /// Which; its root follows.
    pub platform: PlatformName,
    /// The programs taken there.
    pub measurements: Measurements,
    /// The states of the platform that are taken.
    pub tcb_statuses: Vec<TcbStatus>,
}

/// What is asked of evidence: nothing is taken that is not said here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Platforms, at least one.
    pub platforms: Vec<AllowedPlatform>,
    /// What the key must be for.
    pub role: Role,
    /// The chain.
    pub chain_id: u64,
    /// Hash of its genesis block.
    pub genesis_hash: B256,
    /// What its ledger is bound to.
    pub ledger_binding: B256,
    /// The node, where it matters which.
    pub peer: Option<PeerId>,
    /// The occasion, where one was given.
    pub nonce: Option<[u8; 32]>,
}

/// Whether a report is of the program that `measurement` describes.
pub(crate) fn is_measured(measurement: &Measurement, report: &TDReport10) -> bool {
    let registers = [report.rt_mr0, report.rt_mr1, report.rt_mr2, report.rt_mr3];
    measurement.mrtd == report.mr_td
        && measurement.rtmrs.iter().zip(registers).all(|(wanted, found)| wanted.is_none_or(|wanted| wanted == found))
}
