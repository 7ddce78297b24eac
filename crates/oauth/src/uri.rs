//! Absolute HTTP URIs (RFC 3986), in the normal form in which two of them are compared.

use std::fmt;

/// The longest URI.
pub const URI_BYTES_MAX: usize = 2 * 1024;

/// An `http` or `https` URI without query and fragment, normalised as in RFC 3986, sections 6.2.2 and 6.2.3: scheme and
/// host in lower case, no default port, `/` for an empty path, no percent-encoding that is not needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpUri {
    text: String,
    is_https: bool,
    is_loopback: bool,
}

/// Why a text is not a URI that Finaira compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}; expected an absolute http or https URI")]
pub struct UriError(&'static str);

impl HttpUri {
    /// Reads a URI. A query and a fragment are left out.
    ///
    /// # Errors
    /// Fails if it is too long, relative, has another scheme, a user, or a path with `.` and `..` in it.
    pub fn parse(text: &str) -> Result<Self, UriError> {
        if text.len() > URI_BYTES_MAX {
            return Err(UriError("it is longer than 2048 bytes"));
        }
        if let Some(false) = text.bytes().map(|byte| byte.is_ascii_graphic()).reduce(|all, one| all && one) {
            return Err(UriError("it has a character that no URI has"));
        }
        let (scheme, rest) = text.split_once("://").ok_or(UriError("it has no scheme"))?;
        let (scheme, is_https, default_port) = match scheme.to_ascii_lowercase().as_str() {
            "https" => ("https", true, 443),
            "http" => ("http", false, 80),
            _ => return Err(UriError("it has another scheme")),
        };
        let rest = rest.split(['?', '#']).next().unwrap_or_default();
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (host, port) = split_port(authority)?;
        let host = host.to_ascii_lowercase();
        let mut normal = format!("{scheme}://{host}");
        if port.is_some_and(|port| port != default_port) {
            normal.push_str(&format!(":{}", port.unwrap_or_default()));
        }
        normal.push_str(&normal_path(path)?);
        let is_loopback = host == "localhost"
            || host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
        Ok(Self { text: normal, is_https, is_loopback })
    }

    /// The normalised text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether what is fetched from here can be trusted: TLS, or a connection that does not leave the machine.
    pub const fn is_trustworthy(&self) -> bool {
        self.is_https || self.is_loopback
    }

    pub(crate) const fn is_loopback(&self) -> bool {
        self.is_loopback
    }
}

impl fmt::Display for HttpUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn split_port(authority: &str) -> Result<(&str, Option<u16>), UriError> {
    let (host, port) = if authority.starts_with('[') {
        let end = authority.find(']').ok_or(UriError("its host is not closed with `]`"))?;
        let (host, rest) = authority.split_at(end.saturating_add(1));
        if host.trim_matches(['[', ']']).parse::<std::net::Ipv6Addr>().is_err() {
            return Err(UriError("its host is not an IPv6 address"));
        }
        match rest.strip_prefix(':') {
            Some(port) => (host, port),
            None if rest.is_empty() => (host, ""),
            None => return Err(UriError("its host is followed by something else than a port")),
        }
    } else {
        let (host, port) = authority.split_once(':').unwrap_or((authority, ""));
        if host.is_empty() || !host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte)) {
            return Err(UriError("its host is not a name or an address"));
        }
        (host, port)
    };
    if port.is_empty() {
        return Ok((host, None));
    }
    let digits = port.bytes().all(|byte| byte.is_ascii_digit());
    port.parse().ok().filter(|_| digits).map(|port| (host, Some(port))).ok_or(UriError("its port is not a number"))
}

fn normal_path(path: &str) -> Result<String, UriError> {
    if path.is_empty() {
        return Ok("/".to_owned());
    }
    let mut normal = String::with_capacity(path.len());
    let mut rest = path.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => {
                let broken = UriError("its path has `%` without two hexadecimal digits");
                let mut digit = || rest.next().and_then(|byte| char::from(byte).to_digit(16)).ok_or(broken);
                let value = digit()?.wrapping_mul(16).wrapping_add(digit()?);
                let plain = char::from_u32(value).filter(|c| c.is_ascii_alphanumeric() || "-._~".contains(*c));
                match plain {
                    Some(plain) => normal.push(plain),
                    None => normal.push_str(&format!("%{value:02X}")),
                }
            }
            b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}' => {
                return Err(UriError("its path has a character that no URI has"));
            }
            byte => normal.push(char::from(byte)),
        }
    }
    if normal.split('/').any(|segment| matches!(segment, "." | "..")) {
        return Err(UriError("its path has a segment `.` or `..`"));
    }
    Ok(normal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn normal(text: &str, expected: &str) {
        assert_eq!(HttpUri::parse(text).map(|uri| uri.text), Ok(expected.to_owned()), "{text}");
    }

    #[test]
    fn equal_uris_have_one_normal_form() {
        normal("https://pay.example/v1/payments", "https://pay.example/v1/payments");
        normal("HTTPS://Pay.Example:443/v1/payments?x=1#y", "https://pay.example/v1/payments");
        normal("http://pay.example:80", "http://pay.example/");
        normal("http://pay.example:8080?x", "http://pay.example:8080/");
        normal("https://pay.example:/%7ea%2f%C3%bc", "https://pay.example/~a%2F%C3%BC");
        normal("https://[::1]:8443/a//b/", "https://[::1]:8443/a//b/");
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "/v1",
            "ftp://a/",
            "https:/a/",
            "https:///a",
            "https://u@a/",
            "https://a:x/",
            "https://a:+1/",
            "https://a:65536/",
            "https://[::1/",
            "https://[a]/",
            "https://[::1]x/",
            "https://a/%4",
            "https://a/%zz",
            "https://a/../b",
            "https://a/%2e%2E/b",
            "https://a/b\\c",
            "https://a b/",
            "https://ä/",
            "https://a/\n",
        ] {
            assert!(HttpUri::parse(text).is_err(), "{text}");
        }
        assert!(HttpUri::parse(&format!("https://a/{}", "b".repeat(URI_BYTES_MAX))).is_err());
    }

    #[test]
    fn only_tls_and_the_own_machine_are_trustworthy() {
        for (text, trustworthy) in [
            ("https://a/", true),
            ("http://localhost:8080/", true),
            ("http://127.0.0.1/", true),
            ("http://[::1]/", true),
            ("http://a/", false),
            ("http://localhost.a/", false),
            ("http://127.0.0.1.a/", false),
        ] {
            assert_eq!(HttpUri::parse(text).map(|uri| uri.is_trustworthy()), Ok(trustworthy), "{text}");
        }
    }
}
