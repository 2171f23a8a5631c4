//! What an enclave process does before it holds its first secret.

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// Exit code of an enclave process that panicked. There is no message: it could hold plaintext.
pub const PANIC_EXIT_CODE: i32 = 70;

/// Forbids core dumps and tracing by other processes, and makes a panic end the process with
/// [`PANIC_EXIT_CODE`] and no message.
///
/// # Errors
/// What the system refuses; the process must not go on then.
pub fn harden() -> std::io::Result<()> {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    setrlimit(Resource::Core, none)?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    std::panic::set_hook(Box::new(|_| std::process::exit(PANIC_EXIT_CODE)));
    Ok(())
}
