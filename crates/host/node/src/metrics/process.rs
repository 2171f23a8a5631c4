//! What the system says of the processes: time, memory, files.

use std::{
    fmt, fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::Unit,
};

/// Unit of times in `/proc/PID/stat`, per second: `USER_HZ` (`proc_pid_stat`(5)), which has this value on all machines with
/// enclaves.
const TICKS_PER_SECOND: f64 = 100.0;

/// The processes of a node.
#[derive(Debug)]
pub(super) struct Processes {
    enclave: Arc<AtomicU32>,
}

impl Processes {
    pub(super) const fn new(enclave: Arc<AtomicU32>) -> Self {
        Self { enclave }
    }

    /// The processes by name; one that has ended is left out.
    fn read(&self) -> Vec<(&'static str, Usage)> {
        let own = ("host", "self".to_owned());
        let enclave = Some(self.enclave.load(Ordering::Relaxed)).filter(|process| *process != 0);
        let enclave = enclave.map(|process| ("enclave", process.to_string()));
        let read = |(name, process): (&'static str, String)| Some((name, Usage::of(&process)?));
        std::iter::once(own).chain(enclave).filter_map(read).collect()
    }
}

impl Collector for Processes {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let processes = self.read();
        let seconds = Some(&Unit::Seconds);
        let help = "Processor time; that of the enclave is the host's where both are one process.";
        let mut times = encoder.encode_descriptor("process_cpu", help, seconds, MetricType::Counter)?;
        for (name, usage) in &processes {
            ConstCounter::new(usage.cpu_seconds).encode(times.encode_family(&[("process", *name)])?)?;
        }
        let bytes = Some(&Unit::Bytes);
        let help = "Memory in use.";
        let mut memory = encoder.encode_descriptor("process_resident_memory", help, bytes, MetricType::Gauge)?;
        for (name, usage) in &processes {
            ConstGauge::new(usage.resident_bytes).encode(memory.encode_family(&[("process", *name)])?)?;
        }
        let open_files = fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
        let help = "Files and sockets that the host has open.";
        let files = encoder.encode_descriptor("process_open_fds", help, None, MetricType::Gauge)?;
        ConstGauge::new(open_files as u64).encode(files)
    }
}

/// What one process uses.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Usage {
    cpu_seconds: f64,
    resident_bytes: u64,
}

impl Usage {
    fn of(process: &str) -> Option<Self> {
        let folder = Path::new("/proc").join(process);
        let stat = fs::read_to_string(folder.join("stat")).ok()?;
        let status = fs::read_to_string(folder.join("status")).ok()?;
        Some(Self { cpu_seconds: cpu_seconds(&stat)?, resident_bytes: resident_bytes(&status)? })
    }
}

/// Fields 14 and 15 of `stat`: time in the process and in the system. The second field may hold anything.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<f64>().ok();
    Some((ticks()? + ticks()?) / TICKS_PER_SECOND)
}

fn resident_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1_024)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_says_is_read() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194560 900 0 0 0 150 50 0 0 20 0 9 0 100 1 2 3";
        assert_eq!(cpu_seconds(stat), Some(2.0));
        assert_eq!(cpu_seconds("7 (a) S 1"), None);
        assert_eq!(resident_bytes("Name:\ta\nVmRSS:\t    2048 kB\n"), Some(2 << 20));
        assert_eq!(resident_bytes("Name:\ta\n"), None);
        assert!(Usage::of("self").unwrap().resident_bytes > 0);
    }

    #[test]
    fn an_enclave_that_has_ended_is_left_out() {
        let names = |process| {
            let found = Processes::new(Arc::new(AtomicU32::new(process))).read();
            found.into_iter().map(|(name, _)| name).collect::<Vec<_>>()
        };
        assert_eq!(names(0), ["host"]);
        assert_eq!(names(std::process::id()), ["host", "enclave"]);
        // Above the highest that the system gives.
        assert_eq!(names(u32::MAX), ["host"]);
    }
}
