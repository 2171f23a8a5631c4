//! Functions and errors that many contracts share, known by the first four bytes of their hash.

use std::{collections::HashMap, sync::OnceLock};

use alloy_primitives::{Selector, hex, keccak256};

/// Signatures of functions: token standards, access control, proxies, governors, exchanges.
pub(super) const FUNCTIONS: &[&str] = &[
    // ERC-20 and its common extensions
    "transfer(address,uint256)",
    "transferFrom(address,address,uint256)",
    "approve(address,uint256)",
    "increaseAllowance(address,uint256)",
    "decreaseAllowance(address,uint256)",
    "permit(address,address,uint256,uint256,uint8,bytes32,bytes32)",
    "mint(address,uint256)",
    "mint(uint256)",
    "mint(address)",
    "mint()",
    "burn(uint256)",
    "burn(address,uint256)",
    "burnFrom(address,uint256)",
    "deposit()",
    "withdraw(uint256)",
    "withdraw()",
    "balanceOf(address)",
    "allowance(address,address)",
    "totalSupply()",
    "transferAndCall(address,uint256)",
    "transferAndCall(address,uint256,bytes)",
    // ERC-721
    "safeTransferFrom(address,address,uint256)",
    "safeTransferFrom(address,address,uint256,bytes)",
    "setApprovalForAll(address,bool)",
    "safeMint(address,uint256)",
    "safeMint(address,uint256,string)",
    "safeMint(address)",
    "safeMint(address,string)",
    "mint(address,uint256,string)",
    "onERC721Received(address,address,uint256,bytes)",
    // ERC-1155
    "safeTransferFrom(address,address,uint256,uint256,bytes)",
    "safeBatchTransferFrom(address,address,uint256[],uint256[],bytes)",
    "mint(address,uint256,uint256,bytes)",
    "mintBatch(address,uint256[],uint256[],bytes)",
    "burn(address,uint256,uint256)",
    "burnBatch(address,uint256[],uint256[])",
    "setURI(string)",
    "onERC1155Received(address,address,uint256,uint256,bytes)",
    // ERC-4626
    "deposit(uint256,address)",
    "mint(uint256,address)",
    "withdraw(uint256,address,address)",
    "redeem(uint256,address,address)",
    // Ownership, roles, pausing
    "transferOwnership(address)",
    "acceptOwnership()",
    "renounceOwnership()",
    "grantRole(bytes32,address)",
    "revokeRole(bytes32,address)",
    "renounceRole(bytes32,address)",
    "beginDefaultAdminTransfer(address)",
    "acceptDefaultAdminTransfer()",
    "pause()",
    "unpause()",
    // Proxies and initialisers
    "initialize()",
    "initialize(address)",
    "initialize(address,address)",
    "initialize(string,string)",
    "upgradeTo(address)",
    "upgradeToAndCall(address,bytes)",
    "upgradeAndCall(address,address,bytes)",
    "changeAdmin(address)",
    // Votes and governors
    "delegate(address)",
    "delegateBySig(address,uint256,uint256,uint8,bytes32,bytes32)",
    "propose(address[],uint256[],bytes[],string)",
    "castVote(uint256,uint8)",
    "castVoteWithReason(uint256,uint8,string)",
    "castVoteBySig(uint256,uint8,address,bytes)",
    "queue(address[],uint256[],bytes[],bytes32)",
    "execute(address[],uint256[],bytes[],bytes32)",
    "cancel(address[],uint256[],bytes[],bytes32)",
    "schedule(address,uint256,bytes,bytes32,bytes32,uint256)",
    "execute(address,uint256,bytes,bytes32,bytes32)",
    // Batches, wallets, account abstraction
    "multicall(bytes[])",
    "multicall(uint256,bytes[])",
    "aggregate((address,bytes)[])",
    "aggregate3((address,bool,bytes)[])",
    "aggregate3Value((address,bool,uint256,bytes)[])",
    "tryAggregate(bool,(address,bytes)[])",
    "execute(address,uint256,bytes)",
    "executeBatch(address[],uint256[],bytes[])",
    "execute(bytes32,bytes)",
    "execTransaction(address,uint256,bytes,uint8,uint256,uint256,uint256,address,address,bytes)",
    "setup(address[],uint256,bytes,address,address,uint256,address,address)",
    "createProxyWithNonce(address,bytes,uint256)",
    "handleOps((address,uint256,bytes,bytes,bytes32,uint256,bytes32,bytes,bytes)[],address)",
    "deploy(uint256,bytes32,bytes)",
    "deployCreate2(bytes32,bytes)",
    "deployCreate3(bytes32,bytes)",
    // Exchanges
    "createPair(address,address)",
    "createPool(address,address,uint24)",
    "addLiquidity(address,address,uint256,uint256,uint256,uint256,address,uint256)",
    "addLiquidityETH(address,uint256,uint256,uint256,address,uint256)",
    "removeLiquidity(address,address,uint256,uint256,uint256,address,uint256)",
    "removeLiquidityETH(address,uint256,uint256,uint256,address,uint256)",
    "swapExactTokensForTokens(uint256,uint256,address[],address,uint256)",
    "swapTokensForExactTokens(uint256,uint256,address[],address,uint256)",
    "swapExactETHForTokens(uint256,address[],address,uint256)",
    "swapExactTokensForETH(uint256,uint256,address[],address,uint256)",
    "swap(uint256,uint256,address,bytes)",
    "swap(address,bool,int256,uint160,bytes)",
    "exactInputSingle((address,address,uint24,address,uint256,uint256,uint256,uint160))",
    "exactInput((bytes,address,uint256,uint256,uint256))",
    "sync()",
    "skim(address)",
    // What tutorials and templates are full of
    "increment()",
    "decrement()",
    "inc()",
    "dec()",
    "incBy(uint256)",
    "setNumber(uint256)",
    "set(uint256)",
    "get()",
    "store(uint256)",
    "retrieve()",
    "setGreeting(string)",
    "setValue(uint256)",
    "setMessage(string)",
    "vote(uint256)",
    "claim()",
    "stake(uint256)",
    "unstake(uint256)",
    "run()",
    "reset()",
];

