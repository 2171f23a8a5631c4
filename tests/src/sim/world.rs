//! The scheduler: what happens next, in simulated time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use alloy_primitives::{Bytes, Keccak256};
use cloister_access::Caller;
use cloister_boundary::ToEnclave;
use cloister_core::{AnswerAt, CoreMessage, NodeId, PeerEvent, Request, RequestBody, RequestId, WorkId, work::Work};
use cloister_primitives::Seq;

use super::{
    Outcome,
    client::{CHAIN_ID, CLIENTS, Clients, Decision, GONE, VOTER, addresses, identity_of, member, name_of},
    faults::Faults,
    history::Read,
    node::{Node, Wish},
    random::Dice,
};

/// How a client passes the time between two looks at a receipt, microseconds.
const CLIENT_PERIOD_US: u64 = 60_000;

/// Events that may be pending at one time: more means that something is not bounded.
const MAX_PENDING: usize = 20_000;

/// What can go wrong in a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Luck {
    /// Everything.
    Anything,
    /// Everything but that a node stops which keeps its disk.
    LostDisks,
    /// Disks are not lost; one more node is let in, and another one sent away.
    NewMembers,
}

/// One history to play.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Decides about everything.
    pub seed: u64,
    /// How many nodes there are.
    pub nodes: u64,
    /// What can go wrong.
    pub luck: Luck,
    /// How long faults are injected, simulated milliseconds.
    pub faults_ms: u64,
    /// How long the network then has to recover, simulated milliseconds.
    pub recovery_ms: u64,
}

impl Plan {
    /// What is played of this seed where nothing else is said: three nodes mostly, sometimes five.
    #[must_use]
    pub const fn of_seed(seed: u64) -> Self {
        let luck = match seed % 8 {
            2 => Luck::NewMembers,
            5 => Luck::LostDisks,
            _ => Luck::Anything,
        };
        Self { seed, nodes: if seed % 4 == 3 { 5 } else { 3 }, luck, faults_ms: 8_000, recovery_ms: 20_000 }
    }
}

/// What is going to happen.
#[derive(Debug)]
pub(super) enum Event {
    Computed(WorkId, Work),
    Heard(NodeId, Bytes),
    Linked(NodeId, PeerEvent),
    Durable(Seq),
    Answered(ToEnclave),
    Alarm(u64),
    Client(usize),
    Start,
    Fault,
}

/// Who it happens to: a node in one of its lives, or the world.
#[derive(Clone, Copy, Debug)]
pub(super) struct To {
    pub(super) node: usize,
    pub(super) life: u64,
}

/// The network, its clients and its bad luck.
pub(super) struct World {
    pub(super) plan: Plan,
    pub(super) dice: Dice,
    pub(super) nodes: Vec<Node>,
    pub(super) clients: Clients,
    pub(super) faults: Faults,
    pub(super) time_us: u64,
    pub(super) genesis: Vec<u8>,
    pending: BTreeMap<(u64, u64), (To, Event)>,
    order: u64,
    next_request: u64,
    steps: u64,
    history: Keccak256,
    pub(super) violations: Vec<String>,
    recovered: bool,
    /// A node was started again that has what it had.
    pub(super) restarted: bool,
    /// What nodes say to each other, where somebody wants to know: from which, to whom.
    pub(super) said: Option<Vec<(usize, NodeId, Bytes)>>,
    /// When the last message on a link arrives, for links that keep the order.
    arrivals: BTreeMap<(usize, usize), u64>,
}

fn genesis(nodes: u64) -> Vec<u8> {
    let names: Vec<_> =
        (1..=nodes).map(|id| serde_json::json!({"id": id, "name": name_of(id), "identity": identity_of(id)})).collect();
    let alloc: serde_json::Map<_, _> =
        addresses().map(|address| (address.to_string(), serde_json::json!({"balance": "0xde0b6b3a7640000"}))).collect();
    serde_json::json!({
        "config": {
            "chainId": CHAIN_ID, "homesteadBlock": 0, "eip150Block": 0, "eip155Block": 0, "eip158Block": 0,
            "byzantiumBlock": 0, "constantinopleBlock": 0, "petersburgBlock": 0, "istanbulBlock": 0, "berlinBlock": 0,
            "londonBlock": 0, "terminalTotalDifficulty": 0,
            "cloister": {"allowEqualTimestamps": true, "raft": {"nodes": names}, "members": [member()]},
        },
        "timestamp": "0x0", "gasLimit": "0x1c9c380", "difficulty": "0x0", "baseFeePerGas": "0x1", "alloc": alloc,
    })
    .to_string()
    .into_bytes()
}

