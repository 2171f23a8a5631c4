//! From the host's `Start` to a running node: genesis, the newest snapshot, the blocks after it.
//!
//! One read is in flight at a time. Blocks up to the snapshot are read for the index alone; then the
//! snapshot's chunks become the state, checked against the root of the block it was cut at; later
//! blocks are applied one by one.

use std::sync::Arc;

use alloy_primitives::{Address, Bytes};
use cloister_access::{Access, Development, RulesInForce};
use cloister_boundary::{FromEnclave, HaltCode, ReadId, StartInfo, StoredSnapshot, ToEnclave};
use cloister_execution::{Executor, Open};
use cloister_governance::RecoveryRefusal;
use cloister_primitives::{
    ChainSpec, Confidentiality, DETERMINISTIC_DEPLOYER_ADDRESS, DETERMINISTIC_DEPLOYER_CODE, Height,
    MULTICALL3_ADDRESS, MULTICALL3_CODE, NODES_ADDRESS, NODES_CODE, VISIBILITY_ADDRESS, VISIBILITY_CODE,
};

use crate::{
    BlockRecord, CoreOptions, Fatal, Ledger, Opened, RecoveryRequest,
    ledger::Resident,
    machine::Step,
    network_boot::NetworkBoot,
    notes,
    recovery::Recovering,
    replay::{Origin, Replay, SnapshotReplay, apply_record},
    running::{Parts, Running},
};

/// Blocks asked for at a time.
const BLOCKS_PER_READ: u64 = 64;

/// Accounts to which genesis gives the code that everybody knows them by. Where it comes there later, that is its sender's to tell.
fn published_code(spec: &ChainSpec) -> Arc<[Address]> {
    let known = [
        (DETERMINISTIC_DEPLOYER_ADDRESS, &DETERMINISTIC_DEPLOYER_CODE),
        (MULTICALL3_ADDRESS, &MULTICALL3_CODE),
        (VISIBILITY_ADDRESS, &VISIBILITY_CODE),
        (NODES_ADDRESS, &NODES_CODE),
    ];
    let alloc = &spec.genesis().alloc;
    let is_given = |address: &Address, code: &Bytes| alloc.get(address).is_some_and(|account| account.code == *code);
    known.into_iter().filter(|known| is_given(&known.0, known.1)).map(|(address, _)| address).collect()
}

/// What a restart ends in.
pub(crate) enum Booted {
    /// A node.
    Running(Box<Running>),
    /// The answer to who would recover the network.
    Recovering(Recovering),
}

/// A restart in progress.
pub(crate) struct Boot {
    options: CoreOptions,
    origin: Origin,
    executor: Arc<Executor>,
    /// The state so far: genesis', until a snapshot replaces it.
    ledger: Ledger,
    /// Blocks of the log up to and including this height; `None` for an empty log.
    last: Option<Height>,
    snapshots: Vec<StoredSnapshot>,
    replay: Replay,
    /// The snapshot that is still to be read, or is being read.
    snapshot: Option<SnapshotReplay>,
    read: ReadId,
    waiting: bool,
    /// As the host kept them.
    notes: Option<Vec<u8>>,
    network: Option<NetworkBoot>,
}

