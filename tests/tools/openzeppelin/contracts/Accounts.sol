// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ERC7821} from "@openzeppelin/contracts/account/extensions/draft-ERC7821.sol";
import {IERC1271} from "@openzeppelin/contracts/interfaces/IERC1271.sol";
import {ERC721Holder} from "@openzeppelin/contracts/token/ERC721/utils/ERC721Holder.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";
import {P256} from "@openzeppelin/contracts/utils/cryptography/P256.sol";
import {RSA} from "@openzeppelin/contracts/utils/cryptography/RSA.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";

/// What an account delegates to (EIP-7702): it calls for itself, in batches (ERC-7821).
contract Delegate is ERC7821, ERC721Holder {
    receive() external payable {}
}

/// Its owner signs for it (ERC-1271).
contract Wallet is IERC1271 {
    address public immutable owner;

    constructor(address owner_) {
        owner = owner_;
    }

    function isValidSignature(bytes32 hash, bytes calldata signature) external view returns (bytes4) {
        (address signer,,) = ECDSA.tryRecover(hash, signature);
        return signer == owner ? IERC1271.isValidSignature.selector : bytes4(0xffffffff);
    }
}

contract Verifier is EIP712("Verifier", "1") {
    function isSigned(address signer, bytes32 hash, bytes calldata signature) external view returns (bool) {
        return SignatureChecker.isValidSignatureNow(signer, hash, signature);
    }

    function messageSigner(bytes calldata message, bytes calldata signature) external pure returns (address) {
        return ECDSA.recover(MessageHashUtils.toEthSignedMessageHash(message), signature);
    }

    function orderSigner(uint256 id, address to, bytes calldata signature) external view returns (address) {
        bytes32 order = keccak256(abi.encode(keccak256("Order(uint256 id,address to)"), id, to));
        return ECDSA.recover(_hashTypedDataV4(order), signature);
    }

    function p256(bytes32 hash, bytes32 r, bytes32 s, bytes32 x, bytes32 y) external view returns (bool native, bool solidity) {
        return (P256.verifyNative(hash, r, s, x, y), P256.verifySolidity(hash, r, s, x, y));
    }

    function rsa(bytes calldata data, bytes calldata signature, bytes calldata e, bytes calldata n) external view returns (bool) {
        return RSA.pkcs1Sha256(data, signature, e, n);
    }
}
