//! `cloister completions`

use clap::{Args, CommandFactory as _};
use clap_complete::{Shell, generate};

use crate::{cli::Cli, failure::Failure, output};

const AFTER_HELP: &str = "\
Examples:
  cloister completions bash > ~/.local/share/bash-completion/completions/cloister
  cloister completions zsh > ~/.zfunc/_cloister
  cloister completions fish > ~/.config/fish/completions/cloister.fish";

/// Arguments of `cloister completions`.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Completions {
    /// The shell to complete in
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let mut script = Vec::new();
        generate(self.shell, &mut Cli::command(), "cloister", &mut script);
        output::say(&String::from_utf8_lossy(&script));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_know_the_commands() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let mut script = Vec::new();
            generate(shell, &mut Cli::command(), "cloister", &mut script);
            let script = String::from_utf8_lossy(&script);
            for word in ["dev", "node", "import", "verify", "block-time"] {
                assert!(script.contains(word), "{word} for {shell}");
            }
        }
    }
}
