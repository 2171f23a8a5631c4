#![allow(clippy::unwrap_used)]

use super::*;
use cloister_crypto::sha256;
use proptest::prelude::*;

const CHAIN: u64 = 31337;
const EPOCH: Epoch = Epoch(2);
const INCARNATION: Incarnation = [0x22; 16];
const NONCE: Nonce = [0x33; 12];

fn keys() -> LedgerKeys {
    keys_of(CHAIN, EPOCH)
}

fn keys_of(chain_id: u64, epoch: Epoch) -> LedgerKeys {
    let platform: Vec<u8> = (1..=32).collect();
    let platform = PlatformKey::from_bytes(&platform).unwrap();
    LedgerKeys::derive(&platform, chain_id, B256::repeat_byte(0x11), epoch)
}

fn block_at(height: u64) -> BlockAad {
    BlockAad { height: Height(height), incarnation: INCARNATION, parent_hash: B256::repeat_byte(0x44) }
}

fn chunk_at(snapshot: u64, index: u32) -> SnapshotAad {
    SnapshotAad { snapshot: Height(snapshot), index, incarnation: INCARNATION }
}

fn section_at(last: u64) -> LogSectionAad {
    LogSectionAad { last: Height(last), incarnation: INCARNATION, last_hash: B256::repeat_byte(0x44) }
}

const META: MetaAad = MetaAad { incarnation: INCARNATION };

/// Computed from the text of `docs/keys.md` by a program that shares no code with this one.
#[test]
fn blobs_are_those_of_the_documentation() {
    let keys = keys();
    let digest = |bytes: &[u8]| hex::encode(sha256(bytes));
    let block = keys.seal_block(NONCE, &block_at(5), b"hello").unwrap();
    let chunk = keys.seal_chunk(NONCE, &chunk_at(5, 7), b"hello").unwrap();
    let meta = keys.seal_meta(NONCE, &META, b"hello").unwrap();
    let section = keys.seal_log_section(NONCE, &section_at(5), b"hello").unwrap();
    let digests = [section.as_bytes(), block.as_bytes(), chunk.as_bytes(), meta.as_bytes()].map(digest);
    let documented = [
        "303168930d188a8f4d7244dcf84ff7166f3f4843ca84f6bf8fa2630261d36f36",
        "50ad1f9373fee21ba7a100cd8848905ddb467e1d8680e50907bb23e4c5a2ca10",
        "d5003b47c8565da5f1fe27134d0e4cfbc2f8724540299d2f15860de42ebb3b20",
        "1a777d8c9471414d3a13928f295197113d9b78724fc1b29c945a156140004614",
    ];
    assert_eq!(digests, documented);
}

#[test]
fn log_fingerprints_are_those_of_the_documentation() {
    let fingerprints = [0, 1].map(|place| keys().log_fingerprint(place, &B256::repeat_byte(0x55)));
    assert_eq!(fingerprints, [0xf5d2_b5a3, 0x515a_94eb]);
}

#[test]
fn a_log_section_opens_nowhere_else() {
    let keys = keys();
    let sealed = keys.seal_log_section(NONCE, &section_at(255), b"section").unwrap();
    let elsewhere = [
        section_at(511),
        LogSectionAad { last_hash: B256::repeat_byte(0x45), ..section_at(255) },
        LogSectionAad { incarnation: [0x23; 16], ..section_at(255) },
    ];
    for aad in elsewhere {
        assert_eq!(keys.open_log_section(&aad, sealed.clone()), Err(OpenError::Authentication), "{aad:?}");
    }
    let as_block = Sealed::<BlockBlob>::from_bytes(sealed.as_bytes().to_vec()).unwrap();
    assert_eq!(keys.open_block(&block_at(255), as_block), Err(OpenError::Authentication));
    assert_eq!(keys.open_log_section(&section_at(255), sealed).unwrap(), b"section");
}

#[test]
fn salts_are_those_of_the_documentation() {
    let salt = |height, domain| keys().commitment_salt(Height(height), domain).to_string();
    let state = salt(5, SaltDomain::State);
    let receipts = salt(5, SaltDomain::Receipts);
    assert_eq!(state, "0x24d8a43b0c0141c6e3d1ccbe60bde8ecc28ee2dd4f20d0aeceaaf578c1d0efe9");
    assert_eq!(receipts, "0xc1a7d82e71149e7cc9c4d89cd975a48fab2dc12383c0021c2fbc1c27bf468142");
    assert_ne!(salt(6, SaltDomain::State), state);
    assert_ne!(salt(5, SaltDomain::Requests), receipts);
}

