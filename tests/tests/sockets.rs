//! WebSocket and pipelining clients that do not read, do not finish, or do too much: each is held to a bound, and
//! nobody else notices.

use std::io::{self, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use cloister_tests::node::{
    Node, NodeOptions, Target, eventually, file_limit, is_reference_run, open_sockets, resident_bytes,
};
use cloister_tests::rpc::{ANSWER_TIMEOUT, RpcClient, quantity, read_answer};
use cloister_tests::websocket::{CONTINUATION, FIN, Frame, PING, PONG, TEXT, WebSocket, frame, frame_head};
use serde_json::{Value, json};

/// Longest message that is taken.
const MESSAGE_LIMIT: usize = 15 << 20;

/// What one client's misbehaviour may cost the node in memory.
const MEMORY_BOUND: usize = 200 << 20;

fn request(id: usize, method: &str, params: &Value) -> Vec<u8> {
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string().into_bytes()
}

fn message_of(frame: Frame) -> Value {
    match frame {
        Frame::Message(text) => serde_json::from_slice(&text).expect("a message is JSON"),
        Frame::Close(code) => panic!("the server closed the WebSocket: {code:?}"),
    }
}

/// The payload of the next frame that answers a ping; the node's own pings may come before it.
fn next_pong(socket: &mut WebSocket) -> Vec<u8> {
    loop {
        match socket.receive_frame().expect("a pong") {
            (first, payload) if first == FIN | PONG => return payload,
            (first, _) => assert_eq!(first, FIN | PING, "neither a pong nor a ping"),
        }
    }
}

/// A connection whose kernel holds little of what it does not read.
fn narrow_connection(address: SocketAddr) -> TcpStream {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().expect("a runtime");
    let stream = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(64 << 10)?;
        socket.connect(address).await?.into_std()
    });
    let stream = stream.expect("a connection");
    stream.set_nonblocking(false).expect("a socket can block");
    stream.set_read_timeout(Some(ANSWER_TIMEOUT)).expect("a socket takes a read timeout");
    stream.set_write_timeout(Some(ANSWER_TIMEOUT)).expect("a socket takes a write timeout");
    stream
}

/// Mines until `client` is known to be stuck: the node has more for it than sockets and windows hold.
fn a_subscriber_that_never_reads(target: Target) {
    const OTHERS: usize = 50;
    const SUBSCRIPTIONS: usize = 100;
    const BLOCKS: u64 = 100;
    let node = Node::start_default(target);
    let mut others: Vec<(WebSocket, Value)> = (0..OTHERS)
        .map(|_| {
            let mut socket = WebSocket::open(node.address()).expect("a WebSocket opens");
            let id = socket.call("eth_subscribe", &json!(["newHeads"])).expect("a subscription");
            (socket, id)
        })
        .collect();
    let before = open_sockets(node.id());
    let mut silent = WebSocket::open_on(narrow_connection(node.address())).expect("a WebSocket opens");
    for _ in 0..SUBSCRIPTIONS {
        silent.call("eth_subscribe", &json!(["newHeads"])).expect("a subscription");
    }
    assert!(open_sockets(node.id()) > before);
    // Ten thousand heads for the silent one: more than its buffers hold. Each is awaited by all others.
    for number in 1..=BLOCKS {
        node.rpc().expect("evm_mine", json!([]));
        for (socket, id) in &mut others {
            assert_eq!(quantity(&socket.notification(id)["number"]), number);
        }
    }
    eventually("the silent client being dropped", Duration::from_secs(60), || {
        (open_sockets(node.id()) <= before).then_some(())
    });
    for (socket, id) in &mut others {
        assert_eq!(socket.call("eth_blockNumber", &json!([])), Ok(json!(format!("{BLOCKS:#x}"))));
        assert_eq!(socket.call("eth_unsubscribe", &json!([id])), Ok(json!(true)));
    }
}

#[test]
fn a_subscriber_that_never_reads_is_dropped_and_the_others_miss_nothing_dev() {
    a_subscriber_that_never_reads(Target::Dev);
}

#[test]
fn a_subscriber_that_never_reads_is_dropped_and_the_others_miss_nothing_two_process() {
    a_subscriber_that_never_reads(Target::TwoProcess);
}

