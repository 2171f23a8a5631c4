//! Key files: the sealing key of the virtual platform, and the key of the transport to other hosts.
//!
//! On real hardware the sealing key comes from the platform. Here it is a file that the host can
//! read, which protects nothing from the host; the mode keeps other users of the machine out.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use cloister_network::TransportKey;
use cloister_storage::BlobStore;
use thiserror::Error;

/// Name of the key file in the data folder.
pub const KEY_FILE: &str = "sealing.key";
/// Name of the file with the transport's key in the data folder.
pub const TRANSPORT_KEY_FILE: &str = "transport.key";

const KEY_LEN: usize = 32;

/// Why there is no sealing key.
#[derive(Debug, Error)]
pub enum KeyError {
    /// Others than the owner may use the file.
    #[error("{} can be used by others (mode {mode:04o}); run: chmod 600 {}", .path.display(), .path.display())]
    TooOpen {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// The file is not 32 bytes in a regular file.
    #[error("{} is not a key (it must be a file of 32 bytes); put the right file back", .path.display())]
    Mangled {
        /// The file.
        path: PathBuf,
    },
    /// There are stored blocks, but the key that sealed them is gone.
    #[error("{} is missing, and without it the stored blocks cannot be opened; put it back, or start from an empty folder", .path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The system refused.
    #[error("cannot use {}: {error}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What it said.
        error: std::io::Error,
    },
}

/// 32 random bytes under which the virtual platform's keys are sealed.
#[derive(Clone, PartialEq, Eq)]
pub struct SealingKey([u8; KEY_LEN]);

impl core::fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("SealingKey(…)")
    }
}

impl SealingKey {
    /// A fresh key for a node that keeps nothing.
    ///
    /// # Errors
    /// When the system has no randomness to give.
    pub fn ephemeral() -> Result<Self, KeyError> {
        draw().map(Self)
    }

    /// The key of a data folder. Where there is none and nothing is stored yet, a fresh one is
    /// created, mode 0600, whole or not at all.
    ///
    /// # Errors
    /// When others may read the file, when it is mangled, when it is missing although the store has
    /// content, and when the system refuses.
    pub fn of_folder(folder: &Path, store: &dyn BlobStore) -> Result<Self, KeyError> {
        let path = folder.join(KEY_FILE);
        if let Some(key) = read(&path)? {
            return Ok(Self(key));
        }
        if store.bounds().last.is_some() || !store.snapshots().is_empty() {
            return Err(KeyError::Missing { path });
        }
        create_or_read(folder, &path, draw()?).map(Self)
    }

    /// A key of a file that somebody else made, such as the one that the nodes of a network share.
    ///
    /// # Errors
    /// When there is no such file, others may read it, or it is mangled.
    pub fn of_file(path: &Path) -> Result<Self, KeyError> {
        let missing = || io(path, ErrorKind::NotFound.into());
        read(path)?.map(Self).ok_or_else(missing)
    }

    /// The bytes, for [`StartConfig::platform_key`](crate::StartConfig::platform_key).
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.to_vec()
    }
}

/// The key of a data folder's transport, made where there is none: the other hosts of the network know this one by it.
///
/// # Errors
/// As [`SealingKey::of_folder`].
pub fn transport_key(folder: &Path) -> Result<TransportKey, KeyError> {
    let path = folder.join(TRANSPORT_KEY_FILE);
    let seed = match read(&path)? {
        Some(seed) => seed,
        None => create_or_read(folder, &path, draw()?)?,
    };
    TransportKey::from_seed(seed).ok_or(KeyError::Mangled { path })
}

fn draw() -> Result<[u8; KEY_LEN], KeyError> {
    let path = Path::new("/dev/urandom");
    let mut key = [0; KEY_LEN];
    File::open(path).and_then(|mut source| source.read_exact(&mut key)).map_err(|error| io(path, error))?;
    Ok(key)
}

fn read(path: &Path) -> Result<Option<[u8; KEY_LEN]>, KeyError> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io(path, error)),
    };
    // Asked of the open file, so that it cannot be exchanged in between.
    let metadata = file.metadata().map_err(|error| io(path, error))?;
    let mode = metadata.mode() & 0o7777;
    let path = path.to_owned();
    if !metadata.is_file() || metadata.len() != KEY_LEN as u64 {
        return Err(KeyError::Mangled { path });
    }
    if mode & 0o077 != 0 {
        return Err(KeyError::TooOpen { path, mode });
    }
    let mut key = [0; KEY_LEN];
    file.read_exact(&mut key).map_err(|error| io(&path, error))?;
    Ok(Some(key))
}

