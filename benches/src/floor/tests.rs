use alloy_primitives::{address, hex};

use super::*;

fn selector(signature: &str) -> [u8; 4] {
    keccak256(signature)[..4].try_into().unwrap()
}

const ALICE: Address = address!("00000000000000000000000000000000000a11ce");
const BOB: Address = address!("0000000000000000000000000000000000000b0b");

#[test]
fn transfers_move_balances_and_log_the_standard_event() {
    let mut floor = Floor::new(3, 5).unwrap();
    let raw = floor.sign_transfers(7);
    let (_, receipts) = floor.measure(&raw).unwrap();
    assert_eq!(receipts.len(), 7);
    let log = &receipts[3].receipt.logs[0];
    assert_eq!(log.address, floor.token);
    assert_eq!(log.topics()[0], keccak256("Transfer(address,address,uint256)"));
    assert_eq!(log.topics()[2], fresh_recipient(0, 3).into_word());
    assert_eq!(U256::from_be_slice(&log.data.data), U256::from(1));
    for index in 0..7 {
        let balance = floor.token_balance(fresh_recipient(0, index)).unwrap();
        assert_eq!(balance, U256::from(1));
    }
    // Seven transfers over three senders: 3, 2 and 2.
    let first = floor.senders[0].address;
    assert_eq!(floor.token_balance(first).unwrap(), U256::from(999_999_997));
    let filled = token::filled_holder(4);
    assert_eq!(floor.token_balance(filled).unwrap(), U256::from(1));
    assert!(receipts[6].receipt.cumulative_gas_used > 7 * 40_000);
    assert!(receipts[6].receipt.cumulative_gas_used < 7 * token::TRANSFER_GAS_LIMIT);
}

#[test]
fn an_overdraft_reverts_with_the_standard_custom_error() {
    let mut floor = Floor::new(1, 0).unwrap();
    let result = floor.call(ALICE, token::transfer(BOB, 5)).unwrap();
    let ExecutionResult::Revert { output, .. } = result else {
        panic!("expected a revert: {result:?}");
    };
    let expected = [
        &selector("ERC20InsufficientBalance(address,uint256,uint256)")[..],
        &ALICE.into_word()[..],
        &U256::ZERO.to_be_bytes::<32>(),
        &U256::from(5).to_be_bytes::<32>(),
    ]
    .concat();
    assert_eq!(hex::encode(output), hex::encode(expected));
    let to_nobody = floor.call(ALICE, token::transfer(Address::ZERO, 0)).unwrap();
    let output = to_nobody.output().unwrap();
    assert_eq!(output[..4], selector("ERC20InvalidReceiver(address)"));
}

#[test]
fn minting_and_filling_write_the_slots_they_should() {
    let mut floor = Floor::new(1, 0).unwrap();
    assert!(floor.call(ALICE, token::mint_each(&[ALICE, BOB], 9)).unwrap().is_success());
    assert_eq!(floor.token_balance(BOB).unwrap(), U256::from(9));
    let filled = floor.call(ALICE, token::fill(100, token::SLOTS_PER_FILL, 2)).unwrap();
    assert!(filled.is_success(), "{filled:?}");
    assert!(filled.tx_gas_used() < token::FILL_GAS_LIMIT);
    for (index, balance) in [(99, 0), (100, 2), (99 + token::SLOTS_PER_FILL, 2)] {
        let holder = token::filled_holder(index);
        assert_eq!(floor.token_balance(holder).unwrap(), U256::from(balance));
    }
    let mut word = [0u8; 4].to_vec();
    word.copy_from_slice(&selector("totalSupply()"));
    let supply = floor.call(ALICE, word.into()).unwrap();
    let expected = U256::from(18 + 2 * token::SLOTS_PER_FILL);
    assert_eq!(U256::from_be_slice(supply.output().unwrap()), expected);
}

#[test]
fn allowances_limit_what_others_may_move() {
    let mut floor = Floor::new(1, 0).unwrap();
    floor.call(ALICE, token::mint_each(&[ALICE], 10)).unwrap();
    let two_words = |signature, a: Address, b: u64| {
        let mut data = selector(signature).to_vec();
        data.extend_from_slice(a.into_word().as_slice());
        data.extend_from_slice(&U256::from(b).to_be_bytes::<32>());
        data
    };
    let approve = two_words("approve(address,uint256)", BOB, 4);
    assert!(floor.call(ALICE, approve.into()).unwrap().is_success());
    let transfer_from = |amount: u64| {
        let mut data = selector("transferFrom(address,address,uint256)").to_vec();
        data.extend_from_slice(ALICE.into_word().as_slice());
        data.extend_from_slice(&two_words("", BOB, amount)[4..]);
        Bytes::from(data)
    };
    let too_much = floor.call(BOB, transfer_from(5)).unwrap();
    let expected = selector("ERC20InsufficientAllowance(address,uint256,uint256)");
    assert_eq!(too_much.output().unwrap()[..4], expected);
    assert!(floor.call(BOB, transfer_from(4)).unwrap().is_success());
    assert_eq!(floor.token_balance(BOB).unwrap(), U256::from(4));
    assert_eq!(floor.token_balance(ALICE).unwrap(), U256::from(6));
    assert!(!floor.call(BOB, transfer_from(1)).unwrap().is_success());
}
