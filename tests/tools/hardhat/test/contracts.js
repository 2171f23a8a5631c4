// Deploying and using contracts the way a Hardhat project does.
const { expect } = require("chai");
const { ethers } = require("hardhat");
const { anyUint } = require("@nomicfoundation/hardhat-chai-matchers/withArgs");

// anvil mines a failing transaction and answers with its hash, and may answer before the receipt can be read.
const notOnAnvil = process.env.REFERENCE ? it.skip : it;

describe("accounts", () => {
  it("are the ten of the well-known mnemonic", async () => {
    const signers = await ethers.getSigners();
    expect(signers).to.have.lengthOf(10);
    expect(signers[0].address).to.equal("0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266");
    expect(signers[9].address).to.equal("0xa0Ee7A142d267C1f36714E4a8F75612F20a79720");
  });

  it("sign messages and typed data for the node", async () => {
    const [, , third] = await ethers.getSigners();
    const signature = await third.signMessage("hello");
    expect(ethers.verifyMessage("hello", signature)).to.equal(third.address);
    const domain = { name: "Example", chainId: 31337 };
    const types = { Order: [{ name: "id", type: "uint256" }, { name: "to", type: "address" }] };
    const order = { id: 7, to: third.address };
    const typed = await third.signTypedData(domain, types, order);
    expect(ethers.verifyTypedData(domain, types, order, typed)).to.equal(third.address);
  });

  it("pay the value and the fee", async () => {
    const [from, to] = await ethers.getSigners();
    await expect(() => from.sendTransaction({ to, value: 100n })).to.changeEtherBalances([from, to], [-100n, 100n]);
    const before = await ethers.provider.getBalance(from);
    const receipt = await (await from.sendTransaction({ to, value: 100n })).wait();
    expect(await ethers.provider.getBalance(from)).to.equal(before - 100n - receipt.fee);
  });
});

describe("Token", () => {
  async function deploy() {
    const [owner, other] = await ethers.getSigners();
    const token = await ethers.deployContract("Token", ["Example", "EXA", 1000n]);
    return { owner, other, token };
  }

  it("gives the supply to the deployer", async () => {
    const { owner, token } = await deploy();
    expect(await token.totalSupply()).to.equal(1000n);
    expect(await token.balanceOf(owner)).to.equal(1000n);
    expect(await token.symbol()).to.equal("EXA");
  });

  it("moves tokens and says so", async () => {
    const { owner, other, token } = await deploy();
    await expect(token.transfer(other, 50n)).to.emit(token, "Transfer").withArgs(owner.address, other.address, 50n);
    await expect(() => token.transfer(other, 10n)).to.changeTokenBalances(token, [owner, other], [-10n, 10n]);
  });

  it("refuses by a named error with arguments", async () => {
    const { owner, other, token } = await deploy();
    await expect(token.connect(other).transfer.staticCall(owner, 1n))
      .to.be.revertedWithCustomError(token, "ERC20InsufficientBalance")
      .withArgs(other.address, 0n, 1n);
    await expect(token.connect(other).mint.estimateGas(other, 1n))
      .to.be.revertedWithCustomError(token, "OwnableUnauthorizedAccount")
      .withArgs(other.address);
  });

  it("takes a permit signed by an account the node holds", async () => {
    const { owner, other, token } = await deploy();
    const domain = { name: "Example", version: "1", chainId: 31337, verifyingContract: await token.getAddress() };
    const types = {
      Permit: ["owner:address", "spender:address", "value:uint256", "nonce:uint256", "deadline:uint256"].map((field) => {
        const [name, type] = field.split(":");
        return { name, type };
      }),
    };
    const permit = { owner: owner.address, spender: other.address, value: 3n, nonce: 0n, deadline: ethers.MaxUint256 };
    const { v, r, s } = ethers.Signature.from(await owner.signTypedData(domain, types, permit));
    await (await token.connect(other).permit(permit.owner, permit.spender, permit.value, permit.deadline, v, r, s)).wait();
    expect(await token.allowance(owner, other)).to.equal(3n);
    await (await token.connect(other).transferFrom(owner, other, 3n)).wait();
    expect(await token.balanceOf(other)).to.equal(3n);
  });
});

