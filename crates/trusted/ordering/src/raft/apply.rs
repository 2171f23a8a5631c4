//! What entries of the log mean for blocks: adopted, discarded, committed.

use cloister_primitives::Height;
use protobuf::Message as _;
use raft::eraftpb::{ConfChangeV2, Entry, EntryType};

use super::codec::{block_of, members_of};
use super::stored::Base;
use super::{Effect, Fault, LogRecord, Raft};

impl Raft {
    /// The log now begins behind what this node had.
    pub(super) fn restored(&mut self, base: &Base, out: &mut Vec<Effect>) {
        self.tail.clear();
        self.applied = base.index;
        self.newest = base.block;
        self.recoveries = self.recoveries.max(base.recoveries());
        self.committed = base.block.map_or(Height::GENESIS, |block| block.height);
        self.inbox.forget();
        out.extend(base.block.map(Effect::Restore));
        out.push(Effect::Members(base.members.clone()));
    }

    /// New entries: those of another leader replace what is not committed, and bring blocks to adopt.
    pub(super) fn appended(&mut self, entries: &[Entry], out: &mut Vec<Effect>) {
        let Some(first) = entries.first() else {
            return;
        };
        let mut lost = None;
        let mut own = entries.iter().filter_map(|entry| Some((entry.index, block_of(&entry.data)?)));
        let kept: Vec<_> = self.tail.iter().copied().filter(|(index, _)| *index >= first.index).collect();
        let same = kept.iter().take_while(|entry| own.next() == Some(**entry)).count();
        for _ in same..kept.len() {
            lost = self.tail.pop_back().map(|(_, block)| block.height);
        }
        if let Some(from) = lost {
            out.push(Effect::Discard { from });
        }
        let blocks = entries.iter().filter_map(|entry| Some((entry.index, block_of(&entry.data)?)));
        for (index, block) in blocks.skip(same) {
            self.tail.push_back((index, block));
            self.inbox.used(block);
            out.push(Effect::Adopt(block));
        }
    }

    pub(super) fn commit(&mut self, entries: &[Entry], out: &mut Vec<Effect>) -> Result<(), Fault> {
        let mut is_changed = false;
        for entry in entries {
            let broken = Fault::BrokenChain { index: entry.index };
            match entry.get_entry_type() {
                EntryType::EntryNormal if entry.data.is_empty() => {}
                EntryType::EntryNormal => {
                    let (index, block) = self.tail.pop_front().ok_or(broken.clone())?;
                    if index != entry.index || block.height != self.committed.next() {
                        return Err(broken);
                    }
                    self.committed = block.height;
                    self.newest = Some(block);
                    out.push(Effect::Commit(block.height));
                }
                EntryType::EntryConfChangeV2 => {
                    self.change_members(entry, out)?;
                    is_changed = true;
                }
                EntryType::EntryConfChange => return Err(broken),
            }
            self.applied = entry.index;
        }
        if let Some(last) = entries.last() {
            self.node.advance_apply_to(last.index);
            // A node that came in only takes a beginning in which it takes part.
            if is_changed || last.index >= self.node.store().base().index + self.options.log.rebase_every {
                self.rebase(last, out);
            }
        }
        Ok(())
    }

    fn change_members(&mut self, entry: &Entry, out: &mut Vec<Effect>) -> Result<(), Fault> {
        let mut change = ConfChangeV2::default();
        change.merge_from_bytes(&entry.data).map_err(|error| Fault::Engine(error.to_string()))?;
        let state = self.node.apply_conf_change(&change).map_err(|error| Fault::Engine(error.to_string()))?;
        out.push(Effect::Members(members_of(&state)));
        Ok(())
    }

    /// The log begins anew: from time to time, so that it does not grow without end.
    fn rebase(&mut self, last: &Entry, out: &mut Vec<Effect>) {
        let members = members_of(&self.node.raft.prs().conf().to_conf_state());
        let recovery = self.node.store().base().recovery.clone();
        let base = Base { index: last.index, term: last.term, members, block: self.newest, recovery };
        self.node.mut_store().rebase(base.clone());
        let seq = self.next_seq;
        self.next_seq = seq.next();
        out.push(Effect::Persist { seq, record: LogRecord::new(Vec::new(), None, Some(base)) });
    }
}
