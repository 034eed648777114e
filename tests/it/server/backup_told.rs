//! A backup and its entry in the server's audit: neither is without the other.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::backup::at;
use super::served::Served;

/// How many backups the audit tells of.
fn told(served: &Served) -> usize {
    let done = |entry: &serde_json::Value| entry["action"] == "server.backup" && entry["outcome"] == "done";
    served.entries().iter().filter(|entry| done(entry)).count()
}

/// What lies in a folder.
fn names(folder: &std::path::Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.collect()
}

#[test]
fn a_backup_that_gets_no_file_is_not_told_of() {
    let served = Served::new(&[]);
    let folder = served.stage.home().join("copies");
    fs::create_dir(&folder).unwrap();
    // What is there already stays as it is.
    fs::write(folder.join("taken"), "mine").unwrap();
    let refused = served.stage.run(&at(&["backup", "copies/taken"], &[]));
    assert_ne!(refused.code, Some(0), "{refused}");
    assert_eq!(fs::read_to_string(folder.join("taken")).unwrap(), "mine");
    // Nor is one told of that has no folder, or no room in it.
    assert_ne!(served.stage.run(&at(&["backup", "nowhere/copy"], &[])).code, Some(0));
    assert_ne!(served.stage.run(&at(&["backup", "/proc/self/copy"], &[])).code, Some(0));
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o555)).unwrap();
    let is_closed = fs::write(folder.join("probe"), "").is_err();
    if is_closed {
        let refused = served.stage.run(&at(&["backup", "copies/copy"], &[]));
        assert!(refused.code != Some(0) && refused.stderr().contains("copies/copy"), "{refused}");
    }
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
    let _ = fs::remove_file(folder.join("probe"));
    assert_eq!(names(&folder), ["taken"]);
    assert_eq!(told(&served), 0);
    served.stage.run(&at(&["backup", "copies/copy"], &[])).ends(0);
    assert_eq!(told(&served), 1);
}

#[test]
fn a_backup_that_cannot_be_told_of_leaves_no_file() {
    let served = Served::new(&[]);
    let folder = served.stage.home().join("copies");
    fs::create_dir(&folder).unwrap();
    served.stage.run(&at(&["backup", "copies/first"], &[])).ends(0);
    // The number of the next entry is taken: nothing can be added to the chain.
    served.sql(
        "INSERT INTO audit_events (org, sequence, entry, hash, mac, at, actor, action, object) \
         SELECT org, sequence + 1, entry, hash, mac, at, actor, 'taken', object FROM audit_events \
         WHERE org = 'server' ORDER BY sequence DESC LIMIT 1",
    );
    let before = told(&served);
    let refused = served.stage.run(&at(&["backup", "copies/second"], &[]));
    assert_ne!(refused.code, Some(0), "{refused}");
    assert_eq!(names(&folder), ["first"], "{refused}");
    assert_eq!(told(&served), before);
    served.sql("DELETE FROM audit_events WHERE action = 'taken'");
    served.stage.run(&at(&["backup", "copies/second"], &[])).ends(0);
    assert_eq!(told(&served), 2);
}

/// Kills a backup at each call by which it puts something on the disk or gives it its name.
#[test]
fn a_backup_that_is_killed_is_never_told_of_without_its_file() {
    let mut served = Served::new(&[]);
    fs::create_dir(served.stage.home().join("copies")).unwrap();
    let log = served.stage.root().join("calls");
    let calls = ["fsync", "fdatasync", "renameat2", "linkat", "link"];
    let trace = format!("trace={}", calls.join(","));
    served.stage.wrap(&["strace", "-f", "-qq", "-e", &trace, "-o", log.to_str().unwrap(), "--"]);
    served.stage.run(&at(&["backup", "copies/whole"], &[])).ends(0);
    let seen = fs::read_to_string(&log).expect("strace is installed; tests/run does that");
    let mut untold = 0;
    for call in calls {
        for nth in 1..=seen.matches(&format!(" {call}(")).count() {
            let copy = format!("copies/{call}-{nth}");
            let kill = format!("inject={call}:signal=SIGKILL:when={nth}");
            let before = told(&served);
            served.stage.wrap(&["strace", "-f", "-qq", "-e", &kill, "-o", "/dev/null", "--"]);
            let outcome = served.stage.run(&at(&["backup", &copy], &[]));
            served.stage.wrap(&[]);
            assert_ne!(outcome.code, Some(0), "{copy}: {outcome}");
            let (is_there, is_told) = (served.stage.home().join(&copy).exists(), told(&served) > before);
            assert!(is_there || !is_told, "{copy} is told of and not there");
            if is_there {
                untold += usize::from(!is_told);
                served.stage.run(&at(&["restore", &copy], &["--drill"])).ends(0);
            }
        }
    }
    assert!(untold > 0, "none was killed between its name and its entry: {seen}");
    // Nor does what was left keep anybody from the next one.
    served.stage.run(&at(&["backup", "copies/last"], &[])).ends(0);
    served.stage.run(&at(&["restore", "copies/last"], &["--drill"])).ends(0);
}
