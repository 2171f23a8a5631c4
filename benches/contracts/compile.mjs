// Compiles BenchToken.sol with npm's solc and writes BenchToken.hex (creation bytecode, hex).
// Usage: node benches/contracts/compile.mjs, with solc 0.8.37 installed where Node finds it
// (for example NODE_PATH, or run from a folder with node_modules/solc).
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const solc = createRequire(join(process.cwd(), "package.json"))("solc");
const input = {
  language: "Solidity",
  sources: { "BenchToken.sol": { content: readFileSync(join(here, "BenchToken.sol"), "utf8") } },
  settings: {
    evmVersion: "shanghai",
    optimizer: { enabled: true, runs: 200 },
    metadata: { bytecodeHash: "none", appendCBOR: false },
    outputSelection: { "*": { "*": ["evm.bytecode.object"] } },
  },
};
const output = JSON.parse(solc.compile(JSON.stringify(input)));
for (const error of output.errors ?? []) console.error(error.formattedMessage);
const object = output.contracts?.["BenchToken.sol"]?.BenchToken?.evm.bytecode.object;
if (!object) process.exit(1);
writeFileSync(join(here, "BenchToken.hex"), object + "\n");
console.log(`BenchToken.hex: ${object.length / 2} bytes, solc ${solc.version()}`);
