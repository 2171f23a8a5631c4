// The same package in Chromium: a page signs and seals, and sends from another origin.
import assert from "node:assert/strict";
import { readFileSync, existsSync } from "node:fs";
import { join, normalize } from "node:path";
import { after, before, test } from "node:test";
import { ethersFile, openPage } from "./chromium.mjs";
import { keys, raw, rawResult, rpcUrl } from "./common.mjs";
import { browserFiles } from "./seal-package.mjs";

const { folders, imports } = browserFiles();
const page_ = `<!doctype html><script type="importmap">${JSON.stringify({ imports: { ...imports, ethers: "/ethers.js" } })}</script>
<script type="module">import * as ethers from "ethers"; import * as seal from "@cloister/seal"; Object.assign(window, { ethers, seal }); document.title = "ready";</script>`;

function serve(request, response) {
  const folder = Object.keys(folders).find((prefix) => request.url.startsWith(prefix));
  const file = request.url === "/ethers.js" ? ethersFile : folder && join(folders[folder], normalize(request.url.slice(folder.length)));
  const body = request.url === "/" ? page_ : file && existsSync(file) ? readFileSync(file) : undefined;
  response.writeHead(body ? 200 : 404, { "content-type": request.url === "/" ? "text/html" : "text/javascript" });
  response.end(body);
}

let opened, page;
before(async () => {
  opened = await openPage(serve);
  ({ page } = opened);
});
after(() => opened?.close());

for (const suite of ["x25519", "x-wing"]) {
  test(`a page seals with ${suite} and gets its receipt`, async () => {
    const wire = [];
    page.on("request", (request) => wire.push(request.postData() ?? ""));
    const { hash, status } = await page.evaluate(
      async ({ rpcUrl, key, suite }) => {
        const provider = seal.sealProvider(new ethers.JsonRpcProvider(rpcUrl), { suite });
        const wallet = new ethers.Wallet(key, provider);
        const sent = await wallet.sendTransaction({ to: "0x00000000000000000000000000000000000a11ce", value: 3n });
        const receipt = await sent.wait();
        provider.destroy();
        return { hash: sent.hash, status: receipt.status };
      },
      { rpcUrl, key: keys[1], suite },
    );
    assert.equal(status, 1);
    assert.equal((await rawResult("eth_getTransactionByHash", hash)).value, "0x3");
    const sent = wire.filter((body) => body.includes("eth_sendRawTransaction"));
    assert.ok(sent.length > 0 && sent.every((body) => body.includes('"0x9e')), sent.join("\n"));
  });
}

/** Has a page send a transaction sealed, with what goes over the wire altered on the way; what it sent, and what came of it. */
async function sendAltered(key, alter) {
  const envelopes = [];
  const route = async (route) => {
    const body = route.request().postDataJSON?.();
    const requests = [body].flat().filter((request) => request?.method === "eth_sendRawTransaction");
    for (const request of requests) {
      envelopes.push(request.params[0]);
      request.params[0] = alter(request.params[0], envelopes.length);
    }
    await route.continue(requests.length ? { postData: JSON.stringify(body) } : {});
  };
  await page.route(`${rpcUrl}/**`, route);
  const status = await page.evaluate(async ({ rpcUrl, key }) => {
    const provider = seal.sealProvider(new ethers.JsonRpcProvider(rpcUrl));
    const wallet = new ethers.Wallet(key, provider);
    const sent = await wallet.sendTransaction({ to: "0x00000000000000000000000000000000000a11ce", value: 3n });
    const { status } = await sent.wait();
    provider.destroy();
    return status;
  }, { rpcUrl, key });
  await page.unroute(`${rpcUrl}/**`, route);
  return { envelopes, status };
}

test("a page whose keys are of an epoch that is over asks for new ones and seals again", async () => {
  // The epoch stands behind magic, version, suite and kind: four bytes.
  const stale = (envelope) => `${envelope.slice(0, 10)}${"00".repeat(8)}${envelope.slice(26)}`;
  const { envelopes, status } = await sendAltered(keys[2], (envelope, count) => (count === 1 ? stale(envelope) : envelope));
  assert.equal(status, 1);
  assert.equal(envelopes.length, 2);
});

test("an envelope of a page that is sent once more is refused as anything else is", async () => {
  const { envelopes, status } = await sendAltered(keys[3], (envelope) => envelope);
  assert.equal(status, 1);
  const refuse = async (envelope) => (await raw("eth_sendRawTransaction", envelope)).error;
  const [again, broken] = [await refuse(envelopes[0]), await refuse(`${envelopes[0].slice(0, -2)}00`)];
  assert.equal(again.code, -32045);
  assert.deepEqual(again, broken);
});
