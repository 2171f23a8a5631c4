//! What a policy means, told by who asks.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use alloy_primitives::hex;

use super::interface::{Function, Mutability, Parameter};
use super::{ARGUMENT, AUDITOR, CUSTOM, FunctionRules, NOBODY, OWNER, PUBLIC, Policy, ROLE, SESSION, Term};

/// Per function and event, who sees and learns what.
pub(crate) fn explain(policy: &Policy) -> String {
    let mut text = String::new();
    for rules in &policy.functions {
        // Writing to a string does not fail.
        let _ = write!(text, "{}", function(rules, policy));
    }
    text.push_str("Logs are shown to:\n");
    for (event, rule) in &policy.events {
        let _ = writeln!(text, "  {}\n    {}", event.signature, words(rule, &event.parameters, policy));
    }
    text.push_str("  any other event: the accounts in its indexed topics\n");
    for (name, term) in ["storage", "code", "balance"].into_iter().zip(&policy.facts) {
        let _ = writeln!(text, "{name}: {}", words(&[*term], &[], policy));
    }
    text.push_str(
        "A query that is refused answers NotAuthorized(), whatever is there. Who sends a transaction learns whether it\n\
         succeeded; a contract that runs a function in one learns what it returns or reverts with.\n",
    );
    text
}

fn function(rules: &FunctionRules, policy: &Policy) -> String {
    let FunctionRules { function, query, execute } = rules;
    let mut text = format!("{}{}\n", function.signature, selector(function));
    let _ = writeln!(text, "  query    {}", words(query, &function.parameters, policy));
    let _ = writeln!(text, "  execute  {}", words(execute, &function.parameters, policy));
    for (who, is_asking, is_running) in callers(rules, policy) {
        let _ = writeln!(text, "    {who}: {}", learns(function, is_asking, is_running));
    }
    // Audits are not about transactions.
    if query.contains(&AUDITOR) {
        let _ = writeln!(text, "    auditor: asks, of the blocks of his audit: learns {}", returned(function));
    }
    text
}

fn selector(function: &Function) -> String {
    match function.name.as_str() {
        "receive" | "fallback" => String::new(),
        _ => format!("  {}", hex::encode_prefixed(&function.key[..4])),
    }
}

/// Each kind of caller that the rules tell apart, and whether the queries and the frames of it are admitted.
fn callers(rules: &FunctionRules, policy: &Policy) -> Vec<(String, bool, bool)> {
    let (query, execute) = (&rules.query, &rules.execute);
    let named: BTreeSet<Term> = query.iter().chain(execute).copied().filter(|term| is_of_some(*term)).collect();
    let everyone = |rule: &[Term]| rule.contains(&PUBLIC);
    let signed = |rule: &[Term]| everyone(rule) || rule.contains(&SESSION);
    let mut callers = vec![
        ("anonymous".to_owned(), everyone(query), false),
        ("signed in".to_owned(), signed(query), signed(execute)),
        ("another contract".to_owned(), false, everyone(execute)),
        ("owner".to_owned(), signed(query) || query.contains(&OWNER), signed(execute) || execute.contains(&OWNER)),
    ];
    for term in named {
        let who = match term {
            [ARGUMENT, _] => format!("who stands there ({})", words(&[term], &rules.function.parameters, policy)),
            _ => words(&[term], &rules.function.parameters, policy),
        };
        callers.push((who, signed(query) || query.contains(&term), signed(execute) || execute.contains(&term)));
    }
    callers
}

const fn is_of_some(term: Term) -> bool {
    matches!(term, [ARGUMENT | ROLE | CUSTOM, _])
}

fn learns(function: &Function, is_asking: bool, is_running: bool) -> String {
    let returned = returned(function);
    match (is_asking, is_running, function.mutability) {
        (false, false, _) => "nothing".to_owned(),
        (true, false, _) => format!("asks, learns {returned}"),
        (false, true, Mutability::Reads) => format!("has transactions read, learns {returned}"),
        (false, true, Mutability::Changes) => format!("runs it in transactions; a contract learns {returned}"),
        (true, true, Mutability::Reads) => format!("asks and has transactions read, learns {returned}"),
        (true, true, Mutability::Changes) => format!("runs it, and asks what would come of it: {returned}"),
    }
}

fn returned(function: &Function) -> String {
    match function.returns.as_slice() {
        [] => "whether it reverts, and with what".to_owned(),
        types => format!("({}), or what it reverts with", types.join(", ")),
    }
}

/// What the owner may not have meant.
pub(crate) fn warnings(policy: &Policy) -> Vec<String> {
    let reaches_owner = |rule: &[Term]| rule.iter().any(|term| [PUBLIC, SESSION, OWNER].contains(term));
    let mut warnings = Vec::new();
    let mut asked = policy.functions.iter().map(|rules| &rules.query);
    if !policy.functions.is_empty() && !asked.any(|rule| reaches_owner(rule)) {
        warnings.push("no query rule admits the owner of the rules as such: he locks himself out".to_owned());
    }
    for FunctionRules { function, execute, .. } in &policy.functions {
        if function.mutability == Mutability::Changes && execute.is_empty() {
            warnings.push(format!("nobody, the owner included, can run {} in a transaction", function.signature));
        }
    }
    for (event, rule) in &policy.events {
        if rule.is_empty() {
            warnings.push(format!("nobody, the owner included, is shown logs of {}", event.signature));
        }
    }
    warnings
}

/// A rule as a person reads it.
pub(crate) fn words(terms: &[Term], parameters: &[Parameter], policy: &Policy) -> String {
    let word = |term: &Term| match *term {
        PUBLIC => "public".to_owned(),
        SESSION => "session".to_owned(),
        OWNER => "owner".to_owned(),
        AUDITOR => "auditor".to_owned(),
        [ARGUMENT, operand] => {
            let named = parameters.iter().find(|parameter| parameter.operand == Some(operand));
            named.map_or_else(|| format!("caller == word {operand}"), |named| format!("caller == {}", named.name))
        }
        [ROLE, role] => format!("role {role}"),
        [CUSTOM, number] => {
            let judge = policy.judges.get(usize::from(number));
            judge.map_or_else(|| format!("custom {number}"), |judge| format!("custom {judge}"))
        }
        NOBODY | [_, _] => "deny".to_owned(),
    };
    if terms.is_empty() { "deny".to_owned() } else { terms.iter().map(word).collect::<Vec<_>>().join(" or ") }
}
