//! Questions to the person at the terminal.

use std::{
    fmt::Display,
    io::{BufRead, Read as _, Write},
};

use cloister_node::ExitCode;

use crate::failure::Failure;

/// Longest answer that is read, in bytes.
const MAX_ANSWER_BYTES: u64 = 4_096;

/// Somebody who answers, line by line.
pub(crate) struct Questions<I, O> {
    input: I,
    output: O,
}

impl<I: BufRead, O: Write> Questions<I, O> {
    pub(crate) const fn new(input: I, output: O) -> Self {
        Self { input, output }
    }

    /// Asks until the answer is one that can be used; an empty line stands for `default`, where there is one.
    ///
    /// # Errors
    /// If the answers end.
    pub(crate) fn ask<T: Display>(
        &mut self,
        question: &str,
        default: Option<T>,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<T, Failure> {
        let prompt = match &default {
            Some(default) => format!("{question} [{default}]: "),
            None => format!("{question}: "),
        };
        let mut default = default;
        loop {
            let answer = self.line(&prompt)?;
            if answer.is_empty()
                && let Some(default) = default.take()
            {
                return Ok(default);
            }
            match parse(&answer) {
                Ok(value) => return Ok(value),
                Err(wrong) => self.say(&format!("  {wrong}\n"))?,
            }
        }
    }

    /// Asks for any number of answers, until one is empty. `add` takes each of them, or says what is wrong with it.
    ///
    /// # Errors
    /// If the answers end.
    pub(crate) fn each(
        &mut self,
        question: &str,
        mut add: impl FnMut(&str) -> Result<(), String>,
    ) -> Result<(), Failure> {
        let prompt = format!("{question} (empty for no more): ");
        loop {
            let answer = self.line(&prompt)?;
            if answer.is_empty() {
                return Ok(());
            }
            if let Err(wrong) = add(&answer) {
                self.say(&format!("  {wrong}\n"))?;
            }
        }
    }

    fn line(&mut self, prompt: &str) -> Result<String, Failure> {
        self.say(prompt)?;
        let mut answer = String::new();
        let read = self.input.by_ref().take(MAX_ANSWER_BYTES).read_line(&mut answer);
        match read {
            Ok(bytes) if bytes > 0 => Ok(answer.trim().to_owned()),
            Ok(_) => Err(Failure::new(ExitCode::Failure, "the answers ended before the last question")),
            Err(error) => Err(Failure::new(ExitCode::Failure, format!("cannot read the answer: {error}"))),
        }
    }

    fn say(&mut self, text: &str) -> Result<(), Failure> {
        let written = self.output.write_all(text.as_bytes()).and_then(|()| self.output.flush());
        written.map_err(|error| Failure::new(ExitCode::Failure, format!("cannot ask: {error}")))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn number(text: &str) -> Result<u64, String> {
        text.parse().map_err(|_| "want a number".to_owned())
    }

    #[test]
    fn an_answer_that_cannot_be_used_is_asked_for_again() {
        let mut output = Vec::new();
        let mut questions = Questions::new(&b"x\n 7 \n\n"[..], &mut output);
        assert_eq!(questions.ask("How many", None, number).unwrap(), 7);
        assert_eq!(questions.ask("And then", Some(5), number).unwrap(), 5);
        let failure = questions.ask("And last", Some(5), number).unwrap_err();
        assert!(failure.message().contains("answers ended"));
        let asked = String::from_utf8(output).unwrap();
        assert_eq!(asked, "How many:   want a number\nHow many: And then [5]: And last [5]: ");
    }

    #[test]
    fn a_list_ends_with_an_empty_line() {
        let mut output = Vec::new();
        let mut questions = Questions::new(&b"1\nx\n2\n\n"[..], &mut output);
        let mut all = Vec::new();
        questions.each("Another", |text| number(text).map(|number| all.push(number))).unwrap();
        assert_eq!(all, [1, 2]);
    }
}
