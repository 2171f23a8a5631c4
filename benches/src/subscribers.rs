//! Many WebSocket clients that listen: each a socket and a counter, all read by a few threads.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use alloy_primitives::{Address, keccak256};
use eyre::{Result, WrapErr, ensure, eyre};

use crate::http::Endpoint;

/// Threads that read the sockets.
const READERS: usize = 2;
/// Pause between two looks at a socket: long, since each look costs a system call that the node's machine pays for.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long the last notifications may take after the load has ended.
const DRAIN_FOR: Duration = Duration::from_secs(10);
/// How long a handshake or a subscription may take.
const IO_TIMEOUT: Duration = Duration::from_secs(20);
/// Longest frame accepted, in bytes.
const MAX_FRAME_BYTES: usize = 1 << 20;

/// One client, subscribed to new heads and to transfers to one account.
#[derive(Debug)]
pub struct Subscriber {
    stream: TcpStream,
    received: Vec<u8>,
    heard: Heard,
}

/// What a client was told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// New heads.
    pub heads: u64,
    /// Logs.
    pub logs: u64,
}

impl Subscriber {
    /// Connects and subscribes.
    ///
    /// # Errors
    /// When the node does not take the connection or a subscription.
    pub fn open(endpoint: &Endpoint, recipient: Address) -> Result<Self> {
        let stream = endpoint.open()?;
        stream.set_read_timeout(Some(IO_TIMEOUT))?;
        let mut subscriber = Self { stream, received: Vec::new(), heard: Heard::default() };
        subscriber.greet()?;
        let transfer = keccak256("Transfer(address,address,uint256)");
        let logs = format!(r#""logs",{{"topics":["{transfer}",null,"{}"]}}"#, recipient.into_word());
        for topic in [r#""newHeads""#.to_owned(), logs] {
            subscriber.subscribe(&topic)?;
        }
        subscriber.stream.set_nonblocking(true)?;
        Ok(subscriber)
    }

    fn greet(&mut self) -> Result<()> {
        // The key is any 16 bytes in base64; the answer's proof of it is not our concern.
        self.stream.write_all(
            b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
              Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
        )?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            self.stream.read_exact(&mut byte).wrap_err("no handshake")?;
            head.push(byte[0]);
        }
        ensure!(head.starts_with(b"HTTP/1.1 101"), "no WebSocket: {}", String::from_utf8_lossy(&head));
        Ok(())
    }

    fn subscribe(&mut self, topic: &str) -> Result<()> {
        let text = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"eth_subscribe","params":[{topic}]}}"#);
        let length = u16::try_from(text.len())?;
        let mut frame = vec![0x81];
        if length < 126 {
            frame.push(0x80 | length as u8);
        } else {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&length.to_be_bytes());
        }
        // Masking with zeros is masking.
        frame.extend_from_slice(&[0; 4]);
        frame.extend_from_slice(text.as_bytes());
        self.stream.write_all(&frame)?;
        // Notifications of the other subscription may come first.
        loop {
            while let Some((_, payload)) = self.take_frame()? {
                if contains(&payload, b"\"id\":1") {
                    ensure!(contains(&payload, b"\"result\""), "refused: {}", String::from_utf8_lossy(&payload));
                    return Ok(());
                }
            }
            let mut bytes = [0; 4096];
            let count = self.stream.read(&mut bytes).wrap_err("no answer to a subscription")?;
            ensure!(count > 0, "the node closed a WebSocket");
            self.received.extend_from_slice(&bytes[..count]);
        }
    }

    /// Takes in what has arrived.
    ///
    /// # Errors
    /// When the node closed the connection, or sent what is no frame.
    pub fn look(&mut self) -> Result<()> {
        let mut bytes = [0; 16 << 10];
        loop {
            match self.stream.read(&mut bytes) {
                Ok(0) => return Err(eyre!("the node closed a WebSocket")),
                Ok(count) => self.received.extend_from_slice(&bytes[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error).wrap_err("a WebSocket broke"),
            }
        }
        while let Some((opcode, payload)) = self.take_frame()? {
            match opcode {
                0x1 if contains(&payload, b"\"logIndex\"") => self.heard.logs += 1,
                0x1 if contains(&payload, b"\"parentHash\"") => self.heard.heads += 1,
                // A ping; the answer is small enough for any socket's buffer.
                0x9 => self.stream.write_all(&[0x8a, 0x80, 0, 0, 0, 0])?,
                0x8 => return Err(eyre!("the node ended a WebSocket")),
                _ => {}
            }
        }
        Ok(())
    }

    /// The next whole frame's opcode and payload.
    fn take_frame(&mut self) -> Result<Option<(u8, Vec<u8>)>> {
        let Some((&[first, second], rest)) = self.received.split_first_chunk::<2>() else {
            return Ok(None);
        };
        let (length, head) = match second {
            127.. => return Err(eyre!("a frame longer than any notification")),
            126 => match rest.first_chunk::<2>() {
                Some(length) => (usize::from(u16::from_be_bytes(*length)), 4),
                None => return Ok(None),
            },
            length => (usize::from(length), 2),
        };
        ensure!(length <= MAX_FRAME_BYTES, "a frame of {length} bytes");
        let Some(payload) = self.received.get(head..head + length) else {
            return Ok(None);
        };
        let frame = (first & 0x0f, payload.to_vec());
        self.received.drain(..head + length);
        Ok(Some(frame))
    }
}

fn contains(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|window| window == word)
}

/// Reads all of them while `load` runs and until each has heard of as many blocks as the load's result names. Returns
/// the load's result and what each client heard.
///
/// # Errors
/// When the load fails, or a client is cut off.
pub fn listen_during<T: Send>(
    subscribers: Vec<Subscriber>,
    load: impl FnOnce() -> Result<T> + Send,
    blocks_of: impl Fn(&T) -> u64,
) -> Result<(T, Vec<Heard>)> {
    let done = &AtomicBool::new(false);
    std::thread::scope(|scope| {
        let mut rest = subscribers;
        let mut readers = Vec::new();
        let share = rest.len().div_ceil(READERS).max(1);
        while !rest.is_empty() {
            let mut mine = rest.split_off(rest.len().saturating_sub(share));
            readers.push(scope.spawn(move || -> Result<Vec<Subscriber>> {
                while !done.load(Ordering::Acquire) {
                    mine.iter_mut().try_for_each(Subscriber::look)?;
                    std::thread::sleep(LOOK_EVERY);
                }
                Ok(mine)
            }));
        }
        let loaded = load();
        done.store(true, Ordering::Release);
        let mut subscribers = Vec::new();
        for reader in readers {
            subscribers.extend(reader.join().map_err(|_| eyre!("a reader panicked"))??);
        }
        let loaded = loaded?;
        let (wanted, end) = (blocks_of(&loaded), Instant::now() + DRAIN_FOR);
        while subscribers.iter().any(|subscriber| subscriber.heard.heads < wanted) && Instant::now() < end {
            subscribers.iter_mut().try_for_each(Subscriber::look)?;
            std::thread::sleep(LOOK_EVERY);
        }
        Ok((loaded, subscribers.iter().map(|subscriber| subscriber.heard).collect()))
    })
}
