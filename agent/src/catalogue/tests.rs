use expect_test::{Expect, expect};

use super::*;
use crate::exposition::{Format, ParseError, Parser};

/// What the known families of a recorded exposition mean, and how many series of each are of interest.
fn families(recorded: &str) -> String {
    let mut counts: std::collections::BTreeMap<String, usize> = std::collections::BTreeMap::new();
    for line in roles(recorded).lines() {
        let (name, labelled) = line.split_once('{').expect("a series");
        let (_, role) = labelled.rsplit_once("}: ").expect("a role");
        *counts.entry(format!("{name}: {role}")).or_default() += 1;
    }
    counts
        .into_iter()
        .map(|(family, count)| format!("{family} ({count})\n"))
        .collect()
}

/// What each known series of a recorded exposition means.
fn roles(recorded: &str) -> String {
    let catalogue = Catalogue::built_in();
    let mut told = String::new();
    let mut sink = |sample: crate::exposition::RawSample<'_>| {
        let labels: Labels = sample
            .labels()
            .map(|(name, value)| (name.into_owned(), value.into_owned()))
            .collect();
        if let Some(role) = catalogue.role(&sample.name(), &labels) {
            let role = match role {
                Role::Level(level) => format!("level in {}", level.unit),
                other => format!("{other:?}"),
            };
            told.push_str(&format!("{}{labels}: {role}\n", sample.name()));
        }
        Ok::<(), ParseError>(())
    };
    let mut parser = Parser::new(Format::Text);
    parser
        .feed(recorded.as_bytes(), &mut sink)
        .expect("an exposition");
    parser.finish(&mut sink).expect("an exposition");
    told
}

#[track_caller]
fn check(recorded: &str, expected: Expect) {
    expected.assert_eq(&roles(recorded));
}

