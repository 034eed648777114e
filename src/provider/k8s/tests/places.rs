//! Where contexts lie.

use std::collections::BTreeMap;
use std::path::Path;

use super::*;
use crate::error::Failure;
use crate::provider::Found;

struct Machine {
    root: tempfile::TempDir,
    variables: Vec<(&'static str, String)>,
    given: BTreeMap<String, Vec<String>>,
}

impl Machine {
    fn new() -> Self {
        Self { root: tempfile::tempdir().unwrap(), variables: Vec::new(), given: BTreeMap::new() }
    }

    fn path(&self) -> &Path {
        self.root.path()
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        crate::os::files::replace(&path, text.as_bytes(), false).unwrap();
    }

    fn give(&mut self, input: &str, value: &str) {
        self.given.insert(input.into(), vec![value.into()]);
    }

    /// The folder above `lanyard` is the home of such surroundings.
    fn with_here<T>(&self, work: impl FnOnce(&Here<'_>) -> T) -> T {
        let variables: Vec<(&str, &str)> = self.variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let env = Env::invented(&self.path().join("lanyard"), self.path(), &variables);
        work(&Here { env: &env, given: &self.given })
    }

    fn discover(&self) -> Result<Vec<Found>, ProviderError> {
        self.with_here(|here| PROVIDER.discover(here)).choice()
    }

    fn places(&self) -> Vec<(String, bool)> {
        let found = self.discover().unwrap().into_iter();
        found.map(|found| (found.origin.place, found.raw.has("kubeconfig"))).collect()
    }

    /// What `credentials store` would make of the first.
    fn store(&self) -> Result<Raw, ProviderError> {
        let mut raw = self.discover()?.into_iter().next().map(|found| found.raw).unwrap_or_default();
        self.with_here(|here| PROVIDER.complete(&mut raw, here)).map(|_| raw)
    }
}

fn context(name: &str, user: &str) -> String {
    format!(
        "clusters: [{{name: {name}, cluster: {{server: \"https://{name}.example.com\"}}}}]\n\
         contexts: [{{name: {name}, context: {{cluster: {name}, user: {name}}}}}]\n\
         users: [{{name: {name}, user: {user}}}]\n"
    )
}

fn value(raw: &Raw, name: &str) -> String {
    raw.get(name).unwrap().expose().to_owned()
}

#[test]
fn nothing_there_is_nothing_found_and_nothing_stored() {
    let machine = Machine::new();
    assert!(machine.discover().unwrap().is_empty());
    let failure = machine.store().err().unwrap();
    assert_eq!(failure.to_string(), "there is no current context in ~/.kube/config");
    assert!(failure.mend().unwrap().contains("--kubeconfig FILE"));
}

#[test]
fn the_current_context_comes_first_and_one_without_a_secret_is_told() {
    let machine = Machine::new();
    let text = context("a", "{token: ta}") + "current-context: b\n";
    let text = text
        .replace("clusters: [", "clusters: [{name: b, cluster: {server: \"https://b.example.com\"}}, ")
        .replace("contexts: [", "contexts: [{name: p, context: {cluster: b, user: p}}, {name: b, context: {cluster: b, user: b}}, ")
        .replace("users: [", "users: [{name: b, user: {token: tb}}, {name: p, user: {exec: {command: aws}}}, ");
    machine.write(".kube/config", &text);
    let place = |name: &str| format!("~/.kube/config context {name}");
    assert_eq!(machine.places(), [(place("b"), true), (place("p"), false), (place("a"), true)]);
    let stored = machine.store().unwrap();
    assert_eq!(value(&stored, "server"), "https://b.example.com");
    assert!(!value(&stored, "kubeconfig").contains("aws"));
    let mut machine = machine;
    machine.give("context", "p");
    let failure = machine.store().err().unwrap();
    assert!(failure.to_string().starts_with("context p cannot be stored: it signs in by running a program (aws); nothing to store"), "{failure}");
    machine.give("context", "none");
    assert_eq!(machine.discover().unwrap_err().to_string(), "there is no context none in ~/.kube/config");
}

#[test]
fn of_several_files_the_first_to_say_something_is_believed() {
    let mut machine = Machine::new();
    machine.write("one", &(context("a", "{tokenFile: token}") + "current-context: a\n"));
    machine.write("sub/two", &(context("a", "{token: other}") + "current-context: z\n"));
    machine.write("sub/three", &context("b", "{tokenFile: token}"));
    machine.write("token", "of-one");
    machine.write("sub/token", "of-three");
    let list = ["one", "missing", "", "sub/two", "sub/three"];
    machine.variables.push(("KUBECONFIG", std::env::join_paths(list).unwrap().into_string().unwrap()));
    let found = machine.discover().unwrap();
    let place = |found: &Found| found.origin.place.clone();
    assert_eq!(found.iter().map(place).collect::<Vec<_>>(), ["~/one context a", "~/sub/three context b"]);
    assert!(value(&found[0].raw, "kubeconfig").contains("of-one"));
    assert!(value(&found[1].raw, "kubeconfig").contains("of-three"));
    assert_eq!(found[1].name.as_deref(), Some("b"));
}

#[test]
fn a_named_file_is_the_only_one_and_has_to_be_there() {
    let mut machine = Machine::new();
    machine.write(".kube/config", &context("a", "{token: a}"));
    machine.write("other", &context("b", "{token: b}"));
    machine.give("kubeconfig", "other");
    assert_eq!(machine.places(), [("~/other context b".to_owned(), true)]);
    machine.give("kubeconfig", "~/none");
    assert_eq!(machine.discover().unwrap_err().to_string(), "there is no kubeconfig in ~/none");
}

#[test]
fn a_broken_file_is_told_by_name_and_line() {
    let machine = Machine::new();
    machine.write(".kube/config", "apiVersion: v1\nusers:\n- name: [LNYCANARY]\n");
    let failure = machine.discover().unwrap_err().to_string();
    assert!(failure.starts_with("~/.kube/config is no usable kubeconfig: line 3: "), "{failure}");
    assert!(!failure.contains("CANARY"));
    machine.write(".kube/config", "kind: Deployment\n");
    assert!(machine.discover().unwrap_err().to_string().ends_with("its kind is not Config"));
}

#[test]
fn a_pod_finds_its_own_account() {
    let mut machine = Machine::new();
    machine.write("pod/token", &jwt_of(json!({ "exp": 1_900_000_000, "sub": "system:serviceaccount:shop:web" })));
    machine.write("pod/ca.crt", UNTIL_2030);
    machine.write("pod/namespace", "shop");
    let find = |machine: &Machine| machine.with_here(|here| find::pod(here, &machine.path().join("pod"))).unwrap();
    assert!(find(&machine).is_none(), "outside of a cluster there is none");
    machine.variables.push(("KUBERNETES_SERVICE_HOST", "fd00::1".into()));
    machine.variables.push(("KUBERNETES_SERVICE_PORT", "443".into()));
    let found = find(&machine).unwrap();
    assert_eq!(found.expires, DateTime::from_timestamp(1_900_000_000, 0));
    assert_eq!(value(&found.raw, "server"), "https://[fd00::1]:443");
    assert_eq!(value(&found.raw, "namespace"), "shop");
    assert_eq!(found.origin.place, "~/pod/token");
}
