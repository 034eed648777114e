//! Other users of the machine, loose modes, and strange things in a file's place. Run as an ordinary user: root may
//! read everything, and would prove nothing.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::idp::Idp;
use crate::scene::{self, begin, settled};
use crate::stage::Stage;
use crate::users::{OWNER, STRANGER, are_possible};
use crate::wire;

/// A stage of the owner's, whose commands run as the owner under this umask.
fn owned(idp: &Idp, umask: &str) -> Stage {
    let mut stage = scene::stage_for(idp);
    open_the_way_to(&stage);
    OWNER.own(stage.root());
    let script = format!("umask {umask}; exec \"$@\"");
    let wrapper = OWNER.wrapper();
    let words: Vec<&str> = wrapper.iter().map(String::as_str).chain(["sh", "-c", &script, "sh"]).collect();
    stage.wrap(&words);
    stage
}

/// The test's folder is root's; its owner must be able to pass.
fn open_the_way_to(stage: &Stage) {
    fs::set_permissions(stage.root(), PermissionsExt::from_mode(0o755)).unwrap();
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o777
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}

fn plain_file(stage: &Stage) -> PathBuf {
    stage.config_dir().join("sessions.plain.json")
}

#[test]
fn files_are_private_from_their_first_moment_whatever_the_umask() {
    if !are_possible() {
        return;
    }
    let idp = Idp::honest();
    for umask in ["000", "022", "077"] {
        let stage = owned(&idp, umask);
        fs::remove_dir_all(stage.config_dir()).unwrap();
        let issuer = idp.issuer().to_owned();
        let login = ["--issuer", &issuer, "--client-id", "cli", "--profile", "work", "--storage", "plain"];
        scene::attempt(&stage, &login).ends(0);
        stage.run(&["config", "set", "profiles.work.project", "p"]).ends(0);
        stage.run(&["auth", "refresh"]).ends(0);
        assert_eq!(mode(&stage.config_dir()), 0o700, "umask {umask}");
        let files: Vec<PathBuf> =
            settled(&stage).into_keys().filter(|path| path.starts_with(stage.config_dir())).collect();
        assert!(files.len() >= 2, "{files:?}");
        for file in files {
            assert_eq!(mode(&file), 0o600, "umask {umask}: {}", file.display());
            let look = STRANGER.sh(&format!("cat '{}'", file.display()));
            assert!(!look.status.success() && look.stdout.is_empty());
        }
    }
    // Modes are given when a file is made, not afterwards.
    let mut stage = owned(&idp, "000");
    let log = stage.root().join("calls");
    // Root watches: what hides its memory shows its owner no file names either.
    let wrapper = OWNER.wrapper();
    let log_name = log.display().to_string();
    let mut words = Vec::new();
    words.extend(["strace", "-f", "-qq", "-o", &log_name, "-e", "trace=openat,open,creat,mkdir,chmod,fchmod,fchmodat"]);
    words.extend(wrapper.iter().map(String::as_str));
    stage.wrap(&words);
    scene::sign_in(&stage);
    let calls = fs::read_to_string(&log).unwrap();
    let config = stage.config_dir().display().to_string();
    let made: Vec<&str> = calls.lines().filter(|call| call.contains(&config) && call.contains("O_CREAT")).collect();
    assert!(!made.is_empty() && made.iter().all(|call| call.contains(", 0600)")), "{made:#?}");
    assert!(!calls.lines().any(|call| call.contains("chmod") && call.contains(&config)), "{calls}");
    assert!(!calls.lines().any(|call| call.contains("O_CREAT") && call.contains("/var/tmp/")), "{calls}");
}

