// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Checks} from "./Cheats.sol";
import {Registry} from "../src/Registry.sol";

contract RegistryTest is Checks {
    Registry private registry;

    function setUp() public {
        registry = new Registry(keccak256("salt"), "example");
    }

    function test_storage_lies_where_the_source_says() public {
        bytes32 key = keccak256("key");
        registry.set(key, 42);

        uint256 packed = (uint256(uint160(address(this))) << 40) | (uint256(7) << 8) | 1;
        checkEq(vm.load(address(registry), bytes32(uint256(0))), bytes32(packed));
        checkEq(vm.load(address(registry), bytes32(uint256(1))), bytes32(uint256(1)));
        checkEq(vm.load(address(registry), keccak256(abi.encode(key, 2))), bytes32(uint256(42)));
        checkEq(vm.load(address(registry), keccak256(abi.encode(3))), bytes32(uint256(42)));
        checkEq(vm.load(address(registry), bytes32(uint256(4))), bytes32("example") | bytes32(uint256(14)));
    }

    function test_many_writes_stop_at_the_limit() public {
        registry.setMany(10);
        checkEq(registry.counter(), 10);
        checkEq(registry.historyLength(), 10);
        vm.expectRevert(abi.encodeWithSelector(Registry.TooMany.selector, 1_001, 1_000));
        registry.setMany(1_001);
    }
}
