//! Whether a browser can be opened from here, by looking at the surroundings; none is opened.

use std::path::Path;

use super::Finding;
use crate::error::Code;
use crate::os::Env;

const CHECK: &str = "browser";

/// The programs that open an address on Linux and the BSDs, as the `open` library tries them.
const OPENERS: [&str; 5] = ["xdg-open", "gio", "gnome-open", "kde-open", "wslview"];

/// A tick where a sign-in can open the browser, else what to do instead.
pub(super) fn check(env: &Env) -> Finding {
    let ways_on = "sign in with `lanyard auth login --device`, or open the address that it prints on another machine";
    match obstacle(env) {
        None => Finding::ok(CHECK, "can be opened"),
        Some(obstacle) => Finding::failed(CHECK, Code::Failed, format!("cannot be opened: {obstacle}"), ways_on),
    }
}

/// What stands in the way, in words; `None` where nothing does.
fn obstacle(env: &Env) -> Option<&'static str> {
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

fn any_in_path(env: &Env, programs: &[&str]) -> bool {
    let path = env.var("PATH").unwrap_or_default();
    std::env::split_paths(path).any(|dir| programs.iter().any(|program| dir.join(program).is_file()))
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
    }
}
