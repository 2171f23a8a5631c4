//! Simulated blocks as geth shows them.

use alloy_primitives::{B256, Bytes};
use alloy_rlp::Encodable as _;
use cloister_execution::{CallResult, Ending, SimulatedBlock, SimulatedLog};
use cloister_primitives::{Block, Code, RecoveredTransaction};
use serde::{Serialize, Serializer, ser::SerializeMap};

use crate::convert::{Bodies, HeaderFields, HexBytes, LogJson, Place, Quantity, TransactionJson, block_length};

/// A call of a simulation ended in an exceptional halt.
const HALTED: i32 = -32015;

/// A simulated block with what became of its calls.
#[derive(Clone, Debug)]
pub(super) struct SimulatedBlockJson {
    simulated: SimulatedBlock,
    bodies: Bodies,
    size: Size,
}

/// What is said of a simulated block's size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Size {
    /// How long its encoding is.
    Encoded,
    /// Nothing.
    Constant,
}

impl SimulatedBlockJson {
    pub(super) const fn new(simulated: SimulatedBlock, bodies: Bodies, size: Size) -> Self {
        Self { simulated, bodies, size }
    }

    fn block(&self) -> &Block {
        &self.simulated.block
    }

    fn size(&self) -> usize {
        if self.size == Size::Constant {
            return 0;
        }
        let withdrawals = self.block().withdrawals.as_ref().map(|list| list.length());
        block_length(&self.block().header, &self.block().transactions, &[], withdrawals)
    }

    fn place(&self, index: usize) -> Place {
        Place::in_block(&self.block().header, self.block().hash, u32::try_from(index).unwrap_or(u32::MAX))
    }

    fn transactions(&self) -> impl Iterator<Item = (Place, &RecoveredTransaction)> {
        let transactions = self.block().transactions.iter().enumerate();
        transactions.map(|(index, transaction)| (self.place(index), transaction))
    }
}

impl Serialize for SimulatedBlockJson {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let block = self.block();
        let mut json = serializer.serialize_map(None)?;
        let fields = HeaderFields { header: &block.header, hash: block.hash };
        fields.fees(&mut json)?;
        let calls = self.transactions().zip(&self.simulated.calls);
        let calls =
            calls.map(|((place, transaction), result)| CallJson { place, hash: *transaction.tx_hash(), result });
        json.serialize_entry("calls", &calls.collect::<Vec<_>>())?;
        fields.facts(&mut json)?;
        json.serialize_entry("size", &Quantity::count(self.size()))?;
        fields.state(&mut json)?;
        match self.bodies {
            Bodies::Hashes => {
                let hashes: Vec<B256> = self.transactions().map(|(_, transaction)| *transaction.tx_hash()).collect();
                json.serialize_entry("transactions", &hashes)?;
            }
            Bodies::Full => {
                let shown =
                    self.transactions().map(|(place, transaction)| TransactionJson::at(transaction.clone(), place));
                json.serialize_entry("transactions", &shown.collect::<Vec<_>>())?;
            }
        }
        fields.transactions_root(&mut json)?;
        json.serialize_entry::<_, [B256]>("uncles", &[])?;
        if let Some(withdrawals) = &block.withdrawals {
            json.serialize_entry("withdrawals", withdrawals)?;
        }
        fields.withdrawals_root(&mut json)?;
        json.end()
    }
}

/// A call with the place of its transaction.
struct CallJson<'a> {
    place: Place,
    hash: B256,
    result: &'a CallResult,
}

#[derive(Serialize)]
struct ErrorJson<'a> {
    message: &'a str,
    code: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a Bytes>,
}

impl<'a> CallJson<'a> {
    fn logs(&self) -> Vec<LogJson<'a>> {
        let shown = |logged: &'a SimulatedLog| LogJson {
            log: &logged.log,
            log_index: logged.index,
            place: self.place,
            transaction_hash: self.hash,
        };
        self.result.logs.iter().map(shown).collect()
    }
}

impl Serialize for CallJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let result = self.result;
        let (output, error): (&[u8], _) = match &result.ending {
            Ending::Returned(output) => (output, None),
            Ending::Reverted { message, data } => {
                (&[], Some(ErrorJson { message, code: Code::ExecutionReverted.rpc_number(), data: Some(data) }))
            }
            Ending::Halted(message) => (&[], Some(ErrorJson { message, code: HALTED, data: None })),
        };
        let mut json = serializer.serialize_map(None)?;
        json.serialize_entry("returnData", &HexBytes(output))?;
        json.serialize_entry("logs", &self.logs())?;
        json.serialize_entry("gasUsed", &Quantity::from(result.gas_used))?;
        json.serialize_entry("maxUsedGas", &Quantity::from(result.max_gas_used))?;
        json.serialize_entry("status", &Quantity(error.is_none().into()))?;
        if let Some(error) = &error {
            json.serialize_entry("error", error)?;
        }
        json.end()
    }
}
