// Signing in from a dApp, with viem's and ethers' own means: the message, its signature, and a transport that carries the token.
import assert from "node:assert/strict";
import { test } from "node:test";
import { FetchRequest, JsonRpcProvider, Wallet } from "ethers";
import { createPublicClient, createWalletClient, http, parseEther } from "viem";
import { privateKeyToAccount } from "viem/accounts";
import { foundry } from "viem/chains";
import { createSiweMessage } from "viem/siwe";
import { chainId, keys, rpcUrl } from "./common.mjs";

async function post(path, body, token) {
  const headers = { "content-type": "application/json", ...(token && { authorization: `Bearer ${token}` }) };
  const answer = await fetch(`${rpcUrl}${path}`, { method: "POST", headers, body: JSON.stringify(body) });
  return { status: answer.status, ...(await answer.json()) };
}

/** Signs in with viem; `more` changes fields of the message. */
async function signIn(key, token, more = {}) {
  const account = privateKeyToAccount(key);
  const { nonce } = await post("/auth/nonce", {});
  const { host: domain, origin: uri } = new URL(rpcUrl);
  const message = createSiweMessage({ address: account.address, chainId, domain, nonce, uri, version: "1", ...more });
  return post("/auth", { message, signature: await account.signMessage({ message }) }, token);
}

const accounts = keys.map((key) => privateKeyToAccount(key));

test("a message as viem writes it, with everything optional", async () => {
  const inOneHour = new Date(Date.now() + 3_600_000);
  const optional = {
    scheme: "http", statement: "Read your orders.", expirationTime: inOneHour, notBefore: new Date(0), requestId: "r-1",
    resources: ["https://example.com/terms"],
  };
  const { status, accounts: signedIn } = await signIn(keys[0], undefined, optional);
  assert.deepEqual([status, signedIn], [200, [accounts[0].address.toLowerCase()]]);
});

test("viem reads and sends with a token", async () => {
  const { token } = await signIn(keys[1]);
  const transport = http(rpcUrl, { fetchOptions: { headers: { Authorization: `Bearer ${token}` } } });
  const client = createPublicClient({ chain: foundry, transport, pollingInterval: 50 });
  assert.deepEqual(await client.request({ method: "eth_accounts" }), [accounts[1].address.toLowerCase()]);
  const wallet = createWalletClient({ account: accounts[1], chain: foundry, transport });
  const hash = await wallet.sendTransaction({ to: accounts[0].address, value: parseEther("1") });
  assert.equal((await client.waitForTransactionReceipt({ hash })).status, "success");
});

test("ethers reads and sends with a token of two accounts", async () => {
  const first = await signIn(keys[2]);
  const { token } = await signIn(keys[3], first.token);
  const request = new FetchRequest(rpcUrl);
  request.setHeader("Authorization", `Bearer ${token}`);
  const provider = new JsonRpcProvider(request, chainId, { staticNetwork: true, cacheTimeout: -1 });
  const both = [accounts[2].address, accounts[3].address].map((address) => address.toLowerCase());
  assert.deepEqual(await provider.send("eth_accounts", []), both);
  const receipt = await (await new Wallet(keys[2], provider).sendTransaction({ to: accounts[0].address, value: 1n })).wait();
  assert.equal(receipt.status, 1);
  provider.destroy();
});

test("a wrong token is an error that names itself", async () => {
  const transport = http(rpcUrl, { retryCount: 0, fetchOptions: { headers: { Authorization: "Bearer wrong" } } });
  const client = createPublicClient({ chain: foundry, transport });
  await assert.rejects(client.getBlockNumber(), (error) => error.walk().status === 401 || /sign in again/.test(error.message));
});

test("another origin's page may send the header", async () => {
  const headers = { origin: "https://dapp.example", "access-control-request-headers": "authorization,content-type" };
  const answer = await fetch(`${rpcUrl}/auth`, { method: "OPTIONS", headers });
  assert.equal(answer.status, 204);
  assert.match(answer.headers.get("access-control-allow-headers"), /authorization/i);
});
