//! What a method takes and answers, from the one line that it is registered with.

use super::schemas::Schema;

/// One positional parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParamInfo {
    /// Its name, which also says what it is: see [`Schema::of`].
    pub name: &'static str,
    /// Whether it must be there.
    pub required: bool,
    /// What values it takes.
    pub schema: Schema,
}

/// Parameters in order, and the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// The parameters.
    pub params: Vec<ParamInfo>,
    /// What the answer is called.
    pub answer: &'static str,
    /// What the answer is.
    pub result: Schema,
}

impl Signature {
    /// Reads a line such as `address, block? -> wei`: names of parameters, optional ones ending in `?`,
    /// and after the arrow that of the answer. Without an arrow the answer is of any kind.
    #[must_use]
    pub fn parse(line: &'static str) -> Self {
        let (params, answer) = line.split_once("->").unwrap_or((line, "answer"));
        let names = params.split(',').map(str::trim).filter(|name| !name.is_empty());
        let answer = answer.trim();
        Self {
            params: names
                .map(|name| {
                    let bare = name.strip_suffix('?');
                    let (name, required) = (bare.unwrap_or(name), bare.is_none());
                    ParamInfo { name, required, schema: Schema::of(name) }
                })
                .collect(),
            answer,
            result: Schema::of(answer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_order_and_options_are_read() {
        let signature = Signature::parse("address, block? -> wei");
        let names: Vec<_> = signature.params.iter().map(|param| (param.name, param.required)).collect();
        assert_eq!(names, [("address", true), ("block", false)]);
        assert_eq!(signature.params[0].schema.name(), "Address");
        assert_eq!((signature.answer, signature.result.name()), ("wei", "Uint256"));
        let bare = Signature::parse("");
        assert!(bare.params.is_empty());
        assert_eq!(bare.result.name(), "Any");
        assert_eq!(Signature::parse("-> hash").result.name(), "Hash");
    }
}
