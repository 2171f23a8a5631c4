// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// State of every shape, with the slot each lives in, so that a client's storage reads can be checked by hand.
contract Registry {
    /// Slot 0, packed from the right: 1 byte, 4 bytes, 20 bytes.
    bool public open;
    uint32 public version;
    address public admin;
    /// Slot 1.
    uint256 public counter;
    /// Slot 2: each value at keccak256(key ‖ 2).
    mapping(bytes32 => uint256) public values;
    /// Slot 3: its length; the elements from keccak256(3).
    uint256[] public history;
    /// Slot 4: text and twice its length in one word while shorter than 32 bytes.
    string public label;

    bytes32 public immutable salt;
    uint256 public constant LIMIT = 1_000;

    event Set(bytes32 indexed key, uint256 value);

    error TooMany(uint256 count, uint256 limit);

    constructor(bytes32 salt_, string memory label_) {
        salt = salt_;
        label = label_;
        admin = msg.sender;
        version = 7;
        open = true;
    }

    function set(bytes32 key, uint256 value) public {
        values[key] = value;
        history.push(value);
        counter += 1;
        emit Set(key, value);
    }

    /// Writes `count` fresh slots and emits as many events: work of a chosen size.
    function setMany(uint256 count) external {
        if (count > LIMIT) revert TooMany(count, LIMIT);
        for (uint256 i = 0; i < count; i++) {
            set(keccak256(abi.encode(block.number, i)), i + 1);
        }
    }

    function clear(bytes32 key) external {
        delete values[key];
        counter -= 1;
    }

    function historyLength() external view returns (uint256) {
        return history.length;
    }

    function environment()
        external
        view
        returns (uint256 chainId, uint256 number, uint256 timestamp, uint256 baseFee, address caller, uint256 gasLimit)
    {
        return (block.chainid, block.number, block.timestamp, block.basefee, msg.sender, block.gaslimit);
    }
}
