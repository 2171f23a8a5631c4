// How things fail: by a send, a call and an estimate; and what a test sees of it.
const { expect } = require("chai");
const { ethers, network } = require("hardhat");
const { loadFixture, setBalance, setNextBlockBaseFeePerGas } = require("@nomicfoundation/hardhat-network-helpers");
const { PANIC_CODES } = require("@nomicfoundation/hardhat-chai-matchers/panic");

async function deploy() {
  const [owner, alice] = await ethers.getSigners();
  const [failing, guarded, heavy] = await Promise.all(["Failing", "Guarded", "Heavy"].map((name) => ethers.deployContract(name)));
  return { owner, alice, failing, guarded, heavy };
}
const messageOf = (promise) => promise.then(() => "nothing failed", (error) => error.message);

for (const how of ["send", "staticCall", "estimateGas"]) {
  describe(`failures by ${how}`, () => {
    const run = (contract, name, ...args) => contract[name][how](...args);

    it("have their reason, error or panic", async () => {
      const { owner, failing } = await loadFixture(deploy);
      await expect(run(failing, "withReason")).to.be.revertedWith("Failing: no");
      await expect(run(failing, "withError")).to.be.revertedWithCustomError(failing, "Refused").withArgs(owner, 7n);
      await expect(run(failing, "without")).to.be.revertedWithoutReason();
      await expect(run(failing, "withReason")).to.be.reverted;
      for (const code of [
        PANIC_CODES.ASSERTION_ERROR,
        PANIC_CODES.ARITHMETIC_OVERFLOW,
        PANIC_CODES.DIVISION_BY_ZERO,
        PANIC_CODES.POP_ON_EMPTY_ARRAY,
        PANIC_CODES.ARRAY_ACCESS_OUT_OF_BOUNDS,
      ]) {
        await expect(run(failing, "withPanic", code)).to.be.revertedWithPanic(code);
      }
    });

    it("are reverts without a reason where the machine stopped", async () => {
      const { failing } = await loadFixture(deploy);
      await expect(run(failing, "withInvalid", { gasLimit: 100_000n })).to.be.revertedWithoutReason();
      await expect(run(failing, "withoutGas", { gasLimit: 100_000n })).to.be.revertedWithoutReason();
    });

    it("come through a call in between", async () => {
      const { failing } = await loadFixture(deploy);
      const inside = (name) => run(failing, "inside", failing, failing.interface.encodeFunctionData(name));
      await expect(inside("withReason")).to.be.revertedWith("Failing: no");
      await expect(inside("without")).to.be.revertedWithCustomError({ interface: new ethers.Interface(["error FailedCall()"]) }, "FailedCall");
    });
  });
}

describe("what does not fail", () => {
  it("is told apart from what does", async () => {
    const { failing } = await loadFixture(deploy);
    await expect(failing.ok.send()).not.to.be.reverted;
    await expect(expect(failing.ok.send()).to.be.revertedWith("Failing: no")).to.be.rejectedWith(/didn't revert/);
    await expect(expect(failing.withReason.send()).to.be.revertedWith("other")).to.be.rejectedWith(/Failing: no/);
  });

  it("uses up its gas only where the machine stopped", async () => {
    const { failing } = await loadFixture(deploy);
    const gasLimit = 100_000n;
    await expect(failing.withInvalid.send({ gasLimit })).to.be.revertedWithoutReason();
    const block = await ethers.provider.getBlock("latest");
    const receipt = await ethers.provider.getTransactionReceipt(block.transactions[0]);
    expect([receipt.status, receipt.gasUsed]).to.deep.equal([0, gasLimit]);
    await expect(failing.withReason.send({ gasLimit })).to.be.reverted;
    expect((await ethers.provider.getBlock("latest")).gasUsed).to.be.lessThan(gasLimit);
  });

  it("reenters where nobody guards against it", async () => {
    const { guarded } = await loadFixture(deploy);
    await guarded.enter(0n);
    await expect(guarded.enter(1n)).to.be.revertedWithCustomError(guarded, "ReentrancyGuardReentrantCall");
    const other = await ethers.deployContract("Guarded");
    await other.enterTwice(guarded);
    expect(await guarded.depth()).to.equal(3n);
  });

  it("works hard within a call", async () => {
    const { heavy } = await loadFixture(deploy);
    const values = [...Array(500).keys()].map((i) => BigInt(ethers.keccak256(ethers.toBeHex(i, 32)))).sort((a, b) => (a < b ? -1 : 1));
    expect(await heavy.sortedAt(500n, 250n)).to.equal(values[250]);
    expect(await heavy.text(255n)).to.deep.equal(["255", "0xff", 255n]);
    const prime = 2n ** 255n - 19n;
    expect(((await heavy.inverse(12_345n, prime)) * 12_345n) % prime).to.equal(1n);
    const [left, right] = [ethers.id("left"), ethers.id("right")];
    const root = ethers.keccak256(ethers.concat(left < right ? [left, right] : [right, left]));
    expect(await heavy.verify([right], root, left)).to.equal(true);
  });
});

describe("refusals", () => {
  const direct = (signer, fields) => network.provider.send("eth_sendTransaction", [{ from: signer.address, to: signer.address, gas: "0x5208", ...fields }]);

  it("are worded as Hardhat words them", async () => {
    const { owner, failing } = await loadFixture(deploy);
    const poor = (await ethers.getSigners())[7];
    await setBalance(poor.address, 5n);
    expect(await messageOf(direct(poor, { value: "0x6" }))).to.match(/[Ss]ender doesn't have enough funds to send tx\. The max upfront cost is: \d+/);
    const nonce = await owner.getNonce();
    expect(await messageOf(direct(owner, { nonce: ethers.toQuantity(nonce - 1) }))).to.match(
      new RegExp(`Nonce too low\\. Expected nonce to be ${nonce} but got ${nonce - 1}`),
    );
    const send = (name) => direct(owner, { to: failing.target, gas: "0x186a0", data: failing.interface.encodeFunctionData(name) });
    expect(await messageOf(send("withReason"))).to.contain("VM Exception while processing transaction: reverted with reason string 'Failing: no'");
    expect(await messageOf(send("without"))).to.contain("Transaction reverted without a reason");
    expect(await messageOf(send("withInvalid"))).to.contain("VM Exception while processing transaction: invalid opcode");
    expect(await messageOf(send("withoutGas"))).to.contain("Transaction ran out of gas");
  });

  it("come at once for a fee that the next block does not take", async () => {
    const { owner } = await loadFixture(deploy);
    await setNextBlockBaseFeePerGas(10n ** 12n);
    expect(await messageOf(direct(owner, { gasPrice: ethers.toQuantity(10n ** 10n) }))).to.contain(
      "Transaction gasPrice (10000000000) is too low for the next block, which has a baseFeePerGas of 1000000000000",
    );
    await owner.sendTransaction({ to: owner, maxFeePerGas: 2n * 10n ** 12n });
    expect((await ethers.provider.getBlock("latest")).baseFeePerGas).to.equal(10n ** 12n);
  });

  it("spare contracts of any size where the limit is lifted", async () => {
    const sized = await ethers.deployContract("Sized", [60_000n], { gasLimit: 15_000_000n });
    expect(ethers.dataLength(await ethers.provider.getCode(sized))).to.equal(60_000);
    const [owner] = await ethers.getSigners();
    // Initcode that does nothing, longer than EIP-3860 allows.
    const sent = await owner.sendTransaction({ data: "0x" + "00".repeat(60_000), gasLimit: 5_000_000n });
    expect((await sent.wait()).status).to.equal(1);
  });
});
