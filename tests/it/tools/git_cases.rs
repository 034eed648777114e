//! git's own tests of credential helpers, with this one.

use std::os::unix::fs::PermissionsExt;

use super::git::store;
use crate::git_http::{git, git_beside, knows_authtype, own_helper, succeeded};
use crate::vaulted;

/// The cases of git's own tests of helpers (t0300 and lib-credential), as far as they hold for a helper that keeps
/// nothing that git hands it. What it has was stored with lanyard.
#[test]
fn it_behaves_as_git_wants_helpers_to() {
    let mut stage = vaulted::stage();
    let askpass = stage.root().join("askpass");
    let script = "#!/bin/sh\ncase \"$1\" in Username*) echo asked-user;; *) echo asked-pass;; esac\n";
    std::fs::write(&askpass, script).unwrap();
    std::fs::set_permissions(&askpass, PermissionsExt::from_mode(0o755)).unwrap();
    stage.set("GIT_ASKPASS", &askpass);
    let own = own_helper();
    let run =
        |helpers: &[&str], operation: &str, text: &str| git_beside(&stage, helpers, &["credential", operation], text);
    let fill = |text: &str| {
        let filled = succeeded(&run(&[&own], "fill", text));
        let value = |key: &str| filled.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default().to_owned();
        format!("{} {}", value("username="), value("password="))
    };
    let at = |rest: &str| format!("protocol=https\nhost=example.com\n{rest}\n");
    let asked = "asked-user asked-pass";

    // Has nothing; is handed something and keeps nothing.
    assert_eq!(fill(&at("")), asked);
    succeeded(&run(&[&own], "approve", &at("username=store-user\npassword=store-pass\n")));
    assert_eq!(fill(&at("")), asked);
    store(&stage, "example.com", "store-user", "store-pass", &["--name", "one"]);
    assert_eq!(fill(&at("")), "store-user store-pass");
    // Protocol, host, user and path must match.
    assert_eq!(fill("protocol=http\nhost=example.com\n\n"), asked);
    assert_eq!(fill("protocol=https\nhost=other.tld\n\n"), asked);
    assert_eq!(fill(&at("username=other\n")), "other asked-pass");
    store(&stage, "path.tld", "user", "pass", &["--path", "foo.git", "--name", "path"]);
    for (path, password) in [("foo.git", "pass"), ("bar.git", "asked-pass")] {
        let asks = ["-c", "credential.useHttpPath=true", "credential", "fill"];
        let output = succeeded(&git(&stage, &asks, &format!("protocol=https\nhost=path.tld\npath={path}\n\n")));
        assert!(output.contains(&format!("password={password}\n")), "{path}: {output}");
    }
    // Nothing is forgotten, neither a host nor a user.
    succeeded(&run(&[&own], "reject", &at("")));
    assert_eq!(fill(&at("")), "store-user store-pass");
    for (user, password) in [("user1", "pass1"), ("user2", "pass2")] {
        store(&stage, "two.tld", user, password, &["--name", user]);
    }
    let two = |user: &str| fill(&format!("protocol=https\nhost=two.tld\nusername={user}\n\n"));
    assert_eq!((two("user1").as_str(), two("user2").as_str()), ("user1 pass1", "user2 pass2"));
    succeeded(&run(&[&own], "reject", "protocol=https\nhost=two.tld\nusername=user1\n\n"));
    assert_eq!((two("user1").as_str(), two("user2").as_str()), ("user1 pass1", "user2 pass2"));
    // Two users and none named: neither is guessed.
    assert_eq!(fill("protocol=https\nhost=two.tld\n\n"), asked);
    // A whole answer ends the chain, none passes it on.
    let other = "!f() { cat >/dev/null; echo username=next; echo password=helper; }; f";
    let chain = |text: &str| succeeded(&run(&[&own, other], "fill", text));
    assert!(chain(&at("")).contains("password=store-pass\n"));
    assert!(chain("protocol=https\nhost=other.tld\n\n").contains("password=helper\n"));
    // A git that announces what it knows gets the form that others do not keep.
    if knows_authtype() {
        let filled = succeeded(&run(&[&own], "fill", &format!("capability[]=authtype\n{}", at(""))));
        assert!(filled.contains("authtype=Basic\n") && filled.contains("ephemeral=1\n"), "{filled}");
        // One who is asked for by another name gets nothing, one who announces nothing gets a password.
        let other = format!("capability[]=authtype\n{}", at("username=barbaz\n"));
        assert!(!succeeded(&run(&[&own], "fill", &other)).contains("authtype="));
        assert!(!succeeded(&run(&[&own], "fill", &at(""))).contains("authtype="));
        // It keeps no state between the questions of one sign-in.
        let stateful = format!("capability[]=authtype\ncapability[]=state\nstate[]=lanyard.x=y\n{}", at(""));
        let filled = succeeded(&run(&[&own], "fill", &stateful));
        assert!(filled.contains("authtype=Basic\n") && !filled.contains("continue="), "{filled}");
    }
    // A user name that another helper gave, or that the address has, is the one that is asked for; one with a slash too.
    let partial = |user: &str| format!("!f() {{ cat >/dev/null; echo username={user}; }}; f");
    let both = |user: &str| succeeded(&run(&[&partial(user), &own], "fill", "protocol=https\nhost=two.tld\n\n"));
    assert!(both("user2").contains("password=pass2\n") && both("other").contains("password=asked-pass\n"));
    store(&stage, "slash.tld", "user/name", "pass", &["--name", "slash"]);
    assert_eq!(fill("url=https://user%2fname@slash.tld/foo/bar.git\n\n"), "user/name pass");
    // A question that is whole already is not asked.
    assert_eq!(fill(&at("username=one\npassword=two\n")), "one two");
    // Path and host are compared as git decodes them.
    let by_path = |url: &str| {
        let asks = ["-c", "credential.useHttpPath=true", "credential", "fill"];
        succeeded(&git(&stage, &asks, &format!("url={url}\n\n"))).contains("password=pass\n")
    };
    assert!(by_path("https://path.tld/f%6fo.git") && by_path("https://path.tld/foo.git/info"));
    for url in ["https://path.tld/%2566oo.git", "https://path.tld/per%C3%BA.git", "https://path.tld?foo.git"] {
        assert!(!by_path(url), "{url}");
    }
    for url in ["https://example.com%23%3f%2f/foo.git", "https://example.com%2eevil/", "https://example.com:8443/"] {
        assert_eq!(fill(&format!("url={url}\n\n")), asked, "{url}");
    }
    for url in ["https://example.com?foo.git", "https://example.com#foo.git", "https://example.com/repo.git"] {
        assert_eq!(fill(&format!("url={url}\n\n")), "store-user store-pass", "{url}");
    }
    // A header of any length is no other line.
    for length in [900, 1001, 1024, 8000] {
        let long = format!("wwwauth[]=basic realm={}host=example.com\n", "a".repeat(length));
        assert_eq!(fill(&format!("protocol=https\nhost=badguy.example.com\n{long}\n")), asked);
    }
    // What is handed over as a whole header, or for once, is not kept either; nor is a refresh token, nor an end.
    for more in [
        "capability[]=authtype\nauthtype=Bearer\ncredential=random-token\n",
        "capability[]=authtype\nauthtype=Bearer\ncredential=random-token\nephemeral=1\n",
        "username=user4\npassword=pass\noauth_refresh_token=xyzzy\n",
        "username=user4\npassword=pass\npassword_expiry_utc=9999999999\n",
        "username=\npassword=\n",
    ] {
        succeeded(&run(&[&own], "approve", &format!("protocol=https\nhost=new.tld\n{more}\n")));
        assert_eq!(fill("protocol=https\nhost=new.tld\n\n"), asked, "{more:?}");
    }
    // What git itself refuses never comes this far.
    for text in ["protocol=http\n\n", "host=example.com\n\n", "url=https://one.example.com?%0ahost=example.com/\n\n"] {
        assert!(!run(&[&own], "fill", text).status.success(), "{text:?}");
    }
    // A protocol without a host, for which a client certificate's passphrase is asked.
    let certificate = run(&[&own], "fill", "url=cert:///path/to/cert.pem\n\n");
    assert!(String::from_utf8_lossy(&certificate.stdout).contains("password=asked-pass\n"));
}
