use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use leak_detect::Timestamp;
use tempfile::TempDir;

use super::*;
use crate::engine::SavedDetectors;
use crate::engine::tests::drills::work;
use crate::engine::tests::world::World;
use crate::incident::State;

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_123);

/// A gateway that has leaked for a minute: one living incident, one firing alert, a dozen detectors.
fn leaking() -> World {
    let mut world = World::gateway();
    let body = [
        ("resource", "response_body"),
        ("upstream", "so\"ci\\al"),
        ("route", "/ü/{id}"),
    ];
    world.run(30.0, |_, service, _| work(service, 50.0));
    world.run(60.0, |_, service, _| {
        work(service, 50.0);
        service.add("resource_ledger_orphaned", &body, 2.0);
    });
    world
}

#[track_caller]
fn open(directory: &TempDir) -> Opened {
    match Store::open(directory.path(), NOW) {
        Ok(opened) => opened,
        Err(error) => panic!("{error}"),
    }
}

fn file(directory: &TempDir) -> PathBuf {
    directory.path().join(FILE_NAME)
}

/// What a store can give back of a state: when an alert was sent is not stored, nor the words as they were published.
fn stored(mut saved: Saved) -> Saved {
    for alert in &mut saved.alerts {
        alert.last_sent_at = None;
        alert.published = None;
    }
    for target in saved
        .detectors
        .iter_mut()
        .flat_map(|detectors| &mut detectors.targets)
    {
        target
            .series
            .sort_by(|a, b| (&a.signal, &a.labels).cmp(&(&b.signal, &b.labels)));
    }
    saved
}

#[test]
fn a_new_store_is_empty_and_says_nothing() {
    let directory = TempDir::new().unwrap();
    let nested = directory.path().join("a/b");
    let opened = Store::open(&nested, NOW).unwrap();
    assert_eq!((opened.saved, opened.set_aside), (None, None));
    assert!(nested.join(FILE_NAME).exists());
}

#[test]
fn what_was_saved_comes_back_equal() {
    let directory = TempDir::new().unwrap();
    let world = leaking();
    let saved = world.engine.saved();
    assert!(!saved.incidents.is_empty() && !saved.alerts.is_empty());
    open(&directory).store.save(&saved).unwrap();
    let mut read = stored(open(&directory).saved.unwrap());
    for incident in &mut read.incidents {
        incident.witness_asked_at = saved.incidents[0].witness_asked_at;
    }
    assert_eq!(read, stored(saved));
}

#[test]
fn a_save_without_detectors_leaves_those_that_are_stored() {
    let directory = TempDir::new().unwrap();
    let saved = leaking().engine.saved();
    let opened = open(&directory);
    opened.store.save(&saved).unwrap();
    let fewer = Saved {
        alerts: Vec::new(),
        detectors: None,
        ..saved.clone()
    };
    opened.store.save(&fewer).unwrap();
    drop(opened);
    let read = stored(open(&directory).saved.unwrap());
    assert!(read.alerts.is_empty(), "what is gone is gone");
    assert_eq!(read.detectors, stored(saved).detectors);
}

#[test]
fn detectors_are_stored_one_target_at_a_time_and_those_that_are_gone_are_removed() {
    let directory = TempDir::new().unwrap();
    let world = leaking();
    let saved = world.engine.saved();
    let opened = open(&directory);
    opened
        .store
        .save_with(&world.engine.saved_alerts(), world.engine.detectors())
        .unwrap();
    drop(opened);
    let opened = open(&directory);
    let read = stored(opened.saved.unwrap());
    assert_eq!(read.detectors, stored(saved.clone()).detectors);
    assert_eq!(read.alerts.len(), saved.alerts.len());

    let detectors = saved.detectors.clone().unwrap();
    let first = detectors.targets[0].clone();
    let kept = SavedTarget {
        series: first.series[..2].to_vec(),
        ..first
    };
    let fewer = Detectors {
        divisor: detectors.divisor,
        targets: [kept.clone()].into_iter(),
    };
    opened.store.save_with(&saved, fewer).unwrap();
    drop(opened.store);
    let read = stored(open(&directory).saved.unwrap()).detectors.unwrap();
    let expected = Saved {
        detectors: Some(SavedDetectors {
            divisor: detectors.divisor,
            targets: vec![kept],
        }),
        ..Saved::default()
    };
    assert_eq!(Some(read), stored(expected).detectors);
}

#[test]
fn two_agents_cannot_share_a_store() {
    let directory = TempDir::new().unwrap();
    let _first = open(&directory);
    let error = Store::open(directory.path(), NOW).unwrap_err();
    assert!(matches!(error, StateError::InUse { .. }), "{error:?}");
    assert!(error.to_string().contains("storage.path"), "{error}");
}

