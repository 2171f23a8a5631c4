//! Connections that are slow, half-open, broken or too many: they cost the node little and nobody else anything.

#![allow(clippy::print_stderr)] // a failing or partial run says how far it came

use std::io::{BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use cloister_tests::node::{Node, NodeOptions, Target, eventually, file_limit, is_reference_run, open_sockets};
use cloister_tests::rpc::{RpcClient, connect, read_answer};
use cloister_tests::websocket::WebSocket;
use serde_json::json;

const REQUEST: &str = r#"{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":[]}"#;
/// How long a well-behaved client may wait beside badly behaved ones.
const PATIENCE: Duration = Duration::from_secs(2);

fn head(length: usize) -> String {
    format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n")
}

fn served_in_time(address: SocketAddr) {
    let started = Instant::now();
    assert_eq!(RpcClient::new(address).expect("eth_chainId", json!([])), "0x7a69");
    assert!(started.elapsed() < PATIENCE, "a plain request took {:?}", started.elapsed());
}

#[test]
fn slow_and_half_open_connections_hold_nobody_up() {
    let node = Node::start_default(Target::Dev);
    let mut open = Vec::new();
    for kind in 0..200 {
        let mut stream = connect(node.address()).expect("a connection");
        let part = match kind % 5 {
            0 => String::new(),
            1 => "POST / HTT".to_owned(),
            2 => head(REQUEST.len()),
            3 => head(REQUEST.len()) + &REQUEST[..10],
            _ => head(1 << 20) + "{",
        };
        stream.write_all(part.as_bytes()).expect("a few bytes are taken");
        open.push(stream);
    }
    served_in_time(node.address());
    // One byte at a time, others being served in between.
    let mut slow = connect(node.address()).expect("a connection");
    for (i, byte) in (head(REQUEST.len()) + REQUEST).bytes().enumerate() {
        slow.write_all(&[byte]).expect("a byte is taken");
        if i % 40 == 0 {
            served_in_time(node.address());
        }
    }
    let (answer, _) = read_answer(&mut BufReader::new(slow)).expect("the slow one is answered too");
    assert_eq!(answer.json()["result"], "0x7a69");
    drop(open);
    served_in_time(node.address());
}

#[test]
fn a_client_that_stops_writing_still_gets_its_answer() {
    if is_reference_run() {
        return; // anvil hangs up
    }
    let node = Node::start_default(Target::Dev);
    let mut stream = connect(node.address()).expect("a connection");
    stream.write_all((head(REQUEST.len()) + REQUEST).as_bytes()).expect("a request is taken");
    stream.shutdown(Shutdown::Write).expect("half a close");
    let (answer, _) = read_answer(&mut BufReader::new(stream)).expect("an answer");
    assert_eq!(answer.json()["result"], "0x7a69");
}

#[test]
fn clients_that_leave_before_their_answer_leave_nothing_behind() {
    let node = Node::start_default(Target::Dev);
    for _ in 0..500 {
        let mut stream = connect(node.address()).expect("a connection");
        stream.write_all((head(REQUEST.len()) + REQUEST).as_bytes()).expect("a request is taken");
    }
    for _ in 0..50 {
        let mut socket = WebSocket::open(node.address()).expect("a WebSocket opens");
        socket.call("eth_subscribe", &json!(["newHeads"])).expect("a subscription");
    }
    node.rpc().expect("evm_mine", json!([]));
    served_in_time(node.address());
    eventually("all those connections being closed", Duration::from_secs(20), || {
        (open_sockets(node.id()) < 50).then_some(())
    });
}

#[test]
fn two_requests_in_one_packet_get_two_answers_in_order() {
    let node = Node::start_default(Target::Dev);
    let mut stream = connect(node.address()).expect("a connection");
    let second = REQUEST.replace("eth_chainId", "eth_blockNumber").replace("\"id\":1", "\"id\":2");
    stream
        .write_all((head(REQUEST.len()) + REQUEST + &head(second.len()) + &second).as_bytes())
        .expect("both are taken");
    let mut stream = BufReader::new(stream);
    let first = read_answer(&mut stream).expect("the first answer").0.json();
    let second = read_answer(&mut stream).expect("the second answer").0.json();
    assert_eq!((&first["id"], &second["id"]), (&json!(1), &json!(2)));
    assert_eq!((&first["result"], &second["result"]), (&json!("0x7a69"), &json!("0x0")));
}

#[test]
fn what_is_no_http_is_hung_up_on() {
    let node = Node::start_default(Target::Dev);
    for garbage in [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".as_slice(),
        b"EHLO mail\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        &[0; 4096],
    ] {
        let mut stream = connect(node.address()).expect("a connection");
        stream.write_all(garbage).expect("bytes are taken");
        stream.shutdown(Shutdown::Write).expect("half a close");
        let mut answer = Vec::new();
        let ended = stream.read_to_end(&mut answer);
        assert!(ended.is_ok() || ended.is_err_and(|e| e.kind() == ErrorKind::ConnectionReset), "it must not hang");
        assert!(!answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    }
    // Heads of unlimited length.
    let mut stream = connect(node.address()).expect("a connection");
    let mut taken = stream.write_all(b"POST / HTTP/1.1\r\n");
    for i in 0..20_000 {
        taken = taken.and_then(|()| stream.write_all(format!("X-Header-{i}: {}\r\n", "a".repeat(100)).as_bytes()));
    }
    let mut answer = Vec::new();
    let ended = stream.read_to_end(&mut answer);
    assert!(
        taken.is_err() || ended.is_err() || !answer.starts_with(b"HTTP/1.1 200"),
        "two megabytes of headers were taken"
    );
    served_in_time(node.address());
}

fn five_thousand_connections(target: Target) {
    let wanted = 5_000;
    let possible = file_limit().saturating_sub(300).min(wanted + 200);
    assert!(possible >= wanted, "this needs `ulimit -n 6000`, as `make test` sets it; it is {}", file_limit());
    let node = Node::start(target, &NodeOptions::default());
    let before = Instant::now();
    let mut open: Vec<TcpStream> =
        (0..wanted - 100).map(|_| connect(node.address()).expect("a connection within the limit")).collect();
    served_in_time(node.address());
    // Each of them is a real one: a request on every tenth.
    for stream in open.iter_mut().step_by(10) {
        stream.write_all((head(REQUEST.len()) + REQUEST).as_bytes()).expect("a request is taken");
    }
    for stream in open.iter().step_by(10) {
        let (answer, _) = read_answer(&mut BufReader::new(stream)).expect("an answer on an old connection");
        assert_eq!(answer.json()["result"], "0x7a69");
    }
    eprintln!("{} connections, every tenth used, in {:?}", open.len(), before.elapsed());

    if !is_reference_run() {
        // Beyond the limit: told so, or hung up on, at once; those inside are not disturbed.
        let mut refused = 0;
        let mut extra = Vec::new();
        for _ in 0..300 {
            let mut stream = connect(node.address()).expect("the kernel accepts");
            // A write to a connection that was closed already is a refusal too.
            let sent = stream.write_all((head(REQUEST.len()) + REQUEST).as_bytes());
            match sent.and_then(|()| read_answer(&mut BufReader::new(&stream))) {
                Ok((answer, _)) if answer.status == 200 => extra.push(stream),
                _ => refused += 1,
            }
        }
        assert!(refused >= 200 - 10, "only {refused} of 300 beyond the limit were refused");
        open[0].write_all((head(REQUEST.len()) + REQUEST).as_bytes()).expect("a request is taken");
        assert_eq!(read_answer(&mut BufReader::new(&open[0])).expect("an answer").0.status, 200);
    }
    drop(open);
    eventually("room for new connections", Duration::from_secs(30), || {
        RpcClient::new(node.address()).try_call("eth_chainId", json!([])).ok()
    })
    .expect("a chain id");
    served_in_time(node.address());
}

#[test]
fn five_thousand_connections_dev() {
    five_thousand_connections(Target::Dev);
}

#[test]
fn five_thousand_connections_two_process() {
    five_thousand_connections(Target::TwoProcess);
}