impl World {
    pub(super) fn new(plan: &Plan) -> Self {
        let mut dice = Dice::new(plan.seed);
        let mut nodes: Vec<_> = (1..=plan.nodes).filter_map(NodeId::new).map(Node::new).collect();
        let mut decisions = VecDeque::new();
        if plan.luck == Luck::NewMembers {
            let (comes, leaves) = (plan.nodes + 1, dice.between(1, plan.nodes));
            nodes.extend(NodeId::new(comes).map(Node::new));
            let (first_us, then_us) = (dice.between(500_000, 3_000_000), dice.between(3_000_000, 7_000_000));
            decisions.push_back(Decision { at_us: first_us, number: comes, standing: VOTER });
            decisions.push_back(Decision { at_us: then_us, number: leaves, standing: GONE });
            nodes.iter_mut().filter(|node| node.id.get() == leaves).for_each(|node| node.leaves = true);
        }
        Self {
            plan: plan.clone(),
            dice,
            nodes,
            clients: Clients::new(decisions),
            faults: Faults::default(),
            time_us: 0,
            genesis: genesis(plan.nodes),
            pending: BTreeMap::new(),
            order: 0,
            next_request: 0,
            steps: 0,
            history: Keccak256::new(),
            violations: Vec::new(),
            recovered: false,
            restarted: false,
            said: None,
            arrivals: BTreeMap::new(),
        }
    }

    pub(super) fn run(mut self) -> Outcome {
        self.begin();
        self.after(500_000, 0, Event::Fault);
        self.play_until(self.plan.faults_ms * 1_000);
        self.heal();
        self.recover();
        self.finish()
    }

    /// Nodes and clients start.
    pub(super) fn begin(&mut self) {
        for node in 0..self.nodes.len() {
            self.after(0, node, Event::Start);
        }
        for client in 0..=usize::from(CLIENTS) {
            self.after(CLIENT_PERIOD_US * client as u64, 0, Event::Client(client));
        }
    }

    /// What came of it.
    pub(super) fn finish(mut self) -> Outcome {
        self.judge();
        self.violations.extend(self.clients.history.broken());
        Outcome {
            seed: self.plan.seed,
            steps: self.steps,
            digest: self.history.finalize(),
            faults: self.faults.counts,
            height: self.nodes.iter().filter_map(Node::head).max().map_or(0, |height| height.0),
            acknowledged: self.clients.acknowledged.len() as u64,
            reads: self.clients.history.reads(),
            recovered: self.recovered,
            violations: self.violations,
        }
    }

    /// Goes on until the network has recovered, or its time is over.
    pub(super) fn recover(&mut self) {
        let healed_us = self.time_us;
        let end_us = (self.plan.faults_ms + self.plan.recovery_ms) * 1_000;
        while self.violations.is_empty() && self.time_us < end_us {
            self.play_until((self.time_us + 500_000).min(end_us));
            if self.has_recovered(healed_us) {
                self.recovered = true;
                break;
            }
        }
    }

    pub(super) fn play_until(&mut self, end_us: u64) {
        while self.violations.is_empty()
            && let Some(first) = self.pending.first_entry()
            && first.key().0 <= end_us
        {
            let ((time_us, _), (to, event)) = first.remove_entry();
            self.time_us = time_us;
            self.steps += 1;
            self.happen(to, event);
            if self.pending.len() > MAX_PENDING {
                self.violations.push(format!("{} events are pending", self.pending.len()));
            }
        }
        self.time_us = end_us;
    }

    /// Lets something happen to a node's present life, so many microseconds from now.
    pub(super) fn after(&mut self, delay_us: u64, node: usize, event: Event) {
        let life = self.nodes[node].life;
        self.at(self.time_us + delay_us, To { node, life }, event);
    }

    fn at(&mut self, time_us: u64, to: To, event: Event) {
        self.order += 1;
        self.pending.insert((time_us, self.order), (to, event));
    }

    fn happen(&mut self, to: To, event: Event) {
        self.history.update(self.time_us.to_be_bytes());
        let message = match event {
            Event::Client(client) => return self.on_client(client),
            Event::Fault => return self.on_fault(),
            Event::Start => return self.start(to.node),
            _ if self.nodes[to.node].life != to.life => return,
            Event::Computed(id, work) => CoreMessage::Done(id, work.run()),
            Event::Heard(from, message) => CoreMessage::Peer(from, PeerEvent::Said(message.into())),
            Event::Linked(from, event) => CoreMessage::Peer(from, event),
            Event::Durable(seq) => {
                self.nodes[to.node].disk.sync(seq);
                CoreMessage::Host(ToEnclave::Persisted { seq })
            }
            Event::Answered(answer) => CoreMessage::Host(answer),
            Event::Alarm(number) if self.nodes[to.node].alarm == number => CoreMessage::Wake,
            Event::Alarm(_) => return,
        };
        self.give(to.node, message);
    }

    pub(super) fn start(&mut self, node: usize) {
        if self.nodes[node].is_up() || self.nodes[node].lost && self.nodes[node].halted.is_some() {
            return;
        }
        self.restarted |= self.nodes[node].life > 0 && !self.nodes[node].lost;
        let (seed, time_us) = (self.plan.seed, self.time_us);
        self.clients.history.started(self.nodes[node].id);
        let start = self.nodes[node].start(seed, &self.genesis, time_us);
        self.give(node, start);
        for other in 0..self.nodes.len() {
            if other != node && self.nodes[other].is_up() {
                self.link(node, other, PeerEvent::Connected);
            }
        }
    }

