// A page in Chromium signs in with its wallet to a confidential chain and uses it; and what a page is told by a gateway on the
// machine of whoever looks at it.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { openPage, walletPage } from "./chromium.mjs";
import { artifact, chainId } from "./common.mjs";

const { PUBLIC_URL, GATEWAY_URL, OPEN_GATEWAY_URL, PAGE_PORT } = process.env;
const owner = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";

let opened, page, token;
before(async () => {
  opened = await openPage(walletPage, Number(PAGE_PORT));
  ({ page } = opened);
});
after(() => opened?.close());

test("the wallet signs the message, the page gets a token", async () => {
  const answer = await page.evaluate(async ({ url, chainId }) => {
    const post = async (path, body) => (await fetch(url + path, { method: "POST", body: JSON.stringify(body ?? {}) })).json();
    const [account] = await ethereum.request({ method: "eth_requestAccounts" });
    const { nonce } = await post("/auth/nonce");
    const { host, origin } = window.location;
    const message = `${host} wants you to sign in with your Ethereum account:\n${account}\n\n\nURI: ${origin}\nVersion: 1\n` +
      `Chain ID: ${chainId}\nNonce: ${nonce}\nIssued At: ${new Date().toISOString()}`;
    const signature = await ethereum.request({ method: "personal_sign", params: [ethers.hexlify(ethers.toUtf8Bytes(message)), account] });
    return post("/auth", { message, signature });
  }, { url: PUBLIC_URL, chainId });
  assert.deepEqual(answer.accounts, [owner.toLowerCase()]);
  token = answer.token;
});

test("it deploys and reads its own; without the token there is nothing", async () => {
  const seen = await page.evaluate(async ({ url, chainId, token, abi, bytecode, key }) => {
    const request = new ethers.FetchRequest(url);
    request.setHeader("Authorization", `Bearer ${token}`);
    const options = { staticNetwork: true, cacheTimeout: -1, pollingInterval: 50 };
    const [own, other] = [new ethers.JsonRpcProvider(request, chainId, options), new ethers.JsonRpcProvider(url, chainId, options)];
    const wallet = new ethers.Wallet(key, own);
    const coin = await (await new ethers.ContractFactory(abi, bytecode, wallet).deploy("Example", "EXA", 1000n)).waitForDeployment();
    const { hash } = coin.deploymentTransaction();
    const at = async (provider) => ({
      status: (await provider.getTransactionReceipt(hash))?.status ?? null,
      balance: String((await provider.getBalance(wallet.address)) > 0n),
      logs: (await provider.getLogs({ fromBlock: 0 })).length,
    });
    const said = [await at(own), await at(other)];
    own.destroy();
    other.destroy();
    return said;
  }, { url: PUBLIC_URL, chainId, token, ...artifact("Token"), key: "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80" });
  assert.deepEqual(seen, [{ status: 1, balance: "true", logs: 2 }, { status: null, balance: "false", logs: 0 }]);
});

/** What comes of a page's asking a gateway: over HTTP, in a request that needs no pre-flight, and over WebSocket. */
const ask = (url) => page.evaluate(async (url) => {
  const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method: "eth_accounts", params: [] });
  const read = (headers) => fetch(url, { method: "POST", headers, body }).then(async (answer) => (await answer.json()).result, () => "refused");
  const socket = new WebSocket(url.replace("http", "ws"));
  const opened = await new Promise((resolve) => Object.assign(socket, { onopen: () => resolve(true), onerror: () => resolve(false) }));
  socket.close();
  return { json: await read({ "content-type": "application/json" }), simple: await read({ "content-type": "text/plain" }), opened };
}, url);

test("a gateway does not answer a page that nobody listed", async () => {
  assert.deepEqual(await ask(GATEWAY_URL), { json: "refused", simple: "refused", opened: false });
});

test("and has nothing done for it either", async () => {
  // The page cannot read the answer of such a request, but it is sent: it must have no effect.
  const blind = await page.evaluate((url) => fetch(url, { method: "POST", mode: "no-cors", body: "{}" }).then(() => "sent", () => "refused"), GATEWAY_URL);
  assert.equal(blind, "sent");
  const answer = await fetch(GATEWAY_URL, { method: "POST", headers: { origin: `http://localhost:${PAGE_PORT}` }, body: "{}" });
  assert.equal(answer.status, 403);
});

test("a gateway answers a page that was listed", async () => {
  const { json, opened } = await ask(OPEN_GATEWAY_URL);
  assert.deepEqual([json, opened], [[owner.toLowerCase()], true]);
});
