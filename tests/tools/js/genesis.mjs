// Prints the genesis of a public Ethereum network in geth's format: node genesis.mjs Mainnet
import * as common from "@ethereumjs/common";
import { getGenesis } from "@ethereumjs/genesis";

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

const TIME_KEYS = { shanghai: "shanghaiTime", cancun: "cancunTime" };

const name = process.argv[2];
const chain = common[name];
const allocation = getGenesis(chain.chainId);

const config = { chainId: chain.chainId };
for (const { name: fork, block, timestamp } of chain.hardforks) {
  if (block === 0) for (const key of BLOCK_KEYS[fork] ?? []) config[key] = 0;
  if (Number(timestamp ?? -1) === 0 && TIME_KEYS[fork]) config[TIME_KEYS[fork]] = config.terminalTotalDifficulty = 0;
}

const alloc = {};
for (const [address, entry] of Object.entries(allocation)) {
  const [balance, code, storage, nonce] = typeof entry === "string" ? [entry] : entry;
  alloc[address] = { balance, ...(code && { code }), ...(nonce && { nonce }) };
  if (storage?.length) alloc[address].storage = Object.fromEntries(storage);
}

process.stdout.write(JSON.stringify({ config, ...chain.genesis, alloc }));
