//! From a call to the transaction that a simulated block holds, and to its refusal.

use std::borrow::Cow;

use alloy_consensus::transaction::Recovered;
use alloy_consensus::{SignableTransaction as _, Signed, TxEip1559, TxEip4844, TxEip7702, TxLegacy};
use alloy_eips::eip2718::Encodable2718 as _;
use alloy_evm::EvmEnv;
use alloy_primitives::{Address, Bytes, Signature, TxKind, U256, keccak256};
use alloy_rlp::{BufMut, Encodable, Header as RlpHeader};
use cloister_primitives::{Code, Rejected, Transaction};
use revm::context::TxEnv;
use revm::context::result::InvalidTransaction;

use super::Checks;
use crate::call::CallRequest;
use crate::transaction::{authorizations, rejection};

/// A call with everything filled in that it left out.
pub(super) struct Filled {
    /// What the EVM runs.
    pub(super) environment: TxEnv,
    /// What the block holds.
    pub(super) transaction: Recovered<Transaction>,
    /// Its encoding (EIP-2718), of which the transactions root is made.
    pub(super) encoded: Bytes,
}

/// Where a call stands.
pub(super) struct Place<'a> {
    pub(super) environment: &'a EvmEnv,
    /// The sender's nonce in the state.
    pub(super) nonce: u64,
    /// Gas used in the block so far.
    pub(super) gas_used: u64,
    /// Gas that the simulation has left.
    pub(super) gas_left: u64,
    pub(super) checks: Checks,
}

/// Fills in what a call left out, as geth does.
///
/// # Errors
/// [`Code::SimulatedBlockGasLimit`] if it does not fit the block, [`Code::SimulatedCallContradicts`] in
/// geth's words if it contradicts itself.
pub(super) fn fill(request: &CallRequest, place: &Place<'_>) -> Result<Filled, Rejected> {
    let chain_id = place.environment.cfg_env.chain_id;
    if let Some(id) = request.chain_id
        && id != chain_id
    {
        let message = format!("chainId does not match node's (have={id}, want={chain_id})");
        return Err(contradiction(message));
    }
    let dynamic = request.max_fee_per_gas.is_some() || request.max_priority_fee_per_gas.is_some();
    if request.gas_price.is_some() && dynamic {
        return Err(contradiction("both gasPrice and (maxFeePerGas or maxPriorityFeePerGas) specified"));
    }
    let tip = request.max_priority_fee_per_gas.unwrap_or(0);
    let gas_limit = gas(request, place)?;
    let sender = request.from.unwrap_or_default();
    let nonce = request.nonce.unwrap_or(place.nonce);
    let transaction = typed(request, chain_id, nonce, gas_limit)?;
    let has_base_fee = place.environment.cfg_env.spec.is_enabled_in(revm::primitives::hardfork::SpecId::LONDON);
    let environment = TxEnv {
        tx_type: if !request.authorization_list.is_empty() {
            4
        } else if !request.blob_versioned_hashes.is_empty() {
            3
        } else if has_base_fee && request.gas_price.is_none() {
            2
        } else {
            u8::from(request.access_list.is_some())
        },
        caller: sender,
        gas_limit,
        gas_price: request.gas_price.or(request.max_fee_per_gas).unwrap_or(0),
        kind: request.to.map_or(TxKind::Create, TxKind::Call),
        value: request.value.unwrap_or_default(),
        data: request.input.clone(),
        // Where nonces are not checked, none is out of range either.
        nonce: if place.checks == Checks::Full { nonce } else { 0 },
        chain_id: Some(chain_id),
        access_list: request.access_list.clone().unwrap_or_default(),
        gas_priority_fee: (has_base_fee && request.gas_price.is_none()).then_some(tip),
        blob_hashes: request.blob_versioned_hashes.clone(),
        max_fee_per_blob_gas: request.max_fee_per_blob_gas.unwrap_or(0),
        authorization_list: authorizations(&request.authorization_list),
    };
    let encoded = encode(&transaction);
    Ok(Filled { environment, transaction: Recovered::new_unchecked(transaction, sender), encoded })
}

/// The gas limit: what the block has left, within what the simulation has left.
fn gas(request: &CallRequest, place: &Place<'_>) -> Result<u64, Rejected> {
    let limit = place.environment.block_env.gas_limit;
    let room = limit.saturating_sub(place.gas_used);
    let gas = request.gas.unwrap_or(room);
    if gas > room {
        let message = format!("block gas limit reached: {} >= {limit}", place.gas_used);
        return Err(Rejected::with_detail(Code::SimulatedBlockGasLimit, message));
    }
    Ok(gas.min(place.gas_left))
}

