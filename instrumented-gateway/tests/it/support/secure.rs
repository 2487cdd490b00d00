//! Certificates of an authority of the test's own, and both ends of HTTP/2.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use checked_yaml::{Mistakes, Node};
use http::{Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Frame, Incoming};
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper::rt::Executor;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use web_config::{ClientTls, Connection, ServerTls};

use super::spawn;

/// A folder with an authority (`ca.pem`) and a certificate of it (`cert.pem`, `key.pem`).
pub(crate) struct Certificates {
    folder: TempDir,
    authority: CertifiedIssuer<'static, KeyPair>,
}

impl Certificates {
    /// The certificate is localhost's.
    pub(crate) fn new() -> Self {
        let mut parameters = CertificateParams::new(Vec::new()).expect("parameters");
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let authority = CertifiedIssuer::self_signed(parameters, key).expect("an authority");
        let this = Self {
            folder: tempfile::tempdir().expect("a folder"),
            authority,
        };
        this.write("ca.pem", &this.authority.pem());
        this.issue("localhost");
        this
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// By another file in its place, as secrets are rotated.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let new = self.folder.path().join(format!("{name}.new"));
        std::fs::write(&new, text).expect("written");
        std::fs::rename(new, self.folder.path().join(name)).expect("renamed");
    }

    /// Another certificate, for this name.
    pub(crate) fn issue(&self, name: &str) {
        let key = KeyPair::generate().expect("a key");
        let parameters = CertificateParams::new(vec![name.to_owned()]).expect("parameters");
        let certificate = parameters.signed_by(&key, &self.authority);
        self.write("key.pem", &key.serialize_pem());
        self.write("cert.pem", &certificate.expect("a certificate").pem());
    }

    pub(crate) fn server(&self, protocols: &[&str]) -> ServerTls {
        let section = "{ cert_file: cert.pem, key_file: key.pem }";
        let read = |node: &Node, mistakes: &mut Mistakes| {
            ServerTls::read(node, self.folder(), protocols, mistakes)
        };
        section_of(section, read)
    }

    pub(crate) fn client(&self, protocols: &[&str]) -> ClientTls {
        let read = |node: &Node, mistakes: &mut Mistakes| {
            ClientTls::read(node, self.folder(), protocols, mistakes)
        };
        section_of("{ ca_file: ca.pem }", read)
    }
}

fn section_of<T>(text: &str, read: impl FnOnce(&Node, &mut Mistakes) -> Option<T>) -> T {
    let node = checked_yaml::parse(text).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let mut mistakes = Mistakes::new();
    read(&node, &mut mistakes).unwrap_or_else(|| panic!("{mistakes:?}"))
}

/// A TLS connection to the gateway as to `localhost`.
pub(crate) async fn shake(gateway: SocketAddr, tls: &ClientTls) -> std::io::Result<Connection> {
    let stream = TcpStream::connect(gateway).await.expect("the gateway");
    tls.connect("localhost", stream, None).await
}

/// Spawns as tests do.
#[derive(Clone)]
pub(crate) struct Spawner;

impl<F: Future<Output: Send + 'static> + Send + 'static> Executor<F> for Spawner {
    fn execute(&self, future: F) {
        spawn(future);
    }
}

pub(crate) type TestBody = BoxBody<Bytes, Infallible>;

/// HTTP/2 over a connection. It ends when the test drops the sender, or aborts the task.
pub(crate) async fn http2<S>(stream: S) -> (SendRequest<TestBody>, JoinHandle<()>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = Builder::new(Spawner)
        .handshake(TokioIo::new(stream))
        .await
        .expect("HTTP/2");
    let task = spawn(async move {
        let _ = connection.await;
    });
    (sender, task)
}

/// HTTP/2 by prior knowledge, without TLS.
pub(crate) async fn http2_to(address: SocketAddr) -> SendRequest<TestBody> {
    http2(TcpStream::connect(address).await.expect("a listener"))
        .await
        .0
}

/// A GET of `path`.
pub(crate) fn get_of(path: &str) -> Request<TestBody> {
    request_of("GET", path, "")
}

pub(crate) fn request_of(method: &str, path: &str, content: &str) -> Request<TestBody> {
    Request::builder()
        .method(method)
        .uri(format!("http://gateway{path}"))
        .body(full(content.to_owned()))
        .expect("a request")
}

pub(crate) fn full(bytes: impl Into<Bytes>) -> TestBody {
    Full::new(bytes.into()).boxed()
}

/// A part of a content that never ends.
pub(crate) fn endless(part: &'static str) -> TestBody {
    endless_until_dropped(part, Arc::default())
}

/// The same; counts when it is dropped, which a reset does.
pub(crate) fn endless_until_dropped(part: &'static str, dropped: Arc<AtomicUsize>) -> TestBody {
    let part = Some(Bytes::from_static(part.as_bytes()));
    BodyExt::boxed(Endless { part, dropped })
}

struct Endless {
    part: Option<Bytes>,
    dropped: Arc<AtomicUsize>,
}

impl Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.part.take() {
            Some(part) => Poll::Ready(Some(Ok(Frame::data(part)))),
            None => Poll::Pending,
        }
    }
}

impl Drop for Endless {
    fn drop(&mut self) {
        self.dropped.fetch_add(1, Ordering::SeqCst);
    }
}

/// The content of an answer, as far as it came.
pub(crate) async fn text_of(response: Response<Incoming>) -> Result<String, hyper::Error> {
    let bytes = response.into_body().collect().await?.to_bytes();
    Ok(String::from_utf8(bytes.to_vec()).expect("text"))
}

/// An upstream of HTTP/2, with TLS or by prior knowledge.
pub(crate) struct Http2Upstream {
    pub(crate) address: SocketAddr,
    accepted: Arc<AtomicUsize>,
    close: watch::Sender<()>,
    listening: JoinHandle<()>,
}

impl Http2Upstream {
    /// Answers each request with what `answer` makes of it.
    pub(crate) async fn start<A, R>(tls: Option<ServerTls>, answer: A) -> Self
    where
        A: Fn(Request<Incoming>) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Response<TestBody>> + Send + 'static,
    {
        Self::serving(tls, move |connection| {
            let answer = answer.clone();
            async move {
                let service = service_fn(move |request| {
                    let answered = answer(request);
                    async move { Ok::<_, Infallible>(answered.await) }
                });
                let _ = http2::Builder::new(Spawner)
                    .serve_connection(TokioIo::new(connection), service)
                    .await;
            }
        })
        .await
    }

    /// Serves each connection with `serve`.
    pub(crate) async fn serving<S, R>(tls: Option<ServerTls>, serve: S) -> Self
    where
        S: Fn(Connection) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let accepted = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&accepted);
        let (close, closing) = watch::channel(());
        let listening = spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                let connection = match &tls {
                    None => Connection::Plain(stream),
                    Some(tls) => match tls.accept(stream).await {
                        Ok(connection) => connection,
                        Err(_) => continue,
                    },
                };
                #[expect(clippy::disallowed_methods, reason = "a test's own tasks")]
                connections.spawn({
                    let (serving, mut closing) = (serve(connection), closing.clone());
                    async move {
                        closing.mark_unchanged();
                        tokio::select! {
                            () = serving => {}
                            _ = closing.changed() => {}
                        }
                    }
                });
            }
        });
        Self {
            address,
            accepted,
            close,
            listening,
        }
    }

    /// Closes all connections, as they are.
    pub(crate) fn close_all(&self) {
        self.close.send_replace(());
    }

    pub(crate) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }
}

impl Drop for Http2Upstream {
    fn drop(&mut self) {
        self.listening.abort();
    }
}
