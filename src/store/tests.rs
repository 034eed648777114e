//! The database file itself: who may reach it, what is in its place, which form it has.

use std::ops::ControlFlow;
use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::error::{Code, Failure};

fn folder() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data/vault.db");
    (dir, path)
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn chmod(path: &Path, mode: u32) {
    std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}

fn sql(path: &Path, sql: &str) {
    Connection::open(path).unwrap().execute_batch(sql).unwrap();
}

/// A row with nothing in it but its names.
fn row(project: &str, name: &str) -> CredentialRow {
    CredentialRow {
        id: format!("id-{project}-{name}"),
        project: project.into(),
        name: name.into(),
        kind: "generic_env".into(),
        fields: "{}".into(),
        secret_names: "[]".into(),
        tags: "[]".into(),
        note: String::new(),
        created: 1,
        updated: 2,
        used: None,
        verified: Some(3),
        expires: None,
        checked: "never".into(),
        version: 1,
        rotating: None,
        retiring: None,
        scopes: None,
    }
}

/// Secrets of the first version.
fn sealed(wrapped: &[u8], secrets: &[SecretRow]) -> SealedRows {
    SealedRows { version: 1, wrapped: wrapped.to_vec(), secrets: secrets.to_vec() }
}

/// A store with a vault in it, and the key of that vault.
fn with_vault(path: &Path) -> (Store, KeyRow) {
    let store = Store::open(path).unwrap();
    let key = KeyRow { id: "k".into(), purpose: "root".into(), created: 1, wrapped: vec![1, 2] };
    store.create_vault(&VaultRow { id: "v".into(), created: 1, storage: "plain".into() }).unwrap();
    assert!(store.first_key("v", &key, "plain").unwrap());
    (store, key)
}

#[test]
fn a_new_database_is_its_owners_alone_and_opens_again() {
    let (_dir, path) = folder();
    let store = Store::open(&path).unwrap();
    assert_eq!((mode(path.parent().unwrap()), mode(&path)), (0o700, 0o600));
    assert_eq!(store.vault().unwrap(), None);
    sql(&path, "INSERT INTO vaults VALUES ('v', 1, 'plain')");
    for end in ["-wal", "-shm"] {
        assert_eq!(mode(&with_end(&path, end)), 0o600, "{end}");
    }
    let value = |pragma: &str| -> String {
        store
            .connection
            .pragma_query_value(None, pragma, |row| row.get::<_, rusqlite::types::Value>(0))
            .map(|value| format!("{value:?}"))
            .unwrap()
    };
    assert_eq!(value("journal_mode"), "Text(\"wal\")");
    for (pragma, expected) in [
        ("synchronous", 2),
        ("foreign_keys", 1),
        ("secure_delete", 1),
        ("trusted_schema", 0),
        ("temp_store", 2),
        ("busy_timeout", 15_000),
        ("application_id", i64::from(APPLICATION)),
    ] {
        assert_eq!(value(pragma), format!("Integer({expected})"), "{pragma}");
    }
    drop(store);
    assert!(!with_end(&path, "-wal").exists(), "the log goes with the last reader");
    assert_eq!(Store::open(&path).unwrap().vault().unwrap().unwrap().id, "v");
    assert!(Store::open(&path).unwrap().check_whole().is_ok());
}

#[test]
fn a_copy_that_was_put_in_its_place_by_hand_works() {
    let (dir, path) = folder();
    let (store, _) = with_vault(&path);
    let copy = dir.path().join("copy");
    store.copy_to(&copy).unwrap();
    drop(store);
    std::fs::rename(&copy, &path).unwrap();
    let store = Store::open(&path).unwrap();
    assert_eq!(store.vault().unwrap().unwrap().id, "v");
    assert!(store.has_log().unwrap());
}

