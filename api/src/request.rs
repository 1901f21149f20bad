//! What clients post, as it stands on the wire and as it is once checked.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use headwater_schemas::{Key, Namespace};
use serde_json::value::RawValue;

use crate::object;
use crate::value::{Value, ValueError, present};
use crate::{Expected, Problem, effective_media_type};

/// The longest actor, in bytes of UTF-8.
pub const MAX_ACTOR_BYTES: usize = 256;
/// The longest reason, in bytes of UTF-8.
pub const MAX_REASON_BYTES: usize = 1_024;
/// The most attributes one request may name.
pub const MAX_ATTRIBUTES: usize = 32;
const MAX_ATTRIBUTE_NAME_BYTES: usize = 64;
const MAX_ATTRIBUTE_BYTES: usize = 1_024;

/// The body of `POST /v1/commits`.
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CommitRequest {
    /// 1 to 1,000 changes; a key appears once.
    #[serde(deserialize_with = "object::list")]
    pub changes: Vec<ChangeRequest>,
    /// Preconditions on keys that are not written.
    #[serde(default, deserialize_with = "object::list", skip_serializing_if = "Vec::is_empty")]
    pub expects: Vec<GuardRequest>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Who.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// Free text by name, kept with the commit.
    #[serde(
        default,
        deserialize_with = "object::texts",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub attributes: BTreeMap<String, String>,
    /// None of the keys named may have changed after this revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_revision: Option<u64>,
}

/// One change of a [`CommitRequest`]: `put` or `delete: true`.
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ChangeRequest {
    /// The namespace of the key.
    pub namespace: String,
    /// The key.
    pub key: String,
    /// Sets a value.
    #[serde(
        default,
        deserialize_with = "object::optional",
        skip_serializing_if = "Option::is_none"
    )]
    pub put: Option<PutRequest>,
    /// Removes the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delete: Option<bool>,
    /// A precondition on the key.
    #[serde(
        default,
        deserialize_with = "object::optional",
        skip_serializing_if = "Option::is_none"
    )]
    pub expect: Option<ExpectRequest>,
}

/// A value to set: `value` or `value_base64`.
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct PutRequest {
    /// The media type; `application/json` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// JSON for JSON types, a string for `text/*`. Null is a value, too.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<serde_json::Value>))]
    pub value: Option<Box<RawValue>>,
    /// The bytes, for every type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_base64: Option<String>,
}

/// A precondition: exactly one of the three.
#[derive(Debug, Clone, Copy, Default, serde::Serialize, serde::Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ExpectRequest {
    /// The key was last changed by this revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// `true`: the key is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub absent: Option<bool>,
    /// `true`: the key is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exists: Option<bool>,
}

/// A precondition on a key that is not written.
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct GuardRequest {
    /// The namespace of the key.
    pub namespace: String,
    /// The key.
    pub key: String,
    /// The key was last changed by this revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// `true`: the key is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub absent: Option<bool>,
    /// `true`: the key is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exists: Option<bool>,
}

/// A change set whose names, values and forms were checked. Limits that are settings were not.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Proposal {
    /// The changes; every key once.
    pub changes: Vec<ProposedChange>,
    /// Preconditions on other keys.
    pub expects: Vec<Guard>,
    /// Who, when the body says so.
    pub actor: Option<String>,
    /// Why, when the body says so.
    pub reason: Option<String>,
    /// Free text by name.
    pub attributes: BTreeMap<String, String>,
    /// None of the keys named may have changed after this revision.
    pub base_revision: Option<u64>,
}

/// One change that somebody wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProposedChange {
    /// The namespace of the key.
    pub namespace: Namespace,
    /// The key.
    pub key: Key,
    /// What to do.
    pub op: ProposedOp,
    /// A precondition on the key.
    pub expect: Option<Expected>,
}

