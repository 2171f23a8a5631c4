//! `config.cloister.raft`: the nodes that order a network's blocks among themselves.

use core::fmt;
use std::collections::BTreeSet;

use alloy_primitives::B256;
use serde_json::value::RawValue;

use super::json::{Field, Object, Warnings};
use super::{CloisterConfig, GenesisError};

/// Most nodes that a genesis names.
const MAX_NODES: usize = 31;
/// Longest name of a node, in bytes.
const MAX_NAME_BYTES: usize = 32;

/// The nodes that order a network's blocks by Raft, as genesis names them: its voters at the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RaftGenesis {
    /// `"nodes"`: 1 to 31, in ascending order of their ids.
    pub nodes: Vec<RaftNode>,
}

/// One node of a network that Raft orders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RaftNode {
    /// `"id"`: what consensus calls it; not zero, and no other node's.
    pub id: u64,
    /// `"name"`: what people call it; 1 to 32 characters out of `a-z`, `0-9` and `-`, and no other node's.
    pub name: String,
    /// `"identity"`: SHA-256 of the `SubjectPublicKeyInfo` (RFC 5280, 4.1) of its identity key; no other node's.
    pub identity: B256,
}

impl RaftGenesis {
    /// Checks what must hold of the nodes, each by itself and against each other.
    ///
    /// # Errors
    /// [`GenesisError`] names the first node that is wrong by its place in the list.
    pub fn check(&self) -> Result<(), GenesisError> {
        if !(1..=MAX_NODES).contains(&self.nodes.len()) {
            return Err(GenesisError::Value {
                path: "config.cloister.raft.nodes".to_owned(),
                expected: format!("1 to {MAX_NODES} nodes"),
                found: self.nodes.len().to_string(),
            });
        }
        let (mut ids, mut names, mut identities) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for (index, node) in self.nodes.iter().enumerate() {
            let wrong = |key: &str, expected: &str, found: &dyn fmt::Display| GenesisError::Value {
                path: format!("config.cloister.raft.nodes[{index}].{key}"),
                expected: expected.to_owned(),
                found: found.to_string(),
            };
            if node.id == 0 || !ids.insert(node.id) {
                return Err(wrong("id", "a number above zero that no other node has", &node.id));
            }
            if !is_name(&node.name) {
                let expected = format!("1 to {MAX_NAME_BYTES} characters out of a-z, 0-9 and -");
                let shown: String = node.name.chars().take(2 * MAX_NAME_BYTES).collect();
                return Err(wrong("name", &expected, &shown));
            }
            if !names.insert(node.name.as_str()) {
                return Err(wrong("name", "a name that no other node has", &node.name));
            }
            if !identities.insert(node.identity) {
                return Err(wrong("identity", "an identity that no other node has", &node.identity));
            }
        }
        Ok(())
    }
}

