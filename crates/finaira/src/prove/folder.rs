//! Writes a proof as a folder of files, each in a documented format.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proof::{Hash, SignedCheckpoint, TlogProof, VerifierKey};

use crate::stdio::outln;

pub(super) const ENTRY: &str = "entry.bin";
pub(super) const LEAF: &str = "leaf.bin";
pub(super) const EVENT: &str = "entry.json";
pub(super) const PROOF: &str = "entry.tlog-proof";
pub(super) const OLD_CHECKPOINT: &str = "old-checkpoint";
pub(super) const CONSISTENCY: &str = "consistency";
pub(super) const VKEY: &str = "log.vkey";
pub(super) const HANDOVERS: &str = "handovers";
pub(super) const HOW: &str = "HOW-TO-CHECK.md";

/// The folder that is being written.
#[derive(Debug)]
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn create(named: Option<&Path>, what: &str) -> anyhow::Result<Self> {
        let path = named.map_or_else(|| PathBuf::from(format!("proof-{}", what.replace(' ', "-"))), Path::to_owned);
        match std::fs::create_dir(&path) {
            Ok(()) => Ok(Self(path)),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                bail!("{} already exists; choose another folder with --out", path.display())
            }
            Err(error) => Err(error).with_context(|| format!("cannot create {}", path.display())),
        }
    }

    pub(super) fn write(&self, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
        let path = self.0.join(name);
        std::fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))
    }

    pub(super) fn write_text(&self, name: &str, text: &str) -> anyhow::Result<()> {
        self.write(name, text.as_bytes())
    }

    pub(super) fn done(self, said: &str) -> anyhow::Result<()> {
        outln!("{said}; the proof is in {}", self.0.display())
    }
}

/// Formats a consistency proof as a request to a witness: C2SP tlog-witness, `add-checkpoint`.
pub(super) fn consistency(old: u64, hashes: &[Hash], new: &SignedCheckpoint) -> String {
    let lines: String = hashes.iter().map(|hash| format!("{}\n", STANDARD.encode(hash))).collect();
    format!("old {old}\n{lines}\n{}", new.note)
}

const KEY: &str = "Trust starts with the key: compare `log.vkey` with the key that the operator gave you through another channel. A key \
from this folder alone shows only that one party wrote all of it.";

pub(super) fn how_to_check_an_entry(what: &str, proof: &TlogProof, key: &VerifierKey) -> String {
    let (index, size) = (proof.index, proof.checkpoint.checkpoint.size);
    format!(
        "# How to check this proof

It shows that {what} is entry {sequence} of the log `{name}`, which had {size} entries when its operator signed it. You do
not need any software from Finaira to check it.

{KEY}

| file | content |
| --- | --- |
| `{PROOF}` | the proof, in the format of <https://c2sp.org/tlog-proof>: index, hashes, signed checkpoint |
| `{LEAF}` | the leaf of the tree: SHA-256 of `{ENTRY}` |
| `{ENTRY}` | the entry in canonical form, as `docs/journal-format.md` of Finaira describes it byte by byte |
| `{EVENT}` | the same entry in readable form, which is not what was signed |
| `{VKEY}` | the key that verifies the signature: <https://c2sp.org/signed-note> |

1. `sha256sum {ENTRY}` gives the bytes of `{LEAF}` (`xxd -p -c 32 {LEAF}`).
2. The leaf's hash is the SHA-256 of a zero byte followed by `{LEAF}`: `(printf '\\0'; cat {LEAF}) | sha256sum`.
3. The hashes in `{PROOF}` lead from there to the root in its checkpoint: RFC 6962, section 2.1.1, leaf {index} of {size}.
4. The key in `{VKEY}` signed the note at the end of `{PROOF}`.

For steps 3 and 4, use standard libraries. In Go (`go get golang.org/x/mod`), `note.Open` with a verifier from `note.NewVerifier`
reads the note, and `tlog.CheckRecord(hashes, {size}, root, {index}, tlog.RecordHash(leaf))` checks the hashes. In Rust, the crates
`signed_note` and `tlog_tiles` do the same. Or use Finaira, offline: `finaira prove check <this folder> --vkey '{key}'`.
",
        sequence = index + 1,
        name = key.name(),
    )
}

pub(super) fn how_to_check_consistency(key: &VerifierKey) -> String {
    format!(
        "# How to check this proof

It shows that the log `{name}` at the newer checkpoint starts with all entries of the older checkpoint, unchanged. You do not
need any software from Finaira to check it.

{KEY}

| file | content |
| --- | --- |
| `{OLD_CHECKPOINT}` | the older checkpoint: <https://c2sp.org/tlog-checkpoint> |
| `{CONSISTENCY}` | size of the older log, hashes, and newer checkpoint, in the format for witnesses: <https://c2sp.org/tlog-witness> |
| `{VKEY}` | the keys that verify the signatures, the current one first: <https://c2sp.org/signed-note> |
| `{HANDOVERS}` | notes that a key and its successor both signed; empty if no key was replaced |

1. The first key in `{VKEY}` signed both notes, or one of its predecessors did, as the notes in `{HANDOVERS}` show.
2. The hashes lead from the older root to the newer one: RFC 6962, section 2.1.2.

In Go (`golang.org/x/mod/sumdb`), use `note.Open` and `tlog.CheckTree`. In Rust, use `signed_note` and `tlog_tiles::check_tree`. Or
use Finaira, offline: `finaira prove check <this folder> --vkey '{key}'`.
",
        name = key.name(),
    )
}
