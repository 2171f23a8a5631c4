//! Sign-In with Ethereum messages, read strictly (EIP-4361, "Message Format").
//!
//! What a wallet showed its owner and what is read here must be the same thing, so nothing is skipped, trimmed or guessed:
//! every line is where the specification has it, or the message is refused with the field's name.

use core::iter::Peekable;
use core::str::Split;

use alloy_primitives::Address;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// Longest message that is read, in bytes.
pub(crate) const MAX_MESSAGE_BYTES: usize = 4 * 1024;
/// Resources that a message may list.
const MAX_RESOURCES: usize = 16;
/// Shortest nonce (EIP-4361).
const MIN_NONCE_CHARS: usize = 8;

const PREAMBLE: &str = " wants you to sign in with your Ethereum account:";

/// A part of a message, named where it is not as EIP-4361 has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    Length,
    Characters,
    Preamble,
    Scheme,
    Domain,
    Address,
    Statement,
    Uri,
    Version,
    ChainId,
    Nonce,
    IssuedAt,
    ExpirationTime,
    NotBefore,
    RequestId,
    Resources,
    End,
}

impl Field {
    /// As error messages name it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Length => "length",
            Self::Characters => "characters",
            Self::Preamble => "preamble",
            Self::Scheme => "scheme",
            Self::Domain => "domain",
            Self::Address => "address",
            Self::Statement => "statement",
            Self::Uri => "URI",
            Self::Version => "version",
            Self::ChainId => "chain ID",
            Self::Nonce => "nonce",
            Self::IssuedAt => "issued-at",
            Self::ExpirationTime => "expiration time",
            Self::NotBefore => "not-before",
            Self::RequestId => "request ID",
            Self::Resources => "resources",
            Self::End => "end",
        }
    }
}

/// What a message says. Statement, request id and resources are for the wallet's owner; they are read and not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message<'a> {
    pub(crate) scheme: Option<&'a str>,
    pub(crate) domain: &'a str,
    pub(crate) address: Address,
    pub(crate) uri: &'a str,
    pub(crate) chain_id: u64,
    pub(crate) nonce: &'a str,
    /// Seconds since 1970, as are the two below.
    pub(crate) issued_at_s: u64,
    pub(crate) expires_at_s: Option<u64>,
    pub(crate) not_before_s: Option<u64>,
}

/// The lines of a message.
struct Lines<'a>(Peekable<Split<'a, char>>);

impl<'a> Lines<'a> {
    fn next(&mut self, field: Field) -> Result<&'a str, Field> {
        self.0.next().ok_or(field)
    }

    fn blank(&mut self, field: Field) -> Result<(), Field> {
        if self.next(field)?.is_empty() { Ok(()) } else { Err(field) }
    }

    fn tagged(&mut self, tag: &str, field: Field) -> Result<&'a str, Field> {
        self.next(field)?.strip_prefix(tag).ok_or(field)
    }

    fn optional(&mut self, tag: &str) -> Option<&'a str> {
        let line = self.0.next_if(|line| line.starts_with(tag))?;
        line.strip_prefix(tag)
    }
}

impl<'a> Message<'a> {
    /// Reads a message.
    ///
    /// # Errors
    /// The first field that is not as it should be.
    pub(crate) fn parse(text: &'a str) -> Result<Self, Field> {
        if text.len() > MAX_MESSAGE_BYTES {
            return Err(Field::Length);
        }
        if !text.bytes().all(|byte| byte == b'\n' || (b' '..=b'~').contains(&byte)) {
            return Err(Field::Characters);
        }
        let mut lines = Lines(text.split('\n').peekable());
        let (scheme, domain) = origin(lines.next(Field::Preamble)?)?;
        let address = address(lines.next(Field::Address)?)?;
        statement(&mut lines)?;
        let uri = uri(lines.tagged("URI: ", Field::Uri)?, Field::Uri)?;
        if lines.tagged("Version: ", Field::Version)? != "1" {
            return Err(Field::Version);
        }
        let chain_id = chain_id(lines.tagged("Chain ID: ", Field::ChainId)?)?;
        let nonce = lines.tagged("Nonce: ", Field::Nonce)?;
        if nonce.len() < MIN_NONCE_CHARS || !nonce.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(Field::Nonce);
        }
        let issued_at_s = seconds(lines.tagged("Issued At: ", Field::IssuedAt)?, Field::IssuedAt)?;
        let mut time = |tag, field| lines.optional(tag).map(|text| seconds(text, field)).transpose();
        let expires_at_s = time("Expiration Time: ", Field::ExpirationTime)?;
        let not_before_s = time("Not Before: ", Field::NotBefore)?;
        if let Some(id) = lines.optional("Request ID: ")
            && !id.bytes().all(is_path_character)
        {
            return Err(Field::RequestId);
        }
        resources(&mut lines)?;
        match lines.0.next() {
            None => Ok(Self { scheme, domain, address, uri, chain_id, nonce, issued_at_s, expires_at_s, not_before_s }),
            Some(_) => Err(Field::End),
        }
    }
}

