//! Setting tools up: neither what is in the vault nor what lies in a tool's own files is shown.

use lanyard::setup::TOOLS;

use super::commands::{assert_clean, talkative};
use super::kept::{self, Given, Kept};
use crate::canary::{Canary, Sweep};
use crate::stage::{LANYARD, Stage};
use crate::vaulted;

/// The files of a tool, each with secrets of its user, in the ways in which people and programs write them.
const FILES: [(&str, &str, &[&str]); 15] = [
    (
        "git",
        ".gitconfig",
        &[
            "[credential]\n\thelper = store\n[http]\n\textraHeader = Authorization: Basic <X>\n",
            "[credential \"https://git.example\"]\n\thelper = \"!f() { echo password=<X>; }; f\"",
        ],
    ),
    ("git", ".git-credentials", &["https://alice:<X>@git.example\n"]),
    (
        "docker",
        ".docker/config.json",
        &[
            "{\n\t\"auths\": {\n\t\t\"other.example\": {\"auth\": \"<X>\"}\n\t}\n}",
            "{\"auths\":{\"other.example\":{\"auth\":\"<X>\",\"identitytoken\":\"<X>\"}}}",
            "{\"HttpHeaders\":{\"X-Meta\":\"<X>\"},\"credsStore\":\"x\"}",
        ],
    ),
    (
        "kubectl",
        ".kube/config",
        &[
            "apiVersion: v1\nkind: Config\ncurrent-context: mine\nusers:\n- name: me\n  user:\n    token: <X>\ncontexts: []\n",
            "apiVersion: v1\nkind: Config\nusers: [{name: me, user: {token: <X>}}]\n",
            "apiVersion: v1\nkind: Config\nusers:\n- name: me\n  user:\n    token: >-\n      <X>\n",
            "apiVersion: v1\nkind: Config\nusers:\n- name: me\n  user:\n    token:\n      \"<X>\"\n",
            "{\"apiVersion\":\"v1\",\"kind\":\"Config\",\"users\":[{\"name\":\"me\",\"user\":{\"password\":\"<X>\",\"username\":\"a\"}}]}",
            "apiVersion: v1\nkind: Config\nusers:\n- name: me\n  user:\n    exec:\n      command: x\n      args:\n      - --token\n      - <X>\n",
        ],
    ),
    (
        "aws",
        ".aws/config",
        &[
            "[default]\naws_access_key_id = AKIAIOSFODNN7EXAMPLE\naws_secret_access_key = <X>\n[profile aws]\naws_session_token = <X>\n",
        ],
    ),
    (
        "aws",
        ".aws/credentials",
        &["[default]\naws_access_key_id = AKIAIOSFODNN7EXAMPLE\naws_secret_access_key = <X>\n"],
    ),
    (
        "cargo",
        ".cargo/config.toml",
        &[
            "[registries.mine]\nindex = \"sparse+https://h/\"\ntoken = \"<X>\"\n",
            "registry = { token = \"<X>\", global-credential-providers = [\"cargo:token\"] }\n",
            "[registry]\nglobal-credential-providers = [\n  \"cargo:token\",\n  \"mine --token <X>\",\n]\n",
        ],
    ),
    ("cargo", ".cargo/credentials.toml", &["[registry]\ntoken = \"<X>\"\n"]),
    (
        "pip",
        ".config/pip/pip.conf",
        &["[global]\nindex-url = https://alice:<X>@h/simple\nextra-index-url =\n    https://alice:<X>@i/simple\n"],
    ),
    (
        "uv",
        ".config/uv/uv.toml",
        &[
            "[[index]]\nurl = \"https://alice:<X>@h/simple\"\n",
            "extra-index-url = [\n  \"https://alice:<X>@h/simple\",\n]\nkeyring-provider = \"disabled\"\n",
        ],
    ),
    ("npm", ".npmrc", &["//registry.npmjs.org/:_authToken=<X>\n//h/:_password=<X>\n"]),
    (
        "terraform",
        ".terraformrc",
        &[
            "credentials \"app.terraform.io\" {\n  token = \"<X>\"\n}\n",
            "credentials \"h\" { token = \"<X>\" }\ncredentials_helper \"mine\" {\n  args = [\n    \"<X>\"\n  ]\n}\n",
        ],
    ),
    (
        "bazel",
        ".bazelrc",
        &["common --remote_header=Authorization=\"Bearer <X>\"\ncommon --credential_helper=*.h=/x/<X>\n"],
    ),
    ("go", ".config/go/env", &["GOPROXY=https://alice:<X>@h\nGOAUTH=netrc; git <X>\n"]),
    ("ssh", ".ssh/config", &["Host *\n  IdentityAgent ~/<X>\n  SetEnv TOKEN=<X>\n"]),
];

