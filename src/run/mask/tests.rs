use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use proptest::prelude::*;

use super::*;

fn secrets(all: &[&str]) -> Vec<Secret> {
    all.iter().map(|secret| Secret::new((*secret).to_owned())).collect()
}

fn masks(all: &[&str]) -> Arc<Masks> {
    Arc::new(Masks::of(&secrets(all), &BTreeSet::new()))
}

/// What leaves when the text comes in these chunks, over and over.
fn masked(masks: &Arc<Masks>, text: &[u8], sizes: &[usize]) -> Vec<u8> {
    let mut stream = Stream::new(Arc::clone(masks));
    let mut out = Vec::new();
    let mut rest = text;
    for size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (chunk, after) = rest.split_at((*size).clamp(1, rest.len()));
        stream.push(chunk, &mut out);
        rest = after;
    }
    stream.end(&mut out);
    out
}

fn whole(all: &[&str], text: &str) -> String {
    let masks = masks(all);
    let at_once = masked(&masks, text.as_bytes(), &[usize::MAX]);
    assert_eq!(at_once, masked(&masks, text.as_bytes(), &[1]), "byte by byte");
    String::from_utf8(at_once).unwrap()
}

#[test]
fn secrets_become_stars_and_the_rest_stays() {
    assert_eq!(whole(&["hunter2!"], "a hunter2! b hunter2 hunter2!"), "a *** b hunter2 ***");
    assert_eq!(whole(&["abcd", "abcdef"], "abcdef abcde abcd abc"), "*** ***e *** abc");
    // One that began before does not save the end of another.
    assert_eq!(whole(&["abcd", "cdef"], "xabcdefx"), "x***x");
    assert_eq!(whole(&["bcde", "abcdefg"], "abcdefg abcdefx"), "*** a***fx");
    assert_eq!(whole(&["abab"], "ababab ababxab"), "*** ***xab");
    assert_eq!(whole(&["abcd"], "abcdabcd abcd"), "*** ***");
    assert_eq!(whole(&["abc", "   ", ""], "abc    x"), "abc    x");
    assert_eq!(whole(&[], "text"), "text");
    assert_eq!(whole(&["abcd\n"], "abcd\nabcd"), "***\n***");
}

#[test]
fn every_form_is_found_wherever_it_stands() {
    let secret = "p/ä'\"s\\s <&> $w?=%+x";
    let masks = masks(&[secret]);
    let python_url = "p%2F%C3%A4%27%22s%5Cs%20%3C%26%3E%20%24w%3F%3D%25%2Bx";
    let mut all = vec![
        secret.to_owned(),
        python_url.to_owned(),
        python_url.replace("%20", "+"),
        python_url.to_lowercase(),
        "p%2F%C3%A4'%22s%5Cs%20%3C%26%3E%20%24w%3F%3D%25%2Bx".to_owned(),
        r#"p/ä'\"s\\s <&> $w?=%+x"#.to_owned(),
        r#"p\/\u00e4'\"s\\s <&> $w?=%+x"#.to_owned(),
        r#"p/ä'\"s\\s \u003c\u0026\u003e $w?=%+x"#.to_owned(),
        r#"p/ä'\''"s\s <&> $w?=%+x"#.to_owned(),
        r#"p/ä'"'"'"s\s <&> $w?=%+x"#.to_owned(),
    ];
    for shift in ["", "x", "xy", "user:"] {
        for end in ["", "!", "!!", "!!!"] {
            let text = format!("{shift}{secret}{end}");
            all.extend([STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD].map(|engine| engine.encode(&text)));
        }
    }
    for form in all {
        let out = masked(&masks, format!("[{form}]").as_bytes(), &[3]);
        let out = String::from_utf8(out).unwrap();
        assert!(out.contains("***") && out.len() <= 22, "{form}: {out}");
        assert!(!out.contains("s <") && !out.contains("%3C"), "{form}: {out}");
    }
    // Alone in base64, nothing of it is left.
    for engine in [STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD] {
        assert_eq!(masked(&masks, engine.encode(secret).as_bytes(), &[7]), MASK);
    }
}

#[test]
fn a_secret_of_many_lines_is_masked_line_by_line() {
    let pem = "-----BEGIN KEY-----\nTE5ZQ0FOQVJZMDE=\n\n  {\nTE5Z\n-----END KEY-----\n";
    let out = whole(&[pem], "log: TE5ZQ0FOQVJZMDE=\r\n-----BEGIN KEY-----\n{ TE5Z }");
    assert_eq!(out, "log: ***\r\n-----BEGIN KEY-----\n{ TE5Z }");
    assert_eq!(whole(&[pem], &format!("a{pem}b")), "a***\nb");
    assert_eq!(whole(&[pem], &STANDARD.encode(pem)), "***");
}

