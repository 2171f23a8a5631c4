//! Typed requests: transactions on their way into the pool, and questions about the pool.

use alloy_primitives::{Address, B256, Bytes};
use cloister_access::{Caller, Resource};
use cloister_boundary::StorageFault;
use cloister_execution::{HeadFacts, Origin, SenderFacts, ValidTx, validate};
use cloister_ordering::Pace;
use cloister_pool::SenderState;
use cloister_primitives::{Code, Protection, RecoveredTransaction, Rejected, envelope::SEALED_TRANSACTION};

use super::{Errand, Running, engine::Engine};
use crate::{
    AnswerAt, CoreEffect, CoreError, Event, Request, RequestBody, RequestId, Response,
    machine::Step,
    work::{Recovered, Submitted, Work},
};

/// Transactions recovered in one piece of work: small enough to spread over cores, large enough that
/// handing them over costs nothing.
const RECOVER_BATCH: usize = 50;

/// What a transaction is validated against: the block it could enter next, and its sender.
pub(super) type Facts = Result<(HeadFacts, SenderFacts), CoreError>;

/// A submitted transaction whose sender is being recovered.
#[derive(Debug)]
pub(super) struct Recovering {
    id: RequestId,
    caller: Caller,
    answer_at: AnswerAt,
    form: Form,
}

/// How a transaction came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Plain,
    Sealed,
}

impl Running {
    pub(super) fn on_requests(&mut self, requests: Vec<(RequestId, Request)>, step: &mut Step<'_>) {
        let mut submitted = Vec::new();
        let mut recovering = Vec::new();
        for (id, request) in requests {
            match request.body {
                RequestBody::Submit { raw, answer_at } => {
                    if let Err(error) = self.accepts_writes() {
                        step.out.push(CoreEffect::Reply(id, Err(error)));
                        continue;
                    }
                    let (one, form) = self.take_in(raw, step);
                    submitted.push(one);
                    recovering.push(Recovering { id, caller: request.caller, answer_at, form });
                    if submitted.len() == RECOVER_BATCH {
                        self.recover(&mut submitted, &mut recovering, step);
                    }
                }
                body => self.on_request(id, &request.caller, body, step),
            }
        }
        if !submitted.is_empty() {
            self.recover(&mut submitted, &mut recovering, step);
        }
    }

    fn take_in(&mut self, raw: Bytes, step: &mut Step<'_>) -> (Submitted, Form) {
        if raw.first() != Some(&SEALED_TRANSACTION) {
            return (Submitted::Plain(raw), Form::Plain);
        }
        let opener = self.sealing(step).opener(&raw);
        (Submitted::Sealed { envelope: raw, opener }, Form::Sealed)
    }

    fn recover(&mut self, submitted: &mut Vec<Submitted>, recovering: &mut Vec<Recovering>, step: &mut Step<'_>) {
        let errand = Errand::Recover(core::mem::take(recovering));
        let submitted = core::mem::take(submitted);
        let genesis_hash = self.ledger.genesis_hash();
        self.recovering += 1;
        self.send_work(Work::Recover { submitted, spec: self.spec.clone(), genesis_hash }, errand, step);
    }

    pub(super) fn accepts_writes(&self) -> Result<(), CoreError> {
        if self.stopping {
            return Err(CoreError::Unavailable("the node is stopping"));
        }
        if let Engine::Network(network) = &self.engine {
            network.accepts_writes()?;
        }
        match self.outbox.fault() {
            None => Ok(()),
            Some(StorageFault::NoSpace) => {
                Err(CoreError::Unavailable("the disk is full: writes are refused until there is space"))
            }
            Some(_) => Err(CoreError::Unavailable("the disk cannot be written: writes are refused until it can")),
        }
    }

