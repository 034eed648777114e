//! What lies on a machine, in the order in which the official tools look.

use std::path::PathBuf;

use super::*;
use crate::credential::Class;
use crate::provider::Found;

/// A home with files.
struct Home {
    folder: tempfile::TempDir,
    variables: Vec<(String, String)>,
}

impl Home {
    fn new() -> Self {
        let home = Self { folder: tempfile::tempdir().unwrap(), variables: Vec::new() };
        std::fs::create_dir_all(home.path("bin")).unwrap();
        let path = format!("{}:/usr/bin:/bin", home.path("bin").display());
        home.with("PATH", &path)
    }

    fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join(below)
    }

    fn file(self, below: &str, text: &str) -> Self {
        let path = self.path(below);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
        self
    }

    #[cfg(unix)]
    fn mode(self, below: &str, mode: u32) -> Self {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(self.path(below), PermissionsExt::from_mode(mode)).unwrap();
        self
    }

    /// A program that says this, whatever it is asked, and notes that it was.
    #[cfg(unix)]
    fn program(self, name: &str, text: &str) -> Self {
        let log = self.path("asked");
        let text = format!("#!/bin/sh\necho \"$0 $*\" >> '{}'\ncat <<'END'\n{text}\nEND\n", log.display());
        self.file(&format!("bin/{name}"), &text).mode(&format!("bin/{name}"), 0o755)
    }

    fn was_asked(&self) -> String {
        let text = std::fs::read_to_string(self.path("asked")).unwrap_or_default();
        text.replace(self.folder.path().to_str().unwrap(), "~")
    }

    fn look(&self, profile: Option<&str>) -> Result<Vec<Found>, ProviderError> {
        let variables: Vec<(&str, &str)> =
            self.variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let env = Env::invented(&self.path(".config"), &self.path("work"), &variables);
        let given = profile.map(|profile| (PROFILE.to_owned(), vec![profile.to_owned()])).into_iter().collect();
        PROVIDER.discover(&Here { env: &env, given: &given }).choice()
    }

    /// Each as `name kind value, value from place`.
    fn found(&self, profile: Option<&str>) -> Vec<String> {
        self.look(profile).unwrap().iter().map(told).collect()
    }

    fn failure(&self, profile: Option<&str>) -> String {
        let failure = self.look(profile).unwrap_err();
        let told = format!("{}; {}", crate::error::with_causes(&failure), failure.mend().unwrap_or_default());
        told.replace(self.folder.path().to_str().unwrap(), "~")
    }
}

fn told(found: &Found) -> String {
    let value = |name: &str| found.raw.get(name).map(|value| format!("{name}={}", value.expose()));
    let values: Vec<String> = found.kind.fields.iter().filter_map(|field| value(field.name)).collect();
    let name = found.name.as_deref().unwrap_or("-");
    format!("{name} {} from {}", values.join(", "), found.origin.place)
}

/// A section of the credentials file, whose id ends in the letter that its secret repeats.
fn section(header: &str, letter: char) -> String {
    let secret = letter.to_string().repeat(40);
    format!("[{header}]\naws_access_key_id = AKIAIOSFODNN7EXAMPL{letter}\naws_secret_access_key = {secret}\n")
}

fn pair(letter: char) -> String {
    let secret = letter.to_string().repeat(40);
    format!("access_key_id=AKIAIOSFODNN7EXAMPL{letter}, secret_access_key={secret}")
}

/// Keys as programs and caches have them.
fn json(letter: char, expiration: &str) -> String {
    let secret = letter.to_string().repeat(40);
    format!(
        r#""AccessKeyId": "ASIAIOSFODNN7EXAMPL{letter}", "SecretAccessKey": "{secret}", "SessionToken": "token", "Expiration": "{expiration}""#
    )
}

fn temporary(letter: char, expires: &str) -> String {
    let secret = letter.to_string().repeat(40);
    format!(
        "access_key_id=ASIAIOSFODNN7EXAMPL{letter}, secret_access_key={secret}, session_token=token, expires_at={expires}"
    )
}

