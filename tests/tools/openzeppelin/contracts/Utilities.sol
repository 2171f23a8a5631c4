// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Address} from "@openzeppelin/contracts/utils/Address.sol";
import {Arrays} from "@openzeppelin/contracts/utils/Arrays.sol";
import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {Strings} from "@openzeppelin/contracts/utils/Strings.sol";
import "hardhat/console.sol";

/// Fails in every way there is.
contract Failing {
    error Refused(address who, uint256 code);

    uint256[] private values;

    function ok() external pure {}

    function withReason() external pure {
        revert("Failing: no");
    }

    function withError() external view {
        revert Refused(msg.sender, 7);
    }

    function without() external pure {
        revert();
    }

    function withPanic(uint8 code) external {
        if (code == 0x01) assert(false);
        if (code == 0x11) values.push(type(uint256).max + values.length + 1);
        if (code == 0x12) values.push(1 % values.length);
        if (code == 0x31) values.pop();
        if (code == 0x32) values[1] = 1;
    }

    function withInvalid() external pure {
        assembly {
            invalid()
        }
    }

    function withoutGas() external {
        while (true) values.push(1);
    }

    function inside(address target, bytes calldata data) external {
        Address.functionCall(target, data);
    }
}

contract Guarded is ReentrancyGuardTransient {
    uint256 public depth;

    function enter(uint256 more) external nonReentrant {
        depth++;
        if (more > 0) this.enter(more - 1);
    }

    function enterTwice(Guarded other) external {
        other.enter(0);
        other.enter(0);
    }
}

contract Heavy {
    using Arrays for uint256[];

    function sortedAt(uint256 length, uint256 index) external pure returns (uint256) {
        uint256[] memory values = new uint256[](length);
        for (uint256 i = 0; i < length; ++i) values[i] = uint256(keccak256(abi.encode(i)));
        return values.sort()[index];
    }

    function text(uint256 value) external pure returns (string memory, string memory, uint256) {
        return (Strings.toString(value), Strings.toHexString(value), Strings.parseUint(Strings.toString(value)));
    }

    function verify(bytes32[] calldata proof, bytes32 root, bytes32 leaf) external pure returns (bool) {
        return MerkleProof.verify(proof, root, leaf);
    }

    function inverse(uint256 a, uint256 prime) external view returns (uint256) {
        return Math.modExp(a, prime - 2, prime);
    }
}

contract Talking {
    event Said(uint256 value);

    function say(uint256 value) external {
        console.log("value is", value);
        emit Said(value);
    }
}

/// As much code as its creator likes; all of it stops.
contract Sized {
    constructor(uint256 size) {
        assembly {
            return(0, size)
        }
    }
}
