// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title Who may see what of a contract, as data.
/// @notice Maps an account, by its address, to rules: per function two (for queries and for frames of transactions), per
/// event one, and one each for storage, code and balance. The node reads the rules from storage without running this
/// code, so the layout below is part of the protocol; docs/guides/policies.md describes it.
///
/// A rule is up to seven terms of two bytes, kind and operand, any of which admits; none of them denies everyone:
/// 1 public, 2 session, 3 the viewer stands in an argument, 4 owner, 5 role, 6 custom, 7 auditor. The operand of 3 is the
/// number of a 32-byte word of the arguments (of an event's data), or 0x80 plus the number of an event's topic; that of 5
/// the role; that of 6, which is for functions alone, the number of a judge.
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

    /// A contract that custom terms ask `canSee(address viewer, bytes4 selector, bytes args)`.
    struct Judge {
        uint8 number;
        address judge;
    }

    /// What an auditor may ask about: blocks from the first to the last, until a time in seconds. Zeros take it away.
    struct Audit {
        address auditor;
        uint64 first;
        uint64 last;
        uint64 until;
    }

    /// Everything that one change can bring.
    struct Change {
        /// What is shown of the account itself: a term each for storage, code and balance, in bytes 0 to 5.
        bytes6 facts;
        FunctionRule[] functions;
        EventRule[] events;
        Grant[] grants;
        Delegation[] delegations;
        Judge[] judges;
        Audit[] audits;
    }

    /// Owner in the low 160 bits, then storage, code and balance (16 bits each), seconds of the timelock (32), RULED,
    /// FROZEN and ADOPTED.
    mapping(address account => uint256 head) private heads;
    mapping(address account => mapping(bytes32 key => bytes32 rule)) private functions;
    /// Every rule that ever held, oldest first, with the block from which on it did in bytes 24 to 31.
    mapping(address account => mapping(bytes32 topic0 => bytes32[] versions)) private events;
    mapping(address account => mapping(address member => uint256 roles)) private roles;
    mapping(address account => mapping(address proxy => bool allowed)) private delegations;
    mapping(address account => mapping(uint8 number => address judge)) private judges;
    /// Whose rules an adopted account has.
    mapping(address account => address template) private templates;
    /// Stands for everything above: equal revisions, equal rules.
    bytes32 private revision;
    mapping(address factory => mapping(bytes32 codeHash => address template)) private bindings;
    /// When what is announced may be done, in seconds.
    mapping(address account => mapping(bytes32 digest => uint256 time)) private announcements;
    /// First and last block and end, 64 bits each from the lowest, and GOVERNED.
    mapping(address account => mapping(address auditor => uint256 audit)) private audits;
    /// What an auditor last said that he is going to ask about: first and last block and the block in which he said so, 64
    /// bits each from the lowest, how many requests he makes (32), and how often he has said something (32).
    mapping(address account => mapping(address auditor => uint256 use)) private uses;
    /// 1 for each member of the network. Genesis names them.
    mapping(address member => uint256 isMember) private members;
    uint256 private memberCount;
    mapping(bytes32 ballot => mapping(address member => bool approved)) private approvals;
    mapping(bytes32 ballot => uint256 count) private approvalCounts;
    /// How often members decided about an audit: what was approved before does not count any more.
    mapping(address account => mapping(address auditor => uint256 count)) private decisions;
    uint256 private useCount;

    uint256 private constant RULED = 1 << 248;
    uint256 private constant FROZEN = 1 << 249;
    uint256 private constant ADOPTED = 1 << 250;
    /// Of an audit that the members granted, not the owner.
    uint256 private constant GOVERNED = 1 << 192;
    uint256 private constant TIMELOCK = 208;
    uint256 private constant MAX_EVENT_VERSIONS = 64;
    /// What was announced is done within two weeks after it may be, or announced again.
    uint256 private constant ANNOUNCEMENT_LIFETIME = 14 days;
    bytes1 private constant CUSTOM = 0x06;
    bytes1 private constant LAST_KIND = 0x07;

    event OwnerChanged(address indexed account, address indexed owner);
    event PolicyChanged(address indexed account, address indexed owner);
    event PolicyFrozen(address indexed account, address indexed owner);
    event PolicyBound(address indexed factory, address indexed owner, bytes32 codeHash, address template);
    event PolicyAdopted(address indexed account, address indexed template);
    event TimelockChanged(address indexed account, address indexed owner, uint32 delay);
    event ChangeAnnounced(address indexed account, address indexed owner, bytes32 digest, uint256 time);
    event AuditGranted(
        address indexed account, address indexed auditor, address indexed owner, uint64 first, uint64 last, uint64 until
    );
    event AuditApproved(
        address indexed account, address indexed auditor, address indexed member, uint64 first, uint64 last, uint64 until
    );
    /// Shown to who is named.
    event AuditUsed(
        address indexed account, address indexed auditor, address indexed owner, uint64 first, uint64 last, uint32 reads
    );
    /// Shown to all members: that an audit was used, and nothing of it.
    event AuditGrantUsed(uint256 count);

    error NotOwner();
    error NotCreator();
    error Owned();
    error NotBound();
    error Adopted();
    error Frozen();
    error NotAnnounced();
    error InvalidRule();
    error TooManyVersions();
    error WidensPast();
    error NotMember();
    error Approved();
    error Governed();
    error NotGranted();
    error NoReads();

    modifier onlyOwner(address account) {
        if (_ownerOf(account) != msg.sender) revert NotOwner();
        _;
    }

    modifier changes(address account) {
        if (heads[account] & FROZEN != 0) revert Frozen();
        if (heads[account] & ADOPTED != 0) revert Adopted();
        _revise();
        _;
    }

    /// @notice Makes the caller the owner of what he created, or is going to create, with CREATE at this nonce.
    function claim(uint32 nonce) external returns (address account) {
        account = _created(msg.sender, nonce);
        _claim(account);
    }

    /// @notice Makes the caller the owner of what `deployer` created, or is going to create, with CREATE2. The deployer is
    /// the caller, or the salt begins with the caller's address: then whoever deploys it, it was made for him.
    function claimSalted(address deployer, bytes32 salt, bytes32 initcodeHash) external returns (address account) {
        account = _createdSalted(deployer, salt, initcodeHash);
        _checkSalt(deployer, salt);
        _claim(account);
    }

    /// @notice Claims what the caller is going to create at this nonce, and sets its rules, before it exists.
    function prepare(uint32 nonce, Change calldata what) external returns (address account) {
        account = _created(msg.sender, nonce);
        _claim(account);
        _change(account, what);
    }

    /// @notice Claims what is going to be created with this salt, as `claimSalted`, and sets its rules.
    function prepareSalted(address deployer, bytes32 salt, bytes32 initcodeHash, Change calldata what)
        external
        returns (address account)
    {
        account = _createdSalted(deployer, salt, initcodeHash);
        _checkSalt(deployer, salt);
        _claim(account);
        _change(account, what);
    }

    /// @notice Lets what a factory creates have the rules of `template`: contracts with this code, or from this initcode.
    /// A template need not exist. The caller owns both; no template takes the binding back for contracts to come.
    function bind(address factory, bytes32 codeHash, address template) external onlyOwner(factory) {
        if (template != address(0)) {
            if (_ownerOf(template) != msg.sender) revert NotOwner();
            if (heads[template] & ADOPTED != 0) revert Adopted();
        }
        bindings[factory][codeHash] = template;
        emit PolicyBound(factory, msg.sender, codeHash, template);
    }

    /// @notice Gives what a factory created with CREATE at this nonce the rules that its code is bound to.
    function adopt(address factory, uint32 nonce) external returns (address account) {
        account = _created(factory, nonce);
        _adopt(account, bindings[factory][account.codehash]);
    }

    /// @notice Gives what a factory created, or is going to create, with CREATE2 the rules that its initcode or its code is
    /// bound to.
    function adoptSalted(address factory, bytes32 salt, bytes32 initcodeHash) external returns (address account) {
        account = _createdSalted(factory, salt, initcodeHash);
        address template = bindings[factory][initcodeHash];
        _adopt(account, template == address(0) ? bindings[factory][account.codehash] : template);
    }

    /// @notice Hands an account's rules to another owner.
    function transfer(address account, address owner) external onlyOwner(account) changes(account) {
        if (owner == address(0)) revert NotOwner();
        heads[account] = (heads[account] & ~uint256(type(uint160).max)) | uint160(owner);
        emit OwnerChanged(account, owner);
    }

    /// @notice Sets rules; those that are not named stay. They hold from the next block. Behind a timelock the change must
    /// have been announced: the hash of its ABI encoding, `keccak256(abi.encode(what))`.
    function change(address account, Change calldata what) external onlyOwner(account) changes(account) {
        _checkDue(account, keccak256(abi.encode(what)));
        _change(account, what);
    }

    /// @notice Says what is going to be changed, by its hash, so that the timelock begins to run.
    function announce(address account, bytes32 digest) external onlyOwner(account) changes(account) {
        uint256 time = block.timestamp + _timelockOf(account);
        announcements[account][digest] = time;
        emit ChangeAnnounced(account, msg.sender, digest, time);
    }

    /// @notice Sets for how many seconds changes are announced before. A shorter time is a change itself, announced as
    /// `keccak256(abi.encode(delay))`.
    function setTimelock(address account, uint32 delay) external onlyOwner(account) changes(account) {
        if (delay < _timelockOf(account)) _checkDue(account, keccak256(abi.encode(delay)));
        heads[account] = (heads[account] & ~(uint256(type(uint32).max) << TIMELOCK)) | (uint256(delay) << TIMELOCK);
        emit TimelockChanged(account, msg.sender, delay);
    }

    /// @notice Leaves an account's rules as they are, for ever.
    function freeze(address account) external onlyOwner(account) changes(account) {
        heads[account] |= FROZEN;
        emit PolicyFrozen(account, msg.sender);
    }

    /// @notice Says, on the ledger and before he does, that the caller is going to ask about an account under an audit: in
    /// `reads` requests about blocks from `first` to `last`.
    function useAudit(address account, uint64 first, uint64 last, uint32 reads) external {
        uint256 audit = audits[_rulesOf(account)][msg.sender];
        bool covers = uint64(audit) <= first && first <= last && last <= uint64(audit >> 64);
        if (!covers || block.timestamp >= uint64(audit >> 128)) revert NotGranted();
        if (reads == 0) revert NoReads();
        uint256 number = (uses[account][msg.sender] >> 224) + 1;
        uses[account][msg.sender] =
            first | (uint256(last) << 64) | (block.number << 128) | (uint256(reads) << 192) | (number << 224);
        useCount++;
        emit AuditUsed(account, msg.sender, _ownerOf(account), first, last, reads);
        emit AuditGrantUsed(useCount);
    }

    /// @notice A member's approval of an audit, also of blocks that have passed, and of the whole ledger where `account` is
    /// zero. It is granted once more than half of the members have approved the same.
    function approveAudit(address account, Audit calldata audit) external {
        if (members[msg.sender] == 0) revert NotMember();
        bytes32 ballot = keccak256(abi.encode(account, audit, decisions[account][audit.auditor]));
        if (approvals[ballot][msg.sender]) revert Approved();
        approvals[ballot][msg.sender] = true;
        emit AuditApproved(account, audit.auditor, msg.sender, audit.first, audit.last, audit.until);
        if (++approvalCounts[ballot] * 2 <= memberCount) return;
        decisions[account][audit.auditor]++;
        _revise();
        audits[account][audit.auditor] =
            audit.until == 0 ? 0 : audit.first | (uint256(audit.last) << 64) | (uint256(audit.until) << 128) | GOVERNED;
        emit AuditGranted(account, audit.auditor, _ownerOf(account), audit.first, audit.last, audit.until);
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

    /// @notice Whose rules an adopted account has, for the owner of both.
    function templateOf(address account) external view onlyOwner(account) returns (address) {
        return templates[account];
    }

    /// @notice A judge of custom terms, for the account's owner.
    function judgeOf(address account, uint8 number) external view onlyOwner(account) returns (address) {
        return judges[account][number];
    }

    /// @notice First and last block and end of an audit, 64 bits each from the lowest, for the auditor and the account's
    /// owner.
    function auditOf(address account, address auditor) external view returns (uint256) {
        if (msg.sender != auditor && _ownerOf(account) != msg.sender) revert NotOwner();
        return audits[_rulesOf(account)][auditor];
    }

    /// @notice Roles of a member, for the account's owner.
    function rolesOf(address account, address member) external view onlyOwner(account) returns (uint256) {
        return roles[account][member];
    }

    function _claim(address account) private {
        if (heads[account] != 0) revert Owned();
        _revise();
        heads[account] = uint160(msg.sender);
        emit OwnerChanged(account, msg.sender);
    }

    function _adopt(address account, address template) private {
        if (template == address(0)) revert NotBound();
        if (heads[account] != 0) revert Owned();
        _revise();
        heads[account] = RULED | ADOPTED;
        templates[account] = template;
        emit PolicyAdopted(account, template);
    }

    function _checkSalt(address deployer, bytes32 salt) private view {
        if (deployer != msg.sender && address(bytes20(salt)) != msg.sender) revert NotCreator();
    }

    function _ownerOf(address account) private view returns (address) {
        return address(uint160(heads[_rulesOf(account)]));
    }

    function _rulesOf(address account) private view returns (address) {
        return heads[account] & ADOPTED != 0 ? templates[account] : account;
    }

    function _timelockOf(address account) private view returns (uint32) {
        return uint32(heads[account] >> TIMELOCK);
    }

    /// Reverts unless nothing has to be announced or this was, long enough ago and not too long.
    function _checkDue(address account, bytes32 digest) private {
        if (_timelockOf(account) == 0) return;
        uint256 time = announcements[account][digest];
        if (time == 0 || block.timestamp < time || block.timestamp > time + ANNOUNCEMENT_LIFETIME) {
            revert NotAnnounced();
        }
        delete announcements[account][digest];
    }

    function _revise() private {
        revision = keccak256(abi.encode(revision, block.number, msg.sender, keccak256(msg.data)));
    }

    function _change(address account, Change calldata what) private {
        uint256 head = uint160(msg.sender) | RULED | (uint256(_timelockOf(account)) << TIMELOCK);
        for (uint256 i = 0; i < 6; i += 2) {
            if (what.facts[i] == CUSTOM || what.facts[i] > LAST_KIND) revert InvalidRule();
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
        for (uint256 i = 0; i < what.judges.length; i++) {
            judges[account][what.judges[i].number] = what.judges[i].judge;
        }
        for (uint256 i = 0; i < what.audits.length; i++) {
            _changeAudit(account, what.audits[i]);
        }
        emit PolicyChanged(account, msg.sender);
    }

    /// What happened before stays as it was: an audit is about blocks to come, or goes on with another end. What members
    /// decided is theirs to change.
    function _changeAudit(address account, Audit calldata audit) private {
        uint256 before = audits[account][audit.auditor];
        if (before & GOVERNED != 0) revert Governed();
        uint256 blocks = audit.first | (uint256(audit.last) << 64);
        bool goesOn = before != 0 && uint128(before) == blocks;
        if (audit.until != 0 && audit.first <= block.number && !goesOn) revert WidensPast();
        audits[account][audit.auditor] = blocks | (uint256(audit.until) << 128);
        emit AuditGranted(account, audit.auditor, msg.sender, audit.first, audit.last, audit.until);
    }

    function _changeEvent(address account, EventRule calldata named) private {
        for (uint256 i = 0; i < 14; i += 2) {
            if (named.rule[i] == CUSTOM) revert InvalidRule();
        }
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
            if (rule[i] > LAST_KIND) revert InvalidRule();
        }
    }

    function _created(address creator, uint32 nonce) private pure returns (address) {
        return address(uint160(uint256(keccak256(_creation(creator, nonce)))));
    }

    function _createdSalted(address creator, bytes32 salt, bytes32 initcodeHash) private pure returns (address) {
        return address(uint160(uint256(keccak256(abi.encodePacked(hex"ff", creator, salt, initcodeHash)))));
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
