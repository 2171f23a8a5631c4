// The envelope of a sealed transaction, byte for byte as the node reads it: crates/primitives/src/envelope.rs has the layout.
import { Aes256Gcm, CipherSuite, HkdfSha256 } from "@hpke/core";
import { DhkemX25519HkdfSha256 } from "@hpke/dhkem-x25519";

/** How the first envelope of a context is sealed. `x-wing` also resists quantum computers, and is a kilobyte longer. */
export type Suite = "x25519" | "x-wing";

/** What `cloister_sealingKeys` answers. */
export interface SealingKeys {
  readonly chainId: string;
  readonly genesisHash: string;
  readonly epoch: string;
  readonly expiresInMs: string;
  readonly keys: readonly { readonly suite: string; readonly publicKey: string }[];
}

/** A context that an envelope opened with the node: later envelopes in it cost both sides much less. */
export interface Context {
  readonly id: Uint8Array;
  readonly key: CryptoKey;
}

type Bytes = Uint8Array<ArrayBuffer>;

const MARKER = 0x9e;
const VERSION = 1;
const SUITE_NUMBERS: Record<Suite, number> = { x25519: 1, "x-wing": 2 };
const FIRST = 1;
const CONTINUED = 2;
const MIN_PADDED_BYTES = 512;
const LENGTH_BYTES = 4;

const text = (value: string): Bytes => new TextEncoder().encode(value);
const INFO = text("cloister/sealed-transaction/v1");
const CONTEXT_LABEL = text("cloister/sealed-transaction/v1/context");
const DOMAIN = text("cloister/sealed-transaction\0");

export function fromHex(hex: string): Bytes {
  if (!/^0x([0-9a-fA-F]{2})*$/.test(hex)) throw new TypeError("not bytes in hexadecimal");
  return Uint8Array.from({ length: hex.length / 2 - 1 }, (_, index) => Number.parseInt(hex.slice(2 + 2 * index, 4 + 2 * index), 16));
}

export function toHex(bytes: Uint8Array): string {
  return `0x${Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

function concat(...parts: readonly Uint8Array[]): Bytes {
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    whole.set(part, offset);
    offset += part.length;
  }
  return whole;
}

function uint64(value: bigint): Bytes {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, value);
  return bytes;
}

/** Length ‖ transaction ‖ zeros, a power of two of bytes: transfers of ether and of tokens look alike. */
export function pad(transaction: Uint8Array): Bytes {
  let size = MIN_PADDED_BYTES;
  while (size < transaction.length + LENGTH_BYTES) size *= 2;
  const padded = new Uint8Array(size);
  new DataView(padded.buffer).setUint32(0, transaction.length);
  padded.set(transaction, LENGTH_BYTES);
  return padded;
}

/** Chain, genesis and header are authenticated: an envelope opens on one network, in one epoch. */
function additionalData(keys: SealingKeys, header: Uint8Array): Bytes {
  return concat(DOMAIN, uint64(BigInt(keys.chainId)), fromHex(keys.genesisHash), header);
}

function header(keys: SealingKeys, suite: Suite, kind: number): Bytes {
  return concat(Uint8Array.of(MARKER, VERSION, SUITE_NUMBERS[suite], kind), fromHex(keys.epoch));
}

async function cipherSuite(suite: Suite): Promise<CipherSuite> {
  // Loaded when it is asked for: it is many times larger than everything else here.
  const kem = suite === "x25519" ? new DhkemX25519HkdfSha256() : new (await import("@hpke/hybridkem-x-wing")).XWing();
  return new CipherSuite({ kem, kdf: new HkdfSha256(), aead: new Aes256Gcm() });
}

/** Seals a transaction in a new context (RFC 9180, base mode). */
export async function sealFirst(keys: SealingKeys, suite: Suite, transaction: Uint8Array): Promise<{ envelope: Bytes; context: Context }> {
  const key = keys.keys.find((known) => known.suite === suite);
  if (!key) throw new Error(`the node has no sealing key of the suite ${suite}`);
  const hpke = await cipherSuite(suite);
  const recipientPublicKey = await hpke.kem.deserializePublicKey(fromHex(key.publicKey));
  const sender = await hpke.createSenderContext({ recipientPublicKey, info: INFO });
  const start = header(keys, suite, FIRST);
  const encapsulated = new Uint8Array(sender.enc);
  const ciphertext = new Uint8Array(await sender.seal(pad(transaction), additionalData(keys, start)));
  const exported = await sender.export(CONTEXT_LABEL, 32);
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", encapsulated));
  const context = { id: digest.slice(0, 16), key: await crypto.subtle.importKey("raw", exported, "AES-GCM", false, ["encrypt"]) };
  return { envelope: concat(start, encapsulated, ciphertext), context };
}

/** Seals a transaction in a context that the node knows. A sequence number is used once. */
export async function sealNext(keys: SealingKeys, suite: Suite, context: Context, sequence: bigint, transaction: Uint8Array): Promise<Bytes> {
  const start = concat(header(keys, suite, CONTINUED), context.id, uint64(sequence));
  const iv = concat(new Uint8Array(4), uint64(sequence));
  const parameters = { name: "AES-GCM", iv, additionalData: additionalData(keys, start), tagLength: 128 };
  const ciphertext = await crypto.subtle.encrypt(parameters, context.key, pad(transaction));
  return concat(start, new Uint8Array(ciphertext));
}
