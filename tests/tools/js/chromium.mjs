// A page in Chromium, and the server it comes from.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { chromium } from "playwright-core";

const FLAGS = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
];

export const ethersFile = join(dirname(createRequire(import.meta.url).resolve("ethers")), "../dist/ethers.min.js");

const WALLET_FILES = { "/": ["page.html", "text/html"], "/wallet.js": ["wallet.js", "text/javascript"], "/ethers.js": [ethersFile, "text/javascript"] };

/** Serves a page with a wallet in it. */
export function walletPage(request, response) {
  const [path, type] = WALLET_FILES[request.url] ?? [];
  response.writeHead(path ? 200 : 404, { "content-type": type ?? "text/plain" });
  response.end(path && readFileSync(path));
}

/** Opens the page that `serve` answers with, once it says that it is ready. Port 0 is a free one. */
export async function openPage(serve, port = 0) {
  const profile = mkdtempSync(join(tmpdir(), "cloister-chromium-"));
  const server = createServer(serve);
  let browser;
  const close = async () => {
    await browser?.close();
    server.close();
    rmSync(profile, { recursive: true, force: true });
  };
  try {
    await new Promise((resolve) => server.listen(port, "127.0.0.1", resolve));
    // Another host and another port than the node's: another origin.
    const origin = `http://localhost:${server.address().port}`;
    browser = await chromium.launchPersistentContext(profile, { executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: FLAGS, headless: true });
    const page = browser.pages()[0] ?? (await browser.newPage());
    page.on("console", (message) => process.stderr.write(`page: ${message.text()}\n`));
    page.on("pageerror", (error) => process.stderr.write(`page: ${error}\n`));
    await page.goto(origin);
    await page.waitForFunction(() => document.title === "ready");
    return { page, origin, close };
  } catch (error) {
    await close();
    throw error;
  }
}
