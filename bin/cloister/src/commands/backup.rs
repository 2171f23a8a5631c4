//! `cloister backup` and `cloister restore`

use std::{
    fs::{self, File, OpenOptions},
    io::{BufReader, BufWriter, ErrorKind, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use clap::Args;
use cloister_node::{BackupError, ExitCode, KEY_FILE, Store, StoreError, StoreOptions, restore};

use crate::{failure::Failure, folder::Folder, output};

const BACKUP_HELP: &str = "\
Examples:
  cloister backup --datadir alpha --out alpha-2026-11-26.backup

The file holds the chain as it is stored, sealed, and the genesis. The keys are not in it: keep a copy of sealing.key (and of
transport.key and network.key, if the node is one of several) in another place. The node must not be running on the folder.";

const RESTORE_HELP: &str = "\
Examples:
  cloister restore --in alpha-2026-11-26.backup --datadir alpha

The folder may hold a node's keys and configuration, but no chain. The whole file is checked before anything is written.";

/// Arguments of `cloister backup`.
#[derive(Debug, Args)]
#[command(after_help = BACKUP_HELP)]
pub(crate) struct BackupArgs {
    /// The data folder
    #[arg(long, value_name = "FOLDER")]
    datadir: PathBuf,

    /// The file to write; there must be none of that name
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,
}

/// Arguments of `cloister restore`.
#[derive(Debug, Args)]
#[command(after_help = RESTORE_HELP)]
pub(crate) struct RestoreArgs {
    /// The file that `cloister backup` wrote
    #[arg(long = "in", value_name = "FILE")]
    from: PathBuf,

    /// The data folder to make, or to fill
    #[arg(long, value_name = "FOLDER")]
    datadir: PathBuf,
}

impl BackupArgs {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let genesis = Folder::new(self.datadir.clone()).genesis()?.ok_or_else(|| no_chain(&self.datadir))?;
        let store = Store::open(&self.datadir, StoreOptions::default()).map_err(|error| match error {
            StoreError::Locked { path } => {
                let message = format!(
                    "{} is in use by a running node: stop it for the time of the backup (the other nodes of its network \
                     go on meanwhile), or back up a snapshot of the file system that the folder is on",
                    path.display()
                );
                Failure::new(ExitCode::FolderLocked, message)
            }
            other => other.into(),
        })?;
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&self.out);
        let file = file.map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => Failure::new(
                ExitCode::Failure,
                format!("{} exists already: choose another name, or move it away", self.out.display()),
            ),
            _ => Failure::new(ExitCode::Failure, format!("cannot write {}: {error}", self.out.display())),
        })?;
        let written = write(&store, genesis.as_bytes(), file);
        let (backup, bytes) = written.map_err(|error| {
            // Half of a backup is none. That there is one is the worse failure, so this one is not told.
            let _ = fs::remove_file(&self.out);
            match error {
                BackupError::Empty => no_chain(&self.datadir),
                other => failure(&self.out, other),
            }
        })?;
        let last = backup.last.map_or_else(|| "no block".to_owned(), |last| format!("block {last}"));
        output::say(&format!(
            "Wrote {}: {} up to {last}, {bytes} bytes.\nThe keys are not in it: keep a copy of {KEY_FILE} in another place.\n",
            self.out.display(),
            backup.chain,
        ));
        Ok(())
    }
}

/// Writes a backup durably; also returns its length.
fn write(store: &Store, genesis: &[u8], file: File) -> Result<(cloister_node::Backup, u64), BackupError> {
    let mut out = BufWriter::with_capacity(1 << 20, file);
    let backup = store.back_up(genesis, &mut out)?;
    out.flush()?;
    let file = out.into_inner().map_err(std::io::IntoInnerError::into_error)?;
    file.sync_all()?;
    Ok((backup, file.metadata()?.len()))
}

impl RestoreArgs {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let file = File::open(&self.from).map_err(|error| {
            let message = format!("cannot read {}: {error}", self.from.display());
            Failure::new(ExitCode::Failure, message)
        })?;
        let folder = Folder::new(self.datadir.clone());
        let kept = folder.genesis()?;
        let from = BufReader::with_capacity(1 << 20, file);
        let same = |genesis: &[u8]| kept.as_ref().is_none_or(|kept| kept.as_bytes() == genesis);
        let backup = restore(from, folder.path(), same).map_err(|error| failure(&self.from, error))?;
        if kept.is_none() {
            // The file is whole, so this is the text that was put in.
            folder.keep_genesis(&String::from_utf8_lossy(&backup.genesis))?;
        }
        let last = backup.last.map_or_else(|| "no block".to_owned(), |last| format!("block {last}"));
        let mut text = format!("Restored {} up to {last} into {}.\n", backup.chain, self.datadir.display());
        if !folder.path().join(KEY_FILE).exists() {
            text +=
                &format!("Put the node's {KEY_FILE} there before it starts: nothing else opens what was restored.\n");
        }
        output::say(&text);
        Ok(())
    }
}

fn no_chain(datadir: &Path) -> Failure {
    let message = format!("{} holds no chain; name the folder that was given to --datadir", datadir.display());
    Failure::new(ExitCode::Failure, message)
}

/// What is wrong with the file is told with its name; what is wrong with the folder names it already.
fn failure(file: &Path, error: BackupError) -> Failure {
    let code = match error {
        BackupError::Store(error) => return error.into(),
        BackupError::Occupied => ExitCode::Failure,
        BackupError::OtherGenesis => ExitCode::ForeignChain,
        BackupError::File(_) => ExitCode::Storage,
        _ => ExitCode::Damaged,
    };
    Failure::new(code, format!("{}: {error}", file.display()))
}
