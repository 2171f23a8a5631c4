//! `/auth`: nonces, signing in, and taking tokens back, over HTTP.

use alloy_primitives::{Address, Bytes};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes as BodyBytes, Incoming},
};
use serde::{Deserialize, Serialize};

use super::{Auth, Granted, Refusal, Session, nonces::NONCE_SECONDS};
use crate::{
    http::{json, refused},
    padding::Lengths,
};

/// Largest body: a message, and a signature in hexadecimal.
const MAX_BODY_BYTES: usize = 64 * 1024;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    SignIn,
    Nonce,
    Revoke,
    /// Nothing that exists.
    Unknown,
}

impl Endpoint {
    /// The endpoint at a path; `None` for paths that are not about signing in.
    pub(crate) fn at(path: &str) -> Option<Self> {
        match path.strip_prefix("/auth")? {
            "" | "/" => Some(Self::SignIn),
            "/nonce" => Some(Self::Nonce),
            "/revoke" => Some(Self::Revoke),
            rest => rest.starts_with('/').then_some(Self::Unknown),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SignInBody {
    message: String,
    signature: Bytes,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NonceAnswer {
    nonce: String,
    chain_id: u64,
    valid_seconds: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SignInAnswer<'a> {
    token: &'a str,
    accounts: &'a [Address],
    /// Block time, seconds since 1970.
    expires_at: u64,
}

#[derive(Serialize)]
struct RevokeAnswer {
    revoked: bool,
}

/// Answers a request about signing in. `session` is what it presents already.
pub(crate) async fn answer(
    auth: &Auth,
    endpoint: Endpoint,
    session: Option<&Session>,
    request: Request<Incoming>,
    lengths: Lengths,
) -> Response<Full<BodyBytes>> {
    match respond(auth, endpoint, session, request).await {
        Ok(body) => json(StatusCode::OK, lengths.pad(body)),
        Err(refusal) => refused(refusal, lengths),
    }
}

async fn respond(
    auth: &Auth,
    endpoint: Endpoint,
    session: Option<&Session>,
    request: Request<Incoming>,
) -> Result<Vec<u8>, Refusal> {
    let is_post = *request.method() == Method::POST;
    match endpoint {
        Endpoint::Unknown => Err(Refusal::NotFound),
        Endpoint::Nonce if is_post || *request.method() == Method::GET => {
            let (nonce, chain_id) = (auth.nonce()?, auth.chain_id());
            text(&NonceAnswer { nonce, chain_id, valid_seconds: NONCE_SECONDS })
        }
        Endpoint::SignIn if is_post => {
            let SignInBody { message, signature } = read(request).await?;
            let Granted { session, token } = auth.sign_in(&message, signature, session).await?;
            text(&SignInAnswer { token: &token, accounts: &session.accounts, expires_at: session.expires_s })
        }
        Endpoint::Revoke if is_post => {
            auth.revoke(session.ok_or(Refusal::TokenMissing)?).await?;
            text(&RevokeAnswer { revoked: true })
        }
        Endpoint::Nonce | Endpoint::SignIn | Endpoint::Revoke => Err(Refusal::Method),
    }
}

async fn read(request: Request<Incoming>) -> Result<SignInBody, Refusal> {
    let body = Limited::new(request.into_body(), MAX_BODY_BYTES)
        .collect()
        .await
        .map_err(|error| if error.is::<LengthLimitError>() { Refusal::BodyTooLarge } else { Refusal::Body })?;
    serde_json::from_slice(&body.to_bytes()).map_err(|_| Refusal::Body)
}

/// Plain data: writing it cannot fail.
fn text(answer: &impl Serialize) -> Result<Vec<u8>, Refusal> {
    serde_json::to_vec(answer).map_err(|_| Refusal::Unavailable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_about_signing_in_are_known_and_no_others() {
        for (path, endpoint) in [
            ("/auth", Some(Endpoint::SignIn)),
            ("/auth/", Some(Endpoint::SignIn)),
            ("/auth/nonce", Some(Endpoint::Nonce)),
            ("/auth/revoke", Some(Endpoint::Revoke)),
            ("/auth/other", Some(Endpoint::Unknown)),
            ("/author", None),
            ("/", None),
        ] {
            assert_eq!(Endpoint::at(path), endpoint, "{path}");
        }
    }
}
