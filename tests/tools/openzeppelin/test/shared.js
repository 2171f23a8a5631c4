// What several suites need.
const { expect } = require("chai");
const { ethers, network } = require("hardhat");
const { mine } = require("@nomicfoundation/hardhat-network-helpers");

/** Sends transactions that end up in one block; answers their receipts. */
async function batchInBlock(sends) {
  await network.provider.send("evm_setAutomine", [false]);
  try {
    const sent = await Promise.all(sends.map((send) => send()));
    // The pending block holds them before it is made.
    const pending = await network.provider.send("eth_getBlockTransactionCountByNumber", ["pending"]);
    expect(Number(pending)).to.equal(sends.length);
    await mine();
    const receipts = await Promise.all(sent.map((transaction) => transaction.wait()));
    expect(new Set(receipts.map((receipt) => receipt.blockNumber)).size).to.equal(1);
    return receipts;
  } finally {
    await network.provider.send("evm_setAutomine", [true]);
  }
}

/** An EIP-2612 permit, signed. */
async function permit(token, owner, spender, value, deadline) {
  const { chainId } = await ethers.provider.getNetwork();
  const domain = { name: await token.name(), version: "1", chainId, verifyingContract: token.target };
  const field = (declaration) => {
    const [type, name] = declaration.split(" ");
    return { name, type };
  };
  const fields = ["address owner", "address spender", "uint256 value", "uint256 nonce", "uint256 deadline"];
  const message = { owner: owner.address, spender: spender.address, value, nonce: await token.nonces(owner), deadline };
  return ethers.Signature.from(await owner.signTypedData(domain, { Permit: fields.map(field) }, message));
}

module.exports = { batchInBlock, permit };
