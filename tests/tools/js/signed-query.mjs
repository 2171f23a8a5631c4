// Calls that their caller signs, in place of signing in: ethers and viem write the signature.
import assert from "node:assert/strict";
import { before, test } from "node:test";
import { Wallet } from "ethers";
import { createWalletClient, http } from "viem";
import { privateKeyToAccount } from "viem/accounts";
import { foundry } from "viem/chains";
import { keys, raw, rawResult, rpcUrl } from "./common.mjs";

const types = {
  Query: [
    { name: "account", type: "address" },
    { name: "to", type: "address" },
    { name: "data", type: "bytes" },
    { name: "value", type: "uint256" },
    { name: "gas", type: "uint64" },
    { name: "fromBlock", type: "uint64" },
    { name: "toBlock", type: "uint64" },
    { name: "expiry", type: "uint64" },
  ],
};
const wallet = new Wallet(keys[1]);
const hex = (value) => `0x${BigInt(value).toString(16)}`;
// The identity precompile answers what it is asked.
const to = "0x0000000000000000000000000000000000000004";
const call = { account: wallet.address, to, data: "0xc0ffee", value: 0n, gas: 0n, fromBlock: 0n, toBlock: 1000n, expiry: 1n << 40n };

const shown = (query) => ({
  ...query, value: hex(query.value), gas: hex(query.gas), fromBlock: hex(query.fromBlock), toBlock: hex(query.toBlock), expiry: hex(query.expiry),
});
const ask = (query, signature) => raw("cloister_signedCall", shown(query), signature);

let domain;
before(async () => {
  const { hash } = await rawResult("eth_getBlockByNumber", "0x0", false);
  domain = { name: "Cloister", version: "1", chainId: 31337, salt: hash };
});

test("ethers signs a query and gets its answer", async () => {
  const { result } = await ask(call, await wallet.signTypedData(domain, types, call));
  assert.equal(result, "0xc0ffee");
});

test("viem signs a query and gets its answer", async () => {
  const account = privateKeyToAccount(keys[1]);
  const client = createWalletClient({ account, chain: foundry, transport: http(rpcUrl) });
  const signature = await client.signTypedData({ domain, types, primaryType: "Query", message: call });
  assert.equal((await ask(call, signature)).result, "0xc0ffee");
});

test("the caller is who signed", async () => {
  // It answers who calls it.
  const mirror = "0x00000000000000000000000000000000000ca11e";
  await rawResult("hardhat_setCode", mirror, "0x3360005260206000f3");
  const query = { ...call, to: mirror, data: "0x" };
  const { result } = await ask(query, await wallet.signTypedData(domain, types, query));
  assert.equal(BigInt(result), BigInt(wallet.address));
});

test("outside of its range a query is refused, and so is everything that was not signed", async () => {
  await rawResult("evm_mine");
  const head = BigInt(await rawResult("eth_blockNumber"));
  const now = BigInt((await rawResult("eth_getBlockByNumber", "latest", false)).timestamp);
  const signed = async (query, by = wallet, over = domain) => ask(query, await by.signTypedData(over, types, query));
  const refusals = {
    "too early": await signed({ ...call, fromBlock: head + 1n }),
    "too late": await signed({ ...call, toBlock: head - 1n }),
    expired: await signed({ ...call, expiry: now - 1n }),
    "another's": await signed(call, new Wallet(keys[2])),
    "another chain's": await signed(call, wallet, { ...domain, chainId: 1 }),
    "another genesis": await signed(call, wallet, { ...domain, salt: `0x${"11".repeat(32)}` }),
    changed: await ask({ ...call, data: "0x00" }, await wallet.signTypedData(domain, types, call)),
    truncated: await ask(call, (await wallet.signTypedData(domain, types, call)).slice(0, -2)),
  };
  for (const [what, { error }] of Object.entries(refusals)) assert.equal(error?.code, -32046, `${what}: ${error?.message}`);
  const { error } = await raw("cloister_signedCall", { account: call.account }, "0x");
  assert.equal(error.code, -32602);
});
