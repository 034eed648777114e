//! One broken place hides no other, for every provider that looks in more than one.

use std::fmt::Write;

use crate::provider::api::tests::Home;
use crate::provider::{Discovered, by_name};

const GITHUB: &str = "github.com:\n    user: ann\n    oauth_token: gho_0123456789abcdefghij\n";
const ADC: &str =
    r#"{"type": "authorized_user", "client_id": "c", "client_secret": "s", "refresh_token": "1//0abcdef"}"#;
const AWS: &str = "[default]\naws_access_key_id = AKIAQWERTYUIOPASDFGH\naws_secret_access_key = s\n\
                   [half]\naws_access_key_id = AKIAQWERTYUIOPASDFGJ\n";
const KUBECONFIG: &str = "clusters: [{name: a, cluster: {server: \"https://a.example.com\"}}]\n\
                          contexts: [{name: a, context: {cluster: a, user: a}}]\nusers: [{name: a, user: {token: t}}]\n";
const OVH: &str = "[ovh-eu]\napplication_key=k\napplication_secret=s\nconsumer_key=c\n\
                   [ovh-us]\napplication_key=k\naccess_token=t\n";
const CLIENT: &str = "[default]\nverda_client_id = i\nverda_client_secret = s\n";
const DOCKER: &str = r#"{"auths": {"r.example": {"auth": "YW5uOnNlY3JldA=="}}}"#;

/// What is found, by its place, and what is wrong, without the reason.
fn looked(provider: &str, files: &[(&str, &str)], variables: &[(&str, &str)], inputs: &[(&str, &str)]) -> String {
    let provider = by_name(provider).unwrap();
    let Discovered { found, broken } = Home::new(files, variables).look(provider, inputs);
    let mut told = String::new();
    for found in found {
        writeln!(told, "{}", found.origin.place).unwrap();
    }
    for broken in broken {
        let what = broken.failure.to_string();
        let (place, meant) =
            (what.split(" is no usable ").next().unwrap(), if broken.is_meant { " (meant)" } else { "" });
        writeln!(told, "broken: {place}{meant}").unwrap();
    }
    told
}

#[test]
fn a_broken_place_is_told_beside_what_lies_elsewhere() {
    let found = |provider, files: &[(&str, &str)], variables: &[(&str, &str)], expected: &str| {
        assert_eq!(looked(provider, files, variables, &[]), expected, "{provider}");
    };
    found(
        "git",
        &[(".config/gh/hosts.yml", GITHUB), (".config/glab-cli/config.yml", "hosts: [x"), (".netrc", "machine")],
        &[],
        "~/.config/gh/hosts.yml [github.com]\nbroken: ~/.config/glab-cli/config.yml\nbroken: ~/.netrc\n",
    );
    found(
        "git",
        &[(".git-credentials", "nonsense\n"), (".config/git/credentials", "https://ann:pw@git.example.com\n")],
        &[],
        "~/.config/git/credentials [git.example.com]\nbroken: ~/.git-credentials\n",
    );
    found(
        "api-key",
        &[
            (".config/doctl/config.yaml", "access-token: [x"),
            (".config/stripe/config.toml", "["),
            (".slack/credentials.json", "{"),
            (".cache/huggingface/token", "hf_abcdef"),
            (".cache/huggingface/stored_tokens", "[x\n"),
            (".pypirc", "nonsense\n"),
        ],
        &[("OPENAI_API_KEY", "sk-1")],
        "$OPENAI_API_KEY\n~/.cache/huggingface/token\nbroken: ~/.config/stripe/config.toml\n\
         broken: ~/.slack/credentials.json\nbroken: ~/.config/doctl/config.yaml\nbroken: ~/.pypirc\n\
         broken: ~/.cache/huggingface/stored_tokens\n",
    );
    found(
        "cloudflare",
        &[(".wrangler/config/default.toml", "[")],
        &[("CLOUDFLARE_API_TOKEN", "t")],
        "$CLOUDFLARE_API_TOKEN\nbroken: ~/.wrangler/config/default.toml\n",
    );
    found(
        "vercel",
        &[(".local/share/com.vercel.cli/auth.json", "{")],
        &[("VERCEL_TOKEN", "t")],
        "$VERCEL_TOKEN\nbroken: ~/.local/share/com.vercel.cli/auth.json\n",
    );
    found(
        "hetzner",
        &[(".config/hcloud/cli.toml", "[")],
        &[("HCLOUD_TOKEN", "t")],
        "$HCLOUD_TOKEN\nbroken: ~/.config/hcloud/cli.toml\n",
    );
    found(
        "verda",
        &[(".verda/config.yaml", "auth: [x"), (".verda/credentials", CLIENT)],
        &[],
        "~/.verda/credentials [default]\nbroken: ~/.verda/config.yaml\n",
    );
    found("ovh", &[(".ovh.conf", OVH)], &[], "~/.ovh.conf [ovh-eu]\nbroken: ~/.ovh.conf [ovh-us]\n");
    found(
        "ovh",
        &[(".ovh.conf", OVH), ("work/ovh.conf", "nonsense\n")],
        &[("OVH_ENDPOINT", "ovh-us")],
        "~/.ovh.conf [ovh-eu]\nbroken: ~/work/ovh.conf (meant)\nbroken: ~/.ovh.conf [ovh-us] (meant)\n",
    );
    found(
        "ovh",
        &[("work/ovh.conf", "nonsense\n")],
        &[("OVH_APPLICATION_KEY", "k"), ("OVH_APPLICATION_SECRET", "s"), ("OVH_CONSUMER_KEY", "c")],
        "$OVH_APPLICATION_SECRET\nbroken: ~/work/ovh.conf\n",
    );
    found(
        "registry",
        &[(".docker/config.json", "{"), (".config/containers/auth.json", DOCKER)],
        &[],
        "~/.config/containers/auth.json [r.example]\nbroken: ~/.docker/config.json\n",
    );
    found("password", &[(".msmtprc", "account\n")], &[("SMTP_PASSWORD", "p")], "$SMTP_PASSWORD\nbroken: ~/.msmtprc\n");
    let key = "-----BEGIN OPENSSH PRIVATE KEY-----\nnonsense\n-----END OPENSSH PRIVATE KEY-----\n";
    found("ssh-key", &[(".ssh/id_rsa", key)], &[], "broken: ~/.ssh/id_rsa\n");
    found(
        "gcp",
        &[
            (".config/gcloud/active_config", "x"),
            (".config/gcloud/configurations/config_x", "nonsense\n"),
            (".config/gcloud/application_default_credentials.json", ADC),
            (".config/gcloud/legacy_credentials/a@example.com/adc.json", "{"),
        ],
        &[],
        "~/.config/gcloud/application_default_credentials.json\n\
         broken: ~/.config/gcloud/configurations/config_x\n\
         broken: ~/.config/gcloud/legacy_credentials/a@example.com/adc.json\n",
    );
    found(
        "aws",
        &[(".aws/credentials", AWS), (".aws/config", "nonsense\n")],
        &[],
        "~/.aws/credentials [default]\nbroken: ~/.aws/config\nbroken: ~/.aws/credentials\n",
    );
    found("k8s", &[(".kube/config", "users: [x")], &[], "broken: ~/.kube/config\n");
}

