//! Why evidence is not taken.

use cloister_primitives::PlatformName;

use crate::claims::Role;

/// Why evidence is not taken. Each kind has a stable [reason](Self::reason).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The certificate cannot be read.
    #[error("the certificate cannot be read")]
    Certificate,
    /// It is no enclave's certificate.
    #[error("the certificate carries no evidence of an enclave (extension 2.23.133.5.4.9)")]
    NoEvidence,
    /// The evidence is not what interoperable RA-TLS says.
    #[error("the evidence in the certificate cannot be read")]
    Evidence,
    /// The collateral is missing.
    #[error("the certificate carries no collateral for its evidence (extension 2.23.133.5.4.2)")]
    NoEndorsements,
    /// The collateral cannot be read.
    #[error("the collateral in the certificate cannot be read")]
    Endorsements,
    /// The claims cannot be read, or are written in another way than the one that there is.
    #[error("the claims in the evidence cannot be read")]
    Claims,
    /// The quote is cut short, or none.
    #[error("the quote cannot be read: it is cut short, or none")]
    Quote,
    /// Bytes that no signature covers and nobody looks at.
    #[error("the quote carries bytes that belong to nothing in it")]
    TrailingBytes,
    /// A version of quotes that is not taken.
    #[error("the quote is of version {found}; 4 and 5 are taken")]
    Version {
        /// The version found.
        found: u16,
    },
    /// Not of a trust domain.
    #[error("the quote is not of a TDX trust domain")]
    NotTdx,
    /// None of the roots that are known.
    #[error("the quote's certificates end at none of the roots that the network takes")]
    Root,
    /// A root that is known, and not taken.
    #[error("the evidence is of the platform \"{found}\", which the network does not take")]
    Platform {
        /// Whose it is.
        found: PlatformName,
    },
    /// A signature is wrong, of the quote or of what certifies it.
    #[error("a signature of the quote is wrong")]
    Signature,
    /// The collateral is not signed by who must sign it, or is another platform's.
    #[error("the collateral does not belong to the quote or is not signed by its issuer")]
    Collateral,
    /// The collateral, or a certificate, has had its time.
    #[error("the collateral of the quote, or a certificate of its platform, has expired")]
    CollateralExpired,
    /// The collateral, or a certificate, is from the future.
    #[error("the collateral of the quote, or a certificate of its platform, is not valid yet")]
    CollateralNotYetValid,
    /// The platform's certificate, or its TCB level, was revoked.
    #[error("the platform of the quote has been revoked")]
    Revoked,
    /// The platform's state is one that the network does not take.
    #[error("the platform's TCB status is {found}, which the network does not take")]
    TcbStatus {
        /// The status found.
        found: String,
    },
    /// The trust domain can be debugged: its host reads its memory.
    #[error("the quote is of a trust domain under debug, whose memory its host can read")]
    Debug,
    /// The trust domain has an attribute that none may have.
    #[error("the quote is of a trust domain with attributes that are not taken")]
    Attributes,
    /// Another program.
    #[error("the program measured is none of those that the network takes: its MRTD is 0x{mrtd}")]
    Measurement {
        /// The measurement found, in hexadecimal.
        mrtd: String,
    },
    /// The quote vouches for other claims.
    #[error("the quote does not vouch for the claims beside it")]
    ReportData,
    /// A key for something else.
    #[error("the key is a {found}'s, not a {expected}'s")]
    Role {
        /// What it is for.
        found: Role,
        /// What it should be for.
        expected: Role,
    },
    /// Another chain.
    #[error("the enclave runs the chain {found}, not {expected}")]
    Chain {
        /// Its chain id.
        found: u64,
        /// The chain id expected.
        expected: u64,
    },
    /// Another chain of the same id.
    #[error("the enclave runs a chain with another genesis")]
    Genesis,
    /// Other rules on the same genesis block.
    #[error("the enclave runs the chain under other rules than the network's")]
    Rules,
    /// Another key than the one that the connection is made with.
    #[error("the evidence vouches for another TLS key than the certificate's")]
    TlsKey,
    /// Other sealing keys than those that the node answers.
    #[error("the evidence vouches for other sealing keys than those that the node answers")]
    SealingKeys,
    /// Another node.
    #[error("the evidence is another node's")]
    Peer,
    /// Not valid yet.
    #[error("the evidence is not valid yet: this machine's clock or the node's is wrong")]
    NotYetValid,
    /// No longer valid.
    #[error("the evidence has expired")]
    Expired,
    /// Valid for longer than evidence may be.
    #[error("the evidence is valid for longer than evidence may be")]
    Validity,
    /// Made for another occasion.
    #[error("the evidence was made for another occasion: its nonce is another")]
    Nonce,
}

impl Refusal {
    /// The stable name of the reason.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Certificate => "certificate-malformed",
            Self::NoEvidence => "no-evidence",
            Self::Evidence => "evidence-malformed",
            Self::NoEndorsements => "no-collateral",
            Self::Endorsements => "collateral-malformed",
            Self::Claims => "claims-malformed",
            Self::Quote => "quote-malformed",
            Self::TrailingBytes => "quote-trailing-bytes",
            Self::Version { .. } => "quote-version",
            Self::NotTdx => "quote-not-tdx",
            Self::Root => "unknown-root",
            Self::Platform { .. } => "platform-not-taken",
            Self::Signature => "wrong-signature",
            Self::Collateral => "wrong-collateral",
            Self::CollateralExpired => "collateral-expired",
            Self::CollateralNotYetValid => "collateral-not-yet-valid",
            Self::Revoked => "platform-revoked",
            Self::TcbStatus { .. } => "tcb-status",
            Self::Debug => "debug",
            Self::Attributes => "attributes",
            Self::Measurement { .. } => "measurement",
            Self::ReportData => "report-data",
            Self::Role { .. } => "role",
            Self::Chain { .. } => "chain-id",
            Self::Genesis => "genesis",
            Self::Rules => "rules",
            Self::TlsKey => "tls-key",
            Self::SealingKeys => "sealing-keys",
            Self::Peer => "peer-id",
            Self::NotYetValid => "not-yet-valid",
            Self::Expired => "expired",
            Self::Validity => "validity-too-long",
            Self::Nonce => "nonce",
        }
    }
}
