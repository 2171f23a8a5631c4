//! A value that is wiped when it goes away.

use zeroize::Zeroize;

/// A secret value: wiped when dropped, and neither cloned, printed, compared nor serialized.
///
/// The value lives on the heap, so that moving a `Secret` moves a pointer and leaves no copy behind on the stack.
/// What [`Secret::new`] was given did lie on the stack once; [`Secret::init`] avoids that.
///
/// ```compile_fail
/// let secret = cloister_crypto::Secret::new([0u8; 32]);
/// let copy = secret.clone();
/// ```
/// ```compile_fail
/// let secret = cloister_crypto::Secret::new([0u8; 32]);
/// let shown = format!("{secret:?}");
/// ```
/// ```compile_fail
/// let secret = cloister_crypto::Secret::new([0u8; 32]);
/// let guessed = secret == cloister_crypto::Secret::new([1u8; 32]);
/// ```
pub struct Secret<T: Zeroize>(Box<T>);

impl<T: Zeroize> Secret<T> {
    /// Takes a value into custody.
    #[must_use]
    pub fn new(value: T) -> Self {
        Self(Box::new(value))
    }

    /// Reads the value. Every use is a place where the secret may leave custody.
    #[must_use]
    pub fn expose(&self) -> &T {
        &self.0
    }
}

impl<const N: usize> Secret<[u8; N]> {
    /// Lets `write` fill the secret where it will stay.
    #[must_use]
    pub fn init(write: impl FnOnce(&mut [u8; N])) -> Self {
        let mut secret = Self(Box::new([0; N]));
        write(&mut secret.0);
        secret
    }
}

impl<T: Zeroize> Drop for Secret<T> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    static WIPED: AtomicUsize = AtomicUsize::new(0);

    struct Witness;

    impl Zeroize for Witness {
        fn zeroize(&mut self) {
            WIPED.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn dropping_wipes_once() {
        let secret = Secret::new(Witness);
        let moved = secret;
        assert_eq!(WIPED.load(Ordering::SeqCst), 0);
        drop(moved);
        assert_eq!(WIPED.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn init_fills_in_place() {
        let secret = Secret::<[u8; 4]>::init(|bytes| bytes.copy_from_slice(&[1, 2, 3, 4]));
        assert_eq!(secret.expose(), &[1, 2, 3, 4]);
    }
}
