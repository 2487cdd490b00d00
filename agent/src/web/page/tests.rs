//! What the guard refuses before anybody is asked, and what every answer carries.

use axum::body::{Body, to_bytes};
use axum::http::Method;
use tower::ServiceExt as _;

use super::*;

/// The answer to a request with these fields and this body: its status, its text, and the answer itself less its body.
async fn answer(
    method: Method,
    fields: &[(HeaderName, &'static str)],
    body: &'static str,
) -> (StatusCode, String, Response<()>) {
    let router = Router::new()
        .route("/", get(|| async { "hello" }).post(|| async { "done" }))
        .layer(from_fn_with_state(Protection::none(), guard));
    let mut request = Request::builder().method(method).uri("/");
    for (name, value) in fields {
        request = request.header(name, *value);
    }
    let answer = router.oneshot(request.body(Body::from(body)).unwrap());
    let (head, body) = answer.await.unwrap().into_parts();
    let text = to_bytes(body, 1000).await.unwrap();
    let text = String::from_utf8(text.to_vec()).unwrap();
    (head.status, text, Response::from_parts(head, ()))
}

#[tokio::test]
async fn a_form_on_somebodys_page_changes_nothing() {
    let origin = (header::ORIGIN, "https://evil.example.org");
    for method in [Method::POST, Method::DELETE, Method::PUT] {
        let (status, text, answer) =
            answer(method.clone(), std::slice::from_ref(&origin), "").await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{method}");
        assert_eq!(text, "A web page cannot change anything here.\n");
        assert_eq!(answer.headers()[header::CACHE_CONTROL], "no-store");
    }
    let null = (header::ORIGIN, "null");
    assert_eq!(
        answer(Method::POST, &[null], "").await.0,
        StatusCode::FORBIDDEN
    );
    let reading = answer(Method::GET, &[origin], "").await;
    assert_eq!((reading.0, &*reading.1), (StatusCode::OK, "hello"));
    let own = answer(Method::POST, &[], "").await;
    assert_eq!((own.0, &*own.1), (StatusCode::OK, "done"));
}

#[tokio::test]
async fn a_request_has_no_body_and_the_connection_ends_with_one() {
    for method in [Method::GET, Method::POST] {
        let (status, text, answer) = answer(method.clone(), &[], "a=1").await;
        assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE, "{method}");
        assert_eq!(text, "A request has no body here.\n");
        assert_eq!(answer.headers()[header::CONNECTION], "close");
    }
}

#[tokio::test]
async fn every_answer_forbids_frames_scripts_and_guesses() {
    let refused = [(header::ORIGIN, "null")];
    for (method, fields) in [(Method::GET, &[][..]), (Method::POST, &refused[..])] {
        let (_, _, answer) = answer(method, fields, "").await;
        for (name, value) in [
            (
                header::CONTENT_SECURITY_POLICY,
                "default-src 'none'; frame-ancestors 'none'",
            ),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::X_FRAME_OPTIONS, "deny"),
            (header::REFERRER_POLICY, "no-referrer"),
            (header::CACHE_CONTROL, "no-store"),
        ] {
            assert_eq!(answer.headers()[&name], value);
        }
    }
}
