//! Evidence in an X.509 certificate, as interoperable RA-TLS has it: a quote and its claims in one extension,
//! collateral in another.

use x509_cert::Certificate;
use x509_cert::der::{Decode as _, Encode as _};

use crate::cbor::{Reader, Unexpected, Writer};
use crate::claims::{Claims, MAX_CLAIMS_BYTES};
use crate::endorsements::Endorsements;
use crate::quote::MAX_QUOTE_BYTES;
use crate::refusal::Refusal;
use crate::verify::Evidence;

/// `tcg-dice-TaggedEvidence`, the extension with the evidence.
pub const EVIDENCE_OID: [u64; 6] = [2, 23, 133, 5, 4, 9];
/// `tcg-dice-endorsement-manifest`, the extension with the collateral.
pub const ENDORSEMENTS_OID: [u64; 6] = [2, 23, 133, 5, 4, 2];
/// Tag of a quote of an Intel TEE and its claims.
pub(crate) const TEE_QUOTE_TAG: u64 = 60_000;
/// Longest certificate that is looked at, bytes.
pub const MAX_CERTIFICATE_BYTES: usize = 60 * 1024;

/// A certificate with evidence. Nothing in it is verified yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttestedCertificate {
    /// The public key that the certificate is of, as SubjectPublicKeyInfo in DER.
    pub spki_der: Vec<u8>,
    /// What vouches for it.
    pub evidence: Evidence,
    /// What the evidence is verified with.
    pub endorsements: Endorsements,
}

/// The content of the extension with the evidence.
#[must_use]
pub fn evidence_extension(evidence: &Evidence) -> Vec<u8> {
    Writer::default().tag(TEE_QUOTE_TAG).array(2).bytes(&evidence.quote).bytes(&evidence.claims).finish()
}

/// The content of the extension with the collateral.
#[must_use]
pub fn endorsements_extension(endorsements: &Endorsements) -> Vec<u8> {
    endorsements.encode()
}

fn read_evidence(bytes: &[u8]) -> Result<Evidence, Unexpected> {
    let mut reader = Reader::new(bytes);
    reader.tag(TEE_QUOTE_TAG)?;
    reader.array(2)?;
    let evidence = Evidence { quote: reader.bytes(MAX_QUOTE_BYTES)?, claims: reader.bytes(MAX_CLAIMS_BYTES)? };
    reader.finish()?;
    Ok(evidence)
}

impl AttestedCertificate {
    /// Reads a certificate in DER.
    ///
    /// # Errors
    /// [`Refusal`] says which part cannot be read or is missing.
    pub fn parse(der: &[u8]) -> Result<Self, Refusal> {
        if der.len() > MAX_CERTIFICATE_BYTES {
            return Err(Refusal::Certificate);
        }
        let certificate = Certificate::from_der(der).map_err(|_| Refusal::Certificate)?;
        let spki = certificate.tbs_certificate().subject_public_key_info();
        let evidence = extension(&certificate, &EVIDENCE_OID)?.ok_or(Refusal::NoEvidence)?;
        let evidence = read_evidence(evidence).map_err(|Unexpected| Refusal::Evidence)?;
        let endorsements = extension(&certificate, &ENDORSEMENTS_OID)?.ok_or(Refusal::NoEndorsements)?;
        Ok(Self {
            spki_der: spki.to_der().map_err(|_| Refusal::Certificate)?,
            evidence,
            endorsements: Endorsements::decode(endorsements)?,
        })
    }

    /// What the evidence claims; true only if [`verify`](crate::verify) takes it.
    ///
    /// # Errors
    /// [`Refusal::Claims`].
    pub fn claims(&self) -> Result<Claims, Refusal> {
        Claims::decode(&self.evidence.claims)
    }
}

/// The content of the extension `oid`. One that is there twice is there for two different readers.
fn extension<'a>(certificate: &'a Certificate, oid: &[u64]) -> Result<Option<&'a [u8]>, Refusal> {
    let extensions = certificate.tbs_certificate().extensions();
    let mut found = extensions.into_iter().flatten().filter(|extension| {
        let arcs = extension.extn_id.arcs().map(u64::from);
        arcs.eq(oid.iter().copied())
    });
    match (found.next(), found.next()) {
        (None, _) => Ok(None),
        (Some(extension), None) => Ok(Some(extension.extn_value.as_bytes())),
        (Some(_), Some(_)) => Err(Refusal::Certificate),
    }
}
