//! The vault's files as others see them: modes, other users, links, folders that cannot be written, other programs.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use crate::canary::{Canary, Sweep};
use crate::stage::Stage;
use crate::users::{OWNER, STRANGER, are_possible};
use crate::vaulted::{self, data_dir, list, reveal, store_env};

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o777
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}

/// A stage of the owner's, whose commands run as the owner under this umask.
fn owned(umask: &str) -> Stage {
    let mut stage = vaulted::stage();
    chmod(stage.root(), 0o755);
    OWNER.own(stage.root());
    let script = format!("umask {umask}; exec \"$@\"");
    let wrapper = OWNER.wrapper();
    let words: Vec<&str> = wrapper.iter().map(String::as_str).chain(["sh", "-c", &script, "sh"]).collect();
    stage.wrap(&words);
    stage
}

fn vault_files(stage: &Stage) -> Vec<PathBuf> {
    stage.files().into_keys().filter(|path| path.starts_with(data_dir(stage))).collect()
}

#[test]
fn every_file_is_its_owners_alone_from_its_first_moment() {
    if !are_possible() {
        return;
    }
    for umask in ["000", "022", "077"] {
        let stage = owned(umask);
        store_env(&stage, "db", "A", "LNYCANARYvalue0123456789");
        stage.run(&["vault", "backup", "backup.db"]).ends(0);
        stage.run(&["vault", "restore", "backup.db", "--replace"]).ends(0);
        assert_eq!(mode(&data_dir(&stage)), 0o700, "umask {umask}");
        let mut files = vault_files(&stage);
        files.push(stage.home().join("backup.db"));
        assert!(files.len() >= 4, "{files:?}");
        for file in files {
            assert_eq!(mode(&file), 0o600, "umask {umask}: {}", file.display());
            let look = STRANGER.sh(&format!("cat '{}'", file.display()));
            assert!(!look.status.success() && look.stdout.is_empty());
        }
    }
    // Modes are given when a file is made, the log and its index among them.
    let mut stage = owned("000");
    let log = stage.root().join("calls");
    let log_name = log.display().to_string();
    let wrapper = OWNER.wrapper();
    let mut words = vec!["strace", "-f", "-qq", "-o", &log_name, "-e", "trace=openat,open,creat,chmod,fchmod,fchmodat"];
    words.extend(wrapper.iter().map(String::as_str).chain(["sh", "-c", "umask 000; exec \"$@\"", "sh"]));
    stage.wrap(&words);
    store_env(&stage, "db", "A", "x");
    let calls = fs::read_to_string(&log).unwrap();
    let folder = data_dir(&stage).display().to_string();
    let made: Vec<&str> = calls.lines().filter(|call| call.contains(&folder) && call.contains("O_CREAT")).collect();
    for name in ["vault.db\"", "vault.db-wal\"", "vault.db-shm\"", "vault.lock\""] {
        assert!(made.iter().any(|call| call.contains(name)), "{name}: {made:#?}");
    }
    assert!(made.iter().all(|call| call.contains(", 0600)")), "{made:#?}");
    assert!(!calls.lines().any(|call| call.contains("chmod") && call.contains(&folder)), "{calls}");
}

#[test]
fn another_user_gets_nothing_and_root_leaves_nothing() {
    if !are_possible() {
        return;
    }
    let mut stage = owned("022");
    store_env(&stage, "db", "A", "x");
    chmod(&data_dir(&stage), 0o755);
    let wrapper = STRANGER.wrapper();
    stage.wrap(&wrapper.iter().map(String::as_str).collect::<Vec<_>>());
    let (config, data) = (stage.root().join("strangers"), data_dir(&stage));
    stage.set("LANYARD_CONFIG_DIR", config).set("LANYARD_DATA_DIR", data);
    let refused = stage.run(&["credentials", "list"]).ends(3);
    assert!(refused.stderr().contains("cannot read") && refused.stdout.is_empty(), "{refused}");
    chmod(&data_dir(&stage), 0o700);
    let refused = stage.run(&["credentials", "list"]).ends(3);
    assert!(refused.stderr().contains("cannot read"), "a folder that cannot be entered is no empty vault: {refused}");

    let mut stage = owned("022");
    store_env(&stage, "db", "A", "x");
    stage.wrap(&[]);
    for command in [&["credentials", "list"][..], &["credentials", "delete", "db", "--yes"], &["vault", "rekey"]] {
        let refused = stage.run(command).ends(3);
        assert!(refused.stderr().contains("sudo"), "{refused}");
    }
    let found = std::process::Command::new("find").arg(stage.home()).args(["-user", "root"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&found.stdout), "");
}

#[test]
fn a_folder_that_cannot_be_written_is_told_with_the_mend() {
    if !are_possible() {
        return;
    }
    let stage = owned("022");
    store_env(&stage, "db", "A", "x");
    chmod(&data_dir(&stage), 0o500);
    for command in [
        &["credentials", "store", "env", "A=@/etc/hostname", "--name", "new"][..],
        &["credentials", "delete", "db", "--yes"],
        &["vault", "rekey"],
        &["credentials", "list"],
    ] {
        let refused = stage.run(command).ends(3);
        let said = refused.stderr();
        assert!(said.contains("vault") && said.contains("next: "), "{command:?}: {refused}");
    }
    chmod(&data_dir(&stage), 0o700);
    assert_eq!(reveal(&stage, "db", "A"), "x");
    let fresh = owned("022");
    fs::create_dir_all(fresh.home().join(".local")).unwrap();
    chmod(&fresh.home().join(".local"), 0o555);
    let refused = fresh.run(&["credentials", "store", "env", "A=@/etc/hostname"]).ends(3);
    assert!(refused.stderr().contains("cannot create"), "{refused}");
}

