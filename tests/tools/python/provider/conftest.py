"""What web3.py's own suite expects to find on a node: contracts, blocks with and without transactions, and an account with a key."""

import os
import re
import time
import tomllib
from pathlib import Path

import pytest
from eth_account import Account
from web3 import AsyncHTTPProvider, AsyncWeb3, Web3, WebSocketProvider
from web3._utils.contract_sources.contract_data._custom_contract_data import EMITTER_ENUM
from web3._utils.contract_sources.contract_data.emitter_contract import EMITTER_CONTRACT_DATA
from web3._utils.contract_sources.contract_data.math_contract import MATH_CONTRACT_DATA
from web3._utils.contract_sources.contract_data.offchain_lookup import OFFCHAIN_LOOKUP_DATA
from web3._utils.contract_sources.contract_data.panic_errors_contract import PANIC_ERRORS_CONTRACT_DATA
from web3._utils.contract_sources.contract_data.revert_contract import REVERT_CONTRACT_DATA
from web3._utils.contract_sources.contract_data.storage_contract import STORAGE_CONTRACT_DATA
from web3._utils.module_testing.utils import RequestMocker

RPC_URL = os.environ["RPC_URL"]
WS_URL = os.environ["WS_URL"]
KEY = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
OWNER = Account.from_key(KEY).address

EXCEPTIONS = tomllib.loads((Path(__file__).parent / "exceptions.toml").read_text())


def pytest_collection_modifyitems(items):
    """A listed test must fail, for the reason given; each entry must be a test."""
    classes = {item.cls.__name__ for item in items}
    unused = {name for name in EXCEPTIONS["fails"] if name.split("::")[0] in classes}
    for item in items:
        name = f"{item.cls.__name__}::{item.name}"
        if name in EXCEPTIONS["fails"]:
            unused.discard(name)
            item.add_marker(pytest.mark.xfail(reason=EXCEPTIONS["fails"][name], strict=True))
        if re.search(EXCEPTIONS["pending"], item.name):
            item.add_marker(pytest.mark.pending)
    assert not unused, f"exceptions.toml names tests that do not exist: {sorted(unused)}"


@pytest.fixture(scope="session")
def w3():
    return Web3(Web3.HTTPProvider(RPC_URL))


@pytest.fixture
async def async_w3(request):
    """A connection for each test: a subscription that one leaves behind is not the next one's."""
    if request.module.__name__ == "test_websocket":
        async with AsyncWeb3(WebSocketProvider(WS_URL)) as connected:
            yield connected
    else:
        connected = AsyncWeb3(AsyncHTTPProvider(RPC_URL))
        yield connected
        await connected.provider.disconnect()


class Chain:
    """A contract of each kind, and a block of each kind."""

    def __init__(self, w3):
        self._w3 = w3
        deployments = {
            "math": MATH_CONTRACT_DATA,
            "emitter": EMITTER_CONTRACT_DATA,
            "revert": REVERT_CONTRACT_DATA,
            "offchain_lookup": OFFCHAIN_LOOKUP_DATA,
            "panic_errors": PANIC_ERRORS_CONTRACT_DATA,
            "storage": STORAGE_CONTRACT_DATA,
        }
        self.data = deployments
        self.deployed = {name: self._mined(w3.eth.contract(**data).constructor().transact({"from": OWNER})) for name, data in deployments.items()}
        # The suite wants no log in any earlier block.
        logs = self._mined(self.contract(w3, "emitter").functions.logDouble(EMITTER_ENUM["LogDoubleWithIndex"], 12345, 54321).transact({"from": OWNER}))
        transfer = self._mined(w3.eth.send_transaction({"from": OWNER, "to": OWNER, "value": 1}))
        w3.provider.make_request("evm_mine", [])
        self.mined_txn = transfer["transactionHash"].to_0x_hex()
        self.txn_with_log = logs["transactionHash"].to_0x_hex()
        self.block_with_txn = transfer["blockHash"]
        self.block_with_log = logs["blockHash"]
        self.empty_block = w3.eth.get_block("latest")["hash"]
        assert not w3.eth.get_block(self.empty_block)["transactions"]

    def _mined(self, transaction_hash):
        self._w3.provider.make_request("evm_mine", [])
        receipt = self._w3.eth.get_transaction_receipt(transaction_hash)
        assert receipt["status"] == 1
        return receipt

    def contract(self, w3, name):
        return w3.eth.contract(address=self.deployed[name]["contractAddress"], **self.data[name])


@pytest.fixture(scope="session")
def chain(w3):
    return Chain(w3)


@pytest.fixture(scope="class", autouse=True)
def as_it_was(w3, chain):
    """Each class finds the chain as it was made: one's delegations and counters are not another's."""
    snapshot = w3.provider.make_request("evm_snapshot", [])["result"]
    yield
    assert w3.provider.make_request("evm_revert", [snapshot])["result"] is True


@pytest.fixture(autouse=True)
def right_after_a_block(request, w3):
    """What is to be replaced is sent right after a block: one that is being made just then would take it out of reach."""
    if re.search("replace|modify", request.node.name):
        head = w3.eth.block_number
        deadline = time.monotonic() + 10
        while w3.eth.block_number == head:
            assert time.monotonic() < deadline, "a block should be made each second"


def _contract(name):
    @pytest.fixture(scope="session")
    def contract(w3, chain):
        return chain.contract(w3, name)

    @pytest.fixture
    def async_contract(async_w3, chain):
        return chain.contract(async_w3, name)

    return contract, async_contract


math_contract, async_math_contract = _contract("math")
emitter_contract, async_emitter_contract = _contract("emitter")
revert_contract, async_revert_contract = _contract("revert")
offchain_lookup_contract, async_offchain_lookup_contract = _contract("offchain_lookup")
panic_errors_contract, async_panic_errors_contract = _contract("panic_errors")
storage_contract, async_storage_contract = _contract("storage")


def _of_chain(read):
    @pytest.fixture(scope="session")
    def value(chain):
        return read(chain)

    return value


math_contract_address = async_math_contract_address = _of_chain(lambda chain: chain.deployed["math"]["contractAddress"])
emitter_contract_address = async_emitter_contract_address = _of_chain(lambda chain: chain.deployed["emitter"]["contractAddress"])
math_contract_deploy_txn_hash = _of_chain(lambda chain: chain.deployed["math"]["transactionHash"].to_0x_hex())
mined_txn_hash = _of_chain(lambda chain: chain.mined_txn)
txn_hash_with_log = _of_chain(lambda chain: chain.txn_with_log)


def _block(which):
    @pytest.fixture(scope="session")
    def block(w3, chain):
        return w3.eth.get_block(getattr(chain, which))

    @pytest.fixture
    async def async_block(async_w3, chain):
        return await async_w3.eth.get_block(getattr(chain, which))

    return block, async_block


empty_block, async_empty_block = _block("empty_block")
block_with_txn, async_block_with_txn = _block("block_with_txn")
block_with_txn_with_log, async_block_with_txn_with_log = _block("block_with_log")


@pytest.fixture(scope="session")
def keyfile_account_pkey():
    return KEY


@pytest.fixture(scope="session")
def keyfile_account_address():
    return OWNER


keyfile_account_address_dual_type = keyfile_account_address
async_keyfile_account_address = keyfile_account_address
async_keyfile_account_address_dual_type = keyfile_account_address


@pytest.fixture(scope="session")
def skip_if_testrpc():
    return lambda w3: None


async_skip_if_testrpc = skip_if_testrpc


@pytest.fixture
def request_mocker():
    return RequestMocker
