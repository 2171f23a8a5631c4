//! Figures that need no node.

use std::collections::VecDeque;

use alloy_primitives::Bytes;
use eyre::{Result, eyre};

use super::Scale;
use crate::floor::{Floor, FloorCost};
use crate::frames::guard_cost_ns;
use crate::report::{Goal, Summary};
use crate::resident::{Footprint, Resident};
use crate::stats::{mean, median};
use crate::traces::{CALLS, Callee, call_tracer_ratio};

/// Senders of the floor, as many as of the measured load.
const SENDERS: u64 = 500;

/// The floor, measured before and after each turn of the node, so that what slows the machine for a while slows both.
pub(super) struct Floors {
    floor: Floor,
    /// What is left to execute, with fresh recipients.
    slices: VecDeque<Vec<Bytes>>,
    costs: Vec<FloorCost>,
}

impl Floors {
    pub(super) fn prepare(scale: &Scale, progress: &mut dyn FnMut(&str)) -> Result<Self> {
        progress("floor: a state in memory, transfers signed");
        let floor = Floor::new(SENDERS, scale.slots)?;
        let per_slice = (scale.transfers / 3).max(1);
        let raw = floor.sign_transfers(per_slice * 2 * scale.rounds.max(1) * scale.turns);
        let slices = raw.chunks(usize::try_from(per_slice)?).map(<[Bytes]>::to_vec).collect();
        Ok(Self { floor, slices, costs: Vec::new() })
    }

    /// Measures a slice.
    pub(super) fn slice(&mut self) -> Result<FloorCost> {
        let raw = self.slices.pop_front().ok_or_else(|| eyre!("the floor has had its turns"))?;
        let (cost, _receipts) = self.floor.measure(&raw)?;
        self.costs.push(cost);
        Ok(cost)
    }

    /// Over all slices.
    pub(super) fn cost(&self) -> FloorCost {
        let part = |of: fn(&FloorCost) -> f64| mean(&self.costs.iter().map(of).collect::<Vec<_>>());
        FloorCost { recover_us: part(|cost| cost.recover_us), execute_us: part(|cost| cost.execute_us) }
    }
}

/// CPU time per changed slot, in microseconds.
pub(super) fn root_update(scale: &Scale, progress: &mut dyn FnMut(&str)) -> Result<f64> {
    progress(&format!("root update: {} of {} slots changed", scale.changed_slots, scale.slots));
    let mut resident = Resident::build(scale.slots)?;
    let mut times_us = Vec::new();
    for round in 0..scale.rounds.max(1) {
        let time = resident.time_root_update(scale.changed_slots, round)?;
        times_us.push(time.as_secs_f64() * 1e6);
    }
    Ok(median(&times_us))
}

/// Cost of the open frame guard, in nanoseconds per frame.
pub(super) fn frame_guard(progress: &mut dyn FnMut(&str)) -> Result<f64> {
    progress("frame guard");
    guard_cost_ns(15)
}

/// CPU time under `callTracer` over that of plain execution, for each kind of callee.
pub(super) fn call_tracer(scale: &Scale, progress: &mut dyn FnMut(&str)) -> Result<Vec<(Callee, f64)>> {
    progress(&format!("callTracer: a transaction of {CALLS} calls"));
    let ratio = |callee| Ok((callee, call_tracer_ratio(callee, 2 * scale.rounds + 1)?));
    [Callee::Token, Callee::Stops].into_iter().map(ratio).collect()
}

pub(super) fn report(
    scale: &Scale,
    root_us: Option<f64>,
    guard_ns: Option<f64>,
    call_tracer: Option<Vec<(Callee, f64)>>,
    footprint: Option<Footprint>,
    summary: &mut Summary,
) {
    summary.add(
        format!("root update, per changed slot, at {} slots", scale.slots),
        root_us.unwrap_or(f64::NAN),
        "us",
        Goal::AtMost(6.0),
    );
    summary.add(
        format!("resident memory per slot, at {} slots", scale.dense_slots),
        footprint.map_or(f64::NAN, |footprint| footprint.bytes_per_slot),
        "bytes",
        Goal::AtMost(250.0),
    );
    summary.add("empty frame guard, per frame", guard_ns.unwrap_or(f64::NAN), "ns", Goal::AtMost(80.0));
    let ratios = call_tracer.unwrap_or_else(|| vec![(Callee::Token, f64::NAN)]);
    for (callee, ratio) in ratios {
        let (what, goal) = match callee {
            Callee::Token => ("token transfers", Goal::AtMost(2.0)),
            Callee::Stops => ("calls of nothing", Goal::None),
        };
        summary.add(format!("callTracer / plain execution, {CALLS} {what}"), ratio, "x", goal);
    }
}
