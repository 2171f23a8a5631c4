//! Both kinds of link, under the same checks.
#![cfg(feature = "link")]
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use cloister_boundary::limits::MAX_DATA;
use cloister_boundary::link::{EnclaveLink, HostLink, Link, LinkClosed, TrySendError, pair};
use cloister_boundary::{ConnId, FrameError, FromEnclave, Record, ToEnclave};
use cloister_primitives::{Height, Seq};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

fn over_socket() -> (HostLink, EnclaveLink) {
    let (host, enclave) = UnixStream::pair().unwrap();
    (Link::over(host), Link::over(enclave))
}

fn tick(now_ms: u64) -> ToEnclave {
    ToEnclave::Tick { now_ms }
}

fn persist(n: u64, len: usize) -> FromEnclave {
    FromEnclave::Persist { seq: Seq(n), record: Record::Block { height: Height(n), sealed: vec![n as u8; len].into() } }
}

/// Thousands of messages both ways at once, small and large, arrive whole and in order.
async fn carries_both_ways(mut host: HostLink, mut enclave: EnclaveLink) {
    const COUNT: u64 = 3_000;
    let host_sends = async {
        for n in 0..COUNT {
            host.send.send(tick(n)).await.unwrap();
        }
    };
    let enclave_sends = async {
        for n in 0..COUNT {
            let len = if n % 500 == 0 { 2 << 20 } else { 100 };
            enclave.send.send(persist(n, len)).await.unwrap();
        }
    };
    let host_hears = async {
        for n in 0..COUNT {
            let len = if n % 500 == 0 { 2 << 20 } else { 100 };
            assert_eq!(host.recv.recv().await.unwrap(), persist(n, len));
        }
    };
    let enclave_hears = async {
        let mut batch = Vec::new();
        while batch.len() < COUNT as usize {
            enclave.recv.recv_many(&mut batch, 100).await.unwrap();
        }
        assert!(batch.into_iter().eq((0..COUNT).map(tick)));
    };
    tokio::join!(host_sends, enclave_sends, host_hears, enclave_hears);
}

