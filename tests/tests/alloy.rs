//! alloy's own provider and contract types against the node, over HTTP and WebSocket.
//!
//! Over HTTP the provider runs on this package's small client: alloy's two HTTP transports bring a TLS stack that nothing here needs.

use std::future::Future;
use std::net::SocketAddr;
use std::task::{Context, Poll};
use std::time::Duration;

use alloy::consensus::Transaction as _;
use alloy::eips::BlockNumberOrTag;
use alloy::eips::eip2930::{AccessList, AccessListItem};
use alloy::network::{Ethereum, EthereumWallet, TransactionBuilder, TransactionBuilder7702};
use alloy::providers::{DynProvider, PendingTransactionBuilder, Provider, ProviderBuilder, WsConnect};
use alloy::rpc::client::RpcClient;
use alloy::rpc::json_rpc::{RequestPacket, ResponsePacket};
use alloy::rpc::types::{Filter, TransactionReceipt, TransactionRequest};
use alloy::sol;
use alloy::sol_types::SolEvent;
use alloy::transports::{TransportError, TransportErrorKind, TransportFut};
use alloy_primitives::{Address, B256, Bytes, U256, address, keccak256};
use cloister_tests::node::{CHAIN_ID, Node, Target};
use cloister_tests::rpc;
use cloister_tests::tools::artifact;
use cloister_tests::transactions::{authorize, signer};
use futures_util::StreamExt;

sol! {
    #[sol(rpc)]
    #[derive(Debug)]
    contract Registry {
        uint256 public counter;
        mapping(bytes32 => uint256) public values;
        event Set(bytes32 indexed key, uint256 value);
        error TooMany(uint256 count, uint256 limit);
        function set(bytes32 key, uint256 value) public;
        function setMany(uint256 count) external;
    }

    #[sol(rpc)]
    #[derive(Debug)]
    contract Vault {
        error InsufficientDeposit(address account, uint256 requested, uint256 available);
        function withdraw(uint256 amount) external;
        function failWithReason() external pure;
        function failWithPanic(uint256 divisor) external pure returns (uint256);
    }

    struct Call { address to; uint256 value; bytes data; }
    function execute(Call[] calldata calls) external payable;
}

const STRANGER: Address = address!("0x00000000000000000000000000000000000a11ce");

/// The future's value, or a failure after ten seconds that says what was awaited.
async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(10), future)
        .await
        .unwrap_or_else(|_| panic!("{what}: nothing within ten seconds"))
}

/// Sends, and waits for the receipt.
async fn mined(pending: PendingTransactionBuilder<Ethereum>) -> TransactionReceipt {
    soon("a receipt", pending.get_receipt()).await.expect("it is mined")
}

/// alloy's packets over this package's HTTP client.
#[derive(Clone)]
struct PlainHttp(SocketAddr);

impl tower::Service<RequestPacket> for PlainHttp {
    type Response = ResponsePacket;
    type Error = TransportError;
    type Future = TransportFut<'static>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: RequestPacket) -> Self::Future {
        let address = self.0;
        Box::pin(async move {
            let body = serde_json::to_vec(&request).map_err(TransportError::ser_err)?;
            let posted = tokio::task::spawn_blocking(move || rpc::RpcClient::new(address).post(&body)).await;
            let answer = posted.map_err(TransportErrorKind::custom)?.map_err(TransportErrorKind::custom)?;
            serde_json::from_slice(&answer.body)
                .map_err(|e| TransportError::deser_err(e, String::from_utf8_lossy(&answer.body)))
        })
    }
}

/// A node and a provider that signs as the first four accounts.
struct Scene {
    node: Node,
    provider: DynProvider,
}

fn wallet() -> EthereumWallet {
    let mut wallet = EthereumWallet::from(signer(0));
    for index in 1..4 {
        wallet.register_signer(signer(index));
    }
    wallet
}

impl Scene {
    fn http(target: Target) -> Self {
        let node = Node::start_default(target);
        let client = RpcClient::new(PlainHttp(node.address()), true);
        let provider = ProviderBuilder::new().wallet(wallet()).connect_client(client).erased();
        provider.client().set_poll_interval(Duration::from_millis(20));
        Self { node, provider }
    }

    async fn websocket(target: Target) -> Self {
        let node = Node::start_default(target);
        let provider = ProviderBuilder::new().wallet(wallet()).connect_ws(WsConnect::new(node.ws_url())).await;
        Self { provider: provider.expect("alloy connects over WebSocket").erased(), node }
    }

    async fn deploy(&self, contract: &str, arguments: Vec<u8>) -> Address {
        let code: Bytes = [artifact(contract).bytecode, arguments].concat().into();
        let request = TransactionRequest::default().with_from(signer(0).address()).with_deploy_code(code);
        let pending = self.provider.send_transaction(request).await.expect("a deployment is taken");
        let receipt = mined(pending).await;
        assert!(receipt.status(), "{contract}: {receipt:?}");
        receipt.contract_address.expect("a deployment has an address")
    }

