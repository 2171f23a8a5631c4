// Hardhat 3 on the node under test, which RPC_URL names. FLAVOUR chooses between its two families of plugins.
import { createRequire } from "node:module";
import hardhatNetworkHelpers from "@nomicfoundation/hardhat-network-helpers";
import { defineConfig } from "hardhat/config";

const require = createRequire(import.meta.url);
const flavour = process.env.FLAVOUR ?? "ethers";
const names = {
  ethers: ["hardhat-ethers", "hardhat-ethers-chai-matchers", "hardhat-mocha", "hardhat-ignition-ethers"],
  viem: ["hardhat-viem", "hardhat-viem-assertions", "hardhat-node-test-runner", "hardhat-ignition-viem"],
};
const plugins = await Promise.all(names[flavour].map((name) => import(`@nomicfoundation/${name}`)));

const output = process.env.MOCHA_REPORTER_OUTPUT;
const remote = { type: "http", chainType: "l1", url: process.env.RPC_URL ?? "http://127.0.0.1:8545" };
// On which nobody has signed in but who shows a token, or goes by a gateway.
const confidential = {
  ...remote,
  accounts: ["0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"],
  httpHeaders: process.env.AUTHORIZATION ? { Authorization: process.env.AUTHORIZATION } : {},
};

export default defineConfig({
  plugins: [hardhatNetworkHelpers, ...plugins.map((plugin) => plugin.default)],
  solidity: {
    version: require("solc/package.json").version,
    // npm's compiler instead of a download.
    path: require.resolve("solc/soljson.js"),
    settings: { evmVersion: "osaka", optimizer: { enabled: true, runs: 200 } },
  },
  networks: { cloister: remote, confidential },
  ignition: { blockPollingInterval: 20, requiredConfirmations: 1 },
  paths: { tests: { mocha: process.env.MOCHA_TESTS ?? "test/ethers", nodejs: "test/viem" } },
  test: { mocha: { timeout: 60_000, ...(output && { reporter: "json", reporterOptions: { output } }) } },
});
