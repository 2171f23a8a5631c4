"""Chains of blocks, each checked by the specification's own state transition, and blocks that it refuses."""

import json
from importlib import import_module

from ethereum.crypto.hash import keccak256
from ethereum.exceptions import EthereumException
from ethereum_rlp import rlp
from ethereum_types.bytes import Bytes8, Bytes20, Bytes32, Bytes256
from ethereum_types.numeric import U64, U256, Uint

from chain import authorization, hexed, transaction, word
from transactions import CONSOLIDATIONS, EXITS, program
from world import DEPOSITS, ETHER, GWEI, READS_CODE, REVERTS, SENDERS, WITNESS, account, address, common

FORKS = ["Prague", "Osaka", "BPO1", "BPO2"]
EMPTY_ROOT = keccak256(rlp.encode(b""))
EMPTY_REQUESTS = bytes.fromhex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
GENESIS_TIME = 1_700_000_000
SPACING = 12
# Of the genesis: a blob price that EIP-7918's reserve price is above.
EXCESS = 20_000_000


class Rules:
    """The specification's modules of one fork."""

    def __init__(self, fork):
        name = f"ethereum.forks.{fork.lower()}"
        self.fork, self.blocks, self.state, self.trie, self.gas, self.vm, self.bloom, self.requests = (
            import_module(f"{name}.{module}")
            for module in ("fork", "blocks", "state", "trie", "vm.gas", "vm", "bloom", "requests")
        )
        self.account = import_module(f"{name}.fork_types").Account


