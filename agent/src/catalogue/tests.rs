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