    /// Both ends of a link hear of a change.
    pub(super) fn link(&mut self, one: usize, other: usize, event: PeerEvent) {
        for (node, from) in [(one, other), (other, one)] {
            if self.nodes[node].is_up() {
                let from = self.nodes[from].id;
                self.after(100, node, Event::Linked(from, event.clone()));
            }
        }
    }

    pub(super) fn stop(&mut self, node: usize) {
        let reached = self.dice.between(0, self.nodes[node].disk.in_flight() as u64);
        self.nodes[node].stop(usize::try_from(reached).unwrap_or_default());
        for other in 0..self.nodes.len() {
            if other != node {
                self.link(node, other, PeerEvent::Gone);
            }
        }
    }

    pub(super) fn give(&mut self, node: usize, message: CoreMessage) {
        let time_us = self.time_us;
        let before = self.nodes[node].newest;
        let wishes = self.nodes[node].give(message, time_us);
        for wish in wishes {
            if self.nodes[node].stops_at_write == Some(0) {
                self.stop(node);
                let delay_us = self.dice.between(50_000, 2_000_000);
                self.after(delay_us, node, Event::Start);
                break;
            }
            self.grant(node, wish);
        }
        if self.nodes[node].newest != before {
            self.committed(node);
        }
        self.ended_by_itself(node);
    }

    fn grant(&mut self, node: usize, wish: Wish) {
        match wish {
            Wish::Compute(id, work) => {
                let delay_us = self.dice.between(50, 3_000);
                self.after(delay_us, node, Event::Computed(id, work));
            }
            Wish::Answer(answer) => {
                let delay_us = self.dice.between(50, 500);
                self.after(delay_us, node, Event::Answered(answer));
            }
            Wish::Written(seq) => {
                if let Some(left) = &mut self.nodes[node].stops_at_write {
                    *left = left.saturating_sub(1);
                }
                let delay_us = self.faults.write_delay_us(node, &mut self.dice);
                self.after(delay_us, node, Event::Durable(seq));
            }
            Wish::Wake(deadline_ms) => {
                self.nodes[node].alarm += 1;
                let number = self.nodes[node].alarm;
                let delay_ms = deadline_ms.saturating_sub(self.nodes[node].now_ms(self.time_us));
                self.after(delay_ms * 1_000 + 1_000, node, Event::Alarm(number));
            }
            Wish::Say(to, message) => self.carry(node, to, message),
            Wish::Replied => {}
        }
    }

    fn carry(&mut self, from: usize, to: NodeId, message: Bytes) {
        self.history.update(&message);
        if let Some(said) = &mut self.said {
            said.push((from, to, message.clone()));
        }
        let Some(target) = self.nodes.iter().position(|node| node.id == to) else {
            return self.violations.push(format!("node {} speaks to node {}, which there is not", from + 1, to.get()));
        };
        let copies = self.faults.copies(from, target, &mut self.dice);
        for _ in 0..copies {
            let delay_us = self.dice.between(200, 3_000);
            let mut time_us = self.time_us + delay_us;
            if !self.faults.overtakes(&mut self.dice) {
                let last = self.arrivals.entry((from, target)).or_default();
                time_us = time_us.max(*last + 1);
                *last = time_us;
            }
            let life = self.nodes[target].life;
            let speaker = self.nodes[from].id;
            self.at(time_us, To { node: target, life }, Event::Heard(speaker, message.clone()));
        }
    }

    fn on_client(&mut self, client: usize) {
        self.after(CLIENT_PERIOD_US, 0, Event::Client(client));
        let open: Vec<usize> = (0..self.nodes.len()).filter(|node| self.nodes[*node].opened.is_some()).collect();
        let Some(&node) = self.dice.pick(&open) else { return };
        self.read(client, node);
        if let Some(hash) = self.clients.waits_for(client)
            && let Some(height) = self.nodes[node].height_of(&hash)
        {
            let now_us = self.time_us;
            self.clients.seen(client, height, now_us);
        }
        let now_us = self.time_us;
        if let Some(raw) = self.clients.next(client, now_us, &mut self.dice) {
            self.next_request += 1;
            let body = RequestBody::Submit { raw, answer_at: AnswerAt::Admission };
            let request = (RequestId(self.next_request), Request { caller: Caller::Anonymous, body });
            self.give(node, CoreMessage::Requests(vec![request]));
        }
    }

    /// Somebody asks a node about a client's account.
    fn read(&mut self, client: usize, node: usize) {
        let Some(address) = self.clients.account(client) else { return };
        match self.nodes[node].read(address) {
            Some((height, nonce, balance)) => {
                let read = Read { at_us: self.time_us, node: self.nodes[node].id, height, nonce, balance };
                self.clients.history.read(client, read);
            }
            None => self.violations.push(format!("node {} does not answer a read", self.nodes[node].id.get())),
        }
    }

    pub(super) const fn recovered(&self) -> bool {
        self.recovered
    }

    /// Nodes that can be spoken to.
    pub(super) fn up(&self) -> BTreeSet<usize> {
        (0..self.nodes.len()).filter(|node| self.nodes[*node].is_up()).collect()
    }
}
