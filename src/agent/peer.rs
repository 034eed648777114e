//! Who is at the other end of a socket: the system says, and nobody can claim.

use std::os::fd::AsFd;

/// Whether the process at the other end belongs to this process's user.
pub(super) fn is_own(socket: impl AsFd) -> bool {
    uid(socket) == Some(rustix::process::geteuid().as_raw())
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn uid(socket: impl AsFd) -> Option<u32> {
    rustix::net::sockopt::socket_peercred(socket).ok().map(|peer| peer.uid.as_raw())
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn uid(socket: impl AsFd) -> Option<u32> {
    use std::ffi::c_int;
    use std::os::fd::AsRawFd;
    #[expect(unsafe_code, reason = "macOS and the BSDs tell it through this function alone")]
    unsafe extern "C" {
        fn getpeereid(socket: c_int, uid: *mut u32, gid: *mut u32) -> c_int;
    }
    let (mut uid, mut gid) = (0, 0);
    // SAFETY: the descriptor is open, and both places are valid for a write of the type that the function writes.
    #[expect(unsafe_code, reason = "macOS and the BSDs tell it through this function alone")]
    let outcome = unsafe { getpeereid(socket.as_fd().as_raw_fd(), &raw mut uid, &raw mut gid) };
    (outcome == 0).then_some(uid)
}
