//! Where there is no Unix: no files in memory, and signals that the system hands to every program of a console.

/// Files in memory.
pub mod folder {
    use std::path::PathBuf;

    use crate::os::Env;
    use crate::run::{RunError, variables};

    /// There is no such folder.
    pub struct Folder(std::convert::Infallible);

    impl Folder {
        /// There is no place for one.
        pub fn make(_: &Env, variable: &str) -> Result<Self, RunError> {
            Err(RunError::NoMemory { variable: variable.to_owned() })
        }

        /// Writes a file, and tells where it is.
        pub fn put(&mut self, _: &variables::File<'_>) -> Result<PathBuf, RunError> {
            match self.0 {}
        }

        /// Lets the next program that is started hold the lock as well.
        pub fn share(&self) -> Result<(), RunError> {
            match self.0 {}
        }
    }

    /// There is nothing to remove.
    pub fn sweep_all(_: &Env) {}
}

/// Signals and endings.
pub mod watch {
    use std::process::Child;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use crate::run::RunError;

    /// How a command ended.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Ending {
        /// By itself, with this code.
        Code(i32),
    }

    /// Keeps this process alive while a command handles what interrupts it.
    pub struct Watch {
        running: Arc<AtomicBool>,
    }

    impl Watch {
        /// Until a command runs, whoever interrupts is answered by `leave`, which ends the process.
        pub fn start(leave: impl Fn() + Send + 'static) -> Result<Self, RunError> {
            let running = Arc::new(AtomicBool::new(false));
            let seen = Arc::clone(&running);
            // Without a handler, the process ends with the command: its code is lost and nothing else.
            let _ = ctrlc::set_handler(move || {
                if !seen.load(Ordering::SeqCst) {
                    leave();
                }
            });
            Ok(Self { running })
        }

        /// Starts a command and, on a thread of its own, waits for its end, which is told to `ended`.
        pub fn follow(
            &self,
            start: impl FnOnce() -> Result<Child, RunError>,
            ended: impl FnOnce(Ending) + Send + 'static,
        ) -> Result<(), RunError> {
            self.running.store(true, Ordering::SeqCst);
            let mut child = start()?;
            std::thread::spawn(move || {
                let status = child.wait().ok().and_then(|status| status.code());
                ended(Ending::Code(status.unwrap_or(1)));
            });
            Ok(())
        }
    }

    /// Ends this process as the command ended.
    pub fn end(ending: Ending) -> ! {
        let Ending::Code(code) = ending;
        std::process::exit(code)
    }
}
