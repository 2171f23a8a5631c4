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

/// How events are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogForm {
    /// For people.
    Text,
    /// One JSON object per line, with the fields of the event beside `level`, `target` and `message`.
    Json,
}

impl LogForm {
    /// The form that the arguments of a program ask for, which may say `--json-logs` and nothing else.
    #[must_use]
    pub fn of_arguments(arguments: impl IntoIterator<Item = String>) -> Option<Self> {
        arguments.into_iter().try_fold(Self::Text, |_, argument| (argument == "--json-logs").then_some(Self::Json))
    }
}

/// Begins to log warnings and errors.
pub fn log_to_stderr(form: LogForm) {
    let write = |line: &str| {
        // There is nobody left to tell if this fails.
        let _ = writeln!(std::io::stderr(), "{line}");
    };
    // Fails if a binary has set up logging before.
    let _ = tracing::subscriber::set_global_default(Log { form, write });
}

/// Hands events on as lines; spans are not made.
struct Log<F> {
    form: LogForm,
    write: F,
}

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
        let level = event.metadata().level();
        let line = match self.form {
            LogForm::Text => {
                let mut line = Line { text: format!("enclave {level}:"), fields: String::new() };
                event.record(&mut line);
                line.text + &line.fields
            }
            LogForm::Json => {
                let mut object = Object::default();
                for (key, value) in [("level", level.as_str()), ("target", "enclave")] {
                    object.0.insert(key.to_owned(), value.into());
                }
                event.record(&mut object);
                serde_json::Value::Object(object.0).to_string()
            }
        };
        (self.write)(&line);
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

/// An event as a JSON object.
#[derive(Default)]
struct Object(serde_json::Map<String, serde_json::Value>);

impl Visit for Object {
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}").into());
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// What is logged of a few events.
    fn logged(form: LogForm) -> Vec<String> {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let kept = lines.clone();
        let log = Log { form, write: move |line: &str| kept.lock().unwrap().push(line.to_owned()) };
        tracing::subscriber::with_default(log, || {
            let reason = "one line\nand another";
            tracing::warn!(event = "peer-refused", node = 2_u64, "a link is closed: {reason}");
            tracing::error!("worse");
            tracing::info!("not worth it");
            tracing::warn!(target: "hyper", "what a client sent");
        });
        let lines = lines.lock().unwrap();
        lines.clone()
    }

    #[test]
    fn warnings_of_our_own_are_lines_and_nothing_else_is_heard() {
        let expected = [
            "enclave WARN: a link is closed: one line and another event=\"peer-refused\" node=2",
            "enclave ERROR: worse",
        ];
        assert_eq!(logged(LogForm::Text), expected);
    }

    #[test]
    fn as_json_each_line_is_an_object_with_the_fields_of_its_event() {
        let lines: Vec<serde_json::Value> =
            logged(LogForm::Json).iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        let message = "a link is closed: one line\nand another";
        let expected = [
            serde_json::json!({
                "level": "WARN", "target": "enclave", "message": message, "event": "peer-refused", "node": 2,
            }),
            serde_json::json!({ "level": "ERROR", "target": "enclave", "message": "worse" }),
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn a_program_is_told_the_form_and_nothing_else() {
        let of = |arguments: &[&str]| LogForm::of_arguments(arguments.iter().map(|argument| (*argument).to_owned()));
        assert_eq!(of(&[]), Some(LogForm::Text));
        assert_eq!(of(&["--json-logs"]), Some(LogForm::Json));
        assert_eq!(of(&["--json-logs", "--accounts"]), None);
    }
}