/// What a [`ProposedChange`] does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProposedOp {
    /// Sets a value.
    Put {
        /// The media type.
        content_type: Arc<str>,
        /// The bytes.
        value: Bytes,
    },
    /// Removes the key; absent, it is a failed precondition.
    Delete,
}

/// A precondition on a key that is not written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guard {
    /// The namespace of the key.
    pub namespace: Namespace,
    /// The key.
    pub key: Key,
    /// What is expected.
    pub expected: Expected,
}

impl TryFrom<CommitRequest> for Proposal {
    type Error = Problem;

    fn try_from(request: CommitRequest) -> Result<Self, Problem> {
        if request.changes.is_empty() {
            return Err(Problem::invalid_request("changes is empty: name at least one"));
        }
        let mut seen = HashSet::with_capacity(request.changes.len());
        let mut changes = Vec::with_capacity(request.changes.len());
        for (index, change) in request.changes.into_iter().enumerate() {
            let place = format!("changes[{index}]");
            let change =
                ProposedChange::read(change, &place).map_err(|p| p.with("index", index))?;
            if !seen.insert((change.namespace.clone(), change.key.clone())) {
                return Err(Problem::invalid_request(format!(
                    "{place}: {}/{} appears twice; a key may appear once in a commit",
                    change.namespace, change.key
                ))
                .with("index", index));
            }
            changes.push(change);
        }
        let guards = request.expects.into_iter().enumerate();
        let expects = guards
            .map(|(index, guard)| Guard::read(&guard, &format!("expects[{index}]")))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            changes,
            expects,
            actor: request.actor.map(|actor| actor_from(&actor)).transpose()?.flatten(),
            reason: request.reason.map(|reason| reason_from(&reason)).transpose()?.flatten(),
            attributes: checked_attributes(request.attributes)?,
            base_revision: request.base_revision,
        })
    }
}

impl ProposedChange {
    fn read(request: ChangeRequest, place: &str) -> Result<Self, Problem> {
        let (namespace, key) = names(&request.namespace, &request.key, place)?;
        let op = match (request.put, request.delete) {
            (Some(put), None) => put.read(place)?,
            (None, Some(true)) => ProposedOp::Delete,
            _ => {
                return Err(Problem::invalid_request(format!(
                    "{place}: give exactly one of put and delete: true"
                )));
            }
        };
        let expect = request.expect.map(|expect| expect.read(place)).transpose()?;
        Ok(Self { namespace, key, op, expect })
    }
}

impl PutRequest {
    fn read(self, place: &str) -> Result<ProposedOp, Problem> {
        let content_type = effective_media_type(self.content_type.as_deref())
            .map_err(|why| Problem::invalid_request(format!("{place}.put: {why}")))?;
        let value = Value { value: self.value, value_base64: self.value_base64 };
        let value = value.bytes(content_type).map_err(|error| match error {
            ValueError::Json(error) => {
                let problem = Problem::invalid_json(&error);
                Problem { detail: format!("{place}.put: {}", problem.detail), ..problem }
            }
            other => Problem::invalid_request(format!("{place}.put: {other}")),
        })?;
        Ok(ProposedOp::Put { content_type: content_type.into(), value })
    }
}

impl ExpectRequest {
    fn read(self, place: &str) -> Result<Expected, Problem> {
        match (self.revision, self.absent, self.exists) {
            (Some(revision), None, None) => Ok(Expected::Revision(revision)),
            (None, Some(true), None) => Ok(Expected::Absent),
            (None, None, Some(true)) => Ok(Expected::Exists),
            _ => Err(Problem::invalid_request(format!(
                "{place}: expect exactly one of revision: N, absent: true, exists: true"
            ))),
        }
    }
}

impl Guard {
    fn read(request: &GuardRequest, place: &str) -> Result<Self, Problem> {
        let (namespace, key) = names(&request.namespace, &request.key, place)?;
        let GuardRequest { revision, absent, exists, .. } = *request;
        let expected = ExpectRequest { revision, absent, exists }.read(place)?;
        Ok(Self { namespace, key, expected })
    }
}

