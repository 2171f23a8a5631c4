//! Clients: each has one transaction under way, asks any node for its receipt, and sends it again where none comes. The
//! last one is a member of the network: it decides about nodes.

use std::collections::{BTreeMap, VecDeque};

use alloy::{sol, sol_types::SolCall as _};
use alloy_consensus::{SignableTransaction as _, TxEip1559};
use alloy_eips::eip2718::Encodable2718 as _;
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256, eip191_hash_message};
use cloister_primitives::{Height, NODES_ADDRESS};
use secp256k1::{Message, SecretKey, ecdsa::RecoverableSignature};

use super::{history::History, random::Dice};

/// How many clients there are.
pub(super) const CLIENTS: u8 = 4;

/// The simulated chain.
pub(super) const CHAIN_ID: u64 = 31_415;

/// How long a client waits for a receipt before it sends again, microseconds.
const PATIENCE_US: u64 = 1_500_000;

sol! {
    function approve(uint64 number, bytes32 identity, bytes32 name, uint8 standing);
}

/// What becomes of a node: numbers of the contract.
pub(super) const GONE: u8 = 0;
pub(super) const VOTER: u8 = 2;

/// What a node is known by.
pub(super) fn identity_of(number: u64) -> B256 {
    B256::from(U256::from(number))
}

/// The name that goes with it.
pub(super) fn name_of(number: u64) -> String {
    format!("n{number}")
}

/// A member's word about a node, and when it is given.
#[derive(Clone, Copy, Debug)]
pub(super) struct Decision {
    pub(super) at_us: u64,
    pub(super) number: u64,
    pub(super) standing: u8,
}

/// A transfer on its way.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) hash: B256,
    pub(super) raw: Bytes,
    pub(super) again_at_us: u64,
}

/// An account. Clients sign with the library that nodes recover with: any other would take a fifth of a simulation's time.
struct Signer {
    key: SecretKey,
    address: Address,
}

impl Signer {
    fn new(index: u8) -> Self {
        let key = SecretKey::from_secret_bytes([index + 1; 32]).expect("invariant: small numbers are keys");
        let public = key.public_key().serialize_uncompressed();
        Self { key, address: Address::from_raw_public_key(&public[1..]) }
    }

    fn sign(&self, digest: B256) -> Signature {
        let message = Message::from_digest(digest.0);
        let (parity, bytes) = RecoverableSignature::sign_ecdsa_recoverable(message, &self.key).serialize_compact();
        Signature::from_bytes_and_parity(&bytes, parity.to_u8() == 1)
    }
}

struct Client {
    signer: Signer,
    nonce: u64,
    sent: Option<Sent>,
    /// What else than transfers it sends.
    decisions: Option<VecDeque<Decision>>,
}

/// All clients, and what they were told.
pub(super) struct Clients {
    clients: Vec<Client>,
    /// Transactions whose receipts were seen, and where.
    pub(super) acknowledged: BTreeMap<B256, Height>,
    seen_at_us: Vec<u64>,
    pub(super) history: History,
}

/// Accounts that genesis has to fund; the last one is the member.
pub(super) fn addresses() -> impl Iterator<Item = Address> {
    (0..=CLIENTS).map(|index| Signer::new(index).address)
}

/// The member.
pub(super) fn member() -> Address {
    Signer::new(CLIENTS).address
}

/// The member signs a personal message (EIP-191).
pub(super) fn member_signs(text: &str) -> Bytes {
    Signer::new(CLIENTS).sign(eip191_hash_message(text)).as_bytes().into()
}

impl Clients {
    pub(super) fn new(decisions: VecDeque<Decision>) -> Self {
        let client = |index| Client { signer: Signer::new(index), nonce: 0, sent: None, decisions: None };
        let member = Client { decisions: Some(decisions), ..client(CLIENTS) };
        let clients = (0..CLIENTS).map(client).chain([member]).collect();
        Self { clients, acknowledged: BTreeMap::new(), seen_at_us: Vec::new(), history: History::default() }
    }

    /// The member has more to decide.
    pub(super) fn decide(&mut self, more: VecDeque<Decision>) {
        let decisions = self.clients.iter_mut().filter_map(|client| client.decisions.as_mut());
        decisions.for_each(|decisions| decisions.extend(more.clone()));
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
        let transaction = match &mut client.decisions {
            None => transfer(client.nonce, dice),
            Some(decisions) => {
                let decision = decisions.pop_front_if(|decision| decision.at_us <= now_us)?;
                decide(client.nonce, decision)
            }
        };
        let signature = client.signer.sign(transaction.signature_hash());
        let signed = transaction.into_signed(signature);
        let raw = Bytes::from(signed.encoded_2718());
        client.nonce += 1;
        self.history.sent(index, now_us);
        client.sent = Some(Sent { hash: *signed.hash(), raw: raw.clone(), again_at_us: now_us + PATIENCE_US });
        Some(raw)
    }

    /// The transaction whose receipt this client waits for.
    pub(super) fn waits_for(&self, index: usize) -> Option<B256> {
        self.clients.get(index)?.sent.as_ref().map(|sent| sent.hash)
    }

    /// The account of this client.
    pub(super) fn account(&self, index: usize) -> Option<Address> {
        self.clients.get(index).map(|client| client.signer.address)
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
            self.history.seen(index, now_us, height);
        }
    }
}

fn transfer(nonce: u64, dice: &mut Dice) -> TxEip1559 {
    TxEip1559 {
        chain_id: CHAIN_ID,
        nonce,
        gas_limit: 21_000,
        max_fee_per_gas: 1_000_000_000,
        max_priority_fee_per_gas: 1,
        to: TxKind::Call(Address::from_word(B256::from(U256::from(dice.between(1_000, 2_000))))),
        value: U256::from(1),
        ..TxEip1559::default()
    }
}

fn decide(nonce: u64, Decision { number, standing, .. }: Decision) -> TxEip1559 {
    let name = B256::right_padding_from(name_of(number).as_bytes());
    let call = approveCall { number, identity: identity_of(number), name, standing };
    TxEip1559 {
        chain_id: CHAIN_ID,
        nonce,
        gas_limit: 500_000,
        max_fee_per_gas: 1_000_000_000,
        max_priority_fee_per_gas: 1,
        to: TxKind::Call(NODES_ADDRESS),
        input: call.abi_encode().into(),
        ..TxEip1559::default()
    }
}