#[test]
fn a_go_program_is_known() {
    // Prometheus 2.42 with client_golang 1.14, its go_, process_ and promhttp_ families.
    check(
        include_str!("recorded/client_golang.txt"),
        expect![[r#"
        go_goroutines{}: level in goroutines
        process_max_fds{}: Limit("process_open_fds")
        process_open_fds{}: level in descriptors
        process_resident_memory_bytes{}: level in bytes
        process_start_time_seconds{}: StartTime
    "#]],
    );
}

#[test]
fn a_python_program_is_known() {
    // prometheus_client 0.26 on Python 3.11.
    check(
        include_str!("recorded/prometheus_client.txt"),
        expect![[r#"
        process_resident_memory_bytes{}: level in bytes
        process_start_time_seconds{}: StartTime
        process_open_fds{}: level in descriptors
        process_max_fds{}: Limit("process_open_fds")
    "#]],
    );
}

#[test]
fn a_node_program_is_known() {
    // prom-client 15.1 on Node.js 20.
    check(
        include_str!("recorded/prom_client.txt"),
        expect![[r#"
        process_start_time_seconds{}: StartTime
        process_resident_memory_bytes{}: level in bytes
        process_open_fds{}: level in descriptors
        process_max_fds{}: Limit("process_open_fds")
        nodejs_active_handles_total{}: level in handles
        nodejs_active_requests_total{}: level in requests
        nodejs_heap_size_used_bytes{}: level in bytes
        nodejs_external_memory_bytes{}: level in bytes
    "#]],
    );
}

#[test]
fn nginx_is_known() {
    // nginx-prometheus-exporter 0.11 before nginx 1.22.
    check(
        include_str!("recorded/nginx_exporter.txt"),
        expect![[r#"
        nginx_connections_active{}: level in connections
        nginx_connections_writing{}: level in connections
        nginx_http_requests_total{}: Load
    "#]],
    );
}

#[test]
fn haproxy_is_known() {
    // HAProxy 2.6, its own exporter, one backend.
    expect![[r#"
        haproxy_backend_current_queue: level in waiters (1)
        haproxy_backend_current_sessions: level in sessions (1)
        haproxy_frontend_current_sessions: level in sessions (2)
        haproxy_frontend_http_requests_total: Load (2)
        haproxy_frontend_limit_sessions: Limit("haproxy_frontend_current_sessions") (2)
        haproxy_process_current_connections: level in connections (1)
        haproxy_process_max_connections: Limit("haproxy_process_current_connections") (1)
        haproxy_process_pool_used_bytes: level in bytes (1)
        haproxy_process_requests_total: Load (1)
    "#]]
    .assert_eq(&families(include_str!("recorded/haproxy.txt")));
}

#[test]
fn envoy_is_known() {
    // Envoy 1.40, `usedonly`, one cluster.
    expect![[r#"
        envoy_cluster_upstream_cx_active: level in connections (1)
        envoy_cluster_upstream_rq_active: level in requests (1)
        envoy_cluster_upstream_rq_pending_active: level in waiters (1)
        envoy_cluster_upstream_rq_total: Load (1)
        envoy_http_downstream_cx_active: level in connections (2)
        envoy_http_downstream_rq_active: level in requests (2)
        envoy_http_downstream_rq_total: Load (2)
        envoy_server_memory_allocated: level in bytes (1)
    "#]]
    .assert_eq(&families(include_str!("recorded/envoy.txt")));
}

#[test]
fn postgresql_is_known() {
    // postgres_exporter 0.11 before PostgreSQL 15, without most of pg_settings_.
    expect![[r#"
        go_goroutines: level in goroutines (1)
        pg_settings_max_connections: Limit("pg_stat_activity_count") (1)
        pg_stat_activity_count: level in connections (9)
        pg_stat_database_xact_commit: Load (4)
        process_max_fds: Limit("process_open_fds") (1)
        process_open_fds: level in descriptors (1)
        process_resident_memory_bytes: level in bytes (1)
        process_start_time_seconds: StartTime (1)
    "#]]
    .assert_eq(&families(include_str!("recorded/postgres_exporter.txt")));
}

#[test]
fn a_host_is_known() {
    // node_exporter 1.5, the families that could matter.
    expect![[r#"
        go_goroutines: level in goroutines (1)
        node_filefd_allocated: level in descriptors (1)
        node_filefd_maximum: Limit("node_filefd_allocated") (1)
        node_memory_AnonPages_bytes: level in bytes (1)
        node_memory_MemTotal_bytes: Limit("node_memory_AnonPages_bytes") (1)
        node_memory_SUnreclaim_bytes: level in bytes (1)
        node_nf_conntrack_entries: level in entries (1)
        node_nf_conntrack_entries_limit: Limit("node_nf_conntrack_entries") (1)
        node_processes_max_threads: Limit("node_processes_threads") (1)
        node_processes_threads: level in threads (1)
        node_sockstat_TCP_alloc: level in sockets (1)
        node_sockstat_sockets_used: level in sockets (1)
        process_max_fds: Limit("process_open_fds") (1)
        process_open_fds: level in descriptors (1)
        process_resident_memory_bytes: level in bytes (1)
        process_start_time_seconds: StartTime (1)
    "#]]
    .assert_eq(&families(include_str!("recorded/node_exporter.txt")));
}

#[test]
fn the_gateway_is_known() {
    // Three requests each to a proxy route, a fan-out route and no route.
    let recorded = include_str!("recorded/instrumented_gateway.txt");
    expect![[r#"
        gateway_pool_connections: PoolState (4)
        gateway_pool_waiters: Waiters (1)
        gateway_requests_total: Load (33)
        gateway_upstream_rejected_total: UpstreamRejected (3)
        gateway_upstream_requests_total: UpstreamResult (4)
        process_max_fds: Limit("process_open_fds") (1)
        process_open_fds: level in descriptors (1)
        process_resident_memory_bytes: level in bytes (1)
        process_start_time_seconds: StartTime (1)
        process_threads: level in threads (1)
        resource_ledger_closed_total: Closed (42)
        resource_ledger_oldest_age_seconds: OldestAge (7)
        resource_ledger_open: level in entries (7)
        resource_ledger_opened_total: Opened (7)
        resource_ledger_orphaned: Exact(Orphaned) (7)
        resource_ledger_overdue: Exact(Overdue) (7)
    "#]]
    .assert_eq(&families(recorded));
    // Everything else of the two families that carry the judgement is known to be of no interest.
    let catalogue = Catalogue::built_in();
    let unknown: std::collections::BTreeSet<&str> = recorded
        .lines()
        .filter(|line| line.starts_with("gateway_") || line.starts_with("resource_"))
        .filter_map(|line| line.split(['{', ' ']).next())
        .filter(|name| !catalogue.knows(name))
        .filter(|name| !name.contains("_duration_seconds"))
        .collect();
    expect![[r#"
        gateway_accept_failures_total
        gateway_client_connections
        gateway_client_connections_limit
        gateway_client_connections_limit_reached_total
        gateway_drill_active
        gateway_handler_panics_total
        gateway_pool_connects_total
        gateway_pool_limit
        gateway_pool_reuses_total
        resource_ledger_accounts
        resource_ledger_accounts_limit
        resource_ledger_accounts_refused_total"#]]
    .assert_eq(&unknown.into_iter().collect::<Vec<_>>().join("\n"));
}

#[test]
fn tasks_of_connections_and_of_the_service_are_not_judged() {
    let catalogue = Catalogue::built_in();
    for (resource, judged) in [
        ("fan_out_task", true),
        ("response_body", true),
        ("pool_connection", true),
        ("request", true),
        ("a_services_own", true),
        ("", true),
        ("connection_task", false),
        ("service_task", false),
    ] {
        let labels = Labels::empty().with("resource", resource);
        for name in [
            "resource_ledger_open",
            "resource_ledger_orphaned",
            "resource_ledger_overdue",
            "resource_ledger_opened_total",
        ] {
            assert_eq!(
                catalogue.role(name, &labels).is_some(),
                judged,
                "{name} of {resource}"
            );
        }
        // A label of that name elsewhere means something else.
        assert!(catalogue.role("go_goroutines", &labels).is_some());
    }
}

#[test]
fn every_level_is_complete() {
    let catalogue = Catalogue::built_in();
    assert!(catalogue.levels().len() >= 5);
    for level in catalogue.levels() {
        assert!(
            level.absolute_floor > 0.0 && level.relative_floor > 0.0,
            "{level:?}"
        );
        assert!(level.unit.ends_with('s'), "{level:?}");
        assert!(level.first_action.len() > 40, "{level:?}");
        assert!(catalogue.judges(&level.signal));
        if let Some(Limit::Family(limit)) = &level.limit {
            assert_eq!(
                catalogue.role(limit, &Labels::empty()),
                Some(Role::Limit(Arc::clone(&level.signal)))
            );
        }
        for load in &*level.load {
            let role = catalogue.role(load, &Labels::empty());
            assert!(matches!(role, Some(Role::Load | Role::Opened)), "{load}");
        }
    }
    for carrier in [
        "resource_ledger_orphaned",
        "resource_ledger_overdue",
        "resource_ledger_closed_total",
    ] {
        assert!(
            catalogue.judges(carrier) && catalogue.first_action(carrier).is_some(),
            "{carrier}"
        );
    }
    assert_eq!(catalogue.first_action("process_max_fds"), None);
}

#[test]
fn names_are_told_apart_whole() {
    let catalogue = Catalogue::built_in();
    for name in [
        "go_goroutine",
        "go_goroutines_total",
        "xgo_goroutines",
        "up",
        "leak_verdict",
        "",
    ] {
        assert!(!catalogue.knows(name), "{name}");
        assert_eq!(catalogue.role(name, &Labels::empty()), None);
    }
}

#[test]
fn an_addition_changes_nothing_that_is_there() {
    let level = |signal: &str, limit: Option<Limit>, load: &[&str]| LevelSpec {
        signal: Arc::from(signal),
        program: Arc::from("a test"),
        only: Arc::from([]),
        parts: Arc::from([]),
        limit_elsewhere: None,
        unit: Arc::from("things"),
        integer: true,
        absolute_floor: 1.0,
        relative_floor: 0.5,
        limit,
        load: load.iter().map(|name| Arc::from(*name)).collect(),
        first_action: Arc::from("Look."),
    };
    let family = |name: &str| Some(Limit::Family(Arc::from(name)));
    let mut catalogue = Catalogue::built_in();
    let mut refused = |level: LevelSpec| catalogue.add(level).expect_err("a conflict").to_string();
    assert_eq!(refused(level("go_goroutines", None, &[])), "go_goroutines");
    assert_eq!(
        refused(level("process_max_fds", None, &[])),
        "process_max_fds"
    );
    assert_eq!(
        refused(level("x", family("process_open_fds"), &[])),
        "process_open_fds"
    );
    assert_eq!(refused(level("x", family("x"), &[])), "x");
    assert_eq!(refused(level("x", family("y"), &["y"])), "y");
    assert_eq!(refused(level("x", None, &["a", "x"])), "x");
    assert_eq!(
        refused(level("x", None, &["go_goroutines"])),
        "go_goroutines"
    );
    assert!(!catalogue.knows("x") && !catalogue.knows("a") && !catalogue.knows("y"));

    let added = level(
        "x",
        family("x_max"),
        &["http_requests_total", "x_served_total"],
    );
    assert_eq!(catalogue.add(added), Ok(()));
    assert_eq!(
        catalogue.role("x_served_total", &Labels::empty()),
        Some(Role::Load)
    );
    assert_eq!(
        catalogue.role("x_max", &Labels::empty()),
        Some(Role::Limit(Arc::from("x")))
    );
    assert_eq!(catalogue.first_action("x"), Some("Look."));
    // A second level may share the load, not the limit.
    let mut refused = |level: LevelSpec| catalogue.add(level);
    assert_eq!(refused(level("z", None, &["x_served_total"])), Ok(()));
    assert_eq!(
        refused(level("w", family("x_max"), &[])),
        Err(Arc::from("x_max"))
    );
}
