//! Query parameters: decodes them, rejects unknown ones, and reads typed values.

use std::ops::RangeInclusive;
use std::str::FromStr;

use types::{Origin, Seq, ShardId};

use crate::errors::ErrorCode;
use crate::json::{one_of, shorten, text_fault};
use crate::problem::Problem;

/// The size of a page if `limit` is not given.
pub const PAGE_DEFAULT: usize = 100;
/// The largest `limit`.
pub const PAGE_MAX: usize = engine::PAGE_MAX;
/// The longest value of a parameter.
const VALUE_BYTES_MAX: usize = 1024;

/// The decoded query parameters of a request. The route knows each of them, and each is given once.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Parses the part of the URL after `?`.
    pub fn parse(query: &str, known: &[&str]) -> Result<Self, Problem> {
        let mut parameters: Vec<(String, String)> = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decode(name).ok_or_else(|| undecodable("the name of a parameter", name))?;
            if !known.iter().any(|known| is_known(&name, known)) {
                let expected = if known.is_empty() { "none".to_owned() } else { one_of(known) };
                let detail = format!("there is no parameter `{}`, expected {expected}", shorten(&name));
                return Err(Problem::new(ErrorCode::UnknownParameter, detail).at(shorten(&name)));
            }
            let value = decode(value).ok_or_else(|| undecodable("the value", value).at(name.clone()))?;
            if let Some(fault) = text_fault(&value, VALUE_BYTES_MAX) {
                return Err(invalid(&name, format!("found {fault}")));
            }
            if parameters.iter().any(|(given, _)| *given == name) {
                return Err(invalid(&name, "the parameter is given twice"));
            }
            parameters.push((name, value));
        }
        Ok(Self(parameters))
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    /// The parameters that are of none of the families and not known by their names.
    pub(crate) fn beyond<'a>(&'a self, known: &'a [&str]) -> impl Iterator<Item = (&'a str, &'a str)> {
        let is_named = |name: &str| known.iter().any(|known| !known.starts_with('<') && is_known(name, known));
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str())).filter(move |(name, _)| !is_named(name))
    }

    /// The parameters whose names begin with `head`: the rest of each name, and its value.
    pub(crate) fn behind<'a>(&'a self, head: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.0.iter().filter_map(move |(name, value)| Some((name.strip_prefix(head)?, value.as_str())))
    }

    /// The value of a parameter, parsed as a `T`.
    pub fn parsed<T: FromStr>(&self, name: &str) -> Result<Option<T>, Problem>
    where
        T::Err: std::fmt::Display,
    {
        self.get(name).map(|value| value.parse().map_err(|error: T::Err| invalid(name, error.to_string()))).transpose()
    }

    /// The parameter `limit`, from 1 to [`PAGE_MAX`]; [`PAGE_DEFAULT`] if it is not given.
    pub fn limit(&self) -> Result<usize, Problem> {
        let Some(text) = self.get("limit") else { return Ok(PAGE_DEFAULT) };
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        match text.parse::<usize>() {
            Ok(limit @ 1..=PAGE_MAX) if digits => Ok(limit),
            Ok(limit) if digits && limit > PAGE_MAX => {
                let detail = format!("found {limit}, but a page has at most {PAGE_MAX} items");
                Err(Problem::new(ErrorCode::PageSizeTooLarge, detail).at("limit"))
            }
            _ => {
                let detail = format!("found `{}`, expected a whole number from 1 to {PAGE_MAX}", shorten(text));
                Err(invalid("limit", detail))
            }
        }
    }

    /// A parameter that is a whole number within `bounds`.
    pub fn number(&self, name: &str, bounds: RangeInclusive<u64>) -> Result<Option<u64>, Problem> {
        self.get(name).map(|text| number(name, text, bounds)).transpose()
    }

    /// A parameter that is `true` or `false`; false if it is not given.
    pub fn flag(&self, name: &str) -> Result<bool, Problem> {
        match self.get(name) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(other) => Err(invalid(name, format!("found `{}`, expected true or false", shorten(other)))),
        }
    }

    /// The parameter `cursor`: the position in `list` after which to continue, 0 if it is not given.
    pub fn cursor(&self, history: CursorOrigin, list: List) -> Result<u64, Problem> {
        Ok(self.cursor_if_given(history, list)?.unwrap_or(0))
    }

    /// The parameter `cursor`: the position in `list` after which to continue.
    pub fn cursor_if_given<T: FromStr>(&self, history: CursorOrigin, list: List) -> Result<Option<T>, Problem> {
        let position = |text| history.position(text, list).map_err(|problem| problem.at("cursor"));
        self.get("cursor").map(position).transpose()
    }
}

/// Whether a name is this parameter. `metadata.<key>` stands for every key, and `<entity>` for every name.
fn is_known(name: &str, known: &str) -> bool {
    match known.split_once('<') {
        Some((head, _)) => name.starts_with(head),
        None => name == known,
    }
}

/// Parses a whole number within `bounds`, from a parameter or a part of the path.
pub(crate) fn number(name: &str, text: &str, bounds: RangeInclusive<u64>) -> Result<u64, Problem> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|number| digits && bounds.contains(number)).ok_or_else(|| {
        let (first, last) = bounds.into_inner();
        invalid(name, format!("found `{}`, expected a whole number from {first} to {last}", shorten(text)))
    })
}

