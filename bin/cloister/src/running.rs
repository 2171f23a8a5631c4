//! From flags to a running node: store, key, genesis, socket, host; then signals, until it ends.

use std::{
    future::Future,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use alloy_primitives::{B256, U256};
use cloister_attestation::Manifest;
use cloister_boundary::{Membership, link::HostLink};
use cloister_devtools::{Banner, ConsoleFormat, DevAccounts};
use cloister_node::{
    BlobStore, EnclaveProcess, ExitCode, Host, HostConfig, HostError, Listener, MemoryStore, NetworkConfig, Ready,
    SealingKey, StartConfig, Store, StoreOptions, raise_open_files, transport_key,
};
use cloister_primitives::{BaseFeePolicy, ChainSpec, HardforkName, Measurement};
use cloister_shell::{AuditShare, NodeOptions, TlsOption};
use cloister_virtual_platform::measure_file;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    commands::{
        chain::ChainArgs,
        server::{PaceArgs, ServerArgs},
    },
    failure::Failure,
    folder::Folder,
    output,
};

/// Files that a node needs besides one for each connection.
const OWN_FILES: u64 = 400;
/// The exit code of a process that a second interrupt ended, as shells have it.
const INTERRUPTED: i32 = 130;

/// Runs a command on a fresh runtime.
pub(crate) fn on_runtime(command: impl Future<Output = Result<(), Failure>> + Send + 'static) -> Result<(), Failure> {
    let runtime = cloister_shell::runtime().map_err(|error| {
        let message = format!("the system gives no threads: {error}");
        Failure::new(ExitCode::Failure, message)
    })?;
    // On a worker, beside the tasks it wakes: from this thread every message would cost a switch.
    let ended = runtime
        .block_on(runtime.spawn(command))
        .unwrap_or_else(|_| Err(Failure::new(ExitCode::Failure, "the node panicked")));
    // What still runs has nothing to save: the store is closed by now.
    runtime.shutdown_background();
    ended
}

/// Writes a small file.
pub(crate) fn write_file(path: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text).map_err(|error| {
        let message = format!("cannot write {}: {error}", path.display());
        Failure::new(ExitCode::Failure, message)
    })
}

/// What is told once the node is ready.
#[derive(Clone, Debug)]
pub(crate) struct Announcement {
    /// Accounts to show; none for a node that holds no keys.
    pub(crate) accounts: Option<DevAccounts>,
    /// Wei that each began with.
    pub(crate) balance: U256,
    /// When blocks are made.
    pub(crate) pace: PaceArgs,
    /// How to tell it.
    pub(crate) format: ConsoleFormat,
    /// The program that evidence is of.
    pub(crate) enclave: PathBuf,
    /// Where to write down what clients need to know.
    pub(crate) manifest_out: Option<PathBuf>,
}

/// Whose network it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Network {
    /// One developer's.
    Development,
    /// A consortium's: no development methods in any build.
    Consortium,
}

/// Everything a host needs but the link to its enclave.
pub(crate) struct Prepared {
    /// The chain's rules.
    pub(crate) spec: ChainSpec,
    options: NodeOptions,
    genesis: String,
    key: SealingKey,
    store: Box<dyn BlobStore>,
    listener: Listener,
    metrics: Option<Listener>,
    max_connections: u32,
    datadir: Option<String>,
    /// The folder held the chain's genesis already.
    chain_was_kept: bool,
    network: Option<NetworkConfig>,
}

impl Prepared {
    /// Opens the folder, finds the genesis and the key, binds the port. The order matters: a folder in use
    /// is found out before anything in it is touched, a taken port before a chain is begun.
    pub(crate) fn new(
        network: Network,
        server: &ServerArgs,
        pace: &PaceArgs,
        chain: &ChainArgs,
        accounts: &DevAccounts,
        balance: U256,
    ) -> Result<Self, Failure> {
        let tls = server.tls(network)?;
        let listener = Listener::bind(server.address())?;
        let metrics = server.metrics_address.map(bind_metrics).transpose()?;
        let folder = server.datadir.clone().map(Folder::new);
        let store: Box<dyn BlobStore> = match &folder {
            Some(folder) => Box::new(Store::open(folder.path(), StoreOptions::default())?),
            None => Box::new(MemoryStore::new()),
        };
        let genesis = chain.genesis(accounts, balance, folder.as_ref())?;
        let key = match &folder {
            Some(folder) => {
                let key = SealingKey::of_folder(folder.path(), &*store)?;
                if genesis.is_new {
                    folder.keep_genesis(&genesis.json)?;
                }
                key
            }
            None => SealingKey::ephemeral()?,
        };
        let mut options = server.options(pace);
        options.tls = tls;
        if tls == TlsOption::Off && network == Network::Consortium {
            output::warn("TLS is off: whoever runs this machine reads and changes what clients and the enclave say");
        }
        options.development = network == Network::Development;
        if options.development && !genesis.spec.is_development() && !genesis.spec.is_imported() {
            output::warn(
                "the genesis does not say that this is a development network \
                 (config.cloister.development), so development methods are refused",
            );
        }
        Ok(Self {
            spec: genesis.spec,
            options,
            genesis: genesis.json,
            key,
            store,
            listener,
            metrics,
            max_connections: server.max_connections,
            datadir: folder.map(|folder| folder.path().display().to_string()),
            chain_was_kept: !genesis.is_new,
            network: None,
        })
    }