#[test]
fn of_a_file_of_names_and_values_the_values_are_masked() {
    let yaml = "apiVersion: v1\nkind: Config\nusers:\n- name: dev-cluster\n  token: 's3cr3t-value'\n";
    let json = "{\n \"type\": \"service_account\",\n \"key\": \"-----BEGIN KEY-----\\nTE5ZQ0FOQVJZ\\n-----END KEY-----\\n\"\n}\n";
    let ini = "[default]\npassword = correct horse\nDB_URL=x://y:hunter2\n";
    let plain = BTreeSet::from(["dev-cluster".to_owned()]);
    let masks = Arc::new(Masks::of(&secrets(&[yaml, json, ini]), &plain));
    let text = "apiVersion: v1\nkind: Config name: dev-cluster s3cr3t-value TE5ZQ0FOQVJZ correct horse x://y:hunter2 [default]";
    let out = String::from_utf8(masked(&masks, text.as_bytes(), &[5])).unwrap();
    assert_eq!(out, "apiVersion: v1\nkind: Config name: dev-cluster *** *** *** *** ***");
}

#[test]
fn only_what_may_be_a_secret_is_held_back() {
    let masks = masks(&["s3cr3t-value"]);
    let mut stream = Stream::new(Arc::clone(&masks));
    let mut out = Vec::new();
    for (chunk, so_far) in [
        (&b"Password: "[..], "Password: "),
        (b"s3cr3t", "Password: "),
        (b"X s", "Password: s3cr3tX "),
        (b"3cr3t-valu", "Password: s3cr3tX "),
        (b"e", "Password: s3cr3tX ***"),
        (b"!", "Password: s3cr3tX ***!"),
    ] {
        stream.push(chunk, &mut out);
        assert_eq!(String::from_utf8_lossy(&out), so_far);
    }
    stream.end(&mut out);
    assert_eq!(String::from_utf8_lossy(&out), "Password: s3cr3tX ***!");
}

#[test]
fn more_can_be_looked_for_later() {
    let mut stream = Stream::new(masks(&["s3cr3t-value"]));
    let mut out = Vec::new();
    stream.push(b"another s3cr3t-value s3cr3t-v", &mut out);
    stream.look_for(masks(&["s3cr3t-value", "another", "cr3t-v"]), &mut out);
    assert_eq!(String::from_utf8_lossy(&out), "another *** ");
    stream.push(b"alue another s3cr3t-", &mut out);
    stream.end(&mut out);
    assert_eq!(String::from_utf8_lossy(&out), "another *** *** *** s3cr3t-");
}

#[test]
fn memory_does_not_grow_with_the_stream() {
    let masks = masks(&["aaaaaaab", "s3cr3t-value"]);
    let mut stream = Stream::new(Arc::clone(&masks));
    let mut out = Vec::new();
    for _ in 0..2000 {
        stream.push(&[b'a'; 4096], &mut out);
        out.clear();
        assert!(stream.held.len() < 64 && stream.found.len() < 4);
    }
    for _ in 0..2000 {
        stream.push("s3cr3t-value".repeat(300).as_bytes(), &mut out);
        assert!(stream.held.len() < 64 && stream.found.len() < 4);
    }
    assert_eq!(out.iter().position(|byte| *byte == b'*').map(|at| out.len() - at), Some(3), "one stretch is one mask");
}

#[test]
fn large_secrets_take_the_other_automaton() {
    let large: String = (0..40_000u32).map(|number| char::from(b'a' + (number * number % 23) as u8)).collect();
    let masks = masks(&[&large, "s3cr3t-value"]);
    assert!(matches!(masks.finder, Some(Finder { automaton: Either::Many(_), .. })));
    let text = format!("x{large}y s3cr3t-value {}", &large[..39_999]);
    let out = masked(&masks, text.as_bytes(), &[1000, 1, 70_000]);
    assert_eq!(String::from_utf8(out).unwrap(), format!("x***y *** {}", &large[..39_999]));
}

/// A text in base64 as programs write it: in lines of this length, each with this end.
fn in_lines(text: &str, length: usize, end: &str) -> String {
    let encoded = STANDARD.encode(text);
    let lines = encoded.as_bytes().chunks(length).map(|line| std::str::from_utf8(line).unwrap());
    lines.map(|line| format!("{line}{end}")).collect()
}

