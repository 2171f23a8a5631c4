//! cloister-enclave-dev
fn main() {}