#[test]
fn what_is_in_the_files_place_is_told_and_left_alone() {
    let (dir, path) = folder();
    std::fs::create_dir(path.parent().unwrap()).unwrap();
    std::fs::write(&path, "dear diary\n".repeat(500)).unwrap();
    chmod(&path, 0o600);
    assert!(matches!(Store::open(&path), Err(RowError::Damaged { .. })));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "dear diary\n".repeat(500));

    std::fs::remove_file(&path).unwrap();
    sql(&path, "CREATE TABLE other (x); PRAGMA user_version = 1");
    chmod(&path, 0o600);
    let strange = Store::open(&path).unwrap_err();
    assert!(matches!(&strange, RowError::Strange { .. }), "{strange:?}");
    assert_eq!(strange.mend().unwrap(), format!("move {} away, or point LANYARD_DATA_DIR elsewhere", path.display()));

    std::fs::remove_file(&path).unwrap();
    with_vault(&path);
    sql(&path, "PRAGMA user_version = 99");
    let before = std::fs::read(&path).unwrap();
    let newer = Store::open(&path).unwrap_err();
    assert!(matches!(&newer, RowError::Newer { .. }), "{newer:?}");
    assert_eq!(std::fs::read(&path).unwrap(), before);

    let newest = MIGRATIONS.len();
    sql(&path, &format!("PRAGMA user_version = {newest}; DROP TABLE secrets; DROP TABLE data_keys"));
    let refused = Store::open(&path).unwrap().secrets("id").unwrap_err();
    assert!(matches!(&refused, RowError::Refused { .. }), "{refused:?}");
    drop(dir);
}

#[test]
fn links_loose_modes_and_other_kinds_of_files_are_refused() {
    let (dir, path) = folder();
    with_vault(&path);
    let refused = |what: &str, mend: &str| {
        let failure = Store::open(&path).unwrap_err();
        assert!(matches!(&failure, RowError::File(files::FileError::Unsafe { .. })), "{what}: {failure:?}");
        let said = failure.mend().unwrap();
        assert!(said.contains(mend), "{what}: {said}");
    };
    for loose in [0o644, 0o660, 0o602] {
        chmod(&path, loose);
        refused("a loose mode", "chmod 600");
    }
    chmod(&path, 0o600);
    let data = path.parent().unwrap();
    chmod(data, 0o777);
    refused("a folder for all", "chmod 700");
    std::fs::rename(&path, dir.path().join("away")).unwrap();
    refused("a folder for all, before a file is made", "chmod 700");
    assert!(!path.exists());
    chmod(data, 0o700);
    std::os::unix::fs::symlink(dir.path().join("away"), &path).unwrap();
    refused("a link", "replace");
    std::fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink(dir.path().join("nothing"), &path).unwrap();
    refused("a link to nothing", "replace");
    assert!(!dir.path().join("nothing").exists());
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    refused("a folder", "move");
    std::fs::remove_dir(&path).unwrap();
    std::fs::rename(dir.path().join("away"), &path).unwrap();
    for end in BESIDE {
        let beside = with_end(&path, end);
        std::os::unix::fs::symlink("/etc/passwd", &beside).unwrap();
        refused(end, "replace");
        std::fs::remove_file(&beside).unwrap();
    }
    std::fs::hard_link(&path, dir.path().join("second")).unwrap();
    refused("a second name", "find");
    std::fs::remove_file(dir.path().join("second")).unwrap();
    // A home behind a link is nobody's trick.
    let link = dir.path().join("link");
    std::os::unix::fs::symlink(data, &link).unwrap();
    assert!(Store::open(&link.join("vault.db")).is_ok());
    // Nor are names with a meaning in a URI or a pattern.
    let odd = dir.path().join("a?b#c%41 é:file").join("vault.db");
    with_vault(&odd);
    assert!(odd.exists() && Store::open(&odd).unwrap().vault().unwrap().is_some());
}

