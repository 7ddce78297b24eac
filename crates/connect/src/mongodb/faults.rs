//! What an error of MongoDB means for a connector.

use mongodb::bson::Document;
use mongodb::error::{Error, ErrorKind};

use crate::target::Fault;

/// A key that is there already.
const DUPLICATE_KEY: i32 = 11_000;

/// Errors after which the same command may succeed later, without a change of the data or the configuration.
const PASSING: [i32; 28] = [
    // The connection between the parts of a cluster, a server that ends, a primary that is replaced.
    6, 7, 9, 89, 91, 133, 189, 234, 9_001, 10_107, 11_600, 11_602, 13_435, 13_436,
    // Locks, transactions that conflict or were ended, time limits.
    24, 46, 50, 112, 202, 251, 262, 263, // A write that too few members have confirmed, or that they cannot yet.
    64, 100,
    134, // The machine: a full disk, no memory, an internal error such as FerretDB's of a locked database.
    1, 14_031, 146,
];

/// An error of the client library.
pub(super) fn fault(error: &Error) -> Fault {
    let passing = ["RetryableWriteError", "TransientTransactionError", "UnknownTransactionCommitResult"];
    if passing.iter().any(|label| error.contains_label(label)) {
        return Fault::Unreachable(error.to_string());
    }
    // The library may add kinds in any release.
    #[expect(clippy::wildcard_enum_match_arm, reason = "the enum belongs to the client library")]
    match error.kind.as_ref() {
        ErrorKind::Io(_)
        | ErrorKind::DnsResolve { .. }
        | ErrorKind::ConnectionPoolCleared { .. }
        | ErrorKind::ServerSelection { .. }
        | ErrorKind::InvalidResponse { .. }
        | ErrorKind::Shutdown => Fault::Unreachable(error.to_string()),
        ErrorKind::Command(command) => of_code(command.code, error.to_string()),
        ErrorKind::BsonDeserialization(_) => Fault::Contradicts(error.to_string()),
        _ => Fault::Refused(error.to_string()),
    }
}

fn of_code(code: i32, what: String) -> Fault {
    if PASSING.contains(&code) { Fault::Unreachable(what) } else { Fault::Refused(what) }
}

/// What the reply to a command that writes says about its parts.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Written {
    /// How many documents were inserted, or found by an update.
    pub(super) found: usize,
    /// The places of the documents that were not inserted, because there is one with the same id.
    pub(super) duplicates: Vec<usize>,
}

impl Written {
    /// Reads the reply to an `insert` or `update`.
    ///
    /// # Errors
    /// When a part was not written for any other reason than a key that is there already.
    pub(super) fn of(reply: &Document, collection: &str) -> Result<Self, Fault> {
        let number = |of: &Document, name: &str| {
            let number = of.get(name).and_then(|number| number.as_i32().map(i64::from).or_else(|| number.as_i64()));
            number.unwrap_or_default()
        };
        let text = |of: &Document| of.get_str("errmsg").unwrap_or("no message").to_owned();
        let code = |of: &Document| i32::try_from(number(of, "code")).unwrap_or_default();
        let mut written =
            Self { found: usize::try_from(number(reply, "n")).unwrap_or_default(), duplicates: Vec::new() };
        for error in reply.get_array("writeErrors").into_iter().flatten() {
            let Some(error) = error.as_document() else { continue };
            match code(error) {
                DUPLICATE_KEY => {
                    written.duplicates.push(usize::try_from(number(error, "index")).unwrap_or(usize::MAX));
                }
                code => return Err(of_code(code, format!("{} ({code}); collection: {collection}", text(error)))),
            }
        }
        if let Ok(error) = reply.get_document("writeConcernError") {
            let what = format!("{} ({}); collection: {collection}", text(error), code(error));
            return Err(Fault::Unreachable(what));
        }
        Ok(written)
    }
}

#[cfg(test)]
mod tests {
    use mongodb::bson::doc;

    use super::*;

    #[test]
    fn replies_are_read() {
        let duplicates = doc! {"n": 3, "ok": 1.0, "writeErrors": [
            {"index": 1, "code": 11_000, "errmsg": "E11000"}, {"index": 4, "code": 11_000, "errmsg": "E11000"},
        ]};
        assert_eq!(Written::of(&duplicates, "accounts"), Ok(Written { found: 3, duplicates: vec![1, 4] }));
        let refused = doc! {"n": 0, "writeErrors": [{"index": 0, "code": 121, "errmsg": "failed validation"}]};
        let what = "failed validation (121); collection: accounts".to_owned();
        assert_eq!(Written::of(&refused, "accounts"), Err(Fault::Refused(what)));
        let stepped = doc! {"n": 0_i64, "writeErrors": [{"index": 0, "code": 189, "errmsg": "stepped down"}]};
        assert!(matches!(Written::of(&stepped, "accounts"), Err(Fault::Unreachable(_))));
        let unsure = doc! {"n": 1, "writeConcernError": {"code": 64, "errmsg": "waiting timed out"}};
        assert!(matches!(Written::of(&unsure, "accounts"), Err(Fault::Unreachable(_))));
    }
}
