//! Journals that the last releases of earlier format versions wrote, and the reader that was written from
//! `docs/journal-format.md` alone.
//!
//! Those releases themselves wrote `testdata/v1/rotated` and `v2/rotated` (the last one before rows, and the last one
//! before continued histories): random entries of every kind that they knew, in three segments, each sealed by a
//! rotation, and a fourth whose only frame is cut, as after a power failure. `entries.txt` contains the canonical forms
//! and leaf hashes that those releases computed. Nobody can write these files again, so they never change.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use engine::{Entry, Fact};
use journal::{DurableLog, Fault, TornTail, canonical, kind_name, leaf_hash};
use ledger::{Transfer, TransferKey};
use types::Seq;

use crate::support::{Folder, frame, read_all, root, small};

fn testdata() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata")
}

/// A folder with a stored journal. Its files are stored without trailing zeros.
fn unpacked(kept: &str) -> Folder {
    let folder = Folder::new();
    for item in std::fs::read_dir(testdata().join(kept)).unwrap() {
        let item = item.unwrap();
        let name = item.file_name().into_string().unwrap();
        if name.starts_with("segment-") || name == "mark" {
            let mut bytes = std::fs::read(item.path()).unwrap();
            bytes.resize(bytes.len() + 64, 0);
            folder.write(&name, &bytes);
        }
    }
    folder
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

fn described(entries: &[Entry]) -> String {
    let mut text = String::new();
    for entry in entries {
        writeln!(text, "{} {}\n  canonical {}", entry.header.seq, kind_name(entry), hex(&canonical(entry))).unwrap();
        writeln!(text, "  leaf      {}", hex(&leaf_hash(entry))).unwrap();
    }
    text
}

/// Opens the journal that an earlier release left after a power failure, continues to write it, and opens it again.
#[track_caller]
fn check_continued(kept: &str, last: u64, kinds: usize) {
    let folder = unpacked(kept);
    let mut opened = folder.open();
    let torn = TornTail { file: "segment-00000004".to_owned(), offset: 4096, after: Seq::new(last) };
    assert_eq!(opened.recovered.torn, Some(torn));
    let expected = std::fs::read_to_string(testdata().join(kept).join("entries.txt")).unwrap();
    assert!(described(&opened.entries) == expected, "{kept}: a released file never changes");
    let mut names: Vec<&str> = opened.entries.iter().map(kind_name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), kinds, "{names:?}");
    for next in last + 1..last + 3 {
        opened.journal.append(&frame(&[small(next)])).unwrap();
        opened.journal.sync().unwrap();
    }
    let entries = read_all(&opened.journal.reader());
    drop(opened);
    let again = folder.open();
    assert_eq!((again.recovered.torn, again.recovered.last), (None, Seq::new(last + 2)));
    assert!(again.entries == entries && described(&entries[..entries.len() - 2]) == expected);
}

#[test]
fn a_journal_from_the_last_release_of_version_1_continues() {
    check_continued("v1/rotated", 72, 13);
}

#[test]
fn a_journal_from_the_last_release_of_version_2_continues() {
    check_continued("v2/rotated", 108, 23);
}

#[test]
fn damage_to_a_journal_of_an_earlier_version_is_found() {
    for kept in ["v1/rotated", "v2/rotated"] {
        for number in 1..=3 {
            let name = format!("segment-{number:08}");
            let kept_bytes = std::fs::metadata(testdata().join(kept).join(&name)).unwrap().len();
            // Every 499th bit is enough: the checksums are the same as in `exhaustive`.
            for bit in (0..8 * usize::try_from(kept_bytes).unwrap()).step_by(499) {
                let at = bit / 8;
                let folder = unpacked(kept);
                folder.change(&name, |bytes| bytes[at] ^= 1 << (bit % 8));
                match folder.try_open() {
                    Err(Fault::Damaged { file, .. }) if file == name => {}
                    Ok(_) if (100..4096).contains(&at) => {}
                    other => panic!("{kept} {name} bit {bit}: {:?}", other.map(|opened| opened.recovered)),
                }
            }
        }
    }
}

fn key(key: TransferKey) -> String {
    match key {
        TransferKey::Client(id) => id.to_string(),
        TransferKey::Leg { payment, number } => format!("{payment}/{number}"),
    }
}

