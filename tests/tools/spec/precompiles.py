"""Cases about precompiles: BLS12-381, modular exponentiation, P-256."""

import hashlib

from py_ecc.optimized_bls12_381 import FQ2, G1, G2, b2, field_modulus, multiply, normalize

from chain import transaction, word
from world import PROBE, SENDERS, surroundings

P = field_modulus
ORDER = 0x73EDA753299D7D483339D80809A1D80553BDA402FFFE5BFEFFFFFFFF00000001
ADD1, MSM1, ADD2, MSM2, PAIRING, MAP1, MAP2 = range(0x0B, 0x12)
MODEXP, P256VERIFY = 5, 0x100


def probe(nonce, at, data, gas=0, limit=16_000_000):
    return transaction(SENDERS[0], nonce, PROBE, data=word(at) + word(gas) + data, gas=limit)


def probes(rng, calls):
    """A block in which each call is made by a transaction of its own."""
    txs = [probe(nonce, at, data, gas) for nonce, (at, data, gas) in enumerate(calls)]
    return {"env": surroundings(rng, gasLimit=200_000_000), "pre": {}, "txs": txs}


# EIP-2537


def fp(value):
    return value.to_bytes(64, "big")


def encoded1(point):
    x, y = (int(each) for each in normalize(point)) if point else (0, 0)
    return fp(x) + fp(y)


def encoded2(point):
    if point is None:
        return bytes(256)
    x, y = normalize(point)
    return b"".join(fp(int(each)) for each in (*x.coeffs, *y.coeffs))


def point1(rng):
    return encoded1(None if rng.random() < 0.1 else multiply(G1, rng.randrange(1, ORDER)))


def point2(rng):
    return encoded2(None if rng.random() < 0.1 else multiply(G2, rng.randrange(1, ORDER)))


