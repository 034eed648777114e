//! Google Cloud: keys, sign-ins and their rotation, against a double that checks signatures with OpenSSL, and with
//! Google's own library as the second opinion.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::clouds::{assert_a_kill_leaves_a_working_one, assert_unseen, secret, tested};
use crate::double::{Answer, Double, Seen};
use crate::stage::{Outcome, Stage};
use crate::vaulted::{self, list, reveal};
use crate::wire;

const EMAIL: &str = "deploy@my-project.iam.gserviceaccount.com";
const KEYS: &str = "/v1/projects/-/serviceAccounts/deploy%40my-project.iam.gserviceaccount.com/keys";

/// Google, with one service account and one user.
#[derive(Clone)]
struct Google(Arc<Mutex<State>>);

struct State {
    folder: TempDir,
    /// The address at which it is.
    url: String,
    /// The keys of the account: whether each still works.
    keys: BTreeMap<String, PathBuf>,
    made: usize,
    token: String,
    refresh: String,
    /// What happens to the next request that makes a key, after it made one.
    loses_the_next: bool,
}

impl Google {
    fn start() -> (Self, Double) {
        let state = State {
            folder: tempfile::tempdir().unwrap(),
            url: String::new(),
            keys: BTreeMap::new(),
            made: 0,
            token: secret("ya29.", 80),
            refresh: secret("1//0", 80),
            loses_the_next: false,
        };
        let google = Self(Arc::new(Mutex::new(state)));
        let routes = google.clone();
        let double = Double::start(move |seen: &Seen| routes.answer(seen));
        google.state().url = double.url();
        (google, double)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, seen: &Seen) -> Answer {
        let mut state = self.state();
        if seen.path() == "/token" {
            return state.token(&wire::fields(&seen.message.body));
        }
        if seen.path() == "/tokeninfo" {
            return Answer::json(200, &json!({ "email": "user@example.com", "scope": "openid email" }));
        }
        if !seen.bears(&state.token) {
            return refusal(401, "UNAUTHENTICATED");
        }
        match (seen.method.as_str(), seen.path()) {
            ("GET", "/v3/projects/my-project") => Answer::json(200, &json!({ "projectId": "my-project" })),
            ("GET", path) if path.starts_with("/v3/projects/") => refusal(403, "PERMISSION_DENIED"),
            ("POST", KEYS) => {
                let file = state.make_key();
                if std::mem::take(&mut state.loses_the_next) {
                    return Answer::Close;
                }
                let id = file["private_key_id"].as_str().unwrap();
                let data = STANDARD.encode(file.to_string());
                Answer::json(200, &json!({ "name": format!("x/keys/{id}"), "privateKeyData": data }))
            }
            ("GET", KEYS) => {
                let now = chrono::Utc::now().to_rfc3339();
                let key = |id: &String| json!({ "name": format!("x/keys/{id}"), "validAfterTime": now });
                Answer::json(200, &json!({ "keys": state.keys.keys().map(key).collect::<Vec<_>>() }))
            }
            ("DELETE", path) => {
                let id = path.rsplit('/').next().unwrap();
                if state.keys.remove(id).is_some() { Answer::json(200, "{}") } else { refusal(404, "NOT_FOUND") }
            }
            _ => refusal(404, "NOT_FOUND"),
        }
    }
}

fn refusal(status: u16, word: &str) -> Answer {
    let details = json!([{ "reason": "IAM_PERMISSION_DENIED" }]);
    Answer::json(status, &json!({ "error": { "code": status, "message": "no", "status": word, "details": details } }))
}