/// What is done with a tool, until it is as it was.
const COMMANDS: [&str; 7] = [
    "setup -vvv",
    "setup --json -v",
    "setup TOOL --dry-run -vvv",
    "setup TOOL --dry-run --host git.example -v",
    "setup TOOL -vvv",
    "setup TOOL --yes -vvv",
    "setup TOOL --undo -vvv",
];

/// A home with every credential, in which tools find the program.
fn stage(given: &Given) -> (Stage, Vec<Kept>) {
    let mut stage = vaulted::stage();
    talkative(&mut stage);
    let bin = stage.home().join(".local/bin");
    std::fs::create_dir_all(&bin).unwrap();
    std::os::unix::fs::symlink(LANYARD, bin.join("lanyard")).unwrap();
    stage.set("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", bin.display()));
    let all = kept::all("http://127.0.0.1:9", given);
    for kept in &all {
        kept.store(&stage, &["--no-verify"]).ends(0);
    }
    (stage, all)
}

#[test]
fn every_tool_has_files_with_secrets() {
    for tool in TOOLS {
        assert!(FILES.iter().any(|(name, ..)| *name == tool.name()), "{} has none", tool.name());
    }
}

#[test]
fn setting_a_tool_up_shows_nothing_of_the_vault_or_of_its_files() {
    let given = Given::new();
    let (stage, all) = stage(&given);
    let own: Vec<Canary> = all.iter().flat_map(|kept| kept.canaries.clone()).collect();
    let mut kept_here = Sweep::for_canaries(&own);
    let theirs = Canary::of_chance(40);
    let canaries = [&own[..], std::slice::from_ref(&theirs)].concat();
    let mut said = Sweep::for_canaries(&canaries);
    let mut changed = 0;
    for (tool, file, texts) in FILES {
        for (number, text) in texts.iter().enumerate() {
            let path = stage.home().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            let text = text.replace("<X>", theirs.text());
            std::fs::write(&path, &text).unwrap();
            std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
            for command in COMMANDS {
                let words: Vec<&str> =
                    command.split(' ').map(|word| if word == "TOOL" { tool } else { word }).collect();
                let outcome = stage.run(&words);
                assert!(!matches!(outcome.code, Some(101) | None), "{outcome}");
                let what = format!("{} with {file} {number}", words.join(" "));
                said.bytes(&format!("stdout of {what}"), &outcome.stdout);
                said.bytes(&format!("stderr of {what}"), &outcome.stderr);
                // Nothing of the vault is written into the tool's files, nor anywhere else.
                if command.contains("--yes") {
                    changed += usize::from(std::fs::read_to_string(&path).unwrap_or_default() != text);
                    kept_here.tree(&stage.home());
                }
            }
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text, "{file} {number} is as it was");
            std::fs::remove_file(&path).unwrap();
        }
    }
    assert!(changed > 15, "only {changed} times was a file changed");
    kept_here.tree(stage.root());
    assert_clean(kept_here, &own, &all);
    assert_clean(said, &canaries, &all);
}
