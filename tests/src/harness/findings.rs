//! What the harness has found and is not put right yet: named, with a reason, and left out of what is looked for until it is.

/// As long as connections do not end in the enclave, what clients send and are answered in plain text passes through the host, and
/// stays in its memory for a while. Needles that were sent are counted, and not taken for hits.
pub const PLAIN_TEXT_CONNECTIONS: &str = "plain-text-connections-pass-through-the-host";
