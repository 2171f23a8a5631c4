// Hardhat's own network helpers recognise a development node and drive it.
const { expect } = require("chai");
const { ethers } = require("hardhat");
const helpers = require("@nomicfoundation/hardhat-network-helpers");

describe("network helpers", () => {
  async function fixture() {
    const [owner, other] = await ethers.getSigners();
    const token = await ethers.deployContract("Token", ["Example", "EXA", 1000n]);
    return { owner, other, token };
  }

  it("loadFixture starts each test from the same state", async () => {
    const { other, token } = await helpers.loadFixture(fixture);
    await (await token.transfer(other, 5n)).wait();
    expect(await token.balanceOf(other)).to.equal(5n);
  });

  it("and again", async () => {
    const { other, token } = await helpers.loadFixture(fixture);
    expect(await token.balanceOf(other)).to.equal(0n);
  });

  it("time.increase and time.latest agree", async () => {
    const before = await helpers.time.latest();
    await helpers.time.increase(100);
    expect(await helpers.time.latest()).to.be.at.least(before + 100);
  });

  it("mine makes that many blocks", async () => {
    const before = await ethers.provider.getBlockNumber();
    await helpers.mine(5);
    expect(await ethers.provider.getBlockNumber()).to.equal(before + 5);
  });

  it("takeSnapshot restores", async () => {
    const snapshot = await helpers.takeSnapshot();
    const before = await ethers.provider.getBlockNumber();
    await helpers.mine();
    await snapshot.restore();
    expect(await ethers.provider.getBlockNumber()).to.equal(before);
  });

  it("setBalance, setCode, setStorageAt and impersonateAccount change what the chain holds", async () => {
    const [owner] = await ethers.getSigners();
    const token = await ethers.deployContract("Token", ["Example", "EXA", 1000n]);
    const stranger = "0x00000000000000000000000000000000000a11ce";
    await helpers.setBalance(stranger, 10n ** 18n);
    expect(await ethers.provider.getBalance(stranger)).to.equal(10n ** 18n);
    await (await token.transfer(stranger, 9n)).wait();
    await helpers.impersonateAccount(stranger);
    await (await token.connect(await ethers.getSigner(stranger)).transfer(owner, 4n)).wait();
    await helpers.stopImpersonatingAccount(stranger);
    expect(await token.balanceOf(stranger)).to.equal(5n);
    await helpers.setStorageAt(await token.getAddress(), 2, 77n);
    expect(await token.totalSupply()).to.equal(77n);
    await helpers.setCode(stranger, "0x6001");
    expect(await ethers.provider.getCode(stranger)).to.equal("0x6001");
  });
});
