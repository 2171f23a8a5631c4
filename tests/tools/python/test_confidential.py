"""web3.py on a confidential chain, as one who has signed in; and what strangers see of it."""

import json
import os
from pathlib import Path

import pytest
from eth_account import Account
from web3 import Web3
from web3.exceptions import ContractLogicError, TransactionNotFound
from web3.middleware import SignAndSendRawMiddlewareBuilder

KEY = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
OWNER = Account.from_key(KEY)
FRIEND = Web3.to_checksum_address("0x00000000000000000000000000000000000a11ce")
COMPILED = json.loads((Path(os.environ["ARTIFACTS"]) / "Token.sol" / "Token.json").read_text())


def test_deploys_reads_its_own_and_strangers_see_nothing():
    headers = {"Content-Type": "application/json"}
    if authorization := os.environ.get("AUTHORIZATION"):
        headers["Authorization"] = authorization
    w3 = Web3(Web3.HTTPProvider(os.environ["RPC_URL"], request_kwargs={"headers": headers}))
    w3.middleware_onion.inject(SignAndSendRawMiddlewareBuilder.build(OWNER), layer=0)
    w3.eth.default_account = OWNER.address
    stranger = Web3(Web3.HTTPProvider(os.environ["PUBLIC_URL"]))

    def mined(transaction_hash):
        return w3.eth.wait_for_transaction_receipt(transaction_hash, timeout=20, poll_latency=0.02)

    contract = w3.eth.contract(abi=COMPILED["abi"], bytecode=COMPILED["bytecode"]["object"])
    created = mined(contract.constructor("Example", "EXA", 1000).transact())
    token = w3.eth.contract(address=created["contractAddress"], abi=COMPILED["abi"])
    # Estimates of a contract without rules answer nobody.
    receipt = mined(token.functions.transfer(FRIEND, 5).transact({"gas": 300_000}))
    assert (receipt["status"], len(receipt["logs"])) == (1, 1)
    assert w3.eth.get_balance(OWNER.address) > 0
    assert w3.eth.get_transaction(receipt["transactionHash"])["from"] == OWNER.address
    assert len(token.events.Transfer.get_logs(from_block=receipt["blockNumber"])) == 1
    with pytest.raises(ContractLogicError):
        token.functions.balanceOf(OWNER.address).call()

    with pytest.raises(TransactionNotFound):
        stranger.eth.get_transaction_receipt(receipt["transactionHash"])
    with pytest.raises(TransactionNotFound):
        stranger.eth.get_transaction(receipt["transactionHash"])
    assert (stranger.eth.get_balance(OWNER.address), stranger.eth.get_transaction_count(OWNER.address)) == (0, 0)
    assert stranger.eth.get_code(token.address) == b""
    assert stranger.eth.get_logs({"fromBlock": 0}) == []
