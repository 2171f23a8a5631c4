//! From a seed to a pair of worlds.

use alloy_primitives::{Address, Bytes, U256};

use super::audits;
use super::cast::{PARTIES, Who};
use super::code::{self, ask, probe};
use super::findings::Finding;
use super::workload::{Item, Kind, Sent, Step, Workload};
use crate::fuzz::Random;

/// Gas limit of calls to contracts: all that they are asked, at flat prices.
const CALL_GAS: u64 = 300_000;
/// Gas limit of creations.
const CREATE_GAS: u64 = 400_000;
/// Three of these do not fit into one block.
const LARGE_GAS: u64 = 14_000_000;
/// Accounts that nobody has the key of.
const FRESH: usize = 4;

/// What may be generated.
#[derive(Clone, Debug, Default)]
pub struct Included {
    /// Findings that are looked for although they are known.
    pub findings: Vec<Finding>,
}

struct Generator<'a> {
    random: Random,
    included: &'a Included,
    rita_observes: bool,
    fresh: Vec<Address>,
}

/// The pair of worlds of a seed.
#[must_use]
pub fn workload(seed: u64, included: &Included) -> Workload {
    let mut random = Random::new(seed);
    let rita_observes = random.below(4) == 0;
    let fresh = (0..FRESH)
        .map(|_| {
            Address::from_slice(
                &[random.next().to_be_bytes(), random.next().to_be_bytes(), random.next().to_be_bytes()].concat()[..20],
            )
        })
        .collect();
    let snapshot_every_blocks = if random.below(12) == 0 { 2 } else { 1_024 };
    let mut generator = Generator { random, included, rita_observes, fresh };
    let steps = generator.steps();
    let mut touched: Vec<_> = PARTIES.into_iter().map(Who::address).collect();
    touched.push(Who::Rita.address());
    touched.extend_from_slice(&generator.fresh);
    // What the parties may have created first.
    touched.extend([Who::Alice, Who::Bob].map(|who| who.address().create(0)));
    Workload { seed, snapshot_every_blocks, rita_observes, steps, touched }
}

