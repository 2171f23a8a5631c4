//! The log index against looking into every block: over restarts, reverts, missing and damaged sections.

#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use alloy_primitives::{Address, B256, Bytes, TxKind, bytes};
use cloister_access::Caller;
use cloister_boundary::ToEnclave;
use cloister_core::{
    AnswerAt, CoreError, CoreMessage, CoreOptions, DevelopmentRequest, LOG_SECTION_BLOCKS, Lookup, Reader, RequestBody,
    ResidentLimits, Response, SeenBlock, log_section_end,
};
use cloister_primitives::Height;
use support::{Account, Answers, Disk, Node, genesis, options};

/// Creates a contract that emits a log with what it is called with as its topic.
const EMITTER: Bytes = bytes!("6860003560006000a10060005260096017f3");

/// As little resident as can be.
fn small() -> CoreOptions {
    CoreOptions { resident: ResidentLimits { bytes: 0, log_index_bytes: 0 }, ..options() }
}

/// A chain whose logs are made on demand.
struct Chain {
    alice: Account,
    nonce: u64,
    node: Node,
}

impl Chain {
    fn new(options: CoreOptions) -> Self {
        let alice = Account::new(1);
        let node = Node::start(&genesis(&[&alice]), options, 1, Disk::default());
        let mut chain = Self { alice, nonce: 0, node };
        chain.send(TxKind::Create, EMITTER);
        chain
    }

    fn send(&mut self, to: TxKind, input: Bytes) {
        let raw = self.alice.call(self.nonce, to, input);
        self.nonce += 1;
        self.node.submit(vec![raw], AnswerAt::CommitIfInstant);
        self.node.run();
    }

    /// A block with a log of this topic.
    fn log(&mut self, topic: u8) {
        let emitter = self.alice.address.create(0);
        self.send(TxKind::Call(emitter), B256::repeat_byte(topic).into());
    }

    fn develop(&mut self, request: DevelopmentRequest) -> Response {
        answer(&mut self.node, RequestBody::Development(request)).unwrap()
    }

    /// Empty blocks up to this height.
    fn mine_to(&mut self, height: u64) {
        let blocks = height - self.node.head().0;
        self.develop(DevelopmentRequest::Mine { blocks, interval_s: None, timestamp: None });
        assert_eq!(self.node.head(), Height(height));
    }

    /// The same disk in another process.
    fn restart(self, options: CoreOptions, seed: u64) -> Self {
        let disk = self.node.disk;
        Self { node: Node::start(&genesis(&[&self.alice]), options, seed, disk), ..self }
    }
}

fn answer(node: &mut Node, body: RequestBody) -> Result<Response, CoreError> {
    let id = node.request(vec![body])[0];
    node.run();
    node.heard.replies.remove(&id).unwrap()
}

fn block(node: &mut Node, height: Height) -> SeenBlock {
    let ledger = node.ledger.clone().unwrap();
    let caller = Caller::Development;
    match ledger.reader(&caller).block(height) {
        Lookup::Found(block) => block,
        Lookup::Stored(height) => {
            let Ok(Response::Stored(blocks)) = answer(node, RequestBody::Load { height }) else { panic!("no block") };
            let stored = blocks.iter().find(|block| block.height() == height).unwrap();
            ledger.reader(&caller).open(stored)
        }
        Lookup::Absent => panic!("no block {height}"),
    }
}

fn has_log(block: &SeenBlock, topic: u8) -> bool {
    let topic = B256::repeat_byte(topic);
    block.transactions().any(|transaction| transaction.logs().any(|seen| seen.log.topics() == [topic]))
}

fn walked(node: &mut Node, topic: u8) -> Vec<u64> {
    let head = node.head();
    (0..=head.0).filter(|height| has_log(&block(node, Height(*height)), topic)).collect()
}

/// As a query does it: sections, then the blocks they name; what has no section block by block.
fn found(node: &mut Node, topic: u8) -> Vec<u64> {
    let ledger = node.ledger.clone().unwrap();
    let caller = Caller::Development;
    let reader: Reader<'_> = ledger.reader(&caller);
    let places = reader.log_places(&[], &[vec![B256::repeat_byte(topic)]]);
    let mut heights = Vec::new();
    let mut next = Height(0);
    while next <= node.head() {
        let last = log_section_end(next);
        let section = match reader.log_section(next) {
            Lookup::Found(section) => Some(section),
            Lookup::Stored(last) => match answer(node, RequestBody::LoadLogSection { last }) {
                Ok(Response::LogSection(section)) => Some(section),
                other => panic!("{other:?}"),
            },
            Lookup::Absent => None,
        };
        match section {
            Some(section) => heights.extend(reader.candidates(&section, &places, next, last).unwrap()),
            None => heights.extend((next.0..=last.0.min(node.head().0)).map(Height)),
        }
        next = last.next();
    }
    heights.into_iter().filter(|height| has_log(&block(node, *height), topic)).map(|height| height.0).collect()
}

