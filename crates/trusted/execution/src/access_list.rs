//! The accounts and slots that a call touches.

use alloy_eips::eip2930::AccessList;
use cloister_state::StateView;
use revm_inspectors::access_list::AccessListInspector;

use crate::build::Executor;
use crate::call::{CallEnv, CallOutcome, CallRequest};
use crate::error::ExecutionError;

/// Rounds after which the list is taken as it is: each adds what the one before made reachable.
const MAX_ROUNDS: usize = 16;

/// What [`Executor::create_access_list`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessListOutcome {
    /// Accounts and slots touched, without sender, recipient and precompiles.
    pub access_list: AccessList,
    /// How the call ended with that list.
    pub outcome: CallOutcome,
}

impl Executor {
    /// Finds the access list of a call (`eth_createAccessList`), repeating until it is stable.
    ///
    /// # Errors
    /// As [`call`](Self::call); reverts and halts are outcomes.
    pub fn create_access_list(
        &self,
        view: &StateView,
        env: &CallEnv<'_>,
        request: &CallRequest,
    ) -> Result<AccessListOutcome, ExecutionError> {
        let mut request = request.clone();
        let mut round = 0;
        loop {
            let given = request.access_list.clone().unwrap_or_default();
            let mut inspector = AccessListInspector::new(given.clone());
            let result = self.inspect_call(view, env, &request, &mut inspector)?;
            let access_list = sorted(inspector.into_access_list());
            round += 1;
            if (round > 1 && access_list == given) || round == MAX_ROUNDS {
                return Ok(AccessListOutcome { access_list, outcome: CallOutcome::new(result.result) });
            }
            request.access_list = Some(access_list);
        }
    }
}

/// By address, because the inspector collects in a hash map.
fn sorted(mut list: AccessList) -> AccessList {
    list.0.sort_by_key(|item| item.address);
    list
}
