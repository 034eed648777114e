//! What the process hides of itself: no core dump, no tracing by other programs of the same user.

/// Turns core dumps off and makes `/proc/PID/{mem,environ}` unreadable for other processes of the user.
///
/// Called first thing in `main`, before any secret is read. Returns whether the system agreed; a refusal is worth a
/// warning and no more, because the program then merely runs as most programs do.
pub fn process() -> bool {
    no_core_dumps() & not_dumpable()
}

#[cfg(unix)]
fn no_core_dumps() -> bool {
    use rustix::process::{Resource, Rlimit, setrlimit};
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) }).is_ok()
}

#[cfg(not(unix))]
fn no_core_dumps() -> bool {
    true
}

#[cfg(target_os = "linux")]
fn not_dumpable() -> bool {
    use rustix::process::{DumpableBehavior, set_dumpable_behavior};
    set_dumpable_behavior(DumpableBehavior::NotDumpable).is_ok()
}

#[cfg(not(target_os = "linux"))]
fn not_dumpable() -> bool {
    true
}

/// Whether this program runs with other rights than its caller's (set-user-id or set-group-id).
pub fn runs_with_raised_rights() -> bool {
    #[cfg(unix)]
    {
        use rustix::process::{getegid, geteuid, getgid, getuid};
        getuid() != geteuid() || getgid() != getegid()
    }
    #[cfg(not(unix))]
    {
        false
    }
}
