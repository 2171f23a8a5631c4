// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {BeaconProxy} from "@openzeppelin/contracts/proxy/beacon/BeaconProxy.sol";
import {UpgradeableBeacon} from "@openzeppelin/contracts/proxy/beacon/UpgradeableBeacon.sol";
import {Clones} from "@openzeppelin/contracts/proxy/Clones.sol";
import {ERC1967Proxy} from "@openzeppelin/contracts/proxy/ERC1967/ERC1967Proxy.sol";
import {ProxyAdmin} from "@openzeppelin/contracts/proxy/transparent/ProxyAdmin.sol";
import {TransparentUpgradeableProxy} from "@openzeppelin/contracts/proxy/transparent/TransparentUpgradeableProxy.sol";
import {Initializable} from "@openzeppelin/contracts/proxy/utils/Initializable.sol";
import {UUPSUpgradeable} from "@openzeppelin/contracts/proxy/utils/UUPSUpgradeable.sol";
import {Create2} from "@openzeppelin/contracts/utils/Create2.sol";

contract Box is Initializable {
    uint256 public value;

    function initialize(uint256 value_) external virtual initializer {
        value = value_;
    }

    function version() external pure virtual returns (string memory) {
        return "V1";
    }
}

contract BoxV2 is Box {
    function initializeV2(uint256 value_) external reinitializer(2) {
        value = value_;
    }

    function version() external pure override returns (string memory) {
        return "V2";
    }
}

contract OpenBox is Box, UUPSUpgradeable {
    function _authorizeUpgrade(address) internal override {}
}

contract Factory {
    event Made(address instance);

    function clone(address target, bytes32 salt) external {
        emit Made(Clones.cloneDeterministic(target, salt));
    }

    function predict(address target, bytes32 salt) external view returns (address) {
        return Clones.predictDeterministicAddress(target, salt);
    }

    function create(bytes32 salt, bytes calldata code) external payable {
        emit Made(Create2.deploy(msg.value, salt, code));
    }

    function where(bytes32 salt, bytes32 codeHash) external view returns (address) {
        return Create2.computeAddress(salt, codeHash);
    }
}
