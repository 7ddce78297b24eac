//! A proof as a folder of files, each in a form that others document.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proof::{Hash, SignedCheckpoint, TlogProof, VerifierKey};

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
                bail!("{} is there already; choose another folder with --out", path.display())
            }
            Err(error) => Err(error).with_context(|| format!("cannot make {}", path.display())),
        }
    }

    pub(super) fn write(&self, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
        let path = self.0.join(name);
        std::fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))
    }

    pub(super) fn write_text(&self, name: &str, text: &str) -> anyhow::Result<()> {
        self.write(name, text.as_bytes())
    }

    #[expect(clippy::print_stdout, reason = "this command answers on standard output")]
    pub(super) fn done(self, said: &str) -> anyhow::Result<()> {
        println!("{said}; the proof is in {}", self.0.display());
        Ok(())
    }
}

/// A consistency proof in the form in which witnesses are asked, C2SP tlog-witness `add-checkpoint`.
pub(super) fn consistency(old: u64, hashes: &[Hash], new: &SignedCheckpoint) -> String {
    let lines: String = hashes.iter().map(|hash| format!("{}\n", STANDARD.encode(hash))).collect();
    format!("old {old}\n{lines}\n{}", new.note)
}

const KEY: &str = "Trust begins with the key: compare `log.vkey` with the key that the operator gave you on another way. With a key \
from this folder alone you only know that one party wrote all of it.";

pub(super) fn how_to_check_an_entry(what: &str, proof: &TlogProof, key: &VerifierKey) -> String {
    let (index, size) = (proof.index, proof.checkpoint.checkpoint.size);
    format!(
        "# How to check this proof

It shows that {what} is entry {sequence} of the log `{name}`, among the {size} entries that the log's operator has
signed for. Nothing of ours is needed to check it.

{KEY}

| file | what it is |
| --- | --- |
| `{PROOF}` | the proof, in the form of <https://c2sp.org/tlog-proof>: index, hashes, signed checkpoint |
| `{LEAF}` | the leaf of the tree: SHA-256 of `{ENTRY}` |
| `{ENTRY}` | the entry in canonical form, byte by byte as `docs/journal-format.md` of Finaira describes it |
| `{EVENT}` | the same, to be read; it is not what was signed |
| `{VKEY}` | the key that checks the signature: <https://c2sp.org/signed-note> |

1. `sha256sum {ENTRY}` gives the bytes of `{LEAF}` (`xxd -p -c 32 {LEAF}`).
2. The leaf's hash is SHA-256 of a zero byte and `{LEAF}`: `(printf '\\0'; cat {LEAF}) | sha256sum`.
3. The hashes of `{PROOF}` lead from there to the root in its checkpoint: RFC 6962, section 2.1.1, leaf {index} of {size}.
4. The note at its end is signed by the key of `{VKEY}`.

Steps 3 and 4 with Go, without anything of ours (`go get golang.org/x/mod`): `note.Open` with a verifier from `note.NewVerifier`
reads the note, and `tlog.CheckRecord(hashes, {size}, root, {index}, tlog.RecordHash(leaf))` checks the hashes. With Rust the crates
`signed_note` and `tlog_tiles` do the same. Or, with ours, offline: `finaira prove check <this folder> --vkey '{key}'`.
",
        sequence = index + 1,
        name = key.name(),
    )
}

pub(super) fn how_to_check_consistency(key: &VerifierKey) -> String {
    format!(
        "# How to check this proof

It shows that the log `{name}` of the newer checkpoint begins with all entries of the older one, unchanged. Nothing of ours
is needed to check it.

{KEY}

| file | what it is |
| --- | --- |
| `{OLD_CHECKPOINT}` | the older checkpoint: <https://c2sp.org/tlog-checkpoint> |
| `{CONSISTENCY}` | size of the older log, hashes, the newer checkpoint; as witnesses take it: <https://c2sp.org/tlog-witness> |
| `{VKEY}` | the keys that check the signatures, the present one first: <https://c2sp.org/signed-note> |
| `{HANDOVERS}` | notes that a key and its successor both signed; empty where no key was replaced |

1. Both notes are signed by the first key of `{VKEY}`, or by one that it took over from, as a note of `{HANDOVERS}` says.
2. The hashes lead from the older root to the newer one: RFC 6962, section 2.1.2.

With Go (`golang.org/x/mod/sumdb`): `note.Open` and `tlog.CheckTree`. With Rust: `signed_note` and `tlog_tiles::check_tree`. Or,
with ours, offline: `finaira prove check <this folder> --vkey '{key}'`.
",
        name = key.name(),
    )
}
