//! What everybody may know of a confidential chain: the complete list, by name, with the reason.
//!
//! The tests that compare two worlds count a pair as invalid only where one of these moved, and say which; whatever else
//! differs is a leak. `docs/declassified.md` is written from here.

/// A fact that is public on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Declassified {
    /// Height and time of each block.
    BlockTimes,
    /// How many transactions each block has.
    TransactionCount,
    /// Hashes of transactions.
    TransactionHashes,
    /// Size classes of sealed transactions.
    PayloadSize,
    /// Size classes of blocks' records, of sections of the log index and of metadata.
    BlobSize,
    /// How many chunks a snapshot has.
    SnapshotSize,
    /// Size classes of answers and notifications.
    AnswerSize,
    /// When a client connects and sends.
    ClientActivity,
    /// Which section of old history is read.
    HistorySections,
    /// Members, nodes and proposals.
    Governance,
    /// That an audit grant was used.
    AuditUse,
    /// Code of contracts that are marked public.
    PublicCode,
    /// Slots that say where a proxy finds its code (EIP-1967).
    ProxySlots,
    /// What came of a permitted caller's own call.
    OwnCalls,
}

impl Declassified {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::BlockTimes,
        Self::TransactionCount,
        Self::TransactionHashes,
        Self::PayloadSize,
        Self::BlobSize,
        Self::SnapshotSize,
        Self::AnswerSize,
        Self::ClientActivity,
        Self::HistorySections,
        Self::Governance,
        Self::AuditUse,
        Self::PublicCode,
        Self::ProxySlots,
        Self::OwnCalls,
    ];

    /// Its name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::BlockTimes => "block-times",
            Self::TransactionCount => "transactions-per-block",
            Self::TransactionHashes => "transaction-hashes",
            Self::PayloadSize => "size-class-of-payloads",
            Self::BlobSize => "size-class-of-blobs",
            Self::SnapshotSize => "size-class-of-snapshots",
            Self::AnswerSize => "size-class-of-answers",
            Self::ClientActivity => "client-activity",
            Self::HistorySections => "sections-of-history-read",
            Self::Governance => "governance",
            Self::AuditUse => "use-of-audits",
            Self::PublicCode => "public-code",
            Self::ProxySlots => "proxy-slots",
            Self::OwnCalls => "own-calls",
        }
    }

    /// What it is, in a sentence.
    #[must_use]
    pub const fn what(self) -> &'static str {
        match self {
            Self::BlockTimes => "Height and time of each block.",
            Self::TransactionCount => "How many transactions each block has; not whether one of them failed.",
            Self::TransactionHashes => {
                "The hash of each transaction; it says nothing to who cannot make the signature."
            }
            Self::PayloadSize => "Which of 512 bytes, 1 KiB, 2 KiB and so on a sealed transaction takes.",
            Self::BlobSize => {
                "Which of 1 KiB, 2 KiB, 4 KiB … 64 KiB, 80 KiB, 96 KiB … 4 MiB, 5 MiB … 31 MiB the record of a block, a \
                 section of the log index and metadata take."
            }
            Self::SnapshotSize => "How many chunks of 1 MiB a snapshot of the state has.",
            Self::AnswerSize => "Which of the classes of blobs an answer or a notification takes.",
            Self::ClientActivity => "When a client connects and sends.",
            Self::HistorySections => "Which fixed section of old blocks or of the log index is read back from disk.",
            Self::Governance => "Members, nodes and proposals of the network, and what genesis says.",
            Self::AuditUse => "That an audit grant was used in a block; not what was asked.",
            Self::PublicCode => "The code of contracts whose policy says so.",
            Self::ProxySlots => "Where a proxy finds its code, and who may change that (EIP-1967).",
            Self::OwnCalls => {
                "Whether a call succeeded that rules let its caller make, what it returned, and what it reverted with: to him \
                 alone. `cloister policy check` lists it for each function. In transactions everybody may call a contract \
                 that has no rules."
            }
        }
    }

    /// Why it is not hidden, in a sentence.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::BlockTimes => "Clients wait for blocks, and the host moves the timers that make them.",
            Self::TransactionCount => "Hiding it would take dummy transactions in every block.",
            Self::TransactionHashes => "Clients find their own transactions by them.",
            Self::PayloadSize => "Who carries bytes sees how many; more classes would cost more padding.",
            Self::BlobSize => "The host stores them.",
            Self::SnapshotSize => "The host stores them, and nodes that join fetch them.",
            Self::AnswerSize => "The host and the network carry them.",
            Self::ClientActivity => "The host and the network carry it; hiding it would take cover traffic.",
            Self::HistorySections => "What is not in memory is read from the host's disk, a whole section at a time.",
            Self::Governance => "All members have to agree on it.",
            Self::AuditUse => "Those who are audited may know that they were.",
            Self::PublicCode => "Their owner says so; tools compare it with what they compiled.",
            Self::ProxySlots => "Tools look for the interface of a proxy there.",
            Self::OwnCalls => "A call that answers nothing is of no use.",
        }
    }
}
