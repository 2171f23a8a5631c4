//! Policies: files that say, by the names of a contract's interface, who may see what of it.

mod change;
mod explain;
mod file;
mod interface;
mod kept;

use alloy_primitives::Address;
use serde_json::Value;

pub(crate) use change::{Audit, Change, Creation};
pub(crate) use explain::{explain, warnings};
use file::{Members, Refused, Said};
pub(crate) use interface::Interface;
use interface::{Event, Function, Mutability, Parameter};
pub(crate) use kept::{Kept, read_rules};

/// Terms that a rule has room for.
const MAX_TERMS: usize = 7;

/// Judges that terms can number.
const MAX_JUDGES: usize = 256;

/// What a name ends with that not every contract of the kind has.
const OPTIONAL: char = '?';

/// Kind and operand of one way to be admitted, as `contracts/system/Visibility.sol` numbers them.
pub(crate) type Term = [u8; 2];

const PUBLIC: Term = [1, 0];
const SESSION: Term = [2, 0];
const OWNER: Term = [4, 0];
const NOBODY: Term = [0, 0];
const ARGUMENT: u8 = 3;
const ROLE: u8 = 5;
const CUSTOM: u8 = 6;
const AUDITOR: Term = [7, 0];

/// Both rules of a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FunctionRules {
    pub(crate) function: Function,
    pub(crate) query: Vec<Term>,
    pub(crate) execute: Vec<Term>,
}

/// A policy for one interface: every function has its rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Policy {
    pub(crate) functions: Vec<FunctionRules>,
    pub(crate) events: Vec<(Event, Vec<Term>)>,
    /// Of storage, code and balance.
    pub(crate) facts: [Term; 3],
    /// Contracts that custom terms number.
    pub(crate) judges: Vec<Address>,
}

/// What may stand in a rule.
struct Place<'a> {
    parameters: &'a [Parameter],
    /// `functions.NAME.query`.
    what: String,
    /// `None` where no contract is asked.
    judges: Option<&'a mut Vec<Address>>,
}

