//! The API without a network, for commands that run on a data directory while no server does. The requests take the same
//! way as those of a client, but need no credential: whoever has the directory may do everything.

use api::Problem;
use api::routes::Method;
use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::http::{Request, Uri, header};
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use oauth::Scheme;
use types::TenantId;

use crate::http::Local as LocalCaller;
use crate::identity::{Asked, TokenRefusal};
use crate::open::{NewKey, OpenError, Opened, Options, Stopped};

/// Most bytes of an answer.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// The installation in a data directory, open in this process.
#[derive(Debug)]
pub struct Local {
    opened: Opened,
    router: Router,
}

/// The answer to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalAnswer {
    /// The status, as in HTTP.
    pub status: u16,
    pub body: Bytes,
}

impl Local {
    /// Opens a data directory.
    ///
    /// # Errors
    /// As [`Opened::open`]; above all if a server runs on the directory.
    pub fn open(options: &Options) -> Result<Self, OpenError> {
        let opened = Opened::open(options)?;
        let router = crate::http::router(opened.host());
        Ok(Self { opened, router })
    }

    /// The API key of the first tenant that this opening created, if the directory was new.
    pub fn api_key(&self) -> Option<&NewKey> {
        self.opened.api_key.as_ref()
    }

    /// Sends a request of the first tenant, or of another one.
    pub async fn send(&self, tenant: Option<TenantId>, method: Method, target: Uri, body: Vec<u8>) -> LocalAnswer {
        let mut request = Request::new(Body::from(body));
        *request.method_mut() = match method {
            Method::Get => axum::http::Method::GET,
            Method::Post => axum::http::Method::POST,
            Method::Put => axum::http::Method::PUT,
        };
        *request.uri_mut() = target;
        let headers = request.headers_mut();
        headers.insert(header::HOST, header::HeaderValue::from_static("localhost"));
        headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
        request.extensions_mut().insert(LocalCaller { tenant });
        let response = match TowerToHyperService::new(self.router.clone()).call(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
        let status = response.status().as_u16();
        // The handlers of these requests have their whole answer in memory.
        let body = to_bytes(response.into_body(), ANSWER_BYTES_MAX).await.unwrap_or_default();
        LocalAnswer { status, body }
    }

    /// Draws access tokens of the built-in issuer for one of its clients, each with a name of its own.
    ///
    /// # Errors
    /// If the issuer is off, or if it refuses the client.
    pub fn tokens(&self, client: &str, secret: &str, count: usize) -> Result<Vec<String>, String> {
        let host = self.opened.host();
        let identity = host.identity();
        let built_in = identity.built_in().ok_or("the built-in issuer is off")?;
        let form = format!("grant_type=client_credentials&client_id={client}&client_secret={secret}");
        let content_types: [&[u8]; 1] = [b"application/x-www-form-urlencoded"];
        let request = issuer::Request {
            content_types: &content_types,
            query: None,
            authorization: &[],
            proofs: &[],
            certificate: None,
            body: form.as_bytes(),
        };
        let draw = |_number| {
            let mut random = [0; 16];
            datadir::random(&mut random);
            let now = host.home().core.now();
            let asked = built_in.issuer.authenticate(&request, identity, now).map_err(|refusal| refusal.to_string())?;
            let granted = built_in.issuer.token(&asked, &built_in.keys(), identity.proofs(), random, now);
            granted.map(|granted| granted.access_token).map_err(|refusal| refusal.to_string())
        };
        (0..count).map(draw).collect()
    }

    /// Checks access tokens, as the server does for every request with one. Returns how many of them the cache of verified
    /// tokens had.
    ///
    /// # Errors
    /// If a token is refused.
    pub fn check_tokens(&self, tokens: &[String]) -> Result<usize, Problem> {
        let host = self.opened.host();
        let identity = host.identity();
        let mut known_count = 0;
        for token in tokens {
            let now = host.home().core.now();
            let known = identity.known(token, now);
            known_count += usize::from(known.is_some());
            let asked = Asked {
                scheme: Scheme::Bearer,
                token,
                proofs: &[],
                certificate: None,
                method: "GET",
                path: "/v1/ledgers",
            };
            identity.authenticate(asked, known, now).map_err(TokenRefusal::into_problem)?;
        }
        Ok(known_count)
    }

    /// Closes the data directory.
    ///
    /// # Errors
    /// If a journal failed.
    pub async fn close(self) -> Result<(), Stopped> {
        let Self { opened, router } = self;
        drop(router);
        opened.end().await
    }
}
