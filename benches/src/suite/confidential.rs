//! What confidentiality costs a committed transfer.
//!
//! **Method.** The same load runs in turns on a chain that keeps nothing to itself, on a confidential one, on one whose token
//! has rules, and on the confidential one in sealed envelopes; each round's figures are of the same minute. Senders on a
//! confidential chain read their receipts in sessions, sixteen accounts each, with the token in a header of every request, so
//! that both sides do the same. Connections are plain HTTP but for one chain, whose clients speak TLS with the enclave and have
//! looked at its evidence.

use std::path::Path;
use std::time::Duration;

use alloy_primitives::{Bytes, TxKind, U256, hex};
use cloister_client::{
    Manifest, Node as Peer, NodeUrl, SealingKeys, Site, client_config, send_raw_transaction, sign_in,
};
use cloister_primitives::envelope::SealingSuite;
use eyre::{Result, ensure, eyre};
use tempfile::TempDir;

use super::nodes::{CONNECTIONS, DEADLINE};
use super::{Programs, Scale};
use crate::engine::{Confirm, Limits, run};
use crate::floor::FloorCost;
use crate::node::{Node, free_port};
use crate::report::{Goal, Summary};
use crate::stats::median;
use crate::wallet::{Account, Draft, Fees, Signed};
use crate::workload::{Kind, Prepared, Recipients, Secrecy, SetUp};

/// Sender accounts: as many for each connection as a session takes.
const SENDERS: u64 = 16 * CONNECTIONS as u64;

/// CPU per committed transfer, once for each round.
#[derive(Debug, Default)]
pub(super) struct ConfidentialFigures {
    open_us: Vec<f64>,
    confidential_us: Vec<f64>,
    ruled_us: Vec<f64>,
    attested_us: Vec<f64>,
    sealed_us: Vec<f64>,
}

/// How clients are connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Connected {
    InTheClear,
    OverTls,
}

/// How transfers are sent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Plain,
    Sealed,
}

struct Chain {
    node: Node,
    prepared: Prepared,
    peer: Peer,
    _datadir: TempDir,
}

pub(super) fn measure(
    scale: &Scale,
    programs: &Programs,
    progress: &mut dyn FnMut(&str),
) -> Result<ConfidentialFigures> {
    let program = programs.cloister.as_deref().map_err(|e| eyre!("{e:#}"))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    progress("four chains: open, confidential, with rules on the token, over TLS");
    let start = |secrecy, connected| Chain::start(program, &programs.logs, secrecy, connected, scale, &runtime);
    let mut open = start(Secrecy::Open, Connected::InTheClear)?;
    let mut confidential = start(Secrecy::Confidential, Connected::InTheClear)?;
    let mut ruled = start(Secrecy::Ruled, Connected::InTheClear)?;
    let mut attested = start(Secrecy::Confidential, Connected::OverTls)?;
    let mut figures = ConfidentialFigures::default();
    for round in 1..=scale.rounds {
        progress(&format!("round {round}: transfers on each, and sealed"));
        figures.open_us.push(open.load(scale, Way::Plain, &runtime)?);
        figures.confidential_us.push(confidential.load(scale, Way::Plain, &runtime)?);
        figures.ruled_us.push(ruled.load(scale, Way::Plain, &runtime)?);
        figures.attested_us.push(attested.load(scale, Way::Plain, &runtime)?);
        figures.sealed_us.push(confidential.load(scale, Way::Sealed, &runtime)?);
    }
    for chain in [open, confidential, ruled, attested] {
        chain.node.stop()?;
    }
    Ok(figures)
}

impl Chain {
    fn start(
        program: &Path,
        logs: &Path,
        chain: Secrecy,
        connected: Connected,
        scale: &Scale,
        runtime: &tokio::runtime::Runtime,
    ) -> Result<Self> {
        let (datadir, port) = (tempfile::tempdir()?, free_port()?);
        let mut arguments: Vec<String> =
            ["dev", "--quiet", "--gas-limit", "4000000000", "--balance", "1000000"].map(String::from).to_vec();
        arguments.extend(["--datadir".to_owned(), datadir.path().display().to_string()]);
        arguments.extend(["--port".to_owned(), port.to_string()]);
        if chain != Secrecy::Open {
            arguments.push("--confidential".to_owned());
        }
        let manifest = datadir.path().join("manifest.json");
        if connected == Connected::OverTls {
            arguments.extend(["--tls", "on", "--manifest-out"].map(String::from));
            arguments.push(manifest.display().to_string());
        }
        let log = logs.join(format!("cloister-{chain:?}-{connected:?}.log").to_lowercase());
        let node = Node::reached(program, &arguments, port, &log, |endpoint| match connected {
            Connected::InTheClear => Ok(endpoint),
            Connected::OverTls => Ok(endpoint.over_tls(client_config(&Manifest::parse(&std::fs::read(&manifest)?)?)?)),
        })?;
        let peer = match connected {
            Connected::InTheClear => Peer::new(NodeUrl::parse(&format!("http://127.0.0.1:{port}"))?, None)?,
            Connected::OverTls => {
                let manifest = Manifest::parse(&std::fs::read(&manifest)?)?;
                Peer::new(NodeUrl::parse(&format!("https://127.0.0.1:{port}"))?, Some(&manifest))?
            }
        };
        let transactions = 2 * scale.rounds * transfers(scale);
        let max_fee = if chain == Secrecy::Open { 1_000_000_000_000 } else { 0 };
        // What fills slots takes more gas than a transaction may have where prices are flat.
        let slots = u64::from(chain == Secrecy::Open);
        let set_up = SetUp { senders: SENDERS, transactions, slots, seed: 1, max_fee, chain };
        let endpoint = match chain {
            Secrecy::Open => node.endpoint.clone(),
            Secrecy::Confidential | Secrecy::Ruled => {
                let funders = Account::development()?;
                node.endpoint.with_tokens(vec![runtime.block_on(session(&peer, funders.iter()))?])
            }
        };
        let mut prepared = Prepared::set_up(&endpoint, set_up)?;
        if chain != Secrecy::Open {
            let mut tokens = Vec::new();
            for accounts in prepared.sessions(CONNECTIONS) {
                tokens.push(runtime.block_on(session(&peer, accounts.into_iter()))?);
            }
            prepared.endpoint = node.endpoint.with_tokens(tokens);
        }
        Ok(Self { node, prepared, peer, _datadir: datadir })
    }

