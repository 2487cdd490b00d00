//! `replay --prometheus` over a store on loopback, by the settings of a source.

use clap::Parser as _;

use super::world::{Shape, World};
use super::*;
use crate::command::{Action, CommandLine};

#[test]
fn a_replay_of_a_store_names_the_leak_and_asks_as_the_source_says() {
    let world = World::of(&[
        ("a:1", Shape::Leaking { hours: 30.0 }),
        ("b:1", Shape::Healthy),
    ]);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let server = runtime.block_on(Server::start(world.stored(), |_| Reply::Truth));
    let directory = tempfile::tempdir().expect("a directory");
    let configuration = directory.path().join("agent.yml");
    let verdicts = directory.path().join("verdicts.json");
    let text = format!(
        "sources: [{{ name: main, url: \"{}\", tenant: team-a, bearer_token: secret, match: '{{job=\"shop\"}}' }}]\n",
        server.url()
    );
    std::fs::write(&configuration, text).expect("the configuration is written");
    let shown = |path: &std::path::Path| path.display().to_string();
    let line = CommandLine::try_parse_from([
        "leak-agent",
        "replay",
        "--prometheus",
        "main",
        "--from=-3d",
        "--step=5m",
        "--config",
        &shown(&configuration),
        "--verdicts",
        &shown(&verdicts),
    ])
    .expect("options");
    let Action::Replay(options) = line.action else {
        panic!("it is a replay");
    };
    let outcome = crate::replay::run(&options).expect("an outcome");
    assert_eq!(outcome.fired.len(), 1, "{:?}", outcome.fired);
    let lines = std::fs::read_to_string(&verdicts).expect("verdicts");
    let verdict: Value = serde_json::from_str(lines.lines().next().expect("a line")).expect("JSON");
    assert_eq!(verdict["labels"]["__name__"], "process_open_fds");
    assert_eq!(verdict["instances"][0], "a:1");
    let onset = verdict["onset"].as_f64().expect("an onset");
    let truth = world.now.seconds() - 30.0 * 3600.0;
    assert!(
        (onset - truth).abs() < 3.0 * 3600.0,
        "{onset} and not {truth}"
    );
    for request in server.requests() {
        assert!(
            request.head.contains("x-scope-orgid: team-a"),
            "{request:?}"
        );
        assert!(
            request.head.contains("authorization: Bearer secret"),
            "{request:?}"
        );
        let asked = format!(
            "{}{}",
            request.parameter("match[]"),
            request.parameter("query")
        );
        assert!(asked.contains(",job=\"shop\""), "{request:?}");
    }
}
