//! A token on the command line, and how it leaves again: the program starts itself anew with the token on a pipe, so
//! that `ps` shows it for a millisecond instead of for the whole sign-in.

use std::ffi::OsString;

use crate::secret::Secret;

/// A pipe takes this much without a reader, on every Unix.
#[cfg(unix)]
const PIPE: usize = 16 << 10;

/// Replaces this process by one without the token among its arguments. Returns where that cannot be done; the sign-in
/// then goes on as it is.
#[cfg(unix)]
pub(super) fn hide(token: &Secret) {
    use std::io::Write;
    use std::os::fd::AsRawFd;
    use std::os::unix::process::CommandExt;
    let (Ok(program), true) = (std::env::current_exe(), token.expose().len() < PIPE) else { return };
    let Ok((reader, mut writer)) = std::io::pipe() else { return };
    if writer.write_all(token.expose().as_bytes()).is_err() {
        return;
    }
    drop(writer);
    // The new process inherits the pipe's end and finds it by its number; stdin stays what it is.
    if rustix::io::fcntl_setfd(&reader, rustix::io::FdFlags::empty()).is_err() {
        return;
    }
    let pipe = format!("--token-file=/dev/fd/{}", reader.as_raw_fd());
    let mut arguments = std::env::args_os();
    let name = arguments.next().unwrap_or_else(|| "lanyard".into());
    let failed = std::process::Command::new(program).arg0(name).args(without_token(arguments, &pipe)).exec();
    tracing::debug!(error = %failed, "the token stays among the arguments");
}

/// Elsewhere a process cannot replace itself.
#[cfg(not(unix))]
pub(super) fn hide(_: &Secret) {}

/// The arguments with `--token VALUE` or `--token=VALUE` replaced by `instead`.
#[cfg_attr(not(unix), expect(dead_code, reason = "only Unix restarts itself"))]
fn without_token(arguments: impl Iterator<Item = OsString>, instead: &str) -> Vec<OsString> {
    let mut kept = Vec::new();
    let mut skip = false;
    for argument in arguments {
        let bytes = argument.as_encoded_bytes();
        if std::mem::take(&mut skip) {
            continue;
        }
        if bytes == b"--token" {
            skip = true;
            kept.push(instead.into());
        } else if bytes.starts_with(b"--token=") {
            kept.push(instead.into());
        } else {
            kept.push(argument);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_replaced_however_it_was_given() {
        for given in [
            &["auth", "login", "--token", "CANARY", "--profile", "x"][..],
            &["auth", "login", "--token=CANARY", "--profile", "x"],
        ] {
            let kept = without_token(given.iter().map(OsString::from), "--token-file=/dev/fd/3");
            assert_eq!(kept, ["auth", "login", "--token-file=/dev/fd/3", "--profile", "x"]);
        }
    }
}
