//! What the process takes, by the names that every program uses for it. Only Linux tells it in files.

use super::text::Text;

/// Adds what is known.
pub(super) fn tell(text: &mut Text) {
    let Some(status) = read("/proc/self/status") else { return };
    for (name, help, field) in [
        ("process_resident_memory_bytes", "Resident memory size in bytes.", "VmRSS:"),
        ("process_virtual_memory_bytes", "Virtual memory size in bytes.", "VmSize:"),
    ] {
        if let Some(kilobytes) = number_after(&status, field) {
            text.one(name, "gauge", help, kilobytes * 1024);
        }
    }
    if let Some(threads) = number_after(&status, "Threads:") {
        text.one("process_threads", "gauge", "Number of OS threads in the process.", threads);
    }
    if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
        text.one("process_open_fds", "gauge", "Number of open file descriptors.", open.count());
    }
    if let Some(most) = read("/proc/self/limits").and_then(|limits| number_after(&limits, "Max open files")) {
        text.one("process_max_fds", "gauge", "Maximum number of open file descriptors.", most);
    }
    times(text);
}

/// A second has so many ticks, for every program on Linux.
const TICKS: f64 = 100.0;

#[allow(clippy::cast_precision_loss, reason = "seconds since 1970 and ticks of a process fit well")]
fn times(text: &mut Text) {
    let Some(stat) = read("/proc/self/stat") else { return };
    // The name, in parentheses, may hold anything.
    let Some((_, fields)) = stat.rsplit_once(')') else { return };
    let field = |at: usize| fields.split_ascii_whitespace().nth(at).and_then(|field| field.parse::<u64>().ok());
    if let (Some(user), Some(system)) = (field(11), field(12)) {
        let help = "Total user and system CPU time spent in seconds.";
        text.one("process_cpu_seconds_total", "counter", help, (user + system) as f64 / TICKS);
    }
    let booted = read("/proc/stat").and_then(|stat| number_after(&stat, "btime"));
    if let (Some(begun), Some(booted)) = (field(19), booted) {
        let help = "Start time of the process since unix epoch in seconds.";
        text.one("process_start_time_seconds", "gauge", help, booted as f64 + begun as f64 / TICKS);
    }
}

fn read(path: &str) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

fn number_after(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_ascii_whitespace().next()?.parse().ok()
}
