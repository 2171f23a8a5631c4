//! Why a client could not do what it was asked to.

use cloister_attestation::Refusal;
use thiserror::Error;

/// Why a client could not do what it was asked to.
#[derive(Debug, Error)]
pub enum ClientError {
    /// The URL of the node is not one.
    #[error("{url:?} is no URL of a node; expected one like http://127.0.0.1:8545")]
    Url {
        /// What was given.
        url: String,
    },
    /// The URL asks for TLS, and nothing says whose evidence to take.
    #[error(
        "{url} speaks TLS, and nothing says which enclaves to take for the network's: name its --manifest or --genesis"
    )]
    NoManifest {
        /// What was given.
        url: String,
    },
    /// A manifest asks for evidence, and plain HTTP carries none.
    #[error("{url} is plain HTTP, which carries no evidence of an enclave: with a manifest only https:// is taken")]
    InTheClear {
        /// What was given.
        url: String,
    },
    /// Plain HTTP to another machine.
    #[error(
        "{url} is plain HTTP to another machine: who is in between reads and changes everything; use https:// and the \
         network's --manifest or --genesis"
    )]
    Exposed {
        /// What was given.
        url: String,
    },
    /// Who answers is no enclave of the network.
    #[error("{authority} is not taken for a node of the network: {refusal} ({})", refusal.reason())]
    Evidence {
        /// Whom was asked.
        authority: String,
        /// What is wrong with the evidence.
        refusal: Refusal,
    },
    /// Who answers does not speak the TLS of a node.
    #[error("no TLS 1.3 with {authority}: {reason}")]
    NoTls {
        /// Whom was asked.
        authority: String,
        /// What went wrong.
        reason: String,
    },
    /// A private key is not one. What was given is not repeated.
    #[error("a private key is 32 bytes in hexadecimal, and not zero")]
    Key,
    /// Nobody answers.
    #[error("no answer from {authority}: {reason}")]
    NoAnswer {
        /// Whom was asked.
        authority: String,
        /// What went wrong.
        reason: String,
    },
    /// What answers is no node of this kind.
    #[error("{authority} answers, but not as a Cloister node does")]
    NotANode {
        /// Who answers.
        authority: String,
    },
    /// The node refuses.
    #[error("the node refuses: {message}{}", in_parentheses(reason))]
    Refused {
        /// Its JSON-RPC error code.
        code: i64,
        /// Its words.
        message: String,
        /// The stable name of the reason; empty where the node gives none.
        reason: String,
    },
    /// The node has no key to seal for.
    #[error("the node has no usable sealing key of the suite {suite}")]
    Suite {
        /// The suite that was asked for.
        suite: &'static str,
    },
    /// An auditor says that he is going to ask what he may not.
    #[error("no audit that is granted to this account covers that")]
    AuditNotGranted,
    /// An auditor asks what he did not say, or more often than he said.
    #[error("the node refuses: {message}")]
    AuditNotInUse {
        /// Its words.
        message: String,
    },
    /// More than an envelope carries.
    #[error("the transaction is too large to be sealed")]
    Oversized,
    /// The clock of this machine shows a time that cannot be written down.
    #[error("this machine's clock shows no time that a message can carry")]
    Clock,
}

fn in_parentheses(reason: &str) -> String {
    if reason.is_empty() { String::new() } else { format!(" ({reason})") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_its_reason_where_there_is_one() {
        let refused = |reason: &str| ClientError::Refused {
            code: -32045,
            message: "sealed transaction refused".to_owned(),
            reason: reason.to_owned(),
        };
        assert_eq!(refused("").to_string(), "the node refuses: sealed transaction refused");
        assert_eq!(refused("stale").to_string(), "the node refuses: sealed transaction refused (stale)");
    }
}
