//! The ways in which a backup fails, and their exit codes.

use journal::CopyFault;

/// Why a backup failed. The exit codes are permanent, because monitoring relies on them.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The directory has content that this backup must not overwrite or cannot continue.
    #[error("{0}")]
    OtherContent(String),
    /// The server cannot be reached, or accepts no requests.
    #[error("{0}")]
    Unreachable(String),
    /// Any other failure.
    #[error("{0}")]
    Broken(String),
}

impl Failure {
    /// Returns 1 for a general failure, 3 if the directory contains something else, and 4 if there is no server. (clap
    /// uses 2 for wrong arguments.)
    pub(crate) const fn exit_code(&self) -> u8 {
        match self {
            Self::Broken(_) => 1,
            Self::OtherContent(_) => 3,
            Self::Unreachable(_) => 4,
        }
    }

    /// Whether trying again with the same server is useless.
    pub(super) const fn is_final(&self) -> bool {
        match self {
            Self::Unreachable(_) => false,
            Self::OtherContent(_) | Self::Broken(_) => true,
        }
    }
}

impl From<CopyFault> for Failure {
    fn from(fault: CopyFault) -> Self {
        match fault {
            CopyFault::OtherHistory { .. } => Self::OtherContent(fault.to_string()),
            CopyFault::Own(_) | CopyFault::Received { .. } => Self::Broken(fault.to_string()),
        }
    }
}
