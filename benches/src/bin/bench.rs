//! Measures everything that has a goal, prints one table, writes `summary.json`.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use clap::Parser;
use cloister_benches::node::{find_anvil, find_cloister};
use cloister_benches::resident::{Footprint, Resident};
use cloister_benches::suite::{Programs, Scale, run, run_network};
use eyre::{Result, WrapErr, ensure};

/// Measure cloister, the floor and anvil, and print one table with the goals.
///
/// Takes up to ten minutes. Finds cloister beside itself or in CLOISTER_BIN, and anvil in
/// ANVIL_BIN, the tools folder or PATH. Missing goals are shown, never an error.
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
    /// Small counts: shows in a minute that everything runs; its figures are no verdict
    #[arg(long, env = "CLOISTER_BENCH_QUICK")]
    quick: bool,
    /// Rounds of what is measured in turns
    #[arg(long, env = "CLOISTER_BENCH_ROUNDS", value_parser = clap::value_parser!(u64).range(1..=9))]
    rounds: Option<u64>,
    /// Measure a network of three nodes and nothing else
    #[arg(long)]
    network: bool,
    /// How often its leader is killed
    #[arg(long, env = "CLUSTER_KILLS", value_parser = clap::value_parser!(u64).range(1..=1000))]
    kills: Option<u64>,
    /// Where the figures go; logs of the nodes are put beside
    #[arg(long, default_value = "target/bench/summary.json")]
    summary: PathBuf,
    /// Only build a state of this many slots and print its footprint (used by this program itself)
    #[arg(long, hide = true)]
    footprint: Option<u64>,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let mut stdout = std::io::stdout();
    if let Some(slots) = options.footprint {
        let footprint = Resident::measure_footprint(slots)?;
        writeln!(stdout, "{}", serde_json::to_string(&footprint)?)?;
        return Ok(());
    }
    let mut scale = if options.quick { Scale::QUICK } else { Scale::FULL };
    scale.rounds = options.rounds.unwrap_or(scale.rounds);
    scale.kills = options.kills.unwrap_or(scale.kills);
    let logs = options.summary.with_file_name("");
    std::fs::create_dir_all(&logs).wrap_err("cannot make the folder of the summary")?;
    let programs = Programs { cloister: find_cloister(), anvil: find_anvil(), logs };
    let mut progress = |text: &str| {
        // A closed pipe is no reason to stop measuring.
        let _ = writeln!(std::io::stderr(), "{text}");
    };
    let summary = if options.network {
        run_network(&scale, &programs, &mut progress)
    } else {
        run(&scale, &programs, footprint_in_child, &mut progress)
    };
    summary.write_json(&options.summary)?;
    writeln!(stdout, "\n{}", summary.table())?;
    writeln!(stdout, "written to {}", options.summary.display())?;
    Ok(())
}

/// Measures in a process of its own, whose memory holds nothing else.
fn footprint_in_child(slots: u64) -> Result<Footprint> {
    let output = Command::new(std::env::current_exe()?)
        .args(["--footprint", &slots.to_string()])
        .stderr(Stdio::inherit())
        .output()?;
    ensure!(output.status.success(), "the measuring process failed");
    Ok(serde_json::from_slice(&output.stdout)?)
}
