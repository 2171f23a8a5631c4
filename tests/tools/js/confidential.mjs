// Deploys, sends and reads on a confidential chain as one who has signed in, with ethers and with viem; and what strangers see of it.
// RPC_URL is the node, the node with a token in the path, or a gateway; AUTHORIZATION is sent if there is one.
import assert from "node:assert/strict";
import { test } from "node:test";
import { ContractFactory, FetchRequest, JsonRpcProvider, Wallet, ZeroHash, id, zeroPadValue } from "ethers";
import { createPublicClient, createWalletClient, erc20Abi, http } from "viem";
import { privateKeyToAccount } from "viem/accounts";
import { foundry } from "viem/chains";
import { artifact, chainId, keys, rpcUrl } from "./common.mjs";

const { AUTHORIZATION, PUBLIC_URL } = process.env;
const headers = AUTHORIZATION ? { Authorization: AUTHORIZATION } : {};
const friend = "0x00000000000000000000000000000000000A11cE";
const { abi, bytecode } = artifact("Token");
// Estimates of a contract without rules answer nobody.
const gas = 300_000n;

test("ethers", async () => {
  const request = new FetchRequest(rpcUrl);
  for (const [name, value] of Object.entries(headers)) request.setHeader(name, value);
  const options = { staticNetwork: true, cacheTimeout: -1, polling: true, pollingInterval: 50 };
  const provider = new JsonRpcProvider(request, chainId, options);
  const stranger = new JsonRpcProvider(PUBLIC_URL, chainId, options);
  const wallet = new Wallet(keys[0], provider);

  const coin = await new ContractFactory(abi, bytecode, wallet).deploy("Example", "EXA", 1000n);
  await coin.waitForDeployment();
  const receipt = await (await coin.transfer(friend, 5n, { gasLimit: gas })).wait();
  assert.deepEqual([receipt.status, receipt.logs.length], [1, 1]);
  assert.ok((await provider.getBalance(wallet.address)) > 0n);
  assert.equal(await provider.getTransactionCount(wallet.address), 2);
  const topics = [id("Transfer(address,address,uint256)"), zeroPadValue(wallet.address, 32)];
  assert.equal((await provider.getLogs({ fromBlock: 0, topics })).length, 1);
  await assert.rejects(coin.balanceOf(wallet.address), { code: "CALL_EXCEPTION" });

  for (const method of ["eth_getTransactionReceipt", "eth_getTransactionByHash"]) {
    assert.equal(await stranger.send(method, [receipt.hash]), null);
    assert.equal(await stranger.send(method, [ZeroHash]), null);
  }
  assert.deepEqual([await stranger.getBalance(wallet.address), await stranger.getTransactionCount(wallet.address)], [0n, 0]);
  assert.equal(await stranger.getCode(await coin.getAddress()), "0x");
  assert.deepEqual(await stranger.getLogs({ fromBlock: 0 }), []);
  provider.destroy();
  stranger.destroy();
});

test("viem", async () => {
  const transport = http(rpcUrl, { fetchOptions: { headers } });
  const account = privateKeyToAccount(keys[0]);
  const client = createPublicClient({ chain: foundry, transport, pollingInterval: 50 });
  const wallet = createWalletClient({ account, chain: foundry, transport });
  const stranger = createPublicClient({ chain: foundry, transport: http(PUBLIC_URL, { retryCount: 0 }) });
  const before = await client.getTransactionCount({ address: account.address });

  const created = await wallet.deployContract({ abi, bytecode, args: ["Example", "EXA", 1000n] });
  const { contractAddress: address } = await client.waitForTransactionReceipt({ hash: created });
  const hash = await wallet.writeContract({ address, abi: erc20Abi, functionName: "transfer", args: [friend, 5n], gas });
  const receipt = await client.waitForTransactionReceipt({ hash });
  assert.deepEqual([receipt.status, receipt.logs.length], ["success", 1]);
  assert.equal((await client.getTransaction({ hash })).nonce, before + 1);
  assert.ok((await client.getBalance(account)) > 0n);
  assert.ok((await client.getLogs({ fromBlock: 0n, address })).length >= 1);
  const reads = client.readContract({ account, address, abi: erc20Abi, functionName: "balanceOf", args: [account.address] });
  await assert.rejects(reads, /revert/);

  await assert.rejects(stranger.getTransactionReceipt({ hash }), { name: "TransactionReceiptNotFoundError" });
  await assert.rejects(stranger.getTransaction({ hash }), { name: "TransactionNotFoundError" });
  assert.equal(await stranger.getBalance(account), 0n);
  assert.equal(await stranger.getCode({ address }), undefined);
  assert.deepEqual(await stranger.getLogs({ fromBlock: 0n, address }), []);
});