impl Boot {
    pub(crate) fn begin(info: StartInfo, options: CoreOptions) -> Result<Self, Fatal> {
        check_bounds(&info)?;
        let ledger_key = info.membership.as_ref().map_or(&info.platform_key, |membership| &membership.network_key);
        let origin = Origin::new(&info.genesis, ledger_key, options.history)?;
        let network = NetworkBoot::begin(&info, &origin)?;
        let development = match options.development {
            // Nothing on an imported chain is anybody's secret.
            Development::Allowed if origin.spec.is_development() || origin.spec.is_imported() => Development::Allowed,
            _ => Development::Refused,
        };
        let ledger = Ledger::new(
            origin.spec.clone(),
            origin.keys.clone(),
            origin.state.clone(),
            match origin.spec.confidentiality() {
                Confidentiality::Off => Access::open(development),
                Confidentiality::On => Access::confidential().with_published_code(published_code(&origin.spec)),
            },
            options.resident,
        );
        let last = network.as_ref().map_or(info.log.last, |network| network.last(info.log.last));
        let snapshot =
            info.snapshots.last().map(|snapshot| SnapshotReplay::new(origin.keys.clone(), *snapshot, options.history));
        Ok(Self {
            notes: info.meta,
            executor: Arc::new(executor(&ledger)),
            replay: Replay::new(origin.keys.clone(), origin.genesis.block.header.parent_hash),
            last,
            network,
            snapshots: info.snapshots,
            snapshot,
            read: ReadId(0),
            waiting: false,
            options,
            origin,
            ledger,
        })
    }

    /// Asks for what comes next, or ends the restart.
    pub(crate) fn advance(&mut self, step: &mut Step<'_>) -> Result<Option<Booted>, Fatal> {
        let Some(last) = self.last else {
            let genesis = self.origin.genesis.clone();
            return self.finish(step, Some(genesis)).map(Some);
        };
        let next = self.replay.expected();
        let id = ReadId(self.read.0 + 1);
        // The snapshot is loaded right after its own block, before anything later is applied.
        let request = match &self.snapshot {
            Some(snapshot) if next > snapshot.height() => match snapshot.expected() {
                Some(index) => FromEnclave::ReadChunk { id, snapshot: snapshot.height(), index },
                None => {
                    self.take_snapshot()?;
                    return self.advance(step);
                }
            },
            _ if next > last => return self.finish(step, None).map(Some),
            snapshot => {
                let upto = snapshot.as_ref().map_or(last, SnapshotReplay::height);
                let count = (upto.0 - next.0 + 1).min(BLOCKS_PER_READ);
                FromEnclave::ReadBlocks { id, from: next, count: u32::try_from(count).unwrap_or(u32::MAX) }
            }
        };
        self.read = id;
        self.waiting = true;
        step.host(request);
        Ok(None)
    }

