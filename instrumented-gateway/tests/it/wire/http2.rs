//! Requests over HTTP/2, frame by frame: what the upstream gets of each, which is told in HTTP/1.1, and what the client is
//! told. Fields are sent as they stand in the row, without a library that would refuse to send them.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::recorder::Recorder;
use super::requests::{configuration, is_stamp};
use super::table::{Row, canonical, rows, show};
use crate::shell::support::{quiet, start};
use crate::support::soon;

const TABLE: &str = include_str!("requests/http2.rows");

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short frame");
    let mut bytes = length.to_be_bytes()[1..].to_vec();
    bytes.extend_from_slice(&[kind, flags]);
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// Fields as HPACK literals that are never indexed (RFC 7541, 6.2.3). The bytes 1 and 2 in a row stand for a carriage return
/// and a line feed, which here are bytes like others.
fn block(lines: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for line in lines.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            continue;
        }
        let colon = line
            .iter()
            .skip(1)
            .position(|byte| *byte == b':')
            .expect("a colon")
            + 1;
        let value = &line[colon + 1..];
        bytes.push(0x10);
        text(&mut bytes, &line[..colon]);
        text(&mut bytes, value.strip_prefix(b" ").unwrap_or(value));
    }
    bytes
}

/// A string literal, its length in seven bits and more.
fn text(bytes: &mut Vec<u8>, text: &[u8]) {
    let text: Vec<u8> = text
        .iter()
        .map(|byte| match byte {
            1 => b'\r',
            2 => b'\n',
            other => *other,
        })
        .collect();
    let mut length = text.len();
    if length < 127 {
        bytes.extend(u8::try_from(length));
    } else {
        bytes.push(127);
        length -= 127;
        while length >= 128 {
            bytes.extend(u8::try_from(length % 128 + 128));
            length /= 128;
        }
        bytes.extend(u8::try_from(length));
    }
    bytes.extend_from_slice(&text);
}

/// The frames of a request: its fields, its content and its trailers stand apart by an empty line.
fn request(stream: u32, sent: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(sent).into_owned();
    let parts: Vec<&str> = text.split("\r\n\r\n").collect();
    let content = parts.get(1).copied().unwrap_or_default();
    let trailers = parts.get(2).copied().unwrap_or_default();
    let head_end = if content.is_empty() && trailers.is_empty() {
        END_STREAM
    } else {
        0
    };
    let mut bytes = frame(
        HEADERS,
        END_HEADERS | head_end,
        stream,
        &block(parts[0].as_bytes()),
    );
    if !content.is_empty() {
        let end = if trailers.is_empty() { END_STREAM } else { 0 };
        bytes.extend(frame(DATA, end, stream, content.as_bytes()));
    }
    if !trailers.is_empty() {
        let fields = block(trailers.as_bytes());
        bytes.extend(frame(HEADERS, END_HEADERS | END_STREAM, stream, &fields));
    }
    bytes
}

/// What a stream is told: a status, `reset`, or `goaway` where the connection ends.
async fn told(stream: &mut TcpStream, number: u32) -> String {
    loop {
        let mut head = [0; 9];
        if stream.read_exact(&mut head).await.is_err() {
            return "goaway".to_owned();
        }
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; usize::try_from(length).expect("a frame")];
        if stream.read_exact(&mut payload).await.is_err() {
            return "goaway".to_owned();
        }
        let of = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        match head[3] {
            GOAWAY => return "goaway".to_owned(),
            RESET if of == number => return "reset".to_owned(),
            HEADERS if of == number => return status(&payload),
            _ => {}
        }
    }
}

/// The status that a block of fields begins with (RFC 7541, appendices A and B).
fn status(block: &[u8]) -> String {
    const KNOWN: [&str; 7] = ["200", "204", "206", "304", "400", "404", "500"];
    match block {
        [index @ 0x88..=0x8e, ..] => KNOWN[usize::from(index - 0x88)].to_owned(),
        [0x48 | 0x08 | 0x18, length, value @ ..] => {
            let value = &value[..usize::from(length & 0x7f)];
            if length & 0x80 == 0 {
                String::from_utf8_lossy(value).into_owned()
            } else {
                digits(value)
            }
        }
        _ => format!("an unknown status: {}", show(block)),
    }
}

/// Three digits in Huffman's code: five bits for 0 to 2, six for the others.
fn digits(value: &[u8]) -> String {
    let bits = value
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1));
    let bits: Vec<u8> = bits.collect();
    let number = |bits: &[u8]| bits.iter().fold(0, |number, bit| number * 2 + bit);
    let (mut text, mut at) = (String::new(), 0);
    while text.len() < 3 && at + 5 <= bits.len() {
        let short = number(&bits[at..at + 5]);
        if short <= 2 {
            text.push(char::from(b'0' + short));
            at += 5;
        } else {
            let long = number(bits.get(at..at + 6).unwrap_or_default());
            text.push(char::from(b'0' + long.wrapping_sub(0b01_0110)));
            at += 6;
        }
    }
    text
}

/// What a row comes to: what its stream is told, and whether the connection goes on.
async fn exchange(gateway: SocketAddr, row: &Row) -> (String, bool) {
    let mut stream = TcpStream::connect(gateway).await.expect("the gateway");
    let mut bytes = PREFACE.to_vec();
    bytes.extend(frame(SETTINGS, 0, 0, &[]));
    bytes.extend(request(1, &row.sent));
    stream.write_all(&bytes).await.expect("sent");
    let answer = soon(
        &format!("an answer to {:?}", row.name),
        told(&mut stream, 1),
    )
    .await;
    let sentinel = b":method: GET\r\n:scheme: http\r\n:authority: a\r\n:path: /sentinel\r\n";
    let _ = stream.write_all(&request(3, sentinel)).await;
    let kept = soon("the sentinel's answer", told(&mut stream, 3)).await == "299";
    (answer, kept)
}

#[tokio::test]
async fn every_request_over_http_2_comes_to_what_its_section_says() {
    let recorder = Recorder::start().await;
    let keys = format!("http2: prior_knowledge\n{}", configuration("plain"));
    let gateway = start(&keys, &[recorder.address]).await;
    let all = rows(TABLE);
    let mut failures = Vec::new();
    let host = format!("host: {}", recorder.address);
    for row in &all {
        let (answer, kept) = exchange(gateway.listen_addr(), row).await;
        let shown = |bytes: &[u8]| {
            canonical(bytes, |line| {
                line == host
                    || line == "via: 2.0 gw"
                    || (is_stamp(line) && !line.starts_with("via"))
            })
        };
        let recorded = recorder.take();
        let seen: String = recorded
            .iter()
            .map(|request| shown(&request.bytes))
            .collect();
        let stamped = recorded
            .iter()
            .all(|request| show(&request.bytes).contains("via: 2.0 gw"));
        let expected: String = row
            .upstream
            .iter()
            .map(|bytes| canonical(bytes, |_| false))
            .collect();
        let fate = if kept { "keeps" } else { "closes" };
        if seen != expected || row.answers != [answer.clone()] || !row.is(fate) || !stamped {
            failures.push(format!(
                "{} ({})\n  upstream got\n{seen}  and should have got\n{expected}  the client was told {answer} and should have \
                 been told {:?}; {fate}; stamped: {stamped}\n",
                row.name, row.section, row.answers
            ));
        }
    }
    assert!(
        failures.is_empty(),
        "{} rows:\n{}",
        failures.len(),
        failures.join("\n")
    );
    quiet(&gateway).await;
    gateway.shutdown().await;
}
