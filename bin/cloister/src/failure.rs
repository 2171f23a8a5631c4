//! Failures as a person sees them: one sentence, and a stable exit code.

use std::io::Write as _;

use cloister_boundary::Detail;
use cloister_devtools::AccountsError;
use cloister_node::{ExitCode, HostError, KeyError, ListenError, ProcessError, StoreError};
use cloister_primitives::GenesisError;
use cloister_shell::Fatal;

/// Why the command did not do what it was asked to.
#[derive(Debug)]
pub(crate) struct Failure {
    code: ExitCode,
    message: String,
}

impl Failure {
    pub(crate) fn new(code: ExitCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// Something in the command line contradicts something else.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(ExitCode::Usage, message)
    }

    /// The code to exit with.
    #[cfg(test)]
    pub(crate) const fn code(&self) -> ExitCode {
        self.code
    }

    /// The sentence.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// Says the sentence on standard error; returns the exit code.
    pub(crate) fn report(self) -> std::process::ExitCode {
        // There is nobody left to tell if this fails.
        let _ = writeln!(std::io::stderr(), "error: {}", self.message);
        self.code.into()
    }
}

impl From<HostError> for Failure {
    fn from(error: HostError) -> Self {
        let code = error.exit_code();
        match error {
            HostError::Listen(error) => error.into(),
            other => Self::new(code, other.to_string()),
        }
    }
}

impl From<ListenError> for Failure {
    fn from(error: ListenError) -> Self {
        let message = match &error {
            ListenError::PortTaken { address } => {
                format!("port {} is in use by another program; stop it, or choose another with --port", address.port())
            }
            other => other.to_string(),
        };
        Self::new(ExitCode::Listen, message)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        HostError::from(error).into()
    }
}

impl From<KeyError> for Failure {
    fn from(error: KeyError) -> Self {
        HostError::from(error).into()
    }
}

impl From<ProcessError> for Failure {
    fn from(error: ProcessError) -> Self {
        HostError::from(error).into()
    }
}

impl From<GenesisError> for Failure {
    fn from(error: GenesisError) -> Self {
        Self::new(ExitCode::Genesis, format!("the genesis cannot be used: {error}"))
    }
}

impl From<AccountsError> for Failure {
    fn from(error: AccountsError) -> Self {
        Self::usage(error.to_string())
    }
}

impl From<Fatal> for Failure {
    fn from(fatal: Fatal) -> Self {
        let code = HostError::Halted { code: fatal.code, detail: Detail::constant(fatal.detail) }.exit_code();
        let message = match fatal.height {
            Some(height) => format!("block {height}: {} ({})", fatal.detail, fatal.code),
            None => format!("{} ({})", fatal.detail, fatal.code),
        };
        Self::new(code, message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloister_boundary::HaltCode;

    #[test]
    fn damage_names_the_block_and_has_its_code() {
        let failure =
            Failure::from(Fatal { code: HaltCode::DamagedLog, detail: "the blob was changed", height: Some(17) });
        assert_eq!(failure.message(), "block 17: the blob was changed (damaged-log)");
        assert_eq!(failure.code(), ExitCode::Damaged);
    }

    #[test]
    fn a_taken_port_says_what_to_do() {
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], 8545));
        let failure = Failure::from(HostError::from(ListenError::PortTaken { address }));
        assert_eq!(failure.code(), ExitCode::Listen);
        assert!(failure.message().contains("8545"));
        assert!(failure.message().contains("--port"));
    }
}
