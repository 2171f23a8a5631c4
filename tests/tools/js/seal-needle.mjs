// Seals a transaction as a client does, and prints the keys that are used for it beside the envelope: that of the envelope, and that of
// the context which it opens. Arguments: what cloister_sealingKeys answered, and the transaction.
import { buildPackage } from "./seal-package.mjs";

const hex = (bytes) => `0x${Buffer.from(bytes).toString("hex")}`;
const keys = [];
const importKey = crypto.subtle.importKey.bind(crypto.subtle);
crypto.subtle.importKey = (format, key, algorithm, ...rest) => {
  if (format === "raw" && (algorithm.name ?? algorithm) === "AES-GCM") keys.push(hex(key));
  return importKey(format, key, algorithm, ...rest);
};

const { sealFirst, fromHex } = await import(new URL("envelope.js", buildPackage()));
const [sealingKeys, transaction] = process.argv.slice(2);
const { envelope } = await sealFirst(JSON.parse(sealingKeys), "x25519", fromHex(transaction));
console.log(JSON.stringify({ envelope: hex(envelope), keys }));
