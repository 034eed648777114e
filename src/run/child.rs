//! The command that the user wants run: found as a shell would find it, and started with the environment made for it.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::run::RunError;
use crate::run::variables::Changes;

/// How the names of lanyard's own variables begin. None of them is for a child: they open the vault.
const OWN: &[u8] = b"LANYARD_";
/// Where programs are looked for when `PATH` is not set.
const USUAL: &str = "/usr/local/bin:/usr/bin:/bin";

/// A program that can be run, with its arguments.
#[derive(Debug)]
pub struct Program {
    /// Where it is.
    pub path: PathBuf,
    /// How it was called.
    pub name: OsString,
    /// Its arguments.
    pub arguments: Vec<OsString>,
}

impl Program {
    /// Finds a program: where the name says, or in the folders of `path`.
    pub fn locate(words: &[OsString], path: Option<&str>) -> Result<Self, RunError> {
        let (name, arguments) =
            words.split_first().map(|(name, rest)| (name.clone(), rest.to_vec())).unwrap_or_default();
        let shown = || name.to_string_lossy().into_owned();
        let not_runnable = |cause: io::Error| RunError::NotRunnable { program: shown(), cause };
        if cfg!(windows) {
            return Ok(Self { path: PathBuf::from(&name), name, arguments });
        }
        if name.as_encoded_bytes().contains(&b'/') {
            let path = PathBuf::from(&name);
            return match problem(&path) {
                None => Ok(Self { path, name, arguments }),
                Some(cause) if cause.kind() == io::ErrorKind::NotFound => Err(RunError::NotFound { program: shown() }),
                Some(cause) => Err(not_runnable(cause)),
            };
        }
        let mut refused = None;
        if !name.is_empty() {
            for folder in std::env::split_paths(path.unwrap_or(USUAL)) {
                // An empty part of PATH is the current folder, as it is for every shell.
                let path = if folder.as_os_str().is_empty() { Path::new(".").join(&name) } else { folder.join(&name) };
                match problem(&path) {
                    None => return Ok(Self { path, name, arguments }),
                    Some(cause) if path.is_file() => refused = refused.or(Some(cause)),
                    Some(_) => {}
                }
            }
        }
        Err(refused.map_or_else(|| RunError::NotFound { program: shown() }, not_runnable))
    }

    /// The command, with the environment of this process.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        #[cfg(unix)]
        std::os::unix::process::CommandExt::arg0(&mut command, &self.name);
        command.args(&self.arguments);
        command
    }

    /// Makes this process that program. Returns only where that cannot be done.
    #[cfg(unix)]
    pub fn become_it(&self, command: &mut Command) -> RunError {
        self.refused(std::os::unix::process::CommandExt::exec(command))
    }

    /// Why it was not started.
    pub fn refused(&self, cause: io::Error) -> RunError {
        let program = self.name.to_string_lossy().into_owned();
        match cause.kind() {
            io::ErrorKind::NotFound if !self.path.exists() => RunError::NotFound { program },
            _ => RunError::NotRunnable { program, cause },
        }
    }
}

/// The command that starts a program beside this process.
#[cfg(unix)]
pub fn start(program: &Program) -> Result<Command, RunError> {
    super::inner::start(program).map_err(|cause| RunError::System { action: "find lanyard itself", cause })
}

/// The command that starts a program beside this process.
#[cfg(not(unix))]
pub fn start(program: &Program) -> Result<Command, RunError> {
    Ok(program.command())
}

/// Gives this process to a program. Returns only where that cannot be done.
#[cfg(unix)]
pub fn leave_to(program: &Program, changes: &Changes) -> RunError {
    let mut command = program.command();
    surround(&mut command, changes, &[]);
    super::watch::unblock();
    program.become_it(&mut command)
}

/// Starts a program and ends as it ends. Returns only where that cannot be done.
#[cfg(not(unix))]
pub fn leave_to(program: &Program, changes: &Changes) -> RunError {
    let mut command = program.command();
    surround(&mut command, changes, &[]);
    match command.status() {
        Ok(status) => super::watch::end(super::watch::Ending::Code(status.code().unwrap_or(1))),
        Err(cause) => program.refused(cause),
    }
}

/// Why a file is no program; `None` where it is one.
#[cfg(unix)]
fn problem(path: &Path) -> Option<io::Error> {
    match std::fs::metadata(path) {
        Err(cause) => Some(cause),
        Ok(found) if found.is_dir() => Some(io::ErrorKind::IsADirectory.into()),
        Ok(_) => rustix::fs::access(path, rustix::fs::Access::EXEC_OK).err().map(io::Error::from),
    }
}

#[cfg(not(unix))]
fn problem(_: &Path) -> Option<io::Error> {
    None
}

/// Gives a command its environment: this process's own, without what is lanyard's, with the changes, and with the paths
/// of files under the names of their variables.
pub fn surround(command: &mut Command, changes: &Changes, files: &[(String, PathBuf)]) {
    for (name, _) in std::env::vars_os() {
        if is_own(&name) {
            command.env_remove(name);
        }
    }
    for name in changes.removed() {
        command.env_remove(name);
    }
    for (name, value) in changes.values() {
        command.env(name, value.expose());
    }
    command.envs(files.iter().map(|(name, path)| (name, path)));
}

fn is_own(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    if cfg!(windows) { name.to_ascii_uppercase().starts_with(OWN) } else { name.starts_with(OWN) }
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::error::Failure;

    fn located(name: &str, path: &str) -> Result<PathBuf, (u8, String)> {
        let program = Program::locate(&[name.into(), "argument".into()], Some(path));
        program.map(|program| program.path).map_err(|failure| (failure.code() as u8, failure.to_string()))
    }

    #[test]
    fn a_program_is_found_as_a_shell_finds_it() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (folder.path().join("one"), folder.path().join("two"));
        for (dir, name, mode) in
            [(&one, "both", 0o644), (&two, "both", 0o755), (&two, "data", 0o644), (&two, "run", 0o755)]
        {
            std::fs::create_dir_all(dir).unwrap();
            std::fs::write(dir.join(name), "#!/bin/sh\n").unwrap();
            std::fs::set_permissions(dir.join(name), PermissionsExt::from_mode(mode)).unwrap();
        }
        std::fs::create_dir(one.join("run")).unwrap();
        let path = format!("{}:/nowhere:{}", one.display(), two.display());
        assert_eq!(located("both", &path).unwrap(), two.join("both"), "one that cannot be run is passed over");
        assert_eq!(located("run", &path).unwrap(), two.join("run"), "a folder is passed over");
        let own = two.join("run");
        assert_eq!(located(own.to_str().unwrap(), "").unwrap(), own);
        assert_eq!(located("data", &path).unwrap_err(), (126, "data cannot be run".into()));
        for missing in ["nothing", "", "two/nothing", "/nowhere/x"] {
            assert_eq!(located(missing, &path).unwrap_err().0, 127, "{missing}");
        }
        let data = two.join("data");
        assert_eq!(located(data.to_str().unwrap(), "").unwrap_err().0, 126);
        assert_eq!(located(two.to_str().unwrap(), "").unwrap_err().0, 126);
    }
}
