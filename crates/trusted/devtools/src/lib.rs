//! Development namespaces: keys that everyone knows, time travel, impersonation, a talkative console.
//!
//! **Duty.** Everything that anvil and Hardhat Network offer beyond a plain node: accounts of a public
//! mnemonic and their signatures, the `evm_`, `hardhat_` and `anvil_` methods, a line per transaction
//! and per block with the output of `console.log`, the banner.
//!
//! **Trusts.** Whoever reaches the port: a development network has no secrets from its only user.
//!
//! **Invariants.** Never linked into the measured binary. Every method asks the access rules whether
//! development methods exist for the caller, and answers as if it did not exist where they do not. The
//! console never slows the node: it reads committed blocks, and says less under load.
//!
//! **Not here.** What the requests do (`core`), the standard methods (`rpc`), flags and files (the
//! command line).

pub mod accounts;
mod banner;
pub mod console;
mod hardhat;
mod methods;
mod replay;

pub use accounts::{AccountsError, DevAccount, DevAccounts, MAX_ACCOUNTS, TEST_MNEMONIC};
pub use banner::Banner;
pub use console::{Colour, ConsoleFormat, DevConsole};
pub use methods::methods;

/// Adds the development methods to a node's own, and starts the console, once the node is there to
/// be asked.
pub type Extension = Box<dyn FnOnce(cloister_rpc::RpcContext) -> Option<cloister_rpc::Served> + Send>;

/// The extension that a development shell is given.
#[must_use]
pub fn extension(accounts: DevAccounts, console: DevConsole) -> Extension {
    Box::new(move |context| {
        // Names that meet would show in every end-to-end test; a node without these methods still serves.
        methods(context, accounts, console).ok()
    })
}
