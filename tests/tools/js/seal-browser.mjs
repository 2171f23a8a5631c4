// The same package in Chromium: a page signs and seals, and sends from another origin.
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, existsSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join, normalize } from "node:path";
import { after, before, test } from "node:test";
import { chromium } from "playwright-core";
import { keys, rawResult, rpcUrl } from "./common.mjs";
import { browserFiles } from "./seal-package.mjs";

const profile = mkdtempSync(join(tmpdir(), "cloister-seal-"));
const { folders, imports } = browserFiles();
const ethersFile = join(dirname(createRequire(import.meta.url).resolve("ethers")), "../dist/ethers.min.js");
const page_ = `<!doctype html><script type="importmap">${JSON.stringify({ imports: { ...imports, ethers: "/ethers.js" } })}</script>
<script type="module">import * as ethers from "ethers"; import * as seal from "@cloister/seal"; Object.assign(window, { ethers, seal }); document.title = "ready";</script>`;

const server = createServer((request, response) => {
  const folder = Object.keys(folders).find((prefix) => request.url.startsWith(prefix));
  const file = request.url === "/ethers.js" ? ethersFile : folder && join(folders[folder], normalize(request.url.slice(folder.length)));
  const body = request.url === "/" ? page_ : file && existsSync(file) ? readFileSync(file) : undefined;
  response.writeHead(body ? 200 : 404, { "content-type": request.url === "/" ? "text/html" : "text/javascript" });
  response.end(body);
});

let browser, page;
before(async () => {
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const args = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"];
  browser = await chromium.launchPersistentContext(profile, { executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args, headless: true });
  page = browser.pages()[0] ?? (await browser.newPage());
  page.on("console", (message) => process.stderr.write(`page: ${message.text()}\n`));
  page.on("pageerror", (error) => process.stderr.write(`page: ${error}\n`));
  await page.goto(`http://localhost:${server.address().port}`);
  await page.waitForFunction(() => document.title === "ready");
});
after(async () => {
  await browser?.close();
  server.close();
  rmSync(profile, { recursive: true, force: true });
});

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
