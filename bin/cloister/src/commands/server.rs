//! Flags about the port, the folder, the blocks and the output.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
};

use clap::{Args, ValueEnum};
use cloister_devtools::ConsoleFormat;
use cloister_primitives::ChainSpec;
use cloister_shell::{HistoryOption, NodeOptions, PaceOption, TlsOption};

use crate::{failure::Failure, output, running::Network};

/// Longest time between two blocks, seconds.
const MAX_BLOCK_TIME_S: f64 = 86_400.0;

/// Where the node listens and what it keeps.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Node")]
pub(crate) struct ServerArgs {
    /// Port for HTTP and WebSocket; 0 takes any free one and prints it
    #[arg(short = 'p', long, value_name = "PORT", default_value_t = 8545)]
    pub(crate) port: u16,

    /// Address to listen on
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1", value_parser = address)]
    pub(crate) host: IpAddr,

    /// Whether clients speak TLS, which ends in the enclave; in the clear a node listens to this machine only
    /// [default: on, off for a development network]
    #[arg(long, value_name = "CHOICE", value_enum, num_args = 0..=1, default_missing_value = "on")]
    pub(crate) tls: Option<Tls>,

    /// Write what clients need to know to trust this node into this file, once it is ready
    #[arg(long, value_name = "FILE")]
    pub(crate) manifest_out: Option<PathBuf>,

    /// Tell metrics at http://ADDRESS/metrics, in the clear: for the operators' own network; port 0 takes any free one
    #[arg(long, value_name = "ADDRESS", value_parser = metrics_address)]
    pub(crate) metrics_address: Option<SocketAddr>,

    /// Most client connections at one time
    #[arg(long, value_name = "COUNT", default_value_t = 5_000,
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) max_connections: u32,

    /// Keep the chain in this folder; without it nothing is kept
    #[arg(long, value_name = "FOLDER")]
    pub(crate) datadir: Option<PathBuf>,

    /// How far back states can be read
    #[arg(long, value_name = "EXTENT", value_enum, default_value_t = History::Recent)]
    pub(crate) history: History,

    /// Memory for recent blocks in MiB; older ones are read back when asked for [default: 256]
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u32).range(..=1 << 20))]
    pub(crate) block_memory: Option<u32>,
}

/// Whether clients speak TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Tls {
    /// TLS only
    On,
    /// Plain HTTP only
    Off,
}

/// How far back states can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum History {
    /// At least the last 128 blocks
    Recent,
    /// Every block
    Full,
}

/// When blocks are made.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Blocks")]
pub(crate) struct PaceArgs {
    /// Make a block every so many seconds, instead of one for each transaction at once
    #[arg(short = 'b', long, value_name = "SECONDS", value_parser = block_time)]
    pub(crate) block_time: Option<PeriodMs>,

    /// Make blocks only when asked to, with evm_mine
    #[arg(long, visible_alias = "no-mine", conflicts_with = "block_time")]
    pub(crate) no_mining: bool,
}

/// Milliseconds between two blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PeriodMs(pub(crate) u64);

/// What is printed.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct OutputArgs {
    /// Print one JSON object per line
    #[arg(long)]
    pub(crate) json_logs: bool,

    /// Print nothing but where the node listens
    #[arg(short = 'q', long, visible_alias = "silent", conflicts_with = "json_logs")]
    pub(crate) quiet: bool,
}

impl OutputArgs {
    pub(crate) fn format(&self) -> ConsoleFormat {
        match (self.quiet, self.json_logs) {
            (true, _) => ConsoleFormat::Quiet,
            (false, true) => ConsoleFormat::Json,
            (false, false) => ConsoleFormat::Text(output::colour()),
        }
    }
}

impl PaceArgs {
    pub(crate) const fn pace(&self) -> PaceOption {
        match (self.block_time, self.no_mining) {
            (Some(PeriodMs(period_ms)), _) => PaceOption::IntervalMs(period_ms),
            (None, true) => PaceOption::Manual,
            (None, false) => PaceOption::Instant,
        }
    }

