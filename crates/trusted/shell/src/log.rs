//! What the enclave tells its operator: lines on standard error, which the host's process passes on.
//!
//! Only our own crates are heard, whose words are constants, numbers and reasons. A library may say what a client sent.

use std::{
    fmt::{self, Write as _},
    io::Write as _,
};

use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};

/// The beginning of our own crates' names.
const OURS: &str = "cloister_";

/// Begins to log warnings and errors.
pub fn log_to_stderr() {
    // Fails if a binary has set up logging before.
    let _ = tracing::subscriber::set_global_default(Log(|line: &str| {
        // There is nobody left to tell if this fails.
        let _ = writeln!(std::io::stderr(), "{line}");
    }));
}

/// Hands events on as lines; spans are not made.
struct Log<F>(F);

fn is_heard(metadata: &Metadata<'_>) -> bool {
    metadata.is_event() && *metadata.level() <= Level::WARN && metadata.target().starts_with(OURS)
}

impl<F: Fn(&str) + Send + Sync + 'static> Subscriber for Log<F> {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        is_heard(metadata)
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line { text: format!("enclave {}:", event.metadata().level()), fields: String::new() };
        event.record(&mut line);
        (self.0)(&(line.text + &line.fields));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// An event as one line: what is said, then its fields.
struct Line {
    text: String,
    fields: String,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing into a string does not fail. Reasons come from outside in part: they stay on their line.
        let value = format!("{value:?}").replace(['\n', '\r'], " ");
        let _ = match field.name() {
            "message" => write!(self.text, " {value}"),
            name => write!(self.fields, " {name}={value}"),
        };
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[test]
    fn warnings_of_our_own_are_lines_and_nothing_else_is_heard() {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let kept = lines.clone();
        let log = Log(move |line: &str| kept.lock().unwrap().push(line.to_owned()));
        tracing::subscriber::with_default(log, || {
            tracing::warn!(node = 2, "a link is closed: {}", "one line\nand another");
            tracing::error!("worse");
            tracing::info!("not worth it");
            tracing::warn!(target: "hyper", "what a client sent");
        });
        let expected = ["enclave WARN: a link is closed: one line and another node=2", "enclave ERROR: worse"];
        assert_eq!(*lines.lock().unwrap(), expected);
    }
}
