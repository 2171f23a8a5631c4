//! `config.cloister.signIn`: for which site clients sign in (EIP-4361), and what their sessions may.

use super::GenesisError;
use super::json::{Field, Object, Warnings};

/// Shortest life of a session token, in seconds of block time.
const MIN_TOKEN_SECONDS: u64 = 60;
/// Life of a session token unless genesis says otherwise: a working day.
const DEFAULT_TOKEN_SECONDS: u64 = 8 * 60 * 60;
/// Longest life of a session token.
const MAX_TOKEN_SECONDS: u64 = 30 * 24 * 60 * 60;
/// Longest life where tokens may stand in a URL: URLs are written to logs and histories.
const MAX_PATH_TOKEN_SECONDS: u64 = 24 * 60 * 60;

/// Longest domain, in bytes: a DNS name and a port.
const MAX_DOMAIN_BYTES: usize = 260;
/// Longest URI, in bytes.
const MAX_URI_BYTES: usize = 1_024;

/// How clients sign in, as genesis fixes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignIn {
    /// The site that the signed message must name.
    pub site: Site,
    /// `"tokensInPath"`: whether a token may stand in the URL's path, for tools that cannot send headers.
    pub tokens_in_path: bool,
    /// `"tokenSeconds"`: life of a token in block time.
    pub token_seconds: u64,
}

/// What a wallet shows its owner as the place he signs in to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Site {
    /// `"domain"` and `"uri"`.
    Named {
        /// Host, and port where it is not the scheme's own (RFC 3986 `authority` without user).
        domain: String,
        /// The URI itself, or the beginning of all that are accepted.
        uri: String,
    },
    /// Any port of the client's own machine.
    Loopback,
}

impl SignIn {
    /// What a development network accepts unless its genesis says otherwise.
    #[must_use]
    pub const fn development() -> Self {
        Self { site: Site::Loopback, tokens_in_path: true, token_seconds: DEFAULT_TOKEN_SECONDS }
    }

    /// The site of a domain, over HTTPS, with the usual life of tokens; `None` where that is no domain.
    #[must_use]
    pub fn at(domain: &str) -> Option<Self> {
        let uri = format!("https://{domain}");
        is_authority(domain).then(|| Self {
            site: Site::Named { domain: domain.to_owned(), uri },
            tokens_in_path: false,
            token_seconds: DEFAULT_TOKEN_SECONDS,
        })
    }
}

impl Site {
    /// Whether a message may name this domain. Hosts compare without regard to case (RFC 3986, 6.2.2.1).
    #[must_use]
    pub fn is_domain(&self, domain: &str) -> bool {
        match self {
            Self::Named { domain: expected, .. } => expected.eq_ignore_ascii_case(domain),
            Self::Loopback => is_loopback(domain),
        }
    }

    /// Whether a message may name this URI: the genesis' own or one below it, so that a site may name its pages.
    #[must_use]
    pub fn is_uri(&self, uri: &str) -> bool {
        match self {
            Self::Named { uri: expected, .. } => {
                let expected = expected.strip_suffix('/').unwrap_or(expected);
                uri.strip_prefix(expected).is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?', '#']))
            }
            Self::Loopback => ["http://", "https://"].iter().any(|scheme| {
                uri.strip_prefix(scheme).and_then(|rest| rest.split(['/', '?', '#']).next()).is_some_and(is_loopback)
            }),
        }
    }
}

/// `localhost`, `127.0.0.1` or `[::1]`, with any port.
fn is_loopback(authority: &str) -> bool {
    ["localhost", "127.0.0.1", "[::1]"].iter().any(|host| {
        let rest = authority.get(..host.len()).filter(|start| start.eq_ignore_ascii_case(host));
        let port = rest.and_then(|_| authority.get(host.len()..));
        port.is_some_and(|port| port.is_empty() || port.strip_prefix(':').is_some_and(is_port))
    })
}