describe("Vault", () => {
  const deploy = () => ethers.deployContract("Vault", [3600n], { value: 5n });

  it("is funded by its constructor", async () => {
    const vault = await deploy();
    expect(await ethers.provider.getBalance(vault)).to.equal(5n);
    expect(await vault.lockSeconds()).to.equal(3600n);
  });

  it("emits indexed and plain arguments", async () => {
    const [from] = await ethers.getSigners();
    const vault = await deploy();
    await expect(vault.deposit("rent", { value: 9n })).to.emit(vault, "Deposited").withArgs(from.address, 0n, 9n, "rent");
    const events = await vault.queryFilter(vault.filters.Deposited(from.address));
    expect(events.map((event) => event.args.note)).to.deep.equal(["rent"]);
  });

  for (const [how, it_] of [["staticCall", it], ["estimateGas", it], ["send", notOnAnvil]]) {
    it_(`fails in each way a contract can, by ${how}`, async () => {
      const [from] = await ethers.getSigners();
      const vault = await deploy();
      await (await vault.deposit("locked", { value: 1n })).wait();
      const run = (name, ...args) => vault[name][how](...args);
      await expect(run("withdraw", 2n)).to.be.revertedWithCustomError(vault, "InsufficientDeposit").withArgs(from.address, 2n, 1n);
      await expect(run("withdraw", 1n)).to.be.revertedWithCustomError(vault, "Locked").withArgs(anyUint, anyUint);
      await expect(run("deposit", "none")).to.be.revertedWithCustomError(vault, "NothingSent");
      await expect(run("failWithReason")).to.be.revertedWith("Vault: always fails");
      await expect(run("failWithPanic", 0n)).to.be.revertedWithPanic(0x12);
      await expect(run("failSilently")).to.be.revertedWithoutReason();
    });
  }

  it("fails in its receipt, or at once, when gas is given", async () => {
    const vault = await deploy();
    const sent = vault.withdraw(1n, { gasLimit: 100_000n });
    await expect(sent.then((transaction) => transaction.wait())).to.be.rejected;
  });

  notOnAnvil("can be read at once after a send returned", async () => {
    const vault = await deploy();
    for (let i = 1n; i <= 10n; i++) {
      const { hash } = await vault.deposit("", { value: 1n });
      expect(await ethers.provider.send("eth_getTransactionReceipt", [hash])).to.have.property("status", "0x1");
      expect(await vault.nextId()).to.equal(i);
    }
  });

  it("simulates without sending", async () => {
    const vault = await deploy();
    expect(await vault.deposit.staticCall("dry", { value: 4n })).to.equal(0n);
    expect(await vault.nextId()).to.equal(0n);
    expect(await vault.deposit.estimateGas("dry", { value: 4n })).to.be.within(40_000n, 200_000n);
  });
});

describe("Registry", () => {
  it("keeps its storage where the source says", async () => {
    const registry = await ethers.deployContract("Registry", [ethers.id("salt"), "example"]);
    await (await registry.set(ethers.id("key"), 42n)).wait();
    const slot = ethers.keccak256(ethers.AbiCoder.defaultAbiCoder().encode(["bytes32", "uint256"], [ethers.id("key"), 2]));
    expect(BigInt(await ethers.provider.getStorage(registry, slot))).to.equal(42n);
    expect(await registry.history(0)).to.equal(42n);
  });

  it("answers for older blocks", async () => {
    const registry = await ethers.deployContract("Registry", [ethers.ZeroHash, ""]);
    const first = await (await registry.set(ethers.id("a"), 1n)).wait();
    await (await registry.set(ethers.id("a"), 2n)).wait();
    expect(await registry.values(ethers.id("a"), { blockTag: first.blockNumber })).to.equal(1n);
    expect(await registry.values(ethers.id("a"))).to.equal(2n);
  });

  it("does a block's worth of work in one transaction", async () => {
    const registry = await ethers.deployContract("Registry", [ethers.ZeroHash, ""]);
    const receipt = await (await registry.setMany(100n)).wait();
    expect(receipt.logs).to.have.lengthOf(100);
    expect(receipt.logs.map((log) => log.index)).to.deep.equal([...Array(100).keys()]);
    expect(await registry.counter()).to.equal(100n);
  });
});