    /// The pace in words.
    pub(crate) fn in_words(&self, spec: &ChainSpec) -> String {
        match self.pace() {
            PaceOption::Instant if spec.is_imported() => {
                "none by itself: the chain is imported; --block-time or evm_mine make some".to_owned()
            }
            PaceOption::Instant => "as soon as there is a transaction".to_owned(),
            PaceOption::IntervalMs(period_ms) if period_ms % 1_000 == 0 => {
                format!("every {} s", period_ms / 1_000)
            }
            PaceOption::IntervalMs(period_ms) => format!("every {period_ms} ms"),
            PaceOption::Manual => "only when asked to, with evm_mine".to_owned(),
        }
    }
}

impl ServerArgs {
    /// The address to listen on. One that others can reach is warned about.
    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::new(self.host, self.port)
    }

    /// What connections of this network begin with: what was chosen, or else TLS unless it protects nothing anyway.
    ///
    /// # Errors
    /// A consortium's node would be reached in the clear by others.
    pub(crate) fn tls(&self, network: Network) -> Result<TlsOption, Failure> {
        match (self.tls, network) {
            (Some(Tls::On), _) | (None, Network::Consortium) => Ok(TlsOption::On),
            (Some(Tls::Off), Network::Consortium) if !self.host.is_loopback() => Err(Failure::usage(format!(
                "{} can be reached from other machines, which --tls off would let read and change everything on the \
                 way: leave it out, or listen on 127.0.0.1",
                self.host
            ))),
            (Some(Tls::Off), _) | (None, Network::Development) => Ok(TlsOption::Off),
        }
    }

    /// What to say about an address that others can reach.
    pub(crate) fn exposure(&self) -> Option<String> {
        (!self.host.is_loopback()).then(|| {
            format!(
                "{} can be reached from other machines; everyone who reaches a development node \
                 owns it",
                self.host
            )
        })
    }

    /// Options of the enclave.
    pub(crate) fn options(&self, pace: &PaceArgs) -> NodeOptions {
        NodeOptions {
            history: match self.history {
                History::Recent => HistoryOption::Recent,
                History::Full => HistoryOption::Full,
            },
            pace: pace.pace(),
            block_bytes: self.block_memory.map(|mib| mib as usize * (1 << 20)),
            ..NodeOptions::default()
        }
    }
}

fn address(text: &str) -> Result<IpAddr, String> {
    if text.eq_ignore_ascii_case("localhost") {
        return Ok(Ipv4Addr::LOCALHOST.into());
    }
    text.trim_matches(['[', ']']).parse().map_err(|_| "want an IP address, such as 127.0.0.1 or 0.0.0.0".to_owned())
}

fn metrics_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "want an IP address and a port, such as 127.0.0.1:9545".to_owned())
}

