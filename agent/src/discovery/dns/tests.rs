use std::net::{Ipv4Addr, SocketAddr};

use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use tokio::net::UdpSocket;

use super::*;
use crate::discovery::tests::background::{Background, mistake, read};

/// One record of the answer, on the wire: type and data. The name is that of the question.
type Wire = (u16, Vec<u8>);

fn name(text: &str) -> Vec<u8> {
    let mut wire = Vec::new();
    for part in text.split('.') {
        wire.push(part.len() as u8);
        wire.extend(part.as_bytes());
    }
    wire.push(0);
    wire
}

fn numbers(numbers: &[u16], host: &str) -> Vec<u8> {
    let mut wire: Vec<u8> = numbers.iter().flat_map(|own| own.to_be_bytes()).collect();
    wire.extend(name(host));
    wire
}

/// The answer to a question, RFC 1035 §4: code 0 with records, 2 for a server that fails, 3 for no such name.
fn answer(question: &[u8], code: u8, records: &[Wire]) -> Vec<u8> {
    let mut end = 12;
    while question[end] != 0 {
        end += 1 + usize::from(question[end]);
    }
    end += 5;
    let mut wire = vec![question[0], question[1], 0x81, 0x80 | code, 0, 1];
    wire.extend((records.len() as u16).to_be_bytes());
    wire.extend([0, 0, 0, 0]);
    wire.extend(&question[12..end]);
    for (kind, data) in records {
        wire.extend([0xc0, 12]);
        wire.extend(kind.to_be_bytes());
        wire.extend([0, 1, 0, 0, 0, 60]);
        wire.extend((data.len() as u16).to_be_bytes());
        wire.extend(data);
    }
    wire
}

struct World {
    background: Background,
    server: SocketAddr,
}

impl World {
    /// A name server that gives each question the next answer, the last for ever.
    async fn answering(answers: Vec<(u8, Vec<Wire>)>) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
        let server = socket.local_addr().expect("bound");
        let mut background = Background::new();
        background.spawn(async move {
            let mut buffer = [0; 512];
            let mut number = 0;
            while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
                let (code, records) = &answers[number.min(answers.len() - 1)];
                number += 1;
                let wire = answer(&buffer[..length], *code, records);
                socket.send_to(&wire, from).await.expect("sent");
            }
        });
        Self { background, server }
    }

    fn run(&mut self, yaml: &str) -> (Outlet, Arc<tokio::sync::Notify>) {
        let yaml = format!("refresh_interval: 50ms\n{yaml}");
        let provider = read(&yaml, DnsDiscovery::read);
        let server = self.server;
        let resolver = move || {
            let mut connection = ConnectionConfig::udp();
            connection.port = server.port();
            let name_server = NameServerConfig::new(server.ip(), true, vec![connection]);
            let config = ResolverConfig::from_name_servers(vec![name_server]);
            let provider = TokioRuntimeProvider::default();
            let mut builder = Resolver::builder_with_config(config, provider);
            builder.options_mut().cache_size = 0;
            builder.options_mut().attempts = 0;
            builder.build().map_err(|error| error.to_string())
        };
        let run = |outlet| provider.run_with(outlet, resolver);
        self.background.run("dns", run)
    }
}

fn members(outlet: &Outlet) -> Vec<String> {
    let groups = outlet.groups();
    let members = groups.iter().flat_map(Group::members);
    members.map(|labels| labels.to_string()).collect()
}

#[track_caller]
fn check(found: Vec<String>, expected: &[&str]) {
    let mut found = found;
    found.sort();
    assert_eq!(found, expected);
}

#[tokio::test]
async fn every_kind_of_record_makes_targets() {
    let rows: [(&str, Vec<Wire>, &[&str]); 5] = [
        (
            "names: [svc.example.org.]",
            vec![
                (33, numbers(&[1, 1, 9901], "a.example.org")),
                (33, numbers(&[1, 1, 9902], "b.example.org")),
            ],
            &[
                r#"{__address__="a.example.org:9901",__meta_dns_name="svc.example.org.",__meta_dns_srv_record_port="9901",__meta_dns_srv_record_target="a.example.org."}"#,
                r#"{__address__="b.example.org:9902",__meta_dns_name="svc.example.org.",__meta_dns_srv_record_port="9902",__meta_dns_srv_record_target="b.example.org."}"#,
            ],
        ),
        (
            "{names: [h.example.org.], type: A, port: 80}",
            vec![(1, Ipv4Addr::new(10, 0, 0, 1).octets().to_vec())],
            &[r#"{__address__="10.0.0.1:80",__meta_dns_name="h.example.org."}"#],
        ),
        (
            "{names: [h.example.org.], type: aaaa, port: 80}",
            vec![(28, std::net::Ipv6Addr::LOCALHOST.octets().to_vec())],
            &[r#"{__address__="[::1]:80",__meta_dns_name="h.example.org."}"#],
        ),
        (
            "{names: [example.org.], type: MX, port: 25}",
            vec![(15, numbers(&[10], "mail.example.org"))],
            &[
                r#"{__address__="mail.example.org:25",__meta_dns_mx_record_target="mail.example.org.",__meta_dns_name="example.org."}"#,
            ],
        ),
        (
            "{names: [example.org.], type: NS, port: 53}",
            vec![(2, name("ns.example.org"))],
            &[
                r#"{__address__="ns.example.org:53",__meta_dns_name="example.org.",__meta_dns_ns_record_target="ns.example.org."}"#,
            ],
        ),
    ];
    for (yaml, records, expected) in rows {
        let yaml = yaml
            .trim_start_matches('{')
            .trim_end_matches('}')
            .replace(", type", "\ntype")
            .replace(", port", "\nport");
        let mut world = World::answering(vec![(0, records)]).await;
        let (outlet, changed) = world.run(&yaml);
        changed.notified().await;
        check(members(&outlet), expected);
    }
}

#[tokio::test]
async fn a_server_that_fails_keeps_what_was_found_and_a_name_that_is_gone_does_not() {
    let found = vec![(1, vec![10, 0, 0, 1])];
    let mut world = World::answering(vec![(0, found), (2, Vec::new())]).await;
    let (outlet, changed) = world.run("names: [h.example.org.]\ntype: A\nport: 80");
    changed.notified().await;
    mistake(&outlet).await;
    assert_eq!(members(&outlet).len(), 1);

    let found = vec![(1, vec![10, 0, 0, 1])];
    let mut world = World::answering(vec![(0, found), (3, Vec::new())]).await;
    let (outlet, changed) = world.run("names: [h.example.org.]\ntype: A\nport: 80");
    changed.notified().await;
    changed.notified().await;
    assert_eq!(members(&outlet), [""; 0]);
    assert_eq!(outlet.report().error, None);
}

#[test]
fn mistakes_say_what_is_missing() {
    for (yaml, expected) in [
        (
            "names: [a]\ntype: A",
            "`port` is missing; only SRV records have their own",
        ),
        (
            "names: []",
            "line 1: names: must have from one to 1000 names",
        ),
        (
            "names: [a]\ntype: TXT\nport: 1",
            "line 2: type: `TXT` is no type of records known here; use A, AAAA, SRV, MX or NS",
        ),
        (
            "names: [a]\ntype: A\nport: 70000",
            "line 3: port: `70000` is not a port: number too large to fit in target type",
        ),
    ] {
        let root = checked_yaml::parse(yaml).expect("YAML");
        let mut mistakes = Mistakes::new();
        assert_eq!(DnsDiscovery::read(&root, &mut mistakes), None);
        assert_eq!(mistakes.to_string(), expected);
    }
}
