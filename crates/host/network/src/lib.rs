//! Moves opaque bytes between the hosts of a network's members.
#![forbid(unsafe_code)]