def outside1(rng):
    """A point of the curve that is, almost certainly, not in the subgroup."""
    while True:
        x = rng.randrange(P)
        square = (x**3 + 4) % P
        y = pow(square, (P + 1) // 4, P)
        if y * y % P == square:
            return fp(x) + fp(y)


def root2(value):
    """A square root in the quadratic extension, if there is one (P is 3 modulo 4)."""
    a = value ** ((P - 3) // 4)
    alpha, x0 = a * a * value, a * value
    root = (
        FQ2([-x0.coeffs[1], x0.coeffs[0]]) if alpha == FQ2([P - 1, 0]) else (alpha + FQ2.one()) ** ((P - 1) // 2) * x0
    )
    return root if root * root == value else None


def outside2(rng):
    while True:
        x = FQ2([rng.randrange(P), rng.randrange(P)])
        y = root2(x * x * x + b2)
        if y is not None:
            return b"".join(fp(int(each)) for each in (*x.coeffs, *y.coeffs))


def scalar(rng):
    return word(rng.choice([0, 1, ORDER - 1, ORDER, 2**256 - 1, rng.randrange(2**256)]))


def bls_input(rng, at):
    """A valid input and what it costs."""
    count = rng.choice([1, 1, 2, 3])
    if at == ADD1:
        return rng.choice([point1(rng), outside1(rng)]) + point1(rng), 375
    if at == ADD2:
        return rng.choice([point2(rng), outside2(rng)]) + point2(rng), 600
    if at == MSM1:
        return b"".join(point1(rng) + scalar(rng) for _ in range(count)), [12000, 22776, 30528][count - 1]
    if at == MSM2:
        return b"".join(point2(rng) + scalar(rng) for _ in range(count)), [22500, 45000, 62302][count - 1]
    if at == PAIRING:
        if rng.random() < 0.5:
            # Two pairings that cancel each other out.
            k, q = rng.randrange(1, ORDER), multiply(G2, 5)
            data = encoded1(multiply(G1, k)) + encoded2(q) + encoded1(multiply(G1, ORDER - k)) + encoded2(q)
            return data, 37700 + 2 * 32600
        return point1(rng) + point2(rng), 37700 + 32600
    if at == MAP1:
        return fp(rng.choice([0, 1, P - 1, rng.randrange(P)])), 5500
    return fp(rng.randrange(P)) + fp(rng.choice([0, P - 1, rng.randrange(P)])), 23800


def spoiled(rng, at, data):
    """An input that is refused, mostly."""
    where = 64 * rng.randrange(len(data) // 64)
    if at in (MSM1, MSM2):
        where = 0
    choice = rng.choice(["short", "long", "empty", "padding", "field", "curve", "subgroup"])
    if choice == "short":
        return data[:-1]
    if choice == "long":
        return data + b"\0"
    if choice == "empty":
        return b""
    if choice == "padding":
        return data[:where] + b"\1" + data[where + 1 :]
    if choice == "field":
        return data[:where] + fp(P + rng.randrange(3)) + data[where + 64 :]
    if choice == "curve" or at in (MAP1, MAP2):
        value = int.from_bytes(data[where : where + 64], "big")
        return data[:where] + fp((value + 1) % P) + data[where + 64 :]
    if at in (MSM1, PAIRING, ADD1):
        return outside1(rng) + data[128:]
    return outside2(rng) + data[256:]


def bls(rng, fork, index):
    """EIP-2537."""
    at = ADD1 + index % 7
    data, cost = bls_input(rng, at)
    calls = [(at, data, cost), (at, data, cost - 1), (at, spoiled(rng, at, data), 0)]
    return probes(rng, calls + [(at, spoiled(rng, at, bls_input(rng, at)[0]), 0)])


# EIP-198, EIP-2565, EIP-7823, EIP-7883


def modexp_input(rng):
    sizes = [0, 1, 7, 8, 31, 32, 33, 64, 100, 256]
    base, exponent, modulus = (rng.choice(sizes) for _ in range(3))
    exponent = min(exponent, 64)
    shape = rng.random()
    if shape < 0.2:
        # At the bound of EIP-7823, and just above it.
        base = rng.choice([1023, 1024, 1025])
        exponent, modulus = 1, rng.choice([1, 32])
    elif shape < 0.3:
        base, exponent, modulus = 1, rng.choice([1024, 1025]), 1
    elif shape < 0.4:
        base, exponent, modulus = 1, 1, rng.choice([1024, 1025])
    head = rng.choice(
        [bytes(exponent), rng.randbytes(exponent), bytes(max(exponent - 1, 0)) + b"\1" * min(exponent, 1)]
    )
    body = rng.randbytes(base) + head + rng.choice([rng.randbytes(modulus), bytes(modulus)])
    if rng.random() < 0.2:
        body = body[: rng.randrange(len(body) + 1)]
    return word(base) + word(exponent) + word(modulus) + body


def modexp(rng, fork, index):
    """Bounds and prices of modular exponentiation, with much gas, with little, and with lengths that are absurd."""
    calls = [(MODEXP, modexp_input(rng), 0) for _ in range(3)]
    calls += [(MODEXP, modexp_input(rng), rng.choice([199, 200, 499, 500, 501, 2000])) for _ in range(2)]
    # The specification's own arithmetic does not take lengths near 2^256.
    absurd = [word(2**200) if rng.random() < 0.5 else word(rng.randrange(3)) for _ in range(3)]
    return probes(rng, [*calls, (MODEXP, b"".join(absurd) + rng.randbytes(3), 100_000)])


# EIP-7951

P256 = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
P256_G = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)


def p256_add(a, b):
    if a is None or b is None:
        return a or b
    if a[0] == b[0]:
        if (a[1] + b[1]) % P256 == 0:
            return None
        slope = (3 * a[0] * a[0] - 3) * pow(2 * a[1], -1, P256)
    else:
        slope = (b[1] - a[1]) * pow(b[0] - a[0], -1, P256)
    x = (slope * slope - a[0] - b[0]) % P256
    return x, (slope * (a[0] - x) - a[1]) % P256


def p256_multiply(k, point=P256_G):
    total = None
    while k:
        if k & 1:
            total = p256_add(total, point)
        point, k = p256_add(point, point), k >> 1
    return total


def p256_signed(rng):
    """Hash, r, s and the coordinates of the key."""
    secret, k = rng.randrange(1, P256_ORDER), rng.randrange(1, P256_ORDER)
    digest = hashlib.sha256(rng.randbytes(8)).digest()
    r = p256_multiply(k)[0] % P256_ORDER
    s = pow(k, -1, P256_ORDER) * (int.from_bytes(digest, "big") + r * secret) % P256_ORDER
    return [int.from_bytes(digest, "big"), r, rng.choice([s, P256_ORDER - s]), *p256_multiply(secret)]


def p256_spoiled(rng, words):
    words = list(words)
    which = rng.randrange(5)
    words[which] = rng.choice(
        [
            0,
            1,
            P256_ORDER - 1,
            P256_ORDER,
            P256_ORDER + 1,
            P256,
            P256 - 1,
            2**256 - 1,
            words[which] ^ 1,
            words[which - 1],
        ]
    )
    return words


def p256(rng, fork, index):
    """EIP-7951: in Prague nothing is there."""
    packed = [
        b"".join(map(word, words))
        for words in (p256_signed(rng), *(p256_spoiled(rng, p256_signed(rng)) for _ in range(4)))
    ]
    calls = [(P256VERIFY, data, 0) for data in packed]
    calls += [(P256VERIFY, packed[0], 6900), (P256VERIFY, packed[0], 6899)]
    return probes(rng, calls + [(P256VERIFY, rng.choice([b"", packed[0][:-1], packed[0] + b"\0"]), 0)])
