//! The gateway before programs that are not ours: nginx, Python and Node as upstreams, curl and wrk as clients.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::process::{PATIENCE, Process, binary, free_port, wait_for, wait_for_200};

/// Sizes at which bodies change their way: within the head's segment, over one read, over the kernel's buffers.
const SIZES: [usize; 5] = [0, 100, 10_000, 300_000, 3_000_000];

struct Strangers {
    upstreams: [u16; 3],
    _processes: [Process; 3],
}

fn start_strangers(directory: &Path) -> Strangers {
    let upstreams = [free_port(), free_port(), free_port()];
    let files = write_files(directory);
    Strangers {
        upstreams,
        _processes: [
            start_nginx(directory, &files, upstreams[0]),
            Process::start(
                "python",
                directory,
                Command::new("python3")
                    .args(["-m", "http.server", "--bind", "127.0.0.1", "--directory"])
                    .arg(&files)
                    .arg(upstreams[1].to_string()),
            ),
            Process::start(
                "node",
                directory,
                Command::new("node").arg("-e").arg(
                    "const fs = require('fs'), path = require('path');\
                     const [, files, port] = process.argv;\
                     require('http').createServer((request, response) => {\
                       const file = path.join(files, path.normalize(request.url.split('?')[0]));\
                       response.setHeader('content-type', 'application/octet-stream');\
                       fs.createReadStream(file).on('error', () => { response.statusCode = 404; response.end(); }).pipe(response);\
                     }).listen(Number(port), '127.0.0.1');",
                )
                .arg(&files)
                .arg(upstreams[2].to_string()),
            ),
        ],
    }
}

