//! Where a server is: the setting `url`.

/// The longest name of a user or of a virtual host that AMQP can carry.
const NAME_BYTES_MAX: usize = 255;

/// The address of a server, and the virtual host there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) user: String,
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) virtual_host: String,
}

impl Address {
    /// Parses `scheme://user@host:port/virtual-host`. By default, the port is `port` and the virtual host is `/`.
    ///
    /// # Errors
    /// When it is something else. The message does not repeat the address, because it may contain a password.
    pub(crate) fn parse(url: &str, scheme: &str, port: u16) -> Result<Self, String> {
        let wrong = || format!("cannot read `url`, expected {scheme}://user@host:port/virtual-host without a password");
        let rest = url.strip_prefix(scheme).and_then(|rest| rest.strip_prefix("://")).ok_or_else(wrong)?;
        let (user, rest) = rest.split_once('@').ok_or_else(wrong)?;
        if user.contains(':') {
            return Err("found a password in `url`, expected it in `password_file` or `password_env`".to_owned());
        }
        let (place, virtual_host) = rest.split_once('/').map_or((rest, None), |(place, host)| (place, Some(host)));
        let (host, port) = match place.rsplit_once(':') {
            // The brackets of an IPv6 address contain colons.
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().map_err(|_malformed| wrong())?),
            Some(_) | None => (place, port),
        };
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        if host.is_empty() || user.is_empty() {
            return Err(wrong());
        }
        let virtual_host = match virtual_host {
            None | Some("") => "/".to_owned(),
            Some(encoded) => decoded(encoded).ok_or_else(wrong)?,
        };
        let user = decoded(user).ok_or_else(wrong)?;
        if user.len().max(virtual_host.len()) > NAME_BYTES_MAX {
            return Err(wrong());
        }
        Ok(Self { user, host: host.to_owned(), port, virtual_host })
    }
}

/// A text without its percent encoding.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next()?, rest.next()?];
            bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        let read = |url: &str| Address::parse(url, "amqp", 5672);
        let of = |user: &str, host: &str, port, virtual_host: &str| {
            Ok(Address { user: user.into(), host: host.into(), port, virtual_host: virtual_host.into() })
        };
        assert_eq!(read("amqp://u@h"), of("u", "h", 5672, "/"));
        assert_eq!(read("amqp://u@h:1/%2f"), of("u", "h", 1, "/"));
        assert_eq!(read("amqp://a%40b@[::1]:1/money"), of("a@b", "::1", 1, "money"));
        assert_eq!(read("amqp://u@[::1]"), of("u", "::1", 5672, "/"));
        for url in ["amqps://u@h", "amqp://h", "amqp://u@", "amqp://u@h:port", "amqp://u@h/%2", "amqp://u@h/%zz"] {
            let error = read(url).expect_err(url);
            assert!(error.contains("expected amqp://user@host:port/virtual-host"), "{error}");
        }
        let error = read("amqp://u:hidden@h").expect_err("a password");
        assert!(error.contains("found a password in `url`") && !error.contains("hidden"), "{error}");
    }
}