    async fn registry(&self) -> Registry::RegistryInstance<DynProvider> {
        let arguments = (B256::repeat_byte(1), "example".to_owned());
        let arguments = <(
            alloy::sol_types::sol_data::FixedBytes<32>,
            alloy::sol_types::sol_data::String,
        ) as alloy::sol_types::SolType>::abi_encode_params(&arguments);
        Registry::new(self.deploy("Registry", arguments).await, self.provider.clone())
    }

    async fn vault(&self) -> Vault::VaultInstance<DynProvider> {
        Vault::new(self.deploy("Vault", U256::from(3600).to_be_bytes_vec()).await, self.provider.clone())
    }
}

async fn deploys_and_sends_every_type(scene: &Scene) {
    let provider = &scene.provider;
    let registry = scene.registry().await;
    let from = signer(1).address();
    let base = TransactionRequest::default().with_from(from).with_to(STRANGER).with_value(U256::from(1));
    let price = provider.get_gas_price().await.expect("a gas price") * 2;

    let pending =
        provider.send_transaction(base.clone().with_gas_price(price)).await.expect("a legacy transaction is taken");
    assert_eq!(mined(pending).await.transaction_type() as u8, 0);

    let list =
        AccessList(vec![AccessListItem { address: *registry.address(), storage_keys: vec![B256::with_last_byte(1)] }]);
    let request = base.clone().with_gas_price(price).with_access_list(list.clone());
    let receipt = mined(provider.send_transaction(request).await.expect("EIP-2930 is taken")).await;
    assert_eq!(receipt.transaction_type() as u8, 1);
    let sent =
        provider.get_transaction_by_hash(receipt.transaction_hash).await.expect("an answer").expect("it is known");
    assert_eq!(sent.access_list(), Some(&list));

    let receipt = mined(provider.send_transaction(base.clone()).await.expect("EIP-1559 is taken")).await;
    assert_eq!(receipt.transaction_type() as u8, 2);

    let batch = scene.deploy("BatchCaller", vec![]).await;
    let nonce = provider.get_transaction_count(from).await.expect("a nonce");
    let call = Call { to: STRANGER, value: U256::from(5), data: Bytes::new() };
    let input = alloy::sol_types::SolCall::abi_encode(&executeCall { calls: vec![call] });
    let request = TransactionRequest::default().with_from(from).with_to(from).with_input(input);
    let request = request.with_authorization_list(vec![authorize(&signer(1), batch, nonce + 1)]);
    let receipt = mined(provider.send_transaction(request).await.expect("EIP-7702 is taken")).await;
    assert_eq!((receipt.transaction_type() as u8, receipt.status()), (4, true));
    assert_eq!(
        provider.get_code_at(from).await.expect("code"),
        Bytes::from([&[0xef, 0x01, 0x00], batch.as_slice()].concat())
    );
    assert_eq!(provider.get_balance(STRANGER).await.expect("a balance"), U256::from(8));
    assert_eq!(provider.get_chain_id().await.expect("a chain id"), CHAIN_ID);
}

