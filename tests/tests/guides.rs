//! The programs in the guides run as they stand there.

use cloister_tests::node::{Node, NodeOptions, Target};
use cloister_tests::repository;
use cloister_tests::tools::{Workspace, compiled_contracts};

/// Before the blocks of the guide for dApps: what a page has, and where its packages are found.
const BEFORE: &str = r#"
import { privateKeyToAccount } from "viem/accounts";
import { artifact, keys, rpcUrl } from "./common.mjs";
const url = rpcUrl;
const site = new URL(url);
const account = privateKeyToAccount(keys[0]);
const friend = "0x00000000000000000000000000000000000A11cE";
const { abi, bytecode } = artifact("Token");
"#;

/// Behind them: what the guide says of what they come to.
const BEHIND: &str = r"
console.log(JSON.stringify({
  signedIn: expiresAt > 0, receipt: receipt.status, own: own.length, theirs: theirs.length, refused: notAuthorized(refusal),
  balance: (await client.getBalance(account)) > 0n, strangers: String(await stranger.getBalance(account)),
}));
process.exit(0);
";

/// The blocks of code of a language, in order.
fn blocks(page: &str, language: &str) -> String {
    let begin = format!("```{language}\n");
    let blocks = page.split(&begin).skip(1).filter_map(|rest| rest.split("```").next());
    blocks.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_guide_for_dapps_runs() {
    let page = std::fs::read_to_string(repository().join("docs/guides/dapps.md")).expect("the guide");
    let workspace = Workspace::of_suite("js");
    // Where the package is compiled, a program finds it by its place.
    let blocks = blocks(&page, "js").replace("from \"@cloister/seal\"", "from \"./seal-built/dist/index.js\"");
    assert!(blocks.contains("seal-built") && blocks.matches("import ").count() >= 4, "{blocks}");
    let file = |name: &str, text: String| std::fs::write(workspace.path().join(name), text).expect("a file");
    file("guide.mjs", format!("{BEFORE}{blocks}{BEHIND}"));
    file("build.mjs", "import { buildPackage } from \"./seal-package.mjs\"; buildPackage();\n".to_owned());
    let options = NodeOptions { extra: vec!["--confidential".into()], ..NodeOptions::default() };
    let node = Node::start(Target::TwoProcess, &options);
    let program = workspace
        .tool("node")
        .with("RPC_URL", node.http_url())
        .with("ARTIFACTS", compiled_contracts().join("out"))
        .with("SEAL_PACKAGE", repository().join("crates/client/typescript"));
    program.succeed(["build.mjs"]);
    let said = program.succeed(["guide.mjs"]).json();
    let expected = serde_json::json!({
        "signedIn": true, "receipt": "success", "own": 1, "theirs": 0, "refused": true, "balance": true, "strangers": "0",
    });
    assert_eq!(said, expected);
}
