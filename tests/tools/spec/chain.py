"""Keys, transactions and bytecode: what cases are made of."""

import json
from pathlib import Path

from coincurve import PrivateKey
from ethereum.crypto.hash import keccak256
from ethereum_rlp import rlp

CHAIN_ID = 1

# EIP-4788, EIP-2935, EIP-7002 and EIP-7251: the code of the contracts, by address, as the EIPs give it.
SYSTEM_CODE = json.loads((Path(__file__).parent / "system.json").read_text())

_OPCODES = """
    00 STOP 01 ADD 02 MUL 03 SUB 04 DIV 05 SDIV 06 MOD 08 ADDMOD 09 MULMOD 0a EXP 0b SIGNEXTEND 10 LT 11 GT 14 EQ
    15 ISZERO 16 AND 17 OR 18 XOR 19 NOT 1a BYTE 1b SHL 1c SHR 1d SAR 1e CLZ 20 KECCAK256 30 ADDRESS 31 BALANCE
    32 ORIGIN 33 CALLER 34 CALLVALUE 35 CALLDATALOAD 36 CALLDATASIZE 37 CALLDATACOPY 38 CODESIZE 39 CODECOPY
    3a GASPRICE 3b EXTCODESIZE 3c EXTCODECOPY 3d RETURNDATASIZE 3e RETURNDATACOPY 3f EXTCODEHASH 40 BLOCKHASH
    41 COINBASE 42 TIMESTAMP 43 NUMBER 44 PREVRANDAO 45 GASLIMIT 46 CHAINID 47 SELFBALANCE 48 BASEFEE 49 BLOBHASH
    4a BLOBBASEFEE 50 POP 51 MLOAD 52 MSTORE 53 MSTORE8 54 SLOAD 55 SSTORE 56 JUMP 57 JUMPI 59 MSIZE 5a GAS
    5b JUMPDEST 5c TLOAD 5d TSTORE 5e MCOPY 80 DUP1 81 DUP2 90 SWAP1 91 SWAP2 a0 LOG0 a1 LOG1 a2 LOG2 f0 CREATE
    f1 CALL f2 CALLCODE f3 RETURN f4 DELEGATECALL f5 CREATE2 fa STATICCALL fd REVERT fe INVALID ff SELFDESTRUCT
""".split()
OPCODES = {name: int(code, 16) for code, name in zip(_OPCODES[::2], _OPCODES[1::2])}


def be(number):
    """An integer as RLP has it: big-endian, without leading zeros."""
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def word(number):
    return number.to_bytes(32, "big")


def asm(*items):
    """Bytecode of opcodes by name, of integers to push, and of bytes as they are."""
    code = bytearray()
    for item in items:
        if isinstance(item, bytes):
            code += item
        elif isinstance(item, int):
            value = be(item)
            code += bytes([0x5F + len(value)]) + value
        else:
            code.append(OPCODES[item])
    return bytes(code)


def push(data):
    """PUSH of bytes that are kept as they are, leading zeros included."""
    return bytes([0x5F + len(data)]) + data


def initcode(runtime):
    """Initcode that deploys `runtime`."""
    head = len(asm(len(runtime), "DUP1", 0xFF, 0, "CODECOPY", 0, "RETURN"))
    return asm(len(runtime), "DUP1", head, 0, "CODECOPY", 0, "RETURN") + runtime


class Account:
    """A key with its address."""

    def __init__(self, name):
        self.key = PrivateKey(keccak256(b"cloister/" + str(name).encode()))
        self.address = keccak256(self.key.public_key.format(compressed=False)[1:])[12:]

    def sign(self, digest):
        """Parity, r and s."""
        signature = self.key.sign_recoverable(digest, hasher=None)
        return signature[64], int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")


def authorization(authority, target, nonce, chain_id=CHAIN_ID, spoil=None):
    """An authorization tuple of EIP-7702; `spoil` changes parity, r and s."""
    digest = keccak256(b"\x05" + rlp.encode([be(chain_id), target, be(nonce)]))
    signature = authority.sign(digest)
    parity, r, s = spoil(*signature) if spoil else signature
    return [be(chain_id), target, be(nonce), be(parity), be(r), be(s)]


def transaction(
    sender,
    nonce,
    to=None,
    *,
    kind=2,
    gas=500_000,
    value=0,
    data=b"",
    fee=2_000_000_000,
    tip=1,
    access=(),
    blobs=(),
    blob_fee=1_000_000_000,
    authorizations=(),
    chain_id=CHAIN_ID,
    protected=True,
):
    """A signed transaction: bytes (EIP-2718), or the list of a legacy one."""
    target = to or b""
    if kind == 0:
        fields = [be(nonce), be(fee), be(gas), target, be(value), data]
        digest = keccak256(rlp.encode(fields + ([be(chain_id), b"", b""] if protected else [])))
        parity, r, s = sender.sign(digest)
        return fields + [be(parity + (35 + 2 * chain_id if protected else 27)), be(r), be(s)]
    access = [[address, list(keys)] for address, keys in access]
    prices = [be(fee)] if kind == 1 else [be(tip), be(fee)]
    fields = [be(chain_id), be(nonce), *prices, be(gas), target, be(value), data, access]
    if kind == 3:
        fields += [be(blob_fee), list(blobs)]
    if kind == 4:
        fields += [list(authorizations)]
    parity, r, s = sender.sign(keccak256(bytes([kind]) + rlp.encode(fields)))
    return bytes([kind]) + rlp.encode(fields + [be(parity), be(r), be(s)])


def raw(item):
    """A transaction as it is sent."""
    return item if isinstance(item, bytes) else rlp.encode(item)


def hexed(data):
    return "0x" + data.hex()
