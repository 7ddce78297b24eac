//! Where shards have their directories.

use std::collections::BTreeSet;
use std::path::Path;

use datadir::ShardPlace;
use disk::Directory;
use journal::{FileJournal, Layout};
use types::{Origin, ShardId, TenantId};

#[test]
fn every_shard_has_a_tenant_of_its_own() {
    let data = Path::new("data");
    let mut tenants = BTreeSet::new();
    for shard in 0..=u16::MAX {
        let tenant = ShardPlace::tenant_of(ShardId::new(shard));
        assert!(tenants.insert(tenant), "tenant {tenant} has two shards");
        if shard > 1 {
            assert_eq!(ShardPlace::of_tenant(data, tenant).map(|place| place.shard), Some(ShardId::new(shard)));
        }
    }
    for number in [0, 1, 65_536, u32::MAX] {
        assert_eq!(ShardPlace::of_tenant(data, TenantId::new(number)), None, "{number}");
    }
}

#[test]
fn a_directory_is_of_the_tenant_whose_journal_it_has() {
    let data = tempfile::tempdir().unwrap();
    let journal = Directory::open(&data.path().join("journal")).unwrap();
    let found = || ShardPlace::found(data.path(), &journal).unwrap();
    assert_eq!((found().shard, found().tenant), (ShardPlace::FIRST_SHARD, ShardPlace::FIRST_TENANT));
    let mut nothing = |_: &engine::Entry, _, _| Ok(());
    let origin = || Origin::new(7);
    drop(FileJournal::open(journal.clone(), Layout::TINY, ShardId::new(5), origin, None, &mut nothing).unwrap());
    assert_eq!((found().shard, found().tenant), (ShardId::new(5), TenantId::new(5)));
}
