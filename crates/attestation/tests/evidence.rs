//! Evidence as the virtual platform makes it, and each thing that can be wrong with it, refused for its own reason.

#![allow(clippy::unwrap_used)]

use std::{path::Path, slice};

use alloy_primitives::{B256, FixedBytes};
use cloister_attestation::{
    AllowedPlatform, Attested, AttestedCertificate, Attester, Claims, ENDORSEMENTS_OID, EVIDENCE_OID, Endorsements,
    Evidence, MAX_VALIDITY_S, Measurements, PeerId, Policy, Refusal, Role, TcbStatus, endorsements_extension,
    evidence_extension, key_hash, verify,
};
use cloister_primitives::{Measurement, PlatformName};
use cloister_virtual_platform::{Machine, QuoteVersion, Root, Standing, attest};
use rcgen::{CertificateParams, CustomExtension, KeyPair, PublicKeyData as _};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

const NOW_S: u64 = 1_800_000_000;
const PROGRAM: FixedBytes<48> = FixedBytes([0xaa; 48]);

/// Evidence, and everything it is held against.
struct Case {
    machine: Machine,
    claims: Claims,
    policy: Policy,
    spki: Vec<u8>,
    now_s: u64,
}

/// What is made wrong.
type Change = fn(&mut Case);

impl Case {
    fn good() -> Self {
        let spki = b"a SubjectPublicKeyInfo".to_vec();
        let (genesis_hash, ledger_binding) = (B256::repeat_byte(1), B256::repeat_byte(2));
        let peer = PeerId([5; 32]);
        let claims = Claims {
            role: Role::Server,
            chain_id: 7,
            genesis_hash,
            ledger_binding,
            tls_key: key_hash(&spki),
            sealing_keys: B256::repeat_byte(3),
            peer,
            not_before_s: NOW_S - 60,
            not_after_s: NOW_S + 7_200,
            nonce: [9; 32],
        };
        let platform = AllowedPlatform {
            platform: PlatformName::Virtual,
            measurements: Measurements::Listed(vec![Measurement { mrtd: PROGRAM, rtmrs: [None; 4] }]),
            tcb_statuses: vec![TcbStatus::UpToDate],
        };
        let policy = Policy {
            platforms: vec![platform],
            role: Role::Server,
            chain_id: 7,
            genesis_hash,
            ledger_binding,
            peer: Some(peer),
            nonce: Some([9; 32]),
        };
        Self { machine: Machine::running(PROGRAM, NOW_S), claims, policy, spki, now_s: NOW_S }
    }

    fn made(&self) -> (Evidence, Endorsements) {
        let attested = attest(&self.machine, &self.claims.report_data()).unwrap();
        (Evidence { quote: attested.quote, claims: self.claims.encode() }, attested.endorsements)
    }

    fn verify(&self, evidence: &Evidence, endorsements: &Endorsements) -> Result<(), Refusal> {
        verify(evidence, endorsements, &self.policy, &self.spki, self.now_s).map(|verified| {
            assert_eq!((&verified.claims, verified.measurement.mrtd), (&self.claims, PROGRAM));
        })
    }

    /// The reason for which the evidence is refused once `change` is made to what it is made of or held against.
    fn refused(change: impl FnOnce(&mut Self)) -> &'static str {
        let mut case = Self::good();
        change(&mut case);
        let (evidence, endorsements) = case.made();
        reason(case.verify(&evidence, &endorsements))
    }

    /// The reason for which it is refused once `change` is made to the finished evidence.
    fn refused_changed(change: impl FnOnce(&mut Evidence, &mut Endorsements)) -> &'static str {
        let case = Self::good();
        let (mut evidence, mut endorsements) = case.made();
        change(&mut evidence, &mut endorsements);
        reason(case.verify(&evidence, &endorsements))
    }
}

fn reason(outcome: Result<(), Refusal>) -> &'static str {
    outcome.err().map_or("taken", |refusal| refusal.reason())
}

