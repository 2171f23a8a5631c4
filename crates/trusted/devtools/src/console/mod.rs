//! What `cloister dev` prints while it runs.

mod budget;
mod lines;
mod log;
mod names;
mod revert;
mod watch;

pub use lines::{BlockLine, Colour, ConsoleFormat, Line, Outcome, SummaryLine, TransactionLine, describe_action};
pub use log::{CONSOLE_ADDRESS, decode_log};
pub use names::function_name;
pub use revert::{describe_custom_error, describe_revert};
pub use watch::DevConsole;
