//! Figures with goals, as a table and as `summary.json`.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use eyre::{Result, WrapErr};
use serde::Serialize;

/// What a figure is to reach.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Goal {
    /// At most this.
    AtMost(f64),
    /// At least this.
    AtLeast(f64),
    /// Nothing: the figure explains others.
    None,
}

impl Goal {
    /// Whether `value` reaches the goal; `None` when there is no goal.
    #[must_use]
    pub fn is_met_by(self, value: f64) -> Option<bool> {
        match self {
            Self::AtMost(limit) => Some(value <= limit),
            Self::AtLeast(limit) => Some(value >= limit),
            Self::None => None,
        }
    }
}

impl std::fmt::Display for Goal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AtMost(limit) => write!(f, "<= {limit}"),
            Self::AtLeast(limit) => write!(f, ">= {limit}"),
            Self::None => Ok(()),
        }
    }
}

/// One line of the summary.
#[derive(Clone, Debug, Serialize)]
pub struct Figure {
    /// What was measured.
    pub name: String,
    /// The value; `null` in JSON when it could not be measured.
    pub value: Option<f64>,
    /// Its unit.
    pub unit: &'static str,
    /// Such as "<= 1.6"; empty when there is none.
    pub goal: String,
    #[serde(skip)]
    met: Option<bool>,
}

/// Everything measured in one run.
#[derive(Debug, Default)]
pub struct Summary {
    figures: Vec<Figure>,
}

impl Summary {
    /// Adds a figure; one that is not finite is shown as not measured.
    pub fn add(&mut self, name: impl Into<String>, value: f64, unit: &'static str, goal: Goal) {
        let value = value.is_finite().then_some((value * 1000.0).round() / 1000.0);
        self.figures.push(Figure {
            name: name.into(),
            value,
            unit,
            goal: goal.to_string(),
            met: value.and_then(|value| goal.is_met_by(value)),
        });
    }

    /// The figures, in order.
    #[must_use]
    pub fn figures(&self) -> &[Figure] {
        &self.figures
    }

    /// The table that people read.
    #[must_use]
    pub fn table(&self) -> String {
        let width = self.figures.iter().map(|f| f.name.chars().count()).max();
        let width = width.unwrap_or(0);
        let mut table = String::new();
        for figure in &self.figures {
            let value = figure.value.map_or_else(|| "not measured".to_owned(), |value| format!("{value:.2}"));
            let verdict = match (figure.met, figure.goal.is_empty(), figure.value) {
                (Some(true), ..) => "reached",
                (Some(false), ..) => "MISSED",
                (None, false, None) => "MISSED",
                _ => "",
            };
            let line =
                format!("{:width$}  {value:>12}  {:<12}  {:<8} {verdict}", figure.name, figure.unit, figure.goal);
            let _ = writeln!(table, "{}", line.trim_end());
        }
        table
    }

    /// Writes the list of figures as JSON, making the folder where needed.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_json(&self, path: &Path) -> Result<()> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let text = serde_json::to_string_pretty(&self.figures)?;
        fs::write(path, text + "\n").wrap_err_with(|| format!("cannot write {}", path.display()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn table_and_json_say_the_same() {
        let mut summary = Summary::default();
        summary.add("ratio", 1.2341, "x", Goal::AtMost(1.6));
        summary.add("calls", 1.5, "x", Goal::AtLeast(2.0));
        summary.add("missing", f64::NAN, "ms", Goal::AtMost(5.0));
        summary.add("plain", 7.0, "us", Goal::None);
        assert_eq!(
            summary.table(),
            "ratio            1.23  x             <= 1.6   reached\n\
             calls            1.50  x             >= 2     MISSED\n\
             missing  not measured  ms            <= 5     MISSED\n\
             plain            7.00  us\n"
        );
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bench/summary.json");
        summary.write_json(&path).unwrap();
        let read: serde_json::Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        assert_eq!(read[0]["value"], 1.234);
        assert_eq!(read[0]["goal"], "<= 1.6");
        assert!(read[2]["value"].is_null());
        assert_eq!(read[3]["goal"], "");
    }
}
