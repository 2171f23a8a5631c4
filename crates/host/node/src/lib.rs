//! cloister-node
