//! The portal: pages that work without a script.
//!
//! A form is believed if the browser says that it comes from here, and if it carries a word that only a page of this
//! session has.

use axum::http::Method;

use super::caller::Access;
use super::routes::Route;

mod audit;
mod clients;
mod connect;
mod credentials;
mod denied;
mod fields;
pub(crate) mod half;
mod home;
pub(crate) mod inside;
mod invitations;
mod keys;
mod known;
mod member_keys;
mod members;
mod only_project;
mod organization;
mod own;
pub(crate) mod page;
mod passkeys;
mod programs;
mod projects;
mod prove;
mod question;
mod recovery;
mod registries;
mod reset;
mod second_factor;
mod session;
mod set_up;
mod shell;
mod sign_in;
mod table;
mod trust;
mod upstreams;
mod ways;
mod workspaces;

pub(crate) use known::{Entry, Known};
pub(crate) use prove::first as prove_first;
pub(crate) use session::{
    OwnForm, SignedIn, Visitor, errand, local_path, set_cookie, set_errand, shown_session, sign_in_first,
};
pub(crate) use shell::hidden;

pub(crate) fn routes() -> Vec<Route> {
    let ways_in = vec![
        Route::new(Method::GET, "/", Access::Page, home::show),
        Route::new(Method::GET, "/setup", Access::Page, set_up::show),
        Route::new(Method::POST, "/setup", Access::Page, set_up::submit),
        Route::new(Method::GET, "/reset", Access::Page, reset::show),
        Route::new(Method::POST, "/reset", Access::Page, reset::submit),
        Route::new(Method::GET, "/sign-in", Access::Page, sign_in::show),
        Route::new(Method::POST, "/sign-in", Access::Page, sign_in::submit),
        Route::new(Method::POST, "/sign-in/code", Access::Page, half::submit),
        Route::new(Method::POST, "/sign-out", Access::Page, sign_in::sign_out),
        Route::new(Method::GET, second_factor::PATH, Access::Personal, second_factor::show),
        Route::new(Method::POST, second_factor::PATH, Access::Personal, second_factor::submit)
            .freshly(second_factor::PATH),
    ];
    [
        ways_in,
        own::routes(),
        programs::routes(),
        ways::routes(),
        passkeys::routes(),
        recovery::routes(),
        prove::routes(),
        credentials::routes(),
        projects::routes(),
        workspaces::routes(),
        registries::routes(),
        members::routes(),
        member_keys::routes(),
        invitations::routes(),
        keys::routes(),
        connect::routes(),
        upstreams::routes(),
        trust::routes(),
        clients::routes(),
        organization::routes(),
        audit::routes(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
