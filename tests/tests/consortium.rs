//! A consortium's network from the command line: its genesis, new or out of another client's; a node's folder; the node by its
//! configuration file.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use cloister_tests::node::{StartFailure, binary, run_cloister};
use cloister_tests::repository;
use cloister_tests::rpc::{RpcClient, quantity};
use cloister_tests::tools::python;
use serde_json::{Value, json};
use tempfile::TempDir;

/// A folder for the files of one test.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn name(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    fn json(&self, name: &str) -> Value {
        serde_json::from_str(&self.text(name)).expect("JSON")
    }

    fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("it is written");
    }

    /// A genesis of the name `genesis.json`, by `genesis new` and these flags.
    fn genesis(&self, flags: &[&str]) -> String {
        let out = self.name("genesis.json");
        run(&[&["genesis", "new", "--chain-id", "4242", "--sign-in", "node.example", "--out", &out], flags].concat())
    }

    /// What `genesis new` says that is in the way.
    fn refused_genesis(&self, flags: &[&str]) -> String {
        let out = self.name("refused.json");
        let failure = run_cloister(&[&["genesis", "new", "--out", &out], flags].concat()).expect_err("it is refused");
        assert!(!self.path("refused.json").exists(), "{flags:?}");
        failure.output
    }
}

/// Runs the command; what it printed.
fn run(arguments: &[&str]) -> String {
    run_cloister(arguments).unwrap_or_else(|failure| panic!("{arguments:?}: {failure}"))
}

/// How it failed, and what it said.
fn refusal(arguments: &[&str]) -> (Option<i32>, String) {
    let failure = run_cloister(arguments).expect_err("it is refused");
    (failure.status.code(), failure.output)
}

/// A node that was started with these arguments; killed when it is dropped.
struct Running {
    child: Child,
    rpc: RpcClient,
}

