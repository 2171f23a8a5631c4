//! `cloister login`

use alloy_primitives::Address;
use clap::Args;
use cloister_client::{Account, ClientError, NodeUrl, Session, Site, sign_in};
use cloister_node::ExitCode;
use serde_json::json;

use super::trust::TrustArgs;
use crate::{failure::Failure, output, running};

const AFTER_HELP: &str = "\
Examples:
  cloister login --key env:KEY                            one account, its key from the environment
  cloister login --key file:a.key --key file:b.key        two accounts in one session
  export ETH_RPC_HEADERS=\"Authorization: Bearer $(cloister login --key env:KEY)\"

A key is 64 hexadecimal digits: in an environment variable (env:NAME), in a file (file:PATH), or, for keys that
everybody knows, as it is. The token goes to standard output, everything else to standard error.";

/// Arguments of `cloister login`.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Login {
    /// The node to sign in to
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8545", env = "ETH_RPC_URL")]
    url: String,

    #[command(flatten)]
    trust: TrustArgs,

    #[command(flatten)]
    sign_in: SignInArgs,

    /// Print token, accounts and end as JSON
    #[arg(long)]
    json: bool,
}

/// Who signs in, and to what.
#[derive(Debug, Args)]
pub(super) struct SignInArgs {
    /// Where a private key is: env:NAME, file:PATH, or the key; again for each further account
    #[arg(long, value_name = "KEY", required = true)]
    key: Vec<String>,

    /// Domain to sign in to, where it is not the URL's; the node's genesis names it
    #[arg(long, value_name = "HOST")]
    domain: Option<String>,

    /// URI to sign in to; by default https and the domain where one is given, else the URL
    #[arg(long, value_name = "URI")]
    uri: Option<String>,
}

impl SignInArgs {
    pub(super) fn accounts(&self) -> Result<Vec<Account>, Failure> {
        self.key.iter().map(|source| account(source)).collect()
    }

    /// What is signed in to: what was named, else what the URL names.
    pub(super) fn site(&self, url: &NodeUrl) -> Site {
        let of_url = Site::of(url);
        let uri = match (&self.uri, &self.domain) {
            (Some(uri), _) => uri.clone(),
            (None, Some(domain)) => format!("https://{domain}"),
            (None, None) => of_url.uri,
        };
        Site { domain: self.domain.clone().unwrap_or(of_url.domain), uri }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Url { .. }
            | ClientError::NoManifest { .. }
            | ClientError::InTheClear { .. }
            | ClientError::Exposed { .. }
            | ClientError::Key => Self::usage(error.to_string()),
            other => Self::new(ExitCode::Failure, other.to_string()),
        }
    }
}

impl Login {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let node = self.trust.node(&self.url)?;
        let site = self.sign_in.site(node.url());
        let accounts = self.sign_in.accounts()?;
        running::on_runtime(async move {
            let session = sign_in(&node, &site, &accounts).await?;
            self.show(&session.ok_or_else(|| Failure::usage("no key is given"))?);
            Ok(())
        })
    }

    fn show(&self, session: &Session) {
        if self.json {
            output::say(&format!("{:#}\n", as_json(session)));
        } else {
            output::note(&explanation(session));
            output::say(&format!("{}\n", session.token));
        }
    }
}

/// The account whose key is at `source`.
pub(super) fn account(source: &str) -> Result<Account, Failure> {
    let key = if let Some(name) = source.strip_prefix("env:") {
        std::env::var(name).map_err(|_| Failure::usage(format!("the environment has no variable {name}")))?
    } else if let Some(path) = source.strip_prefix("file:") {
        std::fs::read_to_string(path).map_err(|error| Failure::usage(format!("{path} cannot be read: {error}")))?
    } else {
        output::warn("a key on the command line is seen by everyone on this machine; env: and file: are not");
        source.to_owned()
    };
    Ok(Account::from_hex(&key)?)
}

pub(super) fn checksummed(accounts: &[Address]) -> Vec<String> {
    accounts.iter().map(|account| account.to_checksum(None)).collect()
}

fn as_json(session: &Session) -> serde_json::Value {
    json!({ "token": session.token, "accounts": checksummed(&session.accounts), "expiresAt": session.expires_at })
}

/// What to do with a token.
fn explanation(session: &Session) -> String {
    format!(
        "Signed in as {} until block time {}. Keep the token as secret as a password.\n\
         Foundry      export ETH_RPC_HEADERS=\"Authorization: Bearer <token>\"\n\
         ethers       request.setHeader(\"Authorization\", \"Bearer <token>\") on a FetchRequest\n\
         viem         http(url, {{ fetchOptions: {{ headers: {{ Authorization: \"Bearer <token>\" }} }} }})\n\
         no headers   <url>/t/<token>, where the network's genesis allows it\n",
        checksummed(&session.accounts).join(", "),
        session.expires_at,
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Command {
        #[command(flatten)]
        login: Login,
    }

    fn site(arguments: &[&str]) -> Site {
        let command =
            Command::parse_from([&["login", "--key", "env:X", "--url", "http://127.0.0.1:1"], arguments].concat());
        let Login { url, sign_in, .. } = command.login;
        sign_in.site(&NodeUrl::parse(&url).unwrap())
    }

    #[test]
    fn the_site_is_the_urls_unless_another_is_named() {
        let of = |domain: &str, uri: &str| Site { domain: domain.to_owned(), uri: uri.to_owned() };
        assert_eq!(site(&[]), of("127.0.0.1:1", "http://127.0.0.1:1"));
        assert_eq!(site(&["--domain", "a.example"]), of("a.example", "https://a.example"));
        assert_eq!(site(&["--domain", "a.example", "--uri", "https://b"]), of("a.example", "https://b"));
    }

    #[test]
    fn keys_come_from_files_and_wrong_ones_are_not_repeated() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let key = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
        std::fs::write(file.path(), format!("0x{key}\n")).unwrap();
        let account = account(&format!("file:{}", file.path().display())).unwrap();
        assert_eq!(account.address().to_checksum(None), "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266");
        let failure = super::account(&format!("{key}00")).unwrap_err();
        assert!(!failure.message().contains("ac0974"), "{}", failure.message());
        assert!(super::account("env:CLOISTER_NO_SUCH_VARIABLE").is_err());
        assert!(super::account("file:/nonexistent").is_err());
    }
}
