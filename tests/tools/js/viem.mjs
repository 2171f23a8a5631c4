// viem 2 against the node.
import assert from "node:assert/strict";
import { before, test } from "node:test";
import {
  BaseError, ContractFunctionRevertedError, createPublicClient, createTestClient, createWalletClient, encodeFunctionData, getContract, hexToBigInt,
  http, keccak256, parseEther, parseEventLogs, toHex, webSocket, zeroHash,
} from "viem";
import { privateKeyToAccount } from "viem/accounts";
import { foundry } from "viem/chains";
import { artifact, collector, keys, rawResult, rpcUrl, soon, withoutMining, wsUrl } from "./common.mjs";

const chain = foundry; // chain id 31337
const shared = { chain, pollingInterval: 50, cacheTime: 0 };
const client = createPublicClient({ ...shared, transport: http(rpcUrl) });
const accounts = keys.map((key) => privateKeyToAccount(key));
const [owner, other, third] = accounts;
const wallet = createWalletClient({ ...shared, account: owner, transport: http(rpcUrl) });
const walletOf = (account) => createWalletClient({ ...shared, account, transport: http(rpcUrl) });
const stranger = "0x00000000000000000000000000000000000a11ce";
const key = (text) => keccak256(toHex(text));

async function deploy(name, args = [], value = 0n) {
  const { abi, bytecode } = artifact(name);
  const hash = await wallet.deployContract({ abi, bytecode, args, value });
  const { contractAddress: address, status } = await client.waitForTransactionReceipt({ hash });
  assert.equal(status, "success");
  return getContract({ abi, address, client: { public: client, wallet } });
}

const mined = async (hash) => client.waitForTransactionReceipt({ hash: await hash });

let token, vault, registry, batch;
before(async () => {
  token = await deploy("Token", ["Example", "EXA", 1_000_000n]);
  vault = await deploy("Vault", [3600n], 5n);
  registry = await deploy("Registry", [key("salt"), "example"]);
  batch = await deploy("BatchCaller");
});

test("what was deployed answers", async () => {
  assert.equal(await token.read.symbol(), "EXA");
  assert.equal(await registry.read.salt(), key("salt"));
  assert.equal(await client.getBalance({ address: vault.address }), 5n);
  assert.ok((await client.getCode({ address: token.address })).length > 2);
  assert.equal(await client.getChainId(), 31337);
});

test("a legacy transaction", async () => {
  const receipt = await mined(wallet.sendTransaction({ type: "legacy", to: stranger, value: 1n }));
  const sent = await client.getTransaction({ hash: receipt.transactionHash });
  assert.deepEqual([receipt.type, sent.type, receipt.status, sent.chainId], ["legacy", "legacy", "success", 31337]);
});

test("an EIP-2930 transaction with an access list", async () => {
  const accessList = [{ address: registry.address, storageKeys: [`0x${"01".padStart(64, "0")}`] }];
  const data = encodeFunctionData({ abi: registry.abi, functionName: "set", args: [key("2930"), 1n] });
  const receipt = await mined(wallet.sendTransaction({ type: "eip2930", to: registry.address, data, accessList }));
  const sent = await client.getTransaction({ hash: receipt.transactionHash });
  assert.deepEqual([receipt.type, receipt.status], ["eip2930", "success"]);
  assert.deepEqual(sent.accessList, accessList.map((item) => ({ ...item, address: item.address.toLowerCase() })));
});

test("an EIP-1559 transaction pays at most what it offers", async () => {
  const fees = { maxFeePerGas: 5_000_000_000n, maxPriorityFeePerGas: 1_000_000_000n };
  const receipt = await mined(wallet.sendTransaction({ type: "eip1559", to: stranger, value: 1n, ...fees }));
  const { baseFeePerGas } = await client.getBlock({ blockNumber: receipt.blockNumber });
  assert.equal(receipt.effectiveGasPrice, baseFeePerGas + fees.maxPriorityFeePerGas);
  assert.equal(receipt.type, "eip1559");
});

