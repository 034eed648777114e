//! Go: `GOAUTH` in the file of `go env -w`, before what stood there.

use std::path::{Path, PathBuf};

use super::block::{self, At};
use super::{Plan, SetupError, Site, Tool};
use crate::os::program;

/// Private Go modules.
pub(super) struct Go;
/// The tool.
pub(super) static TOOL: Go = Go;

const KEY: &str = "GOAUTH=";

impl Tool for Go {
    fn name(&self) -> &'static str {
        "go"
    }

    fn title(&self) -> &'static str {
        "go 1.24 and later: private modules"
    }

    fn programs(&self) -> &'static [&'static str] {
        &["go"]
    }

    fn plan(&self, site: &Site<'_>) -> Result<Plan, SetupError> {
        let program = site.program.display().to_string();
        if program.contains([' ', '\t', ';', '"', '\'']) {
            return Err(SetupError::Unclear {
                path: site.program.to_owned(),
                problem: "go cannot start a program whose path has blanks or quotes".into(),
                mend: "install lanyard in a folder without them".into(),
            });
        }
        let mut plan = Plan::default();
        plan.file(configuration(site)?, |text| {
            // Of several lines the last one counts; what stood before goes on after ours.
            let theirs = block::without(text);
            let before = theirs.lines().rev().find_map(|line| line.strip_prefix(KEY)).unwrap_or("netrc");
            Ok(block::with(text, "#", At::Bottom, &format!("{KEY}{program} helper go;{before}\n")))
        })?;
        Ok(plan)
    }

    fn check(&self, site: &Site<'_>) -> Result<Option<String>, SetupError> {
        let Ok(told) = program::output(site.env, "go", &["env", "GOAUTH"], 20) else { return Ok(None) };
        if told.expose().contains("helper go") {
            return Ok(Some("go asks lanyard".into()));
        }
        Err(SetupError::NotAsked { tool: self.name(), problem: "GOAUTH is set elsewhere".into() })
    }
}

fn configuration(site: &Site<'_>) -> Result<PathBuf, SetupError> {
    match site.env.var("GOENV").map(Path::new) {
        Some(file) if file.is_absolute() => Ok(file.to_owned()),
        _ => Ok(site.env.user_config_dir().ok_or(SetupError::NoHome)?.join("go/env")),
    }
}
