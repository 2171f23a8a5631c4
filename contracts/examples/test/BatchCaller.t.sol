// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Checks} from "./Cheats.sol";
import {BatchCaller} from "../src/BatchCaller.sol";
import {Registry} from "../src/Registry.sol";

contract BatchCallerTest is Checks {
    BatchCaller private account;
    Registry private registry;

    function setUp() public {
        account = new BatchCaller();
        registry = new Registry(0, "");
    }

    function test_the_account_itself_may_batch() public {
        BatchCaller.Call[] memory calls = new BatchCaller.Call[](2);
        calls[0] = BatchCaller.Call(address(registry), 0, abi.encodeCall(Registry.set, ("a", 1)));
        calls[1] = BatchCaller.Call(address(registry), 0, abi.encodeCall(Registry.set, ("b", 2)));
        vm.prank(address(account));
        account.execute(calls);
        checkEq(registry.values("a") + registry.values("b"), 3);
    }

    function test_nobody_else_may() public {
        vm.expectRevert(abi.encodeWithSelector(BatchCaller.OnlySelf.selector, address(this)));
        account.execute(new BatchCaller.Call[](0));
    }
}
