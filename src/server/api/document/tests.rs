//! The document says what there is.

use std::collections::BTreeSet;
use std::path::Path;

use super::*;

/// Routes of the API that the document does not tell of yet. It only gets shorter.
const UNTOLD: &[&str] = &[];

/// Each operation, with its method and path.
fn operations(document: &Value) -> Vec<(String, Value)> {
    let paths = document["paths"].as_object().unwrap();
    let of = |(path, item): (&String, &Value)| {
        let methods = item.as_object().unwrap().clone();
        methods
            .into_iter()
            .map(|(method, told)| (format!("{} {path}", method.to_uppercase()), told))
            .collect::<Vec<_>>()
    };
    paths.iter().flat_map(of).collect()
}

/// Sees every value of a name, anywhere.
fn each<'v>(value: &'v Value, name: &str, see: &mut dyn FnMut(&'v Value)) {
    match value {
        Value::Object(members) => {
            for (member, value) in members {
                if member == name {
                    see(value);
                }
                each(value, name, see);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| each(item, name, see)),
        _ => {}
    }
}

#[test]
fn every_route_of_the_api_is_told() {
    let document = document();
    let told: BTreeSet<String> = operations(&document).into_iter().map(|(name, _)| name).collect();
    let mut there = BTreeSet::new();
    for route in all() {
        let name = format!("{} {}", route.method, route.path);
        let is_page =
            matches!(route.access, Access::Page | Access::Inside(_) | Access::InsideProject(_) | Access::Personal);
        assert!(!is_page || route.told.is_none(), "{name} is a page");
        if !is_page && !UNTOLD.contains(&name.as_str()) {
            there.insert(name);
        }
    }
    assert_eq!(told, there, "a route of the API is made with `Route::api`");
}

#[test]
fn every_operation_says_who_may_and_what_comes_of_it() {
    let document = document();
    let mut names = BTreeSet::new();
    for route in all().into_iter().filter(|route| route.told.is_some()) {
        let name = format!("{} {}", route.method, route.path);
        let told = &document["paths"][route.path][route.method.as_str().to_lowercase()];
        assert!(names.insert(told["operationId"].as_str().unwrap().to_owned()), "{name} has another's name");
        assert!(!told["summary"].as_str().unwrap().ends_with('.'));
        let answers = told["responses"].as_object().unwrap();
        let successes = answers.keys().filter(|status| status.starts_with('2')).count();
        assert_eq!(successes, 1, "{name}");
        for (status, answer) in answers {
            assert!(!answer["description"].as_str().unwrap().is_empty(), "{name} {status}");
            for content in answer["content"].as_object().into_iter().flat_map(|kinds| kinds.values()) {
                assert!(content["schema"].as_object().is_some_and(|schema| !schema.is_empty()), "{name} {status}");
            }
        }
        let needs = route.access.word();
        let scopes: Vec<&str> = told["security"]
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|one| one["oauth"].as_array().into_iter().flatten())
            .map(|scope| scope.as_str().unwrap())
            .collect();
        assert_eq!(scopes, if needs.contains('.') { vec![needs] } else { vec![] }, "{name}");
        assert_eq!(answers.contains_key("401") && needs != "anyone", needs != "anyone", "{name}");
        assert_eq!(answers.contains_key("403"), needs.contains('.'), "{name}");
        let parameters: Vec<&Value> = told["parameters"].as_array().into_iter().flatten().collect();
        let in_path = parameters.iter().filter(|one| one["in"] == "path").count();
        assert_eq!(in_path, route.path.matches('{').count(), "{name}");
        assert!(parameters.iter().all(|one| !one["description"].as_str().unwrap().is_empty()), "{name}");
    }
}

/// A schema, or the one that it refers to.
fn resolved<'d>(document: &'d Value, schema: &'d Value) -> &'d Value {
    let pointer = schema["$ref"].as_str().and_then(|reference| reference.strip_prefix('#'));
    pointer.map_or(schema, |pointer| document.pointer(pointer).unwrap())
}

/// What is sent besides the body under a name.
fn takes(told: &Value, place: &str, name: &str) -> bool {
    told["parameters"].as_array().into_iter().flatten().any(|one| one["in"] == place && one["name"] == name)
}

