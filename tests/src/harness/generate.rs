//! From a seed to a pair of worlds.

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};

use cloister_primitives::envelope::padded_bytes;

use super::audits;
use super::cast::{PARTIES, Who};
use super::code::{self, ask, prompt};
use super::ruled::first_nonce;
use super::workload::{Creations, Item, Kind, Sent, Shape, Step, Way, Workload};
use crate::fuzz::Random;

/// Gas limit of calls to contracts: all that they are asked, at flat prices.
const CALL_GAS: u64 = 300_000;
/// Gas limit of creations.
const CREATE_GAS: u64 = 400_000;
/// Three of these do not fit into one block.
const LARGE_GAS: u64 = 14_000_000;
/// One workload in so many is long enough for a section of the log index.
const SECTION_ONE_IN: usize = 60;
/// Bytes of calldata that bring what is sealed into the second size class.
const SEALED_INPUT: usize = 480;
/// Accounts that nobody has the key of.
const FRESH: usize = 4;

/// What may be generated.
#[derive(Clone, Copy, Debug, Default)]
pub struct Included {
    /// Whether contracts that parties create have rules; without any, strangers look for them in their transactions.
    pub creations: Creations,
    /// What runs the chain.
    pub shape: Shape,
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
    let mut steps = generator.steps();
    if included.shape.is_network() {
        // So many blocks of one transaction each take a network long, and show nothing that those of one node do not.
        steps.retain(|step| *step != Step::FillSection);
        steps.iter_mut().for_each(fill_payloads);
    }
    let mut touched: Vec<_> = PARTIES.into_iter().map(Who::address).collect();
    touched.push(Who::Rita.address());
    touched.extend_from_slice(&generator.fresh);
    // What the parties may have created first.
    touched.extend([Who::Alice, Who::Bob].map(|who| who.address().create(first_nonce(included.creations))));
    Workload {
        seed,
        snapshot_every_blocks,
        creations: included.creations,
        shape: included.shape,
        rita_observes,
        steps,
        touched,
    }
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
                // Now and then long enough for the next sealing keys.
                let longest = if self.one_in(6) { 8_000 } else { 30 };
                steps.push(Step::Wait { seconds: 1 + self.random.next() % longest });
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
        if self.one_in(SECTION_ONE_IN) {
            steps.extend([Step::Ask, Step::FillSection]);
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
            granted.push(Item::Public(audits::grants(code::probe(), Who::Mallory)));
            granted.push(Item::Public(audits::says(Who::Mallory, code::probe())));
        }
        if granted.is_empty() { Vec::new() } else { vec![Step::Batch(granted)] }
    }

    fn batch(&mut self) -> Vec<Item> {
        let mut items: Vec<_> = (0..1 + self.random.below(3)).map(|_| self.secret()).collect();
        items.push(Item::Public(self.large()));
        if self.one_in(8) {
            items.push(self.waiting());
        }
        if self.one_in(10) {
            items.push(unreadable());
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
        let input = code::call(prompt::PAY, U256::from_be_bytes(last.into_word().0), U256::ZERO);
        let measures = Sent { input, gas: CALL_GAS, ..Sent::transfer(Who::Mallory, code::probe(), 0) };
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

    /// Some of them the token's rules refuse, some its code, and some say nothing.
    fn token_call(&mut self) -> Sent {
        let (from, other) = (self.party(), self.account().into_word());
        let amount = |amount: usize| B256::from(U256::from(amount));
        let few = amount(1 + self.random.below(20));
        let input = match self.random.below(6) {
            0 | 1 => code::token_call("transfer(address,uint256)", &[other, few]),
            2 => code::token_call("transfer(address,uint256)", &[other, amount(2_000_000)]),
            3 => code::token_call("approve(address,uint256)", &[other, few]),
            4 => code::token_call("balanceOf(address)", &[from.address().into_word()]),
            _ => code::token_call("balanceOf(address)", &[other]),
        };
        Sent { kind: self.kind(), input, gas: CALL_GAS, ..Sent::transfer(from, code::token(), 0) }
    }

    fn any(&mut self) -> Sent {
        match self.random.below(11) {
            0..=2 => self.transfer(),
            3 => self.creation(),
            4..=6 => self.token_call(),
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
            _ if first.to == Some(code::token()) => second = Sent { from: first.from, ..self.token_call() },
            _ => second.to = second.to.map(|to| if to == code::LEDGER { to } else { self.account() }),
        }
        if first.input.len() == 96 && self.one_in(2) {
            self.another_call(&mut second);
        }
        if second.to == Some(code::token()) && self.one_in(2) {
            second.input = self.token_call().input;
        }
        even_out(&mut first, &mut second);
        if self.one_in(3) {
            let way = self.pick(&[Way::Sealed, Way::Sealed, Way::SealedAndReplayed]);
            (first.way, second.way) = (way, way);
            fill_envelope(&mut first, &mut second);
        }
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

    /// A stranger's own, which brings the block's record amid the class of 8 to 16 KiB: a few bytes of what the parties
    /// did make no other class of it.
    fn large(&mut self) -> Sent {
        let input = vec![7; 9_000 + self.random.below(2_000)].into();
        Sent { input, gas: 600_000, ..Sent::transfer(Who::Eve, Who::Eve.address(), 1) }
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
        if self.one_in(4) {
            let to = if from == Who::Eve { Who::Mallory } else { Who::Eve };
            let words = [to.address().into_word(), B256::with_last_byte(2)];
            let input = code::token_call("transfer(address,uint256)", &words);
            return Sent { input, gas: CALL_GAS, ..Sent::transfer(from, code::token(), 0) };
        }
        let nonce = first_nonce(self.included.creations) + self.random.next() % 3;
        let creation = self.pick(&[Who::Alice, Who::Bob]).address().create(nonce);
        let (asks, about) = if self.included.creations == Creations::WithoutRules || self.one_in(5) {
            (prompt::LOOK, creation)
        } else {
            let asks = [prompt::PAY, prompt::LOOK, prompt::COINBASE, prompt::ASK, prompt::ASK, 0];
            (self.pick(&asks), self.account())
        };
        let key = U256::from_be_bytes(about.into_word().0);
        let tip = u128::from(self.random.next() % 2_000_000_000);
        Sent { input: code::call(asks, key, U256::ZERO), gas: CALL_GAS, tip, ..Sent::transfer(from, code::probe(), 0) }
    }
}

/// Roughly what a transaction takes in the record of its block, beyond what every one does.
fn size(sent: &Sent) -> usize {
    const LOG: usize = 165;
    const SLOT: usize = 70;
    const ACCOUNT: usize = 70;
    if sent.to == Some(code::token()) {
        return sent.input.len() + token_effects(&sent.input, LOG, SLOT, ACCOUNT);
    }
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

/// What a call of the token leaves behind.
fn token_effects(input: &[u8], log: usize, slot: usize, account: usize) -> usize {
    let calls = |signature: &str| input.starts_with(&keccak256(signature)[..4]);
    // More than anybody has.
    let fails = input.get(36..67).is_some_and(|high| high.iter().any(|byte| *byte != 0));
    if calls("transfer(address,uint256)") && !fails {
        log + 2 * slot + account
    } else if calls("approve(address,uint256)") {
        log + slot + account
    } else {
        0
    }
}

/// Brings both worlds to about the same size, by bytes that nobody looks at: size classes are declassified, and a pair in
/// which one moves says nothing.
fn even_out(first: &mut Sent, second: &mut Sent) {
    let sizes = [size(first), size(second)];
    let shorter = if sizes[0] < sizes[1] { first } else { second };
    let missing = sizes[0].abs_diff(sizes[1]);
    if missing > 0 && shorter.to.is_some() {
        fill(shorter, missing);
    }
}

/// Adds bytes that nobody looks at.
fn fill(sent: &mut Sent, bytes: usize) {
    sent.input = [sent.input.as_ref(), &vec![1; bytes]].concat().into();
    // EIP-7623: as many tokens as data can cost.
    sent.gas += 40 * bytes as u64;
}

/// Between hosts a transaction has a size class, however it came.
fn fill_payloads(step: &mut Step) {
    let Step::Batch(items) = step else { return };
    for item in items {
        let Item::Secret(first, second) = item else { continue };
        let lens = [&*first, &*second].map(|sent| sent.signed(0).len());
        if padded_bytes(lens[0]) != padded_bytes(lens[1]) {
            let shorter = if lens[0] < lens[1] { first } else { second };
            fill(shorter, lens[0].abs_diff(lens[1]));
        }
    }
}

/// Brings both into the same size class of envelopes.
fn fill_envelope(first: &mut Sent, second: &mut Sent) {
    let missing = SEALED_INPUT.saturating_sub(first.input.len().min(second.input.len()));
    for sent in [first, second].into_iter().filter(|sent| sent.to.is_some()) {
        fill(sent, missing);
    }
}

/// Neither is a transaction; what is wrong with them differs.
fn unreadable() -> Item {
    let broken = Bytes::from(vec![2; 100]);
    let foreign = Bytes::from(vec![0x7f; 100]);
    Item::Unreadable([broken, foreign])
}
