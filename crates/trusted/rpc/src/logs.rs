//! Log queries: criteria, matching, bounds.

use alloy_eips::BlockNumberOrTag;
use alloy_primitives::{Address, B256, Bloom, BloomInput, Log};
use cloister_core::SeenBlock;
use cloister_primitives::{Code, Height};
use jsonrpsee::core::RegisterMethodError;
use serde::Deserialize;

use crate::{
    MethodCall, MethodInfo, Registry,
    convert::{LogJson, Place, Text},
    errors::{self, RpcResult},
    log_search,
    params::{Field, Json, Param, object},
};

/// Topics that a log has at most.
const MAX_TOPICS: usize = 4;

/// Which blocks a query is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum LogBlocks {
    /// One block.
    Hash(B256),
    /// From one to another, both included; `latest` where nothing is said.
    Range { from: Option<BlockNumberOrTag>, to: Option<BlockNumberOrTag> },
}

/// What logs to look for. Nothing in a place means anything.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct LogFilter {
    pub(crate) blocks: LogBlocks,
    addresses: Vec<Address>,
    topics: Vec<Vec<B256>>,
    /// For each place that is not a wildcard, the bits that each alternative sets.
    blooms: Vec<Vec<Bloom>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Object {
    block_hash: Option<Field<B256>>,
    from_block: Option<Field<BlockNumberOrTag>>,
    to_block: Option<Field<BlockNumberOrTag>>,
    address: Option<OneOrMany<Address>>,
    topics: Option<Vec<Option<OneOrMany<B256>>>>,
}

/// A value, or an array of values of which one must match; `null` among them matches all.
enum OneOrMany<T> {
    One(T),
    Many(Vec<Option<Field<T>>>),
}

impl<'de, T: Param> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // As text first: which of the two it is decides how it is read, and whose error is told.
        let raw = <&serde_json::value::RawValue>::deserialize(deserializer)?;
        if raw.get().starts_with('[') {
            let Json(many) = Json::decode(raw.get()).map_err(serde::de::Error::custom)?;
            return Ok(Self::Many(many));
        }
        T::decode(raw.get()).map(Self::One).map_err(serde::de::Error::custom)
    }
}

impl<T> OneOrMany<T> {
    fn into_alternatives(self) -> Vec<T> {
        match self {
            Self::One(value) => vec![value],
            Self::Many(values) if values.iter().any(Option::is_none) => Vec::new(),
            Self::Many(values) => values.into_iter().flatten().map(|Field(value)| value).collect(),
        }
    }
}

impl Param for LogFilter {
    fn decode(json: &str) -> Result<Self, String> {
        let object: Object = object(json, "filters.FilterCriteria")?;
        let blocks = match (object.block_hash, object.from_block, object.to_block) {
            (Some(Field(hash)), None, None) => LogBlocks::Hash(hash),
            (Some(_), _, _) => {
                return Err("cannot specify both BlockHash and FromBlock/ToBlock, choose one or the other".to_owned());
            }
            (None, from, to) => {
                LogBlocks::Range { from: from.map(|Field(number)| number), to: to.map(|Field(number)| number) }
            }
        };
        let addresses = object.address.map(OneOrMany::into_alternatives);
        let topics = object.topics.unwrap_or_default();
        if topics.len() > MAX_TOPICS {
            return Err("exceed max topics".to_owned());
        }
        let topics =
            topics.into_iter().map(|topic| topic.map(OneOrMany::into_alternatives).unwrap_or_default()).collect();
        Ok(Self::new(blocks, addresses.unwrap_or_default(), topics))
    }
}

impl LogFilter {
    fn new(blocks: LogBlocks, addresses: Vec<Address>, topics: Vec<Vec<B256>>) -> Self {
        let mut blooms = Vec::new();
        if !addresses.is_empty() {
            blooms.push(addresses.iter().map(|address| bloom_of(address.as_slice())).collect());
        }
        for alternatives in topics.iter().filter(|alternatives| !alternatives.is_empty()) {
            blooms.push(alternatives.iter().map(|topic| bloom_of(topic.as_slice())).collect());
        }
        Self { blocks, addresses, topics, blooms }
    }

    /// Refuses more addresses and topics than one filter may name.
    pub(crate) fn check(&self, limit: usize) -> RpcResult<()> {
        let named = self.addresses.len() + self.topics.iter().map(Vec::len).sum::<usize>();
        if named > limit {
            return Err(errors::invalid_params("exceed max addresses or topics per search position"));
        }
        Ok(())
    }

