//! A quote: the report of a trust domain, signed by a quoting enclave, which the processor vouches for.

use cloister_attestation::Digest;
use dcap_qvl::INTEL_QE_VENDOR_ID;
use dcap_qvl::quote::{
    AuthData, AuthDataV4, CertificationData, Data, EnclaveReport, Header, QEReportCertificationData, Quote, Report,
    TDReport10,
};
use parity_scale_codec::Encode as _;
use rcgen::{KeyPair, PublicKeyData as _, SigningKey as _};
use sha2::{Digest as _, Sha256};

use crate::VirtualError;
use crate::collateral::{Maker, QE_PRODUCT, QE_SIGNER};
use crate::machine::{Machine, QuoteVersion};

/// ECDSA over P-256.
const ATTESTATION_KEY_TYPE: u16 = 2;
const TEE_TDX: u32 = 0x81;
/// Kinds of certification data: a chain of certificates, and a report of the quoting enclave around one.
const PCK_CERT_CHAIN: u16 = 5;
const QE_REPORT: u16 = 6;
/// What the quoting enclave adds to what it signs.
const QE_AUTH_DATA: [u8; 32] = [0; 32];

/// A signature over P-256 as 32 bytes each of r and s.
pub(crate) fn raw_signature(key: &KeyPair, message: &[u8]) -> Result<[u8; 64], VirtualError> {
    let der = key.sign(message)?;
    let parts = yasna::parse_der(&der, |reader| {
        reader.read_sequence(|parts| Ok([parts.next().read_bigint_bytes()?.0, parts.next().read_bigint_bytes()?.0]))
    });
    let mut raw = [0; 64];
    for (part, place) in parts.map_err(|_| VirtualError::Signature)?.iter().zip(raw.chunks_mut(32)) {
        let digits = &part[part.iter().take_while(|byte| **byte == 0).count()..];
        let start = place.len().checked_sub(digits.len()).ok_or(VirtualError::Signature)?;
        place[start..].copy_from_slice(digits);
    }
    Ok(raw)
}

/// The coordinates of a public key, without the byte that says that there are two.
fn coordinates(key: &KeyPair) -> Result<[u8; 64], VirtualError> {
    match key.der_bytes() {
        [4, coordinates @ ..] => coordinates.try_into().map_err(|_| VirtualError::Signature),
        _ => Err(VirtualError::Signature),
    }
}

fn header(version: QuoteVersion) -> Header {
    Header {
        version: match version {
            QuoteVersion::V4 => 4,
            QuoteVersion::V5 => 5,
        },
        attestation_key_type: ATTESTATION_KEY_TYPE,
        tee_type: TEE_TDX,
        qe_svn: 0,
        pce_svn: 0,
        qe_vendor_id: INTEL_QE_VENDOR_ID,
        user_data: [0; 20],
    }
}

fn report(machine: &Machine, report_data: &Digest) -> TDReport10 {
    let [rt_mr0, rt_mr1, rt_mr2, rt_mr3] = machine.rtmrs.map(|register| register.0);
    TDReport10 {
        tee_tcb_svn: [0; 16],
        mr_seam: [0; 48],
        mr_signer_seam: [0; 48],
        seam_attributes: [0; 8],
        td_attributes: machine.td_attributes,
        xfam: [0; 8],
        mr_td: machine.measurement.0,
        mr_config_id: [0; 48],
        mr_owner: [0; 48],
        mr_owner_config: [0; 48],
        rt_mr0,
        rt_mr1,
        rt_mr2,
        rt_mr3,
        report_data: *report_data,
    }
}

/// What the processor signs: that the quoting enclave has this key.
fn quoting_enclave(attestation_key: &[u8; 64]) -> EnclaveReport {
    let mut report_data = [0; 64];
    let digest: [u8; 32] = Sha256::new().chain_update(attestation_key).chain_update(QE_AUTH_DATA).finalize().into();
    report_data[..32].copy_from_slice(&digest);
    EnclaveReport {
        cpu_svn: [0; 16],
        misc_select: 0,
        reserved1: [0; 28],
        attributes: [0; 16],
        mr_enclave: [0; 32],
        reserved2: [0; 32],
        mr_signer: QE_SIGNER,
        reserved3: [0; 96],
        isv_prod_id: QE_PRODUCT,
        isv_svn: 0,
        reserved4: [0; 60],
        report_data,
    }
}

pub(crate) fn make(machine: &Machine, maker: &Maker, report_data: &Digest) -> Result<Vec<u8>, VirtualError> {
    let attestation = KeyPair::generate()?;
    let ecdsa_attestation_key = coordinates(&attestation)?;
    let qe_report: [u8; 384] =
        quoting_enclave(&ecdsa_attestation_key).encode().try_into().map_err(|_| VirtualError::Signature)?;
    let mut quote = Quote {
        header: header(machine.quote_version),
        report: Report::TD10(report(machine, report_data)),
        auth_data: AuthData::V4(AuthDataV4 {
            ecdsa_signature: [0; 64],
            ecdsa_attestation_key,
            certification_data: CertificationData { cert_type: QE_REPORT, body: Data::new(Vec::new()) },
            qe_report_data: QEReportCertificationData {
                qe_report_signature: raw_signature(maker.pck(), &qe_report)?,
                qe_report,
                qe_auth_data: Data::new(QE_AUTH_DATA.to_vec()),
                certification_data: CertificationData {
                    cert_type: PCK_CERT_CHAIN,
                    body: Data::new(maker.pck_chain().into_bytes()),
                },
            },
        }),
    };
    let signed = quote.signed_length();
    let unsigned = quote.encode();
    if let AuthData::V4(auth) = &mut quote.auth_data {
        auth.ecdsa_signature = raw_signature(&attestation, &unsigned[..signed])?;
    }
    Ok(quote.encode())
}
