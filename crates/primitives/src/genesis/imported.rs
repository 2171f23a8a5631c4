//! The mark of a chain whose blocks are imported.

use std::collections::BTreeMap;

use serde_json::value::{RawValue, to_raw_value};

use super::{Genesis, GenesisError};
use crate::spec::ChainSpec;

type Object = BTreeMap<String, Box<RawValue>>;

/// The same genesis with the mark that its chain is imported (`config.cloister.imported`); all else stays as it is
/// written.
///
/// # Errors
/// If the genesis cannot be used, or has rules of our own that Ethereum's blocks do not follow.
pub fn mark_imported(json: &str) -> Result<String, GenesisError> {
    let (mut genesis, _) = Genesis::parse(json)?;
    if genesis.config.cloister.imported {
        return Ok(json.to_owned());
    }
    genesis.config.cloister.imported = true;
    ChainSpec::new(genesis)?;
    marked(json).map_err(|_| GenesisError::Missing {
        path: "config".to_owned(),
        expected: "an object with chainId and the forks",
    })
}

fn marked(json: &str) -> serde_json::Result<String> {
    let inner = |object: &Object, key: &str| -> serde_json::Result<Object> {
        object.get(key).map_or_else(|| Ok(Object::new()), |value| serde_json::from_str(value.get()))
    };
    let mut file: Object = serde_json::from_str(json)?;
    let mut config = inner(&file, "config")?;
    let mut ours = inner(&config, "cloister")?;
    ours.insert("imported".to_owned(), to_raw_value(&true)?);
    config.insert("cloister".to_owned(), to_raw_value(&ours)?);
    file.insert("config".to_owned(), to_raw_value(&config)?);
    serde_json::to_string(&file)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_leaves_everything_else_as_it_was() {
        let json = r#"{"config":{"chainId":77,"terminalTotalDifficulty":58750000000000000000000},
            "gasLimit":"0x1388","difficulty":"0x20000","alloc":{}}"#;
        let marked = mark_imported(json).unwrap();
        assert!(marked.contains("58750000000000000000000"), "{marked}");
        let (mut genesis, _) = Genesis::parse(&marked).unwrap();
        assert!(core::mem::take(&mut genesis.config.cloister.imported));
        assert!(genesis == Genesis::parse(json).unwrap().0);
        assert_eq!(mark_imported(&marked).unwrap(), marked);
        let own = json.replace("\"chainId\":77", "\"chainId\":77,\"cloister\":{\"development\":true}");
        let error = mark_imported(&own).unwrap_err().to_string();
        assert!(error.starts_with("config.cloister.development: "), "{error}");
    }
}
