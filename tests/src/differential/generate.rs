//! From a seed to a case.

use std::collections::BTreeMap;

use alloy_eips::{eip2935, eip4788, eip7002, eip7251};
use alloy_primitives::{Address, B256, Bytes, U256};

use super::case::{
    Allocated, Authorized, BaseFee, Batch, CHAIN_ID, Case, Crash, Fork, Kind, Sent, Step, StoreKind, Upgrade,
};
use super::precompiles;
use super::program::Programs;
use super::wallet::{KEYS, address_of};
use crate::fuzz::Random;

/// Contracts that every genesis has.
const CONTRACTS: u8 = 8;
/// One case in so many keeps its log in RocksDB.
const DISK_ONE_IN: usize = 150;
/// Most transactions that arrive together.
const BATCH: usize = 28;

/// The case of a seed.
#[must_use]
pub fn case(seed: u64) -> Case {
    let mut random = Random::new(seed);
    let fork = Fork::ALL[random.below(Fork::ALL.len())];
    let upgrade = upgrade(fork, &mut random);
    let newest = upgrade.map_or(fork, |upgrade| upgrade.fork);
    let hot = hot(newest);
    let mut generator = Generator { random: &mut random, newest, hot };
    let accounts = generator.accounts(fork);
    let beneficiary = generator.address();
    let random = &mut *generator.random;
    let development = random.below(3) != 0;
    let mut case = Case {
        note: format!("seed {seed}"),
        fork,
        upgrade,
        development,
        base_fee: match random.below(4) {
            0 => BaseFee::Fixed(0),
            1 => BaseFee::Fixed(7),
            2 => BaseFee::Initial(8),
            _ => BaseFee::Initial(1_000_000_000),
        },
        gas_limit: [2_000_000, 8_000_000, 30_000_000][random.below(3)],
        excess_blob_gas: [0, 0, 2_000_000, 50_000_000][random.below(4)],
        beneficiary,
        store: StoreKind::Memory,
        snapshot_every_blocks: 0,
        refuse_tails_one_in: None,
        accounts,
        steps: Vec::new(),
    };
    let random = &mut *generator.random;
    case.snapshot_every_blocks = [3, 5, 1_024][random.below(3)];
    case.refuse_tails_one_in = (random.below(4) == 0).then_some(3);
    if random.below(DISK_ONE_IN) == 0 {
        case.store = StoreKind::Disk;
    }
    case.steps = generator.steps(development);
    if case.refuse_tails_one_in.is_some() {
        // What refuses tails on test networks forgets that an empty block was asked for.
        case.steps.retain(|step| !matches!(step, Step::Mine(_)));
    }
    case
}

/// Half of the chains come to a later fork. A chain is merged from the start or never.
fn upgrade(fork: Fork, random: &mut Random) -> Option<Upgrade> {
    let next = match fork {
        Fork::Berlin => Fork::London,
        Fork::London | Fork::Bpo2 => return None,
        _ => Fork::ALL[fork as usize + 1 + random.below(Fork::ALL.len() - fork as usize - 1)],
    };
    let after = if next.is_by_height() { 2 + random.below(6) } else { 5 + random.below(60) };
    (random.below(2) == 0).then_some(Upgrade { fork: next, after: after as u64 })
}

const fn contract(index: u8) -> Address {
    let mut bytes = [0xc0; 20];
    bytes[19] = index;
    Address::new(bytes)
}

/// Few addresses that are used again and again, so that everything meets everything.
fn hot(newest: Fork) -> Vec<Address> {
    let mut hot: Vec<_> = (0..CONTRACTS).map(contract).collect();
    // Contracts are called most.
    hot.extend((0..CONTRACTS).map(contract));
    hot.extend((0..KEYS).map(address_of));
    // What contracts create first, and what the keys do.
    hot.extend((0..3).map(|index| contract(index).create(1)));
    hot.push(address_of(0).create(0));
    hot.extend([1, 2, 4, 9].map(Address::with_last_byte));
    hot.extend([Address::ZERO, Address::repeat_byte(0xee)]);
    if newest >= Fork::Cancun {
        hot.extend([eip4788::BEACON_ROOTS_ADDRESS, eip7002::WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS]);
    }
    if newest >= Fork::Prague {
        hot.extend([eip2935::HISTORY_STORAGE_ADDRESS, eip7251::CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS]);
    }
    hot
}

struct Generator<'r> {
    random: &'r mut Random,
    newest: Fork,
    hot: Vec<Address>,
}

