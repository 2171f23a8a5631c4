//! Who may come in: tools of this machine, and pages that were listed.

use core::net::SocketAddr;

use hyper::{
    HeaderMap,
    header::{self, HeaderValue},
};

/// Names under which a gateway is asked, and pages that may ask it.
#[derive(Debug)]
pub(super) struct Doors {
    hosts: Vec<String>,
    origins: Vec<String>,
}

/// Why a request is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It was meant for another site, whose name leads here.
    Host,
    /// It comes from a page that was not listed.
    Origin,
}

impl Refusal {
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::Host => "the gateway answers requests to its own address only",
            Self::Origin => "this page may not use the gateway: start it with --allow-origin",
        }
    }
}

impl Doors {
    pub(super) fn new(address: SocketAddr, origins: Vec<String>) -> Self {
        let port = address.port();
        let names = ["127.0.0.1".to_owned(), "localhost".to_owned(), "[::1]".to_owned(), of_ip(address)];
        let mut hosts: Vec<_> = names.iter().map(|name| format!("{name}:{port}")).collect();
        if port == 80 {
            hosts.extend(names);
        }
        Self { hosts, origins }
    }

    /// The page that asks, if one does.
    pub(super) fn admit(&self, headers: &HeaderMap) -> Result<Option<HeaderValue>, Refusal> {
        let mut given = headers.get_all(header::HOST).iter();
        let host = given.next().and_then(|host| host.to_str().ok()).ok_or(Refusal::Host)?;
        if given.next().is_some() || !self.hosts.iter().any(|own| own.eq_ignore_ascii_case(host)) {
            return Err(Refusal::Host);
        }
        let mut origins = headers.get_all(header::ORIGIN).iter();
        let Some(origin) = origins.next() else { return Ok(None) };
        let listed = origin.to_str().is_ok_and(|origin| self.origins.iter().any(|listed| listed == origin));
        if listed && origins.next().is_none() { Ok(Some(origin.clone())) } else { Err(Refusal::Origin) }
    }
}

fn of_ip(address: SocketAddr) -> String {
    if address.is_ipv6() { format!("[{}]", address.ip()) } else { address.ip().to_string() }
}

/// Lets a listed page read the answer.
pub(super) fn allow(headers: &mut HeaderMap, origin: Option<HeaderValue>) {
    if let Some(origin) = origin {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST"));
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("content-type"));
        headers.insert(header::VARY, HeaderValue::from_static("Origin"));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn admitted(headers: &[(&'static str, &'static str)]) -> Result<Option<String>, Refusal> {
        let doors = Doors::new("127.0.0.1:8545".parse().unwrap(), vec!["https://app.example".to_owned()]);
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_static(value));
        }
        doors.admit(&map).map(|origin| origin.map(|origin| origin.to_str().unwrap().to_owned()))
    }

    #[test]
    fn tools_of_this_machine_come_in_by_each_of_its_names() {
        for host in ["127.0.0.1:8545", "localhost:8545", "LocalHost:8545", "[::1]:8545"] {
            assert_eq!(admitted(&[("host", host)]), Ok(None), "{host}");
        }
    }

    #[test]
    fn names_that_lead_here_and_other_ports_do_not() {
        for host in ["evil.example:8545", "127.0.0.1", "127.0.0.1:8546", "localhost.evil.example:8545", ""] {
            assert_eq!(admitted(&[("host", host)]), Err(Refusal::Host), "{host}");
        }
        assert_eq!(admitted(&[]), Err(Refusal::Host));
        assert_eq!(admitted(&[("host", "localhost:8545"), ("host", "evil.example:8545")]), Err(Refusal::Host));
    }

    #[test]
    fn pages_come_in_if_they_are_listed() {
        let own = ("host", "localhost:8545");
        assert_eq!(admitted(&[own, ("origin", "https://app.example")]), Ok(Some("https://app.example".to_owned())));
        for origin in ["https://evil.example", "null", "http://localhost:8545", "https://app.example.evil"] {
            assert_eq!(admitted(&[own, ("origin", origin)]), Err(Refusal::Origin), "{origin}");
        }
        let both = [own, ("origin", "https://app.example"), ("origin", "https://evil.example")];
        assert_eq!(admitted(&both), Err(Refusal::Origin));
    }
}
