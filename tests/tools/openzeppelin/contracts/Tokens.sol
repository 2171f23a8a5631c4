// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC20FlashMint} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20FlashMint.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";
import {ERC20Votes} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Votes.sol";
import {ERC721} from "@openzeppelin/contracts/token/ERC721/ERC721.sol";
import {ERC721Consecutive} from "@openzeppelin/contracts/token/ERC721/extensions/ERC721Consecutive.sol";
import {ERC1155} from "@openzeppelin/contracts/token/ERC1155/ERC1155.sol";
import {ERC1155Supply} from "@openzeppelin/contracts/token/ERC1155/extensions/ERC1155Supply.sol";
import {IERC3156FlashBorrower} from "@openzeppelin/contracts/interfaces/IERC3156FlashBorrower.sol";
import {Nonces} from "@openzeppelin/contracts/utils/Nonces.sol";
import {Multicall} from "@openzeppelin/contracts/utils/Multicall.sol";
import {Time} from "@openzeppelin/contracts/utils/types/Time.sol";

/// A token with permits, votes and flash loans.
contract VotesToken is ERC20, ERC20Permit, ERC20Votes, ERC20FlashMint, Multicall {
    constructor() ERC20("Votes", "VTS") ERC20Permit("Votes") {}

    function mint(address to, uint256 value) external {
        _mint(to, value);
    }

    function burn(address from, uint256 value) external {
        _burn(from, value);
    }

    function _update(address from, address to, uint256 value) internal virtual override(ERC20, ERC20Votes) {
        super._update(from, to, value);
    }

    function nonces(address owner) public view virtual override(ERC20Permit, Nonces) returns (uint256) {
        return super.nonces(owner);
    }
}

/// As above, with seconds for a clock.
contract TimedVotesToken is VotesToken {
    function clock() public view override returns (uint48) {
        return Time.timestamp();
    }

    function CLOCK_MODE() public pure override returns (string memory) {
        return "mode=timestamp";
    }
}

/// Gives a flash loan back, or does not.
contract Borrower is IERC3156FlashBorrower {
    bool public immutable honest;

    constructor(bool honest_) {
        honest = honest_;
    }

    function onFlashLoan(address, address token, uint256 amount, uint256 fee, bytes calldata) external returns (bytes32) {
        if (honest) ERC20(token).approve(token, amount + fee);
        return keccak256("ERC3156FlashBorrower.onFlashLoan");
    }
}

contract Collection is ERC721 {
    constructor() ERC721("Collection", "COL") {}

    function mint(address to, uint256 id) external {
        _safeMint(to, id);
    }
}

/// Mints in its constructor: many logs, little storage.
contract Series is ERC721Consecutive {
    constructor(address[] memory receivers, uint96[] memory amounts) ERC721("Series", "SRS") {
        for (uint256 i = 0; i < receivers.length; ++i) _mintConsecutive(receivers[i], amounts[i]);
    }
}

contract Items is ERC1155Supply {
    constructor() ERC1155("https://example.org/{id}.json") {}

    function mintBatch(address to, uint256[] calldata ids, uint256[] calldata values) external {
        _mintBatch(to, ids, values, "");
    }
}

/// Refuses tokens.
contract Sink {}
