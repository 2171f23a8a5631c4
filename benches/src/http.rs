//! A small blocking HTTP/1.1 client: one keep-alive connection, one request at a time.
//!
//! Small on purpose: the client shares the machine with the node it measures, so each microsecond
//! spent here is one the node does not get.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use eyre::{Result, WrapErr, bail, ensure};
use rustls::{ClientConfig, ClientConnection, StreamOwned};

/// Longest response accepted, in bytes.
const MAX_RESPONSE_BYTES: usize = 256 << 20;
/// Longest response head accepted, in bytes.
const MAX_HEAD_BYTES: usize = 64 << 10;
/// How long one read or write may block.
const IO_TIMEOUT: Duration = Duration::from_secs(60);

/// The address of a node on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    address: SocketAddr,
    path: String,
    /// Tokens of sessions, taken in turns by connections; the first one also by who is none of them.
    tokens: Arc<[String]>,
    tls: Option<Tls>,
}

/// How TLS is spoken, and whose certificates are taken.
#[derive(Clone, Debug)]
struct Tls(Arc<ClientConfig>);

impl PartialEq for Tls {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Tls {}

impl Endpoint {
    /// The endpoint at `127.0.0.1:port`.
    #[must_use]
    pub fn local(port: u16) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        Self { address, path: "/".to_owned(), tokens: Arc::default(), tls: None }
    }

    /// Parses `http://host:port[/path]`.
    ///
    /// # Errors
    /// When the text is no such URL, or names an address outside the loopback range: a load
    /// generator pointed at somebody else's machine is an attack.
    pub fn parse(url: &str) -> Result<Self> {
        let rest = url.strip_prefix("http://").ok_or_else(|| eyre::eyre!("'{url}' does not start with http://"))?;
        let (authority, path) = match rest.find('/') {
            Some(at) => (&rest[..at], &rest[at..]),
            None => (rest, "/"),
        };
        let address = authority
            .to_socket_addrs()
            .wrap_err_with(|| format!("'{authority}' is not a host:port pair"))?
            .find(|candidate| candidate.ip().is_loopback());
        match address {
            Some(address) => Ok(Self { address, path: path.to_owned(), tokens: Arc::default(), tls: None }),
            None => bail!("'{authority}' is not a loopback address; only this machine is driven"),
        }
    }

    /// The same endpoint for those who have signed in.
    #[must_use]
    pub fn with_tokens(&self, tokens: Vec<String>) -> Self {
        Self { tokens: tokens.into(), ..self.clone() }
    }

    /// The same endpoint over TLS.
    #[must_use]
    pub fn over_tls(&self, config: ClientConfig) -> Self {
        Self { tls: Some(Tls(Arc::new(config))), ..self.clone() }
    }

    /// How many sessions there are.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.tokens.len()
    }

    /// The endpoint as the `index`-th connection uses it.
    #[must_use]
    pub fn of_connection(&self, index: usize) -> Self {
        let token = self.tokens.get(index % self.tokens.len().max(1));
        self.with_tokens(token.into_iter().cloned().collect())
    }

    /// The TCP port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.address.port()
    }

    /// Opens a socket.
    ///
    /// # Errors
    /// When nothing listens there.
    pub fn open(&self) -> Result<TcpStream> {
        ensure!(self.address.ip().is_loopback(), "not a loopback address");
        let stream = TcpStream::connect_timeout(&self.address, Duration::from_secs(5))
            .wrap_err_with(|| format!("cannot connect to {}", self.address))?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// Opens a keep-alive connection.
    ///
    /// # Errors
    /// When nothing listens there.
    pub fn connect(&self) -> Result<Connection> {
        let stream = self.open()?;
        stream.set_read_timeout(Some(IO_TIMEOUT))?;
        stream.set_write_timeout(Some(IO_TIMEOUT))?;
        let stream = match &self.tls {
            None => Stream::Clear(stream),
            Some(Tls(config)) => {
                let connection = ClientConnection::new(config.clone(), self.address.ip().into())?;
                Stream::Tls(Box::new(StreamOwned::new(connection, stream)))
            }
        };
        let authorization =
            self.tokens.first().map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
        let head = format!(
            "POST {} HTTP/1.1\r\nHost: {}\r\n{authorization}Content-Type: application/json\r\nContent-Length: ",
            self.path, self.address
        );
        Ok(Connection {
            stream,
            head: head.into_bytes(),
            request: Vec::with_capacity(1 << 16),
            received: Vec::with_capacity(1 << 18),
            body: Vec::new(),
        })
    }
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.address, self.path)
    }
}