    /// CPU of the node per committed transfer, in microseconds.
    fn load(&mut self, scale: &Scale, way: Way, runtime: &tokio::runtime::Runtime) -> Result<f64> {
        let mut lanes = self.prepared.sign_transfers(Kind::Erc20, Recipients::Fresh, transfers(scale))?;
        if way == Way::Sealed {
            runtime.block_on(seal(&self.peer, self.prepared.fees, &mut lanes))?;
        }
        let limits = Limits { connections: CONNECTIONS, deadline: DEADLINE, ..Limits::default() };
        let before = self.node.group.cpu();
        let report = run(&self.prepared.endpoint, lanes, &limits, Confirm::Blocks { poll: Duration::from_millis(5) })?;
        let cpu = self.node.group.cpu() - before;
        ensure!(report.is_complete(), "not all was committed: {report:?}");
        Ok(cpu.as_secs_f64() * 1e6 / report.committed as f64)
    }
}

/// Transfers of one round on one chain.
const fn transfers(scale: &Scale) -> u64 {
    scale.transfers / 2
}

/// The token of one session of these accounts.
async fn session(peer: &Peer, accounts: impl Iterator<Item = &Account>) -> Result<String> {
    let accounts = accounts
        .map(|account| cloister_client::Account::from_hex(&account.secret_hex()))
        .collect::<Result<Vec<_>, _>>()?;
    let session = sign_in(peer, &Site::of(peer.url()), &accounts).await?;
    session.map(|session| session.token).ok_or_else(|| eyre!("nobody to sign in"))
}

/// Puts all of them into envelopes of one context, which the node knows then.
async fn seal(peer: &Peer, fees: Fees, lanes: &mut [Vec<Signed>]) -> Result<()> {
    let mut sealer = SealingKeys::of(peer).await?.sealer(SealingSuite::X25519)?;
    let stranger = Account::derived(2, 0)?;
    let (to, input) = (TxKind::Call(stranger.address), Bytes::new());
    let opening = stranger.sign(Draft { nonce: 0, to, value: U256::ZERO, input, gas_limit: 21_000 }, fees);
    // Whatever becomes of it, the node knows the context then. The round before may have sent the same.
    let _ = send_raw_transaction(peer, &sealer.seal(&opening.raw())?).await;
    for signed in lanes.iter_mut().flatten() {
        signed.raw_hex = hex::encode_prefixed(sealer.go_on(&signed.raw())?).into();
    }
    Ok(())
}

pub(super) fn report(figures: Option<ConfidentialFigures>, floor: Option<FloorCost>, summary: &mut Summary) {
    let figures = figures.unwrap_or_default();
    let floor_us = floor.map_or(f64::NAN, |floor| floor.total_us());
    let all = [&figures.open_us, &figures.confidential_us, &figures.ruled_us, &figures.attested_us, &figures.sealed_us];
    let [open, confidential, ruled, attested, sealed] = all.map(|us| median(us));
    for (what, us) in [
        ("on an open chain", open),
        ("on a confidential chain, signed in", confidential),
        ("of a token with rules, signed in", ruled),
        ("on a confidential chain, signed in, over TLS", attested),
        ("sealed in a context, signed in", sealed),
    ] {
        summary.add(format!("CPU per committed ERC-20 transfer, {what}"), us, "us", Goal::None);
    }
    summary.add(
        "CPU per transfer, confidentiality on and signed in / off",
        confidential / open,
        "x",
        Goal::AtMost(1.15),
    );
    summary.add(
        "CPU per transfer, with rules on the token / confidentiality off",
        ruled / open,
        "x",
        Goal::AtMost(1.25),
    );
    summary.add(
        "CPU per transfer, with TLS and sign-in / confidentiality off",
        attested / open,
        "x",
        Goal::AtMost(1.4),
    );
    summary.add("CPU per sealed transfer above the floor", sealed - floor_us, "us", Goal::AtMost(60.0));
    summary.add("CPU per transfer, sealed / in the clear, confidential", sealed / confidential, "x", Goal::None);
}
