//! `cloister gateway` under test, and a wire that keeps what passes.

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use crate::node::binary;
use crate::rpc::RpcClient;
use crate::transactions::KEYS;

/// A running gateway; killed when it is dropped.
#[derive(Debug)]
pub struct Gateway {
    child: Child,
    address: SocketAddr,
    announcement: String,
    /// Keeps its standard output open.
    _output: BufReader<ChildStdout>,
    /// Speaks to it.
    pub rpc: RpcClient,
}

impl Gateway {
    /// For the first development account, in front of the node at `url`.
    ///
    /// # Panics
    /// If it does not begin to listen; with what it says.
    #[must_use]
    pub fn start(url: &str, arguments: &[&str]) -> Self {
        Self::try_start(url, arguments).unwrap_or_else(|words| panic!("the gateway ended: {words}"))
    }

    /// Starts a gateway that may refuse to.
    ///
    /// # Errors
    /// What it says on standard error.
    ///
    /// # Panics
    /// If it cannot be run.
    pub fn try_start(url: &str, arguments: &[&str]) -> Result<Self, String> {
        let mut command = Command::new(binary("cloister"));
        command.args(["gateway", "--url", url, "--listen", "127.0.0.1:0", "--key", "env:KEY"]);
        command.args(arguments).env("KEY", KEYS[0]).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the gateway starts");
        let mut output = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut announcement = String::new();
        let address = loop {
            let mut line = String::new();
            if output.read_line(&mut line).expect("it can be read") == 0 {
                let words = child.wait_with_output().expect("it ends").stderr;
                return Err(String::from_utf8_lossy(&words).into_owned());
            }
            if let Some(address) = line.trim().strip_prefix("Listening on http://") {
                break address.parse().expect("an address");
            }
            announcement += &line;
        };
        Ok(Self { child, address, announcement, _output: output, rpc: RpcClient::new(address) })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it said before it listened.
    #[must_use]
    pub fn announcement(&self) -> &str {
        &self.announcement
    }

    /// Its process.
    pub const fn process(&mut self) -> &mut Child {
        &mut self.child
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Passes bytes to and from a node, and keeps them.
#[derive(Debug)]
pub struct Wire {
    /// Where clients connect to.
    pub address: SocketAddr,
    kept: Kept,
}

/// What passed on each connection, each way.
type Kept = Arc<Mutex<Vec<[Vec<u8>; 2]>>>;

impl Wire {
    /// A wire to `node`.
    ///
    /// # Panics
    /// If there is no free port.
    #[must_use]
    pub fn tap(node: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("an address");
        let kept = Kept::default();
        let keep = kept.clone();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(node) else { continue };
                let ways = [(client.try_clone(), server.try_clone()), (Ok(server), Ok(client))];
                let number = {
                    let mut kept = keep.lock().unwrap_or_else(PoisonError::into_inner);
                    kept.push(Default::default());
                    kept.len() - 1
                };
                for (way, (from, to)) in ways.into_iter().enumerate() {
                    let (Ok(from), Ok(to)) = (from, to) else { continue };
                    let keep = keep.clone();
                    thread::spawn(move || {
                        pump(from, to, |bytes| {
                            let mut kept = keep.lock().unwrap_or_else(PoisonError::into_inner);
                            kept[number][way].extend_from_slice(bytes);
                        });
                    });
                }
            }
        });
        Self { address, kept }
    }

    /// What clients said, as text.
    #[must_use]
    pub fn heard(&self) -> String {
        let said: Vec<u8> = self.kept().into_iter().flat_map(|[said, _]| said).collect();
        String::from_utf8_lossy(&said).into_owned()
    }

    /// What passed on each connection: from the client, and from the node.
    #[must_use]
    pub fn kept(&self) -> Vec<[Vec<u8>; 2]> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn pump(mut from: TcpStream, mut to: TcpStream, mut see: impl FnMut(&[u8])) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        see(&buffer[..length]);
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}
