//! What `POST /v1/rollback` takes, as it stands on the wire and as it is once checked.

use headwater_schemas::{Key, Namespace};

use crate::{Problem, actor_from, reason_from};

/// The attribute of a commit that restored an older state: the revision it went back to.
pub const ROLLBACK_TO: &str = "rollback_to";

/// The body of `POST /v1/rollback`. With neither `key` nor `prefix` it is about the whole namespace.
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RollbackRequest {
    /// Where.
    pub namespace: String,
    /// Only this key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Only keys that begin like this; `db/` stays inside `db`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// The revision whose state is restored; 0 is the empty one.
    pub to_revision: u64,
    /// Why. Needed here, or in the header `Headwater-Reason`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Who.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// None of the keys that it would change, nor `key`, may have changed after this revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_revision: Option<u64>,
}

/// Which keys of a namespace are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Keys {
    /// One.
    One(Key),
    /// Those that begin like this; all of them for an empty one.
    Prefix(String),
}

impl Keys {
    /// Whether a key is meant.
    pub fn contain(&self, key: &Key) -> bool {
        match self {
            Self::One(one) => one == key,
            Self::Prefix(prefix) => key.as_str().starts_with(prefix.as_str()),
        }
    }
}

/// A rollback whose names and texts were checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProposedRollback {
    /// Where.
    pub namespace: Namespace,
    /// What.
    pub keys: Keys,
    /// The revision whose state is restored.
    pub to_revision: u64,
    /// Why, when the body says so.
    pub reason: Option<String>,
    /// Who, when the body says so.
    pub actor: Option<String>,
    /// None of the keys that it would change, nor the one key, may have changed after this revision.
    pub base_revision: Option<u64>,
}

impl TryFrom<RollbackRequest> for ProposedRollback {
    type Error = Problem;

    fn try_from(request: RollbackRequest) -> Result<Self, Problem> {
        let RollbackRequest { namespace, key, prefix, to_revision, base_revision, .. } = request;
        let invalid = |error: headwater_schemas::NameError| Problem::invalid_name(&error);
        let namespace = Namespace::parse(&namespace).map_err(invalid)?;
        if namespace.is_system() {
            return Err(Problem::reserved_namespace(&namespace));
        }
        let keys = match (key, prefix) {
            (Some(_), Some(_)) => {
                return Err(Problem::invalid_request(
                    "give key, for one key, or prefix, for all that begin like it; with neither the whole namespace is \
                     rolled back",
                ));
            }
            (Some(key), None) => Keys::One(Key::parse(&key).map_err(invalid)?),
            (None, prefix) => Keys::Prefix(prefix.unwrap_or_default()),
        };
        Ok(Self {
            namespace,
            keys,
            to_revision,
            reason: request.reason.map(|reason| reason_from(&reason)).transpose()?.flatten(),
            actor: request.actor.map(|actor| actor_from(&actor)).transpose()?.flatten(),
            base_revision,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Code;

    fn read(json: &str) -> Result<ProposedRollback, Problem> {
        ProposedRollback::try_from(serde_json::from_str::<RollbackRequest>(json).unwrap())
    }

    #[test]
    fn a_key_a_prefix_or_neither_says_what_is_rolled_back() {
        let keys = |rest: &str| {
            read(&format!("{{\"namespace\": \"a\", \"to_revision\": 3{rest}}}")).map(|it| it.keys)
        };
        let key = |key: &str| key.parse::<Key>().unwrap();
        assert_eq!(keys(""), Ok(Keys::Prefix(String::new())));
        assert_eq!(keys(", \"prefix\": \"db/\""), Ok(Keys::Prefix("db/".into())));
        assert_eq!(keys(", \"key\": \"db/pool\""), Ok(Keys::One(key("db/pool"))));
        assert!(keys(", \"key\": \"db/pool\"").unwrap().contain(&key("db/pool")));
        assert!(!keys(", \"key\": \"db\"").unwrap().contain(&key("db/pool")));
        assert!(keys(", \"prefix\": \"db\"").unwrap().contain(&key("db/pool")));
        let both = keys(", \"key\": \"k\", \"prefix\": \"\"").unwrap_err();
        assert_eq!(both.code, Code::InvalidRequest);
    }

    #[test]
    fn what_is_wrong_is_refused_by_its_code() {
        for (json, code) in [
            (r#"{"namespace": "_schemas", "to_revision": 1}"#, Code::ReservedNamespace),
            (r#"{"namespace": "A", "to_revision": 1}"#, Code::InvalidName),
            (r#"{"namespace": "a", "to_revision": 1, "key": "a//b"}"#, Code::InvalidName),
            (r#"{"namespace": "a", "to_revision": 1, "actor": "\u001b"}"#, Code::InvalidRequest),
        ] {
            assert_eq!(read(json).unwrap_err().code, code, "{json}");
        }
        for json in [
            r#"{"namespace": "a"}"#,
            r#"{"namespace": "a", "to_revision": -1}"#,
            r#"{"namespace": "a", "to_revision": "1"}"#,
            r#"{"namespace": "a", "to_revision": 1, "keys": "k"}"#,
        ] {
            assert!(serde_json::from_str::<RollbackRequest>(json).is_err(), "{json}");
        }
    }
}