const LATER: &str = "2999-01-01T00:00:00Z";

#[test]
fn an_empty_home_has_nothing() {
    assert!(Home::new().found(None).is_empty());
}

#[test]
fn the_environment_comes_first_then_the_chosen_profile_then_the_others() {
    let home = Home::new()
        .file(".aws/credentials", &format!("{}{}{}", section("default", 'A'), section("b", 'B'), section("c", 'C')))
        .file(".aws/config", "[default]\nregion = eu-west-1\n[profile b]\nregion = eu-west-2\n")
        .with("AWS_PROFILE", "b");
    let default = format!("- {}, region=eu-west-1 from ~/.aws/credentials [default]", pair('A'));
    let b = format!("b {}, region=eu-west-2 from ~/.aws/credentials [b]", pair('B'));
    let c = format!("c {} from ~/.aws/credentials [c]", pair('C'));
    assert_eq!(home.found(None), [&b[..], &default, &c]);
    assert_eq!(home.found(Some("c")), [&c[..]]);

    let home = home.with("AWS_ACCESS_KEY_ID", ID).with("AWS_SECRET_ACCESS_KEY", SECRET);
    let home = home.with("AWS_SESSION_TOKEN", "new").with("AWS_CREDENTIAL_EXPIRATION", LATER);
    let variables = format!(
        "- access_key_id={ID}, secret_access_key={SECRET}, session_token=new, expires_at={LATER} from $AWS_ACCESS_KEY_ID"
    );
    assert_eq!(home.found(None), [&variables[..], &b, &default, &c]);
    assert_eq!(home.found(Some("b")), [&b[..]], "a profile that is named wins over the environment");
    let home = home.with("AWS_SECURITY_TOKEN", "old").with("AWS_DEFAULT_PROFILE", "c");
    let found = home.found(None);
    assert!(found[0].contains("session_token=old"), "the old name wins");
    assert_eq!(found[1], c, "as does the older name of the profile");
    assert!(home.look(None).unwrap().iter().all(|found| found.origin.plain_text && !found.origin.whole_file));
}

#[test]
fn files_may_lie_elsewhere_and_may_be_only_one() {
    let home = Home::new()
        .file("elsewhere/keys", &section("x", 'X'))
        .file("work/conf", &section("profile \"my team\"", 'Y'))
        .with("AWS_SHARED_CREDENTIALS_FILE", "~/elsewhere/keys")
        .with("AWS_CONFIG_FILE", "conf");
    let expected = [
        format!("x {} from ~/elsewhere/keys [x]", pair('X')),
        format!("my team {} from ~/work/conf [profile \"my team\"]", pair('Y')),
    ];
    assert_eq!(home.found(None), expected);
}

#[test]
fn a_broken_file_is_an_error_with_its_place() {
    let with = |text: &str| Home::new().file(".aws/credentials", text).failure(None);
    assert_eq!(
        with("[default]\nsecret words\n"),
        "~/.aws/credentials is no usable AWS credentials file: line 2: it is no `key = value`; look at ~/.aws/credentials"
    );
    assert!(
        with("[default]\n\naws_access_key_id = AKIA\n").contains("line 3: aws_secret_access_key is missing beside")
    );
    assert!(with("[a]\naws_secret_access_key = x\n").contains("line 2: aws_access_key_id is missing beside it"));
    let config = |text: &str| Home::new().file(".aws/config", text).failure(None);
    assert!(config("[profile r]\nrole_arn = arn\n").contains("line 2: the role has neither source_profile nor"));
    assert!(config("[profile r]\nsource_profile = q\nrole_arn = a\n").contains("line 2: there is no such profile"));
    let half = Home::new().with("AWS_ACCESS_KEY_ID", ID).failure(None);
    assert!(half.contains("AWS_SECRET_ACCESS_KEY is not set, and its other half is"), "{half}");
    let binary = Home::new();
    std::fs::create_dir_all(binary.path(".aws")).unwrap();
    std::fs::write(binary.path(".aws/config"), [0xff, 0xfe, 0x00]).unwrap();
    assert!(binary.failure(None).contains("it is no text in UTF-8"));
}