fn block_time(text: &str) -> Result<PeriodMs, String> {
    let wrong = || "want seconds between 0.001 and 86400, such as 2 or 0.5".to_owned();
    let seconds: f64 = text.parse().map_err(|_| wrong())?;
    if !(0.001..=MAX_BLOCK_TIME_S).contains(&seconds) {
        return Err(wrong());
    }
    // In range, so it fits; a fraction of a millisecond is not kept.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    Ok(PeriodMs((seconds * 1_000.0).round() as u64))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Flags {
        #[command(flatten)]
        server: ServerArgs,
        #[command(flatten)]
        pace: PaceArgs,
        #[command(flatten)]
        output: OutputArgs,
    }

    fn flags(arguments: &[&str]) -> Result<Flags, clap::Error> {
        Flags::try_parse_from([&["cloister"], arguments].concat())
    }

    #[test]
    fn tls_is_for_networks_that_protect_something_and_its_absence_for_this_machine() {
        let tls = |arguments: &[&str], network| flags(arguments).unwrap().server.tls(network).ok();
        let (on, off) = (Some(TlsOption::On), Some(TlsOption::Off));
        assert_eq!(tls(&[], Network::Consortium), on);
        assert_eq!(tls(&["--host", "0.0.0.0"], Network::Consortium), on);
        assert_eq!(tls(&["--tls", "off"], Network::Consortium), off);
        assert_eq!(tls(&["--tls", "off", "--host", "0.0.0.0"], Network::Consortium), None);
        assert_eq!(tls(&[], Network::Development), off);
        assert_eq!(tls(&["--tls"], Network::Development), on);
        assert_eq!(tls(&["--tls", "on", "--host", "0.0.0.0"], Network::Development), on);
        assert!(flags(&["--tls", "maybe"]).is_err());
    }

    #[test]
    fn addresses() {
        let address = |arguments: &[&str]| flags(arguments).unwrap().server.address().to_string();
        assert_eq!(address(&[]), "127.0.0.1:8545");
        assert_eq!(address(&["--host", "localhost", "-p", "0"]), "127.0.0.1:0");
        assert_eq!(address(&["--host", "::1"]), "[::1]:8545");
        assert!(flags(&["--host", "here"]).is_err());
        let metrics = |text| flags(&["--metrics-address", text]).map(|flags| flags.server.metrics_address);
        assert_eq!(metrics("[::1]:9545").unwrap(), Some("[::1]:9545".parse().unwrap()));
        assert!(metrics("9545").is_err());
        assert!(flags(&["--port", "70000"]).is_err());
        assert!(flags(&[]).unwrap().server.exposure().is_none());
        assert!(flags(&["--host", "0.0.0.0"]).unwrap().server.exposure().is_some());
    }

    #[test]
    fn paces() {
        let pace = |arguments: &[&str]| flags(arguments).unwrap().pace;
        assert_eq!(pace(&[]).pace(), PaceOption::Instant);
        assert_eq!(pace(&["-b", "2"]).pace(), PaceOption::IntervalMs(2_000));
        let spec = ChainSpec::development(cloister_primitives::DevChain::default()).unwrap();
        assert_eq!(pace(&["-b", "2"]).in_words(&spec), "every 2 s");
        assert_eq!(pace(&["--block-time", "0.25"]).in_words(&spec), "every 250 ms");
        let mut imported = spec.genesis().clone();
        (imported.config.cloister.development, imported.config.cloister.imported) = (false, true);
        let imported = ChainSpec::new(imported).unwrap();
        assert!(pace(&[]).in_words(&imported).starts_with("none by itself"));
        assert_eq!(pace(&["-b", "2"]).in_words(&imported), "every 2 s");
        assert_eq!(pace(&["--no-mining"]).pace(), PaceOption::Manual);
        for wrong in ["0", "-1", "x", "1e9", "NaN"] {
            assert!(flags(&["--block-time", wrong]).is_err(), "{wrong}");
        }
        assert!(flags(&["--no-mining", "-b", "1"]).is_err());
    }

    #[test]
    fn formats() {
        let format = |arguments: &[&str]| flags(arguments).unwrap().output.format();
        assert_eq!(format(&["--json-logs"]), ConsoleFormat::Json);
        assert_eq!(format(&["-q"]), ConsoleFormat::Quiet);
        assert!(flags(&["-q", "--json-logs"]).is_err());
    }

    #[test]
    fn options_for_the_enclave() {
        let flags = flags(&["--history", "full", "-b", "1", "--block-memory", "3"]).unwrap();
        let options = flags.server.options(&flags.pace);
        assert_eq!(options.block_bytes, Some(3 << 20));
        assert_eq!(options.history, HistoryOption::Full);
        assert_eq!(options.pace, PaceOption::IntervalMs(1_000));
        assert!(!options.development);
    }
}
