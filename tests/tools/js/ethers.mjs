// ethers 6 against the node.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Contract, ContractFactory, JsonRpcProvider, NonceManager, Wallet, WebSocketProvider, ethers, id, isError, parseEther } from "ethers";
import { artifact, chainId, collector, keys, notOnAnvil, raw, rawResult, rpcUrl, soon, withoutMining, wsUrl } from "./common.mjs";

// ethers keeps answers for 250 ms by default; a test that reads what it just wrote must not.
const options = { cacheTimeout: -1, pollingInterval: 50 };
const provider = new JsonRpcProvider(rpcUrl, chainId, { ...options, staticNetwork: true });
const wallets = keys.map((key) => new Wallet(key, provider));
const [owner, other, third] = wallets;
const stranger = "0x00000000000000000000000000000000000a11ce";

async function deploy(name, args = [], overrides = {}) {
  const { abi, bytecode } = artifact(name);
  const contract = await new ContractFactory(abi, bytecode, owner).deploy(...args, overrides);
  return contract.waitForDeployment();
}

const mined = async (sent) => (await sent).wait();

let token, vault, registry, batch;
before(async () => {
  token = await deploy("Token", ["Example", "EXA", 1_000_000n]);
  vault = await deploy("Vault", [3600n], { value: 5n });
  registry = await deploy("Registry", [id("salt"), "example"]);
  batch = await deploy("BatchCaller");
});
after(() => provider.destroy());

test("the network is recognised without being told", async () => {
  const asking = new JsonRpcProvider(rpcUrl, undefined, options);
  assert.equal((await asking.getNetwork()).chainId, BigInt(chainId));
  asking.destroy();
});

test("a deployed contract has the code and the state its constructor made", async () => {
  assert.notEqual(await provider.getCode(token), "0x");
  assert.equal(await token.totalSupply(), 1_000_000n);
  assert.equal(await token.owner(), owner.address);
  assert.equal(await registry.label(), "example");
  assert.equal(await provider.getBalance(vault), 5n);
  const receipt = await token.deploymentTransaction().wait();
  assert.equal(receipt.contractAddress, await token.getAddress());
  assert.equal(receipt.to, null);
});

test("a legacy transaction", async () => {
  const { gasPrice } = await provider.getFeeData();
  const receipt = await mined(owner.sendTransaction({ type: 0, to: stranger, value: 1n, gasPrice: gasPrice * 2n }));
  const sent = await provider.getTransaction(receipt.hash);
  assert.deepEqual([sent.type, receipt.type, receipt.status, receipt.gasUsed, sent.gasPrice], [0, 0, 1, 21_000n, gasPrice * 2n]);
  assert.equal(receipt.gasPrice, gasPrice * 2n);
  assert.equal(sent.chainId, BigInt(chainId), "replay-protected (EIP-155)");
});

test("an EIP-2930 transaction with an access list", async () => {
  const address = await registry.getAddress();
  const data = registry.interface.encodeFunctionData("set", [id("2930"), 1n]);
  const list = [{ address, storageKeys: [ethers.zeroPadValue("0x01", 32)] }];
  const receipt = await mined(owner.sendTransaction({ type: 1, to: address, data, accessList: list }));
  const sent = await provider.getTransaction(receipt.hash);
  assert.deepEqual([sent.type, receipt.type, receipt.status], [1, 1, 1]);
  assert.deepEqual(sent.accessList.map(({ address, storageKeys }) => ({ address, storageKeys })), list);
});

test("an EIP-1559 transaction pays at most what it offers", async () => {
  const before = await provider.getBalance(other);
  const fees = { maxFeePerGas: 5_000_000_000n, maxPriorityFeePerGas: 1_000_000_000n };
  const receipt = await mined(other.sendTransaction({ type: 2, to: stranger, value: 7n, ...fees }));
  const { baseFeePerGas } = await provider.getBlock(receipt.blockNumber);
  assert.equal(receipt.gasPrice, baseFeePerGas + fees.maxPriorityFeePerGas);
  assert.equal(await provider.getBalance(other), before - 7n - receipt.gasUsed * receipt.gasPrice);
});