    fn on_request(&mut self, id: RequestId, caller: &Caller, body: RequestBody, step: &mut Step<'_>) {
        let answer = match body {
            RequestBody::SealingKeys => Ok(Response::SealingKeys(self.sealing_offer(step))),
            RequestBody::NetworkStatus => Ok(Response::NetworkStatus(self.network_status().map(Box::new))),
            RequestBody::PendingNonce { address } => Ok(Response::Number(self.pending_nonce(caller, address))),
            RequestBody::PoolTransaction { hash } => {
                Ok(Response::PoolTransaction(self.pool_transaction(caller, &hash)))
            }
            RequestBody::PoolContent { sender } => Ok(self.pool_content(caller, sender)),
            RequestBody::Load { height } => return self.load(id, height, step),
            RequestBody::LoadLogSection { last } => return self.load_log_section(id, last, step),
            RequestBody::Import { block } => return self.import(id, block, step),
            RequestBody::Replay { height } => return self.rebuild(id, height, step),
            RequestBody::KeepNotes { notes } => return self.keep_notes(id, notes, step),
            RequestBody::Development(request) => {
                if !self.sees(caller, Resource::Development) {
                    let error = Code::MethodNotFound.into();
                    step.out.push(CoreEffect::Reply(id, Err(error)));
                    return;
                }
                return self.on_development(id, request, step);
            }
            // Taken apart before.
            RequestBody::Submit { .. } => Err(Code::Internal.into()),
        };
        step.out.push(CoreEffect::Reply(id, answer));
    }

    fn sees(&self, caller: &Caller, resource: Resource<'_>) -> bool {
        self.ledger.access.view(caller, resource).is_visible()
    }

    fn pending_nonce(&self, caller: &Caller, address: Address) -> u64 {
        if !self.sees(caller, Resource::Account(address)) {
            return 0;
        }
        let committed = self
            .ledger
            .state
            .view(self.ledger.head())
            .and_then(|view| view.account(address))
            .ok()
            .flatten()
            .map_or(0, |account| account.nonce);
        if !self.sees(caller, Resource::Pool { sender: address }) {
            return committed;
        }
        self.pool.pending_nonce(address, committed)
    }

    fn pool_transaction(&self, caller: &Caller, hash: &B256) -> Option<RecoveredTransaction> {
        let transaction = self.pool.get(hash)?;
        let sender = transaction.sender();
        self.sees(caller, Resource::Pool { sender }).then(|| transaction.transaction().clone())
    }

    fn pool_content(&self, caller: &Caller, sender: Option<Address>) -> Response {
        let accounts = match sender {
            Some(sender) => vec![self.pool.content_from(sender)],
            None => self.pool.content(),
        };
        let mut pending = Vec::new();
        let mut queued = Vec::new();
        for account in accounts {
            let sender = account.address;
            if !self.sees(caller, Resource::Pool { sender }) {
                continue;
            }
            let shared = |transaction: &ValidTx| transaction.transaction().clone();
            pending.extend(account.pending.into_iter().map(shared));
            queued.extend(account.queued.into_iter().map(shared));
        }
        Response::PoolContent { pending, queued }
    }

    pub(super) fn on_recovered(
        &mut self,
        requests: Vec<Recovering>,
        transactions: Vec<Recovered>,
        step: &mut Step<'_>,
    ) {
        self.recovering -= 1;
        let found = transactions.iter().filter_map(|recovered| recovered.transaction.as_ref().ok());
        let senders: Vec<_> = found.map(|transaction| transaction.signer()).collect();
        let mut facts = self.facts(&senders, step.now_ms).into_iter();
        let mut admitted = Vec::new();
        for (request, recovered) in requests.into_iter().zip(transactions) {
            let Recovering { id, caller, answer_at, form } = request;
            if let (Some(context), Some(sealing)) = (recovered.context, &mut self.sealing) {
                sealing.remember(context);
            }
            let outcome = match recovered.transaction.map(|transaction| (transaction, facts.next())) {
                Ok((transaction, Some(facts))) => self.submit(transaction, facts, &caller, answer_at, &mut admitted),
                Ok((_, None)) => Err(Code::Internal.into()),
                Err(malformed) => Err(malformed.into()),
            };
            let outcome = match (form, outcome) {
                // Whoever sends somebody else's envelope again must not learn what is in it by what is wrong with it.
                (Form::Sealed, Err(CoreError::Rejected(_))) if Protection::EnvelopeRefusals.holds() => {
                    Err(Code::SealedTransactionRefused.into())
                }
                (_, outcome) => outcome,
            };
            self.answer_submission(id, answer_at, outcome, step);
        }
        self.announce(admitted, step);
        // What was waited for may have been refused.
        self.end_gathering(step.now_ms);
    }

