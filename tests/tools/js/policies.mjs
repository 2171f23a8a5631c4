// A token's holder reads through viem's batches, which Multicall3 answers in one call.
import { createPublicClient, custom, erc20Abi } from "viem";
import { foundry } from "viem/chains";
import { rpcUrl } from "./common.mjs";

const { TOKEN, COIN, HOLDER, OTHER } = process.env;
const requests = [];
let to;

async function request({ method, params }) {
  requests.push(method);
  to = params[0].to;
  const answer = await fetch(rpcUrl, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${TOKEN}` },
    body: JSON.stringify({ jsonrpc: "2.0", id: 1, method, params }),
  });
  const { result, error } = await answer.json();
  if (error) throw Object.assign(new Error(error.message), error);
  return result;
}

const chain = { ...foundry, contracts: { multicall3: { address: "0xcA11bde05977b3631167028862bE2a173976CA11" } } };

/** What the holder is told in one batch, and how it was asked. */
async function batch(multicall) {
  requests.length = 0;
  const client = createPublicClient({ chain, transport: custom({ request }), batch: { multicall } });
  const read = (functionName, ...args) => client.readContract({ address: COIN, abi: erc20Abi, functionName, args });
  const answers = await Promise.allSettled([read("name"), read("balanceOf", HOLDER), read("balanceOf", OTHER)]);
  const said = answers.map(({ status, value }) => (status === "fulfilled" ? String(value) : "refused"));
  return { requests: [...requests], to: to?.toLowerCase() ?? null, said };
}

console.log(JSON.stringify([await batch(true), await batch({ deployless: true })]));
process.exit(0);
