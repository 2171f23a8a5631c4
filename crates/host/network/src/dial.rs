//! Dialling a host for as long as the network runs.

use std::{io, time::Duration};

use libp2p::Multiaddr;
use libp2p_stream::Control;
use tokio::{
    net::lookup_host,
    sync::{mpsc, oneshot},
    time::{Instant, sleep, timeout},
};

use crate::{
    Link, LinkStream, Listed, MAX_LINKS_PER_PEER, Peer, Side,
    link::PROTOCOL,
    swarm::{Dial, multiaddr},
};

/// Pause before a host is dialled again, first and at most; it doubles in between.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// A link that lasted so long was a success: the pauses begin anew after it.
const STEADY: Duration = Duration::from_secs(5);
/// Time for a look-up, a connection and a stream.
const PATIENCE: Duration = Duration::from_secs(5);

/// Keeps a link to the host open: dials it whenever there is none.
pub(crate) async fn keep(listed: Listed, dials: mpsc::Sender<Dial>, control: Control, links: mpsc::Sender<Link>) {
    let Listed { peer, places, cuts } = listed;
    let mut pause = FIRST_PAUSE;
    let mut is_reachable = true;
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let opened = timeout(PATIENCE, open(&peer, &dials, control.clone())).await;
        match opened.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(stream) => {
                is_reachable = true;
                let began = Instant::now();
                let link =
                    Link { node: peer.node, opened_by: Side::Here, stream: LinkStream::new(stream, place, &cuts) };
                if links.send(link).await.is_err() {
                    return;
                }
                // All places are free again once nobody holds the stream.
                let all = u32::try_from(MAX_LINKS_PER_PEER).unwrap_or(u32::MAX);
                let Ok(_free) = places.acquire_many(all).await else { return };
                if began.elapsed() >= STEADY {
                    pause = FIRST_PAUSE;
                }
            }
            // Said once: a node that is down is dialled again and again.
            Err(error) if is_reachable => {
                is_reachable = false;
                tracing::info!(
                    event = "peer-unreachable",
                    node = peer.node,
                    host = peer.host,
                    port = peer.port,
                    "a node is not reached: {error}"
                );
            }
            Err(error) => tracing::debug!(node = peer.node, "a node is not reached: {error}"),
        }
        sleep(pause).await;
        pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
    }
}

/// Opens a stream, over a connection that there is or a new one.
pub(crate) async fn open(peer: &Peer, dials: &mpsc::Sender<Dial>, mut control: Control) -> io::Result<libp2p::Stream> {
    let resolved = lookup_host((peer.host.as_str(), peer.port)).await?;
    let addresses: Vec<Multiaddr> = resolved.map(multiaddr).collect();
    let (connected, outcome) = oneshot::channel();
    let dial = Dial { peer: peer.peer_id, addresses, connected };
    dials.send(dial).await.map_err(|_| io::ErrorKind::NotConnected)?;
    outcome.await.map_err(|_| io::ErrorKind::NotConnected)?.map_err(io::Error::other)?;
    control.open_stream(peer.peer_id, PROTOCOL).await.map_err(io::Error::other)
}
