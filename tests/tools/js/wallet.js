// A browser wallet in small: an EIP-1193 provider that asks the node what MetaMask asks it, in MetaMask's order, and signs
// with a development key. Loaded into each page before the page's own scripts, as an extension would.
import { HDNodeWallet, Wallet, toQuantity } from "/ethers.js";

const refused = (code, message) => Object.assign(new Error(message), { code });

class NodeConnection {
  #url;
  #next = 1;
  /** Methods in the order in which they were sent. */
  asked = [];

  constructor(url) {
    this.#url = url;
  }

  async #post(body) {
    // A header that a page may not send elsewhere without asking: the browser makes a pre-flight request of it.
    const headers = { "content-type": "application/json" };
    const answer = await fetch(this.#url, { method: "POST", headers, body: JSON.stringify(body) });
    if (!answer.ok) throw refused(-32603, `status ${answer.status}`);
    return answer.json();
  }

  #request(method, params) {
    this.asked.push(method);
    return { jsonrpc: "2.0", id: this.#next++, method, params };
  }

  async send(method, ...params) {
    const { result, error } = await this.#post(this.#request(method, params));
    if (error) throw Object.assign(refused(error.code, error.message), { data: error.data });
    return result;
  }

  /** Calls in one batch; results in the order of the calls. */
  async batch(calls) {
    const requests = calls.map(([method, ...params]) => this.#request(method, params));
    const answers = new Map((await this.#post(requests)).map((answer) => [answer.id, answer]));
    return requests.map(({ id }) => answers.get(id).result);
  }
}

export class BrowserWallet extends EventTarget {
  #listeners = new Map();
  #accounts;
  node;
  socket;
  network;

  constructor(keys) {
    super();
    this.#accounts = new Map(keys.map((key) => new Wallet(key)).map((account) => [account.address.toLowerCase(), account]));
  }

  on(event, listener) {
    this.#listeners.set(event, [...(this.#listeners.get(event) ?? []), listener]);
    return this;
  }

  removeListener(event, listener) {
    this.#listeners.set(event, (this.#listeners.get(event) ?? []).filter((other) => other !== listener));
    return this;
  }

  #emit(event, payload) {
    for (const listener of this.#listeners.get(event) ?? []) listener(payload);
  }

  /** EIP-1193. What is not the wallet's own goes to the node as it is. */
  async request({ method, params = [] }) {
    switch (method) {
      case "wallet_addEthereumChain":
        return this.#addNetwork(params[0]);
      case "wallet_switchEthereumChain":
        if (params[0].chainId !== this.network?.chainId) throw refused(4902, "Unrecognized chain ID");
        return null;
      case "eth_accounts":
      case "eth_requestAccounts":
        return [...this.#accounts.values()].map((account) => account.address);
      case "eth_sendTransaction":
        return this.#sendTransaction(params[0]);
      case "personal_sign":
        return this.#account(params[1]).signMessage(Uint8Array.from(params[0].slice(2).match(/../g), (byte) => parseInt(byte, 16)));
      case "eth_signTypedData_v4": {
        const { domain, types, message } = JSON.parse(params[1]);
        delete types.EIP712Domain;
        return this.#account(params[0]).signTypedData(domain, types, message);
      }
      default:
        if (!this.node) throw refused(4900, "no network was added");
        return this.node.send(method, ...params);
    }
  }

  #account(address) {
    return this.#accounts.get(address.toLowerCase()) ?? (() => { throw refused(4100, "not an account of this wallet"); })();
  }

  /** EIP-3085: a network is added if its node says that it is that network. */
  async #addNetwork({ chainId, rpcUrls, chainName }) {
    const node = new NodeConnection(rpcUrls[0]);
    const answered = await node.send("eth_chainId");
    if (answered !== chainId) throw refused(-32602, `Chain ID returned by RPC URL ${rpcUrls[0]} does not match ${chainId}`);
    const networkId = await node.send("net_version");
    if (BigInt(networkId) !== BigInt(chainId)) throw refused(-32602, `network id ${networkId}`);
    await node.send("eth_blockNumber");
    const block = await node.send("eth_getBlockByNumber", "latest", false);
    this.node = node;
    this.network = { chainId, chainName, paysByEip1559: block.baseFeePerGas !== undefined, block };
    this.#emit("connect", { chainId });
    this.#emit("chainChanged", chainId);
    return null;
  }

  /** What goes on while nobody does anything: is there a new block, and what do the accounts hold? */
  async poll() {
    const number = await this.node.send("eth_blockNumber");
    const addresses = [...this.#accounts.keys()];
    const balances = await this.node.batch(addresses.map((address) => ["eth_getBalance", address, number]));
    return { number, balances: Object.fromEntries(addresses.map((address, i) => [address, balances[i]])) };
  }

  /** Low, market and aggressive offers, from what the last blocks paid. */
  async suggestFees() {
    const [history, gasPrice, tip] = [
      await this.node.send("eth_feeHistory", "0x5", "latest", [10, 20, 30]),
      await this.node.send("eth_gasPrice"),
      await this.node.send("eth_maxPriorityFeePerGas"),
    ];
    const nextBaseFee = BigInt(history.baseFeePerGas.at(-1));
    const offers = [0, 1, 2].map((level) => {
      const paid = (history.reward ?? []).map((block) => BigInt(block[level])).sort((a, b) => (a < b ? -1 : 1));
      const median = paid[paid.length >> 1] ?? BigInt(tip);
      const maxPriorityFeePerGas = median > 0n ? median : BigInt(tip);
      return { maxPriorityFeePerGas, maxFeePerGas: nextBaseFee * 2n + maxPriorityFeePerGas };
    });
    return { offers, history, gasPrice, tip };
  }

  async #sendTransaction({ from, ...transaction }) {
    const account = this.#account(from);
    const gas = transaction.gas ?? (await this.node.send("eth_estimateGas", { from, ...transaction }));
    const { offers } = await this.suggestFees();
    const fees = transaction.maxFeePerGas ? transaction : offers[1];
    const nonce = transaction.nonce ?? (await this.node.send("eth_getTransactionCount", from, "pending"));
    const signed = await account.signTransaction({
      type: 2, chainId: this.network.chainId, nonce: Number(nonce), to: transaction.to, value: transaction.value ?? 0,
      data: transaction.data ?? "0x", gasLimit: gas, maxFeePerGas: fees.maxFeePerGas, maxPriorityFeePerGas: fees.maxPriorityFeePerGas,
    });
    return this.node.send("eth_sendRawTransaction", signed);
  }

  /** Sends a transaction again at a higher price, or one that does nothing in its place. */
  async replace(hash, { cancel = false } = {}) {
    const old = await this.node.send("eth_getTransactionByHash", hash);
    const more = (price) => toQuantity((BigInt(price) * 11n) / 10n + 1n);
    const content = cancel ? { to: old.from, value: "0x0", data: "0x", gas: "0x5208" } : { to: old.to, value: old.value, data: old.input, gas: old.gas };
    const fees = { maxFeePerGas: more(old.maxFeePerGas), maxPriorityFeePerGas: more(old.maxPriorityFeePerGas) };
    return this.#sendTransaction({ from: old.from, nonce: old.nonce, ...content, ...fees });
  }

  /** Waits until a transaction is in a block, asking as a wallet does: block by block. */
  async track(hash) {
    for (;;) {
      const receipt = await this.node.send("eth_getTransactionReceipt", hash);
      if (receipt) return { receipt, block: await this.node.send("eth_getBlockByHash", receipt.blockHash, false) };
      if (!(await this.node.send("eth_getTransactionByHash", hash))) return { dropped: true };
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  /** Heads over WebSocket, told as EIP-1193's `message` events. */
  async subscribe(url, ...params) {
    this.socket = new WebSocket(url);
    await new Promise((resolve, reject) => Object.assign(this.socket, { onopen: resolve, onerror: reject }));
    return new Promise((resolve) => {
      this.socket.onmessage = ({ data }) => {
        const message = JSON.parse(data);
        if (message.id === 1) resolve(message.result);
        else this.#emit("message", { type: "eth_subscription", data: message.params });
      };
      this.socket.send(JSON.stringify({ jsonrpc: "2.0", id: 1, method: "eth_subscribe", params }));
    });
  }
}

/** The wallet of a mnemonic's first accounts. */
export function walletOf(mnemonic, count) {
  const keys = Array.from({ length: count }, (_, i) => HDNodeWallet.fromPhrase(mnemonic, undefined, `m/44'/60'/0'/0/${i}`).privateKey);
  return new BrowserWallet(keys);
}