test("an EIP-7702 transaction with viem's own authorization", async () => {
  const sender = walletOf(third);
  const authorization = await sender.signAuthorization({ contractAddress: batch.address, executor: "self" });
  const call = { to: registry.address, value: 0n, data: encodeFunctionData({ abi: registry.abi, functionName: "set", args: [key("7702"), 9n] }) };
  const request = { abi: batch.abi, address: third.address, functionName: "execute", args: [[call]], authorizationList: [authorization] };
  const receipt = await mined(sender.writeContract(request));
  assert.deepEqual([receipt.type, receipt.status], ["eip7702", "success"]);
  assert.equal(await registry.read.values([key("7702")]), 9n);
  assert.equal(await client.getCode({ address: third.address }), `0xef0100${batch.address.slice(2)}`.toLowerCase());
  assert.equal((await client.getDelegation?.({ address: third.address }))?.toLowerCase() ?? batch.address, batch.address);
  const [executed] = parseEventLogs({ abi: batch.abi, logs: receipt.logs, eventName: "Executed" });
  assert.deepEqual(executed.args, { account: third.address, calls: 1n });
});

test("an EIP-7702 transaction that another account pays for, and one that ends the delegation", async () => {
  const authorization = await walletOf(other).signAuthorization({ contractAddress: batch.address });
  await mined(wallet.sendTransaction({ to: stranger, authorizationList: [authorization] }));
  assert.equal(await client.getCode({ address: other.address }), `0xef0100${batch.address.slice(2)}`.toLowerCase());
  const nothing = await walletOf(other).signAuthorization({ contractAddress: "0x0000000000000000000000000000000000000000" });
  await mined(wallet.sendTransaction({ to: stranger, authorizationList: [nothing] }));
  assert.equal(await client.getCode({ address: other.address }), undefined);
});

test("simulate, then write what was simulated", async () => {
  const { request, result } = await vault.simulate.deposit(["note"], { account: owner, value: 3n });
  const receipt = await mined(wallet.writeContract(request));
  const [deposited] = parseEventLogs({ abi: vault.abi, logs: receipt.logs, eventName: "Deposited" });
  assert.deepEqual(deposited.args, { from: owner.address, id: result, amount: 3n, note: "note" });
});

test("reverts are decoded by name, reason and panic", async () => {
  const failing = async (functionName, args = [], value) => {
    const attempt = client.simulateContract({ abi: vault.abi, address: vault.address, functionName, args, value, account: other });
    const error = await attempt.then(() => assert.fail("it did not fail"), (error) => error);
    assert.ok(error instanceof BaseError, error);
    const revert = error.walk((cause) => cause instanceof ContractFunctionRevertedError);
    assert.ok(revert instanceof ContractFunctionRevertedError, error.message);
    return revert;
  };
  const custom = await failing("withdraw", [9n]);
  assert.deepEqual([custom.data.errorName, custom.data.args], ["InsufficientDeposit", [other.address, 9n, 0n]]);
  assert.equal((await failing("deposit", [""])).data.errorName, "NothingSent");
  assert.equal((await failing("failWithReason")).reason, "Vault: always fails");
  const panic = await failing("failWithPanic", [0n]);
  assert.deepEqual([panic.data.errorName, panic.data.args], ["Panic", [0x12n]]);
  assert.equal((await failing("failSilently")).data, undefined);
});

test("estimating a failing call gives the reason too", async () => {
  await assert.rejects(vault.estimateGas.failWithReason({ account: owner }), /Vault: always fails/);
  await assert.rejects(vault.write.withdraw([9n]), /InsufficientDeposit/);
});

test("a transaction that failed in its block", async () => {
  const receipt = await mined(vault.write.withdraw([9n], { gas: 100_000n }));
  assert.deepEqual([receipt.status, receipt.logs], ["reverted", []]);
});

