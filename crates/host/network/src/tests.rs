#![allow(clippy::unwrap_used)]

use std::{net::Ipv4Addr, sync::Arc};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional},
    net::{TcpListener, TcpStream},
    sync::Notify,
};

use super::*;
use crate::swarm::Started;

const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

fn key(node: u64) -> TransportKey {
    TransportKey::from_seed([u8::try_from(node).unwrap(); TRANSPORT_KEY_LEN]).unwrap()
}

/// The host of a node, at an address that matters only to those that dial it.
fn peer(node: u64, port: u16) -> Peer {
    Peer { node, host: "localhost".to_owned(), port, peer_id: key(node).peer_id() }
}

fn settings(node: u64, listen: SocketAddr, peers: Vec<Peer>) -> NetworkSettings {
    NetworkSettings { node, listen, key: key(node), peers }
}

async fn start(node: u64, peers: Vec<Peer>) -> Network {
    Network::start(settings(node, ANY_PORT, peers)).await.unwrap()
}

/// Both ends of a link between the nodes 1 and 2.
async fn both(one: &mut Network, two: &mut Network) -> (LinkStream, LinkStream) {
    let (here, there) = (one.next_link().await.unwrap(), two.next_link().await.unwrap());
    assert_eq!((here.node, here.opened_by), (2, Side::Here));
    assert_eq!((there.node, there.opened_by), (1, Side::There));
    (here.stream, there.stream)
}

async fn pair() -> (Network, Network) {
    let two = start(2, vec![peer(1, 1)]).await;
    (start(1, vec![peer(2, two.address().port())]).await, two)
}

/// Whether the stream is at its end: nothing comes, or it was reset.
async fn has_ended(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> bool {
    !matches!(stream.read(&mut [0; 1]).await, Ok(1..))
}

#[tokio::test]
async fn ten_megabytes_go_each_way_and_wait_for_whoever_reads_them() {
    const BYTES: usize = 10 << 20;
    let (mut one, mut two) = pair().await;
    let (here, there) = both(&mut one, &mut two).await;
    let (mut here_reads, mut here_writes) = tokio::io::split(here);
    let (mut there_reads, mut there_writes) = tokio::io::split(there);
    let sent: Vec<u8> = (0..BYTES).map(|index| index.to_le_bytes()[1]).collect();
    let expected = sent.clone();
    let back = sent.clone();
    let writing = tokio::spawn(async move {
        here_writes.write_all(&sent).await.unwrap();
        here_writes.flush().await.unwrap();
    });
    let answering = tokio::spawn(async move {
        there_writes.write_all(&back).await.unwrap();
        there_writes.flush().await.unwrap();
    });
    let mut received = vec![0; BYTES];
    there_reads.read_exact(&mut received[..1]).await.unwrap();
    assert!(!writing.is_finished(), "ten megabytes are on the way, and nobody has read them");
    there_reads.read_exact(&mut received[1..]).await.unwrap();
    assert!(received == expected);
    writing.await.unwrap();
    assert!(!answering.is_finished());
    here_reads.read_exact(&mut received).await.unwrap();
    assert!(received == expected);
    answering.await.unwrap();
}

#[tokio::test]
async fn a_peer_that_restarts_is_linked_again() {
    let (mut one, mut two) = pair().await;
    let (mut here, _there) = both(&mut one, &mut two).await;
    let address = two.address();
    drop((two, _there));
    assert!(has_ended(&mut here).await);
    drop(here);
    let mut two = Network::start(settings(2, address, vec![peer(1, 1)])).await.unwrap();
    let (mut here, mut there) = both(&mut one, &mut two).await;
    here.write_all(b"again").await.unwrap();
    here.flush().await.unwrap();
    let mut heard = [0; 5];
    there.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"again");
}

#[tokio::test]
async fn a_link_that_one_end_gives_up_is_opened_again() {
    let (mut one, mut two) = pair().await;
    let (mut here, there) = both(&mut one, &mut two).await;
    drop(there);
    assert!(has_ended(&mut here).await);
    drop(here);
    both(&mut one, &mut two).await;
}

/// A host that opens what it likes.
async fn stranger(node: u64) -> (Started, JoinSet<()>) {
    let mut tasks = JoinSet::new();
    let allowed = [key(2).peer_id()];
    (swarm::start(ANY_PORT, key(node), &allowed, &mut tasks).await.unwrap(), tasks)
}

