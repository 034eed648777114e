//! The contexts on this machine: of the files that kubectl reads, the current one first, and a pod's own.

use std::path::{Path, PathBuf};

use super::KINDS;
use super::flat::{Flat, Refusal};
use super::kubeconfig::{Cluster, Context, Entry, Kubeconfig, Merged, User};
use crate::credential::Raw;
use crate::os::files;
use crate::provider::foreign::Foreign;
use crate::provider::{Broken, Discovered, Found, Here, Origin, ProviderError};
use crate::secret::Secret;
use crate::text::clean;

const WHAT: &str = "kubeconfig";
/// Where a pod finds the account it runs as.
const POD: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// Every context. One that cannot be stored is listed without its secret, and is refused with the reason when it is to
/// be stored.
///
/// kubectl does nothing where one of the files that it was told to read is broken: such a one is meant.
pub(super) fn discover(here: &Here<'_>) -> Discovered {
    let (merged, broken) = read(here);
    let is_meant = here.input("kubeconfig").is_some() || here.env.var("KUBECONFIG").is_some();
    let broken = broken.into_iter().map(|failure| Broken { failure, is_meant }).collect();
    let mut all = Discovered { broken, ..Discovered::default() };
    let mut names: Vec<&str> = merged.contexts.iter().map(|(name, _)| name.as_str()).collect();
    match here.input("context") {
        Some(asked) => {
            if merged.context(asked).is_none() && all.broken.is_empty() {
                all.meant(no_context(here, asked));
            }
            names.retain(|name| *name == asked);
        }
        // Stable: the others keep their order.
        None => names.sort_by_key(|name| Some(*name) != merged.current.as_deref()),
    }
    all.found.extend(names.into_iter().map(|name| found(here, &merged, name)));
    if here.input("context").is_none() && here.input("kubeconfig").is_none() {
        all.add(pod(here, Path::new(POD)));
    }
    all
}

/// The context of that name, else the one asked for, else the current one; or why it cannot be had.
///
/// With `any`, whether or not a secret is in it.
pub(super) fn chosen(here: &Here<'_>, name: Option<&str>, any: bool) -> Result<Flat, ProviderError> {
    let (merged, broken) = read(here);
    // What is missing may stand in the file that is broken.
    let first = |missing: ProviderError| broken.into_iter().next().unwrap_or(missing);
    let Some(name) = name.or(here.input("context")).or(merged.current.as_deref()) else {
        return Err(first(ProviderError::NotThere {
            what: "current context".into(),
            place: places(here),
            mend: "name a file with `--kubeconfig FILE`, or a context with `--context CONTEXT`".into(),
        }));
    };
    if merged.context(name).is_none() {
        return Err(first(no_context(here, name)));
    }
    let flatten = if any { Flat::any_of } else { Flat::of };
    flatten(&merged, name, &contents).map_err(|refusal| refusal.of(&format!("context {name}")))
}

/// The files that kubectl reads: the one that was named, else those of `$KUBECONFIG`, else the usual one.
fn paths(here: &Here<'_>) -> Vec<PathBuf> {
    let absolute = |path: PathBuf| here.env.working_dir().join(path);
    if let Some(path) = here.input("kubeconfig") {
        return vec![absolute(here.env.expand_home(path))];
    }
    match here.env.var("KUBECONFIG") {
        Some(list) => {
            std::env::split_paths(list).filter(|path| !path.as_os_str().is_empty()).map(absolute).collect()
        }
        None => here.home(".kube/config").into_iter().collect(),
    }
}

/// All files merged, and what is wrong with the others. One that is missing is passed over, as kubectl does, unless it
/// was named.
fn read(here: &Here<'_>) -> (Merged, Vec<ProviderError>) {
    let mut merged = Merged::default();
    let mut broken = Vec::new();
    for path in paths(here) {
        match one(here, &path) {
            Ok(Some(file)) => merged.add(file, &path),
            Ok(None) => {}
            Err(failure) => broken.push(failure),
        }
    }
    (merged, broken)
}

