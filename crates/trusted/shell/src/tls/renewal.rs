//! A certificate in time: evidence names the sealing keys, so there is a new one, with a new key, whenever those
//! change.

use std::{sync::Arc, time::Duration};

use cloister_access::Caller;
use cloister_attestation::{Attester, PeerId, Role, sealing_digest};
use cloister_core::{RequestBody, Response, SealingOffer};
use cloister_keys::SEALING_EPOCH_MS;
use cloister_rpc::CoreHandle;
use rcgen::KeyPair;
use rustls::sign::CertifiedKey;
use tokio::sync::watch;

use super::{
    Current,
    certificate::{CertificateError, Certified, Subject, Validity},
};
use crate::offered::HostTime;

/// Clocks differ: a certificate holds from so long ago.
const SKEW_S: u64 = 300;
/// Pause before what failed is tried again.
const PAUSE: Duration = Duration::from_secs(5);
/// Least time between two certificates.
const LEAST: Duration = Duration::from_millis(100);

/// Keeps the certificate new.
#[derive(Debug)]
pub(crate) struct Renewal {
    pub(crate) core: CoreHandle,
    pub(crate) attester: Arc<Attester>,
    pub(crate) subject: Subject,
    pub(crate) host_time: HostTime,
}

impl Renewal {
    /// Makes the first certificate, and keeps making new ones for as long as somebody holds what is returned.
    ///
    /// # Errors
    /// [`CertificateError`] if there is not even a first one.
    pub(crate) async fn start(self) -> Result<Current, CertificateError> {
        let (first, until_next) = self.renewed().await?;
        let (sender, current) = watch::channel(Some(first));
        tokio::spawn(async move {
            let mut pause = until_next;
            loop {
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = sender.closed() => return,
                }
                pause = match self.renewed().await {
                    Ok((certificate, until_next)) => {
                        sender.send_replace(Some(certificate));
                        until_next
                    }
                    Err(CertificateError::Stopping) => return,
                    Err(error) => {
                        tracing::warn!("the certificate is not renewed: {error}");
                        PAUSE
                    }
                };
            }
        });
        Ok(Current(current))
    }

    /// A certificate for a new key, and when there should be another.
    async fn renewed(&self) -> Result<(Arc<CertifiedKey>, Duration), CertificateError> {
        let request = self.core.request(&Caller::Anonymous, RequestBody::SealingKeys);
        let Ok(Response::SealingKeys(offer)) = request.await else {
            return Err(CertificateError::Stopping);
        };
        let now_s = self.host_time.seconds();
        let validity = validity(now_s, &offer);
        let keys = offer.keys.keys.iter().map(|(suite, key)| (suite.number(), key.as_slice()));
        let certified =
            Certified { role: Role::Server, sealing_keys: sealing_digest(keys), peer: PeerId::NONE, validity };
        let (attester, subject) = (self.attester.clone(), self.subject);
        // Hardware takes its time.
        let made =
            tokio::task::spawn_blocking(move || certified.make(&attester, subject, &KeyPair::generate()?, now_s));
        let certificate = made.await.map_err(|_| CertificateError::Stopping)??;
        Ok((certificate, Duration::from_millis(offer.expires_in_ms).max(LEAST)))
    }
}

/// For as long as the sealing keys open what is sealed for them.
fn validity(now_s: u64, offer: &SealingOffer) -> Validity {
    let for_s = offer.expires_in_ms.saturating_add(SEALING_EPOCH_MS) / 1_000;
    Validity { from_s: now_s.saturating_sub(SKEW_S), until_s: now_s.saturating_add(for_s) }
}
