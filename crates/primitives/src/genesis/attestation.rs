//! `config.cloister.attestation`: on which platforms the network's enclaves run, and which programs they are.

use core::fmt;

use alloy_primitives::FixedBytes;
use serde::{Deserialize, Serialize};

use super::json::{Field, Object, Warnings};
use super::{CloisterConfig, GenesisError};

/// Most measurements that a genesis lists.
const MAX_MEASUREMENTS: usize = 64;

/// A kind of machine whose evidence a network takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PlatformName {
    /// No hardware: evidence in the true format, under a root whose key everybody has.
    Virtual,
    /// Intel TDX.
    Tdx,
}

impl PlatformName {
    const ALL: [Self; 2] = [Self::Virtual, Self::Tdx];

    /// Its name in files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Virtual => "virtual",
            Self::Tdx => "tdx",
        }
    }
}

impl fmt::Display for PlatformName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a platform measures of a program: a SHA-384 digest.
pub type MeasuredDigest = FixedBytes<48>;

/// A program, by what its platform measures when it starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "MeasurementJson", from = "MeasurementJson")]
pub struct Measurement {
    /// Of the trust domain as it was built (MRTD).
    pub mrtd: MeasuredDigest,
    /// Registers that are extended at run time (RTMR 0 to 3); absent ones are not looked at.
    pub rtmrs: [Option<MeasuredDigest>; 4],
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct MeasurementJson {
    mrtd: MeasuredDigest,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rtmr0: Option<MeasuredDigest>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rtmr1: Option<MeasuredDigest>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rtmr2: Option<MeasuredDigest>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rtmr3: Option<MeasuredDigest>,
}

impl From<MeasurementJson> for Measurement {
    fn from(json: MeasurementJson) -> Self {
        Self { mrtd: json.mrtd, rtmrs: [json.rtmr0, json.rtmr1, json.rtmr2, json.rtmr3] }
    }
}

impl From<Measurement> for MeasurementJson {
    fn from(measurement: Measurement) -> Self {
        let [rtmr0, rtmr1, rtmr2, rtmr3] = measurement.rtmrs;
        Self { mrtd: measurement.mrtd, rtmr0, rtmr1, rtmr2, rtmr3 }
    }
}

/// On which platforms the network's enclaves run, and which programs they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attestation {
    /// `"platforms"`: at least one.
    pub platforms: Vec<PlatformName>,
    /// `"measurements"`: the programs at the start; none for any program, which hardware may not have.
    pub measurements: Vec<Measurement>,
}

impl Default for Attestation {
    /// Where genesis says nothing: any program, without hardware.
    fn default() -> Self {
        Self { platforms: vec![PlatformName::Virtual], measurements: Vec::new() }
    }
}

/// Takes the key `attestation`.
pub(super) fn take(cloister: &mut Object<'_>, warnings: &mut Warnings) -> Result<Option<Attestation>, GenesisError> {
    const PLATFORMS: &str = "a list of \"virtual\" and \"tdx\"";
    const MEASUREMENTS: &str = "a list of objects with \"mrtd\", and \"rtmr0\" to \"rtmr3\" where they matter, of 48 \
                                bytes each in hexadecimal with 0x";
    let Some(field) = cloister.take("attestation") else {
        return Ok(None);
    };
    let mut object = field.object()?;
    let field = object.require("platforms", PLATFORMS)?;
    let names: Vec<String> = read(&field, PLATFORMS)?;
    let mut platforms = Vec::new();
    for name in names {
        match PlatformName::ALL.into_iter().find(|platform| platform.name() == name) {
            Some(platform) if !platforms.contains(&platform) => platforms.push(platform),
            _ => return Err(field.error(PLATFORMS)),
        }
    }
    if platforms.is_empty() {
        return Err(field.error(PLATFORMS));
    }
    let measurements = match object.take("measurements") {
        Some(field) => {
            let listed: Vec<Measurement> = read(&field, MEASUREMENTS)?;
            if listed.len() > MAX_MEASUREMENTS {
                return Err(field.error(format!("at most {MAX_MEASUREMENTS} measurements")));
            }
            listed
        }
        None => Vec::new(),
    };
    object.finish(warnings);
    Ok(Some(Attestation { platforms, measurements }))
}

fn read<T: for<'de> Deserialize<'de>>(field: &Field<'_>, expected: &'static str) -> Result<T, GenesisError> {
    serde_json::from_str(field.raw.get()).map_err(|_| field.error(expected))
}