/// Offsets in a quote of version 4: header (48), report (584), length (4), then the signature.
const REPORT: usize = 48;
const MRTD: usize = REPORT + 136;
const REPORT_DATA: usize = REPORT + 520;
const LENGTH: usize = REPORT + 584;
const SIGNATURE: usize = LENGTH + 4;

#[test]
fn evidence_of_both_versions_is_taken() {
    for version in [QuoteVersion::V4, QuoteVersion::V5] {
        assert_eq!(Case::refused(|case| case.machine.quote_version = version), "taken", "{version:?}");
    }
    assert_eq!(Case::refused(|case| case.policy.platforms[0].measurements = Measurements::Any), "taken");
    assert_eq!(Case::refused(|case| (case.policy.peer, case.policy.nonce) = (None, None)), "taken");
}

#[test]
fn every_claim_that_is_not_what_is_expected_is_refused_for_it() {
    let wrong: [(&str, Change); 13] = [
        ("role", |case| case.claims.role = Role::Peer),
        ("role", |case| case.policy.role = Role::Peer),
        ("chain-id", |case| case.claims.chain_id = 8),
        ("genesis", |case| case.claims.genesis_hash = B256::ZERO),
        ("rules", |case| case.claims.ledger_binding = B256::ZERO),
        ("tls-key", |case| case.spki.push(0)),
        ("peer-id", |case| case.claims.peer = PeerId::NONE),
        ("not-yet-valid", |case| case.now_s = case.claims.not_before_s - 1),
        ("expired", |case| case.now_s = case.claims.not_after_s + 1),
        ("validity-too-long", |case| case.claims.not_after_s = case.claims.not_before_s + MAX_VALIDITY_S + 1),
        ("expired", |case| case.claims.not_after_s = case.claims.not_before_s - 1),
        ("nonce", |case| case.claims.nonce = [8; 32]),
        ("nonce", |case| case.policy.nonce = Some([0; 32])),
    ];
    for (expected, change) in wrong {
        assert_eq!(Case::refused(change), expected);
    }
}

#[test]
fn claims_that_the_quote_does_not_vouch_for_are_refused_whatever_they_say() {
    let swapped: [fn(&mut Claims); 4] = [
        |claims| claims.tls_key = key_hash(b"another"),
        |claims| claims.sealing_keys = B256::ZERO,
        |claims| claims.not_after_s += 1,
        |claims| claims.chain_id += 1,
    ];
    for change in swapped {
        let mut claims = Case::good().claims;
        change(&mut claims);
        assert_eq!(Case::refused_changed(|evidence, _| evidence.claims = claims.encode()), "report-data");
    }
    assert_eq!(Case::refused_changed(|evidence, _| evidence.claims.push(0)), "claims-malformed");
}

#[test]
fn another_program_another_machine_another_root_are_refused() {
    assert_eq!(Case::refused(|case| case.machine.measurement.0[47] ^= 1), "measurement");
    assert_eq!(
        Case::refused(|case| case.policy.platforms[0].measurements = Measurements::Listed(Vec::new())),
        "measurement"
    );
    let register = |case: &mut Case| {
        let Measurements::Listed(listed) = &mut case.policy.platforms[0].measurements else { panic!("listed") };
        listed[0].rtmrs[2] = Some(FixedBytes([1; 48]));
    };
    assert_eq!(Case::refused(register), "measurement");
    assert_eq!(
        Case::refused(|case| {
            register(case);
            case.machine.rtmrs[2] = FixedBytes([1; 48]);
        }),
        "taken"
    );
    assert_eq!(Case::refused(|case| case.machine.td_attributes[0] |= 1), "debug");
    for (byte, bit) in [(0, 0x10), (3, 0x20), (1, 0x80)] {
        assert_eq!(Case::refused(|case| case.machine.td_attributes[byte] |= bit), "attributes", "{byte} {bit}");
    }
    assert_eq!(Case::refused(|case| case.machine.td_attributes[3] = 0), "attributes", "SEPT_VE_DISABLE");
    assert_eq!(Case::refused(|case| case.machine.root = Root::foreign().unwrap()), "unknown-root");
    assert_eq!(Case::refused(|case| case.policy.platforms[0].platform = PlatformName::Tdx), "platform-not-taken");
    assert_eq!(
        Case::refused(|case| {
            // Where hardware is taken, whoever claims to be some is asked for Intel's root.
            case.policy.platforms[0].platform = PlatformName::Tdx;
            case.machine.root = Root::foreign().unwrap();
        }),
        "unknown-root"
    );
    assert_eq!(Case::refused(|case| case.policy.platforms.clear()), "platform-not-taken");
}