/// What was said before the end is heard; then the end has its reason.
async fn ends_cleanly(host: HostLink, mut enclave: EnclaveLink) {
    for n in 0..10 {
        host.send.send(tick(n)).await.unwrap();
    }
    drop(host);
    for n in 0..10 {
        assert_eq!(enclave.recv.recv().await, Ok(tick(n)));
    }
    assert_eq!(enclave.recv.recv().await, Err(LinkClosed::PeerGone));
    assert_eq!(enclave.recv.try_recv(), Err(LinkClosed::PeerGone));
    let mut refused = Ok(());
    for n in 0..1_000 {
        refused = enclave.send.send(persist(n, 1)).await;
        if refused.is_err() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(refused, Err(LinkClosed::PeerGone));
}

#[tokio::test]
async fn links_carry_messages_both_ways() {
    let (host, enclave) = pair(16);
    carries_both_ways(host, enclave).await;
    let (host, enclave) = over_socket();
    carries_both_ways(host, enclave).await;
}

#[tokio::test]
async fn links_end_cleanly() {
    let (host, enclave) = pair(64);
    ends_cleanly(host, enclave).await;
    let (host, enclave) = over_socket();
    ends_cleanly(host, enclave).await;
}

#[tokio::test]
async fn a_full_link_makes_senders_wait() {
    let (host, mut enclave) = pair(2);
    assert_eq!(host.send.try_send(tick(0)), Ok(()));
    assert_eq!(host.send.try_send(tick(1)), Ok(()));
    assert_eq!(host.send.try_send(tick(2)), Err(TrySendError::Full));
    let waits = timeout(Duration::from_millis(20), host.send.send(tick(2))).await;
    assert!(waits.is_err(), "no room, so it waits");
    assert_eq!(enclave.recv.recv().await, Ok(tick(0)));
    assert_eq!(host.send.send(tick(3)).await, Ok(()));
    assert_eq!(enclave.recv.recv().await, Ok(tick(1)));
    assert_eq!(enclave.recv.recv().await, Ok(tick(3)), "the cancelled send sent nothing");
}

#[tokio::test]
async fn a_socket_with_nobody_reading_holds_a_bounded_number() {
    let (host, _enclave) = over_socket();
    let data = || ToEnclave::Data { conn: ConnId(1), bytes: vec![0; MAX_DATA] };
    let mut sent = 0;
    while timeout(Duration::from_millis(500), host.send.send(data())).await.is_ok() {
        sent += 1;
        assert!(sent < 4_000, "the link takes messages without end");
    }
    assert!(sent >= 1_024);
}

#[tokio::test]
async fn garbage_on_the_stream_is_named() {
    let (mut raw, theirs) = UnixStream::pair().unwrap();
    let mut host = HostLink::over(theirs);
    raw.write_all(b"HTTP/1.1 200 OK\r\n").await.unwrap();
    let bad = LinkClosed::BadFrame(FrameError::BadMagic { found: 0x4854 });
    assert_eq!(host.recv.recv().await, Err(bad));
}

#[tokio::test]
async fn a_stream_that_ends_inside_a_frame_is_named() {
    let (mut raw, theirs) = UnixStream::pair().unwrap();
    let mut host = HostLink::over(theirs);
    raw.write_all(&[0xc1, 0x5e, 0, 1, 0x81, 0, 0]).await.unwrap();
    drop(raw);
    let bad = LinkClosed::BadFrame(FrameError::Truncated { what: "frame" });
    assert_eq!(host.recv.recv().await, Err(bad));
}

#[tokio::test]
async fn a_message_over_its_limit_ends_the_link_with_its_name() {
    let (mut raw, theirs) = UnixStream::pair().unwrap();
    let host = HostLink::over(theirs);
    let too_long = ToEnclave::Data { conn: ConnId(1), bytes: vec![0; MAX_DATA + 1] };
    host.send.send(tick(1)).await.unwrap();
    host.send.send(too_long).await.unwrap();
    let end = timeout(Duration::from_secs(5), host.send.closed()).await;
    assert_eq!(
        end,
        Ok(LinkClosed::BadMessage(FrameError::TooLong { what: "data", found: MAX_DATA + 1, limit: MAX_DATA }))
    );
    let mut bytes = Vec::new();
    raw.read_to_end(&mut bytes).await.unwrap();
    assert!(bytes.len() <= 17, "nothing of the refused message went out");
}

/// What the receiver diverts never waits in the queue; the rest does, and nothing is taken once it is gone.
async fn diverts(host: HostLink, mut enclave: EnclaveLink) {
    let (taken, mut diverted) = tokio::sync::mpsc::unbounded_channel();
    enclave.recv.divert(move |message| match message {
        ToEnclave::Closed { conn } => {
            taken.send(conn).unwrap();
            None
        }
        other => Some(other),
    });
    // More than a link holds: nobody takes anything out of it.
    for n in 0..5_000 {
        host.send.send(ToEnclave::Closed { conn: ConnId(n) }).await.unwrap();
    }
    host.send.send(tick(7)).await.unwrap();
    for n in 0..5_000 {
        assert_eq!(diverted.recv().await, Some(ConnId(n)));
    }
    assert_eq!(enclave.recv.recv().await, Ok(tick(7)));
    drop(enclave);
    assert_eq!(diverted.recv().await, None, "the diversion went with the receiver");
}

#[tokio::test]
async fn diverts_in_memory() {
    let (host, enclave) = pair(4);
    timeout(Duration::from_secs(20), diverts(host, enclave)).await.unwrap();
}

#[tokio::test]
async fn diverts_over_a_socket() {
    let (host, enclave) = over_socket();
    timeout(Duration::from_secs(20), diverts(host, enclave)).await.unwrap();
}
