"""web3.py against the node: contracts, every transaction type, errors, filters, batches and WebSocket subscriptions."""

import asyncio
import json
import os
from pathlib import Path

import pytest
from eth_account import Account
from web3 import AsyncWeb3, Web3, WebSocketProvider
from web3.exceptions import BlockNotFound, ContractCustomError, ContractLogicError, ContractPanicError, TransactionNotFound, Web3RPCError
from web3.middleware import SignAndSendRawMiddlewareBuilder

RPC_URL = os.environ["RPC_URL"]
WS_URL = os.environ["WS_URL"]
ARTIFACTS = Path(os.environ["ARTIFACTS"])
KEYS = [
    "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80",
    "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d",
    "0x5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a",
]
OWNER, OTHER, THIRD = (Account.from_key(key) for key in KEYS)
STRANGER = Web3.to_checksum_address("0x00000000000000000000000000000000000a11ce")


def connected(key=KEYS[0]):
    w3 = Web3(Web3.HTTPProvider(RPC_URL))
    account = Account.from_key(key)
    w3.middleware_onion.inject(SignAndSendRawMiddlewareBuilder.build(account), layer=0)
    w3.eth.default_account = account.address
    return w3


@pytest.fixture(scope="module")
def w3():
    return connected()


def artifact(name):
    compiled = json.loads((ARTIFACTS / f"{name}.sol" / f"{name}.json").read_text())
    return {"abi": compiled["abi"], "bytecode": compiled["bytecode"]["object"]}


def mined(w3, transaction_hash):
    return w3.eth.wait_for_transaction_receipt(transaction_hash, timeout=20, poll_latency=0.02)


def deploy(w3, name, *args, value=0):
    receipt = mined(w3, w3.eth.contract(**artifact(name)).constructor(*args).transact({"value": value}))
    assert receipt["status"] == 1
    return w3.eth.contract(address=receipt["contractAddress"], abi=artifact(name)["abi"])


@pytest.fixture(scope="module")
def token(w3):
    return deploy(w3, "Token", "Example", "EXA", 1_000_000)


@pytest.fixture(scope="module")
def vault(w3):
    return deploy(w3, "Vault", 3600, value=5)


@pytest.fixture(scope="module")
def registry(w3):
    return deploy(w3, "Registry", Web3.keccak(text="salt"), "example")


def send(w3, account, **fields):
    """Signs by hand, so that the type is exactly what the fields make it."""
    transaction = {"chainId": 31337, "nonce": w3.eth.get_transaction_count(account.address), "gas": 200_000, "to": STRANGER, "value": 1, **fields}
    return mined(w3, w3.eth.send_raw_transaction(account.sign_transaction(transaction).raw_transaction))


FEES = {"maxFeePerGas": 5_000_000_000, "maxPriorityFeePerGas": 1_000_000_000}


def test_the_node_says_what_it_is(w3):
    assert w3.is_connected()
    assert w3.eth.chain_id == 31337
    assert "/" in w3.client_version
    assert w3.net.version == "31337"
    assert w3.net.listening in (True, False)
    assert w3.eth.syncing is False
    assert w3.provider.make_request("web3_sha3", ["0x616263"])["result"] == Web3.keccak(text="abc").to_0x_hex()
    assert len(w3.eth.accounts) == 10


def test_a_deployed_contract_answers(w3, token, vault, registry):
    assert token.functions.totalSupply().call() == 1_000_000
    assert registry.functions.label().call() == "example"
    assert w3.eth.get_balance(vault.address) == 5
    assert len(w3.eth.get_code(token.address)) > 100
    assert w3.eth.get_code(STRANGER) == b""


def test_a_legacy_transaction(w3):
    receipt = send(w3, OTHER, gasPrice=w3.eth.gas_price * 2)
    assert (receipt["type"], receipt["status"], receipt["gasUsed"]) == (0, 1, 21_000)
    assert w3.eth.get_transaction(receipt["transactionHash"])["type"] == 0


def test_an_eip2930_transaction(w3, registry):
    access_list = [{"address": registry.address, "storageKeys": ["0x" + "00" * 31 + "01"]}]
    receipt = send(w3, OTHER, gasPrice=w3.eth.gas_price * 2, accessList=access_list, type=1)
    assert (receipt["type"], receipt["status"]) == (1, 1)
    sent = w3.eth.get_transaction(receipt["transactionHash"])
    assert sent["accessList"][0]["address"] == registry.address