#[test]
fn a_machine_in_bad_standing_is_refused() {
    assert_eq!(Case::refused(|case| case.machine.tcb_status = TcbStatus::OutOfDate), "tcb-status");
    assert_eq!(
        Case::refused(|case| {
            case.machine.tcb_status = TcbStatus::SWHardeningNeeded;
            case.policy.platforms[0].tcb_statuses.push(TcbStatus::SWHardeningNeeded);
        }),
        "taken"
    );
    assert_eq!(Case::refused(|case| case.machine.tcb_status = TcbStatus::Revoked), "platform-revoked");
    assert_eq!(Case::refused(|case| case.machine.standing = Standing::Revoked), "platform-revoked");
}

#[test]
fn collateral_has_its_time() {
    assert_eq!(Case::refused(|case| case.machine.expires_s = NOW_S - 1), "collateral-expired");
    assert_eq!(Case::refused(|case| case.machine.issued_s = NOW_S + 1), "collateral-not-yet-valid");
    // Good for thirty days, whatever the evidence says of itself.
    assert_eq!(
        Case::refused(|case| {
            case.now_s = NOW_S + 31 * 86_400;
            (case.claims.not_before_s, case.claims.not_after_s) = (case.now_s - 60, case.now_s + 60);
        }),
        "collateral-expired"
    );
}

#[test]
fn collateral_of_another_machine_or_changed_is_refused() {
    let (_, others) = Case::good().made();
    // Its processors are certified by another authority, which revokes its own.
    assert_eq!(Case::refused_changed(|_, endorsements| *endorsements = others.clone()), "wrong-collateral");
    let flip =
        |text: &mut String| *text = text.replace("\"tcbEvaluationDataNumber\":1", "\"tcbEvaluationDataNumber\":2");
    assert_eq!(Case::refused_changed(|_, Endorsements(all)| flip(&mut all.tcb_info)), "wrong-collateral");
    assert_eq!(Case::refused_changed(|_, Endorsements(all)| flip(&mut all.qe_identity)), "wrong-collateral");
    assert_eq!(Case::refused_changed(|_, Endorsements(all)| all.root_ca_crl.clear()), "wrong-collateral");
    assert_eq!(Case::refused_changed(|_, Endorsements(all)| all.tcb_info_issuer_chain.clear()), "wrong-collateral");
}

#[test]
fn a_changed_quote_is_refused() {
    let flipped = |at: usize| Case::refused_changed(|evidence, _| evidence.quote[at] ^= 1);
    for (what, at) in [("MRTD", MRTD), ("report data", REPORT_DATA), ("signature", SIGNATURE + 5)] {
        assert_eq!(flipped(at), "wrong-signature", "{what}");
    }
    let enclave = SIGNATURE + 64 + 64 + 6;
    for (what, at) in
        [("key", SIGNATURE + 64 + 5), ("enclave's report", enclave + 64), ("its signature", enclave + 390)]
    {
        assert_eq!(flipped(at), "wrong-signature", "{what}");
    }
    assert_eq!(flipped(0), "quote-malformed", "version 5 instead of 4");
    assert_eq!(Case::refused_changed(|evidence, _| evidence.quote[0] = 3), "quote-version");
    assert_eq!(Case::refused_changed(|evidence, _| evidence.quote[0] = 6), "quote-version");
    assert_eq!(Case::refused_changed(|evidence, _| evidence.quote[4] = 0), "quote-not-tdx");
}

