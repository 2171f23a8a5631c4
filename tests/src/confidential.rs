//! Ways for unmodified clients to a confidential chain, as somebody who has signed in.

use crate::gateway::Gateway;
use crate::node::{Node, NodeOptions, Target};
use crate::sign_in::{bearer, sign_in, token};
use crate::tools::Tool;
use crate::transactions::signer;

/// How a client shows who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// With a token in a header of each request.
    Header,
    /// With a token in the path of the URL.
    Path,
    /// Not at all: a gateway does.
    Gateway,
}

/// A confidential chain, and a way to it for the first development account.
#[derive(Debug)]
pub struct Reach {
    /// The node.
    pub node: Node,
    /// What clients are pointed at.
    pub url: String,
    /// `Authorization` of each request, where it is theirs to send.
    pub authorization: Option<String>,
    _gateway: Option<Gateway>,
}

impl Reach {
    /// A new chain, and this way to it.
    #[must_use]
    pub fn by(way: Way) -> Self {
        let options = NodeOptions { extra: vec!["--confidential".into()], ..NodeOptions::default() };
        let node = Node::start(Target::TwoProcess, &options);
        let signed_in = || token(&sign_in(node.address(), &signer(0), None));
        let (url, authorization, gateway) = match way {
            Way::Header => (node.http_url(), Some(bearer(&signed_in())), None),
            Way::Path => (format!("{}/t/{}", node.http_url().trim_end_matches('/'), signed_in()), None, None),
            Way::Gateway => {
                let gateway = Gateway::start(&node.http_url(), &[]);
                (gateway.url(), None, Some(gateway))
            }
        };
        Self { node, url, authorization, _gateway: gateway }
    }

    /// Tells a client's suite where to go, and where strangers go.
    #[must_use]
    pub fn point(&self, tool: Tool) -> Tool {
        let tool = tool.with("RPC_URL", &self.url).with("PUBLIC_URL", self.node.http_url());
        match &self.authorization {
            Some(authorization) => tool.with("AUTHORIZATION", authorization),
            None => tool,
        }
    }
}
