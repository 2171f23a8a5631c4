//! The enclave with development methods: for development networks and tests, never for secrets. The
//! host starts it with one end of a Unix socket pair as its standard input.

use std::process::ExitCode;

use clap::Parser;
use cloister_boundary::{HaltCode, link::EnclaveLink};
use cloister_devtools::{Colour, ConsoleFormat, DevAccounts, DevConsole, TEST_MNEMONIC};
use cloister_shell::{Caller, LogForm, ShellConfig, harden, log_to_stderr, run};
use eyre::WrapErr as _;

/// The enclave of a development network.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Mnemonic of the unlocked accounts.
    #[arg(long, default_value = TEST_MNEMONIC)]
    mnemonic: String,
    /// Number of unlocked accounts.
    #[arg(long, default_value_t = 10)]
    accounts: u32,
    /// Print nothing about transactions and blocks.
    #[arg(long)]
    quiet: bool,
    /// Print one JSON object per line.
    #[arg(long, conflicts_with = "quiet")]
    json_logs: bool,
}

/// Requests and blocks are made of many small, short-lived pieces (ADR 0010).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> eyre::Result<ExitCode> {
    let arguments = Arguments::parse();
    harden().wrap_err("the system does not let this process protect its memory")?;
    log_to_stderr(if arguments.json_logs { LogForm::Json } else { LogForm::Text });
    let accounts = DevAccounts::from_mnemonic(&arguments.mnemonic, arguments.accounts)?;
    let format = match (arguments.quiet, arguments.json_logs) {
        (true, _) => ConsoleFormat::Quiet,
        (false, true) => ConsoleFormat::Json,
        (false, false) => ConsoleFormat::Text(Colour::Off),
    };
    let config = ShellConfig {
        default_caller: Caller::Development,
        extension: Some(Box::new(move |context| {
            // A test shows that no two development methods share a name.
            cloister_devtools::methods(context, accounts, DevConsole::new(format, Box::new(std::io::stdout()))).ok()
        })),
        attester: Some(cloister_virtual_platform::attester()),
        ..ShellConfig::default()
    };
    let runtime = cloister_shell::runtime().wrap_err("the runtime cannot be started")?;
    let code = runtime.block_on(async {
        let link = EnclaveLink::inherited().wrap_err("started by hand: `cloister node --dev` starts this program")?;
        Ok::<_, eyre::Report>(run(link, config).await)
    })?;
    // Threads that still work have nothing left to say.
    runtime.shutdown_background();
    Ok(match code {
        HaltCode::ShutDown => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}
