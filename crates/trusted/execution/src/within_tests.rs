#![allow(clippy::unwrap_used)]

use cloister_state::{AccountDelta, StateDelta};
use proptest::prelude::*;
use revm::database::states::BundleAccount;
use revm::database::states::bundle_state::BundleRetention;
use revm::database::{BundleState, CacheDB, EmptyDB, State};
use revm::state::TransactionId;

use super::*;

type Parent = CacheDB<EmptyDB>;

/// Has a balance and nothing else.
const PAYER: Address = Address::repeat_byte(1);
/// Has code and the slots 1 and 2.
const CONTRACT: Address = Address::repeat_byte(2);
/// Is not there.
const NOBODY: Address = Address::repeat_byte(3);
/// Is there with nothing in it, as from before EIP-161.
const EMPTY: Address = Address::repeat_byte(4);

fn number(value: u64) -> U256 {
    U256::from(value)
}

fn code(byte: u8) -> Bytecode {
    Bytecode::new_legacy(Bytes::from(vec![byte, 0]))
}

fn parent() -> Parent {
    let mut parent = CacheDB::new(EmptyDB::default());
    parent.insert_account_info(PAYER, AccountInfo::from_balance(number(10)));
    parent.insert_account_info(CONTRACT, AccountInfo::new(number(20), 1, code(1).hash_slow(), code(1)));
    parent.insert_account_info(EMPTY, AccountInfo::default());
    for slot in [1, 2] {
        parent.insert_account_storage(CONTRACT, number(slot), number(slot + 4)).unwrap();
    }
    parent
}

/// What a transaction does to one account.
#[derive(Clone, Copy, Debug)]
enum Deed {
    Touch,
    Receive(u64),
    Empty,
    Write(u64, u64),
    Create(u8, u64, u64),
    Destroy,
}

/// The account as a transaction leaves it that finds it in `database`; `None` where no transaction does such a thing.
fn executed(database: &mut impl Database, address: Address, deed: Deed) -> Option<Executed> {
    let found = database.basic(address).ok()?;
    let has_code = found.as_ref().is_some_and(|info| !info.is_empty_code_hash());
    let may_create = found.as_ref().is_none_or(|info| info.nonce == 0 && info.is_empty_code_hash());
    let mut account = match found {
        Some(info) => Executed::from(info),
        None => Executed::new_not_existing(TransactionId::ZERO),
    };
    account.mark_touch();
    let slot = |before, value: u64| EvmStorageSlot::new_changed(before, number(value), TransactionId::ZERO);
    match deed {
        Deed::Touch => {}
        Deed::Receive(wei) => account.info.balance += number(wei),
        Deed::Empty => account.info.balance = U256::ZERO,
        Deed::Write(key, value) if has_code => {
            let before = database.storage(address, number(key)).ok()?;
            account.storage.insert(number(key), slot(before, value));
        }
        Deed::Create(byte, key, value) if may_create => {
            account.mark_created();
            account.info.nonce = 1;
            account.info.set_code(code(byte));
            account.storage.insert(number(key), slot(U256::ZERO, value));
        }
        Deed::Destroy if has_code => account.mark_selfdestruct(),
        _ => return None,
    }
    Some(account)
}

/// A block in which each deed is a transaction.
fn after(deeds: &[(Address, Deed)]) -> BlockState<Parent> {
    let mut block = BlockState::new(parent());
    for (address, deed) in deeds {
        let account = executed(&mut block, *address, *deed).unwrap();
        block.commit(AddressMap::from_iter([(*address, account)]));
    }
    block
}

fn only(delta: StateDelta) -> AccountDelta {
    let [account] = <[AccountDelta; 1]>::try_from(delta.accounts).unwrap();
    account
}

#[test]
fn what_is_read_or_touched_and_stays_as_it_was_is_no_change() {
    let mut block = after(&[(PAYER, Deed::Touch), (CONTRACT, Deed::Write(1, 9)), (CONTRACT, Deed::Write(1, 5))]);
    for address in [NOBODY, EMPTY] {
        block.basic(address).unwrap();
    }
    assert!(block.delta().is_empty());
}

#[test]
fn values_are_those_of_the_parent_until_they_are_written() {
    let mut block = after(&[(CONTRACT, Deed::Write(1, 9)), (PAYER, Deed::Receive(1))]);
    let slots = [1, 2, 3].map(|slot| block.storage(CONTRACT, number(slot)).unwrap());
    assert_eq!(slots, [9, 6, 0].map(number));
    assert_eq!(block.basic(PAYER).unwrap().unwrap().balance, number(11));
    let delta = block.delta();
    assert_eq!(delta.accounts.iter().map(|account| account.address).collect::<Vec<_>>(), [PAYER, CONTRACT]);
    assert_eq!(delta.accounts[1].storage, [(number(1), number(9))]);
    assert_eq!(delta.codes, Vec::<Bytes>::new(), "it is not new");
}

