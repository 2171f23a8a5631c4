//! A node, the example contracts, and Foundry pointed at both.

use serde_json::Value;

use crate::node::{Node, NodeOptions, Target, receipt_of};
use crate::tools::{Output, Tool, Workspace};
use crate::transactions::KEYS;

/// A node, a copy of the contracts, and Foundry pointed at both.
#[derive(Debug)]
pub struct Scene {
    /// The node.
    pub node: Node,
    /// A copy of `contracts/`, compiled.
    pub workspace: Workspace,
    /// Where the node listens.
    pub url: String,
}

impl Scene {
    /// A node with default options.
    #[must_use]
    pub fn new(target: Target) -> Self {
        Self::with(target, &NodeOptions::default())
    }

    /// A node with these options.
    #[must_use]
    pub fn with(target: Target, options: &NodeOptions) -> Self {
        let node = Node::start(target, options);
        let url = node.http_url();
        Self { node, workspace: Workspace::contracts(), url }
    }

    /// One of Foundry's programs, which finds the node by itself.
    #[must_use]
    pub fn tool(&self, name: &str) -> Tool {
        self.workspace.foundry(name).with("ETH_RPC_URL", &self.url)
    }

    /// Runs `cast`.
    ///
    /// # Panics
    /// If it fails.
    #[must_use]
    pub fn cast(&self, arguments: &[&str]) -> Output {
        self.tool("cast").succeed(arguments)
    }

    /// `cast send` by the first development account; returns the receipt.
    ///
    /// # Panics
    /// If it fails, or the transaction does.
    pub fn send(&self, arguments: &[&str]) -> Value {
        let receipt = self.cast(&[&["send", "--json", "--private-key", KEYS[0]], arguments].concat()).json();
        assert_eq!(receipt["status"], "0x1", "{arguments:?}: {receipt}");
        receipt
    }

    /// `forge create` of an example by the first development account; returns the address.
    ///
    /// # Panics
    /// If it fails, or what it says is not what the node says.
    pub fn create(&self, contract: &str, value: &str, arguments: &[&str]) -> String {
        let source = format!("examples/src/{contract}.sol:{contract}");
        let start = [
            "create",
            &source,
            "--rpc-url",
            &self.url,
            "--private-key",
            KEYS[0],
            "--broadcast",
            "--json",
            "--value",
            value,
        ];
        let tail: Vec<&str> = if arguments.is_empty() { vec![] } else { [&["--constructor-args"], arguments].concat() };
        let created = self.tool("forge").succeed([start.as_slice(), &tail].concat()).json();
        let receipt = receipt_of(self.node.rpc(), &created["transactionHash"]);
        let address = created["deployedTo"].as_str().expect("forge create says where it deployed").to_owned();
        assert_eq!(receipt["status"], "0x1", "{receipt}");
        assert_eq!(receipt["contractAddress"].as_str().map(str::to_lowercase), Some(address.to_lowercase()));
        address
    }

    /// The example `Registry` with this salt and the label `example`.
    #[must_use]
    pub fn create_registry(&self, salt: &str) -> String {
        self.create("Registry", "0", &[salt, "example"])
    }
}