fn is_port(text: &str) -> bool {
    (1..=5).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Takes the key `signIn`.
pub(super) fn take(cloister: &mut Object<'_>, warnings: &mut Warnings) -> Result<Option<SignIn>, GenesisError> {
    let Some(field) = cloister.take("signIn") else {
        return Ok(None);
    };
    let mut object = field.object()?;
    let domain = domain(&object.require("domain", "the host, and port if any, that clients sign in to")?)?;
    let uri = match object.take("uri") {
        Some(field) => uri(&field)?,
        None => format!("https://{domain}"),
    };
    let tokens_in_path = match object.take("tokensInPath") {
        Some(field) => field.boolean()?,
        None => false,
    };
    let most = if tokens_in_path { MAX_PATH_TOKEN_SECONDS } else { MAX_TOKEN_SECONDS };
    let token_seconds = match object.take("tokenSeconds") {
        Some(field) => field.within(MIN_TOKEN_SECONDS, most)?,
        None => DEFAULT_TOKEN_SECONDS,
    };
    object.finish(warnings);
    Ok(Some(SignIn { site: Site::Named { domain, uri }, tokens_in_path, token_seconds }))
}

fn domain(field: &Field<'_>) -> Result<String, GenesisError> {
    const EXPECTED: &str = "a host such as \"node.example.com\" or \"10.0.0.5:8545\"";
    let text = field.text(EXPECTED)?;
    if is_authority(&text) { Ok(text) } else { Err(field.error(EXPECTED)) }
}

fn is_authority(text: &str) -> bool {
    let host = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
    (1..=MAX_DOMAIN_BYTES).contains(&text.len()) && text.bytes().all(host)
}

fn uri(field: &Field<'_>) -> Result<String, GenesisError> {
    const EXPECTED: &str = "a URI such as \"https://node.example.com\"";
    let text = field.text(EXPECTED)?;
    let plain = text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte));
    let authority = ["https://", "http://"].iter().find_map(|scheme| text.strip_prefix(scheme));
    if !plain || text.len() > MAX_URI_BYTES || authority.is_none_or(str::is_empty) {
        return Err(field.error(EXPECTED));
    }
    Ok(text)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::{ChainSpec, DevChain, Genesis};

    fn parse(sign_in: &str) -> Result<Option<SignIn>, GenesisError> {
        let json = format!(
            r#"{{"config":{{"chainId":5,"cloister":{{"signIn":{sign_in}}}}},"gasLimit":"0x1c9c380","alloc":{{}}}}"#
        );
        Genesis::parse(&json).map(|(genesis, warnings)| {
            assert_eq!(warnings, []);
            genesis.config.sign_in
        })
    }

    #[test]
    fn genesis_names_the_site_and_the_life_of_tokens() {
        let sign_in = parse(r#"{"domain":"node.example.com","tokenSeconds":600}"#).unwrap().unwrap();
        let uri = "https://node.example.com".to_owned();
        assert_eq!(sign_in.site, Site::Named { domain: "node.example.com".to_owned(), uri });
        assert_eq!((sign_in.tokens_in_path, sign_in.token_seconds), (false, 600));
        assert_eq!(SignIn::at("node.example.com"), parse(r#"{"domain":"node.example.com"}"#).unwrap());
        assert_eq!(SignIn::at("https://node.example.com"), None);
        assert_eq!(parse("null").unwrap(), None);
    }

    #[test]
    fn what_genesis_says_wrong_is_named() {
        for (json, path) in [
            (r#"{"uri":"https://a"}"#, "config.cloister.signIn.domain: missing"),
            (r#"{"domain":"a b"}"#, "config.cloister.signIn.domain: expected a host"),
            (r#"{"domain":"a","uri":"ftp://a"}"#, "config.cloister.signIn.uri: expected a URI"),
            (r#"{"domain":"a","uri":"https://"}"#, "config.cloister.signIn.uri: expected a URI"),
            (r#"{"domain":"a","tokenSeconds":59}"#, "config.cloister.signIn.tokenSeconds: expected a number from 60"),
            (
                r#"{"domain":"a","tokensInPath":true,"tokenSeconds":86401}"#,
                "config.cloister.signIn.tokenSeconds: expected a number from 60 to 86400",
            ),
        ] {
            let error = parse(json).unwrap_err().to_string();
            assert!(error.starts_with(path), "{json}: {error}");
        }
    }

    #[test]
    fn a_named_site_is_that_site_alone_and_its_pages() {
        let site = Site::Named { domain: "a.example:8".to_owned(), uri: "https://a.example/in/".to_owned() };
        assert!(site.is_domain("A.example:8"));
        for other in ["a.example", "a.example:80", "b.a.example:8", "a.example:8.evil", ""] {
            assert!(!site.is_domain(other), "{other}");
        }
        for uri in ["https://a.example/in", "https://a.example/in/", "https://a.example/in?x", "https://a.example/in#y"]
        {
            assert!(site.is_uri(uri), "{uri}");
        }
        for other in
            ["https://a.example", "https://a.example/inner", "http://a.example/in", "https://a.example.evil/in"]
        {
            assert!(!site.is_uri(other), "{other}");
        }
    }

    #[test]
    fn a_development_network_takes_any_port_of_the_own_machine() {
        let site = ChainSpec::development(DevChain::default()).unwrap().sign_in().unwrap().site;
        for domain in ["localhost", "LOCALHOST:3000", "127.0.0.1:8545", "[::1]:1"] {
            assert!(site.is_domain(domain), "{domain}");
            assert!(site.is_uri(&format!("http://{domain}/x")), "{domain}");
        }
        for other in ["localhost.evil.com", "127.0.0.1:", "127.0.0.1:x", "127.0.0.10", "evil.com", "localhost@evil.com"]
        {
            assert!(!site.is_domain(other), "{other}");
            assert!(!site.is_uri(&format!("http://{other}")), "{other}");
        }
        assert!(!site.is_uri("ftp://localhost"));
    }

    #[test]
    fn other_networks_have_no_site_unless_genesis_names_one() {
        let (genesis, _) = Genesis::parse(r#"{"config":{"chainId":5},"gasLimit":"0x1c9c380","alloc":{}}"#).unwrap();
        assert_eq!(ChainSpec::new(genesis).unwrap().sign_in(), None);
    }
}
