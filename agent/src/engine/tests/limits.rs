//! Which limit belongs to which series, where one target has several of a signal.

use std::collections::BTreeMap;

use crate::engine::tests::world::World;

/// A series by its name and labels, and its value.
type Sample<'a> = (&'a str, &'a [(&'a str, &'a str)], f64);

/// The limits of the series of a signal after a scrape that brings all of these, by the value of one of their labels.
fn limits(signal: &str, label: &str, samples: &[Sample<'_>]) -> String {
    let mut world = World::gateway();
    world.step(|_, service, _| {
        for (name, labels, value) in samples {
            service.set(name, labels, *value);
        }
    });
    let found: BTreeMap<String, String> = world
        .engine
        .series()
        .filter(|series| series.signal() == signal)
        .map(|series| {
            let value = series.labels().get(label).unwrap_or_default().to_owned();
            let limit = series.limit();
            (
                value,
                limit.map_or("none".to_owned(), |limit| limit.to_string()),
            )
        })
        .collect();
    let told: Vec<String> = found
        .iter()
        .map(|(value, limit)| format!("{value}: {limit}"))
        .collect();
    told.join(", ")
}

#[test]
fn a_limit_is_that_of_the_same_pool() {
    let told = limits(
        "hikaricp_connections_active",
        "pool",
        &[
            ("hikaricp_connections_active", &[("pool", "orders")], 3.0),
            ("hikaricp_connections_active", &[("pool", "stock")], 3.0),
            ("hikaricp_connections_active", &[("pool", "log")], 3.0),
            ("hikaricp_connections_max", &[("pool", "orders")], 10.0),
            ("hikaricp_connections_max", &[("pool", "stock")], 20.0),
        ],
    );
    assert_eq!(told, "log: none, orders: 10, stock: 20");
}

#[test]
fn a_limit_without_labels_is_that_of_all_and_zero_or_less_is_none() {
    let told = limits(
        "pg_stat_activity_count",
        "state",
        &[
            (
                "pg_stat_activity_count",
                &[("state", "active"), ("datname", "shop")],
                3.0,
            ),
            (
                "pg_stat_activity_count",
                &[("state", "idle"), ("datname", "shop")],
                3.0,
            ),
            ("pg_settings_max_connections", &[], 100.0),
        ],
    );
    assert_eq!(told, "active: 100", "idle connections are the pooler's");
    let told = limits(
        "jvm_memory_used_bytes",
        "id",
        &[
            (
                "jvm_memory_used_bytes",
                &[("area", "heap"), ("id", "G1 Old Gen")],
                3e8,
            ),
            (
                "jvm_memory_used_bytes",
                &[("area", "heap"), ("id", "G1 Eden Space")],
                3e8,
            ),
            (
                "jvm_memory_used_bytes",
                &[("area", "nonheap"), ("id", "Metaspace")],
                3e7,
            ),
            (
                "jvm_memory_max_bytes",
                &[("area", "heap"), ("id", "G1 Old Gen")],
                2e9,
            ),
            (
                "jvm_memory_max_bytes",
                &[("area", "nonheap"), ("id", "Metaspace")],
                -1.0,
            ),
        ],
    );
    assert_eq!(told, "G1 Old Gen: 2000000000, Metaspace: none");
}
