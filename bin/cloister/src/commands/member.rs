//! `cloister member`

use alloy_primitives::{B256, Bytes, hex};
use alloy_sol_types::{SolCall as _, sol};
use clap::{Args, Subcommand, ValueEnum};
use cloister_primitives::NODES_ADDRESS;
use serde_json::json;

use super::init::name;
use crate::{failure::Failure, output};

sol! {
    function approve(uint64 number, bytes32 identity, bytes32 name, uint8 standing);
}

const AFTER_HELP: &str = "\
Examples:
  cloister member approve --node-id 4 --name delta --identity 0x… --as voter
  cast send 0x00000000000000000000000000000000000c1002 --rpc-url URL --private-key KEY \\
    $(cloister member approve --node-id 4 --name delta --identity 0x… --as voter --data-only)";

/// Arguments of `cloister member`.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct MemberCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Print the transaction by which a member approves that a node takes part, or no more
    Approve(Approve),
}

#[derive(Debug, Args)]
struct Approve {
    /// The node's number
    #[arg(long, value_name = "ID", value_parser = clap::value_parser!(u64).range(1..))]
    node_id: u64,

    /// Its name, as `cloister join` was given it
    #[arg(long, value_name = "NAME", value_parser = name)]
    name: String,

    /// The identity that `cloister join` or `cloister init` printed
    #[arg(long, value_name = "IDENTITY")]
    identity: B256,

    /// What it is to be
    #[arg(long = "as", value_name = "STANDING", value_enum)]
    standing: Standing,

    /// Print the transaction's data only
    #[arg(long)]
    data_only: bool,
}

/// Numbers of the contract `Nodes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Standing {
    /// It takes no part any more, for good
    Gone = 0,
    /// It follows the network and does not vote
    Learner = 1,
    /// It votes, once it has caught up
    Voter = 2,
}

impl MemberCommand {
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self.action {
            Action::Approve(approve) => {
                let data = approve.data();
                output::say(&if approve.data_only {
                    format!("{}\n", hex::encode_prefixed(&data))
                } else {
                    format!("{}\n", json!({ "to": NODES_ADDRESS, "data": data }))
                });
                Ok(())
            }
        }
    }
}

impl Approve {
    fn data(&self) -> Bytes {
        let name = B256::right_padding_from(self.name.as_bytes());
        let standing = self.standing as u8;
        approveCall { number: self.node_id, identity: self.identity, name, standing }.abi_encode().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_approval_is_a_call_of_the_contract() {
        let identity = B256::repeat_byte(7);
        let approve =
            Approve { node_id: 4, name: "delta".to_owned(), identity, standing: Standing::Voter, data_only: false };
        let name = hex::encode(B256::right_padding_from(b"delta"));
        let selector = &alloy_primitives::keccak256("approve(uint64,bytes32,bytes32,uint8)")[..4];
        let expected = format!("{}{:064x}{}{name}{:064x}", hex::encode(selector), 4, hex::encode(identity), 2);
        assert_eq!(hex::encode(approve.data()), expected);
    }
}
