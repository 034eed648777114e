//! What is asked in a query counts, or is refused with its name.

use super::*;

/// Each route that takes parameters of a query, with their names.
fn asked() -> Vec<(String, &'static str, Vec<String>)> {
    let document = crate::server::openapi();
    let of = |(method, path, _): (String, &'static str, &'static str)| {
        let told = &document["paths"][path][method.to_lowercase()];
        let all = told["parameters"].as_array().into_iter().flatten().filter(|one| one["in"] == "query");
        let names: Vec<String> = all.map(|one| one["name"].as_str().unwrap().to_owned()).collect();
        assert_eq!(
            !names.is_empty(),
            told["responses"]["422"].to_string().contains("bad-parameter"),
            "{method} {path}"
        );
        (!names.is_empty()).then_some((method, path, names))
    };
    api().into_iter().filter_map(of).collect()
}

#[test]
fn an_empty_parameter_is_not_taken_for_none() {
    let played = Played::new();
    let token = played.member(&played.ours, Role::Owner);
    let mut lists = 0;
    for (method, path, names) in asked() {
        let before = played.state();
        let at = played.path(path);
        lists += usize::from(names.iter().any(|name| name == "cursor"));
        for name in &names {
            for query in [format!("{name}="), format!("{name}=&limit=1"), name.clone()] {
                let what = format!("{method} {path}?{query}");
                let (status, told) = played.ask(&method, &format!("{at}?{query}"), &token, &Value::Null);
                assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{what}: {told}");
                assert_eq!((&told["code"], &told["parameter"]), (&json!("bad-parameter"), &json!(name)), "{what}");
                assert_eq!(played.told()["outcome"], "denied", "{what}");
            }
        }
        // One that there is not is refused as well.
        let (status, told) = played.ask(&method, &format!("{at}?nothing=1"), &token, &Value::Null);
        assert_eq!((status, &told["code"]), (StatusCode::BAD_REQUEST, &json!("bad-request")), "{method} {path}");
        assert_eq!(played.state(), before, "{method} {path}");
    }
    assert_eq!(lists, 16, "every list");
}

/// What says nothing beside the rest is not passed over.
#[test]
fn a_parameter_is_asked_for_where_it_counts() {
    let played = Played::new();
    let token = played.member(&played.ours, Role::Owner);
    for list in ["/credential-configs", "/api/v1/credentials"] {
        let ask = |query: &str| played.ask("GET", &format!("{list}?{query}"), &token, &Value::Null);
        for (query, named) in [
            ("project=web", "project"),
            ("project=nowhere", "project"),
            ("host=127.0.0.1&project=web", "project"),
            ("name=db&host=127.0.0.1", "host"),
            ("name=db&cursor=x", "cursor"),
        ] {
            let (status, told) = ask(query);
            assert_eq!((status, &told["parameter"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!(named)), "{query}");
        }
        for (query, found) in [("name=db", 1), ("name=db&project=web", 0), ("name=db&limit=1", 1), ("limit=1", 1)] {
            let (status, told) = ask(query);
            assert_eq!((status, told["items"].as_array().map(Vec::len)), (StatusCode::OK, Some(found)), "{query}");
        }
    }
}
