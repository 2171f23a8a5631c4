//! What the harness has found and is not put right yet: named, with a reason, and left out of what is generated until it is.

/// A way in which two worlds can be told apart today.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Finding {
    /// A contract of a stranger sees within his own transaction whether there is code at an address, and has it run. By design
    /// anybody's transaction may run a contract that has no rules; that the contract exists, and what it then answers, is no
    /// secret of its creator's before it has some.
    ContractsWithoutRulesAnswer,
}

impl Finding {
    /// All of them.
    pub const ALL: [Self; 1] = [Self::ContractsWithoutRulesAnswer];

    /// Its name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ContractsWithoutRulesAnswer => "contracts-without-rules-answer",
        }
    }
}

/// As long as connections do not end in the enclave, what clients send and are answered in plain text passes through the host, and
/// stays in its memory for a while. Needles that were sent are counted, and not taken for hits.
pub const PLAIN_TEXT_CONNECTIONS: &str = "plain-text-connections-pass-through-the-host";