fn one(here: &Here<'_>, path: &Path) -> Result<Option<Kubeconfig>, ProviderError> {
    let Some(file) = Foreign::read(here, path, WHAT)? else {
        if here.input("kubeconfig").is_some() {
            let mend = "check the path".into();
            return Err(ProviderError::NotThere { what: WHAT.into(), place: here.shown(path), mend });
        }
        return Ok(None);
    };
    if file.is_blank() {
        return Ok(None);
    }
    let read = Kubeconfig::parse(&Secret::new(file.text().to_owned()));
    read.map(Some).map_err(|problem| file.broken(problem.to_string()))
}

fn places(here: &Here<'_>) -> String {
    let shown: Vec<String> = paths(here).iter().map(|path| here.shown(path)).collect();
    if shown.is_empty() { "the home folder".into() } else { shown.join(", ") }
}

fn no_context(here: &Here<'_>, name: &str) -> ProviderError {
    ProviderError::NotThere {
        what: format!("context {}", clean(name)),
        place: places(here),
        mend: "`kubectl config get-contexts` lists those that there are".into(),
    }
}

/// A file that a kubeconfig names.
fn contents(path: &Path) -> Result<Option<Vec<u8>>, Refusal> {
    files::read(path).map_err(Refusal::File)
}

fn found(here: &Here<'_>, merged: &Merged, name: &str) -> Found {
    let context = merged.context(name);
    // The secret is where the user is, which may be another file than the context's.
    let user = context.and_then(|context| merged.users.get(context.value.user.as_ref()?));
    let file = user.map(|user| &user.file).or(context.map(|context| &context.file));
    let entry = format!("context {}", clean(name));
    let mut origin = match file {
        Some(file) => Origin::file(here, file, &entry),
        None => Origin { place: entry, path: None, plain_text: false, whole_file: false },
    };
    origin.whole_file = user.is_some_and(|user| merged.holds_nothing_else(user));
    let mut raw = Raw::new();
    let mut expires = None;
    if let Ok(flat) = Flat::of(merged, name, &contents) {
        expires = flat.expires();
        take(&mut raw, &flat);
    } else {
        origin.plain_text = false;
        raw.plain("context", name);
    }
    Found { kind: &KINDS[0], raw, name: Some(name.to_owned()), origin, expires }
}

fn take(raw: &mut Raw, flat: &Flat) {
    for (name, value) in flat.fields() {
        raw.plain(name, &value);
    }
    raw.set("kubeconfig", flat.written());
}

/// The account of the pod that this runs in, where it runs in one (the rules of client-go's `InClusterConfig`).
pub(super) fn pod(here: &Here<'_>, folder: &Path) -> Result<Option<Found>, ProviderError> {
    const NAME: &str = "in-cluster";
    let variable = |name: &str| here.env.var(name);
    let (Some(host), Some(port)) = (variable("KUBERNETES_SERVICE_HOST"), variable("KUBERNETES_SERVICE_PORT")) else {
        return Ok(None);
    };
    let token = folder.join("token");
    if files::read(&token)?.is_none() {
        return Ok(None);
    }
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let namespace = files::read(&folder.join("namespace"))?.and_then(|text| String::from_utf8(text).ok());
    let entry = folder.join(WHAT);
    let mut merged = Merged::default();
    let context = Context {
        cluster: Some(NAME.into()),
        user: Some(NAME.into()),
        namespace: namespace.map(|text| text.trim().to_owned()),
    };
    let cluster = Cluster {
        server: Some(format!("https://{host}:{port}")),
        certificate_authority: Some("ca.crt".into()),
        ..Cluster::default()
    };
    let user = User { token_file: Some("token".into()), ..User::default() };
    merged.contexts.push((NAME.into(), Entry { value: context, file: entry.clone() }));
    merged.clusters.insert(NAME.into(), Entry { value: cluster, file: entry.clone() });
    merged.users.insert(NAME.into(), Entry { value: user, file: entry });
    let flat = Flat::of(&merged, NAME, &contents).map_err(|refusal| refusal.of("the account of this pod"))?;
    let mut raw = Raw::new();
    take(&mut raw, &flat);
    let origin = Origin::file(here, &token, "").whole();
    Ok(Some(Found { kind: &KINDS[0], raw, name: Some(NAME.into()), origin, expires: flat.expires() }))
}
