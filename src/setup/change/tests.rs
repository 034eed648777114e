use std::path::PathBuf;

use super::*;
use crate::credential::Address;
use crate::error::Failure;
use crate::setup::{Site, by_name};

/// A home in which tools are set up.
struct Home {
    dir: tempfile::TempDir,
}

impl Home {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn env(&self) -> Env {
        let bin = self.path("bin");
        Env::invented(
            &self.path("lanyard"),
            self.dir.path(),
            &[("PATH", bin.to_str().unwrap()), ("UV_CONFIG_FILE", "config/uv.toml")],
        )
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        std::fs::write(self.path(name), text).unwrap();
    }

    /// Sets a tool up for these hosts.
    fn set_up(&self, tool: &str, hosts: &[&str]) -> Result<Vec<(PathBuf, Done)>, SetupError> {
        let env = self.env();
        let hosts: Vec<Address> = hosts.iter().map(|host| Address::named(host).unwrap()).collect();
        let site = Site {
            env: &env,
            program: &self.path("opt/lanyard"),
            credentials: &[],
            exported: &|_, _| Ok(None),
            hosts: &hosts,
            credential: None,
        };
        let tool = by_name(tool).unwrap();
        apply(&env, tool, &tool.plan(&site)?)
    }

    fn saved(&self, tool: &str) -> Vec<Saved> {
        saved(&self.env(), by_name(tool).unwrap()).unwrap()
    }

    /// Undoes it, and says what became of the last file that was changed.
    fn undo(&self, tool: &str) -> Result<Done, SetupError> {
        let done = undo(&self.env(), by_name(tool).unwrap())?;
        Ok(done.first().map_or(Done::Already, |(_, done)| *done))
    }
}

#[test]
fn what_was_changed_between_two_set_ups_survives_the_undoing() {
    let home = Home::new();
    home.write(".gitconfig", "[user]\n\tname = A\n");
    home.set_up("git", &["one.example"]).unwrap();
    let edited = home.text(".gitconfig").replace("name = A", "name = B") + "[alias]\n\tst = status\n";
    home.write(".gitconfig", &edited);
    home.set_up("git", &["two.example"]).unwrap();
    assert!(home.text(".gitconfig").contains("two.example"));
    assert_eq!(home.undo("git").unwrap(), Done::TakenOut);
    assert_eq!(home.text(".gitconfig"), "[user]\n\tname = B\n[alias]\n\tst = status\n");
}

#[test]
fn a_file_of_ours_that_others_wrote_to_is_not_removed() {
    let home = Home::new();
    home.set_up("git", &["one.example"]).unwrap();
    home.write(".gitconfig", &(home.text(".gitconfig") + "[alias]\n\tst = status\n"));
    home.set_up("git", &["two.example"]).unwrap();
    assert_eq!(home.undo("git").unwrap(), Done::TakenOut);
    assert_eq!(home.text(".gitconfig"), "[alias]\n\tst = status\n");
}

#[test]
fn what_nobody_changed_between_two_set_ups_comes_back_as_it_was() {
    let home = Home::new();
    home.write(".gitconfig", "[user]\n\tname = A");
    home.set_up("git", &["one.example"]).unwrap();
    home.set_up("git", &["two.example"]).unwrap();
    assert_eq!(home.undo("git").unwrap(), Done::Restored);
    assert_eq!(home.text(".gitconfig"), "[user]\n\tname = A");
    assert!(!home.path("lanyard/setup/git.json").exists());
}

#[test]
fn what_lanyard_put_something_in_the_place_of_comes_back_to_an_edited_file() {
    let home = Home::new();
    home.write("config/uv.toml", "keyring-provider = \"disabled\"\n");
    home.set_up("uv", &[]).unwrap();
    home.write("config/uv.toml", &(home.text("config/uv.toml") + "offline = true\n"));
    assert_eq!(home.undo("uv").unwrap(), Done::TakenOut);
    assert_eq!(home.text("config/uv.toml"), "keyring-provider = \"disabled\"\noffline = true\n");
}

#[test]
fn a_copy_goes_only_when_the_file_holds_it_again() {
    let home = Home::new();
    home.write("config/uv.toml", "# one\n");
    home.set_up("uv", &[]).unwrap();
    let ours = home.text("config/uv.toml");
    home.write("config/uv.toml", "not toml [");
    let failed = home.undo("uv").unwrap_err();
    assert!(matches!(failed, SetupError::Unclear { .. }) && failed.mend().is_some(), "{failed}");
    let saved = home.saved("uv");
    assert_eq!(saved.iter().map(|saved| saved.goes_back).collect::<Vec<_>>(), [true]);
    home.write("config/uv.toml", &(ours.clone() + "# two\n"));
    assert_eq!(home.undo("uv").unwrap(), Done::TakenOut);
    let saved = home.saved("uv");
    assert_eq!(saved.iter().map(|saved| saved.goes_back).collect::<Vec<_>>(), [false]);
    assert_eq!(std::fs::read_to_string(&saved[0].copy).unwrap(), "# one\n");
    // The next one is under another name, and goes with its undoing.
    home.set_up("uv", &[]).unwrap();
    assert_eq!(home.undo("uv").unwrap(), Done::Restored);
    assert_eq!(std::fs::read_to_string(&saved[0].copy).unwrap(), "# one\n");
    std::fs::remove_file(&saved[0].copy).unwrap();
    assert_eq!((home.undo("uv").unwrap(), home.saved("uv").len()), (Done::Already, 0));
}

