//! JSON-RPC 2.0 over HTTP: one body in, one body out.
//!
//! jsonrpsee's code reads the body and names the errors; requests are taken apart and answers written here,
//! straight into the response (ADR 0008).

use std::borrow::Cow;

use cloister_access::Caller;
use cloister_rpc::{Answer, Served};
use futures_util::{FutureExt as _, StreamExt as _, future::ready, stream::FuturesUnordered};
use http_body_util::Full;
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{self, HeaderValue},
};
use jsonrpsee::{
    core::http_helpers::{HttpError, read_body},
    types::{
        ErrorCode, ErrorObject, ErrorObjectOwned,
        error::{
            OVERSIZED_RESPONSE_CODE, OVERSIZED_RESPONSE_MSG, reject_too_big_batch_response, reject_too_big_request,
        },
    },
};
use serde::{Deserialize, Deserializer, de::IgnoredAny};
use serde_json::value::RawValue;

use crate::{
    auth::Refusal,
    batch::{BatchBounds, method_not_found},
    padding::Lengths,
    server::allow_origins,
};

/// Entries of a batch that are worked on before others get their turn on this thread.
const ENTRIES_AT_A_TIME: usize = 128;

/// What the answer to one entry is expected to take, in bytes; answers grow beyond it.
const USUAL_ANSWER_BYTES: usize = 128;

/// Bounds on what goes in and out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HttpBounds {
    /// Bytes of a body.
    pub(crate) request_bytes: u32,
    /// On a batch, and on all its answers.
    pub(crate) batch: BatchBounds,
    /// How long answers are.
    pub(crate) lengths: Lengths,
}

/// Answers a request with a body.
pub(crate) async fn answer(
    served: &Served,
    caller: &Caller,
    bounds: HttpBounds,
    request: Request<Incoming>,
) -> Response<Full<Bytes>> {
    if *request.method() != Method::POST {
        return text(StatusCode::METHOD_NOT_ALLOWED, "Used HTTP Method is not allowed. POST is required\n");
    }
    if !is_json(request.headers()) {
        return text(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "Supplied content type is not allowed. Content-Type: application/json is required\n",
        );
    }
    let (parts, body) = request.into_parts();
    let refused = |status, error: ErrorObjectOwned| json(status, bounds.lengths.pad(failure(NO_ID, &error)));
    let body = match read_body(&parts.headers, body, bounds.request_bytes).await {
        // As text from here on: what is made of it needs not be looked through for UTF-8 again.
        Ok((body, is_single)) => match String::from_utf8(body) {
            Ok(body) if is_single => single(served, caller, bounds, &body).await,
            Ok(body) => batch(served, caller, bounds, &body).await,
            Err(_) => failure(NO_ID, &ErrorCode::ParseError.into()),
        },
        Err(HttpError::TooLarge) => {
            return refused(StatusCode::PAYLOAD_TOO_LARGE, reject_too_big_request(bounds.request_bytes));
        }
        Err(HttpError::Malformed) => return refused(StatusCode::BAD_REQUEST, ErrorCode::ParseError.into()),
        // The client broke off in the middle: nobody reads the answer.
        Err(HttpError::Stream(_)) => return refused(StatusCode::BAD_REQUEST, ErrorCode::InvalidRequest.into()),
    };
    json(StatusCode::OK, bounds.lengths.pad(body))
}

/// The media types that geth takes; parameters are of no interest.
fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = value.and_then(|value| value.split(';').next()).unwrap_or_default().trim();
    ["application/json", "application/json-rpc", "application/jsonrequest"]
        .iter()
        .any(|known| essence.eq_ignore_ascii_case(known))
}

pub(crate) fn json(status: StatusCode, body: Vec<u8>) -> Response<Full<Bytes>> {
    response(status, body, HeaderValue::from_static("application/json; charset=utf-8"))
}

/// Refuses a request for who its sender is, or is not.
pub(crate) fn refused(refusal: Refusal, lengths: Lengths) -> Response<Full<Bytes>> {
    let mut response = json(refusal.status(), lengths.pad(failure(NO_ID, &refusal.error())));
    if refusal.status() == StatusCode::UNAUTHORIZED {
        let challenge = HeaderValue::from_static("Bearer error=\"invalid_token\"");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
    response
}

fn text(status: StatusCode, body: &'static str) -> Response<Full<Bytes>> {
    response(status, body, HeaderValue::from_static("text/plain"))
}

fn response(status: StatusCode, body: impl Into<Bytes>, content_type: HeaderValue) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    allow_origins(response.headers_mut());
    response
}

/// JSON text of a request's id, given back as it came.
type Id<'a> = &'a str;