#[test]
fn nobody_else_reads_the_memory_of_a_running_command_and_there_is_no_core_file() {
    if !are_possible() {
        return;
    }
    let idp = Idp::honest();
    let stage = owned(&idp, "022");
    let mut running = begin(&stage, &[]);
    let url = running.url();
    let pid = running.pid();
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().rev().take(3).collect::<Vec<_>>(), ["bytes", "0", "0"], "{core}");
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    assert!(status.contains("Uid:\t61001"), "it runs as the owner: {status}");
    assert_eq!(fs::metadata(format!("/proc/{pid}/mem")).unwrap().uid(), 0);
    for file in ["mem", "environ", "maps"] {
        // Even for the owner's own programs.
        let look = OWNER.sh(&format!("head -c 10 /proc/{pid}/{file}"));
        assert!(!look.status.success() && look.stdout.is_empty(), "{file}");
    }
    let trace = OWNER.sh(&format!("timeout 2 strace -p {pid}"));
    assert!(String::from_utf8_lossy(&trace.stderr).contains("Operation not permitted"), "{trace:?}");
    wire::browse(&url);
    running.finish().ends(0);
}

#[test]
fn a_session_file_that_others_could_reach_is_refused_with_the_mend() {
    if !are_possible() {
        return;
    }
    let idp = Idp::honest();
    let stage = owned(&idp, "022");
    scene::sign_in(&stage);
    let file = plain_file(&stage);
    let refused = |what: &str, mend: &str| {
        let outcome = stage.run(&["auth", "token"]).ends(7);
        assert!(outcome.stdout.is_empty() && outcome.stderr().contains(mend), "{what}: {outcome}");
        stage.run(&["auth", "refresh"]).ends(7);
    };
    for loose in [0o644, 0o640, 0o620, 0o602] {
        chmod(&file, loose);
        refused(&format!("{loose:o}"), &format!("chmod 600 {}", file.display()));
    }
    chmod(&file, 0o600);
    chmod(&stage.config_dir(), 0o777);
    refused("a folder for all", &format!("chmod 700 {}", stage.config_dir().display()));
    chmod(&stage.config_dir(), 0o700);
    let second = stage.home().join("second-name");
    fs::hard_link(&file, &second).unwrap();
    refused("a second name", "find");
    fs::remove_file(second).unwrap();
    std::os::unix::fs::lchown(&file, Some(61_002), Some(61_002)).unwrap();
    stage.run(&["auth", "token"]).ends(7);
    std::os::unix::fs::lchown(&file, Some(61_001), Some(61_001)).unwrap();
    stage.run(&["auth", "token"]).ends(0);

    // The configuration holds no secret: a loose mode is reported and no more.
    chmod(&stage.config_dir().join("config.toml"), 0o644);
    let doctor = stage.run(&["doctor"]);
    assert!(format!("{doctor}").contains("chmod 600"), "{doctor}");
    stage.run(&["auth", "token"]).ends(0);
}

#[test]
fn strange_things_in_a_files_place_end_in_an_error_at_once() {
    let idp = Idp::honest();
    let stage = scene::stage_for(&idp);
    scene::sign_in(&stage);
    let away = stage.root().join("away");
    for (file, code) in [(plain_file(&stage), 7), (stage.config_dir().join("config.toml"), 3)] {
        fs::rename(&file, &away).unwrap();
        let fifo = || assert!(Command::new("mkfifo").arg(&file).status().unwrap().success());
        let folder = || fs::create_dir(&file).unwrap();
        let zero = || std::os::unix::fs::symlink("/dev/zero", &file).unwrap();
        let kinds: [(&str, &dyn Fn()); 3] = [("a pipe", &fifo), ("a folder", &folder), ("an endless device", &zero)];
        for (kind, make) in kinds {
            make();
            let started = Instant::now();
            for command in [&["auth", "token"][..], &["auth", "status", "--offline"], &["auth", "refresh"]] {
                let outcome = stage.run(command).ends(code);
                assert!(outcome.stderr().contains("next: "), "{kind}: {outcome}");
            }
            stage.run(&["doctor"]);
            assert!(started.elapsed() < Duration::from_secs(20), "{kind} took {:?}", started.elapsed());
            if kind == "a folder" { fs::remove_dir(&file).unwrap() } else { fs::remove_file(&file).unwrap() }
        }
        fs::rename(&away, &file).unwrap();
    }
    // A secret is never reached through a link.
    fs::rename(plain_file(&stage), &away).unwrap();
    std::os::unix::fs::symlink(&away, plain_file(&stage)).unwrap();
    let bytes = fs::read(&away).unwrap();
    stage.run(&["auth", "token"]).ends(7);
    stage.run(&["auth", "refresh"]).ends(7);
    scene::attempt(&stage, &[]).ends(7);
    assert_eq!(fs::read(&away).unwrap(), bytes);
    fs::remove_file(plain_file(&stage)).unwrap();
    fs::rename(&away, plain_file(&stage)).unwrap();

    // The configuration may be a link, as dotfile managers make it; then the target changes and the link stays.
    let config = stage.config_dir().join("config.toml");
    fs::rename(&config, &away).unwrap();
    std::os::unix::fs::symlink(&away, &config).unwrap();
    stage.run(&["config", "set", "profiles.work.project", "p"]).ends(0);
    assert!(config.is_symlink() && fs::read_to_string(&away).unwrap().contains("project = \"p\""));
    scene::sign_in(&stage);
    assert!(config.is_symlink());
}