/// The transaction that a call stands for, with a signature of zeros: legacy if it has a gas price,
/// otherwise of the type of EIP-1559 or of a later one if need be.
fn typed(request: &CallRequest, chain_id: u64, nonce: u64, gas_limit: u64) -> Result<Transaction, Rejected> {
    let signature = Signature::new(U256::ZERO, U256::ZERO, false);
    let to = request.to.map_or(TxKind::Create, TxKind::Call);
    let value = request.value.unwrap_or_default();
    let input = request.input.clone();
    let access_list = request.access_list.clone().unwrap_or_default();
    let max_fee_per_gas = request.max_fee_per_gas.unwrap_or(0);
    let max_priority_fee_per_gas = request.max_priority_fee_per_gas.unwrap_or(0);
    if let Some(gas_price) = request.gas_price {
        let transaction = TxLegacy { chain_id: None, nonce, gas_price, gas_limit, to, value, input };
        let hash = keccak256(encode_legacy(&transaction));
        return Ok(Signed::new_unchecked(transaction, signature, hash).into());
    }
    if !request.authorization_list.is_empty() {
        let to = request.to.ok_or(Code::SetCodeCreate)?;
        let authorization_list = request.authorization_list.clone();
        return Ok(TxEip7702 {
            chain_id,
            nonce,
            gas_limit,
            max_fee_per_gas,
            max_priority_fee_per_gas,
            to,
            value,
            access_list,
            authorization_list,
            input,
        }
        .into_signed(signature)
        .into());
    }
    if !request.blob_versioned_hashes.is_empty() {
        let to = request.to.ok_or_else(|| contradiction("missing \"to\" in blob transaction"))?;
        let transaction = TxEip4844 {
            chain_id,
            nonce,
            gas_limit,
            max_fee_per_gas,
            max_priority_fee_per_gas,
            to,
            value,
            access_list,
            blob_versioned_hashes: request.blob_versioned_hashes.clone(),
            max_fee_per_blob_gas: request.max_fee_per_blob_gas.unwrap_or(0),
            input,
        };
        return Ok(Transaction::Eip4844(transaction.into_signed(signature)));
    }
    Ok(TxEip1559 {
        chain_id,
        nonce,
        gas_limit,
        max_fee_per_gas,
        max_priority_fee_per_gas,
        to,
        value,
        access_list,
        input,
    }
    .into_signed(signature)
    .into())
}

fn contradiction(message: impl Into<Cow<'static, str>>) -> Rejected {
    Rejected::with_detail(Code::SimulatedCallContradicts, message)
}

fn encode(transaction: &Transaction) -> Bytes {
    match transaction {
        Transaction::Legacy(legacy) => encode_legacy(legacy.tx()).into(),
        typed => typed.encoded_2718().into(),
    }
}

/// A legacy transaction whose `v` is zero as well: no signature could say so.
fn encode_legacy(transaction: &TxLegacy) -> Vec<u8> {
    const NO_SIGNATURE: [u8; 3] = [0; 3];
    let TxLegacy { nonce, gas_price, gas_limit, to, value, input, .. } = transaction;
    let fields: [&dyn Encodable; 9] =
        [nonce, gas_price, gas_limit, to, value, input, &NO_SIGNATURE[0], &NO_SIGNATURE[1], &NO_SIGNATURE[2]];
    let payload_length = fields.iter().map(|field| field.length()).sum();
    let mut out = Vec::with_capacity(payload_length + 5);
    RlpHeader { list: true, payload_length }.encode(&mut out as &mut dyn BufMut);
    for field in fields {
        field.encode(&mut out);
    }
    out
}

/// revm's refusal of a simulated call, with the specification's number and geth's words.
pub(super) fn refusal(invalid: &InvalidTransaction, filled: &Filled, base_fee: u64) -> Rejected {
    use InvalidTransaction as Invalid;
    let sender: Address = filled.environment.caller;
    let code = match invalid {
        Invalid::NonceTooLow { .. } => Code::SimulatedNonceTooLow,
        Invalid::NonceTooHigh { .. } => Code::SimulatedNonceTooHigh,
        Invalid::GasPriceLessThanBasefee => Code::SimulatedFeeCapTooLow,
        Invalid::CallGasCostMoreThanGasLimit { .. } => Code::SimulatedIntrinsicGas,
        Invalid::LackOfFundForMaxFee { .. } => Code::SimulatedInsufficientFunds,
        Invalid::CreateInitCodeSizeLimit => Code::SimulatedInitcodeTooLarge,
        Invalid::PriorityFeeGreaterThanMaxFee => Code::SimulatedFeesInvalid,
        _ => Code::SimulatedCallInvalid,
    };
    let detail = match invalid {
        Invalid::GasPriceLessThanBasefee => {
            let cap = filled.environment.gas_price;
            format!("{code}: address {sender}, maxFeePerGas: {cap}, baseFee: {base_fee}")
        }
        Invalid::PriorityFeeGreaterThanMaxFee => {
            let (tip, cap) = (filled.environment.gas_priority_fee.unwrap_or(0), filled.environment.gas_price);
            format!("{code}: address {sender}, maxPriorityFeePerGas: {tip}, maxFeePerGas: {cap}")
        }
        Invalid::CallGasCostMoreThanGasLimit { initial_gas, gas_limit } => {
            format!("{code}: have {gas_limit}, want {initial_gas}")
        }
        Invalid::GasFloorMoreThanGasLimit { gas_floor, gas_limit } => {
            format!("{}: have {gas_limit}, want {gas_floor}", Code::FloorDataGasTooLow)
        }
        Invalid::NonceOverflowInTransaction => {
            format!("{}: address {sender}, nonce: {}", Code::NonceMax, u64::MAX)
        }
        other => rejection(other, sender).to_string(),
    };
    let gas = filled.environment.gas_limit;
    Rejected::with_detail(code, format!("err: {detail} (supplied gas {gas})"))
}