/// What a network that calls itself a production network must say, and must not.
pub(super) fn check(cloister: &CloisterConfig, attestation: Option<&Attestation>) -> Result<(), GenesisError> {
    let contradiction = |key: &str, reason: &str| GenesisError::Contradiction {
        path: format!("config.cloister.{key}"),
        reason: reason.to_owned(),
    };
    let takes = |platform| attestation.is_some_and(|attestation| attestation.platforms.contains(&platform));
    if takes(PlatformName::Tdx) && attestation.is_some_and(|attestation| attestation.measurements.is_empty()) {
        return Err(contradiction(
            "attestation.measurements",
            "is missing: evidence of hardware says nothing where any program is taken",
        ));
    }
    if !cloister.production {
        return Ok(());
    }
    if cloister.development {
        return Err(contradiction("production", "a development network protects nothing: it is no production network"));
    }
    match attestation {
        None => Err(contradiction(
            "attestation",
            "is missing: a production network says which platforms and programs its enclaves are",
        )),
        Some(_) if takes(PlatformName::Virtual) => Err(contradiction(
            "attestation.platforms",
            "takes evidence of the virtual platform, whose root key everybody has: a production network takes evidence \
             of hardware only",
        )),
        Some(_) => Ok(()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::{ChainSpec, Genesis};

    fn parse(ours: &str) -> Result<ChainSpec, GenesisError> {
        let json = format!(r#"{{"config":{{"chainId":5,"cloister":{{{ours}}}}},"gasLimit":"0x1c9c380","alloc":{{}}}}"#);
        Genesis::parse(&json).and_then(|(genesis, warnings)| {
            assert_eq!(warnings, []);
            ChainSpec::new(genesis)
        })
    }

    fn mrtd() -> String {
        format!(r#""mrtd":"0x{}""#, "ab".repeat(48))
    }

    #[test]
    fn genesis_names_platforms_and_programs() {
        let unsaid = parse("").unwrap().attestation();
        assert_eq!((unsaid.platforms, unsaid.measurements), (vec![PlatformName::Virtual], Vec::new()));
        let ours = format!(
            r#""production":true,"attestation":{{"platforms":["tdx"],"measurements":[{{{},"rtmr1":"0x{}"}}]}}"#,
            mrtd(),
            "cd".repeat(48)
        );
        let spec = parse(&ours).unwrap();
        assert!(spec.is_production());
        let attestation = spec.attestation();
        assert_eq!(attestation.platforms, [PlatformName::Tdx]);
        let registers = [None, Some([0xcd; 48].into()), None, None];
        assert_eq!(attestation.measurements, [Measurement { mrtd: [0xab; 48].into(), rtmrs: registers }]);
    }

    #[test]
    fn a_production_network_takes_hardware_only_and_says_which_programs() {
        let refused = |ours: &str| parse(ours).unwrap_err().to_string();
        let listed = format!(r#""measurements":[{{{}}}]"#, mrtd());
        for platforms in [r#"["virtual"]"#, r#"["tdx","virtual"]"#] {
            assert_eq!(
                refused(&format!(r#""production":true,"attestation":{{"platforms":{platforms},{listed}}}"#)),
                "config.cloister.attestation.platforms: takes evidence of the virtual platform, whose root key everybody \
                 has: a production network takes evidence of hardware only"
            );
        }
        assert!(refused(r#""production":true"#).starts_with("config.cloister.attestation: is missing"));
        let tdx = format!(r#""attestation":{{"platforms":["tdx"],{listed}}}"#);
        let error = refused(&format!(r#""production":true,"development":true,{tdx}"#));
        assert!(error.starts_with("config.cloister.production: a development network"), "{error}");
        let error = refused(r#""attestation":{"platforms":["tdx"]}"#);
        assert!(error.starts_with("config.cloister.attestation.measurements: is missing"), "{error}");
    }

    #[test]
    fn what_genesis_says_wrong_is_named() {
        for (platforms, rest) in [("[]", ""), (r#"["sgx"]"#, ""), (r#"["virtual","virtual"]"#, ""), ("{}", "")] {
            let error = parse(&format!(r#""attestation":{{"platforms":{platforms}{rest}}}"#)).unwrap_err().to_string();
            assert!(error.starts_with("config.cloister.attestation.platforms: expected a list"), "{error}");
        }
        assert!(parse(r#""attestation":{}"#).unwrap_err().to_string().contains("platforms: missing"));
        for measurements in ["{}", r#"[{"mrtd":"0xab"}]"#, "[{}]", r#"["0xab"]"#] {
            let ours = format!(r#""attestation":{{"platforms":["virtual"],"measurements":{measurements}}}"#);
            let error = parse(&ours).unwrap_err().to_string();
            assert!(error.starts_with("config.cloister.attestation.measurements: expected a list"), "{error}");
        }
    }
}
