// Transactions that only the node's enclave can read: through viem, ethers and plain EIP-1193.
import assert from "node:assert/strict";
import { before, test } from "node:test";
import { JsonRpcProvider, Wallet, parseEther } from "ethers";
import { createPublicClient, createWalletClient, http } from "viem";
import { privateKeyToAccount } from "viem/accounts";
import { foundry } from "viem/chains";
import { keys, raw, rawResult, rpcUrl } from "./common.mjs";
import { buildPackage } from "./seal-package.mjs";

let sealed, sealing, sealEip1193, sealProvider;
before(async () => {
  ({ sealed, sealing, sealEip1193, sealProvider } = await import(buildPackage()));
});

/** The node as EIP-1193, and what went over the wire. */
function observed(alter = (params) => params) {
  const sent = [];
  const request = async ({ method, params }) => {
    const altered = method === "eth_sendRawTransaction" ? alter(params, sent.length) : params;
    if (method === "eth_sendRawTransaction") sent.push(altered[0]);
    const { result, error } = await raw(method, ...(altered ?? []));
    if (error) throw Object.assign(new Error(error.message), { code: error.code });
    return result;
  };
  return { sent, provider: { request, name: "a node" } };
}

const to = "0x00000000000000000000000000000000000a11ce";
const nonceOf = async (wallet) => Number(await rawResult("eth_getTransactionCount", wallet.address, "pending"));
const sign = (wallet, fields) =>
  wallet.signTransaction({ type: 2, chainId: 31337, to, value: 5n, gasLimit: 21_000n, maxFeePerGas: 10n ** 10n, maxPriorityFeePerGas: 1n, ...fields });

test("viem sends sealed with one more word", async () => {
  const account = privateKeyToAccount(keys[0]);
  const client = createWalletClient({ account, chain: foundry, transport: sealed(http(rpcUrl)) });
  const before = BigInt(await rawResult("eth_getBalance", to, "latest"));
  const hash = await client.sendTransaction({ to, value: 7n });
  const receipt = await createPublicClient({ chain: foundry, transport: http(rpcUrl) }).waitForTransactionReceipt({ hash });
  assert.equal(receipt.status, "success");
  assert.equal(BigInt(await rawResult("eth_getBalance", to, "latest")) - before, 7n);
});

test("ethers sends sealed through the same provider", async () => {
  const provider = sealProvider(new JsonRpcProvider(rpcUrl));
  const wallet = new Wallet(keys[1], provider);
  const sent = await wallet.sendTransaction({ to, value: parseEther("0.5") });
  const receipt = await sent.wait();
  assert.equal(receipt.hash, sent.hash);
  assert.equal(receipt.status, 1);
  provider.destroy();
});

test("what goes over the wire is an envelope of one size, and nothing of the transaction", async () => {
  const wallet = new Wallet(keys[2]);
  const { sent, provider } = observed();
  const wrapped = sealEip1193(provider);
  assert.equal(wrapped.name, "a node", "everything else is passed on");
  const nonce = await nonceOf(wallet);
  for (let i = 0; i < 4; i++) {
    const data = i % 2 ? "0x" : `0x${"5e".repeat(68)}`;
    const transaction = await sign(wallet, { nonce: nonce + i, data, gasLimit: 100_000n });
    const hash = await wrapped.request({ method: "eth_sendRawTransaction", params: [transaction] });
    assert.equal((await rawResult("eth_getTransactionReceipt", hash)).status, "0x1");
    assert.ok(!sent.at(-1).includes(transaction.slice(-64)) && !sent.at(-1).includes(to.slice(2)));
  }
  assert.ok(sent.every((envelope) => envelope.startsWith("0x9e01")));
  assert.deepEqual(sent.map((envelope) => envelope.slice(8, 10)), ["01", "02", "02", "02"], "one context");
  assert.equal(new Set(sent.slice(1).map((envelope) => envelope.length)).size, 1, "transfers and calls look alike");
});

test("X-Wing seals as well", async () => {
  const wallet = new Wallet(keys[2]);
  const { sent, provider } = observed();
  const request = sealing(provider.request, { suite: "x-wing" });
  const transaction = await sign(wallet, { nonce: await nonceOf(wallet) });
  const hash = await request({ method: "eth_sendRawTransaction", params: [transaction] });
  assert.equal((await rawResult("eth_getTransactionReceipt", hash)).status, "0x1");
  assert.equal(sent[0].slice(0, 10), "0x9e010201");
});

test("many at once are all taken", async () => {
  const wallet = new Wallet(keys[3]);
  const request = sealing(observed().provider.request);
  const nonce = await nonceOf(wallet);
  const transactions = await Promise.all(Array.from({ length: 20 }, (_, i) => sign(wallet, { nonce: nonce + i })));
  const hashes = await Promise.all(transactions.map((transaction) => request({ method: "eth_sendRawTransaction", params: [transaction] })));
  assert.equal(new Set(hashes).size, 20);
  assert.equal(await nonceOf(wallet), nonce + 20);
});

test("an envelope that is spoilt on its way is sealed anew, once", async () => {
  const wallet = new Wallet(keys[3]);
  const spoil = (params) => [`${params[0].slice(0, -2)}${params[0].endsWith("00") ? "01" : "00"}`];
  const once = observed((params, count) => (count === 0 ? spoil(params) : params));
  const nonce = await nonceOf(wallet);
  const transaction = await sign(wallet, { nonce });
  await sealing(once.provider.request)({ method: "eth_sendRawTransaction", params: [transaction] });
  assert.equal(once.sent.length, 2);
  assert.equal(await nonceOf(wallet), nonce + 1);
  const always = observed(spoil);
  const refused = sealing(always.provider.request)({ method: "eth_sendRawTransaction", params: [transaction] });
  await assert.rejects(refused, { code: -32045 });
  assert.equal(always.sent.length, 2);
});

test("what the pool refuses has one constant error", async () => {
  const wallet = new Wallet(keys[3]);
  const request = sealing(observed().provider.request);
  const stale = await sign(wallet, { nonce: 0 });
  const poor = await sign(wallet, { nonce: await nonceOf(wallet), value: 10n ** 30n });
  const errors = [];
  for (const transaction of [stale, poor, "0x02ff"]) {
    const error = await request({ method: "eth_sendRawTransaction", params: [transaction] }).then(() => null, (error) => error);
    errors.push(`${error.code} ${error.message}`);
  }
  assert.equal(new Set(errors).size, 1, errors.join("\n"));
});
