//! The settings from YAML, with Prometheus' own contradictions, each at its key and line.
//!
//! Source: `HTTPClientConfig.Validate` and its kin in github.com/prometheus/common, package config.

use std::path::{Path, PathBuf};

use checked_yaml::{Fields, Mistakes, Node};
use reqwest::Url;
use reqwest::header::{HeaderName, HeaderValue};

use super::proxy::proxy_url;
use super::secret::{Secret, SecretSource};
use super::settings::{
    Authentication, HeaderSource, HttpSettings, Identity, OAuth2, ProxySettings, TlsSettings,
    TlsVersion, UrlCredentials,
};

/// Headers that the client sets itself, or that would change the connection.
const RESERVED: [&str; 18] = [
    "accept-encoding",
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "user-agent",
    "www-authenticate",
    "x-amz-content-sha256",
    "x-amz-date",
    "x-amz-security-token",
    "x-prometheus-remote-read-version",
    "x-prometheus-remote-write-version",
    "x-prometheus-scrape-timeout-seconds",
];

impl HttpSettings {
    /// Reads Prometheus' client settings, which stand beside other keys; the caller finishes the fields. Names of files
    /// are relative to `directory`, that of the configuration file.
    pub fn read(fields: &mut Fields<'_>, directory: &Path, mistakes: &mut Mistakes) -> Self {
        let mut reader = Reader {
            directory,
            mistakes,
        };
        Self {
            authentication: reader.authentication(fields),
            tls: reader.tls(fields.optional("tls_config")),
            proxy: reader.proxy(fields),
            headers: reader.headers(fields.optional("http_headers")),
            follow_redirects: reader.boolean(fields.optional("follow_redirects"), true),
            enable_http2: reader.boolean(fields.optional("enable_http2"), true),
        }
    }
}

struct Reader<'a> {
    directory: &'a Path,
    mistakes: &'a mut Mistakes,
}

/// A key and its value, where it is set.
type Entry<'a> = (&'static str, Option<&'a Node>);