    /// Refuses a range that ends before it begins, where both ends are numbers.
    pub(crate) fn check_order(&self) -> RpcResult<()> {
        use BlockNumberOrTag::Number;
        match self.blocks {
            LogBlocks::Range { from: Some(Number(from)), to: Some(Number(to)) } if from > to => {
                Err(errors::code(Code::InvalidBlockRange))
            }
            _ => Ok(()),
        }
    }

    /// Whether a block or a receipt with this bloom may have a match.
    fn may_match(&self, bloom: &Bloom) -> bool {
        self.blooms.iter().all(|alternatives| alternatives.iter().any(|bits| bloom.contains(bits)))
    }

    pub(crate) fn matches(&self, log: &Log) -> bool {
        let topics = log.topics();
        (self.addresses.is_empty() || self.addresses.contains(&log.address))
            && self.topics.len() <= topics.len()
            && self
                .topics
                .iter()
                .zip(topics)
                .all(|(alternatives, topic)| alternatives.is_empty() || alternatives.contains(topic))
    }

    /// Addresses of which one must match; none where any does.
    pub(crate) fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// For each position topics of which one must match; none where any does.
    pub(crate) fn topics(&self) -> &[Vec<B256>] {
        &self.topics
    }

    /// The matching logs of one block, as far as its reader may see them.
    pub(crate) fn of_block(&self, block: &SeenBlock) -> Vec<FoundLog> {
        let mut found = Vec::new();
        self.collect_from(block, &mut found);
        found
    }

    /// The matching logs of some transactions of one block, as far as its reader may see them.
    pub(crate) fn of_transactions(&self, block: &SeenBlock, indexes: Vec<u32>) -> Vec<FoundLog> {
        let mut found = Vec::new();
        for index in indexes {
            self.collect_at(block, index, &mut found);
        }
        found
    }

    /// Adds the matching logs of one block, as far as its reader may see them.
    pub(crate) fn collect_from(&self, block: &SeenBlock, found: &mut Vec<FoundLog>) {
        // A shortcut only: on a confidential chain the header's filter never says no.
        if !self.may_match(&block.header().logs_bloom) {
            return;
        }
        for index in (0..).take(block.transaction_count()) {
            self.collect_at(block, index, found);
        }
    }

    fn collect_at(&self, block: &SeenBlock, index: u32, found: &mut Vec<FoundLog>) {
        let Some(transaction_hash) = block.transaction_hash(index) else {
            return;
        };
        let matching = block.logs_where(index, |log| self.matches(log));
        found.extend(matching.map(|seen| FoundLog {
            log: seen.log.clone(),
            log_index: seen.log_index,
            place: Place::new(block, index),
            transaction_hash,
        }));
    }
}

fn bloom_of(bytes: &[u8]) -> Bloom {
    let mut bloom = Bloom::default();
    bloom.accrue(BloomInput::Raw(bytes));
    bloom
}

/// A log that a query found.
#[derive(Clone, Debug)]
pub(crate) struct FoundLog {
    log: Log,
    log_index: u64,
    place: Place,
    transaction_hash: B256,
}

impl Text for FoundLog {
    fn write(&self, out: &mut Vec<u8>) {
        let Self { log, log_index, place, transaction_hash } = self;
        LogJson { log, log_index: *log_index, place: *place, transaction_hash: *transaction_hash }.write(out);
    }
}

/// The heights of a range, or `None` if it lies behind the head and so is empty.
fn heights(
    call: &MethodCall,
    from: Option<BlockNumberOrTag>,
    to: Option<BlockNumberOrTag>,
) -> RpcResult<Option<(Height, Height)>> {
    let head = call.context.ledger.head();
    let first = call.height_of(from.unwrap_or(BlockNumberOrTag::Latest));
    let last = call.height_of(to.unwrap_or(BlockNumberOrTag::Latest));
    let to_is_number = matches!(to, Some(BlockNumberOrTag::Number(_)));
    match () {
        // A poller that asks from the next block to `latest` is not wrong, only early.
        () if !to_is_number && first > head => Ok(None),
        () if first > last => Err(errors::code(Code::InvalidBlockRange)),
        () if last > head => Err(errors::invalid_params("block range extends beyond current head block")),
        () => Ok(Some((first, last))),
    }
}

/// All logs that match, within bounds of blocks and results.
pub(crate) async fn find(call: &MethodCall, filter: &LogFilter) -> RpcResult<Vec<FoundLog>> {
    filter.check(call.context.limits.log_criteria)?;
    match filter.blocks {
        LogBlocks::Hash(hash) => {
            let block = call.block_by_hash(hash).await?;
            let block = block.ok_or_else(|| errors::server_error("unknown block"))?;
            let found = filter.of_block(&block);
            within_bounds(call, &found)?;
            Ok(found)
        }
        LogBlocks::Range { from, to } => match heights(call, from, to)? {
            Some((first, last)) => find_between(call, filter, first, last).await,
            None => Ok(Vec::new()),
        },
    }
}

