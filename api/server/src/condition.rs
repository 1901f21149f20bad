//! Preconditions of writes and conditional reads: `If-Match` and `If-None-Match`.

use headwater_api::{EntityTag, EntityTags, Problem};
use http::header::{IF_MATCH, IF_NONE_MATCH};
use http::{HeaderMap, HeaderName};

/// What a write expects of its key.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Precondition {
    /// Nothing.
    #[default]
    None,
    /// `If-Match: "17"`: the key was last changed by one of these revisions.
    Revision(Vec<u64>),
    /// `If-Match: *`: the key is there.
    Exists,
    /// `If-None-Match: *`: the key is absent.
    Absent,
    /// `If-None-Match: "17"`: the key was last changed by none of these revisions, or is absent.
    NotRevision(Vec<u64>),
}

impl Precondition {
    /// Reads the precondition of a write.
    ///
    /// # Errors
    /// `invalid_request` with a hint: an unquoted or weak `If-Match`, both headers at once.
    pub fn of_write(headers: &HeaderMap) -> Result<Self, Problem> {
        match (tags(headers, IF_MATCH)?, tags(headers, IF_NONE_MATCH)?) {
            (None, None) => Ok(Self::None),
            (Some(_), Some(_)) => Err(Problem::invalid_request(
                "If-Match and If-None-Match contradict each other on a write; send one of them",
            )),
            (Some(EntityTags::Any), None) => Ok(Self::Exists),
            (None, Some(EntityTags::Any)) => Ok(Self::Absent),
            (Some(EntityTags::List(tags)), None) => Ok(Self::Revision(strong(&tags)?)),
            (None, Some(EntityTags::List(tags))) => Ok(Self::NotRevision(revisions(&tags))),
        }
    }

    /// Whether it holds for a key last changed by `current`; 0 = absent.
    pub fn holds(&self, current: u64) -> bool {
        match self {
            Self::None => true,
            Self::Revision(revisions) => current != 0 && revisions.contains(&current),
            Self::Exists => current != 0,
            Self::Absent => current == 0,
            Self::NotRevision(revisions) => current == 0 || !revisions.contains(&current),
        }
    }
}

/// Whether a read's `If-None-Match` names `etag` (quoted, as sent): answer 304.
///
/// # Errors
/// `invalid_request` when the header is no list of entity tags.
pub fn is_not_modified(headers: &HeaderMap, etag: &str) -> Result<bool, Problem> {
    let opaque = etag.trim_start_matches("W/").trim_matches('"');
    Ok(tags(headers, IF_NONE_MATCH)?.is_some_and(|tags| tags.matches_weakly(opaque)))
}

/// Whether a read's `If-Match` lets it see a key last changed by `current`: else answer 412.
///
/// # Errors
/// `invalid_request` with a hint: an unquoted or weak tag.
pub fn is_match(headers: &HeaderMap, current: u64) -> Result<bool, Problem> {
    match tags(headers, IF_MATCH)? {
        None | Some(EntityTags::Any) => Ok(true),
        Some(EntityTags::List(tags)) => Ok(strong(&tags)?.contains(&current)),
    }
}

/// The revisions of an `If-Match`.
fn strong(tags: &[EntityTag]) -> Result<Vec<u64>, Problem> {
    if tags.iter().any(|tag| tag.weak) {
        return Err(Problem::invalid_request(
            "If-Match: a weak tag never matches; write \"17\" without W/",
        ));
    }
    Ok(revisions(tags))
}

/// What is not one of our own tags matches no revision.
fn revisions(tags: &[EntityTag]) -> Vec<u64> {
    tags.iter().filter_map(EntityTag::revision).collect()
}