#[test]
fn session_macs_are_those_of_the_documentation() {
    let mac = keys().session().mac(&[b"he", b"llo"]);
    assert_eq!(hex::encode(mac), "2b09027ced0244b318ea560f622eb1f2202e48528f443b5252be85af0ffae05a");
    assert!(keys().session().verify(&[b"hello"], &mac));
    assert!(!keys().session().verify(&[b"hellO"], &mac));
    assert!(!keys().session().verify(&[b"hello"], &mac[..31]));
    for other in [keys_of(CHAIN + 1, EPOCH), keys_of(CHAIN, Epoch(3))] {
        assert!(!other.session().verify(&[b"hello"], &mac));
    }
}

#[test]
fn everything_opens_where_it_was_sealed() {
    let keys = keys();
    let block = keys.seal_block(NONCE, &block_at(5), b"block").unwrap();
    let chunk = keys.seal_chunk(NONCE, &chunk_at(5, 7), b"chunk").unwrap();
    let meta = keys.seal_meta(NONCE, &META, b"").unwrap();
    assert_eq!((block.epoch(), block.incarnation()), (EPOCH, INCARNATION));
    assert_eq!(keys.open_block(&block_at(5), block).unwrap(), b"block");
    assert_eq!(keys.open_chunk(&chunk_at(5, 7), chunk).unwrap(), b"chunk");
    assert_eq!(keys.open_meta(&META, meta).unwrap(), b"");
}

#[test]
fn a_block_opens_nowhere_else() {
    let keys = keys();
    let sealed = keys.seal_block(NONCE, &block_at(5), b"block").unwrap();
    let open = |aad: BlockAad| keys.open_block(&aad, sealed.clone());
    let elsewhere = [
        block_at(6),
        BlockAad { parent_hash: B256::repeat_byte(0x45), ..block_at(5) },
        BlockAad { incarnation: [0x23; 16], ..block_at(5) },
    ];
    for aad in elsewhere {
        assert_eq!(open(aad), Err(OpenError::Authentication), "{aad:?}");
    }
    assert!(open(block_at(5)).is_ok());
}

#[test]
fn a_chunk_opens_nowhere_else() {
    let keys = keys();
    let sealed = keys.seal_chunk(NONCE, &chunk_at(5, 7), b"chunk").unwrap();
    let other_snapshot = SnapshotAad { incarnation: [0x23; 16], ..chunk_at(5, 7) };
    for aad in [chunk_at(5, 8), chunk_at(6, 7), chunk_at(7, 5), other_snapshot] {
        assert_eq!(keys.open_chunk(&aad, sealed.clone()), Err(OpenError::Authentication), "{aad:?}");
    }
}

#[test]
fn another_kind_chain_genesis_machine_or_epoch_is_refused() {
    let keys = keys();
    let sealed = keys.seal_block(NONCE, &block_at(5), b"block").unwrap();
    let bytes = sealed.as_bytes().to_vec();

    let as_meta = Sealed::<MetaBlob>::from_bytes(bytes.clone()).unwrap();
    assert_eq!(keys.open_meta(&META, as_meta), Err(OpenError::Authentication));

    let machine = PlatformKey::from_bytes(&[9; 32]).unwrap();
    let genesis = B256::repeat_byte(0x11);
    let platform = PlatformKey::from_bytes(&(1..=32).collect::<Vec<u8>>()).unwrap();
    let strangers = [
        keys_of(CHAIN + 1, EPOCH),
        LedgerKeys::derive(&machine, CHAIN, genesis, EPOCH),
        LedgerKeys::derive(&platform, CHAIN, B256::repeat_byte(0x12), EPOCH),
    ];
    for stranger in strangers {
        let opened = stranger.open_block(&block_at(5), sealed.clone());
        assert_eq!(opened, Err(OpenError::Authentication));
    }

    let wrong = OpenError::WrongEpoch { found: EPOCH, expected: Epoch(3) };
    assert_eq!(keys_of(CHAIN, Epoch(3)).open_block(&block_at(5), sealed), Err(wrong));
    // A header that claims the reader's epoch does not help: the key is another.
    let mut claimed = bytes;
    claimed[7] = 3;
    let claimed = Sealed::from_bytes(claimed).unwrap();
    let opened = keys_of(CHAIN, Epoch(3)).open_block(&block_at(5), claimed);
    assert_eq!(opened, Err(OpenError::Authentication));
}