impl Generator<'_> {
    fn one_in(&mut self, count: usize) -> bool {
        self.random.below(count) == 0
    }

    fn pick<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.random.below(list.len())]
    }

    fn steps(&mut self) -> Vec<Step> {
        let mut steps = self.audits();
        for _ in 0..2 + self.random.below(3) {
            if self.one_in(4) {
                steps.push(Step::Wait { seconds: 1 + self.random.next() % 30 });
            }
            steps.push(Step::Batch(if self.one_in(24) { self.crowded() } else { self.batch() }));
            if self.one_in(10) {
                steps.push(Step::Restart);
            } else if self.one_in(4) {
                steps.push(Step::Ask);
            }
        }
        if self.one_in(6) {
            self.handed_on(&mut steps);
        }
        if self.one_in(6) {
            self.paid_first(&mut steps);
        }
        if self.one_in(6) {
            self.drained(&mut steps);
        }
        steps
    }

    /// A stranger audits her own contract; another one might audit that of the parties, but never says so.
    fn audits(&mut self) -> Vec<Step> {
        let mut granted = Vec::new();
        if self.one_in(3) {
            granted.push(Item::Public(audits::grants(code::LEDGER, Who::Eve)));
        }
        if self.one_in(3) {
            granted.push(Item::Public(audits::grants(code::PROBE, Who::Mallory)));
            granted.push(Item::Public(audits::says(Who::Mallory, code::PROBE)));
        }
        if granted.is_empty() { Vec::new() } else { vec![Step::Batch(granted)] }
    }

    fn batch(&mut self) -> Vec<Item> {
        let mut items: Vec<_> = (0..1 + self.random.below(3)).map(|_| self.secret()).collect();
        items.push(Item::Public(self.large()));
        if self.one_in(8) {
            items.push(self.waiting());
        }
        for _ in 0..self.random.below(3) {
            let at = self.random.below(items.len() + 1);
            let public = self.public();
            items.insert(at, Item::Public(public));
        }
        items
    }

    /// More than fits into a block by what is declared, although not by what is used.
    fn crowded(&mut self) -> Vec<Item> {
        let large = |from, burns: bool| {
            let asks = if burns { ask::BURN } else { ask::STORE };
            let input = code::call(asks, U256::from(7), U256::from(7));
            Box::new(Sent { gas: LARGE_GAS, input, ..Sent::transfer(from, code::LEDGER, 0) })
        };
        let burns = self.one_in(2);
        let mut items: Vec<_> = [Who::Alice, Who::Bob, Who::Carol]
            .into_iter()
            .map(|who| Item::Secret(large(who, burns), large(who, !burns)))
            .collect();
        items.push(Item::Public(Sent { gas: LARGE_GAS, ..Sent::transfer(Who::Eve, Who::Eve.address(), 1) }));
        items
    }

    /// A stranger hands on what a party signed; it can be in no block, for different reasons.
    fn handed_on(&mut self, steps: &mut Vec<Step>) {
        let spends = |who: Who| Box::new(Sent::transfer(who, who.address(), 1));
        steps.insert(0, Step::Batch(vec![Item::Secret(spends(Who::Dave), spends(Who::Carol))]));
        let sent = Sent::transfer(Who::Dave, Who::Carol.address(), 2 * Who::Dave.balance());
        steps.push(Step::Batch(vec![Item::Relayed { sent, nonce: 0 }]));
    }

    /// A stranger measures what it costs to pay an account that a party has paid before, in one world.
    fn paid_first(&self, steps: &mut Vec<Step>) {
        let pays = |to: Address| Box::new(Sent { gas: 60_000, ..Sent::transfer(Who::Alice, to, 1) });
        let last = self.fresh[FRESH - 1];
        let input = code::call(probe::PAY, U256::from_be_bytes(last.into_word().0), U256::ZERO);
        let measures = Sent { input, gas: CALL_GAS, ..Sent::transfer(Who::Mallory, code::PROBE, 0) };
        steps.push(Step::Batch(vec![Item::Secret(pays(last), pays(self.fresh[0]))]));
        steps.push(Step::Batch(vec![Item::Public(measures)]));
    }

    /// An account that lets others spend its money is emptied in one world, before a transaction of its own that was
    /// taken when it could still be paid.
    fn drained(&mut self, steps: &mut Vec<Step>) {
        let delegates =
            Sent { kind: Kind::Delegation, gas: 100_000, ..Sent::transfer(Who::Carol, Who::Carol.address(), 0) };
        steps.push(Step::Batch(vec![Item::Secret(Box::new(delegates.clone()), Box::new(delegates))]));
        let to = U256::from_be_bytes(self.fresh[0].into_word().0);
        let spends = |value: u128| {
            let input = code::call(ask::PAY, to, U256::from(value));
            Box::new(Sent { input, gas: CALL_GAS, ..Sent::transfer(Who::Bob, Who::Carol.address(), 0) })
        };
        let all = Who::Carol.balance() / 100 * 99;
        let mut worlds = [spends(all), spends(1)];
        if self.one_in(2) {
            worlds.swap(0, 1);
        }
        let [first, second] = worlds;
        let own = Box::new(Sent::transfer(Who::Carol, self.fresh[1], Who::Carol.balance() / 10));
        let public = self.public();
        steps.push(Step::Batch(vec![
            Item::Secret(first, second),
            Item::Secret(own.clone(), own),
            Item::Public(public),
        ]));
    }

    /// An account that secrets are about.
    fn account(&mut self) -> Address {
        let mut accounts: Vec<_> = PARTIES.into_iter().map(Who::address).collect();
        // The last one is kept for being paid first.
        accounts.extend_from_slice(&self.fresh[..FRESH - 1]);
        if !self.rita_observes {
            accounts.push(Who::Rita.address());
        }
        self.pick(&accounts)
    }

    fn number(&mut self) -> U256 {
        // Often the zero that takes a slot away.
        if self.one_in(4) { U256::ZERO } else { U256::from(1 + self.random.below(250)) }
    }

    fn kind(&mut self) -> Kind {
        self.pick(&[Kind::Legacy, Kind::AccessList, Kind::DynamicFee, Kind::DynamicFee])
    }

    /// Whose the secrets are; Dave has too little to pay for gas.
    fn party(&mut self) -> Who {
        self.pick(&[Who::Alice, Who::Bob, Who::Carol])
    }

    fn transfer(&mut self) -> Sent {
        let (from, to) = (self.party(), self.account());
        let value = 1 + u128::from(self.random.next() % 1_000_000);
        Sent { kind: self.kind(), gas: 60_000 + self.random.next() % 50_000, ..Sent::transfer(from, to, value) }
    }

    fn call(&mut self) -> Sent {
        let asks = self.pick(&[
            ask::STORE,
            ask::STORE | ask::LOG,
            ask::LOG,
            ask::STORE | ask::BRANCH,
            ask::PAY,
            ask::REVERT,
            ask::STORE | ask::LOG | ask::REVERT,
            ask::BURN,
        ]);
        let key = if asks & (ask::LOG | ask::PAY) == 0 {
            U256::from(self.random.below(6))
        } else {
            U256::from_be_bytes(self.account().into_word().0)
        };
        let input = code::call(asks, key, self.number());
        Sent { kind: self.kind(), input, gas: CALL_GAS, ..Sent::transfer(self.party(), code::LEDGER, 0) }
    }

    fn creation(&mut self) -> Sent {
        let runtime = code::ledger();
        let input = code::deploying(&runtime);
        Sent { to: None, input, gas: CREATE_GAS, ..Sent::transfer(self.pick(&[Who::Alice, Who::Bob]), code::LEDGER, 0) }
    }

    fn any(&mut self) -> Sent {
        match self.random.below(8) {
            0..=2 => self.transfer(),
            7 => self.creation(),
            _ => self.call(),
        }
    }

    /// A transaction of a party in both worlds.
    fn secret(&mut self) -> Item {
        if self.rita_observes && self.one_in(2) {
            return self.item_for_rita();
        }
        let mut first = self.any();
        let mut second = first.clone();
        match self.random.below(7) {
            // Another transaction altogether, of about the same length.
            0 => second = if first.input.is_empty() { self.transfer() } else { self.any() },
            1 => second.from = self.party(),
            2 => second.tip = u128::from(self.random.next() % 1_000_000_000),
            3 => second.gas += self.random.next() % 10_000,
            4 => second.kind = self.kind(),
            5 if first.input.len() == 96 => self.another_call(&mut second),
            5 => second.value += 1,
            _ => second.to = second.to.map(|to| if to == code::LEDGER { to } else { self.account() }),
        }
        if first.input.len() == 96 && self.one_in(2) {
            self.another_call(&mut second);
        }
        even_out(&mut first, &mut second);
        Item::Secret(Box::new(first), Box::new(second))
    }

    /// A transaction that waits for others before it, which never come.
    fn waiting(&mut self) -> Item {
        let waits = |sent: Sent| Box::new(Sent { from: Who::Dave, tip: 0, value: sent.value, nonce_gap: 5, ..sent });
        let (first, second) = (self.transfer(), self.transfer());
        Item::Secret(waits(first), waits(second))
    }

    /// The same contract, asked something else.
    fn another_call(&mut self, sent: &mut Sent) {
        sent.input = loop {
            let other: Bytes = self.call().input;
            if other != sent.input {
                break other;
            }
        };
    }

    /// Rita sees what is sent to her, without what belongs to the sender alone.
    fn item_for_rita(&mut self) -> Item {
        let first = Sent { to: Some(Who::Rita.address()), ..self.transfer() };
        let mut second = first.clone();
        second.gas += self.random.next() % 10_000;
        second.tip = u128::from(self.random.next() % 1_000_000_000);
        Item::Secret(Box::new(first), Box::new(second))
    }

    /// A stranger's own, which makes the block large: then its size class seldom depends on the parties' transactions.
    fn large(&mut self) -> Sent {
        let input = vec![7; 3_000 + self.random.below(4_000)].into();
        Sent { input, gas: 400_000, ..Sent::transfer(Who::Eve, Who::Eve.address(), 1) }
    }

    /// A stranger's own transaction.
    fn public(&mut self) -> Sent {
        let from = self.pick(&[Who::Eve, Who::Mallory]);
        if self.one_in(3) {
            return Sent {
                tip: u128::from(self.random.next() % 2_000_000_000),
                ..Sent::transfer(from, from.address(), 1)
            };
        }
        // The parties' contract runs for everybody, and tells nobody what it did.
        if self.one_in(4) {
            let key = U256::from(self.random.below(6));
            let input = code::call(ask::TELL, key, U256::ZERO);
            return Sent { input, gas: CALL_GAS, ..Sent::transfer(from, code::LEDGER, 0) };
        }
        let finds = self.included.findings.contains(&Finding::ContractsWithoutRulesAnswer);
        let (asks, about) = if finds {
            (probe::LOOK, self.pick(&[Who::Alice, Who::Bob]).address().create(0))
        } else {
            (self.pick(&[probe::PAY, probe::LOOK, probe::COINBASE, 0]), self.account())
        };
        let key = U256::from_be_bytes(about.into_word().0);
        let tip = u128::from(self.random.next() % 2_000_000_000);
        Sent { input: code::call(asks, key, U256::ZERO), gas: CALL_GAS, tip, ..Sent::transfer(from, code::PROBE, 0) }
    }
}