    /// Puts a client's transaction into the pool. What became of it, beyond that it is well-formed, is told to whom the
    /// sender's pending transactions may be shown; others hear its hash, as if it had been taken.
    fn submit(
        &mut self,
        transaction: RecoveredTransaction,
        facts: Facts,
        caller: &Caller,
        answer_at: AnswerAt,
        admitted: &mut Vec<(B256, Address)>,
    ) -> Result<Submission, CoreError> {
        let told = self.sees(caller, Resource::Pool { sender: transaction.signer() });
        if told || !Protection::PoolErrors.holds() {
            return self.admit(transaction, facts, Origin::External, answer_at, admitted);
        }
        let hash = *transaction.tx_hash();
        match self.admit(transaction, facts, Origin::External, AnswerAt::Admission, admitted) {
            Ok(_) | Err(CoreError::Rejected(_)) => Ok(Submission::Answer(hash)),
            Err(error) => Err(error),
        }
    }

    /// Answers now, or leaves the request with the transaction it waits for.
    pub(super) fn answer_submission(
        &mut self,
        id: RequestId,
        answer_at: AnswerAt,
        outcome: Result<Submission, CoreError>,
        step: &mut Step<'_>,
    ) {
        match outcome {
            Ok(Submission::Answer(hash)) => self.reply(id, Response::Admitted { hash }, step),
            Ok(Submission::Wait(hash)) => self.waiting.add(hash, id, answer_at),
            Err(error) => step.out.push(CoreEffect::Reply(id, Err(error))),
        }
    }

    pub(super) fn announce(&mut self, admitted: Vec<(B256, Address)>, step: &mut Step<'_>) {
        if admitted.is_empty() {
            return;
        }
        step.out.push(CoreEffect::Event(Event::Admitted(admitted)));
        self.demand(step.now_ms);
    }

    /// What transactions of these senders are validated against now, in their order.
    pub(super) fn facts(&self, senders: &[Address], now_ms: u64) -> Vec<Facts> {
        let head_and_senders = || -> Result<_, CoreError> {
            let tip = self.tip().map_err(|_| CoreError::Unavailable("the node is stopping"))?;
            // Forks are those of the block it will be in.
            let head = HeadFacts {
                height: tip.header.number + 1,
                timestamp: self.development.next.timestamp(&self.spec, tip.header.timestamp, now_ms),
                base_fee: tip.header.base_fee_per_gas.unwrap_or(0),
                gas_limit: self.development.next.gas_limit.unwrap_or(tip.header.gas_limit),
            };
            // The committed state: what is in flight the pool knows better.
            let view = self.ledger.state.view(self.ledger.head())?;
            Ok((head, SenderFacts::read_all(&view, senders)?))
        };
        match head_and_senders() {
            Ok((head, senders)) => senders.into_iter().map(|sender| Ok((head, sender))).collect(),
            Err(error) => senders.iter().map(|_| Err(error.clone())).collect(),
        }
    }

    /// Validates a transaction against the committed state and puts it into the pool.
    pub(super) fn admit(
        &mut self,
        transaction: RecoveredTransaction,
        facts: Facts,
        origin: Origin,
        answer_at: AnswerAt,
        admitted: &mut Vec<(B256, Address)>,
    ) -> Result<Submission, CoreError> {
        self.accepts_writes()?;
        let hash = *transaction.tx_hash();
        let address = transaction.signer();
        if self.pool.contains(&hash) {
            return Err(Code::AlreadyKnown.into());
        }
        let (head, sender) = facts?;
        let state = SenderState { nonce: sender.nonce, balance: sender.balance };
        let transaction = validate(transaction, origin, &self.spec, &head, &sender)?;
        let entered = self.pool.add(transaction, state).map_err(Rejected::from)?;
        self.forward(hash);
        if let Some(replaced) = entered.replaced {
            self.waiting.replaced(&replaced, hash);
        }
        if entered.executable {
            admitted.push((hash, address));
            admitted.extend(entered.promoted.into_iter().map(|hash| (hash, address)));
        }
        let instant = entered.executable && self.engine.pace() == Pace::Instant;
        Ok(match answer_at {
            AnswerAt::Admission => Submission::Answer(hash),
            AnswerAt::CommitIfInstant if !instant => Submission::Answer(hash),
            AnswerAt::CommitIfInstant | AnswerAt::Commit => Submission::Wait(hash),
        })
    }
}

/// What an admitted transaction's request gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Submission {
    /// The hash, now.
    Answer(B256),
    /// The block, once it is committed.
    Wait(B256),
}