#[test]
fn lengths_show_the_size_class_only() {
    let keys = keys();
    let sealed_len = |len: usize| keys.seal_block(NONCE, &block_at(1), vec![7; len]).unwrap().as_bytes().len();
    assert_eq!(sealed_len(0), 1024 + 52);
    assert_eq!(sealed_len(1020), 1024 + 52);
    assert_eq!(sealed_len(1021), 2048 + 52);
    assert_eq!(sealed_len(MAX_PLAINTEXT_BYTES), crate::MAX_SEALED_BYTES);
    let chunk_len = |len: usize| keys.seal_chunk(NONCE, &chunk_at(1, 0), vec![7; len]).unwrap().as_bytes().len();
    assert_eq!(chunk_len(0), chunk_len(SNAPSHOT_CHUNK_BYTES));
}

#[test]
fn what_is_too_long_is_not_sealed() {
    let keys = keys();
    let block = keys.seal_block(NONCE, &block_at(1), vec![0; MAX_PLAINTEXT_BYTES + 1]).err();
    assert_eq!(block, Some(SealError::TooLong { len: MAX_PLAINTEXT_BYTES + 1, max: MAX_PLAINTEXT_BYTES }));
    let chunk = keys.seal_chunk(NONCE, &chunk_at(1, 0), vec![0; SNAPSHOT_CHUNK_BYTES + 1]).err();
    assert_eq!(chunk, Some(SealError::TooLong { len: SNAPSHOT_CHUNK_BYTES + 1, max: SNAPSHOT_CHUNK_BYTES }));
}

#[test]
fn an_exhausted_key_seals_no_more_but_opens() {
    let keys = keys();
    let sealed = keys.seal_block(NONCE, &block_at(1), b"last").unwrap();
    keys.block.seals.store(MAX_SEALS_PER_KEY, Ordering::Relaxed);
    assert_eq!(keys.seal_block(NONCE, &block_at(2), b"").err(), Some(SealError::KeyExhausted));
    assert!(keys.seal_meta(NONCE, &META, b"").is_ok(), "each kind counts for itself");
    assert_eq!(keys.open_block(&block_at(1), sealed).unwrap(), b"last");
}

#[test]
fn genuine_bytes_with_wrong_padding_are_named() {
    let keys = keys();
    let header = Header { class: SizeClass::new(0).unwrap(), epoch: EPOCH, incarnation: INCARNATION, nonce: NONCE };
    let mut bytes = pad(&header, b"hello".to_vec());
    bytes[HEADER_LEN + 5] = 1;
    let end = bytes.len() - TAG_LEN;
    let aad = Aad::new(keys.block.domain, &header.encode(), &block_at(1).position());
    let record_key = keys.block.record_key(&INCARNATION);
    let tag = record_key.seal_in_place(NONCE, aad.as_bytes(), &mut bytes[HEADER_LEN..end]).unwrap();
    bytes[end..].copy_from_slice(&tag);
    let sealed = Sealed::from_bytes(bytes).unwrap();
    assert_eq!(keys.open_block(&block_at(1), sealed), Err(OpenError::BadPadding));
}

#[test]
fn malformed_blobs_are_named() {
    let parse = |bytes: &[u8]| Sealed::<BlockBlob>::from_bytes(bytes.to_vec()).map(|_| ());
    let good = keys().seal_block(NONCE, &block_at(1), b"x").unwrap().into_bytes();
    assert_eq!(parse(&[]), Err(OpenError::Truncated { found: 0, expected: HEADER_LEN }));
    assert_eq!(parse(&good[..35]), Err(OpenError::Truncated { found: 35, expected: HEADER_LEN }));
    assert_eq!(parse(&good[..1075]), Err(OpenError::Truncated { found: 1075, expected: 1076 }));
    assert_eq!(parse(&[&good[..], &[0]].concat()), Err(OpenError::TooLong { found: 1077, expected: 1076 }));
    let mut bytes = good.clone();
    bytes[1] = 3;
    assert_eq!(parse(&bytes), Err(OpenError::UnknownVersion(3)));
    let mut bytes = good;
    bytes[2] = 0xff;
    assert_eq!(parse(&bytes), Err(OpenError::TooLong { found: 1076, expected: crate::MAX_SEALED_BYTES }));
}