/// The same files under the paths of both routes, and what the fan-out's two calls ask for.
fn write_files(directory: &Path) -> PathBuf {
    let files = directory.join("files");
    for prefix in ["content", "social"] {
        std::fs::create_dir_all(files.join(prefix)).expect("a directory");
        for size in SIZES {
            let body: Vec<u8> = (0..size)
                .map(|index| (index * 7 + index / 251) as u8)
                .collect();
            std::fs::write(files.join(prefix).join(format!("{size}.bin")), body).expect("a file");
        }
    }
    std::fs::write(files.join("content/answer"), r#"{"from": "a file"}"#).expect("a file");
    std::fs::write(files.join("likes"), "as many as the stars").expect("a file");
    files
}

/// One process, without a master: the worker of a killed master would live on.
fn start_nginx(directory: &Path, files: &Path, port: u16) -> Process {
    let own = directory.join("nginx");
    std::fs::create_dir(&own).expect("a directory");
    let configuration = format!(
        "daemon off; master_process off; pid {own}/pid; error_log stderr; user root;\n\
         events {{}}\n\
         http {{\n  access_log off; client_body_temp_path {own}/body; proxy_temp_path {own}/proxy; fastcgi_temp_path {own}/fastcgi;\n  \
         uwsgi_temp_path {own}/uwsgi; scgi_temp_path {own}/scgi;\n  \
         server {{ listen 127.0.0.1:{port}; root {files}; }}\n}}\n",
        own = own.display(),
        files = files.display(),
    );
    let path = own.join("nginx.conf");
    std::fs::write(&path, configuration).expect("the configuration is written");
    Process::start(
        "nginx",
        directory,
        Command::new("nginx")
            .arg("-c")
            .arg(&path)
            .arg("-p")
            .arg(&own),
    )
}

struct Ports {
    listen: u16,
    metrics: u16,
}

/// The example file with its addresses replaced, and a route to each stranger.
fn start_gateway(directory: &Path, upstreams: [u16; 3]) -> (Process, Ports) {
    let ports = Ports {
        listen: free_port(),
        metrics: free_port(),
    };
    let example =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../instrumented-gateway/gateway.example.yml");
    let mut text = std::fs::read_to_string(example).expect("the example is in the tree");
    // The metrics listener stands there as a comment, with its default.
    for (from, to) in [
        (
            "listen: 127.0.0.1:8080",
            format!("listen: 127.0.0.1:{}", ports.listen),
        ),
        (
            "#metrics: 127.0.0.1:9901",
            format!("metrics: 127.0.0.1:{}", ports.metrics),
        ),
        (
            "admin: 127.0.0.1:9902",
            format!("admin: 127.0.0.1:{}", free_port()),
        ),
        (
            "http://127.0.0.1:9001",
            format!("http://127.0.0.1:{}", upstreams[0]),
        ),
        (
            "http://127.0.0.1:9002",
            format!("http://127.0.0.1:{}", upstreams[1]),
        ),
        (
            "http://127.0.0.1:9003",
            format!("http://127.0.0.1:{}", upstreams[2]),
        ),
    ] {
        assert!(text.contains(from), "the example no longer names {from}");
        text = text.replace(from, &to);
    }
    let path = directory.join("gateway.yml");
    std::fs::write(&path, text).expect("the configuration is written");
    let process = Process::start(
        "gateway",
        directory,
        Command::new(binary("instrumented-gateway"))
            .arg("--config")
            .arg(path),
    );
    (process, ports)
}

fn curl(url: &str) -> Vec<u8> {
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--fail", "--max-time", "20"])
        .arg(url)
        .output();
    let output = output.expect("curl runs");
    assert!(
        output.status.success(),
        "{url}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Debian's nginx, curl and wrk, Python and Node: .ci/run runs it"]
async fn strangers_get_the_bytes_that_the_upstream_sends() {
    let directory = TempDir::new().expect("a temporary directory");
    let strangers = start_strangers(directory.path());
    let (mut gateway, ports) = start_gateway(directory.path(), strangers.upstreams);
    for port in strangers.upstreams {
        wait_for_200(&format!("http://127.0.0.1:{port}/content/100.bin")).await;
    }
    wait_for_200(&format!("http://127.0.0.1:{}/ready", ports.metrics)).await;

    for (prefix, upstreams) in [
        ("content", &strangers.upstreams[..1]),
        ("social", &strangers.upstreams[1..]),
    ] {
        for size in SIZES {
            let through = curl(&format!(
                "http://127.0.0.1:{}/{prefix}/{size}.bin",
                ports.listen
            ));
            for port in upstreams {
                let direct = curl(&format!("http://127.0.0.1:{port}/{prefix}/{size}.bin"));
                assert!(
                    through == direct,
                    "{prefix}, {size} bytes: the gateway's bytes differ from those of port {port}"
                );
            }
            assert_eq!(through.len(), size);
        }
    }
    let answer = curl(&format!("http://127.0.0.1:{}/home/answer", ports.listen));
    let answer: serde_json::Value =
        serde_json::from_slice(&answer).expect("a fan-out answers JSON");
    assert_eq!(
        answer,
        serde_json::json!({ "article": { "from": "a file" }, "likes": "as many as the stars" })
    );

    for path in ["content/10000.bin", "home/answer"] {
        assert_wrk_meets_no_error(&format!("http://127.0.0.1:{}/{path}", ports.listen));
    }
    assert_nothing_is_left(ports.metrics).await;
    assert_eq!(
        gateway.terminate(),
        Some(0),
        "a drain that cut nothing exits 0"
    );
}

fn assert_wrk_meets_no_error(url: &str) {
    let output = Command::new("wrk")
        .args(["--threads", "1", "--connections", "8", "--duration", "3s"])
        .arg(url)
        .output();
    let output = output.expect("wrk runs");
    let text = String::from_utf8_lossy(&output.stdout);
    eprintln!("{text}");
    assert!(
        output.status.success() && text.contains("Requests/sec"),
        "{text}"
    );
    assert!(
        !text.contains("Socket errors") && !text.contains("Non-2xx"),
        "{text}"
    );
}

/// After a moment of quiet every request, body and task is closed, and what connections are open are idle.
async fn assert_nothing_is_left(metrics: u16) {
    let url = format!("http://127.0.0.1:{metrics}/metrics");
    wait_for("every count at rest", PATIENCE, async || {
        let client = leak_agent::http_client::builder().build().ok()?;
        let text = client.get(&url).send().await.ok()?.text().await.ok()?;
        let sum = |start: &str, has: &str| -> f64 {
            let lines = text
                .lines()
                .filter(|line| line.starts_with(start) && line.contains(has));
            lines
                .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
                .sum()
        };
        let open =
            |resource: &str| sum("resource_ledger_open{", &format!("resource=\"{resource}\""));
        let at_rest = ["request", "response_body", "fan_out_task"]
            .iter()
            .all(|resource| open(resource) == 0.0)
            && open("pool_connection") == sum("gateway_pool_connections{", "state=\"idle\"");
        at_rest.then_some(())
    })
    .await;
}