/// The id of an answer to what has none.
const NO_ID: Id<'static> = "null";

/// A request object, JSON-RPC 2.0 §4. Everything is taken as text: what there is to know about it is whether
/// it is what it should be.
#[derive(Deserialize)]
struct Call<'a> {
    #[serde(borrow)]
    jsonrpc: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "given")]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    method: Option<&'a RawValue>,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
}

/// A value that is there, also if it is `null`: only a request without any id is a notification.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// One request of a body.
enum Entry<'a> {
    /// To be answered.
    Call { id: Id<'a>, method: Cow<'a, str>, params: Option<&'a RawValue> },
    /// Not to be answered, JSON-RPC 2.0 §4.1.
    Notification,
    /// Not a request.
    Invalid(Id<'a>, ErrorCode),
}

impl<'a> Entry<'a> {
    fn parse(json: &'a str) -> Self {
        match serde_json::from_str(json) {
            Ok(call) => Self::of(call),
            Err(_) => {
                let is_json = serde_json::from_str::<IgnoredAny>(json).is_ok();
                Self::Invalid(NO_ID, if is_json { ErrorCode::InvalidRequest } else { ErrorCode::ParseError })
            }
        }
    }

    /// The entries of a batch, `None` if it is no JSON. Where each is an object as it should be, all are read at one go.
    fn parse_all(json: &'a str) -> Option<Vec<Self>> {
        if let Ok(calls) = serde_json::from_str::<Vec<Call<'a>>>(json) {
            return Some(calls.into_iter().map(Self::of).collect());
        }
        let entries = serde_json::from_str::<Vec<&RawValue>>(json).ok()?;
        Some(entries.into_iter().map(|entry| Self::parse(entry.get())).collect())
    }

    fn of(call: Call<'a>) -> Self {
        let id = call.id.map(RawValue::get);
        // Strings, numbers and null are ids; nothing else is.
        let proper_id = id.filter(|id| !id.starts_with(['{', '[', 't', 'f'])).unwrap_or(NO_ID);
        let is_current = call.jsonrpc.is_some_and(|version| version.get() == "\"2.0\"");
        let method = call.method.and_then(|method| json_string(method.get()));
        match (method, id) {
            (Some(method), Some(given)) if is_current && proper_id == given => {
                Self::Call { id: given, method, params: call.params }
            }
            (Some(_), None) if is_current => Self::Notification,
            _ => Self::Invalid(proper_id, ErrorCode::InvalidRequest),
        }
    }
}

/// The text of a JSON string.
fn json_string(json: &str) -> Option<Cow<'_, str>> {
    match serde_json::from_str::<&str>(json) {
        Ok(text) => Some(Cow::Borrowed(text)),
        // With escapes in it.
        Err(_) => serde_json::from_str::<String>(json).ok().map(Cow::Owned),
    }
}

/// Starts a call, or says at once why there is none.
fn start(served: &Served, caller: &Caller, name: &str, params: Option<&RawValue>) -> Answer {
    served.call(name, caller, params).unwrap_or_else(|| {
        let error = match served.methods().method(name) {
            // It answers by notifications, for which a request over HTTP leaves no room.
            Some(_) => ErrorObject::owned(-32601, "notifications not supported", None::<()>),
            None => method_not_found(name),
        };
        Box::pin(ready(Err(error)))
    })
}

async fn single(served: &Served, caller: &Caller, bounds: HttpBounds, body: &str) -> Vec<u8> {
    match Entry::parse(body) {
        Entry::Call { id, method, params } => {
            let outcome = start(served, caller, &method, params).await;
            let mut out = Vec::new();
            write_answer(&mut out, id, outcome, bounds.batch.response_bytes);
            out
        }
        Entry::Notification => Vec::new(),
        Entry::Invalid(id, code) => failure(id, &code.into()),
    }
}

/// Starts all entries before it waits for any, so that a hundred transactions in one batch are recovered,
/// executed and persisted as one block and not as a hundred. Answers keep the batch's order.
async fn batch(served: &Served, caller: &Caller, bounds: HttpBounds, body: &str) -> Vec<u8> {
    let Some(entries) = Entry::parse_all(body) else {
        return failure(NO_ID, &ErrorCode::ParseError.into());
    };
    if entries.is_empty() {
        return failure(NO_ID, &ErrorCode::InvalidRequest.into());
    }
    if entries.len() > bounds.batch.requests {
        return failure(NO_ID, &ErrorObject::owned(-32600, "batch too large", None::<()>));
    }
    let mut answers = Answers::with_room_for(entries.len(), bounds.batch.response_bytes);
    for (index, entry) in entries.into_iter().enumerate() {
        match entry {
            Entry::Call { id, method, params } => answers.start(id, start(served, caller, &method, params)),
            Entry::Notification => {}
            Entry::Invalid(id, code) => answers.start(id, Box::pin(ready(Err(code.into())))),
        }
        if index % ENTRIES_AT_A_TIME == ENTRIES_AT_A_TIME - 1 {
            tokio::task::yield_now().await;
        }
    }
    answers.finish().await
}