test("gas estimates suffice", async () => {
  const gas = await registry.estimateGas.setMany([10n], { account: owner });
  const receipt = await mined(registry.write.setMany([10n], { gas }));
  assert.equal(receipt.status, "success");
  assert.equal(await client.estimateGas({ account: owner, to: stranger, value: 1n }), 21_000n);
});

test("an access list made by the node lowers nothing but covers the slots", async () => {
  const data = encodeFunctionData({ abi: registry.abi, functionName: "set", args: [key("list"), 1n] });
  const { accessList, gasUsed } = await client.createAccessList({ account: owner, to: registry.address, data });
  assert.equal(accessList.length, 1);
  assert.ok(accessList[0].storageKeys.length >= 3);
  assert.ok(gasUsed > 21_000n);
});

test("fees: history, suggestions", async () => {
  const history = await client.getFeeHistory({ blockCount: 3, rewardPercentiles: [10, 90] });
  assert.deepEqual([history.baseFeePerGas.length, history.gasUsedRatio.length, history.reward.length], [4, 3, 3]);
  assert.ok(history.reward.every((row) => row.length === 2 && row[0] <= row[1]));
  const { maxFeePerGas, maxPriorityFeePerGas } = await client.estimateFeesPerGas();
  assert.ok(maxFeePerGas >= maxPriorityFeePerGas);
  assert.ok((await client.getGasPrice()) >= 0n);
});

test("a request is prepared completely", async () => {
  const request = await wallet.prepareTransactionRequest({ to: stranger, value: 1n });
  assert.deepEqual([request.type, request.chainId, request.gas], ["eip1559", 31337, 21_000n]);
  assert.equal(request.nonce, await client.getTransactionCount({ address: owner.address }));
  const serialized = await wallet.signTransaction(request);
  const receipt = await mined(client.sendRawTransaction({ serializedTransaction: serialized }));
  assert.equal(receipt.status, "success");
});

test("send and receipt in one call", async () => {
  const request = await wallet.prepareTransactionRequest({ to: stranger, value: 1n });
  const serializedTransaction = await wallet.signTransaction(request);
  const receipt = await client.sendRawTransactionSync({ serializedTransaction });
  assert.deepEqual([receipt.status, receipt.transactionHash], ["success", keccak256(serializedTransaction)]);
});

test("reading at a block, and a call with another state", async () => {
  const first = await mined(registry.write.set([key("old"), 1n]));
  await mined(registry.write.set([key("old"), 2n]));
  assert.equal(await registry.read.values([key("old")], { blockNumber: first.blockNumber }), 1n);
  const rich = { address: stranger, balance: parseEther("5") };
  const request = { account: stranger, to: vault.address, value: parseEther("4"), data: encodeFunctionData({ abi: vault.abi, functionName: "deposit", args: [""] }) };
  assert.ok(hexToBigInt((await client.call({ ...request, stateOverride: [rich] })).data) >= 0n);
  await assert.rejects(client.call(request), /insufficient funds|exceeds the balance/i);
});

test("many reads in one call, without a deployed multicall", async () => {
  const contract = { abi: token.abi, address: token.address };
  const contracts = [{ ...contract, functionName: "name" }, { ...contract, functionName: "balanceOf", args: [stranger] }, { abi: vault.abi, address: vault.address, functionName: "failWithReason" }];
  const [name, balance, failed] = await client.multicall({ contracts, deployless: true });
  assert.deepEqual([name.result, balance.result, failed.status], ["Example", await token.read.balanceOf([stranger]), "failure"]);
});

test("a batching transport", async () => {
  const batching = createPublicClient({ ...shared, transport: http(rpcUrl, { batch: true }) });
  const [number, balance, block] = await Promise.all([
    batching.getBlockNumber(), batching.getBalance({ address: vault.address }), batching.getBlock({ blockTag: "earliest" }),
  ]);
  assert.ok(number > 0n && balance >= 5n && block.number === 0n);
});