test("an EIP-7702 transaction makes an account act as a contract", async () => {
  const address = await batch.getAddress();
  const authorization = await third.authorize({ address, nonce: (await third.getNonce()) + 1 });
  const data = batch.interface.encodeFunctionData("execute", [
    [{ to: await registry.getAddress(), value: 0n, data: registry.interface.encodeFunctionData("set", [id("7702"), 99n]) }],
  ]);
  const receipt = await mined(third.sendTransaction({ type: 4, to: third, data, authorizationList: [authorization] }));
  assert.deepEqual([receipt.type, receipt.status], [4, 1]);
  assert.equal(await provider.getCode(third), `0xef0100${address.slice(2).toLowerCase()}`);
  assert.equal(await registry.values(id("7702")), 99n);
  const sent = await provider.getTransaction(receipt.hash);
  assert.equal(sent.authorizationList[0].address, address);
});

test("estimates suffice and are not wasteful", async () => {
  const estimate = await registry.setMany.estimateGas(10n);
  const receipt = await mined(registry.setMany(10n, { gasLimit: estimate }));
  assert.equal(receipt.status, 1);
  assert.ok(estimate < (receipt.gasUsed * 13n) / 10n, `${estimate} for ${receipt.gasUsed}`);
  assert.equal(await provider.estimateGas({ from: owner.address, to: stranger, value: 1n }), 21_000n);
});

test("calls see older blocks, and what a caller claims to be", async () => {
  const first = await mined(registry.set(id("old"), 1n));
  await mined(registry.set(id("old"), 2n));
  assert.equal(await registry.values(id("old"), { blockTag: first.blockNumber }), 1n);
  assert.equal(await registry.values(id("old"), { blockTag: first.blockNumber - 1 }), 0n);
  const environment = await registry.connect(provider).environment({ from: stranger });
  assert.equal(environment.caller.toLowerCase(), stranger);
  assert.equal(environment.chainId, BigInt(chainId));
});

test("logs by address, topic, alternatives and block hash", async () => {
  const receipt = await mined(registry.set(id("log a"), 1n));
  await mined(registry.set(id("log b"), 2n));
  const topic = registry.interface.getEvent("Set").topicHash;
  const filter = { address: await registry.getAddress(), fromBlock: receipt.blockNumber };
  const values = async (f) => (await provider.getLogs(f)).map((log) => BigInt(log.data));
  assert.deepEqual(await values({ ...filter, topics: [topic] }), [1n, 2n]);
  assert.deepEqual(await values({ ...filter, topics: [topic, id("log b")] }), [2n]);
  assert.deepEqual(await values({ ...filter, topics: [null, [id("log a"), id("log b")]] }), [1n, 2n]);
  assert.deepEqual(await values({ ...filter, topics: [id("nothing")] }), []);
  assert.deepEqual(await values({ blockHash: receipt.blockHash, topics: [topic] }), [1n]);
  const [event] = await registry.queryFilter(registry.filters.Set(id("log a")), receipt.blockNumber);
  assert.deepEqual([event.args.key, event.args.value, event.index], [id("log a"), 1n, 0]);
});

for (const how of ["staticCall", "estimateGas"]) {
  test(`reverts are decoded after ${how}`, async () => {
    const failing = async (name, ...args) => {
      const error = await vault[name][how](...args).then(() => assert.fail("it did not fail"), (error) => error);
      assert.ok(isError(error, "CALL_EXCEPTION"), error);
      return error;
    };
    const custom = await failing("withdraw", 9n);
    assert.deepEqual([custom.revert?.name ?? vault.interface.parseError(custom.data).name], ["InsufficientDeposit"]);
    assert.deepEqual([...vault.interface.parseError(custom.data).args], [owner.address, 9n, 0n]);
    assert.equal((await failing("failWithReason")).reason, "Vault: always fails");
    const panic = await failing("failWithPanic", 0n);
    assert.equal(panic.data.slice(0, 10), "0x4e487b71");
    assert.equal(BigInt(`0x${panic.data.slice(10)}`), 0x12n);
  });
}

test("a transaction that failed in its block is reported with its receipt", async () => {
  const sent = await vault.withdraw(9n, { gasLimit: 100_000n });
  const error = await sent.wait().then(() => assert.fail("it did not fail"), (error) => error);
  assert.ok(isError(error, "CALL_EXCEPTION"), error);
  assert.equal(error.receipt.status, 0);
  assert.deepEqual(error.receipt.logs, []);
});

test("running out of gas and an invalid instruction use all of it", async () => {
  const sent = await vault.burnAllGas.send({ gasLimit: 80_000n });
  await assert.rejects(sent.wait());
  assert.equal((await provider.getTransactionReceipt(sent.hash)).gasUsed, 80_000n);
});