impl Reader<'_> {
    fn authentication(&mut self, fields: &mut Fields<'_>) -> Authentication {
        let keys = [
            "basic_auth",
            "authorization",
            "oauth2",
            "bearer_token",
            "bearer_token_file",
        ];
        let entries = keys.map(|key| (key, fields.optional(key)));
        let [basic, authorization, oauth2, token, token_file] = entries.map(|(_, node)| node);
        self.at_most_one(&entries);
        if let Some(node) = basic {
            return self.basic(node);
        }
        if let Some(node) = authorization {
            return self.authorization(node);
        }
        if let Some(node) = oauth2 {
            return self.oauth2(node);
        }
        let token = self.source(("bearer_token", token), ("bearer_token_file", token_file));
        match token {
            Some(token) => Authentication::Authorization {
                scheme: "Bearer".to_owned(),
                credentials: Some(token),
            },
            None => Authentication::None,
        }
    }

    fn basic(&mut self, node: &Node) -> Authentication {
        let mut fields = node.fields(self.mistakes);
        let user = self.pair(&mut fields, "username", "username_file");
        let password = self.pair(&mut fields, "password", "password_file");
        self.refuse_references(&mut fields, &["username_ref", "password_ref"]);
        fields.finish(self.mistakes);
        Authentication::Basic { user, password }
    }

    fn authorization(&mut self, node: &Node) -> Authentication {
        let mut fields = node.fields(self.mistakes);
        let mut scheme = "Bearer".to_owned();
        if let Some(node) = fields.optional("type")
            && let Some(text) = node.text(self.mistakes)
        {
            let text = text.trim();
            if text.eq_ignore_ascii_case("basic") {
                node.reject(self.mistakes, "cannot be basic: use `basic_auth`");
            } else if HeaderName::try_from(text).is_err() && !text.is_empty() {
                node.reject(self.mistakes, format!("`{text}` is not one word"));
            } else if !text.is_empty() {
                scheme = text.to_owned();
            }
        }
        let credentials = self.pair(&mut fields, "credentials", "credentials_file");
        self.refuse_references(&mut fields, &["credentials_ref"]);
        fields.finish(self.mistakes);
        Authentication::Authorization {
            scheme,
            credentials,
        }
    }

    fn oauth2(&mut self, node: &Node) -> Authentication {
        let mut fields = node.fields(self.mistakes);
        let client_id = fields.required("client_id", self.mistakes);
        let client_id = client_id.and_then(|node| node.text(self.mistakes));
        let client_secret = self.pair(&mut fields, "client_secret", "client_secret_file");
        let mut scopes = Vec::new();
        if let Some(node) = fields.optional("scopes") {
            for item in node.items(self.mistakes) {
                scopes.extend(item.text(self.mistakes).map(str::to_owned));
            }
        }
        let token_url = fields
            .required("token_url", self.mistakes)
            .and_then(|node| self.url(node));
        let mut endpoint_params = Vec::new();
        if let Some(node) = fields.optional("endpoint_params") {
            for (name, value) in node.entries(self.mistakes) {
                let value = value.text(self.mistakes).map(str::to_owned);
                endpoint_params.extend(value.map(|value| (name.clone(), value)));
            }
        }
        let http = HttpSettings {
            tls: self.tls(fields.optional("tls_config")),
            proxy: self.proxy(&mut fields),
            ..HttpSettings::default()
        };
        self.refuse_references(&mut fields, &["client_secret_ref"]);
        for key in [
            "grant_type",
            "client_certificate_key",
            "client_certificate_key_file",
            "client_certificate_key_id",
            "signature_algorithm",
            "iss",
            "audience",
            "claims",
        ] {
            let reason = "is of the grant by a signed assertion, which is not supported; only client credentials are";
            fields.refuse(key, reason, self.mistakes);
        }
        fields.finish(self.mistakes);
        let (Some(client_id), Some(token_url)) = (client_id, token_url) else {
            return Authentication::None;
        };
        Authentication::OAuth2(Box::new(OAuth2 {
            client_id: client_id.to_owned(),
            client_secret,
            scopes,
            token_url,
            endpoint_params,
            http,
        }))
    }

    fn tls(&mut self, node: Option<&Node>) -> TlsSettings {
        let mut settings = TlsSettings::default();
        let Some(node) = node else { return settings };
        let mut fields = node.fields(self.mistakes);
        settings.authorities = self.pair(&mut fields, "ca", "ca_file");
        let certificate = self.pair(&mut fields, "cert", "cert_file");
        let key = self.pair(&mut fields, "key", "key_file");
        match (certificate, key) {
            (Some(certificate), Some(key)) => {
                settings.identity = Some(Identity { certificate, key });
            }
            (None, None) => {}
            (Some(_), None) => node.reject(
                self.mistakes,
                "has a client's certificate without its key: set `key` or `key_file`",
            ),
            (None, Some(_)) => node.reject(
                self.mistakes,
                "has a client's key without its certificate: set `cert` or `cert_file`",
            ),
        }
        settings.server_name = self.text(fields.optional("server_name"));
        settings.insecure_skip_verify =
            self.boolean(fields.optional("insecure_skip_verify"), false);
        let lowest = fields.optional("min_version");
        settings.min_version = match self.version(lowest) {
            // Older ones are not spoken here, so that a minimum below is kept anyway.
            Some(Some(version)) => version,
            _ => TlsVersion::Tls12,
        };
        let highest = fields.optional("max_version");
        match (highest, self.version(highest)) {
            (Some(_), Some(Some(version))) => settings.max_version = version,
            (Some(node), Some(None)) => {
                node.reject(self.mistakes, "only TLS12 and TLS13 are spoken here");
            }
            _ => {}
        }
        if let Some(node) = highest
            && settings.max_version < settings.min_version
        {
            node.reject(self.mistakes, "is below `min_version`");
        }
        self.refuse_references(&mut fields, &["ca_ref", "cert_ref", "key_ref"]);
        fields.finish(self.mistakes);
        settings
    }

    /// A version of TLS; within, `None` where it is older than those that are spoken here.
    fn version(&mut self, node: Option<&Node>) -> Option<Option<TlsVersion>> {
        let node = node?;
        match node.text(self.mistakes)? {
            "TLS13" => Some(Some(TlsVersion::Tls13)),
            "TLS12" => Some(Some(TlsVersion::Tls12)),
            "TLS10" | "TLS11" => Some(None),
            other => {
                let message = format!("`{other}` is none of TLS10, TLS11, TLS12 and TLS13");
                node.reject(self.mistakes, message);
                None
            }
        }
    }

    fn proxy(&mut self, fields: &mut Fields<'_>) -> ProxySettings {
        let url_node = fields.optional("proxy_url");
        let except_node = fields.optional("no_proxy");
        let environment_node = fields.optional("proxy_from_environment");
        let headers_node = fields.optional("proxy_connect_header");
        let environment = self.boolean(environment_node, false);
        let connect_headers = self.connect_headers(headers_node);
        if environment {
            for node in [url_node, except_node].into_iter().flatten() {
                let message = "contradicts `proxy_from_environment`: keep one";
                node.reject(self.mistakes, message);
            }
            return ProxySettings::Environment { connect_headers };
        }
        let Some(node) = url_node else {
            for node in [except_node, headers_node].into_iter().flatten() {
                node.reject(self.mistakes, "has no meaning without `proxy_url`");
            }
            return ProxySettings::None;
        };
        let Some(text) = node.text(self.mistakes) else {
            return ProxySettings::None;
        };
        // Not repeated in the message: it may hold a password.
        let Some(mut url) = proxy_url(text) else {
            node.reject(
                self.mistakes,
                "is not the URL of a proxy such as http://proxy.example.org:3128; http and https are supported",
            );
            return ProxySettings::None;
        };
        ProxySettings::Url {
            credentials: UrlCredentials::take(&mut url),
            url,
            except: self.text(except_node),
            connect_headers,
        }
    }

    fn connect_headers(&mut self, node: Option<&Node>) -> Vec<(HeaderName, SecretSource)> {
        let mut headers = Vec::new();
        let Some(node) = node else { return headers };
        for (name, values) in node.entries(self.mistakes) {
            let Some(name) = self.header_name(name, values) else {
                continue;
            };
            for item in values.items(self.mistakes) {
                if let Some(text) = item.text(self.mistakes) {
                    if HeaderValue::from_str(text).is_err() {
                        item.reject(self.mistakes, "no header may hold these characters");
                    }
                    let secret = SecretSource::Inline(Secret::new(text));
                    headers.push((name.clone(), secret));
                }
            }
        }
        headers
    }

    fn headers(&mut self, node: Option<&Node>) -> Vec<(HeaderName, HeaderSource)> {
        let mut headers = Vec::new();
        let Some(node) = node else { return headers };
        for (name, node) in node.entries(self.mistakes) {
            let Some(name) = self.header_name(name, node) else {
                continue;
            };
            if RESERVED.contains(&name.as_str()) {
                let message = "is set by the agent itself, or by a setting of its own";
                node.reject(self.mistakes, message);
                continue;
            }
            if headers.iter().any(|(known, _)| *known == name) {
                node.reject(
                    self.mistakes,
                    "is there twice, in small and capital letters",
                );
            }
            let mut fields = node.fields(self.mistakes);
            for item in self.items(fields.optional("values")) {
                let Some(text) = item.text(self.mistakes) else {
                    continue;
                };
                match HeaderValue::from_str(text) {
                    Ok(value) => headers.push((name.clone(), HeaderSource::Value(value))),
                    Err(_) => item.reject(self.mistakes, "no header may hold these characters"),
                }
            }
            for item in self.items(fields.optional("secrets")) {
                if let Some(text) = item.text(self.mistakes) {
                    let secret = SecretSource::Inline(Secret::new(text));
                    headers.push((name.clone(), HeaderSource::Secret(secret)));
                }
            }
            for item in self.items(fields.optional("files")) {
                if let Some(text) = item.text(self.mistakes) {
                    let file = self.file("http_headers.files", text);
                    headers.push((name.clone(), HeaderSource::Secret(file)));
                }
            }
            fields.finish(self.mistakes);
        }
        headers
    }

    fn header_name(&mut self, name: &str, node: &Node) -> Option<HeaderName> {
        let read = HeaderName::try_from(name);
        if read.is_err() {
            node.reject(self.mistakes, format!("`{name}` is not a header's name"));
        }
        read.ok()
    }

    /// A secret that stands in the configuration or in a file, and not in both.
    fn pair(
        &mut self,
        fields: &mut Fields<'_>,
        inline: &'static str,
        file: &'static str,
    ) -> Option<SecretSource> {
        let inline = (inline, fields.optional(inline));
        let file = (file, fields.optional(file));
        self.at_most_one(&[inline, file]);
        self.source(inline, file)
    }

    fn source(&mut self, inline: Entry<'_>, file: Entry<'_>) -> Option<SecretSource> {
        if let Some(node) = inline.1 {
            let text = node.text(self.mistakes)?;
            return Some(SecretSource::Inline(Secret::new(text)));
        }
        let path = self.text(file.1)?;
        Some(self.file(file.0, &path))
    }

    fn file(&self, key: &'static str, path: &str) -> SecretSource {
        SecretSource::File {
            key,
            path: self.directory.join(PathBuf::from(path)),
        }
    }

    /// Says of every key but the first that it contradicts the first.
    fn at_most_one(&mut self, entries: &[Entry<'_>]) {
        let mut set = entries
            .iter()
            .filter_map(|(key, node)| node.map(|node| (key, node)));
        let Some((first, _)) = set.next() else { return };
        for (_, node) in set {
            node.reject(self.mistakes, format!("contradicts `{first}`: keep one"));
        }
    }

    fn refuse_references(&mut self, fields: &mut Fields<'_>, keys: &[&'static str]) {
        for key in keys {
            let reason = "names a secret of a secret manager, and there is none here; use a file";
            fields.refuse(key, reason, self.mistakes);
        }
    }

    fn url(&mut self, node: &Node) -> Option<Url> {
        let text = node.text(self.mistakes)?;
        let url = Url::parse(text)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https"));
        match url {
            None => node.reject(
                self.mistakes,
                "is not a URL that begins with http:// or https://",
            ),
            Some(url) if !url.username().is_empty() || url.password().is_some() => {
                node.reject(self.mistakes, "credentials do not belong into this URL");
                return None;
            }
            Some(url) => return Some(url),
        }
        None
    }

    fn items<'n>(&mut self, node: Option<&'n Node>) -> &'n [Node] {
        node.map_or(&[], |node| node.items(self.mistakes))
    }

    fn text(&mut self, node: Option<&Node>) -> Option<String> {
        let node = node?;
        let text = node.text(self.mistakes)?;
        if text.is_empty() {
            node.reject(self.mistakes, "is empty");
            return None;
        }
        Some(text.to_owned())
    }

    fn boolean(&mut self, node: Option<&Node>, default: bool) -> bool {
        node.and_then(|node| node.boolean(self.mistakes))
            .unwrap_or(default)
    }
}
