//! What the maker of a machine signs: certificates, lists of revoked ones, TCB info, the identity of the quoting
//! enclave.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cloister_attestation::{Endorsements, TcbStatus};
use dcap_qvl::tcb_info::TdxModule;
use dcap_qvl::{QeIdentity, QeTcb, QeTcbLevel, QuoteCollateralV3, Tcb, TcbComponents, TcbInfo, TcbLevel};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CustomExtension, DistinguishedName, DnType,
    IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber,
};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use yasna::models::ObjectIdentifier;

use crate::VirtualError;
use crate::machine::{Machine, Standing};
use crate::quote::raw_signature;

/// Family and model of the virtual processor.
const FMSPC: [u8; 6] = *b"clster";
/// The extension of Intel's processor certificates.
const SGX_EXTENSION: [u64; 7] = [1, 2, 840, 113_741, 1, 13, 1];
/// Serial numbers of the certificates below the root.
const PCK_CA: u8 = 2;
const PCK: u8 = 3;
const SIGNER: u8 = 4;
/// The identity of the virtual quoting enclave.
pub(crate) const QE_SIGNER: [u8; 32] = [0x51; 32];
pub(crate) const QE_PRODUCT: u16 = 2;

pub(crate) fn root_name() -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, "Cloister virtual platform root");
    name.push(DnType::OrganizationName, "Everybody has this key");
    name
}

fn named(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    name
}

fn at(seconds: u64) -> Result<OffsetDateTime, VirtualError> {
    let seconds = i64::try_from(seconds).map_err(|_| VirtualError::Time)?;
    OffsetDateTime::from_unix_timestamp(seconds).map_err(|_| VirtualError::Time)
}

fn written(seconds: u64) -> Result<String, VirtualError> {
    at(seconds)?.format(&Rfc3339).map_err(|_| VirtualError::Time)
}

fn certificate(
    name: DistinguishedName,
    serial: u8,
    from_s: u64,
    until_s: u64,
) -> Result<CertificateParams, VirtualError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = name;
    params.serial_number = Some(SerialNumber::from_slice(&[serial]));
    params.not_before = at(from_s)?;
    params.not_after = at(until_s)?;
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

