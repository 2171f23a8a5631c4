#![allow(clippy::unwrap_used)]

use alloy_consensus::{ReceiptEnvelope, ReceiptWithBloom};
use alloy_primitives::{Bytes, Log};
use cloister_keys::{Epoch, PlatformKey};
use proptest::prelude::*;

use super::*;

const LAST: Height = Height(2 * LOG_SECTION_BLOCKS - 1);
const HASH: B256 = B256::repeat_byte(0xaa);

fn keys() -> LedgerKeys {
    LedgerKeys::derive(&PlatformKey::from_bytes(&[7; 32]).unwrap(), 1, B256::ZERO, Epoch(0))
}

fn log(address: u8, topics: &[u8]) -> Log {
    let topics = topics.iter().map(|topic| B256::repeat_byte(*topic)).collect();
    Log::new(Address::repeat_byte(address), topics, Bytes::new()).unwrap()
}

/// A block of transactions with one log each.
fn block(logs: Vec<Log>) -> Block {
    let receipt =
        |log| -> ReceiptWithBloom<_> { alloy_consensus::Receipt { logs: vec![log], ..Default::default() }.into() };
    Block {
        header: alloy_consensus::Header::default(),
        hash: B256::ZERO,
        commitments: cloister_primitives::Commitments::default(),
        transactions: Vec::new(),
        receipts: logs.into_iter().map(|log| ReceiptEnvelope::Eip1559(receipt(log))).collect(),
        ommers: Vec::new(),
        withdrawals: None,
    }
}

/// A section with these logs in its first blocks and none in the others.
fn section(blocks: &[Vec<Log>]) -> Section {
    let mut draft = SectionDraft::default();
    for index in 0..LOG_SECTION_BLOCKS as usize {
        draft.push(&keys(), &block(blocks.get(index).cloned().unwrap_or_default()));
    }
    draft.finish(LAST, HASH)
}

fn places(addresses: &[u8], topics: &[&[u8]]) -> LogPlaces {
    let addresses: Vec<_> = addresses.iter().map(|byte| Address::repeat_byte(*byte)).collect();
    let topics: Vec<Vec<_>> =
        topics.iter().map(|place| place.iter().map(|byte| B256::repeat_byte(*byte)).collect()).collect();
    LogPlaces::new(&keys(), &addresses, &topics)
}

#[test]
fn candidates_are_the_blocks_with_a_value_at_each_place() {
    let section = section(&[vec![log(1, &[5, 6])], vec![], vec![log(2, &[6]), log(1, &[])], vec![log(2, &[6, 5])]]);
    let first = LOG_SECTION_BLOCKS;
    let found = |addresses: &[u8], topics: &[&[u8]]| -> Vec<u64> {
        let heights = section.candidates(&places(addresses, topics), Height(0), Height(u64::MAX));
        heights.into_iter().map(|height| height.0 - first).collect()
    };
    assert_eq!(found(&[], &[]), [0, 2, 3], "whatever has logs at all");
    assert_eq!(found(&[1], &[]), [0, 2]);
    assert_eq!(found(&[1, 9], &[&[6, 5]]), [0, 2], "two logs of one block may have the values between them");
    assert_eq!(found(&[], &[&[], &[5]]), [3], "a topic counts at its own place");
    assert_eq!(found(&[9], &[]), [0; 0]);
    let from_third = section.candidates(&places(&[], &[]), Height(first + 2), Height(first + 2));
    assert_eq!(from_third, [Height(first + 2)]);
}

#[test]
fn a_block_with_too_much_to_list_is_always_looked_into() {
    let many = (0..=MAX_LISTED as u64).map(|number| {
        let topic = B256::from(alloy_primitives::U256::from(number));
        Log::new(Address::ZERO, vec![topic], Bytes::new()).unwrap()
    });
    let section = section(&[vec![], many.collect(), vec![]]);
    let found = section.candidates(&places(&[9], &[]), Height(0), LAST);
    assert_eq!(found, [Height(LOG_SECTION_BLOCKS + 1)]);
    assert!(section.values.is_empty());
    assert_eq!(Section::decode(LAST, HASH, &section.encode()), Some(section));
}