fn origin(line: &str) -> Result<(Option<&str>, &str), Field> {
    let origin = line.strip_suffix(PREAMBLE).ok_or(Field::Preamble)?;
    let (scheme, domain) = match origin.split_once("://") {
        Some((scheme, domain)) => (Some(scheme), domain),
        None => (None, origin),
    };
    if scheme.is_some_and(|scheme| !is_scheme(scheme)) {
        return Err(Field::Scheme);
    }
    let authority = |byte: u8| is_unreserved(byte) || is_sub_delimiter(byte) || b":@[]%".contains(&byte);
    if domain.is_empty() || !domain.bytes().all(authority) {
        return Err(Field::Domain);
    }
    Ok((scheme, domain))
}

/// With the checksum of EIP-55, which EIP-4361 demands.
fn address(line: &str) -> Result<Address, Field> {
    Address::parse_checksummed(line, None).map_err(|_| Field::Address)
}

fn statement(lines: &mut Lines<'_>) -> Result<(), Field> {
    lines.blank(Field::Address)?;
    let statement = lines.next(Field::Statement)?;
    if statement.is_empty() {
        return Ok(());
    }
    let allowed = |byte: u8| byte == b' ' || is_unreserved(byte) || is_reserved(byte);
    if !statement.bytes().all(allowed) {
        return Err(Field::Statement);
    }
    lines.blank(Field::Statement)
}

fn uri(text: &str, field: Field) -> Result<&str, Field> {
    let (scheme, rest) = text.split_once(':').ok_or(field)?;
    let allowed = |byte: u8| byte == b'%' || is_unreserved(byte) || is_reserved(byte);
    if is_scheme(scheme) && !rest.is_empty() && rest.bytes().all(allowed) { Ok(text) } else { Err(field) }
}

fn chain_id(text: &str) -> Result<u64, Field> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit()) && !(text.len() > 1 && text.starts_with('0'));
    text.parse().ok().filter(|_| digits).ok_or(Field::ChainId)
}

/// RFC 3339, down to whole seconds.
fn seconds(text: &str, field: Field) -> Result<u64, Field> {
    let time = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| field)?;
    u64::try_from(time.unix_timestamp()).map_err(|_| field)
}

fn resources(lines: &mut Lines<'_>) -> Result<(), Field> {
    let Some(rest) = lines.optional("Resources:") else {
        return Ok(());
    };
    if !rest.is_empty() {
        return Err(Field::Resources);
    }
    let mut count = 0;
    while let Some(resource) = lines.optional("- ") {
        uri(resource, Field::Resources)?;
        count += 1;
        if count > MAX_RESOURCES {
            return Err(Field::Resources);
        }
    }
    Ok(())
}

/// RFC 3986, 3.1.
fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

