// Hardhat 2 on the node under test, which RPC_URL names, with npm's compiler instead of a download.
require("@nomicfoundation/hardhat-ethers");
require("@nomicfoundation/hardhat-chai-matchers");
const { subtask } = require("hardhat/config");
const { TASK_COMPILE_SOLIDITY_GET_SOLC_BUILD } = require("hardhat/builtin-tasks/task-names");

const version = require("solc/package.json").version;

subtask(TASK_COMPILE_SOLIDITY_GET_SOLC_BUILD).setAction(async () => ({
  compilerPath: require.resolve("solc/soljson.js"),
  isSolcJs: true,
  version,
  longVersion: require("solc").version(),
}));

module.exports = {
  solidity: {
    version,
    settings: { evmVersion: "osaka", optimizer: { enabled: true, runs: 200 } },
  },
  networks: {
    localhost: { url: process.env.RPC_URL ?? "http://127.0.0.1:8545" },
    // On which nobody has signed in but who shows a token, or goes by a gateway.
    confidential: {
      url: process.env.RPC_URL ?? "http://127.0.0.1:8545",
      accounts: ["0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"],
      httpHeaders: process.env.AUTHORIZATION ? { Authorization: process.env.AUTHORIZATION } : {},
    },
  },
  mocha: process.env.MOCHA_REPORTER_OUTPUT
    ? { timeout: 60_000, reporter: "json", reporterOptions: { output: process.env.MOCHA_REPORTER_OUTPUT } }
    : { timeout: 60_000 },
};
