//! A platform without hardware: quotes in the format of Intel TDX under a root whose key everybody has.
//!
//! **Duty.** Makes what a TDX machine and its maker would: a quote over the `report_data` given, the certificates of
//! its processor, TCB info, identity of the quoting enclave, revocation lists. The code that verifies them is the one
//! that real evidence takes; only the root differs.
//!
//! **Trusts.** Nobody needs to: whoever runs it could as well say that another program runs. It shows that the pieces
//! fit, in development, in tests, and on networks that rest on nothing but the honesty of their operators.
//!
//! **Invariants.** Nothing secret is in here: the keys below the root are drawn for each quote and forgotten.
//!
//! **Not here.** The root's certificate (`cloister-attestation`), the TLS key and what is bound to it (the shell). A
//! binary for real hardware links another platform in this one's place.

mod collateral;
mod machine;
mod measure;
mod quote;

use std::sync::OnceLock;

use cloister_attestation::{Attested, Attester, Digest, NotAttested};
use cloister_primitives::PlatformName;

pub use machine::{Machine, QuoteVersion, Root, Standing};
pub use measure::{measure_file, measure_running};

/// Why the virtual platform makes no quote.
#[derive(Debug, thiserror::Error)]
pub enum VirtualError {
    /// A certificate, a key or a list cannot be made.
    #[error("a certificate cannot be made: {0}")]
    Certificate(#[from] rcgen::Error),
    /// What is signed cannot be written down.
    #[error("collateral cannot be written: {0}")]
    Json(#[from] serde_json::Error),
    /// A time beyond what certificates can say.
    #[error("the time is beyond what certificates can say")]
    Time,
    /// A signature that is none.
    #[error("a signature cannot be read")]
    Signature,
}

/// Makes a quote of `machine` that carries `report_data`, and its collateral.
///
/// # Errors
/// [`VirtualError`].
pub fn attest(machine: &Machine, report_data: &Digest) -> Result<Attested, VirtualError> {
    let maker = collateral::Maker::new(machine)?;
    let quote = quote::make(machine, &maker, report_data)?;
    Ok(Attested { quote, endorsements: maker.endorsements(machine)? })
}

/// The virtual platform under the program that runs, which is measured when evidence of it is first asked for.
#[must_use]
pub fn attester() -> Attester {
    let measured = OnceLock::new();
    Attester::new(PlatformName::Virtual, move |report_data, now_s| {
        let unread = |error: std::io::Error| NotAttested(format!("the program cannot be measured: {error}"));
        let measurement = match measured.get() {
            Some(measurement) => *measurement,
            None => {
                let measurement = measure_running().map_err(unread)?;
                *measured.get_or_init(|| measurement)
            }
        };
        attest(&Machine::running(measurement, now_s), report_data).map_err(|error| NotAttested(error.to_string()))
    })
}
