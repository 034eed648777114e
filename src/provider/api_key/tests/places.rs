//! Where keys lie and by what they are recognised.

use super::*;
use crate::provider::Found;

/// What is found in a home with these files: service, place, key, endpoint, name.
fn found(service: Option<&str>, files: &[(&str, &str)], variables: &[(&str, &str)]) -> Result<Vec<String>, ProviderError> {
    let root = tempfile::tempdir().unwrap();
    let home = root.path().join("home");
    for (name, text) in files {
        let path = home.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let env = Env::invented(&home.join("config"), root.path(), variables);
    let given = service.map(|service| ("service".to_owned(), vec![service.to_owned()])).into_iter().collect();
    let told = |found: Found| {
        let raw = |name: &str| found.raw.get(name).map_or("-", Secret::expose).to_owned();
        let name = found.name.clone().unwrap_or_else(|| "-".into());
        [raw("service"), found.origin.place.clone(), raw("api_key"), raw("endpoint"), name].join(" | ")
    };
    Ok(PROVIDER.discover(&Here { env: &env, given: &given }).choice()?.into_iter().map(told).collect())
}

#[test]
fn nothing_is_found_where_nothing_is() {
    assert!(found(None, &[], &[]).unwrap().is_empty());
}

#[test]
fn keys_are_found_where_the_official_tools_keep_them() {
    let files = [
        (".npmrc", "//registry.npmjs.org/:_authToken=npm_one\n//npm.corp.example/:_authToken=two\n"),
        (
            ".config/doctl/config.yaml",
            "access-token: dop_v1_default\nauth-contexts:\n  work: dop_v1_work\ncontext: work\n",
        ),
        (
            ".config/stripe/config.toml",
            "color = \"on\"\n[default]\ntest_mode_api_key = \"rk_test_one\"\nlive_mode_api_key = \"rk_live_****\"\n",
        ),
        (".slack/credentials.json", r#"{"T1":{"token":"xoxe.xoxp-one","team_domain":"acme","exp":1900000000}}"#),
        (".cache/huggingface/token", "hf_in_use\n"),
        (".cache/huggingface/stored_tokens", "[other]\nhf_token = hf_other\n"),
        (
            ".pypirc",
            "[distutils]\nindex-servers = pypi testpypi corp\n[pypi]\nusername = __token__\npassword = pypi-one\n\
             [testpypi]\npassword = pypi-two\n[corp]\nusername = me\npassword = mine\n",
        ),
    ];
    assert_eq!(
        found(None, &files, &[("OPENAI_API_KEY", "sk-variable"), ("TWINE_PASSWORD", "of-a-user")]).unwrap(),
        [
            "openai | $OPENAI_API_KEY | sk-variable | - | -",
            "stripe | ~/.config/stripe/config.toml [default] test_mode_api_key | rk_test_one | - | stripe-test",
            "slack | ~/.slack/credentials.json [acme] | xoxe.xoxp-one | - | slack-acme",
            "digitalocean | ~/.config/doctl/config.yaml [work] | dop_v1_work | - | digitalocean-work",
            "digitalocean | ~/.config/doctl/config.yaml [default] | dop_v1_default | - | -",
            "npm | ~/.npmrc [registry.npmjs.org] | npm_one | https://registry.npmjs.org | -",
            "npm | ~/.npmrc [npm.corp.example] | two | https://npm.corp.example | npm-npm.corp.example",
            "pypi | ~/.pypirc [pypi] | pypi-one | - | -",
            "pypi | ~/.pypirc [testpypi] | pypi-two | https://test.pypi.org/legacy/ | testpypi",
            "huggingface | ~/.cache/huggingface/token | hf_in_use | - | -",
            "huggingface | ~/.cache/huggingface/stored_tokens [other] | hf_other | - | huggingface-other",
        ]
    );
    let one = found(Some("Stripe"), &files, &[("STRIPE_API_KEY", "sk_test_variable")]).unwrap();
    assert_eq!(one.len(), 2);
    assert!(one[0].starts_with("stripe | $STRIPE_API_KEY"), "the variable wins over the file");
}

#[test]
fn a_broken_file_is_named_with_its_line_and_not_quoted() {
    for (service, path, text) in [
        ("digitalocean", ".config/doctl/config.yaml", "access-token: [s3cret\n"),
        ("stripe", ".config/stripe/config.toml", "[default]\ntest_mode_api_key = s3cret\n"),
        ("slack", ".slack/credentials.json", r#"{"T1": {"token": "s3cret" "#),
        ("huggingface", ".cache/huggingface/stored_tokens", "[a]\ns3cret\n"),
        ("pypi", ".pypirc", "[pypi\npassword = s3cret\n"),
    ] {
        let told = found(Some(service), &[(path, text)], &[]).unwrap_err().to_string();
        assert!(told.contains(path) && told.contains("line ") && !told.contains("s3cret"), "{told}");
    }
}

#[test]
fn every_mark_fits_its_keys_and_has_its_keyword() {
    let body = |length: usize| "aB3".chars().cycle().take(length).collect::<String>();
    let hex = |length: usize| "a3f".chars().cycle().take(length).collect::<String>();
    let discord = format!("{}.{}.{}", body(24), body(6), body(38));
    let samples = [
        format!("sk-proj-{}T3BlbkFJ{}", body(20), body(20)),
        format!("sk-{}T3BlbkFJ{}", body(20), body(20)),
        format!("sk-ant-api03-{}AA", body(93)),
        format!("sk-ant-oat01-{}", body(95)),
        format!("sk_live_{}", body(24)),
        format!("sk_test_{}", body(99)),
        format!("rk_live_{}", body(24)),
        format!("rk_test_{}", body(24)),
        format!("lin_api_{}", body(40)),
        format!("lin_oauth_{}", body(64)),
        format!("xoxb-123456789012-123456789012-{}", body(24)),
        format!("xoxe.xoxp-1-{}", body(60)),
        format!("xapp-1-A012ABCD-123456789012-{}", hex(64)),
        format!("xwfp-{}", body(40)),
        format!("dop_v1_{}", hex(64)),
        format!("doo_v1_{}", hex(64)),
        format!("npm_{}", body(36)),
        pypi::tests::token(&[r#"[1, ["one"]]"#]),
        format!("hf_{}", body(34)),
        format!("api_org_{}", body(34)),
        format!("SG.{}.{}", body(22), body(43)),
        discord.clone(),
        discord,
    ];
    let mut used = vec![false; marks::MARKS.len()];
    for sample in &samples {
        let text = format!("x = {{DISCORD_TOKEN: \"{sample}\", discord_bot_token=\"{sample}\"}}");
        let mut hit = false;
        for (used, mark) in used.iter_mut().zip(&marks::MARKS) {
            let Some(found) = regex::Regex::new(mark.pattern).unwrap().captures(&text) else { continue };
            assert!(found[0].contains(mark.keyword), "{}", mark.pattern);
            assert!(Service::of(mark.service).is_some() && KINDS[0].field(mark.field).is_some());
            if mark.service != "discord" || sample.contains('.') {
                *used |= found[1] == **sample;
                hit |= found[1] == **sample;
            }
        }
        assert!(hit, "{sample} is not recognised");
    }
    assert!(used.iter().all(|used| *used), "a mark without a sample: {used:?}");
}
