//! `finaira lists`: loads a file of values into a list of a running server.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};
use types::{Name, Timestamp};

use crate::backtest::progress::Progress;
use crate::backtest::table::thousands;
use crate::remote::{Requests, Server};
use crate::stdio::outln;

/// Most bytes of the values of a request. The server takes 160 KiB of texts and reasons.
const TEXT_BYTES_MAX: usize = 128 << 10;
/// Most bytes of the body of a request. The server takes 1 MiB.
const BODY_BYTES_MAX: usize = 900 << 10;
/// Most values of a request. The server takes 5,000.
const VALUES_MAX: usize = 2_500;
/// Most values of a page.
const PAGE: usize = 1_000;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Add the values of a file to a list that exists
    #[command(after_help = "A file has one value in each line. Empty lines do not count. The API key needs the scope \
                            lists:write, and with --replace also lists:read.")]
    Load(Load),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Load {
    /// Name of the list
    list: Name,
    /// File with one value in each line
    file: PathBuf,
    #[command(flatten)]
    server: Server,
    /// Why the values are in the list: no personal data, because it is not encrypted
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
    /// From when on the values are not in the list any more, such as 2027-01-31T00:00:00Z
    #[arg(long, value_name = "TIME")]
    expires_at: Option<Timestamp>,
    /// Afterwards, remove every value that has another reason: give each version of the file a reason of its own
    #[arg(long, requires = "reason")]
    replace: bool,
}

pub(crate) fn run(command: &Command) -> anyhow::Result<()> {
    let Command::Load(load) = command;
    ensure!(!load.replace || !load.reason.is_empty(), "--replace needs a --reason that is not empty");
    let text = std::fs::read_to_string(&load.file);
    let text = text.with_context(|| format!("cannot read {}", load.file.display()))?;
    let values = values(&load.file, &text)?;
    let requests = Requests::new(&load.server)?;
    let list = load.list.as_str();
    let (changed, unchanged) = load.add(&requests, &values)?;
    let [changed, unchanged] = [changed, unchanged].map(|count| thousands(count.into()));
    outln!("List {list}: {changed} values added or changed, {unchanged} were there")?;
    if load.replace {
        let removed = load.remove_others(&requests)?;
        outln!("List {list}: {} values with another reason removed", thousands(removed.into()))?;
    }
    Ok(())
}

/// The values of a file, each once.
fn values<'t>(file: &Path, text: &'t str) -> anyhow::Result<Vec<&'t str>> {
    // Some programs write a mark at the beginning of a file, which is not a part of the first value.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut values: Vec<(&str, u32)> = text.lines().zip(1..).filter(|(line, _)| !line.is_empty()).collect();
    if let Some((line, number)) = values.iter().find(|(line, _)| line.len() > engine::LIST_TEXT_BYTES_MAX) {
        let (bytes, most) = (line.len(), engine::LIST_TEXT_BYTES_MAX);
        bail!("line {number} of {} has {bytes} bytes, expected at most {most}", file.display());
    }
    ensure!(!values.is_empty(), "{} has no values, expected one in each line", file.display());
    values.sort_unstable();
    values.dedup_by_key(|(line, _)| *line);
    // In the order of the file, so that an interrupted run has loaded its beginning.
    values.sort_unstable_by_key(|(_, number)| *number);
    Ok(values.into_iter().map(|(line, _)| line).collect())
}

/// The numbers of values that a request changed and left as they were.
fn counts(answer: &[u8]) -> anyhow::Result<(u64, u64)> {
    let answer: Value = serde_json::from_slice(answer).context("the server's response is not JSON")?;
    let number = |field: &str| answer.get(field).and_then(Value::as_u64);
    number("changed").zip(number("unchanged")).context("the server's response is not a change of a list")
}

impl Load {
    /// Adds the values. Returns how many of them changed the list, and how many were there.
    fn add(&self, requests: &Requests, values: &[&str]) -> anyhow::Result<(u64, u64)> {
        let path = format!("/v1/lists/{}/values", self.list);
        let expires_at = self.expires_at.map(|at| at.to_string());
        let mut progress = Progress::of("values", values.len() as u64);
        let (mut changed, mut unchanged) = (0, 0);
        let mut rest = values;
        while !rest.is_empty() {
            let mut body = String::from("{\"values\":[");
            let (mut bytes, mut count) = (self.reason.len(), 0);
            for value in rest.iter().take(VALUES_MAX) {
                let shown = match &expires_at {
                    Some(at) => json!({"value": value, "reason": self.reason, "expires_at": at}),
                    None => json!({"value": value, "reason": self.reason}),
                };
                let shown = shown.to_string();
                bytes = bytes.saturating_add(value.len());
                if count > 0 && (bytes > TEXT_BYTES_MAX || body.len() + shown.len() > BODY_BYTES_MAX) {
                    break;
                }
                if count > 0 {
                    body.push(',');
                }
                body.push_str(&shown);
                count += 1;
            }
            body.push_str("]}");
            let (now, later) = rest.split_at(count);
            let (more, known) = counts(&requests.post(&path, "application/json", body.as_bytes())?)?;
            changed += more;
            unchanged += known;
            progress.add(now.len());
            rest = later;
        }
        progress.finish();
        Ok((changed, unchanged))
    }

    /// Removes every value that has another reason. Returns how many there were.
    fn remove_others(&self, requests: &Requests) -> anyhow::Result<u64> {
        let mut others = Vec::new();
        let mut target = format!("/v1/lists/{}/values?limit={PAGE}", self.list);
        loop {
            let page = requests.find(&target)?.context("the list was deleted meanwhile")?;
            let page: Value = serde_json::from_slice(&page).context("the server's response is not JSON")?;
            let items = page.get("items").and_then(Value::as_array).context("the server's response is not a page")?;
            others.extend(items.iter().filter(|item| item["reason"] != self.reason.as_str()).cloned());
            match page.get("next_cursor").and_then(Value::as_str) {
                Some(cursor) => target = format!("/v1/lists/{}/values?limit={PAGE}&cursor={cursor}", self.list),
                None => break,
            }
        }
        let mut removed = 0;
        // Of these, a request has fewer bytes than it may have, whatever they are.
        for others in others.chunks(500) {
            // Values of a list of texts have a `value`, those of other lists a `token`.
            let mut body = serde_json::Map::new();
            for (field, plural) in [("value", "values"), ("token", "tokens")] {
                let found: Vec<Value> = others.iter().filter_map(|item| item.get(field)).cloned().collect();
                if !found.is_empty() {
                    body.insert(plural.to_owned(), found.into());
                }
            }
            let body = serde_json::to_vec(&body)?;
            let path = format!("/v1/lists/{}/remove-values", self.list);
            removed += counts(&requests.post(&path, "application/json", &body)?)?.0;
        }
        Ok(removed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_a_value_in_each_line() {
        let read = |text: &str| {
            let found = values(Path::new("list.txt"), text);
            found.map(|values| values.join("|")).map_err(|error| error.to_string())
        };
        assert_eq!(read("\u{feff}a\n").as_deref(), Ok("a"));
        assert_eq!(read("b\n\na\r\nb\n ä\n").as_deref(), Ok("b|a| ä"));
        assert_eq!(read("\n\n").unwrap_err(), "list.txt has no values, expected one in each line");
        let long = format!("a\n{}\n", "x".repeat(257));
        assert_eq!(read(&long).unwrap_err(), "line 2 of list.txt has 257 bytes, expected at most 256");
    }
}
