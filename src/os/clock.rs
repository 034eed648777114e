//! A clock for spans of time that goes on while the machine sleeps, and that nobody can set.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Which clock that is: on Linux the monotonic one stands still while the machine is suspended.
#[cfg(any(target_os = "linux", target_os = "android"))]
const GOES_ON: ClockId = ClockId::Boottime;
/// Which clock that is: here the monotonic one goes on.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const GOES_ON: ClockId = ClockId::Monotonic;

/// Reads such a clock. The reading means something in comparison with another one alone.
pub type Clock = fn() -> Duration;

/// The time since the machine was started, the time that it slept included.
pub fn since_boot() -> Duration {
    Duration::try_from(clock_gettime(GOES_ON)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_on() {
        let before = since_boot();
        std::thread::sleep(Duration::from_millis(2));
        assert!(since_boot() >= before + Duration::from_millis(2));
    }

    /// The kernel tells the same clock in a file; of the monotonic one it differs by the time that the machine slept.
    #[cfg(target_os = "linux")]
    #[test]
    fn it_is_the_clock_that_counts_sleep() {
        let told = std::fs::read_to_string("/proc/uptime").unwrap();
        let seconds: f64 = told.split(' ').next().unwrap().parse().unwrap();
        assert!((since_boot().as_secs_f64() - seconds).abs() < 5.0, "{told}");
    }
}
