//! From the first word to the last: greetings, shutdown, and enclaves that break the protocol.
#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;
use std::time::{Duration, Instant};

use cloister_boundary::limits::MAX_BLOCKS_PER_READ;
use cloister_boundary::link::{EnclaveLink, HostLink};
use cloister_boundary::{
    ConnId, FrameError, FromEnclave, HaltCode, PROTOCOL_VERSION, PublicStatus, ReadId, Record, StoredLog,
    StoredSnapshot, ToEnclave,
};
use cloister_node::{
    EnclaveExit, EnclaveProcess, ExitCode, Host, HostError, ListenError, Listener, ProcessError, Violation,
};
use cloister_primitives::{Height, Seq};
use cloister_storage::{BlobStore, ChainIdentity, MemoryStore, StoreError};
use common::{
    CHAIN_ID, GENESIS_HASH, PATIENCE, Running, config, echo, echoing, greet, halt, host_with, listener, next, ready,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

#[tokio::test]
async fn a_taken_port_is_named() {
    let first = listener();
    let error = Listener::bind(first.address()).unwrap_err();
    assert!(matches!(error, ListenError::PortTaken { .. }), "{error}");
    assert!(error.to_string().contains(&first.address().port().to_string()));
    assert_eq!(HostError::from(error).exit_code(), ExitCode::Listen);
    drop(first);

    let error = Listener::bind("203.0.113.1:0".parse().unwrap()).unwrap_err();
    assert!(matches!(error, ListenError::NoSuchAddress { .. }), "{error}");
}

#[tokio::test]
async fn the_enclave_is_started_with_what_is_stored() {
    let store = MemoryStore::new();
    let snapshot = Height(3);
    let sealed = vec![1];
    store
        .append(&[
            Record::Block { height: Height(3), sealed: sealed.clone().into() },
            Record::Block { height: Height(4), sealed: sealed.clone().into() },
            Record::SnapshotChunk { snapshot, index: 0, sealed },
            Record::SnapshotDone { snapshot, chunks: 1 },
            Record::Meta { sealed: vec![8] },
        ])
        .unwrap();
    let (_host, mut link) = host_with(config(), Box::new(store));
    let start = greet(&mut link).await;
    assert_eq!(start.genesis, b"{}");
    assert_eq!(start.options, b"[]");
    assert_eq!(start.platform_key, [7; 32]);
    let log = StoredLog { first: Some(Height(3)), last: Some(Height(4)) };
    assert_eq!(start.log, log);
    let snapshots = [StoredSnapshot { height: Height(3), chunks: 1 }];
    assert_eq!(start.snapshots, snapshots);
    assert_eq!(start.meta, Some(vec![8]));
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    assert!(now.as_millis() as u64 - start.now_ms < 60_000);
}

#[tokio::test]
async fn time_passes_and_can_be_asked_for() {
    let mut config = config();
    config.tick = Duration::from_millis(30);
    let (host, mut link) = host_with(config, Box::new(MemoryStore::new()));
    let mut last = greet(&mut link).await.now_ms;
    let begun = Instant::now();
    for _ in 0..6 {
        match link.recv.recv().await.unwrap() {
            ToEnclave::Tick { now_ms } => {
                assert!(now_ms >= last);
                last = now_ms;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(begun.elapsed() >= Duration::from_millis(120));
    drop(host);

    let mut config = common::config();
    config.tick = Duration::from_secs(3_600);
    let (host, mut link) = host_with(config, Box::new(MemoryStore::new()));
    greet(&mut link).await;
    // The first comes at once, the second on demand.
    assert!(matches!(link.recv.recv().await, Ok(ToEnclave::Tick { .. })));
    host.handle.tick();
    assert!(matches!(link.recv.recv().await, Ok(ToEnclave::Tick { .. })));
}

#[tokio::test]
async fn readiness_and_status_are_seen_from_elsewhere() {
    let (host, mut link) = host_with(config(), Box::new(MemoryStore::new()));
    greet(&mut link).await;
    link.send.send(ready()).await.unwrap();
    let seen = host.handle.ready().await.unwrap();
    let chain = ChainIdentity { chain_id: CHAIN_ID, genesis_hash: GENESIS_HASH };
    assert_eq!((seen.chain, seen.head), (chain, Height(0)));
    let status = PublicStatus { head: Height(5), head_time_s: 1_700_000_000, transactions: 12, network: None };
    let mut follow = host.handle.status();
    link.send.send(FromEnclave::Status(status.clone())).await.unwrap();
    follow.changed().await.unwrap();
    assert_eq!(*follow.borrow(), status);
}

/// What a client of the host reads until its connection ends.
async fn asked(host: &Running) -> String {
    let mut client = TcpStream::connect(host.address).await.unwrap();
    client.write_all(b"GET /health HTTP/1.1\r\nhost: node\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    timeout(PATIENCE, client.read_to_string(&mut answer)).await.expect("an answer").unwrap();
    answer
}

#[tokio::test]
async fn clients_do_not_wait_for_long_for_an_enclave_that_waits_for_others() {
    let mut config = config();
    config.connections.opening = Duration::from_millis(50);
    let (host, mut link) = host_with(config, Box::new(MemoryStore::new()));
    greet(&mut link).await;
    let answer = asked(&host).await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(answer.ends_with("its log says why not\n"), "{answer}");
    // The enclave hears nothing of it.
    host.handle.shutdown();
    assert_eq!(next(&mut link).await, ToEnclave::Shutdown);
    link.send.send(halt(HaltCode::ShutDown)).await.unwrap();
    host.end().await.unwrap();
}

#[tokio::test]
async fn a_client_that_comes_early_is_served_when_the_enclave_is_ready() {
    let (host, mut link) = host_with(config(), Box::new(MemoryStore::new()));
    greet(&mut link).await;
    let mut client = TcpStream::connect(host.address).await.unwrap();
    client.write_all(b"early").await.unwrap();
    link.send.send(ready()).await.unwrap();
    assert!(matches!(next(&mut link).await, ToEnclave::Open { .. }));
}

#[tokio::test]
async fn a_shutdown_asks_the_enclave_and_flushes_the_last_answers() {
    let (host, mut link) = host_with(config(), Box::new(MemoryStore::new()));
    greet(&mut link).await;
    link.send.send(ready()).await.unwrap();
    host.handle.ready().await.unwrap();
    let mut answered = TcpStream::connect(host.address).await.unwrap();
    let mut idle = TcpStream::connect(host.address).await.unwrap();
    for _ in 0..2 {
        assert!(matches!(next(&mut link).await, ToEnclave::Open { .. }));
    }
    let address = host.address;
    host.handle.shutdown();
    host.handle.shutdown();
    assert_eq!(next(&mut link).await, ToEnclave::Shutdown);
    let conn = ConnId(0);
    let bytes = b"last words".to_vec();
    for message in [FromEnclave::Data { conn, bytes }, FromEnclave::Close { conn }, halt(HaltCode::ShutDown)] {
        link.send.send(message).await.unwrap();
    }
    let mut found = Vec::new();
    let reads = answered.read_to_end(&mut found);
    let (read, end) = tokio::join!(reads, host.end());
    read.unwrap();
    end.unwrap();
    assert_eq!(found, b"last words");
    let mut rest = Vec::new();
    assert!(!matches!(idle.read_to_end(&mut rest).await, Ok(1..)), "cut off");
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens");
}

#[tokio::test]
async fn an_enclave_that_does_not_finish_is_given_up() {
    let mut config = config();
    config.shutdown_grace = Duration::from_millis(200);
    let (host, mut link) = host_with(config, Box::new(MemoryStore::new()));
    greet(&mut link).await;
    link.send.send(ready()).await.unwrap();
    host.handle.ready().await.unwrap();
    host.handle.shutdown();
    let error = host.end().await.unwrap_err();
    assert!(matches!(error, HostError::ShutdownTimeout { .. }), "{error}");
}

#[tokio::test]
async fn an_enclave_that_stops_says_why() {
    for (code, exit) in [
        (HaltCode::DamagedLog, ExitCode::Damaged),
        (HaltCode::BadGenesis, ExitCode::Genesis),
        (HaltCode::ForeignLog, ExitCode::ForeignChain),
        (HaltCode::StorageFailed, ExitCode::Storage),
        (HaltCode::ShutDown, ExitCode::Enclave),
    ] {
        let (host, mut link) = host_with(config(), Box::new(MemoryStore::new()));
        greet(&mut link).await;
        link.send.send(halt(code)).await.unwrap();
        let handle = host.handle.clone();
        let error = host.end().await.unwrap_err();
        assert_eq!(error.exit_code(), exit);
        let text = format!("the enclave stopped ({code}): as the test says");
        assert_eq!(error.to_string(), text);
        assert_eq!(handle.ready().await, None, "it never was");
    }
}

#[tokio::test]
async fn an_enclave_that_vanishes_is_named() {
    let (host, mut link) = host_with(config(), Box::new(MemoryStore::new()));
    greet(&mut link).await;
    drop(link);
    let error = host.end().await.unwrap_err();
    assert!(matches!(error, HostError::Link(_)), "{error}");

    let (host, link) = host_with(config(), Box::new(MemoryStore::new()));
    drop(link);
    let error = host.end().await.unwrap_err();
    assert!(matches!(error, HostError::Link(_)), "{error}");
}

#[tokio::test]
async fn an_enclave_of_another_version_is_named() {
    let (host, link) = host_with(config(), Box::new(MemoryStore::new()));
    let version = PROTOCOL_VERSION + 1;
    link.send.send(FromEnclave::Hello { version }).await.unwrap();
    let error = host.end().await.unwrap_err();
    assert!(matches!(error, HostError::Version { found } if found == version), "{error}");

    // Over a socket the frame itself already tells.
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let host = Host::new(config(), HostLink::over(ours), Box::new(MemoryStore::new()), listener());
    let mut frame = Vec::new();
    cloister_boundary::encode(&FromEnclave::Hello { version }, &mut frame).unwrap();
    frame[2..4].copy_from_slice(&version.to_be_bytes());
    theirs.write_all(&frame).await.unwrap();
    let error = host.run().await.unwrap_err();
    assert!(matches!(error, HostError::Version { found } if found == version), "{error}");
}

#[tokio::test]
async fn an_enclave_that_says_nothing_is_given_up() {
    let mut config = config();
    config.handshake = Duration::from_millis(100);
    let (host, _link) = host_with(config, Box::new(MemoryStore::new()));
    let error = host.end().await.unwrap_err();
    assert!(matches!(error, HostError::NoGreeting { .. }), "{error}");
}

#[tokio::test]
async fn a_store_of_another_chain_is_named_when_the_enclave_is_ready() {
    let store = MemoryStore::new();
    let found = ChainIdentity { chain_id: 1, genesis_hash: [1; 32] };
    store.claim(found).unwrap();
    let (host, mut link) = host_with(config(), Box::new(store));
    greet(&mut link).await;
    link.send.send(ready()).await.unwrap();
    let error = host.end().await.unwrap_err();
    assert!(matches!(error, HostError::Store(StoreError::ForeignChain { .. })), "{error}");
    assert_eq!(error.exit_code(), ExitCode::ForeignChain);
}

#[tokio::test]
async fn every_violation_has_its_name_and_ends_the_host() {
    let version = PROTOCOL_VERSION;
    let unknown = |conn| Violation::UnknownConnection { conn };
    let record = || Record::Meta { sealed: vec![1] };
    let conn = ConnId(4);
    let id = ReadId(1);
    let from = Height(0);
    let cases: Vec<(Vec<FromEnclave>, Violation)> = vec![
        (vec![FromEnclave::Hello { version }], Violation::Greeting),
        (vec![ready()], Violation::SecondReady),
        (vec![FromEnclave::Close { conn }], unknown(conn)),
        (vec![FromEnclave::Data { conn, bytes: vec![1] }], unknown(conn)),
        (vec![FromEnclave::Credit { conn, bytes: 1 }], unknown(conn)),
        (vec![FromEnclave::ReadBlocks { id, from, count: 0 }], Violation::ReadLength { count: 0 }),
        (
            vec![FromEnclave::ReadBlocks { id, from, count: MAX_BLOCKS_PER_READ + 1 }],
            Violation::ReadLength { count: MAX_BLOCKS_PER_READ + 1 },
        ),
        (
            vec![
                FromEnclave::Persist { seq: Seq(5), record: record() },
                FromEnclave::Persist { seq: Seq(7), record: record() },
            ],
            Violation::RecordNumber { expected: Seq(6), found: Seq(7) },
        ),
    ];
    for (messages, expected) in cases {
        let (host, mut link) = host_with(config(), Box::new(MemoryStore::new()));
        greet(&mut link).await;
        link.send.send(ready()).await.unwrap();
        for message in messages {
            link.send.send(message).await.unwrap();
        }
        match host.end().await.unwrap_err() {
            HostError::Violation(found) => assert_eq!(found, expected),
            other => panic!("expected {expected}, found {other}"),
        }
    }
}

#[tokio::test]
async fn garbage_instead_of_frames_ends_the_host() {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let host = Host::new(config(), HostLink::over(ours), Box::new(MemoryStore::new()), listener());
    theirs.write_all(b"panicked at src/main.rs").await.unwrap();
    let error = host.run().await.unwrap_err();
    let expected =
        cloister_boundary::link::LinkClosed::BadFrame(FrameError::BadMagic { found: u16::from_be_bytes(*b"pa") });
    assert!(matches!(error, HostError::Link(found) if found == expected), "{error}");
}

/// Runs this test program again as an enclave process that does what the named test does.
async fn process_host(
    behaviour: &str,
) -> (cloister_node::HostHandle, std::net::SocketAddr, tokio::task::JoinHandle<Result<(), HostError>>) {
    let program = std::env::current_exe().unwrap();
    let arguments = ["--ignored", "--exact", behaviour, "--nocapture"];
    let (process, link) = EnclaveProcess::spawn(&program, arguments).unwrap();
    assert!(process.id().is_some());
    let listener = listener();
    let address = listener.address();
    let store = Box::new(MemoryStore::new());
    let host = Host::new(config(), link, store, listener).with_process(process);
    (host.handle(), address, tokio::spawn(host.run()))
}

#[tokio::test]
#[ignore = "run in a process of its own by the tests below"]
async fn enclave_that_echoes() {
    if let Ok(link) = EnclaveLink::inherited() {
        echo(link).await;
    }
}

#[tokio::test]
#[ignore = "run in a process of its own by the tests below"]
async fn enclave_that_fails() {
    if let Ok(mut link) = EnclaveLink::inherited() {
        greet(&mut link).await;
        std::process::exit(3);
    }
}

#[tokio::test]
#[ignore = "run in a process of its own by the tests below"]
async fn enclave_that_is_killed() {
    if let Ok(mut link) = EnclaveLink::inherited() {
        greet(&mut link).await;
        std::process::abort();
    }
}

#[tokio::test]
async fn an_enclave_process_serves_and_ends_with_its_host() {
    let (handle, address, run) = process_host("enclave_that_echoes").await;
    handle.ready().await.unwrap();
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(&[9; 100_000]).await.unwrap();
    client.shutdown().await.unwrap();
    let mut found = Vec::new();
    client.read_to_end(&mut found).await.unwrap();
    assert_eq!(found, [9; 100_000]);
    handle.shutdown();
    run.await.unwrap().unwrap();
}

#[tokio::test]
async fn an_enclave_process_that_ends_is_named_with_its_status() {
    for (behaviour, expected, text) in [
        ("enclave_that_fails", EnclaveExit::Code(3), "exit code 3"),
        ("enclave_that_is_killed", EnclaveExit::Signal(6), "signal 6"),
    ] {
        let (_, _, run) = process_host(behaviour).await;
        let error = run.await.unwrap().unwrap_err();
        assert!(matches!(error, HostError::Exited(found) if found == expected), "{error}");
        assert_eq!(error.to_string(), format!("the enclave process ended: {text}"));
        assert_eq!(error.exit_code(), ExitCode::Enclave);
    }
}

#[tokio::test]
async fn an_enclave_program_that_does_not_exist_is_named() {
    let program = Path::new("/nonexistent/cloister-enclave");
    let error = EnclaveProcess::spawn(program, [""; 0]).unwrap_err();
    assert!(matches!(error, ProcessError::NotFound { .. }), "{error}");
    assert!(error.to_string().contains("/nonexistent/cloister-enclave"));
}

#[tokio::test]
async fn a_host_that_is_dropped_frees_its_port() {
    let host = echoing(config()).await;
    let address = host.address;
    host.shut_down().await;
    assert!(Listener::bind(address).is_ok());
}
