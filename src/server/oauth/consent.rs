//! What a person is asked before a program is let in, and what a program may ask for.

use super::client::Client;
use super::error::{Given, refused};
use crate::server::people::Member;
use crate::server::permission::{Permission, Permissions};
use crate::server::portal::page::Text;

/// Scopes of other servers that mean nothing here and do no harm.
const IDLE: [&str; 4] = ["openid", "profile", "email", "offline_access"];

/// Everything that there is, in a word.
const ALL: &str = "all";

/// The permissions of a list of scopes. A program that says nothing asks for all that its person has; one that names no
/// permission, to know who they are and nothing more.
pub(super) fn wanted(scope: Option<&str>) -> Given<Permissions> {
    let mut words: Vec<&str> = scope.unwrap_or_default().split_ascii_whitespace().collect();
    // What is given without a value counts as not given (RFC 6749 section 3.1).
    if words.is_empty() || words.contains(&ALL) {
        return Ok(Permissions::all());
    }
    words.retain(|word| !IDLE.contains(word));
    match Permissions::parse(&words.join(" ")) {
        Some(named) => Ok(named),
        None => refused("invalid_scope", "a scope is unknown"),
    }
}

/// Whether it is so much that whoever gives it shows once more who they are: anything but seeing what there is.
pub(super) fn is_weighty(permissions: &Permissions) -> bool {
    permissions.iter().any(|permission| permission != Permission::CredentialsRead)
}

/// What whoever is in no organization of a program is told.
pub(super) const ELSEWHERE: &str = "The program is of an organization that you are not in.";

/// What is asked, with the organizations to choose from, and where the answer goes if it goes anywhere. Only what the person
/// has there is ever given.
pub(super) fn question(client: &Client, to: Option<&str>, permissions: &Permissions, members: &[&Member]) -> String {
    // Whoever has registered it vouches for its name; nobody else does.
    let vouched = client.vouched_for_by().map(|organization| {
        let to = to.map(|to| format!(" The answer goes to <strong>{}</strong>.", Text(to))).unwrap_or_default();
        format!("<p>It was registered by an administrator of <strong>{}</strong>.{to}</p>\n", Text(organization))
    });
    let mut list: String =
        permissions.iter().map(|permission| format!("<li>{}</li>", Text(permission.title()))).collect();
    if permissions.is_empty() {
        list = "<li>Know who you are, and nothing more</li>".into();
    }
    let choice = match members {
        [only] => format!(
            "<input type=\"hidden\" name=\"organization\" value=\"{}\">\n<p>In <strong>{}</strong> it may:</p>",
            Text(only.scope.id()),
            Text(&only.organization)
        ),
        several => {
            let options: String = several
                .iter()
                .map(|member| {
                    format!("<option value=\"{}\">{}</option>", Text(member.scope.id()), Text(&member.organization))
                })
                .collect();
            format!("<label>Organization<select name=\"organization\">{options}</select></label>\n<p>It may:</p>")
        }
    };
    format!(
        "<p><strong>{}</strong> asks to be let in. If you did not just start this yourself, say no.</p>\n{}{choice}\n\
         <ul>{list}</ul>\n\
         <button name=\"decision\" value=\"allow\">Allow</button>\
         <button class=\"quiet\" name=\"decision\" value=\"deny\">No</button>",
        Text(&client.title),
        vouched.unwrap_or_default(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_asks_for_what_there_is() {
        assert_eq!(wanted(None).unwrap(), Permissions::all());
        assert_eq!(wanted(Some("credentials.read all")).unwrap(), Permissions::all());
        assert_eq!(wanted(Some(" ")).unwrap(), Permissions::all());
        for identity in ["openid", "openid offline_access", "profile email"] {
            assert!(wanted(Some(identity)).unwrap().is_empty(), "{identity}");
        }
        assert_eq!(wanted(Some("credentials.read offline_access")).unwrap().words(), "credentials.read");
        assert!(wanted(Some("credentials.read everything")).is_err());
        for (words, is) in
            [("openid", false), ("credentials.read", false), ("credentials.read secrets.read", true), ("", true)]
        {
            assert_eq!(is_weighty(&wanted(Some(words)).unwrap()), is, "{words}");
        }
    }
}