#[test]
fn root_leaves_nothing_in_another_users_home() {
    if !are_possible() {
        return;
    }
    let idp = Idp::honest();
    let mut stage = owned(&idp, "022");
    stage.wrap(&[]);
    for fresh in [false, true] {
        if fresh {
            fs::remove_dir_all(stage.config_dir()).unwrap();
        }
        let issuer = idp.issuer().to_owned();
        for command in [
            &["auth", "login", "--no-browser", "--issuer", &issuer, "--client-id", "cli", "--storage", "plain"][..],
            &["auth", "login", "--issuer", &issuer, "--token", "x", "--no-verify", "--storage", "plain"],
            &["config", "set", "defaults.output", "json"],
        ] {
            let outcome = stage.run(command);
            assert!(!matches!(outcome.code, Some(0 | 101) | None), "{outcome}");
            assert!(outcome.stderr().contains("sudo"), "{outcome}");
        }
        let found = Command::new("find").arg(stage.home()).args(["-user", "root"]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&found.stdout), "");
    }
}

#[test]
fn output_that_nobody_takes_ends_quietly() {
    let idp = Idp::honest();
    let stage = scene::stage_for(&idp);
    scene::sign_in(&stage);
    let lanyard = stage.command(&[]);
    let lanyard = lanyard.get_program().to_string_lossy().into_owned();
    for command in [
        "auth token",
        "auth status",
        "auth status --json",
        "auth whoami",
        "auth token-info",
        "config list",
        "which",
        "doctor",
        "--help",
        "completions bash",
        "api GET /v1/me",
        "auth refresh",
    ] {
        for closed in [">&-", "2>&-", "<&-", ">&- 2>&- <&-", "> /dev/full", "2> /dev/full", "| true", "2>&1 | true"] {
            let script = format!("'{lanyard}' {command} {closed}; echo rc=$? >&9");
            let environment = stage.command(&[]);
            let output = Command::new("bash")
                .args(["-c", &format!("set -o pipefail; exec 9>'{}/rc'; {script}", stage.root().display())])
                .env_clear()
                .envs(environment.get_envs().filter_map(|(name, value)| Some((name, value?))))
                .current_dir(stage.home())
                .output()
                .unwrap();
            let rc = fs::read_to_string(stage.root().join("rc")).unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(!said.contains("panicked") && rc != "rc=101\n" && rc != "rc=134\n", "{script}: {rc}{said}");
            assert!(!said.contains("LNYCANARY"), "{script}: {said}");
            if closed == "> /dev/full" && !command.starts_with("auth refresh") {
                assert_ne!(rc, "rc=0\n", "{script}");
            }
        }
    }
}
