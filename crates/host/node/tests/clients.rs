//! Clients on real sockets: many, slow, silent, half-open, rude.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod common;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use cloister_boundary::link::EnclaveLink;
use cloister_boundary::{ConnId, FromEnclave, INITIAL_WINDOW, PeerOrigin, SendWindow, ToEnclave};
use cloister_node::{HostError, Violation, raise_open_files};
use cloister_storage::MemoryStore;
use common::{PATIENCE, config, echoing, greet, host_with, next, ready};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

async fn read_all(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let read = stream.read_to_end(&mut bytes);
    timeout(PATIENCE, read).await.expect("an end").unwrap();
    bytes
}

/// Waits until a condition holds.
async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "not in time: {what}");
        sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_come_back_in_order_many_windows_long() {
    let host = echoing(config()).await;
    let sent: Vec<u8> = (0..10_000_000u32).map(|n| (n % 251) as u8).collect();
    let stream = TcpStream::connect(host.address).await.unwrap();
    let (mut read, mut write) = stream.into_split();
    let copy = sent.clone();
    let writer = tokio::spawn(async move {
        write.write_all(&copy).await.unwrap();
        write.shutdown().await.unwrap();
    });
    let mut found = Vec::new();
    timeout(PATIENCE, read.read_to_end(&mut found)).await.unwrap().unwrap();
    writer.await.unwrap();
    assert!(found == sent, "{} of {} bytes", found.len(), sent.len());
    eventually("the connection is gone", || host.handle.connections() == 0).await;
    host.shut_down().await;
}

/// Where too many clients are half open, the oldest have to go: the enclave cannot know who that is unless it hears of them
/// in the order in which they came.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_came_first_is_told_of_first() {
    const CLIENTS: usize = 200;
    let (host, mut link) = host_with(config(), Box::new(MemoryStore::new()));
    greet(&mut link).await;
    link.send.send(ready()).await.unwrap();
    host.handle.ready().await.unwrap();
    let mut clients = Vec::new();
    for place in 0..CLIENTS {
        let mut client = TcpStream::connect(host.address).await.unwrap();
        client.write_all(&[place as u8]).await.unwrap();
        clients.push(client);
    }
    let (mut opened, mut said) = (Vec::new(), HashMap::new());
    while said.len() < CLIENTS {
        match next(&mut link).await {
            ToEnclave::Open { conn, .. } => opened.push(conn),
            ToEnclave::Data { conn, bytes } => assert_eq!(said.insert(conn, bytes), None, "{conn:?}"),
            other => panic!("{other:?}"),
        }
    }
    let order: Vec<u8> = opened.iter().flat_map(|conn| said[conn].clone()).collect();
    assert!(order.is_sorted() && order.len() == CLIENTS, "{order:?}");
}

#[tokio::test]
async fn the_words_about_a_connection_come_in_order() {
    let (host, mut link) = host_with(config(), Box::new(MemoryStore::new()));
    greet(&mut link).await;
    // Clients may connect before the enclave is ready; they are let in afterwards.
    let mut client = TcpStream::connect(host.address).await.unwrap();
    client.write_all(b"question").await.unwrap();
    sleep(Duration::from_millis(50)).await;
    assert_eq!(host.handle.connections(), 0);
    link.send.send(ready()).await.unwrap();

    let conn = ConnId(0);
    let peer = PeerOrigin::Loopback;
    assert_eq!(next(&mut link).await, ToEnclave::Open { conn, peer });
    let bytes = b"question".to_vec();
    assert_eq!(next(&mut link).await, ToEnclave::Data { conn, bytes });
    client.shutdown().await.unwrap();
    assert_eq!(next(&mut link).await, ToEnclave::Closed { conn });
    let bytes = b"answer".to_vec();
    link.send.send(FromEnclave::Data { conn, bytes }).await.unwrap();
    link.send.send(FromEnclave::Close { conn }).await.unwrap();
    assert_eq!(read_all(&mut client).await, b"answer", "half-closed, still answered");

    // Credit that crosses the close is ignored.
    link.send.send(FromEnclave::Credit { conn, bytes: 8 }).await.unwrap();
    let _second = TcpStream::connect(host.address).await.unwrap();
    let conn = ConnId(1);
    assert_eq!(next(&mut link).await, ToEnclave::Open { conn, peer });
}