#[test]
fn a_directory_that_cannot_be_made_is_an_error() {
    let directory = TempDir::new().unwrap();
    let occupied = directory.path().join("data");
    fs::write(&occupied, "a file").unwrap();
    let error = Store::open(&occupied, NOW).unwrap_err();
    assert!(matches!(error, StateError::Io { .. }), "{error:?}");
    assert_eq!(fs::read_to_string(&occupied).unwrap(), "a file");
}

#[test]
fn the_state_of_a_later_agent_is_refused_and_kept() {
    let directory = TempDir::new().unwrap();
    let saved = leaking().engine.saved();
    open(&directory).store.save(&saved).unwrap();
    let set_version = |version: u64| {
        let database = Database::open(file(&directory)).unwrap();
        let transaction = database.begin_write().unwrap();
        let table = redb::TableDefinition::<&str, u64>::new("meta");
        transaction
            .open_table(table)
            .unwrap()
            .insert("format", version)
            .unwrap();
        transaction.commit().unwrap();
    };
    set_version(FORMAT + 1);
    let error = Store::open(directory.path(), NOW).unwrap_err();
    assert!(
        matches!(
            error,
            StateError::LaterVersion {
                found: 2,
                newest: 1,
                ..
            }
        ),
        "{error:?}"
    );
    set_version(FORMAT);
    let read = open(&directory).saved.unwrap();
    assert_eq!(
        read.incidents.len(),
        saved.incidents.len(),
        "nothing was lost by the refusal"
    );
}

#[test]
fn a_file_that_is_none_of_ours_is_set_aside() {
    for contents in [
        b"not a database".to_vec(),
        vec![0; 100_000],
        b"redb\x1a\x0a\xa9\x0d\x0a".to_vec(),
    ] {
        let directory = TempDir::new().unwrap();
        fs::write(file(&directory), &contents).unwrap();
        let opened = open(&directory);
        let set_aside = opened.set_aside.expect("it is told");
        assert_eq!(opened.saved, None);
        assert!(set_aside.is_whole && !set_aside.reason.is_empty());
        assert_eq!(fs::read(&set_aside.to).unwrap(), contents, "kept as it was");
        opened.store.save(&leaking().engine.saved()).unwrap();
    }
}

#[test]
fn a_damaged_file_is_set_aside_or_repaired_but_never_ends_the_agent() {
    let directory = TempDir::new().unwrap();
    let saved = leaking().engine.saved();
    open(&directory).store.save(&saved).unwrap();
    let whole = fs::read(file(&directory)).unwrap();
    let mut set_aside = 0;
    let mut damage = |bytes: &[u8]| {
        let directory = TempDir::new().unwrap();
        fs::write(file(&directory), bytes).unwrap();
        let opened = open(&directory);
        if opened.set_aside.is_some() {
            set_aside += 1;
        } else {
            let read = opened.saved.expect("what was not set aside is used");
            assert!(read.incidents.len() <= saved.incidents.len());
        }
        opened.store.save(&saved).unwrap();
    };
    for cut in [1, 63, 64, 4095, 4096, whole.len() / 2, whole.len() - 1] {
        damage(&whole[..cut]);
    }
    // A fixed walk over the file: every place is hit in the same order on every machine.
    let mut walk = 7_u64;
    for _ in 0..60 {
        walk = walk
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let place = (walk >> 11) as usize % whole.len();
        let mut bytes = whole.clone();
        let end = (place + 32).min(bytes.len());
        for byte in &mut bytes[place..end] {
            *byte ^= 0x5a;
        }
        damage(&bytes);
    }
    assert!(set_aside >= 5, "{set_aside} of 67 were told");
}

#[test]
fn a_record_that_cannot_be_read_costs_no_other() {
    let directory = TempDir::new().unwrap();
    let saved = leaking().engine.saved();
    open(&directory).store.save(&saved).unwrap();
    let database = Database::open(file(&directory)).unwrap();
    let transaction = database.begin_write().unwrap();
    let table = redb::TableDefinition::<&str, &[u8]>::new("incidents");
    transaction
        .open_table(table)
        .unwrap()
        .insert("ffff", &b"{\"id\":"[..])
        .unwrap();
    transaction.commit().unwrap();
    drop(database);
    let opened = open(&directory);
    assert_eq!(opened.saved.unwrap().incidents.len(), saved.incidents.len());
    let set_aside = opened.set_aside.unwrap();
    assert!(!set_aside.is_whole);
    assert!(
        set_aside.reason.contains("incident ffff"),
        "{}",
        set_aside.reason
    );
    assert!(set_aside.to.exists());
}

