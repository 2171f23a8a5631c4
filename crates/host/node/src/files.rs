//! The process's limit on open files.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the soft limit on open files to `wanted` if it is lower, as far as the hard limit allows,
/// and returns the limit that holds now (`u64::MAX` where there is none).
///
/// A connection costs one file; the store and the runtime take about 300 more.
#[must_use]
pub fn raise_open_files(wanted: u64) -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let current = limit.current.unwrap_or(u64::MAX);
    if current >= wanted {
        return current;
    }
    let raised = wanted.min(limit.maximum.unwrap_or(u64::MAX));
    let new = Rlimit { current: Some(raised), maximum: limit.maximum };
    match setrlimit(Resource::Nofile, new) {
        Ok(()) => raised,
        Err(_) => current,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_raised_as_far_as_it_goes_and_never_lowered() {
        let hard = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
        let before = raise_open_files(0);
        assert!(before <= hard);
        assert_eq!(raise_open_files(before.min(hard)), before);
        let most = raise_open_files(hard);
        assert!(most >= before);
        assert_eq!(raise_open_files(10), most, "never lowered");
    }
}
