//! `cloister genesis`

use std::{
    io::{BufRead, IsTerminal as _, Write},
    path::PathBuf,
};

use alloy_primitives::Address;
use clap::{Args, Subcommand, ValueEnum};
use cloister_node::ExitCode;
use cloister_primitives::{Confidentiality, HardforkName, SignIn};

use super::chain::now_s;
use crate::{
    consortium::{Decisions, Draft, NamedNode, Report, foreign, questions::Questions, raft},
    failure::Failure,
    folder::{create_new, read_genesis},
    output,
};

const AFTER_HELP: &str = "\
Examples:
  cloister genesis new --out genesis.json       asks for what it needs to know
  cloister genesis new --chain-id 2026001 --sign-in node.example.com --member 0x… \\
      --node alpha=0x… --node beta=0x… --node gamma=0x… --out genesis.json
  cloister genesis import besu.json --sign-in node.example.com --out genesis.json
                                                geth's, Besu's and GoQuorum's files";

/// Arguments of `cloister genesis`.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct GenesisCommand {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Write the genesis of a new network
    New {
        #[command(flatten)]
        rules: RuleArgs,
    },
    /// Write one out of a genesis file of geth, Besu or GoQuorum, and say what became of each part of it
    Import {
        /// The other client's genesis file
        #[arg(value_name = "FILE")]
        file: PathBuf,
        #[command(flatten)]
        rules: RuleArgs,
    },
}

/// What can be decided about a network.
#[derive(Debug, Args)]
struct RuleArgs {
    /// Chain id (EIP-155)
    #[arg(long, value_name = "ID", value_parser = chain_id)]
    chain_id: Option<u64>,

    /// Newest fork, active from the start with all before it [default: the newest there is, or what the file has]
    #[arg(long, value_name = "NAME")]
    hardfork: Option<HardforkName>,

    /// Whether each caller sees what concerns the accounts he signed in with, and nothing else [default: on]
    #[arg(long, value_name = "CHOICE", value_enum)]
    confidentiality: Option<Choice>,

    /// Gas limit of a block [default: 60000000, or what the file has]
    #[arg(long, value_name = "GAS")]
    gas_limit: Option<u64>,

    /// Host, and port if any, of the site that clients sign in to
    #[arg(long, value_name = "DOMAIN", value_parser = domain)]
    sign_in: Option<String>,

    /// Account of a member, who votes on what the network decides; once for each
    #[arg(long = "member", value_name = "ADDRESS")]
    members: Vec<Address>,

    /// Name and identity of a node that orders blocks, as `cloister init` prints it; once for each
    #[arg(long = "node", value_name = "NAME=IDENTITY")]
    nodes: Vec<NamedNode>,

    /// Time of the genesis block, seconds since 1970 [default: now, or what the file has]
    #[arg(long, value_name = "SECONDS")]
    timestamp: Option<u64>,

    /// Ask nothing, even on a terminal: what no flag says is as by default
    #[arg(long)]
    defaults: bool,

    /// Write the genesis into this new file instead of to standard output
    #[arg(short = 'o', long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// A choice between two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Choice {
    /// It is so
    On,
    /// It is not
    Off,
}

impl core::fmt::Display for Choice {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::On => "on",
            Self::Off => "off",
        })
    }
}

impl GenesisCommand {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let (draft, report, rules) = match self.what {
            What::New { rules } => (Draft::blank(), Report::default(), rules),
            What::Import { file, rules } => {
                let (draft, report) = foreign::read(&read_genesis(&file)?)?;
                (draft, report, rules)
            }
        };
        let is_asked = !rules.defaults && std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
        let mut questions = is_asked.then(|| Questions::new(std::io::stdin().lock(), std::io::stderr()));
        rules.write(draft, report, questions.as_mut())
    }
}

impl RuleArgs {
    fn write<I: BufRead, O: Write>(
        self,
        draft: Draft,
        mut report: Report,
        questions: Option<&mut Questions<I, O>>,
    ) -> Result<(), Failure> {
        let out = self.out.clone();
        let decisions = self.decide(&draft, questions)?;
        let file = draft.decide(decisions, &mut report)?;
        output::note(&report.to_string());
        match out {
            Some(path) => {
                // Another genesis in its place would be another network.
                if !create_new(&path, &file)? {
                    let message = format!("{} is there already; choose another name with --out", path.display());
                    return Err(Failure::new(ExitCode::Failure, message));
                }
                output::note(&format!("Wrote {}; every node of the network needs the same file.\n", path.display()));
            }
            None => output::say(&file),
        }
        Ok(())
    }

