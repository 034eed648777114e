//! What a child process is given, how it is started and watched, and what is masked in its output.
//!
//! | file | what it is about |
//! |---|---|
//! | [`reference`], [`dotenv`] | `lanyard://NAME/FIELD` in text and in templates of environments |
//! | [`resolve`], [`variables`] | from names to values, and the environment that they make |
//! | [`mask`] | secrets in output, replaced while it flows |

pub mod dotenv;
mod error;
pub mod mask;
pub mod reference;
pub mod resolve;
pub mod variables;

pub use error::RunError;
