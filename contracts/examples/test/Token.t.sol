// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Checks} from "./Cheats.sol";
import {Token} from "../src/Token.sol";
import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";

contract TokenTest is Checks {
    Token private token;
    address private constant BOB = address(0xB0B);

    function setUp() public {
        token = new Token("Example", "EXA", 1_000 ether);
    }

    function test_supply_belongs_to_the_deployer() public view {
        checkEq(token.totalSupply(), 1_000 ether);
        checkEq(token.balanceOf(address(this)), 1_000 ether);
    }

    function test_transfer_moves_exactly_the_amount(uint96 amount) public {
        uint256 bounded = uint256(amount) % 1_000 ether;
        token.transfer(BOB, bounded);
        checkEq(token.balanceOf(BOB), bounded);
        checkEq(token.balanceOf(address(this)), 1_000 ether - bounded);
    }

    function test_transfer_beyond_the_balance_is_refused_by_name() public {
        vm.expectRevert(abi.encodeWithSelector(IERC20Errors.ERC20InsufficientBalance.selector, BOB, 0, 1));
        vm.prank(BOB);
        token.transfer(address(this), 1);
    }

    function test_only_the_owner_mints() public {
        token.mint(BOB, 5);
        checkEq(token.balanceOf(BOB), 5);
        vm.expectRevert(abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, BOB));
        vm.prank(BOB);
        token.mint(BOB, 5);
    }

    function test_a_permit_signed_by_the_holder_is_an_allowance() public {
        address holder = vm.addr(7);
        bytes32 permit = keccak256(
            abi.encode(
                keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"),
                holder,
                BOB,
                3,
                0,
                block.timestamp
            )
        );
        bytes32 digest = keccak256(abi.encodePacked("\x19\x01", token.DOMAIN_SEPARATOR(), permit));
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(7, digest);
        token.permit(holder, BOB, 3, block.timestamp, v, r, s);
        checkEq(token.allowance(holder, BOB), 3);
    }
}