#[test]
fn an_account_that_goes_takes_its_slots_with_it() {
    let mut block = after(&[(CONTRACT, Deed::Destroy)]);
    assert_eq!(block.basic(CONTRACT).unwrap(), None);
    assert_eq!(block.storage(CONTRACT, number(1)).unwrap(), U256::ZERO);
    let gone = only(block.delta());
    assert_eq!((gone.account, gone.storage_cleared), (None, StorageCleared::Yes));
    let touched = only(after(&[(EMPTY, Deed::Touch)]).delta());
    assert_eq!((touched.address, touched.account), (EMPTY, None), "EIP-161");
}

#[test]
fn an_account_that_comes_back_has_the_slots_it_is_given() {
    let deeds = [(CONTRACT, Deed::Destroy), (CONTRACT, Deed::Create(7, 2, 3)), (CONTRACT, Deed::Write(4, 0))];
    let mut block = after(&deeds);
    assert_eq!([1, 2].map(|slot| block.storage(CONTRACT, number(slot)).unwrap()), [0, 3].map(number));
    let delta = block.delta();
    assert_eq!(delta.codes, [code(7).original_bytes()]);
    let back = only(delta);
    assert_eq!(back.storage_cleared, StorageCleared::Yes);
    assert_eq!(back.storage, [(number(2), number(3))]);
    assert_eq!(back.account.unwrap().code_hash, code(7).hash_slow());
}

#[test]
fn what_comes_and_goes_in_one_block_never_was() {
    let block = after(&[(NOBODY, Deed::Create(7, 1, 1)), (NOBODY, Deed::Destroy)]);
    assert!(block.delta().is_empty());
}

#[test]
fn a_transaction_that_ran_elsewhere_is_taken_over_with_what_it_found() {
    let mut elsewhere = parent();
    let contract = executed(&mut elsewhere, CONTRACT, Deed::Write(1, 9)).unwrap();
    let nobody = executed(&mut elsewhere, NOBODY, Deed::Receive(1)).unwrap();
    let mut block = BlockState::new(parent());
    block.commit_iter(&mut [(CONTRACT, contract), (NOBODY, nobody)].into_iter());
    let delta = block.delta();
    assert_eq!(delta.accounts[0].storage, [(number(1), number(9))]);
    assert_eq!(delta.accounts[1].account.unwrap().balance, number(1));
    assert_eq!(block.storage(CONTRACT, number(2)).unwrap(), number(6));
}

/// revm's own way from its bundle of changes to a delta.
fn delta_of_bundle(bundle: BundleState) -> StateDelta {
    let codes = bundle.contracts.into_values().map(|code| code.original_bytes()).filter(|code| !code.is_empty());
    let accounts = bundle.state.into_iter().filter_map(|(address, changed)| account_of_bundle(address, changed));
    let mut delta = StateDelta { accounts: accounts.collect(), codes: codes.collect() };
    delta.sort();
    delta
}

fn account_of_bundle(address: Address, changed: BundleAccount) -> Option<AccountDelta> {
    let was_destroyed = changed.was_destroyed();
    let storage_cleared = if was_destroyed { StorageCleared::Yes } else { StorageCleared::No };
    let Some(info) = &changed.info else {
        changed.original_info.as_ref()?;
        return Some(AccountDelta { address, account: None, storage_cleared, storage: Vec::new() });
    };
    let slots = changed.storage.iter();
    let slots = slots.filter(|(_, slot)| if was_destroyed { !slot.present_value.is_zero() } else { slot.is_changed() });
    let storage: Vec<_> = slots.map(|(key, slot)| (*key, slot.present_value)).collect();
    let is_change = changed.is_info_changed() || was_destroyed || !storage.is_empty();
    is_change.then(|| AccountDelta { address, account: Some(account(info)), storage_cleared, storage })
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        Just(Deed::Touch),
        (0u64..3).prop_map(Deed::Receive),
        Just(Deed::Empty),
        (0u64..4, 0u64..8).prop_map(|(key, value)| Deed::Write(key, value)),
        (1u8..4, 0u64..4, 1u64..4).prop_map(|(byte, key, value)| Deed::Create(byte, key, value)),
        Just(Deed::Destroy),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn it_comes_to_what_revms_own_state_comes_to(
        deeds in proptest::collection::vec((prop::sample::select(vec![PAYER, CONTRACT, NOBODY, EMPTY]), deed()), 1..24),
    ) {
        let mut ours = BlockState::new(parent());
        let mut revms = State::builder().with_database(parent()).with_bundle_update().build();
        for (address, deed) in deeds {
            let accounts = (executed(&mut ours, address, deed), executed(&mut revms, address, deed));
            prop_assert_eq!(&accounts.0, &accounts.1);
            let (Some(one), Some(other)) = accounts else { continue };
            ours.commit(AddressMap::from_iter([(address, one)]));
            revms.commit(AddressMap::from_iter([(address, other)]));
            for slot in (0..4).map(number) {
                let value = ours.storage(address, slot).unwrap();
                prop_assert_eq!(value, revms.storage(address, slot).unwrap());
                prop_assert_eq!(value, ours.storage_ref(address, slot).unwrap());
            }
            prop_assert_eq!(ours.basic(address).unwrap(), ours.basic_ref(address).unwrap());
        }
        revms.merge_transitions(BundleRetention::PlainState);
        prop_assert_eq!(ours.delta(), delta_of_bundle(revms.take_bundle()));
    }
}