impl Generator<'_> {
    fn chance(&mut self, one_in: usize) -> bool {
        self.random.below(one_in) == 0
    }

    fn address(&mut self) -> Address {
        self.hot[self.random.below(self.hot.len())]
    }

    fn programs(&mut self) -> Programs<'_> {
        Programs { random: self.random, fork: self.newest, hot: &self.hot }
    }

    fn accounts(&mut self, first: Fork) -> BTreeMap<Address, Allocated> {
        let mut accounts = BTreeMap::new();
        for index in 0..KEYS {
            // The last one is poor.
            let balance = if index + 1 == KEYS { 40_000_000_000_000_000 } else { 1_000_000_000_000_000_000_000_u128 };
            let mut account = Allocated { balance: U256::from(balance), ..Allocated::default() };
            if first >= Fork::Prague && self.chance(4) {
                account.nonce = 1;
                account.code = [&[0xef, 0x01, 0x00], self.address().as_slice()].concat().into();
            }
            accounts.insert(address_of(index), account);
        }
        for index in 0..CONTRACTS {
            let code = self.programs().runtime();
            let storage = (0..self.random.below(4)).map(|slot| (U256::from(slot), U256::from(1 + slot % 2))).collect();
            let balance = U256::from(self.random.below(3));
            accounts.insert(contract(index), Allocated { nonce: 1, balance, code, storage });
        }
        accounts
    }

    fn steps(&mut self, development: bool) -> Vec<Step> {
        let mut steps = Vec::new();
        for _ in 0..4 + self.random.below(8) {
            steps.push(Step::Send(self.batch(development)));
            match self.random.below(12) {
                0 | 1 => steps.push(Step::Restart),
                2 if development => steps.push(Step::Mine(1 + self.random.below(4) as u64)),
                3 if development => steps.push(Step::Rollback(1 + self.random.below(3) as u64)),
                _ => {}
            }
        }
        steps.push(Step::Restart);
        steps
    }

    fn batch(&mut self, development: bool) -> Batch {
        let crash = match self.random.below(24) {
            0 => Some(Crash::BeforePersisted),
            1 => Some(Crash::AfterPersisted),
            _ => None,
        };
        let beneficiary = (development && self.chance(3)).then(|| self.address());
        let transactions = (0..=self.random.below(BATCH)).map(|_| self.transaction()).collect();
        Batch { seconds: self.random.below(14) as u64, beneficiary, crash, transactions }
    }

    fn kind(&mut self) -> Kind {
        match self.random.below(10) {
            0 | 1 => Kind::AccessList,
            2..=4 if self.newest >= Fork::London => Kind::DynamicFee,
            5 | 6 if self.newest >= Fork::Prague => Kind::SetCode,
            // Too early a type now and then.
            7 if self.chance(60) => Kind::SetCode,
            _ => Kind::Legacy,
        }
    }

    fn transaction(&mut self) -> Sent {
        let kind = self.kind();
        let (to, input) = self.recipient(kind);
        let gas = match self.random.below(120) {
            // At the edge of what is needed at all, and below it.
            0 => 20_999 + self.random.below(3_000) as u64,
            1 => 53_000 + self.random.below(30_000) as u64,
            2..=5 => 1_500_000,
            // Enough for whatever comes before the first instruction.
            _ => 120_000 + self.random.below(240_000) as u64 + 60 * input.len() as u64,
        };
        let value = match self.random.below(12) {
            0 => 1_000_000_000_000_000_000,
            1 | 2 => self.random.below(1_000) as u64,
            _ => 0,
        };
        Sent {
            from: self.random.below(usize::from(KEYS)) as u8,
            kind,
            to,
            value: U256::from(value),
            input,
            gas,
            premium: [2_000, 3_000, 1_000_000_000][self.random.below(3)],
            tip: if self.chance(200) { 2_000_000_000_000 } else { [0, 0, 1, 2_000][self.random.below(4)] },
            nonce_offset: if self.chance(150) { -1 } else { 0 },
            access_list: self.access_list(kind),
            authorizations: if kind == Kind::SetCode { self.authorizations() } else { Vec::new() },
        }
    }

    fn recipient(&mut self, kind: Kind) -> (Option<Address>, Bytes) {
        match self.random.below(20) {
            0..=2 if kind != Kind::SetCode => (None, self.programs().initcode()),
            3 | 4 => {
                let number = if self.chance(8) {
                    precompiles::P256
                } else {
                    1 + self.random.below(usize::from(precompiles::LAST)) as u16
                };
                let address = Address::from_word(B256::from(U256::from(number)));
                (Some(address), precompiles::input(number, self.random))
            }
            5 if self.newest >= Fork::Prague => self.request(),
            6 | 7 => (Some(self.address()), Bytes::new()),
            _ => {
                let words = self.random.below(4);
                let input: Vec<u8> =
                    (0..words).flat_map(|_| U256::from(self.random.below(80)).to_be_bytes::<32>()).collect();
                (Some(contract(self.random.below(usize::from(CONTRACTS)) as u8)), input.into())
            }
        }
    }

    /// A request to the consensus layer (EIP-7002, EIP-7251); mostly without the fee, and so refused.
    fn request(&mut self) -> (Option<Address>, Bytes) {
        if self.chance(2) {
            (Some(eip7002::WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS), vec![7; 56].into())
        } else {
            (Some(eip7251::CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS), vec![8; 96].into())
        }
    }

    fn access_list(&mut self, kind: Kind) -> Vec<(Address, Vec<B256>)> {
        if kind == Kind::Legacy {
            return Vec::new();
        }
        let slots = |random: &mut Random| (0..random.below(3)).map(|slot| B256::from(U256::from(slot))).collect();
        (0..self.random.below(3)).map(|_| (self.address(), slots(self.random))).collect()
    }

    fn authorizations(&mut self) -> Vec<Authorized> {
        let one = |generator: &mut Self| Authorized {
            by: generator.random.below(usize::from(KEYS)) as u8,
            to: if generator.chance(5) { Address::ZERO } else { generator.address() },
            nonce_offset: if generator.chance(8) { 1 } else { 0 },
            chain_id: [CHAIN_ID, CHAIN_ID, 0, 1][generator.random.below(4)],
            high_s: generator.chance(16),
        };
        let least = usize::from(!self.chance(150));
        (0..least + self.random.below(3)).map(|_| one(self)).collect()
    }
}
