use std::collections::BTreeMap;

use cloister_access::Caller;
use cloister_boundary::{ConnId, FromEnclave};
use cloister_rpc::{CoreHandle, Handler, Served};
use jsonrpsee::Methods;
use tokio::sync::mpsc;

use super::*;
use crate::{outbound::Outbound, stream::ConnectionHandle};

/// One second for everything, so that a test that waits for the end of it ends.
fn impatient() -> ServerLimits {
    ServerLimits { idle_s: 1, request_s: 1, ..ServerLimits::default() }
}

/// A connection that is served, and what the host is told about it.
struct Client {
    handle: ConnectionHandle,
    sent: mpsc::UnboundedReceiver<FromEnclave>,
    // A server without these would end.
    _methods: watch::Sender<Option<Offered>>,
    _finished: mpsc::UnboundedReceiver<ConnId>,
}

impl Client {
    fn new(limits: ServerLimits) -> Self {
        let echo = Handler::new(|_, params| {
            Box::pin(async move { Ok(serde_json::to_vec(&params.one::<String>()?).unwrap_or_default()) })
        });
        let served = Served::new(Methods::new(), BTreeMap::from([("echo", echo)]));
        let offered = Offered {
            served,
            core: CoreHandle::new(mpsc::channel(1).0),
            auth: auth::tests::auth(),
            nobody: Caller::Anonymous,
            lengths: Lengths::Exact,
            tls: None,
        };
        let (methods_sender, methods) = watch::channel(Some(offered));
        let server = Server::new(methods, &ShellConfig { server: limits, ..ShellConfig::default() });
        let handle = ConnectionHandle::default();
        let (outbound, sent) = Outbound::to_test();
        let (finished, finishing) = mpsc::unbounded_channel();
        server.serve(ConnectionStream::new(ConnId(1), handle.clone(), outbound, finished), Host::Same);
        Self { handle, sent, _methods: methods_sender, _finished: finishing }
    }

    fn receive(&self, bytes: &str) {
        self.handle.received(bytes.as_bytes().to_vec()).unwrap();
    }

    /// What is sent until `text` was, or until the connection is closed where there is none.
    async fn sent_until(&mut self, text: Option<&str>) -> String {
        let mut all = Vec::new();
        while !text.is_some_and(|text| String::from_utf8_lossy(&all).contains(text)) {
            match self.sent.recv().await {
                Some(FromEnclave::Data { bytes, .. }) => all.extend(bytes),
                Some(FromEnclave::Close { .. }) | None => {
                    assert!(text.is_none(), "closed before {text:?}: {}", String::from_utf8_lossy(&all));
                    break;
                }
                Some(_) => {}
            }
        }
        String::from_utf8_lossy(&all).into_owned()
    }
}

fn request(body: &str) -> String {
    format!(
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

const ECHO: &str = r#"{"jsonrpc":"2.0","id":1,"method":"echo","params":["hello"]}"#;

#[tokio::test]
async fn a_head_that_does_not_end_and_a_client_that_says_nothing_are_hung_up_on() {
    for part in ["P", "POST / HT", "POST / HTTP/1.1\r\nHost: x\r\n"] {
        let mut client = Client::new(impatient());
        client.receive(part);
        let sent = client.sent_until(None).await;
        assert!(!sent.contains("200"), "{part:?}: {sent}");
    }
}

#[tokio::test]
async fn a_body_that_does_not_end_is_given_up() {
    let mut client = Client::new(impatient());
    let whole = request(ECHO);
    client.receive(&whole[..whole.len() - 5]);
    let sent = client.sent_until(None).await;
    assert!(sent.starts_with("HTTP/1.1 408"), "{sent}");
}

#[tokio::test]
async fn a_client_that_was_answered_may_ask_again_and_is_hung_up_on_when_it_does_not() {
    let mut client = Client::new(impatient());
    for _ in 0..3 {
        client.receive(&request(ECHO));
        client.sent_until(Some(r#""result":"hello"}"#)).await;
    }
    assert_eq!(client.sent_until(None).await, "");
}

#[tokio::test]
async fn what_is_no_websocket_message_is_not_a_client_any_more() {
    let mut client = Client::new(ServerLimits { request_bytes: 1_000, ..ServerLimits::default() });
    client.receive(
        "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
    );
    client.sent_until(Some("101 Switching Protocols")).await;
    // A text message whose head announces one byte more than a request may have.
    client.handle.received([&[0x81, 0x80 | 126], 1_001u16.to_be_bytes().as_slice(), &[0; 4]].concat()).unwrap();
    client.sent_until(None).await;
}
