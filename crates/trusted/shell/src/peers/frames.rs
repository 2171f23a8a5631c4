//! What is said on a link once both ends have proved themselves.
//!
//! Each end begins with its version (2 bytes) and its number (8 bytes). Then come messages, each after its length
//! (4 bytes). All numbers are big-endian. TLS cuts what is written into records of 16 KiB at most, and the windows of
//! the connection hold it back where the other end does not read.

use std::io;

use cloister_core::{MAX_PEER_MESSAGE_BYTES, NodeId};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::LinkError;

/// Version of what is said.
pub(super) const VERSION: u16 = 1;
/// Bytes of a message that are made room for before any of it has come.
pub(super) const FIRST_ROOM: usize = 64 << 10;

/// Says who this is, and hears who the other is.
///
/// # Errors
/// It is another than expected, or speaks another version.
pub(super) async fn greet<S>(stream: &mut S, ours: NodeId, theirs: NodeId) -> Result<(), LinkError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut greeting = [0; 10];
    greeting[..2].copy_from_slice(&VERSION.to_be_bytes());
    greeting[2..].copy_from_slice(&ours.get().to_be_bytes());
    stream.write_all(&greeting).await?;
    stream.flush().await?;
    let version = stream.read_u16().await.map_err(unproved)?;
    let number = stream.read_u64().await.map_err(unproved)?;
    if version != VERSION {
        return Err(LinkError::Version { found: version });
    }
    if number != theirs.get() {
        return Err(LinkError::OtherNode { found: number });
    }
    Ok(())
}

/// In TLS 1.3 the end that opened the link hears only after its handshake whether the other took it.
fn unproved(error: io::Error) -> LinkError {
    LinkError::Handshake(super::tls::reason(&error))
}

/// The length of the next message; `None` at the end of the link.
///
/// # Errors
/// The link broke, or no message has that length.
pub(super) async fn read_length(from: &mut (impl AsyncRead + Unpin)) -> Result<Option<u32>, LinkError> {
    let bytes = match from.read_u32().await {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    if bytes == 0 || bytes as usize > MAX_PEER_MESSAGE_BYTES {
        return Err(LinkError::Length { bytes });
    }
    Ok(Some(bytes))
}

/// A message of this length. Memory is taken as it comes.
///
/// # Errors
/// The link broke.
pub(super) async fn read_message(from: &mut (impl AsyncRead + Unpin), bytes: u32) -> io::Result<Vec<u8>> {
    let mut message = Vec::with_capacity(FIRST_ROOM.min(bytes as usize));
    from.take(u64::from(bytes)).read_to_end(&mut message).await?;
    if message.len() < bytes as usize {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(message)
}

/// Writes a message; it may be held back until the next flush.
///
/// # Errors
/// The link broke.
pub(super) async fn write_message(to: &mut (impl AsyncWrite + Unpin), message: &[u8]) -> io::Result<()> {
    let bytes = u32::try_from(message.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    to.write_u32(bytes).await?;
    to.write_all(message).await
}
