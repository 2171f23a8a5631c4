// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title One manufacturer's orders with all of its suppliers.
/// @notice An ordinary contract: nothing in it knows of confidentiality. With `policies/orders.json` on a confidential chain the
/// manufacturer, the supplier of an order and auditors see the order, and nobody else does; without rules, as on any
/// Ethereum chain, everybody sees all of them.
contract Orders {
    struct Order {
        bytes32 part;
        uint64 quantity;
        uint128 unitPrice;
        bool confirmed;
    }

    address public immutable manufacturer;
    mapping(address supplier => Order[]) private orders;

    event OrderPlaced(
        address indexed supplier, uint256 indexed number, bytes32 part, uint64 quantity, uint128 unitPrice
    );
    event OrderConfirmed(address indexed supplier, uint256 indexed number);

    error NotManufacturer();
    error NoSuchOrder();
    error Confirmed();

    constructor() {
        manufacturer = msg.sender;
    }

    /// @notice Places an order with a supplier; answers its number, counted per supplier.
    function place(address supplier, bytes32 part, uint64 quantity, uint128 unitPrice)
        external
        returns (uint256 number)
    {
        if (msg.sender != manufacturer) revert NotManufacturer();
        number = orders[supplier].length;
        orders[supplier].push(Order(part, quantity, unitPrice, false));
        emit OrderPlaced(supplier, number, part, quantity, unitPrice);
    }

    /// @notice Confirms an order that was placed with the caller.
    function confirm(uint256 number) external {
        Order[] storage own = orders[msg.sender];
        if (number >= own.length) revert NoSuchOrder();
        if (own[number].confirmed) revert Confirmed();
        own[number].confirmed = true;
        emit OrderConfirmed(msg.sender, number);
    }

    /// @notice An order, by the supplier it was placed with and its number.
    function orderOf(address supplier, uint256 number) external view returns (Order memory) {
        if (number >= orders[supplier].length) revert NoSuchOrder();
        return orders[supplier][number];
    }

    /// @notice How many orders were placed with a supplier.
    function countOf(address supplier) external view returns (uint256) {
        return orders[supplier].length;
    }
}
