//! What an error of MySQL or MariaDB means for a connector.

use mysql::{DriverError, Error, MySqlError};

use crate::target::Fault;

/// Errors after which the same statement may succeed later, without a change of the data or the configuration.
const PASSING: [u16; 42] = [
    // The machine: files and disks, memory, threads.
    1004, 1021, 1023, 1024, 1026, 1030, 1037, 1038, 1041, 1114, 1135, 1180, 3, 1296, 1297,
    // Too many connections, of all users or of this one; a connection that broke, was idle or was ended by an administrator; a shutdown.
    1040, 1042, 1043, 1053, 1077, 1081, 1152, 1158, 1159, 1160, 1161, 1184, 1203, 1226, 1317, 1927, 4031,
    // Locks, deadlocks, time limits.
    1020, 1205, 1206, 1213, 1637, 1969, 3024,
    // A server that only reads at the moment, such as a replica before it is promoted.
    1290, 1792, 1836,
];

pub(super) fn fault(error: &Error) -> Fault {
    match error {
        Error::MySqlError(error) if is_passing(error) => Fault::Unreachable(told(error)),
        Error::MySqlError(error) => Fault::Refused(told(error)),
        Error::IoError(error) => Fault::Unreachable(error.to_string()),
        Error::CodecError(error) => Fault::Unreachable(error.to_string()),
        Error::DriverError(
            error @ (DriverError::ConnectTimeout
            | DriverError::CouldNotConnect(_)
            | DriverError::PacketOutOfSync
            | DriverError::SetupError
            | DriverError::Timeout
            | DriverError::UnexpectedPacket),
        ) => Fault::Unreachable(error.to_string()),
        Error::DriverError(error) => Fault::Refused(error.to_string()),
        Error::UrlError(error) => Fault::Refused(error.to_string()),
        Error::FromValueError(_) | Error::FromRowError(_) => Fault::Contradicts(error.to_string()),
    }
}

fn is_passing(error: &MySqlError) -> bool {
    // The class of connections, and that of transactions that were rolled back.
    PASSING.contains(&error.code) || error.state.starts_with("08") || error.state.starts_with("40")
}

fn told(error: &MySqlError) -> String {
    format!("{} ({}, {})", error.message, error.code, error.state)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(code: u16, state: &str, message: &str) -> Fault {
        fault(&Error::MySqlError(MySqlError { code, state: state.to_owned(), message: message.to_owned() }))
    }

    #[test]
    fn what_passes_is_tried_again() {
        let passing = |code, state| matches!(of(code, state, "x"), Fault::Unreachable(_));
        assert!(passing(1213, "40001"), "a deadlock");
        assert!(passing(1205, "HY000"), "a lock that was not had in time");
        assert!(passing(1021, "HY000") && passing(1114, "HY000"), "a full disk");
        assert!(passing(1290, "HY000") && passing(1836, "HY000"), "a server that only reads");
        assert!(passing(1040, "08004"), "too many connections");
        assert!(passing(1047, "08S01"), "a node of a cluster that is not ready");
        assert!(!passing(1045, "28000"), "a wrong password");
        assert!(!passing(1062, "23000"), "a row that is there already");
        assert!(!passing(1054, "42S22"), "a column that somebody removed");
        let broken = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        assert!(matches!(fault(&Error::IoError(broken)), Fault::Unreachable(_)));
        assert!(matches!(fault(&Error::DriverError(DriverError::CouldNotConnect(None))), Fault::Unreachable(_)));
        assert!(matches!(
            fault(&Error::DriverError(DriverError::UnknownAuthPlugin("x".to_owned()))),
            Fault::Refused(_)
        ));
    }

    #[test]
    fn what_is_refused_is_named() {
        let fault = of(1406, "22001", "Data too long for column 'type' at row 3");
        assert_eq!(fault, Fault::Refused("Data too long for column 'type' at row 3 (1406, 22001)".to_owned()));
    }
}
