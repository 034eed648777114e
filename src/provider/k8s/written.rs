//! A context as a kubeconfig of its own.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::flat::{EXTRA, Flat};
use crate::secret::Secret;

impl Flat {
    /// The kubeconfig, in YAML that every reader reads alike: block mappings, and every value in double quotes.
    pub(super) fn written(&self) -> Secret {
        let mut file = Writer::with_room_for(self);
        file.text("apiVersion: v1\nkind: Config\n").pair("current-context", &self.context);
        file.text("clusters:\n- ").pair("name", &self.cluster);
        file.text("  cluster:\n    ").pair("server", &self.server);
        if let Some(authorities) = &self.authorities {
            file.text("    ").pair("certificate-authority-data", &STANDARD.encode(authorities));
        }
        if let Some(name) = &self.server_name {
            file.text("    ").pair("tls-server-name", name);
        }
        if let Some(proxy) = &self.proxy {
            file.text("    ").pair("proxy-url", proxy.expose());
        }
        file.text("contexts:\n- ").pair("name", &self.context);
        file.text("  context:\n    ").pair("cluster", &self.cluster).text("    ").pair("user", &self.user);
        if let Some(namespace) = &self.namespace {
            file.text("    ").pair("namespace", namespace);
        }
        file.text("users:\n- ").pair("name", &self.user).text("  user:\n");
        if let Some(token) = &self.token {
            file.text("    ").pair("token", token.expose());
        }
        if let Some(identity) = &self.identity {
            file.text("    ").pair("client-certificate-data", &STANDARD.encode(&identity.certificate));
            let key = Zeroizing::new(STANDARD.encode(identity.key.expose()));
            file.text("    ").pair("client-key-data", &key);
        }
        if let Some((username, password)) = &self.password {
            file.text("    ").pair("username", username).text("    ").pair("password", password.expose());
        }
        self.write_acting(&mut file);
        file.done()
    }

    fn write_acting(&self, file: &mut Writer) {
        let (extra, plain): (Vec<_>, Vec<_>) = self.acting.iter().partition(|(name, _)| name.starts_with(EXTRA));
        for (name, values) in plain {
            match values.as_slice() {
                [value] if name != "as-groups" => {
                    file.text("    ").pair(name, value);
                }
                values => {
                    file.text("    ").text(name).text(":\n").list("    ", values);
                }
            }
        }
        if !extra.is_empty() {
            file.text("    as-user-extra:\n");
        }
        for (name, values) in extra {
            file.text("      ").quoted(name.trim_start_matches(EXTRA)).text(":\n").list("      ", values);
        }
    }
}

/// A growing text that need not move, so that no copy of it is left behind.
struct Writer(Zeroizing<String>);

impl Writer {
    fn with_room_for(flat: &Flat) -> Self {
        let long = |text: Option<&String>| text.map_or(0, String::len);
        let secret = |text: Option<&Secret>| text.map_or(0, |text| text.expose().len());
        let identity = flat.identity.as_ref().map_or(0, |pair| pair.certificate.len() + pair.key.expose().len());
        let password = flat.password.as_ref().map_or(0, |(name, password)| name.len() + password.expose().len());
        let names = flat.fields().map(|(_, value)| 3 * value.len()).sum::<usize>() + long(flat.server_name.as_ref());
        let acting = flat.acting.iter().flat_map(|(name, values)| values.iter().map(|value| name.len() + value.len()));
        let values = secret(flat.token.as_ref()) + secret(flat.proxy.as_ref()) + password + names + acting.sum::<usize>();
        // A character takes ten bytes at most; base64 takes a third more.
        Self(Zeroizing::new(String::with_capacity(1024 + 10 * values + 2 * (identity + long(flat.authorities.as_ref())))))
    }

    fn text(&mut self, text: &str) -> &mut Self {
        self.0.push_str(text);
        self
    }

    /// `name: "value"` and the end of the line.
    fn pair(&mut self, name: &str, value: &str) -> &mut Self {
        self.text(name).text(": ").quoted(value).text("\n")
    }

    /// A line for each value.
    fn list(&mut self, indent: &str, values: &[String]) -> &mut Self {
        for value in values {
            self.text(indent).text("- ").quoted(value).text("\n");
        }
        self
    }

    /// A value in double quotes (YAML 1.2 section 7.3.1). What is no visible ASCII is escaped.
    fn quoted(&mut self, value: &str) -> &mut Self {
        self.0.push('"');
        for character in value.chars() {
            match character {
                '"' | '\\' => {
                    self.0.push('\\');
                    self.0.push(character);
                }
                ' '..='~' => self.0.push(character),
                // Writing into a String cannot fail.
                other => {
                    let _ = write!(self.0, "\\U{:08X}", u32::from(other));
                }
            }
        }
        self.0.push('"');
        self
    }

    fn done(mut self) -> Secret {
        Secret::new(std::mem::take(&mut *self.0))
    }
}
