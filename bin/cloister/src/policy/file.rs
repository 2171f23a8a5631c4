//! What stands in a policy file, and on which line.

use std::fmt;

use serde::Deserialize as _;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

/// Why a policy file is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    /// Counted from 1; `None` where the file is not to blame.
    pub(crate) line: Option<usize>,
    pub(crate) reason: String,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "line {line}: {}", self.reason),
            None => f.write_str(&self.reason),
        }
    }
}

/// A value of the file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Said<'a> {
    file: &'a str,
    value: &'a str,
}

/// Members of an object in their order, each name once.
pub(crate) type Members<'a> = Vec<(String, Said<'a>)>;

impl<'a> Said<'a> {
    /// The whole of a file.
    pub(crate) fn file(text: &'a str) -> Result<Self, Refused> {
        serde_json::from_str::<IgnoredAny>(text)
            .map_err(|error| Refused { line: Some(error.line()), reason: format!("not JSON: {error}") })?;
        Ok(Self { file: text, value: text.trim() })
    }

    /// A refusal of this.
    pub(crate) fn refused(&self, reason: impl Into<String>) -> Refused {
        let before = (self.value.as_ptr() as usize).saturating_sub(self.file.as_ptr() as usize);
        let lines = self.file.bytes().take(before).filter(|byte| *byte == b'\n').count();
        Refused { line: Some(lines + 1), reason: reason.into() }
    }

    /// What it says.
    pub(crate) fn value(&self) -> Value {
        // The file was read as a whole, and this is a part of it.
        serde_json::from_str(self.value).unwrap_or_default()
    }

    /// What an object says; `what` is what it should be one of.
    pub(crate) fn members(&self, what: &str) -> Result<Members<'a>, Refused> {
        let members: Vec<(String, &'a RawValue)> = serde_json::Deserializer::from_str(self.value)
            .deserialize_map(InOrder)
            .map_err(|_| self.refused(format!("{what}: expected an object")))?;
        let mut said: Members<'a> = Vec::new();
        for (name, value) in members {
            let value = Self { file: self.file, value: value.get() };
            if said.iter().any(|(other, _)| *other == name) {
                return Err(value.refused(format!("{what}: `{name}` is there twice")));
            }
            said.push((name, value));
        }
        Ok(said)
    }

    /// The same, of these names only.
    pub(crate) fn known_members(&self, what: &str, known: &[&str]) -> Result<Members<'a>, Refused> {
        let members = self.members(what)?;
        match members.iter().find(|(name, _)| !known.contains(&name.as_str())) {
            Some((name, value)) => Err(value.refused(format!("{what}: `{name}` is not known here"))),
            None => Ok(members),
        }
    }

    /// The elements of a list; it alone where it is none.
    pub(crate) fn elements(&self) -> Vec<Self> {
        let elements = <Vec<&'a RawValue>>::deserialize(&mut serde_json::Deserializer::from_str(self.value));
        match elements {
            Ok(elements) => elements.into_iter().map(|value| Self { file: self.file, value: value.get() }).collect(),
            Err(_) => vec![*self],
        }
    }
}

/// Serde's maps forget the order, and all but one of members of the same name.
struct InOrder;

impl<'de> Visitor<'de> for InOrder {
    type Value = Vec<(String, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(members)
    }
}
