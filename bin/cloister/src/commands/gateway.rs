//! `cloister gateway`

use std::net::SocketAddr;
use std::sync::Arc;

use clap::{Args, builder::PossibleValuesParser};
use cloister_client::gateway::{Gateway, GatewayOptions};
use cloister_client::{Session, Verified};
use cloister_node::ExitCode;
use cloister_primitives::envelope::SealingSuite;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use super::login::{SignInArgs, checksummed};
use super::trust::{TrustArgs, in_words};
use crate::{failure::Failure, output, running};

const AFTER_HELP: &str = "\
Examples:
  cloister gateway --url https://node.example:8545 --manifest network.json --key env:KEY
                                                                         tools use http://127.0.0.1:8545 as ever
  cloister gateway --url … --key file:a.key --seal                       transactions leave this machine sealed
  cloister gateway --url … --key env:KEY --allow-origin https://app.example
                                                                         a page may use it, too

Whoever can connect reads as the accounts that signed in: it listens on loopback, and takes requests to its own address only.";

/// Arguments of `cloister gateway`.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct GatewayArgs {
    /// The node
    #[arg(long, value_name = "URL")]
    url: String,

    #[command(flatten)]
    trust: TrustArgs,

    #[command(flatten)]
    sign_in: SignInArgs,

    /// Where to listen: an address of this machine that others cannot reach
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8545")]
    listen: SocketAddr,

    /// A page that may use the gateway, such as https://app.example; again for each further one
    #[arg(long, value_name = "ORIGIN")]
    allow_origin: Vec<String>,

    /// Seal transactions for the node's enclave; with x-wing also against quantum computers
    #[arg(long, value_name = "SUITE", num_args = 0..=1, default_missing_value = "x25519",
        value_parser = PossibleValuesParser::new(["x25519", "x-wing"]))]
    seal: Option<String>,
}

impl GatewayArgs {
    pub(crate) fn run(self) -> Result<(), Failure> {
        if !self.listen.ip().is_loopback() {
            return Err(Failure::usage(format!(
                "{} can be reached by others, who would read as you; listen on 127.0.0.1",
                self.listen.ip()
            )));
        }
        let node = self.trust.node(&self.url)?;
        let site = self.sign_in.site(node.url());
        let accounts = self.sign_in.accounts()?;
        let seal = self.seal.as_deref().and_then(SealingSuite::named);
        let options = GatewayOptions { node, site, accounts, origins: self.allow_origin, seal };
        let (listen, url) = (self.listen, self.url);
        running::on_runtime(async move {
            let cannot = |error| Failure::new(ExitCode::Listen, format!("cannot listen on {listen}: {error}"));
            let listener = TcpListener::bind(listen).await.map_err(cannot)?;
            let address = listener.local_addr().map_err(cannot)?;
            let unheard = |error| Failure::new(ExitCode::Failure, format!("signals cannot be heard: {error}"));
            let mut interrupted = signal(SignalKind::interrupt()).map_err(unheard)?;
            let mut terminated = signal(SignalKind::terminate()).map_err(unheard)?;
            let verified = options.node.verified().await?;
            let gateway = Arc::new(Gateway::open(options).await?);
            output::say(&announcement(&gateway.session().await, verified.as_ref(), &url, address, seal));
            tokio::select! {
                never = gateway.serve(listener, address) => match never {},
                _ = interrupted.recv() => Ok(()),
                _ = terminated.recv() => Ok(()),
            }
        })
    }
}

fn announcement(
    session: &Session,
    verified: Option<&Verified>,
    url: &str,
    address: SocketAddr,
    seal: Option<SealingSuite>,
) -> String {
    let sealing = match seal {
        Some(suite) => format!("Transactions are sealed for the node's enclave ({}).", suite.name()),
        None => "Transactions are passed on as they are; --seal puts them into envelopes.".to_owned(),
    };
    format!(
        "Signed in at {url} as {}.\n{}\n{sealing}\n\nListening on http://{address}\n",
        checksummed(&session.accounts).join(", "),
        in_words(verified),
    )
}
