// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title Who may see what of a contract, as data.
/// @notice Maps an account, by its address, to rules: per function two (for queries and for frames of transactions), per
/// event one, and one each for storage, code and balance. The node reads the rules from storage without running this
/// code, so the layout below is part of the protocol; docs/guides/policies.md describes it.
///
/// A rule is up to seven terms of two bytes, kind and operand, any of which admits; none of them denies everyone:
/// 1 public, 2 session, 3 the viewer stands in an argument, 4 owner, 5 role. The operand of 3 is the number of a
/// 32-byte word of the arguments (of an event's data), or 0x80 plus the number of an event's topic; that of 5 the role.
contract Visibility {
    /// A function's rules. `key` is the selector, or 1 for `receive` and 2 for `fallback`; `rule` has the terms for
    /// queries in bytes 0 to 13, those for transactions in bytes 14 to 27, and a 1 in byte 28. Zero takes it off the list.
    struct FunctionRule {
        bytes32 key;
        bytes32 rule;
    }

    /// An event's rule: terms in bytes 0 to 13, a 1 in byte 14. Zero takes it off the list.
    struct EventRule {
        bytes32 topic0;
        bytes32 rule;
    }

    /// Roles of an account: one bit each.
    struct Grant {
        address member;
        uint256 roles;
    }

    /// A proxy that may, or may not any more, delegate to code that is denied to everyone else.
    struct Delegation {
        address proxy;
        bool allowed;
    }

    /// Everything that one change can bring.
    struct Change {
        /// What is shown of the account itself: a term each for storage, code and balance, in bytes 0 to 5.
        bytes6 facts;
        FunctionRule[] functions;
        EventRule[] events;
        Grant[] grants;
        Delegation[] delegations;
    }

    /// Owner in the low 160 bits, then storage, code and balance (16 bits each), RULED and FROZEN.
    mapping(address account => uint256 head) private heads;
    mapping(address account => mapping(bytes32 key => bytes32 rule)) private functions;
    /// Every rule that ever held, oldest first, with the block from which on it did in bytes 24 to 31.
    mapping(address account => mapping(bytes32 topic0 => bytes32[] versions)) private events;
    mapping(address account => mapping(address member => uint256 roles)) private roles;
    mapping(address account => mapping(address proxy => bool allowed)) private delegations;

    uint256 private constant RULED = 1 << 248;
    uint256 private constant FROZEN = 1 << 249;
    uint256 private constant MAX_EVENT_VERSIONS = 64;
    bytes1 private constant LAST_KIND = 0x05;

    event OwnerChanged(address indexed account, address indexed owner);
    event PolicyChanged(address indexed account, address indexed owner);
    event PolicyFrozen(address indexed account, address indexed owner);

    error NotOwner();
    error Owned();
    error Frozen();
    error InvalidRule();
    error TooManyVersions();

    modifier onlyOwner(address account) {
        if (_ownerOf(account) != msg.sender) revert NotOwner();
        _;
    }

    modifier changes(address account) {
        if (heads[account] & FROZEN != 0) revert Frozen();
        _;
    }

    /// @notice Makes the caller the owner of what he created, or is going to create, with CREATE at this nonce.
    function claim(uint32 nonce) external returns (address account) {
        account = address(uint160(uint256(keccak256(_creation(msg.sender, nonce)))));
        _claim(account);
    }

    /// @notice Makes the caller the owner of what he created, or is going to create, with CREATE2.
    function claimSalted(bytes32 salt, bytes32 initcodeHash) external returns (address account) {
        account = address(uint160(uint256(keccak256(abi.encodePacked(hex"ff", msg.sender, salt, initcodeHash)))));
        _claim(account);
    }

    /// @notice Hands an account's rules to another owner.
    function transfer(address account, address owner) external onlyOwner(account) changes(account) {
        if (owner == address(0)) revert NotOwner();
        heads[account] = (heads[account] & ~uint256(type(uint160).max)) | uint160(owner);
        emit OwnerChanged(account, owner);
    }

    /// @notice Sets rules; those that are not named stay. They hold from the next block.
    function change(address account, Change calldata what) external onlyOwner(account) changes(account) {
        uint256 head = uint160(msg.sender) | RULED;
        for (uint256 i = 0; i < 6; i += 2) {
            _checkTerm(what.facts[i]);
            head |= uint256(uint16(bytes2(what.facts << (8 * i)))) << (160 + 8 * i);
        }
        heads[account] = head;
        for (uint256 i = 0; i < what.functions.length; i++) {
            FunctionRule calldata named = what.functions[i];
            _check(named.rule, 28);
            functions[account][named.key] = named.rule;
        }
        for (uint256 i = 0; i < what.events.length; i++) {
            _changeEvent(account, what.events[i]);
        }
        for (uint256 i = 0; i < what.grants.length; i++) {
            roles[account][what.grants[i].member] = what.grants[i].roles;
        }
        for (uint256 i = 0; i < what.delegations.length; i++) {
            delegations[account][what.delegations[i].proxy] = what.delegations[i].allowed;
        }
        emit PolicyChanged(account, msg.sender);
    }

    /// @notice Leaves an account's rules as they are, for ever.
    function freeze(address account) external onlyOwner(account) changes(account) {
        heads[account] |= FROZEN;
        emit PolicyFrozen(account, msg.sender);
    }

    /// @notice Owner, facts and flags of an account, for its owner.
    function headOf(address account) external view onlyOwner(account) returns (uint256) {
        return heads[account];
    }

    /// @notice Rules of functions, for the account's owner.
    function functionRules(address account, bytes32[] calldata keys)
        external
        view
        onlyOwner(account)
        returns (bytes32[] memory rules)
    {
        rules = new bytes32[](keys.length);
        for (uint256 i = 0; i < keys.length; i++) {
            rules[i] = functions[account][keys[i]];
        }
    }

    /// @notice All rules that an event had, oldest first, for the account's owner.
    function eventRules(address account, bytes32 topic0) external view onlyOwner(account) returns (bytes32[] memory) {
        return events[account][topic0];
    }

    /// @notice Roles of a member, for the account's owner.
    function rolesOf(address account, address member) external view onlyOwner(account) returns (uint256) {
        return roles[account][member];
    }

    function _claim(address account) private {
        address owner = _ownerOf(account);
        if (owner != address(0)) revert Owned();
        heads[account] = uint160(msg.sender);
        emit OwnerChanged(account, msg.sender);
    }

    function _ownerOf(address account) private view returns (address) {
        return address(uint160(heads[account]));
    }

    function _changeEvent(address account, EventRule calldata named) private {
        _check(named.rule, 14);
        // What happens in this block still follows the rule before.
        bytes32 version = named.rule | bytes32(uint256(uint64(block.number + 1)));
        bytes32[] storage versions = events[account][named.topic0];
        uint256 count = versions.length;
        if (count != 0 && uint64(uint256(versions[count - 1])) == uint64(block.number + 1)) {
            versions[count - 1] = version;
        } else {
            if (count == MAX_EVENT_VERSIONS) revert TooManyVersions();
            versions.push(version);
        }
    }

    /// Terms up to the byte `listed`, which is 1, and nothing behind it; or nothing at all.
    function _check(bytes32 rule, uint256 listed) private pure {
        if (rule == 0) return;
        if (rule[listed] != 0x01 || uint256(rule) << (8 * (listed + 1)) != 0) revert InvalidRule();
        for (uint256 i = 0; i < listed; i += 2) {
            _checkTerm(rule[i]);
        }
    }

    function _checkTerm(bytes1 kind) private pure {
        if (kind > LAST_KIND) revert InvalidRule();
    }

    /// RLP of the pair that CREATE hashes.
    function _creation(address creator, uint32 nonce) private pure returns (bytes memory) {
        if (nonce == 0) return abi.encodePacked(hex"d694", creator, hex"80");
        if (nonce < 0x80) return abi.encodePacked(hex"d694", creator, uint8(nonce));
        if (nonce < 0x100) return abi.encodePacked(hex"d794", creator, hex"81", uint8(nonce));
        if (nonce < 0x10000) return abi.encodePacked(hex"d894", creator, hex"82", uint16(nonce));
        if (nonce < 0x1000000) return abi.encodePacked(hex"d994", creator, hex"83", uint24(nonce));
        return abi.encodePacked(hex"da94", creator, hex"84", nonce);
    }
}
