//! Reads the files of certificates and keys, and turns them into a configuration of the TLS library.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use datadir::{SecretFileError, read_secret_file};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, VerifierBuilderError, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig, version};
use types::{Digest, Timestamp};

use crate::tls::validity::not_after;

/// Most bytes of a file with certificates.
const FILE_BYTES_MAX: usize = 1 << 20;
/// What the server speaks over TLS, the preferred protocol first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// The files that TLS needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The server's certificate and the intermediate ones, in PEM.
    pub certificate: PathBuf,
    /// Its private key, in PEM: PKCS #8, SEC 1 or PKCS #1.
    pub key: PathBuf,
    pub clients: ClientAuth,
}

/// Whether clients show certificates. The file has the authorities that issue them, in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientAuth {
    /// The server does not ask for one.
    Off,
    /// A client may show one. A certificate of another authority ends the connection.
    Optional(PathBuf),
    /// Every client must show one.
    Required(PathBuf),
}

/// Why the files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("cannot read {}: {cause}", file.display())]
    Unreadable { file: PathBuf, cause: io::Error },
    #[error("{} has more than {FILE_BYTES_MAX} bytes", .0.display())]
    TooLarge(PathBuf),
    #[error(transparent)]
    Key(#[from] SecretFileError),
    #[error("{} contains no certificate in PEM, expected at least one", .0.display())]
    NoCertificate(PathBuf),
    #[error("{} contains no private key in PEM, expected one (PKCS #8, SEC 1 or PKCS #1)", .0.display())]
    NoKey(PathBuf),
    #[error("{} is not valid PEM: {cause}", file.display())]
    Pem { file: PathBuf, cause: rustls::pki_types::pem::Error },
    #[error("{} contains a certificate that cannot be read", .0.display())]
    Certificate(PathBuf),
    /// The key belongs to another certificate, or its algorithm is not supported.
    #[error("{} and {} do not belong together: {cause}", certificate.display(), key.display())]
    Pair { certificate: PathBuf, key: PathBuf, cause: rustls::Error },
    #[error("{} contains an authority that cannot be used: {cause}", file.display())]
    Authority { file: PathBuf, cause: rustls::Error },
    #[error("the authorities in {} cannot be used: {cause}", file.display())]
    Authorities { file: PathBuf, cause: VerifierBuilderError },
    #[error("the TLS library does not support TLS 1.3: {0}")]
    Library(rustls::Error),
}

/// The bytes of the files.
pub(super) struct Contents {
    certificate: Vec<u8>,
    key: Vec<u8>,
    authorities: Vec<u8>,
}

/// A configuration, and until when its certificate is valid.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) config: Arc<ServerConfig>,
    pub(super) not_after: Timestamp,
}

impl ClientAuth {
    fn file(&self) -> Option<&Path> {
        match self {
            Self::Off => None,
            Self::Optional(file) | Self::Required(file) => Some(file),
        }
    }
}

impl Contents {
    pub(super) fn read(files: &TlsFiles) -> Result<Self, TlsError> {
        Ok(Self {
            certificate: read(&files.certificate)?,
            key: read_secret_file(&files.key)?,
            authorities: files.clients.file().map(read).transpose()?.unwrap_or_default(),
        })
    }

    /// A digest of everything. The lengths keep the parts apart.
    pub(super) fn digest(&self) -> Digest {
        let parts = [&self.certificate, &self.key, &self.authorities];
        let mut all: Vec<u8> = parts.iter().flat_map(|part| part.len().to_le_bytes()).collect();
        for part in parts {
            all.extend_from_slice(Digest::of(part).as_bytes());
        }
        Digest::of(&all)
    }

    pub(super) fn load(&self, files: &TlsFiles) -> Result<Loaded, TlsError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let chain = certificates(&files.certificate, &self.certificate)?;
        let own = chain.first().ok_or_else(|| TlsError::NoCertificate(files.certificate.clone()))?;
        let not_after = not_after(own).ok_or_else(|| TlsError::Certificate(files.certificate.clone()))?;
        let key = private_key(&files.key, &self.key)?;
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_protocol_versions(&[&version::TLS13]).map_err(TlsError::Library)?;
        let builder = match self.clients(files, provider)? {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        };
        let config = builder.with_single_cert(chain, key);
        let pair = |cause| TlsError::Pair { certificate: files.certificate.clone(), key: files.key.clone(), cause };
        let mut config = config.map_err(pair)?;
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
        if files.clients != ClientAuth::Off {
            // A session that is resumed shows no certificate, so it would outlive the certificate of its client.
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
        Ok(Loaded { config: Arc::new(config), not_after })
    }

    /// What verifies the certificates of clients.
    fn clients(
        &self,
        files: &TlsFiles,
        provider: Arc<rustls::crypto::CryptoProvider>,
    ) -> Result<Option<Arc<dyn ClientCertVerifier>>, TlsError> {
        let Some(file) = files.clients.file() else { return Ok(None) };
        let mut authorities = RootCertStore::empty();
        for authority in certificates(file, &self.authorities)? {
            authorities.add(authority).map_err(|cause| TlsError::Authority { file: file.to_owned(), cause })?;
        }
        let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(authorities), provider);
        if let ClientAuth::Optional(_) = files.clients {
            builder = builder.allow_unauthenticated();
        }
        let verifier = builder.build().map_err(|cause| TlsError::Authorities { file: file.to_owned(), cause })?;
        Ok(Some(verifier))
    }
}

fn read(file: &Path) -> Result<Vec<u8>, TlsError> {
    let bytes = std::fs::read(file).map_err(|cause| TlsError::Unreadable { file: file.to_owned(), cause })?;
    if bytes.len() > FILE_BYTES_MAX { Err(TlsError::TooLarge(file.to_owned())) } else { Ok(bytes) }
}

/// The certificates of a file, at least one.
fn certificates(file: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    let found = found.map_err(|cause| TlsError::Pem { file: file.to_owned(), cause })?;
    if found.is_empty() { Err(TlsError::NoCertificate(file.to_owned())) } else { Ok(found) }
}

fn private_key(file: &Path, pem: &[u8]) -> Result<PrivateKeyDer<'static>, TlsError> {
    use rustls::pki_types::pem::Error;
    PrivateKeyDer::from_pem_slice(pem).map_err(|cause| {
        if matches!(cause, Error::NoItemsFound) {
            TlsError::NoKey(file.to_owned())
        } else {
            TlsError::Pem { file: file.to_owned(), cause }
        }
    })
}