/// The fields of a transfer as the Python reader prints them.
fn transfer_fields(transfer: &Transfer) -> String {
    let Transfer { debit, credit, amount, ledger, code, .. } = transfer;
    let mut text = format!(
        r#"{{"id": "{}", "debit": "{debit}", "credit": "{credit}", "amount": {}, "ledger": {ledger}, "code": {code}, "#,
        key(transfer.key),
        amount.get(),
    );
    write!(text, r#""flags": {}, "timestamp": "{}""#, transfer.flags.bits(), transfer.timestamp).unwrap();
    let numbers = [
        ("user_data_128", transfer.user_data_128),
        ("user_data_64", transfer.user_data_64.into()),
        ("user_data_32", transfer.user_data_32.into()),
    ];
    for (name, number) in numbers.into_iter().filter(|(_, number)| *number != 0) {
        write!(text, r#", "{name}": {number}"#).unwrap();
    }
    if let Some(pending) = transfer.pending {
        write!(text, r#", "pending": "{}""#, key(pending)).unwrap();
    }
    if transfer.timeout_s > 0 {
        write!(text, r#", "timeout_s": {}"#, transfer.timeout_s).unwrap();
    }
    text + "}"
}

/// Runs the Python reader; `None` if Python is not installed.
fn read_in_python(folder: &Folder) -> Option<(bool, String, String)> {
    let reader = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/read_journal.py");
    let Ok(output) = Command::new("python3").arg(reader).arg(folder.path("")).arg("--leaves").output() else {
        eprintln!("SKIPPED: there is no python3 here, so examples/read_journal.py was not run");
        return None;
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Some((output.status.success(), text(&output.stdout), text(&output.stderr)))
}

#[test]
fn the_reader_in_python_reads_every_version() {
    for (kept, is_torn) in [
        ("v1", false),
        ("v1/rotated", true),
        ("v2", false),
        ("v2/rotated", true),
        ("v3", false),
        ("v4", false),
        ("v5", false),
    ] {
        let folder = unpacked(kept);
        let Some((succeeded, output, complaint)) = read_in_python(&folder) else { return };
        assert!(succeeded, "{kept}: {complaint}");
        let entries = folder.open().entries;
        let mut lines = output.lines().filter(|line| !line.starts_with("segment-"));
        for entry in &entries {
            let (seq, at) = (entry.header.seq, entry.header.decided_at);
            let line = lines.next().unwrap_or_default();
            let expected = format!("{seq} {at} {} {} ", kind_name(entry), hex(&leaf_hash(entry)));
            assert!(line.starts_with(&expected), "{kept}: {line}\ninstead of {expected}");
            if let Fact::Ledger(ledger::Fact::TransferCreated(transfer)) = &entry.fact {
                assert_eq!(line[expected.len()..], transfer_fields(transfer), "{kept}");
            }
        }
        let leaves: Vec<[u8; 32]> = entries.iter().map(leaf_hash).collect();
        let torn = "torn tail: segment-00000004 offset 4096; these bytes were never acknowledged";
        assert_eq!(is_torn.then(|| lines.next().unwrap()), is_torn.then_some(torn));
        let last = format!("{} entries, hash chain checked, root {}", entries.len(), hex(&root(&leaves)));
        assert_eq!(lines.collect::<Vec<_>>(), [last.as_str()], "{kept}");
    }
}

#[test]
fn both_readers_ignore_bytes_after_the_last_frame_of_a_sealed_segment() {
    let folder = unpacked("v2/rotated");
    let entries = folder.open().entries.len();
    folder.change("segment-00000001", |bytes| *bytes.last_mut().unwrap() = 7);
    assert_eq!(folder.open().entries.len(), entries);
    let Some((succeeded, output, complaint)) = read_in_python(&folder) else { return };
    assert!(succeeded && output.contains(&format!("\n{entries} entries, hash chain checked")), "{complaint}");
}

#[test]
fn the_reader_in_python_finds_damage() {
    let cases: [(&str, &str, usize, &str); 5] = [
        ("v2/rotated", "segment-00000002", 20, "damaged: segment-00000002 offset 0 sequence 37"),
        ("v2/rotated", "segment-00000001", 4096 + 30, "damaged: segment-00000001 offset 4096 sequence 1"),
        ("v1/rotated", "segment-00000003", 4096 + 200, "damaged: segment-00000003 offset 4096 sequence 49"),
        ("v3", "segment-00000002", 4096 + 100, "damaged: segment-00000002 offset 4096 sequence"),
        ("v3", "segment-00000002", 4096 + 128 + 20, "damaged: segment-00000002 offset 4096 sequence"),
    ];
    for (kept, name, at, complaint) in cases {
        let folder = unpacked(kept);
        folder.change(name, |bytes| bytes[at] ^= 4);
        let Some((succeeded, _, said)) = read_in_python(&folder) else { return };
        assert!(!succeeded && said.starts_with(complaint), "{kept} {name} {at}: {said}");
        let rust = folder.try_open().map(|opened| opened.recovered).unwrap_err().to_string();
        let words: Vec<&str> = said.split([' ', ':']).filter(|word| !word.is_empty()).collect();
        let (file, offset, seq) = (words[1], words[3], words[5]);
        let expected = format!("{file} is damaged at byte {offset} (sequence {seq})");
        assert!(rust.starts_with(&expected), "{kept} {name} {at}: {rust}");
    }
}

#[test]
fn the_documentation_matches_the_code() {
    use engine::{PaymentStatus, Verb};
    use journal::{FORMAT_VERSION, Layout, PAYLOAD_BYTES_MAX};
    use ledger::{AccountFlags, ImportState, IndexedFields, TransferFlags, TransferStatus};

    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/journal-format.md");
    let page = std::fs::read_to_string(page).unwrap();
    let flat = page.split_whitespace().collect::<Vec<_>>().join(" ");
    #[track_caller]
    fn check(flat: &str, what: &str) {
        assert!(flat.contains(what), "docs/journal-format.md does not say: {what}");
    }
    check(&flat, &format!("The present version is **{FORMAT_VERSION}**."));
    assert_eq!((PAYLOAD_BYTES_MAX, Layout::SEGMENT_BYTES_MAX), (921_600, 128 * 1024 * 1024));
    assert_eq!(Layout::STANDARD.segment_bytes, 64 * 1024 * 1024);
    for text in ["at most 921,600", "(64 MiB unless told otherwise, at most 128 MiB)"] {
        check(&flat, text);
    }
    let mut statuses: Vec<_> = TransferStatus::ALL.iter().map(|status| (status.number(), status.name())).collect();
    statuses.sort_unstable();
    let list = |items: Vec<(u64, String)>| {
        items.iter().map(|(number, name)| format!("{number} {name}")).collect::<Vec<_>>().join(", ")
    };
    let quoted =
        |names: Vec<&str>| list((0..).zip(names).map(|(number, name)| (number, format!("`{name}`"))).collect());
    let bits = |flags: Vec<(&str, u16)>| {
        list(flags.into_iter().map(|(name, bit)| (bit.trailing_zeros().into(), format!("`{name}`"))).collect())
    };
    check(&flat, &list(statuses.into_iter().map(|(number, name)| (number.into(), format!("`{name}`"))).collect()));
    check(&flat, &quoted(PaymentStatus::ALL.iter().map(|status| status.name()).collect()));
    let causes: Vec<&str> = Verb::ALL.iter().map(|verb| verb.name()).collect();
    let causes = list((1..).zip(causes).map(|(number, name)| (number, format!("`{name}`"))).collect());
    check(&flat, &format!("0 a deadline, {causes}"));
    let states: Vec<&str> = ImportState::ALL.iter().map(|state| state.name()).collect();
    check(&flat, &list((0..).zip(states).map(|(number, name)| (number, name.to_owned())).collect()));
    check(&flat, &bits(AccountFlags::ALL.iter().map(|(name, flag)| (*name, flag.bits())).collect()));
    check(&flat, &bits(TransferFlags::ALL.iter().map(|(name, flag)| (*name, flag.bits())).collect()));
    check(&flat, &bits(IndexedFields::ALL.iter().map(|(name, field)| (*name, field.bits())).collect()));
    // The number of each kind, from entries of the current version, which include every kind.
    let folder = unpacked("v5");
    for entry in folder.open().entries {
        let canonical = canonical(&entry);
        let kind = u16::from_le_bytes([canonical[55], canonical[56]]);
        check(&flat, &format!("| {kind} | `{}` | 1", kind_name(&entry)));
    }
}
