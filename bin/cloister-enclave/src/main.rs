//! cloister-enclave
fn main() {}
