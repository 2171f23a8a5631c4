// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Checks} from "./Cheats.sol";
import {BillOfLading} from "../src/BillOfLading.sol";

contract BillOfLadingTest is Checks {
    address private constant CARRIER = address(0xca);
    address private constant SHIPPER = address(0x5a);
    address private constant BUYER = address(0xb0);
    bytes32 private constant NUMBER = "HLCUHAM2611ABCD";
    BillOfLading private bills;

    function setUp() public {
        bills = new BillOfLading();
    }

    function shipment() private pure returns (BillOfLading.Shipment memory) {
        bytes11[] memory containers = new bytes11[](2);
        containers[0] = "CSQU3054383";
        containers[1] = "MSKU6011672";
        return BillOfLading.Shipment(SHIPPER, "MV Example", "DEHAM", "SGSIN", containers, keccak256("4,000 pumps"));
    }

    function issued() private {
        vm.prank(CARRIER);
        bills.issue(NUMBER, shipment());
    }

    function test_a_bill_goes_from_hand_to_hand_and_is_surrendered_once() public {
        issued();
        vm.prank(CARRIER);
        bills.load(NUMBER);
        vm.prank(SHIPPER);
        bills.endorse(NUMBER, BUYER);
        vm.prank(SHIPPER);
        vm.expectRevert(abi.encodeWithSelector(BillOfLading.NotHolder.selector));
        bills.endorse(NUMBER, CARRIER);
        vm.prank(BUYER);
        vm.expectRevert(abi.encodeWithSelector(BillOfLading.WrongStage.selector, BillOfLading.Stage.Loaded));
        bills.surrender(NUMBER);
        vm.prank(CARRIER);
        bills.discharge(NUMBER);
        vm.prank(BUYER);
        bills.surrender(NUMBER);
        vm.prank(BUYER);
        vm.expectRevert(abi.encodeWithSelector(BillOfLading.WrongStage.selector, BillOfLading.Stage.Surrendered));
        bills.endorse(NUMBER, SHIPPER);
        checkEq(uint256(bills.inspect(NUMBER).stage), uint256(BillOfLading.Stage.Surrendered));
    }

    function test_parties_are_told_and_nobody_else_not_even_that_there_is_a_bill() public {
        issued();
        checkEq(bills.billFor(CARRIER, NUMBER).containers.length, 2);
        checkEq(bills.billFor(SHIPPER, NUMBER).cargoHash, keccak256("4,000 pumps"));
        vm.expectRevert(abi.encodeWithSelector(BillOfLading.NotParty.selector));
        bills.billFor(BUYER, NUMBER);
        vm.expectRevert(abi.encodeWithSelector(BillOfLading.NotParty.selector));
        bills.billFor(BUYER, "no such bill");
        vm.expectRevert(abi.encodeWithSelector(BillOfLading.NotParty.selector));
        bills.billFor(address(0), "no such bill");
        vm.prank(SHIPPER);
        bills.endorse(NUMBER, BUYER);
        checkEq(bills.billFor(BUYER, NUMBER).containers.length, 2);
    }

    function test_numbers_of_containers_are_checked() public {
        if (!bills.isContainer("CSQU3054383")) revert Untrue("the example of ISO 6346");
        if (bills.isContainer("CSQU3054384")) revert Untrue("a wrong check digit");
        if (bills.isContainer("csqu3054383")) revert Untrue("small letters");
        BillOfLading.Shipment memory wrong = shipment();
        wrong.containers[1] = "MSKU6011671";
        vm.expectRevert(abi.encodeWithSelector(BillOfLading.BadContainer.selector, bytes11("MSKU6011671")));
        bills.issue(NUMBER, wrong);
        wrong.containers = new bytes11[](0);
        vm.expectRevert(abi.encodeWithSelector(BillOfLading.NoContainers.selector));
        bills.issue(NUMBER, wrong);
    }

    function test_a_number_is_used_once_and_stages_follow_each_other() public {
        issued();
        vm.expectRevert(abi.encodeWithSelector(BillOfLading.NumberTaken.selector));
        bills.issue(NUMBER, shipment());
        vm.prank(CARRIER);
        vm.expectRevert(abi.encodeWithSelector(BillOfLading.WrongStage.selector, BillOfLading.Stage.Issued));
        bills.discharge(NUMBER);
        vm.prank(SHIPPER);
        vm.expectRevert(abi.encodeWithSelector(BillOfLading.NotCarrier.selector));
        bills.load(NUMBER);
    }
}
