// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";
import {ERC721} from "@openzeppelin/contracts/token/ERC721/ERC721.sol";
import {ERC1155} from "@openzeppelin/contracts/token/ERC1155/ERC1155.sol";
import {ERC1967Proxy} from "@openzeppelin/contracts/proxy/ERC1967/ERC1967Proxy.sol";
import {Initializable} from "@openzeppelin/contracts/proxy/utils/Initializable.sol";
import {UUPSUpgradeable} from "@openzeppelin/contracts/proxy/utils/UUPSUpgradeable.sol";
import {Multicall} from "@openzeppelin/contracts/utils/Multicall.sol";

/// OpenZeppelin's ERC-20 as it is, to be created by itself or behind a proxy.
contract Coin is ERC20, Initializable, UUPSUpgradeable {
    constructor() ERC20("Coin", "COIN") {}

    function initialize(address to, uint256 supply) external initializer {
        _mint(to, supply);
    }

    function _authorizeUpgrade(address) internal override {}
}

/// With permits and batches.
contract PermitCoin is ERC20Permit, Multicall, Initializable, UUPSUpgradeable {
    constructor() ERC20("Coin", "COIN") ERC20Permit("Coin") {}

    function initialize(address to, uint256 supply) external initializer {
        _mint(to, supply);
    }

    function _authorizeUpgrade(address) internal override {}
}

contract Deeds is ERC721, Multicall, Initializable, UUPSUpgradeable {
    constructor() ERC721("Deeds", "DEED") {}

    function mint(address to, uint256 id) external {
        _mint(to, id);
    }

    function _authorizeUpgrade(address) internal override {}
}

contract Parts is ERC1155, Multicall, Initializable, UUPSUpgradeable {
    constructor() ERC1155("https://example.org/{id}") {}

    function mint(address to, uint256 id, uint256 value) external {
        _mint(to, id, value, "");
    }

    function _authorizeUpgrade(address) internal override {}
}

/// OpenZeppelin's proxy as it is; this only has it compiled.
contract Proxy is ERC1967Proxy {
    constructor(address implementation, bytes memory data) ERC1967Proxy(implementation, data) {}
}

/// One coin for the other at the same price: what was paid in since the last time is paid out in the other.
contract Pair {
    ERC20 private immutable one;
    ERC20 private immutable other;
    uint256 private held;

    constructor(ERC20 one_, ERC20 other_) {
        (one, other) = (one_, other_);
    }

    function swap(address to) external {
        uint256 balance = one.balanceOf(address(this));
        uint256 paid = balance - held;
        held = balance;
        require(other.transfer(to, paid));
    }
}

contract Router {
    function swap(Pair pair, ERC20 coin, uint256 amount) external {
        require(coin.allowance(msg.sender, address(this)) >= amount);
        require(coin.transferFrom(msg.sender, address(pair), amount));
        pair.swap(msg.sender);
    }
}
