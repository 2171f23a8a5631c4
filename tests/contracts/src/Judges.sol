// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// Admits one viewer to one function.
contract StrictJudge {
    address private immutable viewer;
    bytes4 private immutable selector;
    bytes32 private immutable arguments;

    constructor(address viewer_, bytes4 selector_, bytes memory arguments_) {
        (viewer, selector, arguments) = (viewer_, selector_, keccak256(arguments_));
    }

    function canSee(address viewer_, bytes4 selector_, bytes calldata arguments_) external view returns (bool) {
        return viewer_ == viewer && selector_ == selector && keccak256(arguments_) == arguments;
    }
}

/// Would admit everybody, if it were not for what it does.
contract UnfitJudge {
    uint256 private immutable way;
    uint256 private asked;

    constructor(uint256 way_) {
        way = way_;
    }

    fallback(bytes calldata) external returns (bytes memory) {
        if (way == 0) revert();
        if (way == 1) while (true) {}
        if (way == 2) asked++;
        if (way == 3) return abi.encode(uint256(2));
        if (way == 4) return abi.encodePacked(true);
        if (way == 5) return abi.encode(true, true);
        if (way == 6) return "";
        if (way == 7) new Made();
        return abi.encode(true);
    }
}

contract Made {}