class Chain:
    """A genesis, and blocks on it whose forks change with their time."""

    def __init__(self, times, alloc):
        self.times, self.alloc = times, alloc
        self.rules = {fork: Rules(fork) for fork in times}
        first = self.rules_at(GENESIS_TIME)
        state = first.state.State()
        for where, described in alloc.items():
            at = Bytes20(bytes.fromhex(where[2:]))
            code = bytes.fromhex(described.get("code", "0x")[2:])
            first.state.set_account(
                state, at, first.account(Uint(int(described["nonce"], 16)), U256(int(described["balance"], 16)), code)
            )
            for slot, value in described.get("storage", {}).items():
                first.state.set_storage(state, at, Bytes32(word(int(slot, 16))), U256(int(value, 16)))
        header = first.blocks.Header(
            parent_hash=Bytes32(bytes(32)),
            ommers_hash=first.fork.EMPTY_OMMER_HASH,
            coinbase=Bytes20(bytes(20)),
            state_root=first.state.state_root(state),
            transactions_root=EMPTY_ROOT,
            receipt_root=EMPTY_ROOT,
            bloom=Bytes256(bytes(256)),
            difficulty=Uint(0),
            number=Uint(0),
            gas_limit=Uint(60_000_000),
            gas_used=Uint(0),
            timestamp=U256(GENESIS_TIME),
            extra_data=b"",
            prev_randao=Bytes32(bytes(32)),
            nonce=Bytes8(bytes(8)),
            base_fee_per_gas=Uint(GWEI),
            withdrawals_root=EMPTY_ROOT,
            blob_gas_used=U64(0),
            excess_blob_gas=U64(EXCESS),
            parent_beacon_block_root=Bytes32(bytes(32)),
            requests_hash=Bytes32(EMPTY_REQUESTS),
        )
        block = first.blocks.Block(header=header, transactions=(), ommers=(), withdrawals=())
        self.chain, self.entered = first.fork.BlockChain(blocks=[block], state=state, chain_id=U64(1)), first

    def rules_at(self, time):
        return self.rules[[fork for fork, since in self.times.items() if since <= time][-1]]

    def enter(self, rules):
        """Says the chain in the classes of another fork, which knows no accounts and headers but its own."""
        if rules is self.entered:
            return
        old, state = self.chain.state, rules.state.State()
        for at, known in old._main_trie._data.items():
            rules.state.set_account(state, at, rules.account(known.nonce, known.balance, known.code))
        for at, trie in old._storage_tries.items():
            for slot, value in trie._data.items():
                rules.state.set_storage(state, at, slot, value)
        headers = [rules.blocks.Header(**fields_of(block.header)) for block in self.chain.blocks]
        ancestors = [
            rules.blocks.Block(header=header, transactions=(), ommers=(), withdrawals=()) for header in headers
        ]
        self.chain, self.entered = rules.fork.BlockChain(ancestors, state, self.chain.chain_id), rules

    def genesis(self):
        """In geth's format."""
        keys = (
            "homestead",
            "eip150",
            "eip155",
            "eip158",
            "byzantium",
            "constantinople",
            "petersburg",
            "istanbul",
            "berlin",
            "london",
        )
        config = {"chainId": 1} | {f"{key}Block": 0 for key in keys}
        config |= {
            "terminalTotalDifficulty": 0,
            "shanghaiTime": 0,
            "cancunTime": 0,
            "depositContractAddress": hexed(DEPOSITS),
        }
        config |= {f"{fork.lower()}Time": since for fork, since in self.times.items()}
        schedule = {
            "cancun": (3, 6, 3338477),
            "prague": (6, 9, 5007716),
            "osaka": (6, 9, 5007716),
            "bpo1": (10, 15, 8346193),
            "bpo2": (14, 21, 11684671),
        }
        config["blobSchedule"] = {
            fork: {"target": target, "max": most, "baseFeeUpdateFraction": fraction}
            for fork, (target, most, fraction) in schedule.items()
        }
        head = self.chain.blocks[0].header
        described = {
            "config": config,
            "timestamp": hex(int(head.timestamp)),
            "gasLimit": hex(int(head.gas_limit)),
            "difficulty": "0x0",
        }
        return described | {"baseFeePerGas": hex(GWEI), "excessBlobGas": hex(EXCESS), "alloc": self.alloc}

    def nonce(self, sender):
        return int(self.entered.state.get_account(self.chain.state, Bytes20(sender.address)).nonce)

    def copied_state(self):
        rules, state = self.entered, self.chain.state
        tries = {at: rules.trie.copy_trie(trie) for at, trie in state._storage_tries.items()}
        return rules.state.State(_main_trie=rules.trie.copy_trie(state._main_trie), _storage_tries=tries)

    def block(self, rng, transactions, withdrawals, seconds=SPACING):
        """A block that the specification would make of this on top of the newest one."""
        parent = self.chain.blocks[-1].header
        time = parent.timestamp + U256(seconds)
        rules = self.rules_at(int(time))
        self.enter(rules)
        parent = self.chain.blocks[-1].header
        limit = parent.gas_limit + Uint(rng.randrange(2000))
        fee = rules.fork.calculate_base_fee_per_gas(limit, parent.gas_limit, parent.gas_used, parent.base_fee_per_gas)
        items = tuple(
            item if isinstance(item, bytes) else rlp.decode_to(rules.fork.LegacyTransaction, rlp.encode(item))
            for item in transactions
        )
        payouts = tuple(
            rules.blocks.Withdrawal(U64(index), U64(index), Bytes20(at), U256(amount))
            for index, (at, amount) in enumerate(withdrawals)
        )
        surroundings = {
            "coinbase": Bytes20(rng.choice([SENDERS[7].address, rng.randbytes(20)])),
            "number": parent.number + Uint(1),
            "prev_randao": Bytes32(rng.randbytes(32)),
            "base_fee_per_gas": fee,
            "excess_blob_gas": rules.fork.calculate_excess_blob_gas(parent),
            "parent_beacon_block_root": Bytes32(rng.randbytes(32)),
        }
        state = self.copied_state()
        environment = rules.vm.BlockEnvironment(
            chain_id=self.chain.chain_id, state=state, block_gas_limit=limit, time=time,
            block_hashes=rules.fork.get_last_256_block_hashes(self.chain), **surroundings,
        )  # fmt: skip
        output = rules.fork.apply_body(environment, items, payouts)
        header = rules.blocks.Header(
            parent_hash=keccak256(rlp.encode(parent)),
            ommers_hash=rules.fork.EMPTY_OMMER_HASH,
            state_root=rules.state.state_root(state),
            transactions_root=rules.trie.root(output.transactions_trie),
            receipt_root=rules.trie.root(output.receipts_trie),
            bloom=rules.bloom.logs_bloom(output.block_logs),
            difficulty=Uint(0),
            gas_limit=limit,
            gas_used=output.block_gas_used,
            timestamp=time,
            extra_data=rng.randbytes(rng.choice([0, 5, 32])),
            nonce=Bytes8(bytes(8)),
            withdrawals_root=rules.trie.root(output.withdrawals_trie),
            blob_gas_used=output.blob_gas_used,
            requests_hash=rules.requests.compute_requests_hash(output.requests),
            **surroundings,
        )
        return rules.blocks.Block(header=header, transactions=items, ommers=(), withdrawals=payouts)

    def add(self, block):
        self.entered.fork.state_transition(self.chain, block)

    def refuses(self, block):
        """Whether the specification refuses a block on top of the newest one."""
        rules = self.entered
        trial = rules.fork.BlockChain(list(self.chain.blocks), self.copied_state(), self.chain.chain_id)
        try:
            rules.fork.state_transition(trial, block)
        except EthereumException:
            return True
        return False