impl State {
    /// A new key of the account, as the file that Google gives out.
    fn make_key(&mut self) -> Value {
        self.made += 1;
        let id = format!("key{}", self.made);
        let (private, public) = (self.at(&format!("{id}.pem")), self.at(&format!("{id}.pub")));
        let size = ["-pkeyopt", "rsa_keygen_bits:2048"];
        openssl(Command::new("openssl").args(["genpkey", "-algorithm", "RSA"]).args(size).arg("-out").arg(&private));
        openssl(Command::new("openssl").args(["pkey", "-pubout", "-in"]).arg(&private).arg("-out").arg(&public));
        let file = json!({
            "type": "service_account", "project_id": "my-project", "private_key_id": id,
            "private_key": std::fs::read_to_string(&private).unwrap(), "client_email": EMAIL, "client_id": "1",
            "token_uri": format!("{}/token", self.url), "universe_domain": "googleapis.com",
        });
        self.keys.insert(id, public);
        file
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn token(&self, form: &[(String, String)]) -> Answer {
        let field = |name: &str| wire::field(form, name).unwrap_or_default();
        let refused = |why: &str| Answer::json(400, &json!({ "error": "invalid_grant", "error_description": why }));
        match field("grant_type") {
            "refresh_token" if field("refresh_token") != self.refresh => {
                return refused("Token has been expired or revoked.");
            }
            "refresh_token" => {}
            "urn:ietf:params:oauth:grant-type:jwt-bearer" => {
                if let Err(why) = self.check(field("assertion")) {
                    return refused(why);
                }
            }
            _ => return Answer::json(400, &json!({ "error": "unsupported_grant_type" })),
        }
        let answer = json!({ "access_token": self.token, "expires_in": 3599, "token_type": "Bearer" });
        Answer::json(200, &answer)
    }

    /// Checks an assertion as Google does, by another library than the one that signed it.
    fn check(&self, assertion: &str) -> Result<(), &'static str> {
        let (signed, signature) = assertion.rsplit_once('.').unwrap();
        let part = |index: usize| -> Value {
            let part = signed.split('.').nth(index).unwrap();
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
        };
        let (header, claims) = (part(0), part(1));
        assert_eq!((&header["alg"], &header["typ"]), (&json!("RS256"), &json!("JWT")));
        assert_eq!(claims["aud"], "https://oauth2.googleapis.com/token");
        let number = |name: &str| claims[name].as_i64().unwrap();
        if (number("iat") - chrono::Utc::now().timestamp()).abs() > 300 || number("exp") - number("iat") > 3600 {
            return Err(
                "Invalid JWT: Token must be a short-lived token. Check your iat and exp values in the JWT claim.",
            );
        }
        if claims["iss"] != EMAIL {
            return Err("Invalid grant: account not found");
        }
        let key = self.keys.get(header["kid"].as_str().unwrap()).ok_or("Invalid JWT Signature.")?;
        let (data, proof) = (self.at("signed"), self.at("signature"));
        std::fs::write(&data, signed).unwrap();
        std::fs::write(&proof, URL_SAFE_NO_PAD.decode(signature).unwrap()).unwrap();
        let mut verify = Command::new("openssl");
        verify.args(["dgst", "-sha256", "-verify"]).arg(key).arg("-signature").arg(&proof).arg(&data);
        let verified = verify.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
        if verified.success() { Ok(()) } else { Err("Invalid JWT Signature.") }
    }
}

fn openssl(command: &mut Command) {
    let output = command.output().expect("openssl is installed; tests/run does that");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A stage with a vault, whose Google is the double.
fn stage(double: &Double) -> Stage {
    let mut stage = vaulted::stage();
    for api in ["IAM", "CLOUDRESOURCEMANAGER"] {
        stage.set(&format!("CLOUDSDK_API_ENDPOINT_OVERRIDES_{api}"), format!("{}/", double.url()));
    }
    stage
}

/// Puts a file where it is looked for in a sweep last.
fn given(stage: &Stage, name: &str, content: &Value) -> String {
    let folder = stage.root().join("given");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join(name), content.to_string()).unwrap();
    folder.join(name).to_str().unwrap().to_owned()
}

fn store(stage: &Stage, flags: &[&str]) -> Outcome {
    stage.run(&[&["credentials", "store", "gcp"], flags].concat())
}

/// A line of the private key that is in no other.
fn line_of(file: &Value) -> String {
    file["private_key"].as_str().unwrap().lines().nth(5).unwrap().to_owned()
}