#[test]
fn a_block_costs_four_bytes_and_four_for_each_value() {
    let empty = section(&[]).resident_bytes();
    assert!(empty as u64 <= 5 * LOG_SECTION_BLOCKS, "{empty}");
    assert_eq!(section(&[vec![log(1, &[5, 6]), log(1, &[5])]]).resident_bytes(), empty + 3 * 4);
}

/// What the host sees of a section must not depend on who is named in it.
#[test]
fn the_length_follows_from_the_number_of_logs_and_topics() {
    let same = section(&[vec![log(1, &[5, 6]); 300]]);
    let different = section(&[(0..=255).chain(0..44).map(|byte| log(byte, &[byte, byte ^ 1])).collect()]);
    assert!(same.values.len() < different.values.len());
    assert_eq!(same.encode().len(), different.encode().len());
}

#[test]
fn bytes_that_are_no_section_are_refused() {
    let good = section(&[vec![log(1, &[5, 6]), log(1, &[5])]]).encode();
    let decode = |bytes: &[u8]| Section::decode(LAST, HASH, bytes);
    assert!(decode(&good).is_some());
    let changed = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        decode(&bytes)
    };
    assert_eq!(changed(0, 2), None, "another version");
    assert_eq!(changed(4, 200), None, "more values than there are");
    assert_eq!(changed(HEAD_LEN, 0xff), None, "values out of order");
    assert_eq!(changed(good.len() - 1, 1), None, "padding that is none");
    for end in [0, 1, HEAD_LEN - 1, HEAD_LEN, good.len() - 1] {
        assert_eq!(decode(&good[..end]), None, "{end} bytes");
    }
}

fn logs() -> impl Strategy<Value = Vec<Log>> {
    let one = (0..4u8, prop::collection::vec(0..4u8, 0..=4)).prop_map(|(address, topics)| log(address, &topics));
    prop::collection::vec(one, 0..3)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Against looking into every block: nothing that matches is left out, and every block named has, for each
    /// place, one of the values asked for.
    #[test]
    fn candidates_agree_with_looking_into_every_block(
        blocks in prop::collection::vec(logs(), 0..40),
        addresses in prop::collection::vec(0..5u8, 0..3),
        topics in prop::collection::vec(prop::collection::vec(0..5u8, 0..3), 0..=4),
    ) {
        let section = section(&blocks);
        let section = Section::decode(LAST, HASH, &section.encode()).unwrap();
        let topics: Vec<&[u8]> = topics.iter().map(Vec::as_slice).collect();
        let found = section.candidates(&places(&addresses, &topics), Height(0), LAST);
        let has = |alternatives: &[u8], byte: u8| alternatives.is_empty() || alternatives.contains(&byte);
        for (index, logs) in blocks.iter().enumerate() {
            let is_found = found.contains(&Height(LOG_SECTION_BLOCKS + index as u64));
            let matches = |log: &Log| {
                has(&addresses, log.address[0])
                    && topics.len() <= log.topics().len()
                    && topics.iter().zip(log.topics()).all(|(alternatives, topic)| has(alternatives, topic[0]))
            };
            prop_assert!(is_found || !logs.iter().any(matches), "block {index} matches and is not named");
            let named = topics.iter().enumerate().filter(|(_, alternatives)| !alternatives.is_empty());
            let mut places_met = named.map(|(place, alternatives)| {
                logs.iter().any(|log| log.topics().get(place).is_some_and(|topic| alternatives.contains(&topic[0])))
            });
            let plausible = logs.iter().any(|log| has(&addresses, log.address[0])) && places_met.all(|met| met);
            prop_assert_eq!(is_found, plausible, "block {}", index);
            let alone = BlockLogs::new(&keys(), &block(logs.clone()));
            let candidates = alone.candidates(&places(&addresses, &topics));
            prop_assert_eq!(!candidates.is_empty(), is_found);
            prop_assert!(candidates.is_sorted_by(|one, two| one < two));
            for (transaction, log) in (0..).zip(logs) {
                prop_assert!(candidates.contains(&transaction) || !matches(log), "log {} matches", transaction);
            }
        }
        prop_assert!(found.iter().all(|height| height.0 < LOG_SECTION_BLOCKS + blocks.len() as u64));
    }
}