def body(rng, chain):
    """Valid transactions of every kind."""
    fee, txs, nonces = 100 * GWEI, [], {sender: chain.nonce(sender) for sender in SENDERS}
    for _ in range(rng.randint(1, 5)):
        sender = rng.choice(SENDERS[:6])
        kind = rng.choice([0, 1, 2, 2, 3, 4])
        to = rng.choice([address(0xBAD0), address(0xBAD1), WITNESS, READS_CODE, REVERTS, SENDERS[3].address])
        extra = {
            "gas": rng.choice([400_000, 800_000]),
            "data": rng.randbytes(rng.randrange(40)),
            "value": rng.choice([0, 1, ETHER]),
        }
        if kind == 3:
            extra["blobs"] = [b"\1" + keccak256(rng.randbytes(4))[1:] for _ in range(rng.randint(1, 2))]
        if kind == 4:
            other = rng.choice(SENDERS[:6])
            extra["authorizations"] = [
                authorization(other, rng.choice([WITNESS, address(0)]), nonces[other] + (other is sender))
            ]
        elif kind != 3 and rng.random() < 0.2:
            to, extra = None, {"gas": 800_000, "data": program(rng)[:100]}
        txs.append(transaction(sender, nonces[sender], to, kind=kind, fee=fee, **extra))
        nonces[sender] += 1
        if kind == 4:
            nonces[other] += 1
    exit_to, merge_to = bytes.fromhex(EXITS[2:]), bytes.fromhex(CONSOLIDATIONS[2:])
    for to, length in ((exit_to, 56), (merge_to, 96)):
        if rng.random() < 0.3:
            txs.append(
                transaction(
                    SENDERS[6], nonces[SENDERS[6]], to, fee=fee, gas=400_000, data=rng.randbytes(length), value=ETHER
                )
            )
            nonces[SENDERS[6]] += 1
    return txs


def spoilt(block, parent):
    """Blocks that differ from a good one in one thing, under the name of the field that is wrong then."""
    header, other = block.header, Bytes32(b"\x11" * 32)
    fields = {
        "parentHash": {"parent_hash": other},
        "sha3Uncles": {"ommers_hash": other},
        "miner": {"coinbase": Bytes20(b"\x22" * 20)},
        "stateRoot": {"state_root": other},
        "transactionsRoot": {"transactions_root": other},
        "receiptsRoot": {"receipt_root": other},
        "logsBloom": {"bloom": Bytes256(b"\x33" * 256)},
        "difficulty": {"difficulty": Uint(1)},
        "number": {"number": header.number + Uint(1)},
        "gasLimit": {"gas_limit": parent.gas_limit + parent.gas_limit // Uint(1024)},
        "gasUsed": {"gas_used": header.gas_used + Uint(1)},
        "timestamp": {"timestamp": parent.timestamp},
        "extraData": {"extra_data": bytes(33)},
        "nonce": {"nonce": Bytes8(b"\0" * 7 + b"\1")},
        "baseFeePerGas": {"base_fee_per_gas": header.base_fee_per_gas + Uint(1)},
        "withdrawalsRoot": {"withdrawals_root": other},
        "blobGasUsed": {"blob_gas_used": header.blob_gas_used + U64(131_072)},
        "excessBlobGas": {"excess_blob_gas": header.excess_blob_gas + U64(1)},
        "parentBeaconBlockRoot": {"parent_beacon_block_root": other},
        "requestsHash": {"requests_hash": other},
    }
    blocks = {name: changed(block, header=changed(header, **values)) for name, values in fields.items()}
    blocks["withdrawals"] = changed(block, withdrawals=block.withdrawals[1:])
    blocks["transactions"] = changed(block, transactions=block.transactions[1:])
    blocks["transactions twice"] = changed(block, transactions=(*block.transactions, block.transactions[0]))
    blocks["uncles"] = changed(block, ommers=(parent,))
    return blocks


def fields_of(item):
    return {name: getattr(item, name) for name in item.__dataclass_fields__}


def changed(item, **values):
    return type(item)(**(fields_of(item) | values))


def generate(rng, fork, index):
    """A chain of five blocks and what cannot follow its fourth. The last fork of `fork` begins with the third block."""
    forks = FORKS[: FORKS.index(fork) + 1]
    times = {each: 0 for each in forks[:-1]} | {forks[-1]: GENESIS_TIME + 3 * SPACING if len(forks) > 1 else 0}
    alloc = common()
    alloc[hexed(address(0xBAD0))] = account(ETHER, 1, program(rng), {1: 1, 2: 2})
    alloc[hexed(address(0xBAD1))] = account(0, 1, program(rng), {0: 7})
    chain = Chain(times, alloc)
    blocks = []
    for height in range(1, 6):
        withdrawals = [
            (rng.choice([WITNESS, rng.randbytes(20)]), rng.choice([1, 10**9])) for _ in range(rng.randint(1, 2))
        ]
        block = chain.block(rng, body(rng, chain), withdrawals, SPACING)
        if height == 5:
            refused = spoilt(block, chain.chain.blocks[-1].header)
            for name, wrong in refused.items():
                if not chain.refuses(wrong):
                    raise SystemExit(f"the specification does not mind: {name}")
        chain.add(block)
        blocks.append(block)
    head = blocks[-1]
    return {
        "name": f"{fork}/{index:02}",
        "genesis": json.dumps(chain.genesis(), separators=(",", ":")),
        "blocks": hexed(b"".join(map(rlp.encode, blocks[:-1]))),
        "last": hexed(rlp.encode(head)),
        "hash": hexed(keccak256(rlp.encode(head.header))),
        "refused": {name: hexed(rlp.encode(wrong)) for name, wrong in refused.items()},
    }
