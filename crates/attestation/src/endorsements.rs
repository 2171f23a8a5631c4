//! Collateral: what a platform's maker says about it, and until when.

use dcap_qvl::QuoteCollateralV3;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::cbor::{Reader, Unexpected, Writer};
use crate::certificate::TEE_QUOTE_TAG;
use crate::refusal::Refusal;

/// Longest part of the collateral, bytes; Intel's are half as long.
pub const MAX_COLLATERAL_BYTES: usize = 32 * 1024;
/// Version of the layout (Open Enclave's `oe_sgx_endorsements_t`, which interoperable RA-TLS takes over).
const VERSION: u64 = 1;
/// Parts after the version.
const PARTS: usize = 7;

/// What a quote is verified with besides the root: TCB info, identity of the quoting enclave, revocation lists, and
/// their issuers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endorsements(pub QuoteCollateralV3);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SignedTcbInfo<'a> {
    #[serde(borrow)]
    tcb_info: &'a RawValue,
    signature: &'a str,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SignedIdentity<'a> {
    #[serde(borrow)]
    enclave_identity: &'a RawValue,
    signature: &'a str,
}

fn text(bytes: Vec<u8>) -> Result<String, Unexpected> {
    String::from_utf8(bytes).map_err(|_| Unexpected)
}

fn signature(text: &str) -> Result<Vec<u8>, Unexpected> {
    hex::decode(text).map_err(|_| Unexpected)
}

impl Endorsements {
    /// The endorsements of interoperable RA-TLS: an array under the tag of the evidence.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let Self(collateral) = self;
        let signed = |name: &str, body: &str, signature: &[u8]| {
            format!(r#"{{"{name}":{body},"signature":"{}"}}"#, hex::encode(signature)).into_bytes()
        };
        Writer::default()
            .tag(TEE_QUOTE_TAG)
            .array(1 + PARTS)
            .unsigned(VERSION)
            .bytes(&signed("tcbInfo", &collateral.tcb_info, &collateral.tcb_info_signature))
            .bytes(collateral.tcb_info_issuer_chain.as_bytes())
            .bytes(&collateral.pck_crl)
            .bytes(&collateral.root_ca_crl)
            .bytes(collateral.pck_crl_issuer_chain.as_bytes())
            .bytes(&signed("enclaveIdentity", &collateral.qe_identity, &collateral.qe_identity_signature))
            .bytes(collateral.qe_identity_issuer_chain.as_bytes())
            .finish()
    }

    /// Reads endorsements.
    ///
    /// # Errors
    /// [`Refusal::Endorsements`].
    pub fn decode(bytes: &[u8]) -> Result<Self, Refusal> {
        Self::read(bytes).map_err(|Unexpected| Refusal::Endorsements)
    }

    fn read(bytes: &[u8]) -> Result<Self, Unexpected> {
        let mut reader = Reader::new(bytes);
        reader.tag(TEE_QUOTE_TAG)?;
        reader.array(1 + PARTS)?;
        if reader.unsigned()? != VERSION {
            return Err(Unexpected);
        }
        let mut part = || reader.bytes(MAX_COLLATERAL_BYTES);
        let tcb_info = text(part()?)?;
        let tcb_info_issuer_chain = text(part()?)?;
        let (pck_crl, root_ca_crl) = (part()?, part()?);
        let pck_crl_issuer_chain = text(part()?)?;
        let identity = text(part()?)?;
        let qe_identity_issuer_chain = text(part()?)?;
        reader.finish()?;
        let tcb: SignedTcbInfo<'_> = serde_json::from_str(&tcb_info).map_err(|_| Unexpected)?;
        let identity: SignedIdentity<'_> = serde_json::from_str(&identity).map_err(|_| Unexpected)?;
        Ok(Self(QuoteCollateralV3 {
            pck_crl_issuer_chain,
            root_ca_crl,
            pck_crl,
            tcb_info_issuer_chain,
            tcb_info: tcb.tcb_info.get().to_owned(),
            tcb_info_signature: signature(tcb.signature)?,
            qe_identity_issuer_chain,
            qe_identity: identity.enclave_identity.get().to_owned(),
            qe_identity_signature: signature(identity.signature)?,
            // It stands in the quote.
            pck_certificate_chain: None,
        }))
    }
}
