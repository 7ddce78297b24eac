//! An authority for tests, and clients that trust it.

use std::fs::Permissions;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion, crypto, version,
};
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};

use crate::harness::Server;

/// Issues certificates into a folder of its own.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: tempfile::TempDir,
}

/// A certificate and its key, in PEM.
#[derive(Debug, Clone)]
pub(crate) struct Pair {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut parameters = CertificateParams::new(Vec::new()).expect("parameters");
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(parameters, KeyPair::generate().expect("a key"));
        let authority =
            Self { issuer: issuer.expect("an authority"), folder: tempfile::tempdir().expect("a directory") };
        authority.write("ca.pem", &authority.issuer.pem());
        authority
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The path of a file, as an argument.
    pub(crate) fn argument(&self, name: &str) -> String {
        self.path(name).to_str().expect("a path in UTF-8").to_owned()
    }

    /// Writes a file that only its owner may read.
    pub(crate) fn write(&self, name: &str, text: &str) {
        write(&self.path(name), text);
    }

    /// Issues a certificate for this machine.
    pub(crate) fn issue(&self) -> Pair {
        let key = KeyPair::generate().expect("a key");
        let names = ["localhost", "127.0.0.1"].map(str::to_owned).to_vec();
        let certificate = CertificateParams::new(names).expect("parameters").signed_by(&key, &self.issuer);
        Pair { certificate: certificate.expect("a certificate").pem(), key: key.serialize_pem() }
    }

    /// Replaces the certificate and the key of the server.
    pub(crate) fn install(&self, pair: &Pair) {
        self.write("server.pem", &pair.certificate);
        self.write("server.key", &pair.key);
    }

    /// The arguments for a server with these files, and others.
    pub(crate) fn start(&self, data: &Path, more: &[&str]) -> Server {
        let (certificate, key) = (self.argument("server.pem"), self.argument("server.key"));
        let arguments = [&["--tls-certificate", &certificate, "--tls-key", &key], more].concat();
        Server::start_with(data, &arguments)
    }

    /// Whom a client trusts, and what it shows.
    pub(crate) fn trust(&self, own: Option<&Pair>) -> TlsConfig {
        let root = Certificate::from_pem(self.issuer.pem().as_bytes()).expect("a certificate");
        let own = own.map(|pair| {
            let certificate = Certificate::from_pem(pair.certificate.as_bytes()).expect("a certificate");
            ClientCert::new_with_certs(&[certificate], PrivateKey::from_pem(pair.key.as_bytes()).expect("a key"))
        });
        TlsConfig::builder()
            .root_certs(RootCerts::new_with_certs(&[root]))
            .client_cert(own)
            .unversioned_rustls_crypto_provider(Arc::new(crypto::aws_lc_rs::default_provider()))
            .build()
    }

    /// The configuration of a client on a socket.
    pub(crate) fn config(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        protocols: &[&str],
        own: Option<&Pair>,
    ) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).expect("an authority");
        let provider = Arc::new(crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions);
        let builder = builder.expect("versions").with_root_certificates(roots);
        let mut config = match own {
            Some(pair) => {
                let certificate = CertificateDer::from_pem_slice(pair.certificate.as_bytes()).expect("a certificate");
                let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).expect("a key");
                builder.with_client_auth_cert(vec![certificate], key).expect("a pair")
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        config
    }

    pub(crate) fn connect(&self, server: &Server, protocols: &[&str], own: Option<&Pair>) -> Connection {
        Connection::open(server, self.config(&[&version::TLS13], protocols, own))
    }
}

pub(crate) fn write(path: &Path, text: &str) {
    std::fs::write(path, text).expect("a file");
    std::fs::set_permissions(path, Permissions::from_mode(0o600)).expect("permissions");
}

/// A connection over TLS.
pub(crate) struct Connection(pub(crate) StreamOwned<ClientConnection, TcpStream>);

impl Connection {
    pub(crate) fn open(server: &Server, config: ClientConfig) -> Self {
        let name = ServerName::try_from("localhost").expect("a name");
        let client = ClientConnection::new(Arc::new(config), name).expect("a client");
        let socket = server.connect(b"");
        socket.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
        Self(StreamOwned::new(client, socket))
    }

    /// Completes the handshake.
    pub(crate) fn shake_hands(&mut self) -> Result<(), String> {
        while self.0.conn.is_handshaking() {
            self.0.conn.complete_io(&mut self.0.sock).map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    /// The answer to a request without a body, until the server says no more for now.
    pub(crate) fn get(&mut self, path: &str) -> Result<String, String> {
        self.shake_hands()?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        self.0.write_all(request.as_bytes()).map_err(|error| error.to_string())?;
        let mut answer = vec![0; 64 << 10];
        let bytes = self.0.read(&mut answer).map_err(|error| error.to_string())?;
        Ok(String::from_utf8_lossy(&answer[..bytes]).into_owned())
    }

    /// The certificate that the server showed.
    pub(crate) fn shown(&self) -> Vec<u8> {
        self.0.conn.peer_certificates().and_then(<[_]>::first).expect("a certificate").to_vec()
    }

    pub(crate) fn protocol(&self) -> Option<String> {
        self.0.conn.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned())
    }
}

impl Pair {
    pub(crate) fn der(&self) -> Vec<u8> {
        CertificateDer::from_pem_slice(self.certificate.as_bytes()).expect("a certificate").to_vec()
    }
}
