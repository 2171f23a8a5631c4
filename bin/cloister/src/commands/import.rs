//! `cloister import`

use std::{
    collections::VecDeque,
    io::{IsTerminal as _, Write as _},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use clap::Args;
use cloister_boundary::link;
use cloister_devtools::ConsoleFormat;
use cloister_node::{
    BlobStore, ExitCode, Host, HostConfig, HostError, MemoryStore, SealingKey, StartConfig, Store, StoreOptions,
};
use cloister_shell::{
    Arrival, Awaited, Caller, ImportError, ImportLine, ImportedBlock, NodeOptions, ShellConfig, importer,
};
use serde_json::json;
use tokio::sync::mpsc;

use super::chain::imported_genesis;
use crate::{
    block_file::{BlockFile, FileFault},
    failure::Failure,
    folder::{Folder, read_genesis},
    output,
    running::{explain, on_runtime},
};

/// Blocks on their way to the enclave at one time.
const WINDOW: usize = 64;
/// Bytes of them.
const WINDOW_BYTES: usize = 64 << 20;
/// Blocks read from the file ahead of the enclave.
const READ_AHEAD: usize = 4;
/// Time between two lines of progress.
const PROGRESS: Duration = Duration::from_secs(1);

const AFTER_HELP: &str = "\
Examples:
  cloister import --genesis genesis.json --datadir chain chain.rlp
  cloister import --datadir chain more.rlp      go on; blocks that are there already are skipped
  cloister import --genesis genesis.json chain.rlp
                                                check a file and keep nothing
  cloister dev --datadir chain                  serve what was imported

Every block is executed, and all that consensus rules fix is checked: each header field, the body, and the
roots that execution leads to. Not checked are the seals of proof of work (ethash): whether a mined block's
nonce and mix hash fit its difficulty.

The first wrong block ends the import with exit code 18, its height, the field, what was expected and what
was found. Blocks before it stay and can be used.";

/// Arguments of `cloister import`.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Import {
    /// Genesis file in geth's format; may be left out where the folder holds a chain already
    #[arg(long, value_name = "FILE")]
    genesis: Option<PathBuf>,

    /// Keep the chain in this folder; without it the blocks are checked and nothing is kept
    #[arg(long, value_name = "FOLDER")]
    datadir: Option<PathBuf>,

    /// Print the result as JSON
    #[arg(long)]
    json: bool,

    /// Print no progress
    #[arg(short = 'q', long)]
    quiet: bool,

    /// Files of RLP-encoded blocks, as geth's `export` writes them
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
}

impl Import {
    pub(crate) fn run(self) -> Result<(), Failure> {
        output::start_logging(ConsoleFormat::Quiet);
        on_runtime(self.import())
    }

    async fn import(self) -> Result<(), Failure> {
        let folder = self.datadir.clone().map(Folder::new);
        let store: Box<dyn BlobStore> = match &folder {
            Some(folder) => Box::new(Store::open(folder.path(), StoreOptions::default())?),
            None => Box::new(MemoryStore::new()),
        };
        let kept = folder.as_ref().map(Folder::genesis).transpose()?.flatten();
        let given = self.genesis.as_deref().map(read_genesis).transpose()?;
        let genesis = imported_genesis(given, kept.as_deref())?;
        let key = match &folder {
            Some(folder) => {
                let key = SealingKey::of_folder(folder.path(), &*store)?;
                if kept.is_none() {
                    folder.keep_genesis(&genesis)?;
                }
                key
            }
            None => SealingKey::ephemeral()?,
        };
        let (host_end, enclave_end) = link::pair(link::DEFAULT_CAPACITY);
        let (extension, importer) = importer();
        let shell =
            ShellConfig { extension: Some(extension), default_caller: Caller::Development, ..ShellConfig::default() };
        tokio::spawn(cloister_shell::run(enclave_end, shell));
        let config = HostConfig::new(StartConfig {
            genesis: genesis.into_bytes(),
            options: serde_json::to_vec(&NodeOptions::default()).unwrap_or_default(),
            platform_key: key.to_bytes(),
            membership: None,
        });
        let host = Host::without_clients(config, host_end, store);
        let handle = host.handle();
        let running = tokio::spawn(host.run());
        let mut progress = Progress { shows: !self.quiet, ..Progress::begin() };
        let fed = match importer.open().await {
            Some(line) => feed(&line, &self.files, &mut progress).await,
            // The host says why.
            None => Ok(()),
        };
        handle.shutdown();
        let ended = running.await.unwrap_or(Ok(()));
        progress.end();
        let known_chain = kept.and(self.datadir.as_ref()).map(|folder| folder.display().to_string());
        ended.map_err(|error: HostError| explain(error, known_chain.as_deref()))?;
        fed?;
        output::say(&self.report(&progress));
        Ok(())
    }

    fn report(&self, progress: &Progress) -> String {
        let Progress { new, known, head, .. } = progress;
        if self.json {
            let report = json!({
                "imported": new.blocks,
                "skipped": known.blocks,
                "transactions": new.transactions,
                "gasUsed": new.gas,
                "head": head.map(|head| head.height.0),
                "hash": head.map(|head| head.hash),
                "sealsVerified": false,
            });
            return format!("{report}\n");
        }
        let newest = head.map_or_else(String::new, |head| format!("Newest block  {} {}\n", head.height, head.hash));
        let checked = if self.datadir.is_some() { "Imported" } else { "Checked, and kept nothing of," };
        format!(
            "{checked} {} blocks with {} transactions and {} gas in {:.1} s; {} were there already.\n{newest}\
             Seals of proof of work were not verified; everything else was.\n",
            new.blocks,
            new.transactions,
            new.gas,
            progress.started.elapsed().as_secs_f64(),
            known.blocks,
        )
    }
}