#[test]
fn a_thousand_subscribers_hear_every_block_and_every_log() {
    const CLIENTS: usize = 1_000;
    const BLOCKS: u64 = 10;
    assert!(
        file_limit() > CLIENTS + 300,
        "this needs `ulimit -n 2000`, as `make test` sets it; it is {}",
        file_limit()
    );
    let node = Node::start_default(Target::Dev);
    let rpc = node.rpc();
    let sender = rpc.expect("eth_accounts", json!([]))[0].clone();
    // Creation code of a contract that logs at each call: PUSH1 0 PUSH1 0 LOG0.
    let code = "0x6460006000a06000526005601bf3";
    let created = rpc.expect("eth_sendTransaction", json!([{"from": sender, "data": code}]));
    let receipt = rpc.expect("eth_getTransactionReceipt", json!([created]));
    let contract = receipt["contractAddress"].clone();
    let first = quantity(&receipt["blockNumber"]) + 1;

    let mut clients: Vec<(WebSocket, Value, Value)> = (0..CLIENTS)
        .map(|_| {
            let mut socket = WebSocket::open(node.address()).expect("a WebSocket opens");
            let heads = socket.call("eth_subscribe", &json!(["newHeads"])).expect("a subscription");
            let logs = socket.call("eth_subscribe", &json!(["logs", {"address": contract}])).expect("a subscription");
            (socket, heads, logs)
        })
        .collect();
    for _ in 0..BLOCKS {
        rpc.expect("eth_sendTransaction", json!([{"from": sender, "to": contract}]));
    }
    for (socket, heads, logs) in &mut clients {
        let mut parent = None;
        for number in first..first + BLOCKS {
            let head = socket.notification(heads);
            let log = socket.notification(logs);
            assert_eq!(quantity(&head["number"]), number);
            assert!(parent.is_none_or(|parent| parent == head["parentHash"]), "{head}");
            assert_eq!((&log["blockHash"], &log["address"]), (&head["hash"], &contract));
            parent = Some(head["hash"].clone());
        }
    }
}

#[test]
fn subscriptions_beyond_the_limit_are_refused_and_one_that_ends_makes_room() {
    if is_reference_run() {
        return; // anvil has no limit
    }
    let node = Node::start_default(Target::Dev);
    let mut socket = WebSocket::open(node.address()).expect("a WebSocket opens");
    let ids: Vec<Value> =
        (0..128).map(|_| socket.call("eth_subscribe", &json!(["newHeads"])).expect("a subscription")).collect();
    for _ in 0..3 {
        let refused = socket.call("eth_subscribe", &json!(["logs", {}])).expect_err("the 129th");
        assert_eq!((refused.code, refused.message.as_str()), (-32006, "Too many subscriptions on the connection"));
    }
    let mut another = WebSocket::open(node.address()).expect("a WebSocket opens");
    another.call("eth_subscribe", &json!(["newHeads"])).expect("the limit is a connection's own");
    assert_eq!(socket.call("eth_unsubscribe", &json!([ids[7]])), Ok(json!(true)));
    eventually("room for a subscription", Duration::from_secs(10), || {
        socket.call("eth_subscribe", &json!(["logs", {}])).ok()
    });
}

#[test]
fn filters_beyond_the_limit_are_refused_and_one_that_is_removed_makes_room() {
    const LIMIT: usize = 10_000;
    if is_reference_run() {
        return; // anvil has no limit
    }
    let node = Node::start_default(Target::Dev);
    let rpc = node.rpc();
    let batch = |count: usize| {
        let entries: Vec<Value> = (0..count)
            .map(|id| json!({"jsonrpc": "2.0", "id": id, "method": "eth_newBlockFilter", "params": []}))
            .collect();
        let answers = rpc.post(json!(entries).to_string().as_bytes()).expect("an answer").json();
        answers.as_array().expect("a batch's answers").clone()
    };
    let installed: Vec<Value> = (0..LIMIT / 1_000).flat_map(|_| batch(1_000)).collect();
    assert!(installed.iter().all(|answer| answer["result"].is_string()), "all {LIMIT} are taken");
    for method in ["eth_newBlockFilter", "eth_newPendingTransactionFilter"] {
        let refused = rpc.refuse(method, json!([]));
        assert_eq!((refused.code, refused.message.as_str()), (-32005, "limit exceeded"));
    }
    assert_eq!(rpc.refuse("eth_newFilter", json!([{}])).code, -32005);
    // Those that exist go on working.
    rpc.expect("evm_mine", json!([]));
    let id = &installed[LIMIT - 1]["result"];
    assert_eq!(rpc.expect("eth_getFilterChanges", json!([id])).as_array().map(Vec::len), Some(1));
    assert_eq!(rpc.expect("eth_uninstallFilter", json!([id])), true);
    rpc.expect("eth_newBlockFilter", json!([]));
    assert_eq!(rpc.refuse("eth_getFilterChanges", json!([id])).message, "filter not found");
}

