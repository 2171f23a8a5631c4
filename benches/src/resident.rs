//! The resident state by itself: time of a root update, memory of a slot.

use std::time::Duration;

use alloy_primitives::{Address, U256, keccak256};
use cloister_primitives::Height;
use cloister_state::{Account, AccountDelta, HistoryLimits, State, StateDelta, StorageCleared};
use eyre::{Result, ensure};
use serde::{Deserialize, Serialize};

use crate::probe::{own_resident_bytes, thread_cpu};

/// Slots written by one block while a state is being built.
const SLOTS_PER_BLOCK: u64 = 20_000;

/// History as short as it may be: it has its own budget and is not what is measured here.
const HISTORY: HistoryLimits = HistoryLimits { blocks: HistoryLimits::MIN_BLOCKS, bytes: 0 };

/// One account with many slots, as a token contract is.
#[derive(Debug)]
pub struct Resident {
    state: State,
    next_height: u64,
    slots: u64,
}

/// Memory of a large state.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Footprint {
    /// Slots that are resident.
    pub slots: u64,
    /// Growth of the process's resident memory, less history, divided by the slots.
    pub bytes_per_slot: f64,
    /// What the state itself counts, divided by the slots.
    pub counted_bytes_per_slot: f64,
}

/// The `index`-th slot: spread like a mapping's.
fn slot(index: u64) -> U256 {
    keccak256(index.to_be_bytes()).into()
}

/// A delta that sets slots to `value`.
#[must_use]
pub fn storage_delta(slots: impl Iterator<Item = u64>, value: u64) -> StateDelta {
    let mut delta = StateDelta {
        accounts: vec![AccountDelta {
            address: Address::repeat_byte(0x70),
            account: Some(Account { nonce: 1, balance: U256::from(value), ..Account::default() }),
            storage_cleared: StorageCleared::No,
            storage: slots.map(|index| (slot(index), U256::from(value))).collect(),
        }],
        codes: Vec::new(),
    };
    delta.sort();
    delta
}

impl Resident {
    /// Builds a state of `slots` slots.
    ///
    /// # Errors
    /// When the state refuses a delta.
    pub fn build(slots: u64) -> Result<Self> {
        let mut resident = Self { state: State::new(HISTORY), next_height: 0, slots };
        let mut first = 0;
        while first < slots {
            let end = (first + SLOTS_PER_BLOCK).min(slots);
            resident.apply(&storage_delta(first..end, 1))?;
            first = end;
        }
        Ok(resident)
    }

    /// Applies the next block.
    ///
    /// # Errors
    /// When the state refuses the delta.
    pub fn apply(&mut self, delta: &StateDelta) -> Result<()> {
        let height = Height(self.next_height);
        self.state.apply(height, delta)?;
        self.state.set_committed(height);
        self.next_height += 1;
        Ok(())
    }

    /// A delta that changes `changed` of the slots, spread evenly; another one for each `round`.
    #[must_use]
    pub fn change(&self, changed: u64, round: u64) -> StateDelta {
        let stride = (self.slots / changed.max(1)).max(1);
        let indices = (0..changed).map(|number| (number * stride + round) % self.slots);
        storage_delta(indices, 2 + round)
    }

    /// CPU time of applying a delta and computing the new root, per changed slot.
    ///
    /// # Errors
    /// When the state refuses the delta.
    pub fn time_root_update(&mut self, changed: u64, round: u64) -> Result<Duration> {
        let delta = self.change(changed, round);
        let written = u32::try_from(delta.accounts[0].storage.len())?;
        let start = thread_cpu()?;
        self.apply(&delta)?;
        Ok((thread_cpu()? - start) / written.max(1))
    }

    /// Builds a state and measures the memory it takes; for a process that has done nothing else.
    ///
    /// # Errors
    /// When the state refuses a delta, or memory cannot be read.
    pub fn measure_footprint(slots: u64) -> Result<Footprint> {
        let before = own_resident_bytes()?;
        let resident = Self::build(slots)?;
        let after = own_resident_bytes()?;
        let stats = resident.state.stats();
        ensure!(stats.slots == slots, "{} slots instead of {slots}", stats.slots);
        let grown = after.saturating_sub(before + stats.history_bytes as u64);
        Ok(Footprint {
            slots,
            bytes_per_slot: grown as f64 / slots as f64,
            counted_bytes_per_slot: stats.resident_bytes as f64 / slots as f64,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn changes_touch_as_many_slots_as_they_should() {
        let mut resident = Resident::build(2_000).unwrap();
        assert_eq!(resident.state.stats().slots, 2_000);
        let delta = resident.change(100, 3);
        assert_eq!(delta.accounts[0].storage.len(), 100);
        delta.check().unwrap();
        let before = resident.state.root();
        resident.apply(&delta).unwrap();
        assert_ne!(resident.state.root(), before);
        assert_eq!(resident.state.stats().slots, 2_000);
        let view = resident.state.view(Height(resident.next_height - 1)).unwrap();
        let changed = delta.accounts[0].storage[0];
        let read = view.storage(Address::repeat_byte(0x70), changed.0).unwrap();
        assert_eq!(read, U256::from(5));
    }
}
