//! The files of a policy in canonical form, which gives the same content the same digest everywhere.

use std::collections::BTreeMap;

use toml::de::{DeTable, DeValue};
use types::{Digest, shorten};

use crate::limits::{BUNDLE_BYTES_MAX, BUNDLE_FILES_MAX, DOCUMENT_BYTES_MAX, FILE_NAME_BYTES_MAX};

/// The file that every bundle contains.
pub const DOCUMENT: &str = "policy.toml";

const MAGIC: &[u8; 8] = b"FINAPOL\x01";

/// The files of one policy: `policy.toml` and the models that it names, nothing else. How they arrived (a folder, an
/// archive, a request) leaves no trace, so the same content has the same digest everywhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    files: BTreeMap<String, Box<[u8]>>,
}

/// Why files or bytes are not a valid bundle.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    #[error("the bundle has no `policy.toml`")]
    NoDocument,
    /// See [`is_file_name`].
    #[error(
        "`{0}` is not a file name of a bundle: at most 128 of a-z 0-9 _ . / -, relative, without `.` or `..` parts"
    )]
    FileName(String),
    /// More than [`BUNDLE_FILES_MAX`].
    #[error("the bundle has {0} files, at most 64 are allowed")]
    TooManyFiles(usize),
    /// More than [`BUNDLE_BYTES_MAX`].
    #[error("the bundle has {0} bytes, at most 16777216 (16 MiB) are allowed")]
    TooLarge(usize),
    #[error("the bundle has two files `{0}`")]
    DuplicateFile(String),
    /// Bytes that [`Bundle::to_bytes`] never writes: truncated, of another version, unsorted, or with files that the
    /// document does not name.
    #[error("the bytes are not a bundle in its canonical form, version 1: {0}")]
    NotCanonical(&'static str),
}

impl Bundle {
    /// Keeps `policy.toml` and the files that it names as models, and drops every other file. If a named file is not
    /// among `files`, that is no error here: [`Policy::compile`](crate::Policy::compile) reports it with its line.
    pub fn new(files: impl IntoIterator<Item = (String, Vec<u8>)>) -> Result<Self, BundleError> {
        let mut given = BTreeMap::new();
        for (name, bytes) in files {
            if given.contains_key(&name) {
                return Err(BundleError::DuplicateFile(name));
            }
            given.insert(name, bytes.into_boxed_slice());
        }
        let document = given.remove(DOCUMENT).ok_or(BundleError::NoDocument)?;
        let mut files = BTreeMap::new();
        for name in model_files(&document) {
            if let Some(bytes) = given.remove(&name) {
                files.insert(name, bytes);
            }
        }
        files.insert(DOCUMENT.to_owned(), document);
        Self { files }.checked()
    }

    pub fn file(&self, name: &str) -> Option<&[u8]> {
        self.files.get(name).map(|bytes| &**bytes)
    }

    /// All files, in order of name.
    pub fn files(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.files.iter().map(|(name, bytes)| (name.as_str(), &**bytes))
    }

    /// The canonical form: magic and version (8 bytes), the number of files (u32), then for each file in order of name
    /// its name and its content, each preceded by its length (u32). Numbers are little-endian.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        put_u32(&mut out, self.files.len());
        for (name, bytes) in &self.files {
            put_u32(&mut out, name.len());
            out.extend_from_slice(name.as_bytes());
            put_u32(&mut out, bytes.len());
            out.extend_from_slice(bytes);
        }
        out
    }

    /// Reads the canonical form. Refuses every other input, so that a digest stands for only one bundle.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, BundleError> {
        let mut rest =
            bytes.strip_prefix(MAGIC).ok_or(BundleError::NotCanonical("it does not start with the magic bytes"))?;
        let cut_off = BundleError::NotCanonical("it is truncated");
        let count = take_u32(&mut rest).ok_or(cut_off.clone())?;
        if count > BUNDLE_FILES_MAX {
            return Err(BundleError::TooManyFiles(count));
        }
        let mut files = BTreeMap::new();
        for _ in 0..count {
            let name = take_bytes(&mut rest).ok_or(cut_off.clone())?;
            let content = take_bytes(&mut rest).ok_or(cut_off.clone())?;
            let name = std::str::from_utf8(name).or(Err(BundleError::NotCanonical("a file name is not UTF-8")))?;
            if files.last_key_value().is_some_and(|(last, _): (&String, _)| last.as_str() >= name) {
                return Err(BundleError::NotCanonical("its files are not in order"));
            }
            files.insert(name.to_owned(), content.into());
        }
        if !rest.is_empty() {
            return Err(BundleError::NotCanonical("there are bytes after its end"));
        }
        let bundle = Self { files }.checked()?;
        let document = bundle.file(DOCUMENT).ok_or(BundleError::NoDocument)?;
        let mut named = model_files(document);
        named.push(DOCUMENT.to_owned());
        if bundle.files.keys().any(|name| !named.contains(name)) {
            return Err(BundleError::NotCanonical("it has a file that its document does not name"));
        }
        Ok(bundle)
    }

    /// The digest of the canonical form, which identifies the policy in the journal.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.to_bytes())
    }

    fn checked(self) -> Result<Self, BundleError> {
        if self.files.len() > BUNDLE_FILES_MAX {
            return Err(BundleError::TooManyFiles(self.files.len()));
        }
        if let Some(name) = self.files.keys().find(|name| !is_file_name(name)) {
            return Err(BundleError::FileName(shorten(name)));
        }
        let bytes = self.files.values().map(|bytes| bytes.len()).sum();
        if bytes > BUNDLE_BYTES_MAX {
            return Err(BundleError::TooLarge(bytes));
        }
        Ok(self)
    }
}

/// The files that a document names as models, sorted and each once. Names that no bundle file can have are left out.
/// Empty if the document cannot be parsed. This tells the shell which files to read besides `policy.toml`.
pub fn model_files(document: &[u8]) -> Vec<String> {
    let text = Some(document).filter(|document| document.len() <= DOCUMENT_BYTES_MAX);
    let Some(Ok(text)) = text.map(std::str::from_utf8) else { return Vec::new() };
    let Ok(document) = DeTable::parse(text) else { return Vec::new() };
    let models = document.get_ref().get("models").and_then(|models| models.get_ref().as_table());
    let file = |model: &'_ DeValue<'_>| Some(model.get("file")?.get_ref().as_str()?.to_owned());
    let files = models.into_iter().flat_map(DeTable::values).filter_map(|model| file(model.get_ref()));
    let mut names: Vec<String> = files.filter(|name| is_file_name(name) && *name != DOCUMENT).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Whether a bundle can contain a file of this name: 1 to 128 bytes of `a-z 0-9 _ . / -`, relative, with no empty, `.`
/// or `..` part between the slashes.
pub fn is_file_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_./-".contains(&byte);
    name.len() <= FILE_NAME_BYTES_MAX
        && name.bytes().all(plain)
        && name.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

fn put_u32(out: &mut Vec<u8>, number: usize) {
    let number = u32::try_from(number).expect("POL-3: the bounds of a bundle fit 32 bits");
    out.extend_from_slice(&number.to_le_bytes());
}

fn take_u32(rest: &mut &[u8]) -> Option<usize> {
    let (number, after) = rest.split_first_chunk()?;
    *rest = after;
    usize::try_from(u32::from_le_bytes(*number)).ok()
}

fn take_bytes<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = take_u32(rest)?;
    let (bytes, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(bytes)
}