impl Policy {
    /// Reads a policy file for a contract with this interface.
    pub(crate) fn parse(text: &str, interface: &Interface) -> Result<Self, Refused> {
        let file = Said::file(text)?;
        let members = file.known_members("the policy", &["functions", "events", "storage", "code", "balance"])?;
        let mut judges = Vec::new();
        let mut named = section(&members, "functions")?;
        let mut functions = Vec::new();
        for function in &interface.functions {
            let rules = take(&mut named, &function.name, &function.signature)?;
            functions.push(function_rules(function, rules, &mut judges)?);
        }
        let mut told = section(&members, "events")?;
        let mut events = Vec::new();
        for event in &interface.events {
            if let Some(rule) = take(&mut told, &event.name, &event.signature)? {
                let what = format!("events.{}", event.name);
                events.push((event.clone(), terms(rule, Place { parameters: &event.parameters, what, judges: None })?));
            }
        }
        let is_required = |(name, _): &(String, Said<'_>)| !name.ends_with(OPTIONAL);
        if let Some((name, said)) = named.into_iter().chain(told).find(is_required) {
            return Err(said.refused(format!(
                "the contract's interface has no `{name}`, or more than one and none is named by signature"
            )));
        }
        let facts = [fact(&members, "storage")?, fact(&members, "code")?, fact(&members, "balance")?];
        Ok(Self { functions, events, facts, judges })
    }
}

/// The term of one of an account's facts.
fn fact(members: &Members<'_>, name: &str) -> Result<Term, Refused> {
    let Some((_, said)) = members.iter().find(|(other, _)| other == name) else { return Ok(NOBODY) };
    let Value::String(text) = said.value() else {
        return Err(said.refused(format!("{name}: expected one term")));
    };
    match term(&text, &mut Place { parameters: &[], what: name.to_owned(), judges: None }) {
        Ok(SESSION) => Err(said.refused(format!("{name}: an account's facts have no `session`"))),
        Ok(term) => Ok(term),
        Err(reason) => Err(said.refused(reason)),
    }
}

fn function_rules(
    function: &Function,
    rules: Option<Said<'_>>,
    judges: &mut Vec<Address>,
) -> Result<FunctionRules, Refused> {
    let what = format!("functions.{}", function.name);
    let members = match &rules {
        Some(rules) => rules.known_members(&what, &["query", "execute", "commitOnly"])?,
        None => Vec::new(),
    };
    let (mut query, mut execute, mut is_commit_only) = (Vec::new(), None, false);
    for (name, said) in members {
        let mut rule = |said| {
            let what = format!("{what}.{name}");
            terms(said, Place { parameters: &function.parameters, what, judges: Some(&mut *judges) })
        };
        match (name.as_str(), said.value()) {
            ("query", _) => query = rule(said)?,
            ("execute", _) => execute = Some(rule(said)?),
            (_, Value::Bool(given)) => is_commit_only = given,
            _ => return Err(said.refused(format!("{what}.commitOnly: expected true or false"))),
        }
    }
    // What a transaction of anybody's may run is the default of functions that change something.
    let execute = execute.unwrap_or_else(|| default_execute(function, &query));
    let query = if is_commit_only { Vec::new() } else { query };
    Ok(FunctionRules { function: function.clone(), query, execute })
}

fn default_execute(function: &Function, query: &[Term]) -> Vec<Term> {
    match function.mutability {
        Mutability::Changes => vec![PUBLIC],
        Mutability::Reads => query.to_vec(),
    }
}

/// The terms of a rule: a list, or one alone.
fn terms(rule: Said<'_>, mut place: Place<'_>) -> Result<Vec<Term>, Refused> {
    let texts = rule.elements();
    if texts.len() > MAX_TERMS {
        return Err(rule.refused(format!("{}: at most {MAX_TERMS} terms", place.what)));
    }
    let mut terms = Vec::new();
    for said in &texts {
        let Value::String(text) = said.value() else {
            return Err(said.refused(format!("{}: expected a list of terms", place.what)));
        };
        let term = term(&text, &mut place).map_err(|reason| said.refused(reason))?;
        if term != NOBODY {
            terms.push(term);
        } else if texts.len() > 1 {
            return Err(said.refused(format!("{}: `deny` stands alone", place.what)));
        }
    }
    Ok(terms)
}

fn term(text: &str, place: &mut Place<'_>) -> Result<Term, String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let what = &place.what;
    match words.as_slice() {
        ["public"] => Ok(PUBLIC),
        ["session"] => Ok(SESSION),
        ["owner"] => Ok(OWNER),
        ["auditor"] => Ok(AUDITOR),
        ["deny"] => Ok(NOBODY),
        ["role", number] => {
            let number = number.parse().map_err(|_| format!("{what}: `{number}` is no role from 0 to 255"))?;
            Ok([ROLE, number])
        }
        ["caller", "==", name] => {
            let parameter = place.parameters.iter().find(|parameter| parameter.name == *name);
            let parameter = parameter.ok_or_else(|| format!("{what}: there is no parameter `{name}`"))?;
            let operand = parameter.operand.ok_or_else(|| format!("{what}: `{name}` is no address within reach"))?;
            Ok([ARGUMENT, operand])
        }
        ["custom", judge] => {
            let judge = judge.parse().map_err(|_| format!("{what}: `{judge}` is no address of a contract"))?;
            let judges = place.judges.as_mut().ok_or_else(|| format!("{what}: no contract is asked about this"))?;
            Ok([CUSTOM, number_of(judge, judges).ok_or_else(|| format!("{what}: at most {MAX_JUDGES} judges"))?])
        }
        _ => Err(format!("{what}: `{text}` is no term")),
    }
}

/// What a judge is numbered; `None` where there are too many.
fn number_of(judge: Address, judges: &mut Vec<Address>) -> Option<u8> {
    let number = judges.iter().position(|other| *other == judge).unwrap_or_else(|| {
        judges.push(judge);
        judges.len() - 1
    });
    u8::try_from(number).ok()
}

fn section<'a>(members: &Members<'a>, name: &str) -> Result<Members<'a>, Refused> {
    match members.iter().find(|(other, _)| other == name) {
        None => Ok(Vec::new()),
        Some((_, said)) => said.members(name),
    }
}

/// What is said of a function or event by its signature, or by a name that only it has.
fn take<'a>(said: &mut Members<'a>, name: &str, signature: &str) -> Result<Option<Said<'a>>, Refused> {
    let mut found = said.extract_if(.., |(given, _)| {
        let given = given.strip_suffix(OPTIONAL).unwrap_or(given);
        given == name || given == signature
    });
    let first = found.next();
    match found.next() {
        Some((_, again)) => Err(again.refused(format!("`{name}` is named twice"))),
        None => Ok(first.map(|(_, said)| said)),
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
