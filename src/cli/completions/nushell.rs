//! Completions for Nushell, which `clap_complete` does not know how to ask.

use std::ffi::OsString;
use std::io;
use std::path::Path;

use clap_complete::engine::complete;
use clap_complete::env::EnvCompleter;
use serde_json::json;

/// Nushell asks one closure for the completions of every outside program. The script puts itself before the closure
/// that is there already, answers for its own program and hands on the rest.
pub(super) struct Nushell;

const SCRIPT: &str = r"let lanyard_other_completer = $env.config.completions?.external?.completer?
$env.config = ($env.config | upsert completions.external.enable true | upsert completions.external.completer {
    {|spans: list<string>|
        if ($spans.0? | default '' | path parse | get stem) == 'BIN' {
            with-env { VAR: 'nushell' } { ^COMPLETER -- ...$spans } | from json
        } else if $lanyard_other_completer != null {
            do $lanyard_other_completer $spans
        }
    }
})
";

impl EnvCompleter for Nushell {
    fn name(&self) -> &'static str {
        "nushell"
    }

    fn is(&self, name: &str) -> bool {
        name == "nushell" || name == "nu"
    }

    fn write_registration(
        &self,
        var: &str,
        _name: &str,
        bin: &str,
        completer: &str,
        buf: &mut dyn io::Write,
    ) -> io::Result<()> {
        let script = SCRIPT.replace("VAR", var).replace("COMPLETER", completer).replace("BIN", bin);
        buf.write_all(script.as_bytes())
    }

    /// Writes a list of records, which is what Nushell shows with a description beside each value.
    fn write_complete(
        &self,
        cmd: &mut clap::Command,
        args: Vec<OsString>,
        current_dir: Option<&Path>,
        buf: &mut dyn io::Write,
    ) -> io::Result<()> {
        let index = args.len().saturating_sub(1);
        let records: Vec<serde_json::Value> = complete(cmd, args, index, current_dir)?
            .into_iter()
            .map(|candidate| {
                let help = candidate.get_help().map(ToString::to_string).unwrap_or_default();
                let help = help.lines().next().unwrap_or_default();
                json!({ "value": candidate.get_value().to_string_lossy(), "description": help })
            })
            .collect();
        serde_json::to_writer(buf, &records).map_err(io::Error::from)
    }
}