/// What a call came to: JSON text, or an error.
type Outcome = Result<Vec<u8>, ErrorObjectOwned>;

/// The answers to a batch: those that are there, and those that are waited for.
struct Answers<'a> {
    done: Vec<(Id<'a>, Option<Outcome>)>,
    pending: Vec<(usize, Answer)>,
    bytes: usize,
    most_bytes: usize,
}

impl<'a> Answers<'a> {
    fn with_room_for(entries: usize, most_bytes: usize) -> Self {
        Self { done: Vec::with_capacity(entries), pending: Vec::new(), bytes: 0, most_bytes }
    }

    fn count(&mut self, outcome: &Outcome) {
        self.bytes += USUAL_ANSWER_BYTES + outcome.as_ref().map_or(0, Vec::len);
    }

    /// Takes an answer if it is there; else it is waited for later, with all the others.
    fn start(&mut self, id: Id<'a>, mut answer: Answer) {
        if self.bytes > self.most_bytes {
            // The batch is lost; what is not computed is not kept either.
            return;
        }
        let outcome = (&mut answer).now_or_never();
        match &outcome {
            Some(outcome) => self.count(outcome),
            None => self.pending.push((self.done.len(), answer)),
        }
        self.done.push((id, outcome));
    }

    async fn finish(mut self) -> Vec<u8> {
        let pending = core::mem::take(&mut self.pending);
        let mut waiting: FuturesUnordered<_> =
            pending.into_iter().map(|(index, answer)| answer.map(move |outcome| (index, outcome))).collect();
        while let Some((index, outcome)) = waiting.next().await {
            self.count(&outcome);
            self.done[index].1 = Some(outcome);
            if self.bytes > self.most_bytes {
                break;
            }
        }
        if self.bytes > self.most_bytes {
            return failure(NO_ID, &reject_too_big_batch_response(self.most_bytes));
        }
        if self.done.is_empty() {
            // Nothing but notifications.
            return Vec::new();
        }
        let mut out = Vec::with_capacity(self.bytes);
        for (id, outcome) in self.done {
            out.push(if out.is_empty() { b'[' } else { b',' });
            let outcome = outcome.unwrap_or_else(|| Err(ErrorCode::InternalError.into()));
            write_answer(&mut out, id, outcome, self.most_bytes);
        }
        out.push(b']');
        out
    }
}

