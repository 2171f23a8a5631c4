//! Where a node is.

use core::net::IpAddr;

use hyper::Uri;

use crate::ClientError;

/// Where a node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeUrl {
    scheme: Scheme,
    authority: String,
    host: String,
    port: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    Http,
    Https,
}

impl Scheme {
    const fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    const fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

impl NodeUrl {
    /// Reads `http://host:port` or `https://host:port`, with or without a slash after it.
    ///
    /// # Errors
    /// [`ClientError::Url`].
    pub fn parse(url: &str) -> Result<Self, ClientError> {
        let wrong = || ClientError::Url { url: url.to_owned() };
        let uri: Uri = url.parse().map_err(|_| wrong())?;
        let authority = uri.authority().ok_or_else(wrong)?;
        let scheme = [Scheme::Http, Scheme::Https].into_iter().find(|known| uri.scheme_str() == Some(known.name()));
        let scheme = scheme.ok_or_else(wrong)?;
        if uri.path() != "/" || uri.query().is_some() || authority.as_str().contains('@') {
            return Err(wrong());
        }
        Ok(Self {
            scheme,
            authority: authority.as_str().to_owned(),
            host: authority.host().trim_matches(['[', ']']).to_owned(),
            port: authority.port_u16().unwrap_or(scheme.port()),
        })
    }

    /// Host, and port where one was given.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Whether it begins with https.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.scheme == Scheme::Https
    }

    /// Whether it is this machine.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        let is_address = |address: IpAddr| address.to_canonical().is_loopback();
        self.host.eq_ignore_ascii_case("localhost") || self.host.parse().is_ok_and(is_address)
    }

    /// What is connected to.
    pub(crate) fn socket(&self) -> (&str, u16) {
        (&self.host, self.port)
    }

    /// The URL with a token in its path, for tools that cannot send headers.
    #[must_use]
    pub fn with_token(&self, token: &str) -> String {
        format!("{self}/t/{token}")
    }
}

impl core::fmt::Display for NodeUrl {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}://{}", self.scheme.name(), self.authority)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_nodes_are_told_from_others() {
        let url = NodeUrl::parse("http://127.0.0.1:8545/").unwrap();
        assert_eq!(
            (url.authority(), url.port, url.to_string().as_str()),
            ("127.0.0.1:8545", 8545, "http://127.0.0.1:8545")
        );
        assert_eq!(NodeUrl::parse("http://[::1]:9").unwrap().host, "::1");
        assert_eq!(NodeUrl::parse("http://node.example").unwrap().port, 80);
        let url = NodeUrl::parse("https://node.example").unwrap();
        assert_eq!((url.is_tls(), url.port, url.to_string().as_str()), (true, 443, "https://node.example"));
        for wrong in ["", "127.0.0.1:8545", "ftp://a", "http://a/b", "http://u:p@a", "https://a?b", "http://"] {
            assert!(matches!(NodeUrl::parse(wrong), Err(ClientError::Url { .. })), "{wrong}");
        }
    }
}
