//! A start that serves nobody: it says what members are to sign so that the network goes on from this disk, or carries
//! out what they signed.
//!
//! What is carried out is one record of the consensus log in the place of all others. Before it is durable nothing has
//! happened; afterwards everything has, and any start goes on from it.

use alloy_primitives::{Address, Bytes, Signature, eip191_hash_message};
use cloister_boundary::{FromEnclave, HaltCode, Record, ToEnclave};
use cloister_execution::recover_signer;
use cloister_governance::{RecoveryRefusal, approve_recovery, propose_recovery};
use cloister_keys::{ConsensusAad, LedgerKeys, draw_incarnation};
use cloister_ordering::raft::StoredLog;
use cloister_primitives::{RecoveryStatement, Seq, SignedRecovery};

use crate::{Fatal, Ledger, machine::Step, network_boot::NetworkBoot, running::network::seal_log};

/// What is asked of a start that is to recover the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecoveryRequest {
    /// What would members have to sign?
    Propose,
    /// Members signed this.
    Apply(SignedRecovery),
}

/// The number of the one record that a recovery stores.
const ONLY: Seq = Seq(0);

/// A recovery that was answered, or is about to be.
pub(crate) struct Recovering {
    statement: RecoveryStatement,
    /// Whether its record is on its way to the disk.
    is_being_stored: bool,
}

impl Recovering {
    /// Answers a proposal, or begins to carry out a decision. The ledger ends with the newest block that the log names.
    pub(crate) fn begin(
        request: &RecoveryRequest,
        network: &NetworkBoot,
        ledger: &Ledger,
        keys: &LedgerKeys,
        step: &mut Step<'_>,
    ) -> Result<Self, Fatal> {
        let refused = |refusal: RecoveryRefusal| Fatal::new(HaltCode::RecoveryRefused, refusal.told());
        let statement = present(network, ledger).map_err(refused)?;
        let view = ledger.state.view(statement.height).map_err(|error| refused(error.into()))?;
        let signed = match request {
            RecoveryRequest::Propose => {
                let statement = propose_recovery(&view, statement).map_err(refused)?;
                step.host(FromEnclave::Recovery(statement));
                return Ok(Self { statement, is_being_stored: false });
            }
            RecoveryRequest::Apply(signed) => signed,
        };
        let text = signed.statement.text();
        let signers: Vec<_> = signed.signatures.iter().map(|signature| signer(signature, &text)).collect();
        approve_recovery(&view, statement, &signed.statement, &signers).map_err(refused)?;
        let head = network.stored().block_at(statement.height).ok_or(refused(RecoveryRefusal::NothingToRecover))?;
        let recovered = network.stored().recovered(network.node(), head);
        store(network, &recovered, keys, step)?;
        Ok(Self { statement, is_being_stored: true })
    }

    pub(crate) fn on_host(&mut self, message: &ToEnclave, step: &mut Step<'_>) -> Result<(), Fatal> {
        match message {
            ToEnclave::Persisted { seq: ONLY } if self.is_being_stored => {
                self.is_being_stored = false;
                step.host(FromEnclave::Recovery(self.statement));
                Ok(())
            }
            ToEnclave::PersistFailed { .. } => {
                Err(Fatal::new(HaltCode::StorageFailed, "the host could not store that the network is recovered"))
            }
            ToEnclave::Shutdown => Err(Fatal::new(HaltCode::ShutDown, "stopped after a recovery")),
            _ => Ok(()),
        }
    }
}

/// What the node would have members sign, whether they may or not.
fn present(network: &NetworkBoot, ledger: &Ledger) -> Result<RecoveryStatement, RecoveryRefusal> {
    let head = ledger.head_block().ok_or(RecoveryRefusal::NothingToRecover)?;
    Ok(RecoveryStatement {
        chain_id: ledger.spec.chain_id(),
        genesis_hash: ledger.genesis_hash(),
        node: network.node().get(),
        height: head.height(),
        block_hash: head.hash,
        recovery: network.stored().base().recoveries().saturating_add(1),
    })
}

/// Who signed a text, as a personal message (EIP-191, version 0x45); nobody where the bytes are no signature.
fn signer(signature: &Bytes, text: &str) -> Option<Address> {
    let signature = Signature::from_raw(signature).ok()?;
    recover_signer(&signature, eip191_hash_message(text)).ok()
}

/// Has the log begin anew: one record that stands for all.
fn store(network: &NetworkBoot, recovered: &StoredLog, keys: &LedgerKeys, step: &mut Step<'_>) -> Result<(), Fatal> {
    let aad = ConsensusAad { node: network.node().get(), incarnation: draw_incarnation(step.entropy) };
    let number = network.next_record();
    let sealed = seal_log(keys, step.entropy, &aad, number, &recovered.record())?;
    step.host(FromEnclave::Persist { seq: ONLY, record: Record::Consensus { number, keep_from: number, sealed } });
    Ok(())
}
