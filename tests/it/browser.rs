//! Opening the browser: one address, one argument, no shell, and nothing that the browser should not know.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;

use crate::idp::Idp;
use crate::scene::{self, eventually, settled};
use crate::stage::Stage;

/// A program that writes down how it was called: its arguments one to a line, then its environment.
fn recorder(stage: &Stage) -> (PathBuf, PathBuf) {
    let (program, log) = (stage.root().join("browser"), stage.root().join("called"));
    let script = format!(
        "#!/bin/sh\nd='{0}'\nfor a in \"$#\" \"$@\"; do printf '%s\\n' \"$a\"; done > $d.new\nenv > $d.env\nmv $d.new $d\n",
        log.display()
    );
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    (program, log)
}

fn call(log: &Path) -> Vec<String> {
    eventually("the browser is started", Duration::from_secs(10), || log.exists());
    let call = std::fs::read_to_string(log).unwrap().lines().map(str::to_owned).collect();
    std::fs::remove_file(log).unwrap();
    call
}

fn publish(idp: &Idp, endpoint: String) {
    idp.change(|behaviour| {
        behaviour.patch("/.well-known/openid-configuration", move |metadata| {
            metadata["authorization_endpoint"] = json!(endpoint);
        });
    });
}

#[test]
fn a_hostile_address_never_reaches_the_browser() {
    let idp = Idp::honest();
    let mut stage = scene::stage_for(&idp);
    let (program, log) = recorder(&stage);
    stage.set("BROWSER", program);
    let before = settled(&stage);
    for endpoint in [
        "file:///etc/passwd",
        "javascript:alert(1)",
        "data:text/html,x",
        "--version",
        "-x",
        "ssh://-oProxyCommand=touch/x",
        "vscode://file/x",
        "http://id.example/authorize",
        "https://id.example/a b --load-extension=/x",
        "https://id.example/\u{1b}]0;x\u{7}",
        "https://id.example/\r\nx",
        "https://user:password@id.example/",
        "https:\\\\id.example\\x",
        "",
    ] {
        publish(&idp, endpoint.into());
        let outcome = stage.run(&["auth", "login"]);
        assert!(!matches!(outcome.code, Some(0 | 101) | None), "{endpoint:?}: {outcome}");
        assert!(!outcome.stderr().contains('\u{1b}'), "{endpoint:?}: {outcome}");
        assert_eq!(settled(&stage), before, "{endpoint:?}");
    }
    assert!(!log.exists(), "the browser was started");
}

#[test]
fn an_address_is_one_argument_and_no_shell_reads_it() {
    let idp = Idp::honest();
    let mut stage = scene::stage_for(&idp);
    let (program, log) = recorder(&stage);
    let trap = stage.root().join("pwned");
    let shells = format!("$(touch${{IFS}}{0})`touch${{IFS}}{0}`;touch${{IFS}}{0}|&\"'<>%s%20*", trap.display());
    publish(&idp, format!("https://id.example/{shells}?a={shells}"));
    for (browser, before, after) in [
        (program.display().to_string(), vec![], vec![]),
        (format!("{} x %s y", program.display()), vec!["x"], vec!["y"]),
        (format!("{} --new=%s", program.display()), vec![], vec![]),
        (format!("/nowhere:{}", program.display()), vec![], vec![]),
    ] {
        stage.set("BROWSER", &browser);
        let mut running = stage.start(&["auth", "login", "--timeout", "60"]);
        let url = running.url();
        let called = call(&log);
        let address = if browser.contains("--new=") { format!("--new={url}") } else { url.clone() };
        let mut expected = vec![(before.len() + after.len() + 1).to_string()];
        expected.extend(before.into_iter().map(str::to_owned));
        expected.push(address);
        expected.extend(after.into_iter().map(str::to_owned));
        assert_eq!(called, expected, "{browser}");
        assert!(url.starts_with("https://id.example/") && !url.contains(['"', '<', '>', ' ']), "{url}");
        running.signal("INT");
        running.finish().ends(130);
    }
    std::thread::sleep(Duration::from_millis(100));
    assert!(!trap.exists(), "a shell read the address");
}

#[test]
fn a_program_in_the_current_folder_is_not_taken_for_the_browser() {
    let idp = Idp::honest();
    let mut stage = scene::stage_for(&idp);
    let (program, log) = recorder(&stage);
    let clone = stage.home().join("clone");
    std::fs::create_dir(&clone).unwrap();
    for name in ["xdg-open", "gio", "gnome-open", "kde-open", "wslview", "open", "firefox", "git", "secret-tool"] {
        std::fs::copy(&program, clone.join(name)).unwrap();
    }
    stage.enter("clone").set("DISPLAY", ":99");
    for path in [":/usr/bin:/bin", ".:/usr/bin:/bin", "./:/usr/bin:/bin", "/usr/bin::/bin"] {
        stage.set("PATH", path);
        let mut running = stage.start(&["auth", "login", "--timeout", "60"]);
        running.url();
        std::thread::sleep(Duration::from_millis(300));
        running.signal("INT");
        running.finish();
        assert!(!log.exists(), "PATH={path} started a program of the current folder");
    }
}

#[test]
fn a_program_in_the_current_folder_is_not_taken_for_the_editor() {
    let idp = Idp::honest();
    let mut stage = scene::stage_for(&idp);
    let (program, log) = recorder(&stage);
    let clone = stage.home().join("clone");
    std::fs::create_dir(&clone).unwrap();
    std::fs::copy(&program, clone.join("some-editor")).unwrap();
    stage.enter("clone").set("EDITOR", "some-editor");
    for path in [":/usr/bin:/bin", ".:/usr/bin:/bin", "/usr/bin::/bin"] {
        let refused = stage.set("PATH", path).run(&["config", "edit"]);
        assert!(refused.stderr().contains("some-editor is in no absolute folder of PATH"), "{refused}");
        assert!(refused.code != Some(0) && !log.exists(), "PATH={path} started a program of the current folder");
    }
}

#[test]
fn the_browser_learns_no_secret_of_lanyards() {
    let idp = Idp::honest();
    let mut stage = scene::stage_for(&idp);
    let (program, log) = recorder(&stage);
    stage.write_config(&scene::config(&idp, "file"));
    stage.set("BROWSER", program).set("LANYARD_PASSPHRASE", "LNYCANARYpassphrase0123456789");
    let mut running = stage.start(&["auth", "login", "--timeout", "60"]);
    let url = running.url();
    call(&log);
    let environment = std::fs::read_to_string(log.with_extension("env")).unwrap();
    assert!(environment.contains("HOME="), "{environment}");
    assert!(!environment.contains("LNYCANARY") && !environment.contains("LANYARD_PASSPHRASE"), "{environment}");
    crate::wire::browse(&url);
    running.finish().ends(0);
    stage.run(&["auth", "token"]).ends(0);
}