fn agrees(node: &mut Node) {
    for topic in [1, 2, 9] {
        assert_eq!(found(node, topic), walked(node, topic), "topic {topic}");
    }
}

/// Two finished sections and a part of a third, with some logs in each.
fn three_sections(options: CoreOptions) -> Chain {
    let mut chain = Chain::new(options);
    for (height, topic) in [(3, 1), (4, 2), (200, 1), (254, 2), (300, 2), (599, 1)] {
        if height > chain.node.head().0 + 1 {
            chain.mine_to(height - 1);
        }
        chain.log(topic);
    }
    assert_eq!(walked(&mut chain.node, 1), [3, 200, 599]);
    chain
}

#[test]
fn queries_find_what_looking_into_every_block_finds() {
    for options in [options(), small()] {
        let mut chain = three_sections(options.clone());
        let sections: Vec<_> = chain.node.disk.log_sections.keys().map(|last| last.0).collect();
        assert_eq!(sections, [LOG_SECTION_BLOCKS - 1, 2 * LOG_SECTION_BLOCKS - 1]);
        agrees(&mut chain.node);
        let mut chain = chain.restart(options.clone(), 2);
        agrees(&mut chain.node);
        chain.mine_to(800);
        agrees(&mut chain.node);
        assert_eq!(chain.node.disk.log_sections.len(), 3);
        assert!(chain.node.heard.warnings_at.is_empty());
    }
}

#[test]
fn sections_that_are_missing_are_built_again_and_stored() {
    let mut chain = three_sections(small());
    let before = std::mem::take(&mut chain.node.disk.log_sections);
    let mut chain = chain.restart(small(), 2);
    agrees(&mut chain.node);
    let after = &chain.node.disk.log_sections;
    assert!(after.keys().eq(before.keys()));
    assert!(chain.node.heard.warnings_at.is_empty(), "a folder of an earlier version has none: that is no damage");
}

#[test]
fn damaged_and_misplaced_sections_are_named_and_built_again() {
    let mut chain = three_sections(small());
    let first = Height(LOG_SECTION_BLOCKS - 1);
    let second = Height(2 * LOG_SECTION_BLOCKS - 1);
    let genuine = chain.node.disk.log_sections.clone();
    let mut flipped = genuine[&first].clone();
    flipped[100] ^= 1;
    for (last, bad) in [(first, flipped), (first, vec![]), (second, genuine[&first].clone())] {
        chain.node.disk.log_sections.clone_from(&genuine);
        chain.node.disk.log_sections.insert(last, bad.clone());
        chain = chain.restart(small(), 3);
        agrees(&mut chain.node);
        let text = "a stored section of the log index is damaged: it is built again from its blocks";
        assert_eq!(chain.node.heard.warnings_at, [(text, last)]);
        assert_ne!(chain.node.disk.log_sections[&last], bad, "it was replaced");
    }
}

#[test]
fn a_section_without_sound_blocks_is_an_error_and_no_answer() {
    let mut chain = three_sections(small());
    chain.node.disk.log_sections.clear();
    let mut chain = chain.restart(small(), 2);
    let last = Height(LOG_SECTION_BLOCKS - 1);
    chain.node.disk.blocks.get_mut(&Height(77)).unwrap()[100] ^= 1;
    let damaged = answer(&mut chain.node, RequestBody::LoadLogSection { last });
    assert!(matches!(damaged, Err(CoreError::Unavailable(_))), "{damaged:?}");
    chain.node.disk.blocks.remove(&Height(77));
    let missing = answer(&mut chain.node, RequestBody::LoadLogSection { last });
    assert!(matches!(missing, Err(CoreError::Unavailable(_))), "{missing:?}");
    for last in [Height(7), Height(3 * LOG_SECTION_BLOCKS - 1), Height(u64::MAX)] {
        let unfinished = answer(&mut chain.node, RequestBody::LoadLogSection { last });
        assert!(matches!(unfinished, Err(CoreError::Unavailable(_))), "{unfinished:?}");
    }
    assert!(chain.node.heard.halted.is_none());
}

#[test]
fn a_chain_that_went_back_and_on_differently_is_searched_as_it_is() {
    for options in [options(), small()] {
        let mut chain = Chain::new(options.clone());
        chain.log(1);
        chain.mine_to(250);
        let Response::Number(id) = chain.develop(DevelopmentRequest::Snapshot) else { panic!("no snapshot") };
        let nonce = chain.nonce;
        chain.log(1);
        chain.log(2);
        chain.mine_to(300);
        assert_eq!(found(&mut chain.node, 1), [2, 251]);
        chain.develop(DevelopmentRequest::Revert { id });
        assert!(chain.node.disk.log_sections.is_empty());
        chain.nonce = nonce;
        assert_eq!(found(&mut chain.node, 1), [2]);
        chain.log(2);
        chain.mine_to(254);
        chain.log(1);
        chain.mine_to(300);
        assert_eq!((found(&mut chain.node, 1), found(&mut chain.node, 2)), (vec![2, 255], vec![251]));
        agrees(&mut chain.node);
        let mut chain = chain.restart(options, 2);
        agrees(&mut chain.node);
    }
}

