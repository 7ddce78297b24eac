//! Generates records that deserve statuses. A line of a table says what a record must have to deserve a status. Where
//! possible, the requirements of two lines are combined in one record, which must get the status of the earlier line.
//!
//! ```text
//! 17 timeout_reserved_for_pending_transfer  pi  -pending timeout=*5
//! ```
//!
//! A line has a number, a name, the bases that it applies to, and what the record has: `field=value`, with several
//! values separated by `|`; `field=*value` for any value except the one of the base; `+flag`, `-flag`, and
//! `flags=*flag` for any other flags; `same` for no difference in what a retry compares; `open` for a link at the end
//! of its batch, `broken` for an event after a refused linked event.

use std::collections::BTreeMap;

/// The description of the records of one operation.
pub(super) struct Kind {
    /// What a retry compares, besides the flags.
    pub(super) compared: &'static [&'static str],
    /// The bits of a flag, by name.
    pub(super) flag: fn(&str) -> u16,
}

/// A record before it is packed.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Form {
    /// The base that it started from.
    pub(super) base: char,
    pub(super) fields: BTreeMap<&'static str, u128>,
    pub(super) flags: u16,
    pub(super) open: bool,
    pub(super) broken: bool,
}

impl Form {
    pub(super) fn new(base: char, fields: &[(&'static str, u128)], flags: u16) -> Self {
        Self { base, fields: fields.iter().copied().collect(), flags, open: false, broken: false }
    }

    pub(super) fn with(self, field: &'static str, value: u128) -> Self {
        self.with_all(&[(field, value)])
    }

    pub(super) fn with_all(mut self, fields: &[(&'static str, u128)]) -> Self {
        self.fields.extend(fields.iter().copied());
        self
    }

    pub(super) fn get(&self, field: &str) -> u128 {
        self.fields.get(field).copied().unwrap_or_default()
    }

    /// Converts a value to the type of a record's field.
    pub(super) fn take<T: TryFrom<u128>>(&self, field: &str) -> T {
        T::try_from(self.get(field)).unwrap_or_else(|_| panic!("{field} is out of range"))
    }
}

#[derive(Debug)]
enum Has {
    Is(&'static str, Vec<u128>),
    Other(&'static str, u128),
    With(u16),
    Without(u16),
    OtherFlags(u16),
    Same,
    Open,
    Broken,
}

/// A status, and one way to deserve it.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) number: u32,
    pub(super) name: &'static str,
    bases: &'static str,
    has: Vec<Has>,
}

impl Line {
    fn parse(kind: &Kind, line: &'static str, names: &BTreeMap<&str, u128>) -> Self {
        let mut words = line.split_whitespace();
        let mut next = || words.next().expect(line);
        let (number, name, bases) = (next().parse().expect(line), next(), next());
        let value = |word: &str| match word {
            "max" => u128::MAX,
            _ => word.parse().unwrap_or_else(|_| *names.get(word).unwrap_or_else(|| panic!("{word} in `{line}`"))),
        };
        let has = words.map(|word| match (word, word.split_once('='), word.split_at(1)) {
            ("same", ..) => Has::Same,
            ("open", ..) => Has::Open,
            ("broken", ..) => Has::Broken,
            (_, None, ("+", flag)) => Has::With((kind.flag)(flag)),
            (_, None, ("-", flag)) => Has::Without((kind.flag)(flag)),
            (_, Some(("flags", flag)), _) => Has::OtherFlags((kind.flag)(flag.trim_start_matches('*'))),
            (_, Some((field, given)), _) => match given.strip_prefix('*') {
                Some(other) => Has::Other(field, value(other)),
                None => Has::Is(field, given.split('|').map(value).collect()),
            },
            _ => panic!("{word} in `{line}`"),
        });
        let has = has.collect();
        Self { number, name, bases, has }
    }

    /// Changes a record so that it has what this line requires.
    fn give(&self, form: &mut Form) {
        for has in &self.has {
            match has {
                Has::Is(field, values) if values.contains(&form.get(field)) => {}
                Has::Is(field, values) => drop(form.fields.insert(field, values[0])),
                Has::Other(field, value) => drop(form.fields.insert(field, *value)),
                Has::With(flag) | Has::OtherFlags(flag) => form.flags |= flag,
                Has::Without(flag) => form.flags &= !flag,
                Has::Open => form.open = true,
                Has::Broken => form.broken = true,
                Has::Same => {}
            }
        }
    }

    /// Whether a record has everything that this line requires.
    fn fits(&self, kind: &Kind, form: &Form, base: &Form) -> bool {
        let differs = |field: &str| form.get(field) != base.get(field);
        self.bases.contains(form.base)
            && self.has.iter().all(|has| match has {
                Has::Is(field, values) => values.contains(&form.get(field)),
                Has::Other(field, _) => differs(field),
                Has::With(flag) => form.flags & flag == *flag,
                Has::Without(flag) => form.flags & flag == 0,
                Has::OtherFlags(_) => form.flags != base.flags,
                Has::Same => form.flags == base.flags && !kind.compared.iter().any(|field| differs(field)),
                Has::Open => form.open,
                Has::Broken => form.broken,
            })
    }
}

/// A record, and the statuses that it deserves according to its table.
#[derive(Debug)]
pub(super) struct Case {
    pub(super) form: Form,
    /// All statuses that it deserves, in order of precedence. There is at least one.
    pub(super) deserved: Vec<(u32, &'static str)>,
}

/// Generates, for every base, the records that one line or two lines require.
pub(super) fn cases(kind: &Kind, table: &'static str, names: &BTreeMap<&str, u128>, bases: &[Form]) -> Vec<Case> {
    let lines: Vec<Line> = lines(table).map(|line| Line::parse(kind, line, names)).collect();
    let mut cases = vec![];
    for base in bases {
        let here: Vec<&Line> = lines.iter().filter(|line| line.bases.contains(base.base)).collect();
        for (place, first) in here.iter().enumerate() {
            for second in &here[place..] {
                let mut form = base.clone();
                first.give(&mut form);
                second.give(&mut form);
                if first.fits(kind, &form, base) && second.fits(kind, &form, base) {
                    let deserved = here.iter().filter(|line| line.fits(kind, &form, base));
                    let mut deserved: Vec<_> = deserved.map(|line| (line.number, line.name)).collect();
                    deserved.dedup();
                    cases.push(Case { form, deserved });
                }
            }
        }
    }
    cases
}

/// The lines of a table, without comments.
pub(super) fn lines(table: &'static str) -> impl Iterator<Item = &'static str> {
    table.lines().map(|line| line.split('#').next().unwrap_or_default().trim()).filter(|line| !line.is_empty())
}
