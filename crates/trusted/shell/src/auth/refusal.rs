//! Why a sign-in, a token or a request about them is refused: a stable reason, a code, an HTTP status.

use cloister_primitives::Code;
use cloister_rpc::signatures::SignatureFault;
use hyper::StatusCode;
use jsonrpsee::types::ErrorObjectOwned;
use serde::Serialize;

use super::message::Field;

/// A refusal. Nothing in it was not sent by the client or is not in genesis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("this network's genesis names no site to sign in to")]
    NotConfigured,
    #[error("the {} of the message is not as EIP-4361 has it", .0.name())]
    Message(Field),
    #[error("the message names another domain")]
    Domain,
    #[error("the message names another URI")]
    Uri,
    #[error("the message is for another chain")]
    ChainId,
    #[error("the nonce was not issued by this node")]
    NonceUnknown,
    #[error("the nonce is older than five minutes")]
    NonceExpired,
    #[error("the nonce was used before")]
    NonceUsed,
    #[error("the message is issued in the future")]
    IssuedInFuture,
    #[error("the message's expiration time has passed")]
    MessageExpired,
    #[error("the message is not valid yet")]
    NotYetValid,
    #[error("the signature is longer than a signature may be")]
    SignatureTooLong,
    #[error("the signature's s is in the upper half of the curve's order")]
    SignatureMalleable,
    #[error("the signature is not that of the account")]
    SignatureWrong,
    #[error("a session has no room for another account")]
    TooManyAccounts,
    #[error("{}", Code::SessionInvalid)]
    TokenInvalid,
    #[error("{}", Code::SessionExpired)]
    TokenExpired,
    #[error("{}", Code::SessionRevoked)]
    TokenRevoked,
    #[error("a session token is needed here")]
    TokenMissing,
    #[error("{}", Code::PathTokenRefused)]
    PathToken,
    #[error("too many requests to sign in")]
    TooMany,
    #[error("the body is not the JSON object that is expected here")]
    Body,
    #[error("the body is too large")]
    BodyTooLarge,
    #[error("nothing is here")]
    NotFound,
    #[error("the HTTP method is not allowed here")]
    Method,
    #[error("{}", Code::Unavailable)]
    Unavailable,
}

/// `data` of the error object.
#[derive(Serialize)]
struct Reason {
    reason: &'static str,
}

impl Refusal {
    /// A stable name of the reason, for programs.
    pub(crate) const fn reason(self) -> &'static str {
        match self {
            Self::NotConfigured => "not-configured",
            Self::Message(_) => "message",
            Self::Domain => "domain",
            Self::Uri => "uri",
            Self::ChainId => "chain-id",
            Self::NonceUnknown => "nonce-unknown",
            Self::NonceExpired => "nonce-expired",
            Self::NonceUsed => "nonce-used",
            Self::IssuedInFuture => "issued-in-future",
            Self::MessageExpired => "message-expired",
            Self::NotYetValid => "not-yet-valid",
            Self::SignatureTooLong => "signature-too-long",
            Self::SignatureMalleable => "signature-malleable",
            Self::SignatureWrong => "signature-wrong",
            Self::TooManyAccounts => "too-many-accounts",
            Self::TokenInvalid => "token-invalid",
            Self::TokenExpired => "token-expired",
            Self::TokenRevoked => "token-revoked",
            Self::TokenMissing => "token-missing",
            Self::PathToken => "path-token",
            Self::TooMany => "too-many-requests",
            Self::Body => "body",
            Self::BodyTooLarge => "body-too-large",
            Self::NotFound => "not-found",
            Self::Method => "method",
            Self::Unavailable => "unavailable",
        }
    }

    const fn code(self) -> Code {
        match self {
            Self::TokenInvalid | Self::TokenMissing => Code::SessionInvalid,
            Self::TokenExpired => Code::SessionExpired,
            Self::TokenRevoked => Code::SessionRevoked,
            Self::PathToken => Code::PathTokenRefused,
            Self::TooMany => Code::LimitExceeded,
            Self::Body | Self::BodyTooLarge | Self::NotFound | Self::Method => Code::InvalidRequest,
            Self::Unavailable => Code::Unavailable,
            _ => Code::SignInRefused,
        }
    }

    /// The status of an HTTP answer.
    pub(crate) const fn status(self) -> StatusCode {
        match self {
            Self::TokenInvalid | Self::TokenExpired | Self::TokenRevoked | Self::TokenMissing | Self::PathToken => {
                StatusCode::UNAUTHORIZED
            }
            Self::TooMany => StatusCode::TOO_MANY_REQUESTS,
            Self::Body | Self::Message(_) => StatusCode::BAD_REQUEST,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::FORBIDDEN,
        }
    }

    /// As a JSON-RPC error: the code's number, what is wrong, and the reason as data.
    pub(crate) fn error(self) -> ErrorObjectOwned {
        let reason = Reason { reason: self.reason() };
        ErrorObjectOwned::owned(self.code().rpc_number(), self.to_string(), Some(reason))
    }
}

impl From<SignatureFault> for Refusal {
    fn from(fault: SignatureFault) -> Self {
        match fault {
            SignatureFault::TooLong => Self::SignatureTooLong,
            SignatureFault::Malleable => Self::SignatureMalleable,
            SignatureFault::NotOfAccount => Self::SignatureWrong,
        }
    }
}
