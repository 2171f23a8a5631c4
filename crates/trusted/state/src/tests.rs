//! The whole state against a model of plain maps, block by block.

#![allow(clippy::unwrap_used)]

mod blocks;
mod concurrency;
mod hostile;
mod model;
mod projection;
