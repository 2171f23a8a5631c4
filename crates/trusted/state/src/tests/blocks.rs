//! Sequences of blocks, rewinds, patches and snapshots.

use alloy_primitives::{B256, U256, keccak256};
use alloy_trie::EMPTY_ROOT_HASH;
use cloister_primitives::Height;
use proptest::prelude::*;

use super::model::{Model, address, code, delta};
use crate::view::MAX_PROOF_CHANGES;
use crate::{
    Account, AccountDelta, HistoryLimits, SnapshotCut, SnapshotLoader, State, StateDelta, StateError, StateView,
    StorageCleared,
};

#[derive(Clone, Debug)]
enum Step {
    Apply(StateDelta),
    /// Rewind by this many blocks, as far as there are.
    Rewind(u64),
    Patch(StateDelta),
    /// Begin a snapshot of this many blocks below the tip.
    Cut(u64),
    /// Cut a chunk of every snapshot.
    Chunk,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        10 => delta().prop_map(Step::Apply),
        2 => (0u64..4).prop_map(Step::Rewind),
        2 => delta().prop_map(Step::Patch),
        1 => (0u64..4).prop_map(Step::Cut),
        3 => Just(Step::Chunk),
    ];
    prop::collection::vec(step, 1..24)
}

/// A snapshot in the making with what it must show.
struct Cutting {
    cut: SnapshotCut,
    chunks: Vec<Vec<u8>>,
    model: Model,
}

impl Cutting {
    fn chunk(&mut self, max_bytes: usize) -> bool {
        let chunk = self.cut.next_chunk(max_bytes).unwrap();
        if let Some(chunk) = &chunk {
            assert!(chunk.len() <= max_bytes);
        }
        let more = chunk.is_some();
        self.chunks.extend(chunk);
        more
    }

    fn finish(mut self) {
        while self.chunk(150) {}
        assert_eq!(self.cut.next_chunk(150), Ok(None));
        let mut loader = SnapshotLoader::new(HistoryLimits::default());
        for chunk in &self.chunks {
            loader.push(chunk).unwrap();
        }
        let height = self.cut.height();
        let loaded = loader.finish(height, self.model.root()).unwrap();
        assert_eq!(loaded.stats().slots, self.model.slots());
        assert_eq!(loaded.stats().accounts, self.model.accounts.len() as u64);
        let view = loaded.view(height).unwrap();
        self.model.check(&view);
        self.model.check_proofs(&view);
    }
}

/// The state under test, and all it should remember.
struct Run {
    state: State,
    first: u64,
    /// By height above `first`.
    models: Vec<Model>,
    views: Vec<StateView>,
    cuttings: Vec<Cutting>,
}

impl Run {
    fn new(first: u64) -> Self {
        let state = State::new(HistoryLimits { blocks: 0, bytes: 0 });
        Self { state, first, models: Vec::new(), views: Vec::new(), cuttings: Vec::new() }
    }

    fn tip(&self) -> Height {
        Height(self.first + self.models.len() as u64 - 1)
    }

    fn model(&self) -> Model {
        self.models.last().cloned().unwrap_or_default()
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Apply(delta) => {
                let mut model = self.model();
                model.apply(&delta);
                self.models.push(model);
                let root = self.state.apply(self.tip(), &delta).unwrap();
                assert_eq!(root, self.model().root());
                self.views.push(self.state.view(self.tip()).unwrap());
            }
            _ if self.models.is_empty() => {}
            Step::Rewind(blocks) => {
                let blocks = usize::try_from(blocks).unwrap().min(self.models.len() - 1);
                self.models.truncate(self.models.len() - blocks);
                let root = self.state.rewind(self.tip()).unwrap();
                assert_eq!(root, self.model().root());
                for gone in self.views.drain(self.models.len()..) {
                    assert_unavailable(&gone);
                }
            }
            Step::Patch(delta) => {
                let mut model = self.model();
                model.apply(&delta);
                let root = self.state.patch(&delta).unwrap();
                assert_eq!(root, model.root());
                *self.models.last_mut().unwrap() = model;
                let gone = self.views.pop().unwrap();
                assert_unavailable(&gone);
                self.views.push(self.state.view(self.tip()).unwrap());
            }
            Step::Cut(below) => {
                let at = self.models.len() - 1;
                let at = at.saturating_sub(usize::try_from(below).unwrap());
                let height = Height(self.first + at as u64);
                let cut = self.state.snapshot(height).unwrap();
                assert_eq!(cut.root(), self.models[at].root());
                let model = self.models[at].clone();
                let chunks = Vec::new();
                self.cuttings.push(Cutting { cut, chunks, model });
            }
            Step::Chunk => {
                for cutting in &mut self.cuttings {
                    cutting.chunk(200);
                }
            }
        }
    }

    fn check(&self) {
        assert_eq!(self.state.root(), self.model().root());
        let stats = self.state.stats();
        assert_eq!(stats.slots, self.model().slots());
        assert_eq!(stats.accounts, self.model().accounts.len() as u64);
        for (view, model) in self.views.iter().zip(&self.models) {
            model.check(view);
            model.check_proofs(view);
        }
    }
}

