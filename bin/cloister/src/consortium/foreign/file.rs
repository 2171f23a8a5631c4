//! A genesis file taken apart as far as its keys have to be looked at, and put together again.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_json::{
    Value,
    value::{RawValue, to_raw_value},
};

use super::Report;
use crate::failure::Failure;
use cloister_node::ExitCode;

/// An object whose values stay as they are written: numbers may be larger than any of ours.
pub(super) type Object = BTreeMap<String, Box<RawValue>>;

/// Keys of accounts that are remarks.
const REMARKS: [&str; 2] = ["comment", "privateKey"];

/// A genesis file.
#[derive(Debug)]
pub(super) struct File {
    top: Object,
    /// The object `config`.
    pub(super) config: Object,
}

impl File {
    pub(super) fn read(json: &str) -> Result<Self, Failure> {
        let mut top: Object = object("the file", json)?;
        if !top.contains_key("config") && top.contains_key("genesis") && top.contains_key("blockchain") {
            let message = "this is the input of `besu operator generate-blockchain-config`: import the genesis.json that \
                           it writes";
            return Err(Failure::new(ExitCode::Genesis, message));
        }
        let config = match top.remove("config") {
            Some(config) => object("config", config.get())?,
            None => Object::new(),
        };
        Ok(Self { top, config })
    }

    /// The file with what is left of it.
    pub(super) fn write(&self) -> Result<String, Failure> {
        let mut top = self.top.clone();
        let config = to_raw_value(&self.config).map_err(|error| unusable("config", &error))?;
        top.insert("config".to_owned(), config);
        serde_json::to_string(&top).map_err(|error| unusable("the file", &error))
    }

    /// Whether a key of `config` is `true`.
    pub(super) fn flag(&self, key: &str) -> bool {
        self.config.get(key).is_some_and(|value| value.get() == "true")
    }

    /// An object of `config`.
    pub(super) fn section(&self, key: &str) -> Option<BTreeMap<String, Value>> {
        serde_json::from_str(self.config.get(key)?.get()).ok()
    }

    /// Takes a key out of `config`; `null` counts as absent.
    ///
    /// # Errors
    /// If its value is of another kind.
    pub(super) fn take<T: DeserializeOwned>(&mut self, key: &str, expected: &str) -> Result<Option<T>, Failure> {
        let Some(value) = self.config.remove(key) else {
            return Ok(None);
        };
        serde_json::from_str(value.get()).map_err(|_| {
            let message = format!("the genesis cannot be used: config.{key}: expected {expected}");
            Failure::new(ExitCode::Genesis, message)
        })
    }

    /// Sets a key of `config`.
    ///
    /// # Errors
    /// None that is known of: a number can be written.
    pub(super) fn set(&mut self, key: &str, value: u64) -> Result<(), Failure> {
        let value = to_raw_value(&value).map_err(|error| unusable("config", &error))?;
        self.config.insert(key.to_owned(), value);
        Ok(())
    }

    /// The base fee of the header, if it has one.
    pub(super) fn base_fee(&self) -> Option<u64> {
        let value: Value = serde_json::from_str(self.top.get("baseFeePerGas")?.get()).ok()?;
        let Some(text) = value.as_str() else { return value.as_u64() };
        match text.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16).ok(),
            None => text.parse().ok(),
        }
    }

    /// Takes the remarks out of the accounts.
    pub(super) fn drop_remarks(&mut self, report: &mut Report) {
        let Some(alloc) = self.top.get("alloc") else { return };
        // Whatever is wrong with it is said by the parser.
        let Ok(mut accounts) = serde_json::from_str::<BTreeMap<String, Object>>(alloc.get()) else { return };
        let (mut comments, mut keys) = (0, 0);
        for account in accounts.values_mut() {
            let [comment, key] = REMARKS.map(|remark| usize::from(account.remove(remark).is_some()));
            (comments, keys) = (comments + comment, keys + key);
        }
        let Ok(alloc) = to_raw_value(&accounts) else { return };
        self.top.insert("alloc".to_owned(), alloc);
        if comments > 0 {
            report.ignore(format!("alloc: comments on accounts ({comments})"));
        }
        if keys > 0 {
            report.ignore(format!("alloc: private keys of accounts ({keys})"));
            report.open("accounts: the file has private keys of some: whoever has read it owns those");
        }
    }
}

fn object(what: &str, json: &str) -> Result<Object, Failure> {
    serde_json::from_str(json).map_err(|_| {
        let message = format!("the genesis cannot be used: {what}: expected an object");
        Failure::new(ExitCode::Genesis, message)
    })
}

fn unusable(what: &str, error: &serde_json::Error) -> Failure {
    Failure::new(ExitCode::Genesis, format!("the genesis cannot be used: {what}: {error}"))
}
