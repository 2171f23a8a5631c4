// A page in Chromium whose wallet talks to the node: what MetaMask does, from adding the network to replacing a transaction.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { openPage, walletPage } from "./chromium.mjs";
import { artifact, chainId, rawResult, rpcUrl, withoutMining, wsUrl } from "./common.mjs";

const owner = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";
const stranger = "0x00000000000000000000000000000000000a11ce";
const network = { chainId: `0x${chainId.toString(16)}`, chainName: "Cloister", rpcUrls: [rpcUrl] };

let opened, page, origin;
before(async () => {
  opened = await openPage(walletPage);
  ({ page, origin } = opened);
});
after(() => opened?.close());

/** Runs in the page. Quantities come back as text: a page's bigint cannot cross. */
const inPage = (work, argument) => page.evaluate(work, argument);

test("the pre-flight of a page of another origin is granted", async () => {
  const headers = { origin, "access-control-request-method": "POST", "access-control-request-headers": "content-type" };
  const answer = await fetch(rpcUrl, { method: "OPTIONS", headers });
  assert.ok(answer.ok, String(answer.status));
  assert.ok(["*", origin].includes(answer.headers.get("access-control-allow-origin")));
  assert.match(answer.headers.get("access-control-allow-headers"), /\*|content-type/i);
  assert.match(answer.headers.get("access-control-allow-methods"), /\*|POST/);
});

test("a network is added when its node confirms it, and refused otherwise", async () => {
  const refusal = await inPage(async (network) => {
    const wrong = { ...network, chainId: "0x1" };
    return ethereum.request({ method: "wallet_addEthereumChain", params: [wrong] }).then(() => null, (error) => error.message);
  }, network);
  assert.match(refusal, /does not match/);
  const added = await inPage(async (network) => {
    const connected = new Promise((resolve) => ethereum.on("connect", resolve));
    await ethereum.request({ method: "wallet_addEthereumChain", params: [network] });
    return { connected: await connected, network: ethereum.network, asked: ethereum.node.asked };
  }, network);
  assert.deepEqual(added.connected, { chainId: network.chainId });
  assert.deepEqual(added.asked, ["eth_chainId", "net_version", "eth_blockNumber", "eth_getBlockByNumber"]);
  assert.ok(added.network.paysByEip1559, "a block shows its base fee");
  assert.equal(added.network.block.number, await rawResult("eth_blockNumber"));
});

test("idle polling sees new blocks and balances", async () => {
  const polls = [];
  for (let i = 0; i < 3; i++) {
    polls.push(await inPage(() => ethereum.poll()));
    await rawResult("evm_mine");
  }
  const numbers = polls.map((poll) => Number(poll.number));
  assert.deepEqual(numbers, [numbers[0], numbers[0] + 1, numbers[0] + 2]);
  assert.deepEqual(Object.keys(polls[0].balances).length, 4);
  assert.equal(polls[0].balances[owner.toLowerCase()], await rawResult("eth_getBalance", owner, polls[0].number));
});

test("fees are suggested from what blocks paid", async () => {
  const { history, gasPrice, tip, offers } = await inPage(async () => {
    const { offers, ...rest } = await ethereum.suggestFees();
    return { ...rest, offers: offers.map(({ maxFeePerGas, maxPriorityFeePerGas }) => [String(maxFeePerGas), String(maxPriorityFeePerGas)]) };
  });
  const blocks = history.gasUsedRatio.length;
  assert.ok(blocks >= 1 && blocks <= 5);
  assert.equal(history.baseFeePerGas.length, blocks + 1);
  assert.deepEqual(history.reward.map((block) => block.length), Array(blocks).fill(3));
  assert.ok(BigInt(gasPrice) > 0n && BigInt(tip) >= 0n);
  assert.ok(offers.every(([most, tip]) => BigInt(most) >= BigInt(tip) && BigInt(most) > 0n));
});

test("a transaction is signed in the page, sent, and tracked to its receipt", async () => {
  const before = BigInt(await rawResult("eth_getBalance", stranger, "latest"));
  const { tracked, asked } = await inPage(async ({ from, to }) => {
    ethereum.node.asked.length = 0;
    const hash = await ethereum.request({ method: "eth_sendTransaction", params: [{ from, to, value: "0x7" }] });
    return { tracked: await ethereum.track(hash), asked: ethereum.node.asked };
  }, { from: owner, to: stranger });
  assert.deepEqual([tracked.receipt.status, tracked.receipt.type, tracked.receipt.from], ["0x1", "0x2", owner.toLowerCase()]);
  assert.equal(tracked.block.hash, tracked.receipt.blockHash);
  assert.ok(tracked.block.transactions.includes(tracked.receipt.transactionHash));
  assert.equal(BigInt(await rawResult("eth_getBalance", stranger, "latest")), before + 7n);
  const expected = ["eth_estimateGas", "eth_feeHistory", "eth_gasPrice", "eth_maxPriorityFeePerGas", "eth_getTransactionCount", "eth_sendRawTransaction"];
  assert.deepEqual(asked.slice(0, expected.length), expected);
});