#[tokio::test]
async fn an_enclave_that_closes_first_is_heard_to_the_end() {
    let (host, mut link) = host_with(config(), Box::new(MemoryStore::new()));
    greet(&mut link).await;
    link.send.send(ready()).await.unwrap();
    let mut client = TcpStream::connect(host.address).await.unwrap();
    // More than the enclave will ever read: what is left unread must not cut off the answer.
    let question = vec![1; 3 * INITIAL_WINDOW as usize];
    let conn = ConnId(0);
    let (mut read, mut write) = client.split();
    let asks = async {
        // May fail once the host gave up reading.
        let _ = write.write_all(&question).await;
        let _ = write.shutdown().await;
    };
    let answers = async {
        assert!(matches!(next(&mut link).await, ToEnclave::Open { .. }));
        let bytes = vec![2; 200_000];
        link.send.send(FromEnclave::Data { conn, bytes }).await.unwrap();
        link.send.send(FromEnclave::Close { conn }).await.unwrap();
        loop {
            match next(&mut link).await {
                ToEnclave::Data { .. } => {}
                other => return assert_eq!(other, ToEnclave::Closed { conn }),
            }
        }
    };
    let hears = async {
        let mut found = Vec::new();
        timeout(PATIENCE, read.read_to_end(&mut found)).await.unwrap().unwrap();
        assert_eq!(found.len(), 200_000);
    };
    tokio::join!(asks, answers, hears);
}

