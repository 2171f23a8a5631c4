//! What the harness has found and is not put right yet: named, with a reason, and left out of what is generated until it is.

/// A way in which two worlds can be told apart today.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Finding {
    /// A contract of a stranger reads balance, code and answers of any other within his own transaction: without rules
    /// for frames, everybody's contracts may ask everybody's.
    ContractsReadOthers,
    /// Answers and requests of parties are not padded: their lengths are seen on the wire.
    AnswersAreNotPadded,
}

impl Finding {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::ContractsReadOthers, Self::AnswersAreNotPadded];

    /// Its name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ContractsReadOthers => "contracts-read-others",
            Self::AnswersAreNotPadded => "answers-are-not-padded",
        }
    }
}
