// Hardhat 3 with ethers and Mocha: matchers, fixtures, time, impersonation, Ignition.
import { expect } from "chai";
import { network } from "hardhat";
import Shop from "../../ignition/modules/Shop.js";

const { ethers, ignition, networkHelpers, provider } = await network.getOrCreate();
const { loadFixture, time } = networkHelpers;

async function deploy() {
  const [owner, other] = await ethers.getSigners();
  const token = await ethers.deployContract("Token", ["Example", "EXA", 1000n]);
  const vault = await ethers.deployContract("Vault", [3600n], { value: 5n });
  return { owner, other, token, vault };
}

describe("tokens", () => {
  it("move, and say so", async () => {
    const { owner, other, token } = await loadFixture(deploy);
    await expect(token.transfer(other, 50n)).to.emit(token, "Transfer").withArgs(owner, other, 50n);
    await expect(token.transfer(other, 10n)).to.changeTokenBalances(ethers, token, [owner, other], [-10n, 10n]);
    await expect(owner.sendTransaction({ to: other, value: 7n })).to.changeEtherBalances(ethers, [owner, other], [-7n, 7n]);
    await expect(owner.sendTransaction({ to: other, value: 7n })).to.changeEtherBalance(ethers, other, 7n);
  });

  it("start each test as the fixture left them", async () => {
    const { owner, other, token } = await loadFixture(deploy);
    expect(await token.balanceOf(owner)).to.equal(1000n);
    expect(await token.balanceOf(other)).to.equal(0n);
  });
});

for (const how of ["send", "staticCall", "estimateGas"]) {
  describe(`failures by ${how}`, () => {
    it("are told apart", async () => {
      const { owner, other, token, vault } = await loadFixture(deploy);
      const run = (name, ...args) => vault[name][how](...args);
      await expect(token.connect(other).transfer[how](owner, 1n))
        .to.be.revertedWithCustomError(token, "ERC20InsufficientBalance")
        .withArgs(other, 0n, 1n);
      await expect(run("deposit", "")).to.be.revertedWithCustomError(vault, "NothingSent");
      await expect(run("failWithReason")).to.be.revertedWith("Vault: always fails");
      await expect(run("failWithPanic", 0n)).to.be.revertedWithPanic(0x12);
      await expect(run("failSilently")).to.be.revertedWithoutReason(ethers);
      await expect(run("failSilently")).to.be.revert(ethers);
    });

    it("use up the gas of a machine that stopped", async () => {
      const { vault } = await loadFixture(deploy);
      await expect(vault.burnAllGas[how]({ gasLimit: 100_000n })).to.be.revertedWithoutReason(ethers);
      if (how === "send") {
        const block = await ethers.provider.getBlock("latest");
        const { hash } = await block.getTransaction(0);
        expect((await ethers.provider.getTransactionReceipt(hash)).gasUsed).to.equal(100_000n);
      }
    });
  });
}

describe("time and state", () => {
  it("open a lock when its time has come", async () => {
    const { owner, vault } = await loadFixture(deploy);
    await vault.deposit("", { value: 10n });
    await expect(vault.withdraw(10n)).to.be.revertedWithCustomError(vault, "Locked");
    const unlock = (await vault.deposits(owner)).unlockTime;
    await time.increaseTo(unlock - 1n);
    // The estimate is made in the next block's time, which is the first that is late enough.
    await expect(vault.withdraw(10n)).to.emit(vault, "Withdrawn").withArgs(owner, 10n);
    expect(await time.latest()).to.be.at.least(unlock);
    await time.setNextBlockTimestamp(unlock + 5_000n);
    await vault.deposit("", { value: 1n });
    expect(await time.latest()).to.equal(unlock + 5_000n);
  });

  it("can be set by hand", async () => {
    const { owner, token } = await loadFixture(deploy);
    const stranger = ethers.Wallet.createRandom().address;
    await networkHelpers.setBalance(stranger, 10n ** 18n);
    await networkHelpers.impersonateAccount(stranger);
    await token.transfer(stranger, 9n);
    await token.connect(await ethers.getSigner(stranger)).transfer(owner, 4n);
    expect(await token.balanceOf(stranger)).to.equal(5n);
    await networkHelpers.stopImpersonatingAccount(stranger);
    await networkHelpers.setStorageAt(await token.getAddress(), 2, 77n);
    expect(await token.totalSupply()).to.equal(77n);
    await networkHelpers.setCode(stranger, "0x6001");
    await networkHelpers.setNonce(stranger, 9);
    expect(await ethers.provider.getTransactionCount(stranger)).to.equal(9);
    const before = await time.latestBlock();
    await networkHelpers.mine(10, { interval: 30 });
    expect(await time.latestBlock()).to.equal(before + 10);
  });

  it("hold several transactions for one block", async () => {
    const { owner, other } = await loadFixture(deploy);
    await provider.request({ method: "evm_setAutomine", params: [false] });
    try {
      const sends = [owner, owner, other].map((from) => from.sendTransaction({ to: other, value: 1n, gasLimit: 21_000n }));
      const sent = await Promise.all(sends);
      await networkHelpers.dropTransaction(sent[2].hash);
      await networkHelpers.mine();
      const receipts = await Promise.all(sent.map(({ hash }) => ethers.provider.getTransactionReceipt(hash)));
      expect(receipts[0].blockNumber).to.equal(receipts[1].blockNumber);
      expect(receipts[2]).to.equal(null);
    } finally {
      await provider.request({ method: "evm_setAutomine", params: [true] });
    }
  });
});

describe("Ignition", () => {
  it("deploys a module with calls between its contracts", async () => {
    const [, other] = await ethers.getSigners();
    const { token, vault } = await ignition.deploy(Shop, { parameters: { Shop: { supply: 500n } } });
    expect(await token.totalSupply()).to.equal(507n);
    expect(await token.balanceOf(other)).to.equal(9n);
    expect(await ethers.provider.getBalance(vault)).to.equal(14n);
  });
});
