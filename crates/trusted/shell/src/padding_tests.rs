use tokio::io::AsyncWriteExt as _;

use super::*;

const PING: u8 = 0x89;

/// A server's frame: without a mask.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        len @ 0..=125 => frame.push(len as u8),
        len @ 126..=0xffff => frame.extend([&[126], (len as u16).to_be_bytes().as_slice()].concat()),
        len => frame.extend([&[127], (len as u64).to_be_bytes().as_slice()].concat()),
    }
    frame.extend_from_slice(payload);
    frame
}

fn json(len: usize) -> Vec<u8> {
    format!("\"{}\"", "x".repeat(len - 2)).into_bytes()
}

#[test]
fn padded_answers_are_json_of_a_size_class() {
    assert_eq!(Lengths::Exact.pad(b"{}".to_vec()), b"{}");
    let padded = |len: usize| Lengths::Classes.pad(json(len));
    assert_eq!(padded(3).len(), padded(900).len());
    assert_eq!([padded(900).len(), padded(1_500).len(), padded(3_000_000).len()], [1 << 10, 2 << 10, 3 << 20]);
    assert_eq!(serde_json::from_slice::<String>(&padded(5)).unwrap(), "xxx");
}

#[test]
fn text_frames_are_padded_and_others_are_not_however_they_are_cut() {
    let lens = [2, 125, 126, 1_020, 1_021, 70_000];
    let mut sent: Vec<u8> = lens.iter().flat_map(|len| frame(WHOLE_TEXT, &json(*len))).collect();
    sent.extend(frame(PING, b"hi"));
    sent.extend(frame(WHOLE_TEXT, b""));
    let mut expected: Vec<u8> =
        lens.iter().flat_map(|len| frame(WHOLE_TEXT, &Lengths::Classes.pad(json(*len)))).collect();
    expected.extend(frame(PING, b"hi"));
    expected.extend(frame(WHOLE_TEXT, &[b' '; 1_024]));
    for cut in [1, 7, 1_000, sent.len()] {
        let (mut padder, mut out) = (FramePadder::default(), Vec::new());
        for chunk in sent.chunks(cut) {
            padder.push(chunk, &mut out);
        }
        assert!(out == expected, "cut into {cut}");
        assert!(padder.is_between_frames());
    }
}

/// Notes how long each write is.
#[derive(Debug, Default)]
struct Writes {
    lens: Vec<usize>,
    bytes: Vec<u8>,
}

impl AsyncWrite for Writes {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.lens.push(buf.len());
        self.bytes.extend_from_slice(buf);
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let bytes: Vec<u8> = bufs.iter().flat_map(|buf| buf.iter()).copied().collect();
        self.as_mut().poll_write(cx, &bytes)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A hand-shake and a message, as a server writes them.
async fn written(payload: &[u8]) -> Writes {
    let upgraded = Upgraded::default();
    let mut stream = PaddedStream::new(Writes::default(), upgraded.clone(), Backlog::default());
    stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n{}").await.unwrap();
    stream.flush().await.unwrap();
    upgraded.set();
    for part in [&b"HTTP/1.1 101 Switching Protocols\r\nA: \r"[..], b"b\r\n", b"\r\n"] {
        stream.write_all(part).await.unwrap();
    }
    let frame = frame(WHOLE_TEXT, payload);
    let head = frame.len() - payload.len();
    stream.write_all(&frame[..head]).await.unwrap();
    stream.write_all(&frame[head..]).await.unwrap();
    stream.flush().await.unwrap();
    stream.inner
}

#[tokio::test]
async fn an_answer_over_http_is_written_as_one_and_frames_are_padded_whoever_writes_how() {
    let upgraded = Upgraded::default();
    let mut stream = PaddedStream::new(Writes::default(), upgraded.clone(), Backlog::default());
    let parts = [&b"HTTP/1.1 200 OK\r\n\r\n"[..], b"", b"{}"].map(IoSlice::new);
    assert_eq!(stream.write_vectored(&parts).await.unwrap(), 21);
    assert_eq!(stream.inner.lens, [21]);
    upgraded.set();
    stream.write_all(b"HTTP/1.1 101\r\n\r\n").await.unwrap();
    let message = frame(WHOLE_TEXT, &json(2));
    let parts = [b"", &message[..3], &message[3..]].map(IoSlice::new);
    assert_eq!(stream.write_vectored(&parts).await.unwrap(), 3, "the first that is any");
    stream.write_all(&message[3..]).await.unwrap();
    stream.flush().await.unwrap();
    assert!(stream.inner.bytes.ends_with(&frame(WHOLE_TEXT, &Lengths::Classes.pad(json(2)))));
}

#[tokio::test]
async fn a_hand_shake_is_left_alone_and_writes_say_no_more_than_the_class() {
    let short = written(&json(2)).await;
    let heads = b"HTTP/1.1 200 OK\r\n\r\n{}HTTP/1.1 101 Switching Protocols\r\nA: \rb\r\n\r\n".to_vec();
    assert!(short.bytes == [heads, frame(WHOLE_TEXT, &Lengths::Classes.pad(json(2)))].concat());
    assert_eq!(short.lens, written(&json(1_000)).await.lens);
    // 128 KiB, which is more than one write.
    assert_eq!(written(&json(120_000)).await.lens, written(&json(131_000)).await.lens);
    assert_ne!(short.lens, written(&json(1_021)).await.lens);
}