    /// The same as one of several nodes.
    pub(crate) fn with_network(self, network: Option<NetworkConfig>) -> Self {
        Self { network, ..self }
    }

    /// The same executing so many blocks of other nodes itself.
    pub(crate) fn with_audit_share(mut self, share: AuditShare) -> Self {
        self.options.audit_share_millionths = Some(share.millionths());
        self
    }

    /// Where the node listens, `127.0.0.1:8545`.
    pub(crate) fn endpoint(&self) -> String {
        self.listener.address().to_string()
    }

    /// Runs the host until it ends or is told to.
    pub(crate) async fn serve(
        self,
        link: HostLink,
        process: Option<EnclaveProcess>,
        announcement: Announcement,
    ) -> Result<(), Failure> {
        let endpoint = self.endpoint();
        let metrics_address = self.metrics.as_ref().map(Listener::address);
        let (network, membership) = match &self.network {
            Some(config) => {
                let (network, membership) = join(config, self.datadir.as_deref()).await?;
                (Some(network), Some(membership))
            }
            None => (None, None),
        };
        let options = serde_json::to_vec(&self.options).unwrap_or_default();
        let mut config = HostConfig::new(StartConfig {
            genesis: self.genesis.into_bytes(),
            options,
            platform_key: self.key.to_bytes(),
            membership,
        });
        config.connections.max_connections = self.max_connections as usize;
        check_open_files(u64::from(self.max_connections));
        let mut host = Host::new(config, link, self.store, self.listener);
        if let Some(process) = process {
            host = host.with_process(process);
        }
        if let Some(network) = network {
            host = host.with_network(network);
        }
        if let Some(metrics) = self.metrics {
            host = host.with_metrics(metrics);
        }
        let handle = host.handle();
        let spec = self.spec;
        let known_chain = self.datadir.clone().filter(|_| self.chain_was_kept);
        let datadir = self.datadir;
        let announcing = handle.clone();
        let announced = tokio::spawn(async move {
            if let Some(ready) = announcing.ready().await {
                if let Err(failure) = write_manifest(&announcement, &ready, &spec) {
                    output::warn(failure.message());
                }
                let place = Place { endpoint: &endpoint, metrics: metrics_address, datadir: datadir.as_deref() };
                announce(&announcement, &ready, &spec, &place);
            }
        });
        let signals = tokio::spawn(shut_down_on_signal(handle));
        let ended = host.run().await;
        announced.abort();
        signals.abort();
        ended.map_err(|error| explain(error, known_chain.as_deref()))
    }
}

/// Binds the address for metrics.
fn bind_metrics(address: SocketAddr) -> Result<Listener, Failure> {
    Listener::bind(address).map_err(|error| Failure::new(ExitCode::Listen, format!("--metrics-address: {error}")))
}

/// Begins to take part in the network between nodes.
async fn join(config: &NetworkConfig, datadir: Option<&str>) -> Result<(cloister_node::Network, Membership), Failure> {
    let Some(datadir) = datadir else {
        return Err(Failure::usage("a node of a network keeps its chain: add --datadir"));
    };
    let network_key = SealingKey::of_file(&config.key_file)?.to_bytes();
    let key = transport_key(Path::new(datadir))?;
    let peer_id = key.peer_id();
    let settings = config.settings(key).map_err(|error| Failure::usage(error.to_string()))?;
    let network = cloister_node::Network::start(settings).await.map_err(HostError::from)?;
    tracing::info!(%peer_id, address = %network.address(), "listening for other nodes");
    Ok((network, Membership { node: config.node_id, network_key }))
}

