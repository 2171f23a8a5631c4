//! From the host's `Start` to a running node: genesis, the newest snapshot, the blocks after it.
//!
//! One read is in flight at a time. Blocks up to the snapshot are read for the index alone; then the
//! snapshot's chunks become the state, checked against the root of the block it was cut at; later
//! blocks are applied one by one.

use std::sync::Arc;

use cloister_access::{Access, Development};
use cloister_boundary::{FromEnclave, HaltCode, ReadId, StartInfo, StoredSnapshot, ToEnclave};
use cloister_execution::{Executor, Open};
use cloister_keys::{Epoch, Incarnation, LedgerKeys, PlatformKey, Sealed, SnapshotAad, SnapshotChunk};
use cloister_primitives::{ChainSpec, Height, genesis::Genesis};
use cloister_state::{SnapshotLoader, State};

use crate::{
    BlockRecord, CoreOptions, Fatal, Ledger, Opened,
    machine::Step,
    replay::{Replay, apply_record, genesis_record},
    running::{Parts, Running},
};

/// Blocks asked for at a time.
const BLOCKS_PER_READ: u32 = 64;

/// Where the restart stands.
enum Stage {
    /// Reading blocks; the snapshot, if any, comes after its own block.
    Blocks,
    /// Reading this chunk.
    Chunk {
        index: u32,
        /// That of the first chunk: chunks of two snapshots do not mix.
        incarnation: Option<Incarnation>,
        loader: SnapshotLoader,
    },
}

/// A restart in progress.
pub(crate) struct Boot {
    options: CoreOptions,
    spec: Arc<ChainSpec>,
    executor: Arc<Executor>,
    keys: Arc<LedgerKeys>,
    genesis: BlockRecord,
    /// The state so far: genesis', until a snapshot replaces it.
    ledger: Ledger,
    /// Blocks of the log up to and including this height; `None` for an empty log.
    last: Option<Height>,
    snapshot: Option<StoredSnapshot>,
    snapshots: Vec<StoredSnapshot>,
    replay: Replay,
    stage: Stage,
    read: ReadId,
    waiting: bool,
}

impl Boot {
    pub(crate) fn begin(info: StartInfo, options: CoreOptions) -> Result<Self, Fatal> {
        let bad_genesis = |_| Fatal::new(HaltCode::BadGenesis, "the genesis file is not valid");
        let (genesis, _) = Genesis::parse(&info.genesis).map_err(bad_genesis)?;
        let spec = Arc::new(ChainSpec::new(genesis).map_err(bad_genesis)?);
        let platform_key = PlatformKey::from_bytes(&info.platform_key)
            .map_err(|_| Fatal::new(HaltCode::WrongKey, "the sealing key has a wrong length"))?;
        let state = State::new(options.history);
        let genesis = genesis_record(&spec, &state)?;
        let keys = Arc::new(LedgerKeys::derive(
            &platform_key,
            spec.chain_id(),
            genesis.block.hash,
            Epoch(0),
        ));
        check_bounds(&info)?;
        let development = match options.development {
            Development::Allowed if spec.is_development() => Development::Allowed,
            _ => Development::Refused,
        };
        let ledger = Ledger::new(
            spec.clone(),
            state,
            Access::open(development),
            options.resident,
        );
        Ok(Self {
            executor: Arc::new(Executor::new(spec.clone(), Arc::new(Open))),
            replay: Replay::new(keys.clone(), genesis.block.header.parent_hash),
            last: info.log.last,
            snapshot: info.snapshots.last().copied(),
            snapshots: info.snapshots,
            stage: Stage::Blocks,
            read: ReadId(0),
            waiting: false,
            options,
            spec,
            keys,
            genesis,
            ledger,
        })
    }