test("refusals of the pool become ethers' own codes", async () => {
  const poor = Wallet.createRandom(provider);
  const code = async (promise) => (await promise.then(() => assert.fail("it was taken"), (error) => error)).code;
  const fees = { gasLimit: 21_000n, maxFeePerGas: 5_000_000_000n, maxPriorityFeePerGas: 1_000_000_000n };
  assert.equal(await code(poor.sendTransaction({ to: stranger, value: 1n, nonce: 0, ...fees })), "INSUFFICIENT_FUNDS");
  assert.equal(await code(owner.sendTransaction({ to: stranger, nonce: 0, ...fees })), "NONCE_EXPIRED");
  await withoutMining(async () => {
    const nonce = await owner.getNonce();
    await owner.sendTransaction({ to: stranger, nonce, ...fees });
    assert.equal(await code(owner.sendTransaction({ to: stranger, value: 2n, nonce, ...fees })), "REPLACEMENT_UNDERPRICED");
  });
});

test("a replacement that pays more is noticed by who waits for the first", async () => {
  await withoutMining(async () => {
    const nonce = await owner.getNonce();
    const fees = (n) => ({ gasLimit: 21_000n, maxFeePerGas: n * 5_000_000_000n, maxPriorityFeePerGas: n * 1_000_000_000n });
    const first = await owner.sendTransaction({ to: stranger, value: 1n, nonce, ...fees(1n) });
    const waiting = first.wait().then(() => assert.fail("it was replaced"), (error) => error);
    const second = await owner.sendTransaction({ to: stranger, value: 2n, nonce, ...fees(2n) });
    // ethers looks for the replacement when a block arrives: one may pass before it listens.
    const mining = setInterval(() => rawResult("evm_mine"), 100);
    const error = await soon("the replacement", waiting).finally(() => clearInterval(mining));
    assert.ok(isError(error, "TRANSACTION_REPLACED"), error);
    assert.equal(error.replacement.hash, second.hash);
    assert.equal(error.reason, "replaced");
  });
});

test("many transactions in flight with a nonce manager", async () => {
  const sender = new NonceManager(new Wallet(keys[3], provider));
  const start = await provider.getTransactionCount(sender.getAddress());
  const sent = [];
  for (let i = 0; i < 25; i++) sent.push(await sender.sendTransaction({ to: stranger, value: 1n }));
  const receipts = await Promise.all(sent.map((transaction) => transaction.wait()));
  assert.ok(receipts.every((receipt) => receipt.status === 1));
  assert.equal(await provider.getTransactionCount(sender.getAddress()), start + 25);
});

test("calls of one tick travel as one batch", async () => {
  const answers = await Promise.all([
    provider.getBlockNumber(),
    token.name(),
    provider.getBalance(owner),
    token.balanceOf(stranger),
    provider.send("eth_noSuchMethod", []).catch((error) => error.error?.code ?? error.info?.error?.code ?? error.code),
  ]);
  assert.equal(answers[1], "Example");
  assert.ok([-32601, "UNSUPPORTED_OPERATION"].includes(answers[4]), String(answers[4]));
});

test("blocks by number, hash and tag", async () => {
  const receipt = await mined(owner.sendTransaction({ to: stranger, value: 1n }));
  const block = await provider.getBlock(receipt.blockHash, true);
  assert.equal(block.number, receipt.blockNumber);
  assert.equal(block.prefetchedTransactions[0].hash, receipt.hash);
  assert.equal((await provider.getBlock(block.number - 1)).hash, block.parentHash);
  for (const tag of ["earliest", "safe", "finalized", "latest", "pending"]) assert.ok(await provider.getBlock(tag), tag);
  assert.equal((await provider.getBlock("earliest")).number, 0);
  assert.equal(await provider.getBlock(1_000_000), null);
  assert.equal(await provider.getTransaction(id("unknown")), null);
  assert.equal(await provider.getTransactionReceipt(id("unknown")), null);
});

test("storage is read by slot", async () => {
  await mined(registry.set(id("slot"), 1234n));
  const slot = ethers.keccak256(ethers.AbiCoder.defaultAbiCoder().encode(["bytes32", "uint256"], [id("slot"), 2]));
  assert.equal(BigInt(await provider.getStorage(registry, slot)), 1234n);
  const packed = BigInt(await provider.getStorage(registry, 0));
  assert.deepEqual([packed & 0xffn, (packed >> 8n) & 0xffff_ffffn, packed >> 40n], [1n, 7n, BigInt(owner.address)]);
});

