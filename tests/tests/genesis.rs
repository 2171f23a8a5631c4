//! Genesis blocks: those of public Ethereum networks, and the examples under `genesis/`.

use alloy_primitives::{B256, b256};
use cloister_execution::{genesis_block, genesis_delta};
use cloister_primitives::{ChainSpec, Genesis, Height};
use cloister_state::{HistoryLimits, State};
use cloister_tests::repository;
use cloister_tests::tools::Workspace;

/// State root and block hash of a genesis in geth's format, and what was warned about.
fn genesis(json: &str) -> (B256, B256, Vec<String>) {
    let (genesis, warnings) = Genesis::parse(json).expect("a genesis");
    let spec = ChainSpec::new(genesis).expect("a specification");
    let state = State::new(HistoryLimits::default());
    let root = state.apply(Height::GENESIS, &genesis_delta(&spec)).expect("an allocation");
    (root, genesis_block(&spec, root).hash, warnings.iter().map(ToString::to_string).collect())
}

/// The allocations come from npm, the hashes from the networks themselves.
#[test]
fn public_networks() {
    let cases = [
        (
            "Mainnet",
            b256!("d7f8974fb5ac78d9ac099b9ad5018bedc2ce0a72dad1827a1709da30580f0544"),
            b256!("d4e56740f876aef8c010b86a40d5f56745a118d0906a34e69aec8c0db1cb8fa3"),
        ),
        (
            "Sepolia",
            b256!("5eb6e371a698b8d68f665192350ffcecbbbf322916f4b51bd79bb6887da3f494"),
            b256!("25a5cc106eea7138acab33231d7160d69cb777ee0c2c553fcddf5138993e6dd9"),
        ),
        (
            "Holesky",
            b256!("69d8c9d72f6fa4ad42d4702b433707212f90db395eb54dc20bc85de253788783"),
            b256!("b5f7f912443c940f21fd611f12828d75b534364ed9e95ca4e307729a4661bde4"),
        ),
        (
            "Hoodi",
            b256!("da87d7f5f91c51508791bbcbd4aa5baf04917830b86985eeb9ad3d5bfb657576"),
            b256!("bbe312868b376a3001692a646dd2d7d1e4406380dfd86b98aa8a34d1557c971b"),
        ),
    ];
    let workspace = Workspace::of_suite("js");
    for (network, expected_root, expected_hash) in cases {
        let output = workspace.tool("node").run(["genesis.mjs", network]);
        assert!(output.status.success(), "{network}: {}", output.stderr);
        let (root, hash, _) = genesis(&output.stdout);
        assert_eq!((root, hash), (expected_root, expected_hash), "{network}");
    }
}

/// A changed example is another chain: whoever runs it already would be cut off.
#[test]
fn examples() {
    let folder = repository().join("genesis");
    let expected = [
        ("consortium.json", b256!("9ab9b4d69f7c526e2d096ee816c392dcf8adbb2582f415db33d9db54871eea0c")),
        ("development.json", b256!("34496de64509fb7bf854d9c41dab3a1c34d14720c28649a3dbf2a53068309e1d")),
    ];
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .expect("the folder of examples")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"))
        .filter(|name| name.ends_with(".json"))
        .collect();
    files.sort();
    assert_eq!(files, expected.map(|(name, _)| name), "each example is pinned here");
    for (name, expected_hash) in expected {
        let json = std::fs::read_to_string(folder.join(name)).expect("an example");
        let (_, hash, warnings) = genesis(&json);
        assert_eq!(warnings, [""; 0], "{name}");
        assert_eq!(hash, expected_hash, "{name}");
    }
}
