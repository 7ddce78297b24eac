//! The key store on the simulated disk, with one fault at a time.

use datadir::KeyStore;
use journal::{Identity, Part};
use sim::{Crash, Rng, SimDisk, Trouble};
use types::{Epoch, Origin, Seq, TenantId, Token};
use vault::Keys as _;

const TENANT: TenantId = TenantId::new(1);

fn open(disk: &SimDisk, seed: u64) -> KeyStore<SimDisk> {
    let mut rng = Rng::new(seed);
    let random = move |bytes: &mut [u8]| bytes.iter_mut().for_each(|byte| *byte = rng.byte());
    let identity = Identity { origin: Origin::new(7), epoch: Epoch::new(1) };
    let lineage = [Part { identity, first: Seq::new(1) }];
    KeyStore::open(disk, &lineage, seed > 1, Box::new(random)).expect("the key store opens")
}

fn token(keys: &KeyStore<SimDisk>, value: &str) -> Token {
    keys.token(TENANT, "customer", value, true).expect("there is room for a key")
}

fn lose_power(disk: &SimDisk) {
    disk.crash(Crash::DropsUnsynced, &mut Rng::new(1));
}

#[test]
fn a_key_that_a_start_found_is_there_after_a_crash_though_its_sync_had_failed() {
    let disk = SimDisk::default();
    let keys = open(&disk, 1);
    let ann = token(&keys, "ann");
    disk.trouble(Trouble::Sync, 0);
    keys.save().expect_err("the sync fails, and the process stops");
    // The system still returns the bytes that it failed to write, and treats them as written.
    disk.restart(false);
    let keys = open(&disk, 2);
    assert_eq!(token(&keys, "ann"), ann);
    keys.save().expect("there is nothing left to save");
    lose_power(&disk);
    let keys = open(&disk, 3);
    assert_eq!(keys.known_token(TENANT, "customer", "ann", true), Some(ann));
}

#[test]
fn a_torn_key_is_cut_off_and_the_store_goes_on() {
    for seed in 0..40 {
        let disk = SimDisk::default();
        let keys = open(&disk, 1);
        let ann = token(&keys, "ann");
        keys.save().expect("saved");
        for number in 0..8 {
            token(&keys, &number.to_string());
        }
        disk.trouble(Trouble::Write, 0);
        keys.save().expect_err("the write fails half-way");
        disk.crash(Crash::TearsUnsynced, &mut Rng::new(seed));
        let keys = open(&disk, 2);
        let bob = token(&keys, "bob");
        keys.save().expect("saved");
        lose_power(&disk);
        let keys = open(&disk, 3);
        for (name, expected) in [("ann", ann), ("bob", bob)] {
            assert_eq!(keys.known_token(TENANT, "customer", name, true), Some(expected), "seed {seed}");
        }
    }
}
