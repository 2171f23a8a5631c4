// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Checks} from "./Cheats.sol";
import {Vault} from "../src/Vault.sol";

contract VaultTest is Checks {
    Vault private vault;
    address private constant ALICE = address(0xA11CE);

    event Deposited(address indexed from, uint256 indexed id, uint256 amount, string note);

    function setUp() public {
        vault = new Vault(1 hours);
        vm.deal(ALICE, 10 ether);
    }

    function test_a_deposit_is_held_and_announced() public {
        vm.expectEmit(true, true, false, true);
        emit Deposited(ALICE, 0, 2 ether, "rent");
        vm.prank(ALICE);
        checkEq(vault.deposit{value: 2 ether}("rent"), 0);
        checkEq(vault.balanceOf(ALICE), 2 ether);
    }

    function test_nothing_leaves_before_the_lock_ends() public {
        vm.prank(ALICE);
        vault.deposit{value: 2 ether}("");
        uint64 unlock = uint64(block.timestamp + 1 hours);
        vm.expectRevert(abi.encodeWithSelector(Vault.Locked.selector, unlock, uint64(block.timestamp)));
        vm.prank(ALICE);
        vault.withdraw(1 ether);

        vm.warp(unlock);
        vm.prank(ALICE);
        vault.withdraw(1 ether);
        checkEq(ALICE.balance, 9 ether);
    }

    function test_more_than_was_deposited_is_refused() public {
        vm.expectRevert(abi.encodeWithSelector(Vault.InsufficientDeposit.selector, ALICE, 1, 0));
        vm.prank(ALICE);
        vault.withdraw(1);
    }

    function test_an_empty_deposit_is_refused() public {
        vm.expectRevert(abi.encodeWithSelector(Vault.NothingSent.selector));
        vault.deposit("nothing");
    }

    function test_each_way_to_fail() public {
        vm.expectRevert(abi.encodeWithSignature("Error(string)", "Vault: always fails"));
        vault.failWithReason();
        vm.expectRevert(abi.encodeWithSignature("Panic(uint256)", 0x12));
        vault.failWithPanic(0);
        vm.expectRevert(bytes(""));
        vault.failSilently();
    }
}