test("a transaction that waits is sped up, and another is cancelled", async () => {
  const send = () => inPage(({ from, to }) => ethereum.request({ method: "eth_sendTransaction", params: [{ from, to, value: "0x9" }] }), { from: owner, to: stranger });
  const replace = (hash, options) => inPage(([hash, options]) => ethereum.replace(hash, options), [hash, options]);
  const { first, faster, second, cancelled } = await withoutMining(async () => {
    const first = await send();
    const waiting = await rawResult("eth_getTransactionByHash", first);
    assert.equal(waiting.blockHash, null);
    const second = await send();
    const tooLittle = inPage(([hash, from, to]) => ethereum.node.send("eth_getTransactionByHash", hash)
      .then((old) => ethereum.request({ method: "eth_sendTransaction", params: [{ ...old, from, to, gas: old.gas, data: "0x", value: "0x8" }] })), [first, owner, stranger]);
    await assert.rejects(tooLittle, /replacement transaction underpriced/);
    return { first, faster: await replace(first), second, cancelled: await replace(second, { cancel: true }) };
  });
  const track = (hash) => inPage((hash) => ethereum.track(hash), hash);
  assert.deepEqual([await track(first), await track(second)], [{ dropped: true }, { dropped: true }]);
  const [sped, nothing] = [await track(faster), await track(cancelled)];
  assert.deepEqual([sped.receipt.status, nothing.receipt.status, nothing.receipt.to], ["0x1", "0x1", owner.toLowerCase()]);
  assert.equal((await rawResult("eth_getTransactionByHash", faster)).value, "0x9");
});

test("a page deploys, calls and signs through the wallet with ethers", async () => {
  const seen = await inPage(async ({ token, vault }) => {
    const provider = new ethers.BrowserProvider(ethereum, undefined, { pollingInterval: 50, cacheTimeout: -1 });
    const signer = await provider.getSigner();
    const deploy = async ({ abi, bytecode }, ...args) => (await new ethers.ContractFactory(abi, bytecode, signer).deploy(...args)).waitForDeployment();
    const coin = await deploy(token, "Example", "EXA", 1000n);
    await (await coin.transfer("0x00000000000000000000000000000000000a11ce", 5n)).wait();
    const safe = await deploy(vault, 60n);
    const revert = await safe.withdraw(9n).then(() => null, (error) => error);
    const message = ethers.verifyMessage("hello", await signer.signMessage("hello"));
    const types = { Note: [{ name: "text", type: "string" }] };
    const typed = ethers.verifyTypedData({ name: "Example" }, types, { text: "hi" }, await signer.signTypedData({ name: "Example" }, types, { text: "hi" }));
    return { chain: String((await provider.getNetwork()).chainId), balance: String(await coin.balanceOf("0x00000000000000000000000000000000000a11ce")),
      revert: revert && safe.interface.parseError(revert.data ?? revert.info?.error?.data)?.name, message, typed };
  }, { token: artifact("Token"), vault: artifact("Vault") });
  assert.deepEqual(seen, { chain: String(chainId), balance: "5", revert: "InsufficientDeposit", message: owner, typed: owner });
});

test("heads are pushed to the page over WebSocket", async () => {
  await inPage(async (url) => {
    window.heads = [];
    ethereum.on("message", ({ data }) => window.heads.push(data.result));
    return ethereum.subscribe(url, "newHeads");
  }, wsUrl);
  for (let i = 0; i < 3; i++) await rawResult("evm_mine");
  await page.waitForFunction(() => window.heads.length === 3);
  const heads = await inPage(() => window.heads);
  assert.equal(heads[2].number, await rawResult("eth_blockNumber"));
  assert.deepEqual([heads[1].parentHash, heads[2].parentHash], [heads[0].hash, heads[1].hash]);
});

test("a page that is loaded again starts anew", async () => {
  await page.reload();
  await page.waitForFunction(() => document.title === "ready");
  assert.equal(await inPage(() => ethereum.network ?? null), null);
  await inPage((network) => ethereum.request({ method: "wallet_addEthereumChain", params: [network] }), network);
  assert.equal(await inPage(() => ethereum.request({ method: "eth_chainId" })), network.chainId);
});