def test_an_eip1559_transaction(w3):
    receipt = send(w3, OTHER, **FEES)
    base_fee = w3.eth.get_block(receipt["blockNumber"])["baseFeePerGas"]
    assert receipt["type"] == 2
    assert receipt["effectiveGasPrice"] == base_fee + FEES["maxPriorityFeePerGas"]


def test_an_eip7702_transaction(w3, registry):
    batch = deploy(w3, "BatchCaller")
    nonce = w3.eth.get_transaction_count(THIRD.address)
    authorization = THIRD.sign_authorization({"chainId": 31337, "address": batch.address, "nonce": nonce + 1})
    call = (registry.address, 0, registry.encode_abi("set", [Web3.keccak(text="7702"), 9]))
    data = batch.encode_abi("execute", [[call]])
    receipt = send(w3, THIRD, to=THIRD.address, value=0, data=data, authorizationList=[authorization], **FEES)
    assert (receipt["type"], receipt["status"]) == (4, 1)
    assert w3.eth.get_code(THIRD.address) == bytes.fromhex("ef0100" + batch.address[2:])
    assert registry.functions.values(Web3.keccak(text="7702")).call() == 9


def test_estimates_suffice(w3, registry):
    estimate = registry.functions.setMany(10).estimate_gas()
    receipt = mined(w3, registry.functions.setMany(10).transact({"gas": estimate}))
    assert receipt["status"] == 1
    assert w3.eth.estimate_gas({"to": STRANGER, "value": 1}) == 21_000


def test_reverts_are_decoded(vault):
    insufficient = Web3.keccak(text="InsufficientDeposit(address,uint256,uint256)")[:4].hex()
    with pytest.raises(ContractCustomError) as custom:
        vault.functions.withdraw(9).call()
    assert custom.value.data.startswith("0x" + insufficient) or "InsufficientDeposit" in str(custom.value)
    with pytest.raises(ContractLogicError, match="Vault: always fails"):
        vault.functions.failWithReason().call()
    with pytest.raises(ContractPanicError):
        vault.functions.failWithPanic(0).call()
    with pytest.raises(ContractLogicError, match="Vault: always fails"):
        vault.functions.failWithReason().estimate_gas()
    with pytest.raises(ContractLogicError):
        vault.functions.failSilently().call()


def test_a_transaction_that_failed_in_its_block(w3, vault):
    receipt = mined(w3, vault.functions.withdraw(9).transact({"gas": 100_000}))
    assert receipt["status"] == 0
    assert receipt["logs"] == []


def test_logs_by_range_and_argument(w3, registry):
    first = mined(w3, registry.functions.set(Web3.keccak(text="a"), 1).transact())
    mined(w3, registry.functions.set(Web3.keccak(text="b"), 2).transact())
    start = first["blockNumber"]
    assert [event["args"]["value"] for event in registry.events.Set().get_logs(from_block=start)] == [1, 2]
    only = registry.events.Set().get_logs(from_block=start, argument_filters={"key": Web3.keccak(text="b")})
    assert [event["args"]["value"] for event in only] == [2]
    assert registry.events.Set().process_receipt(first)[0]["args"]["value"] == 1
    by_hash = w3.eth.get_logs({"blockHash": first["blockHash"], "address": registry.address})
    assert [log["transactionHash"] for log in by_hash] == [first["transactionHash"]]


def test_filters(w3, registry):
    blocks = w3.eth.filter("latest")
    pending = w3.eth.filter("pending")
    events = registry.events.Set.create_filter(from_block="latest")
    receipt = mined(w3, registry.functions.set(Web3.keccak(text="filter"), 7).transact())
    assert [bytes(block) for block in blocks.get_new_entries()] == [bytes(receipt["blockHash"])]
    assert [bytes(hash_) for hash_ in pending.get_new_entries()] == [bytes(receipt["transactionHash"])]
    assert [event["args"]["value"] for event in events.get_new_entries()][-1:] == [7]
    assert events.get_new_entries() == []
    assert w3.eth.uninstall_filter(events.filter_id) is True
    assert w3.eth.uninstall_filter(events.filter_id) is False