#[test]
fn a_profile_that_is_not_there_is_said_to_be_missing() {
    let home = Home::new().file(".aws/credentials", &section("staging", 'A'));
    let told = home.failure(Some("stagin"));
    assert_eq!(told, "there is no profile stagin in ~/.aws/config and ~/.aws/credentials; did you mean staging?");
    assert!(home.with("AWS_PROFILE", "prod").failure(None).starts_with("there is no profile prod in"));
    let empty = Home::new().file(".aws/config", "[profile empty]\nregion = eu-west-1\n");
    assert!(empty.failure(Some("empty")).contains("there is no credential of profile empty"));
    assert!(empty.found(None).is_empty());
}

#[test]
fn a_role_names_what_it_is_assumed_with() {
    let config = "[profile deploy]\nrole_arn = arn:aws:iam::1:role/deploy\nsource_profile = default\nexternal_id = x\n\
                  role_session_name = me\nduration_seconds = 900\nregion = eu-west-1\n\
                  [profile own]\nrole_arn = arn:aws:iam::1:role/own\nsource_profile = own\n\
                  [profile env]\nrole_arn = arn:aws:iam::1:role/env\ncredential_source = Environment\n\
                  [profile code]\nrole_arn = arn:aws:iam::1:role/code\nsource_profile = default\nmfa_serial = arn\n\
                  [profile host]\nrole_arn = arn:aws:iam::1:role/host\ncredential_source = Ec2InstanceMetadata\n";
    let home = Home::new()
        .file(".aws/config", config)
        .file(".aws/credentials", &format!("{}{}", section("default", 'A'), section("own", 'B')));
    assert_eq!(
        home.found(None),
        [
            format!("- {} from ~/.aws/credentials [default]", pair('A')),
            "own role_arn=arn:aws:iam::1:role/own, source=own-keys from ~/.aws/config [profile own]".into(),
            format!("own-keys {} from ~/.aws/credentials [own]", pair('B')),
            "deploy role_arn=arn:aws:iam::1:role/deploy, source=aws, external_id=x, session_name=me, duration=900, \
         region=eu-west-1 from ~/.aws/config [profile deploy]"
                .into(),
            "env role_arn=arn:aws:iam::1:role/env, source=aws from ~/.aws/config [profile env]".into(),
        ]
    );
    let role = home.look(Some("deploy")).unwrap();
    assert!(!role[0].origin.plain_text, "a role is no secret");
    let secrets = |found: &Found| found.raw.names().filter(|name| found.kind.class(name) == Class::Secret).count();
    assert_eq!((role[0].kind.id, secrets(&role[0])), (ROLE, 0));
}

#[test]
fn an_address_of_sts_comes_from_the_services_or_the_profile() {
    let config = "[profile a]\nservices = local\nendpoint_url = https://all.example\n\
                  [profile b]\nendpoint_url = https://all.example\n\
                  [services local]\nsts =\n  endpoint_url = https://sts.example\niam =\n  endpoint_url = https://iam.example\n";
    let home = Home::new()
        .file(".aws/config", config)
        .file(".aws/credentials", &format!("{}{}", section("a", 'A'), section("b", 'B')));
    assert!(home.found(Some("a"))[0].contains("endpoint=https://sts.example from"));
    assert!(home.found(Some("b"))[0].contains("endpoint=https://all.example from"));
}

