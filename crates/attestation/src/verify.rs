//! Whether a policy takes evidence.

use cloister_primitives::{Measurement, PlatformName};
use dcap_qvl::quote::TDReport10;
use dcap_qvl::verify::QuoteVerifier;
use dcap_qvl::{QuoteClaims, QuoteCollateralV3};

use crate::claims::{Claims, key_hash};
use crate::endorsements::Endorsements;
use crate::platform::VIRTUAL_ROOT_DER;
use crate::policy::{AllowedPlatform, MAX_VALIDITY_S, Measurements, Policy, is_measured};
use crate::quote::{WellFormed, domain};
use crate::refusal::Refusal;

/// A quote, and the claims that it vouches for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// A TDX quote of version 4 or 5, not a byte longer.
    pub quote: Vec<u8>,
    /// [`Claims`], encoded.
    pub claims: Vec<u8>,
}

/// What was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The platform that vouches.
    pub platform: PlatformName,
    /// The program.
    pub measurement: Measurement,
    /// What is vouched for.
    pub claims: Claims,
}

/// Whether `policy` takes the evidence that `spki_der` is an enclave's key, at `now_s` seconds since 1970.
///
/// # Errors
/// [`Refusal`], the first that is found: form, root, signatures and collateral, the platform's state, the program, the
/// claims.
pub fn verify(
    evidence: &Evidence,
    endorsements: &Endorsements,
    policy: &Policy,
    spki_der: &[u8],
    now_s: u64,
) -> Result<Verified, Refusal> {
    let claims = Claims::decode(&evidence.claims)?;
    let quote = WellFormed::parse(&evidence.quote)?;
    quote.check_debug()?;
    let platform = quote.claimed_platform()?;
    let allowed = allowed(policy, platform)?;
    let verifier = match platform {
        PlatformName::Virtual => QuoteVerifier::new(VIRTUAL_ROOT_DER.to_vec()),
        PlatformName::Tdx => QuoteVerifier::new_prod(),
    };
    let collateral: &QuoteCollateralV3 = &endorsements.0;
    let verified = verifier.verify_with_policy(&evidence.quote, collateral, now_s, &Statuses(allowed));
    let quoted = verified.map_err(|error| refusal_of(&error))?;
    let report = domain(&quoted.report)?;
    check_measurement(allowed, report)?;
    if report.report_data != Claims::report_data_of(&evidence.claims) {
        return Err(Refusal::ReportData);
    }
    check_claims(&claims, policy, spki_der, now_s)?;
    let registers = [report.rt_mr0, report.rt_mr1, report.rt_mr2, report.rt_mr3];
    let measurement = Measurement { mrtd: report.mr_td.into(), rtmrs: registers.map(|register| Some(register.into())) };
    Ok(Verified { platform, measurement, claims })
}

fn allowed(policy: &Policy, platform: PlatformName) -> Result<&AllowedPlatform, Refusal> {
    policy.platforms.iter().find(|allowed| allowed.platform == platform).ok_or(Refusal::Platform { found: platform })
}

/// The part of a policy that is about the platform's state.
struct Statuses<'a>(&'a AllowedPlatform);

impl dcap_qvl::Policy for Statuses<'_> {
    fn validate(&self, claims: &QuoteClaims) -> anyhow::Result<()> {
        let status = claims.tcb.status;
        if self.0.tcb_statuses.contains(&status) {
            Ok(())
        } else {
            Err(anyhow::Error::new(Refusal::TcbStatus { found: status.to_string() }))
        }
    }
}

/// What the verifier's words mean. They are those of the pinned version; a test produces each.
fn refusal_of(error: &anyhow::Error) -> Refusal {
    if let Some(refusal) = error.downcast_ref::<Refusal>() {
        return refusal.clone();
    }
    const MEANINGS: [(&str, Refusal); 16] = [
        ("CertRevoked", Refusal::Revoked),
        ("Revoked", Refusal::Revoked),
        ("Expired", Refusal::CollateralExpired),
        ("expired", Refusal::CollateralExpired),
        ("NotValidYet", Refusal::CollateralNotYetValid),
        ("in the future", Refusal::CollateralNotYetValid),
        ("UnknownIssuer", Refusal::Root),
        ("Signature is invalid for tcb_info", Refusal::Collateral),
        ("Signature is invalid for qe_identity", Refusal::Collateral),
        ("InvalidCrlSignature", Refusal::Collateral),
        ("Signature is invalid", Refusal::Signature),
        ("signature is invalid", Refusal::Signature),
        ("InvalidSignature", Refusal::Signature),
        ("QE report hash mismatch", Refusal::Signature),
        ("TD ", Refusal::Attributes),
        ("SEPT_VE_DISABLE", Refusal::Attributes),
    ];
    let words = format!("{error:#}");
    let known = MEANINGS.iter().find(|(word, _)| words.contains(word));
    known.map_or(Refusal::Collateral, |(_, refusal)| refusal.clone())
}

fn check_measurement(allowed: &AllowedPlatform, report: &TDReport10) -> Result<(), Refusal> {
    let is_taken = match &allowed.measurements {
        Measurements::Any => true,
        Measurements::Listed(listed) => listed.iter().any(|measurement| is_measured(measurement, report)),
    };
    if is_taken { Ok(()) } else { Err(Refusal::Measurement { mrtd: hex::encode(report.mr_td) }) }
}

fn check_claims(claims: &Claims, policy: &Policy, spki_der: &[u8], now_s: u64) -> Result<(), Refusal> {
    let Claims { role, chain_id, not_before_s, not_after_s, .. } = *claims;
    if role != policy.role {
        return Err(Refusal::Role { found: role, expected: policy.role });
    }
    if chain_id != policy.chain_id {
        return Err(Refusal::Chain { found: chain_id, expected: policy.chain_id });
    }
    if claims.tls_key != key_hash(spki_der) {
        return Err(Refusal::TlsKey);
    }
    if now_s < not_before_s {
        return Err(Refusal::NotYetValid);
    }
    if now_s > not_after_s {
        return Err(Refusal::Expired);
    }
    let wrong = [
        (claims.genesis_hash != policy.genesis_hash, Refusal::Genesis),
        (claims.ledger_binding != policy.ledger_binding, Refusal::Rules),
        (policy.peer.is_some_and(|peer| peer != claims.peer), Refusal::Peer),
        (not_after_s - not_before_s > MAX_VALIDITY_S, Refusal::Validity),
        (policy.nonce.is_some_and(|nonce| nonce != claims.nonce), Refusal::Nonce),
    ];
    match wrong.into_iter().find(|(is_wrong, _)| *is_wrong) {
        Some((_, refusal)) => Err(refusal),
        None => Ok(()),
    }
}