#[tokio::test]
async fn a_host_that_is_not_configured_is_refused() {
    let mut two = start(2, vec![peer(1, 1)]).await;
    let (Started { dials, control, .. }, _tasks) = stranger(7).await;
    let target = peer(2, two.address().port());
    dial::open(&target, &dials, control).await.unwrap_err();
    // The one that is configured gets in.
    let mut one = start(1, vec![target]).await;
    both(&mut one, &mut two).await;
}

#[tokio::test]
async fn a_host_with_another_key_than_configured_is_not_spoken_to() {
    let two = start(2, vec![peer(1, 1)]).await;
    let (Started { dials, control, .. }, _tasks) = stranger(1).await;
    let other = Peer { peer_id: key(3).peer_id(), ..peer(2, two.address().port()) };
    let error = dial::open(&other, &dials, control).await.unwrap_err().to_string();
    assert!(!error.is_empty());
}

#[tokio::test]
async fn a_host_has_no_more_links_than_it_may_and_none_if_it_is_not_to_dial() {
    let mut two = start(2, vec![peer(1, 1), peer(3, 1)]).await;
    let target = peer(2, two.address().port());
    let (Started { dials, control, .. }, _tasks) = stranger(1).await;
    let mut held = Vec::new();
    for _ in 0..MAX_LINKS_PER_PEER {
        // A stream is opened lazily: with its first bytes.
        let mut stream = dial::open(&target, &dials, control.clone()).await.unwrap();
        futures_util::AsyncWriteExt::write_all(&mut stream, b"x").await.unwrap();
        futures_util::AsyncWriteExt::flush(&mut stream).await.unwrap();
        held.push((stream, two.next_link().await.unwrap()));
    }
    let (above, _more_tasks) = stranger(3).await;
    for Started { dials, control, .. } in [&Started { dials, control, address: ANY_PORT }, &above] {
        let mut stream = dial::open(&target, dials, control.clone()).await.unwrap();
        // Who opens it may hear of the refusal before the first bytes are out, or after.
        let _ = futures_util::AsyncWriteExt::write_all(&mut stream, b"x").await;
        let _ = futures_util::AsyncWriteExt::flush(&mut stream).await;
        let read = futures_util::AsyncReadExt::read(&mut stream, &mut [0; 1]).await;
        assert!(!matches!(read, Ok(1..)));
    }
}

#[tokio::test]
async fn a_connection_that_goes_silent_is_given_up() {
    let mut two = start(2, vec![peer(1, 1)]).await;
    let between = TcpListener::bind(ANY_PORT).await.unwrap();
    let (port, target) = (between.local_addr().unwrap().port(), two.address());
    let cut = Arc::new(Notify::new());
    let proxy = tokio::spawn({
        let cut = cut.clone();
        async move {
            let (mut near, _) = between.accept().await.unwrap();
            let mut far = TcpStream::connect(target).await.unwrap();
            tokio::select! {
                copied = copy_bidirectional(&mut near, &mut far) => panic!("{copied:?}"),
                () = cut.notified() => {}
            }
            // Both stay open, and nothing moves.
            (near, far)
        }
    });
    let mut one = start(1, vec![peer(2, port)]).await;
    let (mut here, mut there) = both(&mut one, &mut two).await;
    cut.notify_one();
    let _silent = proxy.await.unwrap();
    assert!(has_ended(&mut here).await);
    assert!(has_ended(&mut there).await);
}

#[tokio::test]
async fn settings_that_contradict_themselves_are_refused() {
    let refusal = async |node, listen, peers| Network::start(settings(node, listen, peers)).await.unwrap_err();
    let same_key = Peer { node: 3, ..peer(2, 1) };
    for (peers, node) in [(vec![peer(1, 1)], 1), (vec![peer(2, 1), peer(2, 2)], 2), (vec![peer(2, 1), same_key], 3)] {
        let error = refusal(1, ANY_PORT, peers).await;
        assert!(matches!(error, NetworkError::Twice { node: found } if found == node), "{error}");
    }
    let taken = start(2, Vec::new()).await;
    let error = refusal(1, taken.address(), Vec::new()).await.to_string();
    assert!(error.starts_with(&format!("cannot listen for other nodes on {}: ", taken.address())), "{error}");
}