/// A certificate that may sign others and lists.
pub(crate) fn authority(name: DistinguishedName, from_s: u64, until_s: u64) -> Result<CertificateParams, VirtualError> {
    let mut params = certificate(name, PCK_CA, from_s, until_s)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

/// What a processor's certificate says of it.
fn processor() -> CustomExtension {
    let oid = |rest: &[u64]| ObjectIdentifier::from_slice(&[&SGX_EXTENSION[..], rest].concat());
    let content = yasna::construct_der(|writer| {
        writer.write_sequence(|entries| {
            let mut entry = |rest: &[u64], write: &dyn Fn(yasna::DERWriter<'_>)| {
                entries.next().write_sequence(|entry| {
                    entry.next().write_oid(&oid(rest));
                    write(entry.next());
                });
            };
            entry(&[1], &|value| value.write_bytes(&[0; 16]));
            entry(&[2], &|value| {
                value.write_sequence(|levels| {
                    levels.next().write_sequence(|entry| {
                        entry.next().write_oid(&oid(&[2, 17]));
                        entry.next().write_u8(0);
                    });
                    levels.next().write_sequence(|entry| {
                        entry.next().write_oid(&oid(&[2, 18]));
                        entry.next().write_bytes(&[0; 16]);
                    });
                });
            });
            entry(&[3], &|value| value.write_bytes(&[0; 2]));
            entry(&[4], &|value| value.write_bytes(&FMSPC));
            entry(&[5], &|value| value.write_enum(0));
        });
    });
    CustomExtension::from_oid_content(&SGX_EXTENSION, content)
}

fn pem(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> = text.as_bytes().chunks(64).filter_map(|line| core::str::from_utf8(line).ok()).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}

/// The maker of one machine, with keys drawn for it.
pub(crate) struct Maker {
    root: Issuer<'static, KeyPair>,
    root_pem: String,
    ca: Issuer<'static, KeyPair>,
    ca_pem: String,
    pck: KeyPair,
    pck_pem: String,
    signer: KeyPair,
    signer_pem: String,
}

impl Maker {
    pub(crate) fn new(machine: &Machine) -> Result<Self, VirtualError> {
        let (from_s, until_s) = (machine.issued_s, machine.expires_s);
        let root = machine.root.issuer()?;
        let ca_params = authority(named("Cloister virtual processors"), from_s, until_s)?;
        let ca_key = KeyPair::generate()?;
        let ca_pem = pem(ca_params.signed_by(&ca_key, &root)?.der());
        let ca = Issuer::new(ca_params, ca_key);
        let mut pck_params = certificate(named("Cloister virtual processor"), PCK, from_s, until_s)?;
        pck_params.custom_extensions.push(processor());
        let pck = KeyPair::generate()?;
        let pck_pem = pem(pck_params.signed_by(&pck, &ca)?.der());
        let signer = KeyPair::generate()?;
        let signer_params = certificate(named("Cloister virtual TCB signer"), SIGNER, from_s, until_s)?;
        let signer_pem = pem(signer_params.signed_by(&signer, &root)?.der());
        Ok(Self { root, root_pem: pem(machine.root.certificate_der()), ca, ca_pem, pck, pck_pem, signer, signer_pem })
    }

    /// The processor's key.
    pub(crate) const fn pck(&self) -> &KeyPair {
        &self.pck
    }

    /// The processor's certificate and those above it.
    pub(crate) fn pck_chain(&self) -> String {
        [self.pck_pem.as_str(), &self.ca_pem, &self.root_pem].concat()
    }

    pub(crate) fn endorsements(&self, machine: &Machine) -> Result<Endorsements, VirtualError> {
        let tcb_info = serde_json::to_string(&tcb_info(machine)?)?;
        let qe_identity = serde_json::to_string(&qe_identity(machine)?)?;
        let signer_chain = [self.signer_pem.as_str(), &self.root_pem].concat();
        let revoked = match machine.standing {
            Standing::Good => Vec::new(),
            Standing::Revoked => vec![PCK],
        };
        Ok(Endorsements(QuoteCollateralV3 {
            pck_crl_issuer_chain: [self.ca_pem.as_str(), &self.root_pem].concat(),
            root_ca_crl: revocations(machine, &self.root, &[])?,
            pck_crl: revocations(machine, &self.ca, &revoked)?,
            tcb_info_issuer_chain: signer_chain.clone(),
            tcb_info_signature: raw_signature(&self.signer, tcb_info.as_bytes())?.to_vec(),
            tcb_info,
            qe_identity_issuer_chain: signer_chain,
            qe_identity_signature: raw_signature(&self.signer, qe_identity.as_bytes())?.to_vec(),
            qe_identity,
            pck_certificate_chain: None,
        }))
    }
}

fn revocations(machine: &Machine, issuer: &Issuer<'_, KeyPair>, serials: &[u8]) -> Result<Vec<u8>, VirtualError> {
    let revoked = |serial: &u8| -> Result<RevokedCertParams, VirtualError> {
        Ok(RevokedCertParams {
            serial_number: SerialNumber::from_slice(&[*serial]),
            revocation_time: at(machine.issued_s)?,
            reason_code: None,
            invalidity_date: None,
        })
    };
    let list = CertificateRevocationListParams {
        this_update: at(machine.issued_s)?,
        next_update: at(machine.expires_s)?,
        crl_number: SerialNumber::from_slice(&[1]),
        issuing_distribution_point: None,
        revoked_certs: serials.iter().map(revoked).collect::<Result<_, _>>()?,
        key_identifier_method: KeyIdMethod::Sha256,
    };
    Ok(list.signed_by(issuer)?.der().to_vec())
}

fn tcb_info(machine: &Machine) -> Result<TcbInfo, VirtualError> {
    let components = || (0..16).map(|_| TcbComponents { svn: 0 }).collect();
    Ok(TcbInfo {
        id: "TDX".to_owned(),
        version: 3,
        issue_date: written(machine.issued_s)?,
        next_update: written(machine.expires_s)?,
        fmspc: hex::encode(FMSPC),
        pce_id: "0000".to_owned(),
        tcb_type: 0,
        tcb_evaluation_data_number: 1,
        tcb_levels: vec![TcbLevel {
            tcb: Tcb { sgx_components: components(), tdx_components: components(), pce_svn: 0 },
            tcb_date: written(machine.issued_s)?,
            tcb_status: machine.tcb_status,
            advisory_ids: Vec::new(),
        }],
        tdx_module: Some(TdxModule {
            mrsigner: "00".repeat(48),
            attributes: "00".repeat(8),
            attributes_mask: "ff".repeat(8),
        }),
        tdx_module_identities: Vec::new(),
    })
}

fn qe_identity(machine: &Machine) -> Result<QeIdentity, VirtualError> {
    Ok(QeIdentity {
        id: "TD_QE".to_owned(),
        version: 2,
        issue_date: written(machine.issued_s)?,
        next_update: written(machine.expires_s)?,
        tcb_evaluation_data_number: 1,
        miscselect: [0; 4],
        miscselect_mask: [0xff; 4],
        attributes: [0; 16],
        attributes_mask: [0xff; 16],
        mrsigner: QE_SIGNER,
        isvprodid: QE_PRODUCT,
        tcb_levels: vec![QeTcbLevel {
            tcb: QeTcb { isvsvn: 0 },
            tcb_date: written(machine.issued_s)?,
            tcb_status: TcbStatus::UpToDate,
            advisory_ids: Vec::new(),
        }],
    })
}
