//! The tables' requests with a few bytes changed at random: whatever is sent, what goes on has one meaning, and it is the
//! gateway that says it. A request that was hidden in another would reach the upstream without the gateway's own fields.

use std::net::SocketAddr;
use std::time::Duration;

use fastrand::Rng;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::recorder::{Recorder, SENTINEL};
use super::requests::{all, configuration};
use super::table::{find, show};
use crate::shell::support::{quiet, start};
use crate::support::spawn;

const REQUESTS: usize = 2_000;
const CLIENTS: usize = 20;
/// How long an answer is waited for: some requests are never finished.
const PATIENCE: Duration = Duration::from_millis(50);
const PIECES: [&[u8]; 18] = [
    b"\r",
    b"\n",
    b"\r\n",
    b"\r\n\r\n",
    b"\0",
    b" ",
    b"\t",
    b":",
    b",",
    b";",
    b"0",
    b"-",
    b"Content-Length: 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding:\x0bchunked\r\n",
    b"Connection: close, content-length\r\n",
    b"0\r\n\r\n",
    b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
];

fn mutated(request: &[u8], random: &mut Rng) -> Vec<u8> {
    let mut bytes = request.to_vec();
    for _ in 0..random.usize(1..4) {
        let at = random.usize(0..=bytes.len());
        let end = (at + random.usize(0..4)).min(bytes.len());
        let piece = match random.u8(0..4) {
            0 => Vec::new(),
            1 => bytes[at..end].repeat(2),
            _ => PIECES[random.usize(0..PIECES.len())].to_vec(),
        };
        bytes.splice(at..end, piece);
    }
    bytes
}

/// What is wrong with a message that came to the upstream; nothing where it has one meaning.
fn flaw(message: &[u8]) -> Option<&'static str> {
    // What breaks off in its head was never a request.
    let end = find(message, b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&message[..end]).into_owned();
    let mut lines = head.split("\r\n");
    let words: Vec<&str> = lines.next().unwrap_or_default().split(' ').collect();
    if words.len() != 3 || words[2] != "HTTP/1.1" || words.iter().any(|word| word.is_empty()) {
        return Some("its first line is no request line of ours");
    }
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let mut names = Vec::new();
    for line in lines {
        let Some((name, value)) = line.split_once(": ") else {
            return Some("a line is no field");
        };
        if name.is_empty() || !name.bytes().all(is_token) {
            return Some("a name is no token");
        }
        if value
            .bytes()
            .any(|byte| byte < b' ' && byte != b'\t' || byte == 0x7f)
        {
            return Some("a value has a control character");
        }
        if name == "content-length" && !value.bytes().all(|byte| byte.is_ascii_digit()) {
            return Some("the length is no number");
        }
        if name == "transfer-encoding" && value != "chunked" {
            return Some("there is another coding than chunked");
        }
        names.push(name.to_owned());
    }
    let count = |name: &str| names.iter().filter(|known| *known == name).count();
    if count("content-length") + count("transfer-encoding") > 1 {
        return Some("it is framed twice");
    }
    if count("host") != 1 {
        return Some("it has not one Host");
    }
    let is_ours = head.contains("1.1 gw") || head.contains("1.0 gw");
    let stamps = ["x-request-deadline-ms", "x-forwarded-for"];
    if !is_ours || stamps.iter().any(|name| count(name) != 1) {
        return Some("it does not come from the gateway");
    }
    None
}

async fn client(gateway: SocketAddr, requests: Vec<Vec<u8>>, seed: u64) {
    let mut random = Rng::with_seed(seed);
    for _ in 0..REQUESTS / CLIENTS {
        let request = &requests[random.usize(0..requests.len())];
        let bytes = mutated(request, &mut random);
        let mut stream = TcpStream::connect(gateway).await.expect("the gateway");
        // It may have been refused before all is sent.
        let _ = stream.write_all(&bytes).await;
        let _ = stream.write_all(SENTINEL).await;
        let mut answers = Vec::new();
        let read = stream.read_to_end(&mut answers);
        let _ = tokio::time::timeout(PATIENCE, read).await;
    }
}

#[tokio::test]
async fn whatever_is_sent_what_goes_on_has_one_meaning() {
    let recorder = Recorder::start().await;
    let gateway = start(&configuration("plain"), &[recorder.address]).await;
    let plain = all().into_iter().filter(|row| row.configuration == "plain");
    let requests: Vec<Vec<u8>> = plain
        .map(|row| row.sent)
        .filter(|sent| sent.len() < 1_000)
        .collect();
    let seed = std::env::var("LEAKWATCH_SEED").map_or_else(
        |_| fastrand::u64(..),
        |seed| seed.parse().expect("LEAKWATCH_SEED is a number"),
    );
    println!("LEAKWATCH_SEED={seed}");
    let clients = (0..CLIENTS as u64).map(|index| {
        let requests = requests.clone();
        spawn(client(gateway.listen_addr(), requests, seed ^ index))
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.expect("no panic of the test's own");
    }
    quiet(&gateway).await;
    let recorded = recorder.take();
    let flaws: Vec<String> = recorded
        .iter()
        .filter_map(|request| {
            Some(format!(
                "{}: {}",
                flaw(&request.bytes)?,
                show(&request.bytes)
            ))
        })
        .collect();
    assert!(
        flaws.is_empty(),
        "{} of {}:\n{}",
        flaws.len(),
        recorded.len(),
        flaws.join("\n")
    );
    assert!(
        recorded.len() > REQUESTS / 10,
        "{} came through",
        recorded.len()
    );
    gateway.shutdown().await;
}
