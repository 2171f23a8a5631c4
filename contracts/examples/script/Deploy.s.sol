// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Cheats} from "../test/Cheats.sol";
import {Token} from "../src/Token.sol";
import {Vault} from "../src/Vault.sol";
import {Registry} from "../src/Registry.sol";
import {BatchCaller} from "../src/BatchCaller.sol";

/// Deploys every example and uses it once: `forge script examples/script/Deploy.s.sol --rpc-url … --broadcast …`.
contract Deploy {
    Cheats private constant vm = Cheats(address(uint160(uint256(keccak256("hevm cheat code")))));

    function run() external returns (Token token, Vault vault, Registry registry, BatchCaller batch) {
        vm.startBroadcast();
        token = new Token("Example", "EXA", 1_000_000 ether);
        vault = new Vault{value: 1 ether}(1 hours);
        registry = new Registry{salt: bytes32(uint256(1))}(keccak256("salt"), "example");
        batch = new BatchCaller();
        token.transfer(address(0xB0B), 25 ether);
        vault.deposit{value: 2 ether}("from the script");
        registry.set(keccak256("key"), 42);
        vm.stopBroadcast();
    }
}
