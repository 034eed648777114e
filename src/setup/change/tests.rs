use std::path::PathBuf;

use super::*;
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
        Env::invented(&self.path("lanyard"), self.dir.path(), &[("PATH", bin.to_str().unwrap())])
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
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
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
