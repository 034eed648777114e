//! What a child process is given, how it is started and watched, and what is masked in its output.
//!
//! | file | what it is about |
//! |---|---|
//! | [`reference`], [`dotenv`] | `lanyard://NAME/FIELD` in text and in templates of environments |
//! | [`resolve`], [`variables`] | from names to values, and the environment that they make |
//! | [`child`], [`watch`], [`inner`] | the command: found, started, its signals and its end |
//! | [`folder`] | files in memory that go with the command |
//! | [`mask`], [`pump`] | secrets in output, replaced while it flows |
//! | [`endpoint`] | the address where AWS tools fetch keys while they run |

pub mod child;
pub mod dotenv;
#[cfg(not(unix))]
mod elsewhere;
pub mod endpoint;
mod error;
#[cfg(unix)]
pub mod folder;
#[cfg(unix)]
pub mod inner;
pub mod mask;
pub mod pump;
pub mod reference;
pub mod resolve;
pub mod variables;
#[cfg(unix)]
pub mod watch;

#[cfg(not(unix))]
pub use elsewhere::{folder, watch};
pub use error::RunError;