/// Writes `bytes` again and again, up to `most` in all, until the other side takes no more; returns how many it took.
fn write_until_stuck(stream: &mut TcpStream, bytes: &[u8], most: usize) -> usize {
    stream.set_write_timeout(Some(Duration::from_secs(1))).expect("a socket takes a write timeout");
    let mut taken = 0;
    while taken < most {
        match stream.write(&bytes[taken % bytes.len()..]) {
            Ok(count) => taken += count,
            Err(stuck) if matches!(stuck.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => break,
            Err(error) => panic!("the connection broke after {taken} bytes: {error}"),
        }
    }
    taken
}

#[test]
fn pipelined_requests_are_answered_in_order_however_many() {
    const REQUESTS: usize = 20_000;
    let node = Node::start_default(Target::Dev);
    let stream = TcpStream::connect(node.address()).expect("a connection");
    let mut writer = stream.try_clone().expect("a second handle");
    let writing = std::thread::spawn(move || {
        for id in 0..REQUESTS {
            let body = request(id, "eth_chainId", &json!([]));
            let head = format!(
                "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            writer.write_all(&[head.into_bytes(), body].concat()).expect("a request is taken");
        }
    });
    let mut reader = BufReader::new(stream);
    for id in 0..REQUESTS {
        let (answer, _) = read_answer(&mut reader).expect("an answer");
        assert_eq!(answer.json(), json!({"jsonrpc": "2.0", "id": id, "result": "0x7a69"}));
    }
    writing.join().expect("all were written");
}

#[test]
fn a_client_that_pipelines_and_never_reads_is_not_read_either() {
    let node = Node::start_default(Target::Dev);
    let before = resident_bytes(node.id());
    let body = request(1, "eth_getBlockByNumber", &json!(["latest", true]));
    let head = format!(
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let mut stream = narrow_connection(node.address());
    let most = 256 << 20;
    let taken = write_until_stuck(&mut stream, &[head.into_bytes(), body].concat(), most);
    assert!(taken < most, "{taken} bytes of requests were taken from a client that reads no answer");
    assert!(resident_bytes(node.id()) < before + MEMORY_BOUND);
    assert_eq!(RpcClient::new(node.address()).expect("eth_chainId", json!([])), "0x7a69");
}

#[test]
fn a_websocket_that_asks_and_never_reads_is_not_read_either() {
    let node = Node::start_default(Target::Dev);
    let before = resident_bytes(node.id());
    let mut socket = WebSocket::open_on(narrow_connection(node.address())).expect("a WebSocket opens");
    let ask = frame(FIN | TEXT, &request(1, "eth_getBlockByNumber", &json!(["latest", true])));
    let mut writer = socket.writer().expect("a second handle");
    let most = 256 << 20;
    let taken = write_until_stuck(&mut writer, &ask, most);
    assert!(taken < most, "{taken} bytes of requests were taken from a client that reads no answer");
    let used = resident_bytes(node.id()).saturating_sub(before);
    assert!(used < MEMORY_BOUND, "{used} bytes are held for a client that reads no answer");
    assert_eq!(RpcClient::new(node.address()).expect("eth_chainId", json!([])), "0x7a69");
    // When it reads after all, every request it finished is answered.
    for _ in 0..taken / ask.len() {
        // The node's pings stay unanswered: there is no room to write.
        let answer = loop {
            match socket.receive_frame().expect("an answer") {
                (first, _) if first == FIN | PING => {}
                (_, text) => break serde_json::from_slice::<Value>(&text).expect("an answer is JSON"),
            }
        };
        assert_eq!(answer["result"]["number"], "0x0", "{answer}");
    }
}

#[test]
fn heads_of_long_frames_cost_nothing_until_their_payload_comes() {
    const SOCKETS: usize = 100;
    let node = Node::start_default(Target::Dev);
    let before = resident_bytes(node.id());
    let head = frame_head(FIN | TEXT, MESSAGE_LIMIT as u64);
    let mut sockets: Vec<WebSocket> =
        (0..SOCKETS).map(|_| WebSocket::open(node.address()).expect("a WebSocket opens")).collect();
    for socket in &mut sockets {
        // The answer to the ping says that what came before it was looked at.
        socket.write(&frame(FIN | PING, b"before")).expect("a ping is taken");
        socket.write(&[head.as_slice(), b"{"].concat()).expect("a head is taken");
        assert_eq!(next_pong(socket), b"before");
    }
    // Two round trips of a client that came later: the heads were read by then.
    for _ in 0..2 {
        assert_eq!(RpcClient::new(node.address()).expect("eth_chainId", json!([])), "0x7a69");
    }
    let used = resident_bytes(node.id()).saturating_sub(before);
    assert!(used < MEMORY_BOUND, "{used} bytes are held for {SOCKETS} heads");
}

#[test]
fn a_message_is_as_long_as_the_limit_and_no_longer() {
    let node = Node::start_default(Target::Dev);
    let text = request(1, "eth_chainId", &json!([]));
    let padded = |length: usize| [text.clone(), vec![b' '; length - text.len()]].concat();

    let mut socket = WebSocket::open(node.address()).expect("a WebSocket opens");
    socket.write(&frame(FIN | TEXT, &padded(MESSAGE_LIMIT))).expect("a message within the limit is taken");
    assert_eq!(message_of(socket.receive().expect("an answer"))["result"], "0x7a69");
    assert_eq!(socket.call("eth_blockNumber", &json!([])), Ok(json!("0x0")));

    if is_reference_run() {
        return; // anvil has other limits
    }
    // One frame, and several that are too long together. The payload of the last is never sent, or awaited.
    let whole = frame_head(FIN | TEXT, MESSAGE_LIMIT as u64 + 1);
    let parts =
        [frame(TEXT, &padded(1 << 20)), frame_head(CONTINUATION, (MESSAGE_LIMIT - (1 << 20)) as u64 + 1)].concat();
    let huge = frame_head(FIN | TEXT, u64::MAX);
    for too_long in [whole, parts, huge] {
        let mut greedy = WebSocket::open(node.address()).expect("a WebSocket opens");
        assert_eq!(greedy.call("eth_chainId", &json!([])), Ok(json!("0x7a69")));
        greedy.write(&too_long).expect("a head is taken");
        match greedy.receive() {
            Ok(Frame::Close(_)) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {}
            other => panic!("not closed: {other:?}"),
        }
        assert_eq!(socket.call("eth_blockNumber", &json!([])), Ok(json!("0x0")));
    }
}

#[test]
fn a_message_in_many_fragments_with_pings_between_them_is_one_message() {
    let node = Node::start_default(Target::Dev);
    let mut socket = WebSocket::open(node.address()).expect("a WebSocket opens");
    let text = request(5, "eth_chainId", &json!([]));
    let mut bytes = frame(TEXT, b"");
    for byte in &text {
        bytes.extend(frame(CONTINUATION, &[*byte]));
        bytes.extend(frame(CONTINUATION, b""));
        bytes.extend(frame(FIN | PING, &[*byte]));
    }
    bytes.extend(frame(FIN | CONTINUATION, b""));
    socket.write(&bytes).expect("fragments are taken");
    for byte in &text {
        assert_eq!(next_pong(&mut socket), [*byte]);
    }
    let answer = message_of(socket.receive().expect("an answer"));
    assert_eq!((&answer["id"], &answer["result"]), (&json!(5), &json!("0x7a69")));
    // A fragment of nothing, and a message within a message, are mistakes that end the connection.
    for wrong in [frame(FIN | CONTINUATION, b"{}"), [frame(TEXT, b"{"), frame(FIN | TEXT, b"{}")].concat()] {
        let mut confused = WebSocket::open(node.address()).expect("a WebSocket opens");
        confused.write(&wrong).expect("frames are taken");
        assert!(!matches!(confused.receive(), Ok(Frame::Message(_))));
    }
}

#[test]
fn a_flood_of_pings_is_answered_as_it_is_read() {
    const PINGS: u32 = 50_000;
    let node = Node::start(Target::TwoProcess, &NodeOptions::default());
    let mut flooding = WebSocket::open(node.address()).expect("a WebSocket opens");
    let mut writer = flooding.writer().expect("a second handle");
    let writing = std::thread::spawn(move || {
        for number in 0..PINGS {
            writer.write_all(&frame(FIN | PING, &number.to_be_bytes())).expect("a ping is taken");
        }
    });
    for number in 0..PINGS {
        assert_eq!(next_pong(&mut flooding), number.to_be_bytes());
    }
    writing.join().expect("all were written");
    assert_eq!(flooding.call("eth_chainId", &json!([])), Ok(json!("0x7a69")));

    // One that does not read its pongs is not read either.
    let mut silent = narrow_connection(node.address());
    let socket = WebSocket::open_on(silent.try_clone().expect("a second handle")).expect("a WebSocket opens");
    let most = 64 << 20;
    let taken = write_until_stuck(&mut silent, &frame(FIN | PING, &[7; 125]), most);
    assert!(taken < most, "{taken} bytes of pings were taken from a client that reads no pong");
    assert_eq!(flooding.call("eth_chainId", &json!([])), Ok(json!("0x7a69")));
    drop(socket);
}
