//! Evidence that a key is an enclave's: its formats, and their verification as pure functions of (evidence, collateral,
//! policy, now).
//!
//! **Duty.** Says what evidence vouches for ([`Claims`]), how evidence and collateral stand in a certificate
//! (interoperable RA-TLS), and whether a [`Policy`] takes them ([`verify`]). Knows what a client has to know of a
//! network to trust it ([`Manifest`]).
//!
//! **Trusts.** The roots of the platforms, and a manifest that its user got from somebody he trusts. Certificates,
//! quotes and collateral are hostile bytes: bounded, and never a reason to panic.
//!
//! **Invariants.** Each thing that can be wrong is refused for a stable [reason](Refusal::reason) of its own. Claims
//! have one encoding, a quote has no bytes that nobody looks at. No clock: time is an argument.
//!
//! **Not here.** Making quotes (the platform's; `cloister-virtual-platform` for the one without hardware), TLS (the
//! shell's and the client's).

mod cbor;
mod certificate;
mod claims;
mod endorsements;
mod manifest;
mod platform;
mod policy;
mod quote;
mod refusal;
mod verify;

pub use certificate::{
    AttestedCertificate, ENDORSEMENTS_OID, EVIDENCE_OID, MAX_CERTIFICATE_BYTES, endorsements_extension,
    evidence_extension,
};
pub use claims::{Claims, Digest, PeerId, Role, key_hash, sealing_digest};
pub use dcap_qvl::TcbStatus;
pub use endorsements::{Endorsements, MAX_COLLATERAL_BYTES};
pub use manifest::{Manifest, ManifestError, PlatformRules};
pub use platform::{Attested, Attester, NotAttested, VIRTUAL_ROOT_DER};
pub use policy::{AllowedPlatform, MAX_VALIDITY_S, Measurements, Policy};
pub use quote::MAX_QUOTE_BYTES;
pub use refusal::Refusal;
pub use verify::{Evidence, Verified, verify};
