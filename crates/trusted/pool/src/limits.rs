//! Bounds of the pool, and of one block's share of it.

/// How much the pool holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolLimits {
    /// Transactions of one account, executable or not, in flight included.
    ///
    /// geth guarantees each account 16 executable ones (`accountslots`), allows more while the pool has room, and cuts queues at
    /// 64 (`accountqueue`). Here one hard bound serves for both: consortium accounts are few and busy.
    pub per_account: usize,
    /// Transactions in total.
    pub total: usize,
    /// Encoded bytes in total.
    pub total_bytes: usize,
    /// How far a nonce may lie beyond the sender's first missing one.
    pub max_nonce_gap: u64,
    /// By how much a replacement must raise both fee cap and tip, in percent.
    pub price_bump_percent: u8,
}

impl Default for PoolLimits {
    fn default() -> Self {
        Self {
            per_account: 16_384,
            total: 200_000,
            total_bytes: 256 << 20,
            max_nonce_gap: 16_384,
            price_bump_percent: 10,
        }
    }
}

/// Which transactions are handed out first, those of one sender always by nonce.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Those that pay the block most.
    #[default]
    Price,
    /// Those that came first: what others pay is nobody's to learn from where his own transaction stands.
    Arrival,
}

/// How much one block takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TakeLimits {
    /// Most transactions.
    pub max_transactions: usize,
    /// Most gas, as the sum of declared gas limits: how much they use later must not decide what is in a block.
    pub gas_limit: u64,
    /// The block's base fee in wei; transactions with a lower fee cap stay.
    pub base_fee: u64,
}
