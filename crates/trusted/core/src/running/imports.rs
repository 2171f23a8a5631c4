//! Blocks of Ethereum on their way into the chain: decoded on all cores, executed one after the other in the order
//! they came, and answered once they are committed.

use std::{collections::VecDeque, sync::Arc};

use alloy_primitives::{B256, Bytes};
use cloister_ordering::{Input, Slot};
use cloister_primitives::{Block, Height};

use super::{Errand, Running, pipeline::REACHABLE_HASHES};
use crate::{
    CoreEffect, CoreError, RequestId, Response, WorkId,
    import::{DecodeJob, ForeignBlock, ImportCode, ImportJob, ImportRefusal, Imported},
    machine::Step,
    work::{RecentHashes, Work},
};

/// Blocks taken and not committed yet.
const MAX_WAITING: usize = 256;

/// Blocks before a new one that its ommers may refer to.
const ANCESTORS: u64 = 7;

#[derive(Debug)]
enum Stage {
    /// This piece of work reads it.
    Decoding(WorkId),
    Decoded(Result<Arc<ForeignBlock>, Box<ImportRefusal>>),
}

#[derive(Debug)]
struct Taken {
    id: RequestId,
    block: Arc<ForeignBlock>,
}

/// Blocks to import.
#[derive(Debug, Default)]
pub(super) struct Imports {
    /// As they came.
    waiting: VecDeque<(RequestId, Stage)>,
    /// The block that is to be executed next, or is being executed.
    current: Option<Taken>,
    /// Executed and not committed, oldest first.
    executed: VecDeque<Taken>,
}

impl Running {
    /// Takes a block that was asked to be imported.
    pub(super) fn import(&mut self, id: RequestId, block: Bytes, step: &mut Step<'_>) {
        if let Err(error) = self.accepts_writes() {
            step.out.push(CoreEffect::Reply(id, Err(error)));
            return;
        }
        if !self.spec.is_imported() {
            let expected = "a genesis that says config.cloister.imported";
            let refusal = ImportRefusal::new(ImportCode::NotImported, None, "chain", expected, "another");
            return self.answer_import(id, Imported::Refused(Box::new(refusal)), step);
        }
        if self.imports.waiting.len() >= MAX_WAITING {
            let error = CoreError::Unavailable("too many blocks wait to be imported");
            step.out.push(CoreEffect::Reply(id, Err(error)));
            return;
        }
        let job = DecodeJob { spec: self.spec.clone(), block };
        let work = self.send_work(Work::DecodeBlock(Box::new(job)), Errand::DecodeBlock, step);
        self.imports.waiting.push_back((id, Stage::Decoding(work)));
    }

    fn answer_import(&self, id: RequestId, imported: Imported, step: &mut Step<'_>) {
        self.reply(id, Response::Imported(imported), step);
    }

    pub(super) fn on_block_decoded(
        &mut self,
        work: WorkId,
        decoded: Result<ForeignBlock, ImportRefusal>,
        step: &mut Step<'_>,
    ) {
        let waiting =
            self.imports.waiting.iter_mut().find(|(_, stage)| matches!(stage, Stage::Decoding(at) if *at == work));
        if let Some((_, stage)) = waiting {
            *stage = Stage::Decoded(decoded.map(Arc::new).map_err(Box::new));
        }
        self.advance_imports(step);
    }

    /// Brings the blocks that wait further, until one has to be executed or is still being read.
    fn advance_imports(&mut self, step: &mut Step<'_>) {
        while self.imports.current.is_none() && self.pipeline.built_is_known() {
            let Some((id, stage)) = self.imports.waiting.pop_front_if(|(_, stage)| matches!(stage, Stage::Decoded(_)))
            else {
                return;
            };
            let Stage::Decoded(decoded) = stage else {
                return;
            };
            match decoded.and_then(|block| self.place_of(&block).map(|place| (block, place)).map_err(Box::new)) {
                Err(refusal) => self.answer_import(id, Imported::Refused(refusal), step),
                Ok((block, Place::There)) => self.answer_import(id, Imported::Present(block.facts()), step),
                Ok((block, Place::Next)) => {
                    self.imports.current = Some(Taken { id, block });
                    self.inputs.push_back(Input::Force);
                }
            }
        }
    }