#[test]
fn caches_give_what_is_still_good() {
    let sso = "[default]\nsso_session = corp\nsso_account_id = 123456789012\nsso_role_name = Dev\nregion = eu-west-1\n\
               [profile old]\nsso_start_url = https://d.example/start\nsso_account_id = 123456789012\nsso_role_name = Dev\n\
               [sso-session corp]\nsso_start_url = https://d.example/start\nsso_region = eu-west-1\n\
               [profile signed-in]\nlogin_session = arn:aws:iam::123456789012:user/alice\n";
    let home = Home::new().file(".aws/config", sso);
    // The names are those that botocore computes.
    let names = ["ecc1e3c8d4fe9b118d11b9cfe1c4a2a4f4a548ae", "a6e9ce1a2d0244d1b32b02eaaab4939dba3c2ae7"];
    let signed_in = "b7d71d383b9557a9bad4c3346c50365819226484c6824a0fdef66637be339db0";
    let entry = |keys: String| format!(r#"{{"ProviderType":"sso","Credentials":{{{keys}}}}}"#);
    let role = |keys: String, arn: &str| format!(r#"{{"Credentials":{{{keys}}},"AssumedRoleUser":{{"Arn":"{arn}"}}}}"#);
    let arn = "arn:aws:sts::123456789012:assumed-role/deploy/botocore-session-1";
    let home = home
        .file(&format!(".aws/cli/cache/{}.json", names[0]), &entry(json('S', LATER)))
        .file(&format!(".aws/cli/cache/{}.json", names[1]), &entry(json('O', "2020-01-01T00:00:00UTC")))
        .file(".aws/cli/cache/role.json", &role(json('R', LATER), arn))
        .file(".aws/cli/cache/over.json", &role(json('V', "2020-01-01T00:00:00Z"), arn))
        .file(".aws/cli/cache/session.db", "not JSON")
        .file(".aws/cli/cache/broken.json", "{")
        .file(".aws/boto/cache/boto.json", &role(json('T', "2999-01-01T00:00:00+00:00"), arn))
        .file(
            &format!(".aws/login/cache/{signed_in}.json"),
            &format!(
                r#"{{"accessToken":{{"accessKeyId":"ASIAIOSFODNN7EXAMPLL","secretAccessKey":"{}","sessionToken":"token","expiresAt":"{LATER}"}},"refreshToken":"r"}}"#,
                "L".repeat(40)
            ),
        );
    assert_eq!(
        home.found(None),
        [
            format!("- {}, region=eu-west-1 from ~/.aws/cli/cache/{}.json", temporary('S', LATER), names[0]),
            format!("signed-in {} from ~/.aws/login/cache/{signed_in}.json", temporary('L', LATER)),
            format!("deploy {} from ~/.aws/boto/cache/boto.json", temporary('T', LATER)),
            format!("deploy {} from ~/.aws/cli/cache/role.json", temporary('R', LATER)),
        ]
    );
    let found = home.look(None).unwrap();
    assert!(found[0].origin.whole_file && !found[1].origin.whole_file && found[2].origin.whole_file);
    assert!(found.iter().all(|found| found.expires.is_some()));
}

#[cfg(unix)]
mod programs {
    use super::*;

    const SSO: &str = "[default]\nsso_start_url = https://d.example\nsso_account_id = 1\nsso_role_name = Dev\n\
                       [profile other]\nsso_start_url = https://d.example\nsso_account_id = 2\nsso_role_name = Dev\n";

    fn answer(letter: char) -> String {
        format!("{{\"Version\": 1, {}}}", json(letter, LATER))
    }

    #[test]
    fn the_official_tool_is_asked_for_what_it_alone_can_make() {
        let home = Home::new().file(".aws/config", SSO).program("aws", &answer('S'));
        let place = "`aws configure export-credentials --profile default`";
        assert_eq!(home.found(None), [format!("- {} from {place}", temporary('S', LATER))]);
        assert_eq!(
            home.was_asked(),
            "~/bin/aws configure export-credentials --format process --profile default\n",
            "of the profile in use alone"
        );
        assert!(!home.look(None).unwrap()[0].origin.plain_text);
        assert!(home.found(Some("other"))[0].starts_with("other access_key_id=ASIAIOSFODNN7EXAMPLS"));
        let home = home.with("AWS_ACCESS_KEY_ID", ID).with("AWS_SECRET_ACCESS_KEY", SECRET);
        let before = home.was_asked();
        assert_eq!(home.found(None).len(), 1);
        assert_eq!(home.was_asked(), before, "nobody is asked when the environment has keys");
    }

    #[test]
    fn a_tool_that_is_missing_too_old_or_signed_out_leads_to_a_sign_in() {
        let missing = Home::new().file(".aws/config", SSO).with("PATH", "/nowhere");
        let told = missing.failure(None);
        assert!(
            told.starts_with("aws did not give a credential: aws is not installed; run `aws sso login --profile"),
            "{told}"
        );
        let old = Home::new().file(".aws/config", SSO).file("bin/aws", "#!/bin/sh\nexit 252\n").mode("bin/aws", 0o755);
        assert!(old.failure(Some("other")).contains("aws ended with code 252; run `aws sso login --profile other`"));
        for (text, problem) in [
            ("{\"Version\": 2, \"AccessKeyId\": \"a\", \"SecretAccessKey\": \"hush\"}", "of another version than 1"),
            ("{\"Version\": 1, \"AccessKeyId\": \"a\", \"SecretAccessKey\": 7}", "its answer is no keys"),
            ("hush", "its answer is no keys"),
        ] {
            let told = Home::new().file(".aws/config", SSO).program("aws", text).failure(None);
            assert!(told.contains(problem) && !told.contains("hush"), "{told}");
        }
    }

    #[test]
    fn the_program_of_a_profile_is_run_for_that_profile_alone() {
        let config = "[default]\nregion = eu-west-1\ncredential_process = maker --for 'the team'\n\
                      [profile other]\ncredential_process = maker --for others\n";
        let home = Home::new().file(".aws/config", config).program("maker", &answer('P'));
        assert_eq!(home.found(None), [format!("- {}, region=eu-west-1 from `maker`", temporary('P', LATER))]);
        assert_eq!(home.was_asked(), "~/bin/maker --for the team\n");
        let keys = home.file(".aws/credentials", &section("default", 'A'));
        assert!(keys.found(None)[0].contains("[default]"), "the credentials file comes first");
        let own = "[default]\ncredential_process = /usr/bin/lanyard credential-process aws\n";
        assert!(Home::new().file(".aws/config", own).found(None).is_empty(), "what comes from the vault stays there");
    }

    #[test]
    fn nothing_is_run_because_of_a_file_that_others_can_write() {
        let config = "[default]\ncredential_process = maker\n";
        let open = Home::new().file(".aws/config", config).mode(".aws/config", 0o666).program("maker", &answer('P'));
        let told = open.failure(None);
        assert!(told.contains("it was not started, since others can write to ~/.aws/config"), "{told}");
        let here = Home::new().file("work/conf", config).with("AWS_CONFIG_FILE", "conf").program("maker", &answer('P'));
        assert!(here.failure(None).contains("by an absolute path"));
        let relative = Home::new().file(".aws/config", "[default]\ncredential_process = ./maker\n");
        assert!(relative.failure(None).contains("line 2: the program is neither a plain name nor an absolute path"));
        let quote = Home::new().file(".aws/config", "[default]\ncredential_process = a 'b\n");
        assert!(quote.failure(None).contains("line 2: a quote stays open"));
        assert_eq!((open.was_asked(), here.was_asked()), (String::new(), String::new()));
    }

    #[test]
    fn a_role_that_asks_for_a_code_is_left_to_the_person() {
        let config = "[default]\nrole_arn = arn:aws:iam::1:role/code\nsource_profile = base\nmfa_serial = arn\n\
                      [profile base]\nregion = eu-west-1\n";
        let home = Home::new().file(".aws/config", config).program("aws", &answer('M'));
        assert!(home.found(None).is_empty());
        assert_eq!(home.was_asked(), "");
        assert!(home.found(Some("default"))[0].contains("ASIAIOSFODNN7EXAMPLM"));
    }
}
