//! Tokens by client credentials: RFC 6749, 4.4.
//!
//! One token is kept and asked for anew shortly before its time, or after the server refused it. The client says who it
//! is by a header, as the standard asks, and where that is refused within the body, which some servers want instead
//! (Go's oauth2 package tries both as well).

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use reqwest::{Response, StatusCode, Url};
use serde::Deserialize;
use tokio::sync::Mutex;

use super::error::{innermost, shown};
use super::settings::{Authentication, HttpSettings, OAuth2};
use super::{HttpClient, HttpError, HttpRequest, Secret, SecretSource, header_value};
use crate::clock;
use crate::excerpt::excerpt_of_bytes;

/// A token is not used in the last seconds of its life: it could end on the way.
const EARLY: Duration = Duration::from_secs(10);
/// Bytes of an answer with a token.
const ANSWER_BYTES: usize = 64 << 10;
/// Characters of a refusal that a message shows.
const EXCERPT_CHARACTERS: usize = 120;

/// The tokens of one client; without `oauth2` there are none.
#[derive(Debug)]
pub(super) struct Tokens {
    issuer: Option<Box<Issuer>>,
    /// Whether the kept token was refused.
    refused: AtomicBool,
}

#[derive(Debug)]
struct Issuer {
    settings: OAuth2,
    /// Held while a token is asked for, so that it is asked for once.
    token: Mutex<Option<Token>>,
    /// Whether the client names itself within the body.
    in_body: AtomicBool,
}

#[derive(Debug, Clone)]
struct Token {
    header: HeaderValue,
    until: Option<Instant>,
}

/// RFC 6749, 5.1.
#[derive(Deserialize)]
struct Answer {
    access_token: String,
    #[serde(default)]
    token_type: Option<String>,
    /// Seconds; a number, and in the field also a text.
    #[serde(default)]
    expires_in: serde_json::Value,
}

impl Tokens {
    pub(super) fn new(authentication: &Authentication) -> Self {
        let issuer = match authentication {
            Authentication::OAuth2(settings) => Some(Box::new(Issuer {
                settings: (**settings).clone(),
                token: Mutex::new(None),
                in_body: AtomicBool::new(false),
            })),
            _ => None,
        };
        Self {
            issuer,
            refused: AtomicBool::new(false),
        }
    }

    /// Asks for another token the next time.
    pub(super) fn forget(&self) {
        self.refused.store(true, Ordering::Relaxed);
    }

    /// The value of `Authorization`.
    pub(super) async fn header(&self) -> Result<HeaderValue, HttpError> {
        let Some(issuer) = &self.issuer else {
            return Err(HttpError::HeaderValue("oauth2"));
        };
        let mut kept = issuer.token.lock().await;
        let refused = self.refused.swap(false, Ordering::Relaxed);
        if let Some(token) = &*kept
            && !refused
            && token.until.is_none_or(|until| clock::instant() < until)
        {
            return Ok(token.header.clone());
        }
        *kept = None;
        let token = Box::pin(issuer.ask()).await?;
        *kept = Some(token.clone());
        Ok(token.header)
    }
}

impl Issuer {
    async fn ask(&self) -> Result<Token, HttpError> {
        let in_body = self.in_body.load(Ordering::Relaxed);
        let response = self.request(in_body).await?;
        let refused = [StatusCode::BAD_REQUEST, StatusCode::UNAUTHORIZED];
        if !in_body && refused.contains(&response.status()) {
            let second = self.request(true).await?;
            if second.status() == StatusCode::OK {
                self.in_body.store(true, Ordering::Relaxed);
                return self.token(second).await;
            }
        }
        self.token(response).await
    }

    async fn request(&self, in_body: bool) -> Result<Response, HttpError> {
        let settings = &self.settings;
        let secret = match &settings.client_secret {
            Some(source) => source.read()?,
            None => Secret::new(""),
        };
        let scopes = settings.scopes.join(" ");
        let mut form: Vec<(&str, &str)> = vec![("grant_type", "client_credentials")];
        if !scopes.is_empty() {
            form.push(("scope", &scopes));
        }
        let own = settings.endpoint_params.iter();
        form.extend(own.map(|(name, value)| (name.as_str(), value.as_str())));
        let mut authentication = Authentication::None;
        if in_body {
            form.push(("client_id", &settings.client_id));
            form.push(("client_secret", secret.expose()));
        } else {
            // RFC 6749, 2.3.1: encoded as a form before they are encoded as Basic.
            let inline =
                |text: &str| Some(SecretSource::Inline(Secret::new(encoded(&[("", text)]))));
            authentication = Authentication::Basic {
                user: inline(&settings.client_id),
                password: inline(secret.expose()),
            };
        }
        let http = HttpSettings {
            authentication,
            ..settings.http.clone()
        };
        let request = HttpRequest::post(settings.token_url.clone(), Bytes::from(encoded(&form)))
            .header(
                CONTENT_TYPE,
                HeaderValue::from_static("application/x-www-form-urlencoded"),
            )
            .header(ACCEPT, HeaderValue::from_static("application/json"));
        HttpClient::new(http, 0)
            .send(request)
            .await
            .map_err(|error| self.failed(error.to_string()))
    }

    async fn token(&self, mut response: Response) -> Result<Token, HttpError> {
        let status = response.status();
        let mut body = Vec::new();
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|error| self.failed(innermost(&error)))?
        {
            body.extend_from_slice(&chunk);
            if body.len() > ANSWER_BYTES {
                return Err(self.failed(format!("it answers with more than {ANSWER_BYTES} bytes")));
            }
        }
        if !status.is_success() {
            let shown = excerpt_of_bytes(body.trim_ascii(), EXCERPT_CHARACTERS);
            return Err(self.failed(format!(
                "it answers with status {}: {shown}",
                status.as_u16()
            )));
        }
        // Its text may hold a token and is not shown.
        let answer: Answer = serde_json::from_slice(&body)
            .map_err(|_| self.failed("its answer is not RFC 6749's".to_owned()))?;
        let seconds = match &answer.expires_in {
            serde_json::Value::Number(number) => number.as_f64(),
            serde_json::Value::String(text) => text.parse().ok(),
            _ => None,
        };
        let life = seconds
            .filter(|seconds| *seconds > 0.0)
            .and_then(|seconds| {
                Duration::try_from_secs_f64(seconds)
                    .ok()
                    .map(|life| life.saturating_sub(EARLY))
            });
        let scheme = match answer.token_type.as_deref() {
            None | Some("") => "Bearer",
            Some(own) if own.eq_ignore_ascii_case("bearer") => "Bearer",
            Some(own) => own,
        };
        let text = Secret::new(format!("{scheme} {}", answer.access_token));
        Ok(Token {
            header: header_value("oauth2", &text)?,
            until: life.and_then(|life| clock::instant().checked_add(life)),
        })
    }

    fn failed(&self, reason: String) -> HttpError {
        HttpError::Token {
            url: shown(&self.settings.token_url),
            reason,
        }
    }
}

/// `application/x-www-form-urlencoded`; a pair without a name is its value alone.
fn encoded(pairs: &[(&str, &str)]) -> String {
    let Ok(mut url) = Url::parse("http://h/") else {
        return String::new();
    };
    url.query_pairs_mut().extend_pairs(pairs);
    let text = url.query().unwrap_or_default();
    text.strip_prefix('=').unwrap_or(text).to_owned()
}