    /// Where a block belongs, before anything in it is looked at.
    fn place_of(&self, block: &ForeignBlock) -> Result<Place, ImportRefusal> {
        let number = block.header.number;
        let Ok(tip) = self.tip() else {
            return Ok(Place::Next);
        };
        let refused = |code, field, expected: B256, found: B256| {
            Err(ImportRefusal::new(code, Some(number), field, expected, found))
        };
        if number > tip.header.number.saturating_add(1) {
            let code = ImportCode::OutOfOrder;
            return Err(ImportRefusal::new(code, Some(number), "number", tip.header.number + 1, number));
        }
        if number == tip.header.number + 1 {
            return match block.header.parent_hash {
                parent if parent == tip.hash => Ok(Place::Next),
                found if number == 1 => refused(ImportCode::ForeignGenesis, "parentHash", tip.hash, found),
                found => refused(ImportCode::Forked, "parentHash", tip.hash, found),
            };
        }
        let code = if number == 0 { ImportCode::ForeignGenesis } else { ImportCode::Forked };
        match self.hash_at(Height(number)) {
            Some(hash) if hash != block.hash => refused(code, "hash", hash, block.hash),
            _ => Ok(Place::There),
        }
    }

    fn hash_at(&self, height: Height) -> Option<B256> {
        let in_flight = self.imports.executed.iter().map(|taken| &taken.block);
        let in_flight = in_flight.clone().find(|block| block.header.number == height.0).map(|block| block.hash);
        in_flight.or_else(|| self.ledger.hash_at(height))
    }

    /// Executes the block that is next to be imported, if there is one, in this slot.
    pub(super) fn build_import(&mut self, slot: Slot, step: &mut Step<'_>) -> bool {
        let Some(taken) = &self.imports.current else {
            return false;
        };
        let block = taken.block.clone();
        let (hashes, ancestors) = (self.reachable_hashes(), self.ancestors());
        let job =
            ImportJob { executor: self.executor.clone(), state: self.ledger.state.clone(), ancestors, hashes, block };
        self.pipeline.begin(slot);
        self.send_work(Work::Import(Box::new(job)), Errand::Build, step);
        true
    }

    fn reachable_hashes(&self) -> RecentHashes {
        let (first, mut hashes) = self.ledger.hashes_up_to(self.ledger.head(), REACHABLE_HASHES);
        hashes.extend(self.pipeline.blocks().map(|block| block.hash));
        RecentHashes { first: first.0, hashes: Arc::new(hashes) }
    }

    fn ancestors(&self) -> Vec<Arc<Block>> {
        let head = self.ledger.head();
        let first = Height((head.0 + 1).saturating_sub(ANCESTORS));
        let mut blocks = self.ledger.resident_range(first, head);
        blocks.extend(self.pipeline.blocks().cloned());
        blocks.reverse();
        blocks
    }

    /// The block that was being imported was executed, or is wrong.
    pub(super) fn import_built(&mut self, refused: Option<Box<ImportRefusal>>, step: &mut Step<'_>) {
        let Some(taken) = self.imports.current.take() else {
            return;
        };
        match refused {
            None => self.imports.executed.push_back(taken),
            Some(refusal) => self.answer_import(taken.id, Imported::Refused(refusal), step),
        }
    }

    /// Goes on with the blocks that wait.
    pub(super) fn imports_go_on(&mut self, step: &mut Step<'_>) {
        if !self.imports.waiting.is_empty() {
            self.advance_imports(step);
        }
    }

    pub(super) fn import_committed(&mut self, height: Height, step: &mut Step<'_>) {
        let imported = self.imports.executed.pop_front_if(|taken| taken.block.header.number == height.0);
        if let Some(taken) = imported {
            self.answer_import(taken.id, Imported::Committed(taken.block.facts()), step);
        }
    }

    /// Blocks that lost their slots are imported again, in their order.
    pub(super) fn imports_discarded(&mut self, from: Height) {
        let mut again = VecDeque::new();
        if let Some(taken) = self.imports.current.take() {
            again.push_back(taken);
            // The engine forgot that it was to build it, or has not heard of it yet.
            if let Some(asked) = self.inputs.iter().rposition(|input| *input == Input::Force) {
                self.inputs.remove(asked);
            }
        }
        while let Some(taken) = self.imports.executed.pop_back_if(|taken| taken.block.header.number >= from.0) {
            again.push_front(taken);
        }
        for taken in again.into_iter().rev() {
            self.imports.waiting.push_front((taken.id, Stage::Decoded(Ok(taken.block))));
        }
    }
}

/// Where a block belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// It is part of the chain already.
    There,
    /// On top of the newest block.
    Next,
}
