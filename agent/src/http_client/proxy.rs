//! Through which proxy a URL is fetched.
//!
//! A proxy of `proxy_url` alone is for every URL. With `no_proxy`, and from the environment, the rules are those of
//! Go's `golang.org/x/net/http/httpproxy`, which Prometheus uses: loopback and `localhost` never go through it, nor does
//! what the list names: `*`; a domain with those below it, or with a leading dot only those below it; an address; a
//! network (CIDR); each but the last with a port where only that port is meant.

use std::env;
use std::net::IpAddr;

use reqwest::header::HeaderMap;
use reqwest::{Proxy, Url};

use super::HttpError;
use super::settings::{ProxySettings, UrlCredentials};

/// What the settings come to: the proxies for the client's builder.
pub(super) fn proxies(settings: &ProxySettings) -> Result<Vec<Proxy>, HttpError> {
    let (rules, connect_headers) = match settings {
        ProxySettings::None => return Ok(Vec::new()),
        ProxySettings::Url {
            url,
            credentials,
            except,
            connect_headers,
        } => {
            let url = with_credentials(url, credentials.as_ref());
            let rules = Rules {
                http: Some(url.clone()),
                https: Some(url),
                except: except.as_deref().map(Exceptions::new),
            };
            (rules, connect_headers)
        }
        ProxySettings::Environment { connect_headers } => (
            Rules::from_environment(|name| env::var(name).ok())?,
            connect_headers,
        ),
    };
    let mut headers = HeaderMap::new();
    for (name, source) in connect_headers {
        let secret = source.read()?;
        let value = super::header_value("proxy_connect_header", &secret)?;
        headers.append(name, value);
    }
    // Two of them, since the headers are for CONNECT alone, which only https needs.
    let plain = rules.clone();
    let plain = Proxy::custom(move |url| plain.proxy_of(url).filter(|_| url.scheme() == "http"));
    let tunnelled =
        Proxy::custom(move |url| rules.proxy_of(url).filter(|_| url.scheme() == "https"));
    Ok(vec![plain, tunnelled.headers(headers)])
}

fn with_credentials(url: &Url, credentials: Option<&UrlCredentials>) -> Url {
    let mut url = url.clone();
    if let Some(own) = credentials {
        // The setters encode everything but the percent sign. Both fail only for URLs without a host.
        let encoded = |text: &str| text.replace('%', "%25");
        let _ = url.set_username(&encoded(own.user.expose()));
        let _ = url.set_password(Some(&encoded(own.password.expose())));
    }
    url
}

/// Which proxy is for which URL.
#[derive(Clone, Default)]
struct Rules {
    http: Option<Url>,
    https: Option<Url>,
    /// Absent where every URL goes through the proxy.
    except: Option<Exceptions>,
}

impl Rules {
    fn from_environment(read: impl Fn(&str) -> Option<String>) -> Result<Self, HttpError> {
        let either = |name: &str| {
            read(name)
                .filter(|value| !value.is_empty())
                .or_else(|| read(&name.to_lowercase()).filter(|value| !value.is_empty()))
        };
        let proxy = |name: &'static str| match either(name) {
            None => Ok(None),
            Some(text) => proxy_url(&text)
                .map(Some)
                .ok_or(HttpError::Environment(name)),
        };
        Ok(Self {
            http: proxy("HTTP_PROXY")?,
            https: proxy("HTTPS_PROXY")?,
            except: Some(Exceptions::new(&either("NO_PROXY").unwrap_or_default())),
        })
    }

    fn proxy_of(&self, url: &Url) -> Option<Url> {
        let proxy = match url.scheme() {
            "https" => self.https.as_ref(),
            _ => self.http.as_ref(),
        };
        let excepted = self
            .except
            .as_ref()
            .is_some_and(|exceptions| exceptions.hold(url));
        proxy.filter(|_| !excepted).cloned()
    }
}

/// A proxy's URL; without a scheme it is http.
pub(super) fn proxy_url(text: &str) -> Option<Url> {
    let usable = |url: &Url| matches!(url.scheme(), "http" | "https") && url.has_host();
    let full = match text.contains("://") {
        true => Url::parse(text),
        false => Url::parse(&format!("http://{text}")),
    };
    full.ok().filter(usable)
}

/// What goes past the proxy.
#[derive(Clone)]
struct Exceptions {
    all: bool,
    rules: Vec<Exception>,
}

#[derive(Clone)]
enum Exception {
    Address(IpAddr, Option<u16>),
    Network(IpAddr, u8),
    /// In small letters, with its leading dot; with `apex` the domain itself too.
    Domain {
        suffix: String,
        apex: bool,
        port: Option<u16>,
    },
}

impl Exceptions {
    fn new(list: &str) -> Self {
        let mut exceptions = Self {
            all: false,
            rules: Vec::new(),
        };
        for item in list.split(',') {
            let item = item.trim().to_lowercase();
            if item == "*" {
                exceptions.all = true;
            } else if !item.is_empty() {
                exceptions.rules.extend(exception(&item));
            }
        }
        exceptions
    }

