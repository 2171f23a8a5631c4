//! All nodes of a run: one by itself, or a network, with a clock of their own and links that carry at once.
//!
//! Time moves where the run says so, from one deadline to the next: what is due at one time is done before the clock goes
//! on, and equal runs are equal to the millisecond. One node at a time may be held back: what others say to it waits, so that
//! it is asked about a chain that has gone on elsewhere.

use std::pin::pin;

use alloy_primitives::Bytes;
use cloister_access::Caller;
use cloister_core::{NodeId, PeerEvent};
use futures_util::future::join_all;
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};
use tokio::sync::mpsc;

use super::cast::everybody;
use super::workload::{GENESIS_TIME, NODES, Shape, Workload};
use super::world::{Node, Question, is_about_many_heights};

/// The only node where there is one.
pub(super) const ALONE: usize = 0;
/// Requests that the core takes at one time.
const REQUEST_BURST: usize = 512;
/// How long something may take that a network has to agree on, milliseconds.
const PATIENCE_MS: u64 = 30_000;
/// Long enough for a leader to be heard, milliseconds.
const HEARTBEATS_MS: u64 = 250;

/// The nodes.
pub(super) struct Nodes {
    nodes: Vec<Node>,
    now_ms: u64,
    /// Which is held back, and what others have said to it, in order.
    held: Option<(usize, Vec<(NodeId, Bytes)>)>,
    /// Which takes whoever asks for everybody.
    blind: Option<usize>,
}

impl Nodes {
    /// Starts all of them on a new chain, within a runtime.
    pub(super) fn start(workload: &Workload, entropy_seed: u64) -> Result<Self, String> {
        let now_ms = GENESIS_TIME * 1_000;
        let node = |id: Option<NodeId>| Node::new(workload, id, entropy_seed, now_ms);
        let nodes: Vec<_> = match workload.shape {
            Shape::Alone => vec![node(None)],
            Shape::Network | Shape::BlindFollower => (1..=NODES).map(|id| node(NodeId::new(id))).collect(),
        };
        let mut nodes = Self { nodes, now_ms, held: None, blind: None };
        for at in 0..nodes.count() {
            nodes.nodes[at].boot()?;
        }
        for one in 0..nodes.count() {
            for other in one + 1..nodes.count() {
                nodes.link(one, other);
            }
        }
        nodes.open()?;
        if workload.shape == Shape::BlindFollower {
            nodes.blind = nodes.follower_beside(ALONE);
        }
        Ok(nodes)
    }

    pub(super) const fn count(&self) -> usize {
        self.nodes.len()
    }

    pub(super) fn at(&self, at: usize) -> &Node {
        &self.nodes[at]
    }

    /// The one whose chain is the longest.
    pub(super) fn ahead(&self) -> &Node {
        let best = (0..self.count()).rev().max_by_key(|at| self.nodes[*at].head());
        &self.nodes[best.unwrap_or(ALONE)]
    }

    /// One of a network's that does not lead, other than this one.
    pub(super) fn follower_beside(&self, other: usize) -> Option<usize> {
        let is_network = self.count() > 1;
        (0..self.count()).find(|at| is_network && *at != other && !self.nodes[*at].leads())
    }

    fn link(&mut self, one: usize, other: usize) {
        self.tell_both(one, other, &PeerEvent::Connected);
    }

    fn tell_both(&mut self, one: usize, other: usize, event: &PeerEvent) {
        for (node, from) in [(one, other), (other, one)] {
            if let Some(from) = self.nodes[from].id() {
                self.nodes[node].peer(from, event.clone());
            }
        }
    }

    /// Ends one and starts it again from what is stored.
    pub(super) fn restart(&mut self, at: usize) -> Result<(), String> {
        let others: Vec<_> = (0..self.count()).filter(|other| *other != at).collect();
        for other in &others {
            self.tell_both(at, *other, &PeerEvent::Gone);
        }
        self.nodes[at].restart()?;
        others.iter().for_each(|other| self.link(at, *other));
        self.open()
    }

    /// Lets time pass until each has opened its chain.
    fn open(&mut self) -> Result<(), String> {
        self.settle()?;
        self.go_on_until("a node does not open its chain", |nodes| nodes.iter().all(Node::is_open))?;
        self.nodes.iter_mut().try_for_each(Node::serve)?;
        self.go_on()
    }

    /// Does all that is to be done now.
    fn settle(&mut self) -> Result<(), String> {
        loop {
            let mut said = Vec::new();
            for node in &mut self.nodes {
                node.settle()?;
                let from = node.id();
                said.extend(node.take_said().into_iter().filter_map(|(to, message)| Some((from?, to, message))));
            }
            if said.is_empty() {
                return Ok(());
            }
            for (from, to, message) in said {
                self.carry(from, to, message)?;
            }
        }
    }