def test_older_blocks_and_tags(w3, registry):
    first = mined(w3, registry.functions.set(Web3.keccak(text="old"), 1).transact())
    mined(w3, registry.functions.set(Web3.keccak(text="old"), 2).transact())
    values = registry.functions.values(Web3.keccak(text="old"))
    assert values.call(block_identifier=first["blockNumber"]) == 1
    assert values.call() == 2
    for tag in ("earliest", "latest", "pending", "safe", "finalized"):
        assert w3.eth.get_block(tag) is not None
    block = w3.eth.get_block(first["blockNumber"], full_transactions=True)
    assert block["transactions"][0]["hash"] == first["transactionHash"]
    assert w3.eth.get_block_transaction_count(first["blockHash"]) == 1
    assert w3.eth.get_transaction_by_block(first["blockNumber"], 0)["hash"] == first["transactionHash"]
    with pytest.raises(BlockNotFound):
        w3.eth.get_block(10_000_000)
    with pytest.raises(TransactionNotFound):
        w3.eth.get_transaction("0x" + "11" * 32)


def test_refusals_of_the_pool(w3):
    poor = Account.create()
    transaction = {"chainId": 31337, "nonce": 0, "gas": 21_000, "to": STRANGER, "value": 1, **FEES}
    with pytest.raises(Web3RPCError, match="(?i)insufficient funds") as refused:
        w3.eth.send_raw_transaction(poor.sign_transaction(transaction).raw_transaction)
    assert refused.value.rpc_response["error"]["code"] in (-32000, -32003)
    with pytest.raises(Web3RPCError, match="(?i)nonce too low"):
        w3.eth.send_raw_transaction(OWNER.sign_transaction(transaction).raw_transaction)


def test_proof_storage_and_fee_history(w3, registry):
    slot = int.from_bytes(w3.eth.get_storage_at(registry.address, 0), "big")
    assert (slot & 0xFF, slot >> 8 & 0xFFFFFFFF) == (1, 7)
    # web3.py writes the slot as "0x0", which geth takes and anvil does not.
    proof = w3.eth.get_proof(registry.address, ["0x" + "00" * 32] if "REFERENCE" in os.environ else [0])
    assert Web3.keccak(proof["accountProof"][0]) == w3.eth.get_block("latest")["stateRoot"]
    assert int.from_bytes(bytes(proof["storageProof"][0]["value"]), "big") == slot
    history = w3.eth.fee_history(2, "latest", [50])
    assert len(history["baseFeePerGas"]) == 3
    assert w3.eth.max_priority_fee >= 0


def test_accounts_that_the_node_holds(w3):
    plain = Web3(Web3.HTTPProvider(RPC_URL))
    receipt = mined(plain, plain.eth.send_transaction({"from": plain.eth.accounts[1], "to": STRANGER, "value": 3}))
    assert receipt["from"] == OTHER.address
    from eth_account.messages import encode_defunct

    signature = plain.eth.sign(plain.eth.accounts[0], text="hello")
    assert Account.recover_message(encode_defunct(text="hello"), signature=signature) == OWNER.address


def test_a_batch(w3, token):
    with w3.batch_requests() as batch:
        batch.add(w3.eth.get_block("earliest"))
        batch.add(token.functions.symbol())
        batch.add(w3.eth.get_balance(STRANGER))
        block, symbol, balance = batch.execute()
    assert block["number"] == 0
    assert symbol == "EXA"
    assert balance >= 0


async def test_websocket_subscriptions(w3, registry):
    async with AsyncWeb3(WebSocketProvider(WS_URL)) as socket:
        heads = await socket.eth.subscribe("newHeads")
        logs = await socket.eth.subscribe("logs", {"address": registry.address})
        pending = await socket.eth.subscribe("newPendingTransactions")
        receipt = mined(w3, registry.functions.set(Web3.keccak(text="pushed"), 77).transact())
        arrived = {}

        async def collect():
            async for message in socket.socket.process_subscriptions():
                arrived[message["subscription"]] = message["result"]
                if len(arrived) == 3:
                    return

        await asyncio.wait_for(collect(), timeout=10)
        assert arrived[heads]["hash"] == receipt["blockHash"]
        assert int.from_bytes(bytes(arrived[logs]["data"]), "big") == 77
        assert bytes(arrived[pending]) == bytes(receipt["transactionHash"])
        assert await socket.eth.unsubscribe(heads)


async def test_websocket_requests(vault):
    async with AsyncWeb3(WebSocketProvider(WS_URL)) as socket:
        assert await socket.eth.chain_id == 31337
        remote = socket.eth.contract(address=vault.address, abi=vault.abi)
        with pytest.raises(ContractLogicError, match="Vault: always fails"):
            await remote.functions.failWithReason().call()
        numbers = await asyncio.gather(*(socket.eth.block_number for _ in range(20)))
        assert len(set(numbers)) == 1
