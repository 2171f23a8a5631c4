// The development methods that a Hardhat project's tests lean on.
const { expect } = require("chai");
const { ethers } = require("hardhat");

const send = (method, ...params) => ethers.provider.send(method, params);
// Hardhat answers false for a snapshot that is gone, others an error.
const revert = (id) => send("evm_revert", id).catch(() => false);
const latest = () => ethers.provider.getBlock("latest");

describe("time", () => {
  it("evm_increaseTime and evm_mine unlock a deposit", async () => {
    const vault = await ethers.deployContract("Vault", [3600n]);
    await (await vault.deposit("", { value: 10n })).wait();
    await expect(vault.withdraw.staticCall(10n)).to.be.revertedWithCustomError(vault, "Locked");
    const before = (await latest()).timestamp;
    await send("evm_increaseTime", 3601);
    await send("evm_mine");
    expect((await latest()).timestamp).to.be.at.least(before + 3601);
    await expect(vault.withdraw(10n)).to.emit(vault, "Withdrawn");
  });

  it("evm_setNextBlockTimestamp sets exactly the next block's", async () => {
    const timestamp = (await latest()).timestamp + 12_345;
    await send("evm_setNextBlockTimestamp", timestamp);
    await send("evm_mine");
    expect((await latest()).timestamp).to.equal(timestamp);
  });

  it("evm_setNextBlockTimestamp refuses the past", async () => {
    await expect(send("evm_setNextBlockTimestamp", (await latest()).timestamp - 100)).to.be.rejectedWith(/timestamp/i);
  });
});

describe("snapshots", () => {
  it("evm_revert undoes everything after evm_snapshot, once", async () => {
    const [from, to] = await ethers.getSigners();
    const token = await ethers.deployContract("Token", ["Example", "EXA", 1000n]);
    const number = await ethers.provider.getBlockNumber();
    const nonce = await from.getNonce();
    const id = await send("evm_snapshot");

    await (await token.transfer(to, 7n)).wait();
    await send("evm_mine");
    expect(await token.balanceOf(to)).to.equal(7n);

    expect(await revert(id)).to.equal(true);
    expect(await token.balanceOf(to)).to.equal(0n);
    expect(await ethers.provider.getBlockNumber()).to.equal(number);
    expect(await from.getNonce()).to.equal(nonce);
    expect(await revert(id)).to.equal(false);

    // The chain goes on from there.
    await (await token.transfer(to, 3n)).wait();
    expect(await token.balanceOf(to)).to.equal(3n);
  });

  it("nest: reverting to the outer one forgets the inner one", async () => {
    const outer = await send("evm_snapshot");
    await send("evm_mine");
    const inner = await send("evm_snapshot");
    expect(await revert(outer)).to.equal(true);
    expect(await revert(inner)).to.equal(false);
  });
});

describe("mining", () => {
  afterEach(() => send("evm_setAutomine", true));

  it("evm_setAutomine false holds transactions until evm_mine", async () => {
    const [from, to] = await ethers.getSigners();
    const nonce = await from.getNonce();
    await send("evm_setAutomine", false);
    const sent = [];
    for (let i = 0; i < 3; i++) sent.push(await from.sendTransaction({ to, value: 1n, nonce: nonce + i, gasLimit: 21_000n }));
    expect(await ethers.provider.getTransactionReceipt(sent[0].hash)).to.equal(null);
    expect(await ethers.provider.getTransactionCount(from, "latest")).to.equal(nonce);
    expect(await ethers.provider.getTransactionCount(from, "pending")).to.equal(nonce + 3);
    const before = await ethers.provider.getBlockNumber();
    await send("evm_mine");
    expect(await ethers.provider.getBlockNumber()).to.equal(before + 1);
    const receipts = await Promise.all(sent.map((transaction) => ethers.provider.getTransactionReceipt(transaction.hash)));
    expect(receipts.map((receipt) => receipt.blockNumber)).to.deep.equal([before + 1, before + 1, before + 1]);
    expect(receipts.map((receipt) => receipt.index)).to.deep.equal([0, 1, 2]);
  });
});
