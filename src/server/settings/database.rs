//! Which database it is, and the password for it.

use std::fmt;
use std::path::Path;

use serde::Deserialize;

use super::Found;
use super::keeping::Find;
use crate::os::files;
use crate::server::db::Address;
use crate::server::error::ServeError;

/// A database as it was named: an address that may hold a password, which no `Debug` shows.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct Named(String);

impl Named {
    pub(super) fn text(&self) -> &String {
        &self.0
    }
}

impl fmt::Debug for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Named(…)")
    }
}

impl<T: Into<String>> From<T> for Named {
    fn from(text: T) -> Self {
        Self(text.into())
    }
}

/// The database of a server that is told nothing, in the data folder.
const DATABASE: &str = "sqlite:server.db";

/// Reads what was given.
pub(super) fn read(find: &Find<'_>, data: &Path) -> Result<Address, ServeError> {
    let database = match find("database", |given| given.database.as_ref().map(Named::text)) {
        Some(found) => Address::parse(&found.value, data)
            .ok_or_else(|| found.bad("it is neither `sqlite:FILE` nor `postgres://…`"))?,
        None => Address::parse(DATABASE, data).ok_or(ServeError::NoRandom)?,
    };
    match find("database-password-file", |given| given.database_password_file.as_ref()) {
        Some(found) => with_password(database, &found),
        None => Ok(database),
    }
}

/// The address with the password that a file of its owner's alone holds.
fn with_password(address: Address, file: &Found) -> Result<Address, ServeError> {
    let Address::Postgres(mut url) = address else { return Err(file.bad("the database is none that has a password")) };
    if url.password().is_some() {
        return Err(file.bad("the address of the database holds a password already"));
    }
    let bytes = files::read_private(&file.path()).map_err(|failure| file.bad(&failure.to_string()))?;
    let bytes = zeroize::Zeroizing::new(bytes.ok_or_else(|| file.bad("there is no such file"))?);
    let text = std::str::from_utf8(&bytes).map_err(|_| file.bad("it is no text"))?.trim_end_matches(['\r', '\n']);
    url.set_password(Some(text)).map_err(|()| file.bad("the database is none that has a password"))?;
    Ok(Address::Postgres(url))
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::os::Env;
    use crate::server::settings::{Given, Settings};

    #[test]
    fn no_debug_form_of_settings_shows_the_password_of_the_database() {
        let dir = tempfile::tempdir().unwrap();
        let env = Env::invented(dir.path(), Path::new("/work"), &[]);
        for url in ["postgres://u:LNYCANARYp%40ss@db:5433/d", "postgresql://db/d?user=u&password=LNYCANARYp%40ss"] {
            let given = Given { database: Some(url.into()), ..Given::default() };
            let settings = Settings::read(&given, None, &env).unwrap();
            let address = &settings.database;
            for shown in [format!("{given:?}"), format!("{given:#?}"), format!("{settings:?}"), format!("{address:#?}")]
            {
                assert!(!shown.contains("LNYCANARY"), "{shown}");
            }
            assert!(format!("{settings:?}").contains("postgres://db"), "{settings:?}");
            // In a file as well.
            let file: Given = toml::from_str(&format!("database = {url:?}")).unwrap();
            assert!(!format!("{file:?}").contains("LNYCANARY") && file.database.unwrap().text() == url);
        }
    }

    #[test]
    fn the_password_of_the_database_comes_from_a_file_of_its_owners_alone() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("password");
        std::fs::write(&file, "LNYCANARY p@ss/word\n").unwrap();
        let with = |database: &str| {
            let given = Given {
                database: Some(database.into()),
                database_password_file: Some(file.display().to_string()),
                ..Given::default()
            };
            Settings::read(&given, None, &Env::invented(dir.path(), Path::new("/work"), &[]))
                .map(|settings| settings.database)
        };
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o644)).unwrap();
        let readable = with("postgres://u@db/d").unwrap_err().to_string();
        assert!(readable.starts_with("--database-password-file cannot be used"), "{readable}");
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
        let address = with("postgres://u@db/d").unwrap();
        assert!(!address.in_words().contains("LNYCANARY"));
        let Address::Postgres(url) = address else { panic!("{}", address.in_words()) };
        let config: postgres::Config = url.as_str().parse().unwrap();
        assert_eq!(config.get_password(), Some("LNYCANARY p@ss/word".as_bytes()));
        for bad in ["postgres://u:other@db/d", "sqlite:a.db"] {
            let told = with(bad).unwrap_err().to_string();
            assert!(!told.contains("other") && !told.contains("LNYCANARY"), "{told}");
        }
        std::fs::remove_file(&file).unwrap();
        assert!(with("postgres://u@db/d").unwrap_err().to_string().contains("there is no such file"));
    }
}