impl Running {
    fn start(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let log = folder.path().join("log");
        let mut command = Command::new(binary("cloister"));
        command.arg("node").args(arguments).args(["--port", "0", "--tls", "off", "--quiet"]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(File::create(&log).expect("a log file"));
        let mut child = command.spawn().expect("the node starts");
        let mut output = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let listening = output.find_map(|line| Some(line.ok()?.strip_prefix("Listening on ")?.to_owned()));
        let Some(listening) = listening else {
            let status = child.wait().expect("it ends");
            let output = std::fs::read_to_string(&log).unwrap_or_default();
            panic!("{arguments:?}: {}", StartFailure { status, output });
        };
        let address: SocketAddr = listening.parse().expect("an address");
        Self { child, rpc: RpcClient::new(address) }
    }

    fn chain_id(&self) -> u64 {
        quantity(&self.rpc.expect("eth_chainId", json!([])))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn foreign(name: &str) -> String {
    repository().join("tests/cases/genesis").join(name).display().to_string()
}

#[test]
fn a_new_network_is_initialised_and_runs_by_its_configuration_file() {
    let files = Files::new();
    let said = files.genesis(&["--member", "0x2B5AD5c4795c026514f8317c7a215E218DcCD6cF"]);
    assert!(said.contains("nodes: none are named, so one node orders blocks alone"), "{said}");
    let genesis = files.json("genesis.json");
    assert_eq!(genesis["config"]["chainId"], json!(4242));
    assert_eq!(genesis["config"]["cloister"]["confidentiality"], json!("on"));
    assert_eq!(genesis["config"]["cloister"]["signIn"]["domain"], json!("node.example"));
    assert_eq!(genesis["config"]["cloister"]["members"], json!(["0x2B5AD5c4795c026514f8317c7a215E218DcCD6cF"]));
    let (datadir, file) = (files.name("data"), files.name("genesis.json"));
    let said = run(&["init", "--datadir", &datadir, "--genesis", &file]);
    let config = files.name("data/cloister.toml");
    assert!(said.contains(&format!("cloister node --config {config}")), "{said}");
    assert!(files.path("data/sealing.key").exists());
    assert_eq!(files.text("data/genesis.json"), files.text("genesis.json"));
    {
        let node = Running::start(&["--config", &config]);
        assert_eq!(node.chain_id(), 4242);
        assert_eq!(node.rpc.expect("eth_blockNumber", json!([])), "0x0");
    }
    // Once more changes nothing.
    let key = std::fs::read(files.path("data/sealing.key")).expect("the key");
    let said = run(&["init", "--datadir", &datadir, "--genesis", &file]);
    assert!(said.contains("is there already: left as it is"), "{said}");
    assert_eq!(std::fs::read(files.path("data/sealing.key")).expect("the key"), key);
    assert_eq!(Running::start(&["--config", &config]).chain_id(), 4242);
}

#[test]
fn on_a_terminal_it_asks_for_what_no_flag_says() {
    let files = Files::new();
    let terminal = "import pty, sys; sys.exit(pty.spawn(sys.argv[1:]) >> 8)";
    let mut child = Command::new(python())
        .args(["-c", terminal])
        .arg(binary("cloister"))
        .args(["genesis", "new", "--gas-limit", "9000000", "--out", &files.name("genesis.json")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python");
    // Chain id, confidentiality as by default, a wrong and a right site, no members, no nodes.
    let answers = b"78\n\nhttps://a\nb.example\n\n\n";
    child.stdin.as_mut().expect("a pipe").write_all(answers).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("off [on]: ") && said.contains("without https://") && !said.contains("Gas limit"), "{said}");
    let genesis = files.json("genesis.json");
    assert_eq!((&genesis["config"]["chainId"], &genesis["gasLimit"]), (&json!(78), &json!("0x895440")));
    assert_eq!(genesis["config"]["cloister"]["signIn"]["domain"], json!("b.example"));
}

#[test]
fn the_file_says_what_the_command_line_leaves_open() {
    let files = Files::new();
    files.genesis(&["--confidentiality", "off"]);
    // The port is taken by the command line; the rest by the file, which lies beside the folder.
    files.write(
        "cloister.toml",
        "genesis = \"genesis.json\"\ndatadir = \"data\"\nport = 1\nblock_time = 3600\nhistory = \"full\"\n",
    );
    let node = Running::start(&["--config", &files.name("cloister.toml")]);
    assert_eq!(node.chain_id(), 4242);
    assert!(files.path("data/genesis.json").exists());
}

#[test]
fn each_other_clients_genesis_becomes_a_network_that_runs() {
    for (name, flags, chain_id, said) in [
        ("geth-clique.json", &["--confidentiality", "off"][..], 15_150, "chain id 15150, of geth's genesis"),
        ("geth-clique.json", &["--chain-id", "99", "--sign-in", "a.example"], 99, "chain id: 99 instead of 15150"),
        ("besu-qbft.json", &["--confidentiality", "off"], 1_337, "config.qbft: this client's own consensus"),
        ("besu-qbft.json", &[], 1_337, "sign-in: no site is named"),
        ("besu-ibft2.json", &["--hardfork", "cancun", "--confidentiality", "off"], 2_018, "config.ibft2: "),
        ("goquorum-istanbul.json", &["--confidentiality", "off"], 10, "of GoQuorum's genesis"),
        ("goquorum-istanbul.json", &[], 10, "config.istanbul: "),
        ("goquorum-qbft.json", &["--gas-limit", "30000000"], 1_338, "extraData: its validators order nothing here"),
    ] {
        let files = Files::new();
        let (file, out, datadir) = (foreign(name), files.name("genesis.json"), files.name("data"));
        let account = run(&[&["genesis", "import", &file, "--out", &out], flags].concat());
        assert!(account.contains(said), "{name} {flags:?}: {account}");
        assert!(account.contains("Taken over:") && account.contains("Left out:"), "{account}");
        let node = Running::start(&["--genesis", &out, "--datadir", &datadir]);
        assert_eq!(node.chain_id(), chain_id, "{name} {flags:?}");
        if flags.contains(&"off") && name.starts_with("geth") {
            let rich = json!(["0x7e5f4552091a69125d5dfcb7b8c2659029395bdf", "latest"]);
            assert_eq!(node.rpc.expect("eth_getBalance", rich), "0x3635c9adc5dea00000");
        }
    }
}

#[test]
fn the_file_goes_to_standard_output_and_what_is_said_of_it_does_not() {
    let output = Command::new(binary("cloister"))
        .args(["genesis", "import", &foreign("besu-ibft2.json")])
        .stdin(Stdio::null())
        .output()
        .expect("it runs");
    assert!(output.status.success());
    let genesis: Value = serde_json::from_slice(&output.stdout).expect("a genesis and nothing else");
    assert_eq!(genesis["config"]["chainId"], json!(2_018));
    let said = String::from_utf8(output.stderr).expect("text");
    assert!(said.starts_with("Taken over:\n"), "{said}");
}

#[test]
fn a_genesis_that_cannot_be_is_refused() {
    let files = Files::new();
    let missing = files.refused_genesis(&["--sign-in", "a.example"]);
    assert!(missing.contains("a new network needs a --chain-id"), "{missing}");
    let missing = files.refused_genesis(&["--chain-id", "5"]);
    assert!(missing.contains("name the site with --sign-in"), "{missing}");
    let member = "0x2B5AD5c4795c026514f8317c7a215E218DcCD6cF";
    let open = files.refused_genesis(&["--chain-id", "5", "--confidentiality", "off", "--member", member]);
    assert!(
        open.contains(
            "config.cloister.members: has a meaning on a confidential chain and in a network of several nodes only"
        ),
        "{open}"
    );
    let twice = files.refused_genesis(
        &[
            &["--chain-id", "5", "--sign-in", "a.example"][..],
            &["--node", &format!("a=0x{}", "11".repeat(32)), "--node", &format!("b=0x{}", "11".repeat(32))],
        ]
        .concat(),
    );
    assert!(twice.contains("config.cloister.raft.nodes[1].identity: expected an identity that no other"), "{twice}");
    let old = files.refused_genesis(&["--chain-id", "5", "--sign-in", "a.example", "--hardfork", "london"]);
    assert!(old.contains("leave --hardfork out, or choose --confidentiality off"), "{old}");
    let node = files.refused_genesis(&["--chain-id", "5", "--sign-in", "a.example", "--node", "a=12"]);
    assert!(node.contains("want NAME=IDENTITY"), "{node}");
    files.genesis(&[]);
    let before = files.text("genesis.json");
    let (_, again) =
        refusal(&["genesis", "new", "--chain-id", "5", "--sign-in", "a.example", "--out", &files.name("genesis.json")]);
    assert!(again.contains("is there already; choose another name"), "{again}");
    assert_eq!(files.text("genesis.json"), before);
    let (code, own) = refusal(&["genesis", "import", &files.name("genesis.json")]);
    assert_eq!(code, Some(15));
    assert!(own.contains("is one of this client's own already"), "{own}");
}

#[test]
fn nodes_make_their_keys_are_named_in_the_genesis_and_find_themselves_in_it() {
    let files = Files::new();
    let names = ["alpha", "beta", "gamma"];
    let identities = names.map(|name| {
        let output = Command::new(binary("cloister"))
            .args(["init", "--datadir", &files.name(name), "--name", name])
            .output()
            .expect("it runs");
        assert!(output.status.success(), "{output:?}");
        let said = String::from_utf8(output.stdout).expect("text");
        let (identity, peer_id) = said.trim().split_once('\n').expect("two lines");
        assert!(peer_id.starts_with("12D3KooW") && files.path(name).join("transport.key").exists(), "{said}");
        identity.to_owned()
    });
    let [alpha, beta, gamma] = &identities;
    files.genesis(&["--node", alpha, "--node", beta, "--node", gamma]);
    let (_, identity) = beta.split_once("beta=").expect("name and identity");
    let second = json!({ "id": 2, "name": "beta", "identity": identity });
    assert_eq!(files.json("genesis.json")["config"]["cloister"]["raft"]["nodes"][1], second);
    let (datadir, file) = (files.name("beta"), files.name("genesis.json"));
    for (name, code, expected) in [
        ("delta", 2, "the genesis names no node delta; its nodes are alpha, beta, gamma"),
        ("alpha", 15, "the genesis gives the node alpha the identity 0x"),
        ("Beta", 2, "want a name of 1 to 32 characters"),
    ] {
        let (found, said) = refusal(&["init", "--datadir", &datadir, "--genesis", &file, "--name", name]);
        assert_eq!(found, Some(code), "{said}");
        assert!(said.contains(expected), "{said}");
        assert!(!files.path("beta/genesis.json").exists(), "{name}");
    }
    // By its key it knows which one it is.
    let said = run(&["init", "--datadir", &datadir, "--genesis", &file]);
    assert!(said.starts_with(&format!("{beta}\n")), "{said}");
    let config = files.text("beta/cloister.toml");
    assert!(config.contains("\nnode_id = 2\n"), "{config}");
    assert!(
        config.contains("# id = 1\n") && config.contains("# id = 3\n") && !config.contains("# id = 2\n"),
        "{config}"
    );
}

#[test]
fn a_folder_keeps_its_chain() {
    let files = Files::new();
    files.genesis(&[]);
    let datadir = files.name("data");
    run(&["init", "--datadir", &datadir, "--genesis", &files.name("genesis.json")]);
    let other = foreign("goquorum-istanbul.json");
    let (code, said) = refusal(&["init", "--datadir", &datadir, "--genesis", &other]);
    assert_eq!(code, Some(12));
    assert!(said.contains("holds a chain with another genesis"), "{said}");
    let (code, said) =
        refusal(&["init", "--datadir", &datadir, "--genesis", &files.name("genesis.json"), "--name", "a"]);
    assert_eq!(code, Some(2));
    assert!(said.contains("the genesis names no nodes"), "{said}");
}

#[test]
fn wrong_configurations_are_refused_with_their_line() {
    let files = Files::new();
    files.genesis(&[]);
    let base = "genesis = \"genesis.json\"\ndatadir = \"data\"\n";
    let network = "node_id = 1\n[network]\nlisten = \"127.0.0.1:0\"\n";
    let config = files.name("cloister.toml");
    for (more, expected) in [
        ("prot = 1\n".to_owned(), "cloister.toml, line 3: there is no key prot; the keys are "),
        ("port = 99999\n".to_owned(), "cloister.toml, line 3: port: invalid value '99999'"),
        ("quiet = true\njson_logs = true\n".to_owned(), "cloister.toml, line 4: json_logs contradicts quiet in line 3"),
        ("chain_id = 5\n".to_owned(), "cloister.toml, line 3: chain_id contradicts genesis in line 1"),
        ("node_id = 1\n".to_owned(), "cloister.toml, line 3: node_id has a meaning in a network of nodes only"),
        (network.replace("listen", "port"), "cloister.toml, line 5: unknown field `port`"),
        (
            network.to_owned(),
            "genesis names none (config.cloister.raft): take --node-id, or node_id and [network] in the file, out",
        ),
    ] {
        files.write("cloister.toml", &format!("{base}{more}"));
        let (code, said) = refusal(&["node", "--config", &config, "--port", "0"]);
        assert_eq!(code, Some(15), "{said}");
        assert!(said.contains(expected), "{more}: {said}");
    }
    let nowhere = Path::new(&config).with_file_name("nowhere.toml").display().to_string();
    let (code, said) = refusal(&["node", "--config", &nowhere]);
    assert_eq!(code, Some(15));
    assert!(said.contains("cannot read the configuration file"), "{said}");
}