fn tags(headers: &HeaderMap, name: HeaderName) -> Result<Option<EntityTags>, Problem> {
    let mut joined = String::new();
    for value in headers.get_all(&name) {
        let text = value.to_str().map_err(|_| {
            Problem::invalid_request(format!("{name}: not an entity tag; write \"17\" or *"))
        })?;
        if !joined.is_empty() {
            joined.push(',');
        }
        joined.push_str(text);
    }
    if joined.is_empty() && !headers.contains_key(&name) {
        return Ok(None);
    }
    EntityTags::parse(&joined)
        .map(Some)
        .map_err(|error| Problem::invalid_request(format!("{name}: {error}")))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(pairs: &[(HeaderName, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(name.clone(), HeaderValue::from_static(value));
        }
        map
    }

    #[test]
    fn the_forms_of_the_api_are_read() {
        for (name, value, wanted) in [
            (IF_MATCH, "\"17\"", Precondition::Revision(vec![17])),
            (IF_MATCH, "*", Precondition::Exists),
            (IF_NONE_MATCH, "*", Precondition::Absent),
            (IF_MATCH, "\"17\", \"18\"", Precondition::Revision(vec![17, 18])),
            (IF_MATCH, "\"abc\"", Precondition::Revision(vec![])),
            (IF_NONE_MATCH, "W/\"17\"", Precondition::NotRevision(vec![17])),
        ] {
            assert_eq!(Precondition::of_write(&headers(&[(name, value)])), Ok(wanted), "{value}");
        }
        assert_eq!(Precondition::of_write(&HeaderMap::new()), Ok(Precondition::None));
        let two = headers(&[(IF_MATCH, "\"1\""), (IF_MATCH, "\"2\"")]);
        assert_eq!(Precondition::of_write(&two), Ok(Precondition::Revision(vec![1, 2])));
    }

    #[test]
    fn what_cannot_hold_or_be_read_is_refused_with_a_hint() {
        for (pairs, hint) in [
            (vec![(IF_MATCH, "17")], "quoted"),
            (vec![(IF_MATCH, "W/\"17\"")], "weak"),
            (vec![(IF_MATCH, "")], "entity tag"),
            (vec![(IF_MATCH, "*, \"17\"")], "alone"),
            (vec![(IF_MATCH, "\"17\""), (IF_NONE_MATCH, "*")], "contradict"),
        ] {
            let problem = Precondition::of_write(&headers(&pairs)).unwrap_err();
            assert_eq!(problem.status, 400);
            assert!(problem.detail.contains(hint), "{pairs:?}: {}", problem.detail);
        }
    }

    #[test]
    fn a_precondition_holds_or_not() {
        for (precondition, current, holds) in [
            (Precondition::None, 0, true),
            (Precondition::Revision(vec![3, 4]), 4, true),
            (Precondition::Revision(vec![3]), 4, false),
            (Precondition::Revision(vec![0]), 0, false),
            (Precondition::Revision(vec![]), 4, false),
            (Precondition::Exists, 0, false),
            (Precondition::Exists, 1, true),
            (Precondition::Absent, 0, true),
            (Precondition::Absent, 1, false),
            (Precondition::NotRevision(vec![3]), 3, false),
            (Precondition::NotRevision(vec![3]), 0, true),
        ] {
            assert_eq!(precondition.holds(current), holds, "{precondition:?} at {current}");
        }
    }

    #[test]
    fn a_read_goes_on_where_its_if_match_holds() {
        let matches = |value| is_match(&headers(&[(IF_MATCH, value)]), 17).map_err(|p| p.status);
        for (value, wanted) in [
            ("*", Ok(true)),
            ("\"1\", \"17\"", Ok(true)),
            ("\"18\"", Ok(false)),
            ("17", Err(400)),
            ("W/\"17\"", Err(400)),
        ] {
            assert_eq!(matches(value), wanted, "{value}");
        }
        assert_eq!(is_match(&HeaderMap::new(), 17), Ok(true));
    }

    #[test]
    fn a_read_knows_its_own_tag_strong_or_weak() {
        let matches = |value| is_not_modified(&headers(&[(IF_NONE_MATCH, value)]), "\"17\"");
        for value in ["\"17\"", "W/\"17\"", "\"1\", \"17\"", "*"] {
            assert_eq!(matches(value), Ok(true), "{value}");
        }
        assert_eq!(matches("\"18\""), Ok(false));
        assert_eq!(is_not_modified(&HeaderMap::new(), "\"17\""), Ok(false));
        assert_eq!(matches("17").unwrap_err().status, 400);
    }
}
