//! The measurement of a program: the SHA-384 of its file, in the place of what a TDX module computes of a domain's
//! first pages.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use cloister_primitives::MeasuredDigest;
use sha2::{Digest as _, Sha384};

/// Bytes read at one time.
const STEP: usize = 1 << 20;

/// Measures a program's file.
///
/// # Errors
/// What the system says of the file.
pub fn measure_file(program: &Path) -> io::Result<MeasuredDigest> {
    let mut file = File::open(program)?;
    let mut hasher = Sha384::new();
    let mut buffer = vec![0; STEP];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(MeasuredDigest::new(hasher.finalize().into())),
            length => hasher.update(&buffer[..length]),
        }
    }
}

/// Measures the program that runs.
///
/// # Errors
/// What the system says of its file.
pub fn measure_running() -> io::Result<MeasuredDigest> {
    measure_file(Path::new("/proc/self/exe")).or_else(|_| measure_file(&std::env::current_exe()?))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_measured_by_its_bytes() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/root.pk8");
        let expected: [u8; 48] = Sha384::digest(include_bytes!("root.pk8")).into();
        assert_eq!(measure_file(&file).unwrap().0, expected);
        assert_eq!(measure_running().unwrap(), measure_file(&std::env::current_exe().unwrap()).unwrap());
        assert!(measure_file(Path::new("/nowhere")).is_err());
    }
}