#[test]
fn a_lost_copy_removes_nothing() {
    let home = Home::new();
    home.write("config/uv.toml", "offline = true\n");
    home.set_up("uv", &[]).unwrap();
    std::fs::remove_file(&home.saved("uv")[0].copy).unwrap();
    assert_eq!(home.undo("uv").unwrap(), Done::TakenOut);
    assert_eq!(home.text("config/uv.toml"), "offline = true\n");
}

#[test]
fn a_block_without_its_end_is_told_and_not_called_none() {
    let home = Home::new();
    home.set_up("git", &["one.example"]).unwrap();
    let text = home.text(".gitconfig").replace("# lanyard: end\n", "[user]\n\tname = A\n");
    home.write(".gitconfig", &text);
    let failed = home.undo("git").unwrap_err();
    assert!(failed.to_string().contains("no line says `lanyard: end`"), "{failed}");
    assert_eq!(home.text(".gitconfig"), text);
}

#[test]
fn a_kubeconfig_that_kubectl_cannot_be_asked_about_stays_undone() {
    let home = Home::new();
    let tool = by_name("kubectl").unwrap();
    let config = home.path(".kube/config");
    let plan = Plan {
        edits: vec![Edit::File {
            path: config.clone(),
            before: None,
            after: "users: [{name: lanyard-dev}]\n".into(),
            own: String::new(),
        }],
        notes: Vec::new(),
    };
    apply(&home.env(), tool, &plan).unwrap();
    std::fs::write(&config, "users: [{name: lanyard-dev}, {name: mine}]\n").unwrap();
    let failed = home.undo("kubectl").unwrap_err();
    assert!(matches!(failed, SetupError::NoTool { tool: "kubectl" }), "{failed}");
    assert!(is_set_up(&home.env(), tool).unwrap());
}

#[cfg(unix)]
#[test]
fn a_link_of_somebody_else_neither_gives_way_nor_goes() {
    use std::os::unix::fs::symlink;
    let home = Home::new();
    home.write("opt/lanyard", "the program");
    home.write("opt/another", "another program");
    let link = home.path(".terraform.d/plugins/terraform-credentials-lanyard");
    std::fs::create_dir_all(link.parent().unwrap()).unwrap();
    symlink(home.path("opt/another"), &link).unwrap();
    let failed = home.set_up("terraform", &[]).unwrap_err();
    assert!(matches!(failed, SetupError::InTheWay { .. }), "{failed}");
    assert_eq!(std::fs::read_link(&link).unwrap(), home.path("opt/another"));
    assert!(!home.path(".terraformrc").exists());

    std::fs::remove_file(&link).unwrap();
    home.set_up("terraform", &[]).unwrap();
    assert_eq!(std::fs::read_link(&link).unwrap(), home.path("opt/lanyard"));
    std::fs::remove_file(&link).unwrap();
    symlink(home.path("opt/another"), &link).unwrap();
    home.undo("terraform").unwrap();
    assert_eq!(std::fs::read_link(&link).unwrap(), home.path("opt/another"));
}

#[cfg(unix)]
#[test]
fn a_link_that_its_user_made_is_used_and_stays() {
    let home = Home::new();
    home.write("opt/lanyard", "the program");
    let link = home.path(".terraform.d/plugins/terraform-credentials-lanyard");
    std::fs::create_dir_all(link.parent().unwrap()).unwrap();
    std::os::unix::fs::symlink("../../opt/lanyard", &link).unwrap();
    home.set_up("terraform", &[]).unwrap();
    home.undo("terraform").unwrap();
    assert_eq!(std::fs::read_link(&link).unwrap(), PathBuf::from("../../opt/lanyard"));
}

#[cfg(unix)]
#[test]
fn a_link_of_ours_follows_the_program() {
    let home = Home::new();
    home.write("opt/lanyard", "the program");
    home.set_up("terraform", &[]).unwrap();
    std::fs::rename(home.path("opt"), home.path("new")).unwrap();
    let plan = Plan {
        edits: vec![Edit::Link {
            path: home.path(".terraform.d/plugins/terraform-credentials-lanyard"),
            to: home.path("new/lanyard"),
        }],
        notes: Vec::new(),
    };
    let terraform = by_name("terraform").unwrap();
    apply(&home.env(), terraform, &plan).unwrap();
    assert_eq!(std::fs::read_link(plan.edits[0].path()).unwrap(), home.path("new/lanyard"));
    home.undo("terraform").unwrap();
    assert!(!plan.edits[0].path().is_symlink());
}

#[test]
fn a_copy_that_a_kill_left_is_swept_and_one_in_use_is_not() {
    let home = Home::new();
    home.set_up("uv", &[]).unwrap();
    let (old, new) = (home.path("lanyard/setup/kubeconfig-old"), home.path("lanyard/setup/kubeconfig-new"));
    for folder in [&old, &new] {
        std::fs::create_dir(folder).unwrap();
        std::fs::write(folder.join("config"), "token: x").unwrap();
    }
    let an_hour_ago = std::time::SystemTime::now() - Duration::from_hours(1);
    std::fs::File::open(&old).unwrap().set_modified(an_hour_ago).unwrap();
    home.undo("uv").unwrap();
    assert!(!old.exists() && new.exists());
}
