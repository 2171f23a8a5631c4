// web3.js 4 against the node.
import assert from "node:assert/strict";
import { before, test } from "node:test";
import { Web3, WebSocketProvider } from "web3";
import { getEncodedEip712Data } from "web3-eth-abi";
import { artifact, chainId, collector, keys, notOnAnvil, raw, rawResult, rpcUrl, soon, withoutMining, wsUrl } from "./common.mjs";

const web3 = new Web3(rpcUrl);
web3.eth.transactionPollingInterval = 50;
for (const key of keys) web3.eth.accounts.wallet.add(key);
const [owner, other] = keys.map((key) => web3.eth.accounts.privateKeyToAccount(key).address);
const stranger = "0x00000000000000000000000000000000000a11ce";
const id = (text) => web3.utils.keccak256(text);

async function deploy(name, args = [], value = "0") {
  const { abi, bytecode } = artifact(name);
  return new web3.eth.Contract(abi).deploy({ data: bytecode, arguments: args }).send({ from: owner, value });
}

/** What a promise was rejected with. */
const refusal = (promise) => promise.then(() => assert.fail("it did not fail"), (error) => error);

let token, vault, registry;
before(async () => {
  token = await deploy("Token", ["Example", "EXA", 1_000_000n]);
  vault = await deploy("Vault", [3600n], "5");
  registry = await deploy("Registry", [id("salt"), "example"]);
});

test("a deployed contract has the code and the state its constructor made", async () => {
  assert.notEqual(await web3.eth.getCode(token.options.address), "0x");
  assert.equal(await token.methods.totalSupply().call(), 1_000_000n);
  assert.equal(await token.methods.owner().call(), owner);
  assert.equal(await registry.methods.label().call(), "example");
  assert.equal(await web3.eth.getBalance(vault.options.address), 5n);
});

