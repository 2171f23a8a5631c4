"""Keys, transactions and bytecode: what cases are made of."""

from coincurve import PrivateKey
from ethereum.crypto.hash import keccak256
from ethereum_rlp import rlp

CHAIN_ID = 1

SYSTEM_CODE = {
    # EIP-4788, EIP-2935, EIP-7002 and EIP-7251: the contracts as the EIPs give them.
    "0x000f3df6d732807ef1319fb7b8bb8522d0beac02": "3373fffffffffffffffffffffffffffffffffffffffe14604d57602036146024575f5ffd5b5f35801560495762001fff810690815414603c575f5ffd5b62001fff01545f5260205ff35b5f5ffd5b62001fff42064281555f359062001fff015500",
    "0x0000f90827f1c53a10cb7a02335b175320002935": "3373fffffffffffffffffffffffffffffffffffffffe14604657602036036042575f35600143038111604257611fff81430311604257611fff9006545f5260205ff35b5f5ffd5b5f35611fff60014303065500",
    "0x00000961ef480eb55e80d19ad83579a64c007002": "3373fffffffffffffffffffffffffffffffffffffffe1460cb5760115f54807fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff146101f457600182026001905f5b5f82111560685781019083028483029004916001019190604d565b909390049250505036603814608857366101f457346101f4575f5260205ff35b34106101f457600154600101600155600354806003026004013381556001015f35815560010160203590553360601b5f5260385f601437604c5fa0600101600355005b6003546002548082038060101160df575060105b5f5b8181146101835782810160030260040181604c02815460601b8152601401816001015481526020019060020154807fffffffffffffffffffffffffffffffff00000000000000000000000000000000168252906010019060401c908160381c81600701538160301c81600601538160281c81600501538160201c81600401538160181c81600301538160101c81600201538160081c81600101535360010160e1565b910180921461019557906002556101a0565b90505f6002555f6003555b5f54807fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff14156101cd57505f5b6001546002828201116101e25750505f6101e8565b01600290035b5f555f600155604c025ff35b5f5ffd",
    "0x0000bbddc7ce488642fb579f8b00f3a590007251": "3373fffffffffffffffffffffffffffffffffffffffe1460d35760115f54807fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff1461019a57600182026001905f5b5f82111560685781019083028483029004916001019190604d565b9093900492505050366060146088573661019a573461019a575f5260205ff35b341061019a57600154600101600155600354806004026004013381556001015f358155600101602035815560010160403590553360601b5f5260605f60143760745fa0600101600355005b6003546002548082038060021160e7575060025b5f5b8181146101295782810160040260040181607402815460601b815260140181600101548152602001816002015481526020019060030154905260010160e9565b910180921461013b5790600255610146565b90505f6002555f6003555b5f54807fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff141561017357505f5b6001546001828201116101885750505f61018e565b01600190035b5f555f6001556074025ff35b5f5ffd0000",
}

OPCODES = {
    name: code
    for code, name in {
        0x00: "STOP", 0x01: "ADD", 0x02: "MUL", 0x03: "SUB", 0x04: "DIV", 0x05: "SDIV", 0x06: "MOD", 0x08: "ADDMOD",
        0x09: "MULMOD", 0x0A: "EXP", 0x0B: "SIGNEXTEND", 0x10: "LT", 0x11: "GT", 0x14: "EQ", 0x15: "ISZERO", 0x16: "AND",
        0x17: "OR", 0x18: "XOR", 0x19: "NOT", 0x1A: "BYTE", 0x1B: "SHL", 0x1C: "SHR", 0x1D: "SAR", 0x1E: "CLZ",
        0x20: "KECCAK256", 0x30: "ADDRESS", 0x31: "BALANCE", 0x32: "ORIGIN", 0x33: "CALLER", 0x34: "CALLVALUE",
        0x35: "CALLDATALOAD", 0x36: "CALLDATASIZE", 0x37: "CALLDATACOPY", 0x38: "CODESIZE", 0x39: "CODECOPY",
        0x3A: "GASPRICE", 0x3B: "EXTCODESIZE", 0x3C: "EXTCODECOPY", 0x3D: "RETURNDATASIZE", 0x3E: "RETURNDATACOPY",
        0x3F: "EXTCODEHASH", 0x40: "BLOCKHASH", 0x41: "COINBASE", 0x42: "TIMESTAMP", 0x43: "NUMBER", 0x44: "PREVRANDAO",
        0x45: "GASLIMIT", 0x46: "CHAINID", 0x47: "SELFBALANCE", 0x48: "BASEFEE", 0x49: "BLOBHASH", 0x4A: "BLOBBASEFEE",
        0x50: "POP", 0x51: "MLOAD", 0x52: "MSTORE", 0x53: "MSTORE8", 0x54: "SLOAD", 0x55: "SSTORE", 0x56: "JUMP",
        0x57: "JUMPI", 0x59: "MSIZE", 0x5A: "GAS", 0x5B: "JUMPDEST", 0x5C: "TLOAD", 0x5D: "TSTORE", 0x5E: "MCOPY",
        0x80: "DUP1", 0x81: "DUP2", 0x90: "SWAP1", 0x91: "SWAP2", 0xA0: "LOG0", 0xA1: "LOG1", 0xA2: "LOG2", 0xF0: "CREATE",
        0xF1: "CALL", 0xF2: "CALLCODE", 0xF3: "RETURN", 0xF4: "DELEGATECALL", 0xF5: "CREATE2", 0xFA: "STATICCALL",
        0xFD: "REVERT", 0xFE: "INVALID", 0xFF: "SELFDESTRUCT",
    }.items()
}


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


def transaction(sender, nonce, to=None, *, kind=2, gas=500_000, value=0, data=b"", fee=2_000_000_000, tip=1, access=(),
                blobs=(), blob_fee=1_000_000_000, authorizations=(), chain_id=CHAIN_ID, protected=True):
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
