//! When each Ethereum hardfork takes effect.

use core::fmt;
use core::str::FromStr;
use std::collections::BTreeMap;

use alloy_hardforks::{EthereumHardfork, ForkCondition};

use crate::genesis::GenesisError;

/// Names accepted for `--hardfork`, oldest first; the last one is the default.
const NAMES: &[(&str, EthereumHardfork)] = &[
    ("frontier", EthereumHardfork::Frontier),
    ("homestead", EthereumHardfork::Homestead),
    ("dao", EthereumHardfork::Dao),
    ("tangerine", EthereumHardfork::Tangerine),
    ("spuriousdragon", EthereumHardfork::SpuriousDragon),
    ("byzantium", EthereumHardfork::Byzantium),
    ("constantinople", EthereumHardfork::Constantinople),
    ("petersburg", EthereumHardfork::Petersburg),
    ("istanbul", EthereumHardfork::Istanbul),
    ("muirglacier", EthereumHardfork::MuirGlacier),
    ("berlin", EthereumHardfork::Berlin),
    ("london", EthereumHardfork::London),
    ("arrowglacier", EthereumHardfork::ArrowGlacier),
    ("grayglacier", EthereumHardfork::GrayGlacier),
    ("paris", EthereumHardfork::Paris),
    ("shanghai", EthereumHardfork::Shanghai),
    ("cancun", EthereumHardfork::Cancun),
    ("prague", EthereumHardfork::Prague),
    ("osaka", EthereumHardfork::Osaka),
];

/// A hardfork given by name, as anvil's `--hardfork` takes it.
///
/// `latest` means the newest; `merge` means `paris`. Case does not matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HardforkName(pub EthereumHardfork);

impl Default for HardforkName {
    fn default() -> Self {
        Self(EthereumHardfork::Osaka)
    }
}

impl HardforkName {
    /// Every name, oldest first.
    pub fn names() -> impl Iterator<Item = &'static str> {
        NAMES.iter().map(|(name, _)| *name)
    }
}

impl fmt::Display for HardforkName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = NAMES.iter().find(|(_, fork)| *fork == self.0);
        f.write_str(name.map_or("latest", |(name, _)| name))
    }
}

/// The name given is none of those known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown hardfork '{given}'; known are: latest, {}", HardforkName::names().collect::<Vec<_>>().join(", "))]
pub struct UnknownHardfork {
    /// What was given.
    pub given: String,
}

impl FromStr for HardforkName {
    type Err = UnknownHardfork;

    fn from_str(given: &str) -> Result<Self, Self::Err> {
        let name = given.trim().to_ascii_lowercase();
        match name.as_str() {
            "latest" => return Ok(Self::default()),
            "merge" => return Ok(Self(EthereumHardfork::Paris)),
            _ => {}
        }
        NAMES
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, fork)| Self(*fork))
            .ok_or_else(|| UnknownHardfork { given: given.chars().take(64).collect() })
    }
}

/// The activation of every fork; a fork that is absent never activates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ForkSchedule {
    conditions: BTreeMap<EthereumHardfork, ForkCondition>,
}

impl ForkSchedule {
    /// A schedule that has only Frontier.
    #[must_use]
    pub fn frontier() -> Self {
        let mut schedule = Self::default();
        schedule.set(EthereumHardfork::Frontier, ForkCondition::Block(0));
        schedule
    }

    /// Everything up to `fork` from genesis on. The DAO fork is left out: it moves balances of mainnet.
    #[must_use]
    pub fn all_up_to(fork: EthereumHardfork) -> Self {
        let mut schedule = Self::frontier();
        for known in EthereumHardfork::VARIANTS {
            if *known <= fork && *known != EthereumHardfork::Dao {
                schedule.set(*known, at_genesis(*known));
            }
        }
        schedule
    }

    /// Sets when `fork` activates.
    pub fn set(&mut self, fork: EthereumHardfork, condition: ForkCondition) {
        self.conditions.insert(fork, condition);
    }

    /// When `fork` activates.
    #[must_use]
    pub fn condition(&self, fork: EthereumHardfork) -> ForkCondition {
        self.conditions.get(&fork).copied().unwrap_or(ForkCondition::Never)
    }

    /// Whether `fork` is active in a block.
    #[must_use]
    pub fn is_active(&self, fork: EthereumHardfork, height: u64, timestamp: u64) -> bool {
        let condition = self.condition(fork);
        condition.active_at_block(height) || condition.active_at_timestamp(timestamp)
    }

    /// The newest fork active in a block.
    #[must_use]
    pub fn newest_active(&self, height: u64, timestamp: u64) -> EthereumHardfork {
        EthereumHardfork::VARIANTS
            .iter()
            .rev()
            .copied()
            .find(|fork| self.is_active(*fork, height, timestamp))
            .unwrap_or(EthereumHardfork::Frontier)
    }