#[test]
fn a_key_that_a_variable_names_is_taken_and_googles_own_library_goes_on_with_it() {
    let (google, double) = Google::start();
    let mut stage = stage(&double);
    let file = google.state().make_key();
    let path = given(&stage, "key.json", &file);
    stage.set("GOOGLE_APPLICATION_CREDENTIALS", &path);
    let stored = store(&stage, &[]).ends(0);
    let expected =
        format!("Stored gcp-deploy (service account key, from {path}, named by $GOOGLE_APPLICATION_CREDENTIALS)");
    assert!(stored.stderr().contains(&expected) && stored.stderr().contains(&format!("active: {EMAIL}")), "{stored}");
    stage.unset("GOOGLE_APPLICATION_CREDENTIALS");
    assert_eq!(list(&stage)[0]["status"], "active");
    assert_eq!(tested(&stage)["identity"], EMAIL);
    let token = google.state().token.clone();
    assert_unseen(&stage, &[&line_of(&file), &token]);

    let exported = stage.root().join("exported.json");
    let to = exported.to_str().unwrap();
    stage.run(&["credentials", "export", "gcp-deploy", "--format", "gcp-json", "--to", to]).ends(0);
    let venv = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-peers/google-auth");
    assert!(venv.join("bin/python").exists(), "google-auth is missing; tests/run installs it");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/google-auth/up.sh");
    let output = Command::new("bash").arg(script).arg(venv).arg(&exported).output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(told, format!("{EMAIL} my-project {token}\n"), "{}", String::from_utf8_lossy(&output.stderr));

    let variables = stage.run(&["credentials", "export", "gcp-deploy", "--format", "json"]).ends(0).json();
    assert_eq!(variables["CLOUDSDK_AUTH_ACCESS_TOKEN"], token.as_str());
    assert_eq!(variables["GOOGLE_CLOUD_PROJECT"], "my-project");
}

#[test]
fn the_project_after_the_provider_is_googles_and_the_one_before_it_is_lanyards() {
    let mut stage = vaulted::stage();
    stage.set("GOOGLE_CLOUD_PROJECT", "of-gcloud");
    let user = json!({ "type": "authorized_user", "client_id": "c", "client_secret": "s", "refresh_token": "1//0abc" });
    let path = stage.home().join("adc.json");
    std::fs::write(&path, user.to_string()).unwrap();
    let path = path.to_str().unwrap();
    let project = |stage: &Stage, words: &[&str]| {
        let rest = ["--service-account", path, "--name", "x", "--replace", "--no-verify"];
        stage.run(&[words, &rest].concat()).ends(0);
        list(stage).remove(0)["fields"]["project_id"].clone()
    };
    let (before, after) = (["--project", "web-shop"], ["--project", "googles"]);
    let store = ["credentials", "store", "gcp"];
    assert_eq!(project(&stage, &[&before, &store[..]].concat()), "of-gcloud");
    assert_eq!(project(&stage, &["credentials", "store", "--project=web-shop", "gcp"]), "of-gcloud");
    assert_eq!(project(&stage, &[&store[..], &after].concat()), "googles");
    assert_eq!(project(&stage, &[&before, &store[..], &after].concat()), "googles");
    stage.set("LANYARD_PROJECT", "web-shop");
    assert_eq!(project(&stage, &store), "of-gcloud");
    assert_eq!(project(&stage, &[&store[..], &after].concat()), "googles");
}

#[test]
fn a_project_that_cannot_be_seen_is_told() {
    let (google, double) = Google::start();
    let stage = stage(&double);
    let path = given(&stage, "key.json", &google.state().make_key());
    let stored = store(&stage, &["--service-account", &path, "--project", "elsewhere"]).ends(0);
    assert!(stored.stderr().contains("does not let it see the project elsewhere"), "{stored}");
    assert_eq!(tested(&stage)["outcome"], "insufficient");
}

#[test]
fn a_key_that_was_deleted_is_not_stored() {
    let (google, double) = Google::start();
    let stage = stage(&double);
    let path = given(&stage, "key.json", &google.state().make_key());
    google.state().keys.clear();
    let refused = store(&stage, &["--service-account", &path]).ends(8);
    assert!(refused.stderr().contains(&format!("not stored: the key of {EMAIL} was deleted or disabled")), "{refused}");
    assert!(list(&stage).is_empty());
}

#[test]
fn a_wrong_clock_does_not_make_a_good_key_bad() {
    let (google, double) = Google::start();
    let mut stage = stage(&double);
    let path = given(&stage, "key.json", &google.state().make_key());
    stage.at("-3h");
    // The double sends no date, so that nobody can tell what time it is.
    let unsure = store(&stage, &["--service-account", &path]).ends(0);
    assert!(unsure.stderr().contains("finds the time of this machine wrong"), "{unsure}");
    assert_eq!(list(&stage)[0]["status"], "unverified");
}

