//! Clients that say nothing, or too slowly, over real sockets: with short limits, since time here is real.

use axum::routing::get;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

/// A listener that answers `hello` within these limits, and the end of it.
async fn serve(limits: Limits) -> (SocketAddr, CancellationToken, resource_ledger::Task<()>) {
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))
        .await
        .unwrap();
    let address = listener.local_addr().unwrap();
    let (ledger, shutdown) = (Ledger::default(), CancellationToken::new());
    let server = Server {
        router: Router::new().route("/", get(|| async { "hello" })),
        protection: Protection::none(),
        limits,
        ledger: ledger.clone(),
        shutdown: shutdown.clone(),
    };
    let account = ledger.account::<resource_ledger::ServiceTaskOutcome>(Labels::new());
    let task = ledger.spawn(account.open(), server.serve(listener));
    (address, shutdown, task)
}

/// What comes back for these bytes, until the listener ends the connection.
async fn heard(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = String::new();
    // A connection that is cut may end as a reset.
    let _ = stream.read_to_string(&mut answer).await;
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_slow_holds_no_place_for_long() {
    let limits = Limits {
        connections: 1,
        first_request: Duration::from_millis(150),
        ..Limits::default()
    };
    let (address, shutdown, task) = serve(limits).await;
    // Nothing, half a head: the only place is free again when their time is over, and the third is answered.
    let (silent, halting, asking) = tokio::join!(
        heard(address, b""),
        heard(address, b"GET / HTTP/1.1\r\nhost: a\r\nx: "),
        heard(
            address,
            b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"
        ),
    );
    assert_eq!((&*silent, &*halting), ("", ""));
    assert!(asking.ends_with("hello"), "{asking}");
    shutdown.cancel();
    task.join().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_asked_once_may_ask_again_later() {
    let limits = Limits {
        first_request: Duration::from_millis(50),
        header_read: Duration::from_millis(400),
        ..Limits::default()
    };
    let (address, shutdown, task) = serve(limits).await;
    let began = crate::clock::instant();
    let answers = heard(address, b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    // The connection was kept for as long as a later head may take, and then ended.
    assert!(began.elapsed() >= Duration::from_millis(350));
    assert_eq!(answers.matches("HTTP/1.1 200").count(), 1, "{answers}");
    shutdown.cancel();
    task.join().await.unwrap();
}