/// Appends a response object.
fn write_answer(out: &mut Vec<u8>, id: Id<'_>, outcome: Outcome, most_bytes: usize) {
    match outcome {
        Ok(result) if result.len() <= most_bytes => {
            out.reserve(result.len() + USUAL_ANSWER_BYTES);
            out.extend_from_slice(br#"{"jsonrpc":"2.0","id":"#);
            out.extend_from_slice(id.as_bytes());
            out.extend_from_slice(br#","result":"#);
            out.extend_from_slice(&result);
            out.push(b'}');
        }
        Ok(_) => {
            let data = format!("Exceeded max limit of {most_bytes}");
            write_failure(out, id, &ErrorObject::owned(OVERSIZED_RESPONSE_CODE, OVERSIZED_RESPONSE_MSG, Some(data)));
        }
        Err(error) => write_failure(out, id, &error),
    }
}

fn write_failure(out: &mut Vec<u8>, id: Id<'_>, error: &ErrorObjectOwned) {
    out.extend_from_slice(br#"{"jsonrpc":"2.0","id":"#);
    out.extend_from_slice(id.as_bytes());
    out.extend_from_slice(br#","error":"#);
    write_json(out, error);
    out.push(b'}');
}

fn failure(id: Id<'_>, error: &ErrorObjectOwned) -> Vec<u8> {
    let mut out = Vec::with_capacity(USUAL_ANSWER_BYTES);
    write_failure(&mut out, id, error);
    out
}

/// Ids and errors are plain data: writing them into memory cannot fail.
fn write_json(out: &mut Vec<u8>, value: &impl serde::Serialize) {
    if serde_json::to_writer(&mut *out, value).is_err() {
        out.extend_from_slice(b"null");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(body: Vec<u8>) -> String {
        String::from_utf8(body).unwrap_or_default()
    }

    fn told(entry: &Entry<'_>) -> String {
        match entry {
            Entry::Call { id, method, params } => format!("call {method} {id} {}", params.map_or("", RawValue::get)),
            Entry::Notification => "notification".to_owned(),
            Entry::Invalid(id, code) => format!("{} {id}", code.code()),
        }
    }

    #[test]
    fn requests_are_told_from_notifications_and_from_nonsense() {
        let parse = |json| told(&Entry::parse(json));
        assert_eq!(parse(r#"{"jsonrpc":"2.0","id":7,"method":"m","params":[1]}"#), "call m 7 [1]");
        assert_eq!(parse(r#"{"jsonrpc":"2.0","id":null,"method":"m"}"#), "call m null ");
        assert_eq!(parse(r#"{"jsonrpc":"2.0","method":"m","params":{"a":1}}"#), "notification");
        assert_eq!(parse(r#"{"jsonrpc":"2.0","id":"x","method":5}"#), "-32600 \"x\"");
        assert_eq!(parse(r#"{"jsonrpc":"2.0","id":{},"method":"m"}"#), "-32600 null");
        assert_eq!(parse(r#"{"jsonrpc":"1.0","id":-1.5,"method":"m"}"#), "-32600 -1.5");
        assert_eq!(parse(r#"{"jsonrpc":"2.0","id":-1.5,"method":"\u006d"}"#), "call m -1.5 ");
        assert_eq!(parse(r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"m"}"#), "-32600 null");
        assert_eq!(parse("1"), "-32600 null");
        assert_eq!(parse("{"), "-32700 null");
    }

    #[test]
    fn a_batch_is_read_at_one_go_as_it_is_entry_by_entry() {
        let entries = [
            r#"{"jsonrpc":"2.0","id":7,"method":"m","params":[1]}"#,
            r#"{"jsonrpc":"2.0","method":"m"}"#,
            r#"{"jsonrpc":"2.0","id":{},"method":"m"}"#,
            r#" {"id":null,"method":"\u006d","jsonrpc":"2.0"} "#,
        ];
        let singly: Vec<_> = entries.iter().map(|entry| told(&Entry::parse(entry))).collect();
        let all = |body: &str| Some(Entry::parse_all(body)?.iter().map(told).collect::<Vec<_>>());
        assert_eq!(all(&format!("[{}]", entries.join(","))), Some(singly.clone()));
        // One that is no object, or says something twice, leaves the others as they are.
        for other in ["1", "null", r#"{"id":1,"id":2}"#] {
            let body = format!("[{other},{}]", entries.join(","));
            assert_eq!(all(&body), Some([vec!["-32600 null".to_owned()], singly.clone()].concat()), "{other}");
        }
        assert_eq!(all("[]"), Some(Vec::new()));
        for broken in ["[", "[{]", "[1,]", "{}"] {
            assert_eq!(all(broken), None, "{broken}");
        }
    }

    #[test]
    fn answers_keep_the_order_of_the_batch_whatever_is_ready_first() {
        let mut answers = Answers::with_room_for(3, 1_000);
        let (later, wait) = tokio::sync::oneshot::channel::<()>();
        answers.start(
            "1",
            Box::pin(async move {
                let _ = wait.await;
                Ok(b"\"slow\"".to_vec())
            }),
        );
        answers.start("\"two\"", Box::pin(ready(Ok(b"\"fast\"".to_vec()))));
        answers.start(NO_ID, Box::pin(ready(Err(ErrorCode::InvalidRequest.into()))));
        drop(later);
        let body = answers.finish().now_or_never().map(text);
        assert_eq!(
            body.as_deref(),
            Some(concat!(
                r#"[{"jsonrpc":"2.0","id":1,"result":"slow"},{"jsonrpc":"2.0","id":"two","result":"fast"},"#,
                r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"Invalid request"}}]"#
            ))
        );
    }

    #[test]
    fn answers_have_a_bound_each_and_together() {
        let mut out = Vec::new();
        write_answer(&mut out, "1", Ok(vec![b'1'; 11]), 10);
        assert!(text(out).contains(r#""code":-32008,"message":"Response is too big""#));
        let mut answers = Answers::with_room_for(3, 300);
        for _ in 0..3 {
            answers.start("7", Box::pin(ready(Ok(vec![b'1'; 100]))));
        }
        let body = answers.finish().now_or_never().map(text).unwrap_or_default();
        assert!(body.contains(r#""id":null,"error":{"code":-32011"#), "{body}");
    }

    #[test]
    fn media_types() {
        let is = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(value));
            is_json(&headers)
        };
        assert!(is("application/json"));
        assert!(is("Application/JSON; charset=UTF-8"));
        assert!(is("application/json-rpc"));
        assert!(!is("text/plain"));
        assert!(!is_json(&HeaderMap::new()));
    }
}
