// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Checks} from "./Cheats.sol";
import {Orders} from "../src/Orders.sol";

contract OrdersTest is Checks {
    address private constant SUPPLIER = address(0x51);
    address private constant OTHER = address(0x52);
    Orders private orders;

    function setUp() public {
        orders = new Orders();
    }

    function test_orders_are_counted_per_supplier() public {
        checkEq(orders.place(SUPPLIER, "M6 bolt", 10_000, 12), 0);
        checkEq(orders.place(OTHER, "M6 bolt", 20_000, 9), 0);
        checkEq(orders.place(SUPPLIER, "M8 bolt", 5_000, 15), 1);
        checkEq(orders.countOf(SUPPLIER), 2);
        checkEq(orders.orderOf(OTHER, 0).unitPrice, 9);
    }

    function test_only_the_manufacturer_places_and_only_the_supplier_confirms() public {
        vm.prank(OTHER);
        vm.expectRevert(abi.encodeWithSelector(Orders.NotManufacturer.selector));
        orders.place(OTHER, "M6 bolt", 1, 1);
        orders.place(SUPPLIER, "M6 bolt", 1, 1);
        vm.prank(OTHER);
        vm.expectRevert(abi.encodeWithSelector(Orders.NoSuchOrder.selector));
        orders.confirm(0);
        vm.prank(SUPPLIER);
        orders.confirm(0);
        if (!orders.orderOf(SUPPLIER, 0).confirmed) revert Untrue("it is confirmed");
        vm.prank(SUPPLIER);
        vm.expectRevert(abi.encodeWithSelector(Orders.Confirmed.selector));
        orders.confirm(0);
    }
}