fn names(namespace: &str, key: &str, place: &str) -> Result<(Namespace, Key), Problem> {
    let invalid = |error: headwater_schemas::NameError| {
        Problem::invalid_name(&format_args!("{place}: {error}"))
    };
    let namespace = Namespace::parse(namespace).map_err(invalid)?;
    if namespace.is_system() {
        return Err(Problem::reserved_namespace(&namespace));
    }
    Ok((namespace, Key::parse(key).map_err(invalid)?))
}

fn checked_attributes(
    attributes: BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, Problem> {
    let fits = |(name, value): (&String, &String)| {
        (1..=MAX_ATTRIBUTE_NAME_BYTES).contains(&name.len()) && value.len() <= MAX_ATTRIBUTE_BYTES
    };
    if attributes.len() <= MAX_ATTRIBUTES && attributes.iter().all(fits) {
        return Ok(attributes);
    }
    Err(Problem::invalid_request(format!(
        "attributes: at most {MAX_ATTRIBUTES}, names of 1 to {MAX_ATTRIBUTE_NAME_BYTES} bytes, texts of at most {MAX_ATTRIBUTE_BYTES}"
    )))
}

/// Who writes, from a header or body; an empty one counts as absent.
///
/// # Errors
/// `invalid_request` when it is too long or has control characters.
pub fn actor_from(text: &str) -> Result<Option<String>, Problem> {
    bounded(text, "actor", MAX_ACTOR_BYTES, char::is_control)
}

/// Why, from a header or body; an empty one counts as absent. It may have line breaks and tabs.
///
/// # Errors
/// `invalid_request` when it is too long or has other control characters.
pub fn reason_from(text: &str) -> Result<Option<String>, Problem> {
    let forbidden = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
    bounded(text, "reason", MAX_REASON_BYTES, forbidden)
}

fn bounded(
    text: &str,
    what: &str,
    most: usize,
    forbidden: impl Fn(char) -> bool,
) -> Result<Option<String>, Problem> {
    let text = text.trim();
    if text.len() > most {
        return Err(Problem::invalid_request(format!("the {what} is longer than {most} bytes")));
    }
    if text.chars().any(forbidden) {
        return Err(Problem::invalid_request(format!("the {what} has control characters")));
    }
    Ok((!text.is_empty()).then(|| text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Code;

    fn read(json: &str) -> Result<Proposal, Problem> {
        Proposal::try_from(serde_json::from_str::<CommitRequest>(json).unwrap())
    }

    fn change(rest: &str) -> String {
        format!("{{\"changes\": [{{\"namespace\": \"a\", \"key\": \"k\", {rest}}}]}}")
    }

    fn value(json: &str) -> (String, Bytes) {
        match read(&change(json)).unwrap().changes.remove(0).op {
            ProposedOp::Put { content_type, value } => (content_type.to_string(), value),
            ProposedOp::Delete => panic!("a put"),
        }
    }

    #[test]
    fn the_bytes_of_a_json_value_are_the_text_of_the_request() {
        let text = "{\"z\":1,   \"a\": [1.50, 1e400, \"\\u00e9\"]}";
        assert_eq!(
            value(&format!("\"put\": {{\"value\":   {text}  }}")),
            ("application/json".into(), text.into())
        );
        assert_eq!(value("\"put\": {\"value\": null}").1, "null");
        assert_eq!(value("\"put\": {\"value\": \"x\"}").1, "\"x\"");
    }

    #[test]
    fn text_is_a_string_and_everything_can_be_base64() {
        assert_eq!(
            value("\"put\": {\"content_type\": \"text/plain\", \"value\": \"a\\nb\"}").1,
            "a\nb"
        );
        assert_eq!(
            value("\"put\": {\"content_type\": \"image/png\", \"value_base64\": \"AP8=\"}")
                .1
                .as_ref(),
            [0, 255]
        );
        assert_eq!(value("\"put\": {\"value_base64\": \"WzFd\"}").1, "[1]");
    }

    #[test]
    fn preconditions_have_exactly_one_form() {
        let expect = |json: &str| {
            read(&change(&format!("\"delete\": true, \"expect\": {json}")))
                .map(|p| p.changes[0].expect)
        };
        assert_eq!(expect("{\"revision\": 7}"), Ok(Some(Expected::Revision(7))));
        assert_eq!(expect("{\"absent\": true}"), Ok(Some(Expected::Absent)));
        assert_eq!(expect("{\"exists\": true}"), Ok(Some(Expected::Exists)));
        for json in [
            "{}",
            "{\"absent\": false}",
            "{\"absent\": true, \"exists\": true}",
            "{\"revision\": 1, \"exists\": true}",
        ] {
            assert_eq!(expect(json).unwrap_err().code, Code::InvalidRequest, "{json}");
        }
    }

    #[test]
    fn what_is_wrong_is_refused_by_its_code() {
        for (json, code) in [
            ("{\"changes\": []}".to_owned(), Code::InvalidRequest),
            (change("\"delete\": false"), Code::InvalidRequest),
            (change("\"put\": {\"value\": 1}, \"delete\": true"), Code::InvalidRequest),
            (change("\"put\": {}"), Code::InvalidRequest),
            (change("\"put\": {\"value\": 1, \"value_base64\": \"MQ==\"}"), Code::InvalidRequest),
            (change("\"put\": {\"value_base64\": \"ew==\"}"), Code::InvalidJson),
            (change("\"put\": {\"content_type\": \"nonsense\", \"value\": 1}"), Code::InvalidRequest),
            ("{\"changes\": [{\"namespace\": \"A\", \"key\": \"k\", \"delete\": true}]}".to_owned(), Code::InvalidName),
            ("{\"changes\": [{\"namespace\": \"a\", \"key\": \"/k\", \"delete\": true}]}".to_owned(), Code::InvalidName),
            ("{\"changes\": [{\"namespace\": \"_schemas\", \"key\": \"k\", \"delete\": true}]}".to_owned(), Code::ReservedNamespace),
            ("{\"changes\": [{\"namespace\": \"a\", \"key\": \"k\", \"delete\": true}, {\"namespace\": \"a\", \"key\": \"k\", \"put\": {\"value\": 1}}]}".to_owned(), Code::InvalidRequest),
        ] {
            assert_eq!(read(&json).unwrap_err().code, code, "{json}");
        }
    }

    #[test]
    fn unknown_fields_are_refused_everywhere() {
        for json in [
            "{\"changes\": [], \"reasn\": \"x\"}".to_owned(),
            change("\"dellete\": true"),
            change("\"put\": {\"val\": 1}"),
            change("\"delete\": true, \"expect\": {\"rev\": 1}"),
            "{\"changes\": [], \"expects\": [{\"namespace\": \"a\", \"key\": \"k\", \"rev\": 1}]}"
                .to_owned(),
        ] {
            let error = serde_json::from_str::<CommitRequest>(&json).unwrap_err().to_string();
            assert!(error.contains("unknown field"), "{json}: {error}");
        }
    }

    #[test]
    fn provenance_is_bounded_and_empty_means_absent() {
        assert_eq!(actor_from("  "), Ok(None));
        assert_eq!(actor_from(" zoë "), Ok(Some("zoë".into())));
        assert!(actor_from("a\nb").is_err());
        assert_eq!(reason_from("a\nb"), Ok(Some("a\nb".into())));
        assert!(reason_from("a\u{1b}[31m").is_err());
        assert!(actor_from(&"x".repeat(257)).is_err());
        assert!(reason_from(&"x".repeat(1025)).is_err());
    }
}