    pub(crate) fn on_host(&mut self, message: ToEnclave, step: &mut Step<'_>) -> Result<Option<Booted>, Fatal> {
        match message {
            ToEnclave::Blocks { id, blocks } if self.expects(id) => self.on_blocks(blocks)?,
            ToEnclave::Chunk { id, bytes } if self.expects(id) => {
                if let Some(snapshot) = &mut self.snapshot {
                    snapshot.next(bytes)?;
                }
            }
            ToEnclave::ReadFailed { id, .. } if self.expects(id) => {
                return Err(Fatal::new(HaltCode::StorageFailed, "the host could not read the stored log"));
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
            return Err(Fatal::new(HaltCode::HostMisbehaved, "the host answered a read with nothing"));
        }
        for blob in blocks {
            self.on_block(blob)?;
        }
        Ok(())
    }

    fn on_block(&mut self, blob: Option<Vec<u8>>) -> Result<(), Fatal> {
        let height = self.replay.expected();
        if self.last.is_some_and(|last| height > last) && self.network.as_ref().is_some_and(NetworkBoot::was_cut) {
            return Ok(());
        }
        let last = match &self.snapshot {
            Some(snapshot) => Some(snapshot.height()),
            None => self.last,
        };
        if last.is_none_or(|last| height > last) {
            return Err(Fatal::new(HaltCode::HostMisbehaved, "the host answered a read with more than was asked for"));
        }
        let blob = blob.ok_or_else(|| Fatal::at(HaltCode::DamagedLog, "a stored block is missing", height.0))?;
        let newest_snapshot = self.snapshots.last().map(|snapshot| snapshot.height);
        if let Some(network) = &mut self.network
            && !network.keeps(height, &blob, newest_snapshot)?
        {
            self.last = height.parent();
            return Ok(());
        }
        let record = self.replay.next(blob)?;
        if height == Height::GENESIS {
            self.origin.check_genesis(&record)?;
        } else if self.snapshot.is_none() {
            apply_record(&self.ledger.state, &record)?;
        }
        match &mut self.network {
            Some(network) if network.is_tail(height, newest_snapshot) => network.tail.push(record),
            _ => self.ledger.push(Resident::new(record.block)),
        }
        Ok(())
    }

    /// The snapshot is complete: it becomes the state.
    fn take_snapshot(&mut self) -> Result<(), Fatal> {
        if let Some(snapshot) = self.snapshot.take()
            && let Some(block) = self.ledger.head_block()
        {
            self.ledger.state = snapshot.finish(block.commitments.state.root)?;
        }
        Ok(())
    }

    fn finish(&mut self, step: &mut Step<'_>, fresh: Option<BlockRecord>) -> Result<Booted, Fatal> {
        if let Some(request) = self.options.recovery.take() {
            return self.recover(&request, fresh.as_ref(), step).map(Booted::Recovering);
        }
        self.run(step, fresh).map(|running| Booted::Running(Box::new(running)))
    }

    /// The newest block of the log is the head here, whether the network has confirmed it or not: nothing that is on this
    /// disk is given up.
    fn recover(
        &mut self,
        request: &RecoveryRequest,
        fresh: Option<&BlockRecord>,
        step: &mut Step<'_>,
    ) -> Result<Recovering, Fatal> {
        let refused = |refusal: RecoveryRefusal| Fatal::new(HaltCode::RecoveryRefused, refusal.told());
        let network = self.network.as_mut().ok_or(refused(RecoveryRefusal::NoNetwork))?;
        if fresh.is_some() {
            return Err(refused(RecoveryRefusal::NothingToRecover));
        }
        for record in network.tail.drain(..) {
            self.ledger.push(Resident::new(record.block));
        }
        self.ledger.state.set_committed(self.ledger.head());
        Recovering::begin(request, network, &self.ledger, &self.origin.keys, step)
    }

    fn run(&mut self, step: &mut Step<'_>, fresh: Option<BlockRecord>) -> Result<Running, Fatal> {
        if let Some(record) = &fresh {
            self.ledger.push(Resident::new(record.block.clone()));
        }
        let head = self.ledger.head();
        self.ledger.state.set_committed(head);
        let parts = Parts {
            options: self.options.clone(),
            spec: self.origin.spec.clone(),
            executor: self.executor.clone(),
            keys: self.origin.keys.clone(),
            ledger: self.ledger.clone(),
            snapshots: self.snapshots.clone(),
            network: self.network.take().map(NetworkBoot::into_parts),
        };
        let in_network = parts.network.is_some();
        // The blocks come first: they tell whether all of it is another chain's.
        let notes = notes::open(&self.origin.keys, self.notes.take())?;
        self.ledger.opened();
        let mut running = Running::start(parts, fresh, step)?;
        let opened = Opened { ledger: self.ledger.clone(), executor: self.executor.clone(), notes };
        if in_network {
            running.open_when_confirmed(opened, step)?;
            return Ok(running);
        }
        step.out.push(crate::CoreEffect::Opened(opened));
        step.host(FromEnclave::Ready {
            chain_id: self.origin.spec.chain_id(),
            genesis_hash: self.origin.genesis.block.hash.0,
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
            let ordered = info.snapshots.is_sorted_by(|one, other| one.height < other.height);
            if beyond || !ordered {
                return damaged("a snapshot is newer than the newest block");
            }
            Ok(())
        }
        _ => damaged("the stored log does not start at the genesis block"),
    }
}

fn executor(ledger: &Ledger) -> Executor {
    let executor = Executor::new(ledger.spec.clone(), Arc::new(Open));
    match ledger.spec.confidentiality() {
        Confidentiality::Off => executor,
        Confidentiality::On => executor.with_block_rules(Arc::new(RulesInForce::new(ledger.rules().clone()))),
    }
}