fn assert_unavailable(view: &StateView) {
    let height = view.height();
    let error = Err(StateError::HistoryUnavailable { height });
    assert_eq!(view.storage(address(0), U256::ZERO), error);
    assert!(view.account(address(0)).is_err());
    assert!(view.proof(address(0), &[]).is_err());
    assert!(view.code(B256::ZERO).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn every_height_reads_as_it_was(steps in steps(), first in 0u64..3) {
        let mut run = Run::new(first);
        for step in steps {
            run.step(step);
            run.check();
        }
        for cutting in run.cuttings.drain(..) {
            cutting.finish();
        }
        // Rewinding all the way leaves what the first block left, codes included.
        if !run.models.is_empty() {
            run.step(Step::Rewind(u64::MAX));
            run.check();
            let named: std::collections::BTreeSet<B256> = run
                .model()
                .accounts
                .values()
                .filter(|(account, _)| account.has_code())
                .map(|(account, _)| account.code_hash)
                .collect();
            prop_assert_eq!(run.state.stats().codes, named.len() as u64);
        }
    }
}

fn write(n: u8, slot: u64, value: u64) -> StateDelta {
    StateDelta {
        accounts: vec![AccountDelta {
            address: address(n),
            account: Some(Account::default()),
            storage_cleared: StorageCleared::No,
            storage: vec![(U256::from(slot), U256::from(value))],
        }],
        codes: Vec::new(),
    }
}

#[test]
fn an_empty_state_has_no_heights() {
    let state = State::new(HistoryLimits::default());
    assert_eq!(state.tip(), None);
    assert_eq!(state.root(), EMPTY_ROOT_HASH);
    assert_eq!(state.patch(&StateDelta::default()), Err(StateError::Empty));
    assert_eq!(state.rewind(Height(0)), Err(StateError::Empty));
    let height = Height(0);
    let error = StateError::NotYetApplied { height };
    assert_eq!(state.view(height).unwrap_err(), error);
    assert_eq!(state.snapshot(height).unwrap_err(), error);
}

#[test]
fn blocks_come_one_after_the_other() {
    let state = State::new(HistoryLimits::default());
    state.apply(Height(7), &write(0, 1, 1)).unwrap();
    let expected = Height(8);
    for got in [Height(7), Height(9), Height(0)] {
        let error = StateError::NotNext { expected, got };
        assert_eq!(state.apply(got, &write(0, 1, 2)), Err(error));
    }
    assert_eq!(state.tip(), Some(Height(7)));
    assert_eq!(state.oldest(), Height(7));
}

#[test]
fn code_must_be_known() {
    let state = State::new(HistoryLimits::default());
    let mut delta = write(0, 1, 1);
    let code_hash = B256::repeat_byte(9);
    delta.accounts[0].account = Some(Account { code_hash, ..Account::default() });
    let address = address(0);
    let error = StateError::UnknownCode { address, code_hash };
    assert_eq!(state.apply(Height(0), &delta), Err(error));
    assert_eq!(state.tip(), None);
    assert_eq!(state.root(), EMPTY_ROOT_HASH);
}

#[test]
fn history_is_forgotten_within_its_limits() {
    let limits = HistoryLimits { blocks: 0, bytes: 0 };
    let state = State::new(limits);
    for height in 0..300 {
        state.apply(Height(height), &write(0, height, height + 1)).unwrap();
    }
    // Nothing is committed but the first.
    assert_eq!(state.oldest(), Height(0));
    state.set_committed(Height(100));
    let old = state.view(Height(50)).unwrap();
    state.apply(Height(300), &write(0, 300, 301)).unwrap();
    assert_eq!(state.oldest(), Height(100));
    assert_unavailable(&old);
    let height = Height(99);
    let error = StateError::HistoryUnavailable { height };
    assert_eq!(state.view(height).unwrap_err(), error);
    assert_eq!(state.rewind(height), Err(error));
    state.set_committed(Height(300));
    state.apply(Height(301), &write(0, 301, 302)).unwrap();
    assert_eq!(state.oldest(), Height(301 - 128));
    assert_eq!(state.stats().history_blocks, 128);
    let oldest = state.view(state.oldest()).unwrap();
    for slot in 0..302 {
        let value = if slot <= 173 { slot + 1 } else { 0 };
        let read = oldest.storage(address(0), U256::from(slot));
        assert_eq!(read, Ok(U256::from(value)));
    }
    let root = oldest.root();
    assert_eq!(state.rewind(Height(173)), Ok(root));
    assert_eq!(state.stats().slots, 174);
}

#[test]
fn history_beyond_the_least_is_kept_within_the_budget() {
    let limits = HistoryLimits { blocks: 200, bytes: 8 << 20 };
    let state = State::new(limits);
    for height in 0..1000 {
        state.apply(Height(height), &write(0, height % 5, height + 1)).unwrap();
        state.set_committed(Height(height));
    }
    assert_eq!(state.oldest(), Height(0));
    for height in 0..1000u64 {
        let view = state.view(Height(height)).unwrap();
        for slot in 0..5 {
            let last = (0..=height).rev().find(|h| h % 5 == slot);
            let value = last.map_or(U256::ZERO, |h| U256::from(h + 1));
            assert_eq!(view.storage(address(0), U256::from(slot)), Ok(value));
        }
    }
}

#[test]
fn large_blocks_go_in_slices() {
    let state = State::new(HistoryLimits::default());
    let mut model = Model::default();
    let storage =
        |from: u64, to: u64, value: u64| (from..to).map(|slot| (U256::from(slot), U256::from(value))).collect();
    let mut blocks = [write(0, 0, 1), write(0, 0, 1), write(0, 0, 1), write(1, 1, 1)];
    blocks[0].accounts[0].storage = storage(0, 3000, 5);
    blocks[1].accounts[0].storage = storage(1000, 4000, 6);
    blocks[2].accounts[0].storage_cleared = StorageCleared::Yes;
    blocks[2].accounts[0].storage = storage(10, 1500, 7);
    blocks[3].accounts.insert(
        0,
        AccountDelta { address: address(0), account: None, storage_cleared: StorageCleared::No, storage: Vec::new() },
    );
    let mut models = Vec::new();
    for (height, delta) in blocks.iter().enumerate() {
        model.apply(delta);
        let root = state.apply(Height(height as u64), delta).unwrap();
        assert_eq!(root, model.root());
        models.push(model.clone());
    }
    for (height, model) in models.iter().enumerate() {
        let view = state.view(Height(height as u64)).unwrap();
        model.check(&view);
        model.check_proofs(&view);
    }
    for (height, model) in models.iter().enumerate().rev() {
        assert_eq!(state.rewind(Height(height as u64)), Ok(model.root()));
        assert_eq!(state.stats().slots, model.slots());
    }
}

#[test]
fn a_dropped_cut_is_unpinned() {
    let state = State::new(HistoryLimits::default());
    state.apply(Height(0), &write(0, 1, 1)).unwrap();
    let cut = state.snapshot(Height(0)).unwrap();
    drop(cut);
    let mut cut = state.snapshot(Height(0)).unwrap();
    state.apply(Height(1), &write(0, 1, 2)).unwrap();
    let error = cut.next_chunk(127).unwrap_err();
    assert_eq!(error.to_string(), "snapshot: chunks of 127 bytes cannot hold a record; 128 are needed");
    assert!(cut.next_chunk(1 << 20).unwrap().is_some());
    assert_eq!(cut.next_chunk(1 << 20), Ok(None));
}

#[test]
fn a_proof_through_too_many_changes_is_refused() {
    let state = State::new(HistoryLimits::default());
    state.apply(Height(0), &write(0, 1, 1)).unwrap();
    let mut large = write(0, 1, 1);
    let changes = MAX_PROOF_CHANGES + 1;
    large.accounts[0].storage = (0..changes).map(|slot| (U256::from(slot), U256::from(5))).collect();
    state.apply(Height(1), &large).unwrap();
    let height = Height(0);
    let view = state.view(height).unwrap();
    assert!(view.proof(address(0), &[]).is_ok());
    let changes = changes + 1;
    let error = StateError::ProofTooOld { height, changes };
    assert_eq!(view.proof(address(0), &[U256::ONE]), Err(error));
    assert_eq!(view.storage(address(0), U256::ONE), Ok(U256::ONE));
    assert!(state.view(Height(1)).unwrap().proof(address(0), &[U256::ONE]).is_ok());
}

#[test]
fn code_goes_when_history_forgets_its_last_account() {
    let state = State::new(HistoryLimits { blocks: 0, bytes: 0 });
    let mut deploy = write(0, 1, 1);
    deploy.codes = vec![code(1)];
    deploy.accounts[0].account = Some(Account { code_hash: keccak256(code(1)), ..Account::default() });
    state.apply(Height(0), &deploy).unwrap();
    // The code is replaced, as an EIP-7702 delegation may be, but history names it.
    state.apply(Height(1), &write(0, 1, 2)).unwrap();
    assert_eq!(state.stats().codes, 1);
    for height in 2..200 {
        state.set_committed(Height(height - 1));
        state.apply(Height(height), &write(0, 1, height)).unwrap();
    }
    assert_eq!(state.stats().codes, 0);
    assert_eq!(state.view(Height(199)).unwrap().code(keccak256(code(1))), Ok(None));
}