/// Refuses to go on with more than one answer may carry.
pub(crate) fn within_bounds(call: &MethodCall, found: &[FoundLog]) -> RpcResult<()> {
    if found.len() > call.context.limits.log_results {
        return Err(errors::code(Code::TooManyResults));
    }
    Ok(())
}

/// All logs that match in the blocks from `first` to `last`.
pub(crate) async fn find_between(
    call: &MethodCall,
    filter: &LogFilter,
    first: Height,
    last: Height,
) -> RpcResult<Vec<FoundLog>> {
    if last.0.saturating_sub(first.0) >= call.context.limits.log_range_blocks {
        return Err(errors::code(Code::BlockRangeTooWide));
    }
    log_search::search(call, filter, first, last).await
}

pub(crate) async fn get_logs(call: MethodCall) -> RpcResult<Vec<FoundLog>> {
    let (filter,) = call.params::<(LogFilter,)>()?;
    find(&call, &filter).await
}

pub(crate) fn register(registry: &mut Registry) -> Result<(), RegisterMethodError> {
    registry.text(MethodInfo::new("eth_getLogs", "filter -> logs", "Logs by place, contract and topics."), get_logs)?;
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use alloy_primitives::{Bytes, address};

    use super::*;

    const CONTRACT: Address = address!("7dcd17433742f4c0ca53122ab541d0ba67fc27df");

    fn log(topics: &[u8]) -> Log {
        let topics = topics.iter().map(|topic| B256::repeat_byte(*topic)).collect();
        Log::new(CONTRACT, topics, Bytes::new()).unwrap()
    }

    fn filter(topics: &str) -> LogFilter {
        LogFilter::decode(&format!("{{\"topics\":{topics}}}")).unwrap()
    }

    fn topic(byte: u8) -> String {
        format!("\"{}\"", B256::repeat_byte(byte))
    }

    #[test]
    fn topics_match_by_place_with_alternatives_and_wildcards() {
        let (one, two, three) = (topic(1), topic(2), topic(3));
        let seen = log(&[1, 2]);
        let matches = |topics: &str| filter(topics).matches(&seen);
        assert!(matches("[]"));
        assert!(matches(&format!("[{one}]")));
        assert!(matches(&format!("[null,{two}]")));
        assert!(matches(&format!("[[],[{two}]]")));
        assert!(matches(&format!("[[{three},{one}]]")));
        assert!(matches(&format!("[[{three},null]]")));
        assert!(!matches(&format!("[{two}]")));
        assert!(!matches("[null,null,null]"), "a log with two topics has no third");
        assert!(!filter(&format!("[{one}]")).matches(&log(&[])));
    }

    #[test]
    fn addresses_are_one_or_many() {
        let other = Address::ZERO;
        for (json, expected) in [
            (format!("\"{CONTRACT}\""), true),
            (format!("[\"{other}\",\"{CONTRACT}\"]"), true),
            ("[]".to_owned(), true),
            ("null".to_owned(), true),
            (format!("\"{other}\""), false),
        ] {
            let filter = LogFilter::decode(&format!("{{\"address\":{json}}}")).unwrap();
            assert_eq!(filter.matches(&log(&[1])), expected, "{json}");
        }
    }

    #[test]
    fn the_bloom_admits_what_matches_and_little_else() {
        let seen = log(&[1, 2]);
        let bloom: Bloom = [&seen].into_iter().collect();
        assert!(filter(&format!("[{},{}]", topic(1), topic(2))).may_match(&bloom));
        assert!(filter("[]").may_match(&bloom));
        assert!(!filter(&format!("[{}]", topic(9))).may_match(&bloom));
        assert!(filter(&format!("[[{},{}]]", topic(9), topic(2))).may_match(&bloom));
    }

    #[test]
    fn wrong_filters_say_what_geth_says() {
        let hash = B256::ZERO;
        let both = format!("{{\"blockHash\":\"{hash}\",\"fromBlock\":\"0x3\"}}");
        assert_eq!(
            LogFilter::decode(&both).unwrap_err(),
            "cannot specify both BlockHash and FromBlock/ToBlock, choose one or the other"
        );
        assert_eq!(LogFilter::decode("{\"topics\":[null,null,null,null,null]}").unwrap_err(), "exceed max topics");
        assert_eq!(LogFilter::decode("{\"fromBlock\":\"3\"}").unwrap_err(), "hex string without 0x prefix");
        let wide = filter(&format!("[[{},{}]]", topic(1), topic(2)));
        assert!(wide.check(2).is_ok());
        assert_eq!(wide.check(1).unwrap_err().code(), -32602);
    }
}
