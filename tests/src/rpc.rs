//! JSON-RPC over HTTP/1.1 on a plain socket: the bytes are ours, so that a test can also send wrong ones.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};

/// How long an answer may take before the test gives up on it.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// An error object of a JSON-RPC answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RpcError {
    /// `error.code`.
    pub code: i64,
    /// `error.message`.
    pub message: String,
    /// `error.data`, where present: for reverts the returned bytes as hex.
    pub data: Option<Value>,
}

impl fmt::Display for RpcError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code, self.message)?;
        self.data.as_ref().map_or(Ok(()), |data| write!(f, " data {data}"))
    }
}

/// What came back over HTTP, before anyone reads it as JSON.
#[derive(Clone, Debug)]
pub struct HttpAnswer {
    /// The status code, for example 200.
    pub status: u16,
    /// The body after chunked encoding was undone.
    pub body: Vec<u8>,
}

impl HttpAnswer {
    /// The body as JSON.
    ///
    /// # Panics
    /// If it is not JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| {
            panic!("status {}, body is not JSON ({e}): {}", self.status, String::from_utf8_lossy(&self.body))
        })
    }
}

/// A client on one kept-alive connection; it connects again when the server closed it.
#[derive(Debug)]
pub struct RpcClient {
    address: SocketAddr,
    connection: RefCell<Option<BufReader<TcpStream>>>,
    next_id: Cell<u64>,
}

impl RpcClient {
    /// A client of the node at `address`; connects on first use.
    #[must_use]
    pub const fn new(address: SocketAddr) -> Self {
        Self { address, connection: RefCell::new(None), next_id: Cell::new(1) }
    }

    /// Calls `method`; the transport must work, the method may fail.
    ///
    /// # Errors
    /// The error object the node answered with.
    ///
    /// # Panics
    /// If there is no answer, or it is not a JSON-RPC answer to this request.
    pub fn call(&self, method: &str, params: Value) -> Result<Value, RpcError> {
        self.try_call(method, params).unwrap_or_else(|e| panic!("{method}: no answer from {}: {e}", self.address))
    }

    /// Like [`Self::call`], for a node that may be gone: the outer error is the connection's.
    ///
    /// # Errors
    /// If the connection cannot be made or breaks.
    ///
    /// # Panics
    /// If the answer is not a JSON-RPC answer to this request.
    pub fn try_call(&self, method: &str, params: Value) -> io::Result<Result<Value, RpcError>> {
        let id = self.next_id.replace(self.next_id.get() + 1);
        let request = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        let answer = self.post(request.to_string().as_bytes())?.json();
        assert_eq!(answer["id"], id, "{method}: the answer carries another id: {answer}");
        Ok(outcome(&answer))
    }

    /// Calls `method` and takes its result.
    ///
    /// # Panics
    /// If the node answers with an error.
    pub fn expect(&self, method: &str, params: Value) -> Value {
        self.call(method, params.clone()).unwrap_or_else(|e| panic!("{method} {params}: {e}"))
    }

    /// Calls `method` and takes its error.
    ///
    /// # Panics
    /// If the node answers with a result.
    pub fn refuse(&self, method: &str, params: Value) -> RpcError {
        match self.call(method, params.clone()) {
            Err(error) => error,
            Ok(result) => panic!("{method} {params}: expected an error, got {result}"),
        }
    }

    /// Posts `body` as it is.
    ///
    /// # Errors
    /// If the connection cannot be made, breaks, or the answer is not HTTP.
    pub fn post(&self, body: &[u8]) -> io::Result<HttpAnswer> {
        // A server may close an idle connection at any time: one silent retry on a fresh one.
        let reused = self.connection.borrow().is_some();
        match self.post_once(body) {
            Err(_) if reused => {
                self.connection.replace(None);
                self.post_once(body)
            }
            other => other,
        }
    }

    fn post_once(&self, body: &[u8]) -> io::Result<HttpAnswer> {
        let mut slot = self.connection.borrow_mut();
        if slot.is_none() {
            *slot = Some(BufReader::new(connect(self.address)?));
        }
        let connection = slot.as_mut().expect("connected above");
        let mut request = format!(
            "POST / HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            self.address,
            body.len()
        )
        .into_bytes();
        request.extend_from_slice(body);
        let written = connection.get_mut().write_all(&request);
        // A refusal of an oversized body may arrive while we are still writing it: read before giving up.
        let answer = read_answer(connection);
        match answer {
            Ok((answer, keep)) => {
                if !keep || written.is_err() {
                    *slot = None;
                }
                Ok(answer)
            }
            Err(e) => {
                *slot = None;
                Err(written.err().unwrap_or(e))
            }
        }
    }
}