#[tokio::test]
async fn the_host_sends_no_more_than_its_credit() {
    let (host, mut link) = host_with(config(), Box::new(MemoryStore::new()));
    greet(&mut link).await;
    link.send.send(ready()).await.unwrap();
    let client = TcpStream::connect(host.address).await.unwrap();
    let (_read, mut write) = client.into_split();
    tokio::spawn(async move { write.write_all(&vec![5; 1 << 20]).await });
    let conn = ConnId(0);
    assert!(matches!(next(&mut link).await, ToEnclave::Open { .. }));
    let mut received = 0;
    while received < INITIAL_WINDOW as usize {
        match next(&mut link).await {
            ToEnclave::Data { bytes, .. } => received += bytes.len(),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(received, INITIAL_WINDOW as usize);
    let more = timeout(Duration::from_millis(200), next(&mut link)).await;
    assert!(more.is_err(), "sent without credit: {more:?}");

    link.send.send(FromEnclave::Credit { conn, bytes: 1_000 }).await.unwrap();
    let mut received = 0;
    while received < 1_000 {
        match next(&mut link).await {
            ToEnclave::Data { bytes, .. } => received += bytes.len(),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(received, 1_000);

    // Credit for what was never sent.
    let bytes = INITIAL_WINDOW;
    link.send.send(FromEnclave::Credit { conn, bytes }).await.unwrap();
    link.send.send(FromEnclave::Credit { conn, bytes: 1 }).await.unwrap();
    let error = host.end().await.unwrap_err();
    assert!(matches!(error, HostError::Violation(Violation::Window { conn: ConnId(0), .. })), "{error}");
}

/// A client whose own buffer is small, so that it fills at once.
async fn slow_client(host: &common::Running) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    socket.connect(host.address).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_holds_up_nobody_and_little_memory() {
    let host = echoing(config()).await;
    let mut slow = slow_client(&host).await;
    // It sends without ever reading: at some point nobody takes its bytes any more.
    let mut taken = 0usize;
    let chunk = vec![3; 64 << 10];
    while let Ok(written) = timeout(Duration::from_millis(300), slow.write(&chunk)).await {
        taken += written.unwrap();
        assert!(taken < 64 << 20, "taken without end");
    }
    println!("a reader that never reads was stopped after {} KiB", taken >> 10);

    let mut quick = TcpStream::connect(host.address).await.unwrap();
    quick.write_all(b"still here?").await.unwrap();
    quick.shutdown().await.unwrap();
    assert_eq!(read_all(&mut quick).await, b"still here?");

    // Once it reads, everything arrives.
    let mut found = 0;
    let mut buffer = vec![0; 256 << 10];
    while found < taken {
        found += timeout(PATIENCE, slow.read(&mut buffer)).await.unwrap().unwrap();
    }
    assert_eq!(found, taken);
    host.shut_down().await;
}

/// Sends `len` bytes to the first connection as credit allows, and returns the last message that
/// came for it: before the end, one that is no credit.
async fn flood(link: &mut EnclaveLink, window: &mut SendWindow, len: usize) -> ToEnclave {
    let conn = ConnId(0);
    let mut sent = 0;
    loop {
        let part = window.take((64 << 10).min(len - sent));
        if part > 0 {
            let bytes = vec![1; part];
            let data = FromEnclave::Data { conn, bytes };
            link.send.send(data).await.unwrap();
            sent += part;
            continue;
        }
        let message = next(link).await;
        match message {
            ToEnclave::Credit { bytes, .. } => window.credit(bytes).unwrap(),
            _ => return message,
        }
        if sent == len {
            return message;
        }
    }
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_dropped() {
    let mut config = config();
    config.connections.write_stall = Duration::from_millis(300);
    let (host, mut link) = host_with(config, Box::new(MemoryStore::new()));
    greet(&mut link).await;
    link.send.send(ready()).await.unwrap();
    let _client = slow_client(&host).await;
    let conn = ConnId(0);
    assert!(matches!(next(&mut link).await, ToEnclave::Open { .. }));
    let begun = Instant::now();
    let mut window = SendWindow::default();
    // More than the system's buffers hold, as far as credit goes.
    assert_eq!(flood(&mut link, &mut window, usize::MAX).await, ToEnclave::Closed { conn });
    assert!(begun.elapsed() >= Duration::from_millis(300));
    // What still comes for it is swallowed and its credit returned, many windows long.
    let swallowed = flood(&mut link, &mut window, 4 << 20).await;
    assert!(matches!(swallowed, ToEnclave::Credit { .. }));
    link.send.send(FromEnclave::Close { conn }).await.unwrap();
    eventually("the entry is gone", || host.handle.connections() == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_vanish_or_say_nothing_do_no_harm() {
    let host = echoing(config()).await;
    let mut silent = Vec::new();
    for round in 0..50 {
        let mut client = TcpStream::connect(host.address).await.unwrap();
        match round % 4 {
            // Resets the connection.
            0 => client.set_zero_linger().unwrap(),
            // Half-open: finishes at once, keeps listening.
            1 => {
                client.shutdown().await.unwrap();
                silent.push(client);
                continue;
            }
            // Says nothing.
            2 => {
                silent.push(client);
                continue;
            }
            // Asks and leaves without reading.
            _ => client.write_all(&[1; 50_000]).await.unwrap(),
        }
        drop(client);
    }
    let mut good = TcpStream::connect(host.address).await.unwrap();
    good.write_all(b"hello").await.unwrap();
    good.shutdown().await.unwrap();
    assert_eq!(read_all(&mut good).await, b"hello");
    let quiet = silent.len() / 2;
    eventually("only the silent are left", || host.handle.connections() <= quiet + 1).await;
    host.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_over_the_limit_are_told_so() {
    let mut config = config();
    config.connections.max_connections = 2;
    let host = echoing(config).await;
    let mut first = TcpStream::connect(host.address).await.unwrap();
    let _second = TcpStream::connect(host.address).await.unwrap();
    eventually("both are in", || host.handle.connections() == 2).await;
    for _ in 0..20 {
        let mut third = TcpStream::connect(host.address).await.unwrap();
        // It has sent its request before it learns that nobody will read it.
        third.write_all(&[b'x'; 20_000]).await.unwrap();
        let mut answer = Vec::new();
        let mut buffer = [0; 1_024];
        while let Ok(len @ 1..) = timeout(PATIENCE, third.read(&mut buffer)).await.unwrap() {
            answer.extend_from_slice(&buffer[..len]);
        }
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{answer}");
        assert!(answer.ends_with("too many connections\n"), "{answer}");
    }
    first.write_all(b"unharmed").await.unwrap();
    first.shutdown().await.unwrap();
    assert_eq!(read_all(&mut first).await, b"unharmed");
    // Its place is free again.
    let begun = Instant::now();
    loop {
        let mut next = TcpStream::connect(host.address).await.unwrap();
        next.write_all(b"in").await.unwrap();
        next.shutdown().await.unwrap();
        if read_all(&mut next).await == b"in" {
            break;
        }
        assert!(begun.elapsed() < PATIENCE);
    }
    host.shut_down().await;
}

fn resident_kib() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_connections_at_once() {
    // Both ends are in this process.
    let files = raise_open_files(10_500);
    let wanted = 5_000.min((files.saturating_sub(500) / 2) as usize);
    if wanted < 5_000 {
        println!("only {files} files may be open here: {wanted} connections instead of 5,000");
    }
    let host = echoing(config()).await;
    let before = resident_kib();
    let begun = Instant::now();
    let mut clients = Vec::new();
    for _ in 0..wanted {
        clients.push(TcpStream::connect(host.address).await.unwrap());
    }
    eventually("all are in", || host.handle.connections() == wanted).await;
    let connected = begun.elapsed();
    let idle_kib = resident_kib().saturating_sub(before);

    let mut tasks = JoinSet::new();
    for (n, mut client) in clients.into_iter().enumerate() {
        tasks.spawn(async move {
            let question = format!("question {n}");
            for _ in 0..3 {
                client.write_all(question.as_bytes()).await.unwrap();
                let mut answer = vec![0; question.len()];
                client.read_exact(&mut answer).await.unwrap();
                assert_eq!(answer, question.as_bytes());
            }
            client
        });
    }
    let clients = timeout(3 * PATIENCE, tasks.join_all()).await.unwrap();
    let answered = begun.elapsed() - connected;
    println!(
        "{wanted} connections in {connected:?} ({} KiB each, both ends), {} echoes in {answered:?}",
        idle_kib / wanted,
        3 * wanted
    );
    drop(clients);
    eventually("all are gone", || host.handle.connections() == 0).await;
    host.shut_down().await;
}
