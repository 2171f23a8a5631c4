//! What a virtual machine is like.

use cloister_attestation::{TcbStatus, VIRTUAL_ROOT_DER};
use cloister_primitives::MeasuredDigest;
use rcgen::{Issuer, KeyPair, PKCS_ECDSA_P256_SHA256};

use crate::VirtualError;
use crate::collateral::{authority, root_name};

/// The key of the virtual root, in PKCS #8: published, and worth nothing.
const ROOT_KEY: &[u8] = include_bytes!("root.pk8");
/// How long collateral is good for: as long as Intel's.
const COLLATERAL_S: u64 = 30 * 24 * 60 * 60;
/// Clocks differ: collateral is from so long ago.
const SKEW_S: u64 = 60 * 60;
/// No root of ours ends before the next century.
const FOREVER_S: u64 = u32::MAX as u64;
/// Bit 28 of a trust domain's attributes, `SEPT_VE_DISABLE`, without which verifiers take none.
const TD_ATTRIBUTES: [u8; 8] = [0, 0, 0, 0x10, 0, 0, 0, 0];

/// A version of the format of quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuoteVersion {
    /// With a TD 1.0 report.
    V4,
    /// With a descriptor of its body.
    V5,
}

/// What the maker says of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nothing bad.
    Good,
    /// Its certificate is on the list of those revoked.
    Revoked,
}

/// A machine that makes quotes, and what its maker says of it.
#[derive(Debug)]
pub struct Machine {
    /// Of the program (MRTD).
    pub measurement: MeasuredDigest,
    /// RTMR 0 to 3.
    pub rtmrs: [MeasuredDigest; 4],
    /// Attributes of the trust domain; bit 0 is debug.
    pub td_attributes: [u8; 8],
    /// Format of its quotes.
    pub quote_version: QuoteVersion,
    /// What its TCB info says of it.
    pub tcb_status: TcbStatus,
    /// What the lists say of it.
    pub standing: Standing,
    /// From when its collateral is, seconds since 1970.
    pub issued_s: u64,
    /// Until when it is good.
    pub expires_s: u64,
    /// Who certifies it.
    pub root: Root,
}

/// Who certifies machines.
#[derive(Debug)]
pub enum Root {
    /// The virtual root, whose key everybody has.
    Virtual,
    /// Another one, of which nobody has heard.
    Foreign(Box<ForeignRoot>),
}

/// A root of one's own.
#[derive(Debug)]
pub struct ForeignRoot {
    key: KeyPair,
    certificate_der: Vec<u8>,
}

impl Root {
    /// Draws a new root that nobody knows.
    ///
    /// # Errors
    /// [`VirtualError`].
    pub fn foreign() -> Result<Self, VirtualError> {
        let key = KeyPair::generate()?;
        let certificate_der = authority(root_name(), 0, FOREVER_S)?.self_signed(&key)?.der().to_vec();
        Ok(Self::Foreign(Box::new(ForeignRoot { key, certificate_der })))
    }

    pub(crate) fn certificate_der(&self) -> &[u8] {
        match self {
            Self::Virtual => VIRTUAL_ROOT_DER,
            Self::Foreign(root) => &root.certificate_der,
        }
    }

    pub(crate) fn issuer(&self) -> Result<Issuer<'static, KeyPair>, VirtualError> {
        let pkcs8 = match self {
            Self::Virtual => ROOT_KEY,
            Self::Foreign(root) => root.key.serialized_der(),
        };
        let key = KeyPair::from_pkcs8_der_and_sign_algo(&pkcs8.into(), &PKCS_ECDSA_P256_SHA256)?;
        Ok(Issuer::new(authority(root_name(), 0, FOREVER_S)?, key))
    }
}

impl Machine {
    /// A machine in good order that runs a program with this measurement.
    #[must_use]
    pub fn running(measurement: MeasuredDigest, now_s: u64) -> Self {
        Self {
            measurement,
            rtmrs: [MeasuredDigest::ZERO; 4],
            td_attributes: TD_ATTRIBUTES,
            quote_version: QuoteVersion::V4,
            tcb_status: TcbStatus::UpToDate,
            standing: Standing::Good,
            issued_s: now_s.saturating_sub(SKEW_S),
            expires_s: now_s.saturating_add(COLLATERAL_S),
            root: Root::Virtual,
        }
    }
}
