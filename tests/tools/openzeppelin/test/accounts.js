// Signatures and accounts: typed data, contracts that sign, delegated accounts (EIP-7702), other curves.
const { generateKeyPairSync, sign } = require("node:crypto");
const { expect } = require("chai");
const { ethers } = require("hardhat");
const { loadFixture, setBalance } = require("@nomicfoundation/hardhat-network-helpers");

async function deploy() {
  const [owner, alice, bob] = await ethers.getSigners();
  const [verifier, delegate] = await Promise.all([ethers.deployContract("Verifier"), ethers.deployContract("Delegate")]);
  const wallet = await ethers.deployContract("Wallet", [alice]);
  return { owner, alice, bob, verifier, delegate, wallet };
}

describe("signatures", () => {
  it("of messages and typed data come from accounts the node holds", async () => {
    const { alice, bob, verifier } = await loadFixture(deploy);
    expect(await verifier.messageSigner(ethers.toUtf8Bytes("hello"), await alice.signMessage("hello"))).to.equal(alice.address);
    const { chainId } = await ethers.provider.getNetwork();
    const domain = { name: "Verifier", version: "1", chainId, verifyingContract: verifier.target };
    const types = { Order: [{ name: "id", type: "uint256" }, { name: "to", type: "address" }] };
    const signature = await alice.signTypedData(domain, types, { id: 3n, to: bob.address });
    expect(await verifier.orderSigner(3n, bob, signature)).to.equal(alice.address);
    await expect(verifier.orderSigner(3n, bob, signature.slice(0, -2)))
      .to.be.revertedWithCustomError(verifier, "ECDSAInvalidSignatureLength")
      .withArgs(64n);
  });

  it("of contracts are asked of them (ERC-1271)", async () => {
    const { alice, bob, verifier, wallet } = await loadFixture(deploy);
    const hash = ethers.hashMessage("hello");
    const signature = await alice.signMessage("hello");
    expect(await verifier.isSigned(alice, hash, signature)).to.equal(true);
    expect(await verifier.isSigned(wallet, hash, signature)).to.equal(true);
    expect(await verifier.isSigned(wallet, hash, await bob.signMessage("hello"))).to.equal(false);
    expect(await verifier.isSigned(verifier, hash, signature)).to.equal(false);
  });

  it("on P-256 are verified by the precompile and in Solidity alike", async () => {
    const { verifier } = await loadFixture(deploy);
    const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "prime256v1" });
    const { x, y } = publicKey.export({ format: "jwk" });
    const message = Buffer.from("hello");
    const signature = sign("sha256", message, { key: privateKey, dsaEncoding: "ieee-p1363" });
    const order = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;
    const r = ethers.hexlify(signature.subarray(0, 32));
    // The lower of the two values of s: the other one is refused.
    const s = BigInt(ethers.hexlify(signature.subarray(32)));
    const low = ethers.toBeHex(s > order / 2n ? order - s : s, 32);
    const word = (text) => ethers.hexlify(Buffer.from(text, "base64url"));
    const verified = await verifier.p256(ethers.sha256(message), r, low, word(x), word(y));
    expect(verified).to.deep.equal([true, true]);
    const other = await verifier.p256(ethers.sha256("0x"), r, low, word(x), word(y));
    expect(other).to.deep.equal([false, false]);
  });

  it("with RSA are verified", async () => {
    const { verifier } = await loadFixture(deploy);
    const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
    const { e, n } = publicKey.export({ format: "jwk" });
    const word = (text) => ethers.hexlify(Buffer.from(text, "base64url"));
    const data = Buffer.from("hello");
    const signature = ethers.hexlify(sign("sha256", data, privateKey));
    expect(await verifier.rsa(data, signature, word(e), word(n))).to.equal(true);
    expect(await verifier.rsa(Buffer.from("other"), signature, word(e), word(n))).to.equal(false);
  });
});

describe("delegated accounts (EIP-7702)", () => {
  it("call in batches for themselves", async () => {
    const { owner, bob, delegate } = await loadFixture(deploy);
    const account = ethers.Wallet.createRandom(ethers.provider);
    await setBalance(account.address, ethers.parseEther("1"));
    const authorization = await account.authorize({ address: delegate.target, nonce: 0 });
    // Anyone may carry the authorization.
    const carried = await owner.sendTransaction({ to: account.address, type: 4, authorizationList: [authorization], gasLimit: 100_000n });
    expect((await carried.wait()).status).to.equal(1);
    expect(await ethers.provider.getCode(account.address)).to.equal(ethers.concat(["0xef0100", delegate.target]).toLowerCase());

    const batch = ethers.AbiCoder.defaultAbiCoder().encode(
      ["tuple(address target, uint256 value, bytes data)[]"],
      [[[bob.address, 5n, "0x"], [owner.address, 6n, "0x"]]],
    );
    const mode = "0x01000000000000000000" + "00".repeat(22);
    const asAccount = delegate.attach(account.address).connect(account);
    await expect(asAccount.execute(mode, batch)).to.changeEtherBalances([bob, owner], [5n, 6n]);
    await expect(asAccount.connect(owner).execute(mode, batch)).to.be.revertedWithCustomError(delegate, "AccountUnauthorized");
  });

  it("sign and send for themselves once delegated", async () => {
    const { bob, delegate } = await loadFixture(deploy);
    const account = ethers.Wallet.createRandom(ethers.provider);
    await setBalance(account.address, ethers.parseEther("1"));
    const authorization = await account.authorize({ address: delegate.target, nonce: 1 });
    await (await account.sendTransaction({ to: account.address, type: 4, authorizationList: [authorization] })).wait();
    await expect(account.sendTransaction({ to: bob.address, value: 9n })).to.changeEtherBalance(bob, 9n);
    const undone = await account.authorize({ address: ethers.ZeroAddress, nonce: 4 });
    await (await account.sendTransaction({ to: account.address, type: 4, authorizationList: [undone] })).wait();
    expect(await ethers.provider.getCode(account.address)).to.equal("0x");
  });
});
