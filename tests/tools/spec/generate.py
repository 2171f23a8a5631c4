"""Makes cases for Prague, Osaka and the blob-parameter forks, with what the executable specification says of them.

    python generate.py write FOLDER             every case and every chain, one a line, in two files
    python generate.py check FOLDER SEED COUNT  makes COUNT of either again, chosen by SEED, and compares

The first line of a file says what it was made with. A case depends on its group, fork, index and the seed below, and
on nothing else.
"""

import io
import json
import logging
import random
import sys
from importlib.metadata import version

from ethereum.crypto.hash import keccak256
from ethereum_rlp import rlp
from ethereum_spec_tools.evm_tools import main
from ethereum_spec_tools.evm_tools.t8n import ForkCache

import blocks
import precompiles
import transactions
from chain import hexed, raw
from world import DEPOSITS, common

SEED = 7
BOTH = ("Prague", "Osaka")
# What makes a group's cases, how many for each fork, and for which forks.
GROUPS = {
    "eip2537-bls": (precompiles.bls, 21, BOTH),
    "eip7823-eip7883-modexp": (precompiles.modexp, 14, BOTH),
    "eip7951-p256": (precompiles.p256, 8, BOTH),
    "eip7623-calldata": (transactions.calldata, 20, BOTH),
    "eip7702-delegations": (transactions.delegations, 40, BOTH),
    "eip7825-gas-cap": (transactions.gas_cap, 6, BOTH),
    "eip7939-clz": (transactions.clz, 6, BOTH),
    "eip2935-history": (transactions.history, 8, BOTH),
    "eip4844-blobs": (transactions.blobs, 8, (*BOTH, "BPO1", "BPO2")),
    "requests-withdrawals": (transactions.requests, 10, BOTH),
    "gas-programs": (transactions.programs, 40, BOTH),
    "refusals": (transactions.refusals, 10, BOTH),
}
# How many chains end in each fork.
CHAINS = {"Prague": 2, "Osaka": 3, "BPO1": 1, "BPO2": 2}


def head():
    """The first line: what the cases were made with, and the accounts that all of them begin with."""
    made_with = f"ethereum-execution {version('ethereum-execution')}"
    return {"specification": made_with, "seed": SEED, "depositContract": hexed(DEPOSITS), "pre": common()}


def names():
    for group, (_, count, forks) in GROUPS.items():
        for fork in forks:
            for index in range(count):
                yield group, fork, index


def generate(group, fork, index, cache):
    make, _, _ = GROUPS[group]
    case = make(random.Random(f"{SEED}/{group}/{fork}/{index}"), fork, index)
    result = transition(case, fork, case["txs"], cache)
    rejected = {entry["index"]: entry["error"].split("\n")[0] for entry in result["rejected"]}
    if rejected:
        # What is rejected keeps its place in `t8n`'s tries: the block is made again without it.
        result = transition(case, fork, [tx for i, tx in enumerate(case["txs"]) if i not in rejected], cache)
    post = {
        key: result[key]
        for key in ("stateRoot", "txRoot", "receiptsRoot", "logsHash", "requestsHash", "withdrawalsRoot")
    }
    post |= {
        "gasUsed": int(result["gasUsed"], 16),
        "receipts": [[receipt["succeeded"], int(receipt["cumulativeGasUsed"], 16)] for receipt in result["receipts"]],
    }
    txs = [
        {"raw": hexed(raw(tx))} | ({"rejected": rejected[i]} if i in rejected else {})
        for i, tx in enumerate(case["txs"])
    ]
    return {
        "name": f"{group}/{fork}/{index:02}",
        "fork": fork,
        "env": case["env"],
        "pre": case["pre"],
        "txs": txs,
        "post": post,
    }


def transition(case, fork, txs, cache):
    """What the specification's `t8n` makes of a case with these transactions."""
    env, number = case["env"], case["env"]["number"]
    heights = range(max(number - 256, 0), number)
    absent = {"code": "0x", "storage": {}}
    alloc = {address: absent | account for address, account in (common() | case["pre"]).items()}
    given = {
        "alloc": alloc,
        "env": {
            "currentCoinbase": env["coinbase"],
            "currentDifficulty": "0x0",
            "currentGasLimit": hex(env["gasLimit"]),
            "currentNumber": hex(number),
            "currentTimestamp": hex(env["timestamp"]),
            "currentRandom": env["random"],
            "currentBaseFee": hex(env["baseFee"]),
            "currentExcessBlobGas": hex(env["excessBlobGas"]),
            "parentBeaconBlockRoot": env["beaconRoot"],
            "withdrawals": [
                {
                    **each,
                    "index": hex(each["index"]),
                    "validatorIndex": hex(each["validatorIndex"]),
                    "amount": hex(each["amount"]),
                }
                for each in env["withdrawals"]
            ],
            # Block hashes by the convention of the public state tests.
            "blockHashes": {hex(height): hexed(keccak256(str(height).encode())) for height in heights},
        },
        "txs": hexed(rlp.encode(txs)),
    }
    inputs = [f"--input.{name}=stdin" for name in ("alloc", "env", "txs")]
    output = io.StringIO()
    arguments = [
        "t8n",
        *inputs,
        "--output.result=stdout",
        "--output.alloc=stdout",
        f"--state.fork={fork}",
        "--state.chainid=1",
    ]
    status = main(arguments, output, io.StringIO(json.dumps(given)), cache)
    result = json.loads(output.getvalue())["result"]
    if status != 0 or "blockException" in result:
        raise SystemExit(f"the specification refuses the block: {result.get('blockException', status)}")
    return result


def chain(group, fork, index, _):
    return blocks.generate(random.Random(f"{SEED}/{group}/{fork}/{index}"), fork, index)


def line(value):
    return json.dumps(value, separators=(",", ":"))


def files(folder):
    """Each file, with the names of what is in it and how that is made."""
    chains = [("chains", fork, index) for fork, count in CHAINS.items() for index in range(count)]
    return [(f"{folder}/cases.jsonl", list(names()), generate), (f"{folder}/chains.jsonl", chains, chain)]


def write(folder):
    for path, everything, make in files(folder):
        with open(path, "w") as file, ForkCache() as cache:
            print(line(head()), file=file)
            for name in everything:
                print(line(make(*name, cache)), file=file)


def check(folder, seed, count):
    for path, everything, make in files(folder):
        with open(path) as file:
            first, *lines = file.read().splitlines()
        if first != line(head()):
            raise SystemExit(f"{path} was not made with this: {line(head())}")
        if len(lines) != len(everything):
            raise SystemExit(f"{path} has {len(lines)} lines, not {len(everything)}")
        with ForkCache() as cache:
            for index in random.Random(seed).sample(range(len(lines)), min(count, len(lines))):
                if lines[index] != line(make(*everything[index], cache)):
                    raise SystemExit(f"{path} says something else of {everything[index]} than the specification")
        print(f"{path}: {count} of {len(lines)} are as the specification has them")


if __name__ == "__main__":
    logging.disable(logging.ERROR)
    if sys.argv[1] == "write":
        write(sys.argv[2])
    else:
        check(sys.argv[2], sys.argv[3], int(sys.argv[4]))
