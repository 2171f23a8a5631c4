//! `config.cloister.members`: whose votes govern a confidential network.

use alloy_primitives::Address;

use super::json::{self, Object};
use super::{GenesisError, MAX_GENESIS_MEMBERS};

/// Takes the members out of the extension, and puts them in order.
pub(super) fn take(cloister: &mut Object<'_>) -> Result<Vec<Address>, GenesisError> {
    let Some(field) = cloister.take("members") else {
        return Ok(Vec::new());
    };
    let expected = || format!("a list of at most {MAX_GENESIS_MEMBERS} addresses, each once");
    let texts: Vec<String> = serde_json::from_str(field.raw.get()).map_err(|_| field.error(expected()))?;
    let members: Option<Vec<_>> = texts.iter().map(|text| json::address(text)).collect();
    let mut members = members.ok_or_else(|| field.error(expected()))?;
    members.sort_unstable();
    let is_set = members.windows(2).all(|pair| pair[0] != pair[1]) && !members.contains(&Address::ZERO);
    if members.len() > MAX_GENESIS_MEMBERS || !is_set {
        return Err(field.error(expected()));
    }
    Ok(members)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use alloy_primitives::{U256, keccak256};

    use super::*;
    use crate::{ChainSpec, Genesis, VISIBILITY_ADDRESS};

    fn parse(members: &str, rest: &str) -> Result<Genesis, GenesisError> {
        let file = format!(
            r#"{{"config":{{"chainId":5,"cloister":{{"members":{members}{rest}}}}},"gasLimit":"0x1c9c380","alloc":{{}}}}"#
        );
        Genesis::parse(&file).map(|(genesis, _)| genesis)
    }

    const CONFIDENTIAL: &str = r#","confidentiality":"on""#;

    #[test]
    fn members_stand_in_the_state_of_the_first_block() {
        let [one, two] = [1, 2].map(Address::repeat_byte);
        let genesis = parse(&format!(r#"["{two}","{one}"]"#), CONFIDENTIAL).unwrap();
        assert_eq!(genesis.config.members, [one, two]);
        let spec = ChainSpec::new(genesis).unwrap();
        let storage = &spec.genesis().alloc[&VISIBILITY_ADDRESS].storage;
        let slot = |member: Address| {
            let key = [member.into_word(), alloy_primitives::B256::with_last_byte(12)].concat();
            U256::from_be_bytes(keccak256(key).0)
        };
        let one_each = [(slot(one), U256::ONE), (slot(two), U256::ONE), (U256::from(13), U256::from(2))];
        assert_eq!(storage, &one_each.into());
        let without = ChainSpec::new(parse("[]", CONFIDENTIAL).unwrap()).unwrap();
        assert!(without.genesis().alloc[&VISIBILITY_ADDRESS].storage.is_empty());
    }

    #[test]
    fn wrong_lists_are_refused() {
        let [one, zero] = [1, 0].map(Address::repeat_byte);
        let many: Vec<_> = (1..=257_u64).map(|number| format!("\"0x{number:040x}\"")).collect();
        for wrong in [
            "5".to_owned(),
            r#"["alice"]"#.to_owned(),
            format!(r#"["{one}","{one}"]"#),
            format!(r#"["{zero}"]"#),
            format!("[{}]", many.join(",")),
        ] {
            let error = parse(&wrong, CONFIDENTIAL).unwrap_err();
            assert!(error.to_string().starts_with("config.cloister.members: expected a list"), "{error}");
        }
        let open = parse(&format!(r#"["{one}"]"#), "").unwrap_err();
        assert!(open.to_string().contains("confidential"), "{open}");
    }
}
