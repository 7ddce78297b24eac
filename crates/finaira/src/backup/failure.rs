//! How a backup ends badly, and the exit code that says so.

use journal::CopyFault;

/// Why a backup ended. The exit codes are permanent: whoever watches a backup acts on them.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The directory holds what this backup must not write over or cannot continue.
    #[error("{0}")]
    OtherContent(String),
    /// The server cannot be reached, or takes no requests.
    #[error("{0}")]
    Unreachable(String),
    /// Everything else.
    #[error("{0}")]
    Broken(String),
}

impl Failure {
    /// 1: failed. 3: the directory holds something else. 4: no server. (2 is for wrong arguments.)
    pub(crate) const fn exit_code(&self) -> u8 {
        match self {
            Self::Broken(_) => 1,
            Self::OtherContent(_) => 3,
            Self::Unreachable(_) => 4,
        }
    }

    /// Whether it is of no use to try again with the same server.
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