#[test]
fn the_place_that_is_meant_is_told_apart() {
    let adc = (".config/gcloud/application_default_credentials.json", ADC);
    let usual = "~/.config/gcloud/application_default_credentials.json\n";
    let variable = [("GOOGLE_APPLICATION_CREDENTIALS", "~/key.json")];
    let broken = format!("{usual}broken: ~/key.json (meant)\n");
    assert_eq!(looked("gcp", &[adc, ("key.json", "{")], &variable, &[]), broken);
    assert!(looked("gcp", &[adc], &variable, &[]).ends_with("in ~/key.json (meant)\n"));
    let named = looked("gcp", &[adc, ("key.json", "{")], &[], &[("service-account", "~/key.json")]);
    assert_eq!(named, "broken: ~/key.json (meant)\n", "with a flag, nothing else is looked at");

    let aws = [(".aws/credentials", AWS)];
    let half = "broken: ~/.aws/credentials (meant)\n";
    assert_eq!(looked("aws", &aws, &[], &[("aws-profile", "half")]), half);
    assert_eq!(looked("aws", &aws, &[("AWS_PROFILE", "half")], &[]), format!("~/.aws/credentials [default]\n{half}"));
    let keys = [("AWS_PROFILE", "half"), ("AWS_ACCESS_KEY_ID", "AKIAQWERTYUIOPASDFGH"), ("AWS_SECRET_ACCESS_KEY", "s")];
    let told = looked("aws", &aws, &keys, &[]);
    assert_eq!(told, "$AWS_ACCESS_KEY_ID\n~/.aws/credentials [default]\nbroken: ~/.aws/credentials\n");
    let told = looked("aws", &aws, &[("AWS_PROFILE", "none")], &[]);
    assert!(told.starts_with("~/.aws/credentials [default]\n") && told.contains("no profile none"), "{told}");
    assert!(looked("aws", &aws, &keys[1..2], &[]).contains("broken: the environment (meant)\n"));

    let files = [("one", "users: [x"), ("two", KUBECONFIG)];
    let both = std::env::join_paths(["one", "two"].map(|name| format!("../{name}"))).unwrap();
    let told = looked("k8s", &files, &[("KUBECONFIG", both.to_str().unwrap())], &[]);
    assert!(told.contains("two context a\n") && told.ends_with("one (meant)\n"), "{told}");
    let hcloud = (".config/hcloud/cli.toml", "[[contexts]]\nname = \"p\"\ntoken = \"t\"\n");
    let told = looked("hetzner", &[hcloud], &[("HCLOUD_CONTEXT", "q")], &[]);
    assert!(told.starts_with("~/.config/hcloud/cli.toml [p]\n") && told.contains("no context q"), "{told}");
    let told = looked("verda", &[(".verda/credentials", CLIENT)], &[("VERDA_PROFILE", "q")], &[]);
    assert!(told.starts_with("~/.verda/credentials [default]\n") && told.ends_with("(meant)\n"), "{told}");
}

#[test]
fn nothing_is_chosen_where_the_place_that_is_meant_is_broken_or_no_other_holds_anything() {
    let refusal = |files: &[(&str, &str)], variables: &[(&str, &str)]| {
        Home::new(files, variables).look(by_name("aws").unwrap(), &[]).refusal()
    };
    let config = (".aws/config", "nonsense\n");
    assert!(refusal(&[(".aws/credentials", AWS), config], &[]).is_none());
    assert!(refusal(&[], &[]).is_none());
    assert!(refusal(&[config], &[]).unwrap().to_string().starts_with("~/.aws/config is no usable "));
    let meant = refusal(&[(".aws/credentials", AWS), config], &[("AWS_PROFILE", "default")]).unwrap();
    assert!(meant.to_string().starts_with("~/.aws/config is no usable "));
}
