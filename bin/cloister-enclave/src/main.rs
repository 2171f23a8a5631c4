//! The measured binary: all code that ever holds plaintext, and nothing else. It has no development
//! methods. The host starts it with one end of a Unix socket pair as its standard input.

use std::process::ExitCode;

use cloister_boundary::{HaltCode, link::EnclaveLink};
use cloister_shell::{LogForm, ShellConfig, harden, log_to_stderr, run};
use eyre::{OptionExt as _, WrapErr as _};

/// Requests and blocks are made of many small, short-lived pieces (ADR 0010).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> eyre::Result<ExitCode> {
    harden().wrap_err("the system does not let this process protect its memory")?;
    let form = LogForm::of_arguments(std::env::args().skip(1)).ok_or_eyre("the one argument is --json-logs")?;
    log_to_stderr(form);
    let runtime = cloister_shell::runtime().wrap_err("the runtime cannot be started")?;
    let code = runtime.block_on(async {
        let link = EnclaveLink::inherited().wrap_err("started by hand: `cloister node` starts this program")?;
        // The one platform that there is a binary for so far.
        let config = ShellConfig { attester: Some(cloister_virtual_platform::attester()), ..ShellConfig::default() };
        Ok::<_, eyre::Report>(run(link, config).await)
    })?;
    // Threads that still work have nothing left to say.
    runtime.shutdown_background();
    Ok(match code {
        HaltCode::ShutDown => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}
