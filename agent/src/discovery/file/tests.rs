use std::fs;
use std::sync::Arc;

use tempfile::TempDir;
use tokio::sync::Notify;

use super::*;

/// A provider at work on files of a directory of its own.
struct World {
    directory: TempDir,
    outlet: Outlet,
    changed: Arc<Notify>,
    files: Files,
    settings: FileDiscovery,
}

fn settings(directory: &Path, names: &[&str]) -> FileDiscovery {
    FileDiscovery {
        files: names
            .iter()
            .map(|name| FilePattern::new(name, directory).expect("a pattern"))
            .collect(),
        refresh_interval: Duration::from_secs(300),
    }
}

impl World {
    fn of(names: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let (outlet, changed) = Outlet::alone("file");
        Self {
            settings: settings(directory.path(), names),
            directory,
            outlet,
            changed,
            files: Files::default(),
        }
    }

    /// Another inode each time, as an editor or a configuration manager writes.
    fn write(&self, name: &str, text: &str) {
        let temporary = self.directory.path().join("written");
        fs::write(&temporary, text).expect("written");
        fs::rename(temporary, self.directory.path().join(name)).expect("renamed");
    }

    /// The targets after a look, each address with its labels but for the file's name; `None` where nothing was read.
    fn look(&mut self) -> Option<Vec<String>> {
        let has_changed = self.files.look(&self.settings, clock::instant());
        has_changed.then(|| shown(&self.files.groups()))
    }
}

fn shown(groups: &[Group]) -> Vec<String> {
    groups
        .iter()
        .flat_map(Group::members)
        .map(|labels| labels.without("__meta_filepath").to_string())
        .collect()
}