/// A sentence for what the enclave's own words leave open.
///
/// `known_chain` is the folder, if it named the chain by itself: then what does not open it is the key.
pub(crate) fn explain(error: HostError, known_chain: Option<&str>) -> Failure {
    use cloister_boundary::HaltCode;
    let HostError::Halted { code, detail } = &error else {
        return error.into();
    };
    if let (HaltCode::ForeignLog, Some(folder)) = (code, known_chain) {
        let message = format!(
            "the sealing key in {folder} does not open what is stored there (wrong-key); put the right sealing.key back"
        );
        return Failure::new(ExitCode::Damaged, message);
    }
    let advice = match code {
        HaltCode::BadGenesis => "correct the genesis file",
        HaltCode::ForeignLog => "choose another --datadir, or start with that chain's genesis",
        HaltCode::WrongKey => "put the right sealing.key back into the data folder",
        HaltCode::DamagedLog => "restore the data folder from a backup, or start from an empty one",
        HaltCode::RecoveryRefused => {
            return Failure::new(error.exit_code(), format!("the network is not recovered: {detail}"));
        }
        HaltCode::IdentityInUse => "go on with the other one's folder: it has what this node acknowledged last",
        HaltCode::StorageFailed => "free space or repair the disk, then start again",
        _ => return error.into(),
    };
    Failure::new(error.exit_code(), format!("{detail} ({code}); {advice}"))
}

fn check_open_files(connections: u64) {
    let wanted = connections + OWN_FILES;
    let limit = raise_open_files(wanted);
    if limit < wanted {
        output::warn(&format!(
            "this process may open {limit} files, which is less than --max-connections {connections} \
             may need; raise it with `ulimit -n {wanted}`"
        ));
    }
}

/// The first interrupt or request to terminate ends the node in good order, a second one at once.
async fn shut_down_on_signal(handle: cloister_node::HostHandle) {
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        output::warn("signals cannot be caught; the node ends without closing its connections");
        return;
    };
    let mut asked = false;
    loop {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        if asked {
            // Everything acknowledged is durable already.
            std::process::exit(INTERRUPTED);
        }
        asked = true;
        handle.shutdown();
    }
}

/// Writes down what clients need to know to trust this node: its chain, and the program that runs it.
fn write_manifest(announcement: &Announcement, ready: &Ready, spec: &ChainSpec) -> Result<(), Failure> {
    let Some(file) = &announcement.manifest_out else { return Ok(()) };
    let measurement = measure_file(&announcement.enclave).map_err(|error| {
        let message = format!("cannot measure {}: {error}", announcement.enclave.display());
        Failure::new(ExitCode::Enclave, message)
    })?;
    let mut manifest = Manifest::of_genesis(spec, B256::from(ready.chain.genesis_hash));
    // Genesis may list the programs; where it does not, it is this one.
    for rules in manifest.platforms.values_mut() {
        let this = || vec![Measurement { mrtd: measurement, rtmrs: [None; 4] }];
        rules.measurements.get_or_insert_with(this);
    }
    let json = serde_json::to_string_pretty(&manifest).unwrap_or_default();
    write_file(file, &format!("{json}\n"))
}

/// Where a node is.
struct Place<'a> {
    /// Where clients connect, `127.0.0.1:8545`.
    endpoint: &'a str,
    /// Where metrics are asked for.
    metrics: Option<SocketAddr>,
    datadir: Option<&'a str>,
}

fn announce(announcement: &Announcement, ready: &Ready, spec: &ChainSpec, place: &Place<'_>) {
    let Place { endpoint, metrics, datadir } = *place;
    let genesis = spec.genesis();
    let genesis_hash = B256::from(ready.chain.genesis_hash);
    let listening = format!("Listening on {endpoint}");
    let metrics_line = metrics.map_or_else(String::new, |address| format!("Metrics on http://{address}/metrics\n"));
    match (announcement.format, &announcement.accounts) {
        (ConsoleFormat::Json, accounts) => {
            let addresses = accounts.iter().flat_map(|accounts| accounts.all());
            let addresses: Vec<_> = addresses.map(|account| account.address()).collect();
            let line = json!({
                "event": "ready",
                "message": listening,
                "endpoint": endpoint,
                "chainId": ready.chain.chain_id,
                "genesisHash": genesis_hash,
                "head": ready.head.0,
                "metrics": metrics,
                "datadir": datadir,
                "accounts": addresses,
            });
            output::say(&format!("{line}\n"));
        }
        (ConsoleFormat::Text(_), Some(accounts)) => {
            let base_fee = match spec.base_fee_policy() {
                BaseFeePolicy::Fixed(fee) => fee,
                BaseFeePolicy::Eip1559(_) => genesis.base_fee_per_gas.unwrap_or_default(),
            };
            let hardfork = HardforkName(spec.hardfork_at(0, genesis.timestamp)).to_string();
            let banner = Banner {
                accounts,
                balance: announcement.balance,
                endpoint,
                chain_id: ready.chain.chain_id,
                genesis_hash,
                hardfork: &hardfork,
                base_fee,
                gas_limit: genesis.gas_limit,
                confidentiality: spec.confidentiality(),
                pace: &announcement.pace.in_words(spec),
                head: ready.head.0,
                datadir,
            };
            output::say(&format!("{banner}{metrics_line}{listening}\n"));
        }
        (ConsoleFormat::Text(_) | ConsoleFormat::Quiet, _) => {
            output::say(&format!("{metrics_line}{listening}\n"));
        }
    }
}
