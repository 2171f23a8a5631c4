// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// The few Foundry cheatcodes that these examples use.
interface Cheats {
    function prank(address sender) external;
    function deal(address account, uint256 balance) external;
    function warp(uint256 timestamp) external;
    function addr(uint256 privateKey) external returns (address);
    function sign(uint256 privateKey, bytes32 digest) external returns (uint8 v, bytes32 r, bytes32 s);
    function expectRevert() external;
    function expectRevert(bytes calldata data) external;
    function expectEmit(bool topic1, bool topic2, bool topic3, bool data) external;
    function load(address account, bytes32 slot) external view returns (bytes32);
    function envOr(string calldata name, address otherwise) external returns (address);
    function envOr(string calldata name, uint256 otherwise) external returns (uint256);
    function startBroadcast() external;
    function stopBroadcast() external;
    function skip(bool skip) external;
}

/// Checks that stop a test by reverting with what was found and what was expected.
abstract contract Checks {
    Cheats internal constant vm = Cheats(address(uint160(uint256(keccak256("hevm cheat code")))));

    error Differs(bytes32 found, bytes32 expected);
    error Untrue(string what);

    function checkEq(uint256 found, uint256 expected) internal pure {
        if (found != expected) revert Differs(bytes32(found), bytes32(expected));
    }

    function checkEq(address found, address expected) internal pure {
        if (found != expected) revert Differs(bytes32(uint256(uint160(found))), bytes32(uint256(uint160(expected))));
    }

    function checkEq(bytes32 found, bytes32 expected) internal pure {
        if (found != expected) revert Differs(found, expected);
    }

    function check(bool truth, string memory what) internal pure {
        if (!truth) revert Untrue(what);
    }
}
