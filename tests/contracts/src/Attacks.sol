// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// Tries to have a transaction say what nobody is told, and logs for its sender what came of it.
contract Attacker {
    event Answered(address indexed sender, bool ok, bytes answer, uint256 gasUsed);
    event Probed(address indexed sender, uint256 size, bytes32 codeHash, uint256 balance, bytes32 firstWord);

    function asks(address target, bytes calldata data) external {
        uint256 before = gasleft();
        (bool ok, bytes memory answer) = target.staticcall{gas: 200_000}(data);
        emit Answered(msg.sender, ok, answer, before - gasleft());
    }

    function runs(address target, bytes calldata data) external {
        uint256 before = gasleft();
        (bool ok, bytes memory answer) = target.call{gas: 200_000}(data);
        emit Answered(msg.sender, ok, answer, before - gasleft());
    }

    function becomes(address target, bytes calldata data) external {
        uint256 before = gasleft();
        (bool ok, bytes memory answer) = target.delegatecall(data);
        emit Answered(msg.sender, ok, answer, before - gasleft());
    }

    function probes(address target) external {
        bytes32 word;
        assembly {
            extcodecopy(target, 0, 0, 32)
            word := mload(0)
        }
        emit Probed(msg.sender, target.code.length, target.codehash, target.balance, word);
    }

    /// Says that the caller is whom it is asked about.
    function canSee(address, bytes4, bytes calldata) external pure returns (bool) {
        return true;
    }
}
