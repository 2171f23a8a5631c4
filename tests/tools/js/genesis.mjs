// Prints the genesis of a public Ethereum network in geth's format: node genesis.mjs Mainnet
import * as common from "@ethereumjs/common";
import * as genesis from "@ethereumjs/genesis";

const BLOCK_KEYS = {
  homestead: ["homesteadBlock"],
  tangerineWhistle: ["eip150Block"],
  spuriousDragon: ["eip155Block", "eip158Block"],
  byzantium: ["byzantiumBlock"],
  constantinople: ["constantinopleBlock"],
  petersburg: ["petersburgBlock"],
  istanbul: ["istanbulBlock"],
  berlin: ["berlinBlock"],
  london: ["londonBlock"],
};

const name = process.argv[2];
const chain = common[name];
const allocation = genesis[`${name.toLowerCase()}Genesis`];

const config = { chainId: chain.chainId };
for (const { name: fork, block } of chain.hardforks) {
  if (block === 0) for (const key of BLOCK_KEYS[fork] ?? []) config[key] = 0;
}

const alloc = {};
for (const [address, entry] of Object.entries(allocation)) {
  const [balance, code, storage, nonce] = typeof entry === "string" ? [entry] : entry;
  alloc[address] = { balance, ...(code && { code }), ...(nonce && { nonce }) };
  if (storage?.length) alloc[address].storage = Object.fromEntries(storage);
}

process.stdout.write(JSON.stringify({ config, ...chain.genesis, alloc }));
