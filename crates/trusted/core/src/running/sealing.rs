//! The keys that clients seal transactions for.

use cloister_keys::SealingKeys;

use super::Running;
use crate::{machine::Step, message::SealingOffer};

impl Running {
    /// This epoch's keys; the first are drawn when they are first asked for.
    pub(super) fn sealing(&mut self, step: &mut Step<'_>) -> &mut SealingKeys {
        self.rotate_sealing_keys(step);
        self.sealing.get_or_insert_with(|| SealingKeys::draw(step.now_ms, step.entropy))
    }

    /// Begins the next epoch on time, and wipes keys whose time is over, whether anybody asks or not.
    pub(super) fn rotate_sealing_keys(&mut self, step: &mut Step<'_>) {
        if let Some(sealing) = &mut self.sealing {
            sealing.rotate_if_due(step.now_ms, step.entropy);
        }
    }

    pub(super) fn sealing_offer(&mut self, step: &mut Step<'_>) -> SealingOffer {
        let keys = self.sealing(step).public().clone();
        SealingOffer {
            expires_in_ms: keys.until_ms.saturating_sub(step.now_ms),
            keys,
            chain_id: self.spec.chain_id(),
            genesis_hash: self.ledger.genesis_hash(),
        }
    }
}
