//! What `/proc` knows of a process group: CPU time and peak memory.

use std::fs;
use std::time::Duration;

use eyre::{Result, WrapErr, ensure, eyre};

/// Length of a clock tick of `/proc/<pid>/stat`: `USER_HZ` is 100 on every Linux.
const TICK: Duration = Duration::from_millis(10);

/// The fields of `/proc/<pid>/stat` (proc(5)) that matter here.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    parent: u32,
    group: u32,
    ticks: u64,
}

fn parse_stat(text: &str) -> Option<Stat> {
    // The second field is the command in parentheses and may itself hold spaces and parentheses.
    let mut fields = text.get(text.rfind(')')? + 1..)?.split_ascii_whitespace();
    let parent = fields.nth(1)?.parse().ok()?;
    let group = fields.next()?.parse().ok()?;
    let user: u64 = fields.nth(8)?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(Stat { parent, group, ticks: user + system })
}

fn processes() -> impl Iterator<Item = u32> {
    fs::read_dir("/proc").into_iter().flatten().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

fn stat_of(pid: u32) -> Option<Stat> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The processes whose cost is measured: one process group, and the children of its members, since an enclave has a group of
/// its own.
#[derive(Clone, Copy, Debug)]
pub struct Group {
    id: u32,
}

impl Group {
    /// The group of process `pid`.
    ///
    /// # Errors
    /// When there is no such process.
    pub fn of(pid: u32) -> Result<Self> {
        let stat = stat_of(pid).ok_or_else(|| eyre!("there is no process {pid}"))?;
        Ok(Self { id: stat.group })
    }

    /// The group of the process that listens on TCP `port` of this machine.
    ///
    /// # Errors
    /// When nothing listens there, or the listener belongs to another user.
    pub fn listening_on(port: u16) -> Result<Self> {
        let inodes = listening_inodes(port);
        ensure!(!inodes.is_empty(), "nothing listens on port {port}");
        let links: Vec<String> = inodes.iter().map(|i| format!("socket:[{i}]")).collect();
        for pid in processes() {
            let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else {
                continue;
            };
            for descriptor in descriptors.flatten() {
                let Ok(target) = fs::read_link(descriptor.path()) else {
                    continue;
                };
                if links.iter().any(|link| target.as_os_str() == link.as_str()) {
                    return Self::of(pid);
                }
            }
        }
        Err(eyre!("cannot see which process listens on port {port}; pass --pid"))
    }

    fn stats(self) -> Vec<(u32, Stat)> {
        let mut all: Vec<_> = processes().filter_map(|pid| Some((pid, stat_of(pid)?))).collect();
        let own: Vec<u32> = all.iter().filter(|(_, stat)| stat.group == self.id).map(|(pid, _)| *pid).collect();
        all.retain(|(pid, stat)| own.contains(pid) || own.contains(&stat.parent));
        all
    }

    /// Process ids of the members.
    #[must_use]
    pub fn members(&self) -> Vec<u32> {
        self.stats().into_iter().map(|(pid, _)| pid).collect()
    }

    /// User and system time that all members have used so far.
    #[must_use]
    pub fn cpu(&self) -> Duration {
        let ticks: u64 = self.stats().iter().map(|(_, stat)| stat.ticks).sum();
        TICK * u32::try_from(ticks).unwrap_or(u32::MAX)
    }

    /// Sum of the members' peak resident memory (`VmHWM`), in bytes.
    #[must_use]
    pub fn peak_memory_bytes(&self) -> u64 {
        self.members().into_iter().filter_map(|pid| status_bytes(&format!("/proc/{pid}/status"), "VmHWM:")).sum()
    }
}

/// A line such as `VmRSS:  123 kB` of a status file, in bytes.
fn status_bytes(path: &str, name: &str) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    let kib: u64 = line.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}

/// Resident memory of this process, in bytes.
///
/// # Errors
/// When `/proc` cannot be read.
pub fn own_resident_bytes() -> Result<u64> {
    status_bytes("/proc/self/status", "VmRSS:").ok_or_else(|| eyre!("cannot read /proc/self"))
}

fn listening_inodes(port: u16) -> Vec<u64> {
    const LISTEN: &str = "0A";
    let port_suffix = format!(":{port:04X}");
    ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok())
        .flat_map(|table| {
            table
                .lines()
                .skip(1)
                .filter_map(|line| {
                    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
                    let listens = fields.get(1)?.ends_with(&port_suffix) && *fields.get(3)? == LISTEN;
                    listens.then(|| fields.get(9)?.parse().ok()).flatten()
                })
                .collect::<Vec<u64>>()
        })
        .collect()
}

/// CPU time of the calling thread, from the scheduler, in nanoseconds' resolution.
///
/// # Errors
/// When the kernel keeps no scheduler statistics.
pub fn thread_cpu() -> Result<Duration> {
    let text = fs::read_to_string("/proc/thread-self/schedstat")
        .wrap_err("this kernel keeps no /proc/thread-self/schedstat")?;
    let nanos = text
        .split_ascii_whitespace()
        .next()
        .and_then(|field| field.parse().ok())
        .ok_or_else(|| eyre!("malformed schedstat"))?;
    Ok(Duration::from_nanos(nanos))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn stat_lines_with_odd_command_names() {
        let line = "42 (a) b (c) S 1 77 77 0 -1 4194560 1 2 3 4 150 50 0 0 20 0 1 0 5 6 7";
        assert_eq!(parse_stat(line).unwrap(), Stat { parent: 1, group: 77, ticks: 200 });
        assert_eq!(parse_stat("42 (x"), None);
    }

    #[test]
    fn own_cpu_time_grows_with_work() {
        let before = thread_cpu().unwrap();
        let mut value = alloy_primitives::B256::ZERO;
        while thread_cpu().unwrap() == before {
            value = alloy_primitives::keccak256(value);
        }
        let group = Group::of(std::process::id()).unwrap();
        assert!(group.members().contains(&std::process::id()));
        assert!(group.peak_memory_bytes() > 1 << 20);
        assert!(own_resident_bytes().unwrap() > 1 << 20);
    }

    #[test]
    fn finds_the_listener_of_a_port() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let group = Group::listening_on(port).unwrap();
        assert!(group.members().contains(&std::process::id()));
        drop(listener);
        assert!(Group::listening_on(port).is_err());
    }
}
