//! What is sent: set-up transactions and the measured transfers.

use alloy_primitives::{Address, Bytes, TxKind, U256, keccak256};
use clap::ValueEnum;
use cloister_primitives::VISIBILITY_ADDRESS;
use eyre::{Result, ensure};
use serde::Serialize;
use serde_json::json;

use crate::engine::{Confirm, Limits, run};
use crate::http::Endpoint;
use crate::rpc::Client;
use crate::token;
use crate::wallet::{Account, Draft, Fees, Signed, sign_lanes};

/// Tokens that each sender starts with.
const TOKENS_PER_SENDER: u64 = 1_000_000_000;
/// Recipients of a hot run.
const HOT_RECIPIENTS: u64 = 8;

/// Kind of the measured transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A transfer of one wei.
    Plain,
    /// An ERC-20 transfer of one unit.
    Erc20,
}

/// Who receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Recipients {
    /// Every transaction pays an address that never appeared before.
    Fresh,
    /// All transactions pay the same eight addresses.
    Hot,
}

/// The `index`-th fresh recipient of a run.
#[must_use]
pub fn fresh_recipient(seed: u64, index: u64) -> Address {
    let mut preimage = [0u8; 24];
    preimage[..8].copy_from_slice(b"receiver");
    preimage[8..16].copy_from_slice(&seed.to_be_bytes());
    preimage[16..].copy_from_slice(&index.to_be_bytes());
    Address::from_word(keccak256(preimage))
}

/// A node made ready for measured runs: a token, and funded senders.
#[derive(Debug)]
pub struct Prepared {
    /// Where the node is.
    pub endpoint: Endpoint,
    /// The token contract.
    pub token: Address,
    /// Fees of every transaction.
    pub fees: Fees,
    senders: Vec<Account>,
    transfer_gas: u64,
    /// The next fresh recipient's number, so that runs in a row never share one.
    next_recipient: u64,
    seed: u64,
}

/// What [`Prepared::set_up`] is to make ready.
#[derive(Clone, Copy, Debug)]
pub struct SetUp {
    /// Number of sender accounts.
    pub senders: u64,
    /// Transactions that will be sent in all, for funding.
    pub transactions: u64,
    /// Token balance slots to fill beforehand.
    pub slots: u64,
    /// Chooses senders and recipients; the same seed gives the same ones.
    pub seed: u64,
    /// Most wei per gas.
    pub max_fee: u128,
    /// What the chain keeps to itself.
    pub chain: Secrecy,
}

/// What a chain keeps to itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Secrecy {
    /// Nothing.
    #[default]
    Open,
    /// What does not concern who asks. Prices are flat.
    Confidential,
    /// The same, and the token has rules, which let everybody transfer.
    Ruled,
}

impl Prepared {
    /// Deploys the token, funds the senders from the development accounts, fills slots.
    ///
    /// # Errors
    /// When the node does not know the development accounts, or refuses a transaction.
    pub fn set_up(endpoint: &Endpoint, set_up: SetUp) -> Result<Self> {
        let mut client = Client::connect(endpoint)?;
        let fees = Fees {
            chain_id: client.chain_id()?,
            max_fee: set_up.max_fee,
            max_priority_fee: set_up.max_fee.min(1_000_000_000),
        };
        let funders = Account::development()?;
        let mut nonces = client.nonces(&funders.iter().map(|a| a.address).collect::<Vec<_>>())?;
        let senders =
            (0..set_up.senders).map(|index| Account::derived(set_up.seed, index)).collect::<Result<Vec<_>>>()?;

        let mut lanes = vec![Vec::new(); funders.len()];
        let is_flat = set_up.chain != Secrecy::Open;
        if set_up.chain == Secrecy::Ruled {
            let rules = token::prepare_rules(nonces[0] + 1);
            lanes[0].push(call_draft(VISIBILITY_ADDRESS, rules, 1_000_000));
        }
        let token = funders[0].address.create(nonces[0] + lanes[0].len() as u64);
        lanes[0].push(Draft {
            nonce: 0,
            to: TxKind::Create,
            value: U256::ZERO,
            input: token::creation_code(),
            gas_limit: if is_flat { 4_000_000 } else { 2_000_000 },
        });
        for chunk in senders.chunks(200) {
            let to: Vec<_> = chunk.iter().map(|sender| sender.address).collect();
            let gas_limit = if is_flat { 16_000_000 } else { 8_000_000 };
            lanes[0].push(call_draft(token, token::mint_each(&to, TOKENS_PER_SENDER), gas_limit));
        }
        let per_sender = set_up.transactions.div_ceil(set_up.senders.max(1)) + 1;
        let endowment =
            U256::from(set_up.max_fee) * U256::from(token::TRANSFER_GAS_LIMIT) * U256::from(per_sender) * U256::from(2);
        check_funds(&mut client, &funders, endowment, set_up.senders)?;
        for (index, sender) in senders.iter().enumerate() {
            lanes[index % funders.len()].push(Draft {
                nonce: 0,
                to: TxKind::Call(sender.address),
                value: endowment,
                input: Bytes::new(),
                gas_limit: 21_000,
            });
        }
        send_set_up(endpoint, &funders, &mut nonces, lanes, fees)?;
        if !is_flat {
            let code: String = client.call("eth_getCode", json!([token, "latest"]))?;
            ensure!(code.len() > 1000, "the token was not deployed");
        }

        let transfer_gas = if is_flat { token::FLAT_TRANSFER_GAS_LIMIT } else { token::TRANSFER_GAS_LIMIT };
        let mut prepared = Self {
            endpoint: endpoint.clone(),
            token,
            fees,
            senders,
            transfer_gas,
            next_recipient: 0,
            seed: set_up.seed,
        };
        prepared.fill_slots(&funders, &mut nonces, set_up.slots)?;
        Ok(prepared)
    }

