// Hardhat 2 on the node under test, with OpenZeppelin's contracts.
require("@nomicfoundation/hardhat-ethers");
require("@nomicfoundation/hardhat-chai-matchers");
require("@nomicfoundation/hardhat-ignition-ethers");
const { subtask } = require("hardhat/config");
const { TASK_COMPILE_SOLIDITY_GET_SOLC_BUILD } = require("hardhat/builtin-tasks/task-names");

const version = require("solc/package.json").version;

subtask(TASK_COMPILE_SOLIDITY_GET_SOLC_BUILD).setAction(async () => ({
  compilerPath: require.resolve("solc/soljson.js"),
  isSolcJs: true,
  version,
  longVersion: require("solc").version(),
}));

const url = process.env.RPC_URL ?? "http://127.0.0.1:8545";

module.exports = {
  solidity: { version, settings: { evmVersion: "osaka", optimizer: { enabled: true, runs: 1 } } },
  networks: {
    // Hardhat's own node, for comparison: `hardhat test` without --network.
    hardhat: { allowUnlimitedContractSize: true },
    localhost: { url },
    // Hardhat treats the name `localhost` specially: it then sends without an estimate.
    cloister: { url },
  },
  ignition: { blockPollingInterval: 20, requiredConfirmations: 1 },
  mocha: process.env.MOCHA_REPORTER_OUTPUT
    ? { timeout: 60_000, reporter: "json", reporterOptions: { output: process.env.MOCHA_REPORTER_OUTPUT } }
    : { timeout: 60_000 },
};
