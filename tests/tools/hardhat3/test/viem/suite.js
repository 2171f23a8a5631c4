// Hardhat 3 with viem and Node's own test runner: assertions, fixtures, time, impersonation, Ignition.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { network } from "hardhat";
import { getAddress, parseEther } from "viem";
import Shop from "../../ignition/modules/Shop.js";

const { ignition, networkHelpers, viem } = await network.getOrCreate();
const { assertions } = viem;

async function deploy() {
  const [owner, other] = await viem.getWalletClients();
  const client = await viem.getPublicClient();
  const token = await viem.deployContract("Token", ["Example", "EXA", 1000n]);
  const vault = await viem.deployContract("Vault", [3600n], { value: 5n });
  return { owner: owner.account.address, other: other.account.address, wallet: owner, second: other, client, token, vault };
}
const fixture = () => networkHelpers.loadFixture(deploy);

describe("contracts", () => {
  it("move tokens and ether, and say so", async () => {
    const { owner, other, wallet, token, vault } = await fixture();
    await assertions.emitWithArgs(token.write.transfer([other, 50n]), token, "Transfer", [getAddress(owner), getAddress(other), 50n]);
    assert.equal(await token.read.balanceOf([other]), 50n);
    await assertions.emit(vault.write.deposit(["rent"], { value: 9n }), vault, "Deposited");
    await assertions.balancesHaveChanged(wallet.sendTransaction({ to: other, value: 7n }), [{ address: other, amount: 7n }]);
  });

  it("start each test as the fixture left them", async () => {
    const { owner, token } = await fixture();
    assert.equal(await token.read.balanceOf([owner]), 1000n);
  });

  for (const how of ["write", "read", "simulate"]) {
    it(`fail in each way by ${how}`, async () => {
      const { owner, other, token, vault } = await fixture();
      await assertions.revertWithCustomErrorWithArgs(
        token[how].transferFrom([other, owner, 1n]),
        token,
        "ERC20InsufficientAllowance",
        [getAddress(owner), 0n, 1n],
      );
      await assertions.revertWithCustomError(vault[how].deposit([""]), vault, "NothingSent");
      await assertions.revertWith(vault[how].failWithReason(), "Vault: always fails");
      await assertions.revert(vault[how].failWithPanic([0n]));
      await assertions.revert(vault[how].failSilently());
    });
  }

  it("deploy with a value and answer at once", async () => {
    const { client, vault } = await fixture();
    assert.equal(await client.getBalance({ address: vault.address }), 5n);
    for (let i = 0n; i < 20n; i++) {
      const hash = await vault.write.deposit([""], { value: 1n });
      assert.equal((await client.getTransactionReceipt({ hash })).status, "success");
      assert.equal(await vault.read.nextId(), i + 1n);
    }
  });
});

describe("the test client", () => {
  it("moves time, mines, and goes back", async () => {
    const { vault, client } = await fixture();
    const test = await viem.getTestClient();
    await vault.write.deposit([""], { value: 10n });
    await assertions.revertWithCustomError(vault.write.withdraw([10n]), vault, "Locked");
    const id = await test.snapshot();
    await test.increaseTime({ seconds: 3601 });
    await test.mine({ blocks: 1 });
    await assertions.emit(vault.write.withdraw([10n]), vault, "Withdrawn");
    await test.revert({ id });
    await assertions.revertWithCustomError(vault.write.withdraw([10n]), vault, "Locked");
    const { timestamp } = await client.getBlock();
    await test.setNextBlockTimestamp({ timestamp: timestamp + 10_000n });
    await assertions.emit(vault.write.withdraw([10n]), vault, "Withdrawn");
    assert.equal((await client.getBlock()).timestamp, timestamp + 10_000n);
  });

  it("speaks for others and sets what they have", async () => {
    const { owner, token, client } = await fixture();
    const test = await viem.getTestClient();
    const stranger = "0x00000000000000000000000000000000000a11ce";
    await test.setBalance({ address: stranger, value: parseEther("1") });
    await test.impersonateAccount({ address: stranger });
    await token.write.transfer([stranger, 9n]);
    await token.write.transfer([owner, 4n], { account: stranger });
    assert.equal(await token.read.balanceOf([stranger]), 5n);
    await test.stopImpersonatingAccount({ address: stranger });
    await test.setNonce({ address: stranger, nonce: 42 });
    await test.setCode({ address: stranger, bytecode: "0x6001" });
    assert.equal(await client.getTransactionCount({ address: stranger }), 42);
    assert.equal(await client.getCode({ address: stranger }), "0x6001");
    assert.equal(await test.getAutomine(), true);
  });
});

describe("Ignition", () => {
  it("deploys a module with calls between its contracts", async () => {
    const { token, vault } = await ignition.deploy(Shop, { parameters: { Shop: { supply: 500n } } });
    assert.equal(await token.read.totalSupply(), 507n);
    assert.equal(await vault.read.nextId(), 1n);
  });
});
