//! The bodies as OpenAPI components, for whoever writes the document.

use utoipa::OpenApi;

/// All schemas of this crate: `Components::openapi()`.
#[derive(Debug, OpenApi)]
#[openapi(components(schemas(
    crate::EntryBody,
    crate::CommitBody,
    crate::ChangeBody,
    crate::Op,
    crate::ReceiptBody,
    crate::ReceiptChange,
    crate::ListBody,
    crate::NamespaceBody,
    crate::NamespacesBody,
    crate::CommitsBody,
    crate::HistoryBody,
    crate::VersionBody,
    crate::DiffBody,
    crate::DifferenceBody,
    crate::PollBody,
    crate::HeartbeatBody,
    crate::Values,
    crate::StatusBody,
    crate::AlarmBody,
    crate::LogBody,
    crate::DryRunBody,
    crate::PreviewBody,
    crate::ChangeKind,
    crate::ManifestBody,
    crate::ManifestBlock,
    crate::Problem,
    crate::Code,
    crate::Failure,
    crate::CommitRequest,
    crate::ChangeRequest,
    crate::PutRequest,
    crate::ExpectRequest,
    crate::GuardRequest,
    crate::RollbackRequest,
)))]
pub struct Components;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_body_and_every_code_stands_in_the_components() {
        let json = serde_json::to_value(Components::openapi()).unwrap();
        let schemas = json["components"]["schemas"].as_object().unwrap();
        for name in [
            "EntryBody",
            "CommitBody",
            "ReceiptBody",
            "StatusBody",
            "Problem",
            "CommitRequest",
            "Failure",
        ] {
            assert!(schemas.contains_key(name), "{name}");
        }
        let codes = schemas["Code"]["enum"].as_array().unwrap();
        assert_eq!(codes.len(), crate::Code::ALL.len());
        assert!(codes.iter().any(|code| code == "precondition_failed"));
    }
}
