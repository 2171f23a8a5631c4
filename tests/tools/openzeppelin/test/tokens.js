// Tokens: transfers, permits, votes over blocks and seconds, flash loans, receivers that refuse.
const { expect } = require("chai");
const { ethers, network } = require("hardhat");
const { loadFixture, mine, time } = require("@nomicfoundation/hardhat-network-helpers");
const { anyValue } = require("@nomicfoundation/hardhat-chai-matchers/withArgs");
const { PANIC_CODES } = require("@nomicfoundation/hardhat-chai-matchers/panic");
const { batchInBlock, permit } = require("./shared");

async function deploy(name) {
  const [owner, alice, bob, ...others] = await ethers.getSigners();
  const token = await ethers.deployContract(name);
  await token.mint(owner, 1000n);
  return { token, owner, alice, bob, others };
}
const votes = () => deploy("VotesToken");
const timedVotes = () => deploy("TimedVotesToken");

describe("ERC20", () => {
  it("has twenty funded accounts to work with", async () => {
    const signers = await ethers.getSigners();
    expect(signers).to.have.lengthOf(20);
    const balances = await Promise.all(signers.map((signer) => ethers.provider.getBalance(signer)));
    expect(balances.every((balance) => balance > ethers.parseEther("9000"))).to.equal(true);
  });

  it("moves tokens between several accounts", async () => {
    const { token, owner, alice, bob } = await loadFixture(votes);
    await expect(token.transfer(alice, 10n)).to.changeTokenBalances(token, [owner, alice, bob], [-10n, 10n, 0n]);
    await expect(token.approve(bob, 5n)).to.emit(token, "Approval").withArgs(owner, bob, 5n);
    const moved = token.connect(bob).transferFrom(owner, alice, 5n);
    await expect(moved).to.emit(token, "Transfer").withArgs(owner, alice, 5n);
    await expect(moved).to.changeTokenBalances(token, [owner, alice], [-5n, 5n]);
  });

  it("names what is missing", async () => {
    const { token, owner, alice, bob } = await loadFixture(votes);
    await expect(token.connect(alice).transfer(bob, 1n))
      .to.be.revertedWithCustomError(token, "ERC20InsufficientBalance")
      .withArgs(alice, 0n, 1n);
    await expect(token.connect(bob).transferFrom(owner, bob, 1n))
      .to.be.revertedWithCustomError(token, "ERC20InsufficientAllowance")
      .withArgs(bob, 0n, 1n);
    await expect(token.mint(owner, ethers.MaxUint256)).to.be.revertedWithPanic(PANIC_CODES.ARITHMETIC_OVERFLOW);
    await expect(token.transfer(ethers.ZeroAddress, 1n)).to.be.revertedWithCustomError(token, "ERC20InvalidReceiver");
  });

  it("takes permits until they expire", async () => {
    const { token, owner, bob } = await loadFixture(votes);
    const deadline = (await time.latest()) + 100;
    const { v, r, s } = await permit(token, owner, bob, 7n, deadline);
    await token.connect(bob).permit(owner, bob, 7n, deadline, v, r, s);
    expect(await token.allowance(owner, bob)).to.equal(7n);
    expect(await token.nonces(owner)).to.equal(1n);
    const late = await permit(token, owner, bob, 9n, deadline);
    await time.increaseTo(deadline + 1);
    await expect(token.permit(owner, bob, 9n, deadline, late.v, late.r, late.s))
      .to.be.revertedWithCustomError(token, "ERC2612ExpiredSignature")
      .withArgs(deadline);
  });

  it("does several calls in one", async () => {
    const { token, owner, alice, bob } = await loadFixture(votes);
    const calls = [alice, bob].map((to) => token.interface.encodeFunctionData("transfer", [to.address, 3n]));
    await expect(token.multicall(calls)).to.changeTokenBalances(token, [owner, alice, bob], [-6n, 3n, 3n]);
    const failing = token.interface.encodeFunctionData("burn", [alice.address, 100n]);
    await expect(token.multicall([...calls, failing])).to.be.revertedWithCustomError(token, "ERC20InsufficientBalance");
  });

  it("lends for the length of a call", async () => {
    const { token } = await loadFixture(votes);
    const honest = await ethers.deployContract("Borrower", [true]);
    await expect(token.flashLoan(honest, token, 500n, "0x")).to.emit(token, "Transfer").withArgs(ethers.ZeroAddress, honest, 500n);
    expect(await token.totalSupply()).to.equal(1000n);
    const other = await ethers.deployContract("Borrower", [false]);
    await expect(token.flashLoan(other, token, 500n, "0x")).to.be.revertedWithCustomError(token, "ERC20InsufficientAllowance");
  });
});