    /// Checks that no fork activates before an older one.
    ///
    /// Forks that change no rule that later ones build on (DAO, the difficulty-bomb delays, blob-parameter
    /// forks) may be left out.
    ///
    /// # Errors
    /// [`GenesisError::ForkOrder`], naming both forks.
    pub fn check_order(&self) -> Result<(), GenesisError> {
        let mut previous: Option<(EthereumHardfork, ForkCondition)> = None;
        for fork in EthereumHardfork::VARIANTS {
            let condition = self.condition(*fork);
            if condition == ForkCondition::Never {
                if is_optional(*fork) {
                    continue;
                }
            } else if let Some((earlier, earlier_condition)) = previous
                && is_before(condition, earlier_condition)
            {
                return Err(GenesisError::ForkOrder {
                    later: *fork,
                    later_at: describe(condition),
                    earlier,
                    earlier_at: describe(earlier_condition),
                });
            }
            previous = Some((*fork, condition));
        }
        Ok(())
    }
}

/// The condition that makes `fork` active from the genesis block on.
const fn at_genesis(fork: EthereumHardfork) -> ForkCondition {
    match fork {
        EthereumHardfork::Shanghai
        | EthereumHardfork::Cancun
        | EthereumHardfork::Prague
        | EthereumHardfork::Osaka
        | EthereumHardfork::Bpo1
        | EthereumHardfork::Bpo2
        | EthereumHardfork::Bpo3
        | EthereumHardfork::Bpo4
        | EthereumHardfork::Bpo5 => ForkCondition::ZERO_TIMESTAMP,
        _ => ForkCondition::ZERO_BLOCK,
    }
}

const fn is_optional(fork: EthereumHardfork) -> bool {
    matches!(
        fork,
        EthereumHardfork::Dao
            | EthereumHardfork::MuirGlacier
            | EthereumHardfork::ArrowGlacier
            | EthereumHardfork::GrayGlacier
            | EthereumHardfork::Bpo1
            | EthereumHardfork::Bpo2
            | EthereumHardfork::Bpo3
            | EthereumHardfork::Bpo4
            | EthereumHardfork::Bpo5
    )
}

/// Whether `later` activates before `earlier` does. A time fork after a block fork cannot be compared and
/// counts as in order, except that nothing may follow a fork that never comes.
const fn is_before(later: ForkCondition, earlier: ForkCondition) -> bool {
    match (later, earlier) {
        (_, ForkCondition::Never) => true,
        (ForkCondition::Timestamp(later), ForkCondition::Timestamp(earlier))
        | (ForkCondition::Block(later), ForkCondition::Block(earlier)) => later < earlier,
        _ => false,
    }
}

fn describe(condition: ForkCondition) -> String {
    match condition {
        ForkCondition::Block(block) => format!("at block {block}"),
        ForkCondition::Timestamp(time) => format!("at time {time}"),
        ForkCondition::TTD { .. } => "at its total difficulty".to_owned(),
        ForkCondition::Never => "never".to_owned(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn names_parse_and_errors_list_them() {
        for name in HardforkName::names() {
            let parsed: HardforkName = name.to_uppercase().parse().unwrap();
            assert_eq!(parsed.to_string(), name);
        }
        assert_eq!("merge".parse::<HardforkName>().unwrap().0, EthereumHardfork::Paris);
        assert_eq!("latest".parse::<HardforkName>().unwrap().0, EthereumHardfork::Osaka);
        let error = "oska".parse::<HardforkName>().unwrap_err().to_string();
        assert!(error.contains("'oska'") && error.contains("prague, osaka"), "{error}");
    }

    #[test]
    fn all_up_to_activates_exactly_that() {
        let schedule = ForkSchedule::all_up_to(EthereumHardfork::London);
        assert!(schedule.is_active(EthereumHardfork::London, 0, 0));
        assert!(!schedule.is_active(EthereumHardfork::Paris, u64::MAX, u64::MAX));
        assert_eq!(schedule.newest_active(7, 7), EthereumHardfork::London);
        let osaka = ForkSchedule::all_up_to(EthereumHardfork::Osaka);
        assert_eq!(osaka.newest_active(0, 0), EthereumHardfork::Osaka);
        osaka.check_order().unwrap();
    }

    #[test]
    fn order_is_checked() {
        let mut schedule = ForkSchedule::all_up_to(EthereumHardfork::Paris);
        schedule.set(EthereumHardfork::Shanghai, ForkCondition::Timestamp(20));
        schedule.set(EthereumHardfork::Cancun, ForkCondition::Timestamp(10));
        let error = schedule.check_order().unwrap_err().to_string();
        assert!(error.contains("Cancun") && error.contains("Shanghai"), "{error}");
        schedule.set(EthereumHardfork::Cancun, ForkCondition::Timestamp(20));
        schedule.check_order().unwrap();
        // A required fork in between is missing.
        schedule.set(EthereumHardfork::Osaka, ForkCondition::Timestamp(30));
        let error = schedule.check_order().unwrap_err().to_string();
        assert!(error.contains("Prague") && error.contains("never"), "{error}");
    }
}