/// RFC 3986, 2.3.
const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// RFC 3986, 2.2.
const fn is_sub_delimiter(byte: u8) -> bool {
    matches!(byte, b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=')
}

/// RFC 3986, 2.2.
const fn is_reserved(byte: u8) -> bool {
    is_sub_delimiter(byte) || matches!(byte, b':' | b'/' | b'?' | b'#' | b'[' | b']' | b'@')
}

/// RFC 3986, 3.3: `pchar`.
const fn is_path_character(byte: u8) -> bool {
    is_unreserved(byte) || is_sub_delimiter(byte) || matches!(byte, b':' | b'@' | b'%')
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use alloy_primitives::address;

    use super::*;

    /// The first example of EIP-4361, whose values are the document's.
    const EXAMPLE: &str = "example.com wants you to sign in with your Ethereum account:\n\
        0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2\n\
        \n\
        I accept the ExampleOrg Terms of Service: https://example.com/tos\n\
        \n\
        URI: https://example.com/login\n\
        Version: 1\n\
        Chain ID: 1\n\
        Nonce: 32891756\n\
        Issued At: 2021-09-30T16:25:24Z\n\
        Resources:\n\
        - ipfs://bafybeiemxf5abjwjbikoz4mc3a3dla6ual3jsgpdr4cjr3oz3evfyavhwq/\n\
        - https://example.com/my-web2-claim.json";

    #[test]
    fn the_example_of_the_specification_is_read() {
        let message = Message::parse(EXAMPLE).unwrap();
        assert_eq!(
            message,
            Message {
                scheme: None,
                domain: "example.com",
                address: address!("C02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2"),
                uri: "https://example.com/login",
                chain_id: 1,
                nonce: "32891756",
                issued_at_s: 1_633_019_124,
                expires_at_s: None,
                not_before_s: None,
            }
        );
    }

    #[test]
    fn everything_optional_may_be_there_or_not() {
        let full = EXAMPLE.replace("example.com wants", "https://example.com:3388 wants").replace(
            "\nResources:",
            "\nExpiration Time: 2021-09-30T17:25:24.5+01:00\nNot Before: 2021-09-30T16:00:00Z\nRequest ID: a@b\nResources:",
        );
        let message = Message::parse(&full).unwrap();
        assert_eq!((message.scheme, message.domain), (Some("https"), "example.com:3388"));
        assert_eq!(message.expires_at_s, Some(1_633_019_124));
        assert_eq!(message.not_before_s, Some(1_633_017_600));
        let (least, _) = EXAMPLE.split_once("\nResources:").unwrap();
        let least = least.replace("\nI accept the ExampleOrg Terms of Service: https://example.com/tos\n", "\n");
        assert_eq!(Message::parse(&least).unwrap().domain, "example.com");
    }

    #[test]
    fn each_field_is_refused_by_name_when_it_is_wrong() {
        for (from, to, field) in [
            ("example.com wants", " wants", Field::Domain),
            ("example.com wants", "exa mple.com wants", Field::Domain),
            ("example.com wants", "example.com/x wants", Field::Domain),
            ("example.com wants", "1ttp://example.com wants", Field::Scheme),
            (" wants you", " wanted you", Field::Preamble),
            ("0xC02aaA39", "0xc02aaA39", Field::Address),
            ("0xC02aaA39", "C02aaA39", Field::Address),
            ("Cc2\n\n", "Cc2\n", Field::Address),
            ("I accept", "I \"accept\"", Field::Statement),
            ("I accept", "I accept\nI accept", Field::Statement),
            ("URI: https://example.com/login", "URI: example.com/login", Field::Uri),
            ("URI: https", "URL: https", Field::Uri),
            ("Version: 1", "Version: 2", Field::Version),
            ("Version: 1\n", "", Field::Version),
            ("Chain ID: 1", "Chain ID: 01", Field::ChainId),
            ("Chain ID: 1", "Chain ID: +1", Field::ChainId),
            ("Chain ID: 1", "Chain ID: 0x1", Field::ChainId),
            ("Chain ID: 1", "Chain ID: 18446744073709551616", Field::ChainId),
            ("Nonce: 32891756", "Nonce: 3289175", Field::Nonce),
            ("Nonce: 32891756", "Nonce: 3289175-", Field::Nonce),
            ("2021-09-30T16:25:24Z", "2021-09-30 16:25:24", Field::IssuedAt),
            ("2021-09-30T16:25:24Z", "2021-13-30T16:25:24Z", Field::IssuedAt),
            ("2021-09-30T16:25:24Z", "1921-09-30T16:25:24Z", Field::IssuedAt),
            ("\nResources:", "\nExpiration Time: soon\nResources:", Field::ExpirationTime),
            ("\nResources:", "\nNot Before: soon\nResources:", Field::NotBefore),
            ("\nResources:", "\nRequest ID: a b\nResources:", Field::RequestId),
            ("\nResources:", "\nResources: x", Field::Resources),
            ("- https://", "- ", Field::Resources),
            ("- https", "https", Field::End),
            ("Nonce", "Nonc\u{e9}", Field::Characters),
            ("Nonce", "Non\tce", Field::Characters),
            ("\nVersion", "\r\nVersion", Field::Characters),
        ] {
            let wrong = EXAMPLE.replacen(from, to, 1);
            assert_ne!(wrong, EXAMPLE, "{from:?} is not in the example");
            assert_eq!(Message::parse(&wrong), Err(field), "{from:?} -> {to:?}");
        }
        assert_eq!(Message::parse(&format!("{EXAMPLE}\n")), Err(Field::End));
        assert_eq!(Message::parse(""), Err(Field::Preamble));
    }

    #[test]
    fn sizes_are_bounded() {
        let resource = "\n- https://example.com";
        let with = |count| format!("{EXAMPLE}{}", resource.repeat(count));
        assert!(Message::parse(&with(MAX_RESOURCES - 2)).is_ok());
        assert_eq!(Message::parse(&with(MAX_RESOURCES - 1)), Err(Field::Resources));
        assert_eq!(Message::parse(&"x".repeat(MAX_MESSAGE_BYTES + 1)), Err(Field::Length));
    }

    #[test]
    fn a_message_cut_anywhere_is_refused_or_lacks_resources_only() {
        let whole = Message::parse(EXAMPLE).unwrap();
        let from = EXAMPLE.find("\nResources:").unwrap();
        for end in 0..from {
            let cut = Message::parse(&EXAMPLE[..end]);
            assert!(cut.is_err(), "{end}: {cut:?}");
        }
        assert_eq!(Message::parse(&EXAMPLE[..from]), Ok(whole));
    }
}
