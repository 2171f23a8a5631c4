// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// Calls of every kind, one below the other, for those who look at traces: calls that succeed and fail, a delegate
/// call, a precompile, a creation, a self-destruction, logs above and below them.
contract Nested {
    event Reached(uint256 indexed depth, address by);

    error Refused(uint256 depth);

    mapping(uint256 => uint256) public visits;
    Library private immutable LIBRARY = new Library();

    constructor() payable {}

    function dive(uint256 depth) external payable returns (bytes32 digest) {
        visits[depth] += 1;
        emit Reached(depth, msg.sender);
        if (depth > 0) this.dive(depth - 1);
        try this.refuse(depth) {
            revert("refuse did not refuse");
        } catch {}
        (bool delegated,) = address(LIBRARY).delegatecall(abi.encodeCall(Library.mark, (depth)));
        require(delegated, "the library failed");
        digest = sha256(abi.encode(depth));
        Leaf leaf = new Leaf{value: depth}(depth);
        leaf.fall(payable(msg.sender));
        emit Reached(depth, address(leaf));
    }

    function refuse(uint256 depth) external {
        emit Reached(depth, address(this));
        visits[depth] = 0;
        revert Refused(depth);
    }

    function exhaust() external {
        while (true) visits[gasleft()] = 1;
    }
}

contract Library {
    mapping(uint256 => uint256) private visits;

    function mark(uint256 depth) external payable {
        visits[depth + 1_000] = depth;
    }
}

contract Leaf {
    uint256 public immutable DEPTH;

    constructor(uint256 depth) payable {
        DEPTH = depth;
    }

    function fall(address payable to) external {
        selfdestruct(to);
    }
}
