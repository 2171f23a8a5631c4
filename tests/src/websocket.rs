//! A WebSocket client of a few lines (RFC 6455): text frames, masked, no extensions. Enough to subscribe, and to misbehave.

use std::io::{self, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};

use crate::rpc::{RpcError, connect, outcome};

/// One open WebSocket.
#[derive(Debug)]
pub struct WebSocket {
    stream: BufReader<TcpStream>,
    next_id: u64,
    /// Notifications that arrived while an answer was awaited.
    waiting: Vec<Value>,
}

/// What arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// A text or binary message.
    Message(Vec<u8>),
    /// The server closes, with its code where it gave one.
    Close(Option<u16>),
}

impl WebSocket {
    /// Opens one at `address`.
    ///
    /// # Errors
    /// If the connection or the handshake fails.
    pub fn open(address: SocketAddr) -> io::Result<Self> {
        let mut stream = connect(address)?;
        // The key is any 16 bytes in base64; the answer's proof of it is not our concern.
        write!(
            stream,
            "GET / HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )?;
        let mut stream = BufReader::new(stream);
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
            head.push(byte[0]);
        }
        if !head.starts_with(b"HTTP/1.1 101") {
            return Err(io::Error::new(io::ErrorKind::ConnectionRefused, String::from_utf8_lossy(&head).into_owned()));
        }
        Ok(Self { stream, next_id: 1, waiting: Vec::new() })
    }

    /// Sends one text message.
    ///
    /// # Errors
    /// If the connection broke.
    pub fn send(&mut self, text: &[u8]) -> io::Result<()> {
        let mut frame = vec![0x81];
        match text.len() {
            length @ 0..=125 => frame.push(0x80 | u8::try_from(length).expect("at most 125")),
            length @ 126..=0xffff => {
                frame.push(0x80 | 126);
                frame.extend_from_slice(&u16::try_from(length).expect("at most 65,535").to_be_bytes());
            }
            length => {
                frame.push(0x80 | 127);
                frame.extend_from_slice(&(length as u64).to_be_bytes());
            }
        }
        // Masking with zeros is masking, and keeps the bytes readable in a capture.
        frame.extend_from_slice(&[0; 4]);
        frame.extend_from_slice(text);
        self.stream.get_mut().write_all(&frame)
    }

    /// Waits for the next message or close; answers pings on the way.
    ///
    /// # Errors
    /// If nothing arrives in time or the connection broke.
    pub fn receive(&mut self) -> io::Result<Frame> {
        let mut message = Vec::new();
        loop {
            let mut head = [0; 2];
            self.stream.read_exact(&mut head)?;
            let length = match head[1] & 0x7f {
                126 => u64::from(u16::from_be_bytes(self.read_array()?)),
                127 => u64::from_be_bytes(self.read_array()?),
                length => u64::from(length),
            };
            let mut payload = vec![0; usize::try_from(length).map_err(io::Error::other)?];
            self.stream.read_exact(&mut payload)?;
            match head[0] & 0x0f {
                0x8 => {
                    return Ok(Frame::Close(payload.first_chunk().map(|code| u16::from_be_bytes(*code))));
                }
                0x9 => self.stream.get_mut().write_all(&[0x8a, 0x80, 0, 0, 0, 0])?,
                0xa => {}
                _ => {
                    message.extend_from_slice(&payload);
                    if head[0] & 0x80 != 0 {
                        return Ok(Frame::Message(message));
                    }
                }
            }
        }
    }

    fn read_array<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.stream.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn receive_json(&mut self) -> Value {
        match self.receive().expect("a WebSocket message in time") {
            Frame::Message(text) => serde_json::from_slice(&text).expect("a WebSocket message is JSON"),
            Frame::Close(code) => panic!("the server closed the WebSocket: {code:?}"),
        }
    }

    /// Calls `method` and waits for its answer; notifications that come first are kept.
    ///
    /// # Errors
    /// The error object the node answered with.
    ///
    /// # Panics
    /// If the connection breaks.
    pub fn call(&mut self, method: &str, params: &Value) -> Result<Value, RpcError> {
        let id = self.next_id;
        self.next_id += 1;
        let request = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        self.send(request.to_string().as_bytes()).expect("the WebSocket takes a request");
        loop {
            let message = self.receive_json();
            if message.get("id").is_some() {
                assert_eq!(message["id"], id, "an answer to another request: {message}");
                return outcome(&message);
            }
            self.waiting.push(message);
        }
    }

    /// The next notification of `subscription`: its `params.result`.
    ///
    /// # Panics
    /// If none arrives in time or the connection breaks.
    pub fn notification(&mut self, subscription: &Value) -> Value {
        let ours = |message: &Value| message["params"]["subscription"] == *subscription;
        if let Some(at) = self.waiting.iter().position(ours) {
            return self.waiting.remove(at)["params"]["result"].clone();
        }
        loop {
            let message = self.receive_json();
            assert_eq!(message["method"], "eth_subscription", "not a notification: {message}");
            if ours(&message) {
                return message["params"]["result"].clone();
            }
            self.waiting.push(message);
        }
    }

    /// Changes how long [`Self::receive`] waits.
    ///
    /// # Panics
    /// If the socket does not take it.
    pub fn set_patience(&self, patience: Duration) {
        self.stream.get_ref().set_read_timeout(Some(patience)).expect("a socket takes a read timeout");
    }
}