#[test]
fn a_link_in_the_files_place_is_refused() {
    let stage = vaulted::stage();
    let canary = Canary::new();
    store_env(&stage, "db", "A", canary.text());
    let file = data_dir(&stage).join("vault.db");
    let away = stage.root().join("away.db");
    fs::rename(&file, &away).unwrap();
    symlink(&away, &file).unwrap();
    let bytes = fs::read(&away).unwrap();
    for command in [
        &["credentials", "list"][..],
        &["credentials", "show", "db", "--reveal", "A", "--yes"],
        &["credentials", "delete", "db", "--yes"],
        &["vault", "status"],
        &["vault", "rekey"],
    ] {
        let refused = stage.run(command).ends(3);
        assert!(refused.stderr().contains("is a symbolic link"), "{command:?}: {refused}");
    }
    assert_eq!(fs::read(&away).unwrap(), bytes);
    fs::remove_file(&file).unwrap();
    fs::rename(&away, &file).unwrap();
    for end in ["-wal", "-shm"] {
        let beside = data_dir(&stage).join(format!("vault.db{end}"));
        symlink(stage.root().join("elsewhere"), &beside).unwrap();
        let refused = stage.run(&["credentials", "list"]).ends(3);
        assert!(refused.stderr().contains("is a symbolic link"), "{refused}");
        assert!(!stage.root().join("elsewhere").exists());
        fs::remove_file(&beside).unwrap();
    }
    assert_eq!(reveal(&stage, "db", "A"), canary.text());
}

#[test]
fn a_file_of_another_form_is_told_and_left_alone() {
    let stage = vaulted::stage();
    store_env(&stage, "db", "A", "x");
    let file = data_dir(&stage).join("vault.db");
    let whole = fs::read(&file).unwrap();
    let change = |sql: &str| rusqlite::Connection::open(&file).unwrap().execute_batch(sql).unwrap();
    let put = |bytes: &[u8]| {
        fs::write(&file, bytes).unwrap();
        for end in ["-wal", "-shm"] {
            let _ = fs::remove_file(data_dir(&stage).join(format!("vault.db{end}")));
        }
    };
    let text = "dear diary\n".repeat(1000);
    let kinds: [(&str, &dyn Fn(), &str); 4] = [
        ("a newer lanyard's", &|| change("PRAGMA user_version = 99"), "was written by a newer lanyard"),
        ("another program's", &|| change("PRAGMA application_id = 7"), "is no vault: another program made it"),
        ("a text", &|| put(text.as_bytes()), "is damaged"),
        ("a half", &|| put(&whole[..whole.len() / 2]), "is damaged"),
    ];
    for (kind, make, told) in kinds {
        make();
        let bytes = fs::read(&file).unwrap();
        for command in [
            &["credentials", "list"][..],
            &["credentials", "store", "env", "A=@/etc/hostname", "--name", "new"],
            &["vault", "rekey"],
            &["vault", "status", "--check"],
        ] {
            let refused = stage.run(command).ends(1);
            assert!(refused.stderr().contains(told) && refused.stderr().contains("next: "), "{kind}: {refused}");
        }
        assert_eq!(fs::read(&file).unwrap(), bytes, "{kind}");
        put(&whole);
        assert_eq!(list(&stage).len(), 1);
    }
    // One damaged page at a time: never a crash, and a secret or nothing, never a wrong one.
    for page in 1..whole.len() / 4096 {
        let mut damaged = whole.clone();
        damaged[page * 4096..(page + 1) * 4096].fill(0xa5);
        put(&damaged);
        let shown = stage.run(&["credentials", "show", "db", "--reveal", "A", "--yes"]);
        match shown.code {
            Some(0) => assert_eq!(shown.stdout(), "x\n", "page {page}"),
            Some(1 | 2 | 7 | 8) => assert!(shown.stdout.is_empty(), "page {page}: {shown}"),
            _ => panic!("page {page}: {shown}"),
        }
        stage.run(&["vault", "status", "--check"]).ends(1);
    }
}

#[test]
fn nothing_readable_is_left_by_a_life_of_changes() {
    let stage = vaulted::stage();
    let canaries: Vec<Canary> = std::iter::repeat_with(Canary::new).take(4).collect();
    store_env(&stage, "db", "A", canaries[0].text());
    stage.run_with(&["credentials", "update", "db", "--field", "A=-"], canaries[1].text().as_bytes()).ends(0);
    store_env(&stage, "gone", "A", canaries[2].text());
    stage.run(&["credentials", "delete", "gone", "--yes"]).ends(0);
    stage.run(&["vault", "rekey"]).ends(0);
    stage.run_with(&["credentials", "update", "db", "--field", "A=-"], canaries[3].text().as_bytes()).ends(0);
    let mut sweep = Sweep::for_canaries(&canaries);
    stage.sweep(&mut sweep);
    sweep.assert_clean();
    let names: Vec<PathBuf> = vault_files(&stage);
    assert_eq!(names.len(), 2, "{names:?}");
}
