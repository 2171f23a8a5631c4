// The development node's own methods, as tests use them.
const { expect } = require("chai");
const { ethers, network } = require("hardhat");
const helpers = require("@nomicfoundation/hardhat-network-helpers");

const rpc = (method, ...params) => network.provider.send(method, params);

describe("blocks and time", () => {
  it("mine many at once, spaced out", async () => {
    const before = await ethers.provider.getBlock("latest");
    await helpers.mine(100, { interval: 60 });
    const after = await ethers.provider.getBlock("latest");
    expect(after.number).to.equal(before.number + 100);
    expect(after.timestamp - before.timestamp).to.be.within(99 * 60, 99 * 60 + 120);
    const middle = await ethers.provider.getBlock(before.number + 50);
    expect(after.timestamp - middle.timestamp).to.equal(50 * 60);
    await helpers.mineUpTo(after.number + 7);
    expect(await helpers.time.latestBlock()).to.equal(after.number + 7);
  });

  it("move forward from the newest block, however fast blocks were made", async () => {
    await helpers.mine(50);
    const before = await helpers.time.latest();
    await helpers.time.increase(1000);
    expect(await helpers.time.latest()).to.be.at.least(before + 1000);
    await helpers.time.increaseTo(before + 5000);
    expect(await helpers.time.latest()).to.equal(before + 5000);
    await expect(helpers.time.increaseTo(before)).to.be.rejectedWith(/before|earlier|lower|Invalid/);
  });

  it("take a coinbase, a base fee and a prevrandao", async () => {
    const [, alice] = await ethers.getSigners();
    await helpers.setCoinbase(alice.address);
    await helpers.setNextBlockBaseFeePerGas(12_345n);
    await helpers.setPrevRandao(77n);
    await helpers.mine();
    const block = await rpc("eth_getBlockByNumber", "latest", false);
    expect([block.miner, BigInt(block.baseFeePerGas), BigInt(block.mixHash)]).to.deep.equal([alice.address.toLowerCase(), 12_345n, 77n]);
    await helpers.setCoinbase(ethers.ZeroAddress);
    await helpers.setBlockGasLimit(20_000_000);
    await helpers.mine();
    expect((await ethers.provider.getBlock("latest")).gasLimit).to.equal(20_000_000n);
    await helpers.setBlockGasLimit(30_000_000);
  });
});

describe("snapshots", () => {
  it("nest, and bring back balances, code, storage, nonces, time and waiting transactions", async () => {
    const [owner, alice] = await ethers.getSigners();
    const stranger = ethers.Wallet.createRandom().address;
    await helpers.setBalance(stranger, 1n);
    await helpers.setStorageAt(stranger, 1n, 5n);
    const outer = await helpers.takeSnapshot();
    const [time, nonce] = [await helpers.time.latest(), await owner.getNonce()];
    await helpers.setBalance(stranger, 2n);
    await helpers.setCode(stranger, "0x60016002");
    await helpers.setStorageAt(stranger, 1n, 6n);
    await owner.sendTransaction({ to: alice, value: 1n });
    await rpc("evm_setAutomine", false);
    const waiting = await alice.sendTransaction({ to: owner, value: 1n });
    const inner = await helpers.takeSnapshot();
    await helpers.time.increase(10_000);
    expect((await waiting.wait()).status).to.equal(1);
    await inner.restore();
    expect(await ethers.provider.getTransactionReceipt(waiting.hash)).to.equal(null);
    expect(await rpc("eth_getBlockTransactionCountByNumber", "pending")).to.equal("0x1");
    expect(await ethers.provider.getBalance(stranger)).to.equal(2n);
    await rpc("evm_setAutomine", true);
    await outer.restore();
    await expect(inner.restore()).to.be.rejectedWith(/snapshot/i);
    expect(await ethers.provider.getBalance(stranger)).to.equal(1n);
    expect(await ethers.provider.getCode(stranger)).to.equal("0x");
    expect(BigInt(await helpers.getStorageAt(stranger, 1n))).to.equal(5n);
    expect(await owner.getNonce()).to.equal(nonce);
    expect(await helpers.time.latest()).to.equal(time);
  });

  it("go back over many blocks in little time", async () => {
    const snapshot = await helpers.takeSnapshot();
    const height = await helpers.time.latestBlock();
    await helpers.mine(2000);
    await snapshot.restore();
    expect(await helpers.time.latestBlock()).to.equal(height);
  });
});

describe("the pool", () => {
  it("forgets what is dropped", async () => {
    const [owner, alice] = await ethers.getSigners();
    await rpc("evm_setAutomine", false);
    try {
      const sent = await owner.sendTransaction({ to: alice, value: 1n });
      await helpers.dropTransaction(sent.hash);
      await helpers.mine();
      expect(await ethers.provider.getTransaction(sent.hash)).to.equal(null);
    } finally {
      await rpc("evm_setAutomine", true);
    }
  });

  it("shows in the pending block and its state before it is mined", async () => {
    const [owner] = await ethers.getSigners();
    const stranger = ethers.Wallet.createRandom().address;
    const guarded = await ethers.deployContract("Guarded");
    await rpc("evm_setAutomine", false);
    try {
      await owner.sendTransaction({ to: stranger, value: 9n });
      await guarded.enter(0n);
      const pending = await rpc("eth_getBlockByNumber", "pending", true);
      const head = await rpc("eth_getBlockByNumber", "latest", false);
      expect(pending.transactions).to.have.lengthOf(2);
      expect([pending.hash, pending.parentHash]).to.deep.equal([null, head.hash]);
      expect(BigInt(await rpc("eth_getBalance", stranger, "pending"))).to.equal(9n);
      expect(BigInt(await rpc("eth_getBalance", stranger, "latest"))).to.equal(0n);
      expect(await guarded.depth({ blockTag: "pending" })).to.equal(1n);
      expect(await guarded.depth()).to.equal(0n);
    } finally {
      await rpc("evm_setAutomine", true);
      await helpers.mine();
    }
  });
});

describe("sends and receipts", () => {
  it("200 receipts can be read as soon as each send returns", async () => {
    const [owner, alice] = await ethers.getSigners();
    for (let i = 0; i < 200; i++) {
      const hash = await rpc("eth_sendTransaction", { from: owner.address, to: alice.address, value: "0x1" });
      const receipt = await rpc("eth_getTransactionReceipt", hash);
      expect(receipt?.status).to.equal("0x1");
    }
  });

  it("several senders at once each get a block of their own, and their receipts", async () => {
    const signers = (await ethers.getSigners()).slice(0, 8);
    const before = await ethers.provider.getBlockNumber();
    const burst = signers.flatMap((signer) => Array(5).fill(signer)).map(async ({ address }) => {
      const hash = await rpc("eth_sendTransaction", { from: address, to: address, value: "0x1" });
      return rpc("eth_getTransactionReceipt", hash);
    });
    const receipts = await Promise.all(burst);
    expect(receipts.every((receipt) => receipt?.status === "0x1")).to.equal(true);
    const blocks = receipts.map((receipt) => Number(receipt.blockNumber)).sort((a, b) => a - b);
    expect(blocks).to.deep.equal([...Array(40).keys()].map((i) => before + 1 + i));
  });
});
