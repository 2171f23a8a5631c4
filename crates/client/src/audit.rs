//! An auditor's side: saying on the ledger what he is going to ask, and asking.

use alloy_consensus::TxEip1559;
use alloy_primitives::{Address, B256, TxKind, U64, U128};
use alloy_sol_types::{SolCall as _, sol};
use cloister_primitives::{Code, VISIBILITY_ADDRESS, envelope::SealingSuite};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::{Account, ClientError, NodeUrl, SealingKeys, Site, sign_in};

sol! {
    function useAudit(address account, uint64 first, uint64 last, uint32 reads);
}

/// More than saying so costs.
const GAS: u64 = 500_000;
/// How long the node may take to commit it.
const PATIENCE_MS: u64 = 20_000;
/// Longest answer to an auditor, in bytes.
const MAX_ANSWER_BYTES: usize = 64 << 20;

/// What an auditor is going to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Use {
    /// The contract; zero for the whole ledger.
    pub contract: Address,
    /// The first block.
    pub first: u64,
    /// The last block.
    pub last: u64,
    /// How many requests.
    pub reads: u32,
}

/// An auditor who is signed in.
pub struct Auditor {
    url: NodeUrl,
    account: Account,
    token: String,
}

/// Shows neither key nor token.
impl core::fmt::Debug for Auditor {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Auditor").field("account", &self.account).finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Receipt {
    transaction_hash: B256,
    status: U64,
}

impl Auditor {
    /// Signs an auditor in.
    ///
    /// # Errors
    /// As [`sign_in`].
    pub async fn sign_in(url: &NodeUrl, site: &Site, account: &Account) -> Result<Self, ClientError> {
        let session = sign_in(url, site, core::slice::from_ref(account)).await?;
        let not_a_node = || ClientError::NotANode { authority: url.authority().to_owned() };
        let token = session.ok_or_else(not_a_node)?.token;
        let url = url.clone().answering_up_to(MAX_ANSWER_BYTES);
        Ok(Self { url, account: account.clone(), token })
    }

    /// His account.
    #[must_use]
    pub const fn account(&self) -> Address {
        self.account.address()
    }

    /// Asks in his session, but under no audit.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with the node's words, or why there is no answer.
    pub async fn call(&self, method: &str, params: &Value) -> Result<Value, ClientError> {
        self.url.call(Some(&self.token), method, params).await
    }

    /// Says on the ledger what he is going to ask, in a sealed transaction of his own; answers its hash once it is
    /// committed.
    ///
    /// # Errors
    /// [`ClientError::AuditNotGranted`] where no audit covers it, or as [`Self::call`].
    pub async fn say(&self, what: Use) -> Result<B256, ClientError> {
        let chain_id: U64 = self.read("eth_chainId", &json!([])).await?;
        let price: U128 = self.read("eth_gasPrice", &json!([])).await?;
        let nonce: U64 = self.read("eth_getTransactionCount", &json!([self.account(), "pending"])).await?;
        let Use { contract, first, last, reads } = what;
        let signed = self.account.sign_transaction(TxEip1559 {
            chain_id: chain_id.to(),
            nonce: nonce.to(),
            gas_limit: GAS,
            max_fee_per_gas: price.to(),
            to: TxKind::Call(VISIBILITY_ADDRESS),
            input: useAuditCall { account: contract, first, last, reads }.abi_encode().into(),
            ..TxEip1559::default()
        });
        let sealed = SealingKeys::of(&self.url).await?.sealer(SealingSuite::X25519)?.seal(&signed)?;
        let receipt: Receipt = self.read("eth_sendRawTransactionSync", &json!([sealed, PATIENCE_MS])).await?;
        if receipt.status.is_zero() { Err(ClientError::AuditNotGranted) } else { Ok(receipt.transaction_hash) }
    }

    /// Asks under an audit whose use was said.
    ///
    /// # Errors
    /// [`ClientError::AuditNotInUse`] where more has to be said first, or as [`Self::call`].
    pub async fn ask(&self, contract: Address, method: &str, params: &Value) -> Result<Value, ClientError> {
        let answer = self.call("cloister_audit", &json!([contract, method, params])).await;
        answer.map_err(|error| match error {
            ClientError::Refused { code, message, .. } if code == i64::from(Code::AuditRefused.rpc_number()) => {
                ClientError::AuditNotInUse { message }
            }
            other => other,
        })
    }

    async fn read<T: DeserializeOwned>(&self, method: &str, params: &Value) -> Result<T, ClientError> {
        let answer = self.call(method, params).await?;
        serde_json::from_value(answer).map_err(|_| ClientError::NotANode { authority: self.url.authority().to_owned() })
    }
}