#[test]
fn a_quote_has_not_a_byte_too_few_or_too_many() {
    for length in [0, 1, 7, 47, MRTD, LENGTH, SIGNATURE, SIGNATURE + 100] {
        assert_eq!(Case::refused_changed(|evidence, _| evidence.quote.truncate(length)), "quote-malformed", "{length}");
    }
    assert_eq!(
        Case::refused_changed(|evidence, _| evidence.quote.truncate(evidence.quote.len() - 1)),
        "quote-malformed"
    );
    assert_eq!(Case::refused_changed(|evidence, _| evidence.quote.push(0)), "quote-trailing-bytes");
    let padded = |evidence: &mut Evidence| {
        // Within the signature's part, whose length covers them: the decoder passes over these, too.
        let length = evidence.quote.first_chunk::<{ LENGTH + 4 }>().unwrap()[LENGTH..].try_into().unwrap();
        let length: u32 = u32::from_le_bytes(length) + 3;
        evidence.quote[LENGTH..LENGTH + 4].copy_from_slice(&length.to_le_bytes());
        evidence.quote.extend([0; 3]);
    };
    assert_eq!(Case::refused_changed(|evidence, _| padded(evidence)), "quote-trailing-bytes");
    assert_eq!(Case::refused_changed(|evidence, _| evidence.quote.resize(20_000, 0)), "quote-malformed");
}

/// A certificate with the given extensions, and its key.
fn certificate(extensions: &[(&[u64], Vec<u8>)]) -> (Vec<u8>, KeyPair) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.custom_extensions =
        extensions.iter().map(|(oid, content)| CustomExtension::from_oid_content(oid, content.clone())).collect();
    (params.self_signed(&key).unwrap().der().to_vec(), key)
}

