//! Precompiles, which calls and simulations may move or put code over.

use std::collections::BTreeMap;

use alloy_primitives::{Address, map::AddressSet};
use cloister_primitives::{Code, Rejected};
use revm::context_interface::ContextTr;
use revm::context_interface::cfg::Cfg;
use revm::handler::{EthPrecompiles, PrecompileProvider};
use revm::interpreter::{CallInputs, InterpreterResult};
use revm::primitives::hardfork::SpecId;

use crate::overrides::StateOverrides;

/// The precompiles of a fork, each at its own address unless moved.
#[derive(Clone, Debug)]
pub struct Precompiles {
    of_fork: EthPrecompiles,
    moves: Option<Moves>,
}

/// Which precompile answers at which address, where that is not what the fork says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Moves(BTreeMap<Address, Address>);

impl Moves {
    /// The precompiles as `overrides` leave them; `None` if they leave them alone.
    ///
    /// An override of whatever kind takes the precompile away from its address (as in geth), and may put
    /// it at another.
    ///
    /// # Errors
    /// In geth's words, [`Code::InvalidOverride`] if something is moved that is no precompile,
    /// [`Code::MovedToOverridden`] or [`Code::MovedTogether`] if its new address is taken.
    pub(crate) fn of(overrides: &StateOverrides, spec: SpecId) -> Result<Option<Self>, Rejected> {
        if overrides.is_empty() {
            return Ok(None);
        }
        let precompiles = EthPrecompiles::new(spec);
        let mut places: BTreeMap<Address, Address> =
            precompiles.warm_addresses().iter().map(|address| (*address, *address)).collect();
        let mut destinations = BTreeMap::new();
        for (address, account) in overrides {
            let Some(to) = account.move_precompile_to else {
                continue;
            };
            if !precompiles.contains(address) {
                let message = format!("account {address} is not a precompile");
                return Err(Rejected::with_detail(Code::InvalidOverride, message));
            }
            if overrides.contains_key(&to) {
                let message = format!("account {to} is already overridden");
                return Err(Rejected::with_detail(Code::MovedToOverridden, message));
            }
            if destinations.insert(to, *address).is_some() {
                let message = format!("account {to} has already been overridden by a precompile");
                return Err(Rejected::with_detail(Code::MovedTogether, message));
            }
        }
        let before = places.clone();
        places.retain(|address, _| !overrides.contains_key(address));
        places.extend(destinations);
        Ok((places != before).then_some(Self(places)))
    }
}

impl Precompiles {
    pub(crate) fn new(spec: SpecId) -> Self {
        Self { of_fork: EthPrecompiles::new(spec), moves: None }
    }

    pub(crate) fn set_moves(&mut self, moves: Moves) {
        self.moves = Some(moves);
    }
}

impl<CTX: ContextTr<Cfg: Cfg<Spec = SpecId>>> PrecompileProvider<CTX> for Precompiles {
    type Output = InterpreterResult;

    fn set_spec(&mut self, spec: SpecId) -> bool {
        PrecompileProvider::<CTX>::set_spec(&mut self.of_fork, spec)
    }

    fn run(&mut self, context: &mut CTX, inputs: &CallInputs) -> Result<Option<InterpreterResult>, String> {
        let Some(Moves(places)) = &self.moves else {
            return self.of_fork.run(context, inputs);
        };
        match places.get(&inputs.bytecode_address) {
            Some(home) if *home == inputs.bytecode_address => self.of_fork.run(context, inputs),
            Some(home) => {
                let inputs = CallInputs { bytecode_address: *home, ..inputs.clone() };
                self.of_fork.run(context, &inputs)
            }
            None => Ok(None),
        }
    }

    /// Those of the fork: a move does not change which addresses are warm from the start (as in geth).
    fn warm_addresses(&self) -> &AddressSet {
        self.of_fork.warm_addresses()
    }

    fn contains(&self, address: &Address) -> bool {
        match &self.moves {
            None => self.of_fork.contains(address),
            Some(Moves(places)) => places.contains_key(address),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use alloy_primitives::{address, bytes};

    use super::*;
    use crate::overrides::AccountOverride;

    const ECRECOVER: Address = address!("0000000000000000000000000000000000000001");
    const SHA256: Address = address!("0000000000000000000000000000000000000002");
    const ELSEWHERE: Address = address!("0000000000000000000000000000000000123456");

    fn moved(from: Address, to: Address) -> (Address, AccountOverride) {
        (from, AccountOverride { move_precompile_to: Some(to), ..AccountOverride::default() })
    }

    fn moves(overrides: impl IntoIterator<Item = (Address, AccountOverride)>) -> Result<Option<Moves>, String> {
        let overrides = overrides.into_iter().collect();
        Moves::of(&overrides, SpecId::PRAGUE).map_err(|refused| refused.detail().to_owned())
    }

    #[test]
    fn a_moved_precompile_answers_elsewhere_only() {
        let Moves(places) = moves([moved(ECRECOVER, ELSEWHERE)]).unwrap().unwrap();
        assert_eq!(places.get(&ELSEWHERE), Some(&ECRECOVER));
        assert_eq!(places.get(&ECRECOVER), None);
        assert_eq!(places.get(&SHA256), Some(&SHA256));
        assert_eq!(moves([(ELSEWHERE, AccountOverride::default())]).unwrap(), None);
    }

    #[test]
    fn an_overridden_precompile_is_gone() {
        let code = AccountOverride { code: Some(bytes!("00")), ..AccountOverride::default() };
        let Moves(places) = moves([(SHA256, code)]).unwrap().unwrap();
        assert_eq!(places.get(&SHA256), None);
    }

    #[test]
    fn contradicting_moves_are_refused_in_geths_words() {
        let account = address!("c000000000000000000000000000000000000000");
        assert_eq!(
            moves([moved(account, ELSEWHERE)]).unwrap_err(),
            "account 0xC000000000000000000000000000000000000000 is not a precompile"
        );
        assert_eq!(
            moves([moved(ECRECOVER, ECRECOVER)]).unwrap_err(),
            format!("account {ECRECOVER} is already overridden")
        );
        assert_eq!(
            moves([moved(ECRECOVER, ELSEWHERE), moved(SHA256, ELSEWHERE)]).unwrap_err(),
            format!("account {ELSEWHERE} has already been overridden by a precompile")
        );
    }
}
