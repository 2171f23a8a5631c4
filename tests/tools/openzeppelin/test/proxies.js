// Proxies of every kind, clones, CREATE2, and a deployment with Ignition.
const { expect } = require("chai");
const { ethers, ignition } = require("hardhat");
const { getStorageAt, loadFixture, setStorageAt } = require("@nomicfoundation/hardhat-network-helpers");
const Boxes = require("../ignition/modules/Boxes");

const slot = (label) => ethers.toBeHex(BigInt(ethers.id(label)) - 1n, 32);
const IMPLEMENTATION = slot("eip1967.proxy.implementation");
const ADMIN = slot("eip1967.proxy.admin");
const asAddress = (word) => ethers.getAddress(ethers.dataSlice(word, 12));

async function boxes() {
  const [owner, other] = await ethers.getSigners();
  const [box, boxV2] = await Promise.all([ethers.deployContract("Box"), ethers.deployContract("BoxV2")]);
  const start = box.interface.encodeFunctionData("initialize", [42n]);
  const next = boxV2.interface.encodeFunctionData("initializeV2", [7n]);
  return { owner, other, box, boxV2, start, next };
}

describe("proxies", () => {
  it("transparent: only the admin upgrades", async () => {
    const { owner, other, box, boxV2, start, next } = await loadFixture(boxes);
    const proxy = await ethers.deployContract("TransparentUpgradeableProxy", [box, owner, start]);
    expect(asAddress(await getStorageAt(proxy.target, IMPLEMENTATION))).to.equal(box.target);
    const admin = await ethers.getContractAt("ProxyAdmin", asAddress(await getStorageAt(proxy.target, ADMIN)));
    const instance = await ethers.getContractAt("BoxV2", proxy);
    expect([await instance.value(), await instance.version()]).to.deep.equal([42n, "V1"]);
    await expect(admin.connect(other).upgradeAndCall(proxy, boxV2, next))
      .to.be.revertedWithCustomError(admin, "OwnableUnauthorizedAccount")
      .withArgs(other);
    await expect(admin.upgradeAndCall(proxy, boxV2, next)).to.emit(proxy, "Upgraded").withArgs(boxV2);
    expect([await instance.value(), await instance.version()]).to.deep.equal([7n, "V2"]);
    await expect(instance.initializeV2(1n)).to.be.revertedWithCustomError(instance, "InvalidInitialization");
  });

  it("UUPS: the implementation upgrades itself, to one that can as well", async () => {
    const { start, box } = await loadFixture(boxes);
    const [first, second] = await Promise.all([ethers.deployContract("OpenBox"), ethers.deployContract("OpenBox")]);
    const proxy = await ethers.deployContract("ERC1967Proxy", [first, start]);
    const instance = await ethers.getContractAt("OpenBox", proxy);
    await expect(instance.upgradeToAndCall(box, "0x"))
      .to.be.revertedWithCustomError(instance, "ERC1967InvalidImplementation")
      .withArgs(box);
    await expect(first.upgradeToAndCall(second, "0x")).to.be.revertedWithCustomError(first, "UUPSUnauthorizedCallContext");
    await expect(instance.upgradeToAndCall(second, "0x")).to.emit(proxy, "Upgraded").withArgs(second);
    expect(await instance.value()).to.equal(42n);
  });

  it("beacon: all proxies follow it", async () => {
    const { owner, box, boxV2, start } = await loadFixture(boxes);
    const beacon = await ethers.deployContract("UpgradeableBeacon", [box, owner]);
    const proxies = [await ethers.deployContract("BeaconProxy", [beacon, start]), await ethers.deployContract("BeaconProxy", [beacon, start])];
    await expect(beacon.upgradeTo(owner)).to.be.revertedWithCustomError(beacon, "BeaconInvalidImplementation").withArgs(owner);
    await beacon.upgradeTo(boxV2);
    const versions = proxies.map(async (proxy) => (await ethers.getContractAt("Box", proxy)).version());
    expect(await Promise.all(versions)).to.deep.equal(["V2", "V2"]);
  });

  it("can be turned by hand through their storage", async () => {
    const { box, boxV2, start } = await loadFixture(boxes);
    const proxy = await ethers.deployContract("ERC1967Proxy", [box, start]);
    await setStorageAt(proxy.target, IMPLEMENTATION, ethers.zeroPadValue(boxV2.target, 32));
    const instance = await ethers.getContractAt("Box", proxy);
    expect([await instance.version(), await instance.value()]).to.deep.equal(["V2", 42n]);
  });
});

describe("clones and CREATE2", () => {
  it("land where they were predicted, once", async () => {
    const { box } = await loadFixture(boxes);
    const factory = await ethers.deployContract("Factory");
    const predicted = await factory.predict(box, ethers.id("salt"));
    await expect(factory.clone(box, ethers.id("salt"))).to.emit(factory, "Made").withArgs(predicted);
    expect(ethers.dataLength(await ethers.provider.getCode(predicted))).to.equal(45);
    await expect(factory.clone(box, ethers.id("salt"))).to.be.revertedWithCustomError(factory, "FailedDeployment");
  });

  it("carry value and bubble up what a constructor says", async () => {
    const factory = await ethers.deployContract("Factory");
    const { bytecode } = await ethers.getContractFactory("Sink");
    const where = await factory.where(ethers.id("a"), ethers.keccak256(bytecode));
    await expect(factory.create(ethers.id("a"), bytecode)).to.emit(factory, "Made").withArgs(where);
    await expect(factory.create(ethers.id("b"), "0x"))
      .to.be.revertedWithCustomError(factory, "Create2EmptyBytecode");
    await expect(factory.create(ethers.id("b"), bytecode, { value: 1n })).to.be.revertedWithCustomError(factory, "FailedDeployment");
  });
});

describe("Ignition", () => {
  it("deploys a module, with calls between its contracts", async () => {
    const [owner] = await ethers.getSigners();
    const { box, beacon, registry, second } = await ignition.deploy(Boxes, { parameters: { Boxes: { start: 5n } } });
    expect([await box.version(), await box.value()]).to.deep.equal(["V2", 7n]);
    expect(await beacon.implementation()).to.equal(second.target);
    expect(await registry.hasRole(await registry.WRITER(), second)).to.equal(true);
    expect(await registry.owner()).to.equal(owner.address);
  });

  it("says why a deployment fails", async () => {
    const { buildModule } = require("@nomicfoundation/hardhat-ignition/modules");
    const Broken = buildModule("Broken", (m) => ({ proxy: m.contract("ERC1967Proxy", [m.getAccount(0), "0x"]) }));
    await expect(ignition.deploy(Broken)).to.be.rejectedWith(/ERC1967ProxyUninitialized/);
  });
});
