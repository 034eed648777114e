//! `lanyard`: parse, dispatch, print the failure, exit.

use std::process::ExitCode;

fn main() -> ExitCode {
    lanyard::cli::main()
}
