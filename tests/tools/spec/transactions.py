"""Cases about transactions: their kinds, their gas, delegations, blobs, requests, and programs at random."""

from chain import SYSTEM_CODE, Account, asm, authorization, hexed, initcode, push, transaction, word
from ethereum.crypto.hash import keccak256
from world import (
    DEPOSITS, DESTROYS, ETHER, GWEI, POOR, PROBE, READS_CODE, REVERTS, SENDERS, WITNESS, account, address, surroundings,
)  # fmt: skip

SECP256K1_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
GAS_CAP = 2**24
BEACON_ROOTS, HISTORY, EXITS, CONSOLIDATIONS = SYSTEM_CODE


def mixed(rng, length):
    """Data with some zeros in it."""
    zeros = rng.random()
    return bytes(0 if rng.random() < zeros else rng.randrange(256) for _ in range(length))


def floor_of(data):
    tokens = data.count(0) + 4 * (len(data) - data.count(0))
    return 21_000 + 10 * tokens, 21_000 + 4 * tokens


def calldata(rng, fork, index):
    """EIP-7623: the floor of calldata, at it and one below."""
    txs, nonces = [], [0] * 8
    for _ in range(6):
        data, who = mixed(rng, rng.choice([0, 1, 31, 100, 400])), rng.randrange(6)
        to = rng.choice([WITNESS, SENDERS[3].address, REVERTS, address(4), None])
        floor, standard = floor_of(data)
        if to is None:
            data = asm("STOP") + data
            floor, standard = floor_of(data)
            standard += 32_000 + 2 * ((len(data) + 31) // 32)
        access = [(WITNESS, [word(1)]), (address(9), [])] if rng.random() < 0.3 else []
        standard += sum(2400 + 1900 * len(keys) for _, keys in access)
        need = max(floor, standard)
        gas = rng.choice([need, need, need - 1, need + 1, need + 30_000, need + 200_000])
        kind = rng.choice([1, 2]) if access else rng.choice([0, 1, 2])
        txs.append(transaction(SENDERS[who], nonces[who], to, kind=kind, gas=gas, data=data, access=access))
        nonces[who] += gas >= need
    return {"env": surroundings(rng), "pre": {}, "txs": txs}


def spoil(rng):
    return rng.choice(
        [
            None, None, None, None, None,
            lambda parity, r, s: (parity, r, SECP256K1_ORDER - s),
            lambda parity, r, s: (parity + 27, r, s),
            lambda parity, r, s: (parity ^ 1, r, s),
            lambda parity, r, s: (parity, 0, s),
            lambda parity, r, s: (parity, r, 0),
            lambda parity, r, s: (parity, SECP256K1_ORDER, s),
        ]
    )  # fmt: skip


def delegation(target):
    return b"\xef\x01\x00" + target


def delegations(rng, fork, index):
    """EIP-7702: set, cleared, in loops, to precompiles, by oneself, with every fault there is; then called."""
    contract = Account("contract")
    everyone = [*SENDERS[:6], POOR, contract, Account(f"new {index}")]
    pre = {}
    pre[hexed(POOR.address)] = account(ETHER, 3)
    pre[hexed(contract.address)] = account(5, 1, asm(1, "SLOAD", "STOP"))
    pre[hexed(SENDERS[5].address)] = account(
        100 * ETHER, 7, delegation(rng.choice([WITNESS, SENDERS[5].address])), {1: 5}
    )
    nonces = {each.address: 0 for each in everyone} | {POOR.address: 3, contract.address: 1, SENDERS[5].address: 7}
    targets = [
        WITNESS,
        WITNESS,
        REVERTS,
        DESTROYS,
        address(0),
        address(2),
        address(0x100),
        *(each.address for each in everyone),
    ]
    txs = []
    for _ in range(rng.randint(2, 4)):
        sender, tuples, changed = rng.choice(SENDERS[:6]), [], {}
        for _ in range(rng.choice([0, 1, 1, 2, 3, 4])):
            authority = rng.choice([*everyone, sender])
            expected = nonces[authority.address] + changed.get(authority.address, 0) + (authority is sender)
            nonce = rng.choice([expected] * 6 + [expected + 1, max(expected, 1) - 1, 2**64 - 1, 2**64 - 2])
            chain_id, fault = rng.choice([1] * 6 + [0, 0, 2, 2**64]), spoil(rng)
            tuples.append(authorization(authority, rng.choice(targets), nonce, chain_id, fault))
            if fault is None and nonce == expected and chain_id in (0, 1) and authority is not contract:
                changed[authority.address] = changed.get(authority.address, 0) + 1
        to = rng.choice([WITNESS, READS_CODE, rng.choice(everyone).address])
        data = word(int.from_bytes(rng.choice(everyone).address, "big"))
        need = 21_000 + 25_000 * len(tuples) + 5_000
        gas = rng.choice([300_000, 300_000, 400_000, need, need - 5_000]) if tuples else 300_000
        txs.append(
            transaction(
                sender,
                nonces[sender.address],
                to,
                kind=4,
                gas=gas,
                value=rng.choice([0, 1]),
                data=data,
                authorizations=tuples,
            )
        )
        if tuples and gas >= need:
            nonces[sender.address] += 1
            for each, count in changed.items():
                nonces[each] += count
    for nonce, who in enumerate(rng.sample(everyone, 3)):
        at = int.from_bytes(who.address, "big")
        data = rng.choice([word(at) + word(rng.choice([0, 50_000])) + b"hello", word(at)])
        to = rng.choice([PROBE, READS_CODE, who.address])
        txs.append(transaction(SENDERS[6], nonce, to, gas=400_000, data=data))
    return {"env": surroundings(rng), "pre": pre, "txs": txs}


def gas_cap(rng, fork, index):
    """EIP-7825: more than 2^24 gas for one transaction is refused from Osaka on."""
    osaka, txs, nonce = fork != "Prague", [], 0
    for _ in range(4):
        gas = rng.choice([GAS_CAP - 1, GAS_CAP, GAS_CAP + 1, 2 * GAS_CAP, 60_000_000])
        kind = rng.choice([0, 1, 2, 4])
        tuples = [authorization(SENDERS[1], WITNESS, 0)] if kind == 4 else []
        txs.append(
            transaction(SENDERS[0], nonce, WITNESS, kind=kind, gas=gas, data=mixed(rng, 40), authorizations=tuples)
        )
        nonce += not (osaka and gas > GAS_CAP)
    return {"env": surroundings(rng), "pre": {}, "txs": txs}


def clz(rng, fork, index):
    """EIP-7939: an invalid instruction in Prague."""
    numbers = [0, 1, 2**255, 2**256 - 1] + [rng.randrange(2 ** rng.randrange(1, 257)) for _ in range(4)]
    items = []
    for slot, number in enumerate(rng.sample(numbers, 5)):
        items += [push(word(number)), "CLZ", slot + 1, "SSTORE"]
    items += ["GAS", push(word(numbers[-1])), "CLZ", "POP", "GAS", "SWAP1", "SUB", 9, "SSTORE"]
    pre = {hexed(address(0xC12)): account(0, 1, asm(*items)), hexed(address(0xC13)): account(0, 1, asm("CLZ"))}
    txs = [
        transaction(SENDERS[0], 0, address(0xC12)),
        transaction(SENDERS[0], 1, address(0xC13), gas=rng.choice([21_004, 60_000])),
    ]
    return {"env": surroundings(rng), "pre": pre, "txs": txs}


def history(rng, fork, index):
    """EIP-2935 and BLOCKHASH, inside their windows, at their ends and outside; EIP-4788."""
    env = surroundings(rng, number=rng.choice([1, 2, 255, 256, 257, 8191, 8192, 8193, 20_000]))
    number = env["number"]
    ages = [0, 1, 2, 255, 256, 257, 8191, 8192]
    heights = [max(number - age, 0) for age in ages] + [number + 1, 2**64, 2**256 - 1]
    storage = {height % 8191: rng.randrange(2**256) for height in heights[:8] if height < number}
    items = []
    for slot, height in enumerate(rng.sample(heights, 6)):
        items += [height, "BLOCKHASH", slot + 1, "SSTORE"]
    past, roots = int(HISTORY, 16), int(BEACON_ROOTS, 16)
    txs = [transaction(SENDERS[0], 0, address(0xB10C))]
    for nonce in range(1, 4):
        data = rng.choice([word(rng.choice(heights)), word(number - 1), word(rng.choice(heights))[1:], b""])
        txs.append(transaction(SENDERS[0], nonce, PROBE, data=word(past) + word(0) + data))
    data = rng.choice([word(env["timestamp"]), word(0), word(env["timestamp"] + 1), b"\1"])
    txs.append(transaction(SENDERS[0], 4, PROBE, data=word(roots) + word(0) + data))
    pre = {hexed(address(0xB10C)): account(0, 1, asm(*items))}
    pre[HISTORY] = account(0, 1, bytes.fromhex(SYSTEM_CODE[HISTORY]), storage)
    return {"env": env, "pre": pre, "txs": txs}


def blobs(rng, fork, index):
    """EIP-4844 with the parameters of each fork (EIP-7691, EIP-7594, EIP-7892): counts, fees, versions, opcodes."""
    items = []
    for slot, number in enumerate([0, 1, 5, 6, 2**64]):
        items += [number, "BLOBHASH", slot + 1, "SSTORE"]
    pre = {hexed(address(0xB10B)): account(0, 1, asm(*items, "BLOBBASEFEE", 8, "SSTORE"))}
    txs, nonces = [], [0] * 8
    for _ in range(4):
        count = rng.choice([0, 1, 1, 2, 3, 5, 6, 7, 9, 10])
        version = rng.choice([b"\1"] * 6 + [b"\0", b"\2"])
        hashes = [version + keccak256(rng.randbytes(4))[1:] for _ in range(count)]
        fee, who = rng.choice([1, 2, 10 * GWEI, 10**30]), rng.randrange(6)
        to = rng.choice([address(0xB10B)] * 5 + [None])
        txs.append(transaction(SENDERS[who], nonces[who], to, kind=3, gas=300_000, blobs=hashes, blob_fee=fee))
    txs.append(transaction(SENDERS[6], 0, address(0xB10B), gas=300_000))
    excess = rng.choice([0, 1, 393_216, 10**7, 5 * 10**7, 10**8])
    return {"env": surroundings(rng, excessBlobGas=excess), "pre": pre, "txs": txs}


def requests(rng, fork, index):
    """EIP-6110, EIP-7002 and EIP-7251: requests and the fee for them; withdrawals (EIP-4895)."""
    exits, merges = bytes.fromhex(EXITS[2:]), bytes.fromhex(CONSOLIDATIONS[2:])
    txs = []
    for nonce in range(rng.randint(1, 6)):
        kind = rng.choice(["exit", "merge", "deposit", "fee"])
        if kind == "deposit":
            # The layout that the ABI gives five byte strings of these lengths.
            offsets = [160, 256, 320, 384, 512]
            data = b"".join(map(word, offsets))
            for length, padded in ((48, 64), (32, 32), (8, 32), (96, 96), (8, 32)):
                data += word(length) + rng.randbytes(length) + bytes(padded - length)
            txs.append(transaction(SENDERS[0], nonce, DEPOSITS, gas=400_000, data=data))
            continue
        to = exits if kind == "exit" else merges if kind == "merge" else rng.choice([exits, merges])
        data = {"exit": rng.randbytes(56), "merge": rng.randbytes(96), "fee": b""}[kind]
        data = rng.choice([data] * 4 + [data + b"\0"])
        txs.append(
            transaction(
                SENDERS[0], nonce, to, gas=400_000, data=data, value=rng.choice([0, 1, 1, 5, 500]) if data else 0
            )
        )
    withdrawals = [
        {
            "index": rng.randrange(2**32),
            "validatorIndex": each,
            "address": rng.choice([hexed(WITNESS), hexed(rng.randbytes(20))]),
            "amount": rng.choice([0, 1, 10**9]),
        }
        for each in range(rng.randrange(4))
    ]
    return {"env": surroundings(rng, withdrawals=withdrawals), "pre": {}, "txs": txs}


def program(rng):
    """Bytecode at random that gets somewhere: short snippets, each of which leaves the stack as it was."""
    arithmetic = ["ADD", "MUL", "SUB", "DIV", "SDIV", "MOD", "EXP", "LT", "SHL", "SAR", "BYTE"]
    facts = ["PREVRANDAO", "BASEFEE", "GASLIMIT", "COINBASE", "TIMESTAMP", "GASPRICE", "CHAINID"]
    of_account = ["BALANCE", "EXTCODESIZE", "EXTCODEHASH"]
    slots, addresses = [0, 1, 2], [WITNESS, REVERTS, address(2), address(0xDEAD), SENDERS[4].address]

    def value():
        return rng.choice([0, 0, 1, 2, 2**255, rng.randrange(2**64)])

    def call():
        kind = rng.choice(["CALL", "CALLCODE", "DELEGATECALL", "STATICCALL"])
        amount = [rng.choice([0, 0, 1])] if kind in ("CALL", "CALLCODE") else []
        size, to, gas = rng.choice([0, 4, 64]), push(rng.choice(addresses)), rng.choice([0, 700, 30_000, 100_000])
        return [rng.choice([0, 32]), 0, size, 0, *amount, to, gas, kind, rng.choice(slots), "SSTORE"]

    def create():
        code = rng.choice(
            [
                initcode(asm(1, 1, "SSTORE")),
                asm(0, 0, "REVERT"),
                asm("INVALID"),
                initcode(b"\xef\0"),
                asm("CALLER", "SELFDESTRUCT"),
            ]
        )
        store = [push(code.ljust(32, b"\0")[:32]), 0, "MSTORE"]
        salt = [rng.choice([0, 1])] if rng.random() < 0.5 else []
        return [
            *store,
            *salt,
            min(len(code), 32),
            0,
            rng.choice([0, 1]),
            "CREATE2" if salt else "CREATE",
            rng.choice(slots),
            "SSTORE",
        ]

    snippets = [
        lambda: [value(), rng.choice(slots), "SSTORE"],
        lambda: [rng.choice(slots), "SLOAD", rng.choice(slots), "SSTORE"],
        lambda: [value(), rng.choice(slots), "TSTORE", rng.choice(slots), "TLOAD", rng.choice(slots), "SSTORE"],
        lambda: [value(), value(), rng.choice(arithmetic), rng.choice(slots), "SSTORE"],
        lambda: [value(), rng.choice([0, 31, 1000]), "MSTORE", 32, rng.choice([0, 7]), rng.choice([1, 64]), "MCOPY"],
        lambda: [push(rng.choice(addresses)), rng.choice(of_account), rng.choice(slots), "SSTORE"],
        lambda: [rng.choice([0, 33]), 0, "KECCAK256", rng.choice([0, 40]), 0, "LOG1"],
        lambda: [rng.choice(facts), rng.choice(slots), "SSTORE"],
        lambda: ["RETURNDATASIZE", 0, 0, "RETURNDATACOPY"],
        lambda: [rng.choice([0, 0, 0, 0, 32]), 0, 0, "RETURNDATACOPY"],
        call, call, create,
    ]  # fmt: skip
    items = []
    for _ in range(rng.randint(4, 14)):
        items += rng.choice(snippets)()
    ending = rng.choice(
        [
            ["STOP"],
            ["STOP"],
            ["STOP"],
            [32, 0, "RETURN"],
            [32, 0, "REVERT"],
            ["INVALID"],
            ["CALLER", "SELFDESTRUCT"],
            ["POP"],
        ]
    )
    return asm(*items, *ending)


def programs(rng, fork, index):
    """The rules of gas: cold and warm, refunds, memory, creations, calls that run dry."""
    first, second = address(0xBAD0), address(0xBAD1)
    pre = {}
    pre[hexed(first)] = account(ETHER, 1, program(rng), {1: 1, 2: 2})
    pre[hexed(second)] = account(0, 1, program(rng), {0: 7})
    txs = []
    for nonce in range(4):
        access = (
            [(rng.choice([first, WITNESS, address(2)]), [word(each) for each in range(rng.randrange(3))])]
            if rng.random() < 0.4
            else []
        )
        to = rng.choice([first, second, first, None])
        data = initcode(program(rng)[:80]) if to is None else rng.randbytes(rng.randrange(40))
        gas = rng.choice([60_000, 120_000, 400_000, 1_000_000, 1_000_000, 2_000_000])
        kind = rng.choice([1, 2]) if access else rng.choice([0, 1, 2])
        txs.append(
            transaction(
                SENDERS[0], nonce, to, kind=kind, gas=gas, value=rng.choice([0, 0, 1]), data=data, access=access
            )
        )
    return {"env": surroundings(rng), "pre": pre, "txs": txs}


def refusals(rng, fork, index):
    """What no block may hold: nonces, balances, fees, chain ids, initcode, senders that are contracts."""
    contract = Account("sends")
    pre = {}
    pre[hexed(POOR.address)] = account(10**14)
    pre[hexed(contract.address)] = account(ETHER, 0, asm("STOP"))
    pre[hexed(SENDERS[6].address)] = account(ETHER, 2**64 - 1)
    good = transaction(SENDERS[0], 0, WITNESS)
    kinds = [
        transaction(SENDERS[1], rng.choice([1, 5]), WITNESS),
        transaction(SENDERS[0], 0, WITNESS, gas=99_999),
        transaction(POOR, 0, WITNESS, gas=100_000, value=10**14, fee=2 * GWEI),
        transaction(POOR, 0, WITNESS, gas=100_000, fee=2 * GWEI),
        transaction(SENDERS[1], 0, WITNESS, fee=3, tip=4),
        transaction(SENDERS[1], 0, WITNESS, kind=rng.choice([0, 1, 2]), fee=6),
        # Of other kinds the specification does not look at the chain id.
        transaction(SENDERS[1], 0, WITNESS, kind=0, chain_id=2),
        transaction(SENDERS[1], 0, WITNESS, kind=0, protected=False),
        transaction(contract, 0, WITNESS),
        transaction(SENDERS[6], 2**64 - 1, WITNESS),
        transaction(SENDERS[1], 0, WITNESS, gas=20_999),
        transaction(SENDERS[1], 0, WITNESS, gas=60_000_001),
        transaction(SENDERS[1], 0, WITNESS, value=2**256 - 1),
        transaction(SENDERS[1], 0, None, kind=4, authorizations=[authorization(SENDERS[2], WITNESS, 0)]),
        transaction(SENDERS[1], 0, WITNESS, kind=4),
    ]
    chosen = rng.sample(kinds, 5)
    if index == 0:
        # EIP-3860: a byte too many.
        chosen += [transaction(SENDERS[1], 0, None, gas=3_000_000, data=bytes(49_153))]
    return {"env": surroundings(rng, baseFee=rng.choice([7, GWEI])), "pre": pre, "txs": [good, *chosen]}
