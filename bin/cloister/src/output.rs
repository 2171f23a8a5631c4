//! Where words go: standard output for results, standard error for everything else.

use std::io::{IsTerminal as _, Write as _};

use cloister_devtools::{Colour, ConsoleFormat};
use cloister_node::ExitCode;
use tracing_subscriber::EnvFilter;

/// What is logged unless `CLOISTER_LOG` says otherwise: what is wrong, and what changes in the network.
const DEFAULT_LOG: &str = "warn,cloister_node::network_events=info,cloister_network::dial=info";
/// The same for who wants to hear nothing.
const QUIET_LOG: &str = "warn";

/// Prints to standard output. Nobody may be listening: that is not our failure.
pub(crate) fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes());
    let _ = out.flush();
}

/// Prints a warning to standard error.
pub(crate) fn warn(text: &str) {
    let _ = writeln!(std::io::stderr(), "warning: {text}");
}

/// Tells a person something on standard error.
pub(crate) fn note(text: &str) {
    let _ = std::io::stderr().write_all(text.as_bytes());
}

/// Whether standard output takes colours.
pub(crate) fn colour() -> Colour {
    let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    if wanted && std::io::stdout().is_terminal() { Colour::On } else { Colour::Off }
}

/// Begins to log to standard error.
pub(crate) fn start_logging(format: ConsoleFormat) {
    let default = if format == ConsoleFormat::Quiet { QUIET_LOG } else { DEFAULT_LOG };
    let filter = EnvFilter::try_from_env("CLOISTER_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    // Fails if somebody has set up logging before, which only tests do.
    let _ =
        if format == ConsoleFormat::Json { builder.json().flatten_event(true).try_init() } else { builder.try_init() };
}

/// A panic is a fault of this program. It ends the process at once, so that nothing goes on with half
/// of a change, and leaves one sentence to report it with.
pub(crate) fn end_on_panic() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map_or_else(String::new, |place| format!(" at {}:{}", place.file(), place.line()));
        let _ = writeln!(
            std::io::stderr(),
            "error: internal fault{place}; what was acknowledged is safe, start again and please \
             report this line"
        );
        std::process::exit(ExitCode::Failure as i32);
    }));
}
