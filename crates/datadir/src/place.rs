//! Where a shard has its directory, and whose journal a directory holds.
//!
//! ```text
//! DIR/{journal,keys,index,proofs}             the first tenant
//! DIR/system/{journal,keys,index,proofs}      the system journal: the settings of the installation
//! DIR/tenants/<number>/{journal,…}            every further tenant
//! ```
//!
//! Every shard has the same four folders, so the directory of a tenant is a data directory of its own.

use std::path::{Path, PathBuf};

use disk::Disk;
use journal::{Fault, FileJournal};
use types::{Seq, ShardId, TenantId};

/// The folder of the system journal, in a data directory.
pub const SYSTEM: &str = "system";
/// The folder of all tenants but the first, in a data directory.
pub const TENANTS: &str = "tenants";
/// The last entry that the creation of a tenant writes: the first one begins its journal, then come a principal and its API key.
const LAST_OF_CREATION: Seq = Seq::new(3);

/// A shard: whose journal it is, and the directory with its folders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardPlace {
    pub shard: ShardId,
    pub tenant: TenantId,
    pub directory: PathBuf,
}

impl ShardPlace {
    /// The shard of the tenant that a new installation begins with.
    pub const FIRST_SHARD: ShardId = ShardId::new(0);
    /// The tenant that a new installation begins with.
    pub const FIRST_TENANT: TenantId = TenantId::new(1);
    /// The shard of the system journal.
    pub const SYSTEM_SHARD: ShardId = ShardId::new(1);
    /// The tenant of the system journal, which nobody has a credential of.
    pub const SYSTEM_TENANT: TenantId = TenantId::new(0);

    /// The shard whose journal is in a directory: the one that its segments name, or the first tenant's if there are
    /// none yet.
    ///
    /// A directory that was exported from another installation keeps its shard and its tenant.
    ///
    /// # Errors
    /// Fails if the segments cannot be read.
    pub fn found(directory: &Path, journal: &impl Disk) -> Result<Self, Fault> {
        let shard = FileJournal::shard_before_opening(journal)?.unwrap_or(Self::FIRST_SHARD);
        Ok(Self { shard, tenant: Self::tenant_of(shard), directory: directory.to_owned() })
    }

    /// Whether the journal of a tenant has more entries than its creation writes, so that somebody got its API key and used it.
    /// Reads no further than to the first such entry.
    ///
    /// # Errors
    /// Fails if the journal is damaged or cannot be read.
    pub fn was_used(&self, journal: &impl Disk) -> Result<bool, Fault> {
        let mut was_used = false;
        let inspected = FileJournal::inspect(journal, self.shard, &mut |entry, _, _| {
            was_used = entry.header.seq > LAST_OF_CREATION;
            // Nobody sees this: it ends the reading.
            if was_used { Err(Fault::Poisoned("the tenant was used".to_owned())) } else { Ok(()) }
        });
        if was_used { Ok(true) } else { inspected.map(|_all| false) }
    }

    /// The system journal of a data directory.
    pub fn of_the_system(data: &Path) -> Self {
        Self { shard: Self::SYSTEM_SHARD, tenant: Self::SYSTEM_TENANT, directory: data.join(SYSTEM) }
    }

    /// A tenant of a data directory that is not its first. `None` for numbers that no such tenant has.
    pub fn of_tenant(data: &Path, tenant: TenantId) -> Option<Self> {
        let number = u16::try_from(tenant.get()).ok().filter(|number| *number > 1)?;
        let directory = data.join(TENANTS).join(tenant.to_string());
        Some(Self { shard: ShardId::new(number), tenant, directory })
    }

    /// The tenant whose entries a shard contains. The number of a tenant is that of its shard, except for the first tenant,
    /// whose shard is 0, and the system journal, whose shard is 1.
    pub fn tenant_of(shard: ShardId) -> TenantId {
        match shard {
            Self::FIRST_SHARD => Self::FIRST_TENANT,
            Self::SYSTEM_SHARD => Self::SYSTEM_TENANT,
            other => TenantId::new(u32::from(other.get())),
        }
    }

    /// A folder of this shard.
    pub fn folder(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}