#[test]
fn debug_shows_no_secret() {
    let keys = keys();
    assert_eq!(format!("{keys:?}"), "LedgerKeys { epoch: 2, .. }");
    let sealed = keys.seal_block(NONCE, &block_at(1), b"x").unwrap();
    assert_eq!(format!("{sealed:?}"), "Sealed { epoch: 2, bytes: 1076, .. }");
}

fn reopen(keys: &LedgerKeys, bytes: Vec<u8>) -> Result<Vec<u8>, OpenError> {
    let sealed = Sealed::from_bytes(bytes)?;
    // The incarnation is taken from the blob itself, as a restarting node does.
    let aad = BlockAad { incarnation: sealed.incarnation(), ..block_at(5) };
    keys.open_block(&aad, sealed)
}

proptest! {
    #[test]
    fn round_trip(record in proptest::collection::vec(any::<u8>(), 0..5000), nonce: Nonce) {
        let keys = keys();
        let sealed = keys.seal_block(nonce, &block_at(5), record.clone()).unwrap();
        prop_assert_eq!(reopen(&keys, sealed.into_bytes()).unwrap(), record);
    }

    #[test]
    fn one_flipped_bit_refuses(
        record in proptest::collection::vec(any::<u8>(), 0..3000),
        anywhere: prop::sample::Index,
        in_header in 0..HEADER_LEN * 8,
    ) {
        let keys = keys();
        let bytes = keys.seal_block(NONCE, &block_at(5), record.clone()).unwrap().into_bytes();
        for bit in [anywhere.index(bytes.len() * 8), in_header] {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(reopen(&keys, flipped).is_err(), "bit {} of {}", bit, bytes.len());
        }
    }

    #[test]
    fn truncation_and_extension_refuse(
        record in proptest::collection::vec(any::<u8>(), 0..3000),
        cut: prop::sample::Index,
        more in proptest::collection::vec(any::<u8>(), 1..2000),
    ) {
        let keys = keys();
        let bytes = keys.seal_block(NONCE, &block_at(5), record.clone()).unwrap().into_bytes();
        let truncated = bytes[..cut.index(bytes.len())].to_vec();
        prop_assert!(
            matches!(reopen(&keys, truncated), Err(OpenError::Truncated { .. })),
            "a cut blob opened"
        );
        let extended = [bytes, more].concat();
        prop_assert!(matches!(reopen(&keys, extended), Err(OpenError::TooLong { .. })), "a longer blob opened");
    }

    #[test]
    fn arbitrary_bytes_never_open(
        bytes in proptest::collection::vec(any::<u8>(), 0..3000),
        looks_right: bool,
    ) {
        let keys = keys();
        let mut bytes = bytes;
        if looks_right {
            bytes.resize(1024 + OVERHEAD, 0);
            bytes[..8].copy_from_slice(&[0, 2, 0, 0, 0, 0, 0, 2]);
        }
        let opened = reopen(&keys, bytes);
        prop_assert!(opened.is_err());
        prop_assert!(!looks_right || opened == Err(OpenError::Authentication));
    }
}

/// Not a test of behaviour: prints what sealing costs. Run with `--ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
#[allow(clippy::print_stdout)]
fn measure_sealing() {
    let keys = keys();
    for len in [500, 4 << 10, 60_000, 1_000_000, 16 << 20] {
        let record = vec![7; len];
        let rounds = (1usize << 30) / (len + 50_000);
        let start = std::time::Instant::now();
        let mut last = Vec::new();
        for _ in 0..rounds {
            last = keys.seal_block(NONCE, &block_at(5), record.clone()).unwrap().into_bytes();
        }
        let seal = start.elapsed().as_secs_f64() / rounds as f64;
        let start = std::time::Instant::now();
        let mut copies = std::time::Duration::ZERO;
        for _ in 0..rounds {
            let before = std::time::Instant::now();
            let copy = last.clone();
            copies += before.elapsed();
            reopen(&keys, copy).unwrap();
        }
        let open = (start.elapsed() - copies).as_secs_f64() / rounds as f64;
        let bytes = last.len() as f64;
        println!(
            "{len:>9} -> {bytes:>9} bytes: seal {:8.1} us {:5.2} GB/s, open {:8.1} us {:5.2} GB/s",
            seal * 1e6,
            bytes / seal / 1e9,
            open * 1e6,
            bytes / open / 1e9
        );
    }
}
