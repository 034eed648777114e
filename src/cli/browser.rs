//! Opening the user's browser: whether there is one, and how it is started.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::http::Url;
use crate::os::{self, Env, program};

/// The programs that open an address on Linux and the BSDs, as the `open` library tries them.
const OPENERS: [&str; 5] = ["xdg-open", "gio", "gnome-open", "kde-open", "wslview"];

/// What keeps a browser from being opened here, in words; `None` where nothing does.
pub(super) fn obstacle(env: &Env) -> Option<&'static str> {
    if env.var("BROWSER").is_some() {
        return None;
    }
    let has_display = env.var("DISPLAY").or_else(|| env.var("WAYLAND_DISPLAY")).is_some();
    let is_wsl = env.var("WSL_DISTRO_NAME").is_some();
    let over_ssh = env.var("SSH_CONNECTION").or_else(|| env.var("SSH_TTY")).is_some();
    if over_ssh && !has_display {
        return Some("this is an SSH session without a display");
    }
    if cfg!(any(windows, target_os = "macos")) {
        return None;
    }
    let in_container = env.var("container").is_some()
        || ["/.dockerenv", "/run/.containerenv"].into_iter().any(|mark| Path::new(mark).exists());
    match (has_display, is_wsl) {
        (false, false) if in_container => Some("this is a container without a display"),
        (false, false) => Some("there is no display (DISPLAY and WAYLAND_DISPLAY are not set)"),
        (false, true) if !any_in_path(env, &["wslview", "powershell.exe", "cmd.exe"]) => {
            Some("this is WSL, and neither wslview nor Windows itself is in PATH")
        }
        (false, true) => None,
        (true, _) if any_in_path(env, &OPENERS) => None,
        (true, _) => Some("no program that opens an address is in PATH (xdg-open)"),
    }
}

/// Whether one of these programs lies in an absolute folder of `PATH`.
fn any_in_path(env: &Env, programs: &[&str]) -> bool {
    programs.iter().any(|program| program::find(env, program).is_some())
}

/// Starts the browser with the address as one argument, without a shell, and leaves it alone. Returns whether a
/// program was started.
///
/// The child gets no variable that holds a secret of lanyard's.
pub(super) fn open(env: &Env, url: &Url, secret_variables: &[String]) -> bool {
    candidates(env, url).into_iter().filter_map(|command| program::located(env, &command)).any(|mut command| {
        for variable in secret_variables.iter().map(String::as_str).chain([os::TOKEN, os::PASSPHRASE]) {
            command.env_remove(variable);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        match command.spawn() {
            Ok(mut child) => {
                // Reaped in the background, so that a browser that stays open is no zombie and holds nobody up.
                std::thread::spawn(move || child.wait());
                true
            }
            Err(_) => false,
        }
    })
}

/// `$BROWSER` first, then whatever the platform uses. Each entry of `$BROWSER` is a program with arguments; `%s` stands
/// for the address, which otherwise comes last.
fn candidates(env: &Env, url: &Url) -> Vec<Command> {
    let mut commands: Vec<Command> = Vec::new();
    for entry in env.var("BROWSER").unwrap_or_default().split(':') {
        let mut words = entry.split_whitespace();
        let Some(program) = words.next() else { continue };
        let mut command = Command::new(program);
        let mut placed = false;
        for word in words {
            placed |= word.contains("%s");
            command.arg(word.replace("%s", url.as_str()));
        }
        if !placed {
            command.arg(url.as_str());
        }
        commands.push(command);
    }
    commands.extend(open::commands(url.as_str()));
    commands
}

#[cfg(test)]
mod tests {
    use super::*;

    fn obstacle_with(variables: &[(&str, &str)]) -> Option<&'static str> {
        obstacle(&Env::invented(Path::new("/c"), Path::new("/"), variables))
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_surroundings_decide() {
        let bin = tempfile::tempdir().unwrap();
        std::fs::File::create(bin.path().join("xdg-open")).unwrap();
        let path = ("PATH", bin.path().to_str().unwrap());
        assert_eq!(obstacle_with(&[path, ("DISPLAY", ":0")]), None);
        assert_eq!(obstacle_with(&[path, ("WAYLAND_DISPLAY", "wayland-0"), ("SSH_TTY", "/dev/pts/1")]), None);
        assert!(obstacle_with(&[("PATH", "/nonexistent"), ("DISPLAY", ":0")]).unwrap().contains("xdg-open"));
        assert!(obstacle_with(&[path, ("SSH_CONNECTION", "1 2 3 4")]).unwrap().contains("SSH"));
        assert!(obstacle_with(&[path, ("container", "podman")]).unwrap().contains("container"));
        assert!(obstacle_with(&[path, ("WSL_DISTRO_NAME", "Debian")]).unwrap().contains("WSL"));
        assert!(obstacle_with(&[path]).is_some());
        assert_eq!(obstacle_with(&[("BROWSER", "firefox")]), None);
    }

    #[test]
    fn the_address_is_one_argument_whatever_browser_says() {
        let env = Env::invented(Path::new("/c"), Path::new("/"), &[("BROWSER", "one %s y:two --new")]);
        let url = Url::parse("https://id.example/$(touch%20x)?a=b&c").unwrap();
        let commands = candidates(&env, &url);
        let words =
            |command: &Command| command.get_args().map(|word| word.to_str().unwrap().to_owned()).collect::<Vec<_>>();
        assert_eq!(words(&commands[0]), [url.as_str(), "y"]);
        assert_eq!(words(&commands[1]), ["--new", url.as_str()]);
    }
}
