//! What the harness finds and does not take for a leak: named, with a reason.

/// Without TLS, as on development networks, what clients send and are answered passes through the host, and stays in its memory for
/// a while. Needles that were sent are counted, and not taken for hits; that TLS leaves none of them there is a test of its own.
pub const PLAIN_TEXT_CONNECTIONS: &str = "plain-text-connections-pass-through-the-host";