#[test]
fn every_list_comes_in_pages() {
    let document = document();
    let mut lists = 0;
    for (name, told) in operations(&document) {
        // A set of keys is of the form that RFC 7517 gives it.
        if !name.starts_with("GET ") || name == "GET /.well-known/jwks.json" {
            continue;
        }
        let answer = resolved(&document, &told["responses"]["200"]["content"]["application/json"]["schema"]);
        assert_ne!(answer["type"], "array", "{name} says where the next page begins");
        let is_list = answer["properties"]["items"].is_object();
        let is_called_one = told["operationId"].as_str().unwrap().starts_with("list");
        assert_eq!(is_list, is_called_one, "{name}");
        assert_eq!(is_list, takes(&told, "query", "cursor"), "{name}");
        assert_eq!(is_list, answer["properties"]["next"].is_object(), "{name}");
        assert!(!is_list || takes(&told, "query", "limit"), "{name}");
        lists += usize::from(is_list);
        // Nor is there a list under another name.
        let several = answer["properties"].as_object().into_iter().flatten();
        let things = |schema: &Value| resolved(&document, &schema["items"])["properties"].is_object();
        let hidden: Vec<_> = several.filter(|(of, schema)| *of != "items" && things(schema)).collect();
        assert!(hidden.is_empty(), "{name}: {hidden:?}");
    }
    assert_eq!(lists, 16);
}

/// Whatever has a version is changed and deleted with the version that was seen, and whatever is changed has one.
#[test]
fn what_is_changed_is_changed_with_its_version() {
    let document = document();
    let mut counts = [0, 0];
    for (name, told) in operations(&document) {
        let (method, path) = name.split_once(' ').unwrap();
        let shown = &document["paths"][path]["get"]["responses"]["200"]["headers"];
        let has_version = shown["ETag"]["required"] == true;
        let takes_version = takes(&told, "header", "If-Match");
        assert_eq!(takes_version, told["responses"]["412"].is_object(), "{name}");
        match method {
            "PATCH" => {
                assert!(takes_version && has_version, "{name}");
                assert!(told["responses"]["200"]["headers"]["ETag"].is_object(), "{name} tells the version after it");
                counts[0] += 1;
            }
            "DELETE" => {
                assert_eq!(takes_version, has_version, "{name}");
                counts[1] += usize::from(has_version);
            }
            _ => assert_eq!(takes_version, name == "POST /credential-configs/{id}/secrets", "{name}"),
        }
    }
    assert_eq!(counts, [11, 10]);
}

#[test]
fn what_is_referred_to_is_there_and_has_a_name_of_its_own() {
    let document = document();
    let mut missing = BTreeSet::new();
    each(&document, "$ref", &mut |reference| {
        let pointer = reference.as_str().unwrap().strip_prefix('#').unwrap();
        if document.pointer(pointer).is_none() {
            missing.insert(pointer.to_owned());
        }
    });
    assert_eq!(missing, BTreeSet::new());
    for name in document["components"]["schemas"].as_object().unwrap().keys() {
        // Two types of one name get numbers.
        assert!(name.chars().all(char::is_alphanumeric) && !name.ends_with(char::is_numeric), "{name}");
    }
}

/// A problem that is in no list could not be told of, and might be renamed unnoticed.
#[test]
fn every_problem_that_is_made_is_in_the_list() {
    fn visit(folder: &Path, see: &mut dyn FnMut(&Path, &str)) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                visit(&path, see);
            } else if path.extension().is_some_and(|kind| kind == "rs") {
                see(&path, &std::fs::read_to_string(&path).unwrap());
            }
        }
    }
    let made = regex::Regex::new(r#"(?:Problem|Self)::new\(\s*(StatusCode::(\w+)|status),\s*"([a-z-]+)""#).unwrap();
    let mut found = BTreeSet::new();
    visit(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/server"), &mut |path, text| {
        for problem in made.captures_iter(text) {
            let known = problem::KINDS.iter().find(|known| known.word == &problem[3]);
            let known = known.unwrap_or_else(|| panic!("{} is not in the list: {}", &problem[3], path.display()));
            let status = axum::http::StatusCode::from_u16(known.status).unwrap();
            let reason = status.canonical_reason().unwrap().to_uppercase().replace([' ', '-'], "_");
            let is_named = problem.get(2).is_some_and(|named| named.as_str() != reason);
            assert!(!is_named || status == 413, "{} is {}", known.word, &problem[1]);
            found.insert(known.word);
        }
    });
    let listed: BTreeSet<&str> = problem::KINDS.iter().map(|known| known.word).collect();
    assert_eq!(listed, found, "a problem that nobody makes");
}
