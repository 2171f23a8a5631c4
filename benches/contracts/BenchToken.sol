// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.20;

/// A complete ERC-20 (EIP-20) token with the checks, custom errors (ERC-6093) and the single
/// balance-moving function that production tokens have, so that a transfer costs what a real one
/// costs. Minting is open to everyone: this token exists only to be measured.
contract BenchToken {
    mapping(address account => uint256) private _balances; // slot 0
    mapping(address account => mapping(address spender => uint256)) private _allowances; // slot 1
    uint256 private _totalSupply; // slot 2
    string private _name; // slot 3
    string private _symbol; // slot 4

    event Transfer(address indexed from, address indexed to, uint256 value);
    event Approval(address indexed owner, address indexed spender, uint256 value);

    error ERC20InsufficientBalance(address sender, uint256 balance, uint256 needed);
    error ERC20InvalidSender(address sender);
    error ERC20InvalidReceiver(address receiver);
    error ERC20InsufficientAllowance(address spender, uint256 allowance, uint256 needed);
    error ERC20InvalidApprover(address approver);
    error ERC20InvalidSpender(address spender);

    constructor(string memory tokenName, string memory tokenSymbol) {
        _name = tokenName;
        _symbol = tokenSymbol;
    }

    function name() public view virtual returns (string memory) {
        return _name;
    }

    function symbol() public view virtual returns (string memory) {
        return _symbol;
    }

    function decimals() public view virtual returns (uint8) {
        return 18;
    }

    function totalSupply() public view virtual returns (uint256) {
        return _totalSupply;
    }

    function balanceOf(address account) public view virtual returns (uint256) {
        return _balances[account];
    }

    function allowance(address owner, address spender) public view virtual returns (uint256) {
        return _allowances[owner][spender];
    }

    function transfer(address to, uint256 value) public virtual returns (bool) {
        _transfer(msg.sender, to, value);
        return true;
    }

    function approve(address spender, uint256 value) public virtual returns (bool) {
        _approve(msg.sender, spender, value, true);
        return true;
    }

    function transferFrom(address from, address to, uint256 value) public virtual returns (bool) {
        _useAllowance(from, msg.sender, value);
        _transfer(from, to, value);
        return true;
    }

    /// Gives `amount` to every address of `to`.
    function mintEach(address[] calldata to, uint256 amount) external {
        for (uint256 i = 0; i < to.length; ++i) {
            if (to[i] == address(0)) revert ERC20InvalidReceiver(address(0));
            _move(address(0), to[i], amount);
        }
    }

    /// Fills `count` balance slots without events: holder `i` is the low 160 bits of
    /// keccak256(abi.encode(i)), for `i` from `first` on.
    function fill(uint256 first, uint256 count, uint256 amount) external {
        _totalSupply += count * amount;
        unchecked {
            for (uint256 i = first; i < first + count; ++i) {
                _balances[address(uint160(uint256(keccak256(abi.encode(i)))))] += amount;
            }
        }
    }

    function _transfer(address from, address to, uint256 value) internal {
        if (from == address(0)) revert ERC20InvalidSender(address(0));
        if (to == address(0)) revert ERC20InvalidReceiver(address(0));
        _move(from, to, value);
    }

    function _move(address from, address to, uint256 value) internal virtual {
        if (from == address(0)) {
            _totalSupply += value;
        } else {
            uint256 held = _balances[from];
            if (held < value) revert ERC20InsufficientBalance(from, held, value);
            unchecked {
                _balances[from] = held - value;
            }
        }
        if (to == address(0)) {
            unchecked {
                _totalSupply -= value;
            }
        } else {
            unchecked {
                _balances[to] += value;
            }
        }
        emit Transfer(from, to, value);
    }

    function _approve(address owner, address spender, uint256 value, bool announce) internal virtual {
        if (owner == address(0)) revert ERC20InvalidApprover(address(0));
        if (spender == address(0)) revert ERC20InvalidSpender(address(0));
        _allowances[owner][spender] = value;
        if (announce) emit Approval(owner, spender, value);
    }

    function _useAllowance(address owner, address spender, uint256 value) internal virtual {
        uint256 allowed = allowance(owner, spender);
        if (allowed != type(uint256).max) {
            if (allowed < value) revert ERC20InsufficientAllowance(spender, allowed, value);
            unchecked {
                _approve(owner, spender, allowed - value, false);
            }
        }
    }
}