    /// Asks for what comes next, or ends the restart.
    pub(crate) fn advance(&mut self, step: &mut Step<'_>) -> Result<Option<Running>, Fatal> {
        let Some(last) = self.last else {
            return self.finish(step, Some(self.genesis.clone())).map(Some);
        };
        let next = self.replay.expected();
        let request = match &self.stage {
            Stage::Chunk { index, .. } => FromEnclave::ReadChunk {
                id: self.next_read(),
                snapshot: self.snapshot_height(),
                index: *index,
            },
            Stage::Blocks if next > last => return self.finish(step, None).map(Some),
            Stage::Blocks => {
                // Stop at the snapshot's block, to load the state before anything later is applied.
                let upto = match self.snapshot {
                    Some(snapshot) if next <= snapshot.height => snapshot.height,
                    _ => last,
                };
                let count = (upto.0 - next.0 + 1).min(u64::from(BLOCKS_PER_READ));
                FromEnclave::ReadBlocks {
                    id: self.next_read(),
                    from: next,
                    count: u32::try_from(count).unwrap_or(BLOCKS_PER_READ),
                }
            }
        };
        self.read = ReadId(self.read.0 + 1);
        self.waiting = true;
        step.host(request);
        Ok(None)
    }

    const fn next_read(&self) -> ReadId {
        ReadId(self.read.0 + 1)
    }

    fn snapshot_height(&self) -> Height {
        self.snapshot
            .map_or(Height::GENESIS, |snapshot| snapshot.height)
    }

    pub(crate) fn on_host(
        &mut self,
        message: ToEnclave,
        step: &mut Step<'_>,
    ) -> Result<Option<Running>, Fatal> {
        match message {
            ToEnclave::Blocks { id, blocks } if self.expects(id) => self.on_blocks(blocks)?,
            ToEnclave::Chunk { id, bytes } if self.expects(id) => self.on_chunk(bytes)?,
            ToEnclave::ReadFailed { id, .. } if self.expects(id) => {
                return Err(Fatal::new(
                    HaltCode::StorageFailed,
                    "the host could not read the stored log",
                ));
            }
            ToEnclave::Blocks { .. } | ToEnclave::Chunk { .. } | ToEnclave::ReadFailed { .. } => {
                step.warn("the host answered a read that was not asked for");
                return Ok(None);
            }
            ToEnclave::Shutdown => {
                return Err(Fatal::new(HaltCode::ShutDown, "stopped while starting"));
            }
            _ => return Ok(None),
        }
        self.waiting = false;
        self.advance(step)
    }

    fn expects(&self, id: ReadId) -> bool {
        self.waiting && id == self.read
    }

    fn on_blocks(&mut self, blocks: Vec<Option<Vec<u8>>>) -> Result<(), Fatal> {
        if blocks.is_empty() {
            return Err(Fatal::new(
                HaltCode::HostMisbehaved,
                "the host answered a read with nothing",
            ));
        }
        for blob in blocks {
            self.on_block(blob)?;
        }
        Ok(())
    }

    fn on_block(&mut self, blob: Option<Vec<u8>>) -> Result<(), Fatal> {
        let height = self.replay.expected();
        if self.last.is_none_or(|last| height > last) {
            return Err(Fatal::new(
                HaltCode::HostMisbehaved,
                "the host answered a read with more than was asked for",
            ));
        }
        let blob = blob.ok_or_else(|| {
            Fatal::at(HaltCode::DamagedLog, "a stored block is missing", height.0)
        })?;
        let record = self.replay.next(blob).map_err(|fatal| {
            if height == Height::GENESIS {
                Fatal::new(
                    HaltCode::ForeignLog,
                    "the stored log belongs to another chain or was sealed with another key",
                )
            } else {
                fatal
            }
        })?;
        if height == Height::GENESIS {
            if record.block.hash != self.genesis.block.hash {
                return Err(Fatal::new(
                    HaltCode::ForeignLog,
                    "the stored log starts with another genesis block",
                ));
            }
        } else if self.snapshot.is_none_or(|snapshot| height > snapshot.height) {
            apply_record(&self.ledger.state, &record)?;
        }
        self.ledger.push(record.block);
        if let Some(snapshot) = self.snapshot
            && snapshot.height == height
        {
            self.stage = Stage::Chunk {
                index: 0,
                incarnation: None,
                loader: SnapshotLoader::new(self.options.history),
            };
            if snapshot.chunks == 0 {
                return self.finish_snapshot();
            }
        }
        Ok(())
    }

