// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// Code for an account to delegate to (EIP-7702): it makes several calls in its owner's name, or none.
contract BatchCaller {
    struct Call {
        address to;
        uint256 value;
        bytes data;
    }

    event Executed(address indexed account, uint256 calls);

    error OnlySelf(address caller);
    error CallFailed(uint256 index, bytes reason);

    receive() external payable {}

    function execute(Call[] calldata calls) external payable {
        if (msg.sender != address(this)) revert OnlySelf(msg.sender);
        for (uint256 i = 0; i < calls.length; i++) {
            (bool ok, bytes memory reason) = calls[i].to.call{value: calls[i].value}(calls[i].data);
            if (!ok) revert CallFailed(i, reason);
        }
        emit Executed(address(this), calls.length);
    }
}