    fn carry(&mut self, from: NodeId, to: NodeId, message: Bytes) -> Result<(), String> {
        let position = self.nodes.iter().position(|node| node.id() == Some(to));
        let at = position.ok_or_else(|| format!("node {} speaks to node {}", from.get(), to.get()))?;
        match &mut self.held {
            Some((held, waiting)) if *held == at => waiting.push((from, message)),
            _ => self.nodes[at].peer(from, PeerEvent::Said(message.into())),
        }
        Ok(())
    }

    /// What others say to this one waits from now on.
    pub(super) fn hold(&mut self, at: usize) {
        self.held = Some((at, Vec::new()));
    }

    /// It hears everything it missed.
    pub(super) fn let_go(&mut self) -> Result<(), String> {
        if let Some((at, waiting)) = self.held.take() {
            for (from, message) in waiting {
                self.nodes[at].peer(from, PeerEvent::Said(message.into()));
            }
        }
        self.settle()
    }

    fn set_clock(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
        self.nodes.iter_mut().for_each(|node| node.set_clock(now_ms));
    }

    /// Moves the clock to the next deadline, if there is one until then.
    fn reach_deadline(&mut self, until_ms: u64) -> Result<bool, String> {
        let next = self.nodes.iter().filter_map(Node::deadline_ms).min().filter(|next_ms| *next_ms <= until_ms);
        let Some(next_ms) = next else { return Ok(false) };
        self.set_clock(next_ms.max(self.now_ms));
        self.settle()?;
        Ok(true)
    }

    /// Lets a network hear what its leader has decided.
    pub(super) fn go_on(&mut self) -> Result<(), String> {
        if self.count() == 1 {
            return Ok(());
        }
        let until_ms = self.now_ms + HEARTBEATS_MS;
        while self.reach_deadline(until_ms)? {}
        self.set_clock(until_ms);
        Ok(())
    }

    fn go_on_until(&mut self, otherwise: &str, reached: impl Fn(&[Node]) -> bool) -> Result<(), String> {
        let until_ms = self.now_ms + PATIENCE_MS;
        while !reached(&self.nodes) {
            if !self.reach_deadline(until_ms)? {
                return Err(otherwise.to_owned());
            }
        }
        Ok(())
    }

    /// Time goes on, all at once.
    pub(super) fn wait(&mut self, seconds: u64) -> Result<(), String> {
        self.set_clock(self.now_ms + seconds * 1_000);
        self.nodes.iter_mut().try_for_each(Node::tick)?;
        self.settle()?;
        self.go_on()
    }

    /// Asks one node all of these; one text each, of an answer or an error. At one time, but those about states of many
    /// heights, which are rebuilt one after the other: threads decide in which order requests arrive, and what is read from
    /// the host for a state depends on the one before.
    pub(super) async fn ask(&mut self, at: usize, questions: &[Question]) -> Result<Vec<String>, String> {
        let (alone, together): (Vec<_>, Vec<_>) =
            (0..).zip(questions.iter().cloned()).partition(|(_, question)| is_about_many_heights(question));
        let (places, asked): (Vec<usize>, Vec<_>) = together.into_iter().unzip();
        let mut answers: Vec<_> = places.into_iter().zip(self.ask_together(at, &asked).await?).collect();
        for (place, question) in alone {
            answers.push((place, self.ask_together(at, &[question]).await?.remove(0)));
        }
        answers.sort_by_key(|(place, _)| *place);
        Ok(answers.into_iter().map(|(_, answer)| answer).collect())
    }

    async fn ask_together(&mut self, at: usize, questions: &[Question]) -> Result<Vec<String>, String> {
        let served = self.nodes[at].served()?;
        let anybody = (self.blind == Some(at)).then(everybody);
        let answers = join_all(questions.iter().map(|(caller, method, params)| {
            let params = to_raw_value(params).ok();
            let answer = served.call(method, anybody.as_ref().unwrap_or(caller), params.as_deref());
            async move {
                match answer {
                    Some(answer) => match answer.await {
                        Ok(json) => String::from_utf8_lossy(&json).into_owned(),
                        Err(error) => serde_json::to_string(&error).unwrap_or_default(),
                    },
                    None => "no such method".to_owned(),
                }
            }
        }));
        let mut answers = pin!(answers);
        loop {
            let mut burst = Vec::new();
            tokio::select! {
                biased;
                answers = &mut answers => return Ok(answers),
                _ = self.nodes[at].queue.recv_many(&mut burst, REQUEST_BURST) => {
                    self.nodes[at].take(burst)?;
                    self.settle()?;
                    if self.count() > 1 {
                        self.go_on_until("a request is not answered", |nodes| nodes[at].waiting() == 0)?;
                    }
                }
            }
        }
    }

    /// Lets tasks hear of what happened, and answers what they ask.
    pub(super) async fn listen(&mut self) -> Result<(), String> {
        for node in &mut self.nodes {
            node.listen().await?;
        }
        self.settle()
    }

    /// Subscribes at one node; what comes is the notifications' texts.
    pub(super) async fn subscribe(
        &self,
        at: usize,
        caller: &Caller,
        params: &Value,
    ) -> Result<mpsc::Receiver<Box<RawValue>>, String> {
        self.nodes[at].subscribe(caller, params).await
    }
}