/// The states that releases left behind: a leak since 30 s after the beginning, firing.
fn states_of_releases() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/state");
    let files = fs::read_dir(directory).unwrap();
    files.map(|file| file.unwrap().path()).collect()
}

#[test]
fn the_state_of_each_release_is_read_and_its_alerts_go_on() {
    let files = states_of_releases();
    assert!(files.len() >= 2, "{files:?}");
    for release in files {
        let directory = TempDir::new().unwrap();
        fs::copy(&release, file(&directory)).unwrap();
        let opened = open(&directory);
        assert_eq!(opened.set_aside, None, "{}", release.display());
        let saved = opened.saved.unwrap();
        let (id, starts_at) = (saved.incidents[0].id.clone(), saved.alerts[0].fired_at);
        assert!(starts_at.is_some());
        let detectors = saved.detectors.as_ref().unwrap();
        assert!(detectors.targets[0].series.len() > 5);
        let mut world = World::gateway();
        world.now += 600.0;
        world.stored = saved;
        world.kill();
        world.evaluate();
        assert_eq!(world.only_incident().id, id);
        let sent: Vec<_> = world.sent.iter().map(|(_, alert)| alert).collect();
        assert_eq!(sent.len(), 1);
        assert_eq!(
            (Some(sent[0].starts_at), sent[0].resolved),
            (starts_at, false)
        );
    }
}

/// Writes a file that the test above reads: once for each release.
#[test]
#[ignore = "writes a file of the tests; run by hand when the format of the state changes"]
fn write_the_state_of_this_release() {
    let directory = TempDir::new().unwrap();
    open(&directory)
        .store
        .save(&leaking().engine.saved())
        .unwrap();
    let name = format!("tests/state/{}.redb", env!("CARGO_PKG_VERSION"));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::copy(file(&directory), path).unwrap();
}

/// Not a test of its own: the process that `kills_at_any_instant` kills. It saves a state again and again, whose
/// incidents and alerts all carry the number of the save, and says each number when it is on the disk.
#[test]
#[ignore = "run as a child by kills_at_any_instant"]
fn child_that_saves() {
    let Ok(directory) = std::env::var("STATE_TEST_DIRECTORY") else {
        return;
    };
    let opened = Store::open(Path::new(&directory), NOW).unwrap();
    let base = leaking().engine.saved();
    let first = opened.saved.map_or(0, |saved| saved.incidents[0].returns);
    let mut out = std::io::stdout().lock();
    for number in first + 1.. {
        let mut saved = base.clone();
        for copy in 0..20 {
            let mut incident = base.incidents[0].clone();
            incident.id = crate::incident::IncidentId::parse(&format!("{copy:04}")).unwrap();
            incident.returns = number;
            saved.incidents.push(incident);
        }
        saved.incidents[0].returns = number;
        for alert in &mut saved.alerts {
            alert.generator_url = number.to_string();
        }
        opened.store.save(&saved).unwrap();
        writeln!(out, "saved {number}").unwrap();
        out.flush().unwrap();
    }
}

#[test]
fn kills_at_any_instant() {
    let directory = TempDir::new().unwrap();
    let mut last = 0;
    for kill in 0..24 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "state::tests::child_that_saves",
                "--ignored",
                "--nocapture",
            ])
            .env("STATE_TEST_DIRECTORY", directory.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // After so many saves, and then at whatever instant the kill arrives.
        let wanted = 1 + kill % 5;
        let mut told = last;
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut seen = 0;
        while seen < wanted {
            let line = lines.next().expect("the child saves").unwrap();
            if let Some(number) = line
                .rsplit_once("saved ")
                .and_then(|(_, number)| number.parse().ok())
            {
                told = number;
                seen += 1;
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let told = lines
            .map_while(Result::ok)
            .filter_map(|line| line.strip_prefix("saved ")?.parse().ok())
            .last()
            .unwrap_or(told);
        let opened = open(&directory);
        assert_eq!(opened.set_aside, None, "a kill damages nothing");
        let saved = opened.saved.unwrap();
        let number = saved.incidents[0].returns;
        assert!(
            number == told || number == told + 1,
            "told {told}, stored {number}"
        );
        assert_eq!(saved.incidents.len(), 21);
        assert!(
            saved
                .incidents
                .iter()
                .all(|incident| incident.returns == number),
            "all of a save or none of it"
        );
        assert!(
            saved
                .alerts
                .iter()
                .all(|alert| alert.generator_url == number.to_string())
        );
        assert_eq!(saved.incidents[0].state, State::Growing);
        last = number;
    }
    assert!(last >= 24);
}
