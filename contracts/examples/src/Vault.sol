// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Console} from "./Console.sol";

/// Ether kept per depositor behind a time lock. It fails in every way a contract can, so that a client's
/// error decoding can be tested: custom errors with and without arguments, a reason string, a panic, nothing.
contract Vault {
    struct Deposit {
        uint128 amount;
        uint64 unlockTime;
    }

    event Deposited(address indexed from, uint256 indexed id, uint256 amount, string note);
    event Withdrawn(address indexed to, uint256 amount);

    error Locked(uint64 unlockTime, uint64 now_);
    error InsufficientDeposit(address account, uint256 requested, uint256 available);
    error NothingSent();

    uint64 public immutable lockSeconds;
    uint256 public nextId;
    mapping(address => Deposit) public deposits;

    constructor(uint64 lockSeconds_) payable {
        lockSeconds = lockSeconds_;
    }

    receive() external payable {
        _deposit("");
    }

    function deposit(string calldata note) external payable returns (uint256 id) {
        return _deposit(note);
    }

    function withdraw(uint256 amount) external {
        Deposit storage held = deposits[msg.sender];
        if (amount > held.amount) revert InsufficientDeposit(msg.sender, amount, held.amount);
        if (block.timestamp < held.unlockTime) revert Locked(held.unlockTime, uint64(block.timestamp));
        held.amount -= uint128(amount);
        emit Withdrawn(msg.sender, amount);
        (bool ok,) = msg.sender.call{value: amount}("");
        require(ok, "Vault: transfer refused");
    }

    function balanceOf(address account) external view returns (uint256) {
        return deposits[account].amount;
    }

    function failWithReason() external pure {
        revert("Vault: always fails");
    }

    function failWithPanic(uint256 divisor) external pure returns (uint256) {
        return 1 / divisor;
    }

    function failSilently() external pure {
        assembly {
            revert(0, 0)
        }
    }

    function burnAllGas() external pure {
        assembly {
            invalid()
        }
    }

    function _deposit(string memory note) private returns (uint256 id) {
        if (msg.value == 0) revert NothingSent();
        id = nextId++;
        Deposit storage held = deposits[msg.sender];
        held.amount += uint128(msg.value);
        held.unlockTime = uint64(block.timestamp) + lockSeconds;
        Console.log("deposit of", msg.value);
        emit Deposited(msg.sender, id, msg.value, note);
    }
}