/// What a thread reads from the files.
enum Read {
    Block(Vec<u8>),
    Fault(PathBuf, FileFault),
}

/// Hands the blocks of all files to the enclave, until the first that it does not take.
async fn feed(line: &ImportLine, files: &[PathBuf], progress: &mut Progress) -> Result<(), Failure> {
    let (sender, mut blocks) = mpsc::channel(READ_AHEAD);
    let files = files.to_vec();
    tokio::task::spawn_blocking(move || read_all(&files, &sender));
    let mut window: VecDeque<(usize, Awaited)> = VecDeque::new();
    let mut bytes = 0;
    loop {
        let read = blocks.recv().await;
        let room = match &read {
            Some(Read::Block(block)) => WINDOW_BYTES.saturating_sub(block.len()),
            // The blocks before it come first.
            _ => 0,
        };
        let all = !matches!(read, Some(Read::Block(_)));
        while (all || window.len() >= WINDOW || bytes > room)
            && let Some((size, awaited)) = window.pop_front()
        {
            bytes -= size;
            progress.took(awaited.imported().await.map_err(refused)?);
        }
        match read {
            Some(Read::Block(block)) => {
                let size = block.len();
                window.push_back((size, line.send(block).await.map_err(refused)?));
                bytes += size;
            }
            Some(Read::Fault(path, fault)) => return Err(unreadable(&path, &fault, progress)),
            None => return Ok(()),
        }
    }
}

fn read_all(files: &[PathBuf], sender: &mpsc::Sender<Read>) {
    for path in files {
        let mut file = match BlockFile::open(path) {
            Ok(file) => file,
            Err(error) => {
                let _ = sender.blocking_send(Read::Fault(path.clone(), error.into()));
                return;
            }
        };
        loop {
            let read = match file.next_block() {
                Ok(Some(block)) => Read::Block(block),
                Ok(None) => break,
                Err(fault) => Read::Fault(path.clone(), fault),
            };
            let last = matches!(read, Read::Fault(..));
            // Whoever asked has stopped at a wrong block.
            if sender.blocking_send(read).is_err() || last {
                return;
            }
        }
    }
}

fn refused(error: ImportError) -> Failure {
    match error {
        ImportError::Refused(refusal) => Failure::new(ExitCode::Import, refusal.to_string()),
        ImportError::Core(error) => Failure::new(ExitCode::Storage, format!("the import stopped: {error}")),
    }
}

fn unreadable(path: &Path, fault: &FileFault, progress: &Progress) -> Failure {
    let path = path.display();
    if let FileFault::Io(_) = fault {
        return Failure::new(ExitCode::Failure, format!("{path}: {fault}"));
    }
    let height = progress.head.map_or(0, |head| head.height.0 + 1);
    Failure::new(ExitCode::Import, format!("block {height}: {fault} in {path}"))
}

/// Blocks, and what is in them.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    blocks: u64,
    transactions: u64,
    gas: u64,
}

impl Tally {
    fn add(&mut self, block: ImportedBlock) {
        self.blocks += 1;
        self.transactions += block.transactions as u64;
        self.gas = self.gas.saturating_add(block.gas_used);
    }
}

/// How far the import is, and a line that says so.
struct Progress {
    shows: bool,
    on_terminal: bool,
    started: Instant,
    shown: Instant,
    /// When the line was last shown, and the gas by then.
    gas_shown: u64,
    new: Tally,
    known: Tally,
    head: Option<ImportedBlock>,
}

impl Progress {
    fn begin() -> Self {
        let now = Instant::now();
        let on_terminal = std::io::stderr().is_terminal();
        Self {
            shows: true,
            on_terminal,
            started: now,
            shown: now,
            gas_shown: 0,
            new: Tally::default(),
            known: Tally::default(),
            head: None,
        }
    }

    fn took(&mut self, arrival: Arrival) {
        let (tally, block) = match arrival {
            Arrival::New(block) => (&mut self.new, block),
            Arrival::Known(block) => (&mut self.known, block),
        };
        tally.add(block);
        self.head = Some(block);
        if self.shows && self.shown.elapsed() >= PROGRESS {
            self.show(self.shown.elapsed().as_secs_f64());
            self.shown = Instant::now();
            self.gas_shown = self.new.gas;
        }
    }

    #[allow(clippy::cast_precision_loss)] // a speed to look at
    fn show(&self, seconds: f64) {
        let speed = (self.new.gas - self.gas_shown) as f64 / seconds / 1e6;
        let height = self.head.map_or(0, |head| head.height.0);
        let (start, end) = if self.on_terminal { ("\r\u{1b}[K", "") } else { ("", "\n") };
        let Tally { blocks, transactions, .. } = self.new;
        let known = self.known.blocks;
        let line = format!("{start}block {height}: {blocks} imported, {known} skipped, {transactions} transactions, ");
        let _ = write!(std::io::stderr(), "{line}{speed:.1} Mgas/s{end}");
    }

    fn end(&self) {
        if self.shows && self.on_terminal {
            let _ = write!(std::io::stderr(), "\r\u{1b}[K");
        }
    }
}
