// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Checks} from "./Cheats.sol";
import {Token} from "../src/Token.sol";

/// Runs on a fork of a node where a Token is deployed: `TOKEN=0x… HOLDER=0x… forge test --fork-url …`.
contract ForkTest is Checks {
    Token private token;
    address private holder;

    function setUp() public {
        token = Token(vm.envOr("TOKEN", address(0)));
        holder = vm.envOr("HOLDER", address(0));
        vm.skip(address(token).code.length == 0);
    }

    function test_the_forked_balance_can_be_spent_here() public {
        uint256 before = token.balanceOf(holder);
        checkEq(before, vm.envOr("EXPECTED", uint256(0)));
        check(before > 0, "the holder has nothing on the fork");
        vm.prank(holder);
        token.transfer(address(0xB0B), 1);
        checkEq(token.balanceOf(holder), before - 1);
        checkEq(token.balanceOf(address(0xB0B)), 1);
    }
}
