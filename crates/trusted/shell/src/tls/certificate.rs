//! A key and its certificate, which carries evidence.

use std::sync::Arc;

use alloy_primitives::B256;
use cloister_attestation::{
    Attester, Claims, ENDORSEMENTS_OID, EVIDENCE_OID, Evidence, NotAttested, PeerId, Role, endorsements_extension,
    evidence_extension, key_hash,
};
use cloister_crypto::EntropySource as _;
use rcgen::{
    CertificateParams, CustomExtension, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose,
    PublicKeyData as _, SerialNumber,
};
use rustls::{
    crypto::aws_lc_rs::sign::any_supported_type,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    sign::CertifiedKey,
};
use thiserror::Error;
use time::OffsetDateTime;

use crate::entropy::PlatformEntropy;

/// What evidence of this process says, whatever the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Subject {
    pub(crate) chain_id: u64,
    pub(crate) genesis_hash: B256,
    pub(crate) ledger_binding: B256,
}

/// From when until when a certificate holds, seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Validity {
    pub(crate) from_s: u64,
    pub(crate) until_s: u64,
}

/// What a key is certified for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Certified {
    pub(crate) role: Role,
    /// Digest of the keys that transactions are sealed for.
    pub(crate) sealing_keys: B256,
    pub(crate) peer: PeerId,
    pub(crate) validity: Validity,
}

/// Why there is no certificate.
#[derive(Debug, Error)]
pub(crate) enum CertificateError {
    #[error(transparent)]
    NotAttested(#[from] NotAttested),
    #[error("a certificate cannot be made: {0}")]
    Certificate(#[from] rcgen::Error),
    #[error("the key cannot be used: {0}")]
    Key(#[from] rustls::Error),
    #[error("the host's time is none that a certificate can say")]
    Time,
    #[error("the node is stopping")]
    Stopping,
}

fn at(seconds: u64) -> Result<OffsetDateTime, CertificateError> {
    let seconds = i64::try_from(seconds).map_err(|_| CertificateError::Time)?;
    OffsetDateTime::from_unix_timestamp(seconds).map_err(|_| CertificateError::Time)
}

impl Certified {
    /// Has the platform vouch for `key`.
    pub(crate) fn make(
        self,
        attester: &Attester,
        subject: Subject,
        key: &KeyPair,
        now_s: u64,
    ) -> Result<Arc<CertifiedKey>, CertificateError> {
        let Self { role, sealing_keys, peer, validity } = self;
        let mut nonce = [0; 32];
        PlatformEntropy.fill(&mut nonce);
        let claims = Claims {
            role,
            chain_id: subject.chain_id,
            genesis_hash: subject.genesis_hash,
            ledger_binding: subject.ledger_binding,
            tls_key: key_hash(&key.subject_public_key_info()),
            sealing_keys,
            peer,
            not_before_s: validity.from_s,
            not_after_s: validity.until_s,
            nonce,
        };
        let attested = attester.attest(&claims.report_data(), now_s)?;
        let evidence = Evidence { quote: attested.quote, claims: claims.encode() };

        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "Cloister enclave");
        params.serial_number = Some(SerialNumber::from_slice(&nonce[..16]));
        params.not_before = at(validity.from_s)?;
        params.not_after = at(validity.until_s)?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = match role {
            Role::Server => vec![ExtendedKeyUsagePurpose::ServerAuth],
            Role::Peer => vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth],
        };
        params.custom_extensions = vec![
            CustomExtension::from_oid_content(&EVIDENCE_OID, evidence_extension(&evidence)),
            CustomExtension::from_oid_content(&ENDORSEMENTS_OID, endorsements_extension(&attested.endorsements)),
        ];
        let certificate = params.self_signed(key)?;
        let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        Ok(Arc::new(CertifiedKey::new(vec![certificate.der().clone()], any_supported_type(&private)?)))
    }
}
