// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// The console that Hardhat and Foundry agreed on: a static call to an address without code, which
/// development nodes print and every other chain ignores.
library Console {
    address internal constant CONSOLE = 0x000000000000000000636F6e736F6c652e6c6f67;

    function log(string memory text) internal view {
        _send(abi.encodeWithSignature("log(string)", text));
    }

    function log(string memory text, uint256 value) internal view {
        _send(abi.encodeWithSignature("log(string,uint256)", text, value));
    }

    function log(string memory text, address who) internal view {
        _send(abi.encodeWithSignature("log(string,address)", text, who));
    }

    function _send(bytes memory payload) private view {
        // The answer is ignored on purpose: the call reaches no code anywhere but in a tool.
        (bool ok,) = CONSOLE.staticcall(payload);
        ok;
    }
}
