//! The measured ERC-20 contract (`contracts/BenchToken.sol`) and its calldata.

use alloy_primitives::{Address, B256, Bytes, U256, hex, keccak256};
use cloister_primitives::{GenesisAccount, VISIBILITY_CODE};

/// Creation bytecode of `BenchToken` without constructor arguments, as hex.
const CREATION_HEX: &str = include_str!("../contracts/BenchToken.hex");

/// Storage slot of the balances mapping.
pub const BALANCES_SLOT: u64 = 0;

/// Gas limit of one token transfer; a transfer to a fresh recipient uses 51,500.
pub const TRANSFER_GAS_LIMIT: u64 = 70_000;

/// The same where prices are flat.
pub const FLAT_TRANSFER_GAS_LIMIT: u64 = 130_000;

/// Balance slots that one `fill` transaction writes, within EIP-7825's cap of 2²⁴ gas.
pub const SLOTS_PER_FILL: u64 = 650;

/// Gas limit of one `fill` transaction.
pub const FILL_GAS_LIMIT: u64 = 16_000_000;

/// Creation bytecode with the constructor's arguments: name and symbol.
#[must_use]
pub fn creation_code() -> Bytes {
    let mut code = hex::decode(CREATION_HEX.trim()).unwrap_or_default();
    for word in [U256::from(64), U256::from(128)] {
        code.extend_from_slice(&word.to_be_bytes::<32>());
    }
    for text in ["Bench Token", "BENCH"] {
        let mut padded = [0u8; 32];
        padded[..text.len()].copy_from_slice(text.as_bytes());
        code.extend_from_slice(&U256::from(text.len()).to_be_bytes::<32>());
        code.extend_from_slice(&padded);
    }
    code.into()
}

fn encode(signature: &str, words: &[U256]) -> Bytes {
    let mut data = keccak256(signature)[..4].to_vec();
    for word in words {
        data.extend_from_slice(&word.to_be_bytes::<32>());
    }
    data.into()
}

fn word(address: Address) -> U256 {
    U256::from_be_bytes(address.into_word().0)
}

/// Calldata of `transfer(to, value)` (EIP-20).
#[must_use]
pub fn transfer(to: Address, value: u64) -> Bytes {
    encode("transfer(address,uint256)", &[word(to), U256::from(value)])
}

/// What `Visibility` holds where everybody may run the token's `transfer` and nobody anything else.
#[must_use]
pub fn rules(token: Address) -> GenesisAccount {
    let mapping = |slot: u64| keccak256([token.into_word().0, U256::from(slot).to_be_bytes()].concat());
    let selector = B256::right_padding_from(&keccak256("transfer(address,uint256)")[..4]);
    let function = keccak256([selector, mapping(1)].concat());
    let mut rule = B256::ZERO;
    // `public` is the first term of the rule for transactions; the function is on the list.
    (rule[14], rule[28]) = (1, 1);
    let has_rules = U256::ONE << 248;
    let storage = [(mapping(0).into(), has_rules), (function.into(), rule.into())].into();
    GenesisAccount { nonce: 1, code: VISIBILITY_CODE.clone(), storage, ..GenesisAccount::default() }
}

/// Calldata that has the contract of rules let everybody transfer and mint what its caller creates at this nonce, and
/// nobody do anything else.
#[must_use]
pub fn prepare_rules(nonce: u64) -> Bytes {
    const SIGNATURE: &str = "prepare(uint32,(bytes6,(bytes32,bytes32)[],(bytes32,bytes32)[],(address,uint256)[],\
                             (address,bool)[],(uint8,address)[],(address,uint64,uint64,uint64)[]))";
    // Nonce, where the change is, and in it: three facts, where its lists are, functions with their rules, no others.
    let (functions, empty) = (U256::from(0xe0), U256::from(0x180));
    let mut words = vec![U256::from(nonce), U256::from(0x40), U256::ZERO, functions, empty, empty, empty, empty, empty];
    words.push(U256::from(2));
    for function in ["transfer(address,uint256)", "mintEach(address[],uint256)"] {
        let mut rule = B256::ZERO;
        (rule[14], rule[28]) = (1, 1);
        let key = B256::right_padding_from(&keccak256(function)[..4]);
        words.extend([U256::from_be_bytes(key.0), U256::from_be_bytes(rule.0)]);
    }
    words.push(U256::ZERO);
    encode(SIGNATURE, &words)
}

/// Calldata of `balanceOf(account)` (EIP-20).
#[must_use]
pub fn balance_of(account: Address) -> Bytes {
    encode("balanceOf(address)", &[word(account)])
}

/// Calldata of `mintEach(to, amount)`.
#[must_use]
pub fn mint_each(to: &[Address], amount: u64) -> Bytes {
    let mut words = vec![U256::from(64), U256::from(amount), U256::from(to.len())];
    words.extend(to.iter().map(|address| word(*address)));
    encode("mintEach(address[],uint256)", &words)
}

/// Calldata of `fill(first, count, amount)`.
#[must_use]
pub fn fill(first: u64, count: u64, amount: u64) -> Bytes {
    encode("fill(uint256,uint256,uint256)", &[U256::from(first), U256::from(count), U256::from(amount)])
}

/// The holder that `fill` gives its `index`-th balance to.
#[must_use]
pub fn filled_holder(index: u64) -> Address {
    Address::from_word(keccak256(U256::from(index).to_be_bytes::<32>()))
}

/// The storage slot of `account`'s balance.
#[must_use]
pub fn balance_slot(account: Address) -> U256 {
    let mut preimage = [0u8; 64];
    preimage[12..32].copy_from_slice(account.as_slice());
    preimage[32..].copy_from_slice(&U256::from(BALANCES_SLOT).to_be_bytes::<32>());
    keccak256(preimage).into()
}