    fn on_chunk(&mut self, bytes: Option<Vec<u8>>) -> Result<(), Fatal> {
        let height = self.snapshot_height();
        let chunks = self.snapshot.map_or(0, |snapshot| snapshot.chunks);
        let Stage::Chunk {
            index,
            incarnation,
            loader,
        } = &mut self.stage else {
            return Ok(());
        };
        let damaged = |detail| Fatal::at(HaltCode::DamagedLog, detail, height.0);
        let bytes = bytes.ok_or_else(|| damaged("a stored snapshot chunk is missing"))?;
        let sealed = Sealed::<SnapshotChunk>::from_bytes(bytes)
            .map_err(|_| damaged("a stored snapshot chunk is malformed"))?;
        let aad = SnapshotAad {
            snapshot: height,
            index: *index,
            incarnation: *incarnation.get_or_insert_with(|| sealed.incarnation()),
        };
        let chunk = self
            .keys
            .open_chunk(&aad, sealed)
            .map_err(|_| damaged("a stored snapshot chunk is not authentic"))?;
        loader
            .push(&chunk)
            .map_err(|_| damaged("a stored snapshot chunk cannot be read by this version"))?;
        *index += 1;
        if *index == chunks {
            self.finish_snapshot()?;
        }
        Ok(())
    }

    fn finish_snapshot(&mut self) -> Result<(), Fatal> {
        let height = self.snapshot_height();
        let damaged = |detail| Fatal::at(HaltCode::DamagedLog, detail, height.0);
        let Stage::Chunk { loader, .. } = core::mem::replace(&mut self.stage, Stage::Blocks) else {
            return Ok(());
        };
        let block = self
            .ledger
            .head_block()
            .ok_or_else(|| damaged("a snapshot without its block"))?;
        self.ledger.state = loader
            .finish(height, block.commitments.state.root)
            .map_err(|_| damaged("a stored snapshot leads to another state root"))?;
        Ok(())
    }

    fn finish(
        &mut self,
        step: &mut Step<'_>,
        fresh: Option<BlockRecord>,
    ) -> Result<Running, Fatal> {
        if let Some(record) = &fresh {
            self.ledger.push(record.block.clone());
        }
        let head = self.ledger.head();
        self.ledger.state.set_committed(head);
        let parts = Parts {
            options: self.options.clone(),
            spec: self.spec.clone(),
            executor: self.executor.clone(),
            keys: self.keys.clone(),
            ledger: self.ledger.clone(),
            snapshots: self.snapshots.clone(),
        };
        let running = Running::start(parts, fresh, step)?;
        step.out.push(crate::CoreEffect::Opened(Opened {
            ledger: self.ledger.clone(),
            executor: self.executor.clone(),
        }));
        step.host(FromEnclave::Ready {
            chain_id: self.spec.chain_id(),
            genesis_hash: self.genesis.block.hash.0,
            head,
        });
        Ok(running)
    }
}

/// What the host claims to have stored must at least be possible.
fn check_bounds(info: &StartInfo) -> Result<(), Fatal> {
    let damaged = |detail| Err(Fatal::new(HaltCode::DamagedLog, detail));
    match (info.log.first, info.log.last) {
        (None, None) if info.snapshots.is_empty() => Ok(()),
        (None, None) => damaged("there are snapshots but no blocks"),
        (Some(Height::GENESIS), Some(last)) => {
            let beyond = info.snapshots.iter().any(|snapshot| snapshot.height > last);
            let ordered = info
                .snapshots
                .is_sorted_by(|one, other| one.height < other.height);
            if beyond || !ordered {
                return damaged("a snapshot is newer than the newest block");
            }
            Ok(())
        }
        _ => damaged("the stored log does not start at the genesis block"),
    }
}
