"""What every case starts from: accounts, contracts that observe, and the surroundings of a block."""

from ethereum.crypto.hash import keccak256

from chain import SYSTEM_CODE, Account, asm, hexed, push

ETHER = 10**18
GWEI = 10**9


def address(number):
    return number.to_bytes(20, "big")


# Calls the address in the first word of its input with the gas in the second (all of it if zero) and the rest as input.
# Leaves success, the gas it took, and size and hash of what came back in four slots, from 256 times the number of
# calls before on.
PROBE = address(0xC0DE01)
PROBE_CODE = asm(
    64, "CALLDATASIZE", "SUB", 64, 0, "CALLDATACOPY",
    "GAS",
    0, 0, 64, "CALLDATASIZE", "SUB", 0, 0, 0, "CALLDATALOAD",
    32, "CALLDATALOAD", "DUP1", "ISZERO", "GAS", "MUL", "ADD",
    "CALL", "GAS",
    # Gas left, success and gas before, from the top of the stack.
    0, "MSTORE", 32, "MSTORE", 0, "MLOAD", "SWAP1", "SUB", 64, "MSTORE",
    0xF0, "SLOAD", "DUP1", 1, "ADD", 0xF0, "SSTORE", 8, "SHL",
    32, "MLOAD", "DUP2", "SSTORE",
    64, "MLOAD", "DUP2", 1, "ADD", "SSTORE",
    "RETURNDATASIZE", "DUP2", 2, "ADD", "SSTORE",
    "RETURNDATASIZE", 0, 0, "RETURNDATACOPY", "RETURNDATASIZE", 0, "KECCAK256", "DUP2", 3, "ADD", "SSTORE",
    "STOP",
)  # fmt: skip

# Logs and stores who it is, who calls it, and with what.
WITNESS = address(0xC0DE02)
WITNESS_CODE = asm(
    "CALLDATASIZE", 0, 0, "CALLDATACOPY", "CALLER", "ADDRESS", "CALLDATASIZE", 0, "LOG2",
    1, "SLOAD", 1, "ADD", 1, "SSTORE", "CALLVALUE", 2, "SSTORE", "CALLER", 3, "SSTORE", "ORIGIN", 4, "SSTORE",
    "SELFBALANCE", 5, "SSTORE",
)  # fmt: skip

# Reverts with its input.
REVERTS = address(0xC0DE03)
REVERTS_CODE = asm(1, 1, "SSTORE", "CALLDATASIZE", 0, 0, "CALLDATACOPY", "CALLDATASIZE", 0, "REVERT")

# Stores size, hash and first word of the code of the address in its input.
READS_CODE = address(0xC0DE04)
READS_CODE_CODE = asm(
    0, "CALLDATALOAD", "DUP1", "EXTCODESIZE", 1, "SSTORE", "DUP1", "EXTCODEHASH", 2, "SSTORE",
    32, 0, 0, bytes([0x83]), "EXTCODECOPY", 0, "MLOAD", 3, "SSTORE", "BALANCE", 4, "SSTORE",
)  # fmt: skip

# Destroys itself in favour of the address in its input.
DESTROYS = address(0xC0DE05)
DESTROYS_CODE = asm(0, "CALLDATALOAD", "SELFDESTRUCT")

# Where mainnet has its deposit contract; here it logs its input as a deposit (EIP-6110).
DEPOSITS = bytes.fromhex("00000000219ab540356cbb839cbe05303d7705fa")
DEPOSITS_CODE = asm(
    "CALLDATASIZE", 0, 0, "CALLDATACOPY", push(keccak256(b"DepositEvent(bytes,bytes,bytes,bytes,bytes)")),
    "CALLDATASIZE", 0, "LOG1",
)  # fmt: skip

CONTRACTS = {
    PROBE: PROBE_CODE,
    WITNESS: WITNESS_CODE,
    REVERTS: REVERTS_CODE,
    READS_CODE: READS_CODE_CODE,
    DESTROYS: DESTROYS_CODE,
    DEPOSITS: DEPOSITS_CODE,
}

SENDERS = [Account(number) for number in range(8)]
# Has a balance of its own, and nobody in the cases sends for it but by its own delegation.
POOR = Account("poor")


def account(balance=0, nonce=0, code=b"", storage=None):
    """An account as JSON has it."""
    described = {"balance": hex(balance), "nonce": hex(nonce)}
    if code:
        described["code"] = hexed(code)
    if storage:
        described["storage"] = {hex(slot): hex(value) for slot, value in storage.items()}
    return described


def common():
    """The accounts that every case begins with, unless it says otherwise of one."""
    accounts = {address: account(0, 1, bytes.fromhex(code)) for address, code in SYSTEM_CODE.items()}
    accounts |= {hexed(at): account(ETHER, 1, code) for at, code in CONTRACTS.items()}
    return accounts | {hexed(sender.address): account(1000 * ETHER) for sender in SENDERS}


def surroundings(rng, **given):
    """The block that a case's transactions are in."""
    number = rng.randint(300, 2_000_000)
    described = {
        "number": number,
        "timestamp": rng.randint(10**9, 2 * 10**9),
        "coinbase": hexed(rng.choice([address(0xC01BA5E), rng.randbytes(20), SENDERS[7].address])),
        "gasLimit": 60_000_000,
        "baseFee": rng.choice([0, 7, GWEI]),
        "random": hexed(rng.randbytes(32)),
        "excessBlobGas": rng.choice([0, 393_216, 10_000_000, 50_000_000]),
        "beaconRoot": hexed(rng.randbytes(32)),
        "withdrawals": [],
    }
    return described | given
