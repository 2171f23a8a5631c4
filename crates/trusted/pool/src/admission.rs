//! Taking a transaction in: order, price, funds, limits.

use alloy_primitives::TxHash;
use cloister_execution::ValidTx;

use crate::lane::{Entry, Lane, Place, Price};
use crate::pool::LaneId;
use crate::tails::Tail;
use crate::{Pool, PoolError, SenderState};

/// How many cheap tails are looked at before the pool is called full.
const MAX_VICTIMS: usize = 256;

/// What became of an admitted transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// Its hash.
    pub hash: TxHash,
    /// The transaction whose place it took.
    pub replaced: Option<TxHash>,
    /// Whether it follows on the sender's other transactions without a gap (geth: pending, not queued).
    pub executable: bool,
    /// Transactions behind it that became executable through it, by nonce.
    pub promoted: Vec<TxHash>,
    /// Transactions of other accounts that had to make room.
    pub evicted: Vec<TxHash>,
}

impl Pool {
    /// Takes a transaction in. `sender` is the sender's state after the newest committed block.
    ///
    /// A replacement must raise fee cap and tip by `price_bump_percent`, as in geth. geth also replaces what is being mined
    /// and lets the block decide; here a block in the making is already executed and will, as a rule, be committed, so what
    /// is in flight cannot be replaced at any price.
    ///
    /// A sender must be able to pay for all transactions it has here, those behind gaps included (geth leaves these out).
    ///
    /// When there is no room, the last transaction of another account makes some: first one behind a gap, then the one
    /// with the lowest fee cap and tip, and only if the newcomer is worth more.
    ///
    /// # Errors
    /// [`PoolError`]; the transaction is then not here, and nothing has made room for it.
    pub fn add(&mut self, tx: ValidTx, sender: SenderState) -> Result<Admitted, PoolError> {
        let hash = tx.hash();
        if self.contains(&hash) {
            return Err(PoolError::AlreadyKnown);
        }
        let known = self.lane_of(tx.sender());
        let known_state = known.and_then(|lane| self.lane(lane)).map(|lane| lane.state);
        // The caller may have read the state just before a commit that is already known here.
        let state = known_state.filter(|known| known.nonce > sender.nonce).unwrap_or(sender);
        self.check_alone(&tx, &state)?;
        if let (Some(lane), true) = (known, known_state != Some(state)) {
            self.move_lane(lane, state);
        }
        // Moving the lane may have emptied and closed it.
        let lane = self.lane_of(tx.sender()).and_then(|lane| self.lane(lane));
        let placement = self.check_in_lane(&tx, &state, lane)?;
        let evicted = self.make_room(&tx, &placement)?;

        let nonce = tx.nonce();
        let id = self.open_lane(tx.sender(), state);
        let entry = Entry {
            price: Price::of(&tx),
            arrival: self.next_arrival(),
            gas: tx.gas_limit(),
            place: Place::Pooled,
            tx,
        };
        let end = self.lane(id).map_or(nonce, Lane::end);
        let replaced = self.insert(id, entry).map(|old| old.tx.hash());
        let promoted = match self.lane(id) {
            Some(lane) if end == nonce => lane.executable_behind(nonce),
            _ => Vec::new(),
        };
        Ok(Admitted { hash, replaced, executable: placement.executable, promoted, evicted })
    }

    /// Nonce and funds, the other transactions left aside.
    fn check_alone(&self, tx: &ValidTx, state: &SenderState) -> Result<(), PoolError> {
        let (nonce, cost) = (tx.nonce(), tx.cost());
        if nonce < state.nonce {
            return Err(PoolError::NonceTooLow { next: state.nonce, nonce });
        }
        if cost > state.balance {
            return Err(PoolError::InsufficientFunds { balance: state.balance, cost });
        }
        Ok(())
    }

    /// What the sender's other transactions say.
    fn check_in_lane(&self, tx: &ValidTx, state: &SenderState, lane: Option<&Lane>) -> Result<Placement, PoolError> {
        let (nonce, cost, balance) = (tx.nonce(), tx.cost(), state.balance);
        let gapped = lane.map_or(state.nonce, Lane::end);
        let queued = lane.map(Lane::cost).unwrap_or_default();
        if let Some(old) = lane.and_then(|lane| lane.get(nonce)) {
            let others = queued.saturating_sub(old.tx.cost());
            if others.saturating_add(cost) > balance {
                return Err(PoolError::LaneOverdrawn { balance, queued: others, cost });
            }
            if !old.is_pooled() || !Price::of(tx).replaces(&old.price, self.limits.price_bump_percent) {
                return Err(PoolError::ReplacementUnderpriced);
            }
            return Ok(Placement { executable: nonce < gapped, frees: Some(old.tx.encoded_len()) });
        }
        if nonce.saturating_sub(gapped) > self.limits.max_nonce_gap {
            return Err(PoolError::NonceTooHigh { nonce, gapped });
        }
        if queued.saturating_add(cost) > balance {
            return Err(PoolError::LaneOverdrawn { balance, queued, cost });
        }
        let pooled = lane.map_or(0, Lane::len);
        if pooled >= self.limits.per_account {
            return Err(PoolError::AccountLimitExceeded { pooled });
        }
        Ok(Placement { executable: nonce == gapped, frees: None })
    }

    /// Evicts what is worth less than `tx` until it fits; evicts nothing if that is not enough.
    fn make_room(&mut self, tx: &ValidTx, placement: &Placement) -> Result<Vec<TxHash>, PoolError> {
        let (frees_count, frees_bytes) = placement.frees.map_or((0, 0), |bytes| (1, bytes));
        let mut count = self.len() + 1 - frees_count;
        let mut bytes = (self.bytes() + tx.encoded_len()).saturating_sub(frees_bytes);
        let fits = |count: usize, bytes: usize| count <= self.limits.total && bytes <= self.limits.total_bytes;
        if fits(count, bytes) {
            return Ok(Vec::new());
        }
        let newcomer = Tail { executable: placement.executable, price: Price::of(tx), arrival: u64::MAX };
        let mut victims: Vec<(LaneId, u64, TxHash)> = Vec::new();
        for id in self.tails.worth_less_than(&newcomer).take(MAX_VICTIMS) {
            let Some(lane) = self.lane(id).filter(|lane| lane.address != tx.sender()) else {
                continue;
            };
            let Some((nonce, entry)) = lane.evictable() else {
                continue;
            };
            victims.push((id, nonce, entry.tx.hash()));
            count -= 1;
            bytes -= entry.tx.encoded_len();
            if fits(count, bytes) {
                break;
            }
        }
        if !fits(count, bytes) {
            return Err(PoolError::PoolFull);
        }
        for (id, nonce, _) in &victims {
            self.remove(*id, *nonce);
        }
        Ok(victims.into_iter().map(|(_, _, hash)| hash).collect())
    }
}

/// Where a transaction will stand.
struct Placement {
    executable: bool,
    /// Bytes of the transaction it replaces.
    frees: Option<usize>,
}

#[cfg(test)]
#[path = "admission_tests.rs"]
mod tests;
