//! Typed views of the system contracts.
//!
//! **Duty.** What `Visibility` holds at one height, read from its storage: [`RuleTable`]s, by way of a [`RuleCache`]. The layout is that of
//! `contracts/system/Visibility.sol`; nothing here runs Solidity. Likewise who the nodes of a network are, of `contracts/system/Nodes.sol`,
//! and whether its members decided to have it go on from one node's disk.
//!
//! **Trusts.** The state view.
//!
//! **Invariants.** What is not understood admits nobody.
//!
//! **Not here.** Whether a rule admits somebody (access), and who may change one (the contract).

mod audit;
mod cache;
mod layout;
mod nodes;
mod recovery;
mod rule;
mod table;

pub use audit::{Audit, AuditUse};
pub use cache::RuleCache;
pub use nodes::{NodeStanding, RegisteredNode, nodes};
pub use recovery::{RecoveryRefusal, approve_recovery, propose_recovery};
pub use rule::{EventRule, FunctionKey, FunctionRule, MAX_TERMS, Operand, Rule, Term};
pub use table::{EventRules, Policy, RuleTable};
