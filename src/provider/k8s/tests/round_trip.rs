//! What was written is read back, whatever the values are; and no text makes the reader panic.

use proptest::prelude::*;

use super::*;
use crate::provider::k8s::flat::{EXTRA, Identity};
use crate::provider::k8s::kubeconfig::Kubeconfig;

/// A line: anything but control characters, and not blank alone.
const LINE: &str = "[^\\p{Cc}]{0,12}[!-~é\u{1F511}][^\\p{Cc}]{0,12}";
const WORD: &str = "[!-~]{1,60}";

fn flats() -> impl Strategy<Value = Flat> {
    let names = (LINE, LINE, LINE, proptest::option::of(LINE));
    let trust = (any::<bool>(), proptest::option::of(WORD), proptest::option::of("[a-z]{1,9}:[!-~]{0,9}"));
    let secrets = (proptest::option::of(WORD), any::<bool>(), proptest::option::of((LINE, LINE)));
    let acting = (proptest::option::of(LINE), proptest::collection::vec(LINE, 0..3), proptest::option::of((WORD, LINE)));
    (names, trust, secrets, acting).prop_map(|(names, trust, (token, identity, password), (user, groups, extra))| {
        let mut acting = Vec::new();
        acting.extend(user.map(|user| ("as".to_owned(), vec![user])));
        if !groups.is_empty() {
            acting.push(("as-groups".to_owned(), groups));
        }
        acting.extend(extra.map(|(name, value)| (format!("{EXTRA}{name}"), vec![value])));
        Flat {
            context: names.0,
            cluster: names.1,
            user: names.2,
            namespace: names.3,
            server: SERVER.into(),
            authorities: trust.0.then(|| UNTIL_2030.to_owned()),
            server_name: trust.1,
            proxy: trust.2.map(|login| Secret::new(format!("http://{login}@proxy.example.com:1"))),
            // One of them has to be there.
            token: token.or_else(|| (!identity && password.is_none()).then(|| "t".to_owned())).map(Secret::new),
            identity: identity.then(|| Identity { certificate: UNTIL_2057.into(), key: Secret::new(KEY.into()) }),
            password: password.map(|(name, password)| (name, Secret::new(password))),
            program: None,
            acting,
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_context_that_was_written_is_read_back(flat in flats()) {
        // Some random proxies are no addresses, which is another matter.
        let fits = |proxy: &Secret| url::Url::parse(proxy.expose()).is_ok();
        prop_assume!(flat.proxy.as_ref().is_none_or(fits));
        let written = flat.written();
        let read = Flat::of_text(&written, None).map_err(|refusal| TestCaseError::fail(format!("{refusal:?}")))?;
        prop_assert_eq!(read.fields().collect::<Vec<_>>(), flat.fields().collect::<Vec<_>>());
        prop_assert_eq!(&read.authorities, &flat.authorities);
        prop_assert_eq!(&read.server_name, &flat.server_name);
        prop_assert_eq!(&read.proxy, &flat.proxy);
        prop_assert_eq!(&read.token, &flat.token);
        prop_assert_eq!(&read.password, &flat.password);
        prop_assert_eq!(&read.acting, &flat.acting);
        let pair = |flat: &Flat| {
            flat.identity.as_ref().map(|pair| (pair.certificate.clone(), pair.key.expose().to_owned()))
        };
        prop_assert_eq!(pair(&read), pair(&flat));
        prop_assert!(written.expose().is_ascii());
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in "\\PC{0,300}", key in "[a-z&*!<:{}\\[\\]-]{0,8}", bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Kubeconfig::parse(&Secret::new(text.clone()));
        let _ = Flat::of_text(&Secret::new(kubeconfig(&format!("{{{key}: {text}}}"))), None);
        let _ = certificate::not_after(&bytes);
        let _ = jwt::claims(&Secret::new(format!("a.{}.b", URL_SAFE_NO_PAD.encode(&bytes))));
        let _ = jwt::claims(&Secret::new(text));
    }

    #[test]
    fn a_broken_certificate_is_no_certificate(at in 0_usize..400, byte in any::<u8>()) {
        let body: String = UNTIL_2030.lines().filter(|line| !line.starts_with('-')).collect();
        let mut der = STANDARD.decode(body).unwrap();
        let at = at % der.len();
        der[at] = byte;
        let _ = certificate::not_after(&der);
    }
}
