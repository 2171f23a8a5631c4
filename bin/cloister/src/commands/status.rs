//! `cloister status`

use clap::Args;
use cloister_client::{Node, NodeUrl};
use serde_json::{Value, json};

use super::trust::TrustArgs;
use crate::{failure::Failure, output, running};

const AFTER_HELP: &str = "\
Examples:
  cloister status --url http://127.0.0.1:8545 --url http://127.0.0.1:8546";

/// Arguments of `cloister status`.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Status {
    /// A node of the network; once for each
    #[arg(long = "url", value_name = "URL", required = true)]
    urls: Vec<String>,
    #[command(flatten)]
    trust: TrustArgs,
}

impl Status {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let nodes = self.urls.iter().map(|url| self.trust.node(url)).collect::<Result<Vec<_>, _>>()?;
        running::on_runtime(async move {
            let mut rows = Vec::new();
            for (url, node) in self.urls.iter().zip(&nodes) {
                rows.push(Row::ask(url, node).await);
            }
            output::say(&table(&rows));
            Ok(())
        })
    }
}

/// What one node says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// Where clients reach it.
    url: String,
    said: Result<Standing, String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Standing {
    node: u64,
    role: String,
    term: u64,
    head: u64,
    pending: Option<u64>,
    connected: usize,
    others: usize,
}

impl Row {
    /// Asks one node. That it does not answer is an answer.
    pub(crate) async fn ask(url: &str, node: &Node) -> Self {
        let said = match node.call(None, "cloister_networkStatus", &json!([])).await {
            Ok(Value::Null) => Err("orders its blocks alone".to_owned()),
            Ok(status) => Standing::read(&status).ok_or_else(|| "says something else than a status".to_owned()),
            Err(error) => Err(error.to_string()),
        };
        Self { url: url.to_owned(), said }
    }

    /// Asks a node whose address cannot be wrong.
    pub(crate) async fn ask_url(url: &str) -> Self {
        match NodeUrl::parse(url).and_then(|parsed| Node::new(parsed, None)) {
            Ok(node) => Self::ask(url, &node).await,
            Err(error) => Self { url: url.to_owned(), said: Err(error.to_string()) },
        }
    }

    /// Whether it takes part.
    pub(crate) const fn is_up(&self) -> bool {
        self.said.is_ok()
    }
}

impl Standing {
    fn read(status: &Value) -> Option<Self> {
        let number = |name: &str| {
            let text = status.get(name)?.as_str()?;
            u64::from_str_radix(text.strip_prefix("0x")?, 16).ok()
        };
        let count = |name: &str| Some(status.get(name)?.as_array()?.len());
        Some(Self {
            node: number("node")?,
            role: status.get("role")?.as_str()?.to_owned(),
            term: number("term")?,
            head: number("head")?,
            pending: number("pending"),
            connected: count("connected")?,
            others: (count("voters")? + count("learners")?).saturating_sub(1),
        })
    }
}

/// The nodes, one a line; how far each is behind the newest.
pub(crate) fn table(rows: &[Row]) -> String {
    let newest = rows.iter().filter_map(|row| row.said.as_ref().ok()).map(|standing| standing.head).max().unwrap_or(0);
    let mut text = format!(
        "{:<6}{:<13}{:>6}{:>12}{:>7}{:>9}  {:<7} {}\n",
        "node", "role", "term", "head", "lag", "pending", "links", "url"
    );
    for row in rows {
        let url = &row.url;
        text += &match &row.said {
            Ok(Standing { node, role, term, head, pending, connected, others }) => {
                let lag = newest - head;
                let pending = pending.map_or_else(|| "-".to_owned(), |pending| pending.to_string());
                let links = format!("{connected}/{others}");
                format!("{node:<6}{role:<13}{term:>6}{head:>12}{lag:>7}{pending:>9}  {links:<7} {url}\n")
            }
            Err(why) => format!("{:<6}{:<54} {url}: {why}\n", "?", "no answer"),
        };
    }
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn row(url: &str, head: &str, role: &str) -> Row {
        let status = json!({
            "node": "0x2", "role": role, "term": "0x3", "head": head, "pending": "0x0",
            "connected": ["0x1"], "voters": ["0x1", "0x2", "0x3"], "learners": [],
        });
        Row { url: url.to_owned(), said: Ok(Standing::read(&status).unwrap()) }
    }

    #[test]
    fn lag_is_counted_from_the_newest_head() {
        let rows = [row("http://a", "0x10", "leader"), row("http://b", "0xc", "follower")];
        let text = table(&rows);
        let lines: Vec<_> = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).collect();
        assert_eq!(lines[1], ["2", "leader", "3", "16", "0", "0", "1/2", "http://a"]);
        assert_eq!(lines[2], ["2", "follower", "3", "12", "4", "0", "1/2", "http://b"]);
    }

    #[test]
    fn who_does_not_answer_is_listed_with_the_reason() {
        let rows = [Row { url: "http://c".to_owned(), said: Err("connection refused".to_owned()) }];
        assert!(table(&rows).lines().nth(1).unwrap().ends_with("http://c: connection refused"));
    }

    #[test]
    fn an_answer_that_is_no_status_is_none() {
        assert_eq!(Standing::read(&json!({"node": "0x1"})), None);
        assert_eq!(Standing::read(&json!({"node": 1})), None);
    }
}
