//! A WebSocket client of a few lines (RFC 6455): text frames, masked, no extensions. Enough to subscribe, and to misbehave.

use std::io::{self, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};

use crate::rpc::{RpcError, connect, outcome};

/// Set in the first byte of a message's last frame.
pub const FIN: u8 = 0x80;
/// First byte of a frame that continues a message.
pub const CONTINUATION: u8 = 0x0;
/// First byte of a text message.
pub const TEXT: u8 = 0x1;
/// First byte of the frame that ends a connection.
pub const CLOSE: u8 = 0x8;
/// First byte of a frame that is to be answered with a pong.
pub const PING: u8 = 0x9;
/// First byte of that answer.
pub const PONG: u8 = 0xa;

/// What comes before a client's payload of `length` bytes.
#[must_use]
pub fn frame_head(first: u8, length: u64) -> Vec<u8> {
    let mut head = vec![first];
    match length {
        0..=125 => head.push(0x80 | u8::try_from(length).expect("at most 125")),
        126..=0xffff => {
            head.push(0x80 | 126);
            head.extend_from_slice(&u16::try_from(length).expect("at most 65,535").to_be_bytes());
        }
        _ => {
            head.push(0x80 | 127);
            head.extend_from_slice(&length.to_be_bytes());
        }
    }
    // Masking with zeros is masking, and keeps the bytes readable in a capture.
    head.extend_from_slice(&[0; 4]);
    head
}

/// A client's frame.
#[must_use]
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = frame_head(first, payload.len() as u64);
    frame.extend_from_slice(payload);
    frame
}

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
        Self::open_on(connect(address)?)
    }

    /// Opens one on a connection.
    ///
    /// # Errors
    /// If the handshake fails.
    pub fn open_on(stream: TcpStream) -> io::Result<Self> {
        Self::open_with(stream, "/", &[])
    }

    /// Opens one on a connection, at a path and with further headers.
    ///
    /// # Errors
    /// If the handshake fails; with the status line then.
    pub fn open_with(mut stream: TcpStream, path: &str, headers: &[(&str, &str)]) -> io::Result<Self> {
        let address = stream.peer_addr()?;
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        // The key is any 16 bytes in base64; the answer's proof of it is not our concern.
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: {address}\r\n{headers}Upgrade: websocket\r\nConnection: Upgrade\r\n\
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
        self.write(&frame(FIN | TEXT, text))
    }

    /// Sends bytes as they are: frames in any order, or parts of them.
    ///
    /// # Errors
    /// If the connection broke, or takes nothing for as long as it may take.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    /// Waits for the next message or close; answers pings on the way.
    ///
    /// # Errors
    /// If nothing arrives in time or the connection broke.
    pub fn receive(&mut self) -> io::Result<Frame> {
        let mut message = Vec::new();
        loop {
            let (first, payload) = self.receive_frame()?;
            match first & 0x0f {
                CLOSE => {
                    return Ok(Frame::Close(payload.first_chunk().map(|code| u16::from_be_bytes(*code))));
                }
                PING => self.write(&frame(FIN | PONG, &payload))?,
                PONG => {}
                _ => {
                    message.extend_from_slice(&payload);
                    if first & FIN != 0 {
                        return Ok(Frame::Message(message));
                    }
                }
            }
        }
    }

    /// Waits for the next frame: its first byte and its payload.
    ///
    /// # Errors
    /// If nothing arrives in time or the connection broke.
    pub fn receive_frame(&mut self) -> io::Result<(u8, Vec<u8>)> {
        let [first, second] = self.read_array()?;
        let length = match second & 0x7f {
            126 => u64::from(u16::from_be_bytes(self.read_array()?)),
            127 => u64::from_be_bytes(self.read_array()?),
            length => u64::from(length),
        };
        let mut payload = vec![0; usize::try_from(length).map_err(io::Error::other)?];
        self.stream.read_exact(&mut payload)?;
        Ok((first, payload))
    }

    /// Another handle on the connection, to write while this one reads.
    ///
    /// # Errors
    /// If the system has no more handles.
    pub fn writer(&self) -> io::Result<TcpStream> {
        self.stream.get_ref().try_clone()
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

    /// Waits until `subscription` ends with an error: its `params.error`. What it told before is dropped.
    ///
    /// # Panics
    /// If it does not end in time or the connection breaks.
    pub fn notification_error(&mut self, subscription: &Value) -> String {
        loop {
            let message = if self.waiting.is_empty() { self.receive_json() } else { self.waiting.remove(0) };
            assert_eq!(message["method"], "eth_subscription", "not a notification: {message}");
            if let (true, Some(error)) =
                (message["params"]["subscription"] == *subscription, message["params"]["error"].as_str())
            {
                return error.to_owned();
            }
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