/// The machine dies at any point around the end of a section; its disk then holds some of what was to be stored.
#[test]
fn a_crash_at_any_point_leaves_the_same_answers() {
    let mut chain = Chain::new(small());
    chain.mine_to(252);
    let disk = chain.node.disk;
    for records in 1..9 {
        let node = Node::start(&genesis(&[&chain.alice]), small(), 2, disk.clone());
        let mut crashing = Chain { alice: Account::new(1), nonce: 1, node };
        crashing.node.answers = Answers::DiesAfter(records);
        for topic in [1, 2, 1, 2, 1, 2] {
            crashing.log(topic);
        }
        let mut after = crashing.restart(small(), 3);
        assert!(after.node.head() >= Height(252));
        agrees(&mut after.node);
    }
}

#[test]
fn answers_that_nobody_waits_for_are_told_and_do_no_harm() {
    let mut chain = three_sections(small());
    let id = cloister_boundary::ReadId(1_000_000);
    chain.node.give(CoreMessage::Host(ToEnclave::LogSection { id, bytes: None }));
    assert_eq!(chain.node.heard.warnings.last(), Some(&"the host answered a read that was not asked for"));
    agrees(&mut chain.node);
}

#[test]
fn the_address_of_the_emitter_is_found_too() {
    let mut chain = three_sections(small());
    let ledger = chain.node.ledger.clone().unwrap();
    let caller = Caller::Anonymous;
    let reader = ledger.reader(&caller);
    let last = Height(LOG_SECTION_BLOCKS - 1);
    let Ok(Response::LogSection(section)) = answer(&mut chain.node, RequestBody::LoadLogSection { last }) else {
        panic!("no section")
    };
    let candidates = |address: Address| {
        let places = reader.log_places(&[address], &[]);
        reader.candidates(&section, &places, Height(0), last).unwrap()
    };
    assert_eq!(candidates(chain.alice.address.create(0)), [3, 4, 200, 254].map(Height));
    assert!(candidates(chain.alice.address).is_empty());
}

/// Whatever a query holds between two steps, no lock of the ledger is among it: else this never ends.
#[test]
fn blocks_are_committed_while_a_query_holds_what_it_has_found() {
    let mut chain = three_sections(options());
    let ledger = chain.node.ledger.clone().unwrap();
    let caller = Caller::Anonymous;
    let reader = ledger.reader(&caller);
    let head = reader.head().unwrap();
    let mut logs_of_head = head.transactions();
    let Lookup::Found(section) = reader.log_section(Height(0)) else { panic!("the section is resident") };
    chain.mine_to(3 * LOG_SECTION_BLOCKS);
    let places = reader.log_places(&[], &[]);
    assert_eq!(reader.candidates(&section, &places, Height(0), head.height()).unwrap(), [3, 4, 200, 254].map(Height));
    assert!(logs_of_head.next().is_some());
    assert_eq!(reader.head().unwrap().height(), Height(3 * LOG_SECTION_BLOCKS));
}

#[test]
fn readers_beside_commits_see_whole_blocks_and_sections() {
    use std::sync::atomic::{AtomicBool, Ordering};
    let mut chain =
        three_sections(CoreOptions { resident: ResidentLimits { bytes: 0, ..ResidentLimits::default() }, ..options() });
    let ledger = chain.node.ledger.clone().unwrap();
    let done = AtomicBool::new(false);
    let look = || {
        let caller = Caller::Anonymous;
        let reader = ledger.reader(&caller);
        let places = reader.log_places(&[], &[vec![B256::repeat_byte(1)]]);
        let mut looks = 0u64;
        while !done.load(Ordering::Relaxed) || looks == 0 {
            let head = ledger.head();
            for height in (head.0.saturating_sub(320)..=head.0).map(Height) {
                match reader.block(height) {
                    Lookup::Found(block) => assert_eq!(block.height(), height),
                    Lookup::Stored(stored) => assert_eq!(stored, height),
                    Lookup::Absent => panic!("a committed block {height} is gone"),
                }
            }
            let first = reader.log_section(Height(0));
            let Lookup::Found(section) = first else { panic!("within the budget it stays") };
            let found = reader.candidates(&section, &places, Height(0), head).unwrap();
            assert_eq!(found, [3, 200].map(Height));
            looks += 1;
        }
    };
    std::thread::scope(|scope| {
        let readers = [scope.spawn(look), scope.spawn(look)];
        chain.mine_to(1_500);
        done.store(true, Ordering::Relaxed);
        readers.into_iter().for_each(|reader| reader.join().unwrap());
    });
    agrees(&mut chain.node);
}
