//! TCP between the nodes of a network, which can be held back one way at a time.
//!
//! Nothing is lost: what is held back arrives later, as it does where TCP repeats what a broken network swallowed.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use cloister_benches::cluster::Cluster;

/// Lets bytes pass, or not.
#[derive(Debug, Default)]
struct Gate {
    is_closed: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    fn is_closed(&self) -> MutexGuard<'_, bool> {
        self.is_closed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self) {
        *self.is_closed() = true;
    }

    fn open(&self) {
        *self.is_closed() = false;
        self.opened.notify_all();
    }

    /// Waits until it is open.
    fn pass(&self) {
        let guard = self.opened.wait_while(self.is_closed(), |is_closed| *is_closed);
        drop(guard.unwrap_or_else(PoisonError::into_inner));
    }
}

/// All wires of a network: one for each node that connects to another.
#[derive(Debug)]
pub struct Wires {
    /// For each node and each other one what passes from the first to the second.
    gates: Vec<Vec<Arc<Gate>>>,
}

impl Wires {
    /// Lays a wire for each node to each other one. The nodes take them from their next start on.
    ///
    /// # Errors
    /// When no port is free.
    pub fn lay(cluster: &mut Cluster) -> io::Result<Self> {
        let size = cluster.size();
        let gates: Vec<Vec<Arc<Gate>>> = (0..size).map(|_| (0..size).map(|_| Arc::default()).collect()).collect();
        for (from, out) in gates.iter().enumerate() {
            for (to, gate) in out.iter().enumerate().filter(|(to, _)| *to != from) {
                let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
                let target = cluster.peer_address(to);
                cluster.route(from, to, listener.local_addr()?);
                let (forth, back) = (Arc::clone(gate), Arc::clone(&gates[to][from]));
                thread::spawn(move || carry(&listener, target, &forth, &back));
            }
        }
        Ok(Self { gates })
    }

    /// Holds back what one node says to another, whoever of them has connected.
    pub fn cut(&self, from: usize, to: usize) {
        self.gates[from][to].close();
    }

    /// Lets everything pass, and what was held back first.
    pub fn mend(&self) {
        self.gates.iter().flatten().for_each(|gate| gate.open());
    }
}

impl Drop for Wires {
    fn drop(&mut self) {
        self.mend();
    }
}

/// Carries connections until the process ends.
fn carry(listener: &TcpListener, target: SocketAddr, forth: &Arc<Gate>, back: &Arc<Gate>) {
    for near in listener.incoming().map_while(Result::ok) {
        // A node that does not run is not reached: the connection ends.
        let Ok(far) = TcpStream::connect(target) else { continue };
        let ends = (near.try_clone(), far.try_clone());
        let (Ok(near_again), Ok(far_again)) = ends else { continue };
        for (from, to, gate) in [(near, far, forth), (far_again, near_again, back)] {
            let gate = Arc::clone(gate);
            thread::spawn(move || pump(from, to, &gate));
        }
    }
}

/// Carries one direction of a connection to its end.
fn pump(mut from: TcpStream, mut to: TcpStream, gate: &Gate) {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let count = from.read(&mut buffer).unwrap_or(0);
        gate.pass();
        if count == 0 || to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    // Fails where the other direction has ended both already.
    let _ = to.shutdown(Shutdown::Write);
    let _ = from.shutdown(Shutdown::Read);
}