#[test]
fn a_long_list_comes_in_pages() {
    let (_dir, path) = folder();
    let (store, key) = with_vault(&path);
    let opened = Opened { vault: "v", key: &key };
    let names = [("", "b"), ("", "a"), ("p", "a"), ("", "B"), ("a", "z"), ("p", "b")];
    for (project, name) in names {
        assert_eq!(store.insert(opened, &row(project, name), &[], &sealed(&[1], &[])).unwrap(), Written::Done);
    }
    let each = |vault: &str| {
        let mut all = Vec::new();
        let see = |row: &CredentialRow| {
            all.push(row.clone());
            ControlFlow::Continue(())
        };
        store.each_credential(vault, see).unwrap();
        all
    };
    let all = each("v");
    let order: Vec<_> = all.iter().map(|row| (row.project.as_str(), row.name.as_str())).collect();
    assert_eq!(order, [("", "B"), ("", "a"), ("", "b"), ("a", "z"), ("p", "a"), ("p", "b")]);
    for limit in 1..=7 {
        let mut seen = Vec::new();
        let mut page = Page { after: None, limit };
        loop {
            let rows = store.credentials("v", &page).unwrap();
            assert!(rows.len() <= usize::try_from(limit).unwrap());
            let Some(last) = rows.last() else { break };
            page.after = Some((last.project.clone(), last.name.clone()));
            seen.extend(rows);
        }
        assert_eq!(seen, all, "in pages of {limit}");
    }
    assert_eq!(store.count("v").unwrap(), 6);
    assert!(each("other").is_empty());
    let mut seen = 0;
    let three = |_: &CredentialRow| {
        seen += 1;
        if seen == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    store.each_credential("v", three).unwrap();
    assert_eq!(seen, 3, "whoever has seen enough sees no more");
}

#[test]
fn hosts_are_found_by_index_and_a_database_of_the_first_form_gets_them() {
    let (_dir, path) = folder();
    std::fs::create_dir(path.parent().unwrap()).unwrap();
    sql(&path, MIGRATIONS[0]);
    sql(&path, &format!("PRAGMA application_id = {APPLICATION}; PRAGMA user_version = 1"));
    chmod(path.parent().unwrap(), 0o700);
    chmod(&path, 0o600);
    let (store, key) = with_vault(&path);
    let opened = Opened { vault: "v", key: &key };
    let hosts = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let (one, two) = (row("", "one"), row("p", "two"));
    for (row, names) in [(&one, &["a.example", "a.example", "b.example:8443"][..]), (&two, &["a.example"])] {
        assert_eq!(store.insert(opened, row, &hosts(names), &sealed(&[1], &[])).unwrap(), Written::Done);
    }
    let found = |host: &str| {
        let ByHost { noted, unnamed } = store.by_host("v", host).unwrap();
        let mut names: Vec<String> = noted.into_iter().map(|row| row.name).collect();
        names.extend(unnamed.into_iter().map(|row| format!("?{}", row.name)));
        names.sort();
        names
    };
    assert_eq!(found("a.example"), ["one", "two"]);
    assert_eq!(found("b.example:8443"), ["one"]);
    assert!(found("b.example").is_empty() && store.by_host("other", "a.example").unwrap().noted.is_empty());

    // Named by an older program, by a newer one, by none: each is handed out until it is named again, as it stands.
    sql(
        &path,
        "UPDATE credentials SET hosts_by = '0' WHERE name = 'one'; UPDATE credentials SET hosts_by = 'z' WHERE name = 'two'",
    );
    assert_eq!(found("a.example"), ["?one", "?two"]);
    let changed = CredentialRow { fields: "{\"x\":\"y\"}".into(), ..two.clone() };
    store.note_hosts([(&one, hosts(&["c.example"])), (&changed, hosts(&["d.example"]))].into_iter()).unwrap();
    assert_eq!((found("a.example"), found("c.example")), (hosts(&["?two"]), hosts(&["?two", "one"])));
    store.note_hosts([(&two, hosts(&["d.example"]))].into_iter()).unwrap();
    assert_eq!((found("d.example"), found("c.example")), (hosts(&["two"]), hosts(&["one"])));
    store.delete(&one.id).unwrap();
    assert!(found("c.example").is_empty());
    let left: u32 = store.connection.query_row("SELECT COUNT(*) FROM hosts", [], |row| row.get(0)).unwrap();
    assert_eq!(left, 1, "its hosts go with a credential");

    let mut plan = store.connection.prepare(&format!("EXPLAIN QUERY PLAN {}", hosts::BY_HOST)).unwrap();
    let steps = plan.query_map(["v", "a.example", "1"], |row| row.get::<_, String>(3)).unwrap();
    let steps: Vec<String> = steps.map(Result::unwrap).collect();
    assert!(
        steps.len() >= 4 && !steps.iter().any(|step| step.starts_with("SCAN")),
        "no row is read in vain: {steps:?}"
    );
}

#[test]
fn a_database_of_the_third_form_keeps_its_rows_and_gets_scopes() {
    let (_dir, path) = folder();
    std::fs::create_dir(path.parent().unwrap()).unwrap();
    sql(&path, &MIGRATIONS[..3].concat());
    sql(
        &path,
        &format!(
            "PRAGMA application_id = {APPLICATION}; PRAGMA user_version = 3; \
             INSERT INTO vaults VALUES ('v', 1, 'plain'); \
             INSERT INTO credentials (id, vault, project, name, kind, fields, secret_names, tags, note, created, updated, \
             verified, checked, version) VALUES ('one', 'v', '', 'a', 'git', '{{}}', '[]', '[]', '', 1, 2, 3, 'valid', 1)"
        ),
    );
    chmod(path.parent().unwrap(), 0o700);
    chmod(&path, 0o600);
    let store = Store::open(&path).unwrap();
    assert_eq!(store.credential("v", "", "a").unwrap().unwrap().verified, Some(3));
    assert_eq!(store.scopes("one").unwrap().as_deref(), Some("[]"));
    store.note_check("one", 2, Checked { word: "valid", at: 4, expires: None, scopes: "[\"repo\"]" }).unwrap();
    assert_eq!(store.scopes("one").unwrap().as_deref(), Some("[\"repo\"]"));
    store.note_check("one", 1, Checked { word: "valid", at: 5, expires: None, scopes: "[]" }).unwrap();
    assert_eq!(store.scopes("one").unwrap().as_deref(), Some("[\"repo\"]"), "of other values");
    assert_eq!(store.scopes("two").unwrap(), None);
}

#[test]
fn a_write_counts_only_under_the_key_that_stands() {
    let (_dir, path) = folder();
    let (store, key) = with_vault(&path);
    let opened = Opened { vault: "v", key: &key };
    let secret = SecretRow { field: "A".into(), version: 1, sealed: vec![9] };
    let one = row("", "one");
    assert_eq!(store.insert(opened, &one, &[], &sealed(&[1], std::slice::from_ref(&secret))).unwrap(), Written::Done);
    assert!(matches!(
        store.insert(opened, &CredentialRow { id: "x".into(), ..one.clone() }, &[], &sealed(&[1], &[])),
        Err(RowError::Taken)
    ));
    assert_eq!(store.secrets(&one.id).unwrap().unwrap(), sealed(&[1], &[secret]));

    // Another key, and another generation of a key of the same name.
    let next = KeyRow { id: "k2".into(), wrapped: vec![3], ..key.clone() };
    assert_eq!(store.rekey(opened, &next, "file", |_, _, _| Some(vec![7])).unwrap(), Rekeyed::Done);
    let again = KeyRow { wrapped: vec![4], ..key.clone() };
    let now = Opened { vault: "v", key: &next };
    assert_eq!(store.rekey(now, &again, "file", |_, _, wrapped| Some(wrapped.to_vec())).unwrap(), Rekeyed::Done);
    let changed = CredentialRow { version: 2, ..one.clone() };
    assert_eq!(store.insert(opened, &row("", "two"), &[], &sealed(&[1], &[])).unwrap(), Written::Rekeyed);
    assert_eq!(store.replace(opened, &changed, 1, (true, true), &[], &sealed(&[1], &[])).unwrap(), Written::Rekeyed);
    assert_eq!(store.renew(opened, &changed, 1, &sealed(&[1], &[])).unwrap(), Written::Rekeyed);
    assert_eq!(store.replace_recovery(opened, &key).unwrap(), Written::Rekeyed);
    assert_eq!(store.replace_root(opened, &key, "plain").unwrap(), Written::Rekeyed);
    assert_eq!(store.rekey(opened, &key, "plain", |_, _, _| Some(vec![8])).unwrap(), Rekeyed::BySomebodyElse);
    let held = store.secrets(&one.id).unwrap().unwrap();
    assert_eq!((held.wrapped, held.secrets.len(), store.count("v").unwrap()), (vec![7], 1, 1));
    assert_eq!(store.vault().unwrap().unwrap().storage, "file");

    let now = Opened { vault: "v", key: &again };
    let stopped = store.rekey(now, &key, "plain", |_, _, _| None).unwrap();
    assert_eq!(stopped, Rekeyed::DoesNotOpen("one".into()));
    assert_eq!(store.keys("v").unwrap(), [again]);
}

#[test]
fn what_the_database_says_is_sorted_by_what_mends_it() {
    use rusqlite::ffi;
    let told = |code: i32| {
        let failure = rusqlite::Error::SqliteFailure(ffi::Error::new(code), Some("said\u{1b}[2J".into()));
        error::told(Path::new("/data/vault.db"), &failure)
    };
    for (code, expected, exit, mend) in [
        (ffi::SQLITE_BUSY, "is being written by another process", Code::Failed, "wait for"),
        (ffi::SQLITE_BUSY_SNAPSHOT, "is being written by another process", Code::Failed, "wait for"),
        (ffi::SQLITE_LOCKED, "is being written by another process", Code::Failed, "wait for"),
        (ffi::SQLITE_FULL, "there is no room on the disk", Code::Failed, "free some disk space"),
        (ffi::SQLITE_IOERR_SHMSIZE, "there is no room on the disk", Code::Failed, "free some disk space"),
        (ffi::SQLITE_IOERR_FSYNC, "cannot be read or written", Code::Failed, "see that the disk has room"),
        (ffi::SQLITE_READONLY, "cannot be opened for writing", Code::Config, "write in /data"),
        (ffi::SQLITE_READONLY_DIRECTORY, "cannot be opened for writing", Code::Config, "write in /data"),
        (ffi::SQLITE_CANTOPEN, "cannot be opened for writing", Code::Config, "write in /data"),
        (ffi::SQLITE_CORRUPT, "is damaged", Code::Failed, "lanyard vault restore"),
        (ffi::SQLITE_NOTADB, "is damaged", Code::Failed, "lanyard vault restore"),
        (ffi::SQLITE_CONSTRAINT_UNIQUE, "the name is taken", Code::Usage, "another name"),
        (ffi::SQLITE_CONSTRAINT_FOREIGNKEY, "refused", Code::Failed, "look at"),
        (ffi::SQLITE_ERROR, "refused", Code::Failed, "look at"),
    ] {
        let failure = told(code);
        let said = crate::error::with_causes(&failure);
        assert!(said.contains(expected) && !said.contains('\u{1b}'), "{code}: {said}");
        assert_eq!(failure.code(), exit, "{code}");
        assert!(failure.mend().unwrap().contains(mend), "{code}: {:?}", failure.mend());
    }
    // A row of the wrong form is never quoted.
    let odd = rusqlite::Error::InvalidColumnType(0, "LNYCANARY".into(), rusqlite::types::Type::Text);
    let failure = error::told(Path::new("/data/vault.db"), &odd);
    assert!(matches!(failure, RowError::Damaged { .. }));
    assert!(!format!("{failure:?} {}", crate::error::with_causes(&failure)).contains("LNYCANARY"));
}
