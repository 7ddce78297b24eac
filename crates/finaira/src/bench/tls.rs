//! TLS between the benchmark and its server. The client accepts the one certificate that the server was given, whoever issued it.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme};

#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Tls {
    /// Measure over TLS: file with a certificate for the server, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(super) tls_certificate: Option<PathBuf>,
    /// File with the private key of that certificate, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    pub(super) tls_key: Option<PathBuf>,
}

impl Tls {
    /// How a client must connect to a server at this socket.
    pub(super) fn address(&self, socket: SocketAddr) -> anyhow::Result<Address> {
        let Some(file) = &self.tls_certificate else { return Ok(Address { socket, tls: None }) };
        let pem = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        let certificate = CertificateDer::from_pem_slice(&pem);
        let certificate = certificate.with_context(|| format!("{} contains no certificate", file.display()))?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = Arc::new(ThisOne { certificate, provider: Arc::clone(&provider) });
        let builder =
            ClientConfig::builder_with_provider(provider).with_protocol_versions(&[&rustls::version::TLS13])?;
        let config = builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
        // A benchmark has two servers at most, and then the process ends.
        Ok(Address { socket, tls: Some(Box::leak(Box::new(Arc::new(config)))) })
    }
}

/// Where a server listens, and what a client needs to talk to it over TLS.
#[derive(Debug, Clone, Copy)]
pub(super) struct Address {
    pub(super) socket: SocketAddr,
    tls: Option<&'static Arc<ClientConfig>>,
}

/// A socket with or without TLS.
#[derive(Debug)]
pub(super) struct Wire {
    pub(super) socket: TcpStream,
    session: Option<Box<ClientConnection>>,
}

impl Wire {
    /// Connects, and completes the handshake if there is one.
    pub(super) fn open(address: Address) -> anyhow::Result<Self> {
        let socket = TcpStream::connect(address.socket);
        let mut socket = socket.with_context(|| format!("cannot connect to {}", address.socket))?;
        let Some(config) = address.tls else { return Ok(Self { socket, session: None }) };
        let name = ServerName::from(address.socket.ip());
        let mut session = Box::new(ClientConnection::new(Arc::clone(config), name)?);
        while session.is_handshaking() {
            session.complete_io(&mut socket).context("the TLS handshake failed")?;
        }
        Ok(Self { socket, session: Some(session) })
    }

    /// Whether a write may leave bytes behind that only a later call sends.
    pub(super) const fn keeps_bytes(&self) -> bool {
        self.session.is_some()
    }
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.session {
            Some(session) => rustls::Stream::new(&mut **session, &mut self.socket).read(buffer),
            None => self.socket.read(buffer),
        }
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.session {
            Some(session) => rustls::Stream::new(&mut **session, &mut self.socket).write(bytes),
            None => self.socket.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.session {
            Some(session) => rustls::Stream::new(&mut **session, &mut self.socket).flush(),
            None => Ok(()),
        }
    }
}

/// Accepts one certificate, and checks that the server has its key.
#[derive(Debug)]
struct ThisOne {
    certificate: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for ThisOne {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        _others: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if *shown == self.certificate {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