    /// Fills `slots` balances of the token, from the first development accounts.
    fn fill_slots(&mut self, funders: &[Account], nonces: &mut [u64], slots: u64) -> Result<()> {
        let mut lanes = vec![Vec::new(); funders.len()];
        let mut first = 0;
        while first < slots {
            let count = token::SLOTS_PER_FILL.min(slots - first);
            let lane = (first / token::SLOTS_PER_FILL) as usize % funders.len();
            lanes[lane].push(call_draft(self.token, token::fill(first, count, 1), token::FILL_GAS_LIMIT));
            first += count;
        }
        send_set_up(&self.endpoint, funders, nonces, lanes, self.fees)
    }

    /// The first `count` fresh recipients of the next transfers.
    pub fn next_recipients(&self, count: u64) -> impl Iterator<Item = Address> + use<> {
        let (seed, next) = (self.seed, self.next_recipient);
        (next..next + count).map(move |number| fresh_recipient(seed, number))
    }

    /// The senders in the sessions of their connections: the lane of each belongs to the connection of the same number.
    pub fn sessions(&self, connections: usize) -> impl Iterator<Item = Vec<&Account>> {
        (0..connections).map(move |connection| self.senders.iter().skip(connection).step_by(connections).collect())
    }

    /// Each sender's next nonce, as his own session is told it.
    fn nonces(&self) -> Result<Vec<u64>> {
        let sessions = self.endpoint.sessions().max(1);
        let mut nonces = vec![0; self.senders.len()];
        for session in 0..sessions {
            let own: Vec<_> = (session..self.senders.len()).step_by(sessions).collect();
            let addresses: Vec<_> = own.iter().map(|index| self.senders[*index].address).collect();
            let told = Client::connect(&self.endpoint.of_connection(session))?.nonces(&addresses)?;
            own.into_iter().zip(told).for_each(|(index, nonce)| nonces[index] = nonce);
        }
        Ok(nonces)
    }

    /// Signs `count` transfers, spread evenly over the senders; one lane per sender.
    ///
    /// # Errors
    /// When the senders' nonces cannot be read.
    pub fn sign_transfers(&mut self, kind: Kind, to: Recipients, count: u64) -> Result<Vec<Vec<Signed>>> {
        // Read again each time: a run before this one may have ended early.
        let mut nonces = self.nonces()?;
        let mut lanes = vec![Vec::new(); self.senders.len()];
        for index in 0..count {
            let lane = (index % self.senders.len() as u64) as usize;
            let number = self.next_recipient + index;
            let recipient = match to {
                Recipients::Fresh => fresh_recipient(self.seed, number),
                Recipients::Hot => token::filled_holder(number % HOT_RECIPIENTS),
            };
            let mut draft = match kind {
                Kind::Plain => Draft {
                    nonce: 0,
                    to: TxKind::Call(recipient),
                    value: U256::from(1),
                    input: Bytes::new(),
                    gas_limit: 21_000,
                },
                Kind::Erc20 => call_draft(self.token, token::transfer(recipient, 1), self.transfer_gas),
            };
            draft.nonce = nonces[lane];
            nonces[lane] += 1;
            lanes[lane].push(draft);
        }
        self.next_recipient += count;
        Ok(sign_lanes(&self.senders, lanes, self.fees))
    }
}

fn call_draft(to: Address, input: Bytes, gas_limit: u64) -> Draft {
    Draft { nonce: 0, to: TxKind::Call(to), value: U256::ZERO, input, gas_limit }
}

fn check_funds(client: &mut Client, funders: &[Account], endowment: U256, senders: u64) -> Result<()> {
    let needed = endowment * U256::from(senders.div_ceil(funders.len() as u64));
    for funder in funders {
        let balance = client.balance(funder.address)?;
        ensure!(
            balance > needed,
            "development account {} holds {balance} wei but {needed} are needed: start the node \
             with a larger --balance, or use a lower --max-fee-gwei",
            funder.address
        );
    }
    Ok(())
}

/// Numbers, signs and sends set-up transactions, and checks their receipts.
fn send_set_up(
    endpoint: &Endpoint,
    funders: &[Account],
    nonces: &mut [u64],
    mut lanes: Vec<Vec<Draft>>,
    fees: Fees,
) -> Result<()> {
    for (lane, next) in lanes.iter_mut().zip(nonces.iter_mut()) {
        for draft in lane {
            draft.nonce = *next;
            *next += 1;
        }
    }
    let limits = Limits { batch: 10, connections: 2, lane_in_flight: 8, in_flight: 80, ..Limits::default() };
    let signed = sign_lanes(funders, lanes, fees);
    let report = run(endpoint, signed, &limits, Confirm::default())?;
    ensure!(
        report.is_complete(),
        "set-up failed: {} of {} transactions committed; {}",
        report.committed,
        report.planned,
        report.problems.join("; ")
    );
    Ok(())
}
