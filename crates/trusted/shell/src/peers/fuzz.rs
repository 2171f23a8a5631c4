//! Entry point for fuzzing what is said on a link.

use cloister_core::NodeId;
use futures_util::FutureExt as _;
use tokio::io::{join, sink};

use super::{LinkError, frames};

/// Reads bytes as those of a link whose other end has proved to be node 2: its greeting, and then messages to the end.
///
/// # Panics
/// When a property is broken: bytes at hand are not waited for, a link that ends well was read to its end, and a message takes
/// no more memory than what came of it and a constant.
pub fn fuzz_link(stream: &[u8]) {
    let ended = read(stream).now_or_never();
    assert!(ended.is_some(), "nothing more comes, and it waits");
    if let Some(Ok(unread)) = ended {
        assert!(unread < size_of::<u32>(), "{unread} bytes were not read");
    }
}

/// Bytes that are left at the end.
async fn read(stream: &[u8]) -> Result<usize, LinkError> {
    let (Some(ours), Some(theirs)) = (NodeId::new(1), NodeId::new(2)) else { return Ok(0) };
    let mut rest = stream;
    frames::greet(&mut join(&mut rest, sink()), ours, theirs).await?;
    loop {
        let unread = rest.len();
        let Some(bytes) = frames::read_length(&mut rest).await? else { return Ok(unread) };
        let message = frames::read_message(&mut rest, bytes).await?;
        assert_eq!(message.len(), bytes as usize, "a message has the length that was said");
        assert!(message.capacity() <= 2 * message.len() + frames::FIRST_ROOM, "more memory than came");
    }
}