test("accounts that the node holds send and sign", async () => {
  const [first] = await provider.listAccounts();
  assert.equal(first.address, owner.address);
  const receipt = await mined(first.sendTransaction({ to: stranger, value: 3n }));
  assert.equal(receipt.from, owner.address);
  assert.equal(ethers.verifyMessage("hello", await first.signMessage("hello")), owner.address);
  const domain = { name: "Example", chainId };
  const types = { Note: [{ name: "text", type: "string" }] };
  const signature = await first.signTypedData(domain, types, { text: "hello" });
  assert.equal(ethers.verifyTypedData(domain, types, { text: "hello" }, signature), owner.address);
});

test("filters over HTTP: blocks, logs, pending transactions", async () => {
  const blocks = await rawResult("eth_newBlockFilter");
  const logs = await rawResult("eth_newFilter", { address: await registry.getAddress(), topics: [] });
  const pending = await rawResult("eth_newPendingTransactionFilter");
  const receipt = await mined(registry.set(id("filter"), 5n));
  assert.deepEqual(await rawResult("eth_getFilterChanges", blocks), [receipt.blockHash]);
  const [log] = await rawResult("eth_getFilterChanges", logs);
  assert.deepEqual([log.transactionHash, log.removed], [receipt.hash, false]);
  assert.deepEqual(await rawResult("eth_getFilterChanges", logs), [], "each is told once");
  assert.equal((await rawResult("eth_getFilterLogs", logs)).at(-1).transactionHash, receipt.hash);
  assert.deepEqual(await rawResult("eth_getFilterChanges", pending), [receipt.hash]);
  assert.equal(await rawResult("eth_uninstallFilter", logs), true);
  assert.equal(await rawResult("eth_uninstallFilter", logs), false);
});

notOnAnvil("a filter that is gone is refused as geth refuses it", async () => {
  assert.deepEqual((await raw("eth_getFilterChanges", "0x123456")).error, { code: -32000, message: "filter not found" });
});

test("events arrive by polling", async () => {
  const { all, take } = collector(2);
  await token.on("Transfer", (from, to, amount) => take([to.toLowerCase(), amount]));
  await mined(token.transfer(stranger, 11n));
  await mined(token.transfer(stranger, 12n));
  assert.deepEqual(await soon("two transfers", all), [[stranger, 11n], [stranger, 12n]]);
  await token.off("Transfer");
});

test("WebSocket: blocks, logs and pending transactions are pushed", async () => {
  const socket = new WebSocketProvider(wsUrl, chainId, { cacheTimeout: -1 });
  const [blocks, transfers, pending] = [collector(2), collector(2), collector(2)];
  await socket.on("block", blocks.take);
  await socket.on("pending", pending.take);
  const listening = new Contract(await token.getAddress(), artifact("Token").abi, socket);
  await listening.on(listening.filters.Transfer(null, stranger), (...event) => transfers.take(event.at(-1)));
  // A round trip after the last subscription: all of them are in force.
  await socket.send("eth_chainId", []);
  const receipts = [await mined(token.transfer(stranger, 21n)), await mined(token.transfer(stranger, 22n))];
  assert.deepEqual(await soon("two blocks", blocks.all), receipts.map((receipt) => receipt.blockNumber));
  const events = await soon("two logs", transfers.all);
  assert.deepEqual(events.map((event) => event.args.value), [21n, 22n]);
  assert.deepEqual(events.map((event) => event.log.transactionHash), receipts.map((receipt) => receipt.hash));
  assert.deepEqual(await soon("two pending", pending.all), receipts.map((receipt) => receipt.hash));
  await socket.destroy();
});

test("WebSocket: everything else works there as well", async () => {
  const socket = new WebSocketProvider(wsUrl, chainId, { cacheTimeout: -1 });
  const signer = new Wallet(keys[1], socket);
  const receipt = await mined(signer.sendTransaction({ to: stranger, value: parseEther("1") }));
  assert.equal(receipt.status, 1);
  assert.equal((await socket.getTransaction(receipt.hash)).value, parseEther("1"));
  await assert.rejects(socket.call({ to: vault, data: vault.interface.encodeFunctionData("failWithReason") }), /Vault: always fails/);
  await socket.destroy();
});