/// Signatures of errors: ERC-6093 and what OpenZeppelin's contracts and its like raise.
pub(super) const ERRORS: &[&str] = &[
    // ERC-6093
    "ERC20InsufficientBalance(address,uint256,uint256)",
    "ERC20InvalidSender(address)",
    "ERC20InvalidReceiver(address)",
    "ERC20InsufficientAllowance(address,uint256,uint256)",
    "ERC20InvalidApprover(address)",
    "ERC20InvalidSpender(address)",
    "ERC721InvalidOwner(address)",
    "ERC721NonexistentToken(uint256)",
    "ERC721IncorrectOwner(address,uint256,address)",
    "ERC721InvalidSender(address)",
    "ERC721InvalidReceiver(address)",
    "ERC721InsufficientApproval(address,uint256)",
    "ERC721InvalidApprover(address)",
    "ERC721InvalidOperator(address)",
    "ERC1155InsufficientBalance(address,uint256,uint256,uint256)",
    "ERC1155InvalidSender(address)",
    "ERC1155InvalidReceiver(address)",
    "ERC1155MissingApprovalForAll(address,address)",
    "ERC1155InvalidApprover(address)",
    "ERC1155InvalidOperator(address)",
    "ERC1155InvalidArrayLength(uint256,uint256)",
    // Token extensions
    "ERC20ExceededCap(uint256,uint256)",
    "ERC20InvalidCap(uint256)",
    "ERC2612ExpiredSignature(uint256)",
    "ERC2612InvalidSigner(address,address)",
    "ERC4626ExceededMaxDeposit(address,uint256,uint256)",
    "ERC4626ExceededMaxMint(address,uint256,uint256)",
    "ERC4626ExceededMaxWithdraw(address,uint256,uint256)",
    "ERC4626ExceededMaxRedeem(address,uint256,uint256)",
    "SafeERC20FailedOperation(address)",
    // Ownership, roles, pausing, initialisers, guards
    "OwnableUnauthorizedAccount(address)",
    "OwnableInvalidOwner(address)",
    "AccessControlUnauthorizedAccount(address,bytes32)",
    "AccessControlBadConfirmation()",
    "EnforcedPause()",
    "ExpectedPause()",
    "InvalidInitialization()",
    "NotInitializing()",
    "ReentrancyGuardReentrantCall()",
    "UUPSUnauthorizedCallContext()",
    "UUPSUnsupportedProxiableUUID(bytes32)",
    "ERC1967InvalidImplementation(address)",
    "ERC1967NonPayable()",
    "InvalidAccountNonce(address,uint256)",
    // Governors and timelocks
    "GovernorUnexpectedProposalState(uint256,uint8,bytes32)",
    "GovernorOnlyExecutor(address)",
    "GovernorNonexistentProposal(uint256)",
    "GovernorAlreadyCastVote(address)",
    "GovernorInsufficientProposerVotes(address,uint256,uint256)",
    "TimelockUnexpectedOperationState(bytes32,bytes32)",
    "TimelockInsufficientDelay(uint256,uint256)",
    // Libraries
    "AddressEmptyCode(address)",
    "AddressInsufficientBalance(address)",
    "FailedCall()",
    "FailedInnerCall()",
    "FailedDeployment()",
    "InsufficientBalance(uint256,uint256)",
    "ECDSAInvalidSignature()",
    "ECDSAInvalidSignatureLength(uint256)",
    "ECDSAInvalidSignatureS(bytes32)",
    "MathOverflowedMulDiv()",
    "SafeCastOverflowedUintDowncast(uint8,uint256)",
    "StringsInsufficientHexLength(uint256,uint256)",
    "CheckpointUnorderedInsertion()",
    // Common in templates
    "Unauthorized()",
    "NotOwner()",
    "InvalidAmount()",
    "InsufficientBalance()",
    "TransferFailed()",
    "ZeroAddress()",
];

