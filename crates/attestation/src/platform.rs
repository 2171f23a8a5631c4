//! Who makes quotes, seen from the enclave.

use std::sync::Arc;

use cloister_primitives::PlatformName;

use crate::claims::Digest;
use crate::endorsements::Endorsements;
use crate::quote::cut;

/// The certificate of the root under which the virtual platform makes its quotes. Everybody has its key: what it
/// certifies is the format, and nothing else.
pub const VIRTUAL_ROOT_DER: &[u8] = include_bytes!("../roots/virtual.der");

/// A quote and its collateral, as a platform gives them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attested {
    /// The quote.
    pub quote: Vec<u8>,
    /// What it is verified with.
    pub endorsements: Endorsements,
}

/// The platform gives no quote.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the platform gives no quote: {0}")]
pub struct NotAttested(pub String);

type Attest = dyn Fn(&Digest, u64) -> Result<Attested, NotAttested> + Send + Sync;

/// The platform that an enclave runs on. Each binary brings the one that it was built for.
#[derive(Clone)]
pub struct Attester {
    platform: PlatformName,
    attest: Arc<Attest>,
}

impl Attester {
    /// A platform that makes quotes by `attest`, from their `report_data` and the seconds since 1970.
    #[must_use]
    pub fn new(
        platform: PlatformName,
        attest: impl Fn(&Digest, u64) -> Result<Attested, NotAttested> + Send + Sync + 'static,
    ) -> Self {
        Self { platform, attest: Arc::new(attest) }
    }

    /// Which it is.
    #[must_use]
    pub const fn platform(&self) -> PlatformName {
        self.platform
    }

    /// A quote of this program that carries `report_data`.
    ///
    /// # Errors
    /// [`NotAttested`].
    pub fn attest(&self, report_data: &Digest, now_s: u64) -> Result<Attested, NotAttested> {
        let attested = (self.attest)(report_data, now_s)?;
        let quote = cut(&attested.quote).ok_or_else(|| NotAttested("what it gives is none".to_owned()))?;
        Ok(Attested { quote, ..attested })
    }
}

impl core::fmt::Debug for Attester {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Attester").field("platform", &self.platform).finish_non_exhaustive()
    }
}
