// Roles, a timelock and a governor: blocks and seconds pass, and who may do what changes with them.
const { expect } = require("chai");
const { ethers } = require("hardhat");
const { impersonateAccount, loadFixture, mine, mineUpTo, setBalance, time } = require("@nomicfoundation/hardhat-network-helpers");
const { anyUint } = require("@nomicfoundation/hardhat-chai-matchers/withArgs");

const HOUR = 3600;

describe("AccessControlDefaultAdminRules", () => {
  async function deploy() {
    const [admin, next, writer] = await ethers.getSigners();
    const registry = await ethers.deployContract("Registry", [HOUR, admin]);
    return { registry, admin, next, writer, role: await registry.WRITER() };
  }

  it("lets only those with the role write", async () => {
    const { registry, writer, role } = await loadFixture(deploy);
    await expect(registry.connect(writer).set(1n))
      .to.be.revertedWithCustomError(registry, "AccessControlUnauthorizedAccount")
      .withArgs(writer, role);
    await expect(registry.grantRole(role, writer)).to.emit(registry, "RoleGranted");
    await registry.connect(writer).set(2n);
    expect(await registry.value()).to.equal(2n);
  });

  it("hands the administration over once the delay has passed, to the second", async () => {
    const { registry, admin, next } = await loadFixture(deploy);
    await registry.beginDefaultAdminTransfer(next);
    const acceptAfter = (await time.latest()) + HOUR;
    expect(await registry.pendingDefaultAdmin()).to.deep.equal([next.address, BigInt(acceptAfter)]);
    // In the block with exactly this timestamp it is too early, in the next one it is not.
    await time.setNextBlockTimestamp(acceptAfter);
    await expect(registry.connect(next).acceptDefaultAdminTransfer())
      .to.be.revertedWithCustomError(registry, "AccessControlEnforcedDefaultAdminDelay")
      .withArgs(acceptAfter);
    expect(await time.latest()).to.equal(acceptAfter);
    await time.setNextBlockTimestamp(acceptAfter + 1);
    await registry.connect(next).acceptDefaultAdminTransfer();
    expect(await time.latest()).to.equal(acceptAfter + 1);
    expect(await registry.defaultAdmin()).to.equal(next.address);
    await expect(registry.connect(admin).beginDefaultAdminTransfer(admin)).to.be.revertedWithCustomError(
      registry,
      "AccessControlUnauthorizedAccount",
    );
  });

  it("estimates in the time of the next block, not of the last", async () => {
    const { registry, next } = await loadFixture(deploy);
    await registry.beginDefaultAdminTransfer(next);
    await time.setNextBlockTimestamp((await time.latest()) + HOUR + 1);
    expect(await registry.connect(next).acceptDefaultAdminTransfer.estimateGas()).to.be.greaterThan(21_000n);
  });
});

describe("TimelockController", () => {
  async function deploy() {
    const [admin, proposer, executor, other] = await ethers.getSigners();
    const timelock = await ethers.deployContract("TimelockController", [HOUR, [proposer], [executor], admin]);
    const registry = await ethers.deployContract("Registry", [HOUR, timelock]);
    const role = await registry.WRITER();
    const call = registry.interface.encodeFunctionData("grantRole", [role, other.address]);
    const operation = [registry.target, 0n, call, ethers.ZeroHash, ethers.id("salt")];
    const id = await timelock.hashOperation(...operation);
    return { timelock, registry, proposer, executor, other, role, operation, id };
  }

  it("executes what was scheduled, when it is time", async () => {
    const { timelock, registry, proposer, executor, other, role, operation, id } = await loadFixture(deploy);
    await expect(timelock.connect(proposer).schedule(...operation, HOUR - 1))
      .to.be.revertedWithCustomError(timelock, "TimelockInsufficientDelay")
      .withArgs(HOUR - 1, HOUR);
    await expect(timelock.connect(proposer).schedule(...operation, HOUR)).to.emit(timelock, "CallScheduled");
    await expect(timelock.connect(executor).execute(...operation)).to.be.revertedWithCustomError(
      timelock,
      "TimelockUnexpectedOperationState",
    );
    await time.increaseTo(await timelock.getTimestamp(id));
    await expect(timelock.connect(executor).execute(...operation))
      .to.emit(timelock, "CallExecuted")
      .withArgs(id, 0n, ...operation.slice(0, 3));
    expect(await registry.hasRole(role, other)).to.equal(true);
  });

  it("forgets what was cancelled", async () => {
    const { timelock, proposer, executor, operation, id } = await loadFixture(deploy);
    await timelock.connect(proposer).schedule(...operation, HOUR);
    await expect(timelock.connect(proposer).cancel(id)).to.emit(timelock, "Cancelled").withArgs(id);
    await time.increase(2 * HOUR);
    await expect(timelock.connect(executor).execute(...operation)).to.be.revertedWithCustomError(
      timelock,
      "TimelockUnexpectedOperationState",
    );
  });

  it("can be spoken for by impersonation", async () => {
    const { timelock, registry, other, role } = await loadFixture(deploy);
    await impersonateAccount(timelock.target);
    await setBalance(timelock.target, ethers.parseEther("100"));
    const signer = await ethers.getSigner(timelock.target);
    await expect(registry.connect(signer).grantRole(role, other)).to.emit(registry, "RoleGranted").withArgs(role, other, timelock);
  });
});

