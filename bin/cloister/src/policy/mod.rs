//! Policies: files that say, by the names of a contract's interface, who may see what of it.

mod change;
mod interface;

use std::collections::BTreeMap;

use serde_json::{Map, Value};

pub(crate) use change::{Change, claim};
pub(crate) use interface::Interface;
use interface::{Function, Mutability, Parameter};

/// Terms that a rule has room for.
const MAX_TERMS: usize = 7;

/// Kind and operand of one way to be admitted, as `contracts/system/Visibility.sol` numbers them.
pub(crate) type Term = [u8; 2];

const PUBLIC: Term = [1, 0];
const SESSION: Term = [2, 0];
const OWNER: Term = [4, 0];
const NOBODY: Term = [0, 0];

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
    pub(crate) events: Vec<(interface::Event, Vec<Term>)>,
    /// Of storage, code and balance.
    pub(crate) facts: [Term; 3],
}

impl Policy {
    /// Reads a policy file for a contract with this interface.
    pub(crate) fn parse(file: &Value, interface: &Interface) -> Result<Self, String> {
        let file = object(file, "the policy")?;
        only(file, "the policy", &["functions", "events", "storage", "code", "balance"])?;
        let mut named = section(file, "functions")?;
        let mut functions = Vec::new();
        for function in &interface.functions {
            let rules = take(&mut named, &function.name, &function.signature)?;
            functions.push(function_rules(function, rules)?);
        }
        let mut told = section(file, "events")?;
        let mut events = Vec::new();
        for event in &interface.events {
            if let Some(rule) = take(&mut told, &event.name, &event.signature)? {
                let what = format!("events.{}", event.name);
                events.push((event.clone(), terms(rule, &event.parameters, &what)?));
            }
        }
        if let Some(name) = named.keys().chain(told.keys()).next() {
            return Err(format!(
                "the contract's interface has no `{name}`, or more than one and none is named by signature"
            ));
        }
        let fact = |name: &str| match file.get(name) {
            None => Ok(NOBODY),
            Some(Value::String(text)) => match (text.as_str(), term(text, &[], name)?) {
                ("session", _) => Err(format!("{name}: an account's facts have no `session`")),
                (_, term) => Ok(term),
            },
            Some(_) => Err(format!("{name}: expected one term")),
        };
        Ok(Self { functions, events, facts: [fact("storage")?, fact("code")?, fact("balance")?] })
    }
}

fn function_rules(function: &Function, rules: Option<&Value>) -> Result<FunctionRules, String> {
    let mut query = Vec::new();
    let mut execute = None;
    let what = format!("functions.{}", function.name);
    if let Some(rules) = rules {
        let rules = object(rules, &what)?;
        only(rules, &what, &["query", "execute", "commitOnly"])?;
        if let Some(rule) = rules.get("query") {
            query = terms(rule, &function.parameters, &format!("{what}.query"))?;
        }
        if let Some(rule) = rules.get("execute") {
            execute = Some(terms(rule, &function.parameters, &format!("{what}.execute"))?);
        }
        let commit_only = match rules.get("commitOnly") {
            None | Some(Value::Bool(false)) => false,
            Some(Value::Bool(true)) => true,
            Some(_) => return Err(format!("{what}.commitOnly: expected true or false")),
        };
        // What a transaction of anybody's may run is the default of functions that change something.
        let execute = execute.unwrap_or_else(|| default_execute(function, &query));
        let query = if commit_only { Vec::new() } else { query };
        return Ok(FunctionRules { function: function.clone(), query, execute });
    }
    Ok(FunctionRules { function: function.clone(), execute: default_execute(function, &query), query })
}

fn default_execute(function: &Function, query: &[Term]) -> Vec<Term> {
    match function.mutability {
        Mutability::Changes => vec![PUBLIC],
        Mutability::Reads => query.to_vec(),
    }
}

/// The terms of a rule: a list, or one alone.
fn terms(rule: &Value, parameters: &[Parameter], what: &str) -> Result<Vec<Term>, String> {
    let texts = match rule {
        Value::String(_) => std::slice::from_ref(rule),
        Value::Array(texts) => texts.as_slice(),
        _ => return Err(format!("{what}: expected a list of terms")),
    };
    if texts.len() > MAX_TERMS {
        return Err(format!("{what}: at most {MAX_TERMS} terms"));
    }
    let mut terms = Vec::new();
    for text in texts {
        let text = text.as_str().ok_or_else(|| format!("{what}: expected text"))?;
        let term = term(text, parameters, what)?;
        if term != NOBODY {
            terms.push(term);
        } else if texts.len() > 1 {
            return Err(format!("{what}: `deny` stands alone"));
        }
    }
    Ok(terms)
}

fn term(text: &str, parameters: &[Parameter], what: &str) -> Result<Term, String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    match words.as_slice() {
        ["public"] => Ok(PUBLIC),
        ["session"] => Ok(SESSION),
        ["owner"] => Ok(OWNER),
        ["deny"] => Ok(NOBODY),
        ["role", number] => {
            let number = number.parse().map_err(|_| format!("{what}: `{number}` is no role from 0 to 255"))?;
            Ok([5, number])
        }
        ["caller", "==", name] => {
            let parameter = parameters.iter().find(|parameter| parameter.name == *name);
            let parameter = parameter.ok_or_else(|| format!("{what}: there is no parameter `{name}`"))?;
            let operand = parameter.operand.ok_or_else(|| format!("{what}: `{name}` is no address within reach"))?;
            Ok([3, operand])
        }
        _ => Err(format!("{what}: `{text}` is no term")),
    }
}

fn section<'a>(file: &'a Map<String, Value>, name: &str) -> Result<BTreeMap<&'a str, &'a Value>, String> {
    match file.get(name) {
        None => Ok(BTreeMap::new()),
        Some(rules) => Ok(object(rules, name)?.iter().map(|(name, rules)| (name.as_str(), rules)).collect()),
    }
}

/// What is said of a function or event by its signature, or by a name that only it has.
fn take<'a>(said: &mut BTreeMap<&'a str, &'a Value>, name: &str, signature: &str) -> Result<Option<&'a Value>, String> {
    match (said.remove(name), said.remove(signature)) {
        (Some(_), Some(_)) => Err(format!("`{name}` is named twice")),
        (one, other) => Ok(one.or(other)),
    }
}

fn object<'a>(value: &'a Value, what: &str) -> Result<&'a Map<String, Value>, String> {
    value.as_object().ok_or_else(|| format!("{what}: expected an object"))
}

fn only(object: &Map<String, Value>, what: &str, known: &[&str]) -> Result<(), String> {
    match object.keys().find(|name| !known.contains(&name.as_str())) {
        Some(name) => Err(format!("{what}: `{name}` is not known here")),
        None => Ok(()),
    }
}

/// A rule as a person reads it.
pub(crate) fn words(terms: &[Term], parameters: &[Parameter]) -> String {
    let word = |term: &Term| match term {
        [1, _] => "public".to_owned(),
        [2, _] => "session".to_owned(),
        [3, operand] => {
            let named = parameters.iter().find(|parameter| parameter.operand == Some(*operand));
            named.map_or_else(|| format!("caller == word {operand}"), |named| format!("caller == {}", named.name))
        }
        [4, _] => "owner".to_owned(),
        [5, role] => format!("role {role}"),
        _ => "deny".to_owned(),
    };
    if terms.is_empty() { "deny".to_owned() } else { terms.iter().map(word).collect::<Vec<_>>().join(" or ") }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
