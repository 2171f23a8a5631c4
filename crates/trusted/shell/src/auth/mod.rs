//! Who a client is: signing in with accounts (EIP-4361, EIP-1271), and the tokens of sessions.
//!
//! The rules are in [`sessions`] and what it is made of, without time, randomness or I/O of their own; this is the edge
//! that gives them time, randomness and the chain.

mod budget;
mod check;
mod endpoint;
mod message;
mod nonces;
mod presented;
mod refusal;
mod revocations;
mod sessions;
mod token;

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
};

use alloy_primitives::{Address, B256, Bytes};
use cloister_rpc::{SessionEnd, signatures::SignatureFault};
use tokio::{sync::watch, time::Instant};

use crate::entropy::PlatformEntropy;

pub(crate) use budget::Budget;
pub(crate) use check::Present;
pub(crate) use endpoint::{Endpoint, answer};
pub(crate) use presented::{Carriage, Presented};
pub(crate) use refusal::Refusal;
pub(crate) use revocations::Revocations;
pub(crate) use sessions::Sessions;
pub(crate) use token::Session;

/// Requests about signing in that one connection may make: at once, and in a second.
const PER_CONNECTION: Budget = Budget::new(64, 4);
/// The same for all connections together. What a flood of them costs is bounded, and so is what it leaves behind.
const TOGETHER: Budget = Budget::new(2_000, 500);

/// The verdict on a signature, on its way.
pub(crate) type Verdict = Pin<Box<dyn Future<Output = Result<(), Refusal>> + Send>>;

/// What signing in needs of the node.
pub(crate) struct Surroundings {
    /// What time it is.
    pub(crate) clock: Box<dyn Fn() -> Present + Send + Sync>,
    /// Whether an account signed a digest.
    pub(crate) signed: Box<dyn Fn(Address, B256, Bytes) -> Verdict + Send + Sync>,
    /// Keeps notes over a restart.
    pub(crate) keeps: Box<dyn Fn(Vec<u8>) -> Verdict + Send + Sync>,
}

/// Signs clients in, and knows them by their tokens.
pub(crate) struct Auth {
    sessions: Sessions,
    surroundings: Surroundings,
    budget: Mutex<Budget>,
    started: Instant,
    /// Told whenever a session may have ended.
    changes: watch::Sender<()>,
    /// How many revocations the notes that are kept tell of.
    kept: tokio::sync::Mutex<u64>,
}

impl core::fmt::Debug for Auth {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Auth").finish_non_exhaustive()
    }
}

/// A session that was granted.
pub(crate) struct Granted {
    pub(crate) session: Session,
    pub(crate) token: String,
}

impl Auth {
    pub(crate) fn new(sessions: Sessions, surroundings: Surroundings) -> Self {
        let changes = watch::channel(()).0;
        let (budget, kept) = (Mutex::new(TOGETHER), tokio::sync::Mutex::default());
        Self { sessions, surroundings, budget, started: Instant::now(), changes, kept }
    }

    /// What a new connection may ask for.
    pub(crate) const fn connection_budget() -> Budget {
        PER_CONNECTION
    }

    /// Counts one request about signing in.
    ///
    /// # Errors
    /// [`Refusal::TooMany`].
    pub(crate) fn admit(&self, connection: &Mutex<Budget>) -> Result<(), Refusal> {
        self.admit_at(connection, u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    fn admit_at(&self, connection: &Mutex<Budget>, now_ms: u64) -> Result<(), Refusal> {
        let take = |budget: &Mutex<Budget>| budget.lock().unwrap_or_else(PoisonError::into_inner).take(now_ms);
        if take(connection) && take(&self.budget) { Ok(()) } else { Err(Refusal::TooMany) }
    }

    fn present(&self) -> Present {
        (self.surroundings.clock)()
    }

    /// A nonce for one message.
    pub(crate) fn nonce(&self) -> Result<String, Refusal> {
        self.sessions.nonce(self.present(), &mut PlatformEntropy)
    }

    pub(crate) const fn chain_id(&self) -> u64 {
        self.sessions.chain_id()
    }

    pub(crate) fn are_tokens_in_path(&self) -> bool {
        self.sessions.are_tokens_in_path()
    }

    /// Signs one account in: to a session of its own, or to an earlier one.
    pub(crate) async fn sign_in(
        &self,
        message: &str,
        signature: Bytes,
        earlier: Option<&Session>,
    ) -> Result<Granted, Refusal> {
        let claim = self.sessions.claim(message, self.present(), &mut PlatformEntropy)?;
        (self.surroundings.signed)(claim.account, claim.digest, signature).await?;
        let present = self.present();
        if let Some(earlier) = earlier {
            // It may have ended while the signature was checked.
            self.sessions.check(earlier, present)?;
        }
        let session = self.sessions.grant(claim, earlier, present, &mut PlatformEntropy)?;
        Ok(Granted { token: self.sessions.token(&session), session })
    }

    /// The session of a token.
    pub(crate) fn session(&self, token: &str) -> Result<Session, Refusal> {
        self.sessions.session(token, self.present())
    }

    /// Ends a session before its time: at once here, and, once this is done, after a restart as well.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`] if it could not be kept: whoever asks for it again tries again.
    pub(crate) async fn revoke(&self, session: &Session) -> Result<(), Refusal> {
        let revoked = self.sessions.revoke(session, self.present());
        self.changed();
        // One at a time: whoever waited finds that the last one has kept his as well.
        let mut kept = self.kept.lock().await;
        if *kept < revoked {
            let (count, notes) = self.sessions.notes();
            (self.surroundings.keeps)(notes).await?;
            *kept = count;
        }
        Ok(())
    }

    /// To be called when a block was committed: time has passed.
    pub(crate) fn changed(&self) {
        self.changes.send_replace(());
    }
}

/// The session that a WebSocket was opened with, as long as it lasts.
#[derive(Clone, Debug)]
pub(crate) struct LiveSession {
    auth: Arc<Auth>,
    session: Arc<Session>,
}

impl LiveSession {
    pub(crate) const fn new(auth: Arc<Auth>, session: Arc<Session>) -> Self {
        Self { auth, session }
    }

    /// Whether it still lasts.
    ///
    /// # Errors
    /// Why not.
    pub(crate) fn check(&self) -> Result<(), Refusal> {
        self.auth.sessions.check(&self.session, self.auth.present())
    }

    /// Tells subscriptions when it is over, for as long as anyone listens.
    pub(crate) fn follow(&self) -> SessionEnd {
        let (over, end) = watch::channel(false);
        let (live, mut changes) = (self.clone(), self.auth.changes.subscribe());
        tokio::spawn(async move {
            while live.check().is_ok() {
                tokio::select! {
                    () = over.closed() => return,
                    changed = changes.changed() => if changed.is_err() { return },
                }
            }
            over.send_replace(true);
            // Until everybody has heard it.
            over.closed().await;
        });
        SessionEnd::new(end)
    }
}

/// From the methods' word on a signature to ours.
pub(crate) fn verdict<E>(checked: Result<Result<(), SignatureFault>, E>) -> Result<(), Refusal> {
    checked.map_err(|_| Refusal::Unavailable)?.map_err(Refusal::from)
}

#[cfg(test)]
#[path = "auth_tests.rs"]
#[allow(clippy::unwrap_used)]
pub(crate) mod tests;
