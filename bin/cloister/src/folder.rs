//! The data folder as the command line sees it: which chain it holds.

use std::{
    fs,
    io::{ErrorKind, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use cloister_node::ExitCode;
use cloister_primitives::MAX_GENESIS_BYTES;

use crate::failure::Failure;

/// Name of the genesis file in a data folder.
pub(crate) const GENESIS_FILE: &str = "genesis.json";

/// The key of a network's ledger, which its nodes share: in a data folder, and beside a configuration that names no other.
pub(crate) const NETWORK_KEY_FILE: &str = "network.key";

/// A data folder.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    path: PathBuf,
}

impl Folder {
    pub(crate) const fn new(path: PathBuf) -> Self {
        Self { path }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The genesis of the chain in this folder; `None` where there is no chain yet.
    pub(crate) fn genesis(&self) -> Result<Option<String>, Failure> {
        let path = self.path.join(GENESIS_FILE);
        if !path.exists() {
            return Ok(None);
        }
        read_genesis(&path).map(Some)
    }

    /// Keeps the genesis beside the chain, so that the folder can be opened without any flags.
    pub(crate) fn keep_genesis(&self, genesis: &str) -> Result<(), Failure> {
        let path = self.path.join(GENESIS_FILE);
        let temporary = self.path.join(".genesis.json.new");
        let write = || {
            let mut file =
                fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
            file.write_all(genesis.as_bytes())?;
            file.sync_all()?;
            fs::rename(&temporary, &path)?;
            fs::File::open(&self.path)?.sync_all()
        };
        write().map_err(|error| {
            let message = format!("cannot write {}: {error}", path.display());
            Failure::new(ExitCode::Storage, message)
        })
    }
}

/// Writes a file, unless there is one of that name already; whether it was written.
pub(crate) fn create_new(path: &Path, text: &str) -> Result<bool, Failure> {
    let write = || fs::OpenOptions::new().write(true).create_new(true).open(path)?.write_all(text.as_bytes());
    match write() {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(Failure::new(ExitCode::Failure, format!("cannot write {}: {error}", path.display()))),
    }
}

/// Reads a genesis file.
pub(crate) fn read_genesis(path: &Path) -> Result<String, Failure> {
    let failed = |what: String| {
        Failure::new(ExitCode::Genesis, format!("cannot read the genesis file {}: {what}", path.display()))
    };
    let size = fs::metadata(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => failed("there is no such file".to_owned()),
        _ => failed(error.to_string()),
    })?;
    if size.len() > MAX_GENESIS_BYTES as u64 {
        return Err(failed(format!("it has more than {MAX_GENESIS_BYTES} bytes")));
    }
    fs::read_to_string(path).map_err(|error| failed(error.to_string()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_kept_genesis_is_found_again() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = Folder::new(temporary.path().to_owned());
        assert_eq!(folder.genesis().unwrap(), None);
        folder.keep_genesis("{}").unwrap();
        assert_eq!(folder.genesis().unwrap().as_deref(), Some("{}"));
    }

    #[test]
    fn a_missing_file_is_named() {
        let failure = read_genesis(Path::new("/nowhere/genesis.json")).unwrap_err();
        assert_eq!(failure.code(), ExitCode::Genesis);
        assert_eq!(failure.message(), "cannot read the genesis file /nowhere/genesis.json: there is no such file");
    }
}
