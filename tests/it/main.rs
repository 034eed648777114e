//! The black-box tests: the real binary on a stage of its own, against real and fake servers.
//!
//! | file | what it is |
//! |---|---|
//! | `stage.rs`, `template.rs` | runs the binary in a fresh home and looks at the whole outcome |
//! | `keyring.rs` | a gnome-keyring on a private bus, `secret-tool` as the witness |
//! | `idp/` | a fake identity provider with a switch for every bad behaviour |
//! | `peers.rs` | identity servers and browsers that we did not write |
//! | `corp.rs` | a service with an API, as a company would configure it |
//! | `canary.rs` | finds secrets where they must not be |
//! | `second_host.rs`, `users.rs`, `crash.rs` | another machine, other users, sudden death |
//! | `secure.rs` | a provider behind TLS, with certificates good and bad |
//! | `terminal.rs` | a person who types at a pseudo-terminal |
//! | `git_http.rs` | git itself, and servers that it talks to |
//! | `double.rs` | an outside API whose routes are a closure |
//! | `wire.rs` | HTTP by hand |
//! | `vaulted.rs`, `agents.rs` | a home with a vault, and an agent for it |
//! | `server/` | the team's server, its browser, and machines that work with it |
//! | `scene.rs` | a stage and a provider that know each other |
//! | the others | the tests |

// The tools are for all tests to come, and the test process reads and writes what it likes.
#![allow(dead_code, unreachable_pub, clippy::missing_docs_in_private_items)]
#![allow(clippy::disallowed_methods, reason = "the rules for the program's surroundings do not bind its tests")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]
#![allow(missing_docs, reason = "a test's name says what it is about")]
#![allow(clippy::missing_panics_doc, clippy::struct_excessive_bools, clippy::field_reassign_with_default)]

mod accounts;
mod agents;
mod api;
mod at_once;
mod belonging;
mod browser;
mod callback;
mod canary;
mod ci;
mod clock;
mod closed_store;
mod corp;
mod crash;
mod crashes;
mod credentials;
mod credentials_shown;
mod discovery;
mod docs;
mod double;
mod environment;
mod escapes;
mod family;
mod git_http;
mod hosts;
mod house;
mod id_tokens;
mod idp;
mod keyring;
mod leaks;
mod leaks_credentials {
    mod answers;
    mod commands;
    mod echo;
    mod exported;
    mod kept;
    mod outlets;
    mod processes;
    mod set_up;
    mod signed_in;
    mod surroundings;
    mod trouble;
}
mod login;
mod peers;
mod private_files;
mod profiles;
mod prompts;
mod providers {
    mod api_key;
    pub mod aws;
    mod cloudflare;
    pub mod clouds;
    mod file;
    mod files_given;
    pub mod foreground;
    mod gcp;
    mod git;
    mod hetzner;
    pub mod k8s;
    mod oauth;
    mod ovh;
    mod password;
    pub mod registry;
    mod registry_asked;
    mod ssh_key;
    mod vercel;
    mod verda;
}
mod proxy;
mod quirks;
mod real_browser;
mod real_clients;
mod real_servers;
mod redirects;
mod refresh;
mod scan;
mod scene;
mod second_host;
mod secure;
#[cfg(feature = "server")]
mod server {
    mod addresses;
    mod api_keys;
    mod audit;
    mod authorize;
    mod backup;
    mod backup_age;
    mod backup_earlier;
    mod backup_told;
    mod bound_tokens;
    mod certificates;
    mod checked;
    mod clients;
    mod clients_registered;
    mod connect;
    mod connect_faults;
    mod connect_refused;
    mod connect_seen;
    mod connect_waits;
    mod costly;
    mod crashes;
    mod credentials;
    mod denied;
    mod devices;
    mod edge;
    mod engine;
    mod engine_busy;
    mod engine_faults;
    mod engine_instances;
    mod engine_issuers;
    mod engine_lost;
    mod engine_moves;
    mod faults;
    mod federated;
    mod federated_issuers;
    mod floods;
    mod grants;
    mod guessing;
    mod identity;
    mod instances;
    mod introspecting;
    mod issuer;
    mod kept;
    mod key_races;
    mod keychain;
    mod leaked;
    mod levels;
    mod limits;
    mod listener;
    mod load;
    mod long_lists;
    mod migrations;
    mod model;
    mod observed;
    mod openbao;
    mod operated;
    mod orders;
    mod organizations;
    mod other_client;
    mod outside;
    mod own_audit;
    mod own_key;
    mod pages;
    mod passkeys;
    mod passphrase;
    mod people;
    mod places;
    mod portal;
    mod portal_kept;
    mod portal_keys;
    mod portal_places;
    mod portal_registries;
    mod portal_seen;
    mod postgres;
    mod postgres_tls;
    mod programs;
    mod proving;
    mod races;
    mod races_commits;
    mod races_guesses;
    mod races_invited;
    mod races_kept;
    mod races_people;
    mod reach;
    mod real_browser;
    mod registries;
    mod registries_seen;
    mod renewing;
    mod reset;
    mod resolving;
    mod rotation;
    mod running;
    mod schemathesis;
    mod sealed;
    mod served;
    mod strange;
    mod syslog;
    mod tampered;
    mod team;
    mod this_machine;
    mod timing;
    mod told_changes;
    mod untouched;
    mod upstream;
    mod upstream_refused;
}
mod settings;
mod shells;
mod stage;
mod stage_tests;
mod storage;
mod surroundings;
mod template;
mod terminal;
mod tls;
mod tools {
    mod agent;
    mod agent_starts;
    mod askpass;
    mod aws;
    mod bazel;
    mod cargo;
    mod container;
    mod docker;
    mod git;
    mod git_cases;
    mod git_sign_in;
    mod git_trouble;
    mod go;
    mod google;
    mod inject;
    mod keyring;
    mod kubectl;
    mod mask;
    mod netrc;
    mod program;
    mod run;
    mod setup;
    mod signals;
    mod ssh_agent;
    mod terraform;
    mod trouble;
}
mod users;
mod vault {
    mod commands;
    mod crashes;
    mod files;
    mod keychain;
    mod together;
}
mod vaulted;
mod wire;