/// What bytes go over.
#[derive(Debug)]
enum Stream {
    Clear(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Read for Stream {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::Clear(stream) => stream.read(buf),
            Self::Tls(stream) => stream.read(buf),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
        match self {
            Self::Clear(stream) => stream.write(buf),
            Self::Tls(stream) => stream.write(buf),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match self {
            Self::Clear(stream) => stream.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

/// One keep-alive connection.
#[derive(Debug)]
pub struct Connection {
    stream: Stream,
    head: Vec<u8>,
    request: Vec<u8>,
    received: Vec<u8>,
    body: Vec<u8>,
}

/// Where the body of a response lies, from its head.
#[derive(Debug, PartialEq, Eq)]
enum Framing {
    Length(usize),
    Chunked,
}

impl Connection {
    /// Posts `body` and returns the response's body.
    ///
    /// # Errors
    /// On a status other than 200, a malformed or oversized response, or a broken connection.
    pub fn post(&mut self, body: &[u8]) -> Result<&[u8]> {
        self.request.clear();
        self.request.extend_from_slice(&self.head);
        write!(self.request, "{}\r\n\r\n", body.len())?;
        self.request.extend_from_slice(body);
        self.stream.write_all(&self.request).wrap_err("cannot send the request")?;
        self.received.clear();
        let body_start = self.read_head()?;
        let (status, framing) = parse_head(&self.received[..body_start])?;
        match framing {
            Framing::Length(length) => {
                self.fill_to(body_start + length)?;
                self.body.clear();
                self.body.extend_from_slice(&self.received[body_start..body_start + length]);
            }
            Framing::Chunked => self.read_chunks(body_start)?,
        }
        ensure!(
            status == 200,
            "HTTP status {status}: {}",
            String::from_utf8_lossy(&self.body[..self.body.len().min(300)])
        );
        Ok(&self.body)
    }

    fn read_more(&mut self) -> Result<()> {
        let at = self.received.len();
        self.received.resize((at + (64 << 10)).max(self.received.capacity()), 0);
        loop {
            match self.stream.read(&mut self.received[at..]) {
                Ok(0) => bail!("the node closed the connection"),
                Ok(count) => {
                    self.received.truncate(at + count);
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error).wrap_err("cannot read the response"),
            }
        }
    }

    fn read_head(&mut self) -> Result<usize> {
        let mut searched = 0;
        loop {
            if let Some(at) = find(&self.received[searched..], b"\r\n\r\n") {
                return Ok(searched + at + 4);
            }
            searched = self.received.len().saturating_sub(3);
            ensure!(searched < MAX_HEAD_BYTES, "the response head is too long");
            self.read_more()?;
        }
    }

    fn fill_to(&mut self, length: usize) -> Result<()> {
        ensure!(length <= MAX_RESPONSE_BYTES, "the response is too long");
        while self.received.len() < length {
            self.read_more()?;
        }
        Ok(())
    }

    fn read_chunks(&mut self, body_start: usize) -> Result<()> {
        self.body.clear();
        let mut at = body_start;
        loop {
            let line_end = loop {
                match find(&self.received[at..], b"\r\n") {
                    Some(offset) => break at + offset,
                    None => self.read_more()?,
                }
            };
            let line = std::str::from_utf8(&self.received[at..line_end])?;
            let size_text = line.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(size_text, 16).wrap_err("malformed chunk size")?;
            ensure!(size <= MAX_RESPONSE_BYTES - self.body.len(), "the response is too long");
            let data = line_end + 2;
            self.fill_to(data + size + 2)?;
            self.body.extend_from_slice(&self.received[data..data + size]);
            at = data + size + 2;
            if size == 0 {
                return Ok(());
            }
        }
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

fn parse_head(head: &[u8]) -> Result<(u16, Framing)> {
    let text = std::str::from_utf8(head).wrap_err("the response head is not text")?;
    let mut lines = text.split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.strip_prefix("HTTP/1.1 "))
        .and_then(|rest| rest.get(..3))
        .and_then(|code| code.parse().ok())
        .ok_or_else(|| eyre::eyre!("not an HTTP/1.1 response"))?;
    let mut framing = None;
    for line in lines {
        let Some((name, value)) = line.split_once(':') else {
            continue;
        };
        if name.eq_ignore_ascii_case("content-length") {
            framing = Some(Framing::Length(value.trim().parse()?));
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            ensure!(value.trim().eq_ignore_ascii_case("chunked"), "unknown transfer encoding '{}'", value.trim());
            framing = Some(Framing::Chunked);
        }
    }
    framing.map(|framing| (status, framing)).ok_or_else(|| eyre::eyre!("the response states no length"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn refuses_every_address_that_is_not_loopback() {
        for url in [
            "http://10.0.0.1:8545",
            "http://192.168.1.2:8545/",
            "http://0.0.0.0:8545",
            "http://8.8.8.8:80",
            "https://127.0.0.1:8545",
            "127.0.0.1:8545",
            "http://127.0.0.1",
        ] {
            assert!(Endpoint::parse(url).is_err(), "{url}");
        }
        let endpoint = Endpoint::parse("http://127.0.0.1:8545/rpc").unwrap();
        assert_eq!(endpoint.to_string(), "http://127.0.0.1:8545/rpc");
        assert_eq!(Endpoint::parse("http://[::1]:9").unwrap().port(), 9);
    }

    /// Answers each response in turn, written in pieces of three bytes.
    fn serve(responses: Vec<&'static str>) -> (Endpoint, std::thread::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = Endpoint::local(listener.local_addr().unwrap().port());
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut requests = Vec::new();
            for response in responses {
                let mut request = vec![0; 4096];
                let count = stream.read(&mut request).unwrap();
                requests.push(String::from_utf8(request[..count].to_vec()).unwrap());
                for piece in response.as_bytes().chunks(3) {
                    stream.write_all(piece).unwrap();
                }
            }
            requests
        });
        (endpoint, server)
    }

    #[test]
    fn keeps_the_connection_and_reads_both_framings() {
        let (endpoint, server) = serve(vec![
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nwiki\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n",
            "HTTP/1.1 429 Too Many Requests\r\nContent-Length: 4\r\n\r\nslow",
        ]);
        let mut connection = endpoint.connect().unwrap();
        assert_eq!(connection.post(b"one").unwrap(), b"hello");
        assert_eq!(connection.post(b"two!").unwrap(), b"wiki0123456789");
        let error = connection.post(b"three").unwrap_err().to_string();
        assert_eq!(error, "HTTP status 429: slow");
        let requests = server.join().unwrap();
        assert!(requests[1].ends_with("Content-Length: 4\r\n\r\ntwo!"));
    }

    #[test]
    fn a_response_without_a_length_is_an_error() {
        let head = b"HTTP/1.1 200 OK\r\nServer: x\r\n\r\n";
        assert!(parse_head(head).is_err());
        assert!(parse_head(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n").is_err());
        assert!(parse_head(b"SSH-2.0\r\n\r\n").is_err());
    }
}