describe("ERC20Votes by block", () => {
  it("counts votes at past blocks", async () => {
    const { token, owner, alice } = await loadFixture(votes);
    const delegated = await (await token.delegate(owner)).wait();
    const moved = await (await token.transfer(alice, 400n)).wait();
    expect(moved.blockNumber).to.equal(delegated.blockNumber + 1);
    await expect(token.getPastVotes(owner, moved.blockNumber)).to.be.revertedWithCustomError(token, "ERC5805FutureLookup");
    await mine();
    expect(await token.getPastVotes(owner, delegated.blockNumber - 1)).to.equal(0n);
    expect(await token.getPastVotes(owner, delegated.blockNumber)).to.equal(1000n);
    expect(await token.getPastVotes(owner, moved.blockNumber)).to.equal(600n);
    expect(await token.getPastTotalSupply(moved.blockNumber)).to.equal(1000n);
  });

  it("puts changes of one block into one checkpoint", async () => {
    const { token, owner, alice } = await loadFixture(votes);
    await token.delegate(owner);
    const receipts = await batchInBlock([
      () => token.transfer(alice, 100n, { gasLimit: 200_000n }),
      () => token.transfer(alice, 20n, { gasLimit: 200_000n }),
      () => token.mint(owner, 5n, { gasLimit: 200_000n }),
    ]);
    expect(receipts.map((receipt) => receipt.index)).to.have.members([0, 1, 2]);
    expect(await token.numCheckpoints(owner)).to.equal(2n);
    expect((await token.checkpoints(owner, 1n)).slice(0, 2)).to.deep.equal([BigInt(receipts[0].blockNumber), 885n]);
    expect(await network.provider.send("hardhat_getAutomine", [])).to.equal(true);
  });
});

describe("ERC20Votes by second", () => {
  it("has a new second in every block", async () => {
    const { token, owner, alice } = await loadFixture(timedVotes);
    await token.delegate(owner);
    const first = await time.latest();
    await token.transfer(alice, 1n);
    await token.transfer(alice, 1n);
    const last = await time.latest();
    expect(last).to.be.at.least(first + 2);
    expect(await token.getPastVotes(owner, first)).to.equal(1000n);
    expect(await token.getPastVotes(owner, last - 1)).to.equal(999n);
    await expect(token.getPastVotes(owner, last)).to.be.revertedWithCustomError(token, "ERC5805FutureLookup");
  });
});

describe("ERC721 and ERC1155", () => {
  it("asks the receiver", async () => {
    const [owner, alice] = await ethers.getSigners();
    const [collection, sink] = await Promise.all([ethers.deployContract("Collection"), ethers.deployContract("Sink")]);
    await expect(collection.mint(alice, 7n)).to.emit(collection, "Transfer").withArgs(ethers.ZeroAddress, alice, 7n);
    await expect(collection.mint(sink, 8n)).to.be.revertedWithCustomError(collection, "ERC721InvalidReceiver").withArgs(sink);
    await expect(collection.connect(alice)["safeTransferFrom(address,address,uint256)"](alice, owner, 7n))
      .to.changeTokenBalances(collection, [alice, owner], [-1n, 1n]);
    await expect(collection.ownerOf(9n)).to.be.revertedWithCustomError(collection, "ERC721NonexistentToken").withArgs(9n);
  });

  it("mints thousands at once in a constructor", async () => {
    const [owner, alice] = await ethers.getSigners();
    const series = await ethers.deployContract("Series", [[owner.address, alice.address], [4000n, 1000n]]);
    await expect(series.deploymentTransaction())
      .to.emit(series, "ConsecutiveTransfer")
      .withArgs(0n, 3999n, ethers.ZeroAddress, owner);
    expect(await series.ownerOf(4500n)).to.equal(alice.address);
    expect(await series.balanceOf(owner)).to.equal(4000n);
  });

  it("moves batches", async () => {
    const [owner, alice] = await ethers.getSigners();
    const items = await ethers.deployContract("Items");
    await items.mintBatch(owner, [1n, 2n], [10n, 20n]);
    await expect(items.safeBatchTransferFrom(owner, alice, [1n, 2n], [4n, 5n], "0x"))
      .to.emit(items, "TransferBatch")
      .withArgs(owner, owner, alice, [1n, 2n], [4n, 5n]);
    expect(await items.balanceOfBatch([owner, alice], [1n, 2n])).to.deep.equal([6n, 5n]);
    expect(await items["totalSupply(uint256)"](2n)).to.equal(20n);
    await expect(items.connect(alice).safeTransferFrom(owner, alice, 1n, 1n, "0x"))
      .to.be.revertedWithCustomError(items, "ERC1155MissingApprovalForAll")
      .withArgs(alice, owner);
    await expect(items.mintBatch(owner, [1n], [])).to.be.revertedWithCustomError(items, "ERC1155InvalidArrayLength").withArgs(anyValue, 0n);
  });
});
