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
