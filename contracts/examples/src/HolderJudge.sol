// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// Who may see what is asked about an ERC-721 token: its holder. A policy names it as `custom` for functions whose first
/// parameter is the token, and grants it the role that may ask the collection who that is.
contract HolderJudge {
    /// Asked by the collection whose rules say so.
    function canSee(address viewer, bytes4, bytes calldata arguments) external view returns (bool) {
        if (arguments.length < 32) return false;
        (bool ok, bytes memory answer) = msg.sender.staticcall(abi.encodePacked(bytes4(0x6352211e), arguments[:32]));
        return ok && answer.length == 32 && abi.decode(answer, (uint256)) == uint160(viewer);
    }
}
