// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title Who the nodes of the network are, as data.
/// @notice Members vote on who takes part in ordering blocks. The nodes read what they decided from storage without
/// running this code, so the layout below is part of the protocol; docs/guides/operators.md describes its use.
///
/// A node's number is its own for good: once it is gone, or has lost its disk, it comes back under another number with
/// another identity.
contract Nodes {
    /// What a node is to the network. A learner follows it and does not vote.
    enum Standing {
        Gone,
        Learner,
        Voter
    }

    /// What members know of a node: the SHA-256 of its identity key (`SubjectPublicKeyInfo`), its name in ASCII, and what
    /// it is.
    struct Node {
        bytes32 identity;
        bytes32 name;
        Standing standing;
    }

    /// Most nodes that take part at one time.
    uint256 private constant MAX_NODES = 31;

    /// 1 for each member of the network. Genesis names them.
    mapping(address member => uint256 isMember) private members;
    uint256 private memberCount;
    /// All nodes that there ever were.
    mapping(uint64 number => Node) private nodes;
    /// Their numbers, in the order in which they came. Genesis names the first ones.
    uint256[] private numbers;
    mapping(bytes32 identity => uint256 isTaken) private identities;
    /// How often members decided about a node: what was approved before does not count any more.
    mapping(uint64 number => uint256 count) private decisions;
    mapping(bytes32 ballot => mapping(address member => bool approved)) private approvals;
    mapping(bytes32 ballot => uint256 count) private approvalCounts;

    event NodeApproved(uint64 indexed number, address indexed member, bytes32 identity, bytes32 name, Standing standing);
    event NodeChanged(uint64 indexed number, bytes32 identity, bytes32 name, Standing standing);

    error NotMember();
    error Approved();
    error InvalidNode();
    error IdentityTaken();
    error AnotherNode();
    error AlreadySo();
    error NodeIsGone();
    error TooManyNodes();
    error LastVoter();

    /// @notice A member's approval that a node takes part from now on, or no more. It is so once more than half of the
    /// members have approved the same.
    function approve(uint64 number, bytes32 identity, bytes32 name, Standing standing) external {
        if (members[msg.sender] == 0) revert NotMember();
        _check(number, identity, name, standing);
        bytes32 ballot = keccak256(abi.encode(number, identity, name, standing, decisions[number]));
        if (approvals[ballot][msg.sender]) revert Approved();
        approvals[ballot][msg.sender] = true;
        emit NodeApproved(number, msg.sender, identity, name, standing);
        if (++approvalCounts[ballot] * 2 <= memberCount) return;
        decisions[number]++;
        if (nodes[number].identity == 0) {
            numbers.push(number);
            identities[identity] = 1;
        }
        nodes[number] = Node(identity, name, standing);
        emit NodeChanged(number, identity, name, standing);
    }

    /// @notice A node: all zero where there never was one of that number.
    function nodeOf(uint64 number) external view returns (Node memory) {
        return nodes[number];
    }

    /// @notice The numbers of all nodes that there ever were.
    function all() external view returns (uint256[] memory) {
        return numbers;
    }

    function _check(uint64 number, bytes32 identity, bytes32 name, Standing standing) private view {
        Node storage known = nodes[number];
        if (known.identity == 0) {
            if (number == 0 || identity == 0 || name == 0 || standing == Standing.Gone) revert InvalidNode();
            if (identities[identity] != 0) revert IdentityTaken();
            if (_count(Standing.Learner) + _count(Standing.Voter) == MAX_NODES) revert TooManyNodes();
            return;
        }
        if (known.identity != identity || known.name != name) revert AnotherNode();
        if (known.standing == Standing.Gone) revert NodeIsGone();
        if (known.standing == standing) revert AlreadySo();
        if (known.standing == Standing.Voter && _count(Standing.Voter) == 1) revert LastVoter();
    }

    function _count(Standing standing) private view returns (uint256 count) {
        for (uint256 i = 0; i < numbers.length; i++) {
            if (nodes[uint64(numbers[i])].standing == standing) count++;
        }
    }
}