test("events by filter arguments and by range", async () => {
  const start = (await mined(registry.write.set([key("event a"), 1n]))).blockNumber;
  await mined(registry.write.set([key("event b"), 2n]));
  const all = await registry.getEvents.Set({}, { fromBlock: start });
  assert.deepEqual(all.map((log) => log.args.value), [1n, 2n]);
  const one = await registry.getEvents.Set({ key: [key("event b")] }, { fromBlock: start });
  assert.deepEqual(one.map((log) => [log.args.value, log.logIndex]), [[2n, 0]]);
  assert.deepEqual(await registry.getEvents.Set({}, { fromBlock: 0n, toBlock: 0n }), []);
});

test("a filter tells each log once", async () => {
  const filter = await client.createContractEventFilter({ abi: registry.abi, address: registry.address, eventName: "Set" });
  await mined(registry.write.set([key("filtered"), 3n]));
  assert.deepEqual((await client.getFilterChanges({ filter })).map((log) => log.args.value), [3n]);
  assert.deepEqual(await client.getFilterChanges({ filter }), []);
  assert.equal(await client.uninstallFilter({ filter }), true);
});

test("blocks and pending transactions are watched by polling", async () => {
  const [blocks, hashes, events] = [collector(1), collector(1), collector(1)];
  const stops = [
    client.watchBlockNumber({ onBlockNumber: blocks.take, emitOnBegin: true }),
    client.watchPendingTransactions({ onTransactions: (list) => list.forEach(hashes.take) }),
    client.watchContractEvent({ abi: registry.abi, address: registry.address, eventName: "Set", onLogs: (logs) => logs.forEach(events.take) }),
  ];
  await soon("a block number", blocks.all);
  // The filters are installed in the background: send until they have something.
  const sent = new Set();
  const sending = setInterval(async () => sent.add(await registry.write.set([key("watched"), 1n])), 200);
  const [hash] = await soon("a pending transaction", hashes.all);
  const [event] = await soon("an event", events.all);
  clearInterval(sending);
  stops.forEach((stop) => stop());
  await new Promise((resolve) => setTimeout(resolve, 300)); // the last send of the interval
  assert.ok(sent.has(hash) && sent.has(event.transactionHash));
});

test("WebSocket: subscriptions to heads, logs and pending transactions", async () => {
  const socket = createPublicClient({ ...shared, transport: webSocket(wsUrl) });
  const [heads, logs, pending] = [collector(2), collector(2), collector(2)];
  const stops = [
    socket.watchBlocks({ onBlock: heads.take }),
    socket.watchContractEvent({ abi: registry.abi, address: registry.address, eventName: "Set", onLogs: (list) => list.forEach(logs.take) }),
    socket.watchPendingTransactions({ onTransactions: (list) => list.forEach(pending.take) }),
  ];
  await socket.getChainId(); // answered after the three subscriptions, which came first
  const receipts = [await mined(registry.write.set([key("pushed"), 1n])), await mined(registry.write.set([key("pushed"), 2n]))];
  assert.deepEqual((await soon("two heads", heads.all)).map((head) => head.hash), receipts.map((receipt) => receipt.blockHash));
  assert.deepEqual((await soon("two logs", logs.all)).map((log) => log.args.value), [1n, 2n]);
  assert.deepEqual(await soon("two pending", pending.all), receipts.map((receipt) => receipt.transactionHash));
  stops.forEach((stop) => stop());
  (await socket.transport.getRpcClient()).close();
});

test("WebSocket: sends and reads", async () => {
  const socket = createPublicClient({ ...shared, transport: webSocket(wsUrl) });
  const sender = createWalletClient({ ...shared, account: accounts[3], transport: webSocket(wsUrl) });
  const receipt = await socket.waitForTransactionReceipt({ hash: await sender.sendTransaction({ to: stranger, value: 1n }) });
  assert.equal(receipt.status, "success");
  await assert.rejects(socket.readContract({ abi: vault.abi, address: vault.address, functionName: "failWithReason" }), /Vault: always fails/);
  (await socket.transport.getRpcClient()).close();
  (await sender.transport.getRpcClient()).close();
});