#[test]
fn a_rotation_leaves_one_key_that_works_wherever_it_breaks_off() {
    let (google, double) = Google::start();
    let stage = stage(&double);
    let first = google.state().make_key();
    let path = given(&stage, "key.json", &first);
    store(&stage, &["--service-account", &path, "--name", "work"]).ends(0);
    stage.run(&["credentials", "rotate", "work"]).ends(0);
    assert_eq!(google.state().keys.keys().collect::<Vec<_>>(), ["key2"]);
    assert_eq!(tested(&stage)["outcome"], "valid");
    let shown = stage.run(&["credentials", "show", "work", "--json"]).ends(0);
    assert!(shown.stdout().contains("key2") && !shown.stdout().contains("key1"), "{shown}");

    // The answer with the new key is lost on its way: the old one works on, and the lost one goes with the next try.
    google.state().loses_the_next = true;
    stage.run(&["credentials", "rotate", "work"]).ends(6);
    assert_eq!(google.state().keys.keys().collect::<Vec<_>>(), ["key2", "key3"]);
    assert_eq!(tested(&stage)["outcome"], "valid");
    stage.run(&["credentials", "rotate", "work"]).ends(0);
    assert_eq!(google.state().keys.keys().collect::<Vec<_>>(), ["key4"]);
    let kept: Value = serde_json::from_str(&reveal(&stage, "work", "key_file")).unwrap();
    assert_eq!(kept["private_key_id"], "key4");
    assert_unseen(&stage, &[&line_of(&first)]);
}

#[test]
fn killed_at_any_moment_the_stored_key_works() {
    let (google, double) = Google::start();
    let stage = stage(&double);
    let path = given(&stage, "key.json", &google.state().make_key());
    store(&stage, &["--service-account", &path, "--name", "work"]).ends(0);
    assert_a_kill_leaves_a_working_one(&stage, "work");
    let kept: Value = serde_json::from_str(&reveal(&stage, "work", "key_file")).unwrap();
    assert_eq!(google.state().keys.keys().collect::<Vec<_>>(), [kept["private_key_id"].as_str().unwrap()]);
}

#[test]
fn a_users_sign_in_is_kept_and_written_again() {
    let (google, double) = Google::start();
    let mut stage = stage(&double);
    stage.set("CLOUDSDK_AUTH_TOKEN_HOST", format!("{}/token", double.url()));
    let refresh = google.state().refresh.clone();
    let adc = json!({ "type": "authorized_user", "client_id": "c.apps.googleusercontent.com",
        "client_secret": "not-so-secret-but-kept", "refresh_token": refresh, "quota_project_id": "my-project" });
    let folder = stage.home().join(".config/gcloud");
    std::fs::create_dir_all(folder.join("configurations")).unwrap();
    std::fs::write(folder.join("application_default_credentials.json"), adc.to_string()).unwrap();
    std::fs::write(folder.join("configurations/config_default"), "[core]\nproject = my-project\n").unwrap();
    let endpoint = double.url();
    let stored = store(&stage, &["--endpoint", &endpoint]).ends(0);
    assert!(stored.stderr().contains("active: user@example.com"), "{stored}");
    std::fs::remove_dir_all(&folder).unwrap();
    let name = list(&stage)[0]["name"].as_str().unwrap().to_owned();
    assert_unseen(&stage, &[&refresh]);
    let written = stage.run(&["credentials", "export", &name, "--format", "gcp-json"]).ends(0);
    assert_eq!(written.json(), adc);
    let refused = stage.run(&["credentials", "rotate", &name]).ends(1);
    assert!(refused.stderr().contains("gcloud auth application-default login"), "{refused}");
    google.state().refresh = "another".into();
    let told = tested(&stage);
    assert_eq!((&told["outcome"], &told["error"]), (&json!("invalid"), &json!("invalid_grant")), "{told}");
}

#[test]
fn a_key_file_that_sends_what_it_signs_elsewhere_is_refused() {
    let (google, double) = Google::start();
    let stage = stage(&double);
    let mut file = google.state().make_key();
    file["token_uri"] = "https://oauth2.googleapis.com.evil.example/token".into();
    let path = given(&stage, "key.json", &file);
    let refused = store(&stage, &["--service-account", &path]).ends(2);
    assert!(refused.stderr().contains("token_uri is no address of Google's"), "{refused}");
    let federated = json!({ "type": "external_account", "token_url": format!("{}/sts", double.url()),
        "credential_source": { "executable": { "command": "touch ran" } } });
    let path = given(&stage, "federated.json", &federated);
    let refused = store(&stage, &["--service-account", &path]).ends(1);
    assert!(refused.stderr().contains("workload identity federation"), "{refused}");
    assert!(double.requests().is_empty() && list(&stage).is_empty());
}

#[test]
fn nothing_to_store_says_how_to_get_something() {
    let refused = store(&vaulted::stage(), &[]).ends(1);
    assert!(refused.stderr().contains("--service-account FILE"), "{refused}");
}
