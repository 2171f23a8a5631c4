//! Which enclaves are taken for a network's.

use std::path::{Path, PathBuf};

use clap::Args;
use cloister_client::{Manifest, Node, NodeUrl, Verified};
use cloister_node::ExitCode;
use cloister_primitives::{ChainSpec, Genesis, PlatformName};
use cloister_shell::Verifier;

use crate::{failure::Failure, folder::read_genesis};

/// Longest manifest that is read, bytes; the parser's own limit is below.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Which enclaves are taken for the network's, for URLs that begin with https.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Trust")]
pub(super) struct TrustArgs {
    /// The network's manifest: chain, genesis, and whose evidence is taken; as `--manifest-out` of a node writes it
    #[arg(long, value_name = "FILE", conflicts_with = "genesis")]
    manifest: Option<PathBuf>,

    /// The network's genesis file, instead of a manifest
    #[arg(long, value_name = "FILE")]
    genesis: Option<PathBuf>,
}

impl TrustArgs {
    /// The node at `url`, taken for one of the network only with evidence of it.
    pub(super) fn node(&self, url: &str) -> Result<Node, Failure> {
        let manifest = match (&self.manifest, &self.genesis) {
            (Some(file), _) => Some(read_manifest(file)?),
            (None, Some(file)) => Some(manifest_of(&read_genesis(file)?)?),
            (None, None) => None,
        };
        Ok(Node::new(NodeUrl::parse(url)?, manifest.as_ref())?)
    }
}

fn read_manifest(file: &Path) -> Result<Manifest, Failure> {
    let failed = |what: &dyn ToString| {
        Failure::new(ExitCode::Genesis, format!("cannot use the manifest {}: {}", file.display(), what.to_string()))
    };
    let size = std::fs::metadata(file).map_err(|error| failed(&error))?.len();
    if size > MAX_FILE_BYTES {
        return Err(failed(&"it is longer than any manifest"));
    }
    let json = std::fs::read(file).map_err(|error| failed(&error))?;
    Manifest::parse(&json).map_err(|error| failed(&error))
}

/// What a genesis file says.
fn manifest_of(json: &str) -> Result<Manifest, Failure> {
    let (genesis, _) = Genesis::parse(json)?;
    let spec = ChainSpec::new(genesis)?;
    // The first block is the same under every key.
    let verifier = Verifier::new(json.as_bytes(), &[1; 32])
        .map_err(|fatal| Failure::new(ExitCode::Genesis, format!("the genesis cannot be used: {}", fatal.detail)))?;
    Ok(Manifest::of_genesis(&spec, verifier.genesis_hash()))
}

/// What was verified, in words.
pub(super) fn in_words(verified: Option<&Verified>) -> String {
    let Some(Verified { platform, measurement, .. }) = verified else {
        return "The connection to the node is plain HTTP, within this machine.".to_owned();
    };
    let program = format!("Evidence was verified: platform \"{platform}\", program {}.", measurement.mrtd);
    match platform {
        PlatformName::Virtual => {
            program + "\nThe virtual platform has no hardware underneath: who runs the node can read everything."
        }
        PlatformName::Tdx => program,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_genesis_file_is_a_manifest_and_files_that_are_none_are_named() {
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../genesis/consortium.json");
        let trust = TrustArgs { manifest: None, genesis: Some(example.clone()) };
        trust.node("https://node.example").unwrap();
        let manifest = manifest_of(&read_genesis(&example).unwrap()).unwrap();
        assert_eq!(manifest.chain_id, 2_026_001);
        let hash = "0x9ab9b4d69f7c526e2d096ee816c392dcf8adbb2582f415db33d9db54871eea0c";
        assert_eq!(manifest.genesis_hash.to_string(), hash);
        let refused = TrustArgs { manifest: Some(example), genesis: None }.node("https://node.example").unwrap_err();
        assert!(refused.message().contains("consortium.json: the manifest cannot be read"), "{}", refused.message());
        assert!(TrustArgs::default().node("https://node.example").unwrap_err().message().contains("--manifest"));
    }
}