fn is_name(text: &str) -> bool {
    (1..=MAX_NAME_BYTES).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

/// Takes the key `raft`, and puts the nodes in order.
pub(super) fn take(cloister: &mut Object<'_>, warnings: &mut Warnings) -> Result<Option<RaftGenesis>, GenesisError> {
    const NODES: &str = "a list of objects with \"id\", \"name\" and \"identity\"";
    let Some(field) = cloister.take("raft") else {
        return Ok(None);
    };
    let mut object = field.object()?;
    let field = object.require("nodes", NODES)?;
    let listed: Vec<&RawValue> = serde_json::from_str(field.raw.get()).map_err(|_| field.error(NODES))?;
    let mut nodes = Vec::new();
    // One more than there may be is enough to be refused for it.
    for (index, raw) in listed.into_iter().enumerate().take(MAX_NODES + 1) {
        let place = Field { path: format!("{}[{index}]", field.path), raw };
        let mut entry = place.object()?;
        nodes.push(RaftNode {
            id: entry.require("id", "a number above zero")?.u64()?,
            name: entry.require("name", "what people call the node")?.text("a name in quotes")?,
            identity: entry.require("identity", "the SHA-256 of the node's identity key")?.b256()?,
        });
        entry.finish(warnings);
    }
    object.finish(warnings);
    let mut raft = RaftGenesis { nodes };
    // Before they are sorted, so that what is wrong is found at its place in the file.
    raft.check()?;
    raft.nodes.sort_by_key(|node| node.id);
    Ok(Some(raft))
}

/// Checks the section by itself and against the chain's other settings.
pub(super) fn check(cloister: &CloisterConfig, raft: Option<&RaftGenesis>) -> Result<(), GenesisError> {
    let Some(raft) = raft else {
        return Ok(());
    };
    let alone = [
        (cloister.development, "development", "a development network has one node"),
        (cloister.imported, "imported", "the blocks of an imported chain come out of files: nobody orders them"),
    ];
    if let Some((_, key, reason)) = alone.into_iter().find(|(set, ..)| *set) {
        return Err(GenesisError::Contradiction {
            path: "config.cloister.raft".to_owned(),
            reason: format!("excludes config.cloister.{key}: {reason}"),
        });
    }
    raft.check()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::{ChainSpec, Genesis, GenesisWarning};

    fn parse(raft: &str, rest: &str) -> Result<(ChainSpec, Vec<GenesisWarning>), GenesisError> {
        let json = format!(
            r#"{{"config":{{"chainId":5,"cloister":{{"raft":{raft}{rest}}}}},"gasLimit":"0x1c9c380","alloc":{{}}}}"#
        );
        let (genesis, warnings) = Genesis::parse(&json)?;
        Ok((ChainSpec::new(genesis)?, warnings))
    }

    fn node(id: u64, name: &str) -> String {
        let identity = B256::with_last_byte(u8::try_from(id).unwrap());
        format!(r#"{{"id":{id},"name":"{name}","identity":"{identity}"}}"#)
    }

    fn nodes(listed: &[String]) -> String {
        format!(r#"{{"nodes":[{}]}}"#, listed.join(","))
    }

    #[test]
    fn genesis_names_the_nodes_in_any_order() {
        let (spec, warnings) = parse(&nodes(&[node(7, "beta"), node(1, "alpha-0")]), "").unwrap();
        assert_eq!(warnings, []);
        let expected = [(1, "alpha-0"), (7, "beta")].map(|(id, name)| RaftNode {
            id,
            name: name.to_owned(),
            identity: B256::with_last_byte(u8::try_from(id).unwrap()),
        });
        assert_eq!(spec.raft().unwrap().nodes, expected);
        assert_eq!(parse("null", "").unwrap().0.raft(), None);
    }

    #[test]
    fn as_many_nodes_as_the_limit_and_no_more() {
        let listed: Vec<_> = (1..=32).map(|id| node(id, &format!("n{id}"))).collect();
        assert_eq!(parse(&nodes(&listed[..31]), "").unwrap().0.raft().unwrap().nodes.len(), 31);
        for wrong in [&listed[..], &[]] {
            let error = parse(&nodes(wrong), "").unwrap_err().to_string();
            let expected = format!("config.cloister.raft.nodes: expected 1 to 31 nodes, found {}", wrong.len());
            assert_eq!(error, expected);
        }
    }

    #[test]
    fn unknown_keys_are_warned_about_by_name() {
        let odd = node(1, "a").replace('}', r#","address":"a:1"}"#);
        let (_, warnings) = parse(&format!(r#"{{"nodes":[{odd}],"electionMs":5}}"#), "").unwrap();
        let paths: Vec<_> = warnings.iter().map(|warning| warning.path.as_str()).collect();
        assert_eq!(paths, ["config.cloister.raft.nodes[0].address", "config.cloister.raft.electionMs"]);
    }

    #[test]
    fn what_genesis_says_wrong_is_named() {
        let (a, b) = (node(1, "a"), node(2, "b"));
        let second = |node: String| nodes(&[a.clone(), node]);
        for (raft, message) in [
            ("[]".to_owned(), "config.cloister.raft: expected an object"),
            ("{}".to_owned(), "config.cloister.raft.nodes: missing"),
            (r#"{"nodes":{}}"#.to_owned(), "config.cloister.raft.nodes: expected a list"),
            (r#"{"nodes":[5]}"#.to_owned(), "config.cloister.raft.nodes[0]: expected an object"),
            (second(b.replace("\"id\":2", "\"id\":0")), "config.cloister.raft.nodes[1].id: expected a number above"),
            (second(b.replace("\"id\":2", "\"id\":1")), "config.cloister.raft.nodes[1].id: expected a number above"),
            (second(b.replace("\"id\":2,", "")), "config.cloister.raft.nodes[1].id: missing"),
            (second(node(2, "a")), "config.cloister.raft.nodes[1].name: expected a name that no other node has"),
            (second(node(2, "B")), "config.cloister.raft.nodes[1].name: expected 1 to 32 characters"),
            (second(node(2, "")), "config.cloister.raft.nodes[1].name: expected 1 to 32 characters"),
            (second(node(2, &"b".repeat(33))), "config.cloister.raft.nodes[1].name: expected 1 to 32 characters"),
            (
                second(node(1, "b").replace(":1,", ":2,")),
                "config.cloister.raft.nodes[1].identity: expected an identity",
            ),
            (second(b.replace("0x", "")), "config.cloister.raft.nodes[1].identity: expected 32 bytes"),
        ] {
            let error = parse(&raft, "").unwrap_err().to_string();
            assert!(error.starts_with(message), "{raft}: {error}");
        }
    }

    #[test]
    fn a_network_of_one_developer_or_of_files_has_no_other_nodes() {
        for key in ["development", "imported"] {
            let error = parse(&nodes(&[node(1, "a")]), &format!(r#","{key}":true"#)).unwrap_err().to_string();
            assert!(error.starts_with(&format!("config.cloister.raft: excludes config.cloister.{key}: ")), "{error}");
        }
    }

    #[test]
    fn what_was_not_parsed_is_checked_too() {
        let (spec, _) = parse(&nodes(&[node(1, "a")]), "").unwrap();
        let mut genesis = spec.genesis().clone();
        genesis.config.raft = Some(RaftGenesis { nodes: Vec::new() });
        assert!(ChainSpec::new(genesis).is_err());
    }
}