/// Roughly what a transaction takes in the record of its block, beyond what every one does.
fn size(sent: &Sent) -> usize {
    const LOG: usize = 165;
    const SLOT: usize = 70;
    const ACCOUNT: usize = 70;
    let is_call = sent.input.len() >= 96 && sent.to == Some(code::LEDGER);
    let asks = if is_call { sent.input[31] } else { 0 };
    let does = |bit: u8| usize::from(asks & bit != 0);
    let is_zero = is_call && sent.input[64..96].iter().all(|byte| *byte == 0);
    let effects = match sent.to {
        // Nothing is left of what failed.
        Some(_) if asks & (ask::REVERT | ask::BURN) != 0 => 0,
        Some(code::LEDGER) => {
            let slots = if is_zero { 0 } else { does(ask::STORE) + does(ask::BRANCH) };
            SLOT * slots + ACCOUNT * slots.min(1) + LOG * does(ask::LOG) + 2 * ACCOUNT * does(ask::PAY)
        }
        Some(_) => ACCOUNT,
        None => 2 * ACCOUNT + code::ledger().len(),
    };
    sent.input.len() + effects
}

/// Brings both worlds to about the same size, by bytes that nobody looks at: size classes are declassified, and a pair in
/// which one moves says nothing.
fn even_out(first: &mut Sent, second: &mut Sent) {
    let sizes = [size(first), size(second)];
    let shorter = if sizes[0] < sizes[1] { first } else { second };
    let missing = sizes[0].abs_diff(sizes[1]);
    if missing > 0 && shorter.to.is_some() {
        shorter.input = [shorter.input.as_ref(), &vec![1; missing]].concat().into();
        // EIP-7623: as many tokens as data can cost.
        shorter.gas += 40 * missing as u64;
    }
}
