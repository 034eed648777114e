//! What is answered is what the document says.

use super::*;

/// Holds an answer against what the document says of the operation, where it tells of it.
pub(super) fn told(method: &Method, path: &str, response: &Response) {
    let document = &*DOCUMENT;
    let path = path.split('?').next().unwrap();
    let fits = |known: &str| {
        let (known, asked) = (known.split('/'), path.split('/'));
        known.clone().count() == asked.clone().count()
            && known.zip(asked).all(|(known, asked)| known.starts_with('{') || known == asked)
    };
    let items = document["paths"].as_object().unwrap();
    // An address that is written out comes before one with a place to fill in.
    let item = items.get(path).or_else(|| items.iter().find(|(known, _)| fits(known)).map(|(_, item)| item));
    let Some(operation) = item.and_then(|item| item.get(method.as_str().to_lowercase())) else { return };
    let status = response.status();
    let answer = &operation["responses"][status.as_str()];
    assert!(answer.is_object(), "{method} {path} answers {status}, which nobody tells of");
    let kind = response.headers().get(header::CONTENT_TYPE).map(|kind| kind.to_str().unwrap());
    let kinds: Vec<&String> = answer["content"].as_object().into_iter().flat_map(|kinds| kinds.keys()).collect();
    assert_eq!(kind.is_none(), kinds.is_empty(), "{method} {path} {status}: {kind:?}");
    assert!(kind.is_none_or(|kind| kinds.iter().any(|told| *told == kind)), "{method} {path} {status}: {kind:?}");
    for (name, told) in answer["headers"].as_object().into_iter().flatten() {
        assert!(told["required"] == false || response.headers().contains_key(name), "{method} {path} {status}: {name}");
    }
}

/// The document, which is put together once for all tests.
pub(super) static DOCUMENT: std::sync::LazyLock<Value> = std::sync::LazyLock::new(api::document);
