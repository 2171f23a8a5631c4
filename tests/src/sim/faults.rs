//! Bad luck: what goes wrong, when, and how often it did.

use std::collections::{BTreeMap, BTreeSet};

use cloister_core::PeerEvent;

use super::{
    random::Dice,
    world::{Event, Luck, World},
};

/// What is wrong now.
#[derive(Debug, Default)]
pub(super) struct Faults {
    pub(super) counts: BTreeMap<&'static str, u64>,
    /// Nothing gets from the one to the other.
    cut: BTreeSet<(usize, usize)>,
    lost_per_mille: u64,
    repeated_per_mille: u64,
    overtaking_per_mille: u64,
    slow_disk: Option<usize>,
    over: bool,
}

impl Faults {
    fn count(&mut self, kind: &'static str) {
        *self.counts.entry(kind).or_default() += 1;
    }

    pub(super) fn write_delay_us(&self, node: usize, dice: &mut Dice) -> u64 {
        if self.slow_disk == Some(node) { dice.between(20_000, 300_000) } else { dice.between(200, 3_000) }
    }

    /// How often a message arrives.
    pub(super) fn copies(&mut self, from: usize, to: usize, dice: &mut Dice) -> u64 {
        if self.cut.contains(&(from, to)) {
            return 0;
        }
        if self.lost_per_mille > 0 && dice.per_mille(self.lost_per_mille) {
            self.count("message lost");
            return 0;
        }
        if self.repeated_per_mille > 0 && dice.per_mille(self.repeated_per_mille) {
            self.count("message repeated");
            return 2;
        }
        1
    }

    pub(super) fn overtakes(&mut self, dice: &mut Dice) -> bool {
        let overtakes = self.overtaking_per_mille > 0 && dice.per_mille(self.overtaking_per_mille);
        if overtakes {
            self.count("message overtaken");
        }
        overtakes
    }
}

impl World {
    /// Something goes wrong, or is put right.
    pub(super) fn on_fault(&mut self) {
        if self.faults.over {
            return;
        }
        let delay_us = self.dice.between(100_000, 900_000);
        self.after(delay_us, 0, Event::Fault);
        let node = usize::try_from(self.dice.between(0, self.nodes.len() as u64 - 1)).unwrap_or_default();
        match self.dice.between(0, 11) {
            0..=2 if self.plan.luck == Luck::LostDisks => self.put_back_a_disk(node),
            0 => self.crash(node),
            1 | 2 => self.crash_at_a_write(node),
            3 => self.part(node),
            4 => self.part_one_way(node),
            5 => {
                self.faults.cut.clear();
                self.faults.slow_disk = None;
            }
            6 => self.bad_weather(),
            7 => {
                self.faults.count("slow disk");
                self.faults.slow_disk = Some(node);
            }
            8 => {
                self.faults.count("clock jump");
                let jump = i64::try_from(self.dice.between(0, 8_000)).unwrap_or_default() - 2_000;
                self.nodes[node].clock_ahead_ms += jump;
            }
            9 => self.break_a_link(node),
            10 => self.put_back_a_disk(node),
            _ => self.lose_a_disk(node),
        }
    }

    fn crash(&mut self, node: usize) {
        if self.nodes[node].is_up() {
            self.faults.count("crash");
            self.stop(node);
            self.come_back(node);
        }
    }

    fn come_back(&mut self, node: usize) {
        let delay_us = self.dice.between(20_000, 3_000_000);
        self.after(delay_us, node, Event::Start);
    }

    fn crash_at_a_write(&mut self, node: usize) {
        if self.nodes[node].is_up() {
            self.faults.count("crash at a write");
            self.nodes[node].stops_at_write = Some(self.dice.between(0, 40));
        }
    }

    fn part(&mut self, node: usize) {
        self.faults.count("partition");
        self.faults.cut.clear();
        for other in (0..self.nodes.len()).filter(|other| *other != node) {
            self.faults.cut.extend([(node, other), (other, node)]);
        }
    }

    fn part_one_way(&mut self, node: usize) {
        self.faults.count("one-way partition");
        let others: Vec<usize> = (0..self.nodes.len()).filter(|other| *other != node).collect();
        if let Some(&other) = self.dice.pick(&others) {
            self.faults.cut.insert((node, other));
        }
    }

    fn bad_weather(&mut self) {
        self.faults.count("bad weather");
        self.faults.lost_per_mille = self.dice.between(0, 100);
        self.faults.repeated_per_mille = self.dice.between(0, 50);
        self.faults.overtaking_per_mille = self.dice.between(0, 100);
    }

    fn break_a_link(&mut self, node: usize) {
        let others: Vec<usize> = self.up().into_iter().filter(|other| *other != node).collect();
        if let Some(&other) = self.dice.pick(&others) {
            self.faults.count("broken link");
            self.link(node, other, PeerEvent::Gone);
            self.link(node, other, PeerEvent::Connected);
        }
    }

    /// Whether one more node may lose what it had: a majority has to keep it.
    fn may_lose(&self, node: usize) -> bool {
        if self.plan.luck == Luck::NewMembers {
            return false;
        }
        let lost = self.nodes.iter().filter(|node| node.lost).count();
        self.nodes[node].is_up() && !self.nodes[node].lost && (lost + 1) * 2 < self.nodes.len()
    }

    /// A disk's earlier state is kept first, and put back the next time.
    fn put_back_a_disk(&mut self, node: usize) {
        if self.nodes[node].old.is_none() {
            self.nodes[node].old = Some(self.nodes[node].disk.kept.clone());
        } else if self.may_lose(node)
            && let Some(old) = self.nodes[node].old.take()
        {
            self.faults.count("disk rolled back");
            self.stop(node);
            self.nodes[node].lost = true;
            self.nodes[node].disk.kept = old;
            self.come_back(node);
        }
    }

    fn lose_a_disk(&mut self, node: usize) {
        if !self.may_lose(node) {
            return;
        }
        self.stop(node);
        self.nodes[node].lost = true;
        if self.dice.per_mille(500) {
            self.faults.count("disk lost");
            self.nodes[node].disk.kept = super::disk::Kept::default();
        } else {
            let draw = self.dice.draw();
            if self.nodes[node].disk.kept.flip_a_bit(draw) {
                self.faults.count("bit flipped");
            }
        }
        self.come_back(node);
    }

    /// The faults are over: everything is connected, and every node is started.
    pub(super) fn heal(&mut self) {
        let counts = core::mem::take(&mut self.faults.counts);
        self.faults = Faults { counts, over: true, ..Faults::default() };
        for node in 0..self.nodes.len() {
            self.nodes[node].stops_at_write = None;
            self.after(0, node, Event::Start);
        }
    }
}