/// An error about a query parameter or a part of the path.
pub(crate) fn invalid(name: &str, detail: impl Into<String>) -> Problem {
    Problem::new(ErrorCode::InvalidParameter, detail).at(name)
}

fn undecodable(what: &str, text: &str) -> Problem {
    let detail = format!("{what} `{}` is not percent-encoded UTF-8", shorten(text));
    Problem::new(ErrorCode::InvalidParameter, detail)
}

/// The decoded segments of a path at the places where its template has names in braces. A
/// segment and its percent-encoded form name the same thing (RFC 3986, section 6.2.2.2), and generated clients encode.
///
/// # Errors
/// Fails if the segment cannot be decoded.
pub fn path_segments(template: &str, path: &str) -> Result<Vec<String>, Problem> {
    let segments = template.split('/').zip(path.split('/')).filter(|(name, _)| name.starts_with('{'));
    let decoded = segments.map(|(_, segment)| {
        // A plus sign is itself: only forms use it for a space.
        decode(&segment.replace('+', "%2B")).ok_or_else(|| undecodable("the path", segment).at("id"))
    });
    decoded.collect()
}

/// Decodes percent-encoding; `+` is a space, as in HTML forms.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
                let (high, low) = (digit(rest.next()?)?, digit(rest.next()?)?);
                (high << 4_u32) | low
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

/// The history that a server serves. Every cursor names it, so that the server recognises a cursor of another history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CursorOrigin {
    /// The origin of the journal.
    pub origin: Origin,
    pub shard: ShardId,
}

/// The list that a cursor belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum List {
    /// Entries; the position is a sequence.
    Events,
    /// Accounts; the position is an account's place in the order of opening.
    Accounts,
    /// Scheduled transfers; the position is their time in nanoseconds, together with a 64-bit number.
    Scheduled,
    /// Transfers found by an index; the position is a place in the journal.
    Transfers,
    /// All transfers; the position is a place in the sequence of entries.
    AllTransfers,
    /// Transfers by metadata; the position is an id.
    TransfersByMetadata,
    /// Pending transfers; the position is a timestamp in nanoseconds.
    Pending,
    /// The lines of a statement; the position is a timestamp in nanoseconds.
    Statement,
    /// Payments; the position is a sequence.
    Payments,
    /// API keys; the position is the number of a key.
    ApiKeys,
    /// Tenants; the position is the number of a tenant.
    Tenants,
    /// What principals did; the position is a sequence.
    Audit,
    /// Proposals; the position is the sequence of the entry that made one.
    Proposals,
    /// Clients, issuers or roles; the position is the time at which one was added, in nanoseconds.
    Settings,
    /// The values of a list; the position is a place in the list.
    ListValues,
    /// The payments of a backtest; the position is a place in its result, together with a part of its id.
    BacktestPayments,
}

impl List {
    /// The letter before the position, so that a cursor of one list is not mistaken for one of another.
    const fn letter(self) -> &'static str {
        match self {
            Self::Events => "",
            Self::Accounts => "a",
            Self::Scheduled => "s",
            Self::Transfers => "t",
            Self::AllTransfers => "j",
            Self::TransfersByMetadata => "m",
            Self::Pending => "h",
            Self::Statement => "l",
            Self::Payments => "p",
            Self::ApiKeys => "k",
            Self::Tenants => "n",
            Self::Audit => "u",
            Self::Proposals => "o",
            Self::Settings => "g",
            Self::ListValues => "v",
            Self::BacktestPayments => "b",
        }
    }
}

impl CursorOrigin {
    /// The cursor that continues after `position`: `<origin>.<shard>.<position>`.
    pub fn cursor(self, list: List, position: impl std::fmt::Display) -> String {
        format!("{}.{}.{}{position}", self.origin, self.shard, list.letter())
    }

    /// The cursor that continues the event feed after an entry.
    pub fn event_cursor(self, seq: Seq) -> String {
        self.cursor(List::Events, seq.get())
    }

    /// The position in a cursor of this history.
    pub fn position<T: FromStr>(self, cursor: &str, list: List) -> Result<T, Problem> {
        let malformed = || {
            let detail = format!("`{}` is not a cursor of this list", shorten(cursor));
            Problem::new(ErrorCode::InvalidParameter, detail)
        };
        let mut parts = cursor.split('.');
        let (Some(origin), Some(shard), Some(place), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(malformed());
        };
        let digits = place.strip_prefix(list.letter()).ok_or_else(malformed)?;
        let plain = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let position = digits.parse().ok().filter(|_| plain(digits)).ok_or_else(malformed)?;
        let shard = shard.parse().ok().filter(|_| plain(shard)).map(ShardId::new).ok_or_else(malformed)?;
        let origin: Origin = origin.parse().map_err(|_malformed| malformed())?;
        if (origin, shard) != (self.origin, self.shard) {
            let detail = format!(
                "the cursor belongs to origin {origin}, shard {shard}, but this history has origin {}, shard {}",
                self.origin, self.shard
            );
            return Err(Problem::new(ErrorCode::CursorOfAnotherOrigin, detail));
        }
        Ok(position)
    }
}
