//! A signed transaction, as revm takes it, and revm's refusals, as we name them.

use alloy_eips::eip7702::{RecoveredAuthority, RecoveredAuthorization, SignedAuthorization};
use alloy_evm::FromRecoveredTx;
use alloy_primitives::Address;
use cloister_primitives::{Code, Rejected, Transaction};
use revm::context::TxEnv;
use revm::context::result::InvalidTransaction;
use revm::context_interface::either::Either;
use revm::primitives::TxKind;

use crate::recover::recover_signer;

/// The transaction environment of a signed transaction.
pub(crate) fn transaction_environment(transaction: &Transaction, sender: Address) -> TxEnv {
    let Transaction::Eip7702(signed) = transaction else {
        return TxEnv::from_recovered_tx(transaction, sender);
    };
    // Spelled out to recover the authorities with libsecp256k1 like every other signature.
    let tx = signed.tx();
    TxEnv {
        tx_type: 4,
        caller: sender,
        gas_limit: tx.gas_limit,
        gas_price: tx.max_fee_per_gas,
        kind: TxKind::Call(tx.to),
        value: tx.value,
        data: tx.input.clone(),
        nonce: tx.nonce,
        chain_id: Some(tx.chain_id),
        gas_priority_fee: Some(tx.max_priority_fee_per_gas),
        access_list: tx.access_list.clone(),
        authorization_list: authorizations(&tx.authorization_list),
        ..TxEnv::default()
    }
}

/// Authorizations with their recovered authorities; an invalid one is skipped by the EVM (EIP-7702).
pub(crate) fn authorizations(
    signed: &[SignedAuthorization],
) -> Vec<Either<SignedAuthorization, RecoveredAuthorization>> {
    signed
        .iter()
        .map(|authorization| {
            let authority = authorization
                .signature()
                .ok()
                .and_then(|signature| recover_signer(&signature, authorization.signature_hash()).ok())
                .map_or(RecoveredAuthority::Invalid, RecoveredAuthority::Valid);
            Either::Right(RecoveredAuthorization::new_unchecked(authorization.inner().clone(), authority))
        })
        .collect()
}

/// revm's refusal of a transaction, with our code and geth's words.
pub(crate) fn rejection(invalid: &InvalidTransaction, sender: Address) -> Rejected {
    use InvalidTransaction as Invalid;
    match invalid {
        Invalid::PriorityFeeGreaterThanMaxFee => {
            Rejected::with_detail(Code::TipAboveFeeCap, format!("address {sender}"))
        }
        Invalid::GasPriceLessThanBasefee => Rejected::with_detail(Code::FeeCapTooLow, format!("address {sender}")),
        Invalid::CallerGasLimitMoreThanBlock => Code::ExceedsBlockGasLimit.into(),
        Invalid::CallGasCostMoreThanGasLimit { initial_gas, gas_limit } => intrinsic_gas(*gas_limit, *initial_gas),
        Invalid::GasFloorMoreThanGasLimit { gas_floor, gas_limit } => floor_gas(*gas_limit, *gas_floor),
        Invalid::RejectCallerWithCode => Rejected::with_detail(Code::SenderNotEoa, format!("address {sender}")),
        Invalid::LackOfFundForMaxFee { fee, balance } => {
            Rejected::with_detail(Code::InsufficientFunds, format!("address {sender} have {balance} want {fee}"))
        }
        Invalid::OverflowPaymentInTransaction => Code::GasUintOverflow.into(),
        Invalid::NonceOverflowInTransaction => Code::NonceMax.into(),
        Invalid::NonceTooHigh { tx, state } => {
            Rejected::with_detail(Code::NonceTooHigh, format!("address {sender}, tx: {tx} state: {state}"))
        }
        Invalid::NonceTooLow { tx, state } => {
            Rejected::with_detail(Code::NonceTooLow, format!("address {sender}, tx: {tx} state: {state}"))
        }
        Invalid::CreateInitCodeSizeLimit => Code::InitcodeTooLarge.into(),
        Invalid::InvalidChainId | Invalid::MissingChainId => Code::InvalidChainId.into(),
        Invalid::TxGasLimitGreaterThanCap { gas_limit, cap } => gas_cap(*gas_limit, *cap),
        Invalid::EmptyAuthorizationList => Code::EmptyAuthorizationList.into(),
        Invalid::Eip2930NotSupported
        | Invalid::AccessListNotSupported
        | Invalid::Eip1559NotSupported
        | Invalid::Eip4844NotSupported
        | Invalid::Eip7702NotSupported => Code::TransactionTypeNotSupported.into(),
        other => Rejected::with_detail(Code::MalformedTransaction, other.to_string()),
    }
}

pub(crate) fn intrinsic_gas(have: u64, need: u64) -> Rejected {
    Rejected::with_detail(Code::IntrinsicGasTooLow, format!("gas {have}, minimum needed {need}"))
}

pub(crate) fn floor_gas(have: u64, need: u64) -> Rejected {
    Rejected::with_detail(Code::FloorDataGasTooLow, format!("gas {have}, minimum needed {need}"))
}

pub(crate) fn gas_cap(have: u64, cap: u64) -> Rejected {
    Rejected::with_detail(Code::TransactionGasLimitTooHigh, format!("cap: {cap}, tx: {have}"))
}
