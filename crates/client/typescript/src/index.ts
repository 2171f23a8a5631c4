/**
 * Seals signed transactions for the enclave of a Cloister node: nobody on the way to it learns what is in them.
 *
 * What is wrapped goes on as before; only `eth_sendRawTransaction` and `eth_sendRawTransactionSync` send an envelope in place of
 * the transaction. Hashes, receipts and errors stay what they are.
 */
import { type Context, type SealingKeys, type Suite, fromHex, sealFirst, sealNext, toHex } from "./envelope.js";

export type { SealingKeys, Suite } from "./envelope.js";

/** Asks a node: `request` of EIP-1193. */
export type Request = (call: any, ...rest: any[]) => Promise<any>;

/** How to seal. */
export interface SealingOptions {
  /** `x25519` unless it says otherwise. */
  readonly suite?: Suite;
}

const SEALED = new Set(["eth_sendRawTransaction", "eth_sendRawTransactionSync"]);
/** The node's code for an envelope that it does not open or take. */
const REFUSED = -32045;
/** Keys are asked for again this long before they end. */
const MARGIN_MS = 60_000;

interface Keys {
  readonly answered: SealingKeys;
  readonly until: number;
}

/** A context that the node has confirmed, and the number of the next envelope in it. */
interface Opened {
  readonly keys: Keys;
  readonly context: Context;
  next: bigint;
}

/** The same `request`, which seals what it sends. */
export function sealing(request: Request, options: SealingOptions = {}): Request {
  const suite = options.suite ?? "x25519";
  let keys: Promise<Keys> | undefined;
  let opened: Opened | undefined;

  async function current(): Promise<Keys> {
    const asked = keys;
    const known = await asked?.catch(() => undefined);
    if (known && performance.now() < known.until) return known;
    // Somebody else may have asked meanwhile.
    if (keys !== asked && keys) return keys;
    keys = (async () => {
      const answered: SealingKeys = await request({ method: "cloister_sealingKeys", params: [] });
      return { answered, until: performance.now() + Number(answered.expiresInMs) - MARGIN_MS };
    })();
    return keys;
  }

  async function send(call: any, rest: any[]): Promise<any> {
    const [transaction, ...others] = call.params as [string, ...unknown[]];
    const raw = fromHex(transaction);
    const using = await current();
    const go = (envelope: Uint8Array) => request({ ...call, params: [toHex(envelope), ...others] }, ...rest);
    if (opened?.keys === using) {
      const { context } = opened;
      // Taken before anything is awaited: no two envelopes of a context may have one number.
      const sequence = opened.next++;
      return go(await sealNext(using.answered, suite, context, sequence, raw));
    }
    const { envelope, context } = await sealFirst(using.answered, suite, raw);
    const answer = await go(envelope);
    opened = { keys: using, context, next: 0n };
    return answer;
  }

  return async (call, ...rest) => {
    if (!SEALED.has(call?.method) || typeof call.params?.[0] !== "string" || call.params[0].startsWith("0x9e")) {
      return request(call, ...rest);
    }
    try {
      return await send(call, rest);
    } catch (error) {
      if (!isRefusal(error)) throw error;
      // The node may have been started anew, or have forgotten the context. Sending a transaction twice does no harm.
      keys = undefined;
      opened = undefined;
      return send(call, rest);
    }
  };
}

/** Libraries wrap what a node answers, each in its own way. */
function isRefusal(error: unknown, depth = 0): boolean {
  if (typeof error !== "object" || error === null || depth > 6) return false;
  const { code, cause, info, error: inner } = error as Record<string, unknown>;
  return code === REFUSED || [cause, info, inner].some((next) => isRefusal(next, depth + 1));
}

/** A viem transport that seals: `createWalletClient({ account, chain, transport: sealed(http(url)) })`. */
export function sealed<Transport extends (parameters: any) => { request: any }>(transport: Transport, options?: SealingOptions): Transport {
  const wrapped = (parameters: any) => {
    const made = transport(parameters);
    return { ...made, request: sealing(made.request, options) };
  };
  return wrapped as Transport;
}

/** Makes an ethers provider seal, and gives it back: `sealProvider(new JsonRpcProvider(url))`. */
export function sealProvider<Provider extends { send(method: string, params: any): Promise<any> }>(provider: Provider, options?: SealingOptions): Provider {
  const send = provider.send.bind(provider);
  const request = sealing(({ method, params }) => send(method, params ?? []), options);
  provider.send = (method: string, params: any) => request({ method, params });
  return provider;
}

/** An EIP-1193 provider that seals; everything else of it stays what it is. */
export function sealEip1193<Provider extends { request: Request }>(provider: Provider, options?: SealingOptions): Provider {
  const request = sealing((...call) => provider.request(...call), options);
  return new Proxy(provider, {
    get(target, name) {
      if (name === "request") return request;
      const value = Reflect.get(target, name);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}
