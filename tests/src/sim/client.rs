//! Clients: each has one transfer under way, asks any node for its receipt, and sends it again where none comes.

use std::collections::BTreeMap;

use alloy::signers::{SignerSync as _, local::PrivateKeySigner};
use alloy_consensus::{SignableTransaction as _, TxEip1559};
use alloy_eips::eip2718::Encodable2718 as _;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use cloister_primitives::Height;

use super::random::Dice;

/// How many clients there are.
pub(super) const CLIENTS: u8 = 4;

/// The simulated chain.
pub(super) const CHAIN_ID: u64 = 31_415;

/// How long a client waits for a receipt before it sends again, microseconds.
const PATIENCE_US: u64 = 1_500_000;

/// A transfer on its way.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) hash: B256,
    pub(super) raw: Bytes,
    pub(super) again_at_us: u64,
}

struct Client {
    signer: PrivateKeySigner,
    nonce: u64,
    sent: Option<Sent>,
}

/// All clients, and what they were told.
pub(super) struct Clients {
    clients: Vec<Client>,
    /// Transactions whose receipts were seen, and where.
    pub(super) acknowledged: BTreeMap<B256, Height>,
    seen_at_us: Vec<u64>,
}

fn signer(index: u8) -> PrivateKeySigner {
    PrivateKeySigner::from_bytes(&B256::repeat_byte(index + 1)).expect("invariant: small numbers are keys")
}

/// Accounts that genesis has to fund.
pub(super) fn addresses() -> impl Iterator<Item = Address> {
    (0..CLIENTS).map(|index| signer(index).address())
}

impl Clients {
    pub(super) fn new() -> Self {
        let clients = (0..CLIENTS).map(|index| Client { signer: signer(index), nonce: 0, sent: None }).collect();
        Self { clients, acknowledged: BTreeMap::new(), seen_at_us: Vec::new() }
    }

    /// What this client sends now, if it is its turn.
    pub(super) fn next(&mut self, index: usize, now_us: u64, dice: &mut Dice) -> Option<Bytes> {
        let client = self.clients.get_mut(index)?;
        if let Some(sent) = &mut client.sent {
            if sent.again_at_us > now_us {
                return None;
            }
            sent.again_at_us = now_us + PATIENCE_US;
            return Some(sent.raw.clone());
        }
        let transaction = TxEip1559 {
            chain_id: CHAIN_ID,
            nonce: client.nonce,
            gas_limit: 21_000,
            max_fee_per_gas: 1_000_000_000,
            max_priority_fee_per_gas: 1,
            to: TxKind::Call(Address::from_word(B256::from(U256::from(dice.between(1_000, 2_000))))),
            value: U256::from(1),
            ..TxEip1559::default()
        };
        let signature = client.signer.sign_hash_sync(&transaction.signature_hash()).ok()?;
        let signed = transaction.into_signed(signature);
        let raw = Bytes::from(signed.encoded_2718());
        client.nonce += 1;
        client.sent = Some(Sent { hash: *signed.hash(), raw: raw.clone(), again_at_us: now_us + PATIENCE_US });
        Some(raw)
    }

    /// The transaction whose receipt this client waits for.
    pub(super) fn waits_for(&self, index: usize) -> Option<B256> {
        self.clients.get(index)?.sent.as_ref().map(|sent| sent.hash)
    }

    /// How many receipts were seen since then.
    pub(super) fn seen_since(&self, since_us: u64) -> usize {
        self.seen_at_us.iter().rev().take_while(|at_us| **at_us >= since_us).count()
    }

    /// This client saw its receipt.
    pub(super) fn seen(&mut self, index: usize, height: Height, now_us: u64) {
        self.seen_at_us.push(now_us);
        if let Some(sent) = self.clients.get_mut(index).and_then(|client| client.sent.take()) {
            self.acknowledged.insert(sent.hash, height);
        }
    }
}