test("the network and the node are what they say", async () => {
  assert.equal(await web3.eth.getChainId(), BigInt(chainId));
  assert.equal(await web3.eth.net.getId(), BigInt(chainId));
  assert.equal(await web3.eth.net.isListening(), true);
  assert.equal(await web3.eth.net.getPeerCount(), 0n);
  assert.equal(await web3.eth.isSyncing(), false);
  assert.match(await web3.eth.getNodeInfo(), /\//);
  assert.equal((await web3.eth.getAccounts())[0], owner);
});

test("a legacy transaction", async () => {
  const gasPrice = (await web3.eth.getGasPrice()) * 2n;
  const receipt = await web3.eth.sendTransaction({ type: "0x0", from: owner, to: stranger, value: "1", gas: 21_000n, gasPrice });
  const sent = await web3.eth.getTransaction(receipt.transactionHash);
  assert.deepEqual([sent.type, receipt.type, receipt.status, receipt.gasUsed, sent.gasPrice], [0n, 0n, 1n, 21_000n, gasPrice]);
  assert.equal(receipt.effectiveGasPrice, gasPrice);
  assert.ok([BigInt(chainId) * 2n + 35n, BigInt(chainId) * 2n + 36n].includes(BigInt(sent.v)), "replay-protected (EIP-155)");
});

test("an EIP-2930 transaction with the access list that the node made", async () => {
  const call = { from: owner, to: registry.options.address, data: registry.methods.set(id("2930"), 1n).encodeABI() };
  const { accessList } = await web3.eth.createAccessList(call);
  assert.equal(accessList.length, 1);
  assert.ok(accessList[0].storageKeys.length >= 3, "values[key], history's length and element, counter");
  const gasPrice = (await web3.eth.getGasPrice()) * 2n;
  const receipt = await web3.eth.sendTransaction({ ...call, type: "0x1", gas: 200_000n, gasPrice, accessList });
  const sent = await web3.eth.getTransaction(receipt.transactionHash);
  assert.deepEqual([sent.type, receipt.status, sent.accessList[0].storageKeys.length], [1n, 1n, accessList[0].storageKeys.length]);
});

test("an EIP-1559 transaction pays at most what it offers", async () => {
  const before = await web3.eth.getBalance(other);
  const fees = { maxFeePerGas: 5_000_000_000n, maxPriorityFeePerGas: 1_000_000_000n };
  const receipt = await web3.eth.sendTransaction({ type: "0x2", from: other, to: stranger, value: "7", gas: 21_000n, ...fees });
  const { baseFeePerGas } = await web3.eth.getBlock(receipt.blockNumber);
  assert.equal(receipt.effectiveGasPrice, baseFeePerGas + fees.maxPriorityFeePerGas);
  assert.equal(await web3.eth.getBalance(other), before - 7n - receipt.gasUsed * receipt.effectiveGasPrice);
});

test("estimates suffice and are not wasteful", async () => {
  const gas = await registry.methods.setMany(10n).estimateGas({ from: owner });
  const receipt = await registry.methods.setMany(10n).send({ from: owner, gas: gas.toString() });
  assert.ok(gas < (receipt.gasUsed * 13n) / 10n, `${gas} for ${receipt.gasUsed}`);
  assert.equal(await web3.eth.estimateGas({ from: owner, to: stranger, value: "1" }), 21_000n);
});

test("calls see older blocks, and what a caller claims to be", async () => {
  const first = await registry.methods.set(id("old"), 1n).send({ from: owner });
  await registry.methods.set(id("old"), 2n).send({ from: owner });
  assert.equal(await registry.methods.values(id("old")).call({}, first.blockNumber), 1n);
  assert.equal(await registry.methods.values(id("old")).call({}, first.blockNumber - 1n), 0n);
  const environment = await registry.methods.environment().call({ from: stranger });
  assert.deepEqual([environment.caller.toLowerCase(), environment.chainId], [stranger, BigInt(chainId)]);
});

test("logs by address, topic and block, and a contract's past events", async () => {
  const receipt = await registry.methods.set(id("log a"), 1n).send({ from: owner });
  await registry.methods.set(id("log b"), 2n).send({ from: owner });
  assert.deepEqual([receipt.events.Set.returnValues.key, receipt.events.Set.returnValues.value], [id("log a"), 1n]);
  const filter = { address: registry.options.address, fromBlock: receipt.blockNumber };
  const values = async (f) => (await web3.eth.getPastLogs(f)).map((log) => BigInt(log.data));
  assert.deepEqual(await values(filter), [1n, 2n]);
  assert.deepEqual(await values({ ...filter, topics: [null, id("log b")] }), [2n]);
  assert.deepEqual(await values({ ...filter, toBlock: receipt.blockNumber }), [1n]);
  const events = await registry.getPastEvents("Set", { filter: { key: id("log b") }, fromBlock: receipt.blockNumber });
  assert.deepEqual(events.map((event) => event.returnValues.value), [2n]);
});

test("reverts are decoded: custom errors, reasons, panics", async () => {
  const custom = (await refusal(vault.methods.withdraw(9n).call({ from: owner }))).cause;
  assert.equal(custom.errorName, "InsufficientDeposit");
  assert.deepEqual([custom.errorArgs.account, custom.errorArgs.requested, custom.errorArgs.available], [owner, 9n, 0n]);
  const reason = (await refusal(vault.methods.failWithReason().call())).cause;
  assert.deepEqual([reason.errorName, reason.errorArgs.message], ["Error", "Vault: always fails"]);
  const panic = (await refusal(vault.methods.failWithPanic(0n).call())).cause;
  assert.deepEqual([panic.errorName, panic.errorArgs.code], ["Panic", 0x12n]);
  const estimate = (await refusal(vault.methods.withdraw(9n).estimateGas({ from: owner }))).cause;
  assert.deepEqual([estimate.code, estimate.data], [3, custom.data]);
});

test("a transaction that would fail is refused with its reason, one that failed has a receipt", async () => {
  const refused = await refusal(vault.methods.failWithReason().send({ from: owner }));
  assert.match(`${refused.message} ${refused.reason ?? ""} ${refused.cause?.message ?? ""}`, /always fails/);
  web3.eth.Contract.handleRevert = false;
  const data = vault.methods.withdraw(9n).encodeABI();
  const sent = web3.eth.sendTransaction({ from: owner, to: vault.options.address, data, gas: 100_000n }, undefined, { checkRevertBeforeSending: false });
  const failed = await refusal(sent);
  assert.equal(failed.receipt?.status, 0n, failed.message);
});

test("refusals of the pool keep geth's words", async () => {
  const poor = web3.eth.accounts.create();
  const fees = { gas: 21_000n, maxFeePerGas: 5_000_000_000n, maxPriorityFeePerGas: 1_000_000_000n };
  const send = async (account, transaction) => {
    const { rawTransaction } = await account.signTransaction({ to: stranger, value: "1", chainId, type: "0x2", ...fees, ...transaction });
    return raw("eth_sendRawTransaction", rawTransaction);
  };
  const owning = web3.eth.accounts.privateKeyToAccount(keys[0]);
  const message = async (...args) => (await send(...args)).error?.message ?? "taken";
  assert.match(await message(poor, { nonce: 0 }), /insufficient funds for gas \* price \+ value/);
  assert.match(await message(owning, { nonce: 0 }), /nonce too low/);
  await withoutMining(async () => {
    const nonce = await web3.eth.getTransactionCount(owner);
    assert.equal((await send(owning, { nonce })).error, undefined);
    assert.match(await message(owning, { nonce }), /already known|already imported/);
    assert.match(await message(owning, { nonce, value: "2" }), /replacement transaction underpriced/);
  });
});

test("many transactions in flight", async () => {
  const nonce = await web3.eth.getTransactionCount(other);
  const sending = [];
  for (let i = 0n; i < 20n; i++) sending.push(web3.eth.sendTransaction({ from: other, to: stranger, value: "1", nonce: nonce + i, gas: 21_000n }));
  const receipts = await Promise.all(sending);
  assert.ok(receipts.every((receipt) => receipt.status === 1n));
  assert.equal(await web3.eth.getTransactionCount(other), nonce + 20n);
});

test("a batch is answered entry by entry", async () => {
  const batch = new web3.BatchRequest();
  const request = (method, ...params) => batch.add({ jsonrpc: "2.0", id: crypto.randomUUID(), method, params });
  const number = request("eth_blockNumber");
  const balance = request("eth_getBalance", stranger, "latest");
  const unknown = refusal(request("eth_noSuchMethod"));
  const answers = await batch.execute();
  assert.equal(answers.length, 3);
  assert.equal(BigInt(await number), await web3.eth.getBlockNumber());
  assert.equal(BigInt(await balance), await web3.eth.getBalance(stranger));
  assert.match(JSON.stringify(await unknown), /-32601/);
});

test("blocks by number, hash and tag", async () => {
  const receipt = await web3.eth.sendTransaction({ from: owner, to: stranger, value: "1", gas: 21_000n });
  const block = await web3.eth.getBlock(receipt.blockHash, true);
  assert.deepEqual([block.number, block.transactions[0].hash], [receipt.blockNumber, receipt.transactionHash]);
  assert.equal((await web3.eth.getBlock(block.number - 1n)).hash, block.parentHash);
  for (const tag of ["earliest", "safe", "finalized", "latest", "pending"]) assert.ok(await web3.eth.getBlock(tag), tag);
  assert.equal(await web3.eth.getBlockTransactionCount(receipt.blockHash), 1n);
  assert.equal((await web3.eth.getTransactionFromBlock(receipt.blockHash, 0)).hash, receipt.transactionHash);
  await assert.rejects(web3.eth.getTransactionReceipt(id("unknown")), /not found/i);
});

test("fees: history, gas price, tip, and what they add up to", async () => {
  const history = await web3.eth.getFeeHistory(2n, "latest", [10, 50, 90]);
  assert.deepEqual([history.baseFeePerGas.length, history.gasUsedRatio.length, history.reward.length], [3, 2, 2]);
  const { gasPrice, maxFeePerGas, maxPriorityFeePerGas, baseFeePerGas } = await web3.eth.calculateFeeData();
  assert.ok(gasPrice >= baseFeePerGas && maxFeePerGas > baseFeePerGas && maxPriorityFeePerGas >= 0n);
});

test("storage, and its proof", async () => {
  await registry.methods.set(id("slot"), 1234n).send({ from: owner });
  const slot = web3.utils.keccak256(web3.eth.abi.encodeParameters(["bytes32", "uint256"], [id("slot"), 2n]));
  assert.equal(BigInt(await web3.eth.getStorageAt(registry.options.address, BigInt(slot))), 1234n);
  const proof = await web3.eth.getProof(registry.options.address, [slot], "latest");
  assert.equal(proof.storageProof[0].value, 1234n);
  const { stateRoot } = await web3.eth.getBlock("latest");
  assert.equal(web3.utils.keccak256(proof.accountProof[0]), stateRoot);
});

test("accounts that the node holds send and sign", async () => {
  const bare = new Web3(rpcUrl);
  const receipt = await bare.eth.sendTransaction({ from: owner, to: stranger, value: "3" });
  assert.equal(receipt.from.toLowerCase(), owner.toLowerCase());
  const message = bare.utils.utf8ToHex("hello");
  assert.equal(bare.eth.accounts.recover("hello", await bare.eth.sign(message, owner)), owner);
  assert.equal(bare.eth.accounts.recover("hello", await bare.eth.personal.sign(message, owner, "")), owner);
  const typed = {
    types: { EIP712Domain: [{ name: "name", type: "string" }], Note: [{ name: "text", type: "string" }] },
    primaryType: "Note", domain: { name: "Example" }, message: { text: "hello" },
  };
  const signature = await bare.eth.signTypedData(owner, typed);
  const hash = getEncodedEip712Data(typed, true);
  assert.equal(bare.eth.accounts.recover(hash, signature, true), owner);
});

test("WebSocket: heads, logs, pending transactions and a contract's events are pushed", async () => {
  const socket = new Web3(new WebSocketProvider(wsUrl));
  const [heads, logs, pending, events] = [collector(2), collector(2), collector(2), collector(1)];
  const subscriptions = [
    await socket.eth.subscribe("newBlockHeaders"),
    await socket.eth.subscribe("logs", { address: token.options.address }),
    await socket.eth.subscribe("newPendingTransactions"),
  ];
  subscriptions.forEach((subscription, i) => subscription.on("data", [heads, logs, pending][i].take));
  const listening = new socket.eth.Contract(artifact("Token").abi, token.options.address);
  const mine = listening.events.Transfer({ filter: { to: other } });
  mine.on("data", events.take);
  await new Promise((resolve) => mine.on("connected", resolve));
  const receipts = [
    await token.methods.transfer(stranger, 21n).send({ from: owner }),
    await token.methods.transfer(other, 22n).send({ from: owner }),
  ];
  assert.deepEqual((await soon("two heads", heads.all)).map((head) => head.hash), receipts.map((receipt) => receipt.blockHash));
  assert.deepEqual((await soon("two logs", logs.all)).map((log) => BigInt(log.data)), [21n, 22n]);
  assert.deepEqual(await soon("two pending", pending.all), receipts.map((receipt) => receipt.transactionHash));
  assert.equal((await soon("one event", events.all))[0].returnValues.value, 22n);
  // One that ended is told nothing more; the others are.
  await subscriptions[1].unsubscribe();
  await token.methods.transfer(other, 23n).send({ from: owner });
  assert.equal(logs.items.length, 2);
  await socket.eth.clearSubscriptions();
  socket.provider.disconnect();
});

test("WebSocket: everything else works there as well", async () => {
  const socket = new Web3(new WebSocketProvider(wsUrl));
  socket.eth.accounts.wallet.add(keys[1]);
  const receipt = await socket.eth.sendTransaction({ from: other, to: stranger, value: socket.utils.toWei("1", "ether"), gas: 21_000n });
  assert.equal(receipt.status, 1n);
  assert.equal((await socket.eth.getTransaction(receipt.transactionHash)).value, 10n ** 18n);
  const contract = new socket.eth.Contract(artifact("Vault").abi, vault.options.address);
  assert.equal((await refusal(contract.methods.failWithReason().call())).cause.errorArgs.message, "Vault: always fails");
  socket.provider.disconnect();
});

notOnAnvil("what the node does not know is refused with its number", async () => {
  const error = await refusal(web3.requestManager.send({ method: "eth_noSuchMethod", params: [] }));
  assert.match(JSON.stringify([error, error.message, error.cause]), /-32601|does not exist/);
  assert.equal(await rawResult("eth_chainId"), "0x7a69");
});