#[test]
fn json_and_yaml_are_read_and_changes_are_seen() {
    let mut world = World::of(&["*.json", "more.yml"]);
    assert_eq!(world.look(), Some(Vec::new()), "the first look");
    assert_eq!(world.look(), None);
    world.write(
        "a.json",
        r#"[{"targets": ["a:1", "a:2"], "labels": {"team": "x"}}, {"targets": []}]"#,
    );
    world.write(
        "more.yml",
        "- targets: ['b:1']\n  labels: {n: 1.10}\n- targets: [c:1]\n",
    );
    world.write("other.yml", "- targets: ['d:1']\n");
    assert_eq!(
        world.look().expect("both are new"),
        [
            r#"{__address__="a:1",team="x"}"#,
            r#"{__address__="a:2",team="x"}"#,
            r#"{__address__="b:1",n="1.10"}"#,
            r#"{__address__="c:1"}"#,
        ]
    );
    assert_eq!(world.look(), None, "nothing has changed");
    world.write("a.json", r#"[{"targets": ["a:3"]}]"#);
    fs::remove_file(world.directory.path().join("more.yml")).expect("removed");
    assert_eq!(
        world.look().expect("both have changed"),
        [r#"{__address__="a:3"}"#]
    );
}

#[test]
fn a_file_says_where_it_is() {
    let mut world = World::of(&["a.yaml"]);
    world.write("a.yaml", "- targets: ['a:1']\n");
    world.look();
    let path = world.directory.path().join("a.yaml");
    let groups = world.files.groups();
    assert_eq!(
        groups[0].labels.get("__meta_filepath"),
        Some(&*path.to_string_lossy())
    );
}

#[test]
fn a_broken_file_keeps_its_targets_and_says_why() {
    let mut world = World::of(&["*.json", "*.yml"]);
    world.write("a.json", r#"[{"targets": ["a:1"]}]"#);
    world.write("b.yml", "- targets: ['b:1']\n");
    world.look();
    for (name, text, reason) in [
        (
            "a.json",
            "[{\"targets\": [\"a:2\"]}",
            "line 1: EOF while parsing a list",
        ),
        (
            "a.json",
            "[{\"targets\": [\"a:2\"], \"label\": {}}]",
            "line 1: unknown field `label`, expected `targets` or `labels`",
        ),
        (
            "a.json",
            "[{\"targets\": [\"a:2\"], \"labels\": {\"a-b\": \"1\"}}]",
            "`a-b` is no label name",
        ),
        (
            "a.json",
            "{}",
            "line 1: invalid type: map, expected a sequence",
        ),
        (
            "b.yml",
            "- target: [x]\n",
            "line 1: [0].target: unknown key; did you mean `targets`?",
        ),
        (
            "b.yml",
            "- targets: [[x]]\n",
            "line 1: [0].targets[0]: expected a text, found a list",
        ),
    ] {
        world.write(name, text);
        let kept = world.look().expect("the file was read");
        assert_eq!(
            kept,
            [r#"{__address__="a:1"}"#, r#"{__address__="b:1"}"#],
            "{text}"
        );
        let path = world.directory.path().join(name);
        assert_eq!(
            world.files.errors[&path],
            format!("{}: {reason}", path.display())
        );
    }
    world.write("a.json", r#"[{"targets": ["a:2"]}]"#);
    world.write("b.yml", "");
    assert_eq!(
        world.look().expect("both are whole"),
        [r#"{__address__="a:2"}"#]
    );
    assert!(world.files.errors.is_empty());
}

#[test]
fn a_file_that_is_too_large_or_unreadable_is_an_error() {
    let mut world = World::of(&["a.json"]);
    let path = world.directory.path().join("a.json");
    let file = File::create(&path).expect("created");
    file.set_len(MAX_FILE_BYTES + 1).expect("grown");
    world.look();
    assert!(world.files.errors[&path].ends_with("it is larger than 33554432 bytes"));
    fs::remove_file(&path).expect("removed");
    fs::create_dir(&path).expect("a directory of that name");
    world.look();
    assert!(
        world.files.errors[&path].contains("Is a directory"),
        "{:?}",
        world.files.errors
    );
}

#[test]
fn every_file_is_read_again_at_the_refresh_interval() {
    let mut world = World::of(&["a.json"]);
    world.write("a.json", r#"[{"targets": ["a:1"]}]"#);
    world.look();
    let later = clock::instant() + Duration::from_secs(301);
    assert!(world.files.look(&world.settings, later));
}

#[tokio::test]
async fn the_provider_puts_what_it_finds_on_the_shelf() {
    let world = World::of(&["*.json"]);
    world.write("a.json", r#"[{"targets": ["a:1"]}]"#);
    let mut settings = world.settings.clone();
    settings.refresh_interval = Duration::from_millis(10);
    let ledger = resource_ledger::Ledger::new(resource_ledger::Settings::default());
    let account =
        ledger.account::<resource_ledger::ServiceTaskOutcome>(resource_ledger::Labels::new());
    let _task = ledger.spawn(account.open(), settings.run(world.outlet.clone()));
    world.changed.notified().await;
    assert_eq!(shown(&world.outlet.groups()), [r#"{__address__="a:1"}"#]);
    let report = world.outlet.report();
    assert_eq!(
        (report.targets, report.failures, report.error),
        (1, 0, None)
    );
    world.write("b.json", r#"[{"targets": ["b:1"]}]"#);
    world.changed.notified().await;
    assert_eq!(world.outlet.report().targets, 2);
    world.write("b.json", "[");
    let failing = || world.outlet.report().error.is_some();
    while !failing() {
        tokio::task::yield_now().await;
    }
    assert_eq!(world.outlet.report().targets, 2, "what was found stands");
}

#[track_caller]
fn refused(text: &str, expected: &str) {
    let reason = FilePattern::new(text, Path::new("/etc/leak-agent")).expect_err(text);
    assert_eq!(reason, expected);
}

#[test]
fn patterns_name_files_of_one_directory() {
    let matches = |pattern: &str, name: &str| {
        let mut world = World::of(&[pattern]);
        world.write(name, "[]");
        world.look();
        world.files.known.len() == 1
    };
    for (pattern, name, expected) in [
        ("*.json", "a.json", true),
        ("*.json", "a.yml", false),
        ("a?.json", "ab.json", true),
        ("a?.json", "abc.json", false),
        ("[ab].yml", "b.yml", true),
        ("[^ab].yml", "b.yml", false),
        ("[a-c]*.yaml", "cd.yaml", true),
        ("a.json", "aXjson", false),
    ] {
        assert_eq!(matches(pattern, name), expected, "{pattern} on {name}");
    }
    refused(
        "a.txt",
        "`a.txt` ends neither in .json nor in .yml or .yaml",
    );
    refused(
        "*/a.json",
        "`*/a.json` has a wildcard in a directory; only the file name may have one",
    );
    refused("[a.json", "`[a.json` is no pattern of file names");
}
