//! cloister
fn main() {}
