//! `cloister gateway` in front of a node.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};

use crate::node::binary;
use crate::rpc::RpcClient;
use crate::transactions::KEYS;

/// A running gateway; killed when it is dropped.
#[derive(Debug)]
pub struct Gateway {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
    /// Keeps its standard output open.
    _output: BufReader<ChildStdout>,
    /// Asks it.
    pub rpc: RpcClient,
}

impl Gateway {
    /// For the first development account, in front of what listens at `node`.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn start(node: SocketAddr, arguments: &[&str]) -> Self {
        let mut command = Command::new(binary("cloister"));
        command.args(["gateway", "--url", &format!("http://{node}"), "--listen", "127.0.0.1:0", "--key", "env:KEY"]);
        command.args(arguments).env("KEY", KEYS[0]).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the gateway starts");
        let mut output = BufReader::new(child.stdout.take().expect("a pipe"));
        let address = loop {
            let mut line = String::new();
            assert_ne!(output.read_line(&mut line).expect("it can be read"), 0, "the gateway ended");
            if let Some(address) = line.trim().strip_prefix("Listening on http://") {
                break address.parse().expect("an address");
            }
        };
        Self { child, address, _output: output, rpc: RpcClient::new(address) }
    }

    /// Its URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Its process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// If the system cannot say how it ended.
    #[must_use]
    pub fn wait(mut self) -> ExitStatus {
        self.child.wait().expect("it ends")
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
