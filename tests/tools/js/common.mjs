// What the JavaScript suites share: where the node is, the development keys, compiled contracts, and JSON-RPC without a library.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

const { RPC_URL, WS_URL, ARTIFACTS, REFERENCE } = process.env;
export const rpcUrl = RPC_URL ?? "http://127.0.0.1:8545";
export const wsUrl = WS_URL ?? "ws://127.0.0.1:8545";

/** For behaviour in which anvil differs from geth and from us. */
export const notOnAnvil = REFERENCE ? test.skip : test;

/** The first accounts of `test test … junk`. */
export const keys = [
  "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80",
  "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d",
  "0x5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a",
  "0x7c852118294e51e653712a81e05800f419141751be58f605c371e15141b007a6",
];
export const chainId = 31337;

/** ABI and creation code of an example contract. */
export function artifact(name) {
  const { abi, bytecode } = JSON.parse(readFileSync(join(ARTIFACTS, `${name}.sol`, `${name}.json`), "utf8"));
  return { abi, bytecode: bytecode.object };
}

/** One JSON-RPC call with nothing in between: `{ result }` or `{ error }`. */
export async function raw(method, ...params) {
  const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method, params });
  const answer = await fetch(rpcUrl, { method: "POST", headers: { "content-type": "application/json" }, body });
  return answer.json();
}

export async function rawResult(method, ...params) {
  const { result, error } = await raw(method, ...params);
  if (error) throw new Error(`${method}: ${error.code} ${error.message}`);
  return result;
}

/** Holds new transactions in the pool while `work` runs. */
export async function withoutMining(work) {
  await rawResult("evm_setAutomine", false);
  try {
    return await work();
  } finally {
    await rawResult("evm_setAutomine", true);
    await rawResult("evm_mine");
  }
}

/** The promise's value, or an error after ten seconds that says what was awaited. */
export function soon(what, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: nothing within ten seconds`)), 10_000);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Collects what arrives until there are `count`. */
export function collector(count) {
  const items = [];
  let finish;
  const all = new Promise((resolve) => (finish = resolve));
  const take = (item) => {
    items.push(item);
    if (items.length === count) finish(items);
  };
  return { all, take, items };
}