/// Creates a key file; returns the key that is there in the end, which may be another's that came first.
fn create_or_read(folder: &Path, path: &Path, key: [u8; KEY_LEN]) -> Result<[u8; KEY_LEN], KeyError> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|error| io(folder, error))?;
    match create(folder, path, &key) {
        Ok(()) => Ok(key),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            read(path)?.ok_or_else(|| KeyError::Missing { path: path.to_owned() })
        }
        Err(error) => Err(io(path, error)),
    }
}

/// Writes a file beside it and links that into place, which fails if the name is taken.
fn create(folder: &Path, path: &Path, key: &[u8]) -> std::io::Result<()> {
    let draft = path.with_extension(format!("{}.new", std::process::id()));
    match std::fs::remove_file(&draft) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let written = OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(&draft)
        .and_then(|mut file| {
            file.write_all(key)?;
            file.sync_all()
        })
        .and_then(|()| std::fs::hard_link(&draft, path));
    let removed = std::fs::remove_file(&draft);
    written?;
    removed?;
    File::open(folder)?.sync_all()
}

fn io(path: &Path, error: std::io::Error) -> KeyError {
    KeyError::Io { path: path.to_owned(), error }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use cloister_boundary::Record;
    use cloister_primitives::Height;
    use cloister_storage::MemoryStore;

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_key_is_created_once_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("new/data");
        let store = MemoryStore::new();
        let key = SealingKey::of_folder(&data, &store).unwrap();
        assert_eq!(SealingKey::of_folder(&data, &store).unwrap(), key);
        assert_eq!(fs::read(data.join(KEY_FILE)).unwrap(), key.to_bytes());
        let mode = fs::metadata(data.join(KEY_FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(names(&data), [KEY_FILE], "no draft is left");
        assert_ne!(SealingKey::ephemeral().unwrap(), key);
        assert_eq!(format!("{key:?}"), "SealingKey(…)");
    }

    #[test]
    fn a_key_that_others_may_read_is_refused_with_the_command_that_helps() {
        let folder = tempfile::tempdir().unwrap();
        let store = MemoryStore::new();
        SealingKey::of_folder(folder.path(), &store).unwrap();
        let path = folder.path().join(KEY_FILE);
        for mode in [0o640, 0o604, 0o620, 0o601] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let error = SealingKey::of_folder(folder.path(), &store).unwrap_err();
            assert!(matches!(error, KeyError::TooOpen { mode: found, .. } if found == mode));
            let text = error.to_string();
            assert!(text.ends_with(&format!("run: chmod 600 {}", path.display())), "{text}");
        }
        fs::set_permissions(&path, Permissions::from_mode(0o400)).unwrap();
        assert!(SealingKey::of_folder(folder.path(), &store).is_ok());
    }

    #[test]
    fn a_transport_is_known_by_the_same_id_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let key = transport_key(folder.path()).unwrap();
        assert_eq!(transport_key(folder.path()).unwrap().peer_id(), key.peer_id());
        assert_eq!(names(folder.path()), [TRANSPORT_KEY_FILE]);
        let elsewhere = tempfile::tempdir().unwrap();
        assert_ne!(transport_key(elsewhere.path()).unwrap().peer_id(), key.peer_id());
    }

    #[test]
    fn a_key_of_another_is_read_and_never_made() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("network.key");
        let error = SealingKey::of_file(&path).unwrap_err();
        assert!(error.to_string().starts_with(&format!("cannot use {}: ", path.display())), "{error}");
        assert_eq!(names(folder.path()), [""; 0]);
        fs::write(&path, [3; 32]).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        assert_eq!(SealingKey::of_file(&path).unwrap().to_bytes(), [3; 32]);
    }

    #[test]
    fn mangled_and_missing_keys_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let store = MemoryStore::new();
        let path = folder.path().join(KEY_FILE);
        for content in [&[0; 31][..], &[0; 33], &[]] {
            fs::write(&path, content).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
            let error = SealingKey::of_folder(folder.path(), &store).unwrap_err();
            assert!(matches!(error, KeyError::Mangled { .. }), "{error}");
        }
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        let error = SealingKey::of_folder(folder.path(), &store).unwrap_err();
        assert!(matches!(error, KeyError::Mangled { .. }), "{error}");
        fs::remove_dir(&path).unwrap();

        let block = Record::Block { height: Height(0), sealed: vec![1].into() };
        store.append(&[block]).unwrap();
        let error = SealingKey::of_folder(folder.path(), &store).unwrap_err();
        assert!(matches!(error, KeyError::Missing { .. }), "{error}");
        assert_eq!(names(folder.path()), [""; 0], "no key is made up");
    }
}
