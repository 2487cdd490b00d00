//! How a server is spoken to, as a value without a mistake: who asks, over which TLS, through which proxy.
//!
//! The names are those of Prometheus' `<http_config>`; what they mean is said there.
//!
//! Source: Prometheus, "Configuration", `<http_config>` and `<tls_config>`.

use reqwest::Url;
use reqwest::header::{HeaderName, HeaderValue};

use super::secret::SecretSource;

/// Prometheus' client settings of one job, Alertmanager, source or discovery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpSettings {
    /// `basic_auth`, `authorization`, `bearer_token`, `bearer_token_file` or `oauth2`: at most one of them.
    pub authentication: Authentication,
    /// `tls_config`.
    pub tls: TlsSettings,
    /// `proxy_url`, `proxy_from_environment`, `no_proxy` and `proxy_connect_header`.
    pub proxy: ProxySettings,
    /// `http_headers`, in the order of the file; a name may have several values.
    pub headers: Vec<(HeaderName, HeaderSource)>,
    /// `follow_redirects`; true. Never to another host, whatever it says.
    pub follow_redirects: bool,
    /// `enable_http2`; true. Only over TLS, where both sides agree on it.
    pub enable_http2: bool,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            authentication: Authentication::None,
            tls: TlsSettings::default(),
            proxy: ProxySettings::None,
            headers: Vec::new(),
            follow_redirects: true,
            enable_http2: true,
        }
    }
}

/// How a client says who it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Authentication {
    /// It does not.
    #[default]
    None,
    /// `basic_auth`: RFC 7617. What is absent is empty.
    Basic {
        /// `username` or `username_file`.
        user: Option<SecretSource>,
        /// `password` or `password_file`.
        password: Option<SecretSource>,
    },
    /// `authorization`, `bearer_token` or `bearer_token_file`.
    Authorization {
        /// `type`; `Bearer` unless set.
        scheme: String,
        /// `credentials` or `credentials_file`; only the type is sent where there are none.
        credentials: Option<SecretSource>,
    },
    /// `oauth2`: RFC 6749, 4.4, client credentials.
    OAuth2(Box<OAuth2>),
}

/// Where a token comes from: RFC 6749, 4.4.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OAuth2 {
    /// `client_id`.
    pub client_id: String,
    /// `client_secret` or `client_secret_file`.
    pub client_secret: Option<SecretSource>,
    /// `scopes`, in their order.
    pub scopes: Vec<String>,
    /// `token_url`, without credentials.
    pub token_url: Url,
    /// `endpoint_params`: added to the request for a token.
    pub endpoint_params: Vec<(String, String)>,
    /// `tls_config` and the proxy, for the request for a token.
    pub http: HttpSettings,
}

/// One value of `http_headers`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeaderSource {
    /// One of `values`.
    Value(HeaderValue),
    /// One of `secrets` or `files`.
    Secret(SecretSource),
}

/// Whom to trust, and who to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsSettings {
    /// `ca` or `ca_file`: who signs servers; the system's own authorities unless set. PEM.
    pub authorities: Option<SecretSource>,
    /// `cert` or `cert_file`, and `key` or `key_file`: the client's own. PEM.
    pub identity: Option<Identity>,
    /// `server_name`: the name that the server's certificate must carry, instead of the host's.
    pub server_name: Option<String>,
    /// `insecure_skip_verify`: any server will do.
    pub insecure_skip_verify: bool,
    /// `min_version`; TLS 1.2 unless set.
    pub min_version: TlsVersion,
    /// `max_version`; TLS 1.3 unless set.
    pub max_version: TlsVersion,
}

impl Default for TlsSettings {
    fn default() -> Self {
        Self {
            authorities: None,
            identity: None,
            server_name: None,
            insecure_skip_verify: false,
            min_version: TlsVersion::Tls12,
            max_version: TlsVersion::Tls13,
        }
    }
}

/// A client's certificate and its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The certificate, and those between it and its authority.
    pub certificate: SecretSource,
    /// Its private key.
    pub key: SecretSource,
}

/// A version of TLS that is spoken here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// RFC 5246.
    Tls12,
    /// RFC 8446.
    Tls13,
}

/// What stands between the agent and a server.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ProxySettings {
    /// Nothing.
    #[default]
    None,
    /// `proxy_url`.
    Url {
        /// The proxy, without credentials.
        url: Url,
        /// Those that stood in it.
        credentials: Option<UrlCredentials>,
        /// `no_proxy`, where it is set: then loopback is never proxied, as in Go.
        except: Option<String>,
        /// `proxy_connect_header`.
        connect_headers: Vec<(HeaderName, SecretSource)>,
    },
    /// `proxy_from_environment`: `HTTP_PROXY`, `HTTPS_PROXY`, `NO_PROXY`, also in small letters.
    Environment {
        /// `proxy_connect_header`.
        connect_headers: Vec<(HeaderName, SecretSource)>,
    },
}

/// A user's name and password that stood in a URL. The name is no secret, and not shown either.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UrlCredentials {
    /// The name, decoded.
    pub user: super::Secret,
    /// The password, decoded; empty where there was none.
    pub password: super::Secret,
}

impl UrlCredentials {
    /// Takes the credentials out of a URL, so that it can be shown and sent.
    pub fn take(url: &mut Url) -> Option<Self> {
        if url.username().is_empty() && url.password().is_none() {
            return None;
        }
        let credentials = Self {
            user: super::Secret::new(decoded(url.username())),
            password: super::Secret::new(decoded(url.password().unwrap_or_default())),
        };
        // Both fail only for URLs without a host, and these have no credentials.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        Some(credentials)
    }

    /// The same as a setting.
    pub fn authentication(self) -> Authentication {
        Authentication::Basic {
            user: Some(SecretSource::Inline(self.user)),
            password: Some(SecretSource::Inline(self.password)),
        }
    }
}

/// RFC 3986, 2.1; what is not UTF-8 after it stays as it is.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        let octet = (byte == b'%')
            .then(|| tail.get(..2))
            .flatten()
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match octet {
            Some(octet) => {
                bytes.push(octet);
                rest = &tail[2..];
            }
            None => {
                bytes.push(byte);
                rest = tail;
            }
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(url: &str, shown: &str, expected: Option<(&str, &str)>) {
        let mut url: Url = url.parse().expect("a URL");
        let credentials = UrlCredentials::take(&mut url);
        assert_eq!(url.as_str(), shown);
        assert!(!format!("{credentials:?}").contains("cret1"));
        let plain = credentials
            .as_ref()
            .map(|own| (own.user.expose(), own.password.expose()));
        assert_eq!(plain, expected);
    }

    #[test]
    fn credentials_are_taken_out_of_a_url_and_decoded() {
        check("http://h:1/p", "http://h:1/p", None);
        check("http://me@h/", "http://h/", Some(("me", "")));
        check(
            "http://m%65:s%40cret1+%2@h/",
            "http://h/",
            Some(("me", "s@cret1+%2")),
        );
        check("http://a%ff:b@h/", "http://h/", Some(("a%ff", "b")));
    }
}
