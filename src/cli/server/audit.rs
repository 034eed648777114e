//! `lanyard server audit`: what happened, for whoever runs the server.

use serde_json::{Value, json};

use super::Place;
use crate::cli::{Doors, audit};
use crate::error::Result;
use crate::secret::SecretStore;
use crate::server::Trail;

/// So many entries are listed unless it is said.
const USUAL: i64 = 50;

/// What is asked of it.
#[derive(clap::Args, Debug)]
pub(in crate::cli) struct Args {
    /// The audit of this organization instead of the server's own, also of one that was deleted
    #[arg(long, value_name = "ID")]
    organization: Option<String>,
    /// So many entries at most [default: 50]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(i64).range(1..=100_000))]
    limit: Option<i64>,
    /// Print every entry instead, one on a line, signed as `lanyard audit export` has them
    #[arg(long, conflicts_with_all = ["limit", "key"])]
    export: bool,
    /// The first entry of the export [default: 1]
    #[arg(long, value_name = "NUMBER", requires = "export", value_parser = clap::value_parser!(i64).range(1..))]
    from: Option<i64>,
    /// Print the public key that exports are checked with instead
    #[arg(long, conflicts_with_all = ["limit", "organization"])]
    key: bool,
    #[command(flatten)]
    place: Place,
}

impl Args {
    /// Runs the command.
    pub(super) fn run(self, doors: &Doors<'_>, store: &dyn SecretStore, json: bool) -> Result<()> {
        let Self { organization, limit, export, from, key, place } = self;
        let trail = Trail::open(&place.settings(doors)?, store, organization.as_deref())?;
        if export {
            return trail.export(from.unwrap_or(1), &mut |lines| doors.ui.answer_bytes(lines));
        }
        if key {
            let key = trail.key()?;
            if json {
                return doors.ui.answer_json(&json!({ "algorithm": "Ed25519", "key": key }));
            }
            return doors.ui.answer(&key);
        }
        let entries: Vec<Value> = trail.newest(limit.unwrap_or(USUAL))?.into_iter().map(Value::Object).collect();
        audit::show(doors, json, &entries)
    }
}