#[test]
fn base64_that_is_broken_into_lines_is_found() {
    let long: String = (0..150u32).map(|number| char::from(b'!' + (number * 7919 % 90) as u8)).collect();
    let masks = masks(&[&long, "a-short-s3cr3t"]);
    for (length, end) in [(64, "\n"), (76, "\n"), (76, "\r\n")] {
        let alone = in_lines(&long, length, end);
        let out = masked(&masks, format!("cert:\n{alone}next\n").as_bytes(), &[1]);
        assert_eq!(String::from_utf8(out).unwrap(), format!("cert:\n***{end}next\n"));
        for secret in [&long, "a-short-s3cr3t"] {
            for before in 0..90 {
                let text = format!("{}{secret}{}", "u".repeat(before), "z".repeat(50));
                let lines = in_lines(&text, length, end);
                let out = masked(&masks, lines.as_bytes(), &[7, 80]);
                assert_eq!(out, masked(&masks, lines.as_bytes(), &[usize::MAX]));
                let out = String::from_utf8(out).unwrap();
                let rest: String = out.chars().filter(char::is_ascii_alphanumeric).collect();
                assert!(out.contains("***") && rest.len() <= (before + 50) * 4 / 3 + 6, "{before}: {out}");
            }
        }
    }
}

#[test]
fn a_line_does_not_wait_for_the_next_one() {
    let masks = masks(&["a-short-s3cr3t"]);
    let begun = &STANDARD.encode("a-short-s3cr3t")[..9];
    for before in [0, 30, 66, 68] {
        let mut stream = Stream::new(Arc::clone(&masks));
        let mut out = Vec::new();
        let line = format!("{}{begun}\n", " ".repeat(before));
        stream.push(line.as_bytes(), &mut out);
        assert_eq!(String::from_utf8_lossy(&out), line);
    }
    // Behind a whole line it does, and comes with the next one as it is.
    let mut stream = Stream::new(Arc::clone(&masks));
    let mut out = Vec::new();
    let line = format!("{}{begun}\n", " ".repeat(76 - begun.len()));
    stream.push(line.as_bytes(), &mut out);
    assert_eq!(out, line.as_bytes()[..76 - begun.len()]);
    stream.push(b"x", &mut out);
    assert_eq!(String::from_utf8_lossy(&out), format!("{line}x"));
}

/// The outcome by the definition: every place that any form covers, in one stretch each.
fn by_definition(forms: &[Vec<u8>], text: &[u8]) -> Vec<u8> {
    let mut covered = vec![false; text.len()];
    for form in forms {
        for at in 0..text.len() {
            if text[at..].starts_with(form) {
                covered[at..at + form.len()].fill(true);
            }
        }
    }
    let mut out = Vec::new();
    for (at, byte) in text.iter().enumerate() {
        match (covered[at], at > 0 && covered[at - 1]) {
            (true, false) => out.extend_from_slice(MASK),
            (true, true) => {}
            (false, _) => out.push(*byte),
        }
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Few letters, so that secrets overlap, repeat and begin one another.
    #[test]
    fn any_chunks_give_what_the_definition_says(
        all in prop::collection::vec("[ab]{4,7}", 1..4),
        text in "[abc]{0,200}",
        sizes in prop::collection::vec(1usize..40, 1..8),
    ) {
        let all: Vec<Secret> = all.into_iter().map(Secret::new).collect();
        let forms: Vec<Vec<u8>> = all.iter().flat_map(|secret| forms::of(secret, &BTreeSet::new())).map(|form| form.to_vec()).collect();
        let masks = Arc::new(Masks::of(&all, &BTreeSet::new()));
        let out = masked(&masks, text.as_bytes(), &sizes);
        prop_assert_eq!(&out, &by_definition(&forms, text.as_bytes()));
    }

    #[test]
    fn no_secret_survives_among_any_bytes(
        all in prop::collection::vec("[ -~é\n]{8,40}", 1..4),
        between in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 4..8),
        sizes in prop::collection::vec(1usize..90, 1..8),
    ) {
        let all: Vec<Secret> = all.into_iter().map(Secret::new).collect();
        let masks = Arc::new(Masks::of(&all, &BTreeSet::new()));
        let mut text = Vec::new();
        for (at, part) in between.iter().enumerate() {
            text.extend_from_slice(part);
            let secret = &all[at % all.len()];
            match at % 3 {
                0 => text.extend_from_slice(secret.expose().as_bytes()),
                1 => text.extend_from_slice(STANDARD.encode(secret.expose()).as_bytes()),
                _ => text.extend_from_slice(serde_json::json!(secret.expose()).to_string().as_bytes()),
            }
        }
        let out = masked(&masks, &text, &sizes);
        prop_assert_eq!(&out, &masked(&masks, &text, &[usize::MAX]));
        for secret in &all {
            let kept = secret.expose().trim_end_matches(['\n', '\r']);
            let found = out.windows(kept.len().max(1)).any(|part| part == kept.as_bytes());
            prop_assert!(!found || kept.trim().is_empty() || kept.len() < SHORTEST);
        }
    }

    #[test]
    fn bytes_without_a_secret_pass_unchanged(
        bytes in prop::collection::vec(any::<u8>(), 0..2000),
        sizes in prop::collection::vec(1usize..300, 1..8),
    ) {
        let masks = masks(&["a secret of some length", "another-s3cr3t/value"]);
        prop_assert_eq!(masked(&masks, &bytes, &sizes), bytes);
    }
}
