//! What was made of a genesis file, for the person who has to answer for it.

use core::fmt;

/// Lines under headings; a heading without lines is not shown.
#[derive(Clone, Debug, Default)]
pub(crate) struct Report {
    taken: Vec<String>,
    changed: Vec<String>,
    ignored: Vec<String>,
    open: Vec<String>,
}

impl Report {
    /// Something that stays as it was.
    pub(crate) fn take(&mut self, line: impl Into<String>) {
        self.taken.push(line.into());
    }

    /// Something that is another way from now on.
    pub(crate) fn change(&mut self, line: impl Into<String>) {
        self.changed.push(line.into());
    }

    /// Something that has no effect here, and why.
    pub(crate) fn ignore(&mut self, line: impl Into<String>) {
        self.ignored.push(line.into());
    }

    /// Something that somebody has to decide.
    pub(crate) fn open(&mut self, line: impl Into<String>) {
        self.open.push(line.into());
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (heading, lines) in [
            ("Taken over", &self.taken),
            ("Changed", &self.changed),
            ("Left out", &self.ignored),
            ("To decide before the network starts", &self.open),
        ] {
            if !lines.is_empty() {
                writeln!(f, "{heading}:")?;
            }
            for line in lines {
                writeln!(f, "  - {line}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headings_without_lines_are_not_shown() {
        let mut report = Report::default();
        report.open("b");
        report.take("a");
        report.take("c");
        let text = "Taken over:\n  - a\n  - c\nTo decide before the network starts:\n  - b\n";
        assert_eq!(report.to_string(), text);
    }
}
