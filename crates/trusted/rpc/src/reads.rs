//! Finding blocks and states for a caller: resident ones at once, older ones through the core.

use alloy_eips::{BlockId, BlockNumberOrTag};
use alloy_primitives::B256;
use cloister_core::{Lookup, Reader, RequestBody, Response, SeenBlock, SeenState, SeenTransaction};
use cloister_primitives::{Code, Height};

use crate::{
    MethodCall,
    errors::{self, RpcResult},
};

impl MethodCall {
    /// What the caller may read.
    #[must_use]
    pub fn reader(&self) -> Reader<'_> {
        self.context.ledger.reader(&self.caller)
    }

    /// Asks the core in the caller's name.
    ///
    /// # Errors
    /// What the core refused, as JSON-RPC shows it.
    pub async fn request(&self, body: RequestBody) -> RpcResult<Response> {
        self.context.core.request(&self.caller, body).await.map_err(|error| errors::core(&error))
    }

    /// The height that a tag or number names. Everything committed is final, so `safe`, `finalized`
    /// and `pending` are `latest`.
    #[must_use]
    pub fn height_of(&self, number: BlockNumberOrTag) -> Height {
        match number {
            BlockNumberOrTag::Number(number) => Height(number),
            BlockNumberOrTag::Earliest => Height::GENESIS,
            BlockNumberOrTag::Latest
            | BlockNumberOrTag::Pending
            | BlockNumberOrTag::Safe
            | BlockNumberOrTag::Finalized => self.context.ledger.head(),
        }
    }

    /// The block at a height, read from the sealed log if it is no longer resident.
    ///
    /// # Errors
    /// What the core answered when asked to read it.
    pub async fn block_at(&self, height: Height) -> RpcResult<Option<SeenBlock>> {
        match self.reader().block(height) {
            Lookup::Found(block) => Ok(Some(block)),
            Lookup::Absent => Ok(None),
            Lookup::Stored(height) => {
                let section = self.section(height).await?;
                Ok(section.into_iter().find(|block| block.height() == height))
            }
        }
    }

    /// The stored blocks around a height, in ascending order.
    pub(crate) async fn section(&self, height: Height) -> RpcResult<Vec<SeenBlock>> {
        match self.request(RequestBody::Load { height }).await? {
            Response::Stored(blocks) => {
                let reader = self.reader();
                Ok(blocks.iter().map(|block| reader.open(block)).collect())
            }
            _ => Err(errors::code(Code::Internal)),
        }
    }

    /// The block with a hash.
    ///
    /// # Errors
    /// As [`Self::block_at`].
    pub async fn block_by_hash(&self, hash: B256) -> RpcResult<Option<SeenBlock>> {
        let Some(height) = self.reader().height_of(&hash) else {
            return Ok(None);
        };
        let block = self.block_at(height).await?;
        Ok(block.filter(|block| block.hash() == hash))
    }

    /// The block that an id names.
    ///
    /// # Errors
    /// As [`Self::block_at`].
    pub async fn block(&self, id: BlockId) -> RpcResult<Option<SeenBlock>> {
        match id {
            BlockId::Number(number) => self.block_at(self.height_of(number)).await,
            BlockId::Hash(hash) => self.block_by_hash(hash.block_hash).await,
        }
    }

    /// The block that an id names, `latest` if none is given, where an answer needs one.
    ///
    /// # Errors
    /// `header not found`, or what the core answered.
    pub async fn required_block(&self, id: Option<BlockId>) -> RpcResult<SeenBlock> {
        let Some(id) = id else {
            return self.head();
        };
        // Only canonical blocks are kept, so a block that is found is canonical.
        let missing = match id {
            BlockId::Hash(_) => "header for hash not found",
            BlockId::Number(_) => Code::HeaderNotFound.message(),
        };
        self.block(id).await?.ok_or_else(|| errors::server_error(missing))
    }

    /// The committed head.
    ///
    /// # Errors
    /// `temporarily unavailable` before there is one.
    pub fn head(&self) -> RpcResult<SeenBlock> {
        self.reader().head().map_err(|_| errors::code(Code::Unavailable))
    }

    /// The state after a block, `latest` if none is given.
    ///
    /// # Errors
    /// `header not found` if there is no such block, `historical state is not available` if its state
    /// is no longer kept.
    pub async fn state(&self, id: Option<BlockId>) -> RpcResult<SeenState> {
        let height = match id {
            None => self.context.ledger.head(),
            Some(BlockId::Number(number)) => {
                let height = self.height_of(number);
                if height > self.context.ledger.head() {
                    return Err(errors::code(Code::HeaderNotFound));
                }
                height
            }
            Some(hash) => self.required_block(Some(hash)).await?.height(),
        };
        self.state_at(height).await
    }

    /// The state at a height, rebuilt if it is older than what is resident.
    ///
    /// # Errors
    /// `historical state is not available`.
    pub async fn state_at(&self, height: Height) -> RpcResult<SeenState> {
        let error = match self.reader().state(height) {
            Ok(state) => return Ok(state),
            Err(error) => errors::state(&error),
        };
        match self.request(RequestBody::Replay { height }).await? {
            Response::Replayed(state) => Ok(self.reader().replayed(state)),
            _ => Err(error),
        }
    }

    /// The committed transaction with a hash, if the caller may see it.
    ///
    /// # Errors
    /// As [`Self::block_at`].
    pub async fn transaction(&self, hash: B256) -> RpcResult<Option<SeenTransaction>> {
        let reader = self.reader();
        match reader.transaction(&hash) {
            Lookup::Found(transaction) => Ok(Some(transaction)),
            Lookup::Absent => Ok(None),
            Lookup::Stored(height) => {
                let Some(position) = reader.position_of(&hash) else {
                    return Ok(None);
                };
                let block = self.block_at(height).await?;
                Ok(block
                    .and_then(|block| block.transaction(position.index))
                    .filter(|transaction| transaction.hash() == hash))
            }
        }
    }
}