describe("Governor", () => {
  async function deploy() {
    const [owner, alice, bob] = await ethers.getSigners();
    const token = await ethers.deployContract("VotesToken");
    const timelock = await ethers.deployContract("TimelockController", [HOUR, [], [ethers.ZeroAddress], owner]);
    const dao = await ethers.deployContract("Dao", [token, timelock]);
    const registry = await ethers.deployContract("Registry", [HOUR, timelock]);
    // All at once, in whatever order they come to stand.
    await Promise.all([
      timelock.grantRole(await timelock.PROPOSER_ROLE(), dao),
      token.mint(alice, ethers.parseEther("17")),
      token.mint(bob, ethers.parseEther("5")),
      token.connect(alice).delegate(alice),
      token.connect(bob).delegate(bob),
    ]);
    const call = registry.interface.encodeFunctionData("grantRole", [await registry.WRITER(), alice.address]);
    const actions = [[registry.target], [0n], [call]];
    const description = "Let Alice write";
    const hash = ethers.id(description);
    const id = await dao.hashProposal(...actions, hash);
    return { owner, alice, bob, token, timelock, dao, registry, actions, description, hash, id };
  }
  const State = { Pending: 0n, Active: 1n, Defeated: 3n, Succeeded: 4n, Queued: 5n, Executed: 7n };

  it("goes from proposal to execution", async () => {
    const { alice, bob, dao, registry, actions, description, hash, id } = await loadFixture(deploy);
    await dao.connect(alice).propose(...actions, description);
    expect(await dao.state(id)).to.equal(State.Pending);
    const snapshot = await dao.proposalSnapshot(id);
    await mineUpTo(snapshot);
    expect(await dao.state(id)).to.equal(State.Pending);
    await expect(dao.connect(alice).castVote(id, 1))
      .to.emit(dao, "VoteCast")
      .withArgs(alice, id, 1n, ethers.parseEther("17"), "");
    expect(await dao.state(id)).to.equal(State.Active);
    await expect(dao.connect(alice).castVote(id, 1)).to.be.revertedWithCustomError(dao, "GovernorAlreadyCastVote").withArgs(alice);
    await dao.connect(bob).castVoteWithReason(id, 0, "no");
    await mineUpTo((await dao.proposalDeadline(id)) + 1n);
    expect(await dao.state(id)).to.equal(State.Succeeded);
    await expect(dao.queue(...actions, hash)).to.emit(dao, "ProposalQueued").withArgs(id, anyUint);
    expect(await dao.state(id)).to.equal(State.Queued);
    await time.increaseTo(await dao.proposalEta(id));
    await expect(dao.execute(...actions, hash)).to.emit(dao, "ProposalExecuted").withArgs(id);
    expect(await dao.state(id)).to.equal(State.Executed);
    expect(await registry.hasRole(await registry.WRITER(), alice)).to.equal(true);
  });

  it("is defeated without a quorum", async () => {
    const { alice, bob, dao, actions, description, hash, id } = await loadFixture(deploy);
    await dao.connect(alice).propose(...actions, description);
    await mineUpTo((await dao.proposalSnapshot(id)) + 1n);
    await dao.connect(bob).castVote(id, 1);
    await mine(16);
    expect(await dao.state(id)).to.equal(State.Defeated);
    await expect(dao.queue(...actions, hash)).to.be.revertedWithCustomError(dao, "GovernorUnexpectedProposalState");
  });

  it("counts votes as they were when the proposal was made", async () => {
    const { alice, bob, token, dao, actions, description, id } = await loadFixture(deploy);
    await dao.connect(alice).propose(...actions, description);
    await mineUpTo((await dao.proposalSnapshot(id)) + 1n);
    await token.connect(alice).transfer(bob, ethers.parseEther("17"));
    await expect(dao.connect(alice).castVote(id, 1))
      .to.emit(dao, "VoteCast")
      .withArgs(alice, id, 1n, ethers.parseEther("17"), "");
  });
});
