//! `cloister.toml`: what `cloister node` takes as flags, in a file, and the network between nodes.
//!
//! A flag's key is its long name with `_` for `-`. The command line wins, over keys that contradict it as well. Paths start
//! at the folder of the file.

mod network;

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use clap::{Arg, ArgAction, ArgMatches, Command, ValueHint, parser::ValueSource};
use cloister_node::{ExitCode, NetworkConfig};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use crate::{commands::network as network_flags, failure::Failure};

/// Largest configuration file that is read, in bytes.
const MAX_FILE_BYTES: u64 = 1024 * 1024;
/// The flag that names the file: a file cannot name another.
pub(crate) const FLAG: &str = "config";

/// What a configuration file says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ConfigFile {
    /// Flags for what the command line leaves open.
    pub(crate) flags: Vec<OsString>,
    /// The network between nodes, if the node is part of one.
    pub(crate) network: Option<NetworkConfig>,
}

/// One key that is a flag.
struct Setting<'a> {
    key: &'a str,
    line: usize,
    arg: &'a Arg,
    flag: OsString,
}

impl ConfigFile {
    /// Reads a file for a command that was `given` some of its flags.
    ///
    /// # Errors
    /// One sentence that names the line and what to change there.
    pub(crate) fn read(path: &Path, command: &Command, given: &ArgMatches) -> Result<Self, Failure> {
        let failed = |what: String| {
            let message = format!("cannot read the configuration file {}: {what}", path.display());
            Failure::new(ExitCode::Genesis, message)
        };
        let size = fs::metadata(path).map_err(|error| failed(error.to_string()))?.len();
        if size > MAX_FILE_BYTES {
            return Err(failed(format!("it has more than {MAX_FILE_BYTES} bytes")));
        }
        let text = fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
        Source { path, text: &text }.parse(command, given)
    }
}

/// A file while it is understood.
struct Source<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Source<'_> {
    fn parse(&self, command: &Command, given: &ArgMatches) -> Result<ConfigFile, Failure> {
        let table = DeTable::parse(self.text).map_err(|error| self.toml_error(&error))?;
        let mut settings = Vec::new();
        for (key, value) in table.get_ref() {
            if !network::KEYS.contains(&key.get_ref().as_ref()) {
                settings.push(self.setting(command, key, value)?);
            }
        }
        settings.sort_by_key(|setting| setting.line);
        self.check_contradictions(command, &settings)?;
        let is_given = |arg: &Arg| given.value_source(arg.get_id().as_str()) == Some(ValueSource::CommandLine);
        let given_args: Vec<_> = command.get_arguments().filter(|arg| is_given(arg)).collect();
        let is_open = |setting: &Setting<'_>| {
            given_args.iter().all(|arg| arg.get_id() != setting.arg.get_id() && !excludes(command, arg, setting.arg))
        };
        let flags = settings.into_iter().filter(is_open).map(|setting| setting.flag);
        let flags = flags.filter(|flag| !flag.is_empty()).collect();
        Ok(ConfigFile { flags, network: network::read(self)? })
    }

    /// The flag that a key stands for.
    fn setting<'a>(
        &self,
        command: &'a Command,
        key: &'a Spanned<impl AsRef<str>>,
        value: &Spanned<DeValue<'_>>,
    ) -> Result<Setting<'a>, Failure> {
        let line = self.line(key.span().start);
        let key = key.get_ref().as_ref();
        let arg = keys(command).find(|(name, _)| name == key).map(|(_, arg)| arg);
        let Some(arg) = arg else {
            let mut known: Vec<_> = keys(command).map(|(name, _)| name).collect();
            known.extend(network::KEYS.map(ToOwned::to_owned));
            known.sort();
            return Err(self.error(line, format!("there is no key {key}; the keys are {}", known.join(", "))));
        };
        let name = arg.get_long().unwrap_or_default();
        let is_switch = matches!(arg.get_action(), ArgAction::SetTrue);
        let text = match value.get_ref() {
            DeValue::Boolean(on) if is_switch => {
                let flag = format!("--{name}").into();
                // Off is what a switch is by default; it still excludes nothing.
                return Ok(Setting { key, line, arg, flag: if *on { flag } else { OsString::new() } });
            }
            _ if is_switch => return Err(self.error(line, format!("{key} is true or false"))),
            DeValue::String(text) => text.clone().into_owned(),
            DeValue::Integer(number) => number.to_string(),
            DeValue::Float(number) => number.to_string(),
            _ => {
                return Err(self.error(line, format!("{key} is a number or a text in quotes")));
            }
        };
        let mut flag = OsString::from(format!("--{name}="));
        if arg.get_value_hint() == ValueHint::AnyPath {
            flag.push(self.resolve(Path::new(&text)));
        } else {
            flag.push(text);
        }
        // By itself, so that what is wrong with it is found at its line.
        if let Err(error) = command.clone().try_get_matches_from([OsString::from("node"), flag.clone()]) {
            return Err(self.error(line, format!("{key}: {}", sentence(&error))));
        }
        Ok(Setting { key, line, arg, flag })
    }

    fn check_contradictions(&self, command: &Command, settings: &[Setting<'_>]) -> Result<(), Failure> {
        let set: Vec<_> = settings.iter().filter(|setting| !setting.flag.is_empty()).collect();
        for (index, later) in set.iter().enumerate() {
            if let Some(earlier) = set[..index].iter().find(|earlier| excludes(command, earlier.arg, later.arg)) {
                let message =
                    format!("{} contradicts {} in line {}: take one of them out", later.key, earlier.key, earlier.line);
                return Err(self.error(later.line, message));
            }
        }
        Ok(())
    }

    /// A path of the file: relative ones start at its folder.
    fn resolve(&self, path: &Path) -> PathBuf {
        // Without a dot that stands for the folder itself.
        self.path.parent().unwrap_or(Path::new("")).join(path).components().collect()
    }

    /// The line of a byte, from 1.
    fn line(&self, at: usize) -> usize {
        1 + self.text.bytes().take(at).filter(|byte| *byte == b'\n').count()
    }

    fn error(&self, line: usize, what: impl core::fmt::Display) -> Failure {
        Failure::new(ExitCode::Genesis, format!("{}, line {line}: {what}", self.path.display()))
    }

    fn toml_error(&self, error: &toml::de::Error) -> Failure {
        let line = self.line(error.span().map_or(0, |span| span.start));
        self.error(line, error.message())
    }
}

/// The keys that are flags of a command.
fn keys(command: &Command) -> impl Iterator<Item = (String, &Arg)> {
    let is_key = |id: &str| !matches!(id, FLAG | "help" | "version") && !network_flags::IDS.contains(&id);
    let flags = command.get_arguments().filter(move |arg| is_key(arg.get_id().as_str()));
    flags.filter_map(|arg| Some((arg.get_long()?.replace('-', "_"), arg)))
}

/// Whether one flag says that it does not go with the other.
fn excludes(command: &Command, one: &Arg, other: &Arg) -> bool {
    let says = |one: &Arg, other: &Arg| {
        command.get_arg_conflicts_with(one).iter().any(|excluded| excluded.get_id() == other.get_id())
    };
    says(one, other) || says(other, one)
}

/// What the parser of flags says of a value, in one line.
fn sentence(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let lines = text.lines().take_while(|line| !line.is_empty()).map(str::trim);
    let joined = lines.collect::<Vec<_>>().join(" ");
    joined.strip_prefix("error: ").unwrap_or(&joined).to_owned()
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