test("refusals of the pool have viem's names", async () => {
  const name = async (promise) => {
    const error = await promise.then(() => assert.fail("it was taken"), (error) => error);
    return error.walk((cause) => /Nonce|Insufficient|Underpriced|FeeCap/.test(cause.name))?.name ?? error.message;
  };
  const plain = { to: stranger, gas: 21_000n, maxFeePerGas: 5_000_000_000n, maxPriorityFeePerGas: 1_000_000_000n };
  assert.equal(await name(wallet.sendTransaction({ ...plain, nonce: 0 })), "NonceTooLowError");
  assert.equal(await name(wallet.sendTransaction({ ...plain, value: parseEther("1000000") })), "InsufficientFundsError");
});

test("a proof of state", async () => {
  const proof = await client.getProof({ address: registry.address, storageKeys: [zeroHash] });
  const { stateRoot } = await client.getBlock();
  assert.equal(keccak256(proof.accountProof[0]), stateRoot);
  assert.equal(keccak256(proof.storageProof[0].proof[0]), proof.storageHash);
});

test("blocks with their transactions, and counts", async () => {
  const receipt = await mined(wallet.sendTransaction({ to: stranger, value: 1n }));
  const block = await client.getBlock({ blockHash: receipt.blockHash, includeTransactions: true });
  assert.equal(block.transactions[0].hash, receipt.transactionHash);
  assert.equal(await client.getBlockTransactionCount({ blockNumber: block.number }), block.transactions.length);
  assert.equal(await client.getTransactionConfirmations({ hash: receipt.transactionHash }), 1n);
  const receipts = await rawResult("eth_getBlockReceipts", receipt.blockHash);
  assert.deepEqual(receipts.map((item) => item.transactionHash), [receipt.transactionHash]);
  const sent = await rawResult("eth_getTransactionByBlockHashAndIndex", receipt.blockHash, "0x0");
  assert.equal(sent.hash, receipt.transactionHash);
});

test("messages and typed data signed by an account that the node holds", async () => {
  const [address] = await wallet.getAddresses();
  const remote = createWalletClient({ ...shared, account: address, transport: http(rpcUrl) });
  assert.ok(await client.verifyMessage({ address, message: "hello", signature: await remote.signMessage({ message: "hello" }) }));
  const typed = { domain: { name: "Example", chainId: 31337 }, types: { Note: [{ name: "text", type: "string" }] }, primaryType: "Note", message: { text: "hello" } };
  assert.ok(await client.verifyTypedData({ address, ...typed, signature: await remote.signTypedData(typed) }));
  const receipt = await mined(remote.sendTransaction({ to: stranger, value: 1n }));
  assert.equal(receipt.status, "success");
});

test("the test client mines, snapshots and travels in time", async () => {
  const control = createTestClient({ ...shared, mode: "anvil", transport: http(rpcUrl) });
  const id = await control.snapshot();
  const before = await client.getBlock();
  await control.increaseTime({ seconds: 1000 });
  await rawResult("evm_mine");
  assert.ok((await client.getBlock()).timestamp >= before.timestamp + 1000n);
  await control.revert({ id });
  assert.equal((await client.getBlock()).hash, before.hash);
});

test("a transaction that waits in the pool is visible there", async () => {
  await withoutMining(async () => {
    const nonce = await client.getTransactionCount({ address: accounts[3].address });
    const hash = await walletOf(accounts[3]).sendTransaction({ to: stranger, value: 1n, gas: 21_000n });
    const waiting = await client.getTransaction({ hash });
    assert.deepEqual([waiting.blockNumber, waiting.blockHash, waiting.nonce], [null, null, nonce]);
    assert.equal(await client.getTransactionCount({ address: accounts[3].address, blockTag: "pending" }), nonce + 1);
  });
});
