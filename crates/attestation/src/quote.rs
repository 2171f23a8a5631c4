//! The form of a quote, before any signature is looked at.

use alloy_primitives::hex;
use cloister_primitives::PlatformName;
use dcap_qvl::intel::extract_cert_chain;
use dcap_qvl::quote::{Quote, Report, TDReport10};
use parity_scale_codec::{Decode as _, Encode as _};
use sha2::{Digest as _, Sha384};
use x509_cert::{Certificate, der::Decode as _};

use crate::platform::VIRTUAL_ROOT_DER;
use crate::refusal::Refusal;

/// Longest quote that is looked at, bytes; real ones have five thousand.
pub const MAX_QUOTE_BYTES: usize = 16 * 1024;
/// Versions of quotes that trust domains have.
const VERSIONS: [u16; 2] = [4, 5];
/// What a quote's header says of a trust domain.
const TEE_TDX: u32 = 0x81;
/// SHA-384 of the public key of the Intel SGX Root CA, Intel's own name for it.
const INTEL_ROOT_KEY: [u8; 48] =
    hex!("46e403bd34f05a3f2817ab9badcaacc7ffc98e0f261008cd30dae936cace18d5dcf58eef31463613de1570d516200993");
/// The bit of the attributes (of 64, the lowest first) that says that the host may read the domain's memory.
const DEBUG: u8 = 1;

/// A quote whose form is right.
pub(crate) struct WellFormed {
    quote: Quote,
}

impl WellFormed {
    /// Reads a quote; every byte must belong to it.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Refusal> {
        if bytes.len() > MAX_QUOTE_BYTES {
            return Err(Refusal::Quote);
        }
        let [v0, v1, _, _, t0, t1, t2, t3, ..] = *bytes else {
            return Err(Refusal::Quote);
        };
        let version = u16::from_le_bytes([v0, v1]);
        if !VERSIONS.contains(&version) {
            return Err(Refusal::Version { found: version });
        }
        if u32::from_le_bytes([t0, t1, t2, t3]) != TEE_TDX {
            return Err(Refusal::NotTdx);
        }
        let mut rest = bytes;
        let quote = Quote::decode(&mut rest).map_err(|_| Refusal::Quote)?;
        // The decoder passes over bytes at the end, of the whole and of its parts; written anew they are missing.
        if !rest.is_empty() || quote.encode() != bytes {
            return Err(Refusal::TrailingBytes);
        }
        Ok(Self { quote })
    }

    pub(crate) fn check_debug(&self) -> Result<(), Refusal> {
        match self.quote.report.as_td10() {
            Some(report) if report.td_attributes[0] & DEBUG == 0 => Ok(()),
            _ => Err(Refusal::Debug),
        }
    }

    /// Whose root its certificates claim to end at: an assertion until the chain is verified.
    pub(crate) fn claimed_platform(&self) -> Result<PlatformName, Refusal> {
        let chain = extract_cert_chain(&self.quote).map_err(|_| Refusal::Root)?;
        let top = chain.last().ok_or(Refusal::Root)?;
        if top == VIRTUAL_ROOT_DER {
            return Ok(PlatformName::Virtual);
        }
        let certificate = Certificate::from_der(top).map_err(|_| Refusal::Root)?;
        let key = certificate.tbs_certificate().subject_public_key_info().subject_public_key.raw_bytes();
        if Sha384::digest(key)[..] == INTEL_ROOT_KEY { Ok(PlatformName::Tdx) } else { Err(Refusal::Root) }
    }
}

/// The quote without what follows it in the buffer of a fixed size in which platforms give it.
pub(crate) fn cut(bytes: &[u8]) -> Option<Vec<u8>> {
    Quote::decode(&mut &bytes[..]).ok().map(|quote| quote.encode())
}

/// The measurements in a verified report.
pub(crate) fn domain(report: &Report) -> Result<&TDReport10, Refusal> {
    report.as_td10().ok_or(Refusal::NotTdx)
}
