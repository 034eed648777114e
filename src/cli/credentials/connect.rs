//! Signing in to a service for a credential: what `credentials store oauth` and `credentials reconnect` share.

use std::time::Duration;

use crate::auth::Notice;
use crate::auth::grant::Client;
use crate::auth::login::{self, Login};
use crate::auth::service::{self, Service};
use crate::auth::session::{Place, Session};
use crate::cli::auth::login::{TIMEOUT, person::Sight, redirect};
use crate::cli::{Doors, active, browser, store as stores};
use crate::config::Profile;
use crate::credential::{Credential, Raw};
use crate::error::Result;
use crate::provider::Here;
use crate::secret::Secret;

/// How one wishes to sign in.
#[derive(Debug, Default)]
pub(in crate::cli) struct Wish<'a> {
    pub(in crate::cli) scopes: Option<&'a str>,
    pub(in crate::cli) client_id: Option<&'a str>,
    pub(in crate::cli) device: bool,
    pub(in crate::cli) no_browser: bool,
    /// Whether a code is entered rather than an address opened, where no browser can be opened here.
    pub(in crate::cli) device_if_headless: bool,
    /// The account that is wanted.
    pub(in crate::cli) account: Option<&'a str>,
}

impl<'a> Wish<'a> {
    /// What the inputs of `credentials store oauth` say.
    pub(super) fn of(here: &Here<'a>) -> Self {
        Self {
            scopes: here.input("scopes"),
            client_id: here.input("client-id"),
            device: here.is_on("device"),
            no_browser: here.is_on("no-browser"),
            ..Self::default()
        }
    }
}

/// Signs in to the service that `raw` names, and puts the session and what is known of the account into it.
pub(in crate::cli) fn connect(doors: &Doors<'_>, wish: &Wish<'_>, raw: &mut Raw) -> Result<Session> {
    let (config, profile) = active::active(doors)?;
    let name = raw.get("service").map(|service| service.expose().to_owned()).unwrap_or_default();
    let service = service::find(&config, &name)?;
    let client_id = match wish.client_id {
        Some(id) => id.to_owned(),
        None => service.client_id()?.to_owned(),
    };
    let metadata = service.metadata(doors.http)?;
    let scopes = wish.scopes.map_or_else(|| service.scopes(), login::scopes);
    let endpoint = service.table.endpoint.as_deref();
    let client = Client::new(&service, &metadata, client_id, client_secret(doors, &profile, &service)?);
    let serves_git = service.serves_git(&scopes);
    let login = Login {
        scopes,
        service: &service,
        metadata: &metadata,
        endpoint,
        login_hint: wish.account,
        choose_account: false,
    };
    let offers_codes = metadata.device_authorization_endpoint.is_some();
    let headless = || wish.device_if_headless && offers_codes && browser::obstacle(doors.env).is_some();
    let device = wish.device || (service.quirks.device_first && client.secret.is_none()) || headless();
    let session = {
        let offered = !device && offers_codes;
        let mut sight = Sight::new(doors, false, wish.no_browser || device, offered);
        let person = &mut |notice: Notice<'_>| sight.notice(notice);
        let now = || doors.env.now();
        let fresh = if device {
            login.device(client, None, doors.http, &now, person)?
        } else {
            login.web(client, &redirect(&service, None), Duration::from_secs(TIMEOUT), doors.http, &now, person)?
        };
        if let Some(page) = fresh.page {
            page.signed_in();
        }
        fresh.session
    };
    for (name, value) in service.described(&session, serves_git) {
        raw.plain(name, &value);
    }
    raw.set(Credential::SESSION, session.to_item());
    Ok(session)
}

/// The secret of a confidential client: the one kept with the profile's tokens, or the configuration's.
fn client_secret(doors: &Doors<'_>, profile: &Profile, service: &Service) -> Result<Option<Secret>> {
    if let Some(secret) = &service.table.client_secret {
        return Ok(Some(Secret::new(secret.clone())));
    }
    let store = stores::open(doors, profile.storage.value)?;
    let place = Place::of(doors.env, &profile.name.value);
    Ok(store.get(&place.client_slot(&*store, &service.name, service.address()))?)
}