#[tokio::test(flavor = "multi_thread")]
async fn deploys_and_sends_every_type_dev() {
    deploys_and_sends_every_type(&Scene::http(Target::Dev)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deploys_and_sends_every_type_two_process() {
    deploys_and_sends_every_type(&Scene::http(Target::TwoProcess)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deploys_and_sends_every_type_over_websocket() {
    deploys_and_sends_every_type(&Scene::websocket(Target::Dev).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_estimates_and_logs() {
    let scene = Scene::http(Target::Dev);
    let registry = scene.registry().await;
    let key = keccak256("key");
    let receipt = mined(registry.set(key, U256::from(42)).send().await.expect("taken")).await;
    assert_eq!(registry.values(key).call().await.expect("a value"), U256::from(42));
    let before = receipt.block_number.expect("a number") - 1;
    assert_eq!(registry.values(key).block(before.into()).call().await.expect("an older value"), U256::ZERO);

    let estimate = registry.setMany(U256::from(10)).estimate_gas().await.expect("an estimate");
    let many = mined(registry.setMany(U256::from(10)).gas(estimate).send().await.expect("taken")).await;
    assert!(many.status());

    let logs = registry.Set_filter().topic1(key).from_block(0).query().await.expect("logs");
    assert_eq!(
        logs.iter().map(|(event, log)| (event.value, log.transaction_hash)).collect::<Vec<_>>(),
        [(U256::from(42), Some(receipt.transaction_hash))]
    );
    let filter = Filter::new()
        .address(*registry.address())
        .event_signature(Registry::Set::SIGNATURE_HASH)
        .select(many.block_hash.expect("a hash"));
    assert_eq!(scene.provider.get_logs(&filter).await.expect("logs by block hash").len(), 10);

    let block =
        scene.provider.get_block_by_number(BlockNumberOrTag::Latest).full().await.expect("an answer").expect("a block");
    assert_eq!(block.header.hash, many.block_hash.expect("a hash"));
    assert_eq!(block.header.hash, block.header.inner.hash_slow(), "the hash is that of the header shown");
    let transactions = block.transactions.as_transactions().expect("whole transactions");
    assert_eq!(
        alloy::consensus::proofs::calculate_transaction_root(
            &transactions.iter().map(|t| t.inner.inner().clone()).collect::<Vec<_>>()
        ),
        block.header.transactions_root
    );
    let receipts =
        scene.provider.get_block_receipts(block.header.number.into()).await.expect("an answer").expect("receipts");
    assert_eq!(receipts.iter().map(|r| r.transaction_hash).collect::<Vec<_>>(), [many.transaction_hash]);
}

#[tokio::test(flavor = "multi_thread")]
async fn reverts_are_decoded() {
    let scene = Scene::http(Target::Dev);
    let (registry, vault) = (scene.registry().await, scene.vault().await);
    let error = registry.setMany(U256::from(1001)).call().await.expect_err("beyond the limit");
    let decoded = error.as_decoded_error::<Registry::TooMany>().expect("the named error");
    assert_eq!((decoded.count, decoded.limit), (U256::from(1001), U256::from(1000)));
    let error = registry.setMany(U256::from(1001)).estimate_gas().await.expect_err("beyond the limit");
    assert!(error.as_decoded_error::<Registry::TooMany>().is_some(), "{error}");
    let error = vault.withdraw(U256::from(1)).from(STRANGER).call().await.expect_err("nothing deposited");
    assert_eq!(error.as_decoded_error::<Vault::InsufficientDeposit>().expect("the named error").account, STRANGER);

    let error = vault.failWithReason().call().await.expect_err("it always fails");
    let payload = match &error {
        alloy::contract::Error::TransportError(error) => error.as_error_resp().expect("the node's own error"),
        other => panic!("{other}"),
    };
    assert_eq!((payload.code, payload.message.as_ref()), (3, "execution reverted: Vault: always fails"));
    let error = vault.failWithPanic(U256::ZERO).call().await.expect_err("division by zero");
    let data = error.as_revert_data().expect("revert data");
    assert_eq!(
        data.as_ref(),
        [&hex::decode("4e487b71").expect("hex")[..], &U256::from(0x12).to_be_bytes::<32>()].concat()
    );

    let receipt = mined(vault.withdraw(U256::from(1)).gas(100_000).send().await.expect("taken")).await;
    assert!(!receipt.status());
}

#[tokio::test(flavor = "multi_thread")]
async fn subscriptions_push_heads_logs_and_pending_transactions() {
    let scene = Scene::websocket(Target::Dev).await;
    let registry = scene.registry().await;
    let mut heads = scene.provider.subscribe_blocks().await.expect("newHeads").into_stream();
    let mut logs =
        scene.provider.subscribe_logs(&Filter::new().address(*registry.address())).await.expect("logs").into_stream();
    let mut pending =
        scene.provider.subscribe_pending_transactions().await.expect("newPendingTransactions").into_stream();

    for value in 1..=3_u64 {
        let receipt = mined(registry.set(keccak256("pushed"), U256::from(value)).send().await.expect("taken")).await;
        assert_eq!(soon("a pending transaction", pending.next()).await, Some(receipt.transaction_hash));
        let head = soon("a head", heads.next()).await.expect("a head");
        assert_eq!((head.number, Some(head.hash)), (receipt.block_number.expect("a number"), receipt.block_hash));
        assert_eq!(head.hash, head.inner.hash_slow(), "a pushed header is complete");
        let log = soon("a log", logs.next()).await.expect("a log");
        assert_eq!(log.log_decode::<Registry::Set>().expect("the event").data().value, U256::from(value));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_connections_get_their_own_notifications() {
    let scene = Scene::websocket(Target::Dev).await;
    // alloy itself subscribes to heads to await receipts, and shares equal subscriptions: that one shall be settled first.
    scene.registry().await;
    let other =
        ProviderBuilder::new().connect_ws(WsConnect::new(scene.node.ws_url())).await.expect("a second connection");
    let mut theirs = other.subscribe_blocks().await.expect("newHeads").into_stream();
    let mut ours = scene.provider.subscribe_blocks().await.expect("newHeads").into_stream();
    let request =
        TransactionRequest::default().with_from(signer(0).address()).with_to(STRANGER).with_value(U256::from(1));
    let receipt = mined(scene.provider.send_transaction(request).await.expect("taken")).await;
    assert_eq!(soon("our head", ours.next()).await.map(|head| Some(head.hash)), Some(receipt.block_hash));
    assert_eq!(soon("their head", theirs.next()).await.map(|head| Some(head.hash)), Some(receipt.block_hash));
}
