// Hardhat 3 on a confidential chain, as one who has signed in; and what strangers see of it.
import { expect } from "chai";
import { network } from "hardhat";
import Pair from "../ignition/modules/Pair.js";

const { ethers, ignition } = await network.getOrCreate();

async function stranger(method, ...params) {
  const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method, params });
  const answer = await fetch(process.env.PUBLIC_URL, { method: "POST", headers: { "content-type": "application/json" }, body });
  return (await answer.json()).result;
}

describe("a confidential chain", () => {
  it("deploys, sends and reads its own; strangers see nothing", async () => {
    const [owner] = await ethers.getSigners();
    const coin = await ethers.deployContract("Token", ["Example", "EXA", 1000n]);
    const sent = await coin.transfer("0x00000000000000000000000000000000000A11cE", 5n, { gasLimit: 300_000n });
    const receipt = await sent.wait();
    expect([receipt.status, receipt.logs.length]).to.deep.equal([1, 1]);
    expect(await ethers.provider.getBalance(owner.address)).to.be.greaterThan(0n);
    const own = await coin.queryFilter(coin.filters.Transfer(owner.address), receipt.blockNumber);
    expect(own.length).to.equal(1);
    expect(await coin.balanceOf(owner.address).then(() => null, (error) => error)).not.to.equal(null);

    expect(await stranger("eth_getTransactionReceipt", receipt.hash)).to.equal(null);
    expect(await stranger("eth_getTransactionByHash", receipt.hash)).to.equal(null);
    expect(await stranger("eth_getBalance", owner.address, "latest")).to.equal("0x0");
    expect(await stranger("eth_getCode", await coin.getAddress(), "latest")).to.equal("0x");
    expect(await stranger("eth_getLogs", { fromBlock: "0x0" })).to.deep.equal([]);
  });

  it("is deployed to by Ignition", async () => {
    const { first, second } = await ignition.deploy(Pair);
    expect(await first.getAddress()).not.to.equal(await second.getAddress());
    expect(await stranger("eth_getCode", await first.getAddress(), "latest")).to.equal("0x");
  });
});