    /// What the flags say, then what is answered, then what is usual.
    fn decide<I: BufRead, O: Write>(
        self,
        draft: &Draft,
        mut questions: Option<&mut Questions<I, O>>,
    ) -> Result<Decisions, Failure> {
        let chain_id = match (self.chain_id, questions.as_deref_mut()) {
            (Some(id), _) => id,
            (None, Some(questions)) => questions.ask("Chain id", draft.chain_id, chain_id)?,
            (None, None) => draft.chain_id.ok_or_else(|| Failure::usage("a new network needs a --chain-id"))?,
        };
        let confidentiality = match (self.confidentiality, questions.as_deref_mut()) {
            (Some(choice), _) => choice,
            (None, Some(questions)) => {
                let question = "Confidentiality: each sees only what concerns him, on or off";
                questions.ask(question, Some(Choice::On), choice)?
            }
            (None, None) => Choice::On,
        };
        let confidentiality = match confidentiality {
            Choice::On => Confidentiality::On,
            Choice::Off => Confidentiality::Off,
        };
        let gas_limit = match (self.gas_limit, questions.as_deref_mut()) {
            (Some(gas), _) => gas,
            (None, Some(questions)) => questions.ask("Gas limit of a block", Some(draft.genesis.gas_limit), number)?,
            (None, None) => draft.genesis.gas_limit,
        };
        let mut decisions = Decisions {
            chain_id,
            hardfork: self.hardfork,
            confidentiality,
            gas_limit,
            timestamp: self.timestamp.or(draft.client.map(|_| draft.genesis.timestamp)).unwrap_or_else(now_s),
            sign_in: None,
            members: self.members,
            nodes: self.nodes,
        };
        let domain = match (self.sign_in, questions.as_deref_mut()) {
            (None, Some(questions)) if confidentiality == Confidentiality::On => {
                Some(questions.ask("Host that clients sign in to, such as node.example.com", None, domain)?)
            }
            (None, None) if confidentiality == Confidentiality::On && draft.client.is_none() => {
                let message = "on a confidential network clients sign in to see what is theirs: name the site with \
                               --sign-in, such as --sign-in node.example.com";
                return Err(Failure::usage(message));
            }
            (given, _) => given,
        };
        decisions.sign_in = domain.as_deref().and_then(SignIn::at);
        if let Some(questions) = questions {
            ask_for_lists(&mut decisions, questions)?;
        }
        Ok(decisions)
    }
}

/// Asks for members and nodes, where no flag named any.
fn ask_for_lists<I: BufRead, O: Write>(
    decisions: &mut Decisions,
    questions: &mut Questions<I, O>,
) -> Result<(), Failure> {
    if decisions.members.is_empty() && decisions.confidentiality == Confidentiality::On {
        questions.each("Account of a member", |text| {
            let member = text.parse().map_err(|_| "want an address, such as 0x… with 40 digits".to_owned())?;
            if decisions.members.contains(&member) {
                return Err("that one is listed already".to_owned());
            }
            decisions.members.push(member);
            Ok(())
        })?;
    }
    if decisions.nodes.is_empty() {
        questions.each("Node that orders blocks, NAME=IDENTITY", |text| {
            decisions.nodes.push(text.parse()?);
            raft(&decisions.nodes).check().map_err(|error| {
                decisions.nodes.pop();
                error.to_string()
            })
        })?;
    }
    Ok(())
}

fn chain_id(text: &str) -> Result<u64, String> {
    text.parse().ok().filter(|id| *id > 0).ok_or_else(|| "want a number above zero, such as 2026001".to_owned())
}

fn choice(text: &str) -> Result<Choice, String> {
    Choice::from_str(text, true).map_err(|_| "want on or off".to_owned())
}

fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| "want a number".to_owned())
}

fn domain(text: &str) -> Result<String, String> {
    match SignIn::at(text) {
        Some(_) => Ok(text.to_owned()),
        None => Err("want a host such as node.example.com or 10.0.0.5:8545, without https://".to_owned()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Flags {
        #[command(flatten)]
        rules: RuleArgs,
    }

    fn decided(flags: &[&str], answers: Option<&str>) -> Result<(Decisions, String), Failure> {
        let Flags { rules } = Flags::try_parse_from([&["new"], flags].concat()).unwrap();
        let mut asked = Vec::new();
        let mut questions = answers.map(|answers| Questions::new(answers.as_bytes(), &mut asked));
        let decisions = rules.decide(&Draft::blank(), questions.as_mut())?;
        Ok((decisions, String::from_utf8(asked).unwrap()))
    }

    #[test]
    fn what_no_flag_says_is_asked() {
        let member = Address::repeat_byte(1);
        let identity = format!("0x{}", "ab".repeat(32));
        let answers =
            format!("x\n77\n\n\nhttps://a\na.example\n{member}\n{member}\n\nalpha={identity}\nbeta={identity}\n\n");
        let (decisions, asked) = decided(&[], Some(&answers)).unwrap();
        assert_eq!((decisions.chain_id, decisions.gas_limit), (77, 60_000_000));
        assert_eq!(decisions.confidentiality, Confidentiality::On);
        assert_eq!(decisions.sign_in, SignIn::at("a.example"));
        assert_eq!(decisions.members, [member]);
        assert_eq!(decisions.nodes, [format!("alpha={identity}").parse().unwrap()]);
        for said in ["Chain id: ", "want a number above zero", "off [on]: ", "without https://", "listed already"] {
            assert!(asked.contains(said), "{asked}");
        }
        assert!(asked.contains("nodes[1].identity: expected an identity that no other node has"), "{asked}");
    }

    #[test]
    fn what_flags_say_is_not_asked() {
        let node = format!("a=0x{}", "ab".repeat(32));
        let flags = ["--chain-id", "7", "--confidentiality", "off", "--gas-limit", "9000", "--node", &node];
        let (decisions, asked) = decided(&flags, Some("")).unwrap();
        assert_eq!(asked, "");
        assert_eq!((decisions.confidentiality, decisions.sign_in), (Confidentiality::Off, None));
    }

    #[test]
    fn without_a_terminal_flags_say_what_has_no_default() {
        let refused = |flags: &[&str]| decided(flags, None).err().unwrap().message().to_owned();
        assert_eq!(refused(&[]), "a new network needs a --chain-id");
        assert!(refused(&["--chain-id", "7"]).contains("--sign-in"));
        decided(&["--chain-id", "7", "--sign-in", "a.example"], None).unwrap();
        for wrong in [["--chain-id", "0"], ["--sign-in", "https://a"], ["--node", "a=1"], ["--member", "0x1"]] {
            assert!(Flags::try_parse_from([&["new"], &wrong[..]].concat()).is_err(), "{wrong:?}");
        }
    }
}