#[test]
fn a_certificate_carries_evidence_and_collateral() {
    let (evidence, endorsements) = Case::good().made();
    let quoted = (&EVIDENCE_OID[..], evidence_extension(&evidence));
    let endorsed = (&ENDORSEMENTS_OID[..], endorsements_extension(&endorsements));
    let (der, key) = certificate(&[quoted.clone(), endorsed.clone()]);
    let parsed = AttestedCertificate::parse(&der).unwrap();
    assert_eq!((&parsed.evidence, &parsed.endorsements), (&evidence, &endorsements));
    assert_eq!(parsed.spki_der, key.subject_public_key_info());
    assert_eq!(parsed.claims().unwrap(), Case::good().claims);

    let refused = |extensions: &[(&[u64], Vec<u8>)]| {
        AttestedCertificate::parse(&certificate(extensions).0).map_or_else(|refusal| refusal.reason(), |_| "taken")
    };
    assert_eq!(refused(&[]), "no-evidence");
    assert_eq!(refused(slice::from_ref(&endorsed)), "no-evidence");
    assert_eq!(refused(slice::from_ref(&quoted)), "no-collateral");
    assert_eq!(refused(&[quoted.clone(), endorsed.clone(), quoted.clone()]), "certificate-malformed");
    let cut = |(oid, content): &(&'static [u64], Vec<u8>)| (*oid, content[..content.len() - 1].to_vec());
    let tagged = |(oid, content): &(&'static [u64], Vec<u8>)| {
        let mut content = content.clone();
        content[2] ^= 1;
        (*oid, content)
    };
    for broken in [cut(&quoted), tagged(&quoted)] {
        assert_eq!(refused(&[broken, endorsed.clone()]), "evidence-malformed");
    }
    for broken in [cut(&endorsed), tagged(&endorsed)] {
        assert_eq!(refused(&[quoted.clone(), broken]), "collateral-malformed");
    }
    let parse = |der: &[u8]| AttestedCertificate::parse(der).unwrap_err().reason();
    assert_eq!(parse(&der[..der.len() - 1]), "certificate-malformed");
    assert_eq!(parse(&[&der[..], &[0]].concat()), "certificate-malformed");
    assert_eq!(parse(&vec![0x30; 70_000]), "certificate-malformed");
}

#[test]
fn platforms_that_pad_their_quotes_do_no_harm() {
    let case = Case::good();
    let attester = Attester::new(PlatformName::Virtual, |report_data, now_s| {
        let Attested { mut quote, endorsements } = attest(&Machine::running(PROGRAM, now_s), report_data).unwrap();
        quote.resize(8_192, 0);
        Ok(Attested { quote, endorsements })
    });
    let Attested { quote, endorsements } = attester.attest(&case.claims.report_data(), NOW_S).unwrap();
    assert_eq!(reason(case.verify(&Evidence { quote, claims: case.claims.encode() }, &endorsements)), "taken");
    let broken = Attester::new(PlatformName::Virtual, move |_, _| {
        Ok(Attested { quote: vec![4; 100], endorsements: endorsements.clone() })
    });
    assert!(broken.attest(&[0; 64], NOW_S).is_err());
}

/// Quotes of real machines, which the verifier's authors ship with it: taken in everything but what they vouch for.
#[test]
fn evidence_of_real_machines_passes_the_same_checks() {
    let cargo = std::process::Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--offline", "--filter-platform", "host-tuple"])
        .output()
        .unwrap();
    let metadata: serde_json::Value = serde_json::from_slice(&cargo.stdout).unwrap();
    let verifier =
        metadata["packages"].as_array().unwrap().iter().find(|package| package["name"] == "dcap-qvl").unwrap();
    let samples = Path::new(verifier["manifest_path"].as_str().unwrap()).parent().unwrap().join("sample");
    for name in ["tdx_quote", "tdx_quote_td15ex"] {
        let raw = std::fs::read(samples.join(name)).unwrap();
        let collateral = std::fs::read(samples.join(format!("{name}_collateral.json"))).unwrap();
        let endorsements = Endorsements(serde_json::from_slice(&collateral).unwrap());
        let issued = endorsements.0.tcb_info.split("\"issueDate\":\"").nth(1).unwrap().split('"').next().unwrap();
        let issued = OffsetDateTime::parse(issued, &Rfc3339).unwrap().unix_timestamp();
        let mut case = Case::good();
        case.now_s = issued.unsigned_abs() + 3_600;
        let taken = case.claims.encode();
        let attester = Attester::new(PlatformName::Tdx, move |_, _| {
            Ok(Attested { quote: raw.clone(), endorsements: endorsements.clone() })
        });
        let Attested { quote, endorsements } = attester.attest(&[0; 64], 0).unwrap();
        let mut evidence = Evidence { quote, claims: taken };
        let endorsements = Endorsements::decode(&endorsements.encode()).unwrap();
        assert_eq!(reason(case.verify(&evidence, &endorsements)), "platform-not-taken", "{name}");
        case.policy.platforms[0].platform = PlatformName::Tdx;
        assert_eq!(reason(case.verify(&evidence, &endorsements)), "measurement", "{name}");
        case.policy.platforms[0].measurements = Measurements::Any;
        assert_eq!(reason(case.verify(&evidence, &endorsements)), "report-data", "{name}");
        case.now_s += 40 * 86_400;
        assert_eq!(reason(case.verify(&evidence, &endorsements)), "collateral-expired", "{name}");
        case.now_s -= 40 * 86_400;
        evidence.quote[MRTD] ^= 1;
        assert_eq!(reason(case.verify(&evidence, &endorsements)), "wrong-signature", "{name}");
    }
}

#[test]
fn each_refusal_has_a_sentence() {
    let refusal = Refusal::Platform { found: PlatformName::Virtual };
    assert_eq!(refusal.to_string(), "the evidence is of the platform \"virtual\", which the network does not take");
}