/// The name of the function that calldata calls, or its selector in hex; `None` for calldata too
/// short to call one.
#[must_use]
pub fn function_name(calldata: &[u8]) -> Option<String> {
    static TABLE: OnceLock<HashMap<Selector, &str>> = OnceLock::new();
    let table = TABLE.get_or_init(|| {
        FUNCTIONS.iter().map(|signature| (Selector::from_slice(&keccak256(signature)[..4]), *signature)).collect()
    });
    let selector = calldata.first_chunk::<4>()?;
    Some(match table.get(&Selector::from(*selector)) {
        Some(signature) => signature.split_once('(').map_or(*signature, |(name, _)| name).to_owned(),
        None => hex::encode_prefixed(selector),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use alloy_dyn_abi::DynSolType;
    use std::collections::HashSet;

    #[test]
    fn selectors_that_everyone_knows() {
        let name = |calldata: &[u8]| function_name(calldata);
        assert_eq!(name(&hex!("a9059cbb00")).as_deref(), Some("transfer"));
        assert_eq!(name(&hex!("23b872dd")).as_deref(), Some("transferFrom"));
        assert_eq!(name(&hex!("095ea7b3")).as_deref(), Some("approve"));
        assert_eq!(name(&hex!("f2fde38b")).as_deref(), Some("transferOwnership"));
        assert_eq!(name(&hex!("d09de08a")).as_deref(), Some("increment"));
        assert_eq!(name(&hex!("3fb5c1cb")).as_deref(), Some("setNumber"));
        assert_eq!(name(&hex!("82ad56cb")).as_deref(), Some("aggregate3"));
        assert_eq!(name(&hex!("00000001")).as_deref(), Some("0x00000001"));
        assert_eq!(name(&hex!("a9059c")), None);
    }

    #[test]
    fn every_signature_is_canonical_and_listed_once() {
        let mut selectors = HashSet::new();
        for signature in FUNCTIONS {
            let (name, _) = signature.split_once('(').unwrap();
            let arguments = DynSolType::parse(&signature[name.len()..]).unwrap();
            // A tuple of one is written with a comma that signatures do not have.
            let canonical = arguments.sol_type_name().replace(",)", ")");
            assert_eq!(format!("{name}{canonical}"), *signature);
            let selector = Selector::from_slice(&keccak256(signature)[..4]);
            assert!(selectors.insert(selector), "{signature} twice");
        }
    }
}