    fn hold(&self, url: &Url) -> bool {
        let host = url.host_str().unwrap_or_default().to_lowercase();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let host = host.trim_end_matches('.');
        let port = url.port_or_known_default();
        let address: Option<IpAddr> = host.parse().ok();
        let loopback = address.is_some_and(|address| address.is_loopback());
        if self.all || host == "localhost" || loopback {
            return true;
        }
        let same_port = |own: &Option<u16>| own.is_none() || *own == port;
        self.rules.iter().any(|rule| match rule {
            Exception::Address(own, own_port) => address == Some(*own) && same_port(own_port),
            Exception::Network(network, bits) => {
                address.is_some_and(|address| within(address, *network, *bits))
            }
            Exception::Domain { suffix, apex, port } => {
                same_port(port) && (host.ends_with(suffix) || *apex && host == &suffix[1..])
            }
        })
    }
}

fn exception(item: &str) -> Option<Exception> {
    if let Some((network, bits)) = item.split_once('/')
        && let (Ok(network), Ok(bits)) = (network.parse::<IpAddr>(), bits.parse::<u8>())
    {
        return Some(Exception::Network(network, bits));
    }
    if let Ok(address) = item.trim_matches(['[', ']']).parse() {
        return Some(Exception::Address(address, None));
    }
    let (name, port) = match item.rsplit_once(':') {
        Some((name, port)) => (name, Some(port.parse().ok()?)),
        None => (item, None),
    };
    if let Ok(address) = name.trim_matches(['[', ']']).parse() {
        return Some(Exception::Address(address, port));
    }
    let name = name
        .strip_prefix('*')
        .filter(|rest| rest.starts_with('.'))
        .unwrap_or(name);
    if name.is_empty() || name == "." {
        return None;
    }
    Some(match name.strip_prefix('.') {
        Some(_) => Exception::Domain {
            suffix: name.to_owned(),
            apex: false,
            port,
        },
        None => Exception::Domain {
            suffix: format!(".{name}"),
            apex: true,
            port,
        },
    })
}

/// Whether an address lies in a network of so many leading bits.
fn within(address: IpAddr, network: IpAddr, bits: u8) -> bool {
    let (address, network, width) = match (address, network) {
        (IpAddr::V4(address), IpAddr::V4(network)) => (
            u128::from(address.to_bits()),
            u128::from(network.to_bits()),
            32,
        ),
        (IpAddr::V6(address), IpAddr::V6(network)) => (address.to_bits(), network.to_bits(), 128),
        _ => return false,
    };
    let Some(ignored) = u32::checked_sub(width, u32::from(bits)) else {
        return false;
    };
    address.checked_shr(ignored).unwrap_or(0) == network.checked_shr(ignored).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(except: &str, past: &[&str], through: &[&str]) {
        let exceptions = Exceptions::new(except);
        let hold = |url: &&&str| exceptions.hold(&url.parse().expect("a URL"));
        assert_eq!(past.iter().find(|url| !hold(url)), None, "{except}: past");
        assert_eq!(through.iter().find(hold), None, "{except}: through");
    }

    #[test]
    fn what_goes_past_the_proxy() {
        check(
            "",
            &["http://localhost:1/", "http://127.0.0.9/", "http://[::1]/"],
            &["http://a.b/"],
        );
        check("*", &["http://a.b/"], &[]);
        check(
            "b.c",
            &["http://b.c/", "http://a.B.c/"],
            &["http://ab.c/", "http://c/"],
        );
        check(".b.c", &["http://a.b.c/"], &["http://b.c/"]);
        check("*.b.c", &["http://a.b.c/"], &["http://b.c/"]);
        check(
            "b:81, c",
            &["http://b:81/", "http://c:7/"],
            &["http://b/", "https://b/"],
        );
        check("b:443", &["https://b/"], &["http://b/"]);
        check(
            "10.0.0.1,[fd00::1]:9",
            &["http://10.0.0.1/", "http://[fd00::1]:9/"],
            &["http://10.0.0.2/", "http://[fd00::1]/"],
        );
        check(
            "10.1.0.0/16,fd00::/8",
            &["http://10.1.9.9/", "http://[fd12::3]/"],
            &["http://10.2.0.1/", "http://[fe00::1]/", "http://ten/"],
        );
        check("0.0.0.0/0", &["http://9.9.9.9/"], &["http://[fe00::1]/"]);
        check("10.0.0.0/99,:,x:y", &[], &["http://10.0.0.1/", "http://x/"]);
    }

    #[test]
    fn the_environment_names_a_proxy_for_each_scheme() {
        let read = |name: &str| match name {
            "HTTP_PROXY" => Some("proxy:3128".to_owned()),
            "https_proxy" => Some("https://u:p@secure.proxy/".to_owned()),
            "NO_PROXY" => Some("near".to_owned()),
            _ => None,
        };
        let rules = Rules::from_environment(read).unwrap_or_default();
        let proxy = |url: &str| {
            rules
                .proxy_of(&url.parse().expect("a URL"))
                .map(String::from)
        };
        assert_eq!(proxy("http://far/").as_deref(), Some("http://proxy:3128/"));
        assert_eq!(
            proxy("https://far/").as_deref(),
            Some("https://u:p@secure.proxy/")
        );
        assert_eq!(proxy("http://near/"), None);
        let broken =
            Rules::from_environment(|name| (name == "HTTP_PROXY").then(|| "socks5://x".into()));
        assert!(broken.is_err_and(|error| error.to_string().contains("HTTP_PROXY")));
    }
}
