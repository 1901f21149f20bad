//! The OpenAPI document of the whole API: reads from the handlers themselves, writes and health from descriptions
//! beside them, so that one page says all that a server answers.

mod health;
mod writes;

use utoipa::OpenApi;
use utoipa::openapi::path::{Parameter, ParameterIn};
use utoipa::openapi::{ObjectBuilder, RefOr, Type};

/// Who serves what is told by the handlers; the bodies by the API's own types.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Headwater",
        description = "Event-streamed configuration. Every answer carries Headwater-Revision, the revision of the state \
                       it was read from, and Headwater-Stream, the stream id. Errors are problems (RFC 9457): decide by \
                       their code. Unknown parameters are refused. Every read and follow call takes stream=<id>, and \
                       answers 409 wrong_stream when this server serves another one."
    ),
    paths(
        crate::http::config::get,
        crate::http::list::get,
        crate::http::namespaces::get,
        crate::http::history::get,
        crate::http::diff::get,
        crate::http::commits::get,
        crate::http::commit::get,
        crate::http::status::get,
        crate::http::images::latest,
        crate::http::images::by_name,
        crate::http::openapi::get,
        crate::stream::get,
        crate::watch::get,
        writes::put,
        writes::delete,
        writes::commit,
        writes::rollback,
        health::healthz,
        health::readyz,
        health::metrics,
    ),
    components(schemas(crate::reading::Consistency, crate::http::commits::Sort)),
    tags(
        (name = "read", description = "What is now"),
        (name = "write", description = "Commits, whole or not at all"),
        (name = "follow", description = "What comes"),
        (name = "operate", description = "How this server is"),
    )
)]
struct Paths;

/// The document.
pub fn document() -> utoipa::openapi::OpenApi {
    let mut document = Paths::openapi();
    document.merge(headwater_api::Components::openapi());
    let reads = document.paths.paths.iter_mut().filter(|(path, _)| path.starts_with("/v1/"));
    for operation in reads.filter_map(|(_, item)| item.get.as_mut()) {
        operation.parameters.get_or_insert_default().push(RefOr::T(stream_guard()));
    }
    document
}

/// What the edge compares on every read and follow call, whatever else the call takes.
fn stream_guard() -> Parameter {
    Parameter::builder()
        .name("stream")
        .parameter_in(ParameterIn::Query)
        .description(Some("The stream id that is expected: 409 `wrong_stream` where it is another"))
        .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
        .build()
}

/// The document as text: the same at every call, so that it can be compared with the one on file.
pub(crate) fn json() -> String {
    // A document of strings and numbers always serialises.
    document().to_pretty_json().unwrap_or_default() + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOLDEN: &str = include_str!("../../api/openapi.json");

    #[test]
    fn the_document_on_file_is_the_one_that_is_served() {
        if std::env::var_os("HEADWATER_BLESS").is_some() {
            let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../api/openapi.json");
            std::fs::write(path, json()).unwrap();
            return;
        }
        assert!(
            json() == GOLDEN,
            "api/openapi.json is not what is served: run this test with HEADWATER_BLESS=1"
        );
    }

    #[test]
    fn the_document_is_openapi_3_1_and_names_every_route() {
        let document: serde_json::Value = serde_json::from_str(&json()).unwrap();
        assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
        let methods = |path: &str| -> Vec<String> {
            document["paths"][path].as_object().unwrap().keys().cloned().collect()
        };
        assert_eq!(methods("/v1/config/{ns}/{key}"), ["delete", "get", "put"]);
        assert_eq!(methods("/v1/commits"), ["get", "post"]);
        for path in [
            "/v1/config/{ns}",
            "/v1/namespaces",
            "/v1/history/{ns}/{key}",
            "/v1/diff/{ns}",
            "/v1/commits/{revision}",
            "/v1/status",
            "/v1/images/latest",
            "/v1/images/{name}",
            "/v1/stream",
            "/v1/watch",
            "/openapi.json",
            "/healthz",
            "/readyz",
            "/metrics",
        ] {
            assert_eq!(methods(path), ["get"], "{path}");
        }
    }

    #[test]
    fn operations_have_names_of_their_own_and_reads_take_the_stream() {
        let document: serde_json::Value = serde_json::from_str(&json()).unwrap();
        let mut names = std::collections::BTreeSet::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                let name = operation["operationId"].as_str().unwrap();
                assert!(names.insert(name.to_owned()), "{name} is there twice: {method} {path}");
                let parameters = operation["parameters"].as_array();
                let takes = parameters.is_some_and(|all| all.iter().any(|p| p["name"] == "stream"));
                assert_eq!(takes, method == "get" && path.starts_with("/v1/"), "{method} {path}");
            }
        }
    }

    #[test]
    fn every_reference_of_the_document_leads_somewhere() {
        let document: serde_json::Value = serde_json::from_str(&json()).unwrap();
        let text = document.to_string();
        for reference in text.split("\"$ref\":\"#").skip(1) {
            let pointer = reference.split('"').next().unwrap();
            assert!(document.pointer(pointer).is_some(), "{pointer}");
        }
    }
}
