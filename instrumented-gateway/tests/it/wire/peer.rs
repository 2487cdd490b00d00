//! Debian's nginx and HAProxy as plain reverse proxies before one upstream, for as long as a test runs.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::support::eventually;

/// A running proxy; dropping it ends it.
pub(super) struct ReverseProxy {
    pub(super) name: &'static str,
    pub(super) address: SocketAddr,
    child: Child,
    _directory: tempfile::TempDir,
}

impl Drop for ReverseProxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl ReverseProxy {
    pub(super) async fn nginx(upstream: SocketAddr) -> Self {
        let configuration = |directory: &Path, address: SocketAddr| {
            let directory = directory.display();
            format!(
                "daemon off;\nmaster_process off;\npid {directory}/pid;\nerror_log {directory}/error.log;\n\
                 events {{ worker_connections 256; }}\nhttp {{\n  access_log off;\n\
                 client_body_temp_path {directory}/body;\n  proxy_temp_path {directory}/proxy;\n\
                 fastcgi_temp_path {directory}/fastcgi;\n  uwsgi_temp_path {directory}/uwsgi;\n\
                 scgi_temp_path {directory}/scgi;\n  client_header_timeout 1s;\n  client_body_timeout 1s;\n\
                 keepalive_timeout 1s;\n  server {{\n    listen {address};\n    location / {{\n\
                 proxy_pass http://{upstream};\n      proxy_http_version 1.1;\n\
                 proxy_set_header Connection \"\";\n    }}\n  }}\n}}\n"
            )
        };
        Self::start("nginx", configuration, |command, file| {
            let log = file.with_file_name("error.log");
            command.arg("-c").arg(file).arg("-e").arg(log);
        })
        .await
    }

    pub(super) async fn haproxy(upstream: SocketAddr) -> Self {
        let configuration = |_: &Path, address: SocketAddr| {
            format!(
                "global\n  maxconn 256\ndefaults\n  mode http\n  timeout connect 1s\n  timeout client 1s\n\
                 timeout server 1s\n  timeout http-request 1s\nfrontend all\n  bind {address}\n\
                 default_backend one\nbackend one\n  server one {upstream}\n"
            )
        };
        Self::start("haproxy", configuration, |command, file| {
            command.arg("-db").arg("-f").arg(file);
        })
        .await
    }

    async fn start(
        name: &'static str,
        configuration: impl Fn(&Path, SocketAddr) -> String,
        arguments: impl Fn(&mut Command, &Path),
    ) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let free = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = free.local_addr().expect("an address");
        drop(free);
        let file = directory.path().join("configuration");
        std::fs::write(&file, configuration(directory.path(), address)).expect("written");
        let mut command = Command::new(format!("/usr/sbin/{name}"));
        arguments(&mut command, &file);
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        eventually("it listens", || {
            std::net::TcpStream::connect(address).is_ok()
        })
        .await;
        Self {
            name,
            address,
            child,
            _directory: directory,
        }
    }
}
