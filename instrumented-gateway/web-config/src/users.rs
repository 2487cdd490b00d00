//! Names and passwords: bcrypt hashes, checked beside the event loop, one at a time, and remembered for a while.
//!
//! A bcrypt is slow on purpose, and a scraper comes every few seconds: what was checked once is remembered under a
//! keyed hash, never as text. Who does not exist is checked against a hash that nobody has the password of, so that an
//! answer takes as long as for who does. One check at a time bounds what a flood of guesses costs to one core.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use resource_ledger::{Account, Ledger, ServiceTaskOutcome};
use ring::{hmac, rand};
use tokio::sync::Semaphore;

/// Logins that are remembered, of each kind: more names than that share one listener rarely.
const REMEMBERED: usize = 128;

/// Who may come in, by name: bcrypt hashes.
pub(crate) type Users = BTreeMap<String, Arc<str>>;

/// Checks logins.
#[derive(Debug)]
pub(crate) struct Logins {
    ledger: Ledger,
    account: Account<ServiceTaskOutcome>,
    turn: Arc<Semaphore>,
    key: hmac::Key,
    /// Apart, so that a flood of guesses does not push the right ones out.
    right: Mutex<VecDeque<[u8; 32]>>,
    wrong: Mutex<VecDeque<[u8; 32]>>,
}

impl Logins {
    pub(crate) fn new(ledger: &Ledger) -> Self {
        let random = rand::SystemRandom::new();
        Self {
            ledger: ledger.clone(),
            account: ledger.account(resource_ledger::Labels::new()),
            turn: Arc::new(Semaphore::new(1)),
            key: hmac::Key::generate(hmac::HMAC_SHA256, &random)
                .expect("the system has random numbers"),
            right: Mutex::default(),
            wrong: Mutex::default(),
        }
    }

    /// Whether a request's head names one of `users` with the right password.
    pub(crate) async fn are_right(&self, users: &Users, headers: &HeaderMap) -> bool {
        let Some((name, password)) = credentials(headers) else {
            return false;
        };
        let known = users.get(&name).cloned();
        let exists = known.is_some();
        let hash = known.unwrap_or_else(|| nobodys_hash(users));
        let tag = self.tag(&name, &hash, &password);
        if let Some(known) = self.remembered(&tag) {
            return known && exists;
        }
        let Ok(turn) = Arc::clone(&self.turn).acquire_owned().await else {
            return false;
        };
        if let Some(known) = self.remembered(&tag) {
            return known && exists;
        }
        let check = self.ledger.compute(self.account.open(), move || {
            // Given back by whoever computes: a client that leaves does not end the computing.
            let _turn = turn;
            bcrypt::verify(&password, &hash).unwrap_or(false)
        });
        let is_right = check.join().await.unwrap_or(false);
        self.remember(tag, is_right);
        is_right && exists
    }

    fn tag(&self, name: &str, hash: &str, password: &[u8]) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.key);
        for part in [name.as_bytes(), hash.as_bytes(), password] {
            // With their lengths: otherwise `ab` + `c` were `a` + `bc`.
            context.update(&(part.len() as u64).to_le_bytes());
            context.update(part);
        }
        let mut tag = [0; 32];
        tag.copy_from_slice(context.sign().as_ref());
        tag
    }

    fn remembered(&self, tag: &[u8; 32]) -> Option<bool> {
        let holds = |list: &Mutex<VecDeque<[u8; 32]>>| {
            let list = list.lock().unwrap_or_else(PoisonError::into_inner);
            list.contains(tag)
        };
        if holds(&self.right) {
            Some(true)
        } else {
            holds(&self.wrong).then_some(false)
        }
    }

    fn remember(&self, tag: [u8; 32], is_right: bool) {
        let list = if is_right { &self.right } else { &self.wrong };
        let mut list = list.lock().unwrap_or_else(PoisonError::into_inner);
        if list.len() >= REMEMBERED {
            list.pop_front();
        }
        list.push_back(tag);
    }
}

/// RFC 7617: the name ends at the first colon.
fn credentials(headers: &HeaderMap) -> Option<(String, Vec<u8>)> {
    let text = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, encoded) = text.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = BASE64_STANDARD.decode(encoded.trim()).ok()?;
    let colon = decoded.iter().position(|byte| *byte == b':')?;
    let name = String::from_utf8(decoded[..colon].to_vec()).ok()?;
    Some((name, decoded[colon + 1..].to_vec()))
}

/// A hash that takes as long as the slowest of `users`, and that no password is known for.
fn nobodys_hash(users: &Users) -> Arc<str> {
    let cost = users.values().filter_map(|hash| cost(hash)).max();
    let cost = cost.unwrap_or(bcrypt::DEFAULT_COST);
    Arc::from(format!(
        "$2y${cost:02}$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi"
    ))
}

/// The cost of a bcrypt hash, where it is one.
pub(crate) fn cost(hash: &str) -> Option<u32> {
    let rest = ["$2a$", "$2b$", "$2x$", "$2y$"]
        .iter()
        .find_map(|version| hash.strip_prefix(version))?;
    let (cost, rest) = rest.split_once('$')?;
    let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'/');
    let is_hash = rest.len() == 53 && rest.bytes().all(is_base64);
    let is_cost = cost.len() == 2 && cost.bytes().all(|byte| byte.is_ascii_digit());
    (is_hash && is_cost).then(|| cost.parse().ok()).flatten()
}
