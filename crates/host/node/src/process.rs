//! The enclave in a process of its own.

use std::ffi::OsStr;
use std::fmt;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use cloister_boundary::link::HostLink;
use thiserror::Error;
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// Why the enclave process could not be started.
#[derive(Debug, Error)]
pub enum ProcessError {
    /// There is no such program.
    #[error("the enclave program {} does not exist; install it beside this one, or name its path", .program.display())]
    NotFound {
        /// Its path.
        program: PathBuf,
    },
    /// The system refused.
    #[error("the enclave program {} cannot be started: {error}", .program.display())]
    Io {
        /// Its path.
        program: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
}

/// How the enclave process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EnclaveExit {
    /// By itself, with this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// It is not known.
    Unknown,
}

impl From<ExitStatus> for EnclaveExit {
    fn from(status: ExitStatus) -> Self {
        match (status.code(), status.signal()) {
            (Some(code), _) => Self::Code(code),
            (None, Some(signal)) => Self::Signal(signal),
            (None, None) => Self::Unknown,
        }
    }
}

impl fmt::Display for EnclaveExit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
            Self::Unknown => f.write_str("its status is unknown"),
        }
    }
}

/// A running enclave process. It is killed when this is dropped.
#[derive(Debug)]
pub struct EnclaveProcess {
    child: Child,
}

impl EnclaveProcess {
    /// Starts `program` with one end of a Unix socket pair as its standard input, where it takes its
    /// link from ([`EnclaveLink::inherited`](cloister_boundary::link::EnclaveLink::inherited)).
    /// Its output and errors go where ours go.
    ///
    /// It gets a process group of its own: an interrupt typed at the terminal reaches the host
    /// alone, which then asks the enclave to finish.
    ///
    /// # Errors
    /// When the program does not exist or cannot be started.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn spawn(
        program: &Path,
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
    ) -> Result<(Self, HostLink), ProcessError> {
        let failed = |error: std::io::Error| {
            let program = program.to_owned();
            match error.kind() {
                std::io::ErrorKind::NotFound => ProcessError::NotFound { program },
                _ => ProcessError::Io { program, error },
            }
        };
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().map_err(failed)?;
        ours.set_nonblocking(true).map_err(failed)?;
        let ours = UnixStream::from_std(ours).map_err(failed)?;
        let child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        Ok((Self { child }, HostLink::over(ours)))
    }

    /// Process id, while it runs.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Waits for the process to end, at most `patience`; then it is killed, and `None` is returned.
    pub async fn finish(&mut self, patience: Duration) -> Option<EnclaveExit> {
        match timeout(patience, self.child.wait()).await {
            Ok(Ok(status)) => Some(status.into()),
            Ok(Err(_)) => Some(EnclaveExit::Unknown),
            Err(_) => {
                // Fails only if the process has just ended by itself.
                let _ = self.child.kill().await;
                None
            }
        }
    }
}
