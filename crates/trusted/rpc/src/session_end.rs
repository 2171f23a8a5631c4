//! How a subscription hears that the session it was made in is over.

use tokio::sync::watch;

/// The end of the session that a WebSocket was opened with; never, without one. The shell puts it into the request's
/// extensions.
#[derive(Clone, Debug, Default)]
pub struct SessionEnd(Option<watch::Receiver<bool>>);

impl SessionEnd {
    /// Comes when `ended` turns true.
    #[must_use]
    pub const fn new(ended: watch::Receiver<bool>) -> Self {
        Self(Some(ended))
    }

    /// Waits for it.
    pub(crate) async fn ended(mut self) {
        if let Some(ended) = &mut self.0
            && ended.wait_for(|ended| *ended).await.is_ok()
        {
            return;
        }
        // Nobody is left who could say so: the node is stopping, and ends the connection itself.
        core::future::pending().await
    }
}
