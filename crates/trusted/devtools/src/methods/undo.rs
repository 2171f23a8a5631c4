//! Going back: snapshots, reset, reorganisations.

use std::sync::Arc;

use cloister_core::{AnswerAt, DevelopmentRequest, Pace, RequestBody, Response};
use cloister_primitives::Code;
use cloister_rpc::{
    MethodCall, MethodInfo,
    calls::TransactionArgs,
    convert::Quantity,
    errors::{self, RpcResult},
    params::Param,
};
use jsonrpsee::core::RegisterMethodError;
use serde_json::{Value, value::RawValue};

use super::{Dev, Done, Impersonation, Table, ask, chain, change, flexible::Uint, random_id, send};

async fn snapshot(_: Arc<Dev>, call: MethodCall) -> RpcResult<Quantity> {
    match ask(&call, DevelopmentRequest::Snapshot).await? {
        Response::Number(id) => Ok(id.into()),
        _ => Err(errors::code(Code::Internal)),
    }
}

/// `false` where there is no such snapshot, as anvil and Hardhat answer.
async fn revert(_: Arc<Dev>, call: MethodCall) -> RpcResult<bool> {
    let (id,) = call.params::<(Uint,)>()?;
    match ask(&call, DevelopmentRequest::Revert { id: id.0 }).await? {
        Response::Flag(done) => Ok(done),
        _ => Ok(true),
    }
}

async fn reset(dev: Arc<Dev>, call: MethodCall) -> RpcResult<()> {
    let (options,) = call.params::<(Option<Json>,)>()?;
    if options.is_some_and(|options| !options.0["forking"].is_null()) {
        return Err(errors::server_error("this node cannot fork another chain; call reset without forking"));
    }
    change(&call, DevelopmentRequest::Reset).await?;
    *dev.impersonation() = Impersonation::default();
    *dev.instance() = random_id();
    Ok(())
}

type Json = cloister_rpc::params::Json<Value>;

/// Takes back the newest blocks; one if no number is given.
async fn rollback(_: Arc<Dev>, call: MethodCall) -> RpcResult<()> {
    let (blocks,) = call.params::<(Option<Uint>,)>()?;
    let blocks = blocks.map_or(1, |blocks| blocks.0);
    change(&call, DevelopmentRequest::Rollback { blocks }).await
}

/// A transaction for one of the new blocks of a reorganisation.
enum Planned {
    Raw(alloy_primitives::Bytes),
    Unsigned(Box<TransactionArgs>),
}

/// Transactions, and the index of the new block that each is meant for.
struct Plan(Vec<(Planned, u64)>);

impl Param for Plan {
    fn decode(json: &str) -> Result<Self, String> {
        let pairs: Vec<(&RawValue, Value)> =
            serde_json::from_str(json).map_err(|_| "want pairs of a transaction and an index".to_owned())?;
        let planned = |(transaction, index): (&RawValue, Value)| {
            let text = transaction.get();
            let transaction = if text.starts_with('"') {
                Planned::Raw(Param::decode(text)?)
            } else {
                Planned::Unsigned(Box::new(TransactionArgs::decode(text)?))
            };
            Ok((transaction, Uint::decode(&index.to_string())?.0))
        };
        pairs.into_iter().map(planned).collect::<Result<_, String>>().map(Self)
    }
}

/// Takes back the newest blocks and makes as many new ones, with the transactions given.
async fn reorg(dev: Arc<Dev>, call: MethodCall) -> RpcResult<()> {
    let (depth, plan) = call.params::<(Uint, Option<Plan>)>()?;
    let (depth, Plan(plan)) = (depth.0, plan.unwrap_or(Plan(Vec::new())));
    if plan.iter().any(|(_, index)| *index >= depth) {
        return Err(errors::invalid_params("a transaction is meant for a block beyond the new ones"));
    }
    change(&call, DevelopmentRequest::Rollback { blocks: depth }).await?;
    let pace = chain::pace(&call).await?;
    change(&call, DevelopmentRequest::SetPace(Pace::Manual)).await?;
    let made = remake(&dev, &call, depth, &plan).await;
    change(&call, DevelopmentRequest::SetPace(pace)).await?;
    made
}

async fn remake(dev: &Dev, call: &MethodCall, depth: u64, plan: &[(Planned, u64)]) -> RpcResult<()> {
    for block in 0..depth {
        for (transaction, _) in plan.iter().filter(|(_, index)| *index == block) {
            let body = match transaction {
                Planned::Raw(raw) => RequestBody::Submit { raw: raw.clone(), answer_at: AnswerAt::Admission },
                Planned::Unsigned(args) => send::body(dev, call, (**args).clone()).await?,
            };
            call.request(body).await?;
        }
        chain::mine_blocks(call, 1, None, None).await?;
    }
    Ok(())
}

pub(super) fn register(table: &mut Table<'_>) -> Result<(), RegisterMethodError> {
    let info = MethodInfo::new;
    for name in ["evm_snapshot", "anvil_snapshot"] {
        table.method(info(name, "", "Remembers the chain as it is; answers an id."), snapshot)?;
    }
    for name in ["evm_revert", "anvil_revert"] {
        let about = "Goes back to a remembered chain and forgets it and later ones.";
        table.method(info(name, "id", about), revert)?;
    }
    let about = "Goes back to the genesis block and forgets everything else.";
    table.setter(["hardhat_reset", "anvil_reset"], "options?", about, reset)?;
    table.done(info("anvil_rollback", "blocks?", "Takes back the newest blocks."), Done::Null, rollback)?.done(
        info("anvil_reorg", "depth, transactions?", "Takes back the newest blocks and makes as many new ones."),
        Done::Null,
        reorg,
    )?;
    Ok(())
}