/// Asks for a path with GET, on a connection of its own.
///
/// # Errors
/// If nobody listens there, the connection breaks, or the answer is not HTTP.
pub fn get(address: SocketAddr, path: &str) -> io::Result<HttpAnswer> {
    let mut connection = BufReader::new(connect(address)?);
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    connection.get_mut().write_all(request.as_bytes())?;
    Ok(read_answer(&mut connection)?.0)
}

/// A connection with [`ANSWER_TIMEOUT`] on reads and writes.
///
/// # Errors
/// If nobody listens there.
pub fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    stream.set_write_timeout(Some(ANSWER_TIMEOUT))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Splits a JSON-RPC answer into its result or its error.
///
/// # Errors
/// The error object, where there is one.
///
/// # Panics
/// If the answer is neither.
pub fn outcome(answer: &Value) -> Result<Value, RpcError> {
    assert_eq!(answer["jsonrpc"], "2.0", "not a JSON-RPC answer: {answer}");
    let Some(error) = answer.get("error") else {
        return Ok(answer.get("result").unwrap_or_else(|| panic!("neither result nor error: {answer}")).clone());
    };
    Err(RpcError {
        code: error["code"].as_i64().unwrap_or_else(|| panic!("an error without a code: {answer}")),
        message: error["message"].as_str().unwrap_or_else(|| panic!("an error without a message: {answer}")).to_owned(),
        data: error.get("data").filter(|data| !data.is_null()).cloned(),
    })
}

/// Reads one HTTP/1.1 answer; the flag says whether the connection stays open.
///
/// # Errors
/// If the connection breaks or what arrives is not HTTP.
pub fn read_answer(connection: &mut impl BufRead) -> io::Result<(HttpAnswer, bool)> {
    let status_line = read_line(connection)?;
    let status = status_line
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..3))
        .and_then(|code| code.parse().ok())
        .ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidData, format!("not an HTTP status line: {status_line:?}"))
        })?;
    let (mut length, mut chunked, mut keep) = (None, false, true);
    loop {
        let line = read_line(connection)?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.trim().to_ascii_lowercase();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse::<usize>().ok(),
            "transfer-encoding" => chunked = value.contains("chunked"),
            "connection" => keep = !value.contains("close"),
            _ => {}
        }
    }
    let mut body = Vec::new();
    match length {
        _ if chunked => read_chunks(connection, &mut body)?,
        Some(length) => {
            body.resize(length, 0);
            connection.read_exact(&mut body)?;
        }
        None => {
            keep = false;
            connection.read_to_end(&mut body)?;
        }
    }
    Ok((HttpAnswer { status, body }, keep))
}

fn read_chunks(connection: &mut impl BufRead, body: &mut Vec<u8>) -> io::Result<()> {
    loop {
        let line = read_line(connection)?;
        let size = usize::from_str_radix(line.split(';').next().unwrap_or_default().trim(), 16)
            .map_err(|e| io::Error::new(io::ErrorKind::InvalidData, format!("bad chunk size {line:?}: {e}")))?;
        let start = body.len();
        body.resize(start + size, 0);
        connection.read_exact(&mut body[start..])?;
        read_line(connection)?;
        if size == 0 {
            return Ok(());
        }
    }
}

fn read_line(connection: &mut impl BufRead) -> io::Result<String> {
    let mut line = Vec::new();
    connection.take(64 * 1024).read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned())
}

/// A quantity such as `"0x1a"` as a number.
///
/// # Panics
/// If it is not one, or exceeds 64 bits.
#[must_use]
pub fn quantity(value: &Value) -> u64 {
    let text = value.as_str().unwrap_or_else(|| panic!("not a quantity: {value}"));
    u64::from_str_radix(text.trim_start_matches("0x"), 16).unwrap_or_else(|e| panic!("not a quantity: {value}: {e}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_body_arrives_by_length_or_in_chunks() {
        let plain = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}".as_slice();
        let (answer, keep) = read_answer(&mut BufReader::new(plain)).unwrap();
        assert_eq!((answer.status, answer.body.as_slice(), keep), (200, b"{}".as_slice(), true));

        let chunked = b"HTTP/1.1 413 Payload Too Large\r\ntransfer-encoding: chunked\r\nConnection: close\r\n\r\n3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n".as_slice();
        let (answer, keep) = read_answer(&mut BufReader::new(chunked)).unwrap();
        assert_eq!((answer.status, answer.body.as_slice(), keep), (413, b"abcd".as_slice(), false));
    }

    #[test]
    fn an_answer_is_a_result_or_an_error_object() {
        assert_eq!(outcome(&json!({"jsonrpc": "2.0", "id": 1, "result": null})), Ok(Value::Null));
        let error = outcome(
            &json!({"jsonrpc": "2.0", "id": 1, "error": {"code": 3, "message": "execution reverted", "data": "0x"}}),
        );
        assert_eq!(error, Err(RpcError { code: 3, message: "execution reverted".into(), data: Some(json!("0x")) }));
    }
}
