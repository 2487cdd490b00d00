//! Two gateways in a row, as an edge and what stands behind it.

use instrumented_gateway::gateway::Running;

use super::recorder::Recorder;
use crate::shell::support::{quiet, start};
use crate::support::{Client, Upstream, get, soon};

const ROUTES: &str =
    "upstreams: [{ name: one, endpoints: [\"{0}\"] }]\nroutes: [{ path: /*, proxy: one }]\n";

/// An edge and an inner gateway before `upstream`, with these keys besides.
async fn chain(edge: &str, inner: &str, upstream: std::net::SocketAddr) -> (Running, Running) {
    let inner = start(&format!("{inner}{ROUTES}"), &[upstream]).await;
    let edge = start(&format!("{edge}{ROUTES}"), &[inner.listen_addr()]).await;
    (edge, inner)
}

async fn end((edge, inner): (Running, Running)) {
    for gateway in [edge, inner] {
        quiet(&gateway).await;
        gateway.shutdown().await;
    }
}

#[tokio::test]
async fn each_hop_is_told_and_who_the_client_was_is_kept() {
    let recorder = Recorder::start().await;
    let inner = "via: inner\nforwarded: append\ntrusted_peers: [127.0.0.1]\n";
    let chain = chain("via: edge\nforwarded: append\n", inner, recorder.address).await;
    let answer = get(chain.0.listen_addr(), "/a").await;
    assert_eq!(answer.status, 200);
    let vias = answer.head.lines().filter(|line| line.starts_with("via: "));
    assert_eq!(
        vias.collect::<Vec<_>>(),
        ["via: 1.1 inner", "via: 1.1 edge"]
    );
    let recorded = recorder.take();
    let seen = String::from_utf8_lossy(&recorded[0].bytes).into_owned();
    let lines = |name: &str| {
        let lines = seen.lines().filter(|line| line.starts_with(name));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(lines("via: "), ["via: 1.1 edge", "via: 1.1 inner"]);
    let addresses = lines("x-forwarded-for: ");
    assert_eq!(addresses, ["x-forwarded-for: 127.0.0.1, 127.0.0.1"]);
    assert_eq!(lines("x-forwarded-host: "), ["x-forwarded-host: gateway"]);
    assert_eq!(lines("forwarded: ").len(), 2, "{seen}");
    end(chain).await;
}

#[tokio::test]
async fn a_request_that_comes_round_is_refused() {
    let recorder = Recorder::start().await;
    let chain = chain("via: gw\n", "via: GW\n", recorder.address).await;
    let answer = get(chain.0.listen_addr(), "/a").await;
    assert_eq!(
        (answer.status, answer.text()),
        (508, "the request has been here before, by its Via\n")
    );
    assert!(recorder.take().is_empty());
    end(chain).await;
}

#[tokio::test]
async fn a_tunnel_goes_through_both() {
    let upstream = Upstream::start(|mut peer| async move {
        peer.head().await.expect("a head");
        let switch =
            b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n";
        peer.send(switch).await.expect("sent");
        let word = peer.content(4).await.expect("a word");
        peer.send(&word).await.expect("sent");
        peer.until_closed().await;
    })
    .await;
    let chain = chain("via: edge\n", "via: inner\n", upstream.address).await;
    let mut client = Client::connect(chain.0.listen_addr()).await;
    let ask = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n";
    client.send(ask).await.expect("sent");
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    client.send(b"word").await.expect("sent");
    let (word, _) = soon("the echo", client.exactly(4)).await;
    assert_eq!(word, b"word");
    drop(client);
    end(chain).await;
}
